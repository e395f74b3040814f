//! Saved tracks.

use super::credits::{self, AlbumRef, ArtistLink};
use super::members::{
    BEYOND, ByName, DateKey, Dates, MemberRow, Members, NameKey, date_key, dated_mark, member_lists, name_key,
    name_mark, undated_mark,
};
use super::names;
use super::{Entry, ListPage, Row, Walk, folded_sql, gather, in_order, is_found};
use crate::model::EntityType;
use crate::store::schema::{albums, saved_tracks, tracks};
use crate::store::types::{At, Instant};
use crate::store::{Conn, Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::sql_types::{Nullable, Text};
use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl};
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

type Columns = (String, Option<i32>, Option<bool>, Option<(String, String, Option<String>)>);

member_lists! {
    lists: tracks_by_date, tracks_by_name => TrackEntry,
    named: EntityType::Tracks,
    credit: credit,
    members: saved_tracks,
    item_id: track_id,
    came_at: added_at,
    items: tracks,
    joined: |from| from.left_join(albums::table.on(tracks::album_id.eq(albums::id.nullable()))),
    columns: (
        tracks::name,
        tracks::duration_ms,
        tracks::explicit,
        (albums::id, albums::name, albums::image_url).nullable(),
    ) => Columns,
}

fn entry(id: String, (name, duration_ms, explicit, album): Columns, dates: Dates) -> TrackEntry {
    TrackEntry {
        id,
        name,
        artists: Vec::new(),
        album: album.map(AlbumRef::from_row),
        duration_ms,
        explicit,
        added_at: dates.came_at,
        removed_at: dates.removed_at,
    }
}

async fn credit<K>(conn: &mut Conn, mut rows: Vec<Row<TrackEntry, K>>) -> Result<Vec<Row<TrackEntry, K>>, StoreError> {
    let ids = rows.iter().filter_map(|row| Some(row.entry.as_ref()?.id.as_str())).collect();
    let mut credits = credits::of_tracks(conn, ids).await?;
    for track in rows.iter_mut().filter_map(|row| row.entry.as_mut()) {
        track.artists = credits.remove(&track.id).unwrap_or_default();
    }
    Ok(rows)
}
