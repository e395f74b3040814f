//! Everything given is kept, whatever it looks like: saved local files, episodes that claim to be tracks, slots that
//! are null for a while, names that come back empty. Silence erases nothing, and nothing with a name is dropped.

use super::{ALBUMS, ARTISTS, TRACKS, Trial, always};
use crate::support::{Backend, Segno, both, wait_until};
use serde_json::{Value, json};

fn patch(ids: &[String], with: Value) -> Value {
    json!({ "kind": "patch_rows", "ids": ids, "with": with })
}

/// A saved local file in place of a saved track.
fn local_file(uri: &str) -> Value {
    json!({ "track": {
        "id": null, "is_local": true, "uri": uri, "href": null, "name": "Tape", "external_ids": {},
        "artists": [{ "id": null, "name": "Me and my tape", "type": "artist", "uri": null }],
        "album": { "id": null, "name": "Cellar", "type": "album", "uri": null },
    } })
}

impl Trial {
    /// Rows of the library and of the catalogue that contain this.
    fn mentions(&self, words: &str) -> usize {
        let tables = ["saved_tracks", "tracks", "artists", "albums"];
        let rows = tables.iter().flat_map(|table| self.database.rows(table));
        rows.filter(|row| row.contains(words)).count()
    }

    /// A run that looks at every row again.
    fn read_again(&self) {
        Segno::on(&self.database, &self.sandbox, &["reset", "--all"]).succeed();
        self.sync_well();
    }

    /// Changes of an entity type in `segno changes`, as `change id`.
    fn changes(&self, entity: &str) -> Vec<String> {
        let args = ["changes", entity, "--json", "--since", "1h", "--limit", "10000"];
        let ended = Segno::on(&self.database, &self.sandbox, &args).succeed();
        let change = |line: &str| {
            let change: Value = serde_json::from_str(line).expect("JSON");
            let what = change["id"].as_str().or(change["uri"].as_str()).unwrap_or("-").to_owned();
            format!("{} {what}", change["change"].as_str().expect("a change"))
        };
        ended.stdout.lines().map(change).collect()
    }
}

