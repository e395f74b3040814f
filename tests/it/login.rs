//! Signing in, staying signed in, and leaving: `segno login`, `logout`, `purge`, several accounts, and what happens
//! when a sign-in ends.

use super::support::{
    Backend, Database, Ended, Login, Sandbox, Segno, block_on, both,
    browser::Browser,
    login::{visit, visit_with},
    wait_until,
};
use crate::support::http;
use serde_json::{Value, json};
use std::{collections::BTreeSet, os::unix::fs::PermissionsExt, time::Duration};

const SCOPES: [&str; 7] = [
    "playlist-read-collaborative",
    "playlist-read-private",
    "user-follow-read",
    "user-library-read",
    "user-read-playback-position",
    "user-read-private",
    "user-read-recently-played",
];

both! {
    fn a_person_who_signs_in_once_is_synced_from_then_on(backend) {
        let (database, sandbox) = (Database::new(backend), small());
        let login = Login::start(&database, &sandbox, &[]);
        let (status, page) = login.agree(0);
        let ended = login.end();
        assert_eq!(ended.code, Some(0), "{}", ended.told());
        assert!(status == 200 && page.contains("<h1>Signed in as Sandbox Listener</h1>"), "{page}");
        assert!(ended.stdout.starts_with("signed in as ") && ended.stdout.contains("(Sandbox Listener)"), "{}", ended.told());
        assert!(ended.stdout.contains("; sign in again before then"), "{}", ended.told());
        assert!(!ended.stdout.contains("missing"), "{}", ended.told());
        assert_no_secrets(&database, &[&ended.stdout, &ended.stderr, &page]);

        let synced = sync(&database, &sandbox, &[]).succeed();
        assert_no_secrets(&database, &[&synced.stdout, &synced.stderr]);
        sandbox.library().assert_held_by(&database);
        let account = &status_of(&database, &sandbox)["accounts"][0];
        assert_eq!(account["sign_in"]["state"], "valid", "{account}");
        assert_eq!((&account["display_name"], &account["missing_scopes"]), (&json!("Sandbox Listener"), &json!([])));
        let until: chrono::DateTime<chrono::Utc> = account["sign_in"]["until"].as_str().expect("a time").parse().expect("RFC 3339");
        let months = chrono::Utc::now() + chrono::Months::new(6) - until;
        assert!(months.num_minutes().abs() < 5, "{until}");
    }

    fn a_refused_sign_in_is_parked_until_the_next_one_without_a_request(backend) {
        let (database, sandbox) = (Database::new(backend), small());
        Login::complete(&database, &sandbox, 0);
        sync(&database, &sandbox, &[]).succeed();
        sandbox.configure(json!({ "revoke_refresh_token": true, "expire_access_tokens": true }));
        // A single refusal is not believed; minutes later, here half a second, it is.
        let hasty = || sync(&database, &sandbox, &[]).env("SEGNO_FAULT_HASTE", "600");
        let doubted = hasty().run();
        assert_eq!(doubted.code, Some(1), "{}", doubted.told());
        assert_eq!(status_of(&database, &sandbox)["accounts"][0]["sign_in"]["state"], "valid");
        std::thread::sleep(std::time::Duration::from_millis(600));
        let refused = hasty().run();
        assert_eq!(refused.code, Some(4), "{}", refused.told());
        assert!(refused.stdout.contains("the refresh token was refused (Refresh token revoked)"), "{}", refused.told());
        let account = &status_of(&database, &sandbox)["accounts"][0];
        assert_eq!(account["sign_in"]["state"], "refused", "{account}");
        assert_eq!(account["sign_in"]["why"], "Refresh token revoked");
        let text = Segno::on(&database, &sandbox, &["status"]).succeed().stdout;
        assert!(text.contains("sign-in refused at ") && text.contains("sign in again with \"segno login\""), "{text}");

        sandbox.post("stats/reset", &json!({}));
        for _ in 0..3 {
            let parked = sync(&database, &sandbox, &[]).run();
            parked.assert_refused(4, &["refused the sign-in of ", "Refresh token revoked", "sign in again with \"segno login\""]);
        }
        assert_eq!(asked(&sandbox), (0, 0), "a parked account asks for nothing");

        Login::complete(&database, &sandbox, 0);
        sync(&database, &sandbox, &[]).succeed();
        assert_eq!(status_of(&database, &sandbox)["accounts"][0]["sign_in"]["state"], "valid");
        assert_eq!(database.count("accounts"), 1);
    }

    fn two_people_sign_in_and_each_is_found_by_id_and_by_name(backend) {
        let (database, sandbox) = (Database::new(backend), two_people());
        let ids = [0, 1].map(|user| text(&Login::complete(&database, &sandbox, user).json()["spotify_id"]));
        assert_ne!(ids[0], ids[1]);
        assert_eq!(database.lines("SELECT spotify_id AS line FROM accounts ORDER BY id"), ids);

        sync(&database, &sandbox, &["--account", &ids[1]]).succeed();
        assert_eq!(tracks_of(&database, &ids[1]), saved(&sandbox, 1));
        assert_eq!(tracks_of(&database, &ids[0]), BTreeSet::new());
        sync(&database, &sandbox, &["--account", "Sandbox Listener"]).succeed();
        assert_eq!(tracks_of(&database, &ids[0]), saved(&sandbox, 0));

        let unknown = sync(&database, &sandbox, &["--account", "nobody"]).run();
        unknown.assert_refused(2, &["\"nobody\" is not an account here; expected one of ", &ids[0], &ids[1]]);
        let unnamed = Segno::on(&database, &sandbox, &["logout"]).run();
        unnamed.assert_refused(2, &["logout: name an account: one of ", &ids[0], &ids[1]]);

        // One of them is refused; the other is not affected.
        sandbox.configure(json!({ "revoke_refresh_token_of": 0, "expire_access_tokens": true }));
        let refused = || sync(&database, &sandbox, &["--account", &ids[0]]).run().code;
        assert_eq!(refused(), Some(1));
        database.end_cooldowns();
        assert_eq!(refused(), Some(4));
        sync(&database, &sandbox, &["--account", &ids[1]]).succeed();
        let accounts = status_of(&database, &sandbox)["accounts"].clone();
        assert_eq!((&accounts[0]["sign_in"]["state"], &accounts[1]["sign_in"]["state"]), (&json!("refused"), &json!("valid")));
        sync(&database, &sandbox, &[]).succeed();
        let one = Segno::on(&database, &sandbox, &["status", "--json", "--account", "Sandbox Listener 2"]).succeed().json();
        assert_eq!(one["accounts"].as_array().expect("accounts").len(), 1);
        assert_eq!(one["accounts"][0]["spotify_id"], ids[1]);
    }

    fn logout_forgets_the_tokens_and_keeps_the_library(backend) {
        let (database, sandbox) = (Database::new(backend), small());
        let id = text(&Login::complete(&database, &sandbox, 0).json()["spotify_id"]);
        sync(&database, &sandbox, &[]).succeed();
        let library = database.library();
        let out = Segno::on(&database, &sandbox, &["logout"]).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN").succeed();
        assert!(out.stdout.starts_with(&format!("{id} (Sandbox Listener) is signed out")), "{}", out.told());
        assert_eq!((database.count("account_tokens"), database.count("accounts")), (0, 1));
        assert_eq!(database.library(), library);
        assert_eq!(status_of(&database, &sandbox)["accounts"][0]["sign_in"], json!({ "state": "signed_out" }));
        sandbox.post("stats/reset", &json!({}));
        sync(&database, &sandbox, &[]).run().assert_refused(4, &["nobody is signed in", "run \"segno login\""]);
        sync(&database, &sandbox, &["--account", &id]).run().assert_refused(4, &["is not signed in", "segno login"]);
        assert_eq!(asked(&sandbox), (0, 0));
        let again = Segno::on(&database, &sandbox, &["logout", &id]).succeed();
        assert!(again.stdout.contains("was not signed in"), "{}", again.told());
        // A token in the environment would sign in again, which is reported.
        assert!(!again.stderr.contains("SEGNO_SPOTIFY_REFRESH_TOKEN"), "{}", again.told());
    }

    fn a_sync_under_way_does_not_bring_back_tokens_that_were_forgotten(backend) {
        let (database, sandbox) = (Database::new(backend), slow());
        Login::complete(&database, &sandbox, 0);
        sandbox.configure(json!({ "access_token_ttl_ms": 1500, "rotate_refresh_token": true, "expire_access_tokens": true }));
        let running = sync(&database, &sandbox, &[]).spawn();
        wait_until("it is well under way", || database.num_batches() >= 3);
        Segno::on(&database, &sandbox, &["logout"]).succeed();
        let ended = running.wait();
        assert_eq!(ended.code, Some(4), "{}", ended.told());
        assert!(ended.stdout.contains("the account was signed out meanwhile"), "{}", ended.told());
        assert_eq!(database.count("account_tokens"), 0);
    }

    fn tokens_that_another_process_has_renewed_are_taken_over(backend) {
        let (database, sandbox) = (Database::new(backend), slow());
        sandbox.configure(json!({ "rotate_refresh_token": true }));
        Login::complete(&database, &sandbox, 0);
        let running = sync(&database, &sandbox, &["tracks"]).spawn();
        wait_until("it is well under way", || database.num_batches() >= 3);
        // While it is stopped, its access token expires, and another process exchanges the refresh token that it knows.
        running.signal("STOP");
        sandbox.configure(json!({ "expire_access_tokens": true }));
        let (accounts, client_id) = (&sandbox.env["SEGNO_SPOTIFY_ACCOUNTS_URL"], &sandbox.env["SEGNO_SPOTIFY_CLIENT_ID"]);
        let known = database.value("refresh_token", "account_tokens");
        let form = format!("grant_type=refresh_token&client_id={client_id}&refresh_token={known}");
        let granted = post_form(&format!("{accounts}/api/token"), form);
        let [access, refresh] = ["access_token", "refresh_token"].map(|name| text(&granted[name]));
        database.execute(&format!("UPDATE account_tokens SET access_token = '{access}', refresh_token = '{refresh}'"));
        sandbox.post("stats/reset", &json!({}));
        running.signal("CONT");
        let ended = running.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.told());
        assert_eq!(asked(&sandbox).1, 0, "its own is used up and not sent, the other's is at hand");
        assert_eq!(database.value("refresh_token", "account_tokens"), refresh);
        assert_eq!(status_of(&database, &sandbox)["accounts"][0]["sign_in"]["state"], "valid");
        assert_eq!(database.count("saved_tracks WHERE removed_at IS NULL"), 4000);
    }

    fn a_purge_removes_one_person_and_leaves_the_other_as_they_were(backend) {
        let (database, sandbox) = (Database::new(backend), two_people());
        overlapping_libraries(&sandbox);
        let ids = [0, 1].map(|user| text(&Login::complete(&database, &sandbox, user).json()["spotify_id"]));
        for id in &ids {
            sync(&database, &sandbox, &["--account", id]).succeed();
        }
        let alone = Database::new(backend);
        Login::complete(&alone, &sandbox, 1);
        sync(&alone, &sandbox, &[]).succeed();
        let states = |of: &Database| of.lines("SELECT entity_type || '|' || phase AS line FROM sync_states ORDER BY 1");

        let asks = Segno::on(&database, &sandbox, &["purge", &ids[0]]).run();
        asks.assert_refused(2, &["no terminal to ask on", "--yes"]);
        assert_eq!(database.count("accounts"), 2);
        let purged = Segno::on(&database, &sandbox, &["purge", &ids[0], "--yes", "--json"]).succeed().json();
        assert_eq!(purged["spotify_id"], ids[0]);
        let removed = &purged["removed"];
        assert_eq!((&removed["saved_tracks"], &removed["tracks"]), (&json!(2), &json!(1)), "{purged}");
        assert_eq!((&removed["playlists"], &removed["playlist_items"]), (&json!(1), &json!(2)), "{purged}");
        assert_eq!(removed["account_removed"], true);

        assert_eq!(database.lines("SELECT spotify_id AS line FROM accounts"), [ids[1].clone()]);
        assert_eq!(database.count("account_tokens"), 1);
        assert_eq!(states(&database), states(&alone));
        let (ours, theirs) = (database.library(), alone.library());
        for (table, rows) in &theirs {
            // Numbers of accounts differ; their contents must not.
            assert_eq!(ours[table].len(), rows.len(), "{table}: {:?} {rows:?}", ours[table]);
        }
        assert_eq!(tracks_of(&database, &ids[1]), saved(&sandbox, 1));
        sync(&database, &sandbox, &[]).succeed();

        let gone = Segno::on(&database, &sandbox, &["purge", &ids[0], "--yes"]).run();
        gone.assert_refused(2, &["is not an account here", &ids[1]]);
        let told = Segno::on(&database, &sandbox, &["purge", &ids[1], "--yes"]).succeed();
        assert!(told.stdout.contains("saved tracks") && told.stdout.contains("tracks of the catalogue"), "{}", told.told());
        for table in ["accounts", "account_tokens", "sync_states", "sync_batches", "plays"] {
            assert_eq!(database.count(table), 0, "{table}");
        }
        assert!(database.library().values().all(Vec::is_empty), "{:?}", database.library());
    }

    fn a_purge_forgets_an_imported_token_and_says_that_it_would_sign_in_again(backend) {
        let (database, sandbox) = (Database::new(backend), small());
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        assert_eq!(database.count("account_tokens WHERE imported_hash IS NOT NULL"), 1);
        let id = database.value("spotify_id", "accounts");
        let purged = Segno::on(&database, &sandbox, &["purge", &id, "--yes"]).succeed();
        let warning = "SEGNO_SPOTIFY_REFRESH_TOKEN is set: the next sync signs in with it again";
        assert!(purged.stderr.contains(warning), "{}", purged.told());
        for table in ["account_tokens", "accounts", "saved_tracks", "sync_states"] {
            assert_eq!(database.count(table), 0, "{table}");
        }
        let alone = Segno::on(&database, &sandbox, &["sync"]).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN").run();
        alone.assert_refused(4, &["nobody is signed in"]);
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        assert_eq!(database.count("account_tokens"), 1, "as it was said");
        let purged = Segno::on(&database, &sandbox, &["purge", &id, "--yes"]).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN").succeed();
        assert!(!purged.stderr.contains("SEGNO_SPOTIFY_REFRESH_TOKEN"), "{}", purged.told());
    }

    fn a_purge_stops_a_sync_of_that_account_for_good(backend) {
        let (database, sandbox) = (Database::new(backend), slow());
        let id = text(&Login::complete(&database, &sandbox, 0).json()["spotify_id"]);
        let running = sync(&database, &sandbox, &[]).spawn();
        wait_until("it is well under way", || database.num_batches() >= 3);
        Segno::on(&database, &sandbox, &["purge", &id, "--yes"]).succeed();
        let ended = running.wait();
        assert!(matches!(ended.code, Some(1 | 4)), "{}", ended.told());
        assert!(ended.told().contains("a purge") || ended.told().contains("any more"), "{}", ended.told());
        ended.assert_calm();
        assert_eq!((database.count("accounts"), database.count("sync_states")), (0, 0), "{}", ended.told());
        assert!(database.library().values().all(Vec::is_empty), "{:?}", database.library());
    }

    fn a_sign_in_that_ends_soon_is_told_in_time(backend) {
        let (database, sandbox) = (Database::new(backend), small());
        let id = text(&Login::complete(&database, &sandbox, 0).json()["spotify_id"]);
        for (days_ago, state, words) in [
            (100, "valid", "signed in until "),
            (175, "ends_soon", "left; run \"segno login\" before then"),
            (200, "ended", "sign-in ended on "),
        ] {
            let at = chrono::Utc::now() - chrono::TimeDelta::days(days_ago);
            let at = at.format("%Y-%m-%d %H:%M:%S%.6f+00:00");
            database.execute(&format!("UPDATE accounts SET authorized_at = '{at}'"));
            let account = status_of(&database, &sandbox)["accounts"][0].clone();
            assert_eq!(account["sign_in"]["state"], state, "{account}");
            let text = Segno::on(&database, &sandbox, &["status"]).succeed().stdout;
            assert!(text.contains(words), "{text}");
            let synced = sync(&database, &sandbox, &[]).succeed();
            let warned = synced.stderr.contains(&format!("the sign-in of {id} (Sandbox Listener) "));
            assert_eq!(warned, state != "valid", "{}", synced.told());
        }
    }

    fn a_token_of_the_environment_is_used_once_and_does_not_undo_a_later_sign_in(backend) {
        let (database, sandbox) = (Database::new(backend), small());
        let with_token = || Segno::on(&database, &sandbox, &["sync"]);
        with_token().succeed();
        let first = database.value("authorized_at", "accounts");
        with_token().succeed();
        assert_eq!(database.value("authorized_at", "accounts"), first, "only agreeing begins another six months");
        Login::complete(&database, &sandbox, 0);
        let (later, token) = (database.value("authorized_at", "accounts"), database.value("refresh_token", "account_tokens"));
        assert_ne!(later, first);
        with_token().succeed();
        assert_eq!(database.value("authorized_at", "accounts"), later);
        assert_eq!(database.value("refresh_token", "account_tokens"), token);
    }

    fn a_token_that_replaced_that_of_the_environment_outlives_refusals(backend) {
        let (database, sandbox) = (Database::new(backend), small());
        sandbox.configure(json!({ "rotate_refresh_token": true }));
        refuse_who_it_is(&sandbox);
        let with_token = || Segno::on(&database, &sandbox, &["sync"]);
        for _ in 0..2 {
            let refused = with_token().run();
            assert_eq!(refused.code, Some(1), "{}", refused.told());
            assert!(refused.told().contains("this Spotify user may not use the application"), "{}", refused.told());
            let kept = database.value("refresh_token", "pending_sign_ins");
            assert_ne!(kept, sandbox.env["SEGNO_SPOTIFY_REFRESH_TOKEN"], "it was replaced");
            assert!(!refused.told().contains(&kept), "a token was told");
        }
        // The access token that came with it runs out meanwhile.
        sandbox.configure(json!({ "expire_access_tokens": true }));
        sandbox.rules(json!([]));
        with_token().succeed();
        assert_eq!((database.count("account_tokens"), database.count("pending_sign_ins")), (1, 0));
        assert_eq!(sandbox.get("stats")["token_requests"], 2);
        sandbox.configure(json!({ "expire_access_tokens": true }));
        with_token().succeed();
        assert_eq!((database.count("account_tokens"), database.count("pending_sign_ins")), (1, 0));
        sandbox.library().assert_held_by(&database);
    }

    fn a_token_that_replaced_that_of_the_environment_outlives_a_crash(backend) {
        let (database, sandbox) = (Database::new(backend), small());
        sandbox.configure(json!({ "rotate_refresh_token": true }));
        sandbox.rules(json!([{ "family": "me", "do": { "kind": "hang" } }]));
        let with_token = || Segno::on(&database, &sandbox, &["sync"]);
        let running = with_token().spawn();
        wait_until("its owner is asked for", || sandbox.requests("me") > 0);
        running.kill();
        database.settle();
        assert_eq!((database.count("accounts"), database.count("pending_sign_ins")), (0, 1));
        sandbox.rules(json!([]));
        with_token().succeed();
        assert_eq!((database.count("account_tokens"), database.count("pending_sign_ins")), (1, 0));
        assert_eq!(sandbox.get("stats")["token_requests"], 1);
    }

    fn a_wrong_token_of_the_environment_is_told_at_once_and_each_is_doubted(backend) {
        let (database, sandbox) = (Database::new(backend), small());
        sandbox.configure(json!({ "rotate_refresh_token": true }));
        let with_token = || Segno::on(&database, &sandbox, &["sync"]);
        let wrong = || with_token().env("SEGNO_SPOTIFY_REFRESH_TOKEN", "AQ-mistyped-and-never-granted").run();
        for _ in 0..2 {
            assert_doubted_for(&wrong(), "Invalid refresh token");
            assert_eq!(sandbox.get("stats")["token_requests"], 1);
        }
        database.end_cooldowns();
        assert_refused_for(&wrong(), "Invalid refresh token");
        assert_eq!(database.count("pending_sign_ins"), 0);

        refuse_who_it_is(&sandbox);
        assert_eq!(with_token().run().code, Some(1));
        sandbox.configure(json!({ "revoke_refresh_token": true, "expire_access_tokens": true }));
        sandbox.rules(json!([]));
        let doubted = with_token().run();
        assert_eq!(doubted.code, Some(1), "{}", doubted.told());
        assert_eq!(database.count("pending_sign_ins WHERE doubted_at IS NOT NULL"), 1, "{}", doubted.told());
        database.end_cooldowns();
        assert_refused_for(&with_token().run(), "Refresh token revoked");
        assert_eq!((database.count("accounts"), database.count("pending_sign_ins")), (0, 0));
        // There is nothing left but the token in the environment.
        assert_doubted_for(&with_token().run(), "Refresh token revoked");
    }

    fn a_service_sends_a_first_token_that_was_called_void_once_more(backend) {
        let (database, sandbox) = (Database::new(backend), small());
        let run = || Segno::on(&database, &sandbox, &["run"]).env("SEGNO_FAULT_HASTE", "150");
        let wrong = run().env("SEGNO_SPOTIFY_REFRESH_TOKEN", "AQ-mistyped-and-never-granted").run();
        assert_refused_for(&wrong, "Invalid refresh token");
        assert!(wrong.told().contains("sent once more after"), "{}", wrong.told());
        assert_eq!(sandbox.get("stats")["token_requests"], 2);

        sandbox.rules(json!([{ "family": "token", "times": 1, "do": { "kind": "refuse", "like": "invalid_grant" } }]));
        let running = run().spawn();
        wait_until("it signs in after all", || database.count("account_tokens") == 1);
        running.terminate();
        assert_eq!(running.wait().code, Some(0));
        sandbox.assert_rules_applied();
    }
}

