//! The history of playlists: what was added to each and removed from it, between one reading and the next.
//!
//! The transaction that replaces the items with a whole reading compares the two. Readings that fail, or that are not
//! believed yet, change nothing. If a part could not be served the comparison waits: until then the items as they were
//! are kept (`playlist_items_before`), across crashes and other readings. Four rules:
//!
//! - The first reading of a playlist is a version with a count and nothing else: it is unknown when each item was
//!   added.
//! - Items are distinguished by URI and counted. One that only moved has not changed, and a playlist that was only
//!   renamed has no new version.
//! - A place that the API shows as empty keeps its earlier item, as long as it shows the same moment of addition: the
//!   item is unavailable for now (see [`recall`]). A place that the API could not serve may hold anything: the
//!   comparison waits until the gap is filled.
//! - Two walks of one run are one reading. The second is there because the playlist changed under the first, which may
//!   therefore have missed an item, or seen it twice: the version is what both together found.

mod recall;

use super::gaps::open_of;
use super::rows::{KnownItemRow, PlaylistChangeRow, PlaylistItemRow};
use super::schema::{
    playlist_changes, playlist_items, playlist_items_before, playlist_items_read, playlist_versions, playlist_walks,
    playlists, sync_gaps,
};
use super::types::{At, Words};
use super::upsert::upsert;
use super::{Conn, StoreError, with_conn};
use crate::model::{AccountId, Commit};
use diesel::dsl::{count_star, exists};
use diesel::{BoolExpressionMethods, ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;
use recall::recall;
use std::collections::HashMap;
use std::hash::Hash;

/// An item as a reading found it.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub(super) struct Entry {
    pub position: i64,
    pub uri: Option<String>,
    pub name: Option<String>,
    pub track_id: Option<String>,
    pub added_at: Option<At>,
}

/// What was added to a playlist and removed from it, for those who follow the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ItemChanges {
    pub playlist_id: String,
    pub added: Vec<Entry>,
    pub removed: Vec<Entry>,
}

/// What was added and removed, each in the order of its list.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    added: Vec<Entry>,
    removed: Vec<Entry>,
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

/// Compares the items with the kept ones, notes the difference and drops what was kept; not while something could not
/// be read. Returns what this walk alone has changed, if anything.
pub(super) async fn conclude(
    conn: &mut Conn,
    commit: &Commit,
    playlist: &str,
    now: At,
) -> Result<Option<ItemChanges>, StoreError> {
    let walk: Option<bool> = with_conn!(conn, |c| {
        use playlist_walks::{is_first, playlist_id, table};
        table.filter(playlist_id.eq(playlist)).select(is_first).first(c).await.optional()
    })?;
    let Some(mut is_first) = walk else { return Ok(None) };
    if has_gaps(conn, commit, playlist).await? {
        return Ok(None);
    }
    let mut said = Difference::default();
    if let Some(last) = last_version(conn, playlist).await?
        && last.run_id == commit.run_id.to_string()
    {
        is_first |= last.is_first;
        said = take_back(conn, last.id).await?;
    }
    let mut before = kept_items(conn, playlist).await?;
    let mut last = before.clone();
    rewind(&mut before, said);
    if is_first && before.is_empty() {
        let num_added = num_items(conn, playlist).await?;
        Version { is_first, num_added, num_removed: 0 }.insert(conn, commit, playlist, now).await?;
        forget_walk(conn, playlist).await?;
        return Ok(None);
    }
    let (kinds, mut after): (Vec<String>, Vec<Entry>) = items(conn, playlist).await?.into_iter().unzip();
    let recalled = recall(&mut after, &before, true);
    write_recalled(conn, playlist, &after, &kinds, &recalled).await?;
    let mut changes = None;
    if is_first {
        let num_added = after.iter().filter(|entry| entry.identity().is_some()).count() as i64;
        Version { is_first, num_added, num_removed: 0 }.insert(conn, commit, playlist, now).await?;
    } else {
        // An item that was there unseen, and can be seen now, was not added either.
        recall(&mut before, &after, false);
        recall(&mut last, &after, false);
        // The changes found by an earlier walk of this run have been reported already.
        let Difference { added, removed } = Difference::between(last, after.clone());
        let has_changed = !(added.is_empty() && removed.is_empty());
        changes = has_changed.then(|| ItemChanges { playlist_id: playlist.to_owned(), added, removed });
        Difference::between(before, after).record(conn, commit, playlist, now).await?;
    }
    forget_walk(conn, playlist).await?;
    Ok(changes)
}

