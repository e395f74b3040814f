//! Nodes that share accounts, simulated: deaths, freezes, an unreachable database, and clocks that differ.

use super::*;
use chrono::DateTime;

const BEAT: Duration = Duration::from_secs(1);
const HOLD: Duration = Duration::from_secs(5);
const HANGS: Duration = Duration::from_secs(60);

/// One database for some nodes, each with the clock of its own machine: as long as an account's node counts as alive,
/// nobody claims it.
#[derive(Debug, Default)]
struct World {
    now: Duration,
    num_accounts: i64,
    owners: BTreeMap<AccountId, (Uuid, i64)>,
    living: BTreeMap<Uuid, (u32, Duration)>,
    nodes: Vec<Simulated>,
    num_moves: u32,
    busy: BTreeSet<AccountId>,
    /// Accounts that each heartbeat may look through.
    looks_through: u32,
    num_looks: u32,
}

#[derive(Debug)]
struct Simulated {
    machine: Nodes,
    id: Uuid,
    /// What its clock shows when the world begins.
    epoch: Instant,
    is_frozen: bool,
    reaches_database: bool,
    /// Only its heartbeat works.
    hangs: bool,
}

fn pace() -> Pace {
    Pace { beats_every: BEAT, holds_for: HOLD, hangs_after: Some(HANGS), looks_through: 1_000 }
}

impl World {
    fn new(num_accounts: i64, num_nodes: u32) -> World {
        World::looking_through(1_000, num_accounts, num_nodes)
    }

    fn looking_through(looks_through: u32, num_accounts: i64, num_nodes: u32) -> World {
        let mut world = World { num_accounts, looks_through, ..World::default() };
        (0..num_nodes).for_each(|_| world.start());
        world
    }

    fn start(&mut self) {
        let number = self.nodes.len() as u128 + 1;
        let id = Uuid::from_u128(number * 77 % 101);
        // The clocks of machines are unrelated.
        let epoch = Instant::now() + Duration::from_secs(number as u64 * 600);
        let pace = Pace { looks_through: self.looks_through, ..pace() };
        let machine = Nodes::new(id, pace, epoch + self.now);
        self.nodes.push(Simulated { machine, id, epoch, is_frozen: false, reaches_database: true, hangs: false });
    }

    fn held_by(&self, at: usize) -> usize {
        self.nodes[at].machine.held().len()
    }

    fn is_free(&self, account: AccountId) -> bool {
        let owner = self.owners.get(&account).map(|(owner, _)| owner);
        owner.and_then(|owner| self.living.get(owner)).is_none_or(|(_, until)| *until <= self.now)
    }

    fn heartbeat(&self, us: Uuid) -> Heartbeat {
        let num_held = |id: &Uuid| self.owners.values().filter(|(owner, _)| owner == id).count() as u32;
        let living = self.living.iter().filter(|(_, (_, until))| *until > self.now);
        let load = |(id, (rank, _)): (&Uuid, &(u32, Duration))| NodeLoad {
            id: *id,
            started_at: DateTime::from_timestamp(1_790_000_000 + i64::from(*rank), 0).unwrap(),
            num_held: num_held(id),
        };
        let ours = self.owners.iter().filter(|(_, (owner, _))| *owner == us);
        Heartbeat {
            nodes: living.map(load).collect(),
            held: ours.map(|(id, (_, epoch))| (*id, *epoch)).collect(),
            unfit: Vec::new(),
            num_accounts: self.num_accounts as u32,
        }
    }

    /// Lets a quarter of a second pass.
    fn step(&mut self) {
        self.now += Duration::from_millis(250);
        for at in 0..self.nodes.len() {
            if !self.nodes[at].is_frozen {
                let Simulated { epoch, hangs, .. } = self.nodes[at];
                if !hangs {
                    self.nodes[at].machine.handle_alive(epoch + self.now);
                }
                while self.carry_out(at) {}
            }
        }
    }

