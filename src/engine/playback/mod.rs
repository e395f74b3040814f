//! When the listening history of an account is asked for, and what a page of it means.
//!
//! The history is a window: the last fifty plays, nothing before them. Rows may turn up late and in its middle (a phone
//! that was offline), so every poll reads the whole window and nothing is skipped by date. A page whose oldest play is
//! new does not link up with what is known, however long it is: what lay in between has left the window unseen, and
//! that is a gap. So is an empty page where plays are known. A page from an older copy is neither news nor a gap.
//!
//! | state | on | becomes |
//! |---|---|---|
//! | waiting | due, by either clock | asking |
//! | asking | a page, committed | waiting, as long as [`pace`] says |
//! | asking | the API cannot be reached, or its answer is unusable, or the commit fails | waiting: `min_interval`, doubled each time up to `interval` |
//! | asking | a pause of the family or of the application | waiting for its end |
//! | asking | refused, for a reason that may pass | waiting, as if it could not be reached |
//! | asking | a permission is missing, or the API says that the endpoint is gone | as if it could not be reached; once a second refusal, ten minutes later at least, confirms it, waiting for a day |
//! | asking | the sign-in is no longer accepted; another process has taken over | stopped |
//!
//! Two clocks say when a poll is due, and the first of them counts: the monotonic one cannot be set back, the calendar
//! keeps running while the machine sleeps.

mod gap;
pub mod pace;
#[cfg(test)]
mod tests;

use super::backoff::delay;
use crate::model::{Fault, KnownPlays, Pause, Play, PlayGap, PlayKey, PlaybackRecord, PlaysPage};
use chrono::{DateTime, TimeDelta, Utc};
use gap::gap;
use pace::Seen;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

/// How long a refusal that only a person can resolve counts as final.
pub const PARK: Duration = Duration::from_secs(24 * 3600);

/// Longest wait without a look at the calendar, which may have jumped.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// How far the calendar of this machine may be ahead of the API's.
const CLOCK_MARGIN: TimeDelta = TimeDelta::minutes(15);

/// Shortest wait after a pause that should be over and is not. The gate refuses without sending a request.
const PAUSE_WAIT_MIN: Duration = Duration::from_secs(5);

/// How often to ask; `min_interval <= interval <= max_interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaybackSettings {
    pub interval: Duration,
    pub min_interval: Duration,
    pub max_interval: Duration,
}

impl PlaybackSettings {
    /// A refusal that only a person can resolve is believed if it is repeated this long afterwards: such words, too,
    /// have come from something between us and Spotify.
    fn confirmed_after(&self) -> Duration {
        self.interval / 2
    }
}

impl Default for PlaybackSettings {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        PlaybackSettings { interval: minutes(20), min_interval: minutes(5), max_interval: minutes(60) }
    }
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Ask,
    /// Look again after this.
    Wait(Duration),
    /// Nothing, until an answer comes or somebody acts.
    Rest,
}

/// Where the tracking stands, for people and for the supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Tracking,
    Paused(Pause),
    /// The last poll failed; it is tried again.
    Failing(String),
    /// A person has to change something; it is tried again, rarely.
    Parked {
        until: DateTime<Utc>,
        why: String,
    },
    /// No more polls until the person has signed in again.
    SignInNeeded(String),
    /// No more polls.
    Stopped(String),
}

/// What a page meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub num_new: u32,
    pub num_odd: u32,
    pub gap: Option<PlayGap>,
    /// Until the next poll.
    pub wait: Duration,
}

/// What a failed poll leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setback {
    pub standing: Standing,
    pub next_poll_at: Option<DateTime<Utc>>,
    /// Whether it has not been reported before.
    pub is_news: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Asking,
    Stopped,
}

#[derive(Debug)]
pub struct Playback {
    settings: PlaybackSettings,
    state: State,
    due_at: Instant,
    due_wall: DateTime<Utc>,
    last_polled_at: Option<DateTime<Utc>>,
    /// Since when pages have arrived, or what the first of them showed was heard; or since the last sign-in, if that
    /// precedes everything on record.
    tracked_since: Option<DateTime<Utc>>,
    num_failures: u32,
    /// Since when only refusals of that kind have come.
    refused_since: Option<Instant>,
    /// It was reported that the tracking rests for a day.
    is_parked: bool,
    /// Pages in a row that show nothing, although plays are known.
    num_empty: u32,
    /// What is wrong, as last reported.
    told: Option<String>,
}

