//! How long the token endpoint is not asked again after it gave no token.
//!
//! It has limits and outages of its own, which say nothing about the Web API, so they pause nothing there. A caller
//! that needs a new access token meanwhile gets an error without a request; one that holds a valid token continues.
//!
//! | the token endpoint answers | it is asked again after |
//! |---|---|
//! | 5xx, HTML, a redirect, garbage, no token, any other refusal, nothing | [`TokenRests::first`], doubled each time up to `longest` |
//! | the same with `Retry-After` | that, if it is longer, but `longest` at most |
//! | 429 | `Retry-After`, else half a minute; doubled waits if they are longer |
//! | `invalid_grant` | [`TokenRests::doubt`], once; the same again ends the sign-in |

use crate::model::TokenFailure;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::{Duration, Instant};

/// Longest rest that an earlier process can have noted: [`TokenRests::longest`], and a minute by which clocks may differ.
/// One that ends later was noted by a clock that was ahead.
const NOTED_MAX: Duration = Duration::from_secs(61 * 60);

/// How long the token endpoint is not asked again.
#[derive(Debug, Clone, Copy)]
pub struct TokenRests {
    pub first: Duration,
    pub longest: Duration,
    /// Before a refresh token that was called void is sent once more. For as long, a token that was refused right after
    /// it was granted is not renewed again.
    pub doubt: Duration,
}

impl Default for TokenRests {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        TokenRests { first: Duration::from_secs(1), longest: 60 * minute, doubt: 5 * minute }
    }
}

/// What it means that a refresh token is called void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is doubted since then.
    Doubted { since: DateTime<Utc> },
    /// The second answer, long enough after the first, says the same.
    Confirmed,
}

impl TokenRests {
    /// `doubted_at` is when it was called void before. If that lies ahead, the clock was wrong then, and the doubt begins
    /// now.
    pub(super) fn judge_void(&self, doubted_at: Option<DateTime<Utc>>, wall: DateTime<Utc>) -> Verdict {
        let since = doubted_at.map_or(wall, |at| at.min(wall));
        let is_confirmed = doubted_at.is_some() && (wall - since).to_std().is_ok_and(|ago| ago >= self.doubt);
        if is_confirmed { Verdict::Confirmed } else { Verdict::Doubted { since } }
    }
}

/// Whether it is resting now.
#[derive(Debug, Default)]
pub(super) struct TokenRest {
    num_failures: u32,
    resting: Option<(Instant, TokenFailure)>,
}

impl TokenRest {
    /// Takes up what an earlier process noted. A rest that ends later than any rest can is over.
    pub(super) fn noted(trouble: Option<&TokenFailure>, now: Instant, wall: DateTime<Utc>) -> TokenRest {
        let rest = |trouble: &TokenFailure| {
            let left = (trouble.retry_at - wall).to_std().ok().filter(|left| *left <= NOTED_MAX)?;
            Some((now + left, trouble.clone()))
        };
        TokenRest { num_failures: 0, resting: trouble.and_then(rest) }
    }

    /// What is left of the rest, and its reason.
    pub(super) fn left(&self, now: Instant) -> Option<(Duration, &TokenFailure)> {
        let (until, trouble) = self.resting.as_ref()?;
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then_some((left, trouble))
    }

    /// It gave no token. Returns what to note.
    pub(super) fn handle_failure(
        &mut self,
        why: String,
        retry_after: Option<Duration>,
        rests: &TokenRests,
        now: Instant,
        wall: DateTime<Utc>,
    ) -> TokenFailure {
        let grown = rests.first.saturating_mul(1 << self.num_failures.min(16)).min(rests.longest.max(rests.first));
        self.num_failures = self.num_failures.saturating_add(1);
        let wait = grown.max(retry_after.unwrap_or_default().min(rests.longest.max(rests.first)));
        self.rest(why, None, wait, now, wall)
    }

    /// The refresh token was called void, for the first time at `doubted_at`.
    pub(super) fn handle_doubt(
        &mut self,
        why: String,
        doubted_at: DateTime<Utc>,
        rests: &TokenRests,
        now: Instant,
        wall: DateTime<Utc>,
    ) -> TokenFailure {
        self.rest(why, Some(doubted_at), rests.doubt, now, wall)
    }

    fn rest(
        &mut self,
        why: String,
        doubted_at: Option<DateTime<Utc>>,
        wait: Duration,
        now: Instant,
        wall: DateTime<Utc>,
    ) -> TokenFailure {
        let retry_at = wall + TimeDelta::from_std(wait).unwrap_or(TimeDelta::hours(1));
        let trouble = TokenFailure { why, retry_at, doubted_at };
        self.resting = Some((now + wait, trouble.clone()));
        trouble
    }

    pub(super) fn handle_granted(&mut self) {
        *self = TokenRest::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rests_double_up_to_an_hour_and_begin_anew_after_a_grant() {
        let (mut rest, rests, now) = (TokenRest::default(), TokenRests::default(), Instant::now());
        let fail = |rest: &mut TokenRest, retry_after| {
            rest.handle_failure("502".into(), retry_after, &rests, now, wall());
            rest.left(now).unwrap().0.as_secs()
        };
        let waits: Vec<u64> = (0..14).map(|_| fail(&mut rest, None)).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]);
        rest.handle_granted();
        assert_eq!(rest.left(now), None);
        assert_eq!(fail(&mut rest, Some(30 * SECOND)), 30, "as it says");
        assert_eq!(fail(&mut rest, Some(SECOND)), 2, "and never less than our own");
        assert_eq!(fail(&mut rest, Some(100_000 * SECOND)), 3600, "and never more than an hour");
    }

    #[test]
    fn a_rest_that_an_earlier_process_noted_goes_on() {
        let now = Instant::now();
        let noted = |seconds: i64| {
            let retry_at = wall() + TimeDelta::seconds(seconds);
            let trouble = TokenFailure { why: "502".into(), retry_at, doubted_at: None };
            TokenRest::noted(Some(&trouble), now, wall()).left(now).map(|(left, _)| left.as_secs())
        };
        assert_eq!((noted(90), noted(0), noted(-90)), (Some(90), None, None));
        assert_eq!(noted(3600), Some(3600), "the longest");
        assert_eq!((noted(4 * 3600), noted(1_000_000)), (None, None), "of a clock that was ahead");
        assert_eq!(TokenRest::noted(None, now, wall()).left(now), None);
    }

    #[test]
    fn a_doubt_is_confirmed_five_minutes_later_and_one_that_lies_ahead_begins_now() {
        let (rests, ago) = (TokenRests::default(), |seconds| Some(wall() - TimeDelta::seconds(seconds)));
        let since = |seconds: i64| Verdict::Doubted { since: wall() - TimeDelta::seconds(seconds) };
        for (doubted_at, verdict) in [
            (None, since(0)),
            (ago(299), since(299)),
            (ago(300), Verdict::Confirmed),
            (ago(-300), since(0)),
            (ago(-400 * 24 * 3600), since(0)),
        ] {
            assert_eq!(rests.judge_void(doubted_at, wall()), verdict, "{doubted_at:?}");
        }
    }

    fn wall() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 11, 28, 12, 0, 0).unwrap()
    }
}
