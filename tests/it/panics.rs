//! Every actor panics, at every point where it can: the others are not affected, and the library is synced whole.
//!
//! `SEGNO_FAULTS` names the point and the visit at which the real binary panics (`src/faults.rs`).

use super::support::{Backend, Database, Ended, NUM_ENTITY_TYPES, Sandbox, Segno, both, entity_types};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// Requests that a sync of [`library`] costs: `/me`, 21 + 3 pages by offset, 2 by cursor, 2 + 12 for playlists, and one
/// for each of the three listings that are empty.
const NUM_REQUESTS: u64 = 44;

/// What one death may cost on top: per G1 the batch being committed and the one being fetched (4 pages each), and the
/// look at what changed meanwhile.
const COST_OF_A_DEATH: u64 = 4 + 4 + 4;

fn library() -> Sandbox {
    Sandbox::exact(1000, 120, 60, 6, 60)
}

/// A first sync that succeeds although something panics.
struct Survived {
    database: Database,
    ended: Ended,
    num_requests: u64,
}

/// Syncs into a fresh database with these faults. Each must have happened, and left no trace in the library.
fn survive(backend: Backend, sandbox: &Sandbox, faults: &str) -> Survived {
    let (database, before) = (Database::new(backend), sandbox.requests("*"));
    let ended = Segno::on(&database, sandbox, &["sync", "--json"]).env("SEGNO_FAULTS", faults).succeed();
    for fault in faults.split(',') {
        let (point, _) = fault.split_once('=').expect("point=visit");
        assert!(ended.stderr.contains(&format!("panicked: fault at {point}")), "no {fault}: {}", ended.told());
        let restarted = format!("actor panicked and is restarted child={}", child_of(point));
        assert!(ended.stderr.contains(&restarted), "{restarted}: {}", ended.told());
    }
    sandbox.library().assert_held_by(&database);
    Survived { database, ended, num_requests: sandbox.requests("*") - before }
}

/// Which actor dies at a point, by its name in the log; as far as the point determines it.
fn child_of(point: &str) -> &'static str {
    match point {
        "syncer.tracks.start" | "syncer.tracks.page" | "syncer.tracks.committed" | "fetch.tracks" => "syncer of tracks",
        "syncer.playlists.page" | "syncer.playlists.other" | "fetch.playlists" | "fetch.playlist_items" => {
            "syncer of playlists"
        }
        "fetch.albums" => "syncer of albums",
        "fetch.artists" => "syncer of artists",
        "syncer.other" => "syncer of",
        _ if point.starts_with("gate.") => "gate",
        _ => "checkpoint writer",
    }
}

impl Survived {
    /// How many runs each entity type began.
    fn runs(&self) -> BTreeMap<String, u64> {
        let sql = "SELECT entity_type || '|' || CAST(max(generation) AS TEXT) AS line FROM sync_states \
                   GROUP BY entity_type";
        let lines = self.database.lines(sql);
        let pairs = lines.iter().map(|line| line.split_once('|').expect("two columns"));
        pairs.map(|(entity, generation)| (entity.to_owned(), generation.parse().expect("a number"))).collect()
    }

    /// Asserts that only the runs of `entity` were begun again, and at most this many times.
    fn assert_only(&self, entity: &str, times: u64) {
        for (of, runs) in self.runs() {
            let most = if of == entity { 1 + times } else { 1 };
            assert!((1..=most).contains(&runs), "{of} began {runs} times: {}", self.ended.told());
        }
    }

    fn assert_cost(&self, num_deaths: u64) {
        let most = NUM_REQUESTS + num_deaths * COST_OF_A_DEATH;
        assert!(self.num_requests <= most, "{} requests, not {most}: {}", self.num_requests, self.ended.told());
    }
}

/// A syncer dies at its `visits`-th passage of a point: only that one begins again.
fn a_syncer_dies(entity: &str, point: &str, visits: &[u32]) {
    let sandbox = library();
    for visit in visits {
        let survived = survive(Backend::Sqlite, &sandbox, &format!("{point}={visit}"));
        survived.assert_only(entity, 1);
        survived.assert_cost(1);
    }
}

#[test]
fn the_syncer_of_tracks_dies_at_its_start() {
    a_syncer_dies("tracks", "syncer.tracks.start", &[1]);
}

#[test]
fn the_syncer_of_tracks_dies_over_a_page() {
    a_syncer_dies("tracks", "syncer.tracks.page", &[1, 2, 6, 15, 21]);
}

#[test]
fn the_syncer_of_tracks_dies_after_a_commit() {
    a_syncer_dies("tracks", "syncer.tracks.committed", &[1, 2, 5, 6]);
}

#[test]
fn the_syncer_of_playlists_dies_over_a_page() {
    a_syncer_dies("playlists", "syncer.playlists.page", &[1, 2, 7, 13]);
}

#[test]
fn the_syncer_of_playlists_dies_elsewhere() {
    a_syncer_dies("playlists", "syncer.playlists.other", &[1, 2, 3, 4]);
}

