//! Turns entities of the catalogue into wire objects, in either dialect. The old one has fields that the current one
//! dropped, and other names for the contents of a playlist.

use super::catalogue::{Album, AlbumNo, ArtistNo, Catalogue, TrackNo};
use super::config::Dialect;
use super::library::{LocalFile, Playlist, User};
use super::wire::{
    AlbumWire, ArtistWire, CopyrightWire, FollowersWire, FutureWire, HOST, Identity, IsrcWire, Kind, LocalAlbumWire,
    LocalTrackWire, MARKETS, Nothing, PagingWire, PlaylistWire, ShellWire, SimpleAlbumWire, SimpleArtistWire,
    SimpleTrackWire, TrackWire, UpcWire, UserWire, album_images, artist_images, playlist_image,
};

/// Most tracks that are embedded in an album.
const EMBEDDED_TRACKS: usize = 50;

/// A catalogue, seen through a dialect.
#[derive(Clone, Copy)]
pub struct Renderer<'a> {
    pub catalogue: &'a Catalogue,
    pub dialect: Dialect,
}

impl<'a> Renderer<'a> {
    /// A field that only the old dialect has.
    pub fn legacy<T>(self, field: T) -> Option<T> {
        (self.dialect == Dialect::Legacy).then_some(field)
    }

    fn simple_artists(self, artists: &'a [ArtistNo]) -> Vec<SimpleArtistWire<'a>> {
        let simple = |no: &ArtistNo| {
            let artist = &self.catalogue[*no];
            SimpleArtistWire { identity: Identity::of(Kind::Artist, &artist.id), name: &artist.name }
        };
        artists.iter().map(simple).collect()
    }

    /// An artist in full.
    pub fn artist(self, no: ArtistNo) -> ArtistWire<'a> {
        let artist = &self.catalogue[no];
        ArtistWire {
            identity: Identity::of(Kind::Artist, &artist.id),
            followers: self.legacy(FollowersWire { href: (), total: artist.followers }),
            genres: &artist.genres,
            images: artist_images(artist.art),
            name: &artist.name,
            popularity: self.legacy(artist.popularity),
        }
    }

    fn simple_album(self, album: &'a Album) -> SimpleAlbumWire<'a> {
        SimpleAlbumWire {
            identity: Identity::of(Kind::Album, &album.id),
            album_type: album.album_type.name(),
            artists: self.simple_artists(&album.artists),
            available_markets: self.legacy(MARKETS),
            images: album.art.map(album_images),
            name: &album.name,
            release_date: &album.release.date,
            release_date_precision: album.release.precision,
            total_tracks: album.tracks.len(),
        }
    }

    /// An album in full, with its tracks.
    pub fn album(self, no: AlbumNo) -> AlbumWire<'a> {
        let album = &self.catalogue[no];
        let year = &album.release.date[..4.min(album.release.date.len())];
        let copyright = |kind| CopyrightWire { text: format!("({kind}) {year} {}", album.label), kind };
        let address =
            |offset: usize| format!("{HOST}/albums/{}/tracks?offset={offset}&limit={EMBEDDED_TRACKS}", album.id);
        AlbumWire {
            simple: self.simple_album(album),
            copyrights: [copyright("C"), copyright("P")],
            external_ids: album.upc.as_deref().map(|upc| UpcWire { upc }),
            genres: [],
            label: self.legacy(album.label),
            popularity: self.legacy(album.popularity),
            tracks: PagingWire {
                href: address(0),
                limit: EMBEDDED_TRACKS,
                next: (album.tracks.len() > EMBEDDED_TRACKS).then(|| address(EMBEDDED_TRACKS)),
                offset: 0,
                previous: None,
                total: album.tracks.len(),
                items: album.tracks.iter().take(EMBEDDED_TRACKS).map(|no| self.simple_track(*no)).collect(),
            },
        }
    }

    fn simple_track(self, no: TrackNo) -> SimpleTrackWire<'a> {
        let track = &self.catalogue[no];
        SimpleTrackWire {
            identity: Identity::of(Kind::Track, &track.id),
            artists: self.simple_artists(&track.artists),
            available_markets: self.legacy(MARKETS),
            disc_number: track.disc_number,
            duration_ms: track.duration_ms,
            explicit: track.explicit,
            is_local: false,
            name: &track.name,
            preview_url: (),
            track_number: track.track_number,
        }
    }

    /// A track in full.
    pub fn track(self, no: TrackNo) -> TrackWire<'a> {
        let track = &self.catalogue[no];
        TrackWire {
            simple: self.simple_track(no),
            album: self.simple_album(&self.catalogue[track.album]),
            external_ids: track.isrc.as_deref().map(|isrc| IsrcWire { isrc }),
            future_field: track.has_future_fields.then_some(FutureWire { since: "2027-04", levels: (1, (), 0.5) }),
            popularity: self.legacy(track.popularity),
        }
    }

    /// A local file, which looks like a track with everything missing.
    pub fn local(self, file: &'a LocalFile) -> LocalTrackWire<'a> {
        let shell = |name, kind, uri| ShellWire { external_urls: Nothing {}, href: (), id: (), name, kind, uri };
        LocalTrackWire {
            shell: shell(&file.title, Kind::Track.word(), Some(file.uri())),
            album: LocalAlbumWire {
                shell: shell(&file.album, Kind::Album.word(), None),
                album_type: (),
                artists: [],
                available_markets: [],
                images: [],
                release_date: (),
                release_date_precision: (),
            },
            artists: [shell(&file.artist, Kind::Artist.word(), None)],
            disc_number: 0,
            duration_ms: file.seconds.saturating_mul(1000),
            explicit: false,
            external_ids: Nothing {},
            is_local: true,
            preview_url: (),
            track_number: 0,
        }
    }

    /// A user who is only mentioned.
    pub fn mention(self, id: &'a str) -> UserWire<'a> {
        UserWire { identity: Identity::of(Kind::User, id), display_name: None }
    }

    fn owner(self, user: &'a User) -> UserWire<'a> {
        UserWire { identity: Identity::of(Kind::User, &user.id), display_name: Some(user.display_name.as_deref()) }
    }

    /// A playlist with its contents under the dialect's name for them, or without.
    pub fn playlist<C>(self, playlist: &'a Playlist, contents: Option<C>) -> PlaylistWire<'a, C> {
        let (items, tracks) = match self.dialect {
            Dialect::Current => (contents, None),
            Dialect::Legacy => (None, contents),
        };
        PlaylistWire {
            identity: Identity::of(Kind::Playlist, &playlist.id),
            collaborative: playlist.is_collaborative,
            description: playlist.description.as_deref(),
            images: playlist.art.map(playlist_image).into_iter().collect(),
            name: &playlist.name,
            owner: self.owner(&playlist.owner),
            primary_color: (),
            public: playlist.is_public,
            snapshot_id: &playlist.snapshot_id,
            items,
            tracks,
        }
    }
}
