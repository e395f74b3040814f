//! The time zone that days are counted in: by its name, so that daylight saving time is applied as it is there.

use chrono::{DateTime, FixedOffset, Offset, TimeZone, Utc};
use chrono_tz::Tz;

/// Longest name of a zone.
const NAME_MAX: usize = 64;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    Named(Tz),
    Fixed(FixedOffset),
}

/// How far the clocks are ahead of UTC, until a moment; both in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetUntil {
    pub until: i64,
    pub offset: i64,
}

impl Zone {
    pub const UTC: Zone = Zone::Named(Tz::UTC);

    /// `Europe/Amsterdam`; `None` if there is no such zone.
    pub fn of_name(name: &str) -> Option<Zone> {
        let is_name = name.len() <= NAME_MAX;
        name.parse().ok().filter(|_| is_name).map(Zone::Named)
    }

    pub fn name(self) -> String {
        match self {
            Zone::Named(zone) => zone.name().to_owned(),
            Zone::Fixed(offset) => offset.to_string(),
        }
    }

    /// Seconds by which the clocks there are ahead of UTC.
    pub fn offset_at(self, at: i64) -> i64 {
        let at = DateTime::<Utc>::from_timestamp(at, 0).unwrap_or_default().naive_utc();
        let offset = match self {
            Zone::Named(zone) => zone.offset_from_utc_datetime(&at).fix(),
            Zone::Fixed(offset) => offset,
        };
        i64::from(offset.local_minus_utc())
    }

    /// All offsets between two moments, in order; the last one lasts for ever.
    pub fn offsets(self, from: i64, to: i64) -> Vec<OffsetUntil> {
        const DAY: i64 = 86_400;
        let mut found = Vec::new();
        let (mut at, mut offset) = (from, self.offset_at(from));
        while at < to {
            let next = (at + DAY).min(to);
            let other = self.offset_at(next);
            if other != offset {
                // The moment of the change lies in between.
                let (mut before, mut after) = (at, next);
                while after - before > 1 {
                    let middle = before + (after - before) / 2;
                    if self.offset_at(middle) == offset { before = middle } else { after = middle }
                }
                found.push(OffsetUntil { until: after, offset });
                offset = other;
            }
            at = next;
        }
        found.push(OffsetUntil { until: i64::MAX, offset });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<DateTime<Utc>>().expect("a moment").timestamp()
    }

    #[test]
    fn summer_begins_and_ends_where_it_does() {
        let zone = Zone::of_name("Europe/Amsterdam").expect("a zone");
        let offsets = zone.offsets(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
        assert_eq!(
            offsets,
            [
                OffsetUntil { until: at("2026-03-29T01:00:00Z"), offset: 3600 },
                OffsetUntil { until: at("2026-10-25T01:00:00Z"), offset: 7200 },
                OffsetUntil { until: i64::MAX, offset: 3600 },
            ]
        );
        let half = Zone::of_name("Asia/Kolkata").expect("a zone");
        assert_eq!(half.offsets(0, 0), [OffsetUntil { until: i64::MAX, offset: 19_800 }]);
        assert_eq!(half.name(), "Asia/Kolkata");
    }

    #[test]
    fn what_no_zone_is_called_is_none() {
        for name in ["", "Europe", "Europe/Nowhere", "../../etc/passwd", "X".repeat(5000).as_str()] {
            assert_eq!(Zone::of_name(name), None, "{name}");
        }
        assert_eq!(Zone::UTC.offset_at(0), 0);
    }
}
