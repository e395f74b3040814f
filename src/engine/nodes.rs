//! Which accounts a node works for: all services on one database divide the accounts among themselves.
//!
//! A node sends a heartbeat at intervals; for some time after each, no other node takes an account from it. What it
//! finds there determines its share: all nodes compute the same shares, since each orders the living nodes by when they
//! started.
//!
//! | what it finds | what it does |
//! |---|---|
//! | it has less than its share | claims what nobody holds |
//! | it has more, and a node has much less than its share | hands over the rest: idle accounts at once, running ones after a while |
//! | an account is no longer its own, or has another epoch than it knew | drops it, and adopts it again |
//! | so many accounts that scanning them takes long | scans them less often, but at once when a node comes or goes; in between it only sends heartbeats |
//! | the database has not answered for as long as its hold lasts | holds nothing until it answers again |
//! | the service beside it has hung for a while | sends no more heartbeats, so that others take its accounts |
//! | it is stopping | claims nothing more |
//!
//! Safety is not decided here: whatever a node believes it holds, the database commits nothing for it once another has
//! claimed the account.

use crate::model::{AccountId, Heartbeat, NodeLoad};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Accounts claimed in one transaction, so that it stays short.
pub const CLAIMED_AT_ONCE: u32 = 50;

/// How long a run may go on in an account that is to be handed over. A run that is cut off costs the requests in
/// flight; a new node has its share within a minute.
const RUNS_ON_FOR: Duration = Duration::from_secs(10);

/// A node that lacks no more than this fraction of its share is handed nothing: accounts come and go, and each handover
/// costs something.
const MARGIN: u32 = 8;

/// How a node keeps its accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// From one heartbeat to the next.
    pub beats_every: Duration,
    /// How long a heartbeat holds the accounts.
    pub holds_for: Duration,
    /// How long the service may be silent before it counts as hung; `None` if no other node could take over.
    pub hangs_after: Option<Duration>,
    /// How many accounts each heartbeat may scan. With n times as many, only every nth heartbeat scans them.
    pub looks_through: u32,
}

impl Pace {
    /// Several nodes: the accounts of a dead one continue elsewhere when its hold is over.
    pub const SHARED: Pace = Pace {
        beats_every: Duration::from_secs(1),
        holds_for: Duration::from_secs(5),
        hangs_after: Some(Duration::from_secs(90)),
        looks_through: 50_000,
    };

    /// One node, on a file that no other process has: a machine that sleeps loses nothing, and the disk can rest.
    pub const ALONE: Pace = Pace {
        beats_every: Duration::from_secs(20),
        holds_for: Duration::from_secs(60),
        hangs_after: None,
        looks_through: u32::MAX,
    };
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Say that this node lives, and find out who else does, who holds how much, and what is held here.
    Beat,
    /// Renew this node's heartbeat, and find out which others live: the rest is what it was a moment ago.
    Prolong,
    /// Claim at most this many accounts that nobody holds.
    Claim(u32),
    HandOver(Vec<AccountId>),
    /// Nothing before this moment.
    Wait(Instant),
}

#[derive(Debug)]
pub struct Nodes {
    us: Uuid,
    pace: Pace,
    beat_at: Instant,
    /// Heartbeats until one scans everything again.
    looks_in: u32,
    /// The nodes that were alive at the last scan.
    living: BTreeSet<Uuid>,
    /// When the service was last seen to do something.
    alive_at: Instant,
    /// `None` while nothing is held.
    holds_until: Option<Instant>,
    held: BTreeMap<AccountId, i64>,
    /// Dropped, and as far as is known not handed over in the database.
    leaving: BTreeSet<AccountId>,
    to_claim: u32,
    to_hand_over: Vec<AccountId>,
    /// Since when this node has too much, and another too little.
    uneven_since: Option<Instant>,
    is_first: bool,
    is_stopping: bool,
}

impl Nodes {
    pub fn new(us: Uuid, pace: Pace, now: Instant) -> Nodes {
        Nodes {
            us,
            pace,
            beat_at: now,
            looks_in: 0,
            living: BTreeSet::new(),
            alive_at: now,
            holds_until: None,
            held: BTreeMap::new(),
            leaving: BTreeSet::new(),
            to_claim: 0,
            to_hand_over: Vec::new(),
            uneven_since: None,
            is_first: false,
            is_stopping: false,
        }
    }

    /// The accounts that this node works for, each with its epoch.
    pub fn held(&self) -> &BTreeMap<AccountId, i64> {
        &self.held
    }

    /// Whether this node does the work that one node does for all: the longest-running one. For a moment two may
    /// believe so.
    pub fn is_first(&self) -> bool {
        self.is_first
    }

    /// Hands out what is to be done next; what is held may have changed by then.
    pub fn poll(&mut self, now: Instant) -> Step {
        if self.holds_until.is_some_and(|until| until <= now) {
            self.let_everything_go();
        }
        if self.beat_at <= now {
            self.beat_at = now + self.pace.beats_every;
            if !self.hangs(now) {
                if self.holds_until.is_none() || self.looks_in == 0 {
                    return Step::Beat;
                }
                self.looks_in -= 1;
                return Step::Prolong;
            }
        }
        if !self.to_hand_over.is_empty() {
            return Step::HandOver(std::mem::take(&mut self.to_hand_over));
        }
        if self.to_claim > 0 {
            return Step::Claim(self.to_claim.min(CLAIMED_AT_ONCE));
        }
        Step::Wait(self.holds_until.map_or(self.beat_at, |until| until.min(self.beat_at)))
    }

