//! How a run ends: complete, unsteady, or where it stands.

use super::{
    EntityRun,
    activity::{Activity, Meaning, Next},
    notes,
    step::Draft,
};
use crate::model::{Checkpoint, Effects};
use std::time::Duration;

impl EntityRun {
    /// Commits the checkpoint that marks the phase as complete.
    pub(super) fn finish_phase(&mut self) -> Next {
        if self.is_to_verify() {
            return Next::Pass;
        }
        if self.playlists.num_gaps > 0 {
            self.notes.tell(notes::item_gaps(self.playlists.num_gaps));
        }
        let mut checkpoint = self.checkpoint.clone();
        self.complete(&mut checkpoint);
        checkpoint.walk.place.anchors.clear();
        checkpoint.walk.place.playlist = None;
        let effects = Effects { release_held: std::mem::take(&mut self.head.releases), ..Effects::default() };
        Next::commit(Draft::bare(checkpoint, effects), Meaning::PhaseEnd)
    }

    /// Closes the phase in its checkpoint, with everything that a person should know about it.
    pub(super) fn complete(&mut self, checkpoint: &mut Checkpoint) {
        checkpoint.is_complete = true;
        self.note_end(checkpoint);
        checkpoint.walk.memory.told = self.notes.standing().to_vec();
    }

    fn note_end(&mut self, checkpoint: &mut Checkpoint) {
        self.note_standing();
        self.passes.count_end(checkpoint);
        checkpoint.note = self.notes.text();
    }

    /// Notes what stays the same from run to run, and is reported once.
    fn note_standing(&mut self) {
        let (entity, memory) = (self.frame.entity, &self.checkpoint.walk.memory);
        let mut standing = Vec::new();
        if memory.num_hidden > 0 {
            standing.push(notes::hidden(entity, memory.num_hidden));
        }
        if memory.num_counted > 0 {
            standing.push(notes::counted_still(entity, memory.num_counted));
        }
        standing.extend(memory.page_cap.map(|cap| notes::capped(entity, cap)));
        self.notes.stand(standing, &self.checkpoint.walk.memory.told);
    }

    /// When the first doubtful thing may be looked at again: a held removal once it has waited for long enough, or a
    /// playlist without a useful answer when it is tried again.
    fn again_in(&self) -> Option<Duration> {
        let memory = &self.checkpoint.walk.memory;
        let is_held = memory.held_removals.is_some_and(|num_held| num_held > memory.num_counted);
        [is_held.then_some(self.frame.guard.wait), self.playlists.retry_in].into_iter().flatten().min()
    }

    /// The phase is complete, or given up, in the database.
    pub(super) fn end_phase(&mut self) -> Next {
        if std::mem::take(&mut self.passes.needs_follow_up) {
            return Next::activity(Activity::AwaitSwitch { asked: false });
        }
        let in_a_row = self.checkpoint.walk.memory.num_unsteady_runs;
        Next::end(self.passes.end(self.notes.lines(), in_a_row, self.again_in()))
    }

    /// Whether the run has used up its requests, or one of its walks has given its place up.
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

    /// Ends the run where it stands. Whatever is whole is committed; the next run continues there, later than usual.
    pub(super) fn give_up(&mut self) -> Next {
        self.passes.is_unsteady = true;
        self.passes.needs_follow_up = false;
        let entity = self.frame.entity;
        let note = if self.budget.is_spent() {
            notes::spent(entity, self.budget.num_requests())
        } else {
            notes::unsteady(entity)
        };
        self.notes.judge(Some(note));
        let mut checkpoint = self.checkpoint.clone();
        self.note_end(&mut checkpoint);
        Next::commit(Draft::bare(checkpoint, Effects::default()), Meaning::GivenUp)
    }
}
