//! What a run is doing right now, what a commit of it means, and what a decision leads to.

use super::{
    assembly::Assembly,
    cursor_walk::CursorWalk,
    items_walk::ItemsWalk,
    offset_walk::OffsetWalk,
    search::Search,
    slice::Slice,
    step::{Draft, RunEnd},
};
use crate::model::{AddedBetween, Fault, Gap};

#[derive(Debug)]
pub(super) enum Activity {
    /// Deciding what comes next.
    Begin,
    Walk(OffsetWalk),
    Cursor(CursorWalk),
    /// One page around each gap of an earlier run.
    Gap {
        gap: Gap,
        assembly: Assembly,
    },
    AwaitMembers {
        asked: bool,
        wanted: AddedBetween,
    },
    /// Looking for what the head does not explain.
    Search(Search),
    /// Looking for changes that no count reveals.
    Slice(Slice),
    AwaitStale {
        asked: bool,
    },
    Items(ItemsWalk),
    AwaitSwitch {
        asked: bool,
    },
    /// Waiting for the commit that decides.
    AwaitCommit,
    Over(RunEnd),
}

/// What a commit means once it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Batch,
    /// A batch of the head; its memberships tell whether to read on.
    Head {
        ended: bool,
    },
    /// The last batch of a pass, with a survey.
    PassEnd,
    /// A page around a gap.
    Gap,
    /// Changes beyond the head, found by a search or a slice. `has_moved`: the listing has changed since.
    Mended {
        has_moved: bool,
    },
    /// The checkpoint that says: this phase is complete.
    PhaseEnd,
    /// The run ends where it stands, unsteady.
    GivenUp,
    /// A pass was judged; more is to come in this phase.
    Judged,
}

/// What a decision leads to. [`super::EntityRun::follow`] carries it out, so that no decision calls another.
#[derive(Debug)]
pub(super) enum Next {
    /// A whole walk from the beginning of the listing.
    Pass,
    /// The head of the listing, from its first slot.
    Head,
    /// The head has been read: its gaps, and what it does not explain.
    AfterHead,
    /// The walk continues where the checkpoint says.
    WalkOn,
    /// What is listed agrees with what is held: the phase ends.
    Finish,
    /// The run ends where it stands.
    GiveUp,
    Do(Box<Activity>),
    /// This is committed, and then the activity begins.
    Commit(Box<Draft>, Meaning, Box<Activity>),
    /// What is under way continues.
    Stay,
}

impl Next {
    pub fn activity(activity: Activity) -> Next {
        Next::Do(Box::new(activity))
    }

    /// Nothing happens until this is committed.
    pub fn commit(draft: Draft, meaning: Meaning) -> Next {
        Next::commit_then(draft, meaning, Activity::AwaitCommit)
    }

    pub fn commit_then(draft: Draft, meaning: Meaning, activity: Activity) -> Next {
        Next::Commit(Box::new(draft), meaning, Box::new(activity))
    }

    pub fn end(end: RunEnd) -> Next {
        Next::activity(Activity::Over(end))
    }

    /// A fault ends the run.
    pub fn fail(fault: Fault) -> Next {
        Next::end(match fault {
            Fault::Paused(pause) => RunEnd::Paused(pause),
            Fault::Stopped => RunEnd::Stopped,
            fault => RunEnd::Failed(fault),
        })
    }

    pub fn members(wanted: AddedBetween) -> Next {
        Next::activity(Activity::AwaitMembers { asked: false, wanted })
    }
}
