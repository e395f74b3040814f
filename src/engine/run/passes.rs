//! The whole walks of a run over its listing: how each begins, and what its end allows.

use super::{PASSES_MAX, RunFrame, notes, shown::Shown, step::RunEnd};
use crate::{
    engine::sweep::{self, Finding, Verdict},
    model::{
        Checkpoint, CommitReport, Counts, Effects, Gone, Hold, PassFindings, Phase, REST_MAX, Removal, Stage,
        WalkPlace, WalkState, look_again_in,
    },
};
use chrono::{DateTime, Utc};

/// Runs in a row that read a whole listing again because unreadable rows may be what is missing. If those rows stay,
/// only another length of the listing justifies another walk.
const VAIN_RUNS_MAX: u32 = 3;

/// Runs after an unsteady one that look at the head twice before they believe that something is missing: servers that
/// disagree do so for a while.
const WARY_RUNS: u32 = 8;

#[derive(Debug, Default)]
pub(super) struct Passes {
    num_begun: u32,
    requests_before: u32,
    /// How many items the last one missed, and the total then.
    missing: Option<(u32, Option<u32>)>,
    /// The next batch is the first of its pass: it resets what earlier passes saw.
    pub is_beginning: bool,
    /// An earlier process began what this run continues, so the listing may have grown before its place.
    pub is_resumed: bool,
    /// The pass could not prove itself alone: the incremental phase, or another look at the head, follows at once.
    pub needs_follow_up: bool,
    /// The run ends unsteady, as it stands.
    pub is_unsteady: bool,
    unsteady_runs_before: u32,
    /// Runs before this one that could not tell what is missing.
    vain_runs_before: u32,
    pub shown: Shown,
}

/// What the end of a pass leads to.
#[derive(Debug)]
pub(super) enum PassEnd {
    /// Another pass may prove more.
    Again,
    Stopped,
    Judged {
        effects: Box<Effects>,
        num_removed: u32,
        /// What it leaves open.
        note: Option<String>,
        /// Whether it has looked at everything.
        is_whole: bool,
    },
}

/// What the rest of the run contributes to a judgement.
#[derive(Debug, Clone, Copy)]
pub(super) struct PassContext {
    pub num_active: u32,
    /// Rows held when the run began.
    pub num_before: u32,
    /// The head was read in this run.
    pub has_read_head: bool,
    /// Asked for in this run so far.
    pub num_requests: u32,
    pub is_stopping: bool,
}

impl Passes {
    pub fn new(checkpoint: &Checkpoint, is_resumed: bool) -> Passes {
        let memory = &checkpoint.walk.memory;
        Passes {
            is_resumed,
            unsteady_runs_before: memory.num_unsteady_runs,
            vain_runs_before: memory.num_vain_runs,
            ..Passes::default()
        }
    }

    /// Whether the pass under way is not the first of this run.
    pub fn is_again(&self) -> bool {
        self.num_begun > 1
    }

    /// A pass begins: `checkpoint` says so.
    pub fn begin(&mut self, checkpoint: &mut Checkpoint, records_seen: bool, verifying: bool, num_requests: u32) {
        self.num_begun += 1;
        self.requests_before = num_requests;
        self.is_beginning = true;
        self.shown.begin_walk();
        checkpoint.offset = 0;
        checkpoint.cursor = None;
        checkpoint.total = None;
        checkpoint.is_complete = false;
        checkpoint.walk.place = WalkPlace {
            stage: Stage::Walk,
            pass: checkpoint.walk.place.pass + 1,
            records_seen,
            verifying,
            ..WalkPlace::default()
        };
        checkpoint.walk.found = PassFindings::default();
        checkpoint.walk.memory.discrepancy = None;
    }

    /// The end of the listing was reached and committed: may anything be marked removed?
    pub fn judge(
        &mut self,
        frame: &RunFrame,
        checkpoint: &mut Checkpoint,
        context: PassContext,
        report: &CommitReport,
    ) -> PassEnd {
        let PassContext { num_active, is_stopping, .. } = context;
        let RunFrame { entity, guard, .. } = *frame;
        let num_unseen = report.num_unseen.unwrap_or(0);
        let memory = &mut checkpoint.walk.memory;
        memory.num_hidden = memory.num_hidden.saturating_sub(self.shown.take_surfaced());
        let (total, held) = (checkpoint.total, report.held);
        let by_cursor = entity.is_by_cursor();
        let num_seen = num_active - num_unseen;
        if by_cursor && self.has_missed_something(checkpoint, num_seen, is_stopping) {
            return PassEnd::Again;
        }
        // What was saved since an earlier process began the walk stands before its place: one look at the head shows
        // it.
        self.needs_follow_up = entity.is_newest_first() && std::mem::take(&mut self.is_resumed);
        self.is_unsteady = false;
        let is_contradicted = num_unseen > 0 && self.shown.is_contradicted();
        let finding = Finding { total, num_active, num_unseen, num_before: context.num_before, held, is_contradicted };
        let verdict = match sweep::judge(guard, &checkpoint.walk, by_cursor, finding) {
            Verdict::Proven { num_removed, .. }
                if (num_removed > held.num_ripe + held.num_confirmed || total.is_none())
                    && !self.has_second_look(num_unseen, total, context) =>
            {
                if self.num_begun < PASSES_MAX {
                    return PassEnd::Again;
                }
                Verdict::Unsteady
            }
            verdict => verdict,
        };
        if verdict == Verdict::Unsteady {
            if entity.is_newest_first() && checkpoint.phase == Phase::InitialSync {
                self.needs_follow_up = true;
            } else if is_stopping {
                return PassEnd::Stopped;
            } else if self.num_begun < self.num_allowed(checkpoint) {
                return PassEnd::Again;
            }
        }
        let is_whole = verdict != Verdict::Unsteady;
        let (effects, num_removed, note) = self.carry_out(verdict, frame, checkpoint, num_active);
        let walk = &mut checkpoint.walk;
        walk.memory.num_excess = if walk.memory.num_counted == 0 { 0 } else { sweep::excess(walk, total, num_seen) };
        plan_another_look(walk, frame.now);
        PassEnd::Judged { effects: Box::new(effects), num_removed, note, is_whole }
    }