    /// The service was seen to do something then.
    pub fn handle_alive(&mut self, at: Instant) {
        self.alive_at = self.alive_at.max(at);
    }

    fn hangs(&self, now: Instant) -> bool {
        self.pace.hangs_after.is_some_and(|after| now.saturating_duration_since(self.alive_at) >= after)
    }

    /// Something has to be found out before the next heartbeat is due.
    pub fn handle_nudged(&mut self, now: Instant) {
        (self.beat_at, self.looks_in) = (now, 0);
    }

    /// The heartbeat that was sent at `sent_at` is in the database, with what it found. `is_busy`: a run of the account
    /// is under way.
    pub fn handle_beat(
        &mut self,
        found: &Heartbeat,
        sent_at: Instant,
        now: Instant,
        is_busy: impl Fn(AccountId) -> bool,
    ) {
        // By our clock it ends no later than by the database's, which counts from when it was written.
        self.holds_until = Some(sent_at + self.pace.holds_for);
        self.looks_in = found.num_accounts / self.pace.looks_through.max(1);
        self.living = found.nodes.iter().map(|node| node.id).collect();
        self.leaving.extend(&found.unfit);
        let is_there = |account: &AccountId| found.held.contains_key(account) || found.unfit.contains(account);
        self.leaving.retain(is_there);
        let leaving = &self.leaving;
        self.held =
            found.held.iter().map(|(id, epoch)| (*id, *epoch)).filter(|(id, _)| !leaving.contains(id)).collect();
        self.to_hand_over = leaving.iter().copied().collect();
        self.share_out(found, now, is_busy);
    }

    /// The heartbeat sent at `sent_at` has renewed the hold, and `living` are the nodes that are alive. `None`: the hold had
    /// expired before, so others may have claimed its accounts.
    pub fn handle_prolonged(&mut self, living: Option<&BTreeSet<Uuid>>, sent_at: Instant, now: Instant) {
        match living {
            None => self.let_everything_go(),
            Some(_) => self.holds_until = Some(sent_at + self.pace.holds_for),
        }
        if living != Some(&self.living) {
            self.handle_nudged(now);
        }
    }

    fn share_out(&mut self, found: &Heartbeat, now: Instant, is_busy: impl Fn(AccountId) -> bool) {
        let num_held = u32::try_from(self.held.len()).unwrap_or(u32::MAX);
        let shares = shares(found);
        self.is_first = shares.first().is_some_and(|(node, _)| node.id == self.us);
        let Some(share) = shares.iter().find(|(node, _)| node.id == self.us).map(|(_, share)| *share) else { return };
        self.to_claim = if self.is_stopping { 0 } else { share.saturating_sub(num_held) };
        let others = shares.iter().filter(|(node, _)| node.id != self.us);
        let lacks = others.map(|(node, share)| (share.saturating_sub(node.num_held), *share));
        let is_uneven = lacks.clone().any(|(lack, share)| lack > share / MARGIN);
        // They get what nobody holds first.
        let all_held: u32 = shares.iter().map(|(node, _)| node.num_held).sum();
        let missing =
            lacks.map(|(lack, _)| lack).sum::<u32>().saturating_sub(found.num_accounts.saturating_sub(all_held));
        let num_over = num_held.saturating_sub(share).min(missing) as usize;
        if !is_uneven || num_over == 0 || self.is_stopping {
            self.uneven_since = None;
            return;
        }
        let has_waited = now.duration_since(*self.uneven_since.get_or_insert(now)) >= RUNS_ON_FOR;
        let (busy, resting): (Vec<AccountId>, Vec<AccountId>) = self.held.keys().rev().partition(|id| is_busy(**id));
        let busy = busy.into_iter().filter(|_| has_waited);
        for account in resting.into_iter().chain(busy).take(num_over) {
            self.held.remove(&account);
            self.leaving.insert(account);
            self.to_hand_over.push(account);
        }
    }

    /// These were claimed of `asked_for`. If they are fewer, there are no more.
    pub fn handle_claimed(&mut self, claimed: &[(AccountId, i64)], asked_for: u32) {
        let num_claimed = u32::try_from(claimed.len()).unwrap_or(u32::MAX);
        self.to_claim = if num_claimed < asked_for { 0 } else { self.to_claim.saturating_sub(num_claimed) };
        if self.holds_until.is_some() {
            self.held.extend(claimed.iter().copied());
        }
    }

    /// The database did not answer, so what it did is unknown. The next heartbeat tells.
    pub fn handle_unanswered(&mut self) {
        self.to_claim = 0;
        self.looks_in = 0;
    }

    /// The process is to end: runs end, and what they leave is for others.
    pub fn handle_stop(&mut self) {
        self.is_stopping = true;
        self.to_claim = 0;
    }

    fn let_everything_go(&mut self) {
        self.holds_until = None;
        self.uneven_since = None;
        self.is_first = false;
        self.held.clear();
        self.to_hand_over.clear();
        self.to_claim = 0;
    }
}

/// The share of each node: as equal as whole accounts allow, the longest-running nodes having one more.
fn shares(found: &Heartbeat) -> Vec<(NodeLoad, u32)> {
    let mut nodes = found.nodes.clone();
    nodes.sort_by_key(|node| (node.started_at, node.id));
    let num_nodes = u32::try_from(nodes.len()).unwrap_or(u32::MAX).max(1);
    let (each, rest) = (found.num_accounts / num_nodes, found.num_accounts % num_nodes);
    (0..).zip(nodes).map(|(rank, node)| (node, each + u32::from(rank < rest))).collect()
}

#[cfg(test)]
mod tests;
