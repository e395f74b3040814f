//! Playlists that several people list. Each library has its own copy, made of its own catalogue; one person's changes
//! reach the others by the next request. Who may read it is decided as for any playlist: its owner, and everybody if it
//! is collaborative.

use std::collections::HashMap;

use super::catalogue::{Album, AlbumNo, Artist, ArtistNo, Catalogue, Episode, EpisodeNo, Track, TrackNo};
use super::library::{Library, Media, Playlist};

/// A playlist that one person shares with another.
#[derive(Clone, Debug)]
pub struct Share {
    pub of: usize,
    pub with: usize,
    pub playlist_id: String,
}

/// Synchronises two copies of a playlist: the one that was changed more often wins. The person with whom it is shared
/// gets it at the end of the list. Returns whether that person's copy changed.
pub fn spread(one: &mut Library, other: &mut Library, id: &str) -> bool {
    let version =
        |library: &Library| library.playlist(id).map(|playlist| (playlist.version, playlist.is_collaborative));
    match (version(one), version(other)) {
        (None, _) => false,
        (Some(ours), Some(theirs)) if ours.0 == theirs.0 => false,
        (Some(ours), Some(theirs)) if ours.0 < theirs.0 => {
            copy(other, one, id);
            false
        }
        (Some(_), _) => {
            copy(one, other, id);
            true
        }
    }
}

fn copy(from: &Library, to: &mut Library, id: &str) {
    let Some(playlist) = from.playlist(id) else { return };
    let mut translator = Translator::new(&from.catalogue, &mut to.catalogue);
    let mut copied: Playlist = playlist.clone();
    for item in &mut copied.items {
        item.media = match std::mem::replace(&mut item.media, Media::Missing) {
            Media::Track(no) => Media::Track(translator.track(no)),
            Media::Episode(no) => Media::Episode(translator.episode(no)),
            media @ (Media::Local(_) | Media::Missing) => media,
        };
    }
    match to.playlists.iter_mut().flatten().find(|playlist| playlist.id == id) {
        Some(known) => *known = copied,
        None => to.playlists.push(Some(copied)),
    }
}

/// Finds the items of one catalogue in another, and adds those that are missing.
struct Translator<'a> {
    from: &'a Catalogue,
    to: &'a mut Catalogue,
    artists: HashMap<String, ArtistNo>,
    albums: HashMap<String, AlbumNo>,
    tracks: HashMap<String, TrackNo>,
    episodes: HashMap<String, EpisodeNo>,
}

impl<'a> Translator<'a> {
    fn new(from: &'a Catalogue, to: &'a mut Catalogue) -> Translator<'a> {
        let artists = to.artists().map(|no| (to[no].id.clone(), no)).collect();
        let albums = to.albums().map(|no| (to[no].id.clone(), no)).collect();
        let tracks = to.tracks().map(|no| (to[no].id.clone(), no)).collect();
        let episodes = to.episodes().map(|no| (to[no].id.clone(), no)).collect();
        Translator { from, to, artists, albums, tracks, episodes }
    }

    fn artist(&mut self, no: ArtistNo) -> ArtistNo {
        let artist: &Artist = &self.from[no];
        if let Some(known) = self.artists.get(&artist.id) {
            return *known;
        }
        let added = self.to.add_artist(artist.clone());
        self.artists.insert(artist.id.clone(), added);
        added
    }

    fn album(&mut self, no: AlbumNo) -> AlbumNo {
        let album: &Album = &self.from[no];
        if let Some(known) = self.albums.get(&album.id) {
            return *known;
        }
        let artists = album.artists.iter().map(|no| self.artist(*no)).collect();
        let added = self.to.add_album(Album { artists, tracks: Vec::new(), ..album.clone() });
        self.albums.insert(album.id.clone(), added);
        added
    }

    /// A track comes with its whole album, so that albums have the same tracks for everybody.
    fn track(&mut self, no: TrackNo) -> TrackNo {
        let track: &Track = &self.from[no];
        if let Some(known) = self.tracks.get(&track.id) {
            return *known;
        }
        let album = self.album(track.album);
        for no in &self.from[track.album].tracks {
            let track: &Track = &self.from[*no];
            if self.tracks.contains_key(&track.id) {
                continue;
            }
            let artists = track.artists.iter().map(|no| self.artist(*no)).collect();
            let added = self.to.add_track(Track { album, artists, ..track.clone() });
            self.tracks.insert(track.id.clone(), added);
        }
        self.tracks[&track.id]
    }

    fn episode(&mut self, no: EpisodeNo) -> EpisodeNo {
        let episode: &Episode = &self.from[no];
        if let Some(known) = self.episodes.get(&episode.id) {
            return *known;
        }
        let added = self.to.add_episode(episode.clone());
        self.episodes.insert(episode.id.clone(), added);
        added
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::config::LibrarySpec;
    use crate::sandbox::generate;

    #[test]
    fn what_one_changes_the_other_has() {
        let spec = LibrarySpec::exact(20, 5, 10, 3, 10);
        let (mut one, mut other) = (generate::library(&spec, 3), generate::library(&spec, 4));
        let id = one.playlists[1].as_ref().expect("whole").id.clone();
        assert!(spread(&mut one, &mut other, &id));
        assert_eq!(uris(&one, &id), uris(&other, &id));
        assert!(!spread(&mut one, &mut other, &id), "nothing has changed");

        let playlist = one.playlists[1].as_mut().expect("whole");
        playlist.items.swap_remove(0);
        playlist.touch();
        assert!(spread(&mut one, &mut other, &id));
        assert_eq!(uris(&one, &id), uris(&other, &id));

        let theirs = other.playlists.iter_mut().flatten().find(|playlist| playlist.id == id).expect("listed");
        theirs.items.truncate(4);
        theirs.touch();
        spread(&mut one, &mut other, &id);
        assert_eq!((uris(&one, &id).len(), uris(&one, &id)), (4, uris(&other, &id)));
    }

    fn uris(library: &Library, id: &str) -> Vec<String> {
        let items = &library.playlist(id).expect("listed").items;
        let id = |media: &Media| match media {
            Media::Track(no) => library.catalogue[*no].id.clone(),
            Media::Episode(no) => library.catalogue[*no].id.clone(),
            Media::Local(file) => file.uri(),
            Media::Missing => String::new(),
        };
        items.iter().map(|item| id(&item.media)).collect()
    }
}
