// The view "Activity": the requests to Spotify and their outcome.

import { get } from "./api.js";
import { asTable, columnsOf, dateOf, dayAxis, dayColumns, dayStrip } from "./chart.js";
import { h, icon, shown } from "./dom.js";
import { accountField } from "./filters.js";
import { pagedList } from "./list.js";
import { row } from "./rows.js";
import { dayOf, minuteOf, now, span, time } from "./time.js";
import { ENTITY_TYPES, capital, counted, counts, family, limitClass, listed, number, phase, plain } from "./words.js";

const HOUR = 3_600_000, DAY = 24 * HOUR;
const REFRESH_MS = 30_000;
const RETRY_MS = 5_000;
/** More would be too much text; the chart has all of them. */
const PAUSES_MAX = 12;
const FAMILIES = [...ENTITY_TYPES, "playlist_items", "player"];

/** Requests outside the endpoint groups are not "all". */
const group = (name) => (name === "*" ? "other" : family(name));

export function open(context) {
  const { params } = context;
  const trouble = h("p", { class: "trouble", role: "status" });
  const body = h("div", { class: "parts" });
  const heading = h("h1", { tabindex: "-1" }, "Activity");
  const batches = batchesPart(context);
  const choose = accountField(context, () => {
    void load();
    batches.reload();
  });
  const node = h("div", { class: "activity" }, heading,
    h("form", { class: "filters" }, choose.node), trouble, body, batches.node);

  let asked = new AbortController();
  async function load() {
    asked.abort();
    asked = new AbortController();
    const { signal } = asked;
    try {
      const seen = await get("activity", { account: params.get("account") }, signal);
      if (signal.aborted) return;
      shown(trouble, false);
      // A table that is open stays open.
      const isOpen = [...body.querySelectorAll("details")].map((each) => each.open);
      body.replaceChildren(requestsPart(seen), playsPart(seen), runsPart(seen), restartsPart(seen));
      body.querySelectorAll("details").forEach((each, index) => {
        each.open = isOpen[index] ?? false;
      });
    } catch (problem) {
      if (signal.aborted) return;
      trouble.replaceChildren(icon("failed"), problem.message);
      shown(trouble, true);
      setTimeout(() => signal.aborted || load(), RETRY_MS);
    }
  }
  shown(trouble, false);
  void load();
  const timer = setInterval(() => {
    // Not while somebody is reading one of its tables.
    if (!document.hidden && !body.contains(document.activeElement)) void load();
  }, REFRESH_MS);
  const close = () => {
    clearInterval(timer);
    asked.abort();
    batches.close();
  };
  return { title: "Activity", node, update: choose.update, close };
}

function part(id, title, ...children) {
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), children);
}

function requestsPart({ requests, ceilings, pauses }) {
  const until = now();
  const stretches = requests.map((each) => ({ ...each, at: Date.parse(each.started_at) }));
  const stops = pauses.map((each) => ({ ...each, from: Date.parse(each.from), until: Date.parse(each.until) }))
    .filter((stop) => stop.until > until - DAY);
  const named = [...new Set([...FAMILIES, ...requests.map((each) => each.family)])];
  const own = (name) => stretches.filter((each) => each.family === name);
  const tallest = (minutes) => Math.max(1, ...named.flatMap((name) => [...columnsOf(own(name), minutes).values()].map((column) => column.requests)));
  const isQuiet = (name) => !ceilings[name] && own(name).length === 0 && !stops.some((stop) => stop.family === name);
  const quiet = named.filter(isQuiet);
  const strips = named.filter((name) => !isQuiet(name)).map((name) => {
    const sum = own(name).reduce((total, each) => total + each.requests, 0);
    const refused = own(name).reduce((total, each) => total + each.refusals, 0);
    const ceiling = ceilings[name];
    const against = ceiling ? `${number(sum)} of ${number(ceiling)}` : number(sum);
    const words = `${capital(group(name))}: ${against} requests in 24 hours${refused > 0 ? `, ${counted(refused, "refusal")}` : ""}`;
    const meter = ceiling && h("meter", { min: "0", max: String(ceiling), value: String(sum), high: String(ceiling * 0.9), optimum: "0", "aria-label": `${group(name)}: requests against the ceiling` });
    return h("li", null,
      h("p", null, h("strong", null, capital(group(name))), h("span", null, against),
        refused > 0 && h("span", { class: "refusals" }, `${number(refused)} refused`), meter),
      dayStrip({ words, stretches: own(name), pauses: stops.filter((stop) => stop.family === name || stop.family === "*"), tallest, until }));
  });
  const all = ceilings["*"];
  const sum = stretches.reduce((total, each) => total + each.requests, 0);
  return part("requests", "Requests in the last 24 hours",
    h("p", { class: "legend" }, `${number(sum)}${all ? ` of ${number(all)}` : ""} in all. `,
      h("span", { class: "key bar" }), " requests ", h("span", { class: "key refused" }, "×"), " refused (429) ", h("span", { class: "key pause" }), " paused"),
    strips.length > 0 && [h("ol", { class: "strips" }, strips), h("div", { class: "axis" }, dayAxis(until))],
    quiet.length > 0 && h("p", { class: "note" }, `No requests to: ${listed(quiet.map(group))}.`),
    requestsTable(stretches, stops, named, ceilings));
}

