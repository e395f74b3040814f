//! What was listened to, summed up ahead (`heard_items`, `heard_sums`, `heard_half_hours`), so that the cost of a query
//! about years depends on what it shows and not on how much was heard.
//!
//! All of it is derived from `streams` and `plays`. A change to those notes the months that it touched (`heard_stale`)
//! in the same transaction; the same caller recomputes their sums, at once or, after large writes, a year at a time at
//! the end. If a process dies, the next one does that. A month is recomputed as a whole, from the rows of the view
//! `listening`, so that sums cannot drift: a year is the sum of its months, and all time is the sum of the years.
//!
//! SQLite groups by sorting in memory. So the rows of a stretch are read a [`Window`] at a time, and memory does not
//! depend on how much was heard in it.

use super::by_sql::{bounds, execute};
use super::pairing::{KIND, is_alone};
use super::types::{At, Instant};
use super::{Conn, Store, StoreError, with_conn};
use crate::model::AccountId;
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};
use diesel::OptionalExtension;
use diesel::dsl::sql;
use diesel_async::RunQueryDsl;
use std::collections::BTreeSet;

/// Time zones differ by half hours, almost everywhere.
pub(super) const HALF_HOUR: i64 = 1800;

/// Longest names that are kept here, in characters: PostgreSQL's indexes hold no longer ones.
const NAME_LEN: u32 = 300;
const PART_LEN: u32 = 120;

/// Streams, and plays, that are summed up by one statement: some megabytes in SQLite's memory.
const WINDOW_LEN: usize = 20_000;

/// Stands for the first moment of titles that no row mentions any more.
const GONE: i64 = 9_000_000_000_000_000;

/// A month of UTC, as 202611.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Month(i64);

impl Month {
    pub fn of(at: DateTime<Utc>) -> Month {
        Month(i64::from(at.year()) * 100 + i64::from(at.month()))
    }

    /// The first month of a year.
    pub fn of_year(year: i64) -> Month {
        Month(year * 100 + 1)
    }

    pub fn number(self) -> i64 {
        self.0
    }

    pub fn year(self) -> i64 {
        self.0 / 100
    }

    pub fn next(self) -> Month {
        Month(if self.0 % 100 == 12 { self.0 + 89 } else { self.0 + 1 })
    }

    pub fn begins_at(self) -> DateTime<Utc> {
        let month = u32::try_from(self.0 % 100).unwrap_or(1);
        let year = i32::try_from(self.year()).unwrap_or(0);
        NaiveDate::from_ymd_opt(year, month, 1)
            .map_or(DateTime::UNIX_EPOCH, |day| day.and_time(NaiveTime::MIN).and_utc())
    }
}

/// Everything that was listened to in a stretch of time, each listen once, as in the view `listening`.
pub(super) fn rows(conn: &Conn, account: AccountId, from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let seconds = |column: &str| match conn {
        Conn::Sqlite(_) => format!("CAST(strftime('%s', {column}) AS INTEGER)"),
        Conn::Pg(_) => format!("CAST(floor(extract(epoch FROM {column})) AS BIGINT)"),
    };
    let part = |column: &str| format!("substr(coalesce({column}, ''), 1, {PART_LEN})");
    let name = |column: &str| format!("substr({column}, 1, {NAME_LEN})");
    let [from, to] = [from, to].map(|at| At::from(at).literal());
    format!(
        "SELECT {KIND} AS kind, \
         coalesce(s.uri, s.played_uri, 'names:' || {} || ':' || {} || ':' || {}) AS uri, {} AS name, {} AS artist, \
         {} AS album, CASE WHEN s.ms_played >= 30000 THEN 1 ELSE 0 END AS plays, s.ms_played AS ms, {} AS at \
         FROM streams s WHERE s.account_id = {account} AND s.ended_at >= {from} AND s.ended_at < {to} \
         UNION ALL \
         SELECT CASE WHEN p.track_uri LIKE 'spotify:episode:%' THEN 'episode' ELSE 'track' END, p.track_uri, NULL, NULL, \
         NULL, CASE WHEN coalesce(p.ms_played, t.duration_ms, 30000) >= 30000 THEN 1 ELSE 0 END, \
         coalesce(p.ms_played, t.duration_ms, 0), {} \
         FROM plays p LEFT JOIN tracks t ON t.id = p.track_id WHERE p.account_id = {account} AND p.source = 'api' AND \
         p.played_at >= {from} AND p.played_at < {to} AND {}",
        part("s.creator"),
        part("s.collection"),
        part("s.name"),
        name("s.name"),
        name("s.creator"),
        name("s.collection"),
        seconds("s.ended_at"),
        seconds("p.played_at"),
        is_alone("p"),
        account = account.0,
    )
}

