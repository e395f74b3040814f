//! The main job: a library lands in the database, whole, and carries on from wherever it was stopped.

use super::support::{Backend, Database, Sandbox, Segno, both, wait_until};
use serde_json::json;

both! {
    fn fresh_sync_without_state(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::start(&["--tracks", "730"]));
        let ended = Segno::on(&database, &sandbox, &["sync", "--json"]).succeed();
        assert_eq!(ended.entity("tracks")["state"], "complete", "{}", ended.told());
        sandbox.library().assert_held_by(&database);
    }

    fn ten_removals_at_the_head_during_a_first_sync(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(1500, 0, 0, 0, 0));
        let cut = json!([{ "family": "tracks", "skip": 9, "times": 1,
            "do": { "kind": "edit", "when": "before", "edits": [{ "op": "remove_tracks", "offset": 0, "count": 10 }] } }]);
        sandbox.rules(cut);
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        sandbox.library().assert_held_by(&database);
        assert_eq!(database.count("saved_tracks WHERE removed_at IS NOT NULL"), 10);
    }
}

#[test]
fn interrupted_once() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::start(&["--latency", "20ms"]));
    let running = Segno::on(&database, &sandbox, &["sync"]).spawn();
    wait_until("some batches are committed", || database.num_batches() >= 5);
    running.kill();
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    sandbox.library().assert_held_by(&database);
}
