//! A library given row by row instead of made up, for tests that need to know every name in it. Missing details are
//! made up; anything given twice must be the same both times.

use std::collections::HashMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::Deserialize;

use super::catalogue::{AlbumNo, AlbumType, ArtistNo, TrackNo};
use super::library::{Library, Media, Playlist, PlaylistItem, SavedAlbum, SavedTrack, User};
use super::maker::Maker;
use super::spoken::Saved;

/// Longest id.
const ID_MAX: usize = 64;

/// A library, given in full. Missing parts are empty.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplicitLibrary {
    /// Saved tracks in list order; a null is a row that has lost its track.
    #[serde(default)]
    tracks: Vec<Option<TrackSpec>>,
    /// Saved albums in list order.
    #[serde(default)]
    albums: Vec<AlbumSpec>,
    /// Followed artists, in any order.
    #[serde(default)]
    artists: Vec<ArtistSpec>,
    /// Saved shows in list order.
    #[serde(default)]
    shows: Vec<SpokenSpec>,
    /// Saved episodes in list order, all of one show.
    #[serde(default)]
    episodes: Vec<SpokenSpec>,
    /// Saved audiobooks in list order.
    #[serde(default)]
    audiobooks: Vec<SpokenSpec>,
    /// Playlists in list order; a null is an entry that has lost its playlist.
    #[serde(default)]
    playlists: Vec<Option<PlaylistSpec>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrackSpec {
    id: String,
    name: String,
    added_at: Option<DateTime<Utc>>,
    #[serde(default)]
    artists: Vec<NamedSpec>,
    album: Option<NamedSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AlbumSpec {
    id: String,
    name: String,
    added_at: Option<DateTime<Utc>>,
    #[serde(default)]
    artists: Vec<NamedSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArtistSpec {
    id: String,
    name: String,
    #[serde(default)]
    genres: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpokenSpec {
    id: String,
    name: String,
    added_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedSpec {
    id: String,
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaylistSpec {
    id: String,
    name: String,
    /// The id of the owner, if it belongs to somebody else.
    owner_id: Option<String>,
    #[serde(default)]
    collaborative: bool,
    /// Track ids. An id of no saved track creates a track of that name that is not saved; a null is a lost slot.
    #[serde(default)]
    items: Vec<Option<String>>,
}

impl ExplicitLibrary {
    /// Builds the library for the person who owns the present one.
    pub fn build(self, present: &Library, now: DateTime<Utc>) -> Result<Library, String> {
        let mut library = Library::empty(present.rng.get_seed());
        library.account = present.account.clone();
        let now = now.duration_trunc(TimeDelta::seconds(1)).unwrap_or(now);
        let mut builder = Builder { library, artists: HashMap::new(), albums: HashMap::new(), tracks: HashMap::new() };
        for spec in &self.artists {
            let artist = builder.artist(&spec.id, &spec.name)?;
            builder.library.catalogue[artist].genres.clone_from(&spec.genres);
            if !builder.library.follow(artist) {
                return Err(format!("the artist `{}` is followed twice", spec.id));
            }
        }
        for (index, spec) in self.albums.iter().enumerate() {
            let artists = builder.artists(&spec.artists)?;
            let album = builder.album(&spec.id, &spec.name, artists)?;
            if builder.library.albums.iter().any(|row| row.album == album) {
                return Err(format!("the album `{}` is saved twice", spec.id));
            }
            let added_at = spec.added_at.unwrap_or_else(|| minutes_before(now, index));
            builder.library.albums.push(SavedAlbum { added_at, album });
        }
        for (index, spec) in self.tracks.iter().enumerate() {
            let added_at = spec.as_ref().and_then(|spec| spec.added_at).unwrap_or_else(|| minutes_before(now, index));
            let track = spec.as_ref().map(|spec| builder.track(spec)).transpose()?;
            builder.library.tracks.push(SavedTrack { added_at, track });
        }
        builder.library.shows =
            saved(&mut builder.library, self.shows, now, |maker, id, name| maker.show_named(id, name))?;
        if !self.episodes.is_empty() {
            let show = builder.library.maker().show();
            let named = |maker: &mut Maker<'_>, id, name| maker.episode_named(id, name, show);
            builder.library.episodes = saved(&mut builder.library, self.episodes, now, named)?;
        }
        builder.library.audiobooks =
            saved(&mut builder.library, self.audiobooks, now, |maker, id, name| maker.audiobook_named(id, name))?;
        for spec in self.playlists {
            let playlist = spec.map(|spec| builder.playlist(spec, now)).transpose()?;
            builder.library.playlists.push(playlist);
        }
        Ok(builder.library)
    }
}

/// Rows of spoken items.
fn saved<T>(
    library: &mut Library,
    specs: Vec<SpokenSpec>,
    now: DateTime<Utc>,
    named: impl Fn(&mut Maker<'_>, String, String) -> T,
) -> Result<Vec<Saved<T>>, String> {
    let row = |(index, SpokenSpec { id, name, added_at }): (usize, SpokenSpec)| {
        check_id(&id)?;
        let added_at = added_at.unwrap_or_else(|| minutes_before(now, index));
        Ok(Saved { added_at, item: Some(named(&mut library.maker(), id, name)) })
    };
    specs.into_iter().enumerate().map(row).collect()
}

/// Missing dates: a minute apart, so that the given order is the order by date.
fn minutes_before(now: DateTime<Utc>, index: usize) -> DateTime<Utc> {
    let minutes = i64::try_from(index).unwrap_or(i64::MAX);
    TimeDelta::try_minutes(minutes).and_then(|delta| now.checked_sub_signed(delta)).unwrap_or(now)
}

/// The library so far, and which id belongs to what.
struct Builder {
    library: Library,
    artists: HashMap<String, ArtistNo>,
    albums: HashMap<String, AlbumNo>,
    tracks: HashMap<String, TrackNo>,
}

impl Builder {
    fn artist(&mut self, id: &str, name: &str) -> Result<ArtistNo, String> {
        if let Some(no) = self.artists.get(id) {
            check_name("artist", id, &self.library.catalogue[*no].name, name)?;
            return Ok(*no);
        }
        check_id(id)?;
        let no = self.library.maker().artist_named(id.to_owned(), name.to_owned());
        self.artists.insert(id.to_owned(), no);
        Ok(no)
    }

    /// The artists given, or one made up.
    fn artists(&mut self, specs: &[NamedSpec]) -> Result<Vec<ArtistNo>, String> {
        if specs.is_empty() {
            return Ok(vec![self.library.maker().artist()]);
        }
        specs.iter().map(|spec| self.artist(&spec.id, &spec.name)).collect()
    }

    fn album(&mut self, id: &str, name: &str, artists: Vec<ArtistNo>) -> Result<AlbumNo, String> {
        if let Some(no) = self.albums.get(id) {
            check_name("album", id, &self.library.catalogue[*no].name, name)?;
            return Ok(*no);
        }
        check_id(id)?;
        let no = self.library.maker().album_of(id.to_owned(), name.to_owned(), AlbumType::Album, artists);
        self.albums.insert(id.to_owned(), no);
        Ok(no)
    }

    fn track(&mut self, spec: &TrackSpec) -> Result<TrackNo, String> {
        if self.tracks.contains_key(&spec.id) {
            return Err(format!("the track `{}` is saved twice", spec.id));
        }
        let artists = self.artists(&spec.artists)?;
        let album = match &spec.album {
            Some(album) => self.album(&album.id, &album.name, artists.clone())?,
            None => {
                let id = self.library.maker().id();
                self.album(&id, &spec.name, artists.clone())?
            }
        };
        self.track_of(&spec.id, &spec.name, album, artists)
    }

    fn track_of(&mut self, id: &str, name: &str, album: AlbumNo, artists: Vec<ArtistNo>) -> Result<TrackNo, String> {
        check_id(id)?;
        let number = self.library.catalogue[album].tracks.len() + 1;
        let no = self.library.maker().track_of(id.to_owned(), name.to_owned(), album, artists, (1, number));
        self.tracks.insert(id.to_owned(), no);
        Ok(no)
    }

    /// A track that is in a playlist, and perhaps nowhere else.
    fn listed_track(&mut self, id: &str) -> Result<TrackNo, String> {
        if let Some(no) = self.tracks.get(id) {
            return Ok(*no);
        }
        let artists = self.artists(&[])?;
        let album_id = self.library.maker().id();
        let album = self.album(&album_id, id, artists.clone())?;
        self.track_of(id, id, album, artists)
    }

    fn playlist(&mut self, spec: PlaylistSpec, now: DateTime<Utc>) -> Result<Playlist, String> {
        check_id(&spec.id)?;
        if self.library.playlist(&spec.id).is_some() {
            return Err(format!("the playlist `{}` is listed twice", spec.id));
        }
        let owner = match spec.owner_id {
            Some(id) => User { id, display_name: None },
            None => self.library.user(),
        };
        let added_by = Some(owner.id.clone());
        let mut playlist = Playlist::new(spec.id, spec.name, owner);
        playlist.is_collaborative = spec.collaborative;
        for id in spec.items {
            let media = match id {
                Some(id) => Media::Track(self.listed_track(&id)?),
                None => Media::Missing,
            };
            playlist.items.push(PlaylistItem { added_at: Some(now), added_by: added_by.clone(), media });
        }
        Ok(playlist)
    }
}

fn check_id(id: &str) -> Result<(), String> {
    let is_id = (1..=ID_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_id { Ok(()) } else { Err(format!("`{id}` is not an id: use 1 to {ID_MAX} letters and digits")) }
}

fn check_name(what: &str, id: &str, known: &str, name: &str) -> Result<(), String> {
    if known == name { Ok(()) } else { Err(format!("the {what} `{id}` is called both `{known}` and `{name}`")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spelled_out_is_what_is_there() {
        let library = build(
            r#"{
            "tracks": [
                {"id":"t2","name":"Two","artists":[{"id":"a1","name":"One"}],"album":{"id":"b1","name":"Disc"}},
                null,
                {"id":"t1","name":"Uno","added_at":"2020-01-02T03:04:05Z","album":{"id":"b1","name":"Disc"}}
            ],
            "artists": [{"id":"a1","name":"One","genres":["fado"]}],
            "albums": [{"id":"b1","name":"Disc"}],
            "playlists": [{"id":"p1","name":"Mine","items":["t1","t1","stray",null]}, null]
        }"#,
        )
        .expect("sound");
        let names: Vec<_> =
            library.tracks.iter().map(|row| row.track.map(|no| library.catalogue[no].name.as_str())).collect();
        assert_eq!(names, [Some("Two"), None, Some("Uno")]);
        assert!(library.tracks[0].added_at > library.tracks[1].added_at);
        assert_eq!(library.catalogue[library.albums[0].album].tracks.len(), 2);
        assert_eq!(library.catalogue[library.artists[0]].genres, ["fado"]);
        let playlist = library.playlists[0].as_ref().expect("whole");
        assert_eq!(playlist.items.len(), 4);
        assert!(matches!(playlist.items[3].media, Media::Missing));
    }

    #[test]
    fn contradictions_are_named() {
        for (text, expected) in [
            (r#"{"tracks":[{"id":"t","name":"a"},{"id":"t","name":"a"}]}"#, "`t` is saved twice"),
            (r#"{"artists":[{"id":"a","name":"x"},{"id":"a","name":"y"}]}"#, "called both `x` and `y`"),
            (r#"{"tracks":[{"id":"../x","name":"a"}]}"#, "is not an id"),
            (r#"{"songs":[]}"#, "unknown field `songs`"),
        ] {
            let message = build(text).expect_err("unsound");
            assert!(message.contains(expected), "{message}");
        }
    }

    fn build(text: &str) -> Result<Library, String> {
        let spec: ExplicitLibrary = serde_json::from_str(text).map_err(|error| error.to_string())?;
        spec.build(&Library::empty(1), Utc::now())
    }
}
