//! What the gate has counted and learned (`request_ledger`, `rate_limits`), so that the next process can continue from
//! it.

use super::schema::{rate_limits, request_ledger};
use super::types::{At, to_u32};
use super::{Conn, Store, StoreError, with_conn};
use crate::model::{Family, LearnedRate, LedgerEntry, PauseScope, RefusedLevel};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::{min, sql};
use diesel::sql_types::{BigInt, Nullable};
use diesel::upsert::excluded;
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// The period of a daily limit, plus the length of an entry.
const DAY: TimeDelta = TimeDelta::minutes(24 * 60 + 5);

/// Entries are kept for longer than they count, in case the clock was ahead.
const KEPT: TimeDelta = TimeDelta::hours(48);

impl Store {
    /// What the gate has learned about the rate limit.
    pub async fn load_learned_rate(&self) -> Result<Option<LearnedRate>, StoreError> {
        learned(&mut self.connect().await?).await
    }

    /// The requests of the last day.
    pub async fn load_ledger(&self, now: DateTime<Utc>) -> Result<Vec<LedgerEntry>, StoreError> {
        entries_of_day(&mut self.connect().await?, now).await
    }

    /// Forgets what was learned: another server has other limits.
    pub async fn forget_learned_rate(&self) -> Result<(), StoreError> {
        with_conn!(&mut self.connect().await?, |c| {
            use rate_limits::{family, learned_rate, learned_window_ms, refused_at, refused_level, refused_times};
            let nothing = (
                learned_rate.eq(None::<f64>),
                learned_window_ms.eq(None::<i64>),
                refused_level.eq(None::<i64>),
                refused_at.eq(None::<At>),
                refused_times.eq(None::<i64>),
            );
            let row = rate_limits::table.filter(family.eq(PauseScope::Application.as_str()));
            diesel::update(row).set(nothing).execute(c).await
        })?;
        Ok(())
    }
}

/// Adds requests to what is stored.
pub(super) async fn add_entries(
    conn: &mut Conn,
    entries: &[LedgerEntry],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    for entry in entries {
        add(conn, entry).await?;
    }
    let mut families: Vec<Family> = entries.iter().map(|entry| entry.family).collect();
    families.dedup();
    for family in families {
        note_day(conn, family, now).await?;
    }
    if !entries.is_empty() {
        forget_old(conn, now).await?;
    }
    Ok(())
}

async fn add(conn: &mut Conn, entry: &LedgerEntry) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        use request_ledger::{family, refusals, requests, started_at, table};
        let row = (
            family.eq(entry.family.as_str()),
            started_at.eq(At::from(entry.started_at)),
            requests.eq(i64::from(entry.requests)),
            refusals.eq(i64::from(entry.refusals)),
        );
        let sums = (requests.eq(requests + excluded(requests)), refusals.eq(refusals + excluded(refusals)));
        diesel::insert_into(table).values(row).on_conflict((family, started_at)).do_update().set(sums).execute(c).await
    })?;
    Ok(())
}

/// The sum of a family's last day, for readers of the table `rate_limits`.
async fn note_day(conn: &mut Conn, of: Family, now: DateTime<Utc>) -> Result<(), StoreError> {
    let (first, counted): (Option<At>, Option<i64>) = with_conn!(conn, |c| {
        use request_ledger::{family, started_at, table};
        let day = table.filter(family.eq(of.as_str())).filter(started_at.gt(At::from(now - DAY)));
        // In PostgreSQL the sum of big integers is a decimal number.
        let sum_of = sql::<Nullable<BigInt>>("CAST(sum(requests) AS BIGINT)");
        day.select((min(started_at), sum_of)).get_result(c).await
    })?;
    with_conn!(conn, |c| {
        use rate_limits::{day_count, day_started_at, family, table, updated_at};
        let noted =
            (day_count.eq(counted.map(|counted| i32::try_from(counted).unwrap_or(i32::MAX))), day_started_at.eq(first));
        let row = (family.eq(of.as_str()), updated_at.eq(At::from(now)), noted);
        diesel::insert_into(table).values(row).on_conflict(family).do_update().set(noted).execute(c).await
    })?;
    Ok(())
}

