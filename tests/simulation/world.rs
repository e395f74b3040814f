//! The world of one life: a clock, what happens next, and everything it happens to. Nothing here decides; it carries
//! the engine's requests to the model API and the model database, and their answers back.

use super::{
    api::{Answer, Api},
    database::{Database, Tenures},
    fetch::Wanted,
    library::{Library, Tick},
    listener::Listener,
    nodes::{NodeAnswer, Watched},
    oracle::Oracle,
    process::{Process, Reply, Write},
    queue::Queue,
    scenario::{Scenario, Settings},
    syncer::{Asker, Reading},
    tally::Tally,
    tracker::Heard,
};
use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use segno::{
    engine::{
        Now,
        gate::{
            look::{Look, Looked},
            shared::Unanswered,
        },
        nodes::Step as NodeStep,
        syncing::Answer as SyncingAnswer,
    },
    model::{EntityType, SyncKey},
};
use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Where every life begins on the steady clock. Far enough from the boot of the machine to look back from.
static BASE: LazyLock<Instant> = LazyLock::new(|| Instant::now() + Duration::from_secs(30 * 24 * 3600));

/// Steps of one life, and for each item in its library. A life that takes longer does not end.
const STEPS_MAX: u32 = 60_000;
const STEPS_PER_ITEM_MAX: u32 = 300;

/// One in this many steps counts while only the history is read.
const IDLE_STEPS: u32 = 16;

/// This many heartbeats of nodes count as one: a life in which nothing else happens has to end, too.
const HEARTBEAT_STEPS: u32 = 16;

/// Names a process, uniquely.
pub type Pid = u32;

/// Something due at a moment.
#[derive(Debug)]
pub enum Event {
    StartProcess,
    /// The transaction in which a gate looks at the database.
    GateLooks {
        pid: Pid,
        life: u32,
        look: Box<Look>,
        began_at: Duration,
    },
    GateLooked {
        pid: Pid,
        life: u32,
        looked: Result<Box<Looked>, Unanswered>,
    },
    /// The number identifies the alarm: a later one replaces it.
    GateWakes(Pid, u32),
    GateReborn(Pid),
    /// A request has reached the API.
    Arrives {
        pid: Pid,
        fetch: u64,
        wanted: Option<Wanted>,
    },
    Answered {
        pid: Pid,
        fetch: u64,
        answer: Answer,
    },
    /// A wait of a request is over.
    TryAgain {
        pid: Pid,
        fetch: u64,
    },
    Written(Pid),
    Replied(Pid, Reply),
    Reads {
        pid: Pid,
        from: Asker,
        what: Reading,
    },
    Told {
        pid: Pid,
        from: Asker,
        answer: Box<SyncingAnswer>,
    },
    SyncerReborn {
        pid: Pid,
        key: SyncKey,
    },
    Tracker {
        pid: Pid,
        life: u32,
        heard: Heard,
    },
    RunsDue(Pid),
    /// Runs that have not ended by now are left behind.
    StopDeadline(Pid),
    Dismissed(Pid),
    NodeWakes(Pid, u32),
    /// The transaction of a node.
    NodeAsks {
        pid: Pid,
        step: NodeStep,
        sent_at: Duration,
    },
    NodeTold {
        pid: Pid,
        answer: NodeAnswer,
        sent_at: Duration,
    },
    /// What a node had sent to the database when it was cut off.
    ArrivesLate {
        owner: Uuid,
        write: Write,
    },
}

impl Event {
    /// The process it belongs to, unless it happens whatever becomes of that process.
    fn of(&self) -> Option<Pid> {
        match self {
            Event::StartProcess | Event::Arrives { .. } | Event::ArrivesLate { .. } => None,
            Event::GateLooks { pid, .. }
            | Event::GateLooked { pid, .. }
            | Event::GateWakes(pid, _)
            | Event::GateReborn(pid)
            | Event::Answered { pid, .. }
            | Event::TryAgain { pid, .. }
            | Event::Written(pid)
            | Event::Replied(pid, _)
            | Event::Reads { pid, .. }
            | Event::Told { pid, .. }
            | Event::SyncerReborn { pid, .. }
            | Event::Tracker { pid, .. }
            | Event::RunsDue(pid)
            | Event::StopDeadline(pid)
            | Event::Dismissed(pid)
            | Event::NodeWakes(pid, _)
            | Event::NodeAsks { pid, .. }
            | Event::NodeTold { pid, .. } => Some(*pid),
        }
    }

    /// Nodes send heartbeats all the time.
    fn is_heartbeat(&self) -> bool {
        matches!(self, Event::NodeWakes(..) | Event::NodeAsks { .. } | Event::NodeTold { .. })
    }
}

