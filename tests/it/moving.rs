//! The library changes while it is read. Items that were in it throughout a run are in the database at its end, nothing
//! is marked removed that is not, and once the library stands still one more run makes both equal.

use super::support::{Backend, Database, Ended, Library, Sandbox, Segno, both, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeSet;

both! {
    fn ten_removed_from_the_head(backend) {
        let moved = Moved::tracks(backend, &[(9, json!([{ "op": "remove_tracks", "offset": 0, "count": 10 }]))]);
        assert_eq!(moved.settle(), 10);
    }

    fn ten_removed_before_the_place_and_ten_after(backend) {
        let edits = json!([{ "op": "remove_tracks", "offset": 600, "count": 10 },
            { "op": "remove_tracks", "offset": 200, "count": 10 }]);
        // Items that were never read are not in the database, so they cannot be marked removed.
        assert_eq!(Moved::tracks(backend, &[(9, edits)]).settle(), 10);
    }

    fn ten_added_at_the_head(backend) {
        let moved = Moved::tracks(backend, &[(9, json!([{ "op": "add_tracks", "count": 10 }]))]);
        assert_eq!(moved.settle(), 0);
    }

    /// The total stays as it is, so only the rows themselves reveal it.
    fn one_added_and_one_removed_between_two_requests(backend) {
        for (offset, num_removed) in [(0, 1), (100, 1), (700, 0)] {
            let edits = json!([{ "op": "remove_tracks", "offset": offset }, { "op": "add_tracks", "count": 1 }]);
            let moved = Moved::tracks(backend, &[(9, edits)]);
            assert_eq!(moved.settle(), num_removed, "the one at {offset}");
        }
    }

    fn a_track_is_saved_again(backend) {
        for offset in [100, 700] {
            let moved = Moved::tracks(backend, &[(9, json!([{ "op": "resave_track", "offset": offset }]))]);
            assert_eq!(moved.settle(), 0);
        }
    }

    fn every_answer_comes_from_another_library(backend) {
        let edits = |n: u64| {
            let far = json!({ "op": "remove_tracks", "offset": (n * 331) % 700, "count": 1 + n % 3 });
            let near = json!({ "op": "remove_tracks", "offset": (n * 7) % 40 });
            let again = json!({ "op": "resave_track", "offset": (n * 173) % 700 });
            let added = json!({ "op": "add_tracks", "count": 1 + n % 4 });
            [json!([far, added]), json!([near, again]), json!([added]), json!([again, far, near])][n as usize % 4].clone()
        };
        let rules: Vec<_> = (2..16).map(|n| (n, edits(n))).collect();
        Moved::tracks(backend, &rules).settle();
    }

    fn albums_move_too(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(0, 330, 0, 0, 0));
        let moved = Moved::run(database, sandbox, "albums", "albums", &[
            (3, json!([{ "op": "remove_albums", "offset": 20, "count": 10 }])),
            (5, json!([{ "op": "add_albums", "count": 3 }, { "op": "remove_albums", "offset": 300, "count": 3 }])),
        ]);
        assert_eq!(moved.settle(), 10);
    }

    fn artists_are_followed_and_unfollowed(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(0, 0, 230, 0, 0));
        let moved = Moved::run(database, sandbox, "artists", "artists", &[
            (2, json!([{ "op": "unfollow", "index": 10, "count": 3 }])),
            (3, json!([{ "op": "unfollow", "index": 200, "count": 2 }, { "op": "follow", "count": 9 }])),
        ]);
        assert!(moved.settle() >= 3);
    }

    fn playlists_change_places_while_they_are_listed(backend) {
        for edits in [
            json!([{ "op": "move_playlist", "from": 55, "to": 0 }]),
            json!([{ "op": "move_playlist", "from": 0, "to": 55 }]),
            json!([{ "op": "remove_playlist", "index": 5 }]),
            json!([{ "op": "remove_playlist", "index": 5 }, { "op": "add_playlist", "items": 3 }]),
        ] {
            let (database, sandbox) = (Database::new(backend), Sandbox::exact(0, 0, 0, 60, 2));
            let moved = Moved::run(database, sandbox, "playlists", "playlists", &[(1, edits)]);
            moved.settle();
        }
    }

    fn playlists_change_while_their_items_are_read(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(60, 0, 0, 6, 120));
        sandbox.edit_one(json!({ "op": "add_playlist", "items": 620 }));
        let moved = Moved::run(database, sandbox, "playlists", "playlist_items", &[
            (3, json!([{ "op": "playlist_move", "index": 0, "from": 10, "to": 600 }])),
            (5, json!([{ "op": "playlist_insert", "index": 0, "position": 20, "count": 2 },
                { "op": "playlist_remove", "index": 0, "position": 300, "count": 2 }])),
            (9, json!([{ "op": "playlist_remove", "index": 0, "position": 5, "count": 7 }])),
            (14, json!([{ "op": "rename_playlist", "index": 2, "name": "Ré-nommée" }])),
            (17, json!([{ "op": "remove_playlist", "index": 4 }, { "op": "add_playlist", "items": 70 }])),
        ]);
        assert_eq!(moved.settle(), 1);
    }

    fn what_is_removed_keeps_its_data_and_may_return(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(330, 0, 0, 0, 0));
        sync(&database, &sandbox);
        let gone = sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 150 })).remove(0);
        let (saved, track) = (format!("saved_tracks WHERE track_id = '{gone}'"), format!("tracks WHERE id = '{gone}'"));
        let (added_at, name) = (database.value("added_at", &saved), database.value("name", &track));
        assert_eq!(count(&sync(&database, &sandbox), "tracks", "removed"), 1);
        assert_ne!(database.value("removed_at", &saved), "");
        assert_eq!((database.value("added_at", &saved), database.value("name", &track)), (added_at.clone(), name.clone()));

        sandbox.edit_one(json!({ "op": "add_tracks", "ids": [gone] }));
        let ended = sync(&database, &sandbox);
        assert_eq!((count(&ended, "tracks", "new"), count(&ended, "tracks", "updated")), (0, 1), "{}", ended.told());
        assert_eq!(database.value("removed_at", &saved), "");
        assert!(database.value("added_at", &saved) > added_at, "the date follows the source");
        assert_eq!(database.value("name", &track), name);

        let again = sandbox.edit_one(json!({ "op": "resave_track", "offset": 200 })).remove(0);
        let saved = format!("saved_tracks WHERE track_id = '{again}'");
        let added_at = database.value("added_at", &saved);
        let ended = sync(&database, &sandbox);
        assert_eq!((count(&ended, "tracks", "new"), count(&ended, "tracks", "updated")), (0, 1), "{}", ended.told());
        assert!(database.value("added_at", &saved) > added_at, "the date follows the source");
        sandbox.library().assert_held_by(&database);
        assert_dates(&database, &sandbox.library());
    }

    /// A walk over these tracks takes 31 requests.
    fn a_removal_anywhere_is_found_without_reading_the_listing_again(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(1500, 330, 0, 0, 0));
        sync(&database, &sandbox);
        for offset in [0, 49, 745, 1498] {
            let gone = sandbox.edit_one(json!({ "op": "remove_tracks", "offset": offset })).remove(0);
            sandbox.forget_requests();
            let ended = sync(&database, &sandbox);
            assert_eq!(count(&ended, "tracks", "removed"), 1, "{}", ended.told());
            let requests = sandbox.requests("tracks");
            assert!(requests <= 7, "{requests} requests for the one at {offset}");
            assert_eq!(removed(&database, "tracks"), BTreeSet::from([gone.clone()]));
            // It is saved again.
            sandbox.edit_one(json!({ "op": "add_tracks", "ids": [gone] }));
            sync(&database, &sandbox);
            sandbox.library().assert_held_by(&database);
        }
        let gone = sandbox.edit_one(json!({ "op": "remove_albums", "offset": 200, "count": 1 }));
        sandbox.edit_one(json!({ "op": "add_albums", "count": 2 }));
        sandbox.forget_requests();
        let ended = sync(&database, &sandbox);
        assert_eq!((count(&ended, "albums", "new"), count(&ended, "albums", "removed")), (2, 1), "{}", ended.told());
        assert!(sandbox.requests("albums") <= 5);
        assert_eq!(removed(&database, "albums"), gone.into_iter().collect());
        sandbox.library().assert_held_by(&database);
        let of_run = "SELECT run_id FROM sync_batches WHERE entity_type = 'albums' AND items_removed > 0";
        let asked = database.number("sum(requests)", &format!("sync_batches WHERE run_id IN ({of_run})"));
        assert_eq!(asked, sandbox.requests("albums"), "what a search asked for is in the log");
    }

    fn a_listing_that_moves_under_a_search_loses_nothing(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(1500, 0, 0, 0, 0));
        sync(&database, &sandbox);
        for edits in [
            json!([{ "op": "add_tracks", "count": 2 }]),
            json!([{ "op": "remove_tracks", "offset": 900 }]),
            json!([{ "op": "remove_tracks", "offset": 100 }, { "op": "add_tracks", "count": 1 }]),
            json!([{ "op": "resave_track", "offset": 1000 }]),
        ] {
            sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 1200 }));
            let before = sandbox.library().ids("tracks");
            // The head, one page of the search, and then:
            let rule = json!({ "family": "tracks", "skip": 2, "times": 1, "do": { "kind": "edit", "when": "before", "edits": edits } });
            sandbox.rules(json!([rule]));
            sync(&database, &sandbox);
            sandbox.assert_rules_applied();
            sandbox.rules(json!([]));
            let after = sandbox.library().ids("tracks");
            let active = ids(&database, "tracks", "IS NULL");
            let lost = before.intersection(&after).filter(|id| !active.contains(*id)).count();
            assert_eq!(lost, 0, "missing after {edits}");
            sync(&database, &sandbox);
            sandbox.library().assert_held_by(&database);
            assert_dates(&database, &sandbox.library());
        }
    }

    fn a_search_that_is_killed_begins_again(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(1500, 0, 0, 0, 0));
        sync(&database, &sandbox);
        let gone = sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 1100, "count": 2 }));
        sandbox.configure(json!({ "latency_ms": 300 }));
        for _ in 0..2 {
            sandbox.forget_requests();
            let running = Segno::on(&database, &sandbox, &["sync", "tracks"]).spawn();
            wait_until("a page of the search is asked for", || sandbox.requests("tracks") >= 3);
            running.kill();
            database.settle();
            assert!(removed(&database, "tracks").is_empty(), "nothing half-done is marked");
        }
        sandbox.configure(json!({ "latency_ms": 0 }));
        sync(&database, &sandbox);
        assert_eq!(removed(&database, "tracks"), gone.into_iter().collect());
        sandbox.library().assert_held_by(&database);
    }

    fn many_removals_at_once_wait_for_a_run_an_hour_later(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(500, 0, 0, 0, 0));
        sync(&database, &sandbox);
        sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 100, "count": 300 }));
        let ended = Segno::on(&database, &sandbox, &["sync"]).succeed();
        assert_eq!(database.count("saved_tracks WHERE removed_at IS NULL"), 500, "{}", ended.told());
        assert!(ended.stdout.contains("300 of 500 tracks are no longer listed"), "{}", ended.told());
        assert!(ended.stdout.contains("nothing was marked removed"), "{}", ended.told());
        let note = database.state("tracks", "incremental_sync", "error_message");
        assert!(note.contains("300 of 500 tracks are no longer listed"), "{note}");

        let soon = Segno::on(&database, &sandbox, &["sync"]).env("SEGNO_SYNC_REMOVAL_WAIT", "1h").succeed();
        assert_eq!(database.count("saved_tracks WHERE removed_at IS NULL"), 500, "{}", soon.told());

        let ended = sync(&database, &sandbox);
        assert_eq!(count(&ended, "tracks", "removed"), 300, "{}", ended.told());
        assert_eq!(database.count("held_removals"), 0);
        assert_eq!(database.state("tracks", "incremental_sync", "error_message"), "");
        sandbox.library().assert_held_by(&database);
    }

    /// Somebody keeps emptying the library between two runs: the second believes what both of them miss.
    fn what_only_the_second_of_two_runs_misses_waits_on(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(300, 0, 0, 0, 0));
        sync(&database, &sandbox);
        for (left, held) in [(200, 300), (150, 200)] {
            let count = sandbox.library().rows("tracks").len() - left;
            sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 0, "count": count }));
            Segno::on(&database, &sandbox, &["sync"]).succeed();
            assert_eq!(database.count("saved_tracks WHERE removed_at IS NULL"), held);
        }
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        sandbox.library().assert_held_by(&database);
    }
}

