//! The model database: what was committed, and nothing else. Each function is one transaction of `src/store`, with the
//! same effect.

mod history;
mod nodes;
mod playlists;
mod shared;

pub use history::History;
pub use nodes::Tenures;
pub use playlists::item_number;

use super::{
    library::{Tick, number_of},
    process::{ACCOUNT, GUEST, Keyed, NUM_KEYS},
    scenario::DatabaseFault,
    world::World,
};
use chrono::{DateTime, Utc};
use playlists::Written;
use segno::{
    engine::run::{Draft, RunMode},
    model::{
        AccountId, AddedBetween, Checkpoint, CommitReport, Counts, Due, EntityType, FailedReading, FailureKind, Family,
        Fence, Gap, GateProcess, Gone, HeldBefore, Hold, Item, ItemCounts, KnownPlays, LastFailure, LearnedRate,
        LedgerEntry, LeftOpen, LimitClass, Member, Membership, NotedPause, Pause, Phase, Play, PlayGap, PlayKey,
        PlaybackNote, PlaybackRecord, PlaylistItem, PlaylistPart, PlaysCommit, PlaysPage, ProbeClaim, ReadingOutcome,
        ReadingState, RemovalGuard, Rows, SharedChange, SharedLimits, Slot, StalePlaylist, SyncKey, WalkState,
        batch::PlaylistEnd,
        reads_again_at,
        version::{Comparison, Entry, HiddenItems},
    },
};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The fence no longer holds, or another process has the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fenced;

#[derive(Debug, Default)]
pub struct Database {
    /// What two accounts share about a playlist is copied for each.
    pub books: [Books; NUM_KEYS],
    has_guest: bool,
    /// How many of the next writes of syncers, and looks, fail, and how.
    pub failing: (u32, Option<DatabaseFault>),
    /// The process that each account belongs to.
    claimed_by: BTreeMap<AccountId, Uuid>,
    pub tenures: Tenures,
    pauses: BTreeMap<Family, NotedPause>,
    probe: Option<ProbeClaim>,
    gates: BTreeMap<Uuid, GateProcess>,
    learned: Option<LearnedRate>,
    ledger: BTreeMap<(Family, DateTime<Utc>), (u32, u32)>,
    pub playback: PlaybackRecord,
    plays: BTreeSet<PlayKey>,
    /// Gaps in the history, and whether they are healed.
    play_gaps: Vec<(PlayGap, bool)>,
}

/// Everything stored about one entity type.
#[derive(Debug, Default)]
pub struct Books {
    /// Whether the playlists belong to the other account.
    is_guests: bool,
    initial: Option<Checkpoint>,
    incremental: Option<Checkpoint>,
    generation: i64,
    owner: Option<Uuid>,
    /// By number of the item.
    rows: Vec<Row>,
    pub num_active: u32,
    /// The pass that last saw an item, by number.
    seen: Vec<i64>,
    pub gaps: Vec<Gap>,
    playlists: Vec<PlaylistBook>,
    /// By number of the item: since when it is held, and whether the total still counts it.
    held: BTreeMap<u32, (DateTime<Utc>, bool)>,
    pub next_run_at: Option<DateTime<Utc>>,
    pub last_updated_at: Option<DateTime<Utc>>,
    pub failed_at: Option<DateTime<Utc>>,
    /// When the run began that started the pass whose sightings are stored.
    pub pass_since: Tick,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Row {
    pub state: Presence,
    pub added_at: i64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Presence {
    #[default]
    Unknown,
    Active,
    Removed,
}

#[derive(Debug, Clone, Default)]
pub struct PlaylistBook {
    position: u32,
    snapshot: Option<String>,
    pub total_items: Option<i32>,
    pub items_snapshot: Option<String>,
    pub num_held: Option<u32>,
    pub num_hidden: u32,
    /// Whole readings.
    pub generation: i64,
    /// That of the account.
    failure: Option<LastFailure>,
    look_again_at: Option<DateTime<Utc>>,
    is_unreadable: bool,
    walk: Option<ItemsWalk>,
    /// `None` if the source gave nothing.
    pub items: Vec<Option<u32>>,
    /// Items by position, with those of a reading under way kept apart.
    rows: BTreeMap<u32, Entry>,
    apart: BTreeMap<u32, Entry>,
    /// Items that are missing and not yet believed to be gone, with when they were first missed.
    missing: BTreeMap<String, (DateTime<Utc>, bool)>,
    pub history: History,
}

/// A reading under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ItemsWalk {
    generation: i64,
    offset: u32,
    num_hidden: u32,
    is_in_place: bool,
}

/// The author of a commit.
#[derive(Debug, Clone, Copy)]
pub struct Writer {
    pub key: SyncKey,
    pub fence: Fence,
    /// When the run began.
    pub since: Tick,
}

impl Database {
    pub fn new(has_guest: bool) -> Database {
        let playback = PlaybackRecord { authorized_at: Some(World::birth()), ..PlaybackRecord::default() };
        let mut database = Database { has_guest, playback, ..Database::default() };
        database.books[NUM_KEYS - 1].is_guests = has_guest;
        database
    }

