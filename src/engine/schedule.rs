//! When the service runs what: the first sync until it is complete, then an incremental run every so often, and after
//! a failure as soon as another try is worth its requests.
//!
//! | how a run ended | the next one |
//! |---|---|
//! | complete | after the interval, give or take a tenth |
//! | paused by a limit | when the pause ends; after a minute where only the calendar calls it over |
//! | nothing answers | after a minute, then two, four ... up to an hour |
//! | the API refuses it for good | after a day: a person has to do something first |
//! | something of ours failed | after five minutes, then ten ... up to the interval |
//! | sign in again | when the account is signed in again |
//! | overtaken | at once, if the account is still ours: a reset wants it to start over |
//!
//! A moment is kept on both clocks and is due when either has reached it: the calendar goes on while the machine sleeps,
//! the steady one while somebody sets the calendar back. Running a little early costs a few requests and is harmless,
//! since limits are the gate's business. A run that was missed is due once, however many intervals have passed.

use super::run::RunEnd;
use crate::model::{Fault, SyncKey};
use chrono::{DateTime, Utc};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Wait for the end of a pause that the calendar calls over. The gate waits on a clock of its own, which nobody sets
/// forward.
const PAUSED_MIN: Duration = Duration::from_secs(60);

/// First and longest wait for an API that cannot be reached.
const UNREACHABLE_BASE: Duration = Duration::from_secs(60);
const UNREACHABLE_CAP: Duration = Duration::from_secs(3600);

/// Between tries of what the API refuses for good.
const REFUSED_EVERY: Duration = Duration::from_secs(24 * 3600);

/// First wait after a failure of our own.
const INTERNAL_BASE: Duration = Duration::from_secs(5 * 60);

/// Long enough for the service to notice that the account belongs to another process now.
const OVERTAKEN_WAIT: Duration = Duration::from_secs(30);

/// A start of the service is a reason to try again what failed longer ago than this; a service that is started again
/// and again is not.
const TRY_AFTER_START: Duration = Duration::from_secs(10 * 60);

/// Runs that are due together, at a start or after a sleep, begin at once; those of an interval drift apart by this
/// share of it.
const JITTER_SHARE: f64 = 0.1;

/// A moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Moment {
    at: Instant,
    wall: DateTime<Utc>,
}

impl Moment {
    fn after(wait: Duration, now: Instant, wall: DateTime<Utc>) -> Moment {
        Moment { at: now + wait, wall: wall + wait }
    }

    fn until(until: DateTime<Utc>, now: Instant, wall: DateTime<Utc>) -> Moment {
        Moment { at: now + (until - wall).to_std().unwrap_or_default(), wall: until }
    }

    fn has_come(&self, now: Instant, wall: DateTime<Utc>) -> bool {
        self.at <= now || self.wall <= wall
    }
}

/// What the database remembers of an entity type from before the service started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remembered {
    /// When the next run was planned.
    pub next_run_at: Option<DateTime<Utc>>,
    /// The last run, where it failed.
    pub failed_at: Option<DateTime<Utc>>,
    /// The initial sync is through.
    pub is_complete: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Standing {
    Due(Moment),
    Running,
    /// Until the account is signed in again.
    Parked,
}

#[derive(Debug, Clone)]
struct Entry {
    standing: Standing,
    /// In a row.
    num_failures: u32,
    /// The fault that was told last: a person hears of each once.
    told: Option<String>,
}

/// What follows a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// `None` while only a person can bring it on.
    pub next_run_at: Option<DateTime<Utc>>,
    /// The run failed in a way that has not been told yet.
    pub is_news: bool,
}

#[derive(Debug)]
pub struct Schedule {
    interval: Duration,
    entries: BTreeMap<SyncKey, Entry>,
}

impl Schedule {
    pub fn new(interval: Duration) -> Schedule {
        Schedule { interval, entries: BTreeMap::new() }
    }

