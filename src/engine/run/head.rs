//! After the head of a listing: gaps of earlier runs are tried again, then the count tells whether anything is left to
//! look for.

use super::{
    Activity, Draft, DraftEffects, EntityRun, GapRange, Meaning, PAGE_LIMIT, RunEnd,
    assembly::{Assembly, Cell},
    flow::end_of,
};
use crate::model::{AddedBetween, Checkpoint, CommitReport, Fault, Gap, Membership, Rows, Slot, Survey};

/// Slots read before a gap when it is tried again, so that a small shift does not miss it.
const GAP_MARGIN: u32 = 20;

/// How far a gap has moved since it was recorded, as far as the totals tell.
fn shift_of(gap: &Gap, total: Option<u32>) -> i64 {
    total.zip(gap.total).map_or(0, |(now, then)| i64::from(now) - i64::from(then))
}

impl EntityRun {
    /// Gaps of earlier runs that the head met again: the new record replaces the old one.
    pub(super) fn known_again(&mut self, met: &[GapRange], tip: &mut Checkpoint) -> Vec<(Option<String>, u32, u32)> {
        let total = tip.total;
        let mut replaced = Vec::new();
        for gap in met {
            let same = self.gaps.iter().position(|known| {
                let at = known.offset_from.saturating_add_signed(shift_of(known, total) as i32);
                at.abs_diff(gap.offset_from) <= GAP_MARGIN
            });
            if let Some(known) = same.and_then(|at| self.gaps.remove(at)) {
                tip.walk.found.num_gaps = tip.walk.found.num_gaps.saturating_sub(1);
                replaced.push((None, known.offset_from, known.offset_to));
            }
        }
        replaced
    }

    /// After a batch of the head: read on until it meets what is known.
    pub(super) fn go_on_from_head(&mut self, report: &CommitReport, ended: bool) {
        let is_news = |membership: &Membership| matches!(membership, Membership::New | Membership::Returned);
        let mut from_known = report.memberships.iter().skip_while(|membership| **membership != Membership::Known);
        let met_known = from_known.next().is_some();
        if from_known.any(is_news) {
            // Something new behind something known: not newest first, so the head proves nothing.
            self.checkpoint.walk.found.disordered = true;
            self.start_pass();
        } else if report.held.num_confirmed > 0 {
            // A person has said that these are gone: a walk that misses them as well marks them.
            self.start_pass();
        } else if ended && !met_known && self.head_read && self.num_active as usize > self.clues.head().len() {
            // Not one of the rows that are held was shown, so the count explains nothing.
            self.start_pass();
        } else if met_known || ended {
            self.after_head();
        }
    }

    /// Tries the gaps of earlier runs again, then asks whether the head explains the total.
    pub(super) fn after_head(&mut self) {
        if self.stopping {
            self.activity = Activity::Over(RunEnd::Stopped);
            return;
        }
        if let Some(unconfirmed) = self.unconfirmed.take()
            && self.confirm(unconfirmed)
        {
            return;
        }
        if let Some(gap) = self.gaps.pop_front() {
            let shift = shift_of(&gap, self.checkpoint.total);
            let at = (i64::from(gap.offset_from) + shift - i64::from(GAP_MARGIN)).max(0) as u32;
            self.activity = Activity::Gap { gap, assembly: Assembly::again(at, PAGE_LIMIT) };
            return;
        }
        let walk = &self.checkpoint.walk;
        let explained = match (self.checkpoint.total, walk.memory.discrepancy) {
            (None, _) => true,
            (Some(total), Some(expected)) => i64::from(total) - i64::from(self.num_active) == expected,
            // The last walk was unsteady: it may have counted a row without an id twice, or not at all; and where rows may
            // have been left out, as many may be gone.
            (Some(total), None) => walk.found.num_unidentified == 0 && !walk.found.has_hole && total == self.num_active,
        };
        if !self.head_read {
            // This head was taken up in the middle: what was added since stands before it.
            self.start_head();
        } else if explained {
            // Nothing is missing: what an earlier run held back has come back, unless the total counts what is not given.
            if self.checkpoint.walk.memory.num_counted == 0
                && self.checkpoint.walk.memory.held_removals.take().is_some()
            {
                self.releases = true;
            }
            if !self.start_slice() {
                self.finish_phase();
            }
        } else if self.checkpoint.walk.memory.num_wary_runs > 0 && !std::mem::replace(&mut self.has_looked_again, true)
        {
            // The last runs were shown different listings by turns: what one answer says is not looked for.
            self.start_head();
        } else if self.may_search() {
            self.activity = Activity::AwaitMembers { asked: false, wanted: AddedBetween::default() };
        } else {
            self.start_pass();
        }
    }

    /// Takes up the answer to the page around a gap; `false` while it is on its way.
    pub(super) fn settle_gap(&mut self) -> bool {
        let Activity::Gap { gap, assembly } = &mut self.activity else { return false };
        if !assembly.is_settled() {
            return false;
        }
        match assembly.fault.take() {
            Some(Fault::Unservable(_) | Fault::Refused(_)) => self.after_head(),
            Some(fault) => self.activity = Activity::Over(end_of(fault)),
            None => {
                let slots: Vec<Slot> = assembly
                    .cells
                    .drain(..)
                    .filter_map(|cell| match cell {
                        Cell::Slot(slot) => Some(*slot),
                        Cell::Gap { .. } => None,
                    })
                    .collect();
                let Gap { offset_from, offset_to, .. } = *gap;
                let (from, to) = (assembly.offset, assembly.offset + slots.len() as u32);
                let effects = DraftEffects {
                    healed_gaps: vec![(None, offset_from, offset_to)],
                    survey: Some(Survey::default()),
                    ..DraftEffects::default()
                };
                let mut checkpoint = self.checkpoint.clone();
                checkpoint.total = assembly.total.or(checkpoint.total);
                let walk = &mut checkpoint.walk;
                walk.found.num_gaps = walk.found.num_gaps.saturating_sub(offset_to - offset_from);
                if walk.found.num_gaps == 0 {
                    walk.memory.discrepancy = None;
                }
                let draft = Draft { rows: Rows::Listing(slots), offset_from: from, offset_to: to, effects, checkpoint };
                self.drafts.push_back((draft, Meaning::Gap));
                self.activity = Activity::AwaitCommit;
            }
        }
        true
    }

    /// A gap was read: what it held no longer counts as missing.
    pub(super) fn end_gap(&mut self, report: &CommitReport) {
        let num_found = report.memberships.iter().filter(|membership| **membership == Membership::New).count();
        if let Some(discrepancy) = &mut self.checkpoint.walk.memory.discrepancy {
            *discrepancy -= num_found as i64;
        }
        self.after_head();
    }
}
