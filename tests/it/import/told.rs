//! The export and the API contain the same listen: whichever comes first, it is one play.

use super::*;
use crate::support::{Running, wait_until};
use chrono::{DateTime, TimeDelta, Utc};

/// `segno run`, polling every second or so.
struct Service(Option<Running>);

impl Service {
    fn start(database: &Database, sandbox: &Sandbox) -> Service {
        let segno = Segno::on(database, sandbox, &["run"]).env("SEGNO_FAULT_HASTE", "600");
        Service(Some(segno.env("SEGNO_WEB_LISTEN", "127.0.0.1:0").spawn()))
    }

    fn stop(mut self) {
        self.0.take().expect("it runs").stop();
    }
}

/// The plays, oldest first: when, and which track.
fn history(sandbox: &Sandbox) -> Vec<(DateTime<Utc>, String)> {
    let state = sandbox.get("state");
    let play = |play: &Value| {
        let at = play["played_at"].as_str().expect("a moment").parse().expect("a moment");
        (at, play["track_id"].as_str().expect("an id").to_owned())
    };
    let mut plays: Vec<_> = state["history"].as_array().expect("a history").iter().map(play).collect();
    plays.reverse();
    plays
}

/// The export of these plays: each ended in the second in which the API says that it was played.
fn export_of(database: &Database, name: &str, plays: &[(DateTime<Utc>, String)]) -> String {
    let rows: Value = plays
        .iter()
        .map(|(at, id)| {
            let ts = at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
            with(row(1, &ts, 30_000), json!({"spotify_track_uri": format!("spotify:track:{id}")}))
        })
        .collect();
    file(database, name, rows.to_string())
}

fn assert_once(database: &Database, num_plays: usize) {
    assert_eq!(database.count("plays") as usize, num_plays);
    assert_eq!(database.count("plays WHERE source = 'api' AND ms_played = 30000") as usize, num_plays);
    assert_eq!(database.count("streams WHERE offset_ms BETWEEN 0 AND 999") as usize, num_plays);
    let unpaired =
        "plays p WHERE NOT EXISTS (SELECT 1 FROM streams s WHERE s.played_at = p.played_at AND s.uri = p.track_uri)";
    assert_eq!(database.count(unpaired), 0);
}

both! {
    fn what_the_api_told_first_stays_one_play_and_learns_its_length(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(40, 2, 1, 1, 2));
        let service = Service::start(&database, &sandbox);
        wait_until("the fifty plays there are", || database.has_tables() && database.count("plays") == 50);
        // Sixty more while nobody polls: ten are out of reach.
        service.stop();
        sandbox.edit(json!([{ "op": "play", "count": 60, "spacing_ms": 40_000 }]));
        let service = Service::start(&database, &sandbox);
        wait_until("a page is read", || database.count("plays") > 99);
        service.stop();
        assert_eq!((database.count("plays"), database.count("play_gaps WHERE healed_at IS NULL")), (100, 1));
        let before = everything(&database);

        let plays = history(&sandbox);
        let path = export_of(&database, "Streaming_History_Audio_2026.json", &plays);
        let report = report(&database, &sandbox, &[&path]);
        assert_eq!((&report["new"], &report["matched"], &report["gaps_closed"]), (&json!(110), &json!(100), &json!(1)));
        assert_eq!(report["played_at"]["meaning"], "end", "{report}");
        assert_eq!(report["offsets"], json!([{"of": "end", "from_ms": 0, "to_ms": 1000, "count": 100}]));
        assert_eq!((database.count("plays"), database.count("plays WHERE source = 'export'")), (110, 10));
        assert_eq!(database.count("plays WHERE ms_played IS NULL"), 0);
        assert_summed_up(&database);
        let after = everything(&database);
        let again = super::report(&database, &sandbox, &[&path]);
        assert_eq!((&again["new"], &again["matched"]), (&json!(0), &json!(0)));
        assert_eq!(everything(&database), after);
        import(&database, &sandbox, &["--remove"]);
        assert_eq!(everything(&database), before);
    }

    fn the_sandbox_hands_out_what_its_listener_heard(backend) {
        let (database, sandbox) = signed_in_with_history(backend);
        sandbox.edit(json!([{ "op": "play", "count": 120, "spacing_ms": 200_000 }]));
        let service = Service::start(&database, &sandbox);
        wait_until("the API has told what it still knows", || database.count("plays") == 50);
        service.stop();
        // As served over HTTP.
        let path = file(&database, "Streaming_History_Audio_0.json", sandbox.get("data-export").to_string());
        let first = report(&database, &sandbox, &[&path]);
        assert_eq!((&first["new"], &first["matched"], &first["played_at"]["meaning"]), (&json!(170), &json!(50), &json!("end")));
        assert_eq!((database.count("plays"), database.count("listening"), database.count("listening WHERE source = 'both'")), (170, 170, 50));
        assert_summed_up(&database);
        // The service counts them as well.
        let status = Segno::on(&database, &sandbox, &["status", "--json"]).succeed().json();
        assert_eq!(status["accounts"][0]["playback"]["plays"], 170);
    }

    fn what_the_api_tells_later_finds_its_stream(backend) {
        let (database, sandbox) = signed_in_with_history(backend);
        let plays = history(&sandbox);
        report(&database, &sandbox, &[&export_of(&database, "endsong.json", &plays)]);
        assert_eq!(database.count("plays WHERE source = 'export'"), 50);
        let service = Service::start(&database, &sandbox);
        wait_until("the API has told them", || database.count("plays WHERE source = 'api'") >= 50);
        assert_once(&database, 50);
        sandbox.edit(json!([{ "op": "play", "count": 3, "spacing_ms": 40_000 }]));
        wait_until("three more", || database.count("plays") == 53);
        service.stop();
        assert_summed_up(&database);
        assert_eq!(database.count("play_gaps"), 0, "the export tells what was before");
        let everywhere = everything(&database);
        let again = report(&database, &sandbox, &[&export_of(&database, "again.json", &plays)]);
        assert_eq!((&again["new"], &again["matched"]), (&json!(0), &json!(0)));
        assert_eq!(everything(&database), everywhere);

        // Without the plays reported by the API, the person's own data contains the same.
        let account = &database.lines("SELECT spotify_id AS line FROM accounts")[0];
        Segno::on(&database, &sandbox, &["purge", account, "--yes"]).succeed();
        assert_eq!((database.count("plays WHERE source = 'export'"), database.count("plays")), (50, 50));
        assert_eq!(database.count("streams WHERE offset_ms IS NULL"), 50);
        assert_summed_up(&database);
    }
}

/// The sandbox has fifty plays that have not been polled yet.
fn signed_in_with_history(backend: Backend) -> (Database, Sandbox) {
    let (database, sandbox) = (Database::new(backend), Sandbox::exact(40, 2, 1, 1, 2));
    Segno::on(&database, &sandbox, &["sync", "artists"]).succeed();
    let newest = history(&sandbox).last().expect("a play").0;
    assert!(newest > Utc::now() - TimeDelta::days(3650));
    (database, sandbox)
}
