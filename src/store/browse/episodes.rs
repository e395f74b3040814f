//! Saved episodes.

use super::{Entry, Member};
use crate::model::EntityType;
use crate::store::schema::{episodes, shows};
use crate::store::{Conn, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use utoipa::ToSchema;

/// A saved episode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EpisodeEntry {
    pub id: String,
    pub name: String,
    pub show: Option<ShowRef>,
    pub duration_ms: Option<i32>,
    pub explicit: Option<bool>,
    /// A year, a month or a day, as the source gives it.
    pub release_date: Option<String>,
    pub image_url: Option<String>,
    pub added_at: Option<DateTime<Utc>>,
    pub removed_at: Option<DateTime<Utc>>,
}

/// The show of an episode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShowRef {
    pub id: String,
    pub name: String,
}

impl Entry for EpisodeEntry {
    fn words(&self) -> impl Iterator<Item = &str> {
        [self.name.as_str()].into_iter().chain(self.show.iter().map(|show| show.name.as_str()))
    }
}

impl Member for EpisodeEntry {
    const ENTITY: EntityType = EntityType::Episodes;

    fn id(&self) -> &str {
        &self.id
    }

    fn set_dates(&mut self, came_at: Option<DateTime<Utc>>, removed_at: Option<DateTime<Utc>>) {
        (self.added_at, self.removed_at) = (came_at, removed_at);
    }

    #[expect(private_interfaces, reason = "only the store loads them")]
    async fn load(conn: &mut Conn, ids: Vec<&str>) -> Result<Vec<EpisodeEntry>, StoreError> {
        type Text = Option<String>;
        type Row = (String, String, Option<i32>, Option<bool>, Text, Text, Option<(String, String)>);
        let rows: Vec<Row> = with_conn!(conn, |c| {
            use episodes::{duration_ms, explicit, id, image_url, name, release_date, show_id, table};
            let show = (shows::id, shows::name).nullable();
            let with_shows = table.left_join(shows::table.on(show_id.eq(shows::id.nullable())));
            let columns = (id, name, duration_ms, explicit, release_date, image_url, show);
            with_shows.filter(id.eq_any(ids)).select(columns).load(c).await
        })?;
        let entry = |(id, name, duration_ms, explicit, release_date, image_url, show): Row| EpisodeEntry {
            id,
            name,
            show: show.map(|(id, name)| ShowRef { id, name }),
            duration_ms,
            explicit,
            release_date,
            image_url,
            added_at: None,
            removed_at: None,
        };
        Ok(rows.into_iter().map(entry).collect())
    }
}
