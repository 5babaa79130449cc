// One session as a row.

import { h } from "../dom.js";
import { duration, several, unlisted } from "../format.js";
import { icon } from "../parts.js";

export const COLUMNS = [
  { name: "pick", title: "" },
  { name: "id", title: "Session", sort: "id" },
  { name: "user", title: "User", sort: "user" },
  { name: "host", title: "Client", sort: "host" },
  { name: "database", title: "Database", sort: "database" },
  { name: "state", title: "State", sort: "state" },
  { name: "seconds", title: "For", sort: "seconds" },
  { name: "statement", title: "Statement" },
];

/** Sessions that do this for longer are marked. */
const LONG = 60;

const cell = (name, content, title) => h("div", { class: `cell ${name}`, role: "gridcell", title }, content);

/** The cells of a row; `picked` and `onPick` where sessions can be selected. */
export function cells({ session, depth }, { queues, isTree, mayKill, isPicked, onPick }) {
  if (session.isUnseen) {
    return [
      cell("pick", ""),
      cell("id", [guide(depth), session.id]),
      cell("statement", h("span", { class: "quiet" }, "not on the list: a transaction that outlived its session, or one that is not listed")),
    ];
  }
  const behind = queues.held.get(session.id) ?? 0;
  const waits = session.blocked_by ?? [];
  const state = [session.command, session.state].filter(Boolean).join(" · ");
  const isIdle = session.protected || ((session.command === "Sleep" || /^idle/i.test(session.state ?? "")) && !session.statement);
  return [
    cell("pick", mayKill && pick(session, isPicked, onPick)),
    cell("id", [guide(depth), h("span", { class: "mono" }, session.id)]),
    cell("user", session.user ?? h("span", { class: "quiet" }, "–"), session.user),
    cell("host", h("span", { class: "mono" }, session.host ?? ""), session.host),
    cell("database", session.database ?? "", session.database),
    cell("state", [
      behind > 0 && h("span", { class: "chip bad" }, `blocks ${behind}`),
      waits.length > 0 && h("span", { class: "chip warn", title: `waits for ${waits.join(", ")}` }, isTree && waits.length === 1 ? "waits" : `waits for ${waits.join(", ")}`),
      h("span", { class: "text" }, state),
    ], state),
    cell("seconds", h("span", { class: (session.seconds ?? 0) >= LONG && !isIdle ? "long" : null }, duration(session.seconds))),
    cell("statement", [
      session.protected && h("span", { class: "chip mute guarded", title: session.protected_by }, icon("shield"), "protected"),
      session.protected && h("span", { class: "quiet rule" }, session.protected_by),
      h("span", { class: "mono text" }, oneLine(session.statement)),
    ], session.protected ? session.protected_by : null),
  ];
}

/** The start of a statement, for a row. */
export function oneLine(text) {
  return (text ?? "").replace(/\s+/g, " ").slice(0, 400);
}

function pick(session, isPicked, onPick) {
  if (session.protected) return h("span", { class: "no-pick", title: `Protected: ${session.protected_by ?? ""}` }, icon("lock"));
  return h("label", {}, h("input", {
    type: "checkbox", checked: isPicked(session), tabindex: -1, "aria-label": `Select session ${session.id}`,
    onchange: (event) => onPick(session, event.target.checked),
  }));
}

function guide(depth) {
  if (depth === 0) return null;
  const guide = h("span", { class: "guide", "aria-hidden": "true" }, "└");
  guide.style.paddingInlineStart = `${(Math.min(depth, 8) - 1) * 14}px`;
  return guide;
}

/** Classes of a row. */
export function mark({ session }, { queues, isPicked }) {
  const names = [];
  if (session.protected) names.push("is-protected");
  if (isPicked(session)) names.push("is-picked");
  if (queues.heads.includes(session.id)) names.push("is-head");
  return names.join(" ");
}

/** What the list says in one line. */
export function summary({ shown, all, complete, unlisted: places, queues }) {
  const held = queues.heads.reduce((sum, id) => sum + queues.held.get(id), 0);
  return {
    count: shown === all ? several(all, "session") : `${shown} of ${several(all, "session")}`,
    cut: complete ? null : places ? `There may be more. ${unlisted(places)}` : "The vendor cut its list off: there may be more.",
    blocked: held > 0 ? `${several(queues.heads.length, "session")} ${queues.heads.length === 1 ? "holds" : "hold"} up ${held} ${held === 1 ? "other" : "others"}` : null,
  };
}
