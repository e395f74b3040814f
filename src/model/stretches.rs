//! Stretches of time as people count them: how much was heard by day, week, month, year, or hour of the day.

use chrono::{DateTime, Datelike, NaiveDate, TimeZone, Timelike, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How time is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch {
    Day,
    Week,
    Month,
    Year,
    /// Of the day, whichever day it was.
    Hour,
}

/// How much was heard in a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StretchHeard {
    /// `2026-11-22`, the Monday of a week, `2026-11`, `2026`, or an hour from `00` to `23`.
    pub stretch: String,
    /// Those of 30 seconds or more.
    pub plays: u64,
    pub ms: u64,
}

/// Sums up moments, each with its plays and milliseconds, as the calendar of a time zone has them. Stretches without any
/// are left out.
pub fn by_stretch<Z: TimeZone>(
    moments: impl IntoIterator<Item = (DateTime<Utc>, u64, u64)>,
    stretch: Stretch,
    zone: &Z,
) -> Vec<StretchHeard> {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (at, plays, ms) in moments {
        let here = at.with_timezone(zone);
        let (day, hour) = (here.date_naive(), here.hour());
        let sum = sums.entry(name(stretch, day, hour)).or_default();
        sum.0 += plays;
        sum.1 += ms;
    }
    sums.into_iter().map(|(stretch, (plays, ms))| StretchHeard { stretch, plays, ms }).collect()
}

fn name(stretch: Stretch, day: NaiveDate, hour: u32) -> String {
    match stretch {
        Stretch::Day => day.to_string(),
        Stretch::Week => {
            let since_monday = u64::from(day.weekday().num_days_from_monday());
            (day - chrono::Days::new(since_monday)).to_string()
        }
        Stretch::Month => day.format("%Y-%m").to_string(),
        Stretch::Year => day.format("%Y").to_string(),
        Stretch::Hour => format!("{hour:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::FixedOffset;

    #[test]
    fn stretches_are_those_of_the_calendar_here() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a moment");
        let moments = [
            (at("2026-11-22T23:30:00Z"), 2, 10),
            (at("2026-11-23T10:00:00Z"), 1, 5),
            (at("2025-01-01T10:00:00Z"), 1, 1),
        ];
        let names = |stretch, zone: FixedOffset| -> Vec<(String, u64)> {
            by_stretch(moments, stretch, &zone).into_iter().map(|sum| (sum.stretch, sum.plays)).collect()
        };
        let utc = FixedOffset::east_opt(0).expect("a zone");
        let east = FixedOffset::east_opt(3600).expect("a zone");
        let owned = |pairs: &[(&str, u64)]| -> Vec<(String, u64)> {
            pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
        };
        assert_eq!(names(Stretch::Day, utc), owned(&[("2025-01-01", 1), ("2026-11-22", 2), ("2026-11-23", 1)]));
        assert_eq!(names(Stretch::Day, east), owned(&[("2025-01-01", 1), ("2026-11-23", 3)]));
        assert_eq!(names(Stretch::Week, utc), owned(&[("2024-12-30", 1), ("2026-11-16", 2), ("2026-11-23", 1)]));
        assert_eq!(names(Stretch::Month, utc), owned(&[("2025-01", 1), ("2026-11", 3)]));
        assert_eq!(names(Stretch::Year, utc), owned(&[("2025", 1), ("2026", 3)]));
        assert_eq!(names(Stretch::Hour, east), owned(&[("00", 2), ("11", 2)]));
    }
}
