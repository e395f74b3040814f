//! Where a backup may be put, and what it may replace.

use super::*;
use crate::store::back_up;
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use std::fs;
use std::path::{Path, PathBuf};

/// A database, and a folder for its backups.
struct House {
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> House {
        let house = House { folder: tempfile::tempdir().unwrap() };
        drop(house.open("segno.db"));
        house
    }

    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self, name: &str) -> Store {
        on_one_thread(Store::open(&DatabaseUrl::sqlite_file(self.at(name)), "test")).unwrap()
    }

    fn back_up(&self, to: impl AsRef<Path>) -> Result<u64, String> {
        let backed_up = back_up(DatabaseUrl::sqlite_file(self.at("segno.db")), self.at(to));
        on_one_thread(backed_up).map_err(|error| error.to_string())
    }

    fn companions(&self, of: &str) -> Vec<&'static str> {
        ["-wal", "-shm", "-journal"].into_iter().filter(|suffix| self.at(format!("{of}{suffix}")).exists()).collect()
    }

    /// A reader that may not write, as other tools are.
    fn reader(&self, name: &str) -> SqliteConnection {
        let url = format!("file://{}?mode=ro", self.at(name).display());
        let mut reader = SqliteConnection::establish(&url).unwrap();
        reader.batch_execute("SELECT count(*) FROM sync_states").unwrap();
        reader
    }
}

#[test]
fn a_backup_that_somebody_has_looked_at_is_replaced() {
    let house = House::new();
    house.back_up("copy.db").unwrap();
    for round in 0..3 {
        // A status switches it to the write-ahead log; a reader leaves files beside it.
        drop(house.open("copy.db"));
        drop(house.reader("copy.db"));
        assert_eq!(house.companions("copy.db"), ["-wal", "-shm"], "round {round}");
        assert!(house.back_up("copy.db").is_ok_and(|len| len > 0), "round {round}");
        assert_eq!(house.companions("copy.db"), [""; 0], "round {round}");
    }
}

#[test]
fn a_backup_in_use_is_not_replaced() {
    let house = House::new();
    house.back_up("copy.db").unwrap();
    drop(house.open("copy.db"));
    let reader = house.reader("copy.db");
    let refused = house.back_up("copy.db").unwrap_err();
    assert!(refused.ends_with("the database there is in use"), "{refused}");
    drop(reader);
    house.back_up("copy.db").unwrap();
}

#[test]
fn files_of_another_database_are_not_left_beside_a_backup() {
    let house = House::new();
    for suffix in ["-wal", "-shm", "-journal"] {
        let left = house.at(format!("copy.db{suffix}"));
        fs::write(&left, "of a database that was killed").unwrap();
        let refused = house.back_up("copy.db").unwrap_err();
        let expected = format!("{} is left of another database and would damage the copy; remove it", left.display());
        assert!(refused.contains(&expected), "{refused}");
        assert!(!house.at("copy.db").exists());
        fs::remove_file(left).unwrap();
    }
    house.back_up("copy.db").unwrap();
}

#[test]
fn a_backup_is_no_part_of_the_database_and_has_a_name() {
    use std::os::unix::ffi::OsStrExt;
    let house = House::new();
    for (name, reason) in [
        ("segno.db", "that is the database itself"),
        ("segno.db-wal", "that belongs to the database itself"),
        ("segno.db-journal", "that belongs to the database itself"),
        ("..", "something that is no file is in its place"),
    ] {
        let refused = house.back_up(name).unwrap_err();
        assert!(refused.ends_with(reason), "{name}: {refused}");
    }
    let refused = house.back_up(std::ffi::OsStr::from_bytes(b"copy\xff.db")).unwrap_err();
    assert!(refused.ends_with("its path is not UTF-8 text, as SQLite needs it"), "{refused}");
    let names = fs::read_dir(house.folder.path()).unwrap().flatten();
    let parts = names.filter(|entry| entry.file_name().to_string_lossy().contains("part")).count();
    assert_eq!(parts, 0);
}
