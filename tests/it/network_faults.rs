//! Network faults between us and the API: truncated bodies, pages of HTML, bursts of 5xx, connections that hang or are
//! refused, expired tokens, missing permissions, limits of every kind. All of it only delays, or says in a sentence
//! what a person has to do.

use super::support::{Backend, Database, Ended, Sandbox, Segno, both, wait_until};
use serde_json::{Value, json};
use std::{net::TcpListener, time::Duration};

/// Requests that a sync of [`library`] costs.
const NUM_REQUESTS: u64 = 44;

fn library() -> Sandbox {
    Sandbox::exact(1000, 120, 60, 6, 60)
}

/// A first sync under these rules that ends well, with the whole library and without gaps.
fn weathers(backend: Backend, rules: Value) -> (Sandbox, Database, Ended) {
    let (database, sandbox) = (Database::new(backend), library());
    sandbox.rules(rules);
    let ended = Segno::on(&database, &sandbox, &["sync"]).env("SEGNO_SPOTIFY_TIMEOUT", "1s").succeed();
    assert_whole(&sandbox, &database);
    (sandbox, database, ended)
}

fn assert_whole(sandbox: &Sandbox, database: &Database) {
    sandbox.library().assert_held_by(database);
    assert_eq!(database.rows("sync_gaps"), [""; 0]);
    assert_eq!(database.count("saved_tracks WHERE removed_at IS NOT NULL"), 0);
}

/// How often each rule was applied.
fn strikes(sandbox: &Sandbox) -> Vec<u64> {
    let rules = sandbox.get("rules")["rules"].as_array().expect("rules").clone();
    rules.iter().map(|rule| rule["applied"].as_u64().expect("a number")).collect()
}

/// The same fault for a few requests of every family, first pages and later ones.
fn everywhere(trouble: Value) -> Value {
    json!([
        { "family": "tracks", "skip": 2, "times": 3, "do": trouble },
        { "family": "albums", "times": 1, "do": trouble },
        { "family": "artists", "skip": 1, "times": 1, "do": trouble },
        { "family": "playlists", "times": 1, "do": trouble },
        { "family": "playlist_items", "skip": 4, "times": 2, "do": trouble },
        { "family": "me", "times": 1, "do": trouble },
    ])
}

/// Each failed request is sent once more, and no other.
fn only_costs_a_second_try(trouble: Value) {
    let (sandbox, _, ended) = weathers(Backend::Sqlite, everywhere(trouble));
    let num_strikes: u64 = strikes(&sandbox).iter().sum();
    assert_eq!(num_strikes, 9);
    assert_eq!(sandbox.requests("*"), NUM_REQUESTS + num_strikes, "{}", ended.told());
}

#[test]
fn bodies_cut_short_are_asked_for_again() {
    only_costs_a_second_try(json!({ "kind": "cut", "bytes": 600 }));
    only_costs_a_second_try(json!({ "kind": "cut", "bytes": 0 }));
}

#[test]
fn truncated_json_is_asked_for_again() {
    only_costs_a_second_try(json!({ "kind": "truncate", "bytes": 600 }));
    only_costs_a_second_try(json!({ "kind": "truncate", "bytes": 0 }));
}

#[test]
fn html_is_asked_for_again_whatever_its_status() {
    let page = "<!DOCTYPE html><html><body><h1>We'll be right back</h1></body></html>";
    for status in [200, 502] {
        only_costs_a_second_try(
            json!({ "kind": "status", "status": status, "body": page, "content_type": "text/html" }),
        );
    }
}

/// A 200 that is JSON but not a page: neither the end of the listing nor an empty library.
fn json_that_is_no_page(body: &str) {
    only_costs_a_second_try(
        json!({ "kind": "status", "status": 200, "body": body, "content_type": "application/json" }),
    );
}

#[test]
fn json_of_another_shape_is_asked_for_again() {
    let error = r#"{"error":{"status":500,"message":"Server error."}}"#;
    for body in ["{}", "[]", "null", "17", r#"{"items":{},"total":1000}"#, error] {
        json_that_is_no_page(body);
    }
}

