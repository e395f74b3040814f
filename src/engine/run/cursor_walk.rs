//! A walk over the followed artists, which are paged by cursor and sorted by id.
//!
//! The cursor is the id of the last artist read, so changes elsewhere in the listing do not move the place: an artist
//! that stays followed is always met, and a resumed walk needs no anchor. The total of this listing is known to be
//! wrong at times, so it only decides whether the walk may mark anything removed.
//!
//! An end that disagrees with the total is confirmed by a second request. If nothing came at all, or the API refused,
//! the made-up cursor that the walk begins with may be to blame, and the listing is requested without one.
//!
//! A cursor that comes back, or one that does not rise and brings only artists already read, leads round in circles. A
//! listing that goes on beyond its total by more than a margin is treated the same. Such a walk ends, and proves
//! nothing.

use super::{
    Ticket,
    assembly::{Assembly, Cell, has_double},
    follows::Follows,
    step::WalkBatch,
};
use crate::{
    engine::backoff::Patience,
    model::{Checkpoint, FIRST_CURSOR, Fault, Page, PageRequest, Slot},
};
use std::collections::HashSet;

/// Artists that are read beyond the total.
const TOTAL_MARGIN: u32 = 100;

#[derive(Debug)]
pub struct CursorWalk {
    limit: u32,
    pages_per_batch: usize,
    tip: Checkpoint,
    page: Option<Assembly>,
    slots: Vec<Slot>,
    num_pages: usize,
    ended: bool,
    /// The listing ended before its total, and is requested once more from after the last artist.
    is_asking_again: bool,
    /// The cursor that precedes all artists returned nothing.
    begins_anywhere: bool,
    /// Cursors and artists that this walk has met.
    cursors: HashSet<String>,
    met: HashSet<String>,
    total_max: Option<u32>,
    /// Rows of the pages that others followed.
    lengths: Vec<u32>,
    fault: Option<Fault>,
}

impl CursorWalk {
    pub fn new(tip: Checkpoint, batch_size: u32, page_limit: u32) -> CursorWalk {
        CursorWalk {
            limit: page_limit.min(batch_size),
            pages_per_batch: batch_size.div_ceil(page_limit).max(1) as usize,
            page: None,
            slots: Vec::new(),
            num_pages: 0,
            ended: false,
            is_asking_again: false,
            begins_anywhere: false,
            cursors: tip.cursor.iter().cloned().collect(),
            met: HashSet::new(),
            total_max: tip.total,
            lengths: Vec::new(),
            fault: None,
            tip,
        }
    }

    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    pub fn poll_fetch(&mut self, next_ticket: &mut Ticket, may_plan: bool) -> Option<(Ticket, PageRequest, Patience)> {
        let begins = self.num_pages == 0;
        let wants_more = self.num_pages < self.pages_per_batch;
        if self.page.is_none() && self.fault.is_none() && !self.ended && wants_more && (may_plan || !begins) {
            self.page = Some(Assembly::new(self.tip.offset, self.limit));
        }
        let (ticket, _, limit, patience) = self.page.as_mut()?.poll_piece(next_ticket)?;
        let first = || (!self.begins_anywhere).then(|| FIRST_CURSOR.to_owned());
        let after = self.tip.cursor.clone().or_else(first);
        Some((ticket, PageRequest::Following { after, limit }, patience))
    }

    pub fn handle_page(&mut self, ticket: Ticket, answer: Result<Page, Fault>) {
        let Some(mut page) = self.page.take_if(|page| page.awaits(ticket)) else { return };
        page.handle_answer(answer, false);
        if let Some(fault) = page.fault {
            let is_refused = matches!(fault, Fault::Outage(_)) && self.tip.cursor.is_none() && !self.begins_anywhere;
            if is_refused {
                self.begins_anywhere = true;
            } else {
                self.fault = Some(fault);
            }
            return;
        }
        self.num_pages += 1;
        let moved = self.tip.total.zip(page.total).is_some_and(|(before, now)| before != now);
        self.tip.walk.found.unsteady |= moved;
        self.tip.walk.found.has_shrunk |= moved && page.total < self.tip.total;
        self.tip.total = page.total.or(self.tip.total);
        self.total_max = self.total_max.max(page.total);
        let is_double = has_double(&page.cells);
        self.tip.walk.found.has_double |= is_double;
        self.tip.walk.found.has_hole |= moved || is_double;
        let num_rows = page.cells.len() as u32;
        let is_whole = num_rows >= self.limit || page.follows == Follows::Capped(num_rows);
        if page.next_cursor.is_some() {
            self.lengths.push(if is_whole { self.limit } else { num_rows });
        }
        let num_met = self.met.len();
        for cell in page.cells {
            if let Cell::Slot(slot) = cell {
                self.tip.offset += 1;
                self.met.extend(slot.id().map(str::to_owned));
                self.tip.walk.found.num_unidentified += u32::from(slot.id().is_none());
                self.tip.walk.found.num_undated += u32::from(slot.id().is_none() && slot.added_at.is_none());
                self.slots.push(*slot);
            }
        }
        match page.next_cursor {
            Some(cursor) => {
                let rises = self.tip.cursor.as_ref().is_none_or(|before| cursor > *before);
                let is_beyond =
                    self.total_max.is_some_and(|total| self.tip.offset > total.saturating_add(TOTAL_MARGIN));
                let is_known = !self.cursors.insert(cursor.clone());
                if is_known || is_beyond || !rises && self.met.len() == num_met {
                    // The same pages over and over: an end, but not one that proves anything.
                    self.tip.walk.found.unsteady = true;
                    self.tip.walk.found.is_broken = true;
                    self.ended = true;
                } else {
                    self.tip.cursor = Some(cursor);
                }
            }
            None => {
                let known = self.tip.offset + self.tip.walk.memory.num_hidden;
                let agrees = self.tip.total.is_some_and(|total| total == known || total == self.tip.offset);
                let is_vain = self.is_asking_again && self.met.len() == num_met;
                // The cursor before every id is ours: a listing that shows nothing after it has shown nothing at all.
                let is_bare = self.met.is_empty() && self.tip.cursor.is_none() && !self.begins_anywhere;
                self.is_asking_again = (!agrees || is_bare) && !is_vain;
                self.begins_anywhere |= self.met.is_empty();
                if is_bare {
                    (self.tip.total, self.total_max) = (None, None);
                }
                self.ended = !self.is_asking_again;
                // A run resumed from here looks after the last artist and does not read the last page again.
                let last = self.slots.iter().rev().find_map(Slot::id).map(str::to_owned);
                self.tip.cursor = last.or(self.tip.cursor.take());
            }
        }
        if self.ended {
            // Pages that are all as short as the first are capped.
            let is_even = self.lengths.len() > 1 && self.lengths.windows(2).all(|two| two[0] == two[1]);
            self.tip.walk.found.has_short |= !is_even && self.lengths.iter().any(|length| *length < self.limit);
            self.tip.walk.found.unsteady |= self.tip.total.is_some_and(|total| total != self.tip.offset);
        }
    }

