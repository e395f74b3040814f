//! The history of playlists as it is stored; [`crate::model::version`] says what a version is.
//!
//! The transaction that replaces the items with a whole reading compares the two. Readings that fail, or that are not
//! believed yet, change nothing. While a comparison waits for places that could not be served, the items as they were
//! are kept (`playlist_items_before`), across crashes and other readings.

use super::gaps::open_in;
use super::rows::{KnownItemRow, PlaylistChangeRow, PlaylistItemRow};
use super::schema::{
    playlist_changes, playlist_items, playlist_items_before, playlist_items_read, playlist_versions, playlist_walks,
    playlists,
};
use super::types::{At, Words};
use super::upsert::upsert;
use super::{Conn, StoreError, with_conn};
use crate::model::version::{Comparison, Conclusion, Difference, Entry, Reading, Version, waits_for_gaps};
use crate::model::{AccountId, Commit};
use chrono::DateTime;
use diesel::dsl::{count_star, exists};
use diesel::{BoolExpressionMethods, ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;

/// What was added to a playlist and removed from it, for those who follow the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ItemChanges {
    pub playlist_id: String,
    pub difference: Difference,
}

/// The columns of an item in each of the tables that have some: position, URI, name, track, moment of addition.
type Columns = (i64, Option<String>, Option<String>, Option<String>, Option<At>);

fn entry((position, uri, name, track_id, added_at): Columns) -> Entry {
    Entry { position, uri, name, track_id, added_at: added_at.map(DateTime::from) }
}

/// The row as it would be read back.
pub(super) fn entry_of(row: &PlaylistItemRow<'_>) -> Entry {
    let text = |words: Option<Words<'_>>| words.map(String::from);
    entry((row.position, text(row.uri), text(row.name), text(row.track_id), row.added_at))
}

/// Keeps the items of a playlist as they are, before a reading replaces them; unless they are already kept from an
/// earlier one that could not be compared yet.
pub(super) async fn begin(
    conn: &mut Conn,
    playlist: &str,
    is_walked: bool,
    is_first: bool,
    now: At,
) -> Result<(), StoreError> {
    if is_walked {
        return Ok(());
    }
    with_conn!(conn, |c| {
        use playlist_walks::{began_at, playlist_id, table};
        let walk = (playlist_id.eq(playlist), began_at.eq(now), playlist_walks::is_first.eq(is_first));
        diesel::insert_into(table).values(walk).on_conflict_do_nothing().execute(c).await
    })?;
    if !is_first {
        with_conn!(conn, |c| {
            use playlist_items::{added_at, name, playlist_id, position, table, track_id, uri};
            use playlist_items_before as before;
            let items = table.filter(playlist_id.eq(playlist));
            let kept = items.select((playlist_id, position, uri, name, track_id, added_at)).insert_into(before::table);
            let columns =
                (before::playlist_id, before::position, before::uri, before::name, before::track_id, before::added_at);
            kept.into_columns(columns).execute(c).await
        })?;
    }
    Ok(())
}

/// Compares the items with the kept ones, notes the difference and drops what was kept; not yet if something could not
/// be read. Returns what this walk alone has changed, if anything.
pub(super) async fn conclude(
    conn: &mut Conn,
    commit: &Commit,
    playlist: &str,
    now: At,
) -> Result<Option<ItemChanges>, StoreError> {
    let walk: Option<(bool, At)> = with_conn!(conn, |c| {
        use playlist_walks::{began_at, is_first, playlist_id, table};
        table.filter(playlist_id.eq(playlist)).select((is_first, began_at)).first(c).await.optional()
    })?;
    let Some((is_first, began_at)) = walk else { return Ok(None) };
    if has_gaps(conn, playlist).await? && waits_for_gaps(began_at.into(), now.into()) {
        return Ok(None);
    }
    let said = match last_version(conn, playlist).await? {
        Some(last) if last.run_id == commit.run_id.to_string() => Some(take_back(conn, &last).await?),
        Some(_) | None => None,
    };
    let before = kept_items(conn, playlist).await?;
    let is_first_look = is_first || matches!(said, Some(Version::First { .. }));
    let concluded = if is_first_look && before.is_empty() {
        let num_items = num_items(conn, playlist).await? as usize;
        let version = Some(Version::First { num_items });
        Conclusion { items: Vec::new(), recalled: Vec::new(), version, news: None }
    } else {
        let (kinds, after): (Vec<String>, Vec<Entry>) = items(conn, playlist).await?.into_iter().unzip();
        let concluded = Reading { before, after, is_first, said }.conclude();
        write_recalled(conn, playlist, &concluded, &kinds).await?;
        concluded
    };
    if let Some(version) = &concluded.version {
        record(conn, commit, playlist, version, now).await?;
    }
    forget_walk(conn, playlist).await?;
    Ok(concluded.news.map(|difference| ItemChanges { playlist_id: playlist.to_owned(), difference }))
}

