//! What the catalogue knows of the tracks and albums of a page. Their ids are sent to the database in one list, and the
//! rows come back with the index of their id in it: one statement for each table, however long the page is.

use super::Export;
use crate::store::browse::ArtistLink;
use crate::store::{Conn, StoreError};
use diesel::dsl::sql;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text};
use diesel_async::RunQueryDsl;
use serde::{Serialize, Serializer};
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

/// Most artists that are remembered: some megabytes.
const ARTISTS_MAX: usize = 30_000;

/// A value that many rows share, held once.
#[derive(Debug, PartialEq, Eq)]
pub struct Shared<T>(Arc<T>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared(Arc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Shared(Arc::new(value))
    }
}

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// What is known of a track.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TrackFacts {
    pub id: Option<String>,
    pub name: Option<String>,
    pub artists: Vec<Shared<ArtistLink>>,
    pub album: Option<Shared<AlbumFacts>>,
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
    pub artists: Vec<Shared<ArtistLink>>,
    pub album_type: Option<String>,
    pub release_date: Option<String>,
    pub total_tracks: Option<i32>,
    pub upc: Option<String>,
    pub image_url: Option<String>,
}

/// A track of the catalogue.
pub(super) struct Known {
    pub facts: TrackFacts,
    /// For a local file.
    pub uri: Option<String>,
    /// Whether Spotify itself has returned it.
    pub is_of_api: bool,
}

/// Artists met so far: a library names the same ones again and again.
pub(super) type Artists = HashMap<String, Shared<ArtistLink>>;

type TrackRow = (
    (Option<String>, String, Option<String>, Option<i32>),
    (Option<i32>, Option<i32>, Option<bool>, Option<String>, String),
);
type AlbumRow = (String, Option<String>, Option<String>, Option<i32>, Option<String>, Option<String>);

/// Loads `$columns` of `$joined`, with the index in `$ids` that each row belongs to. SQLite goes through the list in
/// its order, PostgreSQL in any.
macro_rules! look_up {
    ($conn:expr, $types:ty, $ids:expr, $columns:literal, $joined:expr) => {{
        let (ids, joined): (&[&str], &str) = ($ids, $joined);
        match $conn {
            _ if ids.is_empty() => Ok(Vec::new()),
            Conn::Sqlite(c) => {
                let list = serde_json::to_string(ids).expect("texts are JSON");
                let query = sql::<(BigInt, $types)>(concat!("SELECT j.key, ", $columns, " FROM json_each("))
                    .bind::<Text, _>(list)
                    .sql(&format!(") AS j CROSS JOIN {joined}"));
                c.spawn_blocking(move |c| diesel::RunQueryDsl::load(query, c)).await
            }
            Conn::Pg(c) => {
                let query = sql::<(BigInt, $types)>(concat!("SELECT j.key - 1, ", $columns, " FROM unnest("))
                    .bind::<Array<Text>, _>(ids)
                    .sql(&format!(") WITH ORDINALITY AS j (value, key) JOIN {joined}"));
                query.load(&mut **c).await
            }
        }
    }};
}

impl Export {
    /// What is known of each of these tracks, in their order.
    pub(super) async fn tracks_of(&mut self, ids: &[&str]) -> Result<Vec<Option<Known>>, StoreError> {
        type Types = (
            (Nullable<Text>, Text, Nullable<Text>, Nullable<Integer>),
            (Nullable<Integer>, Nullable<Integer>, Nullable<Bool>, Nullable<Text>, Text),
        );
        let rows: Vec<(i64, TrackRow)> = look_up!(
            &mut self.conn,
            Types,
            ids,
            "t.uri, t.name, t.album_id, t.disc_number, t.track_number, t.duration_ms, t.explicit, t.isrc, t.source",
            "tracks t ON t.id = j.value"
        )?;
        let mut artists = self.credited(ids, "track_artists c ON c.track_id = j.value").await?;
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut albums: Vec<&str> = Vec::new();
        for id in rows.iter().filter_map(|(_, ((_, _, album_id, _), _))| album_id.as_deref()) {
            places.entry(id).or_insert_with(|| {
                albums.push(id);
                albums.len() - 1
            });
        }
        let albums = self.albums_of(&albums).await?;
        let known = |place: usize, row: &TrackRow| {
            let ((uri, name, album_id, disc_number), (track_number, duration_ms, explicit, isrc, source)) = row;
            let facts = TrackFacts {
                id: Some(ids[place].to_owned()),
                name: Some(name.clone()).filter(|name| !name.is_empty()),
                artists: std::mem::take(&mut artists[place]),
                album: album_id.as_deref().and_then(|id| albums[places[id]].clone()),
                disc_number: *disc_number,
                track_number: *track_number,
                duration_ms: *duration_ms,
                explicit: *explicit,
                isrc: isrc.clone(),
            };
            Known { facts, uri: uri.clone(), is_of_api: source == "api" }
        };
        Ok(in_places(ids.len(), rows.iter().map(|(place, row)| (*place, row)), known))
    }

