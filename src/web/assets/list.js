// A list that is loaded from the API piece by piece: on scrolling, or with a button. A search may take many pieces
// without a match; it continues by itself, shows its progress, and can be stopped.

import { get } from "./api.js";
import { h, icon, shown, text } from "./dom.js";
import { longDay } from "./time.js";
import { counted } from "./words.js";

const PAGE = 50;

/** A failed request is also retried by itself after this time. */
const RETRY_MS = 5_000;

/** How far below the window's edge the next piece is loaded. */
const AHEAD_PX = 800;

/**
 * `path` and `query()` say what to ask for; `row(item)` makes an `li`; with `dayOf(item)` the rows stand under their days.
 * `noun` is what they are; `empty()` is said when there are none.
 */
export function pagedList({ path, query, row, noun, empty, dayOf = null }) {
  const rows = h("div", { class: "rows" });
  const told = h("p", { class: "told", role: "status" });
  const searching = h("p", { class: "searching" });
  const more = h("button", { type: "button" }, "More");
  const stop = h("button", { type: "button" }, "Stop");
  const again = h("button", { type: "button" }, "Try again");
  const end = h("div", { class: "choice" }, more, stop, again);
  const node = h("div", { class: "list" }, rows, searching, told, end);

  let asked = new AbortController();
  let next = null, numRows = 0, numPages = 0, isBusy = false, isStopped = false;

  const reload = () => {
    asked.abort();
    asked = new AbortController();
    next = null;
    numRows = numPages = 0;
    isBusy = isStopped = false;
    node.dataset.busy = "true";
    void load(asked.signal);
  };

  /** Loads more for as long as there is room in the window. */
  const load = async (signal) => {
    if (isBusy) return;
    isBusy = true;
    controls();
    try {
      do {
        const page = await get(path, { limit: PAGE, ...query(), after: next }, signal);
        if (signal.aborted) return;
        if (numPages === 0) rows.replaceChildren();
        delete node.dataset.busy;
        page.items.forEach(append);
        [next, numRows, numPages] = [page.next, numRows + page.items.length, numPages + 1];
        progress();
      } while (next !== null && !isStopped && node.isConnected && hasRoom());
      isBusy = false;
      tell();
    } catch (problem) {
      if (signal.aborted) return;
      isBusy = false;
      fail(problem, signal);
    }
    controls();
    // If rows added at the end of the window leave that end in sight, the observer does not fire.
    watch.unobserve(end);
    watch.observe(end);
  };

  const append = (item) => {
    const day = dayOf ? new Date(dayOf(item)) : null;
    let list = rows.lastElementChild?.matches("ol") ? rows.lastElementChild : null;
    if (!list || (day && list.dataset.day !== day.toDateString())) {
      list = h("ol", day && { "data-day": day.toDateString() });
      rows.append(...(day ? [h("h2", null, longDay(day)), list] : [list]));
    }
    list.append(row(item));
  };

  const hasRoom = () => end.getBoundingClientRect().top < window.innerHeight + AHEAD_PX;

  const progress = () => {
    const isLong = numPages > 2 && numRows < (numPages * PAGE) / 2 && next !== null;
    text(searching, isLong ? `Still searching: ${counted(numRows, noun)} found so far, in ${counted(numPages, "step")}.` : "");
    shown(searching, isLong && isBusy);
    shown(stop, isLong && isBusy);
  };

  const tell = () => {
    shown(searching, false);
    node.dataset.state = "ok";
    if (next !== null) text(told, isStopped ? `Stopped; ${counted(numRows, noun)} found so far.` : "");
    else text(told, numRows === 0 ? empty() : `${counted(numRows, noun)}, and that is all.`);
  };

  const fail = (problem, signal) => {
    if (numPages === 0) rows.replaceChildren();
    delete node.dataset.busy;
    shown(searching, false);
    // A missing resource is no failure; it may still come.
    node.dataset.state = problem.status === 404 ? "missing" : "failed";
    told.replaceChildren(problem.status === 404 ? "" : icon("failed"), h("span", null, problem.message));
    setTimeout(() => signal.aborted || !node.isConnected || load(signal), RETRY_MS);
  };

  const controls = () => {
    const failed = node.dataset.state === "failed" && !isBusy;
    shown(again, failed);
    shown(more, next !== null && !isBusy && !failed);
    if (!isBusy) shown(stop, false);
  };

  more.addEventListener("click", () => {
    isStopped = false;
    void load(asked.signal);
  });
  stop.addEventListener("click", () => {
    isStopped = true;
  });
  again.addEventListener("click", () => void load(asked.signal));
  const watch = new IntersectionObserver(([seen]) => {
    if (seen.isIntersecting && next !== null && !isStopped && node.dataset.state === "ok") void load(asked.signal);
  }, { rootMargin: `${AHEAD_PX}px` });
  watch.observe(end);

  controls();
  progress();
  reload();
  const close = () => {
    asked.abort();
    watch.disconnect();
  };
  return { node, reload, close };
}
