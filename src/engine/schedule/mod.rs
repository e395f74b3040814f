//! When the service runs what: the first sync until it is complete, then an incremental run per interval, and after a
//! failure as soon as another try is worth its requests.
//!
//! | how a run ended | the next one |
//! |---|---|
//! | complete | after the interval, give or take a tenth; sooner where something waits for a second look |
//! | unsteady: the listing or the API contradicted itself | after the interval, then twice that, four times ... up to a day |
//! | paused by a limit | when the pause ends; after a minute where only the calendar calls it over |
//! | nothing answers, or a refusal that may pass | after a minute, then two, four ... up to an hour |
//! | a permission is missing, or the API says that the endpoint is gone | after ten minutes; if it still is, after a day, and after the next sign-in |
//! | a failure of our own | after five minutes, then ten ... up to the interval |
//! | sign in again | when the account is signed in again |
//! | overtaken | at once, if the account is still ours: a reset makes it start over |
//! | stopped | at once: how long the stop lasts is not decided here |
//!
//! A moment is kept on both clocks and is due when either has reached it: the calendar advances while the machine
//! sleeps, and the steady clock when the calendar is set back. Running a little early costs a few requests and is
//! harmless, since limits are up to the gate. A missed run is due once, however many intervals have passed.
//!
//! A paused entity keeps its plan but does not begin; once resumed, whatever was missed meanwhile is due.

mod agenda;

use super::{
    backoff::{self, OUTAGE_BASE, OUTAGE_CAP},
    run::RunEnd,
};
use crate::model::{Fault, Order, SyncKey};
use agenda::{Agenda, Moment};
use chrono::{DateTime, Utc};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// Wait for a pause that has ended by the calendar. The gate has a clock of its own, which nobody sets forward.
const PAUSED_MIN: Duration = Duration::from_secs(60);

/// Interval between tries of what the API refuses for a reason that only a person can change, once a second refusal
/// some time after the first has confirmed it: such words, too, have come from something between us and Spotify.
const REFUSED_EVERY: Duration = Duration::from_secs(24 * 3600);
const CONFIRMED_AFTER: Duration = Duration::from_secs(10 * 60);

/// First wait after a failure of our own, and the longest one while the database does not answer.
const INTERNAL_BASE: Duration = Duration::from_secs(5 * 60);

/// Longest wait after runs that ended unsteady, unless the interval is longer.
const UNSTEADY_CAP: Duration = Duration::from_secs(24 * 3600);

/// Shortest wait before something doubtful is looked at again.
const AGAIN_MIN: Duration = Duration::from_secs(60);

/// Long enough for the service to notice that the account now belongs to another process.
const OVERTAKEN_WAIT: Duration = Duration::from_secs(30);

/// A start of the service retries what failed longer ago than this, so that repeated restarts do not retry each time.
const TRY_AFTER_START: Duration = Duration::from_secs(10 * 60);

/// The clocks of two machines may differ by this much.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(60);

/// Runs that are due together, at a start or after a sleep, begin at once; those that follow drift apart by this share
/// of the interval.
const JITTER_SHARE: f64 = 0.1;

/// How much shorter or longer than computed a wait that doubles may be, by its share.
const SPREAD: f64 = 0.25;

/// What the database remembers of an entity type from before the service started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remembered {
    /// The next run, as it was planned.
    pub next_run_at: Option<DateTime<Utc>>,
    /// When the last run was last heard of, which is about when the next one was planned.
    pub last_updated_at: Option<DateTime<Utc>>,
    /// The last run, if it failed.
    pub failed_at: Option<DateTime<Utc>>,
    /// When the person last signed in: what was refused before may be permitted now.
    pub signed_in_at: Option<DateTime<Utc>>,
    /// The initial sync is complete.
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
    /// Since when it has been refused for such a reason, run after run.
    refused_since: Option<Instant>,
    /// The fault reported last: each is reported once.
    told: Option<String>,
}

/// What follows a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// `None` while only a person can make it run.
    pub next_run_at: Option<DateTime<Utc>>,
    /// The run failed in a way that has not been reported yet.
    pub is_news: bool,
}

/// Why an order makes no sense now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("not kept current by this service")]
    Unknown,
    #[error("running already")]
    Running,
    #[error("waits until the account is signed in again")]
    Parked,
    #[error("paused by hand")]
    Paused,
    #[error("not paused by hand")]
    NotPaused,
}

