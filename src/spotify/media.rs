//! What can be saved, listed in a playlist or played: a track, a local file, an episode, a chapter, or something else.

use super::{
    identity::{self, LocalUri},
    row::Row,
    wire::{AlbumWire, Lax, TrackWire},
};
use crate::model::{ArtistRef, Oddity, PlaylistItemKind, Track};
use std::mem::take;

/// What a row is about.
pub(super) struct Media {
    pub kind: PlaylistItemKind,
    pub uri: Option<String>,
    pub name: Option<String>,
    /// The part that enters the catalogue: tracks and local files.
    pub track: Option<Track>,
}

/// Decodes the object of a row. An error means that it has neither an identity nor a name.
pub(super) fn media(wire: &mut TrackWire, is_local: bool, row: &mut Row) -> Result<Media, Oddity> {
    let uri = row.uri("uri", take(&mut wire.uri));
    let word = row.text("type", take(&mut wire.kind));
    let is_local = is_local || matches!(wire.is_local, Lax::Given(true));
    let kind = identity::kind(uri.as_deref(), word.as_deref(), is_local);
    let name = row.words("name", take(&mut wire.name));
    let read = match kind {
        PlaylistItemKind::Track => catalogue_track(wire, name.clone(), uri.as_deref(), row),
        PlaylistItemKind::Local => local_file(wire, name.clone(), uri.clone(), row),
        PlaylistItemKind::Episode | PlaylistItemKind::Chapter => {
            row.label(name.as_deref(), uri.as_deref());
            return Ok(Media { kind, uri, name, track: None });
        }
        PlaylistItemKind::Unknown | PlaylistItemKind::Missing => Err(Oddity::UnknownKind),
    };
    match read {
        Ok(track) => {
            row.expect_name(&track.name);
            let name = Some(track.name.clone()).filter(|name| !name.is_empty());
            Ok(Media { kind, uri, name, track: Some(track) })
        }
        Err(odd) if name.is_none() && uri.is_none() => Err(odd),
        Err(odd) => {
            row.note(odd);
            row.label(name.as_deref(), uri.as_deref());
            Ok(Media { kind: PlaylistItemKind::Unknown, uri, name, track: None })
        }
    }
}

/// Decodes an object that must be a track, since it is on an album.
pub(super) fn track(wire: &mut TrackWire, row: &mut Row) -> Result<Track, Oddity> {
    let uri = row.uri("uri", take(&mut wire.uri));
    let name = row.words("name", take(&mut wire.name));
    catalogue_track(wire, name, uri.as_deref(), row)
}

fn catalogue_track(
    wire: &mut TrackWire,
    name: Option<String>,
    uri: Option<&str>,
    row: &mut Row,
) -> Result<Track, Oddity> {
    let id = row.identity("track", take(&mut wire.id), uri, name.as_deref())?;
    let artists = row.artists(take(&mut wire.artists));
    Ok(with_id(id, None, name, artists, wire, row))
}

/// A local file is identified by its URI, or, without one, by the URI that it would have. Missing tags are read from
/// the URI.
fn local_file(wire: &mut TrackWire, name: Option<String>, uri: Option<String>, row: &mut Row) -> Result<Track, Oddity> {
    let said = uri.as_deref().map(LocalUri::read).unwrap_or_default();
    let name = name.or_else(|| Some(said.title.clone()).filter(|title| !title.is_empty()));
    let mut artists = row.artists(take(&mut wire.artists));
    if artists.iter().all(ArtistRef::is_unread) && !said.artist.is_empty() {
        artists = vec![ArtistRef { id: identity::of_names(&[&said.artist]), name: said.artist.clone() }];
    }
    if !matches!(&wire.album, Lax::Given(_)) && !said.album.is_empty() {
        wire.album = Lax::Given(AlbumWire { name: Lax::Given(said.album), ..Default::default() });
    }
    let mut file = with_id(String::new(), uri, name, artists, wire, row);
    let seconds = said.seconds.and_then(|seconds| i32::try_from(seconds.checked_mul(1000)?).ok());
    file.duration_ms = file.duration_ms.or(seconds.filter(|ms| *ms > 0));
    if file.uri.is_none() && file.name.is_empty() {
        return Err(Oddity::MissingId);
    }
    let address = file.uri.clone().unwrap_or_else(|| address(&file));
    file.id = identity::key(address);
    Ok(file)
}

/// The URI that a local file with these tags has.
fn address(file: &Track) -> String {
    let seconds = file.duration_ms.and_then(|ms| u32::try_from(ms / 1000).ok());
    let artist = file.artists.first().map(|artist| artist.name.clone()).unwrap_or_default();
    let album = file.album.as_ref().map(|album| album.name.clone()).unwrap_or_default();
    LocalUri { artist, album, title: file.name.clone(), seconds }.write()
}

fn with_id(
    id: String,
    uri: Option<String>,
    name: Option<String>,
    artists: Vec<ArtistRef>,
    wire: &mut TrackWire,
    row: &mut Row,
) -> Track {
    let external_ids = row.take("external_ids", take(&mut wire.external_ids)).unwrap_or_default();
    Track {
        id,
        uri,
        name: name.unwrap_or_default(),
        album: row.optional_album(take(&mut wire.album), &artists),
        duration_ms: row.positive("duration_ms", take(&mut wire.duration_ms)),
        explicit: row.take("explicit", take(&mut wire.explicit)),
        disc_number: row.positive("disc_number", take(&mut wire.disc_number)),
        track_number: row.positive("track_number", take(&mut wire.track_number)),
        isrc: row.within("external_ids", |row| row.words("isrc", external_ids.isrc)),
        artists,
    }
}
