//! One planned page, and what becomes of it when the API cannot serve it.
//!
//! A 5xx that persists at one offset must not stop the walk there. The page is halved around the fault until a single
//! slot is left; that slot becomes a gap, everything beside it is read. Each piece begins with the last slot of the one
//! before it, so that a listing that moves between them is noticed. If nothing at all comes back, the cause is an
//! outage and not the offset, and the isolation stops.

use super::{
    Ticket,
    follows::{Claims, Follows},
};
use crate::{
    engine::backoff::Patience,
    model::{Fault, Page, Slot},
};
use std::collections::HashSet;

/// Failed requests in a row, without one answer, that mean an outage. Halving a page of 50 down to one slot takes
/// seven.
const OUTAGE_FAILURES: u32 = 10;

/// A slot, or the place of one that the API could not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    Slot(Box<Slot>),
    Gap { reason: String },
}

/// Whether two slots of one page hold the same item, in which case another may have been left out.
pub fn has_double(cells: &[Cell]) -> bool {
    let mut met = HashSet::with_capacity(cells.len());
    cells.iter().any(|cell| matches!(cell, Cell::Slot(slot) if slot.id().is_some_and(|id| !met.insert(id))))
}

/// A request for `[offset, offset + limit)` on its way.
#[derive(Debug, Clone)]
pub struct Assembly {
    pub offset: u32,
    pub limit: u32,
    /// Pieces not asked for yet, the next one last.
    todo: Vec<(u32, u32)>,
    asked: Option<Asked>,
    pub cells: Vec<Cell>,
    pub total: Option<u32>,
    pub next_cursor: Option<String>,
    /// What follows the last row received, according to its answer.
    pub follows: Follows,
    failures_in_a_row: u32,
    patience: Patience,
    /// Read in more than one piece, so at more than one moment.
    pub in_pieces: bool,
    /// The listing moved between two pieces: something may have slipped through.
    pub moved: bool,
    /// Set when the page is given up.
    pub fault: Option<Fault>,
}

/// A piece on its way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    ticket: Ticket,
    offset: u32,
    limit: u32,
    /// One slot more was asked for: the last one of the piece before, which proves that the two link up.
    overlaps: bool,
}

impl Assembly {
    pub fn new(offset: u32, limit: u32) -> Assembly {
        Assembly {
            offset,
            limit,
            todo: vec![(offset, limit)],
            asked: None,
            cells: Vec::with_capacity(limit as usize),
            total: None,
            next_cursor: None,
            follows: Follows::More,
            failures_in_a_row: 0,
            patience: Patience::Page,
            in_pieces: false,
            moved: false,
            fault: None,
        }
    }

    /// A range that could not be served before: one more try is enough.
    pub fn again(offset: u32, limit: u32) -> Assembly {
        Assembly { patience: Patience::Piece, ..Assembly::new(offset, limit) }
    }

    /// Asks for gaps that are known by themselves, so that the page need not be halved to find them. They are in order.
    pub fn split_at(mut self, gaps: &[(u32, u32)]) -> Assembly {
        let (mut at, end) = (self.offset, self.offset + self.limit);
        let mut pieces = Vec::new();
        for (from, to) in gaps {
            let (from, to) = ((*from).max(at), (*to).min(end));
            if from < to {
                pieces.extend((from > at).then(|| (at, from - at)));
                pieces.push((from, to - from));
                at = to;
            }
        }
        if pieces.is_empty() {
            return self;
        }
        if at < end {
            pieces.push((at, end - at));
        }
        pieces.reverse();
        (self.todo, self.in_pieces) = (pieces, true);
        self
    }

    /// The next piece to ask for, at most one at a time.
    pub fn poll_piece(&mut self, next_ticket: &mut Ticket) -> Option<(Ticket, u32, u32, Patience)> {
        if self.asked.is_some() || self.fault.is_some() {
            return None;
        }
        let (offset, limit) = self.todo.pop()?;
        let ticket = next_ticket.take();
        let overlaps = matches!(self.cells.last(), Some(Cell::Slot(_)));
        self.asked = Some(Asked { ticket, offset, limit, overlaps });
        let patience = if limit == self.limit { self.patience } else { Patience::Piece };
        let shared = u32::from(overlaps);
        Some((ticket, offset - shared, limit + shared, patience))
    }

    pub fn awaits(&self, ticket: Ticket) -> bool {
        self.asked.is_some_and(|asked| asked.ticket == ticket)
    }

    pub fn is_settled(&self) -> bool {
        self.fault.is_some() || (self.asked.is_none() && self.todo.is_empty())
    }