/** By the hour, with refusals in brackets. */
function requestsTable(stretches, stops, named, ceilings) {
  const hours = [...new Set(stretches.map((each) => Math.floor(each.at / HOUR) * HOUR))].sort((a, b) => b - a);
  const cell = (found) => {
    const [asked, refused] = ["requests", "refusals"].map((what) => found.reduce((total, each) => total + each[what], 0));
    return refused > 0 ? `${number(asked)} (${number(refused)} refused)` : number(asked);
  };
  const lines = hours.map((hour) => [`${dayOf(new Date(hour))} ${minuteOf(new Date(hour))}`,
    ...named.map((name) => cell(stretches.filter((each) => each.family === name && each.at >= hour && each.at < hour + HOUR)))]);
  const sums = ["24 hours", ...named.map((name) => cell(stretches.filter((each) => each.family === name)))];
  const limits = ["Ceiling", ...named.map((name) => (ceilings[name] ? number(ceilings[name]) : "none"))];
  const pauses = stops.slice(-PAUSES_MAX).reverse().map((stop) => h("li", null, `${capital(family(stop.family))}: paused by the ${limitClass(stop.class)}, `,
    time(new Date(stop.from).toISOString(), "clock"), " to ", time(new Date(stop.until).toISOString(), "clock")));
  return [asTable("Requests per hour", ["From", ...named.map((name) => capital(group(name)))], [sums, limits, ...lines]),
    pauses.length > 0 && h("ul", { class: "plain" }, pauses,
      stops.length > PAUSES_MAX && h("li", null, `and ${counted(stops.length - PAUSES_MAX, "pause")} before`))];
}

function playsPart({ plays_per_day: given }) {
  const perDay = new Map(given.map((each) => [each.day, each.plays]));
  const days = Array.from({ length: 30 }, (_, index) => {
    const day = new Date(now() - (29 - index) * DAY).toISOString().slice(0, 10);
    return { day, plays: perDay.get(day) ?? 0 };
  });
  const sum = days.reduce((total, each) => total + each.plays, 0);
  if (sum === 0) return part("plays", "Plays in the last 30 days", h("p", { class: "note" }, "None. The service looks for them all the time."));
  const most = days.reduce((best, each) => (each.plays > best.plays ? each : best));
  const words = `Plays per day: ${counted(sum, "play")} in 30 days, most on ${dayOf(dateOf(most.day))}: ${number(most.plays)}`;
  return part("plays", "Plays in the last 30 days", h("p", { class: "legend" }, `${counted(sum, "play")}; days are in UTC.`),
    dayColumns(words, days),
    asTable("Plays per day", ["Day", "Plays"], [...days].reverse().map((each) => [each.day, number(each.plays)])));
}

function runsPart({ runs }) {
  const rows = runs.map((run) => row(
    h("span", { class: "name" }, `${capital(plain(run.entity_type))}: ${phase(run.phase).toLowerCase()}`),
    [counted(run.items_processed, "item"), counts(run) || "nothing new", counted(run.requests, "request")],
    [span(run.duration_ms), time(run.began_at, "clock")],
  ));
  return part("runs", "Runs", rows.length > 0 ? h("ol", { class: "rows" }, rows) : h("p", { class: "note" }, "None yet."));
}

function restartsPart({ restarts }) {
  const rows = restarts.map((each) => row(
    h("span", { class: "name" }, capital(plain(each.actor))), [each.reason], [time(each.at, "clock")]));
  return part("restarts", "Restarts", rows.length > 0 ? h("ol", { class: "rows" }, rows)
    : h("p", { class: "note" }, "No part of the service has had to be restarted since it began."));
}

/** There are many batches; they are loaded on request. */
function batchesPart({ params }) {
  const place = h("div");
  const details = h("details", null, h("summary", null, "Show each batch"), place);
  let list = null;
  details.addEventListener("toggle", () => {
    if (!details.open || list) return;
    list = pagedList({ path: "batches", query: () => ({ account: params.get("account") }), row: batchRow, noun: "row", empty: () => "None yet." });
    place.replaceChildren(list.node);
  });
  const node = part("batches", "Batches", details);
  return { node, reload: () => list?.reload(), close: () => list?.close() };
}

function batchRow(batch) {
  const range = batch.offset_to > batch.offset_from ? `${number(batch.offset_from)} to ${number(batch.offset_to)}` : null;
  return row(h("span", { class: "name" }, `${capital(plain(batch.entity_type))}${range ? ` ${range}` : ""}`),
    [counted(batch.items_processed, "item"),
      counts({ new: batch.items_new, updated: batch.items_updated, removed: batch.items_removed }),
      counted(batch.requests, "request")],
    [span(batch.duration_ms), time(batch.committed_at, "clock")]);
}