impl Playback {
    /// Continues from the record: polls at once if that is overdue, otherwise when it is due.
    pub fn new(settings: PlaybackSettings, record: &PlaybackRecord, now: Instant, wall: DateTime<Utc>) -> Playback {
        let mut playback = Playback {
            settings,
            state: State::Waiting,
            due_at: now,
            due_wall: wall,
            last_polled_at: record.last_polled_at,
            tracked_since: record.last_polled_at.map(|last| record.authorized_at.map_or(last, |at| at.min(last))),
            num_failures: 0,
            // An earlier life has seen it confirmed.
            refused_since: record.parked_until.and_then(|_| now.checked_sub(settings.confirmed_after())),
            is_parked: record.parked_until.is_some(),
            num_empty: 0,
            told: record.error.clone(),
        };
        let signed_in_since = |parked_until: &DateTime<Utc>| {
            record.authorized_at.is_some_and(|signed_in_at| signed_in_at > *parked_until - PARK)
        };
        let parked_until = record.parked_until.filter(|until| *until > wall && !signed_in_since(until));
        // If a parking is over, the next poll on record was its end.
        let noted = record.next_poll_at.filter(|_| record.parked_until.is_none());
        let wait = match (parked_until, record.last_polled_at) {
            (Some(until), _) => until_moment(until, wall).min(PARK),
            // The calendar was set back since: what lies in its future says nothing.
            (None, Some(last)) if last > wall + CLOCK_MARGIN => Duration::ZERO,
            (None, Some(last)) => {
                let due = noted.unwrap_or(last + settings.interval).min(last + settings.max_interval);
                // A calendar that was set back makes it seem far away.
                until_moment(due, wall).min(settings.max_interval)
            }
            // Never answered so far: at once, unless a failure was noted.
            (None, None) => noted.map_or(Duration::ZERO, |due| until_moment(due, wall)).min(settings.interval),
        };
        playback.set_due(wait, now, wall);
        playback
    }

    pub fn next_poll_at(&self) -> Option<DateTime<Utc>> {
        match self.state {
            State::Waiting | State::Asking => Some(self.due_wall),
            State::Stopped => None,
        }
    }

    /// After `Step::Ask` the caller asks, and reports the result.
    pub fn poll(&mut self, now: Instant, wall: DateTime<Utc>) -> Step {
        match self.state {
            State::Asking | State::Stopped => Step::Rest,
            State::Waiting if now >= self.due_at || wall >= self.due_wall => {
                self.state = State::Asking;
                Step::Ask
            }
            State::Waiting => {
                let wait = self.due_at.saturating_duration_since(now).min(until_moment(self.due_wall, wall));
                Step::Wait(wait.min(LOOK_AGAIN))
            }
        }
    }

    /// Judges a page by what the database holds, and gives known plays in it their known times. `jitter` is in
    /// `[0, 1)`.
    pub fn handle_page(
        &mut self,
        page: &mut PlaysPage,
        known: &KnownPlays,
        wall: DateTime<Utc>,
        jitter: f64,
    ) -> Verdict {
        debug_assert_eq!(self.state, State::Asking, "a page that nobody asked for");
        known.recognise(page);
        let page = &*page;
        let new: HashSet<PlayKey> = page.plays().map(Play::key).filter(|key| !known.keys.contains(key)).collect();
        let new_at: HashSet<DateTime<Utc>> = new.iter().map(|(at, _)| *at).collect();
        let is_hidden = page.slots.is_empty() && known.newest(page.horizon(wall)).is_some();
        // Reported and noted once; the next page that links up heals it.
        let gap = gap(page, known, self.tracked_since, wall).filter(|_| self.num_empty == 0 || !is_hidden);
        // A period that a data export covers is no gap.
        let gap = gap.filter(|gap| known.heard_until.is_none_or(|until| gap.played_before > until));
        self.num_empty = if is_hidden { self.num_empty.saturating_add(1) } else { 0 };
        // It came, whether or not it is learned that the database has it.
        self.tracked_since.get_or_insert(page.oldest().map_or(wall, |oldest| oldest.min(wall)));
        let seen = Seen {
            num_new: count(new.len()),
            is_gap: gap.is_some(),
            elapsed: self.last_polled_at.and_then(|last| (wall - last).to_std().ok()),
            silence: page.newest().map(|newest| (wall - newest).to_std().unwrap_or_default()),
            spacing: pace::spacing(page, |at| new_at.contains(at)),
            cap: known.newest_before.filter(|_| !page.is_full()).map(|_| count(page.slots.len())),
        };
        let num_odd = count(page.slots.iter().filter(|slot| slot.odd.is_some()).count());
        let wait = match self.num_empty {
            0 => pace::wait_after(&self.settings, &seen, jitter),
            in_a_row => self.backoff(in_a_row - 1, jitter),
        };
        Verdict { num_new: seen.num_new, num_odd, gap, wait }
    }

