//! Many accounts in which nothing changes, kept current by several nodes. What is left of the work then is when each
//! listing and each history is asked for, which node asks, and the limit that all of them share: [`Runs`], [`Playback`],
//! [`Nodes`] and [`SharedGate`], with the settings that ship. A run is one request here, and its answer is that nothing
//! has changed.

use super::{
    database::{Database, Tenures},
    process::INTERVAL,
    queue::Queue,
    world::{Violation, World},
};
use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use segno::{
    engine::{
        Now,
        gate::{
            DEFAULT_WINDOW, GateSettings, PermitUse,
            look::{Look, Looked},
            shared::{SharedGate, Step as GateStep},
        },
        nodes::{Nodes, Pace, Step as NodeStep},
        playback::{Playback, PlaybackSettings, Step as TrackerStep},
        run::{Purpose, RunEnd},
        schedule::{Remembered, Schedule},
        service::{RunStep, Runs},
    },
    model::{AccountId, EntityType, Family, KnownPlays, Owner, Play, PlaySlot, PlaybackRecord, PlaysPage, SyncKey},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// The nodes start one after the other.
const APART: Duration = Duration::from_secs(2);

/// From the death of a node until another takes its place.
const DOWN_FOR: Duration = Duration::from_secs(20);

/// New nodes have their share by then, and those that are left the accounts of a dead one.
const SETTLED_AFTER: Duration = Duration::from_secs(60);

/// How much later than planned a request may be: the wait for its turn, or for another node.
const LATE_BY: Duration = Duration::from_secs(60);

/// What an account costs at rest: each listing four times, and the history about every hour.
const REQUESTS_A_DAY: u32 = 55;

const LIMIT_MIN: u32 = 10;

/// The accounts, and for how long nothing happens in them. Halfway through, one node is killed and replaced.
#[derive(Debug, Clone, Copy)]
pub struct Rest {
    pub seed: u64,
    pub accounts: u32,
    pub nodes: u32,
    /// Requests that the application may send in any window of 30 s.
    pub limit: u32,
    pub hours: u32,
}

impl Rest {
    /// A limit of about twice what these accounts need.
    pub fn limit_for(accounts: u32) -> u32 {
        let windows_a_day = 24 * 3600 / DEFAULT_WINDOW.as_secs() as u32;
        (accounts * 2 * REQUESTS_A_DAY / windows_a_day).max(LIMIT_MIN)
    }
}

/// What it took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rested {
    pub hours: u32,
    pub accounts: u32,
    pub runs: u64,
    pub polls: u64,
    /// Requests in the fullest window.
    pub most_in_window: u32,
    pub heartbeats: u64,
    pub claims: u64,
    /// Transactions of gates.
    pub looks: u64,
    /// Accounts that were claimed, first claims included.
    pub claimed: u64,
    /// Longest wait for a permit.
    pub longest_wait: Duration,
}

impl fmt::Display for Rested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rested { hours, accounts, runs, polls, most_in_window, heartbeats, claims, looks, claimed, longest_wait } =
            self;
        let each = (runs + polls) as f64 / f64::from(*accounts) * 24.0 / f64::from(*hours);
        writeln!(f, "{accounts} accounts at rest for {hours} h")?;
        writeln!(f, "{runs} runs, {polls} polls of the history: {each:.1} requests a day for each account")?;
        writeln!(f, "at most {most_in_window} requests in 30 s, longest wait for one {longest_wait:.1?}")?;
        writeln!(f, "{looks} transactions of gates, {heartbeats} heartbeats, {claims} claims of {claimed} accounts")
    }
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    Run(SyncKey),
    Poll(AccountId),
}

impl Wanted {
    fn account(self) -> AccountId {
        match self {
            Wanted::Run(key) => key.account,
            Wanted::Poll(account) => account,
        }
    }

    fn family(self) -> Family {
        match self {
            Wanted::Run(key) => key.entity.family(),
            Wanted::Poll(_) => Family::Player,
        }
    }

    /// The longest that this should take from one time to the next.
    fn every(self) -> Duration {
        match self {
            Wanted::Run(_) => INTERVAL.mul_f64(1.1),
            Wanted::Poll(_) => PlaybackSettings::default().max_interval,
        }
    }
}

