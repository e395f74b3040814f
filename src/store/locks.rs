//! Whether a file system keeps locks. SQLite relies on them: without, two processes write one file at once and damage
//! it.
//!
//! Locks are tried on a file of their own beside the database. On the database itself, letting go of a lock, or closing
//! the file, would drop those that another connection of this process holds. A file system that keeps locks among the
//! processes of one machine only, as NFS may, cannot be distinguished from one that keeps them: one file is for one
//! machine.

use super::StoreError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use uuid::Uuid;

/// Refuses a place where a lock cannot be obtained, or does not keep others out. If no file can be created in the
/// folder, SQLite reports that.
pub(super) fn refuse_a_place_without(path: &Path) -> Result<(), StoreError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let probe = folder.join(format!(".segno-{}", Uuid::new_v4().simple()));
    let opened = OpenOptions::new().write(true).create_new(true).open(&probe);
    let Ok(file) = opened else { return Ok(()) };
    let again = File::open(&probe);
    let _ = std::fs::remove_file(&probe);
    let tried = again.map_or(Ok(()), |again| try_locks(&file, &again));
    tried.map_err(|reason| StoreError::NoLocks { path: path.to_owned(), reason })
}

fn try_locks(file: &File, again: &File) -> Result<(), String> {
    record_lock(file).map_err(|error| error.to_string())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err("a new file is locked".to_owned()),
        Err(TryLockError::Error(error)) => return Err(error.to_string()),
    }
    match again.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Ok(()),
        Ok(()) => Err("a lock keeps nobody out".to_owned()),
        Err(TryLockError::Error(error)) => Err(error.to_string()),
    }
}

/// The kind of lock that SQLite takes. It belongs to the process, so it excludes nobody here.
#[cfg(unix)]
fn record_lock(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fcntl_lock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?)
}

#[cfg(not(unix))]
fn record_lock(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_keeps_locks_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        refuse_a_place_without(&folder.path().join("segno.db")).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        refuse_a_place_without(&folder.path().join("nowhere/segno.db")).unwrap();
    }
}
