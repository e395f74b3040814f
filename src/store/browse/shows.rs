//! Saved shows.

use super::{Entry, Member};
use crate::model::EntityType;
use crate::store::schema::shows;
use crate::store::{Conn, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use utoipa::ToSchema;

/// A saved show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShowEntry {
    pub id: String,
    pub name: String,
    /// Spotify does not disclose it to new applications.
    pub publisher: Option<String>,
    pub explicit: Option<bool>,
    pub total_episodes: Option<i32>,
    pub image_url: Option<String>,
    pub added_at: Option<DateTime<Utc>>,
    pub removed_at: Option<DateTime<Utc>>,
}

impl Entry for ShowEntry {
    fn words(&self) -> impl Iterator<Item = &str> {
        [self.name.as_str()].into_iter().chain(self.publisher.as_deref())
    }
}

impl Member for ShowEntry {
    const ENTITY: EntityType = EntityType::Shows;

    fn id(&self) -> &str {
        &self.id
    }

    fn set_dates(&mut self, came_at: Option<DateTime<Utc>>, removed_at: Option<DateTime<Utc>>) {
        (self.added_at, self.removed_at) = (came_at, removed_at);
    }

    #[expect(private_interfaces, reason = "only the store loads them")]
    async fn load(conn: &mut Conn, ids: Vec<&str>) -> Result<Vec<ShowEntry>, StoreError> {
        type Row = (String, String, Option<String>, Option<bool>, Option<i32>, Option<String>);
        let rows: Vec<Row> = with_conn!(conn, |c| {
            use shows::{explicit, id, image_url, name, publisher, table, total_episodes};
            let columns = (id, name, publisher, explicit, total_episodes, image_url);
            table.filter(id.eq_any(ids)).select(columns).load(c).await
        })?;
        let entry = |(id, name, publisher, explicit, total_episodes, image_url): Row| {
            let (added_at, removed_at) = (None, None);
            ShowEntry { id, name, publisher, explicit, total_episodes, image_url, added_at, removed_at }
        };
        Ok(rows.into_iter().map(entry).collect())
    }
}