#[test]
fn a_page_without_rows_is_asked_for_again() {
    json_that_is_no_page(r#"{"items":null,"total":1000,"next":null}"#);
}

#[test]
fn a_page_without_rows_and_total_is_asked_for_again() {
    json_that_is_no_page(r#"{"items":null}"#);
    json_that_is_no_page(r#"{"items":[]}"#);
}

/// An empty page in the middle, and a total of zero: no item is lost or marked removed, neither in a first run nor
/// later.
#[test]
fn an_empty_page_in_the_middle_loses_nothing() {
    let page = |total: u32| {
        let body = format!(r#"{{"items":[],"total":{total},"next":null,"limit":50,"offset":0}}"#);
        json!({ "kind": "status", "status": 200, "body": body, "content_type": "application/json" })
    };
    for total in [1000, 0] {
        let (sandbox, database, _) =
            weathers(Backend::Sqlite, json!([{ "family": "tracks", "skip": 6, "times": 1, "do": page(total) }]));
        sandbox.rules(json!([{ "family": "tracks", "times": 1, "do": page(total) }]));
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        assert_whole(&sandbox, &database);
    }
}

both! {
    fn a_burst_of_5xx_only_delays(backend) {
        for status in [500, 502, 503, 504] {
            let burst = json!([{ "family": "*", "skip": 9, "times": 12, "do": { "kind": "status", "status": status } }]);
            let (sandbox, _, ended) = weathers(backend, burst);
            assert_eq!(sandbox.requests("*"), NUM_REQUESTS + 12, "{}", ended.told());
        }
    }
}

#[test]
fn a_503_is_asked_again_no_sooner_than_it_says() {
    let busy = json!({ "kind": "status", "status": 503, "headers": { "Retry-After": "3" } });
    let (sandbox, ..) = weathers(Backend::Sqlite, json!([{ "family": "artists", "times": 1, "do": busy }]));
    assert_eq!(sandbox.get("stats")["early"], 0, "{}", sandbox.get("log"));
}

#[test]
fn hung_connections_are_given_up_and_asked_again() {
    let (_, _, ended) = weathers(Backend::Sqlite, everywhere(json!({ "kind": "hang" })));
    assert!(ended.took < Duration::from_secs(20), "{}", ended.told());
}

#[test]
fn an_answer_that_trickles_is_given_up_and_asked_again() {
    // The delay is longer than the timeout of one second.
    let (_, _, ended) = weathers(Backend::Sqlite, everywhere(json!({ "kind": "delay", "ms": 1500 })));
    assert!(ended.took < Duration::from_secs(20), "{}", ended.told());
}

#[test]
fn a_token_endpoint_in_trouble_only_delays() {
    let trouble = |times: u32, action: Value| json!({ "family": "token", "times": times, "do": action });
    let (sandbox, ..) = weathers(
        Backend::Sqlite,
        json!([
            trouble(1, json!({ "kind": "status", "status": 503 })),
            trouble(1, json!({ "kind": "status", "status": 200, "body": "<html>", "content_type": "text/html" })),
            trouble(1, json!({ "kind": "hang" })),
        ]),
    );
    assert_eq!((strikes(&sandbox), sandbox.get("stats")["token_requests"].as_u64()), (vec![1, 1, 1], Some(4)));
}

/// The token is sent to the configured host only.
#[test]
fn a_redirect_to_another_host_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a free port");
    elsewhere.set_nonblocking(true).expect("a socket");
    let location = format!("http://{}/v1/me/tracks", elsewhere.local_addr().expect("an address"));
    let redirect = |status: u16| json!({ "kind": "status", "status": status, "headers": { "Location": location } });
    weathers(
        Backend::Sqlite,
        json!([
            { "family": "tracks", "skip": 1, "times": 2, "do": redirect(302) },
            { "family": "playlist_items", "skip": 1, "times": 1, "do": redirect(307) },
            { "family": "me", "times": 1, "do": redirect(301) },
            { "family": "token", "times": 1, "do": redirect(308) },
        ]),
    );
    let error = elsewhere.accept().expect_err("nobody follows");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

/// The API goes down in the middle, for good: half a minute of patience, then a sentence, and later it continues.
#[test]
fn an_api_that_goes_away_ends_the_run_and_the_next_one_carries_on() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), library());
    sandbox.configure(json!({ "latency_ms": 100 }));
    let address = sandbox.env["SEGNO_SPOTIFY_ACCOUNTS_URL"].trim_start_matches("http://").to_owned();
    let sync = || Segno::on(&database, &sandbox, &["sync"]);
    let running = sync().spawn();
    wait_until("some batches are committed", || database.num_batches() >= 4);
    let again = sync();
    drop(sandbox);
    let ended = running.wait();
    assert_eq!(ended.code, Some(1), "{}", ended.told());
    assert!((15..75).contains(&ended.took.as_secs()), "{}", ended.told());
    assert!(ended.stdout.contains("the API cannot be reached"), "{}", ended.told());
    assert!(ended.stdout.contains("check the network and spotify.api_url"), "{}", ended.told());
    let held = database.num_batches();

    let sandbox = Sandbox::exact_with([1000, 120, 60, 6, 60], [0; 3], &["--listen", &address]);
    again.succeed();
    sandbox.library().assert_held_by(&database);
    assert!(held >= 4 && sandbox.requests("*") < NUM_REQUESTS, "{} requests", sandbox.requests("*"));
}

#[test]
fn an_expired_access_token_is_renewed_once_for_all() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), library());
    sandbox.configure(json!({ "latency_ms": 50 }));
    let running = Segno::on(&database, &sandbox, &["sync"]).spawn();
    wait_until("requests are under way", || sandbox.requests("*") >= 12);
    sandbox.configure(json!({ "expire_access_tokens": true }));
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.told());
    assert_whole(&sandbox, &database);
    let stats = sandbox.get("stats");
    // Every request in flight got a 401; one of them renewed the token for all.
    assert!(stats["by_status"]["401"].as_u64() >= Some(1), "{stats}");
    assert_eq!(stats["token_requests"], 2, "{stats}");
}

