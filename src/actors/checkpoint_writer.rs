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
use std::{sync::Arc, time::Duration};

/// A transaction that takes longer has met a database that hangs. Its outcome is then unknown.
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
    /// Whether to start again from the database and continue.
    pub fn is_transient(&self) -> bool {
        match self {
            WriteError::Store(error) => error.is_transient(),
            WriteError::TimedOut => true,
        }
    }
}

#[derive(Clone)]
pub struct CheckpointWriter {
    store: Store,
    owner: Owner,
    metrics: Metrics,
}

impl CheckpointWriter {
    pub fn new(store: Store, owner: Owner, metrics: Metrics) -> CheckpointWriter {
        CheckpointWriter { store, owner, metrics }
    }
}

/// Something to write.
pub trait Write: Message<Result = Result<<Self as Write>::Written, WriteError>> + 'static {
    type Written: 'static;

    fn write(self, by: CheckpointWriter) -> impl Future<Output = Result<Self::Written, StoreError>>;
}

impl<M: Write> Handler<M> for CheckpointWriter {
    type Result = AtomicResponse<Self, Result<M::Written, WriteError>>;

    fn handle(&mut self, message: M, _: &mut Self::Context) -> Self::Result {
        let write = message.write(self.clone());
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

impl Write for BeginRun {
    type Written = Fence;

    async fn write(self, by: CheckpointWriter) -> Result<Fence, StoreError> {
        let BeginRun { account_id, entity, phase } = self;
        let begun = by.store.begin_run(account_id, entity, phase, by.owner.id, &by.owner.label, clock::now());
        Ok(begun.await?.0)
    }
}

/// Continues in the other phase under the same fence.
#[derive(Debug, Message)]
#[rtype(result = "Result<Checkpoint, WriteError>")]
pub struct SwitchPhase {
    pub fence: Fence,
    pub account_id: AccountId,
    pub entity: EntityType,
    pub phase: Phase,
}

impl Write for SwitchPhase {
    type Written = Checkpoint;

    async fn write(self, by: CheckpointWriter) -> Result<Checkpoint, StoreError> {
        by.store.switch_phase(self.fence, self.account_id, self.entity, self.phase, clock::now()).await
    }
}

/// One batch and its checkpoint, in one transaction.
#[derive(Debug, Message)]
#[rtype(result = "Result<CommitReport, WriteError>")]
pub struct CommitBatch(pub Box<Commit>);

impl Write for CommitBatch {
    type Written = CommitReport;

    async fn write(self, by: CheckpointWriter) -> Result<CommitReport, StoreError> {
        faults::visit("writer.commit");
        let (commit, began_at) = (Arc::<Commit>::from(self.0), clock::instant());
        let report = by.store.commit(commit.clone(), clock::now()).await;
        if let Ok(report) = &report {
            by.metrics.handle_committed(&commit, &report.counts, clock::instant() - began_at);
        }
        faults::visit("writer.committed");
        report
    }
}

/// One poll of the listening history and the state of its tracking, in one transaction.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), WriteError>")]
pub struct CommitPlays(pub Box<PlaysCommit>);

impl Write for CommitPlays {
    type Written = ();

    async fn write(self, by: CheckpointWriter) -> Result<(), StoreError> {
        faults::visit("writer.plays");
        let committed = by.store.commit_plays(&self.0, by.owner.id).await;
        if committed.is_ok() {
            by.metrics.handle_plays(self.0.num_new);
        }
        faults::visit("writer.plays_committed");
        committed
    }
}

/// A poll of the listening history failed.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), WriteError>")]
pub struct NotePlayback(pub PlaybackNote);

impl Write for NotePlayback {
    type Written = ();

    async fn write(self, by: CheckpointWriter) -> Result<(), StoreError> {
        by.store.note_playback(&self.0, by.owner.id, clock::now()).await
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

impl Write for EndRun {
    type Written = ();

    async fn write(self, by: CheckpointWriter) -> Result<(), StoreError> {
        let EndRun { key, fence, why } = self;
        match why {
            EndedShort::Paused(pause) => {
                by.store.mark_rate_limited(key, Some(fence), pause.until, None, clock::now()).await
            }
            EndedShort::Failed(message) => by.store.mark_failed(key, fence, &message, clock::now()).await,
        }
    }
}

/// A run failed because of a bug of ours: its fence has no holder any more.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), WriteError>")]
pub struct NoteFailure {
    pub account_id: AccountId,
    pub entity: EntityType,
    pub why: String,
}

impl Write for NoteFailure {
    type Written = ();

    async fn write(self, by: CheckpointWriter) -> Result<(), StoreError> {
        by.store.mark_failed_by(self.account_id, self.entity, by.owner.id, &self.why, clock::now()).await
    }
}

/// A person's order that has to outlast the process.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), WriteError>")]
pub struct NoteOrder {
    pub order: Order,
    pub keys: Vec<SyncKey>,
}

impl Write for NoteOrder {
    type Written = ();

    async fn write(self, by: CheckpointWriter) -> Result<(), StoreError> {
        match self.order {
            // An order to run now, which need not outlast anything.
            Order::Sync => {}
            Order::Pause => by.store.pause_by_hand(&self.keys, clock::now()).await?,
            Order::Resume => by.store.resume_by_hand(&self.keys).await?,
            Order::Reset => {
                for SyncKey { account, entity } in self.keys {
                    by.store.reset(account, entity).await?;
                }
            }
            Order::ConfirmRemovals => {
                for SyncKey { account, entity } in self.keys {
                    by.store.confirm_removals(account, &[entity]).await?;
                }
            }
        }
        Ok(())
    }
}

/// An order for an account that another node keeps current. Returns its number, or `None` if no node can carry it out.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<i64>, WriteError>")]
pub struct GiveOrder {
    pub order: Order,
    pub account_id: AccountId,
    /// `None` for all that are kept current.
    pub entities: Option<Vec<EntityType>>,
}

impl Write for GiveOrder {
    type Written = Option<i64>;

    async fn write(self, by: CheckpointWriter) -> Result<Option<i64>, StoreError> {
        let GiveOrder { order, account_id, entities } = self;
        by.store.give_order(account_id, order, entities.as_deref(), &by.owner.label, clock::now()).await
    }
}

/// When the service plans the next run.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), WriteError>")]
pub struct PlanRun {
    pub key: SyncKey,
    pub at: Option<DateTime<Utc>>,
}

impl Write for PlanRun {
    type Written = ();

    async fn write(self, by: CheckpointWriter) -> Result<(), StoreError> {
        by.store.plan_run(self.key, by.owner.id, self.at).await
    }
}
