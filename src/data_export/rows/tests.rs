//! Rows of every generation, written by hand.

use super::*;
use serde_json::json;

fn stream(row: serde_json::Value) -> Stream {
    ExtendedWire::read(row.to_string().as_bytes()).and_then(ExtendedWire::stream).expect("a stream")
}

fn account(row: serde_json::Value) -> Stream {
    let known = |title: &str, artist: &str| (title == "Glass Harbour" && artist == "The Tin Lanterns").then(|| uri(1));
    AccountWire::read(row.to_string().as_bytes()).and_then(|wire| wire.stream(known)).expect("a stream")
}

fn uri(number: u32) -> String {
    format!("spotify:track:{number:022}")
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a moment")
}

/// 23 keys.
fn newest() -> serde_json::Value {
    json!({"ts": "2025-03-02T18:04:31Z", "platform": "android", "ms_played": 201_340, "conn_country": "NL",
        "ip_addr": "192.0.2.7", "master_metadata_track_name": "Glass Harbour",
        "master_metadata_album_artist_name": "The Tin Lanterns", "master_metadata_album_album_name": "Low Tide",
        "spotify_track_uri": uri(1), "episode_name": null, "episode_show_name": null, "spotify_episode_uri": null,
        "audiobook_title": null, "audiobook_uri": null, "audiobook_chapter_uri": null, "audiobook_chapter_title": null,
        "reason_start": "trackdone", "reason_end": "trackdone", "shuffle": false, "skipped": false, "offline": false,
        "offline_timestamp": 1_740_938_468, "incognito_mode": false})
}

/// The same row with 21 keys, as exported until 2024.
fn oldest() -> serde_json::Value {
    let mut row = newest();
    let fields = row.as_object_mut().expect("an object");
    fields.retain(|name, _| !name.starts_with("audiobook") && name != "ip_addr");
    fields.insert("username".into(), json!("u1"));
    fields.insert("ip_addr_decrypted".into(), json!("192.0.2.7"));
    fields.insert("user_agent_decrypted".into(), json!("unknown"));
    fields.insert("platform".into(), json!("Android OS 9 API 28 (x, y)"));
    fields.insert("offline_timestamp".into(), json!(1_740_938_468_123_i64));
    row
}

fn with(mut row: serde_json::Value, changes: serde_json::Value) -> serde_json::Value {
    let fields = row.as_object_mut().expect("an object");
    fields.extend(changes.as_object().expect("an object").clone());
    row
}

#[test]
fn a_row_of_each_generation_is_the_same_stream() {
    let now = stream(newest());
    assert_eq!((now.kind, now.uri.as_deref()), (StreamKind::Track, Some(uri(1).as_str())));
    assert_eq!((now.started_at, now.ended_at), (at("2025-03-02T18:01:08Z"), at("2025-03-02T18:04:31Z")));
    let names = [now.name.as_deref(), now.creator.as_deref(), now.collection.as_deref()];
    assert_eq!(names, [Some("Glass Harbour"), Some("The Tin Lanterns"), Some("Low Tide")]);
    let old = stream(oldest());
    assert_eq!((old.logged_at, old.digest), (now.logged_at, now.digest));
    let mut between = newest();
    between.as_object_mut().expect("an object").retain(|name, _| !name.starts_with("audiobook"));
    assert_eq!(stream(between).digest, now.digest);
    assert_ne!(stream(with(newest(), json!({"ms_played": 0}))).digest, now.digest);
}

#[test]
fn the_beginning_is_read_in_either_unit_or_reckoned() {
    for (number, start) in [
        (json!(1_740_938_468), "2025-03-02T18:01:08Z"),
        (json!(1_740_938_468_500_i64), "2025-03-02T18:01:08.500Z"),
        (json!(0), "2025-03-02T18:01:09.660Z"),
        (json!(null), "2025-03-02T18:01:09.660Z"),
        (json!(99), "2025-03-02T18:01:09.660Z"),
        (json!(1_750_000_000), "2025-03-02T18:01:09.660Z"),
        (json!(i64::MAX), "2025-03-02T18:01:09.660Z"),
    ] {
        assert_eq!(stream(with(newest(), json!({"offline_timestamp": number}))).started_at, at(start), "{number}");
    }
}

#[test]
fn what_was_heard_offline_ended_when_it_ended_and_not_when_it_was_logged() {
    let row = with(newest(), json!({"ts": "2025-03-04T08:00:00Z", "offline": true}));
    let heard = stream(row.clone());
    assert_eq!((heard.ended_at, heard.logged_at), (at("2025-03-02T18:04:29.340Z"), at("2025-03-04T08:00:00Z")));
    // A loop on a plane: all of it logged in one second.
    let again = stream(with(row.clone(), json!({"offline_timestamp": 1_740_938_670})));
    assert_eq!(again.logged_at, heard.logged_at);
    assert_ne!(again.digest, heard.digest);
    let unknown = stream(with(row, json!({"offline_timestamp": 0})));
    assert_eq!(unknown.ended_at, unknown.logged_at);
}

