//! Saved albums.

use super::credits::{self, ArtistLink};
use super::{Entry, Member};
use crate::model::EntityType;
use crate::store::schema::albums;
use crate::store::{Conn, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use utoipa::ToSchema;

/// A saved album.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AlbumEntry {
    pub id: String,
    /// Empty after a takedown.
    pub name: String,
    pub album_type: Option<String>,
    pub artists: Vec<ArtistLink>,
    /// A year, a month or a day, as the source gives it.
    pub release_date: Option<String>,
    pub total_tracks: Option<i32>,
    pub image_url: Option<String>,
    pub added_at: Option<DateTime<Utc>>,
    pub removed_at: Option<DateTime<Utc>>,
}

impl Entry for AlbumEntry {
    fn words(&self) -> impl Iterator<Item = &str> {
        [self.name.as_str()].into_iter().chain(self.artists.iter().map(|artist| artist.name.as_str()))
    }
}

impl Member for AlbumEntry {
    const ENTITY: EntityType = EntityType::Albums;

    fn id(&self) -> &str {
        &self.id
    }

    fn set_dates(&mut self, came_at: Option<DateTime<Utc>>, removed_at: Option<DateTime<Utc>>) {
        (self.added_at, self.removed_at) = (came_at, removed_at);
    }

    #[expect(private_interfaces, reason = "only the store loads them")]
    async fn load(conn: &mut Conn, ids: Vec<&str>) -> Result<Vec<AlbumEntry>, StoreError> {
        let mut credits = credits::of_albums(conn, ids.clone()).await?;
        type Row = (String, String, Option<String>, Option<String>, Option<i32>, Option<String>);
        let rows: Vec<Row> = with_conn!(conn, |c| {
            use albums::{album_type, id, image_url, name, release_date, table, total_tracks};
            let columns = (id, name, album_type, release_date, total_tracks, image_url);
            table.filter(id.eq_any(ids)).select(columns).load(c).await
        })?;
        let entry = |(id, name, album_type, release_date, total_tracks, image_url): Row| AlbumEntry {
            artists: credits.remove(&id).unwrap_or_default(),
            id,
            name,
            album_type,
            release_date,
            total_tracks,
            image_url,
            added_at: None,
            removed_at: None,
        };
        Ok(rows.into_iter().map(entry).collect())
    }
}
