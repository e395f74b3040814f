//! When a follower of the feed waits: while there is nothing new, after a fault, and ever longer while its entries are
//! not accepted. [`super::notifying`] and [`super::relaying`] continue afterwards.

use super::backoff::delay;
use std::time::Duration;

/// What is done before anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rest {
    /// Note that nothing is accepted, and when the next try is.
    Note {
        why: String,
        wait: Duration,
    },
    Wait(Duration),
}

#[derive(Debug)]
pub struct Resting {
    /// The first wait after a refusal, and the longest that doubling leads to.
    waits: (Duration, Duration),
    /// Failed tries in a row.
    num_failures: u32,
    due: Option<Rest>,
}

impl Resting {
    pub const fn new(first: Duration, longest: Duration, num_failures: u32) -> Resting {
        Resting { waits: (first, longest), num_failures, due: None }
    }

    /// `None` means it may continue. Hands out the same until it is answered.
    pub fn poll(&self) -> Option<Rest> {
        self.due.clone()
    }

    pub fn begin(&mut self, wait: Duration) {
        self.due = Some(Rest::Wait(wait));
    }

    /// Something was accepted, or could be noted.
    pub fn handle_success(&mut self) {
        self.num_failures = 0;
    }

    /// Something was not accepted. Returns how long to wait, at least `at_least`. `jitter` is in `[0, 1)`.
    pub fn handle_failure(&mut self, why: String, at_least: Duration, jitter: f64) -> Duration {
        self.num_failures = self.num_failures.saturating_add(1);
        let (first, longest) = self.waits;
        let wait = delay(first, longest, self.num_failures, jitter).max(at_least);
        self.due = Some(Rest::Note { why, wait });
        wait
    }

    /// [`Rest::Note`] was carried out, or could not be: it says nothing that a restart needs.
    pub fn handle_noted(&mut self) {
        if let Some(Rest::Note { wait, .. }) = self.due {
            self.due = Some(Rest::Wait(wait));
        }
    }

    pub fn handle_waited(&mut self) {
        self.due = None;
    }
}