    fn carry_out(&mut self, at: usize) -> bool {
        let Simulated { id, epoch, reaches_database, .. } = self.nodes[at];
        let now = epoch + self.now;
        match self.nodes[at].machine.poll(now) {
            Step::Wait(until) => {
                assert!(until > now, "it waits for something that is there");
                return false;
            }
            Step::Beat | Step::Prolong | Step::Claim(_) | Step::HandOver(_) if !reaches_database => {
                self.nodes[at].machine.handle_unanswered();
            }
            Step::Beat => {
                let rank = self.living.get(&id).map_or(self.living.len() as u32, |(rank, _)| *rank);
                self.living.insert(id, (rank, self.now + HOLD));
                let (found, busy) = (self.heartbeat(id), self.busy.clone());
                self.num_looks += 1;
                self.nodes[at].machine.handle_beat(&found, now, now, |account| busy.contains(&account));
            }
            Step::Prolong => {
                let (there, until) = (self.now, self.now + HOLD);
                let held = self.living.get_mut(&id).filter(|(_, until)| *until > there);
                let living = held
                    .map(|held| held.1 = until)
                    .map(|()| self.living.iter().filter(|(_, (_, until))| *until > there).map(|(id, _)| *id).collect());
                self.nodes[at].machine.handle_prolonged(living.as_ref(), now, now);
            }
            Step::Claim(most) => {
                let all = (1..=self.num_accounts).map(AccountId);
                let free: Vec<AccountId> = all.filter(|id| self.is_free(*id)).take(most as usize).collect();
                let claim = |account: AccountId| {
                    let epoch = self.owners.get(&account).map_or(1, |(_, epoch)| epoch + 1);
                    self.owners.insert(account, (id, epoch));
                    (account, epoch)
                };
                let claimed: Vec<(AccountId, i64)> = free.into_iter().map(claim).collect();
                self.num_moves += claimed.len() as u32;
                self.nodes[at].machine.handle_claimed(&claimed, most);
            }
            Step::HandOver(accounts) => {
                for account in accounts {
                    if let Some((owner, _)) = self.owners.get_mut(&account).filter(|(owner, _)| *owner == id) {
                        *owner = Uuid::nil();
                    }
                }
            }
        }
        true
    }

    fn run(&mut self, seconds: u32) {
        (0..seconds * 4).for_each(|_| self.step());
    }

    fn assert_nobody_shares(&self, seed: u64) {
        let mut held = BTreeSet::new();
        for node in self.nodes.iter().filter(|node| !node.is_frozen) {
            for account in node.machine.held().keys() {
                assert!(held.insert(*account), "seed {seed}, {:?}: {account:?} is held twice", self.now);
            }
        }
    }

    /// Each account is held by one node.
    fn assert_all_held_once(&self) {
        let mut held: Vec<AccountId> = self.nodes.iter().flat_map(|node| node.machine.held().keys()).copied().collect();
        held.sort();
        let all: Vec<AccountId> = (1..=self.num_accounts).map(AccountId).collect();
        assert_eq!(held, all);
    }
}

#[test]
fn a_node_alone_takes_everything_and_those_that_come_get_their_share() {
    let mut world = World::new(130, 1);
    world.run(2);
    assert_eq!(world.held_by(0), 130);
    (0..3).for_each(|_| world.start());
    world.run(6);
    world.assert_all_held_once();
    let held: Vec<usize> = (0..4).map(|at| world.held_by(at)).collect();
    assert_eq!(held, [33, 33, 32, 32]);
    let moves = world.num_moves;
    world.run(600);
    assert_eq!(world.num_moves, moves, "nobody flaps");
}