/// What a person does and sees, in a real browser.
#[test]
fn signing_in_works_in_a_real_browser() {
    let Some(browser) = Browser::start() else { return };
    let (database, sandbox) = (Database::new(Backend::Sqlite), two_people());
    let login = Login::start(&database, &sandbox, &["--json"]);
    browser.go(&login.opened());
    browser.wait_for_title("Sandbox consent");
    let asked: BTreeSet<String> = browser.text("ul").lines().map(str::to_owned).collect();
    assert_eq!(asked, SCOPES.map(str::to_owned).into());
    browser.click("#agree-1");
    browser.wait_for_title("Signed in as Sandbox Listener 2");
    assert_eq!(browser.text("h1"), "Signed in as Sandbox Listener 2");
    assert!(browser.url().starts_with("http://127.0.0.1:"), "{}", browser.url());
    assert_eq!(browser.text("p"), "You can close this page.");
    let shown = browser.run("return document.documentElement.outerHTML").to_string();
    let ended = login.end();
    assert_eq!(ended.code, Some(0), "{}", ended.told());
    let report = ended.json();
    assert_eq!(report["display_name"], "Sandbox Listener 2");
    let granted: BTreeSet<&str> =
        report["scopes"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!((granted, &report["missing_scopes"]), (SCOPES.into(), &json!([])));
    assert_no_secrets(&database, &[&ended.stdout, &ended.stderr, &shown]);

    // And a person who says no.
    let login = Login::start(&database, &sandbox, &[]);
    browser.go(&login.opened());
    browser.click("#cancel");
    browser.wait_for_title("Not signed in");
    assert!(browser.text("p").starts_with("Access was not granted."), "{}", browser.text("p"));
    let ended = login.end();
    ended_with_one_reason(&ended, 4, "access was not granted");
    assert_eq!(database.count("accounts"), 1);
}

#[test]
fn the_redirect_address_can_be_pasted_and_a_wrong_one_gets_another_try() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), small());
    let mut login = Login::start(&database, &sandbox, &["--no-browser", "--json"]);
    let answer = login.answer_of("sandbox_user=0");
    assert!(answer.starts_with("http://127.0.0.1:") && answer.contains("/callback?code="), "{answer}");
    let forged = answer.replace("state=", "state=x");
    for (pasted, words) in [
        ("hello", "this is not the address that the browser ends up at"),
        (&login.url(), "this is not the address that the browser ends up at"),
        (&forged, "this is the answer to another sign-in"),
    ] {
        let before = login.told().matches(words).count();
        login.running.tell(&format!("{pasted}\n"));
        wait_until("the wrong address is told", || login.told().matches(words).count() > before);
    }
    login.running.tell(&format!("  '{answer}'  \r\n"));
    let ended = login.end();
    assert_eq!(ended.code, Some(0), "{}", ended.told());
    assert_eq!(ended.json()["display_name"], "Sandbox Listener");
    assert!(!std::path::Path::new(&database.folder.path().join("opened")).exists(), "no browser was opened");
    assert_no_secrets(&database, &[&ended.stdout, &ended.stderr]);
    sync(&database, &sandbox, &["tracks"]).succeed();
}

