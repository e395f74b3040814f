//! The commands as a person and a script see them: help, results on stdout and nothing else there, JSON with the
//! documented fields, true states, and a clean stop.

use super::support::{Backend, Database, Ended, Sandbox, Segno, both, entity_types, wait_until};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

const COMMANDS: [&str; 7] = ["demo", "sync", "verify", "status", "changes", "reset", "sandbox"];

fn small() -> Sandbox {
    Sandbox::exact(230, 30, 20, 3, 20)
}

/// A sandbox slow enough for a sync to be watched, or stopped.
fn slow() -> Sandbox {
    Sandbox::start(&["--latency", "40ms", "--tracks", "4000"])
}

#[test]
fn every_command_explains_itself_with_examples() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let help = |args: &[&str]| Segno::new(home.path(), args).succeed().stdout;
    let top = help(&["--help"]);
    for needed in ["Usage: segno", "Examples:", "Exit codes:", "  0 ", "  1 ", "  2 ", "  3 ", "  4 ", "  130 "] {
        assert!(top.contains(needed), "{needed}: {top}");
    }
    assert!(top.lines().all(|line| line.chars().count() <= 100), "{top}");
    for command in COMMANDS {
        assert!(top.contains(&format!("\n  {command} ")), "{command}: {top}");
        for args in [[command, "--help"], ["help", command], [command, "-h"]] {
            let text = help(&args);
            assert!(text.contains(&format!("Usage: segno {command}")), "{text}");
            assert!(text.contains(&format!("Examples:\n  segno {command}")), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= 100), "{command}: {text}");
        }
    }
    assert!(help(&["--version"]).starts_with("segno 0."));
    let nothing = Segno::new(home.path(), &[]).run();
    assert_eq!((nothing.code, nothing.stdout.as_str()), (Some(2), ""), "{}", nothing.told());
    assert!(nothing.stderr.contains("Usage: segno"), "{}", nothing.told());
}

/// A line break of the source beside that of the terminal leaves single words on lines of their own.
#[test]
fn explanations_fill_their_lines_on_a_terminal_of_80_columns() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
    let others = ["login", "run", "ready", "export", "listening", "import", "logout", "backup", "purge", "man"];
    for command in COMMANDS.into_iter().chain(others) {
        let text = Segno::new(home.path(), &[command, "--help"]).env("COLUMNS", "80").succeed().stdout;
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair.iter().all(|line| is_prose(line))) {
            let next_word = pair[1].split(' ').next().unwrap_or_default();
            assert!(pair[0].len() + 1 + next_word.len() > 78, "{:?} does not fill its line: {text}", pair[0]);
        }
    }
}

#[test]
fn results_go_to_stdout_and_everything_else_to_stderr() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), small());
    let sync = Segno::on(&database, &sandbox, &["sync"]).succeed();
    let lines: Vec<&str> = sync.stdout.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["new", "updated", "unchanged", "removed", "requests"]);
    for (line, (entity, new)) in lines[1..].iter().zip([("tracks", "230"), ("artists", "20"), ("albums", "30")]) {
        assert_eq!(line.split_whitespace().take(3).collect::<Vec<_>>(), [entity, "complete", new], "{}", sync.told());
    }
    let last = lines.last().expect("a line");
    assert!(last.contains(" requests in ") && last.ends_with(&database.url()), "{}", sync.told());
    assert!(sync.stderr.contains("complete: 230 new"), "progress is on stderr: {}", sync.told());

    for args in [&["sync", "--json"][..], &["status", "--json"]] {
        let ended = Segno::on(&database, &sandbox, args).env("SEGNO_LOG", "debug").succeed();
        assert!(ended.json().is_object(), "{}", ended.told());
    }
    for args in [&["status"][..], &["reset", "albums"]] {
        let ended = Segno::on(&database, &sandbox, args).succeed();
        assert!(!ended.stdout.is_empty() && ended.stderr.is_empty(), "{}", ended.told());
    }
}

