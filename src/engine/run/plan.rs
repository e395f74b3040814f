//! What a run starts from: fresh, from the last run, or from where an interrupted one stopped.

use super::verify_schedule::Purpose;
use crate::{
    engine::sweep::RemovalGuard,
    model::{Checkpoint, EntityType, Gap, Phase, Stage},
};
use chrono::{DateTime, Utc};

/// What a run starts from.
#[derive(Debug, Clone)]
pub struct RunPlan {
    pub entity: EntityType,
    pub mode: RunMode,
    /// Rows of the account that are not marked removed.
    pub num_active: u32,
    /// Ranges of the listing that an earlier run could not read.
    pub open_gaps: Vec<Gap>,
    pub batches: BatchSizes,
    pub purpose: Purpose,
    pub guard: RemovalGuard,
    pub now: DateTime<Utc>,
}

/// Slots per batch, in each phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSizes {
    pub initial: u32,
    pub incremental: u32,
}

/// How a run begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunMode {
    /// Nothing was read before.
    Initial,
    /// The first sync is done; keep it current. The checkpoint is the one of the last incremental run, if any.
    Incremental { last: Checkpoint },
    /// A run was interrupted here.
    Resume { from: Checkpoint },
}

impl RunMode {
    /// Reads the mode off the persisted checkpoints of both phases.
    pub fn of(initial: Option<Checkpoint>, incremental: Option<Checkpoint>) -> RunMode {
        match (initial, incremental) {
            (None, _) => RunMode::Initial,
            (Some(initial), _) if !initial.is_complete && initial.walk.place.stage == Stage::Fresh => RunMode::Initial,
            (Some(initial), _) if !initial.is_complete => RunMode::Resume { from: initial },
            (Some(initial), None) => RunMode::Incremental { last: initial },
            (Some(_), Some(last)) if last.is_complete => RunMode::Incremental { last },
            // A run that was about to begin knows more than the first sync, above all the numbers of the passes it
            // made.
            (Some(initial), Some(last)) if last.walk.place.stage == Stage::Fresh => RunMode::Incremental {
                last: if last.walk.place.pass > initial.walk.place.pass { last } else { initial },
            },
            (Some(_), Some(from)) => RunMode::Resume { from },
        }
    }

    pub fn phase(&self) -> Phase {
        match self {
            RunMode::Initial => Phase::InitialSync,
            RunMode::Incremental { .. } => Phase::IncrementalSync,
            RunMode::Resume { from } => from.phase,
        }
    }
}

impl BatchSizes {
    pub fn of(self, phase: Phase) -> u32 {
        match phase {
            Phase::InitialSync => self.initial,
            Phase::IncrementalSync => self.incremental,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{WalkPlace, WalkState};

    fn checkpoint(phase: Phase, stage: Stage, is_complete: bool) -> Checkpoint {
        let walk = WalkState { place: WalkPlace { stage, ..WalkPlace::default() }, ..WalkState::default() };
        Checkpoint { is_complete, walk, ..Checkpoint::start(phase) }
    }

    #[test]
    fn the_mode_is_read_off_the_checkpoints() {
        use Phase::{IncrementalSync, InitialSync};
        let begun = checkpoint(InitialSync, Stage::Walk, false);
        let done = checkpoint(InitialSync, Stage::Walk, true);
        let head = checkpoint(IncrementalSync, Stage::Head, false);
        let current = checkpoint(IncrementalSync, Stage::Head, true);
        let fresh = |pass| {
            let walk = WalkState { place: WalkPlace { pass, ..WalkPlace::default() }, ..WalkState::default() };
            Checkpoint { walk, ..Checkpoint::start(IncrementalSync) }
        };
        for (initial, incremental, mode) in [
            (None, None, RunMode::Initial),
            (Some(checkpoint(InitialSync, Stage::Fresh, false)), None, RunMode::Initial),
            (Some(begun.clone()), None, RunMode::Resume { from: begun.clone() }),
            (Some(done.clone()), None, RunMode::Incremental { last: done.clone() }),
            (Some(done.clone()), Some(head.clone()), RunMode::Resume { from: head }),
            (Some(done.clone()), Some(current.clone()), RunMode::Incremental { last: current }),
            (Some(done.clone()), Some(fresh(0)), RunMode::Incremental { last: done.clone() }),
            // Found by the simulation: a pass whose number is reused believes what the one before it saw.
            (Some(done), Some(fresh(2)), RunMode::Incremental { last: fresh(2) }),
        ] {
            assert_eq!(RunMode::of(initial, incremental), mode);
        }
    }
}
