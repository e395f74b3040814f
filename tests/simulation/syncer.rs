//! A syncer, as `src/actors/syncer.rs` is one: carries out what the engine asks for, and starts again from the database
//! whenever it does not know what became of a commit.

use super::{
    database::Writer,
    library::Tick,
    process::{Trouble, Write},
    world::{Event, Pid, Reading, World},
};
use segno::{
    engine::{
        restart::{Deaths, Exit, RestartPolicy, Ruling},
        run::{EntityRun, Purpose, Rhythm, RunEnd, RunMode, RunPlan, Step},
        sweep::RemovalGuard,
    },
    model::{Checkpoint, CommitReport, EntityType, Fault, Fence, Phase},
};
use std::time::Duration;

/// A service that looks at everything every two days.
const RHYTHM: Rhythm = Rhythm {
    interval: Duration::from_secs(6 * 3600),
    verify_every: Duration::from_secs(48 * 3600),
    artists_every: Duration::from_secs(24 * 3600),
};

/// The next run that misses the same items is believed: the lives are too short to wait.
const REMOVAL_WAIT: Duration = Duration::ZERO;

#[derive(Default)]
pub struct Syncer {
    /// Messages of an earlier beginning are not heard in a later one.
    pub life: u32,
    pub run: Option<Run>,
    /// From when a run is due until its end is told.
    pub is_busy: bool,
    reloads: Deaths,
    deaths: Deaths,
    /// Messages that it will still die over.
    pub num_panics: u32,
}

pub struct Run {
    pub engine: EntityRun,
    pub fence: Fence,
    pub since: Tick,
    pub num_requests: u32,
    pub least: u64,
    /// Not one that an earlier process began.
    pub is_whole: bool,
    pub was_incremental: bool,
}

impl World {
    /// Drops whatever is under way and takes the place from the database.
    pub fn begin(&mut self, pid: Pid, entity: EntityType) {
        let Some(p) = self.at(pid) else { return };
        let syncer = &mut self.processes[p].syncers[entity as usize];
        syncer.is_busy = true;
        syncer.life += 1;
        syncer.run = None;
        let life = syncer.life;
        self.drop_fetches(pid, entity);
        self.soon(Event::Begins { pid, entity, life });
    }

    pub fn begins(&mut self, pid: Pid, entity: EntityType, life: u32) {
        if self.is_alive(pid, entity, life) && !self.dies(pid, entity) {
            let phase = self.database.of(entity).mode().phase();
            self.write(pid, Write::Begin { entity, life, phase });
        }
    }

    fn is_alive(&self, pid: Pid, entity: EntityType, life: u32) -> bool {
        self.at(pid).is_some_and(|p| self.processes[p].syncers[entity as usize].life == life)
    }

    /// Only now does nobody else write; what was read before may have moved.
    pub fn begun(&mut self, pid: Pid, entity: EntityType, life: u32, begun: Result<(Fence, Phase), Trouble>) {
        if !self.is_alive(pid, entity, life) {
            return;
        }
        match begun {
            Ok((fence, phase)) => {
                let now = self.database.of(entity).mode().phase();
                if now == phase {
                    self.go(pid, entity, fence);
                } else {
                    self.write(pid, Write::Switch { entity, life, fence, phase: now, is_first: true });
                }
            }
            Err(trouble) => self.handle_trouble(pid, entity, trouble),
        }
    }

    /// `is_first`: the run is yet to begin.
    pub fn switched(
        &mut self,
        pid: Pid,
        entity: EntityType,
        life: u32,
        switched: Result<Box<(Fence, Checkpoint)>, Trouble>,
        is_first: bool,
    ) {
        if !self.is_alive(pid, entity, life) {
            return;
        }
        let Some(p) = self.at(pid) else { return };
        match switched.map(|switched| *switched) {
            Ok((fence, _)) if is_first => self.go(pid, entity, fence),
            Ok((_, checkpoint)) => {
                if let Some(run) = &mut self.processes[p].syncers[entity as usize].run {
                    run.engine.handle_switched(checkpoint);
                }
                self.drive(pid, entity);
            }
            Err(trouble) => self.handle_trouble(pid, entity, trouble),
        }
    }

