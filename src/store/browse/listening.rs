//! What was listened to, summed up: by what it was, or by when it was. It reads the sums that are made ahead
//! (`store::heard`), so that the cost of a query about years depends on what it shows.
//!
//! Sums are kept by months and years of UTC, and of all time. Where a span covers a month only in part, the rest is
//! added from the rows themselves, or subtracted if the part outside the span is smaller. For many years, what lies
//! outside the span is subtracted from all time if that is less.

use crate::model::AccountId;
use crate::model::stretches::{Part, Stretch};
use crate::model::zone::Zone;
use crate::store::by_sql::bounds;
use crate::store::heard::{self, HALF_HOUR, Month};
use crate::store::{Conn, Store, StoreError, with_conn};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use std::collections::HashMap;
use utoipa::ToSchema;

/// What is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    Artists,
    Tracks,
    Albums,
    /// Podcasts and audiobooks.
    Shows,
}

impl Heard {
    /// What sums are grouped by, in `heard_items`.
    pub(super) fn key(self) -> &'static str {
        match self {
            Heard::Artists => "artist_of",
            Heard::Tracks => "title_of",
            Heard::Albums | Heard::Shows => "album_of",
        }
    }

    pub(super) fn kinds(self) -> &'static str {
        match self {
            Heard::Artists | Heard::Tracks | Heard::Albums => "'track'",
            Heard::Shows => "'episode', 'chapter'",
        }
    }
}

/// A stretch of time, from and to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

/// An artist, track, album or show, and how much of it was heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeardEntry {
    /// `None` if Spotify does not say.
    pub name: Option<String>,
    /// For a track or album.
    pub artist: Option<String>,
    /// For a track; one of them if it has several.
    pub uri: Option<String>,
    /// Those of 30 seconds or more.
    pub plays: u64,
    pub ms: u64,
    /// When it was first heard at all, and last.
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

/// Spans up to this length are summed up from the rows themselves.
const FEW_DAYS: i64 = 35;

/// How many months have as many sums as a year, or as all time.
const YEAR_WEIGHS: i64 = 3;
const ALL_TIME_WEIGHS: i64 = 8;

#[derive(QueryableByName)]
pub(super) struct KeySum {
    #[diesel(sql_type = BigInt)]
    pub key: i64,
    #[diesel(sql_type = BigInt)]
    pub plays: i64,
    #[diesel(sql_type = BigInt)]
    pub ms: i64,
}

#[derive(QueryableByName)]
struct NameRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    uri: String,
    #[diesel(sql_type = Nullable<Text>)]
    name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    artist: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    album: Option<String>,
}

#[derive(QueryableByName)]
struct EverRow {
    #[diesel(sql_type = BigInt)]
    key: i64,
    #[diesel(sql_type = BigInt)]
    first_at: i64,
    #[diesel(sql_type = BigInt)]
    last_at: i64,
}

impl Store {
    /// What was heard most, by time.
    pub async fn heard_most(
        &self,
        account: AccountId,
        what: Heard,
        span: Span,
        limit: u32,
    ) -> Result<Vec<HeardEntry>, StoreError> {
        let conn = &mut self.connect().await?;
        let Some(sums) = sums(conn, account, span).await? else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT i.{} AS key, CAST(sum(x.plays) AS BIGINT) AS plays, CAST(sum(x.ms) AS BIGINT) AS ms FROM ({sums}) AS x \
             JOIN heard_items i ON i.id = x.item_id WHERE i.kind IN ({}) GROUP BY 1 \
             HAVING sum(x.ms) > 0 OR sum(x.plays) > 0 ORDER BY 3 DESC, 2 DESC, 1 LIMIT {limit}",
            what.key(),
            what.kinds()
        );
        let sums: Vec<KeySum> = with_conn!(conn, |c| sql_query(sql).load(c).await)?;
        entries(conn, account, what, sums).await
    }

    /// How much was heard by day, or hour, of a time zone: the parts of the stretch, in order.
    pub async fn heard_when(
        &self,
        account: AccountId,
        stretch: Stretch,
        span: Span,
        zone: Zone,
    ) -> Result<Vec<Part>, StoreError> {
        let conn = &mut self.connect().await?;
        let Some(Span { since, until }) = bounded(conn, account, span).await? else { return Ok(Vec::new()) };
        let (from, to) = (since.timestamp(), until.timestamp());
        let here = local("half_hour * 1800", zone, from, to);
        let part = match stretch {
            Stretch::Day | Stretch::Week | Stretch::Month | Stretch::Year => format!("({here}) / 86400"),
            Stretch::Hour => format!("(({here}) / 3600) % 24"),
            // 1970 began on a Thursday.
            Stretch::WeekHour => format!("(({here}) / 86400 + 3) % 7 * 24 + (({here}) / 3600) % 24"),
        };
        let sql = format!(
            "SELECT {part} AS key, CAST(sum(plays) AS BIGINT) AS plays, CAST(sum(ms) AS BIGINT) AS ms FROM heard_half_hours \
             WHERE account_id = {} AND half_hour >= {} AND half_hour < {} GROUP BY 1 ORDER BY 1",
            account.0,
            from / HALF_HOUR,
            (to + HALF_HOUR - 1) / HALF_HOUR
        );
        let sums: Vec<KeySum> = with_conn!(conn, |c| sql_query(sql).load(c).await)?;
        Ok(sums.into_iter().map(part_of).collect())
    }
}

