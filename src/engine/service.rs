//! Which runs of all accounts of a process are under way: what begins, what ends, what follows the death of an actor,
//! and when everything is over. Runs happen either once, or as [`Schedule`] says until the process is stopped.
//!
//! | what happens | what follows |
//! |---|---|
//! | a run is due, or wanted | it begins |
//! | a run ends | the next one is planned; each fault is reported to people once, however many runs it ends |
//! | a syncer dies in the middle of a run | its new life resumes the run |
//! | a syncer dies too often | its run has failed; the next one gets another syncer |
//! | the gate or the writer dies too often | all runs have failed, and nothing begins any more |
//! | a stop | runs end by themselves; those that do not within [`STOP_WITHIN`] are left behind |

use super::{
    Now,
    restart::Ruling,
    run::{Purpose, RunEnd},
    schedule::{Plan, Schedule},
};
use crate::model::{AccountId, Fault, SyncKey};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

/// How long syncers may take to commit what is whole after a stop.
pub const STOP_WITHIN: Duration = Duration::from_secs(8);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunStep {
    /// A run begins; a syncer is started if there is none.
    Begin { key: SyncKey, purpose: Purpose },
    /// The same run, in the next life of its syncer.
    TakeUp { key: SyncKey, purpose: Purpose },
    /// The run is to commit what is whole and end.
    Stop(SyncKey),
    /// The syncer is to drop everything, and is not used again.
    Dismiss(SyncKey),
    /// The syncer is gone: note that its run failed.
    NoteFailure { key: SyncKey, why: String },
    /// A run is over, and this is planned. `is_told`: its fault has already been reported.
    Ended { key: SyncKey, end: RunEnd, plan: Option<Plan>, is_told: bool },
    /// Nothing runs, and nothing will.
    Over(Over),
}

/// How all of it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// Everything that was to run once has ended.
    Done,
    Stopped,
    /// Something that every run needs stays down.
    Failed(String),
}

#[derive(Debug)]
pub struct Runs {
    /// The purpose of a run that nobody ordered.
    pub purpose: Purpose,
    /// `None` if each run is to happen once.
    pub schedule: Option<Schedule>,
    running: BTreeSet<SyncKey>,
    /// What a person has asked for, until a run for it ends.
    wanted: BTreeSet<SyncKey>,
    /// Faults of each account that have been logged since its last complete run.
    told: BTreeMap<AccountId, BTreeSet<String>>,
    is_stopping: bool,
    failed: Option<String>,
    is_over: bool,
    orders: VecDeque<RunStep>,
}

impl Runs {
    /// Runs these once, and no more.
    pub fn once(purpose: Purpose, keys: impl IntoIterator<Item = SyncKey>) -> Runs {
        let mut runs = Runs::new(purpose, None);
        keys.into_iter().for_each(|key| runs.begin(key));
        runs
    }

    /// Runs what the schedule says, until a stop.
    pub fn service(purpose: Purpose, schedule: Schedule) -> Runs {
        Runs::new(purpose, Some(schedule))
    }

    fn new(purpose: Purpose, schedule: Option<Schedule>) -> Runs {
        Runs {
            purpose,
            schedule,
            running: BTreeSet::new(),
            wanted: BTreeSet::new(),
            told: BTreeMap::new(),
            is_stopping: false,
            failed: None,
            is_over: false,
            orders: VecDeque::new(),
        }
    }

    pub fn is_running(&self, key: &SyncKey) -> bool {
        self.running.contains(key)
    }

    pub fn running(&self) -> impl Iterator<Item = SyncKey> {
        self.running.iter().copied()
    }

    pub fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// Hands out what is to be done next. Call until `None`, and again when time has passed.
    pub fn poll(&mut self, now: Now) -> Option<RunStep> {
        if self.orders.is_empty()
            && !self.is_stopping
            && let Some(key) = self.schedule.as_mut().and_then(|schedule| schedule.poll_due(now.at, now.wall))
        {
            self.begin(key);
        }
        if let Some(order) = self.orders.pop_front() {
            return Some(order);
        }
        let may_end = self.schedule.is_none() || self.is_stopping;
        if !may_end || !self.running.is_empty() || std::mem::replace(&mut self.is_over, true) {
            return None;
        }
        Some(RunStep::Over(match (self.failed.take(), &self.schedule) {
            (_, None) => Over::Done,
            (Some(why), Some(_)) => Over::Failed(why),
            (None, Some(_)) => Over::Stopped,
        }))
    }

