//! Protection against a faulty API that would empty a library, or a playlist.

use std::time::Duration;

/// Up to this many removals need no confirmation, unless nothing would be left: a share means nothing in a small
/// library.
pub const REMOVAL_COUNT_ALWAYS: u32 = 10;

/// How much may be gone at once, and when more than that is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovalGuard {
    /// The share of the active rows, in percent, that one run may mark removed.
    pub percent_max: u32,
    /// How much later another walk has to miss the same items, if they are more, or if there is evidence against it.
    pub wait: Duration,
}

impl Default for RemovalGuard {
    fn default() -> Self {
        RemovalGuard { percent_max: 20, wait: Duration::from_secs(3600) }
    }
}

impl RemovalGuard {
    /// Whether this many removals are believed at once.
    pub fn lets_pass(self, num_removed: u32, num_active: u32) -> bool {
        let is_few = u64::from(num_removed) * 100 <= u64::from(num_active) * u64::from(self.percent_max);
        // An answer without a single item is the first thing that a broken API gives.
        let is_everything = num_removed > 0 && num_removed == num_active;
        (num_removed <= REMOVAL_COUNT_ALWAYS || is_few) && !is_everything
    }
}
