// The events of a kill, as they come.

import { h } from "../dom.js";
import { moment, precise, several, unlisted } from "../format.js";
import { statusChip } from "../parts.js";
import { EVENTS, plain } from "../words.js";

/** A list that grows. */
export function timeline() {
  const node = h("ol", { class: "timeline" });
  const seen = new Set();
  return {
    node,
    add(event) {
      if (seen.has(event.seq)) return;
      seen.add(event.seq);
      node.append(entry(event));
    },
  };
}

function entry(event) {
  return h("li", { "data-kind": event.kind },
    h("div", { class: "when mono", title: moment(event.at) }, precise(event.at)),
    h("div", { class: "what" },
      h("p", {}, h("strong", {}, told(event)), " ", statusChip(event.status)),
      facts(event).map((text) => h("p", { class: "quiet" }, text))));
}

/** What happened, in a sentence. */
function told({ kind, upstream, calls }) {
  const isAnswered = upstream?.http_status || calls?.some(({ answered, refused }) => answered || refused);
  if (kind === "answered" && !isAnswered) return "No answer came that could be read";
  return EVENTS[kind] ?? plain(kind);
}

/** What an event says beside its kind. */
function facts(event) {
  const { look, upstream, calls, problem, sessions, verified_at: verified } = event;
  return [
    sessions?.length > 0 && (event.status === "pending" ? waiting(sessions) : outcomes(sessions)),
    look?.unlisted && `Not listed whole: ${unlisted(look.unlisted)}.`,
    look && event.kind !== "answered" && `${look.complete ? "The whole list was read" : "The vendor's list was cut off"} at ${precise(look.at)}.`,
    calls?.length > 0 && calls.map(({ at, task_id: task, answered, refused }) =>
      `A call left at ${precise(at)}${refused ? ", was refused" : answered ? ", was answered" : ", is not answered"}${task ? `, task ${task}` : ""}.`).join(" "),
    upstream?.http_status && `HTTP ${upstream.http_status}${upstream.request_id ? `, the vendor's request ${upstream.request_id}` : ""}.`,
    upstream?.error_code && `${upstream.error_code}: ${upstream.error_message ?? ""}`,
    problem && `${plain(problem.code)}: ${problem.detail}`,
    verified && `Every session was seen gone at ${precise(verified)}.`,
  ].filter(Boolean);
}

/** Of a kill that has not left yet, nothing is unknown: it is to be done. */
function waiting(sessions) {
  const due = sessions.filter(({ outcome }) => outcome === "unknown");
  const others = sessions.filter(({ outcome }) => outcome !== "unknown");
  return [due.length > 0 && `${several(due.length, "session")} to be ended`, others.length > 0 && outcomes(others)].filter(Boolean).join(", ");
}

/** `3 killed, 1 protected`. */
export function outcomes(sessions) {
  const counts = new Map();
  for (const { outcome } of sessions) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  return [...counts].map(([outcome, number]) => `${number} ${plain(outcome)}`).join(", ");
}
