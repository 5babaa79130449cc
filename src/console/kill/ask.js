// The first step: why, and for whom.

import { fill, h } from "../dom.js";
import { ask } from "../api.js";
import { asMatch, inWords } from "../live/criteria.js";
import { inBody } from "../live/place.js";
import { facts, failure, field, waiting } from "../parts.js";
import { sessionTable } from "./sessions.js";

/** So many sessions can be pinned to whose they are within the longest body. */
const MOST_PINNED = 300;
const MOST_SHOWN = 200;

/** What stands for a session in the request: with whose it was seen to be, so that no other one of its id is meant. */
function pinned({ id, user, host }) {
  const pin = { id };
  if (user) pin.user = user;
  if (host) pin.host = host;
  return pin;
}

export function askStep({ context, target, vendor, sessions, criteria, wish, close, onPreview, signal }) {
  const said = h("div", { class: "said" });
  const reason = h("textarea", { name: "reason", rows: 2, maxlength: 1000, required: true, autofocus: true });
  reason.value = wish.reason;
  const behalf = h("input", { name: "on_behalf_of", maxlength: 255, autocomplete: "off", placeholder: context.me.actor ? context.me.caller : "" });
  behalf.value = wish.on_behalf_of;
  behalf.disabled = context.me.actor !== null && context.me.actor !== undefined;
  const canCancel = vendor.cloud === null;
  const ends = h("fieldset", { class: "ends-of" }, h("legend", {}, "End"),
    [["session", "the whole session"], ["statement", "only what it runs now"]].map(([value, title]) =>
      h("label", {}, h("input", { type: "radio", name: "end", value, checked: wish.end === value }), title)));
  const go = h("button", { type: "submit", class: "primary" }, "Preview");

  async function submit(event) {
    event.preventDefault();
    wish.reason = reason.value.trim();
    wish.on_behalf_of = behalf.value.trim();
    wish.end = canCancel ? new FormData(event.target).get("end") : "session";
    const request = {
      target: inBody(target),
      select: criteria ? { match: asMatch(criteria) } : { ids: sessions.length <= MOST_PINNED ? sessions.map(pinned) : sessions.map(({ id }) => id) },
      reason: wish.reason,
    };
    if (wish.on_behalf_of) request.on_behalf_of = wish.on_behalf_of;
    if (wish.end === "statement") request.end = "statement";
    go.disabled = true;
    fill(said, waiting("Looking at the sessions"));
    try {
      onPreview(request, await ask("sessions/kill", { method: "POST", body: { ...request, dry_run: true }, signal }));
    } catch (error) {
      if (error.name !== "AbortError") fill(said, failure(error));
    } finally {
      go.disabled = false;
    }
  }

  return h("form", { class: "step ask", onsubmit: submit },
    criteria ? h("div", { class: "notice" }, h("p", {}, "Whoever meets all of these when the list is read:"), facts(inWords(criteria))) : sessionTable(sessions.slice(0, MOST_SHOWN).map((session) => ({ ...session, identity: session })), { label: "Selected sessions" }),
    sessions?.length > MOST_SHOWN && h("p", { class: "quiet" }, `and ${sessions.length - MOST_SHOWN} more`),
    field("Reason", reason, "It goes on record. A ticket number helps whoever asks later."),
    h("div", { class: "two" }, field("On behalf of", behalf, "The person who asked you, if it was not you."), canCancel && ends),
    said,
    h("div", { class: "buttons" },
      h("p", { class: "quiet grow" }, "A preview sends nothing."),
      h("button", { type: "button", onclick: close }, "Cancel"), go));
}
