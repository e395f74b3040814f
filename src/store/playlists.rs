//! The items of playlists: which playlists are due, and the writing of what was read.
//!
//! A playlist is due when its `snapshot_id` is not the one its items were read at. That costs no request: the listing
//! of the playlists says it.

use super::catalogue::Catalogue;
use super::odd::{self, Listing};
use super::rows::PlaylistItemRow;
use super::schema::{library_playlists, playlist_items, playlists, sync_gaps};
use super::types::{At, len, to_u32};
use super::{Conn, Store, StoreError, gaps, versions, with_conn};
use crate::model::batch::PlaylistEnd;
use crate::model::{AccountId, Commit, ItemCounts, Oddity, PlaylistItemKind, PlaylistPart, Rows, StalePlaylist};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{ExpressionMethods, JoinOnDsl, QueryDsl, Queryable, Selectable, SelectableHelper};
use diesel_async::RunQueryDsl;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How long a playlist whose items the API does not show is left alone, though it changes: rights do change, but each
/// try costs a request of a scarce quota.
const UNREADABLE_REST: TimeDelta = TimeDelta::days(7);

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = playlists)]
struct Candidate {
    id: String,
    name: String,
    snapshot_id: Option<String>,
    total_items: Option<i32>,
    items_readable: bool,
    items_snapshot_id: Option<String>,
    items_checked_at: Option<At>,
}

impl Store {
    /// The playlists of a library whose items are due, in library order: those that changed since they were read, and
    /// those with ranges that could not be read. One without a `snapshot_id` cannot be told to be unchanged.
    pub async fn stale_playlists(
        &self,
        account: AccountId,
        now: DateTime<Utc>,
    ) -> Result<Vec<StalePlaylist>, StoreError> {
        let mut conn = self.connect().await?;
        let candidates: Vec<Candidate> = with_conn!(&mut conn, |c| {
            use library_playlists::{account_id, playlist_id, position, removed_at};
            let listed = library_playlists::table.inner_join(playlists::table.on(playlists::id.eq(playlist_id)));
            let active = listed.filter(account_id.eq(account.0)).filter(removed_at.is_null());
            active.order((position, playlist_id)).select(Candidate::as_select()).load(c).await
        })?;
        let mut gaps = open_item_gaps(&mut conn, account).await?;
        let stale = |candidate: Candidate| {
            let gaps = gaps.remove(&candidate.id).unwrap_or_default();
            candidate.stale(gaps, now)
        };
        Ok(candidates.into_iter().filter_map(stale).collect())
    }
}

impl Candidate {
    fn stale(self, gaps: Vec<(u32, u32)>, now: DateTime<Utc>) -> Option<StalePlaylist> {
        let has_changed = self.snapshot_id.is_none() || self.snapshot_id != self.items_snapshot_id;
        let is_due = if self.items_readable {
            has_changed || !gaps.is_empty()
        } else {
            let checked_at = self.items_checked_at.map(DateTime::<Utc>::from);
            has_changed && checked_at.is_none_or(|checked_at| now - checked_at > UNREADABLE_REST)
        };
        is_due.then(|| StalePlaylist {
            id: self.id,
            name: self.name,
            snapshot_id: self.snapshot_id,
            total_items: self.total_items.and_then(|total| u32::try_from(total).ok()),
            gaps: if has_changed { Vec::new() } else { gaps },
        })
    }
}

async fn open_item_gaps(conn: &mut Conn, account: AccountId) -> Result<HashMap<String, Vec<(u32, u32)>>, StoreError> {
    let open: Vec<(Option<String>, i64, i64)> = with_conn!(conn, |c| {
        use sync_gaps::{account_id, healed_at, offset_from, offset_to, playlist_id};
        let open = sync_gaps::table.filter(account_id.eq(account.0)).filter(healed_at.is_null());
        let of_items = open.filter(playlist_id.is_not_null()).order((playlist_id, offset_from));
        of_items.select((playlist_id, offset_from, offset_to)).load(c).await
    })?;
    let mut gaps: HashMap<String, Vec<(u32, u32)>> = HashMap::new();
    for (playlist_id, from, to) in open {
        gaps.entry(playlist_id.unwrap_or_default()).or_default().push((to_u32(from), to_u32(to)));
    }
    Ok(gaps)
}

/// Makes the items of every playlist of the account due again.
pub(super) async fn forget_item_snapshots(conn: &mut Conn, account: AccountId) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        use library_playlists::{account_id, playlist_id};
        let listed = library_playlists::table.filter(account_id.eq(account.0)).select(playlist_id);
        let theirs = playlists::table.filter(playlists::id.eq_any(listed));
        diesel::update(theirs).set(playlists::items_snapshot_id.eq(None::<String>)).execute(c).await
    })?;
    Ok(())
}

