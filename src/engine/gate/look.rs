//! What a process may send, given what all processes on its database have noted there.
//!
//! A gate looks at the database before it grants a permit: in one transaction it reads what the others hold and have
//! sent, and reserves requests of its own. [`Look::rule`] decides between reading and writing. So the database never
//! counts less than has been sent, whichever process is killed when.
//!
//! | who else is there | reserved at once | used |
//! |---|---|---|
//! | nobody | an eighth of the limit | within two seconds, without another look |
//! | somebody | one request | at once |
//! | somebody with a block | nothing, until the block is over | |
//! | somebody who has waited for longer | what that one leaves | at once |
//!
//! A request counts for one window after its answer; a reserved one, for one window after its reservation ends. A
//! process renews what it holds while requests are under way, and gives back what it did not use.
//!
//! # Whose calendar
//!
//! The only clock that processes share is the calendar, and it jumps. So each process judges what another noted when it
//! first sees it, and from there on measures it with its own steady clock. Nothing counts for longer than if it had
//! happened at that moment.

mod others;

use super::ledger::Redated;
use others::Other;
pub use others::Seen;

use crate::model::{
    Family, GateProcess, LearnedRate, LedgerEntry, LimitClass, NotedPause, Owner, Pause, ProbeClaim, Sent,
    SharedChange, SharedLimits,
};
use chrono::{DateTime, TimeDelta, Utc};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// How long a block may be used, and for how long a request that is under way is noted beforehand.
pub(super) const HOLDS_FOR: Duration = Duration::from_secs(2);

/// The same if the database is slow.
pub(super) const HOLDS_FOR_MAX: Duration = Duration::from_secs(60);

/// A process that is alone reserves this part of the limit at once.
const BLOCK_SHARE: u32 = 8;

/// How far the calendars of two machines may be apart: both are the server's, as far as a question can tell its time.
const CALENDAR_MARGIN: Duration = Duration::from_millis(500);

/// How long a probe may take: a little longer than a request.
const PROBE_LASTS: Duration = Duration::from_secs(40);

/// Interval between looks while it is another process's turn.
const TURN_AFTER: Duration = Duration::from_millis(200);

/// A request for a permit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Want {
    pub family: Family,
    /// It would be the single request after a pause.
    pub is_probe: bool,
    /// To be stored before the request is sent, since the day has a ceiling.
    pub prepays: Option<LedgerEntry>,
}

/// What the database holds, as far as this process knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Known {
    pub pauses: Vec<Pause>,
    pub learned: Option<LearnedRate>,
}

/// One look at the database, with everything that the gate has to write there.
#[derive(Debug, Clone)]
pub struct Look {
    pub(super) us: Owner,
    pub(super) now: Instant,
    pub(super) wall: DateTime<Utc>,
    /// The calendar to judge others by.
    pub(super) cautious: DateTime<Utc>,
    pub(super) window: Duration,
    pub(super) holds_for: Duration,
    pub(super) limit: u32,
    pub(super) in_use: u32,
    pub(super) answered: Vec<(u32, Instant)>,
    /// Reserved before, and not granted yet.
    pub(super) permits: u32,
    pub(super) want: Option<Want>,
    pub(super) waiting_since: Option<DateTime<Utc>>,
    /// Our probe is out.
    pub(super) is_probing: bool,
    pub(super) has_ceilings: bool,
    pub(super) is_first: bool,
    pub(super) is_closing: bool,
    pub(super) reads_ledger: bool,
    pub(super) known: Known,
    pub(super) seen: BTreeMap<Uuid, Seen>,
    pub(super) pauses: Vec<Pause>,
    pub(super) lifts: Option<DateTime<Utc>>,
    pub(super) learned: Option<LearnedRate>,
    pub(super) ledger: Vec<LedgerEntry>,
}

/// The outcome of a look.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked {
    /// When it began.
    pub(super) at: Instant,
    /// Until when it may be used.
    pub(super) held_until: Instant,
    pub(super) granted: u32,
    /// The family it is for, if each request is counted beforehand.
    pub(super) family: Option<Family>,
    /// Whether the reservation may be used later, since no other process is there.
    pub(super) is_block: bool,
    /// When to look again for a permit.
    pub(super) retry_at: Option<Instant>,
    pub(super) waiting_since: Option<DateTime<Utc>>,
    /// Requests that the database now counts as held by us.
    pub(super) held: u32,
    pub(super) prepaid: Option<LedgerEntry>,
    pub(super) is_crowded: bool,
    pub(super) news: News,
    pub(super) known: Known,
    pub(super) seen: BTreeMap<Uuid, Seen>,
}

