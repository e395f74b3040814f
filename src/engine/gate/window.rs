//! The rolling window, counted exactly.
//!
//! A token bucket lets nearly twice its number through in an unlucky window; a log does not. A request counts from the
//! moment its permit is granted until one window after its answer came back, since it reached the API at some moment in
//! between: so neither the sender's clock nor the receiver's ever sees more than the limit.

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
        RollingWindow { limit: limit.max(1) as usize, length, answered: VecDeque::new(), num_in_use: 0 }
    }

    /// Goes on with another limit. What was sent stays counted, so a lower one takes hold at once.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit.max(1) as usize;
    }

    /// Counts requests that somebody else sent before now: all that fit, where their number is unknown.
    pub fn assume(&mut self, used: Option<u32>, at: Instant) {
        let used = used.map_or(self.limit, |used| (used as usize).min(self.limit));
        self.answered = std::iter::repeat_n(at, used).collect();
    }

    pub fn length(&self) -> Duration {
        self.length
    }

    pub fn room(&mut self, now: Instant) -> Room {
        self.expire(now);
        let used = self.num_in_use + self.answered.len();
        if used < self.limit {
            return Room::Free;
        }
        match self.answered.get(used - self.limit) {
            Some(last_too_many) => Room::FreeAt(*last_too_many + self.length),
            None => Room::InUse,
        }
    }

    pub fn used(&mut self, now: Instant) -> (u32, u32) {
        self.expire(now);
        ((self.num_in_use + self.answered.len()) as u32, self.limit as u32)
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
    }
}