    fn go(&mut self, pid: Pid, entity: EntityType, fence: Fence) {
        let Some(p) = self.at(pid) else { return };
        self.tick += 1;
        let books = self.database.of(entity);
        let mode = books.mode();
        let open_gaps = books.gaps.iter().filter(|gap| gap.playlist_id.is_none()).cloned().collect();
        let (is_whole, was_incremental) =
            (!matches!(mode, RunMode::Resume { .. }), matches!(mode, RunMode::Incremental { .. }));
        self.tally.num_runs += 1;
        self.tally.num_resumed += u64::from(!is_whole);
        let batches = self.processes[p].settings.batches;
        let purpose = self.purpose_of(p, entity);
        let guard = RemovalGuard { percent_max: self.processes[p].settings.guard, wait: REMOVAL_WAIT };
        let (num_active, now) = (books.num_active, self.wall());
        let plan = RunPlan { entity, mode: mode.clone(), num_active, open_gaps, batches, purpose, guard, now };
        let least = self.least_requests(entity, &mode, batches);
        self.note_place(entity);
        self.tell(|| format!("process {pid}: {entity} begins {}", brief(&mode)));
        let process = &mut self.processes[p];
        let mut engine = EntityRun::new(plan);
        if process.is_stopping {
            engine.handle_stop();
        }
        process.syncers[entity as usize].run =
            Some(Run { engine, fence, since: self.tick, num_requests: 0, least, is_whole, was_incremental });
        self.drive(pid, entity);
    }

    /// Once the library stands still, somebody wants the database to equal it; where a count cannot tell, everything is
    /// looked at again.
    fn purpose_of(&self, p: usize, entity: EntityType) -> Purpose {
        match (self.oracle.calm_since, self.processes[p].settings.is_routine) {
            (Some(_), _) if self.oracle.wants_verify(entity) => Purpose::Verify,
            (Some(_), _) | (None, false) => Purpose::Current,
            (None, true) => Purpose::Routine(RHYTHM),
        }
    }

    /// Carries out all that the engine asks for.
    pub fn drive(&mut self, pid: Pid, entity: EntityType) {
        loop {
            let Some(p) = self.at(pid) else { return };
            let syncer = &mut self.processes[p].syncers[entity as usize];
            let life = syncer.life;
            let Some(run) = &mut syncer.run else { return };
            let (since, fence) = (run.since, run.fence);
            let Some(step) = run.engine.poll() else { return };
            match step {
                Step::Fetch { ticket, request, patience } => {
                    self.check_asked(entity, &request);
                    self.fetch(pid, entity, ticket, request, patience);
                }
                Step::Commit(draft) => {
                    let writer = Writer { entity, fence, since };
                    self.write(pid, Write::Commit { entity, life, writer, draft });
                }
                Step::SwitchPhase(phase) => {
                    self.write(pid, Write::Switch { entity, life, fence, phase, is_first: false });
                }
                Step::ListStale => self.soon(Event::Reads { pid, entity, life, what: Reading::Stale }),
                Step::ListMembers(wanted) => {
                    self.soon(Event::Reads { pid, entity, life, what: Reading::Members(wanted) });
                }
                Step::End(end) => return self.end(pid, entity, end),
            }
        }
    }

    pub fn reads(&mut self, pid: Pid, entity: EntityType, life: u32, what: Reading) {
        if !self.is_alive(pid, entity, life) {
            return;
        }
        let (Some(p), wall) = (self.at(pid), self.wall()) else { return };
        let books = self.database.of(entity);
        if let Some(run) = &mut self.processes[p].syncers[entity as usize].run {
            match what {
                Reading::Stale => run.engine.handle_stale(books.stale(wall)),
                Reading::Members(wanted) => {
                    self.tally.num_searches += 1;
                    run.engine.handle_members(books.members(entity, wanted));
                }
            }
        }
        self.drive(pid, entity);
    }

    pub fn committed(&mut self, pid: Pid, entity: EntityType, life: u32, report: Result<CommitReport, Trouble>) {
        if !self.is_alive(pid, entity, life) || self.dies(pid, entity) {
            return;
        }
        let Some(p) = self.at(pid) else { return };
        match report {
            Ok(report) => {
                if let Some(run) = &mut self.processes[p].syncers[entity as usize].run {
                    run.engine.handle_committed(report);
                }
                self.drive(pid, entity);
            }
            Err(trouble) => self.handle_trouble(pid, entity, trouble),
        }
    }

