//! One limit per database: however many processes use it, together they stay within it, respect each other's pauses,
//! and continue at once after a kill. The sandbox counts.

use super::support::{Backend, Database, Login, Sandbox, Segno, both, wait_until};
use serde_json::{Value, json};
use std::time::Duration;

/// Two people, each with a library that takes some thirty requests.
fn two_people() -> Sandbox {
    let args = ["--no-odd-rows", "--users", "2", "--tracks", "730", "--albums", "120", "--artists", "60"];
    Sandbox::start(&[&args[..], &["--playlists", "4", "--playlist-items", "60"]].concat())
}

/// A sync of each of them, at the same time.
fn syncs(database: &Database, sandbox: &Sandbox) -> [Segno; 2] {
    for user in [0, 1] {
        Login::complete(database, sandbox, user);
    }
    let status = Segno::on(database, sandbox, &["status", "--json"]).succeed().json();
    [0, 1].map(|user: usize| {
        let id = status["accounts"][user]["spotify_id"].as_str().expect("an account").to_owned();
        Segno::on(database, sandbox, &["sync", "--account", &id]).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN")
    })
}

/// When the requests to the Web API arrived, and how they were answered.
fn arrivals(sandbox: &Sandbox) -> Vec<(u64, u64)> {
    let entries = sandbox.get("log").as_array().expect("a log").clone();
    let to_api = entries.iter().filter(|entry| entry["path"].as_str().is_some_and(|path| path.starts_with("/v1/")));
    let number = |value: &Value| value.as_u64().expect("a number");
    to_api.map(|entry| (number(&entry["at_ms"]), number(&entry["status"]))).collect()
}

/// On two machines, one with a clock five minutes behind and one five minutes ahead. They use the server's calendar.
#[test]
fn two_processes_whose_calendars_are_apart_send_what_one_may() {
    if !Backend::Postgres.is_available() {
        return;
    }
    let (database, sandbox) = (Database::new(Backend::Postgres), two_people());
    let syncs = syncs(&database, &sandbox);
    sandbox.configure(json!({ "rate": { "max": 1000, "window_ms": 4000 }, "latency_ms": 30 }));
    std::thread::sleep(Duration::from_millis(4500));
    sandbox.forget_requests();
    let running: Vec<_> = syncs
        .into_iter()
        .zip(["-300", "300"])
        .map(|(sync, ahead)| {
            let sync = sync.env("SEGNO_RATE_LIMIT_REQUESTS", "25").env("SEGNO_RATE_LIMIT_WINDOW", "4s");
            sync.env("SEGNO_FAULT_CALENDAR", ahead).spawn()
        })
        .collect();
    for ended in running.into_iter().map(|running| running.wait()) {
        assert_eq!(ended.code, Some(0), "{}", ended.told());
        ended.assert_calm();
    }
    let busiest = sandbox.stat("max_in_window");
    assert!((15..=25).contains(&busiest), "{busiest} in four seconds");
}

both! {
    fn two_processes_at_once_send_what_one_may(backend) {
        let (database, sandbox) = (Database::new(backend), two_people());
        let syncs = syncs(&database, &sandbox);
        sandbox.configure(json!({ "rate": { "max": 1000, "window_ms": 2000 }, "latency_ms": 30 }));
        std::thread::sleep(Duration::from_millis(2500));
        sandbox.forget_requests();
        let running = syncs.map(|sync| {
            sync.env("SEGNO_RATE_LIMIT_REQUESTS", "15").env("SEGNO_RATE_LIMIT_WINDOW", "2s").spawn()
        });
        let ended = running.map(|running| running.wait());
        for ended in &ended {
            assert_eq!(ended.code, Some(0), "{}", ended.told());
            ended.assert_calm();
        }
        let (busiest, refused) = (sandbox.stat("max_in_window"), sandbox.stat("refused"));
        assert!((10..=15).contains(&busiest) && refused == 0, "{busiest}, {refused}: {}", ended[1].told());
        let rows = database.lines("SELECT CAST(count(*) AS TEXT) AS line FROM saved_tracks GROUP BY account_id");
        assert_eq!(rows, ["730", "730"]);
    }

    fn a_pause_that_one_process_meets_the_other_keeps(backend) {
        let (database, sandbox) = (Database::new(backend), two_people());
        let syncs = syncs(&database, &sandbox);
        sandbox.forget_requests();
        sandbox.rules(json!([{ "family": "*", "skip": 16, "times": 1,
            "do": { "kind": "rate_limited", "retry_after": "4" } }]));
        sandbox.configure(json!({ "latency_ms": 300 }));
        let running = syncs.map(|sync| {
            sync.env("SEGNO_RATE_LIMIT_REQUESTS", "12").env("SEGNO_RATE_LIMIT_WINDOW", "2s").spawn()
        });
        let ended = running.map(|running| running.wait());
        for ended in &ended {
            assert_eq!(ended.code, Some(0), "{}", ended.told());
        }
        let log = arrivals(&sandbox);
        let (paused_at, _) = *log.iter().find(|(_, status)| *status == 429).expect("a refusal");
        let after: Vec<u64> = log.iter().map(|(at, _)| *at).filter(|at| *at >= paused_at + 1000).collect();
        assert!(after[0] >= paused_at + 4000, "{log:?}");
        assert!(after[1] >= after[0] + 290, "one tries for both, and its answer takes 300 ms: {after:?}");
        assert_eq!((sandbox.stat("early"), sandbox.stat("refused")), (0, 1 + sandbox.stat("crossed")));
    }

    fn a_start_after_a_kill_goes_on_at_once_and_stays_within_the_limit(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(4_000, 300, 100, 4, 60));
        sandbox.configure(json!({ "rate": { "max": 1000, "window_ms": 20_000 }, "latency_ms": 30 }));
        let sync = || {
            let sync = Segno::on(&database, &sandbox, &["sync"]);
            sync.env("SEGNO_RATE_LIMIT_REQUESTS", "15").env("SEGNO_RATE_LIMIT_WINDOW", "20s").spawn()
        };
        let before = sync();
        wait_until("a third of the window is sent", || sandbox.requests("*") >= 5);
        before.kill();
        database.settle();
        let sent = sandbox.requests("*") as usize;
        let after = sync();
        wait_until("the next goes on", || sandbox.requests("*") as usize >= sent + 4);
        after.kill();
        let log = arrivals(&sandbox);
        let gap_ms = log[sent].0 - log[sent - 1].0;
        assert!(gap_ms < 10_000, "it sat out {gap_ms} ms");
        assert!(sandbox.stat("max_in_window") <= 15, "{log:?}");
    }
}
