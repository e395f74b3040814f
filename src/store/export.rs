//! A library and a listening history as they go out to other tools: all that is known of each row, in pages, as of one
//! moment. One transaction reads it, which holds nobody up.

use super::browse::{ArtistLink, Credits};
use super::schema::{
    album_artists, albums, artists, followed_artists, library_playlists, playlist_items, playlists, saved_albums,
    saved_tracks, track_artists, tracks,
};
use super::types::At;
use super::{Conn, Store, StoreError, with_conn};
use crate::model::AccountId;
use chrono::{DateTime, Utc};
use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, Queryable};
use diesel_async::{AnsiTransactionManager, RunQueryDsl};
use serde::Serialize;
use std::collections::HashMap;

/// Rows per page: some hundred kilobytes.
const PAGE_LEN: i64 = 1_000;

/// Most artists that are remembered: some megabytes.
const ARTISTS_MAX: usize = 30_000;

/// What is known of a track.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TrackFacts {
    pub id: Option<String>,
    pub name: Option<String>,
    pub artists: Vec<ArtistLink>,
    pub album: Option<AlbumFacts>,
    pub disc_number: Option<i32>,
    pub track_number: Option<i32>,
    pub duration_ms: Option<i32>,
    pub explicit: Option<bool>,
    pub isrc: Option<String>,
}

/// What is known of an album.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AlbumFacts {
    pub id: String,
    pub name: String,
    pub artists: Vec<ArtistLink>,
    pub album_type: Option<String>,
    pub release_date: Option<String>,
    pub total_tracks: Option<i32>,
    pub upc: Option<String>,
    pub image_url: Option<String>,
}

/// A saved track, or an item of a playlist.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TrackLine {
    pub added_at: Option<DateTime<Utc>>,
    /// The Spotify id of who put it into the playlist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added_by: Option<String>,
    /// Its place in the playlist, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<i64>,
    pub uri: Option<String>,
    #[serde(flatten)]
    pub track: TrackFacts,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlbumLine {
    pub added_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    pub album: AlbumFacts,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtistLine {
    pub first_seen_at: DateTime<Utc>,
    pub id: String,
    pub name: String,
    pub genres: Option<String>,
    pub image_url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable)]
pub struct PlaylistLine {
    pub position: i64,
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub owner_id: Option<String>,
    pub owner_name: Option<String>,
    pub public: Option<bool>,
    pub collaborative: Option<bool>,
    pub total_items: Option<i32>,
}

#[derive(Debug, Queryable)]
struct TrackRow {
    uri: Option<String>,
    name: String,
    disc_number: Option<i32>,
    track_number: Option<i32>,
    duration_ms: Option<i32>,
    explicit: Option<bool>,
    isrc: Option<String>,
}

#[derive(Debug, Queryable)]
struct AlbumRow {
    id: String,
    name: String,
    album_type: Option<String>,
    release_date: Option<String>,
    total_tracks: Option<i32>,
    upc: Option<String>,
    image_url: Option<String>,
}

impl AlbumRow {
    fn facts(self, credits: &Credits) -> AlbumFacts {
        let AlbumRow { id, name, album_type, release_date, total_tracks, upc, image_url } = self;
        let artists = credits.get(&id).cloned().unwrap_or_default();
        AlbumFacts { id, name, artists, album_type, release_date, total_tracks, upc, image_url }
    }
}

/// The columns of [`TrackRow`] and of [`AlbumRow`].
macro_rules! track_columns {
    () => {
        (
            tracks::uri,
            tracks::name,
            tracks::disc_number,
            tracks::track_number,
            tracks::duration_ms,
            tracks::explicit,
            tracks::isrc,
        )
    };
}
macro_rules! album_columns {
    () => {
        (
            albums::id,
            albums::name,
            albums::album_type,
            albums::release_date,
            albums::total_tracks,
            albums::upc,
            albums::image_url,
        )
    };
}

/// Loads the rows of a query that borrows nothing. diesel-async copies each value of SQLite once more on its way to another
/// thread; here they become rows on the thread that reads them.
macro_rules! load {
    ($conn:expr, $query:expr) => {
        match $conn {
            $crate::store::Conn::Sqlite(c) => {
                let query = $query;
                c.spawn_blocking(move |c| diesel::RunQueryDsl::load(query, c)).await
            }
            $crate::store::Conn::Pg(c) => $query.load(&mut **c).await,
        }
    };
}

