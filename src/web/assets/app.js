// The page: which view is shown, and the status that all of them share. The address is the state; each view is opened
// from it and closed when it changes.

import * as activity from "./activity.js";
import * as changes from "./changes.js";
import { h, attr, icon, setIcon, text, viewOf } from "./dom.js";
import * as library from "./library.js";
import * as listening from "./listening.js";
import { follow } from "./live.js";
import { say } from "./controls.js";
import * as now from "./now.js";
import { clockOf, keepTicking, setNow, zone } from "./time.js";

const VIEWS = { "/": now, "/changes": changes, "/library": library, "/listening": listening, "/activity": activity };

const main = document.getElementById("view");
let view = null;
let status = null;

function show() {
  const params = new URLSearchParams(location.search);
  const context = { params, status, keep: (changed, isTyping) => keep(params, changed, isTyping) };
  view?.close?.();
  view = (VIEWS[viewOf(location.pathname)] ?? now).open(context);
  document.title = `${view.title} · segno`;
  main.replaceChildren(view.node);
  if (status) view.update?.(status);
  for (const link of document.querySelectorAll(".top nav a")) {
    attr(link, "aria-current", viewOf(link.pathname) === viewOf(location.pathname) ? "page" : null);
  }
}

/** Writes a field's value into the address. Going back revisits choices, but not each letter typed. */
function keep(params, changed, isTyping) {
  for (const [name, value] of Object.entries(changed)) {
    if (value) params.set(name, value);
    else params.delete(name);
  }
  const address = params.size > 0 ? `${location.pathname}?${params}` : location.pathname;
  history[isTyping ? "replaceState" : "pushState"](null, "", address);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !isPlain || link.origin !== location.origin || !(viewOf(link.pathname) in VIEWS) || link.hash) return;
  event.preventDefault();
  if (link.href !== location.href) history.pushState(null, "", link.href);
  show();
  window.scrollTo(0, 0);
  // Screen readers announce the new view.
  main.querySelector("h1")?.focus({ preventScroll: true });
});
window.addEventListener("popstate", show);

const link = document.getElementById("link");
const stale = document.getElementById("stale");
let wasStale = false;

function onLink({ state, since, why }) {
  const isStale = state === "stale";
  attr(link, "data-state", state);
  setIcon(link.querySelector("svg"), isStale ? "failed" : "live");
  text(link.querySelector("span"), isStale ? "Stale" : "Live");
  attr(document.body, "data-stale", isStale);
  if (isStale) {
    const words = since ? `Stale since ${clockOf(new Date(since))}.` : "No answer yet.";
    const sentence = `${words} ${why} Trying again every 2 seconds.`;
    if (stale.textContent !== sentence) stale.replaceChildren(h("p", null, icon("failed"), h("span", null, sentence)));
  } else if (wasStale) {
    stale.replaceChildren();
    say("Connected again.");
  }
  wasStale = isStale;
}

function onStatus(next) {
  status = next;
  setNow(next.now);
  text(document.getElementById("build"), `segno ${next.version} on ${next.database === "postgres" ? "PostgreSQL" : "SQLite"}`);
  view?.update?.(next);
}

text(document.getElementById("zone"), `Times are local: ${zone()}`);
show();
keepTicking();
follow(onStatus, onLink);
