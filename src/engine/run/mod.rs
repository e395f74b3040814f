//! One run of one entity type, from the persisted checkpoint to its end.
//!
//! The shell asks [`EntityRun::poll`] what to do and reports what came of it. A run is a sequence of passes over the
//! listing: the initial walk, or the head of the listing and, where that does not explain the total, a whole walk. For
//! playlists the items follow. Each batch carries the checkpoint that a later run resumes from, wherever this one dies.
//!
//! ```text
//!   initial_sync:      Walk ---------------------------> done (steady) ; else on to incremental_sync
//!   incremental_sync:  gaps -> Head -> total explained? -> slices of the verifying pass, as far as they are due -> done
//!                               |-> Search: the pages that tell what is missing -> Head again -> done
//!                               \-> Walk (records what it sees) -> judge -> sweep -> done
//!   playlists:         Walk -> judge -> sweep -> Items -> Walk again if a long one was read -> done
//!   artists:           Walk by cursor -> judge -> sweep -> done
//! ```

mod activity;
mod assembly;
mod bisection;
mod budget;
mod cursor_walk;
mod ending;
mod flow;
mod follows;
mod head;
mod item_end;
mod item_gaps;
mod item_reading;
mod item_split;
mod items_walk;
mod locate;
mod notes;
mod offset_walk;
mod plan;
mod rhythm;
mod search;
#[cfg(test)]
mod simulation;
mod slice;
mod step;
mod verify;

pub use plan::{BatchSizes, RunMode, RunPlan};
pub use rhythm::{Purpose, Rhythm};
pub use step::{Draft, DraftEffects, GapRange, RunEnd, RunProgress, Step};

use super::{backoff::Patience, sweep::RemovalGuard};
use crate::model::{
    BatchSyncResult, Checkpoint, CommitReport, EntityType, Fault, Gap, Member, Page, PageRequest, Phase, Stage,
    StalePlaylist,
};
use activity::{Activity, ItemsSummary, Meaning};
use budget::Budget;
use chrono::{DateTime, Utc};
use flow::fresh_incremental;
use items_walk::{ItemsPlan, ItemsWalk};
use notes::Notes;
use search::Clues;
use slice::Reading;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};
use verify::Unconfirmed;

/// Most slots that one request may ask for.
pub const PAGE_LIMIT: u32 = 50;

/// Whole walks that one run may make before it leaves an unsteady listing to the next run.
const PASSES_MAX: u32 = 3;

/// Names a request in flight, so that its answer finds its place. Unique within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Ticket(u64);

impl Ticket {
    fn take(&mut self) -> Ticket {
        self.0 += 1;
        *self
    }
}

/// One run, as a state machine.
#[derive(Debug)]
pub struct EntityRun {
    entity: EntityType,
    batches: BatchSizes,
    purpose: Purpose,
    guard: RemovalGuard,
    /// When the run began.
    now: DateTime<Utc>,
    activity: Activity,
    /// The last checkpoint committed, or handed out to be.
    checkpoint: Checkpoint,
    ticket: Ticket,
    /// What the commit that is out means for the run.
    committing: Option<Meaning>,
    drafts: VecDeque<(Draft, Meaning)>,
    num_active: u32,
    /// Runs in a row before this one that ended unsteady.
    unsteady_runs_before: u32,
    /// This one will, as it stands.
    is_unsteady: bool,
    /// What it has asked for, and may.
    budget: Budget,
    /// The head has been looked at once more, as servers may not agree with each other.
    has_looked_again: bool,
    /// What earlier runs held back has come back, and is let go of with the end of the phase.
    releases: bool,
    /// Runs before this one that could not tell what is missing.
    vain_runs_before: u32,
    num_passes: u32,
    requests_before_pass: u32,
    /// How many items the last pass missed, and the total then.
    missing: Option<(u32, Option<u32>)>,
    /// The head has been read from offset 0 in this run.
    head_read: bool,
    clues: Clues,
    unconfirmed: Option<Unconfirmed>,
    /// Pages of the verifying pass that this run is still to read, once that is known.
    pages_to_verify: Option<u32>,
    /// A slice whose members are asked for.
    reading: Option<Reading>,
    /// The last incremental run is through, and its checkpoint says so.
    is_stored_complete: bool,
    gaps: VecDeque<Gap>,
    /// The next batch is the first of its pass: what earlier passes saw is forgotten with it.
    pass_begins: bool,
    /// An earlier process began what this run carries on, so the listing may have grown before its place.
    resumed: bool,
    /// The initial walk could not prove itself; the incremental phase follows at once.
    follow_up: bool,
    item_rounds: u32,
    /// Names of the playlists that were read in this run, by id.
    names: HashMap<String, String>,
    /// Playlists whose reading came to nothing in this run, as they were listed.
    tried: Vec<StalePlaylist>,
    /// Playlists that wait for the second look of a later run.
    doubtful_playlists: HashSet<String>,
    /// Readings that another account was faster with.
    num_outrun: u32,
    /// When the first playlist that failed is tried again.
    retry_in: Option<Duration>,
    /// Playlists failed, and nothing else was answered: the listing is read to learn whether anything is.
    is_in_doubt: bool,
    num_item_gaps: u32,
    items: Option<ItemsSummary>,
    notes: Notes,
    stopping: bool,
    ended: bool,
    last_result: BatchSyncResult,
}