/// Deletes what a clock that was ahead has written. What replaces it is added afterwards.
pub(super) async fn drop_entries_after(conn: &mut Conn, after: DateTime<Utc>) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        use request_ledger::{started_at, table};
        diesel::delete(table.filter(started_at.gt(At::from(after)))).execute(c).await
    })?;
    Ok(())
}

async fn forget_old(conn: &mut Conn, now: DateTime<Utc>) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        use request_ledger::{started_at, table};
        diesel::delete(table.filter(started_at.lt(At::from(now - KEPT)))).execute(c).await
    })?;
    Ok(())
}

pub(super) async fn save_learned(conn: &mut Conn, learned: LearnedRate, now: DateTime<Utc>) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        use rate_limits::{
            family, learned_rate, learned_window_ms, refused_at, refused_level, refused_times, table, updated_at,
        };
        let refused = learned.refused;
        let noted = (
            learned_rate.eq(learned.requests),
            learned_window_ms.eq(i64::try_from(learned.window.as_millis()).unwrap_or(i64::MAX)),
            refused_level.eq(refused.map(|refused| i64::from(refused.level))),
            refused_at.eq(refused.map(|refused| At::from(refused.at))),
            refused_times.eq(refused.map(|refused| i64::from(refused.times))),
        );
        // `updated_at` is when the row's pause was noted.
        let row = (family.eq(PauseScope::Application.as_str()), updated_at.eq(At::from(now)), noted);
        diesel::insert_into(table).values(row).on_conflict(family).do_update().set(noted).execute(c).await
    })?;
    Ok(())
}

/// A pause of the rate limit that ends by then is over for good.
pub(super) async fn lift_rate_pause(conn: &mut Conn, until: DateTime<Utc>) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        use rate_limits::{blocked_until, class, family, table};
        let row = table.filter(family.eq(PauseScope::Application.as_str())).filter(class.eq("rate"));
        let over = row.filter(blocked_until.le(At::from(until)));
        diesel::update(over).set((blocked_until.eq(None::<At>), class.eq(None::<String>))).execute(c).await
    })?;
    Ok(())
}

type LearnedRow = (Option<f64>, Option<i64>, Option<i64>, Option<At>, Option<i64>);

pub(super) async fn learned(conn: &mut Conn) -> Result<Option<LearnedRate>, StoreError> {
    let row: Option<LearnedRow> = with_conn!(conn, |c| {
        use rate_limits::{family, learned_rate, learned_window_ms, refused_at, refused_level, refused_times, table};
        let row = table.filter(family.eq(PauseScope::Application.as_str()));
        let noted = row.select((learned_rate, learned_window_ms, refused_level, refused_at, refused_times));
        noted.get_result(c).await.optional()
    })?;
    let Some((Some(requests), Some(window_ms), level, refused_at, times)) = row else { return Ok(None) };
    let refused = level.zip(refused_at).map(|(level, at)| RefusedLevel {
        level: to_u32(level),
        at: at.into(),
        times: to_u32(times.unwrap_or(0)),
    });
    Ok(Some(LearnedRate { requests, window: Duration::from_millis(window_ms.max(0).unsigned_abs()), refused }))
}

/// The requests of the last day.
pub(super) async fn entries_of_day(conn: &mut Conn, now: DateTime<Utc>) -> Result<Vec<LedgerEntry>, StoreError> {
    let rows: Vec<(String, At, i64, i64)> = with_conn!(conn, |c| {
        use request_ledger::{family, refusals, requests, started_at, table};
        let day = table.filter(started_at.gt(At::from(now - DAY))).order((family, started_at));
        day.select((family, started_at, requests, refusals)).load(c).await
    })?;
    let entry = |(family, started_at, requests, refusals): (String, At, i64, i64)| LedgerEntry {
        // What a newer version has sent to a family of its own counts with all of them.
        family: family.parse().unwrap_or(Family::Application),
        started_at: started_at.into(),
        requests: to_u32(requests),
        refusals: to_u32(refusals),
    };
    Ok(rows.into_iter().map(entry).collect())
}
