//! The batches that were committed, newest first.

use super::{ListPage, Row, Walk, gather};
use crate::model::{AccountId, EntityType};
use crate::store::schema::sync_batches;
use crate::store::types::At;
use crate::store::{Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use utoipa::ToSchema;

/// A row of `sync_batches`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BatchEntry {
    pub id: i64,
    pub run_id: String,
    pub entity_type: String,
    pub phase: String,
    pub offset_from: i64,
    pub offset_to: i64,
    pub items_processed: i64,
    pub items_new: i64,
    pub items_updated: i64,
    pub items_unchanged: i64,
    pub items_odd: i64,
    pub items_removed: i64,
    pub requests: i64,
    pub duration_ms: i64,
    pub committed_at: DateTime<Utc>,
}

#[derive(Debug, Queryable)]
struct BatchRow {
    id: i64,
    account_id: i64,
    run_id: String,
    entity_type: String,
    phase: String,
    offset_from: i64,
    offset_to: i64,
    items_processed: i64,
    items_new: i64,
    items_updated: i64,
    items_unchanged: i64,
    items_odd: i64,
    items_removed: i64,
    requests: i64,
    duration_ms: i64,
    committed_at: At,
}

impl Store {
    pub async fn batches(
        &self,
        account: AccountId,
        entity: Option<EntityType>,
        walk: &Walk<i64>,
    ) -> Result<ListPage<BatchEntry, i64>, StoreError> {
        let conn = &mut self.connect().await?;
        gather(
            walk,
            |_| true,
            async |after, limit| {
                let read: Vec<BatchRow> = with_conn!(conn, |c| {
                    use sync_batches::{id, table};
                    let older = table.filter(id.lt(after.copied().unwrap_or(i64::MAX)));
                    older.order(id.desc()).limit(i64::try_from(limit).unwrap_or(i64::MAX)).load(c).await
                })?;
                let row = |row: BatchRow| {
                    let is_of_entity = entity.is_none_or(|entity| row.entity_type == entity.as_str());
                    let is_in_list = row.account_id == account.0 && is_of_entity;
                    Row { key: row.id, entry: is_in_list.then(|| row.into()) }
                };
                Ok(read.into_iter().map(row).collect())
            },
        )
        .await
    }
}

impl From<BatchRow> for BatchEntry {
    fn from(row: BatchRow) -> BatchEntry {
        BatchEntry {
            id: row.id,
            run_id: row.run_id,
            entity_type: row.entity_type,
            phase: row.phase,
            offset_from: row.offset_from,
            offset_to: row.offset_to,
            items_processed: row.items_processed,
            items_new: row.items_new,
            items_updated: row.items_updated,
            items_unchanged: row.items_unchanged,
            items_odd: row.items_odd,
            items_removed: row.items_removed,
            requests: row.requests,
            duration_ms: row.duration_ms,
            committed_at: row.committed_at.into(),
        }
    }
}