/// A page of rows by a moment, newest first, and those without one last. `$after` is the last of the page before.
macro_rules! newest_first {
    ($conn:expr, $rows:expr, $at:expr, $id:expr, $columns:expr, $after:expr, $since:expr) => {{
        let (after, since): (Option<(Option<At>, &str)>, Option<At>) = ($after, $since);
        let mut page = Vec::new();
        if !matches!(after, Some((None, _))) {
            let (at, id) = after.and_then(|(at, id)| Some((at?, id))).unwrap_or((At::end_of_time(), ""));
            let id = id.to_owned();
            page = load!(
                $conn,
                $rows
                    .filter($at.ge(since.unwrap_or(At::from(DateTime::UNIX_EPOCH))))
                    .filter($at.le(at))
                    .filter($at.lt(at).or($id.lt(id)))
                    .order(($at.desc(), $id.desc()))
                    .limit(PAGE_LEN)
                    .select($columns)
            )?;
        }
        if page.is_empty() && since.is_none() {
            let id = after.and_then(|(at, id)| at.is_none().then_some(id)).unwrap_or_default().to_owned();
            page = load!(
                $conn,
                $rows.filter($at.is_null()).filter($id.gt(id)).order($id).limit(PAGE_LEN).select($columns)
            )?;
        }
        page
    }};
}

mod listens;
mod spoken;
mod streams;

pub use listens::{ListenKey, ListenLine};
pub use spoken::SpokenLine;

/// What is being exported: the database as it was at one moment.
pub struct Export {
    conn: Conn,
    /// What artists are called that pages before have named: a library names the same ones again and again.
    artists: HashMap<String, String>,
}

impl Store {
    /// Begins a transaction that only reads.
    pub async fn export(&self) -> Result<Export, StoreError> {
        let mut conn = self.connect().await?;
        match &mut conn {
            Conn::Sqlite(c) => {
                c.spawn_blocking(|c| diesel::connection::AnsiTransactionManager::begin_transaction_sql(c, "BEGIN"))
                    .await?;
            }
            Conn::Pg(c) => {
                let sql = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
                AnsiTransactionManager::begin_transaction_sql(&mut **c, sql).await?;
            }
        }
        Ok(Export { conn, artists: HashMap::new() })
    }
}

impl Export {
    /// Ends the transaction.
    pub async fn finish(mut self) -> Result<(), StoreError> {
        Ok(self.conn.commit().await?)
    }

    /// Saved tracks, newest first; those that go on behind `after`, the last of the page before. None is the end.
    pub async fn tracks(
        &mut self,
        account: AccountId,
        since: Option<DateTime<Utc>>,
        after: Option<&TrackLine>,
    ) -> Result<Vec<TrackLine>, StoreError> {
        let after = after.map(|line| (line.added_at.map(At::from), line.track.id.as_deref().unwrap_or_default()));
        let page: Vec<(String, Option<At>, TrackRow, Option<AlbumRow>)> = newest_first!(
            &mut self.conn,
            saved_tracks::table
                .inner_join(tracks::table.on(tracks::id.eq(saved_tracks::track_id)))
                .left_join(albums::table.on(tracks::album_id.eq(albums::id.nullable())))
                .filter(saved_tracks::account_id.eq(account.0))
                .filter(saved_tracks::removed_at.is_null()),
            saved_tracks::added_at,
            saved_tracks::track_id,
            (saved_tracks::track_id, saved_tracks::added_at, track_columns!(), album_columns!().nullable()),
            after,
            since.map(At::from)
        );
        let (by_track, by_album) = self.credits(page.iter().map(|row| (Some(&row.0), row.3.as_ref()))).await?;
        let line = |(id, added_at, track, album): (String, Option<At>, TrackRow, Option<AlbumRow>)| TrackLine {
            added_at: added_at.map(DateTime::from),
            added_by: None,
            position: None,
            uri: Some(uri_of(&id, track.uri.as_deref())),
            track: facts(Some(id), Some(track), album, &by_track, &by_album),
        };
        Ok(page.into_iter().map(line).collect())
    }

