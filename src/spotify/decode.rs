//! A body becomes a page: the envelope strictly, each row by itself.
//!
//! A page that parses has as many slots as the answer has rows, in its order, so that positions stay true. What is odd
//! about a row stands in its slot. A row with an id is kept whatever else is wrong with it.

use super::{
    row::{Row, timestamp},
    wire::{
        self, ArtistWire, FollowingWire, Lax, PageWire, PlaylistItemWire, PlaylistWire, SavedAlbumWire, SavedTrackWire,
        TrackWire, UserWire,
    },
};
use crate::model::{
    Artist, EntityType, Item, Next, Oddity, Page, PageRequest, Playlist, PlaylistItem, PlaylistItemKind, SavedAlbum,
    SavedTrack, Slot, Track,
};
use serde::Deserialize;
use serde_json::error::Category;
use std::mem::take;

/// Who has signed in, from `/me`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub spotify_id: String,
    /// The id that Spotify asks to link accounts by, since May 2026.
    pub spotify_account_id: Option<String>,
    pub display_name: Option<String>,
}

/// Why a body is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("is not UTF-8")]
    NotUtf8(#[from] std::str::Utf8Error),
    #[error("is not a JSON object")]
    NotAnObject,
    #[error("ends in the middle")]
    CutShort,
    /// Only the place: serde's text may quote the body.
    #[error("does not parse (line {line}, column {column})")]
    Json { line: usize, column: usize },
    #[error("holds more rows than were asked for")]
    TooManyRows,
    #[error("has no usable user id")]
    NoUserId,
    /// Taken for the end of the listing it would lose the rest.
    #[error("is shorter than a page and does not say that the listing ends")]
    Endless,
}

/// Reads a body whose outermost value is an object. (Serde would take an array for one.)
pub(super) fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, DecodeError> {
    let text = std::str::from_utf8(body)?;
    if !text.trim_start().starts_with('{') {
        return Err(DecodeError::NotAnObject);
    }
    wire::read(text).map_err(|error| match error.classify() {
        Category::Eof => DecodeError::CutShort,
        Category::Data if error.to_string().starts_with(wire::TOO_MANY_ROWS) => DecodeError::TooManyRows,
        Category::Io | Category::Syntax | Category::Data => {
            DecodeError::Json { line: error.line(), column: error.column() }
        }
    })
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
        PageRequest::Listing { entity: EntityType::Tracks, .. } => rows(request, object(body)?, track_row),
        PageRequest::Listing { entity: EntityType::Albums, .. } => rows(request, object(body)?, album_row),
        PageRequest::Listing { entity: EntityType::Artists, .. } => rows(request, object(body)?, artist_row),
        PageRequest::Listing { entity: EntityType::Playlists, .. } => rows(request, object(body)?, playlist_row),
        PageRequest::PlaylistItems { .. } => rows(request, object(body)?, playlist_item_row),
    }
}

/// Reads one kind of row. An error is a slot without an item.
type Read<R> = fn(Lax<R>, &mut Row) -> Result<Item, Oddity>;

fn rows<R>(request: &PageRequest, page: PageWire<R>, read: Read<R>) -> Result<Page, DecodeError> {
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

/// What `next` says. Only the query of its address is looked at, and the address is never followed.
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

/// Where the listing of followed artists goes on. It ends where `next` is `null`; its URL is never used, only that
/// there is one. Without a cursor the last artist's id is the cursor, by its definition.
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
        Err(odd) => Slot { item: None, added_at: row.added_at, odd: Some(odd) },
    }
}

fn track_row(wire: Lax<SavedTrackWire>, row: &mut Row) -> Result<Item, Oddity> {
    let wire = row.open(wire)?;
    row.added_at = timestamp(wire.added_at);
    let mut inner = row.inner("track", wire.track.or(wire.item))?;
    if is_local(&inner) {
        return Err(Oddity::LocalFile);
    }
    let track = row.within("track", |row| track(&mut inner, row))?;
    Ok(Item::Track(Box::new(SavedTrack { added_at: row.added_at, track })))
}

