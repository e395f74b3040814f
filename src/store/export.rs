//! A library and a listening history as they are exported to other tools: all that is known of each row, in pages, as
//! of one moment. One transaction reads it, which blocks nobody.

use super::schema::{
    artists, followed_artists, library_playlists, playlist_items, playlists, saved_albums, saved_tracks,
};
use super::types::At;
use super::{Conn, Store, StoreError, with_conn};
use crate::model::AccountId;
use chrono::{DateTime, Utc};
use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, QueryDsl, Queryable, Selectable, SelectableHelper};
use diesel_async::{AnsiTransactionManager, RunQueryDsl};
use facts::{Artists, Known};
use serde::Serialize;
use std::collections::HashSet;

/// Rows per page: about a megabyte.
const PAGE_LEN: i64 = 2_000;

/// Most removed tracks that are remembered: some megabytes.
const REMOVED_MAX: usize = 50_000;

/// A saved track, or an item of a playlist.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TrackLine {
    pub added_at: Option<DateTime<Utc>>,
    /// The Spotify id of the person who added it to the playlist.
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
    pub album: Shared<AlbumFacts>,
}

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Serialize)]
pub struct ArtistLine {
    pub first_seen_at: DateTime<Utc>,
    pub id: String,
    pub name: String,
    pub genres: Option<String>,
    pub image_url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Serialize)]
#[diesel(table_name = playlists)]
pub struct PlaylistLine {
    #[diesel(select_expression = library_playlists::position)]
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

/// Loads the rows of a query that borrows nothing. diesel-async copies each value of SQLite once more on its way to
/// another thread; this makes them rows on the thread that reads them.
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

mod facts;
mod listens;
mod spoken;
mod streams;

pub use facts::{AlbumFacts, Shared, TrackFacts};
pub use listens::{ListenKey, ListenLine};
pub use spoken::SpokenLine;

/// An export: the database as it was at one moment.
pub struct Export {
    conn: Conn,
    artists: Artists,
    /// The removed tracks of an account, once they are asked for.
    removed: Option<(AccountId, Removed)>,
}

/// Tracks that are no longer saved. If there are few, a page of the others is read from an index alone.
enum Removed {
    Few(HashSet<String>),
    Many,
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
        Ok(Export { conn, artists: Artists::new(), removed: None })
    }
}

impl Export {
    /// Ends the transaction.
    pub async fn finish(mut self) -> Result<(), StoreError> {
        Ok(self.conn.commit().await?)
    }

    /// Saved tracks, newest first, after the last of the page before. An empty page is the end.
    pub async fn tracks(
        &mut self,
        account: AccountId,
        since: Option<DateTime<Utc>>,
        after: Option<&TrackLine>,
    ) -> Result<Vec<TrackLine>, StoreError> {
        let after = after.map(|line| (line.added_at.map(At::from), line.track.id.clone().unwrap_or_default()));
        let page = self.saved(account, since.map(At::from), after).await?;
        let ids: Vec<&str> = page.iter().map(|(id, _)| id.as_str()).collect();
        let known = self.tracks_of(&ids).await?;
        let lines = page.iter().zip(known).filter_map(|((id, added_at), known)| {
            let known = known?;
            Some(TrackLine {
                added_at: added_at.map(DateTime::from),
                added_by: None,
                position: None,
                uri: Some(uri_of(id, known.uri)),
                track: known.facts,
            })
        });
        Ok(lines.collect())
    }

    /// A page of ids, newest first, and when each was saved.
    async fn saved(
        &mut self,
        account: AccountId,
        since: Option<At>,
        mut after: Option<(Option<At>, String)>,
    ) -> Result<Vec<(String, Option<At>)>, StoreError> {
        use saved_tracks::{account_id, added_at, removed_at, table, track_id};
        self.find_removed(account).await?;
        let Some((_, Removed::Few(removed))) = &self.removed else {
            let after = after.as_ref().map(|(at, id)| (*at, id.as_str()));
            let kept = table.filter(account_id.eq(account.0)).filter(removed_at.is_null());
            return Ok(newest_first!(&mut self.conn, kept, added_at, track_id, (track_id, added_at), after, since));
        };
        loop {
            let mark = after.as_ref().map(|(at, id)| (*at, id.as_str()));
            let all = table.filter(account_id.eq(account.0));
            let mut page: Vec<(String, Option<At>)> =
                newest_first!(&mut self.conn, all, added_at, track_id, (track_id, added_at), mark, since);
            let last = page.last().map(|(id, at)| (*at, id.clone()));
            page.retain(|(id, _)| !removed.contains(id));
            // An empty page means the end, so a page of nothing but removed tracks is skipped.
            if !page.is_empty() || last.is_none() {
                return Ok(page);
            }
            after = last;
        }
    }

