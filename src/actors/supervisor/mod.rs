//! The supervisor: starts the gate, the writer and the syncers of every account, hears of their lives and deaths, and
//! says when a run is over. What it runs when is told elsewhere: once, by [`SyncOnce`], or for ever, by [`service`].
//!
//! Its own death is not survived: whoever waits for the [`Outcome`] finds the channel closed and ends the process.

mod playback;
pub mod service;
pub mod steering;

use super::{
    checkpoint_writer::{CheckpointWriter, NoteFailure},
    fetch::Fetcher,
    gate::Gate,
    lifecycle::{Child, ChildExited, start_guarded},
    playback_tracker::PlaybackTracker,
    progress::{EntityProgress, EntityState, GateView, Progress, Restart},
    syncer::{StartRun, StopRun, Syncer, SyncerSetup},
};
use crate::{
    clock,
    engine::{
        gate::GateSettings,
        playback::PlaybackSettings,
        restart::{Exit, RestartPolicy, Ruling},
        run::{BatchSizes, Purpose, RunEnd, RunProgress},
        sweep::RemovalGuard,
    },
    faults,
    metrics::Metrics,
    model::{AccountId, EntityType, Fault, ItemCounts, Owner, SyncKey},
    spotify::{Client, Tokens},
    store::Store,
};
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, MessageResult};
use service::Serving;
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};
use tokio::sync::{oneshot, watch};
use tracing::{debug, error};
use uuid::Uuid;

/// How long syncers may take to commit what is whole after a stop.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// What the whole service runs on.
#[derive(Clone)]
pub struct Service {
    pub store: Store,
    pub client: Client,
    pub gate: GateSettings,
    pub batches: BatchSizes,
    /// What every run is for.
    pub purpose: Purpose,
    pub guard: RemovalGuard,
    /// The longest pause that a request sits out; `None` for any.
    pub longest_wait: Option<Duration>,
    /// This process.
    pub owner: Owner,
    pub progress: Rc<watch::Sender<Progress>>,
    pub gate_view: watch::Sender<GateView>,
    pub metrics: Metrics,
}

/// How a sync of one account ended, by entity type.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub ends: BTreeMap<EntityType, RunEnd>,
}

pub struct Supervisor {
    service: Service,
    policy: RestartPolicy,
    gate: Addr<Gate>,
    writer: Addr<CheckpointWriter>,
    accounts: BTreeMap<AccountId, Household>,
    running: BTreeSet<SyncKey>,
    /// What a person has asked for, until a run of it ends.
    wanted: BTreeSet<SyncKey>,
    /// Counts of the runs before the one under way: a syncer that starts again begins a new run.
    runs: BTreeMap<SyncKey, RunTally>,
    /// Set while a service tracks playback.
    playback: Option<PlaybackSettings>,
    trackers: BTreeMap<AccountId, Addr<PlaybackTracker>>,
    work: Work,
}

/// What the supervisor was started for.
enum Work {
    Nothing,
    Once { outcome: Outcome, done: Option<oneshot::Sender<Outcome>> },
    Service(Serving),
}

/// The actors of one account.
struct Household {
    fetcher: Fetcher,
    syncers: BTreeMap<EntityType, Addr<Syncer>>,
}

#[derive(Debug, Default)]
struct RunTally {
    run_id: Option<Uuid>,
    requests_before: u32,
    requests: u32,
}

impl Supervisor {
    /// Starts the supervisor with its gate and its writer.
    pub fn start(service: Service) -> Addr<Supervisor> {
        Supervisor::create(|ctx| {
            let policy = RestartPolicy::default();
            let (store, owner, metrics) = (service.store.clone(), service.owner.clone(), service.metrics.clone());
            let writer = start_guarded(Child::CheckpointWriter, policy, ctx.address().recipient(), |_| {
                CheckpointWriter::new(store, owner, metrics)
            });
            let (store, owner) = (service.store.clone(), service.owner.clone());
            let (settings, view, metrics) = (service.gate, service.gate_view.clone(), service.metrics.clone());
            let gate = start_guarded(Child::Gate, policy, ctx.address().recipient(), |_| {
                Gate::new(settings, owner, store, view, metrics)
            });
            Supervisor {
                service,
                policy,
                gate,
                writer,
                accounts: BTreeMap::new(),
                running: BTreeSet::new(),
                wanted: BTreeSet::new(),
                runs: BTreeMap::new(),
                playback: None,
                trackers: BTreeMap::new(),
                work: Work::Nothing,
            }
        })
    }

