//! One run of one entity type, from the persisted checkpoint to its end.
//!
//! The shell asks [`EntityRun::poll`] what to do and reports the result. A run is a sequence of passes over the
//! listing: the initial walk, or the head of the listing and, where that does not explain the total, a whole walk. For
//! playlists the items follow. Each batch carries the checkpoint that a later run resumes from, wherever this one dies.
//!
//! ```text
//! initial_sync:      Walk ---------------------------> done (steady) ; else on to incremental_sync incremental_sync:
//! gaps -> Head -> total explained? -> slices of the verifying pass, as far as they are due -> done
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
mod passes;
mod plan;
mod playlists;
mod polling;
mod repair;
mod search;
mod shown;
#[cfg(test)]
mod simulation;
mod slice;
mod step;
mod verify;
mod verify_schedule;

pub use plan::{BatchSizes, RunMode, RunPlan};
pub use step::{Draft, GapRange, RunEnd, RunProgress, Step};
pub use verify_schedule::{Purpose, VerifySchedule};

use super::{backoff::Patience, sweep::RemovalGuard};
use crate::model::{
    BatchSyncResult, Checkpoint, CommitReport, EntityType, Fault, Member, Page, PageRequest, Phase, Stage,
};
use activity::{Activity, Meaning, Next};
use budget::Budget;
use chrono::{DateTime, TimeDelta, Utc};
use flow::fresh_incremental;
use head::Head;
use notes::Notes;
use passes::Passes;
use playlists::Playlists;
use repair::Repair;
use std::collections::VecDeque;

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
    frame: RunFrame,
    activity: Activity,
    /// The last checkpoint committed, or handed out to be.
    checkpoint: Checkpoint,
    /// Rows of the account that are not marked removed.
    num_active: u32,
    /// How many those were when it began.
    num_before: u32,
    passes: Passes,
    head: Head,
    repair: Repair,
    playlists: Playlists,
    notes: Notes,
    /// The requests that it has made, and may make.
    budget: Budget,
    ticket: Ticket,
    /// What the outstanding commit means for the run.
    committing: Option<Meaning>,
    drafts: VecDeque<(Draft, Meaning)>,
    last_result: BatchSyncResult,
    /// The last incremental run is complete, and its checkpoint says so.
    is_stored_complete: bool,
    stopping: bool,
    ended: bool,
}

/// What stays as it is for the whole run.
#[derive(Debug)]
struct RunFrame {
    entity: EntityType,
    batches: BatchSizes,
    purpose: Purpose,
    guard: RemovalGuard,
    /// When the run began.
    now: DateTime<Utc>,
}

impl RunFrame {
    /// What has been held since then, or longer, has waited for long enough.
    fn ripe_at(&self) -> DateTime<Utc> {
        let wait = TimeDelta::from_std(self.guard.wait).unwrap_or(TimeDelta::MAX);
        self.now.checked_sub_signed(wait).unwrap_or(DateTime::<Utc>::MIN_UTC)
    }
}

impl EntityRun {
    pub fn new(plan: RunPlan) -> EntityRun {
        let RunPlan { entity, mode, num_active, open_gaps, batches, purpose, guard, now } = plan;
        let is_resumed = matches!(mode, RunMode::Resume { .. });
        let is_stored_complete = matches!(&mode, RunMode::Incremental { last } if last.phase == Phase::IncrementalSync);
        let checkpoint = match mode {
            RunMode::Initial => Checkpoint::start(Phase::InitialSync),
            RunMode::Incremental { last } => fresh_incremental(last),
            RunMode::Resume { from } => from,
        };
        EntityRun {
            frame: RunFrame { entity, batches, purpose, guard, now },
            activity: Activity::Begin,
            passes: Passes::new(&checkpoint, is_resumed),
            head: Head { gaps: open_gaps.into(), was_doubled: checkpoint.walk.found.has_double, ..Head::default() },
            repair: Repair::default(),
            playlists: Playlists::default(),
            checkpoint,
            num_active,
            num_before: num_active,
            notes: Notes::default(),
            budget: Budget::default(),
            ticket: Ticket::default(),
            committing: None,
            drafts: VecDeque::new(),
            last_result: BatchSyncResult::default(),
            is_stored_complete,
            stopping: false,
            ended: false,
        }
    }

    pub fn phase(&self) -> Phase {
        self.checkpoint.phase
    }

    /// Whether the pass under way is not the first over the listing in this run.
    pub fn is_reading_again(&self) -> bool {
        self.passes.is_again() && self.checkpoint.walk.place.stage == Stage::Walk
    }

    /// The result of the last batch committed.
    pub fn last_result(&self) -> &BatchSyncResult {
        &self.last_result
    }

    pub fn progress(&self) -> RunProgress {
        let summary = self.playlists.summary;
        let playlists = summary.map(|round| (round.num_done, round.num_playlists));
        let (done, total) = match summary {
            Some(round) => (round.items_done, Some(round.items_total.max(round.items_done))),
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

    /// Asks the run to end: nothing new is requested, whatever is whole is committed.
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
        let next = match meaning {
            Meaning::Batch => {
                self.passes.shown.note_memberships(self.frame.entity, &report.memberships);
                Next::Stay
            }
            Meaning::Judged => Next::Stay,
            Meaning::Head { ended } => {
                self.passes.shown.note_memberships(self.frame.entity, &report.memberships);
                self.go_on_from_head(&report, ended)
            }
            Meaning::PassEnd => self.end_pass(&report),
            Meaning::Gap => self.end_gap(&report),
            Meaning::Mended { has_moved } => self.go_on_from_mended(has_moved),
            Meaning::PhaseEnd | Meaning::GivenUp => self.end_phase(),
        };
        self.follow(next);
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
        self.head.is_read = false;
        self.activity = Activity::Begin;
    }

    /// Takes in the members that were asked for, in any order.
    pub fn handle_members(&mut self, members: Vec<Member>) {
        if matches!(self.activity, Activity::AwaitMembers { .. }) {
            let next = match self.repair.reading.take() {
                Some(reading) => self.settle_reading(reading, &members),
                None => self.start_search(members),
            };
            self.follow(next);
        }
    }
}
