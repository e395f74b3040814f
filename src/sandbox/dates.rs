//! When items of a made-up library were saved.

use chrono::{DateTime, Utc};
use fastrand::Rng;

/// When the newest item was saved, in seconds since 1970 (2026-06-30): fixed, so that a seed always gives the same
/// library.
pub const NEWEST_S: i64 = 1_782_831_600;

/// Approximate seconds from the oldest saved item to the newest: nine years.
const SPAN_S: u64 = 9 * 365 * 86_400;

/// Dates that descend from the newest, with bursts.
pub struct Dates {
    at_s: i64,
    mean_gap_s: u64,
}

impl Dates {
    pub fn back_from_newest(count: usize) -> Dates {
        Dates { at_s: NEWEST_S, mean_gap_s: (SPAN_S / count.max(1) as u64).clamp(1, 3 * 86_400) }
    }

    /// Every fourth item or so was saved in the same second as the one before it.
    fn next(&mut self, rng: &mut Rng) -> DateTime<Utc> {
        let date = date_ms(self.at_s * 1000);
        if rng.u8(..4) > 0 {
            self.at_s -= i64::try_from(rng.u64(0..=self.mean_gap_s * 8 / 3)).unwrap_or(0);
        }
        date
    }

    pub fn zip_with<T, R>(
        mut self,
        rng: &mut Rng,
        items: impl Iterator<Item = T>,
        row: impl Fn(DateTime<Utc>, T) -> R,
    ) -> Vec<R> {
        items.map(|item| row(self.next(rng), item)).collect()
    }
}

pub fn date_ms(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).expect("the generator's dates lie between 2010 and 2030")
}