#[test]
fn a_paste_that_never_comes_ends_the_login() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), small());
    let mut login = Login::start(&database, &sandbox, &["--no-browser"]);
    login.url();
    login.running.tell("nonsense");
    login.running.close_stdin();
    let ended = login.end();
    ended_with_one_reason(&ended, 4, "stdin ended before the redirect address came");
    assert_eq!(database.count("accounts"), 0);
}

#[test]
fn nothing_but_the_answer_to_this_sign_in_ends_it() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), small());
    let login = Login::start(&database, &sandbox, &[]);
    let answer = login.answer_of("sandbox_user=0");
    let origin = answer.split("/callback").next().expect("an origin").to_owned();
    let port = origin.rsplit(':').next().expect("a port").to_owned();
    let state = answer.rsplit("state=").next().expect("a state").to_owned();
    for (path, expected) in [
        ("/", 404),
        ("/favicon.ico", 404),
        ("/callback/", 404),
        ("/callback", 400),
        ("/callback?code=x", 400),
        ("/callback?code=x&state=forged", 400),
        ("/callback?error=access_denied&state=forged", 400),
        ("/callback?code=%3Cscript%3Ealert(1)%3C/script%3E&state=%22%3E%3Cscript%3E", 400),
        (&format!("/callback?state={state}"), 400),
    ] {
        let (status, page) = visit(&format!("{origin}{path}"));
        assert_eq!(status, expected, "{path}: {page}");
        assert!(!page.contains("script") && !page.contains("forged"), "{path}: {page}");
    }
    // A DNS name that somebody points at this machine.
    for host in ["evil.example", &format!("localhost:{port}"), &format!("evil.example:{port}")] {
        assert_eq!(visit_with(&answer, Some(host)).0, 404, "{host}");
    }
    assert_eq!(sandbox.get("stats")["token_requests"], 0);
    let (status, page) = visit(&answer);
    assert_eq!(status, 200, "{page}");
    assert_eq!(login.end().code, Some(0));
}

