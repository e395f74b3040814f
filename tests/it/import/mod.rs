//! `segno import`: everything listened to, once, from files as Spotify provides them.

mod life;
mod refused;
mod told;
mod views;

use super::support::{Backend, Database, Ended, Sandbox, Segno, both};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

/// A database with an account, and a sandbox with few tracks.
fn signed_in(backend: Backend) -> (Database, Sandbox) {
    let (database, sandbox) = (Database::new(backend), Sandbox::exact(5, 1, 1, 1, 2));
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    (database, sandbox)
}

/// Writes a file into the test's folder, and returns its path.
fn file(database: &Database, name: &str, text: impl AsRef<[u8]>) -> String {
    let path: PathBuf = database.folder.path().join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(&path, text).expect("a file");
    path.display().to_string()
}

fn import(database: &Database, sandbox: &Sandbox, args: &[&str]) -> Ended {
    let requests = sandbox.requests("*");
    let ended = Segno::on(database, sandbox, &[&["import"], args].concat()).succeed();
    assert_eq!(sandbox.requests("*"), requests, "an import sends no request");
    ended
}

fn report(database: &Database, sandbox: &Sandbox, args: &[&str]) -> Value {
    import(database, sandbox, &[args, &["--json"]].concat()).json()
}

fn uri(number: u32) -> String {
    format!("spotify:track:{number:022}")
}

/// A row in the present format, with 23 keys.
fn row(number: u32, ts: &str, ms_played: u64) -> Value {
    json!({"ts": ts, "platform": "android", "ms_played": ms_played, "conn_country": "NL", "ip_addr": "192.0.2.77",
        "master_metadata_track_name": format!("Song {number}"), "master_metadata_album_artist_name": "The Tin Lanterns",
        "master_metadata_album_album_name": "Low Tide", "spotify_track_uri": uri(number), "episode_name": null,
        "episode_show_name": null, "spotify_episode_uri": null, "audiobook_title": null, "audiobook_uri": null,
        "audiobook_chapter_uri": null, "audiobook_chapter_title": null, "reason_start": "trackdone",
        "reason_end": "trackdone", "shuffle": false, "skipped": false, "offline": false, "offline_timestamp": null,
        "incognito_mode": false})
}

fn with(mut row: Value, changes: Value) -> Value {
    row.as_object_mut().expect("a row").extend(changes.as_object().expect("fields").clone());
    row
}

/// The same in the format used until 2024, with 21 keys.
fn as_in_2023(row: &Value) -> Value {
    let mut row = row.clone();
    let fields = row.as_object_mut().expect("a row");
    fields.retain(|name, _| !name.starts_with("audiobook") && name != "ip_addr");
    let old = json!({"username": "u1", "ip_addr_decrypted": "192.0.2.77", "user_agent_decrypted": "secret-agent",
        "platform": "Android OS 9 API 28 (x, y)"});
    fields.extend(old.as_object().expect("fields").clone());
    row
}

/// Every row that an import may touch, as text.
fn everything(database: &Database) -> Vec<(&'static str, Vec<String>)> {
    let tables = ["streams", "plays", "play_gaps", "imports", "tracks", "albums", "artists", "track_artists"];
    tables.iter().map(|table| (*table, database.rows(table))).collect()
}