    pub async fn albums(
        &mut self,
        account: AccountId,
        since: Option<DateTime<Utc>>,
        after: Option<&AlbumLine>,
    ) -> Result<Vec<AlbumLine>, StoreError> {
        let page: Vec<(Option<At>, AlbumRow)> = newest_first!(
            &mut self.conn,
            saved_albums::table
                .inner_join(albums::table.on(albums::id.eq(saved_albums::album_id)))
                .filter(saved_albums::account_id.eq(account.0))
                .filter(saved_albums::removed_at.is_null()),
            saved_albums::added_at,
            saved_albums::album_id,
            (saved_albums::added_at, album_columns!()),
            after.map(|line| (line.added_at.map(At::from), line.album.id.as_str())),
            since.map(At::from)
        );
        let (_, by_album) = self.credits(page.iter().map(|row| (None, Some(&row.1)))).await?;
        let line = |(added_at, album): (Option<At>, AlbumRow)| AlbumLine {
            added_at: added_at.map(DateTime::from),
            album: album.facts(&by_album),
        };
        Ok(page.into_iter().map(line).collect())
    }

    /// Followed artists, by id.
    pub async fn artists(
        &mut self,
        account: AccountId,
        since: Option<DateTime<Utc>>,
        after: Option<&ArtistLine>,
    ) -> Result<Vec<ArtistLine>, StoreError> {
        use followed_artists as followed;
        let after = after.map_or("", |line| line.id.as_str());
        let since = At::from(since.unwrap_or(DateTime::UNIX_EPOCH));
        type Row = (At, String, String, Option<String>, Option<String>);
        let page: Vec<Row> = with_conn!(&mut self.conn, |c| {
            followed::table
                .inner_join(artists::table.on(artists::id.eq(followed::artist_id)))
                .filter(followed::account_id.eq(account.0))
                .filter(followed::removed_at.is_null())
                .filter(followed::first_seen_at.ge(since))
                .filter(followed::artist_id.gt(after))
                .order(followed::artist_id)
                .limit(PAGE_LEN)
                .select((followed::first_seen_at, artists::id, artists::name, artists::genres, artists::image_url))
                .load(c)
                .await
        })?;
        let line = |(first_seen_at, id, name, genres, image_url): (At, _, _, _, _)| ArtistLine {
            first_seen_at: first_seen_at.into(),
            id,
            name,
            genres,
            image_url,
        };
        Ok(page.into_iter().map(line).collect())
    }

    /// All playlists, in the person's order.
    pub async fn playlists(&mut self, account: AccountId) -> Result<Vec<PlaylistLine>, StoreError> {
        Ok(with_conn!(&mut self.conn, |c| {
            library_playlists::table
                .inner_join(playlists::table.on(playlists::id.eq(library_playlists::playlist_id)))
                .filter(library_playlists::account_id.eq(account.0))
                .filter(library_playlists::removed_at.is_null())
                .order((library_playlists::position, playlists::id))
                .select((
                    library_playlists::position,
                    playlists::id,
                    playlists::name,
                    playlists::description,
                    playlists::owner_id,
                    playlists::owner_name,
                    playlists::public,
                    playlists::collaborative,
                    playlists::total_items,
                ))
                .load(c)
                .await
        })?)
    }

    /// What stands in a playlist, in its order, behind a place.
    pub async fn items(&mut self, playlist: &str, after: Option<i64>) -> Result<Vec<TrackLine>, StoreError> {
        use playlist_items::{added_at, added_by, name, playlist_id, position, table, track_id, uri};
        type Row = (
            (i64, Option<String>, Option<String>, Option<String>, Option<At>, Option<String>),
            Option<TrackRow>,
            Option<AlbumRow>,
        );
        let page: Vec<Row> = with_conn!(&mut self.conn, |c| {
            table
                .left_join(tracks::table.on(track_id.eq(tracks::id.nullable())))
                .left_join(albums::table.on(tracks::album_id.eq(albums::id.nullable())))
                .filter(playlist_id.eq(playlist))
                .filter(position.gt(after.unwrap_or(-1)))
                .order(position)
                .limit(PAGE_LEN)
                .select((
                    (position, uri, track_id, name, added_at, added_by),
                    track_columns!().nullable(),
                    album_columns!().nullable(),
                ))
                .load(c)
                .await
        })?;
        let (by_track, by_album) = self.credits(page.iter().map(|row| (row.0.2.as_ref(), row.2.as_ref()))).await?;
        let line = |((place, own_uri, id, own_name, at, by), track, album): Row| {
            let mut track = facts(id, track, album, &by_track, &by_album);
            // The item's own name is the one that it had when the playlist was read.
            track.name = own_name.or(track.name);
            TrackLine { added_at: at.map(DateTime::from), added_by: by, position: Some(place), uri: own_uri, track }
        };
        Ok(page.into_iter().map(line).collect())
    }