    /// The page and what it meant are in the database. `wall` is the moment they were judged at.
    pub fn handle_committed(&mut self, verdict: &Verdict, now: Instant, wall: DateTime<Utc>) {
        self.last_polled_at = Some(wall);
        (self.num_failures, self.refused_since) = (0, None);
        (self.told, self.is_parked) = (None, false);
        self.set_due(verdict.wait, now, wall);
    }

    /// The poll failed. `jitter` is in `[0, 1)`.
    pub fn handle_fault(&mut self, fault: Fault, now: Instant, wall: DateTime<Utc>, jitter: f64) -> Setback {
        let why = fault.to_string();
        let is_refused = matches!(fault, Fault::NotPermitted(_) | Fault::Refused(_));
        let since = if is_refused { self.refused_since } else { None };
        let is_confirmed =
            since.is_some_and(|since| now.saturating_duration_since(since) >= self.settings.confirmed_after());
        self.refused_since = is_refused.then_some(since.unwrap_or(now));
        let (standing, wait) = match fault {
            Fault::Paused(pause) => {
                // The gate keeps the pause; asking it now and then is free, and notices if the pause ends early.
                let left = until_moment(pause.until, wall).max(PAUSE_WAIT_MIN);
                (Standing::Paused(pause), Some(left.min(self.settings.max_interval)))
            }
            _ if is_confirmed => (Standing::Parked { until: wall + PARK, why: why.clone() }, Some(PARK)),
            Fault::Unservable(_)
            | Fault::Unreachable(_)
            | Fault::Outage(_)
            | Fault::Forbidden(_)
            | Fault::Gone(_)
            | Fault::Away(_)
            | Fault::Internal(_)
            | Fault::NotPermitted(_)
            | Fault::Refused(_) => {
                let wait = self.backoff(self.num_failures, jitter);
                self.num_failures = self.num_failures.saturating_add(1);
                (Standing::Failing(why.clone()), Some(wait))
            }
            Fault::SignIn(_) => (Standing::SignInNeeded(why.clone()), None),
            // What the other process reads, it writes.
            Fault::Overtaken(_) | Fault::Stopped => (Standing::Stopped(why.clone()), None),
        };
        let next_poll_at = match (&standing, wait) {
            (Standing::Paused(pause), _) => Some(pause.until.max(wall)),
            (_, wait) => wait.map(|wait| wall + wait),
        };
        match wait {
            Some(wait) => {
                self.set_due(wait, now, wall);
                self.due_wall = next_poll_at.unwrap_or(self.due_wall).max(wall + PAUSE_WAIT_MIN.min(wait));
            }
            None => self.state = State::Stopped,
        }
        let is_other = self.told.replace(why.clone()).is_none_or(|told| told != why);
        let is_parked = matches!(standing, Standing::Parked { .. });
        let is_news = is_other || is_parked && !self.is_parked;
        self.is_parked = is_parked;
        Setback { standing, next_poll_at, is_news }
    }

    /// Never longer than the interval at which plays are safe.
    fn backoff(&self, num_before: u32, jitter: f64) -> Duration {
        let PlaybackSettings { min_interval, interval, .. } = self.settings;
        delay(min_interval, interval, num_before.saturating_add(1), jitter).max(min_interval)
    }

    fn set_due(&mut self, wait: Duration, now: Instant, wall: DateTime<Utc>) {
        self.state = State::Waiting;
        self.due_at = now + wait;
        self.due_wall = wall + wait;
    }
}

fn until_moment(moment: DateTime<Utc>, wall: DateTime<Utc>) -> Duration {
    (moment - wall).to_std().unwrap_or_default()
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
