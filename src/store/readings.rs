//! What each account can see of a playlist and how its readings ended (`playlist_readings`), separate from the rows
//! themselves.
//!
//! The rows of a playlist are those of the newest whole reading, by any account. A reading that takes several commits
//! is kept apart (`playlist_items_read`) until it is whole, and then replaces the rows in one transaction: no crash
//! leaves half of one state and half of another, and two accounts that read at once do not interfere. If there are no
//! rows yet, the first account writes in place, so that a first sync writes every row once.
//!
//! `playlists.items_generation` counts the whole readings. A reading notes which one it follows, and is dropped if
//! another has become whole since.

use super::rows::{PlaylistItemRow, PlaylistReadingRow};
use super::schema::{playlist_items_read, playlist_readings, playlist_walks, playlists};
use super::types::{At, Words, len, to_u32};
use super::upsert::{Row as _, conflict, upsert};
use super::{Conn, StoreError, with_conn};
use crate::model::batch::PlaylistEnd;
use crate::model::{AccountId, FailedReading, FailureKind, ItemCounts, LastFailure, PlaylistItemKind, PlaylistPart};
use chrono::{DateTime, Utc};
use diesel::dsl::{exists, not};
use diesel::sql_types::{BigInt, Text};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, Queryable,
    QueryableByName, Selectable, SelectableHelper, sql_query,
};
use diesel_async::RunQueryDsl;
use std::collections::{BTreeMap, BTreeSet};

/// What an account knows of a playlist.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = playlist_readings)]
pub(super) struct Reading {
    items_readable: bool,
    snapshot_id: Option<String>,
    read_at: Option<At>,
    failure: Option<String>,
    reason: Option<String>,
    tries: i64,
    since: Option<At>,
    tried_snapshot_id: Option<String>,
    tried_total: Option<i64>,
    next_try_at: Option<At>,
    look_again_at: Option<At>,
    walk_generation: Option<i64>,
    walk_offset: Option<i64>,
    walk_hidden: i64,
    walk_in_place: bool,
}

/// A playlist as a commit finds it.
#[derive(Debug, Clone)]
pub(super) struct Books {
    pub snapshot_id: Option<String>,
    /// Rows of the newest whole reading; `None` if there was none.
    pub num_held: Option<u32>,
    pub num_hidden: u32,
    pub generation: i64,
    /// A comparison with earlier items is open, or a first reading under way.
    pub is_walked: bool,
    pub reading: Reading,
    /// What the readings of any account have left open.
    looks: Vec<Look>,
}

/// A reading after which the items are read once more.
#[derive(Debug, Clone)]
struct Look {
    at: DateTime<Utc>,
    /// What was read.
    snapshot_id: Option<String>,
}

/// Where the items that were read are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In place: all of them are in this commit.
    Whole,
    /// Among the rows, since there were none.
    AmongRows { begins: bool },
    /// Apart from the rows, until the reading is whole.
    Apart { begins: bool },
    /// Into a gap of the newest reading.
    Gap,
    /// Nowhere: another reading has become whole since, or the preceding items are gone.
    Outrun,
    /// Nothing was read.
    Nowhere,
}

impl Default for Reading {
    fn default() -> Self {
        Reading {
            items_readable: true,
            snapshot_id: None,
            read_at: None,
            failure: None,
            reason: None,
            tries: 0,
            since: None,
            tried_snapshot_id: None,
            tried_total: None,
            next_try_at: None,
            look_again_at: None,
            walk_generation: None,
            walk_offset: None,
            walk_hidden: 0,
            walk_in_place: false,
        }
    }
}

impl Reading {
    pub fn is_readable(&self) -> bool {
        self.items_readable
    }

    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    pub fn failure(&self) -> Option<LastFailure> {
        Some(LastFailure {
            kind: FailureKind::of_word(self.failure.as_deref()?)?,
            num_tries: to_u32(self.tries),
            since: self.since.map(DateTime::<Utc>::from)?,
            snapshot_id: self.tried_snapshot_id.clone(),
            total: self.tried_total.map(to_u32),
            next_try_at: self.next_try_at.map(DateTime::<Utc>::from),
        })
    }

