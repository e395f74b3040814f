//! Saved tracks.

use super::credits::{self, AlbumRef, ArtistLink};
use super::members::{
    BEYOND, ByName, DateKey, Dates, MemberRow, Members, NameKey, date_key, dated_mark, member_queries, name_key,
    name_mark, undated_mark,
};
use super::names::{self, Named};
use super::{Entry, Page, Row, Walk, folded_sql, gather, in_order, is_found};
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

impl Store {
    pub async fn tracks_by_date(
        &self,
        members: &Members,
        walk: &Walk<DateKey>,
    ) -> Result<Page<TrackEntry, DateKey>, StoreError> {
        let conn = &mut self.connect().await?;
        let is_small = members.are_removed && is_small(conn, members).await?;
        gather(
            walk,
            |track| is_found(track, members.search.as_ref()),
            async |after, limit| {
                let read = by_date(conn, members, is_small, walk.is_descending, after, limit).await?;
                let mut rows = members.rows(read, |id, at, _| date_key(id, at), entry);
                credit(conn, &mut rows).await?;
                Ok(rows)
            },
        )
        .await
    }

    /// `None`: there are too many to sort them on the spot, and their index of names is yet to be built.
    pub async fn tracks_by_name(
        &self,
        members: &Members,
        walk: &Walk<NameKey>,
    ) -> Result<Option<Page<TrackEntry, NameKey>>, StoreError> {
        let conn = &mut self.connect().await?;
        let is_small = is_small(conn, members).await?;
        let Some(how) = names::way(conn, Named::Tracks, is_small).await? else { return Ok(None) };
        let page = gather(
            walk,
            |track| is_found(track, members.search.as_ref()),
            async |after, limit| {
                let read = by_name(conn, members, how, walk.is_descending, after, limit).await?;
                let mut rows = members.rows(read, |id, _, (name, ..)| name_key(id, name), entry);
                credit(conn, &mut rows).await?;
                Ok(rows)
            },
        );
        page.await.map(Some)
    }
}

type Columns = (String, Option<i32>, Option<bool>, Option<(String, String, Option<String>)>);

member_queries! {
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

async fn credit<K>(conn: &mut Conn, rows: &mut [Row<TrackEntry, K>]) -> Result<(), StoreError> {
    let ids = rows.iter().filter_map(|row| Some(row.entry.as_ref()?.id.as_str())).collect();
    let mut credits = credits::of_tracks(conn, ids).await?;
    for track in rows.iter_mut().filter_map(|row| row.entry.as_mut()) {
        track.artists = credits.remove(&track.id).unwrap_or_default();
    }
    Ok(())
}
