//! Runs one entity type of one account: does what [`crate::engine::run`] says, and starts again from the database
//! whenever it does not know what became of a commit.

use super::{
    checkpoint_writer::{
        BeginRun, CheckpointWriter, CommitBatch, EndRun, EndedShort, NoteFailure, SwitchPhase, WriteError,
    },
    fetch::Fetcher,
    supervisor::{Observed, RunEnded},
    traces::{BatchTrace, RunTrace},
    trouble::Trouble,
};
use crate::{
    clock,
    engine::{
        restart::{Deaths, Exit, RestartPolicy, Ruling},
        run::{BatchSizes, Draft, EntityRun, Purpose, RunEnd, RunMode, RunPlan, RunProgress, Step, Ticket},
        sweep::RemovalGuard,
    },
    faults,
    model::{
        AccountId, BatchSyncResult, Checkpoint, Commit, CommitReport, Effects, EntityType, Fault, Fence, Gap,
        ItemCounts, Member, Page, Phase, StalePlaylist, SyncKey,
    },
    store::{StateKey, Store, StoreError},
};
use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, Recipient, SpawnHandle,
    Supervised, WrapFuture,
};
use std::{cell::Cell, rc::Rc, time::Instant};
use tracing::{Instrument, debug, info, info_span, warn};
use uuid::Uuid;

/// What a syncer is given for life.
#[derive(Clone)]
pub struct SyncerSetup {
    pub account_id: AccountId,
    pub entity: EntityType,
    pub store: Store,
    pub writer: Addr<CheckpointWriter>,
    pub fetcher: Fetcher,
    pub batches: BatchSizes,
    pub purpose: Purpose,
    pub guard: RemovalGuard,
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
    incarnation: u32,
    /// Times this life had to start again from the database.
    reloads: Deaths,
    run: Option<Run>,
    /// The futures of the run, so that nothing of an old run is heard in a new one.
    tasks: Vec<SpawnHandle>,
    stopping: bool,
}

/// A run under way.
struct Run {
    engine: EntityRun,
    run_id: Uuid,
    fence: Fence,
    num_requests: Rc<Cell<u32>>,
    reported_requests: u32,
    last_commit_at: Instant,
    resumed_from: Option<u32>,
    trace: RunTrace,
}

/// What a run starts from, as read from the database.
struct Place {
    fence: Fence,
    mode: RunMode,
    num_active: u32,
    open_gaps: Vec<Gap>,
}

impl Syncer {
    pub fn new(setup: SyncerSetup) -> Syncer {
        Syncer { setup, incarnation: 0, reloads: Deaths::default(), run: None, tasks: Vec::new(), stopping: false }
    }

    /// Drops whatever is under way and takes the place from the database.
    fn begin(&mut self, ctx: &mut Context<Self>) {
        faults::visit(self.point("start"));
        for task in self.tasks.drain(..) {
            ctx.cancel_future(task);
        }
        self.run = None;
        let setup = self.setup.clone();
        let span = info_span!("sync", entity = %setup.entity, incarnation = self.incarnation);
        let load = async move { load_place(&setup).await }.instrument(span);
        let task = ctx.spawn(load.into_actor(self).map(|place, syncer, ctx| match place {
            Ok(place) => syncer.go(place, ctx),
            Err(trouble) => syncer.handle_trouble(trouble, ctx),
        }));
        self.tasks.push(task);
    }

    fn go(&mut self, place: Place, ctx: &mut Context<Self>) {
        let Place { fence, mode, num_active, open_gaps } = place;
        let entity = self.setup.entity;
        let resumed_from = match &mode {
            RunMode::Resume { from } => Some(from.offset),
            RunMode::Initial | RunMode::Incremental { .. } => None,
        };
        let phase = mode.phase();
        match resumed_from {
            Some(offset) => info!(%entity, %phase, offset, "carrying on from the checkpoint"),
            None => info!(%entity, %phase, "run begins"),
        }
        let SyncerSetup { batches, purpose, guard, .. } = self.setup;
        let plan = RunPlan { entity, mode, num_active, open_gaps, batches, purpose, guard, now: clock::now() };
        let mut engine = EntityRun::new(plan);
        if self.stopping {
            engine.handle_stop();
        }
        let run_id = Uuid::new_v4();
        self.run = Some(Run {
            engine,
            run_id,
            fence,
            num_requests: Rc::default(),
            reported_requests: 0,
            last_commit_at: clock::instant(),
            resumed_from,
            trace: RunTrace::begin(self.setup.key(), run_id, phase),
        });
        self.observe(None);
        self.drive(ctx);
    }

