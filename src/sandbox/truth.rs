//! The library as plain JSON, in list order and without paging: what a test compares a synced database with.

use serde::Serialize;

use super::config::Dialect;
use super::library::{Access, Library, Media, Play, Playlist, PlaylistItem};
use super::renderer::Renderer;
use super::spoken::wire::{AudiobookWire, SpokenTruth};
use super::wire::{AlbumWire, ArtistWire, EpisodeWire, ShowWire, TrackWire, seconds};

/// The whole library.
#[derive(Serialize)]
pub struct Truth<'a> {
    account: AccountTruth<'a>,
    tracks: Vec<Option<TrackTruth<'a>>>,
    albums: Vec<AlbumTruth<'a>>,
    artists: Vec<ArtistTruth<'a>>,
    shows: Vec<Option<SpokenTruth<'a>>>,
    episodes: Vec<Option<SpokenTruth<'a>>>,
    audiobooks: Vec<Option<SpokenTruth<'a>>>,
    playlists: Vec<Option<PlaylistTruth<'a>>>,
    /// The part of the history that the Web API shows.
    plays: Vec<PlayTruth<'a>>,
    /// Everything ever played.
    history: Vec<PlayTruth<'a>>,
}

#[derive(Serialize)]
struct AccountTruth<'a> {
    id: &'a str,
    account_id: &'a str,
    display_name: &'a str,
}

#[derive(Serialize)]
struct TrackTruth<'a> {
    id: &'a str,
    added_at: String,
    name: &'a str,
    artist_ids: Vec<&'a str>,
    album_id: &'a str,
}

#[derive(Serialize)]
struct AlbumTruth<'a> {
    id: &'a str,
    added_at: String,
    name: &'a str,
}

#[derive(Serialize)]
struct ArtistTruth<'a> {
    id: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct PlaylistTruth<'a> {
    id: &'a str,
    name: &'a str,
    owner_id: &'a str,
    snapshot_id: &'a str,
    readable: bool,
    items: Vec<ItemTruth<'a>>,
}

#[derive(Serialize)]
struct ItemTruth<'a> {
    uri: Option<String>,
    kind: &'static str,
    track_id: Option<&'a str>,
    name: Option<&'a str>,
    added_at: Option<String>,
}

#[derive(Serialize)]
struct PlayTruth<'a> {
    played_at: String,
    track_id: &'a str,
}

impl<'a> Truth<'a> {
    /// Reads a library; what is readable depends on the dialect.
    pub fn of(library: &'a Library, dialect: Dialect) -> Truth<'a> {
        let Library { account, catalogue, tracks, albums, artists, playlists, plays, .. } = library;
        let play = |play: &Play| PlayTruth {
            played_at: super::wire::millis(play.played_at),
            track_id: &catalogue[play.track].id,
        };
        let track = |row: &super::library::SavedTrack| {
            let track = &catalogue[row.track?];
            Some(TrackTruth {
                id: &track.id,
                added_at: seconds(row.added_at),
                name: &track.name,
                artist_ids: track.artists.iter().map(|no| catalogue[*no].id.as_str()).collect(),
                album_id: &catalogue[track.album].id,
            })
        };
        Truth {
            account: AccountTruth {
                id: &account.id,
                account_id: &account.account_id,
                display_name: &account.display_name,
            },
            tracks: tracks.iter().map(track).collect(),
            albums: albums
                .iter()
                .map(|row| (seconds(row.added_at), &catalogue[row.album]))
                .map(|(added_at, album)| AlbumTruth { id: &album.id, added_at, name: &album.name })
                .collect(),
            artists: artists
                .iter()
                .map(|no| &catalogue[*no])
                .map(|artist| ArtistTruth { id: &artist.id, name: &artist.name })
                .collect(),
            shows: SpokenTruth::of(&library.shows, true, |no| (&catalogue[no].id, &catalogue[no].name)),
            episodes: SpokenTruth::of(&library.episodes, true, |no| (&catalogue[no].id, &catalogue[no].name)),
            audiobooks: SpokenTruth::of(&library.audiobooks, dialect == Dialect::Legacy, |no| {
                (&catalogue[no].id, &catalogue[no].name)
            }),
            playlists: playlists
                .iter()
                .map(|playlist| playlist.as_ref().map(|playlist| playlist_truth(library, playlist, dialect)))
                .collect(),
            plays: library.recent_plays().iter().map(play).collect(),
            history: plays.iter().map(play).collect(),
        }
    }
}

/// Everything that can be listened to, each item as in a listing that gives it in full.
#[derive(Serialize)]
pub struct CatalogueTruth<'a> {
    tracks: Vec<TrackWire<'a>>,
    albums: Vec<AlbumWire<'a>>,
    artists: Vec<ArtistWire<'a>>,
    shows: Vec<ShowWire<'a>>,
    episodes: Vec<EpisodeWire<'a>>,
    audiobooks: Vec<AudiobookWire<'a>>,
}

