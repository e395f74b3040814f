//! Saved shows, episodes and audiobooks as they are exported: one kind of row for all three.

use super::{Export, PAGE_LEN};
use crate::model::{AccountId, EntityType};
use crate::store::by_sql::table_of;
use crate::store::types::{At, Instant};
use crate::store::{StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::sql_types::{Bool, Integer, Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use serde::Serialize;

/// A saved show, episode or audiobook.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName, Serialize)]
pub struct SpokenLine {
    #[diesel(sql_type = Nullable<Instant>)]
    pub added_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Text)]
    pub id: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    /// The publisher of a show, the show of an episode, the authors of an audiobook.
    #[diesel(sql_type = Nullable<Text>)]
    pub creator: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub description: Option<String>,
    #[diesel(sql_type = Nullable<Bool>)]
    pub explicit: Option<bool>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub duration_ms: Option<i32>,
    /// Episodes of a show, chapters of an audiobook.
    #[diesel(sql_type = Nullable<Integer>)]
    pub total_parts: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    pub release_date: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub image_url: Option<String>,
}

/// The columns that differ between entity types.
fn columns(entity: EntityType) -> &'static str {
    match entity {
        EntityType::Episodes => {
            "(SELECT s.name FROM shows s WHERE s.id = i.show_id) AS creator, i.duration_ms AS duration_ms, \
             CAST(NULL AS INTEGER) AS total_parts, i.release_date AS release_date"
        }
        EntityType::Audiobooks => {
            "i.authors AS creator, CAST(NULL AS INTEGER) AS duration_ms, i.total_chapters AS total_parts, \
             CAST(NULL AS TEXT) AS release_date"
        }
        _ => {
            "i.publisher AS creator, CAST(NULL AS INTEGER) AS duration_ms, i.total_episodes AS total_parts, \
             CAST(NULL AS TEXT) AS release_date"
        }
    }
}

impl Export {
    /// Saved shows, episodes or audiobooks, newest first, those without a date last; continues after `after`.
    pub async fn spoken(
        &mut self,
        entity: EntityType,
        account: AccountId,
        since: Option<DateTime<Utc>>,
        after: Option<&SpokenLine>,
    ) -> Result<Vec<SpokenLine>, StoreError> {
        let ((table, item_id), columns) = (table_of(entity), columns(entity));
        let select = format!(
            "SELECT m.added_at AS added_at, i.id AS id, i.name AS name, {columns}, i.description AS description, \
             i.explicit AS explicit, i.image_url AS image_url FROM {table} m JOIN {entity} i ON i.id = m.{item_id} \
             WHERE m.account_id = {} AND m.removed_at IS NULL",
            account.0
        );
        let mut page: Vec<SpokenLine> = Vec::new();
        if after.is_none_or(|line| line.added_at.is_some()) {
            let at = after.and_then(|line| line.added_at).map_or(At::end_of_time(), At::from).literal();
            let since = At::from(since.unwrap_or(DateTime::UNIX_EPOCH)).literal();
            let dated = format!(
                "{select} AND m.added_at >= {since} AND m.added_at <= {at} AND (m.added_at < {at} OR m.{item_id} < $1) \
                 ORDER BY m.added_at DESC, m.{item_id} DESC LIMIT {PAGE_LEN}"
            );
            let id = after.map_or("", |line| &line.id);
            page = with_conn!(&mut self.conn, |c| sql_query(dated).bind::<Text, _>(id).load(c).await)?;
        }
        if page.is_empty() && since.is_none() {
            let undated =
                format!("{select} AND m.added_at IS NULL AND m.{item_id} > $1 ORDER BY m.{item_id} LIMIT {PAGE_LEN}");
            let id = after.filter(|line| line.added_at.is_none()).map_or("", |line| &line.id);
            page = with_conn!(&mut self.conn, |c| sql_query(undated).bind::<Text, _>(id).load(c).await)?;
        }
        Ok(page)
    }
}
