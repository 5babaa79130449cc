// The filters of the history: those of the API, in the address bar.

import { fill, h } from "../dom.js";
import { field } from "../parts.js";
import { OUTCOME_WORDS, STATUS_WORDS, plain } from "../words.js";

/** Every filter of `GET /kills`, by its name there. */
export const NAMES = [
  "status", "outcome", "target", "user", "caller", "reason", "since", "until",
  "vendor", "account", "database", "on_behalf_of", "instance_id", "session_id", "ever_unknown",
];
const TITLES = {
  status: "Status", outcome: "Outcome", target: "Target", user: "Database user", caller: "Caller", reason: "Reason",
  since: "From", until: "Until", vendor: "Vendor", account: "Account", database: "Database", on_behalf_of: "On behalf of",
  instance_id: "Instance", session_id: "Session", ever_unknown: "Was ever unknown",
};
const HINTS = { target: "orders-*", caller: "chatops-*", reason: "INC-4711", session_id: "1111,1112" };
/** What only those may ask for who may see whose sessions were. */
const IDENTITIES = ["user", "database"];
const FIRST = ["reason", "target", "user", "caller", "status", "outcome"];
const TIMES = ["since", "until"];
const PERIODS = [["last hour", 3600], ["24 h", 86_400], ["7 days", 604_800], ["30 days", 2_592_000]];

/** The form; `change` hears of the whole of the filters. */
export function filters(context, change) {
  const offered = NAMES.filter((name) => context.seesIdentities || !IDENTITIES.includes(name));
  const controls = Object.fromEntries(offered.map((name) => [name, control(name)]));
  const put = (name) => field(TITLES[name], controls[name]);
  const period = (seconds) => {
    controls.since.value = local(new Date(Date.now() - seconds * 1000).toISOString());
    controls.until.value = "";
    submit();
  };
  const chosen = h("div", { class: "chosen" });
  const more = h("details", { class: "more" }, h("summary", {}, "More filters"),
    h("div", { class: "fields" }, offered.filter((name) => !FIRST.includes(name) && !TIMES.includes(name)).map(put)));
  const node = h("form", { class: "filters", role: "search", "aria-label": "Kills", onsubmit: (event) => (event.preventDefault(), submit()) },
    h("div", { class: "fields" }, offered.filter((name) => FIRST.includes(name)).sort((a, b) => FIRST.indexOf(a) - FIRST.indexOf(b)).map(put)),
    h("div", { class: "last" }, TIMES.map(put),
      h("div", { class: "periods grow" }, PERIODS.map(([title, seconds]) => h("button", { type: "button", class: "bare", onclick: () => period(seconds) }, title))),
      h("button", { type: "button", onclick: () => change({}) }, "Clear"),
      h("button", { type: "submit", class: "primary" }, "Show")),
    more,
    chosen);
  node.addEventListener("change", (event) => event.target.matches("select") && submit());

  function values() {
    const given = offered.map((name) => [name, TIMES.includes(name) ? utc(controls[name].value) : controls[name].value.trim()]);
    return Object.fromEntries(given.filter(([, value]) => value));
  }

  function submit() {
    change(values());
  }

  return {
    node,
    show(given) {
      for (const [name, element] of Object.entries(controls)) {
        const value = given[name] ?? "";
        const isTime = TIMES.includes(name);
        if (element.matches("select") && value && ![...element.options].some((option) => option.value === value)) {
          element.append(h("option", { value }, value.split(",").map(plain).join(" or ")));
        }
        element.value = isTime ? local(value) : value;
      }
      if (offered.some((name) => !FIRST.includes(name) && !TIMES.includes(name) && given[name])) more.open = true;
      fill(chosen, Object.entries(given).map(([name, value]) => h("button", {
        type: "button", class: "chip mute remove", "aria-label": `Without ${TITLES[name]} ${value}`,
        onclick: () => change(Object.fromEntries(Object.entries(given).filter(([other]) => other !== name))),
      }, `${TITLES[name]}: ${TIMES.includes(name) ? local(value).replace("T", " ") || value : value.split(",").map(plain).join(" or ")}`, h("span", { "aria-hidden": "true" }, " ×"))));
    },
  };
}

function control(name) {
  const choice = (words) => h("select", { name }, h("option", { value: "" }, "any"), words.map((word) => h("option", { value: word }, plain(word))));
  if (name === "status") {
    const node = choice(STATUS_WORDS);
    node.append(h("option", { value: "pending,accepted,unknown" }, "open: not known yet"), h("option", { value: "failed,partial,unknown" }, "went wrong"));
    return node;
  }
  if (name === "outcome") return choice(OUTCOME_WORDS);
  if (name === "ever_unknown") return choice(["true", "false"]);
  if (TIMES.includes(name)) return h("input", { name, type: "datetime-local", step: 1 });
  return h("input", { name, autocomplete: "off", spellcheck: "false", placeholder: HINTS[name] ?? "any" });
}

/** A time of the API in the form of a field, which is in this browser's own zone. */
function local(text) {
  const time = new Date(text);
  if (!text || Number.isNaN(time.getTime())) return "";
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function utc(text) {
  const time = new Date(text);
  return text && !Number.isNaN(time.getTime()) ? time.toISOString().replace(/\.\d+Z$/, "Z") : "";
}