/// A guarantee that was broken.
#[derive(Debug, Clone)]
pub struct Violation {
    /// `G1` to `G9`.
    pub guarantee: &'static str,
    pub what: String,
}

pub struct World {
    pub scenario: Scenario,
    pub random: Rng,
    /// Since the beginning, on the steady clock.
    pub now: Duration,
    /// How far the calendar was set forward.
    pub skew: TimeDelta,
    /// How far off it is on the machine of the acting process.
    local_skew: TimeDelta,
    due: Queue<Event>,
    pub library: Library,
    pub listener: Option<Listener>,
    pub api: Api,
    pub database: Database,
    pub processes: Vec<Process>,
    pub num_processes: u32,
    /// For the next process.
    pub settings: Settings,
    /// Counts all events.
    pub tick: Tick,
    pub step: u32,
    num_heartbeats: u32,
    steps_max: u32,
    next_injection: usize,
    pub oracle: Oracle,
    pub watched: Watched,
    pub tally: Tally,
    /// What happened, for a person; only if it is to be read.
    pub trace: Option<Vec<String>>,
}

impl World {
    pub fn new(scenario: Scenario, is_traced: bool) -> World {
        let mut world = World {
            random: Rng::with_seed(scenario.seed),
            now: Duration::ZERO,
            skew: TimeDelta::zero(),
            local_skew: TimeDelta::zero(),
            due: Queue::new(),
            library: Library::new(),
            listener: scenario.listening.map(|habits| Listener::new(habits, scenario.seed)),
            api: Api::new(scenario.hidden_limit, scenario.counts_refused),
            database: Database::new(scenario.has_guest),
            processes: Vec::new(),
            num_processes: 0,
            settings: scenario.settings,
            tick: 0,
            step: 0,
            num_heartbeats: 0,
            steps_max: STEPS_MAX + STEPS_PER_ITEM_MAX * scenario.sizes.iter().map(|(_, size)| size).sum::<u32>(),
            next_injection: 0,
            oracle: Oracle::default(),
            watched: Watched::default(),
            tally: Tally::default(),
            trace: is_traced.then(Vec::new),
            scenario,
        };
        world.furnish();
        let fleet = world.scenario.fleet;
        if let Some(fleet) = fleet {
            world.database.tenures = Tenures::of(fleet.accounts(world.scenario.has_guest));
        }
        for number in 0..fleet.map_or(1, |fleet| fleet.num) {
            world.after(Duration::from_millis(300) * number, Event::StartProcess);
        }
        world
    }

    /// The library at the beginning.
    fn furnish(&mut self) {
        let Scenario { sizes, playlist_items, ties, nulls, is_disordered, .. } = self.scenario;
        for (entity, size) in sizes.iter() {
            for _ in 0..*size {
                let is_tied = self.random.u32(0..100) < ties;
                let contents = if entity.has_items() { self.contents(playlist_items) } else { Vec::new() };
                let number = self.library.add(entity, contents, is_tied, 0);
                let is_saved = entity.is_newest_first();
                let is_null = is_saved && self.random.u32(0..100) < nulls;
                self.library.of_mut(entity).items[number as usize].is_null = is_null;
            }
        }
        if is_disordered {
            for entity in EntityType::ALL.iter().copied().filter(|entity| entity.is_newest_first()) {
                let listing = self.library.of_mut(entity);
                self.random.shuffle(&mut listing.order);
                listing.is_veiled = true;
            }
        }
        self.library.listings.values_mut().for_each(|listing| listing.note_read());
    }

    pub fn contents(&mut self, most: u32) -> Vec<u32> {
        let len = self.random.u32(0..=most);
        (0..len).map(|_| self.random.u32(0..10_000)).collect()
    }

    /// Runs until the library stands still and the database equals it.
    pub fn live(&mut self) {
        loop {
            self.inject();
            if self.oracle.is_over(&self.keys()) && self.is_heard() {
                return;
            }
            let Some((at, event)) = self.due.pop() else {
                if self.next_injection < self.scenario.script.len() {
                    self.step = self.scenario.script[self.next_injection].0.max(self.step);
                    continue;
                }
                self.violated("G7", "nothing is due, and nobody waits for anything".to_owned());
            };
            if at > self.now {
                self.now = at;
                self.oracle.note_time();
            }
            if event.is_heartbeat() {
                self.num_heartbeats += 1;
                self.step += u32::from(self.num_heartbeats.is_multiple_of(HEARTBEAT_STEPS));
            } else {
                self.step += u32::from(self.is_worth_a_step());
            }
            self.check_pace();
            if self.step > self.steps_max {
                self.violated("G7", format!("{} steps, and no end", self.step));
            }
            self.handle(event);
        }
    }

