//! A place of a listing that the API cannot serve costs that place and nothing else: it is recorded, the rest is read,
//! and later runs try it again until it is served.

use super::support::{Backend, Database, Ended, Sandbox, Segno, both};
use segno::model::{EntityType, PerEntity};
use serde_json::{Value, json};

both! {
    fn a_track_that_cannot_be_served(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        let missing = sandbox.library().rows("tracks")[333]["id"].as_str().expect("an id").to_owned();
        sandbox.rules(json!([unserved("/v1/me/tracks", 333), lively()]));
        let ended = sync(&database, &sandbox);
        assert_eq!(gaps(&database), ["tracks - 333 334 open"], "{}", ended.told());
        let note = "complete except for 1 track that the API could not serve";
        assert!(ended.stdout.contains(note), "{}", ended.told());
        assert!(database.state("tracks", "initial_sync", "error_message").contains(note));
        assert_eq!(database.number("last_synced_offset", "sync_states WHERE entity_type = 'tracks'"), 400);
        assert_eq!(database.count("saved_tracks WHERE removed_at IS NULL"), 399);
        assert_eq!(database.count(&format!("saved_tracks WHERE track_id = '{missing}'")), 0);

        // It is tried again, and is the same gap when it fails again.
        let ended = sync(&database, &sandbox);
        assert_eq!(gaps(&database), ["tracks - 333 334 open"], "{}", ended.told());

        // Meanwhile the library grows at its head, so the gap has moved.
        sandbox.rules(json!([]));
        sandbox.edit_one(json!({ "op": "add_tracks", "count": 3 }));
        let ended = sync(&database, &sandbox);
        assert_eq!(gaps(&database), ["tracks - 333 334 healed"], "{}", ended.told());
        assert_eq!(database.count(&format!("saved_tracks WHERE track_id = '{missing}'")), 1);
        assert_eq!(database.state("tracks", "incremental_sync", "error_message"), "");
        sandbox.library().assert_held_by(&database);
    }

    /// Each run found it anew, by halving the page, and recorded it anew.
    fn a_track_at_the_head_that_cannot_be_served_costs_little_and_stays_noted(backend) {
        for slot in [0, 20, 49] {
            let (database, sandbox) = (Database::new(backend), library());
            sandbox.rules(json!([unserved("/v1/me/tracks", slot), lively()]));
            sync(&database, &sandbox);
            for _ in 0..2 {
                sandbox.forget_requests();
                let ended = sync(&database, &sandbox);
                assert_eq!(gaps(&database), [format!("tracks - {slot} {} open", slot + 1)], "{}", ended.told());
                assert!(sandbox.requests("tracks") <= 5, "{slot}: {}", ended.told());
            }
            sandbox.rules(json!([]));
            let ended = sync(&database, &sandbox);
            assert_eq!(gaps(&database), [format!("tracks - {slot} {} healed", slot + 1)], "{}", ended.told());
            sandbox.library().assert_held_by(&database);
        }
    }

    fn an_item_of_a_long_playlist_that_cannot_be_served(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        let playlist = sandbox.library().rows("playlists")[1].clone();
        let id = playlist["id"].as_str().expect("an id");
        sandbox.rules(json!([unserved(&format!("/v1/playlists/{id}"), 77), lively()]));
        let ended = sync(&database, &sandbox);
        assert_eq!(gaps(&database), [format!("playlists {id} 77 78 open")], "{}", ended.told());
        let items = |condition: &str| format!("playlist_items WHERE playlist_id = '{id}'{condition}");
        assert_eq!(database.count(&items("")), 120);
        assert_eq!(database.value("kind", &items(" AND position = 77")), "missing");
        assert_eq!(database.count(&items(" AND kind = 'track'")), 119);
        assert!(ended.stdout.contains("could not serve"), "it says so: {}", ended.told());

        assert!(database.state("playlists", "initial_sync", "error_message").contains("could not serve"));

        // The next run tries it once more, and not for long.
        sandbox.forget_requests();
        let ended = sync(&database, &sandbox);
        assert_eq!(gaps(&database), [format!("playlists {id} 77 78 open")], "{}", ended.told());
        assert!(ended.stdout.contains("could not serve"), "it still says so: {}", ended.told());
        assert!(sandbox.requests("playlist_items") <= 2, "{}", ended.told());

        sandbox.rules(json!([]));
        sandbox.forget_requests();
        let ended = sync(&database, &sandbox);
        assert_eq!(gaps(&database), [format!("playlists {id} 77 78 healed")], "{}", ended.told());
        assert_eq!(sandbox.requests("playlist_items"), 1, "only the gap is asked for");
        assert_eq!(database.value("uri", &items(" AND position = 77")), playlist["items"][77]["uri"]);
        sandbox.library().assert_held_by(&database);
    }

    /// Found by the simulation: only one was filled in each run.
    fn several_gaps_of_one_playlist_are_filled_in_one_run(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        let playlist = sandbox.library().rows("playlists")[1].clone();
        let path = format!("/v1/playlists/{}", playlist["id"].as_str().expect("an id"));
        sandbox.rules(json!([unserved(&path, 30), unserved(&path, 77), lively()]));
        let ended = sync(&database, &sandbox);
        assert_eq!(database.count("sync_gaps WHERE healed_at IS NULL"), 2, "{}", ended.told());

        sandbox.rules(json!([]));
        let ended = sync(&database, &sandbox);
        assert_eq!(database.count("sync_gaps WHERE healed_at IS NULL"), 0, "{}", ended.told());
        sandbox.library().assert_held_by(&database);
    }

    /// Some libraries count rows that no page ever shows.
    fn a_total_that_lies_costs_no_second_walk(backend) {
        for delta in [27, -3] {
            let (database, sandbox) = (Database::new(backend), Sandbox::exact(330, 0, 0, 0, 0));
            sandbox.rules(json!([{ "family": "tracks", "do": { "kind": "lie_total", "delta": delta } }]));
            sync(&database, &sandbox);
            sandbox.forget_requests();
            sync(&database, &sandbox);
            assert_eq!(sandbox.requests("tracks"), 1, "{delta}");
            // The number of rows counted but never shown is known, and hides no removal.
            sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 200 }));
            sync(&database, &sandbox);
            if delta < 0 {
                // A total smaller than the number of rows says nothing about removals: that takes a second look.
                sync(&database, &sandbox);
            }
            sandbox.library().assert_held_by(&database);
        }
    }

    /// Items that a walk could not see may still be there.
    fn nothing_is_called_removed_because_of_a_gap(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        sync(&database, &sandbox);
        sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 250, "count": 2 }));
        sandbox.rules(json!([unserved("/v1/me/tracks", 260), lively()]));
        let ended = sync(&database, &sandbox);
        assert_eq!(gaps(&database), ["tracks - 260 261 open"], "{}", ended.told());
        let unseen = sandbox.library().rows("tracks")[260]["id"].as_str().expect("an id").to_owned();
        assert_eq!(database.value("removed_at", &format!("saved_tracks WHERE track_id = '{unseen}'")), "");
        assert_eq!(database.count("saved_tracks WHERE removed_at IS NOT NULL"), 0, "{}", ended.told());

        sandbox.rules(json!([]));
        sync(&database, &sandbox);
        assert_eq!(gaps(&database), ["tracks - 260 261 healed"]);
        sandbox.library().assert_held_by(&database);
    }
}