    fn household(&self, account: AccountId, tokens: Tokens) -> Household {
        let Service { client, longest_wait, .. } = &self.service;
        let fetcher = Fetcher::new(client.clone(), tokens, self.gate.clone(), *longest_wait);
        let fetcher = Fetcher { account: Some(account), ..fetcher };
        Household { fetcher, syncers: BTreeMap::new() }
    }

    /// Whoever asks for a run wants to see the library as it is, and not what is due by the rhythm of the service.
    fn purpose_of(&self, key: &SyncKey) -> Purpose {
        if self.wanted.contains(key) { Purpose::Current } else { self.service.purpose }
    }

    /// Begins a run; its syncer is started where there is none, or none any more.
    fn start_run(&mut self, key: SyncKey, ctx: &mut Context<Self>) {
        let purpose = self.purpose_of(&key);
        let Some(household) = self.accounts.get_mut(&key.account) else { return };
        let SyncKey { account: account_id, entity } = key;
        let syncer = household.syncers.entry(entity).or_insert_with(|| {
            let setup = SyncerSetup {
                account_id,
                entity,
                store: self.service.store.clone(),
                writer: self.writer.clone(),
                fetcher: household.fetcher.clone(),
                batches: self.service.batches,
                purpose,
                guard: self.service.guard,
                observer: ctx.address().recipient(),
                supervisor: ctx.address().recipient(),
                policy: self.policy,
            };
            start_guarded(Child::Syncer(key), self.policy, ctx.address().recipient(), |_| Syncer::new(setup))
        });
        syncer.do_send(StartRun(purpose));
        self.running.insert(key);
        self.runs.insert(key, RunTally::default());
        self.service.progress.send_modify(|progress| {
            progress.entities.insert(key, EntityProgress::default());
        });
    }

    fn end(&mut self, key: SyncKey, end: RunEnd, ctx: &mut Context<Self>) {
        if !self.running.remove(&key) {
            return;
        }
        self.wanted.remove(&key);
        let state = match &end {
            RunEnd::Complete { notes } => EntityState::Complete { notes: notes.clone() },
            RunEnd::Paused(pause) => EntityState::Paused(*pause),
            RunEnd::Stopped => EntityState::Stopped,
            RunEnd::Failed(fault) => EntityState::Failed(fault.to_string()),
        };
        debug!(%key, ?state, "run ended");
        self.service.progress.send_modify(|progress| progress.entities.entry(key).or_default().state = state);
        match &mut self.work {
            Work::Nothing => {}
            Work::Once { outcome, .. } => _ = outcome.ends.insert(key.entity, end),
            Work::Service(_) => self.plan_after(key, &end, ctx),
        }
        self.finish_if_over();
    }

    fn finish_if_over(&mut self) {
        if !self.running.is_empty() {
            return;
        }
        match &mut self.work {
            Work::Nothing => {}
            Work::Once { outcome, done } => {
                if let Some(done) = done.take() {
                    let _ = done.send(std::mem::take(outcome));
                }
            }
            Work::Service(serving) => serving.finish_if_stopped(),
        }
    }

    /// A child that everybody needs stays down.
    fn give_up(&mut self, child: Child, why: &str, ctx: &mut Context<Self>) {
        error!(%child, why, "nothing can go on without it");
        let why = format!("the {child} keeps failing: {why}");
        for key in std::mem::take(&mut self.running) {
            self.running.insert(key);
            self.end(key, RunEnd::Failed(Fault::Internal(why.clone())), ctx);
        }
        if let Work::Service(serving) = &mut self.work {
            serving.give_up(why);
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;
}

/// Asks for the gate, for requests that belong to no run.
#[derive(Debug, Message)]
#[rtype(result = "Addr<Gate>")]
pub struct GateOf;

impl Handler<GateOf> for Supervisor {
    type Result = MessageResult<GateOf>;

    fn handle(&mut self, _: GateOf, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.gate.clone())
    }
}

/// Syncs these entity types of an account, once; the outcome goes to `done`.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SyncOnce {
    pub account_id: AccountId,
    pub tokens: Tokens,
    pub entities: Vec<EntityType>,
    pub done: oneshot::Sender<Outcome>,
}

impl Handler<SyncOnce> for Supervisor {
    type Result = ();

    fn handle(&mut self, sync: SyncOnce, ctx: &mut Self::Context) {
        let SyncOnce { account_id: account, tokens, entities, done } = sync;
        let household = self.household(account, tokens);
        self.accounts.insert(account, household);
        self.service.progress.send_modify(|progress| progress.entities.clear());
        self.work = Work::Once { outcome: Outcome::default(), done: Some(done) };
        entities.into_iter().for_each(|entity| self.start_run(SyncKey { account, entity }, ctx));
        self.finish_if_over();
    }
}

