//! What the API refuses, until when, and how it is tried again.
//!
//! A quota stops its family until the time given, without a try in between. A rate limit stops everything until the
//! time given; then a single request goes out, the probe. While it is under way nothing else does. If it is served, it
//! opens the gate; if refused, the next pause is the longer of what the API says and a growing one of our own; if lost,
//! it is replaced.
//!
//! # Two clocks
//!
//! A pause is reported and stored as calendar time, the only clock that two processes share. It is waited for on the
//! steady clock, which no correction of the calendar moves and which keeps running while the machine sleeps. So neither
//! a calendar that jumps nor a suspended machine shortens a pause or adds to it. Where calendars do have to be
//! compared, between a stored pause and the process that finds it, a pause never lasts longer than it did when it was
//! noted.

use crate::{
    engine::backoff::doubled,
    model::{Family, LimitClass, NotedPause, Pause},
};
use chrono::{DateTime, Utc};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Shortest pause: a `Retry-After` of zero would allow the next request at once.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Own pause after a probe was refused, doubled with each that follows.
const OWN_PAUSE: Duration = Duration::from_secs(5);
const OWN_PAUSE_MAX: Duration = Duration::from_secs(15 * 60);

/// A calendar that advances with the steady clock from one reading, and so does not jump.
#[derive(Debug, Clone, Copy)]
pub struct Calendar {
    at: Instant,
    wall: DateTime<Utc>,
}

impl Calendar {
    pub fn new(at: Instant, wall: DateTime<Utc>) -> Calendar {
        Calendar { at, wall }
    }

    pub fn wall(&self, now: Instant) -> DateTime<Utc> {
        self.wall + now.saturating_duration_since(self.at)
    }

    /// Continues from this reading if the calendar was set back. Call whenever something is noted by the calendar.
    pub fn handle_read(&mut self, now: Instant, wall: DateTime<Utc>) {
        if wall < self.wall(now) {
            *self = Calendar::new(now, wall);
        }
    }

    /// The calendar time to compare this process's own pauses with: the earlier of what the calendar says and what it
    /// would say had it not jumped forward, so that a jump does not end the pause.
    pub fn cautious(&self, now: Instant, wall: DateTime<Utc>) -> DateTime<Utc> {
        self.wall(now).min(wall)
    }

    /// Time from `now` to `until`; zero if that is over.
    pub fn left(&self, until: DateTime<Utc>, now: Instant) -> Duration {
        (until - self.wall(now)).to_std().unwrap_or_default()
    }
}

/// The single request after a pause of the rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe<T> {
    /// The gate is open.
    None,
    Due,
    Out(T),
}

/// A pause in force, with its end on the steady clock.
pub type Held = (Pause, Instant);

#[derive(Debug)]
pub struct Pauses<T> {
    held: BTreeMap<Family, Held>,
    probe: Probe<T>,
    num_refused_probes: u32,
    /// A probe has been served since this was last asked for.
    has_reopened: bool,
}

impl<T> Default for Pauses<T> {
    fn default() -> Self {
        Pauses { held: BTreeMap::new(), probe: Probe::None, num_refused_probes: 0, has_reopened: false }
    }
}

impl<T: Copy + PartialEq> Pauses<T> {
    /// Takes up a pause. A later end wins; nothing shortens a pause. Returns what is in force, and whether it is new or
    /// longer. `wall` is the calendar time at `now`.
    pub fn handle_pause(&mut self, pause: Pause, now: Instant, wall: DateTime<Utc>) -> (Pause, bool) {
        self.hold(pause, now + (pause.until - wall).to_std().unwrap_or_default())
    }

