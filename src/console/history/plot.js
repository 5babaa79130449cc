// How many kills there were, by hour or day, stacked by status: drawn by hand.

import { fill, h, svg } from "../dom.js";
import { ask } from "../api.js";
import { count, moment, several } from "../format.js";
import { failure } from "../parts.js";
import { STATUS_WORDS, plain } from "../words.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** So much time is told by the hour; more by the day. */
const BY_HOUR = 4 * DAY;
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [960, 150, 34, 20, 8];
const MOST_SLOTS = 1000;

/** The plot. `pick` hears of the time of a bar that was chosen. */
export function plot(pick) {
  const node = h("section", { class: "plot", "aria-label": "Kills over time" });

  async function show(filters, signal) {
    const until = filters.until ? new Date(filters.until).getTime() : Date.now();
    const since = filters.since ? new Date(filters.since).getTime() : until - DAY;
    // Which one, and what it may be, is told where the list would be.
    if (Number.isNaN(since) || Number.isNaN(until)) return fill(node, h("p", { class: "quiet" }, "No plot: a time of the filters is none."));
    const per = until - since > BY_HOUR ? "day" : "hour";
    const step = per === "day" ? DAY : HOUR;
    if (until <= since || (until - since) / step > MOST_SLOTS) return fill(node, h("p", { class: "quiet" }, "The time between is too long for a plot."));
    try {
      const query = { ...filters, since: new Date(since).toISOString(), by: "status", per };
      const { items } = await ask("kills/stats", { query, signal });
      const slots = slotsOf(items, since, until, step);
      fill(node, head(slots, per, filters), drawing(slots, step, per, pick), table(slots));
    } catch (error) {
      if (error.name !== "AbortError") fill(node, failure(error));
    }
  }
  return { node, show };
}

/** One slot for each hour or day, with its counts by status. */
function slotsOf(items, since, until, step) {
  const slots = new Map();
  for (let at = Math.floor(since / step) * step; at < until; at += step) slots.set(at, { at, counts: {}, all: 0 });
  for (const { from, status, count: number } of items) {
    const at = Math.floor(new Date(from).getTime() / step) * step;
    const slot = slots.get(at) ?? { at, counts: {}, all: 0 };
    slot.counts[status] = number;
    slot.all += number;
    slots.set(at, slot);
  }
  return [...slots.values()].sort((one, other) => one.at - other.at);
}

function head(slots, per, filters) {
  const there = STATUS_WORDS.filter((status) => slots.some(({ counts }) => counts[status]));
  const all = slots.reduce((sum, slot) => sum + slot.all, 0);
  return h("header", {},
    h("p", {}, h("strong", {}, several(all, "kill")), h("span", { class: "quiet" }, ` by the ${per}, ${filters.since ? "in that time" : "last 24 hours"}`)),
    h("ul", { class: "legend" }, there.map((status) => h("li", {}, h("span", { class: `swatch s-${status}`, "aria-hidden": "true" }), plain(status)))));
}

function drawing(slots, step, per, pick) {
  const most = niceMost(Math.max(1, ...slots.map(({ all }) => all)));
  const [wide, tall] = [WIDTH - LEFT, HEIGHT - BOTTOM - TOP];
  const each = wide / slots.length;
  const y = (number) => TOP + tall - (number / most) * tall;
  const ticks = [0, most / 2, most].filter(Number.isInteger);
  const bars = slots.filter(({ all }) => all > 0).map((slot) => bar(slot, { x: LEFT + slots.indexOf(slot) * each, each, y, step, pick }));
  const every = Math.ceil(slots.length / 8);
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "bars", role: "group", "aria-label": "A bar for each time; choose one to narrow to it" },
    ticks.map((tick) => [
      svg("line", { x1: LEFT, x2: WIDTH, y1: y(tick), y2: y(tick), class: "rule" }),
      svg("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, count(tick)),
    ]),
    slots.map(({ at }, index) => index % every === 0 && svg("text", { x: LEFT + index * each, y: HEIGHT - 4 }, label(at, per))),
    bars);
}

function bar(slot, { x, each, y, step, pick }) {
  let below = 0;
  const gap = Math.min(3, each * 0.2);
  const parts = STATUS_WORDS.filter((status) => slot.counts[status]).map((status) => {
    const [from, to] = [below, below + slot.counts[status]];
    below = to;
    return svg("rect", { x: x + gap / 2, width: Math.max(1, each - gap), y: y(to), height: y(from) - y(to), class: `s-${status}` });
  });
  const title = `${moment(slot.at)}: ${told(slot)}`;
  const choose = () => pick(new Date(slot.at).toISOString(), new Date(slot.at + step).toISOString());
  return svg("g", {
    class: "bar-of", tabindex: 0, role: "button", "aria-label": title, onclick: choose,
    onkeydown: (event) => ["Enter", " "].includes(event.key) && (event.preventDefault(), choose()),
  }, svg("title", {}, title), svg("rect", { x, width: each, y: TOP, height: y(0) - TOP, class: "catch" }), parts);
}

function told({ counts }) {
  return STATUS_WORDS.filter((status) => counts[status]).map((status) => `${counts[status]} ${plain(status)}`).join(", ");
}

/** The same for who does not see it. A table itself cannot be made narrower than its words. */
function table(slots) {
  return h("div", { class: "hidden" }, h("table", {}, h("caption", {}, "Kills over time"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "From"), h("th", { scope: "col" }, "Kills"))),
    h("tbody", {}, slots.filter(({ all }) => all > 0).map((slot) => h("tr", {}, h("th", { scope: "row" }, moment(slot.at)), h("td", {}, told(slot)))))));
}

function niceMost(number) {
  const power = 10 ** Math.floor(Math.log10(number));
  const nice = [1, 2, 4, 6, 8, 10].find((times) => times * power >= number) * power;
  return number <= 2 ? 2 : nice;
}

function label(at, per) {
  const time = new Date(at);
  const two = (number) => String(number).padStart(2, "0");
  return per === "day" ? `${two(time.getMonth() + 1)}-${two(time.getDate())}` : `${two(time.getHours())}:${two(time.getMinutes())}`;
}
