//! Decodes a body into a page: the envelope strictly, each row by itself.
//!
//! A page that parses has as many slots as the answer has rows, in its order, so that positions stay true. Oddities of
//! a row are noted in its slot. A row with an id is kept whatever else is wrong with it.

use super::{
    media::{Media, media, track},
    room,
    row::Row,
    spoken::{audiobook_row, episode_row, show_row},
    wire::{
        self, AlbumTracksWire, ArtistWire, FollowingWire, Lax, PageWire, PlaylistItemWire, PlaylistWire,
        SavedAlbumWire, SavedTrackWire, UserWire,
    },
};
use crate::model::repair::repaired;
use crate::model::{
    Artist, EntityType, Item, Next, Oddity, Page, PageRequest, Playlist, PlaylistItem, PlaylistItemKind, SavedAlbum,
    SavedTrack, Slot, Track,
};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use std::mem::take;

/// Characters of an id.
const ID_LEN: usize = 22;

/// Who has signed in, from `/me`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub spotify_id: String,
    /// The id that Spotify recommends for linking accounts, since May 2026.
    pub spotify_account_id: Option<String>,
    pub display_name: Option<String>,
}

/// Why a body cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("is not UTF-8")]
    NotUtf8,
    #[error("is not a JSON object")]
    NotAnObject,
    #[error("ends in the middle")]
    CutShort,
    /// Only the position: serde's text may quote the body.
    #[error("does not parse (line {line}, column {column})")]
    Json { line: usize, column: usize },
    #[error("holds more rows than were asked for")]
    TooManyRows,
    #[error("holds far more than a page can")]
    TooLarge,
    #[error("has no usable user id")]
    NoUserId,
    /// Treating it as the end of the listing would lose the rest.
    #[error("is shorter than a page and does not say that the listing ends")]
    Endless,
    #[error("is that of another playlist")]
    OfAnother,
}

/// Reads a body whose outermost value is an object. (Serde would accept an array for one.) If it does not parse, it is
/// repaired first, and then read field by field: an invalid character costs itself and nothing else.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    if let Ok(text) = std::str::from_utf8(body)
        && text.trim_start().starts_with('{')
    {
        match room::bounded(|| serde_json::from_str(text)).map_err(unreadable) {
            Err(DecodeError::Json { .. }) => {}
            read => return read,
        }
    }
    let text = repaired(body).ok_or(DecodeError::TooLarge)?;
    if !text.trim_start().starts_with('{') {
        return Err(DecodeError::NotAnObject);
    }
    wire::read(&text).map_err(unreadable)
}

/// Reads a body in which every character counts, such as that of a token.
pub(super) fn object_as_it_is<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    let text = std::str::from_utf8(body).map_err(|_| DecodeError::NotUtf8)?;
    if !text.trim_start().starts_with('{') {
        return Err(DecodeError::NotAnObject);
    }
    wire::read(text).map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> DecodeError {
    match error.classify() {
        Category::Eof => DecodeError::CutShort,
        Category::Data if error.to_string().starts_with(wire::TOO_MANY_ROWS) => DecodeError::TooManyRows,
        Category::Data if error.to_string().starts_with(room::TOO_LARGE) => DecodeError::TooLarge,
        Category::Io | Category::Syntax | Category::Data => {
            DecodeError::Json { line: error.line(), column: error.column() }
        }
    }
}

pub(super) fn profile(body: &[u8]) -> Result<Profile, DecodeError> {
    let user: UserWire = object(body)?;
    let mut row = Row::default();
    Ok(Profile {
        spotify_id: row.id("id", user.id).map_err(|_| DecodeError::NoUserId)?,
        spotify_account_id: row.id("account_id", user.account_id).ok(),
        display_name: row.text("display_name", user.display_name),
    })
}

pub(super) fn page(request: &PageRequest, body: &[u8]) -> Result<Page, DecodeError> {
    match request {
        PageRequest::Following { .. } => rows(request, object::<FollowingWire>(body)?.artists, artist_row),
        PageRequest::Listing { entity, .. } => match entity {
            EntityType::Tracks => rows(request, object(body)?, track_row),
            EntityType::Albums => rows(request, object(body)?, album_row),
            EntityType::Artists => rows(request, object(body)?, artist_row),
            EntityType::Playlists => rows(request, object(body)?, playlist_row),
            EntityType::Shows => rows(request, object(body)?, show_row),
            EntityType::Episodes => rows(request, object(body)?, episode_row),
            EntityType::Audiobooks => rows(request, object(body)?, audiobook_row),
        },
        PageRequest::PlaylistItems { .. } => rows(request, object(body)?, playlist_item_row),
    }
}

