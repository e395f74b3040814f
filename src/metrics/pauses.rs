//! How long pauses have lasted, computed when read: no timer runs for it.

use crate::model::{Family, LimitClass};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// What can be paused, and why. The rate limit does not distinguish families.
pub const KINDS: [(Family, LimitClass); 1 + 2 * Family::ALL.len()] = kinds();

/// A pause that ends this close to the known end is the same one, reported again.
const SAME_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct PauseClock(BTreeMap<(Family, LimitClass), Paused>);

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
    /// An earlier end shortens nothing. Returns whether the end is so much later that it is a new pause.
    pub fn handle_pause(&mut self, family: Family, class: LimitClass, left: Duration, now: Instant) -> bool {
        let paused = self.0.entry((family, class)).or_insert(Paused { at_end: Duration::ZERO, ends: now });
        let ends = now + left;
        let is_news = ends > paused.ends + SAME_WITHIN;
        if ends > paused.ends {
            paused.at_end += ends - paused.ends.max(now);
            paused.ends = ends;
        }
        is_news
    }

    pub fn seen(&self, family: Family, class: LimitClass, now: Instant) -> Seen {
        let Some(paused) = self.0.get(&(family, class)) else { return Seen::default() };
        let left = paused.ends.saturating_duration_since(now);
        Seen { lasted: paused.at_end.saturating_sub(left), is_in_force: !left.is_zero() }
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
        for (at, left, is_news) in [(0, 10, true), (2, 8, false), (3, 1, false), (5, 15, true)] {
            assert_eq!(clock.handle_pause(scope, class, left * S, now + at * S), is_news, "at {at}");
        }
        assert_eq!(clock.seen(scope, class, now + 20 * S), Seen { lasted: 20 * S, is_in_force: false });
        clock.handle_pause(scope, class, 2 * S, now + 40 * S);
        assert_eq!(clock.seen(scope, class, now + 41 * S), Seen { lasted: 21 * S, is_in_force: true });
        assert_eq!(clock.seen(scope, class, now + 50 * S), Seen { lasted: 22 * S, is_in_force: false });
    }

    #[test]
    fn every_kind_is_there_once() {
        let mut kinds = KINDS.to_vec();
        kinds.sort();
        kinds.dedup();
        assert_eq!(kinds.len(), 1 + 2 * Family::ALL.len());
    }
}
