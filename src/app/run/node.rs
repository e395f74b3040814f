//! This service as a node among those that share the accounts of its database: [`crate::engine::nodes`] decides, this
//! carries it out on the database and publishes what is held.
//!
//! On PostgreSQL it has a thread and connections of its own: whatever the sync waits for, a living node sends its
//! heartbeats.

use super::{
    super::{CommandError, claim, sync::CLOSE_WITHIN},
    AccountWatcher, LOOK_FOR_SIGN_INS_EVERY, died,
};
use crate::{
    actors::{
        EntityState, Progress, Supervisor,
        supervisor::{
            notices,
            service::Release,
            steering::{GivenAt, SteerAccount, SteerError, Steered},
        },
    },
    clock,
    engine::nodes::{Nodes, Pace, Step},
    faults::hastened,
    model::{AccountId, GivenOrder, Node, SyncKey},
    store::{Beat, Store, StoreError},
};
use actix::Addr;
use actix_rt::Arbiter;
use chrono::{DateTime, Utc};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Notify, oneshot, watch};
use tracing::{debug, info, warn};

/// A database that takes longer is asked again with the next heartbeat.
const ANSWER_WITHIN: Duration = Duration::from_millis(2_500);

/// What is known of this node's hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Holding {
    /// Each account with the number of its tenure: an account that was lost and claimed again has a new one.
    pub held: BTreeMap<AccountId, u64>,
    /// How often a new sign-in to a held account was seen.
    pub num_sign_ins: u64,
    /// Orders that were given at other nodes and wait to be carried out here.
    pub orders: Vec<GivenOrder>,
    /// Whether this node notifies the webhooks.
    pub is_first: bool,
    /// Another service has taken the database, and this one must end.
    pub overtaken_by: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Serving,
    /// Runs end; nothing more is claimed.
    Stopping,
    Leaving,
}

pub(super) struct NodeKeeper {
    holding: watch::Receiver<Holding>,
    life: watch::Sender<Life>,
    /// When the service last showed activity.
    alive_at: watch::Sender<Instant>,
    nudge: Arc<Notify>,
    has_left: oneshot::Receiver<()>,
    thread: Option<Arbiter>,
}

impl NodeKeeper {
    async fn start(watcher: &AccountWatcher) -> Result<NodeKeeper, StoreError> {
        let (store, is_shared) = (&watcher.store, watcher.store.is_shared());
        let beats_every = hastened(Pace::ALONE.beats_every).max(LOOK_FOR_SIGN_INS_EVERY);
        let pace = if is_shared { Pace::SHARED } else { Pace { beats_every, ..Pace::ALONE } };
        let node = Node {
            owner: watcher.owner.clone(),
            client_id: watcher.client.client_id().to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            holds_for: pace.holds_for,
        };
        if !is_shared {
            claim::join_alone(store, &node).await?;
        }
        let store = store.open_beside(&watcher.url, &format!("{}, node", node.owner.label));
        let (sender, holding) = watch::channel(Holding::default());
        let (life, seen_life) = watch::channel(Life::Serving);
        let (alive_at, seen_alive_at) = watch::channel(clock::steady());
        let (left, has_left) = oneshot::channel();
        let nudge = Arc::new(Notify::new());
        let keeping = Keeping {
            machine: Nodes::new(node.owner.id, pace, clock::steady()),
            store,
            node,
            supervisor: watcher.supervisor.clone(),
            progress: watcher.progress.clone(),
            holding: sender,
            known: BTreeMap::new(),
            signed_in_at: BTreeMap::new(),
            num_tenures: 0,
            life: seen_life,
            alive_at: seen_alive_at,
            nudge: nudge.clone(),
            is_away: false,
        };
        let keep = async move {
            keeping.keep().await;
            let _ = left.send(());
        };
        let thread = is_shared.then(Arbiter::new);
        match &thread {
            Some(thread) => _ = thread.spawn(keep),
            None => _ = actix_rt::spawn(keep),
        }
        Ok(NodeKeeper { holding, life, alive_at, nudge, has_left, thread })
    }

    /// Runs end, and nothing more is claimed.
    pub(super) fn stop(&self) {
        self.life.send_replace(Life::Stopping);
    }

    /// Gives everything back, so that its successors need not wait.
    pub(super) async fn leave(self) {
        self.life.send_replace(Life::Leaving);
        let _ = tokio::time::timeout(CLOSE_WITHIN, self.has_left).await;
        if let Some(thread) = self.thread {
            thread.stop();
        }
    }
}

impl AccountWatcher {
    pub(super) async fn join(&mut self) -> Result<(), CommandError> {
        self.keeper = Some(NodeKeeper::start(self).await?);
        // What is found at once is adopted at once.
        let _ = tokio::time::timeout(ANSWER_WITHIN, self.holding().wait_for(|holding| !holding.held.is_empty())).await;
        Ok(())
    }