    /// The artists of a page of tracks and of their albums.
    async fn credits<'a>(
        &mut self,
        of: impl Iterator<Item = (Option<&'a String>, Option<&'a AlbumRow>)>,
    ) -> Result<(Credits, Credits), StoreError> {
        let (tracks, albums): (Vec<_>, Vec<_>) = of.unzip();
        let tracks: Vec<String> = tracks.into_iter().flatten().cloned().collect();
        let mut albums: Vec<String> = albums.into_iter().flatten().map(|album| album.id.clone()).collect();
        albums.sort_unstable();
        albums.dedup();
        let of_tracks: Vec<(String, String)> = {
            use track_artists::{artist_id, position, table, track_id};
            let ids = tracks;
            load!(
                &mut self.conn,
                table.filter(track_id.eq_any(ids)).order((track_id, position)).select((track_id, artist_id))
            )?
        };
        let of_albums: Vec<(String, String)> = {
            use album_artists::{album_id, artist_id, position, table};
            let ids = albums;
            load!(
                &mut self.conn,
                table.filter(album_id.eq_any(ids)).order((album_id, position)).select((album_id, artist_id))
            )?
        };
        self.learn(of_tracks.iter().chain(&of_albums).map(|(_, artist)| artist)).await?;
        Ok((self.named(of_tracks), self.named(of_albums)))
    }

    /// Looks up the artists that have not been met yet.
    async fn learn(&mut self, ids: impl Iterator<Item = &String> + Clone) -> Result<(), StoreError> {
        if self.artists.len() >= ARTISTS_MAX {
            self.artists.clear();
        }
        let mut unknown: Vec<String> = ids.filter(|id| !self.artists.contains_key(*id)).cloned().collect();
        unknown.sort_unstable();
        unknown.dedup();
        if !unknown.is_empty() {
            let found: Vec<(String, String)> = load!(
                &mut self.conn,
                artists::table.filter(artists::id.eq_any(unknown)).select((artists::id, artists::name))
            )?;
            self.artists.extend(found);
        }
        Ok(())
    }

    fn named(&self, credits: Vec<(String, String)>) -> Credits {
        let mut named = Credits::new();
        for (item, id) in credits {
            if let Some(name) = self.artists.get(&id) {
                named.entry(item).or_default().push(ArtistLink { id, name: name.clone() });
            }
        }
        named
    }
}

fn facts(
    id: Option<String>,
    track: Option<TrackRow>,
    album: Option<AlbumRow>,
    by_track: &Credits,
    by_album: &Credits,
) -> TrackFacts {
    let artists = id.as_ref().and_then(|id| by_track.get(id)).cloned().unwrap_or_default();
    let album = album.map(|album| album.facts(by_album));
    match track {
        Some(TrackRow { uri: _, name, disc_number, track_number, duration_ms, explicit, isrc }) => {
            let name = Some(name).filter(|name| !name.is_empty());
            TrackFacts { id, name, artists, album, disc_number, track_number, duration_ms, explicit, isrc }
        }
        None => TrackFacts { id, artists, album, ..TrackFacts::default() },
    }
}

/// A local file is called by its URI.
fn uri_of(id: &str, uri: Option<&str>) -> String {
    match uri {
        Some(uri) => uri.to_owned(),
        None if id.starts_with("spotify:") => id.to_owned(),
        None => format!("spotify:track:{id}"),
    }
}
