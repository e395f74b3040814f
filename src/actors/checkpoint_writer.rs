//! The one actor that writes batches with their checkpoints and the fence. It takes one message at a time, so
//! that commits happen in the order in which they were sent.

use crate::{
    clock,
    engine::syncing::EndedShort,
    faults,
    metrics::Metrics,
    model::{
        AccountId, Checkpoint, Commit, CommitReport, EntityType, Fence, Order, Owner, Phase, PlaybackNote, PlaysCommit,
        SyncKey,
    },
    store::{StateKey, Store, StoreError},
};
use actix::{Actor, AtomicResponse, Context, Handler, Message, Supervised, WrapFuture};
use chrono::{DateTime, Utc};
use std::{future::Future, sync::Arc, time::Duration};

/// A transaction that takes longer has met a database that hangs. What became of it is then unknown.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a write did not happen, or may not have.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the database did not answer within {} s", WRITE_TIMEOUT.as_secs())]
    TimedOut,
}

impl WriteError {
    /// Whether to start again from the database and go on.
    pub fn is_transient(&self) -> bool {
        match self {
            WriteError::Store(error) => error.is_transient(),
            WriteError::TimedOut => true,
        }
    }
}

pub struct CheckpointWriter {
    store: Store,
    owner: Owner,
    metrics: Metrics,
}

impl CheckpointWriter {
    pub fn new(store: Store, owner: Owner, metrics: Metrics) -> CheckpointWriter {
        CheckpointWriter { store, owner, metrics }
    }

    fn write<T: 'static>(
        &self,
        write: impl Future<Output = Result<T, StoreError>> + 'static,
    ) -> AtomicResponse<Self, Result<T, WriteError>> {
        let bounded = async move {
            match tokio::time::timeout(WRITE_TIMEOUT, write).await {
                Ok(result) => Ok(result?),
                Err(_) => Err(WriteError::TimedOut),
            }
        };
        AtomicResponse::new(Box::pin(bounded.into_actor(self)))
    }
}

impl Actor for CheckpointWriter {
    type Context = Context<Self>;
}

impl Supervised for CheckpointWriter {}

/// Begins a run: fences off every earlier one of the entity type.
#[derive(Debug, Message)]
#[rtype(result = "Result<Fence, WriteError>")]
pub struct BeginRun {
    pub account_id: AccountId,
    pub entity: EntityType,
    pub phase: Phase,
}

impl Handler<BeginRun> for CheckpointWriter {
    type Result = AtomicResponse<Self, Result<Fence, WriteError>>;

    fn handle(&mut self, begin: BeginRun, _: &mut Self::Context) -> Self::Result {
        let BeginRun { account_id, entity, phase } = begin;
        let (store, owner) = (self.store.clone(), self.owner.clone());
        self.write(async move {
            let (fence, _) = store.begin_run(account_id, entity, phase, owner.id, &owner.label, clock::now()).await?;
            Ok(fence)
        })
    }
}

/// Goes on in the other phase under the same fence.
#[derive(Debug, Message)]
#[rtype(result = "Result<Checkpoint, WriteError>")]
pub struct SwitchPhase {
    pub fence: Fence,
    pub account_id: AccountId,
    pub entity: EntityType,
    pub phase: Phase,
}

impl Handler<SwitchPhase> for CheckpointWriter {
    type Result = AtomicResponse<Self, Result<Checkpoint, WriteError>>;

    fn handle(&mut self, switch: SwitchPhase, _: &mut Self::Context) -> Self::Result {
        let SwitchPhase { fence, account_id, entity, phase } = switch;
        let store = self.store.clone();
        self.write(async move { store.switch_phase(fence, account_id, entity, phase, clock::now()).await })
    }
}

/// One batch and its checkpoint, in one transaction.
#[derive(Debug, Message)]
#[rtype(result = "Result<CommitReport, WriteError>")]
pub struct CommitBatch(pub Box<Commit>);

impl Handler<CommitBatch> for CheckpointWriter {
    type Result = AtomicResponse<Self, Result<CommitReport, WriteError>>;

    fn handle(&mut self, CommitBatch(commit): CommitBatch, _: &mut Self::Context) -> Self::Result {
        faults::visit("writer.commit");
        let (store, metrics, commit) = (self.store.clone(), self.metrics.clone(), Arc::<Commit>::from(commit));
        self.write(async move {
            let began_at = clock::instant();
            let report = store.commit(commit.clone(), clock::now()).await;
            if let Ok(report) = &report {
                metrics.handle_committed(&commit, &report.counts, clock::instant() - began_at);
            }
            faults::visit("writer.committed");
            report
        })
    }
}

/// One poll of the listening history and where its tracking stands, in one transaction.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), WriteError>")]
pub struct CommitPlays(pub Box<PlaysCommit>);

impl Handler<CommitPlays> for CheckpointWriter {
    type Result = AtomicResponse<Self, Result<(), WriteError>>;

