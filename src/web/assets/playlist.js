// One playlist: its items, and its history.

import { get } from "./api.js";
import { h, icon, seen, text } from "./dom.js";
import { download } from "./download.js";
import { filters } from "./filters.js";
import { pagedList } from "./list.js";
import { changeSign, dotted, itemRow, nameOf, playlistFacts, playlistHref } from "./rows.js";
import { time } from "./time.js";
import { counted, number } from "./words.js";

export function open(context, tabs) {
  const { params } = context;
  const id = params.get("playlist");
  const part = params.get("part") === "history" ? "history" : "items";
  const path = `playlists/${encodeURIComponent(id)}`;
  const query = () => ({ account: params.get("account") });
  const list = part === "items"
    ? pagedList({ path: `${path}/items`, query: () => ({ ...query(), q: params.get("q") }), row: itemRow, noun: "item", empty: () => emptiness(params) })
    : pagedList({ path: `${path}/versions`, query, row: versionRow, noun: "version", empty: () => "It has not been read yet." });

  // The account cannot be chosen here: without a status there is no choice of accounts.
  const bar = part === "items" && filters({ ...context, status: null }, [{ name: "q", label: "Search items", kind: "search" }], list.reload);

  const name = h("bdi", null, "Playlist"), facts = h("p", { class: "sub" }), about = h("p", { class: "about" });
  const link = (which, words) => h("a", { href: playlistHref(id, params.get("account"), which), "aria-current": which === part ? "page" : null }, words);
  const node = h("div", { class: "library playlist" }, tabs, h("h1", { tabindex: "-1" }, name), facts, about,
    h("nav", { class: "tabs parts", "aria-label": "Of this playlist" }, link("items", "Items"), link("history", "History")),
    bar && bar.node, list.node, bar && download(`${path}/export`, "items", query));

  const asked = new AbortController();
  void describe();
  async function describe() {
    try {
      const playlist = await get(path, query(), asked.signal);
      text(name, playlist.name || "(without a name)");
      document.title = `${seen(playlist.name || "Playlist")} · segno`;
      const size = playlist.total_items !== null && counted(playlist.total_items, "item");
      facts.replaceChildren(...dotted([...playlistFacts(playlist), size, playlist.removed_at && "removed"]));
      text(about, playlist.description);
    } catch (problem) {
      if (!asked.signal.aborted) facts.replaceChildren(icon("failed"), seen(problem.message));
    }
  }
  const close = () => {
    asked.abort();
    list.close();
  };
  return { title: "Playlist", node, close };
}

function emptiness(params) {
  return params.get("q") ? `No item with "${params.get("q")}" in it.` : "It holds nothing, or nothing that can be read.";
}

function versionRow(version) {
  const what = version.is_first ? `first seen, with ${counted(version.items_added, "item")}`
    : [[version.items_added, "added", "+"], [version.items_removed, "removed", "−"]]
      .filter(([count]) => count > 0).map(([count, word, sign]) => `${sign}${number(count)} ${word}`).join(", ") || "the order changed";
  const changes = (version.changes ?? []).map((change) => h("li", null, changeSign(change.kind),
    nameOf(change.name ?? change.uri ?? "(empty)", "track", change.track_id),
    h("span", { class: "position" }, `at ${number(change.position + 1)}`)));
  const more = version.more_changes > 0 && h("p", { class: "note" }, `and ${number(version.more_changes)} more`);
  return h("li", { class: "version" },
    h("p", null, time(version.seen_at, "exact"), ": ", h("strong", null, what)),
    changes.length > 0 && h("ol", { class: "inner" }, changes), more);
}
