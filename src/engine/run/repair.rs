//! What happens when the head of a listing does not explain the total: when to search for what is missing, and what to
//! do with the result.
//!
//! Nothing is committed before the search is over. If the process dies in the middle of it, the next one finds a head
//! that was read, and begins with that.

use super::{
    EntityRun,
    activity::{Activity, Next},
    bisection::{self, Bisection, DateOrder, Obstacle},
    search::{Found, Search},
    slice::Reading,
};
use crate::model::{Checkpoint, Member, Slot, SlotKey};

/// Searches that one run begins before it walks: a listing that moved under each of them would move under the next.
const SEARCHES_MAX: u32 = 3;

/// Members that are held in memory for a search, some 100 bytes each. Beyond that the listing is walked.
const MEMBERS_MAX: u32 = 200_000;

/// What is known, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Repair {
    pub clues: Clues,
    pub unconfirmed: Option<Unconfirmed>,
    /// Pages of the verifying pass that this run is still to read, once that is known.
    pub pages_to_verify: Option<u32>,
    /// A slice whose members are asked for.
    pub reading: Option<Reading>,
    /// What a slice has shown to be gone, until the same pages have been read again.
    pub doubted: Option<Vec<String>>,
    /// Pages of the slice under way.
    pub slice_len: u32,
}

/// Removals that were seen, and that a last look at the head may refute: an item that was saved again stands there.
#[derive(Debug)]
pub(super) struct Unconfirmed {
    pub removed_ids: Vec<String>,
    /// The slice that showed them; `None`: a search.
    pub reading: Option<Reading>,
}

/// What a run has gathered for a search.
#[derive(Debug, Default)]
pub struct Clues {
    /// Keys of the slots of the head.
    head: Vec<SlotKey>,
    /// The listing moved while its head was read, so the keys are not exactly the first slots.
    is_broken: bool,
    num_searches: u32,
    num_requests: u32,
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

    /// Those of them that do not even have a date.
    pub fn num_undated(&self) -> u32 {
        self.head.iter().filter(|key| key.id.is_none() && key.added_at.is_none()).count() as u32
    }
}

impl EntityRun {
    /// Whether to search for what is missing. A search relies on what the last walk proved: that the database holds
    /// every row of the listing, newest first. If it would cost as much as a walk, the walk is made instead, since it
    /// proves more.
    pub(super) fn may_search(&self) -> bool {
        let Checkpoint { total: Some(total), ref walk, .. } = self.checkpoint else { return false };
        let Some(num_missing) = self.num_active.checked_sub(total).filter(|num_missing| *num_missing > 0) else {
            return false;
        };
        let holds_every_row =
            walk.memory.discrepancy == Some(0) && walk.found.num_unidentified == 0 && walk.found.num_gaps == 0;
        let newest_first = self.frame.entity.is_newest_first() && !walk.found.disordered;
        // Held removals wait for a second walk that sees the same.
        let is_believed = walk.memory.held_removals.is_none() && self.believes(num_missing);
        let cost = self.repair.clues.num_requests.saturating_add(bisection::estimate(num_missing, total));
        holds_every_row
            && newest_first
            && is_believed
            && self.repair.clues.num_unidentified() == 0
            && self.repair.clues.num_searches < SEARCHES_MAX
            && cost < bisection::num_pages(total)
            && self.num_active <= MEMBERS_MAX
    }

    /// Whether this many removals are believed at once.
    pub(super) fn believes(&self, num_removed: u32) -> bool {
        self.frame.guard.lets_pass(num_removed, self.num_active)
    }

    pub(super) fn start_search(&mut self, members: Vec<Member>) -> Next {
        self.repair.clues.num_searches += 1;
        let total = self.checkpoint.total.unwrap_or(0);
        let order = DateOrder::new(members).filter(|order| order.len() == self.num_active as usize);
        let Some(order) = order else { return Next::Pass };
        match Bisection::new(order, total, self.repair.clues.head()) {
            Ok(bisection) => {
                let num_missing = self.num_active.saturating_sub(total);
                Next::activity(Activity::Search(Search::new(self.frame.entity, num_missing, bisection)))
            }
            Err(obstacle) => self.go_around(obstacle),
        }
    }

    /// Takes in the result of a search; `None` while it continues.
    pub(super) fn settle_search(&mut self) -> Option<Next> {
        let Activity::Search(search) = &mut self.activity else { return None };
        let found = search.poll_found()?;
        self.repair.clues.num_requests += search.num_requests;
        Some(match found {
            Found::Gone(removed_ids) => {
                // What was saved again meanwhile stands at the head now, and is not gone.
                self.repair.unconfirmed = Some(Unconfirmed { removed_ids, reading: None });
                Next::Head
            }
            Found::Blocked(obstacle) => self.go_around(obstacle),
            Found::Fault(fault) => Next::fail(fault),
        })
    }

    fn go_around(&self, obstacle: Obstacle) -> Next {
        match obstacle {
            Obstacle::Moved if self.repair.clues.num_searches < SEARCHES_MAX => Next::Head,
            Obstacle::Moved | Obstacle::Unfit => Next::Pass,
        }
    }
}
