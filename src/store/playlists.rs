//! Writing the items of playlists.
//!
//! A reading that is whole replaces the rows in one transaction, unless so much is gone that a second look is required
//! ([`super::held_items`]). [`super::readings`] says where a reading stands until it is whole.

use super::by_sql::of_ids;
use super::catalogue::{Catalogue, Written};
use super::held_items::Verdict;
use super::keyed::Keyed;
use super::odd::{self, Listing};
use super::readings::{self, Books, Place, Reading};
use super::rows::{PlaylistItemReadRow, PlaylistItemRow};
use super::schema::{playlist_items, playlists};
use super::types::{At, len};
use super::upsert::upsert;
use super::versions::{ItemChanges, entry_of};
use super::{Conn, StoreError, gaps, held_items, versions, with_conn};
use crate::model::batch::PlaylistEnd;
use crate::model::version::{Entry, HiddenItems};
use crate::model::{
    Commit, EntityType, FailureKind, HealedGap, ItemCounts, LeftOpen, Oddity, PlaylistItem, PlaylistItemKind,
    PlaylistPart, ReadingOutcome, reads_again_at,
};
use diesel::sql_types::Bool;
use diesel::{ExpressionMethods, QueryDsl, QueryableByName};
use diesel_async::RunQueryDsl;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The outcome of the parts of a commit.
#[derive(Debug, Default)]
pub(super) struct WrittenItems {
    pub counts: ItemCounts,
    pub outcomes: Vec<ReadingOutcome>,
    /// Playlists whose rows are now those of a whole reading, or whose gaps were filled.
    ended: Vec<String>,
}

/// The parts of one playlist in a commit, and their outcome.
#[derive(Debug)]
struct Plan<'a> {
    playlist: &'a str,
    parts: Vec<&'a PlaylistPart>,
    books: Books,
    /// The new state of the account's reading.
    reading: Reading,
    place: Place,
    /// It has replaced known rows by others.
    is_changed: bool,
    /// Nothing but this one reading shows the changes that it has made.
    is_uncounted: bool,
}

/// Writes consecutive items of playlists, and how their walks ended.
pub(super) async fn write_items(
    conn: &mut Conn,
    commit: &Commit,
    parts: &[PlaylistPart],
    now: At,
) -> Result<WrittenItems, StoreError> {
    let mut written = WrittenItems::default();
    let mut plans = plan(conn, commit, parts).await?;
    for plan in &mut plans {
        plan.prepare(conn, commit, &mut written, now).await?;
    }
    let mut catalogue = Catalogue::new(now);
    let tracks = parts.iter().flat_map(|part| &part.items).filter_map(|item| item.track.as_ref());
    tracks.for_each(|track| catalogue.add_track(track));
    let catalogue = catalogue.write(conn).await?;
    let among: Vec<PlaylistItemRow<'_>> = plans.iter().filter(|plan| plan.is_among()).flat_map(Plan::rows).collect();
    let stored = PlaylistItemRow::upsert(conn, &among).await?;
    count(&among, &stored, &catalogue, &mut written.counts);
    written.counts.processed = len(commit.rows.len());
    let apart = plans.iter().filter(|plan| plan.is_apart()).flat_map(Plan::rows);
    let apart: Vec<PlaylistItemReadRow<'_>> =
        apart.map(|row| PlaylistItemReadRow::new(commit.account_id, &row)).collect();
    upsert(conn, &apart).await?;
    for plan in &mut plans {
        plan.conclude(conn, commit, &mut written, now).await?;
    }
    save(conn, commit, &plans).await?;
    Ok(written)
}

/// In the order of their ids, as the items are written.
async fn plan<'a>(conn: &mut Conn, commit: &Commit, parts: &'a [PlaylistPart]) -> Result<Vec<Plan<'a>>, StoreError> {
    let mut of_playlist: BTreeMap<&str, Vec<&PlaylistPart>> = BTreeMap::new();
    for part in parts {
        of_playlist.entry(&part.playlist_id).or_default().push(part);
    }
    let ids: BTreeSet<&str> = of_playlist.keys().copied().collect();
    let mut books = readings::load(conn, commit.account_id, &ids).await?;
    let mut plans = Vec::with_capacity(books.len());
    for (playlist, parts) in of_playlist {
        // Nothing is kept of a playlist that was purged meanwhile.
        let Some(books) = books.remove(playlist) else { continue };
        let mut place = books.place(&parts, false);
        if place == (Place::AmongRows { begins: true }) && readings::is_taken(conn, commit.account_id, playlist).await?
        {
            place = books.place(&parts, true);
        }
        let mut reading = books.reading.clone();
        if parts[0].offset == 0 {
            reading.end_walk();
        }
        plans.push(Plan { playlist, parts, books, reading, place, is_changed: false, is_uncounted: false });
    }
    Ok(plans)
}

