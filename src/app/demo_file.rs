//! Which file the demo may write to, and remove: one that is absent or empty, or contains nothing but an earlier demo.
//! Any other file belongs to somebody and stays as it is, byte for byte.

use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query, sql_types};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};
use url::Url;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// What the owner of the data wants to know.
const UNTOUCHED: &str = "it was left as it is";

/// What is at a path that the demo may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// The database of an earlier demo, possibly cut short.
    Demo,
}

/// Checks without touching. `client_id` is the application that only the demo has. Returns why the file is not the
/// demo's.
pub fn look(path: &Path, client_id: &str) -> Result<Found, String> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return folder_of(path).map(|()| Found::Nothing),
        Err(error) => return Err(format!("cannot be looked at: {error}")),
    };
    if !metadata.is_file() {
        return Err(if metadata.is_dir() { "is a folder".into() } else { "is not a regular file".into() });
    }
    let head = head_of(path).map_err(|error| format!("cannot be read: {error}"))?;
    if head.is_empty() {
        return Ok(Found::Demo);
    }
    if head != MAGIC {
        return Err(format!("is not a SQLite database; {UNTOUCHED}"));
    }
    match num_of_others(path, client_id) {
        Ok(Some(0)) => Ok(Found::Demo),
        Ok(Some(_)) => Err(format!("holds the library of an account; {UNTOUCHED}")),
        Ok(None) => Err(format!("is the database of another program; {UNTOUCHED}")),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

/// Removes the database of an earlier demo. Call [`look`] before.
pub fn remove(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn folder_of(path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.is_dir() { Ok(()) } else { Err("is in a folder that does not exist".into()) }
}

fn head_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut head)?;
    Ok(head)
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = sql_types::BigInt)]
    count: i64,
}

/// The tracks of the library that a demo's database was made for; `None` if that was not noted. The library that it holds
/// may have changed since.
pub fn noted_size(path: &Path) -> Result<Option<u32>, Box<dyn std::error::Error>> {
    #[derive(QueryableByName)]
    struct Version {
        #[diesel(sql_type = sql_types::Integer)]
        user_version: i32,
    }
    let version = sql_query("PRAGMA user_version").get_result::<Version>(&mut open(path, "ro")?)?.user_version;
    Ok(version.checked_sub(1).and_then(|tracks| u32::try_from(tracks).ok()))
}

/// Notes it in the file's own number, which is 0 in a new file.
pub fn note_size(path: &Path, tracks: u32) -> Result<(), Box<dyn std::error::Error>> {
    sql_query(format!("PRAGMA user_version = {}", tracks + 1)).execute(&mut open(path, "rw")?)?;
    Ok(())
}

fn open(path: &Path, mode: &str) -> Result<SqliteConnection, Box<dyn std::error::Error>> {
    let path = std::path::absolute(path)?;
    let mut url = Url::from_file_path(&path).map_err(|()| "its path cannot be written as a URL")?;
    url.set_query(Some(&format!("mode={mode}")));
    let mut conn = SqliteConnection::establish(url.as_str())?;
    sql_query("PRAGMA busy_timeout = 5000").execute(&mut conn)?;
    Ok(conn)
}

/// How many accounts in the database have signed in elsewhere; `None` if it is not one of ours.
fn num_of_others(path: &Path, client_id: &str) -> Result<Option<i64>, Box<dyn std::error::Error>> {
    let mut conn = open(path, "ro")?;
    let mut count = |sql: &str| sql_query(sql).get_result::<Count>(&mut conn).map(|row| row.count);
    let tables = "SELECT count(*) AS count FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    if count(tables)? == 0 {
        return Ok(Some(0));
    }
    let ours = format!("{tables} AND name IN ('accounts', 'account_tokens', 'sync_states')");
    if count(&ours)? < 3 {
        return Ok(None);
    }
    let others = sql_query("SELECT count(*) AS count FROM account_tokens WHERE client_id <> ?");
    Ok(Some(others.bind::<sql_types::Text, _>(client_id).get_result::<Count>(&mut conn)?.count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_size_of_the_library_is_noted_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("demo 1.db");
        let mut conn = SqliteConnection::establish(&path.display().to_string()).unwrap();
        diesel::connection::SimpleConnection::batch_execute(&mut conn, "CREATE TABLE accounts (id)").unwrap();
        assert_eq!(noted_size(&path).unwrap(), None);
        for tracks in [0, 5_000, 1_000_000] {
            note_size(&path, tracks).unwrap();
            assert_eq!(noted_size(&path).unwrap(), Some(tracks));
        }
    }

    #[test]
    fn what_is_not_the_demos_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let database = |name: &str, sql: &str| {
            let mut conn = SqliteConnection::establish(&at(name).display().to_string()).unwrap();
            diesel::connection::SimpleConnection::batch_execute(&mut conn, sql).unwrap();
        };
        let ours =
            "CREATE TABLE accounts (id); CREATE TABLE sync_states (id); CREATE TABLE account_tokens (client_id);";
        fs::write(at("text.db"), "a letter").unwrap();
        fs::write(at("torn.db"), "SQLite format 3\0 and then nothing that makes sense").unwrap();
        fs::write(at("empty.db"), "").unwrap();
        database("bookmarks 100%.db", "CREATE TABLE bookmarks (id); CREATE TABLE accounts (id);");
        database("library.db", &format!("{ours} INSERT INTO account_tokens VALUES ('demo'), ('mine')"));
        database("demo.db", &format!("{ours} INSERT INTO account_tokens VALUES ('demo')"));
        database("young.db", ours);

        let looked = |name: &str| look(&at(name), "demo");
        assert_eq!(looked("none.db"), Ok(Found::Nothing));
        for name in ["empty.db", "demo.db", "young.db"] {
            assert_eq!(looked(name), Ok(Found::Demo), "{name}");
        }
        for (name, why) in [
            ("", "is a folder"),
            ("nowhere/demo.db", "is in a folder that does not exist"),
            ("text.db", "is not a SQLite database; it was left as it is"),
            ("bookmarks 100%.db", "is the database of another program; it was left as it is"),
            ("library.db", "holds the library of an account; it was left as it is"),
        ] {
            assert_eq!(looked(name), Err(why.to_owned()), "{name}");
        }
        assert!(looked("torn.db").unwrap_err().starts_with("cannot be read: "));
        assert_eq!(fs::read(at("text.db")).unwrap(), b"a letter");
    }
}