impl EntityRun {
    pub fn new(plan: RunPlan) -> EntityRun {
        let RunPlan { entity, mode, num_active, open_gaps, batches, purpose, guard, now } = plan;
        let resumed = matches!(mode, RunMode::Resume { .. });
        let is_stored_complete = matches!(&mode, RunMode::Incremental { last } if last.phase == Phase::IncrementalSync);
        let checkpoint = match mode {
            RunMode::Initial => Checkpoint::start(Phase::InitialSync),
            RunMode::Incremental { last } => fresh_incremental(last),
            RunMode::Resume { from } => from,
        };
        let (unsteady_runs_before, vain_runs_before) =
            (checkpoint.walk.memory.num_unsteady_runs, checkpoint.walk.memory.num_vain_runs);
        EntityRun {
            entity,
            batches,
            purpose,
            guard,
            now,
            activity: Activity::Begin,
            checkpoint,
            ticket: Ticket::default(),
            committing: None,
            drafts: VecDeque::new(),
            num_active,
            unsteady_runs_before,
            is_unsteady: false,
            budget: Budget::default(),
            has_looked_again: false,
            releases: false,
            vain_runs_before,
            num_passes: 0,
            requests_before_pass: 0,
            missing: None,
            head_read: false,
            clues: Clues::default(),
            unconfirmed: None,
            pages_to_verify: None,
            reading: None,
            is_stored_complete,
            gaps: open_gaps.into(),
            pass_begins: false,
            resumed,
            follow_up: false,
            item_rounds: 0,
            names: HashMap::new(),
            tried: Vec::new(),
            doubtful_playlists: HashSet::new(),
            num_outrun: 0,
            retry_in: None,
            is_in_doubt: false,
            num_item_gaps: 0,
            items: None,
            notes: Notes::default(),
            stopping: false,
            ended: false,
            last_result: BatchSyncResult::default(),
        }
    }

    pub fn phase(&self) -> Phase {
        self.checkpoint.phase
    }

    /// Whether the pass under way is not the first over the listing in this run.
    pub fn is_reading_again(&self) -> bool {
        self.num_passes > 1 && self.checkpoint.walk.place.stage == Stage::Walk
    }

    /// The result of the last batch committed.
    pub fn last_result(&self) -> &BatchSyncResult {
        &self.last_result
    }

    pub fn progress(&self) -> RunProgress {
        let playlists = self.items.map(|items| (items.num_done, items.num_playlists));
        let (done, total) = match self.items {
            Some(items) => (items.items_done, Some(items.items_total.max(items.items_done))),
            None => (self.place(), self.checkpoint.total),
        };
        RunProgress { phase: self.checkpoint.phase, stage: self.checkpoint.walk.place.stage, done, total, playlists }
    }

    /// The slot that is read next.
    fn place(&self) -> u32 {
        let Checkpoint { offset, ref walk, .. } = self.checkpoint;
        let pass = walk
            .memory
            .verification
            .as_ref()
            .filter(|pass| walk.place.stage == Stage::Verify && pass.ended_at.is_none());
        pass.map_or(offset, |pass| pass.offset)
    }

    /// Asks the run to end: nothing new is asked for, what is whole is committed.
    pub fn handle_stop(&mut self) {
        self.stopping = true;
        match &mut self.activity {
            Activity::Walk(walk) => walk.handle_stop(),
            Activity::Cursor(walk) => walk.handle_stop(),
            Activity::Items(walk) => walk.handle_stop(),
            Activity::Gap { .. } | Activity::AwaitMembers { .. } | Activity::Search(_) | Activity::Slice(_) => {
                self.activity = Activity::Begin;
            }
            Activity::Begin
            | Activity::AwaitStale { .. }
            | Activity::AwaitSwitch { .. }
            | Activity::AwaitCommit
            | Activity::Over(_) => {}
        }
    }

