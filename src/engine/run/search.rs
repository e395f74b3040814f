//! A search under way for what is missing from a listing: reads one page after the other, and those in which something
//! is missing once more. For what one answer lacks may only have been left out of it.

use super::{
    PAGE_LIMIT, Ticket,
    assembly::{Assembly, Cell},
    bisection::{Bisection, Look, Obstacle},
    step::Step,
};
use crate::model::{EntityType, Fault, Page, PageRequest, SlotKey};

/// A search under way: one page at a time, as each tells where the next one is.
#[derive(Debug)]
pub struct Search {
    entity: EntityType,
    num_missing: u32,
    bisection: Bisection,
    page: Option<Assembly>,
    doubted: Option<Doubted>,
    outcome: Option<Found>,
    pub num_requests: u32,
}

/// What was found, until the pages that showed it have been read again.
#[derive(Debug)]
struct Doubted {
    gone: Vec<String>,
    /// Offsets of those pages, the next one last.
    pages: Vec<u32>,
}

/// How a search ended.
#[derive(Debug)]
pub enum Found {
    /// These are gone, and nothing else is missing.
    Gone(Vec<String>),
    Blocked(Obstacle),
    Fault(Fault),
}

impl Search {
    pub fn new(entity: EntityType, num_missing: u32, bisection: Bisection) -> Search {
        let mut search =
            Search { entity, num_missing, bisection, page: None, doubted: None, outcome: None, num_requests: 0 };
        search.go_on();
        search
    }

    /// How it ended, once it has.
    pub fn poll_found(&mut self) -> Option<Found> {
        self.outcome.take()
    }

    pub fn poll_fetch(&mut self, next_ticket: &mut Ticket) -> Option<Step> {
        let (ticket, offset, limit, patience) = self.page.as_mut()?.poll_piece(next_ticket)?;
        self.num_requests += 1;
        let request = PageRequest::Listing { entity: self.entity, offset, limit };
        Some(Step::Fetch { ticket, request, patience })
    }

    pub fn handle_page(&mut self, ticket: Ticket, answer: Result<Page, Fault>) {
        let Some(mut page) = self.page.take_if(|page| page.awaits(ticket)) else { return };
        // Pages that cannot be served are left to the walk, which knows how to read around them.
        page.handle_answer(answer, false);
        let Assembly { offset, cells, total, fault, .. } = page;
        self.outcome = match fault {
            Some(Fault::Unservable(_)) => Some(Found::Blocked(Obstacle::Unfit)),
            Some(fault) => Some(Found::Fault(fault)),
            None => {
                let keys = keys(&cells);
                let taken = match self.doubted {
                    Some(_) => self.bisection.confirm(offset, total, &keys),
                    None => self.bisection.take(offset, total, &keys),
                };
                taken.err().map(Found::Blocked)
            }
        };
        self.go_on();
    }

    fn go_on(&mut self) {
        if self.outcome.is_some() {
            return;
        }
        if let Some(doubted) = &mut self.doubted {
            match doubted.pages.pop() {
                Some(offset) => self.page = Some(Assembly::new(offset, PAGE_LIMIT)),
                None => self.outcome = Some(Found::Gone(std::mem::take(&mut doubted.gone))),
            }
            return;
        }
        match self.bisection.look() {
            Ok(Look::At(offset)) => self.page = Some(Assembly::new(offset, PAGE_LIMIT)),
            Ok(Look::Found(gone)) if gone.len() == self.num_missing as usize => {
                let pages = self.bisection.pages_without(&gone);
                self.doubted = Some(Doubted { gone, pages });
                self.go_on();
            }
            Ok(Look::Found(_)) => self.outcome = Some(Found::Blocked(Obstacle::Moved)),
            Err(obstacle) => self.outcome = Some(Found::Blocked(obstacle)),
        }
    }
}

fn keys(cells: &[Cell]) -> Vec<SlotKey> {
    let key = |cell: &Cell| match cell {
        Cell::Slot(slot) => slot.key(),
        Cell::Gap { .. } => SlotKey { id: None, added_at: None },
    };
    cells.iter().map(key).collect()
}
