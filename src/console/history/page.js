// History: what was asked for, and what became of it.

import { fill, h } from "../dom.js";
import { ask } from "../api.js";
import { moment, targetName } from "../format.js";
import { outcomes } from "../kill/timeline.js";
import { failure, nothing, statusChip, waiting } from "../parts.js";
import { go, link } from "../route.js";
import { exporting } from "./export.js";
import { NAMES, filters as filterForm } from "./filters.js";
import { plot as plotOf } from "./plot.js";

const PAGE = 50;

export function open(context, { params }) {
  const state = { filters: read(params), cursor: null, controller: null, loading: false };
  const form = filterForm(context, (given) => go("history", given));
  const plot = plotOf((since, until) => go("history", { ...state.filters, since, until }));
  const rows = h("tbody", {});
  const table = h("table", { class: "kills" },
    h("caption", { class: "hidden" }, "Kills, newest first"),
    h("thead", {}, h("tr", {}, ["When", "Status", "Target", "Sessions", "Asked by", "Reason"].map((title) => h("th", { scope: "col" }, title)))), rows);
  const more = h("button", { type: "button", class: "more-kills", onclick: () => next() }, "Older kills");
  const end = h("div", { class: "end" });
  const node = h("div", { class: "history-page" },
    h("div", { class: "head" }, h("h1", {}, "History"), !context.mayReadAll && h("p", { class: "quiet" }, "Your own kills: this token may not read others'."), context.mayExport && exporting(() => state.filters)),
    form.node, plot.node, h("div", { class: "card" }, table), end);
  const watching = new IntersectionObserver(([entry]) => entry.isIntersecting && next(), { rootMargin: "400px" });

  function begin() {
    state.controller?.abort();
    state.controller = new AbortController();
    Object.assign(state, { cursor: null, loading: false });
    watching.disconnect();
    form.show(state.filters);
    fill(rows);
    plot.show(state.filters, state.controller.signal);
    next(true);
  }

  async function next(isFirst = false) {
    if (state.loading || (!isFirst && !state.cursor)) return;
    state.loading = true;
    const { signal } = state.controller;
    fill(end, waiting(isFirst ? "Reading the record" : "Reading on"));
    try {
      const page = await ask("kills", { query: { ...state.filters, limit: PAGE, cursor: state.cursor }, signal });
      rows.append(...page.items.map(row));
      state.cursor = page.next_cursor;
      if (rows.childElementCount === 0) fill(end, nothing("No kill passes these filters.", Object.keys(state.filters).length > 0 && h("p", { class: "quiet" }, "Take one of them away.")));
      else fill(end, state.cursor ? more : h("p", { class: "quiet" }, "That is all."));
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(end, failure(error, () => next(isFirst)));
    }
    state.loading = false;
    watching.disconnect();
    // What is in sight already is asked for at once.
    if (state.cursor) watching.observe(end);
  }

  begin();
  return {
    node,
    update(fresh) {
      state.filters = read(fresh);
      begin();
    },
    leave() {
      state.controller?.abort();
      watching.disconnect();
    },
  };
}

function row(kill) {
  const reason = kill.reason ?? kill.problem?.detail ?? "";
  const td = (label, ...content) => h("td", { "data-label": label }, h("div", {}, content));
  return h("tr", { "data-kill": kill.id },
    td("When", h("a", { href: link(`kill/${kill.id}`) }, moment(kill.requested_at))),
    td("Status", statusChip(kill.status)),
    td("Target", targetName(kill.target), kill.target?.vendor && h("span", { class: "quiet" }, ` ${kill.target.vendor}`)),
    td("Sessions", sessionsOf(kill)),
    td("Asked by", kill.caller, kill.on_behalf_of && h("span", { class: "quiet" }, ` for ${kill.on_behalf_of}`)),
    h("td", { "data-label": "Reason", class: "text", title: reason }, h("span", {}, reason)));
}

function sessionsOf(kill) {
  if (kill.sessions.length > 0) return outcomes(kill.sessions);
  if (kill.sessions_known === false) return h("span", { class: "quiet" }, "named by nobody");
  return h("span", { class: "quiet" }, kill.matched === 0 ? "none matched" : "none");
}

function read(params) {
  return Object.fromEntries(NAMES.map((name) => [name, params.get(name)]).filter(([, value]) => value));
}