/// Writes consecutive items of playlists, and how their walks ended.
pub(super) async fn write_items(
    conn: &mut Conn,
    commit: &Commit,
    parts: &[PlaylistPart],
    now: At,
) -> Result<ItemCounts, StoreError> {
    // In the order of their ids, as the items are written: two that read the same playlists wait for each other.
    let read: BTreeSet<&str> = parts.iter().filter(|part| is_read(part)).map(|part| &*part.playlist_id).collect();
    for playlist_id in read {
        versions::begin(conn, playlist_id, now).await?;
    }
    let mut catalogue = Catalogue::new(now);
    let mut rows: BTreeMap<(&str, i64), PlaylistItemRow<'_>> = BTreeMap::new();
    for part in parts {
        for (item, at) in part.items.iter().zip(part.offset..) {
            if let Some(track) = &item.track {
                catalogue.add_track(track);
            }
            let row = PlaylistItemRow::new(&part.playlist_id, at, item);
            rows.insert((&part.playlist_id, i64::from(at)), row);
        }
    }
    let rows: Vec<PlaylistItemRow<'_>> = rows.into_values().collect();
    let catalogue = catalogue.write(conn).await?;
    let written = PlaylistItemRow::upsert(conn, &rows).await?;
    let revs: HashMap<(&str, i64), i64> =
        written.iter().map(|(playlist_id, position, rev)| ((playlist_id.as_str(), *position), *rev)).collect();

    let mut counts = ItemCounts { processed: len(commit.rows.len()), ..ItemCounts::default() };
    for row in &rows {
        let has_changed_track = row.track_id.is_some_and(|id| catalogue.tracks.contains(id.0));
        match revs.get(&(row.playlist_id.0, row.position)) {
            Some(1) => counts.new += 1,
            Some(_) => counts.updated += 1,
            None if has_changed_track => counts.updated += 1,
            None => counts.unchanged += 1,
        }
    }
    for part in parts {
        counts.odd += record_odd(conn, commit, part, now).await?;
        if let Some(end) = &part.end {
            counts.removed += finish(conn, commit, &part.playlist_id, end, now).await?;
        }
    }
    Ok(counts)
}

/// Whether the part belongs to a walk that replaces the items. A gap that is filled only adds what stood there before.
fn is_read(part: &PlaylistPart) -> bool {
    match part.end {
        None => !part.items.is_empty(),
        Some(PlaylistEnd::Complete { .. }) => true,
        Some(PlaylistEnd::GapFilled | PlaylistEnd::Unreadable { .. }) => false,
    }
}

/// Notes what came into the playlists whose walks ended and what went from them. After the gaps are recorded: what could
/// not be read is not gone.
pub(super) async fn record_versions(conn: &mut Conn, commit: &Commit, now: At) -> Result<(), StoreError> {
    let Rows::PlaylistItems(parts) = &commit.rows else { return Ok(()) };
    for part in parts {
        match part.end {
            Some(PlaylistEnd::Complete { .. } | PlaylistEnd::GapFilled) => {
                versions::conclude(conn, commit, &part.playlist_id, now).await?;
            }
            Some(PlaylistEnd::Unreadable { .. }) | None => {}
        }
    }
    Ok(())
}

/// Records what is odd about items, and the places where the source gave nothing, whether or not it is known why.
async fn record_odd(conn: &mut Conn, commit: &Commit, part: &PlaylistPart, now: At) -> Result<u32, StoreError> {
    let range = part.offset..part.offset.saturating_add(len(part.items.len()));
    let missing = part.items.iter().zip(part.offset..).filter(|(item, _)| item.kind == PlaylistItemKind::Missing);
    let mut odd: BTreeMap<u32, &Oddity> = missing.map(|(_, at)| (at, &Oddity::Missing)).collect();
    odd.extend(part.odd.iter().filter(|(at, _)| range.contains(at)).map(|(at, oddity)| (*at, oddity)));
    let odd: Vec<(u32, &Oddity)> = odd.into_iter().collect();
    odd::replace(conn, items_of(commit, &part.playlist_id), range, &odd, now).await?;
    Ok(len(odd.len()))
}

fn items_of<'a>(commit: &Commit, playlist_id: &'a str) -> Listing<'a> {
    Listing { account: commit.account_id, entity: commit.entity, playlist_id }
}

/// Ends the walk of a playlist. Returns how many items it lost at its end.
async fn finish(
    conn: &mut Conn,
    commit: &Commit,
    playlist_id: &str,
    end: &PlaylistEnd,
    now: At,
) -> Result<u32, StoreError> {
    let (snapshot_id, is_readable, dropped) = match end {
        PlaylistEnd::GapFilled => return Ok(0),
        PlaylistEnd::Unreadable { snapshot_id } => (snapshot_id, false, 0),
        PlaylistEnd::Complete { snapshot_id, total } => {
            odd::forget_from(conn, items_of(commit, playlist_id), *total).await?;
            gaps::heal_beyond(conn, commit.account_id, playlist_id, *total, now).await?;
            let dropped = with_conn!(conn, |c| {
                let beyond = playlist_items::table
                    .filter(playlist_items::playlist_id.eq(playlist_id))
                    .filter(playlist_items::position.ge(i64::from(*total)));
                diesel::delete(beyond).execute(c).await
            })?;
            (snapshot_id, true, len(dropped))
        }
    };
    with_conn!(conn, |c| {
        use playlists::{id, items_checked_at, items_readable, items_snapshot_id};
        let read = (items_readable.eq(is_readable), items_snapshot_id.eq(snapshot_id), items_checked_at.eq(now));
        diesel::update(playlists::table.filter(id.eq(playlist_id))).set(read).execute(c).await
    })?;
    Ok(dropped)
}
