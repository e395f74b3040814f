//! What was sent in the last 24 hours, by family, and whether our own daily ceilings leave room for more.
//!
//! Requests are counted in stretches of five minutes, each until it is a whole day old, so the count is never too low.
//! Counts that are not stored yet are handed out by [`Ledger::take_unsaved`] every few seconds; a killed process
//! forgets no more than that. Time here is the calendar that does not jump.

use crate::model::{DailyCeilings, Family, LedgerEntry};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;

const STRETCH_S: i64 = 300;

/// The period of a daily limit.
pub const DAY: TimeDelta = TimeDelta::hours(24);

/// From this much on, what lies ahead was written by a clock that was wrong. A clock that is wrong now is mostly behind by
/// less: a machine without a battery starts with the time that it has saved within the last hour.
pub const AHEAD_MIN: TimeDelta = TimeDelta::hours(2);

/// Shortest pause of a quota that names no end.
pub const UNKNOWN_QUOTA_MIN: TimeDelta = TimeDelta::hours(1);

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    requests: u32,
    refusals: u32,
}

#[derive(Debug, Default)]
struct Day {
    /// By number of the stretch since 1970.
    stretches: BTreeMap<i64, Count>,
    sum: Count,
}

#[derive(Debug)]
pub struct Ledger {
    ceilings: DailyCeilings,
    days: BTreeMap<Family, Day>,
    unsaved: BTreeMap<(Family, i64), Count>,
    /// Requests counted and stored in advance that no asker has been given yet.
    prepaid: BTreeMap<Family, u32>,
}

/// How the request of a permit is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// In this stretch, once it is sent.
    WhenSent(i64),
    /// It is stored already.
    Beforehand,
}

impl Ledger {
    pub fn new(ceilings: DailyCeilings) -> Ledger {
        Ledger { ceilings, days: BTreeMap::new(), unsaved: BTreeMap::new(), prepaid: BTreeMap::new() }
    }

    /// Whether processes have to share the day's allowance, request by request.
    pub fn has_ceilings(&self) -> bool {
        self.ceilings != DailyCeilings { reserve: self.ceilings.reserve, ..DailyCeilings::default() }
    }

    /// Continues from what all processes have stored and what this one has not; `storing` is being written.
    pub fn handle_stored(&mut self, entries: &[LedgerEntry], storing: &[LedgerEntry], wall: DateTime<Utc>) {
        self.days.clear();
        self.handle_noted(entries, wall);
        self.handle_noted(storing, wall);
        for ((family, at), count) in &self.unsaved {
            self.days.entry(*family).or_default().add(*at, *count);
        }
    }

    /// What has to be stored before a request of the family is sent.
    pub fn prepay(&self, family: Family, wall: DateTime<Utc>) -> Option<LedgerEntry> {
        let has_prepaid = self.prepaid.get(&family).is_some_and(|num| *num > 0);
        let entry = || LedgerEntry { family, started_at: start(stretch(wall)), requests: 1, refusals: 0 };
        (self.has_ceilings() && !has_prepaid).then(entry)
    }

    /// The entry has been stored.
    pub fn handle_prepaid(&mut self, entry: LedgerEntry) {
        self.days.entry(entry.family).or_default().add(stretch(entry.started_at), Count { requests: 1, refusals: 0 });
        *self.prepaid.entry(entry.family).or_default() += 1;
    }

    /// These could not be stored, or it is unknown whether they were: counting twice is safer than not at all.
    pub fn handle_unstored(&mut self, entries: &[LedgerEntry]) {
        for entry in entries {
            let count = Count { requests: entry.requests, refusals: entry.refusals };
            self.unsaved.entry((entry.family, stretch(entry.started_at))).or_default().add(count);
        }
    }

    /// Takes up what earlier processes counted. An entry in the future comes from a clock that was ahead; it counts
    /// from now ([`Redated`]).
    pub fn handle_noted(&mut self, entries: &[LedgerEntry], wall: DateTime<Utc>) {
        for entry in entries {
            let at = stretch(entry.started_at.min(wall));
            let day = self.days.entry(entry.family).or_default();
            day.add(at, Count { requests: entry.requests, refusals: entry.refusals });
        }
        self.expire(wall);
    }

    /// A permit was granted: its request counts at once. Returns how it was counted, for when the permit comes back.
    pub fn handle_granted(&mut self, family: Family, wall: DateTime<Utc>) -> Counted {
        if let Some(prepaid) = self.prepaid.get_mut(&family).filter(|prepaid| **prepaid > 0) {
            *prepaid -= 1;
            return Counted::Beforehand;
        }
        let at = stretch(wall);
        self.days.entry(family).or_default().add(at, Count { requests: 1, refusals: 0 });
        Counted::WhenSent(at)
    }