    /// The fault of the next write, or the next look.
    pub fn take_fault(&mut self, is_write: bool) -> Option<DatabaseFault> {
        let (num, fault) = &mut self.failing;
        let fault = fault.filter(|fault| *num > 0 && (is_write || *fault != DatabaseFault::Full))?;
        *num -= 1;
        Some(fault)
    }

    pub fn of(&self, key: impl Keyed) -> &Books {
        &self.books[key.place()]
    }

    /// `accounts.owner`: the last process to claim has it, and all other fences are gone.
    pub fn claim(&mut self, owner: Uuid) {
        [ACCOUNT, GUEST].into_iter().for_each(|account| self.claim_of(account, owner));
    }

    fn claim_of(&mut self, account: AccountId, owner: Uuid) {
        self.claimed_by.insert(account, owner);
        for entity in EntityType::ALL.iter().copied().filter(|entity| account == ACCOUNT || entity.has_items()) {
            if account == ACCOUNT || account == GUEST {
                self.books[SyncKey { account, entity }.place()].owner = Some(owner);
            }
        }
    }

    /// Whether a process may write for an account, according to the account's row.
    pub fn is_of(&self, account: AccountId, owner: Uuid) -> bool {
        self.claimed_by.get(&account).is_none_or(|claimed_by| *claimed_by == owner)
    }

    pub fn begin_run(&mut self, key: SyncKey, phase: Phase, owner: Uuid) -> Result<Fence, Fenced> {
        if !self.is_of(key.account, owner) {
            return Err(Fenced);
        }
        let books = &mut self.books[key.place()];
        books.generation += 1;
        books.owner = Some(owner);
        books.enter(phase);
        Ok(Fence { generation: books.generation, owner })
    }

    pub fn switch_phase(&mut self, key: SyncKey, phase: Phase, fence: Fence) -> Result<Checkpoint, Fenced> {
        let books = &mut self.books[key.place()];
        if books.holds(fence) { Ok(books.enter(phase)) } else { Err(Fenced) }
    }

    pub fn reset(&mut self, key: impl Keyed) {
        let books = &mut self.books[key.place()];
        books.generation += 1;
        books.owner = None;
        books.incremental = None;
        books.initial = books.initial.is_some().then(|| Checkpoint::start(Phase::InitialSync));
        books.seen.clear();
        books.held.clear();
        books.gaps.clear();
        books.forget_item_snapshots();
        self.share(key.key(), &BTreeSet::new());
    }

    /// Playlists whose very first reading another account is writing in place.
    fn taken(&self, key: SyncKey) -> BTreeSet<u32> {
        let Some(other) = key.other_reader().filter(|_| self.has_guest) else { return BTreeSet::new() };
        let is_taken = |book: &PlaylistBook| book.walk.is_some_and(|walk| walk.is_in_place);
        let numbered = (0..).zip(&self.of(other).playlists);
        numbered.filter(|(_, book)| is_taken(book)).map(|(number, _)| number).collect()
    }

    /// Whatever an account has written about playlists is visible to another that lists them.
    fn share(&mut self, key: SyncKey, read: &BTreeSet<u32>) {
        let Some(other) = key.other_reader().filter(|_| self.has_guest) else { return };
        for number in 0..self.of(key).playlists.len() as u32 {
            let ours = &self.of(key).playlists[number as usize];
            let rows = read.contains(&number).then(|| (ours.items.clone(), ours.rows.clone(), ours.history.clone()));
            let (snapshot, items_snapshot) = (ours.snapshot.clone(), ours.items_snapshot.clone());
            let (total_items, num_held) = (ours.total_items, ours.num_held);
            let (num_hidden, generation) = (ours.num_hidden, ours.generation);
            let theirs = std::mem::take(self.books[other.place()].playlist_mut(number));
            let (items, rows, history) = rows.unwrap_or((theirs.items, theirs.rows, theirs.history));
            *self.books[other.place()].playlist_mut(number) = PlaylistBook {
                snapshot,
                total_items,
                items_snapshot,
                num_held,
                num_hidden,
                generation,
                items,
                rows,
                history,
                ..theirs
            };
        }
    }

