//! Spreads requests over the window instead of sending them all at its start.
//!
//! This is governor's GCRA with its clock handed in, so that time stays an argument. It only spaces: the rolling window
//! behind it keeps the count.

use governor::{
    Quota, RateLimiter,
    clock::{Clock, FakeRelativeClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

/// A quarter of the window's requests may go at once; the rest follow evenly.
const BURST_SHARE: u32 = 4;

type Limiter =
    RateLimiter<NotKeyed, InMemoryState, FakeRelativeClock, NoOpMiddleware<<FakeRelativeClock as Clock>::Instant>>;

#[derive(Debug)]
pub struct Spacing {
    requests: u32,
    window: Duration,
    clock: FakeRelativeClock,
    at: Instant,
    limiter: Limiter,
}

impl Spacing {
    pub fn new(requests: u32, window: Duration, now: Instant) -> Spacing {
        let clock = FakeRelativeClock::default();
        Spacing { requests, window, limiter: limiter(requests, window, &clock), clock, at: now }
    }

    /// Continues at another rate. Credit earned by a pause between requests is lost: a new rate begins evenly.
    pub fn set_requests(&mut self, requests: u32, now: Instant) {
        if requests == self.requests {
            return;
        }
        self.advance(now);
        self.requests = requests;
        self.limiter = limiter(requests, self.window, &self.clock);
        let _ = self.limiter.check_n(burst(requests));
    }

    /// Lets one through now, or says when.
    pub fn try_pass(&mut self, now: Instant) -> Result<(), Instant> {
        self.advance(now);
        self.limiter.check().map_err(|not_until| now + not_until.wait_time_from(self.clock.now()))
    }

    fn advance(&mut self, now: Instant) {
        self.clock.advance(now.saturating_duration_since(self.at));
        self.at = self.at.max(now);
    }
}

fn burst(requests: u32) -> NonZeroU32 {
    NonZeroU32::new(requests / BURST_SHARE).unwrap_or(NonZeroU32::MIN)
}

fn limiter(requests: u32, window: Duration, clock: &FakeRelativeClock) -> Limiter {
    let period = (window / requests.max(1)).max(Duration::from_nanos(1));
    let quota = Quota::with_period(period).expect("the period is longer than zero").allow_burst(burst(requests));
    RateLimiter::direct_with_clock(quota, clock.clone())
}
