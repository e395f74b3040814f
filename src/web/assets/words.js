// The words for the API's names: in one place, so that each thing has one name in every view.

const NUMBER = new Intl.NumberFormat("en");
const ONE_DECIMAL = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** The entity types, in the order in which they are shown; with a noun for one. */
export const ENTITIES = {
  tracks: { noun: "track" },
  artists: { noun: "artist" },
  albums: { noun: "album" },
  playlists: { noun: "playlist" },
  shows: { noun: "show" },
  episodes: { noun: "episode" },
  audiobooks: { noun: "audiobook" },
};

export const ENTITY_TYPES = Object.keys(ENTITIES);

export const number = (value) => NUMBER.format(value);

/** "1 request", "25 requests" */
export const counted = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;

/** "12.4 h", "1,250 h"; less than six minutes are minutes. */
export function hours(ms) {
  const value = ms / 3_600_000;
  if (value < 0.1) return `${NUMBER.format(Math.round(ms / 60_000))} min`;
  return `${(value < 100 ? ONE_DECIMAL : NUMBER).format(value < 100 ? value : Math.round(value))} h`;
}

/** "310 items/s", "0.4 items/s" */
export const rate = (value) => `${(value < 10 ? ONE_DECIMAL : NUMBER).format(value < 10 ? value : Math.round(value))} items/s`;

export const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);

/** "playlist items" of `playlist_items`; unknown names read as they are. */
export const plain = (name) => String(name ?? "").replaceAll("_", " ");

/** "tracks, albums and artists" */
export function listed(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

const FAMILIES = { "*": "all requests", player: "listening history", playlist_items: "playlist items" };
export const family = (name) => FAMILIES[name] ?? plain(name);

const CLASSES = { rate: "rate limit", quota: "daily quota", ceiling: "daily ceiling" };
export const limitClass = (name) => CLASSES[name] ?? plain(name);

const PHASES = { initial_sync: "First sync", incremental_sync: "Update" };
export const phase = (name) => PHASES[name] ?? capital(plain(name));

const STAGES = {
  fresh: "about to begin",
  head: "looking at what is new",
  walk: "reading the list",
  items: "reading playlists",
  search: "looking for what is gone",
};
export const stage = (name) => STAGES[name] ?? plain(name);

/** What an entity type is doing: `[sign, word]`; the sign is also the name of its colour. */
export function state(entity) {
  if (entity.is_paused_by_hand) return ["by-hand", "Paused by hand"];
  switch (entity.state) {
    case "running": return ["running", "Reading"];
    case "complete": return ["complete", "Current"];
    case "paused": return ["paused", "Waiting"];
    case "failed": return ["failed", "Failed"];
    default: return ["idle", "Not begun"];
  }
}

/** "+12 new, 3 updated, 1 removed"; zeros are left out. */
export function counts({ new: added, updated, removed }) {
  const parts = [[added, "new", "+"], [updated, "updated", ""], [removed, "removed", "−"]];
  return parts.filter(([count]) => count > 0).map(([count, word, sign]) => `${sign}${number(count)} ${word}`).join(", ");
}

/** "mira (Mira Ek)", as in the commands. */
export function accountName({ spotify_id: id, display_name: name }) {
  return name && name !== id ? `${name} (${id})` : id;
}

export const ofAll = (part, whole) => (whole === null || whole === undefined ? number(part) : `${number(part)} of ${number(whole)}`);