both! {
    fn tokens_that_end_every_other_second_are_renewed_and_kept(backend) {
        let sandbox = Sandbox::start(&[
            "--token-ttl", "2s", "--latency", "350ms", "--no-odd-rows", "--tracks", "2600", "--albums", "120",
            "--artists", "60", "--playlists", "6", "--playlist-items", "60",
        ]);
        sandbox.configure(json!({ "rotate_refresh_token": true }));
        let database = Database::new(backend);
        let ended = Segno::on(&database, &sandbox, &["sync"]).succeed();
        assert!(ended.took > Duration::from_secs(6), "{}", ended.told());
        assert_whole(&sandbox, &database);
        let stats = sandbox.get("stats");
        assert!(stats["token_refreshes"].as_u64() >= Some(3), "{stats}");
        assert_eq!(stats["token_requests"], stats["token_refreshes"], "a rotated token was lost: {stats}");
        assert_eq!(stats["by_status"]["401"], Value::Null, "renewed before it ended: {stats}");
        // The refresh token of the environment has long been replaced.
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        Segno::on(&database, &sandbox, &["sync"]).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN").succeed();
    }
}

/// Spotify has called valid refresh tokens void, so one answer ends no sign-in.
#[test]
fn a_revoked_sign_in_asks_for_another_and_for_nothing_else() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), library());
    sandbox.configure(json!({ "latency_ms": 50 }));
    // A token that was called void is sent once more after five minutes: here after three seconds.
    let sync = || Segno::on(&database, &sandbox, &["sync"]).env("SEGNO_FAULT_HASTE", "100");
    let running = sync().spawn();
    wait_until("some batches are committed", || database.num_batches() >= 3);
    sandbox.configure(json!({ "revoke_refresh_token": true, "expire_access_tokens": true }));
    let ended = running.wait();
    let held = database.num_batches();
    assert_eq!(ended.code, Some(1), "{}", ended.told());
    assert!(ended.stdout.contains("rejects the refresh token as invalid"), "{}", ended.told());
    let requests = sandbox.requests("*");
    assert_eq!(sandbox.get("stats")["token_requests"], 2, "{}", ended.told());
    let trouble = status(&database, &sandbox)["accounts"][0]["token_trouble"].clone();
    assert!(trouble["doubted_at"].is_string() && trouble["retry_at"].is_string(), "{trouble}");

    std::thread::sleep(
        until(&trouble["retry_at"]).signed_duration_since(chrono::Utc::now()).to_std().unwrap_or_default(),
    );
    let ended = sync().run();
    assert_eq!(ended.code, Some(4), "{}", ended.told());
    assert!(ended.told().contains("sign in again"), "{}", ended.told());
    assert_eq!(sandbox.get("stats")["token_requests"], 3, "{}", ended.told());
    for _ in 0..2 {
        assert_eq!(sync().run().code, Some(4));
    }
    assert_eq!(sandbox.get("stats")["token_requests"], 3, "{}", sandbox.get("stats"));
    assert!(sandbox.requests("*") <= requests + 16, "{}", ended.told());
    assert_eq!(database.num_batches(), held, "what was committed stays");
}

