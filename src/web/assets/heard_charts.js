// The charts of what was heard: columns over time, a calendar of days, hours by weekday.

import { label, niceTop, picture, rect } from "./chart.js";
import { s } from "./dom.js";
import { stretchName } from "./spans.js";
import { counted, hours, number } from "./words.js";

const HOUR = 3_600_000, DAY = 24 * HOUR;
export const WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/** Shades of amount, from none to most. */
const SHADES = 4;

const told = (each) => `${hours(each.ms)}, ${counted(each.plays, "play")}`;

/** Hours per stretch; `items` without gaps. With `isCount` it shows how many instead of how long. */
export function heardColumns(words, items, by, isCount = false) {
  const value = (each) => (isCount ? each.plays : each.ms / HOUR);
  return picture(words, 160, (width, height) => {
    const [left, floor, top] = [38, height - 20, 8];
    const most = Math.max(...items.map(value), 0);
    const tallest = most > 1 || isCount ? niceTop(Math.max(most, 1)) : 1;
    const y = (amount) => floor - (floor - top) * amount / tallest;
    const wide = (width - left) / items.length;
    const every = Math.ceil(62 / wide);
    const grid = [0, tallest / 2, tallest].filter((amount) => !isCount || Number.isInteger(amount)).flatMap((amount) =>
      [rect("grid", left, y(amount), width - left, 0.5), label(left - 6, y(amount) + 4, "end", isCount ? String(amount) : `${amount} h`)]);
    const bars = items.map((each, index) => rect("bar", left + index * wide + (wide > 4 ? 1 : 0), y(value(each)), wide - (wide > 4 ? 2 : 0), floor - y(value(each)),
      `${stretchName(each.stretch, by)}: ${isCount ? `${number(each.plays)} discovered` : told(each)}`));
    const names = items.map((each, index) => index % every === 0 && left + (index + 0.5) * wide < width - 24
      && label(left + (index + 0.5) * wide, height - 5, index === 0 && wide < 50 ? "start" : "middle", stretchName(each.stretch, by, true)));
    return [...grid, ...bars, ...names];
  });
}

const shade = (ms, most) => (ms > 0 ? `heat heat${Math.min(SHADES, Math.ceil(SHADES * ms / most))}` : "heat");

/** The days of a year, a column for each week. */
export function calendar(words, year, items) {
  const known = new Map(items.map((each) => [each.stretch, each]));
  const most = Math.max(...items.map((each) => each.ms), 1);
  const first = Date.UTC(year, 0, 1), last = Date.UTC(year, 11, 31);
  const monday = first - ((new Date(first).getUTCDay() + 6) % 7) * DAY;
  return picture(words, 132, (width) => {
    const wide = Math.min(18, width / 54), tall = 15;
    const cells = [], months = [];
    for (let at = first; at <= last; at += DAY) {
      const [week, weekday] = [Math.floor((at - monday) / (7 * DAY)), Math.round((at - monday) / DAY) % 7];
      const day = new Date(at).toISOString().slice(0, 10);
      const heard = known.get(day) ?? { ms: 0, plays: 0 };
      cells.push(rect(shade(heard.ms, most), week * wide, 18 + weekday * (tall + 1), Math.max(1, wide - 1), tall, `${stretchName(day, "day")}: ${told(heard)}`));
      if (day.endsWith("-01")) months.push(label(week * wide, 12, "start", new Intl.DateTimeFormat("en-GB", { month: wide > 9 ? "short" : "narrow", timeZone: "UTC" }).format(at)));
    }
    return [...months, ...cells];
  });
}

/** Hours of the day, a row for each weekday; `items` have the API's names: `1-00`. */
export function weekHours(words, items) {
  const known = new Map(items.map((each) => [each.stretch, each]));
  const most = Math.max(...items.map((each) => each.ms), 1);
  return picture(words, 178, (width) => {
    const left = 34, wide = (width - left) / 24, tall = 20;
    const names = WEEKDAYS.map((name, row) => label(0, 16 + row * (tall + 1), "start", name.slice(0, 3)));
    const cells = WEEKDAYS.flatMap((name, row) => Array.from({ length: 24 }, (_, hour) => {
      const heard = known.get(weekHour(row, hour)) ?? { ms: 0, plays: 0 };
      return rect(shade(heard.ms, most), left + hour * wide, 2 + row * (tall + 1), wide - 1, tall, `${name}, ${hour}:00 to ${hour + 1}:00: ${told(heard)}`);
    }));
    const every = [0, 6, 12, 18].map((hour) => label(left + hour * wide, 170, "start", `${String(hour).padStart(2, "0")}:00`));
    return [...names, ...cells, ...every];
  });
}

export const weekHour = (row, hour) => `${row + 1}-${String(hour).padStart(2, "0")}`;

/** A bar beside a name, as a picture that repeats the number beside it. */
export function share(ms, most) {
  const node = s("svg", { class: "share", "aria-hidden": "true", viewBox: "0 0 100 6", preserveAspectRatio: "none" },
    s("rect", { class: "bar", width: String(Math.max(1, 100 * ms / Math.max(most, 1))), height: "6" }));
  return node;
}
