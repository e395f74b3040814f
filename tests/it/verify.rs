//! Changes that no count can reveal: found by `segno verify` at once, and by a service in slices; and changes too large
//! to be believed at once.

use super::support::{Backend, Database, Running, Sandbox, Segno, both, entity_types, wait_until};
use serde_json::{Value, json};

/// One was added behind the head, another removed, and a third renamed: the length stays the same.
fn swap(sandbox: &Sandbox) -> (String, String) {
    let gone = sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 120 })).remove(0);
    let came = sandbox.edit_one(json!({ "op": "add_tracks", "count": 1, "offset": 230 })).remove(0);
    sandbox.edit_one(json!({ "op": "rename_track", "offset": 180, "name": "Another name" }));
    (gone, came)
}

fn sync(database: &Database, sandbox: &Sandbox) {
    Segno::on(database, sandbox, &["sync"]).succeed();
}

fn is_held(database: &Database, id: &str) -> bool {
    database.count(&format!("saved_tracks WHERE track_id = '{id}' AND removed_at IS NULL")) == 1
}

fn status_of(database: &Database, sandbox: &Sandbox, entity: &str) -> Value {
    let status = Segno::on(database, sandbox, &["status", "--json"]).succeed().json();
    let entities = status["accounts"][0]["entities"].as_array().expect("entities").clone();
    entities.into_iter().find(|seen| seen["entity_type"] == entity).expect("the entity type")
}

/// Six hours in a second, and a day in four.
fn service(database: &Database, sandbox: &Sandbox) -> Running {
    let service = Segno::on(database, sandbox, &["run"]).env("SEGNO_FAULT_HASTE", "21600");
    service.env("SEGNO_SYNC_VERIFY_EVERY", "1d").env("SEGNO_SYNC_ARTISTS_EVERY", "30d").spawn()
}

both! {
    fn verify_finds_and_mends_what_a_count_cannot_reveal(backend) {
        // Without albums: their answers include tracks, and would contain the new name.
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(330, 0, 20, 3, 20));
        sync(&database, &sandbox);
        let (gone, came) = swap(&sandbox);
        sync(&database, &sandbox);
        assert!(is_held(&database, &gone) && !is_held(&database, &came), "the count says that nothing changed");

        let verified = Segno::on(&database, &sandbox, &["verify", "tracks", "--json"]).succeed();

        let tracks = verified.entity("tracks");
        let number = |field: &str| tracks[field].as_u64().unwrap_or_else(|| panic!("no {field}: {tracks}"));
        assert_eq!(["looked_at", "added", "removed", "changed"].map(number), [330, 1, 1, 1], "{tracks}");
        assert_eq!((&tracks["state"], number("requests")), (&json!("complete"), 7));
        assert!(!is_held(&database, &gone) && is_held(&database, &came));
        sandbox.library().assert_held_by(&database);
        let again = Segno::on(&database, &sandbox, &["verify"]).succeed();
        assert_eq!(again.stdout.matches("looked at, no difference").count(), entity_types().count(), "{}", again.told());
        assert!(status_of(&database, &sandbox, "tracks")["verified_at"].is_string());
    }

    fn verify_reads_the_items_of_playlists_again(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(20, 0, 0, 3, 130));
        sync(&database, &sandbox);
        let library = database.library();
        database.execute("UPDATE playlist_items SET name = 'Wrong' WHERE position = 77");
        sync(&database, &sandbox);
        assert_ne!(database.library(), library, "the snapshots say that nothing changed");
        let verified = Segno::on(&database, &sandbox, &["verify", "playlists"]).succeed();
        assert!(verified.stdout.contains("corrected: 3 changed"), "{}", verified.told());
        assert_eq!(database.library(), library);
        assert_eq!(database.count("playlist_changes"), 0, "nothing came, and nothing went");
    }

    fn verify_that_is_killed_carries_on(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(1500, 0, 0, 0, 0));
        sync(&database, &sandbox);
        let (gone, came) = swap(&sandbox);
        let before = database.num_batches();
        sandbox.configure(json!({ "latency_ms": 80 }));
        let running = Segno::on(&database, &sandbox, &["verify", "tracks"]).spawn();
        wait_until("a third is committed", || database.num_batches() >= before + 10);
        running.kill();
        database.settle();
        assert!(is_held(&database, &gone), "nothing is marked before all was looked at");
        sandbox.configure(json!({ "latency_ms": 0 }));
        sandbox.forget_requests();
        let verified = Segno::on(&database, &sandbox, &["verify", "tracks", "--json"]).succeed();
        assert!(verified.entity("tracks")["looked_at"].as_u64().is_some_and(|slots| slots < 1200), "{}", verified.told());
        assert!(sandbox.requests("tracks") <= 24, "{} requests", sandbox.requests("tracks"));
        assert!(!is_held(&database, &gone) && is_held(&database, &came));
        sandbox.library().assert_held_by(&database);
    }

    fn a_service_looks_at_everything_in_slices(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(600, 0, 60, 0, 0));
        sync(&database, &sandbox);
        let (gone, came) = swap(&sandbox);
        let verified_at = status_of(&database, &sandbox, "tracks")["verified_at"].clone();
        sandbox.forget_requests();
        let running = service(&database, &sandbox);
        wait_until("the swap is noticed", || is_held(&database, &came) && !is_held(&database, &gone));
        wait_until("the pass has ended", || status_of(&database, &sandbox, "tracks")["verified_at"] != verified_at);
        running.stop();
        sandbox.library().assert_held_by(&database);
        let renamed = database.count("tracks WHERE name = 'Another name'");
        assert_eq!(renamed, 1, "what a track is called is looked at as well");
        assert_eq!(sandbox.requests("artists"), 0, "they are not due, and nobody asked");
        let ended = Segno::on(&database, &sandbox, &["sync", "artists"]).succeed();
        assert_eq!(sandbox.requests("artists"), 2, "somebody did: {}", ended.told());
    }

    fn removals_that_are_too_many_wait_for_confirmation_and_say_so(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(200, 0, 0, 0, 0));
        sync(&database, &sandbox);
        let held = || status_of(&database, &sandbox, "tracks")["held_removals"].clone();
        sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 0, "count": 60 }));
        sync(&database, &sandbox);
        assert_eq!((held(), database.count("saved_tracks WHERE removed_at IS NOT NULL")), (json!(60), 0));
        let told = Segno::on(&database, &sandbox, &["status"]).succeed().stdout;
        assert!(told.contains("60 removals wait for confirmation"), "{told}");
        sync(&database, &sandbox);
        assert_eq!((held(), database.count("saved_tracks WHERE removed_at IS NOT NULL")), (Value::Null, 60));

        sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 0, "count": 60 }));
        Segno::on(&database, &sandbox, &["sync"]).env("SEGNO_SYNC_REMOVAL_GUARD", "50").succeed();
        assert_eq!((held(), database.count("saved_tracks WHERE removed_at IS NOT NULL")), (Value::Null, 120));
        sandbox.library().assert_held_by(&database);
    }
}
