//! Several processes that share one limit, as tables of what each may reserve.

use super::unanswered::{LASTING_LOOKS_MAX, PASSING_MAX, RETRY_DATABASE_AFTER_MAX};
use super::*;
use crate::model::{DailyCeilings, GateProcess, NotedPause, ProbeClaim, SharedLimits};

const SECOND: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(30);

/// A database and a machine on which processes run: a look is answered at once.
struct Machine {
    start: Instant,
    now: Instant,
    skew: TimeDelta,
    found: SharedLimits,
    living: Vec<u32>,
    num_looks: u32,
}

impl Machine {
    fn new() -> Machine {
        let now = Instant::now();
        let (skew, found) = (TimeDelta::zero(), SharedLimits::default());
        Machine { start: now, now, skew, found, living: Vec::new(), num_looks: 0 }
    }

    fn wall(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap() + (self.now - self.start) + self.skew
    }

    fn start(&mut self, pid: u32, settings: GateSettings) -> SharedGate<u32> {
        self.living.push(pid);
        let (id, place) = (Uuid::from_u128(pid.into()), "here".to_owned());
        let us = Owner { id, label: format!("process {pid}"), place, pid };
        SharedGate::new(settings, us, self.now, self.wall())
    }

    fn kill(&mut self, pid: u32) {
        self.living.retain(|living| *living != pid);
    }

    /// One that asks for more than it can get.
    fn busy(&mut self, pid: u32, requests: u32) -> SharedGate<u32> {
        let mut gate = self.start(pid, settings(requests));
        (0..1000).for_each(|ticket| gate.handle_ask(ticket, Family::Tracks, None, None));
        gate
    }

    /// Does what there is to do now. Returns what is granted, and when to go on.
    fn pump(&mut self, gate: &mut SharedGate<u32>) -> (Vec<u32>, Option<Instant>) {
        let mut granted = Vec::new();
        loop {
            match gate.poll(self.now, self.wall()) {
                Step::Grant(ticket) => granted.push(ticket),
                Step::Look(look) => self.look(gate, &look),
                Step::Refuse(..) | Step::Noted(_) | Step::GiveUp(_) => {}
                Step::Wait(at, _) => return (granted, at),
                Step::Closed { .. } => return (granted, None),
            }
        }
    }

    fn look(&mut self, gate: &mut SharedGate<u32>, look: &Look) {
        self.num_looks += 1;
        let (change, looked) = look.rule(&self.found, self.now, |owner| !self.living.contains(&owner.pid));
        self.found.probe = change.probe;
        self.found.learned = change.learned.or(self.found.learned);
        self.found.pauses.retain(|noted| change.lifts.is_none_or(|until| noted.pause.until > until));
        for pause in change.pauses {
            self.found.pauses.retain(|noted| noted.pause.scope != pause.scope);
            self.found.pauses.push(NotedPause { pause, noted_at: self.wall() });
        }
        let ledger = self.found.ledger.get_or_insert_default();
        ledger.retain(|entry| change.drops_ledger_after.is_none_or(|after| entry.started_at <= after));
        ledger.extend(change.ledger);
        let is_stale = |process: &GateProcess| process.owner.id == change.process.owner.id;
        self.found.processes.retain(|process| !is_stale(process) && !change.forgotten.contains(&process.owner.id));
        self.found.processes.push(change.process);
        gate.handle_looked(looked, self.now, self.wall());
    }

    /// A look fails. Returns what is given up, and when to go on.
    fn fail(&self, gate: &mut SharedGate<u32>, why: Unanswered) -> (Vec<u32>, Instant) {
        let Step::Look(_) = gate.poll(self.now, self.wall()) else { panic!("it wants to look") };
        assert!(matches!(gate.poll(self.now, self.wall()), Step::Wait(..)), "one at a time");
        gate.handle_unanswered(why, self.now);
        let mut given_up = Vec::new();
        loop {
            match gate.poll(self.now, self.wall()) {
                Step::GiveUp(ticket) => given_up.push(ticket),
                Step::Wait(Some(at), _) => return (given_up, at),
                step => panic!("{step:?}"),
            }
        }
    }

