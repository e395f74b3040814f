//! The rows that a commit writes, table by table: the source of each column, and what it does when the row already
//! exists (see `upsert::Merge`).
//!
//! Rows come from many places, some with fewer fields: the album inside a track has no UPC, the artist inside an album
//! no genres. And any place may omit a field for a while. So silence erases nothing. The table says for each column
//! what counts as silence (`null`, a missing field and a value of the wrong type always do), and what replaces a known
//! value.
//!
//! | column | also silence | replaced by |
//! |---|---|---|
//! | `name` of anything | an empty text, blanks | any other; one that contains U+FFFD only if the known one does, too |
//! | `artists.genres`; `audiobooks.authors`, `narrators` | `[]` | a list that is not empty |
//! | `image_url` of anything | `[]`, images without address | an address |
//! | `albums.album_type`, `upc`; `tracks.isrc`; `playlists.owner_id`, `owner_name`; `publisher`, `description` and the like of what is spoken | an empty text, blanks | any other text; one that contains U+FFFD as above |
//! | `albums.release_date`, `episodes.release_date`, with its precision | an empty text, blanks, the year 0000 | any other date; one that contains U+FFFD as above |
//! | `albums.total_tracks`, `shows.total_episodes`, `audiobooks.total_chapters`; `tracks.duration_ms`, `episodes.duration_ms`, `disc_number`, `track_number` | 0 and less | a number from 1 on |
//! | `explicit` of anything; `playlists.public`, `collaborative` | | true and false |
//! | `tracks.album_id`; the artist at a position in a list | a name without an id, if an id is known | an id |
//! | how many artists there are (`num_artists`) | `[]`, and a list that cannot be read in full | a list that can be read |
//! | `tracks.uri`, `saved_*.added_at` | a date that cannot be read | any other |
//! | `playlists.description` | | any text, including `""`: its owner has emptied it; one that contains U+FFFD as above |
//! | `playlists.total_items` | | any number, including 0: what happens to its items is decided elsewhere |
//! | `playlists.snapshot_id` | nothing: silence clears it | any value |
//! | a place in a playlist that has the same `uri` as before | as for any name; for the other columns `null` | as for any name; any other value |
//! | a place in a playlist with another `uri`, or without one | nothing: the new content replaces the old | any value; see `versions` |
//!
//! A `snapshot_id` is not a lasting fact but the state of a list, by which it is known to be unchanged: one that is
//! missing is not known.

use super::types::{At, Words, clean};
use super::upsert::upsert_rows;
use crate::model::{AccountId, Album, Artist, ArtistRef, EntityType, Oddity, Playlist, PlaylistItem, Track};

