// What the words of an answer mean to a reader, and how they look. docs/glossary.md and docs/outcomes.md say it in full.

/** Statuses of a kill: tone, and the meaning in a sentence. */
export const STATUSES = {
  pending: ["open", "It is on record and not answered yet."],
  accepted: ["open", "The vendor took it. Whether the sessions are gone is not known."],
  succeeded: ["good", "Every session is gone, or was not there."],
  partial: ["warn", "Some sessions are gone, and some are not."],
  failed: ["bad", "Surely nothing was killed."],
  refused: ["mute", "A rule said no, and nothing was sent."],
  rate_limited: ["warn", "Too many calls, here or at the vendor. Nothing was killed."],
  unknown: ["warn", "It may have been done, and its answer was lost. Look at the database before anybody repeats it."],
  preview: ["mute", "A dry run. Nothing was sent."],
};

/** Outcomes of a session: tone, and what such an outcome rests on. */
export const OUTCOMES = {
  killed: ["good", "The vendor said so of this id, or it was seen, the call surely left, and it is gone."],
  not_found: ["mute", "It was not there when it was looked for, or the vendor said that it was not."],
  gone: ["good", "It is not there any more. Whether this kill ended it cannot be told."],
  accepted: ["open", "The vendor took the request. The session may live."],
  failed: ["bad", "It was surely not ended."],
  protected: ["mute", "A rule spares it, so it was not sent."],
  changed: ["warn", "Its id is another session's by now, so it was not sent."],
  alive: ["bad", "It was seen alive."],
  unknown: ["warn", "Nobody knows yet. The answer was lost, or has not come."],
};

/** Kinds of events. */
export const EVENTS = {
  recorded: "What was asked is on record",
  looked: "The sessions were looked at",
  sent: "From now on bytes may leave",
  answered: "The vendor has answered",
  abandoned: "Its gateway is gone; another one took it over",
};

export const STATUS_WORDS = Object.keys(STATUSES);
export const OUTCOME_WORDS = Object.keys(OUTCOMES);

/** A word for people. */
export function plain(word) {
  return word.replaceAll("_", " ");
}

/** What to do about a problem, where there is something; by its code. */
export const HINTS = {
  forbidden: "Another token may be allowed to.",
  unknown_target: "The list of targets may have changed: reload the page.",
  target_changed: "The address leads to another server, or one in another role. Tell whoever keeps the gateway.",
  rate_limited: "Wait a moment, then try again.",
  upstream_throttled: "The vendor asks for patience. Wait a moment, then try again.",
  upstream_failed: "The vendor refused it or was not reached.",
  upstream_denied: "The gateway's own permission at the vendor is missing. Tell whoever keeps it.",
  audit_unavailable: "Without a record nothing is sent. Tell whoever keeps the gateway.",
  overloaded: "Too many wait here. Try again in a moment.",
  outcome_unknown: "Look at the database before anybody repeats it.",
  keys_unavailable: "The issuer's keys cannot be had, so no token can be checked.",
};
