//! How one follower of the feed is told: in order, one entry after the other, each until it is taken. What it has taken is
//! noted before the next is sent, so that a crash repeats one entry at most, under the same id.

use std::{collections::VecDeque, time::Duration};

/// How soon something new is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Waits after an entry that was not taken: the first, doubled each time up to the last.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 60);

/// After trouble of our own: the database does not answer.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// An entry on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    pub seq: i64,
    /// Others are passed over.
    pub is_wanted: bool,
    pub what: T,
}

/// What to do next. Each is done once, and answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<T> {
    /// Find out where the follower stands.
    Begin,
    /// Read what comes behind.
    Read {
        after: i64,
    },
    Send(T),
    /// Note that everything up to here was taken.
    Note {
        to: i64,
    },
    /// Note that the next one was not, and is sent again after that.
    NoteFailure {
        why: String,
        wait: Duration,
    },
    Wait(Duration),
}

/// One follower's.
#[derive(Debug)]
pub struct Notifying<T> {
    state: State,
    queue: VecDeque<Entry<T>>,
    /// Tries of the first of the queue that came to nothing.
    num_failures: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// The place is not known yet.
    Unknown,
    /// Everything up to `noted` is taken and noted, and up to `taken` passed over or taken.
    Known { noted: i64, taken: i64, then: Then },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Then {
    GoOn,
    Wait(Duration),
    /// Note why, then wait.
    Note(String, Duration),
}

impl<T: Clone> Notifying<T> {
    #[expect(clippy::new_without_default, reason = "it is begun, not had")]
    pub fn new() -> Notifying<T> {
        Notifying { state: State::Unknown, queue: VecDeque::new(), num_failures: 0 }
    }

    pub fn poll(&mut self) -> Step<T> {
        let State::Known { noted, taken, then } = &mut self.state else { return Step::Begin };
        match then {
            Then::Wait(wait) => return Step::Wait(*wait),
            Then::Note(why, wait) => return Step::NoteFailure { why: why.clone(), wait: *wait },
            Then::GoOn => {}
        }
        while let Some(passed) = self.queue.pop_front_if(|entry| !entry.is_wanted) {
            *taken = passed.seq;
        }
        match self.queue.front() {
            // What was passed over alone need not be noted at once, unless nothing else comes.
            Some(next) if taken == noted => Step::Send(next.what.clone()),
            _ if taken != noted => Step::Note { to: *taken },
            Some(_) | None => Step::Read { after: *taken },
        }
    }

    /// Where it stands, and how often the next one was not taken before.
    pub fn handle_place(&mut self, seq: i64, num_failures: u32) {
        self.state = State::Known { noted: seq, taken: seq, then: Then::GoOn };
        (self.queue, self.num_failures) = (VecDeque::new(), num_failures);
    }

    pub fn handle_entries(&mut self, entries: Vec<Entry<T>>) {
        if entries.is_empty() {
            self.wait(LOOK_EVERY);
        }
        self.queue.extend(entries);
    }

    /// What comes behind is not kept any more, up to here: it goes on there.
    pub fn handle_forgotten(&mut self, kept_after: i64) {
        self.queue.clear();
        if let State::Known { taken, .. } = &mut self.state {
            *taken = kept_after;
        }
    }

    pub fn handle_taken(&mut self) {
        self.num_failures = 0;
        let sent = self.queue.pop_front();
        if let (State::Known { taken, .. }, Some(sent)) = (&mut self.state, sent) {
            debug_assert!(sent.seq > *taken, "entries come in order");
            *taken = sent.seq;
        }
    }

    /// It was not taken. Returns how long it is left alone.
    pub fn handle_not_taken(&mut self, why: String, retry_after: Option<Duration>, jitter: f64) -> Duration {
        self.num_failures = self.num_failures.saturating_add(1);
        let step = FIRST_WAIT.saturating_mul(1 << (self.num_failures - 1).min(16)).min(LONGEST_WAIT);
        let wait = step.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0)).max(retry_after.unwrap_or_default());
        if let State::Known { then, .. } = &mut self.state {
            *then = Then::Note(why, wait);
        }
        wait
    }

    /// `Note` was carried out.
    pub fn handle_noted(&mut self) {
        if let State::Known { noted, taken, .. } = &mut self.state {
            *noted = *taken;
        }
    }

    /// `NoteFailure` was carried out, or could not be: it says nothing that a restart needs.
    pub fn handle_failure_noted(&mut self) {
        if let State::Known { then, .. } = &mut self.state
            && let Then::Note(_, wait) = then
        {
            *then = Then::Wait(*wait);
        }
    }

    /// The database did not answer: whatever was to be read or noted. The place is read anew, so nothing is passed over.
    pub fn handle_trouble(&mut self) {
        self.wait(TRY_AGAIN_AFTER);
        self.queue.clear();
        if let State::Known { noted, taken, .. } = &mut self.state {
            *taken = *noted;
        }
    }

    pub fn handle_waited(&mut self) {
        if let State::Known { then, .. } = &mut self.state {
            *then = Then::GoOn;
        }
    }

    fn wait(&mut self, wait: Duration) {
        if let State::Known { then, .. } = &mut self.state {
            *then = Then::Wait(wait);
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
        assert_eq!(machine.poll(), Step::Wait(LOOK_EVERY));
        machine.handle_waited();
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
            assert_eq!(machine.poll(), Step::NoteFailure { why: "down".into(), wait });
            machine.handle_failure_noted();
            assert!(matches!(machine.poll(), Step::Wait(_)));
            machine.handle_waited();
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800, 1800]);
        let wait = machine.handle_not_taken("slow down".into(), Some(Duration::from_secs(2400)), 0.0);
        assert_eq!(wait.as_secs(), 2400, "as it asked for");
        machine.handle_failure_noted();
        machine.handle_waited();
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
        assert_eq!(machine.poll(), Step::Wait(TRY_AGAIN_AFTER));
        machine.handle_waited();
        assert_eq!(machine.poll(), Step::Read { after: 0 }, "sent twice rather than not at all");
    }

    #[test]
    fn what_is_no_longer_kept_is_passed_over() {
        let mut machine = begun(3, &[]);
        machine.handle_waited();
        machine.handle_forgotten(90);
        assert_eq!(machine.poll(), Step::Note { to: 90 });
        machine.handle_noted();
        assert_eq!(machine.poll(), Step::Read { after: 90 });
    }
}
