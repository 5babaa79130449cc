// The token lives in memory and in this tab's own storage, so that a reload keeps it. It goes nowhere else.

const KEY = "killgate.token";
let token = read();

function read() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null; // Storage is off: memory it is.
  }
}

export function current() {
  return token;
}

export function keep(text) {
  token = text;
  try {
    if (text === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, text);
  } catch {
    // Memory it is.
  }
}

/** What somebody pasted, without what a copy may have dragged along. */
export function pasted(text) {
  const bare = text.trim().replace(/^authorization:\s*/i, "").replace(/^bearer\s+/i, "").replace(/^["']|["']$/g, "").replace(/\s+/g, "");
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(bare) ? bare : null;
}