    /// The commit of a batch. Returns which items it marked removed.
    pub fn commit(
        &mut self,
        writer: Writer,
        draft: &Draft,
        now: DateTime<Utc>,
    ) -> Result<(CommitReport, Vec<u32>), Fenced> {
        let key = writer.key;
        let taken = self.taken(key);
        let books = &mut self.books[key.place()];
        let is_begun = books.checkpoint(draft.checkpoint.phase).is_some();
        if !is_begun || !books.holds(writer.fence) {
            return Err(Fenced);
        }
        books.failed_at = None;
        *books.checkpoint(draft.checkpoint.phase) = Some(draft.checkpoint.clone());
        let mut ended: Vec<&str> = Vec::new();
        let mut report = CommitReport {
            counts: ItemCounts { processed: draft.rows.len() as u32, ..ItemCounts::default() },
            ..CommitReport::default()
        };
        match &draft.rows {
            Rows::Listing(slots) => report.memberships = books.write_listing(key.entity, slots, draft.offset_from),
            Rows::PlaylistItems(parts) => {
                let mut of_playlist: BTreeMap<&str, Vec<&PlaylistPart>> = BTreeMap::new();
                for part in parts {
                    of_playlist.entry(&part.playlist_id).or_default().push(part);
                }
                for (playlist_id, parts) in of_playlist {
                    match books.write_items(&parts, draft.effects.item_removals, &taken, now) {
                        Written::Part => {}
                        Written::Whole => ended.push(playlist_id),
                        Written::Nothing(outcome) => report.readings.extend(outcome),
                    }
                }
            }
        }
        if draft.effects.forget_item_snapshots {
            books.forget_item_snapshots();
        }
        books.record_seen(draft, writer.since);
        books.record_gaps(draft, now);
        for playlist_id in ended {
            books.conclude(playlist_id, (key.account, writer.fence.generation), now);
        }
        if draft.effects.release_held {
            books.held.clear();
        }
        let removed = books.remove(draft);
        if let Some(hold) = draft.effects.hold {
            books.hold(hold, now);
        }
        report.counts.removed = removed.len() as u32;
        if let Some(survey) = draft.effects.survey {
            report.num_active = Some(books.num_active);
            report.num_unseen = survey.pass.map(|pass| books.unseen(pass).count() as u32);
            report.held = survey.pass.map(|pass| books.held_before(pass, survey.ripe_at)).unwrap_or_default();
        }
        let read: BTreeSet<u32> = match &draft.rows {
            Rows::PlaylistItems(parts) => parts.iter().map(|part| number_of(&part.playlist_id)).collect(),
            Rows::Listing(_) => BTreeSet::new(),
        };
        self.share(key, &read);
        Ok((report, removed))
    }

    /// When the next run is planned, if the process may note it.
    pub fn plan(&mut self, key: SyncKey, at: Option<DateTime<Utc>>, now: DateTime<Utc>) {
        let books = &mut self.books[key.place()];
        (books.next_run_at, books.last_updated_at) = (at, Some(now));
    }

    /// The run ended short; only while the fence holds.
    pub fn end_run(&mut self, key: SyncKey, fence: Fence, has_failed: bool, now: DateTime<Utc>) -> Result<(), Fenced> {
        let books = &mut self.books[key.place()];
        if !books.holds(fence) {
            return Err(Fenced);
        }
        if has_failed {
            books.failed_at = Some(now);
        }
        Ok(())
    }
}

impl Books {
    fn checkpoint(&mut self, phase: Phase) -> &mut Option<Checkpoint> {
        match phase {
            Phase::InitialSync => &mut self.initial,
            Phase::IncrementalSync => &mut self.incremental,
        }
    }

    fn holds(&self, fence: Fence) -> bool {
        self.generation == fence.generation && self.owner == Some(fence.owner)
    }

    fn enter(&mut self, phase: Phase) -> Checkpoint {
        let checkpoint = self.checkpoint(phase).get_or_insert_with(|| Checkpoint::start(phase)).clone();
        if checkpoint.walk == WalkState::default() {
            self.seen.clear();
        }
        checkpoint
    }

    /// The starting point of a run, as stored.
    pub fn mode(&self) -> RunMode {
        let stored = |checkpoint: &Option<Checkpoint>| {
            checkpoint.clone().map(|mut checkpoint| {
                let text = serde_json::to_string(&checkpoint.walk).expect("plain data");
                checkpoint.walk = serde_json::from_str(&text).expect("what was written can be read");
                checkpoint
            })
        };
        RunMode::of(stored(&self.initial), stored(&self.incremental))
    }

