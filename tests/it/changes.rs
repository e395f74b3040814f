//! Additions and removals: `segno changes`, and the history of playlists that it reads.

use super::support::{Backend, Database, Ended, Sandbox, Segno, both};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const FIELDS: [&str; 13] = [
    "account",
    "added_at",
    "artist",
    "at",
    "change",
    "entity_type",
    "id",
    "name",
    "playlist_id",
    "playlist_name",
    "position",
    "snapshot_id",
    "uri",
];

both! {
    fn what_came_and_went_is_listed_without_a_request(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(120, 30, 12, 8, 20));
        sync(&database, &sandbox);
        let gone = sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 50, "count": 3 }));
        let came = sandbox.edit_one(json!({ "op": "add_tracks", "count": 2 }));
        let albums = sandbox.edit_one(json!({ "op": "add_albums", "count": 1 }));
        let list = sandbox.edit_one(json!({ "op": "remove_playlist", "index": 5 }));
        let into = sandbox.edit_one(json!({ "op": "playlist_insert", "index": 0, "position": 3, "count": 2 }));
        let out_of = sandbox.edit_one(json!({ "op": "playlist_remove", "index": 1, "position": 7, "count": 1 }));
        sync(&database, &sandbox);
        let requests = sandbox.requests("*");

        let all = changes(&database, &sandbox, &["--since", "1h", "--limit", "1000"]);

        assert_eq!(sandbox.requests("*"), requests);
        let ids = |entity: &str, kind: &str| ids(&all, entity, kind);
        assert_eq!(ids("tracks", "removed"), set(&gone));
        assert_eq!(ids("tracks", "added"), set(&came));
        assert_eq!(ids("albums", "added"), set(&albums));
        assert_eq!(ids("playlists", "removed"), set(&list));
        assert_eq!(ids("playlists", "added").len(), 8, "all were first seen now");
        assert_eq!(ids("artists", "added").len(), 12);
        assert_eq!(ids("playlist_items", "added"), set(&into));
        assert_eq!(ids("playlist_items", "removed"), set(&out_of));
        let moment = |change: &Value| change["at"].as_str().and_then(|at| at.parse::<DateTime<Utc>>().ok());
        let moments: Vec<DateTime<Utc>> = all.iter().map(|change| moment(change).expect("a moment")).collect();
        assert!(moments.is_sorted_by(|newer, older| newer >= older), "{moments:?}");
        let removed = all.iter().find(|change| change["entity_type"] == "playlist_items" && change["change"] == "removed");
        let removed = removed.expect("an item that went");
        assert_eq!((&removed["position"], &removed["playlist_id"]), (&json!(7), &sandbox.library().rows("playlists")[1]["id"]));
        assert!(removed["name"].is_string() && removed["artist"].is_string() && removed["added_at"].is_string(), "{removed}");

        // Saved again, it is no longer gone.
        sandbox.edit_one(json!({ "op": "add_tracks", "ids": [&gone[1]] }));
        sync(&database, &sandbox);
        let tracks = changes(&database, &sandbox, &["tracks", "--since", "1h"]);
        assert_eq!(self::ids(&tracks, "tracks", "added_again"), set(&gone[1..2]));
        assert_eq!(self::ids(&tracks, "tracks", "removed").len(), 2);
        assert!(tracks.iter().all(|change| change["entity_type"] == "tracks"));
        let text = Segno::on(&database, &sandbox, &["changes", "tracks", "--since", "1h"]).succeed();
        let signs = |sign: &str| text.stdout.lines().filter(|line| line.contains(sign)).count();
        assert_eq!((signs("  + track  "), signs("  - track  "), signs("(again)")), (3, 2, 1), "{}", text.told());
    }

    fn the_newest_are_shown_and_the_rest_is_mentioned(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(700, 0, 0, 0, 0));
        sync(&database, &sandbox);
        let listed: Vec<String> = sandbox.library().rows("tracks").iter().map(|row| row["added_at"].to_string()).collect();
        let since = ["--since", "2000-01-01"];

        let some = Segno::on(&database, &sandbox, &[&["changes", "--json", "--limit", "450"][..], &since].concat()).succeed();
        let lines = lines(&some);
        let told: Vec<String> = lines.iter().map(|change| change["at"].to_string()).collect();
        assert_eq!(told, listed[..450], "as the library has them");
        assert!(some.stderr.contains("the newest 450 changes"), "{}", some.told());

        let all = Segno::on(&database, &sandbox, &[&["changes", "--limit", "700"][..], &since].concat()).succeed();
        assert_eq!((all.stdout.lines().count(), all.stderr.as_str()), (700, ""), "{}", all.told());
        let none = Segno::on(&database, &sandbox, &["changes", "--since", "2100-01-01"]).succeed();
        assert!(none.stdout.starts_with("nothing was added or removed since 2100-01-01 00:00:00"), "{}", none.told());
        let none = Segno::on(&database, &sandbox, &["changes", "--since", "2100-01-01", "--json"]).succeed();
        assert_eq!(none.stdout, "");
    }

    fn the_history_of_a_playlist_survives_kills_between_any_two_commits(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(0, 0, 0, 1, 620));
        sandbox.configure(json!({ "latency_ms": 80 }));
        let first_lives = live_until_complete(&database, &sandbox);
        let listed = sandbox.library().playlist_items().len();
        assert_eq!(versions(&database), [format!("first +{listed} -0")]);

        let gone = sandbox.edit_one(json!({ "op": "playlist_remove", "index": 0, "position": 100, "count": 5 }));
        let came = sandbox.edit_one(json!({ "op": "playlist_insert", "index": 0, "position": 300, "count": 7 }));
        sandbox.edit_one(json!({ "op": "playlist_move", "index": 0, "from": 10, "to": 600 }));
        let lives = live_until_complete(&database, &sandbox);
        assert!(first_lives > 2 && lives > 2, "{first_lives} and {lives} lives: it was hardly interrupted");

        assert_eq!(versions(&database), [format!("first +{listed} -0"), "+7 -5".to_owned()]);
        assert_eq!(history(&database, "added"), set(&came));
        assert_eq!(history(&database, "removed"), set(&gone));
        assert_at_rest(&database);
        sandbox.library().assert_held_by(&database);
    }

    fn a_writer_that_dies_around_any_commit_neither_doubles_nor_loses_history(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(0, 0, 0, 2, 160));
        sync(&database, &sandbox);
        let mut expected = versions(&database);
        for visit in 1..=7_u32 {
            let gone = sandbox.edit_one(json!({ "op": "playlist_remove", "index": 0, "position": visit, "count": 2 }));
            sandbox.edit_one(json!({ "op": "playlist_insert", "index": 0, "position": 100, "count": 3 }));
            let fault = if visit % 2 == 0 { "writer.commit" } else { "writer.committed" };
            let faults = format!("{fault}={}", visit.div_ceil(2) + 1);
            let ended = Segno::on(&database, &sandbox, &["sync", "playlists"]).env("SEGNO_FAULTS", &faults).succeed();
            assert!(ended.stderr.contains("fault at writer.commit"), "{faults}: {}", ended.told());
            expected.push("+3 -2".into());
            assert_eq!(versions(&database), expected, "{faults}: {}", ended.told());
            assert!(set(&gone).is_subset(&history(&database, "removed")), "{faults}");
        }
        assert_at_rest(&database);
        sandbox.library().assert_held_by(&database);
    }

    /// An item moves from the unread part to the part already read: the first walk misses it.
    fn a_playlist_that_changes_while_it_is_read_has_lost_nothing(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(0, 0, 0, 1, 420));
        sync(&database, &sandbox);
        let came = sandbox.edit_one(json!({ "op": "playlist_insert", "index": 0, "position": 0, "count": 1 }));
        let moved = json!([{ "op": "playlist_move", "index": 0, "from": 400, "to": 0 }]);
        sandbox.rules(json!([{
            "family": "playlist_items", "skip": 4, "times": 1, "do": { "kind": "edit", "when": "before", "edits": moved }
        }]));
        let ended = sync(&database, &sandbox);
        sandbox.assert_rules_applied();
        sandbox.library().assert_held_by(&database);
        assert_eq!(versions(&database).last().map(String::as_str), Some("+1 -0"), "{}", ended.told());
        assert_eq!((history(&database, "added"), history(&database, "removed")), (set(&came), BTreeSet::new()));
        assert_at_rest(&database);
    }

    fn a_renamed_playlist_has_no_new_version(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(0, 0, 0, 2, 60));
        sync(&database, &sandbox);
        let before = versions(&database);
        sandbox.edit_one(json!({ "op": "rename_playlist", "index": 0, "name": "Another" }));
        let ended = sync(&database, &sandbox);
        assert_eq!(database.count("playlists WHERE name = 'Another'"), 1, "{}", ended.told());
        assert_eq!(versions(&database), before);
        assert_at_rest(&database);
        sync(&database, &sandbox);
        assert_eq!(versions(&database), before);
    }

    fn each_account_has_changes_of_its_own(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(20, 0, 0, 0, 0));
        sync(&database, &sandbox);
        database.execute("INSERT INTO accounts (id, spotify_id, authorized_at) VALUES (77, 'noor', '2026-01-01 00:00:00.000000+00:00')");
        let since = ["changes", "--since", "2000-01-01"];
        let theirs = Segno::on(&database, &sandbox, &[&since[..], &["--account", "noor", "--json"]].concat()).succeed();
        assert_eq!(theirs.stdout, "", "{}", theirs.told());
        let all = Segno::on(&database, &sandbox, &since).succeed();
        assert_eq!(all.stdout.lines().filter(|line| line.ends_with(']')).count(), 20, "says whose: {}", all.told());
        let unknown = Segno::on(&database, &sandbox, &["changes", "--account", "nobody"]).run();
        unknown.assert_refused(2, &["nobody", "noor"]);
    }
}

