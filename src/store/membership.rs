//! Whose library holds what: `saved_tracks`, `followed_artists`, `library_playlists` and the like. Tables of one shape, so
//! each question is asked once, for whichever table the entity type has.

use super::rows::{FollowedArtistRow, LISTING, LibraryPlaylistRow, SavedAlbumRow, SavedTrackRow, held};
use super::schema::{followed_artists, held_removals, library_playlists, saved_audiobooks, sync_seen};
use super::spoken_rows::{SavedAudiobookRow, SavedEpisodeRow, SavedShowRow};
use super::types::{At, Words, to_u32};
use super::{Conn, StoreError, with_conn};
use crate::model::{AccountId, EntityType, Gone, Membership, Removal, Slot};
use diesel::dsl::{count, count_star};
use diesel::{BoolExpressionMethods, CombineDsl, ExpressionMethods, QueryDsl};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

/// The name of an entity type's membership table, and of its column that holds the item.
pub(super) const fn table_of(entity: EntityType) -> (&'static str, &'static str) {
    match entity {
        EntityType::Tracks => ("saved_tracks", "track_id"),
        EntityType::Albums => ("saved_albums", "album_id"),
        EntityType::Artists => ("followed_artists", "artist_id"),
        EntityType::Playlists => ("library_playlists", "playlist_id"),
        EntityType::Shows => ("saved_shows", "show_id"),
        EntityType::Episodes => ("saved_episodes", "episode_id"),
        EntityType::Audiobooks => ("saved_audiobooks", "audiobook_id"),
    }
}

/// Evaluates an expression with a membership table and its item column in scope.
macro_rules! with_table {
    ($schema:ident::$column:ident, |$table:ident, $item_id:ident| $body:expr) => {{
        use $crate::store::schema::$schema::{self as $table, $column as $item_id};
        $body
    }};
}
pub(super) use with_table;

/// The same with those of the entity type.
macro_rules! in_membership {
    ($entity:expr, |$table:ident, $item_id:ident| $body:expr) => {
        $crate::store::membership::in_dated_membership!($entity, |$table, $item_id| $body, else match $entity {
            EntityType::Artists => $crate::store::membership::with_table!(followed_artists::artist_id, |$table, $item_id| $body),
            _ => $crate::store::membership::with_table!(library_playlists::playlist_id, |$table, $item_id| $body),
        })
    };
}
pub(super) use in_membership;

/// The same where the listing may date its rows; `$otherwise` where it never does.
macro_rules! in_dated_membership {
    ($entity:expr, |$table:ident, $item_id:ident| $body:expr, else $otherwise:expr) => {
        match $entity {
            EntityType::Tracks => {
                $crate::store::membership::with_table!(saved_tracks::track_id, |$table, $item_id| $body)
            }
            EntityType::Albums => {
                $crate::store::membership::with_table!(saved_albums::album_id, |$table, $item_id| $body)
            }
            EntityType::Shows => $crate::store::membership::with_table!(saved_shows::show_id, |$table, $item_id| $body),
            EntityType::Episodes => {
                $crate::store::membership::with_table!(saved_episodes::episode_id, |$table, $item_id| $body)
            }
            EntityType::Audiobooks => {
                $crate::store::membership::with_table!(saved_audiobooks::audiobook_id, |$table, $item_id| $body)
            }
            EntityType::Artists | EntityType::Playlists => $otherwise,
        }
    };
}
pub(super) use in_dated_membership;

/// Ids bound by one statement; SQLite takes at most 32 766 values.
pub(super) const IDS_MAX: usize = 1000;

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
/// several slots, as happens when the listing moves between two requests, is one member and was the same before.
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

/// Where the source does not say since when: of a row that was written and is not new we know it. It came back now.
macro_rules! note_return {
    ($conn:expr, $account:expr, $members:ident, $item_id:ident, $written:expr, $now:expr) => {
        let back: Vec<&str> = $written.iter().filter(|(_, rev)| *rev > 1).map(|(id, _)| id.as_str()).collect();
        if !back.is_empty() {
            with_conn!($conn, |c| {
                let theirs = $members::table.filter($members::account_id.eq($account.0));
                let theirs = diesel::update(theirs.filter($members::$item_id.eq_any(back)));
                theirs.set($members::returned_at.eq($now)).execute(c).await
            })?;
        }
    };
}

