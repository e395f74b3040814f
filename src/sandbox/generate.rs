//! Makes up a library from a seed: albums by artists who recur, tracks saved in bursts over years, playlists that mix
//! the library with other music. The same seed and size give the same library, to the second, on any machine.

use chrono::{DateTime, Utc};
use fastrand::Rng;

use super::catalogue::{AlbumNo, ArtistNo, TrackNo};
use super::config::LibrarySpec;
use super::dates::{Dates, NEWEST_S, date_ms};
use super::library::{
    EDITORIAL_PREFIX, Library, LocalFile, Media, PLAYS_MAX, Play, Playlist, PlaylistItem, SavedAlbum, SavedTrack, User,
};
use super::names::Namer;
use super::spoken::make;

/// Items of the one long playlist, if the library is large enough for it.
const LONG_PLAYLIST_ITEMS: usize = 620;
/// One saved track in this many is odd, if odd rows are wanted.
const ODD_TRACK_EVERY: usize = 250;

/// Makes up a library.
pub fn library(spec: &LibrarySpec, seed: u64) -> Library {
    let mut library = Library::empty(seed);
    stock(&mut library, spec);
    save_tracks(&mut library, spec.tracks);
    save_albums(&mut library, spec.albums);
    follow_artists(&mut library, spec.artists);
    for index in 0..spec.playlists {
        let kind = if spec.odd_rows { PlaylistKind::of(index) } else { PlaylistKind::Plain };
        let playlist = playlist(&mut library, spec, kind);
        library.playlists.push(playlist);
    }
    listen(&mut library);
    if spec.odd_rows {
        make_odd(&mut library);
    }
    make::furnish(&mut library, spec, seed);
    library
}

/// Fills the catalogue with somewhat more than the library will contain.
fn stock(library: &mut Library, spec: &LibrarySpec) {
    let tracks_wanted = spec.tracks + spec.tracks / 8 + spec.playlist_items.min(500) + 40;
    let albums_wanted = spec.albums + spec.albums / 8;
    let artists_wanted = (spec.artists + spec.artists / 4).max(tracks_wanted / 14).max(12);
    let mut maker = library.maker();
    for _ in 0..artists_wanted {
        maker.artist();
    }
    let (mut num_tracks, mut num_albums) = (0, 0);
    while num_tracks < tracks_wanted || num_albums < albums_wanted {
        let album = maker.album();
        num_tracks += maker.catalogue[album].tracks.len();
        num_albums += 1;
    }
    maker.episodes();
}

/// Saves tracks as people do: several of an album at once, the rest of it now and then.
fn save_tracks(library: &mut Library, count: usize) {
    let mut albums: Vec<AlbumNo> = library.catalogue.albums().collect();
    library.rng.shuffle(&mut albums);
    let (mut chosen, mut passed_over): (Vec<TrackNo>, Vec<TrackNo>) = (Vec::new(), Vec::new());
    for album in albums {
        for track in &library.catalogue[album].tracks {
            let list = if library.rng.u8(..20) < 19 { &mut chosen } else { &mut passed_over };
            list.push(*track);
        }
    }
    chosen.append(&mut passed_over);
    debug_assert!(chosen.len() >= count, "the catalogue holds more than the library");
    let dates = Dates::back_from_newest(count);
    let (rng, tracks) = (&mut library.rng, chosen.into_iter().take(count));
    library.tracks = dates.zip_with(rng, tracks, |added_at, track| SavedTrack { added_at, track: Some(track) });
}

fn save_albums(library: &mut Library, count: usize) {
    let mut albums: Vec<AlbumNo> = library.catalogue.albums().collect();
    library.rng.shuffle(&mut albums);
    let dates = Dates::back_from_newest(count);
    let albums = albums.into_iter().take(count);
    library.albums = dates.zip_with(&mut library.rng, albums, |added_at, album| SavedAlbum { added_at, album });
}

fn follow_artists(library: &mut Library, count: usize) {
    let mut artists: Vec<ArtistNo> = library.catalogue.artists().collect();
    library.rng.shuffle(&mut artists);
    artists.truncate(count);
    artists.sort_unstable_by(|a, b| library.catalogue[*a].id.cmp(&library.catalogue[*b].id));
    library.artists = artists;
}

