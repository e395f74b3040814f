//! The true library: what the person has saved, follows and has put into playlists, in the order of the Web API's
//! listings. Listings read it, edits change it, and a test compares a synced database with it.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use fastrand::Rng;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::catalogue::{AlbumNo, Art, ArtistNo, AudiobookNo, Catalogue, EpisodeNo, ShowNo, TrackNo};
use super::config::Dialect;
use super::maker::Maker;
use super::spoken::Saved;

/// Most plays that the Web API returns; older ones are out of reach.
pub const PLAYS_MAX: usize = 50;
/// Prefix of the ids of Spotify's own playlists. Their contents are closed to applications.
pub const EDITORIAL_PREFIX: &str = "37i9dQZ";

/// The person whose library it is.
#[derive(Clone, Debug)]
pub struct Account {
    pub id: String,
    pub account_id: String,
    pub display_name: String,
}

/// A row of the saved tracks. Some rows have lost their track.
#[derive(Clone, Copy, Debug)]
pub struct SavedTrack {
    pub added_at: DateTime<Utc>,
    pub track: Option<TrackNo>,
}

/// A row of the saved albums.
#[derive(Clone, Copy, Debug)]
pub struct SavedAlbum {
    pub added_at: DateTime<Utc>,
    pub album: AlbumNo,
}

/// An owner of playlists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: String,
    pub display_name: Option<String>,
}

/// A playlist in the person's list.
#[derive(Clone, Debug)]
pub struct Playlist {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub owner: User,
    pub is_collaborative: bool,
    pub is_public: Option<bool>,
    /// Without one, `images` is empty.
    pub art: Option<Art>,
    pub items: Vec<PlaylistItem>,
    pub snapshot_id: String,
    /// How often it was changed.
    pub version: u32,
}

impl Playlist {
    /// A playlist without items.
    pub fn new(id: String, name: String, owner: User) -> Playlist {
        let mut playlist = Playlist {
            id,
            name,
            description: None,
            owner,
            is_collaborative: false,
            is_public: Some(false),
            art: None,
            items: Vec::new(),
            snapshot_id: String::new(),
            version: 0,
        };
        playlist.touch();
        playlist
    }

    /// Gives the playlist a new snapshot id. Every change ends with this.
    pub fn touch(&mut self) {
        self.version += 1;
        let mut hash = Sha256::new();
        hash.update(&self.id);
        hash.update(self.version.to_be_bytes());
        let mut snapshot = self.version.to_be_bytes().to_vec();
        snapshot.extend_from_slice(&hash.finalize()[..20]);
        self.snapshot_id = BASE64_STANDARD.encode(snapshot);
    }
}

/// A slot of a playlist.
#[derive(Clone, Debug)]
pub struct PlaylistItem {
    /// Unknown in very old playlists.
    pub added_at: Option<DateTime<Utc>>,
    /// Id of the user who added it; unknown in very old playlists.
    pub added_by: Option<String>,
    pub media: Media,
}

/// The content of a playlist slot.
#[derive(Clone, Debug)]
pub enum Media {
    Track(TrackNo),
    Episode(EpisodeNo),
    Local(LocalFile),
    /// An item that was here, and that the Web API returns as null.
    Missing,
}

/// A file on one of the person's own computers.
#[derive(Clone, Debug)]
pub struct LocalFile {
    pub artist: String,
    pub album: String,
    pub title: String,
    pub seconds: u32,
}

impl LocalFile {
    /// Its address, which is all that other computers know of it.
    pub fn uri(&self) -> String {
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let (artist, album, title) = (encode(&self.artist), encode(&self.album), encode(&self.title));
        format!("spotify:local:{artist}:{album}:{title}:{}", self.seconds)
    }
}

/// Something that was listened to.
#[derive(Clone, Copy, Debug)]
pub struct Play {
    pub played_at: DateTime<Utc>,
    pub track: TrackNo,
}

/// Whether the contents of a playlist are available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Readable,
    /// Somebody else's, in a dialect that withholds those.
    Withheld,
    /// Spotify's own.
    Closed,
}

/// The library, and the catalogue that it is part of.
#[derive(Clone, Debug)]
pub struct Library {
    pub account: Account,
    pub catalogue: Catalogue,
    /// Newest first.
    pub tracks: Vec<SavedTrack>,
    /// Newest first.
    pub albums: Vec<SavedAlbum>,
    /// Sorted by artist id, as in the Web API's pages.
    pub artists: Vec<ArtistNo>,
    /// Newest first, as are the two below.
    pub shows: Vec<Saved<ShowNo>>,
    pub episodes: Vec<Saved<EpisodeNo>>,
    pub audiobooks: Vec<Saved<AudiobookNo>>,
    /// In the person's own order. Some entries have lost their playlist.
    pub playlists: Vec<Option<Playlist>>,
    /// Everything ever played, newest first. The Web API shows [`PLAYS_MAX`] of it.
    pub plays: Vec<Play>,
    /// Random source for edits that make things up.
    pub rng: Rng,
    /// The library's plain form after each step that changed it, if a history is kept.
    pub history: Option<VecDeque<Value>>,
    /// The last of these libraries themselves, ending with the present one.
    pub past: VecDeque<Library>,
}

