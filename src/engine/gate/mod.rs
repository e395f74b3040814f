//! Who may send a request, and when.
//!
//! Three things must agree before a permit is granted: no pause stops the asker's endpoint family, the rolling window
//! has room ([`window`]), and the spacing in front of it is due ([`spacing`]). Among those who wait, playback comes
//! first, then tracks, artists, albums and playlists; but every fourth permit goes to whoever has waited longest, so
//! that nobody starves.

pub mod spacing;
pub mod window;

use crate::model::{Family, LimitClass, Pause, WindowLease};
use chrono::{DateTime, Utc};
use spacing::Spacing;
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};
use window::RollingWindow;

/// Requests per window where no number is configured: one in about four seconds. The limit is unpublished; ten per 30 s
/// were measured as too many for a new application.
pub const DEFAULT_REQUESTS: u32 = 7;

/// The window that the API documents.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(30);

/// Every so many permits, the longest wait wins over priority.
const FAIR_EVERY: u32 = 4;

/// A refusal without a usable `Retry-After` is taken for the end of the day's quota.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// The number of requests allowed in any window of the given length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateSettings {
    pub requests: u32,
    pub window: Duration,
}

impl Default for GateSettings {
    fn default() -> Self {
        GateSettings { requests: DEFAULT_REQUESTS, window: DEFAULT_WINDOW }
    }
}

/// One who waits. `T` tells askers apart.
#[derive(Debug, Clone)]
struct Ask<T> {
    ticket: T,
    family: Family,
    number: u64,
    /// Longest pause the asker sits out; `None` for any.
    longest_wait: Option<Duration>,
}

/// What the gate does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next<T> {
    Grant(T),
    /// The pause is longer than the asker waits.
    Refuse(T, Pause),
    /// Nothing can be granted before this moment, for this reason.
    Wait(Instant, Waiting),
    /// Nothing can be granted before a permit comes back.
    Full,
    /// Nobody waits.
    Idle,
}

/// Why everybody waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Waiting {
    /// The API refused, and named a time.
    Paused(Pause),
    /// The window is full.
    Window,
    /// Requests are spread over the window.
    Spacing,
}

#[derive(Debug)]
pub struct Gate<T> {
    window: RollingWindow,
    spacing: Spacing,
    asks: BTreeMap<Family, VecDeque<Ask<T>>>,
    pauses: BTreeMap<Family, (Pause, Instant)>,
    num_asks: u64,
    num_granted: u32,
}

impl<T: Copy + PartialEq> Gate<T> {
    pub fn new(settings: GateSettings, now: Instant) -> Gate<T> {
        Gate {
            window: RollingWindow::new(settings.requests, settings.window),
            spacing: Spacing::new(settings.requests, settings.window, now),
            asks: BTreeMap::new(),
            pauses: BTreeMap::new(),
            num_asks: 0,
            num_granted: 0,
        }
    }

    /// A gate that took over from one that died: what that one granted is unknown, so the window counts as full.
    pub fn after_death(settings: GateSettings, now: Instant) -> Gate<T> {
        let mut gate = Gate::new(settings, now);
        gate.window.assume(None, now);
        gate
    }

    pub fn handle_ask(&mut self, ticket: T, family: Family, longest_wait: Option<Duration>) {
        self.num_asks += 1;
        let ask = Ask { ticket, family, number: self.num_asks, longest_wait };
        self.asks.entry(family).or_default().push_back(ask);
    }

    /// An earlier process left this note: what it sent counts for this one too. `wall` is the calendar time at `now`.
    pub fn handle_lease(&mut self, lease: WindowLease, now: Instant, wall: DateTime<Utc>) {
        let ago = (wall - lease.until).to_std().unwrap_or_default();
        if let Some(at) = now.checked_sub(ago).filter(|_| ago <= self.window.length()) {
            self.window.assume(lease.used, at);
        }
    }

    /// The asker is gone before it got a permit.
    pub fn handle_withdrawn(&mut self, ticket: T) {
        for asks in self.asks.values_mut() {
            asks.retain(|ask| ask.ticket != ticket);
        }
    }

    /// A permit came back: used and answered, or never used.
    pub fn handle_returned(&mut self, used: bool, now: Instant) {
        if used { self.window.handle_answered(now) } else { self.window.handle_unused() }
    }