/// Notes that the listens around these moments have changed.
pub(super) async fn note(
    conn: &mut Conn,
    account: AccountId,
    moments: impl IntoIterator<Item = DateTime<Utc>>,
) -> Result<(), StoreError> {
    let months: BTreeSet<Month> = moments.into_iter().map(Month::of).collect();
    if months.is_empty() {
        return Ok(());
    }
    let rows: Vec<String> = months.iter().map(|month| format!("({}, {})", account.0, month.0)).collect();
    let sql = format!("INSERT INTO heard_stale (account_id, period) VALUES {} ON CONFLICT DO NOTHING", rows.join(", "));
    execute(conn, sql).await?;
    Ok(())
}

/// The same for all streams that `which` selects, by their moments and those of their plays.
pub(super) async fn note_streams(conn: &mut Conn, account: AccountId, which: &str) -> Result<(), StoreError> {
    let month = |column: &str| match conn {
        Conn::Sqlite(_) => format!("CAST(substr({column}, 1, 4) || substr({column}, 6, 2) AS INTEGER)"),
        Conn::Pg(_) => format!("CAST(to_char({column} AT TIME ZONE 'UTC', 'YYYYMM') AS BIGINT)"),
    };
    let sql = format!(
        "INSERT INTO heard_stale (account_id, period) SELECT {account}, m.month FROM (SELECT {} AS month FROM streams s \
         WHERE {which} UNION SELECT {} FROM streams s WHERE {which} AND s.played_at IS NOT NULL) AS m WHERE TRUE \
         ON CONFLICT DO NOTHING",
        month("s.ended_at"),
        month("s.played_at"),
        account = account.0,
    );
    execute(conn, sql).await?;
    Ok(())
}

/// Forgets all sums of an account.
pub(super) async fn forget(conn: &mut Conn, account: AccountId) -> Result<(), StoreError> {
    for table in TABLES {
        execute(conn, format!("DELETE FROM {table} WHERE account_id = {}", account.0)).await?;
    }
    Ok(())
}

/// Forgets titles without any listens, after something was taken back.
pub(super) async fn sweep(conn: &mut Conn, account: AccountId) -> Result<(), StoreError> {
    while refresh(conn, account, None).await? {}
    let AccountId(id) = account;
    let left = format!(
        "DELETE FROM heard_items WHERE account_id = {id} AND NOT EXISTS (SELECT 1 FROM heard_sums s WHERE \
         s.account_id = {id} AND s.period = 0 AND s.item_id = heard_items.id)"
    );
    if execute(conn, left).await? > 0 {
        look_all_names_up(conn, account).await?;
    }
    Ok(())
}

/// The tables that hold the sums.
pub(super) const TABLES: [&str; 4] = ["heard_half_hours", "heard_items", "heard_stale", "heard_sums"];

impl Store {
    /// Gives titles the names that the catalogue now has for them.
    pub async fn look_up_heard(&self, account: AccountId) -> Result<(), StoreError> {
        self.transaction(async |conn| look_all_names_up(conn, account).await).await
    }

    /// Recomputes all sums that have changed. Returns how many years there were.
    pub async fn sum_up_heard(&self, account: AccountId) -> Result<u32, StoreError> {
        let mut conn = self.connect().await?;
        let mut num_years = 0;
        while conn.transaction(async |conn| refresh(conn, account, None).await).await? {
            num_years += 1;
        }
        Ok(num_years)
    }
}

/// Recomputes sums of at most a year: of the stale months between two, or of the first stale ones. Returns whether
/// there were any.
pub(super) async fn refresh(
    conn: &mut Conn,
    account: AccountId,
    within: Option<(Month, Month)>,
) -> Result<bool, StoreError> {
    refresh_by(conn, account, within, WINDOW_LEN).await
}