upsert_rows! {
    ArtistRow<'a> in artists returning (id: String, rev: i64) {
        id: Words<'a> => Key,
        name: Words<'a> => Name,
        genres: Option<String> => List,
        image_url: Option<Words<'a>> => Known,
        fetched_at: At => Stamp,
    }

    /// `num_artists` makes a list of artists that only became shorter count as a change.
    AlbumRow<'a> in albums returning (id: String, rev: i64) {
        id: Words<'a> => Key,
        name: Words<'a> => Name,
        album_type: Option<Words<'a>> => Text,
        release_date: Option<Words<'a>> => Text,
        release_date_precision: Option<Words<'a>> => Text,
        total_tracks: Option<i32> => Known,
        upc: Option<Words<'a>> => Text,
        image_url: Option<Words<'a>> => Known,
        num_artists: Option<i64> => Known,
        fetched_at: At => Stamp,
    }

    TrackRow<'a> in tracks returning (id: String, rev: i64) {
        id: Words<'a> => Key,
        uri: Option<Words<'a>> => Known,
        name: Words<'a> => Name,
        album_id: Option<Words<'a>> => Link,
        duration_ms: Option<i32> => Known,
        explicit: Option<bool> => Known,
        disc_number: Option<i32> => Known,
        track_number: Option<i32> => Known,
        isrc: Option<Words<'a>> => Text,
        num_artists: Option<i64> => Known,
        fetched_at: At => Stamp,
        source: &'static str => Follow,
    }

    AlbumArtistRow<'a> in album_artists returning (album_id: String, position: i64) {
        album_id: Words<'a> => Key,
        artist_id: Words<'a> => Link,
        position: i64 => Key,
    }

    TrackArtistRow<'a> in track_artists returning (track_id: String, position: i64) {
        track_id: Words<'a> => Key,
        artist_id: Words<'a> => Link,
        position: i64 => Key,
    }

    PlaylistRow<'a> in playlists returning (id: String, rev: i64) {
        id: Words<'a> => Key,
        name: Words<'a> => Name,
        description: Option<Words<'a>> => Text,
        owner_id: Option<Words<'a>> => Known,
        owner_name: Option<Words<'a>> => Text,
        public: Option<bool> => Known,
        collaborative: Option<bool> => Known,
        snapshot_id: Option<Words<'a>> => Follow,
        total_items: Option<i32> => Known,
        image_url: Option<Words<'a>> => Known,
        fetched_at: At => Stamp,
    }

    SavedTrackRow<'a> in saved_tracks returning (track_id: String, rev: i64) {
        account_id: i64 => Key,
        track_id: Words<'a> => Key,
        added_at: Option<At> => Known,
        removed_at: Option<At> => Follow,
    }

    SavedAlbumRow<'a> in saved_albums returning (album_id: String, rev: i64) {
        account_id: i64 => Key,
        album_id: Words<'a> => Key,
        added_at: Option<At> => Known,
        removed_at: Option<At> => Follow,
    }

    FollowedArtistRow<'a> in followed_artists returning (artist_id: String, rev: i64) {
        account_id: i64 => Key,
        artist_id: Words<'a> => Key,
        first_seen_at: At => Once,
        removed_at: Option<At> => Follow,
    }

    LibraryPlaylistRow<'a> in library_playlists returning (playlist_id: String, rev: i64) {
        account_id: i64 => Key,
        playlist_id: Words<'a> => Key,
        position: i64 => Follow,
        first_seen_at: Option<At> => Once,
        removed_at: Option<At> => Follow,
    }

    /// A place in a playlist: its present content replaces the earlier one. If it is the same item, silence erases
    /// nothing.
    PlaylistItemRow<'a> in playlist_items returning (playlist_id: String, position: i64, rev: i64) {
        playlist_id: Words<'a> => Key,
        position: i64 => Key,
        uri: Option<Words<'a>> => Follow,
        kind: &'static str => Follow,
        track_id: Option<Words<'a>> => OfItem,
        name: Option<Words<'a>> => NameOfItem,
        added_at: Option<At> => OfItem,
        added_by: Option<Words<'a>> => OfItem,
    }

    /// What a reading that is not whole yet has found there.
    PlaylistItemReadRow<'a> in playlist_items_read {
        account_id: i64 => Key,
        playlist_id: Words<'a> => Key,
        position: i64 => Key,
        uri: Option<Words<'a>> => Follow,
        kind: &'static str => Follow,
        track_id: Option<Words<'a>> => Follow,
        name: Option<Words<'a>> => Follow,
        added_at: Option<At> => Follow,
        added_by: Option<Words<'a>> => Follow,
    }

    /// What an account can see of a playlist, and how its readings ended.
    PlaylistReadingRow<'a> in playlist_readings {
        account_id: i64 => Key,
        playlist_id: Words<'a> => Key,
        items_readable: bool => Follow,
        snapshot_id: Option<Words<'a>> => Follow,
        read_at: Option<At> => Follow,
        failure: Option<&'a str> => Follow,
        reason: Option<Words<'a>> => Follow,
        tries: i64 => Follow,
        since: Option<At> => Follow,
        tried_snapshot_id: Option<Words<'a>> => Follow,
        tried_total: Option<i64> => Follow,
        next_try_at: Option<At> => Follow,
        look_again_at: Option<At> => Follow,
        walk_generation: Option<i64> => Follow,
        walk_offset: Option<i64> => Follow,
        walk_hidden: i64 => Follow,
        walk_in_place: bool => Follow,
    }

    /// What is known of a place in a playlist, although this reading did not show it.
    KnownItemRow<'a> in playlist_items returning (position: i64, rev: i64) {
        playlist_id: Words<'a> => Key,
        position: i64 => Key,
        uri: Option<Words<'a>> => Known,
        kind: &'a str => Follow,
        track_id: Option<Words<'a>> => Known,
        name: Option<Words<'a>> => Known,
        added_at: Option<At> => Known,
    }

    /// Something that was added to a playlist or removed from it.
    PlaylistChangeRow<'a> in playlist_changes {
        version_id: i64 => Key,
        number: i64 => Key,
        kind: &'static str => Follow,
        position: i64 => Follow,
        uri: Option<Words<'a>> => Follow,
        name: Option<Words<'a>> => Follow,
        track_id: Option<Words<'a>> => Follow,
        added_at: Option<At> => Follow,
    }

    /// What a pass has seen; an item that it saw twice is there twice.
    SeenRow<'a> in sync_seen {
        account_id: i64 => Once,
        entity_type: &'static str => Once,
        pass: i64 => Once,
        item_id: Words<'a> => Once,
    }

    /// A held removal, with the moment from which it was first missed.
    HeldRow<'a> in held_removals {
        account_id: i64 => Key,
        entity_type: &'static str => Key,
        playlist_id: Words<'a> => Key,
        item_id: Words<'a> => Key,
        since: At => Once,
        is_counted: bool => Once,
        is_confirmed: bool => Once,
    }

    OddRow<'a> in sync_odd_items {
        account_id: i64 => Key,
        entity_type: &'static str => Key,
        playlist_id: Words<'a> => Key,
        position: i64 => Key,
        reason: String => Follow,
        name: Option<Words<'a>> => Follow,
        uri: Option<Words<'a>> => Follow,
        seen_at: At => Stamp,
    }

    /// A play that an export has already added stays the export's. The API does not know `ms_played`.
    PlayRow<'a> in plays {
        account_id: i64 => Key,
        played_at: At => Key,
        track_uri: Words<'a> => Key,
        track_id: Option<Words<'a>> => Known,
        context_uri: Option<Words<'a>> => Known,
        source: &'static str => Once,
    }
}

