//! Whose library holds what: `saved_tracks`, `saved_albums`, `followed_artists`, `library_playlists`. Four tables of one
//! shape, so each question is asked once, for whichever table the entity type has.

use super::rows::{FollowedArtistRow, LibraryPlaylistRow, SavedAlbumRow, SavedTrackRow};
use super::schema::{followed_artists, library_playlists, saved_albums, saved_tracks, sync_seen};
use super::types::{At, Words, len, to_u32};
use super::upsert::upsert;
use super::{Conn, StoreError, with_conn};
use crate::model::{AccountId, EntityType, Membership, Slot};
use diesel::dsl::{exists, not};
use diesel::sql_types::{BigInt, Nullable};
use diesel::{ExpressionMethods, IntoSql, NullableExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Evaluates an expression with the entity type's membership table and its item column in scope.
macro_rules! in_membership {
    ($entity:expr, |$table:ident, $item_id:ident| $body:expr) => {
        match $entity {
            EntityType::Tracks => {
                use saved_tracks::{self as $table, track_id as $item_id};
                $body
            }
            EntityType::Albums => {
                use saved_albums::{self as $table, album_id as $item_id};
                $body
            }
            EntityType::Artists => {
                use followed_artists::{self as $table, artist_id as $item_id};
                $body
            }
            EntityType::Playlists => {
                use library_playlists::{self as $table, playlist_id as $item_id};
                $body
            }
        }
    };
}

/// What the listing says about one item.
#[derive(Debug, Clone, Copy)]
struct Listed {
    added_at: Option<At>,
    position: i64,
}

/// What the database said about it before.
#[derive(Debug, Clone, Copy)]
struct Held {
    added_at: Option<At>,
    removed_at: Option<At>,
    position: Option<i64>,
}

/// A slot's membership, and whether writing it changed a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub membership: Membership,
    pub is_written: bool,
}

/// Writes the memberships of a batch whose first slot stands at `offset`; one outcome per slot. An item that stands in
/// several slots, as happens when the listing moves between two requests, is one member and was the same before.
pub(super) async fn write(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    slots: &[Slot],
    offset: u32,
    now: At,
) -> Result<Vec<Outcome>, StoreError> {
    let mut listed: BTreeMap<&str, Listed> = BTreeMap::new();
    for (slot, at) in slots.iter().zip(offset..) {
        let Some(id) = slot.id() else { continue };
        let found = Listed { added_at: slot.added_at.map(At::from), position: i64::from(at) };
        match listed.entry(id) {
            Entry::Vacant(entry) => drop(entry.insert(found)),
            Entry::Occupied(mut entry) => entry.get_mut().added_at = entry.get().added_at.max(found.added_at),
        }
    }
    let held = held(conn, account, entity, listed.keys().copied().collect()).await?;
    let outcome = |id: &str, listed: &Listed| match held.get(id) {
        None => Outcome { membership: Membership::New, is_written: true },
        Some(held) if held.removed_at.is_some() || differs(listed.added_at, held.added_at) => {
            Outcome { membership: Membership::Returned, is_written: true }
        }
        Some(held) => {
            let has_moved = held.position.is_some_and(|position| position != listed.position);
            Outcome { membership: Membership::Known, is_written: has_moved }
        }
    };
    let outcomes: BTreeMap<&str, Outcome> = listed.iter().map(|(id, listed)| (*id, outcome(id, listed))).collect();
    listed.retain(|id, _| outcomes[id].is_written);
    upsert_members(conn, account, entity, &listed, now).await?;
    let unidentified = Outcome { membership: Membership::Unidentified, is_written: false };
    Ok(slots.iter().map(|slot| slot.id().map_or(unidentified, |id| outcomes[id])).collect())
}

/// Where the source says nothing, nothing differs.
fn differs(source: Option<At>, known: Option<At>) -> bool {
    source.is_some() && source != known
}

async fn held(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    ids: Vec<&str>,
) -> Result<BTreeMap<String, Held>, StoreError> {
    type Found = (String, Option<At>, Option<At>, Option<i64>);
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let nowhere = None::<i64>;
    let never = None::<At>;
    let found: Vec<Found> = match entity {
        EntityType::Tracks => with_conn!(conn, |c| {
            use saved_tracks::{account_id, added_at, removed_at, table, track_id};
            let rows = table.filter(account_id.eq(account.0)).filter(track_id.eq_any(ids));
            rows.select((track_id, added_at, removed_at, nowhere.into_sql::<Nullable<BigInt>>())).load(c).await
        }),
        EntityType::Albums => with_conn!(conn, |c| {
            use saved_albums::{account_id, added_at, album_id, removed_at, table};
            let rows = table.filter(account_id.eq(account.0)).filter(album_id.eq_any(ids));
            rows.select((album_id, added_at, removed_at, nowhere.into_sql::<Nullable<BigInt>>())).load(c).await
        }),
        EntityType::Artists => with_conn!(conn, |c| {
            use followed_artists::{account_id, artist_id, removed_at, table};
            let rows = table.filter(account_id.eq(account.0)).filter(artist_id.eq_any(ids));
            let nothing = (never.into_sql::<Nullable<super::types::Instant>>(), removed_at);
            rows.select((artist_id, nothing.0, nothing.1, nowhere.into_sql::<Nullable<BigInt>>())).load(c).await
        }),
        EntityType::Playlists => with_conn!(conn, |c| {
            use library_playlists::{account_id, playlist_id, position, removed_at, table};
            let rows = table.filter(account_id.eq(account.0)).filter(playlist_id.eq_any(ids));
            let added_at = never.into_sql::<Nullable<super::types::Instant>>();
            rows.select((playlist_id, added_at, removed_at, position.nullable())).load(c).await
        }),
    }?;
    let held = |(id, added_at, removed_at, position)| (id, Held { added_at, removed_at, position });
    Ok(found.into_iter().map(held).collect())
}

