//! The person's own database: SQLite or PostgreSQL, one set of queries for both.
//!
//! [`Store`] is its whole public interface. Inside, a query is written once and compiled twice: [`Conn`] is a
//! connection to either database, and `with_conn!` runs an expression on whichever it is. Five rules hold throughout:
//!
//! - Rows and checkpoint commit in one transaction, whose first statement is the fenced update of the checkpoint
//!   (`library`). A process that has been fenced off writes nothing.
//! - What did not change is not written (`upsert`), so the counts that a commit reports are true.
//! - The store reads no clock: `now` is an argument.
//! - A row that the database refuses is lost alone, not with its batch (`careful`).
//! - It decides nothing about pages, limits or retries; [`StoreError::is_transient`] is all it says about those.

mod accounts;
mod backup;
mod batches;
pub mod browse;
mod by_hand;
mod by_sql;
mod careful;
mod catalogue;
mod changed_rows;
mod changes;
mod claims;
mod due_playlists;
mod error;
mod export;
mod feed;
mod files;
mod followers;
mod gaps;
mod heard;
mod held;
mod held_items;
mod keyed;
mod ledger;
mod library;
mod limits;
mod locks;
mod membership;
mod migrations;
mod nodes;
mod odd;
mod offthread;
mod order;
mod orders;
mod outbox;
mod pairing;
mod pending;
mod playlists;
mod plays;
mod postgres;
mod purge;
mod readings;
mod relay;
mod retention;
mod rows;
mod runs;
mod schema;
mod seen;
mod sharing;
mod sources;
mod spoken_rows;
mod sqlite;
mod status;
mod streams;
mod sync_states;
#[cfg(test)]
mod tests;
mod tokens;
mod types;
mod upsert;
mod url;
mod versions;

pub use accounts::{Account, Person};
pub use backup::back_up;
pub use changes::{Change, ChangeKind, Changed, Changes, InPlaylist};
pub use due_playlists::{ListedPlaylist, WaitingPlaylist};
pub use error::StoreError;
pub use export::{
    AlbumFacts, AlbumLine, ArtistLine, Export, ListenKey, ListenLine, PlaylistLine, Shared, SpokenLine, TrackFacts,
    TrackLine,
};
pub use feed::{Feed, FeedEvent, Position};
pub use files::refuse_to_replace;
pub use nodes::Beat;
pub use pending::PendingKey;
pub use plays::PlayCounts;
pub use purge::{Imported, Purged};
pub use relay::RELAY;
pub use runs::EntityProgress;
pub use status::{LibraryCounts, MembershipCount};
pub use streams::{Added, Finished, ImportEntry, ImportOutcome, Removed, RemovedImports, StreamImport};
pub use sync_states::{StateKey, SyncState};
pub use tokens::{Grant, SignIn, TokenRow};
pub use url::{DatabaseUrl, DatabaseUrlError, PostgresUrl};

use careful::Lent;
use diesel::result::QueryResult;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncPgConnection, SimpleAsyncConnection, TransactionManager,
};
use offthread::SqliteConn;
use sqlite::SqliteFile;
use std::fmt;

/// The database. Cloning it is cheap and shares the connections.
#[derive(Clone)]
pub enum Store {
    Sqlite(SqliteFile),
    Pg(Pool<AsyncPgConnection>),
}

/// A connection to either database.
#[expect(clippy::large_enum_variant, reason = "there is one per call, on its way through; a box would gain nothing")]
enum Conn {
    Sqlite(Lent<Object<SqliteConn>>),
    Pg(Lent<Object<AsyncPgConnection>>),
}

/// Runs one expression on a connection to either database.
macro_rules! with_conn {
    ($conn:expr, |$c:ident| $body:expr) => {
        match $conn {
            $crate::store::Conn::Sqlite(connection) => {
                let $c = &mut **connection;
                $body
            }
            $crate::store::Conn::Pg(connection) => {
                let $c = &mut **connection;
                $body
            }
        }
    };
}
use with_conn;

impl Store {
    /// Opens the database, creates the SQLite file if there is none, and brings the schema up to date. `label` is the
    /// name of this process among PostgreSQL's connections.
    pub async fn open(url: &DatabaseUrl, label: &str) -> Result<Store, StoreError> {
        match url {
            DatabaseUrl::Sqlite(path) => sqlite::open(path, sqlite::Absent::Create).await.map(Store::Sqlite),
            DatabaseUrl::Postgres(url) => postgres::open(url, label).await.map(Store::Pg),
        }
    }

    /// Opens a database that exists, for commands that only read: a fresh one has nothing to show.
    pub async fn open_existing(url: &DatabaseUrl, label: &str) -> Result<Store, StoreError> {
        match url {
            DatabaseUrl::Sqlite(path) => sqlite::open(path, sqlite::Absent::Refuse).await.map(Store::Sqlite),
            DatabaseUrl::Postgres(url) => postgres::open(url, label).await.map(Store::Pg),
        }
    }

