//! The service: it keeps a library current for as long as it runs, is controlled by signals, and shares a database with
//! nobody who would undo its work.

use super::support::{Backend, Database, NUM_ENTITY_TYPES, Running, Sandbox, Segno, both, wait_until};
use serde_json::{Value, json};
use std::{
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};

/// Shortens six hours to four seconds, and a minute to a hundredth of that.
const HASTE: &str = "5400";

fn service(database: &Database, sandbox: &Sandbox) -> Segno {
    Segno::on(database, sandbox, &["run"]).env("SEGNO_FAULT_HASTE", HASTE)
}

fn status(database: &Database, sandbox: &Sandbox) -> Value {
    Segno::on(database, sandbox, &["status", "--json"]).succeed().json()
}

/// A service that has read everything once.
fn settled(database: &Database, sandbox: &Sandbox) -> Running {
    let running = service(database, sandbox).spawn();
    database.wait_for_first_sync();
    wait_until("it listens for signals", || running.catches_sigterm());
    running
}

/// Ends a service as systemd would, and expects a clean end.
fn stop(running: Running) -> String {
    let ended = running.stop();
    assert_eq!(ended.stdout, "", "a service has no result: {}", ended.told());
    ended.assert_calm();
    ended.stderr
}

both! {
    fn a_service_keeps_the_library_current(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(330, 60, 60, 4, 60));
        let running = settled(&database, &sandbox);
        sandbox.edit(json!([
            { "op": "add_tracks", "count": 3 }, { "op": "remove_tracks", "offset": 100, "count": 2 },
            { "op": "add_albums", "count": 1 },
        ]));
        let ids = |listing: &str| sandbox.library().ids(listing);
        let held = |table: &str| database.count(&format!("{table} WHERE removed_at IS NULL"));
        wait_until("what came and went is noticed", || {
            held("saved_tracks") == ids("tracks").len() as u64 && held("saved_albums") == ids("albums").len() as u64
        });
        wait_until("every removal is found", || database.count("saved_tracks WHERE removed_at IS NOT NULL") == 2);
        let log = stop(running);
        sandbox.library().assert_held_by(&database);
        assert!(log.contains("kept current from here on") && log.contains("complete"), "{log}");
        let planned = database.count("sync_states WHERE next_run_at IS NOT NULL AND phase = 'initial_sync'");
        assert_eq!(planned, NUM_ENTITY_TYPES, "{:?}", database.rows("sync_states"));
    }

    fn another_sync_is_refused_while_a_service_lives(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(120, 20, 20, 2, 20));
        let running = settled(&database, &sandbox);
        let holder = format!("segno run (process {} on ", running.pid());
        Segno::on(&database, &sandbox, &["sync"]).run().assert_refused(1, &[&holder, "keeps this account current"]);
        stop(running);
        Segno::on(&database, &sandbox, &["sync"]).succeed();
    }

    fn a_killed_service_is_followed_at_once_and_resumes(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(900, 60, 60, 4, 60));
        sandbox.configure(json!({ "latency_ms": 60 }));
        let running = service(&database, &sandbox).spawn();
        wait_until("something is committed", || database.has_tables() && database.num_batches() >= 3);
        running.kill();
        sandbox.configure(json!({ "latency_ms": 0 }));
        let began = Instant::now();
        let running = service(&database, &sandbox).spawn();
        database.wait_for_first_sync();
        assert!(began.elapsed() < Duration::from_secs(30), "the dead one's claim holds for a minute");
        let log = stop(running);
        assert!(log.contains("carrying on from the checkpoint"), "{log}");
        sandbox.library().assert_held_by(&database);
    }

    fn sigterm_at_any_moment_is_clean(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(600, 60, 60, 4, 60));
        sandbox.configure(json!({ "latency_ms": 20 }));
        for after_ms in [0_u64, 30, 90, 160, 240, 350, 500, 700] {
            let running = service(&database, &sandbox).spawn();
            wait_until("it listens for signals", || running.catches_sigterm());
            std::thread::sleep(Duration::from_millis(after_ms));
            stop(running);
        }
        sandbox.configure(json!({ "latency_ms": 0 }));
        stop(settled(&database, &sandbox));
        sandbox.library().assert_held_by(&database);
    }

    fn a_quota_is_sat_out_by_its_family_alone(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(330, 60, 60, 4, 60));
        sandbox.rules(json!([{ "family": "tracks", "skip": 3, "times": 1,
            "do": { "kind": "quota", "retry_after": "2400" } }]));
        let running = service(&database, &sandbox).spawn();
        wait_until("the others are complete", || database.num_complete() == crate::support::NUM_ENTITY_TYPES - 1);
        wait_until("the pause is noted", || database.count("sync_states WHERE rate_limit_reset_at IS NOT NULL") == 1);
        let sent = sandbox.requests("tracks");
        let albums = sandbox.requests("albums");
        wait_until("the others go on", || sandbox.requests("albums") > albums);
        let shown = status(&database, &sandbox);
        assert_eq!((&shown["limits"][0]["family"], &shown["limits"][0]["class"]), (&json!("tracks"), &json!("quota")));
        // A new process knows of it.
        stop(running);
        let running = service(&database, &sandbox).spawn();
        let albums = sandbox.requests("albums");
        wait_until("the others go on", || sandbox.requests("albums") > albums);
        stop(running);
        assert_eq!(sandbox.requests("tracks"), sent, "not one request while the pause lasts");
    }

    fn an_api_that_is_away_is_waited_for(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(120, 20, 20, 2, 20));
        stop(settled(&database, &sandbox));
        sandbox.rules(json!([{ "family": "*", "times": 12, "do": { "kind": "status", "status": 503 } }]));
        let mut running = service(&database, &sandbox).spawn();
        sandbox.edit(json!([{ "op": "add_tracks", "count": 2 }]));
        wait_until("the new tracks are there", || database.count("saved_tracks WHERE removed_at IS NULL") == 122);
        assert!(running.is_running());
        stop(running);
    }
}