async fn upsert_members(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    members: &BTreeMap<&str, Listed>,
    now: At,
) -> Result<(), StoreError> {
    let AccountId(account_id) = account;
    let removed_at = None;
    let members = members.iter().map(|(id, listed)| (Words(id), *listed));
    match entity {
        EntityType::Tracks => {
            let row =
                |(track_id, Listed { added_at, .. })| SavedTrackRow { account_id, track_id, added_at, removed_at };
            upsert(conn, &members.map(row).collect::<Vec<_>>()).await?;
        }
        EntityType::Albums => {
            let row =
                |(album_id, Listed { added_at, .. })| SavedAlbumRow { account_id, album_id, added_at, removed_at };
            upsert(conn, &members.map(row).collect::<Vec<_>>()).await?;
        }
        EntityType::Artists => {
            let row = |(artist_id, _)| FollowedArtistRow { account_id, artist_id, first_seen_at: now, removed_at };
            upsert(conn, &members.map(row).collect::<Vec<_>>()).await?;
        }
        EntityType::Playlists => {
            let row = |(playlist_id, Listed { position, .. })| LibraryPlaylistRow {
                account_id,
                playlist_id,
                position,
                removed_at,
            };
            upsert(conn, &members.map(row).collect::<Vec<_>>()).await?;
        }
    }
    Ok(())
}

/// Marks everything removed that the pass has not seen, and says how much that was.
pub(super) async fn remove_unseen(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    pass: i64,
    now: At,
) -> Result<u32, StoreError> {
    let removed = in_membership!(entity, |members, item_id| with_conn!(conn, |c| {
        let active = members::table.filter(members::account_id.eq(account.0)).filter(members::removed_at.is_null());
        let unseen = active.filter(not(exists(
            sync_seen::table
                .filter(sync_seen::account_id.eq(account.0))
                .filter(sync_seen::entity_type.eq(entity.as_str()))
                .filter(sync_seen::pass.eq(pass))
                .filter(sync_seen::item_id.eq(item_id)),
        )));
        diesel::update(unseen).set(members::removed_at.eq(now)).execute(c).await
    }))?;
    Ok(len(removed))
}

/// Members that are not marked removed.
pub(super) async fn num_active(conn: &mut Conn, account: AccountId, entity: EntityType) -> Result<u32, StoreError> {
    let active: i64 = in_membership!(entity, |members, item_id| with_conn!(conn, |c| {
        let active = members::table.filter(members::account_id.eq(account.0)).filter(members::removed_at.is_null());
        active.select(diesel::dsl::count(item_id)).get_result(c).await
    }))?;
    Ok(to_u32(active))
}

/// Members that are marked removed.
pub(super) async fn num_removed(conn: &mut Conn, account: AccountId, entity: EntityType) -> Result<u32, StoreError> {
    let removed: i64 = in_membership!(entity, |members, item_id| with_conn!(conn, |c| {
        let removed = members::table.filter(members::account_id.eq(account.0));
        removed.filter(members::removed_at.is_not_null()).select(diesel::dsl::count(item_id)).get_result(c).await
    }))?;
    Ok(to_u32(removed))
}

/// Members, not marked removed, that the pass has not seen.
pub(super) async fn num_unseen(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    pass: i64,
) -> Result<u32, StoreError> {
    let unseen: i64 = in_membership!(entity, |members, item_id| with_conn!(conn, |c| {
        let active = members::table.filter(members::account_id.eq(account.0)).filter(members::removed_at.is_null());
        let unseen = active.filter(not(exists(
            sync_seen::table
                .filter(sync_seen::account_id.eq(account.0))
                .filter(sync_seen::entity_type.eq(entity.as_str()))
                .filter(sync_seen::pass.eq(pass))
                .filter(sync_seen::item_id.eq(item_id)),
        )));
        unseen.select(diesel::dsl::count(item_id)).get_result(c).await
    }))?;
    Ok(to_u32(unseen))
}