/// Writes the recalled items into the places that they were recalled for.
async fn write_recalled(
    conn: &mut Conn,
    playlist: &str,
    concluded: &Conclusion,
    kinds: &[String],
) -> Result<(), StoreError> {
    let row = |at: &usize| {
        let Entry { position, uri, name, track_id, added_at } = &concluded.items[*at];
        KnownItemRow {
            playlist_id: Words(playlist),
            position: *position,
            uri: uri.as_deref().map(Words),
            kind: &kinds[*at],
            track_id: track_id.as_deref().map(Words),
            name: name.as_deref().map(Words),
            added_at: added_at.map(At::from),
        }
    };
    let rows: Vec<KnownItemRow<'_>> = concluded.recalled.iter().map(row).collect();
    KnownItemRow::upsert(conn, &rows).await?;
    Ok(())
}

async fn forget_walk(conn: &mut Conn, playlist: &str) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        use playlist_items_before::{playlist_id, table};
        diesel::delete(table.filter(playlist_id.eq(playlist))).execute(c).await
    })?;
    with_conn!(conn, |c| {
        use playlist_walks::{playlist_id, table};
        diesel::delete(table.filter(playlist_id.eq(playlist))).execute(c).await
    })?;
    Ok(())
}

/// Whether something of the playlist could not be read.
async fn has_gaps(conn: &mut Conn, playlist: &str) -> Result<bool, StoreError> {
    Ok(with_conn!(conn, |c| diesel::select(exists(open_in(playlist))).get_result(c).await)?)
}

/// The items of a reading under way, empty places included.
pub(super) async fn read_apart(conn: &mut Conn, account: AccountId, playlist: &str) -> Result<Vec<Entry>, StoreError> {
    let rows: Vec<Columns> = with_conn!(conn, |c| {
        use playlist_items_read::{account_id, added_at, name, playlist_id, position, table, track_id, uri};
        let items = table.filter(account_id.eq(account.0)).filter(playlist_id.eq(playlist)).order(position);
        items.select((position, uri, name, track_id, added_at)).load(c).await
    })?;
    Ok(rows.into_iter().map(entry).collect())
}

/// Compares a whole reading with the present items.
pub(super) async fn compare(conn: &mut Conn, playlist: &str, after: Vec<Entry>) -> Result<Comparison, StoreError> {
    let before = items(conn, playlist).await?.into_iter().map(|(_, entry)| entry).collect();
    Ok(Comparison::of(before, after))
}

/// The items of the playlist, with their kinds; empty places included.
async fn items(conn: &mut Conn, playlist: &str) -> Result<Vec<(String, Entry)>, StoreError> {
    let rows: Vec<(String, Columns)> = with_conn!(conn, |c| {
        use playlist_items::{added_at, kind, name, playlist_id, position, table, track_id, uri};
        let items = table.filter(playlist_id.eq(playlist)).order(position);
        items.select((kind, (position, uri, name, track_id, added_at))).load(c).await
    })?;
    Ok(rows.into_iter().map(|(kind, columns)| (kind, entry(columns))).collect())
}

async fn num_items(conn: &mut Conn, playlist: &str) -> Result<i64, StoreError> {
    Ok(with_conn!(conn, |c| {
        use playlist_items::{playlist_id, table, track_id, uri};
        let items = table.filter(playlist_id.eq(playlist)).filter(uri.is_not_null().or(track_id.is_not_null()));
        items.select(count_star()).first(c).await
    })?)
}

