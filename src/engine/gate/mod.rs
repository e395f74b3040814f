//! Who may send a request, and when.
//!
//! Five things must agree before a permit is granted: no pause stops the asker's endpoint family ([`pauses`]), no daily
//! ceiling does ([`ledger`]), no probe is under way, the rolling window has room ([`window`]) at the rate learned so
//! far ([`rate`]), and the spacing in front of it is due ([`spacing`]). Among those who wait ([`queue`]), playback
//! comes first, then tracks, artists, albums and playlists, and within each the accounts take turns; but every fourth
//! permit goes to whoever has waited longest, so that nobody starves.
//!
//! All processes on one database share these limits: [`shared`] is the gate of a process among others, and [`look`]
//! what each of them may take.
//!
//! `now` is the steady clock, `wall` the calendar at the same moment.

pub mod allowance;
mod granting;
pub mod ledger;
pub mod look;
pub mod pauses;
pub mod queue;
pub mod rate;
pub mod shared;
pub mod spacing;
pub mod window;

use super::backoff::doubled;
use crate::model::{AccountId, DailyCeilings, Family, GateNote, LearnedRate, LedgerEntry, LimitClass, Pause, Sent};
use allowance::Allowance;
use chrono::{DateTime, TimeDelta, Utc};
use ledger::{Counted, DAY, Ledger, UNKNOWN_QUOTA_MIN};
use pauses::{Calendar, Held, Pauses};
use queue::Queue;
use rate::Rate;
use spacing::Spacing;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use window::RollingWindow;

/// The window that the API documents.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(30);

/// Every so many permits, the longest wait wins over priority.
const FAIR_EVERY: u32 = 4;

/// Shortest pause of a quota that refuses again when the end that it named is over, doubled with each that follows.
const QUOTA_AGAIN: Duration = Duration::from_secs(60);
const QUOTA_AGAIN_MAX: Duration = Duration::from_secs(3600);

/// The limits that the gate is configured to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateSettings {
    /// At most this many requests in any window; `None` relies on what is learned.
    pub requests: Option<u32>,
    pub window: Duration,
    pub daily: DailyCeilings,
}

impl Default for GateSettings {
    fn default() -> Self {
        GateSettings { requests: None, window: DEFAULT_WINDOW, daily: DailyCeilings::default() }
    }
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
    /// A permit for this family could be granted, and has to be reserved first.
    Reserve(Family),
    /// Nobody waits.
    Idle,
}

/// Why everybody waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Waiting {
    /// The API refused, and named a time; or a daily ceiling of ours is reached.
    Paused(Pause),
    /// The window is full.
    Window,
    /// Requests are spread over the window.
    Spacing,
}

/// What became of a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermitUse {
    /// Nothing was sent.
    Unused,
    /// The API answered, and did not report a limit.
    Served,
    /// A limit refused the request, as already reported to [`Gate::handle_limited`].
    Limited,
    /// It was sent, and its outcome is unknown.
    Unanswered,
}

/// How a refusal was handled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limited {
    /// What is in force now.
    pub pause: Pause,
    /// Whether this pause is new or has become longer: one cause may refuse several requests in flight.
    pub is_news: bool,
}

/// A permit that is out.
#[derive(Debug, Clone, Copy)]
struct Out<T> {
    ticket: T,
    family: Family,
    granted_at: Instant,
    /// Its position within its window, from 1.
    level: u32,
    /// Where the ledger counts it.
    counted: Counted,
}

#[derive(Debug)]
pub struct Gate<T> {
    settings: GateSettings,
    calendar: Calendar,
    window: RollingWindow,
    rate: Rate,
    spacing: Spacing,
    /// The spacing has let the next one through already.
    is_spaced: bool,
    /// `None` where nobody else is served: then nothing needs to be reserved.
    allowance: Option<Allowance>,
    queue: Queue<T>,
    pauses: Pauses<T>,
    ledger: Ledger,
    out: Vec<Out<T>>,
    num_granted: u32,
    /// When the rate limit last refused: refusals of what was granted before then say nothing new.
    refused_at: Option<Instant>,
    /// How often a quota has refused a family in a row, with a pause after each.
    quotas_in_a_row: BTreeMap<Family, u32>,
}

