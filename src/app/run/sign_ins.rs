//! Which accounts the service works for: those that are signed in, according to the database. A statement that fails is
//! tried again with the next look, and ends nothing.

use super::{
    super::{CommandError, accounts, sign_in},
    AccountWatcher, Adopted, died,
};
use crate::{
    actors::supervisor::service::{Adopt, Release},
    clock,
    engine::schedule::Remembered,
    model::{AccountId, EntityType},
    store::{SignIn, StoreError},
};
use chrono::{DateTime, Utc};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tracing::{error, info, warn};

/// A look even if nothing has changed, since the end of a sign-in comes nearer all the same.
const LOOK_AT_ALL_EVERY: Duration = Duration::from_secs(60);

impl AccountWatcher {
    /// Whether to query the database although the keeper has seen no change. Alone, the keeper seldom looks.
    pub(super) fn is_to_look(&self) -> bool {
        !self.store.is_shared() || self.settled_at.is_none_or(|at| clock::instant() - at >= LOOK_AT_ALL_EVERY)
    }

    /// Adopts accounts that have signed in, or again, since the last look, and releases those that have signed out,
    /// were refused, or were taken by another node.
    pub(super) async fn look_for_sign_ins(&mut self) -> Result<(), CommandError> {
        self.settled_at = None;
        let held = self.held();
        // Accounts that other nodes keep current are not queried.
        let concerned: Option<BTreeSet<AccountId>> =
            self.store.is_shared().then(|| held.keys().chain(self.adopted.keys()).copied().collect());
        let lost = |(account, adopted): (&AccountId, &Adopted)| {
            (held.get(account) != Some(&adopted.tenure)).then_some(*account)
        };
        for account in self.adopted.iter().filter_map(lost).collect::<Vec<_>>() {
            self.let_go(account);
        }
        let sign_ins = match &concerned {
            None => self.store.sign_ins().await,
            Some(accounts) => self.store.sign_ins_of(accounts).await,
        };
        let sign_ins = match sign_ins {
            Ok(sign_ins) => sign_ins,
            Err(error @ StoreError::Moved(_)) => return Err(error.into()),
            Err(error) => {
                if !std::mem::replace(&mut self.is_blind, true) {
                    warn!(%error, "who is signed in cannot be read; trying again");
                }
                return Ok(());
            }
        };
        if std::mem::take(&mut self.is_blind) {
            info!("who is signed in can be read again");
        }
        let known: BTreeSet<AccountId> = sign_ins.iter().map(|sign_in| sign_in.account.id).collect();
        let purged: Vec<AccountId> = self.adopted.keys().filter(|account| !known.contains(account)).copied().collect();
        for account in purged {
            info!(account = account.0, "gone from the database; left alone from here on");
            self.let_go(account);
        }
        for sign_in in sign_ins {
            let (account_id, name) = (sign_in.account.id, accounts::name(&sign_in.account));
            match self.look_at(sign_in, held.get(&account_id).copied()).await {
                Ok(Some(adopt)) => self.supervisor.send(adopt).await.map_err(|_| died())?,
                Ok(None) => {}
                // The file is gone.
                Err(error @ StoreError::Moved(_)) => return Err(error.into()),
                Err(error) => {
                    let why = format!("{name} cannot be taken into care: {error}; this is tried again");
                    if self.told.insert(account_id, why.clone()).as_ref() != Some(&why) {
                        warn!("{why}");
                    }
                }
            }
        }
        // Accounts that could not be adopted, or are to be given back, are looked at again soon.
        let in_care = self.adopted.iter().map(|(account, Adopted { tenure, .. })| (*account, *tenure));
        if in_care.eq(self.held()) {
            self.settled_at = Some(clock::instant());
        }
        Ok(())
    }

    /// The message for the supervisor about an account that this node holds in that tenure.
    async fn look_at(&mut self, sign_in: SignIn, held: Option<u64>) -> Result<Option<Adopt>, StoreError> {
        let (account_id, name) = (sign_in.account.id, accounts::name(&sign_in.account));
        let client_id = self.client.client_id().to_owned();
        let obstacle = sign_in::obstacle(&sign_in, &client_id, clock::now());
        let (Some(revision), None) = (sign_in.revision(), &obstacle) else {
            if let Some(why) = obstacle.filter(|why| self.told.insert(account_id, why.clone()).as_ref() != Some(why)) {
                // A person who has signed out knows it.
                if sign_in.revision().is_some() { error!("{why}") } else { info!("{why}") }
            }
            if self.adopted.contains_key(&account_id) {
                self.let_go(account_id);
                // Another node may want it.
                self.nudge();
            }
            return Ok(None);
        };
        self.warn_of_the_end(&sign_in);
        let Some(tenure) = held else {
            // Alone, the account still has to be claimed.
            if !self.store.is_shared() {
                self.nudge();
            }
            return Ok(None);
        };
        let adopted = Adopted { revision, tenure };
        let is_new = match self.adopted.get(&account_id) {
            Some(known) if *known == adopted => return Ok(None),
            Some(_) => false,
            None => true,
        };
        let Some(tokens) = sign_in::tokens_of(&self.store, account_id, &client_id).await? else { return Ok(None) };
        let remembered = self.remembered(account_id, revision).await?;
        let paused = self.store.paused_by_hand(account_id).await?;
        if self.held().get(&account_id) != Some(&tenure) {
            // Lost while the database was queried.
            return Ok(None);
        }
        if is_new {
            info!(account = name, "kept current from here on");
        } else {
            info!(account = name, "signed in again; continuing");
        }
        self.told.remove(&account_id);
        self.adopted.insert(account_id, adopted);
        Ok(Some(Adopt { account_id, name, tokens, remembered, paused }))
    }

    fn let_go(&mut self, account: AccountId) {
        self.adopted.remove(&account);
        self.supervisor.do_send(Release(account));
    }

    /// Once a day, for as long as it is due.
    fn warn_of_the_end(&mut self, sign_in: &SignIn) {
        let today = clock::now().date_naive();
        if let Some(warning) = sign_in::warning(sign_in, clock::now())
            && self.warned_on.insert(sign_in.account.id, today) != Some(today)
        {
            warn!("{warning}");
        }
    }

    /// What the database knows of the runs of an account.
    async fn remembered(
        &self,
        account: AccountId,
        signed_in_at: DateTime<Utc>,
    ) -> Result<BTreeMap<EntityType, Remembered>, StoreError> {
        let mut remembered: BTreeMap<EntityType, Remembered> = BTreeMap::new();
        for state in self.store.list(account).await? {
            let known = remembered.entry(state.key.entity).or_default();
            known.signed_in_at = Some(signed_in_at);
            known.next_run_at = known.next_run_at.max(state.next_run_at);
            // The row of the later phase comes last.
            known.last_updated_at = state.last_updated_at.or(known.last_updated_at);
            known.failed_at = known.failed_at.max(state.failed_at);
            known.is_complete |= state.completed_at.is_some();
        }
        Ok(remembered)
    }
}
