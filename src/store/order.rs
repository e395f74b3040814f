//! When the members of a library were added: the order of a listing that comes newest first.

use super::by_sql::table_of;
use super::types::{At, Instant};
use super::{Store, StoreError, with_conn};
use crate::model::{AccountId, AddedBetween, Dated, EntityType, Member};
use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::sql_types::{Nullable, Text};
use diesel_async::RunQueryDsl;

impl Store {
    /// The members that were added then and are not marked removed, with their dates, in any order; none if the listing
    /// does not date its rows.
    pub async fn list_members(
        &self,
        account: AccountId,
        entity: EntityType,
        wanted: AddedBetween,
    ) -> Result<Vec<Member>, StoreError> {
        if entity.facts().dated == Dated::Never {
            return Ok(Vec::new());
        }
        let ((table, item_id), account) = (table_of(entity), account.0);
        let bound = |is: &str, at: Option<DateTime<Utc>>| {
            at.map_or(String::new(), |at| format!("AND added_at {is} {}", At::from(at).literal()))
        };
        let (oldest, newest) = (bound(">=", wanted.oldest), bound("<=", wanted.newest));
        let members = format!(
            "SELECT {item_id}, added_at FROM {table} WHERE account_id = {account} AND removed_at IS NULL {oldest} {newest}"
        );
        let conn = &mut self.connect().await?;
        let rows: Vec<(String, Option<DateTime<Utc>>)> =
            with_conn!(conn, |c| sql::<(Text, Nullable<Instant>)>(&members).load(c).await)?;
        Ok(rows.into_iter().map(|(id, added_at)| Member { id, added_at }).collect())
    }
}