impl<T: Copy + PartialEq> Gate<T> {
    pub fn new(settings: GateSettings, now: Instant, wall: DateTime<Utc>) -> Gate<T> {
        let rate = Rate::new(settings.requests, settings.window, now);
        Gate {
            settings,
            calendar: Calendar::new(now, wall),
            window: RollingWindow::new(rate.limit(), settings.window),
            spacing: Spacing::new(rate.limit(), settings.window, now),
            rate,
            is_spaced: false,
            allowance: None,
            queue: Queue::default(),
            pauses: Pauses::default(),
            ledger: Ledger::new(settings.daily),
            out: Vec::new(),
            num_granted: 0,
            refused_at: None,
            quotas_in_a_row: BTreeMap::new(),
        }
    }

    /// Takes up what an earlier life or an earlier process left. Call before the first request.
    pub fn handle_noted(&mut self, noted: &GateNote, now: Instant, wall: DateTime<Utc>) {
        if let Some(learned) = noted.learned {
            self.rate.handle_learned(learned, self.settings.requests.is_some());
            self.window.set_limit(self.rate.limit());
            self.spacing = Spacing::new(self.rate.limit(), self.settings.window, now);
        }
        let ended_at = |sent: &Sent| now.checked_sub((wall - sent.until).to_std().unwrap_or_default());
        self.window.assume(noted.sent.iter().filter_map(|sent| Some((sent.requests, ended_at(sent)?))));
        noted.pauses.iter().for_each(|pause| self.pauses.handle_noted(*pause, None, now, wall));
        self.ledger.handle_noted(&noted.ledger, self.calendar.wall(now));
    }

    /// Takes over from a gate that died and whose permits `still_out` have not come back.
    pub fn handle_death(&mut self, still_out: impl Iterator<Item = (T, Family)>, now: Instant) {
        for (ticket, family) in still_out {
            self.grant(ticket, family, now);
        }
    }

    pub fn handle_ask(
        &mut self,
        ticket: T,
        family: Family,
        account: Option<AccountId>,
        longest_wait: Option<Duration>,
    ) {
        self.queue.push(ticket, family, account, longest_wait);
    }

    /// The asker left before it got a permit.
    pub fn handle_withdrawn(&mut self, ticket: T) {
        self.queue.remove(ticket);
    }

    /// A permit came back.
    pub fn handle_returned(&mut self, ticket: T, outcome: PermitUse, now: Instant) {
        let Some(at) = self.out.iter().position(|out| out.ticket == ticket) else {
            debug_assert!(false, "a permit is returned once");
            return;
        };
        let out = self.out.swap_remove(at);
        if outcome == PermitUse::Unused {
            self.window.handle_unused();
            self.ledger.handle_unused(out.family, out.counted);
        } else {
            self.window.handle_answered(now);
            self.ledger.handle_sent(out.family, out.counted);
        }
        match outcome {
            PermitUse::Served => {
                self.rate.handle_served(out.level);
                self.quotas_in_a_row.remove(&out.family);
                if self.pauses.is_probe(Some(ticket)) {
                    self.pauses.handle_served(ticket);
                    self.rate.handle_reopened(now);
                }
            }
            PermitUse::Unused | PermitUse::Unanswered | PermitUse::Limited => self.pauses.handle_lost(ticket),
        }
    }

