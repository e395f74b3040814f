//! The gate against a server whose limit it does not know: a rolling window, answers that take their time, steady and
//! bursty demand, several accounts, restarts and kills. The promises are measured: how much of the limit is used, how
//! often it is hit, and the busiest window, counted exactly.

use super::*;
use chrono::TimeDelta;
use std::collections::{BTreeMap, VecDeque};

const WINDOW: Duration = Duration::from_secs(30);
const LIMITS: [u32; 14] = [8, 9, 10, 12, 15, 20, 30, 50, 75, 100, 180, 300, 450, 600];
/// For tests that depend little on the size of the limit.
const SOME_LIMITS: [u32; 6] = [8, 10, 12, 30, 100, 300];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Demand {
    /// Always more than can be served.
    Steady,
    /// Now and then, three windows' worth at once.
    Bursts,
    /// Three accounts, of which one wants much more than the others.
    Accounts,
    /// Steady, and the process is stopped or killed five times.
    Restarts,
}

/// A rolling window as the API might count it: refused requests take no room.
struct Server {
    limit: u32,
    admitted: VecDeque<Instant>,
}

impl Server {
    fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        while self.admitted.front().is_some_and(|at| now - *at >= WINDOW) {
            self.admitted.pop_front();
        }
        if self.admitted.len() < self.limit as usize {
            self.admitted.push_back(now);
            return Ok(());
        }
        let wait = self.admitted.front().map_or(WINDOW, |oldest| *oldest + WINDOW - now);
        Err(Duration::from_secs(wait.as_secs() + 1))
    }
}

/// A request on its way: there, or back.
#[derive(Debug, Clone, Copy)]
enum Leg {
    Arrives { ticket: u32 },
    Answered { ticket: u32, refused: Option<Duration> },
}

struct World {
    server: Server,
    gate: Gate<u32>,
    settings: GateSettings,
    random: fastrand::Rng,
    start: Instant,
    now: Instant,
    events: BTreeMap<(Instant, u32), Leg>,
    num_events: u32,
    num_tickets: u32,
    num_waiting: [u32; 3],
    accounts: BTreeMap<u32, usize>,
    sent: Vec<Instant>,
    served: [u32; 3],
    num_refused: u32,
    /// How long somebody waited for the limit.
    busy: Duration,
    note: GateNote,
}

impl World {
    fn new(limit: u32, ceiling: Option<u32>, seed: u64) -> World {
        let start = Instant::now();
        let settings = GateSettings { requests: ceiling, window: WINDOW, ..GateSettings::default() };
        World {
            server: Server { limit, admitted: VecDeque::new() },
            gate: Gate::new(settings, start, wall(start, start)),
            settings,
            random: fastrand::Rng::with_seed(seed),
            start,
            now: start,
            events: BTreeMap::new(),
            num_events: 0,
            num_tickets: 0,
            num_waiting: [0; 3],
            accounts: BTreeMap::new(),
            sent: Vec::new(),
            served: [0; 3],
            num_refused: 0,
            busy: Duration::ZERO,
            note: GateNote::default(),
        }
    }

    fn ask(&mut self, account: usize) {
        self.num_tickets += 1;
        self.num_waiting[account] += 1;
        self.accounts.insert(self.num_tickets, account);
        self.gate.handle_ask(self.num_tickets, Family::Tracks, Some(AccountId(account as i64)), None);
    }

    fn after(&mut self, delay: Duration, leg: Leg) {
        self.num_events += 1;
        self.events.insert((self.now + delay, self.num_events), leg);
    }

    fn latency(&mut self) -> Duration {
        Duration::from_millis(self.random.u64(20..150))
    }

    /// Runs for this many windows, keeping this many askers of each account waiting, or bursting.
    fn run(&mut self, num_windows: u32, waiting: [u32; 3], bursts: Option<u32>) {
        let until = self.now + num_windows * WINDOW;
        let mut next_burst = self.now;
        while self.now < until {
            if let Some(size) = bursts.filter(|_| self.now >= next_burst) {
                (0..size).for_each(|_| self.ask(0));
                next_burst = self.now + 8 * WINDOW;
            }
            for (account, wanted) in waiting.into_iter().enumerate() {
                while self.num_waiting[account] < wanted {
                    self.ask(account);
                }
            }
            let wake_at = self.pump();
            let is_busy = self.num_waiting.iter().any(|num| *num > 0);
            let event_at = self.events.first_key_value().map(|((at, _), _)| *at);
            let burst_at = bursts.map(|_| next_burst);
            let next = [wake_at, event_at, burst_at].into_iter().flatten().min().unwrap_or(until).min(until);
            let next = next.max(self.now);
            if is_busy {
                self.busy += next - self.now;
            }
            self.now = next;
            while let Some(event) = self.events.first_entry().filter(|event| event.key().0 <= self.now) {
                let leg = event.remove();
                self.handle(leg);
            }
        }
    }

