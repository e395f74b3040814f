//! A walk over a listing that is paged by offset and moves while it is read.
//!
//! Every page begins with the last slot of the page before it. In a listing whose items keep their order (new ones come
//! in at the head, others leave anywhere), that one shared slot proves that no item between the two pages was missed,
//! however many pages were in flight together and whatever the total says; the same check at the first page after a
//! restart proves that the place is still the place. The price is one slot in fifty.
//!
//! A page may hold fewer rows than were asked for, and yet not be the last ([`super::follows`]). The next one is then
//! requested from where the last row stands if nothing is hidden, and that row is looked for among its first slots.
//!
//! When the shared slot is not there, the walk commits what was proven, finds its anchors again ([`super::locate`]) and
//! continues from them. It then calls itself unsteady and may not mark anything removed. A walk that keeps losing its
//! place at the same slot reads on without proof, and gives up when that happens too often. No walk reads further than
//! a margin beyond the longest total reported.

mod absorb;
mod lost_place;

use super::{
    GapRange, Ticket,
    assembly::{Assembly, Cell},
    follows::Follows,
    locate::Locate,
    step::WalkBatch,
};
use crate::{
    engine::backoff::Patience,
    model::{Checkpoint, EntityType, Fault, Oddity, Page, PageRequest, Slot, SlotKey},
};
use absorb::{CAP_BELIEVED, CAP_DOUBTED_EVERY};
use std::collections::VecDeque;

/// Slots remembered for finding the place again: a page.
const ANCHORS_MAX: usize = 50;

/// Pages that a walk may read in pieces to no avail, because the listing moved between the pieces.
const TORN_MAX: u32 = 5;

/// Times a walk may lose its place for good and start over, before the listing counts as unreadable.
const REWINDS_MAX: u32 = 3;

/// Times in a row that a walk may lose its place without progress before it reads on without proof.
const LOST_MAX: u32 = 3;

/// Times that it may read on without proof.
const LEAPS_MAX: u32 = 3;

/// Slots that are read beyond the total, which may be one answer behind the listing.
const TOTAL_MARGIN: u32 = 100;

#[derive(Debug)]
pub struct OffsetWalk {
    entity: EntityType,
    limit: u32,
    legs_per_batch: usize,
    /// The checkpoint as it will be once everything gathered is committed.
    tip: Checkpoint,
    legs: VecDeque<Leg>,
    /// Ranges that earlier runs could not read.
    gaps: Vec<(u32, u32)>,
    gathered: Gathered,
    mode: Mode,
    /// The place has been verified against the listing since this walk began.
    verified: bool,
    /// The last page was shorter than its place in the listing explains.
    hole: bool,
    ended: bool,
    /// The longest total reported.
    total_max: Option<u32>,
    /// What was counted when the place was last proven.
    total_proven: Option<u32>,
    /// The total has fallen, or risen, while the place stayed the same.
    has_fallen: bool,
    has_risen: bool,
    /// The furthest place that was lost, and how often in a row no further one was reached.
    lost_at: u32,
    num_lost: u32,
    num_leaps: u32,
    rewinds: u32,
    num_torn: u32,
    has_lost_place: bool,
    /// Rows of the last page that was short without an explanation.
    cut_at: Option<u32>,
    num_plans: u32,
    fault: Option<Fault>,
}

/// One page in flight or waiting for those before it.
#[derive(Debug)]
struct Leg {
    assembly: Assembly,
    /// The first slot is the last one of the page before.
    overlaps: bool,
}

#[derive(Debug, Default)]
struct Gathered {
    before: Option<SlotKey>,
    offset_from: u32,
    slots: Vec<Slot>,
    gaps: Vec<GapRange>,
}

#[derive(Debug)]
enum Mode {
    Reading,
    /// The place is lost; pages are looked through for the anchors.
    Searching(Locate),
    /// The page in which an anchor was found, and the index of that anchor.
    Found(Assembly, usize),
}

enum Link {
    /// The slot before stands at this index of the page.
    Holds(usize),
    Broken,
    /// The slot before was read a moment ago and can no longer be served: whether the place is right stays open.
    Unserved,
    /// The slot before is a gap or a hole: there is nothing to compare.
    Unverifiable,
}