    /// A permit came back unused.
    pub fn handle_unused(&mut self, family: Family, counted: Counted) {
        let Counted::WhenSent(at) = counted else {
            *self.prepaid.entry(family).or_default() += 1;
            return;
        };
        if let Some(day) = self.days.get_mut(&family)
            && let Some(count) = day.stretches.get_mut(&at)
        {
            count.requests -= 1;
            day.sum.requests -= 1;
        }
    }

    /// The request of a permit was sent.
    pub fn handle_sent(&mut self, family: Family, counted: Counted) {
        if let Counted::WhenSent(at) = counted {
            self.unsaved.entry((family, at)).or_default().requests += 1;
        }
    }

    /// A request that was sent was refused by a limit.
    pub fn handle_refused(&mut self, family: Family, wall: DateTime<Utc>) {
        let (at, count) = (stretch(wall), Count { requests: 0, refusals: 1 });
        self.days.entry(family).or_default().add(at, count);
        self.unsaved.entry((family, at)).or_default().refusals += 1;
    }

    /// What was counted since this was last asked for; to be added to what is stored.
    pub fn take_unsaved(&mut self) -> Vec<LedgerEntry> {
        let unsaved = std::mem::take(&mut self.unsaved);
        let entry = |((family, at), count): ((Family, i64), Count)| LedgerEntry {
            family,
            started_at: start(at),
            requests: count.requests,
            refusals: count.refusals,
        };
        unsaved.into_iter().map(entry).collect()
    }

    /// The calendar was set back to this: what was counted ahead of it counts from now.
    pub fn handle_set_back(&mut self, wall: DateTime<Utc>) {
        let now = stretch(wall);
        for day in self.days.values_mut() {
            let ahead = day.stretches.split_off(&(now + 1));
            ahead.into_values().for_each(|count| day.stretches.entry(now).or_default().add(count));
        }
        for ((family, at), count) in std::mem::take(&mut self.unsaved) {
            self.unsaved.entry((family, at.min(now))).or_default().add(count);
        }
    }

    pub fn expire(&mut self, wall: DateTime<Utc>) {
        self.days.values_mut().for_each(|day| day.expire(wall));
    }

    /// If one of our ceilings stops the family now: what it stops, and until when.
    pub fn stopped_until(&self, family: Family) -> Option<(Family, DateTime<Utc>)> {
        let own = self.ceilings.of(family).and_then(|ceiling| {
            let prepaid = self.prepaid.get(&family).copied().unwrap_or(0);
            let room_at = self.days.get(&family)?.room_at(ceiling.saturating_add(prepaid))?;
            Some((family, room_at))
        });
        let of_all = self.ceilings.all_for(family).and_then(|ceiling| {
            let ceiling = ceiling.saturating_add(self.prepaid.values().sum());
            let sum: u32 = self.days.values().map(|day| day.sum.requests).sum();
            let room_at = (sum >= ceiling).then(|| self.of_all().room_at(ceiling)).flatten()?;
            Some((Family::Application, room_at))
        });
        // If both end together, the family's own is reported.
        [of_all, own].into_iter().flatten().max_by_key(|(_, until)| *until)
    }

    /// The lowest ceiling that applies to a family.
    pub fn ceiling_of(&self, family: Family) -> Option<u32> {
        [self.ceilings.of(family), self.ceilings.all_for(family)].into_iter().flatten().min()
    }

    /// How many requests the ceilings leave to a family today.
    pub fn left_today(&self, family: Family) -> Option<u32> {
        let own = self
            .ceilings
            .of(family)
            .map(|ceiling| ceiling.saturating_sub(self.days.get(&family).map_or(0, |day| day.sum.requests)));
        let sum: u32 = self.days.values().map(|day| day.sum.requests).sum();
        let of_all = self.ceilings.all_for(family).map(|ceiling| ceiling.saturating_sub(sum));
        [own, of_all].into_iter().flatten().min()
    }

    fn of_all(&self) -> Day {
        let mut all = Day::default();
        for day in self.days.values() {
            day.stretches.iter().for_each(|(at, count)| all.add(*at, *count));
        }
        all
    }

    /// The presumed end of a quota if the API names none: 24 hours after the family's first counted request of the day.
    /// At least an hour from now, doubled with every refusal of that day, since the API may count differently.
    pub fn unknown_quota_end(&self, family: Family, wall: DateTime<Utc>) -> DateTime<Utc> {
        let day = self.days.get(&family);
        let first = day.and_then(|day| day.stretches.iter().find(|(_, count)| count.requests > 0));
        let refusals = day.map_or(0, |day| day.sum.refusals.saturating_sub(1));
        let least = wall + (UNKNOWN_QUOTA_MIN * (1 << refusals.min(5))).min(DAY);
        first.map_or(wall + DAY, |(at, _)| (start(*at) + DAY).max(least))
    }
}

