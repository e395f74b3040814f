//! Who made what: the artists of a page of tracks or albums, in one query, and the album of a track.

use crate::store::schema::{album_artists, artists, track_artists};
use crate::store::{Conn, StoreError, with_conn};
use diesel::{ExpressionMethods, JoinOnDsl, QueryDsl};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use std::collections::HashMap;
use utoipa::ToSchema;

/// An artist as tracks and albums name them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ArtistLink {
    pub id: String,
    pub name: String,
}

/// The album of a track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AlbumRef {
    pub id: String,
    pub name: String,
    pub image_url: Option<String>,
}

impl AlbumRef {
    pub(super) fn from_row((id, name, image_url): (String, String, Option<String>)) -> AlbumRef {
        AlbumRef { id, name, image_url }
    }
}

/// The artists of each, in their order.
pub(super) type Credits = HashMap<String, Vec<ArtistLink>>;

pub(super) async fn of_tracks(conn: &mut Conn, ids: Vec<&str>) -> Result<Credits, StoreError> {
    if ids.is_empty() {
        return Ok(Credits::new());
    }
    let rows: Vec<(String, String, String)> = with_conn!(conn, |c| {
        use track_artists::{artist_id, position, table, track_id};
        let credits = table.inner_join(artists::table.on(artists::id.eq(artist_id)));
        let theirs = credits.filter(track_id.eq_any(ids)).order((track_id, position));
        theirs.select((track_id, artists::id, artists::name)).load(c).await
    })?;
    Ok(by_item(rows))
}

pub(super) async fn of_albums(conn: &mut Conn, ids: Vec<&str>) -> Result<Credits, StoreError> {
    if ids.is_empty() {
        return Ok(Credits::new());
    }
    let rows: Vec<(String, String, String)> = with_conn!(conn, |c| {
        use album_artists::{album_id, artist_id, position, table};
        let credits = table.inner_join(artists::table.on(artists::id.eq(artist_id)));
        let theirs = credits.filter(album_id.eq_any(ids)).order((album_id, position));
        theirs.select((album_id, artists::id, artists::name)).load(c).await
    })?;
    Ok(by_item(rows))
}

fn by_item(rows: Vec<(String, String, String)>) -> Credits {
    let mut credits = Credits::new();
    for (item, id, name) in rows {
        credits.entry(item).or_default().push(ArtistLink { id, name });
    }
    credits
}
