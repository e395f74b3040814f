//! Nodes: several processes that share the accounts, each on a machine of its own. A driver of [`Nodes`], like
//! `src/app/run/node.rs`; how nodes freeze and are cut off from the database; and what must hold for them.

use super::{
    process::{ACCOUNT, GUEST, Keyed},
    scenario::Injection,
    world::{Event, Pid, World},
};
use chrono::TimeDelta;
use fastrand::Rng;
use segno::{
    engine::{
        nodes::{Nodes, Pace, Step},
        schedule::Remembered,
        service::STOP_WITHIN,
    },
    model::{AccountId, Heartbeat, SyncKey},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use uuid::Uuid;

/// One life in this many has nodes.
const LIVES_WITH_NODES: u32 = 16;

const NODES_MAX: u32 = 8;

/// A heartbeat holds the accounts for this many intervals between two.
const BEATS_OF_A_HOLD: u32 = 5;

/// How long nobody may work for an account: the hold of a dead node, and this many heartbeats until another node does.
/// They cover finding out, a claim, and a node that ends meanwhile.
const BEATS_OF_A_TAKEOVER: u32 = 8;

/// More accounts than these are not scanned with every heartbeat.
const MANY: u32 = 5;

/// How far off the calendar of a machine may be, in seconds.
const CALENDARS_APART: i64 = 600;

/// The nodes of one life.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fleet {
    pub num: u32,
    /// Seconds between two heartbeats.
    pub beat_s: u32,
    /// Accounts besides the two that have a library, shared out with them.
    pub num_others: u32,
}

/// What happens to one node. `at` is reduced to the number of nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NodeFault {
    /// Another one starts.
    Comes,
    /// SIGKILL, and another one after this many seconds.
    Dies { at: u32, down_s: u32 },
    /// SIGTERM, and the same.
    Stops { at: u32, down_s: u32 },
    /// It does nothing for this many tenths of a hold; then it continues.
    Freezes { at: u32, tenths: u32 },
    /// The database does not receive its messages for as long. Those it had sent arrive afterwards.
    IsCutOff { at: u32, tenths: u32 },
}

impl Fleet {
    /// Drawn separately, so that lives without nodes stay the same as before.
    pub fn of(seed: u64, is_wanted: bool) -> Option<(Fleet, Vec<(u32, Injection)>)> {
        let mut random = Rng::with_seed(seed ^ 0x0de5_0000_0000);
        let has_nodes = random.u32(0..LIVES_WITH_NODES) == 0;
        if !has_nodes && !is_wanted {
            return None;
        }
        let fleet = Fleet {
            num: random.u32(1..=NODES_MAX),
            beat_s: [4, 20, 60][random.usize(0..3)],
            num_others: [0, 0, 3, 12][random.usize(0..4)],
        };
        let gap = [2, 8, 30, 90][random.usize(0..4)];
        let mut step = 0;
        let faults = (0..random.usize(0..16)).map(|_| {
            step += random.u32(0..=gap * 2);
            (step, Injection::Node(NodeFault::random(&mut random)))
        });
        Some((fleet, faults.collect()))
    }

    fn pace(&self) -> Pace {
        let beats_every = Duration::from_secs(self.beat_s.into());
        Pace { beats_every, holds_for: beats_every * BEATS_OF_A_HOLD, hangs_after: None, looks_through: MANY }
    }

    pub fn accounts(&self, has_guest: bool) -> impl Iterator<Item = AccountId> {
        let others = (0..self.num_others).map(|number| AccountId(GUEST.0 + 1 + i64::from(number)));
        [ACCOUNT].into_iter().chain(has_guest.then_some(GUEST)).chain(others)
    }
}

impl NodeFault {
    fn random(random: &mut Rng) -> NodeFault {
        let (at, down_s) = (random.u32(..), [0, 3, 40, 900][random.usize(0..4)]);
        let tenths = [2, 6, 9, 11, 15, 40][random.usize(0..6)];
        match random.u32(0..12) {
            0 => NodeFault::Comes,
            1..4 => NodeFault::Dies { at, down_s },
            4 | 5 => NodeFault::Stops { at, down_s },
            6..9 => NodeFault::Freezes { at, tenths },
            _ => NodeFault::IsCutOff { at, tenths },
        }
    }

    pub fn kind(&self) -> &'static str {
        match self {
            NodeFault::Comes => "nodes that come",
            NodeFault::Dies { .. } => "nodes killed",
            NodeFault::Stops { .. } => "nodes stopped",
            NodeFault::Freezes { .. } => "nodes frozen",
            NodeFault::IsCutOff { .. } => "nodes cut off from the database",
        }
    }
}