/// On PostgreSQL it shares the accounts: see `nodes`.
#[test]
fn a_second_service_on_a_file_is_refused_while_the_first_lives() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(120, 20, 20, 2, 20));
    let running = settled(&database, &sandbox);
    let holder = format!("segno run (process {} on ", running.pid());
    let log = database.folder.path().join("second.log");
    let mut second = service(&database, &sandbox).conversing(&log).spawn();
    let told = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_until("it waits: the first may be dead", || told().contains(&holder) && told().contains("taking over at"));
    assert!(second.is_running());
    // By then the first has sent a heartbeat.
    let ended = second.wait();
    assert_eq!(ended.code, Some(1), "{}", told());
    assert!(
        told().lines().last().is_some_and(|line| line.contains("keeps this account current; stop it first")),
        "{}",
        told()
    );
    assert_eq!(database.lines("SELECT label AS line FROM nodes").len(), 1);
    stop(running);
}

#[test]
fn a_refused_endpoint_is_told_once_and_parked() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(120, 20, 20, 2, 20));
    // Only an endpoint that is gone by its own message is left alone for a day.
    let body = r#"{"error":{"status":403,"message":"This endpoint is deprecated"}}"#;
    sandbox.rules(json!([{ "family": "albums", "do": { "kind": "status", "status": 403, "body": body } }]));
    let running = service(&database, &sandbox).spawn();
    wait_until("the others are complete", || database.num_complete() == crate::support::NUM_ENTITY_TYPES - 1);
    let tracks = sandbox.requests("tracks");
    wait_until("tracks are looked at again, twice", || sandbox.requests("tracks") >= tracks + 2);
    let log = stop(running);
    assert_eq!(sandbox.requests("albums"), 1, "{log}");
    assert_eq!(log.matches("leave it out of sync.entities").count(), 1, "{log}");
    let shown = status(&database, &sandbox);
    let albums = shown["accounts"][0]["entities"].as_array().expect("entities");
    let albums = albums.iter().find(|entity| entity["entity_type"] == "albums").expect("albums");
    assert_eq!(albums["state"], "failed", "{shown}");
}

