//! Saved albums.

use super::credits::{self, ArtistLink};
use super::members::{
    BEYOND, ByName, DateKey, Dates, MemberRow, Members, NameKey, date_key, dated_mark, member_lists, name_key,
    name_mark, undated_mark,
};
use super::names;
use super::{Entry, ListPage, Row, Walk, folded_sql, gather, in_order, is_found};
use crate::model::EntityType;
use crate::store::schema::{albums, saved_albums};
use crate::store::types::{At, Instant};
use crate::store::{Conn, Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::sql_types::{Nullable, Text};
use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl};
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

type Columns = (String, Option<String>, Option<String>, Option<i32>, Option<String>);

member_lists! {
    lists: albums_by_date, albums_by_name => AlbumEntry,
    named: EntityType::Albums,
    credit: credit,
    members: saved_albums,
    item_id: album_id,
    came_at: added_at,
    items: albums,
    joined: |from| from,
    columns: (
        albums::name,
        albums::album_type,
        albums::release_date,
        albums::total_tracks,
        albums::image_url,
    ) => Columns,
}

fn entry(id: String, columns: Columns, dates: Dates) -> AlbumEntry {
    let (name, album_type, release_date, total_tracks, image_url) = columns;
    AlbumEntry {
        id,
        name,
        album_type,
        artists: Vec::new(),
        release_date,
        total_tracks,
        image_url,
        added_at: dates.came_at,
        removed_at: dates.removed_at,
    }
}

async fn credit<K>(conn: &mut Conn, mut rows: Vec<Row<AlbumEntry, K>>) -> Result<Vec<Row<AlbumEntry, K>>, StoreError> {
    let ids = rows.iter().filter_map(|row| Some(row.entry.as_ref()?.id.as_str())).collect();
    let mut credits = credits::of_albums(conn, ids).await?;
    for album in rows.iter_mut().filter_map(|row| row.entry.as_mut()) {
        album.artists = credits.remove(&album.id).unwrap_or_default();
    }
    Ok(rows)
}