/// A few years of three generations, two kinds and all sorts of rows.
fn export(database: &Database) -> String {
    let rows = [row(1, "2019-05-01T10:00:00Z", 200_000), row(2, "2019-05-01T10:04:00Z", 31_000)];
    let old: Vec<Value> = rows.iter().map(as_in_2023).collect();
    file(database, "export/MyData/endsong_0.json", json!(old).to_string());
    let plane = json!({"offline": true, "ts": "2025-03-04T08:00:00Z"});
    let new = [
        row(1, "2019-05-01T10:00:00Z", 200_000),
        row(3, "2025-03-02T18:04:31Z", 201_340),
        with(row(4, "", 180_000), with(plane.clone(), json!({"offline_timestamp": 1_740_938_700}))),
        with(row(4, "", 180_000), with(plane, json!({"offline_timestamp": 1_740_938_880}))),
        with(row(5, "2025-03-05T09:00:00Z", 0), json!({"reason_end": "fwdbtn", "skipped": true})),
        json!({"ts": "2025-03-05T10:00:00Z", "ms_played": 1_800_000, "episode_name": "E", "episode_show_name": "S",
            "spotify_episode_uri": "spotify:episode:0000000000000000000001", "incognito_mode": true}),
        json!({"ts": "2025-03-05T11:00:00Z", "ms_played": 60_000, "audiobook_title": "A Field Guide to Fog",
            "audiobook_uri": "spotify:show:0000000000000000000002", "audiobook_chapter_title": "Chapter 1",
            "audiobook_chapter_uri": "spotify:episode:0000000000000000000003"}),
        json!({"ts": "2025-03-05T12:00:00Z", "ms_played": 4000}),
        json!({"ts": "never", "ms_played": 4000}),
    ];
    let text = format!("\u{feff}{}", serde_json::to_string_pretty(&new).expect("JSON"));
    file(database, "export/new/Streaming_History_Audio_2019-2025_0.json", text);
    let video = json!([row(6, "2024-01-01T00:00:00Z", 9000)]);
    file(database, "export/new/Streaming_History_Video_2019-2025.json", video.to_string());
    file(database, "export/__MACOSX/new/._Streaming_History_Audio_2019-2025_0.json", b"\x00\x05\x16\x07");
    database.folder.path().join("export").display().to_string()
}

/// The precomputed sums equal the view, by month, by half hour and in total.
fn assert_summed_up(database: &Database) {
    assert_eq!(database.count("heard_stale"), 0, "all sums are made");
    let shown = "SELECT CAST(sum(CASE WHEN counts THEN 1 ELSE 0 END) AS TEXT) || ' ' || \
                 CAST(sum(coalesce(ms_estimated, 0)) AS TEXT) AS line FROM listening";
    let shown = database.lines(&format!("{shown} HAVING count(*) > 0"));
    for from in [
        "heard_half_hours",
        "heard_sums WHERE period = 0",
        "heard_sums WHERE period BETWEEN 1 AND 9999",
        "heard_sums WHERE period > 9999",
    ] {
        let summed = format!(
            "SELECT CAST(sum(plays) AS TEXT) || ' ' || CAST(sum(ms) AS TEXT) AS line FROM {from} HAVING count(*) > 0"
        );
        assert_eq!(database.lines(&summed), shown, "{from}");
    }
}

