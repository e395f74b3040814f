//! The moment of an event: both clocks, and the jitter drawn for it.

use chrono::{DateTime, Utc};
use std::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Now {
    pub at: Instant,
    pub wall: DateTime<Utc>,
    /// In `[0, 1)`.
    pub jitter: f64,
}
