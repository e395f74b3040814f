//! Stretches of time as people count them: how much was heard by day, week, month, year, hour of the day, or hour of
//! the week; and how many days in a row.

use chrono::{Datelike, Days, NaiveDate};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How time is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch {
    Day,
    Week,
    Month,
    Year,
    /// Of the day, over all days.
    Hour,
    /// Of the week, over all weeks.
    WeekHour,
}

/// How much was heard in a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StretchHeard {
    /// `2026-11-22`, the Monday of a week, `2026-11`, `2026`, an hour from `00` to `23`, or one of the week from
    /// `1-00`, on a Monday, to `7-23`.
    pub stretch: String,
    /// Those of 30 seconds or more.
    pub plays: u64,
    pub ms: u64,
}

/// How much was heard in one part: a day since 1970, an hour of the day, or an hour of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub number: i64,
    pub plays: u64,
    pub ms: u64,
}

/// Days in a row on each of which something was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Streak {
    pub first: NaiveDate,
    pub last: NaiveDate,
    pub days: u32,
}

impl Stretch {
    /// Sums up parts: days, or parts of the stretch's own kind. Empty stretches are left out.
    pub fn sum_up(self, parts: &[Part]) -> Vec<StretchHeard> {
        let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for part in parts {
            let sum = sums.entry(self.name(part.number)).or_default();
            sum.0 += part.plays;
            sum.1 += part.ms;
        }
        sums.into_iter().map(|(stretch, (plays, ms))| StretchHeard { stretch, plays, ms }).collect()
    }

    fn name(self, number: i64) -> String {
        match self {
            Stretch::Hour => format!("{number:02}"),
            Stretch::WeekHour => format!("{}-{:02}", number / 24 + 1, number % 24),
            Stretch::Day | Stretch::Week | Stretch::Month | Stretch::Year => self.name_of_day(date(number)),
        }
    }

    fn name_of_day(self, day: NaiveDate) -> String {
        match self {
            Stretch::Week => {
                let since_monday = u64::from(day.weekday().num_days_from_monday());
                (day - Days::new(since_monday)).to_string()
            }
            Stretch::Month => day.format("%Y-%m").to_string(),
            Stretch::Year => day.format("%Y").to_string(),
            Stretch::Day | Stretch::Hour | Stretch::WeekHour => day.to_string(),
        }
    }
}

/// The day with that number since 1970.
pub fn date(number: i64) -> NaiveDate {
    i32::try_from(number).ok().and_then(NaiveDate::from_epoch_days).unwrap_or_default()
}

/// The longest streak (the earliest if there are several), and the last one. `days` are in order.
pub fn streaks(days: &[Part]) -> Option<(Streak, Streak)> {
    let mut days = days.iter().map(|day| date(day.number));
    let first = days.next()?;
    let mut last = Streak { first, last: first, days: 1 };
    let mut longest = last;
    for day in days {
        last = if day == last.last + Days::new(1) {
            Streak { last: day, days: last.days + 1, ..last }
        } else {
            Streak { first: day, last: day, days: 1 }
        };
        if last.days > longest.days {
            longest = last;
        }
    }
    Some((longest, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str, plays: u64) -> Part {
        let day: NaiveDate = text.parse().expect("a day");
        Part { number: day.to_epoch_days().into(), plays, ms: plays * 5 }
    }

    #[test]
    fn stretches_are_those_of_the_calendar() {
        let days = [day("2025-01-01", 1), day("2026-11-22", 2), day("2026-11-23", 1)];
        let names = |stretch: Stretch| -> Vec<(String, u64)> {
            stretch.sum_up(&days).into_iter().map(|sum| (sum.stretch, sum.plays)).collect()
        };
        let owned = |pairs: &[(&str, u64)]| -> Vec<(String, u64)> {
            pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
        };
        assert_eq!(names(Stretch::Day), owned(&[("2025-01-01", 1), ("2026-11-22", 2), ("2026-11-23", 1)]));
        assert_eq!(names(Stretch::Week), owned(&[("2024-12-30", 1), ("2026-11-16", 2), ("2026-11-23", 1)]));
        assert_eq!(names(Stretch::Month), owned(&[("2025-01", 1), ("2026-11", 3)]));
        assert_eq!(names(Stretch::Year), owned(&[("2025", 1), ("2026", 3)]));
        let hours = [Part { number: 0, plays: 1, ms: 1 }, Part { number: 6 * 24 + 23, plays: 2, ms: 2 }];
        let of_week: Vec<String> = Stretch::WeekHour.sum_up(&hours).into_iter().map(|hour| hour.stretch).collect();
        assert_eq!(of_week, ["1-00", "7-23"]);
        assert_eq!(Stretch::Hour.sum_up(&hours[..1])[0].stretch, "00");
    }

    #[test]
    fn a_streak_ends_with_a_day_of_silence() {
        let days: Vec<Part> =
            ["2026-01-30", "2026-01-31", "2026-02-01", "2026-02-03"].map(|text| day(text, 1)).to_vec();
        let (longest, last) = streaks(&days).expect("streaks");
        assert_eq!((longest.days, longest.last.to_string()), (3, "2026-02-01".into()));
        assert_eq!((last.days, last.first.to_string()), (1, "2026-02-03".into()));
        assert_eq!(streaks(&[]), None);
    }
}
