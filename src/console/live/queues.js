// Who waits for whom.

/** Of a list: who waits for each session, directly and in the end, and the heads of the queues. */
export function queues(sessions) {
  const byId = new Map(sessions.map((session) => [session.id, session]));
  const waiters = new Map();
  for (const session of sessions) {
    for (const blocker of session.blocked_by ?? []) {
      if (!waiters.has(blocker)) waiters.set(blocker, []);
      waiters.get(blocker).push(session);
    }
  }
  const held = new Map([...waiters.keys()].map((id) => [id, countBehind(id, waiters)]));
  const heads = [...waiters.keys()].filter((id) => !(byId.get(id)?.blocked_by?.length > 0));
  heads.sort((one, other) => held.get(other) - held.get(one));
  return { byId, waiters, held, heads };
}

/** How many wait for it in the end; circles end where they began. */
function countBehind(id, waiters) {
  const seen = new Set([id]);
  const next = [id];
  while (next.length > 0) {
    for (const { id: waiter } of waiters.get(next.pop()) ?? []) {
      if (!seen.has(waiter)) {
        seen.add(waiter);
        next.push(waiter);
      }
    }
  }
  return seen.size - 1;
}

/** The rows of a tree, each session once: its head first, then those behind it. */
export function tree({ byId, waiters, heads }) {
  const rows = [];
  const seen = new Set();
  const walk = (id, depth) => {
    if (seen.has(id)) return;
    seen.add(id);
    rows.push({ session: byId.get(id) ?? { id, isUnseen: true }, depth });
    for (const waiter of waiters.get(id) ?? []) walk(waiter.id, depth + 1);
  };
  for (const head of heads) walk(head, 0);
  // In a circle nobody is the head.
  for (const id of waiters.keys()) walk(id, 0);
  return rows;
}
