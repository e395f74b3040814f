// What concerns all accounts together: what the gate lets through right now, and the requests to Spotify of the last
// day.

import { attr, h, keyed, shown, text } from "./dom.js";
import { line } from "./entity.js";
import { capacityLine } from "./nodes.js";
import { setTime } from "./time.js";
import { capital, counted, family, limitClass, number, plain } from "./words.js";

export function gatePart() {
  const fill = h("span", { class: "fill" });
  const meter = h("div", { class: "meter", role: "meter", "aria-label": "Requests in the window", "aria-valuemin": "0" }, fill);
  const used = h("strong"), window_ = h("span"), wait = line("wait"), pauses = h("ul", { class: "pauses" });
  const waiting = line("waiting");
  const updatePauses = keyed(pauses, (limit) => limit.family, pauseLine);
  const node = h("section", { class: "card gate", "aria-labelledby": "gate" },
    h("h2", { id: "gate" }, "Right now"),
    h("p", { class: "count" }, used, window_), meter, wait.node, waiting.node, pauses);

  const update = ({ gate, limits }) => {
    const { used: spent, limit, window_seconds: seconds, waiting_for: waitsFor } = gate;
    const share = limit > 0 ? Math.min(1, spent / limit) : 0;
    text(used, `${number(spent)} of ${number(limit)}`);
    text(window_, ` requests in the last ${number(seconds)} s`);
    attr(meter, "aria-valuenow", spent);
    attr(meter, "aria-valuemax", Math.max(limit, spent, 1));
    attr(meter, "aria-valuetext", `${spent} of ${limit} requests in the last ${seconds} seconds`);
    attr(meter, "data-full", share >= 1);
    const width = `${Math.round(share * 1000) / 10}%`;
    if (fill.style.width !== width) fill.style.width = width;
    wait.set([waitsFor?.kind === "window" && ["the window is full; the next request goes out in ", [waitsFor.until, "left"]]]);
    const queue = (gate.waiting ?? []).filter((entry) => entry.requests > 0);
    waiting.set([queue.length > 0
      ? ["waiting to be sent: ", queue.map((entry) => `${number(entry.requests)} for ${plain(entry.priority)}`).join(", ")]
      : "no request is waiting"]);
    // A pause that the gate has just met is shown before the database contains it.
    const known = [...limits];
    if (waitsFor?.kind === "pause" && !known.some((limit) => limit.family === waitsFor.family)) {
      known.push({ family: waitsFor.family, class: waitsFor.class, blocked_until: waitsFor.until });
    }
    updatePauses(known);
    shown(pauses, known.length > 0);
  };
  return { node, update };
}

function pauseLine() {
  const what = h("span"), left = h("time", { class: "countdown" }), until = h("time");
  const node = h("li", null, what, left, ", until ", until);
  const update = (limit) => {
    attr(node, "data-class", limit.class);
    const whom = limit.family === "*" ? "All requests wait" : `${capital(family(limit.family))} wait`;
    text(what, `${limit.class === "ceiling" && limit.family === "*" ? "All but the listening history wait" : whom} for the ${limitClass(limit.class)}: `);
    setTime(left, limit.blocked_until, "left");
    setTime(until, limit.blocked_until, "clock");
  };
  return { node, update };
}

/** The requests of the last day, and those that remain. */
export function ledgerPart() {
  const body = h("tbody");
  const none = h("p", { class: "note" }, "No requests were sent to Spotify in the last 24 hours.");
  const table = h("table", { class: "ledger" },
    h("caption", { class: "unseen" }, "Requests per group of endpoints"),
    h("thead", null, h("tr", null,
      ...["Group", "Sent", "Refused", "To send", "Done"].map((word) => h("th", { scope: "col" }, word)))), body);
  const updateRows = keyed(body, (row) => row.family, ledgerRow);
  const capacity = capacityLine();
  const node = h("section", { class: "card", "aria-labelledby": "ledger" },
    h("h2", { id: "ledger" }, "The last 24 hours"), table, none, capacity.node);
  const update = (status) => {
    const { ledger, forecast, limits } = status;
    capacity.update(status);
    const rows = new Map();
    const row = (name) => rows.get(name) ?? rows.set(name, { family: name, spent: null, ahead: null }).get(name);
    for (const spent of ledger ?? []) row(spent.family).spent = spent;
    for (const ahead of forecast ?? []) row(ahead.family).ahead = ahead;
    const blocked = new Set((limits ?? []).map((limit) => limit.family));
    updateRows([...rows.values()].map((each) => ({ ...each, isBlocked: blocked.has(each.family) })));
    shown(table, rows.size > 0);
    shown(none, rows.size === 0);
  };
  return { node, update };
}

function ledgerRow() {
  const name = h("th", { scope: "row" }), asked = h("td"), refused = h("td"), left = h("td"), done = h("time");
  const node = h("tr", null, name, asked, refused, left, h("td", null, done));
  const update = ({ family: key, spent, ahead, isBlocked }) => {
    text(name, capital(family(key)));
    attr(node, "data-blocked", isBlocked);
    const ceiling = spent?.ceiling;
    const requests = spent?.requests ?? 0;
    text(asked, ceiling ? `${number(requests)} of ${number(ceiling)}` : number(requests));
    attr(asked, "title", ahead?.left_today !== null && ahead?.left_today !== undefined ? `${counted(ahead.left_today, "request")} left today` : null);
    text(refused, number(spent?.refusals ?? 0));
    attr(refused, "data-some", (spent?.refusals ?? 0) > 0);
    text(left, ahead ? number(ahead.remaining_requests) : "0");
    if (ahead?.done_at) setTime(done, ahead.done_at, "clock");
    else text(done, "");
  };
  return { node, update };
}