    fn pump(&mut self) -> Option<Instant> {
        loop {
            match self.gate.poll(self.now) {
                Next::Grant(ticket) => {
                    self.num_waiting[self.accounts[&ticket]] -= 1;
                    let delay = self.latency();
                    self.after(delay, Leg::Arrives { ticket });
                }
                // As the actor's timer does.
                Next::Wait(at, _) => return Some(at + Duration::from_millis(1)),
                Next::Full | Next::Reserve(_) | Next::Idle => return None,
                Next::Refuse(..) => panic!("everybody waits"),
            }
        }
    }

    fn handle(&mut self, leg: Leg) {
        match leg {
            Leg::Arrives { ticket } => {
                self.sent.push(self.now);
                let refused = self.server.admit(self.now).err();
                let delay = self.latency();
                self.after(delay, Leg::Answered { ticket, refused });
            }
            Leg::Answered { ticket, refused: None } => {
                self.served[self.accounts[&ticket]] += 1;
                self.gate.handle_returned(ticket, PermitUse::Served, self.now);
            }
            Leg::Answered { ticket, refused: Some(retry_after) } => {
                self.num_refused += 1;
                let (class, wall) = (LimitClass::Rate, wall(self.start, self.now));
                self.gate.handle_limited(Some(ticket), Family::Tracks, class, Some(retry_after), self.now, wall);
                self.gate.handle_returned(ticket, PermitUse::Limited, self.now);
                // An account that was refused asks again.
                self.ask(self.accounts[&ticket]);
            }
        }
    }

    /// The process ends and another one begins: orderly, or killed. What is under way is lost with it.
    fn restart(&mut self, is_killed: bool) {
        let wall = wall(self.start, self.now);
        // When a process was killed, nobody knows which of its window's requests were sent when.
        let (used, limit) = self.gate.window_used(self.now);
        let (requests, until) = if is_killed { (limit, wall + TimeDelta::seconds(2)) } else { (used, wall) };
        self.note.learned = self.gate.take_unsaved().1.or(self.note.learned);
        self.note.sent = vec![Sent { requests, until }];
        self.gate = Gate::new(self.settings, self.now, wall);
        self.gate.handle_noted(&self.note, self.now, wall);
        // Requests already sent still arrive, but their answers are lost.
        let legs = std::mem::take(&mut self.events);
        for ((at, number), leg) in legs {
            if let Leg::Arrives { .. } = leg {
                self.sent.push(at);
                let _ = (self.server.admit(at), number);
            }
        }
        self.num_waiting = [0; 3];
    }

    fn busiest(&self) -> usize {
        let mut sent = self.sent.clone();
        sent.sort();
        let (mut from, mut most) = (0, 0);
        for to in 0..sent.len() {
            while sent[to] - sent[from] >= WINDOW {
                from += 1;
            }
            most = most.max(to + 1 - from);
        }
        most
    }

    fn forget_counts(&mut self) {
        (self.served, self.num_refused, self.busy) = ([0; 3], 0, Duration::ZERO);
    }

    fn windows(&self) -> f64 {
        self.busy.as_secs_f64() / WINDOW.as_secs_f64()
    }

    /// The share of what the server would have served while somebody waited.
    fn utilisation(&self) -> f64 {
        f64::from(self.served.iter().sum::<u32>()) / (f64::from(self.server.limit) * self.windows())
    }

    fn refusals_per_window(&self) -> f64 {
        f64::from(self.num_refused) / self.windows()
    }
}

fn wall(start: Instant, now: Instant) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap() + (now - start)
}