/// Writes the recalled items into the places that they were recalled for.
async fn write_recalled(
    conn: &mut Conn,
    playlist: &str,
    entries: &[Entry],
    kinds: &[String],
    recalled: &[usize],
) -> Result<(), StoreError> {
    let row = |at: &usize| {
        let Entry { position, uri, name, track_id, added_at } = &entries[*at];
        KnownItemRow {
            playlist_id: Words(playlist),
            position: *position,
            uri: uri.as_deref().map(Words),
            kind: &kinds[*at],
            track_id: track_id.as_deref().map(Words),
            name: name.as_deref().map(Words),
            added_at: *added_at,
        }
    };
    let rows: Vec<KnownItemRow<'_>> = recalled.iter().map(row).collect();
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

/// Whether something of the playlist could not be read by the account that reads it.
async fn has_gaps(conn: &mut Conn, commit: &Commit, playlist: &str) -> Result<bool, StoreError> {
    Ok(with_conn!(conn, |c| {
        let open = open_of(commit.account_id).filter(sync_gaps::playlist_id.eq(playlist));
        diesel::select(exists(open)).get_result(c).await
    })?)
}

/// The items of a reading under way, empty places included.
pub(super) async fn read_apart(conn: &mut Conn, account: AccountId, playlist: &str) -> Result<Vec<Entry>, StoreError> {
    Ok(with_conn!(conn, |c| {
        use playlist_items_read::{account_id, added_at, name, playlist_id, position, table, track_id, uri};
        let items = table.filter(account_id.eq(account.0)).filter(playlist_id.eq(playlist)).order(position);
        items.select((position, uri, name, track_id, added_at)).load(c).await
    })?)
}

/// A reading compared with the present items.
pub(super) struct Comparison {
    pub num_held: usize,
    /// Items that it no longer contains.
    pub missing: Vec<Entry>,
    pub is_same: bool,
}

pub(super) async fn compare(conn: &mut Conn, playlist: &str, mut after: Vec<Entry>) -> Result<Comparison, StoreError> {
    let before: Vec<Entry> = items(conn, playlist).await?.into_iter().map(|(_, entry)| entry).collect();
    let num_held = before.iter().filter(|entry| entry.identity().is_some()).count();
    recall(&mut after, &before, true);
    let is_same = before == after;
    Ok(Comparison { num_held, missing: Difference::between(before, after).removed, is_same })
}

/// The items of the playlist, with their kinds; empty places included.
async fn items(conn: &mut Conn, playlist: &str) -> Result<Vec<(String, Entry)>, StoreError> {
    Ok(with_conn!(conn, |c| {
        use playlist_items::{added_at, kind, name, playlist_id, position, table, track_id, uri};
        let items = table.filter(playlist_id.eq(playlist)).order(position);
        items.select((kind, (position, uri, name, track_id, added_at))).load(c).await
    })?)
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
    Ok(with_conn!(conn, |c| {
        use playlist_items_before::{added_at, name, playlist_id, position, table, track_id, uri};
        let items = table.filter(playlist_id.eq(playlist)).order(position);
        items.select((position, uri, name, track_id, added_at)).load(c).await
    })?)
}

#[derive(Debug, Queryable)]
struct LastVersion {
    id: i64,
    is_first: bool,
    run_id: String,
}

async fn last_version(conn: &mut Conn, playlist: &str) -> Result<Option<LastVersion>, StoreError> {
    Ok(with_conn!(conn, |c| {
        use playlist_versions::{id, is_first, playlist_id, run_id, table};
        let latest = table.filter(playlist_id.eq(playlist)).order(id.desc());
        latest.select((id, is_first, run_id)).first(c).await.optional()
    })?)
}

/// Deletes a version and returns its changes.
async fn take_back(conn: &mut Conn, version: i64) -> Result<Difference, StoreError> {
    let rows: Vec<(String, Entry)> = with_conn!(conn, |c| {
        use playlist_changes::{added_at, kind, name, number, position, table, track_id, uri, version_id};
        let said = table.filter(version_id.eq(version)).order(number);
        said.select((kind, (position, uri, name, track_id, added_at))).load(c).await
    })?;
    with_conn!(conn, |c| {
        use playlist_changes::{table, version_id};
        diesel::delete(table.filter(version_id.eq(version))).execute(c).await
    })?;
    with_conn!(conn, |c| {
        use playlist_versions::{id, table};
        diesel::delete(table.filter(id.eq(version))).execute(c).await
    })?;
    let (added, removed): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(kind, _)| kind == ADDED);
    let entries = |rows: Vec<(String, Entry)>| rows.into_iter().map(|(_, entry)| entry).collect();
    Ok(Difference { added: entries(added), removed: entries(removed) })
}

