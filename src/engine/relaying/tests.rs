//! One feed, some relays and a stream, whatever dies: the stream has each entry once and in order.

use super::*;

fn entry(seq: i64) -> Entry<String> {
    Entry { seq, what: format!("{seq}-a") }
}

fn entries(seqs: impl IntoIterator<Item = i64>) -> Vec<Entry<String>> {
    seqs.into_iter().map(entry).collect()
}

fn published(seq: i64) -> Option<Published> {
    Some(Published { seq, id: format!("{seq}-a") })
}

/// One that publishes, and has found the end of the stream.
fn taken(noted: i64, last_sequence: u64, last: Option<Published>) -> Relaying<String> {
    let mut relay = Relaying::new();
    assert_eq!(relay.poll(), Step::Take);
    relay.handle_taken(Some(noted));
    assert_eq!(relay.poll(), Step::FindEnd);
    relay.handle_end(StreamEnd { last_sequence, last });
    relay
}

fn note(relay: &mut Relaying<String>, to: i64) {
    assert_eq!(relay.poll(), Step::Note { to });
    relay.handle_noted(true);
}

fn read(relay: &mut Relaying<String>, after: i64, found: Vec<Entry<String>>) {
    assert_eq!(relay.poll(), Step::Read { after });
    relay.handle_entries(found, Clone::clone);
}

fn publish(relay: &Relaying<String>) -> (Vec<String>, u64) {
    match relay.poll() {
        Step::Publish { entries, behind } => (entries, behind),
        other => panic!("{other:?}"),
    }
}

fn ids(seqs: impl IntoIterator<Item = i64>) -> Vec<String> {
    seqs.into_iter().map(|seq| format!("{seq}-a")).collect()
}

#[test]
fn a_stream_that_is_new_gets_all_that_is_kept() {
    let mut relay = taken(0, 0, None);
    note(&mut relay, 0);
    assert_eq!(relay.poll(), Step::Read { after: 0 });
    relay.handle_forgotten(40);
    note(&mut relay, 40);
    read(&mut relay, 40, entries([41, 42]));
    assert_eq!(publish(&relay), (ids([41, 42]), 0));
    relay.handle_sent(Sent { num_taken: 2, last_sequence: 2, refused: None }, 0.0);
    note(&mut relay, 42);
    read(&mut relay, 42, entries([43]));
    assert_eq!(publish(&relay), (ids([43]), 2));
}

#[test]
fn what_the_stream_has_and_nobody_noted_is_not_sent_again() {
    let mut relay = taken(7, 12, published(9));
    read(&mut relay, 8, entries([9, 10]));
    note(&mut relay, 9);
    assert_eq!(publish(&relay), (ids([10]), 12));
}

#[test]
fn a_stream_that_lost_its_end_or_all_of_it_gets_that_again() {
    let mut relay = taken(90, 30, published(30));
    read(&mut relay, 29, entries(30..40));
    note(&mut relay, 30);
    assert_eq!(publish(&relay), (ids(31..40), 30));
    let relay = taken(90, 0, None);
    assert_eq!(relay.poll(), Step::Note { to: 0 }, "with nothing in it, it begins anew");
    let mut relay = taken(90, 30, None);
    note(&mut relay, 90);
    assert_eq!(relay.poll(), Step::Read { after: 90 }, "its messages have become too old");
}

#[test]
fn an_older_copy_of_the_database_goes_on_behind_what_it_had_noted() {
    // The number was reused for another entry.
    let mut relay = taken(20, 33, Some(Published { seq: 33, id: "33-b".into() }));
    read(&mut relay, 32, entries([33, 34]));
    note(&mut relay, 20);
    assert_eq!(relay.poll(), Step::Read { after: 20 });
    // The number is not assigned yet.
    let mut relay = taken(20, 33, published(33));
    assert_eq!(relay.poll(), Step::Read { after: 32 });
    relay.handle_ahead(25);
    note(&mut relay, 20);
    // Or is the next to be assigned.
    let mut relay = taken(20, 33, published(33));
    read(&mut relay, 32, vec![]);
    note(&mut relay, 32);
}

#[test]
fn what_was_purged_is_passed_over() {
    let mut relay = taken(9, 9, published(9));
    read(&mut relay, 8, entries([12, 13]));
    note(&mut relay, 9);
    assert_eq!(publish(&relay), (ids([12, 13]), 9));
}

#[test]
fn what_is_no_longer_kept_behind_the_last_one_is_passed_over() {
    let mut relay = taken(9, 9, published(9));
    assert_eq!(relay.poll(), Step::Read { after: 8 });
    relay.handle_forgotten(30);
    note(&mut relay, 30);
    let mut relay = taken(9, 9, published(9));
    relay.handle_forgotten(8);
    note(&mut relay, 9);
}

