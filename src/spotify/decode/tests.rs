//! Rows of every shape, as decoded from pages.

use super::*;
use crate::model::ArtistRef;
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
fn the_items_of_another_playlist_are_refused() {
    let id = |letter: &str| letter.repeat(22);
    let request = PageRequest::PlaylistItems { playlist_id: id("a"), offset: 0, limit: 50 };
    let address = |id: &str| json!(format!("https://api.spotify.com/v1/playlists/{id}/items?offset=0&limit=50"));
    for (href, next, is_refused) in [
        (json!(null), json!(null), false),
        (address(&id("a")), address(&id("a")), false),
        (address(&id("b")), json!(null), true),
        (json!(null), address(&id("b")), true),
        (address("x"), json!("https://api.spotify.com/v1/playlists"), false),
        (json!(7), json!("/playlists/"), false),
    ] {
        let body = json!({"items": [], "total": 0, "href": href, "next": next}).to_string();
        let refused = matches!(page(&request, body.as_bytes()), Err(DecodeError::OfAnother));
        assert_eq!(refused, is_refused, "{body}");
    }
}

/// Each of these bodies is far shorter than its decoded form.
#[test]
fn an_answer_of_many_small_things_is_refused_while_it_is_read() {
    let nested = |inner: &str, num: usize| format!("[{}]", vec![inner; num].join(","));
    let artists = nested("{}", 200);
    let tracks = nested(&format!("{{\"artists\":{artists}}}"), 50);
    let album = format!("{{\"album\":{{\"id\":\"a\",\"tracks\":{{\"items\":{tracks}}}}}}}");
    let deep = (0..9)
        .fold("{}".to_owned(), |inner, _| format!("{{\"album\":{{\"tracks\":{{\"items\":[{inner},{inner}]}}}}}}"));
    let request = PageRequest::Listing { entity: EntityType::Albums, offset: 0, limit: 50 };
    for rows in [nested(&album, 50), nested(&format!("{{\"album\":{{\"tracks\":{{\"items\":[{deep}]}}}}}}"), 100)] {
        for start in ["", "\u{feff}"] {
            let body = format!("{start}{{\"items\":{rows},\"total\":50}}");
            assert!(matches!(page(&request, body.as_bytes()), Err(DecodeError::TooLarge)), "{} bytes", body.len());
        }
    }
    let few = format!("{{\"items\":{},\"total\":1,\"next\":null}}", nested(&album, 1));
    assert_eq!(page(&request, few.as_bytes()).unwrap().slots.len(), 1, "what came before costs the next nothing");
}