#[derive(Debug)]
enum Event {
    NodeStarts,
    NodeDies,
    NodeWakes(usize, u64),
    NodeAsks(usize, NodeStep, Duration),
    GateWakes(usize, u64),
    GateLooks(usize, Box<Look>),
    GateLooked(usize, Box<Looked>),
    RunsDue(usize),
    /// Of the tracker with this number.
    TrackerWakes(usize, AccountId, u64),
    Arrives,
    Answered(usize, u64),
}

struct RestNode {
    id: Uuid,
    machine: Nodes,
    /// What was held as last seen, with the epochs.
    known: BTreeMap<AccountId, i64>,
    runs: Runs,
    trackers: BTreeMap<AccountId, (Playback, u64)>,
    gate: SharedGate<u64>,
    /// Requests that wait for a permit or an answer. `None` if nobody wants the answer any more.
    requests: BTreeMap<u64, (Option<Wanted>, Duration)>,
    node_alarm: u64,
    gate_alarm: u64,
}

struct Resting {
    rest: Rest,
    random: Rng,
    base: Instant,
    now: Duration,
    due: Queue<Event>,
    database: Database,
    plans: BTreeMap<SyncKey, DateTime<Utc>>,
    records: BTreeMap<AccountId, PlaybackRecord>,
    last: BTreeMap<Wanted, Duration>,
    page: PlaysPage,
    known: KnownPlays,
    /// By number; `None` for the dead.
    nodes: Vec<Option<RestNode>>,
    num_requests: u64,
    num_trackers: u64,
    arrived: VecDeque<Duration>,
    /// When a node came or went last.
    disturbed_at: Duration,
    rested: Rested,
}

/// Lets them rest; checks meanwhile that nothing is asked for too late, that the limit holds, and that accounts stay
/// where they are as long as the nodes do.
pub fn rest(rest: Rest) -> Result<Rested, Violation> {
    let mut resting = Resting::new(rest);
    let until = Duration::from_secs(u64::from(rest.hours) * 3600);
    while let Some((at, event)) = resting.due.pop() {
        if at > until {
            break;
        }
        resting.now = at;
        resting.handle(event)?;
    }
    resting.check_all_asked(until)?;
    Ok(resting.rested)
}

impl Resting {
    fn new(rest: Rest) -> Resting {
        let mut random = Rng::with_seed(rest.seed);
        let accounts = || (1..=i64::from(rest.accounts)).map(AccountId);
        let keys = accounts()
            .flat_map(|account| EntityType::ALL.iter().map(move |entity| SyncKey { account, entity: *entity }));
        let wall = World::birth();
        let later = |random: &mut Rng, most: Duration| most.mul_f64(random.f64());
        let plans = keys.map(|key| (key, wall + later(&mut random, INTERVAL))).collect();
        let most = PlaybackSettings::default().max_interval;
        let records = accounts().map(|account| {
            let due = later(&mut random, most);
            let (last, next) = (wall + due - most, wall + due);
            let record =
                PlaybackRecord { last_polled_at: Some(last), next_poll_at: Some(next), ..PlaybackRecord::default() };
            (account, record)
        });
        let records = records.collect();
        let heard_at = wall - TimeDelta::days(30);
        let play =
            Play { played_at: heard_at, track_uri: "spotify:track:1".to_owned(), track: None, context_uri: None };
        let mut known = KnownPlays::default();
        known.keys.insert(play.key());
        let mut database = Database::new(false);
        database.tenures = Tenures::of(accounts());
        let mut resting = Resting {
            rest,
            random,
            base: Instant::now() + Duration::from_secs(30 * 24 * 3600),
            now: Duration::ZERO,
            due: Queue::new(),
            database,
            plans,
            records,
            last: BTreeMap::new(),
            page: PlaysPage { slots: vec![PlaySlot { play: Some(play), played_at: Some(heard_at), odd: None }] },
            known,
            nodes: Vec::new(),
            num_requests: 0,
            num_trackers: 0,
            arrived: VecDeque::new(),
            disturbed_at: Duration::ZERO,
            rested: Rested { hours: rest.hours, accounts: rest.accounts, ..Rested::default() },
        };
        (0..rest.nodes).for_each(|number| resting.after(APART * number, Event::NodeStarts));
        let noon = Duration::from_secs(u64::from(rest.hours) * 1800);
        resting.after(noon, Event::NodeDies);
        resting.after(noon + DOWN_FOR, Event::NodeStarts);
        resting
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.due.push(self.now + wait, event);
    }

    /// As long as a statement takes.
    fn soon(&mut self, event: Event) {
        let wait = Duration::from_micros(self.random.u64(300..6_000));
        self.after(wait, event);
    }

