// The second step: what would be ended, and the number to type.

import { fill, freshId, h } from "../dom.js";
import { ask, Lost } from "../api.js";
import { duration, several } from "../format.js";
import { failure, outcomeChip, waiting } from "../parts.js";
import { sessionTable } from "./sessions.js";

const spared = ({ outcome, detail }) => [outcomeChip(outcome), detail && h("span", { class: "why" }, detail)];

/** The key under which the kill is sent: the same one if its answer is lost, so that it is never a second kill. */
function freshKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `console-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

export function confirmStep({ name, request, preview, close, again, onSent, onSending, signal }) {
  const victims = preview.sessions.filter(({ outcome }) => outcome === "alive");
  const others = preview.sessions.filter(({ outcome }) => outcome !== "alive");
  const said = h("div", { class: "said" });
  const number = h("input", { name: "number", inputmode: "numeric", autocomplete: "off", size: 6, autofocus: true, id: freshId("number") });
  const verb = request.end === "statement" ? "Cancel what they run" : `End ${several(victims.length, "session")}`;
  const go = h("button", { type: "submit", class: "danger", disabled: true }, verb);
  const left = h("span", { class: "quiet grow", role: "timer" });
  const until = preview.confirm_until ? new Date(preview.confirm_until).getTime() : null;
  const key = freshKey();
  number.addEventListener("input", () => { go.disabled = !isRight(); });
  const isRight = () => number.value.trim() === String(victims.length);

  const ticking = setInterval(tick, 1000);
  signal.addEventListener("abort", () => clearInterval(ticking), { once: true });
  function tick() {
    if (!until) return;
    const seconds = Math.floor((until - Date.now()) / 1000);
    left.textContent = seconds > 0 ? `This preview is good for ${duration(seconds)}.` : "This preview has run out: look again.";
  }
  tick();

  async function submit(event) {
    event.preventDefault();
    if (!isRight()) return;
    go.disabled = true;
    number.disabled = true;
    onSending();
    fill(said, waiting("Sending"));
    try {
      const body = preview.confirm ? { ...request, confirm: preview.confirm } : request;
      const kill = await ask("sessions/kill", { method: "POST", body, headers: { "Idempotency-Key": key, Prefer: "wait=0" } });
      clearInterval(ticking);
      onSent(kill);
    } catch (error) {
      // On record with its sessions: what became of each is told there.
      if (error.killId && !["forbidden", "invalid"].includes(error.code)) {
        clearInterval(ticking);
        return onSent({ id: error.killId, status: "unknown", sessions: victims });
      }
      if (error instanceof Lost) {
        number.disabled = go.disabled = false;
        fill(said, failure(error, () => event.target.requestSubmit(), "Send it again"),
          h("p", { class: "quiet" }, "It may have been taken. Sent again it has the same key, so it is never a second kill."));
        return;
      }
      fill(said, failure(error, again, "Look again"));
    }
  }

  return h("form", { class: "step confirm", onsubmit: submit },
    victims.length === 0
      ? h("p", { class: "notice" }, h("strong", {}, "Nothing here would be ended."), preview.note && ` ${preview.note}.`)
      : h("p", { class: "lead" }, h("strong", {}, `${several(victims.length, "session")} of ${name} would be ended`),
        others.length > 0 && `, ${others.length} would not`,
        preview.matched > victims.length && `, of ${preview.matched} that meet the criteria`),
    preview.look?.complete === false && h("p", { class: "notice warn" }, "The vendor cut its list off: there may be more."),
    victims.length > 0 && sessionTable(victims, { label: "Sessions that would be ended" }),
    others.length > 0 && h("h3", {}, "Left alone"),
    others.length > 0 && sessionTable(others, { label: "Sessions that would not be ended", outcome: spared }),
    preview.problem && h("p", { class: "notice warn" }, preview.problem.detail),
    said,
    victims.length > 0 && h("div", { class: "type-number" },
      h("label", { for: number.id }, "Type the number of sessions, ", h("strong", { class: "mono" }, String(victims.length)), ", to confirm"), number),
    h("div", { class: "buttons" }, left, h("button", { type: "button", onclick: again }, "Back"),
      victims.length > 0 ? go : h("button", { type: "button", class: "primary", onclick: close, autofocus: true }, "Close")));
}
