//! Who publishes the feed to a stream, and how far it has come: one row of `feed_positions`, whose owner is a node that
//! lives. The node's own heartbeat is the lease, so at rest publishing costs the database nothing more.

use super::claims::moment;
use super::feed::seq_of;
use super::outbox::HEAD;
use super::schema::feed_positions;
use super::types::{At, Instant};
use super::{Conn, Store, StoreError, with_conn};
use crate::model::status::StreamStatus;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{ExpressionMethods, OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// The name of the position. Those of webhooks begin otherwise.
pub const RELAY: &str = "stream";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = Text)]
    host: String,
    #[diesel(sql_type = Nullable<Text>)]
    node: Option<String>,
    #[diesel(sql_type = Nullable<Instant>)]
    moved_at: Option<At>,
    #[diesel(sql_type = Nullable<Instant>)]
    failing_since: Option<At>,
    #[diesel(sql_type = Nullable<Instant>)]
    next_try_at: Option<At>,
    #[diesel(sql_type = Nullable<Text>)]
    error: Option<String>,
}

impl Store {
    /// Notes that the feed is published, and where: by its host alone.
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

    /// Makes a node the one that publishes, unless another that lives does. It has to live itself. Returns how far the
    /// stream had come, as was last noted.
    pub async fn take_relay(&self, node: Uuid, now: DateTime<Utc>) -> Result<Option<i64>, StoreError> {
        let conn = &mut self.connect().await?;
        let present = moment(conn, now, TimeDelta::zero());
        let taken = format!(
            "UPDATE feed_positions SET owner = '{node}' WHERE name = '{RELAY}' \
             AND EXISTS (SELECT 1 FROM nodes n WHERE n.id = '{node}' AND n.holds_until > {present}) \
             AND (owner IS NULL OR owner = '{node}' OR NOT EXISTS \
             (SELECT 1 FROM nodes n WHERE n.id = feed_positions.owner AND n.holds_until > {present}))"
        );
        let num_taken = with_conn!(&mut *conn, |c| sql_query(taken).execute(c).await)?;
        if num_taken == 0 {
            return Ok(None);
        }
        seq_of(conn, RELAY).await.map(Some)
    }
}

/// `None` where the settings name no stream.
pub(super) async fn status(conn: &mut Conn) -> Result<Option<StreamStatus>, StoreError> {
    let sql = format!(
        "SELECT p.seq, p.host, n.label AS node, p.moved_at, p.failing_since, p.next_try_at, p.error FROM feed_positions p \
         LEFT JOIN nodes n ON n.id = p.owner WHERE p.name = '{RELAY}' AND p.host IS NOT NULL"
    );
    let row: Option<Row> = with_conn!(&mut *conn, |c| sql_query(sql).get_result(c).await.optional())?;
    let Some(row) = row else { return Ok(None) };
    let head = seq_of(conn, HEAD).await?;
    Ok(Some(StreamStatus {
        host: row.host,
        node: row.node,
        published: u64::try_from(row.seq).unwrap_or_default(),
        waiting: u64::try_from(head - row.seq).unwrap_or_default(),
        moved_at: row.moved_at.map(DateTime::from),
        failing_since: row.failing_since.map(DateTime::from),
        next_try_at: row.next_try_at.map(DateTime::from),
        error: row.error,
    }))
}
