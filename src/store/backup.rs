//! A copy of a SQLite database, taken while others read and write it: complete, as of one moment, checked, and put in
//! place in one step. PostgreSQL has tools of its own for that.

use super::files::{COMPANIONS, Kin, kin};
use super::sqlite::{Absent, explain, prepare_file, refuse_foreign, refuse_foreign_at_rest, url_with};
use super::{DatabaseUrl, StoreError};
use crate::parts::{Access, Part, beside};
use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use tokio::sync::oneshot;

/// The only output of a check of a sound file.
const SOUND: &str = "ok";

#[derive(QueryableByName)]
struct Finding {
    #[diesel(sql_type = Text)]
    integrity_check: String,
}

/// A copy that has its place.
struct Begun {
    from: PathBuf,
    target: PathBuf,
    part: Part,
}

/// Copies the database to `to`, which is absent or an earlier copy. Returns its length. Dropping the future removes what
/// was written so far and waits for nothing.
pub async fn back_up(url: DatabaseUrl, to: PathBuf) -> Result<u64, StoreError> {
    let place = to.clone();
    let Begun { from, target, part } = on_a_thread(move || begin(&url, &place)).await?;
    let path = part.path().to_owned();
    let copied = on_a_thread(move || write(&from, &path)).await;
    let finished = copied.and_then(|len| {
        part.put_in_place()?;
        // The name has to be on the disk, too.
        if let Some(folder) = target.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(len)
    });
    finished.map_err(|error| not_written(&to, &error.to_string()))
}

/// Runs what takes long on a thread that the process does not wait for when it ends.
async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = oneshot::channel();
    thread::spawn(move || {
        // Without a receiver the result is dropped, and a part with it.
        let _ = done.send(work());
    });
    result.await.expect("the work does not panic")
}

fn not_written(to: &Path, reason: &str) -> StoreError {
    StoreError::NotBackedUp { path: to.to_owned(), reason: reason.to_owned() }
}

fn begin(url: &DatabaseUrl, to: &Path) -> Result<Begun, StoreError> {
    let DatabaseUrl::Sqlite(from) = url else { return Err(StoreError::NotAFileToCopy) };
    prepare_file(from, Absent::Refuse)?;
    refuse_foreign(from)?;
    let failed = |error: io::Error| not_written(to, &error.to_string());
    let target = std::path::absolute(to).map_err(failed)?;
    if target.to_str().is_none() {
        return Err(not_written(to, "its path is not UTF-8 text, as SQLite needs it"));
    }
    may_replace(from, &target).map_err(|error| match error {
        Ok(reason) => not_written(to, &reason),
        Err(error) => error,
    })?;
    let (part, file) = Part::create(&target, Access::Owner).map_err(failed)?;
    // SQLite opens it itself, and closing this one later would drop its locks.
    drop(file);
    Ok(Begun { from: from.clone(), target, part })
}

/// Only an earlier copy of ours may be replaced. Errors: a reason, or a complete message.
fn may_replace(from: &Path, to: &Path) -> Result<(), Result<String, StoreError>> {
    match kin(from, to) {
        Some(Kin::Itself) => return Err(Ok("that is the database itself".into())),
        Some(Kin::Companion) => return Err(Ok("that belongs to the database itself".into())),
        None => {}
    }
    let companion = || COMPANIONS.iter().map(|suffix| beside(to, suffix)).find(|path| path.symlink_metadata().is_ok());
    match std::fs::symlink_metadata(to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match companion() {
                // SQLite would replay it into the copy.
                Some(left) => Err(Ok(format!(
                    "{} is left of another database and would damage the copy; remove it, or name another file",
                    left.display()
                ))),
                None => Ok(()),
            };
        }
        Err(error) => return Err(Ok(error.to_string())),
        Ok(found) if !found.is_file() => return Err(Ok("something that is no file is in its place".into())),
        Ok(_) => {}
    }
    prepare_file(to, Absent::Refuse).and_then(|()| refuse_foreign_at_rest(to)).map_err(Err)?;
    if companion().is_some() {
        // Left by somebody who only read it. The last one who may write removes them.
        let read = SqliteConnection::establish(&to.to_string_lossy()).map(|mut last| {
            let _ = last.batch_execute("PRAGMA busy_timeout = 5000; SELECT count(*) FROM sqlite_master");
        });
        if read.is_err() || companion().is_some() {
            return Err(Ok("the database there is in use".into()));
        }
    }
    // At rest: a look that may not write leaves companions behind.
    let head = url_with(to, "immutable=1").map(|url| SqliteConnection::establish(&url)).map(|opened| {
        opened.is_ok_and(|mut connection| connection.batch_execute("SELECT 1 FROM sync_states LIMIT 1").is_ok())
    });
    if head == Some(true) { Ok(()) } else { Err(Ok("a file that is no backup is in its place".into())) }
}

/// Writes into a file that exists; if it does not any more, the copy is not wanted. Returns its length.
fn write(from: &Path, part: &Path) -> io::Result<u64> {
    let other = |error: StoreError| io::Error::other(error.to_string());
    let from_text = from.to_str().ok_or_else(|| io::Error::other("a path is not UTF-8"))?;
    let part_url = url_with(part, "mode=rw").ok_or_else(|| io::Error::other("a path is not UTF-8"))?;
    let open = |path: &str| SqliteConnection::establish(path).map_err(|error| io::Error::other(error.to_string()));
    let query = |path: &Path, error| other(explain(path, StoreError::Query(error)));

    let mut connection = open(from_text)?;
    connection.batch_execute("PRAGMA busy_timeout = 5000").map_err(|error| query(from, error))?;
    let vacuum = sql_query("VACUUM INTO ?").bind::<Text, _>(&part_url);
    vacuum.execute(&mut connection).map_err(|error| query(from, error))?;
    drop(connection);

    let mut copy = open(&part_url)?;
    let findings: Vec<Finding> = sql_query("PRAGMA integrity_check").load(&mut copy).map_err(|e| query(part, e))?;
    if let Some(found) = findings.iter().find(|finding| finding.integrity_check != SOUND) {
        return Err(io::Error::other(format!("the copy is not sound: {}", found.integrity_check)));
    }
    drop(copy);
    let file = File::open(part)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}