    /// Whether a walk by cursor has passed something that it has not read.
    fn has_missed_something(&mut self, checkpoint: &Checkpoint, num_seen: u32, is_stopping: bool) -> bool {
        let walk = &checkpoint.walk;
        if self.is_resumed && walk.found.unsteady {
            self.is_resumed = false;
            // Artists followed meanwhile stand before the cursor: the total says that there are some.
            return true;
        }
        // So do those followed in the middle of this walk.
        let is_short = sweep::excess(walk, checkpoint.total, num_seen) > 0;
        walk.found.has_hole && is_short && self.num_begun < self.num_allowed(checkpoint) && !is_stopping
    }

    /// Records what a verdict means for the next runs and for the database.
    fn carry_out(
        &mut self,
        verdict: Verdict,
        frame: &RunFrame,
        checkpoint: &mut Checkpoint,
        num_active: u32,
    ) -> (Effects, u32, Option<String>) {
        let RunFrame { entity, guard, .. } = *frame;
        let WalkPlace { pass, records_seen, .. } = checkpoint.walk.place;
        let hold = |counts| records_seen.then_some(Hold { pass, counts });
        let nameless = sweep::num_nameless(&checkpoint.walk);
        let is_contradicted = self.shown.is_contradicted();
        let (found, memory) = (&checkpoint.walk.found, &mut checkpoint.walk.memory);
        let mut effects = Effects::default();
        let mut remove = |num_removed: u32, of: Gone| {
            effects.removal = (num_removed > 0).then_some(Removal { pass, of });
            num_removed
        };
        match verdict {
            Verdict::Proven { num_removed, num_counted, discrepancy } => {
                let of = if num_counted == 0 { Gone::All } else { Gone::Uncounted };
                let num_removed = remove(num_removed, of);
                // More rows held than listed, and none of them unseen: the total is wrong, or a row without an id was
                // taken for what is gone. Then the next run has to look again.
                let is_told = discrepancy >= 0 || found.num_unidentified == 0;
                memory.discrepancy = is_told.then_some(discrepancy);
                let num_hidden = num_hidden(discrepancy, nameless);
                // Rows given twice may stand for others, which are not hidden: the next runs look for them, for a
                // while.
                let is_doubtful = found.has_double && num_hidden > memory.num_hidden;
                // Of what was held because it was counted, fewer are: the others are gone, and nobody knows which.
                let is_partly_counted = num_counted > 0 && discrepancy < i64::from(nameless);
                let is_vain = is_doubtful || is_partly_counted;
                memory.num_vain_runs = if is_vain { self.vain_runs_before.saturating_add(1) } else { 0 };
                let note = (is_doubtful && memory.num_vain_runs < VAIN_RUNS_MAX).then(|| notes::doubled(entity));
                if is_vain && memory.num_vain_runs < VAIN_RUNS_MAX {
                    memory.discrepancy = None;
                }
                if note.is_none() {
                    memory.num_hidden = num_hidden;
                }
                // A row returned twice may stand for one without an id.
                if !found.has_double || memory.num_vain_runs >= VAIN_RUNS_MAX {
                    memory.proven_undated = Some(found.num_undated);
                    let num_dated = found.num_unidentified.saturating_sub(found.num_undated);
                    memory.proven_dated = Some(memory.proven_dated.map_or(num_dated, |before| before.min(num_dated)));
                }
                memory.num_counted = num_counted;
                memory.held_removals = Some(num_counted).filter(|num| *num > 0);
                effects.heal_all_gaps_before = Some(pass);
                effects.hold = hold(Counts::AsBefore).filter(|_| num_counted > 0);
                effects.release_held = num_counted == 0;
                (effects, num_removed, note)
            }
            Verdict::Held { num_unseen, num_removed, num_counted } => {
                let of = if is_contradicted { Gone::Confirmed } else { Gone::Ripe { at: frame.ripe_at() } };
                let num_removed = remove(num_removed, of);
                let num_held = num_unseen - num_removed;
                memory.held_removals = Some(num_held);
                memory.num_counted = num_counted;
                memory.discrepancy = None;
                effects.hold = hold(if num_counted > 0 { Counts::AsBefore } else { Counts::Nothing });
                let note = notes::held(entity, num_held, num_active - num_removed, guard.wait);
                (effects, num_removed, Some(note))
            }
            Verdict::Counted { num_unseen, num_removed, counts_all, discrepancy } => {
                let num_removed = remove(num_removed, Gone::Confirmed);
                let num_counted = num_unseen - num_removed;
                memory.held_removals = Some(num_counted);
                memory.num_counted = num_counted;
                // If the total counts exactly these, there is nothing to look for until something else changes. If it
                // counts fewer, others are gone; if more, this walk was shown less than there is. After some walks
                // without result that is left to a person as well.
                memory.num_vain_runs = if counts_all { 0 } else { self.vain_runs_before.saturating_add(1) };
                // What it counts beyond all that is held was never given. A row given twice may stand for it.
                if !found.has_double {
                    memory.num_hidden = memory.num_hidden.max(num_hidden(discrepancy, nameless));
                }
                memory.discrepancy = (counts_all || memory.num_vain_runs >= VAIN_RUNS_MAX).then_some(discrepancy);
                effects.hold = hold(Counts::All);
                (effects, num_removed, None)
            }
            Verdict::Unread { num_unseen, num_unread, discrepancy } => {
                memory.num_vain_runs = self.vain_runs_before.saturating_add(1);
                memory.discrepancy = (memory.num_vain_runs >= VAIN_RUNS_MAX).then_some(discrepancy);
                (effects, 0, Some(notes::unread(entity, num_unseen, num_unread)))
            }
            Verdict::Gaps { discrepancy } => {
                memory.discrepancy = Some(discrepancy);
                (effects, 0, Some(notes::gaps(entity, found.num_gaps)))
            }
            // The incremental phase looks again.
            Verdict::Unsteady if entity.is_newest_first() && checkpoint.phase == Phase::InitialSync => {
                (effects, 0, None)
            }
            Verdict::Unsteady => {
                self.is_unsteady = true;
                memory.discrepancy = None;
                let note = if found.is_broken { notes::endless } else { notes::unsteady };
                (effects, 0, Some(note(entity)))
            }
        }
    }