/// A sign-in that is refused from the start.
#[test]
fn a_refresh_token_that_is_nobodys_asks_for_another() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), library());
    let sync = Segno::on(&database, &sandbox, &["sync"]).env("SEGNO_SPOTIFY_REFRESH_TOKEN", "AQ-nobodys");
    let ended = sync.run();
    assert_eq!(ended.code, Some(4), "{}", ended.told());
    assert!(ended.stderr.contains("check SEGNO_SPOTIFY_REFRESH_TOKEN"), "{}", ended.told());
    assert!(!ended.told().contains("AQ-nobodys"), "{}", ended.told());
    let stats = sandbox.get("stats");
    assert_eq!((&stats["token_requests"], &stats["requests"]), (&json!(1), &json!(0)), "{stats}");
}

/// A meaning of 403: the API's answer, and the message for a person.
struct Forbidden {
    family: &'static str,
    entity: &'static str,
    body: Option<&'static str>,
    code: i32,
    words: &'static str,
}

const NOT_REGISTERED: &str = r#"{"error":{"status":403,"message":"User not registered in the Developer Dashboard"}}"#;
const NOT_PREMIUM: &str = "Active premium subscription required for the owner of the app. If you recently changed \
                           your subscription status, it can take a few hours.";
const CLOSED: &str = r#"{"error":{"status":403,"message":"This endpoint is deprecated"}}"#;
const NO_SCOPE: &str = r#"{"error":{"status":403,"message":"Insufficient client scope"}}"#;

#[test]
fn every_403_says_what_to_do_and_is_asked_once_more_at_most() {
    let meanings = [
        Forbidden { family: "tracks", entity: "tracks", body: Some(NOT_PREMIUM), code: 1, words: "Premium" },
        Forbidden { family: "tracks", entity: "tracks", body: Some(NOT_REGISTERED), code: 1, words: "User Management" },
        Forbidden { family: "tracks", entity: "tracks", body: Some(NO_SCOPE), code: 4, words: "sign in again" },
        Forbidden { family: "tracks", entity: "tracks", body: None, code: 1, words: "leave it out of sync.entities" },
        Forbidden { family: "tracks", entity: "tracks", body: Some(CLOSED), code: 1, words: "is closed to this" },
        Forbidden {
            family: "playlist_items",
            entity: "playlists",
            body: Some(NO_SCOPE),
            code: 4,
            words: "sign in again",
        },
    ];
    for Forbidden { family, entity, body, code, words } in meanings {
        let (database, sandbox) = (Database::new(Backend::Sqlite), library());
        // After eight pages two batches of tracks are committed.
        let action = json!({ "kind": "forbidden", "body": body });
        sandbox.rules(json!([{ "family": family, "skip": 8, "do": action }]));
        let ended = Segno::on(&database, &sandbox, &["sync", "--json"]).run();
        assert_eq!(ended.code, Some(code), "{body:?}: {}", ended.told());
        for of in ["tracks", "artists", "albums", "playlists"] {
            let report = ended.entity(of);
            assert_eq!(report["state"], if of == entity { "failed" } else { "complete" }, "{of}: {}", ended.told());
            let error = report["error"].as_str().unwrap_or_default();
            assert!(of != entity || error.contains(words), "{error}");
        }
        // Only requests in flight meet it: one batch being fetched ahead, and each page twice.
        let refused = sandbox.get("stats")["by_status"]["403"].as_u64().expect("some");
        assert!((1..=16).contains(&refused), "{body:?}: {refused} refused; {}", ended.told());
        let shown = status(&database, &sandbox);
        let entities = shown["accounts"][0]["entities"].as_array().expect("entities");
        let shown = entities.iter().find(|shown| shown["entity_type"] == entity).expect("the entity type");
        assert_eq!(shown["state"], "failed", "{shown}");
        assert!(shown["offset"].as_u64() > Some(0), "the checkpoint is kept: {shown}");
        assert!(shown["error"].as_str().is_some_and(|error| error.contains(words)), "{shown}");

        sandbox.rules(json!([]));
        let before = sandbox.requests(family);
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        assert_whole(&sandbox, &database);
        assert!(sandbox.requests(family) - before <= 15, "{family}: {}", sandbox.get("log"));
    }
}