pub(super) fn part_of(KeySum { key, plays, ms }: KeySum) -> Part {
    Part { number: key, plays: plays.max(0).unsigned_abs(), ms: ms.max(0).unsigned_abs() }
}

/// Unix seconds as the clocks of a zone show them.
pub(super) fn local(seconds: &str, zone: Zone, from: i64, to: i64) -> String {
    let offsets = zone.offsets(from, to);
    match &offsets[..] {
        [only] => format!("{seconds} + {}", only.offset),
        [.., last] => {
            let before = &offsets[..offsets.len() - 1];
            let cases: String =
                before.iter().map(|each| format!(" WHEN {seconds} < {} THEN {}", each.until, each.offset)).collect();
            format!("{seconds} + CASE{cases} ELSE {} END", last.offset)
        }
        [] => seconds.to_owned(),
    }
}

/// The part of a span in which anything was heard at all.
pub(super) async fn bounded(conn: &mut Conn, account: AccountId, span: Span) -> Result<Option<Span>, StoreError> {
    let theirs = format!("heard_half_hours WHERE account_id = {}", account.0);
    let Some((first, last)) = bounds(conn, "half_hour", &theirs).await? else { return Ok(None) };
    let moment = |half_hour: i64| DateTime::from_timestamp(half_hour * HALF_HOUR, 0).unwrap_or_default();
    let (first, last) = (moment(first), moment(last + 1));
    let (since, until) = (span.since.max(first), span.until.min(last));
    Ok((since < until).then_some(Span { since, until }))
}

/// What was heard of each title in a span, in parts that add up: `item_id`, `plays`, `ms`. `None` if nothing was.
async fn sums(conn: &mut Conn, account: AccountId, span: Span) -> Result<Option<String>, StoreError> {
    let ever = Span { since: DateTime::<Utc>::MIN_UTC, until: DateTime::<Utc>::MAX_UTC };
    let Some(all) = bounded(conn, account, ever).await? else { return Ok(None) };
    let Some(span) = bounded(conn, account, span).await? else { return Ok(None) };
    let AccountId(id) = account;
    let of = |periods: &[i64]| {
        // There is no period with that number, and the list may otherwise be empty.
        let periods: Vec<String> = periods.iter().chain(&[-1]).map(i64::to_string).collect();
        format!(
            "SELECT item_id, plays, ms FROM heard_sums WHERE account_id = {id} AND period IN ({})",
            periods.join(", ")
        )
    };
    if span == all {
        return Ok(Some(of(&[0])));
    }
    let conn = &*conn;
    let rows = |from: DateTime<Utc>, to: DateTime<Utc>, sign: &str| {
        format!(
            "SELECT i.id AS item_id, {sign}r.plays AS plays, {sign}r.ms AS ms FROM ({}) AS r JOIN heard_items i \
             ON i.account_id = {id} AND i.kind = r.kind AND i.uri = r.uri",
            heard::rows(conn, account, from, to)
        )
    };
    if span.until - span.since <= TimeDelta::days(FEW_DAYS) {
        return Ok(Some(rows(span.since, span.until, "")));
    }
    let (from, to) = (nearest(span.since), nearest(span.until));
    let within = periods(from, to);
    let without = [periods(Month::of(all.since), from), periods(to, Month::of(all.until).next())].concat();
    let mut parts = if weight(&without) + ALL_TIME_WEIGHS < weight(&within) {
        let taken = format!("SELECT item_id, -plays AS plays, -ms AS ms FROM ({}) AS t", of(&without));
        vec![of(&[0]), taken]
    } else {
        vec![of(&within)]
    };
    for (one, other) in [(span.since, from.begins_at()), (to.begins_at(), span.until)] {
        if one < other {
            parts.push(rows(one, other, ""));
        } else if other < one {
            parts.push(rows(other, one, "-"));
        }
    }
    Ok(Some(parts.join(" UNION ALL ")))
}

