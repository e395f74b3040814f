//! What a person has paused by hand (`paused_entities`). It outlasts the process, and only a person ends it.

use super::schema::paused_entities;
use super::types::At;
use super::{Conn, Store, StoreError, with_conn};
use crate::model::{AccountId, EntityType, SyncKey};
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use std::collections::BTreeSet;

impl Store {
    /// Notes what is paused from now on. If it was paused before, the earlier moment is kept.
    pub async fn pause_by_hand(&self, keys: &[SyncKey], now: DateTime<Utc>) -> Result<(), StoreError> {
        self.transaction(async |conn| {
            for key in keys {
                with_conn!(conn, |c| {
                    use paused_entities::{account_id, entity_type, paused_at, table};
                    let row = (
                        account_id.eq(key.account.0),
                        entity_type.eq(key.entity.as_str()),
                        paused_at.eq(At::from(now)),
                    );
                    diesel::insert_into(table).values(row).on_conflict_do_nothing().execute(c).await
                })?;
            }
            Ok(())
        })
        .await
    }

    /// Notes what is resumed.
    pub async fn resume_by_hand(&self, keys: &[SyncKey]) -> Result<(), StoreError> {
        self.transaction(async |conn| {
            for key in keys {
                with_conn!(conn, |c| {
                    use paused_entities::{account_id, entity_type, table};
                    let row = table.filter(account_id.eq(key.account.0)).filter(entity_type.eq(key.entity.as_str()));
                    diesel::delete(row).execute(c).await
                })?;
            }
            Ok(())
        })
        .await
    }

    /// Which entity types of an account are paused.
    pub async fn paused_by_hand(&self, account: AccountId) -> Result<BTreeSet<EntityType>, StoreError> {
        list(&mut self.connect().await?, account).await
    }
}

pub(super) async fn list(conn: &mut Conn, account: AccountId) -> Result<BTreeSet<EntityType>, StoreError> {
    let words: Vec<String> = with_conn!(conn, |c| {
        use paused_entities::{account_id, entity_type, table};
        table.filter(account_id.eq(account.0)).select(entity_type).load(c).await
    })?;
    // A word written by another version is ignored.
    Ok(words.iter().filter_map(|word| word.parse().ok()).collect())
}