#[test]
fn who_says_no_is_told_so_and_nothing_is_stored() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), small());
    let login = Login::start(&database, &sandbox, &[]);
    let (status, page) = visit(&login.answer_of("sandbox_deny=1"));
    assert!(status == 403 && page.contains("Access was not granted"), "{page}");
    ended_with_one_reason(&login.end(), 4, "access was not granted, so nobody was signed in");
    assert_eq!((database.count("accounts"), asked(&sandbox)), (0, (0, 0)));
}

#[test]
fn a_failure_of_spotify_is_told_in_the_browser_and_in_the_terminal() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), small());
    // Before there are tokens, and afterwards.
    let login = Login::start(&database, &sandbox, &[]);
    let answer = login.answer_of("sandbox_deny=1").replace("access_denied", "internal_error");
    let (status, page) = visit(&answer);
    assert!(status == 502 && page.contains("&quot;internal_error&quot;"), "{page}");
    ended_with_one_reason(&login.end(), 4, "Spotify answered the sign-in with \"internal_error\"");

    sandbox.rules(json!([{ "family": "token", "do": { "kind": "status", "status": 400, "body": "{\"error\":\"invalid_grant\"}" } }]));
    let login = Login::start(&database, &sandbox, &[]);
    let (status, page) = login.agree(0);
    assert!(status == 502 && page.contains("the code of the consent page was refused"), "{page}");
    ended_with_one_reason(&login.end(), 4, "the code of the consent page was refused");

    let not_listed = "{\"error\":{\"status\":403,\"message\":\"User not registered in the Developer Dashboard\"}}";
    sandbox.rules(json!([{ "family": "me", "do": { "kind": "status", "status": 403, "body": not_listed } }]));
    let login = Login::start(&database, &sandbox, &[]);
    let (status, page) = login.agree(0);
    assert!(status == 502 && page.contains("User Management"), "{page}");
    let ended = login.end();
    ended_with_one_reason(&ended, 1, "this Spotify user may not use the application");
    assert_eq!(database.count("accounts") + database.count("account_tokens"), 0);
}

