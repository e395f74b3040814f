//! Whose library holds what: `saved_tracks`, `followed_artists`, `library_playlists` and the like. The tables have one
//! shape, so each query is written once, for the table of any entity type.

use super::by_sql::{count, of_ids, table_of, texts};
use super::rows::{FollowedArtistRow, LISTING, LibraryPlaylistRow, SavedAlbumRow, SavedTrackRow};
use super::spoken_rows::{SavedAudiobookRow, SavedEpisodeRow, SavedShowRow};
use super::types::{At, Words};
use super::{Conn, StoreError};
use crate::model::{AccountId, Dated, EntityType, Gone, Membership, Removal, Slot};
use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::SimpleAsyncConnection;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

/// What the listing says about one item.
#[derive(Debug, Clone, Copy)]
struct Listed {
    added_at: Option<At>,
    position: i64,
}

/// A slot's membership, and whether writing it changed a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowOutcome {
    pub membership: Membership,
    pub is_written: bool,
}

impl RowOutcome {
    const UNIDENTIFIED: RowOutcome = RowOutcome { membership: Membership::Unidentified, is_written: false };
    const UNCHANGED: RowOutcome = RowOutcome { membership: Membership::Known, is_written: false };
}

/// Writes the memberships of a batch whose first slot stands at `offset`; one outcome per slot. An item that stands in
/// several slots, as happens when the listing moves between two requests, is one member with one outcome.
pub(super) async fn write(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    slots: &[Slot],
    offset: u32,
    now: At,
) -> Result<Vec<RowOutcome>, StoreError> {
    let mut listed: BTreeMap<&str, Listed> = BTreeMap::new();
    let refusals = conn.refusals();
    for (slot, at) in slots.iter().zip(offset..) {
        let Some(id) = slot.id().filter(|id| !refusals.has_left_out(entity, id)) else { continue };
        let found = Listed { added_at: slot.added_at.map(At::from), position: i64::from(at) };
        match listed.entry(id) {
            Entry::Vacant(entry) => drop(entry.insert(found)),
            Entry::Occupied(mut entry) => entry.get_mut().added_at = entry.get().added_at.max(found.added_at),
        }
    }
    let written = upsert(conn, account, entity, &listed, now).await?;
    let refusals = conn.refusals();
    let outcome = |id: &str| {
        if refusals.has_left_out(entity, id) {
            return RowOutcome::UNIDENTIFIED;
        }
        let membership = written.get(id).copied();
        membership.map_or(RowOutcome::UNCHANGED, |membership| RowOutcome { membership, is_written: true })
    };
    Ok(slots.iter().map(|slot| slot.id().map_or(RowOutcome::UNIDENTIFIED, outcome)).collect())
}

/// Upserts the members and returns what those that it wrote were before: a row is written only if it is new, was marked
/// removed, or was added at another moment.
async fn upsert(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    members: &BTreeMap<&str, Listed>,
    now: At,
) -> Result<HashMap<String, Membership>, StoreError> {
    let AccountId(account_id) = account;
    let removed_at = None;
    let members = members.iter().map(|(id, listed)| (Words(id), *listed));
    let written = match entity {
        EntityType::Tracks => {
            let row =
                |(track_id, Listed { added_at, .. })| SavedTrackRow { account_id, track_id, added_at, removed_at };
            SavedTrackRow::upsert(conn, &members.map(row).collect::<Vec<_>>()).await?
        }
        EntityType::Albums => {
            let row =
                |(album_id, Listed { added_at, .. })| SavedAlbumRow { account_id, album_id, added_at, removed_at };
            SavedAlbumRow::upsert(conn, &members.map(row).collect::<Vec<_>>()).await?
        }
        EntityType::Artists => {
            let row = |(artist_id, _)| FollowedArtistRow { account_id, artist_id, first_seen_at: now, removed_at };
            let written = FollowedArtistRow::upsert(conn, &members.map(row).collect::<Vec<_>>()).await?;
            note_return(conn, account, entity, &written, now).await?;
            written
        }
        EntityType::Playlists => return upsert_playlists(conn, account, members, now).await,
        EntityType::Shows => {
            let row = |(show_id, Listed { added_at, .. })| SavedShowRow { account_id, show_id, added_at, removed_at };
            SavedShowRow::upsert(conn, &members.map(row).collect::<Vec<_>>()).await?
        }
        EntityType::Episodes => {
            let row = |(episode_id, Listed { added_at, .. })| SavedEpisodeRow {
                account_id,
                episode_id,
                added_at,
                removed_at,
            };
            SavedEpisodeRow::upsert(conn, &members.map(row).collect::<Vec<_>>()).await?
        }
        EntityType::Audiobooks => {
            let row = |(audiobook_id, Listed { added_at, .. })| {
                let first_seen_at = added_at.is_none().then_some(now);
                SavedAudiobookRow { account_id, audiobook_id, added_at, first_seen_at, removed_at }
            };
            let written = SavedAudiobookRow::upsert(conn, &members.map(row).collect::<Vec<_>>()).await?;
            note_return(conn, account, entity, &written, now).await?;
            written
        }
    };
    let membership = |rev| if rev == 1 { Membership::New } else { Membership::Returned };
    Ok(written.into_iter().map(|(id, rev)| (id, membership(rev))).collect())
}

