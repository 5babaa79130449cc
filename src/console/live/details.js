// One session in full, beside the list.

import { h } from "../dom.js";
import { duration, moment } from "../format.js";
import { facts, icon } from "../parts.js";

/** The panel; `onGo` goes to another session of the list. */
export function details(session, { queues, mayKill, onKill, onClose, onGo }) {
  const close = h("button", { type: "button", class: "bare", "aria-label": "Close the details", onclick: onClose }, icon("close"));
  const ids = (list) => list.map((id) => h("button", { type: "button", class: "link mono", onclick: () => onGo(id), disabled: !queues.byId.has(id) }, id));
  const behind = (queues.waiters.get(session.id) ?? []).map(({ id }) => id);
  const panel = h("aside", { class: "details", "aria-label": `Session ${session.id}` },
    h("header", {}, h("h2", {}, "Session ", h("span", { class: "mono" }, session.id)), close),
    session.protected && h("p", { class: "notice" }, icon("shield"), " Protected: no kill ends it. ", h("span", { class: "quiet" }, session.protected_by)),
    facts([
      ["User", session.user],
      ["Client", session.host && h("span", { class: "mono" }, session.host)],
      ["Application", session.application],
      ["Database", session.database],
      ["Command", session.command],
      ["State", session.state],
      ["For", duration(session.seconds)],
      ["Transaction", duration(session.transaction_seconds)],
      ["Since", moment(session.started_at)],
      ["Waits for", session.blocked_by?.length > 0 && ids(session.blocked_by)],
      ["Blocks", behind.length > 0 && ids(behind)],
    ].filter(([, value]) => value)),
    session.statement && h("h3", {}, "Statement"),
    session.statement && h("pre", { class: "statement", tabindex: 0 }, session.statement),
    mayKill && !session.protected && h("div", { class: "buttons" },
      h("button", { type: "button", class: "danger", onclick: onKill }, "Preview kill")));
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") onClose();
  });
  return panel;
}
