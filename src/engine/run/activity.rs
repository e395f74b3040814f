//! What a run is doing right now, and what a commit of it means.

use super::{
    EntityRun, RunEnd, Step, assembly::Assembly, cursor_walk::CursorWalk, items_walk::ItemsWalk,
    offset_walk::OffsetWalk, search::Search, slice::Slice,
};
use crate::model::{AddedBetween, Gap, Stage};

#[derive(Debug, Clone, Copy)]
pub(super) struct ItemsSummary {
    pub(super) num_done: u32,
    pub(super) num_playlists: u32,
    pub(super) items_done: u32,
    pub(super) items_total: u32,
}

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
    /// Looking at what no count can tell.
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
    /// More than the head told of: what a search found, or a slice. `has_moved` tells that the listing is another since.
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

impl EntityRun {
    /// Takes what a walk has ready, so that it can go on.
    pub(super) fn drain(&mut self) -> Option<Step> {
        match &mut self.activity {
            Activity::Walk(walk) => {
                let is_head = walk.tip().walk.place.stage == Stage::Head;
                let (batch, fault) = (walk.poll_batch(), walk.fault().cloned());
                self.handle_batch(batch, fault, is_head)
            }
            Activity::Cursor(walk) => {
                let (batch, fault) = (walk.poll_batch(), walk.fault().cloned());
                self.handle_batch(batch, fault, false)
            }
            Activity::Items(_) => self.handle_items(),
            Activity::Slice(_) => self.handle_slice(),
            Activity::Begin
            | Activity::Gap { .. }
            | Activity::AwaitMembers { .. }
            | Activity::Search(_)
            | Activity::AwaitStale { .. }
            | Activity::AwaitSwitch { .. }
            | Activity::AwaitCommit
            | Activity::Over(_) => None,
        }
    }

    pub(super) fn poll_fetch(&mut self) -> Option<Step> {
        // One batch may be fetched while another commits, and no more: what a crash loses stays small.
        let may_plan = !self.stopping && self.drafts.is_empty();
        let (ticket, request, patience) = match &mut self.activity {
            Activity::Walk(walk) => {
                // Whether the head goes on depends on what the last batch of it was to the database.
                let waits = walk.tip().walk.place.stage == Stage::Head && self.committing.is_some();
                walk.poll_fetch(&mut self.ticket, may_plan && !waits)?
            }
            Activity::Cursor(walk) => walk.poll_fetch(&mut self.ticket, may_plan)?,
            Activity::Items(walk) => walk.poll_fetch(&mut self.ticket, may_plan)?,
            Activity::Slice(slice) => slice.poll_fetch(&mut self.ticket, may_plan)?,
            Activity::Begin
            | Activity::Gap { .. }
            | Activity::AwaitMembers { .. }
            | Activity::Search(_)
            | Activity::AwaitStale { .. }
            | Activity::AwaitSwitch { .. }
            | Activity::AwaitCommit
            | Activity::Over(_) => return None,
        };
        Some(Step::Fetch { ticket, request, patience })
    }
}
