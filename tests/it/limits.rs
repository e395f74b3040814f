//! The gate against an API with unknown limits: pauses end with a single probing request, quotas stop one family,
//! nothing is sent early whatever is restarted or killed when, and what was learned and counted is remembered.

use super::support::{Backend, Database, Sandbox, Segno, both, wait_until};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::time::Duration;

/// Without `rate_limit.requests`, in windows of a second.
fn learning(database: &Database, sandbox: &Sandbox, args: &[&str]) -> Segno {
    Segno::on(database, sandbox, args).without_env("SEGNO_RATE_LIMIT_REQUESTS").env("SEGNO_RATE_LIMIT_WINDOW", "1s")
}

/// Status and arrival of the requests to the Web API, in order.
fn arrivals(sandbox: &Sandbox) -> Vec<(u64, u64)> {
    let entries = sandbox.get("log").as_array().expect("a log").clone();
    let to_api = entries.iter().filter(|entry| entry["path"].as_str().is_some_and(|path| path.starts_with("/v1/")));
    to_api.map(|entry| (number(&entry["at_ms"]), number(&entry["status"]))).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no time"))
}

fn rate_limited(retry_after: &str) -> Value {
    json!([{ "family": "*", "skip": 9, "times": 1, "do": { "kind": "rate_limited", "retry_after": retry_after } }])
}