/// Reads one kind of row. An error makes a slot without an item.
type Read<R> = fn(Lax<R>, &mut Row) -> Result<Item, Oddity>;

fn rows<R>(request: &PageRequest, page: PageWire<R>, read: Read<R>) -> Result<Page, DecodeError> {
    if let PageRequest::PlaylistItems { playlist_id, .. } = request
        && [&page.href, &page.next].into_iter().any(|address| is_of_another(address, playlist_id))
    {
        return Err(DecodeError::OfAnother);
    }
    let slots: Vec<Slot> = page.items.into_iter().map(|row| slot(row, read)).collect();
    let next_cursor = match request {
        PageRequest::Following { .. } => {
            let after = page.cursors.given().and_then(|cursors| Row::default().id("after", cursors.after).ok());
            next_cursor(&page.next, after, &slots)
        }
        PageRequest::Listing { .. } | PageRequest::PlaylistItems { .. } => None,
    };
    let total = page.total.given().and_then(|total| total.0);
    let limit = page.limit.given().and_then(|limit| limit.0).filter(|limit| *limit > 0);
    let next = next_of(&page.next);
    let is_short = (slots.len() as u64) < u64::from(request.limit());
    if is_short && total.is_none() && next_cursor.is_none() && !matches!(page.next, Lax::Null) {
        return Err(DecodeError::Endless);
    }
    Ok(Page { total, limit, next, next_cursor, slots })
}

/// Whether an address in an answer names a playlist that was not asked for.
fn is_of_another(address: &Lax<String>, playlist_id: &str) -> bool {
    let Lax::Given(address) = address else { return false };
    let named = address.split_once("/playlists/").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    named.is_some_and(|named| named.len() == ID_LEN && named.len() == playlist_id.len() && named != playlist_id)
}

/// The claim of `next`. Only the query of its address is parsed, and the address is never followed.
fn next_of(next: &Lax<String>) -> Next {
    match next {
        Lax::Missing | Lax::Odd => Next::Unsaid,
        Lax::Null => Next::End,
        Lax::Given(address) => {
            let query = address.split_once('?').map_or("", |(_, query)| query);
            let query = query.split_once('#').map_or(query, |(query, _)| query);
            let offset = query.split('&').find_map(|pair| pair.strip_prefix("offset="));
            Next::Goes { offset: offset.and_then(|offset| offset.parse().ok()) }
        }
    }
}

/// Where the listing of followed artists continues. It ends if `next` is `null`; its URL is never used, only its
/// presence. Without a cursor the last artist's id is the cursor, by definition.
fn next_cursor(next: &Lax<String>, after: Option<String>, slots: &[Slot]) -> Option<String> {
    match next {
        Lax::Null => None,
        Lax::Missing => after,
        Lax::Given(_) | Lax::Odd => after.or_else(|| slots.iter().rev().find_map(Slot::id).map(str::to_owned)),
    }
}

fn slot<R>(wire: Lax<R>, read: Read<R>) -> Slot {
    let mut row = Row::default();
    match read(wire, &mut row) {
        Ok(item) => Slot { item: Some(item), added_at: row.added_at, odd: row.odd },
        Err(odd) => Slot { item: None, added_at: row.added_at, odd: Some(row.named(odd)) },
    }
}

/// A saved track or local file. Anything else does not belong among the tracks: it is noted, with its name.
fn track_row(wire: Lax<SavedTrackWire>, row: &mut Row) -> Result<Item, Oddity> {
    let wire = row.open(wire)?;
    row.date("added_at", wire.added_at);
    let mut inner = row.inner("track", wire.track.or(wire.item))?;
    let Media { track, kind, .. } = row.within("track", |row| media(&mut inner, false, row))?;
    let why = if kind == PlaylistItemKind::Unknown { Oddity::UnknownKind } else { Oddity::Misplaced };
    let track = track.ok_or_else(|| row.odd.take().unwrap_or(why))?;
    Ok(Item::Track(Box::new(SavedTrack { added_at: row.added_at, track })))
}