#[derive(Debug)]
pub struct Schedule {
    interval: Duration,
    outage_base: Duration,
    outage_cap: Duration,
    entries: BTreeMap<SyncKey, Entry>,
    /// Paused by a person. Includes what is not kept current now, so that the pause survives a setting that is turned
    /// off and on.
    paused: BTreeSet<SyncKey>,
    /// What becomes due at some time, and is not paused.
    agenda: Agenda,
}

impl Schedule {
    pub fn new(interval: Duration) -> Schedule {
        Schedule {
            interval,
            outage_base: OUTAGE_BASE,
            outage_cap: OUTAGE_CAP,
            entries: BTreeMap::new(),
            paused: BTreeSet::new(),
            agenda: Agenda::default(),
        }
    }

    /// With other waits for an API that is unreachable.
    pub fn with_outage_waits(self, outage_base: Duration, outage_cap: Duration) -> Schedule {
        Schedule { outage_base, outage_cap, ..self }
    }

    /// The interval was changed; whatever is due later than it allows is moved forward.
    pub fn handle_interval(&mut self, interval: Duration, now: Instant, wall: DateTime<Utc>) {
        let latest = Moment::after(interval, now, wall);
        let is_late = |entry: &Entry| {
            entry.num_failures == 0 && matches!(entry.standing, Standing::Due(moment) if moment.wall > latest.wall)
        };
        let late: Vec<SyncKey> = self.entries.iter().filter(|(_, entry)| is_late(entry)).map(|(key, _)| *key).collect();
        late.into_iter().for_each(|key| self.stand(key, Standing::Due(latest)));
        self.interval = interval;
    }

    /// From now on this is kept current.
    pub fn handle_added(&mut self, key: SyncKey, remembered: Remembered, now: Instant, wall: DateTime<Utc>) {
        let Remembered { next_run_at, last_updated_at, failed_at, signed_in_at, is_complete } = remembered;
        let is_old_failure = failed_at.is_some_and(|at| {
            let is_long_ago = (wall - at).to_std().is_ok_and(|ago| ago > TRY_AFTER_START);
            is_long_ago || signed_in_at.is_some_and(|signed_in_at| signed_in_at > at)
        });
        // A plan from a calendar that was ahead of ours says nothing.
        let is_void = is_old_failure || last_updated_at.is_some_and(|at| at > wall + CLOCKS_APART_MAX);
        let first = match next_run_at {
            Some(at) if (is_complete || failed_at.is_some()) && !is_void && at <= wall + self.longest_wait() => {
                Moment::until(at, now, wall)
            }
            _ => Moment::until(wall, now, wall),
        };
        let standing = Standing::Due(first);
        self.entries.insert(key, Entry { standing, num_failures: 0, refused_since: None, told: None });
        self.stand(key, standing);
    }

    /// No plan is further away.
    fn longest_wait(&self) -> Duration {
        self.interval.max(UNSTEADY_CAP).mul_f64(1.0 + SPREAD)
    }

    /// This is no longer to be kept current.
    pub fn handle_removed(&mut self, gone: impl Fn(&SyncKey) -> bool) {
        for (key, _) in self.entries.extract_if(.., |key, _| gone(key)) {
            self.agenda.take(&key);
        }
    }

    /// Whether an order can be carried out.
    pub fn check(&self, order: Order, key: &SyncKey) -> Result<(), Unfit> {
        let Some(entry) = self.entries.get(key) else { return Err(Unfit::Unknown) };
        match (order, entry.standing, self.paused.contains(key)) {
            (Order::Sync | Order::Pause, _, true) => Err(Unfit::Paused),
            (Order::Sync, Standing::Running, false) => Err(Unfit::Running),
            (Order::Sync, Standing::Parked, false) => Err(Unfit::Parked),
            (Order::Resume, _, false) => Err(Unfit::NotPaused),
            // The confirmation applies to whichever run comes next.
            (Order::ConfirmRemovals, _, _)
            | (Order::Sync, Standing::Due(_), false)
            | (Order::Pause, _, false)
            | (Order::Resume, _, true)
            | (Order::Reset, _, _) => Ok(()),
        }
    }

    /// A person asked for a run now.
    pub fn handle_wanted(&mut self, key: SyncKey, now: Instant, wall: DateTime<Utc>) {
        if self.entries.get(&key).is_some_and(|entry| matches!(entry.standing, Standing::Due(_))) {
            self.stand(key, Standing::Due(Moment::until(wall, now, wall)));
        }
    }

    /// A person has paused this, now or in an earlier life of the service. Ordering a run ends that.
    pub fn handle_paused(&mut self, key: SyncKey) {
        self.paused.insert(key);
        self.agenda.take(&key);
    }

