//! What people see of the followers of the feed, webhooks and a stream: what they send and where, since when one fails
//! and why, and what waits for it.

use super::feed::seq_of;
use super::outbox::HEAD;
use super::relay::RELAY;
use super::schema::{feed_positions, nodes};
use super::{Conn, Store, StoreError, with_conn};
use crate::model::EventKind;
use crate::model::status::{StreamStatus, WebhookStatus};
use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::sql_types::BigInt;
use diesel::{ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;

/// Limit on counting waiting entries: a receiver may be away for as long as they are kept.
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

    /// Stores which receiver a webhook has, by its host alone, and which events it is sent.
    pub async fn describe_webhook(&self, of: &str, at: &str, kinds: &[EventKind]) -> Result<(), StoreError> {
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        let conn = &mut self.connect().await?;
        with_conn!(conn, |c| {
            use feed_positions::{events, host, table};
            diesel::update(table.find(of)).set((host.eq(Some(at)), events.eq(Some(kinds.join(","))))).execute(c).await
        })?;
        Ok(())
    }

    /// Stores that the feed is published, and where: by its host alone.
    pub async fn describe_relay(&self, at: &str) -> Result<(), StoreError> {
        let conn = &mut self.connect().await?;
        with_conn!(conn, |c| {
            use feed_positions::{host, name, seq, table};
            let row = (name.eq(RELAY), seq.eq(0), host.eq(Some(at)));
            let known = diesel::insert_into(table).values(row).on_conflict(name).do_update();
            known.set(host.eq(Some(at))).execute(c).await
        })?;
        Ok(())
    }
}

#[derive(Queryable)]
struct Row {
    name: String,
    seq: i64,
    host: String,
    events: Option<String>,
    /// Label of the node that moves it.
    node: Option<String>,
    moved_at: Option<DateTime<Utc>>,
    failing_since: Option<DateTime<Utc>>,
    next_try_at: Option<DateTime<Utc>>,
    error: Option<String>,
}

/// Those that the settings name.
pub(super) async fn list(conn: &mut Conn) -> Result<(Vec<WebhookStatus>, Option<StreamStatus>), StoreError> {
    let rows: Vec<Row> = with_conn!(&mut *conn, |c| {
        use feed_positions::{error, events, failing_since, host, moved_at, name, next_try_at, owner, seq, table};
        let with_nodes = table.left_join(nodes::table.on(nodes::id.nullable().eq(owner)));
        let shown = with_nodes.filter(host.is_not_null()).order((host, name));
        let node = nodes::label.nullable();
        shown
            .select((name, seq, host.assume_not_null(), events, node, moved_at, failing_since, next_try_at, error))
            .load(c)
            .await
    })?;
    let (mut webhooks, mut stream) = (Vec::new(), None);
    for row in rows {
        if row.name == RELAY {
            let head = seq_of(conn, HEAD).await?;
            stream = Some(StreamStatus {
                host: row.host,
                node: row.node,
                published: u64::try_from(row.seq).unwrap_or_default(),
                waiting: u64::try_from(head - row.seq).unwrap_or_default(),
                moved_at: row.moved_at,
                failing_since: row.failing_since,
                next_try_at: row.next_try_at,
                error: row.error,
            });
            continue;
        }
        // For one that accepts everything, only the most recent events wait.
        let waiting = if row.failing_since.is_some() { num_waiting(conn, &row).await? } else { 0 };
        webhooks.push(WebhookStatus {
            host: row.host,
            failing_since: row.failing_since,
            next_try_at: row.next_try_at,
            error: row.error,
            waiting,
        });
    }
    Ok((webhooks, stream))
}

/// The first reading of a library is not sent.
async fn num_waiting(conn: &mut Conn, row: &Row) -> Result<u32, StoreError> {
    let kinds: Vec<&str> = row.events.as_deref().unwrap_or_default().split(',').collect();
    let waiting = format!(
        "SELECT count(*) FROM (SELECT 1 AS one FROM outbox WHERE seq > {} AND kind IN ({}) \
         AND substr(body, 1, 80) NOT LIKE '%\"phase\":\"initial_sync\"%' LIMIT {COUNTED_MAX}) AS waiting",
        row.seq,
        kinds.iter().map(|kind| format!("'{}'", kind.replace('\'', "''"))).collect::<Vec<_>>().join(", ")
    );
    let num: i64 = with_conn!(conn, |c| sql::<BigInt>(&waiting).get_result(c).await)?;
    Ok(u32::try_from(num).unwrap_or(COUNTED_MAX))
}
