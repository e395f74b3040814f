//! Delivers the feed to one follower: in order, one entry at a time, each repeated until it is accepted. An accepted
//! entry is noted before the next is sent, so that a crash repeats one entry at most, under the same id.

use super::resting::{Rest, Resting};
use std::{collections::VecDeque, time::Duration};

/// How soon something new is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Waits after an entry that was not accepted: the first, doubled each time up to the last.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 60);

/// Wait after a fault of our own: the database does not answer.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// An entry on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    pub seq: i64,
    /// Others are skipped.
    pub is_wanted: bool,
    pub what: T,
}

/// What to do next. Each is done once, and answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<T> {
    /// Find out where the follower stands.
    Begin,
    /// Read the entries after this one.
    Read {
        after: i64,
    },
    Send(T),
    /// Note that everything up to here was taken.
    Note {
        to: i64,
    },
    Rest(Rest),
}

/// The deliveries to one follower.
#[derive(Debug)]
pub struct Notifying<T> {
    /// `None` until it is known.
    place: Option<Place>,
    queue: VecDeque<Entry<T>>,
    pub resting: Resting,
}

/// Everything up to `noted` is accepted and noted; everything up to `taken` is skipped or accepted.
#[derive(Debug)]
struct Place {
    noted: i64,
    taken: i64,
}

impl<T: Clone> Notifying<T> {
    #[expect(clippy::new_without_default, reason = "it is begun, not had")]
    pub fn new() -> Notifying<T> {
        Notifying { place: None, queue: VecDeque::new(), resting: Resting::new(FIRST_WAIT, LONGEST_WAIT, 0) }
    }

    pub fn poll(&mut self) -> Step<T> {
        let Some(Place { noted, taken }) = &mut self.place else { return Step::Begin };
        if let Some(rest) = self.resting.poll() {
            return Step::Rest(rest);
        }
        while let Some(passed) = self.queue.pop_front_if(|entry| !entry.is_wanted) {
            *taken = passed.seq;
        }
        match self.queue.front() {
            // Skipped entries alone need not be noted at once, unless nothing else follows.
            Some(next) if taken == noted => Step::Send(next.what.clone()),
            _ if taken != noted => Step::Note { to: *taken },
            Some(_) | None => Step::Read { after: *taken },
        }
    }

    /// Where the follower stands, and how often its next entry has been refused.
    pub fn handle_place(&mut self, seq: i64, num_failures: u32) {
        self.place = Some(Place { noted: seq, taken: seq });
        self.resting = Resting::new(FIRST_WAIT, LONGEST_WAIT, num_failures);
        self.queue.clear();
    }

    pub fn handle_entries(&mut self, entries: Vec<Entry<T>>) {
        if entries.is_empty() {
            self.resting.begin(LOOK_EVERY);
        }
        self.queue.extend(entries);
    }

    /// Entries up to here are no longer kept: it continues there.
    pub fn handle_forgotten(&mut self, kept_after: i64) {
        self.queue.clear();
        if let Some(place) = &mut self.place {
            place.taken = kept_after;
        }
    }

    pub fn handle_taken(&mut self) {
        self.resting.handle_success();
        let sent = self.queue.pop_front();
        if let (Some(place), Some(sent)) = (&mut self.place, sent) {
            debug_assert!(sent.seq > place.taken, "entries come in order");
            place.taken = sent.seq;
        }
    }

    /// The entry was not accepted. Returns how long to wait.
    pub fn handle_not_taken(&mut self, why: String, retry_after: Option<Duration>, jitter: f64) -> Duration {
        self.resting.handle_failure(why, retry_after.unwrap_or_default(), jitter)
    }

    /// `Note` was carried out.
    pub fn handle_noted(&mut self) {
        if let Some(place) = &mut self.place {
            place.noted = place.taken;
        }
    }

