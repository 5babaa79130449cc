// Following one kill by its stream of events, through whatever breaks it.

import { ask, read, respond } from "./api.js";

const FIRST_PAUSE = 400;
const LONGEST_PAUSE = 5000;
/** The gateway says something every 15 seconds; after so many milliseconds of silence the stream is taken for lost. */
const SILENCE = 40_000;

/**
 * Tells each event to `onEvent`, and resolves to the whole kill once nothing more will be learned. `onState` hears
 * `following` and `lost`. What breaks is begun again behind the last event, until `signal` says no. The first event is the one
 * behind `after`.
 */
export async function follow(id, { after = 0, onEvent, onState, signal }) {
  let last = after;
  let pause = FIRST_PAUSE;
  while (!signal.aborted) {
    try {
      const headers = last > 0 ? { "Last-Event-ID": String(last) } : {};
      const silence = new AbortController();
      const both = AbortSignal.any([signal, silence.signal]);
      const response = await respond(`kills/${encodeURIComponent(id)}/events`, { headers, signal: both });
      if (response.status === 204) return await ask(`kills/${encodeURIComponent(id)}`, { signal });
      onState("following");
      for await (const event of events(response.body, () => silence.abort())) {
        pause = FIRST_PAUSE;
        const data = read(event.data);
        if (event.name === "kill") return data;
        last = Number(event.id) || last;
        onEvent(data);
      }
    } catch (error) {
      if (signal.aborted) return null;
      // What the gateway refuses it will refuse again, but for what is away for now.
      if (error.status && error.status < 500 && error.status !== 429) throw error;
    }
    onState("lost");
    await sleep(pause, signal);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }
  return null;
}

/** The events of a body. */
async function* events(body, onSilence) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let timer;
  try {
    for (;;) {
      timer = setTimeout(onSilence, SILENCE);
      const { done, value } = await reader.read();
      clearTimeout(timer);
      if (done) return;
      rest += value;
      const blocks = rest.split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = parsed(block);
        if (event.data !== "") yield event;
      }
    }
  } finally {
    clearTimeout(timer);
    reader.cancel().catch(() => {});
  }
}

function parsed(block) {
  const event = { id: "", name: "message", data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const [field, value] = [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
    if (field === "id") event.id = value;
    if (field === "event") event.name = value;
    if (field === "data") event.data += value;
  }
  return event;
}

export function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