    pub(super) fn holding(&self) -> watch::Receiver<Holding> {
        match &self.keeper {
            Some(keeper) => keeper.holding.clone(),
            None => watch::channel(Holding::default()).1,
        }
    }

    /// The accounts that this node holds, each with the number of its tenure.
    pub(super) fn held(&self) -> BTreeMap<AccountId, u64> {
        self.keeper.as_ref().map(|keeper| keeper.holding.borrow().held.clone()).unwrap_or_default()
    }

    /// Where the service reports that it is active.
    pub(super) fn alive_at(&self) -> watch::Sender<Instant> {
        match &self.keeper {
            Some(keeper) => keeper.alive_at.clone(),
            None => watch::channel(clock::steady()).0,
        }
    }

    pub(super) fn nudge(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.nudge.notify_one();
        }
    }

    /// What this node holds may have changed, and there may be orders.
    pub(super) async fn look_at_holding(&mut self, has_changed: bool) -> Result<(), CommandError> {
        let Holding { orders, overtaken_by, is_first, .. } = self.holding().borrow().clone();
        if let Some(by) = overtaken_by {
            return Err(StoreError::Fenced { by }.into());
        }
        if self.store.is_shared() && std::mem::replace(&mut self.is_first, is_first) != is_first {
            self.supervisor.do_send(notices::Notify(if is_first { self.webhooks.clone() } else { Vec::new() }));
        }
        if has_changed || self.is_to_look() {
            self.look_for_sign_ins().await?;
        }
        self.carried_out.retain(|id| orders.iter().any(|order| order.id == *id));
        for order in orders {
            if self.adopted.contains_key(&order.account) && !self.carried_out.contains(&order.id) {
                self.carry_out(order).await?;
            }
        }
        Ok(())
    }

    /// Failures are retried: the order stays open.
    async fn carry_out(&mut self, GivenOrder { id, order, account, entities }: GivenOrder) -> Result<(), CommandError> {
        let steer = SteerAccount { order, account, entities, given_at: GivenAt::AnotherNode };
        match self.supervisor.send(steer).await.map_err(|_| died())? {
            Ok(Steered::Done(outcome)) => {
                self.carried_out.insert(id);
                if let Err(error) = self.store.end_order(id, &outcome, &self.owner.label, clock::now()).await {
                    warn!(%error, "the result of an order could not be saved");
                }
            }
            Ok(Steered::PassedOn(_)) | Err(SteerError::Elsewhere | SteerError::Stopping) => {}
            Err(error) => warn!(%error, "an order could not be carried out; trying again"),
        }
        Ok(())
    }
}

/// Runs until the service leaves.
struct Keeping {
    machine: Nodes,
    store: Store,
    node: Node,
    supervisor: Addr<Supervisor>,
    progress: watch::Receiver<Progress>,
    holding: watch::Sender<Holding>,
    /// What was held as last published: the epoch of each account, and the number of its tenure.
    known: BTreeMap<AccountId, (i64, u64)>,
    signed_in_at: BTreeMap<AccountId, DateTime<Utc>>,
    num_tenures: u64,
    life: watch::Receiver<Life>,
    alive_at: watch::Receiver<Instant>,
    nudge: Arc<Notify>,
    /// Whether it was reported that the database does not answer.
    is_away: bool,
}

