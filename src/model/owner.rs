//! Which process an account belongs to. Two that wrote for one account would undo each other's work.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A process, as others on the same database know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub id: Uuid,
    /// What people call it: command, process id, host.
    pub label: String,
    /// Where its process id means something: the boot and the namespace it lives in. Empty where that cannot be told.
    pub place: String,
    pub pid: u32,
}

/// A claim that a service holds on an account and renews while it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub owner: Owner,
    pub until: DateTime<Utc>,
}
