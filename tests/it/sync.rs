//! The main task: a library is stored in the database, whole, correctly counted and with few requests; the next run
//! finds the changes and writes nothing else.

use super::support::{Backend, Database, Ended, Library, NUM_ENTITY_TYPES, Sandbox, Segno, Source, both, entity_types};
use segno::model::EntityType;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

both! {
    fn fresh_sync_without_state(backend) {
        let (database, sandbox) = (Database::new(backend), odd_library());
        let ended = sync(&database, &sandbox);
        let (library, asked) = (sandbox.library(), sandbox.get("stats"));

        library.assert_held_by(&database);
        assert_counted(&ended, &library, &database);
        assert_cost(&ended, &library, &asked);
        for entity in entity_types() {
            assert_first_sync_complete(&database, entity, library.rows(entity).len());
            assert_batches_consistent(&database, &ended, entity);
        }
        assert_eq!(database.count("sync_states"), NUM_ENTITY_TYPES);
        // A refusal is believed when a second run is refused, too.
        sync(&database, &sandbox);
        Source::read(&sandbox).assert_held_by(&database);
    }

    fn complete_sync_marks_done(backend) {
        let (database, sandbox) = (Database::new(backend), odd_library());
        sync(&database, &sandbox);
        for entity in status_of(&database, &sandbox) {
            assert_eq!((&entity["state"], &entity["phase"]), (&json!("complete"), &json!("initial_sync")), "{entity}");
            assert_eq!((&entity["percent"], &entity["offset"]), (&json!(100.0), &entity["total"]), "{entity}");
            assert!(entity["completed_at"].is_string() && entity["resume_at"].is_null(), "{entity}");
        }

        // Refused playlists of others are tried once more.
        sync(&database, &sandbox);
        let before = database.written_rows();
        sandbox.forget_requests();
        let again = sync(&database, &sandbox);
        let pages = |listing: &str| sandbox.library().rows(listing).len().div_ceil(50) as u64;
        for entity in EntityType::ALL.iter().copied() {
            let requests = if entity.is_newest_first() { 1 } else { pages(entity.as_str()) };
            let entity = entity.as_str();
            let report = again.entity(entity);
            assert_eq!((report["new"].as_u64(), report["updated"].as_u64()), (Some(0), Some(0)), "{}", again.told());
            assert_eq!((report["removed"].as_u64(), &report["resumed_from"]), (Some(0), &Value::Null));
            assert_eq!(report["requests"].as_u64(), Some(requests), "{entity}: {}", again.told());
            assert_eq!(database.state(entity, "incremental_sync", "CASE WHEN is_complete THEN 1 END"), "1");
        }
        assert_eq!(again.json()["requests"], sandbox.stat("requests"));
        let after = database.written_rows();
        for (table, rows) in before {
            assert!(rows == after[table], "{table} was written though nothing changed");
        }
    }

    fn entity_types_in_parallel(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact_with([400, 150, 150, 60, 4], [60, 70, 80], &[]));
        // Each family's first answer is delayed, so that a family that waited for another would be noticed.
        let families: Vec<&str> = entity_types().collect();
        let hold = |family| json!({ "family": family, "times": 1, "do": { "kind": "delay", "ms": 1000 } });
        sandbox.rules(Value::from_iter(families.iter().copied().map(hold)));
        sync(&database, &sandbox);
        sandbox.assert_rules_applied();
        let log = sandbox.log();
        let places = |family: &str| -> Vec<usize> {
            (0..log.len()).filter(|at| log[*at].family == family).collect()
        };
        let last_first = families.iter().filter_map(|family| places(family).first().copied()).max();
        let first_second = families.iter().filter_map(|family| places(family).get(1).copied()).min();
        assert!(last_first.is_some() && last_first < first_second, "one waited for another: {log:#?}");
        let first_last = families.iter().filter_map(|family| places(family).last().copied()).min();
        assert!(last_first < first_last, "one ended before another began: {log:#?}");
        sandbox.library().assert_held_by(&database);
    }

    fn counts_tell_what_changed(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(300, 60, 10, 3, 10));
        sync(&database, &sandbox);
        let renamed = sandbox.edit_one(json!({ "op": "rename_track", "offset": 7, "name": "Другое имя" }));
        let before = database.written_rows();
        assert_eq!(changes(&sync(&database, &sandbox), "tracks"), [0, 1, 0]);
        assert_eq!(database.value("name", &format!("tracks WHERE id = '{}'", renamed[0])), "Другое имя");
        let after = database.written_rows();
        let written = after["tracks"].iter().filter(|row| !before["tracks"].contains(row)).count();
        assert_eq!(written, 1, "one track has changed");
        for table in ["albums", "artists", "track_artists", "saved_tracks", "saved_albums", "playlists"] {
            assert!(before[table] == after[table], "{table} was written for a track's name");
        }

        sandbox.edit_one(json!({ "op": "rename_track", "offset": 9, "name": "Yet another name" }));
        sandbox.edit_one(json!({ "op": "add_tracks", "count": 3 }));
        sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 100, "count": 1 }));
        assert_eq!(changes(&sync(&database, &sandbox), "tracks"), [3, 1, 1]);
        sandbox.library().assert_held_by(&database);
        assert_eq!(changes(&sync(&database, &sandbox), "tracks"), [0, 0, 0]);
    }

    fn reset_starts_over_and_keeps_the_rows(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(330, 20, 10, 3, 10));
        sync(&database, &sandbox);
        sync(&database, &sandbox);
        let before = database.written_rows();
        Segno::on(&database, &sandbox, &["reset", "tracks"]).succeed();
        assert_eq!(database.written_rows(), before, "a reset touches no row of the library");
        let states = database.lines("SELECT entity_type || ' ' || phase AS line FROM sync_states WHERE is_complete");
        assert!(!states.iter().any(|state| state.starts_with("tracks")), "{states:?}");

        let removed = sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 120, "count": 3 }));
        sandbox.edit_one(json!({ "op": "add_tracks", "count": 2 }));
        sandbox.forget_requests();
        let ended = sync(&database, &sandbox);
        assert_eq!(changes(&ended, "tracks"), [2, 0, 3], "{}", ended.told());
        assert!(sandbox.requests("tracks") >= 7, "it starts over");
        assert_first_sync_complete(&database, "tracks", 329);
        assert_eq!(database.count("sync_states WHERE entity_type = 'tracks' AND phase = 'incremental_sync'"), 0);
        assert_eq!((database.count("saved_tracks"), database.count("saved_tracks WHERE removed_at IS NULL")), (332, 329));
        for id in removed {
            assert_eq!(database.count(&format!("saved_tracks WHERE track_id = '{id}' AND removed_at IS NOT NULL")), 1);
        }
        sandbox.library().assert_held_by(&database);
        assert_eq!(changes(&sync(&database, &sandbox), "tracks"), [0, 0, 0]);
    }

    fn playlists_of_others_keep_their_metadata(backend) {
        let (database, sandbox) = (Database::new(backend), odd_library());
        let ended = sync(&database, &sandbox);
        assert_eq!((&ended.entity("playlists")["state"], &ended.entity("playlists")["error"]), (&json!("complete"), &Value::Null));
        // One refusal proves nothing.
        assert_eq!(database.count("playlists WHERE NOT items_readable"), 0);
        sync(&database, &sandbox);
        let library = sandbox.library();
        let closed: Vec<(usize, Value)> =
            library.rows("playlists").into_iter().enumerate().filter(|(_, playlist)| playlist["readable"] == false).collect();
        assert!(closed.len() >= 3, "the library has playlists of others");
        for (at, playlist) in &closed {
            let id = playlist["id"].as_str().expect("an id");
            let row = format!("playlists WHERE id = '{id}' AND NOT items_readable");
            assert_eq!(database.value("name", &row), playlist["name"]);
            assert_eq!(database.value("owner_id", &row), playlist["owner_id"]);
            assert_eq!(database.value("snapshot_id", &row), playlist["snapshot_id"]);
            assert_eq!(database.number("total_items", &row), playlist["items"].as_array().map_or(0, Vec::len) as u64);
            assert_eq!(database.count(&format!("playlist_items WHERE playlist_id = '{id}'")), 0);
            let listed = format!("library_playlists WHERE playlist_id = '{id}' AND removed_at IS NULL");
            assert_eq!(database.number("position", &listed), *at as u64);
        }

        // Nor are they tried again, even when they change: permissions change seldom, and each try costs a request.
        sandbox.edit_one(json!({ "op": "playlist_insert", "index": closed[0].0, "position": 0 }));
        sandbox.forget_requests();
        let again = sync(&database, &sandbox);
        assert_eq!(changes(&again, "playlists"), [0, 1, 0], "{}", again.told());
        assert_eq!(sandbox.requests("playlist_items"), 0);
    }

    fn the_dialect_before_2026_is_read_whole(backend) {
        let database = Database::new(backend);
        let sandbox = Sandbox::start(&[
            "--dialect", "legacy", "--tracks", "330", "--albums", "61", "--artists", "60", "--playlists", "14",
            "--playlist-items", "30",
        ]);
        let ended = sync(&database, &sandbox);
        assert_counted(&ended, &sandbox.library(), &database);
        sync(&database, &sandbox);
        Source::read(&sandbox).assert_held_by(&database);
        let before = database.written_rows();
        sync(&database, &sandbox);
        assert_eq!(database.written_rows(), before);
    }

    fn only_what_is_asked_for_is_synced(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(120, 60, 10, 3, 10));
        Segno::on(&database, &sandbox, &["sync", "albums", "artists"]).succeed();
        let families: BTreeSet<String> = sandbox.log().into_iter().map(|asked| asked.family).collect();
        assert_eq!(families, ["albums", "artists", "me"].map(str::to_owned).into());
        assert_eq!((database.count("sync_states"), database.count("saved_albums")), (2, 60));
        sync(&database, &sandbox);
        sandbox.library().assert_held_by(&database);
    }

    fn an_empty_library_is_complete(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(0, 0, 0, 0, 0));
        sync(&database, &sandbox);
        // Artists are asked for once more, without our cursor: nothing after it is not the end.
        assert_eq!(sandbox.stat("requests"), 1 + NUM_ENTITY_TYPES + 1);
        for entity in entity_types() {
            assert_first_sync_complete(&database, entity, 0);
        }
        sandbox.edit_one(json!({ "op": "add_tracks", "count": 1 }));
        assert_eq!(changes(&sync(&database, &sandbox), "tracks"), [1, 0, 0]);
        sandbox.library().assert_held_by(&database);
    }
}