    /// Hands out the next thing to do; `None` while the run waits for an answer. Call until `None`.
    pub fn poll(&mut self) -> Option<Step> {
        if self.ended {
            return None;
        }
        self.keep_to_budget();
        loop {
            if let Some(step) = self.poll_commit() {
                return Some(step);
            }
            if let Some(step) = self.poll_activity() {
                match &step {
                    Step::Fetch { patience, .. } => self.budget.count(*patience),
                    Step::End(_) => self.ended = true,
                    Step::Commit(_) | Step::SwitchPhase(_) | Step::ListStale | Step::ListMembers(_) => {}
                }
                return Some(step);
            }
            if self.drafts.is_empty() || self.committing.is_some() {
                return None;
            }
        }
    }

    /// Takes in the answer to a `Step::Fetch`.
    pub fn handle_page(&mut self, ticket: Ticket, answer: Result<Page, Fault>) {
        match &mut self.activity {
            Activity::Walk(walk) => walk.handle_page(ticket, answer),
            Activity::Cursor(walk) => walk.handle_page(ticket, answer),
            Activity::Items(walk) => walk.handle_page(ticket, answer),
            Activity::Search(search) => search.handle_page(ticket, answer),
            Activity::Slice(slice) => slice.handle_page(ticket, answer),
            Activity::Gap { assembly, .. } if assembly.awaits(ticket) => assembly.handle_answer(answer, false),
            Activity::Gap { .. }
            | Activity::Begin
            | Activity::AwaitMembers { .. }
            | Activity::AwaitStale { .. }
            | Activity::AwaitSwitch { .. }
            | Activity::AwaitCommit
            | Activity::Over(_) => {}
        }
    }

    /// Takes in the store's report on the `Step::Commit` that was out.
    pub fn handle_committed(&mut self, report: CommitReport) {
        let Some(meaning) = self.committing.take() else { return };
        if let Some(num_active) = report.num_active {
            self.num_active = num_active;
        }
        self.note_readings(&report);
        match meaning {
            Meaning::Batch | Meaning::Judged => {}
            Meaning::Head { ended } => self.go_on_from_head(&report, ended),
            Meaning::PassEnd => self.end_pass(&report),
            Meaning::Gap => self.end_gap(&report),
            Meaning::Mended { has_moved } => self.go_on_from_mended(has_moved),
            Meaning::PhaseEnd => self.end_phase(),
            Meaning::GivenUp => self.end_phase(),
        }
        let counts = report.counts;
        self.last_result = BatchSyncResult {
            items_processed: counts.processed,
            new_items_added: counts.new,
            items_updated: counts.updated,
            has_more: !self.checkpoint.is_complete,
            next_offset: self.checkpoint.offset,
            total_estimated: self.checkpoint.total,
            ..BatchSyncResult::default()
        };
    }

    /// Takes in the stored checkpoint of the phase that was switched to.
    pub fn handle_switched(&mut self, stored: Checkpoint) {
        let last = if stored.is_complete { stored } else { self.checkpoint.clone() };
        self.checkpoint = fresh_incremental(last);
        self.head_read = false;
        self.activity = Activity::Begin;
    }

    /// Takes in the members that were asked for, in any order.
    pub fn handle_members(&mut self, members: Vec<Member>) {
        if matches!(self.activity, Activity::AwaitMembers { .. }) {
            match self.reading.take() {
                Some(reading) => self.settle_reading(reading, &members),
                None => self.start_search(members),
            }
        }
    }

