//! Values on their way in and out of both databases: moments, texts and counters that mean the same in each.

use chrono::{DateTime, Datelike, NaiveDate, SubsecRound, TimeDelta, Timelike, Utc};
use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::Pg;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{SqlOrd, Text, Timestamptz, TimestamptzSqlite};
use diesel::sqlite::Sqlite;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::io::Write;
use std::ops::Range;

/// The SQL type of a moment: `timestamptz` in PostgreSQL, text in SQLite.
#[derive(Debug, Clone, Copy, diesel::sql_types::SqlType, diesel::query_builder::QueryId)]
#[diesel(postgres_type(oid = 1184, array_oid = 1185), sqlite_type(name = "Text"))]
pub struct Instant;

impl SqlOrd for Instant {}

/// A moment as the database keeps it: UTC, whole microseconds. PostgreSQL keeps no more, and two databases must not
/// disagree about one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = Instant)]
pub struct At(DateTime<Utc>);

impl At {
    /// After every date in use; later years would not sort as texts.
    pub fn end_of_time() -> At {
        At(DateTime::from_timestamp(253_402_300_799, 0).expect("the last second of the year 9999"))
    }

    /// Before every date in use.
    pub fn beginning_of_time() -> At {
        At(DateTime::from_timestamp(-62_135_596_800, 0).expect("the first second of the year 1"))
    }

    /// As a literal of SQL that both databases read alike.
    pub fn literal(self) -> String {
        format!("'{}'", text(self.0))
    }

    /// The next moment that can be stored.
    pub fn next(self) -> At {
        At(self.0 + TimeDelta::microseconds(1))
    }
}

impl From<DateTime<Utc>> for At {
    fn from(at: DateTime<Utc>) -> At {
        At(at.trunc_subsecs(6))
    }
}

impl From<At> for DateTime<Utc> {
    fn from(at: At) -> DateTime<Utc> {
        at.0
    }
}

impl ToSql<Instant, Pg> for At {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<Timestamptz, Pg>::to_sql(&self.0, out)
    }
}

impl FromSql<Instant, Pg> for At {
    fn from_sql(value: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        FromSql::<Instant, Pg>::from_sql(value).map(At)
    }
}

impl FromSql<Instant, Sqlite> for At {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        FromSql::<Instant, Sqlite>::from_sql(value).map(At)
    }
}

/// A value that is only passed on is read as it is.
impl FromSql<Instant, Pg> for DateTime<Utc> {
    fn from_sql(value: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        FromSql::<Timestamptz, Pg>::from_sql(value)
    }
}

impl FromSql<Instant, Sqlite> for DateTime<Utc> {
    fn from_sql(mut value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        if let Some(at) = moment(value.read_text()) {
            return Ok(at);
        }
        // Values that others have written by hand.
        FromSql::<TimestamptzSqlite, Sqlite>::from_sql(value)
    }
}

impl ToSql<Instant, Sqlite> for At {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        // One width, so that SQLite's texts sort as the moments they stand for.
        out.set_value(text(self.0));
        Ok(IsNull::No)
    }
}

/// `at` as SQLite stores it.
fn text(at: DateTime<Utc>) -> String {
    let mut text = *b"0000-00-00 00:00:00.000000+00:00";
    write_date_and_time(&mut text, at);
    write_digits(&mut text[20..26], at.timestamp_subsec_micros());
    String::from_utf8_lossy(&text).into_owned()
}

/// `at` in JSON, as chrono writes it.
pub(super) fn json_text<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    let is_whole = |at: &DateTime<Utc>| at.timestamp_subsec_nanos() == 0 && (0..=9999).contains(&at.year());
    let Some(whole) = at.filter(is_whole) else { return at.serialize(serializer) };
    let mut text = *b"0000-00-00T00:00:00Z";
    write_date_and_time(&mut text, whole);
    serializer.serialize_str(&String::from_utf8_lossy(&text))
}

/// Writes digit by digit: a batch holds hundreds of moments, and formatting them took a fiftieth of a sync.
fn write_date_and_time(text: &mut [u8], at: DateTime<Utc>) {
    let year = u32::try_from(at.year()).unwrap_or_default();
    let (date, time) = ([at.month(), at.day()], [at.hour(), at.minute(), at.second()]);
    write_digits(&mut text[0..4], year);
    for (place, number) in [5, 8, 11, 14, 17].into_iter().zip(date.into_iter().chain(time)) {
        write_digits(&mut text[place..place + 2], number);
    }
}

fn write_digits(text: &mut [u8], mut number: u32) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
    }
}

