//! What a library is made of. Fields that the API may leave out are optional; the others are not.

use super::ids::words;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Prefix of ids made here, for artists and albums that have a name but no id: `local:Nobody`.
pub const LOCAL: &str = "local:";

/// An artist as tracks and albums mention them: no genres, no image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArtistRef {
    /// Begins with [`LOCAL`] if the source gave only a name.
    pub id: String,
    pub name: String,
}

impl ArtistRef {
    /// An artist in a list who could not be read: the position is taken, and its known artist stays.
    pub fn unread() -> ArtistRef {
        ArtistRef::default()
    }

    pub fn is_unread(&self) -> bool {
        self.id.is_empty()
    }
}

/// A full artist, as `/me/following` gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artist {
    pub id: String,
    pub name: String,
    /// `None` if the API left the field out; an empty list is an answer.
    pub genres: Option<Vec<String>>,
    pub image_url: Option<String>,
}

/// An album, full or simplified: a field that the simplified form lacks is `None` and never erases a known value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Album {
    pub id: String,
    /// Empty after a takedown.
    pub name: String,
    pub album_type: Option<String>,
    pub release_date: Option<String>,
    /// `year`, `month` or `day`.
    pub release_date_precision: Option<String>,
    pub total_tracks: Option<i32>,
    pub upc: Option<String>,
    /// The widest image.
    pub image_url: Option<String>,
    pub artists: Vec<ArtistRef>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// The URI if it is a local file, shortened if it is longer than an index can hold.
    pub id: String,
    /// The whole URI of a local file; `None` if it follows from the id: `spotify:track:{id}`.
    pub uri: Option<String>,
    pub name: String,
    pub album: Option<Album>,
    pub duration_ms: Option<i32>,
    pub explicit: Option<bool>,
    pub disc_number: Option<i32>,
    pub track_number: Option<i32>,
    pub isrc: Option<String>,
    pub artists: Vec<ArtistRef>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedTrack {
    pub added_at: Option<DateTime<Utc>>,
    pub track: Track,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedAlbum {
    pub added_at: Option<DateTime<Utc>>,
    pub album: Album,
    /// The tracks given along with it, up to 50, without their album. They are simplified: no ISRC.
    pub tracks: Vec<Track>,
}

/// A show, in full or as part of an episode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Show {
    pub id: String,
    pub name: String,
    /// Not given to new applications.
    pub publisher: Option<String>,
    pub description: Option<String>,
    /// `audio`, `video` or `mixed`.
    pub media_type: Option<String>,
    pub explicit: Option<bool>,
    pub total_episodes: Option<i32>,
    pub image_url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Episode {
    pub id: String,
    pub name: String,
    pub show: Option<Show>,
    pub description: Option<String>,
    pub duration_ms: Option<i32>,
    pub explicit: Option<bool>,
    pub release_date: Option<String>,
    /// `year`, `month` or `day`.
    pub release_date_precision: Option<String>,
    pub image_url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audiobook {
    pub id: String,
    pub name: String,
    /// Names; `None` if the API left the field out.
    pub authors: Option<Vec<String>>,
    pub narrators: Option<Vec<String>>,
    /// Not given to new applications.
    pub publisher: Option<String>,
    pub description: Option<String>,
    pub edition: Option<String>,
    pub explicit: Option<bool>,
    pub total_chapters: Option<i32>,
    pub image_url: Option<String>,
}

/// A playlist as `/me/playlists` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Playlist {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub owner_id: Option<String>,
    pub owner_name: Option<String>,
    pub public: Option<bool>,
    pub collaborative: Option<bool>,
    pub snapshot_id: Option<String>,
    pub total_items: Option<i32>,
    pub image_url: Option<String>,
}

words! {
    /// The kind of item in a playlist slot.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    PlaylistItemKind {
        Track = "track",
        Episode = "episode",
        /// A part of an audiobook.
        Chapter = "chapter",
        /// A file on somebody's disk: no id, only a `spotify:local:` URI.
        Local = "local",
        /// The source gives nothing, or nothing readable; the slot is kept so that positions stay true, with whatever
        /// was known of it before.
        Missing = "missing",
        /// Something with a name or a URI that is none of the above.
        Unknown = "unknown",
    }
}

impl fmt::Display for PlaylistItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaylistItem {
    pub kind: PlaylistItemKind,
    /// `None` if the source gave none.
    pub uri: Option<String>,
    pub name: Option<String>,
    pub added_at: Option<DateTime<Utc>>,
    /// Spotify id of the user who added it.
    pub added_by: Option<String>,
    /// Present for tracks and local files; it enters the catalogue.
    pub track: Option<Track>,
}

impl PlaylistItem {
    /// A place where the source gives nothing.
    pub const MISSING: PlaylistItem = PlaylistItem {
        kind: PlaylistItemKind::Missing,
        uri: None,
        name: None,
        added_at: None,
        added_by: None,
        track: None,
    };
}