    /// The interval was changed; what is due later than it allows comes earlier.
    pub fn handle_interval(&mut self, interval: Duration, now: Instant, wall: DateTime<Utc>) {
        let latest = Moment::after(interval, now, wall);
        for entry in self.entries.values_mut().filter(|entry| entry.num_failures == 0) {
            if let Standing::Due(moment) = &mut entry.standing
                && moment.wall > latest.wall
            {
                *moment = latest;
            }
        }
        self.interval = interval;
    }

    /// From here on this is kept current.
    pub fn handle_added(&mut self, key: SyncKey, remembered: Remembered, now: Instant, wall: DateTime<Utc>) {
        let Remembered { next_run_at, failed_at, is_complete } = remembered;
        let is_old_failure = failed_at.is_some_and(|at| (wall - at).to_std().is_ok_and(|ago| ago > TRY_AFTER_START));
        let first = match next_run_at {
            // A plan from a calendar that was ahead of ours must not hold for years.
            Some(at) if (is_complete || failed_at.is_some()) && !is_old_failure => {
                let longest = self.interval.mul_f64(1.0 + JITTER_SHARE).max(REFUSED_EVERY);
                Moment::until(at.min(wall + longest), now, wall)
            }
            _ => Moment::until(wall, now, wall),
        };
        self.entries.insert(key, Entry { standing: Standing::Due(first), num_failures: 0, told: None });
    }

    /// Nobody wants this kept current any more.
    pub fn handle_removed(&mut self, gone: impl Fn(&SyncKey) -> bool) {
        self.entries.retain(|key, _| !gone(key));
    }

    /// A person asked for a run now.
    pub fn handle_wanted(&mut self, key: SyncKey, now: Instant, wall: DateTime<Utc>) {
        if let Some(entry) = self.entries.get_mut(&key)
            && matches!(entry.standing, Standing::Due(_))
        {
            entry.standing = Standing::Due(Moment::until(wall, now, wall));
        }
    }

    /// A run ended. `jitter` is in `[0, 1)`.
    pub fn handle_ended(&mut self, key: SyncKey, end: &RunEnd, now: Instant, wall: DateTime<Utc>, jitter: f64) -> Plan {
        let interval = self.interval;
        let Some(entry) = self.entries.get_mut(&key) else { return Plan { next_run_at: None, is_news: false } };
        let jitter = jitter.clamp(0.0, 1.0);
        let fault = match end {
            RunEnd::Failed(fault) => Some(fault),
            RunEnd::Complete { .. } | RunEnd::Paused(_) | RunEnd::Stopped => None,
        };
        entry.num_failures = if fault.is_some() { entry.num_failures.saturating_add(1) } else { 0 };
        let doubled = |base: Duration, cap: Duration, failures: u32| {
            base.saturating_mul(1 << (failures - 1).min(16)).min(cap.max(base)).mul_f64(0.75 + 0.5 * jitter)
        };
        let wait = match end {
            RunEnd::Complete { .. } | RunEnd::Stopped => {
                Some(interval.mul_f64(1.0 - JITTER_SHARE + 2.0 * JITTER_SHARE * jitter))
            }
            RunEnd::Paused(pause) | RunEnd::Failed(Fault::Paused(pause)) => {
                Some((pause.until - wall).to_std().unwrap_or(PAUSED_MIN))
            }
            RunEnd::Failed(Fault::Unreachable(_)) => {
                Some(doubled(UNREACHABLE_BASE, UNREACHABLE_CAP, entry.num_failures))
            }
            RunEnd::Failed(Fault::Refused(_) | Fault::Forbidden(_) | Fault::Gone(_)) => Some(REFUSED_EVERY),
            RunEnd::Failed(Fault::Internal(_) | Fault::Unservable(_) | Fault::Stopped) => {
                Some(doubled(INTERNAL_BASE, interval, entry.num_failures))
            }
            RunEnd::Failed(Fault::Overtaken(_)) => Some(OVERTAKEN_WAIT),
            RunEnd::Failed(Fault::SignIn(_)) => None,
        };
        let told = fault.map(ToString::to_string);
        let is_news = told.is_some() && told != entry.told;
        entry.told = told;
        entry.standing = match wait {
            Some(wait) => Standing::Due(Moment::after(wait, now, wall)),
            None => Standing::Parked,
        };
        Plan { next_run_at: self.next_run_at(&key), is_news }
    }

