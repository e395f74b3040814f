//! Carries messages between [`Syncing`] and the world: to the gate and the API, the writer and the store, and to the
//! supervisor.

use super::{
    checkpoint_writer::{BeginRun, CheckpointWriter, CommitBatch, EndRun, NoteFailure, SwitchPhase},
    driven::Dismiss,
    fetch::Fetcher,
    now,
    sync_error::{looked, tried},
    traces::RunTrace,
};
use crate::{
    clock,
    engine::{
        restart::RestartPolicy,
        run::{BatchSizes, Draft, EntityRun, Purpose, RunEnd, RunMode, RunProgress},
        sweep::RemovalGuard,
        syncing::{Answer, Place, Step, SyncError, Syncing, SyncingSetup},
    },
    faults,
    model::{AccountId, Commit, EntityType, Fence, ItemCounts, PlaylistChoice, SyncKey},
    store::{StateKey, Store},
};
use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, Recipient, SpawnHandle,
    Supervised, WrapFuture,
};
use std::{cell::Cell, rc::Rc, sync::Arc, time::Instant};
use tracing::{Instrument, debug, info, warn};
use uuid::Uuid;

/// The run made progress.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Observed {
    pub key: SyncKey,
    pub progress: RunProgress,
    /// What the batch just committed has changed.
    pub counts: Option<ItemCounts>,
    pub run_id: Uuid,
    pub num_requests: u32,
    pub resumed_from: Option<u32>,
}

/// The run is over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RunEnded {
    pub key: SyncKey,
    pub end: RunEnd,
}

/// What a syncer is given for life.
#[derive(Clone)]
pub struct SyncerSetup {
    pub account_id: AccountId,
    pub entity: EntityType,
    pub store: Store,
    pub writer: Addr<CheckpointWriter>,
    pub fetcher: Fetcher,
    pub batches: BatchSizes,
    pub guard: RemovalGuard,
    /// The playlists whose items are read.
    pub playlists: Arc<PlaylistChoice>,
    pub observer: Recipient<Observed>,
    pub supervisor: Recipient<RunEnded>,
    pub policy: RestartPolicy,
}

impl SyncerSetup {
    fn key(&self) -> SyncKey {
        SyncKey { account: self.account_id, entity: self.entity }
    }
}

pub struct Syncer {
    setup: SyncerSetup,
    machine: Syncing,
    run: Option<Run>,
    /// What is under way.
    tasks: Vec<SpawnHandle>,
}

/// The counts of a run under way.
struct Run {
    run_id: Uuid,
    num_requests: Rc<Cell<u32>>,
    reported_requests: u32,
    last_commit_at: Instant,
    resumed_from: Option<u32>,
    trace: RunTrace,
}

impl Syncer {
    pub fn new(setup: SyncerSetup) -> Syncer {
        let SyncerSetup { entity, batches, guard, policy, .. } = setup;
        let machine = Syncing::new(SyncingSetup { entity, batches, guard, policy });
        Syncer { setup, machine, run: None, tasks: Vec::new() }
    }

    /// Carries out everything that is due.
    fn drive(&mut self, ctx: &mut Context<Self>) {
        while let Some(step) = self.machine.poll() {
            self.carry_out(step, ctx);
        }
    }

