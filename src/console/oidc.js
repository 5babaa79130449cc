// Logging in at the issuer: OAuth 2.0 code flow with PKCE (RFC 7636), for a public client that keeps no secret.

const KEY = "killgate.login";

/** Leaves for the issuer. What is needed on the way back is kept in this tab. */
export async function leave(settings) {
  const { authorization_endpoint: endpoint } = await discovered(settings.issuer);
  if (!crypto.subtle) throw new Error("this needs https: the browser makes no SHA-256 elsewhere");
  const verifier = random();
  const state = random();
  sessionStorage.setItem(KEY, JSON.stringify({ verifier, state, hash: location.hash }));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const url = new URL(endpoint);
  const query = {
    response_type: "code",
    client_id: settings.client_id,
    redirect_uri: here(),
    scope: settings.scope,
    audience: settings.audience,
    state,
    code_challenge: base64url(new Uint8Array(digest)),
    code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  location.assign(url);
}

/** The token that the issuer gives for the code in the address; null where there is no code. */
export async function comeBack(settings) {
  const answer = new URLSearchParams(location.search);
  if (!answer.has("state")) return null;
  const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  sessionStorage.removeItem(KEY);
  history.replaceState(null, "", `${location.pathname}${kept?.hash ?? ""}`);
  if (!kept || kept.state !== answer.get("state")) throw new Error("this login was not begun in this tab: begin again");
  if (answer.has("error")) throw new Error(answer.get("error_description") ?? answer.get("error"));
  const { token_endpoint: endpoint } = await discovered(settings.issuer);
  const body = new URLSearchParams({
    grant_type: "authorization_code",
    code: answer.get("code") ?? "",
    redirect_uri: here(),
    client_id: settings.client_id,
    code_verifier: kept.verifier,
  });
  const given = await json(fetch(endpoint, { method: "POST", body, credentials: "omit", redirect: "error" }));
  if (!given.access_token) throw new Error(given.error_description ?? given.error ?? "the issuer gave no token");
  return given.access_token;
}

async function discovered(issuer) {
  const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const document = await json(fetch(url, { credentials: "omit", redirect: "error" }));
  if (document.issuer !== issuer) throw new Error("the document there is another issuer's");
  return document;
}

async function json(response) {
  try {
    return await (await response).json();
  } catch {
    throw new Error("the issuer cannot be reached from here, or does not let this page ask it (CORS)");
  }
}

/** Where the issuer sends the browser back to. */
function here() {
  return `${location.origin}${location.pathname}`;
}

function random() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