#[test]
fn sync_json_has_its_documented_fields() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), small());
    let report = Segno::on(&database, &sandbox, &["sync", "--json"]).succeed().json();
    assert_eq!(keys(&report), ["account", "database", "duration_ms", "entities", "requests"]);
    let entities = report["entities"].as_array().expect("entities");
    assert!(names(entities).iter().eq(entity_types()), "{entities:?}");
    for entity in entities {
        let expected = [
            "batches",
            "entity_type",
            "error",
            "new",
            "notes",
            "odd",
            "removed",
            "requests",
            "resume_at",
            "resumed_from",
            "state",
            "unchanged",
            "updated",
        ];
        assert_eq!(keys(entity), expected);
        assert_eq!(
            (&entity["state"], &entity["error"], &entity["resume_at"]),
            (&json!("complete"), &json!(null), &json!(null))
        );
    }
    assert_eq!((&entities[0]["new"], &entities[0]["removed"]), (&json!(230), &json!(0)));
    let of_entities: u64 = entities.iter().map(|entity| entity["requests"].as_u64().expect("a number")).sum();
    // And one for the signed-in user.
    assert_eq!(report["requests"], of_entities + 1);
    assert_eq!(report["requests"], sandbox.requests("*"));
    assert_eq!(report["database"], database.url());
}