/// The month that begins nearest to a moment.
fn nearest(at: DateTime<Utc>) -> Month {
    let month = Month::of(at);
    let next = month.next();
    if at - month.begins_at() <= next.begins_at() - at { month } else { next }
}

/// Whole years where possible, and months.
fn periods(from: Month, to: Month) -> Vec<i64> {
    let mut periods = Vec::new();
    let mut month = from;
    while month < to {
        let next_year = Month::of_year(month.year() + 1);
        if month == Month::of_year(month.year()) && next_year <= to {
            periods.push(month.year());
            month = next_year;
        } else {
            periods.push(month.number());
            month = month.next();
        }
    }
    periods
}

/// About how many sums there are of these periods: a title that is heard in a year is heard in some of its months.
fn weight(periods: &[i64]) -> i64 {
    periods.iter().map(|period| if *period < 10_000 { YEAR_WEIGHS } else { 1 }).sum()
}

/// Names, and when each was heard first and last.
pub(super) async fn entries(
    conn: &mut Conn,
    account: AccountId,
    what: Heard,
    sums: Vec<KeySum>,
) -> Result<Vec<HeardEntry>, StoreError> {
    if sums.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<String> = sums.iter().map(|sum| sum.key.to_string()).collect();
    let (keys, key) = (keys.join(", "), what.key());
    let sql = format!("SELECT id, uri, name, artist, album FROM heard_items WHERE id IN ({keys})");
    let names: Vec<NameRow> = with_conn!(conn, |c| sql_query(sql).load(c).await)?;
    let names: HashMap<i64, NameRow> = names.into_iter().map(|row| (row.id, row)).collect();
    let sql = format!(
        "SELECT i.{key} AS key, min(s.first_at) AS first_at, max(s.last_at) AS last_at FROM heard_items i \
         JOIN heard_sums s ON s.account_id = i.account_id AND s.period = 0 AND s.item_id = i.id \
         WHERE i.account_id = {} AND i.kind IN ({}) AND i.{key} IN ({keys}) GROUP BY 1",
        account.0,
        what.kinds()
    );
    let ever: Vec<EverRow> = with_conn!(conn, |c| sql_query(sql).load(c).await)?;
    let ever: HashMap<i64, EverRow> = ever.into_iter().map(|row| (row.key, row)).collect();
    let moment = |seconds: Option<i64>| DateTime::from_timestamp(seconds.unwrap_or(0), 0).unwrap_or_default();
    let entry = |sum: KeySum| {
        let (row, ever) = (names.get(&sum.key), ever.get(&sum.key));
        let artist = row.and_then(|row| row.artist.clone());
        let (name, artist, uri) = match what {
            Heard::Artists => (artist, None, None),
            Heard::Tracks => (row.and_then(|row| row.name.clone()), artist, row.map(|row| row.uri.clone())),
            Heard::Albums => (row.and_then(|row| row.album.clone()), artist, None),
            Heard::Shows => (row.and_then(|row| row.album.clone()), None, None),
        };
        HeardEntry {
            name,
            artist,
            uri: uri.filter(|uri| uri.starts_with("spotify:")),
            plays: sum.plays.max(0).unsigned_abs(),
            ms: sum.ms.max(0).unsigned_abs(),
            first_at: moment(ever.map(|ever| ever.first_at)),
            last_at: moment(ever.map(|ever| ever.last_at)),
        }
    };
    Ok(sums.into_iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_years_are_taken_as_such() {
        let month = |text: &str| Month::of(format!("{text}-15T00:00:00Z").parse().expect("a moment"));
        assert_eq!(periods(month("2023-11"), month("2026-02")), [202311, 202312, 2024, 2025, 202601]);
        assert_eq!(periods(month("2024-01"), month("2025-01")), [2024]);
        assert_eq!(periods(month("2024-01"), month("2024-01")), Vec::<i64>::new());
    }

    #[test]
    fn a_month_that_lies_mostly_within_is_taken_whole() {
        let nearest = |text: &str| nearest(text.parse().expect("a moment")).number();
        assert_eq!(nearest("2026-01-31T23:00:00Z"), 202602);
        assert_eq!(nearest("2026-12-20T23:00:00Z"), 202701);
        assert_eq!(nearest("2026-02-02T01:00:00Z"), 202602);
    }

    #[test]
    fn clocks_that_change_are_cases() {
        let zone = Zone::of_name("Europe/Amsterdam").expect("a zone");
        let text = local("x", zone, 1_767_225_600, 1_780_000_000);
        assert_eq!(text, "x + CASE WHEN x < 1774746000 THEN 3600 ELSE 7200 END");
        assert_eq!(local("x", Zone::UTC, 0, 1), "x + 0");
    }
}
