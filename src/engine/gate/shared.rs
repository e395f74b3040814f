//! The gate of one process among others: grants permits as [`Gate`] rules, after it has reserved them in the database
//! that all of them share.
//!
//! It says when to look there ([`Step::Look`]); the caller reports the result to [`SharedGate::handle_looked`] or
//! [`SharedGate::handle_unanswered`]. One look is under way at a time. It carries everything that is to be stored:
//! pauses at once, what was counted and learned every few seconds. Nobody waits for ever for a database that does not
//! answer: see [`Step::GiveUp`].

mod clock;
mod looking;
mod unanswered;

pub use unanswered::Unanswered;

use super::{
    Gate, GateSettings, Limited, Next, PermitUse, Waiting,
    allowance::Allowance,
    look::{HOLDS_FOR, HOLDS_FOR_MAX, Known, Look, Looked, News, Seen, Want},
    pauses::Calendar,
};
use crate::model::{AccountId, Family, GateNote, LearnedRate, LedgerEntry, LimitClass, Owner, Pause, Sent};
use chrono::{DateTime, TimeDelta, Utc};
use clock::Clock;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use unanswered::Failing;
use uuid::Uuid;

/// How often what was counted and learned is stored: a killed process forgets this much.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// How long a reserved single permit may stay unused: its asker is waiting.
const SINGLE_LASTS: Duration = Duration::from_millis(10);

/// Buckets of a window; what was sent within one is noted together.
const BUCKETS: u32 = 30;

/// Calendars are corrected by less than this all the time.
const JUMP_MIN: TimeDelta = TimeDelta::seconds(1);

/// What to do next.
#[derive(Debug, Clone)]
pub enum Step<T> {
    Grant(T),
    Refuse(T, Pause),
    /// The pause that this request met is in the database.
    Noted(T),
    /// The database has not answered for so long that this is not waited for any more: a permit, or that the pause
    /// which this request met is stored. It stays to be stored, and may be given up again.
    GiveUp(T),
    Look(Box<Look>),
    /// Nothing before this moment.
    Wait(Option<Instant>, Option<Waiting>),
    /// Everything is stored, or could not be.
    Closed {
        is_noted: bool,
    },
}

/// What the look under way carries.
#[derive(Debug)]
struct Carried<T> {
    noted: Vec<(T, Pause)>,
    lifts: Option<DateTime<Utc>>,
    learned: Option<LearnedRate>,
    ledger: Vec<LedgerEntry>,
    reads_ledger: bool,
    is_closing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Open,
    Closing,
    Closed { is_noted: bool },
}

#[derive(Debug)]
pub struct SharedGate<T> {
    gate: Gate<T>,
    us: Owner,
    clock: Clock,
    /// Read when the process began, or when it last noted or found something after the calendar had been set back.
    calendar: Calendar,
    life: Life,
    /// Nothing is granted before what others noted is known.
    is_loaded: bool,
    looking: Option<Carried<T>>,
    /// When the last look that was answered began.
    looked_at: Option<Instant>,
    /// No look before this, as the database did not answer.
    retry_at: Option<Instant>,
    failing: Failing,
    given_up: Vec<T>,
    /// No look before this, as it is not our turn.
    turn_at: Option<Instant>,
    waiting_since: Option<DateTime<Utc>>,
    known: Known,
    seen: BTreeMap<Uuid, Seen>,
    /// What the database counts as held by us, and until when.
    held: (u32, Instant),
    holds_for: Duration,
    /// Permits of a block when it was reserved.
    block: u32,
    unsaved_pauses: Vec<(T, Pause)>,
    noted: Vec<T>,
    lifts: Option<DateTime<Utc>>,
    /// From this moment on, the next look also stores what was counted.
    save_at: Option<Instant>,
    is_ledger_stale: bool,
    /// Others are there.
    is_crowded: bool,
}

impl<T: Copy + PartialEq> SharedGate<T> {
    pub fn new(settings: GateSettings, us: Owner, now: Instant, wall: DateTime<Utc>) -> SharedGate<T> {
        let mut gate = Gate::new(settings, now, wall);
        gate.allowance = Some(Allowance::none(now));
        SharedGate {
            gate,
            us,
            clock: Clock { calendar: Calendar::new(now, wall), jumped_at: None },
            calendar: Calendar::new(now, wall),
            life: Life::Open,
            is_loaded: false,
            looking: None,
            looked_at: None,
            retry_at: None,
            failing: Failing::default(),
            given_up: Vec::new(),
            turn_at: None,
            waiting_since: None,
            known: Known::default(),
            seen: BTreeMap::new(),
            held: (0, now),
            holds_for: HOLDS_FOR,
            block: 0,
            unsaved_pauses: Vec::new(),
            noted: Vec::new(),
            lifts: None,
            save_at: None,
            is_ledger_stale: false,
            is_crowded: false,
        }
    }

    /// A new life after a death: the database knows what the last one sent. These permits are still out, and these
    /// pauses may not be stored yet.
    pub fn reborn(
        &self,
        still_out: impl Iterator<Item = (T, Family)>,
        unsaved: impl Iterator<Item = (T, Pause)>,
        now: Instant,
        wall: DateTime<Utc>,
    ) -> SharedGate<T> {
        let mut next = SharedGate::new(self.gate.settings, self.us.clone(), now, wall);
        (next.clock, next.calendar) = (self.clock, self.calendar);
        // Permits that are out come first, so that none is taken for the probe after these pauses.
        next.gate.handle_death(still_out, now);
        next.unsaved_pauses = unsaved.collect();
        for (_, pause) in &next.unsaved_pauses {
            next.gate.pauses.handle_pause(*pause, now, self.calendar.cautious(now, wall));
        }
        next
    }