    /// All that is granted within a time, each answered at once.
    fn serve(&mut self, gate: &mut SharedGate<u32>, time: Duration) -> Vec<Instant> {
        let (until, mut sent) = (self.now + time, Vec::new());
        while self.now < until {
            let (granted, at) = self.pump(gate);
            for ticket in granted {
                gate.handle_returned(ticket, PermitUse::Served, self.now);
                sent.push(self.now);
            }
            self.now = at.unwrap_or(until).clamp(self.now + Duration::from_millis(1), until);
        }
        sent
    }
}

fn settings(requests: u32) -> GateSettings {
    GateSettings { requests: Some(requests), window: WINDOW, daily: DailyCeilings::default() }
}

fn busiest(mut sent: Vec<Instant>) -> usize {
    sent.sort();
    sent.iter().map(|from| sent.iter().filter(|at| **at >= *from && **at - *from < WINDOW).count()).max().unwrap_or(0)
}

#[test]
fn a_start_after_a_kill_goes_on_at_once_where_the_window_has_room() {
    let mut machine = Machine::new();
    let mut first = machine.busy(1, 7);
    let mut sent = machine.serve(&mut first, 10 * SECOND);
    assert_eq!(sent.len(), 3, "one in about four seconds");
    machine.kill(1);
    let mut second = machine.busy(2, 7);
    let began_at = machine.now;
    let after = machine.serve(&mut second, 120 * SECOND);
    assert!(after[0] - began_at < SECOND, "{:?}", after[0] - began_at);
    assert_eq!(after.iter().filter(|at| **at < sent[0] + WINDOW).count(), 4);
    sent.extend(after);
    assert!((6..=7).contains(&busiest(sent.clone())), "{}", busiest(sent));
}

#[test]
fn a_process_alone_looks_once_for_many_requests() {
    let mut machine = Machine::new();
    let mut gate = machine.busy(1, 600);
    let sent = machine.serve(&mut gate, 30 * SECOND);
    assert!(sent.len() >= 550, "{}", sent.len());
    assert!(machine.num_looks < 40, "{} looks", machine.num_looks);
}

/// What another notes while a look waits for the database counts from when it is read, not from when the look began.
#[test]
fn a_look_that_was_held_up_counts_what_came_meanwhile_for_a_whole_window() {
    let mut machine = Machine::new();
    let mut other = machine.start(1, settings(1));
    machine.pump(&mut other);
    let mut late = machine.busy(2, 1);
    let Step::Look(look) = late.poll(machine.now, machine.wall()) else { panic!("it looks before it sends") };
    machine.now += 2 * SECOND;
    other.handle_ask(1, Family::Tracks, None, None);
    let sent_at = machine.now;
    assert_eq!(machine.serve(&mut other, Duration::from_millis(1)), [sent_at]);
    other.handle_closing();
    machine.pump(&mut other);
    machine.look(&mut late, &look);
    let sent = machine.serve(&mut late, 40 * SECOND);
    assert!(sent[0] - sent_at > WINDOW, "{:?} later", sent[0] - sent_at);
}

/// They take turns, whoever came first.
#[test]
fn two_processes_share_the_window_and_neither_starves() {
    let mut machine = Machine::new();
    let (mut one, mut other) = (machine.busy(1, 20), machine.busy(2, 20));
    let (mut sent, mut counts) = (machine.serve(&mut one, 15 * SECOND), [0; 2]);
    let until = machine.now + 300 * SECOND;
    while machine.now < until {
        for (gate, count) in [(&mut one, 0), (&mut other, 1)] {
            let (granted, _) = machine.pump(gate);
            for ticket in granted {
                gate.handle_returned(ticket, PermitUse::Served, machine.now);
                sent.push(machine.now);
                counts[count] += 1;
            }
        }
        machine.now += Duration::from_millis(20);
    }
    assert!(busiest(sent.clone()) <= 20, "{}", busiest(sent));
    assert!(counts[0] + counts[1] >= 180, "{counts:?}: the window is used");
    assert!(counts.iter().all(|count| *count >= 60), "{counts:?}");
}