#[test]
fn episodes_chapters_and_what_has_no_name_are_kept_for_what_they_are() {
    let bare = json!({"ts": "2025-03-02 18:05:02", "ms_played": 5000});
    let episode = stream(with(
        bare.clone(),
        json!({"episode_name": "E", "episode_show_name": "S", "spotify_episode_uri": "spotify:episode:e"}),
    ));
    assert_eq!((episode.kind, episode.collection.as_deref()), (StreamKind::Episode, Some("S")));
    let chapter = stream(with(
        bare.clone(),
        json!({"audiobook_title": "A Field Guide to Fog", "audiobook_uri": "spotify:show:s",
            "audiobook_chapter_uri": "spotify:episode:c", "audiobook_chapter_title": "Chapter 1"}),
    ));
    assert_eq!((chapter.kind, chapter.uri.as_deref()), (StreamKind::Chapter, Some("spotify:episode:c")));
    assert_eq!(chapter.collection_uri.as_deref(), Some("spotify:show:s"));
    let nothing = stream(bare.clone());
    assert_eq!((nothing.kind, nothing.name, nothing.uri), (StreamKind::Unknown, None, None));
    let local = stream(with(bare.clone(), json!({"spotify_track_uri": "spotify:local:a:b:c:9"})));
    assert_eq!((local.kind, local.uri.as_deref()), (StreamKind::Unknown, Some("spotify:local:a:b:c:9")));
    let named = stream(with(bare, json!({"master_metadata_track_name": "N"})));
    assert_eq!((named.kind, named.uri), (StreamKind::Track, None));
}

#[test]
fn an_odd_field_costs_the_field_and_a_row_without_time_itself() {
    let odd = stream(with(
        newest(),
        json!({"shuffle": "yes", "ms_played": 201_340.0, "platform": 7, "reason_end": ["x"], "new_key": {}}),
    ));
    assert_eq!((odd.shuffle, odd.ms_played, odd.platform, odd.reason_end), (None, 201_340, None, None));
    assert_eq!(odd.digest, stream(newest()).digest);
    assert_eq!(stream(with(newest(), json!({"ms_played": -5}))).ms_played, 0);
    for bad in [
        json!({"ts": null}),
        json!({"ts": "yesterday"}),
        json!({"ts": "2025-13-02T18:04:31Z"}),
        json!({"ts": "1999-01-02T18:04:31Z"}),
        json!({"ts": "9999-12-31T23:59:59Z"}),
        json!({"ts": "2025-03-02T18:04:31+x"}),
        json!({"ms_played": null}),
    ] {
        let row = with(newest(), bad.clone()).to_string();
        assert_eq!(ExtendedWire::read(row.as_bytes()).and_then(ExtendedWire::stream), Err(BadRow), "{bad}");
    }
    let other = newest().to_string().replace("Glass", "Gl\u{e4}ss");
    let latin: Vec<u8> = other.chars().map(|c| c as u8).collect();
    let read = ExtendedWire::read(&latin).and_then(ExtendedWire::stream).expect("a stream");
    assert_eq!(read.name.as_deref(), Some("Gl\u{FFFD}ss Harbour"));
    let cut = newest().to_string().replace("Glass", "\\ud83c Glass");
    let read = ExtendedWire::read(cut.as_bytes()).and_then(ExtendedWire::stream).expect("a stream");
    assert_eq!(read.name.as_deref(), Some("\u{FFFD} Glass Harbour"));
    let words = stream(with(newest(), json!({"shuffle": 1, "skipped": "True", "offline": 0, "incognito_mode": 2})));
    assert_eq!(
        (words.shuffle, words.skipped, words.offline, words.incognito),
        (Some(true), Some(true), Some(false), None)
    );
    let long = stream(with(newest(), json!({"master_metadata_track_name": "\u{97F3}".repeat(2000)})));
    assert!(long.name.is_some_and(|name| name.len() <= TEXT_LEN_MAX));
}

#[test]
fn a_moment_is_one_however_it_is_written() {
    for text in [
        "2025-03-02T18:04:31Z",
        "2025-03-02 18:04:31",
        "2025-03-02T18:04:31.123Z",
        "2025-03-02T20:04:31+02:00",
        "2025-03-02T13:34:31.5-0430",
        "2025-03-02T19:04:31+01",
    ] {
        assert_eq!(stream(with(newest(), json!({"ts": text}))).logged_at, at("2025-03-02T18:04:31Z"), "{text}");
    }
}

#[test]
fn account_data_has_minutes_and_names_and_an_id_where_the_library_knows_one() {
    let music = account(json!({"endTime": "2026-01-02 03:04", "artistName": "The Tin Lanterns",
        "trackName": "Glass Harbour", "msPlayed": 201_340}));
    assert_eq!((music.ended_at, music.uri), (at("2026-01-02T03:04:00Z"), Some(uri(1))));
    assert_eq!((music.kind, music.origin), (StreamKind::Track, StreamOrigin::Account));
    let podcast =
        account(json!({"endTime": "2026-01-02 03:04", "podcastName": "P", "episodeName": "E", "msPlayed": 1}));
    assert_eq!((podcast.kind, podcast.collection.as_deref()), (StreamKind::Episode, Some("P")));
    let book = account(json!({"endTime": "2026-01-02 03:04", "audiobookName": "B", "authorName": "A",
        "chapterName": "C", "msPlayed": 1}));
    assert_eq!((book.kind, book.creator.as_deref()), (StreamKind::Chapter, Some("A")));
    let lost = account(json!({"endTime": "2026-01-02 03:04", "artistName": "Unknown Artist",
        "trackName": "Unknown Track", "msPlayed": 1}));
    assert_eq!((lost.kind, lost.name), (StreamKind::Unknown, None));
}
