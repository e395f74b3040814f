//! Which node publishes the feed to a stream, and how far it has come: one row of `feed_positions`, owned by a node
//! that is alive. The node's own heartbeat is the lease, so idle publishing costs the database nothing more.

use super::claims::moment;
use super::feed::seq_of;
use super::{Store, StoreError, with_conn};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_query;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// The name of the position. Those of webhooks have another prefix.
pub const RELAY: &str = "stream";

impl Store {
    /// Makes a node the publisher, unless another living one is. The node itself has to be alive. Returns how far the
    /// stream had come, as last noted.
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
