//! The life of a syncer, which runs one entity type of one account: takes its place from the database, drives
//! [`EntityRun`], and starts again from the database whenever the outcome of a commit is unknown.
//!
//! ```text
//!   Start -> how far? -> fence -> how far now? -> [enter the phase] -> run -> [note how it ended] -> Ended
//!              ^                                                        |
//!              +------- a pause <--------- the database fails, or a reply is lost; too often: note it -> Ended
//! ```
//!
//! The driver carries out each [`Step`] and reports the [`Answer`] with the life in which the step was handed out. Each
//! beginning is a new life, and answers to an earlier one are ignored.

mod step;

pub use step::{Answer, EndedShort, Place, Step, SyncError, SyncingSetup};

use super::{
    Now,
    restart::{Deaths, Exit, Ruling},
    run::{self, EntityRun, Purpose, RunEnd, RunPlan, RunProgress},
};
use crate::model::{BatchSyncResult, Fence, Phase};
use std::collections::VecDeque;

/// A syncer, as a state machine.
#[derive(Debug)]
pub struct Syncing {
    setup: SyncingSetup,
    purpose: Purpose,
    life: u32,
    state: State,
    /// Kept after its end, so that its progress can be read.
    run: Option<EntityRun>,
    /// Times that it had to start again from the database.
    reloads: Deaths,
    is_stopping: bool,
    steps: VecDeque<Step>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each syncer")]
enum State {
    Idle,
    Loading,
    Beginning(Phase),
    Placing {
        fence: Fence,
        phase: Phase,
    },
    /// The phase that the database was in has yet to be entered.
    Entering {
        fence: Fence,
        place: Place,
    },
    Running(Fence),
    /// How the run ended is being noted.
    Ending(RunEnd),
    Waiting,
}

impl Syncing {
    pub fn new(setup: SyncingSetup) -> Syncing {
        Syncing {
            setup,
            purpose: Purpose::Current,
            life: 0,
            state: State::Idle,
            run: None,
            reloads: Deaths::default(),
            is_stopping: false,
            steps: VecDeque::new(),
        }
    }

    /// The next life of a syncer that died: everything it knew is lost, except for what a person ordered.
    pub fn reborn(&self) -> Syncing {
        Syncing { life: self.life + 1, is_stopping: self.is_stopping, ..Syncing::new(self.setup) }
    }

    /// Changes with each beginning and each end.
    pub fn life(&self) -> u32 {
        self.life
    }