    /// Between the runs of a service there is a day of polls: most are skipped, so that the script applies to the runs.
    fn is_worth_a_step(&mut self) -> bool {
        let Some(listener) = &mut self.listener else { return true };
        let is_running = self.processes.iter().any(|process| process.runs.running().next().is_some());
        is_running || listener.random.u32(0..IDLE_STEPS) == 0
    }

    /// Applies what the script wants now; at its end, calm.
    fn inject(&mut self) {
        while let Some((step, injection)) = self.scenario.script.get(self.next_injection).copied() {
            if step > self.step {
                return;
            }
            self.next_injection += 1;
            self.tick += 1;
            self.tally.note_injection(injection.kind());
            self.tell(|| format!("*** {injection:?}"));
            self.apply(injection);
        }
        if self.oracle.calm_since.is_none() {
            self.tick += 1;
            self.tell(|| "*** calm".to_owned());
            self.calm_down();
        }
    }

    fn handle(&mut self, event: Event) {
        let of = event.of();
        if let Some(thaws_at) = of.and_then(|pid| self.thaws_at(pid)) {
            return self.after(thaws_at - self.now, event);
        }
        let node = of.and_then(|pid| self.processes[self.at(pid)?].node.as_ref());
        self.local_skew = node.map_or(TimeDelta::zero(), |node| node.skew);
        match event {
            Event::StartProcess => self.start_process(),
            Event::GateLooks { pid, life, look, began_at } => self.gate_looks(pid, life, &look, began_at),
            Event::GateLooked { pid, life, looked } => self.gate_looked(pid, life, looked),
            Event::GateWakes(pid, alarm) => self.gate_wakes(pid, alarm),
            Event::GateReborn(pid) => self.gate_reborn(pid),
            Event::Arrives { pid, fetch, wanted } => self.arrives(pid, fetch, wanted.as_ref()),
            Event::Answered { pid, fetch, answer } => self.answered(pid, fetch, answer),
            Event::TryAgain { pid, fetch } => self.try_again(pid, fetch),
            Event::Written(pid) => self.written(pid),
            Event::Replied(pid, reply) => self.replied(pid, reply),
            Event::Reads { pid, from, what } => self.reads(pid, from, what),
            Event::Told { pid, from, answer } => self.told(pid, from, *answer),
            Event::SyncerReborn { pid, key } => self.syncer_reborn(pid, key),
            Event::Tracker { pid, life, heard } => self.tracker_hears(pid, life, heard),
            Event::RunsDue(pid) => self.manage(pid),
            Event::StopDeadline(pid) => self.stop_deadline(pid),
            Event::Dismissed(pid) => self.dismiss(pid),
            Event::NodeWakes(pid, alarm) => self.node_wakes(pid, alarm),
            Event::NodeAsks { pid, step, sent_at } => self.node_asks(pid, step, sent_at),
            Event::NodeTold { pid, answer, sent_at } => self.node_told(pid, answer, sent_at),
            Event::ArrivesLate { owner, write } => self.arrives_late(owner, write),
        }
        self.local_skew = TimeDelta::zero();
    }

    pub fn after(&mut self, wait: Duration, event: Event) {
        self.due.push(self.now + wait, event);
    }

    pub fn soon(&mut self, event: Event) {
        let wait = Duration::from_micros(self.random.u64(100..8_000));
        self.after(wait, event);
    }

    pub fn instant(&self) -> Instant {
        *BASE + self.now
    }

    pub fn moment(&mut self) -> Now {
        Now { at: self.instant(), wall: self.wall(), jitter: self.random.f64() }
    }

    /// The calendar on the acting process's machine.
    pub fn wall(&self) -> DateTime<Utc> {
        self.shared_wall() + self.local_skew
    }

    /// The calendar of the database, which gates use.
    pub fn shared_wall(&self) -> DateTime<Utc> {
        World::birth() + self.now + self.skew
    }

    /// When every life begins, for those whose calendar nobody sets.
    pub fn birth() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).expect("a date")
    }

    /// The window of the gate, in every process of this life.
    pub fn window(&self) -> Duration {
        Duration::from_secs(self.scenario.window_s.into())
    }

    pub fn at(&self, pid: Pid) -> Option<usize> {
        self.processes.iter().position(|process| process.pid == pid)
    }

    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>6} {:>12.3} s  {}", self.step, self.now.as_secs_f64(), what()));
        }
    }

    /// Ends this life. Not by a panic, which would print.
    pub fn violated(&mut self, guarantee: &'static str, what: String) -> ! {
        self.tell(|| format!("!!! {guarantee}: {what}"));
        std::panic::resume_unwind(Box::new(Violation { guarantee, what }))
    }
}