    /// Takes in the playlists whose items are out of date.
    pub fn handle_stale(&mut self, mut stale: Vec<StalePlaylist>) {
        for playlist in stale.extract_if(.., |playlist| playlist.next_try_at.is_some()) {
            if let Some(at) = playlist.next_try_at.filter(|_| !self.has_tried(&playlist)) {
                self.notes.tell(notes::waiting(&playlist.name, at));
                self.note_retry((at - self.now).to_std().ok());
            }
        }
        if self.stopping {
            self.activity = Activity::Over(RunEnd::Stopped);
            return;
        }
        self.item_rounds += 1;
        if self.item_rounds > 1 {
            // What could not be served a moment ago is left to the next run.
            stale.retain(|playlist| playlist.gaps.is_empty() && !self.has_tried(playlist));
            stale.retain(|playlist| !self.doubtful_playlists.contains(&playlist.id));
        }
        if stale.is_empty() && std::mem::take(&mut self.resumed) {
            return self.start_pass();
        }
        if stale.is_empty() || self.item_rounds > PASSES_MAX {
            if !stale.is_empty() {
                self.notes.tell(notes::restless_playlists(stale.len() as u32));
            }
            return self.finish_phase();
        }
        let mut tip = self.checkpoint.clone();
        tip.walk.place.stage = Stage::Items;
        let batch_size = self.batches.of(tip.phase).max(PAGE_LIMIT * 4);
        self.names.extend(stale.iter().map(|playlist| (playlist.id.clone(), playlist.name.clone())));
        let plan = ItemsPlan {
            batch_size,
            page_limit: PAGE_LIMIT,
            now: self.now,
            wait: self.guard.wait,
            is_alive: self.is_in_doubt,
        };
        let walk = ItemsWalk::new(tip, stale, plan);
        self.items = Some(ItemsSummary::of(&walk));
        self.activity = Activity::Items(walk);
    }

    /// Lets nothing new be asked for once the budget is spent. What is whole is committed, and then the run ends.
    fn keep_to_budget(&mut self) {
        let walk = &self.checkpoint;
        let num_listed = walk.total.unwrap_or(0).max(self.num_active).max(walk.offset);
        let items = self.items.map_or(0, |items| items.items_total.max(items.items_done));
        let num_playlists = self.items.map_or(0, |items| items.num_playlists);
        let page_size =
            PAGE_LIMIT.min(self.batches.of(walk.phase)).min(walk.walk.memory.page_cap.unwrap_or(PAGE_LIMIT));
        self.budget.allow(num_listed, page_size, items, num_playlists);
        if self.budget.is_spent()
            && !self.stopping
            && !matches!(self.activity, Activity::AwaitCommit | Activity::Over(_))
        {
            self.handle_stop();
        }
    }

    fn poll_commit(&mut self) -> Option<Step> {
        if self.committing.is_some() {
            return None;
        }
        let (draft, meaning) = self.drafts.pop_front()?;
        self.committing = Some(meaning);
        self.checkpoint = draft.checkpoint.clone();
        Some(Step::Commit(Box::new(draft)))
    }

    fn poll_activity(&mut self) -> Option<Step> {
        let idle = self.drafts.is_empty() && self.committing.is_none();
        match &mut self.activity {
            Activity::Begin if self.stopping && idle && self.budget.is_spent() => self.give_up(),
            Activity::Begin if self.stopping && idle => Some(Step::End(RunEnd::Stopped)),
            Activity::Begin if idle => {
                self.begin();
                self.poll_activity()
            }
            Activity::Begin | Activity::AwaitCommit => None,
            Activity::AwaitMembers { asked, wanted } => {
                if std::mem::replace(asked, true) {
                    None
                } else {
                    Some(Step::ListMembers(*wanted))
                }
            }
            Activity::Search(search) => {
                if let Some(step) = search.poll_fetch(&mut self.ticket) {
                    return Some(step);
                }
                if self.settle_search() { self.poll_activity() } else { None }
            }
            Activity::AwaitStale { asked } => {
                if !idle || std::mem::replace(asked, true) {
                    None
                } else {
                    Some(Step::ListStale)
                }
            }
            Activity::AwaitSwitch { asked } => {
                if std::mem::replace(asked, true) {
                    None
                } else {
                    Some(Step::SwitchPhase(Phase::IncrementalSync))
                }
            }
            Activity::Over(RunEnd::Stopped) if idle && self.budget.is_spent() => self.give_up(),
            Activity::Over(end) if idle => Some(Step::End(end.clone())),
            Activity::Over(_) => None,
            Activity::Gap { assembly, .. } => {
                if let Some((ticket, offset, limit, _)) = assembly.poll_piece(&mut self.ticket) {
                    let request = PageRequest::Listing { entity: self.entity, offset, limit };
                    return Some(Step::Fetch { ticket, request, patience: Patience::Piece });
                }
                if self.settle_gap() { self.poll_activity() } else { None }
            }
            Activity::Walk(_) | Activity::Cursor(_) | Activity::Items(_) | Activity::Slice(_) => {
                // Looking for the next page may tell that there is none to ask for.
                self.drain().or_else(|| self.poll_fetch()).or_else(|| self.drain())
            }
        }
    }
}