both! {
    /// Even requests without rows, for a gap that stays.
    fn the_batches_of_a_run_add_up_to_what_it_asked(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        sandbox.rules(json!([unserved("/v1/me/tracks", 333), lively()]));
        for num_at_sign_in in [1, 0] {
            sandbox.forget_requests();
            let before = database.has_tables().then(|| asked(&database));
            let ended = sync(&database, &sandbox);
            let mut sent = PerEntity::from_fn(|entity| match entity {
                EntityType::Playlists => sandbox.requests("playlists") + sandbox.requests("playlist_items"),
                entity => sandbox.requests(entity.as_str()),
            });
            let (before, after) = (before.unwrap_or_default(), asked(&database));
            let told = PerEntity::from_fn(|entity| after[entity] - before[entity]);
            // If a page is not served, "who am I" shows whether anything is.
            sent[EntityType::Tracks] += sandbox.requests("me") - num_at_sign_in;
            assert_eq!(told, sent, "{}\n{:?}", ended.told(), database.rows("sync_batches"));
        }
    }
}

/// Requests in the log of batches, by entity type.
fn asked(database: &Database) -> PerEntity<u64> {
    let of = |entity| database.number("sum(requests)", &format!("sync_batches WHERE entity_type = '{entity}'"));
    PerEntity::from_fn(of)
}

fn library() -> Sandbox {
    Sandbox::exact(400, 0, 120, 3, 120)
}

/// Every request that includes this place fails, for ever.
fn unserved(path: &str, offset: u64) -> Value {
    let action =
        json!({ "kind": "status", "status": 503, "body": "upstream connect error", "content_type": "text/plain" });
    json!({ "path_prefix": path, "offset_from": offset, "offset_to": offset + 1, "do": action })
}

/// The artists answer slowly: proof that the place fails and not the whole API.
fn lively() -> Value {
    json!({ "family": "artists", "do": { "kind": "delay", "ms": 500 } })
}

fn sync(database: &Database, sandbox: &Sandbox) -> Ended {
    Segno::on(database, sandbox, &["sync"]).succeed()
}

/// Each as `entity playlist from to open|healed`.
fn gaps(database: &Database) -> Vec<String> {
    database.lines(
        "SELECT entity_type || ' ' || coalesce(playlist_id, '-') || ' ' || CAST(offset_from AS TEXT) || ' ' || \
         CAST(offset_to AS TEXT) || CASE WHEN healed_at IS NULL THEN ' open' ELSE ' healed' END AS line \
         FROM sync_gaps ORDER BY id",
    )
}