impl Plan<'_> {
    /// Whether the rows are written directly among the known ones.
    fn is_among(&self) -> bool {
        matches!(self.place, Place::Whole | Place::AmongRows { .. } | Place::Gap)
    }

    fn is_apart(&self) -> bool {
        matches!(self.place, Place::Apart { .. })
    }

    fn rows(&self) -> Vec<PlaylistItemRow<'_>> {
        let mut rows = Keyed::default();
        for part in &self.parts {
            for (item, at) in part.items.iter().zip(part.offset..) {
                rows.replace(i64::from(at), PlaylistItemRow::new(self.playlist, at, item));
            }
        }
        rows.into_rows()
    }

    fn end(&self) -> Option<&PlaylistEnd> {
        self.parts.last().and_then(|part| part.end.as_ref())
    }

    /// Rows that this reading found to be counted but not given.
    fn num_hidden(&self) -> u32 {
        self.reading.num_hidden() + self.parts.iter().map(|part| part.num_hidden).sum::<u32>()
    }

    /// The snapshot that a whole reading claims for the items.
    fn claimed(&self) -> Option<&str> {
        match self.end() {
            Some(PlaylistEnd::Complete { snapshot_id, .. }) => snapshot_id.as_deref(),
            Some(PlaylistEnd::Failed(_) | PlaylistEnd::GapFilled) | None => None,
        }
    }

    /// Whether the account's last reading ended that way.
    fn was(&self, kind: FailureKind) -> bool {
        self.books.reading.failure().is_some_and(|failure| failure.kind == kind)
    }

    /// Whether the known rows are those of the snapshot that a whole reading claims; `None` if it is unknown.
    fn is_same_snapshot(&self) -> Option<bool> {
        self.claimed().zip(self.books.snapshot_id.as_deref()).map(|(claimed, held)| claimed == held)
    }

    /// Makes room for the rows.
    async fn prepare(
        &mut self,
        conn: &mut Conn,
        commit: &Commit,
        written: &mut WrittenItems,
        now: At,
    ) -> Result<(), StoreError> {
        let is_first = self.books.num_held.is_none();
        match self.place {
            Place::Whole => {
                let after: Vec<Entry> = self.rows().iter().map(entry_of).collect();
                if self.may_replace(conn, commit, after, written, now).await? {
                    versions::begin(conn, self.playlist, self.books.is_walked, is_first, now).await?;
                }
            }
            Place::AmongRows { begins: true } => {
                if self.books.is_walked {
                    // A reading that did not reach its end, whoever began it.
                    delete_from(conn, self.playlist, 0, None).await?;
                }
                versions::begin(conn, self.playlist, self.books.is_walked, is_first, now).await?;
            }
            // What fills a gap is compared by itself, unless an earlier comparison is still waiting for it.
            Place::Gap if !self.rows().is_empty() => {
                versions::begin(conn, self.playlist, self.books.is_walked, false, now).await?;
            }
            Place::AmongRows { begins: false } | Place::Apart { .. } | Place::Gap | Place::Outrun | Place::Nowhere => {}
        }
        let continues = self.place == (Place::Apart { begins: false });
        if self.books.reading.is_apart() && !continues && self.place != Place::Gap {
            readings::forget_apart(conn, commit.account_id, self.playlist).await?;
        }
        Ok(())
    }

    /// Whether a whole reading may replace the rows. If not, nothing of it is written.
    async fn may_replace(
        &mut self,
        conn: &mut Conn,
        commit: &Commit,
        after: Vec<Entry>,
        written: &mut WrittenItems,
        now: At,
    ) -> Result<bool, StoreError> {
        if self.books.num_held.is_none() {
            return Ok(true);
        }
        let hidden = HiddenItems { before: self.books.num_hidden, now: self.num_hidden() };
        let snapshot_id = self.claimed().map(str::to_owned);
        let (failure, outcome) = match held_items::judge(conn, commit, self.playlist, after, hidden, now).await? {
            Verdict::Held(held) => (held.failure(snapshot_id), held.outcome(self.playlist)),
            // They may be older than the listed snapshot, and are doubted once.
            Verdict::Unchanged if self.is_same_snapshot() == Some(false) && !self.was(FailureKind::Unchanged) => {
                let outcome = ReadingOutcome::Unchanged { playlist_id: self.playlist.to_owned() };
                (held_items::unchanged(snapshot_id), outcome)
            }
            Verdict::Unchanged => return Ok(true),
            Verdict::Believed { contradicts: true, .. }
                if self.is_same_snapshot() == Some(true) && !self.was(FailureKind::Unsteady) =>
            {
                let outcome = ReadingOutcome::Contradictory { playlist_id: self.playlist.to_owned() };
                (held_items::contradictory(snapshot_id), outcome)
            }
            Verdict::Believed { is_uncounted, .. } => {
                (self.is_changed, self.is_uncounted) = (true, is_uncounted);
                return Ok(true);
            }
        };
        self.place = Place::Nowhere;
        self.reading.end_walk();
        self.reading.has_failed(&failure, now);
        written.outcomes.push(outcome);
        Ok(false)
    }

    /// Notes what the rows are now.
    async fn conclude(
        &mut self,
        conn: &mut Conn,
        commit: &Commit,
        written: &mut WrittenItems,
        now: At,
    ) -> Result<(), StoreError> {
        if self.is_apart() && matches!(self.end(), Some(PlaylistEnd::Complete { .. })) {
            self.take_over(conn, commit, written, now).await?;
        }
        let (place, end) = (self.place, self.end().cloned());
        match (place, end) {
            (_, Some(PlaylistEnd::Failed(failed))) => {
                self.reading.end_walk();
                self.reading.has_failed(&failed, now);
            }
            (Place::Nowhere, _) => {}
            (Place::Outrun, Some(PlaylistEnd::GapFilled)) => {}
            (Place::Outrun, _) => self.give_way(written, now),
            (Place::Whole | Place::AmongRows { .. } | Place::Apart { .. } | Place::Gap, end) => {
                for part in &self.parts {
                    written.counts.odd += record_odd(conn, commit, part, now).await?;
                }
                match end {
                    Some(PlaylistEnd::Complete { .. }) => self.finish(conn, commit, written, now).await?,
                    Some(PlaylistEnd::GapFilled) => written.ended.push(self.playlist.to_owned()),
                    Some(PlaylistEnd::Failed(_)) | None => {
                        let to = self.parts.last().map_or(0, |part| part.end_offset());
                        let num_hidden = self.parts.iter().map(|part| part.num_hidden).sum();
                        let is_in_place = matches!(place, Place::AmongRows { .. });
                        self.reading.walk_to(self.books.generation, to, num_hidden, is_in_place);
                    }
                }
            }
        }
        Ok(())
    }

    /// Another account has read the whole playlist meanwhile. If both read the same snapshot, its rows are there.
    fn give_way(&mut self, written: &mut WrittenItems, now: At) {
        self.reading.end_walk();
        let claimed = self.claimed().map(str::to_owned);
        if claimed.is_some() && claimed == self.books.snapshot_id {
            self.reading.has_read(claimed.as_deref(), now);
        } else {
            written.outcomes.push(ReadingOutcome::Outrun { playlist_id: self.playlist.to_owned() });
        }
    }

    /// Puts the rows that were kept apart in place, if it may.
    async fn take_over(
        &mut self,
        conn: &mut Conn,
        commit: &Commit,
        written: &mut WrittenItems,
        now: At,
    ) -> Result<(), StoreError> {
        let (account, is_first) = (commit.account_id, self.books.num_held.is_none());
        let after = versions::read_apart(conn, account, self.playlist).await?;
        if self.may_replace(conn, commit, after, written, now).await? {
            versions::begin(conn, self.playlist, self.books.is_walked, is_first, now).await?;
            readings::replace_by_apart(conn, account, self.playlist, &mut written.counts).await?;
            written.counts.odd += self.record_refused(conn, commit, now).await?;
        }
        readings::forget_apart(conn, account, self.playlist).await
    }

    /// Records the items of earlier commits that the database did not accept unchanged.
    async fn record_refused(&self, conn: &mut Conn, commit: &Commit, now: At) -> Result<u32, StoreError> {
        let refusals = conn.refusals();
        let from = self.parts.as_slice().first().map_or(0, |part| part.offset);
        let is_earlier = |at: &u32| *at < from;
        let places: BTreeSet<u32> = refusals.places_of(self.playlist).filter(is_earlier).collect();
        for place in &places {
            let Some(oddity) = refusals.about_place(self.playlist, *place) else { continue };
            let range = *place..place.saturating_add(1);
            odd::replace(conn, items_of(commit, self.playlist), range, &[(*place, &oddity)], now).await?;
        }
        Ok(len(places.len()))
    }

    /// The rows are those of a whole reading: what was stored beside them is dropped.
    async fn finish(
        &mut self,
        conn: &mut Conn,
        commit: &Commit,
        written: &mut WrittenItems,
        now: At,
    ) -> Result<(), StoreError> {
        let Some(PlaylistEnd::Complete { snapshot_id, total, failure, healed }) = self.end().cloned() else {
            return Ok(());
        };
        let (playlist, num_hidden) = (self.playlist, self.num_hidden());
        odd::forget_from(conn, items_of(commit, playlist), total).await?;
        for (offset_from, offset_to) in healed {
            let gap = HealedGap { playlist_id: Some(playlist.to_owned()), offset_from, offset_to };
            gaps::heal(conn, commit.account_id, commit.entity, &gap, now).await?;
        }
        gaps::heal_beyond(conn, playlist, total, now).await?;
        written.counts.removed += delete_from(conn, playlist, total, None).await?;
        if self.place == Place::Whole {
            for part in self.parts.iter().filter(|part| part.num_hidden > 0) {
                let (from, to) = (part.offset + len(part.items.len()), part.end_offset());
                written.counts.removed += delete_from(conn, playlist, from, Some(to)).await?;
            }
        }
        with_conn!(conn, |c| {
            use playlists::{
                id, items_checked_at, items_generation, items_held, items_hidden, items_readable, items_snapshot_id,
            };
            let read = (
                (items_readable.eq(true), items_snapshot_id.eq(snapshot_id.as_deref()), items_checked_at.eq(now)),
                (items_held.eq(i64::from(total.saturating_sub(num_hidden))), items_hidden.eq(i64::from(num_hidden))),
                items_generation.eq(self.books.generation + 1),
            );
            diesel::update(playlists::table.filter(id.eq(playlist))).set(read).execute(c).await
        })?;
        match failure {
            Some(failed) => {
                self.reading.end_walk();
                self.reading.has_failed(&failed, now);
            }
            None => {
                let planned = self.books.look_again_at();
                // What was doubted once, and is the same now, is so.
                let is_new = self.is_changed || !self.books.looks_again(snapshot_id.as_deref());
                if planned.is_some() {
                    readings::end_looks(conn, playlist).await?;
                }
                self.reading.has_read(snapshot_id.as_deref(), now);
                let doubtful = doubtful_rows(conn, playlist).await?;
                let left = LeftOpen {
                    num_hidden,
                    num_before: self.books.num_hidden,
                    has_empty: doubtful.iter().any(|row| row.is_empty),
                    is_doubtful: self.is_uncounted || is_new && !doubtful.is_empty(),
                };
                self.reading.look_again(reads_again_at(left, planned, now.into()));
            }
        }
        written.ended.push(playlist.to_owned());
        Ok(())
    }
}

