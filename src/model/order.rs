//! The orders that a person can give to a running service.

use super::ids::words;
use super::{AccountId, EntityType, SyncKey};

words! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    Order {
        /// A run now.
        Sync = "sync",
        /// No run until [`Order::Resume`]; one under way ends.
        Pause = "pause",
        Resume = "resume",
        /// Forget the progress, and read everything again.
        Reset = "reset",
        /// Confirm the removals that were held back, and begin a run now.
        ConfirmRemovals = "confirm_removals",
    }
}

/// An order given at one node, for the node that keeps the account current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenOrder {
    pub id: i64,
    pub order: Order,
    pub account: AccountId,
    /// `None` for all that the service keeps current.
    pub entities: Option<Vec<EntityType>>,
}

/// The outcome of an order, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderOutcome {
    pub accepted: Vec<SyncKey>,
    pub skipped: Vec<(SyncKey, String)>,
}