impl Keeping {
    async fn keep(mut self) {
        loop {
            let life = *self.life.borrow_and_update();
            match life {
                Life::Serving => {}
                Life::Stopping => self.machine.handle_stop(),
                Life::Leaving => return self.leave().await,
            }
            self.machine.handle_alive(*self.alive_at.borrow());
            let step = self.machine.poll(clock::steady());
            self.show();
            match step {
                Step::Beat => {
                    if let Err(by) = self.beat().await {
                        self.holding.send_modify(|holding| holding.overtaken_by = Some(by));
                        return;
                    }
                }
                Step::Prolong => self.prolong().await,
                Step::Claim(most) => {
                    let claiming = bounded(self.store.claim_free(&self.node, most, clock::now()));
                    match claiming.await {
                        Ok(claimed) => self.machine.handle_claimed(&claimed, most),
                        Err(why) => self.handle_unanswered(&why),
                    }
                }
                Step::HandOver(accounts) => {
                    let releasing = bounded(self.store.release(&accounts, self.node.owner.id, clock::now()));
                    match releasing.await {
                        Ok(()) => debug!(num_accounts = accounts.len(), "handed over"),
                        Err(why) => self.handle_unanswered(&why),
                    }
                }
                Step::Wait(until) => {
                    let wait = until.saturating_duration_since(clock::steady());
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.nudge.notified() => self.machine.handle_nudged(clock::steady()),
                        _ = self.life.changed() => {}
                    }
                }
            }
        }
    }

    /// `Err` names the process that has replaced this node.
    async fn beat(&mut self) -> Result<(), String> {
        let sent_at = clock::steady();
        let answer = bounded(self.with_orders(self.store.beat(&self.node, clock::now()))).await;
        if let Err(Unanswered::Refused(StoreError::Fenced { by })) = answer {
            return Err(by);
        }
        let Some(Beat { found, signed_in_at }) = self.handle_answer(answer) else { return Ok(()) };
        let busy = self.busy();
        self.machine.handle_beat(&found, sent_at, clock::steady(), |account| busy.contains(&account));
        let before = |account: &AccountId| self.signed_in_at.get(account);
        let is_new = |(id, at): &(&AccountId, &DateTime<Utc>)| before(id).is_some_and(|before| before != *at);
        let num_new = signed_in_at.iter().filter(is_new).count() as u64;
        self.signed_in_at = signed_in_at;
        self.holding.send_if_modified(|holding| {
            holding.num_sign_ins += num_new;
            num_new > 0
        });
        Ok(())
    }

    async fn prolong(&mut self) {
        let sent_at = clock::steady();
        let answer = bounded(self.with_orders(self.store.prolong(&self.node, clock::now()))).await;
        if let Some(living) = self.handle_answer(answer) {
            self.machine.handle_prolonged(living.as_ref(), sent_at, clock::steady());
        }
    }

    /// An answer, and then the orders that were given at other nodes.
    async fn with_orders<T>(
        &self,
        asking: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<(T, Vec<GivenOrder>), StoreError> {
        let answer = asking.await?;
        let orders = match self.store.is_shared() {
            true => self.store.open_orders(self.node.owner.id, clock::now()).await?,
            false => Vec::new(),
        };
        Ok((answer, orders))
    }

    /// Publishes the orders that came with an answer, and returns the rest; `None` if there was none.
    fn handle_answer<T>(&mut self, answer: Result<(T, Vec<GivenOrder>), Unanswered>) -> Option<T> {
        match answer {
            Ok((answer, orders)) => {
                if std::mem::take(&mut self.is_away) {
                    info!("the database answers again");
                }
                self.holding
                    .send_if_modified(|holding| std::mem::replace(&mut holding.orders, orders) != holding.orders);
                Some(answer)
            }
            Err(why) => {
                self.handle_unanswered(&why);
                None
            }
        }
    }

    fn busy(&self) -> BTreeSet<AccountId> {
        let progress = self.progress.borrow();
        let running = progress.entities.iter().filter(|(_, seen)| seen.state == EntityState::Running);
        running.map(|(SyncKey { account, .. }, _)| *account).collect()
    }

    fn handle_unanswered(&mut self, why: &Unanswered) {
        self.machine.handle_unanswered();
        if !std::mem::replace(&mut self.is_away, true) {
            warn!(%why, "the heartbeat of this node could not be written; trying again");
        }
    }

    /// A lost account is dropped at once, even if the rest of the service waits for a database that hangs. Onlookers
    /// are woken only by changes.
    fn show(&mut self) {
        let (held, known) = (self.machine.held(), &mut self.known);
        let is_lost = |account: &AccountId, epoch: &i64| held.get(account) != Some(epoch);
        for (account, _) in known.extract_if(.., |account, (epoch, _)| is_lost(account, epoch)) {
            info!(account = account.0, "not held by this node any more");
            self.supervisor.do_send(Release(account));
        }
        for (account, epoch) in held {
            known.entry(*account).or_insert_with(|| {
                self.num_tenures += 1;
                (*epoch, self.num_tenures)
            });
        }
        let held: BTreeMap<AccountId, u64> = known.iter().map(|(id, (_, tenure))| (*id, *tenure)).collect();
        let is_first = self.machine.is_first();
        self.holding.send_if_modified(|holding| {
            let is_news = holding.held != held || holding.is_first != is_first;
            (holding.held, holding.is_first) = (held, is_first);
            is_news
        });
    }

    async fn leave(self) {
        if let Err(why) = bounded(self.store.leave(self.node.owner.id, clock::now())).await {
            warn!(%why, "the accounts could not be given back; others take them in a moment");
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("no answer")]
    TooLate,
    #[error(transparent)]
    Refused(#[from] StoreError),
}

async fn bounded<T>(asking: impl Future<Output = Result<T, StoreError>>) -> Result<T, Unanswered> {
    tokio::time::timeout(ANSWER_WITHIN, asking).await.map_err(|_| Unanswered::TooLate)?.map_err(Unanswered::from)
}
