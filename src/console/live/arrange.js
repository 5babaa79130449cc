// Which sessions are shown, and in what order.

import { tree } from "./queues.js";

const TEXTS = ["id", "user", "host", "database", "command", "state", "application", "statement"];

/** Whether a session passes the filters. */
export function passes(session, { q, user, database, state, min }) {
  if (user && session.user !== user) return false;
  if (database && session.database !== database) return false;
  if (state && session.state !== state && session.command !== state) return false;
  if (min && !((session.seconds ?? 0) >= min)) return false;
  const words = (q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  return words.every((word) => TEXTS.some((name) => session[name]?.toLowerCase().includes(word)));
}

const KEYS = {
  id: ({ id }) => (id.includes("/") ? id.replace(/\d+$/, (digits) => digits.padStart(20, "0")) : /^\d+$/.test(id) ? Number(id) : id),
  user: ({ user }) => user ?? "",
  host: ({ host }) => host ?? "",
  database: ({ database }) => database ?? "",
  state: ({ command, state }) => `${command ?? ""} ${state ?? ""}`,
  seconds: ({ seconds }) => seconds ?? -1,
  transaction: ({ transaction_seconds: seconds }) => seconds ?? -1,
};

/** A comparison by `seconds`, or `-seconds` for the greatest first. */
function by(sort) {
  const key = KEYS[sort.replace(/^-/, "")] ?? KEYS.seconds;
  const sign = sort.startsWith("-") ? -1 : 1;
  return (one, other) => {
    const [a, b] = [key(one), key(other)];
    if (a === b) return 0;
    return (a < b ? -1 : 1) * sign;
  };
}

/** The rows to show. A tree is shown whole where anybody in it passes. */
export function arranged(sessions, queues, filters) {
  if (filters.view !== "tree") {
    const rows = sessions.filter((session) => passes(session, filters)).sort(by(filters.sort));
    return rows.map((session) => ({ session, depth: 0 }));
  }
  const groups = [];
  for (const row of tree(queues)) {
    if (row.depth === 0) groups.push([]);
    groups.at(-1).push(row);
  }
  return groups.filter((rows) => rows.some(({ session }) => passes(session, filters))).flat();
}

/** The values that a filter can take, the most frequent first. */
export function values(sessions, name) {
  const counts = new Map();
  for (const { [name]: value } of sessions) if (value) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([, one], [, other]) => other - one).map(([value]) => value);
}
