//! Everything that can be listened to in the sandbox, whether or not it is in the library: artists, albums, tracks, and
//! spoken items. Entities refer to each other by number, so that a library of 100,000 tracks is a few flat lists.

use std::ops::{Index, IndexMut};

/// Position of an artist in its catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArtistNo(usize);
/// Position of an album in its catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AlbumNo(usize);
/// Position of a track in its catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TrackNo(usize);
/// Position of an episode in its catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EpisodeNo(usize);

/// Position of a show in its catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShowNo(usize);
/// Position of an audiobook in its catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AudiobookNo(usize);

/// The part of an image address that distinguishes two images: 24 of its 40 hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub struct Art(pub u128);

/// An artist.
#[derive(Clone, Debug)]
pub struct Artist {
    pub id: String,
    pub name: String,
    pub genres: Vec<String>,
    pub art: Art,
    pub followers: u32,
    pub popularity: u8,
}

/// What the Web API calls `album_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlbumType {
    Album,
    Single,
    Compilation,
}

impl AlbumType {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            AlbumType::Album => "album",
            AlbumType::Single => "single",
            AlbumType::Compilation => "compilation",
        }
    }
}

/// A release date, with the precision of a year, a month or a day.
#[derive(Clone, Debug)]
pub struct Release {
    pub date: String,
    pub precision: &'static str,
}

/// An album.
#[derive(Clone, Debug)]
pub struct Album {
    pub id: String,
    /// Empty after a takedown.
    pub name: String,
    pub album_type: AlbumType,
    pub artists: Vec<ArtistNo>,
    pub release: Release,
    pub tracks: Vec<TrackNo>,
    /// Without one, `external_ids` is left out of the answer.
    pub upc: Option<String>,
    /// Without one, `images` is null.
    pub art: Option<Art>,
    pub label: &'static str,
    pub popularity: u8,
}

/// A track.
#[derive(Clone, Debug)]
pub struct Track {
    pub id: String,
    /// Empty after a takedown.
    pub name: String,
    pub album: AlbumNo,
    /// One to four, the main artist first.
    pub artists: Vec<ArtistNo>,
    pub duration_ms: u32,
    pub explicit: bool,
    pub disc_number: u8,
    pub track_number: u8,
    /// Without one, `external_ids` is left out of the answer.
    pub isrc: Option<String>,
    pub popularity: u8,
    /// Whether the answer carries fields that no reader knows yet.
    pub has_future_fields: bool,
}

/// A podcast.
#[derive(Clone, Debug)]
pub struct Show {
    pub id: String,
    pub name: String,
    /// Included in the old dialect only.
    pub publisher: String,
    pub description: String,
    pub explicit: bool,
    pub total_episodes: u32,
    pub art: Art,
}

/// An audiobook.
#[derive(Clone, Debug)]
pub struct Audiobook {
    pub id: String,
    pub name: String,
    pub authors: Vec<String>,
    pub narrators: Vec<String>,
    /// Included in the old dialect only.
    pub publisher: String,
    pub description: String,
    pub total_chapters: u32,
    pub art: Art,
}

/// An episode of a show. Episodes occur in playlists, too.
#[derive(Clone, Debug)]
pub struct Episode {
    pub id: String,
    pub name: String,
    pub show: ShowNo,
    pub duration_ms: u32,
    pub release_date: String,
    pub art: Art,
}

/// All entities, by number.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    artists: Vec<Artist>,
    albums: Vec<Album>,
    tracks: Vec<Track>,
    episodes: Vec<Episode>,
    shows: Vec<Show>,
    audiobooks: Vec<Audiobook>,
    /// The artist of compilations, once there is one.
    pub various_artists: Option<ArtistNo>,
}

impl Catalogue {
    /// Adds an artist.
    pub fn add_artist(&mut self, artist: Artist) -> ArtistNo {
        self.artists.push(artist);
        ArtistNo(self.artists.len() - 1)
    }