/// The earlier items, empty places included.
async fn kept_items(conn: &mut Conn, playlist: &str) -> Result<Vec<Entry>, StoreError> {
    let rows: Vec<Columns> = with_conn!(conn, |c| {
        use playlist_items_before::{added_at, name, playlist_id, position, table, track_id, uri};
        let items = table.filter(playlist_id.eq(playlist)).order(position);
        items.select((position, uri, name, track_id, added_at)).load(c).await
    })?;
    Ok(rows.into_iter().map(entry).collect())
}

#[derive(Debug, Queryable)]
struct LastVersion {
    id: i64,
    is_first: bool,
    num_items: i64,
    run_id: String,
}

async fn last_version(conn: &mut Conn, playlist: &str) -> Result<Option<LastVersion>, StoreError> {
    Ok(with_conn!(conn, |c| {
        use playlist_versions::{id, is_first, items_added, playlist_id, run_id, table};
        let latest = table.filter(playlist_id.eq(playlist)).order(id.desc());
        latest.select((id, is_first, items_added, run_id)).first(c).await.optional()
    })?)
}

/// Deletes a version and returns it.
async fn take_back(conn: &mut Conn, last: &LastVersion) -> Result<Version, StoreError> {
    let rows: Vec<(String, Columns)> = with_conn!(conn, |c| {
        use playlist_changes::{added_at, kind, name, number, position, table, track_id, uri, version_id};
        let said = table.filter(version_id.eq(last.id)).order(number);
        said.select((kind, (position, uri, name, track_id, added_at))).load(c).await
    })?;
    with_conn!(conn, |c| {
        use playlist_changes::{table, version_id};
        diesel::delete(table.filter(version_id.eq(last.id))).execute(c).await
    })?;
    with_conn!(conn, |c| {
        use playlist_versions::{id, table};
        diesel::delete(table.filter(id.eq(last.id))).execute(c).await
    })?;
    if last.is_first {
        return Ok(Version::First { num_items: usize::try_from(last.num_items).unwrap_or(0) });
    }
    let (added, removed): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(kind, _)| kind == ADDED);
    let entries = |rows: Vec<(String, Columns)>| rows.into_iter().map(|(_, columns)| entry(columns)).collect();
    Ok(Version::Next(Difference { added: entries(added), removed: entries(removed) }))
}

/// Values of `playlist_changes.kind`.
pub(super) const ADDED: &str = "added";
pub(super) const REMOVED: &str = "removed";

async fn record(
    conn: &mut Conn,
    commit: &Commit,
    playlist: &str,
    version: &Version,
    now: At,
) -> Result<(), StoreError> {
    let (first, difference) = match version {
        Version::First { num_items } => (Some(*num_items), &Difference::default()),
        Version::Next(difference) => (None, difference),
    };
    let Difference { added, removed } = difference;
    let snapshot: Option<String> = with_conn!(conn, |c| {
        use playlists::{id, items_snapshot_id, table};
        table.filter(id.eq(playlist)).select(items_snapshot_id).first(c).await
    })?;
    let version_id: i64 = with_conn!(conn, |c| {
        use playlist_versions::*;
        let row = (
            (playlist_id.eq(playlist), snapshot_id.eq(snapshot), seen_at.eq(now)),
            (is_first.eq(first.is_some()), run_id.eq(commit.run_id.to_string())),
            (items_added.eq(first.unwrap_or(added.len()) as i64), items_removed.eq(removed.len() as i64)),
        );
        diesel::insert_into(table).values(row).returning(id).get_result(c).await
    })?;
    let removed = removed.iter().map(|entry| (REMOVED, entry));
    let all = removed.chain(added.iter().map(|entry| (ADDED, entry)));
    let rows: Vec<PlaylistChangeRow<'_>> = all
        .zip(0..)
        .map(|((kind, entry), number)| PlaylistChangeRow {
            version_id,
            number,
            kind,
            position: entry.position,
            uri: entry.uri.as_deref().map(Words),
            name: entry.name.as_deref().map(Words),
            track_id: entry.track_id.as_deref().map(Words),
            added_at: entry.added_at.map(At::from),
        })
        .collect();
    upsert(conn, &rows).await?;
    Ok(())
}