/// 50 albums of 50 tracks with five artists each.
#[test]
fn the_fullest_page_has_room() {
    let artist = json!({"id": "a", "name": "A", "uri": "spotify:artist:a", "external_urls": {"spotify": "https://x"}});
    let track =
        json!({"id": "t", "name": "T", "artists": vec![artist.clone(); 5], "duration_ms": 1, "uri": "spotify:track:t"});
    let album = json!({"album": {"id": "b", "name": "B", "artists": vec![artist; 5], "images": vec![json!({"url": "u"}); 3],
        "tracks": {"items": vec![track; 50]}}});
    let body = json!({"items": vec![album; 50], "total": 50, "next": null}).to_string();
    let request = PageRequest::Listing { entity: EntityType::Albums, offset: 0, limit: 50 };
    for body in [body.clone(), format!("\u{feff}{body}")] {
        let slots = page(&request, body.as_bytes()).unwrap().slots;
        assert_eq!(slots.iter().filter(|slot| slot.odd.is_none()).count(), 50);
    }
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
        (json!({"track": {}}), Oddity::MissingId),
        (json!({"track": {"id": null, "is_local": true}}), Oddity::MissingId),
        (json!({"track": {"id": 7}}), Oddity::Undecodable("track.id".into())),
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
fn a_row_that_is_no_item_keeps_its_name() {
    let undecodable = || Oddity::Undecodable("track.id".into());
    let rows = [
        (TRACKS, json!({"track": {"name": "One"}}), Oddity::MissingId, Some("One"), None),
        (TRACKS, json!({"track": {"id": "", "name": "One"}}), Oddity::MissingId, Some("One"), None),
        (TRACKS, json!({"track": {"id": "a\nb", "name": "One"}}), undecodable(), Some("One"), None),
        (
            TRACKS,
            json!({"track": {"id": "e1", "name": "E", "type": "track", "uri": "spotify:episode:e1"}}),
            Oddity::Misplaced,
            Some("E"),
            Some("spotify:episode:e1"),
        ),
        (
            TRACKS,
            json!({"track": {"id": "h1", "name": "H", "type": "track", "uri": "spotify:hologram:h1"}}),
            Oddity::UnknownKind,
            Some("H"),
            Some("spotify:hologram:h1"),
        ),
        (ALBUMS, json!({"album": {"id": null, "name": "B"}}), Oddity::MissingId, Some("B"), None),
        (PLAYLISTS, json!({"name": "P"}), Oddity::MissingId, Some("P"), None),
    ];
    for (request, row, why, name, uri) in rows {
        let slot = one(request, row.clone());
        let [name, uri] = [name, uri].map(|text: Option<&str>| text.map(str::to_owned));
        assert_eq!((slot.item, slot.odd), (None, Some(Oddity::Named { why: Box::new(why), name, uri })), "{row}");
    }
}

#[test]
fn an_id_that_is_missing_is_read_from_the_uri() {
    for (id, odd) in [
        (Value::Null, Oddity::MissingId),
        (json!(""), Oddity::MissingId),
        (json!(7), Oddity::Undecodable("track.id".into())),
    ] {
        let slot = one(TRACKS, json!({"track": {"id": id, "name": "One", "uri": "spotify:track:t1"}}));
        assert_eq!((slot.id(), slot.odd.clone()), (Some("t1"), Some(odd)));
    }
    let slot = one(PLAYLISTS, json!({"id": null, "name": "P", "uri": "spotify:user:mira:playlist:p1"}));
    assert_eq!(slot.id(), Some("p1"));
}

#[test]
fn a_saved_local_file_is_an_item_with_all_that_it_says() {
    let uri = "spotify:local:Band:Tape:Song:200";
    let tagged = json!({"id": null, "name": "Song", "uri": uri, "is_local": true, "type": "track",
        "artists": [{"id": null, "name": "Band"}], "album": {"id": null, "name": "Tape", "images": []},
        "duration_ms": 200_500, "disc_number": 0, "track_number": 0, "explicit": false});
    for (given, uri, ms) in [
        (tagged.clone(), Some(uri), 200_500),
        (json!({"name": "Song", "uri": uri, "artists": [], "album": null}), Some(uri), 200_000),
        (json!({"uri": uri, "is_local": false, "type": "episode"}), Some(uri), 200_000),
        (
            json!({"name": "Song", "is_local": true, "artists": [{"name": "Band"}], "album": {"name": "Tape"},
                "duration_ms": 200_000}),
            None,
            200_000,
        ),
    ] {
        let slot = one(TRACKS, json!({"added_at": "2024-01-02T03:04:05Z", "track": given}));
        assert_eq!((slot.id(), &slot.odd), (Some("spotify:local:Band:Tape:Song:200"), &None), "{given}");
        let Some(Item::Track(saved)) = slot.item else { panic!("no track") };
        let SavedTrack { added_at, track } = *saved;
        assert!(added_at.is_some());
        assert_eq!((track.name.as_str(), track.uri.as_deref(), track.duration_ms), ("Song", uri, Some(ms)));
        assert_eq!((track.artists[0].id.as_str(), track.artists[0].name.as_str()), ("local:Band", "Band"));
        let album = track.album.unwrap();
        assert_eq!((album.id.as_str(), album.name.as_str()), ("local:Band:Tape", "Tape"));
        assert_eq!((track.disc_number, track.track_number), (None, None));
    }
    let long = format!("spotify:local:{}::{}:1", "%E9%9F%B3".repeat(150), "%E6%A5%BD".repeat(150));
    let slot = one(TRACKS, json!({"track": {"id": null, "name": "L", "uri": long}}));
    let Some(Item::Track(saved)) = &slot.item else { panic!("no track in {slot:?}") };
    assert_eq!((saved.track.uri.as_deref(), saved.track.id.len() <= 1000), (Some(long.as_str()), true));
}

#[test]
fn the_tracks_on_a_saved_album_come_along() {
    let on_it = json!([{"id": "t1", "name": "One", "disc_number": 1, "track_number": 2, "duration_ms": 5,
        "explicit": true, "artists": [{"id": "a1", "name": "A"}]}, {"id": "t2", "name": "Two"}]);
    let album = |tracks: Value| json!({"album": {"id": "b1", "name": "B", "tracks": tracks}});
    let slot = one(ALBUMS, album(json!({"items": on_it, "total": 2})));
    let Some(Item::Album(saved)) = &slot.item else { panic!("no album in {slot:?}") };
    assert_eq!((saved.tracks.len(), &slot.odd), (2, &None));
    let track = &saved.tracks[0];
    assert_eq!((track.id.as_str(), track.disc_number, track.track_number), ("t1", Some(1), Some(2)));
    assert_eq!((track.explicit, track.artists[0].id.as_str(), &track.isrc), (Some(true), "a1", &None));
    for (tracks, num, odd) in [
        (json!(null), 0, None),
        (json!([]), 0, Some("album.tracks")),
        (json!({"items": "none"}), 0, Some("album.tracks.items")),
        (json!({"items": [null, 5, {"id": "t1", "name": "One"}]}), 1, Some("album.tracks.items.[]")),
        (json!({"items": vec![json!({"id": "t1", "name": "One"}); 70]}), 50, None),
        // A track that was taken down does not make an album odd.
        (json!({"items": [{"id": "t1", "name": ""}]}), 1, None),
    ] {
        let slot = one(ALBUMS, album(tracks));
        let Some(Item::Album(saved)) = &slot.item else { panic!("no album in {slot:?}") };
        let odd = odd.map(|path| Oddity::Undecodable(path.replace(".items.[]", ".[]")));
        assert_eq!((saved.tracks.len(), &slot.odd), (num, &odd));
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
        (r#"{"track": {"id": "t2", "name": "\ud800"}}"#, Some("t2"), Some("track.name")),
        (r#"{"track": {"id": "t2", "name": "Two", "duration_ms": 1e999}}"#, Some("t2"), Some("track.duration_ms")),
        (r#"{"track": {"id": "t2", "name": "Two", "album": {"id": "a", "id": "b"}}}"#, Some("t2"), None),
        (r#"{"track": {"id": "t2", "name": "Two"}, "track": {"id": "t3", "name": "Three"}}"#, Some("t3"), None),
        (r#"{"track": {"id": "t2", "name": "Two"}, "track": null}"#, Some("t2"), None),
    ] {
        let page = read(TRACKS, &format!(r#"{{"items": [{whole}, {row}, {whole}], "total": 3}}"#)).unwrap();
        let [first, middle, last] = &page.slots[..] else { panic!("{page:?}") };
        assert_eq!((first, last), (&alone[0], &alone[0]), "{row}");
        let odd = odd.map(|path| Oddity::Undecodable(path.into()));
        assert_eq!((middle.id(), &middle.odd), (id, &odd), "{row}");
    }
}

#[test]
fn bytes_that_are_no_text_cost_their_character_only() {
    let whole = br#"{"added_at": "2024-01-02T03:04:05Z", "track": {"id": "t1", "name": "One", "explicit": true}}"#;
    let body =
        |middle: &[u8]| [b"{\"items\": [", &whole[..], b", ", middle, b", ", whole, b"], \"total\": 3}"].concat();
    let alone = page(&TRACKS, &body(whole)).unwrap().slots;
    for (row, name, odd) in [
        (&br#"{"track": {"id": "t2", "name": "\ud83c half"}}"#[..], "\u{FFFD} half", "track.name"),
        (b"{\"track\": {\"id\": \"t2\", \"name\": \"a\xffb\"}}", "a\u{FFFD}b", "track.name"),
        (b"{\"track\": {\"id\": \"t2\", \"name\": \"cut \xf0\x9f\x8e\"}}", "cut \u{FFFD}", "track.name"),
        (b"{\"track\": {\"id\": \"t2\", \"name\": \"a\0b\"}}", "a\u{FFFD}b", "track.name"),
        (br#"{"track": {"id": "t2", "name": "a\u0000b"}}"#, "ab", "track.name"),
        (
            b"{\"track\": {\"id\": \"t2\", \"name\": \"x\", \"album\": {\"id\": \"b\", \"name\": \"\xe9\"}}}",
            "x",
            "track.album.name",
        ),
    ] {
        let slots = page(&TRACKS, &body(row)).unwrap().slots;
        assert_eq!((&slots[0], &slots[2]), (&alone[0], &alone[2]));
        let Some(Item::Track(saved)) = &slots[1].item else { panic!("no track in {:?}", slots[1]) };
        assert_eq!((saved.track.id.as_str(), saved.track.name.as_str()), ("t2", name));
        assert_eq!(slots[1].odd, Some(Oddity::Undecodable(odd.into())));
    }
    for (request, body) in [
        (FOLLOWING, &b"{\"artists\": {\"items\": [{\"id\": \"a1\", \"name\": \"\xff\"}], \"next\": null}}"[..]),
        (ALBUMS, b"{\"items\": [{\"album\": {\"id\": \"b1\", \"name\": \"\xff\"}}], \"total\": 1}"),
        (PLAYLISTS, b"{\"items\": [{\"id\": \"p1\", \"name\": \"\xff\"}], \"total\": 1}"),
        (ITEMS, b"{\"items\": [{\"item\": {\"id\": \"t1\", \"name\": \"\xff\"}}], \"total\": 1}"),
    ] {
        assert!(page(&request, body).unwrap().slots[0].item.is_some());
    }
    let me = profile(b"{\"id\": \"me\", \"display_name\": \"M\xff\"}").unwrap();
    assert_eq!((me.spotify_id.as_str(), me.display_name.as_deref()), ("me", Some("M\u{FFFD}")));
}

#[test]
fn the_date_of_a_row_without_a_track_is_kept() {
    let slot = one(TRACKS, json!({"added_at": "2024-01-02T03:04:05.123456789Z", "track": null}));
    assert_eq!(slot.added_at.map(|at| at.to_rfc3339()), Some("2024-01-02T03:04:05.123456+00:00".into()));
    let slot = one(TRACKS, json!({"added_at": "2024-01-02 03:04:05", "track": null}));
    assert_eq!(slot.added_at.map(|at| at.to_rfc3339()), Some("2024-01-02T03:04:05+00:00".into()));
    let slot = one(TRACKS, json!({"added_at": "yesterday", "track": {"id": "t1", "name": "One"}}));
    let odd = Some(Oddity::Undecodable("added_at".into()));
    assert_eq!((slot.id(), slot.added_at, &slot.odd), (Some("t1"), None, &odd));
}

#[test]
fn an_item_without_a_name_is_kept_and_recorded() {
    for name in [Value::Null, json!(""), json!(" \u{a0}\n")] {
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
    let unread: Vec<bool> = saved.track.album.unwrap().artists.iter().map(ArtistRef::is_unread).collect();
    assert_eq!(unread, [false, true, true]);
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
    use PlaylistItemKind::{Chapter, Episode, Local, Missing, Track, Unknown};
    let local = "spotify:local:Artist:Album:Song:200";
    let rows = [
        (json!({"item": {"id": "t1", "name": "One"}}), Track, None),
        (json!({"item": {"id": "t1", "name": ""}}), Track, Some(Oddity::MissingName)),
        (json!({"item": {"id": "e1", "name": "E", "type": "episode", "track": false}}), Episode, None),
        (json!({"item": {"id": "e1", "name": "E", "uri": "spotify:episode:e1"}}), Episode, None),
        (json!({"item": {"id": "e1", "type": "track", "name": "E", "uri": "spotify:episode:e1"}}), Episode, None),
        (json!({"item": {"id": "c1", "type": "chapter", "name": "C", "uri": "spotify:episode:c1"}}), Chapter, None),
        (json!({"item": {"id": "c1", "type": "track", "name": "C", "uri": "spotify:chapter:c1"}}), Chapter, None),
        (json!({"item": {"id": null, "name": "One", "uri": "spotify:track:t1"}}), Track, Some(Oddity::MissingId)),
        (
            json!({"item": {"id": "h", "type": "track", "name": "H", "uri": "spotify:hologram:h"}}),
            Unknown,
            Some(Oddity::UnknownKind),
        ),
        (json!({"is_local": true, "item": {"id": null, "name": "Song", "uri": local}}), Local, None),
        (json!({"item": {"id": null, "name": "Song", "uri": local, "album": {"id": null}}}), Local, None),
        (Value::Null, Missing, Some(Oddity::Null)),
        (json!({"added_at": null}), Missing, Some(Oddity::Null)),
        (json!({"item": null, "track": null}), Missing, Some(Oddity::Null)),
        (json!({"item": {"name": "One"}}), Unknown, Some(Oddity::MissingId)),
        (json!({"item": {"id": null}}), Missing, Some(Oddity::MissingId)),
        (json!({"item": true}), Missing, Some(Oddity::Undecodable("item".into()))),
        (json!({"item": {"id": "h1", "type": "hologram"}}), Missing, Some(Oddity::UnknownKind)),
        (json!(1), Missing, Some(Oddity::Undecodable("row".into()))),
    ];
    for (row, kind, odd) in rows {
        let slot = one(ITEMS, row.clone());
        let item = playlist_item(&slot);
        assert_eq!((item.kind, &slot.odd), (kind, &odd), "{row}");
        assert_eq!(item.track.is_some(), matches!(kind, Track | Local), "{row}");
        assert_eq!(item.name.is_some(), kind != Missing && row["item"]["name"] != "", "{row}");
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
    // Nothing after the first excess row is read.
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
fn a_token_is_read_as_it_is_or_not_at_all() {
    use crate::spotify::wire::TokenWire;
    let token = |body: &[u8]| object_as_it_is::<TokenWire>(body).map(|token| token.access_token.given());
    assert_eq!(token(br#"{"access_token": "a", "expires_in": 1e999}"#).ok(), Some(Some("a".into())));
    assert!(matches!(token(b"{\"access_token\": \"a\xff\"}"), Err(DecodeError::NotUtf8)));
    assert_eq!(token(br#"{"access_token": "\ud83c"}"#).ok(), Some(None));
}

#[test]
fn a_profile_needs_only_its_id() {
    let body = br#"{"id": "me", "account_id": "acc", "display_name": null}"#;
    let expected = Profile { spotify_id: "me".into(), spotify_account_id: Some("acc".into()), display_name: None };
    assert_eq!(profile(body).ok(), Some(expected));
    assert!(profile(br#"{"display_name": "Me"}"#).is_err());
    for blank in ["", "  ", "\\n", "\\u200b"] {
        let read = profile(format!(r#"{{"id": "{blank}"}}"#).as_bytes());
        assert!(matches!(read, Err(DecodeError::NoUserId)), "{blank:?}");
    }
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