/// The same, in windows of this length.
pub(super) async fn refresh_by(
    conn: &mut Conn,
    account: AccountId,
    within: Option<(Month, Month)>,
    window_len: usize,
) -> Result<bool, StoreError> {
    let limits = within.map_or(String::new(), |(from, to)| format!(" AND period BETWEEN {} AND {}", from.0, to.0));
    let theirs = format!("account_id = {}{limits}", account.0);
    let of_first_year = format!(
        "heard_stale WHERE {theirs} AND period / 100 = (SELECT min(period) / 100 FROM heard_stale WHERE {theirs})"
    );
    let Some((first, last)) = bounds(conn, "period", &of_first_year).await? else { return Ok(false) };
    let (first, last) = (Month(first), Month(last));
    let (begin, end) = (first.begins_at(), last.next().begins_at());
    let months = format!("account_id = {} AND period BETWEEN {} AND {}", account.0, first.0, last.0);
    let [first_half_hour, last_half_hour] = [begin, end].map(|at| at.timestamp() / HALF_HOUR);
    let AccountId(account_id) = account;

    let gone = format!("UPDATE heard_sums SET plays = 0, ms = 0, first_at = {GONE}, last_at = -{GONE} WHERE {months}");
    execute(conn, gone).await?;
    let gone = format!(
        "DELETE FROM heard_half_hours WHERE account_id = {account_id} AND half_hour >= {first_half_hour} \
         AND half_hour < {last_half_hour}"
    );
    execute(conn, gone).await?;
    let mut window = Window { from: begin, to: begin };
    while window.to < end {
        window = next_window(conn, account, window.to, end, window_len).await?;
        add(conn, account, window).await?;
    }
    if within.is_none() && matches!(conn, Conn::Pg(_)) {
        // PostgreSQL updates its statistics only now and then, and would join a year's sums as if there were none yet.
        execute(conn, "ANALYZE heard_sums".to_owned()).await?;
    }
    let sums = |period: &str, which: &str| {
        format!(
            "INSERT INTO heard_sums (account_id, period, item_id, plays, ms, first_at, last_at) \
             SELECT {account_id}, {period}, r.item_id, CAST(sum(r.plays) AS BIGINT), CAST(sum(r.ms) AS BIGINT), \
             min(r.first_at), max(r.last_at) FROM heard_sums r WHERE {which} GROUP BY 2, 3 \
             ON CONFLICT (account_id, period, item_id) DO UPDATE SET plays = excluded.plays, ms = excluded.ms, \
             first_at = excluded.first_at, last_at = excluded.last_at"
        )
    };
    let touched = format!("r.item_id IN (SELECT item_id FROM heard_sums WHERE {months})");
    let year = first.year();
    let of_year = format!(
        "r.account_id = {account_id} AND r.period BETWEEN {} AND {} AND {touched}",
        year * 100 + 1,
        year * 100 + 12
    );
    execute(conn, sums(&format!("CAST({year} AS BIGINT)"), &of_year)).await?;
    let ever = format!("r.account_id = {account_id} AND r.period BETWEEN 1 AND 9999 AND {touched}");
    execute(conn, sums("CAST(0 AS BIGINT)", &ever)).await?;
    for periods in [months.clone(), format!("account_id = {account_id} AND period IN (0, {year})")] {
        execute(conn, format!("DELETE FROM heard_sums WHERE {periods} AND first_at = {GONE}")).await?;
    }
    execute(conn, format!("DELETE FROM heard_stale WHERE {months}")).await?;
    Ok(true)
}

/// A stretch of time with few enough rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

/// The window from a moment on: up to `len` streams and as many plays, besides those of its first moment.
pub(super) async fn next_window(
    conn: &mut Conn,
    account: AccountId,
    from: DateTime<Utc>,
    end: DateTime<Utc>,
    len: usize,
) -> Result<Window, StoreError> {
    let mut to = end;
    for (table, at) in [("streams", "ended_at"), ("plays", "played_at")] {
        let bound = format!(
            "SELECT {at} FROM {table} WHERE account_id = {} AND {at} > {} AND {at} < {} ORDER BY {at} \
             LIMIT 1 OFFSET {len}",
            account.0,
            At::from(from).literal(),
            At::from(to).literal()
        );
        let bound: Option<DateTime<Utc>> = with_conn!(conn, |c| sql::<Instant>(&bound).get_result(c).await.optional())?;
        to = bound.unwrap_or(to);
    }
    Ok(Window { from, to })
}

