//! Tracks that only an export mentions enter the catalogue in the export's own words, marked `export`: no request is
//! sent for them. Their albums and artists have names but no ids, so ids are made of the names, as for local files. A
//! sync that returns the track replaces all of it with Spotify's data.

use super::rows::{ExportAlbumRow, ExportArtistRow, ExportCreditRow, ExportTrackRow};
use crate::model::LOCAL;
use crate::model::stream::{Stream, StreamKind, TrackKeys};
use crate::store::keyed::Keyed;
use crate::store::schema::{artists, track_artists, tracks};
use crate::store::types::{At, Words};
use crate::store::upsert::upsert;
use crate::store::{Conn, StoreError, with_conn};
use diesel::{ExpressionMethods, JoinOnDsl, QueryDsl};
use diesel_async::RunQueryDsl;
use std::collections::{BTreeMap, HashMap, HashSet};

pub const TRACK: &str = "spotify:track:";

/// Longest id that is made of names: PostgreSQL's indexes hold no longer ones.
const LOCAL_ID_LEN_MAX: usize = 1000;

/// Most ids that are remembered as entered.
const ENTERED_MAX: usize = 100_000;

/// Ids of tracks known to be in the catalogue, as far as an import has met them.
#[derive(Debug, Default)]
pub struct Entered(HashSet<[u8; 22]>);

impl Entered {
    fn insert(&mut self, id: &str) -> bool {
        if self.0.len() >= ENTERED_MAX {
            self.0.clear();
        }
        id.as_bytes().try_into().is_ok_and(|id| self.0.insert(id))
    }
}

/// The names of a track.
struct Named<'a> {
    name: &'a str,
    artist: Option<(String, &'a str)>,
    album: Option<(String, &'a str)>,
}

/// Enters these streams of tracks, each with its id.
pub async fn enter<'a>(
    conn: &mut Conn,
    streams: impl Iterator<Item = (&'a str, &'a Stream)>,
    entered: &mut Entered,
    now: At,
) -> Result<(), StoreError> {
    let mut new: BTreeMap<&str, Named<'_>> = BTreeMap::new();
    for (id, stream) in streams {
        if entered.insert(id) {
            new.insert(id, Named::of(stream));
        }
    }
    if new.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = new.keys().copied().collect();
    let known: Vec<String> =
        with_conn!(conn, |c| tracks::table.filter(tracks::id.eq_any(&ids)).select(tracks::id).load(c).await)?;
    for id in &known {
        new.remove(id.as_str());
    }
    let (mut artists, mut albums) = (Keyed::default(), Keyed::default());
    let (mut tracks, mut credits) = (Vec::new(), Vec::new());
    for (id, named) in &new {
        let id = Words(id);
        if let Some((artist_id, name)) = &named.artist {
            let row = ExportArtistRow { id: Words(artist_id), name: Words(name), fetched_at: now };
            artists.replace(artist_id.as_str(), row);
            credits.push(ExportCreditRow { track_id: id, artist_id: Words(artist_id), position: 0 });
        }
        if let Some((album_id, name)) = &named.album {
            albums
                .replace(album_id.as_str(), ExportAlbumRow { id: Words(album_id), name: Words(name), fetched_at: now });
        }
        let album_id = named.album.as_ref().map(|(album_id, _)| Words(album_id));
        tracks.push(ExportTrackRow { id, name: Words(named.name), album_id, fetched_at: now, source: "export" });
    }
    upsert(conn, &artists.into_rows()).await?;
    upsert(conn, &albums.into_rows()).await?;
    upsert(conn, &tracks).await?;
    upsert(conn, &credits).await?;
    Ok(())
}

impl<'a> Named<'a> {
    fn of(stream: &'a Stream) -> Named<'a> {
        let creator = stream.creator.as_deref();
        let made = |names: String| Some(format!("{LOCAL}{names}")).filter(|id| id.len() <= LOCAL_ID_LEN_MAX);
        Named {
            name: stream.name.as_deref().unwrap_or_default(),
            artist: creator.and_then(|name| Some((made(name.to_owned())?, name))),
            album: stream
                .collection
                .as_deref()
                .and_then(|name| Some((made(format!("{}:{name}", creator.unwrap_or_default()))?, name))),
        }
    }
}

/// The URIs of titles that the catalogue knows, for streams that have only names.
pub async fn uris_of_names(conn: &mut Conn, streams: &[&Stream]) -> Result<HashMap<u64, String>, StoreError> {
    let is_nameless = |stream: &&&Stream| stream.kind == StreamKind::Track && stream.uri.is_none();
    let mut titles: Vec<&str> =
        streams.iter().filter(is_nameless).filter_map(|stream| stream.name.as_deref()).collect();
    titles.sort_unstable();
    titles.dedup();
    if titles.is_empty() {
        return Ok(HashMap::new());
    }
    let found: Vec<(String, String, String)> = with_conn!(conn, |c| {
        tracks::table
            .inner_join(track_artists::table.on(track_artists::track_id.eq(tracks::id)))
            .inner_join(artists::table.on(artists::id.eq(track_artists::artist_id)))
            .filter(track_artists::position.eq(0))
            .filter(tracks::name.eq_any(&titles))
            .select((tracks::id, tracks::name, artists::name))
            .order(tracks::id)
            .load(c)
            .await
    })?;
    let of_names = |(id, title, artist): (String, String, String)| {
        let is_track = id.len() == 22 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        Some((TrackKeys::of_names(&title, &artist).filter(|_| is_track)?, format!("{TRACK}{id}")))
    };
    // The first of several ids of one title.
    Ok(found.into_iter().rev().filter_map(of_names).collect())
}
