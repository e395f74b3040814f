//! Rows and checkpoint commit together or not at all (G1), whatever the database does in the middle of a batch.

use super::support::{Backend, Database, Ended, Sandbox, Segno, both, wait_until};
use diesel::{Connection, RunQueryDsl, SqliteConnection, sql_query};
use serde_json::{Value, json};
use std::time::Duration;

/// What a batch writes besides library rows.
const BOOKS: &[&str] = &[
    "sync_batches",
    "sync_seen",
    "sync_gaps",
    "sync_odd_items",
    "playlist_versions",
    "playlist_walks",
    "playlist_items_before",
];

/// The message with which the database refuses the row.
const REFUSAL: &str = "this row is cursed";

fn library() -> Sandbox {
    Sandbox::exact(1100, 260, 160, 5, 120)
}

/// Everything that a batch changes, checkpoint included.
fn all_that_batches_write(database: &Database) -> Vec<String> {
    let mut lines: Vec<String> = database.library().into_values().flatten().collect();
    for table in BOOKS {
        lines.extend(database.rows(table).into_iter().map(|row| format!("{table}: {row}")));
    }
    let columns =
        ["entity_type", "phase", "last_synced_offset", "cursor", "total_estimated", "is_complete", "checkpoint"];
    let columns = columns.map(|column| format!("coalesce(CAST({column} AS TEXT), 'null')")).join(" || '|' || ");
    lines.extend(database.lines(&format!("SELECT {columns} AS line FROM sync_states ORDER BY id")));
    lines
}

