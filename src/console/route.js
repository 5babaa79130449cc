// The address bar: `#/history?status=failed`. It stays behind the hash, so what is looked for reaches no log.

/** Where the page is: its name, what stands behind it, and its parameters. */
export function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [name, ...rest] = path.split("/");
  return { name: name || "live", rest: rest.map(decoded), params: new URLSearchParams(query) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A link to a place of the console. Parameters without a value are left out. */
export function link(path, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return `#/${path}${text ? `?${text}` : ""}`;
}

/** Goes there. */
export function go(path, params) {
  location.hash = link(path, params);
}

/** Puts other parameters into the address, without a step back for each letter. */
export function settle(path, params) {
  history.replaceState(history.state, "", link(path, params));
}
