// The service's status, as it changes. A stream of events that is read here rather than by `EventSource`, because only
// this way can we know why there is none, or that it has gone quiet: the service sends something every 15 s, if only a
// comment.

import { Problem, problemOf, unreachable } from "./api.js";
import { BASE } from "./dom.js";

/** Longer than two keep-alives of the service. */
const SILENCE_MS = 35_000;
const RETRY_MS = 2_000;

/**
 * Calls `onStatus(status)` for each status, and `onLink({ state: "live" | "stale", since, why })` when the connection
 * comes or goes, or the service has no status to tell; `since` is when the last one came, `null` if never.
 */
export function follow(onStatus, onLink) {
  let toldAt = null;
  // The last keep-alive, or when the last request was made.
  let quietSince = Date.now();
  let stream = new AbortController();
  let wake = () => {};
  // A page that is hidden, or kept by the browser for going back, is not watched and would hold one of the few
  // connections that the browser has for this address.
  let isResting = false;

  const isSilent = () => Date.now() - quietSince > SILENCE_MS;
  setInterval(() => isSilent() && stream.abort(), 1000);
  const stale = (why) => onLink({ state: "stale", since: toldAt, why });

  const take = ({ event, data }) => {
    if (event === "trouble") stale(new Problem(0, JSON.parse(data).detail).message);
    if (event !== "status") return;
    const status = JSON.parse(data);
    toldAt = Date.now();
    onLink({ state: "live" });
    onStatus(status);
  };

  /** Reads a stream to its end. The service ends each after an hour, to be opened again. */
  const read = async () => {
    stream = new AbortController();
    quietSince = Date.now();
    const response = await fetch(`${BASE}/api/v1/events`, {
      headers: { accept: "text/event-stream" }, cache: "no-store", signal: stream.signal,
    });
    if (!response.ok) throw await problemOf(response);
    for await (const event of events(response.body, () => { quietSince = Date.now(); })) take(event);
  };

  const forever = async () => {
    for (;;) {
      if (isResting) await new Promise((resolve) => { wake = resolve; });
      const askedAt = Date.now();
      try {
        await read();
        if (Date.now() - askedAt > RETRY_MS) continue;
      } catch (error) {
        if (isResting) continue;
        stale(error instanceof Problem ? error.message : unreachable().message);
      }
      await new Promise((resolve) => {
        wake = resolve;
        setTimeout(resolve, RETRY_MS);
      });
    }
  };

  const rest = () => {
    isResting = true;
    stream.abort();
  };
  const goOn = () => {
    isResting = false;
    wake();
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : goOn()));
  window.addEventListener("pagehide", rest);
  window.addEventListener("pageshow", goOn);
  window.addEventListener("online", goOn);
  void forever();
}

/** The events of a stream, `{ event, data }`; `heard()` is called for everything received. */
async function* events(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    heard();
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = new Map(block.split("\n").map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon), line.slice(colon + 1).trimStart()];
      }));
      if (fields.has("event")) yield { event: fields.get("event"), data: fields.get("data") };
    }
  }
}