/// Most past libraries that can be read.
const PAST_MAX: usize = 16;

impl Library {
    /// A library with nothing in it.
    pub fn empty(seed: u64) -> Library {
        let mut rng = Rng::with_seed(seed);
        let id = (0..28).map(|_| rng.digit(36)).collect();
        let mut catalogue = Catalogue::default();
        let account_id = Maker { catalogue: &mut catalogue, rng: &mut rng }.id();
        Library {
            account: Account { id, account_id, display_name: "Sandbox Listener".to_owned() },
            catalogue,
            tracks: Vec::new(),
            albums: Vec::new(),
            artists: Vec::new(),
            shows: Vec::new(),
            episodes: Vec::new(),
            audiobooks: Vec::new(),
            playlists: Vec::new(),
            plays: Vec::new(),
            rng,
            history: None,
            past: VecDeque::new(),
        }
    }

    /// Keeps a copy of the library as it is.
    pub fn keep_copy(&mut self) {
        let (history, past) = (self.history.take(), std::mem::take(&mut self.past));
        let copy = self.clone();
        (self.history, self.past) = (history, past);
        if self.past.len() == PAST_MAX {
            self.past.pop_front();
        }
        self.past.push_back(copy);
    }

    /// The library as it was this many changes ago, or as far back as is known.
    pub fn as_of(&self, back: usize) -> &Library {
        let at = self.past.len().saturating_sub(back.saturating_add(1));
        if back == 0 { self } else { self.past.get(at).unwrap_or(self) }
    }

    /// Makes up entities for this library.
    pub fn maker(&mut self) -> Maker<'_> {
        Maker { catalogue: &mut self.catalogue, rng: &mut self.rng }
    }

    /// The person, as an owner of playlists.
    pub fn user(&self) -> User {
        User { id: self.account.id.clone(), display_name: Some(self.account.display_name.clone()) }
    }

    /// The playlist of that id, if it is in the person's list.
    pub fn playlist(&self, id: &str) -> Option<&Playlist> {
        self.playlists.iter().flatten().find(|playlist| playlist.id == id)
    }

    /// Whether the contents of a playlist are available in a dialect.
    pub fn access(&self, playlist: &Playlist, dialect: Dialect) -> Access {
        if playlist.id.starts_with(EDITORIAL_PREFIX) {
            return Access::Closed;
        }
        match dialect {
            Dialect::Legacy => Access::Readable,
            Dialect::Current if playlist.is_collaborative || playlist.owner.id == self.account.id => Access::Readable,
            Dialect::Current => Access::Withheld,
        }
    }

    /// Index of the first followed artist whose id comes after the given one.
    pub fn followed_after(&self, id: &str) -> usize {
        self.artists.partition_point(|no| self.catalogue[*no].id.as_str() <= id)
    }

    /// Follows an artist; `false` if they were followed already.
    pub fn follow(&mut self, artist: ArtistNo) -> bool {
        let index = self.followed_after(&self.catalogue[artist].id);
        if index > 0 && self.artists[index - 1] == artist {
            return false;
        }
        self.artists.insert(index, artist);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn followed_artists_stay_sorted_and_come_once() {
        let mut library = Library::empty(2);
        let artists: Vec<ArtistNo> = (0..30).map(|_| library.maker().artist()).collect();
        assert!(artists.iter().all(|artist| library.follow(*artist)));
        assert!(artists.iter().all(|artist| !library.follow(*artist)));
        let ids: Vec<&str> = library.artists.iter().map(|no| library.catalogue[*no].id.as_str()).collect();
        assert!(ids.is_sorted() && ids.len() == 30);
        assert_eq!(library.followed_after(ids[3]), 4);
        assert_eq!(library.followed_after("0000000000000000000000"), 0);
    }

    #[test]
    fn every_touch_gives_another_snapshot() {
        let mut playlist = Playlist::new("p".into(), "n".into(), Library::empty(1).user());
        let first = playlist.snapshot_id.clone();
        playlist.touch();
        assert_ne!(first, playlist.snapshot_id);
        assert_eq!(playlist.snapshot_id.len(), 32);
    }

    #[test]
    fn a_local_file_is_addressed_by_its_tags() {
        let file = LocalFile { artist: "A & B".into(), album: String::new(), title: "é:x".into(), seconds: 9 };
        assert_eq!(file.uri(), "spotify:local:A+%26+B::%C3%A9%3Ax:9");
    }
}
