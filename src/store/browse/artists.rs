//! Followed artists.

use super::{Entry, Member};
use crate::model::EntityType;
use crate::store::schema::artists;
use crate::store::{Conn, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use utoipa::ToSchema;

/// A followed artist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ArtistEntry {
    pub id: String,
    pub name: String,
    /// `None` if the source did not say.
    pub genres: Option<Vec<String>>,
    pub image_url: Option<String>,
    pub first_seen_at: Option<DateTime<Utc>>,
    pub removed_at: Option<DateTime<Utc>>,
}

impl Entry for ArtistEntry {
    fn words(&self) -> impl Iterator<Item = &str> {
        [self.name.as_str()].into_iter().chain(self.genres.iter().flatten().map(String::as_str))
    }
}

impl Member for ArtistEntry {
    const ENTITY: EntityType = EntityType::Artists;

    fn id(&self) -> &str {
        &self.id
    }

    fn set_dates(&mut self, came_at: Option<DateTime<Utc>>, removed_at: Option<DateTime<Utc>>) {
        (self.first_seen_at, self.removed_at) = (came_at, removed_at);
    }

    #[expect(private_interfaces, reason = "only the store loads them")]
    async fn load(conn: &mut Conn, ids: Vec<&str>) -> Result<Vec<ArtistEntry>, StoreError> {
        type Row = (String, String, Option<String>, Option<String>);
        let rows: Vec<Row> = with_conn!(conn, |c| {
            use artists::{genres, id, image_url, name, table};
            table.filter(id.eq_any(ids)).select((id, name, genres, image_url)).load(c).await
        })?;
        let entry = |(id, name, genres, image_url): Row| ArtistEntry {
            id,
            name,
            genres: genres.map(|list| serde_json::from_str(&list).unwrap_or_default()),
            image_url,
            first_seen_at: None,
            removed_at: None,
        };
        Ok(rows.into_iter().map(entry).collect())
    }
}