    /// A person resumes this.
    pub fn handle_resumed(&mut self, key: SyncKey) {
        self.paused.remove(&key);
        if let Some(standing) = self.entries.get(&key).map(|entry| entry.standing) {
            self.stand(key, standing);
        }
    }

    /// A run ended. `jitter` is in `[0, 1)`.
    pub fn handle_ended(&mut self, key: SyncKey, end: &RunEnd, now: Instant, wall: DateTime<Utc>, jitter: f64) -> Plan {
        let (interval, outage_base, outage_cap) = (self.interval, self.outage_base, self.outage_cap);
        let Some(entry) = self.entries.get_mut(&key) else { return Plan { next_run_at: None, is_news: false } };
        let jitter = jitter.clamp(0.0, 1.0);
        let fault = match end {
            RunEnd::Failed(fault) => Some(fault),
            RunEnd::Complete { .. } | RunEnd::Unsteady { .. } | RunEnd::Paused(_) | RunEnd::Stopped => None,
        };
        entry.num_failures = if fault.is_some() { entry.num_failures.saturating_add(1) } else { 0 };
        let refused_since = entry.refused_since.take();
        let doubled = |base: Duration, cap: Duration, failures: u32| {
            backoff::doubled(base, cap.max(base), failures - 1).mul_f64(1.0 - SPREAD + 2.0 * SPREAD * jitter)
        };
        let wait = match end {
            RunEnd::Stopped => Some(Duration::ZERO),
            RunEnd::Complete { again_in, .. } => {
                let spread = interval.mul_f64(1.0 - JITTER_SHARE + 2.0 * JITTER_SHARE * jitter);
                Some(again_in.map_or(spread, |again_in| again_in.max(AGAIN_MIN).min(spread)))
            }
            RunEnd::Unsteady { in_a_row, .. } => Some(doubled(interval, UNSTEADY_CAP, (*in_a_row).max(1))),
            RunEnd::Paused(pause) | RunEnd::Failed(Fault::Paused(pause)) => {
                Some((pause.until - wall).to_std().unwrap_or(PAUSED_MIN))
            }
            RunEnd::Failed(Fault::Unreachable(_) | Fault::Outage(_) | Fault::Forbidden(_) | Fault::Gone(_)) => {
                Some(doubled(outage_base, outage_cap, entry.num_failures))
            }
            RunEnd::Failed(Fault::Refused(_) | Fault::NotPermitted(_)) => {
                let since = refused_since.unwrap_or(now);
                entry.refused_since = Some(since);
                let is_confirmed = now.saturating_duration_since(since) >= CONFIRMED_AFTER;
                Some(if is_confirmed { REFUSED_EVERY } else { CONFIRMED_AFTER })
            }
            RunEnd::Failed(Fault::Away(_)) => Some(doubled(outage_base, INTERNAL_BASE, entry.num_failures)),
            RunEnd::Failed(Fault::Internal(_) | Fault::Unservable(_) | Fault::Stopped) => {
                Some(doubled(INTERNAL_BASE, interval, entry.num_failures))
            }
            RunEnd::Failed(Fault::Overtaken(_)) => Some(OVERTAKEN_WAIT),
            RunEnd::Failed(Fault::SignIn(_)) => None,
        };
        let told = fault.map(ToString::to_string);
        let is_news = told.is_some() && told != entry.told;
        entry.told = told;
        let standing = wait.map_or(Standing::Parked, |wait| Standing::Due(Moment::after(wait, now, wall)));
        self.stand(key, standing);
        Plan { next_run_at: self.next_run_at(&key), is_news }
    }

    /// Hands out what is due, the longest overdue first; it counts as running until it ends.
    pub fn poll_due(&mut self, now: Instant, wall: DateTime<Utc>) -> Option<SyncKey> {
        let key = self.agenda.first_due(now, wall)?;
        self.stand(key, Standing::Running);
        Some(key)
    }

    /// The one place where a standing changes.
    fn stand(&mut self, key: SyncKey, standing: Standing) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.standing = standing;
        match standing {
            Standing::Due(moment) if !self.paused.contains(&key) => self.agenda.put(key, moment),
            Standing::Due(_) | Standing::Running | Standing::Parked => self.agenda.take(&key),
        }
    }

    /// When the next run of this is planned; `None` while it runs or only a person can make it run.
    pub fn next_run_at(&self, key: &SyncKey) -> Option<DateTime<Utc>> {
        match self.entries.get(key)?.standing {
            Standing::Due(moment) => Some(moment.wall).filter(|_| !self.paused.contains(key)),
            Standing::Running | Standing::Parked => None,
        }
    }
}

#[cfg(test)]
mod tests;
