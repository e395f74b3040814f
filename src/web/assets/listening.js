// The view "Listening": what was heard, when, and how often, of everything that the database knows.

import { get } from "./api.js";
import { asTable } from "./chart.js";
import { BASE, h, icon, name as isolated, shown, unseen } from "./dom.js";
import { accountField } from "./filters.js";
import { WEEKDAYS, calendar, heardColumns, share, weekHour, weekHours } from "./heard_charts.js";
import * as one from "./heard_one.js";
import { SPANS, spanOf, stretchName, withoutHoles, zoneOf } from "./spans.js";
import { row } from "./rows.js";
import { time } from "./time.js";
import { capital, counted, hours, number } from "./words.js";

const RETRY_MS = 5_000;
const LISTED = 20;
export const KINDS = { artist: "Artists", track: "Tracks", album: "Albums", show: "Shows" };

/** The address of its page. */
export function heardHref(of, entry, account) {
  const given = { of, name: of === "track" ? entry.uri ?? entry.name : entry.name, artist: of === "album" || (of === "track" && !entry.uri) ? entry.artist : null, account };
  return `${BASE}/listening?${new URLSearchParams(Object.entries(given).filter(([, value]) => value))}`;
}

/** Names with how long each was heard, in descending order. */
export function heardList(entries, of, account, aside = (entry) => counted(entry.plays, "play")) {
  const most = Math.max(...entries.map((entry) => entry.ms), 1);
  return h("ol", { class: "rows heard" }, entries.map((entry) => {
    const words = isolated(entry.name || "(without a name)");
    const link = entry.name ? h("a", { class: "name", href: heardHref(of, entry, account) }, words) : h("span", { class: "name" }, words);
    const item = row(link, [of === "artist" || of === "show" ? null : entry.artist], [hours(entry.ms), aside(entry)]);
    item.append(share(entry.ms, most));
    return item;
  }));
}

export function part(id, title, ...children) {
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id, tabindex: "-1" }, title), children);
}