    /// Adds an album; its tracks come after it.
    pub fn add_album(&mut self, album: Album) -> AlbumNo {
        self.albums.push(album);
        AlbumNo(self.albums.len() - 1)
    }

    /// Adds a show.
    pub fn add_show(&mut self, show: Show) -> ShowNo {
        self.shows.push(show);
        ShowNo(self.shows.len() - 1)
    }

    /// Adds an audiobook.
    pub fn add_audiobook(&mut self, audiobook: Audiobook) -> AudiobookNo {
        self.audiobooks.push(audiobook);
        AudiobookNo(self.audiobooks.len() - 1)
    }

    /// Adds an episode.
    pub fn add_episode(&mut self, episode: Episode) -> EpisodeNo {
        self.episodes.push(episode);
        EpisodeNo(self.episodes.len() - 1)
    }

    /// Adds a track and lists it on its album.
    pub fn add_track(&mut self, track: Track) -> TrackNo {
        let no = TrackNo(self.tracks.len());
        self.albums[track.album.0].tracks.push(no);
        self.tracks.push(track);
        no
    }

    /// How many albums there are.
    pub fn num_albums(&self) -> usize {
        self.albums.len()
    }

    /// An artist, chosen by a number between 0 and 1; `None` if there is none.
    pub fn artist_at(&self, share: f64) -> Option<ArtistNo> {
        at(&self.artists, share).map(ArtistNo)
    }

    /// A track, likewise.
    pub fn track_at(&self, share: f64) -> Option<TrackNo> {
        at(&self.tracks, share).map(TrackNo)
    }

    /// An episode, likewise.
    pub fn episode_at(&self, share: f64) -> Option<EpisodeNo> {
        at(&self.episodes, share).map(EpisodeNo)
    }

    /// A show, likewise.
    pub fn show_at(&self, share: f64) -> Option<ShowNo> {
        at(&self.shows, share).map(ShowNo)
    }

    /// Numbers of all shows.
    pub fn shows(&self) -> impl Iterator<Item = ShowNo> + use<> {
        (0..self.shows.len()).map(ShowNo)
    }

    /// Numbers of all audiobooks.
    pub fn audiobooks(&self) -> impl Iterator<Item = AudiobookNo> + use<> {
        (0..self.audiobooks.len()).map(AudiobookNo)
    }

    /// Numbers of all artists.
    pub fn artists(&self) -> impl Iterator<Item = ArtistNo> + use<> {
        (0..self.artists.len()).map(ArtistNo)
    }

    /// Numbers of all albums.
    pub fn albums(&self) -> impl Iterator<Item = AlbumNo> + use<> {
        (0..self.albums.len()).map(AlbumNo)
    }

    /// Numbers of all episodes.
    pub fn episodes(&self) -> impl Iterator<Item = EpisodeNo> + use<> {
        (0..self.episodes.len()).map(EpisodeNo)
    }

    /// Numbers of all tracks.
    pub fn tracks(&self) -> impl Iterator<Item = TrackNo> + use<> {
        (0..self.tracks.len()).map(TrackNo)
    }
}

/// The index at this share of a list.
fn at<T>(list: &[T], share: f64) -> Option<usize> {
    (!list.is_empty()).then(|| ((share * list.len() as f64) as usize).min(list.len() - 1))
}

macro_rules! index {
    ($no:ty => $list:ident: $entity:ty) => {
        impl Index<$no> for Catalogue {
            type Output = $entity;

            fn index(&self, no: $no) -> &$entity {
                &self.$list[no.0]
            }
        }

        impl IndexMut<$no> for Catalogue {
            fn index_mut(&mut self, no: $no) -> &mut $entity {
                &mut self.$list[no.0]
            }
        }
    };
}

index!(ArtistNo => artists: Artist);
index!(AlbumNo => albums: Album);
index!(TrackNo => tracks: Track);
index!(EpisodeNo => episodes: Episode);
index!(ShowNo => shows: Show);
index!(AudiobookNo => audiobooks: Audiobook);