#[test]
fn sighup_takes_up_new_settings_and_refuses_bad_ones() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(120, 20, 20, 2, 20));
    let file = database.folder.path().join("segno.toml");
    std::fs::write(&file, "[sync]\nentities = [\"tracks\"]\n").expect("a file");
    let running = service(&database, &sandbox).spawn();
    wait_until("tracks are complete", || database.num_complete() == 1);
    std::fs::write(&file, "[sync]\nentities = [\"tracks\", \"tapes\"]\n").expect("a file");
    running.signal("HUP");
    std::thread::sleep(Duration::from_millis(300));
    std::fs::write(&file, "[sync]\nentities = [\"tracks\", \"albums\"]\n[spotify]\ntimeout = \"5s\"\n")
        .expect("a file");
    running.signal("HUP");
    wait_until("albums are complete, too", || database.num_complete() == 2);
    let log = stop(running);
    assert!(log.contains("settings not reloaded") && log.contains("tapes"), "{log}");
    assert!(log.contains("settings reloaded"), "{log}");
    assert!(log.contains("spotify.timeout") && log.contains("next start"), "{log}");
}

/// A reload while runs are under way, and one while none is: both apply to whatever runs from then on.
#[test]
fn settings_read_again_hold_for_every_later_run_of_every_entity_type() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(260, 120, 120, 60, 20));
    let file = database.folder.path().join("segno.toml");
    let set = |batch_size: u32| {
        std::fs::write(&file, format!("[sync]\ninitial_batch_size = {batch_size}\n")).expect("a file");
    };
    set(100);
    sandbox.configure(json!({ "latency_ms": 30 }));
    let running = service(&database, &sandbox).spawn();
    let longest = |since: u64| {
        let batches = database.lines(&format!(
            "SELECT entity_type || '|' || CAST(max(offset_to - offset_from) AS TEXT) AS line FROM sync_batches \
             WHERE phase = 'initial_sync' AND id > {since} AND items_processed > 0 GROUP BY entity_type ORDER BY entity_type"
        ));
        let pairs = batches.iter().map(|line| line.split_once('|').expect("two columns"));
        pairs.map(|(entity, len)| (entity.to_owned(), len.parse().expect("a number"))).collect::<Vec<(String, u32)>>()
    };
    let last = || database.count("sync_batches");
    wait_until("it is under way", || database.has_tables() && running.catches_sigterm() && last() > 0);
    let mut before = 0;
    for batch_size in [20, 10] {
        set(batch_size);
        running.signal("HUP");
        std::thread::sleep(Duration::from_millis(500));
        database.wait_for_first_sync();
        if before == 0 {
            before = last();
            continue;
        }
        before = last();
        Segno::on(&database, &sandbox, &["reset", "--all"]).succeed();
        wait_until("everything is complete again", || database.num_complete() == NUM_ENTITY_TYPES);
        let longest = longest(before);
        assert_eq!(longest.len(), 4, "{longest:?}");
        // Items of playlists have batches of four pages; their listing follows the setting.
        for (entity, len) in longest.into_iter().filter(|(entity, _)| entity != "playlists") {
            assert!(len <= batch_size, "{entity}: {len} in one batch");
        }
        // Two pages share a row.
        let of_playlists = "entity_type = 'playlists' AND offset_to - offset_from BETWEEN 9 AND 10";
        assert!(database.count(&format!("sync_batches WHERE {of_playlists} AND id > {before}")) >= 5);
    }
    stop(running);
}

#[test]
fn systemd_hears_when_it_is_ready_alive_and_stopping() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(120, 20, 20, 2, 20));
    let path = database.folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let hear = |wanted: &str| {
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while !heard.iter().any(|line: &String| line.starts_with(wanted)) {
            let len = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no {wanted} in {heard:?}: {error}"));
            heard.extend(String::from_utf8_lossy(&buffer[..len]).lines().map(str::to_owned));
        }
    };
    let running = service(&database, &sandbox)
        .env("NOTIFY_SOCKET", path.to_str().expect("UTF-8"))
        .env("WATCHDOG_USEC", "1500000")
        .spawn();
    hear("READY=1");
    hear("WATCHDOG=1");
    hear("STATUS=1 account:");
    running.signal("HUP");
    hear("RELOADING=1");
    hear("READY=1");
    running.terminate();
    hear("STOPPING=1");
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn without_an_account_it_says_what_to_do() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let ended = service(&database, &sandbox).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN").run();
    assert_eq!(ended.code, Some(4), "{}", ended.told());
    assert!(ended.stderr.contains("segno login"), "{}", ended.told());
    assert_eq!(sandbox.requests("*"), 0);
}
