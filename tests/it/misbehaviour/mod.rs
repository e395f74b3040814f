//! The real behaviour of the API: every row of the tables of observed misbehaviour, tried on the real binary on both
//! databases, with variations of each. A test's name says what happens and what a person must notice of it: nothing.
//!
//! | module | what misbehaves |
//! |---|---|
//! | `pages` | pages that are not what was requested |
//! | `refusals` | refusals that pass by themselves |
//! | `kept` | odd data that must not get lost |
//! | `accounts` | several people who list the same playlists |
//! | `machine` | two commands on one database |
//! | `once` | a single answer, in a way that fits |
//! | `twofold` | two things wrong at a time |

mod accounts;
mod kept;
mod machine;
mod once;
mod pages;
mod refusals;
mod twofold;

use super::support::{Backend, Database, Ended, Running, Sandbox, Segno};
use segno::model::{EntityType, PerEntity};
use serde_json::{Value, json};

/// A listing, by its names in the sandbox and in the database.
#[derive(Debug, Clone, Copy)]
struct Listing {
    /// The name in the truth and of the entity type.
    name: &'static str,
    family: &'static str,
    table: &'static str,
    /// Where a row of the listing has the name of its object, as a JSON pointer.
    name_at: &'static str,
}

const TRACKS: Listing = Listing { name: "tracks", family: "tracks", table: "saved_tracks", name_at: "/track/name" };
const ALBUMS: Listing = Listing { name: "albums", family: "albums", table: "saved_albums", name_at: "/album/name" };
const ARTISTS: Listing = Listing { name: "artists", family: "artists", table: "followed_artists", name_at: "/name" };
const PLAYLISTS: Listing =
    Listing { name: "playlists", family: "playlists", table: "library_playlists", name_at: "/name" };

const SHOWS: Listing = Listing { name: "shows", family: "shows", table: "saved_shows", name_at: "/show/name" };
const EPISODES: Listing =
    Listing { name: "episodes", family: "episodes", table: "saved_episodes", name_at: "/episode/name" };
/// Their rows are bare.
const AUDIOBOOKS: Listing =
    Listing { name: "audiobooks", family: "audiobooks", table: "saved_audiobooks", name_at: "/name" };

fn listings() -> impl Iterator<Item = Listing> {
    EntityType::ALL.iter().copied().map(listing_of)
}

/// Those that are paged by offset.
fn by_offset() -> impl Iterator<Item = Listing> {
    EntityType::ALL.iter().copied().filter(|entity| !entity.is_by_cursor()).map(listing_of)
}

fn listing_of(entity: EntityType) -> Listing {
    match entity {
        EntityType::Tracks => TRACKS,
        EntityType::Albums => ALBUMS,
        EntityType::Artists => ARTISTS,
        EntityType::Playlists => PLAYLISTS,
        EntityType::Shows => SHOWS,
        EntityType::Episodes => EPISODES,
        EntityType::Audiobooks => AUDIOBOOKS,
    }
}

/// A library, and a database for it.
struct Trial {
    database: Database,
    sandbox: Sandbox,
}

impl Trial {
    /// With this many tracks, albums, artists and playlists, and this many items in each.
    fn of(backend: Backend, [tracks, albums, artists, playlists, items]: [u32; 5]) -> Trial {
        Trial { database: Database::new(backend), sandbox: Sandbox::exact(tracks, albums, artists, playlists, items) }
    }

    /// With this many rows of one listing, and nothing else.
    fn of_one(backend: Backend, listing: Listing, rows: u32) -> Trial {
        let of = |name: &str| if listing.name == name { rows } else { 0 };
        let sizes = [of("tracks"), of("albums"), of("artists"), of("playlists"), 1];
        let spoken = [of("shows"), of("episodes"), of("audiobooks")];
        Trial { database: Database::new(backend), sandbox: Sandbox::exact_with(sizes, spoken, &[]) }
    }

    /// One playlist of this many items, which is synced.
    fn of_items(backend: Backend, items: u32) -> Trial {
        Trial::of(backend, [0, 0, 0, 1, items])
    }

    fn rules(&self, rules: Value) {
        self.sandbox.rules(rules);
    }

    /// A run, however it ends; resets the counts and the log of the sandbox.
    fn sync(&self) -> Ended {
        self.sandbox.forget_requests();
        Segno::on(&self.database, &self.sandbox, &["sync"]).env("SEGNO_SPOTIFY_TIMEOUT", "5s").run()
    }