/// What others have noted since the last look.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct News {
    pub pauses: Vec<NotedPause>,
    pub is_lifted: bool,
    pub learned: Option<LearnedRate>,
    pub ledger: Option<Vec<LedgerEntry>>,
    /// The ledger has to be read before a ceiling can be kept.
    pub is_ledger_stale: bool,
    /// What an earlier life of ours held and sent.
    pub own: Option<GateProcess>,
}

impl News {
    fn is_some(&self) -> bool {
        !self.pauses.is_empty() || self.is_lifted || self.learned.is_some() || self.is_ledger_stale
    }
}

impl Look {
    /// When it was built, by the calendar.
    pub fn wall(&self) -> DateTime<Utc> {
        self.wall
    }

    /// Whether the ledger is to be read as well.
    pub fn reads_ledger(&self) -> bool {
        self.reads_ledger
    }

    /// Decides what is reserved and noted. `found` was read at `read_at`, which may be a while after the look began;
    /// `is_gone` tells whether a process is certainly dead.
    pub fn rule(
        &self,
        found: &SharedLimits,
        read_at: Instant,
        is_gone: impl Fn(&Owner) -> bool,
    ) -> (SharedChange, Looked) {
        let others = found.processes.iter().filter(|process| process.owner.id != self.us.id);
        let others: Vec<Other<'_>> =
            others.map(|process| self.judge(process, read_at, is_gone(&process.owner))).collect();
        let learned = self.learned.filter(|ours| {
            found.learned == self.known.learned || found.learned.is_none_or(|theirs| ours.requests < theirs.requests)
        });
        let news = self.news(found, &others, learned.is_some());
        let is_alone = others.iter().all(|other| !other.is_present);
        let judged = others.iter().map(|other| (other.process.owner.id, other.seen.clone()));
        let seen: BTreeMap<Uuid, Seen> = self.kept(found).chain(judged).collect();
        let mut looked = Looked {
            at: self.now,
            held_until: self.now + self.holds_for,
            granted: 0,
            family: None,
            is_block: false,
            retry_at: None,
            waiting_since: self.waiting_since,
            held: 0,
            prepaid: None,
            is_crowded: !is_alone,
            known: self.known_after(found, learned),
            seen,
            news,
        };
        if let Some(want) = self.want.filter(|_| !looked.news.is_some()) {
            self.grant(want, found, &others, &mut looked);
        }
        let redated = found.ledger.as_ref().and_then(|entries| Redated::of(entries, self.wall));
        let change = SharedChange {
            process: self.process(found, &mut looked),
            forgotten: others
                .iter()
                .filter(|other| other.is_over(self, read_at))
                .map(|other| other.process.owner.id)
                .collect(),
            pauses: self.pauses.clone(),
            lifts: self.lifts,
            probe: self.probe(found, &others, looked.granted > 0),
            learned,
            drops_ledger_after: redated.as_ref().map(|redated| redated.after),
            ledger: {
                let redated = redated.into_iter().flat_map(|redated| redated.entries);
                self.ledger.iter().copied().chain(looked.prepaid).chain(redated).collect()
            },
        };
        (change, looked)
    }

