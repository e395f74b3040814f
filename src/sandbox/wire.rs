//! The objects of the Web API as they are spelled in JSON. The types borrow from the catalogue and write themselves
//! straight into the answer, so that a page costs what its bytes cost. `renderer.rs` decides which fields are filled.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use super::catalogue::Art;

/// The host in every address inside an answer. It is that of the real API and not of this server: a client that follows
/// `next` instead of building its own address leaves, and is caught.
pub const HOST: &str = "https://api.spotify.com/v1";

pub const MARKETS: &[&str] = &[
    "AD", "AE", "AR", "AT", "AU", "BE", "BG", "BO", "BR", "CA", "CH", "CL", "CO", "CR", "CY", "CZ", "DE", "DK", "EE",
    "ES", "FI", "FR", "GB", "GR", "HK", "HU", "IE", "IL", "IN", "IS", "IT", "JP", "KR", "LT", "LU", "LV", "MX", "NL",
    "NO", "NZ", "PL", "PT", "RO", "SE", "SG", "SK", "TR", "US", "VN", "ZA",
];

/// A date in the format of `added_at`: whole seconds.
pub fn seconds(date: DateTime<Utc>) -> String {
    date.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A date in the format of `played_at`: milliseconds.
pub fn millis(date: DateTime<Utc>) -> String {
    date.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The kind of object that an id belongs to.
#[derive(Clone, Copy)]
pub enum Kind {
    Track,
    Album,
    Artist,
    Playlist,
    User,
    Episode,
    Show,
    Audiobook,
}

impl Kind {
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Track => "track",
            Kind::Album => "album",
            Kind::Artist => "artist",
            Kind::Playlist => "playlist",
            Kind::User => "user",
            Kind::Episode => "episode",
            Kind::Show => "show",
            Kind::Audiobook => "audiobook",
        }
    }
}

/// Addresses are most of an answer, so they are concatenated rather than formatted: a page costs a quarter less.
macro_rules! address {
    ($($(#[$doc:meta])* $name:ident => $before:literal, $after:literal;)*) => {$(
        $(#[$doc])*
        pub struct $name<'a>(pub Kind, pub &'a str);

        impl Serialize for $name<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&[$before, self.0.word(), $after, self.1].concat())
            }
        }
    )*};
}

address! {
    /// `spotify:track:…`
    Uri => "spotify:", ":";
    /// The object in the Web API.
    Href => "https://api.spotify.com/v1/", "s/";
    /// The object in the web player.
    Open => "https://open.spotify.com/", "/";
}

/// `external_urls`.
#[derive(Serialize)]
pub struct Links<'a> {
    pub spotify: Open<'a>,
}

/// The fields that identify an object.
#[derive(Serialize)]
pub struct Identity<'a> {
    pub external_urls: Links<'a>,
    pub href: Href<'a>,
    pub id: &'a str,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub uri: Uri<'a>,
}

impl<'a> Identity<'a> {
    pub fn of(kind: Kind, id: &'a str) -> Identity<'a> {
        Identity {
            external_urls: Links { spotify: Open(kind, id) },
            href: Href(kind, id),
            id,
            kind: kind.word(),
            uri: Uri(kind, id),
        }
    }
}

/// An image in one of its sizes: the first 16 digits of the address encode which.
pub struct ImageUrl(&'static str, Art);

impl Serialize for ImageUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("https://i.scdn.co/image/{}{:024x}", self.0, self.1.0))
    }
}

#[derive(Serialize)]
pub struct ImageWire {
    pub url: ImageUrl,
    pub height: Option<u16>,
    pub width: Option<u16>,
}

pub type ThreeImages = [ImageWire; 3];

/// A playlist has one image, whose size is not given.
pub fn playlist_image(art: Art) -> ImageWire {
    ImageWire { url: ImageUrl("ab67706c0000da84", art), height: None, width: None }
}

fn images(art: Art, sizes: [(&'static str, u16); 3]) -> ThreeImages {
    sizes.map(|(prefix, size)| ImageWire { url: ImageUrl(prefix, art), height: Some(size), width: Some(size) })
}

pub fn album_images(art: Art) -> ThreeImages {
    images(art, [("ab67616d0000b273", 640), ("ab67616d00001e02", 300), ("ab67616d00004851", 64)])
}

pub fn artist_images(art: Art) -> ThreeImages {
    images(art, [("ab6761610000e5eb", 640), ("ab67616100005174", 320), ("ab6761610000f178", 160)])
}

pub fn show_images(art: Art) -> ThreeImages {
    images(art, [("ab6765630000ba8a", 640), ("ab67656300005f1f", 300), ("ab6765630000f68d", 64)])
}

#[derive(Serialize)]
pub struct FollowersWire {
    pub href: (),
    pub total: u32,
}

#[derive(Serialize)]
pub struct IsrcWire<'a> {
    pub isrc: &'a str,
}

#[derive(Serialize)]
pub struct UpcWire<'a> {
    pub upc: &'a str,
}

#[derive(Serialize)]
pub struct CopyrightWire {
    pub text: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// A field that a later version of the Web API may send.
#[derive(Serialize)]
pub struct FutureWire {
    pub since: &'static str,
    pub levels: (u8, (), f32),
}

#[derive(Serialize)]
pub struct SimpleArtistWire<'a> {
    #[serde(flatten)]
    pub identity: Identity<'a>,
    pub name: &'a str,
}

