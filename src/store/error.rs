//! What can go wrong with the database, in words that say what to do about it.

use super::url::DatabaseUrlError;
use crate::model::{AccountId, Claim, UnknownWord};
use diesel::result::{DatabaseErrorKind, Error as QueryError};
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Url(#[from] DatabaseUrlError),
    #[error("there is no database at {}; run \"segno sync\" first", .0.display())]
    NotFound(PathBuf),
    #[error("the folder {} for the database does not exist; create it, or name another with SEGNO_DATABASE_URL", .0.display())]
    NoFolder(PathBuf),
    #[error("{} is a folder, not a database file; name a file in SEGNO_DATABASE_URL", .0.display())]
    IsFolder(PathBuf),
    #[error("{} is neither a file nor absent, so it cannot be a database; name a file in SEGNO_DATABASE_URL", .0.display())]
    NotAFile(PathBuf),
    #[error(
        "{} is the database of another program: it holds {found} and nothing of segno's; it was left as it is; name another file in SEGNO_DATABASE_URL",
        .path.display()
    )]
    Foreign { path: PathBuf, found: String },
    #[error("{} is not a SQLite database; it was left as it is; name another file in SEGNO_DATABASE_URL", .0.display())]
    NotADatabase(PathBuf),
    #[error("cannot write to {}: {reason}; check who owns the file and its folder", .path.display())]
    NotWritable { path: PathBuf, reason: String },
    #[error(
        "others could read {} and the tokens in it ({reason}); nothing was stored; give the file to yourself and \
         make it readable by you alone (chmod 600)", .path.display()
    )]
    Exposed { path: PathBuf, reason: String },
    #[error(
        "{} belongs to another user (uid {uid}), who could read and change what segno stores; run segno as that user, or \
         name another file in SEGNO_DATABASE_URL", .path.display()
    )]
    OfAnother { path: PathBuf, uid: u32 },
    #[error(
        "the database file {} was moved, replaced or deleted while segno used it, so nothing more is written; put it back, or \
         start again with the one that is there", .0.display()
    )]
    Moved(PathBuf),
    #[error(
        "the file system of {} does not keep locks ({reason}), so two processes could damage a database there; name a file on \
         a local disk in SEGNO_DATABASE_URL, or use PostgreSQL", .path.display()
    )]
    NoLocks { path: PathBuf, reason: String },
    #[error("cannot write a backup to {}: {reason}", .path.display())]
    NotBackedUp { path: PathBuf, reason: String },
    #[error("only a SQLite file is copied this way; PostgreSQL has pg_dump (see docs/backup.md)")]
    NotAFileToCopy,
    #[error("cannot reach PostgreSQL at {place}: {reason}; {hint}")]
    Unreachable { place: String, reason: String, hint: String },
    #[error("PostgreSQL at {place} cannot be used: {reason}; {hint}")]
    Refused { place: String, reason: String, hint: String },
    #[error(
        "the database is at migration {found}, which this version of segno does not know; use the newer version that made it"
    )]
    Newer { found: String },
    #[error("cannot bring the database to the current schema: {0}")]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("cannot get a database connection: {0}")]
    Pool(#[from] diesel_async::pooled_connection::deadpool::PoolError),
    /// The commit of a run that is no longer the latest. None of it was written.
    #[error("fenced off: {by} has taken over; two processes must not sync one account")]
    Fenced { by: String },
    /// A living service holds the account.
    #[error("{} keeps this account current; stop it first, or let it do the work", .0.owner.label)]
    Held(Box<Claim>),
    #[error("there is no account {} in the database any more; sign in again with \"segno login\"", .0.0)]
    UnknownAccount(AccountId),
    #[error("column {column} holds something unexpected: {source}")]
    Corrupt { column: &'static str, source: UnknownWord },
    #[error("the database does not answer as it should: {0}")]
    Query(#[from] QueryError),
}

/// How both databases phrase errors that pass by themselves. Their codes do not get through diesel; PostgreSQL may
/// translate its messages, and what is then not recognised is merely reported instead of retried.
const TRANSIENT_WORDS: &[&str] = &[
    "database is locked",
    "database table is locked",
    "deadlock detected",
    "lock timeout",
    "terminating connection",
    "the database system is",
    "connection closed",
];

impl StoreError {
    /// Whether trying again, with what the database then holds, can help.
    pub fn is_transient(&self) -> bool {
        match self {
            StoreError::Unreachable { .. } | StoreError::Pool(_) => true,
            StoreError::Query(error) => is_transient(error),
            StoreError::Migration(error) => error.downcast_ref::<QueryError>().is_some_and(is_transient),
            StoreError::Url(_)
            | StoreError::NotFound(_)
            | StoreError::NoFolder(_)
            | StoreError::IsFolder(_)
            | StoreError::NotAFile(_)
            | StoreError::Foreign { .. }
            | StoreError::NotADatabase(_)
            | StoreError::NotWritable { .. }
            | StoreError::Exposed { .. }
            | StoreError::OfAnother { .. }
            | StoreError::Moved(_)
            | StoreError::NoLocks { .. }
            | StoreError::NotBackedUp { .. }
            | StoreError::NotAFileToCopy
            | StoreError::Refused { .. }
            | StoreError::Newer { .. }
            | StoreError::Fenced { .. }
            | StoreError::Held(_)
            | StoreError::UnknownAccount(_)
            | StoreError::Corrupt { .. } => false,
        }
    }
}

pub(super) fn is_transient(error: &QueryError) -> bool {
    match error {
        QueryError::DatabaseError(
            DatabaseErrorKind::SerializationFailure
            | DatabaseErrorKind::ClosedConnection
            | DatabaseErrorKind::UnableToSendCommand,
            _,
        )
        | QueryError::BrokenTransactionManager => true,
        QueryError::DatabaseError(_, info) => TRANSIENT_WORDS.iter().any(|words| info.message().contains(words)),
        QueryError::RollbackErrorOnCommit { commit_error, .. } => is_transient(commit_error),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: DatabaseErrorKind, message: &str) -> StoreError {
        StoreError::Query(QueryError::DatabaseError(kind, Box::new(message.to_owned())))
    }

    #[test]
    fn what_passes_by_itself_is_transient_and_a_broken_rule_is_not() {
        for (error, is_transient) in [
            (told(DatabaseErrorKind::Unknown, "database is locked"), true),
            (told(DatabaseErrorKind::Unknown, "deadlock detected"), true),
            (told(DatabaseErrorKind::SerializationFailure, "could not serialize access"), true),
            (told(DatabaseErrorKind::UnableToSendCommand, "connection closed"), true),
            (told(DatabaseErrorKind::ForeignKeyViolation, "FOREIGN KEY constraint failed"), false),
            (told(DatabaseErrorKind::Unknown, "database or disk is full"), false),
            (StoreError::Fenced { by: "cellar".into() }, false),
        ] {
            assert_eq!(error.is_transient(), is_transient, "{error}");
        }
    }
}