    /// A run that has to end well.
    fn sync_well(&self) -> Ended {
        let ended = self.sync();
        assert_eq!(ended.code, Some(0), "{}", ended.told());
        ended
    }

    /// A run that must end within its budget, whatever it reports, and delete nothing.
    fn sync_safely(&self) -> Ended {
        let ended = self.sync();
        ended.assert_calm();
        self.assert_within_budget(&ended);
        self.assert_nothing_lost(&ended);
        ended
    }

    /// About three times a whole walk, and a fixed allowance.
    fn assert_within_budget(&self, ended: &Ended) {
        let (asked, least) = (self.sandbox.requests("*"), self.sandbox.library().least_requests());
        assert!(asked <= 3 * least + 60, "{asked} requests where {least} would do: {}", ended.told());
    }

    /// Nothing is marked removed, and no history of a playlist contains a removal.
    fn assert_nothing_lost(&self, ended: &Ended) {
        let removed = PerEntity::from_fn(|entity| self.num_removed(listing_of(entity)));
        assert_eq!((removed, self.num_items_removed()), (PerEntity::default(), 0), "{}", ended.told());
    }

    /// One run after the misbehaviour has stopped and its cooldowns are over: database and library are equal.
    fn heal(&self) -> Ended {
        self.rules(json!([]));
        self.database.end_cooldowns();
        let ended = self.sync_well();
        self.sandbox.library().assert_held_by(&self.database);
        ended
    }

    fn num_held(&self, listing: Listing) -> u64 {
        self.database.count(&format!("{} WHERE removed_at IS NULL", listing.table))
    }

    fn num_removed(&self, listing: Listing) -> u64 {
        self.database.count(&format!("{} WHERE removed_at IS NOT NULL", listing.table))
    }

    /// Items removed according to the histories of playlists.
    fn num_items_removed(&self) -> u64 {
        self.database.number("sum(items_removed)", "playlist_versions")
    }

    fn num_items(&self) -> u64 {
        self.database.count("playlist_items")
    }

    /// The id or URI of a row, according to the sandbox.
    fn id(&self, listing: Listing, place: usize) -> String {
        let id = &self.sandbox.library().state[listing.name][place]["id"];
        id.as_str().unwrap_or_else(|| panic!("no {} at {place}", listing.name)).to_owned()
    }

    /// The URI of an item of the first playlist.
    fn uri(&self, place: usize) -> String {
        self.uris().get(place).unwrap_or_else(|| panic!("no item at {place}")).clone()
    }

    fn uris(&self) -> Vec<String> {
        let items = self.sandbox.library().state["playlists"][0]["items"].as_array().expect("items").clone();
        items.iter().map(|item| item["uri"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Errors and notes in the states.
    fn notes(&self) -> String {
        self.database.lines("SELECT coalesce(error_message, '') AS line FROM sync_states").concat()
    }

    fn status(&self) -> Value {
        Segno::on(&self.database, &self.sandbox, &["status", "--json"]).succeed().json()
    }

    /// A service whose six hours are shortened so that it runs every few seconds.
    fn service(&self) -> Service {
        self.service_with(&[])
    }

    fn service_with(&self, env: &[(&str, &str)]) -> Service {
        let segno = Segno::on(&self.database, &self.sandbox, &["run"]).env("SEGNO_FAULT_HASTE", "5400");
        Service(Some(env.iter().fold(segno, |segno, (name, value)| segno.env(name, value)).spawn()))
    }

    /// A service that has read everything once.
    fn settled_service(&self) -> Service {
        let service = self.service();
        self.database.wait_for_first_sync();
        service
    }
}

/// `segno run`.
struct Service(Option<Running>);

impl Service {
    /// SIGTERM; returns its log.
    fn stop(mut self) -> String {
        let running = self.0.take().expect("it runs");
        let ended = running.stop();
        ended.assert_calm();
        ended.stderr
    }
}

/// A rule for one family, for ever.
fn always(family: &str, action: Value) -> Value {
    json!({ "family": family, "do": action })
}

/// A rule for the next requests of a family.
fn times(family: &str, times: u32, action: Value) -> Value {
    json!({ "family": family, "times": times, "do": action })
}

/// A refusal by name.
fn refuse(like: &str) -> Value {
    json!({ "kind": "refuse", "like": like })
}