/// A library with one of everything found in real ones: null rows, rows without a name, local files, episodes, a long
/// playlist, and playlists of others.
fn odd_library() -> Sandbox {
    let sizes = ["--tracks", "730", "--albums", "61", "--artists", "120", "--playlists", "53", "--playlist-items", "8"];
    Sandbox::start(&sizes)
}

fn sync(database: &Database, sandbox: &Sandbox) -> Ended {
    let ended = Segno::on(database, sandbox, &["sync", "--json"]).succeed();
    for entity in entity_types() {
        assert_eq!(ended.entity(entity)["state"], "complete", "{}", ended.told());
        assert_eq!(ended.entity(entity)["notes"], json!([]), "{}", ended.told());
    }
    ended
}

fn status(database: &Database, sandbox: &Sandbox) -> Value {
    Segno::on(database, sandbox, &["status", "--json"]).succeed().json()
}

fn status_of(database: &Database, sandbox: &Sandbox) -> Vec<Value> {
    let status = status(database, sandbox);
    assert_eq!(status["limits"], json!([]));
    let entities = status["accounts"][0]["entities"].as_array().expect("entities").clone();
    let names: BTreeSet<&str> = entities.iter().filter_map(|entity| entity["entity_type"].as_str()).collect();
    assert_eq!(names, entity_types().collect());
    entities
}

