// Times, as people read them: in their own zone. Near ones are shown as a distance, with the exact moment in the title.
// The distances follow the service's clock by themselves.

import { attr, h, text } from "./dom.js";

const MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

const format = (options) => new Intl.DateTimeFormat("en-GB", options);
const CLOCK = format({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const SHORT_CLOCK = format({ hour: "2-digit", minute: "2-digit" });
const DAY_OF_YEAR = format({ day: "numeric", month: "short" });
const DATE = format({ day: "numeric", month: "short", year: "numeric" });
const LONG_DAY = format({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
const EXACT = format({
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
});

let skew = 0;

/** The service's clock, in milliseconds. */
export const now = () => Date.now() + skew;

/** Learns the service's time. The delay on the way, up to a second or so, does not matter. */
export function setNow(iso) {
  const ahead = new Date(iso).getTime() - Date.now();
  if (Number.isFinite(ahead) && Math.abs(ahead - skew) > 1000) skew = ahead;
}

/** The zone of all times that are shown. */
export function zone() {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const parts = format({ timeZoneName: "short" }).formatToParts(new Date());
  const short = parts.find((part) => part.type === "timeZoneName")?.value;
  return short && short !== name ? `${name} (${short})` : name;
}

const WAYS = {
  /** "3 min ago" */
  ago: (at) => {
    const past = Math.round((now() - at) / 1000);
    if (past < 5) return "just now";
    return past < 2 * DAY ? `${distance(past)} ago` : `on ${day(at)}`;
  },
  /** "in 3 min" */
  in: (at) => {
    const left = Math.round((at - now()) / 1000);
    if (left <= 0) return "any moment";
    return left < 2 * DAY ? `in ${distance(left)}` : `on ${day(at)}`;
  },
  /** "0:24", to the second */
  left: (at) => countdown(Math.max(0, Math.ceil((at - now()) / 1000))),
  clock: (at) => moment(at),
  hour: (at) => CLOCK.format(at),
  exact: (at) => EXACT.format(at),
  day: (at) => day(at),
};

const TICKING = new Set(["ago", "in", "left"]);

/** A moment, shown in one of the `WAYS`. */
export function time(iso, way) {
  return setTime(h("time"), iso, way);
}

export function setTime(node, iso, way) {
  if (!iso) {
    text(node, "");
    return node;
  }
  const at = new Date(iso);
  attr(node, "datetime", iso);
  attr(node, "title", way === "exact" ? null : EXACT.format(at));
  attr(node, "data-tick", TICKING.has(way) ? way : null);
  text(node, WAYS[way](at));
  return node;
}

/** Lets all distances on the page follow the clock. */
export function keepTicking() {
  setInterval(() => {
    if (document.hidden) return;
    for (const node of document.querySelectorAll("time[data-tick]")) {
      text(node, WAYS[node.dataset.tick](new Date(node.dateTime)));
    }
  }, 500);
}

/** "14:03:20" today, "12 Nov 14:03" within the year, "12 Nov 2025" before. */
function moment(at) {
  const today = new Date(now());
  if (at.toDateString() === today.toDateString()) return CLOCK.format(at);
  return at.getFullYear() === today.getFullYear() ? `${DAY_OF_YEAR.format(at)} ${SHORT_CLOCK.format(at)}` : DATE.format(at);
}

function day(at) {
  return at.getFullYear() === new Date(now()).getFullYear() ? DAY_OF_YEAR.format(at) : DATE.format(at);
}

export const clockOf = (at) => CLOCK.format(at);
export const minuteOf = (at) => SHORT_CLOCK.format(at);
export const dayOf = (at) => DAY_OF_YEAR.format(at);

/** "Today", "Yesterday", "Friday, 20 November 2026" */
export function longDay(at) {
  const daysAgo = (back) => new Date(now() - back * DAY * 1000).toDateString();
  if (at.toDateString() === daysAgo(0)) return "Today";
  return at.toDateString() === daysAgo(1) ? "Yesterday" : LONG_DAY.format(at);
}

function distance(seconds) {
  if (seconds < MINUTE) return `${seconds} s`;
  if (seconds < HOUR) return `${Math.round(seconds / MINUTE)} min`;
  if (seconds < 10 * HOUR) {
    const minutes = Math.round((seconds % HOUR) / MINUTE);
    const hours = Math.floor(seconds / HOUR);
    return minutes % 60 === 0 ? `${hours + minutes / 60} h` : `${hours} h ${minutes} min`;
  }
  return `${Math.round(seconds / HOUR)} h`;
}

function countdown(seconds) {
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / HOUR), Math.floor((seconds % HOUR) / MINUTE)];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % MINUTE)}` : `${minutes}:${two(seconds % MINUTE)}`;
}

/** A length of time, with suitable precision: "840 ms", "12.4 s", "2 min 3 s". */
export function span(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < MINUTE) return `${seconds.toFixed(1)} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min ${Math.round(seconds % MINUTE)} s`;
  return distance(Math.round(seconds));
}

/** The length of a track: "3:07". */
export const length = (milliseconds) => countdown(Math.round(milliseconds / 1000));
