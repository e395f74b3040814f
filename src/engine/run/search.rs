//! The search for what is missing once the head of a listing has been read: when it is made, how its pages are read,
//! and what is done with what it found.
//!
//! Nothing is committed before the search is over. A process that dies in the middle of it left a head that was read,
//! and the next one begins with that.

use super::{
    Activity, EntityRun, PAGE_LIMIT, Step, Ticket,
    assembly::{Assembly, Cell},
    bisection::{self, Bisection, Look, Obstacle, Order},
    flow::end_of,
    verify::Unconfirmed,
};
use crate::model::{Checkpoint, EntityType, Fault, Member, Page, PageRequest, Slot, SlotKey};

/// Searches that one run begins before it walks: a listing that moves under each of them would move under the next.
const SEARCHES_MAX: u32 = 3;

/// Members that are held in memory for a search, some 100 bytes each. Beyond that the listing is walked.
const MEMBERS_MAX: u32 = 200_000;

/// What a run has gathered for a search.
#[derive(Debug, Default)]
pub struct Clues {
    /// Keys of the slots of the head.
    head: Vec<SlotKey>,
    /// The listing moved while its head was read, so those are not the first slots one by one.
    is_broken: bool,
    num_searches: u32,
    num_requests: u32,
}

/// A search under way: one page at a time, as each tells where the next one is.
#[derive(Debug)]
pub struct Search {
    entity: EntityType,
    num_missing: u32,
    bisection: Bisection,
    page: Option<Assembly>,
    outcome: Option<Outcome>,
    num_requests: u32,
}

#[derive(Debug)]
enum Outcome {
    /// These are gone, and nothing else is missing.
    Found(Vec<String>),
    Blocked(Obstacle),
    Fault(Fault),
}

impl Clues {
    pub fn forget_head(&mut self) {
        self.head.clear();
        self.is_broken = false;
    }

    pub fn note_head(&mut self, offset: u32, slots: &[Slot]) {
        self.is_broken |= offset as usize != self.head.len();
        self.head.extend(slots.iter().map(Slot::key));
    }

    /// The first slots of the listing, as far as they are known.
    pub fn head(&self) -> &[SlotKey] {
        if self.is_broken { &[] } else { &self.head }
    }

    /// Whether the head shows this item.
    pub fn shows(&self, id: &str) -> bool {
        self.head.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Rows of the head that hold no identifiable item.
    pub fn num_unidentified(&self) -> u32 {
        self.head.iter().filter(|key| key.id.is_none()).count() as u32
    }
}

impl Search {
    fn new(entity: EntityType, num_missing: u32, bisection: Bisection) -> Search {
        let mut search = Search { entity, num_missing, bisection, page: None, outcome: None, num_requests: 0 };
        search.go_on();
        search
    }

    pub fn poll_fetch(&mut self, next_ticket: &mut Ticket) -> Option<Step> {
        let (ticket, offset, limit, patience) = self.page.as_mut()?.poll_piece(next_ticket)?;
        self.num_requests += 1;
        let request = PageRequest::Listing { entity: self.entity, offset, limit };
        Some(Step::Fetch { ticket, request, patience })
    }

    pub fn handle_page(&mut self, ticket: Ticket, answer: Result<Page, Fault>) {
        let Some(mut page) = self.page.take_if(|page| page.awaits(ticket)) else { return };
        // What cannot be served is left to the walk, which knows how to read around it.
        page.handle_answer(answer, false);
        let Assembly { offset, cells, total, fault, .. } = page;
        self.outcome = match fault {
            Some(Fault::Unservable(_)) => Some(Outcome::Blocked(Obstacle::Unfit)),
            Some(fault) => Some(Outcome::Fault(fault)),
            None => self.bisection.take(offset, total, &keys(&cells)).err().map(Outcome::Blocked),
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
                self.outcome = Some(Outcome::Found(gone));
            }
            Ok(Look::Found(_)) => self.outcome = Some(Outcome::Blocked(Obstacle::Moved)),
            Err(obstacle) => self.outcome = Some(Outcome::Blocked(obstacle)),
        }
    }
}

impl EntityRun {
    /// Whether what is missing is to be searched for. A search relies on what the last walk proved: that the database
    /// holds every row of the listing, newest first. And it costs less than a walk, or the walk is made, which proves more.
    pub(super) fn may_search(&self) -> bool {
        let Checkpoint { total: Some(total), ref walk, .. } = self.checkpoint else { return false };
        let Some(num_missing) = self.num_active.checked_sub(total).filter(|num_missing| *num_missing > 0) else {
            return false;
        };
        let holds_every_row =
            walk.memory.discrepancy == Some(0) && walk.found.num_unidentified == 0 && walk.found.num_gaps == 0;
        let newest_first = self.entity.is_newest_first() && !walk.found.disordered;
        // What is held back waits for a second walk that sees the same.
        let is_believed = walk.memory.held_removals.is_none() && self.believes(num_missing);
        let cost = self.clues.num_requests.saturating_add(bisection::estimate(num_missing, total));
        holds_every_row
            && newest_first
            && is_believed
            && self.clues.num_unidentified() == 0
            && self.clues.num_searches < SEARCHES_MAX
            && cost < bisection::num_pages(total)
            && self.num_active <= MEMBERS_MAX
    }

    /// Whether so many removals are believed at once.
    pub(super) fn believes(&self, num_removed: u32) -> bool {
        self.guard.lets_pass(num_removed, self.num_active)
    }

    pub(super) fn start_search(&mut self, members: Vec<Member>) {
        self.clues.num_searches += 1;
        let total = self.checkpoint.total.unwrap_or(0);
        let order = Order::new(members).filter(|order| order.len() == self.num_active as usize);
        let Some(order) = order else { return self.start_pass() };
        match Bisection::new(order, total, self.clues.head()) {
            Ok(bisection) => {
                let num_missing = self.num_active.saturating_sub(total);
                self.activity = Activity::Search(Search::new(self.entity, num_missing, bisection));
            }
            Err(obstacle) => self.go_around(obstacle),
        }
    }

    /// Takes up what a search came to; `false` while it goes on.
    pub(super) fn settle_search(&mut self) -> bool {
        let Activity::Search(search) = &mut self.activity else { return false };
        let Some(outcome) = search.outcome.take() else { return false };
        self.clues.num_requests += search.num_requests;
        match outcome {
            Outcome::Found(removed_ids) => {
                // What was saved again meanwhile stands at the head now, and is not gone.
                self.unconfirmed = Some(Unconfirmed { removed_ids, reading: None });
                self.start_head();
            }
            Outcome::Blocked(obstacle) => self.go_around(obstacle),
            Outcome::Fault(fault) => self.activity = Activity::Over(end_of(fault)),
        }
        true
    }

    fn go_around(&mut self, obstacle: Obstacle) {
        match obstacle {
            Obstacle::Moved if self.clues.num_searches < SEARCHES_MAX => self.start_head(),
            Obstacle::Moved | Obstacle::Unfit => self.start_pass(),
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