    /// The database did not answer, be it to a read or a note. The place is read again, so nothing is skipped.
    pub fn handle_trouble(&mut self) {
        self.resting.begin(TRY_AGAIN_AFTER);
        self.queue.clear();
        if let Some(place) = &mut self.place {
            place.taken = place.noted;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: i64, is_wanted: bool) -> Entry<i64> {
        Entry { seq, is_wanted, what: seq }
    }

    fn begun(at: i64, entries: &[(i64, bool)]) -> Notifying<i64> {
        let mut machine = Notifying::new();
        assert_eq!(machine.poll(), Step::Begin);
        machine.handle_place(at, 0);
        assert_eq!(machine.poll(), Step::Read { after: at });
        machine.handle_entries(entries.iter().map(|(seq, is_wanted)| entry(*seq, *is_wanted)).collect());
        machine
    }

    #[test]
    fn each_entry_is_noted_before_the_next_is_sent() {
        let mut machine = begun(4, &[(5, true), (6, true)]);
        for seq in [5, 6] {
            assert_eq!(machine.poll(), Step::Send(seq));
            machine.handle_taken();
            assert_eq!(machine.poll(), Step::Note { to: seq });
            machine.handle_noted();
        }
        assert_eq!(machine.poll(), Step::Read { after: 6 });
        machine.handle_entries(Vec::new());
        assert_eq!(machine.poll(), Step::Rest(Rest::Wait(LOOK_EVERY)));
        machine.resting.handle_waited();
        assert_eq!(machine.poll(), Step::Read { after: 6 });
    }

    #[test]
    fn what_is_not_wanted_is_passed_over_and_noted_once() {
        let mut machine = begun(0, &[(1, false), (2, false), (3, true), (4, false)]);
        assert_eq!(machine.poll(), Step::Note { to: 2 });
        machine.handle_noted();
        assert_eq!(machine.poll(), Step::Send(3));
        machine.handle_taken();
        assert_eq!(machine.poll(), Step::Note { to: 4 });
        machine.handle_noted();
        assert_eq!(machine.poll(), Step::Read { after: 4 });
    }

    #[test]
    fn what_is_not_taken_is_tried_again_after_ever_longer_waits() {
        let mut machine = begun(0, &[(1, true), (2, true)]);
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert_eq!(machine.poll(), Step::Send(1), "the same one");
            let wait = machine.handle_not_taken("down".into(), None, 1.0);
            waits.push(wait.as_secs());
            assert_eq!(machine.poll(), Step::Rest(Rest::Note { why: "down".into(), wait }));
            machine.resting.handle_noted();
            assert!(matches!(machine.poll(), Step::Rest(Rest::Wait(_))));
            machine.resting.handle_waited();
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800, 1800]);
        let wait = machine.handle_not_taken("slow down".into(), Some(Duration::from_secs(2400)), 0.0);
        assert_eq!(wait.as_secs(), 2400, "as it asked for");
        machine.resting.handle_noted();
        machine.resting.handle_waited();
        machine.handle_taken();
        machine.poll();
        machine.handle_noted();
        assert_eq!(machine.poll(), Step::Send(2));
        assert_eq!(machine.handle_not_taken("down".into(), None, 0.0).as_millis(), 2500, "counted anew");
    }

    #[test]
    fn after_trouble_with_the_database_everything_that_is_not_noted_is_read_again() {
        let mut machine = begun(0, &[(1, true), (2, true)]);
        machine.poll();
        machine.handle_taken();
        assert_eq!(machine.poll(), Step::Note { to: 1 });
        machine.handle_trouble();
        assert_eq!(machine.poll(), Step::Rest(Rest::Wait(TRY_AGAIN_AFTER)));
        machine.resting.handle_waited();
        assert_eq!(machine.poll(), Step::Read { after: 0 }, "sent twice rather than not at all");
    }

    #[test]
    fn what_is_no_longer_kept_is_passed_over() {
        let mut machine = begun(3, &[]);
        machine.resting.handle_waited();
        machine.handle_forgotten(90);
        assert_eq!(machine.poll(), Step::Note { to: 90 });
        machine.handle_noted();
        assert_eq!(machine.poll(), Step::Read { after: 90 });
    }
}
