//! What can be wrong with the settings, in messages that name the place to fix.

use std::{fmt, io, path::PathBuf};

/// Why there is no [`super::Config`].
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the configuration file {} does not exist", .0.display())]
    Missing(PathBuf),
    #[error("the configuration file {} is a directory", .0.display())]
    Directory(PathBuf),
    #[error("the configuration file {} is not a regular file; name one that is", .0.display())]
    NotAFile(PathBuf),
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It was found in a default place, and somebody else may have written it.
    #[error("the configuration file {} {why}; {what_to_do}", path.display())]
    Distrusted { path: PathBuf, why: String, what_to_do: String },
    #[error("the configuration file {} is not UTF-8 text (line {line})", path.display())]
    NotText { path: PathBuf, line: usize },
    #[error("the configuration file {} is larger than {limit} bytes", path.display())]
    TooLarge { path: PathBuf, limit: u64 },
    /// One line each. Never empty.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

/// One thing to fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `segno.toml:3: sync.interval` or `SEGNO_SYNC_INTERVAL`.
    pub origin: String,
    /// The value, and what is allowed instead. Secrets are left out.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.message)
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}
