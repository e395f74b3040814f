//! Which process an account belongs to. Two that wrote for one account would undo each other's work.

use super::AccountId;
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, time::Duration};
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

/// What a service holds on its accounts, and renews while it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub owner: Owner,
    pub until: DateTime<Utc>,
}

/// A service among those that share the accounts of a database.
#[derive(Debug, Clone)]
pub struct Node {
    pub owner: Owner,
    /// The application whose accounts it can work for.
    pub client_id: String,
    pub version: &'static str,
    /// How long nobody takes its accounts after it has last been heard of.
    pub holds_for: Duration,
}

/// What a node finds when it says that it lives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heartbeat {
    /// Those of its application that live, itself included.
    pub nodes: Vec<NodeLoad>,
    /// What it holds, each with the epoch in which it has it.
    pub held: BTreeMap<AccountId, i64>,
    /// What it holds and cannot work for any more: signed out, refused, or signed in to another application.
    pub unfit: Vec<AccountId>,
    /// Accounts that nodes of its application can work for, whoever holds them.
    pub num_accounts: u32,
}

/// How much a node has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeLoad {
    pub id: Uuid,
    pub started_at: DateTime<Utc>,
    pub num_held: u32,
}
