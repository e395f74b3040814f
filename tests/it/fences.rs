//! Two processes on one database (G9): the later one fences the earlier off, which then writes nothing more, reports
//! which process overtook it, and ends.

use super::support::{Backend, Database, Ended, Running, Sandbox, Segno, both, wait_until};
use serde_json::json;

/// Tables that a fenced process must not touch, besides those of the library.
const BOOKS: &[&str] = &["sync_states", "sync_batches", "sync_seen", "sync_gaps", "sync_odd_items", "account_tokens"];

fn library() -> Sandbox {
    Sandbox::exact(1500, 120, 60, 6, 60)
}

/// All contents of the database, row by row.
fn everything(database: &Database) -> Vec<String> {
    let mut lines: Vec<String> = database.library().into_values().flatten().collect();
    for table in BOOKS {
        lines.extend(database.rows(table).into_iter().map(|row| format!("{table}: {row}")));
    }
    lines
}

/// The entity types whose latest run belongs to a process.
fn owned_by(database: &Database, running: &Running) -> u64 {
    let label = format!("%(process {} on %", running.pid());
    database.count(&format!("(SELECT DISTINCT entity_type FROM sync_states WHERE owner_label LIKE '{label}') owned"))
}

fn assert_fenced_by(ended: &Ended, winner: u32) {
    assert_eq!(ended.code, Some(1), "{}", ended.told());
    let words = format!("fenced off: segno sync (process {winner} on ");
    assert!(ended.stderr.contains(&words), "no \"{words}\": {}", ended.told());
    assert!(ended.stdout.contains(&words), "no \"{words}\": {}", ended.told());
    assert!(ended.stdout.contains("two processes must not sync one account"), "{}", ended.told());
}

/// Batches in the order of their commits: once another run's begin, none of the first's follow.
fn assert_no_run_comes_back(database: &Database) {
    let sql = "SELECT entity_type || '|' || run_id AS line FROM sync_batches ORDER BY entity_type, id";
    let mut runs = database.lines(sql);
    runs.dedup();
    let num_turns = runs.len();
    runs.sort();
    runs.dedup();
    assert_eq!(runs.len(), num_turns, "two runs took turns: {:?}", database.rows("sync_batches"));
}

