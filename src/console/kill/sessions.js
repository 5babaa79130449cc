// Sessions of a kill as a table, with what became of each.

import { h } from "../dom.js";
import { duration } from "../format.js";
import { outcomeChip } from "../parts.js";
import { oneLine } from "../live/rows.js";

/** `outcome` makes the first cell of a session where its outcome is known. */
export function sessionTable(sessions, { label, outcome, basis } = {}) {
  const head = [outcome && "Outcome", "Session", "User", "Client", "Database", "For", "Statement", basis && "Rests on"].filter(Boolean);
  return h("div", { class: "table-box", tabindex: 0, role: "region", "aria-label": label },
    h("table", { class: "sessions" },
      h("thead", {}, h("tr", {}, head.map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, sessions.map((session) => sessionRow(session, { outcome, basis })))));
}

function sessionRow(session, { outcome, basis } = {}) {
  const of = session.identity ?? {};
  const td = (label, ...content) => h("td", { "data-label": label }, h("div", {}, content));
  return h("tr", { "data-session": session.id },
    outcome && td("Outcome", outcome(session)),
    td("Session", h("span", { class: "mono" }, session.id)),
    td("User", of.user ?? ""),
    td("Client", h("span", { class: "mono" }, of.host ?? "")),
    td("Database", of.database ?? ""),
    td("For", duration(of.seconds)),
    h("td", { "data-label": "Statement", class: "text" }, h("span", { class: "mono", title: oneLine(of.statement) }, oneLine(of.statement) || [of.command, of.state].filter(Boolean).join(" · "))),
    basis && td("Rests on", basis(session)));
}

/** An outcome with why, where the outcome alone does not say it. */
export function outcomeCell({ outcome, detail }) {
  return [outcomeChip(outcome), detail && h("span", { class: "why" }, detail)];
}
