//! Saved tracks.

use super::credits::{self, AlbumRef, ArtistLink};
use super::{Entry, Member};
use crate::model::EntityType;
use crate::store::schema::{albums, tracks};
use crate::store::{Conn, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use utoipa::ToSchema;

/// A saved track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrackEntry {
    pub id: String,
    /// Empty after a takedown.
    pub name: String,
    pub artists: Vec<ArtistLink>,
    pub album: Option<AlbumRef>,
    pub duration_ms: Option<i32>,
    pub explicit: Option<bool>,
    pub added_at: Option<DateTime<Utc>>,
    pub removed_at: Option<DateTime<Utc>>,
}

impl Entry for TrackEntry {
    fn words(&self) -> impl Iterator<Item = &str> {
        let artists = self.artists.iter().map(|artist| artist.name.as_str());
        [self.name.as_str()].into_iter().chain(artists).chain(self.album.iter().map(|album| album.name.as_str()))
    }
}

impl Member for TrackEntry {
    const ENTITY: EntityType = EntityType::Tracks;

    fn id(&self) -> &str {
        &self.id
    }

    fn set_dates(&mut self, came_at: Option<DateTime<Utc>>, removed_at: Option<DateTime<Utc>>) {
        (self.added_at, self.removed_at) = (came_at, removed_at);
    }

    #[expect(private_interfaces, reason = "only the store loads them")]
    async fn load(conn: &mut Conn, ids: Vec<&str>) -> Result<Vec<TrackEntry>, StoreError> {
        let mut credits = credits::of_tracks(conn, ids.clone()).await?;
        type Row = (String, String, Option<i32>, Option<bool>, Option<(String, String, Option<String>)>);
        let rows: Vec<Row> = with_conn!(conn, |c| {
            use tracks::{album_id, duration_ms, explicit, id, name, table};
            let album = (albums::id, albums::name, albums::image_url).nullable();
            let with_albums = table.left_join(albums::table.on(album_id.eq(albums::id.nullable())));
            with_albums.filter(id.eq_any(ids)).select((id, name, duration_ms, explicit, album)).load(c).await
        })?;
        let entry = |(id, name, duration_ms, explicit, album): Row| TrackEntry {
            artists: credits.remove(&id).unwrap_or_default(),
            id,
            name,
            album: album.map(AlbumRef::from_row),
            duration_ms,
            explicit,
            added_at: None,
            removed_at: None,
        };
        Ok(rows.into_iter().map(entry).collect())
    }
}