    /// The API refused a request. Returns the pause that follows, to be kept where it outlives the process.
    ///
    /// `wall` is the calendar time at `now`. A quota stops the family, the rate limit everything.
    pub fn handle_limited(
        &mut self,
        family: Family,
        class: LimitClass,
        retry_after: Option<Duration>,
        now: Instant,
        wall: DateTime<Utc>,
    ) -> Pause {
        let scope = match class {
            LimitClass::Rate => Family::Application,
            LimitClass::Quota => family,
        };
        let until = wall + retry_after.unwrap_or(UNKNOWN_PAUSE);
        self.handle_pause(Pause { scope, class, until }, now, wall)
    }

    /// Takes up a pause, from a refusal or from the database. A later end wins; nothing shortens a pause.
    pub fn handle_pause(&mut self, pause: Pause, now: Instant, wall: DateTime<Utc>) -> Pause {
        let ends = now + (pause.until - wall).to_std().unwrap_or_default();
        let held = self.pauses.entry(pause.scope).or_insert((pause, ends));
        if ends > held.1 {
            *held = (pause, ends);
        }
        held.0
    }

    /// The pauses in force.
    pub fn pauses(&self) -> impl Iterator<Item = Pause> {
        self.pauses.values().map(|(pause, _)| *pause)
    }

    /// Requests sent in the window so far, and those it may hold.
    pub fn window_used(&mut self, now: Instant) -> (u32, u32) {
        self.window.used(now)
    }

    /// Rules on who is next. Call until it grants nothing more.
    pub fn poll(&mut self, now: Instant) -> Next<T> {
        self.pauses.retain(|_, (_, ends)| *ends > now);
        if let Some((ticket, pause)) = self.take_impatient(now) {
            return Next::Refuse(ticket, pause);
        }
        let Some(family) = self.choose() else {
            let shortest = self.asks.values().flatten().filter_map(|ask| self.pause_of(ask.family)).min_by_key(|p| p.1);
            return match shortest {
                Some((pause, ends)) => Next::Wait(ends, Waiting::Paused(pause)),
                None => Next::Idle,
            };
        };
        match self.window.room(now) {
            window::Room::Free => {}
            window::Room::FreeAt(at) => return Next::Wait(at, Waiting::Window),
            window::Room::InUse => return Next::Full,
        }
        if let Err(at) = self.spacing.try_pass(now) {
            return Next::Wait(at, Waiting::Spacing);
        }
        let Some(ask) = self.asks.get_mut(&family).and_then(VecDeque::pop_front) else { return Next::Idle };
        self.num_granted = self.num_granted.wrapping_add(1);
        self.window.handle_granted();
        Next::Grant(ask.ticket)
    }

    fn pause_of(&self, family: Family) -> Option<(Pause, Instant)> {
        let pauses = [self.pauses.get(&family), self.pauses.get(&Family::Application)];
        pauses.into_iter().flatten().copied().max_by_key(|(_, ends)| *ends)
    }

    fn take_impatient(&mut self, now: Instant) -> Option<(T, Pause)> {
        let (family, number, pause) = self.asks.values().flatten().find_map(|ask| {
            let (pause, ends) = self.pause_of(ask.family)?;
            let longest_wait = ask.longest_wait?;
            (ends > now + longest_wait).then_some((ask.family, ask.number, pause))
        })?;
        let asks = self.asks.get_mut(&family)?;
        let at = asks.iter().position(|ask| ask.number == number)?;
        asks.remove(at).map(|ask| (ask.ticket, pause))
    }

    /// The family whose first asker is next.
    fn choose(&self) -> Option<Family> {
        let fronts = || {
            self.asks
                .iter()
                .filter_map(|(family, asks)| asks.front().map(|ask| (*family, ask.number)))
                .filter(|(family, _)| self.pause_of(*family).is_none())
        };
        let is_fair_turn = self.num_granted % FAIR_EVERY == FAIR_EVERY - 1;
        let first = fronts().map(|(family, _)| family).min_by_key(|family| priority(*family))?;
        if first == Family::Player || !is_fair_turn {
            return Some(first);
        }
        fronts().min_by_key(|(_, number)| *number).map(|(family, _)| family)
    }
}

/// Smaller goes first.
fn priority(family: Family) -> u8 {
    match family {
        Family::Application | Family::Player => 0,
        Family::Tracks => 1,
        Family::Artists => 2,
        Family::Albums => 3,
        Family::Playlists | Family::PlaylistItems => 4,
    }
}

#[cfg(test)]
mod tests;