fn album_row(wire: Lax<SavedAlbumWire>, row: &mut Row) -> Result<Item, Oddity> {
    let wire = row.open(wire)?;
    row.added_at = timestamp(wire.added_at);
    let inner = row.inner("album", wire.album.or(wire.item))?;
    let album = row.within("album", |row| {
        let album = row.album(inner)?;
        row.expect_name(&album.name);
        Ok(album)
    })?;
    Ok(Item::Album(Box::new(SavedAlbum { added_at: row.added_at, album })))
}

fn artist_row(wire: Lax<ArtistWire>, row: &mut Row) -> Result<Item, Oddity> {
    let wire = row.open(wire)?;
    let artist = Artist {
        id: row.id("id", wire.id)?,
        name: row.text("name", wire.name).unwrap_or_default(),
        genres: row.genres(wire.genres),
        image_url: row.widest_image(wire.images),
    };
    row.expect_name(&artist.name);
    Ok(Item::Artist(Box::new(artist)))
}

fn playlist_row(wire: Lax<PlaylistWire>, row: &mut Row) -> Result<Item, Oddity> {
    let wire = row.open(wire)?;
    let owner = row.take("owner", wire.owner).unwrap_or_default();
    let playlist = Playlist {
        id: row.id("id", wire.id)?,
        name: row.text("name", wire.name).unwrap_or_default(),
        description: row.text("description", wire.description),
        owner_id: row.within("owner", |row| row.optional_id("id", owner.id)),
        owner_name: row.within("owner", |row| row.text("display_name", owner.display_name)),
        public: row.take("public", wire.public),
        collaborative: row.take("collaborative", wire.collaborative),
        snapshot_id: row.text("snapshot_id", wire.snapshot_id).filter(|id| !id.is_empty()),
        total_items: row.summary("items", wire.items).or_else(|| row.summary("tracks", wire.tracks)),
        image_url: row.widest_image(wire.images),
    };
    row.expect_name(&playlist.name);
    Ok(Item::Playlist(Box::new(playlist)))
}

/// Every row of a playlist is an item, of kind `Missing` where nothing else can be said: positions are its identity.
fn playlist_item_row(wire: Lax<PlaylistItemWire>, row: &mut Row) -> Result<Item, Oddity> {
    let item = playlist_item(wire, row).unwrap_or_else(|odd| {
        row.odd = Some(odd);
        PlaylistItem {
            kind: PlaylistItemKind::Missing,
            uri: None,
            name: None,
            added_at: None,
            added_by: None,
            track: None,
        }
    });
    Ok(Item::PlaylistItem(Box::new(item)))
}

fn playlist_item(wire: Lax<PlaylistItemWire>, row: &mut Row) -> Result<PlaylistItem, Oddity> {
    let wire = row.open(wire)?;
    row.added_at = timestamp(wire.added_at);
    let adder = row.take("added_by", wire.added_by).unwrap_or_default();
    let mut item = PlaylistItem {
        kind: PlaylistItemKind::Missing,
        uri: None,
        name: None,
        added_at: row.added_at,
        added_by: row.within("added_by", |row| row.optional_id("id", adder.id)),
        track: None,
    };
    let marked_local = wire.is_local.given() == Some(true);
    match row.inner("item", wire.item.or(wire.track)) {
        Ok(inner) => row.within("item", |row| fill(&mut item, inner, marked_local, row)),
        Err(odd) => row.odd = Some(odd),
    }
    Ok(item)
}

/// Says what a slot of a playlist holds.
fn fill(item: &mut PlaylistItem, mut inner: TrackWire, marked_local: bool, row: &mut Row) {
    let is_local = marked_local || is_local(&inner);
    item.uri = row.text("uri", take(&mut inner.uri)).filter(|uri| !uri.is_empty());
    let word = row.text("type", take(&mut inner.kind));
    let word = word.as_deref().or_else(|| item.uri.as_deref()?.split(':').nth(1));
    match word {
        _ if is_local => item.kind = PlaylistItemKind::Local,
        Some("episode") => item.kind = PlaylistItemKind::Episode,
        Some("track") | None => match track(&mut inner, row) {
            Ok(track) => {
                item.kind = PlaylistItemKind::Track;
                item.name = Some(track.name.clone());
                item.track = Some(track);
            }
            Err(odd) => row.odd = Some(odd),
        },
        Some(_) => row.note(Oddity::Undecodable(row.path("type"))),
    }
    item.name = item.name.take().or_else(|| row.text("name", inner.name)).filter(|name| !name.is_empty());
}