#[test]
fn bad_words_are_refused_in_one_line() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(1, 0, 0, 0, 0));
    let refused = |args: &[&str]| Segno::on(&database, &sandbox, &[&["changes"], args].concat()).run();
    refused(&["--since", "yesterday"]).assert_refused(2, &["--since", "yesterday", "\"7d\""]);
    refused(&["--limit", "none"]).assert_refused(2, &["--limit", "none"]);
    refused(&["songs"]).assert_refused(2, &["songs", "tracks, artists, albums, playlists"]);
    refused(&[]).assert_refused(1, &["there is no database", "segno sync"]);
}

fn sync(database: &Database, sandbox: &Sandbox) -> Ended {
    Segno::on(database, sandbox, &["sync"]).succeed()
}

fn changes(database: &Database, sandbox: &Sandbox, args: &[&str]) -> Vec<Value> {
    lines(&Segno::on(database, sandbox, &[&["changes", "--json"], args].concat()).succeed())
}

/// JSON lines, each with the documented fields.
fn lines(ended: &Ended) -> Vec<Value> {
    let lines: Vec<Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    for line in &lines {
        let fields: Vec<&str> = line.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(fields.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(FIELDS), "{line}");
    }
    lines
}

fn ids(changes: &[Value], entity_type: &str, kind: &str) -> BTreeSet<String> {
    let wanted = changes.iter().filter(|change| change["entity_type"] == entity_type && change["change"] == kind);
    wanted.filter_map(|change| change["id"].as_str()).map(str::to_owned).collect()
}

