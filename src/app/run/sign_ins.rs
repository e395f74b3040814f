//! Which accounts the service works for: those that are signed in, as the database says. A statement that fails is tried
//! again with the next look, and ends nothing.

use super::{
    super::{CommandError, accounts, claim, sign_in},
    AccountWatcher, died,
};
use crate::{
    actors::supervisor::service::{Adopt, Release},
    clock,
    engine::schedule::Remembered,
    model::{AccountId, EntityType},
    store::{SignIn, StoreError},
};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use tracing::{error, info, warn};

impl AccountWatcher {
    /// Takes in who has signed in, or again, since the last look, and lets go who has signed out or was refused.
    pub(super) async fn look_for_sign_ins(&mut self) -> Result<(), CommandError> {
        let sign_ins = match self.store.sign_ins().await {
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
            self.let_go(account).await;
        }
        for sign_in in sign_ins {
            let (account_id, name) = (sign_in.account.id, accounts::name(&sign_in.account));
            match self.look_at(sign_in).await {
                Ok(Some(adopt)) => self.supervisor.send(adopt).await.map_err(|_| died())?,
                Ok(None) => {}
                // Somebody else keeps it current, or the file is gone.
                Err(error @ (StoreError::Held(_) | StoreError::Moved(_))) => return Err(error.into()),
                Err(error) => {
                    let why = format!("{name} cannot be taken into care: {error}; this is tried again");
                    if self.told.insert(account_id, why.clone()).as_ref() != Some(&why) {
                        warn!("{why}");
                    }
                }
            }
        }
        Ok(())
    }

    /// What the supervisor is to be told of an account.
    async fn look_at(&mut self, sign_in: SignIn) -> Result<Option<Adopt>, StoreError> {
        let (account_id, name) = (sign_in.account.id, accounts::name(&sign_in.account));
        let client_id = self.client.client_id().to_owned();
        let obstacle = sign_in::obstacle(&sign_in, &client_id, clock::now());
        let (Some(revision), None) = (sign_in.revision(), &obstacle) else {
            if let Some(why) = obstacle.filter(|why| self.told.insert(account_id, why.clone()).as_ref() != Some(why)) {
                // Whoever has signed out knows.
                if sign_in.revision().is_some() { error!("{why}") } else { info!("{why}") }
            }
            if self.adopted.contains_key(&account_id) {
                self.let_go(account_id).await;
            }
            return Ok(None);
        };
        self.warn_of_the_end(&sign_in);
        match self.adopted.get(&account_id) {
            Some(known) if *known == revision => return Ok(None),
            Some(_) => info!(account = name, "signed in again; going on"),
            None => {
                claim::take_and_hold(&self.store, account_id, &self.owner).await?;
                info!(account = name, "kept current from here on");
            }
        }
        let Some(tokens) = sign_in::tokens_of(&self.store, account_id, &client_id).await? else { return Ok(None) };
        let remembered = self.remembered(account_id, revision).await?;
        let paused = self.store.paused_by_hand(account_id).await?;
        self.told.remove(&account_id);
        self.adopted.insert(account_id, revision);
        Ok(Some(Adopt { account_id, name, tokens, remembered, paused }))
    }

    async fn let_go(&mut self, account: AccountId) {
        self.adopted.remove(&account);
        self.supervisor.do_send(Release(account));
        // Somebody else may want it; if the database does not answer, the claim runs out by itself.
        let _ = self.store.renew_claim(account, self.owner.id, Some(clock::now())).await;
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
            known.failed_at = known.failed_at.max(state.failed_at);
            known.is_complete |= state.completed_at.is_some();
        }
        Ok(remembered)
    }

    /// Shows other processes that this one lives. One that has been overtaken ends: two would undo each other's work.
    pub(super) async fn renew_claims(&mut self) -> Result<(), CommandError> {
        let was_failing = std::mem::take(&mut self.cannot_renew);
        for account in self.adopted.keys() {
            let until = clock::now() + claim::HOLDS_FOR;
            match self.store.renew_claim(*account, self.owner.id, Some(until)).await {
                Ok(()) => {}
                Err(error @ StoreError::Fenced { .. }) => return Err(error.into()),
                // Purged: the next look at the sign-ins lets go of it.
                Err(StoreError::UnknownAccount(_)) => {}
                Err(error) => {
                    if !was_failing && !self.cannot_renew && !self.is_blind {
                        warn!(%error, "the claim on the account cannot be renewed");
                    }
                    self.cannot_renew = true;
                }
            }
        }
        Ok(())
    }
}