/// Stored entries of a clock that was ahead, to be replaced by entries of now: otherwise they would count as of now for
/// each process that finds them, until the calendar has caught up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redated {
    /// Entries that begin later are replaced.
    pub after: DateTime<Utc>,
    pub entries: Vec<LedgerEntry>,
}

impl Redated {
    /// `None` if there are none. Those that lie ahead by less than [`AHEAD_MIN`] are left to age by themselves.
    pub fn of(entries: &[LedgerEntry], wall: DateTime<Utc>) -> Option<Redated> {
        let after = wall + AHEAD_MIN;
        let mut sums: BTreeMap<Family, Count> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.started_at > after) {
            let count = Count { requests: entry.requests, refusals: entry.refusals };
            sums.entry(entry.family).or_default().add(count);
        }
        let started_at = start(stretch(wall));
        let sum = |(family, Count { requests, refusals })| LedgerEntry { family, started_at, requests, refusals };
        (!sums.is_empty()).then(|| Redated { after, entries: sums.into_iter().map(sum).collect() })
    }
}

impl Day {
    fn add(&mut self, at: i64, count: Count) {
        self.stretches.entry(at).or_default().add(count);
        self.sum.add(count);
    }

    fn expire(&mut self, wall: DateTime<Utc>) {
        while let Some(oldest) = self.stretches.first_entry().filter(|oldest| leaves_at(*oldest.key()) <= wall) {
            let gone = oldest.remove();
            self.sum.requests -= gone.requests;
            self.sum.refusals -= gone.refusals;
        }
    }

    /// When fewer than `ceiling` requests are counted, if they are not now.
    fn room_at(&self, ceiling: u32) -> Option<DateTime<Utc>> {
        let mut left = self.sum.requests;
        if left < ceiling {
            return None;
        }
        self.stretches.iter().find_map(|(at, count)| {
            left -= count.requests;
            (left < ceiling).then(|| leaves_at(*at))
        })
    }
}

impl Count {
    fn add(&mut self, other: Count) {
        self.requests = self.requests.saturating_add(other.requests);
        self.refusals = self.refusals.saturating_add(other.refusals);
    }
}

fn stretch(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(STRETCH_S)
}

fn start(stretch: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(stretch * STRETCH_S, 0).unwrap_or_default()
}

/// When the last request of a stretch is a day old.
fn leaves_at(at: i64) -> DateTime<Utc> {
    start(at + 1) + DAY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_clock_that_was_ahead_has_stored_is_summed_up_as_of_now() {
        let stored = [
            entry(Family::Tracks, TimeDelta::days(400), 5, 1),
            entry(Family::Tracks, TimeDelta::days(10), 2, 0),
            entry(Family::Albums, TimeDelta::hours(3), 1, 0),
            entry(Family::Albums, TimeDelta::hours(2), 8, 0),
            entry(Family::Player, TimeDelta::hours(-1), 8, 0),
        ];
        let entries =
            vec![entry(Family::Tracks, TimeDelta::zero(), 7, 1), entry(Family::Albums, TimeDelta::zero(), 1, 0)];
        assert_eq!(Redated::of(&stored, wall()), Some(Redated { after: wall() + AHEAD_MIN, entries }));
        assert_eq!(Redated::of(&stored[3..], wall()), None);
    }

    #[test]
    fn what_was_counted_before_the_calendar_was_set_back_leaves_after_a_day() {
        let mut ledger = Ledger::new(DailyCeilings { tracks: Some(3), ..DailyCeilings::default() });
        let counted = ledger.handle_granted(Family::Tracks, wall() + TimeDelta::days(10));
        ledger.handle_sent(Family::Tracks, counted);
        ledger.handle_granted(Family::Tracks, wall() + TimeDelta::days(9));
        ledger.handle_granted(Family::Tracks, wall() - TimeDelta::hours(1));
        ledger.handle_set_back(wall());
        let until = wall() + TimeDelta::hours(23) + TimeDelta::seconds(STRETCH_S);
        assert_eq!(ledger.stopped_until(Family::Tracks), Some((Family::Tracks, until)));
        assert_eq!(ledger.take_unsaved(), [entry(Family::Tracks, TimeDelta::zero(), 1, 0)]);
        ledger.expire(wall() + DAY + TimeDelta::seconds(STRETCH_S));
        assert_eq!(ledger.left_today(Family::Tracks), Some(3));
    }

    fn entry(family: Family, ahead: TimeDelta, requests: u32, refusals: u32) -> LedgerEntry {
        LedgerEntry { family, started_at: wall() + ahead, requests, refusals }
    }

    /// The beginning of a stretch.
    fn wall() -> DateTime<Utc> {
        start(stretch(DateTime::from_timestamp(1_790_000_000, 0).unwrap()))
    }
}