/// The answer is a secret while it is valid: with it and the verifier, anybody could sign in.
#[test]
fn neither_the_answer_nor_a_token_is_logged_however_loud_the_log_is() {
    for filter in
        ["trace", "trace,actix=trace,actix_http=trace,actix_server=trace,hyper=trace,mio=trace,reqwest=trace,h2=trace"]
    {
        for format in ["human", "json"] {
            let (database, sandbox) = (Database::new(Backend::Sqlite), small());
            let segno = Segno::on(&database, &sandbox, &["login", "--log-format", format]).env("SEGNO_LOG", filter);
            let login = Login::start_with(segno, &database);
            wait_until("the address is shown", || login.told().contains("/authorize?"));
            let answer = login.answer_of("sandbox_user=0");
            let code = answer.split("code=").nth(1).and_then(|rest| rest.split('&').next()).expect("a code").to_owned();
            assert_eq!(visit(&answer).0, 200);
            let ended = login.end();
            assert_eq!(ended.code, Some(0), "{}", ended.told());
            let is_loud = ended.stderr.contains("TRACE") && ended.stderr.contains("hyper");
            assert!(is_loud || filter == "trace", "the libraries are heard: {}", ended.told());
            assert!(code.len() > 20 && !ended.told().contains(&code), "{}", ended.told());
            assert_no_secrets(&database, &[&ended.stdout, &ended.stderr]);
        }
    }
}

