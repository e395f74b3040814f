//! How a run ends: complete, unsteady, or where it stands.

use super::{Activity, Draft, DraftEffects, EntityRun, Meaning, RunEnd, Step, notes};
use crate::model::{Checkpoint, Rows};
use std::time::Duration;

/// Runs after an unsteady one that look at the head twice before they believe that something is missing: servers that do
/// not agree with each other go on for a while.
const WARY_RUNS: u32 = 8;

impl EntityRun {
    /// Commits the checkpoint that says: complete.
    pub(super) fn finish_phase(&mut self) {
        if self.is_to_verify() {
            return self.start_pass();
        }
        if self.num_item_gaps > 0 {
            self.notes.tell(notes::item_gaps(self.num_item_gaps));
        }
        let mut checkpoint = self.checkpoint.clone();
        self.complete(&mut checkpoint);
        checkpoint.walk.place.anchors.clear();
        checkpoint.walk.place.playlist = None;
        let (offset, rows) = (checkpoint.offset, Rows::Listing(Vec::new()));
        let effects = DraftEffects { release_held: std::mem::take(&mut self.releases), ..DraftEffects::default() };
        let draft = Draft { rows, offset_from: offset, offset_to: offset, effects, checkpoint };
        self.drafts.push_back((draft, Meaning::PhaseEnd));
        self.activity = Activity::AwaitCommit;
    }

    /// Closes the phase in its checkpoint, with all that a person should know of it.
    pub(super) fn complete(&mut self, checkpoint: &mut Checkpoint) {
        checkpoint.is_complete = true;
        self.note_standing();
        self.count_end(checkpoint);
        checkpoint.note = self.notes.text();
        checkpoint.walk.memory.told = self.notes.standing().to_vec();
    }

    /// What stays as it is from run to run, and is told once.
    fn note_standing(&mut self) {
        let walk = &self.checkpoint.walk;
        let mut standing = Vec::new();
        if walk.memory.num_hidden > 0 {
            standing.push(notes::hidden(self.entity, walk.memory.num_hidden));
        }
        if walk.memory.num_counted > 0 {
            standing.push(notes::counted_still(self.entity, walk.memory.num_counted));
        }
        standing.extend(walk.memory.page_cap.map(|cap| notes::capped(self.entity, cap)));
        self.notes.stand(standing, &self.checkpoint.walk.memory.told);
    }

    /// When the first of what was doubtful may be looked at once more: what is held back, once it has waited for long enough;
    /// a playlist of which nothing useful came, when it is tried again.
    fn again_in(&self) -> Option<Duration> {
        let walk = &self.checkpoint.walk;
        let is_held = walk.memory.held_removals.is_some_and(|num_held| num_held > walk.memory.num_counted);
        [is_held.then_some(self.guard.wait), self.retry_in].into_iter().flatten().min()
    }

    /// Something is tried again after so long.
    pub(super) fn note_retry(&mut self, wait: Option<Duration>) {
        self.retry_in = [self.retry_in, wait].into_iter().flatten().min();
    }

    /// Counts the runs in a row that ended unsteady.
    fn count_end(&mut self, checkpoint: &mut Checkpoint) {
        let walk = &mut checkpoint.walk;
        if self.is_unsteady {
            walk.memory.num_unsteady_runs = self.unsteady_runs_before.saturating_add(1);
            walk.memory.num_wary_runs = WARY_RUNS;
        } else {
            walk.memory.num_unsteady_runs = 0;
            walk.memory.num_wary_runs = walk.memory.num_wary_runs.saturating_sub(1);
        }
    }

    pub(super) fn end_phase(&mut self) {
        let notes = self.notes.lines();
        self.activity = if std::mem::take(&mut self.follow_up) {
            Activity::AwaitSwitch { asked: false }
        } else if self.is_unsteady {
            Activity::Over(RunEnd::Unsteady { notes, in_a_row: self.checkpoint.walk.memory.num_unsteady_runs })
        } else {
            Activity::Over(RunEnd::Complete { notes, again_in: self.again_in() })
        };
    }

    /// Whether the run has asked for more than it may, or a walk of it has given its place up.
    pub(super) fn is_exhausted(&self) -> bool {
        let has_lost = match &self.activity {
            Activity::Walk(walk) => walk.has_lost_place(),
            Activity::Slice(slice) => slice.has_lost_place(),
            Activity::Begin
            | Activity::Cursor(_)
            | Activity::Gap { .. }
            | Activity::AwaitMembers { .. }
            | Activity::Search(_)
            | Activity::AwaitStale { .. }
            | Activity::Items(_)
            | Activity::AwaitSwitch { .. }
            | Activity::AwaitCommit
            | Activity::Over(_) => false,
        };
        has_lost || self.budget.is_spent()
    }

    /// Ends the run where it stands. What is whole is committed; the next run carries on there, later than usual.
    pub(super) fn give_up(&mut self) -> Option<Step> {
        self.is_unsteady = true;
        self.follow_up = false;
        let note = if self.budget.is_spent() {
            notes::spent(self.entity, self.budget.num_requests())
        } else {
            notes::unsteady(self.entity)
        };
        self.notes.judge(Some(note));
        let mut checkpoint = self.checkpoint.clone();
        self.note_standing();
        self.count_end(&mut checkpoint);
        checkpoint.note = self.notes.text();
        let (offset, rows) = (checkpoint.offset, Rows::Listing(Vec::new()));
        let effects = DraftEffects::default();
        let draft = Draft { rows, offset_from: offset, offset_to: offset, effects, checkpoint };
        self.drafts.push_back((draft, Meaning::GivenUp));
        self.activity = Activity::AwaitCommit;
        None
    }
}
