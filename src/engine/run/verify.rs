//! Verifying: looking at what no count can tell, such as an item that came in behind the head while another went.
//!
//! A person has it done at once: that is a whole walk, judged like any other. A service does it in slices, one or more
//! at the end of each run whose head explains the listing, until every slot was looked at. What a slice mends changes
//! the count; then the run goes on as after any head, and looks for what else that tells of.

use super::{
    Activity, Draft, DraftEffects, EntityRun, Meaning, Purpose, RunEnd, Step,
    flow::end_of,
    notes,
    slice::{Reading, SLICE_PAGES_MAX, Slice},
};
use crate::model::{Member, Phase, Rows, Stage, Survey, Verification};

/// Removals that were seen, and that a last look at the head may deny: an item that was saved again stands there.
#[derive(Debug)]
pub struct Unconfirmed {
    pub removed_ids: Vec<String>,
    /// The slice that showed them; `None`: a search.
    pub reading: Option<Reading>,
}

impl EntityRun {
    /// Whether everything is still to be looked at because a person wants it. A first sync looks at everything anyway.
    pub(super) fn is_to_verify(&self) -> bool {
        self.purpose == Purpose::Verify
            && self.phase() == Phase::IncrementalSync
            && !self.checkpoint.walk.place.verifying
    }

    /// A whole walk has looked at everything.
    pub(super) fn note_verified(&mut self) {
        self.checkpoint.walk.memory.verification = Some(Verification::done(self.now));
    }

    /// Followed artists are left alone until they are due. Nothing is committed where nothing changes, so that whoever
    /// asks learns when they were really read.
    pub(super) fn rest(&mut self) -> bool {
        let Purpose::Routine(rhythm) = self.purpose else { return false };
        if !self.entity.is_by_cursor() {
            return false;
        }
        let walk = &self.checkpoint.walk;
        let waits = walk.memory.held_removals.is_some_and(|num_held| num_held > walk.memory.num_counted);
        if waits || walk.memory.num_vain_runs > 0 || walk.memory.num_unsteady_runs > 0 {
            return false;
        }
        let Some(until) = rhythm.artists_rest_until(walk.memory.verification.as_ref(), self.now) else { return false };
        if self.is_stored_complete {
            let notes = vec![notes::resting(until)];
            self.activity = Activity::Over(RunEnd::Complete { notes, again_in: None });
        } else {
            self.finish_phase();
        }
        true
    }

    /// Begins a slice of the verifying pass, if this run is to read one.
    pub(super) fn start_slice(&mut self) -> bool {
        let Purpose::Routine(rhythm) = self.purpose else { return false };
        if !self.entity.is_newest_first() {
            return false;
        }
        let Some(total) = self.checkpoint.total.filter(|_| !self.stopping) else { return false };
        let pass = self.checkpoint.walk.memory.verification.as_ref();
        let left = self.pages_to_verify.unwrap_or_else(|| rhythm.pages_due(pass, total, self.now));
        let place = pass.filter(|pass| pass.ended_at.is_none()).cloned();
        let place = place.unwrap_or_else(|| Verification::begin(self.now));
        let num_pages = left.min(SLICE_PAGES_MAX);
        self.pages_to_verify = Some(left - num_pages);
        if num_pages == 0 {
            return false;
        }
        let head = self.clues.head();
        if place.offset == 0 && head.len() as u32 >= total {
            let reading = Reading::of_head(head.to_vec(), total, place.began_at, self.now);
            self.take_reading(reading);
        } else {
            self.activity = Activity::Slice(Slice::new(self.entity, place, head, total, num_pages));
        }
        true
    }

    /// Takes up what a slice has read, or what stopped it.
    pub(super) fn handle_slice(&mut self) -> Option<Step> {
        let Activity::Slice(slice) = &mut self.activity else { return None };
        if let Some(fault) = slice.fault().cloned() {
            if self.is_exhausted() {
                return self.give_up();
            }
            self.activity = Activity::Over(end_of(fault));
        } else {
            let reading = slice.poll_reading(self.now)?;
            self.take_reading(reading);
        }
        self.poll_activity()
    }

