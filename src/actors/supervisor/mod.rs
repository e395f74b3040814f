//! The supervisor: starts the gate, the writer and the syncers of every account, is notified of their lives and deaths,
//! and decides when a run is over. What runs when depends on how it was started: once, by [`SyncOnce`], or for ever, by
//! [`service`].
//!
//! Nothing survives its death: the command that waits for the [`SyncOutcome`] finds the channel closed and exits.

pub mod notices;
mod playback;
pub mod service;
pub mod steering;

use super::{
    checkpoint_writer::{CheckpointWriter, NoteFailure},
    driven::Dismiss,
    fetch::Fetcher,
    gate::Gate,
    lifecycle::{Child, ChildExited, start_guarded},
    now,
    playback_tracker::PlaybackTracker,
    progress::{EntityProgress, EntityState, GateView, Progress, Restart},
    syncer::{Observed, RunEnded, StartRun, StopRun, Syncer, SyncerSetup},
};
use crate::{
    clock::{self, SharedCalendar},
    engine::{
        gate::GateSettings,
        playback::PlaybackSettings,
        request::Vitals,
        restart::{Exit, RestartPolicy, Ruling},
        run::{BatchSizes, Purpose, RunEnd, RunProgress},
        schedule::Plan,
        service::{RunStep, Runs, STOP_WITHIN},
        sweep::RemovalGuard,
    },
    faults,
    metrics::Metrics,
    model::{AccountId, EntityType, Owner, PlaylistChoice, SyncKey},
    spotify::{Client, Tokens},
    store::Store,
};
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, MessageResult};
use notices::{Notifiers, Publisher};
use service::Serving;
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::sync::{oneshot, watch};
use tracing::{debug, error};
use uuid::Uuid;

/// What the whole service runs on.
#[derive(Clone)]
pub struct Service {
    pub store: Store,
    pub client: Client,
    pub gate: GateSettings,
    /// The calendar that the gate uses.
    pub calendar: SharedCalendar,
    pub batches: BatchSizes,
    /// The purpose of every run.
    pub purpose: Purpose,
    pub guard: RemovalGuard,
    /// The playlists whose items are read.
    pub playlists: Arc<PlaylistChoice>,
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
pub struct SyncOutcome {
    pub ends: BTreeMap<EntityType, RunEnd>,
}

pub struct Supervisor {
    service: Service,
    policy: RestartPolicy,
    gate: Addr<Gate>,
    writer: Addr<CheckpointWriter>,
    accounts: BTreeMap<AccountId, AccountActors>,
    runs: Runs,
    /// Counts of the runs before the one under way: a syncer that starts again begins a new run.
    tallies: BTreeMap<SyncKey, RunTally>,
    /// Set while a service tracks playback.
    playback: Option<PlaybackSettings>,
    trackers: BTreeMap<AccountId, Addr<PlaybackTracker>>,
    notifiers: Notifiers,
    publisher: Publisher,
    /// Whether the API answers, for any account.
    vitals: Vitals,
    work: Work,
}

/// What the supervisor was started for.
enum Work {
    Nothing,
    Once { outcome: SyncOutcome, done: Option<oneshot::Sender<SyncOutcome>> },
    Service(Serving),
}

/// The actors of one account.
struct AccountActors {
    fetcher: Fetcher,
    syncers: BTreeMap<EntityType, Addr<Syncer>>,
    /// Those in a run that began under settings which have changed since; the next run needs a new syncer.
    outdated: BTreeSet<EntityType>,
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
            let (settings, calendar) = (service.gate, service.calendar);
            let (view, metrics) = (service.gate_view.clone(), service.metrics.clone());
            let gate = start_guarded(Child::Gate, policy, ctx.address().recipient(), |_| {
                Gate::new(settings, owner, store, calendar, view, metrics)
            });
            let runs = Runs::once(service.purpose, []);
            Supervisor {
                service,
                policy,
                gate,
                writer,
                accounts: BTreeMap::new(),
                runs,
                tallies: BTreeMap::new(),
                playback: None,
                trackers: BTreeMap::new(),
                notifiers: Notifiers::default(),
                publisher: Publisher::default(),
                vitals: Vitals::default(),
                work: Work::Nothing,
            }
        })
    }

    fn actors_of(&self, account: AccountId, tokens: Tokens) -> AccountActors {
        let Service { client, longest_wait, .. } = &self.service;
        let fetcher = Fetcher::new(client.clone(), tokens, self.gate.clone(), *longest_wait);
        let fetcher = Fetcher { account: Some(account), vitals: self.vitals.clone(), ..fetcher };
        AccountActors { fetcher, syncers: BTreeMap::new(), outdated: BTreeSet::new() }
    }

    /// Carries out what is to be done about the runs.
    pub(super) fn drive(&mut self, ctx: &mut Context<Self>) {
        while let Some(order) = self.runs.poll(now()) {
            match order {
                RunStep::Begin { key, purpose } => self.begin(key, purpose, ctx),
                // The message waits in the mailbox until the new life begins.
                RunStep::TakeUp { key, purpose } => self.tell(&key, StartRun(purpose)),
                RunStep::Stop(key) => self.tell(&key, StopRun),
                RunStep::Dismiss(key) => {
                    self.tell(&key, Dismiss);
                    if let Some(actors) = self.accounts.get_mut(&key.account) {
                        actors.syncers.remove(&key.entity);
                    }
                }
                RunStep::NoteFailure { key: SyncKey { account: account_id, entity }, why } => {
                    self.writer.do_send(NoteFailure { account_id, entity, why });
                }
                RunStep::Ended { key, end, plan, is_told } => self.show_ended(key, end, plan, is_told),
                RunStep::Over(over) => match &mut self.work {
                    Work::Nothing => {}
                    Work::Once { outcome, done } => {
                        if let Some(done) = done.take() {
                            let _ = done.send(std::mem::take(outcome));
                        }
                    }
                    Work::Service(serving) => serving.finish(over),
                },
            }
        }
    }

    fn tell<M>(&self, key: &SyncKey, message: M)
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Syncer: Handler<M>,
    {
        if let Some(syncer) = self.accounts.get(&key.account).and_then(|of| of.syncers.get(&key.entity)) {
            syncer.do_send(message);
        }
    }

    /// Begins a run; its syncer is started if there is none, or none any more.
    fn begin(&mut self, key: SyncKey, purpose: Purpose, ctx: &mut Context<Self>) {
        let Some(actors) = self.accounts.get_mut(&key.account) else { return };
        let SyncKey { account: account_id, entity } = key;
        if actors.outdated.remove(&entity) {
            actors.syncers.remove(&entity);
        }
        let syncer = actors.syncers.entry(entity).or_insert_with(|| {
            let setup = SyncerSetup {
                account_id,
                entity,
                store: self.service.store.clone(),
                writer: self.writer.clone(),
                fetcher: actors.fetcher.clone(),
                batches: self.service.batches,
                guard: self.service.guard,
                playlists: self.service.playlists.clone(),
                observer: ctx.address().recipient(),
                supervisor: ctx.address().recipient(),
                policy: self.policy,
            };
            start_guarded(Child::Syncer(key), self.policy, ctx.address().recipient(), |_| Syncer::new(setup))
        });
        syncer.do_send(StartRun(purpose));
        self.tallies.insert(key, RunTally::default());
        self.service.progress.send_modify(|progress| {
            progress.entities.insert(key, EntityProgress::default());
        });
    }

    fn show_ended(&mut self, key: SyncKey, end: RunEnd, plan: Option<Plan>, is_told: bool) {
        let state = match &end {
            RunEnd::Complete { notes, .. } | RunEnd::Unsteady { notes, .. } => {
                EntityState::Complete { notes: notes.clone() }
            }
            RunEnd::Paused(pause) => EntityState::Paused(*pause),
            RunEnd::Stopped => EntityState::Stopped,
            RunEnd::Failed(fault) => EntityState::Failed(fault.to_string()),
        };
        debug!(%key, ?state, "run ended");
        self.service.progress.send_modify(|progress| {
            // An account that was released is not shown.
            if let Some(entity) = progress.entities.get_mut(&key) {
                entity.state = state;
            }
        });
        match (&mut self.work, plan) {
            (Work::Once { outcome, .. }, _) => _ = outcome.ends.insert(key.entity, end),
            (Work::Service(_), Some(plan)) => self.tell_planned(key, &end, plan, is_told),
            (Work::Service(_) | Work::Nothing, _) => {}
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;
}

/// Asks for the gate, to send requests that belong to no run.
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
    pub done: oneshot::Sender<SyncOutcome>,
}

