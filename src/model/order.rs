//! What a person may want of a service while it runs.

use super::{AccountId, EntityType, SyncKey};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// A run now.
    Sync,
    /// No run until [`Order::Resume`]; one under way ends.
    Pause,
    Resume,
    /// Forget how far it was read, and read all of it again.
    Reset,
    /// Believe the removals that were held back, and a run now.
    ConfirmRemovals,
}

impl Order {
    pub const ALL: &'static [Order] = &[Order::Sync, Order::Pause, Order::Resume, Order::Reset, Order::ConfirmRemovals];

    pub const fn as_str(self) -> &'static str {
        match self {
            Order::Sync => "sync",
            Order::Pause => "pause",
            Order::Resume => "resume",
            Order::Reset => "reset",
            Order::ConfirmRemovals => "confirm_removals",
        }
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