impl OffsetWalk {
    /// A walk that continues from `tip`. `batch_size` is in slots and rounded up to whole pages.
    pub fn new(entity: EntityType, tip: Checkpoint, batch_size: u32, page_limit: u32) -> OffsetWalk {
        OffsetWalk {
            entity,
            limit: page_limit.min(batch_size),
            legs_per_batch: batch_size.div_ceil(page_limit).max(1) as usize,
            // A resumed walk may have been told of fewer rows than it has read.
            total_max: tip.total.map(|total| total.max(tip.offset)),
            total_proven: tip.total,
            tip,
            legs: VecDeque::new(),
            gaps: Vec::new(),
            gathered: Gathered::default(),
            mode: Mode::Reading,
            verified: false,
            hole: false,
            ended: false,
            has_fallen: false,
            has_risen: false,
            lost_at: 0,
            num_lost: 0,
            num_leaps: 0,
            rewinds: 0,
            num_torn: 0,
            has_lost_place: false,
            cut_at: None,
            num_plans: 0,
            fault: None,
        }
    }

    /// Expects to find these, as they were found before.
    pub fn expecting(mut self, mut gaps: Vec<(u32, u32)>) -> OffsetWalk {
        gaps.sort_unstable();
        self.gaps = gaps;
        self
    }

    pub fn tip(&self) -> &Checkpoint {
        &self.tip
    }

    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// The listing cannot be followed: the walk has ended where it stood.
    pub fn has_lost_place(&self) -> bool {
        self.has_lost_place
    }

    /// Hands out the next request. `may_plan` lets a new batch begin.
    pub fn poll_fetch(&mut self, next_ticket: &mut Ticket, may_plan: bool) -> Option<(Ticket, PageRequest, Patience)> {
        if self.legs.is_empty() && self.fault.is_none() && !self.ended && self.gathered.slots.is_empty() && may_plan {
            match &mut self.mode {
                Mode::Reading => self.plan(if self.verified { self.legs_per_batch } else { 1 }),
                Mode::Searching(locate) => match locate.poll_probe() {
                    Some(offset) => self.legs.push_back(Leg::new(offset, self.limit, false)),
                    None => {
                        self.rewind();
                        return self.poll_fetch(next_ticket, may_plan);
                    }
                },
                Mode::Found(..) => {}
            }
        }
        let entity = self.entity;
        self.legs.iter_mut().find_map(|leg| {
            let (ticket, offset, limit, patience) = leg.assembly.poll_piece(next_ticket)?;
            Some((ticket, PageRequest::Listing { entity, offset, limit }, patience))
        })
    }

    /// Takes in an answer. Answers to requests that no longer matter are ignored.
    pub fn handle_page(&mut self, ticket: Ticket, answer: Result<Page, Fault>) {
        let Some(leg) = self.legs.iter_mut().find(|leg| leg.assembly.awaits(ticket)) else { return };
        leg.assembly.handle_answer(answer, true);
        self.settle();
    }

    /// Drops what is in flight; what is proven stays to be handed out.
    pub fn handle_stop(&mut self) {
        self.legs.clear();
        self.fault = Some(Fault::Stopped);
    }

    /// Hands out a batch once all its pages are in and proven.
    pub fn poll_batch(&mut self) -> Option<WalkBatch> {
        if !self.legs.is_empty() {
            return None;
        }
        if self.gathered.slots.is_empty() {
            self.go_on_from_found();
        }
        let finishes = self.ended && self.fault.is_none();
        if self.gathered.slots.is_empty() && !finishes {
            return None;
        }
        self.tip.walk.found.has_hole |= self.ended && self.has_fallen && !self.has_risen;
        let gathered = std::mem::take(&mut self.gathered);
        let offset_from = if gathered.slots.is_empty() { self.tip.offset } else { gathered.offset_from };
        Some(WalkBatch {
            before: gathered.before,
            offset_from,
            offset_to: offset_from + gathered.slots.len() as u32,
            slots: gathered.slots,
            gaps: gathered.gaps,
            tip: self.tip.clone(),
            ended: self.ended,
        })
    }