/// Adds what was heard in a window to the sums of months and half hours, and its titles to the known ones.
async fn add(conn: &mut Conn, account: AccountId, window: Window) -> Result<(), StoreError> {
    let rows = rows(conn, account, window.from, window.to);
    let AccountId(account) = account;
    let items = format!(
        "INSERT INTO heard_items (account_id, kind, uri, track_id, name, artist, album) \
         SELECT {account}, r.kind, r.uri, CASE WHEN r.kind = 'track' AND r.uri LIKE 'spotify:track:%' \
         THEN substr(r.uri, 15) END, min(r.name), min(r.artist), min(r.album) FROM ({rows}) AS r WHERE NOT EXISTS \
         (SELECT 1 FROM heard_items i WHERE i.account_id = {account} AND i.kind = r.kind AND i.uri = r.uri) \
         GROUP BY r.kind, r.uri ON CONFLICT DO NOTHING"
    );
    if execute(conn, items).await? > 0 {
        look_up_names(conn, AccountId(account)).await?;
    }
    let (month, least, greatest) = match conn {
        Conn::Sqlite(_) => ("CAST(strftime('%Y%m', r.at, 'unixepoch') AS INTEGER)", "min", "max"),
        Conn::Pg(_) => {
            ("CAST(to_char(to_timestamp(r.at) AT TIME ZONE 'UTC', 'YYYYMM') AS BIGINT)", "least", "greatest")
        }
    };
    let sums = format!(
        "INSERT INTO heard_sums AS s (account_id, period, item_id, plays, ms, first_at, last_at) \
         SELECT {account}, {month}, i.id, CAST(sum(r.plays) AS BIGINT), CAST(sum(r.ms) AS BIGINT), min(r.at), max(r.at) \
         FROM ({rows}) AS r JOIN heard_items i ON i.account_id = {account} AND i.kind = r.kind AND i.uri = r.uri \
         WHERE TRUE GROUP BY 2, 3 ON CONFLICT (account_id, period, item_id) DO UPDATE SET \
         plays = s.plays + excluded.plays, ms = s.ms + excluded.ms, \
         first_at = {least}(s.first_at, excluded.first_at), last_at = {greatest}(s.last_at, excluded.last_at)"
    );
    execute(conn, sums).await?;
    let half_hours = format!(
        "INSERT INTO heard_half_hours AS h (account_id, half_hour, plays, ms) SELECT {account}, r.at / {HALF_HOUR}, \
         CAST(sum(r.plays) AS BIGINT), CAST(sum(r.ms) AS BIGINT) FROM ({rows}) AS r WHERE TRUE GROUP BY 2 \
         ON CONFLICT (account_id, half_hour) DO UPDATE SET plays = h.plays + excluded.plays, ms = h.ms + excluded.ms"
    );
    execute(conn, half_hours).await?;
    Ok(())
}

/// Recomputes the sums of the last year that has changed: the one that a poll of the API touches.
pub(super) async fn refresh_last(conn: &mut Conn, account: AccountId) -> Result<(), StoreError> {
    let stale = format!("heard_stale WHERE account_id = {}", account.0);
    let Some((_, last)) = bounds(conn, "period", &stale).await? else { return Ok(()) };
    let last = Month(last);
    refresh(conn, account, Some((Month::of_year(last.year()), last))).await?;
    Ok(())
}

async fn look_all_names_up(conn: &mut Conn, account: AccountId) -> Result<(), StoreError> {
    execute(conn, format!("UPDATE heard_items SET artist_of = NULL WHERE account_id = {}", account.0)).await?;
    look_up_names(conn, account).await
}

/// Gives titles the catalogue's names, and groups them by artist and album. Titles looked up before do not change.
async fn look_up_names(conn: &mut Conn, account: AccountId) -> Result<(), StoreError> {
    let mine = format!("account_id = {} AND artist_of IS NULL", account.0);
    let sql = format!(
        "UPDATE heard_items SET name = substr(t.name, 1, {NAME_LEN}), artist = substr(a.name, 1, {NAME_LEN}), \
         album = substr(b.name, 1, {NAME_LEN}) FROM tracks t LEFT JOIN albums b ON b.id = t.album_id \
         LEFT JOIN track_artists ta ON ta.track_id = t.id AND ta.position = 0 LEFT JOIN artists a ON a.id = ta.artist_id \
         WHERE t.id = heard_items.track_id AND t.source = 'api' AND heard_items.{mine}"
    );
    execute(conn, sql.replace("AND artist_of", "AND heard_items.artist_of")).await?;
    let first = |column: &str, more: &str| {
        format!(
            "(SELECT min(i.id) FROM heard_items i WHERE i.account_id = heard_items.account_id AND i.kind = heard_items.kind \
             AND i.{column} = heard_items.{column}{more})"
        )
    };
    let same_artist = " AND coalesce(i.artist, '') = coalesce(heard_items.artist, '')";
    let sql = format!(
        "UPDATE heard_items SET title_of = coalesce({}, 0), album_of = coalesce({}, 0), artist_of = coalesce({}, 0) \
         WHERE {mine}",
        first("name", same_artist),
        first("album", same_artist),
        first("artist", "")
    );
    execute(conn, sql).await?;
    Ok(())
}
