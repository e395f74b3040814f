//! Indexes of names, for lists ordered by name.
//!
//! A first sync fills the catalogue row by row, and in SQLite each index that it has to maintain adds a quarter to what
//! is written. So these are not part of the schema: each is built in one go, after the first sync of its entity type,
//! and only for a library too large to be sorted on the spot.
//!
//! They hold the beginnings of names: a name may be longer than an index can hold.

use super::LOOKED_AT_MAX;
use crate::model::{AccountId, EntityType, Phase};
use crate::store::by_sql::{count, table_of};
use crate::store::schema::{accounts, sync_states};
use crate::store::types::At;
use crate::store::{Conn, Store, StoreError, with_conn};
use diesel::dsl::sql;
use diesel::sql_types::Integer;
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

/// Offset of the row that exists only if one request may not read them all.
const BEYOND: i64 = LOOKED_AT_MAX as i64;

/// How a list ordered by name is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByName {
    /// All of it, sorted.
    Sorted,
    /// Along the index of names, skipping what is not in the list.
    AlongIndex,
}

/// Entity types whose catalogue table can have an index of names. Playlists are few.
fn named() -> impl Iterator<Item = EntityType> {
    EntityType::ALL.iter().copied().filter(|entity| !entity.has_items())
}

fn index_of(entity: EntityType) -> String {
    format!("{entity}_by_name")
}

impl Store {
    /// Builds the missing indexes of names that are due, and returns which. Writers wait meanwhile: two to four seconds
    /// for a million tracks.
    pub async fn index_names(&self) -> Result<Vec<String>, StoreError> {
        let mut built = Vec::new();
        for entity in named() {
            let conn = &mut self.connect().await?;
            if !has_index(conn, &index_of(entity)).await?
                && is_read_once(conn, entity).await?
                && is_large(conn, entity).await?
            {
                build(conn, entity).await?;
                built.push(index_of(entity));
            }
        }
        Ok(built)
    }
}

/// How a list by name is read; `None` while it is too large to be sorted and has no index.
pub(super) async fn way(conn: &mut Conn, entity: EntityType, is_small: bool) -> Result<Option<ByName>, StoreError> {
    if is_small {
        return Ok(Some(ByName::Sorted));
    }
    Ok(has_index(conn, &index_of(entity)).await?.then_some(ByName::AlongIndex))
}

pub(super) async fn has_index(conn: &mut Conn, index: &str) -> Result<bool, StoreError> {
    let found = match conn {
        Conn::Sqlite(_) => format!("sqlite_master WHERE type = 'index' AND name = '{index}'"),
        Conn::Pg(_) => format!("to_regclass('{index}') AS found WHERE found IS NOT NULL"),
    };
    Ok(count(conn, &found).await? > 0)
}

/// Whether every account that was begun has completed its first sync.
pub(super) async fn is_read_once(conn: &mut Conn, entity: EntityType) -> Result<bool, StoreError> {
    let ends: Vec<Option<At>> = with_conn!(conn, |c| {
        use sync_states::{completed_at, entity_type, phase, table};
        let first = table.filter(phase.eq(Phase::InitialSync.as_str())).filter(entity_type.eq(entity.as_str()));
        first.select(completed_at).load(c).await
    })?;
    Ok(!ends.is_empty() && ends.iter().all(Option::is_some))
}

/// Whether an account has more of them than one request may read.
async fn is_large(conn: &mut Conn, entity: EntityType) -> Result<bool, StoreError> {
    let known: Vec<i64> = with_conn!(conn, |c| accounts::table.select(accounts::id).load(c).await)?;
    for account in known {
        if !is_small(conn, entity, AccountId(account), false).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether one request may read all members of a library, or all that were removed from it.
pub(super) async fn is_small(
    conn: &mut Conn,
    entity: EntityType,
    account: AccountId,
    are_removed: bool,
) -> Result<bool, StoreError> {
    let ((table, _), gone) = (table_of(entity), if are_removed { "AND removed_at IS NOT NULL" } else { "" });
    let beyond = format!("SELECT 1 FROM {table} WHERE account_id = {} {gone} LIMIT 1 OFFSET {BEYOND}", account.0);
    let beyond: Option<i32> = with_conn!(conn, |c| sql::<Integer>(&beyond).get_result(c).await.optional())?;
    Ok(beyond.is_none())
}

async fn build(conn: &mut Conn, entity: EntityType) -> Result<(), StoreError> {
    let (index, table) = (index_of(entity), entity);
    let name = super::folded_sql(conn, "name");
    let sql = format!("CREATE INDEX IF NOT EXISTS {index} ON {table} ({name}, id)");
    with_conn!(conn, |c| c.batch_execute(&sql).await)?;
    Ok(())
}
