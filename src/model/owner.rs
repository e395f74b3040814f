//! Which process owns an account. Two that wrote for one account would undo each other's work.

use super::AccountId;
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;

/// A process, as others on the same database know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub id: Uuid,
    /// Its name for people: command, process id, host.
    pub label: String,
    /// The scope of its process id: the boot and the namespace of the machine. Empty if unknown.
    pub place: String,
    pub pid: u32,
}

/// A service's hold on its accounts, renewed while it lives.
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
    /// How long its accounts are safe from others after its last heartbeat.
    pub holds_for: Duration,
}

/// What a node finds with its heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heartbeat {
    /// The living nodes of its application, itself included.
    pub nodes: Vec<NodeLoad>,
    /// The accounts it holds, each with its epoch.
    pub held: BTreeMap<AccountId, i64>,
    /// Accounts it holds but can no longer work for: signed out, refused, or signed in to another application.
    pub unfit: Vec<AccountId>,
    /// Accounts that nodes of its application can work for, held or not.
    pub num_accounts: u32,
}

/// The load of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeLoad {
    pub id: Uuid,
    pub started_at: DateTime<Utc>,
    pub num_held: u32,
}