    /// Opens a database that is already open once more, for readers, which must neither wait for the writer nor make it
    /// wait.
    pub fn open_readers(url: &DatabaseUrl, label: &str) -> Result<Store, StoreError> {
        match url {
            DatabaseUrl::Sqlite(path) => sqlite::open_readers(path).map(Store::Sqlite),
            DatabaseUrl::Postgres(url) => Ok(Store::Pg(postgres::open_readers(url, label))),
        }
    }

    /// Opens a database that is already open once more, for work that must not wait until one of the other connections
    /// is free. A SQLite file has one connection that writes.
    pub fn open_beside(&self, url: &DatabaseUrl, label: &str) -> Store {
        match (self, url) {
            (Store::Pg(_), DatabaseUrl::Postgres(url)) => Store::Pg(postgres::open_beside(url, label)),
            (Store::Sqlite(_) | Store::Pg(_), _) => self.clone(),
        }
    }

    async fn connect(&self) -> Result<Conn, StoreError> {
        Ok(match self {
            Store::Sqlite(file) => Conn::Sqlite(Lent::new(file.connect().await?)),
            Store::Pg(pool) => Conn::Pg(Lent::new(pool.get().await?)),
        })
    }

    /// Folds the log of a SQLite file back into it, as far as no reader needs it: a plain copy of the file alone then
    /// holds everything that was committed.
    pub async fn fold_log(&self) -> Result<(), StoreError> {
        match &mut self.connect().await? {
            Conn::Sqlite(c) => Ok(c.batch_execute("PRAGMA wal_checkpoint(PASSIVE)").await?),
            Conn::Pg(_) => Ok(()),
        }
    }

    /// See [`Conn::transaction`].
    async fn transaction<T>(
        &self,
        work: impl AsyncFnOnce(&mut Conn) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.connect().await?.transaction(work).await
    }
}

/// When a commit on SQLite has to be on the disk. PostgreSQL has its own setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// Before it returns.
    AtOnce,
    /// With the next commit that is [`Durability::AtOnce`], of which the gate makes one every few seconds: a power cut
    /// loses what came since, rows and checkpoint alike.
    Soon,
}

impl Conn {
    /// Runs `work` in one transaction. An error undoes all of it; so does dropping the future, as the pool discards a
    /// connection whose transaction is open.
    async fn transaction<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Conn) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.begin().await?;
        match work(self).await {
            Ok(value) => {
                self.commit().await?;
                Ok(value)
            }
            Err(error) => {
                // Should the rollback fail as well, the connection is broken and the pool discards it.
                let _ = self.rollback().await;
                Err(error)
            }
        }
    }

    /// Applies until changed. The connection is shared, so a caller that lowers it has to raise it again.
    async fn set_durability(&mut self, durability: Durability) -> QueryResult<()> {
        let pragma = match durability {
            Durability::AtOnce => "PRAGMA synchronous = FULL",
            Durability::Soon => "PRAGMA synchronous = NORMAL",
        };
        match self {
            Conn::Sqlite(c) => c.batch_execute(pragma).await,
            Conn::Pg(_) => Ok(()),
        }
    }

    /// SQLite takes the write lock at once: a transaction that read first could not wait for it later.
    async fn begin(&mut self) -> QueryResult<()> {
        match self {
            Conn::Sqlite(c) => {
                c.spawn_blocking(|c| {
                    diesel::connection::AnsiTransactionManager::begin_transaction_sql(c, "BEGIN IMMEDIATE")
                })
                .await
            }
            Conn::Pg(c) => AnsiTransactionManager::begin_transaction(&mut **c).await,
        }
    }

    /// Within a transaction: from now on, [`Conn::rollback`] and [`Conn::commit`] concern what follows.
    async fn set_savepoint(&mut self) -> QueryResult<()> {
        async fn begin<C: AsyncConnection>(c: &mut C) -> QueryResult<()> {
            C::TransactionManager::begin_transaction(c).await
        }
        with_conn!(self, |c| begin(c).await)
    }

    async fn commit(&mut self) -> QueryResult<()> {
        async fn commit<C: AsyncConnection>(c: &mut C) -> QueryResult<()> {
            C::TransactionManager::commit_transaction(c).await
        }
        with_conn!(self, |c| commit(c).await)
    }

    async fn rollback(&mut self) -> QueryResult<()> {
        async fn rollback<C: AsyncConnection>(c: &mut C) -> QueryResult<()> {
            C::TransactionManager::rollback_transaction(c).await
        }
        with_conn!(self, |c| rollback(c).await)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Store::Sqlite(_) => "Store::Sqlite",
            Store::Pg(_) => "Store::Pg",
        })
    }
}