    /// Slots of the range that could not be served.
    pub fn num_gaps(&self) -> u32 {
        self.cells.iter().filter(|cell| matches!(cell, Cell::Gap { .. })).count() as u32
    }

    /// Slots of the range that were read.
    pub fn num_read(&self) -> u32 {
        self.cells.iter().filter(|cell| matches!(cell, Cell::Slot(_))).count() as u32
    }

    /// Takes in the answer to the piece that was asked for. `divisible` says whether the listing is paged by offset,
    /// so that a part of the page can be asked for by itself.
    pub fn handle_answer(&mut self, answer: Result<Page, Fault>, divisible: bool) {
        let Some(Asked { offset, limit, overlaps, .. }) = self.asked.take() else { return };
        match answer {
            Ok(mut page) => {
                self.failures_in_a_row = 0;
                let shared = u32::from(overlaps);
                // Rows beyond the limit are dropped: if the API ignores the limit, they would be counted twice.
                page.slots.truncate((limit + shared) as usize);
                self.follows = Follows::of(Claims {
                    offset: offset - shared,
                    asked: limit + shared,
                    num_rows: page.slots.len() as u32,
                    total: page.total,
                    limit: page.limit,
                    next: page.next,
                });
                self.moved |= self.total.zip(page.total).is_some_and(|(before, now)| before != now);
                if overlaps {
                    let shared = page.slots.drain(..page.slots.len().min(1)).next();
                    self.moved |= !matches!(self.cells.last(), Some(Cell::Slot(last)) if Some(last.key()) == shared.map(|slot| slot.key()));
                }
                if (page.slots.len() as u32) < limit {
                    // Shorter than asked: what follows lies beyond the end of the listing, or somewhere else than asked
                    // for.
                    self.todo.clear();
                }
                self.total = page.total.or(self.total);
                if let Some(total) = page.total.filter(|_| page.slots.is_empty()) {
                    // A range that failed before the total was known may contain no slot at all. A slot that was read
                    // is one, whatever the total says.
                    let num_told = total.saturating_sub(self.offset) as usize;
                    while self.cells.len() > num_told
                        && self.cells.pop_if(|cell| matches!(cell, Cell::Gap { .. })).is_some()
                    {}
                }
                self.next_cursor = page.next_cursor;
                self.cells.extend(page.slots.into_iter().map(|slot| Cell::Slot(Box::new(slot))));
            }
            Err(Fault::Unservable(reason)) if divisible => {
                self.failures_in_a_row += 1;
                if self.failures_in_a_row > OUTAGE_FAILURES {
                    self.fault = Some(Fault::Unreachable(reason));
                } else if limit > 1 {
                    self.in_pieces = true;
                    let left = limit / 2;
                    self.todo.push((offset + left, limit - left));
                    self.todo.push((offset, left));
                } else {
                    self.cells.push(Cell::Gap { reason });
                }
            }
            Err(fault) => self.fault = Some(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Artist, Item, Oddity};

    fn slot() -> Slot {
        Slot { item: None, added_at: None, odd: Some(Oddity::Null) }
    }

    /// Runs an assembly against a listing of `total` slots where `bad` slots fail every request that covers them.
    fn assemble(offset: u32, total: u32, bad: &[u32]) -> (Assembly, u32) {
        let (mut assembly, mut ticket, mut requests) = (Assembly::new(offset, 50), Ticket::default(), 0);
        while let Some((_, from, limit, _)) = assembly.poll_piece(&mut ticket) {
            requests += 1;
            assembly.handle_answer(answer(from, limit, total, bad), true);
        }
        (assembly, requests)
    }

    fn answer(from: u32, limit: u32, total: u32, bad: &[u32]) -> Result<Page, Fault> {
        let to = (from + limit).min(total);
        if bad.iter().any(|slot| (from..from + limit).contains(slot)) {
            return Err(Fault::Unservable("503".into()));
        }
        Ok(Page { total: Some(total), slots: (from..to.max(from)).map(|_| slot()).collect(), ..Page::default() })
    }

    fn gaps(assembly: &Assembly) -> Vec<u32> {
        let cells = assembly.cells.iter().zip(assembly.offset..);
        cells.filter(|(cell, _)| matches!(cell, Cell::Gap { .. })).map(|(_, at)| at).collect()
    }

    #[test]
    fn a_page_that_comes_costs_one_request() {
        let (assembly, requests) = assemble(100, 5000, &[]);
        assert_eq!((assembly.cells.len(), requests), (50, 1));
    }

    #[test]
    fn any_single_bad_slot_is_isolated_in_few_requests() {
        for bad in 100..150 {
            let (assembly, requests) = assemble(100, 5000, &[bad]);
            assert_eq!(gaps(&assembly), [bad]);
            assert_eq!(assembly.cells.len(), 50);
            assert!(requests <= 13, "slot {bad} took {requests} requests");
        }
    }

    #[test]
    fn a_gap_that_is_known_costs_one_request_besides_the_page() {
        for (known, bad, most) in [((0, 1), 0, 2), ((20, 21), 20, 3), ((49, 50), 49, 2), ((90, 91), 7, 13)] {
            let mut page = Assembly::new(0, 50).split_at(&[known]);
            let (mut ticket, mut requests) = (Ticket::default(), 0);
            while let Some((_, from, limit, _)) = page.poll_piece(&mut ticket) {
                requests += 1;
                page.handle_answer(answer(from, limit, 120, &[bad]), true);
            }
            assert_eq!((gaps(&page), page.cells.len()), (vec![bad], 50));
            assert!(requests <= most, "{known:?}: {requests} requests");
        }
    }

    #[test]
    fn two_bad_slots_become_two_gaps() {
        let (assembly, _) = assemble(0, 60, &[3, 41]);
        assert_eq!(gaps(&assembly), [3, 41]);
    }

    #[test]
    fn an_api_that_serves_nothing_is_an_outage_and_no_gap() {
        let everything: Vec<u32> = (0..50).collect();
        let (assembly, requests) = assemble(0, 50, &everything);
        assert!(matches!(assembly.fault, Some(Fault::Unreachable(_))));
        assert_eq!(requests, OUTAGE_FAILURES + 1);
    }

    /// Found by the simulation: an outage that ends while a page is halved.
    #[test]
    fn what_lies_beyond_the_end_is_no_gap() {
        let (mut assembly, mut ticket) = (Assembly::new(0, 4), Ticket::default());
        for _ in 0..4 {
            assembly.poll_piece(&mut ticket);
            assembly.handle_answer(Err(Fault::Unservable("502".into())), true);
        }
        assert_eq!(gaps(&assembly), [0, 1]);
        assembly.poll_piece(&mut ticket);
        assembly.handle_answer(Ok(Page { total: Some(1), slots: Vec::new(), ..Page::default() }), true);
        assert!(assembly.is_settled());
        assert_eq!(gaps(&assembly), [0]);
    }

    /// Found by the simulation: a total that was too small cut off slots that had come.
    #[test]
    fn a_slot_that_came_lies_before_the_end_whatever_the_total_says() {
        let (mut assembly, mut ticket) = (Assembly::new(0, 10), Ticket::default());
        assembly.poll_piece(&mut ticket);
        assembly.handle_answer(Err(Fault::Unservable("502".into())), true);
        for num_slots in [5, 1] {
            assembly.poll_piece(&mut ticket);
            let slots = (0..num_slots).map(|_| slot()).collect();
            assembly.handle_answer(Ok(Page { total: Some(2), slots, ..Page::default() }), true);
        }
        assert!(assembly.is_settled());
        assert_eq!((assembly.num_read(), assembly.num_gaps()), (5, 0));
    }

    /// Found by the simulation: what slides from one piece to the other stands in neither.
    #[test]
    fn a_listing_that_moves_between_two_pieces_is_found_out() {
        let named = |name: &str| Slot { added_at: None, odd: None, item: Some(item(name)) };
        for (shown, moved) in [(["b", "c"], false), (["c", "d"], true)] {
            let (mut assembly, mut ticket) = (Assembly::new(0, 4), Ticket::default());
            assembly.poll_piece(&mut ticket);
            assembly.handle_answer(Err(Fault::Unservable("502".into())), true);
            let page =
                |names: [&str; 2]| Ok(Page { total: Some(3), slots: names.map(named).into(), ..Page::default() });
            assembly.poll_piece(&mut ticket);
            assembly.handle_answer(page(["a", "b"]), true);
            let piece = assembly.poll_piece(&mut ticket).map(|(_, offset, limit, _)| (offset, limit));
            assert_eq!(piece, Some((1, 3)), "the last slot is asked for again");
            assembly.handle_answer(page(shown), true);
            assert_eq!((assembly.moved, assembly.cells.len()), (moved, 3));
        }
    }

    fn item(id: &str) -> Item {
        Item::Artist(Box::new(Artist { id: id.into(), name: String::new(), genres: None, image_url: None }))
    }

    #[test]
    fn pieces_beyond_the_end_are_not_asked_for() {
        let (assembly, _) = assemble(0, 10, &[2]);
        assert_eq!(gaps(&assembly), [2]);
        assert_eq!(assembly.cells.len(), 10);
    }
}
