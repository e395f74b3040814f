//! The only place that reads the time.

use chrono::{DateTime, SubsecRound, Utc};
use std::time::Instant;

/// Calendar time, in the microseconds that both databases keep.
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// Time for measuring and waiting, which no correction of the calendar moves. It follows tokio's clock, so that a test
/// may pause it.
pub fn instant() -> Instant {
    tokio::time::Instant::now().into_std()
}
