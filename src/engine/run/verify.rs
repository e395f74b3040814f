//! Verifying: looking for what no count can reveal, such as an item that came in behind the head while another left.
//!
//! A person's order is carried out at once: a whole walk, judged like any other. A service does it in slices, one or
//! more at the end of each run whose head explains the listing, until every slot was looked at. Corrections by a slice
//! change the count; the run then continues as after any head, and looks for whatever else the count reveals.

use super::{
    EntityRun,
    activity::{Activity, Meaning, Next},
    notes, passes,
    repair::Unconfirmed,
    slice::{Reading, SLICE_PAGES_MAX, Slice},
    step::{Draft, RunEnd},
    verify_schedule::Purpose,
};
use crate::model::{Effects, Member, Missed, Phase, REST_MAX, Rows, Stage, Survey, Verification};
use chrono::{DateTime, TimeDelta, Utc};

/// Items that a slice may miss while empty rows may stand for them. For more, everything is looked at.
const MISSED_MAX: usize = 50;

impl EntityRun {
    /// Whether everything is still to be looked at because a person ordered it. A first sync looks at everything
    /// anyway.
    pub(super) fn is_to_verify(&self) -> bool {
        self.frame.purpose == Purpose::Verify
            && self.phase() == Phase::IncrementalSync
            && !self.checkpoint.walk.place.verifying
    }

    /// A whole walk has looked at everything.
    pub(super) fn note_verified(&mut self) {
        self.checkpoint.walk.memory.verification = Some(Verification::done(self.frame.now));
    }

    /// Whether everything was looked at within a day.
    pub(super) fn is_verified_lately(&self) -> bool {
        let ended_at = self.checkpoint.walk.memory.verification.as_ref().and_then(|pass| pass.ended_at);
        ended_at.is_some_and(|at| passes::is_ahead(at + TimeDelta::days(1), self.frame.now))
    }

    /// Whether what the last walk left open is to be looked for once more: neither head nor total tells when it is given
    /// again.
    pub(super) fn is_to_look_again(&self) -> bool {
        let is_past = self.checkpoint.walk.memory.look_again_at.is_some_and(|at| !passes::is_ahead(at, self.frame.now));
        let is_left_to_slices = matches!(self.frame.purpose, Purpose::Routine(_)) && self.can_slices_settle();
        is_past && !self.stopping && !is_left_to_slices
    }

    /// Whether the slices of a service find what the last walk left open. What the total counted only a walk can settle.
    fn can_slices_settle(&self) -> bool {
        let memory = &self.checkpoint.walk.memory;
        memory.num_counted == 0 && memory.num_vain_runs == 0
    }

    /// Followed artists are left alone until they are due. Without a change nothing is committed, so that the time of
    /// the last reading stays true.
    pub(super) fn rest(&self) -> Option<Next> {
        let Purpose::Routine(schedule) = self.frame.purpose else { return None };
        if !self.frame.entity.is_by_cursor() {
            return None;
        }
        let walk = &self.checkpoint.walk;
        let waits = walk.memory.held_removals.is_some_and(|num_held| num_held > walk.memory.num_counted);
        if waits || walk.memory.num_vain_runs > 0 || walk.memory.num_unsteady_runs > 0 {
            return None;
        }
        let until = schedule.artists_rest_until(walk.memory.verification.as_ref(), self.frame.now)?;
        Some(if self.is_stored_complete {
            Next::end(RunEnd::Complete { notes: vec![notes::resting(until)], again_in: None })
        } else {
            Next::Finish
        })
    }

    /// Begins a slice of the verifying pass, if this run is to read one.
    pub(super) fn start_slice(&mut self) -> Option<Next> {
        let Purpose::Routine(schedule) = self.frame.purpose else { return None };
        if !self.frame.entity.is_newest_first() {
            return None;
        }
        let now = self.frame.now;
        let total = self.checkpoint.total.filter(|_| !self.stopping)?;
        let pass = self.checkpoint.walk.memory.verification.as_ref();
        let left = self.repair.pages_to_verify.unwrap_or_else(|| schedule.pages_due(pass, total, now));
        let place = pass.filter(|pass| pass.ended_at.is_none()).cloned();
        let place = place.unwrap_or_else(|| Verification::begin(now));
        let num_pages = left.min(SLICE_PAGES_MAX);
        self.repair.pages_to_verify = Some(left - num_pages);
        self.repair.slice_len = num_pages;
        if num_pages == 0 {
            return None;
        }
        let head = self.repair.clues.head();
        Some(if place.offset == 0 && head.len() as u32 >= total {
            let reading = Reading::of_head(head.to_vec(), total, place.began_at, now);
            self.take_reading(reading)
        } else {
            Next::activity(Activity::Slice(Slice::new(self.frame.entity, place, head, total, num_pages)))
        })
    }

    /// Takes in what a slice has read, or what stopped it.
    pub(super) fn handle_slice(&mut self) -> Next {
        let Activity::Slice(slice) = &mut self.activity else { return Next::Stay };
        if let Some(fault) = slice.fault().cloned() {
            return if self.is_exhausted() { Next::GiveUp } else { Next::fail(fault) };
        }
        let reading = slice.poll_reading(self.frame.now);
        reading.map_or(Next::Stay, |reading| self.take_reading(reading))
    }

    fn take_reading(&mut self, reading: Reading) -> Next {
        match reading.wanted() {
            Some(wanted) => {
                self.repair.reading = Some(reading);
                Next::members(wanted)
            }
            None => self.commit_slice(reading, Vec::new()),
        }
    }