#[test]
fn a_403_at_the_sign_in_says_what_to_do_and_is_not_asked_again() {
    for (body, code, words) in
        [(NOT_PREMIUM, 1, "Premium"), (NOT_REGISTERED, 1, "User Management"), (NO_SCOPE, 4, "sign in again")]
    {
        let (database, sandbox) = (Database::new(Backend::Sqlite), library());
        sandbox.rules(json!([{ "family": "me", "do": { "kind": "forbidden", "body": body } }]));
        let ended = Segno::on(&database, &sandbox, &["sync"]).run();
        assert_eq!(ended.code, Some(code), "{}", ended.told());
        assert!(ended.stderr.contains(words), "{}", ended.told());
        assert_eq!(sandbox.requests("*"), 1, "{}", ended.told());
    }
}

/// The fifth meaning: a playlist that we may not read is no failure.
#[test]
fn a_forbidden_playlist_keeps_its_metadata_and_fails_nothing() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), library());
    let state = sandbox.library().state;
    let refused = state["playlists"][2]["id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/playlists/{refused}/items");
    sandbox.rules(json!([{ "path_prefix": path, "do": { "kind": "forbidden", "body": null } }]));
    for _ in 0..2 {
        let ended = Segno::on(&database, &sandbox, &["sync"]).succeed();
        assert_eq!(database.count(&format!("playlist_items WHERE playlist_id = '{refused}'")), 0, "{}", ended.told());
        assert_eq!(database.count("library_playlists WHERE removed_at IS NULL"), 6);
    }
    // It is the person's own, so no refusal makes it unreadable, and it is read again.
    assert_eq!(database.count("playlists WHERE items_readable"), 6);
    sandbox.rules(json!([]));
    database.end_cooldowns();
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    sandbox.library().assert_held_by(&database);
}

fn status(database: &Database, sandbox: &Sandbox) -> Value {
    Segno::on(database, sandbox, &["status", "--json"]).succeed().json()
}

#[test]
fn a_429_without_a_usable_retry_after_stops_its_family_for_an_hour_first() {
    for retry_after in [Value::Null, json!("soon"), json!("-5"), json!("")] {
        let (database, sandbox) = (Database::new(Backend::Sqlite), library());
        sandbox.rules(json!([{ "family": "albums", "skip": 1,
            "do": { "kind": "rate_limited", "retry_after": retry_after } }]));
        let ended = Segno::on(&database, &sandbox, &["sync", "--json"]).run();
        assert_eq!(ended.code, Some(3), "{retry_after}: {}", ended.told());
        for (entity, state) in [("tracks", "complete"), ("albums", "paused"), ("playlists", "complete")] {
            assert_eq!(ended.entity(entity)["state"], state, "{}", ended.told());
        }
        let limits = status(&database, &sandbox)["limits"].clone();
        assert_eq!((&limits[0]["family"], &limits[0]["class"]), (&json!("albums"), &json!("quota")), "{limits}");
        let left = until(&limits[0]["blocked_until"]) - chrono::Utc::now();
        assert!((58..=60).contains(&left.num_minutes()), "one answer ends no day: {limits}");
        // Requests in flight may be refused as well; nothing is retried.
        assert!(sandbox.get("stats")["refused"].as_u64() <= Some(2), "{}", sandbox.get("stats"));
    }
}

fn until(at: &Value) -> chrono::DateTime<chrono::Utc> {
    at.as_str().and_then(|at| at.parse().ok()).unwrap_or_else(|| panic!("{at} is no time"))
}

