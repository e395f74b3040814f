//! The items of a playlist, by position.

use super::credits::{self, AlbumRef, ArtistLink};
use super::playlists::is_listed;
use super::{Entry, ListPage, Row, Search, Walk, gather, is_found};
use crate::model::{AccountId, PlaylistItemKind};
use crate::store::schema::{albums, playlist_items, tracks};
use crate::store::{Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use utoipa::ToSchema;

/// An item of a playlist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlaylistItemEntry {
    pub position: i64,
    pub kind: PlaylistItemKind,
    /// `None` where the source gave none.
    pub uri: Option<String>,
    pub track_id: Option<String>,
    pub name: Option<String>,
    pub artists: Vec<ArtistLink>,
    pub album: Option<AlbumRef>,
    pub added_at: Option<DateTime<Utc>>,
    /// The Spotify id of who added it.
    pub added_by: Option<String>,
}

impl Entry for PlaylistItemEntry {
    fn words(&self) -> impl Iterator<Item = &str> {
        let artists = self.artists.iter().map(|artist| artist.name.as_str());
        self.name.as_deref().into_iter().chain(artists).chain(self.album.iter().map(|album| album.name.as_str()))
    }
}

#[derive(Debug, Queryable)]
struct ItemRow {
    position: i64,
    kind: String,
    uri: Option<String>,
    track_id: Option<String>,
    name: Option<String>,
    added_at: Option<DateTime<Utc>>,
    added_by: Option<String>,
    track_name: Option<String>,
    album: Option<(String, String, Option<String>)>,
}

impl Store {
    /// `None` if the account's library never contained such a playlist.
    pub async fn playlist_items(
        &self,
        account: AccountId,
        playlist: &str,
        search: Option<&Search>,
        walk: &Walk<i64>,
    ) -> Result<Option<ListPage<PlaylistItemEntry, i64>>, StoreError> {
        let conn = &mut self.connect().await?;
        if !is_listed(conn, account, playlist).await? {
            return Ok(None);
        }
        let page = gather(
            walk,
            |item| is_found(item, search),
            async |after, limit| {
                let read: Vec<ItemRow> = with_conn!(conn, |c| {
                    use playlist_items::{added_at, added_by, kind, name, playlist_id, position, table, track_id, uri};
                    table
                        .left_join(tracks::table.on(track_id.eq(tracks::id.nullable())))
                        .left_join(albums::table.on(tracks::album_id.eq(albums::id.nullable())))
                        .filter(playlist_id.eq(playlist))
                        .filter(position.gt(after.copied().unwrap_or(-1)))
                        .order(position)
                        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
                        .select((
                            position,
                            kind,
                            uri,
                            track_id,
                            name,
                            added_at,
                            added_by,
                            tracks::name.nullable(),
                            (albums::id, albums::name, albums::image_url).nullable(),
                        ))
                        .load(c)
                        .await
                })?;
                let ids = read.iter().filter_map(|row| row.track_id.as_deref()).collect();
                let credits = credits::of_tracks(conn, ids).await?;
                let row = |row: ItemRow| {
                    let artists = row.track_id.as_ref().and_then(|id| credits.get(id)).cloned().unwrap_or_default();
                    Row { key: row.position, entry: Some(entry(row, artists)) }
                };
                Ok(read.into_iter().map(row).collect())
            },
        );
        page.await.map(Some)
    }
}

fn entry(row: ItemRow, artists: Vec<ArtistLink>) -> PlaylistItemEntry {
    PlaylistItemEntry {
        position: row.position,
        kind: PlaylistItemKind::of_word(&row.kind).unwrap_or(PlaylistItemKind::Unknown),
        uri: row.uri,
        track_id: row.track_id,
        // The item's own name is the one it had when the playlist was read.
        name: row.name.or(row.track_name),
        artists,
        album: row.album.map(AlbumRef::from_row),
        added_at: row.added_at,
        added_by: row.added_by,
    }
}
