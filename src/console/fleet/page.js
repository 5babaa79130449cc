// Fleet: what the gateway works with, and how it does.

import { fill, h } from "../dom.js";
import { ask, respond } from "../api.js";
import { clock } from "../format.js";
import { failure, icon, waiting } from "../parts.js";
import { samples } from "./metrics.js";
import * as sections from "./sections.js";

const EVERY = 10_000;
const MOST = 500;

export function open(context) {
  const leaving = new AbortController();
  const { signal } = leaving;
  const body = h("div", { class: "fleet-body" }, waiting("Asking the gateway"));
  const at = h("span", { class: "quiet" });
  const again = h("button", { type: "button", onclick: () => load() }, icon("refresh"), "Refresh");
  const node = h("div", { class: "fleet-page" }, h("div", { class: "head" }, h("h1", {}, "Fleet"), at, again), body);
  let timer;

  /** What a part needs, or why it cannot be had: one that fails leaves the others. */
  const part = async (work, show) => {
    try {
      return show(await work);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      return failure(error);
    }
  };

  async function load() {
    clearTimeout(timer);
    again.disabled = true;
    try {
      const metrics = await respond("metrics", { bare: true, signal }).then((response) => response.text()).then(samples).catch(() => new Map());
      const ready = await respond("readyz", { bare: true, signal }).then(() => true, () => false);
      const parts = await Promise.all([
        sections.health({ ready, metrics }),
        context.mayReadOwn && part(ask("kills", { query: { status: "pending,accepted,unknown", order: "oldest", limit: MOST }, signal }),
          ({ items, next_cursor: next }) => sections.open(items, { isCut: next !== null, isOwn: !context.mayReadAll })),
        context.mayReadAll && part(ask("evidence", { signal }), (found) => sections.evidence(found, metrics)),
        part(ask("vendors", { signal }), ({ items }) => sections.vendors(items, metrics)),
        part(ask("targets", { signal }), ({ items }) => sections.targets(items, context.mayList)),
      ]);
      if (signal.aborted) return;
      fill(body, parts);
      at.textContent = `as of ${clock(Date.now())}`;
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(body, failure(error, load));
    }
    again.disabled = false;
    timer = setTimeout(() => (document.hidden || body.contains(document.activeElement) ? (timer = setTimeout(load, EVERY)) : load()), EVERY);
  }

  load();
  return {
    node,
    leave() {
      leaving.abort();
      clearTimeout(timer);
    },
  };
}