/// A row that an answer may have spoilt.
#[derive(QueryableByName)]
struct Doubtful {
    /// There is nothing to identify an item by. Otherwise it is the same item twice in a row, as if in place of another.
    #[diesel(sql_type = Bool)]
    is_empty: bool,
}

/// The kinds of doubtful rows that there are.
async fn doubtful_rows(conn: &mut Conn, playlist: &str) -> Result<Vec<Doubtful>, StoreError> {
    of_ids(conn, &[playlist], |ids| {
        format!(
            "SELECT DISTINCT kind IN ('missing', 'unknown') AS is_empty FROM playlist_items AS item \
             WHERE playlist_id IN ({ids}) AND (kind IN ('missing', 'unknown') \
             OR EXISTS (SELECT 1 FROM playlist_items AS next WHERE next.playlist_id = item.playlist_id \
             AND next.position = item.position + 1 AND next.uri = item.uri AND next.added_at = item.added_at))"
        )
    })
    .await
}

async fn save(conn: &mut Conn, commit: &Commit, plans: &[Plan<'_>]) -> Result<(), StoreError> {
    let changed = plans.iter().filter(|plan| plan.reading != plan.books.reading);
    let changed: Vec<(&str, &Reading)> = changed.map(|plan| (plan.playlist, &plan.reading)).collect();
    readings::save(conn, commit.account_id, &changed).await?;
    let barred = plans.iter().filter(|plan| plan.books.reading.is_readable() && !plan.reading.is_readable());
    let barred: Vec<&str> = barred.map(|plan| plan.playlist).collect();
    readings::settle_readable(conn, &barred).await
}

/// Deletes items from a position on. Returns how many.
async fn delete_from(conn: &mut Conn, playlist: &str, from: u32, to: Option<u32>) -> Result<u32, StoreError> {
    let to = to.map_or(i64::MAX, i64::from);
    let deleted = with_conn!(conn, |c| {
        use playlist_items::{playlist_id, position, table};
        let range = table.filter(playlist_id.eq(playlist)).filter(position.ge(i64::from(from)));
        diesel::delete(range.filter(position.lt(to))).execute(c).await
    })?;
    Ok(len(deleted))
}

fn count(rows: &[PlaylistItemRow<'_>], stored: &[(String, i64, i64)], catalogue: &Written, counts: &mut ItemCounts) {
    let revs: HashMap<(&str, i64), i64> =
        stored.iter().map(|(playlist_id, position, rev)| ((playlist_id.as_str(), *position), *rev)).collect();
    for row in rows {
        let has_changed_track = row.track_id.is_some_and(|id| catalogue[EntityType::Tracks].contains(id.0));
        match revs.get(&(row.playlist_id.0, row.position)) {
            Some(1) => counts.new += 1,
            Some(_) => counts.updated += 1,
            None if has_changed_track => counts.updated += 1,
            None => counts.unchanged += 1,
        }
    }
}

/// Notes what was added to the playlists whose walks ended and what was removed from them. After the gaps are recorded:
/// items that could not be read are not gone.
pub(super) async fn record_versions(
    conn: &mut Conn,
    commit: &Commit,
    written: &WrittenItems,
    now: At,
) -> Result<Vec<ItemChanges>, StoreError> {
    let mut changes = Vec::new();
    for playlist in &written.ended {
        changes.extend(versions::conclude(conn, commit, playlist, now).await?);
    }
    Ok(changes)
}

/// Records odd items, and the places where the source gave nothing, whether or not the reason is known.
async fn record_odd(conn: &mut Conn, commit: &Commit, part: &PlaylistPart, now: At) -> Result<u32, StoreError> {
    let range = part.offset..part.end_offset();
    let missing = part.items.iter().zip(part.offset..).filter(|(item, _)| item.kind == PlaylistItemKind::Missing);
    let mut odd: BTreeMap<u32, &Oddity> = missing.map(|(_, at)| (at, &Oddity::Missing)).collect();
    odd.extend(part.odd.iter().filter(|(at, _)| range.contains(at)).map(|(at, oddity)| (*at, oddity)));
    let refusals = conn.refusals();
    let refused: Vec<(u32, Oddity)> = if refusals.is_empty() {
        Vec::new()
    } else {
        let about = |(item, at): (&PlaylistItem, u32)| {
            let of_track = || item.track.as_ref().and_then(|track| refusals.about_track(track));
            Some((at, refusals.about_place(&part.playlist_id, at).or_else(of_track)?))
        };
        part.items.iter().zip(part.offset..).filter_map(about).collect()
    };
    odd.extend(refused.iter().map(|(at, oddity)| (*at, oddity)));
    let odd: Vec<(u32, &Oddity)> = odd.into_iter().collect();
    odd::replace(conn, items_of(commit, &part.playlist_id), range, &odd, now).await?;
    Ok(len(odd.len()))
}

fn items_of<'a>(commit: &Commit, playlist_id: &'a str) -> Listing<'a> {
    Listing { account: commit.account_id, entity: commit.entity, playlist_id }
}