    /// From the order to run until the end of the run.
    pub fn is_busy(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    /// The run that begins or continues, or the last one.
    pub fn run(&self) -> Option<&EntityRun> {
        self.run.as_ref()
    }

    pub fn progress(&self) -> Option<RunProgress> {
        self.run().map(EntityRun::progress)
    }

    /// Begins a run, or begins again from the database.
    pub fn handle_start(&mut self, purpose: Purpose) {
        self.purpose = purpose;
        self.begin();
    }

    /// Ends the run: what is whole is committed.
    pub fn handle_stop(&mut self) {
        self.is_stopping = true;
        match (&self.state, &mut self.run) {
            (State::Running(_), Some(run)) => run.handle_stop(),
            (State::Idle | State::Ending(_), _) => {}
            (_, _) => {
                self.abandon();
                self.end(RunEnd::Stopped);
            }
        }
    }

    /// The account belongs to another process, or to none: drops everything without reporting an end.
    pub fn handle_dismissed(&mut self) {
        self.abandon();
        (self.run, self.state) = (None, State::Idle);
    }

    /// Hands out the next thing to do; `None` while something is waited for. Call until `None`.
    pub fn poll(&mut self) -> Option<Step> {
        if let Some(step) = self.steps.pop_front() {
            return Some(step);
        }
        let (State::Running(fence), Some(run)) = (&self.state, &mut self.run) else { return None };
        let fence = *fence;
        match run.poll()? {
            run::Step::Fetch { ticket, request, patience } => Some(Step::Fetch { ticket, request, patience }),
            run::Step::Commit(draft) => Some(Step::Commit { fence, draft }),
            run::Step::SwitchPhase(phase) => Some(Step::SwitchPhase { fence, phase }),
            run::Step::ListStale => Some(Step::ListStale),
            run::Step::ListMembers(wanted) => Some(Step::ListMembers(wanted)),
            run::Step::End(end) => {
                self.handle_run_over(fence, end);
                self.steps.pop_front()
            }
        }
    }

    /// Takes in the answer to a step that was handed out in that life.
    pub fn handle(&mut self, life: u32, answer: Answer, now: Now) {
        if life != self.life {
            return;
        }
        if let Err(error) = self.take_in(answer, now) {
            self.handle_error(error, now);
        }
    }

    fn take_in(&mut self, answer: Answer, now: Now) -> Result<(), SyncError> {
        let state = std::mem::replace(&mut self.state, State::Idle);
        self.state = match (state, answer) {
            (State::Loading, Answer::Progress(mode)) => {
                let phase = mode?.phase();
                self.steps.push_back(Step::BeginRun(phase));
                State::Beginning(phase)
            }
            (State::Beginning(phase), Answer::Begun(fence)) => {
                let fence = fence?;
                // What was read before the fence was set may have changed since.
                self.steps.push_back(Step::LoadPlace);
                State::Placing { fence, phase }
            }
            (State::Placing { fence, phase }, Answer::Placed(place)) => {
                let place = place?;
                if place.mode.phase() == phase {
                    self.go(fence, place, now)
                } else {
                    self.steps.push_back(Step::SwitchPhase { fence, phase: place.mode.phase() });
                    State::Entering { fence, place }
                }
            }
            (State::Entering { fence, place }, Answer::Switched(entered)) => {
                entered?;
                self.go(fence, place, now)
            }
            (State::Running(fence), answer) => {
                self.take_into_run(answer)?;
                State::Running(fence)
            }
            (State::Ending(end), Answer::Noted(noted)) => {
                // The new owner continues, whatever stopped us.
                let end = match noted {
                    Err(error @ SyncError::Overtaken(_)) => RunEnd::Failed(error.into_fault()),
                    Ok(()) | Err(SyncError::Passing(_) | SyncError::Lasting(_)) => end,
                };
                self.end(end);
                return Ok(());
            }
            (State::Waiting, Answer::Waited) => {
                self.begin();
                return Ok(());
            }
            (state, _) => state,
        };
        Ok(())
    }

    fn take_into_run(&mut self, answer: Answer) -> Result<(), SyncError> {
        let Some(run) = &mut self.run else { return Ok(()) };
        match answer {
            Answer::Page(ticket, answer) => run.handle_page(ticket, answer),
            Answer::Committed(report) => run.handle_committed(report?),
            Answer::Switched(stored) => run.handle_switched(stored?),
            Answer::Stale(stale) => run.handle_stale(stale?),
            Answer::Members(members) => run.handle_members(members?),
            Answer::Progress(_) | Answer::Begun(_) | Answer::Placed(_) | Answer::Waited | Answer::Noted(_) => {}
        }
        Ok(())
    }

    /// Takes the place from the database, whatever is under way.
    fn begin(&mut self) {
        self.abandon();
        self.run = None;
        self.steps.push_back(Step::LoadProgress);
        self.state = State::Loading;
    }

    fn go(&mut self, fence: Fence, place: Place, now: Now) -> State {
        let Place { mode, num_active, open_gaps } = place;
        let SyncingSetup { entity, batches, guard, .. } = self.setup;
        self.steps.push_back(Step::Begun { fence, mode: mode.clone() });
        let plan =
            RunPlan { entity, mode, num_active, open_gaps, batches, purpose: self.purpose, guard, now: now.wall };
        let run = self.run.insert(EntityRun::new(plan));
        if self.is_stopping {
            run.handle_stop();
        }
        State::Running(fence)
    }

    fn handle_run_over(&mut self, fence: Fence, end: RunEnd) {
        // A fault of one page may end it while others are asked for.
        self.abandon();
        let phase = self.run.as_ref().map_or(Phase::InitialSync, EntityRun::phase);
        let why = match &end {
            RunEnd::Complete { .. } | RunEnd::Unsteady { .. } | RunEnd::Stopped => return self.end(end),
            RunEnd::Paused(pause) => EndedShort::Paused(*pause),
            RunEnd::Failed(fault) => EndedShort::Failed(fault.to_string()),
        };
        self.steps.push_back(Step::NoteEnd { fence, phase, why });
        self.state = State::Ending(end);
    }

    /// A commit or a look at the database failed: starts again from what the database holds, or gives up.
    fn handle_error(&mut self, error: SyncError, now: Now) {
        let ruling = match &error {
            SyncError::Passing(why) => {
                self.reloads.handle_exit(&self.setup.policy, &Exit::Panicked(why.clone()), now.at, now.jitter)
            }
            SyncError::Overtaken(_) | SyncError::Lasting(_) => Ruling::Park,
        };
        self.abandon();
        match ruling {
            Ruling::RestartIn(pause) => {
                self.steps.push_back(Step::Wait { pause, error });
                self.state = State::Waiting;
            }
            Ruling::Park | Ruling::Rest => {
                self.steps.push_back(Step::NoteFailure(error.to_string()));
                self.state = State::Ending(RunEnd::Failed(error.into_fault()));
            }
        }
    }

    fn abandon(&mut self) {
        self.life += 1;
        self.steps.clear();
        self.steps.push_back(Step::Abandon);
    }

    fn end(&mut self, end: RunEnd) {
        self.state = State::Idle;
        self.steps.push_back(Step::Ended(end));
    }

    /// The result of the last batch committed.
    pub fn last_result(&self) -> BatchSyncResult {
        let mut result = self.run().map(|run| run.last_result().clone()).unwrap_or_default();
        if let State::Ending(RunEnd::Paused(pause)) = &self.state {
            (result.rate_limited, result.rate_limit_reset_at) = (true, Some(pause.until));
        }
        result
    }
}

#[cfg(test)]
mod tests;
