//! What goes to a stream next: the feed, each entry once and in order, by one node at a time.
//!
//! The stream itself says how far it has come, since an entry may be in it and not noted. An empty stream gets
//! everything that is kept, and one that lost its end gets that part again. A message is sent with the number that the
//! stream should have reached before it, so the stream refuses one that comes late or from a node that has been
//! replaced.
//!
//! | what it finds | what it does |
//! |---|---|
//! | another node publishes | asks again in a while |
//! | the stream ends with an entry of this feed | continues after it, whatever was noted |
//! | the stream is new, or its server has lost it | begins with the oldest entry that is kept |
//! | the stream ends with an entry that differs in this feed, or is not in it yet: the database is an older copy | continues after what was noted |
//! | the server does not answer, or the number is another | finds out again where the stream ends |

use super::resting::{Rest, Resting};
use std::{collections::VecDeque, time::Duration};

/// Between looks for entries that are new.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between tries to become the one that publishes.
pub const TAKE_EVERY: Duration = Duration::from_secs(2);

/// After the database did not answer.
pub const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// After this many looks without anything to send, the stream may have been lost meanwhile.
pub const LOOKS_BEFORE_CHECK: u32 = 20;

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// An entry of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    pub seq: i64,
    pub what: T,
}

/// Where a stream ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEnd {
    /// The number of the last message, even if that message has been deleted since.
    pub last_sequence: u64,
    /// The entry that is in it.
    pub last: Option<Published>,
}

/// An entry in the stream: its number in the feed, and the id that distinguishes it from another entry of that number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub seq: i64,
    pub id: String,
}

/// The outcome of a few messages, sent in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// How many of them the stream accepted, counted from the first.
    pub num_taken: usize,
    /// The number of the last message in the stream.
    pub last_sequence: u64,
    /// Why the rest was not accepted.
    pub refused: Option<Refused>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The stream has come to another number: it lost messages, or somebody else has published.
    Moved,
    Failed(String),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<T> {
    /// Become the publisher.
    Take,
    /// Find out where the stream ends.
    FindEnd,
    /// Read the entries of the feed after this one.
    Read {
        after: i64,
    },
    /// Send these, the first of them after the message of this number.
    Publish {
        entries: Vec<T>,
        behind: u64,
    },
    /// Note that everything up to this one is in the stream.
    Note {
        to: i64,
    },
    Rest(Rest),
}

#[derive(Debug)]
pub struct Relaying<T> {
    state: State,
    /// Read and not yet published, in order.
    queue: VecDeque<Entry<T>>,
    pub resting: Resting,
}

#[derive(Debug)]
enum State {
    NotOurs,
    /// `noted`: how far the stream had come.
    Taken {
        noted: i64,
    },
    /// Finding out whether the feed contains the last entry of the stream.
    Comparing {
        noted: i64,
        last_sequence: u64,
        last: Published,
    },
    Publishing {
        published: i64,
        last_sequence: u64,
        is_noted: bool,
        num_looks: u32,
    },
}

impl<T: Clone> Relaying<T> {
    pub fn new() -> Relaying<T> {
        Relaying { state: State::NotOurs, queue: VecDeque::new(), resting: Resting::new(FIRST_WAIT, LONGEST_WAIT, 0) }
    }

    /// Hands out the same until it is answered.
    pub fn poll(&self) -> Step<T> {
        if let Some(rest) = self.resting.poll() {
            return Step::Rest(rest);
        }
        match &self.state {
            State::NotOurs => Step::Take,
            State::Taken { .. } => Step::FindEnd,
            // From one before it, so that the last one itself comes first.
            State::Comparing { last, .. } => Step::Read { after: last.seq - 1 },
            State::Publishing { published, is_noted: false, .. } => Step::Note { to: *published },
            State::Publishing { last_sequence, .. } if !self.queue.is_empty() => Step::Publish {
                entries: self.queue.iter().map(|entry| entry.what.clone()).collect(),
                behind: *last_sequence,
            },
            State::Publishing { num_looks, .. } if *num_looks >= LOOKS_BEFORE_CHECK => Step::FindEnd,
            State::Publishing { published, .. } => Step::Read { after: *published },
        }
    }

    /// How far the stream had come, if this node is the publisher; `None` if another one is.
    pub fn handle_taken(&mut self, noted: Option<i64>) {
        match noted {
            Some(noted) => self.state = State::Taken { noted },
            None => self.begin_anew_in(TAKE_EVERY),
        }
    }