both! {
    fn after_a_rate_pause_one_request_tries_before_the_others(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(730, 120, 60, 4, 60));
        sandbox.rules(rate_limited("2"));
        // Long enough to see whether another request follows before the answer.
        sandbox.configure(json!({ "latency_ms": 300 }));
        let ended = Segno::on(&database, &sandbox, &["sync"]).succeed();
        let log = arrivals(&sandbox);
        let refused = log.iter().position(|(_, status)| *status == 429).expect("a refusal");
        let (paused_at, _) = log[refused];
        let after: Vec<u64> = log.iter().map(|(at, _)| *at).filter(|at| *at >= paused_at + 1000).collect();
        assert!(after[0] >= paused_at + 2000, "{log:?}");
        assert!(after[1] >= after[0] + 290, "one tries, and its answer takes 300 ms: {after:?}");
        assert_eq!((sandbox.stat("early"), sandbox.stat("refused")), (0, 1 + sandbox.stat("crossed")));
        let told = ended.stderr.lines().filter(|line| line.contains("limited by the API")).count();
        assert_eq!(told, 1, "{}", ended.told());
        sandbox.library().assert_held_by(&database);
    }

    fn a_process_killed_in_a_pause_is_followed_by_one_that_waits_and_tries_once(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(730, 120, 60, 4, 60));
        sandbox.rules(rate_limited("6"));
        sandbox.configure(json!({ "latency_ms": 300 }));
        let running = Segno::on(&database, &sandbox, &["sync"]).spawn();
        wait_until("the pause is noted", || {
            database.has_tables() && database.count("rate_limits WHERE class = 'rate'") == 1
        });
        running.kill();
        database.settle();
        let sent = sandbox.requests("*");
        let ended = Segno::on(&database, &sandbox, &["sync"]).succeed();
        let log = arrivals(&sandbox);
        let after: Vec<u64> = log.iter().map(|(at, _)| *at).skip(sent as usize).collect();
        let (paused_at, _) = *log.iter().find(|(_, status)| *status == 429).expect("a refusal");
        assert!(after[0] >= paused_at + 6000 && after[1] >= after[0] + 290, "{paused_at}, {after:?}");
        assert_eq!(sandbox.stat("early"), 0, "{}", ended.told());
        sandbox.library().assert_held_by(&database);
    }

    fn a_process_killed_in_a_quota_pause_is_followed_by_one_that_leaves_the_family_alone(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(730, 120, 60, 4, 60));
        sandbox.rules(json!([{ "family": "albums", "skip": 1, "times": 1,
            "do": { "kind": "quota", "retry_after": "49861" } }]));
        sandbox.configure(json!({ "latency_ms": 100 }));
        let running = Segno::on(&database, &sandbox, &["sync"]).spawn();
        wait_until("the pause is noted", || {
            database.has_tables() && database.count("rate_limits WHERE class = 'quota'") == 1
        });
        running.kill();
        database.settle();
        let sent = sandbox.requests("albums");
        let ended = Segno::on(&database, &sandbox, &["sync", "--json"]).run();
        assert_eq!(ended.code, Some(3), "{}", ended.told());
        for entity in ["tracks", "artists", "playlists"] {
            assert_eq!(ended.entity(entity)["state"], "complete", "{}", ended.told());
        }
        assert_eq!((sandbox.requests("albums"), sandbox.stat("early")), (sent, 0), "{}", ended.told());
    }

    fn a_daily_ceiling_stops_its_family_and_status_says_so(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(730, 120, 60, 4, 60));
        let segno = |args: &[&str]| {
            Segno::on(&database, &sandbox, args).env("SEGNO_RATE_LIMIT_DAILY_TRACKS", "6")
        };
        let ended = segno(&["sync", "--json"]).run();
        assert_eq!((ended.code, sandbox.requests("tracks")), (Some(3), 6), "{}", ended.told());
        for entity in ["artists", "albums", "playlists"] {
            assert_eq!(ended.entity(entity)["state"], "complete", "{}", ended.told());
        }
        assert!(ended.stderr.contains("tracks: paused by the daily ceiling until "), "{}", ended.told());
        // It follows from what was counted, in this process and in the next.
        assert_eq!(database.count("rate_limits WHERE blocked_until IS NOT NULL"), 0);
        assert_eq!(database.number("sum(requests)", "request_ledger WHERE family = 'tracks'"), 6);
        let again = segno(&["sync", "--json"]).run();
        assert_eq!((again.code, sandbox.requests("tracks")), (Some(3), 6), "{}", again.told());

        let status = segno(&["status", "--json"]).succeed().json();
        let limits = status["limits"].as_array().expect("limits");
        assert_eq!((limits.len(), &limits[0]["family"], &limits[0]["class"]), (1, &json!("tracks"), &json!("ceiling")));
        let left = time(&limits[0]["blocked_until"]) - Utc::now();
        assert!((1420..=1446).contains(&left.num_minutes()), "{left}");
        let forecast = &status["forecast"][0];
        assert_eq!((&forecast["family"], &forecast["left_today"]), (&json!("tracks"), &json!(0)));
        assert_eq!(forecast["class"], "ceiling");
        assert!(number(&forecast["remaining_requests"]) > 3, "{status}");
        assert!(time(&forecast["done_at"]) >= time(&limits[0]["blocked_until"]), "{status}");
        let text = segno(&["status"]).succeed().stdout;
        assert!(text.lines().any(|l| l.starts_with("tracks: paused until ") && l.ends_with(" (daily ceiling)")), "{text}");
        assert!(text.contains(" more requests, 0 left today, done about "), "{text}");

        // Without the ceiling it continues.
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        sandbox.library().assert_held_by(&database);
    }

    fn a_hidden_limit_is_learned_and_remembered(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(4_000, 300, 100, 4, 60));
        sandbox.configure(json!({ "rate": { "max": 12, "window_ms": 1000 } }));
        let ended = learning(&database, &sandbox, &["sync"]).succeed();
        let refused = sandbox.stat("refused");
        assert!((1..=4).contains(&refused), "{refused} refusals: {}", ended.told());
        assert_eq!(sandbox.stat("early"), 0, "{}", ended.told());
        let learned: f64 = database.value("learned_rate", "rate_limits WHERE family = '*'").parse().expect("a rate");
        assert!((9.0..=13.0).contains(&learned), "{learned}");
        sandbox.library().assert_held_by(&database);

        sandbox.forget_requests();
        Segno::on(&database, &sandbox, &["reset", "--all"]).succeed();
        // Time for the first run's requests to leave the window.
        std::thread::sleep(Duration::from_millis(1100));
        let ended = learning(&database, &sandbox, &["sync", "albums", "artists"]).succeed();
        let (refused, busiest) = (sandbox.stat("refused"), sandbox.stat("max_in_window"));
        assert_eq!(refused, 0, "it knows the limit: {}", ended.told());
        assert!((8..=12).contains(&busiest), "{busiest} in the busiest window: {}", ended.told());
    }

    fn whatever_retry_after_says_nothing_goes_out_early_and_nothing_breaks(backend) {
        let soon = (Utc::now() + chrono::TimeDelta::seconds(4)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let never = json!(null);
        for (retry_after, stops_family) in [
            (json!("1"), false),
            (json!(soon), false),
            (json!("86400"), true),
            (json!("99999999999999999999"), true),
            (json!("soon"), true),
            (json!("-5"), true),
            (never, true),
        ] {
            let (database, sandbox) = (Database::new(backend), Sandbox::exact(330, 120, 60, 2, 60));
            let mut headers = json!({});
            if !retry_after.is_null() {
                headers["Retry-After"] = retry_after.clone();
            }
            sandbox.rules(json!([{ "family": "albums", "skip": 1, "times": 1,
                "do": { "kind": "status", "status": 429, "headers": headers } }]));
            let ended = Segno::on(&database, &sandbox, &["sync", "--json", "--max-wait", "20s"]).run();
            ended.assert_calm();
            assert_eq!(sandbox.stat("early"), 0, "{retry_after}: {}", ended.told());
            let (code, state) = if stops_family { (3, "paused") } else { (0, "complete") };
            assert_eq!((ended.code, &ended.entity("albums")["state"]), (Some(code), &json!(state)), "{retry_after}: {}", ended.told());
            assert_eq!(ended.entity("tracks")["state"], "complete", "{retry_after}: {}", ended.told());
        }
    }
}

/// Counted by the sandbox itself, not by us.
#[test]
fn no_window_holds_more_than_was_configured_through_restarts_and_kills() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(4_000, 300, 100, 4, 60));
    sandbox.configure(json!({ "rate": { "max": 1000, "window_ms": 2000 }, "latency_ms": 50 }));
    let sync = || {
        let sync = Segno::on(&database, &sandbox, &["sync"]);
        sync.env("SEGNO_RATE_LIMIT_REQUESTS", "15").env("SEGNO_RATE_LIMIT_WINDOW", "2s")
    };
    for _ in 0..3 {
        let before = sandbox.requests("*");
        let running = sync().spawn();
        wait_until("a window is nearly full", || sandbox.requests("*") >= before + 13);
        running.kill();
    }
    let ended = sync().succeed();
    assert_eq!(sandbox.stat("refused"), 0, "{}", ended.told());
    let busiest = sandbox.stat("max_in_window");
    assert!((12..=15).contains(&busiest), "{busiest}: {}", ended.told());
    sandbox.library().assert_held_by(&database);
}