#[test]
fn a_429_that_names_a_date_is_sat_out() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), library());
    let date = (chrono::Utc::now() + chrono::TimeDelta::seconds(5)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    sandbox.rules(json!([{ "family": "tracks", "skip": 5, "times": 1,
        "do": { "kind": "rate_limited", "retry_after": date } }]));
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    assert_whole(&sandbox, &database);
    let log = sandbox.get("log").as_array().expect("a log").clone();
    let at = |entry: &Value| entry["at_ms"].as_u64().expect("a time");
    let refused = log.iter().find(|entry| entry["status"] == 429).expect("the refusal");
    // Dates are whole seconds, and requests that had left before the answer arrived are excused.
    let early: Vec<_> = log.iter().filter(|entry| at(entry) > at(refused) + 200).collect();
    assert!(early.first().is_some_and(|entry| at(entry) >= at(refused) + 3_000), "{early:?}");
}

#[test]
fn a_429_that_says_zero_is_asked_again() {
    let zero = json!([{ "family": "tracks", "skip": 5, "times": 2,
        "do": { "kind": "rate_limited", "retry_after": "0" } }]);
    let (sandbox, ..) = weathers(Backend::Sqlite, zero);
    assert_eq!(sandbox.requests("*"), NUM_REQUESTS + 2);
}

both! {
    fn a_used_up_quota_stops_its_family_alone_and_outlasts_the_process(backend) {
        let numbers = ["--tracks", "1000", "--albums", "300", "--artists", "60", "--playlists", "6"];
        let sandbox = Sandbox::start(
            &[&["--quota", "albums=2", "--no-odd-rows", "--playlist-items", "60"], &numbers[..]].concat(),
        );
        let database = Database::new(backend);
        let ended = Segno::on(&database, &sandbox, &["sync"]).run();
        assert_eq!(ended.code, Some(3), "{}", ended.told());
        let until_words = chrono::Local::now() + chrono::TimeDelta::seconds(49_861);
        let until_words = until_words.format("%H:%M").to_string();
        let line = ended.stdout.lines().find(|line| line.starts_with("albums: paused by the daily quota until"));
        assert!(line.is_some_and(|line| line.contains(&until_words) || line.contains(':')), "{}", ended.told());
        let first = sandbox.requests("albums");
        assert!(first <= 6, "two answered, and what was in flight: {}", sandbox.get("log"));

        let ended = Segno::on(&database, &sandbox, &["sync", "--json"]).run();
        assert_eq!(ended.code, Some(3), "{}", ended.told());
        for (entity, state) in
            [("tracks", "complete"), ("artists", "complete"), ("albums", "paused"), ("playlists", "complete")]
        {
            assert_eq!(ended.entity(entity)["state"], state, "{entity}: {}", ended.told());
        }
        assert_eq!(sandbox.requests("albums"), first, "asked during a pause: {}", sandbox.get("log"));
        let shown = status(&database, &sandbox);
        let limits = shown["limits"].as_array().expect("limits");
        assert_eq!(limits.len(), 1, "{shown}");
        assert_eq!((&limits[0]["family"], &limits[0]["class"]), (&json!("albums"), &json!("quota")), "{shown}");
        let left = until(&limits[0]["blocked_until"]) - chrono::Utc::now();
        assert!((49_700..=49_861).contains(&left.num_seconds()), "{shown}");
        let entities = shown["accounts"][0]["entities"].as_array().expect("entities");
        let albums = entities.iter().find(|shown| shown["entity_type"] == "albums").expect("albums");
        assert_eq!((&albums["state"], &albums["resume_at"]), (&json!("paused"), &limits[0]["blocked_until"]));
    }
}

#[test]
fn a_family_goes_on_when_its_quota_is_back() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), library());
    sandbox.configure(json!({ "quota": { "tracks": 9, "playlist_items": 4 }, "quota_retry_after_s": 3 }));
    let ended = Segno::on(&database, &sandbox, &["sync", "--max-wait", "1s"]).run();
    assert_eq!(ended.code, Some(3), "{}", ended.told());
    let mut num_runs = 1;
    while Segno::on(&database, &sandbox, &["sync", "--max-wait", "5s"]).run().code != Some(0) {
        num_runs += 1;
        assert!(num_runs < 8, "{}", sandbox.get("log"));
    }
    assert_whole(&sandbox, &database);
    assert_eq!(sandbox.get("stats")["early"], 0, "{}", sandbox.get("stats"));
}

