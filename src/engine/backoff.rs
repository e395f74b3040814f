//! When a request that failed is tried again, and for how long.
//!
//! Bursts of 5xx last seconds to minutes and go away; an offset that the API cannot serve stays. The two look alike
//! from one request, so what matters is whether other requests are answered meanwhile: while none is, the waits keep
//! growing. [`super::request`] decides on that basis.

use std::time::Duration;

/// First and longest wait of a service for an API that cannot be reached.
pub const OUTAGE_BASE: Duration = Duration::from_secs(60);
pub const OUTAGE_CAP: Duration = Duration::from_secs(3600);

/// How patiently a failing request is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A page of a walk, which cannot continue without it.
    Page,
    /// Part of a page that already failed as a whole: one more try is enough.
    Piece,
    /// A request that cannot be split: whether the fault is its own makes no difference.
    Whole,
}

#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Longest wait before the second try; doubles from there.
    pub base: Duration,
    /// Longest wait while others are answered.
    pub cap: Duration,
    /// A page is given up when it has been failing for this long. Users see "cannot be reached" about then.
    pub give_up_after: Duration,
    /// Tries after which a page that fails while other requests are answered is itself at fault.
    pub page_tries: u32,
    pub piece_tries: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff {
            base: Duration::from_millis(500),
            cap: Duration::from_secs(8),
            give_up_after: Duration::from_secs(30),
            page_tries: 5,
            piece_tries: 2,
        }
    }
}

impl Backoff {
    /// Tries after which the fault is the page's own, if others are answered.
    pub fn tries(&self, patience: Patience) -> u32 {
        match patience {
            Patience::Page | Patience::Whole => self.page_tries,
            Patience::Piece => self.piece_tries,
        }
    }

    pub fn delay(&self, tries: u32, are_others_served: bool, jitter: f64) -> Duration {
        let cap = if are_others_served { self.cap } else { self.give_up_after };
        delay(self.base, cap, tries, jitter)
    }
}

/// The wait after this many failed tries. It doubles with each, up to `longest`. Half of it is fixed and half is
/// jitter, so that a retry is neither immediate nor in step with others.
pub fn delay(first: Duration, longest: Duration, tries: u32, jitter: f64) -> Duration {
    doubled(first, longest, tries.saturating_sub(1)).mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
}

/// `first`, doubled so many times, up to `longest`.
pub fn doubled(first: Duration, longest: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(longest)
}

/// The wait of a service that has no account yet, after this many failed tries to find out whose its token is. Each try
/// is a burst of half a minute.
pub fn first_sign_in(num_failures: u32) -> Duration {
    doubled(OUTAGE_BASE, OUTAGE_CAP, num_failures.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_sign_in_that_fails_is_tried_ever_more_rarely() {
        let waits: Vec<u64> = (1..=8).map(|num_failures| first_sign_in(num_failures).as_secs() / 60).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(first_sign_in(u32::MAX), OUTAGE_CAP);
    }

    #[test]
    fn waits_double_up_to_the_cap_and_further_while_nothing_is_served() {
        let waits = |are_others_served| -> Vec<u128> {
            (1..=7).map(|tries| Backoff::default().delay(tries, are_others_served, 1.0).as_millis()).collect()
        };
        assert_eq!(waits(true), [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        assert_eq!(waits(false), [500, 1000, 2000, 4000, 8000, 16_000, 30_000]);
        assert_eq!(Backoff::default().delay(1, false, 0.0).as_millis(), 250);
    }
}