    pub fn handle_ask(
        &mut self,
        ticket: T,
        family: Family,
        account: Option<AccountId>,
        longest_wait: Option<Duration>,
    ) {
        self.gate.handle_ask(ticket, family, account, longest_wait);
    }

    pub fn handle_withdrawn(&mut self, ticket: T) {
        self.gate.handle_withdrawn(ticket);
    }

    pub fn handle_returned(&mut self, ticket: T, outcome: PermitUse, now: Instant) {
        self.gate.handle_returned(ticket, outcome, now);
        if outcome != PermitUse::Unused {
            self.save_at.get_or_insert(now + SAVE_EVERY);
        }
        if self.gate.take_reopened() {
            // Others wait for it.
            self.lifts = self.last_rate_pause();
        }
    }

    /// A limit refused a request, whose permit is still out. [`Step::Noted`] follows once the pause is stored.
    pub fn handle_limited(
        &mut self,
        ticket: T,
        family: Family,
        class: LimitClass,
        retry_after: Option<Duration>,
        now: Instant,
        wall: DateTime<Utc>,
    ) -> Limited {
        self.calendar.handle_read(now, wall);
        let limited = self.gate.handle_limited(Some(ticket), family, class, retry_after, now, wall);
        self.unsaved_pauses.push((ticket, limited.pause));
        self.save_at = Some(now);
        limited
    }

    /// The process ends: grants nothing more, and notes what was sent for its successors.
    pub fn handle_closing(&mut self) {
        if !matches!(self.life, Life::Closed { .. }) {
            self.life = Life::Closing;
        }
    }

    /// What is to be done now. Call until it says wait.
    pub fn poll(&mut self, now: Instant, wall: DateTime<Utc>) -> Step<T> {
        if let Some(ticket) = self.noted.pop() {
            return Step::Noted(ticket);
        }
        if let Some(ticket) = self.given_up.pop() {
            return Step::GiveUp(ticket);
        }
        if let Life::Closed { is_noted } = self.life {
            return Step::Closed { is_noted };
        }
        let (mut wake_at, mut waiting, mut want) = (None, None, None);
        if self.is_loaded && self.life == Life::Open {
            let is_waiting = match self.gate.poll(now) {
                Next::Grant(ticket) => return Step::Grant(ticket),
                Next::Refuse(ticket, pause) => return Step::Refuse(ticket, pause),
                Next::Reserve(family) => {
                    want = Some(family);
                    true
                }
                Next::Wait(at, why) => {
                    (wake_at, waiting) = (Some(at), Some(why));
                    !matches!(why, Waiting::Paused(_))
                }
                Next::Full => true,
                Next::Idle => false,
            };
            if !is_waiting && self.waiting_since.take().is_some() {
                // Others need not wait for us.
                self.save_at = Some(now);
            }
            if matches!(waiting, Some(Waiting::Spacing)) {
                want = self.next_of_block(now);
            }
            if want.is_some() && self.turn_at.is_some_and(|at| now < at) {
                (wake_at, want) = (earlier(wake_at, self.turn_at), None);
            }
        }
        if self.looking.is_some() {
            return Step::Wait(wake_at, waiting);
        }
        let is_urgent = !self.is_loaded || self.life != Life::Open || want.is_some() || self.lifts.is_some();
        // What is held is renewed, or given back.
        let renew_at = Some(self.held.1).filter(|_| self.held.0 > 0);
        let due_at = if is_urgent { Some(now) } else { earlier(self.save_at, renew_at) };
        match due_at.map(|at| self.retry_at.map_or(at, |retry_at| at.max(retry_at))) {
            Some(at) if at <= now => Step::Look(Box::new(self.look(want, now, wall))),
            at => Step::Wait(earlier(wake_at, at), waiting),
        }
    }

    /// Whether a block should be filled up before it is used up.
    fn next_of_block(&self, now: Instant) -> Option<Family> {
        let left = self.gate.allowance.map_or(0, |allowance| allowance.permits(now));
        let is_low = self.block > 1 && left > 0 && left <= self.block / 2 && !self.is_crowded;
        self.gate.queue.families().next().filter(|_| is_low)
    }

    /// The pauses in force.
    pub fn pauses(&self) -> impl Iterator<Item = Pause> {
        self.gate.pauses()
    }

    /// Requests that all processes sent in the window so far, and those it may hold.
    pub fn window_used(&mut self, now: Instant) -> (u32, u32) {
        self.gate.window_used(now)
    }

    pub fn queued(&self) -> impl Iterator<Item = Family> {
        self.gate.queued()
    }

    /// What a permit that is out was granted for.
    pub fn family_of(&self, ticket: T) -> Option<Family> {
        self.gate.family_of(ticket)
    }

    /// Whether what earlier lives and other processes noted is known.
    pub fn is_loaded(&self) -> bool {
        self.is_loaded
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}

#[cfg(test)]
mod tests;
