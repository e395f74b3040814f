//! What the processes that use one database tell each other there, so that all of them together keep one limit.

use super::{LearnedRate, LedgerEntry, NotedPause, Owner, Pause, Sent};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A process that sends requests, as it noted itself when it last looked at the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateProcess {
    pub owner: Owner,
    pub seen_at: DateTime<Utc>,
    /// Since when it waits for room in the window.
    pub waiting_since: Option<DateTime<Utc>>,
    /// Requests that it may send and those under way. A process that lives renews this before its end.
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
    /// A process that died with its probe holds up the others until then.
    pub until: DateTime<Utc>,
}

/// What a gate finds in the database.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SharedLimits {
    /// Those that are over included: after one of the rate limit, a single request goes first.
    pub pauses: Vec<NotedPause>,
    pub learned: Option<LearnedRate>,
    pub probe: Option<ProbeClaim>,
    pub processes: Vec<GateProcess>,
    /// The last day's, where it was asked for.
    pub ledger: Option<Vec<LedgerEntry>>,
}

/// What a gate writes, in the transaction in which it looked.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedChange {
    pub process: GateProcess,
    /// Processes of which nothing counts any more.
    pub forgotten: Vec<Uuid>,
    pub pauses: Vec<Pause>,
    /// Lifts a pause of the rate limit that ends by then: a request was served since.
    pub lifts: Option<DateTime<Utc>>,
    /// Whose the probe is from here on.
    pub probe: Option<ProbeClaim>,
    pub learned: Option<LearnedRate>,
    /// To be added to what is stored.
    pub ledger: Vec<LedgerEntry>,
}
