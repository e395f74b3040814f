//! After the head of a listing: gaps of earlier runs are tried again, then the count shows whether anything is left to
//! look for.

use super::{
    EntityRun, PAGE_LIMIT,
    activity::{Activity, Meaning, Next},
    assembly::{Assembly, Cell},
    step::{Draft, GapRange, RunEnd},
};
use crate::model::{
    AddedBetween, Checkpoint, CommitReport, Effects, Fault, Gap, HealedGap, Membership, Rows, Slot, Survey,
};
use std::collections::VecDeque;

/// Slots read before a gap when it is tried again, so that a small shift does not miss it.
const GAP_MARGIN: u32 = 20;

/// How far a gap has moved since it was recorded, as far as the totals tell.
fn shift_of(gap: &Gap, total: Option<u32>) -> i64 {
    total.zip(gap.total).map_or(0, |(now, then)| i64::from(now) - i64::from(then))
}

#[derive(Debug, Default)]
pub(super) struct Head {
    /// From offset 0, in this run.
    pub is_read: bool,
    /// It has been read a second time, as servers may disagree.
    pub has_looked_again: bool,
    /// The last walk was given rows twice, or this run has walked because its head was.
    pub was_doubled: bool,
    /// Everything that earlier runs held back has come back, and is released at the end of the phase.
    pub releases: bool,
    /// Ranges that earlier runs could not read.
    pub gaps: VecDeque<Gap>,
}

impl Head {
    pub(super) fn ranges(&self) -> Vec<(u32, u32)> {
        self.gaps.iter().map(|gap| (gap.offset_from, gap.offset_to)).collect()
    }

    /// Gaps of earlier runs that the head met again: their record stays, unless they have moved. Then the new one
    /// replaces it.
    pub(super) fn known_again(&mut self, met: &mut Vec<GapRange>, tip: &mut Checkpoint) -> Vec<HealedGap> {
        let total = tip.total;
        let mut replaced = Vec::new();
        met.retain(|gap| {
            let same = self.gaps.iter().position(|known| {
                let at = known.offset_from.saturating_add_signed(shift_of(known, total) as i32);
                at.abs_diff(gap.offset_from) <= GAP_MARGIN
            });
            if let Some(known) = same.and_then(|at| self.gaps.remove(at)) {
                tip.walk.found.num_gaps = tip.walk.found.num_gaps.saturating_sub(1);
                let Gap { offset_from, offset_to, .. } = known;
                if (offset_from, offset_to) == (gap.offset_from, gap.offset_to) {
                    return false;
                }
                replaced.push(HealedGap { playlist_id: None, offset_from, offset_to });
            }
            true
        });
        replaced
    }
}

impl EntityRun {
    /// After a batch of the head: read on until it meets what is known.
    pub(super) fn go_on_from_head(&mut self, report: &CommitReport, ended: bool) -> Next {
        let is_news = |membership: &Membership| matches!(membership, Membership::New | Membership::Returned);
        let mut from_known = report.memberships.iter().skip_while(|membership| **membership != Membership::Known);
        let met_known = from_known.next().is_some();
        let num_shown = self.repair.clues.head().len();
        if from_known.any(is_news) {
            // Something new after something known: not newest first, so the head proves nothing.
            self.checkpoint.walk.found.disordered = true;
            Next::Pass
        } else if report.held.num_confirmed > 0 {
            // A person has confirmed that these are gone: a walk that misses them as well marks them.
            Next::Pass
        } else if ended && !met_known && self.head.is_read && self.num_active as usize > num_shown {
            // None of the rows that we hold was shown, so the count explains nothing.
            Next::Pass
        } else if met_known || ended {
            Next::AfterHead
        } else {
            Next::Stay
        }
    }