    async fn find_removed(&mut self, account: AccountId) -> Result<(), StoreError> {
        use saved_tracks::{account_id, removed_at, table, track_id};
        if self.removed.as_ref().is_some_and(|(of, _)| *of == account) {
            return Ok(());
        }
        let limit = i64::try_from(REMOVED_MAX + 1).unwrap_or(i64::MAX);
        let found: Vec<String> = with_conn!(&mut self.conn, |c| {
            let gone = table.filter(account_id.eq(account.0)).filter(removed_at.is_not_null());
            gone.select(track_id).limit(limit).load(c).await
        })?;
        let removed = if found.len() > REMOVED_MAX { Removed::Many } else { Removed::Few(found.into_iter().collect()) };
        self.removed = Some((account, removed));
        Ok(())
    }

    pub async fn albums(
        &mut self,
        account: AccountId,
        since: Option<DateTime<Utc>>,
        after: Option<&AlbumLine>,
    ) -> Result<Vec<AlbumLine>, StoreError> {
        use saved_albums::{account_id, added_at, album_id, removed_at, table};
        let page: Vec<(String, Option<At>)> = newest_first!(
            &mut self.conn,
            table.filter(account_id.eq(account.0)).filter(removed_at.is_null()),
            added_at,
            album_id,
            (album_id, added_at),
            after.map(|line| (line.added_at.map(At::from), line.album.id.as_str())),
            since.map(At::from)
        );
        let ids: Vec<&str> = page.iter().map(|(id, _)| id.as_str()).collect();
        let known = self.albums_of(&ids).await?;
        let lines = page
            .iter()
            .zip(known)
            .filter_map(|((_, at), album)| Some(AlbumLine { added_at: at.map(DateTime::from), album: album? }));
        Ok(lines.collect())
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
        Ok(with_conn!(&mut self.conn, |c| {
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
        })?)
    }

    /// All playlists, in the person's order.
    pub async fn playlists(&mut self, account: AccountId) -> Result<Vec<PlaylistLine>, StoreError> {
        Ok(with_conn!(&mut self.conn, |c| {
            library_playlists::table
                .inner_join(playlists::table.on(playlists::id.eq(library_playlists::playlist_id)))
                .filter(library_playlists::account_id.eq(account.0))
                .filter(library_playlists::removed_at.is_null())
                .order((library_playlists::position, playlists::id))
                .select(PlaylistLine::as_select())
                .load(c)
                .await
        })?)
    }

    /// The items of a playlist after a position, in its order.
    pub async fn items(&mut self, playlist: &str, after: Option<i64>) -> Result<Vec<TrackLine>, StoreError> {
        type Row = (i64, Option<String>, Option<String>, Option<String>, Option<DateTime<Utc>>, Option<String>);
        let page: Vec<Row> = with_conn!(&mut self.conn, |c| {
            use playlist_items::{added_at, added_by, name, playlist_id, position, table, track_id, uri};
            let behind = table.filter(playlist_id.eq(playlist)).filter(position.gt(after.unwrap_or(-1)));
            let columns = (position, uri, track_id, name, added_at, added_by);
            behind.order(position).limit(PAGE_LEN).select(columns).load(c).await
        })?;
        let ids: Vec<&str> = page.iter().filter_map(|(_, _, id, ..)| id.as_deref()).collect();
        let mut known = self.tracks_of(&ids).await?.into_iter();
        let line = |(place, uri, id, own_name, added_at, added_by): Row| {
            let mut track = facts_of(id, &mut known);
            // The item's own name is the one it had when the playlist was read.
            track.name = own_name.or(track.name);
            TrackLine { added_at, added_by, position: Some(place), uri, track }
        };
        Ok(page.into_iter().map(line).collect())
    }
}

/// What is known of a row's track. `known` has an entry for each row with an id, in their order.
fn facts_of(id: Option<String>, known: &mut impl Iterator<Item = Option<Known>>) -> TrackFacts {
    let Some(id) = id else { return TrackFacts::default() };
    match known.next().flatten() {
        Some(known) => known.facts,
        None => TrackFacts { id: Some(id), ..TrackFacts::default() },
    }
}

/// A local file is identified by its URI.
fn uri_of(id: &str, uri: Option<String>) -> String {
    match uri {
        Some(uri) => uri,
        None if id.starts_with("spotify:") => id.to_owned(),
        None => format!("spotify:track:{id}"),
    }
}