/// The additional state of a process that is a node.
pub struct NodeShell {
    machine: Nodes,
    /// What was held as last reported, with the epochs.
    known: BTreeMap<AccountId, i64>,
    alarm: u32,
    /// How far off its calendar is.
    pub skew: TimeDelta,
    pub frozen_until: Duration,
    pub cut_off_until: Duration,
}

/// The answer of the database, if there was one.
#[derive(Debug)]
pub enum NodeAnswer {
    Beat(Option<Heartbeat>),
    Prolonged(Option<Option<BTreeSet<Uuid>>>),
    Claimed(Option<Vec<(AccountId, i64)>>, u32),
    HandedOver(Option<()>),
}

/// For the oracle: when each account was last worked for, and when a node was last disturbed.
#[derive(Debug, Default)]
pub struct Watched {
    worked_for_at: BTreeMap<AccountId, Duration>,
    disturbed_at: Duration,
}

impl Watched {
    pub fn note_disturbed(&mut self, now: Duration) {
        self.disturbed_at = now;
    }
}

impl World {
    /// `None` in a life without nodes.
    pub fn new_node(&mut self, owner: Uuid) -> Option<NodeShell> {
        let fleet = self.scenario.fleet?;
        self.watched.disturbed_at = self.now;
        Some(NodeShell {
            machine: Nodes::new(owner, fleet.pace(), self.instant()),
            known: BTreeMap::new(),
            alarm: 0,
            skew: TimeDelta::seconds(self.random.i64(-CALENDARS_APART..=CALENDARS_APART)),
            frozen_until: Duration::ZERO,
            cut_off_until: Duration::ZERO,
        })
    }

    /// There are no more machines than these.
    pub fn has_room(&self) -> bool {
        self.scenario.fleet.is_none() || (self.processes.len() as u32) < NODES_MAX
    }

    fn node(&mut self, pid: Pid) -> Option<&mut NodeShell> {
        let p = self.at(pid)?;
        self.processes[p].node.as_mut()
    }

    /// When a frozen process continues.
    pub fn thaws_at(&self, pid: Pid) -> Option<Duration> {
        let until = self.processes[self.at(pid)?].node.as_ref()?.frozen_until;
        Some(until).filter(|until| *until > self.now)
    }

    /// Until when a process is cut off from the database, if it is.
    pub fn cut_off_until(&self, pid: Pid) -> Option<Duration> {
        let until = self.processes[self.at(pid)?].node.as_ref()?.cut_off_until;
        Some(until).filter(|until| *until > self.now)
    }

    /// Does everything that is due, and sets the alarm for the rest.
    pub fn drive_node(&mut self, pid: Pid) {
        let now = self.instant();
        let Some(node) = self.node(pid) else { return };
        node.machine.handle_alive(now);
        let step = node.machine.poll(now);
        node.alarm += 1;
        let alarm = node.alarm;
        match step {
            Step::Wait(until) => {
                let wait = until.saturating_duration_since(now) + Duration::from_millis(1);
                self.after(wait, Event::NodeWakes(pid, alarm));
            }
            step => {
                let sent_at = self.now;
                self.soon(Event::NodeAsks { pid, step, sent_at });
            }
        }
        self.take_up_holding(pid);
        self.check_nodes();
    }

    pub fn node_wakes(&mut self, pid: Pid, alarm: u32) {
        if self.node(pid).is_some_and(|node| node.alarm == alarm) {
            self.drive_node(pid);
        }
    }

    /// The transaction of a node.
    pub fn node_asks(&mut self, pid: Pid, step: Step, sent_at: Duration) {
        let (Some(p), Some(fleet)) = (self.at(pid), self.scenario.fleet) else { return };
        let (us, now) = (self.processes[p].owner, self.now);
        let is_heard = self.cut_off_until(pid).is_none() && self.database.take_fault(true).is_none();
        let database = &mut self.database;
        let answer = match step {
            Step::Beat => NodeAnswer::Beat(is_heard.then(|| database.beat(us, fleet.pace().holds_for, now))),
            Step::Prolong => NodeAnswer::Prolonged(is_heard.then(|| database.prolong(us, fleet.pace().holds_for, now))),
            Step::Claim(most) => NodeAnswer::Claimed(is_heard.then(|| database.claim_free(us, most, now)), most),
            Step::HandOver(accounts) => NodeAnswer::HandedOver(is_heard.then(|| database.release(&accounts, us))),
            Step::Wait(_) => return,
        };
        let wait = if is_heard { Duration::from_millis(self.random.u64(1..8)) } else { fleet.pace().holds_for / 2 };
        self.after(wait, Event::NodeTold { pid, answer, sent_at });
    }