/// Adds recent plays to the library: fifty, the newest a little after the newest saved track.
fn listen(library: &mut Library) {
    let tracks: Vec<TrackNo> = library.tracks.iter().filter_map(|row| row.track).take(400).collect();
    if tracks.is_empty() {
        return;
    }
    let mut at_ms = (NEWEST_S + 3600) * 1000;
    for _ in 0..PLAYS_MAX {
        let track = tracks[library.rng.usize(..tracks.len())];
        library.plays.push(Play { played_at: date_ms(at_ms), track });
        at_ms -= i64::from(library.catalogue[track].duration_ms) + library.rng.i64(0..40_000);
    }
}

/// The kinds of playlists in a well-used library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlaylistKind {
    /// Owned, whole, of exactly the requested size.
    Plain,
    /// Owned, of any size.
    Owned,
    /// Owned, with the same track more than once.
    Repeating,
    /// Owned, and long.
    Long,
    /// Owned, with local files, episodes, lost media and lost dates.
    Mixed,
    /// Owned, with nothing in it.
    Empty,
    /// Somebody else's, collaborative.
    Shared,
    /// Somebody else's.
    Followed,
    /// Spotify's own.
    Editorial,
    /// An entry that is null.
    Null,
}

impl PlaylistKind {
    /// One of each among the first nine, then mostly the common ones.
    fn of(index: usize) -> PlaylistKind {
        match index {
            0 => PlaylistKind::Repeating,
            1 => PlaylistKind::Mixed,
            2 => PlaylistKind::Followed,
            3 => PlaylistKind::Long,
            4 => PlaylistKind::Shared,
            5 => PlaylistKind::Null,
            6 => PlaylistKind::Empty,
            7 => PlaylistKind::Editorial,
            _ if index.is_multiple_of(11) => PlaylistKind::Followed,
            _ if index.is_multiple_of(13) => PlaylistKind::Shared,
            _ if index.is_multiple_of(17) => PlaylistKind::Mixed,
            _ => PlaylistKind::Owned,
        }
    }
}

/// Makes up a playlist; `None` is a null entry.
fn playlist(library: &mut Library, spec: &LibrarySpec, kind: PlaylistKind) -> Option<Playlist> {
    let typical = spec.playlist_items;
    let varied = |rng: &mut Rng| rng.usize(typical / 3..=typical * 2);
    let num_items = match kind {
        PlaylistKind::Null => return None,
        PlaylistKind::Empty => 0,
        PlaylistKind::Plain | PlaylistKind::Repeating | PlaylistKind::Mixed | PlaylistKind::Editorial => typical,
        PlaylistKind::Long if spec.tracks >= LONG_PLAYLIST_ITEMS => typical.max(LONG_PLAYLIST_ITEMS),
        PlaylistKind::Long | PlaylistKind::Owned | PlaylistKind::Shared | PlaylistKind::Followed => {
            varied(&mut library.rng)
        }
    };
    let owner = match kind {
        PlaylistKind::Shared | PlaylistKind::Followed => stranger(library),
        PlaylistKind::Editorial => User { id: "spotify".to_owned(), display_name: Some("Spotify".to_owned()) },
        _ => library.user(),
    };
    let mut playlist = owned_playlist(library, num_items);
    playlist.is_collaborative = kind == PlaylistKind::Shared;
    playlist.owner = owner;
    match kind {
        PlaylistKind::Editorial => {
            let id = format!("{EDITORIAL_PREFIX}F1DX{}", &playlist.id[..11]);
            playlist.id = id;
        }
        PlaylistKind::Repeating => repeat_some(library, &mut playlist),
        PlaylistKind::Mixed => mix(library, &mut playlist),
        _ => {}
    }
    if kind != PlaylistKind::Plain {
        playlist.is_public = [Some(true), Some(false), None][library.rng.usize(..3)];
    }
    Some(playlist)
}

