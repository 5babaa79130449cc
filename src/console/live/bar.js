// The bar above the list: where, which, how often.

import { debounced, fill, freshId, h } from "../dom.js";
import { targetName } from "../format.js";
import { field, icon } from "../parts.js";
import { values } from "./arrange.js";

const PERIODS = [["", "by hand"], ["5", "every 5 s"], ["15", "every 15 s"]];

/** Calls it once nobody has typed for so long, and at once when somebody goes elsewhere. */
function typed(input, milliseconds, work) {
  let isDue = false;
  const tell = () => {
    if (isDue) work();
    isDue = false;
  };
  const later = debounced(milliseconds, tell);
  input.addEventListener("input", () => {
    isDue = true;
    later();
  });
  // What was told already is not told again: the list would be made anew under somebody's click.
  input.addEventListener("change", tell);
}

/** The bar; `change` hears of new parameters, `reload` of a wish for a new list, `byCoordinates` of one for another place. */
export function bar({ change, reload, byCoordinates }) {
  const target = h("select", { name: "target", onchange: () => change({ target: target.value }) });
  const q = h("input", { type: "search", name: "q", placeholder: "user, client, statement …", autocomplete: "off", spellcheck: "false" });
  typed(q, 120, () => change({ q: q.value }));
  const choices = {};
  const choice = (name, title) => {
    const list = h("datalist", { id: freshId(name) });
    const input = h("input", { name, list: list.id, autocomplete: "off", spellcheck: "false", placeholder: "any" });
    typed(input, 200, () => change({ [name]: input.value.trim() }));
    choices[name] = { input, list };
    return h("div", { class: "field short" }, h("label", { for: (input.id = freshId("choice")) }, title), input, list);
  };
  const min = h("input", { name: "min", type: "number", min: 0, inputmode: "numeric", placeholder: "0" });
  typed(min, 200, () => change({ min: min.value }));
  const view = h("div", { class: "segments", role: "group", "aria-label": "View" },
    [["list", "All"], ["tree", "Who blocks whom"]].map(([name, title]) => h("button", { type: "button", "data-view": name, onclick: () => change({ view: name }) }, title)));
  const every = h("select", { name: "every", "aria-label": "How often the list is read", onchange: () => change({ every: every.value }) },
    PERIODS.map(([value, title]) => h("option", { value }, title)));
  const again = h("button", { type: "button", class: "refresh", "aria-label": "Refresh", title: "Read the list again (r)", onclick: reload }, icon("refresh"), "Refresh");
  const place = h("button", { type: "button", class: "coordinates", hidden: true, onclick: byCoordinates }, "By coordinates");
  const node = h("form", { class: "bar", role: "search", "aria-label": "Sessions", onsubmit: (event) => (event.preventDefault(), reload()) },
    field("Target", target), place,
    h("div", { class: "grow" }, field("Search", q)),
    choice("user", "User"), choice("database", "Database"), choice("state", "State"),
    h("div", { class: "field short least" }, h("label", { for: (min.id = freshId("min")) }, "At least, s"), min));

  return {
    node,
    view,
    reload: h("div", { class: "reload" }, every, again),
    search: q,
    /** The targets there are, grouped by vendor, and the place by its coordinates where one is open. */
    offer(targets, vendors, { chosen, named, mayName }) {
      place.hidden = !mayName;
      const groups = new Map();
      for (const item of targets) groups.set(item.vendor, [...(groups.get(item.vendor) ?? []), item]);
      const product = (name) => vendors.find((vendor) => vendor.name === name)?.product ?? name;
      fill(target, named && h("option", { value: "", selected: true }, `${named.vendor}: ${targetName(named)}`), [...groups].map(([vendor, items]) => h("optgroup", { label: product(vendor) },
        items.map(({ alias }) => h("option", { value: alias, selected: alias === chosen }, alias)))));
    },
    /** What the parameters say; a field that somebody writes in is left alone. */
    show(filters, sessions) {
      const set = (control, value) => {
        if (document.activeElement !== control && control.value !== value) control.value = value ?? "";
      };
      set(target, filters.target);
      set(q, filters.q);
      set(min, filters.min ? String(filters.min) : "");
      set(every, filters.every);
      for (const [name, { input, list }] of Object.entries(choices)) {
        set(input, filters[name]);
        fill(list, values(sessions, name).slice(0, 50).map((value) => h("option", { value })));
      }
      for (const button of view.children) button.setAttribute("aria-pressed", button.dataset.view === filters.view);
    },
    busy(is) {
      again.classList.toggle("busy", is);
    },
  };
}