    /// Puts up to `count` pages in flight, the first of them sharing the last slot read.
    fn plan(&mut self, count: usize) {
        if self.total_max.is_some_and(|total| self.tip.offset > total.saturating_add(TOTAL_MARGIN)) {
            // Page after page beyond the end: this is not the listing that its total counts.
            self.tip.walk.found.unsteady = true;
            self.tip.walk.found.is_broken = true;
            self.ended = true;
            return;
        }
        // The first page asks for as many as it may: a cap may have been lifted, and if not, asking costs nothing.
        let cap = self.tip.walk.memory.page_cap.filter(|_| self.verified).unwrap_or(self.limit);
        self.num_plans += 1;
        let is_doubted = cap < CAP_BELIEVED && self.num_plans.is_multiple_of(CAP_DOUBTED_EVERY);
        let (cap, count) = if is_doubted { (self.limit, 1) } else { (cap, count) };
        let limit = self.limit.min(cap.max(1));
        // Pages of one row have no room for a shared one.
        let shared = u32::from(limit > 1);
        let linked = self.tip.offset > 0
            && !self.tip.walk.place.unlinked
            && !self.tip.walk.place.anchors.is_empty()
            && shared > 0;
        let mut offset = if linked { self.tip.offset - 1 } else { self.tip.offset };
        let mut overlaps = linked;
        for n in 0..count {
            if n > 0 && self.tip.total.is_none_or(|total| offset + 1 >= total) {
                break;
            }
            let assembly = Assembly::new(offset, limit).split_at(&self.gaps);
            self.legs.push_back(Leg { assembly, overlaps });
            offset += limit - shared;
            overlaps = shared > 0;
        }
    }

    /// Works through the pages in list order, as far as they have come.
    fn settle(&mut self) {
        while self.legs.front().is_some_and(|leg| leg.assembly.is_settled()) {
            let Some(Leg { assembly, overlaps }) = self.legs.pop_front() else { return };
            if let Some(fault) = &assembly.fault {
                self.fault = Some(fault.clone());
                self.legs.clear();
                return;
            }
            self.note_total(assembly.total);
            if let Mode::Searching(locate) = &self.mode {
                if let Some(found) = locate.find(&assembly.cells) {
                    self.mode = Mode::Found(assembly, found.index);
                    self.go_on_from_found();
                }
                return;
            }
            if assembly.moved {
                return self.read_again();
            }
            let is_planned_here = assembly.offset + 1 == self.tip.offset;
            let skip = match (overlaps, self.link(&assembly)) {
                (false, _) => {
                    // Nothing proves the place, unless it is the beginning: an item that moved past it was left out.
                    let is_unproven = assembly.limit == 1 && assembly.offset > 0;
                    self.tip.walk.found.unsteady |= is_unproven;
                    self.tip.walk.found.has_hole |= is_unproven;
                    0
                }
                (true, Link::Holds(index)) => {
                    self.note_place_kept();
                    self.tip.walk.found.has_hole |= index > 0;
                    self.tip.walk.found.has_short |= index > 0;
                    // Hidden rows, counted but not given, fit into the total. Otherwise this is not the page that was
                    // requested.
                    let end = assembly.offset + assembly.cells.len() as u32;
                    let fits = index == 0 || assembly.total.is_none_or(|total| end <= total);
                    self.tip.walk.found.unsteady |= !fits;
                    index + 1
                }
                (true, Link::Unverifiable) => 1,
                // It was requested before the page in front of it turned out to be short.
                (true, Link::Broken) if !is_planned_here && self.tip.walk.place.num_short > 0 => {
                    self.legs.clear();
                    return;
                }
                (true, Link::Unserved) => {
                    self.tip.walk.found.unsteady = true;
                    self.tip.walk.found.has_hole = true;
                    1
                }
                (true, Link::Broken) => return self.lose_place(assembly),
            };
            self.absorb(assembly, skip);
            if self.ended {
                self.legs.clear();
            } else if !self.verified {
                self.verified = true;
                if self.legs_per_batch > 1 {
                    self.plan(self.legs_per_batch - 1);
                }
            }
        }
    }
}

impl Leg {
    fn new(offset: u32, limit: u32, overlaps: bool) -> Leg {
        Leg { assembly: Assembly::new(offset, limit), overlaps }
    }
}

#[cfg(test)]
mod tests;
