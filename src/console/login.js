// Logging in: at the issuer, or with a pasted token.

import { h, fill } from "./dom.js";
import { ask, Problem } from "./api.js";
import { field, icon } from "./parts.js";
import * as oidc from "./oidc.js";
import * as token from "./token.js";

/** The caller that the gateway takes a token for, once it takes it. */
export async function tried(text) {
  const bare = token.pasted(text);
  if (!bare) throw new Error("this is no token: it has three parts with dots between them");
  return { me: await ask("me", { bare: true, headers: { Authorization: `Bearer ${bare}` } }), bare };
}

/** The form. `done` hears of the caller whose token was taken. */
export function form(settings, { why, done }) {
  const said = h("p", { class: "error", role: "alert" }, why);
  const text = h("textarea", { rows: 4, spellcheck: "false", autocomplete: "off", autocapitalize: "off", required: true, name: "token" });
  const enter = h("button", { type: "submit", class: settings.client_id ? null : "primary" }, "Log in with this token");
  const submit = async (event) => {
    event.preventDefault();
    enter.disabled = true;
    fill(said);
    try {
      const { me, bare } = await tried(text.value);
      text.value = "";
      token.keep(bare);
      done(me);
    } catch (error) {
      fill(said, told(error));
      text.focus();
    } finally {
      enter.disabled = false;
    }
  };
  const leave = async () => {
    fill(said);
    await oidc.leave(settings).catch((error) => fill(said, told(error)));
  };
  return h("div", { class: "login-form" },
    said,
    settings.client_id && h("button", { type: "button", class: "primary wide", onclick: leave }, `Log in at ${new URL(settings.issuer).host}`),
    settings.client_id && h("p", { class: "or" }, "or"),
    h("form", { onsubmit: submit },
      field("Token", text, "It stays in this tab and is gone with it."),
      h("div", { class: "buttons" }, enter)));
}

/** The whole page. */
export function page(settings, { why, done }) {
  return h("main", { class: "login" },
    h("div", { class: "login-box" },
      h("h1", {}, h("img", { src: "console/icon.svg", alt: "", width: 28, height: 28 }), "killgate"),
      h("p", { class: "quiet" }, icon("shield"), "Ends database sessions. Every attempt is on record."),
      form(settings, { why, done })));
}

function told(error) {
  return error instanceof Problem && error.status === 401 ? `The gateway does not take it: ${error.message}.` : `${error.message}.`;
}