    /// A limit refused the request that was sent with this permit, which is still out. Returns the pause that follows,
    /// to be stored where it outlives the process. A quota stops the family, the rate limit everything.
    pub fn handle_limited(
        &mut self,
        ticket: Option<T>,
        family: Family,
        class: LimitClass,
        retry_after: Option<Duration>,
        now: Instant,
        wall: DateTime<Utc>,
    ) -> Limited {
        self.ledger.handle_refused(family, self.calendar.wall(now));
        let (scope, until) = match class {
            LimitClass::Rate => {
                self.learn(ticket, now, wall);
                (Family::Application, wall + self.pauses.rate_pause(ticket, retry_after.unwrap_or_default()))
            }
            LimitClass::Quota | LimitClass::Ceiling => {
                // The rate limit has let it through.
                if let Some(ticket) = ticket.filter(|ticket| self.pauses.is_probe(Some(*ticket))) {
                    self.pauses.handle_served(ticket);
                    self.rate.handle_reopened(now);
                }
                (family, wall + self.quota_pause(family, retry_after, now))
            }
        };
        let (pause, is_news) = self.pauses.handle_pause(Pause { scope, class, until }, now, wall);
        Limited { pause, is_news }
    }

    /// How long a quota pauses its family. One refusal decides nothing that lasts: a day without a named end takes a
    /// second one, after an hour. And a named end that is over while the quota still refuses is not believed again.
    fn quota_pause(&mut self, family: Family, retry_after: Option<Duration>, now: Instant) -> TimeDelta {
        let in_a_row = self.quotas_in_a_row.entry(family).or_default();
        // What was under way when the pause began says nothing new.
        if *in_a_row == 0 || !self.pauses.holds(family, now) {
            *in_a_row += 1;
        }
        let calendar = self.calendar.wall(now);
        match (retry_after, *in_a_row) {
            (Some(wait), in_a_row) => {
                let least = in_a_row.checked_sub(2).map(|times| doubled(QUOTA_AGAIN, QUOTA_AGAIN_MAX, times));
                TimeDelta::from_std(wait.max(least.unwrap_or_default())).unwrap_or(DAY)
            }
            (None, 1) => UNKNOWN_QUOTA_MIN,
            (None, _) => self.ledger.unknown_quota_end(family, calendar) - calendar,
        }
    }

    /// The first refusal says something about the rate; those of requests that were already under way only repeat it.
    fn learn(&mut self, ticket: Option<T>, now: Instant, wall: DateTime<Utc>) {
        let out = ticket.and_then(|ticket| self.out.iter().find(|out| out.ticket == ticket).copied());
        let Some(out) = out.filter(|out| self.refused_at.is_none_or(|at| out.granted_at > at)) else { return };
        self.refused_at = Some(now);
        self.rate.handle_refused(out.level, self.pauses.is_probe(ticket), now, wall);
        self.follow_rate(now);
    }

    fn follow_rate(&mut self, now: Instant) {
        self.window.set_limit(self.rate.limit());
        self.spacing.set_requests(self.rate.limit(), now);
    }

    /// Another process has lifted the pause of the rate limit.
    pub fn handle_lifted(&mut self, now: Instant) {
        self.pauses.handle_lifted();
        self.rate.handle_reopened(now);
    }

    /// Another process has learned something about the rate limit.
    pub fn handle_learned_by_another(&mut self, learned: LearnedRate, now: Instant) {
        self.rate.handle_learned(learned, self.settings.requests.is_some());
        self.rate.handle_reopened(now);
        self.follow_rate(now);
    }

    /// What a permit that is out was granted for.
    pub fn family_of(&self, ticket: T) -> Option<Family> {
        self.out.iter().find(|out| out.ticket == ticket).map(|out| out.family)
    }

    /// The pauses in force.
    pub fn pauses(&self) -> impl Iterator<Item = Pause> {
        self.pauses.iter()
    }

    /// Whether a pause of the rate limit has been lifted since this was last asked for.
    pub fn take_reopened(&mut self) -> bool {
        self.pauses.take_reopened()
    }

    /// What was counted and learned since this was last asked for.
    pub fn take_unsaved(&mut self) -> (Vec<LedgerEntry>, Option<LearnedRate>) {
        (self.ledger.take_unsaved(), self.rate.take_changed())
    }

    /// Requests sent in the window so far, and those it may hold.
    pub fn window_used(&mut self, now: Instant) -> (u32, u32) {
        self.window.used(now)
    }

    /// The families that askers wait for, one entry for each asker.
    pub fn queued(&self) -> impl Iterator<Item = Family> {
        self.queue.iter().map(|ask| ask.family)
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