    /// Compares a slice with the members that should stand in it.
    pub(super) fn settle_reading(&mut self, reading: Reading, members: &[Member]) -> Next {
        let mut removed_ids = reading.gone(members);
        let doubted = self.repair.doubted.take();
        removed_ids.retain(|id| doubted.as_ref().is_none_or(|doubted| doubted.contains(id)));
        if self.counts_still(&reading, members, removed_ids.len() as u32) {
            if removed_ids.len() as u32 > self.checkpoint.walk.memory.num_counted {
                return Next::Pass;
            }
            // The last walk has met these already: the total counts them, and only a person can confirm their removal.
            removed_ids.clear();
        }
        if removed_ids.is_empty() {
            self.commit_slice(reading, removed_ids)
        } else if doubted.is_none() && !reading.slots.is_empty() {
            // What one answer lacks may only have been left out of it.
            self.repair.doubted = Some(removed_ids);
            let left = self.repair.pages_to_verify.unwrap_or_default();
            self.repair.pages_to_verify = Some(left + self.repair.slice_len);
            self.start_slice().unwrap_or(Next::Pass)
        } else if self.may_be_empty_rows() && !self.has_missed_before(&removed_ids) {
            self.miss(removed_ids)
        } else if self.believes(removed_ids.len() as u32) {
            self.repair.unconfirmed = Some(Unconfirmed { removed_ids, reading: Some(reading) });
            Next::Head
        } else {
            Next::Pass
        }
    }

    /// Whether there are more rows without an id or a date than when everything was seen: any may stand for an item that a
    /// slice misses.
    fn may_be_empty_rows(&self) -> bool {
        let walk = &self.checkpoint.walk;
        let num_undated = walk.found.num_undated + self.repair.clues.num_undated();
        walk.memory.proven_undated.is_some_and(|proven| num_undated > proven)
    }

    /// Whether an earlier run has missed the same.
    fn has_missed_before(&self, removed_ids: &[String]) -> bool {
        self.missed_since(removed_ids).is_some_and(|since| since <= self.frame.ripe_at())
    }

    fn missed_since(&self, ids: &[String]) -> Option<DateTime<Utc>> {
        let missed = self.checkpoint.walk.memory.missed.as_ref()?;
        ids.iter().all(|id| missed.ids.contains(id)).then_some(missed.since)
    }

    /// Leaves the place of the slices before what one of them misses, for the next run to look there again.
    fn miss(&mut self, ids: Vec<String>) -> Next {
        if ids.len() > MISSED_MAX {
            return Next::Pass;
        }
        let mut checkpoint = self.checkpoint.clone();
        let since = self.missed_since(&ids).unwrap_or(self.frame.now).min(self.frame.now);
        checkpoint.walk.memory.missed = Some(Missed { since, ids });
        self.repair.pages_to_verify = Some(0);
        let draft = Draft::bare(checkpoint, Effects { survey: Some(Survey::default()), ..Effects::default() });
        Next::commit(draft, Meaning::Mended { has_moved: false })
    }

    /// Whether the total still counts the items that are gone by a slice.
    fn counts_still(&self, reading: &Reading, members: &[Member], num_gone: u32) -> bool {
        let walk = &self.checkpoint.walk;
        let held = i64::from(self.num_active) + i64::from(reading.num_new(members)) - i64::from(num_gone);
        let num_unidentified = i64::from(walk.found.num_unidentified) + i64::from(self.repair.clues.num_unidentified());
        let known = i64::from(walk.memory.num_hidden) + num_unidentified;
        num_gone > 0 && reading.total.is_some_and(|total| i64::from(total) - held > known)
    }

    /// Commits the removals that the head, read again, does not refute; `None` if it shows others.
    pub(super) fn confirm(&mut self, unconfirmed: Unconfirmed) -> Option<Next> {
        let Unconfirmed { mut removed_ids, reading } = unconfirmed;
        removed_ids.retain(|id| !self.repair.clues.shows(id));
        match (reading, self.checkpoint.total) {
            (Some(reading), _) => Some(self.commit_slice(reading, removed_ids)),
            (None, Some(total)) if self.num_active.checked_sub(total) == Some(removed_ids.len() as u32) => {
                let effects = Effects { removed_ids, survey: Some(Survey::default()), ..Effects::default() };
                let draft = Draft::bare(self.checkpoint.clone(), effects);
                Some(Next::commit(draft, Meaning::Mended { has_moved: false }))
            }
            (None, _) => None,
        }
    }

    /// Commits a slice: its rows, what is gone, and the place of the pass.
    fn commit_slice(&mut self, reading: Reading, removed_ids: Vec<String>) -> Next {
        let Reading { is_disordered, slots, offset_from, num_unserved, total, place, .. } = reading;
        if num_unserved > 0 {
            self.notes.tell(notes::unserved(self.frame.entity, num_unserved));
        }
        if place.ended_at.is_some() {
            self.repair.pages_to_verify = Some(0);
        }
        // If something is gone, the head was read again since.
        let has_moved = removed_ids.is_empty() && total != self.checkpoint.total;
        let mut checkpoint = self.checkpoint.clone();
        checkpoint.walk.place.stage = Stage::Verify;
        checkpoint.walk.found.disordered |= is_disordered;
        let memory = &mut checkpoint.walk.memory;
        memory.missed = None;
        if place.ended_at.is_some() && self.can_slices_settle() {
            memory.look_again_at = memory.look_again_at.map(|_| self.frame.now + REST_MAX);
        }
        memory.verification = Some(place);
        let effects = Effects { removed_ids, survey: Some(Survey::default()), ..Effects::default() };
        let offset_to = offset_from + slots.len() as u32;
        let draft = Draft { rows: Rows::Listing(slots), offset_from, offset_to, effects, checkpoint };
        Next::commit(draft, Meaning::Mended { has_moved })
    }
}