#[test]
fn a_login_that_nobody_answers_ends_in_time_and_frees_its_port() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), small());
    let login = Login::start(&database, &sandbox, &["--timeout", "1s"]);
    let answer = login.answer_of("sandbox_user=0");
    ended_with_one_reason(&login.end(), 4, "nobody signed in within 1 s");
    let port: u16 =
        answer.split(':').nth(2).and_then(|rest| rest.split('/').next()).expect("a port").parse().expect("a number");
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    assert_eq!(database.count("accounts"), 0);
}

#[test]
fn a_stop_ends_the_login_at_once() {
    for signal in ["INT", "TERM"] {
        let (database, sandbox) = (Database::new(Backend::Sqlite), small());
        let login = Login::start(&database, &sandbox, &[]);
        login.url();
        // The signal handler is installed before the address is answered.
        assert_eq!(visit(&login.answer_of("sandbox_user=0").replace("state=", "state=x")).0, 400);
        login.running.signal(signal);
        let ended = login.end();
        ended_with_one_reason(&ended, 130, "stopped; nobody was signed in");
        assert!(ended.took < Duration::from_secs(20), "{}", ended.told());
        assert_eq!(database.count("accounts"), 0);
    }
}

#[test]
fn permissions_that_were_not_granted_are_named_with_what_they_are_for() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), small());
    sandbox.configure(json!({ "granted_scopes": "user-library-read user-read-private playlist-read-private playlist-read-collaborative" }));
    let login = Login::start(&database, &sandbox, &[]);
    let (status, page) = login.agree(0);
    assert!(status == 200 && page.contains("Not all permissions were granted"), "{page}");
    let ended = login.end();
    assert_eq!(ended.code, Some(0), "{}", ended.told());
    for missing in [
        "user-read-playback-position: saved episodes",
        "user-follow-read: followed artists",
        "user-read-recently-played: the listening history",
    ] {
        assert!(ended.stdout.contains(&format!("missing      {missing} cannot be read")), "{}", ended.told());
    }
    let account = &status_of(&database, &sandbox)["accounts"][0];
    let expected = json!(["user-read-playback-position", "user-follow-read", "user-read-recently-played"]);
    assert_eq!(account["missing_scopes"], expected);
    let text = Segno::on(&database, &sandbox, &["status"]).succeed().stdout;
    assert!(text.contains("missing permission user-follow-read: followed artists cannot be read"), "{text}");
    sync(&database, &sandbox, &["tracks", "albums", "playlists"]).succeed();
    // The rest continues, and reports what it leaves out.
    let ended = sync(&database, &sandbox, &[]).succeed();
    let told = "episodes: left out, since the sign-in lacks user-read-playback-position; \"segno login\" asks for it";
    assert!(ended.stderr.contains(told) && ended.stderr.contains("artists: left out"), "{}", ended.told());
    assert_eq!(sandbox.requests("episodes") + sandbox.requests("artists"), 0, "{}", ended.told());
    let ended = sync(&database, &sandbox, &["episodes"]).run();
    assert!(ended.code == Some(4) && ended.told().contains("segno login"), "{}", ended.told());
}

