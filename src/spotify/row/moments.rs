//! When something was added or played, however it is written.

use crate::spotify::wire::Lax;
use chrono::{DateTime, Datelike, FixedOffset, Utc};

/// A moment, cut to the microseconds that both databases keep. (A leap second becomes the second after it.) Databases
/// cannot store, or misorder, years outside this range.
pub fn timestamp(field: Lax<String>) -> Option<DateTime<Utc>> {
    let moment = moment(&field.given()?)?;
    DateTime::from_timestamp_micros(moment.timestamp_micros()).filter(|moment| (1..=9999).contains(&moment.year()))
}

/// RFC 3339, and the same with a blank for the `T`, with an offset without a colon, or without a time zone: all times of
/// Spotify are UTC.
fn moment(text: &str) -> Option<DateTime<FixedOffset>> {
    let text = text.trim();
    DateTime::parse_from_rfc3339(text).ok().or_else(|| {
        let (day, time) = text.split_once(['T', 't', ' '])?;
        let (time, zone) = time.split_at(time.find(['+', '-', 'Z', 'z']).unwrap_or(time.len()));
        let zone = match zone.split_at_checked(3) {
            None if zone.is_empty() => "Z".to_owned(),
            Some((hours, "")) => format!("{hours}:00"),
            Some((hours, minutes)) if minutes.len() == 2 => format!("{hours}:{minutes}"),
            Some(_) | None => zone.to_owned(),
        };
        DateTime::parse_from_rfc3339(&format!("{day}T{}{zone}", time.trim_end())).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_a_zone_is_utc_and_an_offset_needs_no_colon() {
        for (text, at) in [
            ("2026-11-30T10:00:00", "2026-11-30T10:00:00+00:00"),
            ("2026-11-30 10:00:00", "2026-11-30T10:00:00+00:00"),
            ("2026-11-30T10:00:00.25", "2026-11-30T10:00:00.250+00:00"),
            ("2026-11-30 10:00:00Z", "2026-11-30T10:00:00+00:00"),
            ("2026-11-30T10:00:00+0100", "2026-11-30T09:00:00+00:00"),
            ("2026-11-30 10:00:00 -0130", "2026-11-30T11:30:00+00:00"),
            ("2026-11-30T10:00:00+01", "2026-11-30T09:00:00+00:00"),
            (" 2026-11-30t10:00:00+01:00 ", "2026-11-30T09:00:00+00:00"),
        ] {
            assert_eq!(read(text).as_deref(), Some(at), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_not_taken_for_one() {
        for text in [
            "",
            " ",
            "T",
            "2026-11-30",
            "26-11-30T10:00:00",
            "2026-11-30T10",
            "2026-11-30T10:00:00 CET",
            "2026-11-30T10:00:00+1",
            "2026-11-30T10:00:00+\u{e9}\u{e9}",
            "2026-02-30T10:00:00",
            "1796032800",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_year_that_a_database_misorders_is_no_date() {
        for outside in ["0000-06-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"] {
            assert_eq!(read(outside), None, "{outside}");
        }
        for inside in ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00"] {
            assert_eq!(read(inside).as_deref(), Some(inside));
        }
    }

    #[test]
    fn a_leap_second_is_a_moment_that_a_database_can_hold() {
        let at = timestamp(Lax::Given("2016-12-31T23:59:60Z".into())).unwrap();
        assert_eq!(at.to_rfc3339(), "2017-01-01T00:00:00+00:00");
    }

    fn read(text: &str) -> Option<String> {
        timestamp(Lax::Given(text.into())).map(|at| at.to_rfc3339())
    }
}