    /// How far a reading based on that whole one has come.
    pub fn num_read(&self, generation: i64) -> u32 {
        let offset = self.walk_offset.filter(|_| self.walk_generation == Some(generation));
        offset.map_or(0, to_u32)
    }

    /// Whether items of a reading under way are kept apart.
    pub fn is_apart(&self) -> bool {
        self.walk_generation.is_some() && !self.walk_in_place
    }

    /// Rows that the reading under way found to be counted but not given.
    pub fn num_hidden(&self) -> u32 {
        to_u32(self.walk_hidden)
    }

    /// Notes how far the reading has come, with the rows hidden on the way since the last note.
    pub fn walk_to(&mut self, generation: i64, offset: u32, num_hidden: u32, is_in_place: bool) {
        self.walk_generation = Some(generation);
        self.walk_offset = Some(offset.into());
        self.walk_hidden += i64::from(num_hidden);
        self.walk_in_place = is_in_place;
    }

    pub fn end_walk(&mut self) {
        (self.walk_generation, self.walk_offset, self.walk_hidden, self.walk_in_place) = (None, None, 0, false);
    }

    /// The rows are that snapshot, as this account has seen for itself.
    pub fn has_read(&mut self, snapshot_id: Option<&str>, now: At) {
        *self = Reading { snapshot_id: snapshot_id.map(str::to_owned), read_at: Some(now), ..Reading::default() };
    }

    /// When the items are read once more, whatever the listing says.
    pub fn look_again(&mut self, at: Option<DateTime<Utc>>) {
        self.look_again_at = at.map(At::from);
    }

    pub fn has_failed(&mut self, failed: &FailedReading, now: At) {
        let next = LastFailure::next(self.failure().as_ref(), failed, now.into());
        self.failure = Some(next.kind.as_str().to_owned());
        self.reason = Some(failed.reason.clone());
        self.tries = next.num_tries.into();
        self.since = Some(next.since.into());
        self.tried_snapshot_id = next.snapshot_id;
        self.tried_total = next.total.map(i64::from);
        self.next_try_at = next.next_try_at.map(At::from);
        self.items_readable &= !failed.is_unreadable;
    }

    fn row<'a>(&'a self, account: AccountId, playlist: &'a str) -> PlaylistReadingRow<'a> {
        PlaylistReadingRow {
            account_id: account.0,
            playlist_id: Words(playlist),
            items_readable: self.items_readable,
            snapshot_id: self.snapshot_id.as_deref().map(Words),
            read_at: self.read_at,
            failure: self.failure.as_deref(),
            reason: self.reason.as_deref().map(Words),
            tries: self.tries,
            since: self.since,
            tried_snapshot_id: self.tried_snapshot_id.as_deref().map(Words),
            tried_total: self.tried_total,
            next_try_at: self.next_try_at,
            look_again_at: self.look_again_at,
            walk_generation: self.walk_generation,
            walk_offset: self.walk_offset,
            walk_hidden: self.walk_hidden,
            walk_in_place: self.walk_in_place,
        }
    }
}

impl Books {
    /// When the items are read once more, whatever the listing says and whoever left something open.
    pub fn look_again_at(&self) -> Option<DateTime<Utc>> {
        self.looks.iter().map(|look| look.at).min()
    }

    /// Whether a reading of that snapshot is such a look.
    pub fn looks_again(&self, snapshot_id: Option<&str>) -> bool {
        self.looks.iter().any(|look| look.snapshot_id.as_deref() == snapshot_id)
    }

    /// Where consecutive parts of one playlist are written. `is_taken` says that another account writes in place.
    pub fn place(&self, parts: &[&PlaylistPart], is_taken: bool) -> Place {
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Place::Nowhere };
        let is_current = first.generation == self.generation;
        match &last.end {
            Some(PlaylistEnd::Failed(_)) => return Place::Nowhere,
            Some(PlaylistEnd::GapFilled) => return if is_current { Place::Gap } else { Place::Outrun },
            Some(PlaylistEnd::Complete { .. }) | None => {}
        }
        let follow = |pair: &[&PlaylistPart]| pair[0].end_offset() == pair[1].offset;
        if !is_current || !parts.windows(2).all(follow) {
            return Place::Outrun;
        }
        match first.offset {
            0 if last.end.is_some() => Place::Whole,
            0 if self.num_held.is_none() && !is_taken => Place::AmongRows { begins: true },
            0 => Place::Apart { begins: true },
            offset if self.reading.num_read(self.generation) != offset => Place::Outrun,
            _ if self.reading.walk_in_place => Place::AmongRows { begins: false },
            _ => Place::Apart { begins: false },
        }
    }
}