#[test]
fn a_port_of_the_settings_is_the_one_that_is_used() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), small());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let segno = || Segno::on(&database, &sandbox, &["login"]).env("SEGNO_LOGIN_PORT", &port.to_string());
    let refused = segno().run();
    refused.assert_refused(1, &[&format!("cannot listen on 127.0.0.1:{port}"), "login.port", "--no-browser"]);
    drop(taken);
    // If that port is registered, no other works.
    let redirect = format!("http://127.0.0.1:{port}/callback");
    sandbox.configure(json!({ "redirect_uris": [redirect] }));
    let login = Login::start_with(segno(), &database);
    assert!(login.answer_of("sandbox_user=0").starts_with(&redirect));
    assert_eq!(login.agree(0).0, 200);
    assert_eq!(login.end().code, Some(0));
}

#[test]
fn a_database_that_others_could_read_is_closed_before_tokens_are_in_it() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), small());
    std::fs::write(database.file(), "").expect("a file");
    std::fs::set_permissions(database.file(), std::fs::Permissions::from_mode(0o644)).expect("a mode");
    Login::complete(&database, &sandbox, 0);
    let mode = std::fs::metadata(database.file()).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
}

#[test]
fn a_purge_asks_on_a_terminal_and_takes_only_a_yes() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), small());
    let id = text(&Login::complete(&database, &sandbox, 0).json()["spotify_id"]);
    let purge = |answer: &str| {
        let script =
            format!("printf '{answer}\\n' | script --quiet --return --command \"$(printf '%q ' \"$@\")\" /dev/null");
        Segno::on(&database, &sandbox, &["purge", &id]).through(&script).run()
    };
    let kept = purge("no");
    assert_eq!(kept.code, Some(1), "{}", kept.told());
    assert!(
        kept.stdout.contains("It cannot be undone.") && kept.stdout.contains("nothing was removed"),
        "{}",
        kept.told()
    );
    assert_eq!(database.count("accounts"), 1);
    let gone = purge("yes");
    assert_eq!(gone.code, Some(0), "{}", gone.told());
    assert_eq!(database.count("accounts"), 0);
}