both! {
    fn status_json_has_its_documented_fields_in_every_state(backend) {
        let (database, sandbox) = (Database::new(backend), small());
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        let status = status(&database, &sandbox);
        assert_eq!(keys(&status), ["accounts", "capacity", "forecast", "limits", "nodes", "stream", "webhooks"]);
        let accounts = status["accounts"].as_array().expect("accounts");
        assert_eq!(accounts.len(), 1);
        let account = &accounts[0];
        assert_has(account, &["spotify_id", "entities", "playback", "service"]);
        assert!(account["spotify_id"].as_str().is_some_and(|id| !id.is_empty()));
        assert_has(&account["playback"], &["plays", "last_played_at", "last_polled_at", "next_poll_at", "open_gaps"]);
        let entities = account["entities"].as_array().expect("entities");
        assert!(names(entities).iter().eq(entity_types()), "{entities:?}");
        for entity in entities {
            assert_has(entity, &["entity_type", "phase", "state", "offset", "total", "percent", "resume_at", "error", "next_run_at"]);
            assert_eq!((&entity["state"], &entity["percent"]), (&json!("complete"), &json!(100.0)));
        }
        let tracks = &entities[0];
        assert_eq!((&tracks["phase"], &tracks["offset"], &tracks["total"]), (&json!("initial_sync"), &json!(230), &json!(230)));
        assert_eq!(status["limits"], json!([]));

        // Restarted: idle.
        Segno::on(&database, &sandbox, &["reset", "albums"]).succeed();
        assert_eq!(state(&database, &sandbox, "albums")["state"], "idle");

        // A quota that ends in half a day: paused, and the command says until when.
        sandbox.configure(json!({ "quota": { "albums": 0 } }));
        let paused = Segno::on(&database, &sandbox, &["sync", "albums", "tracks"]).run();
        assert_eq!(paused.code, Some(3), "{}", paused.told());
        assert!(paused.stdout.contains("albums: paused by the daily quota until "), "{}", paused.told());
        let last = paused.stderr.lines().last().expect("a line");
        assert!(last.starts_with("segno: albums: paused by the daily quota until ") && last.contains("run again then"), "{last}");
        let albums = state(&database, &sandbox, "albums");
        assert_eq!((&albums["state"], &albums["error"]), (&json!("paused"), &json!(null)));
        let resume_at: chrono::DateTime<chrono::Utc> = albums["resume_at"].as_str().expect("a time").parse().expect("RFC 3339");
        assert!(resume_at > chrono::Utc::now() + chrono::TimeDelta::hours(12), "{resume_at}");
        assert_eq!(state(&database, &sandbox, "tracks")["state"], "complete");
        let limits = self::status(&database, &sandbox)["limits"].clone();
        assert_eq!(limits.as_array().expect("limits").len(), 1);
        assert_eq!(keys(&limits[0]), ["blocked_until", "class", "family"]);
        assert_eq!((&limits[0]["family"], &limits[0]["class"]), (&json!("albums"), &json!("quota")));
        let text = Segno::on(&database, &sandbox, &["status"]).succeed().stdout;
        assert!(text.lines().any(|line| line.starts_with("albums: paused until ") && line.ends_with(" (quota)")), "{text}");

        // A sign-in that was revoked, which is believed the second time, minutes later: failed, with the reason.
        sandbox.configure(json!({ "revoke_refresh_token": true, "expire_access_tokens": true }));
        let refused = || Segno::on(&database, &sandbox, &["sync", "artists"]).run().code;
        assert_eq!(refused(), Some(1));
        database.end_cooldowns();
        assert_eq!(refused(), Some(4));
        let artists = state(&database, &sandbox, "artists");
        assert_eq!(artists["state"], "failed");
        assert!(artists["error"].as_str().is_some_and(|why| why.contains("refresh token was refused")), "{artists}");
    }

    fn status_shows_a_sync_that_runs_elsewhere_and_how_far_it_is(backend) {
        let (database, sandbox) = (Database::new(backend), slow());
        // It comes as far as we allow, however busy the machine is.
        let go_on = || sandbox.rules(json!([{ "family": "tracks", "skip": 12, "do": { "kind": "hang" } }]));
        let look = || {
            let tracks = state(&database, &sandbox, "tracks");
            assert_eq!((&tracks["state"], &tracks["phase"]), (&json!("running"), &json!("initial_sync")), "{tracks}");
            assert_eq!(tracks["total"], 4000);
            tracks["offset"].as_u64().expect("a number")
        };
        go_on();
        let running = Segno::on(&database, &sandbox, &["sync", "tracks"]).env("SEGNO_SPOTIFY_TIMEOUT", "1s").spawn();
        wait_until("a batch is committed", || database.num_batches() >= 1);
        let first = look();
        assert!(0 < first && first < 4000, "{first}");
        go_on();
        wait_until("it has come further", || look() > first);
        let text = Segno::on(&database, &sandbox, &["status"]).succeed().stdout;
        assert!(text.contains("tracks     running ") && text.contains(" / 4,000 ("), "{text}");
        running.kill();
    }

    fn a_stop_is_prompt_clean_and_carried_on_from(backend) {
        for signal in ["INT", "TERM"] {
            let (database, sandbox) = (Database::new(backend), slow());
            let running = Segno::on(&database, &sandbox, &["sync"]).spawn();
            wait_until("some batches are committed", || database.num_batches() >= 5);
            running.signal(signal);
            let told_at = std::time::Instant::now();
            let ended = running.wait();
            assert!(told_at.elapsed() < Duration::from_secs(10), "SIG{signal}: {}", ended.told());
            assert_eq!(ended.code, Some(130), "SIG{signal}: {}", ended.told());
            assert!(ended.stderr.contains("stopping: ") && ended.stderr.contains("running again carries on"), "{}", ended.told());
            assert!(ended.stdout.contains("tracks     stopped"), "{}", ended.told());
            ended.assert_calm();
            // The sums over the batches equal the tables.
            let sql = "SELECT CAST(sum(items_new) AS TEXT) AS line FROM sync_batches WHERE entity_type = 'tracks'";
            assert_eq!(database.lines(sql)[0], database.count("saved_tracks").to_string());

            sandbox.configure(json!({ "latency_ms": 0 }));
            let before = sandbox.requests("tracks");
            let again = Segno::on(&database, &sandbox, &["sync", "--json"]).succeed();
            assert!(again.entity("tracks")["resumed_from"].as_u64() > Some(0), "{}", again.told());
            assert!(sandbox.requests("tracks") - before < 81, "it did not start over");
            sandbox.library().assert_held_by(&database);
        }
    }

    fn reset_forgets_the_place_and_keeps_the_rows(backend) {
        let (database, sandbox) = (Database::new(backend), small());
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        let library = database.library();
        let cost = |args: &[&str]| {
            let before = sandbox.requests("*");
            Segno::on(&database, &sandbox, &[&["sync"], args].concat()).succeed();
            sandbox.requests("*") - before
        };
        assert_eq!(cost(&["tracks", "albums"]), 2, "nothing new");

        let one = Segno::on(&database, &sandbox, &["reset", "tracks"]).succeed();
        assert!(one.stdout.starts_with("tracks of ") && one.stdout.lines().count() == 1, "{}", one.told());
        assert!(one.stdout.contains("library rows stay"), "{}", one.told());
        assert_eq!(idle(&database, &sandbox), ["tracks"]);
        assert_eq!(database.count("saved_tracks WHERE removed_at IS NULL"), 230);
        assert_eq!(cost(&["tracks"]), 5, "230 tracks are read from the beginning");

        Segno::on(&database, &sandbox, &["reset", "albums", "playlists"]).succeed();
        assert_eq!(idle(&database, &sandbox), ["albums", "playlists"]);
        let all = Segno::on(&database, &sandbox, &["reset", "--all"]).succeed();
        assert_eq!(all.stdout.lines().count(), entity_types().count(), "{}", all.told());
        assert!(idle(&database, &sandbox).iter().eq(entity_types()));
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        assert_eq!(database.library(), library);
    }

    /// An hour later, or at once if a person confirms that they are gone.
    fn removals_held_back_are_marked_once_a_person_confirms_them(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(200, 10, 0, 0, 0));
        let sync = |args: &[&str]| {
            let segno = Segno::on(&database, &sandbox, &[&["sync"], args].concat());
            segno.env("SEGNO_SYNC_REMOVAL_WAIT", "1h").succeed()
        };
        let counts = || ["saved_tracks WHERE removed_at IS NOT NULL", "held_removals"].map(|rows| database.count(rows));
        sync(&[]);
        sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 0, "count": 60 }));
        for args in [&[][..], &[], &["albums", "--confirm-removals"]] {
            let ended = sync(args);
            assert_eq!(counts(), [0, 60], "{args:?}: {}", ended.told());
            assert_eq!(ended.stderr.contains("no removals are held back"), !args.is_empty(), "{}", ended.told());
        }
        let confirmed = sync(&["--confirm-removals"]);
        let told = "tracks: 60 removals confirmed; those that this run misses too are marked removed";
        assert!(confirmed.stderr.contains(told), "{}", confirmed.told());
        assert_eq!(counts(), [60, 0], "{}", confirmed.told());
        sandbox.library().assert_held_by(&database);
    }

    fn removals_confirmed_beside_a_service_are_left_to_its_next_run(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(200, 10, 0, 0, 0));
        let segno = |args: &[&str]| Segno::on(&database, &sandbox, args).env("SEGNO_SYNC_REMOVAL_WAIT", "1h");
        segno(&["sync"]).succeed();
        sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 0, "count": 60 }));
        segno(&["sync"]).succeed();
        let service = segno(&["run"]).spawn();
        wait_until("a service has the account", || segno(&["sync"]).run().code == Some(1));
        let confirmed = segno(&["sync", "--confirm-removals"]).succeed();
        let told = "tracks: 60 removals confirmed; those that the next run of segno run (process ";
        assert!(confirmed.stderr.contains(told), "{}", confirmed.told());
        // Its first run may be under way, or over.
        let counts = ["held_removals WHERE is_confirmed", "saved_tracks WHERE removed_at IS NOT NULL"];
        wait_until("all wait for it, or are marked", || counts.map(|rows| database.count(rows)).contains(&60));
        let refused = segno(&["sync", "albums", "--confirm-removals"]).run();
        assert_eq!(refused.code, Some(1), "{}", refused.told());
        assert!(refused.stderr.contains("keeps this account current"), "{}", refused.told());
        service.stop();
    }

    fn sync_touches_only_what_it_is_told_to(backend) {
        let (database, sandbox) = (Database::new(backend), small());
        let ended = Segno::on(&database, &sandbox, &["sync", "albums", "tracks", "--json"]).succeed();
        assert_eq!(names(ended.json()["entities"].as_array().expect("entities")), ["tracks", "albums"]);
        assert_eq!([sandbox.requests("artists"), sandbox.requests("playlists"), sandbox.requests("playlist_items")], [0; 3]);
        assert_eq!((database.count("saved_tracks"), database.count("saved_albums")), (230, 30));
        assert_eq!((database.count("followed_artists"), database.count("library_playlists")), (0, 0));
        let status = status(&database, &sandbox);
        assert_eq!(names(status["accounts"][0]["entities"].as_array().expect("entities")), ["tracks", "albums"]);

        let of_setting = Segno::on(&database, &sandbox, &["sync", "--json"]).env("SEGNO_SYNC_ENTITIES", "artists").succeed();
        assert_eq!(names(of_setting.json()["entities"].as_array().expect("entities")), ["artists"]);
        assert_eq!(sandbox.requests("playlists"), 0);
    }
}