/// The playlists as the account finds them. On PostgreSQL their rows are locked, in the order of their ids: two
/// accounts that read the same playlists wait for each other. SQLite has one writer at a time.
pub(super) async fn load(
    conn: &mut Conn,
    account: AccountId,
    ids: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Books>, StoreError> {
    if let Conn::Pg(c) = conn {
        let theirs = playlists::table.filter(playlists::id.eq_any(ids)).order(playlists::id);
        theirs.select(playlists::id).for_update().load::<String>(&mut **c).await?;
    }
    type Row = ((String, Option<String>, Option<i64>, i64, i64), Option<String>, Option<Reading>);
    let rows: Vec<Row> = with_conn!(conn, |c| {
        use playlist_readings::{account_id, playlist_id};
        use playlists::{id, items_generation, items_held, items_hidden, items_snapshot_id, table};
        let walks = table.left_join(playlist_walks::table.on(playlist_walks::playlist_id.eq(id)));
        let of_account = playlist_id.eq(id).and(account_id.eq(account.0));
        let all = walks.left_join(playlist_readings::table.on(of_account)).filter(id.eq_any(ids));
        let columns = (
            (id, items_snapshot_id, items_held, items_hidden, items_generation),
            playlist_walks::playlist_id.nullable(),
            Option::<Reading>::as_select(),
        );
        all.select(columns).load(c).await
    })?;
    let found: Vec<(String, At, Option<String>)> = with_conn!(conn, |c| {
        use playlist_readings::{look_again_at, playlist_id, snapshot_id, table};
        let open = table.filter(playlist_id.eq_any(ids)).filter(look_again_at.is_not_null());
        open.select((playlist_id, look_again_at.assume_not_null(), snapshot_id)).load(c).await
    })?;
    let mut looks: BTreeMap<String, Vec<Look>> = BTreeMap::new();
    for (playlist, at, snapshot_id) in found {
        looks.entry(playlist).or_default().push(Look { at: at.into(), snapshot_id });
    }
    let books = |((id, snapshot_id, held, hidden, generation), walk, reading): Row| {
        let (num_held, num_hidden) = (held.map(to_u32), to_u32(hidden));
        let (is_walked, reading) = (walk.is_some(), reading.unwrap_or_default());
        let looks = looks.remove(&id).unwrap_or_default();
        (id, Books { snapshot_id, num_held, num_hidden, generation, is_walked, reading, looks })
    };
    Ok(rows.into_iter().map(books).collect())
}

/// A whole reading has looked at what any of them had left open.
pub(super) async fn end_looks(conn: &mut Conn, playlist: &str) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        use playlist_readings::{look_again_at, playlist_id, table};
        let open = table.filter(playlist_id.eq(playlist)).filter(look_again_at.is_not_null());
        diesel::update(open).set(look_again_at.eq(None::<At>)).execute(c).await
    })?;
    Ok(())
}

/// Writes the changed readings of the account.
pub(super) async fn save(conn: &mut Conn, account: AccountId, readings: &[(&str, &Reading)]) -> Result<(), StoreError> {
    let rows: Vec<PlaylistReadingRow<'_>> =
        readings.iter().map(|(playlist, reading)| reading.row(account, playlist)).collect();
    upsert(conn, &rows).await?;
    Ok(())
}

/// Whether another account has begun the very first reading of a playlist, among its rows.
pub(super) async fn is_taken(conn: &mut Conn, account: AccountId, playlist: &str) -> Result<bool, StoreError> {
    Ok(with_conn!(conn, |c| {
        use playlist_readings::{account_id, playlist_id, table, walk_in_place};
        let others = table.filter(playlist_id.eq(playlist)).filter(account_id.ne(account.0));
        diesel::select(exists(others.filter(walk_in_place))).get_result(c).await
    })?)
}