/// Values of `playlist_changes.kind`.
pub(super) const ADDED: &str = "added";
pub(super) const REMOVED: &str = "removed";

/// A version as it is written.
#[derive(Debug)]
struct Version {
    is_first: bool,
    num_added: i64,
    num_removed: i64,
}

impl Version {
    async fn insert(&self, conn: &mut Conn, commit: &Commit, playlist: &str, now: At) -> Result<i64, StoreError> {
        let snapshot: Option<String> = with_conn!(conn, |c| {
            use playlists::{id, items_snapshot_id, table};
            table.filter(id.eq(playlist)).select(items_snapshot_id).first(c).await
        })?;
        Ok(with_conn!(conn, |c| {
            use playlist_versions::*;
            let row = (
                (playlist_id.eq(playlist), snapshot_id.eq(snapshot), seen_at.eq(now)),
                (is_first.eq(self.is_first), run_id.eq(commit.run_id.to_string())),
                (items_added.eq(self.num_added), items_removed.eq(self.num_removed)),
            );
            diesel::insert_into(table).values(row).returning(id).get_result(c).await
        })?)
    }
}

impl Entry {
    /// The row as it would be read back.
    pub fn of_row(row: &PlaylistItemRow<'_>) -> Entry {
        let PlaylistItemRow { position, uri, name, track_id, added_at, .. } = *row;
        let text = |words: Option<Words<'_>>| words.map(String::from);
        Entry { position, uri: text(uri), name: text(name), track_id: text(track_id), added_at }
    }

    /// `None` for a place of which nothing is known. A track without its URI is still the same track.
    pub fn identity(&self) -> Option<String> {
        let of_id = |id: &String| if id.contains(':') { id.clone() } else { format!("spotify:track:{id}") };
        self.uri.clone().or_else(|| self.track_id.as_ref().map(of_id))
    }
}

impl Difference {
    /// An item counts as often as it occurs in a list. Among equal ones, those added at the same moment are the same.
    fn between(before: Vec<Entry>, after: Vec<Entry>) -> Difference {
        let known = |mut entries: Vec<Entry>| {
            entries.retain(|entry| entry.identity().is_some());
            entries
        };
        let (mut removed, mut added) = (known(before), known(after));
        cancel_same(&mut removed, &mut added);
        Difference { added, removed }
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    /// Writes a version, unless nothing was added or removed.
    async fn record(&self, conn: &mut Conn, commit: &Commit, playlist: &str, now: At) -> Result<(), StoreError> {
        if self.is_empty() {
            return Ok(());
        }
        let [num_added, num_removed] = [&self.added, &self.removed].map(|entries| entries.len() as i64);
        let version = Version { is_first: false, num_added, num_removed };
        let version_id = version.insert(conn, commit, playlist, now).await?;
        let removed = self.removed.iter().map(|entry| (REMOVED, entry));
        let all = removed.chain(self.added.iter().map(|entry| (ADDED, entry)));
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
                added_at: entry.added_at,
            })
            .collect();
        upsert(conn, &rows).await?;
        Ok(())
    }
}