/// A library that changed while it was read for the first time.
struct Moved {
    database: Database,
    sandbox: Sandbox,
    listing: &'static str,
}

impl Moved {
    /// 800 tracks; before the n-th request for them is answered, the edits are made.
    fn tracks(backend: Backend, edits: &[(u64, Value)]) -> Moved {
        Moved::run(Database::new(backend), Sandbox::exact(800, 0, 0, 0, 0), "tracks", "tracks", edits)
    }

    /// Syncs a listing while the library is edited at the n-th request of a family, and asserts that nothing that was
    /// there throughout is missing, and that nothing that is there is marked removed.
    fn run(database: Database, sandbox: Sandbox, listing: &'static str, family: &str, edits: &[(u64, Value)]) -> Moved {
        let before = sandbox.library().ids(listing);
        let rule = |(at, edits): &(u64, Value)| json!({ "family": family, "skip": at, "times": 1, "do": { "kind": "edit", "when": "before", "edits": edits } });
        sandbox.rules(edits.iter().map(rule).collect());
        let ended = Segno::on(&database, &sandbox, &["sync", listing]).succeed();
        sandbox.assert_rules_applied();
        sandbox.rules(json!([]));

        let after = sandbox.library().ids(listing);
        let [active, removed] = ["IS NULL", "IS NOT NULL"].map(|is| ids(&database, listing, is));
        let lost: Vec<_> = before.intersection(&after).filter(|id| !active.contains(*id)).collect();
        assert!(lost.is_empty(), "{} that were there all the time are missing: {lost:?}\n{}", lost.len(), ended.told());
        let wronged: Vec<_> = removed.intersection(&after).collect();
        assert!(wronged.is_empty(), "{wronged:?} are there\n{}", ended.told());
        Moved { database, sandbox, listing }
    }