/// It would not know of a pause that the second meets.
#[test]
fn a_process_that_comes_waits_until_the_block_of_another_is_over() {
    let mut machine = Machine::new();
    let mut first = machine.busy(1, 600);
    machine.pump(&mut first);
    machine.now += SECOND;
    let mut second = machine.busy(2, 600);
    let (granted, at) = machine.pump(&mut second);
    assert_eq!((granted, at), (Vec::new(), Some(machine.start + 2 * SECOND)));
    machine.now += SECOND;
    assert!(!machine.pump(&mut second).0.is_empty());
    // From here on the first has to look for each.
    let looks_before = machine.num_looks;
    let (granted, _) = machine.pump(&mut first);
    assert!(machine.num_looks - looks_before >= granted.len() as u32 && !granted.is_empty());
}

#[test]
fn a_pause_of_one_process_stops_the_other_and_one_request_tries_for_both() {
    let mut machine = Machine::new();
    let (mut one, mut other) = (machine.busy(1, 20), machine.busy(2, 20));
    let ticket = machine.pump(&mut one).0[0];
    machine.now += SECOND;
    machine.pump(&mut other);
    let wall = machine.wall();
    one.handle_limited(ticket, Family::Tracks, LimitClass::Rate, Some(10 * SECOND), machine.now, wall);
    machine.pump(&mut one);
    one.handle_returned(ticket, PermitUse::Limited, machine.now);
    let over = machine.now + 10 * SECOND;
    while machine.now < over {
        assert!(machine.pump(&mut other).0.is_empty());
        machine.now += SECOND / 2;
    }
    let probe = machine.pump(&mut other).0;
    assert_eq!(probe.len(), 1);
    for _ in 0..10 {
        assert!(machine.pump(&mut one).0.is_empty(), "one tries for both");
        machine.now += SECOND;
    }
    other.handle_returned(probe[0], PermitUse::Served, machine.now);
    machine.pump(&mut other);
    machine.now += SECOND;
    assert!(!machine.pump(&mut one).0.is_empty());
}

#[test]
fn the_probe_of_a_process_that_died_is_not_waited_for() {
    let mut machine = Machine::new();
    let until = machine.wall() - TimeDelta::seconds(1);
    let pause = Pause { scope: Family::Application, class: LimitClass::Rate, until };
    machine.found.pauses.push(NotedPause { pause, noted_at: until - TimeDelta::seconds(9) });
    let mut first = machine.busy(1, 20);
    assert_eq!(machine.pump(&mut first).0.len(), 1);
    assert!(matches!(machine.found.probe, Some(ProbeClaim { by, .. }) if by == Uuid::from_u128(1)));
    machine.kill(1);
    let mut second = machine.busy(2, 20);
    assert_eq!(machine.pump(&mut second).0.len(), 1);
}

#[test]
fn a_ceiling_of_the_day_is_one_for_all_processes() {
    let mut machine = Machine::new();
    let daily = DailyCeilings { tracks: Some(5), ..DailyCeilings::default() };
    let settings = GateSettings { daily, ..settings(1000) };
    let mut gates = [machine.start(1, settings), machine.start(2, settings)];
    let mut num_granted = 0;
    for gate in &mut gates {
        (0..9).for_each(|ticket| gate.handle_ask(ticket, Family::Tracks, None, None));
    }
    for _ in 0..200 {
        for gate in &mut gates {
            let (granted, _) = machine.pump(gate);
            num_granted += granted.len();
            granted.iter().for_each(|ticket| gate.handle_returned(*ticket, PermitUse::Served, machine.now));
        }
        machine.now += SECOND;
    }
    let stored: u32 = machine.found.ledger.iter().flatten().map(|entry| entry.requests).sum();
    assert_eq!((num_granted, stored), (5, 5));
}

