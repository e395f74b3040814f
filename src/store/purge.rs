//! Removes everything that came from the API for one account, as Spotify's terms require when a person leaves.
//!
//! One transaction: a purge that is interrupted has removed nothing. What others still refer to stays: a playlist that
//! is in another account's library, a track that another person saved. What nobody refers to any more is removed as
//! well. Plays that the person imported from a data export did not come from the API; they stay, and with them the
//! account's row that they belong to.
//!
//! A process that is syncing the account finds its rows gone, writes nothing more and ends.

use super::by_sql::{count, execute};
use super::streams::{self, Removed, RemovedImports};
use super::{Conn, Store, StoreError, heard};
use crate::model::AccountId;
use diesel::result::{DatabaseErrorKind, Error as QueryError};

/// Tries of the whole transaction. It takes the locks of every writer, so two may get in each other's way.
const ATTEMPTS_MAX: u32 = 5;

/// Tables in which every row of the account is deleted: what the sync and the tracker remember.
const BOOKS: &[&str] = &[
    "account_tokens",
    "held_removals",
    "orders",
    "outbox",
    "paused_entities",
    "play_gaps",
    "playback_states",
    "playlist_items_read",
    "playlist_readings",
    "sync_batches",
    "sync_gaps",
    "sync_odd_items",
    "sync_seen",
    "sync_states",
];

/// On PostgreSQL: a commit for any account writes `sync_states` first, so no commit is half there while the purge finds
/// out what nobody refers to. SQLite has one writer at a time.
const LOCK: &str = "LOCK TABLE accounts, sync_states, plays, streams IN SHARE ROW EXCLUSIVE MODE";

/// What happens to the person's own data export. It did not come from the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    Kept,
    Removed,
}

/// How many rows a purge removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Purged {
    pub saved_tracks: u64,
    pub saved_albums: u64,
    pub saved_shows: u64,
    pub saved_episodes: u64,
    pub saved_audiobooks: u64,
    pub followed_artists: u64,
    /// Playlists that left the account's library, whether or not others have them, too.
    pub library_playlists: u64,
    pub plays: u64,
    /// Rows of playlists that nobody else has.
    pub playlists: u64,
    pub playlist_items: u64,
    /// Rows of the catalogue that nobody refers to any more.
    pub tracks: u64,
    pub albums: u64,
    pub artists: u64,
    pub shows: u64,
    pub episodes: u64,
    pub audiobooks: u64,
    /// Tokens, checkpoints, batches, the history of playlists and the like.
    pub bookkeeping: u64,
    /// Plays from the person's own data export. They stay, unless their removal was requested, too.
    pub plays_kept: u64,
    /// Streams of the export: those that stay, and those that were removed.
    pub streams_kept: u64,
    pub streams: u64,
    /// Whether the account itself is gone, which it is unless plays were kept.
    pub account_removed: bool,
}

impl Store {
    /// Removes everything that came from the API for an account, and imported data if `imported` says so.
    pub async fn purge(&self, account: AccountId, imported: Imported) -> Result<Purged, StoreError> {
        let mut attempts = 1;
        loop {
            match self.transaction(async |conn| purge(conn, account, imported).await).await {
                Err(error) if attempts < ATTEMPTS_MAX && is_collision(&error) => attempts += 1,
                ended => return ended,
            }
        }
    }
}

/// A concurrent write: a deadlock, or a row that refers to one that was just removed.
fn is_collision(error: &StoreError) -> bool {
    let is_reference =
        matches!(error, StoreError::Query(QueryError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _)));
    is_reference || error.is_transient()
}

async fn purge(conn: &mut Conn, account: AccountId, imported: Imported) -> Result<Purged, StoreError> {
    if let Conn::Pg(_) = conn {
        execute(conn, LOCK.into()).await?;
    }
    let mine = format!("account_id = {}", account.0);
    if count(conn, &format!("accounts WHERE id = {}", account.0)).await? == 0 {
        return Err(StoreError::UnknownAccount(account));
    }
    let removed = match imported {
        Imported::Removed => streams::remove(conn, account, RemovedImports::All).await?,
        Imported::Kept => Removed::default(),
    };
    let mut purged = Purged {
        streams: removed.streams,
        saved_tracks: delete(conn, "saved_tracks", &mine).await?,
        saved_albums: delete(conn, "saved_albums", &mine).await?,
        saved_shows: delete(conn, "saved_shows", &mine).await?,
        saved_episodes: delete(conn, "saved_episodes", &mine).await?,
        saved_audiobooks: delete(conn, "saved_audiobooks", &mine).await?,
        followed_artists: delete(conn, "followed_artists", &mine).await?,
        library_playlists: delete(conn, "library_playlists", &mine).await?,
        plays: removed.plays + delete(conn, "plays", &format!("{mine} AND source = 'api'")).await?,
        streams_kept: streams::stand_alone(conn, account).await?,
        plays_kept: count(conn, &format!("plays WHERE {mine}")).await?,
        ..Purged::default()
    };
    let read = format!("id IN (SELECT playlist_id FROM playlist_readings WHERE {mine})");
    let by_others = format!("playlist_id = playlists.id AND account_id <> {}", account.0);
    // Which playlists a person can read is no longer known after they have left.
    let readable = format!(
        "UPDATE playlists SET items_readable = (EXISTS (SELECT 1 FROM playlist_readings WHERE {by_others} AND \
         items_readable) OR NOT EXISTS (SELECT 1 FROM playlist_readings WHERE {by_others})) WHERE {read}"
    );
    execute(conn, readable).await?;
    heard::forget(conn, account).await?;
    heard::note_streams(conn, account, &format!("s.account_id = {}", account.0)).await?;
    while heard::refresh(conn, account, None).await? {}
    for table in BOOKS {
        purged.bookkeeping += delete(conn, table, &mine).await?;
    }
    sweep(conn, &mut purged).await?;
    purged.account_removed = purged.plays_kept + purged.streams_kept == 0;
    if purged.account_removed {
        heard::forget(conn, account).await?;
        delete(conn, "accounts", &format!("id = {}", account.0)).await?;
    }
    Ok(purged)
}

