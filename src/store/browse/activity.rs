//! What happened lately: runs, plays per day, and cooldowns.

use crate::model::{AccountId, Family, LimitClass, Pause};
use crate::store::limits::pause;
use crate::store::schema::{cooldowns, plays, sync_batches};
use crate::store::types::At;
use crate::store::{Conn, Store, StoreError, with_conn};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use diesel::dsl::{max, min, sql};
use diesel::sql_types::{BigInt, Text};
use diesel::{ExpressionMethods, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use utoipa::ToSchema;

/// Runs that are shown.
const RUNS_MAX: usize = 100;

/// Batches that are searched for the latest runs: a first sync of two million tracks has this many.
const BATCHES_MAX: usize = 10_000;

/// How many of them are read at once.
const BATCHES_AT_ONCE: usize = 1_000;

/// Days that plays are counted for, today included.
const DAYS: i64 = 30;

/// Cooldowns that are shown: one every five minutes of a day.
const COOLDOWNS_MAX: usize = 288;

/// Rows of cooldowns that are searched.
const COOLDOWNS_AT_ONCE: i64 = 2_000;

/// A cooldown that begins this soon after one of its kind has ended is the same one: the API rounds to whole seconds.
const SAME_WITHIN: TimeDelta = TimeDelta::seconds(1);

/// A run, according to its batches. One that found nothing to read has none, and is not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RunEntry {
    pub run_id: String,
    pub entity_type: String,
    pub phase: String,
    /// When the first batch was begun.
    pub began_at: DateTime<Utc>,
    /// When the last batch was committed.
    pub ended_at: DateTime<Utc>,
    pub batches: i64,
    pub items_processed: i64,
    pub new: i64,
    pub updated: i64,
    pub removed: i64,
    pub requests: i64,
    /// The sum over its batches, without the waits between them.
    pub duration_ms: i64,
}

/// How much was played on a day (UTC). Days without plays are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DayOfPlays {
    pub day: NaiveDate,
    pub plays: i64,
}

/// A pause, over or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PauseEntry {
    pub family: Family,
    pub class: LimitClass,
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

#[derive(Debug, Queryable)]
struct RunRow {
    run_id: String,
    entity_type: String,
    phase: String,
    first_committed_at: Option<DateTime<Utc>>,
    last_committed_at: Option<DateTime<Utc>>,
    batches: i64,
    items_processed: i64,
    new: i64,
    updated: i64,
    removed: i64,
    requests: i64,
    duration_ms: i64,
    first_id: Option<i64>,
}

impl Store {
    /// The latest runs, newest first.
    pub async fn latest_runs(&self, account: AccountId) -> Result<Vec<RunEntry>, StoreError> {
        let conn = &mut self.connect().await?;
        let latest = latest_run_ids(conn, account).await?;
        if latest.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<RunRow> = with_conn!(conn, |c| {
            use sync_batches::{account_id, committed_at, entity_type, id, phase, run_id, table};
            let sum = |column: &str| sql::<BigInt>(&format!("CAST(sum({column}) AS BIGINT)"));
            table
                .filter(account_id.eq(account.0))
                .filter(run_id.eq_any(latest))
                .group_by((run_id, entity_type, phase))
                .order(max(id).desc())
                .select((
                    run_id,
                    entity_type,
                    phase,
                    min(committed_at),
                    max(committed_at),
                    sql::<BigInt>("count(*)"),
                    sum("items_processed"),
                    sum("items_new"),
                    sum("items_updated"),
                    sum("items_removed"),
                    sum("requests"),
                    sum("duration_ms"),
                    min(id),
                ))
                .load(c)
                .await
        })?;
        // A run began when its first batch did.
        let first: Vec<i64> = rows.iter().filter_map(|row| row.first_id).collect();
        let took: Vec<(i64, i64)> = with_conn!(conn, |c| {
            use sync_batches::{duration_ms, id, table};
            table.filter(id.eq_any(first)).select((id, duration_ms)).load(c).await
        })?;
        let took: HashMap<i64, i64> = took.into_iter().collect();
        let entries = rows.into_iter().filter_map(|row| {
            let took = row.first_id.and_then(|id| took.get(&id)).copied().unwrap_or_default();
            entry(row, TimeDelta::try_milliseconds(took).unwrap_or_default())
        });
        Ok(entries.take(RUNS_MAX).collect())
    }