    /// Hands out what is due, the longest overdue first; it counts as running until it ends.
    pub fn poll_due(&mut self, now: Instant, wall: DateTime<Utc>) -> Option<SyncKey> {
        let due = self.entries.iter_mut().filter_map(|(key, entry)| match entry.standing {
            Standing::Due(moment) if moment.has_come(now, wall) => Some((moment.wall, *key, entry)),
            Standing::Due(_) | Standing::Running | Standing::Parked => None,
        });
        let (_, key, entry) = due.min_by_key(|(wall, key, _)| (*wall, *key))?;
        entry.standing = Standing::Running;
        Some(key)
    }

    /// When the next run of this is planned; `None` while it runs or only a person can bring it on.
    pub fn next_run_at(&self, key: &SyncKey) -> Option<DateTime<Utc>> {
        match self.entries.get(key)?.standing {
            Standing::Due(moment) => Some(moment.wall),
            Standing::Running | Standing::Parked => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AccountId, EntityType, LimitClass, Pause};
    use chrono::TimeDelta;

    const HOUR: Duration = Duration::from_secs(3600);
    const INTERVAL: Duration = Duration::from_secs(6 * 3600);

    const KEY: SyncKey = SyncKey { account: AccountId(1), entity: EntityType::Tracks };

    /// A schedule under hand-made clocks, which can go apart.
    struct Day {
        schedule: Schedule,
        now: Instant,
        wall: DateTime<Utc>,
    }

    impl Day {
        fn begin(remembered: Remembered) -> Day {
            let (now, wall) = (Instant::now(), morning());
            let mut schedule = Schedule::new(INTERVAL);
            schedule.handle_added(KEY, remembered, now, wall);
            Day { schedule, now, wall }
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
            self.wall += time;
        }

        fn is_due(&mut self) -> bool {
            self.schedule.poll_due(self.now, self.wall).is_some()
        }

        fn end(&mut self, end: RunEnd) -> Plan {
            self.schedule.handle_ended(KEY, &end, self.now, self.wall, 0.5)
        }

        /// Time until the next run is due, looked at every minute for two days.
        fn wait(&mut self) -> Option<Duration> {
            let began = self.now;
            for _ in 0..2 * 24 * 60 {
                if self.is_due() {
                    return Some(self.now - began);
                }
                self.pass(Duration::from_secs(60));
            }
            None
        }
    }

    fn morning() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap()
    }

    fn complete() -> RunEnd {
        RunEnd::Complete { notes: Vec::new() }
    }

    fn failed(fault: impl FnOnce(String) -> Fault) -> RunEnd {
        RunEnd::Failed(fault("told".into()))
    }

    #[test]
    fn a_first_run_is_due_at_once_and_the_next_after_the_interval() {
        let mut day = Day::begin(Remembered::default());
        assert!(day.is_due());
        assert!(!day.is_due(), "it runs already");
        assert_eq!(day.end(complete()).next_run_at, Some(day.wall + INTERVAL));
        assert_eq!(day.wait(), Some(INTERVAL));
    }

    #[test]
    fn a_restart_keeps_to_the_plan() {
        let planned = Remembered {
            next_run_at: Some(morning() + TimeDelta::hours(2)),
            is_complete: true,
            ..Remembered::default()
        };
        assert_eq!(Day::begin(planned).wait(), Some(2 * HOUR));
        let overdue = Remembered { next_run_at: Some(morning() - TimeDelta::days(3)), ..planned };
        let mut day = Day::begin(overdue);
        assert_eq!(day.wait(), Some(Duration::ZERO));
        day.end(complete());
        assert_eq!(day.wait(), Some(INTERVAL), "what was missed happens once");
    }

    #[test]
    fn an_unfinished_first_sync_goes_on_at_a_restart() {
        let cut_short = Remembered { next_run_at: Some(morning() + TimeDelta::hours(5)), ..Remembered::default() };
        assert_eq!(Day::begin(cut_short).wait(), Some(Duration::ZERO));
    }

