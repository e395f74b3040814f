//! How long pauses have lasted, and when the latest ones were, whenever somebody looks: no timer runs for it.

use crate::model::{Family, LimitClass};
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// What can be paused, and why. The rate limit does not tell families apart.
pub const KINDS: [(Family, LimitClass); 1 + 2 * Family::ALL.len()] = kinds();

/// How long a pause is remembered once it is over.
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 3600);

/// One every five minutes of a day; of more, the first ones are forgotten.
const REMEMBERED_MAX: usize = 288;

/// What begins this soon after one of its kind has ended is the same pause, told again: the API tells whole seconds.
const SAME_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct PauseClock {
    pauses: BTreeMap<(Family, LimitClass), Paused>,
    /// In the order in which they began.
    latest: VecDeque<PauseSpan>,
}

/// A pause, over or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PauseSpan {
    pub family: Family,
    pub class: LimitClass,
    pub from: Instant,
    pub until: Instant,
}

/// All pauses of one kind so far.
#[derive(Debug, Clone, Copy)]
struct Paused {
    /// How long they will have lasted when the one in force ends.
    at_end: Duration,
    ends: Instant,
}

/// One kind of pause, at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    pub lasted: Duration,
    pub is_in_force: bool,
}

impl PauseClock {
    /// What ends earlier than is known shortens nothing.
    pub fn handle_pause(&mut self, family: Family, class: LimitClass, left: Duration, now: Instant) {
        let paused = self.pauses.entry((family, class)).or_insert(Paused { at_end: Duration::ZERO, ends: now });
        let ends = now + left;
        if ends > paused.ends {
            paused.at_end += ends - paused.ends.max(now);
            paused.ends = ends;
            self.remember(PauseSpan { family, class, from: now, until: ends });
        }
    }

    /// The pauses of the last day, those that began first ahead.
    pub fn of_last_day(&self, now: Instant) -> impl Iterator<Item = PauseSpan> {
        self.latest.iter().copied().filter(move |span| span.is_of_last_day(now))
    }

    fn remember(&mut self, span: PauseSpan) {
        let PauseSpan { family, class, from, until } = span;
        let same_kind = |before: &&mut PauseSpan| (before.family, before.class) == (family, class);
        if let Some(before) = self.latest.iter_mut().rev().find(same_kind)
            && from <= before.until + SAME_WITHIN
        {
            before.until = until;
            return;
        }
        self.latest.retain(|before| before.is_of_last_day(from));
        if self.latest.len() == REMEMBERED_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(span);
    }

    pub fn seen(&self, family: Family, class: LimitClass, now: Instant) -> Seen {
        let Some(paused) = self.pauses.get(&(family, class)) else { return Seen::default() };
        let left = paused.ends.saturating_duration_since(now);
        Seen { lasted: paused.at_end.saturating_sub(left), is_in_force: !left.is_zero() }
    }
}

impl PauseSpan {
    fn is_of_last_day(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.until) < REMEMBERED_FOR
    }
}

const fn kinds() -> [(Family, LimitClass); 1 + 2 * Family::ALL.len()] {
    let mut kinds = [(Family::Application, LimitClass::Rate); 1 + 2 * Family::ALL.len()];
    let mut at = 0;
    while at < Family::ALL.len() {
        kinds[1 + 2 * at] = (Family::ALL[at], LimitClass::Quota);
        kinds[2 + 2 * at] = (Family::ALL[at], LimitClass::Ceiling);
        at += 1;
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_pause_counts_as_it_passes_and_not_before() {
        let (mut clock, now) = (PauseClock::default(), Instant::now());
        clock.handle_pause(Family::Tracks, LimitClass::Quota, 10 * S, now);
        let seen = |at: u32| clock.seen(Family::Tracks, LimitClass::Quota, now + at * S);
        assert_eq!(seen(0), Seen { lasted: Duration::ZERO, is_in_force: true });
        assert_eq!(seen(4), Seen { lasted: 4 * S, is_in_force: true });
        assert_eq!(seen(10), Seen { lasted: 10 * S, is_in_force: false });
        assert_eq!(seen(99), Seen { lasted: 10 * S, is_in_force: false });
        assert_eq!(clock.seen(Family::Albums, LimitClass::Quota, now), Seen::default());
    }

    #[test]
    fn a_pause_that_is_told_again_or_made_longer_counts_once() {
        let (mut clock, now) = (PauseClock::default(), Instant::now());
        let (scope, class) = (Family::Application, LimitClass::Rate);
        for (at, left) in [(0, 10), (2, 8), (3, 1), (5, 15)] {
            clock.handle_pause(scope, class, left * S, now + at * S);
        }
        assert_eq!(clock.seen(scope, class, now + 20 * S), Seen { lasted: 20 * S, is_in_force: false });
        clock.handle_pause(scope, class, 2 * S, now + 40 * S);
        assert_eq!(clock.seen(scope, class, now + 41 * S), Seen { lasted: 21 * S, is_in_force: true });
        assert_eq!(clock.seen(scope, class, now + 50 * S), Seen { lasted: 22 * S, is_in_force: false });
    }

    #[test]
    fn pauses_of_the_last_day_are_told_each_once_and_from_its_beginning() {
        let (mut clock, now) = (PauseClock::default(), Instant::now());
        let (all, tracks) = ((Family::Application, LimitClass::Rate), (Family::Tracks, LimitClass::Quota));
        // Told again while it lasts, made longer, refused again by the request that tried, and one for itself.
        for ((family, class), at, left) in
            [(all, 0, 10), (tracks, 1, 3600), (all, 2, 8), (all, 5, 15), (all, 20, 5), (all, 60, 10)]
        {
            clock.handle_pause(family, class, left * S, now + at * S);
        }
        let told = |clock: &PauseClock, at: u32| {
            let span = |span: PauseSpan| (span.family, (span.from - now).as_secs(), (span.until - now).as_secs());
            clock.of_last_day(now + at * S).map(span).collect::<Vec<_>>()
        };
        let expected = [(Family::Application, 0, 25), (Family::Tracks, 1, 3601), (Family::Application, 60, 70)];
        assert_eq!(told(&clock, 80), expected);
        assert_eq!(told(&clock, 24 * 3600 + 30), expected[1..]);
        assert_eq!(told(&clock, 24 * 3600 + 70), expected[1..2]);
        for at in 2..10 + REMEMBERED_MAX as u32 {
            clock.handle_pause(Family::Albums, LimitClass::Ceiling, S, now + at * 60 * S);
        }
        assert_eq!(told(&clock, 0).len(), REMEMBERED_MAX);
    }

    #[test]
    fn every_kind_is_there_once() {
        let mut kinds = KINDS.to_vec();
        kinds.sort();
        kinds.dedup();
        assert_eq!(kinds.len(), 1 + 2 * Family::ALL.len());
    }
}
