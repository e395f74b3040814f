//! The faults and changes that the engine went through, and what it needed, over many lives.

use segno::engine::run::RunEnd;
use std::{collections::BTreeMap, fmt};

#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub num_lives: u64,
    pub num_steps: u64,
    pub num_requests: u64,
    pub num_refused: u64,
    pub num_runs: u64,
    pub num_resumed: u64,
    pub num_searches: u64,
    pub num_commits: u64,
    pub num_processes: u64,
    pub num_polls: u64,
    pub num_plays: u64,
    pub num_play_gaps: u64,
    /// Entity types whose final state needed a whole walk.
    pub num_veiled: u64,
    ends: BTreeMap<&'static str, u64>,
    injections: BTreeMap<&'static str, u64>,
    /// For runs that were not resumed from another process: requests used, and the fewest possible.
    used: u64,
    least: u64,
}

impl Tally {
    pub fn note_injection(&mut self, kind: &'static str) {
        *self.injections.entry(kind).or_default() += 1;
    }

    pub fn note_end(&mut self, end: &RunEnd) {
        let kind = match end {
            RunEnd::Complete { notes, .. } if notes.is_empty() => "complete",
            RunEnd::Complete { .. } => "complete, with something to tell",
            RunEnd::Unsteady { .. } => "unsteady",
            RunEnd::Paused(_) => "paused",
            RunEnd::Stopped => "stopped",
            RunEnd::Failed(_) => "failed",
        };
        *self.ends.entry(kind).or_default() += 1;
    }

    pub fn note_cost(&mut self, is_whole: bool, used: u64, least: u64) {
        if is_whole {
            self.used += used;
            self.least += least;
        }
    }

    /// Kinds of faults and changes that occurred.
    pub fn num_kinds(&self) -> usize {
        self.injections.len()
    }
}

impl std::ops::AddAssign<Tally> for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.num_lives += other.num_lives;
        self.num_steps += other.num_steps;
        self.num_requests += other.num_requests;
        self.num_refused += other.num_refused;
        self.num_runs += other.num_runs;
        self.num_resumed += other.num_resumed;
        self.num_searches += other.num_searches;
        self.num_commits += other.num_commits;
        self.num_processes += other.num_processes;
        self.num_polls += other.num_polls;
        self.num_plays += other.num_plays;
        self.num_play_gaps += other.num_play_gaps;
        self.num_veiled += other.num_veiled;
        self.used += other.used;
        self.least += other.least;
        for (kind, num) in other.ends {
            *self.ends.entry(kind).or_default() += num;
        }
        for (kind, num) in other.injections {
            *self.injections.entry(kind).or_default() += num;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, what: &str, num: u64| writeln!(f, "{what:<40} {num:>14}");
        row(f, "lives", self.num_lives)?;
        row(f, "steps", self.num_steps)?;
        row(f, "requests", self.num_requests)?;
        row(f, "  of these refused by a limit", self.num_refused)?;
        row(f, "commits", self.num_commits)?;
        row(f, "processes", self.num_processes)?;
        row(f, "runs", self.num_runs)?;
        row(f, "  of these taken up from another", self.num_resumed)?;
        row(f, "searches for removals", self.num_searches)?;
        row(f, "polls of the history", self.num_polls)?;
        row(f, "  plays that they brought", self.num_plays)?;
        row(f, "  gaps that they told of", self.num_play_gaps)?;
        row(f, "equal only after a whole walk", self.num_veiled)?;
        for (kind, num) in &self.ends {
            row(f, &format!("runs that ended {kind}"), *num)?;
        }
        writeln!(f, "\n{} kinds of faults and changes injected", self.num_kinds())?;
        for (kind, num) in &self.injections {
            row(f, &format!("  {kind}"), *num)?;
        }
        let share = self.used as f64 / self.least.max(1) as f64;
        writeln!(
            f,
            "\nrequests of whole runs that came to their end: {} used, {} the least possible: {share:.3}",
            self.used, self.least
        )
    }
}