impl<'a> CatalogueTruth<'a> {
    /// Reads the catalogue of a library.
    pub fn of(library: &'a Library, dialect: Dialect) -> CatalogueTruth<'a> {
        let renderer = Renderer { catalogue: &library.catalogue, dialect };
        CatalogueTruth {
            tracks: renderer.catalogue.tracks().map(|no| renderer.track(no)).collect(),
            albums: renderer.catalogue.albums().map(|no| renderer.album(no)).collect(),
            artists: renderer.catalogue.artists().map(|no| renderer.artist(no)).collect(),
            shows: renderer.catalogue.shows().map(|no| renderer.show(no)).collect(),
            episodes: renderer.catalogue.episodes().map(|no| renderer.episode(no)).collect(),
            audiobooks: renderer.catalogue.audiobooks().map(|no| renderer.audiobook(no)).collect(),
        }
    }
}

fn playlist_truth<'a>(library: &'a Library, playlist: &'a Playlist, dialect: Dialect) -> PlaylistTruth<'a> {
    PlaylistTruth {
        id: &playlist.id,
        name: &playlist.name,
        owner_id: &playlist.owner.id,
        snapshot_id: &playlist.snapshot_id,
        readable: library.access(playlist, dialect) == Access::Readable,
        items: playlist.items.iter().map(|item| item_truth(library, item)).collect(),
    }
}

fn item_truth<'a>(library: &'a Library, item: &'a PlaylistItem) -> ItemTruth<'a> {
    let added_at = item.added_at.map(seconds);
    match &item.media {
        Media::Track(no) => {
            let track = &library.catalogue[*no];
            let uri = Some(format!("spotify:track:{}", track.id));
            ItemTruth { uri, kind: "track", track_id: Some(&track.id), name: Some(&track.name), added_at }
        }
        Media::Episode(no) => {
            let episode = &library.catalogue[*no];
            let uri = Some(format!("spotify:episode:{}", episode.id));
            ItemTruth { uri, kind: "episode", track_id: None, name: Some(&episode.name), added_at }
        }
        Media::Local(file) => {
            ItemTruth { uri: Some(file.uri()), kind: "local", track_id: None, name: Some(&file.title), added_at }
        }
        Media::Missing => ItemTruth { uri: None, kind: "missing", track_id: None, name: None, added_at },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::config::LibrarySpec;
    use crate::sandbox::generate;

    #[test]
    fn every_slot_is_told_in_order() {
        let library = generate::library(&LibrarySpec::default(), 1);
        let truth = serde_json::to_value(Truth::of(&library, Dialect::Current)).expect("it serialises");
        assert_eq!(truth["tracks"].as_array().map(Vec::len), Some(5_000));
        assert!(truth["tracks"][2].is_null());
        assert_eq!(truth["playlists"].as_array().map(Vec::len), Some(24));
        assert!(truth["playlists"][5].is_null());
        assert_eq!(truth["playlists"][2]["readable"], false);
        let kinds: Vec<_> = (0..7).map(|at| truth["playlists"][1]["items"][at]["kind"].clone()).collect();
        assert_eq!(kinds, ["track", "local", "track", "episode", "missing", "track", "track"]);
        let legacy = serde_json::to_value(Truth::of(&library, Dialect::Legacy)).expect("it serialises");
        assert_eq!(
            (legacy["playlists"][2]["readable"] == true, legacy["playlists"][7]["readable"] == false),
            (true, true)
        );
    }
}
