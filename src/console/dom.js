// Elements are made here and nowhere else. Text goes in as text: nothing is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. Attributes that are null, undefined or false are left out; `onclick` and the like are listeners. */
export function h(name, attributes, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** An SVG element. */
export function svg(name, attributes, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...present(children));
  return element;
}

/** Puts these in place of whatever is in the element. */
export function fill(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

let made = 0;

/** An id that no other element has. */
export function freshId(name) {
  made += 1;
  return `${name}-${made}`;
}

/** Calls it once nobody has called for so long. */
export function debounced(milliseconds, work) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), milliseconds);
  };
}

const live = h("div", { class: "hidden", role: "status", "aria-live": "polite" });

/** Has a screen reader say it. */
export function say(text) {
  if (!live.isConnected) document.body.append(live);
  live.textContent = text;
}
