//! What people see of webhooks: whom they tell, since when one takes nothing and why, and what waits for it.

use super::relay::RELAY;
use super::schema::feed_positions;
use super::types::{At, Instant};
use super::{Conn, Store, StoreError, with_conn};
use crate::model::EventKind;
use crate::model::status::WebhookStatus;
use chrono::DateTime;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{ExpressionMethods, QueryDsl, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;

/// Entries that are counted as waiting: a receiver may be away for as long as they are kept.
const COUNTED_MAX: u32 = 10_000;

impl Store {
    /// Shows these followers alone from now on: others are no longer in the settings.
    pub async fn show_followers(&self, names: &[String]) -> Result<(), StoreError> {
        let conn = &mut self.connect().await?;
        with_conn!(conn, |c| {
            use feed_positions::{host, name, table};
            let others = table.filter(host.is_not_null()).filter(name.ne_all(names));
            diesel::update(others).set(host.eq(None::<String>)).execute(c).await
        })?;
        Ok(())
    }

    /// Says whom a webhook tells, by its host alone, and of what.
    pub async fn describe_webhook(&self, of: &str, at: &str, kinds: &[EventKind]) -> Result<(), StoreError> {
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        let conn = &mut self.connect().await?;
        with_conn!(conn, |c| {
            use feed_positions::{events, host, table};
            diesel::update(table.find(of)).set((host.eq(Some(at)), events.eq(Some(kinds.join(","))))).execute(c).await
        })?;
        Ok(())
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = Text)]
    host: String,
    #[diesel(sql_type = Nullable<Text>)]
    events: Option<String>,
    #[diesel(sql_type = Nullable<Instant>)]
    failing_since: Option<At>,
    #[diesel(sql_type = Nullable<Instant>)]
    next_try_at: Option<At>,
    #[diesel(sql_type = Nullable<Text>)]
    error: Option<String>,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    num: i64,
}

pub(super) async fn list(conn: &mut Conn) -> Result<Vec<WebhookStatus>, StoreError> {
    let sql = format!(
        "SELECT seq, host, events, failing_since, next_try_at, error FROM feed_positions \
         WHERE host IS NOT NULL AND name <> '{RELAY}' ORDER BY host, name"
    );
    let rows: Vec<Row> = with_conn!(&mut *conn, |c| sql_query(sql).load(c).await)?;
    let mut webhooks = Vec::new();
    for row in rows {
        // One that takes everything has nothing that waits but what happens just now.
        let waiting = if row.failing_since.is_some() { num_waiting(conn, &row).await? } else { 0 };
        webhooks.push(WebhookStatus {
            host: row.host,
            failing_since: row.failing_since.map(DateTime::from),
            next_try_at: row.next_try_at.map(DateTime::from),
            error: row.error,
            waiting,
        });
    }
    Ok(webhooks)
}

/// A first reading of a library is not told.
async fn num_waiting(conn: &mut Conn, row: &Row) -> Result<u32, StoreError> {
    let kinds: Vec<&str> = row.events.as_deref().unwrap_or_default().split(',').collect();
    let sql = format!(
        "SELECT count(*) AS num FROM (SELECT 1 AS one FROM outbox WHERE seq > {} AND kind IN ({}) \
         AND substr(body, 1, 80) NOT LIKE '%\"phase\":\"initial_sync\"%' LIMIT {COUNTED_MAX}) AS waiting",
        row.seq,
        kinds.iter().map(|kind| format!("'{}'", kind.replace('\'', "''"))).collect::<Vec<_>>().join(", ")
    );
    let count: Count = with_conn!(conn, |c| sql_query(sql).get_result(c).await)?;
    Ok(u32::try_from(count.num).unwrap_or(COUNTED_MAX))
}
