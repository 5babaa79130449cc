// Which sessions a kill is to end, by what they are and not by their ids: the `match` of the API.

import { fill, h } from "../dom.js";
import { field } from "../parts.js";

/** Every criterion, by its name in the API: its title, and how it is asked for. */
const CRITERIA = {
  user: { title: "User", hint: "report, etl_*" },
  database: { title: "Database", hint: "orders" },
  host: { title: "Client", hint: "10.0.1.*" },
  command: { title: "Command", hint: "Query" },
  state: { title: "State", hint: "idle*" },
  statement: { title: "Statement contains", hint: "from orders" },
  min_seconds: { title: "For at least", hint: "10m" },
  min_transaction_seconds: { title: "Transaction for at least", hint: "10m" },
  idle_in_transaction: { title: "Idle in a transaction", flag: true },
  blocking: { title: "Blocks others", flag: true },
  limit: { title: "Most sessions", number: true },
  order: { title: "First", words: { longest: "the longest", newest: "the newest" } },
};
/** What narrows down and chooses nobody. */
const NARROWS = ["limit", "order"];
/** How they stand in the address bar: the list has filters of the same names. */
const PREFIX = "end.";

/** The criteria that parameters have. */
export function criteriaIn(params) {
  return Object.fromEntries(Object.keys(CRITERIA).map((name) => [name, params.get(PREFIX + name)]).filter(([, value]) => value));
}

/** The same as parameters. */
export function asParams(given) {
  return Object.fromEntries(Object.entries(given).map(([name, value]) => [PREFIX + name, value]));
}

/** The same as a request has them. */
export function asMatch(given) {
  return Object.fromEntries(Object.entries(given).map(([name, value]) => [name, CRITERIA[name].flag ? true : CRITERIA[name].number ? Number(value) : value]));
}

/** The same for people, as pairs. */
export function inWords(given) {
  return Object.entries(given).map(([name, value]) => [CRITERIA[name].title, CRITERIA[name].flag ? "yes" : CRITERIA[name].words?.[value] ?? h("code", {}, value)]);
}

/** A text that is meant as it is, and not as a pattern. */
const exactly = (text) => text.replaceAll("\\", "\\\\").replaceAll("*", "\\*");

/** The form; `change` hears of the criteria, `preview` that a kill by them is wanted. */
export function criteriaForm({ change, preview }) {
  const controls = Object.fromEntries(Object.entries(CRITERIA).map(([name, how]) => [name, control(name, how)]));
  const needs = h("p", { class: "quiet" });
  const go = h("button", { type: "submit", class: "danger" }, "Preview kill by criteria");
  const form = h("form", { class: "filters", "aria-label": "End by criteria", onsubmit: submit },
    h("p", { class: "quiet" }, "Whoever meets all that is given. * stands for any run of characters; a time is seconds, or such as 90s, 10m, 1h. What is protected is spared, and what is not known of a session meets nothing."),
    needs,
    h("div", { class: "fields" }, Object.entries(controls).filter(([name]) => !CRITERIA[name].flag).map(([name, element]) => field(CRITERIA[name].title, element))),
    h("div", { class: "last" },
      Object.entries(controls).filter(([name]) => CRITERIA[name].flag).map(([name, element]) => h("label", { class: "flag" }, element, CRITERIA[name].title)),
      h("span", { class: "grow" }),
      h("button", { type: "button", onclick: () => { put({}); tell(); } }, "Clear"), go));
  const node = h("details", { class: "criteria" }, h("summary", {}, "End by criteria"), form);
  form.addEventListener("input", () => tell());

  function values() {
    const given = Object.entries(controls).map(([name, element]) => [name, element.type === "checkbox" ? (element.checked ? "true" : "") : element.value.trim()]);
    return Object.fromEntries(given.filter(([, value]) => value));
  }

  function put(given) {
    for (const [name, element] of Object.entries(controls)) {
      if (document.activeElement === element) continue;
      if (element.type === "checkbox") element.checked = given[name] === "true";
      else element.value = given[name] ?? "";
    }
    tellReady();
  }

  const choosesSome = () => Object.keys(values()).some((name) => !NARROWS.includes(name));

  function tellReady() {
    go.disabled = !choosesSome();
  }

  function tell() {
    tellReady();
    change(values());
  }

  function submit(event) {
    event.preventDefault();
    if (choosesSome()) preview(values());
  }

  return {
    node,
    /** What the address says, and of which criteria the vendor wants one. */
    show(given, needed) {
      put(given);
      if (Object.keys(given).length > 0) node.open = true;
      fill(needs, needed.length > 0 && `This vendor lists by ${needed.join(" or ")} only: give one of them.`);
      needs.hidden = needed.length === 0;
    },
    /** Opens it; where nothing is given yet it begins with what the list is filtered by. */
    open({ user, database, min }) {
      node.open = true;
      if (Object.keys(values()).length === 0) {
        put({ user: exactly(user), database: exactly(database), min_seconds: min });
        tell();
      }
      controls.user.focus();
    },
  };
}

function control(name, { hint, flag, number, words }) {
  if (flag) return h("input", { name, type: "checkbox" });
  if (number) return h("input", { name, type: "number", min: 1, max: 1000, inputmode: "numeric", placeholder: "any" });
  if (words) return h("select", { name }, h("option", { value: "" }, "any"), Object.entries(words).map(([value, title]) => h("option", { value }, title)));
  return h("input", { name, maxlength: 255, autocomplete: "off", spellcheck: "false", placeholder: hint });
}