/// For processes that follow one another, and for one that keeps running.
#[test]
fn a_ceiling_reached_by_a_clock_that_was_ahead_is_over_after_a_day() {
    let daily = DailyCeilings { tracks: Some(5), ..DailyCeilings::default() };
    let settings = GateSettings { daily, ..settings(1000) };
    let hours = |hours: u32| hours * 3600 * SECOND;
    for days in [10, 400] {
        let mut machine = Machine::new();
        machine.skew = TimeDelta::days(days);
        let ask = |gate: &mut SharedGate<u32>| {
            (0..20).for_each(|ticket| gate.handle_ask(ticket, Family::Tracks, None, None));
        };
        let mut first = machine.start(1, settings);
        ask(&mut first);
        assert_eq!(machine.serve(&mut first, 60 * SECOND).len(), 5);
        machine.skew = TimeDelta::zero();
        let mut next = machine.start(2, settings);
        ask(&mut next);
        assert_eq!(machine.serve(&mut next, 60 * SECOND).len(), 0, "of one that has only just met it");
        machine.kill(2);
        machine.now += hours(25);
        let mut last = machine.start(3, settings);
        ask(&mut last);
        assert_eq!(machine.serve(&mut last, 60 * SECOND).len(), 5, "after {days} days");
        machine.kill(3);
        assert_eq!(machine.serve(&mut first, 60 * SECOND).len(), 0, "it knows what the other has sent");
        machine.now += hours(25);
        assert!(!machine.serve(&mut first, 60 * SECOND).is_empty());
    }
}

#[test]
fn a_life_after_a_death_knows_what_the_one_before_had_sent() {
    let mut machine = Machine::new();
    let mut gate = machine.busy(1, 7);
    let mut sent = machine.serve(&mut gate, 20 * SECOND);
    let out = machine.pump(&mut gate).0;
    sent.extend(out.iter().map(|_| machine.now));
    let still_out = out.iter().map(|ticket| (*ticket, Family::Tracks));
    let mut next = gate.reborn(still_out, std::iter::empty(), machine.now, machine.wall());
    (2000..3000).for_each(|ticket| next.handle_ask(ticket, Family::Tracks, None, None));
    let after = machine.serve(&mut next, 25 * SECOND);
    assert!(!after.is_empty());
    sent.extend(after);
    assert!(busiest(sent.clone()) <= 7, "{}", busiest(sent));
}

/// Found by the simulation: the window was full of the seven that every gate begins with.
#[test]
fn a_life_after_a_death_counts_all_that_was_sent_at_the_rate_that_was_learned() {
    let mut machine = Machine::new();
    machine.found.learned = Some(LearnedRate { requests: 300.0, window: WINDOW, refused: None });
    let settings = GateSettings { requests: None, ..settings(1) };
    let mut gate = machine.start(1, settings);
    (0..1000).for_each(|ticket| gate.handle_ask(ticket, Family::Tracks, None, None));
    let mut sent = machine.serve(&mut gate, 29 * SECOND);
    assert!(sent.len() > 250, "{}", sent.len());
    let mut next = gate.reborn(std::iter::empty(), std::iter::empty(), machine.now, machine.wall());
    (2000..3000).for_each(|ticket| next.handle_ask(ticket, Family::Tracks, None, None));
    sent.extend(machine.serve(&mut next, 20 * SECOND));
    // A fully used window lets the rate rise once.
    let (_, limit) = next.window_used(machine.now);
    assert!(busiest(sent.clone()) <= limit as usize, "{} of {limit}", busiest(sent));
}

