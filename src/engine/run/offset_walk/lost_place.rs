//! Whether a page shows the place of a walk, and what the walk does when the place has moved: it looks for its anchors,
//! continues from them, reads on without proof, or begins again.

use super::{LEAPS_MAX, LOST_MAX, Link, Mode, OffsetWalk, REWINDS_MAX, TORN_MAX};
use crate::{
    engine::run::{
        assembly::{Assembly, Cell},
        locate::Locate,
    },
    model::Fault,
};

impl OffsetWalk {
    /// Where the slot before the place stands in a page.
    pub(super) fn link(&self, assembly: &Assembly) -> Link {
        let Some(anchor) = self.tip.walk.place.anchors.last().filter(|_| !self.tip.walk.place.unlinked) else {
            return Link::Unverifiable;
        };
        // After a short page the slot may stand further on, by as many places as rows were missing there.
        let num_short = if assembly.offset + 1 == self.tip.offset { self.tip.walk.place.num_short as usize } else { 0 };
        let mut first = assembly.cells.iter().take(num_short + 1);
        match first.position(|cell| matches!(cell, Cell::Slot(slot) if slot.key() == *anchor)) {
            Some(index) => Link::Holds(index),
            None if matches!(assembly.cells.first(), Some(Cell::Gap { .. })) => Link::Unserved,
            None => Link::Broken,
        }
    }

    /// The pieces of a page are from two moments: what moved between them is in neither.
    pub(super) fn read_again(&mut self) {
        self.legs.clear();
        self.tip.walk.found.unsteady = true;
        self.num_torn += 1;
        if self.num_torn > TORN_MAX {
            self.give_up();
        }
    }

    pub(super) fn give_up(&mut self) {
        self.has_lost_place = true;
        self.fault = Some(Fault::Stopped);
    }

    pub(super) fn lose_place(&mut self, assembly: Assembly) {
        self.legs.clear();
        self.verified = true;
        self.tip.walk.found.unsteady = true;
        // The rows that a short page before it lacked are no longer looked for.
        self.tip.walk.found.has_hole |= self.tip.walk.place.num_short > 0;
        self.num_lost = if self.tip.offset > self.lost_at { 1 } else { self.num_lost + 1 };
        self.lost_at = self.lost_at.max(self.tip.offset);
        if self.num_lost > LOST_MAX {
            return self.leap();
        }
        let shift = match (self.total_proven, assembly.total) {
            (Some(before), Some(now)) => i64::from(now) - i64::from(before),
            _ => 0,
        };
        let anchors = self.tip.walk.place.anchors.clone();
        let locate = Locate::new(anchors, self.tip.offset.saturating_sub(1), shift, self.tip.total, self.limit);
        self.mode = match locate.find(&assembly.cells) {
            Some(found) => Mode::Found(assembly, found.index),
            None => Mode::Searching(locate),
        };
    }

    /// The place is lost at the same slot again and again: servers that disagree answer before and after it. What lies
    /// beyond is read without proof.
    pub(super) fn leap(&mut self) {
        self.num_leaps += 1;
        if self.num_leaps > LEAPS_MAX {
            return self.give_up();
        }
        self.num_lost = 0;
        self.mode = Mode::Reading;
        self.tip.walk.place.unlinked = true;
        self.tip.walk.found.has_hole = true;
        self.tip.walk.place.num_short = 0;
    }

    /// Continues after the anchor that was found, once what was gathered before has been handed out.
    pub(super) fn go_on_from_found(&mut self) {
        if !matches!(self.mode, Mode::Found(..)) || !self.gathered.slots.is_empty() {
            return;
        }
        if let Mode::Found(assembly, index) = std::mem::replace(&mut self.mode, Mode::Reading) {
            let anchors = &mut self.tip.walk.place.anchors;
            let mut expected = self.tip.offset;
            if let Some(Cell::Slot(found)) = assembly.cells.get(index) {
                let key = found.key();
                let keep = anchors.iter().rposition(|anchor| *anchor == key).map_or(0, |at| at + 1);
                expected = expected.saturating_sub((anchors.len() - keep) as u32);
                anchors.truncate(keep);
            }
            self.tip.offset = assembly.offset + index as u32 + 1;
            self.tip.walk.found.has_hole |= !self.is_counted(i64::from(self.tip.offset) - i64::from(expected));
            self.tip.walk.place.unlinked = false;
            self.tip.walk.place.num_short = 0;
            self.absorb(assembly, index + 1);
        }
    }

    /// Something was removed that does not stand before the place, or a page before it was filled up from behind. A
    /// total that alternates says nothing.
    pub(super) fn note_place_kept(&mut self) {
        let (before, now) = (self.total_proven, self.tip.total);
        self.has_fallen |= now < before;
        self.has_risen |= before.is_some() && now > before;
    }

    /// Whether the total accounts for the slots by which the place has moved. If not, a page may have left out a row
    /// and been filled up from behind, while something else was removed: then as many are held as are counted.
    fn is_counted(&self, shift: i64) -> bool {
        let (before, now) = (self.total_proven.unwrap_or_default(), self.tip.total.unwrap_or_default());
        i64::from(now) - i64::from(before) == shift
    }

    /// The anchors are nowhere near: read the listing from its head again.
    pub(super) fn rewind(&mut self) {
        self.rewinds += 1;
        if self.rewinds > REWINDS_MAX {
            return self.give_up();
        }
        self.mode = Mode::Reading;
        self.verified = false;
        self.tip.offset = 0;
        self.tip.walk.place.anchors.clear();
        self.tip.walk.place.unlinked = false;
        self.tip.walk.place.num_short = 0;
        self.tip.walk.found.unsteady = true;
        self.tip.walk.found.num_unidentified = 0;
        self.tip.walk.found.num_undated = 0;
        self.tip.walk.found.num_gaps = 0;
    }
}