/// A playlist whose position alone changed is written although it is known. So those that return are reported first.
async fn upsert_playlists<'a>(
    conn: &mut Conn,
    account: AccountId,
    members: impl Iterator<Item = (Words<'a>, Listed)>,
    now: At,
) -> Result<HashMap<String, Membership>, StoreError> {
    let AccountId(account_id) = account;
    let row = |(playlist_id, Listed { position, .. })| LibraryPlaylistRow {
        account_id,
        playlist_id,
        position,
        first_seen_at: Some(now),
        removed_at: None,
    };
    let rows: Vec<LibraryPlaylistRow<'_>> = members.map(row).collect();
    let ids: Vec<&str> = rows.iter().map(|row| row.playlist_id.0).collect();
    let set = format!("removed_at = NULL, returned_at = {}", now.literal());
    let returned = set_of(conn, account, EntityType::Playlists, &ids, &set, "removed_at IS NOT NULL").await?;
    let mut written: HashMap<String, Membership> = LibraryPlaylistRow::upsert(conn, &rows)
        .await?
        .into_iter()
        .map(|(id, rev)| (id, if rev == 1 { Membership::New } else { Membership::Known }))
        .collect();
    written.extend(returned.into_iter().map(|id| (id, Membership::Returned)));
    Ok(written)
}

/// If the source does not say since when, a row that was written and is not new came back now.
async fn note_return(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    written: &[(String, i64)],
    now: At,
) -> Result<(), StoreError> {
    let back: Vec<&str> = written.iter().filter(|(_, rev)| *rev > 1).map(|(id, _)| id.as_str()).collect();
    set_of(conn, account, entity, &back, &format!("returned_at = {}", now.literal()), "TRUE").await?;
    Ok(())
}

/// Sets something on those of these members that match `only`, and returns which those are.
async fn set_of(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    ids: &[&str],
    set: &str,
    only: &str,
) -> Result<Vec<String>, StoreError> {
    #[derive(QueryableByName)]
    struct Done {
        #[diesel(sql_type = Text)]
        id: String,
    }
    let ((table, item_id), account) = (table_of(entity), account.0);
    let done: Vec<Done> = of_ids(conn, ids, |ids| {
        format!(
            "UPDATE {table} SET {set} WHERE account_id = {account} AND {only} AND {item_id} IN ({ids}) \
             RETURNING {item_id} AS id"
        )
    })
    .await?;
    Ok(done.into_iter().map(|Done { id }| id).collect())
}

/// The condition that a member is not marked removed and that a pass has not seen it. Both sides are read once, in any
/// order: what was seen has no index.
fn unseen(account: AccountId, entity: EntityType, pass: i64) -> String {
    let ((table, item_id), account) = (table_of(entity), account.0);
    format!(
        "{item_id} IN (SELECT {item_id} FROM {table} WHERE account_id = {account} AND removed_at IS NULL \
         EXCEPT SELECT item_id FROM sync_seen WHERE account_id = {account} AND entity_type = '{entity}' \
         AND pass = {pass})"
    )
}

