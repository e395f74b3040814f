//! A search under way for what is missing from a listing: reads one page after the other.

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
    outcome: Option<Found>,
    pub num_requests: u32,
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
        let mut search = Search { entity, num_missing, bisection, page: None, outcome: None, num_requests: 0 };
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
            None => self.bisection.take(offset, total, &keys(&cells)).err().map(Found::Blocked),
        };
        self.go_on();
    }

    fn go_on(&mut self) {
        if self.outcome.is_some() {
            return;
        }
        match self.bisection.look() {
            Ok(Look::At(offset)) => self.page = Some(Assembly::new(offset, PAGE_LIMIT)),
            Ok(Look::Found(gone)) if gone.len() == self.num_missing as usize => {
                self.outcome = Some(Found::Gone(gone));
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
