//! Takes back what imports added: their streams, the plays that were made of them, the lengths that plays of the API
//! learned from them, the gaps that they closed, and tracks that nothing else mentions.

use super::settle_some;
use crate::model::{AccountId, LOCAL};
use crate::store::by_sql::{count, execute};
use crate::store::pairing::is_paired;
use crate::store::{Conn, Store, StoreError, heard, runs};

/// Which imports are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovedImports {
    One(i64),
    All,
}

/// How many rows were removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Removed {
    pub imports: u64,
    pub streams: u64,
    /// Plays that were made of streams. Plays that Spotify reported stay.
    pub plays: u64,
    pub gaps_reopened: u64,
    /// Catalogue rows that only the export mentioned.
    pub tracks: u64,
}

impl Store {
    /// Takes imports of an account back, in one transaction.
    pub async fn remove_imports(&self, account: AccountId, which: RemovedImports) -> Result<Removed, StoreError> {
        self.transaction(async |conn| {
            runs::lock_account(conn, account).await?;
            remove(conn, account, which).await
        })
        .await
    }
}

pub(in crate::store) async fn remove(
    conn: &mut Conn,
    account: AccountId,
    which: RemovedImports,
) -> Result<Removed, StoreError> {
    let AccountId(account) = account;
    let of = |column: &str| match which {
        RemovedImports::One(id) => format!("{column} = {id}"),
        RemovedImports::All => format!("{column} > 0"),
    };
    if let RemovedImports::One(id) = which {
        hand_over(conn, id).await?;
    }
    let theirs = format!("s.account_id = {account} AND {}", of("s.import_id"));
    execute(
        conn,
        format!(
            "UPDATE plays SET ms_played = NULL WHERE account_id = {account} AND source = 'api' AND EXISTS \
             (SELECT 1 FROM streams s WHERE {theirs} AND {})",
            is_paired("plays")
        ),
    )
    .await?;
    heard::note_streams(conn, AccountId(account), &theirs).await?;
    let streams = execute(conn, format!("DELETE FROM streams AS s WHERE {theirs}")).await?;
    // Every play of an export belongs to a stream.
    let plays = execute(
        conn,
        format!(
            "DELETE FROM plays WHERE account_id = {account} AND source = 'export' AND NOT EXISTS (SELECT 1 FROM streams \
             s WHERE s.account_id = plays.account_id AND s.ended_at = plays.played_at AND s.uri = plays.track_uri \
             AND s.played_at = s.ended_at)"
        ),
    )
    .await?;
    let gaps_reopened = execute(
        conn,
        format!(
            "UPDATE play_gaps SET healed_at = NULL, filled_by = NULL WHERE account_id = {account} AND {}",
            of("filled_by")
        ),
    )
    .await?;
    // What is left of them belongs to streams that are gone.
    execute(conn, "DELETE FROM stream_imports WHERE stream_id NOT IN (SELECT id FROM streams)".to_owned()).await?;
    let imports = execute(conn, format!("DELETE FROM imports WHERE account_id = {account} AND {}", of("id"))).await?;
    let tracks = forget_tracks(conn).await?;
    heard::sweep(conn, AccountId(account)).await?;
    Ok(Removed { imports, streams, plays, gaps_reopened, tracks })
}

/// Rows that other imports contain as well belong to the first of them from now on, and so do gaps that it covers.
async fn hand_over(conn: &mut Conn, import: i64) -> Result<(), StoreError> {
    execute(conn, format!("DELETE FROM stream_imports WHERE import_id = {import}")).await?;
    let others = "SELECT o.import_id FROM stream_imports o WHERE o.stream_id = streams.id";
    execute(
        conn,
        format!(
            "UPDATE streams SET import_id = ({others} ORDER BY 1 LIMIT 1) WHERE import_id = {import} AND EXISTS ({others})"
        ),
    )
    .await?;
    let owned =
        "SELECT 1 FROM streams s WHERE s.id = stream_imports.stream_id AND s.import_id = stream_imports.import_id";
    execute(conn, format!("DELETE FROM stream_imports WHERE EXISTS ({owned})")).await?;
    let within = "SELECT s.import_id FROM streams s WHERE s.account_id = play_gaps.account_id AND \
                  s.ended_at > play_gaps.played_after AND s.ended_at < play_gaps.played_before";
    let handed = format!(
        "UPDATE play_gaps SET filled_by = ({within} AND s.import_id <> {import} LIMIT 1) WHERE filled_by = {import} AND \
         EXISTS ({within} AND s.import_id <> {import})"
    );
    execute(conn, handed).await?;
    Ok(())
}

/// Streams whose plays of the API are gone become plays of their own. Returns how many streams there are.
pub(in crate::store) async fn stand_alone(conn: &mut Conn, account: AccountId) -> Result<u64, StoreError> {
    let theirs = format!("account_id = {}", account.0);
    let lost =
        "UPDATE streams SET played_at = NULL, played_uri = NULL, offset_ms = NULL WHERE offset_ms IS NOT NULL AND";
    execute(conn, format!("{lost} {theirs}")).await?;
    while settle_some(conn, account).await? > 0 {}
    count(conn, &format!("streams WHERE {theirs}")).await
}

/// Tracks that only exports mentioned and that nothing mentions any more, with the albums and artists created for them.
async fn forget_tracks(conn: &mut Conn) -> Result<u64, StoreError> {
    let tracks = "SELECT id FROM tracks WHERE source = 'export' EXCEPT SELECT track_id FROM plays \
                  EXCEPT SELECT track_id FROM playlist_items EXCEPT SELECT track_id FROM playlist_items_before \
                  EXCEPT SELECT track_id FROM playlist_items_read EXCEPT SELECT track_id FROM playlist_changes \
                  EXCEPT SELECT track_id FROM saved_tracks";
    execute(conn, format!("DELETE FROM track_artists WHERE track_id IN ({tracks})")).await?;
    let num_tracks = execute(conn, format!("DELETE FROM tracks WHERE id IN ({tracks})")).await?;
    let is_made = format!("substr(id, 1, {}) = '{LOCAL}'", LOCAL.len());
    let albums = format!(
        "SELECT id FROM albums WHERE {is_made} EXCEPT SELECT album_id FROM saved_albums EXCEPT SELECT album_id FROM tracks"
    );
    execute(conn, format!("DELETE FROM album_artists WHERE album_id IN ({albums})")).await?;
    execute(conn, format!("DELETE FROM albums WHERE id IN ({albums})")).await?;
    let artists = format!(
        "SELECT id FROM artists WHERE {is_made} EXCEPT SELECT artist_id FROM followed_artists \
         EXCEPT SELECT artist_id FROM track_artists EXCEPT SELECT artist_id FROM album_artists"
    );
    execute(conn, format!("DELETE FROM artists WHERE id IN ({artists})")).await?;
    Ok(num_tracks)
}
