//! Files that are written under another name in the same folder and renamed when complete.
//!
//! A part is called `.NAME.PID.part`, with the id of the process that writes it. A process that is killed leaves its part
//! behind, and the next process that writes the same file removes it.

use crate::processes;
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

/// What SQLite adds to the name of a file for its journal.
pub const JOURNAL: &str = "-journal";

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Owner,
    /// As the person's umask has it.
    Usual,
}

/// A file that is not complete. Dropping it removes it.
#[derive(Debug)]
pub struct Part {
    path: PathBuf,
    to: PathBuf,
}

impl Part {
    /// Creates the part of a file that shall be at `to`.
    pub fn create(to: &Path, access: Access) -> io::Result<(Part, File)> {
        remove_abandoned(to);
        let path = part_of(to, std::process::id())?;
        let mut options = OpenOptions::new();
        // Never what is there already: a link of that name may lead anywhere.
        options.write(true).create_new(true);
        #[cfg(unix)]
        if access == Access::Owner {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        #[cfg(not(unix))]
        let _ = access;
        let file = options.open(&path)?;
        Ok((Part { path, to: to.to_owned() }, file))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves it into its place, where it replaces what is there.
    pub fn put_in_place(self) -> io::Result<()> {
        fs::rename(&self.path, &self.to)
    }
}

impl Drop for Part {
    /// Once it is in its place, there is nothing to remove.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(beside(&self.path, JOURNAL));
    }
}

/// In the same folder, so that putting it in place is one step.
fn part_of(to: &Path, pid: u32) -> io::Result<PathBuf> {
    let Some(name) = to.file_name() else { return Err(io::Error::other("it names no file")) };
    let mut part = OsString::from(".");
    part.push(name);
    part.push(format!(".{pid}.part"));
    Ok(to.with_file_name(part))
}

/// The file of the same name with an ending more.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Removes the parts of the same place that no process writes any more. One with our id is of an earlier process: this
/// one writes to each place once. What cannot be removed stays, in nobody's way.
fn remove_abandoned(to: &Path) {
    let Some(name) = to.file_name() else { return };
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let pid = pid_in(entry.file_name().as_encoded_bytes(), name.as_encoded_bytes());
        if pid.is_some_and(|pid| pid == std::process::id() || !processes::lives(pid)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whose part that file is, or whose journal of one, if it is one of `name`.
fn pid_in(file: &[u8], name: &[u8]) -> Option<u32> {
    let file = file.strip_suffix(JOURNAL.as_bytes()).unwrap_or(file);
    let pid = file.strip_prefix(b".")?.strip_prefix(name)?.strip_prefix(b".")?.strip_suffix(b".part")?;
    let is_number = !pid.is_empty() && pid.iter().all(u8::is_ascii_digit);
    if is_number { str::from_utf8(pid).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_part_is_moved_into_its_place_or_removed() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("list.csv");
        let (part, mut file) = Part::create(&to, Access::Usual).unwrap();
        file.write_all(b"rows").unwrap();
        assert!(!to.exists());
        part.put_in_place().unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "rows");

        let (part, _) = Part::create(&to, Access::Owner).unwrap();
        fs::write(beside(part.path(), JOURNAL), "").unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(part.path()).unwrap().permissions().mode() & 0o777, 0o600);
        }
        drop(part);
        assert_eq!(names(folder.path()), ["list.csv"]);
        assert_eq!(fs::read_to_string(&to).unwrap(), "rows");
        let nameless = Part::create(Path::new("/"), Access::Usual).unwrap_err();
        assert_eq!(nameless.to_string(), "it names no file");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_way_is_never_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (to, victim) = (folder.path().join("list.csv"), folder.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, part_of(&to, std::process::id()).unwrap()).unwrap();
        let (part, mut file) = Part::create(&to, Access::Usual).unwrap();
        file.write_all(b"rows").unwrap();
        part.put_in_place().unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&to).unwrap(), "rows");
    }

    #[cfg(unix)]
    #[test]
    fn parts_of_dead_processes_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("copy.db");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let alive = std::os::unix::process::parent_id();
        let kept = [
            format!(".copy.db.{alive}.part"),
            format!(".copy.db.{dead}.part.txt"),
            format!(".copy.db.x{dead}.part"),
            ".copy.db..part".to_owned(),
            format!(".other.db.{dead}.part"),
            format!("copy.db.{dead}.part"),
        ];
        let gone = [format!(".copy.db.{dead}.part"), format!(".copy.db.{dead}.part-journal")];
        for name in kept.iter().chain(&gone) {
            fs::write(folder.path().join(name), "").unwrap();
        }
        drop(Part::create(&to, Access::Owner).unwrap());
        let mut kept = kept.to_vec();
        kept.sort();
        assert_eq!(names(folder.path()), kept);
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}