/// New, updated and removed items, as reported by a run.
fn changes(ended: &Ended, entity: &str) -> [u64; 3] {
    let report = ended.entity(entity);
    ["new", "updated", "removed"].map(|count| report[count].as_u64().expect("a count"))
}

/// A first run: everything is new, once, and every odd row is counted and recorded.
fn assert_counted(ended: &Ended, library: &Library, database: &Database) {
    let nameless = |row: &&Value| row.is_null() || row["name"] == "";
    let mut playlist_rows: Vec<Value> = library.rows("playlists");
    let items: Vec<Value> = playlist_rows
        .iter()
        .filter(|playlist| playlist["readable"] == true)
        .flat_map(|playlist| playlist["items"].as_array().expect("items").clone())
        .collect();
    let is_odd = |item: &&Value| item["kind"] == "missing" || item["kind"] == "track" && item["name"] == "";
    let odd_items = items.iter().filter(is_odd).count();
    let odd_playlists = playlist_rows.iter().filter(nameless).count() + odd_items;
    playlist_rows.retain(|playlist| !playlist.is_null());
    let mut expected = BTreeMap::from([("playlists", (playlist_rows.len() + items.len(), odd_playlists))]);
    for listing in entity_types().filter(|listing| *listing != "playlists") {
        let rows = library.rows(listing);
        let whole = rows.iter().filter(|row| !row.is_null()).count();
        expected.insert(listing, (whole, rows.iter().filter(nameless).count()));
    }
    for (entity, (new, odd)) in expected {
        let (report, told) = (ended.entity(entity), ended.told());
        assert_eq!(changes(ended, entity), [new as u64, 0, 0], "{entity}: {told}");
        assert_eq!(database.count(&format!("sync_odd_items WHERE entity_type = '{entity}'")), odd as u64, "{entity}");
        assert_eq!(report["odd"].as_u64(), Some(odd as u64), "{entity}: {told}");
    }
}