    /// Whether more than one answer shows that this many are missing, or, without a total, that no more follow: a walk
    /// of several pages, a head that prompted the walk, or another walk that missed as many.
    fn has_second_look(&mut self, num_unseen: u32, total: Option<u32>, context: PassContext) -> bool {
        let is_of_several = context.has_read_head || context.num_requests - self.requests_before > 1;
        self.missing.replace((num_unseen, total)) == Some((num_unseen, total)) || is_of_several
    }

    /// A listing that was unsteady in the last runs is unlikely to settle in this one, so each run tries less.
    fn num_allowed(&self, checkpoint: &Checkpoint) -> u32 {
        PASSES_MAX.saturating_sub(checkpoint.walk.memory.num_unsteady_runs).max(1)
    }

    /// Counts the runs in a row that ended unsteady.
    pub fn count_end(&self, checkpoint: &mut Checkpoint) {
        let memory = &mut checkpoint.walk.memory;
        if self.is_unsteady {
            memory.num_unsteady_runs = self.unsteady_runs_before.saturating_add(1);
            memory.num_wary_runs = WARY_RUNS;
        } else {
            memory.num_unsteady_runs = 0;
            memory.num_wary_runs = memory.num_wary_runs.saturating_sub(1);
        }
    }

    /// How the run ends, as far as its passes tell.
    pub fn end(&self, notes: Vec<String>, in_a_row: u32, again_in: Option<std::time::Duration>) -> RunEnd {
        if self.is_unsteady { RunEnd::Unsteady { notes, in_a_row } } else { RunEnd::Complete { notes, again_in } }
    }
}

/// Rows that the total counts beyond those that are held and those without an id.
fn num_hidden(discrepancy: i64, nameless: u32) -> u32 {
    u32::try_from((discrepancy - i64::from(nameless)).max(0)).unwrap_or(u32::MAX)
}

/// Sets when everything is looked at once more because of what a walk left open. A walk before that puts nothing off.
fn plan_another_look(walk: &mut WalkState, now: DateTime<Utc>) {
    let memory = &mut walk.memory;
    let num_before =
        std::mem::replace(&mut memory.num_open, memory.num_hidden + memory.num_counted + walk.found.num_unidentified);
    let planned = memory.look_again_at.filter(|at| memory.num_open == num_before && is_ahead(*at, now));
    let at = planned.unwrap_or_else(|| now + look_again_in(memory.num_open, num_before));
    memory.look_again_at = (memory.num_open > 0).then_some(at);
}

/// Whether another look is still to come. One that lies further ahead comes of a calendar that was set back since.
pub(super) fn is_ahead(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    at > now && at - now <= REST_MAX
}