    /// What is known of each of these albums, in their order.
    pub(super) async fn albums_of(&mut self, ids: &[&str]) -> Result<Vec<Option<Shared<AlbumFacts>>>, StoreError> {
        type Types = (Text, Nullable<Text>, Nullable<Text>, Nullable<Integer>, Nullable<Text>, Nullable<Text>);
        let rows: Vec<(i64, AlbumRow)> = look_up!(
            &mut self.conn,
            Types,
            ids,
            "b.name, b.album_type, b.release_date, b.total_tracks, b.upc, b.image_url",
            "albums b ON b.id = j.value"
        )?;
        let mut artists = self.credited(ids, "album_artists c ON c.album_id = j.value").await?;
        let known = |place: usize, row: AlbumRow| {
            let (name, album_type, release_date, total_tracks, upc, image_url) = row;
            let artists = std::mem::take(&mut artists[place]);
            let id = ids[place].to_owned();
            AlbumFacts { id, name, artists, album_type, release_date, total_tracks, upc, image_url }.into()
        };
        Ok(in_places(ids.len(), rows, known))
    }

    /// The artists of each of these tracks or albums.
    async fn credited(&mut self, ids: &[&str], joined: &str) -> Result<Vec<Vec<Shared<ArtistLink>>>, StoreError> {
        let mut credits: Vec<(i64, (i64, String))> =
            look_up!(&mut self.conn, (BigInt, Text), ids, "c.position, c.artist_id", joined)?;
        credits.sort_unstable_by_key(|(place, (position, _))| (*place, *position));
        self.learn(credits.iter().map(|(_, (_, artist))| artist.as_str())).await?;
        let mut credited: Vec<Vec<Shared<ArtistLink>>> = (0..ids.len()).map(|_| Vec::new()).collect();
        for (place, (_, artist)) in &credits {
            let place = usize::try_from(*place).unwrap_or(usize::MAX);
            if let (Some(slot), Some(artist)) = (credited.get_mut(place), self.artists.get(artist)) {
                slot.push(artist.clone());
            }
        }
        Ok(credited)
    }

    /// Looks up the artists that have not been met yet.
    async fn learn(&mut self, ids: impl Iterator<Item = &str> + Clone) -> Result<(), StoreError> {
        if self.artists.len() >= ARTISTS_MAX {
            self.artists.clear();
        }
        let mut unknown: Vec<&str> = ids.filter(|id| !self.artists.contains_key(*id)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        let found: Vec<(i64, String)> =
            look_up!(&mut self.conn, Text, &unknown, "a.name", "artists a ON a.id = j.value")?;
        for (place, name) in found {
            if let Some(id) = usize::try_from(place).ok().and_then(|place| unknown.get(place)) {
                self.artists.insert((*id).to_owned(), ArtistLink { id: (*id).to_owned(), name }.into());
            }
        }
        Ok(())
    }
}

/// The values made of each row, at their indexes.
fn in_places<R, T>(
    len: usize,
    rows: impl IntoIterator<Item = (i64, R)>,
    mut make: impl FnMut(usize, R) -> T,
) -> Vec<Option<T>> {
    let mut placed: Vec<Option<T>> = (0..len).map(|_| None).collect();
    for (place, row) in rows {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        if let Some(slot) = placed.get_mut(place) {
            *slot = Some(make(place, row));
        }
    }
    placed
}