export function open(context) {
  if (context.params.get("name")) return one.open(context);
  const { params } = context;
  let zone = zoneOf(context.status), isZoneKnown = context.status !== null;
  const trouble = h("p", { class: "trouble", role: "status" });
  const body = h("div", { class: "parts", "aria-live": "off" });
  const bar = h("form", { class: "filters", "aria-label": "Which time" });
  bar.addEventListener("submit", (event) => event.preventDefault());
  const choose = accountField(context, () => load());
  const node = h("div", { class: "listening" }, h("h1", { tabindex: "-1" }, "Listening"), bar, trouble, body);

  let asked = new AbortController();
  async function load() {
    asked.abort();
    asked = new AbortController();
    const { signal } = asked;
    const span = spanOf(params, zone);
    drawBar(span);
    body.dataset.busy = "true";
    try {
      const account = params.get("account");
      const top = Object.hasOwn(KINDS, params.get("top") ?? "") ? params.get("top") : "artist";
      const query = { ...span.query, account };
      const year = yearOf(span, zone);
      const [summary, over, most, days, week, found, unheard, unsaved] = await Promise.all([
        get("listening/summary", { ...query, zone }, signal),
        get("listening/when", { ...query, by: span.by, zone }, signal),
        get("listening/most", { ...query, by: top, limit: LISTED }, signal),
        get("listening/when", { ...year.query, account, by: "day", zone }, signal),
        get("listening/when", { ...query, by: "weekhour", zone }, signal),
        get("listening/discovered", { ...query, by: top, limit: LISTED, zone }, signal),
        get("listening/saved-unheard", { account, limit: LISTED }, signal),
        get("listening/heard-unsaved", { account, limit: LISTED }, signal),
      ]);
      if (signal.aborted) return;
      delete body.dataset.busy;
      shown(trouble, false);
      if (summary.days === 0 && span.kind === "") {
        body.replaceChildren(h("p", { class: "note" }, "Nothing was heard yet, as far as the database knows. ",
          h("code", null, "segno run"), " keeps what you play from now on; ", h("code", null, "segno import"), " brings all the years before, from Spotify's own export."));
        return;
      }
      const isOpen = [...body.querySelectorAll("details")].map((each) => each.open);
      body.replaceChildren(summaryPart(summary, span), overPart(over.items, span), topPart(most.items, top, span),
        calendarPart(days.items, year), weekPart(week.items, span), foundPart(found, top, span), unheardPart(unheard.items), unsavedPart(unsaved.items));
      body.querySelectorAll("details").forEach((each, index) => {
        each.open = isOpen[index] ?? false;
      });
    } catch (problem) {
      if (signal.aborted) return;
      delete body.dataset.busy;
      trouble.replaceChildren(icon("failed"), problem.message);
      shown(trouble, true);
      setTimeout(() => signal.aborted || load(), RETRY_MS);
    }
  }

  /** Choices are written into the address, so that back, reload and a bookmark restore them. */
  function drawBar(span) {
    const set = (changed) => {
      context.keep(changed);
      void load();
    };
    const select = h("select", { name: "span" }, SPANS.map(([value, words]) => h("option", { value, selected: value === span.kind }, words)));
    select.addEventListener("change", () => set({ span: select.value, at: null, from: null, to: null }));
    const field = (label, which, value) => {
      const input = h("input", { type: "date", name: which, value });
      input.addEventListener("change", () => input.value && set({ [which]: input.value }));
      return h("label", null, h("span", null, label), input);
    };
    const step = (words, at) => at && h("button", { type: "button", class: "step", click: () => set({ at }) }, words);
    const focused = bar.contains(document.activeElement) ? document.activeElement.name || document.activeElement.textContent : null;
    bar.replaceChildren(h("label", null, h("span", null, "Time"), select),
      ...(span.kind === "any" ? [field("From", "from", span.from), field("To", "to", span.last)] : []),
      ...[step("Earlier", span.previous), step("Later", span.next)].filter(Boolean), choose.node);
    if (focused) [...bar.querySelectorAll("select, input, button")].find((each) => (each.name || each.textContent) === focused)?.focus();
  }

  function topPart(entries, top, span) {
    const tab = ([kind, words]) => {
      const link = new URLSearchParams(params);
      link.set("top", kind);
      return h("a", { href: `${BASE}/listening?${link}`, "aria-current": kind === top ? "page" : null }, words);
    };
    return part("most", "Most heard", h("nav", { class: "tabs", "aria-label": "Of what" }, Object.entries(KINDS).map(tab)),
      entries.length > 0 ? heardList(entries, top, params.get("account"), (entry) => counted(entry.plays, "play"))
        : h("p", { class: "note" }, `No ${KINDS[top].toLowerCase()}: ${span.words}.`));
  }

  function foundPart({ months, items }, top, span) {
    const all = withoutHoles(months, "month");
    const sum = months.reduce((total, each) => total + each.plays, 0);
    const words = `${KINDS[top]} heard for the first time, per month: ${number(sum)}`;
    return part("found", `Discovered ${KINDS[top].toLowerCase()}`, h("p", { class: "legend" }, `${number(sum)} for the first time: ${span.words}. Those heard most since:`),
      heardList(items, top, params.get("account"), (entry) => h("span", null, "since ", time(entry.first_at, "day"))),
      all.length > 0 && [heardColumns(words, all, "month", true),
        asTable("Discovered per month", ["Month", "Discovered"], [...months].reverse().map((each) => [stretchName(each.stretch, "month"), number(each.plays)]))]);
  }

  shown(trouble, false);
  // The settings may name a zone; it is part of the status, which arrives at once.
  if (isZoneKnown) void load();
  const late = setTimeout(() => isZoneKnown || load(), 2000);
  const update = (status) => {
    choose.update(status);
    const known = zoneOf(status);
    if (isZoneKnown && known === zone) return;
    [zone, isZoneKnown] = [known, true];
    void load();
  };
  const close = () => {
    clearTimeout(late);
    asked.abort();
  };
  return { title: "Listening", node, update, close };
}

