//! The shared catalogue: tracks, albums and artists, their credits, and spoken items.
//!
//! A batch mentions one album many times and one artist even more often. Mentions are collected by id, the fuller one
//! wins, and each table is written in the order of its keys: PostgreSQL refuses a batch that changes one row twice, and
//! two processes that lock rows in the same order cannot deadlock.

use super::by_sql::of_ids;
use super::keyed::Keyed;
use super::rows::{AlbumArtistRow, AlbumRow, ArtistRow, TrackArtistRow, TrackRow};
use super::schema::{album_artists, albums, track_artists, tracks};
use super::spoken_rows::{AudiobookRow, EpisodeRow, ShowRow};
use super::types::{At, Words};
use super::upsert::Row;
use super::{Conn, StoreError, with_conn};
use crate::model::{Album, Artist, ArtistRef, Audiobook, EntityType, Episode, PerEntity, Show, Track};
use diesel::sql_types::Text;
use diesel::{ExpressionMethods, NullableExpressionMethods, QueryDsl, QueryableByName};
use diesel_async::RunQueryDsl;
use std::collections::{HashMap, HashSet};

/// What a batch says about the catalogue.
#[derive(Debug)]
pub(super) struct Catalogue<'a> {
    at: At,
    artists: Keyed<&'a str, ArtistRow<'a>>,
    albums: Keyed<&'a str, (AlbumRow<'a>, &'a [ArtistRef])>,
    tracks: Keyed<&'a str, (TrackRow<'a>, &'a [ArtistRef])>,
    shows: Keyed<&'a str, ShowRow<'a>>,
    episodes: Keyed<&'a str, EpisodeRow<'a>>,
    audiobooks: Keyed<&'a str, AudiobookRow<'a>>,
}

/// Ids of the rows that the batch added or changed.
pub(super) type Written = PerEntity<HashSet<String>>;

impl<'a> Catalogue<'a> {
    pub fn new(at: At) -> Catalogue<'a> {
        Catalogue {
            at,
            artists: Keyed::default(),
            albums: Keyed::default(),
            tracks: Keyed::default(),
            shows: Keyed::default(),
            episodes: Keyed::default(),
            audiobooks: Keyed::default(),
        }
    }

    pub fn add_track(&mut self, track: &'a Track) {
        self.mention(&track.artists);
        if let Some(album) = &track.album {
            self.add_album(album);
        }
        insert_listed(&mut self.tracks, &track.id, TrackRow::new(track, self.at), &track.artists);
    }

    /// The tracks that came along with an album.
    pub fn add_tracks_on(&mut self, album: &'a Album, tracks: &'a [Track]) {
        for track in tracks {
            self.mention(&track.artists);
            let row = TrackRow { album_id: Some(Words(&album.id)), ..TrackRow::new(track, self.at) };
            insert_listed(&mut self.tracks, &track.id, row, &track.artists);
        }
    }

    pub fn add_album(&mut self, album: &'a Album) {
        self.mention(&album.artists);
        insert_listed(&mut self.albums, &album.id, AlbumRow::new(album, self.at), &album.artists);
    }

    pub fn add_artist(&mut self, artist: &'a Artist) {
        insert(&mut self.artists, &artist.id, ArtistRow::full(artist, self.at));
    }

    pub fn add_show(&mut self, show: &'a Show) {
        insert(&mut self.shows, &show.id, ShowRow::new(show, self.at));
    }

    pub fn add_episode(&mut self, episode: &'a Episode) {
        if let Some(show) = &episode.show {
            self.add_show(show);
        }
        self.episodes.insert(&episode.id, EpisodeRow::new(episode, self.at));
    }

    pub fn add_audiobook(&mut self, audiobook: &'a Audiobook) {
        self.audiobooks.insert(&audiobook.id, AudiobookRow::new(audiobook, self.at));
    }

    fn mention(&mut self, artists: &'a [ArtistRef]) {
        for artist in artists.iter().filter(|artist| !artist.is_unread()) {
            insert(&mut self.artists, &artist.id, ArtistRow::mentioned(artist, self.at));
        }
    }

    /// Writes what differs from the database, parents before children.
    pub async fn write(self, conn: &mut Conn) -> Result<Written, StoreError> {
        let artists = self.artists.into_rows();
        let (albums, album_lists): (Vec<_>, Vec<_>) = self.albums.into_rows().into_iter().unzip();
        let (mut tracks, track_lists): (Vec<TrackRow<'_>>, Vec<_>) = self.tracks.into_rows().into_iter().unzip();
        let mut album_links: Vec<_> = links(albums.iter().map(|row| row.id).zip(album_lists))
            .map(|(album_id, artist_id, position)| AlbumArtistRow { album_id, artist_id, position })
            .collect();
        let mut track_links: Vec<_> = links(tracks.iter().map(|row| row.id).zip(track_lists))
            .map(|(track_id, artist_id, position)| TrackArtistRow { track_id, artist_id, position })
            .collect();

        let mut written = Written::default();
        (written[EntityType::Artists], _) = ids(ArtistRow::upsert(conn, &artists).await?);
        let (mut changed, shrunk) = ids(AlbumRow::upsert(conn, &albums).await?);
        if conn.is_careful() {
            // Nothing may refer to a row that is not there.
            let refusals = conn.refusals();
            let (no_artists, no_albums) = (refusals.left_out("artists"), refusals.left_out("albums"));
            album_links.retain(|link| !no_artists.contains(link.artist_id.0) && !no_albums.contains(link.album_id.0));
            track_links.retain(|link| !no_artists.contains(link.artist_id.0));
            for track in &mut tracks {
                track.album_id = track.album_id.filter(|album| !no_albums.contains(album.0));
            }
        }
        changed.extend(AlbumArtistRow::upsert(conn, &album_links).await?.into_iter().map(|(id, _)| id));
        written[EntityType::Albums] = changed;
        forget_album_artists_beyond_the_list(conn, &shrunk).await?;
        let (mut changed, shrunk) = ids(TrackRow::upsert(conn, &tracks).await?);
        if conn.is_careful() {
            let refusals = conn.refusals();
            let no_tracks = refusals.left_out("tracks");
            track_links.retain(|link| !no_tracks.contains(link.track_id.0));
        }
        changed.extend(TrackArtistRow::upsert(conn, &track_links).await?.into_iter().map(|(id, _)| id));
        written[EntityType::Tracks] = changed;
        forget_track_artists_beyond_the_list(conn, &shrunk).await?;

        let shows = self.shows.into_rows();
        (written[EntityType::Shows], _) = ids(ShowRow::upsert(conn, &shows).await?);
        let mut episodes = self.episodes.into_rows();
        if conn.is_careful() {
            let refusals = conn.refusals();
            let no_shows = refusals.left_out("shows");
            for episode in &mut episodes {
                episode.show_id = episode.show_id.filter(|show| !no_shows.contains(show.0));
            }
        }
        (written[EntityType::Episodes], _) = ids(EpisodeRow::upsert(conn, &episodes).await?);
        let audiobooks = self.audiobooks.into_rows();
        (written[EntityType::Audiobooks], _) = ids(AudiobookRow::upsert(conn, &audiobooks).await?);
        Ok(written)
    }
}

