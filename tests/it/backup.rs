//! `segno backup`, and every command in the page about backups.

use super::support::{Backend, Database, Sandbox, Segno, both, needs, wait_until};
use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use serde_json::json;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

fn backup(database: &Database, to: &Path) -> Segno {
    Segno::new(database.folder.path(), &["backup", to.to_str().expect("UTF-8")])
        .env("SEGNO_DATABASE_URL", &database.url())
}

#[test]
fn a_copy_is_whole_beside_a_service_that_writes() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(1500, 60, 60, 4, 60));
    sandbox.configure(json!({ "latency_ms": 100 }));
    let running = Segno::on(&database, &sandbox, &["sync"]).spawn();
    let copy = Database::new(Backend::Sqlite);
    let mut last = 0;
    for number in 1..=4 {
        wait_until("more is committed", || database.num_batches() > last);
        last = database.num_batches();
        let ended = backup(&database, &copy.file()).succeed();
        assert!(ended.stdout.contains("checked"), "{}", ended.told());
        assert_eq!(fs::metadata(copy.file()).expect("a copy").permissions().mode() & 0o777, 0o600);
        assert!(copy.num_batches() >= last, "copy {number}");
        assert_eq!(copy.lines("SELECT integrity_check AS line FROM pragma_integrity_check"), ["ok"]);
    }
    assert_eq!(running.wait().code, Some(0));
    backup(&database, &copy.file()).succeed();
    copy.assert_same_library(&database);
    // The copy is a database like any other.
    let again = Segno::on(&copy, &sandbox, &["sync", "--json"]).succeed();
    assert_eq!(again.entity("tracks")["state"], "complete", "{}", again.told());
    copy.assert_same_library(&database);
    let files: Vec<_> = fs::read_dir(copy.folder.path()).expect("a folder").flatten().map(|e| e.file_name()).collect();
    assert!(!files.iter().any(|name| name.to_string_lossy().contains("part")), "{files:?}");
}

#[test]
fn nothing_but_an_earlier_backup_is_replaced() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let folder = database.folder.path();
    let at = |name: &str| folder.join(name);
    backup(&database, &at("copy.db")).run().assert_refused(1, &["there is no database at"]);
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    fs::write(at("letter.txt"), "Dear diary").expect("a file");
    fs::write(at("empty"), "").expect("a file");
    fs::create_dir(at("folder")).expect("a folder");
    for (name, parts) in [
        ("letter.txt", ["letter.txt", "backup"]),
        ("empty", ["empty", "no backup"]),
        ("folder", ["folder", "no file"]),
        ("segno.db", ["segno.db", "the database itself"]),
        ("segno.db-wal", ["segno.db-wal", "belongs to the database itself"]),
        ("nowhere/copy.db", ["nowhere", "cannot write a backup"]),
    ] {
        let ended = backup(&database, &at(name)).run();
        assert_ne!(ended.code, Some(0), "{name}: {}", ended.told());
        assert!(parts.iter().all(|part| ended.stderr.contains(part)), "{name}: {}", ended.told());
    }
    assert_eq!(fs::read_to_string(at("letter.txt")).expect("a file"), "Dear diary");
    backup(&database, &at("copy.db")).succeed();
    backup(&database, &at("copy.db")).succeed();
}

#[test]
fn a_backup_that_was_looked_at_is_replaced() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    let copy = Database::new(Backend::Sqlite);
    for _ in 0..3 {
        backup(&database, &copy.file()).succeed();
        Segno::on(&copy, &sandbox, &["status"]).succeed();
    }
    copy.assert_same_library(&database);
}

#[test]
fn a_backup_that_is_stopped_leaves_nothing() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    let names = || {
        let entries = fs::read_dir(database.folder.path()).expect("a folder").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    // Locked by another program, the copy is begun and waits.
    let mut other = SqliteConnection::establish(&database.file().display().to_string()).expect("opens");
    other.batch_execute("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE").expect("a lock");
    let running = ["INT", "TERM"].map(|signal| {
        let to = database.folder.path().join(format!("{signal}.db"));
        (signal, backup(&database, &to).spawn())
    });
    for (signal, running) in running {
        let part = format!(".{signal}.db.{}.part", running.pid());
        wait_until("the copy is begun", || names().contains(&part));
        fs::write(database.folder.path().join(format!("{part}-journal")), "").expect("a file");
        running.signal(signal);
        let ended = running.wait();
        assert_eq!(ended.code, Some(130), "{}", ended.told());
        assert_eq!(ended.stderr, "segno: stopped; nothing was left half-written\n");
    }
    assert!(
        !names().iter().any(|name| name.contains("part") || name.contains("TERM") || name.contains("INT")),
        "{:?}",
        names()
    );
}

#[test]
fn a_backup_does_not_go_to_stdout() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    backup(&database, Path::new("-")).run().assert_refused(2, &["a backup is a file; name one"]);
    assert!(!database.folder.path().join("-").exists());
}