/// Upserts the members and tells what those were that it wrote: a row is written only if it is new, was marked removed,
/// or was added at another moment.
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
            note_return!(conn, account, followed_artists, artist_id, &written, now);
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
            note_return!(conn, account, saved_audiobooks, audiobook_id, &written, now);
            written
        }
    };
    let membership = |rev| if rev == 1 { Membership::New } else { Membership::Returned };
    Ok(written.into_iter().map(|(id, rev)| (id, membership(rev))).collect())
}

/// A playlist that only stands elsewhere now is written, and yet known. So those that return are told first.
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
    let returned: Vec<String> = with_conn!(conn, |c| {
        use library_playlists::{playlist_id, removed_at, returned_at, table};
        let listed = rows.iter().map(|row| row.playlist_id.0);
        let theirs = table.filter(library_playlists::account_id.eq(account_id)).filter(removed_at.is_not_null());
        let theirs = diesel::update(theirs.filter(playlist_id.eq_any(listed)));
        let back = theirs.set((removed_at.eq(None::<At>), returned_at.eq(now)));
        back.returning(playlist_id).load(c).await
    })?;
    let mut written: HashMap<String, Membership> = LibraryPlaylistRow::upsert(conn, &rows)
        .await?
        .into_iter()
        .map(|(id, rev)| (id, if rev == 1 { Membership::New } else { Membership::Known }))
        .collect();
    written.extend(returned.into_iter().map(|id| (id, Membership::Returned)));
    Ok(written)
}

/// The members of an account that are not marked removed, as a query.
macro_rules! active {
    ($members:ident, $account:expr) => {
        $members::table.filter($members::account_id.eq($account.0)).filter($members::removed_at.is_null())
    };
}

/// Those of them that a pass has not seen. Both sides are read once, in whatever order: what was seen has no index.
macro_rules! unseen {
    ($members:ident, $item_id:ident, $account:expr, $entity:expr, $pass:expr) => {{
        let seen = sync_seen::table
            .filter(sync_seen::account_id.eq($account.0))
            .filter(sync_seen::entity_type.eq($entity.as_str()))
            .filter(sync_seen::pass.eq($pass))
            .select(sync_seen::item_id);
        let theirs = diesel::alias!($members as theirs);
        let active = theirs
            .filter(theirs.field($members::account_id).eq($account.0))
            .filter(theirs.field($members::removed_at).is_null());
        let unseen = active.select(theirs.field($item_id)).except(seen);
        $members::table.filter($members::account_id.eq($account.0)).filter($item_id.eq_any(unseen))
    }};
}

/// Marks removed what the pass has not seen, or that of it which is known to be gone. Returns which that was.
pub(super) async fn remove_unseen(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    removal: Removal,
    now: At,
) -> Result<Vec<String>, StoreError> {
    join_by_hash(conn).await?;
    let Removal { pass, of } = removal;
    let removed: Vec<String> = in_membership!(entity, |members, item_id| with_conn!(conn, |c| {
        use held_removals::{is_confirmed, is_counted, item_id as held_id, since};
        let unseen = unseen!(members, item_id, account, entity, pass);
        let removed = members::removed_at.eq(now);
        match of {
            Gone::All => diesel::update(unseen).set(removed).returning(item_id).load(c).await,
            Gone::Uncounted => {
                let counted = held(account, entity, LISTING).filter(is_counted.eq(true).and(is_confirmed.eq(false)));
                let gone = unseen.filter(item_id.ne_all(counted.select(held_id)));
                diesel::update(gone).set(removed).returning(item_id).load(c).await
            }
            Gone::Ripe { at } => {
                let is_ripe = is_counted.eq(false).and(since.le(At::from(at)));
                let ripe = held(account, entity, LISTING).filter(is_confirmed.eq(true).or(is_ripe));
                let gone = unseen.filter(item_id.eq_any(ripe.select(held_id)));
                diesel::update(gone).set(removed).returning(item_id).load(c).await
            }
            Gone::Confirmed => {
                let confirmed = held(account, entity, LISTING).filter(is_confirmed.eq(true));
                let gone = unseen.filter(item_id.eq_any(confirmed.select(held_id)));
                diesel::update(gone).set(removed).returning(item_id).load(c).await
            }
        }
    }))?;
    Ok(removed)
}

