//! What must always hold, checked as it happens. The oracle uses the true library with its history, the requests and
//! the commits; it knows nothing of the engine.

mod history;
mod items;
mod pace;

pub use items::Before;
pub use pace::Spending;

use super::{
    api::is_unavailable,
    database::{Books, PlaylistBook, Presence, Writer},
    library::{Contents, Item as TrueItem, Tick, id_of, number_of},
    process::{Keyed, NUM_KEYS},
    syncer::Run,
    world::{Event, Pid, World},
};
use chrono::{DateTime, TimeDelta, Utc};
use segno::{
    engine::{
        backoff::Patience,
        run::{BatchSizes, Draft, RunEnd, RunMode},
    },
    model::{
        Checkpoint, EntityType, FIRST_CURSOR, Family, Fault, Item, LimitClass, ListingOrder, Page, PageRequest,
        PerEntity, Phase, Rows, SharedChange, SharedLimits, Stage, SyncKey, batch::PlaylistEnd,
    },
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// Runs that may hold a removal back once the library stands still.
const HELD_MAX: u32 = 2;

#[derive(Default)]
pub struct Oracle {
    /// When the library stood still and the faults had stopped.
    pub calm_since: Option<Tick>,
    is_equal: [bool; NUM_KEYS],
    /// Whether a verifying pass looks for what a count cannot reveal.
    is_walked: [bool; NUM_KEYS],
    num_held: [u32; NUM_KEYS],
    /// When a listing, or what is shown of it, last changed.
    pub changed_at: PerEntity<Tick>,
    /// The last commit, by entity type, and when its run began.
    last: [Option<(Checkpoint, Tick)>; NUM_KEYS],
    /// Where a resumed run has to continue, and in which process.
    place: [Option<(Pid, Checkpoint)>; NUM_KEYS],
    num_at_once: u32,
    runs_begun: [VecDeque<Duration>; NUM_KEYS],
    /// When a syncer began, and in which process.
    begun: [VecDeque<(u32, Duration)>; NUM_KEYS],
    /// When the requests of the last window were sent, and by which process.
    sent: VecDeque<(Duration, u32)>,
    /// Notes from before the calendar was last set forward: a later process takes them for older than they are.
    pub misjudged_before: Duration,
    /// When the machine last slept, or the calendar was set.
    pub disturbed_at: Option<Duration>,
}

impl Oracle {
    pub fn is_over(&self, keys: &[SyncKey]) -> bool {
        keys.iter().all(|key| self.is_equal[key.place()])
    }

    pub fn wants_verify(&self, key: SyncKey) -> bool {
        self.is_walked[key.place()]
    }

    pub fn note_time(&mut self) {
        self.num_at_once = 0;
    }
}

/// G1 and G3: what is committed.
impl World {
    /// Where a run that begins now has to continue, if the one before it was interrupted.
    pub fn note_place(&mut self, pid: Pid, key: SyncKey) {
        // A walk that led nowhere is over: there is nothing to continue from.
        let is_place = |place: &&Checkpoint| {
            matches!(place.walk.place.stage, Stage::Head | Stage::Walk) && !place.walk.found.is_broken
        };
        let place = self.database.of(key).interrupted().filter(is_place).cloned();
        self.oracle.place[key.place()] = place.map(|place| (pid, place));
    }

    /// G1: a process that resumes a run requests what was not committed, and nothing else.
    pub fn check_asked(&mut self, pid: Pid, key: SyncKey, request: &PageRequest) {
        // Another node may have lost the account without knowing it yet.
        let Some((_, place)) = self.oracle.place[key.place()].take_if(|(of, _)| *of == pid) else { return };
        let goes_on = match request {
            PageRequest::Listing { offset, .. } => (place.offset.saturating_sub(1)..=place.offset).contains(offset),
            PageRequest::Following { after, .. } => {
                after.as_deref().filter(|after| *after != FIRST_CURSOR) == place.cursor.as_deref()
            }
            PageRequest::PlaylistItems { .. } => false,
        };
        if !goes_on {
            let (offset, cursor) = (place.offset, place.cursor);
            self.violated(
                "G1",
                format!("{key} was committed up to {offset} ({cursor:?}), and goes on with {request:?}"),
            );
        }
    }

    /// G1: a checkpoint reaches as far as the rows that come with it.
    pub fn check_draft(&mut self, writer: Writer, draft: &Draft) {
        let Draft { rows: Rows::Listing(slots), offset_from, offset_to, effects, checkpoint } = draft else { return };
        let key = writer.key;
        if !effects.healed_gaps.is_empty() || !matches!(checkpoint.walk.place.stage, Stage::Head | Stage::Walk) {
            return;
        }
        if slots.len() as u32 != offset_to - offset_from {
            self.violated("G8", format!("{key} {offset_from}..{offset_to} came with {} rows", slots.len()));
        }
        let last = self.oracle.last[key.place()].take();
        let same_pass = |(last, _): &&(Checkpoint, Tick)| {
            (last.phase, last.walk.place.pass, last.walk.place.stage)
                == (checkpoint.phase, checkpoint.walk.place.pass, checkpoint.walk.place.stage)
                && !last.is_complete
        };
        let before = last.as_ref().filter(same_pass).filter(|(last, _)| !last.walk.place.unlinked);
        let stood = before.map_or(0, |(last, _)| last.offset);
        let has_changed = before.is_some_and(|(_, at)| self.oracle.changed_at[key.entity] >= *at);
        // Rows that are counted but not given bring none; and items added before the place look like them.
        let is_withheld = |item: &&TrueItem| {
            item.is_withheld || item.withheld_at.max(item.hidden_at).max(item.gone_at) >= writer.since
        };
        let listing = self.library.of(key.entity);
        let num_withheld = listing.items.iter().filter(is_withheld).count() as u32;
        // So do surplus rows of a total, if the same page comes again.
        let num_lied = checkpoint.total.unwrap_or_default().saturating_sub(listing.order.len() as u32);
        let is_torn = checkpoint.offset > (*offset_to).max(stood) + num_withheld + num_lied
            && !checkpoint.walk.place.unlinked
            && !checkpoint.walk.found.unsteady;
        // A walk that reads past missing rows is unsteady.
        let skips = before.is_some()
            && !has_changed
            && !checkpoint.walk.found.unsteady
            && *offset_from > stood + num_withheld
            && !slots.is_empty();
        if is_torn || skips {
            let offset = checkpoint.offset;
            self.violated(
                "G1",
                format!(
                    "{key}: the checkpoint says {offset} after {stood}, and the rows are {offset_from}..{offset_to}"
                ),
            );
        }
        self.oracle.last[key.place()] = Some((checkpoint.clone(), writer.since));
    }

    pub fn check_committed(&mut self, writer: Writer, draft: &Draft, removed: &[u32], before: Before) {
        let key = writer.key;
        let since = match draft.effects.removal {
            // What an earlier process saw in the same pass counts.
            Some(_) => writer.since.min(self.database.of(key).pass_since),
            None => writer.since,
        };
        // An answer that claims to be empty is believed about items that an earlier run has missed, rightly or not.
        let listing = self.library.of(key.entity);
        let is_emptied = listing.emptied_at.iter().any(|at| *at >= writer.since);
        let was_missed_before = listing.emptied_at.iter().any(|at| *at < writer.since)
            || before.has_held && removed.iter().all(|number| listing.was_gone_since(*number, 0));
        if is_emptied && was_missed_before {
            return;
        }
        // G11: items whose removal empties a listing were missed before.
        if !removed.is_empty() && self.database.of(key).num_active == 0 && !before.has_held {
            self.violated("G11", format!("{key}: all that was left is marked removed by one look"));
        }
        let (listing, books) = (self.library.of(key.entity), self.database.of(key));
        let has_silent = listing.order.iter().any(|number| listing.item(*number).silent.is_some());
        let is_wronged = |number: &&u32| {
            // A row with nothing but its date is identified by that date, which may have changed since it was last
            // read.
            let item = listing.item(**number);
            let is_disguised = match item.silent_since(since) {
                Some(true) => item.added_at != books.row(**number).added_at,
                // An unreadable row may be any item. Two runs that miss the same are believed.
                Some(false) => before.has_held,
                // One that is counted but not given, while such a row stands for it.
                None => before.has_held && item.is_withheld && has_silent,
            };
            !listing.was_gone_since(**number, since) && !is_disguised
        };
        // One that was counted but not given has left, and another is not given now: which of the two is gone cannot be
        // known. The same holds for one that left while a row with nothing but its date stands for it.
        let is_silent = |number: &&u32| {
            let item = listing.item(**number);
            item.silent == Some(true) || item.is_null && number.is_multiple_of(2)
        };
        let silent: Vec<i64> =
            listing.order.iter().filter(is_silent).map(|number| listing.item(*number).added_at).collect();
        let stands_for = |number: u32| {
            let row = books.row(number);
            row.state == Presence::Active && silent.contains(&row.added_at)
        };
        let has_left = |(number, item): &(u32, &TrueItem)| !item.is_listed && (item.is_withheld || stands_for(*number));
        let mut num_left = (0..).zip(&listing.items).filter(has_left).count();
        let is_told_apart = |number: &&u32| {
            let is_other = listing.item(**number).is_withheld && num_left > 0;
            num_left -= usize::from(is_other);
            !is_other
        };
        if let Some(number) = removed.iter().filter(is_wronged).find(is_told_apart) {
            let id = id_of(*number);
            self.violated("G3", format!("{key}: {id} was marked removed and never gone"));
        }
        let is_read_by_one = match key.other_reader() {
            Some(other) => self.processes.iter().all(|process| process.syncers[other.place()].run.is_none()),
            None => true,
        };
        if matches!(draft.rows, Rows::Listing(_)) && is_read_by_one {
            self.library.of_mut(key.entity).note_read();
        }
        self.check_items(writer, before);
    }
}

/// G2 and G4: how runs end.
impl World {
    pub fn check_end(&mut self, key: SyncKey, run: &Run, end: &RunEnd) {
        let RunEnd::Complete { notes, .. } = end else {
            if matches!(end, RunEnd::Unsteady { .. }) && self.oracle.calm_since.is_some_and(|since| run.since <= since)
            {
                // It began before the calm; the next one finds the listing at rest.
                self.want(key);
            }
            return;
        };
        self.tally.note_cost(run.is_whole, run.num_requests.into(), run.least);
        let at = key.place();
        // Not every run of a service reads the followed artists.
        let has_looked = run.num_requests > 0;
        // Pages around a slot that cannot be served do not link up: items that move past it meanwhile go unnoticed.
        let has_gaps = self.database.of(key).gaps.iter().any(|gap| gap.playlist_id.is_none());
        let has_looked = has_looked && !(has_gaps && self.oracle.changed_at[key.entity] > run.since);
        if has_looked && !self.library.of(key.entity).emptied_at.iter().any(|at| *at >= run.since) {
            // Changes behind the cursor of a resumed walk that a count cannot reveal are found by the next walk.
            let is_taken_up = key.entity.is_by_cursor() && !run.is_whole;
            let since = if is_taken_up { run.since.min(self.database.of(key).pass_since) } else { run.since };
            // Lasting conditions are reported once.
            let told = self.database.of(key).told();
            let is_noted = notes.iter().chain(told).any(|note| tells_of_loss(note));
            self.check_held(key, since, is_noted);
            if key.entity.has_items() && !is_noted {
                self.check_read(key, since, notes);
            }
        }
        let Some(calm_since) = self.oracle.calm_since else { return };
        if run.asked_at < calm_since || !run.was_incremental || self.oracle.is_equal[at] {
            return;
        }
        let waits = |note: &String| note.contains("waits for confirmation") || note.contains("no longer returned");
        if notes.iter().any(waits) {
            // Held back; the next run that sees the same believes it.
            self.oracle.num_held[at] += 1;
            if self.oracle.num_held[at] > HELD_MAX {
                self.violated("G4", format!("{key}: a removal is held back for ever: {notes:?}"));
            }
            return self.want(key);
        }
        if notes.iter().any(|note| note.contains("is tried again after")) {
            // A playlist that failed before the calm; the run after its wait reads it.
            return;
        }
        if self.library.of(key.entity).is_veiled && !std::mem::replace(&mut self.oracle.is_walked[at], true) {
            // Where a count reveals nothing, a verifying pass does.
            self.tally.num_veiled += 1;
            return self.want(key);
        }
        self.check_equal(key);
        self.oracle.is_equal[at] = true;
    }

    /// A person orders a run.
    pub fn want(&mut self, key: impl Keyed) {
        let now = self.moment();
        let key = key.key();
        let Some(p) = (0..self.processes.len()).rfind(|p| self.works_for(*p, key.account)) else { return };
        let process = &mut self.processes[p];
        let pid = process.pid;
        // The end of a run is reported a moment later.
        process.runs.handle_wanted(key, now);
        self.after(Duration::from_millis(10), Event::RunsDue(pid));
    }

    /// G2: what was there all the time is in the database.
    fn check_held(&mut self, key: SyncKey, since: Tick, is_noted: bool) {
        let (listing, books) = (self.library.of(key.entity), self.database.of(key));
        let is_dated = key.entity.is_newest_first();
        let has_shrunk = listing.items.iter().any(|item| !item.is_listed);
        let is_missing = |number: &&u32| {
            let row = books.row(**number);
            let is_right =
                row.state == Presence::Active && (!is_dated || row.added_at == listing.item(**number).added_at);
            // A run that does not say so misses nothing that a page should have contained. A cursor that ends too
            // early, twice, in a listing that shrinks meanwhile, is the end.
            let may_be_withheld = is_noted || key.entity == EntityType::Artists && has_shrunk;
            let was_given = !may_be_withheld || listing.item(**number).withheld_at <= since;
            // Nothing that the run saw contradicts its last page; the next run does.
            let was_shown = was_given && listing.left_out != Some(**number);
            !is_right && was_shown && listing.was_there_since(**number, since)
        };
        // A place that could not be read is tried once in a run, and then left for the next.
        let gaps = books.gaps.iter().filter(|gap| gap.playlist_id.is_none());
        let num_unread: u32 = gaps.map(|gap| gap.offset_to - gap.offset_from).sum();
        // The reported number of rows counted but not given may be any of them.
        let num_told = num_unread + books.num_hidden();
        if let Some(number) = listing.order.iter().filter(is_missing).nth(num_told as usize).copied() {
            let (id, row) = (id_of(number), books.row(number));
            self.violated("G2", format!("{key}: {id} was there all the time, and the database says {row:?}"));
        }
    }

    /// G4: the database equals the library.
    fn check_equal(&mut self, key: SyncKey) {
        let (listing, books) = (self.library.of(key.entity), self.database.of(key));
        let is_dated = key.entity.is_newest_first();
        let nulls: Vec<i64> = listing
            .order
            .iter()
            .filter(|number| listing.item(**number).is_null && number.is_multiple_of(2) && is_dated)
            .map(|number| listing.item(*number).added_at)
            .collect();
        let differs = |number: &u32| {
            let (item, row) = (listing.item(*number), books.row(*number));
            !item.is_null && (row.state != Presence::Active || is_dated && row.added_at != item.added_at)
        };
        // A row with nothing but a date may be any item of that date; and an account that was first shown an empty
        // listing takes every unreadable row for one that may be what is missing.
        let has_nulls = listing.order.iter().any(|number| listing.item(*number).is_null);
        let is_beguiled = has_nulls && (self.scenario.ties > 0 || !listing.emptied_at.is_empty());
        // One date, and a row with nothing else: which item it is cannot be known.
        let is_stale = |(number, row): &(u32, super::database::Row)| {
            !listing.item(*number).is_listed && !nulls.contains(&row.added_at) && !is_beguiled
        };
        let differing: Vec<String> = listing.order.iter().filter(|number| differs(number)).map(|n| id_of(*n)).collect();
        let stale: Vec<String> = books.active().filter(is_stale).map(|(n, _)| id_of(n)).collect();
        if !differing.is_empty() || !stale.is_empty() {
            self.violated("G4", format!("{key}: missing or wrong {differing:?}, stale {stale:?}"));
        }
        // What one of two accounts could not read, it reads itself, and not the other.
        let other = key.other_reader().filter(|other| self.keys().contains(other));
        let is_last = other.is_none_or(|other| self.oracle.is_equal[other.place()]);
        if key.entity.has_items() && is_last {
            let differs = |number: &&u32| {
                let truth = &listing.item(**number).contents;
                let held = books.playlist(**number).map(|book| book.items.as_slice()).unwrap_or_default();
                // One that was never seen may be unavailable now.
                let is_same = |(held, item): (&Option<u32>, &u32)| match held {
                    Some(held) => held == item,
                    None => is_unavailable(*item, truth.past.len()),
                };
                held.len() != truth.items.len() || !held.iter().zip(&truth.items).all(is_same)
            };
            if let Some(number) = listing.order.iter().find(differs).copied() {
                let id = id_of(number);
                let truth = listing.item(number).contents.clone();
                let held = books.playlist(number).cloned();
                self.violated("G4", format!("playlist {id} is {truth:?}, and the database says {held:?}"));
            }
            self.check_histories(key);
        }
    }

    /// The fewest requests that could serve the purpose of a run.
    pub fn least_requests(&self, key: SyncKey, mode: &RunMode, batches: BatchSizes) -> u64 {
        let (listing, books) = (self.library.of(key.entity), self.database.of(key));
        let phase = mode.phase();
        let page = u64::from(batches.of(phase).min(50));
        let pages = |num: usize, page: u64| (num as u64).div_ceil(page);
        let len = listing.order.len();
        match key.entity.facts().order {
            ListingOrder::NewestFirst if phase == Phase::IncrementalSync => {
                let is_news = |number: &&u32| {
                    let (row, item) = (books.row(**number), listing.item(**number));
                    !item.is_null && (row.state != Presence::Active || row.added_at != item.added_at)
                };
                pages(listing.order.iter().take_while(is_news).count(), page).max(1)
            }
            ListingOrder::NewestFirst | ListingOrder::ById => pages(len, page).max(1),
            ListingOrder::Arranged => {
                let is_due = |number: &&u32| {
                    let contents = &listing.item(**number).contents;
                    let held = books.playlist(**number).and_then(|book| book.items_snapshot.as_deref());
                    held != Some(&*contents.shown.unwrap_or(contents.snapshot).to_string())
                };
                let of_items = |number: &u32| pages(listing.item(*number).contents.items.len(), 50).max(1);
                pages(len, page).max(1) + listing.order.iter().filter(is_due).map(of_items).sum::<u64>()
            }
        }
    }
}

/// Whether a note says that part of a listing may be missing, or may be gone.
fn tells_of_loss(note: &str) -> bool {
    [
        "counted by the API",
        "kept changing",
        "changed while being read",
        "in circles",
        "may have left out",
        "waits for confirmation",
        "cannot be found",
        "could not serve",
        "did not serve",
        "to the end with",
    ]
    .iter()
    .any(|words| note.contains(words))
}