#[test]
fn many_accounts_are_looked_at_seldom_and_at_once_when_a_node_comes_or_goes() {
    // One look in twenty heartbeats, and the one after them.
    let mut world = World::looking_through(3, 60, 2);
    world.run(10);
    world.num_looks = 0;
    world.run(210);
    assert!((18..=22).contains(&world.num_looks), "{} looks of two nodes", world.num_looks);
    world.assert_all_held_once();
    // The others hand over at once, and it takes what they gave with its next look.
    world.start();
    world.run(25);
    assert_eq!((0..3).map(|at| world.held_by(at)).collect::<Vec<_>>(), [20, 20, 20]);
    world.nodes[2].is_frozen = true;
    world.run(8);
    assert_eq!((0..2).map(|at| world.held_by(at)).collect::<Vec<_>>(), [30, 30], "its hold, and two beats");
}

#[test]
fn a_node_that_the_database_had_given_up_looks_at_everything_before_it_goes_on() {
    let now = Instant::now();
    let mut node = Nodes::new(Uuid::from_u128(1), Pace { looks_through: 1, ..pace() }, now);
    assert_eq!(node.poll(now), Step::Beat);
    let load = NodeLoad { id: Uuid::from_u128(1), started_at: DateTime::UNIX_EPOCH, num_held: 1 };
    let held = [(AccountId(1), 1)].into();
    let found = Heartbeat { nodes: vec![load], held, unfit: Vec::new(), num_accounts: 1 };
    node.handle_beat(&found, now, now, |_| false);
    assert_eq!((node.poll(now + BEAT), node.held().len()), (Step::Prolong, 1));
    node.handle_prolonged(None, now + BEAT, now + BEAT);
    assert_eq!((node.held().len(), node.poll(now + BEAT)), (0, Step::Beat));
    // What went unanswered is looked at again, too.
    node.handle_beat(&found, now + BEAT, now + BEAT, |_| false);
    node.handle_unanswered();
    assert_eq!(node.poll(now + 2 * BEAT), Step::Beat);
}

#[test]
fn what_runs_is_handed_over_last_and_within_a_minute() {
    let mut world = World::new(24, 1);
    world.run(2);
    world.busy = (1..=20).map(AccountId).collect();
    world.start();
    world.run(4);
    assert_eq!((world.held_by(0), world.held_by(1)), (20, 4), "what rests moves at once");
    world.run(20);
    assert_eq!((world.held_by(0), world.held_by(1)), (12, 12));
    world.assert_all_held_once();
}

#[test]
fn a_few_accounts_are_shared_out_too() {
    let mut world = World::new(2, 1);
    world.run(2);
    world.start();
    world.run(4);
    assert_eq!((world.held_by(0), world.held_by(1)), (1, 1));
    world.start();
    world.run(60);
    assert_eq!((0..3).map(|at| world.held_by(at)).collect::<Vec<_>>(), [1, 1, 0]);
}

#[test]
fn the_accounts_of_a_dead_node_run_elsewhere_within_its_hold_and_two_beats() {
    let mut world = World::new(90, 3);
    world.run(30);
    world.nodes[1].is_frozen = true;
    world.run(7);
    assert_eq!((world.held_by(0), world.held_by(2)), (45, 45));
}

#[test]
fn a_frozen_node_drops_what_it_lost_and_claims_its_share_anew() {
    let mut world = World::new(30, 3);
    world.run(30);
    world.nodes[0].is_frozen = true;
    world.run(20);
    assert_eq!(world.held_by(0), 10, "it believes so");
    world.nodes[0].is_frozen = false;
    world.step();
    assert_eq!(world.held_by(0), 0);
    world.run(6);
    world.assert_all_held_once();
    assert_eq!((0..3).map(|at| world.held_by(at)).collect::<Vec<_>>(), [10, 10, 10]);
}

#[test]
fn a_node_without_the_database_holds_nothing_and_has_its_own_back_if_nobody_took_it() {
    let mut world = World::new(30, 2);
    world.run(20);
    let before = world.owners.clone();
    world.nodes.iter_mut().for_each(|node| node.reaches_database = false);
    world.run(4);
    assert_eq!((world.held_by(0), world.held_by(1)), (15, 15), "a short silence costs nothing");
    world.run(3);
    assert_eq!((world.held_by(0), world.held_by(1)), (0, 0));
    world.nodes.iter_mut().for_each(|node| node.reaches_database = true);
    world.run(3);
    world.assert_all_held_once();
    let moved = before.iter().filter(|(id, owner)| world.owners[id].0 != owner.0).count();
    assert!(moved <= 15, "{moved}");
}

