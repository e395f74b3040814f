//! What a run asks its shell to do, and what it reports about itself.

use super::Ticket;
use crate::{
    engine::backoff::Patience,
    model::{AddedBetween, Checkpoint, Effects, Fault, NewGap, PageRequest, Pause, Phase, Rows, Slot, SlotKey, Stage},
};
use std::time::Duration;

/// What the shell is to do.
#[derive(Debug)]
pub enum Step {
    /// Ask the API; report by [`super::EntityRun::handle_page`].
    Fetch { ticket: Ticket, request: PageRequest, patience: Patience },
    /// Write this in one transaction; report by [`super::EntityRun::handle_committed`]. At most one is outstanding at a
    /// time.
    Commit(Box<Draft>),
    /// Begin the other phase under the same fence; report by [`super::EntityRun::handle_switched`].
    SwitchPhase(Phase),
    /// Ask the store which playlists' items are out of date; report by [`super::EntityRun::handle_stale`].
    ListStale,
    /// Ask the store for the members that were added then, with their dates; report by
    /// [`super::EntityRun::handle_members`].
    ListMembers(AddedBetween),
    /// Nothing is left to do.
    End(RunEnd),
}

/// A commit as far as the engine knows it; the shell adds account, fence and time.
#[derive(Debug)]
pub struct Draft {
    pub rows: Rows,
    pub offset_from: u32,
    pub offset_to: u32,
    pub effects: Effects,
    pub checkpoint: Checkpoint,
}

impl Draft {
    /// A draft without rows.
    pub(super) fn bare(checkpoint: Checkpoint, effects: Effects) -> Draft {
        let offset = checkpoint.offset;
        Draft { rows: Rows::Listing(Vec::new()), offset_from: offset, offset_to: offset, effects, checkpoint }
    }
}

/// A range of a listing, `[offset_from, offset_to)`, that could not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapRange {
    pub offset_from: u32,
    pub offset_to: u32,
    pub reason: String,
}

impl GapRange {
    /// A gap in a playlist's items, or in the listing itself.
    pub(super) fn of(self, playlist_id: Option<String>) -> NewGap {
        let GapRange { offset_from, offset_to, reason } = self;
        NewGap { playlist_id, offset_from, offset_to, reason }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// The database equals the listing, apart from what the notes say. `again_in` is when something doubtful may be
    /// looked at again.
    Complete {
        notes: Vec<String>,
        again_in: Option<Duration>,
    },
    /// The listing kept changing, or the API contradicted itself, for as long as a run may go on. What was read is
    /// committed; nothing unseen is marked removed. `in_a_row` counts such runs, this one included.
    Unsteady {
        notes: Vec<String>,
        in_a_row: u32,
    },
    Paused(Pause),
    Stopped,
    Failed(Fault),
}

/// Consecutive slots of a listing, proven, with the checkpoint after them.
#[derive(Debug)]
pub struct WalkBatch {
    /// The slot before the first, where the walk knows which that is.
    pub before: Option<SlotKey>,
    pub slots: Vec<Slot>,
    pub offset_from: u32,
    pub offset_to: u32,
    pub gaps: Vec<GapRange>,
    pub tip: Checkpoint,
    pub ended: bool,
}

/// The progress of a run, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunProgress {
    pub phase: Phase,
    pub stage: Stage,
    pub done: u32,
    pub total: Option<u32>,
    /// In `Stage::Items`: playlists read, and to read.
    pub playlists: Option<(u32, u32)>,
}