fn small() -> Sandbox {
    Sandbox::exact(120, 20, 10, 2, 30)
}

/// Each answer is delayed, so that others can act meanwhile.
fn slow() -> Sandbox {
    let sandbox = Sandbox::exact(4000, 0, 0, 0, 0);
    sandbox.configure(json!({ "latency_ms": 150 }));
    sandbox
}

fn two_people() -> Sandbox {
    Sandbox::start(&[
        "--users",
        "2",
        "--no-odd-rows",
        "--tracks",
        "60",
        "--albums",
        "5",
        "--artists",
        "5",
        "--playlists",
        "1",
        "--playlist-items",
        "10",
    ])
}

/// Two libraries that share a track, its album and artist, and a playlist.
fn overlapping_libraries(sandbox: &Sandbox) {
    let id = |name: &str| format!("{name:0>22}");
    let track = |name: &str, by: &str, of: &str| json!({ "id": id(name), "name": name, "artists": [{ "id": id(by), "name": by }], "album": { "id": id(of), "name": of } });
    let playlist = |name: &str, items: &[&str]| json!({ "id": id(name), "name": name, "items": items.iter().map(|item| id(item)).collect::<Vec<_>>() });
    let shared = track("both", "artistboth", "albumboth");
    let library = |own: &str| {
        json!({
            "tracks": [shared, track(own, &format!("artist{own}"), &format!("album{own}"))],
            "artists": [{ "id": id(&format!("follow{own}")), "name": own }],
            "playlists": [playlist("listboth", &["both"]), playlist(&format!("list{own}"), &["both", own])],
        })
    };
    sandbox.post("library", &library("one"));
    sandbox.post("library?user=1", &library("two"));
}

/// Tokens are granted, but not whose they are.
fn refuse_who_it_is(sandbox: &Sandbox) {
    let not_listed = "{\"error\":{\"status\":403,\"message\":\"User not registered in the Developer Dashboard\"}}";
    sandbox.rules(json!([{ "family": "me", "do": { "kind": "status", "status": 403, "body": not_listed } }]));
}

/// Only one answer has said so.
fn assert_doubted_for(ended: &Ended, why: &str) {
    assert_eq!(ended.code, Some(4), "{}", ended.told());
    let told = ended.told();
    assert!(told.contains(&format!("rejects the refresh token as invalid ({why})")), "{told}");
    assert!(told.contains("sent once more after") && !told.contains("sign in again"), "{told}");
    ended.assert_calm();
}

fn assert_refused_for(ended: &Ended, why: &str) {
    assert_eq!(ended.code, Some(4), "{}", ended.told());
    assert!(ended.told().contains(&format!("the refresh token was refused ({why})")), "{}", ended.told());
    ended.assert_calm();
}

fn sync(database: &Database, sandbox: &Sandbox, args: &[&str]) -> Segno {
    Segno::on(database, sandbox, &[&["sync"], args].concat()).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN")
}

fn status_of(database: &Database, sandbox: &Sandbox) -> Value {
    Segno::on(database, sandbox, &["status", "--json"]).succeed().json()
}

/// Requests to the API and to the token endpoint.
fn asked(sandbox: &Sandbox) -> (u64, u64) {
    let stats = sandbox.get("stats");
    (stats["requests"].as_u64().expect("a number"), stats["token_requests"].as_u64().expect("a number"))
}

fn tracks_of(database: &Database, spotify_id: &str) -> BTreeSet<String> {
    let sql = format!(
        "SELECT s.track_id AS line FROM saved_tracks s JOIN accounts a ON a.id = s.account_id WHERE a.spotify_id = '{spotify_id}'"
    );
    database.lines(&sql).into_iter().collect()
}

fn saved(sandbox: &Sandbox, user: usize) -> BTreeSet<String> {
    let state = sandbox.get(&format!("state?user={user}"));
    state["tracks"].as_array().expect("a listing").iter().map(|track| text(&track["id"])).collect()
}

fn post_form(url: &str, form: String) -> Value {
    block_on(async {
        let request = http::client().post(url).header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(form).send().await.expect("the sandbox answers");
        serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON")
    })
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// Asserts that it failed for one reason, shown in its last line.
fn ended_with_one_reason(ended: &Ended, code: i32, reason: &str) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{}", ended.told());
    let complaints: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("segno: ")).collect();
    assert_eq!(complaints.len(), 1, "{}", ended.told());
    assert!(complaints[0].contains(reason), "{}", ended.told());
    ended.assert_calm();
}

fn assert_no_secrets(database: &Database, texts: &[&str]) {
    let mut secrets = database.lines("SELECT refresh_token AS line FROM account_tokens");
    secrets.extend(database.lines("SELECT access_token AS line FROM account_tokens WHERE access_token IS NOT NULL"));
    assert!(secrets.len() >= 2 && secrets.iter().all(|secret| secret.len() > 20));
    for secret in &secrets {
        assert!(texts.iter().all(|text| !text.contains(secret.as_str())), "a token was told");
    }
    assert!(texts.iter().all(|text| !text.contains("code_verifier") && !text.contains("code=A")), "{texts:?}");
}