    /// Starts again from what the database holds, or gives up.
    fn handle_trouble(&mut self, pid: Pid, entity: EntityType, trouble: Trouble) {
        let (now, jitter) = (self.instant(), self.random.f64());
        let Some(p) = self.at(pid) else { return };
        let syncer = &mut self.processes[p].syncers[entity as usize];
        let exit = Exit::Panicked("a reply was lost".to_owned());
        let ruling = match trouble {
            Trouble::Lost => syncer.reloads.handle_exit(&RestartPolicy::default(), &exit, now, jitter),
            Trouble::Fenced => Ruling::Park,
        };
        self.tell(|| format!("process {pid}: {entity} is in trouble, {trouble:?}: {ruling:?}"));
        match ruling {
            Ruling::RestartIn(pause) => {
                self.drop_run(pid, entity);
                let life = self.processes[p].syncers[entity as usize].life;
                self.after(pause, Event::Begins { pid, entity, life });
            }
            Ruling::Park | Ruling::Rest => {
                self.drop_run(pid, entity);
                let fault = match trouble {
                    Trouble::Fenced => Fault::Overtaken("another process".to_owned()),
                    Trouble::Lost => Fault::Internal("replies are lost".to_owned()),
                };
                self.run_ended(pid, entity, &RunEnd::Failed(fault));
            }
        }
    }

    fn drop_run(&mut self, pid: Pid, entity: EntityType) {
        let Some(p) = self.at(pid) else { return };
        let syncer = &mut self.processes[p].syncers[entity as usize];
        syncer.life += 1;
        syncer.run = None;
        self.drop_fetches(pid, entity);
    }

    fn end(&mut self, pid: Pid, entity: EntityType, end: RunEnd) {
        let Some(p) = self.at(pid) else { return };
        let Some(run) = self.processes[p].syncers[entity as usize].run.take() else { return };
        self.processes[p].syncers[entity as usize].life += 1;
        let wall = self.wall();
        self.drop_fetches(pid, entity);
        let noted = match &end {
            RunEnd::Complete { .. } | RunEnd::Unsteady { .. } | RunEnd::Stopped => Ok(()),
            RunEnd::Paused(_) => self.database.end_run(entity, run.fence, false, wall),
            RunEnd::Failed(_) => self.database.end_run(entity, run.fence, true, wall),
        };
        let end = noted.map_or_else(|_| RunEnd::Failed(Fault::Overtaken("another process".to_owned())), |()| end);
        self.check_end(entity, &run, &end);
        self.run_ended(pid, entity, &end);
    }

    pub fn stop_run(&mut self, pid: Pid, entity: EntityType) {
        let Some(p) = self.at(pid) else { return };
        let syncer = &mut self.processes[p].syncers[entity as usize];
        match &mut syncer.run {
            Some(run) => {
                run.engine.handle_stop();
                self.drive(pid, entity);
            }
            None if syncer.is_busy => {
                self.drop_run(pid, entity);
                self.run_ended(pid, entity, &RunEnd::Stopped);
            }
            None => {}
        }
    }

    /// Whether the syncer dies over the message that it was given. What follows is the guard's to decide.
    pub fn dies(&mut self, pid: Pid, entity: EntityType) -> bool {
        let (now, jitter) = (self.instant(), self.random.f64());
        let Some(p) = self.at(pid) else { return false };
        let syncer = &mut self.processes[p].syncers[entity as usize];
        if syncer.num_panics == 0 || !syncer.is_busy {
            return false;
        }
        syncer.num_panics -= 1;
        let exit = Exit::Panicked("on purpose".to_owned());
        let ruling = syncer.deaths.handle_exit(&RestartPolicy::default(), &exit, now, jitter);
        self.drop_run(pid, entity);
        self.tell(|| format!("process {pid}: the syncer of {entity} panics: {ruling:?}"));
        match ruling {
            Ruling::RestartIn(pause) => {
                let life = self.processes[p].syncers[entity as usize].life;
                self.processes[p].syncers[entity as usize].reloads = Deaths::default();
                self.after(pause, Event::Begins { pid, entity, life });
            }
            Ruling::Park | Ruling::Rest => {
                let syncer = &mut self.processes[p].syncers[entity as usize];
                (syncer.deaths, syncer.reloads) = (Deaths::default(), Deaths::default());
                let wall = self.wall();
                self.database.books[entity as usize].failed_at = Some(wall);
                let end = RunEnd::Failed(Fault::Internal("the syncer keeps failing".to_owned()));
                self.run_ended(pid, entity, &end);
            }
        }
        true
    }
}

fn brief(mode: &RunMode) -> String {
    let of = |checkpoint: &Checkpoint| {
        let walk = &checkpoint.walk;
        format!(
            "{} {:?} at {} of {:?}, pass {}",
            checkpoint.phase, walk.stage, checkpoint.offset, checkpoint.total, walk.pass
        )
    };
    match mode {
        RunMode::Initial => "from nothing".to_owned(),
        RunMode::Incremental { last } => format!("anew after {}", of(last)),
        RunMode::Resume { from } => format!("again from {}", of(from)),
    }
}
