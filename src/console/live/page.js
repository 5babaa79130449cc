// Live: the sessions of a target, who blocks whom, and what is to be ended.

import { fill, h, say } from "../dom.js";
import { ask } from "../api.js";
import { clock, several } from "../format.js";
import { openKill } from "../kill/dialog.js";
import { failure, nothing, waiting } from "../parts.js";
import { go, settle } from "../route.js";
import { arranged } from "./arrange.js";
import { bar } from "./bar.js";
import { details } from "./details.js";
import { grid } from "./grid.js";
import { queues } from "./queues.js";
import { COLUMNS, cells, mark, summary } from "./rows.js";

/** Most sessions of one kill. */
const MOST = 1000;
const NAMES = ["target", "q", "user", "database", "state", "min", "sort", "view", "every"];
const EMPTY = { items: [], complete: true };

export function open(context, { params }) {
  const state = { targets: [], vendors: [], list: EMPTY, queues: queues([]), at: null, error: null, loading: true, picked: new Map(), opened: null, filters: read(params) };
  const reading = { controller: null, timer: null };
  const top = bar({ change, reload: () => load() });
  const rowWith = () => ({ queues: state.queues, isTree: state.filters.view === "tree", mayKill: context.mayKill, isPicked, onPick: pick });
  const table = grid({
    label: "Sessions", columns: COLUMNS, heights: { wide: 38, narrow: 104 },
    cells: (row) => cells(row, rowWith()), mark: (row) => mark(row, rowWith()),
    onOpen: ({ session }) => !session.isUnseen && openDetails(session),
    onToggle: ({ session }) => context.mayKill && !session.isUnseen && !session.protected && pick(session, !isPicked(session)),
    onSort: (key) => change({ sort: state.filters.sort === `-${key}` ? key : `-${key}` }),
  });
  const line = h("div", { class: "line" });
  const body = h("div", { class: "live-body" });
  const side = h("div", { class: "side" });
  const foot = h("div", { class: "foot" });
  const node = h("div", { class: "live-page" }, top.node, h("div", { class: "second" }, top.view, line, top.reload), h("div", { class: "split" }, body, side), foot);

  function isPicked({ id }) {
    return state.picked.has(id);
  }

  function pick(session, is) {
    if (is && state.picked.size >= MOST) return say(`A kill has at most ${MOST} sessions`);
    if (is) state.picked.set(session.id, session);
    else state.picked.delete(session.id);
    table.repaint();
    showFoot();
  }

  /** Takes new parameters into the address and shows what they ask for. */
  function change(fresh) {
    state.filters = { ...state.filters, ...fresh };
    if ("target" in fresh) {
      state.picked.clear();
      Object.assign(state, { list: EMPTY, at: null, queues: queues([]) });
      Object.assign(state.filters, { q: "", user: "", database: "", state: "", min: "", view: "" });
      closeDetails();
    }
    settle("live", Object.fromEntries(NAMES.map((name) => [name, state.filters[name]])));
    const needs = needed();
    if ("target" in fresh || needs.some((name) => name in fresh)) return load();
    if ("every" in fresh) again();
    show();
  }

  /** Criteria of which the vendor wants one before it lists anything. */
  function needed() {
    const target = state.targets.find(({ alias }) => alias === state.filters.target);
    const vendor = state.vendors.find(({ name }) => name === target?.vendor);
    const account = vendor?.accounts.find(({ account: name }) => name === target.account);
    return (account?.listing ?? vendor?.listing)?.needs_one_of ?? [];
  }

  async function load() {
    clearTimeout(reading.timer);
    reading.controller?.abort();
    const controller = (reading.controller = new AbortController());
    const { target } = state.filters;
    if (!target) return;
    const needs = needed().filter((name) => state.filters[name]);
    state.loading = true;
    show();
    if (needed().length > 0 && needs.length === 0) {
      Object.assign(state, { loading: false, list: EMPTY, error: null, at: null, queues: queues([]) });
      return show();
    }
    try {
      const query = { target, ...Object.fromEntries(needs.map((name) => [name, state.filters[name]])) };
      const list = await ask("sessions", { query, signal: controller.signal });
      Object.assign(state, { list, queues: queues(list.items), at: Date.now(), error: null });
      keepPicked();
    } catch (error) {
      if (error.name === "AbortError") return;
      state.error = error;
    }
    state.loading = false;
    show();
    again();
  }

  /** Of what was selected, those are kept that are surely the same. */
  function keepPicked() {
    for (const [id, { user, host }] of state.picked) {
      const now = state.queues.byId.get(id);
      if (!now || now.user !== user || now.host !== host || now.protected) state.picked.delete(id);
      else state.picked.set(id, now);
    }
    if (state.opened && !state.queues.byId.has(state.opened)) closeDetails();
  }

  function again() {
    clearTimeout(reading.timer);
    const seconds = Number(state.filters.every);
    if (seconds > 0) reading.timer = setTimeout(() => (document.hidden ? again() : load()), seconds * 1000);
  }

  function show() {
    // Where anybody waits, that is what is looked for.
    if (state.at) state.filters.view ||= state.queues.heads.length > 0 ? "tree" : "list";
    top.show(state.filters, state.list.items);
    top.busy(state.loading);
    const rows = arranged(state.list.items, state.queues, state.filters);
    showLine(rows.filter(({ session }) => !session.isUnseen).length);
    showBody(rows);
    showFoot();
  }

  function showLine(shown) {
    const { count, cut, blocked } = summary({ shown, all: state.list.items.length, complete: state.list.complete, queues: state.queues });
    const isTree = state.filters.view === "tree";
    fill(line,
      h("span", { class: "count", role: "status" }, state.at ? count : ""),
      state.at && h("span", { class: "quiet" }, `as of ${clock(state.at)}`),
      blocked && h("span", { class: "chip bad" }, blocked),
      blocked && !isTree && h("button", { type: "button", class: "link", onclick: () => change({ view: "tree" }) }, "show the queues"),
      cut && h("span", { class: "chip warn" }, cut),
      !context.mayKill && state.at && h("span", { class: "quiet" }, "This token may look and not kill."),
      context.mayKill && rowsToPick().length > 0 && h("button", { type: "button", class: "link pick-all", onclick: pickAll }, `select all shown (${rowsToPick().length})`));
  }

  function rowsToPick() {
    return arranged(state.list.items, state.queues, state.filters).map(({ session }) => session).filter((session) => !session.isUnseen && !session.protected);
  }

  function pickAll() {
    for (const session of rowsToPick().slice(0, MOST)) state.picked.set(session.id, session);
    table.repaint();
    showFoot();
  }

  function showBody(rows) {
    if (state.error) return fill(body, failure(state.error, () => load()));
    if (state.loading && !state.at) return fill(body, waiting("Reading the list"));
    if (needed().length > 0 && !state.at) {
      return fill(body, nothing(`This vendor lists by ${needed().join(" or ")} only.`, h("p", { class: "quiet" }, "Fill one of these in above.")));
    }
    if (!state.filters.target) return fill(body, nothing("There is no target for this caller."));
    if (rows.length === 0) {
      const isTree = state.filters.view === "tree" && state.queues.heads.length === 0;
      return fill(body, isTree
        ? nothing("Nobody waits for anybody.", h("button", { type: "button", onclick: () => change({ view: "list" }) }, "Show all sessions"))
        : nothing(state.list.items.length === 0 ? "No session lives there." : "No session passes these filters."));
    }
    if (table.node.parentNode !== body) fill(body, table.node);
    table.set(rows, { sort: state.filters.view === "tree" ? null : state.filters.sort });
  }

  function showFoot() {
    const size = state.picked.size;
    foot.hidden = size === 0;
    if (size === 0) return fill(foot);
    fill(foot, h("strong", {}, `${several(size, "session")} selected`),
      h("button", { type: "button", class: "bare", onclick: () => (state.picked.clear(), table.repaint(), showFoot()) }, "Clear"),
      h("button", { type: "button", class: "danger preview", onclick: () => kill([...state.picked.values()]) }, "Preview kill"));
  }

  function openDetails(session) {
    state.opened = session.id;
    fill(side, details(session, {
      queues: state.queues, mayKill: context.mayKill, onClose: closeDetails, onKill: () => kill([session]),
      onGo: (id) => openDetails(state.queues.byId.get(id)),
    }));
    node.classList.add("has-side");
    side.querySelector("button").focus({ preventScroll: true });
  }

  function closeDetails() {
    if (!state.opened) return;
    const at = table.rows().findIndex(({ session }) => session.id === state.opened);
    state.opened = null;
    fill(side);
    node.classList.remove("has-side");
    if (at >= 0) table.focusRow(at);
  }

  function kill(sessions) {
    const target = state.targets.find(({ alias }) => alias === state.filters.target);
    const vendor = state.vendors.find(({ name }) => name === target.vendor);
    openKill(context, { target, vendor, sessions, onSettled: () => {
      state.picked.clear();
      load();
    } });
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const keys = { "/": () => top.search.focus(), r: () => load(), j: () => table.focusRow(0), k: () => state.picked.size > 0 && kill([...state.picked.values()]) };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }

  async function begin() {
    fill(body, waiting("Asking for the targets"));
    try {
      const [targets, vendors] = await Promise.all([ask("targets"), ask("vendors")]);
      Object.assign(state, { targets: targets.items, vendors: vendors.items });
    } catch (error) {
      fill(body, failure(error, begin));
      return;
    }
    await aim();
  }

  /** Shows the target that the address names, or the first one. */
  async function aim() {
    const known = state.targets.some(({ alias }) => alias === state.filters.target);
    if (state.filters.target && !known) {
      top.offer(state.targets, state.vendors, null);
      fill(body, nothing(`There is no target ${state.filters.target} for this caller.`, h("button", { type: "button", onclick: () => go("live") }, "Show the others")));
      return;
    }
    state.filters.target ||= state.targets[0]?.alias ?? "";
    top.offer(state.targets, state.vendors, state.filters.target);
    await load();
  }

  document.addEventListener("keydown", onKey);
  begin();
  return {
    node,
    update(fresh) {
      const before = state.filters.target;
      state.filters = read(fresh);
      state.filters.target ||= state.targets[0]?.alias ?? "";
      if (state.filters.target === before) return show();
      // What comes of the target before is nobody's any more.
      reading.controller?.abort();
      Object.assign(state, { list: EMPTY, at: null, error: null, loading: true, queues: queues([]) });
      state.picked.clear();
      closeDetails();
      if (state.targets.length > 0) aim();
    },
    leave() {
      document.removeEventListener("keydown", onKey);
      clearTimeout(reading.timer);
      reading.controller?.abort();
      table.leave();
    },
  };
}

function read(params) {
  const filters = Object.fromEntries(NAMES.map((name) => [name, params.get(name) ?? ""]));
  return { ...filters, sort: filters.sort || "-seconds" };
}