both! {
    fn the_later_process_fences_the_earlier(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        sandbox.configure(json!({ "latency_ms": 200 }));
        let first = Segno::on(&database, &sandbox, &["sync"]).spawn();
        wait_until("the first has committed some batches", || database.num_batches() >= 3);
        let second = Segno::on(&database, &sandbox, &["sync"]).spawn();
        wait_until("the second has begun all its runs", || owned_by(&database, &second) == crate::support::NUM_ENTITY_TYPES);
        let runs_of_first = database.lines("SELECT DISTINCT run_id AS line FROM sync_batches");
        let winner = second.pid();
        assert_fenced_by(&first.wait(), winner);
        let ended = second.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.told());
        sandbox.library().assert_held_by(&database);
        assert_no_run_comes_back(&database);
        assert!(runs_of_first.len() as u64 <= crate::support::NUM_ENTITY_TYPES, "{runs_of_first:?}");
        assert_eq!(database.count("sync_states WHERE generation <> 2"), 0, "{:?}", database.rows("sync_states"));
    }

    fn of_two_that_start_together_exactly_one_survives(backend) {
        let sandbox = Sandbox::exact(600, 60, 60, 3, 60);
        // Slow enough that neither finishes before the other has begun.
        sandbox.configure(json!({ "latency_ms": 300 }));
        for round in 0..2 {
            let database = Database::new(backend);
            if round == 0 {
                // One round on a database that exists, one on a database that both create.
                Segno::on(&database, &sandbox, &["sync", "artists"]).succeed();
            }
            let start =
                || Segno::on(&database, &sandbox, &["sync"]).env("SEGNO_SYNC_INITIAL_BATCH_SIZE", "50").spawn();
            let (one, other) = (start(), start());
            let (of_one, of_other) = (one.pid(), other.pid());
            let (one, other) = (one.wait(), other.wait());
            let both_told = || format!("round {round}\n{}\n\n{}", one.told(), other.told());
            match (one.code, other.code) {
                (Some(0), Some(1)) => assert_fenced_by(&other, of_one),
                (Some(1), Some(0)) => assert_fenced_by(&one, of_other),
                _ => panic!("{}", both_told()),
            }
            sandbox.library().assert_held_by(&database);
            assert_no_run_comes_back(&database);
        }
    }

    fn a_process_that_slept_while_another_finished_writes_nothing(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        // Every listing answers its first page, tracks three; later requests hang, so that the stopped process is
        // certainly idle.
        let hang = |family: &str, skip: u32| json!({ "family": family, "skip": skip, "do": { "kind": "hang" } });
        sandbox.rules(json!([hang("tracks", 3), hang("albums", 1), hang("artists", 1), hang("playlist_items", 0)]));
        let sleeper = Segno::on(&database, &sandbox, &["sync"]).env("SEGNO_SYNC_INITIAL_BATCH_SIZE", "50");
        let sleeper = sleeper.env("SEGNO_SPOTIFY_TIMEOUT", "3s").spawn();
        wait_until("all that was answered is committed", || {
            database.num_batches() >= 6 && database.count("sync_states WHERE checkpoint LIKE '%items%'") == 1
        });
        // The gate stores now and then what was sent.
        wait_until("it is stopped between two transactions", || {
            sleeper.signal("STOP");
            let is_at_rest = !database.is_being_written();
            if !is_at_rest {
                sleeper.signal("CONT");
            }
            is_at_rest
        });
        sandbox.rules(json!([]));
        let overtaker = Segno::on(&database, &sandbox, &["sync"]).spawn();
        let winner = overtaker.pid();
        let ended = overtaker.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.told());
        sandbox.library().assert_held_by(&database);
        let before = everything(&database);
        sleeper.signal("CONT");
        assert_fenced_by(&sleeper.wait(), winner);
        assert_eq!(everything(&database), before);
    }

    /// One process completes the first sync while the next, which has already looked, waits to begin.
    fn a_phase_that_ends_while_another_process_begins_is_taken_up_where_it_is(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        // The earlier process is delayed before its last request, and the later one at the database: on PostgreSQL a
        // lock on an account's row lets the other's commits pass.
        sandbox.rules(json!([{ "family": "albums", "times": 1, "do": { "kind": "delay", "ms": 1500 } }]));
        let earlier = Segno::on(&database, &sandbox, &["sync", "albums"]).spawn();
        wait_until("the earlier one has asked", || sandbox.requests("albums") >= 1);
        let held = (backend == Backend::Postgres).then(|| database.hold("SELECT 1 FROM accounts FOR NO KEY UPDATE"));
        let later = Segno::on(&database, &sandbox, &["sync", "albums"]).spawn();
        if held.is_some() {
            wait_until("the later one waits for the account", || {
                database.count("pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0
            });
        }
        let earlier = earlier.wait();
        drop(held);
        let later = later.wait();
        assert_eq!(later.code, Some(0), "{}\n\n{}", later.told(), earlier.told());
        assert!(matches!(earlier.code, Some(0 | 1)), "{}", earlier.told());
        assert_eq!(database.count("saved_albums WHERE removed_at IS NULL"), 120);
    }

    /// Starting again from the database is not taking over again: the later process remains the writer.
    fn a_fenced_process_that_starts_a_syncer_again_does_not_take_over(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        // The first page of tracks is the earlier process's, and arrives when the later one is well under way.
        sandbox.rules(json!([
            { "family": "tracks", "times": 1, "do": { "kind": "delay", "ms": 2500 } },
            { "family": "tracks", "skip": 4, "times": 1, "do": { "kind": "delay", "ms": 5000 } },
        ]));
        let earlier = Segno::on(&database, &sandbox, &["sync", "tracks"]).env("SEGNO_FAULTS", "syncer.tracks.page=4");
        let earlier = earlier.spawn();
        wait_until("the earlier one has asked", || sandbox.requests("tracks") >= 4);
        let later = Segno::on(&database, &sandbox, &["sync"]).spawn();
        let winner = later.pid();
        let earlier = earlier.wait();
        let later = later.wait();
        assert_eq!(later.code, Some(0), "{}\n\n{}", later.told(), earlier.told());
        assert!(earlier.stderr.contains("panicked: fault at syncer.tracks.page"), "{}", earlier.told());
        assert_fenced_by(&earlier, winner);
        sandbox.library().assert_held_by(&database);
    }

    /// Not even that a limit stops it.
    fn a_fenced_process_that_is_limited_notes_nothing(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        // Only the earlier process gets this answer, late: no usable Retry-After, so albums rest for an hour.
        sandbox.rules(json!([
            { "family": "albums", "times": 1, "do": { "kind": "delay", "ms": 15000 } },
            { "family": "albums", "times": 1, "do": { "kind": "quota", "retry_after": null } },
        ]));
        let earlier = Segno::on(&database, &sandbox, &["sync", "albums"]).spawn();
        wait_until("the earlier one has asked", || sandbox.requests("albums") >= 1);
        let later = Segno::on(&database, &sandbox, &["sync"]).succeed();
        let before = database.rows("sync_states");
        let earlier = earlier.wait();
        assert!(later.took.as_millis() < 14_500, "{}", later.told());
        assert_eq!(database.rows("sync_states"), before, "{}", earlier.told());
        assert_ne!(earlier.code, Some(0), "{}", earlier.told());
        sandbox.library().assert_held_by(&database);
    }
}
