// What the page of the fleet is made of.

import { h } from "../dom.js";
import { ago, coordinates, count, duration, moment, several, targetName } from "../format.js";
import { facts, statusChip } from "../parts.js";
import { link } from "../route.js";
import { total } from "./metrics.js";

function card(title, ...content) {
  return h("section", { class: "card" }, h("h2", {}, title), content);
}

function figure(title, value, tone, hint) {
  return h("div", { class: `figure ${tone ?? ""}`, title: hint }, h("p", { class: "value" }, value), h("p", { class: "quiet" }, title));
}

/** Whether this gateway works, in a few figures. */
export function health({ ready, metrics }) {
  const number = (name) => total(metrics, `killgate_${name}`);
  const lag = number("index_lag_seconds");
  const failures = number("audit_failures_total");
  const lost = number("outcomes_lost_total");
  return h("div", { class: "figures" },
    figure("this gateway", ready ? "ready" : "not ready", ready ? "good" : "bad", "GET /readyz: whether it can record"),
    figure("kills under way", count(number("kills_in_flight") ?? 0)),
    figure("followed now", count(number("streams") ?? 0), null, "Callers that follow a kill"),
    figure("index lag", duration(Math.round(lag ?? 0)), lag > 60 ? "warn" : null, "For how long the oldest kill that has ended waits to be found by filters"),
    figure("records not written", count(failures ?? 0), failures > 0 ? "warn" : null, "Records that could not be written in time, since this gateway's start"),
    figure("outcomes lost", count(lost ?? 0), lost > 0 ? "bad" : null, "Outcomes that will never be on record; the log has them"));
}

const AGES = [["under a minute", 60], ["1 to 5 minutes", 300], ["5 to 15 minutes", 900], ["older", Infinity]];

/** Kills that are not known to have ended, by age. */
export function open(kills, { isCut, isOwn }) {
  const now = Date.now();
  const age = ({ requested_at: at }) => (now - new Date(at).getTime()) / 1000;
  const buckets = AGES.map(([title, below], at) => [title, kills.filter((kill) => age(kill) < below && age(kill) >= (AGES[at - 1]?.[1] ?? 0)).length]);
  return card(isOwn ? "Your open kills" : "Open kills",
    kills.length === 0 ? h("p", { class: "quiet" }, "None: of every kill it is known what became of it.") : [
      h("ul", { class: "buckets" }, buckets.map(([title, number]) => h("li", { class: number > 0 ? "some" : null }, h("strong", {}, count(number)), ` ${title}`))),
      h("table", {}, h("thead", {}, h("tr", {}, ["Asked", "Status", "Target", "By"].map((title) => h("th", { scope: "col" }, title)))),
        h("tbody", {}, kills.slice(0, 8).map((kill) => h("tr", {},
          h("td", {}, h("a", { href: link(`kill/${kill.id}`), title: moment(kill.requested_at) }, ago(kill.requested_at))),
          h("td", {}, statusChip(kill.status)), h("td", {}, targetName(kill.target)), h("td", {}, kill.caller))))),
      h("p", {}, h("a", { href: link("history", { status: "pending,accepted,unknown" }) }, isCut ? "All of them, more than are counted here" : "All of them")),
    ]);
}

