//! The records through which the processes on one database keep one limit together.

use super::{LearnedRate, LedgerEntry, NotedPause, Owner, Pause, Sent};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A process that sends requests, as it recorded itself when it last looked at the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateProcess {
    pub owner: Owner,
    pub seen_at: DateTime<Utc>,
    /// Since when it waits for room in the window.
    pub waiting_since: Option<DateTime<Utc>>,
    /// Requests that it may send and those under way. A living process renews this before its end.
    pub held: Sent,
    /// Whether it sends some of them without another look.
    pub has_block: bool,
    /// Requests that were answered, in the order of their ends.
    pub answered: Vec<Sent>,
}

/// The right to send the single request after a pause of the rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeClaim {
    pub by: Uuid,
    /// If a process dies with its probe, the others wait until then.
    pub until: DateTime<Utc>,
}

/// What a gate finds in the database.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SharedLimits {
    /// Including past ones: after one of the rate limit, a single request goes first.
    pub pauses: Vec<NotedPause>,
    pub learned: Option<LearnedRate>,
    pub probe: Option<ProbeClaim>,
    pub processes: Vec<GateProcess>,
    /// The ledger of the last day, if it was requested.
    pub ledger: Option<Vec<LedgerEntry>>,
}

/// What a gate writes, in the transaction in which it looked.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedChange {
    pub process: GateProcess,
    /// Processes whose requests no longer count.
    pub forgotten: Vec<Uuid>,
    pub pauses: Vec<Pause>,
    /// Lifts a pause of the rate limit that ends by then: a request was served since.
    pub lifts: Option<DateTime<Utc>>,
    /// The new holder of the probe.
    pub probe: Option<ProbeClaim>,
    pub learned: Option<LearnedRate>,
    /// Entries of the stored ledger that begin later are deleted: the clock was ahead when they were written.
    pub drops_ledger_after: Option<DateTime<Utc>>,
    /// To be added to the stored ledger.
    pub ledger: Vec<LedgerEntry>,
}