/// Marks these removed, as far as they are members, and returns those.
pub(super) async fn remove_ids(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    ids: &[String],
    now: At,
) -> Result<Vec<String>, StoreError> {
    let mut removed: Vec<String> = Vec::new();
    for ids in ids.chunks(IDS_MAX) {
        let some: Vec<String> = in_membership!(entity, |members, item_id| with_conn!(conn, |c| {
            let gone = active!(members, account).filter(item_id.eq_any(ids));
            diesel::update(gone).set(members::removed_at.eq(now)).returning(item_id).load(c).await
        }))?;
        removed.extend(some);
    }
    Ok(removed)
}

/// Members, not marked removed, that the pass has not seen.
pub(super) async fn num_unseen(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    pass: i64,
) -> Result<u32, StoreError> {
    join_by_hash(conn).await?;
    let unseen: i64 = in_membership!(entity, |members, item_id| with_conn!(conn, |c| {
        unseen!(members, item_id, account, entity, pass).select(count_star()).get_result(c).await
    }))?;
    Ok(to_u32(unseen))
}

/// Members, not marked removed, that the pass has not seen.
pub(super) async fn unseen_ids(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    pass: i64,
) -> Result<Vec<String>, StoreError> {
    join_by_hash(conn).await?;
    let unseen = in_membership!(entity, |members, item_id| with_conn!(conn, |c| {
        unseen!(members, item_id, account, entity, pass).select(item_id).load(c).await
    }))?;
    Ok(unseen)
}

/// Members that are not marked removed.
pub(super) async fn num_active(conn: &mut Conn, account: AccountId, entity: EntityType) -> Result<u32, StoreError> {
    let active: i64 = in_membership!(entity, |members, item_id| with_conn!(conn, |c| {
        active!(members, account).select(count(item_id)).get_result(c).await
    }))?;
    Ok(to_u32(active))
}

/// The members that were added at one of these moments; none where the listing does not date its rows.
pub(super) async fn added_at(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    moments: &[At],
) -> Result<Vec<String>, StoreError> {
    if moments.is_empty() {
        return Ok(Vec::new());
    }
    let moments = moments.iter().copied();
    let ids = in_dated_membership!(
        entity,
        |members, item_id| with_conn!(conn, |c| {
            let theirs = members::table.filter(members::account_id.eq(account.0));
            theirs.filter(members::added_at.eq_any(moments)).select(item_id).load(c).await
        }),
        else Ok(Vec::new())
    );
    Ok(ids?)
}

/// Members that are marked removed.
pub(super) async fn num_removed(conn: &mut Conn, account: AccountId, entity: EntityType) -> Result<u32, StoreError> {
    let removed: i64 = in_membership!(entity, |members, item_id| with_conn!(conn, |c| {
        let theirs = members::table.filter(members::account_id.eq(account.0));
        theirs.filter(members::removed_at.is_not_null()).select(count(item_id)).get_result(c).await
    }))?;
    Ok(to_u32(removed))
}

/// For the rest of the transaction. Of rows written a minute ago PostgreSQL has no statistics; it takes them for few
/// and would compare every member with everything seen: a minute for 20 000 tracks instead of 50 ms.
async fn join_by_hash(conn: &mut Conn) -> Result<(), StoreError> {
    match conn {
        Conn::Sqlite(_) => Ok(()),
        Conn::Pg(c) => Ok(c.batch_execute("SET LOCAL enable_nestloop = off").await?),
    }
}
