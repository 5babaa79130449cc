// Reading what `GET /metrics` says (OpenMetrics text).

/** Samples by name: each with its labels and value. */
export function samples(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const match = /^([a-z_:][\w:]*)(?:\{(.*)\})? (\S+)/i.exec(line);
    if (!match) continue;
    const [, name, inside = "", value] = match;
    const labels = Object.fromEntries([...inside.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, text]) => [label, text]));
    found.set(name, [...(found.get(name) ?? []), { labels, value: Number(value) }]);
  }
  return found;
}

/** The sum of a metric over its labels; null where there is none. */
export function total(found, name, where = () => true) {
  const of = found.get(name)?.filter(({ labels }) => where(labels));
  return of ? of.reduce((sum, { value }) => sum + value, 0) : null;
}
