//! The library, the history and the log as lists: whole, in order, and as requested.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// A service that has read everything once, with no empty lists.
fn settled(database: &Database, sandbox: &Sandbox) -> Page {
    let page = Page::start(database, service(database, sandbox));
    database.wait_for_first_sync();
    page
}

/// Every row of a list, a few at a time. `between` runs between one page and the next.
fn walk(page: &Page, path: &str, limit: usize, mut between: impl FnMut(usize)) -> Vec<Value> {
    let sign = if path.contains('?') { '&' } else { '?' };
    let (mut rows, mut after) = (Vec::new(), String::new());
    for number in 0.. {
        assert!(number < 2000, "{path} never ends");
        let answer = page.get(&format!("{path}{sign}limit={limit}{after}"));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let answer = answer.json();
        let items = answer["items"].as_array().expect("items");
        assert!(items.len() <= limit, "{path}: {} items", items.len());
        rows.extend(items.iter().cloned());
        let Some(next) = answer["next"].as_str() else { break };
        after = format!("&after={next}");
        between(number);
    }
    rows
}

fn all(page: &Page, path: &str) -> Vec<Value> {
    walk(page, path, 200, |_| {})
}

fn texts(rows: &[Value], field: &str) -> Vec<String> {
    rows.iter().map(|row| row[field].as_str().expect("text").to_owned()).collect()
}

/// A moment in a form that both databases accept.
fn moment(second: usize) -> String {
    format!("2026-03-01 10:{:02}:{:02}.000000+00:00", second / 60 % 60, second % 60)
}

/// Saves a track that sorts somewhere in the middle, by name and by date.
fn save(database: &Database, id: &str, name: &str, added_at: &str) {
    database.execute(&format!("INSERT INTO tracks (id, name, fetched_at) VALUES ('{id}', '{name}', '{}')", moment(0)));
    database.execute(&format!(
        "INSERT INTO saved_tracks (account_id, track_id, added_at) SELECT min(id), '{id}', {added_at} FROM accounts"
    ));
}