    /// Drops what is in flight; what was read stays to be handed out.
    pub fn handle_stop(&mut self) {
        self.page = None;
        self.fault = Some(Fault::Stopped);
    }

    pub fn poll_batch(&mut self) -> Option<WalkBatch> {
        let is_full = self.num_pages >= self.pages_per_batch;
        let is_cut = self.fault.is_some() && !self.slots.is_empty();
        let finishes = self.ended && self.fault.is_none();
        if self.page.is_some() || !(is_full || is_cut || finishes) {
            return None;
        }
        self.num_pages = 0;
        let slots = std::mem::take(&mut self.slots);
        let offset_from = self.tip.offset - slots.len() as u32;
        Some(WalkBatch {
            before: None,
            offset_from,
            offset_to: self.tip.offset,
            slots,
            gaps: Vec::new(),
            tip: self.tip.clone(),
            ended: self.ended,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Artist, Item, Phase};

    /// Asks once, answers, and returns what was requested.
    fn ask(walk: &mut CursorWalk, answer: Result<Page, Fault>) -> Option<String> {
        let (ticket, request, _) = walk.poll_fetch(&mut Ticket::default(), true).unwrap();
        walk.handle_page(ticket, answer);
        match request {
            PageRequest::Following { after, .. } => after,
            PageRequest::Listing { .. } | PageRequest::PlaylistItems { .. } => panic!("{request:?}"),
        }
    }

    fn page(ids: &[&str]) -> Page {
        let artist = |id: &&str| Artist { id: (*id).to_owned(), name: "A".to_owned(), genres: None, image_url: None };
        let slot = |id| Slot { item: Some(Item::Artist(Box::new(artist(id)))), added_at: None, odd: None };
        Page { total: Some(2), slots: ids.iter().map(slot).collect(), ..Page::default() }
    }

    #[test]
    fn where_the_cursor_before_all_brings_nothing_the_listing_is_asked_for_without_one() {
        let mut walk = CursorWalk::new(Checkpoint::start(Phase::InitialSync), 100, 50);
        assert_eq!(ask(&mut walk, Ok(page(&[]))).as_deref(), Some(FIRST_CURSOR));
        assert!(walk.poll_batch().is_none());
        assert_eq!(ask(&mut walk, Ok(page(&["a", "b"]))), None);
        let batch = walk.poll_batch().unwrap();
        assert_eq!((batch.slots.len(), batch.ended, batch.tip.walk.found.unsteady), (2, true, false));
    }

    #[test]
    fn nothing_after_the_cursor_before_all_is_not_the_end_whatever_the_total_says() {
        let mut walk = CursorWalk::new(Checkpoint::start(Phase::InitialSync), 100, 50);
        let nothing = || Ok(Page { total: Some(0), ..page(&[]) });
        assert_eq!(ask(&mut walk, nothing()).as_deref(), Some(FIRST_CURSOR));
        assert!(walk.poll_batch().is_none());
        assert_eq!(ask(&mut walk, Ok(page(&["a", "b"]))), None);
        let batch = walk.poll_batch().unwrap();
        assert_eq!((batch.slots.len(), batch.ended, batch.tip.walk.found.unsteady), (2, true, false));
        let mut walk = CursorWalk::new(Checkpoint::start(Phase::InitialSync), 100, 50);
        assert_eq!((ask(&mut walk, nothing()).is_some(), ask(&mut walk, nothing())), (true, None));
        assert!(walk.poll_batch().is_some_and(|batch| batch.ended), "nobody is followed");
    }

    #[test]
    fn where_the_cursor_before_all_is_refused_the_listing_is_asked_for_without_one_once() {
        let outage = || Err(Fault::Outage("400".to_owned()));
        let mut walk = CursorWalk::new(Checkpoint::start(Phase::InitialSync), 50, 50);
        assert_eq!(ask(&mut walk, outage()).as_deref(), Some(FIRST_CURSOR));
        assert_eq!((ask(&mut walk, outage()), walk.fault().is_some()), (None, true));
        // Later cursors are the API's own.
        let checkpoint =
            Checkpoint { cursor: Some("m".to_owned()), offset: 1, ..Checkpoint::start(Phase::InitialSync) };
        let mut walk = CursorWalk::new(checkpoint, 50, 50);
        assert_eq!((ask(&mut walk, outage()).as_deref(), walk.fault().is_some()), (Some("m"), true));
    }
}
