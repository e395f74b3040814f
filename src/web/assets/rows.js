// How one item of the library looks in a list: its name, details below it, and numbers beside it.

import { BASE, h, icon, name as isolated, unseen } from "./dom.js";
import { length, time } from "./time.js";
import { capital, counted, listed, plain } from "./words.js";

const SPOTIFY = "https://open.spotify.com";

/** A name; with a kind and an id it links to its page at Spotify, which local files do not have. */
export function nameOf(name, kind = null, id = null) {
  const words = isolated(name || "(without a name)");
  return id && !id.includes(":") ? h("a", { class: "name", href: `${SPOTIFY}/${kind}/${encodeURIComponent(id)}`, rel: "noreferrer" }, words)
    : h("span", { class: "name" }, words);
}

/** `sub` and `aside` are parts, of which empty ones are left out. */
export function row(name, sub, aside = [], { sign = null, removedAt = null } = {}) {
  const gone = removedAt && h("span", { class: "gone" }, "removed ", time(removedAt, "day"));
  return h("li", { class: removedAt ? "is-gone" : null },
    sign,
    h("div", { class: "main" }, name, h("p", { class: "sub" }, dotted(sub))),
    h("p", { class: "aside" }, dotted([...aside, gone])));
}

/** The parts that are not empty, separated by dots. */
export function dotted(parts) {
  const present = parts.filter(Boolean);
  const shown = present.map((part) => (typeof part === "string" ? isolated(part) : part));
  return shown.flatMap((part, index) => (index > 0 ? [h("span", { class: "dot" }, " · "), part] : [part]));
}

export const artistsOf = (artists) => listed((artists ?? []).map((artist) => artist.name || "?"));

export function trackRow(track) {
  return row(
    nameOf(track.name, "track", track.id),
    [artistsOf(track.artists), track.album?.name, track.explicit && "explicit"],
    [track.duration_ms !== null && length(track.duration_ms), track.added_at && time(track.added_at, "day")],
    { removedAt: track.removed_at },
  );
}

export function albumRow(album) {
  return row(
    nameOf(album.name, "album", album.id),
    [artistsOf(album.artists), album.release_date, album.album_type && plain(album.album_type)],
    [album.total_tracks !== null && counted(album.total_tracks, "track"), album.added_at && time(album.added_at, "day")],
    { removedAt: album.removed_at },
  );
}

export function artistRow(artist) {
  return row(
    nameOf(artist.name, "artist", artist.id),
    [(artist.genres ?? []).join(", ")],
    [artist.first_seen_at && h("span", null, "since ", time(artist.first_seen_at, "day"))],
    { removedAt: artist.removed_at },
  );
}

export function showRow(show) {
  return row(
    nameOf(show.name, "show", show.id),
    [show.publisher, show.explicit && "explicit"],
    [show.total_episodes !== null && counted(show.total_episodes, "episode"), show.added_at && time(show.added_at, "day")],
    { removedAt: show.removed_at },
  );
}

export function episodeRow(episode) {
  return row(
    nameOf(episode.name, "episode", episode.id),
    [episode.show?.name, episode.release_date, episode.explicit && "explicit"],
    [episode.duration_ms !== null && length(episode.duration_ms), episode.added_at && time(episode.added_at, "day")],
    { removedAt: episode.removed_at },
  );
}

/** Spotify shows an audiobook on the page of a show. */
export function audiobookRow(audiobook) {
  return row(
    nameOf(audiobook.name, "show", audiobook.id),
    [listed(audiobook.authors), audiobook.narrators.length > 0 && `read by ${listed(audiobook.narrators)}`],
    [audiobook.total_chapters !== null && counted(audiobook.total_chapters, "chapter"),
      audiobook.added_at && time(audiobook.added_at, "day")],
    { removedAt: audiobook.removed_at },
  );
}

/** The address of a playlist's view. */
export function playlistHref(id, account = null, part = null) {
  const given = Object.entries({ tab: "playlists", playlist: id, part, account }).filter(([, value]) => value);
  return `${BASE}/library?${new URLSearchParams(given)}`;
}

export function playlistRow(playlist, account) {
  const name = h("a", { class: "name", href: playlistHref(playlist.id, account) }, isolated(playlist.name || "(without a name)"));
  return row(name, playlistFacts(playlist), [playlist.total_items !== null && counted(playlist.total_items, "item")],
    { removedAt: playlist.removed_at });
}

export function playlistFacts(playlist) {
  return [
    `by ${playlist.owner_name || playlist.owner_id || "somebody"}`,
    playlist.public === true && "public", playlist.public === false && "private",
    playlist.collaborative && "collaborative",
    !playlist.items_readable && "its items cannot be read",
  ];
}

const KINDS = {
  episode: "episode", chapter: "chapter of an audiobook", local: "local file", missing: "not available now",
  unknown: "of another kind",
};

export function itemRow(item) {
  const sign = h("span", { class: "position" }, String(item.position + 1));
  const isEmpty = item.kind === "missing" && !item.name;
  const name = isEmpty ? nameOf("(empty)") : nameOf(item.name, "track", item.track_id);
  return row(name, [artistsOf(item.artists), item.album?.name, KINDS[item.kind]],
    [item.added_at && time(item.added_at, "day")], { sign });
}

const SOURCES = { export: "from your data export" };

export function playRow(play) {
  return row(nameOf(play.name ?? play.track_uri, "track", play.track_id),
    [artistsOf(play.artists), play.album?.name, SOURCES[play.source]],
    [play.ms_played !== null && length(play.ms_played), time(play.played_at, "hour")]);
}

const CHANGES = { added: "added", added_again: "added again", removed: "removed" };

/** What happened, as a sign with its word. */
export function changeSign(kind) {
  const word = CHANGES[kind] ?? plain(kind);
  return h("span", { class: `sign ${kind}`, title: word }, icon(kind), unseen(`${capital(word)}: `));
}
