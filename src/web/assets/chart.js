// Charts, drawn in SVG at the available width, and redrawn when that changes. Each is one picture with a name; the
// numbers are in a table beside it.

import { h, s } from "./dom.js";
import { dayOf, minuteOf } from "./time.js";
import { counted, limitClass } from "./words.js";

const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

/** A picture that `draw(width)` fills. */
export function picture(label, height, draw) {
  const node = s("svg", { class: "chart", role: "img", "aria-label": label, height: String(height), width: "100%" });
  let drawn = 0;
  const watch = new ResizeObserver(([{ contentRect: { width } }]) => {
    if (width < 1 || Math.abs(width - drawn) < 1) return;
    drawn = width;
    node.replaceChildren(...draw(width, height).filter(Boolean));
  });
  watch.observe(node);
  return node;
}

export const rect = (kind, x, y, width, height, title) =>
  s("rect", { class: kind, x: x.toFixed(1), y: y.toFixed(1), width: Math.max(0.5, width).toFixed(1), height: Math.max(0, height).toFixed(1) },
    title && s("title", null, title));

export const label = (x, y, anchor, words) => s("text", { x: x.toFixed(1), y: String(y), "text-anchor": anchor }, words);

/** `stretches` of `{ at, requests, refusals }`, merged into columns of `minutes`: a map by the beginning of each. */
export function columnsOf(stretches, minutes) {
  const columns = new Map();
  for (const { at, requests, refusals } of stretches) {
    const key = Math.floor(at / (minutes * MINUTE)) * minutes * MINUTE;
    const column = columns.get(key) ?? { requests: 0, refusals: 0 };
    columns.set(key, { requests: column.requests + requests, refusals: column.refusals + refusals });
  }
  return columns;
}

/**
 * The last day of one group of endpoints, with `pauses` of `{ from, until, class }`; times are in milliseconds.
 * `tallest(minutes)` is the tallest column of all groups, so that they can be compared.
 */
export function dayStrip({ words, stretches, pauses, tallest, until }) {
  const from = until - DAY;
  return picture(words, 52, (width, height) => {
    const floor = height - 1, room = height - 12;
    const x = (at) => (Math.min(Math.max(at, from), until) - from) / DAY * width;
    const minutes = width > 620 ? 10 : 30;
    const wide = width * minutes * MINUTE / DAY;
    const top = tallest(minutes);
    const bars = [...columnsOf(stretches, minutes)].flatMap(([at, { requests, refusals }]) => {
      const refused = refusals > 0 ? `, ${refusals} refused` : "";
      const height = Math.max(2, room * requests / top);
      const bar = rect("bar", x(at), floor - height, wide - (wide > 3 ? 1 : 0), height, `${minuteOf(new Date(at))}: ${counted(requests, "request")}${refused}`);
      return refusals > 0 ? [bar, cross(x(at) + wide / 2, 5, `${counted(refusals, "refusal")} at ${minuteOf(new Date(at))}`)] : [bar];
    });
    const shades = pauses.filter((pause) => pause.until > from && pause.from < until).map((pause) =>
      rect("pause", x(pause.from), 0, Math.max(2, x(pause.until) - x(pause.from)), floor,
        `paused by the ${limitClass(pause.class)}, ${minuteOf(new Date(pause.from))} to ${minuteOf(new Date(pause.until))}`));
    return [...hours(from, until).map((at) => rect("grid", x(at), 0, 0.5, floor)), ...shades, rect("floor", 0, floor, width, 1), ...bars];
  });
}

/** The hours below the strips. */
export function dayAxis(until) {
  const from = until - DAY;
  const node = picture("Hours of the day", 16, (width) => hours(from, until)
    .map((at) => [(at - from) / DAY * width, at])
    .filter(([x]) => x > 16 && x < width - 16)
    .map(([x, at]) => label(x, 12, "middle", minuteOf(new Date(at)))));
  node.setAttribute("aria-hidden", "true");
  return node;
}

/** Every sixth hour of the local day. */
function hours(from, until) {
  const found = [];
  const at = new Date(from);
  at.setMinutes(0, 0, 0);
  for (; at.getTime() <= until; at.setHours(at.getHours() + 1)) {
    if (at.getHours() % 6 === 0 && at.getTime() >= from) found.push(at.getTime());
  }
  return found;
}

function cross(x, y, title) {
  return s("path", { class: "refused", d: `M${x - 3.5} ${y - 3.5}l7 7m0 -7l-7 7` }, s("title", null, title));
}

/** Plays of each day, `[{ day, plays }]` without missing days. */
export function dayColumns(words, days) {
  return picture(words, 150, (width, height) => {
    const [left, floor, top] = [34, height - 20, 8];
    const tallest = niceTop(Math.max(...days.map((each) => each.plays), 1));
    const y = (plays) => floor - (floor - top) * plays / tallest;
    const wide = (width - left) / days.length;
    const every = width > 520 ? 5 : 10;
    const grid = [0, tallest / 2, tallest].filter(Number.isInteger).flatMap((plays) =>
      [rect("grid", left, y(plays), width - left, 0.5), label(left - 6, y(plays) + 4, "end", String(plays))]);
    const bars = days.map(({ day, plays }, index) =>
      rect("bar", left + index * wide + 1, y(plays), wide - 2, floor - y(plays), `${dayOf(dateOf(day))}: ${counted(plays, "play")}`));
    const names = days.map(({ day }, index) => (days.length - 1 - index) % every === 0 && index > 0
      && label(left + (index + 0.5) * wide, height - 5, index === days.length - 1 ? "end" : "middle", dayOf(dateOf(day))));
    return [...grid, ...bars, ...names];
  });
}

/** A UTC day, formatted for this zone: at noon it has the same date nearly everywhere. */
export const dateOf = (day) => new Date(`${day}T12:00:00Z`);

/** The next of 2, 4, 10, 20, 40, 100, ... */
export function niceTop(value) {
  for (let scale = 1; ; scale *= 10) {
    const top = [2, 4, 10].find((step) => step * scale >= value);
    if (top) return top * scale;
  }
}

/** The same as a table, for people who prefer to read it. */
export function asTable(caption, heads, lines) {
  const row = ([first, ...rest]) => h("tr", null, h("th", { scope: "row" }, first), rest.map((cell) => h("td", null, cell)));
  return h("details", { class: "as-table" }, h("summary", null, `${caption}, as a table`),
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
      h("table", null, h("caption", { class: "unseen" }, caption),
        h("thead", null, h("tr", null, heads.map((head) => h("th", { scope: "col" }, head)))),
        h("tbody", null, lines.map(row)))));
}
