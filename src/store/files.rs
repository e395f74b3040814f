//! The files that a SQLite database consists of, so that nothing else is put in their place. Ours are told by name and
//! identity and never opened: closing a descriptor would drop the locks that a connection of this process holds.

use super::sqlite::identity;
use super::{DatabaseUrl, StoreError};
use crate::parts::{JOURNAL, beside};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What SQLite adds to the name of a database for the files beside it.
pub(super) const COMPANIONS: [&str; 3] = ["-wal", "-shm", JOURNAL];

/// How every SQLite database begins.
const HEADER: &[u8; 16] = b"SQLite format 3\0";

/// What a path is to a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kin {
    Itself,
    /// One of the files beside it, which may be absent at this moment.
    Companion,
}

/// Refuses a place for a new file where it would replace the database, a part of it, or another SQLite database.
pub fn refuse_to_replace(url: &DatabaseUrl, path: &Path) -> Result<(), StoreError> {
    let kin = match url {
        DatabaseUrl::Sqlite(database) => kin(database, path),
        DatabaseUrl::Postgres(_) => None,
    };
    let what = match kin {
        Some(Kin::Itself) => "the database that segno uses",
        Some(Kin::Companion) => "a part of the database that segno uses",
        None if is_database(path) => "a SQLite database",
        None => return Ok(()),
    };
    Err(StoreError::WouldReplace { path: path.to_owned(), what })
}

pub(super) fn kin(database: &Path, path: &Path) -> Option<Kin> {
    let places: Vec<PathBuf> = names(path).collect();
    // Another name of the same file: a hard link, or another spelling where case does not count.
    let is_same = |file: &Path| cfg!(unix) && identity(file).is_some_and(|found| identity(path) == Some(found));
    let is_it = |file: &Path| places.iter().any(|place| place == file) || is_same(file);
    // Beside a link to a database, and beside that.
    names(database).find_map(|name| {
        if is_it(&name) {
            return Some(Kin::Itself);
        }
        COMPANIONS.iter().any(|suffix| is_it(&beside(&name, suffix))).then_some(Kin::Companion)
    })
}

/// A path without detours, as it is and with all links followed. The file may be absent.
fn names(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let place = || {
        let path = std::path::absolute(path).ok()?;
        Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
    };
    place().into_iter().chain(path.canonicalize().ok())
}

/// Only for a file that is not ours.
fn is_database(path: &Path) -> bool {
    let mut header = [0; HEADER.len()];
    let is_file = fs::metadata(path).is_ok_and(|found| found.is_file());
    is_file && File::open(path).and_then(|mut file| file.read_exact(&mut header)).is_ok() && header == *HEADER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_of_a_database_is_replaced_under_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [
            ("segno.db", "SQLite format 3\0 ours"),
            ("other", "SQLite format 3\0 another"),
            ("list.csv", "SQLite format 3"),
            ("segno.db-shm", ""),
        ] {
            fs::write(at(name), text).unwrap();
        }
        fs::create_dir(at("folder")).unwrap();
        std::os::unix::fs::symlink(at("segno.db"), at("link")).unwrap();
        fs::hard_link(at("segno.db"), at("hard")).unwrap();
        let (ours, part) = (Some("the database that segno uses"), Some("a part of the database that segno uses"));
        let another = Some("a SQLite database");
        for (name, expected) in [
            ("segno.db", ours),
            ("folder/../segno.db", ours),
            ("link", ours),
            ("hard", ours),
            ("segno.db-wal", part),
            ("segno.db-shm", part),
            ("segno.db-journal", part),
            ("link-wal", None),
            ("other", another),
            ("list.csv", None),
            ("segno.db.csv", None),
            ("absent", None),
            ("absent/absent", None),
            ("folder", None),
        ] {
            let refused = refuse_to_replace(&DatabaseUrl::sqlite_file(at("segno.db")), &at(name));
            let what = refused.err().map(|error| match error {
                StoreError::WouldReplace { path, what } if path == at(name) => what,
                error => panic!("{name}: {error}"),
            });
            assert_eq!(what, expected, "{name}");
        }
        // SQLite follows a link and puts the companions beside the file itself.
        for (name, kind) in [("segno.db-wal", Kin::Companion), ("link-wal", Kin::Companion), ("segno.db", Kin::Itself)]
        {
            assert_eq!(kin(&at("link"), &at(name)), Some(kind), "{name}");
        }
        let postgres = DatabaseUrl::parse("postgres://segno@localhost/library").unwrap();
        assert!(refuse_to_replace(&postgres, &at("list.csv")).is_ok());
        assert!(refuse_to_replace(&postgres, &at("other")).is_err());
    }
}
