//! Whether a request that failed is worth another try, and when.
//!
//! Bursts of 5xx last seconds to minutes and go away; an offset that the API cannot serve stays. The two look alike from
//! one request, so patience depends on whether anything else has been answered in the meantime.

use std::time::Duration;

/// How much a failing request is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A page of a walk: nothing goes on without it.
    Page,
    /// A part of a page that already failed as a whole: one more try tells.
    Piece,
}

/// What to do about a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    After(Duration),
    GiveUp,
}

#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Longest wait before the second try; doubles from there.
    pub base: Duration,
    pub cap: Duration,
    /// A page is given up when it has been failing for this long. Users see "cannot be reached" about then.
    pub give_up_after: Duration,
    /// Tries of a page that fails while other requests are answered: the fault is the page's own.
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
    /// Rules on a request that has failed `tries` times, the first time `failing_for` ago. `others_answered` says
    /// whether any other request has succeeded since then; `jitter` is in `[0, 1)`.
    pub fn rule(
        &self,
        patience: Patience,
        tries: u32,
        failing_for: Duration,
        others_answered: bool,
        jitter: f64,
    ) -> Retry {
        let exhausted = match patience {
            Patience::Piece => tries >= self.piece_tries,
            Patience::Page => others_answered && tries >= self.page_tries,
        };
        let wait = self.delay(tries, jitter);
        if exhausted || failing_for + wait > self.give_up_after { Retry::GiveUp } else { Retry::After(wait) }
    }

    /// Half of the exponential step is fixed and half is jitter, so that a retry is neither at once nor in step with
    /// the others.
    pub fn delay(&self, tries: u32, jitter: f64) -> Duration {
        let step = self.base.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(self.cap);
        step.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let backoff = Backoff::default();
        let waits: Vec<u128> = (1..=7).map(|tries| backoff.delay(tries, 1.0).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        assert_eq!(backoff.delay(1, 0.0).as_millis(), 250);
    }

    #[test]
    fn a_page_is_given_up_early_only_where_the_rest_of_the_api_answers() {
        let backoff = Backoff::default();
        let after = |others_answered| backoff.rule(Patience::Page, 5, Duration::from_secs(10), others_answered, 0.5);
        assert_eq!(after(true), Retry::GiveUp);
        assert!(matches!(after(false), Retry::After(_)));
    }

    #[test]
    fn an_api_that_never_answers_is_given_up_after_half_a_minute() {
        let backoff = Backoff::default();
        let (mut tries, mut failing_for) = (1, Duration::ZERO);
        while let Retry::After(wait) = backoff.rule(Patience::Page, tries, failing_for, false, 0.5) {
            failing_for += wait;
            tries += 1;
        }
        assert!((20..=30).contains(&failing_for.as_secs()), "gave up after {failing_for:?}");
    }
}