both! {
    fn every_list_hands_out_each_row_once_and_in_order_while_others_come(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact_with([150, 70, 60, 40, 20], [40, 60, 30], &[]));
        let page = settled(&database, &sandbox);
        let mut number = 0;
        for (path, key, table) in [
            ("tracks?sort=added_at", "added_at", "saved_tracks"),
            ("tracks?sort=name", "name", "saved_tracks"),
            ("albums?sort=added_at", "added_at", "saved_albums"),
            ("albums?sort=name", "name", "saved_albums"),
            ("shows?sort=added_at", "added_at", "saved_shows"),
            ("shows?sort=name", "name", "saved_shows"),
            ("episodes?sort=added_at", "added_at", "saved_episodes"),
            ("episodes?sort=name", "name", "saved_episodes"),
            // None of them is dated.
            ("audiobooks?sort=added_at", "added_at", "saved_audiobooks"),
            ("audiobooks?sort=name", "name", "saved_audiobooks"),
            ("artists?sort=first_seen_at", "first_seen_at", "followed_artists"),
            ("artists?sort=name", "name", "followed_artists"),
            ("playlists?sort=position", "position", "library_playlists"),
            ("playlists?sort=name", "name", "library_playlists"),
        ] {
            for order in ["asc", "desc"] {
                let path = format!("/api/v1/{path}&order={order}");
                let before: BTreeSet<String> = texts(&all(&page, &path), "id").into_iter().collect();
                assert_eq!(before.len() as u64, database.count(table), "{path}");

                let rows = walk(&page, &path, 7, |at| {
                    if table == "saved_tracks" && at % 3 == 0 {
                        number += 1;
                        let (id, name) = (format!("new{number}"), ["A new one", "m", "Zz"][number % 3]);
                        let added_at = if number % 4 == 0 { "NULL".into() } else { format!("'{}'", moment(number)) };
                        save(&database, &id, name, &added_at);
                    }
                });

                let ids = texts(&rows, "id");
                let shown: BTreeSet<String> = ids.iter().cloned().collect();
                assert_eq!(shown.len(), ids.len(), "{path}: shown twice");
                assert!(shown.is_superset(&before), "{path}: hidden: {:?}", before.difference(&shown));
                let place = |row: &Value| match key {
                    "position" => (0, format!("{:09}", row[key].as_i64().expect("a number"))),
                    _ => match row[key].as_str() {
                        Some(text) => (0, text.to_ascii_lowercase()),
                        // Rows without a date are the last in either direction.
                        None if order == "asc" => (1, String::new()),
                        None => (-1, String::new()),
                    },
                };
                let places: Vec<_> = rows.iter().map(place).collect();
                let is_sorted = if order == "asc" { places.is_sorted() } else { places.iter().rev().is_sorted() };
                assert!(is_sorted, "{path}: {places:?}");
            }
        }
        page.stop();
    }

    fn a_row_has_what_the_library_says(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact_with([60, 20, 12, 3, 30], [9, 14, 7], &[]));
        let page = settled(&database, &sandbox);
        let library = sandbox.library();
        for listing in crate::support::entity_types() {
            let listed = texts(&all(&page, &format!("/api/v1/{listing}")), "id");
            assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), library.ids(listing), "{listing}");
        }
        // A search includes the names of creators.
        let found = |path: &str, words: &str| all(&page, &format!("/api/v1/{path}?q={}", words.replace(' ', "+")));
        let episode = &all(&page, "/api/v1/episodes")[3];
        let show = episode["show"]["name"].as_str().expect("a show").to_owned();
        assert!(found("episodes", &show).contains(episode), "{show}");
        let audiobook = &all(&page, "/api/v1/audiobooks")[2];
        let author = audiobook["authors"][0].as_str().expect("an author").to_owned();
        assert!(found("audiobooks", &author).contains(audiobook), "{author}");
        assert!(audiobook["narrators"][0].is_string() && audiobook["added_at"].is_null(), "{audiobook}");
        let expected: BTreeMap<String, String> = database
            .lines(
                "SELECT t.id || '|' || t.name || '|' || b.id || '|' || b.name || '|' || a.name AS line FROM tracks t \
                 JOIN albums b ON b.id = t.album_id JOIN track_artists c ON c.track_id = t.id AND c.position = 0 \
                 JOIN artists a ON a.id = c.artist_id",
            )
            .into_iter()
            .map(|line| (line.split('|').next().unwrap().to_owned(), line))
            .collect();
        for track in all(&page, "/api/v1/tracks") {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (album, artist) = (&track["album"], &track["artists"][0]);
            let told = [&track["id"], &track["name"], &album["id"], &album["name"], &artist["name"]].map(text).join("|");
            assert_eq!(expected[track["id"].as_str().unwrap()], told, "{track}");
        }
        let playlist = &all(&page, "/api/v1/playlists")[1];
        let id = playlist["id"].as_str().unwrap();
        assert_eq!(page.get(&format!("/api/v1/playlists/{id}")).json(), *playlist);
        let items = walk(&page, &format!("/api/v1/playlists/{id}/items"), 11, |_| {});
        let sql = format!("SELECT uri AS line FROM playlist_items WHERE playlist_id = '{id}' ORDER BY position");
        assert_eq!(texts(&items, "uri"), database.lines(&sql));
        assert!(items.iter().any(|item| item["artists"][0]["name"].is_string() && item["album"]["name"].is_string()));
        page.get("/api/v1/playlists/nobody-has-this/items").assert_problem(404, "no such playlist");

        sandbox.edit_one(serde_json::json!({ "op": "playlist_insert", "index": 1, "position": 3, "count": 2 }));
        page.post("/api/v1/sync", serde_json::json!({ "entity_types": ["playlists"] }));
        let versions = || all(&page, &format!("/api/v1/playlists/{id}/versions"));
        wait_until("the playlist has another version", || versions().len() == 2);
        let [newest, first] = &versions()[..] else { panic!("{:?}", versions()) };
        assert_eq!((&newest["items_added"], &newest["is_first"], &newest["more_changes"]), (&2.into(), &false.into(), &0.into()));
        assert_eq!(newest["changes"].as_array().map(Vec::len), Some(2), "{newest}");
        assert_eq!((&first["is_first"], &first["more_changes"], first["changes"].as_array().map(Vec::len)), (&true.into(), &0.into(), Some(0)));
        page.stop();
    }

    fn a_search_finds_what_it_should_and_what_is_gone_is_listed_apart(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(90, 10, 20, 3, 30));
        let page = settled(&database, &sandbox);
        save(&database, "uml", "Ärger im Bärenland", "NULL");
        let all_tracks = all(&page, "/api/v1/tracks");
        let matches = |track: &Value, words: &str| track.to_string().to_lowercase().contains(words);
        // A part of it, in any case.
        let of_last: String = all_tracks[80]["name"].as_str().unwrap().to_lowercase().chars().skip(1).take(3).collect();
        for words in [of_last.trim(), "BÄREN", "är"] {
            let encoded: String = words.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let path = format!("/api/v1/tracks?sort=name&q={encoded}");
            let found: BTreeSet<String> = texts(&walk(&page, &path, 3, |_| {}), "id").into_iter().collect();
            let names = |track: &Value| {
                let artists = track["artists"].as_array().unwrap().iter().map(|artist| artist["name"].clone());
                Value::from_iter([track["name"].clone(), track["album"]["name"].clone()].into_iter().chain(artists))
            };
            let expected: Vec<Value> = all_tracks.iter().filter(|track| matches(&names(track), &words.to_lowercase())).cloned().collect();
            assert!(!expected.is_empty(), "{words}");
            assert_eq!(found, texts(&expected, "id").into_iter().collect(), "{words}");
        }
        assert_eq!(all(&page, "/api/v1/tracks?q=there-is-no-such-track"), Vec::<Value>::new());

        let gone: BTreeSet<String> = texts(&all_tracks[20..25], "id").into_iter().collect();
        for id in &gone {
            database.execute(&format!("UPDATE saved_tracks SET removed_at = '{}' WHERE track_id = '{id}'", moment(9)));
        }
        for query in ["sort=name", "sort=added_at", "sort=added_at&order=asc"] {
            let removed = walk(&page, &format!("/api/v1/tracks?removed=true&{query}"), 2, |_| {});
            assert_eq!(texts(&removed, "id").into_iter().collect::<BTreeSet<_>>(), gone, "{query}");
            assert!(removed.iter().all(|track| track["removed_at"].is_string()), "{query}");
            let there: BTreeSet<String> = texts(&walk(&page, &format!("/api/v1/tracks?{query}"), 20, |_| {}), "id").into_iter().collect();
            assert!(there.len() == all_tracks.len() - gone.len() && there.is_disjoint(&gone), "{query}");
        }
        page.stop();
    }

    fn changes_are_those_that_the_command_prints(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(130, 30, 12, 4, 40));
        let page = settled(&database, &sandbox);
        sandbox.edit(serde_json::json!([
            { "op": "remove_tracks", "offset": 20, "count": 3 }, { "op": "add_tracks", "count": 2 },
            { "op": "playlist_insert", "index": 0, "position": 3, "count": 30 },
            { "op": "playlist_remove", "index": 1, "position": 7, "count": 8 },
        ]));
        page.post("/api/v1/sync", serde_json::json!({}));
        wait_until("all of it is noticed", || {
            database.count("playlist_changes") == 38 && database.count("saved_tracks WHERE removed_at IS NOT NULL") == 3
        });
        let log = page.stop();
        // With the service idle, or a change may come between the two.
        let printed = |args: &[&str]| -> Vec<Value> {
            let args = [&["changes", "--json", "--limit", "100000", "--since", "2000-01-01"], args].concat();
            let ended = Segno::on(&database, &sandbox, &args).succeed();
            ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
        };
        let (everything, of_playlists) = (printed(&[]), printed(&["playlists"]));
        assert!(everything.len() > 200, "{log}");
        // Nothing is due for hours.
        let page = Page::start(&database, service(&database, &sandbox));
        let shown = |query: &str, limit| walk(&page, &format!("/api/v1/changes?{query}"), limit, |_| {});
        assert_eq!(shown("", 13), everything);
        assert_eq!(shown("", 200), everything);
        assert_eq!(shown("entity_type=playlists", 9), of_playlists);
        for kind in ["added", "added_again", "removed"] {
            let expected: Vec<Value> = everything.iter().filter(|change| change["change"] == kind).cloned().collect();
            assert_eq!(shown(&format!("kind={kind}"), 17), expected, "{kind}");
        }
        let since = everything[40]["at"].as_str().unwrap();
        let expected: Vec<Value> = everything.iter().filter(|change| moment_of(&change["at"]) >= moment_of(&since.into())).cloned().collect();
        assert_eq!(shown(&format!("since={since}"), 6), expected);
        let name = everything[3]["name"].as_str().unwrap().to_lowercase();
        let found = shown(&format!("q={}", name.replace(' ', "%20").replace('&', "%26")), 50);
        assert!(found.contains(&everything[3]), "{name}: {found:?}");
        page.stop();
    }

    fn plays_batches_and_activity_tell_what_the_tables_hold(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(120, 20, 12, 3, 30));
        let page = settled(&database, &sandbox);
        let track = database.lines("SELECT min(track_id) AS line FROM saved_tracks")[0].clone();
        for number in 0..40 {
            // Some at the same moment, and some that are not tracks.
            let (at, id) = (moment(number / 3), if number % 5 == 0 { "NULL".to_owned() } else { format!("'{track}'") });
            database.execute(&format!(
                "INSERT INTO plays (account_id, played_at, track_uri, track_id, source) \
                 SELECT min(id), '{at}', 'spotify:track:x{number}', {id}, 'export' FROM accounts"
            ));
        }
        let plays = walk(&page, "/api/v1/plays", 3, |_| {});
        assert_eq!(plays.len() as u64, database.count("plays"));
        let uris: BTreeSet<String> = texts(&plays, "track_uri").into_iter().collect();
        assert!((0..40).all(|number| uris.contains(&format!("spotify:track:x{number}"))));
        assert!(plays.iter().map(|play| moment_of(&play["played_at"])).rev().is_sorted());
        let named = plays.iter().find(|play| play["track_id"] == track.as_str()).unwrap();
        assert!(named["name"].is_string() && named["artists"][0]["id"].is_string() && named["album"]["id"].is_string(), "{named}");

        let batches = walk(&page, "/api/v1/batches", 2, |_| {});
        assert_eq!(batches.len() as u64, database.count("sync_batches"));
        assert!(batches.iter().map(|batch| batch["id"].as_i64()).rev().is_sorted());
        let of_albums = walk(&page, "/api/v1/batches?entity_type=albums", 2, |_| {});
        assert_eq!(of_albums.len() as u64, database.count("sync_batches WHERE entity_type = 'albums'"));

        wait_until("the ledger is written", || database.count("request_ledger") > 0);
        let activity = page.get("/api/v1/activity").json();
        let sum = |rows: &Value, field: &str| rows.as_array().unwrap().iter().map(|row| row[field].as_u64().unwrap()).sum::<u64>();
        let held = |sql: &str| database.lines(sql)[0].parse::<u64>().unwrap();
        assert_eq!(sum(&activity["runs"], "batches"), database.count("sync_batches"));
        assert_eq!(sum(&activity["runs"], "new"), held("SELECT CAST(sum(items_new) AS TEXT) AS line FROM sync_batches"));
        assert_eq!(sum(&activity["runs"], "requests"), held("SELECT CAST(sum(requests) AS TEXT) AS line FROM sync_batches"));
        for run in activity["runs"].as_array().unwrap() {
            assert!(moment_of(&run["began_at"]) <= moment_of(&run["ended_at"]), "{run}");
        }
        assert_eq!(activity["ceilings"], serde_json::json!({}));
        assert_eq!(activity["restarts"], serde_json::json!([]));
        page.stop();
    }

    fn activity_tells_the_pauses_of_a_day_also_those_that_are_over(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(120, 20, 12, 3, 30));
        let limited = |family: &str, skip: u32, kind: &str, seconds: &str| {
            let answer = serde_json::json!({ "kind": kind, "retry_after": seconds });
            serde_json::json!({ "family": family, "skip": skip, "times": 1, "do": answer })
        };
        sandbox.rules(Value::from_iter([limited("*", 4, "rate_limited", "1"), limited("albums", 0, "quota", "9000")]));
        let page = Page::start(&database, service(&database, &sandbox));
        let is_read = || database.num_complete() == crate::support::NUM_ENTITY_TYPES - 1;
        wait_until("all but albums is read", is_read);
        let tracks = serde_json::json!({ "entity_types": ["tracks"] });
        wait_until("the run is over", || page.entity("tracks")["next_run_at"].is_string());
        sandbox.rules(Value::from_iter([limited("tracks", 0, "rate_limited", "1")]));
        page.post("/api/v1/sync", tracks);
        let over = |pauses: &[Value]| {
            let is_over = |pause: &&Value| moment_of(&pause["until"]) <= chrono::Utc::now();
            pauses.iter().filter(is_over).map(|pause| (pause["family"].clone(), pause["class"].clone())).collect::<Vec<_>>()
        };
        let told = || page.get("/api/v1/activity").json()["pauses"].as_array().cloned().expect("pauses");
        let twice = vec![("*".into(), "rate".into()); 2];
        wait_until("both pauses of everything are over", || over(&told()) == twice);
        let pauses = told();
        for pause in &pauses {
            let lasts = (moment_of(&pause["until"]) - moment_of(&pause["from"])).num_milliseconds();
            let expected = if pause["class"] == "rate" { 900..4_000 } else { 8_990_000..9_001_000 };
            assert!(expected.contains(&lasts), "{pause}");
        }
        assert!(moment_of(&pauses[0]["from"]) <= moment_of(&pauses[1]["from"]) && pauses.len() == 3, "{pauses:?}");
        assert_eq!(page.get("/api/v1/activity").json()["pauses_since"], page.status()["started_at"]);
        wait_until("what was refused is on record", || database.count("request_ledger WHERE refusals > 0") >= 2);
        page.stop();

        // The next process knows them as well.
        let page = Page::start(&database, service(&database, &sandbox));
        let again = page.get("/api/v1/activity").json()["pauses"].as_array().cloned().expect("pauses");
        assert_eq!(again, pauses);
        let albums = pauses.iter().find(|pause| pause["class"] == "quota").expect("it lasts");
        assert_eq!(albums["family"], "albums");
        assert!(moment_of(&albums["from"]) < moment_of(&page.status()["started_at"]), "{albums}");
        page.stop();
    }
}

fn moment_of(value: &Value) -> chrono::DateTime<chrono::Utc> {
    value.as_str().expect("a moment").parse().expect("a moment")
}