/// Drops what was kept apart.
pub(super) async fn forget_apart(conn: &mut Conn, account: AccountId, playlist: &str) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        use playlist_items_read::{account_id, playlist_id, table};
        diesel::delete(table.filter(account_id.eq(account.0)).filter(playlist_id.eq(playlist))).execute(c).await
    })?;
    Ok(())
}

/// Replaces the rows by what was kept apart, and counts the changes.
pub(super) async fn replace_by_apart(
    conn: &mut Conn,
    account: AccountId,
    playlist: &str,
    counts: &mut ItemCounts,
) -> Result<(), StoreError> {
    const APART: &str = "FROM playlist_items_read r WHERE r.playlist_id = $1 AND r.account_id = $2";
    let beside = format!(
        "DELETE FROM playlist_items WHERE playlist_id = $1 AND NOT EXISTS (SELECT 1 {APART} \
         AND r.position = playlist_items.position)"
    );
    let merge = format!(
        "INSERT INTO playlist_items AS t (playlist_id, position, uri, kind, track_id, name, added_at, added_by) \
         SELECT r.playlist_id, r.position, r.uri, r.kind, r.track_id, r.name, r.added_at, r.added_by {APART}{} \
         RETURNING rev",
        conflict(PlaylistItemRow::target())
    );
    let removed = with_conn!(conn, |c| {
        let beside = sql_query(beside).bind::<Text, _>(playlist).bind::<BigInt, _>(account.0);
        beside.execute(c).await
    })?;
    if conn.is_careful() {
        return merge_one_by_one(conn, account, playlist, len(removed), counts).await;
    }
    let written: Vec<Rev> = with_conn!(conn, |c| {
        let merge = sql_query(merge).bind::<Text, _>(playlist).bind::<BigInt, _>(account.0);
        merge.load(c).await
    })?;
    let num_new = written.iter().filter(|row| row.rev == 1).count();
    counts.removed += len(removed);
    counts.new += len(num_new);
    counts.updated += len(written.len() - num_new);
    Ok(())
}

/// The same row by row, to find out which of them the database refuses.
async fn merge_one_by_one(
    conn: &mut Conn,
    account: AccountId,
    playlist: &str,
    num_removed: u32,
    counts: &mut ItemCounts,
) -> Result<(), StoreError> {
    type Row = ((i64, Option<String>, String, Option<String>), (Option<String>, Option<At>, Option<String>));
    let apart: Vec<Row> = with_conn!(conn, |c| {
        use playlist_items_read::{
            account_id, added_at, added_by, kind, name, playlist_id, position, table, track_id, uri,
        };
        let theirs = table.filter(account_id.eq(account.0)).filter(playlist_id.eq(playlist)).order(position);
        theirs.select(((position, uri, kind, track_id), (name, added_at, added_by))).load(c).await
    })?;
    fn row<'a>(
        playlist: &'a str,
        ((position, uri, kind, track_id), (name, added_at, added_by)): &'a Row,
    ) -> PlaylistItemRow<'a> {
        let words = |text: &'a Option<String>| text.as_deref().map(Words);
        PlaylistItemRow {
            playlist_id: Words(playlist),
            position: *position,
            uri: words(uri),
            kind: PlaylistItemKind::of_word(kind).unwrap_or(PlaylistItemKind::Unknown).as_str(),
            track_id: words(track_id),
            name: words(name),
            added_at: *added_at,
            added_by: words(added_by),
        }
    }
    let rows: Vec<PlaylistItemRow<'_>> = apart.iter().map(|read| row(playlist, read)).collect();
    let written = PlaylistItemRow::upsert(conn, &rows).await?;
    let num_new = written.iter().filter(|(_, _, rev)| *rev == 1).count();
    counts.removed += num_removed;
    counts.new += len(num_new);
    counts.updated += len(written.len() - num_new);
    Ok(())
}

#[derive(QueryableByName)]
struct Rev {
    #[diesel(sql_type = BigInt)]
    rev: i64,
}

