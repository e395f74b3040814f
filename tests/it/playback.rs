//! The listening history, tracked by `segno run`: every play that the API has shown is stored, once; plays that it can
//! no longer show are reported.

use super::support::{Backend, Database, Running, Sandbox, Segno, both, wait_until};
use serde_json::{Value, json};
use std::{thread::sleep, time::Duration};

/// Makes the intervals of playback this much shorter: 20 min become 2 s, 5 min half a second.
const HASTE: &str = "600";

/// Time for several polls, if they were not paused.
const SEVERAL_POLLS: Duration = Duration::from_secs(4);

fn library() -> Sandbox {
    Sandbox::exact(120, 20, 10, 2, 10)
}

/// `segno run`, killed with the test at the latest.
struct Service(Option<Running>);

impl Service {
    fn start(database: &Database, sandbox: &Sandbox) -> Service {
        Service::start_with(database, sandbox, &[])
    }

    fn start_with(database: &Database, sandbox: &Sandbox, env: &[(&str, &str)]) -> Service {
        let segno = Segno::on(database, sandbox, &["run"]).env("SEGNO_FAULT_HASTE", HASTE);
        let segno = segno.env("SEGNO_WEB_LISTEN", "127.0.0.1:0");
        Service(Some(env.iter().fold(segno, |segno, (name, value)| segno.env(name, value)).spawn()))
    }

    /// SIGTERM; returns its output.
    fn stop(mut self) -> String {
        self.0.take().expect("it runs").stop().stderr
    }

    fn kill(mut self) {
        self.0.take().expect("it runs").kill();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            running.kill();
        }
    }
}

/// URIs of everything ever played, newest first.
fn heard(sandbox: &Sandbox) -> Vec<String> {
    let state = sandbox.get("state");
    let plays = state["history"].as_array().expect("a history");
    plays.iter().map(|play| format!("spotify:track:{}", play["track_id"].as_str().expect("an id"))).collect()
}

/// The same, according to the database.
fn held(database: &Database) -> Vec<String> {
    if !database.has_tables() {
        return Vec::new();
    }
    database.lines("SELECT track_uri AS line FROM plays ORDER BY played_at DESC")
}

/// Waits until every play is stored, in order and once.
fn wait_until_held(what: &str, database: &Database, sandbox: &Sandbox) {
    let expected = heard(sandbox);
    wait_until(what, || held(database) == expected);
}

fn playback(database: &Database, sandbox: &Sandbox) -> Value {
    let status = Segno::on(database, sandbox, &["status", "--json"]).succeed().json();
    status["accounts"][0]["playback"].clone()
}

fn no_gap(database: &Database) {
    assert_eq!(database.rows("play_gaps"), [""; 0]);
}

