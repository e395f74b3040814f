//! What the integration tests share: the real binary, a sandbox in a process of its own, and both databases.

pub mod authority;
pub mod broker;
pub mod browser;
pub mod database;
pub mod http;
mod inspect;
pub mod island;
mod journal;
pub mod link;
pub mod login;
pub mod needs;
pub mod ports;
pub mod process;
pub mod proxy;
mod readers;
pub mod receiver;
pub mod sandbox;
pub mod servers;
mod session;
pub mod source;

pub use database::{Backend, Database};
pub use login::Login;
pub use ports::free_port;
pub use process::{Ended, Running, Segno};
pub use readers::{python, read_by};
pub use sandbox::{Library, Sandbox};
use segno::model::EntityType;
pub use servers::{Cluster, Pooler};
pub use source::Source;

/// How many entity types there are: each has a syncer, and a row of `sync_states` for each phase.
pub const NUM_ENTITY_TYPES: u64 = EntityType::ALL.len() as u64;

/// Their names, as used by commands and as listings of the sandbox.
pub fn entity_types() -> impl Iterator<Item = &'static str> + Clone {
    EntityType::ALL.iter().map(|entity| entity.as_str())
}

/// The membership table of an entity type, and its column of ids.
pub fn membership_of(entity: EntityType) -> (&'static str, &'static str) {
    match entity {
        EntityType::Tracks => ("saved_tracks", "track_id"),
        EntityType::Artists => ("followed_artists", "artist_id"),
        EntityType::Albums => ("saved_albums", "album_id"),
        EntityType::Playlists => ("library_playlists", "playlist_id"),
        EntityType::Shows => ("saved_shows", "show_id"),
        EntityType::Episodes => ("saved_episodes", "episode_id"),
        EntityType::Audiobooks => ("saved_audiobooks", "audiobook_id"),
    }
}

/// A test on each database: `both! { fn name(backend) { ... } }` becomes `name::sqlite` and `name::postgres`.
macro_rules! both {
    ($($(#[$meta:meta])* fn $name:ident($backend:ident) $body:block)+) => { $(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn run($backend: Backend) $body

            #[test]
            fn sqlite() {
                run(Backend::Sqlite);
            }

            #[test]
            fn postgres() {
                if Backend::Postgres.is_available() {
                    run(Backend::Postgres);
                }
            }
        }
    )+ };
}
pub(crate) use both;

/// Runs a future to its end on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// Checks members of a family that mostly wait, concurrently.
pub fn side_by_side<T: Send>(members: impl IntoIterator<Item = T>, check: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for member in members {
            scope.spawn(|| check(member));
        }
    });
}

/// Waits until `condition` holds, looking every 20 ms; panics after 30 s.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !condition() {
        assert!(began.elapsed().as_secs() < 30, "waited 30 s in vain until {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