/// `playlists.items_readable` is for people: readable by at least one account. An account that has not tried does not
/// count.
pub(super) async fn settle_readable(conn: &mut Conn, playlists_: &[&str]) -> Result<(), StoreError> {
    if playlists_.is_empty() {
        return Ok(());
    }
    with_conn!(conn, |c| {
        use playlist_readings::{items_readable, playlist_id, table};
        let of_it = table.filter(playlist_id.eq(playlists::id));
        let any = exists(of_it.filter(items_readable)).or(not(exists(of_it)));
        let theirs = playlists::table.filter(playlists::id.eq_any(playlists_));
        diesel::update(theirs).set(playlists::items_readable.eq(any)).execute(c).await
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PlaylistItem;

    #[test]
    fn the_first_reading_is_written_in_place_and_later_ones_apart_unless_one_commit_has_it_all() {
        let whole = [part(0, 3, true)];
        for num_held in [None, Some(7)] {
            assert_eq!(books(num_held, None).place(&refs(&whole), false), Place::Whole);
        }
        let begun = [part(0, 3, false)];
        assert_eq!(books(None, None).place(&refs(&begun), false), Place::AmongRows { begins: true });
        assert_eq!(books(None, None).place(&refs(&begun), true), Place::Apart { begins: true });
        assert_eq!(books(Some(0), None).place(&refs(&begun), false), Place::Apart { begins: true });
    }

    #[test]
    fn a_part_continues_its_own_reading_or_goes_nowhere() {
        let next = [part(3, 2, true)];
        for is_in_place in [false, true] {
            let place = |walk| books(Some(9), walk).place(&refs(&next), false);
            let begins = false;
            let right = if is_in_place { Place::AmongRows { begins } } else { Place::Apart { begins } };
            assert_eq!(place(Some((4, 3, is_in_place))), right);
            assert_eq!(place(Some((4, 2, is_in_place))), Place::Outrun, "something between is missing");
            assert_eq!(place(Some((3, 3, is_in_place))), Place::Outrun, "begun before the newest whole reading");
            assert_eq!(place(None), Place::Outrun);
        }
    }

    #[test]
    fn what_follows_an_older_whole_reading_is_dropped() {
        let mut old = part(0, 3, true);
        old.generation = 3;
        assert_eq!(books(Some(9), None).place(&[&old], false), Place::Outrun);
        old.end = Some(PlaylistEnd::GapFilled);
        assert_eq!(books(Some(9), None).place(&[&old], false), Place::Outrun);
        old.generation = 4;
        assert_eq!(books(Some(9), None).place(&[&old], false), Place::Gap);
    }

    #[test]
    fn parts_follow_each_other_across_rows_that_were_counted_and_not_given() {
        let hiding = PlaylistPart { num_hidden: 1, ..part(0, 3, false) };
        let books = books(Some(9), None);
        assert_eq!(books.place(&[&hiding, &part(4, 2, true)], false), Place::Whole);
        assert_eq!(books.place(&[&hiding, &part(3, 2, true)], false), Place::Outrun);
    }

    fn books(num_held: Option<u32>, walk: Option<(i64, u32, bool)>) -> Books {
        let mut reading = Reading::default();
        if let Some((generation, offset, is_in_place)) = walk {
            reading.walk_to(generation, offset, 0, is_in_place);
        }
        let (snapshot_id, num_hidden, generation, is_walked) = (None, 0, 4, false);
        Books { snapshot_id, num_held, num_hidden, generation, is_walked, reading, looks: Vec::new() }
    }

    fn part(offset: u32, num_items: usize, ends: bool) -> PlaylistPart {
        PlaylistPart {
            playlist_id: "p".into(),
            generation: 4,
            offset,
            items: vec![PlaylistItem::MISSING; num_items],
            end: ends.then_some(PlaylistEnd::Complete {
                snapshot_id: None,
                total: 0,
                failure: None,
                healed: Vec::new(),
            }),
            ..PlaylistPart::default()
        }
    }

    fn refs(parts: &[PlaylistPart]) -> Vec<&PlaylistPart> {
        parts.iter().collect()
    }
}