    pub fn node_told(&mut self, pid: Pid, answer: NodeAnswer, sent_at: Duration) {
        let (now, waited) = (self.instant(), self.now - sent_at);
        let (Some(p), Some(fleet)) = (self.at(pid), self.scenario.fleet) else { return };
        let busy: BTreeSet<AccountId> = self.processes[p].runs.running().map(|key| key.account).collect();
        let Some(node) = self.node(pid) else { return };
        let is_in_time = waited <= fleet.pace().holds_for / 2;
        match answer {
            NodeAnswer::Beat(Some(found)) if is_in_time => {
                node.machine.handle_beat(&found, now - waited, now, |account| busy.contains(&account));
            }
            NodeAnswer::Prolonged(Some(living)) if is_in_time => {
                node.machine.handle_prolonged(living.as_ref(), now - waited, now);
            }
            NodeAnswer::Claimed(Some(claimed), asked_for) if is_in_time => {
                node.machine.handle_claimed(&claimed, asked_for);
            }
            NodeAnswer::HandedOver(Some(())) if is_in_time => {}
            NodeAnswer::Beat(_) | NodeAnswer::Prolonged(_) | NodeAnswer::Claimed(..) | NodeAnswer::HandedOver(_) => {
                node.machine.handle_unanswered();
            }
        }
        self.drive_node(pid);
    }

    /// Drops what was lost, and adopts what was gained.
    fn take_up_holding(&mut self, pid: Pid) {
        let Some(node) = self.node(pid) else { return };
        let held = node.machine.held().clone();
        let lost: Vec<AccountId> =
            node.known.iter().filter(|(id, epoch)| held.get(id) != Some(epoch)).map(|(id, _)| *id).collect();
        lost.iter().for_each(|account| _ = node.known.remove(account));
        let won: Vec<AccountId> = held.keys().filter(|account| !node.known.contains_key(account)).copied().collect();
        node.known = held;
        lost.into_iter().for_each(|account| self.let_go(pid, account));
        won.into_iter().for_each(|account| self.adopt(pid, account));
    }

    fn keys_of(&self, account: AccountId) -> Vec<SyncKey> {
        self.keys().into_iter().filter(|key| key.account == account).collect()
    }

    /// Like the supervisor's `Release`.
    fn let_go(&mut self, pid: Pid, account: AccountId) {
        let (Some(p), now) = (self.at(pid), self.moment()) else { return };
        self.tell(|| format!("process {pid} lets go of account {}", account.0));
        if let Some(schedule) = &mut self.processes[p].runs.schedule {
            schedule.handle_removed(|key| key.account == account);
        }
        if account == ACCOUNT {
            self.stop_tracker(pid);
        }
        self.keys_of(account).into_iter().for_each(|key| self.dismiss_syncer(pid, key));
        self.processes[p].runs.handle_released(account, now);
        self.manage(pid);
    }

    /// Like the supervisor's `Adopt`.
    fn adopt(&mut self, pid: Pid, account: AccountId) {
        let (now, wall) = (self.instant(), self.wall());
        self.tell(|| format!("process {pid} takes account {}", account.0));
        for key in self.keys_of(account) {
            let Some(p) = self.at(pid) else { return };
            let books = self.database.of(key);
            let remembered = Remembered {
                signed_in_at: None,
                next_run_at: books.next_run_at,
                last_updated_at: books.last_updated_at,
                failed_at: books.failed_at,
                is_complete: books.is_complete(),
            };
            let process = &mut self.processes[p];
            if process.settings.entities[key.entity]
                && let Some(schedule) = &mut process.runs.schedule
            {
                schedule.handle_added(key, remembered, now, wall);
            }
        }
        self.plan_runs(pid);
        self.soon(Event::RunsDue(pid));
        if account == ACCOUNT && self.at(pid).is_some_and(|p| !self.processes[p].runs.is_stopping()) {
            self.begin_tracker(pid, Duration::ZERO);
        }
    }

    /// Whether a process works for an account: in a life without nodes the last one that started does.
    pub fn works_for(&self, p: usize, account: AccountId) -> bool {
        match &self.processes[p].node {
            Some(node) => node.known.contains_key(&account),
            None => p + 1 == self.processes.len(),
        }
    }

