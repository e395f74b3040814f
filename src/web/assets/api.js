// The service's API. An error response is a problem document, and becomes a `Problem`.

import { BASE } from "./dom.js";
import { capital } from "./words.js";

/** A request takes this long at most. */
const PATIENCE_MS = 20_000;

/** Its message is for people. */
export class Problem extends Error {
  constructor(status, words) {
    super(/[.!?]$/.test(words) ? capital(words) : `${capital(words)}.`);
    this.status = status;
  }
}

/** `get("tracks", { q: "rain" })`; empty values are left out. */
export function get(path, query = {}, signal = undefined) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") params.set(name, value);
  }
  return ask(`${BASE}/api/v1/${path}${params.size > 0 ? `?${params}` : ""}`, { signal });
}

export function post(path, body) {
  return ask(`${BASE}/api/v1/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function ask(url, options) {
  const signals = [options.signal, AbortSignal.timeout(PATIENCE_MS)].filter(Boolean);
  let response;
  try {
    response = await fetch(url, { ...options, signal: AbortSignal.any(signals), cache: "no-store" });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw unreachable(error);
  }
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

export function unreachable(error) {
  const why = error?.name === "TimeoutError" ? "it took too long to answer" : "it does not answer";
  return new Problem(0, `the service cannot be reached: ${why}`);
}

/** The problem that a response reports. Without a sign-in, the sign-in page is shown instead. */
export async function problemOf(response) {
  if (response.status === 401) location.assign(`${BASE}/sign-in`);
  let document = {};
  try {
    document = await response.json();
  } catch {
    // Not a problem document: something between here and the service answered.
  }
  return new Problem(response.status, document.detail || document.title || `the service answered with ${response.status}`);
}
