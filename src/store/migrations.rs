//! The schema, brought up to date whenever a database is opened. Two processes may do so at once: PostgreSQL admits
//! them one by one with an advisory lock, SQLite with the write lock, and the second finds nothing left to do.

use super::StoreError;
use crate::faults;
use diesel::SqliteConnection;
use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel::result::Error as QueryError;
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, FileBasedMigrations, MigrationHarness, embed_migrations};

const SQLITE: Known = Known(embed_migrations!("migrations/sqlite"));
const POSTGRES: Known = Known(embed_migrations!("migrations/postgres"));

/// The number is "segno" in ASCII. A session lock: it is released with the connection, whatever happens to us. Its
/// holder is migrating, which takes less than a minute.
const LOCK: &str = "SET lock_timeout = '60s'; SELECT pg_advisory_lock(495622516335)";
const UNLOCK: &str = "SELECT pg_advisory_unlock(495622516335)";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The migrations of this version; in a test, those of a later one.
struct Known(EmbeddedMigrations);

impl<DB: diesel::backend::Backend> MigrationSource<DB> for Known {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn Migration<DB>>>> {
        let mut known = self.0.migrations()?;
        if let Some(folder) = faults::migrations_to_come() {
            known.extend(FileBasedMigrations::from_path(folder)?.migrations()?);
        }
        Ok(known)
    }
}

/// Runs on a thread that may block.
pub(super) fn run_on_sqlite(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    /// What can leave a diesel transaction as an error.
    enum Failed {
        Query(QueryError),
        Migrations(StoreError),
    }
    impl From<QueryError> for Failed {
        fn from(error: QueryError) -> Failed {
            Failed::Query(error)
        }
    }
    let outcome = connection.immediate_transaction(|c| run(c, SQLITE).map_err(Failed::Migrations));
    outcome.map_err(|outcome| match outcome {
        Failed::Query(error) => StoreError::Query(error),
        Failed::Migrations(error) => error,
    })
}

/// Takes a connection of its own, which the migrations use up.
pub(super) async fn run_on_postgres(mut connection: AsyncPgConnection) -> Result<(), StoreError> {
    connection.batch_execute(LOCK).await?;
    // The harness blocks, which only a thread made for that may do: the event loop has one thread.
    let migrating = tokio::task::spawn_blocking(move || {
        let mut harness = AsyncMigrationHarness::new(connection);
        run(&mut harness, POSTGRES).map(|()| harness.into_inner())
    });
    let mut connection = migrating.await.unwrap_or_else(|error| Err(StoreError::Migration(Box::new(error))))?;
    connection.batch_execute(UNLOCK).await?;
    Ok(())
}

fn run<DB, H>(harness: &mut H, source: Known) -> Result<(), StoreError>
where
    DB: diesel::backend::Backend,
    H: MigrationHarness<DB>,
{
    let known: Vec<Box<dyn Migration<DB>>> = source.migrations().map_err(StoreError::Migration)?;
    let applied = harness.applied_migrations().map_err(migration)?;
    if let Some(found) = unknown(&known, &applied) {
        return Err(StoreError::Newer { found });
    }
    harness.run_pending_migrations(source).map_err(migration)?;
    Ok(())
}

/// The latest applied migration that this program does not have.
fn unknown<DB: diesel::backend::Backend>(
    known: &[Box<dyn Migration<DB>>],
    applied: &[MigrationVersion<'_>],
) -> Option<String> {
    let is_known =
        |version: &MigrationVersion<'_>| known.iter().any(|migration| migration.name().version() == *version);
    applied.iter().filter(|version| !is_known(version)).max().map(ToString::to_string)
}

/// Keeps a query's error as it is, so that it can still be recognised as transient.
fn migration(error: BoxError) -> StoreError {
    match error.downcast::<QueryError>() {
        Ok(error) => StoreError::Query(*error),
        Err(error) => StoreError::Migration(error),
    }
}

/// Undoes the newest migration, as `diesel migration revert` does.
#[cfg(test)]
pub(super) fn revert_on_sqlite(connection: &mut SqliteConnection) -> Result<MigrationVersion<'static>, BoxError> {
    connection.revert_last_migration(SQLITE)
}

#[cfg(test)]
pub(super) async fn revert_on_postgres(connection: AsyncPgConnection) -> Result<MigrationVersion<'static>, BoxError> {
    let mut harness = AsyncMigrationHarness::new(connection);
    tokio::task::spawn_blocking(move || harness.revert_last_migration(POSTGRES)).await?
}