    /// Runs once more, now that the library stands still, and asserts that the database equals it. Returns how many
    /// rows are marked removed; each has kept its data.
    fn settle(self) -> u64 {
        let Moved { database, sandbox, listing } = self;
        let ended = sync(&database, &sandbox);
        let library = sandbox.library();
        library.assert_held_by(&database);
        assert_dates(&database, &library);
        let positions = database
            .lines("SELECT playlist_id AS line FROM library_playlists WHERE removed_at IS NULL ORDER BY position");
        let listed: Vec<_> =
            library.rows("playlists").iter().filter_map(|row| row["id"].as_str()).map(str::to_owned).collect();
        if listing == "playlists" {
            assert_eq!(positions, listed, "{}", ended.told());
            for playlist in library.rows("playlists") {
                let from = format!("playlists WHERE id = {}", playlist["id"].to_string().replace('"', "'"));
                assert_eq!(database.value("name", &from), playlist["name"]);
            }
        }
        let removed = ids(&database, listing, "IS NOT NULL");
        for id in &removed {
            assert_ne!(database.value("name", &format!("{listing} WHERE id = '{id}'")), "", "{id} lost its data");
        }
        // And then there is nothing left to do.
        for change in ["new", "updated", "removed"] {
            assert_eq!(count(&sync(&database, &sandbox), listing, change), 0);
        }
        removed.len() as u64
    }
}

