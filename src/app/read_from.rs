//! Where a service reads its settings again when it reloads.

use crate::config::{Config, ConfigError};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

#[derive(Debug, Clone)]
pub(super) enum ReadFrom {
    /// The named file, or the one that is found, and the environment.
    Process(Option<PathBuf>),
    /// They are fixed.
    Nowhere,
}

impl ReadFrom {
    pub(super) fn read(&self, now: &Config) -> Result<Config, ConfigError> {
        match self {
            ReadFrom::Process(path) => {
                let (new, before) = (Config::from_process(path.as_deref())?, now.file_shown());
                // Settings that were read before must not come to nothing because the file may not be read any more.
                if let Some(path) = before.filter(|before| new.file_shown().as_ref() != Some(before))
                    && let Some(source) = denied(&path)
                {
                    return Err(ConfigError::Unreadable { path, source });
                }
                Ok(new)
            }
            ReadFrom::Nowhere => Ok(now.clone()),
        }
    }
}

/// Why this user may not read a file. Opens no pipe, which would block.
fn denied(path: &Path) -> Option<io::Error> {
    let opened = fs::metadata(path).and_then(|found| if found.is_file() { File::open(path).map(drop) } else { Ok(()) });
    opened.err().filter(|error| error.kind() == io::ErrorKind::PermissionDenied)
}