    /// Takes up a pause that an earlier life or another process noted: `age_max` ago at most, if that is known. Two
    /// calendars may differ by more than that.
    pub fn handle_noted(&mut self, noted: NotedPause, age_max: Option<Duration>, now: Instant, wall: DateTime<Utc>) {
        let NotedPause { pause, noted_at } = noted;
        let full = (pause.until - noted_at).to_std().unwrap_or_default();
        let at_least = age_max.map_or(Duration::ZERO, |age| full.saturating_sub(age));
        let left = (pause.until - wall).to_std().unwrap_or_default().clamp(at_least, full);
        match pause.class {
            LimitClass::Rate if left.is_zero() && matches!(self.probe, Probe::Out(_)) => {}
            LimitClass::Rate if left.is_zero() => self.probe = Probe::Due,
            LimitClass::Quota | LimitClass::Ceiling if left.is_zero() => {}
            LimitClass::Rate | LimitClass::Quota | LimitClass::Ceiling => {
                self.hold(Pause { until: wall + left, ..pause }, now + left);
            }
        }
    }

    fn hold(&mut self, pause: Pause, ends: Instant) -> (Pause, bool) {
        if pause.class == LimitClass::Rate && !matches!(self.probe, Probe::Out(_)) {
            self.probe = Probe::Due;
        }
        // The API counts whole seconds, so pauses that end within the same one are the same pause.
        let is_new = self.held.get(&pause.scope).is_none_or(|(_, held)| ends > *held + PAUSE_MIN);
        let held = self.held.entry(pause.scope).or_insert((pause, ends));
        if ends > held.1 {
            *held = (pause, ends);
        }
        (held.0, is_new)
    }

    /// How long the rate limit pauses everything after it refused `ticket`.
    pub fn rate_pause(&mut self, ticket: Option<T>, retry_after: Duration) -> Duration {
        let retry_after = retry_after.max(PAUSE_MIN);
        if !self.is_probe(ticket) {
            return retry_after;
        }
        self.probe = Probe::Due;
        let own = doubled(OWN_PAUSE, OWN_PAUSE_MAX, self.num_refused_probes);
        self.num_refused_probes += 1;
        retry_after.max(own)
    }

    /// The rate limit let a probe through.
    pub fn handle_served(&mut self, ticket: T) {
        if !self.is_probe(Some(ticket)) {
            return;
        }
        // Something else under way was refused meanwhile.
        if self.is_limited() {
            self.probe = Probe::Due;
            return;
        }
        self.probe = Probe::None;
        self.num_refused_probes = 0;
        self.has_reopened = true;
    }

    /// The probe of another process was served.
    pub fn handle_lifted(&mut self) {
        if self.probe == Probe::Due && !self.is_limited() {
            self.probe = Probe::None;
            self.num_refused_probes = 0;
        }
    }

    /// Whether a pause of the rate limit lasts.
    fn is_limited(&self) -> bool {
        self.held.get(&Family::Application).is_some_and(|(pause, _)| pause.class == LimitClass::Rate)
    }

    /// A permit came back, and the outcome of its request is unknown.
    pub fn handle_lost(&mut self, ticket: T) {
        if self.is_probe(Some(ticket)) {
            self.probe = Probe::Due;
        }
    }

    pub fn handle_granted(&mut self, ticket: T) {
        if self.probe == Probe::Due {
            self.probe = Probe::Out(ticket);
        }
    }

    pub fn is_probe(&self, ticket: Option<T>) -> bool {
        ticket.is_some_and(|ticket| self.probe == Probe::Out(ticket))
    }

    /// Whether the next request is a probe.
    pub fn is_probe_due(&self) -> bool {
        self.probe == Probe::Due
    }

    pub fn is_probing(&self) -> bool {
        matches!(self.probe, Probe::Out(_))
    }

    pub fn take_reopened(&mut self) -> bool {
        std::mem::take(&mut self.has_reopened)
    }

    pub fn expire(&mut self, now: Instant) {
        self.held.retain(|_, (_, ends)| *ends > now);
    }

    /// Whether a pause of this scope itself lasts.
    pub fn holds(&self, scope: Family, now: Instant) -> bool {
        self.held.get(&scope).is_some_and(|(_, ends)| *ends > now)
    }

    /// What stops a family, if anything does.
    pub fn of(&self, family: Family) -> Option<Held> {
        let pauses = [self.held.get(&family), self.held.get(&Family::Application)];
        pauses.into_iter().flatten().copied().max_by_key(|(_, ends)| *ends)
    }

    pub fn iter(&self) -> impl Iterator<Item = Pause> {
        self.held.values().map(|(pause, _)| *pause)
    }
}