both! {
    fn plays_are_caught_as_they_come_and_when_they_come_late(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        let service = Service::start(&database, &sandbox);
        wait_until_held("the fifty plays there are", &database, &sandbox);
        sandbox.edit(json!([{ "op": "play", "count": 6, "spacing_ms": 60_000 }]));
        wait_until_held("six more", &database, &sandbox);
        // A phone comes online: its plays lie between known ones.
        sandbox.edit(json!([{ "op": "play", "count": 3, "ago_s": 90, "spacing_ms": 60_000 }]));
        assert_ne!(held(&database), heard(&sandbox), "they are new");
        wait_until_held("the late ones", &database, &sandbox);
        service.stop();
        no_gap(&database);

        let status = playback(&database, &sandbox);
        assert_eq!((&status["plays"], &status["open_gaps"], &status["error"]), (&json!(59), &json!(0), &json!(null)));
        let text = Segno::on(&database, &sandbox, &["status"]).succeed().stdout;
        assert!(text.contains("plays      59, last "), "{text}");
    }

    fn forty_nine_at_once_are_all_caught_and_of_sixty_the_gap_is_told(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        let service = Service::start(&database, &sandbox);
        wait_until_held("the fifty plays there are", &database, &sandbox);
        sandbox.edit(json!([{ "op": "play", "count": 49, "spacing_ms": 40_000 }]));
        wait_until_held("forty-nine more", &database, &sandbox);
        service.stop();
        no_gap(&database);

        // While nobody polls.
        sandbox.edit(json!([{ "op": "play", "count": 60 }]));
        let service = Service::start(&database, &sandbox);
        let before = sandbox.requests("player");
        wait_until("a page is read", || database.count("plays") > 99);
        // Then what it meant has been told.
        wait_until("the next poll", || sandbox.requests("player") > before + 1);
        let said = service.stop();
        assert_eq!((database.count("plays"), database.count("play_gaps WHERE healed_at IS NULL")), (149, 1));
        let mut expected = heard(&sandbox);
        expected.drain(50..60);
        assert_eq!(held(&database), expected, "all but the ten that were out of sight");
        assert_eq!(said.matches("plays may be missing").count(), 1, "{said}");
        let status = playback(&database, &sandbox);
        assert_eq!(status["open_gaps"], 1, "{status}");
        let [after, before] = ["played_after", "played_before"].map(|end| status["last_gap"][end].as_str().map(str::to_owned));
        assert!(after.is_some() && after < before, "{status}");
        let text = Segno::on(&database, &sandbox, &["status"]).succeed().stdout;
        assert!(text.contains("1 gap: plays between "), "{text}");
    }

    fn a_quota_of_the_tracks_does_not_stop_playback(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        sandbox.rules(json!([{ "family": "tracks", "do": { "kind": "quota", "retry_after": "49861" } }]));
        let service = Service::start(&database, &sandbox);
        wait_until("the tracks are paused", || sandbox.requests("tracks") > 0);
        sandbox.edit(json!([{ "op": "play", "count": 2 }]));
        wait_until_held("plays during the pause", &database, &sandbox);
        sandbox.edit(json!([{ "op": "play", "count": 2 }]));
        wait_until_held("more plays during the pause", &database, &sandbox);
        service.stop();
        assert_eq!((sandbox.requests("tracks"), sandbox.stat("early")), (1, 0));
    }

    fn a_quota_of_the_player_stops_playback_and_nothing_else_until_it_ends(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        sandbox.rules(json!([{ "family": "player", "times": 1, "do": { "kind": "quota", "retry_after": "3600" } }]));
        let service = Service::start(&database, &sandbox);
        wait_until("the pause is noted", || {
            database.has_tables() && database.count("playback_states WHERE next_poll_at IS NOT NULL") == 1
        });
        wait_until("the sync goes on", || database.count("sync_states WHERE is_complete") == crate::support::NUM_ENTITY_TYPES);
        sleep(SEVERAL_POLLS);
        let status = Segno::on(&database, &sandbox, &["status", "--json"]).succeed().json();
        assert_eq!(status["limits"][0]["family"], "player", "{status}");
        let playback = &status["accounts"][0]["playback"];
        assert_eq!((&playback["next_poll_at"], &playback["error"]), (&status["limits"][0]["blocked_until"], &json!(null)));
        service.kill();

        // A restart does not poll either.
        let service = Service::start(&database, &sandbox);
        sleep(SEVERAL_POLLS);
        service.stop();
        assert_eq!((sandbox.requests("player"), sandbox.stat("early")), (1, 0));
        assert_eq!(held(&database), [""; 0]);
    }

    fn nothing_is_lost_or_doubled_however_often_it_is_killed(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..6 {
            let service = Service::start(&database, &sandbox);
            sandbox.edit(json!([{ "op": "play", "count": 4, "spacing_ms": 40_000 }]));
            sleep(Duration::from_millis(random.u64(50..1200)));
            service.kill();
            database.settle();
        }
        let service = Service::start(&database, &sandbox);
        let expected = heard(&sandbox);
        // Plays before the first poll that have left the page since cannot be known.
        wait_until("the rest", || !held(&database).is_empty() && expected.starts_with(&held(&database)));
        service.stop();
        assert!(held(&database).len() >= 50);
        no_gap(&database);
    }

    fn a_tracker_and_a_writer_that_panic_go_on_from_the_database(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        let faults = "tracker.page=2,tracker.committed=3,writer.plays=4,writer.plays_committed=5,fetch.plays=8";
        let service = Service::start_with(&database, &sandbox, &[("SEGNO_FAULTS", faults)]);
        for _ in 0..6 {
            wait_until_held("all plays so far", &database, &sandbox);
            sandbox.edit(json!([{ "op": "play", "count": 3, "spacing_ms": 40_000 }]));
        }
        wait_until_held("all plays", &database, &sandbox);
        let said = service.stop();
        no_gap(&database);
        assert!(said.contains("fault at tracker.page") && said.contains("fault at writer.plays_committed"), "{said}");
    }

    fn tracks_that_were_played_enter_the_catalogue_from_the_answer(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        let service = Service::start_with(&database, &sandbox, &[("SEGNO_SYNC_ENTITIES", "artists")]);
        wait_until_held("the fifty plays there are", &database, &sandbox);
        service.stop();
        let unknown = "plays p LEFT JOIN tracks t ON t.id = p.track_id WHERE t.id IS NULL";
        assert_eq!(database.count(unknown), 0);
        let nameless = "tracks t LEFT JOIN albums b ON b.id = t.album_id LEFT JOIN track_artists a ON a.track_id = t.id \
                        WHERE b.name IS NULL OR a.artist_id IS NULL OR t.isrc IS NULL";
        assert_eq!(database.count(nameless), 0);
        for family in ["tracks", "albums", "playlists", "playlist_items", "other"] {
            assert_eq!(sandbox.requests(family), 0, "{family}");
        }
    }
}

