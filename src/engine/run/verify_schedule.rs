//! What a run is for, and how often the runs of a service look for what no count can reveal.
//!
//! Counts reveal additions at the head, and removals. Everything else is looked for in a pass over every slot, spread
//! over the runs of `verify_every`: each reads its share, whatever the length of the listing. Followed artists have no
//! reliable count, so they are read as a whole, at longer intervals.

use super::bisection::num_pages;
use crate::model::Verification;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// A pass that is behind, after pauses or a sleep, may read this many times its even share in one run: it would rather
/// end late than all at once.
const CATCH_UP_MAX: u32 = 4;

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A person wants the database to equal the library.
    Current,
    /// One of many runs of a service: also reads what is due of that which no count can reveal.
    Routine(VerifySchedule),
    /// A person wants everything looked at again.
    Verify,
}

/// How often each kind of look is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifySchedule {
    /// Between two runs.
    pub interval: Duration,
    /// Between the beginnings of two verifying passes.
    pub verify_every: Duration,
    /// Between two walks over the followed artists.
    pub artists_every: Duration,
}

impl VerifySchedule {
    /// Pages of the verifying pass that a run is to read; none while the next pass is not due.
    pub fn pages_due(&self, pass: Option<&Verification>, total: u32, now: DateTime<Utc>) -> u32 {
        let all = num_pages(total);
        let (ago, left) = match pass {
            Some(pass) if pass.ended_at.is_some() && !has_passed(pass.began_at, self.verify_every, now) => return 0,
            Some(pass) if pass.ended_at.is_none() => {
                let ago = (now - pass.began_at).to_std().unwrap_or_default();
                (ago, num_pages(total.saturating_sub(pass.offset)))
            }
            Some(_) | None => (Duration::ZERO, all),
        };
        let even = all.div_ceil(self.num_runs(self.verify_every));
        let share = left.div_ceil(self.num_runs(self.verify_every.saturating_sub(ago)));
        share.min(even.saturating_mul(CATCH_UP_MAX))
    }

    /// When the followed artists are to be read next; `None` means now. A run that comes a little early reads them,
    /// since the next one would be late.
    pub fn artists_rest_until(&self, last: Option<&Verification>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let began_at = last?.began_at;
        let soon = now + self.interval / 2;
        (!has_passed(began_at, self.artists_every, soon)).then(|| began_at + self.artists_every)
    }

    fn num_runs(&self, time: Duration) -> u32 {
        ((time.as_secs_f64() / self.interval.as_secs_f64()) as u32).max(1)
    }
}

/// A moment in the future, left by a calendar that was set back, counts as passed.
fn has_passed(since: DateTime<Utc>, wait: Duration, now: DateTime<Utc>) -> bool {
    (now - since).to_std().map_or(true, |ago| ago >= wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    const HOUR: Duration = Duration::from_secs(3600);
    const RHYTHM: VerifySchedule = VerifySchedule {
        interval: HOUR.saturating_mul(6),
        verify_every: HOUR.saturating_mul(24 * 7),
        artists_every: HOUR.saturating_mul(24),
    };

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap()
    }

    /// Requests of each run, from one beginning of a pass to the next.
    fn passes(total: u32, mut runs_missed: u32) -> (Vec<u32>, TimeDelta) {
        let (mut now, mut pass, mut reads) = (noon(), Verification::begin(noon()), Vec::new());
        loop {
            let due = RHYTHM.pages_due(Some(&pass), total, now);
            if pass.ended_at.is_some() && due > 0 {
                return (reads, now - noon());
            }
            reads.push(due);
            pass.offset = (pass.offset + due * 49).min(total);
            if pass.offset >= total {
                pass.ended_at = Some(now);
            }
            now += RHYTHM.interval * if runs_missed > 0 && reads.len() == 10 { runs_missed } else { 1 };
            runs_missed = if reads.len() == 10 { 0 } else { runs_missed };
        }
    }

    #[test]
    fn a_pass_takes_a_week_and_the_same_of_every_run() {
        for (total, share, num_runs) in [(30, 1, 1), (1_000, 1, 21), (5_000, 4, 28), (10_000, 8, 28), (50_000, 37, 28)]
        {
            let (reads, took) = passes(total, 0);
            let busy = reads.iter().filter(|pages| **pages > 0).count();
            assert!(*reads.iter().max().unwrap() <= share, "{total}: {reads:?}");
            assert!(busy <= num_runs && busy * 2 > num_runs, "{total}: {busy} runs");
            assert_eq!(took, TimeDelta::days(7), "{total}: the next pass begins a week after this one");
        }
    }

    #[test]
    fn a_pass_that_was_held_up_catches_up_and_never_all_at_once() {
        let (reads, took) = passes(10_000, 14);
        assert!(took <= TimeDelta::days(8), "{took}");
        assert!(*reads.iter().max().unwrap() <= 32, "{reads:?}");
        let (reads, _) = passes(10_000, 400);
        assert_eq!(*reads.iter().max().unwrap(), 32, "four times the even share");
    }

    #[test]
    fn nothing_is_due_before_its_time_and_a_calendar_that_was_set_back_holds_nothing_up() {
        let done = Verification::done(noon());
        assert_eq!(RHYTHM.pages_due(Some(&done), 5_000, noon() + TimeDelta::days(6)), 0);
        assert_eq!(RHYTHM.pages_due(Some(&done), 5_000, noon() + TimeDelta::days(7)), 4);
        assert_eq!(RHYTHM.pages_due(Some(&done), 5_000, noon() - TimeDelta::days(400)), 4);
        assert_eq!(RHYTHM.pages_due(None, 5_000, noon()), 4);
    }

    #[test]
    fn artists_are_read_once_a_day_by_the_run_that_is_nearest() {
        let last = Verification::done(noon());
        let rest = |hours, minutes| {
            let now = noon() + TimeDelta::hours(hours) + TimeDelta::minutes(minutes);
            RHYTHM.artists_rest_until(Some(&last), now)
        };
        assert_eq!(rest(6, 0), Some(noon() + TimeDelta::days(1)));
        assert_eq!([rest(21, 0), rest(23, 40), rest(30, 0), rest(-6, 0)], [None; 4]);
        assert_eq!(RHYTHM.artists_rest_until(None, noon()), None);
    }
}