    /// The place of the last run, if it did not reach its end.
    pub fn interrupted(&self) -> Option<&Checkpoint> {
        let phases = [self.initial.as_ref(), self.incremental.as_ref()];
        phases.into_iter().flatten().find(|checkpoint| !checkpoint.is_complete)
    }

    pub fn is_complete(&self) -> bool {
        self.initial.as_ref().is_some_and(|initial| initial.is_complete)
    }

    pub fn row(&self, number: u32) -> Row {
        self.rows.get(number as usize).copied().unwrap_or_default()
    }

    pub fn active(&self) -> impl Iterator<Item = (u32, Row)> {
        let numbered = (0..).zip(self.rows.iter().copied());
        numbered.filter(|(_, row)| row.state == Presence::Active)
    }

    /// It is another person's playlist, and could not be read: only failures of own playlists are reported.
    pub fn gave_up(&self, number: u32) -> bool {
        self.is_guests && self.playlist(number).is_some_and(|book| book.failure.is_some())
    }

    pub fn playlist(&self, number: u32) -> Option<&PlaylistBook> {
        self.playlists.get(number as usize)
    }

    fn unseen(&self, pass: i64) -> impl Iterator<Item = u32> {
        let seen = move |number: u32| self.seen.get(number as usize) == Some(&pass);
        self.active().map(|(number, _)| number).filter(move |number| !seen(*number))
    }

    fn write_listing(&mut self, entity: EntityType, slots: &[Slot], offset: u32) -> Vec<Membership> {
        // An item in several slots is one member, with one earlier state.
        let mut listed: Vec<(u32, i64)> =
            slots.iter().filter_map(|slot| Some((number_of(slot.id()?), date(slot)))).collect();
        listed.sort_unstable_by(|one, other| one.0.cmp(&other.0).then(other.1.cmp(&one.1)));
        listed.dedup_by_key(|(number, _)| *number);
        let memberships: Vec<Membership> =
            listed.iter().map(|(number, added_at)| self.upsert(entity, *number, *added_at)).collect();
        if entity == EntityType::Playlists {
            self.write_playlists(slots, offset);
        }
        let membership = |slot: &Slot| {
            let Some(id) = slot.id() else { return Membership::Unidentified };
            let at = listed.binary_search_by_key(&number_of(id), |(number, _)| *number).expect("it was listed");
            memberships[at]
        };
        slots.iter().map(membership).collect()
    }

    fn upsert(&mut self, entity: EntityType, number: u32, added_at: i64) -> Membership {
        let at = number as usize;
        if self.rows.len() <= at {
            self.rows.resize(at + 1, Row::default());
        }
        let is_dated = entity.is_newest_first();
        let row = &mut self.rows[at];
        let before = std::mem::replace(row, Row { state: Presence::Active, added_at });
        self.num_active += u32::from(before.state != Presence::Active);
        match before.state {
            Presence::Unknown => Membership::New,
            Presence::Removed => Membership::Returned,
            Presence::Active if is_dated && before.added_at != added_at => Membership::Returned,
            Presence::Active => Membership::Known,
        }
    }

    /// Whether an earlier run held removals back.
    pub fn has_held(&self) -> bool {
        let held =
            |checkpoint: &Option<Checkpoint>| checkpoint.as_ref().and_then(|last| last.walk.memory.held_removals);
        held(&self.initial).or(held(&self.incremental)).is_some()
    }

    fn record_seen(&mut self, draft: &Draft, since: Tick) {
        if draft.effects.reset_seen {
            self.pass_since = since;
            match draft.effects.record_seen {
                Some(pass) => self.seen.iter_mut().filter(|seen| **seen != pass).for_each(|seen| *seen = 0),
                None => self.seen.clear(),
            }
        }
        let (Some(pass), Rows::Listing(slots)) = (draft.effects.record_seen, &draft.rows) else { return };
        if self.seen.len() < self.rows.len() {
            self.seen.resize(self.rows.len(), 0);
        }
        for slot in slots {
            match slot.id() {
                Some(id) => self.seen[number_of(id) as usize] = pass,
                // A row that has lost its object still has its date.
                None if slot.added_at.is_some() => {
                    let added_at = date(slot);
                    let same = self
                        .rows
                        .iter()
                        .zip(&mut self.seen)
                        .filter(|(row, _)| row.state != Presence::Unknown && row.added_at == added_at);
                    same.for_each(|(_, seen)| *seen = pass);
                }
                None => {}
            }
        }
    }