#[test]
fn status_and_reset_of_nothing_say_what_to_do() {
    let home = tempfile::tempdir().expect("a temporary folder");
    for args in [&["status"][..], &["status", "--json"], &["reset", "--all"], &["reset", "tracks"]] {
        let ended = Segno::new(home.path(), args).run();
        ended.assert_refused(1, &["there is no database at ", "/segno.db", "run \"segno sync\" first"]);
    }
    assert_eq!(std::fs::read_dir(home.path()).expect("a folder").count(), 0, "looking creates nothing");

    // A database in which nobody has signed in yet.
    let (database, sandbox) = (Database::new(Backend::Sqlite), small());
    let refused = Segno::on(&database, &sandbox, &["sync"]).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN").run();
    assert_eq!(refused.code, Some(4), "{}", refused.told());
    let text = Segno::on(&database, &sandbox, &["status"]).succeed().stdout;
    assert!(text.contains("no account has been synced into this database yet"), "{text}");
    let nothing = json!({ "accounts": [], "capacity": null, "forecast": [], "limits": [], "nodes": [], "stream": null, "webhooks": [] });
    assert_eq!(status(&database, &sandbox), nothing);
    let reset = Segno::on(&database, &sandbox, &["reset", "--all"]).succeed();
    assert!(reset.stdout.contains("nothing to forget"), "{}", reset.told());
}

