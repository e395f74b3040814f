// Spans of time as people choose them, in the person's time zone: from which moment to which, and how they are divided.

import { now } from "./time.js";

const DAY = 86_400_000;
const NAME = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const LONG = NAME({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
const MONTH = NAME({ month: "long", year: "numeric" });
const SHORT_MONTH = NAME({ month: "short", year: "numeric" });
const SHORT = NAME({ day: "numeric", month: "short", year: "numeric" });
const DAY_OF_MONTH = NAME({ day: "numeric", month: "short" });

export const SPANS = [["", "all time"], ["year", "a year"], ["month", "a month"], ["week", "a week"], ["day", "a day"], ["any", "from … to …"]];

/** The person's zone: that of the service's settings, else the browser's. */
export const zoneOf = (status) => status?.time_zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";

/** A day is `2026-11-29`; as a date it is midnight in UTC, so that it counts without a zone. */
const dateOf = (day) => new Date(`${day}T00:00:00Z`);
const dayOf = (date) => date.toISOString().slice(0, 10);
const isDay = (text) => /^\d{4}-\d{2}-\d{2}$/.test(text ?? "") && !Number.isNaN(dateOf(text).getTime());
const plus = (day, days) => dayOf(new Date(dateOf(day).getTime() + days * DAY));

/** The current day there. */
export function today(zone) {
  const parts = new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" }).formatToParts(new Date(now()));
  const part = (type) => parts.find((each) => each.type === type).value;
  return `${part("year")}-${part("month")}-${part("day")}`;
}

/** The moment at which a day begins in a zone. */
export function beginningOf(day, zone) {
  const wanted = dateOf(day).getTime();
  let at = wanted;
  // The second pass is for days on which the clocks change.
  for (let look = 0; look < 2; look += 1) at = wanted - offset(at, zone);
  return new Date(at).toISOString();
}

function offset(at, zone) {
  const options = { timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" };
  const parts = Object.fromEntries(new Intl.DateTimeFormat("en-US", options).formatToParts(new Date(at)).map((part) => [part.type, Number(part.value)]));
  return Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second) - Math.floor(at / 1000) * 1000;
}

/**
 * What the address says: `{ words, query: { since, until }, by, previous, next, year }`. `by` is how time is cut, `previous`
 * and `next` are days in the spans beside it, and `year` is the one that the calendar shows.
 */
export function spanOf(params, zone) {
  const kind = params.get("span") ?? "";
  const here = today(zone);
  const at = isDay(params.get("at")) ? params.get("at") : here;
  const between = (from, to, words, by, beside = {}) => ({
    kind, words, by, ...beside, year: plus(to, -1).slice(0, 4),
    query: { since: beginningOf(from, zone), until: beginningOf(to, zone) },
  });
  const months = (count) => {
    const [year, month] = at.split("-").map(Number);
    return dayOf(new Date(Date.UTC(year, month - 1 + count, 1)));
  };
  if (kind === "day") return between(at, plus(at, 1), LONG.format(dateOf(at)), "hour", { previous: plus(at, -1), next: plus(at, 1) });
  if (kind === "week") {
    const monday = plus(at, -((dateOf(at).getUTCDay() + 6) % 7));
    return between(monday, plus(monday, 7), `The week of ${SHORT.format(dateOf(monday))}`, "day", { previous: plus(monday, -7), next: plus(monday, 7) });
  }
  if (kind === "month") return between(months(0), months(1), MONTH.format(dateOf(at)), "day", { previous: months(-1), next: months(1) });
  if (kind === "year") {
    const year = Number(at.slice(0, 4));
    return between(`${year}-01-01`, `${year + 1}-01-01`, String(year), "month", { previous: `${year - 1}-01-01`, next: `${year + 1}-01-01` });
  }
  if (kind === "any") {
    const from = isDay(params.get("from")) ? params.get("from") : plus(here, -90);
    const last = isDay(params.get("to")) && params.get("to") >= from ? params.get("to") : here > from ? here : from;
    const days = (dateOf(last) - dateOf(from)) / DAY + 1;
    const by = days <= 2 ? "hour" : days <= 92 ? "day" : days <= 800 ? "week" : "month";
    return { ...between(from, plus(last, 1), `${SHORT.format(dateOf(from))} to ${SHORT.format(dateOf(last))}`, by), from, last };
  }
  return { kind: "", words: "All time", by: "year", query: {}, year: here.slice(0, 4) };
}

/** A stretch, by the API's name, in words: short for the axis. */
export function stretchName(stretch, by, isShort = false) {
  if (by === "hour") return `${stretch}:00`;
  if (by === "year") return stretch;
  if (by === "month") return (isShort ? SHORT_MONTH : MONTH).format(dateOf(`${stretch}-01`));
  if (isShort) return DAY_OF_MONTH.format(dateOf(stretch));
  return by === "week" ? `week of ${SHORT.format(dateOf(stretch))}` : SHORT.format(dateOf(stretch));
}

/** Every stretch from the first to the last, silent ones included. */
export function withoutHoles(items, by) {
  if (items.length === 0) return items;
  const known = new Map(items.map((item) => [item.stretch, item]));
  const names = by === "hour" ? Array.from({ length: 24 }, (_, hour) => String(hour).padStart(2, "0")) : [...between(items[0].stretch, items.at(-1).stretch, by)];
  return names.map((stretch) => known.get(stretch) ?? { stretch, plays: 0, ms: 0 });
}

/** Most stretches of one chart: five hundred weeks are ten years. */
const STRETCHES_MAX = 2000;

function* between(first, last, by) {
  let name = first;
  for (let count = 0; name <= last && count < STRETCHES_MAX; count += 1) {
    yield name;
    if (by === "year") name = String(Number(name) + 1).padStart(4, "0");
    else if (by === "month") {
      const [year, month] = name.split("-").map(Number);
      name = dayOf(new Date(Date.UTC(year, month, 1))).slice(0, 7);
    } else name = plus(name, by === "week" ? 7 : 1);
  }
}