/// Removes what nothing refers to, each table after those that refer to it.
async fn sweep(conn: &mut Conn, purged: &mut Purged) -> Result<(), StoreError> {
    // Set operations, not subqueries per row: they stay fast, and without surprises over NULL, however large the
    // tables.
    let playlists = "SELECT id FROM playlists EXCEPT SELECT playlist_id FROM library_playlists";
    let theirs = format!("playlist_id IN ({playlists})");
    let versions = format!("version_id IN (SELECT id FROM playlist_versions WHERE {theirs})");
    purged.bookkeeping += delete(conn, "playlist_changes", &versions).await?;
    for table in ["playlist_versions", "playlist_items_before", "playlist_walks"] {
        purged.bookkeeping += delete(conn, table, &theirs).await?;
    }
    purged.playlist_items = delete(conn, "playlist_items", &theirs).await?;
    purged.playlists = delete(conn, "playlists", &format!("id IN ({playlists})")).await?;

    // The tracks on an album that somebody saved came with it and stay with it.
    let tracks = "SELECT id FROM tracks EXCEPT SELECT track_id FROM saved_tracks \
                  EXCEPT SELECT id FROM tracks WHERE album_id IN (SELECT album_id FROM saved_albums) \
                  EXCEPT SELECT track_id FROM playlist_items EXCEPT SELECT track_id FROM playlist_items_before \
                  EXCEPT SELECT track_id FROM playlist_items_read \
                  EXCEPT SELECT track_id FROM playlist_changes EXCEPT SELECT track_id FROM plays";
    delete(conn, "track_artists", &format!("track_id IN ({tracks})")).await?;
    purged.tracks = delete(conn, "tracks", &format!("id IN ({tracks})")).await?;

    let albums = "SELECT id FROM albums EXCEPT SELECT album_id FROM saved_albums EXCEPT SELECT album_id FROM tracks";
    delete(conn, "album_artists", &format!("album_id IN ({albums})")).await?;
    purged.albums = delete(conn, "albums", &format!("id IN ({albums})")).await?;

    let artists = "SELECT id FROM artists EXCEPT SELECT artist_id FROM followed_artists \
                   EXCEPT SELECT artist_id FROM track_artists EXCEPT SELECT artist_id FROM album_artists";
    purged.artists = delete(conn, "artists", &format!("id IN ({artists})")).await?;

    let episodes = "SELECT id FROM episodes EXCEPT SELECT episode_id FROM saved_episodes";
    purged.episodes = delete(conn, "episodes", &format!("id IN ({episodes})")).await?;
    let shows = "SELECT id FROM shows EXCEPT SELECT show_id FROM saved_shows EXCEPT SELECT show_id FROM episodes";
    purged.shows = delete(conn, "shows", &format!("id IN ({shows})")).await?;
    let audiobooks = "SELECT id FROM audiobooks EXCEPT SELECT audiobook_id FROM saved_audiobooks";
    purged.audiobooks = delete(conn, "audiobooks", &format!("id IN ({audiobooks})")).await?;
    Ok(())
}

async fn delete(conn: &mut Conn, table: &str, which: &str) -> Result<u64, StoreError> {
    execute(conn, format!("DELETE FROM {table} WHERE {which}")).await
}

/// Tables with rows of an account that [`purge`] deals with. A test compares it with the database.
#[cfg(test)]
pub(super) fn tables() -> Vec<&'static str> {
    let mut tables = BOOKS.to_vec();
    tables.extend(["followed_artists", "imports", "library_playlists", "plays", "saved_albums", "saved_audiobooks"]);
    tables.extend(["saved_episodes", "saved_shows", "saved_tracks", "streams"]);
    tables.extend(heard::TABLES);
    tables.sort_unstable();
    tables
}
