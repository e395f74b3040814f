//! A page of a listing, as the client passes it to the engine: slots in list order, odd ones included, so that
//! positions stay true.

use super::{Artist, Audiobook, EntityType, Episode, Family, Playlist, PlaylistItem, SavedAlbum, SavedTrack, Show};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A request to the API. `limit` is 1 to 50 slots.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PageRequest {
    /// `/me/tracks`, `/me/playlists` and the like: paged by offset.
    Listing { entity: EntityType, offset: u32, limit: u32 },
    /// `/me/following?type=artist`: paged by the id of the last artist seen. Without one the API begins anywhere.
    Following { after: Option<String>, limit: u32 },
    /// `/playlists/{id}/items`: paged by offset.
    PlaylistItems { playlist_id: String, offset: u32, limit: u32 },
}

/// The id before every artist. With a cursor the listing is sorted by id and complete; the first request without one
/// has been seen to skip artists (github.com/spotify/web-api/issues/314).
pub const FIRST_CURSOR: &str = "0000000000000000000000";

impl PageRequest {
    /// The quota family the request counts against.
    pub fn family(&self) -> Family {
        match self {
            PageRequest::Listing { entity, .. } => entity.family(),
            PageRequest::Following { .. } => EntityType::Artists.family(),
            PageRequest::PlaylistItems { .. } => Family::PlaylistItems,
        }
    }

    pub fn limit(&self) -> u32 {
        match self {
            PageRequest::Listing { limit, .. }
            | PageRequest::Following { limit, .. }
            | PageRequest::PlaylistItems { limit, .. } => *limit,
        }
    }
}

/// One answer of a listing. Its fields about itself are claims: each may be false.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The length of the whole listing according to the answer.
    pub total: Option<u32>,
    /// The most rows that the answer could have contained, by its own claim; fewer than requested if the API caps its
    /// pages.
    pub limit: Option<u32>,
    pub next: Next,
    /// Where a cursor listing continues; `None` at its end, and always for offset listings.
    pub next_cursor: Option<String>,
    pub slots: Vec<Slot>,
}

/// Whether the listing continues after a page, according to the page. The address itself is never followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Next {
    /// `next` is missing, or cannot be an address.
    #[default]
    Unsaid,
    /// `next` is null.
    End,
    /// `next` is set; its query may contain the offset at which the listing continues.
    Goes { offset: Option<u32> },
}

/// One place in a listing. A slot has an item, an oddity or both; one with both is usable but worth recording (a track
/// without a name).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub item: Option<Item>,
    /// When the row was added, by its own date, even if the row holds no readable item.
    pub added_at: Option<DateTime<Utc>>,
    pub odd: Option<Oddity>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Track(Box<SavedTrack>),
    Album(Box<SavedAlbum>),
    Artist(Box<Artist>),
    Playlist(Box<Playlist>),
    Show(Box<Show>),
    Episode(Box<Episode>),
    Audiobook(Box<Audiobook>),
    PlaylistItem(Box<PlaylistItem>),
}

/// Why a row is odd. Recorded and counted, never a reason to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Oddity {
    /// The row, or the object inside it, is `null`.
    Null,
    /// A place of a playlist is empty, without an explanation.
    Missing,
    /// Its URI shows that it does not belong in its listing: an episode among the tracks.
    Misplaced,
    /// Its kind is not known here.
    UnknownKind,
    /// No id, or an empty one.
    MissingId,
    /// No name, or an empty one (a takedown).
    MissingName,
    /// The API could not serve the slot; it is part of a gap.
    Unserved,
    /// The row has the wrong shape; the text says where.
    Undecodable(String),
    /// The database refuses the content of the row; the text says why.
    Refused(String),
    /// A row that does not belong in its listing, but has a name or a URI: they are kept with the reason.
    Named { why: Box<Oddity>, name: Option<String>, uri: Option<String> },
}

impl Oddity {
    /// The stored reason, short and stable.
    pub fn reason(&self) -> String {
        match self {
            Oddity::Null => "null".into(),
            Oddity::Missing => "missing".into(),
            Oddity::Misplaced => "misplaced".into(),
            Oddity::UnknownKind => "unknown_kind".into(),
            Oddity::MissingId => "missing_id".into(),
            Oddity::MissingName => "missing_name".into(),
            Oddity::Unserved => "unserved".into(),
            Oddity::Undecodable(why) => format!("undecodable: {why}"),
            Oddity::Refused(why) => format!("refused by the database: {why}"),
            Oddity::Named { why, .. } => why.reason(),
        }
    }

    /// The name and the URI of a row that has no other place.
    pub fn label(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Oddity::Named { name, uri, .. } => (name.as_deref(), uri.as_deref()),
            Oddity::Null
            | Oddity::Missing
            | Oddity::Misplaced
            | Oddity::UnknownKind
            | Oddity::MissingId
            | Oddity::MissingName
            | Oddity::Unserved
            | Oddity::Undecodable(_)
            | Oddity::Refused(_) => (None, None),
        }
    }
}

/// Identifies a slot when a walk checks its place: the id and the moment it was added. An item that was removed and
/// saved again is another slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SlotKey {
    pub id: Option<String>,
    pub added_at: Option<DateTime<Utc>>,
}

/// An item of the library as the database holds it, not marked removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: String,
    pub added_at: Option<DateTime<Utc>>,
}

/// The members to list: those added between two moments, inclusive. `None` is an open end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddedBetween {
    pub oldest: Option<DateTime<Utc>>,
    pub newest: Option<DateTime<Utc>>,
}

impl AddedBetween {
    pub fn includes(&self, added_at: DateTime<Utc>) -> bool {
        self.oldest.is_none_or(|oldest| oldest <= added_at) && self.newest.is_none_or(|newest| added_at <= newest)
    }

    /// Members without a date are listed if both ends are open.
    pub fn is_everything(&self) -> bool {
        *self == AddedBetween::default()
    }
}

impl Item {
    /// The Spotify id that membership is keyed by; playlist items have none.
    pub fn id(&self) -> Option<&str> {
        match self {
            Item::Track(saved) => Some(&saved.track.id),
            Item::Album(saved) => Some(&saved.album.id),
            Item::Artist(artist) => Some(&artist.id),
            Item::Playlist(playlist) => Some(&playlist.id),
            Item::Show(show) => Some(&show.id),
            Item::Episode(episode) => Some(&episode.id),
            Item::Audiobook(audiobook) => Some(&audiobook.id),
            Item::PlaylistItem(_) => None,
        }
    }
}

impl Slot {
    pub fn key(&self) -> SlotKey {
        if let Some(Item::PlaylistItem(item)) = &self.item {
            // It has no id of its own, and may occur twice.
            let id = item.uri.as_ref().or(item.name.as_ref()).cloned();
            return SlotKey { id, added_at: item.added_at.or(self.added_at) };
        }
        SlotKey { id: self.item.as_ref().and_then(Item::id).map(str::to_owned), added_at: self.added_at }
    }

    pub fn id(&self) -> Option<&str> {
        self.item.as_ref().and_then(Item::id)
    }
}
