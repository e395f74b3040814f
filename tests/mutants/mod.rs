//! Ways to break the engine on purpose. Each takes away one thing that a guarantee rests on, and the simulation has to
//! find it: `cargo run --example mutants` makes them one after another and looks. See `docs/simulation.md`.
//!
//! `tests/it/mutants.rs` keeps the list fit for that while the engine changes.

/// One thing done wrong.
#[derive(Debug, Clone, Copy)]
pub struct Mutant {
    pub name: &'static str,
    /// Below `src/engine`.
    pub file: &'static str,
    /// The text that stands there, once.
    pub stands: &'static str,
    /// What is put in its place.
    pub instead: &'static str,
    /// What the engine does then.
    pub breaks: &'static str,
    /// The guarantee that is expected to break first.
    pub guarantee: &'static str,
}

pub const MUTANTS: &[Mutant] = &[
    // Walks by offset.
    Mutant {
        name: "link-unchecked",
        file: "run/offset_walk.rs",
        stands: "Some(Cell::Slot(slot)) if slot.key() == *anchor => Link::Holds,",
        instead: "Some(Cell::Slot(_)) => Link::Holds,",
        breaks: "pages need not begin with the last slot of the page before",
        guarantee: "G2",
    },
    Mutant {
        name: "anchor-skipped",
        file: "run/offset_walk.rs",
        stands: "let linked = self.tip.offset > 0",
        instead: "let linked = self.verified && self.tip.offset > 0",
        breaks: "a walk that is taken up does not look whether its place is still the place",
        guarantee: "G2",
    },
    Mutant {
        name: "place-lost-in-silence",
        file: "run/offset_walk.rs",
        stands: "self.verified = true;\n        self.tip.walk.unsteady = true;",
        instead: "self.verified = true;",
        breaks: "a walk that lost its place and found it again calls itself steady",
        guarantee: "G2",
    },
    Mutant {
        name: "place-one-too-far",
        file: "run/locate.rs",
        stands: "Some(Found { index })",
        instead: "Some(Found { index: index + 1 })",
        breaks: "a walk that finds its place again goes on one slot behind it",
        guarantee: "G2",
    },
    Mutant {
        name: "total-trusted",
        file: "run/offset_walk.rs",
        stands: "self.ended = false;",
        instead: "self.ended = is_last;",
        breaks: "a full page ends a walk where the total says so",
        guarantee: "G3",
    },
    Mutant {
        name: "pieces-of-two-moments",
        file: "run/offset_walk.rs",
        stands: "if assembly.moved {",
        instead: "if false {",
        breaks: "a page in pieces between which the listing moved is taken for one page",
        guarantee: "G2",
    },
    Mutant {
        name: "gaps-beyond-the-end",
        file: "run/assembly.rs",
        stands: "while self.cells.len() > num_told",
        instead: "while self.cells.len() > num_told.max(usize::MAX)",
        breaks: "what could not be read beyond the end of a listing counts as a gap",
        guarantee: "G2",
    },
    // Checkpoints.
    Mutant {
        name: "checkpoint-ahead",
        file: "run/offset_walk.rs",
        stands: "self.tip.offset = reached;",
        instead: "self.tip.offset = reached + 1;",
        breaks: "the checkpoint goes one slot farther than the rows",
        guarantee: "G1",
    },
    Mutant {
        name: "checkpoint-first",
        file: "run/flow.rs",
        stands: "        self.drafts.push_back((
            Draft { rows: Rows::Listing(slots), offset_from, offset_to, effects, checkpoint: tip },",
        instead: "        let (rows, nothing) = (Rows::Listing(Vec::new()), DraftEffects::default());
        let first = Draft { rows, offset_from, offset_to: offset_from, effects: nothing, checkpoint: tip.clone() };
        self.drafts.push_back((first, Meaning::Batch));
        self.drafts.push_back((
            Draft { rows: Rows::Listing(slots), offset_from, offset_to, effects, checkpoint: tip },",
        breaks: "the checkpoint of a batch is committed first, and its rows after it",
        guarantee: "G1",
    },
    Mutant {
        name: "begun-anew",
        file: "run/plan.rs",
        stands: "(Some(initial), _) if !initial.is_complete => RunMode::Resume { from: initial },",
        instead: "(Some(initial), _) if !initial.is_complete => RunMode::Initial,",
        breaks: "a first sync that was interrupted begins anew",
        guarantee: "G1",
    },
    Mutant {
        name: "pass-numbered-twice",
        file: "run/plan.rs",
        stands: "RunMode::Incremental { last: if last.walk.pass > initial.walk.pass { last } else { initial } }",
        instead: "let _ = last;
                RunMode::Incremental { last: initial }",
        breaks: "a run that begins anew gives its pass a number that was given before",
        guarantee: "G4",
    },
    Mutant {
        name: "first-sync-believed",
        file: "run/flow.rs",
        stands: "self.follow_up = newest_first && std::mem::take(&mut self.resumed);",
        instead: "self.follow_up = newest_first && std::mem::take(&mut self.resumed) && false;",
        breaks: "a walk that was taken up does not look at what was saved before its place meanwhile",
        guarantee: "G2",
    },
    // What the end of a walk allows.
    Mutant {
        name: "unsteady-sweeps",
        file: "sweep.rs",
        stands: "if walk.unsteady && !by_cursor {",
        instead: "let walk = &WalkState { unsteady: walk.unsteady && by_cursor, ..walk.clone() };
    if false {",
        breaks: "a walk over a listing that moved marks what it did not see removed",
        guarantee: "G4",
    },
    Mutant {
        name: "gaps-sweep",
        file: "sweep.rs",
        stands: "if walk.num_gaps > 0 {",
        instead: "if walk.num_gaps > 0 && num_unseen == 0 {",
        breaks: "what could not be read is marked removed",
        guarantee: "G3",
    },
    Mutant {
        name: "silence-sweeps",
        file: "sweep.rs",
        stands: "    let num_unread = walk",
        instead: "    let walk = &WalkState { num_undated: 0, proven_undated: None, ..walk.clone() };\n    let num_unread = walk",
        breaks: "an item whose row says nothing any more is marked removed",
        guarantee: "G3",
    },
    Mutant {
        name: "emptiness-believed",
        file: "sweep.rs",
        stands: "let is_everything = num_removed > 0 && num_removed == num_active;",
        instead: "let is_everything = false;",
        breaks: "an answer without a single item removes all there is",
        guarantee: "G3",
    },
    Mutant {
        name: "gaps-forgotten",
        file: "run/flow.rs",
        stands: "new_gaps: gaps.into_iter().map(|gap| (None, gap)).collect(),",
        instead: "new_gaps: gaps.into_iter().take(0).map(|gap| (None, gap)).collect(),",
        breaks: "what could not be read is not noted, and not tried again",
        guarantee: "G4",
    },
    // The head, verifying passes.
    Mutant {
        name: "count-ignored",
        file: "run/head.rs",
        stands: "(Some(total), Some(expected)) => i64::from(total) - i64::from(self.num_active) == expected,",
        instead: "(Some(_), Some(_)) => true,",
        breaks: "a head that meets the known ends the run, whatever the total says",
        guarantee: "G4",
    },
    Mutant {
        name: "head-from-the-middle",
        file: "run/head.rs",
        stands: "if !self.head_read {",
        instead: "if false {",
        breaks: "a head that is taken up in the middle is not read from the beginning again",
        guarantee: "G2",
    },
    Mutant {
        name: "slice-judges-its-edges",
        file: "run/slice.rs",
        stands: "&& oldest.is_none_or(|oldest| oldest < at)",
        instead: "&& oldest.is_none_or(|oldest| oldest <= at)",
        breaks: "a slice judges all items of its last date, though some may stand behind it",
        guarantee: "G3",
    },
    Mutant {
        name: "nothing-verified",
        file: "run/verify.rs",
        stands: "self.purpose == Purpose::Verify && self.phase() == Phase::IncrementalSync",
        instead: "false && self.purpose == Purpose::Verify && self.phase() == Phase::IncrementalSync",
        breaks: "a person who wants everything looked at gets a run like any other",
        guarantee: "G4",
    },
    // Items of playlists.
    Mutant {
        name: "no-look-after-items",
        file: "run/flow.rs",
        stands: "if (num_long > 0 || resumed) && self.item_rounds < PASSES_MAX {",
        instead: "if resumed && self.item_rounds < PASSES_MAX {",
        breaks: "a long playlist that changed while it was read is not read again",
        guarantee: "G2",
    },
    Mutant {
        name: "no-look-after-a-death",
        file: "run/flow.rs",
        stands: "if (num_long > 0 || resumed) && self.item_rounds < PASSES_MAX {",
        instead: "if num_long > 0 && self.item_rounds < PASSES_MAX {",
        breaks: "a run that is taken up among the items does not look at the listing again",
        guarantee: "G2",
    },
    Mutant {
        name: "items-one-too-far",
        file: "run/items_walk.rs",
        stands: "work.committed = offset + num_cells;",
        instead: "work.committed = offset + num_cells + 1;",
        breaks: "the next page of a playlist begins one item too far",
        guarantee: "G2",
    },
    Mutant {
        name: "items-place-ahead",
        file: "run/items_walk.rs",
        stands: "                offset: work.committed,",
        instead: "                offset: work.committed + 1,",
        breaks: "the checkpoint inside a playlist goes one item farther than the items",
        guarantee: "G4",
    },
    // The gate.
    Mutant {
        name: "window-one-too-many",
        file: "gate/window.rs",
        stands: "if used < self.limit {",
        instead: "if used <= self.limit {",
        breaks: "the window lets one request more through than it may hold",
        guarantee: "G6",
    },
    Mutant {
        name: "answered-uncounted",
        file: "gate/mod.rs",
        stands: "self.window.handle_answered(now);",
        instead: "self.window.handle_unused();",
        breaks: "a request that was answered no longer counts",
        guarantee: "G6",
    },
    Mutant {
        name: "others-uncounted",
        file: "gate/look.rs",
        stands: "counts: answered.chain([held]).filter(",
        instead: "counts: answered.chain([held]).take(0).filter(",
        breaks: "a process does not count what others on its database hold and have sent",
        guarantee: "G6",
    },
    Mutant {
        name: "reserved-unnoted",
        file: "gate/look.rs",
        stands: "looked.held = self.in_use + self.permits + looked.granted;",
        instead: "looked.held = 0;",
        breaks: "a process does not note what it may send before it sends it",
        guarantee: "G6",
    },
    Mutant {
        name: "block-not-waited-for",
        file: "gate/look.rs",
        stands: "others.iter().filter_map(|other| other.block_until(self.now)).max()",
        instead: "others.iter().filter_map(|other| other.block_until(self.now)).max().filter(|_| false)",
        breaks: "a process begins while another sends without looking for the pauses that it notes",
        guarantee: "G5",
    },
    Mutant {
        name: "pause-of-another-ignored",
        file: "gate/shared.rs",
        stands: "self.gate.handle_pause_of_another(noted, now, wall);",
        instead: "let _ = (noted, wall);",
        breaks: "a process does not keep to a pause that another noted since it began",
        guarantee: "G5",
    },
    Mutant {
        name: "death-empties-the-window",
        file: "gate/shared.rs",
        stands: "answered.into_iter().chain([lost]).collect()",
        instead: "answered.into_iter().chain([lost]).take(0).collect()",
        breaks: "a gate does not count what the one that died had granted",
        guarantee: "G6",
    },
    Mutant {
        name: "probe-lost",
        file: "gate/mod.rs",
        stands: "Outcome::Unused | Outcome::Unanswered | Outcome::Limited => self.pauses.handle_lost(ticket),",
        instead: "Outcome::Unused | Outcome::Unanswered | Outcome::Limited => {}",
        breaks: "a probe that comes back without an answer is waited for",
        guarantee: "G7",
    },
    Mutant {
        name: "pause-forgotten",
        file: "gate/mod.rs",
        stands: "noted.pauses.iter().for_each(|pause| self.pauses.handle_noted(*pause, now, wall));",
        instead: "",
        breaks: "a process does not know the pauses that others noted",
        guarantee: "G5",
    },
    Mutant {
        name: "pause-shortened",
        file: "gate/pauses.rs",
        stands: "if ends > held.1 {",
        instead: "if ends != held.1 {",
        breaks: "a shorter pause replaces a longer one",
        guarantee: "G5",
    },
    Mutant {
        name: "rate-limit-of-a-family",
        file: "gate/mod.rs",
        stands: "(Family::Application, wall + self.pauses.rate_pause(ticket, retry_after.unwrap_or_default()))",
        instead: "(family, wall + self.pauses.rate_pause(ticket, retry_after.unwrap_or_default()))",
        breaks: "the rate limit stops only the family that met it",
        guarantee: "G5",
    },
    Mutant {
        name: "quota-as-a-burst",
        file: "gate/mod.rs",
        stands: "(family, retry_after.map_or_else(unknown, |wait| wall + wait))",
        instead: "(family, retry_after.map_or_else(unknown, |wait| wall + wait.min(Duration::from_secs(60))))",
        breaks: "a quota is waited for no longer than the rate limit",
        guarantee: "G5",
    },
    // Failures, deaths, the schedule.
    Mutant {
        name: "no-giving-up",
        file: "backoff.rs",
        stands: "if exhausted || failing_for + wait > self.give_up_after {",
        instead: "if exhausted {",
        breaks: "a page that fails by itself is asked for as long as nothing else is answered",
        guarantee: "G7",
    },
    Mutant {
        name: "restart-at-once",
        file: "restart.rs",
        stands: "Ruling::RestartIn(step.mul_f64(0.75 + 0.5 * jitter.clamp(0.0, 1.0)))",
        instead: "Ruling::RestartIn(step.mul_f64(jitter * 0.0))",
        breaks: "an actor that panics is started again without a pause",
        guarantee: "G7",
    },
    Mutant {
        name: "paused-run-at-once",
        file: "schedule/mod.rs",
        stands: "Some((pause.until - wall).to_std().unwrap_or(PAUSED_MIN))",
        instead: "Some((pause.until - wall).to_std().unwrap_or(PAUSED_MIN).min(Duration::from_secs(1)))",
        breaks: "a run that a pause ended is begun again at once",
        guarantee: "G7",
    },
];
