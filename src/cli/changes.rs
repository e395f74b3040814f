//! The command `changes`: since when, and which.

use super::{AccountArg, values};
use crate::model::EntityType;
use chrono::{DateTime, Datelike, Local, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use clap::Args;
use std::time::Duration;

/// Longest time to look back, to before Spotify existed.
const AGO_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno changes                            of the last 7 days, newest first
  segno changes --since 12h tracks         saved tracks added or removed
  segno changes --since 2026-11-01 playlists
  segno changes --json | jq 'select(.change == \"removed\") | .name'

What was saved before the first sync has the time when it was saved, not when it was synced.")]
pub struct ChangesArgs {
    /// Entity types to show; playlists include changes to their items [default: all]
    #[arg(value_name = "ENTITY", value_parser = values::entity)]
    pub entities: Vec<EntityType>,

    /// How far to look back: a time, a date, or a duration
    #[arg(long, value_name = "WHEN", default_value = "7d", value_parser = since)]
    pub since: Since,

    /// Most changes to show
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = values::number::<u32>(1..=10_000_000))]
    pub limit: u32,

    #[command(flatten)]
    pub account: AccountArg,

    /// Print JSON, one object per line
    #[arg(long)]
    pub json: bool,
}

/// A point in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    At(DateTime<Utc>),
    /// From the beginning of that day in local time.
    Day(NaiveDate),
    Ago(Duration),
}

impl Since {
    pub fn moment(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Since::At(at) => at,
            Since::Day(day) => {
                let midnight = day.and_time(NaiveTime::MIN);
                // A day that begins with the clocks being put forward has no midnight here.
                Local.from_local_datetime(&midnight).earliest().map_or_else(|| midnight.and_utc(), |at| at.to_utc())
            }
            Since::Ago(ago) => now - TimeDelta::from_std(ago).expect("bounded where it is read"),
        }
    }
}

pub(super) fn since(word: &str) -> Result<Since, String> {
    let at = || DateTime::parse_from_rfc3339(word).ok().map(|at| Since::At(at.to_utc()));
    // Databases cannot store, or misorder, years outside this range.
    let day = || word.parse().ok().filter(|day: &NaiveDate| (1..=9999).contains(&day.year())).map(Since::Day);
    let ago = || humantime::parse_duration(word).ok().filter(|ago| *ago <= AGO_MAX).map(Since::Ago);
    at().or_else(day).or_else(ago).ok_or_else(|| {
        "a time such as \"2026-11-22T18:00:00Z\", a date such as \"2026-11-22\", or a duration such as \"7d\" or \"12h\""
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_a_date_and_a_duration_say_since_when() {
        let now: DateTime<Utc> = "2026-11-22T18:00:00Z".parse().unwrap();
        let moment = |word| since(word).unwrap().moment(now).to_rfc3339();
        assert_eq!(moment("2026-11-01T08:00:00+02:00"), "2026-11-01T06:00:00+00:00");
        assert_eq!(moment("7d"), "2026-11-15T18:00:00+00:00");
        assert_eq!(moment("1h 30m"), "2026-11-22T16:30:00+00:00");
        let midnight = since("2026-11-01").unwrap().moment(now).with_timezone(&Local);
        assert_eq!(midnight.to_rfc3339()[..19], *"2026-11-01T00:00:00");
    }

    #[test]
    fn other_words_are_refused() {
        for word in ["", "soon", "7", "2026-13-01", "2026-11-22T18:00", "200years"] {
            let refused = since(word).unwrap_err();
            assert!(refused.starts_with("a time such as"), "{word}: {refused}");
        }
    }
}
