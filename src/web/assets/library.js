// The view "Library": what is saved and what was played, a tab for each.

import { BASE, h } from "./dom.js";
import { download } from "./download.js";
import { filters } from "./filters.js";
import { pagedList } from "./list.js";
import * as playlist from "./playlist.js";
import { albumRow, artistRow, audiobookRow, episodeRow, playlistRow, playRow, showRow, trackRow } from "./rows.js";

const ADDED = [["", "newest first"], ["added_at:asc", "oldest first"], ["name:asc", "name, A to Z"], ["name:desc", "name, Z to A"]];
const SEEN = [["", "name, A to Z"], ["name:desc", "name, Z to A"], ["first_seen_at:desc", "newest first"], ["first_seen_at:asc", "oldest first"]];
const PLACED = [["", "as at Spotify"], ["name:asc", "name, A to Z"], ["name:desc", "name, Z to A"]];

const TABS = {
  tracks: { words: "Tracks", noun: "track", row: trackRow, order: ADDED, usual: "added_at:desc" },
  albums: { words: "Albums", noun: "album", row: albumRow, order: ADDED, usual: "added_at:desc" },
  artists: { words: "Artists", noun: "artist", row: artistRow, order: SEEN, usual: "name:asc" },
  shows: { words: "Shows", noun: "show", row: showRow, order: ADDED, usual: "added_at:desc" },
  episodes: { words: "Episodes", noun: "episode", row: episodeRow, order: ADDED, usual: "added_at:desc" },
  audiobooks: { words: "Audiobooks", noun: "audiobook", row: audiobookRow, order: ADDED, usual: "added_at:desc" },
  playlists: { words: "Playlists", noun: "playlist", row: playlistRow, order: PLACED, usual: "position:asc" },
  plays: { words: "Plays", noun: "play", row: playRow, order: null, dayOf: (play) => play.played_at },
};

export function open(context) {
  const { params } = context;
  const name = Object.hasOwn(TABS, params.get("tab") ?? "") ? params.get("tab") : "tracks";
  if (name === "playlists" && params.get("playlist")) return playlist.open(context, tabs(context, name));
  const tab = TABS[name];
  const query = () => {
    const account = params.get("account"), q = params.get("q");
    if (!tab.order) return { q, account };
    const [sort, order] = (params.get("by") || tab.usual).split(":");
    return { q, sort, order, removed: params.get("removed"), account };
  };
  const list = pagedList({ path: name, query, row: (item) => tab.row(item, params.get("account")), dayOf: tab.dayOf, noun: tab.noun, empty: () => emptiness(params, tab) });
  const fields = [{ name: "q", label: `Search ${tab.words.toLowerCase()}`, kind: "search" }];
  if (tab.order) {
    fields.push({ name: "by", label: "Order", kind: "select", options: tab.order },
      { name: "removed", label: "Show removed", kind: "check" });
  }
  const bar = filters(context, fields, list.reload);
  const node = h("div", { class: "library" },
    h("h1", { tabindex: "-1" }, "Library"), tabs(context, name), bar.node, list.node, saved(context, name));
  return { title: tab.words, node, update: bar.update, close: list.close };
}

/** The whole list as a file, whatever is searched for. */
function saved({ params }, name) {
  const what = name === "plays" ? "listening" : name;
  return download(`export/${what}`, what, () => ({ account: params.get("account") }));
}

function tabs(context, current) {
  const account = context.params.get("account");
  const link = ([name, tab]) => {
    const params = new URLSearchParams({ tab: name });
    if (account) params.set("account", account);
    return h("a", { href: `${BASE}/library?${params}`, "aria-current": name === current ? "page" : null }, tab.words);
  };
  return h("nav", { class: "tabs", "aria-label": "Parts of the library" }, Object.entries(TABS).map(link));
}

function emptiness(params, tab) {
  if (params.get("q")) return `No ${tab.noun} with "${params.get("q")}" in it.`;
  if (params.get("removed")) return `No ${tab.noun} was removed.`;
  return tab.noun === "play" ? "No plays yet. The service looks for them all the time."
    : `No ${tab.noun}s yet. The first sync brings them; "Now" shows how far it is.`;
}
