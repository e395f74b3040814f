//! The supervisor: starts the gate, the writer and one syncer per entity type, hears of their lives and deaths, and
//! says when a run is over.
//!
//! Its own death is not survived: whoever waits for the [`Outcome`] finds the channel closed and ends the process.

use super::{
    checkpoint_writer::{CheckpointWriter, NoteFailure},
    fetch::{Fetcher, Vitals},
    gate::Gate,
    lifecycle::{Child, ChildExited, start_guarded},
    progress::{EntityProgress, EntityState, GateView, Progress},
    syncer::{StartRun, StopRun, Syncer, SyncerSetup},
};
use crate::{
    engine::{
        backoff::Backoff,
        gate::GateSettings,
        restart::{Exit, RestartPolicy, Ruling},
        run::{BatchSizes, RunEnd, RunProgress},
    },
    faults,
    model::{AccountId, EntityType, Fault, ItemCounts},
    spotify::{Client, Tokens},
    store::Store,
};
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, MessageResult};
use std::{collections::BTreeMap, rc::Rc, time::Duration};
use tokio::sync::{oneshot, watch};
use tracing::{error, info};
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
    /// The longest pause that a request sits out; `None` for any.
    pub longest_wait: Option<Duration>,
    /// The process, and what people call it.
    pub owner: Uuid,
    pub label: String,
    pub progress: Rc<watch::Sender<Progress>>,
    pub gate_view: watch::Sender<GateView>,
}

/// How a sync ended, by entity type.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub ends: BTreeMap<EntityType, RunEnd>,
}

pub struct Supervisor {
    service: Service,
    policy: RestartPolicy,
    gate: Addr<Gate>,
    writer: Addr<CheckpointWriter>,
    account_id: Option<AccountId>,
    syncers: BTreeMap<EntityType, Addr<Syncer>>,
    ends: BTreeMap<EntityType, RunEnd>,
    /// Counts of the runs before the one under way: a syncer that starts again begins a new run.
    runs: BTreeMap<EntityType, RunTally>,
    done: Option<oneshot::Sender<Outcome>>,
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
            let (store, owner, label) = (service.store.clone(), service.owner, service.label.clone());
            let writer = start_guarded(Child::CheckpointWriter, policy, ctx.address().recipient(), |_| {
                CheckpointWriter::new(store, owner, label)
            });
            let (store, gate_writer) = (service.store.clone(), writer.clone());
            let (settings, view) = (service.gate, service.gate_view.clone());
            let gate = start_guarded(Child::Gate, policy, ctx.address().recipient(), |_| {
                Gate::new(settings, store, gate_writer, view)
            });
            Supervisor {
                service,
                policy,
                gate,
                writer,
                account_id: None,
                syncers: BTreeMap::new(),
                ends: BTreeMap::new(),
                runs: BTreeMap::new(),
                done: None,
            }
        })
    }

    fn end(&mut self, entity: EntityType, end: RunEnd) {
        if self.ends.contains_key(&entity) {
            return;
        }
        let state = match &end {
            RunEnd::Complete { notes } => EntityState::Complete { notes: notes.clone() },
            RunEnd::Paused(pause) => EntityState::Paused(*pause),
            RunEnd::Stopped => EntityState::Stopped,
            RunEnd::Failed(fault) => EntityState::Failed(fault.to_string()),
        };
        info!(%entity, ?state, "run ended");
        self.service.progress.send_modify(|progress| progress.entities.entry(entity).or_default().state = state);
        self.ends.insert(entity, end);
        self.finish_if_over();
    }

    fn finish_if_over(&mut self) {
        if self.ends.len() == self.syncers.len()
            && let Some(done) = self.done.take()
        {
            let _ = done.send(Outcome { ends: self.ends.clone() });
        }
    }

    /// A child that everybody needs stays down.
    fn give_up(&mut self, child: Child, why: &str) {
        error!(%child, why, "nothing can go on without it");
        let entities: Vec<EntityType> = self.syncers.keys().copied().collect();
        for entity in entities {
            self.end(entity, RunEnd::Failed(Fault::Internal(format!("the {child} keeps failing: {why}"))));
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
        let SyncOnce { account_id, tokens, entities, done } = sync;
        self.done = Some(done);
        self.account_id = Some(account_id);
        let fetcher = Fetcher {
            client: self.service.client.clone(),
            tokens,
            gate: self.gate.clone(),
            account: Some(account_id),
            backoff: Backoff::default(),
            longest_wait: self.service.longest_wait,
            vitals: Rc::new(Vitals::default()),
        };
        for entity in entities {
            let setup = SyncerSetup {
                account_id,
                entity,
                store: self.service.store.clone(),
                writer: self.writer.clone(),
                fetcher: fetcher.clone(),
                batches: self.service.batches,
                observer: ctx.address().recipient(),
                supervisor: ctx.address().recipient(),
                policy: self.policy,
            };
            let syncer =
                start_guarded(Child::Syncer(entity), self.policy, ctx.address().recipient(), |_| Syncer::new(setup));
            self.service.progress.send_modify(|progress| {
                progress.entities.insert(entity, EntityProgress::default());
            });
            syncer.do_send(StartRun);
            self.syncers.insert(entity, syncer);
        }
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
        self.syncers.values().for_each(|syncer| syncer.do_send(StopRun));
        ctx.run_later(STOP_WITHIN, |supervisor, _| {
            let entities: Vec<EntityType> = supervisor.syncers.keys().copied().collect();
            entities.into_iter().for_each(|entity| supervisor.end(entity, RunEnd::Stopped));
        });
    }
}

/// A syncer's run went on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Observed {
    pub entity: EntityType,
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
        let tally = self.runs.entry(observed.entity).or_default();
        if tally.run_id.replace(observed.run_id) != Some(observed.run_id) {
            tally.requests_before += tally.requests;
        }
        tally.requests = observed.num_requests;
        let num_requests = tally.requests_before + tally.requests;
        self.service.progress.send_modify(|progress| {
            let entity = progress.entities.entry(observed.entity).or_default();
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
    pub account_id: AccountId,
    pub entity: EntityType,
    pub end: RunEnd,
}

impl Handler<RunEnded> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: RunEnded, _: &mut Self::Context) {
        self.end(ended.entity, ended.end);
    }
}

impl Handler<ChildExited> for Supervisor {
    type Result = ();

    fn handle(&mut self, exited: ChildExited, _: &mut Self::Context) {
        let ChildExited { child, exit, ruling } = exited;
        let why = match exit {
            Exit::Panicked(why) => why,
            Exit::Finished => return,
        };
        match (child, ruling) {
            // The message waits in the mailbox until the new life begins.
            (Child::Syncer(entity), Ruling::RestartIn(_)) if !self.ends.contains_key(&entity) => {
                if let Some(syncer) = self.syncers.get(&entity) {
                    syncer.do_send(StartRun);
                }
            }
            // Gate and writer come back in place: who waited for them asks again, or starts from the database.
            (Child::Syncer(_) | Child::Gate | Child::CheckpointWriter, Ruling::RestartIn(_)) => {}
            (Child::Syncer(entity), Ruling::Park | Ruling::Rest) => {
                let why = format!("the syncer keeps failing: {why}");
                if let Some(account_id) = self.account_id {
                    self.writer.do_send(NoteFailure { account_id, entity, why: why.clone() });
                }
                self.end(entity, RunEnd::Failed(Fault::Internal(why)));
            }
            (Child::Gate | Child::CheckpointWriter, Ruling::Park | Ruling::Rest) => self.give_up(child, &why),
        }
    }
}
