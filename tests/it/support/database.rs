//! A fresh database of either kind, removed with the test.

use super::{NUM_ENTITY_TYPES, Segno, block_on, needs, session::Session, wait_until};
use diesel::{
    Connection, QueryableByName, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_query,
    sql_types::Text,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};
use tempfile::TempDir;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    /// Whether there is a server to test with; prints a notice if not.
    pub fn is_available(self) -> bool {
        if self == Backend::Sqlite || server_url().is_some() {
            return true;
        }
        needs::left_out("SEGNO_TEST_POSTGRES_URL names no PostgreSQL; tests/run sets it");
        false
    }
}

fn server_url() -> Option<String> {
    std::env::var("SEGNO_TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty())
}

pub struct Database {
    pub backend: Backend,
    /// For SQLite, and for anything else that a test needs a folder for.
    pub folder: TempDir,
    name: String,
    /// Its URL in a cluster of the test's own.
    elsewhere: Option<String>,
    /// On PostgreSQL.
    session: Session,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// Columns that record when something was done, or how often: two runs with equal results may differ in these. A number
/// assigned to an account whose transaction did not complete is not assigned again.
const NOT_COMPARED: &[&str] =
    &["account_id", "fetched_at", "first_seen_at", "items_checked_at", "items_generation", "returned_at", "rev"];

/// What a library consists of, as tables and the columns that must be equal.
const LIBRARY_TABLES: &[&str] = &[
    "tracks",
    "albums",
    "artists",
    "track_artists",
    "album_artists",
    "saved_tracks",
    "saved_albums",
    "shows",
    "episodes",
    "audiobooks",
    "saved_shows",
    "saved_episodes",
    "saved_audiobooks",
    "followed_artists",
    "playlists",
    "library_playlists",
    "playlist_items",
];

impl Database {
    /// On PostgreSQL with tables, as the binary makes them: a copy of those is made in a fraction of the time.
    pub fn new(backend: Backend) -> Database {
        static TEMPLATE: OnceLock<String> = OnceLock::new();
        let database = Database::named(backend);
        if backend == Backend::Postgres {
            let template = TEMPLATE.get_or_init(make_template);
            admin(&format!("CREATE DATABASE {} TEMPLATE {template}", database.name));
        }
        database
    }

    /// With nothing in it.
    pub fn empty(backend: Backend) -> Database {
        let database = Database::named(backend);
        if backend == Backend::Postgres {
            admin(&format!("CREATE DATABASE {}", database.name));
        }
        database
    }

    fn named(backend: Backend) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("segno_it_{}_{number}", std::process::id());
        let folder = tempfile::Builder::new().prefix("segno-it-").tempdir().expect("a temporary folder");
        Database { backend, folder, name, elsewhere: None, session: Session::default() }
    }

    /// The database of a cluster.
    pub fn of(cluster: &super::Cluster) -> Database {
        Database::at(cluster.url())
    }

    /// One that somebody else has made, on PostgreSQL.
    pub fn at(url: String) -> Database {
        let folder = tempfile::Builder::new().prefix("segno-it-").tempdir().expect("a temporary folder");
        Database {
            backend: Backend::Postgres,
            folder,
            name: String::new(),
            elsewhere: Some(url),
            session: Session::default(),
        }
    }

    /// In the form for `SEGNO_DATABASE_URL`.
    pub fn url(&self) -> String {
        match self.backend {
            Backend::Sqlite => format!("sqlite:{}", self.file().display()),
            Backend::Postgres if self.elsewhere.is_some() => self.elsewhere.clone().unwrap_or_default(),
            Backend::Postgres => url_of(&self.name),
        }
    }

    /// The SQLite file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("segno.db")
    }

    /// Runs SQL that both databases understand and that returns one text column named `line`.
    pub fn lines(&self, sql: &str) -> Vec<String> {
        match self.backend {
            Backend::Sqlite => {
                let mut conn = SqliteConnection::establish(&self.file().display().to_string()).expect("opens");
                sql_query("PRAGMA busy_timeout = 5000").execute(&mut conn).expect("a pragma");
                let lines: Vec<Line> = sql_query(sql).load(&mut conn).unwrap_or_else(|e| panic!("{sql}: {e}"));
                lines.into_iter().map(|line| line.line).collect()
            }
            Backend::Postgres => self.session.run(&self.url(), sql),
        }
    }

    /// Runs SQL for its effect.
    pub fn execute(&self, sql: &str) {
        match self.backend {
            Backend::Sqlite => {
                let mut conn = SqliteConnection::establish(&self.file().display().to_string()).expect("opens");
                sql_query("PRAGMA busy_timeout = 5000").execute(&mut conn).expect("a pragma");
                sql_query(sql).execute(&mut conn).unwrap_or_else(|error| panic!("{sql}: {error}"));
            }
            Backend::Postgres => drop(self.session.run(&self.url(), sql)),
        }
    }

    /// Whether a process is writing at this moment, on SQLite: one that is stopped then blocks all others.
    pub fn is_being_written(&self) -> bool {
        self.backend == Backend::Sqlite && {
            let mut conn = SqliteConnection::establish(&self.file().display().to_string()).expect("opens");
            conn.batch_execute("BEGIN IMMEDIATE; ROLLBACK").is_err()
        }
    }

    /// Runs several statements, one after the other.
    pub fn execute_all(&self, sql: &str) {
        match self.backend {
            Backend::Sqlite => {
                let mut conn = SqliteConnection::establish(&self.file().display().to_string()).expect("opens");
                conn.batch_execute(sql).unwrap_or_else(|error| panic!("{error}"));
            }
            Backend::Postgres => drop(self.session.run(&self.url(), sql)),
        }
    }

    /// Its tables, without the one of the migrations.
    pub fn tables(&self) -> Vec<String> {
        let named = match self.backend {
            Backend::Sqlite => {
                "SELECT name AS line FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
            }
            Backend::Postgres => {
                "SELECT table_name::text AS line FROM information_schema.tables \
                 WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
            }
        };
        self.lines(named).into_iter().filter(|name| !name.starts_with("__")).collect()
    }

    pub fn columns(&self, table: &str) -> Vec<String> {
        match self.backend {
            Backend::Sqlite => self.lines(&format!("SELECT name AS line FROM pragma_table_info('{table}')")),
            Backend::Postgres => self.lines(&format!(
                "SELECT column_name::text AS line FROM information_schema.columns \
                 WHERE table_schema = 'public' AND table_name = '{table}'"
            )),
        }
    }

    /// Makes it unavailable to its users, until [`Database::bring_back`]: PostgreSQL ends every connection and accepts
    /// no other. A SQLite file cannot be taken from those who have it open; one of its tables can, by another program.
    pub fn take_away(&self) {
        match self.backend {
            Backend::Sqlite => self.execute("ALTER TABLE accounts RENAME TO accounts_elsewhere"),
            Backend::Postgres => {
                let name = &self.name;
                admin(&format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"));
                admin(&format!(
                    "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = '{name}'"
                ));
            }
        }
    }

    pub fn bring_back(&self) {
        match self.backend {
            Backend::Sqlite => self.execute("ALTER TABLE accounts_elsewhere RENAME TO accounts"),
            Backend::Postgres => drop(admin(&format!("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true", self.name))),
        }
    }

    /// Runs SQL in a transaction that stays open, with its locks, until the guard is dropped. PostgreSQL only.
    pub fn hold(&self, sql: &str) -> Held {
        let (url, sql) = (self.url(), sql.to_owned());
        let (let_go, over) = tokio::sync::oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            block_on(async move {
                let connected = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
                let (client, connection) = connected.expect("the server answers");
                let connection = tokio::spawn(connection);
                client.simple_query(&format!("BEGIN; {sql}")).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
                ready.send(()).expect("somebody waits");
                let _ = over.await;
                drop(client);
                let _ = connection.await;
            });
        });
        is_ready.recv().expect("the statement runs");
        Held { let_go: Some(let_go), thread: Some(thread) }
    }

    /// A number, from an expression with its FROM: `count("saved_tracks WHERE removed_at IS NULL")`.
    pub fn count(&self, from: &str) -> u64 {
        self.lines(&format!("SELECT CAST(count(*) AS TEXT) AS line FROM {from}"))[0].parse().expect("a count")
    }

    /// Batches committed so far; zero while there is no table yet.
    pub fn num_batches(&self) -> u64 {
        if self.has_tables() { self.count("sync_batches") } else { 0 }
    }

    /// First syncs that are complete; zero while there is no table yet.
    pub fn num_complete(&self) -> u64 {
        let complete = "sync_states WHERE is_complete AND completed_at IS NOT NULL AND phase = 'initial_sync'";
        if self.has_tables() { self.count(complete) } else { 0 }
    }

    /// Waits until everything of one account has been read once.
    pub fn wait_for_first_sync(&self) {
        wait_until("the first sync is complete", || self.num_complete() == NUM_ENTITY_TYPES);
    }

    /// Whether the schema is complete, the newest table included: migrations may still be running.
    pub fn has_tables(&self) -> bool {
        match self.backend {
            Backend::Sqlite => {
                self.file().exists()
                    && !self.lines("SELECT name AS line FROM sqlite_master WHERE name = 'saved_audiobooks'").is_empty()
            }
            Backend::Postgres => !self
                .lines("SELECT tablename::text AS line FROM pg_tables WHERE tablename = 'saved_audiobooks'")
                .is_empty(),
        }
    }

    /// Every row of the library's tables, as text, in an order of its own.
    pub fn library(&self) -> BTreeMap<&'static str, Vec<String>> {
        LIBRARY_TABLES.iter().map(|table| (*table, self.dump(table))).collect()
    }

    fn dump(&self, table: &str) -> Vec<String> {
        self.rows_without(table, NOT_COMPARED)
    }

    /// Every row of a table as text, whole, in an order of its own.
    pub fn rows(&self, table: &str) -> Vec<String> {
        self.rows_without(table, &[])
    }

    fn rows_without(&self, table: &str, left_out: &[&str]) -> Vec<String> {
        let mut columns: Vec<String> =
            self.columns(table).into_iter().filter(|name| !left_out.contains(&name.as_str())).collect();
        columns.sort();
        let text = |name: &String| match name.as_str() {
            // When it was removed does not matter, but that it was does.
            "removed_at" if !left_out.is_empty() => {
                "CASE WHEN removed_at IS NULL THEN 'active' ELSE 'removed' END".to_owned()
            }
            _ => format!("coalesce(CAST(\"{name}\" AS TEXT), 'null')"),
        };
        let expression = columns.iter().map(text).collect::<Vec<_>>().join(" || '|' || ");
        let mut lines = self.lines(&format!("SELECT {expression} AS line FROM {table}"));
        lines.sort();
        lines
    }

    /// Asserts that both hold the same library, table by table.
    pub fn assert_same_library(&self, other: &Database) {
        let (ours, theirs) = (self.library(), other.library());
        for (table, rows) in &ours {
            let expected = &theirs[table];
            let lack = expected.iter().filter(|row| rows.binary_search(row).is_err()).take(3).collect::<Vec<_>>();
            let extra = rows.iter().filter(|row| expected.binary_search(row).is_err()).take(3).collect::<Vec<_>>();
            assert!(
                rows == expected,
                "{table}: {} rows, not {}; lacks {lack:?}, has {extra:?}",
                rows.len(),
                expected.len()
            );
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.backend == Backend::Postgres && self.elsewhere.is_none() {
            admin(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        }
    }
}

/// An open transaction.
pub struct Held {
    let_go: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.let_go.take());
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// Makes the database that others are copies of, for this process; those that earlier processes have left are dropped.
fn make_template() -> String {
    let like = "SELECT datname::text FROM pg_database WHERE datname LIKE 'segno\\_it\\_template\\_%'";
    for name in admin(like) {
        let process = name.rsplit('_').next().unwrap_or_default();
        if !Path::new("/proc").join(process).exists() {
            admin(&format!("DROP DATABASE IF EXISTS {name}"));
        }
    }
    let name = format!("segno_it_template_{}", std::process::id());
    let home = tempfile::tempdir().expect("a temporary folder");
    admin(&format!("CREATE DATABASE {name}"));
    let migrated = Segno::new(home.path(), &["status"]).env("SEGNO_DATABASE_URL", &url_of(&name)).run();
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    name
}

fn admin(sql: &str) -> Vec<String> {
    Session::default().run(&server_url().expect("postgres tests run where there is a server"), sql)
}

/// The URL of a database of the server.
fn url_of(name: &str) -> String {
    let server = server_url().expect("postgres tests run where there is a server");
    let (server, query) = server.split_once('?').map_or((server.as_str(), None), |(s, q)| (s, Some(q)));
    let at = server.rfind('/').expect("a URL with a database");
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{name}{query}", &server[..at])
}
