// Which place is looked at: an alias, or the coordinates that stand for one.

import { fill, h } from "../dom.js";
import { dialog, field } from "../parts.js";

/** The accounts of all vendors at which this token may name coordinates and sessions can be listed. */
function offered(vendors) {
  return vendors.flatMap((vendor) => vendor.accounts.filter(({ by_coordinates: may, listing }) => may && listing).map((account) => ({ vendor, account })));
}

/** The coordinates that an account's targets can have. */
function fieldsOf({ vendor, account }) {
  return vendor.coordinates.filter(({ name }) => account.coordinates.includes(name));
}

/** Whether coordinates can be named at all. */
export function mayName(vendors) {
  return offered(vendors).length > 0;
}

/**
 * The place that an address names, as `GET /targets` has one, and the account it is at; null where this token may name none
 * such. What is no coordinate of that vendor is left out: a link takes nothing along that nobody asked for.
 */
export function named(given, vendors) {
  const fits = offered(vendors).filter(({ vendor, account }) => vendor.name === given.vendor && [undefined, account.account].includes(given.account));
  if (fits.length !== 1) return null;
  const [at] = fits;
  const coordinates = fieldsOf(at).map(({ name }) => [name, given[name]]).filter(([, value]) => value);
  return { vendor: at.vendor.name, account: at.account.account, ...Object.fromEntries(coordinates) };
}

/** What a request says of a place in its body. */
export function inBody({ alias, ...coordinates }) {
  return alias ?? coordinates;
}

/** The same in a query, and in the address bar. */
export function inQuery(target) {
  const place = inBody(target);
  return typeof place === "string" ? { target: place } : place;
}

/** Asks for coordinates; `done` hears of the place. */
export function askPlace(vendors, current, done) {
  const accounts = offered(vendors);
  const { box, body } = dialog("A place by its coordinates");
  const chosen = Math.max(0, accounts.findIndex(({ vendor, account }) => vendor.name === current?.vendor && account.account === current?.account));
  const select = h("select", { name: "account", onchange: () => show() },
    accounts.map(({ vendor, account }, at) => h("option", { value: at, selected: at === chosen }, `${vendor.product}: ${account.account}`)));
  const fields = h("div", { class: "step" });

  function show() {
    fill(fields, fieldsOf(accounts[select.value]).map(({ name, required, one_of: group, expected, example }) => field(
      required ? name : group ? `${name} (or another of ${group})` : `${name} (may be left out)`,
      h("input", { name, required, value: current?.[name], placeholder: example, maxlength: 255, autocomplete: "off", spellcheck: "false" }),
      expected)));
  }

  function submit(event) {
    event.preventDefault();
    const { vendor, account } = accounts[select.value];
    const given = [...new FormData(event.target)].filter(([name]) => name !== "account").map(([name, value]) => [name, value.trim()]).filter(([, value]) => value);
    box.close();
    done({ vendor: vendor.name, account: account.account, ...Object.fromEntries(given) });
  }

  show();
  body.append(h("form", { class: "step place", onsubmit: submit },
    field("Vendor and account", select), fields,
    h("div", { class: "buttons" }, h("span", { class: "grow" }), h("button", { type: "button", onclick: () => box.close() }, "Cancel"), h("button", { type: "submit", class: "primary" }, "Open"))));
  select.focus();
}
