//! Shows, episodes and audiobooks: synced like the rest, whatever the API omits, and whatever the sign-in does not
//! permit.

use super::support::{Backend, Database, Ended, Login, Sandbox, Segno, Source, both, entity_types, wait_until};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

const SPOKEN: [&str; 3] = ["shows", "episodes", "audiobooks"];

both! {
    fn a_first_sync_brings_everything_and_the_next_costs_one_request_each(backend) {
        for dialect in ["current", "legacy"] {
            let (database, sandbox) = (Database::new(backend), library(&["--dialect", dialect]));
            let first = sync(&database, &sandbox);
            assert_eq!(SPOKEN.map(|listing| sandbox.requests(listing)), [2, 3, 2], "{}", first.told());
            assert_eq!(SPOKEN.map(|listing| first.entity(listing)["new"].clone()), [60, 120, 70], "{}", first.told());
            sandbox.library().assert_held_by(&database);
            Source::read(&sandbox).assert_held_by(&database);

            let before = database.written_rows();
            sandbox.forget_requests();
            let again = sync(&database, &sandbox);
            for listing in entity_types() {
                assert_eq!(sandbox.requests(listing), 1, "{dialect} {listing}: {}", again.told());
            }
            assert!(database.written_rows() == before, "{dialect}: nothing changed, and something was written");
        }
    }

    fn what_comes_and_goes_is_found_wherever_it_is_and_told(backend) {
        for dialect in ["current", "legacy"] {
            let (database, sandbox) = (Database::new(backend), library(&["--dialect", dialect]));
            sync(&database, &sandbox);
            for (listing, place) in SPOKEN.into_iter().zip([31, 77, 52]) {
                let gone = sandbox.edit_one(json!({ "op": "unsave", "what": listing, "offset": place, "count": 2 }));
                let came = sandbox.edit_one(json!({ "op": "save", "what": listing, "count": 3 }));
                let ended = sync(&database, &sandbox);
                let report = ended.entity(listing);
                assert_eq!((&report["new"], &report["removed"]), (&json!(3), &json!(2)), "{dialect}: {}", ended.told());
                sandbox.library().assert_held_by(&database);

                let told = changes(&database, &sandbox, listing);
                let of = |kind: &str| -> Vec<String> {
                    let of_kind = told.iter().filter(|change| change["change"] == kind);
                    of_kind.filter_map(|change| change["id"].as_str()).map(str::to_owned).collect()
                };
                assert!(gone.iter().all(|id| of("removed").contains(id)) && of("removed").len() == 2, "{told:?}");
                assert!(came.iter().all(|id| of("added").contains(id)), "{told:?}");
                assert!(told.iter().all(|change| change["name"].is_string() && change["entity_type"] == listing), "{told:?}");

                // And back again.
                sandbox.edit_one(json!({ "op": "save", "what": listing, "ids": gone }));
                let ended = sync(&database, &sandbox);
                assert_eq!(ended.entity(listing)["updated"], 2, "{dialect}: {}", ended.told());
                sandbox.library().assert_held_by(&database);
                let back = changes(&database, &sandbox, listing).into_iter().filter(|change| change["change"] == "added_again");
                assert_eq!(back.count(), 2, "{dialect} {listing}");
            }
            Source::read(&sandbox).assert_current_in(&database, &Source::catalogue(&sandbox), &Default::default());
        }
    }

    fn many_removals_at_once_wait_until_they_are_confirmed(backend) {
        let (database, sandbox) = (Database::new(backend), library(&[]));
        sync(&database, &sandbox);
        for listing in SPOKEN {
            sandbox.edit_one(json!({ "op": "unsave", "what": listing, "offset": 5, "count": 50 }));
        }
        let ended = Segno::on(&database, &sandbox, &["sync"]).succeed();
        let removed = |listing: &str| database.count(&format!("saved_{listing} WHERE removed_at IS NOT NULL"));
        assert_eq!(SPOKEN.map(removed), [0, 0, 0], "{}", ended.told());
        let held = |listing: &str| database.count(&format!("held_removals WHERE entity_type = '{listing}'"));
        assert_eq!(SPOKEN.map(held), [50, 50, 50], "{}", ended.told());
        Segno::on(&database, &sandbox, &["sync", "--confirm-removals"]).succeed();
        assert_eq!(SPOKEN.map(removed), [50, 50, 50]);
        sandbox.library().assert_held_by(&database);
    }

    /// New applications get fewer fields. Known values stay.
    fn what_a_dialect_leaves_out_erases_nothing(backend) {
        let (database, sandbox) = (Database::new(backend), library(&["--dialect", "legacy"]));
        sync(&database, &sandbox);
        let told = ["shows", "audiobooks"].map(|table| database.count(&format!("{table} WHERE publisher IS NOT NULL")));
        assert!(told[0] >= 60 && told[1] == 70, "{told:?}");
        assert_eq!(database.count("saved_audiobooks WHERE added_at IS NULL OR first_seen_at IS NOT NULL"), 0);
        let before = database.library();
        sandbox.configure(json!({ "dialect": "current" }));
        Segno::on(&database, &sandbox, &["verify", "shows", "episodes", "audiobooks"]).succeed();
        assert!(database.library() == before, "silence erased something");
    }

    fn an_audiobook_without_a_date_is_known_since_it_was_seen_and_takes_one_that_comes(backend) {
        let (database, sandbox) = (Database::new(backend), library(&[]));
        sync(&database, &sandbox);
        assert_eq!(database.count("audiobooks WHERE publisher IS NOT NULL"), 0);
        assert_eq!(database.count("saved_audiobooks WHERE added_at IS NULL AND first_seen_at IS NOT NULL"), 70);
        sandbox.configure(json!({ "dialect": "legacy" }));
        Segno::on(&database, &sandbox, &["verify", "shows", "episodes", "audiobooks"]).succeed();
        assert_eq!(database.count("saved_audiobooks WHERE added_at IS NOT NULL AND removed_at IS NULL"), 70);
        Source::read(&sandbox).assert_held_by(&database);
    }

    fn odd_rows_are_counted_and_stop_nothing(backend) {
        let (database, sandbox) = (Database::new(backend), library(&[]));
        let patch = |family: &str, place: u32, with: Value| {
            json!({ "family": family, "do": { "kind": "patch_rows", "places": [place], "with": with } })
        };
        sandbox.rules(json!([
            patch("shows", 3, json!({ "show": null })),
            patch("shows", 4, json!({ "show": { "id": null, "uri": null } })),
            patch("episodes", 5, json!({ "episode": { "name": "" } })),
            patch("episodes", 6, json!({ "episode": { "show": 7, "duration_ms": "long" } })),
            patch("audiobooks", 7, json!(null)),
            patch("audiobooks", 8, json!({ "authors": "nobody", "publisher": 3 })),
        ]));
        let ended = Segno::on(&database, &sandbox, &["sync", "--json"]).succeed();
        for (listing, held, odd) in [("shows", 58, 2), ("episodes", 120, 2), ("audiobooks", 69, 2)] {
            assert_eq!(database.count(&format!("saved_{listing}")), held, "{listing}: {}", ended.told());
            assert_eq!(ended.entity(listing)["odd"], odd, "{listing}: {}", ended.told());
            assert_eq!(database.count(&format!("sync_odd_items WHERE entity_type = '{listing}'")), odd, "{listing}");
        }
        // One that has lost its id has not lost its name.
        assert_eq!(database.count("sync_odd_items WHERE entity_type = 'shows' AND name IS NOT NULL"), 1);
    }

    fn a_reset_reads_them_again_and_a_verifying_pass_finds_nothing(backend) {
        let (database, sandbox) = (Database::new(backend), library(&[]));
        sync(&database, &sandbox);
        let before = database.library();
        Segno::on(&database, &sandbox, &["reset", "shows", "episodes", "audiobooks"]).succeed();
        sandbox.forget_requests();
        sync(&database, &sandbox);
        assert_eq!(SPOKEN.map(|listing| sandbox.requests(listing)), [2, 3, 2]);
        let verified = Segno::on(&database, &sandbox, &["verify", "shows", "episodes", "audiobooks"]).succeed();
        assert_eq!(verified.stdout.matches("no difference").count(), 3, "{}", verified.told());
        assert!(database.library() == before);
    }

    /// As a database from before these entity types has them.
    fn what_was_never_read_begins_by_itself(backend) {
        let (database, sandbox) = (Database::new(backend), library(&[]));
        let four = "tracks,artists,albums,playlists";
        Segno::on(&database, &sandbox, &["sync"]).env("SEGNO_SYNC_ENTITIES", four).succeed();
        assert_eq!(database.count("sync_states"), 4);
        sync(&database, &sandbox);
        for listing in SPOKEN {
            assert_eq!(database.state(listing, "initial_sync", "CASE WHEN is_complete THEN 1 END"), "1", "{listing}");
        }
        sandbox.library().assert_held_by(&database);
    }

    fn a_sign_in_that_does_not_permit_episodes_goes_on_with_the_rest_and_is_told(backend) {
        let (database, sandbox) = (Database::new(backend), library(&[]));
        let scopes = "user-library-read user-read-private playlist-read-private playlist-read-collaborative \
                      user-follow-read user-read-recently-played";
        sandbox.configure(json!({ "granted_scopes": scopes }));
        Login::complete(&database, &sandbox, 0);
        let segno = |args: &[&str]| Segno::on(&database, &sandbox, args).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN");
        let running = segno(&["run"]).spawn();
        let status = || segno(&["status", "--json"]).succeed().json()["accounts"][0].clone();
        let entity = |name: &str| {
            let entities = status()["entities"].as_array().cloned().unwrap_or_default();
            entities.into_iter().find(|shown| shown["entity_type"] == name).unwrap_or_default()
        };
        wait_until("the others are complete", || {
            entity_types().filter(|name| *name != "episodes").all(|name| entity(name)["state"] == "complete")
        });
        wait_until("and episodes rest", || entity("episodes")["next_run_at"].is_string());
        let episodes = entity("episodes");
        assert_eq!(episodes["state"], "failed", "{episodes}");
        let rests: DateTime<Utc> = episodes["next_run_at"].as_str().and_then(|at| at.parse().ok()).expect("a time");
        assert!((8..=10).contains(&(rests - Utc::now()).num_minutes()), "one answer decides no day: {episodes}");
        assert_eq!(status()["missing_scopes"], json!(["user-read-playback-position"]));
        let text = segno(&["status"]).succeed().stdout;
        let words = "missing permission user-read-playback-position: saved episodes cannot be read; run \"segno login\"";
        assert!(text.contains(words), "{text}");
        running.signal("TERM");
        running.wait();
        // Once, and once more if a copy of the service may have disagreed.
        assert!((1..=2).contains(&sandbox.requests("episodes")), "{}", sandbox.requests("episodes"));

        let ended = segno(&["sync"]).succeed();
        assert!(ended.stderr.contains("episodes: left out, since the sign-in lacks"), "{}", ended.told());
        sandbox.configure(json!({ "granted_scopes": null }));
        Login::complete(&database, &sandbox, 0);
        segno(&["sync"]).succeed();
        sandbox.library().assert_held_by(&database);
    }
}

fn library(more: &[&str]) -> Sandbox {
    Sandbox::exact_with([20, 10, 5, 2, 5], [60, 120, 70], more)
}

fn sync(database: &Database, sandbox: &Sandbox) -> Ended {
    let ended = Segno::on(database, sandbox, &["sync", "--json"]).succeed();
    for entity in entity_types() {
        assert_eq!(ended.entity(entity)["state"], "complete", "{}", ended.told());
    }
    ended
}

/// The entries of `segno changes` for a listing, newest first.
fn changes(database: &Database, sandbox: &Sandbox, listing: &str) -> Vec<Value> {
    let args = ["changes", listing, "--json", "--since", "1h", "--limit", "1000"];
    let told = Segno::on(database, sandbox, &args).succeed().stdout;
    told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}
