// One kill as a page.

import { fill, h } from "../dom.js";
import { ask } from "../api.js";
import { coordinates, moment, targetName, unlisted } from "../format.js";
import { basisOf, followed } from "../kill/follow.js";
import { facts, failure, icon, outside, waiting } from "../parts.js";
import { link } from "../route.js";
import { plain } from "../words.js";

export function open(context, { rest: [id = ""] }) {
  const leaving = new AbortController();
  const node = h("div", { class: "kill-page" }, waiting("Reading the record"));

  async function begin() {
    try {
      const kill = await ask(`kills/${encodeURIComponent(id)}`, { signal: leaving.signal });
      const about = h("div", { class: "about" }, aboutOf(kill));
      const parts = followed(kill, { signal: leaving.signal, basis: basisOf, onEnd: (end) => fill(about, aboutOf(end)) });
      fill(node,
        h("div", { class: "head" },
          h("a", { class: "back", href: link("history") }, icon("back"), "History"),
          h("h1", {}, `Kill at ${targetName(kill.target)}`)),
        parts.status,
        h("p", { class: "reason" }, kill.reason ?? h("span", { class: "quiet" }, "No reason was understood.")),
        about,
        h("section", { class: "card" }, h("h2", {}, "Sessions"), parts.table),
        h("section", { class: "card" }, h("h2", {}, "What happened"), parts.events, parts.connection));
    } catch (error) {
      if (error.name !== "AbortError") fill(node, failure(error, error.code === "not_found" ? null : begin), h("p", {}, h("a", { href: link("history") }, "Back to the history")));
    }
  }

  begin();
  return { node, leave: () => leaving.abort() };
}

function aboutOf(kill) {
  const { target, upstream, look, problem } = kill;
  const mono = (text) => text && h("span", { class: "mono" }, text);
  return [
    problem && h("p", { class: "notice warn" }, h("strong", {}, plain(problem.code)), `: ${problem.detail}`),
    kill.note && h("p", { class: "notice" }, kill.note),
    kill.unlisted && h("p", { class: "notice warn" }, `Not every place could be looked at before it: ${unlisted(kill.unlisted)}.`),
    kill.blind && h("p", { class: "notice warn" }, "Nobody looked at the sessions before it: ", plain(kill.blind), "."),
    facts([
      ["Asked by", kill.caller],
      ["On behalf of", kill.on_behalf_of],
      ["By way of", kill.actor],
      ["Asked at", moment(kill.requested_at)],
      ["Ended at", moment(kill.completed_at)],
      ["Seen gone at", moment(kill.verified_at)],
      ["Vendor", target?.vendor],
      ["Account", target?.account],
      ...coordinates(target).map(([name, value]) => [plain(name), mono(value)]),
      ["Selected by", kill.select && mono(selectorOf(kill.select))],
      ["Matched", kill.matched],
      ["Ends", kill.end === "statement" ? "the statement alone" : null],
      ["Looked at", look && `${moment(look.at)}${look.complete ? "" : ", the list was cut off"}`],
      ["From look to kill", look?.to_kill_ms !== null && look?.to_kill_ms !== undefined ? `${look.to_kill_ms} ms` : null],
      ["Came back after it", kill.returned],
      ["Confirms", kill.confirms && h("a", { href: link(`kill/${kill.confirms}`), class: "mono" }, kill.confirms)],
      ["Vendor's answer", upstream.http_status && `HTTP ${upstream.http_status}`],
      ["Vendor's request", mono(upstream.request_id)],
      ["Vendor's task", mono(upstream.task_id)],
      ["Vendor's error", upstream.error_code && `${upstream.error_code}: ${upstream.error_message ?? ""}`],
      ["Vendor's account", upstream.evidence_url && outside(upstream.evidence_url)],
      ["Kill", mono(kill.id)],
    ]),
  ];
}

/** The selector, in short. */
function selectorOf(select) {
  if (select.ids) return select.ids.length === 1 ? "1 id" : `${select.ids.length} ids`;
  if (select.intelligent) return "the database's own pick";
  return JSON.stringify(select.match);
}