/// Finds the limit, then measures.
fn simulate(limit: u32, ceiling: Option<u32>, demand: Demand) -> World {
    let mut world = World::new(limit, ceiling, u64::from(limit));
    let burst = Some(3 * limit);
    match demand {
        Demand::Steady => {
            world.run(20, [16, 0, 0], None);
            world.forget_counts();
            // Enough to see the refused level tried again, twice for those that take no time to simulate.
            world.run(if limit < 300 { 150 } else { 60 }, [16, 0, 0], None);
        }
        Demand::Bursts => {
            world.run(60, [0; 3], burst);
            world.forget_counts();
            world.run(160, [0; 3], burst);
        }
        Demand::Accounts => {
            world.run(20, [16, 2, 1], None);
            world.forget_counts();
            world.run(150, [16, 2, 1], None);
        }
        Demand::Restarts => {
            world.run(20, [16, 0, 0], None);
            world.forget_counts();
            for number in 0..5 {
                world.run(30, [16, 0, 0], None);
                world.restart(number % 2 == 0);
            }
        }
    }
    world
}

#[test]
fn a_hidden_limit_of_any_size_is_found_used_and_rarely_hit() {
    println!("{:>9} {:>5} {:>8} {:>12} {:>14} {:>8}", "demand", "limit", "used", "refusals", "per window", "busiest");
    let mut failures = Vec::new();
    for demand in [Demand::Steady, Demand::Bursts, Demand::Accounts, Demand::Restarts] {
        let limits: &[u32] = if demand == Demand::Steady { &LIMITS } else { &SOME_LIMITS };
        for limit in limits.iter().copied() {
            let world = simulate(limit, None, demand);
            let (used, per_window) = (world.utilisation(), world.refusals_per_window());
            let line = format!(
                "{:>9} {limit:>5} {:>7.1}% {:>12} {per_window:>14.3} {:>8}",
                format!("{demand:?}"),
                used * 100.0,
                world.num_refused,
                world.busiest()
            );
            println!("{line}");
            if used < 0.85 || per_window >= 0.1 {
                failures.push(line);
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn no_window_ever_holds_more_than_the_configured_ceiling() {
    for demand in [Demand::Steady, Demand::Bursts, Demand::Accounts, Demand::Restarts] {
        for (limit, ceiling) in [(600, 8), (30, 30), (30, 29), (20, 400), (8, 9)] {
            let world = simulate(limit, Some(ceiling), demand);
            assert!(world.busiest() <= ceiling as usize, "{demand:?}: {} of {ceiling}", world.busiest());
            let reachable = f64::from(limit.min(ceiling)) / f64::from(limit);
            let (used, per_window) = (world.utilisation() / reachable, world.refusals_per_window());
            assert!(used >= 0.85 && per_window < 0.1, "{demand:?} {limit} {ceiling}: {used:.3} {per_window:.3}");
        }
    }
}

#[test]
fn accounts_share_what_is_found() {
    let world = simulate(50, None, Demand::Accounts);
    // One asker at a time waits a turn of three for each permit; more than a fifth of all for one, and none more than
    // half.
    let sum: u32 = world.served.iter().sum();
    for served in world.served {
        let share = f64::from(served) / f64::from(sum);
        assert!((0.2..0.5).contains(&share), "{:?}", world.served);
    }
}

#[test]
fn a_limit_that_changes_is_followed_down_and_up() {
    for (before, after) in [(300, 30), (30, 300), (20, 9), (9, 20), (100, 110), (110, 100)] {
        let mut world = World::new(before, None, 7);
        world.run(40, [16, 0, 0], None);
        world.server.limit = after;
        // Rising takes until the refused level is tried again.
        world.run(120, [16, 0, 0], None);
        world.forget_counts();
        world.run(60, [16, 0, 0], None);
        let (used, per_window) = (world.utilisation(), world.refusals_per_window());
        assert!(used >= 0.85 && per_window < 0.1, "{before} to {after}: {used:.3} {per_window:.3}");
    }
}

#[test]
fn what_was_learned_is_used_from_the_first_window_of_the_next_process() {
    let mut world = World::new(100, None, 3);
    world.run(30, [16, 0, 0], None);
    world.restart(false);
    world.run(2, [16, 0, 0], None);
    world.forget_counts();
    world.run(5, [16, 0, 0], None);
    assert!(world.utilisation() > 0.85 && world.num_refused == 0, "{:.3}", world.utilisation());
}
