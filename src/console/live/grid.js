// A grid of which only those rows exist that can be seen: ten thousand are as quick as ten.

import { fill, h } from "../dom.js";

/** Rows above and below what can be seen. */
const BEYOND = 8;
const NARROW = window.matchMedia("(max-width: 760px)");

/**
 * `columns`: `{ name, title, sort }`. `cells(row)` makes the cells of a row, `mark(row)` its classes. `onOpen` and `onToggle`
 * hear of Enter and the space bar, `onSort` of a column's head. Heights are in pixels.
 */
export function grid({ label, columns, cells, mark, onOpen, onToggle, onSort, heights }) {
  const body = h("div", { class: "grid-body", role: "rowgroup" });
  const head = h("div", { class: "grid-row grid-head", role: "row", "aria-rowindex": 1 });
  const node = h("div", { class: "grid", role: "grid", "aria-label": label }, h("div", { role: "rowgroup", class: "grid-top" }, head), body);
  let rows = [];
  let made = new Map();
  let active = 0;
  let lastSort;

  const height = () => (NARROW.matches ? heights.narrow : heights.wide);

  function heads(sort) {
    fill(head, columns.map(({ name, title, sort: key }) => {
      const direction = sort?.replace(/^-/, "") === key && key ? (sort.startsWith("-") ? "descending" : "ascending") : null;
      const content = key
        ? h("button", { type: "button", class: "bare", onclick: () => onSort(key) }, title, h("span", { "aria-hidden": "true", class: "sorted" }, direction ? (direction === "ascending" ? "▲" : "▼") : ""))
        : title;
      return h("div", { role: "columnheader", class: `cell ${name}`, "aria-sort": direction }, content);
    }));
  }

  function paint() {
    const tall = height();
    const first = Math.max(0, Math.floor(node.scrollTop / tall) - BEYOND);
    const last = Math.min(rows.length, Math.ceil((node.scrollTop + node.clientHeight) / tall) + BEYOND);
    const focused = body.contains(document.activeElement) ? document.activeElement.closest(".grid-row") : null;
    const next = new Map();
    for (let at = first; at < last; at += 1) {
      const row = rows[at];
      const element = made.get(row.session.id) ?? make(row);
      element.setAttribute("aria-rowindex", at + 2);
      element.tabIndex = at === active ? 0 : -1;
      element.style.transform = `translateY(${at * tall}px)`;
      element.dataset.at = at;
      next.set(row.session.id, element);
    }
    for (const [id, element] of made) if (!next.has(id) && element !== focused) element.remove();
    for (const element of next.values()) if (!element.isConnected) body.append(element);
    made = next;
  }

  function make(row) {
    return h("div", { class: `grid-row ${mark(row)}`, role: "row", "data-id": row.session.id }, cells(row));
  }

  function set(fresh, { sort } = {}) {
    lastSort = sort;
    const at = body.contains(document.activeElement) ? document.activeElement : null;
    const focus = at && { id: at.closest(".grid-row").dataset.id, box: at.matches("input") };
    rows = fresh;
    active = Math.min(active, Math.max(0, rows.length - 1));
    made = new Map();
    fill(body);
    heads(sort);
    body.style.height = `${rows.length * height()}px`;
    node.setAttribute("aria-rowcount", rows.length + 1);
    paint();
    if (focus) {
      const row = made.get(focus.id);
      (focus.box ? row?.querySelector("input") : row)?.focus({ preventScroll: true });
    }
  }

  /** Makes those rows anew that can be seen. */
  function repaint() {
    set(rows, { sort: lastSort });
  }

  function focusRow(at) {
    active = Math.max(0, Math.min(rows.length - 1, at));
    const tall = height();
    const top = active * tall;
    const seen = node.clientHeight - head.offsetHeight;
    if (top < node.scrollTop) node.scrollTop = top;
    else if (top + tall > node.scrollTop + seen) node.scrollTop = top + tall - seen;
    paint();
    made.get(rows[active]?.session.id)?.focus({ preventScroll: true });
  }

  const page = () => Math.max(1, Math.floor(node.clientHeight / height()) - 2);
  const moves = { ArrowDown: () => active + 1, ArrowUp: () => active - 1, PageDown: () => active + page(), PageUp: () => active - page(), Home: () => 0, End: () => rows.length - 1 };
  body.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const element = event.target.closest(".grid-row");
    active = Number(element.dataset.at);
    const row = rows[active];
    if (moves[event.key]) focusRow(moves[event.key]());
    else if (event.key === " " && !event.target.matches("input, button")) onToggle(row);
    else if (event.key === "Enter" && !event.target.matches("button")) onOpen(row);
    else return;
    event.preventDefault();
  });
  body.addEventListener("click", (event) => {
    const element = event.target.closest(".grid-row");
    if (!element || event.target.closest("input, label, button, a")) return;
    if (String(document.getSelection()) !== "") return;
    active = Number(element.dataset.at);
    onOpen(rows[active]);
  });
  let asked = 0;
  node.addEventListener("scroll", () => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(paint);
  }, { passive: true });
  const resized = new ResizeObserver(() => {
    body.style.height = `${rows.length * height()}px`;
    paint();
  });
  resized.observe(node);

  return {
    node,
    set,
    repaint,
    focusRow,
    rows: () => rows,
    leave: () => resized.disconnect(),
  };
}