    fn moment(&mut self) -> Now {
        Now { at: self.base + self.now, wall: World::birth() + self.now, jitter: self.random.f64() }
    }

    fn node(&mut self, at: usize) -> Option<&mut RestNode> {
        self.nodes.get_mut(at)?.as_mut()
    }

    fn handle(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::NodeStarts => self.start(),
            Event::NodeDies => {
                self.disturbed_at = self.now;
                self.nodes[0] = None;
            }
            Event::NodeWakes(at, alarm) if self.node(at).is_some_and(|node| node.node_alarm == alarm) => {
                self.drive(at)?;
            }
            Event::NodeAsks(at, step, sent_at) => self.ask_database(at, step, sent_at)?,
            Event::GateWakes(at, alarm) if self.node(at).is_some_and(|node| node.gate_alarm == alarm) => self.pump(at),
            Event::GateLooks(at, look) => self.look(at, &look),
            Event::GateLooked(at, looked) => {
                let now = self.moment();
                if let Some(node) = self.node(at) {
                    node.gate.handle_looked(*looked, now.at, now.wall);
                    self.pump(at);
                }
            }
            Event::RunsDue(at) => self.manage(at),
            Event::TrackerWakes(at, account, number) => self.track(at, account, number),
            Event::Arrives => self.arrive()?,
            Event::Answered(at, request) => self.answered(at, request)?,
            Event::NodeWakes(..) | Event::GateWakes(..) => {}
        }
        Ok(())
    }

    fn start(&mut self) {
        self.disturbed_at = self.now;
        let (now, at) = (self.moment(), self.nodes.len());
        let id = Uuid::from_u128(at as u128 + 1);
        let us = Owner { id, label: format!("node {at}"), place: format!("host {at}"), pid: 1 };
        let settings = GateSettings { requests: Some(self.rest.limit), ..GateSettings::default() };
        self.nodes.push(Some(RestNode {
            id,
            machine: Nodes::new(id, Pace::SHARED, now.at),
            known: BTreeMap::new(),
            runs: Runs::service(Purpose::Current, Schedule::new(INTERVAL)),
            trackers: BTreeMap::new(),
            gate: SharedGate::new(settings, us, now.at, now.wall),
            requests: BTreeMap::new(),
            node_alarm: 0,
            gate_alarm: 0,
        }));
        self.pump(at);
        self.after(Duration::ZERO, Event::NodeWakes(at, 0));
    }

    /// Which accounts this node works for.
    fn drive(&mut self, at: usize) -> Result<(), Violation> {
        let (now, sent_at) = (self.moment(), self.now);
        let Some(node) = self.node(at) else { return Ok(()) };
        node.machine.handle_alive(now.at);
        let step = node.machine.poll(now.at);
        node.node_alarm += 1;
        let alarm = node.node_alarm;
        match step {
            NodeStep::Wait(until) => {
                let wait = until.saturating_duration_since(now.at) + Duration::from_millis(1);
                self.after(wait, Event::NodeWakes(at, alarm));
            }
            step => self.soon(Event::NodeAsks(at, step, sent_at)),
        }
        self.take_up_holding(at)
    }

    fn ask_database(&mut self, at: usize, step: NodeStep, sent_at: Duration) -> Result<(), Violation> {
        let (now, holds_for) = (self.moment(), Pace::SHARED.holds_for);
        let Some(node) = self.nodes.get_mut(at).and_then(Option::as_mut) else { return Ok(()) };
        let asked_at = self.base + sent_at;
        match step {
            NodeStep::Beat => {
                self.rested.heartbeats += 1;
                let found = self.database.beat(node.id, holds_for, self.now);
                let busy: BTreeSet<AccountId> = node.runs.running().map(|key| key.account).collect();
                node.machine.handle_beat(&found, asked_at, now.at, |account| busy.contains(&account));
            }
            NodeStep::Prolong => {
                self.rested.heartbeats += 1;
                let living = self.database.prolong(node.id, holds_for, self.now);
                node.machine.handle_prolonged(living.as_ref(), asked_at, now.at);
            }
            NodeStep::Claim(most) => {
                let claimed = self.database.claim_free(node.id, most, self.now);
                self.rested.claims += 1;
                self.rested.claimed += claimed.len() as u64;
                node.machine.handle_claimed(&claimed, most);
            }
            NodeStep::HandOver(accounts) => self.database.release(&accounts, node.id),
            NodeStep::Wait(_) => {}
        }
        self.drive(at)
    }

    fn take_up_holding(&mut self, at: usize) -> Result<(), Violation> {
        let Some(node) = self.node(at) else { return Ok(()) };
        if node.machine.held() == &node.known {
            return Ok(());
        }
        let held = node.machine.held().clone();
        let known = std::mem::replace(&mut node.known, held.clone());
        if self.now > self.disturbed_at + SETTLED_AFTER {
            let what =
                format!("node {at} holds {} accounts after {}, and nothing has happened", held.len(), known.len());
            return Err(Violation { guarantee: "G9", what });
        }
        known.iter().filter(|(id, epoch)| held.get(id) != Some(epoch)).for_each(|(id, _)| self.let_go(at, *id));
        held.iter().filter(|(id, epoch)| known.get(id) != Some(epoch)).for_each(|(id, _)| self.adopt(at, *id));
        self.manage(at);
        self.pump(at);
        Ok(())
    }

    fn let_go(&mut self, at: usize, account: AccountId) {
        let now = self.moment();
        let Some(node) = self.node(at) else { return };
        if let Some(schedule) = &mut node.runs.schedule {
            schedule.handle_removed(|key| key.account == account);
        }
        node.runs.handle_released(account, now);
        node.trackers.remove(&account);
        for (wanted, _) in node.requests.values_mut() {
            *wanted = wanted.filter(|wanted| wanted.account() != account);
        }
    }

    fn adopt(&mut self, at: usize, account: AccountId) {
        let now = self.moment();
        self.num_trackers += 1;
        let number = self.num_trackers;
        let tracker = Playback::new(PlaybackSettings::default(), &self.records[&account], now.at, now.wall);
        let keys = EntityType::ALL.iter().map(|entity| SyncKey { account, entity: *entity });
        let plans: Vec<_> = keys.map(|key| (key, self.plans[&key])).collect();
        let Some(node) = self.node(at) else { return };
        node.trackers.insert(account, (tracker, number));
        if let Some(schedule) = &mut node.runs.schedule {
            for (key, plan) in &plans {
                let remembered = Remembered { next_run_at: Some(*plan), is_complete: true, ..Remembered::default() };
                schedule.handle_added(*key, remembered, now.at, now.wall);
            }
        }
        for (_, plan) in plans {
            self.after((plan - now.wall).to_std().unwrap_or_default(), Event::RunsDue(at));
        }
        self.track(at, account, number);
    }

    fn manage(&mut self, at: usize) {
        loop {
            let now = self.moment();
            match self.node(at).and_then(|node| node.runs.poll(now)) {
                Some(RunStep::Begin { key, .. }) => self.request(at, Wanted::Run(key)),
                Some(RunStep::Ended { key, end, plan, .. }) if end != RunEnd::Stopped => {
                    if let Some(next_run_at) = plan.and_then(|plan| plan.next_run_at) {
                        self.plans.insert(key, next_run_at);
                        self.after((next_run_at - now.wall).to_std().unwrap_or_default(), Event::RunsDue(at));
                    }
                }
                Some(_) => {}
                None => return,
            }
        }
    }

    fn track(&mut self, at: usize, account: AccountId, number: u64) {
        let now = self.moment();
        let tracker = self.node(at).and_then(|node| node.trackers.get_mut(&account));
        let Some((tracker, _)) = tracker.filter(|(_, known)| *known == number) else { return };
        match tracker.poll(now.at, now.wall) {
            TrackerStep::Ask => self.request(at, Wanted::Poll(account)),
            TrackerStep::Wait(wait) => {
                self.after(wait + Duration::from_millis(1), Event::TrackerWakes(at, account, number));
            }
            TrackerStep::Rest => {}
        }
    }

    fn request(&mut self, at: usize, wanted: Wanted) {
        self.num_requests += 1;
        let (number, now) = (self.num_requests, self.now);
        let Some(node) = self.node(at) else { return };
        node.requests.insert(number, (Some(wanted), now));
        node.gate.handle_ask(number, wanted.family(), Some(wanted.account()), None);
        self.pump(at);
    }

    fn pump(&mut self, at: usize) {
        loop {
            let (now, since) = (self.moment(), self.now);
            let Some(node) = self.node(at) else { return };
            node.gate_alarm += 1;
            let alarm = node.gate_alarm;
            match node.gate.poll(now.at, now.wall) {
                GateStep::Grant(number) => {
                    let (wanted, asked_at) = node.requests[&number];
                    if wanted.is_none() {
                        node.requests.remove(&number);
                        node.gate.handle_returned(number, PermitUse::Unused, now.at);
                        continue;
                    }
                    self.rested.longest_wait = self.rested.longest_wait.max(since - asked_at);
                    let there = Duration::from_millis(self.random.u64(5..60));
                    let back = Duration::from_millis(self.random.u64(20..200));
                    self.after(there, Event::Arrives);
                    self.after(there + back, Event::Answered(at, number));
                }
                GateStep::Look(look) => self.soon(Event::GateLooks(at, look)),
                GateStep::Wait(until, _) => {
                    if let Some(until) = until {
                        let wait = until.saturating_duration_since(now.at) + Duration::from_millis(1);
                        self.after(wait, Event::GateWakes(at, alarm));
                    }
                    return;
                }
                GateStep::Noted(_) => {}
                GateStep::Refuse(..) | GateStep::GiveUp(_) | GateStep::Closed { .. } => {
                    unreachable!("nothing refuses, every look is answered, and nobody stops")
                }
            }
        }
    }

    fn look(&mut self, at: usize, look: &Look) {
        let now = self.moment();
        if self.node(at).is_none() {
            return;
        }
        self.rested.looks += 1;
        let (change, looked) = look.rule(&self.database.shared_limits(), now.at, |_| false);
        self.database.change_limits(&change, look.wall());
        self.soon(Event::GateLooked(at, Box::new(looked)));
    }

    fn answered(&mut self, at: usize, number: u64) -> Result<(), Violation> {
        let now = self.moment();
        let Some(node) = self.nodes.get_mut(at).and_then(Option::as_mut) else { return Ok(()) };
        node.gate.handle_returned(number, PermitUse::Served, now.at);
        let wanted = node.requests.remove(&number).and_then(|(wanted, _)| wanted);
        match wanted {
            Some(Wanted::Run(key)) => {
                self.rested.runs += 1;
                node.runs.handle_ended(key, RunEnd::Complete { notes: Vec::new(), again_in: None }, now);
                self.manage(at);
            }
            Some(Wanted::Poll(account)) => {
                self.rested.polls += 1;
                let Some((tracker, number)) = node.trackers.get_mut(&account) else { return Ok(()) };
                let verdict = tracker.handle_page(&mut self.page, &self.known, now.wall, now.jitter);
                tracker.handle_committed(&verdict, now.at, now.wall);
                let record = self.records.get_mut(&account).expect("each account has one");
                (record.last_polled_at, record.next_poll_at) = (Some(now.wall), Some(now.wall + verdict.wait));
                let number = *number;
                self.track(at, account, number);
            }
            None => {}
        }
        if let Some(wanted) = wanted {
            let before = self.last.insert(wanted, self.now).unwrap_or_default();
            self.check_in_time(wanted, before, self.now)?;
        }
        self.pump(at);
        Ok(())
    }

    /// G6: the limit of the application holds in any window.
    fn arrive(&mut self) -> Result<(), Violation> {
        let now = self.now;
        self.arrived.push_back(now);
        while self.arrived.front().is_some_and(|at| *at + DEFAULT_WINDOW <= now) {
            self.arrived.pop_front();
        }
        let in_window = self.arrived.len() as u32;
        self.rested.most_in_window = self.rested.most_in_window.max(in_window);
        if in_window > self.rest.limit {
            let what = format!("{in_window} requests in 30 s, and {} are allowed", self.rest.limit);
            return Err(Violation { guarantee: "G6", what });
        }
        Ok(())
    }

    /// G7: neither a listing nor a history is forgotten.
    fn check_in_time(&self, wanted: Wanted, before: Duration, now: Duration) -> Result<(), Violation> {
        if now - before <= wanted.every() + LATE_BY {
            return Ok(());
        }
        let what = format!("{wanted:?} is asked for after {:?}", now - before);
        Err(Violation { guarantee: "G7", what })
    }

    fn check_all_asked(&self, until: Duration) -> Result<(), Violation> {
        let all = self.plans.keys().map(|key| Wanted::Run(*key));
        let mut all = all.chain(self.records.keys().map(|account| Wanted::Poll(*account)));
        all.try_for_each(|wanted| {
            self.check_in_time(wanted, self.last.get(&wanted).copied().unwrap_or_default(), until)
        })
    }
}