    /// For the last 30 days, oldest first.
    pub async fn plays_per_day(&self, account: AccountId, now: DateTime<Utc>) -> Result<Vec<DayOfPlays>, StoreError> {
        let since = (now - TimeDelta::days(DAYS - 1)).date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
        let conn = &mut self.connect().await?;
        // Formatting a day takes PostgreSQL longer than finding it, so that is done once per day, not once per play.
        let (selected, grouped) = match conn {
            Conn::Sqlite(_) => ("substr(played_at, 1, 10)", "substr(played_at, 1, 10)"),
            Conn::Pg(_) => {
                ("to_char((played_at AT TIME ZONE 'UTC')::date, 'YYYY-MM-DD')", "(played_at AT TIME ZONE 'UTC')::date")
            }
        };
        let (selected, grouped) = (sql::<Text>(selected), sql::<Text>(grouped));
        let rows: Vec<(String, i64)> = with_conn!(conn, |c| {
            use plays::{account_id, played_at, table};
            let lately = table.filter(account_id.eq(account.0)).filter(played_at.ge(At::from(since)));
            lately.group_by(grouped).select((selected, sql::<BigInt>("count(*)"))).load(c).await
        })?;
        let mut days: Vec<DayOfPlays> =
            rows.into_iter().filter_map(|(day, plays)| Some(DayOfPlays { day: day.parse().ok()?, plays })).collect();
        days.sort_by_key(|day| day.day);
        Ok(days)
    }

    /// The cooldowns that ended after this, or are in force, each once and as a whole, by when they began.
    pub async fn cooldowns_since(&self, then: DateTime<Utc>) -> Result<Vec<PauseEntry>, StoreError> {
        let conn = &mut self.connect().await?;
        let rows: Vec<(String, String, DateTime<Utc>, At)> = with_conn!(conn, |c| {
            use cooldowns::{began_at, class, ends_at, family, id, table};
            let latest = table.filter(ends_at.gt(At::from(then))).order(id.desc()).limit(COOLDOWNS_AT_ONCE);
            latest.select((family, class, began_at, ends_at)).load(c).await
        })?;
        let mut entries: Vec<PauseEntry> = Vec::new();
        for (family, class, from, until) in rows.into_iter().rev() {
            let Some(Pause { scope: family, class, until }) = pause(&family, Some(&class), until) else { continue };
            let before = entries.iter_mut().rev().find(|before| (before.family, before.class) == (family, class));
            match before.filter(|before| from <= before.until + SAME_WITHIN) {
                Some(before) => before.until = until.max(before.until),
                None => entries.push(PauseEntry { family, class, from, until }),
            }
        }
        entries.sort_by_key(|entry| entry.from);
        entries.drain(..entries.len().saturating_sub(COOLDOWNS_MAX));
        Ok(entries)
    }
}

/// The ids of the latest runs, among as many batches as are searched.
async fn latest_run_ids(conn: &mut Conn, account: AccountId) -> Result<BTreeSet<String>, StoreError> {
    let mut latest = BTreeSet::new();
    let (mut before, mut num_looked_at) = (i64::MAX, 0);
    while latest.len() < RUNS_MAX && num_looked_at < BATCHES_MAX {
        let rows: Vec<(i64, i64, String)> = with_conn!(conn, |c| {
            use sync_batches::{account_id, id, run_id, table};
            let older = table.filter(id.lt(before)).order(id.desc()).limit(BATCHES_AT_ONCE as i64);
            older.select((id, account_id, run_id)).load(c).await
        })?;
        num_looked_at += rows.len();
        let is_last = rows.len() < BATCHES_AT_ONCE;
        for (id, of, run_id) in rows {
            before = id;
            if of == account.0 && latest.len() < RUNS_MAX {
                latest.insert(run_id);
            }
        }
        if is_last {
            break;
        }
    }
    Ok(latest)
}

fn entry(row: RunRow, first_took: TimeDelta) -> Option<RunEntry> {
    Some(RunEntry {
        run_id: row.run_id,
        entity_type: row.entity_type,
        phase: row.phase,
        began_at: row.first_committed_at? - first_took,
        ended_at: row.last_committed_at?,
        batches: row.batches,
        items_processed: row.items_processed,
        new: row.new,
        updated: row.updated,
        removed: row.removed,
        requests: row.requests,
        duration_ms: row.duration_ms,
    })
}
