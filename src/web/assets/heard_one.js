// One artist, album, track or show: when and how often it was heard, its tracks, its playlists, and since when it is
// saved.

import { get } from "./api.js";
import { asTable } from "./chart.js";
import { BASE, h, icon, name as isolated, seen, text } from "./dom.js";
import { heardColumns } from "./heard_charts.js";
import { KINDS, heardHref, heardList, part } from "./listening.js";
import { playlistHref, row } from "./rows.js";
import { stretchName, withoutHoles } from "./spans.js";
import { time } from "./time.js";
import { counted, hours, number } from "./words.js";

export function open(context) {
  const { params } = context;
  const of = Object.hasOwn(KINDS, params.get("of") ?? "") ? params.get("of") : "artist";
  const account = params.get("account");
  const title = h("bdi", null, of === "track" ? "Track" : params.get("name"));
  const by = h("p", { class: "sub" });
  const body = h("div", { class: "parts" });
  const all = `${BASE}/listening${account ? `?${new URLSearchParams({ account })}` : ""}`;
  const node = h("div", { class: "listening one" }, h("nav", { "aria-label": "Up" }, h("a", { href: all }, "All of Listening")),
    h("h1", { tabindex: "-1" }, title), by, body);
  const asked = new AbortController();
  void load();

  async function load() {
    try {
      const query = { of, name: params.get("name"), artist: params.get("artist"), account };
      const found = await get("listening/one", query, asked.signal);
      text(title, found.name || "(without a name)");
      document.title = `${seen(found.name || "Listening")} · segno`;
      if (found.artist) by.replaceChildren("by ", h("a", { href: heardHref("artist", { name: found.artist }, account) }, isolated(found.artist)));
      body.replaceChildren(...[factsPart(found, of), monthsPart(found), listPart("tracks", "Tracks", found.tracks, "track", account),
        listPart("albums", "Albums", found.albums, "album", account), playlistsPart(found.playlists, account)].filter(Boolean));
    } catch (problem) {
      if (!asked.signal.aborted) body.replaceChildren(h("p", { class: "trouble", role: "status" }, icon("failed"), problem.message));
    }
  }
  return { title: KINDS[of], node, close: () => asked.abort() };
}

function factsPart({ plays, ms, first_at: first, last_at: last, saved_at: saved }, of) {
  const fact = (words, ...value) => h("div", null, h("dt", null, words), h("dd", null, value));
  return part("facts", "In all", h("dl", { class: "facts" },
    fact("Heard", hours(ms), h("span", { class: "more" }, counted(plays, "play"))),
    fact("First", time(first, "day")), fact("Last", time(last, "day")),
    of !== "show" && fact(of === "artist" ? "Followed" : "Saved", saved ? h("span", null, "since ", time(saved, "day")) : "no")));
}

function monthsPart({ months, ms }) {
  const all = withoutHoles(months, "month");
  return part("months", "By month", heardColumns(`Heard by month: ${hours(ms)} in all`, all, "month"),
    asTable("Heard by month", ["Month", "Hours", "Plays"], [...months].reverse().map((each) => [stretchName(each.stretch, "month"), hours(each.ms), number(each.plays)])));
}

function listPart(id, title, entries, of, account) {
  return entries.length > 0 && part(id, title, heardList(entries, of, account));
}

function playlistsPart(playlists, account) {
  const rows = playlists.map((playlist) => row(h("a", { class: "name", href: playlistHref(playlist.id, account) }, isolated(playlist.name || "(without a name)")),
    [], [counted(playlist.items, "item")]));
  return part("playlists", "In playlists", rows.length > 0 ? h("ol", { class: "rows" }, rows) : h("p", { class: "note" }, "In none of yours."));
}
