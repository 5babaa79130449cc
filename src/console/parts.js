// Pieces that several pages show.

import { freshId, h, svg } from "./dom.js";
import { Lost } from "./api.js";
import { HINTS, OUTCOMES, STATUSES, plain } from "./words.js";

/** A word with its tone: a dot, so that colour is not all there is, and what it means on the title. */
function chip(word, [tone, meaning] = ["mute", ""]) {
  return h("span", { class: `chip ${tone}`, title: meaning }, plain(word));
}

export function statusChip(status) {
  return chip(status, STATUSES[status]);
}

export function outcomeChip(outcome) {
  return chip(outcome, OUTCOMES[outcome]);
}

/** What went wrong, and what to do about it; `again` is offered where there is one. */
export function failure(error, again, label = "Try again") {
  const lost = error instanceof Lost;
  const known = lost || error.code;
  const hint = lost ? "Is the network up, and the gateway?" : HINTS[error.code];
  const errors = (error.errors ?? []).filter(({ detail }) => detail !== error.message);
  return h("div", { class: "notice bad", role: "alert" },
    h("p", {}, h("strong", {}, lost ? "No answer" : (error.title ?? "The console failed")), known ? `: ${error.message}` : `: ${error}`),
    errors.length > 0 && h("ul", {}, errors.map(({ field, detail }) => h("li", {}, h("code", {}, field), ` ${detail}`))),
    hint && h("p", { class: "quiet" }, hint),
    again && h("button", { type: "button", onclick: again }, label));
}

/** Says that there is nothing, and why. */
export function nothing(title, ...more) {
  return h("div", { class: "nothing" }, h("p", {}, h("strong", {}, title)), more);
}

export function waiting(text) {
  return h("p", { class: "waiting", role: "status" }, h("span", { class: "spinner", "aria-hidden": "true" }), text);
}

/** A labelled field; `control` is an input, select or textarea. */
export function field(label, control, hint) {
  const id = control.id || freshId("field");
  control.id = id;
  const hintId = hint && `${id}-hint`;
  if (hintId) control.setAttribute("aria-describedby", hintId);
  return h("div", { class: "field" }, h("label", { for: id }, label), control, hint && h("p", { class: "hint", id: hintId }, hint));
}

/** Facts in two columns; those without a value are left out. */
export function facts(pairs) {
  const given = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts" }, given.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

const ICONS = {
  shield: "M8 1.5 3 3.5v4c0 3.2 2.1 5.7 5 7 2.9-1.3 5-3.8 5-7v-4L8 1.5Z",
  lock: "M4.5 7V5a3.5 3.5 0 0 1 7 0v2M3.5 7h9v7h-9z",
  refresh: "M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3",
  close: "m3.5 3.5 9 9m0-9-9 9",
  back: "M10 3 5 8l5 5",
  down: "M8 2v8m0 0L5 7m3 3 3-3M3 13.5h10",
};

/** A small picture beside words; it says nothing by itself. */
export function icon(name) {
  return svg("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

/** A dialog that the browser itself keeps the keyboard in. It is removed once closed. */
export function dialog(title, onClosed) {
  const heading = freshId("dialog");
  const body = h("div", { class: "dialog-body" });
  const close = h("button", { type: "button", class: "bare", "aria-label": "Close", onclick: () => box.close() }, icon("close"));
  const box = h("dialog", { class: "dialog", "aria-labelledby": heading },
    h("header", {}, h("h2", { id: heading }, title), close), body);
  box.addEventListener("close", () => {
    box.remove();
    onClosed?.();
  });
  document.body.append(box);
  box.showModal();
  return { box, body, rename: (text) => { box.querySelector("h2").textContent = text; } };
}

/** Whether an address of a vendor may become a link. */
export function outside(address) {
  try {
    const url = new URL(address);
    return ["https:", "http:"].includes(url.protocol)
      ? h("a", { href: url.href, rel: "noreferrer noopener", target: "_blank" }, url.host)
      : h("code", {}, address);
  } catch {
    return h("code", {}, address);
  }
}