/// Makes up a playlist owned by the person, with whole tracks only.
pub fn owned_playlist(library: &mut Library, num_items: usize) -> Playlist {
    let id = library.maker().id();
    let name = Namer(&mut library.rng).playlist();
    let mut playlist = Playlist::new(id, name, library.user());
    playlist.description = Some(Namer(&mut library.rng).description());
    playlist.art = (num_items > 0).then(|| library.maker().art());
    let mut added_s = NEWEST_S - library.rng.i64(0..=7 * 365 * 86_400);
    for _ in 0..num_items {
        playlist.items.push(whole_item(library, date_ms(added_s * 1000)));
        added_s += library.rng.i64(0..=86_400);
        added_s = added_s.min(NEWEST_S);
    }
    playlist
}

/// A slot with a track in it: four times out of five a saved one.
pub fn whole_item(library: &mut Library, added_at: DateTime<Utc>) -> PlaylistItem {
    let saved = match library.tracks.len() {
        0 => None,
        num_saved if library.rng.u8(..5) > 0 => library.tracks[library.rng.usize(..num_saved)].track,
        _ => None,
    };
    let track = saved.unwrap_or_else(|| any_track(library));
    PlaylistItem { added_at: Some(added_at), added_by: Some(library.account.id.clone()), media: Media::Track(track) }
}

fn any_track(library: &mut Library) -> TrackNo {
    let mut maker = library.maker();
    maker.known_track().unwrap_or_else(|| {
        let album = maker.album();
        maker.catalogue[album].tracks[0]
    })
}

fn stranger(library: &mut Library) -> User {
    let id = (0..25).map(|_| library.rng.digit(36)).collect();
    let display_name = (library.rng.u8(..5) > 0).then(|| Namer(&mut library.rng).listener());
    User { id, display_name }
}

/// Puts earlier tracks of a playlist into later slots.
fn repeat_some(library: &mut Library, playlist: &mut Playlist) {
    for at in (3..playlist.items.len()).step_by(5) {
        let from = library.rng.usize(..at);
        playlist.items[at].media = playlist.items[from].media.clone();
    }
}

/// Adds everything to a playlist that is not a whole track.
fn mix(library: &mut Library, playlist: &mut Playlist) {
    for (at, item) in playlist.items.iter_mut().enumerate() {
        match at % 7 {
            1 => item.media = Media::Local(local_file(&mut library.rng)),
            3 => {
                if let Some(episode) = library.maker().known_episode() {
                    item.media = Media::Episode(episode);
                }
            }
            4 => item.media = Media::Missing,
            5 => (item.added_at, item.added_by) = (None, None),
            _ => {}
        }
    }
}

fn local_file(rng: &mut Rng) -> LocalFile {
    let mut names = Namer(rng);
    let (artist, title) = (names.artist(), names.title(None));
    let album = if names.0.bool() { names.album() } else { String::new() };
    LocalFile { artist, album, title, seconds: rng.u32(20..900) }
}