/// Turns a list into the one before that difference.
fn rewind(entries: &mut Vec<Entry>, said: Difference) {
    let Difference { mut added, removed } = said;
    cancel_same(entries, &mut added);
    entries.extend(removed);
}

fn cancel_same(ones: &mut Vec<Entry>, others: &mut Vec<Entry>) {
    cancel(ones, others, |entry| (entry.identity(), entry.added_at));
    cancel(ones, others, Entry::identity);
}

/// Removes from both lists what they have in common by `key`, as often as they have it in common.
fn cancel<K: Hash + Eq>(ones: &mut Vec<Entry>, others: &mut Vec<Entry>, key: impl Fn(&Entry) -> K) {
    let mut unmatched: HashMap<K, usize> = HashMap::new();
    for entry in ones.iter() {
        *unmatched.entry(key(entry)).or_default() += 1;
    }
    let mut matched: HashMap<K, usize> = HashMap::new();
    others.retain(|entry| {
        let key = key(entry);
        let is_matched = take_one(&mut unmatched, &key);
        if is_matched {
            *matched.entry(key).or_default() += 1;
        }
        !is_matched
    });
    ones.retain(|entry| !take_one(&mut matched, &key(entry)));
}

fn take_one<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) -> bool {
    match counts.get_mut(key) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn an_item_counts_as_often_as_it_stands_there() {
        let difference = Difference::between(list(&["a", "b", "a", "c"]), list(&["c", "a", "d", "c"]));
        assert_eq!(uris(&difference.added), ["d", "c"]);
        assert_eq!(uris(&difference.removed), ["b", "a"]);
        assert!(Difference::between(list(&["a", "b", "c"]), list(&["c", "a", "b"])).is_empty(), "only moved");
    }

    #[test]
    fn of_equal_items_the_one_that_was_added_at_another_moment_went() {
        let first = Entry { added_at: DateTime::from_timestamp(1, 0).map(At::from), ..entry(0, "a") };
        let second = Entry { added_at: DateTime::from_timestamp(2, 0).map(At::from), ..entry(1, "a") };
        let kept = Entry { position: 0, ..second.clone() };
        let difference = Difference::between(vec![first.clone(), second], vec![kept]);
        assert_eq!(difference, Difference { added: vec![], removed: vec![first] });
    }

    #[test]
    fn a_difference_can_be_taken_back() {
        let (before, torn, after) = (list(&["a", "b", "b", "c"]), list(&["a", "c", "d", "d"]), list(&["d", "b", "c"]));
        let mut rewound = torn.clone();
        rewind(&mut rewound, Difference::between(before.clone(), torn));
        let [rewound_uris, before_uris] = [&rewound, &before].map(|entries| {
            let mut uris = uris(entries);
            uris.sort_unstable();
            uris
        });
        assert_eq!(rewound_uris, before_uris);
        let both = Difference::between(rewound, after.clone());
        assert_eq!((uris(&both.added), uris(&both.removed)), (vec!["d"], vec!["a", "b"]));
        assert_eq!(Difference::between(before, after).added, both.added);
    }

    fn list(uris: &[&str]) -> Vec<Entry> {
        uris.iter().zip(0..).map(|(uri, at)| entry(at, uri)).collect()
    }

    pub fn entry(position: i64, uri: &str) -> Entry {
        Entry { position, uri: Some(uri.into()), name: None, track_id: None, added_at: None }
    }

    fn uris(entries: &[Entry]) -> Vec<&str> {
        entries.iter().filter_map(|entry| entry.uri.as_deref()).collect()
    }
}