both! {
    fn every_command_of_the_page_on_backups_works(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(60, 5, 5, 2, 10));
        let is_postgres = backend == Backend::Postgres;
        if is_postgres && !needs::has("pg_dump") {
            return;
        }
        let (home, other) = (database.folder.path(), Database::empty(backend));
        let data = home.join(".local/share/segno");
        fs::create_dir_all(&data).expect("a folder");
        let url = if is_postgres { database.url() } else { format!("sqlite:{}", data.join("segno.db").display()) };
        Segno::on(&database, &sandbox, &["sync"]).env("SEGNO_DATABASE_URL", &url).succeed();
        let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/backup.md")).expect("the page");
        let mut num_blocks = 0;
        let mut blocks = page.split("```sh").skip(1);
        while let Some((kind, block)) = blocks.next().and_then(|rest| rest.split_once('\n')) {
            if (kind.trim() == "postgres") != is_postgres {
                continue;
            }
            num_blocks += 1;
            let commands = block.split("```").next().expect("an end");
            let ended = shell(home, commands, is_postgres.then(|| (url.clone(), other.url())));
            let told = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert!(ended.status.success(), "{commands}\n{told}");
            if commands.contains("segno status") {
                let shown = String::from_utf8_lossy(&ended.stdout).into_owned();
                assert!(shown.contains("tracks") && shown.contains("complete"), "{commands}\n{shown}");
            }
        }
        assert_eq!(num_blocks, if is_postgres { 1 } else { 4 });
        if is_postgres {
            other.assert_same_library(&database);
        }
    }
}

/// Runs commands as a person would, with the database in its usual place.
fn shell(home: &Path, commands: &str, urls: Option<(String, String)>) -> Output {
    let bin = Path::new(env!("CARGO_BIN_EXE_segno")).parent().expect("a folder").display().to_string();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", commands]).current_dir(home).env("HOME", home).env("PATH", path);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SEGNO_") || name.starts_with("XDG_")) {
        command.env_remove(name);
    }
    if let Some((url, new_url)) = urls {
        command.env("SEGNO_DATABASE_URL", url).env("NEW_DATABASE_URL", new_url);
    }
    command.output().expect("a shell")
}

#[test]
fn a_file_that_is_moved_replaced_or_deleted_stops_the_service_loudly() {
    type Happening<'a> = (&'a str, &'a dyn Fn(&Path));
    let happenings: [Happening<'_>; 3] = [
        ("moved", &|file| fs::rename(file, file.with_extension("old")).expect("it is there")),
        ("replaced", &|file| {
            fs::copy(file, file.with_extension("new")).expect("a copy");
            fs::rename(file.with_extension("new"), file).expect("it is there");
        }),
        ("deleted", &|file| fs::remove_file(file).expect("it is there")),
    ];
    let lives: Vec<_> = happenings
        .map(|(what, happens)| {
            let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(60, 5, 5, 2, 10));
            let running = Segno::on(&database, &sandbox, &["run"]).spawn();
            wait_until("all is complete", || {
                database.has_tables()
                    && database.count("sync_states WHERE is_complete AND completed_at IS NOT NULL") >= 4
            });
            happens(&database.file());
            (what, running, database, sandbox)
        })
        .into();
    for (what, running, database, _sandbox) in lives {
        let ended = running.wait();
        assert_eq!(ended.code, Some(1), "{what}: {}", ended.told());
        let last = ended.stderr.lines().last().expect("a line");
        assert!(last.contains("was moved, replaced or deleted while segno used it"), "{what}: {}", ended.told());
        let remade = database.file().exists() && what != "replaced";
        assert!(!remade, "{what}: nothing is made in its place");
        // It would be replayed into the file put there.
        let log = fs::metadata(database.folder.path().join("segno.db-wal")).map_or(0, |found| found.len());
        assert_eq!(log, 0, "{what}: the log is empty");
        if what == "replaced" {
            assert_eq!(database.lines("SELECT integrity_check AS line FROM pragma_integrity_check"), ["ok"]);
        }
    }
}

#[test]
fn a_plain_copy_of_the_file_of_an_idle_service_holds_the_library() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(300, 20, 20, 3, 30));
    let running = Segno::on(&database, &sandbox, &["run"]).env("SEGNO_FAULT_HASTE", "10").spawn();
    let copy = Database::new(Backend::Sqlite);
    wait_until("all is complete", || {
        database.has_tables() && database.count("sync_states WHERE is_complete AND completed_at IS NOT NULL") >= 4
    });
    wait_until("a plain copy holds it", || {
        fs::copy(database.file(), copy.file()).expect("a copy");
        copy.has_tables()
            && copy.count("saved_tracks") == 300
            && copy.count("playlist_items") == database.count("playlist_items")
    });
    copy.assert_same_library(&database);
    running.signal("TERM");
    assert_eq!(running.wait().code, Some(0));
}

both! {
    fn old_notes_are_forgotten_and_nothing_that_is_the_persons(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(120, 10, 10, 2, 10));
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        let before = database.library();
        let (long_ago, then) = ("'2020-01-01 00:00:00.000000+00:00'", "'2021-01-01 00:00:00.000000+00:00'");
        database.execute(&format!("UPDATE sync_batches SET committed_at = {long_ago} WHERE entity_type = 'tracks'"));
        database.execute(&format!("UPDATE saved_tracks SET removed_at = {long_ago} WHERE track_id IN (SELECT min(id) FROM tracks)"));
        let num_removed = database.count("saved_tracks WHERE removed_at IS NOT NULL");
        let old = || database.count(&format!("sync_batches WHERE committed_at < {then}"));
        let num_others = database.count("sync_batches WHERE entity_type <> 'tracks'");
        assert!(old() > 0 && num_others > 0);
        let running = Segno::on(&database, &sandbox, &["run"]).env("SEGNO_FAULT_HASTE", "100").spawn();
        wait_until("old notes are forgotten", || old() == 0);
        running.signal("TERM");
        assert_eq!(running.wait().code, Some(0));
        assert!(database.count("sync_batches WHERE entity_type <> 'tracks'") >= num_others, "newer ones stay");
        assert!(num_removed <= 1 && database.count("saved_tracks") == 120);
        assert_eq!(database.library()["tracks"], before["tracks"]);
    }
}
