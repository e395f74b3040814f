//! Makes up artists, albums, tracks and episodes that look like real ones, down to recording codes and check digits.
//! Other spoken items are made up in `spoken`.

use fastrand::Rng;

use super::catalogue::{
    Album, AlbumNo, AlbumType, Art, Artist, ArtistNo, Catalogue, Episode, EpisodeNo, Release, Track, TrackNo,
};
use super::names::Namer;

/// Most tracks of a made-up album: a saved album contains all of them in its one embedded page.
pub const ALBUM_TRACKS_MAX: usize = 20;
/// How many episodes a catalogue has.
const NUM_EPISODES: usize = 12;
/// One album in this many is a compilation by various artists.
const COMPILATION_EVERY: usize = 16;

/// Makes up entities and puts them into a catalogue.
pub struct Maker<'a> {
    pub catalogue: &'a mut Catalogue,
    pub rng: &'a mut Rng,
}

impl Maker<'_> {
    /// An id like those of the Web API: 22 characters of base 62. A repeat is as likely as two equal random UUIDs.
    pub fn id(&mut self) -> String {
        let mut id = String::with_capacity(22);
        id.push(self.rng.digit(8));
        id.extend((0..21).map(|_| self.rng.alphanumeric()));
        id
    }

    /// An image.
    pub fn art(&mut self) -> Art {
        Art(self.rng.u128(..1 << 96))
    }

    /// An artist nobody has heard of.
    pub fn artist(&mut self) -> ArtistNo {
        let name = Namer(self.rng).artist();
        let id = self.id();
        self.artist_named(id, name)
    }

    /// An artist with that id and name.
    pub fn artist_named(&mut self, id: String, name: String) -> ArtistNo {
        let genres = Namer(self.rng).genres().into_iter().map(str::to_owned).collect();
        let artist = Artist {
            id,
            name,
            genres,
            art: self.art(),
            followers: self.rng.u32(40..2_000_000),
            popularity: self.rng.u8(..90),
        };
        self.catalogue.add_artist(artist)
    }

    /// One of the existing artists, early ones far more often: a few artists make most of a library.
    fn known_artist(&mut self) -> ArtistNo {
        let skewed = self.rng.f64() * self.rng.f64();
        self.catalogue.artist_at(skewed).unwrap_or_else(|| self.artist())
    }

    /// One of the existing tracks.
    pub fn known_track(&mut self) -> Option<TrackNo> {
        self.catalogue.track_at(self.rng.f64())
    }

    /// One of the existing episodes.
    pub fn known_episode(&mut self) -> Option<EpisodeNo> {
        self.catalogue.episode_at(self.rng.f64())
    }

    /// An album with all its tracks, by artists of the catalogue.
    pub fn album(&mut self) -> AlbumNo {
        let is_compilation = (self.catalogue.num_albums() + 1).is_multiple_of(COMPILATION_EVERY);
        let (album_type, num_tracks, name) = if is_compilation {
            (AlbumType::Compilation, self.rng.usize(12..=ALBUM_TRACKS_MAX), Namer(self.rng).compilation())
        } else if self.rng.u8(..10) < 3 {
            (AlbumType::Single, self.rng.usize(1..=4), Namer(self.rng).album())
        } else {
            (AlbumType::Album, self.rng.usize(7..=16), Namer(self.rng).album())
        };
        let artists = if is_compilation { vec![self.various_artists()] } else { vec![self.known_artist()] };
        let id = self.id();
        let album = self.album_of(id, name, album_type, artists);
        let discs_of = if num_tracks > 14 { num_tracks.div_ceil(2) } else { num_tracks };
        for i in 0..num_tracks {
            let artists = self.track_artists(album);
            let guest = artists.get(1).map(|guest| self.catalogue[*guest].name.clone());
            let (id, name) = (self.id(), Namer(self.rng).title(guest.as_deref()));
            self.track_of(id, name, album, artists, (i / discs_of + 1, i % discs_of + 1));
        }
        album
    }

    /// An album with that id and name, still without tracks.
    pub fn album_of(&mut self, id: String, name: String, album_type: AlbumType, artists: Vec<ArtistNo>) -> AlbumNo {
        let album = Album {
            id,
            name,
            album_type,
            artists,
            release: self.release(),
            tracks: Vec::new(),
            upc: Some(self.upc()),
            art: Some(self.art()),
            label: Namer(self.rng).label(),
            popularity: self.rng.u8(..90),
        };
        self.catalogue.add_album(album)
    }

    /// A track with that id and name, at a position (disc, number) of its album.
    pub fn track_of(
        &mut self,
        id: String,
        name: String,
        album: AlbumNo,
        artists: Vec<ArtistNo>,
        (disc, number): (usize, usize),
    ) -> TrackNo {
        let track = Track {
            id,
            name,
            album,
            artists,
            duration_ms: self.rng.u32(61_000..420_000),
            explicit: self.rng.u8(..8) == 0,
            disc_number: u8::try_from(disc).unwrap_or(u8::MAX),
            track_number: u8::try_from(number).unwrap_or(u8::MAX),
            isrc: Some(self.isrc()),
            popularity: self.rng.u8(..90),
            has_future_fields: false,
        };
        self.catalogue.add_track(track)
    }

    /// The episodes that playlists draw from.
    pub fn episodes(&mut self) {
        let (id, name) = (self.id(), Namer(self.rng).album());
        let mut dice = Rng::with_seed(u64::from(name.len() as u32));
        let show = Maker { catalogue: self.catalogue, rng: &mut dice }.show_named(id, name);
        for i in 0..NUM_EPISODES {
            let episode = Episode {
                id: self.id(),
                name: format!("#{} {}", i + 1, Namer(self.rng).title(None)),
                show,
                duration_ms: self.rng.u32(900_000..7_200_000),
                release_date: format!("2025-{:02}-{:02}", i % 12 + 1, self.rng.u8(1..=28)),
                art: self.art(),
            };
            self.catalogue.add_episode(episode);
        }
    }

    fn various_artists(&mut self) -> ArtistNo {
        if let Some(no) = self.catalogue.various_artists {
            return no;
        }
        let id = self.id();
        let no = self.artist_named(id, "Various Artists".to_owned());
        self.catalogue.various_artists = Some(no);
        no
    }

    /// Main artist first, up to three guests, no duplicates.
    fn track_artists(&mut self, album: AlbumNo) -> Vec<ArtistNo> {
        let mut artists = match self.catalogue[album].album_type {
            AlbumType::Compilation => vec![self.known_artist()],
            AlbumType::Album | AlbumType::Single => self.catalogue[album].artists.clone(),
        };
        let num_guests = match self.rng.u8(..20) {
            0..=13 => 0,
            14..=17 => 1,
            18 => 2,
            _ => 3,
        };
        for _ in 0..num_guests {
            let guest = self.known_artist();
            if !artists.contains(&guest) {
                artists.push(guest);
            }
        }
        artists
    }

    fn release(&mut self) -> Release {
        let (year, month, day) = (self.rng.u16(1966..2026), self.rng.u8(1..=12), self.rng.u8(1..=28));
        match self.rng.u8(..20) {
            0..=2 => Release { date: format!("{year}"), precision: "year" },
            3 => Release { date: format!("{year}-{month:02}"), precision: "month" },
            _ => Release { date: format!("{year}-{month:02}-{day:02}"), precision: "day" },
        }
    }

    /// A recording code: country, registrant, year, designation.
    fn isrc(&mut self) -> String {
        const COUNTRIES: [&str; 9] = ["US", "GB", "DE", "FR", "SE", "JP", "KR", "BR", "QZ"];
        let country = COUNTRIES[self.rng.usize(..COUNTRIES.len())];
        let mut registrant = || self.rng.uppercase();
        let registrant = [registrant(), registrant()];
        let (tail, year, designation) = (self.rng.digit(10), self.rng.u8(..100), self.rng.u32(..100_000));
        format!("{country}{}{}{tail}{year:02}{designation:05}", registrant[0], registrant[1])
    }

    /// A barcode of 13 digits, the last of which is the check digit.
    fn upc(&mut self) -> String {
        let digits: Vec<u32> = (0..12).map(|_| self.rng.u32(..10)).collect();
        let sum: u32 = digits.iter().zip([1, 3].into_iter().cycle()).map(|(digit, weight)| digit * weight).sum();
        let check = (10 - sum % 10) % 10;
        digits.into_iter().chain([check]).filter_map(|digit| char::from_digit(digit, 10)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn albums_are_as_the_web_api_describes_them() {
        let (mut catalogue, mut rng) = (Catalogue::default(), Rng::with_seed(5));
        let mut maker = Maker { catalogue: &mut catalogue, rng: &mut rng };
        for _ in 0..40 {
            maker.artist();
        }
        let albums: Vec<AlbumNo> = (0..64).map(|_| maker.album()).collect();
        for album in albums.iter().map(|no| &catalogue[*no]) {
            assert!((1..=ALBUM_TRACKS_MAX).contains(&album.tracks.len()));
            assert_eq!(album.id.len(), 22);
            for track in album.tracks.iter().map(|no| &catalogue[*no]) {
                assert!((1..=4).contains(&track.artists.len()));
                assert_eq!(track.isrc.as_ref().map(String::len), Some(12));
            }
        }
        assert!(albums.iter().any(|no| catalogue[*no].album_type == AlbumType::Compilation));
        assert!(albums.iter().any(|no| catalogue[*no].release.precision == "year"));
    }

    #[test]
    fn barcodes_carry_their_check_digit() {
        let (mut catalogue, mut rng) = (Catalogue::default(), Rng::with_seed(9));
        let upc = Maker { catalogue: &mut catalogue, rng: &mut rng }.upc();
        let sum: u32 =
            upc.chars().filter_map(|c| c.to_digit(10)).zip([1, 3].into_iter().cycle()).map(|(d, w)| d * w).sum();
        assert_eq!((upc.len(), sum % 10), (13, 0));
    }
}