    fn take_reading(&mut self, reading: Reading) {
        match reading.wanted() {
            Some(wanted) => {
                self.reading = Some(reading);
                self.activity = Activity::AwaitMembers { asked: false, wanted };
            }
            None => self.commit_slice(reading, Vec::new()),
        }
    }

    /// Compares a slice with the members that should stand in it.
    pub(super) fn settle_reading(&mut self, reading: Reading, members: &[Member]) {
        let mut removed_ids = reading.gone(members);
        if self.counts_still(&reading, members, removed_ids.len() as u32) {
            if removed_ids.len() as u32 > self.checkpoint.walk.memory.num_counted {
                return self.start_pass();
            }
            // The last walk has met these already: the total counts them, and only a person can call them removed.
            removed_ids.clear();
        }
        if removed_ids.is_empty() {
            self.commit_slice(reading, removed_ids);
        } else if self.believes(removed_ids.len() as u32) {
            self.unconfirmed = Some(Unconfirmed { removed_ids, reading: Some(reading) });
            self.start_head();
        } else {
            self.start_pass();
        }
    }

    /// Whether the total counts what a slice calls gone.
    fn counts_still(&self, reading: &Reading, members: &[Member], num_gone: u32) -> bool {
        let walk = &self.checkpoint.walk;
        let held = i64::from(self.num_active) + i64::from(reading.num_new(members)) - i64::from(num_gone);
        let num_unidentified = i64::from(walk.found.num_unidentified) + i64::from(self.clues.num_unidentified());
        let known = i64::from(walk.memory.num_hidden) + num_unidentified;
        num_gone > 0 && reading.total.is_some_and(|total| i64::from(total) - held > known)
    }

    /// Commits the removals that the head, read again, does not deny; `false` where it tells of others.
    pub(super) fn confirm(&mut self, unconfirmed: Unconfirmed) -> bool {
        let Unconfirmed { mut removed_ids, reading } = unconfirmed;
        removed_ids.retain(|id| !self.clues.shows(id));
        match (reading, self.checkpoint.total) {
            (Some(reading), _) => self.commit_slice(reading, removed_ids),
            (None, Some(total)) if self.num_active.checked_sub(total) == Some(removed_ids.len() as u32) => {
                let offset = self.checkpoint.offset;
                let effects = DraftEffects { removed_ids, survey: Some(Survey::default()), ..DraftEffects::default() };
                let (rows, checkpoint) = (Rows::Listing(Vec::new()), self.checkpoint.clone());
                let draft = Draft { rows, offset_from: offset, offset_to: offset, effects, checkpoint };
                self.drafts.push_back((draft, Meaning::Mended { has_moved: false }));
                self.activity = Activity::AwaitCommit;
            }
            (None, _) => return false,
        }
        true
    }

    /// Commits a slice: its rows, what is gone, and the place of the pass.
    fn commit_slice(&mut self, reading: Reading, removed_ids: Vec<String>) {
        let Reading { is_disordered, slots, offset_from, num_unserved, total, place, .. } = reading;
        if num_unserved > 0 {
            self.notes.tell(notes::unserved(self.entity, num_unserved));
        }
        if place.ended_at.is_some() {
            self.pages_to_verify = Some(0);
        }
        // Where something is gone, the head was read again since.
        let has_moved = removed_ids.is_empty() && total != self.checkpoint.total;
        let mut checkpoint = self.checkpoint.clone();
        checkpoint.walk.place.stage = Stage::Verify;
        checkpoint.walk.found.disordered |= is_disordered;
        checkpoint.walk.memory.verification = Some(place);
        let effects = DraftEffects { removed_ids, survey: Some(Survey::default()), ..DraftEffects::default() };
        let offset_to = offset_from + slots.len() as u32;
        let draft = Draft { rows: Rows::Listing(slots), offset_from, offset_to, effects, checkpoint };
        self.drafts.push_back((draft, Meaning::Mended { has_moved }));
        self.activity = Activity::AwaitCommit;
    }

    /// After a commit that changed more than the head told: does the count agree now?
    pub(super) fn go_on_from_mended(&mut self, has_moved: bool) {
        if self.checkpoint.walk.found.disordered {
            // Not newest first, so neither heads nor slices prove anything.
            self.start_pass();
        } else if has_moved {
            self.start_head();
        } else {
            self.after_head();
        }
    }
}
