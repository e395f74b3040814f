//! What can go wrong with the database, in words that say what to do about it.

use super::url::DatabaseUrlError;
use crate::model::{AccountId, Claim, UnknownWord};
use diesel::result::{DatabaseErrorKind, Error as QueryError};
use std::fmt;
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
    #[error(
        "{} is not a SQLite database; it was left as it is; name another file in SEGNO_DATABASE_URL, or if it was one, restore \
         a copy (see docs/backup.md)", .0.display()
    )]
    NotADatabase(PathBuf),
    #[error(
        "another program has locked the database {}; end it, or wait until it has finished, and run segno again", .0.display()
    )]
    Locked(PathBuf),
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
    #[error("{} is {what}, which would be lost; name another file", .path.display())]
    WouldReplace { path: PathBuf, what: &'static str },
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
    #[error("cannot bring the database to the current schema: {}", advised(.0))]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("cannot get a database connection: {}", advised(.0))]
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
    #[error("the database does not answer as it should: {}", advised(.0))]
    Query(#[from] QueryError),
}

/// How SQLite, and PostgreSQL in English, phrase what lasts until a person does something about it, and what that is.
const ADVICE: &[(&str, &str)] = &[
    ("disk image is malformed", RESTORE),
    ("malformed database schema", RESTORE),
    ("file is not a database", RESTORE),
    ("attempt to write a readonly database", "make the database file and its folder writable for this user"),
    ("database or disk is full", "make room on the disk of the database"),
    ("No space left on device", "make room on the disk of the database"),
    (
        "disk I/O error",
        "make room on the disk of the database; if there is room, check the limit of file sizes (ulimit -f) and the disk",
    ),
];

const RESTORE: &str = "the database file is damaged: stop segno, and restore a copy (see docs/backup.md)";

/// An error in the words of the database, and what to do about it.
fn advised(error: &dyn fmt::Display) -> String {
    let text = error.to_string();
    match ADVICE.iter().find(|(words, _)| text.contains(words)) {
        Some((_, advice)) => format!("{text}; {advice}"),
        None => text,
    }
}

/// How a [`StoreError::Refused`] reads. The pool keeps only the text of why it has no connection.
const REFUSED: &str = " cannot be used: ";

/// Whether the pool has no connection for a reason that lasts.
fn is_refused(why: &str) -> bool {
    why.contains(REFUSED) || ADVICE.iter().any(|(words, _)| why.contains(words))
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
            StoreError::Unreachable { .. } | StoreError::Locked(_) => true,
            StoreError::Pool(error) => !is_refused(&error.to_string()),
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
            | StoreError::WouldReplace { .. }
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
    use diesel::ConnectionError;
    use diesel_async::pooled_connection::{PoolError, deadpool};

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

    #[test]
    fn a_pool_without_connections_is_transient_unless_the_server_refuses_them() {
        let refused = StoreError::Refused {
            place: "db:5432/library".into(),
            reason: "database \"library\" does not exist".into(),
            hint: "create it".into(),
        };
        for (why, is_transient) in [
            (refused.to_string(), false),
            ("file is not a database".into(), false),
            ("cannot reach PostgreSQL at db:5432/library: connection refused".into(), true),
            ("database is locked".into(), true),
        ] {
            let error = PoolError::ConnectionError(ConnectionError::BadConnection(why));
            let error = StoreError::Pool(deadpool::PoolError::Backend(error));
            assert_eq!(error.is_transient(), is_transient, "{error}");
        }
    }

    #[test]
    fn what_a_person_has_to_do_is_said_once() {
        for (message, advice) in [
            ("database disk image is malformed", "restore a copy (see docs/backup.md)"),
            ("file is not a database", "restore a copy (see docs/backup.md)"),
            ("attempt to write a readonly database", "writable for this user"),
            ("database or disk is full", "make room on the disk"),
            ("disk I/O error", "make room on the disk"),
        ] {
            let error = told(DatabaseErrorKind::Unknown, message);
            let text = crate::model::with_causes(&error);
            assert!(text.contains(&format!("{message}; ")) && text.matches(advice).count() == 1, "{text}");
            assert_eq!(text.matches(message).count(), 1, "{text}");
        }
        let plain = told(DatabaseErrorKind::Unknown, "no such table: tracks").to_string();
        assert_eq!(plain, "the database does not answer as it should: no such table: tracks");
    }
}