pub(super) fn words(text: &Option<String>) -> Option<Words<'_>> {
    text.as_deref().map(Words)
}

/// The length of a list of artists: an empty list counts as silence, and one that cannot be read in full has no known
/// length.
fn num_artists(artists: &[ArtistRef]) -> Option<i64> {
    let is_whole = !artists.is_empty() && !artists.iter().any(ArtistRef::is_unread);
    is_whole.then(|| i64::try_from(artists.len()).ok()).flatten()
}

impl<'a> ArtistRow<'a> {
    pub fn full(artist: &'a Artist, at: At) -> ArtistRow<'a> {
        ArtistRow {
            id: Words(&artist.id),
            name: Words(&artist.name),
            genres: artist.genres.as_ref().map(|genres| serde_json::Value::from(genres.clone()).to_string()),
            image_url: words(&artist.image_url),
            fetched_at: at,
        }
    }

    pub fn mentioned(artist: &'a ArtistRef, at: At) -> ArtistRow<'a> {
        ArtistRow { id: Words(&artist.id), name: Words(&artist.name), genres: None, image_url: None, fetched_at: at }
    }
}

impl<'a> AlbumRow<'a> {
    pub fn new(album: &'a Album, at: At) -> AlbumRow<'a> {
        AlbumRow {
            id: Words(&album.id),
            name: Words(&album.name),
            album_type: words(&album.album_type),
            release_date: words(&album.release_date),
            release_date_precision: words(&album.release_date_precision),
            total_tracks: album.total_tracks,
            upc: words(&album.upc),
            image_url: words(&album.image_url),
            num_artists: num_artists(&album.artists),
            fetched_at: at,
        }
    }
}

impl<'a> TrackRow<'a> {
    pub fn new(track: &'a Track, at: At) -> TrackRow<'a> {
        TrackRow {
            id: Words(&track.id),
            uri: words(&track.uri),
            name: Words(&track.name),
            album_id: track.album.as_ref().map(|album| Words(&album.id)),
            duration_ms: track.duration_ms,
            explicit: track.explicit,
            disc_number: track.disc_number,
            track_number: track.track_number,
            isrc: words(&track.isrc),
            num_artists: num_artists(&track.artists),
            fetched_at: at,
            source: "api",
        }
    }
}

impl<'a> PlaylistRow<'a> {
    pub fn new(playlist: &'a Playlist, at: At) -> PlaylistRow<'a> {
        PlaylistRow {
            id: Words(&playlist.id),
            name: Words(&playlist.name),
            description: words(&playlist.description),
            owner_id: words(&playlist.owner_id),
            owner_name: words(&playlist.owner_name),
            public: playlist.public,
            collaborative: playlist.collaborative,
            snapshot_id: words(&playlist.snapshot_id),
            total_items: playlist.total_items,
            image_url: words(&playlist.image_url),
            fetched_at: at,
        }
    }
}

impl<'a> PlaylistItemRow<'a> {
    pub fn new(playlist_id: &'a str, position: u32, item: &'a PlaylistItem) -> PlaylistItemRow<'a> {
        PlaylistItemRow {
            playlist_id: Words(playlist_id),
            position: i64::from(position),
            uri: words(&item.uri),
            kind: item.kind.as_str(),
            track_id: item.track.as_ref().map(|track| Words(&track.id)),
            name: words(&item.name),
            added_at: item.added_at.map(At::from),
            added_by: words(&item.added_by),
        }
    }
}

impl<'a> PlaylistItemReadRow<'a> {
    pub fn new(account: AccountId, row: &PlaylistItemRow<'a>) -> PlaylistItemReadRow<'a> {
        let PlaylistItemRow { playlist_id, position, uri, kind, track_id, name, added_at, added_by } = *row;
        let account_id = account.0;
        PlaylistItemReadRow { account_id, playlist_id, position, uri, kind, track_id, name, added_at, added_by }
    }
}

impl<'a> OddRow<'a> {
    pub fn new(account: AccountId, entity_type: &'static str, position: i64, odd: &'a Oddity, at: At) -> OddRow<'a> {
        let (name, uri) = odd.label();
        OddRow {
            account_id: account.0,
            entity_type,
            playlist_id: Words(""),
            position,
            reason: clean(&odd.reason()).into_owned(),
            name: name.map(Words),
            uri: uri.map(Words),
            seen_at: at,
        }
    }
}

impl<'a> SeenRow<'a> {
    pub fn new(account: AccountId, entity: EntityType, pass: i64, item_id: &'a str) -> SeenRow<'a> {
        SeenRow { account_id: account.0, entity_type: entity.as_str(), pass, item_id: Words(item_id) }
    }
}

/// The playlist of a removal from an entity type's own listing.
pub(super) const LISTING: &str = "";