/// Marks removed what the pass has not seen, or the part of it that is known to be gone. Returns which those are.
pub(super) async fn remove_unseen(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    removal: Removal,
    now: At,
) -> Result<Vec<String>, StoreError> {
    join_by_hash(conn).await?;
    let (table, item_id) = table_of(entity);
    let held = |which: &str| {
        format!(
            "(SELECT item_id FROM held_removals WHERE account_id = {} AND entity_type = '{entity}' \
             AND playlist_id = '{LISTING}' AND {which})",
            account.0
        )
    };
    let gone = match removal.of {
        Gone::All => String::new(),
        Gone::Uncounted => format!("AND {item_id} NOT IN {}", held("is_counted AND NOT is_confirmed")),
        Gone::Ripe { at } => {
            let ripe = format!("(is_confirmed OR NOT is_counted AND since <= {})", At::from(at).literal());
            format!("AND {item_id} IN {}", held(&ripe))
        }
        Gone::Confirmed => format!("AND {item_id} IN {}", held("is_confirmed")),
    };
    let update = format!(
        "UPDATE {table} SET removed_at = {} WHERE account_id = {} AND {} {gone} RETURNING {item_id}",
        now.literal(),
        account.0,
        unseen(account, entity, removal.pass)
    );
    texts(conn, &update).await
}

/// Marks those of these that are members as removed, and returns them.
pub(super) async fn remove_ids(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    ids: &[String],
    now: At,
) -> Result<Vec<String>, StoreError> {
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    set_of(conn, account, entity, &ids, &format!("removed_at = {}", now.literal()), "removed_at IS NULL").await
}

/// Members, not marked removed, that the pass has not seen.
pub(super) async fn num_unseen(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    pass: i64,
) -> Result<u32, StoreError> {
    join_by_hash(conn).await?;
    num(conn, account, entity, &unseen(account, entity, pass)).await
}

/// Members, not marked removed, that the pass has not seen.
pub(super) async fn unseen_ids(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    pass: i64,
) -> Result<Vec<String>, StoreError> {
    join_by_hash(conn).await?;
    let ((table, item_id), unseen) = (table_of(entity), unseen(account, entity, pass));
    texts(conn, &format!("SELECT {item_id} FROM {table} WHERE account_id = {} AND {unseen}", account.0)).await
}

/// Members that are not marked removed.
pub(super) async fn num_active(conn: &mut Conn, account: AccountId, entity: EntityType) -> Result<u32, StoreError> {
    num(conn, account, entity, "removed_at IS NULL").await
}

/// Members that are marked removed.
pub(super) async fn num_removed(conn: &mut Conn, account: AccountId, entity: EntityType) -> Result<u32, StoreError> {
    num(conn, account, entity, "removed_at IS NOT NULL").await
}

async fn num(conn: &mut Conn, account: AccountId, entity: EntityType, which: &str) -> Result<u32, StoreError> {
    let (table, _) = table_of(entity);
    let num = count(conn, &format!("{table} WHERE account_id = {} AND {which}", account.0)).await?;
    Ok(u32::try_from(num).unwrap_or(u32::MAX))
}

/// The members that were added at one of these moments; none if the listing does not date its rows.
pub(super) async fn added_at(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    moments: &[At],
) -> Result<Vec<String>, StoreError> {
    if moments.is_empty() || entity.facts().dated == Dated::Never {
        return Ok(Vec::new());
    }
    let (table, item_id) = table_of(entity);
    let moments: Vec<String> = moments.iter().map(|at| at.literal()).collect();
    let (account, moments) = (account.0, moments.join(", "));
    texts(conn, &format!("SELECT {item_id} FROM {table} WHERE account_id = {account} AND added_at IN ({moments})"))
        .await
}

/// For the rest of the transaction. PostgreSQL has no statistics for rows written a minute ago; it assumes few and
/// would compare every member with everything seen: a minute for 20 000 tracks instead of 50 ms.
async fn join_by_hash(conn: &mut Conn) -> Result<(), StoreError> {
    match conn {
        Conn::Sqlite(_) => Ok(()),
        Conn::Pg(c) => Ok(c.batch_execute("SET LOCAL enable_nestloop = off").await?),
    }
}
