//! Where a service reads its settings again when it reloads.

use crate::config::{Config, ConfigError};
use std::path::PathBuf;

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
            ReadFrom::Process(path) => Config::from_process(path.as_deref()),
            ReadFrom::Nowhere => Ok(now.clone()),
        }
    }
}
