//! What a syncer asks of its driver, which answers it gets, and what can go wrong between it and the database.

use crate::{
    engine::{
        backoff::Patience,
        restart::RestartPolicy,
        run::{BatchSizes, Draft, RunEnd, RunMode, Ticket},
        sweep::RemovalGuard,
    },
    model::{
        AddedBetween, Checkpoint, CommitReport, EntityType, Fault, Fence, Gap, Member, Page, PageRequest, Pause, Phase,
        StalePlaylist,
    },
};

/// What a syncer is given for life.
#[derive(Debug, Clone, Copy)]
pub struct SyncingSetup {
    pub entity: EntityType,
    pub batches: BatchSizes,
    pub guard: RemovalGuard,
    pub policy: RestartPolicy,
}

/// What is to be done.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "handed out one at a time; a box would cost more than the copy")]
pub enum Step {
    /// Nobody waits for what is under way any more: drop it.
    Abandon,
    /// Read how far the phases are; report by [`Answer::Progress`].
    LoadProgress,
    /// Fence off every earlier run; report by [`Answer::Begun`].
    BeginRun(Phase),
    /// Read where the run is to begin, now that no other process writes; report by [`Answer::Placed`].
    LoadPlace,
    /// Go on in this phase under the same fence; report by [`Answer::Switched`].
    SwitchPhase { fence: Fence, phase: Phase },
    /// A run begins; nothing is to be reported.
    Begun { fence: Fence, mode: RunMode },
    /// Ask the API; report by [`Answer::Page`].
    Fetch { ticket: Ticket, request: PageRequest, patience: Patience },
    /// Write this in one transaction; report by [`Answer::Committed`].
    Commit { fence: Fence, draft: Box<Draft> },
    /// Report by [`Answer::Stale`].
    ListStale,
    /// Report by [`Answer::Members`].
    ListMembers(AddedBetween),
    /// Report by [`Answer::Waited`] once the pause is over. The error is the reason.
    Wait { pause: std::time::Duration, error: SyncError },
    /// Note for people how the run ended; report by [`Answer::Noted`].
    NoteEnd { fence: Fence, phase: Phase, why: EndedShort },
    /// The same, if it is unknown whether there is a fence; report by [`Answer::Noted`].
    NoteFailure(String),
    /// The run is over; nothing is to be reported.
    Ended(RunEnd),
}

/// The outcome of a step.
#[derive(Debug)]
pub enum Answer {
    Progress(Result<RunMode, SyncError>),
    Begun(Result<Fence, SyncError>),
    Placed(Result<Place, SyncError>),
    Switched(Result<Checkpoint, SyncError>),
    Page(Ticket, Result<Page, Fault>),
    Committed(Result<CommitReport, SyncError>),
    Stale(Result<Vec<StalePlaylist>, SyncError>),
    Members(Result<Vec<Member>, SyncError>),
    Waited,
    Noted(Result<(), SyncError>),
}

/// What a run starts from, as the database says.
#[derive(Debug)]
pub struct Place {
    pub mode: RunMode,
    pub num_active: u32,
    /// Gaps of the listing.
    pub open_gaps: Vec<Gap>,
}

/// A run ended short of its goal: what `status` is to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndedShort {
    Paused(Pause),
    Failed(String),
}

/// What goes wrong between a syncer and the database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// Another run writes now, of this process or of another.
    #[error("{0}")]
    Overtaken(String),
    /// It may pass; or a reply was lost, and the outcome of a commit is unknown. The database knows.
    #[error("{0}")]
    Passing(String),
    #[error("{0}")]
    Lasting(String),
}

impl SyncError {
    pub(super) fn into_fault(self) -> Fault {
        match self {
            SyncError::Overtaken(why) => Fault::Overtaken(why),
            SyncError::Passing(why) => Fault::Away(why),
            SyncError::Lasting(why) => Fault::Internal(why),
        }
    }
}
