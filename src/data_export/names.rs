//! Which title by which artist has which URI, according to the library and the playlists of an export: the history in
//! the account data has names only.

use super::rows::is_track_uri;
use crate::model::stream::TrackKeys;
use serde::Deserialize;
use std::collections::HashMap;

/// Most titles that are remembered, at some forty bytes each.
const NAMES_MAX: usize = 200_000;

const TRACK: &str = "spotify:track:";

#[derive(Debug, Default)]
pub struct Names(HashMap<u64, Box<str>>);

/// A track in `YourLibrary.json`. Albums, shows and others lack a field of it.
#[derive(Deserialize)]
struct LibraryWire {
    artist: Option<String>,
    track: Option<String>,
    uri: Option<String>,
}

#[derive(Deserialize)]
struct ItemWire {
    track: Option<TrackWire>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TrackWire {
    track_name: Option<String>,
    artist_name: Option<String>,
    track_uri: Option<String>,
}

impl Names {
    pub fn learn_saved(&mut self, object: &[u8]) {
        if let Ok(LibraryWire { artist, track, uri }) = serde_json::from_slice(object) {
            self.learn(track, artist, uri);
        }
    }

    pub fn learn_item(&mut self, object: &[u8]) {
        if let Ok(ItemWire { track: Some(track) }) = serde_json::from_slice(object) {
            self.learn(track.track_name, track.artist_name, track.track_uri);
        }
    }

    fn learn(&mut self, title: Option<String>, artist: Option<String>, uri: Option<String>) {
        let (Some(title), Some(artist), Some(uri)) = (title, artist, uri) else { return };
        if let Some(key) = TrackKeys::of_names(&title, &artist)
            && is_track_uri(&uri)
            && self.0.len() < NAMES_MAX
        {
            self.0.entry(key).or_insert_with(|| uri[TRACK.len()..].into());
        }
    }

    pub fn uri(&self, title: &str, artist: &str) -> Option<String> {
        let id = self.0.get(&TrackKeys::of_names(title, artist)?)?;
        Some(format!("{TRACK}{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_and_playlists_say_which_title_is_which_track() {
        let mut names = Names::default();
        names.learn_saved(
            br#"{"artist": "The Tin Lanterns", "album": "Low Tide", "track": "Glass Harbour",
                "uri": "spotify:track:0000000000000000000001"}"#,
        );
        names.learn_saved(br#"{"artist": "The Tin Lanterns", "album": "Low Tide", "uri": "spotify:album:x"}"#);
        names.learn_item(
            br#"{"track": {"trackName": "Fog", "artistName": "A", "albumName": "B",
                "trackUri": "spotify:track:0000000000000000000002"}, "episode": null, "addedDate": "2026-01-02"}"#,
        );
        names.learn_item(br#"{"track": null, "localTrack": {"uri": "spotify:local:::x:1"}}"#);
        names.learn_item(b"{");
        assert_eq!(names.0.len(), 2);
        let uri = names.uri("glass harbour", "the tin lanterns");
        assert_eq!(uri.as_deref(), Some("spotify:track:0000000000000000000001"));
        assert_eq!((names.uri("Fog", "B"), names.uri("", "A")), (None, None));
    }
}
