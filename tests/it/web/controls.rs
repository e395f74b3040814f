//! The orders of a person to a running service, and their outcome.

use super::{Backend, Database, Page, Sandbox, Segno, both, entity, service, slow, wait_until};
use serde_json::{Value, json};
use std::time::Duration;

/// Makes six hours four seconds.
const HASTE: &str = "5400";

fn accepted(entity_types: &[&str]) -> Value {
    let accepted: Vec<Value> =
        entity_types.iter().map(|entity_type| json!({ "account": 1, "entity_type": entity_type })).collect();
    json!({ "accepted": accepted, "skipped": [], "is_waiting": false })
}

fn skipped(entity_type: &str, why: &str) -> Value {
    json!({ "accepted": [], "skipped": [{ "account": 1, "entity_type": entity_type, "why": why }], "is_waiting": false })
}

both! {
    fn a_pause_by_hand_ends_a_run_outlasts_a_restart_and_is_ended_by_hand(backend) {
        let (database, sandbox) = (Database::new(backend), slow());
        let hasty = || service(&database, &sandbox).env("SEGNO_FAULT_HASTE", HASTE);
        let page = Page::start(&database, hasty());
        wait_until("tracks are being read", || page.entity("tracks")["live"]["done"].as_u64() > Some(0));
        let tracks = json!({ "account": 1, "entity_types": ["tracks"] });
        let answer = page.post("/api/v1/pause", tracks.clone());
        assert_eq!((answer.status, answer.json()), (202, accepted(&["tracks"])));
        let shown = page.entity("tracks");
        assert_eq!((&shown["state"], &shown["is_paused_by_hand"]), (&json!("paused"), &json!(true)), "at once");
        wait_until("the run ends", || page.entity("tracks")["live"].is_null());
        let (sent, held) = (sandbox.requests("tracks"), database.count("saved_tracks"));
        assert!(held > 0 && held < 3000, "{held}");
        let forecast = page.status()["forecast"].as_array().cloned().expect("a forecast");
        assert!(forecast.iter().all(|line| line["family"] != "tracks"), "nothing can be foretold: {forecast:?}");
        wait_until("the others are complete", || database.num_complete() == crate::support::NUM_ENTITY_TYPES - 1);
        let (albums, player) = (sandbox.requests("albums"), sandbox.requests("player"));
        wait_until("the others and playback go on", || {
            sandbox.requests("albums") > albums && sandbox.requests("player") > player
        });
        assert_eq!(page.post("/api/v1/pause", tracks.clone()).json(), skipped("tracks", "paused by hand"));
        let text = Segno::on(&database, &sandbox, &["status"]).succeed().stdout;
        let line = text.lines().find(|line| line.trim().starts_with("tracks")).expect("a line of its own");
        assert!(line.contains("paused") && line.contains(", paused by hand"), "{text}");
        page.stop();

        let page = Page::start(&database, hasty());
        let albums = sandbox.requests("albums");
        wait_until("the others go on", || sandbox.requests("albums") > albums);
        assert_eq!(page.post("/api/v1/sync", tracks.clone()).json(), skipped("tracks", "paused by hand"));
        assert_eq!(page.entity("tracks")["state"], "paused");
        assert_eq!(sandbox.requests("tracks"), sent, "not one request since the pause");
        let json = Segno::on(&database, &sandbox, &["status", "--json"]).succeed().json();
        let shown = entity(&json, "tracks");
        assert_eq!((&shown["state"], &shown["is_paused_by_hand"]), (&json!("paused"), &json!(true)));

        assert_eq!(page.post("/api/v1/resume", tracks.clone()).json(), accepted(&["tracks"]));
        assert_eq!(page.entity("tracks")["is_paused_by_hand"], false, "at once");
        sandbox.configure(json!({ "latency_ms": 0 }));
        wait_until("tracks are complete, too", || database.num_complete() == crate::support::NUM_ENTITY_TYPES);
        assert_eq!(page.post("/api/v1/resume", tracks).json(), skipped("tracks", "not paused by hand"));
        let log = page.stop();
        assert!(log.contains("carrying on from the checkpoint"), "{log}");
        sandbox.library().assert_held_by(&database);
    }

    fn a_sync_can_be_had_now(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(120, 20, 20, 2, 20));
        let page = Page::start(&database, service(&database, &sandbox));
        let is_planned = |entity_type: &str| page.entity(entity_type)["next_run_at"].is_string();
        wait_until("all is complete and planned", || {
            ["tracks", "artists", "albums", "playlists"].into_iter().all(is_planned)
        });
        sandbox.edit(json!([{ "op": "add_tracks", "count": 3 }, { "op": "add_albums", "count": 1 }]));
        assert_eq!(page.post("/api/v1/sync", json!({ "entity_types": ["tracks"] })).json(), accepted(&["tracks"]));
        wait_until("the new tracks are there", || database.count("saved_tracks") == 123);
        assert_eq!(database.count("saved_albums"), 20, "nobody asked for those");
        let all = page.ask(reqwest::Method::POST, "/api/v1/sync", &[], "");
        assert_eq!(all.status, 202, "{all:?}");
        wait_until("the new album is there", || database.count("saved_albums") == 21);
        page.stop();
        sandbox.library().assert_held_by(&database);
    }

    fn a_reset_reads_all_of_it_again_also_in_the_middle_of_a_run(backend) {
        let (database, sandbox) = (Database::new(backend), slow());
        let page = Page::start(&database, service(&database, &sandbox));
        let far = "sync_states WHERE entity_type = 'tracks' AND last_synced_offset >= 400";
        wait_until("tracks are being read", || database.has_tables() && database.count(far) == 1);
        let answer = page.post("/api/v1/reset", json!({ "entity_types": ["tracks"] }));
        assert_eq!((answer.status, answer.json()), (202, accepted(&["tracks"])));
        sandbox.configure(json!({ "latency_ms": 0 }));
        database.wait_for_first_sync();
        let from_the_start = "sync_batches WHERE entity_type = 'tracks' AND phase = 'initial_sync' AND offset_from = 0";
        assert_eq!(database.count(from_the_start), 2);
        wait_until("it is planned", || page.entity("tracks")["next_run_at"].is_string());
        let first = database.count("sync_batches WHERE entity_type = 'albums'");
        page.post("/api/v1/reset", json!({ "entity_types": ["albums"] }));
        wait_until("albums are read again", || {
            database.count("sync_batches WHERE entity_type = 'albums'") > first && database.num_complete() == crate::support::NUM_ENTITY_TYPES
        });
        let log = page.stop();
        assert!(!log.contains("WARN"), "nobody was overtaken: {log}");
        sandbox.library().assert_held_by(&database);
    }

    fn removals_held_back_are_listed_and_marked_once_confirmed(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(200, 20, 0, 0, 0));
        let page = Page::start(&database, service(&database, &sandbox).env("SEGNO_SYNC_REMOVAL_WAIT", "1h"));
        let is_planned = |entity_type: &str| page.entity(entity_type)["next_run_at"].is_string();
        wait_until("all is planned", || ["tracks", "artists", "albums", "playlists"].into_iter().all(is_planned));
        let listed = |which: &str| page.get(&format!("/api/v1/removals{which}")).json();
        assert_eq!(listed(""), json!({ "total": 0, "items": [] }));

        sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 0, "count": 60 }));
        page.post("/api/v1/sync", json!({ "entity_types": ["tracks"] }));
        wait_until("they are held back", || listed("?account=1&entity_type=tracks")["total"] == 60);
        let first = listed("")["items"][0].clone();
        let expected = json!({ "entity_type": "tracks", "playlist_id": null, "is_counted": false, "is_confirmed": false });
        for (field, value) in expected.as_object().expect("fields") {
            assert_eq!(&first[field], value, "{field}: {first}");
        }
        assert!(["id", "name", "since"].iter().all(|field| first[field].is_string()), "{first}");
        assert_eq!(listed("?entity_type=albums")["total"], 0);
        page.get("/api/v1/removals?entity_type=songs").assert_problem(400, "songs");
        page.get("/api/v1/removals?account=7").assert_problem(404, "there is no account 7");
        page.post("/api/v1/confirm-removals", json!({})).assert_problem(400, "name the entity types");
        wait_until("the run is over", || is_planned("tracks"));

        let removed = || database.count("saved_tracks WHERE removed_at IS NOT NULL");
        let confirm = |entity_type: &str| {
            let answer = page.post("/api/v1/confirm-removals", json!({ "entity_types": [entity_type] }));
            assert_eq!((answer.status, answer.json()), (202, accepted(&[entity_type])));
        };
        confirm("albums");
        assert_eq!((removed(), listed("")["items"][0]["is_confirmed"].clone()), (0, json!(false)), "others stay held");
        confirm("tracks");
        wait_until("they are marked", || removed() == 60 && listed("")["total"] == 0);
        page.stop();
        sandbox.library().assert_held_by(&database);
    }
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let page = Page::start(&database, service(&database, &sandbox).env("SEGNO_SYNC_ENTITIES", "tracks,albums"));
    wait_until("all is complete", || database.num_complete() == 2);
    page.post("/api/v1/sync", json!({ "account": 7 })).assert_problem(404, "there is no account 7");
    page.post("/api/v1/sync", json!({ "entity_types": ["songs"] })).assert_problem(400, "songs");
    page.post("/api/v1/sync", json!({ "entities": ["tracks"] })).assert_problem(400, "entities");
    page.post("/api/v1/sync", json!([1])).assert_problem(400, "the body cannot be read");
    page.post("/api/v1/reset", json!({})).assert_problem(400, "name the entity types");
    page.post("/api/v1/reset", json!({ "entity_types": [] })).assert_problem(400, "name the entity types");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    page.ask(reqwest::Method::POST, "/api/v1/pause", &form, "account=1").assert_problem(415, "application/json");
    page.get("/api/v1/pause").assert_problem(405, "method not allowed");
    let answer = page.post("/api/v1/sync", json!({ "entity_types": ["artists"] }));
    assert_eq!(answer.json(), skipped("artists", "not kept current by this service"));
    let shown = page.status()["accounts"][0]["entities"].as_array().expect("entities").len();
    assert_eq!(shown, 2, "only what is kept current");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(database.count("paused_entities"), 0);
    page.stop();
}
