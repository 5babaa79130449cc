// Ending sessions: reason, preview, confirm, and what becomes of each.

import { fill } from "../dom.js";
import { several, targetName } from "../format.js";
import { dialog } from "../parts.js";
import { askStep } from "./ask.js";
import { confirmStep } from "./confirm.js";
import { followStep } from "./follow.js";

/** Opens the dialog for sessions of a target, or for criteria. `onSettled` hears when something may have been ended. */
export function openKill(context, { target, vendor, sessions, criteria, onSettled }) {
  const name = targetName(target);
  const title = `Preview: ${criteria ? "by criteria, at" : `${several(sessions.length, "session")} of`} ${name}`;
  const leaving = new AbortController();
  let sent = false;
  const { box, body, rename } = dialog(title, () => {
    leaving.abort();
    if (sent) onSettled();
  });
  box.classList.add("wide");
  const close = () => box.close();
  const wish = { reason: "", on_behalf_of: "", end: "session" };

  function show(step) {
    fill(body, step);
    body.querySelector("[autofocus]")?.focus();
  }

  function begin() {
    rename(title);
    show(askStep({ context, target, vendor, sessions, criteria, wish, close, onPreview: confirm, signal: leaving.signal }));
  }

  function confirm(request, preview) {
    rename(`Confirm: ${name}`);
    show(confirmStep({ name, request, preview, close, again: begin, onSent: follow, signal: leaving.signal, onSending: () => { sent = true; } }));
  }

  function follow(kill) {
    rename(`Kill at ${name}`);
    show(followStep({ kill, close, signal: leaving.signal }));
  }

  begin();
}