    /// Carries out all that the engine asks for.
    fn drive(&mut self, ctx: &mut Context<Self>) {
        while let Some(step) = self.run.as_mut().and_then(|run| run.engine.poll()) {
            match step {
                Step::Fetch { ticket, request, patience } => {
                    let Some(run) = &mut self.run else { return };
                    let (num_requests, span) = (run.num_requests.clone(), run.trace.fetching());
                    let fetcher = self.setup.fetcher.clone();
                    let fetch = async move { fetcher.page(&request, patience, &num_requests).await };
                    self.spawn(ctx, fetch.instrument(span), move |answer, syncer, ctx| {
                        syncer.handle_page(ticket, answer, ctx)
                    });
                }
                Step::Commit(draft) => {
                    let (commit, batch) = self.commit_of(*draft);
                    let writer = self.setup.writer.clone();
                    let write = async move { Ok(writer.send(CommitBatch(commit)).await??) };
                    self.spawn(ctx, batch.commit(write), |report, syncer, ctx| syncer.handle_committed(report, ctx));
                }
                Step::SwitchPhase(phase) => self.switch_phase(phase, ctx),
                Step::ListStale => {
                    let (store, account_id) = (self.setup.store.clone(), self.setup.account_id);
                    let list = async move { Ok(store.stale_playlists(account_id, clock::now()).await?) };
                    self.spawn(ctx, list, |stale, syncer, ctx| syncer.handle_stale(stale, ctx));
                }
                Step::ListMembers(wanted) => {
                    let (store, key) = (self.setup.store.clone(), self.setup.key());
                    let list = async move { Ok(store.list_members(key.account, key.entity, wanted).await?) };
                    self.spawn(ctx, list, |members, syncer, ctx| syncer.handle_members(members, ctx));
                }
                Step::End(end) => self.end(end, ctx),
            }
        }
    }

