//! A service and the people it works for: sign-ins, sign-outs and refusals while it runs, and how several share it.

use super::support::{Backend, Database, Login, Running, Sandbox, Segno, both, wait_until};
use serde_json::{Value, json};

fn two_people() -> Sandbox {
    Sandbox::start(&[
        "--no-odd-rows",
        "--users",
        "2",
        "--tracks",
        "260",
        "--albums",
        "40",
        "--artists",
        "40",
        "--playlists",
        "3",
        "--playlist-items",
        "40",
    ])
}

fn service(database: &Database, sandbox: &Sandbox) -> Segno {
    Segno::on(database, sandbox, &["run"]).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN").env("SEGNO_FAULT_HASTE", "5400")
}

fn stop(running: Running) -> String {
    let ended = running.stop();
    ended.assert_calm();
    ended.stderr
}

fn account_of(database: &Database, sandbox: &Sandbox, user: usize) -> Value {
    let status = Segno::on(database, sandbox, &["status", "--json"]).succeed().json();
    status["accounts"].as_array().and_then(|accounts| accounts.get(user)).cloned().unwrap_or_default()
}

/// Initial syncs that are complete, of one account by its row, or of all.
fn num_complete(database: &Database, account: Option<u32>) -> u64 {
    let whose = account.map_or(String::new(), |id| format!(" AND account_id = {id}"));
    database.count(&format!("sync_states WHERE phase = 'initial_sync' AND completed_at IS NOT NULL{whose}"))
}

both! {
    fn two_accounts_share_a_service_and_each_has_its_own_rows(backend) {
        let (database, sandbox) = (Database::new(backend), two_people());
        for user in [0, 1] {
            Login::complete(&database, &sandbox, user);
        }
        let running = service(&database, &sandbox).spawn();
        wait_until("both are complete", || num_complete(&database, None) == 2 * crate::support::NUM_ENTITY_TYPES);
        wait_until("both are looked at again", || {
            database.count("sync_states WHERE phase = 'incremental_sync' AND completed_at IS NOT NULL") == 2 * crate::support::NUM_ENTITY_TYPES
        });
        let rows = database.lines("SELECT CAST(count(*) AS TEXT) AS line FROM saved_tracks GROUP BY account_id");
        assert_eq!(rows, ["260", "260"]);
        wait_until("both are asked what they listened to", || {
            database.count("playback_states WHERE last_polled_at IS NOT NULL") == 2
        });
        for user in [0, 1] {
            let account = account_of(&database, &sandbox, user);
            assert!(account["service"].as_str().is_some_and(|by| by.starts_with("segno run (process ")), "{account}");
        }
        stop(running);
    }

    fn a_sign_in_and_a_sign_out_are_noticed_while_it_runs(backend) {
        let (database, sandbox) = (Database::new(backend), two_people());
        Login::complete(&database, &sandbox, 0);
        let running = service(&database, &sandbox).spawn();
        wait_until("the first is complete", || num_complete(&database, None) == crate::support::NUM_ENTITY_TYPES);

        Login::complete(&database, &sandbox, 1);
        wait_until("the second is complete, too", || num_complete(&database, None) == 2 * crate::support::NUM_ENTITY_TYPES);

        let first = account_of(&database, &sandbox, 0)["spotify_id"].as_str().expect("an id").to_owned();
        Segno::on(&database, &sandbox, &["logout", &first]).succeed();
        wait_until("the first is let go", || account_of(&database, &sandbox, 0)["service"].is_null());
        assert!(!account_of(&database, &sandbox, 1)["service"].is_null(), "the second is kept");
        let log = stop(running);
        assert!(log.matches("kept current from here on").count() == 2 && log.contains("is not signed in"), "{log}");
    }

    fn a_refused_account_is_parked_while_the_other_goes_on_until_it_signs_in_again(backend) {
        let (database, sandbox) = (Database::new(backend), two_people());
        for user in [0, 1] {
            Login::complete(&database, &sandbox, user);
        }
        let running = service(&database, &sandbox).spawn();
        wait_until("both are complete", || num_complete(&database, None) == 2 * crate::support::NUM_ENTITY_TYPES);
        sandbox.configure(json!({ "revoke_refresh_token_of": 0, "expire_access_tokens": true }));
        wait_until("the first is parked", || {
            let account = account_of(&database, &sandbox, 0);
            account["sign_in"]["state"] == "refused" && account["service"].is_null()
        });
        // No loop of requests: from here on only the other one sends any.
        sandbox.post("stats/reset", &json!({}));
        let tracks = || sandbox.requests("tracks");
        wait_until("the second goes on", || tracks() >= 2);
        assert_eq!(sandbox.get("stats")["token_requests"], 0);

        Login::complete(&database, &sandbox, 0);
        wait_until("the first is taken up again", || !account_of(&database, &sandbox, 0)["service"].is_null());
        wait_until("and is in order", || {
            let account = account_of(&database, &sandbox, 0);
            let entities = account["entities"].as_array().cloned().unwrap_or_default();
            entities.len() as u64 == crate::support::NUM_ENTITY_TYPES && entities.iter().all(|entity| entity["state"] == "complete")
        });
        let log = stop(running);
        assert_eq!(log.matches("refused the sign-in of ").count(), 1, "told once: {log}");
    }

    fn a_purge_is_noticed_while_it_runs(backend) {
        let (database, sandbox) = (Database::new(backend), two_people());
        for user in [0, 1] {
            Login::complete(&database, &sandbox, user);
        }
        let running = service(&database, &sandbox).spawn();
        wait_until("both are complete", || num_complete(&database, None) == 2 * crate::support::NUM_ENTITY_TYPES);
        let first = account_of(&database, &sandbox, 0)["spotify_id"].as_str().expect("an id").to_owned();
        Segno::on(&database, &sandbox, &["purge", &first, "--yes"]).succeed();
        assert_eq!(database.count("accounts"), 1);
        let tracks = sandbox.requests("tracks");
        wait_until("the other goes on", || sandbox.requests("tracks") >= tracks + 2);
        let log = stop(running);
        assert_eq!((database.count("accounts"), database.count("saved_tracks")), (1, 260), "{log}");
    }
}

#[test]
fn a_sync_takes_one_account_after_the_other() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), two_people());
    for user in [0, 1] {
        Login::complete(&database, &sandbox, user);
    }
    let sync = |args: &[&str]| {
        Segno::on(&database, &sandbox, &[&["sync"], args].concat()).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN").succeed()
    };
    let reports = sync(&["--json"]).json();
    let accounts: Vec<&str> =
        reports.as_array().expect("an array").iter().filter_map(|r| r["account"].as_str()).collect();
    assert_eq!(accounts.len(), 2, "{reports}");
    assert_eq!(num_complete(&database, None), 2 * crate::support::NUM_ENTITY_TYPES);
    let text = sync(&[]).stdout;
    assert!(accounts.iter().all(|account| text.contains(&format!("account {account}"))), "{text}");
    let one = sync(&["--account", accounts[1], "--json"]).json();
    assert_eq!(one["account"], accounts[1], "{one}");
}
