//! Every past state of the library, according to the sandbox: what a row in the database may contain, what was there
//! throughout a run, and what was gone for a moment.

use super::super::support::{Library, entity_types, source::SEPARATOR};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Listings that date their rows, with their tables.
pub const DATED: [(&str, &str); 4] =
    [("tracks", "saved_tracks"), ("albums", "saved_albums"), ("shows", "saved_shows"), ("episodes", "saved_episodes")];

/// Ids, by listing.
pub type Ids = BTreeMap<&'static str, BTreeSet<String>>;

#[derive(Default)]
pub struct History {
    /// Rows that were true at some moment, by table, as [`super::invariants`] reads them.
    ever: BTreeMap<&'static str, BTreeSet<String>>,
    /// Names that tracks have ever had, by id.
    pub names: BTreeMap<String, BTreeSet<String>>,
    /// The items of playlists, slot by slot, by id and snapshot.
    pub contents: BTreeMap<(String, String), Vec<String>>,
    /// The snapshots of the playlists listed now.
    pub latest: BTreeMap<String, String>,
    /// Items listed throughout the latest run.
    pub throughout: Ids,
    /// Items listed ever since the last run that left no walk open; `None` right after it.
    pub since_at_rest: Option<Ids>,
    /// Items added while something was hidden, so that they may be what is hidden.
    pub maybe_hidden: BTreeSet<String>,
    /// How many rows were added to a listing since the first moment, from one moment to the next.
    pub num_arrivals: BTreeMap<&'static str, u64>,
    /// Items marked removed, as of the last look at the database.
    pub removed: Ids,
    /// Generations of phases, as of that look.
    pub generations: BTreeMap<String, u64>,
    /// Completed first syncs, as of that look.
    pub completed: BTreeSet<String>,
    /// Whether a verifying pass has begun and not ended.
    pub is_verifying: bool,
    current_tracks: BTreeSet<String>,
    /// The rows of the last library taken in.
    before: Option<BTreeMap<&'static str, BTreeSet<String>>>,
}

impl History {
    /// Takes in the libraries of one round; its process started with the one at `began`.
    pub fn take_in(&mut self, libraries: Vec<Library>, began: usize, is_deceived: bool) {
        let first = libraries.first().map(ids).expect("the one it began with");
        for library in &libraries {
            self.take_in_one(library);
        }
        self.throughout = listed_in_all(&libraries[began..]);
        let all = listed_in_all(&libraries);
        let since = self.since_at_rest.take().map_or_else(|| all.clone(), |since| intersection(&since, &all));
        self.since_at_rest = Some(since);
        if is_deceived {
            let came = libraries.iter().flat_map(|library| library.ids("tracks"));
            self.maybe_hidden.extend(came.filter(|id| !first["tracks"].contains(id)));
        } else {
            self.maybe_hidden.clear();
        }
        self.current_tracks = libraries.last().map(|library| library.ids("tracks")).unwrap_or_default();
    }

    fn take_in_one(&mut self, library: &Library) {
        let rows = rows(library);
        if let Some(before) = &self.before {
            for (listing, table) in DATED {
                let arrived = rows[table].difference(&before[table]).count() as u64;
                *self.num_arrivals.entry(listing).or_default() += arrived;
            }
        }
        for (table, rows) in &rows {
            self.ever.entry(table).or_default().extend(rows.iter().cloned());
        }
        self.before = Some(rows);
        let (playlists, tracks) = (library.rows("playlists"), library.rows("tracks"));
        let items = playlists.iter().filter_map(|playlist| playlist["items"].as_array()).flatten();
        let named = items.map(|item| (&item["track_id"], &item["name"]));
        for (id, name) in tracks.iter().map(|track| (&track["id"], &track["name"])).chain(named) {
            if let (Some(id), Some(name)) = (id.as_str(), name.as_str()) {
                self.names.entry(id.to_owned()).or_default().insert(name.to_owned());
            }
        }
        let key = |playlist: &Value| (text(&playlist["id"]), text(&playlist["snapshot_id"]));
        for playlist in playlists.iter().filter(|playlist| !playlist.is_null()) {
            self.contents.entry(key(playlist)).or_insert_with(|| items_of(playlist));
        }
        self.latest = playlists.iter().filter(|playlist| !playlist.is_null()).map(key).collect();
    }

    /// Whether a row was true at some moment.
    pub fn was(&self, table: &str, row: &str) -> bool {
        self.ever.get(table).is_some_and(|rows| rows.contains(row))
    }

    /// Tracks that were saved once and no longer are.
    pub fn gone_tracks(&self) -> Vec<String> {
        let rows = self.ever.get("saved_tracks").into_iter().flatten();
        let ids: BTreeSet<&str> = rows.filter_map(|row| Some(row.split_once(SEPARATOR)?.0)).collect();
        ids.into_iter().filter(|id| !self.current_tracks.contains(*id)).map(str::to_owned).collect()
    }
}

fn ids(library: &Library) -> Ids {
    entity_types().map(|listing| (listing, library.ids(listing))).collect()
}

fn listed_in_all(libraries: &[Library]) -> Ids {
    libraries.iter().map(ids).reduce(|one, other| intersection(&one, &other)).expect("there was one")
}

fn intersection(one: &Ids, other: &Ids) -> Ids {
    one.iter().map(|(listing, ids)| (*listing, ids.intersection(&other[listing]).cloned().collect())).collect()
}

/// The rows of a library, by table.
fn rows(library: &Library) -> BTreeMap<&'static str, BTreeSet<String>> {
    let whole = |listing: &str| library.rows(listing).into_iter().filter(|row| !row.is_null()).collect::<Vec<_>>();
    let of = |rows: &[Value], columns: &[&str]| {
        let line = |row: &Value| columns.iter().map(|column| text(&row[*column])).collect::<Vec<_>>().join(SEPARATOR);
        rows.iter().map(line).collect::<BTreeSet<_>>()
    };
    let playlists = whole("playlists");
    let items = playlists.iter().flat_map(|playlist| {
        let id = text(&playlist["id"]);
        items_of(playlist).into_iter().map(move |item| format!("{id}{SEPARATOR}{item}"))
    });
    BTreeMap::from([
        ("saved_tracks", of(&whole("tracks"), &["id", "added_at"])),
        ("saved_albums", of(&whole("albums"), &["id", "added_at"])),
        ("saved_shows", of(&whole("shows"), &["id", "added_at"])),
        ("saved_episodes", of(&whole("episodes"), &["id", "added_at"])),
        ("saved_audiobooks", of(&whole("audiobooks"), &["id", "added_at"])),
        ("followed_artists", of(&whole("artists"), &["id"])),
        ("playlists", of(&playlists, &["id", "name", "owner_id", "snapshot_id"])),
        ("playlist_items", items.collect()),
    ])
}

/// Each as its address and its date.
fn items_of(playlist: &Value) -> Vec<String> {
    let items = playlist["items"].as_array().expect("items").iter();
    items.map(|item| format!("{}{SEPARATOR}{}", text(&item["uri"]), text(&item["added_at"]))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
