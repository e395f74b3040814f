//! How often a database that does not answer is asked again, and for how long it is waited for.
//!
//! | why a look failed | the next one | given up |
//! |---|---|---|
//! | for a reason that may pass | after half a second, doubled each time up to 5 s | after [`PASSING_MAX`] |
//! | for one that lasts | the same | after [`LASTING_LOOKS_MAX`] looks |
//!
//! Giving up is for those who wait at that moment: they are refused. The gate goes on looking.

use crate::engine::backoff::doubled;
use std::time::{Duration, Instant};

/// Between the first two looks.
pub const RETRY_DATABASE_AFTER: Duration = Duration::from_millis(500);

/// Between two looks at most: so long may it take until a database that is back is noticed.
pub const RETRY_DATABASE_AFTER_MAX: Duration = Duration::from_secs(5);

/// A server that restarts, or a program that holds a lock, takes a minute at most.
pub const PASSING_MAX: Duration = Duration::from_secs(2 * 60);

/// Looks in a row that may fail for a reason that lasts: a disk may be full for a second.
pub const LASTING_LOOKS_MAX: u32 = 4;

/// Why a look brought nothing back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// It may pass by itself: a lock, a server that restarts, no answer in time.
    Passing,
    /// It lasts until somebody does something about it: a full disk, a damaged file.
    Lasting,
}

/// The looks that failed since the last answer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Failing {
    since: Option<Instant>,
    num_looks: u32,
    /// The last ones, if they failed for a reason that lasts.
    num_lasting: u32,
}

impl Failing {
    /// Another look failed. Returns how long to wait before the next one.
    pub fn handle_unanswered(&mut self, why: Unanswered, now: Instant) -> Duration {
        self.since.get_or_insert(now);
        let wait = doubled(RETRY_DATABASE_AFTER, RETRY_DATABASE_AFTER_MAX, self.num_looks);
        self.num_looks = self.num_looks.saturating_add(1);
        self.num_lasting = match why {
            Unanswered::Passing => 0,
            Unanswered::Lasting => self.num_lasting.saturating_add(1),
        };
        wait
    }

    pub fn is_given_up(&self, now: Instant) -> bool {
        let has_lasted = |since: Instant| now.saturating_duration_since(since) >= PASSING_MAX;
        self.num_lasting >= LASTING_LOOKS_MAX || self.since.is_some_and(has_lasted)
    }
}