#[test]
fn a_syncer_dies_in_the_middle_of_a_request() {
    a_syncer_dies("tracks", "fetch.tracks", &[1, 9]);
    a_syncer_dies("albums", "fetch.albums", &[1, 3]);
    a_syncer_dies("artists", "fetch.artists", &[1, 2]);
    a_syncer_dies("playlists", "fetch.playlists", &[1]);
    a_syncer_dies("playlists", "fetch.playlist_items", &[1, 8, 12]);
}

/// All but tracks and playlists share the point: the syncer that passes it at that visit dies.
#[test]
fn one_of_the_small_syncers_dies() {
    let sandbox = library();
    for visit in [1, 2, 3, 5, 8, 10] {
        let survived = survive(Backend::Sqlite, &sandbox, &format!("syncer.other={visit}"));
        let runs = survived.runs();
        assert!((runs["tracks"], runs["playlists"]) == (1, 1), "{runs:?}");
        assert!(runs.values().sum::<u64>() <= NUM_ENTITY_TYPES + 1, "{runs:?}");
        survived.assert_cost(1);
    }
}

both! {
    fn the_writer_dies_before_a_commit(backend) {
        let sandbox = library();
        for visit in [1, 2, 4, 9, 14] {
            the_writer_dies(backend, &sandbox, &format!("writer.commit={visit}"));
        }
    }

    /// What was committed stays; the reply is lost, so the syncer asks the database and never resends.
    fn the_writer_dies_after_a_commit(backend) {
        let sandbox = library();
        for visit in [1, 2, 4, 9, 14] {
            the_writer_dies(backend, &sandbox, &format!("writer.committed={visit}"));
        }
    }
}

/// Exactly one reply is lost, so exactly one entity type begins again; no batch is committed twice.
fn the_writer_dies(backend: Backend, sandbox: &Sandbox, fault: &str) {
    let survived = survive(backend, sandbox, fault);
    let runs = survived.runs();
    assert_eq!(runs.values().sum::<u64>(), NUM_ENTITY_TYPES + 1, "{fault}: {runs:?} {}", survived.ended.told());
    survived.assert_cost(1);
    let twice = "SELECT entity_type || ' ' || CAST(offset_from AS TEXT) AS line FROM sync_batches \
                 WHERE entity_type IN ('tracks', 'albums') AND phase = 'initial_sync' \
                 GROUP BY entity_type, offset_from HAVING count(*) > 1";
    assert_eq!(survived.database.lines(twice), [""; 0], "{fault}: {}", survived.ended.told());
}

#[test]
fn the_gate_dies_over_an_asker() {
    the_gate_dies("gate.acquire", &[1, 2, 3, 10, 40]);
}

#[test]
fn the_gate_dies_over_a_permit_that_comes_back() {
    the_gate_dies("gate.return", &[1, 2, 10, 40]);
}

/// No run begins again, and no request is sent twice.
fn the_gate_dies(point: &str, visits: &[u32]) {
    let sandbox = library();
    for visit in visits {
        let survived = survive(Backend::Sqlite, &sandbox, &format!("{point}={visit}"));
        survived.assert_only("none", 0);
        assert_eq!(survived.num_requests, NUM_REQUESTS, "{}", survived.ended.told());
    }
}

#[test]
fn a_new_gate_knows_what_was_sent_after_an_asker_killed_it() {
    the_window_holds("gate.acquire=12,gate.return=34");
}

#[test]
fn a_new_gate_knows_what_was_sent_after_a_returned_permit_killed_it() {
    the_window_holds("gate.return=20");
}

#[test]
fn a_syncer_that_dies_leaves_the_window_as_it_is() {
    the_window_holds("syncer.tracks.page=3,fetch.albums=2,syncer.playlists.page=4");
}

/// The API allows exactly what the gate is configured to, and never has to refuse.
fn the_window_holds(faults: &str) {
    let sandbox = Sandbox::start(&[
        "--rate",
        "20",
        "--window",
        "1s",
        "--no-odd-rows",
        "--tracks",
        "1000",
        "--albums",
        "120",
        "--artists",
        "60",
        "--playlists",
        "6",
        "--playlist-items",
        "60",
    ]);
    let database = Database::new(Backend::Sqlite);
    let sync = Segno::on(&database, &sandbox, &["sync"]).env("SEGNO_FAULTS", faults);
    let ended = sync.env("SEGNO_RATE_LIMIT_REQUESTS", "20").env("SEGNO_RATE_LIMIT_WINDOW", "1s").succeed();
    let stats = sandbox.get("stats");
    assert!(stats["max_in_window"].as_u64() <= Some(20), "{stats} {}", ended.told());
    assert_eq!(stats["refused"], 0, "{stats}");
    sandbox.library().assert_held_by(&database);
}

