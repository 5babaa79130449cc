// The last step: what becomes of each session, as it is learned.

import { fill, h, say } from "../dom.js";
import { ask } from "../api.js";
import { clock } from "../format.js";
import { failure, statusChip } from "../parts.js";
import { link } from "../route.js";
import { follow, sleep } from "../stream.js";
import { OUTCOMES, STATUSES } from "../words.js";
import { outcomeCell, sessionTable } from "./sessions.js";
import { outcomes, timeline } from "./timeline.js";

/** A kill that is followed: the head, the sessions, the events. `onEnd` hears of the whole kill at its end. */
export function followed(kill, { signal, onEnd, basis }) {
  const sessions = new Map(kill.sessions.map((session) => [session.id, { ...session }]));
  const status = h("div", { class: "status-line", role: "status" });
  const table = h("div", {});
  const connection = h("p", { class: "connection quiet" });
  const events = timeline();
  const told = [];
  let now = kill.status;

  function paint() {
    const all = [...sessions.values()];
    const [, meaning] = STATUSES[now] ?? [];
    fill(status, statusChip(now), h("span", { class: "meaning" }, meaning), all.length > 0 && h("span", { class: "quiet tally" }, outcomes(all)));
    fill(table, all.length === 0
      ? h("p", { class: "quiet" }, "The vendor names no sessions.")
      : sessionTable(all, { label: "Sessions of the kill", outcome: outcomeCell, basis: basis && ((session) => basis(session, told)) }));
  }

  function learn(fresh) {
    for (const session of fresh ?? []) sessions.set(session.id, { ...sessions.get(session.id), ...session, detail: session.detail });
  }

  const hear = {
    signal,
    onEvent(event) {
      told.push(event);
      now = event.status;
      learn(event.sessions);
      events.add(event);
      paint();
    },
    onState(state) {
      connection.className = `connection ${state}`;
      fill(connection, state === "lost"
        ? `The stream broke at ${clock(Date.now())}. The kill goes on; this page asks again.`
        : "Following: each change appears as it comes.");
    },
  };

  async function run() {
    let end;
    do {
      end = await follow(kill.id, { ...hear, after: told.at(-1)?.seq });
      if (!end) return;
      now = end.status;
      learn(end.sessions);
      paint();
      connection.className = "connection over";
      fill(connection, last(end));
      say(`${end.status}: ${outcomes(end.sessions)}`);
      onEnd?.(end);
    } while (await isSettled(end, signal));
  }

  paint();
  run().catch((error) => signal.aborted || fill(connection, failure(error)));
  return { status, table, connection, events: events.node };
}

/** So many milliseconds after a kill nobody looks any more what became of it. */
const LOOKED_FOR = 15 * 60_000;

function mayBeSettled({ status, requested_at: at }) {
  return status === "unknown" && Date.now() - new Date(at).getTime() < LOOKED_FOR;
}

/** Whether a kill whose answer was lost is settled after all, by a look. */
async function isSettled(kill, signal) {
  while (mayBeSettled(kill) && !signal.aborted) {
    await sleep(2000, signal);
    if (signal.aborted) return false;
    const { status } = await ask(`kills/${encodeURIComponent(kill.id)}`, { signal });
    if (status !== "unknown") return true;
  }
  return false;
}

/** What is told at the end of a stream. */
function last(kill) {
  if (mayBeSettled(kill)) return "The answer was lost. A look may settle it yet: this page waits for it.";
  return ["pending", "accepted", "unknown"].includes(kill.status) ? "Nobody will learn more of it: look at the database." : "It is over.";
}

export function followStep({ kill, close, signal }) {
  const problem = h("div", {});
  const onEnd = (end) => fill(problem, end.problem && h("p", { class: "notice warn" }, end.problem.detail));
  const { status, table, connection, events } = followed(kill, { signal, onEnd });
  return h("div", { class: "step follow" },
    status, problem, table, connection,
    h("details", { class: "events" }, h("summary", {}, "Events"), events),
    h("div", { class: "buttons" },
      h("p", { class: "quiet grow" }, "Whatever happens to this page, it is on record."),
      h("a", { class: "button", href: link(`kill/${kill.id}`), onclick: close }, "Open its page"),
      h("button", { type: "button", class: "primary", onclick: close, autofocus: true }, "Close")));
}

const SOURCES = { answered: "the vendor's answer", looked: "a look at the list", recorded: "nothing: it was not sent", abandoned: "the gateway's end" };

/** What an outcome rests on: the first event that told it, and what such an outcome means. */
export function basisOf({ id, outcome }, events) {
  const first = events.find(({ sessions }) => sessions?.some((session) => session.id === id && session.outcome === outcome));
  const isTold = first && !(first.kind === "recorded" && outcome === "unknown");
  return [
    isTold && h("span", {}, `${SOURCES[first.kind] ?? first.kind}, ${clock(first.at)}`),
    h("span", { class: "why" }, OUTCOMES[outcome]?.[1]),
  ];
}
