// Asking the gateway.

import * as token from "./token.js";

/** What the gateway says went wrong (RFC 9457). */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail ?? `HTTP ${status}`);
    this.status = status;
    this.code = document.code ?? "internal";
    this.title = document.title ?? "The gateway failed";
    this.errors = document.errors ?? [];
    this.killId = document.kill_id ?? null;
  }
}

/** No whole answer came: what was asked for may have been done. */
export class Lost extends Error {}

let renew = async () => false;

/** Who is asked for a new token when the one there is is refused: resolves to whether there is one. */
export function renewBy(work) {
  renew = work;
}

/** An answer. A session of one of several shards or nodes is called by both, as a request takes it: ids are unique within one alone. */
export function read(text) {
  return JSON.parse(text, (name, value) => {
    const place = value?.shard ?? value?.node;
    return place && value.id ? { ...value, id: `${place}/${value.id}` } : value;
  });
}

/** The address of a path of the API. */
function address(path, query) {
  const url = new URL(path, document.baseURI);
  url.hash = "";
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

/** The response to a request, once there is one that is no problem. A refused token is renewed, and the request repeated. */
export async function respond(path, { query, method = "GET", body, headers = {}, signal, bare = false } = {}) {
  const init = { method, signal, cache: "no-store", credentials: "omit", redirect: "error", headers: { ...headers } };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers["Content-Type"] = "application/json";
  }
  for (;;) {
    const used = token.current();
    if (!bare && used) init.headers.Authorization = `Bearer ${used}`;
    let response;
    try {
      response = await fetch(address(path, query), init);
    } catch (error) {
      throw error.name === "AbortError" ? error : new Lost("The gateway did not answer.");
    }
    if (response.status === 401 && !bare) {
      const problem = await problemOf(response);
      if (token.current() !== used || (await renew(problem))) continue;
      throw problem;
    }
    if (response.ok) return response;
    throw await problemOf(response);
  }
}

/** The answer to a request, as JSON. */
export async function ask(path, options) {
  const response = await respond(path, options);
  try {
    return read(await response.text());
  } catch (error) {
    throw error.name === "AbortError" ? error : new Lost("The answer was cut off.");
  }
}

async function problemOf(response) {
  const document = await response.json().catch(() => ({}));
  return new Problem(response.status, document);
}
