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
/// Processes that share a SQLite file run on one machine, so they use its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SharedCalendar {
    /// How far it is ahead of this machine's calendar.
    ahead: TimeDelta,
}

impl SharedCalendar {
    /// Built from the server's time, read at some moment between these two.
    pub fn told(asked_at: DateTime<Utc>, told: DateTime<Utc>, answered_at: DateTime<Utc>) -> SharedCalendar {
        SharedCalendar { ahead: told - (asked_at + (answered_at - asked_at) / 2) }
    }

    pub fn now(self) -> DateTime<Utc> {
        (now() + self.ahead).trunc_subsecs(6)
    }

    /// Whether another answer really differs, beyond its time on the way.
    pub fn differs(self, other: SharedCalendar) -> bool {
        (self.ahead - other.ahead).abs() > TREMBLE
    }
}

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
        let at = |secs: i64| DateTime::from_timestamp(secs, 0).expect("a moment");
        let ours = SharedCalendar::default();
        let ahead = SharedCalendar::told(at(100), at(402), at(104));
        assert_eq!(ahead, SharedCalendar { ahead: TimeDelta::seconds(300) });
        assert!(ahead.differs(ours) && !SharedCalendar::told(at(100), at(101), at(101)).differs(ours));
    }
}
