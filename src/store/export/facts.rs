//! What the catalogue knows of the tracks and albums of a page. Their ids go to the database in one list, and the rows come
//! back with the place that their id has in it: one statement for each table, however long the page is.

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

/// What many rows have in common, held once.
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
    /// Of a local file.
    pub uri: Option<String>,
    /// Whether Spotify itself has told of it.
    pub is_of_api: bool,
}

/// Artists that were met: a library names the same ones again and again.
pub(super) type Artists = HashMap<String, Shared<ArtistLink>>;

type TrackRow = (
    (i64, Option<String>, String, Option<String>, Option<i32>),
    (Option<i32>, Option<i32>, Option<bool>, Option<String>, String),
);
type AlbumRow = ((i64, String, Option<String>, Option<String>), (Option<i32>, Option<String>, Option<String>));
/// The place of what is credited in its list, the place of the artist among those, and the artist.
type CreditRow = (i64, i64, String);

/// Loads `$columns` of `$joined`, with the place in `$ids` that each row belongs to. SQLite goes through the list in its
/// order, and PostgreSQL as it likes.
macro_rules! look_up {
    ($conn:expr, $types:ty, $ids:expr, $columns:literal, $joined:literal) => {{
        let ids: &[&str] = $ids;
        match $conn {
            Conn::Sqlite(c) => {
                let list = serde_json::to_string(ids).expect("texts are JSON");
                let query = sql::<$types>(concat!("SELECT j.key, ", $columns, " FROM json_each("))
                    .bind::<Text, _>(list)
                    .sql(concat!(") AS j CROSS JOIN ", $joined));
                c.spawn_blocking(move |c| diesel::RunQueryDsl::load(query, c)).await
            }
            Conn::Pg(c) => {
                let query = sql::<$types>(concat!("SELECT j.key - 1, ", $columns, " FROM unnest("))
                    .bind::<Array<Text>, _>(ids)
                    .sql(concat!(") WITH ORDINALITY AS j (value, key) JOIN ", $joined));
                query.load(&mut **c).await
            }
        }
    }};
}

impl Export {
    /// What is known of each of these tracks, in their order.
    pub(super) async fn tracks_of(&mut self, ids: &[&str]) -> Result<Vec<Option<Known>>, StoreError> {
        type Types = (
            (BigInt, Nullable<Text>, Text, Nullable<Text>, Nullable<Integer>),
            (Nullable<Integer>, Nullable<Integer>, Nullable<Bool>, Nullable<Text>, Text),
        );
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<TrackRow> = look_up!(
            &mut self.conn,
            Types,
            ids,
            "t.uri, t.name, t.album_id, t.disc_number, t.track_number, t.duration_ms, t.explicit, t.isrc, t.source",
            "tracks t ON t.id = j.value"
        )?;
        let credits: Vec<CreditRow> = look_up!(
            &mut self.conn,
            (BigInt, BigInt, Text),
            ids,
            "c.position, c.artist_id",
            "track_artists c ON c.track_id = j.value"
        )?;
        let mut artists = self.credited(ids.len(), credits).await?;
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut albums: Vec<&str> = Vec::new();
        for id in rows.iter().filter_map(|((_, _, _, album_id, _), _)| album_id.as_deref()) {
            places.entry(id).or_insert_with(|| {
                albums.push(id);
                albums.len() - 1
            });
        }
        let albums = self.albums_of(&albums).await?;
        let mut known: Vec<Option<Known>> = ids.iter().map(|_| None).collect();
        for ((place, uri, name, album_id, disc_number), (track_number, duration_ms, explicit, isrc, source)) in &rows {
            let place = usize::try_from(*place).unwrap_or(usize::MAX);
            let Some(slot) = known.get_mut(place) else { continue };
            let album = album_id.as_deref().and_then(|id| albums[places[id]].clone());
            let facts = TrackFacts {
                id: Some(ids[place].to_owned()),
                name: Some(name.clone()).filter(|name| !name.is_empty()),
                artists: std::mem::take(&mut artists[place]),
                album,
                disc_number: *disc_number,
                track_number: *track_number,
                duration_ms: *duration_ms,
                explicit: *explicit,
                isrc: isrc.clone(),
            };
            *slot = Some(Known { facts, uri: uri.clone(), is_of_api: source == "api" });
        }
        Ok(known)
    }

    /// What is known of each of these albums, in their order.
    pub(super) async fn albums_of(&mut self, ids: &[&str]) -> Result<Vec<Option<Shared<AlbumFacts>>>, StoreError> {
        type Types =
            ((BigInt, Text, Nullable<Text>, Nullable<Text>), (Nullable<Integer>, Nullable<Text>, Nullable<Text>));
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<AlbumRow> = look_up!(
            &mut self.conn,
            Types,
            ids,
            "b.name, b.album_type, b.release_date, b.total_tracks, b.upc, b.image_url",
            "albums b ON b.id = j.value"
        )?;
        let credits: Vec<CreditRow> = look_up!(
            &mut self.conn,
            (BigInt, BigInt, Text),
            ids,
            "c.position, c.artist_id",
            "album_artists c ON c.album_id = j.value"
        )?;
        let mut artists = self.credited(ids.len(), credits).await?;
        let mut known: Vec<Option<Shared<AlbumFacts>>> = ids.iter().map(|_| None).collect();
        for ((place, name, album_type, release_date), (total_tracks, upc, image_url)) in rows {
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            let Some(slot) = known.get_mut(place) else { continue };
            let artists = std::mem::take(&mut artists[place]);
            let id = ids[place].to_owned();
            let facts = AlbumFacts { id, name, artists, album_type, release_date, total_tracks, upc, image_url };
            *slot = Some(facts.into());
        }
        Ok(known)
    }

    /// The artists of each of `len` tracks or albums.
    async fn credited(
        &mut self,
        len: usize,
        mut credits: Vec<CreditRow>,
    ) -> Result<Vec<Vec<Shared<ArtistLink>>>, StoreError> {
        credits.sort_unstable_by_key(|(place, position, _)| (*place, *position));
        self.learn(credits.iter().map(|(_, _, artist)| artist.as_str())).await?;
        let mut credited: Vec<Vec<Shared<ArtistLink>>> = (0..len).map(|_| Vec::new()).collect();
        for (place, _, artist) in &credits {
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
        if unknown.is_empty() {
            return Ok(());
        }
        let found: Vec<(i64, String)> =
            look_up!(&mut self.conn, (BigInt, Text), &unknown, "a.name", "artists a ON a.id = j.value")?;
        for (place, name) in found {
            if let Some(id) = usize::try_from(place).ok().and_then(|place| unknown.get(place)) {
                self.artists.insert((*id).to_owned(), ArtistLink { id: (*id).to_owned(), name }.into());
            }
        }
        Ok(())
    }
}