/// Makes the database refuse every row of `table` for which `condition`, in terms of NEW, holds. On PostgreSQL
/// `deferred` delays the refusal until the commit.
fn curse(database: &Database, table: &str, condition: &str, deferred: bool) {
    match database.backend {
        Backend::Sqlite => database.execute(&format!(
            "CREATE TRIGGER cursed BEFORE INSERT ON {table} WHEN {condition} \
             BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        )),
        Backend::Postgres => {
            let when = if deferred { "CONSTRAINT TRIGGER cursed AFTER" } else { "TRIGGER cursed BEFORE" };
            let timing = if deferred { "DEFERRABLE INITIALLY DEFERRED" } else { "" };
            database.execute(&format!(
                "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ \
                 BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$; \
                 CREATE {when} INSERT ON {table} {timing} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()"
            ));
        }
    }
}

fn lift_the_curse(database: &Database, table: &str) {
    match database.backend {
        Backend::Sqlite => database.execute("DROP TRIGGER cursed"),
        Backend::Postgres => database.execute(&format!("DROP TRIGGER cursed ON {table}")),
    }
}

/// Where the first run of each case stops: the entity type, its family, how many of its requests are answered, and how
/// many batches that makes.
struct Case {
    entity: &'static str,
    family: &'static str,
    num_answered: u32,
    num_batches: u64,
    table: &'static str,
}

/// A first run commits some batches and is stopped by a refusal of the API; the second meets a row that the database
/// refuses, in the middle of its first batch; the third completes.
fn a_refused_row_undoes_its_batch(backend: Backend, case: &Case, condition: &str, deferred: bool) {
    let (database, sandbox) = (Database::new(backend), library());
    let sync = || Segno::on(&database, &sandbox, &["sync", case.entity]);
    let Case { family, num_answered, table, .. } = *case;
    sandbox.rules(json!([{ "family": family, "skip": num_answered, "do": { "kind": "status", "status": 400 } }]));
    assert_eq!(sync().run().code, Some(1));
    sandbox.rules(json!([]));
    database.end_cooldowns();
    assert_eq!(database.num_batches(), case.num_batches, "{:?}", database.rows("sync_batches"));
    let before = all_that_batches_write(&database);

    let condition = fill_in(&sandbox, condition);
    curse(&database, table, &condition, deferred);
    let ended = sync().run();
    assert_eq!(ended.code, Some(1), "{}", ended.told());
    assert!(ended.stdout.contains(REFUSAL) && ended.stderr.contains(REFUSAL), "{}", ended.told());
    assert_eq!(all_that_batches_write(&database), before, "{}", ended.told());
    let shown = status_of(&database, &sandbox, case.entity);
    assert_eq!(shown["state"], "failed", "{shown}");
    assert!(shown["error"].as_str().is_some_and(|error| error.contains(REFUSAL)), "{shown}");

    lift_the_curse(&database, table);
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    sandbox.library().assert_held_by(&database);
    assert_eq!(status_of(&database, &sandbox, case.entity)["error"], Value::Null);
}

/// `{track 500}` becomes the id of that saved track, and so on.
fn fill_in(sandbox: &Sandbox, condition: &str) -> String {
    let state = sandbox.library().state;
    let Some((before, rest)) = condition.split_once('{') else { return condition.to_owned() };
    let (place, after) = rest.split_once('}').expect("a closing brace");
    let (listing, index) = place.split_once(' ').expect("a listing and a place");
    let row = &state[listing][index.parse::<usize>().expect("a place")];
    format!("{before}'{}'{after}", row["id"].as_str().expect("an id"))
}

fn status_of(database: &Database, sandbox: &Sandbox, entity: &str) -> Value {
    let status = Segno::on(database, sandbox, &["status", "--json"]).succeed().json();
    let entities = status["accounts"][0]["entities"].as_array().expect("entities").clone();
    entities.into_iter().find(|shown| shown["entity_type"] == entity).expect("the entity type")
}

/// Eight pages of tracks make two batches; the third reaches from 400 to 600.
const TRACKS: Case =
    Case { entity: "tracks", family: "tracks", num_answered: 8, num_batches: 2, table: "saved_tracks" };

both! {
    fn a_refused_membership_undoes_its_batch(backend) {
        a_refused_row_undoes_its_batch(backend, &TRACKS, "NEW.track_id = {tracks 500}", false);
    }

    /// Catalogue rows are written before anything else in the batch; none of a refused batch are left behind.
    fn a_refused_line_of_credits_undoes_its_batch(backend) {
        let case = Case { table: "track_artists", ..TRACKS };
        a_refused_row_undoes_its_batch(backend, &case, "NEW.track_id = {tracks 588}", false);
    }

    /// The batch log comes last in its transaction; on PostgreSQL this one fails in the commit itself.
    fn a_refused_commit_undoes_its_batch(backend) {
        let case = Case { table: "sync_batches", ..TRACKS };
        a_refused_row_undoes_its_batch(backend, &case, "NEW.entity_type = 'tracks'", true);
    }

    fn a_refused_item_of_a_playlist_undoes_its_batch(backend) {
        // Of 5 x 120 items the first 120 are stored, the listing twice, and which playlists are to be read again.
        let case = Case {
            entity: "playlists", family: "playlist_items", num_answered: 3, num_batches: 4, table: "playlist_items",
        };
        a_refused_row_undoes_its_batch(backend, &case, "NEW.playlist_id = {playlists 1} AND NEW.position = 60", false);
    }

    fn a_refused_artist_undoes_its_batch(backend) {
        let case = Case {
            entity: "artists", family: "artists", num_answered: 2, num_batches: 1, table: "followed_artists",
        };
        a_refused_row_undoes_its_batch(backend, &case, "NEW.artist_id = {artists 120}", false);
    }
}

/// Takes the write lock of the file, as another program would.
fn lock(database: &Database) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(&database.file().display().to_string()).expect("opens");
    for pragma in ["PRAGMA busy_timeout = 500", "BEGIN IMMEDIATE"] {
        sql_query(pragma).execute(&mut conn).expect("the lock");
    }
    conn
}

/// Another program holds the write lock for longer than SQLite waits: the run waits, and continues.
#[test]
fn a_file_locked_for_a_while_only_delays() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), library());
    // From the ninth page of tracks on there is no answer for a second: time to take the lock while nobody writes.
    sandbox.rules(json!([{ "family": "tracks", "skip": 8, "do": { "kind": "delay", "ms": 1000 } }]));
    let running = Segno::on(&database, &sandbox, &["sync", "tracks"]).spawn();
    wait_until("what was answered is committed", || database.num_batches() == 2);
    let mut conn = lock(&database);
    std::thread::sleep(Duration::from_secs(7));
    sql_query("ROLLBACK").execute(&mut conn).expect("it is ours");
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.told());
    assert!(ended.stderr.contains("starting again from the database"), "{}", ended.told());
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    sandbox.library().assert_held_by(&database);
}

#[test]
fn a_file_locked_at_the_start_only_delays() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), library());
    Segno::on(&database, &sandbox, &["sync", "artists"]).succeed();
    let mut conn = lock(&database);
    let running = Segno::on(&database, &sandbox, &["sync"]).spawn();
    std::thread::sleep(Duration::from_secs(7));
    sql_query("ROLLBACK").execute(&mut conn).expect("it is ours");
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.told());
    let told = ended.stderr.matches("another program has locked the database").count();
    assert_eq!(told, 1, "{}", ended.told());
    sandbox.library().assert_held_by(&database);
}

/// The server closes every connection, twice: the outcome of the commit is unknown, so the database is asked.
#[test]
fn a_server_that_closes_its_connections_only_delays() {
    if !Backend::Postgres.is_available() {
        return;
    }
    let (database, sandbox) = (Database::new(Backend::Postgres), library());
    sandbox.configure(json!({ "latency_ms": 30 }));
    let running = Segno::on(&database, &sandbox, &["sync"]).spawn();
    for num_batches in [3, 9] {
        wait_until("some batches are committed", || database.num_batches() >= num_batches);
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }
    let ended: Ended = running.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.told());
    sandbox.library().assert_held_by(&database);
}