#[test]
fn a_missing_permission_is_told_once_and_stops_only_playback() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), library());
    let body = r#"{"error":{"status":403,"message":"Insufficient client scope"}}"#;
    sandbox.rules(json!([{ "family": "player", "do":
        { "kind": "forbidden", "body": body, "content_type": "application/json" } }]));
    let mut told = String::new();
    for _ in 0..2 {
        let service = Service::start(&database, &sandbox);
        wait_until("the library is synced", || {
            database.has_tables() && database.count("sync_states WHERE is_complete") == crate::support::NUM_ENTITY_TYPES
        });
        wait_until("the refusal is noted", || database.count("playback_states WHERE parked_until IS NOT NULL") == 1);
        let asked = sandbox.requests("player");
        assert!(asked <= 4, "it is asked until a second refusal confirms the first: {asked}");
        sleep(SEVERAL_POLLS);
        told += &service.stop();
        assert_eq!(sandbox.requests("player"), asked, "{told}");
    }
    assert_eq!(told.matches("playback cannot be tracked").count(), 1, "{told}");
    let playback = playback(&database, &sandbox);
    let error = playback["error"].as_str().expect("a reason");
    assert!(error.contains("does not permit GET /me/player/recently-played: sign in again"), "{playback}");
}

#[test]
fn a_sign_in_that_ends_stops_playback_without_a_loop() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), library());
    let service = Service::start_with(&database, &sandbox, &[("SEGNO_SYNC_ENTITIES", "artists")]);
    wait_until_held("the fifty plays there are", &database, &sandbox);
    wait_until("the artists are synced", || database.count("sync_states WHERE is_complete") == 1);
    sandbox.configure(json!({ "revoke_refresh_token": true, "expire_access_tokens": true }));
    wait_until("it is noted", || database.count("playback_states WHERE next_poll_at IS NULL") == 1);
    let asked = || (sandbox.requests("player"), sandbox.requests("token"));
    let asked_before = asked();
    sleep(SEVERAL_POLLS);
    assert_eq!(asked(), asked_before);
    let said = service.stop();
    assert_eq!(said.matches("playback is not tracked any more").count(), 1, "{said}");
    assert!(playback(&database, &sandbox)["error"].is_string());
}

#[test]
fn a_reload_with_shorter_intervals_counts_at_once() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), library());
    let file = database.folder.path().join("segno.toml");
    std::fs::write(&file, "[playback]\ninterval = '24h'\n").expect("a file");
    let service = Service::start(&database, &sandbox);
    wait_until_held("the fifty plays there are", &database, &sandbox);
    sandbox.edit(json!([{ "op": "play", "count": 3 }]));
    sleep(SEVERAL_POLLS);
    assert_eq!(sandbox.requests("player"), 1, "a day in haste is two minutes");
    std::fs::write(&file, "[playback]\ninterval = '1m'\n").expect("a file");
    service.0.as_ref().expect("it runs").signal("HUP");
    wait_until_held("what came meanwhile", &database, &sandbox);
    service.stop();
}

#[test]
fn odd_rows_cost_only_themselves_and_a_torn_answer_commits_nothing() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), library());
    let lost = json!({ "played_at": "2026-11-01T10:00:00.000Z", "track": null, "context": null });
    sandbox.rules(json!([
        { "family": "player", "times": 2, "do": { "kind": "truncate", "bytes": 900 } },
        { "family": "player", "times": 1, "do": { "kind": "replace_row", "index": 7, "with": lost } },
    ]));
    let service = Service::start(&database, &sandbox);
    wait_until("the first whole answer", || database.has_tables() && database.count("plays") > 0);
    let recorded = database.lines(
        "SELECT CAST(position AS TEXT) || '|' || reason AS line FROM sync_odd_items WHERE entity_type = 'plays'",
    );
    assert_eq!(recorded, ["1793527200000|null"]);
    wait_until_held("the row is whole again", &database, &sandbox);
    service.stop();
    no_gap(&database);
}
