//! The moment at which something is told to a machine: both clocks, and the roll of the dice that goes with it.

use chrono::{DateTime, Utc};
use std::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Now {
    pub at: Instant,
    pub wall: DateTime<Utc>,
    /// In `[0, 1)`.
    pub jitter: f64,
}