    /// Tries the gaps of earlier runs again, then asks whether the head explains the total.
    pub(super) fn after_head(&mut self) -> Next {
        if self.stopping {
            return Next::end(RunEnd::Stopped);
        }
        if let Some(unconfirmed) = self.repair.unconfirmed.take()
            && let Some(next) = self.confirm(unconfirmed)
        {
            return next;
        }
        if let Some(gap) = self.head.gaps.pop_front() {
            let shift = shift_of(&gap, self.checkpoint.total);
            let at = (i64::from(gap.offset_from) + shift - i64::from(GAP_MARGIN)).max(0) as u32;
            return Next::activity(Activity::Gap { gap, assembly: Assembly::again(at, PAGE_LIMIT) });
        }
        if !self.head.is_read {
            // This head was resumed in the middle: what was added since stands before it.
            Next::Head
        } else if self.is_to_look_again() {
            Next::Pass
        } else if self.checkpoint.walk.found.has_double && !std::mem::replace(&mut self.head.was_doubled, true) {
            // A row that is given twice may stand for a new one, and something else may be gone: the count explains
            // nothing.
            Next::Pass
        } else if self.is_explained() {
            // Nothing is missing: what an earlier run held back has come back, unless the total counts rows that are
            // not given.
            let memory = &mut self.checkpoint.walk.memory;
            if memory.num_counted == 0 && memory.held_removals.take().is_some() {
                self.head.releases = true;
            }
            self.start_slice().unwrap_or(Next::Finish)
        } else if self.checkpoint.walk.memory.num_wary_runs > 0
            && !std::mem::replace(&mut self.head.has_looked_again, true)
        {
            // The last runs saw different listings in turn: a single answer does not start a search.
            Next::Head
        } else if self.may_search() {
            Next::members(AddedBetween::default())
        } else {
            Next::Pass
        }
    }

    /// Whether the rows that we hold account for the total, given what the last walk found.
    fn is_explained(&self) -> bool {
        let found = &self.checkpoint.walk.found;
        match (self.checkpoint.total, self.checkpoint.walk.memory.discrepancy) {
            // Without a count only a walk shows what is gone.
            (None, _) => self.is_verified_lately(),
            (Some(total), Some(expected)) => i64::from(total) - i64::from(self.num_active) == expected,
            // The last walk was unsteady: it may have counted a row without an id twice or not at all, and where rows
            // may have been left out, as many may be gone.
            (Some(total), None) => found.num_unidentified == 0 && !found.has_hole && total == self.num_active,
        }
    }

    /// Takes up the answer to the page around a gap; `None` while it is on its way.
    pub(super) fn settle_gap(&mut self) -> Option<Next> {
        let Activity::Gap { gap, assembly } = &mut self.activity else { return None };
        if !assembly.is_settled() {
            return None;
        }
        match assembly.fault.take() {
            Some(Fault::Unservable(_) | Fault::Refused(_)) => return Some(Next::AfterHead),
            Some(fault) => return Some(Next::fail(fault)),
            None => {}
        }
        let cells = assembly.cells.drain(..);
        let slots: Vec<Slot> = cells
            .filter_map(|cell| match cell {
                Cell::Slot(slot) => Some(*slot),
                Cell::Gap { .. } => None,
            })
            .collect();
        let Gap { offset_from, offset_to, .. } = *gap;
        let (from, to) = (assembly.offset, assembly.offset + slots.len() as u32);
        let effects = Effects {
            healed_gaps: vec![HealedGap { playlist_id: None, offset_from, offset_to }],
            survey: Some(Survey::default()),
            ..Effects::default()
        };
        let mut checkpoint = self.checkpoint.clone();
        checkpoint.total = assembly.total.or(checkpoint.total);
        let walk = &mut checkpoint.walk;
        walk.found.num_gaps = walk.found.num_gaps.saturating_sub(offset_to - offset_from);
        if walk.found.num_gaps == 0 {
            walk.memory.discrepancy = None;
        }
        let draft = Draft { rows: Rows::Listing(slots), offset_from: from, offset_to: to, effects, checkpoint };
        Some(Next::commit(draft, Meaning::Gap))
    }

    /// A gap was read: what it held no longer counts as missing.
    pub(super) fn end_gap(&mut self, report: &CommitReport) -> Next {
        let num_found = report.memberships.iter().filter(|membership| **membership == Membership::New).count();
        if let Some(discrepancy) = &mut self.checkpoint.walk.memory.discrepancy {
            *discrepancy -= num_found as i64;
        }
        Next::AfterHead
    }
}
