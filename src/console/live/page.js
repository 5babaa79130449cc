// Live: the sessions of a target, who blocks whom, and what is to be ended.

import { fill, h, say } from "../dom.js";
import { ask } from "../api.js";
import { clock, several } from "../format.js";
import { openKill } from "../kill/dialog.js";
import { failure, nothing, waiting } from "../parts.js";
import { go, settle } from "../route.js";
import { arranged } from "./arrange.js";
import { bar } from "./bar.js";
import { asParams, criteriaForm, criteriaIn } from "./criteria.js";
import { details } from "./details.js";
import { grid } from "./grid.js";
import { askPlace, inQuery, mayName, named } from "./place.js";
import { queues } from "./queues.js";
import { COLUMNS, cells, mark, summary } from "./rows.js";

/** Most sessions of one kill. */
const MOST = 1000;
/** The filters; whatever else stands in the address is of the criteria, or a coordinate. */
const NAMES = ["target", "q", "user", "database", "state", "min", "sort", "view", "every"];
const EMPTY = { items: [], complete: true };

export function open(context, { params }) {
  const state = { targets: [], vendors: [], list: EMPTY, rows: [], queues: queues([]), at: null, error: null, loading: true, picked: new Map(), opened: null, ...read(params) };
  const reading = { controller: null, timer: null };
  const top = bar({ change, reload: () => load(), byCoordinates: () => askPlace(state.vendors, state.place, (place) => change({ target: "", place })) });
  const by = criteriaForm({
    change: (criteria) => change({ criteria }),
    preview: (criteria) => kill({ criteria }),
  });
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
  const node = h("div", { class: "live-page" }, top.node, h("div", { class: "second" }, top.view, line, top.reload), by.node, h("div", { class: "split" }, body, side), foot);

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
  function change({ place, criteria, ...fresh }) {
    state.filters = { ...state.filters, ...fresh };
    if (criteria) state.criteria = criteria;
    if ("target" in fresh) {
      Object.assign(state, { place: place ?? null, criteria: {} });
      state.picked.clear();
      Object.assign(state, { list: EMPTY, at: null, error: null, queues: queues([]) });
      Object.assign(state.filters, { q: "", user: "", database: "", state: "", min: "", view: "" });
      closeDetails();
    }
    remember();
    const needs = needed();
    if ("target" in fresh) return aim();
    if (needs.some((name) => name in fresh)) return load();
    if ("every" in fresh) again();
    show();
  }

  /** Has the address say what is shown. */
  function remember() {
    settle("live", { ...Object.fromEntries(NAMES.map((name) => [name, state.filters[name]])), ...state.place, ...asParams(state.criteria) });
  }

  /** The place that is looked at, as `GET /targets` has one. */
  function target() {
    return state.place ? named(state.place, state.vendors) : state.targets.find(({ alias }) => alias === state.filters.target);
  }

  /** What its account can do there. */
  function able() {
    const { vendor: name, account } = target() ?? {};
    const vendor = state.vendors.find((vendor) => vendor.name === name);
    return vendor?.accounts.find((at) => at.account === account) ?? vendor;
  }

  /** Criteria of which the vendor wants one before it lists anything. */
  function needed() {
    return able()?.listing?.needs_one_of ?? [];
  }

  async function load() {
    clearTimeout(reading.timer);
    reading.controller?.abort();
    const controller = (reading.controller = new AbortController());
    if (!target()) return;
    const needs = needed().filter((name) => state.filters[name]);
    state.loading = true;
    show();
    if (needed().length > 0 && needs.length === 0) {
      Object.assign(state, { loading: false, list: EMPTY, error: null, at: null, queues: queues([]) });
      return show();
    }
    try {
      const query = { ...inQuery(target()), ...Object.fromEntries(needs.map((name) => [name, state.filters[name]])) };
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
    by.node.hidden = !mayMatch();
    by.show(state.criteria, needed());
    state.rows = arranged(state.list.items, state.queues, state.filters);
    showLine();
    showBody();
    showFoot();
  }

  /** Criteria choose from a list. */
  function mayMatch() {
    return context.mayKill && Boolean(able()?.listing);
  }

  function showLine() {
    const shown = state.rows.filter(({ session }) => !session.isUnseen).length;
    const free = rowsToPick().length;
    const { count, cut, blocked } = summary({ shown, all: state.list.items.length, complete: state.list.complete, unlisted: state.list.unlisted, queues: state.queues });
    const isTree = state.filters.view === "tree";
    fill(line,
      h("span", { class: "count", role: "status" }, state.at ? count : ""),
      state.at && h("span", { class: "quiet" }, `as of ${clock(state.at)}`),
      blocked && h("span", { class: "chip bad" }, blocked),
      blocked && !isTree && h("button", { type: "button", class: "link", onclick: () => change({ view: "tree" }) }, "show the queues"),
      cut && h("span", { class: "chip warn" }, cut),
      !context.mayKill && state.at && h("span", { class: "quiet" }, "This token may look and not kill."),
      context.mayKill && free > 0 && h("button", { type: "button", class: "link pick-all", onclick: pickAll }, `select all shown (${free})`));
  }

  function rowsToPick() {
    return state.rows.map(({ session }) => session).filter((session) => !session.isUnseen && !session.protected);
  }

  function pickAll() {
    for (const session of rowsToPick().slice(0, MOST)) state.picked.set(session.id, session);
    table.repaint();
    showFoot();
  }

  function showBody() {
    const { rows } = state;
    if (state.error) return fill(body, failure(state.error, () => load()));
    if (state.loading && !state.at) return fill(body, waiting("Reading the list"));
    if (needed().length > 0 && !state.at) {
      return fill(body, nothing(`This vendor lists by ${needed().join(" or ")} only.`, h("p", { class: "quiet" }, "Fill one of these in above.")));
    }
    if (!target()) return fill(body, nothing("There is no target for this caller."));
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
      h("button", { type: "button", class: "danger preview", onclick: () => kill({ sessions: [...state.picked.values()] }) }, "Preview kill"));
  }

  function openDetails(session) {
    state.opened = session.id;
    fill(side, details(session, {
      queues: state.queues, mayKill: context.mayKill, onClose: closeDetails, onKill: () => kill({ sessions: [session] }),
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

  /** `what` is sessions, or criteria. */
  function kill(what) {
    const at = target();
    const vendor = state.vendors.find(({ name }) => name === at.vendor);
    openKill(context, { target: at, vendor, ...what, onSettled: () => {
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
    const keys = { "/": () => top.search.focus(), r: () => load(), j: () => table.focusRow(0), k: () => state.picked.size > 0 && kill({ sessions: [...state.picked.values()] }), c: () => mayMatch() && by.open(state.filters) };
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

  /** Shows the place that the address names, or the first target. */
  async function aim() {
    const isKnown = state.targets.some(({ alias }) => alias === state.filters.target);
    const missing = state.place ? !target() && "This token may not open that place: sessions there can be looked at by their aliases only, if at all."
      : state.filters.target && !isKnown && `There is no target ${state.filters.target} for this caller.`;
    if (!state.place) state.filters.target ||= state.targets[0]?.alias ?? "";
    top.offer(state.targets, state.vendors, { chosen: missing ? null : state.filters.target, named: missing ? null : state.place && target(), mayName: mayName(state.vendors) });
    by.node.hidden = Boolean(missing) || !mayMatch();
    if (missing) return fill(body, nothing(missing, h("button", { type: "button", onclick: () => go("live") }, "Show the others")));
    if (state.place) {
      state.place = target();
      remember();
    }
    if (target()) return load();
    state.loading = false;
    show();
  }

  document.addEventListener("keydown", onKey);
  begin();
  return {
    node,
    update(fresh) {
      const where = () => JSON.stringify([state.filters.target, state.place]);
      const before = where();
      Object.assign(state, read(fresh));
      if (!state.place) state.filters.target ||= state.targets[0]?.alias ?? "";
      if (where() === before) return show();
      // What comes of the target before is nobody's any more.
      reading.controller?.abort();
      Object.assign(state, { list: EMPTY, at: null, error: null, loading: true, queues: queues([]) });
      state.picked.clear();
      closeDetails();
      if (state.vendors.length > 0) aim();
    },
    leave() {
      document.removeEventListener("keydown", onKey);
      clearTimeout(reading.timer);
      reading.controller?.abort();
      table.leave();
    },
  };
}

/** What an address says: filters, criteria, and the place where it has coordinates. */
function read(params) {
  const filters = Object.fromEntries(NAMES.map((name) => [name, params.get(name) ?? ""]));
  const others = [...params].filter(([name, value]) => value && !NAMES.includes(name) && !name.includes("."));
  const place = params.has("vendor") ? Object.fromEntries(others) : null;
  return { filters: { ...filters, target: place ? "" : filters.target, sort: filters.sort || "-seconds" }, criteria: criteriaIn(params), place };
}