/// The refusal was on its way to the gate that died: the pause holds all the same.
#[test]
fn a_pause_survives_the_gate_that_dies_over_it() {
    let sandbox = library();
    // Announced once and not enforced, so that no other request is refused; the sandbox counts early ones.
    sandbox.rules(json!([{ "family": "tracks", "skip": 5, "times": 1,
        "do": { "kind": "status", "status": 429, "headers": { "Retry-After": "4" } } }]));
    let survived = survive(Backend::Sqlite, &sandbox, "gate.limited=1");
    let stats = sandbox.get("stats");
    assert_eq!((&stats["refused"], &stats["early"]), (&json!(1), &json!(0)), "{stats} {}", survived.ended.told());
    assert!(survived.ended.took > Duration::from_secs(4), "{}", survived.ended.told());
    assert_eq!(survived.database.number("sum(refusals)", "request_ledger"), 1);
}

#[test]
fn everybody_dies_in_one_run() {
    let sandbox = library();
    let faults = "gate.acquire=7,gate.return=19,writer.commit=3,writer.committed=6,syncer.tracks.page=5,\
                  syncer.playlists.page=4,syncer.other=6,fetch.albums=2,fetch.playlist_items=9";
    survive(Backend::Sqlite, &sandbox, faults).assert_cost(9);
}

/// G7: slowed down, then reported, while the rest continues.
#[test]
fn a_syncer_that_always_dies_is_parked_with_its_error_on_show() {
    for (point, entity) in [("syncer.tracks.page", "tracks"), ("fetch.playlist_items", "playlists")] {
        let (database, sandbox) = (Database::new(Backend::Sqlite), library());
        let sync = Segno::on(&database, &sandbox, &["sync", "--json"]);
        let ended = sync.env("SEGNO_FAULTS", &format!("{point}=1+")).run();
        assert_eq!(ended.code, Some(1), "{}", ended.told());
        assert!(ended.took < Duration::from_secs(20), "{}", ended.told());
        let fault = format!("fault at {point}");
        for of in entity_types() {
            let report = ended.entity(of);
            let expected = if of == entity { "failed" } else { "complete" };
            assert_eq!(report["state"], expected, "{of}: {}", ended.told());
            let shown = status(&database, &sandbox, of);
            assert_eq!(shown["state"], expected, "{of}: {shown}");
            if of == entity {
                assert!(report["error"].as_str().is_some_and(|error| error.contains(&fault)), "{report}");
                assert!(shown["error"].as_str().is_some_and(|error| error.contains(&fault)), "{shown}");
            }
        }
        // Six lives, each with at most a first batch in flight.
        assert!(sandbox.requests("*") <= NUM_REQUESTS + 6 * 8, "{}", sandbox.requests("*"));
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        sandbox.library().assert_held_by(&database);
        assert_eq!(status(&database, &sandbox, entity)["error"], Value::Null);
    }
}

/// An entity type in `status --json`.
fn status(database: &Database, sandbox: &Sandbox, entity: &str) -> Value {
    let status = Segno::on(database, sandbox, &["status", "--json"]).succeed().json();
    let entities = status["accounts"][0]["entities"].as_array().expect("entities").clone();
    entities.into_iter().find(|shown| shown["entity_type"] == entity).expect("the entity type")
}

both! {
    fn a_writer_that_always_dies_ends_the_run(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        let ended = Segno::on(&database, &sandbox, &["sync"]).env("SEGNO_FAULTS", "writer.commit=3+").run();
        assert_eq!(ended.code, Some(1), "{}", ended.told());
        assert!(ended.took < Duration::from_secs(15), "{}", ended.told());
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert!(told.contains("the checkpoint writer keeps failing: fault at writer.commit"), "{told}");
        assert!(!told.contains("the API refuses"), "the API has nothing to do with it: {told}");
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        sandbox.library().assert_held_by(&database);
    }
}

#[test]
fn a_gate_that_always_dies_ends_the_run() {
    for visit in ["1+", "10+"] {
        let (database, sandbox) = (Database::new(Backend::Sqlite), library());
        let fault = format!("gate.acquire={visit}");
        let ended = Segno::on(&database, &sandbox, &["sync"]).env("SEGNO_FAULTS", &fault).run();
        assert_eq!(ended.code, Some(1), "{}", ended.told());
        assert!(ended.took < Duration::from_secs(15), "{}", ended.told());
        assert!(ended.stderr.contains("the gate keeps failing"), "{}", ended.told());
    }
}

#[test]
fn without_its_supervisor_the_process_ends_and_the_next_one_carries_on() {
    for visit in [1, 6, 20] {
        let (database, sandbox) = (Database::new(Backend::Sqlite), library());
        let fault = format!("supervisor.observed={visit}");
        let ended = Segno::on(&database, &sandbox, &["sync"]).env("SEGNO_FAULTS", &fault).run();
        assert_eq!(ended.code, Some(1), "{}", ended.told());
        assert!(ended.stderr.contains("the supervisor died; running again carries on"), "{}", ended.told());
        assert!(ended.took < Duration::from_secs(5), "{}", ended.told());
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        sandbox.library().assert_held_by(&database);
        // All syncers lose their requests in flight.
        let most = NUM_REQUESTS + NUM_ENTITY_TYPES * COST_OF_A_DEATH;
        assert!(sandbox.requests("*") <= most, "{} requests", sandbox.requests("*"));
    }
}
