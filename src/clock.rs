//! The only place that reads the time.
//!
//! | clock | a correction of the calendar | a suspended machine |
//! |---|---|---|
//! | [`now`] | moves it | it advances |
//! | [`instant`] | does not move it | it stands still |
//! | [`steady`] | does not move it | it advances |

use crate::faults;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Calendar time, to the microsecond that both databases store.
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6) + faults::calendar_ahead()
}

/// The calendar that all processes on one database use: that of the PostgreSQL server, whichever machines they run on.
/// Once known, it advances with the steady clock: setting a machine's calendar does not move it. Processes that share a
/// SQLite file run on one machine, so they use its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct SharedCalendar {
    told: Option<Told>,
}

/// What a server said.
#[derive(Debug, Clone, Copy)]
struct Told {
    wall: DateTime<Utc>,
    at: Instant,
    /// How much earlier or later it may have been read.
    margin: TimeDelta,
}

impl SharedCalendar {
    /// Built from the server's time, read at some moment between these two.
    pub fn told(asked_at: Instant, wall: DateTime<Utc>, answered_at: Instant) -> SharedCalendar {
        let half = answered_at.saturating_duration_since(asked_at) / 2;
        let margin = TimeDelta::from_std(half).unwrap_or(TimeDelta::MAX);
        SharedCalendar { told: Some(Told { wall, at: asked_at + half, margin }) }
    }

    pub fn now(self) -> DateTime<Utc> {
        self.told.map_or_else(now, |told| told.wall_at(steady()))
    }

    /// Whether two processes that know it this well agree to within the fraction of a second that the gate allows for.
    pub fn is_exact(self) -> bool {
        self.told.is_none_or(|told| told.margin <= EXACT)
    }

    /// Whether a later answer is better: as exact, or so different that the server's calendar was set meanwhile.
    pub fn yields_to(self, later: SharedCalendar) -> bool {
        match (self.told, later.told) {
            (Some(ours), Some(later)) => {
                let apart = (ours.wall_at(later.at) - later.wall).abs();
                later.margin <= ours.margin.max(EXACT) || apart > ours.margin + later.margin
            }
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }
}

impl Told {
    fn wall_at(self, at: Instant) -> DateTime<Utc> {
        let since = TimeDelta::from_std(at.saturating_duration_since(self.at)).unwrap_or_default();
        let before = TimeDelta::from_std(self.at.saturating_duration_since(at)).unwrap_or_default();
        (self.wall + since - before).trunc_subsecs(6)
    }
}

/// An answer within twice this time is exact.
const EXACT: TimeDelta = TimeDelta::milliseconds(50);

/// Time for measuring and waiting, which no correction of the calendar moves. It follows tokio's clock, so that a test
/// may pause it. So do timers: neither counts the time that the machine is suspended.
pub fn instant() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Time as it really passes: [`instant`] plus the time that the machine was suspended. For what others count too, such
/// as a pause that the API asked for. Timers do not follow it, so a wait for it has to look again now and then.
pub fn steady() -> Instant {
    instant() + suspended()
}

/// How long the machine was suspended since the first call. Zero if the platform does not report it: then a pause lasts
/// longer by that much, and never shorter.
fn suspended() -> Duration {
    static SEEN: Mutex<Option<Suspension>> = Mutex::new(None);
    let ahead = ahead_by_suspension();
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = seen.get_or_insert(Suspension { at_first: ahead, total: Duration::ZERO });
    seen.update(ahead)
}

#[derive(Debug)]
struct Suspension {
    at_first: Duration,
    total: Duration,
}

/// The two clocks are read one after the other, so their difference jitters. No suspension is shorter than this.
const TREMBLE: TimeDelta = TimeDelta::seconds(1);

impl Suspension {
    /// Only grows, so that the steady clock never goes backwards.
    fn update(&mut self, ahead: Duration) -> Duration {
        let total = ahead.saturating_sub(self.at_first);
        if total > self.total + TREMBLE.to_std().unwrap_or_default() {
            self.total = total;
        }
        self.total
    }
}

/// How far the clock that counts suspension is ahead of the one that does not.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn ahead_by_suspension() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let read = |id| Duration::try_from(clock_gettime(id)).unwrap_or_default();
    let awake = read(ClockId::Monotonic);
    read(ClockId::Boottime).saturating_sub(awake)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn ahead_by_suspension() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspension_counts_once_and_a_tremble_not_at_all() {
        let second = Duration::from_secs(1);
        let mut seen = Suspension { at_first: 100 * second, total: Duration::ZERO };
        let counted = [100, 101, 99, 3700, 3699, 3701, 5000].map(|ahead| seen.update(ahead * second).as_secs());
        assert_eq!(counted, [0, 0, 0, 3600, 3600, 3600, 4900]);
    }

    #[test]
    fn the_calendar_of_a_server_is_told_in_the_middle_of_a_question() {
        let (began, wall) = (instant(), DateTime::from_timestamp(1_790_000_000, 0).expect("a moment"));
        let at = |ms: u64| began + Duration::from_millis(ms);
        let told = |from: u64, wall_ms: i64, to: u64| {
            SharedCalendar::told(at(from), wall + TimeDelta::milliseconds(wall_ms), at(to))
        };
        let first = told(0, 1000, 40);
        assert_eq!(first.told.map(|told| told.wall_at(at(120))), Some(wall + TimeDelta::milliseconds(1100)));
        assert_eq!(first.told.map(|told| told.wall_at(at(0))), Some(wall + TimeDelta::milliseconds(980)));
        assert!(first.is_exact() && !told(0, 0, 2000).is_exact());

        assert!(SharedCalendar::default().yields_to(first) && !first.yields_to(SharedCalendar::default()));
        assert!(first.yields_to(told(60_000, 61_100, 60_060)), "clocks drift, and it is as exact");
        assert!(!first.yields_to(told(60_000, 61_500, 62_000)), "it says nothing else, and less exactly");
        assert!(first.yields_to(told(60_000, 66_000, 62_000)), "it was set");
    }
}