/// Parses the output of [`text`]. Chrono tries one format after the other, which took a tenth of an export.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    const PATTERN: &[u8; 32] = b"0000-00-00 00:00:00.000000+00:00";
    let text: &[u8; 32] = text.as_bytes().try_into().ok()?;
    let is_ours = |(byte, pattern): (&u8, &u8)| byte == pattern || (*pattern == b'0' && byte.is_ascii_digit());
    if !text.iter().zip(PATTERN).all(is_ours) || text[26..] != PATTERN[26..] {
        return None;
    }
    let number = |place: Range<usize>| text[place].iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    let day = NaiveDate::from_ymd_opt(i32::try_from(number(0..4)).ok()?, number(5..7), number(8..10))?;
    Some(day.and_hms_micro_opt(number(11..13), number(14..16), number(17..19), number(20..26))?.and_utc())
}

/// Text from outside. PostgreSQL refuses a NUL character, and one odd name must not stop a batch for ever, so NULs are
/// dropped before writing, in both databases alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Words<'a>(pub &'a str);

impl From<Words<'_>> for String {
    fn from(words: Words<'_>) -> String {
        clean(words.0).into_owned()
    }
}

impl ToSql<Text, Pg> for Words<'_> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(clean(self.0).as_bytes())?;
        Ok(IsNull::No)
    }
}

impl ToSql<Text, Sqlite> for Words<'_> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        match clean(self.0) {
            Cow::Borrowed(text) => out.set_value(text),
            Cow::Owned(text) => out.set_value(text),
        }
        Ok(IsNull::No)
    }
}

/// `text` without NULs.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "")) } else { Cow::Borrowed(text) }
}

/// An offset or a count from a column, back in the domain. An invalid value becomes the nearest valid one: only we
/// write these columns.
pub fn to_u32(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

/// The length of something whose positions are counted in 32 bits.
pub fn len(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_loses_what_postgres_would_not_keep() {
        let at = DateTime::from_timestamp(1_700_000_000, 123_456_789).unwrap();
        assert_eq!(DateTime::<Utc>::from(At::from(at)).timestamp_subsec_nanos(), 123_456_000);
    }

    #[test]
    fn texts_are_of_one_width_and_sort_as_the_moments_do() {
        let moments =
            [(-62_167_219_200, 0), (0, 0), (951_782_399, 999_999_000), (951_782_400, 1_000), (253_402_300_799, 0)];
        let texts = moments.map(|(secs, nanos)| text(DateTime::from_timestamp(secs, nanos).unwrap()));
        assert_eq!(
            texts,
            [
                "0000-01-01 00:00:00.000000+00:00",
                "1970-01-01 00:00:00.000000+00:00",
                "2000-02-28 23:59:59.999999+00:00",
                "2000-02-29 00:00:00.000001+00:00",
                "9999-12-31 23:59:59.000000+00:00",
            ]
        );
    }

    #[test]
    fn moments_in_json_are_those_of_chrono() {
        #[derive(Serialize)]
        struct Ours(#[serde(serialize_with = "json_text")] Option<DateTime<Utc>>);
        let moments =
            [(-62_167_219_201, 0), (-62_167_219_200, 0), (0, 0), (951_782_399, 999_000_000), (1_790_000_000, 0)];
        let moments = moments.into_iter().chain([(253_402_300_799, 0), (253_402_300_800, 0)]);
        for at in moments.map(|(secs, nanos)| DateTime::from_timestamp(secs, nanos)) {
            assert_eq!(serde_json::to_string(&Ours(at)).unwrap(), serde_json::to_string(&at).unwrap());
        }
        assert_eq!(serde_json::to_string(&Ours(None)).unwrap(), "null");
    }

    #[test]
    fn a_moment_is_read_as_it_was_written_and_nothing_else_is_taken_for_one() {
        for secs in [-62_167_219_200, -1, 0, 951_782_399, 1_790_000_000, 253_402_300_799] {
            let at = DateTime::from_timestamp(secs, 123_456_000).unwrap();
            assert_eq!(moment(&text(at)), Some(at));
        }
        for other in [
            "2026-11-29 12:00:00.000000+01:00",
            "2026-11-29T12:00:00.000000+00:00",
            "2026-02-30 12:00:00.000000+00:00",
            "2026-11-29 12:00:60.000000+00:00",
            "2026-11-29 12:00:00.00000x+00:00",
            "2026-11-29 12:00:00",
            "",
        ] {
            assert_eq!(moment(other), None, "{other}");
        }
    }

    #[test]
    fn impossible_counts_read_as_the_nearest_possible() {
        assert_eq!((to_u32(-1), to_u32(7), to_u32(i64::MAX)), (0, 7, u32::MAX));
    }
}