fn sync(database: &Database, sandbox: &Sandbox) -> Ended {
    let ended = Segno::on(database, sandbox, &["sync", "--json"]).succeed();
    let entities = ended.json()["entities"].as_array().expect("entities").clone();
    for entity in entities {
        assert_eq!((&entity["state"], &entity["notes"]), (&json!("complete"), &json!([])), "{}", ended.told());
    }
    ended
}

fn count(ended: &Ended, entity: &str, what: &str) -> u64 {
    ended.entity(entity)[what].as_u64().expect("a count")
}

fn removed(database: &Database, listing: &str) -> BTreeSet<String> {
    ids(database, listing, "IS NOT NULL")
}

/// Ids in the membership table of a listing, by whether they are marked removed.
fn ids(database: &Database, listing: &str, removed_at: &str) -> BTreeSet<String> {
    let (table, column) = match listing {
        "tracks" => ("saved_tracks", "track_id"),
        "albums" => ("saved_albums", "album_id"),
        "artists" => ("followed_artists", "artist_id"),
        _ => ("library_playlists", "playlist_id"),
    };
    database.lines(&format!("SELECT {column} AS line FROM {table} WHERE removed_at {removed_at}")).into_iter().collect()
}

/// Asserts that every saved row has the library's date.
fn assert_dates(database: &Database, library: &Library) {
    let added_at = match database.backend {
        Backend::Sqlite => "replace(substr(added_at, 1, 19), ' ', 'T') || 'Z'",
        Backend::Postgres => "to_char(added_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    };
    for (listing, table, column) in [("tracks", "saved_tracks", "track_id"), ("albums", "saved_albums", "album_id")] {
        let sql = format!("SELECT {column} || ' ' || {added_at} AS line FROM {table} WHERE removed_at IS NULL");
        let held: BTreeSet<String> = database.lines(&sql).into_iter().collect();
        let date = |row: &Value| Some(format!("{} {}", row["id"].as_str()?, row["added_at"].as_str()?));
        let listed: BTreeSet<String> = library.rows(listing).iter().filter_map(date).collect();
        let wrong: Vec<_> = listed.symmetric_difference(&held).take(4).collect();
        assert!(wrong.is_empty(), "{table}: {wrong:?}");
    }
}