/** Vendors and accounts: limits and pace, and whether they are left alone. */
export function vendors(items, metrics) {
  const rows = items.flatMap((vendor) => vendor.accounts.map((account) => ({ vendor, account })));
  const without = items.filter(({ accounts }) => accounts.length === 0).map(({ product }) => product);
  return card("Vendors",
    rows.length === 0 ? h("p", { class: "quiet" }, "No account is configured.") : h("div", { class: "table-box", tabindex: 0, role: "region", "aria-label": "Vendors" }, h("table", { class: "vendors" },
      h("thead", {}, h("tr", {}, ["Product", "Account", "Endpoint", "Pace, calls a second", "A minute", "Urgent part", "Calls so far", "Lists"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, rows.map(({ vendor, account }) => vendorRow(vendor, account, metrics))))),
    without.length > 0 && h("p", { class: "quiet" }, `Without an account here: ${without.join(", ")}.`));
}

function vendorRow(vendor, account, metrics) {
  const { current_requests_per_second: pace, requests_per_second: limit } = account;
  const of = (labels) => labels.vendor === vendor.name && labels.account === account.account;
  const calls = total(metrics, "killgate_calls_total", of) ?? 0;
  const failed = total(metrics, "killgate_calls_total", (labels) => of(labels) && labels.result !== "ok") ?? 0;
  const listing = account.listing;
  return h("tr", {},
    h("td", {}, vendor.product),
    h("td", {}, account.account),
    h("td", {}, account.is_down
      ? h("span", { class: "chip bad", title: "Calls keep failing: it is only probed for now" }, "left alone")
      : h("span", { class: "chip good" }, "in use")),
    h("td", {}, h("div", { class: "pace" },
      h("meter", { min: 0, max: limit, value: pace, low: limit * 0.5, high: limit * 0.9, optimum: limit, "aria-label": `Pace at ${account.account}` }),
      h("span", {}, pace < limit ? `${pace} of ${limit}` : String(limit)))),
    h("td", {}, account.requests_per_minute ?? "–"),
    h("td", {}, `${account.reserved_percent} %`),
    h("td", {}, count(calls), failed > 0 && h("span", { class: "warn-text" }, `, ${count(failed)} not ok`)),
    h("td", {}, !listing ? "no" : [listing.most ? `at most ${listing.most}` : "all", listing.needs_one_of.length > 0 && ` by ${listing.needs_one_of.join(" or ")}`]));
}

/** The aliases of this caller. */
export function targets(items, mayList) {
  return card("Targets", items.length === 0 ? h("p", { class: "quiet" }, "No alias is for this caller.") : h("div", { class: "table-box", tabindex: 0, role: "region", "aria-label": "Targets" }, h("table", { class: "targets" },
    h("thead", {}, h("tr", {}, ["Alias", "Vendor", "Account", "Where"].map((title) => h("th", { scope: "col" }, title)))),
    h("tbody", {}, items.map((target) => h("tr", {},
      h("td", {}, mayList ? h("a", { href: link("live", { target: target.alias }) }, target.alias) : target.alias),
      h("td", {}, target.vendor), h("td", {}, target.account),
      h("td", { class: "mono small" }, coordinates(target).map(([, value]) => value).join("  "))))))));
}

/** What shows that nobody touched the record. */
export function evidence(found, metrics) {
  const failures = total(metrics, "killgate_checkpoint_failures_total") ?? 0;
  const held = total(metrics, "killgate_seal_failures_total") ?? 0;
  const { last_block: block, public_key: key, waiting_seconds: waits, checkpoints, last_verification: check } = found;
  if (!key && !block) {
    return card("Evidence", h("p", { class: "notice warn" }, "No key is set, so nothing is sealed: a later change of the record would not be noticed."));
  }
  return card("Evidence",
    block && !block.is_signed && h("p", { class: "notice bad" }, "The signature of the last block is wrong: run killgate audit verify."),
    block ? facts([
      ["Last block", `${count(block.number)}, ${several(block.entries, "entry", "entries")}`],
      ["Sealed", h("span", { title: moment(block.sealed_at) }, ago(block.sealed_at))],
      ["Signature", block.is_signed ? "good" : "wrong"],
      ["Sealed in all", count(block.total)],
      ["Waits to be sealed", waits === null ? "nothing" : `for ${duration(waits)}`],
      ["Head", h("span", { class: "mono small" }, block.head)],
      ["Public key", h("span", { class: "mono small" }, block.public_key)],
    ]) : h("p", { class: "quiet" }, "No block is sealed yet."),
    h("h3", {}, "Last verification"),
    verification(check, block),
    h("h3", {}, "Checkpoints"),
    checkpoints.length === 0
      ? h("p", { class: "quiet" }, "None go outside: whoever cuts off the newest blocks is not found.")
      : h("table", {}, h("thead", {}, h("tr", {}, ["To", "Last block there", "Delivered"].map((title) => h("th", { scope: "col" }, title)))),
        h("tbody", {}, checkpoints.map(({ to, number, at, is_failing: failing }) => h("tr", {},
          h("td", {}, to === "file" ? "a file" : "a URL"), h("td", {}, number === null ? "none yet" : count(number)),
          h("td", {}, at ? h("span", { title: moment(at) }, ago(at)) : "not by this gateway yet", failing && h("span", { class: "chip bad" }, "fails")))))),
    (failures > 0 || held > 0) && h("p", { class: "warn-text" }, `Since this gateway's start ${several(held, "block")} could not be sealed at once, and ${several(failures, "checkpoint")} not delivered at once or contradicted the record.`),
    h("p", { class: "quiet" }, "Whether the record is what was sealed is told by whoever has the key from elsewhere: ", h("code", {}, "killgate audit verify --key PUB"), "."));
}

/** What the last check of the whole record found, as whoever ran it noted it. */
function verification(check, block) {
  if (!check) return h("p", { class: "quiet" }, "None is noted: nobody has checked the record, or whoever did may only read it.");
  const { at, status, found, blocks, verified } = check;
  const [tone, word] = status === 0 ? ["good", "nothing was wrong"] : status === 3 ? ["warn", "nothing was sealed"] : ["bad", `wrong: ${found.join(", ") || status}`];
  return h("p", { class: "verification" },
    h("span", { class: `chip ${tone}` }, word), " ", h("span", { title: moment(at) }, ago(at)),
    h("span", { class: "quiet" }, `, ${several(verified, "entry", "entries")} of ${several(blocks, "block")}${block && block.number > blocks ? `; ${several(block.number - blocks, "block")} since` : ""}`));
}
