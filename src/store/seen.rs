//! Which items a pass has seen (`sync_seen`): what a proven pass has not seen is gone from the library.

use super::rows::SeenRow;
use super::schema::sync_seen;
use super::upsert::upsert;
use super::{Conn, StoreError, with_conn};
use crate::model::{AccountId, EntityType};
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use std::collections::BTreeSet;

pub(super) async fn record(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    pass: i64,
    ids: BTreeSet<&str>,
) -> Result<(), StoreError> {
    let rows: Vec<SeenRow<'_>> = ids.into_iter().map(|id| SeenRow::new(account, entity, pass, id)).collect();
    upsert(conn, &rows).await?;
    Ok(())
}

/// Forgets what every pass but `current` saw.
pub(super) async fn forget(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    current: Option<i64>,
) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        let seen = sync_seen::table
            .filter(sync_seen::account_id.eq(account.0))
            .filter(sync_seen::entity_type.eq(entity.as_str()));
        match current {
            Some(pass) => diesel::delete(seen.filter(sync_seen::pass.ne(pass))).execute(c).await,
            None => diesel::delete(seen).execute(c).await,
        }
    })?;
    Ok(())
}
