//! A database of the previous release: brought up to date by the first start, complete, and sound according to `segno
//! verify`.

use super::support::{Backend, Database, Sandbox, Segno, both, entity_types};
use serde_json::json;
use std::{collections::BTreeMap, fs, path::PathBuf};

/// The migrations of 0.1.0.
const RELEASE_0_1_0: [&str; 18] = [
    "2026-11-01-000000_library",
    "2026-11-22-000000_service",
    "2026-11-22-100000_ledger",
    "2026-11-22-200000_playback",
    "2026-11-22-300000_login",
    "2026-11-22-500000_changes",
    "2026-11-22-600000_paused",
    "2026-11-23-000000_as_it_comes",
    "2026-11-28-100000_sign_ins",
    "2026-11-28-200000_held_removals",
    "2026-11-28-300000_playlist_readings",
    "2026-11-28-400000_kept",
    "2026-11-28-500000_shared_limits",
    "2026-11-29-100000_bounded_names",
    "2026-11-29-110000_keys_first",
    "2026-11-29-200000_shows",
    "2026-11-29-300000_streams",
    "2026-11-29-310000_listening",
];

fn up(backend: Backend, migration: &str) -> String {
    let folder = if backend == Backend::Sqlite { "sqlite" } else { "postgres" };
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "migrations", folder, migration, "up.sql"].iter().collect();
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `20261101000000`, as in the table of migrations.
fn version(migration: &str) -> String {
    let (date_and_time, _) = migration.split_once('_').expect("a name");
    date_and_time.replace('-', "")
}

/// Turns a present database into one as left by 0.1.0, with every row that it had a place for.
fn back_to_0_1_0(database: &Database) {
    let backend = database.backend;
    let today: BTreeMap<String, Vec<String>> =
        database.tables().into_iter().map(|table| (table.clone(), database.columns(&table))).collect();
    let mut sql = String::new();
    match backend {
        Backend::Sqlite => {
            let newer = database.folder.path().join("newer.db");
            // Everything in one file.
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)");
            fs::rename(database.file(), &newer).expect("it moves");
        }
        Backend::Postgres => sql.push_str("ALTER SCHEMA public RENAME TO newer; CREATE SCHEMA public;"),
    }
    sql.push_str(
        "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL, \
         run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);",
    );
    for migration in RELEASE_0_1_0 {
        sql.push_str(&up(backend, migration));
        sql.push_str(&format!(";INSERT INTO __diesel_schema_migrations (version) VALUES ('{}');", version(migration)));
    }
    database.execute_all(&sql);
    let copied = |columns: &[String], table: &str| {
        let columns = columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ");
        let always = if backend == Backend::Postgres { " OVERRIDING SYSTEM VALUE" } else { "" };
        format!("INSERT INTO {table} ({columns}){always} SELECT {columns} FROM newer.{table};")
    };
    let mut fill = match backend {
        Backend::Sqlite => format!(
            "PRAGMA foreign_keys = OFF; ATTACH '{}' AS newer;",
            database.folder.path().join("newer.db").display()
        ),
        Backend::Postgres => "SET session_replication_role = replica;".to_owned(),
    };
    for table in database.tables() {
        let columns = today.get(&table).map(Vec::as_slice).unwrap_or_default();
        let columns: Vec<String> =
            database.columns(&table).into_iter().filter(|column| columns.contains(column)).collect();
        fill.push_str(&format!("DELETE FROM {table};"));
        if !columns.is_empty() {
            fill.push_str(&copied(&columns, &table));
        }
    }
    if backend == Backend::Postgres {
        fill.push_str("DROP SCHEMA newer CASCADE;");
        // As the rows would have left it.
        fill.push_str(
            "DO $$ DECLARE t text; BEGIN FOR t IN SELECT table_name FROM information_schema.columns \
             WHERE table_schema = 'public' AND column_name = 'id' AND is_identity = 'YES' LOOP \
             EXECUTE format('SELECT setval(pg_get_serial_sequence(%L, ''id''), (SELECT coalesce(max(id), 1) FROM %I))', t, t); \
             END LOOP; END $$;",
        );
    }
    database.execute_all(&fill);
}

/// A library, plays, and an imported export.
fn filled(backend: Backend) -> (Database, Sandbox) {
    let (database, sandbox) = (Database::new(backend), Sandbox::exact_with([330, 40, 30, 4, 60], [6, 8, 3], &[]));
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    sandbox
        .edit(json!([{ "op": "remove_tracks", "offset": 40 }, { "op": "playlist_insert", "index": 0, "position": 1 }]));
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    let row = |number: u32| {
        json!({"ts": format!("2025-03-{number:02}T18:04:31Z"), "ms_played": 100_000, "master_metadata_track_name": format!("Song {number}"),
            "master_metadata_album_artist_name": "The Tin Lanterns", "spotify_track_uri": format!("spotify:track:{number:022}")})
    };
    let rows: Vec<_> = (1..=20).map(row).collect();
    let export = database.folder.path().join("Streaming_History_Audio_2025_0.json");
    fs::write(&export, json!(rows).to_string()).expect("a file");
    Segno::on(&database, &sandbox, &["import", export.to_str().expect("UTF-8")]).succeed();
    (database, sandbox)
}

both! {
    fn a_database_of_the_release_before_is_brought_up_to_date_and_found_sound(backend) {
        let (database, sandbox) = filled(backend);
        let kept = ["streams", "imports", "plays", "playlist_versions", "playlist_changes", "play_gaps", "saved_tracks", "sync_states"];
        let rows = |database: &Database| (database.library(), kept.map(|table| database.rows(table)));
        let before = rows(&database);
        let listened = Segno::on(&database, &sandbox, &["listening", "--json"]).succeed().stdout;
        back_to_0_1_0(&database);
        assert!(!database.tables().contains(&"outbox".to_owned()), "{:?}", database.tables());

        let migrated = Segno::on(&database, &sandbox, &["status"]).succeed();

        assert!(migrated.stdout.contains("330 listed") || migrated.stdout.contains("329 listed"), "{}", migrated.told());
        assert!(rows(&database) == before, "not a row differs");
        sandbox.forget_requests();
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        assert!(sandbox.requests("*") <= 12, "an incremental run, from where 0.1.0 was: {} requests", sandbox.requests("*"));
        let verified = Segno::on(&database, &sandbox, &["verify"]).succeed();
        assert_eq!(verified.stdout.matches("looked at, no difference").count(), entity_types().count(), "{}", verified.told());
        sandbox.library().assert_held_by(&database);
        assert_eq!(Segno::on(&database, &sandbox, &["listening", "--json"]).succeed().stdout, listened);
        if backend == Backend::Sqlite {
            assert_eq!(database.lines("SELECT integrity_check AS line FROM pragma_integrity_check"), ["ok"]);
            assert_eq!(database.count("pragma_foreign_key_check"), 0);
        }
    }
}