both! {
    fn a_local_file_among_the_saved_tracks_is_a_row_of_its_own(backend) {
        let trial = Trial::of(backend, [60, 0, 0, 0, 0]);
        let uri = "spotify:local:Me+and+my+tape:Cellar:Tape:61";
        let id = trial.id(TRACKS, 7);
        trial.rules(json!([always("tracks", patch(std::slice::from_ref(&id), local_file(uri)))]));
        let ended = trial.sync_well();
        let row = |column: &str| {
            let of = format!("saved_tracks s JOIN tracks t ON t.id = s.track_id WHERE t.uri = '{uri}' OR t.id = '{uri}'");
            trial.database.value(column, &of)
        };
        assert_eq!((row("t.name"), row("s.removed_at")), ("Tape".to_owned(), String::new()), "{}", ended.told());
        assert!(!row("s.added_at").is_empty() && trial.num_held(TRACKS) == 60, "{}", ended.told());
        assert!(trial.mentions("Me and my tape") >= 1, "{}", ended.told());
        let again = trial.sync_well();
        assert!(trial.sandbox.requests("tracks") <= 2, "{}", again.told());
        trial.sandbox.edit(json!([{ "op": "remove_tracks", "offset": 7 }]));
        let ended = trial.sync_well();
        trial.sync_well();
        assert!(!row("s.removed_at").is_empty() && trial.num_removed(TRACKS) == 1, "{}", ended.told());
    }

    /// The URI decides.
    fn an_episode_that_calls_itself_a_track_is_none(backend) {
        let trial = Trial::of_items(backend, 60);
        let odd = [trial.uri(3), trial.uri(4), trial.uri(5)];
        let as_episode = json!({ "item": { "type": "track", "id": "ep1", "uri": "spotify:episode:ep1", "name": "Talk" } });
        let as_chapter = json!({ "item": { "type": "chapter", "id": "ch1", "uri": "spotify:episode:ch1", "name": "Chapter one" } });
        let no_type = json!({ "item": { "type": null, "id": "ep2", "uri": "spotify:episode:ep2", "name": "Quiet" } });
        let rules: Vec<Value> = odd.iter().zip([as_episode, as_chapter, no_type])
            .map(|(uri, with)| always("playlist_items", patch(std::slice::from_ref(uri), with))).collect();
        trial.rules(json!(rules));
        let ended = trial.sync_well();
        let items = trial.database.lines(
            "SELECT kind || '|' || coalesce(uri, '-') || '|' || coalesce(track_id, '-') || '|' || coalesce(name, '-') AS line \
             FROM playlist_items WHERE position BETWEEN 3 AND 5 ORDER BY position");
        let expected = ["episode|spotify:episode:ep1|-|Talk", "chapter|spotify:episode:ch1|-|Chapter one",
            "episode|spotify:episode:ep2|-|Quiet"];
        assert_eq!(items, expected, "{}", ended.told());
        assert_eq!(trial.database.count("tracks WHERE id IN ('ep1', 'ch1', 'ep2')"), 0);
    }

    fn a_slot_that_is_null_for_a_while_is_neither_removed_nor_added(backend) {
        let trial = Trial::of(backend, [60, 60, 0, 1, 60]);
        trial.sync_well();
        let track = [trial.id(TRACKS, 10), trial.id(TRACKS, 59)];
        let album = [trial.id(ALBUMS, 10)];
        let item = [trial.uri(10), trial.uri(55)];
        let before = ["tracks", "albums", "playlists"].map(|entity| trial.changes(entity).len());
        trial.rules(json!([
            always("tracks", patch(&track, json!({ "track": null }))),
            always("albums", patch(&album, json!({ "album": null }))),
            always("playlist_items", patch(&item, json!({ "item": null }))),
        ]));
        trial.sandbox.edit(json!([
            { "op": "playlist_insert", "index": 0, "position": 30, "count": 1 },
            { "op": "add_tracks", "count": 1 }, { "op": "add_albums", "count": 1 },
        ]));
        trial.sync_well();
        let ended = trial.sync_well();
        trial.assert_nothing_lost(&ended);
        trial.read_again();
        trial.assert_nothing_lost(&ended);
        trial.rules(json!([]));
        trial.sandbox.edit(json!([
            { "op": "playlist_insert", "index": 0, "position": 31, "count": 1 },
            { "op": "add_tracks", "count": 1 }, { "op": "add_albums", "count": 1 },
        ]));
        trial.heal();
        trial.assert_nothing_lost(&ended);
        let after = ["tracks", "albums", "playlists"].map(|entity| trial.changes(entity).len());
        assert_eq!(after, [before[0] + 2, before[1] + 2, before[2] + 2], "only what was added came");
    }

    fn silence_erases_nothing_that_is_known(backend) {
        let trial = Trial::of(backend, [60, 30, 30, 1, 30]);
        trial.sync_well();
        let known = |expression: &str, table: &str| {
            let mut rows = trial.database.lines(&format!("SELECT id || '|' || {expression} AS line FROM {table}"));
            rows.sort();
            rows
        };
        let all = || {
            [
                known("name || '|' || CAST(duration_ms AS TEXT) || '|' || coalesce(isrc, '-') || '|' || album_id", "tracks"),
                known("name || '|' || coalesce(album_type, '-') || '|' || coalesce(image_url, '-')", "albums"),
                known("name || '|' || coalesce(genres, '-') || '|' || coalesce(image_url, '-')", "artists"),
                known("name", "playlists"),
            ]
        };
        let before = all();
        let emptied = json!({ "name": "", "duration_ms": 0, "genres": [], "images": [], "external_ids": {} });
        let silent = json!({ "name": null, "duration_ms": null, "genres": null, "images": null, "external_ids": null });
        for empty in [emptied, silent] {
            let row = |family: &str, at: Option<&str>| {
                let with = at.map_or(empty.clone(), |at| json!({ at: empty }));
                always(family, json!({ "kind": "patch_rows", "with": with }))
            };
            trial.rules(json!([row("tracks", Some("track")), row("albums", Some("album")), row("artists", None),
                row("playlist_items", Some("item"))]));
            trial.read_again();
            for (before, after) in before.iter().zip(all()) {
                let changed: Vec<_> = before.iter().filter(|row| !after.contains(row)).take(3).collect();
                assert!(changed.is_empty(), "{changed:?} was known; now {:?}", after.first());
            }
        }
    }

    /// In a playlist as well, as long as the same item stands at its place.
    fn an_item_of_a_playlist_keeps_its_name_and_who_added_it(backend) {
        let trial = Trial::of_items(backend, 130);
        trial.sync_well();
        let before = trial.database.rows("playlist_items");
        for with in [
            json!({ "added_by": null }),
            json!({ "added_by": { "id": null }, "item": { "name": "Tr\u{FFFD}" } }),
            json!({ "added_by": 7, "added_at": null, "item": { "name": " " } }),
        ] {
            trial.rules(json!([always("playlist_items", json!({ "kind": "patch_rows", "with": with }))]));
            let ended = Segno::on(&trial.database, &trial.sandbox, &["verify", "playlists"]).succeed();
            let after = trial.database.rows("playlist_items");
            let changed: Vec<_> = after.iter().filter(|row| !before.contains(row)).take(3).collect();
            assert!(changed.is_empty() && after.len() == before.len(), "{with}: {changed:?}: {}", ended.told());
        }
        trial.rules(json!([]));
        trial.sandbox.library().assert_held_by(&trial.database);
    }

    fn an_artist_without_an_id_keeps_the_name(backend) {
        let trial = Trial::of(backend, [60, 20, 0, 1, 20]);
        let nameless = |ids: &[String], at: &str| {
            patch(ids, json!({ at: { "artists": [{ "id": null, "name": "Nobody in particular", "type": "artist" }] } }))
        };
        let (track, album) = ([trial.id(TRACKS, 4)], [trial.id(ALBUMS, 4)]);
        trial.rules(json!([always("tracks", nameless(&track, "track")), always("albums", nameless(&album, "album"))]));
        let ended = trial.sync_well();
        assert_eq!(trial.num_held(TRACKS), 60, "{}", ended.told());
        let tables = ["artists", "track_artists", "album_artists", "tracks", "albums"];
        let kept = tables.iter().flat_map(|table| trial.database.rows(table)).filter(|row| row.contains("Nobody in particular"));
        assert!(kept.count() >= 1, "{}", ended.told());
    }

    fn an_unreadable_date_is_noted_and_the_row_is_kept(backend) {
        let trial = Trial::of(backend, [60, 20, 0, 1, 20]);
        let (track, album, item) = ([trial.id(TRACKS, 4)], [trial.id(ALBUMS, 4)], [trial.uri(4)]);
        let undated = json!({ "added_at": "yesterday" });
        trial.rules(json!([always("tracks", patch(&track, undated.clone())), always("albums", patch(&album, undated.clone())),
            always("playlist_items", patch(&item, undated))]));
        let ended = trial.sync_well();
        assert_eq!((trial.num_held(TRACKS), trial.num_held(ALBUMS), trial.num_items()), (60, 20, 20), "{}", ended.told());
        let noted = trial.database.lines("SELECT entity_type || ' ' || reason AS line FROM sync_odd_items ORDER BY 1");
        assert!(noted.len() >= 3 && noted.iter().all(|note| note.contains("added_at")), "{noted:?}: {}", ended.told());
    }

    /// Without an id, the URI decides; without both, it is noted.
    fn an_artist_without_an_id_who_is_followed_is_noted(backend) {
        let trial = Trial::of_one(backend, ARTISTS, 60);
        let artist = [trial.id(ARTISTS, 4)];
        trial.rules(json!([always("artists", patch(&artist, json!({ "id": null })))]));
        trial.sync_well();
        trial.sandbox.library().assert_held_by(&trial.database);


        let trial = Trial::of_one(backend, ARTISTS, 60);
        let artist = [trial.id(ARTISTS, 4)];
        trial.rules(json!([always("artists", patch(&artist, json!({ "id": null, "uri": null })))]));
        trial.sync_safely();
        let ended = trial.sync_safely();
        let noted = trial.database.count("sync_odd_items WHERE entity_type = 'artists'");
        assert_eq!((trial.num_held(ARTISTS), noted), (59, 1), "{}", ended.told());
        trial.heal();
    }

    fn a_play_of_a_local_file_with_a_long_uri_is_stored(backend) {
        let trial = Trial::of(backend, [20, 0, 0, 0, 0]);
        let uri = format!("spotify:local:{0}:{0}:{0}:61", "%E9%9F%B3".repeat(11));
        assert!(uri.len() > 300);
        let play = json!({ "track": { "id": null, "is_local": true, "uri": uri, "name": "音" } });
        trial.rules(json!([always("player", json!({ "kind": "patch_rows", "places": [0], "with": play }))]));
        let service = trial.service();
        wait_until("the plays are there", || trial.database.has_tables() && trial.database.count("plays") >= 50);
        service.stop();
        assert_eq!(trial.database.count(&format!("plays WHERE track_uri = '{uri}'")), 1);
    }

    fn a_play_whose_time_has_no_zone_is_stored(backend) {
        let trial = Trial::of(backend, [20, 0, 0, 0, 0]);
        let at = |place: usize, played_at: &str| {
            always("player", json!({ "kind": "patch_rows", "places": [place], "with": { "played_at": played_at } }))
        };
        trial.rules(json!([at(0, "2026-11-20T10:00:00"), at(1, "2026-11-20 10:01:00"), at(2, "2026-11-20T10:02:00+0100")]));
        let service = trial.service();
        wait_until("the plays are there", || trial.database.has_tables() && trial.database.count("plays") >= 50);
        service.stop();
        assert_eq!(trial.database.count("sync_odd_items WHERE entity_type = 'plays'"), 0);
    }

    fn bytes_in_a_play_that_are_no_text_cost_no_play(backend) {
        let trial = Trial::of(backend, [20, 0, 0, 0, 0]);
        trial.rules(json!([always("player",
            json!({ "kind": "raw", "places": [3], "at": "/track/name", "bytes": [65, 255] }))]));
        let service = trial.service();
        wait_until("the plays are there", || trial.database.has_tables() && trial.database.count("plays") == 50);
        service.stop();
    }

    /// Up to fifty of them come with each album.
    fn the_tracks_inside_a_saved_album_are_in_the_catalogue(backend) {
        let trial = Trial::of(backend, [0, 40, 0, 0, 0]);
        let ended = trial.sync_well();
        let pages = crate::support::NUM_ENTITY_TYPES + 1;
        assert_eq!(trial.sandbox.requests("*"), 1 + pages, "who is signed in, a page each, and one without our cursor, as nobody is followed: {}", ended.told());
        let catalogue = trial.sandbox.get("catalogue");
        let saved = trial.sandbox.library().ids("albums");
        let albums = catalogue["albums"].as_array().expect("albums").iter();
        let mut inside = Vec::new();
        for album in albums.filter(|album| saved.contains(album["id"].as_str().expect("an id"))) {
            for track in album["tracks"]["items"].as_array().expect("tracks") {
                let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let fields = [&track["id"], &album["id"], &track["disc_number"], &track["track_number"], &track["name"]];
                inside.push(fields.map(text).join("|"));
            }
        }
        inside.sort();
        let mut held = trial.database.lines("SELECT id || '|' || album_id || '|' || CAST(disc_number AS TEXT) || '|' || \
            CAST(track_number AS TEXT) || '|' || name AS line FROM tracks");
        held.sort();
        assert_eq!(held.len(), inside.len(), "{}", ended.told());
        assert_eq!(held, inside);
    }
}
