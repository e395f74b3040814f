//! The rolling window, counted exactly.
//!
//! A token bucket lets nearly twice its number through in an unlucky window; a log does not. A request counts from the
//! moment its permit is granted until one window after its answer came back, since it reached the API at some moment in
//! between: so neither the sender's clock nor the receiver's ever sees more than the limit. What other processes on the
//! same database have sent counts for as long as [`super::look`] says.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

#[derive(Debug)]
pub struct RollingWindow {
    limit: usize,
    length: Duration,
    /// When each used permit was answered, oldest first.
    answered: VecDeque<Instant>,
    num_in_use: usize,
    /// Requests of other processes, each number with the moment from which it no longer counts; the first to end comes
    /// first.
    others: Vec<(Instant, u32)>,
}

/// Whether one more fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    Free,
    FreeAt(Instant),
    /// Permits that are out fill the window; room comes with the first that returns.
    InUse,
}

impl RollingWindow {
    /// At most `limit` requests, at least one, in any window of `length`.
    pub fn new(limit: u32, length: Duration) -> RollingWindow {
        RollingWindow {
            limit: limit.max(1) as usize,
            length,
            answered: VecDeque::new(),
            num_in_use: 0,
            others: Vec::new(),
        }
    }

    /// Goes on with another limit. What was sent stays counted, so a lower one takes effect at once.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit.max(1) as usize;
    }

    /// Counts requests of an earlier life, as if they were answered at these moments.
    pub fn assume(&mut self, sent: impl IntoIterator<Item = (u32, Instant)>) {
        let limit = self.limit;
        let sent = sent.into_iter().flat_map(|(requests, at)| std::iter::repeat_n(at, limit.min(requests as usize)));
        self.answered.extend(sent);
        self.answered.make_contiguous().sort_unstable();
    }

    /// Replaces the counted requests of other processes, each number until its moment.
    pub fn set_others(&mut self, mut others: Vec<(Instant, u32)>) {
        others.sort_unstable();
        self.others = others;
    }

    pub fn length(&self) -> Duration {
        self.length
    }

    pub fn room(&mut self, now: Instant) -> Room {
        let used = self.count(now);
        if used < self.limit {
            return Room::Free;
        }
        let num_too_many = used - self.limit;
        let ends_at = match self.others.is_empty() {
            true => self.answered.get(num_too_many).map(|at| *at + self.length),
            false => self.end_of(num_too_many),
        };
        ends_at.map_or(Room::InUse, Room::FreeAt)
    }

    /// When the first `number` + 1 requests no longer count, those under way aside.
    fn end_of(&self, number: usize) -> Option<Instant> {
        let mut own = self.answered.iter().map(|at| *at + self.length).peekable();
        let mut before = 0;
        for (ends_at, requests) in &self.others {
            while let Some(at) = own.next_if(|at| at <= ends_at) {
                if before == number {
                    return Some(at);
                }
                before += 1;
            }
            before += *requests as usize;
            if before > number {
                return Some(*ends_at);
            }
        }
        own.nth(number - before)
    }

    pub fn used(&mut self, now: Instant) -> (u32, u32) {
        (self.count(now) as u32, self.limit as u32)
    }

    /// Requests of this process that are under way.
    pub fn num_in_use(&self) -> u32 {
        self.num_in_use as u32
    }

    /// Requests of this process that were answered and still count, oldest first.
    pub fn answered(&mut self, now: Instant) -> impl Iterator<Item = Instant> {
        self.expire(now);
        self.answered.iter().copied()
    }

    fn count(&mut self, now: Instant) -> usize {
        self.expire(now);
        let others: usize = self.others.iter().map(|(_, requests)| *requests as usize).sum();
        self.num_in_use + self.answered.len() + others
    }

    pub fn handle_granted(&mut self) {
        self.num_in_use += 1;
    }

    pub fn handle_answered(&mut self, now: Instant) {
        self.handle_unused();
        self.answered.push_back(now);
    }

    pub fn handle_unused(&mut self) {
        debug_assert!(self.num_in_use > 0, "a permit is returned once");
        self.num_in_use = self.num_in_use.saturating_sub(1);
    }

    fn expire(&mut self, now: Instant) {
        // An answer exactly one window old may still share a window with a request sent now.
        while self.answered.front().is_some_and(|at| now.saturating_duration_since(*at) > self.length) {
            self.answered.pop_front();
        }
        self.others.retain(|(ends_at, _)| now <= *ends_at);
    }
}