    fn begin(&mut self, key: SyncKey) {
        self.running.insert(key);
        self.orders.push_back(RunStep::Begin { key, purpose: self.purpose_of(&key) });
    }

    /// A run that a person asks for shows the library as it is, not only what is due by the schedule of the service.
    fn purpose_of(&self, key: &SyncKey) -> Purpose {
        if self.wanted.contains(key) { Purpose::Current } else { self.purpose }
    }

    /// A person asked for a run now.
    pub fn handle_wanted(&mut self, key: SyncKey, now: Now) {
        if let Some(schedule) = &mut self.schedule {
            schedule.handle_wanted(key, now.at, now.wall);
            self.wanted.insert(key);
        }
    }

    /// A person pauses this: no run begins, and one under way ends.
    pub fn handle_paused(&mut self, key: SyncKey) {
        if let Some(schedule) = &mut self.schedule {
            schedule.handle_paused(key);
        }
        if self.running.contains(&key) {
            self.orders.push_back(RunStep::Stop(key));
        }
    }

    /// Uncommitted work of this is no longer of use.
    pub fn handle_dismissed(&mut self, key: SyncKey, now: Now) {
        self.orders.push_back(RunStep::Dismiss(key));
        self.handle_ended(key, RunEnd::Stopped, now);
    }

    /// The account belongs to another process, or was signed in again.
    pub fn handle_released(&mut self, account: AccountId, now: Now) {
        self.told.remove(&account);
        let left: Vec<SyncKey> = self.running().filter(|key| key.account == account).collect();
        left.into_iter().for_each(|key| self.handle_ended(key, RunEnd::Stopped, now));
    }

    pub fn handle_ended(&mut self, key: SyncKey, end: RunEnd, now: Now) {
        if !self.running.remove(&key) {
            return;
        }
        self.wanted.remove(&key);
        let schedule = self.schedule.as_mut();
        let plan = schedule.map(|schedule| schedule.handle_ended(key, &end, now.at, now.wall, now.jitter));
        let is_told = match &end {
            RunEnd::Failed(fault) => {
                let is_known = !self.told.entry(key.account).or_default().insert(fault.to_string());
                is_known || plan.is_some_and(|plan| !plan.is_news)
            }
            RunEnd::Complete { .. } | RunEnd::Unsteady { .. } => {
                self.told.remove(&key.account);
                false
            }
            RunEnd::Paused(_) | RunEnd::Stopped => false,
        };
        // A stopped syncer does nothing more; the next run gets a new one.
        let is_spent = end == RunEnd::Stopped && self.schedule.is_some();
        self.orders.push_back(RunStep::Ended { key, end, plan, is_told });
        if is_spent {
            self.orders.push_back(RunStep::Dismiss(key));
        }
    }

    /// A syncer died, and this is the ruling.
    pub fn handle_syncer_died(&mut self, key: SyncKey, ruling: Ruling, why: &str, now: Now) {
        match ruling {
            Ruling::RestartIn(_) if self.running.contains(&key) => {
                self.orders.push_back(RunStep::TakeUp { key, purpose: self.purpose_of(&key) });
            }
            Ruling::RestartIn(_) => {}
            Ruling::Park | Ruling::Rest => {
                let why = format!("the syncer keeps failing: {why}");
                self.orders.push_back(RunStep::NoteFailure { key, why: why.clone() });
                self.orders.push_back(RunStep::Dismiss(key));
                self.handle_ended(key, RunEnd::Failed(Fault::Internal(why)), now);
            }
        }
    }

    /// A child that every run needs died. Its next life takes the same place: callers that waited for it ask again, or
    /// start from the database.
    pub fn handle_needed_died(&mut self, ruling: Ruling, why: String, now: Now) {
        match ruling {
            Ruling::RestartIn(_) => {}
            Ruling::Park | Ruling::Rest => {
                let left: Vec<SyncKey> = self.running().collect();
                for key in left {
                    self.handle_ended(key, RunEnd::Failed(Fault::Internal(why.clone())), now);
                }
                (self.is_stopping, self.failed) = (true, Some(why));
            }
        }
    }

    /// All runs end: what is whole is committed, the rest dropped.
    pub fn handle_stop(&mut self) {
        self.is_stopping = true;
        self.orders.extend(self.running.iter().map(|key| RunStep::Stop(*key)));
    }

    /// [`STOP_WITHIN`] is over.
    pub fn handle_stop_deadline(&mut self, now: Now) {
        let late: Vec<SyncKey> = self.running().collect();
        late.into_iter().for_each(|key| self.handle_ended(key, RunEnd::Stopped, now));
    }
}