/// The cost that the service reports is what the sandbox counted, also by family, and hardly more than the least.
fn assert_cost(ended: &Ended, library: &Library, asked: &Value) {
    for entity in entity_types() {
        let families = if entity == "playlists" { vec![entity, "playlist_items"] } else { vec![entity] };
        let counted: u64 = families.iter().filter_map(|family| asked["by_family"][*family].as_u64()).sum();
        assert_eq!(ended.entity(entity)["requests"].as_u64(), Some(counted), "{entity}: {}", ended.told());
    }
    let (total, least) = (asked["requests"].as_u64().expect("a count"), library.least_requests());
    assert_eq!(ended.json()["requests"].as_u64(), Some(total), "{}", ended.told());
    assert!(total as f64 <= least as f64 * 1.03 + 2.0, "{total} requests where {least} would do: {asked}");
    assert!(total >= least, "{total} requests where it takes {least}: {asked}");
}

fn assert_first_sync_complete(database: &Database, entity: &str, total: usize) {
    let state = |column| database.state(entity, "initial_sync", column);
    assert_eq!(state("CASE WHEN is_complete THEN 1 END"), "1", "{entity}");
    assert_eq!(state("last_synced_offset"), total.to_string(), "{entity}");
    assert_eq!(state("total_estimated"), total.to_string(), "{entity}");
    assert!(state("started_at") <= state("last_updated_at") && !state("started_at").is_empty(), "{entity}");
    assert!(state("started_at") <= state("completed_at"), "{entity}");
    for column in ["error_message", "failed_at", "rate_limit_hit_at", "rate_limit_reset_at"] {
        assert_eq!(state(column), "", "{entity}: {column}");
    }
}

/// The batches of a first run follow one another, and add up to what the run reported.
fn assert_batches_consistent(database: &Database, ended: &Ended, entity: &str) {
    let columns = [
        "offset_from",
        "offset_to",
        "items_processed",
        "items_new",
        "items_updated",
        "items_unchanged",
        "items_odd",
        "items_removed",
        "requests",
    ];
    let line = columns.map(|column| format!("CAST({column} AS TEXT)")).join(" || ' ' || ");
    let sql = format!("SELECT {line} AS line FROM sync_batches WHERE entity_type = '{entity}' ORDER BY id");
    let numbers = |line: String| line.split(' ').map(|number| number.parse().expect("a number")).collect();
    let batches: Vec<Vec<u64>> = database.lines(&sql).into_iter().map(numbers).collect();
    let report = ended.entity(entity);
    assert_eq!(report["batches"].as_u64(), Some(batches.len() as u64), "{entity}: {}", ended.told());
    for (at, count) in [(3, "new"), (4, "updated"), (7, "removed"), (8, "requests")] {
        let sum: u64 = batches.iter().map(|batch| batch[at]).sum();
        assert_eq!(report[count].as_u64(), Some(sum), "{entity}, {count}: {batches:?}");
    }
    // A walk begins at 0 and continues where the previous batch ended. Playlists take several walks: the listing, the
    // items, and the listing again.
    let begins = batches.iter().zip(batches.iter().skip(1)).filter(|(before, after)| before[1] != after[0]);
    let begins: Vec<u64> = begins.map(|(_, after)| after[0]).collect();
    assert_eq!(batches[0][0], 0, "{entity}: {batches:?}");
    assert!(begins.iter().all(|from| *from == 0), "{entity}: {batches:?}");
    assert_eq!(begins.len(), if entity == "playlists" { 2 } else { 0 }, "{entity}: {batches:?}");
    assert!(batches.iter().all(|batch| batch[1] - batch[0] == batch[2]), "{entity}: {batches:?}");
    assert_eq!(
        database.count(&format!("(SELECT DISTINCT run_id FROM sync_batches WHERE entity_type = '{entity}') AS r")),
        1
    );
}