#[derive(Serialize)]
pub struct ArtistWire<'a> {
    #[serde(flatten)]
    pub identity: Identity<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub followers: Option<FollowersWire>,
    pub genres: &'a [String],
    pub images: ThreeImages,
    pub name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub popularity: Option<u8>,
}

#[derive(Serialize)]
pub struct SimpleAlbumWire<'a> {
    #[serde(flatten)]
    pub identity: Identity<'a>,
    pub album_type: &'static str,
    pub artists: Vec<SimpleArtistWire<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_markets: Option<&'static [&'static str]>,
    pub images: Option<ThreeImages>,
    pub name: &'a str,
    pub release_date: &'a str,
    pub release_date_precision: &'static str,
    pub total_tracks: usize,
}

/// A saved album: all of it, with its tracks.
#[derive(Serialize)]
pub struct AlbumWire<'a> {
    #[serde(flatten)]
    pub simple: SimpleAlbumWire<'a>,
    pub copyrights: [CopyrightWire; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_ids: Option<UpcWire<'a>>,
    pub genres: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub popularity: Option<u8>,
    pub tracks: PagingWire<SimpleTrackWire<'a>>,
}

#[derive(Serialize)]
pub struct SimpleTrackWire<'a> {
    #[serde(flatten)]
    pub identity: Identity<'a>,
    pub artists: Vec<SimpleArtistWire<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_markets: Option<&'static [&'static str]>,
    pub disc_number: u8,
    pub duration_ms: u32,
    pub explicit: bool,
    pub is_local: bool,
    pub name: &'a str,
    pub preview_url: (),
    pub track_number: u8,
}

#[derive(Serialize)]
pub struct TrackWire<'a> {
    #[serde(flatten)]
    pub simple: SimpleTrackWire<'a>,
    pub album: SimpleAlbumWire<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_ids: Option<IsrcWire<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub future_field: Option<FutureWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub popularity: Option<u8>,
}

#[derive(Serialize)]
pub struct ShowWire<'a> {
    #[serde(flatten)]
    pub identity: Identity<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_markets: Option<&'static [&'static str]>,
    pub description: &'a str,
    pub explicit: bool,
    pub images: ThreeImages,
    pub media_type: &'static str,
    pub name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publisher: Option<&'a String>,
    pub total_episodes: u32,
}

#[derive(Serialize)]
pub struct EpisodeWire<'a> {
    #[serde(flatten)]
    pub identity: Identity<'a>,
    pub duration_ms: u32,
    pub explicit: bool,
    pub images: ThreeImages,
    pub is_externally_hosted: bool,
    pub is_playable: bool,
    pub languages: [&'static str; 1],
    pub name: &'a str,
    pub release_date: &'a str,
    pub release_date_precision: &'static str,
    pub show: ShowWire<'a>,
}

/// An object that does not exist in the Web API: an empty shell around a name.
#[derive(Serialize)]
pub struct ShellWire<'a> {
    pub external_urls: Nothing,
    pub href: (),
    pub id: (),
    pub name: &'a str,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub uri: Option<String>,
}

#[derive(Serialize)]
pub struct Nothing {}

#[derive(Serialize)]
pub struct LocalAlbumWire<'a> {
    #[serde(flatten)]
    pub shell: ShellWire<'a>,
    pub album_type: (),
    pub artists: [(); 0],
    pub available_markets: [(); 0],
    pub images: [(); 0],
    pub release_date: (),
    pub release_date_precision: (),
}

#[derive(Serialize)]
pub struct LocalTrackWire<'a> {
    #[serde(flatten)]
    pub shell: ShellWire<'a>,
    pub album: LocalAlbumWire<'a>,
    pub artists: [ShellWire<'a>; 1],
    pub disc_number: u8,
    pub duration_ms: u32,
    pub explicit: bool,
    pub external_ids: Nothing,
    pub is_local: bool,
    pub preview_url: (),
    pub track_number: u8,
}

/// The object in a playlist slot.
#[derive(Serialize)]
#[serde(untagged)]
pub enum MediaWire<'a> {
    Track(Box<TrackWire<'a>>),
    Episode(Box<EpisodeWire<'a>>),
    Local(Box<LocalTrackWire<'a>>),
}

#[derive(Serialize)]
pub struct UserWire<'a> {
    #[serde(flatten)]
    pub identity: Identity<'a>,
    /// Left out if users are only mentioned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<Option<&'a str>>,
}

/// A playlist, with a representation of its contents.
#[derive(Serialize)]
pub struct PlaylistWire<'a, C> {
    #[serde(flatten)]
    pub identity: Identity<'a>,
    pub collaborative: bool,
    pub description: Option<&'a str>,
    pub images: Vec<ImageWire>,
    pub name: &'a str,
    pub owner: UserWire<'a>,
    pub primary_color: (),
    pub public: Option<bool>,
    pub snapshot_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<C>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracks: Option<C>,
}

/// A page of a listing.
#[derive(Serialize)]
pub struct PagingWire<T> {
    pub href: String,
    pub limit: usize,
    pub next: Option<String>,
    pub offset: usize,
    pub previous: Option<String>,
    pub total: usize,
    pub items: Vec<T>,
}