    fn grant(&self, want: Want, found: &SharedLimits, others: &[Other<'_>], looked: &mut Looked) {
        if let Some(ends_at) = others.iter().filter_map(|other| other.block_until(self.now)).max() {
            looked.retry_at = Some(ends_at);
            return;
        }
        if want.is_probe && self.probe_of_another(found, others).is_some() {
            looked.retry_at = Some(self.now + TURN_AFTER);
            return;
        }
        let num_before_us = others.iter().filter(|other| self.waits_before_us(other)).count() as u32;
        let counted = looked.seen.values().fold(0, |sum: u32, seen| sum.saturating_add(seen.count()));
        let answered: u32 = self.answered.iter().map(|(requests, _)| requests).sum();
        let used = counted.saturating_add(self.in_use + answered + self.permits);
        let room = self.limit.saturating_sub(used);
        if room <= num_before_us {
            looked.waiting_since = self.waiting_since.or(Some(self.wall));
            looked.retry_at = Some(self.now + TURN_AFTER);
            return;
        }
        let is_single = looked.is_crowded || want.is_probe || self.has_ceilings;
        let most = if is_single { 1 } else { (self.limit / BLOCK_SHARE).max(1) };
        looked.is_block = most > 1;
        looked.granted = most.saturating_sub(self.permits).clamp(1, room);
        looked.waiting_since = None;
        looked.prepaid = want.prepays;
        looked.family = self.has_ceilings.then_some(want.family);
    }

    fn news(&self, found: &SharedLimits, others: &[Other<'_>], is_ours: bool) -> News {
        let is_rate = |pause: &Pause| pause.scope == Family::Application && pause.class == LimitClass::Rate;
        let is_lifted = |pause: &Pause| is_rate(pause) && self.lifts.is_some_and(|until| pause.until <= until);
        let is_unknown = |noted: &&NotedPause| !self.known.pauses.contains(&noted.pause) && !is_lifted(&noted.pause);
        let knows_rate = self.known.pauses.iter().any(is_rate);
        let is_elsewhere = |other: &Other<'_>| other.is_present || other.seen.first_seen == self.now;
        let own = found.processes.iter().find(|process| process.owner.id == self.us.id);
        News {
            pauses: found.pauses.iter().filter(is_unknown).copied().collect(),
            is_lifted: knows_rate && !found.pauses.iter().any(|noted| is_rate(&noted.pause)),
            learned: found.learned.filter(|_| !is_ours && found.learned != self.known.learned),
            is_ledger_stale: self.has_ceilings && !self.reads_ledger && others.iter().any(is_elsewhere),
            ledger: found.ledger.clone(),
            own: own.filter(|_| self.is_first).cloned(),
        }
    }

    /// What the database holds once this look has been written.
    fn known_after(&self, found: &SharedLimits, learned: Option<LearnedRate>) -> Known {
        let mut pauses: Vec<Pause> = found.pauses.iter().map(|noted| noted.pause).collect();
        let is_over = |pause: &Pause| pause.class == LimitClass::Rate && self.lifts.is_some_and(|at| pause.until <= at);
        for ours in &self.pauses {
            match pauses.iter_mut().find(|pause| pause.scope == ours.scope) {
                Some(pause) if pause.until < ours.until => *pause = *ours,
                Some(_) => {}
                None => pauses.push(*ours),
            }
        }
        pauses.retain(|pause| !is_over(pause));
        Known { pauses, learned: learned.or(found.learned) }
    }

    fn probe_of_another(&self, found: &SharedLimits, others: &[Other<'_>]) -> Option<ProbeClaim> {
        let is_gone = |id: Uuid| others.iter().any(|other| other.process.owner.id == id && other.is_gone);
        let left = |probe: &ProbeClaim| (probe.until - self.cautious).to_std().unwrap_or_default();
        // A claim that lasts longer was noted by a calendar that was ahead.
        let lasts = |probe: &ProbeClaim| !left(probe).is_zero() && left(probe) <= PROBE_LASTS + CALENDAR_MARGIN;
        found.probe.filter(|probe| probe.by != self.us.id && lasts(probe) && !is_gone(probe.by))
    }

    fn probe(&self, found: &SharedLimits, others: &[Other<'_>], is_granted: bool) -> Option<ProbeClaim> {
        let is_limited = self.pauses.iter().any(|pause| pause.scope == Family::Application);
        if is_limited || self.lifts.is_some() {
            return None;
        }
        let is_ours = self.is_probing || is_granted && self.want.is_some_and(|want| want.is_probe);
        let ours = ProbeClaim { by: self.us.id, until: self.wall + PROBE_LASTS };
        if is_ours { Some(ours) } else { self.probe_of_another(found, others) }
    }

    /// This process, as the others are to see it.
    fn process(&self, found: &SharedLimits, looked: &mut Looked) -> GateProcess {
        // An earlier life of ours knew what it had sent; this one has only just learned of it.
        let earlier = found.processes.iter().find(|process| self.is_first && process.owner.id == self.us.id);
        if let Some(earlier) = earlier {
            looked.held = earlier.held.requests;
            return GateProcess { seen_at: self.wall, ..earlier.clone() };
        }
        let ended_at = |at: Instant| self.wall - self.now.saturating_duration_since(at);
        let sent = |(requests, at): &(u32, Instant)| Sent { requests: *requests, until: ended_at(*at) };
        let mut answered: Vec<Sent> = self.answered.iter().map(sent).collect();
        if self.is_closing && self.in_use > 0 {
            answered.push(Sent { requests: self.in_use, until: self.wall });
        }
        if !self.is_closing {
            looked.held = self.in_use + self.permits + looked.granted;
        }
        GateProcess {
            owner: self.us.clone(),
            seen_at: self.wall,
            waiting_since: looked.waiting_since.filter(|_| !self.is_closing),
            held: Sent { requests: looked.held, until: self.wall + self.holds_for },
            has_block: !self.is_closing && (looked.granted > 1 || self.permits > 0),
            answered,
        }
    }
}
