//! What keeps an API that errs from emptying a library, or a playlist.

use std::time::Duration;

/// So many removals are always believed, unless it is all there is: a share means nothing in a small library.
pub const REMOVAL_COUNT_ALWAYS: u32 = 10;

/// How much may be gone at once, and when more than that is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovalGuard {
    /// The share of the active rows, in percent, that one run may mark removed.
    pub percent_max: u32,
    /// How much later another walk has to miss the same items, where they are more, or something speaks against it.
    pub wait: Duration,
}

impl Default for RemovalGuard {
    fn default() -> Self {
        RemovalGuard { percent_max: 20, wait: Duration::from_secs(3600) }
    }
}

impl RemovalGuard {
    /// Whether so many removals are believed at once.
    pub fn lets_pass(self, num_removed: u32, num_active: u32) -> bool {
        let is_few = u64::from(num_removed) * 100 <= u64::from(num_active) * u64::from(self.percent_max);
        // An answer without a single item is what a broken API gives first.
        let is_everything = num_removed > 0 && num_removed == num_active;
        (num_removed <= REMOVAL_COUNT_ALWAYS || is_few) && !is_everything
    }
}
