//! What a look makes of the other processes: what they hold and have sent, and whether they are still there.

use super::*;

/// A process seen within this time is present: it may look again at any moment.
const PRESENT_FOR: Duration = Duration::from_secs(10);

/// How long the last request of a dead process may still have been on its way.
const NETWORK_MARGIN: Duration = Duration::from_millis(250);

/// A process that has been silent for this long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// Another process, as it was judged when it was first seen in this state.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Tells one state from the next.
    seen_at: DateTime<Utc>,
    held: Sent,
    pub(super) first_seen: Instant,
    /// Numbers of requests, each with the moment from which they no longer count.
    counts: Vec<(Instant, u32)>,
    held_until: Instant,
}

/// Another process, judged.
pub(super) struct Other<'a> {
    pub process: &'a GateProcess,
    pub seen: Seen,
    pub is_gone: bool,
    pub is_present: bool,
}

impl Look {
    pub(super) fn waits_before_us(&self, other: &Other<'_>) -> bool {
        let Some(since) = other.process.waiting_since.filter(|_| !other.is_gone) else { return false };
        let is_fresh = self.now.saturating_duration_since(other.seen.first_seen) <= self.window + HOLDS_FOR
            && age(other.process.seen_at, self.cautious) <= self.window + HOLDS_FOR;
        let ours = self.waiting_since.map(|ours| (ours, self.us.id));
        is_fresh && ours.is_none_or(|ours| (since, other.process.owner.id) < ours)
    }

    pub(super) fn judge<'a>(&self, process: &'a GateProcess, read_at: Instant, is_gone: bool) -> Other<'a> {
        let is_same = |seen: &&Seen| seen.seen_at == process.seen_at && seen.held == process.held;
        let mut seen = match self.seen.get(&process.owner.id).filter(is_same) {
            Some(seen) => seen.clone(),
            None => self.see(process, read_at),
        };
        seen.counts.retain(|(ends_at, _)| self.now <= *ends_at);
        let was_seen = self.now.saturating_duration_since(seen.first_seen) < PRESENT_FOR
            && age(process.seen_at, self.cautious) < PRESENT_FOR;
        let is_sending = process.held.requests > 0 && !seen.counts.is_empty();
        Other { process, is_gone, is_present: !is_gone && (was_seen || is_sending), seen }
    }

    /// What still counts although another process has forgotten it, because of a calendar that jumped.
    pub(super) fn kept(&self, found: &SharedLimits) -> impl Iterator<Item = (Uuid, Seen)> {
        let is_missing = |id: &Uuid| !found.processes.iter().any(|process| process.owner.id == *id);
        let missing = self.seen.iter().filter(move |(id, _)| is_missing(id));
        missing.filter_map(|(id, seen)| {
            let mut seen = seen.clone();
            seen.counts.retain(|(ends_at, _)| self.now <= *ends_at);
            (!seen.counts.is_empty()).then_some((*id, seen))
        })
    }

    /// What was noted after the look began ends later than anything that could have been noted at its beginning.
    pub(super) fn see(&self, process: &GateProcess, read_at: Instant) -> Seen {
        let is_here = !self.us.place.is_empty() && self.us.place == process.owner.place;
        let calendars = if is_here { Duration::ZERO } else { CALENDAR_MARGIN };
        let lasts = self.window + NETWORK_MARGIN + calendars;
        let ends_at = |sent: &Sent, longest: Duration| {
            let left = sent.until - self.cautious + TimeDelta::from_std(lasts).unwrap_or_default();
            ((self.now + left.to_std().unwrap_or_default()).min(read_at + longest), sent.requests)
        };
        let answered = process.answered.iter().map(|sent| ends_at(sent, lasts));
        let held = ends_at(&process.held, lasts + HOLDS_FOR_MAX);
        Seen {
            seen_at: process.seen_at,
            held: process.held,
            first_seen: self.now,
            counts: answered.chain([held]).filter(|(ends_at, num)| *num > 0 && *ends_at > self.now).collect(),
            held_until: self.now + self.ahead(&process.held) + calendars,
        }
    }

    /// How long something is still held.
    pub(super) fn ahead(&self, held: &Sent) -> Duration {
        (held.until - self.cautious).to_std().unwrap_or_default().min(HOLDS_FOR_MAX)
    }
}

impl Other<'_> {
    /// Until when it may send without a look.
    pub(super) fn block_until(&self, now: Instant) -> Option<Instant> {
        let has_block = self.process.has_block && !self.is_gone && self.seen.held_until > now;
        has_block.then_some(self.seen.held_until)
    }

    /// Whether none of its requests counts any more and it is not expected back. Two looks have to agree: to a calendar
    /// that was read just before it was set back, whatever was noted since seems long past.
    pub(super) fn is_over(&self, look: &Look, read_at: Instant) -> bool {
        if self.seen.first_seen == look.now || !look.see(self.process, read_at).counts.is_empty() {
            return false;
        }
        let is_lost = look.now.saturating_duration_since(self.seen.first_seen) > FORGOTTEN_AFTER
            || age(self.process.seen_at, look.cautious) > FORGOTTEN_AFTER;
        self.seen.counts.is_empty() && !self.is_present && (self.is_gone || is_lost)
    }
}

impl Seen {
    pub(super) fn count(&self) -> u32 {
        self.counts.iter().fold(0, |sum: u32, (_, requests)| sum.saturating_add(*requests))
    }

    /// Numbers of requests, each with the moment from which they no longer count.
    pub(in crate::engine::gate) fn counts(&self) -> &[(Instant, u32)] {
        &self.counts
    }
}

fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (now - at).to_std().unwrap_or_default()
}