fn album_row(wire: Lax<SavedAlbumWire>, row: &mut Row) -> Result<Item, Oddity> {
    let wire = row.open(wire)?;
    row.date("added_at", wire.added_at);
    let mut inner = row.inner("album", wire.album.or(wire.item))?;
    let tracks = take(&mut inner.tracks);
    let (album, tracks) = row.within("album", |row| {
        let album = row.album(*inner)?;
        row.expect_name(&album.name);
        Ok((album, album_tracks(tracks, row)))
    })?;
    Ok(Item::Album(Box::new(SavedAlbum { added_at: row.added_at, album, tracks })))
}

/// The tracks of an album. Anything that is not a track, or has no id, is left out and noted.
fn album_tracks(wire: Lax<AlbumTracksWire>, row: &mut Row) -> Vec<Track> {
    let items = row.take("tracks", wire).map(|tracks| tracks.items).unwrap_or_default();
    row.within("tracks", |row| {
        let items = row.take("items", items).unwrap_or_default().elements;
        let read = |wire| {
            let mut wire = row.take("[]", wire)?;
            track(&mut wire, row).map_err(|odd| row.note(odd)).ok()
        };
        items.into_iter().filter_map(read).collect()
    })
}

fn artist_row(wire: Lax<ArtistWire>, row: &mut Row) -> Result<Item, Oddity> {
    let wire = row.open(wire)?;
    let uri = row.uri("uri", wire.uri);
    let name = row.text("name", wire.name).unwrap_or_default();
    let artist = Artist {
        id: row.identity("artist", wire.id, uri.as_deref(), Some(&name))?,
        name,
        genres: row.genres(wire.genres),
        image_url: row.widest_image(wire.images),
    };
    row.expect_name(&artist.name);
    Ok(Item::Artist(Box::new(artist)))
}

fn playlist_row(wire: Lax<PlaylistWire>, row: &mut Row) -> Result<Item, Oddity> {
    let wire = row.open(wire)?;
    let uri = row.uri("uri", wire.uri);
    let name = row.text("name", wire.name).unwrap_or_default();
    let owner = row.take("owner", wire.owner).unwrap_or_default();
    let playlist = Playlist {
        id: row.identity("playlist", wire.id, uri.as_deref(), Some(&name))?,
        name,
        // An empty one is an answer: its owner has cleared it.
        description: row.text("description", wire.description),
        owner_id: row.within("owner", |row| row.optional_id("id", owner.id)),
        owner_name: row.within("owner", |row| row.words("display_name", owner.display_name)),
        public: row.take("public", wire.public),
        collaborative: row.take("collaborative", wire.collaborative),
        snapshot_id: row.words("snapshot_id", wire.snapshot_id),
        total_items: row.summary("items", wire.items).or_else(|| row.summary("tracks", wire.tracks)),
        image_url: row.widest_image(wire.images),
    };
    row.expect_name(&playlist.name);
    Ok(Item::Playlist(Box::new(playlist)))
}

/// Every row of a playlist is an item, of kind `Missing` if nothing else is known: positions are its identity.
fn playlist_item_row(wire: Lax<PlaylistItemWire>, row: &mut Row) -> Result<Item, Oddity> {
    let item = playlist_item(wire, row).unwrap_or_else(|odd| {
        row.odd = Some(odd);
        PlaylistItem::MISSING
    });
    Ok(Item::PlaylistItem(Box::new(item)))
}

fn playlist_item(wire: Lax<PlaylistItemWire>, row: &mut Row) -> Result<PlaylistItem, Oddity> {
    let wire = row.open(wire)?;
    row.date("added_at", wire.added_at);
    let adder = row.take("added_by", wire.added_by).unwrap_or_default();
    let added_by = row.within("added_by", |row| row.optional_id("id", adder.id));
    let mut item = PlaylistItem { added_at: row.added_at, added_by, ..PlaylistItem::MISSING };
    let is_local = wire.is_local.given() == Some(true);
    let inner = row.inner("item", wire.item.or(wire.track));
    match inner.and_then(|mut inner| row.within("item", |row| media(&mut inner, is_local, row))) {
        Ok(Media { kind, uri, name, track }) => item = PlaylistItem { kind, uri, name, track, ..item },
        // That the place is empty matters more than other oddities of the row.
        Err(odd) => row.odd = Some(odd),
    }
    Ok(item)
}

#[cfg(test)]
mod tests;