#[test]
fn a_second_interrupt_ends_it_at_once() {
    let database = Database::new(Backend::Sqlite);
    let sandbox = Sandbox::start(&["--tracks", "300"]);
    sandbox.rules(json!([{ "path_prefix": "/v1/me/", "do": { "kind": "delay", "ms": 7000 } }]));
    let running = Segno::on(&database, &sandbox, &["sync"]).spawn();
    // Signed in, and waiting for the first pages.
    wait_until("pages are asked for", || sandbox.get("log").to_string().contains("/me/tracks"));
    running.signal("INT");
    std::thread::sleep(Duration::from_millis(300));
    running.signal("INT");
    let told_at = std::time::Instant::now();
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{}", ended.told());
    assert!(told_at.elapsed() < Duration::from_secs(4), "{}", ended.told());
    ended.assert_calm();
}

#[test]
fn a_reader_that_has_seen_enough_is_no_reason_to_fail() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), small());
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    for args in [&["sync"][..], &["sync", "--json"], &["status"], &["status", "--json"], &["--help"]] {
        for reader in ["head -n 1", "true"] {
            let script = format!("set -o pipefail; \"$@\" | {reader}");
            let ended = Segno::on(&database, &sandbox, args).through(&script).succeed();
            ended.assert_calm();
        }
        Segno::on(&database, &sandbox, args).through("\"$@\" >&-").succeed().assert_calm();
        Segno::on(&database, &sandbox, args).through("\"$@\" 2>&-").succeed().assert_calm();
    }
    if std::path::Path::new("/dev/full").exists() {
        let full = Segno::on(&database, &sandbox, &["status", "--json"]).through("\"$@\" > /dev/full").run();
        full.assert_refused(1, &["cannot write the result to stdout"]);
    }
}