#[test]
fn what_was_refused_behind_what_was_taken_is_sent_with_the_right_number() {
    let mut relay = taken(0, 0, None);
    note(&mut relay, 0);
    read(&mut relay, 0, entries(1..5));
    // The first was in the stream under its id.
    relay.handle_sent(Sent { num_taken: 1, last_sequence: 0, refused: Some(Refused::Moved) }, 0.0);
    note(&mut relay, 1);
    assert_eq!(publish(&relay), (ids(2..5), 0));
    relay.handle_sent(Sent { num_taken: 0, last_sequence: 0, refused: Some(Refused::Moved) }, 0.0);
    assert_eq!(relay.poll(), Step::Rest(Rest::Wait(LOOK_EVERY)), "somebody else publishes");
    relay.resting.handle_waited();
    assert_eq!(relay.poll(), Step::Take);
}

#[test]
fn a_server_that_is_away_is_tried_after_ever_longer_waits_and_the_end_is_found_anew() {
    let mut relay = taken(3, 3, published(3));
    read(&mut relay, 2, entries([3, 4]));
    note(&mut relay, 3);
    let failed = || Some(Refused::Failed("down".into()));
    relay.handle_sent(Sent { num_taken: 0, last_sequence: 3, refused: failed() }, 1.0);
    let mut waits = Vec::new();
    for _ in 0..9 {
        let Step::Rest(Rest::Note { why, wait }) = relay.poll() else { panic!("{relay:?}") };
        assert_eq!(why, "down");
        waits.push(wait.as_secs());
        relay.resting.handle_noted();
        assert_eq!(relay.poll(), Step::Rest(Rest::Wait(wait)));
        relay.resting.handle_waited();
        assert_eq!(relay.poll(), Step::Take);
        relay.handle_taken(Some(3));
        assert_eq!(relay.poll(), Step::FindEnd);
        relay.handle_failure("down".into(), 1.0);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn a_stream_that_is_at_rest_is_looked_at_now_and_then() {
    let mut relay = taken(1, 1, published(1));
    read(&mut relay, 0, entries([1]));
    note(&mut relay, 1);
    for _ in 0..LOOKS_BEFORE_CHECK {
        read(&mut relay, 1, vec![]);
        assert_eq!(relay.poll(), Step::Rest(Rest::Wait(LOOK_EVERY)));
        relay.resting.handle_waited();
    }
    assert_eq!(relay.poll(), Step::FindEnd);
    relay.handle_end(StreamEnd { last_sequence: 1, last: published(1) });
    assert_eq!(relay.poll(), Step::Read { after: 1 }, "nothing is noted where nothing happened");
    (0..LOOKS_BEFORE_CHECK).for_each(|_| {
        read(&mut relay, 1, vec![]);
        relay.resting.handle_waited();
    });
    relay.handle_end(StreamEnd { last_sequence: 0, last: None });
    assert_eq!(relay.poll(), Step::Note { to: 0 }, "its server has lost it");
}

#[test]
fn one_that_another_has_followed_publishes_nothing_more() {
    let mut relay = taken(1, 1, published(1));
    read(&mut relay, 0, entries([1, 2]));
    relay.handle_noted(false);
    assert_eq!(relay.poll(), Step::Rest(Rest::Wait(TAKE_EVERY)));
    relay.resting.handle_waited();
    assert_eq!(relay.poll(), Step::Take);
    relay.handle_taken(None);
    assert_eq!(relay.poll(), Step::Rest(Rest::Wait(TAKE_EVERY)));
}

/// A feed, its stream, and relays of which several may believe they are the publisher.
struct World {
    random: fastrand::Rng,
    head: i64,
    kept_after: i64,
    noted: i64,
    owner: usize,
    /// Each message with its number, and the number of the last one.
    stream: Vec<(u64, i64)>,
    last_sequence: u64,
    relays: Vec<Relaying<String>>,
    /// On their way when their sender died or gave up, with the number that each expects.
    late: Vec<(i64, u64)>,
    server_is_down: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = fastrand::Rng::with_seed(seed);
        let relays = (0..random.usize(1..4)).map(|_| Relaying::new()).collect();
        World {
            random,
            head: 0,
            kept_after: 0,
            noted: 0,
            owner: 0,
            stream: Vec::new(),
            last_sequence: 0,
            relays,
            late: Vec::new(),
            server_is_down: false,
        }
    }

    /// What the server does with a message.
    fn arrive(&mut self, seq: i64, behind: u64) -> bool {
        if self.last_sequence != behind {
            return false;
        }
        self.last_sequence += 1;
        self.stream.push((self.last_sequence, seq));
        true
    }

    fn step(&mut self, at: usize) {
        let jitter = self.random.f64();
        match self.relays[at].poll() {
            Step::Take => {
                let noted = (self.owner == at).then_some(self.noted);
                self.relays[at].handle_taken(noted);
            }
            Step::FindEnd if self.server_is_down => _ = self.relays[at].handle_failure("down".into(), jitter),
            Step::FindEnd => {
                let last = self.stream.last().and_then(|(_, seq)| published(*seq));
                let end = StreamEnd { last_sequence: self.last_sequence, last };
                self.relays[at].handle_end(end);
            }
            Step::Read { after } if after < self.kept_after => self.relays[at].handle_forgotten(self.kept_after),
            Step::Read { after } if after > self.head => self.relays[at].handle_ahead(self.head),
            Step::Read { after } => {
                let most = self.random.i64(1..12);
                let found = entries(after + 1..=self.head.min(after + most));
                self.relays[at].handle_entries(found, Clone::clone);
            }
            Step::Publish { entries, behind } => self.send(at, &entries, behind, jitter),
            Step::Note { to } => {
                let is_ours = self.owner == at;
                if is_ours {
                    self.noted = to;
                }
                self.relays[at].handle_noted(is_ours);
            }
            Step::Rest(Rest::Note { .. }) => self.relays[at].resting.handle_noted(),
            Step::Rest(Rest::Wait(_)) => self.relays[at].resting.handle_waited(),
        }
    }

    fn send(&mut self, at: usize, entries: &[String], behind: u64, jitter: f64) {
        let seq_of = |id: &String| -> i64 { id.strip_suffix("-a").expect("an id").parse().expect("a number") };
        let (mut num_taken, mut refused) = (0, None);
        for (id, behind) in entries.iter().zip(behind..) {
            // Lost before it arrives, after, or on its way for longer than anybody waits.
            let luck = if self.server_is_down { 0 } else { self.random.u8(..40) };
            if luck == 0 || luck == 1 {
                self.late.push((seq_of(id), behind));
            }
            if luck > 0 && luck != 1 && !self.arrive(seq_of(id), behind) {
                refused = Some(Refused::Moved);
                break;
            }
            if luck < 3 {
                refused = Some(Refused::Failed("no answer".into()));
                break;
            }
            num_taken += 1;
        }
        let last_sequence = behind + num_taken as u64;
        self.relays[at].handle_sent(Sent { num_taken, last_sequence, refused }, jitter);
    }
}

#[test]
fn whatever_dies_the_stream_has_each_entry_once_and_in_order() {
    let (mut num_wipes, mut num_late) = (0, 0);
    for seed in 0..2_000 {
        let mut world = World::new(seed);
        for _ in 0..world.random.u32(50..600) {
            let at = world.random.usize(..world.relays.len());
            match world.random.u8(..60) {
                0..8 => world.head += world.random.i64(1..6),
                8 => world.relays[at] = Relaying::new(),
                9 => world.owner = at,
                10 => world.server_is_down ^= true,
                11 => {
                    // The server loses its disk: all, or the end.
                    let keeps = if world.random.bool() { 0 } else { world.random.usize(..=world.stream.len()) };
                    world.stream.truncate(keeps);
                    world.last_sequence = keeps as u64;
                    // Connections die with it.
                    world.late.clear();
                    num_wipes += 1;
                }
                12 if !world.late.is_empty() => {
                    let (seq, behind) = world.late.swap_remove(world.random.usize(..world.late.len()));
                    num_late += u32::from(world.arrive(seq, behind));
                }
                _ => world.step(at),
            }
        }
        // Messages on their way arrive, and the faults end.
        world.server_is_down = false;
        let late = std::mem::take(&mut world.late);
        late.into_iter().for_each(|(seq, behind)| _ = world.arrive(seq, behind));
        world.late.clear();
        for _ in 0..4_000 {
            let owner = world.owner;
            world.step(owner);
            if world.noted == world.head && world.stream.last().is_none_or(|(_, seq)| *seq == world.head) {
                break;
            }
        }
        let seqs: Vec<i64> = world.stream.iter().map(|(_, seq)| *seq).collect();
        assert_eq!(seqs, (1..=world.head).collect::<Vec<_>>(), "seed {seed}");
    }
    assert!(num_wipes > 500 && num_late > 20, "{num_wipes}, {num_late}");
}
