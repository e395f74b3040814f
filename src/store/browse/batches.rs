//! The batches that were committed, newest first.

use super::{ListPage, Row, Walk, gather};
use crate::model::{AccountId, EntityType};
use crate::store::schema::sync_batches;
use crate::store::{Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, QueryDsl, Queryable, Selectable, SelectableHelper};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use utoipa::ToSchema;

/// A row of `sync_batches`.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Serialize, ToSchema)]
#[diesel(table_name = sync_batches)]
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
                let read: Vec<(i64, BatchEntry)> = with_conn!(conn, |c| {
                    use sync_batches::{account_id, id, table};
                    let older = table.filter(id.lt(after.copied().unwrap_or(i64::MAX))).order(id.desc());
                    let older = older.limit(i64::try_from(limit).unwrap_or(i64::MAX));
                    older.select((account_id, BatchEntry::as_select())).load(c).await
                })?;
                let row = |(of, entry): (i64, BatchEntry)| {
                    let is_of_entity = entity.is_none_or(|entity| entry.entity_type == entity.as_str());
                    Row { key: entry.id, entry: Some(entry).filter(|_| of == account.0 && is_of_entity) }
                };
                Ok(read.into_iter().map(row).collect())
            },
        )
        .await
    }
}
