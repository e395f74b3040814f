//! The file is sound for other SQLite versions: for whichever `sqlite3` is installed. Debian 12's 3.40 misreads tables
//! whose keys do not come first.

use super::support::{Backend, Database, Sandbox, Segno, needs};
use std::process::{Command, Output};

#[test]
fn the_installed_sqlite_finds_a_synced_file_sound() {
    let Some(sqlite3) = installed() else { return };
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(700, 60, 60, 4, 60));
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    let ask = |sql: &str| {
        let Output { stdout, stderr, status } =
            Command::new(&sqlite3).arg(database.file()).arg(sql).output().expect("it runs");
        assert!(status.success(), "{sql}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).expect("UTF-8").trim().to_owned()
    };
    assert_eq!(ask("PRAGMA integrity_check"), "ok");
    assert_eq!(ask("PRAGMA foreign_key_check"), "");
    let rows = ["track_artists", "album_artists", "playlist_items"].map(|table| database.count(table));
    assert!(rows.iter().all(|num_rows| *num_rows > 0), "{rows:?}");
    // Keys first, in every table, including those added later.
    let behind = "SELECT m.name || '.' || c.name FROM sqlite_master m, pragma_table_info(m.name) c \
                  WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\' AND c.pk > 0 AND c.cid >= \
                  (SELECT count(*) FROM pragma_table_info(m.name) k WHERE k.pk > 0)";
    assert_eq!(ask(behind), "", "columns of a key behind others");
}

/// The program at `SEGNO_TEST_SQLITE3`, or the one that is installed.
fn installed() -> Option<String> {
    let program = std::env::var("SEGNO_TEST_SQLITE3").ok().filter(|path| !path.is_empty());
    let program = program.unwrap_or_else(|| "sqlite3".to_owned());
    needs::has(&program).then_some(program)
}