fn insert<'a, R: Row>(rows: &mut Keyed<&'a str, R>, id: &'a str, row: R) {
    if let Some((known, row)) = rows.insert(id, row) {
        known.absorb(row);
    }
}

/// The same for rows with artists: the longer list wins.
fn insert_listed<'a, R: Row>(
    rows: &mut Keyed<&'a str, (R, &'a [ArtistRef])>,
    id: &'a str,
    row: R,
    artists: &'a [ArtistRef],
) {
    if let Some(((known, known_artists), (row, artists))) = rows.insert(id, (row, artists)) {
        known.absorb(row);
        if artists.len() > known_artists.len() {
            *known_artists = artists;
        }
    }
}

/// Who made what, and their positions in the list.
fn links<'a>(
    lists: impl Iterator<Item = (Words<'a>, &'a [ArtistRef])>,
) -> impl Iterator<Item = (Words<'a>, Words<'a>, i64)> {
    lists.flat_map(|(id, artists)| {
        let read = artists.iter().zip(0..).filter(|(artist, _)| !artist.is_unread());
        read.map(move |(artist, at)| (id, Words(&artist.id), at))
    })
}

/// The written rows, and those that existed before: only their lists can have become shorter.
fn ids(written: Vec<(String, i64)>) -> (HashSet<String>, Vec<String>) {
    let updated = written.iter().filter(|(_, rev)| *rev > 1).map(|(id, _)| id.clone()).collect();
    (written.into_iter().map(|(id, _)| id).collect(), updated)
}

async fn forget_album_artists_beyond_the_list(conn: &mut Conn, shrunk: &[String]) -> Result<(), StoreError> {
    if !shrunk.is_empty() {
        with_conn!(conn, |c| {
            let len = albums::table.filter(albums::id.eq(album_artists::album_id)).select(albums::num_artists);
            let of_these = album_artists::table.filter(album_artists::album_id.eq_any(shrunk));
            let beyond = of_these.filter(album_artists::position.nullable().ge(len.single_value()));
            diesel::delete(beyond).execute(c).await
        })?;
    }
    Ok(())
}

async fn forget_track_artists_beyond_the_list(conn: &mut Conn, shrunk: &[String]) -> Result<(), StoreError> {
    if !shrunk.is_empty() {
        with_conn!(conn, |c| {
            let len = tracks::table.filter(tracks::id.eq(track_artists::track_id)).select(tracks::num_artists);
            let of_these = track_artists::table.filter(track_artists::track_id.eq_any(shrunk));
            let beyond = of_these.filter(track_artists::position.nullable().ge(len.single_value()));
            diesel::delete(beyond).execute(c).await
        })?;
    }
    Ok(())
}

/// Names of the catalogue, as far as they are known.
pub(super) async fn names_of(
    conn: &mut Conn,
    entity: EntityType,
    ids: &[String],
) -> Result<HashMap<String, String>, StoreError> {
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let names: Vec<Named> =
        of_ids(conn, &ids, |ids| format!("SELECT id, name FROM {entity} WHERE id IN ({ids}) AND name <> ''")).await?;
    Ok(names.into_iter().map(|Named { id, name }| (id, name)).collect())
}

/// Something by its id or URI, and what it is called.
#[derive(Debug, QueryableByName)]
pub(super) struct Named {
    #[diesel(sql_type = Text)]
    pub id: String,
    #[diesel(sql_type = Text)]
    pub name: String,
}
