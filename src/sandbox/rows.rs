//! The answers of single endpoints: rows of listings and their envelopes, made of the objects in `wire.rs`.

use serde::Serialize;

use super::wire::{AlbumWire, ArtistWire, FollowersWire, Identity, MediaWire, TrackWire, UserWire};

#[derive(Serialize)]
pub struct MeWire<'a> {
    #[serde(flatten)]
    pub identity: Identity<'a>,
    pub account_id: &'a str,
    pub display_name: &'a str,
    pub images: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explicit_content: Option<ExplicitContentWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub followers: Option<FollowersWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<&'static str>,
}

#[derive(Serialize)]
pub struct ExplicitContentWire {
    pub filter_enabled: bool,
    pub filter_locked: bool,
}

#[derive(Serialize)]
pub struct SavedTrackWire<'a> {
    pub added_at: String,
    pub track: Option<TrackWire<'a>>,
}

#[derive(Serialize)]
pub struct SavedAlbumWire<'a> {
    pub added_at: String,
    pub album: AlbumWire<'a>,
}

#[derive(Serialize)]
pub struct FollowingWire<'a> {
    pub artists: ArtistPagingWire<'a>,
}

#[derive(Serialize)]
pub struct ArtistPagingWire<'a> {
    pub href: String,
    pub limit: usize,
    pub next: Option<String>,
    pub cursors: AfterWire<'a>,
    pub total: usize,
    pub items: Vec<ArtistWire<'a>>,
}

#[derive(Serialize)]
pub struct AfterWire<'a> {
    pub after: Option<&'a str>,
}

#[derive(Serialize)]
pub struct ContentsRefWire {
    pub href: String,
    pub total: usize,
}

#[derive(Serialize)]
pub struct ThumbnailWire {
    pub url: (),
}

/// A slot of a playlist. The media is under one of two names, and null if there is none.
#[derive(Serialize)]
pub struct PlaylistItemWire<'a> {
    pub added_at: Option<String>,
    pub added_by: Option<UserWire<'a>>,
    pub is_local: bool,
    pub primary_color: (),
    pub video_thumbnail: ThumbnailWire,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<Option<MediaWire<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track: Option<Option<MediaWire<'a>>>,
}

#[derive(Serialize)]
pub struct RecentlyPlayedWire<'a> {
    pub href: String,
    pub limit: usize,
    pub next: Option<String>,
    pub cursors: Option<PlayCursorsWire>,
    pub items: Vec<PlayWire<'a>>,
}

#[derive(Serialize)]
pub struct PlayCursorsWire {
    pub after: String,
    pub before: String,
}

#[derive(Serialize)]
pub struct PlayWire<'a> {
    pub track: TrackWire<'a>,
    pub played_at: String,
    /// Where it was started from.
    pub context: Option<ContextWire>,
}

#[derive(Serialize)]
pub struct ContextWire {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub uri: String,
}