/// Found by the simulation.
#[test]
fn what_another_process_forgets_by_its_calendar_still_counts_for_those_who_saw_it() {
    let mut machine = Machine::new();
    let mut first = machine.busy(1, 7);
    let mut sent = machine.serve(&mut first, 10 * SECOND);
    machine.kill(1);
    let mut second = machine.busy(2, 7);
    machine.pump(&mut second);
    machine.skew = TimeDelta::hours(25);
    let mut third = machine.start(3, settings(7));
    machine.pump(&mut third);
    assert!(machine.found.processes.iter().any(|process| process.owner.pid == 1), "one look alone forgets nothing");
    machine.now += SECOND;
    third.handle_closing();
    machine.pump(&mut third);
    assert!(machine.found.processes.iter().all(|process| process.owner.pid != 1), "the third forgets it");
    sent.extend(machine.serve(&mut second, 60 * SECOND));
    assert!(busiest(sent.clone()) <= 7, "{}", busiest(sent));
}

#[test]
fn nothing_is_sent_while_the_database_does_not_answer() {
    let mut machine = Machine::new();
    let mut gate = machine.busy(1, 7);
    for wait_ms in [500, 1000, 2000, 4000, 5000, 5000] {
        let (given_up, at) = machine.fail(&mut gate, Unanswered::Passing);
        assert_eq!((given_up, at), (Vec::new(), machine.now + Duration::from_millis(wait_ms)));
        machine.now = at;
    }
    assert!(!machine.pump(&mut gate).0.is_empty());
    assert!(!gate.failing.is_given_up(machine.now + PASSING_MAX), "an answer begins anew");
}

#[test]
fn a_database_that_is_silent_for_minutes_is_not_waited_for() {
    let mut machine = Machine::new();
    let mut gate = machine.busy(1, 7);
    let since = machine.now;
    let given_up = loop {
        let (given_up, at) = machine.fail(&mut gate, Unanswered::Passing);
        if !given_up.is_empty() {
            break given_up;
        }
        machine.now = at;
    };
    let silent_for = machine.now - since;
    assert!((PASSING_MAX..PASSING_MAX + RETRY_DATABASE_AFTER_MAX).contains(&silent_for), "{silent_for:?}");
    assert_eq!(given_up.len(), 1000);
    // Those who come later wait for the next look only.
    gate.handle_ask(2000, Family::Tracks, None, None);
    machine.now += RETRY_DATABASE_AFTER_MAX;
    assert_eq!(machine.fail(&mut gate, Unanswered::Passing).0, [2000]);
    gate.handle_ask(2001, Family::Tracks, None, None);
    machine.now += RETRY_DATABASE_AFTER_MAX;
    assert_eq!(machine.pump(&mut gate).0, [2001]);
}

#[test]
fn a_reason_that_lasts_is_waited_out_for_a_few_looks_only() {
    use Unanswered::{Lasting, Passing};
    let mut machine = Machine::new();
    let mut gate = machine.busy(1, 7);
    for why in [Lasting, Lasting, Lasting, Passing] {
        let (given_up, at) = machine.fail(&mut gate, why);
        assert!(given_up.is_empty(), "{why:?}");
        machine.now = at;
    }
    for num_looks in 1..=LASTING_LOOKS_MAX {
        let (given_up, at) = machine.fail(&mut gate, Lasting);
        assert_eq!(given_up.len(), if num_looks == LASTING_LOOKS_MAX { 1000 } else { 0 }, "look {num_looks}");
        machine.now = at;
    }
}

