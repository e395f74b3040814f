// The view "Changes": additions and removals, newest first.

import { h, name as isolated } from "./dom.js";
import { download } from "./download.js";
import { filters } from "./filters.js";
import { pagedList } from "./list.js";
import { changeSign, nameOf, playlistHref, row } from "./rows.js";
import { now, time } from "./time.js";
import { ENTITIES, ENTITY_TYPES, plain } from "./words.js";

const FIELDS = [
  { name: "q", label: "Search", kind: "search" },
  { name: "entity_type", label: "Type", kind: "select", options: [
    ["", "everything"], ...ENTITY_TYPES.map((type) => [type, type === "playlists" ? "playlists and their items" : plain(type)]),
  ] },
  { name: "kind", label: "Change", kind: "select", options: [
    ["", "added and removed"], ["added", "added"], ["added_again", "added again"], ["removed", "removed"],
  ] },
  { name: "since", label: "Since", kind: "select", options: [["", "any time"], ["1", "1 day ago"], ["7", "7 days ago"], ["30", "30 days ago"]] },
];

export function open(context) {
  const { params } = context;
  const list = pagedList({
    path: "changes",
    query: () => ({
      q: params.get("q"), entity_type: params.get("entity_type"), kind: params.get("kind"),
      since: daysAgo(params.get("since")), account: params.get("account"),
    }),
    row: (change) => changeRow(change, params.get("account")),
    dayOf: (change) => change.at,
    noun: "change",
    empty: () => (["q", "entity_type", "kind", "since"].some((name) => params.get(name))
      ? "Nothing like that was added or removed." : "Nothing has been added or removed yet. What the first sync finds appears here."),
  });
  const bar = filters(context, FIELDS, list.reload);
  const node = h("div", { class: "changes" }, h("h1", { tabindex: "-1" }, "Changes"), bar.node, list.node,
    download("export/changes", "changes", () => ({ since: daysAgo(params.get("since")), account: params.get("account") })));
  return { title: "Changes", node, update: bar.update, close: list.close };
}

function daysAgo(days) {
  return Number(days) > 0 ? new Date(now() - Number(days) * 86_400_000).toISOString() : null;
}

const nounOf = (type) => ENTITIES[type]?.noun ?? (type === "playlist_items" ? "item" : plain(type));

/** Its kind of page at Spotify; of the items of playlists only tracks have an id, and an audiobook has the page of a show. */
const kindOf = (type) => (type === "audiobooks" ? "show" : ENTITIES[type]?.noun ?? "track");

function changeRow(change, account) {
  const inItems = change.entity_type === "playlist_items";
  const playlist = (id, name) => h("a", { class: inItems ? null : "name", href: playlistHref(id, account) }, isolated(name || "(without a name)"));
  const name = change.entity_type === "playlists" ? playlist(change.id, change.name)
    : nameOf(change.name ?? change.uri, kindOf(change.entity_type), change.id);
  const place = inItems && h("span", null, change.change === "removed" ? "from " : "in ", playlist(change.playlist_id, change.playlist_name));
  return row(name, [nounOf(change.entity_type), change.artist, place], [time(change.at, "hour")],
    { sign: changeSign(change.change) });
}