    fn carry_out(&mut self, step: Step, ctx: &mut Context<Self>) {
        let SyncerSetup { account_id, entity, store, writer, .. } = self.setup.clone();
        match step {
            Step::Abandon => self.tasks.drain(..).for_each(|task| _ = ctx.cancel_future(task)),
            Step::LoadProgress => {
                faults::visit(self.point("start"));
                self.spawn(ctx, async move { Answer::Progress(load_mode(&store, account_id, entity).await) });
            }
            Step::BeginRun(phase) => {
                let begun = writer.send(BeginRun { account_id, entity, phase });
                self.spawn(ctx, async move { Answer::Begun(tried(begun.await)) });
            }
            Step::LoadPlace => {
                self.spawn(ctx, async move { Answer::Placed(load_place(&store, account_id, entity).await) });
            }
            Step::SwitchPhase { fence, phase } => {
                let switched = writer.send(SwitchPhase { fence, account_id, entity, phase });
                self.spawn(ctx, async move { Answer::Switched(tried(switched.await)) });
            }
            Step::Begun { mode, .. } => self.begin_run(&mode),
            Step::Fetch { ticket, request, patience } => {
                let Some(run) = &mut self.run else { return };
                let (num_requests, span) = (run.num_requests.clone(), run.trace.fetching());
                let fetcher = self.setup.fetcher.clone();
                let fetch = async move { Answer::Page(ticket, fetcher.page(&request, patience, &num_requests).await) };
                self.spawn(ctx, fetch.instrument(span));
            }
            Step::Commit { fence, draft } => {
                let Some(commit) = self.commit_of(fence, *draft) else { return };
                let Some(run) = &mut self.run else { return };
                let batch = run.trace.committing(&commit);
                let written = writer.send(CommitBatch(commit));
                self.spawn(
                    ctx,
                    async move { Answer::Committed(batch.commit(async move { tried(written.await) }).await) },
                );
            }
            Step::ListStale => {
                let wanted = self.setup.playlists.clone();
                self.spawn(ctx, async move {
                    let due = store.due_playlists(account_id, clock::now());
                    Answer::Stale(looked(async { Ok(wanted.of(due.await?)) }).await)
                });
            }
            Step::ListMembers(wanted) => {
                self.spawn(
                    ctx,
                    async move { Answer::Members(looked(store.list_members(account_id, entity, wanted)).await) },
                )
            }
            Step::Wait { pause, error } => {
                warn!(%entity, error = %error, "starting again from the database");
                let life = self.machine.life();
                let task = ctx.run_later(pause, move |syncer, ctx| syncer.handle(life, Answer::Waited, ctx));
                self.tasks.push(task);
            }
            Step::NoteEnd { fence, phase, why } => {
                let key = StateKey { account: account_id, entity, phase };
                let noted = writer.send(EndRun { key, fence, why });
                self.spawn(ctx, async move { Answer::Noted(tried(noted.await)) });
            }
            Step::NoteFailure(why) => {
                let noted = writer.send(NoteFailure { account_id, entity, why });
                self.spawn(ctx, async move { Answer::Noted(tried(noted.await)) });
            }
            Step::Ended(end) => {
                self.observe(None);
                let run = self.run.take().inspect(|run| run.trace.end(&end));
                let num_requests = run.map_or(0, |run| run.num_requests.get());
                debug!(%entity, ?end, result = ?self.machine.last_result(), num_requests, "run ended");
                self.setup.supervisor.do_send(RunEnded { key: self.setup.key(), end });
            }
        }
    }

    fn spawn(&mut self, ctx: &mut Context<Self>, work: impl Future<Output = Answer> + 'static) {
        let life = self.machine.life();
        let task = ctx.spawn(work.into_actor(self).map(move |answer, syncer, ctx| syncer.handle(life, answer, ctx)));
        // Finished ones need no cancelling; there are never more than a few in flight.
        if self.tasks.len() > 64 {
            self.tasks.drain(..32);
        }
        self.tasks.push(task);
    }

    fn handle(&mut self, life: u32, answer: Answer, ctx: &mut Context<Self>) {
        if life != self.machine.life() {
            return;
        }
        let committed = match &answer {
            Answer::Page(..) => {
                faults::visit(self.point("page"));
                None
            }
            Answer::Committed(report) => {
                faults::visit(self.point("committed"));
                report.as_ref().ok().map(|report| report.counts)
            }
            Answer::Noted(Err(error)) if !matches!(error, SyncError::Overtaken(_)) => {
                warn!(entity = %self.setup.entity, %error, "the result of the run could not be saved");
                None
            }
            _ => None,
        };
        // What an earlier pass of this run has counted is not counted again.
        let is_again = self.machine.run().is_some_and(EntityRun::is_reading_again);
        self.machine.handle(life, answer, now());
        if let Some(mut counts) = committed {
            if is_again {
                (counts.unchanged, counts.odd) = (0, 0);
            }
            debug!(entity = %self.setup.entity, ?counts, result = ?self.machine.last_result(), "batch committed");
            self.observe(Some(counts));
        }
        self.drive(ctx);
    }

