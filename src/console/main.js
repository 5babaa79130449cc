// The frame: who is logged in, which page is shown.

import { fill, h, say } from "./dom.js";
import { ask, renewBy } from "./api.js";
import { clock, duration } from "./format.js";
import { dialog, failure } from "./parts.js";
import * as fleet from "./fleet/page.js";
import * as history from "./history/page.js";
import * as kill from "./history/kill.js";
import * as live from "./live/page.js";
import * as login from "./login.js";
import * as oidc from "./oidc.js";
import { link, place } from "./route.js";
import * as token from "./token.js";

const READS = ["kills:read", "sessions:kill", "sessions:kill:urgent"];
const PAGES = {
  live: { title: "Live", page: live, needs: ["sessions:read"] },
  history: { title: "History", page: history, needs: READS },
  kill: { title: "Kill", page: kill, needs: READS, under: "history" },
  fleet: { title: "Fleet", page: fleet, needs: [] },
};
/** From so many seconds before its end on, the end of a token is told. */
const SOON = 300;

const app = document.getElementById("app");
const main = h("main", { id: "main", tabindex: -1 });
const state = { settings: {}, me: null, shown: null };

async function start() {
  state.settings = await ask("console/settings.json", { bare: true });
  renewBy(renewed);
  let why = null;
  try {
    const given = new URLSearchParams(location.hash.slice(1)).get("token");
    // It must not stay in the address bar, where others read along.
    if (given !== null) window.history.replaceState(null, "", location.pathname);
    const fresh = given ?? (await oidc.comeBack(state.settings));
    if (fresh !== null) token.keep(token.pasted(fresh));
    if (token.current()) return enter((await login.tried(token.current())).me);
  } catch (error) {
    token.keep(null);
    why = `${error.message}.`;
  }
  showLogin(why);
}

function showLogin(why) {
  state.shown?.leave();
  state.shown = null;
  fill(app, login.page(state.settings, { why, done: enter }));
  app.querySelector("textarea").focus();
}

/** What a caller may do. */
function context(me) {
  const has = (...scopes) => scopes.some((scope) => me.scopes.includes(scope));
  return {
    me,
    mayList: has("sessions:read"),
    mayKill: has("sessions:kill", "sessions:kill:urgent"),
    mayReadAll: has("kills:read"),
    mayReadOwn: has(...READS),
    mayExport: has("kills:export"),
    seesIdentities: has("sessions:read", "kills:read"),
  };
}

function enter(me) {
  state.me = me;
  state.context = context(me);
  fill(app, header(), main);
  show();
  watchExpiry();
}

function header() {
  const offered = Object.entries(PAGES).filter(([, { under, needs }]) => !under && may(needs));
  return h("header", { class: "top" },
    h("button", { type: "button", class: "skip", onclick: () => main.focus() }, "Skip to the content"),
    h("a", { class: "brand", href: link("live") }, h("img", { src: "console/icon.svg", alt: "", width: 22, height: 22 }), "killgate"),
    h("nav", { "aria-label": "Pages" }, offered.map(([name, { title }]) => h("a", { href: link(name), "data-page": name }, title))),
    h("div", { class: "who" },
      h("span", { class: "expiry", role: "status" }),
      h("span", { class: "caller", title: `Scopes: ${state.me.scopes.join(" ") || "none"}` }, state.me.caller),
      h("button", { type: "button", class: "bare", onclick: logOut }, "Log out")));
}

function may(needs) {
  return needs.length === 0 || needs.some((scope) => state.me.scopes.includes(scope));
}

function logOut() {
  token.keep(null);
  showLogin(null);
}

/** Shows the page that the address names; the same page is told of other parameters. */
function show() {
  if (!state.me || !token.current()) return;
  const { name, rest, params } = place();
  const known = PAGES[name] ?? PAGES.live;
  const key = `${name}/${rest.join("/")}`;
  for (const tab of app.querySelectorAll("nav a")) {
    if (tab.dataset.page === (known.under ?? name)) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  document.title = `${known.title} · killgate`;
  if (state.shown?.key === key) return state.shown.update?.(params);
  state.shown?.leave();
  state.shown = null;
  if (!may(known.needs)) {
    fill(main, failure({ title: "Not offered", code: "forbidden", message: `this page needs the scope ${known.needs.join(" or ")}` }));
    return;
  }
  const page = known.page.open(state.context, { rest, params });
  state.shown = { key, leave: page.leave ?? (() => {}), update: page.update };
  main.className = `page ${name}`;
  fill(main, page.node);
  window.scrollTo(0, 0);
}

let asking = null;

/** Asks whoever is there for a new token; everything that waits for it goes on by itself. */
function renewed(problem) {
  asking ??= new Promise((resolve) => {
    let taken = false;
    const { box, body } = dialog("Log in again", () => {
      asking = null;
      if (!taken) logOut();
      resolve(taken);
    });
    box.classList.add("narrow");
    const done = (me) => {
      taken = true;
      const isOther = me.caller !== state.me.caller || me.scopes.join() !== state.me.scopes.join();
      state.me = me;
      box.close();
      watchExpiry();
      if (isOther) location.reload();
    };
    body.append(
      h("p", { class: "quiet" }, "What is on this page stays, and goes on once you are in."),
      login.form(state.settings, { why: `The token is not taken any more: ${problem.message}.`, done }));
    body.querySelector("textarea").focus();
  });
  return asking;
}

let ticking;

/** Tells when the token is about to end. */
function watchExpiry() {
  clearInterval(ticking);
  const end = new Date(state.me.expires_at).getTime();
  const tick = () => {
    const place = app.querySelector(".expiry");
    if (!place) return;
    const left = Math.floor((end - Date.now()) / 1000);
    place.classList.toggle("soon", left < SOON);
    place.title = `The token is good until ${clock(end)}`;
    const text = left <= 0 ? "token has ended" : left < SOON ? `token ends in ${duration(left)}` : "";
    if (place.textContent !== text) place.textContent = text;
  };
  tick();
  ticking = setInterval(tick, 1000);
}

window.addEventListener("hashchange", show);
start().catch((error) => {
  fill(app, h("main", { class: "login" }, h("div", { class: "login-box" }, failure(error, () => location.reload()))));
  say("The console could not start.");
});