#[test]
fn with_json_logs_every_line_on_stderr_is_json() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), slow());
    let sync = |args: &[&str]| Segno::on(&database, &sandbox, &[args, &["--log-format", "json"]].concat());
    let running = sync(&["sync"]).spawn();
    wait_until("some batches are committed", || database.num_batches() >= 3);
    running.signal("INT");
    let stopped = running.wait();
    let events = events(&stopped);
    assert!(events.iter().any(|event| event["message"].as_str().is_some_and(|text| text.starts_with("stopping: "))));
    assert!(
        events.iter().any(|event| event["message"] == "run begins" && event["entity"] == "tracks"),
        "{}",
        stopped.told()
    );

    let refused = sync(&["sync"]).env("SEGNO_SPOTIFY_CLIENT_ID", "another").run();
    let last = self::events(&refused).pop().expect("an event");
    assert_eq!((refused.code, &last["level"]), (Some(4), &json!("ERROR")), "{}", refused.told());
    assert!(last["message"].as_str().is_some_and(|text| text.starts_with("segno: ")), "{}", refused.told());
    assert!(!self::events(&sync(&["sync", "tracks"]).succeed()).is_empty());
}

/// Each line of stderr, which must be a JSON object with a time, a level and a message.
fn events(ended: &Ended) -> Vec<Value> {
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_has(&event, &["timestamp", "level", "message", "target"]);
        let at = event["timestamp"].as_str().expect("text").parse::<chrono::DateTime<chrono::Utc>>();
        assert!(at.is_ok(), "{line}");
        event
    };
    ended.stderr.lines().map(event).collect()
}

fn status(database: &Database, sandbox: &Sandbox) -> Value {
    Segno::on(database, sandbox, &["status", "--json"]).succeed().json()
}

/// The entry of an entity type in `status --json`.
fn state(database: &Database, sandbox: &Sandbox, entity_type: &str) -> Value {
    let status = status(database, sandbox);
    let entities = status["accounts"][0]["entities"].as_array().expect("entities").clone();
    entities.into_iter().find(|entity| entity["entity_type"] == entity_type).expect("the entity type")
}

fn idle(database: &Database, sandbox: &Sandbox) -> Vec<String> {
    let status = status(database, sandbox);
    let entities = status["accounts"][0]["entities"].as_array().expect("entities");
    let idle: Vec<Value> = entities.iter().filter(|entity| entity["state"] == "idle").cloned().collect();
    names(&idle)
}

fn names(entities: &[Value]) -> Vec<String> {
    entities.iter().map(|entity| entity["entity_type"].as_str().expect("a name").to_owned()).collect()
}

fn keys(object: &Value) -> Vec<String> {
    let keys: BTreeSet<&String> = object.as_object().expect("an object").keys().collect();
    keys.into_iter().cloned().collect()
}

fn assert_has(object: &Value, expected: &[&str]) {
    let keys = keys(object);
    for key in expected {
        assert!(keys.iter().any(|known| known == key), "no {key:?} in {object}");
    }
}
