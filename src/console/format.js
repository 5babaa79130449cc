// How times and numbers are written.

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
// The year first: nobody takes a day for a month.
const DAY = new Intl.DateTimeFormat("sv", { year: "numeric", month: "2-digit", day: "2-digit" });
const NUMBER = new Intl.NumberFormat("en");

/** Seconds as people say them: `7 s`, `3 m 20 s`, `2 h 05 m`, `7 d 3 h`. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const two = (number) => String(number).padStart(2, "0");
  const [s, m, h, d] = [seconds % 60, Math.floor(seconds / 60) % 60, Math.floor(seconds / 3600) % 24, Math.floor(seconds / 86400)];
  if (d > 0) return `${d} d ${h} h`;
  if (h > 0) return `${h} h ${two(m)} m`;
  if (m > 0) return `${m} m ${two(s)} s`;
  return `${s} s`;
}

/** The time of a day. */
export function clock(time) {
  return time ? CLOCK.format(new Date(time)) : "";
}

/** The time of a day with milliseconds. */
export function precise(time) {
  return time ? `${clock(time)}.${String(new Date(time).getMilliseconds()).padStart(3, "0")}` : "";
}

/** Date and time. */
export function moment(time) {
  return time ? `${DAY.format(new Date(time))} ${clock(time)}` : "";
}

/** How long ago, roughly. */
export function ago(time, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - new Date(time).getTime()) / 1000));
  return seconds < 2 ? "just now" : `${duration(seconds)} ago`;
}

export function count(number) {
  return NUMBER.format(number);
}

/** `1 session`, `2 sessions`. */
export function several(number, word, words = `${word}s`) {
  return `${count(number)} ${number === 1 ? word : words}`;
}

/** Where sessions live, without the alias. */
export function coordinates(target) {
  const own = Object.entries(target ?? {}).filter(([name]) => !["alias", "vendor", "account"].includes(name));
  return own.map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : value]);
}

/** Which shards or nodes could not be listed whole, and why. */
export function unlisted(places) {
  return (places ?? []).map(({ shard, node, detail }) => `${shard ?? node}: ${detail}`).join("; ");
}

/** The name of a target. */
export function targetName(target) {
  if (!target) return "not understood";
  return target.alias ?? coordinates(target).map(([, value]) => value).join(" / ");
}