impl Handler<SyncOnce> for Supervisor {
    type Result = ();

    fn handle(&mut self, sync: SyncOnce, ctx: &mut Self::Context) {
        let SyncOnce { account_id: account, tokens, entities, done } = sync;
        let actors = self.actors_of(account, tokens);
        self.accounts.insert(account, actors);
        self.service.progress.send_modify(|progress| progress.entities.clear());
        self.work = Work::Once { outcome: SyncOutcome::default(), done: Some(done) };
        let keys = entities.into_iter().map(|entity| SyncKey { account, entity });
        self.runs = Runs::once(self.service.purpose, keys);
        self.drive(ctx);
    }
}

/// Ends all runs: whatever is whole is committed, the rest dropped.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Stop;

impl Handler<Stop> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.runs.handle_stop();
        self.stop_trackers();
        self.stop_notifiers();
        self.stop_relay();
        ctx.run_later(STOP_WITHIN, |supervisor, ctx| {
            supervisor.runs.handle_stop_deadline(now());
            supervisor.drive(ctx);
        });
        self.drive(ctx);
    }
}

impl Handler<Observed> for Supervisor {
    type Result = ();

    fn handle(&mut self, observed: Observed, _: &mut Self::Context) {
        faults::visit("supervisor.observed");
        let tally = self.tallies.entry(observed.key).or_default();
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

impl Handler<RunEnded> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: RunEnded, ctx: &mut Self::Context) {
        self.runs.handle_ended(ended.key, ended.end, now());
        self.drive(ctx);
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
        match child {
            Child::Syncer(key) => self.runs.handle_syncer_died(key, ruling, &why, now()),
            Child::Gate | Child::CheckpointWriter => {
                if !matches!(ruling, Ruling::RestartIn(_)) {
                    error!(%child, why, "nothing can go on without it");
                }
                self.runs.handle_needed_died(ruling, format!("the {child} keeps failing: {why}"), now());
            }
            Child::Notifier(number) => self.handle_notifier_exited(number, ruling, &why, ctx),
            Child::Relay => self.handle_relay_exited(ruling, &why, ctx),
            Child::PlaybackTracker(account) => self.handle_tracker_exited(account, ruling, &why, ctx),
        }
        self.drive(ctx);
    }
}