both! {
    /// The listing counts items, but an answer says that there are none: one of the two is wrong.
    fn a_playlist_that_is_called_empty_keeps_its_items(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(60, 0, 0, 3, 70));
        let called_empty = |id: &str, total: u32| {
            let body = json!({ "items": [], "total": total, "next": null }).to_string();
            json!({ "path_prefix": format!("/v1/playlists/{id}/items"),
                "do": { "kind": "status", "status": 200, "body": body, "content_type": "application/json" } })
        };
        let playlists = sandbox.library().rows("playlists");
        let id = |at: usize| playlists[at]["id"].as_str().expect("an id").to_owned();
        let once = |mut rule: Value| {
            rule["times"] = json!(1);
            // Of its pages, which are in flight together, the first.
            rule["offset_to"] = json!(1);
            rule
        };
        sandbox.rules(json!([once(called_empty(&id(0), 0)), once(called_empty(&id(1), 70))]));
        let ended = Segno::on(&database, &sandbox, &["sync"]).succeed();
        sandbox.assert_rules_applied();
        sandbox.library().assert_held_by(&database);
        assert!(!ended.stdout.contains("none were returned"), "{}", ended.told());

        // This time it does not pass, for one that has changed meanwhile.
        sandbox.edit(json!([{ "op": "playlist_insert", "index": 1, "position": 3, "count": 1 }]));
        for total in [0, 71] {
            database.end_cooldowns();
            sandbox.rules(json!([called_empty(&id(1), total)]));
            sandbox.forget_requests();
            let ended = Segno::on(&database, &sandbox, &["sync"]).succeed();
            let note = "is listed with items, but none were returned";
            assert!(ended.stdout.matches(note).count() == 1, "{}", ended.told());
            assert!(database.state("playlists", "incremental_sync", "error_message").contains(note));
            assert_eq!(database.count(&format!("playlist_items WHERE playlist_id = '{}'", id(1))), 70);
            assert!(sandbox.requests("playlist_items") <= 6, "{}", ended.told());
        }
        sandbox.rules(json!([]));
        database.end_cooldowns();
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        sandbox.library().assert_held_by(&database);
        assert_eq!(database.state("playlists", "incremental_sync", "error_message"), "");
    }

    /// `next` and `total` show whether a listing ends; without them an empty answer is no answer. With them, it takes
    /// two runs to believe that somebody who followed artists follows none.
    fn followed_artists_that_are_answered_with_nothing_stay(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(0, 0, 8, 0, 0));
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        for (body, times, is_asked_again) in [
            (json!({ "artists": { "items": [] } }), 2, true),
            (json!({ "artists": { "items": [], "total": 0, "next": null, "cursors": null } }), 1, false),
        ] {
            let answer = json!({ "kind": "status", "status": 200, "body": body.to_string(), "content_type": "application/json" });
            sandbox.rules(json!([{ "family": "artists", "times": times, "do": answer }]));
            sandbox.forget_requests();
            let ended = Segno::on(&database, &sandbox, &["sync", "artists"]).succeed();
            sandbox.assert_rules_applied();
            assert_eq!(sandbox.requests("artists"), if is_asked_again { 3 } else { 1 }, "{}", ended.told());
            assert_eq!(ended.stdout.contains("8 of 8 artists"), !is_asked_again, "{}", ended.told());
            assert_eq!(database.count("followed_artists WHERE removed_at IS NULL"), 8, "{}", ended.told());
        }
        // If that never changes, the run ends, with everything as it was.
        let endless = json!({ "kind": "status", "status": 200, "body": "{\"artists\":{\"items\":[]}}", "content_type": "application/json" });
        sandbox.rules(json!([{ "family": "artists", "do": endless }]));
        let ended = Segno::on(&database, &sandbox, &["sync", "artists"]).run();
        assert_eq!(ended.code, Some(1), "{}", ended.told());
        sandbox.rules(json!([]));
        Segno::on(&database, &sandbox, &["sync", "artists"]).succeed();
        sandbox.library().assert_held_by(&database);
    }
}