fn set(ids: &[String]) -> BTreeSet<String> {
    ids.iter().cloned().collect()
}

/// The contents of each version, oldest first.
fn versions(database: &Database) -> Vec<String> {
    database.lines(
        "SELECT CASE WHEN is_first THEN 'first ' ELSE '' END || '+' || CAST(items_added AS TEXT) || ' -' || \
         CAST(items_removed AS TEXT) AS line FROM playlist_versions ORDER BY id",
    )
}

/// Tracks that were added to playlists, or removed from them.
fn history(database: &Database, kind: &str) -> BTreeSet<String> {
    let sql = format!("SELECT coalesce(track_id, '') AS line FROM playlist_changes WHERE kind = '{kind}'");
    let lines = database.lines(&sql);
    let num_lines = lines.len();
    let ids: BTreeSet<String> = lines.into_iter().collect();
    assert_eq!(ids.len(), num_lines, "told twice");
    ids
}

/// No walk is open, and nothing is kept for one.
fn assert_at_rest(database: &Database) {
    assert_eq!((database.count("playlist_walks"), database.count("playlist_items_before")), (0, 0));
}

/// Syncs, killing the process after every second batch (the first lists the playlists again), until one ends by itself.
/// Every fourth may commit one more: to read the listing, to judge it and to call it complete are three commits, and
/// whoever resumes begins with the first. Returns how many there were.
fn live_until_complete(database: &Database, sandbox: &Sandbox) -> u32 {
    let mut lives = 0;
    loop {
        lives += 1;
        assert!(lives < 60, "it never ends");
        let enough = database.num_batches() + if lives % 4 == 0 { 3 } else { 2 };
        let mut running = Segno::on(database, sandbox, &["sync", "playlists"]).spawn();
        while running.is_running() && database.num_batches() < enough {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        if !running.is_running() {
            let ended = running.wait();
            assert_eq!(ended.code, Some(0), "{}", ended.told());
            return lives;
        }
        running.kill();
        database.settle();
    }
}
