// The service's status, as it changes. A stream of events that is read here rather than by `EventSource`, because only so
// can be told why there is none, and that one has gone quiet: the service says something every 15 s, if only a comment.

import { problemOf, unreachable } from "./api.js";

/** Longer than two of the service's signs of life. */
const SILENCE_MS = 35_000;
const RETRY_MS = 2_000;

/**
 * Calls `onStatus(status)` for each status, and `onLink({ state: "live" | "stale", since, why })` when the connection
 * comes or goes; `since` is when the service was last heard of, `null` if never.
 */
export function follow(onStatus, onLink) {
  let heardAt = null;
  // The last sign of life, or when it was last asked for.
  let quietSince = Date.now();
  let stream = new AbortController();
  let wake = () => {};

  const heard = () => {
    heardAt = quietSince = Date.now();
  };
  const isSilent = () => Date.now() - quietSince > SILENCE_MS;
  setInterval(() => isSilent() && stream.abort(), 1000);

  const read = async () => {
    stream = new AbortController();
    quietSince = Date.now();
    try {
      const response = await fetch("/api/v1/events", {
        headers: { accept: "text/event-stream" }, cache: "no-store", signal: stream.signal,
      });
      if (!response.ok) throw await problemOf(response);
      await events(response.body, heard, (status) => {
        onLink({ state: "live" });
        onStatus(status);
      });
      return unreachable();
    } catch (error) {
      return error.status ? error : unreachable();
    }
  };

  const forever = async () => {
    for (;;) {
      const problem = await read();
      onLink({ state: "stale", since: heardAt, why: problem.message });
      await new Promise((resolve) => {
        wake = resolve;
        setTimeout(resolve, RETRY_MS);
      });
    }
  };

  // Whoever comes back to the page does not want to wait; a stream that outlived a sleep may be dead without knowing.
  const comeBack = () => {
    if (document.hidden) return;
    if (isSilent()) stream.abort();
    wake();
  };
  document.addEventListener("visibilitychange", comeBack);
  window.addEventListener("online", comeBack);
  void forever();
}

/** Reads `event: status` with its `data:` until the stream ends. */
async function events(body, heard, onStatus) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    heard();
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split(/\r?\n/);
      const field = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trimStart());
      if (field("event")[0] === "status") onStatus(JSON.parse(field("data").join("\n")));
    }
  }
}
