//! Which node holds which account: the transactions of `src/store/nodes.rs`. Its clock is the true one.

use super::*;
use segno::model::{Heartbeat, NodeLoad};
use std::time::Duration;

/// The accounts of a life with nodes.
#[derive(Debug, Default)]
pub struct Tenures {
    accounts: BTreeMap<AccountId, Tenure>,
    /// The accounts of each node that are not released, with their epochs.
    held: BTreeMap<Uuid, BTreeMap<AccountId, i64>>,
    /// Since when each is alive, and until when it holds its accounts.
    living: BTreeMap<Uuid, (Duration, Duration)>,
}

#[derive(Debug, Default)]
struct Tenure {
    owner: Option<Uuid>,
    epoch: i64,
    is_released: bool,
}

impl Tenures {
    pub fn of(accounts: impl Iterator<Item = AccountId>) -> Tenures {
        Tenures { accounts: accounts.map(|account| (account, Tenure::default())).collect(), ..Tenures::default() }
    }

    pub fn accounts(&self) -> impl Iterator<Item = AccountId> {
        self.accounts.keys().copied()
    }

    pub fn owner(&self, account: AccountId) -> Option<Uuid> {
        self.accounts.get(&account).and_then(|tenure| tenure.owner)
    }

    fn lives(&self, node: Uuid, now: Duration) -> bool {
        self.living.get(&node).is_some_and(|(_, until)| *until > now)
    }
}

impl Database {
    pub fn beat(&mut self, us: Uuid, holds_for: Duration, now: Duration) -> Heartbeat {
        self.tenures.living.entry(us).or_insert((now, now)).1 = now + holds_for;
        let tenures = &self.tenures;
        let load = |(id, (since, _)): (&Uuid, &(Duration, Duration))| NodeLoad {
            id: *id,
            started_at: World::birth() + *since,
            num_held: tenures.held.get(id).map_or(0, |held| held.len() as u32),
        };
        Heartbeat {
            nodes: tenures.living.iter().filter(|(_, (_, until))| *until > now).map(load).collect(),
            held: tenures.held.get(&us).cloned().unwrap_or_default(),
            unfit: Vec::new(),
            num_accounts: tenures.accounts.len() as u32,
        }
    }

    pub fn prolong(&mut self, us: Uuid, holds_for: Duration, now: Duration) -> Option<BTreeSet<Uuid>> {
        let tenures = &mut self.tenures;
        tenures.living.get_mut(&us).filter(|(_, until)| *until > now)?.1 = now + holds_for;
        Some(tenures.living.iter().filter(|(_, (_, until))| *until > now).map(|(id, _)| *id).collect())
    }

    /// Those of dead nodes first.
    pub fn claim_free(&mut self, us: Uuid, most: u32, now: Duration) -> Vec<(AccountId, i64)> {
        let tenures = &self.tenures;
        let is_nobodys = |tenure: &Tenure| tenure.owner.is_none() || tenure.is_released;
        let is_free =
            |tenure: &Tenure| is_nobodys(tenure) || tenure.owner.is_some_and(|owner| !tenures.lives(owner, now));
        let mut free: Vec<(bool, AccountId)> = tenures
            .accounts
            .iter()
            .filter(|(_, tenure)| is_free(tenure))
            .map(|(account, tenure)| (is_nobodys(tenure), *account))
            .collect();
        free.sort();
        let free: Vec<AccountId> = free.into_iter().map(|(_, account)| account).take(most as usize).collect();
        let mut claimed = Vec::new();
        for account in free {
            let Tenures { accounts, held, .. } = &mut self.tenures;
            let tenure = accounts.get_mut(&account).expect("it is there");
            if let Some(theirs) = tenure.owner.and_then(|owner| held.get_mut(&owner)) {
                theirs.remove(&account);
            }
            (tenure.owner, tenure.epoch, tenure.is_released) = (Some(us), tenure.epoch + 1, false);
            held.entry(us).or_default().insert(account, tenure.epoch);
            claimed.push((account, tenure.epoch));
            self.claim_of(account, us);
        }
        claimed
    }

    pub fn release(&mut self, accounts: &[AccountId], us: Uuid) {
        for account in accounts {
            if let Some(tenure) = self.tenures.accounts.get_mut(account).filter(|tenure| tenure.owner == Some(us)) {
                tenure.is_released = true;
                self.tenures.held.entry(us).or_default().remove(account);
            }
        }
    }

    pub fn leave(&mut self, us: Uuid) {
        let all: Vec<AccountId> = self.tenures.accounts().collect();
        self.release(&all, us);
        self.tenures.living.remove(&us);
    }
}