/// Damages rows here and there, each in one of the ways seen in the field. The totals stay.
fn make_odd(library: &mut Library) {
    let Library { catalogue, tracks, albums, .. } = library;
    let step = ODD_TRACK_EVERY.min(tracks.len() / 8).max(1);
    for (count, row) in tracks.iter_mut().skip(2).step_by(step).enumerate() {
        let Some(track) = row.track else { continue };
        match count % 5 {
            0 => row.track = None,
            1 => catalogue[track].has_future_fields = true,
            2 => catalogue[track].name.clear(),
            3 => catalogue[track].isrc = None,
            _ => {
                let album = catalogue[track].album;
                catalogue[album].art = None;
            }
        }
    }
    for (count, row) in albums.iter().skip(1).step_by(20).enumerate() {
        let album = &mut catalogue[row.album];
        match count % 3 {
            0 => album.art = None,
            1 => album.upc = None,
            _ => album.name.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use chrono::TimeDelta;

    use super::*;
    use crate::sandbox::config::Dialect;
    use crate::sandbox::library::Access;

    #[test]
    fn an_exact_library_is_exact() {
        let spec = LibrarySpec::exact(730, 61, 95, 7, 33);
        let library = library(&spec, 11);
        assert_eq!(library.tracks.len(), 730);
        assert_eq!(library.albums.len(), 61);
        assert_eq!(library.artists.len(), 95);
        assert_eq!(library.playlists.len(), 7);
        assert!(library.tracks.iter().all(|row| row.track.is_some()));
        for playlist in &library.playlists {
            let playlist = playlist.as_ref().expect("no playlist is null");
            assert_eq!(playlist.items.len(), 33);
            assert_eq!(library.access(playlist, Dialect::Current), Access::Readable);
            assert!(playlist.items.iter().all(|item| matches!(item.media, Media::Track(_)) && item.added_at.is_some()));
        }
    }

    #[test]
    fn an_odd_library_has_the_same_totals_and_something_of_everything() {
        let library = library(&LibrarySpec::default(), 1);
        assert_eq!((library.tracks.len(), library.albums.len(), library.artists.len()), (5_000, 300, 180));
        assert_eq!(library.playlists.len(), 24);
        assert!(library.tracks.iter().any(|row| row.track.is_none()));
        let tracks: Vec<_> =
            library.tracks.iter().filter_map(|row| row.track).map(|no| &library.catalogue[no]).collect();
        assert!(tracks.iter().any(|track| track.name.is_empty()));
        assert!(tracks.iter().any(|track| track.isrc.is_none()));
        assert!(tracks.iter().any(|track| track.has_future_fields));
        assert!(library.albums.iter().any(|row| library.catalogue[row.album].art.is_none()));
        assert!(library.playlists.iter().any(Option::is_none));
        let playlists: Vec<&Playlist> = library.playlists.iter().flatten().collect();
        assert!(playlists.iter().any(|playlist| playlist.items.len() == LONG_PLAYLIST_ITEMS));
        assert!(playlists.iter().any(|playlist| playlist.items.is_empty()));
        assert!(playlists.iter().any(|playlist| playlist.is_public.is_none()));
        for access in [Access::Readable, Access::Withheld, Access::Closed] {
            assert!(playlists.iter().any(|playlist| library.access(playlist, Dialect::Current) == access));
        }
        let items: Vec<_> = playlists.iter().flat_map(|playlist| &playlist.items).collect();
        assert!(items.iter().any(|item| matches!(item.media, Media::Local(_))));
        assert!(items.iter().any(|item| matches!(item.media, Media::Episode(_))));
        assert!(items.iter().any(|item| matches!(item.media, Media::Missing)));
        assert!(items.iter().any(|item| item.added_at.is_none()));
    }

    #[test]
    fn rows_are_newest_first_and_ids_come_once() {
        let library = library(&LibrarySpec::exact(2_000, 150, 80, 3, 10), 4);
        assert!(library.tracks.is_sorted_by(|a, b| a.added_at >= b.added_at));
        assert!(library.albums.is_sorted_by(|a, b| a.added_at >= b.added_at));
        assert!(library.tracks.windows(2).any(|pair| pair[0].added_at == pair[1].added_at));
        assert!(library.artists.is_sorted_by_key(|no| &library.catalogue[*no].id));
        let ids: HashSet<&str> =
            library.tracks.iter().filter_map(|row| row.track).map(|no| library.catalogue[no].id.as_str()).collect();
        assert_eq!(ids.len(), 2_000);
        assert_eq!(library.plays.len(), PLAYS_MAX);
        assert!(library.plays.is_sorted_by(|a, b| a.played_at >= b.played_at));
    }

    #[test]
    fn one_seed_gives_one_library() {
        let print = |seed| {
            let library = library(&LibrarySpec::exact(60, 9, 9, 2, 5), seed);
            format!("{:?} {:?} {:?}", library.tracks, library.playlists, library.catalogue)
        };
        assert_eq!(print(6), print(6));
        assert_ne!(print(6), print(7));
    }

    #[test]
    fn a_library_may_be_empty_or_tiny() {
        for size in 0..4 {
            for odd_rows in [false, true] {
                let spec = LibrarySpec { odd_rows, ..LibrarySpec::exact(size, size, size, size, size) };
                let library = library(&spec, 1);
                assert_eq!((library.tracks.len(), library.playlists.len()), (size, size));
            }
        }
    }

    #[test]
    fn dates_span_years() {
        let library = library(&LibrarySpec::exact(3_000, 0, 0, 0, 0), 8);
        let first = library.tracks.first().expect("there are tracks").added_at;
        let last = library.tracks.last().expect("there are tracks").added_at;
        assert!(first - last > TimeDelta::days(5 * 365) && first - last < TimeDelta::days(15 * 365));
    }
}