    pub fn handle_end(&mut self, end: StreamEnd) {
        let noted = match &mut self.state {
            State::Taken { noted } => *noted,
            State::Publishing { last_sequence, num_looks, .. } if *last_sequence == end.last_sequence => {
                *num_looks = 0;
                return;
            }
            State::Publishing { published, .. } => *published,
            State::NotOurs | State::Comparing { .. } => return,
        };
        self.queue.clear();
        let StreamEnd { last_sequence, last } = end;
        match last {
            Some(last) => self.state = State::Comparing { noted, last_sequence, last },
            None if last_sequence == 0 => self.go_on(0, 0),
            // Its messages have become too old.
            None => self.go_on(noted, last_sequence),
        }
    }

    /// The entries of the feed after the position asked for. `id_of` distinguishes entries of one number.
    pub fn handle_entries(&mut self, entries: Vec<Entry<T>>, id_of: impl Fn(&T) -> String) {
        match &mut self.state {
            State::Comparing { noted, last_sequence, last } => {
                let (noted, last_sequence, seq) = (*noted, *last_sequence, last.seq);
                match entries.first() {
                    Some(first) if first.seq == seq && id_of(&first.what) != last.id => {
                        return self.go_on(noted, last_sequence);
                    }
                    // It may still come if this is an older copy; if its account was purged, it never does.
                    None => return self.go_on(seq - 1, last_sequence),
                    Some(_) => {}
                }
                self.go_on(seq, last_sequence);
                self.queue.extend(entries.into_iter().filter(|entry| entry.seq > seq));
            }
            State::Publishing { num_looks, .. } => {
                if entries.is_empty() {
                    *num_looks += 1;
                    self.resting.begin(LOOK_EVERY);
                }
                self.queue.extend(entries);
            }
            State::NotOurs | State::Taken { .. } => {}
        }
    }

    /// Entries up to here are no longer kept.
    pub fn handle_forgotten(&mut self, kept_after: i64) {
        match &self.state {
            State::Comparing { last_sequence, last, .. } => self.go_on(kept_after.max(last.seq), *last_sequence),
            State::Publishing { last_sequence, .. } => self.go_on(kept_after, *last_sequence),
            State::NotOurs | State::Taken { .. } => {}
        }
    }

    /// The feed has not come so far: the database is an older copy.
    pub fn handle_ahead(&mut self, head: i64) {
        match &self.state {
            State::Comparing { noted, last_sequence, .. } => self.go_on((*noted).min(head), *last_sequence),
            State::Publishing { last_sequence, .. } => self.go_on(head, *last_sequence),
            State::NotOurs | State::Taken { .. } => {}
        }
    }

    /// The outcome of the messages. `jitter` is in `[0, 1)`.
    pub fn handle_sent(&mut self, sent: Sent, jitter: f64) {
        let State::Publishing { published, last_sequence, is_noted, num_looks } = &mut self.state else { return };
        if let Some(last) = self.queue.drain(..sent.num_taken.min(self.queue.len())).last() {
            debug_assert!(last.seq > *published, "entries come in order");
            (*published, *last_sequence, *is_noted, *num_looks) = (last.seq, sent.last_sequence, false, 0);
            self.resting.handle_success();
        }
        match sent.refused {
            None => {}
            // A message that the stream already had does not count, and those after it were sent with the wrong number.
            Some(Refused::Moved) if sent.num_taken > 0 => {}
            Some(Refused::Moved) => self.begin_anew_in(LOOK_EVERY),
            Some(Refused::Failed(why)) => _ = self.handle_failure(why, jitter),
        }
    }

    /// The server does not answer, or not as it should. Returns how long to wait.
    pub fn handle_failure(&mut self, why: String, jitter: f64) -> Duration {
        self.begin_anew();
        self.resting.handle_failure(why, Duration::ZERO, jitter)
    }

    /// `Note` was carried out. `false`: another node publishes now.
    pub fn handle_noted(&mut self, is_ours: bool) {
        if !is_ours {
            return self.begin_anew_in(TAKE_EVERY);
        }
        self.resting.handle_success();
        if let State::Publishing { is_noted, .. } = &mut self.state {
            *is_noted = true;
        }
    }

    /// The database did not answer, be it to a read or a note.
    pub fn handle_trouble(&mut self) {
        self.begin_anew_in(TRY_AGAIN_AFTER);
    }

    fn go_on(&mut self, published: i64, last_sequence: u64) {
        self.state = State::Publishing { published, last_sequence, is_noted: false, num_looks: 0 };
    }

    fn begin_anew_in(&mut self, wait: Duration) {
        self.begin_anew();
        self.resting.begin(wait);
    }

    fn begin_anew(&mut self) {
        self.queue.clear();
        self.state = State::NotOurs;
    }
}

impl<T: Clone> Default for Relaying<T> {
    fn default() -> Self {
        Relaying::new()
    }
}

#[cfg(test)]
mod tests;
