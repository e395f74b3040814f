//! The log of committed batches (`sync_batches`), one row each.

use super::schema::sync_batches;
use super::types::At;
use super::{Conn, StoreError, with_conn};
use crate::model::{Commit, ItemCounts};
use diesel::ExpressionMethods;
use diesel_async::RunQueryDsl;

/// Logs the batch, unless it is only a checkpoint that marks the beginning or end of a run. Requests without rows are
/// logged, so that the cost of a run is the sum over its batches.
pub(super) async fn log(conn: &mut Conn, commit: &Commit, counts: ItemCounts, now: At) -> Result<(), StoreError> {
    let has_read = commit.offset_from < commit.offset_to || !commit.rows.is_empty();
    if !has_read && counts.removed == 0 && commit.num_requests == 0 {
        return Ok(());
    }
    with_conn!(conn, |c| {
        use sync_batches::*;
        let row = (
            account_id.eq(commit.account_id.0),
            run_id.eq(commit.run_id.to_string()),
            entity_type.eq(commit.entity.as_str()),
            phase.eq(commit.checkpoint.phase.as_str()),
            (offset_from.eq(i64::from(commit.offset_from)), offset_to.eq(i64::from(commit.offset_to))),
            (items_processed.eq(i64::from(counts.processed)), items_new.eq(i64::from(counts.new))),
            (items_updated.eq(i64::from(counts.updated)), items_unchanged.eq(i64::from(counts.unchanged))),
            (items_odd.eq(i64::from(counts.odd)), items_removed.eq(i64::from(counts.removed))),
            requests.eq(i64::from(commit.num_requests)),
            duration_ms.eq(i64::try_from(commit.duration.as_millis()).unwrap_or(i64::MAX)),
            committed_at.eq(now),
        );
        diesel::insert_into(table).values(row).execute(c).await
    })?;
    Ok(())
}