    fn record_gaps(&mut self, draft: &Draft, now: DateTime<Utc>) {
        let (effects, pass) = (&draft.effects, draft.checkpoint.walk.place.pass);
        for healed in &effects.healed_gaps {
            self.gaps.retain(|gap| {
                gap.playlist_id != healed.playlist_id
                    || gap.offset_from < healed.offset_from
                    || gap.offset_to > healed.offset_to
            });
        }
        for range in &effects.new_gaps {
            let is_same = |gap: &&mut Gap| {
                gap.playlist_id == range.playlist_id
                    && (gap.offset_from, gap.offset_to) == (range.offset_from, range.offset_to)
            };
            let total = draft.checkpoint.total;
            match self.gaps.iter_mut().find(is_same) {
                Some(gap) => (gap.pass, gap.total) = (pass, total),
                None => self.gaps.push(Gap {
                    playlist_id: range.playlist_id.clone(),
                    offset_from: range.offset_from,
                    offset_to: range.offset_to,
                    pass,
                    total,
                    reason: range.reason.clone(),
                    since: now,
                }),
            }
        }
        if let Some(before) = effects.heal_all_gaps_before {
            self.gaps.retain(|gap| gap.playlist_id.is_some() || gap.pass >= before);
        }
    }

    fn remove(&mut self, draft: &Draft) -> Vec<u32> {
        let mut removed = Vec::new();
        if let Some(removal) = draft.effects.removal {
            let is_gone = |number: &u32| {
                let held = self.held.get(number);
                match removal.of {
                    Gone::All => true,
                    Gone::Uncounted => held.is_none_or(|(_, is_counted)| !is_counted),
                    Gone::Ripe { at } => held.is_some_and(|(since, is_counted)| *since <= at && !is_counted),
                    Gone::Confirmed => false,
                }
            };
            removed.extend(self.unseen(removal.pass).filter(is_gone));
        }
        removed.extend(draft.effects.removed_ids.iter().map(|id| number_of(id)));
        removed.retain(|number| self.row(*number).state == Presence::Active);
        for number in &removed {
            self.rows[*number as usize].state = Presence::Removed;
            self.held.remove(number);
        }
        self.num_active -= removed.len() as u32;
        removed
    }

    /// Like `store::held::hold`.
    fn hold(&mut self, hold: Hold, now: DateTime<Utc>) {
        let missing: BTreeSet<u32> = self.unseen(hold.pass).collect();
        self.held.retain(|number, _| missing.contains(number));
        for number in missing {
            let held = self.held.entry(number).or_insert((now, false));
            held.0 = held.0.min(now);
            match hold.counts {
                Counts::All => held.1 = true,
                Counts::AsBefore => {}
                Counts::Nothing if held.1 => *held = (now, false),
                Counts::Nothing => {}
            }
        }
    }

    fn held_before(&self, pass: i64, ripe_at: Option<DateTime<Utc>>) -> HeldBefore {
        let mut before = HeldBefore::default();
        for (since, is_counted) in self.unseen(pass).filter_map(|number| self.held.get(&number)) {
            before.num_counted += u32::from(*is_counted);
            before.num_ripe += u32::from(!is_counted && ripe_at.is_some_and(|at| *since <= at));
        }
        before
    }

    /// The members with their dates; none if the listing does not date its rows.
    pub fn members(&self, entity: EntityType, wanted: AddedBetween) -> Vec<Member> {
        if !entity.is_newest_first() {
            return Vec::new();
        }
        let member = |(number, row): (u32, Row)| Member {
            id: super::library::id_of(number),
            added_at: DateTime::from_timestamp(row.added_at, 0),
        };
        let is_wanted = |member: &Member| member.added_at.is_some_and(|at| wanted.includes(at));
        self.active().map(member).filter(is_wanted).collect()
    }

    /// Lasting conditions that an earlier run has reported.
    pub fn told(&self) -> &[String] {
        self.incremental.as_ref().or(self.initial.as_ref()).map_or(&[], |last| &last.walk.memory.told)
    }

    /// Rows that are known to be counted but not given, whether or not items that were known before may be among them.
    pub fn num_hidden(&self) -> u32 {
        let memory = self.incremental.as_ref().or(self.initial.as_ref()).map(|last| &last.walk.memory);
        memory.map_or(0, |memory| memory.num_hidden + memory.num_counted)
    }
}

fn date(slot: &Slot) -> i64 {
    slot.added_at.map_or(0, |at| at.timestamp())
}
