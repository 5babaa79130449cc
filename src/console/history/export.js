// Taking kills out in a file, with the filters as they stand.

import { fill, h } from "../dom.js";
import { Lost, respond } from "../api.js";
import { failure, icon, waiting } from "../parts.js";

const FORMS = [
  ["Everything (NDJSON)", { format: "ndjson" }],
  ["Table, a row for each kill (CSV)", { format: "csv", rows: "kills" }],
  ["Table, a row for each session (CSV)", { format: "csv", rows: "sessions" }],
];

/** The menu; `filters()` says which kills. */
export function exporting(filters) {
  const said = h("div", { class: "said" });
  const node = h("details", { class: "menu export" },
    h("summary", { class: "button" }, icon("down"), "Export"),
    h("div", { class: "menu-body" }, FORMS.map(([title, form]) => h("button", { type: "button", class: "bare", onclick: () => take(form) }, title)), said));
  node.addEventListener("keydown", (event) => {
    if (event.key === "Escape") node.open = false;
  });

  async function take(form) {
    fill(said, waiting("Reading the record"));
    try {
      const response = await respond("kills/export", { query: { ...filters(), ...form } });
      const name = /filename="([\w.-]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? `killgate.${form.format}`;
      const blob = await response.blob().catch(() => { throw new Lost("The file was cut off."); });
      save(blob, name);
      fill(said, h("p", { class: "quiet", role: "status" }, `Saved as ${name}.`));
    } catch (error) {
      fill(said, failure(error));
    }
  }
  return node;
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