    fn spawn<T: 'static>(
        &mut self,
        ctx: &mut Context<Self>,
        work: impl Future<Output = T> + 'static,
        then: impl FnOnce(T, &mut Syncer, &mut Context<Self>) + 'static,
    ) {
        let task = ctx.spawn(work.into_actor(self).map(then));
        // Finished ones need no cancelling; what is in flight is never more than a few.
        if self.tasks.len() > 64 {
            self.tasks.drain(..32);
        }
        self.tasks.push(task);
    }

    fn handle_page(&mut self, ticket: Ticket, answer: Result<Page, Fault>, ctx: &mut Context<Self>) {
        faults::visit(self.point("page"));
        if let Some(run) = &mut self.run {
            run.engine.handle_page(ticket, answer);
        }
        self.drive(ctx);
    }

    fn handle_committed(&mut self, report: Result<CommitReport, Trouble>, ctx: &mut Context<Self>) {
        faults::visit(self.point("committed"));
        match report {
            Ok(report) => {
                if let Some(run) = &mut self.run {
                    let mut counts = report.counts;
                    if run.engine.is_reading_again() {
                        // What an earlier pass of this run has counted is not counted twice.
                        (counts.unchanged, counts.odd) = (0, 0);
                    }
                    run.engine.handle_committed(report);
                    let result = run.engine.last_result();
                    debug!(entity = %self.setup.entity, ?counts, ?result, "batch committed");
                    self.observe(Some(counts));
                }
                self.drive(ctx);
            }
            Err(trouble) => self.handle_trouble(trouble, ctx),
        }
    }

    fn switch_phase(&mut self, phase: Phase, ctx: &mut Context<Self>) {
        let Some(fence) = self.run.as_ref().map(|run| run.fence) else { return };
        let (account_id, entity) = (self.setup.account_id, self.setup.entity);
        let writer = self.setup.writer.clone();
        let switch = async move { Ok(writer.send(SwitchPhase { fence, account_id, entity, phase }).await??) };
        self.spawn(ctx, switch, |stored: Result<Checkpoint, Trouble>, syncer, ctx| match stored {
            Ok(stored) => {
                if let Some(run) = &mut syncer.run {
                    run.engine.handle_switched(stored);
                }
                syncer.drive(ctx);
            }
            Err(trouble) => syncer.handle_trouble(trouble, ctx),
        });
    }

    fn handle_members(&mut self, members: Result<Vec<Member>, Trouble>, ctx: &mut Context<Self>) {
        match members {
            Ok(members) => {
                if let Some(run) = &mut self.run {
                    run.engine.handle_members(members);
                }
                self.drive(ctx);
            }
            Err(trouble) => self.handle_trouble(trouble, ctx),
        }
    }

    fn handle_stale(&mut self, stale: Result<Vec<StalePlaylist>, Trouble>, ctx: &mut Context<Self>) {
        match stale {
            Ok(stale) => {
                if let Some(run) = &mut self.run {
                    run.engine.handle_stale(stale);
                }
                self.drive(ctx);
            }
            Err(trouble) => self.handle_trouble(trouble, ctx),
        }
    }

    /// What the engine drafted, made whole.
    fn commit_of(&mut self, draft: Draft) -> (Box<Commit>, BatchTrace) {
        let run = self.run.as_mut().expect("only a run drafts commits");
        let (now, instant) = (clock::now(), clock::instant());
        let Draft { rows, offset_from, offset_to, effects, checkpoint } = draft;
        let gap = |playlist_id, offset_from, offset_to, reason| Gap {
            playlist_id,
            offset_from,
            offset_to,
            pass: checkpoint.walk.pass,
            total: checkpoint.total,
            reason,
            since: now,
        };
        let effects = Effects {
            record_seen: effects.record_seen,
            reset_seen: effects.reset_seen,
            survey: effects.survey,
            removal: effects.removal,
            hold: effects.hold,
            release_held: effects.release_held,
            removed_ids: effects.removed_ids,
            new_gaps: effects
                .new_gaps
                .into_iter()
                .map(|(playlist_id, range)| gap(playlist_id, range.offset_from, range.offset_to, range.reason))
                .collect(),
            healed_gaps: effects
                .healed_gaps
                .into_iter()
                .map(|(playlist_id, from, to)| gap(playlist_id, from, to, String::new()))
                .collect(),
            forget_item_snapshots: effects.forget_item_snapshots,
            heal_all_gaps_before: effects.heal_all_gaps_before,
        };
        let num_requests =
            run.num_requests.get() - std::mem::replace(&mut run.reported_requests, run.num_requests.get());
        let duration = instant.saturating_duration_since(std::mem::replace(&mut run.last_commit_at, instant));
        let commit = Box::new(Commit {
            account_id: self.setup.account_id,
            entity: self.setup.entity,
            fence: run.fence,
            run_id: run.run_id,
            rows,
            effects,
            checkpoint,
            offset_from,
            offset_to,
            num_requests,
            duration,
        });
        let batch = run.trace.committing(&commit);
        (commit, batch)
    }

    /// A commit or a look at the database failed: start again from what the database holds, or give up.
    fn handle_trouble(&mut self, trouble: Trouble, ctx: &mut Context<Self>) {
        let entity = self.setup.entity;
        let exit = Exit::Panicked(trouble.to_string());
        let ruling = if trouble.is_transient() {
            self.reloads.handle_exit(&self.setup.policy, &exit, clock::instant(), fastrand::f64())
        } else {
            Ruling::Park
        };
        match ruling {
            Ruling::RestartIn(pause) => {
                warn!(%entity, error = %trouble, "starting again from the database");
                ctx.run_later(pause, |syncer, ctx| syncer.begin(ctx));
            }
            Ruling::Park | Ruling::Rest => {
                let SyncerSetup { account_id, writer, .. } = &self.setup;
                let (note, writer) =
                    (NoteFailure { account_id: *account_id, entity, why: trouble.to_string() }, writer.clone());
                let end = RunEnd::Failed(trouble.into_fault());
                let note = async move { writer.send(note).await };
                self.spawn(ctx, note, move |_, syncer, _| syncer.finish(end, BatchSyncResult::default()));
            }
        }
    }

    fn end(&mut self, end: RunEnd, ctx: &mut Context<Self>) {
        let Some(run) = &self.run else { return };
        let entity = self.setup.entity;
        let key = StateKey { account: self.setup.account_id, entity, phase: run.engine.phase() };
        let (fence, mut result) = (run.fence, run.engine.last_result().clone());
        let why = match &end {
            RunEnd::Complete { .. } | RunEnd::Unsteady { .. } | RunEnd::Stopped => None,
            RunEnd::Paused(pause) => {
                result.rate_limited = true;
                result.rate_limit_reset_at = Some(pause.until);
                Some(EndedShort::Paused(*pause))
            }
            RunEnd::Failed(fault) => Some(EndedShort::Failed(fault.to_string())),
        };
        let Some(why) = why else { return self.finish(end, result) };
        let writer = self.setup.writer.clone();
        let note = async move { writer.send(EndRun { key, fence, why }).await };
        self.spawn(ctx, note, move |noted, syncer, _| {
            let end = match noted {
                Ok(Ok(())) => end,
                // Whoever took over goes on, whatever stopped us.
                Ok(Err(WriteError::Store(error @ StoreError::Fenced { .. }))) => {
                    RunEnd::Failed(Fault::Overtaken(error.to_string()))
                }
                noted => {
                    warn!(%entity, ?noted, "how the run ended could not be noted");
                    end
                }
            };
            syncer.finish(end, result);
        });
    }

    /// Tells the supervisor.
    fn finish(&mut self, end: RunEnd, result: BatchSyncResult) {
        self.observe(None);
        let run = self.run.take().inspect(|run| run.trace.end(&end));
        let num_requests = run.map_or(0, |run| run.num_requests.get());
        let entity = self.setup.entity;
        debug!(%entity, ?end, ?result, num_requests, "run ended");
        self.setup.supervisor.do_send(RunEnded { key: self.setup.key(), end });
    }

    fn observe(&self, counts: Option<ItemCounts>) {
        let Some(run) = &self.run else { return };
        let progress: RunProgress = run.engine.progress();
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

/// Fences off every earlier run, then reads where this one is to begin.
async fn load_place(setup: &SyncerSetup) -> Result<Place, Trouble> {
    let SyncerSetup { account_id, entity, store, writer, .. } = setup;
    let (account_id, entity) = (*account_id, *entity);
    let progress = store.load_progress(account_id, entity).await?;
    let phase = RunMode::of(progress.initial, progress.incremental).phase();
    let fence = writer.send(BeginRun { account_id, entity, phase }).await??;
    // Only now does nobody else write: what was read before may have moved.
    let progress = store.load_progress(account_id, entity).await?;
    let mode = RunMode::of(progress.initial, progress.incremental);
    if mode.phase() != phase {
        writer.send(SwitchPhase { fence, account_id, entity, phase: mode.phase() }).await??;
    }
    let num_active = store.library_counts(account_id).await?.num_active(entity);
    let open_gaps = store.open_gaps(account_id, entity).await?;
    let open_gaps = open_gaps.into_iter().filter(|gap| gap.playlist_id.is_none()).collect();
    Ok(Place { fence, mode, num_active, open_gaps })
}

impl Actor for Syncer {
    type Context = Context<Self>;
}

impl Supervised for Syncer {
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Syncer {
            setup: self.setup.clone(),
            incarnation: self.incarnation + 1,
            reloads: Deaths::default(),
            run: None,
            tasks: Vec::new(),
            stopping: self.stopping,
        };
    }
}

/// Begin a run, or begin again from the database.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StartRun(pub Purpose);

impl Handler<StartRun> for Syncer {
    type Result = ();

    fn handle(&mut self, StartRun(purpose): StartRun, ctx: &mut Self::Context) {
        self.setup.purpose = purpose;
        self.begin(ctx);
    }
}

/// Drop whatever is under way and end the actor, without a word: its account is in other hands, or in none.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Dismiss;

impl Handler<Dismiss> for Syncer {
    type Result = ();

    fn handle(&mut self, _: Dismiss, ctx: &mut Self::Context) {
        for task in self.tasks.drain(..) {
            ctx.cancel_future(task);
        }
        self.run = None;
        ctx.stop();
    }
}

/// Commit what is whole and end the run.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StopRun;

impl Handler<StopRun> for Syncer {
    type Result = ();

    fn handle(&mut self, _: StopRun, ctx: &mut Self::Context) {
        self.stopping = true;
        match &mut self.run {
            Some(run) => {
                run.engine.handle_stop();
                self.drive(ctx);
            }
            None => {
                for task in self.tasks.drain(..) {
                    ctx.cancel_future(task);
                }
                self.finish(RunEnd::Stopped, BatchSyncResult::default());
            }
        }
    }
}
