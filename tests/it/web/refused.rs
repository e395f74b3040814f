//! A statement that keeps failing: shown as what it is, without stopping anything else.

use super::{Backend, Database, Page, Sandbox, Segno, both, entity, service, wait_until};
use serde_json::{Value, json};

/// Makes six hours four seconds.
const HASTE: &str = "5400";

both! {
    fn an_entity_type_whose_writes_fail_is_shown_as_failed_and_the_rest_goes_on(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(120, 20, 20, 2, 20));
        let page = Page::start(&database, service(&database, &sandbox).env("SEGNO_FAULT_HASTE", HASTE));
        database.wait_for_first_sync();
        refuse_batches_of_tracks(&database);
        // Its last run was complete. The failure since then, before it could commit anything, counts.
        wait_until("it is shown", || page.entity("tracks")["state"] == "failed");
        let is_told = |shown: &Value| shown["error"].as_str().is_some_and(|error| error.contains("not today"));
        wait_until("the reason is shown", || is_told(&page.entity("tracks")));
        wait_until("the metrics say so", || {
            let metrics = page.get("/metrics").body;
            metrics.lines().any(|line| line.starts_with("segno_sync_failed{") && line.contains("\"tracks\"") && line.ends_with(" 1"))
        });
        let status = || Segno::on(&database, &sandbox, &["status", "--json"]).succeed().json();
        wait_until("the database says so", || {
            let shown = entity(&status(), "tracks");
            shown["state"] == "failed" && is_told(&shown)
        });
        sandbox.edit(json!([{ "op": "add_albums", "count": 1 }, { "op": "play", "count": 3 }]));
        wait_until("albums go on", || database.count("saved_albums WHERE removed_at IS NULL") == 21);
        wait_until("playback goes on", || database.count("plays") >= 3);
        assert_ne!(page.entity("albums")["state"], "failed");

        sandbox.edit(json!([{ "op": "add_tracks", "count": 2 }]));
        accept_batches(&database);
        // The next try would come by itself, some minutes later.
        assert_eq!(page.post("/api/v1/sync", json!({ "entity_types": ["tracks"] })).status, 202);
        wait_until("tracks come again", || database.count("saved_tracks WHERE removed_at IS NULL") == 122);
        wait_until("and are complete", || page.entity("tracks")["state"] == "complete");
        page.stop();
    }
}

fn refuse_batches_of_tracks(database: &Database) {
    match database.backend {
        Backend::Sqlite => database.execute(
            "CREATE TRIGGER theirs BEFORE INSERT ON sync_batches WHEN NEW.entity_type = 'tracks' \
             BEGIN SELECT RAISE(ABORT, 'not today'); END",
        ),
        Backend::Postgres => database.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$; \
             CREATE TRIGGER theirs BEFORE INSERT ON sync_batches FOR EACH ROW WHEN (NEW.entity_type = 'tracks') \
             EXECUTE FUNCTION refuse()",
        ),
    }
}

fn accept_batches(database: &Database) {
    match database.backend {
        Backend::Sqlite => database.execute("DROP TRIGGER theirs"),
        Backend::Postgres => database.execute("DROP TRIGGER theirs ON sync_batches"),
    }
}
