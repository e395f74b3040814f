//! What a person may want of a service while it runs.

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
        /// Forget how far it was read, and read all of it again.
        Reset = "reset",
        /// Believe the removals that were held back, and a run now.
        ConfirmRemovals = "confirm_removals",
    }
}

/// An order that was given at one node, for whichever keeps the account current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenOrder {
    pub id: i64,
    pub order: Order,
    pub account: AccountId,
    /// `None` for all that the service keeps current.
    pub entities: Option<Vec<EntityType>>,
}

/// What came of an order, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderOutcome {
    pub accepted: Vec<SyncKey>,
    pub skipped: Vec<(SyncKey, String)>,
}