both! {
    fn an_export_of_every_generation_comes_in_once(backend) {
        let (database, sandbox) = signed_in(backend);
        let path = export(&database);
        let dry = report(&database, &sandbox, &[&path, "--dry-run"]);
        assert_eq!(database.count("streams"), 0);
        let first = report(&database, &sandbox, &[&path]);
        let rows = json!({"total": 12, "bad": 1, "track": 8, "episode": 1, "chapter": 1, "unknown": 1});
        assert_eq!(first["rows"], rows, "{first}");
        assert_eq!((&first["new"], &first["known"], &first["matched"]), (&json!(10), &json!(1), &json!(0)));
        assert_eq!((&first["first"], &first["last"]), (&json!("2019-05-01T10:00:00Z"), &json!("2025-03-05T12:00:00Z")));
        let hours = first["hours"].as_f64().expect("a number");
        assert!((hours - 2_665_340.0 / 3_600_000.0).abs() < 1e-9, "{first}");
        for field in ["rows", "new", "known", "hours", "first", "last", "files"] {
            assert_eq!(dry[field], first[field], "a dry run says the same");
        }
        let plays = database.lines(
            "SELECT substr(CAST(played_at AS TEXT), 1, 19) || ' ' || substr(track_id, 22) || ' ' || \
             CAST(ms_played AS TEXT) || ' ' || source AS line FROM plays ORDER BY played_at",
        );
        assert_eq!(plays, [
            "2019-05-01 10:00:00 1 200000 export", "2019-05-01 10:04:00 2 31000 export",
            "2024-01-01 00:00:00 6 9000 export", "2025-03-02 18:04:31 3 201340 export",
            "2025-03-02 18:08:00 4 180000 export", "2025-03-02 18:11:00 4 180000 export",
            "2025-03-05 09:00:00 5 0 export",
        ]);
        let known = database.lines(
            "SELECT t.name || ', ' || a.name || ', ' || b.name || ', ' || t.source AS line FROM tracks t \
             JOIN albums b ON b.id = t.album_id JOIN track_artists ta ON ta.track_id = t.id JOIN artists a ON a.id = \
             ta.artist_id WHERE t.source = 'export' ORDER BY t.id",
        );
        assert_eq!((known.len(), known[0].as_str()), (6, "Song 1, The Tin Lanterns, Low Tide, export"));
        assert_summed_up(&database);
        let everywhere = everything(&database);
        for secret in ["192.0.2", "secret-agent", "u1"] {
            assert!(!format!("{everywhere:?}").contains(secret), "{secret} is stored");
        }

        // The same again, a part of it, and a part in the format of 2023.
        let again = report(&database, &sandbox, &[&path]);
        assert_eq!((&again["new"], &again["known"], &again["gaps_closed"]), (&json!(0), &json!(11), &json!(0)));
        let part = format!("{path}/new/Streaming_History_Audio_2019-2025_0.json");
        let older = file(&database, "older.json", json!([as_in_2023(&row(3, "2025-03-02T18:04:31Z", 201_340))]).to_string());
        let parts = report(&database, &sandbox, &[&part, &older]);
        assert_eq!((&parts["new"], &parts["known"]), (&json!(0), &json!(9)));
        assert_eq!(everything(&database), everywhere);
    }

    fn an_import_is_taken_back_whole(backend) {
        let (database, sandbox) = signed_in(backend);
        let before = everything(&database);
        let first = export(&database);
        report(&database, &sandbox, &[&first]);
        let second = file(&database, "second.json", json!([row(1, "2026-01-01T00:00:00Z", 5000), row(9, "2026-01-02T00:00:00Z", 5000)]).to_string());
        report(&database, &sandbox, &[&second]);
        Segno::on(&database, &sandbox, &["import", "--remove"]).run().assert_refused(2, &["--remove=NUMBER", "1: ", "2: "]);
        let removed = report(&database, &sandbox, &["--remove=2"]);
        assert_summed_up(&database);
        assert_eq!(removed["removed"], json!({"imports": 1, "streams": 2, "plays": 2, "gaps_reopened": 0, "tracks": 1}));
        let removed = import(&database, &sandbox, &["--remove"]).stdout;
        assert!(removed.contains("10  streams") && removed.contains("7  plays that only the export contains"), "{removed}");
        assert_eq!(everything(&database), before);
        assert_summed_up(&database);
        assert_eq!((database.count("heard_items"), database.count("stream_imports")), (0, 0));
        Segno::on(&database, &sandbox, &["import", "--remove"]).run().assert_refused(1, &["nothing was imported"]);
    }

    fn what_was_imported_is_exported_as_it_came(backend) {
        let (database, sandbox) = signed_in(backend);
        report(&database, &sandbox, &[&export(&database)]);
        let before = everything(&database);
        let out = database.folder.path().join("again.json").display().to_string();
        Segno::on(&database, &sandbox, &["export", "listening", "--format", "spotify", "--out", &out]).succeed();
        let again = report(&database, &sandbox, &[&out]);
        assert_eq!((&again["new"], &again["known"]), (&json!(0), &json!(10)), "{again}");
        assert_eq!(everything(&database), before);
        // In another database the result is the same.
        let kinds = "SELECT kind || ' ' || CAST(count(*) AS TEXT) || ' ' || CAST(sum(ms_played) AS TEXT) AS line FROM listening \
                     GROUP BY kind ORDER BY kind";
        let rows = database.lines(kinds);
        let (other, sandbox) = signed_in(backend);
        report(&other, &sandbox, &[&out]);
        assert_eq!(other.lines(kinds), rows);
        assert_eq!(rows.len(), 4, "tracks, an episode, a chapter and what has lost its name");
    }

    fn what_a_later_import_contains_as_well_stays_with_it(backend) {
        let (database, sandbox) = signed_in(backend);
        let rows: Vec<Value> = (1..=6).map(|n| row(n, &format!("2025-0{n}-01T10:00:00Z"), 60_000)).collect();
        let first = file(&database, "first/endsong_0.json", json!(rows[..4]).to_string());
        let second = file(&database, "second/endsong_0.json", json!(rows[1..5]).to_string());
        let third = file(&database, "third/endsong_0.json", json!(rows[2..]).to_string());
        for path in [&first, &second, &third] {
            report(&database, &sandbox, &[path]);
        }
        let left = || database.lines("SELECT substr(uri, 36) || ' ' || CAST(import_id AS TEXT) AS line FROM streams ORDER BY uri");
        assert_eq!(left(), ["1 1", "2 1", "3 1", "4 1", "5 2", "6 3"]);
        let removed = report(&database, &sandbox, &["--remove=1"]);
        assert_eq!(removed["removed"]["streams"], 1);
        assert_eq!(left(), ["2 2", "3 2", "4 2", "5 2", "6 3"]);
        report(&database, &sandbox, &["--remove=3"]);
        assert_eq!(left(), ["2 2", "3 2", "4 2", "5 2"]);
        assert_summed_up(&database);
        report(&database, &sandbox, &["--remove"]);
        assert_eq!((database.count("streams"), database.count("plays WHERE source = 'export'")), (0, 0));
    }

    fn account_data_comes_in_by_its_names_where_nothing_tells_better(backend) {
        let (database, sandbox) = signed_in(backend);
        report(&database, &sandbox, &[&file(&database, "endsong.json", json!([row(7, "2024-01-01T00:00:00Z", 1000)]).to_string())]);
        let history = |ends: &[(&str, u32)]| -> String {
            let row = |(end, number): &(&str, u32)| json!({"endTime": end, "artistName": "The Tin Lanterns",
                "trackName": format!("Song {number}"), "msPlayed": 150_000});
            ends.iter().map(row).collect::<Value>().to_string()
        };
        file(&database, "account/StreamingHistory_music_0.json", history(&[
            ("2026-01-02 03:04", 7), ("2026-01-02 03:08", 8), ("2026-01-02 03:12", 9), ("2026-02-03 03:08", 8),
        ]));
        file(&database, "account/YourLibrary.json", json!({"tracks": [{"artist": "The Tin Lanterns", "album": "Low Tide",
            "track": "Song 8", "uri": uri(8)}], "other": []}).to_string());
        let path = database.folder.path().join("account").display().to_string();
        let first = report(&database, &sandbox, &[&path]);
        assert_eq!((&first["new"], &first["covered"]), (&json!(4), &json!(0)));
        let known = "SELECT name || ' ' || coalesce(substr(uri, 36), '?') AS line FROM streams WHERE origin = 'account' ORDER BY logged_at";
        // One is known from the catalogue, one from the library of the export, and one not at all.
        assert_eq!(database.lines(known), ["Song 7 7", "Song 8 8", "Song 9 ?", "Song 8 8"]);
        assert_eq!(database.count("plays WHERE source = 'export'"), 4);
        let everywhere = everything(&database);
        assert_eq!(report(&database, &sandbox, &[&path])["known"], 4);
        assert_eq!(everything(&database), everywhere);

        // Then the extended history of January is imported.
        let better: Vec<Value> = [(7, "2026-01-02T03:04:20Z"), (8, "2026-01-02T03:08:40Z"), (9, "2026-01-02T03:12:59Z")]
            .map(|(number, ts)| row(number, ts, 150_000)).to_vec();
        let extended = file(&database, "Streaming_History_Audio_2026.json", json!(better).to_string());
        let second = report(&database, &sandbox, &[&extended]);
        assert_eq!((&second["new"], &second["replaced"]), (&json!(3), &json!(3)));
        assert_eq!(database.lines(known), ["Song 8 8"]);
        assert_eq!(database.count("plays WHERE source = 'export'"), 5);
        let third = report(&database, &sandbox, &[&path]);
        assert_eq!((&third["new"], &third["known"], &third["covered"]), (&json!(0), &json!(1), &json!(3)));
    }

    fn an_import_that_is_killed_is_completed_by_the_next(backend) {
        let rows = |from: u32| -> String {
            let row = |n: u32| row(n % 97, &format!("2025-{:02}-{:02}T{:02}:{:02}:00Z", n / 40_000 + 1, n / 1440 % 28 + 1, n / 60 % 24, n % 60), 150_000);
            (from..from + 12_000).map(row).collect::<Value>().to_string()
        };
        let (database, sandbox) = signed_in(backend);
        for number in 0..3 {
            file(&database, &format!("many/endsong_{number}.json"), rows(number * 12_000));
        }
        let path = database.folder.path().join("many").display().to_string();
        let mut running = Segno::on(&database, &sandbox, &["import", &path]).spawn();
        while running.is_running() && database.count("streams") == 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        running.kill();
        database.settle();
        assert!(database.count("streams") > 0, "it had begun");
        report(&database, &sandbox, &[&path]);
        let (whole, other) = signed_in(backend);
        report(&whole, &other, &[&path]);
        for table in ["streams", "plays"] {
            let of = |database: &Database| {
                let columns = if table == "plays" { "track_uri || CAST(played_at AS TEXT)" } else { "uri || CAST(logged_at AS TEXT) || CAST(played_at AS TEXT)" };
                database.lines(&format!("SELECT {columns} AS line FROM {table} ORDER BY 1"))
            };
            assert_eq!(of(&database), of(&whole), "{table}");
        }
    }

    fn a_purge_keeps_what_was_imported_unless_it_is_told_otherwise(backend) {
        let (database, sandbox) = signed_in(backend);
        let path = export(&database);
        report(&database, &sandbox, &[&path]);
        let account = &database.lines("SELECT spotify_id AS line FROM accounts")[0];
        let kept = Segno::on(&database, &sandbox, &["purge", account, "--yes"]).succeed().stdout;
        assert!(kept.contains("kept: 7 plays and 10 streams from your own data export"), "{kept}");
        assert_eq!((database.count("streams"), database.count("plays"), database.count("accounts")), (10, 7, 1));
        let purge = Segno::on(&database, &sandbox, &["purge", account, "--yes", "--with-imports", "--json"]).succeed().json();
        assert_eq!((&purge["removed"]["streams"], &purge["removed"]["account_removed"]), (&json!(10), &json!(true)), "{purge}");
        for table in ["streams", "imports", "plays", "tracks", "albums", "artists", "accounts"] {
            assert_eq!(database.count(table), 0, "{table}");
        }
    }

    fn a_sync_fills_in_what_only_the_export_told(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(5, 1, 1, 1, 2));
        Segno::on(&database, &sandbox, &["sync", "artists"]).succeed();
        let saved = sandbox.library().state["tracks"][0].clone();
        let id = saved["id"].as_str().expect("an id");
        let mut heard = row(1, "2025-01-01T00:00:00Z", 5000);
        heard["spotify_track_uri"] = json!(format!("spotify:track:{id}"));
        report(&database, &sandbox, &[&file(&database, "endsong.json", json!([heard]).to_string())]);
        let track = format!("SELECT name || '|' || source || '|' || coalesce(isrc, '') AS line FROM tracks WHERE id = '{id}'");
        assert_eq!(database.lines(&track), ["Song 1|export|"]);
        Segno::on(&database, &sandbox, &["sync", "tracks"]).succeed();
        let line = &database.lines(&track)[0];
        assert!(line.contains("|api|") && !line.starts_with("Song 1|") && !line.ends_with('|'), "{line}");
        let (made, all) = ("track_artists WHERE artist_id LIKE 'local:%'", "track_artists");
        assert!(database.count(made) == 0 && database.count(all) > 0);
    }
}