    fn handle(&mut self, CommitPlays(commit): CommitPlays, _: &mut Self::Context) -> Self::Result {
        faults::visit("writer.plays");
        let (store, owner, metrics) = (self.store.clone(), self.owner.id, self.metrics.clone());
        self.write(async move {
            let committed = store.commit_plays(&commit, owner).await;
            if committed.is_ok() {
                metrics.handle_plays(commit.num_new);
            }
            faults::visit("writer.plays_committed");
            committed
        })
    }
}

/// A poll of the listening history brought nothing.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), WriteError>")]
pub struct NotePlayback(pub PlaybackNote);

impl Handler<NotePlayback> for CheckpointWriter {
    type Result = AtomicResponse<Self, Result<(), WriteError>>;

    fn handle(&mut self, NotePlayback(note): NotePlayback, _: &mut Self::Context) -> Self::Result {
        let (store, owner) = (self.store.clone(), self.owner.id);
        self.write(async move { store.note_playback(&note, owner, clock::now()).await })
    }
}

/// A run ended short of its goal: what `status` is to show.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), WriteError>")]
pub struct EndRun {
    pub key: StateKey,
    pub fence: Fence,
    pub why: EndedShort,
}

impl Handler<EndRun> for CheckpointWriter {
    type Result = AtomicResponse<Self, Result<(), WriteError>>;

    fn handle(&mut self, end: EndRun, _: &mut Self::Context) -> Self::Result {
        let (EndRun { key, fence, why }, store) = (end, self.store.clone());
        self.write(async move {
            match why {
                EndedShort::Paused(pause) => {
                    store.mark_rate_limited(key, Some(fence), pause.until, None, clock::now()).await
                }
                EndedShort::Failed(message) => store.mark_failed(key, fence, &message, clock::now()).await,
            }
        })
    }
}

/// A run failed of something of our own, so that nobody holds its fence any more.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), WriteError>")]
pub struct NoteFailure {
    pub account_id: AccountId,
    pub entity: EntityType,
    pub why: String,
}

impl Handler<NoteFailure> for CheckpointWriter {
    type Result = AtomicResponse<Self, Result<(), WriteError>>;

    fn handle(&mut self, note: NoteFailure, _: &mut Self::Context) -> Self::Result {
        let (store, owner) = (self.store.clone(), self.owner.id);
        self.write(
            async move { store.mark_failed_by(note.account_id, note.entity, owner, &note.why, clock::now()).await },
        )
    }
}

/// What a person orders outlasts the process.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), WriteError>")]
pub struct NoteOrder {
    pub order: Order,
    pub keys: Vec<SyncKey>,
}

impl Handler<NoteOrder> for CheckpointWriter {
    type Result = AtomicResponse<Self, Result<(), WriteError>>;

    fn handle(&mut self, NoteOrder { order, keys }: NoteOrder, _: &mut Self::Context) -> Self::Result {
        let store = self.store.clone();
        self.write(async move {
            match order {
                // A run now, which nothing outlasts.
                Order::Sync => Ok(()),
                Order::Pause => store.pause_by_hand(&keys, clock::now()).await,
                Order::Resume => store.resume_by_hand(&keys).await,
                Order::Reset => {
                    for SyncKey { account, entity } in keys {
                        store.reset(account, entity).await?;
                    }
                    Ok(())
                }
                Order::ConfirmRemovals => {
                    for SyncKey { account, entity } in keys {
                        store.confirm_removals(account, &[entity]).await?;
                    }
                    Ok(())
                }
            }
        })
    }
}

/// An order for an account that another node keeps current. Returns its number; nothing where nobody can carry it out.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<i64>, WriteError>")]
pub struct GiveOrder {
    pub order: Order,
    pub account_id: AccountId,
    /// `None` for all that are kept current.
    pub entities: Option<Vec<EntityType>>,
}

impl Handler<GiveOrder> for CheckpointWriter {
    type Result = AtomicResponse<Self, Result<Option<i64>, WriteError>>;

    fn handle(&mut self, give: GiveOrder, _: &mut Self::Context) -> Self::Result {
        let (store, by) = (self.store.clone(), self.owner.label.clone());
        self.write(async move {
            store.give_order(give.account_id, give.order, give.entities.as_deref(), &by, clock::now()).await
        })
    }
}

/// When the service plans the next run.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), WriteError>")]
pub struct PlanRun {
    pub key: SyncKey,
    pub at: Option<DateTime<Utc>>,
}

impl Handler<PlanRun> for CheckpointWriter {
    type Result = AtomicResponse<Self, Result<(), WriteError>>;

    fn handle(&mut self, PlanRun { key, at }: PlanRun, _: &mut Self::Context) -> Self::Result {
        let (store, owner) = (self.store.clone(), self.owner.id);
        self.write(async move { store.plan_run(key, owner, at).await })
    }
}