    fn begin_run(&mut self, mode: &RunMode) {
        let (entity, phase, run_id) = (self.setup.entity, mode.phase(), Uuid::new_v4());
        let resumed_from = match mode {
            RunMode::Resume { from } => Some(from.offset),
            RunMode::Initial | RunMode::Incremental { .. } => None,
        };
        match resumed_from {
            Some(offset) => info!(%entity, %phase, offset, "carrying on from the checkpoint"),
            None => info!(%entity, %phase, "run begins"),
        }
        self.run = Some(Run {
            run_id,
            num_requests: Rc::default(),
            reported_requests: 0,
            last_commit_at: clock::instant(),
            resumed_from,
            trace: RunTrace::begin(self.setup.key(), run_id, phase),
        });
        self.observe(None);
    }

    /// Completes what the engine drafted.
    fn commit_of(&mut self, fence: Fence, draft: Draft) -> Option<Box<Commit>> {
        let run = self.run.as_mut()?;
        let instant = clock::instant();
        let Draft { rows, offset_from, offset_to, effects, checkpoint } = draft;
        let num_requests =
            run.num_requests.get() - std::mem::replace(&mut run.reported_requests, run.num_requests.get());
        let duration = instant.saturating_duration_since(std::mem::replace(&mut run.last_commit_at, instant));
        Some(Box::new(Commit {
            account_id: self.setup.account_id,
            entity: self.setup.entity,
            fence,
            run_id: run.run_id,
            rows,
            effects,
            checkpoint,
            offset_from,
            offset_to,
            num_requests,
            duration,
        }))
    }

    fn observe(&self, counts: Option<ItemCounts>) {
        let (Some(run), Some(progress)) = (&self.run, self.machine.progress()) else { return };
        self.setup.observer.do_send(Observed {
            key: self.setup.key(),
            progress,
            counts,
            run_id: run.run_id,
            num_requests: run.num_requests.get(),
            resumed_from: run.resumed_from,
        });
    }

    fn point(&self, what: &str) -> &'static str {
        match (self.setup.entity, what) {
            (EntityType::Tracks, "start") => "syncer.tracks.start",
            (EntityType::Tracks, "page") => "syncer.tracks.page",
            (EntityType::Tracks, _) => "syncer.tracks.committed",
            (EntityType::Playlists, "page") => "syncer.playlists.page",
            (EntityType::Playlists, _) => "syncer.playlists.other",
            (_, _) => "syncer.other",
        }
    }
}

async fn load_mode(store: &Store, account: AccountId, entity: EntityType) -> Result<RunMode, SyncError> {
    let progress = looked(store.load_progress(account, entity)).await?;
    Ok(RunMode::of(progress.initial, progress.incremental))
}

async fn load_place(store: &Store, account: AccountId, entity: EntityType) -> Result<Place, SyncError> {
    let mode = load_mode(store, account, entity).await?;
    let num_active = looked(store.num_members(account, entity)).await?;
    let open_gaps = looked(store.open_gaps(account, entity)).await?;
    let open_gaps = open_gaps.into_iter().filter(|gap| gap.playlist_id.is_none()).collect();
    Ok(Place { mode, num_active, open_gaps })
}

impl Actor for Syncer {
    type Context = Context<Self>;
}

impl Supervised for Syncer {
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Syncer { setup: self.setup.clone(), machine: self.machine.reborn(), run: None, tasks: Vec::new() };
    }
}

/// Begin a run, or start again from the database.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StartRun(pub Purpose);

impl Handler<StartRun> for Syncer {
    type Result = ();

    fn handle(&mut self, StartRun(purpose): StartRun, ctx: &mut Self::Context) {
        self.machine.handle_start(purpose);
        self.drive(ctx);
    }
}

impl Handler<Dismiss> for Syncer {
    type Result = ();

    fn handle(&mut self, _: Dismiss, ctx: &mut Self::Context) {
        self.machine.handle_dismissed();
        self.drive(ctx);
        ctx.stop();
    }
}

/// Commit whatever is whole and end the run.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StopRun;

impl Handler<StopRun> for Syncer {
    type Result = ();

    fn handle(&mut self, _: StopRun, ctx: &mut Self::Context) {
        self.machine.handle_stop();
        self.drive(ctx);
    }
}