    pub fn stop_node(&mut self, pid: Pid) {
        if let Some(node) = self.node(pid) {
            node.machine.handle_stop();
        }
    }

    /// A clean end: others need not wait.
    pub fn leave(&mut self, pid: Pid) {
        if let Some(p) = self.at(pid).filter(|p| self.processes[*p].node.is_some())
            && self.cut_off_until(pid).is_none()
        {
            self.database.leave(self.processes[p].owner);
            self.watched.disturbed_at = self.now;
        }
    }

    pub fn apply_to_node(&mut self, fault: NodeFault) {
        let Some(fleet) = self.scenario.fleet else { return };
        self.watched.disturbed_at = self.now;
        let pid_at = |at: u32| Some(self.processes.get(at as usize % self.processes.len().max(1))?.pid);
        let lasts = |tenths: u32| fleet.pace().holds_for * tenths / 10;
        let down = |down_s: u32| Duration::from_secs(down_s.into());
        match fault {
            NodeFault::Comes => self.soon(Event::StartProcess),
            NodeFault::Dies { at, down_s } => {
                if let Some(pid) = pid_at(at) {
                    self.kill(pid);
                    self.after(down(down_s), Event::StartProcess);
                }
            }
            NodeFault::Stops { at, down_s } => {
                if let Some(pid) = pid_at(at) {
                    self.stop(pid);
                    self.after(down(down_s), Event::StartProcess);
                }
            }
            NodeFault::Freezes { at, tenths } => {
                let until = self.now + lasts(tenths);
                let pid = pid_at(at);
                if let Some(node) = pid.and_then(|pid| self.node(pid)) {
                    node.frozen_until = node.frozen_until.max(until);
                }
                if let Some(tracker) = pid.and_then(|pid| self.tracker(pid)) {
                    tracker.is_excused = true;
                }
            }
            NodeFault::IsCutOff { at, tenths } => {
                let until = self.now + lasts(tenths);
                if let Some(node) = pid_at(at).and_then(|pid| self.node(pid)) {
                    node.cut_off_until = node.cut_off_until.max(until);
                }
            }
        }
    }

    /// All are connected. Frozen nodes thaw at their own time.
    pub fn calm_nodes(&mut self) {
        let now = self.now;
        for node in self.processes.iter_mut().filter_map(|process| process.node.as_mut()) {
            node.cut_off_until = node.cut_off_until.min(now);
        }
        self.watched.disturbed_at = now;
    }

    /// G9: while there is a node that could, each account is worked for, soon after any disturbance.
    fn check_nodes(&mut self) {
        let Some(fleet) = self.scenario.fleet else { return };
        let now = self.now;
        let is_awake = |p: usize| {
            let node = self.processes[p].node.as_ref().expect("each is a node");
            node.frozen_until <= now && node.cut_off_until <= now
        };
        let awake: Vec<usize> = (0..self.processes.len()).filter(|p| is_awake(*p)).collect();
        let is_able = awake.iter().any(|p| !self.processes[*p].runs.is_stopping());
        if !is_able || self.database.failing.0 > 0 {
            self.watched.disturbed_at = now;
        }
        let nodes = self.processes.iter().filter_map(|process| process.node.as_ref());
        let over = nodes.flat_map(|node| [node.frozen_until, node.cut_off_until]).filter(|until| *until <= now).max();
        self.watched.disturbed_at = self.watched.disturbed_at.max(over.unwrap_or_default());
        let within = fleet.pace().holds_for + fleet.pace().beats_every * BEATS_OF_A_TAKEOVER + STOP_WITHIN;
        let accounts: Vec<AccountId> = self.database.tenures.accounts().collect();
        for account in accounts {
            let is_held = awake.iter().any(|p| self.works_for(*p, account));
            let at = self.watched.worked_for_at.entry(account).or_default();
            if is_held {
                *at = now;
            }
            let idle = now - (*at).max(self.watched.disturbed_at);
            if idle > within {
                self.violated("G9", format!("nobody has worked for account {} for {idle:?}", account.0));
            }
        }
    }

    /// G9: writes for an account come from the node that claimed it last.
    pub fn check_owner(&mut self, key: impl Keyed, writer: Uuid) {
        let account = key.key().account;
        let owner = self.database.tenures.owner(account);
        if self.scenario.fleet.is_some() && owner != Some(writer) {
            self.violated("G9", format!("{writer} writes for account {}, which is {owner:?}'s", account.0));
        }
    }
}