/** The year that the calendar shows. */
function yearOf(span, zone) {
  const params = new URLSearchParams({ span: "year", at: `${span.year}-06-01` });
  return { ...spanOf(params, zone), year: Number(span.year) };
}

function summaryPart({ plays, ms, days, first_day: first, last_day: last, longest_streak: longest, last_streak: recent, zone }, span) {
  const fact = (words, value, more = null) => h("div", null, h("dt", null, words), h("dd", null, value, more && h("span", { class: "more" }, more)));
  const streak = (each) => (each.first === each.last ? stretchName(each.first, "day") : `${stretchName(each.first, "day")} to ${stretchName(each.last, "day")}`);
  return part("summary", span.words, days === 0 ? h("p", { class: "note" }, "Nothing was heard.")
    : h("dl", { class: "facts" },
      fact("Heard", hours(ms), counted(plays, "play")),
      fact("On", counted(days, "day"), `${stretchName(first, "day")} to ${stretchName(last, "day")}`),
      fact("Longest streak", counted(longest.days, "day"), streak(longest)),
      fact("Last streak", counted(recent.days, "day"), streak(recent))),
  h("p", { class: "note" }, `Plays are those of 30 seconds or more. Days are those of ${zone}.`));
}

function overPart(items, span) {
  const all = withoutHoles(items, span.by);
  const ms = items.reduce((total, each) => total + each.ms, 0);
  return part("over", `By ${span.by}`, all.length === 0 ? h("p", { class: "note" }, "Nothing was heard.")
    : [heardColumns(`Heard by ${span.by}: ${hours(ms)} in all`, all, span.by),
      asTable(`Heard by ${span.by}`, [capital(span.by), "Hours", "Plays"], [...all].reverse().map((each) => [stretchName(each.stretch, span.by), hours(each.ms), number(each.plays)]))]);
}

function calendarPart(items, { year }) {
  const sum = items.reduce((total, each) => total + each.ms, 0);
  return part("calendar", `Days of ${year}`, calendar(`Days of ${year}: something was heard on ${counted(items.length, "day")}, ${hours(sum)} in all`, year, items),
    asTable(`Days of ${year}`, ["Day", "Hours", "Plays"], [...items].reverse().map((each) => [stretchName(each.stretch, "day"), hours(each.ms), number(each.plays)])));
}

function weekPart(items, span) {
  const most = items.reduce((best, each) => (each.ms > best.ms ? each : best), { ms: 0, stretch: "1-00" });
  const [weekday, hour] = most.stretch.split("-");
  const words = `Hours of the week, ${span.words}: most on ${WEEKDAYS[weekday - 1]} at ${hour}:00`;
  const known = new Map(items.map((each) => [each.stretch, each.ms]));
  const lines = Array.from({ length: 24 }, (_, at) => [`${String(at).padStart(2, "0")}:00`, ...WEEKDAYS.map((_, index) => hours(known.get(weekHour(index, at)) ?? 0))]);
  return part("week", "Hours of the week", weekHours(words, items), asTable("Hours of the week", ["Hour", ...WEEKDAYS], lines));
}

function unheardPart(items) {
  return part("unheard", "Saved and never heard", items.length === 0 ? h("p", { class: "note" }, "None: everything saved was heard at least once.")
    : h("ol", { class: "rows" }, items.map((each) => row(h("span", { class: "name" }, isolated(each.name || "(without a name)")), [each.artist],
      [h("span", null, unseen("saved "), time(each.added_at, "day"))]))));
}

function unsavedPart(items) {
  return part("unsaved", "Heard often and never saved", items.length === 0 ? h("p", { class: "note" }, "None.")
    : heardList(items, "track", null));
}