#[test]
fn a_pause_that_cannot_be_stored_is_given_up_and_stored_later() {
    let mut machine = Machine::new();
    let mut gate = machine.busy(1, 7);
    let ticket = machine.pump(&mut gate).0[0];
    let wall = machine.wall();
    gate.handle_limited(ticket, Family::Tracks, LimitClass::Rate, Some(60 * SECOND), machine.now, wall);
    let mut given_up = Vec::new();
    for _ in 0..LASTING_LOOKS_MAX {
        let (tickets, at) = machine.fail(&mut gate, Unanswered::Lasting);
        given_up = tickets;
        machine.now = at;
    }
    assert!(given_up.contains(&ticket), "{given_up:?}");
    gate.handle_returned(ticket, PermitUse::Limited, machine.now);
    assert!(machine.found.pauses.is_empty());
    machine.pump(&mut gate);
    assert_eq!(machine.found.pauses.len(), 1);
    gate.handle_ask(2000, Family::Tracks, None, None);
    assert!(machine.pump(&mut gate).0.is_empty(), "it is kept all the while");
}

/// A living process measures what it has seen by its own clock.
#[test]
fn a_calendar_that_jumps_does_not_empty_the_window_of_those_who_live() {
    for jump_h in [-1, 1, 48] {
        let mut machine = Machine::new();
        let (mut one, mut other) = (machine.busy(1, 10), machine.busy(2, 10));
        let mut sent = machine.serve(&mut one, 10 * SECOND);
        sent.extend(machine.serve(&mut other, 5 * SECOND));
        machine.skew = TimeDelta::hours(jump_h);
        for _ in 0..10 {
            sent.extend(machine.serve(&mut other, 3 * SECOND));
            sent.extend(machine.serve(&mut one, 3 * SECOND));
        }
        assert!((8..=10).contains(&busiest(sent.clone())), "{jump_h} h: {}", busiest(sent));
    }
}

/// Found by the simulation: a node had not looked while the calendar was set back an hour and forward a day.
#[test]
fn a_pause_that_another_has_just_noted_lasts_as_long_whatever_the_calendars_say() {
    for (skew_s, later_s) in [(0, 0), (-3_600, 86_400), (-60, -60), (60, 60), (0, 90_000)] {
        let mut machine = Machine::new();
        let (mut idle, mut other) = (machine.start(1, settings(20)), machine.busy(2, 20));
        idle.handle_ask(1, Family::Shows, None, None);
        let granted = machine.serve(&mut idle, SECOND);
        assert_eq!(granted.len(), 1);
        machine.now += 30 * SECOND;
        let ticket = machine.pump(&mut other).0[0];
        machine.skew = TimeDelta::seconds(skew_s);
        let (day, wall) = (Duration::from_secs(86_400), machine.wall());
        other.handle_limited(ticket, Family::Playlists, LimitClass::Quota, Some(day), machine.now, wall);
        machine.pump(&mut other);
        let ends = machine.now + day;
        machine.now += 30 * SECOND;
        machine.skew = TimeDelta::seconds(later_s);
        idle.handle_ask(2, Family::Playlists, None, None);
        let asked = machine.now;
        let sent = machine.serve(&mut idle, day + 3_600 * SECOND);
        // It knows neither how long before this look it was noted nor how long after the one before.
        let allowed = ends - (asked - machine.start)..ends + (asked - machine.start);
        assert!(sent.len() == 1 && allowed.contains(&sent[0]), "{skew_s} s, {later_s} s: {:?}", ends - sent[0]);
    }
}

#[test]
fn the_end_of_a_process_gives_back_what_it_held() {
    let mut machine = Machine::new();
    let mut gate = machine.busy(1, 80);
    let sent = machine.pump(&mut gate).0;
    sent.iter().for_each(|ticket| gate.handle_returned(*ticket, PermitUse::Served, machine.now));
    gate.handle_closing();
    machine.pump(&mut gate);
    let process = &machine.found.processes[0];
    let answered: u32 = process.answered.iter().map(|sent| sent.requests).sum();
    assert_eq!((process.held.requests, answered as usize, process.has_block), (0, sent.len(), false));
    assert!(matches!(gate.poll(machine.now, machine.wall()), Step::Closed { is_noted: true }));
}
