//! The listening history.

use super::credits::{self, AlbumRef, ArtistLink};
use super::{Entry, ListPage, Row, Search, Walk, gather, in_order, is_found};
use crate::model::AccountId;
use crate::store::schema::{albums, plays, tracks};
use crate::store::types::At;
use crate::store::{Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something that was played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlayEntry {
    pub played_at: DateTime<Utc>,
    pub track_uri: String,
    pub track_id: Option<String>,
    /// `None` if it is not a track of the catalogue.
    pub name: Option<String>,
    pub artists: Vec<ArtistLink>,
    pub album: Option<AlbumRef>,
    pub ms_played: Option<i32>,
    pub context_uri: Option<String>,
    /// `api` or `export`.
    pub source: String,
}

/// The place of a play in the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayKey {
    pub at: DateTime<Utc>,
    pub uri: String,
}

impl Entry for PlayEntry {
    fn words(&self) -> impl Iterator<Item = &str> {
        let artists = self.artists.iter().map(|artist| artist.name.as_str());
        self.name.as_deref().into_iter().chain(artists).chain(self.album.iter().map(|album| album.name.as_str()))
    }
}

#[derive(Debug, Queryable)]
struct PlayRow {
    played_at: DateTime<Utc>,
    track_uri: String,
    track_id: Option<String>,
    ms_played: Option<i32>,
    context_uri: Option<String>,
    source: String,
    name: Option<String>,
    album: Option<(String, String, Option<String>)>,
}

impl Store {
    pub async fn plays(
        &self,
        account: AccountId,
        search: Option<&Search>,
        walk: &Walk<PlayKey>,
    ) -> Result<ListPage<PlayEntry, PlayKey>, StoreError> {
        let conn = &mut self.connect().await?;
        gather(
            walk,
            |play| is_found(play, search),
            async |after, limit| {
                let first = if walk.is_descending { At::end_of_time() } else { At::beginning_of_time() };
                let (at, uri) = after.map_or((first, ""), |key| (At::from(key.at), &key.uri));
                let read: Vec<PlayRow> = with_conn!(conn, |c| {
                    use plays::{account_id, context_uri, ms_played, played_at, source, table, track_id, track_uri};
                    let theirs = table
                        .left_join(tracks::table.on(track_id.eq(tracks::id.nullable())))
                        .left_join(albums::table.on(tracks::album_id.eq(albums::id.nullable())))
                        .filter(account_id.eq(account.0));
                    let columns = (
                        played_at,
                        track_uri,
                        track_id,
                        ms_played,
                        context_uri,
                        source,
                        tracks::name.nullable(),
                        (albums::id, albums::name, albums::image_url).nullable(),
                    );
                    in_order!(theirs, walk.is_descending, played_at, track_uri, at, uri, limit, |ordered| {
                        ordered.select(columns).load(c).await
                    })
                })?;
                let ids = read.iter().filter_map(|row| row.track_id.as_deref()).collect();
                let credits = credits::of_tracks(conn, ids).await?;
                let row = |row: PlayRow| {
                    let artists = row.track_id.as_ref().and_then(|id| credits.get(id)).cloned().unwrap_or_default();
                    let key = PlayKey { at: row.played_at, uri: row.track_uri.clone() };
                    Row { key, entry: Some(entry(row, artists)) }
                };
                Ok(read.into_iter().map(row).collect())
            },
        )
        .await
    }
}

fn entry(row: PlayRow, artists: Vec<ArtistLink>) -> PlayEntry {
    PlayEntry {
        played_at: row.played_at,
        track_uri: row.track_uri,
        track_id: row.track_id,
        name: row.name,
        artists,
        album: row.album.map(AlbumRef::from_row),
        ms_played: row.ms_played,
        context_uri: row.context_uri,
        source: row.source,
    }
}