    #[test]
    fn a_sleep_of_half_a_day_makes_one_run_due() {
        let mut day = Day::begin(Remembered::default());
        assert!(day.is_due());
        day.end(complete());
        // The steady clock stands still while the machine sleeps.
        day.wall += 12 * HOUR;
        assert!(day.is_due());
        day.end(complete());
        assert!(!day.is_due());
    }

    #[test]
    fn a_calendar_that_is_set_back_freezes_nothing() {
        let mut day = Day::begin(Remembered::default());
        assert!(day.is_due());
        day.end(complete());
        day.wall -= TimeDelta::days(400);
        assert_eq!(day.wait(), Some(INTERVAL));
    }

    #[test]
    fn a_pause_is_waited_out() {
        let mut day = Day::begin(Remembered::default());
        assert!(day.is_due());
        let until = day.wall + TimeDelta::hours(13);
        let pause = Pause { scope: crate::model::Family::Tracks, class: LimitClass::Quota, until };
        assert_eq!(day.end(RunEnd::Paused(pause)).next_run_at, Some(until));
        assert_eq!(day.wait(), Some(13 * HOUR));
    }

    /// Found by the simulation: the gate refused, the schedule tried again at once, a hundred times a second.
    #[test]
    fn a_pause_that_the_calendar_calls_over_is_not_asked_about_at_once() {
        let mut day = Day::begin(Remembered::default());
        assert!(day.is_due());
        let until = day.wall + TimeDelta::hours(13);
        let pause = Pause { scope: crate::model::Family::Tracks, class: LimitClass::Quota, until };
        day.wall += TimeDelta::hours(25);
        day.end(RunEnd::Paused(pause));
        assert_eq!(day.wait(), Some(PAUSED_MIN));
    }

    #[test]
    fn an_api_that_is_away_is_asked_ever_more_rarely_but_for_ever() {
        let mut day = Day::begin(Remembered::default());
        let mut waits = Vec::new();
        for _ in 0..9 {
            waits.push(day.wait().unwrap().as_secs() / 60);
            day.end(failed(Fault::Unreachable));
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn what_is_refused_for_good_is_told_once_and_tried_daily() {
        let mut day = Day::begin(Remembered::default());
        assert!(day.is_due());
        assert!(day.end(failed(Fault::Refused)).is_news);
        assert_eq!(day.wait(), Some(24 * HOUR));
        assert!(!day.end(failed(Fault::Refused)).is_news);
        assert_eq!(day.wait(), Some(24 * HOUR));
        day.end(complete());
        assert_eq!(day.wait(), Some(INTERVAL));
    }

    #[test]
    fn a_service_that_starts_again_and_again_does_not_ask_again_and_again() {
        let refused = |failed_ago: TimeDelta| Remembered {
            next_run_at: Some(morning() + TimeDelta::hours(20)),
            failed_at: Some(morning() - failed_ago),
            is_complete: false,
        };
        assert_eq!(Day::begin(refused(TimeDelta::seconds(20))).wait(), Some(20 * HOUR));
        assert_eq!(Day::begin(refused(TimeDelta::hours(4))).wait(), Some(Duration::ZERO));
    }

    #[test]
    fn who_has_to_sign_in_again_is_left_alone() {
        let mut day = Day::begin(Remembered::default());
        assert!(day.is_due());
        let plan = day.end(failed(Fault::SignIn));
        assert_eq!(plan, Plan { next_run_at: None, is_news: true });
        assert_eq!(day.wait(), None);
        day.schedule.handle_added(KEY, Remembered::default(), day.now, day.wall);
        assert!(day.is_due());
    }

    #[test]
    fn a_shorter_interval_counts_at_once() {
        let mut day = Day::begin(Remembered::default());
        assert!(day.is_due());
        day.end(complete());
        day.schedule.handle_interval(HOUR, day.now, day.wall);
        assert_eq!(day.wait(), Some(HOUR));
    }
}
