//! Opens a settings file, and decides whether one that was found in a default place may count. Its contents decide where
//! tokens go, so that one has to be the person's own.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    path::Path,
};

/// Why a file does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distrust {
    /// It belongs to another user.
    Stranger(u32),
    /// Others may write it.
    Writable,
    /// A pipe, a socket or a device.
    NotAFile,
}

impl Distrust {
    /// What is wrong with it, and what to do about it.
    pub fn words(&self, path: &Path) -> (String, String) {
        let path = path.display();
        match self {
            Distrust::Stranger(uid) => (
                format!("belongs to another user (uid {uid})"),
                format!("name it with --config {path} if it may decide where your tokens go"),
            ),
            Distrust::Writable => ("can be written by others".into(), format!("run: chmod go-w {path}")),
            Distrust::NotAFile => ("is not a regular file".into(), "remove it, or name another with --config".into()),
        }
    }
}

/// An open file, and whether others may read it too.
pub struct Opened {
    pub file: File,
    pub is_readable_by_others: bool,
}

/// Opens a file that was found.
#[cfg(unix)]
pub fn open(path: &Path) -> io::Result<Result<Opened, Distrust>> {
    use std::os::unix::fs::MetadataExt;
    let is_strangers = |found: &Metadata| found.uid() != 0 && found.uid() != rustix::process::geteuid().as_raw();
    // The link itself too: its creator chose the file.
    for look in [fs::symlink_metadata, fs::metadata] {
        let found = look(path)?;
        if is_strangers(&found) {
            return Ok(Err(Distrust::Stranger(found.uid())));
        }
    }
    let Some((file, found)) = open_file(path)? else { return Ok(Err(Distrust::NotAFile)) };
    // Once more: it may be another one by now.
    Ok(match found.mode() & 0o777 {
        _ if is_strangers(&found) => Err(Distrust::Stranger(found.uid())),
        mode if found.is_file() && mode & 0o022 != 0 => Err(Distrust::Writable),
        mode => Ok(Opened { file, is_readable_by_others: mode & 0o044 != 0 }),
    })
}

/// Opens a file that the person named, whoever owns it. `None` if it is a pipe, a socket or a device.
#[cfg(unix)]
pub fn open_named(path: &Path) -> io::Result<Option<Opened>> {
    use std::os::unix::fs::MetadataExt;
    let opened = open_file(path)?;
    let is_readable_by_others = |found: &Metadata| found.is_file() && found.mode() & 0o044 != 0;
    Ok(opened.map(|(file, found)| Opened { file, is_readable_by_others: is_readable_by_others(&found) }))
}

/// Never blocks, as opening a pipe would. A folder is reported when it is read.
#[cfg(unix)]
fn open_file(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = match opened {
        // A socket.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => return Ok(None),
        opened => opened?,
    };
    let found = file.metadata()?;
    Ok((found.is_file() || found.is_dir()).then_some((file, found)))
}

/// Other systems store permissions elsewhere.
#[cfg(not(unix))]
pub fn open(path: &Path) -> io::Result<Result<Opened, Distrust>> {
    Ok(Ok(Opened { file: File::open(path)?, is_readable_by_others: false }))
}

#[cfg(not(unix))]
pub fn open_named(path: &Path) -> io::Result<Option<Opened>> {
    Ok(Some(Opened { file: File::open(path)?, is_readable_by_others: false }))
}