/// Ends all runs: commits what is whole, drops the rest.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Stop;

impl Handler<Stop> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        if let Work::Service(serving) = &mut self.work {
            serving.handle_stop();
        }
        self.stop_trackers();
        for key in &self.running {
            if let Some(syncer) = self.accounts.get(&key.account).and_then(|of| of.syncers.get(&key.entity)) {
                syncer.do_send(StopRun);
            }
        }
        ctx.run_later(STOP_WITHIN, |supervisor, ctx| {
            let late: Vec<SyncKey> = supervisor.running.iter().copied().collect();
            late.into_iter().for_each(|key| supervisor.end(key, RunEnd::Stopped, ctx));
        });
        self.finish_if_over();
    }
}

/// A syncer's run went on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Observed {
    pub key: SyncKey,
    pub progress: RunProgress,
    /// Of the batch just committed.
    pub counts: Option<ItemCounts>,
    pub run_id: Uuid,
    pub num_requests: u32,
    pub resumed_from: Option<u32>,
}

impl Handler<Observed> for Supervisor {
    type Result = ();

    fn handle(&mut self, observed: Observed, _: &mut Self::Context) {
        faults::visit("supervisor.observed");
        let tally = self.runs.entry(observed.key).or_default();
        if tally.run_id.replace(observed.run_id) != Some(observed.run_id) {
            tally.requests_before += tally.requests;
        }
        tally.requests = observed.num_requests;
        let num_requests = tally.requests_before + tally.requests;
        self.service.progress.send_modify(|progress| {
            let entity = progress.entities.entry(observed.key).or_default();
            let RunProgress { phase, stage, done, total, playlists } = observed.progress;
            (entity.phase, entity.stage, entity.done, entity.total) = (phase, stage, done, total);
            entity.playlists = playlists;
            entity.num_requests = num_requests;
            entity.resumed_from = entity.resumed_from.or(observed.resumed_from);
            if let Some(counts) = observed.counts {
                entity.counts += counts;
                entity.num_batches += u32::from(counts.processed > 0 || counts.removed > 0);
            }
        });
    }
}

/// A syncer's run is over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RunEnded {
    pub key: SyncKey,
    pub end: RunEnd,
}

impl Handler<RunEnded> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: RunEnded, ctx: &mut Self::Context) {
        self.end(ended.key, ended.end, ctx);
    }
}

impl Handler<ChildExited> for Supervisor {
    type Result = ();

    fn handle(&mut self, exited: ChildExited, ctx: &mut Self::Context) {
        let ChildExited { child, exit, ruling } = exited;
        let why = match exit {
            Exit::Panicked(why) => why,
            Exit::Finished => return,
        };
        match ruling {
            Ruling::RestartIn(_) => self.service.metrics.handle_restarted(child.as_str()),
            Ruling::Park | Ruling::Rest => self.service.metrics.handle_given_up(child.as_str()),
        }
        let restart = Restart { at: clock::now(), actor: child.to_string(), reason: why.clone() };
        self.service.progress.send_modify(|progress| progress.note_restart(restart));
        match (child, ruling) {
            // The message waits in the mailbox until the new life begins.
            (Child::Syncer(key), Ruling::RestartIn(_)) if self.running.contains(&key) => {
                let purpose = self.purpose_of(&key);
                if let Some(syncer) = self.accounts.get(&key.account).and_then(|of| of.syncers.get(&key.entity)) {
                    syncer.do_send(StartRun(purpose));
                }
            }
            // Gate and writer come back in place: who waited for them asks again, or starts from the database.
            (Child::Syncer(_) | Child::Gate | Child::CheckpointWriter, Ruling::RestartIn(_)) => {}
            (Child::Syncer(key), Ruling::Park | Ruling::Rest) => {
                let why = format!("the syncer keeps failing: {why}");
                let SyncKey { account: account_id, entity } = key;
                self.writer.do_send(NoteFailure { account_id, entity, why: why.clone() });
                // Its mailbox is closed for good; the next run, if there is one, starts another.
                if let Some(household) = self.accounts.get_mut(&account_id) {
                    household.syncers.remove(&entity);
                }
                self.end(key, RunEnd::Failed(Fault::Internal(why)), ctx);
            }
            (Child::Gate | Child::CheckpointWriter, Ruling::Park | Ruling::Rest) => self.give_up(child, &why, ctx),
            (Child::PlaybackTracker(account), ruling) => self.handle_tracker_exited(account, ruling, &why, ctx),
        }
    }
}