#[test]
fn a_node_that_hangs_is_followed_and_goes_on_once_it_does_something() {
    let mut world = World::new(30, 2);
    world.run(20);
    world.nodes[0].hangs = true;
    world.run(55);
    assert_eq!((world.held_by(0), world.held_by(1)), (15, 15), "it may be busy");
    world.run(20);
    assert_eq!((world.held_by(0), world.held_by(1)), (0, 30));
    world.nodes[0].hangs = false;
    world.run(6);
    world.assert_all_held_once();
    assert_eq!(world.held_by(0), 15);
}

#[test]
fn a_node_that_stops_claims_nothing_more() {
    let mut world = World::new(10, 2);
    world.run(20);
    world.nodes[0].machine.handle_stop();
    world.num_accounts = 40;
    world.run(10);
    assert_eq!((world.held_by(0), world.held_by(1)), (5, 20));
}

#[test]
fn what_cannot_be_worked_for_is_handed_over_and_not_taken_up_again() {
    let now = Instant::now();
    let us = Uuid::from_u128(1);
    let mut node = Nodes::new(us, pace(), now);
    assert_eq!(node.poll(now), Step::Beat);
    let load = NodeLoad { id: us, started_at: DateTime::from_timestamp(0, 0).unwrap(), num_held: 2 };
    let found = Heartbeat {
        nodes: vec![load],
        held: BTreeMap::from([(AccountId(1), 4)]),
        unfit: vec![AccountId(2)],
        num_accounts: 1,
    };
    node.handle_beat(&found, now, now, |_| false);
    assert_eq!(node.held().keys().copied().collect::<Vec<_>>(), [AccountId(1)]);
    assert_eq!(node.poll(now), Step::HandOver(vec![AccountId(2)]));
    assert_eq!(node.poll(now), Step::Wait(now + BEAT));
}

/// Deaths, freezes and cuts in any order, of nodes that come and go. A node that is awake knows what it lost: no two of
/// them ever work for one account. Once the faults end, everything is shared out.
#[test]
fn whatever_happens_no_two_nodes_that_are_awake_work_for_one_account() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let looks_through = [1_000, 60, 20, 8][random.usize(..4)];
        let mut world = World::looking_through(looks_through, random.i64(1..60), random.u32(1..4));
        for _ in 0..random.u32(20..200) {
            let at = random.usize(..world.nodes.len());
            match random.u8(..26) {
                24 | 25 => world.nodes[at].hangs ^= true,
                0 if world.nodes.len() < 8 => world.start(),
                1 | 2 => world.nodes[at].is_frozen ^= true,
                3 | 4 => world.nodes[at].reaches_database ^= true,
                5 => world.busy = (1..=random.i64(0..60)).map(AccountId).collect(),
                6 => world.num_accounts = random.i64(1..60),
                _ => (0..random.u32(1..12)).for_each(|_| world.step()),
            }
            world.step();
            world.assert_nobody_shares(seed);
        }
        for node in &mut world.nodes {
            (node.is_frozen, node.reaches_database, node.hangs) = (false, true, false);
        }
        world.owners.retain(|account, _| account.0 <= world.num_accounts);
        world.run(90);
        world.assert_all_held_once();
        let (num_nodes, num_accounts) = (world.nodes.len(), world.num_accounts as usize);
        let share = num_accounts.div_ceil(num_nodes);
        let most = (0..num_nodes).map(|at| world.held_by(at)).max().unwrap_or_default();
        assert!(most <= share + share / MARGIN as usize * num_nodes, "seed {seed}: {most} of {num_accounts}");
    }
}