pub(super) fn is_local(wire: &TrackWire) -> bool {
    matches!(wire.is_local, Lax::Given(true))
        || matches!(&wire.uri, Lax::Given(uri) if uri.starts_with("spotify:local:"))
}

/// Takes what makes a track out of `wire`. Without an id nothing is taken.
pub(super) fn track(wire: &mut TrackWire, row: &mut Row) -> Result<Track, Oddity> {
    let id = row.id("id", take(&mut wire.id))?;
    let name = row.text("name", take(&mut wire.name)).unwrap_or_default();
    row.expect_name(&name);
    let external_ids = row.take("external_ids", take(&mut wire.external_ids)).unwrap_or_default();
    Ok(Track {
        id,
        name,
        album: row.optional_album(take(&mut wire.album)),
        duration_ms: row.number("duration_ms", take(&mut wire.duration_ms)),
        explicit: row.take("explicit", take(&mut wire.explicit)),
        disc_number: row.number("disc_number", take(&mut wire.disc_number)),
        track_number: row.number("track_number", take(&mut wire.track_number)),
        isrc: row.within("external_ids", |row| row.text("isrc", external_ids.isrc)),
        artists: row.artists(take(&mut wire.artists)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn both_dialects_of_a_playlist_item_mean_the_same() {
        let media = json!({"id": "t1", "name": "One", "type": "track", "uri": "spotify:track:t1"});
        let old = one(ITEMS, json!({"added_at": "2024-01-02T03:04:05Z", "track": media}));
        let new = one(ITEMS, json!({"added_at": "2024-01-02T03:04:05Z", "item": media}));
        let both = one(ITEMS, json!({"added_at": "2024-01-02T03:04:05Z", "item": null, "track": media}));
        assert_eq!((&old, &old), (&new, &both));
        let item = playlist_item(&old);
        assert_eq!((item.kind, item.uri.as_deref()), (PlaylistItemKind::Track, Some("spotify:track:t1")));
        assert_eq!((item.name.as_deref(), &old.odd), (Some("One"), &None));
    }

    #[test]
    fn both_dialects_of_a_playlist_say_how_many_items_it_has() {
        for summary in ["items", "tracks"] {
            let slot = one(PLAYLISTS, json!({"id": "p1", "name": "P", summary: {"href": "x", "total": 7}}));
            let Some(Item::Playlist(playlist)) = slot.item else { panic!("no playlist in {slot:?}") };
            assert_eq!((playlist.total_items, slot.odd), (Some(7), None), "{summary}");
        }
    }

    #[test]
    fn a_saved_row_without_a_usable_track_keeps_its_slot_and_says_why() {
        let rows = [
            (Value::Null, Oddity::Null),
            (json!({}), Oddity::Null),
            (json!({"track": null}), Oddity::Null),
            (json!({"track": {"name": "One"}}), Oddity::MissingId),
            (json!({"track": {"id": null, "name": "One"}}), Oddity::MissingId),
            (json!({"track": {"id": "", "name": "One"}}), Oddity::MissingId),
            (json!({"track": {"id": null, "name": "One", "is_local": true}}), Oddity::LocalFile),
            (json!({"track": {"id": null, "name": "One", "uri": "spotify:local:a:b:c:1"}}), Oddity::LocalFile),
            (json!({"track": {"id": 7, "name": "One"}}), Oddity::Undecodable("track.id".into())),
            (json!({"track": {"id": "a\nb", "name": "One"}}), Oddity::Undecodable("track.id".into())),
            (json!({"track": {"id": "a".repeat(256)}}), Oddity::Undecodable("track.id".into())),
            (json!({"track": "One"}), Oddity::Undecodable("track".into())),
            (json!({"track": []}), Oddity::Undecodable("track".into())),
            (json!({"track": ["t1"]}), Oddity::Undecodable("track".into())),
            (json!("One"), Oddity::Undecodable("row".into())),
            (json!(["2024-01-02T03:04:05Z", {"id": "t1"}]), Oddity::Undecodable("row".into())),
        ];
        for (row, odd) in rows {
            let slot = one(TRACKS, row.clone());
            assert_eq!((slot.item, slot.odd), (None, Some(odd)), "{row}");
        }
    }

    #[test]
    fn an_odd_row_costs_only_itself() {
        let whole = json!({"added_at": "2024-01-02T03:04:05Z", "track": {"id": "t1", "name": "One"}});
        let page = read(TRACKS, &json!({"items": [whole, null, {"track": 5}, whole], "total": 4}).to_string()).unwrap();
        assert_eq!(page.total, Some(4));
        assert_eq!(page.slots.iter().map(Slot::id).collect::<Vec<_>>(), [Some("t1"), None, None, Some("t1")]);
        assert_eq!(page.slots[3].odd, None);
    }

    #[test]
    fn what_does_not_parse_costs_its_field_and_no_other_row() {
        let whole = r#"{"added_at": "2024-01-02T03:04:05Z", "track": {"id": "t1", "name": "One", "explicit": true}}"#;
        let alone = read(TRACKS, &format!(r#"{{"items": [{whole}], "total": 1}}"#)).unwrap().slots;
        for (row, id, odd) in [
            (r#"{"track": {"id": "t2", "name": "\ud800"}}"#, Some("t2"), "track.name"),
            (r#"{"track": {"id": "t2", "name": "Two", "duration_ms": 1e999}}"#, Some("t2"), "track.duration_ms"),
            (r#"{"track": {"id": "t2", "name": "Two", "album": {"id": "a", "id": "b"}}}"#, Some("t2"), "track.album"),
            (r#"{"track": {"id": "t2"}, "track": {"id": "t3"}}"#, None, "row"),
        ] {
            let page = read(TRACKS, &format!(r#"{{"items": [{whole}, {row}, {whole}], "total": 3}}"#)).unwrap();
            let [first, middle, last] = &page.slots[..] else { panic!("{page:?}") };
            assert_eq!((first, last), (&alone[0], &alone[0]), "{row}");
            assert_eq!((middle.id(), &middle.odd), (id, &Some(Oddity::Undecodable(odd.into()))), "{row}");
        }
    }

    #[test]
    fn the_date_of_a_row_without_a_track_is_kept() {
        let slot = one(TRACKS, json!({"added_at": "2024-01-02T03:04:05.123456789Z", "track": null}));
        assert_eq!(slot.added_at.map(|at| at.to_rfc3339()), Some("2024-01-02T03:04:05.123456+00:00".into()));
        let slot = one(TRACKS, json!({"added_at": "yesterday", "track": {"id": "t1", "name": "One"}}));
        assert_eq!((slot.id(), slot.added_at, &slot.odd), (Some("t1"), None, &None));
    }

    #[test]
    fn an_item_without_a_name_is_kept_and_recorded() {
        for name in [Value::Null, json!(""), json!("\0")] {
            for (request, row) in [
                (TRACKS, json!({"track": {"id": "x", "name": name}})),
                (ALBUMS, json!({"album": {"id": "x", "name": name}})),
                (PLAYLISTS, json!({"id": "x", "name": name})),
            ] {
                let slot = one(request, row);
                assert_eq!((slot.id(), &slot.odd), (Some("x"), &Some(Oddity::MissingName)));
            }
        }
    }

    #[test]
    fn a_field_of_another_type_costs_the_field_and_is_recorded() {
        let row = json!({"track": {"id": "t1", "name": "One", "explicit": "no", "duration_ms": 5, "album": {
            "id": "a1", "name": "", "images": 5, "artists": [{"id": "b"}, null, {"id": 3}]}}});
        let slot = one(TRACKS, row);
        assert_eq!(slot.odd, Some(Oddity::Undecodable("track.album.images".into())));
        let Some(Item::Track(saved)) = slot.item else { panic!("the track is lost") };
        assert_eq!((saved.track.explicit, saved.track.duration_ms), (None, Some(5)));
        assert_eq!(saved.track.album.map(|album| album.artists.len()), Some(1));
    }

    #[test]
    fn an_array_is_no_object() {
        for (field, odd) in [("album", "track.album"), ("external_ids", "track.external_ids")] {
            let slot = one(TRACKS, json!({"track": {"id": "t1", "name": "One", field: []}}));
            assert_eq!((slot.id(), &slot.odd), (Some("t1"), &Some(Oddity::Undecodable(odd.into()))));
        }
        let slot = one(TRACKS, json!({"track": {"id": "t1", "name": "One", "artists": [[], {"id": "a1"}]}}));
        assert_eq!(slot.odd, Some(Oddity::Undecodable("track.artists.[]".into())));
        let slot = one(PLAYLISTS, json!({"id": "p1", "name": "P", "owner": ["me"], "items": {"total": 1}}));
        assert_eq!(slot.odd, Some(Oddity::Undecodable("owner".into())));
    }

    #[test]
    fn every_slot_of_a_playlist_holds_an_item() {
        use PlaylistItemKind::{Episode, Local, Missing, Track};
        let local = "spotify:local:Artist:Album:Song:200";
        let rows = [
            (json!({"item": {"id": "t1", "name": "One"}}), Track, None),
            (json!({"item": {"id": "t1", "name": ""}}), Track, Some(Oddity::MissingName)),
            (json!({"item": {"id": "e1", "name": "E", "type": "episode", "track": false}}), Episode, None),
            (json!({"item": {"id": "e1", "name": "E", "uri": "spotify:episode:e1"}}), Episode, None),
            (json!({"is_local": true, "item": {"id": null, "name": "Song", "uri": local}}), Local, None),
            (json!({"item": {"id": null, "name": "Song", "uri": local, "album": {"id": null}}}), Local, None),
            (Value::Null, Missing, Some(Oddity::Null)),
            (json!({"added_at": null}), Missing, Some(Oddity::Null)),
            (json!({"item": null, "track": null}), Missing, Some(Oddity::Null)),
            (json!({"item": {"name": "One"}}), Missing, Some(Oddity::MissingId)),
            (json!({"item": true}), Missing, Some(Oddity::Undecodable("item".into()))),
            (json!({"item": {"id": "c1", "type": "chapter"}}), Missing, Some(Oddity::Undecodable("item.type".into()))),
            (json!(1), Missing, Some(Oddity::Undecodable("row".into()))),
        ];
        for (row, kind, odd) in rows {
            let slot = one(ITEMS, row.clone());
            let item = playlist_item(&slot);
            assert_eq!((item.kind, &slot.odd), (kind, &odd), "{row}");
            assert_eq!(item.track.is_some(), kind == Track, "{row}");
        }
    }

    #[test]
    fn a_page_of_no_items_is_a_page_if_it_says_that_the_listing_ends() {
        for body in [r#"{"items": [], "total": 0}"#, r#" {"items": [], "total": "many", "next": null}"#] {
            assert!(read(TRACKS, body).is_ok_and(|page| page.slots.is_empty()), "{body}");
        }
        for body in [r#"{"items": []}"#, r#"{"items": [null], "next": "https://elsewhere"}"#] {
            assert!(matches!(read(TRACKS, body), Err(DecodeError::Endless)), "{body}");
        }
        assert!(matches!(read(FOLLOWING, r#"{"artists": {"items": []}}"#), Err(DecodeError::Endless)));
        let full = json!({"items": vec![Value::Null; 50]}).to_string();
        assert!(read(TRACKS, &full).is_ok_and(|page| page.slots.len() == 50));
    }

    #[test]
    fn what_a_page_says_of_itself_is_read_however_it_is_written() {
        let at = |offset| Next::Goes { offset };
        for (rest, total, limit, next) in [
            (
                r#""total": 230, "limit": 20, "next": "https://x/v1/me/tracks?offset=20&limit=20""#,
                Some(230),
                Some(20),
                at(Some(20)),
            ),
            (
                r#""total": "230", "limit": 20.0, "next": "//?limit=20&offset=40#offset=1""#,
                Some(230),
                Some(20),
                at(Some(40)),
            ),
            (r#""total": 230.0, "limit": "50.0", "next": "offset=7""#, Some(230), Some(50), at(None)),
            (r#""total": -1, "limit": 0, "next": "https://x/?offset=-5""#, None, None, at(None)),
            (r#""total": 1e300, "limit": "many", "next": "https://x/?offset=99999999999""#, None, None, at(None)),
            (r#""total": 2.5, "limit": [], "next": null"#, None, None, Next::End),
            (r#""total": 0, "limit": null, "next": {}"#, Some(0), None, Next::Unsaid),
            (r#""total": 0"#, Some(0), None, Next::Unsaid),
        ] {
            let full = PageRequest::Listing { entity: EntityType::Tracks, offset: 0, limit: 1 };
            let page = read(full, &format!(r#"{{"items": [null], {rest}}}"#)).unwrap();
            assert_eq!((page.total, page.limit, page.next), (total, limit, next), "{rest}");
        }
    }

    #[test]
    fn a_page_of_many_more_rows_than_asked_for_is_refused_while_it_is_read() {
        let body = |num: usize| json!({"items": vec![Value::Null; num], "total": 9}).to_string();
        assert!(read(TRACKS, &body(wire::ROWS_MAX)).is_ok_and(|page| page.slots.len() == wire::ROWS_MAX));
        assert!(matches!(read(TRACKS, &body(wire::ROWS_MAX + 1)), Err(DecodeError::TooManyRows)));
        // Nothing behind the row that is one too many is looked at.
        let cut = body(wire::ROWS_MAX + 2).replace("],", "");
        assert!(matches!(read(ITEMS, &cut), Err(DecodeError::TooManyRows)));
    }

    #[test]
    fn a_body_that_is_no_page_is_refused_whole() {
        let cut = r#"{"items": [{"track": {"id": "t1", "name": "On"#;
        assert!(matches!(read(TRACKS, cut), Err(DecodeError::CutShort)));
        for body in [
            "",
            "null",
            "[]",
            "[[], 5]",
            "{}",
            "<html>oops</html>",
            r#"{"items": {}}"#,
            r#"{"items": null}"#,
            r#"{"items": []} x"#,
        ] {
            assert!(read(TRACKS, body).is_err(), "{body}");
        }
        assert!(read(FOLLOWING, r#"{"items": []}"#).is_err());
        assert!(read(FOLLOWING, r#"{"artists": null}"#).is_err());
        assert!(matches!(page(&TRACKS, b"{\"items\": [\"\xff\"]}"), Err(DecodeError::NotUtf8(_))));
    }

    #[test]
    fn the_cursor_ends_with_the_listing_and_survives_its_own_absence() {
        let cursor = |rest: &str| {
            let body = format!(r#"{{"artists": {{"items": [{{"id": "a1", "name": "A"}}, null], {rest} "total": 9}}}}"#);
            read(FOLLOWING, &body).unwrap().next_cursor
        };
        assert_eq!(cursor(r#""next": "https://elsewhere", "cursors": {"after": "a9"},"#).as_deref(), Some("a9"));
        assert_eq!(cursor(r#""cursors": {"after": "a9"},"#).as_deref(), Some("a9"));
        assert_eq!(cursor(r#""next": "https://elsewhere", "cursors": null,"#).as_deref(), Some("a1"));
        assert_eq!(cursor(r#""next": null, "cursors": {"after": "a9"},"#), None);
        assert_eq!(cursor(r#""next": null, "cursors": {"after": null},"#), None);
    }

    #[test]
    fn a_profile_needs_only_its_id() {
        let body = br#"{"id": "me", "account_id": "acc", "display_name": null}"#;
        let expected = Profile { spotify_id: "me".into(), spotify_account_id: Some("acc".into()), display_name: None };
        assert_eq!(profile(body).ok(), Some(expected));
        assert!(profile(br#"{"display_name": "Me"}"#).is_err());
    }

    const TRACKS: PageRequest = PageRequest::Listing { entity: EntityType::Tracks, offset: 0, limit: 50 };
    const ALBUMS: PageRequest = PageRequest::Listing { entity: EntityType::Albums, offset: 0, limit: 50 };
    const PLAYLISTS: PageRequest = PageRequest::Listing { entity: EntityType::Playlists, offset: 0, limit: 50 };
    const FOLLOWING: PageRequest = PageRequest::Following { after: None, limit: 50 };
    const ITEMS: PageRequest = PageRequest::PlaylistItems { playlist_id: String::new(), offset: 0, limit: 50 };

    fn read(request: PageRequest, body: &str) -> Result<Page, DecodeError> {
        page(&request, body.as_bytes())
    }

    fn one(request: PageRequest, row: Value) -> Slot {
        let page = read(request, &json!({"items": [row], "total": 1}).to_string()).unwrap();
        page.slots.into_iter().next().unwrap()
    }

    fn playlist_item(slot: &Slot) -> &PlaylistItem {
        let Some(Item::PlaylistItem(item)) = &slot.item else { panic!("no playlist item in {slot:?}") };
        item
    }
}
