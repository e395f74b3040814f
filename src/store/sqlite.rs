//! Opening a SQLite file: one connection, write-ahead log, every commit on the disk before it is reported.

use super::offthread::SqliteConn;
use super::{Conn, StoreError, migrations};
use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection, ConnectionError, ConnectionResult, QueryableByName, SqliteConnection, sql_query};
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use futures_util::FutureExt;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use url::Url;

/// What to do if there is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    Create,
    Refuse,
}

/// - `synchronous=FULL`: in the write-ahead log, NORMAL would lose the last commits in a power cut, though nothing
///   else. A batch can be read again, so it may; see [`super::Durability`].
/// - `foreign_keys=OFF`: PostgreSQL checks every reference made by the same statements, and the tests check a synced
///   file; looking each one up here as well costs a tenth of the whole CPU time.
/// - `temp_store=MEMORY`: before a statement changes a page, it saves it so that it can be undone, by default in a
///   file. That was every second write of a sync.
/// - `cache_size`: 24 MiB hold the pages that 100,000 tracks in random order touch again and again.
/// - `wal_autocheckpoint`: 128 MiB. A batch touches pages all over the file, most of them again with the next batch.
const PRAGMAS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                       PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -24576; \
                       PRAGMA wal_autocheckpoint = 32768;";

/// A reader's statement is over in milliseconds, and it holds no transaction across statements: so none keeps the
/// write-ahead log from being folded back into the file.
const READER_PRAGMAS: &str = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; \
                              PRAGMA cache_size = -8192;";

/// As many as keep two cores busy, and some that wait for the disk.
const READERS_MAX: usize = 4;

/// How long the log of a file that is no longer in its place may take to be folded.
const FOLD_WITHIN: Duration = Duration::from_secs(5);

/// Tables that every database of ours has had since its first migration.
const OUR_TABLES: &[&str] = &["__diesel_schema_migrations", "accounts", "sync_states"];

/// How many tables a message names to show whose database it is.
const TABLES_NAMED: usize = 3;

/// Switching a fresh file to the write-ahead log ignores the busy timeout when two processes do it at once. So it is
/// retried for this long, whether or not the tries themselves wait.
const SETUP_WITHIN: Duration = Duration::from_secs(10);
const SETUP_PAUSE: Duration = Duration::from_millis(20);

/// What the connections to a file are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// One connection: writers queue for it, where waiting is fair, and not at the file lock.
    Write,
    Read,
}

/// An open file, with its identity.
#[derive(Clone)]
pub struct SqliteFile {
    pool: Pool<SqliteConn>,
    path: PathBuf,
    role: Role,
    /// Device and inode of the file, if the system reports them.
    identity: Option<(u64, u64)>,
}

impl SqliteFile {
    fn new(path: PathBuf, role: Role) -> SqliteFile {
        let identity = identity(&path);
        SqliteFile { pool: pool(path.clone(), identity, role), path, role, identity }
    }

    /// A connection, as long as the file is still in place: writes to one that was moved, replaced or deleted would be
    /// lost.
    pub(super) async fn connect(&self) -> Result<Object<SqliteConn>, StoreError> {
        if identity(&self.path) != self.identity {
            self.fold_away().await;
            return Err(StoreError::Moved(self.path.clone()));
        }
        Ok(self.pool.get().await?)
    }

    /// Folds the log into the file that is still open, wherever that is: what is left beside its old place would be
    /// replayed into the file put there. If it cannot be folded, the file was moved all the same.
    async fn fold_away(&self) {
        if self.role == Role::Read {
            return;
        }
        let folding = async {
            if let Ok(mut connection) = self.pool.get().await {
                let _ = connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
            }
        };
        let _ = timeout(FOLD_WITHIN, folding).await;
    }
}

#[cfg(unix)]
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(not(unix))]
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    path.is_file().then_some((0, 0))
}

pub(super) async fn open(path: &Path, absent: Absent) -> Result<SqliteFile, StoreError> {
    let path = std::path::absolute(path).map_err(|error| not_writable(path, &error.to_string()))?;
    prepare_file(&path, absent)?;
    let file = path.clone();
    run_blocking(move || {
        refuse_foreign(&file)?;
        super::locks::refuse_a_place_without(&file)?;
        let mut connection = connect(&file, PRAGMAS).map_err(|error| explain_connection(&file, error))?;
        migrations::run_on_sqlite(&mut connection).map_err(|error| explain(&file, error))
    })
    .await?;
    Ok(SqliteFile::new(path, Role::Write))
}

/// Connections that only read, beside the one that writes: in the write-ahead log neither waits for the other.
pub(super) fn open_readers(path: &Path) -> Result<SqliteFile, StoreError> {
    let path = std::path::absolute(path).map_err(|error| not_writable(path, &error.to_string()))?;
    Ok(SqliteFile::new(path, Role::Read))
}

/// Connections to the file of that identity, and to no other that has taken its place.
fn pool(path: PathBuf, known: Option<(u64, u64)>, role: Role) -> Pool<SqliteConn> {
    let (pragmas, max_size) = match role {
        Role::Write => (PRAGMAS, 1),
        Role::Read => (READER_PRAGMAS, READERS_MAX),
    };
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |_| {
        let path = path.clone();
        let open = move || match identity(&path) == known {
            true => connect(&path, pragmas),
            false => Err(ConnectionError::BadConnection(StoreError::Moved(path).to_string())),
        };
        SqliteConn::open(open).boxed()
    });
    let pool = Pool::builder(AsyncDieselConnectionManager::new_with_config("", config)).max_size(max_size).build();
    pool.expect("a pool without timeouts needs no runtime")
}

async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(StoreError::Migration(Box::new(error))))
}

/// The file is looked at, never opened: closing a descriptor of ours would drop the locks that another connection of
/// this process holds on it (POSIX locks belong to the process).
pub(super) fn prepare_file(path: &Path, absent: Absent) -> Result<(), StoreError> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(StoreError::IsFolder(path.to_owned())),
        // What is written to a device or a pipe is lost, or waits for a reader for ever.
        Ok(found) if !found.is_file() => Err(StoreError::NotAFile(path.to_owned())),
        Ok(found) => refuse_anothers(path, &found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match absent {
            Absent::Refuse => Err(StoreError::NotFound(path.to_owned())),
            Absent::Create => create(path),
        },
        Err(error) => Err(not_writable(path, &error.to_string())),
    }
}

/// The owner of a file may read and change it, whatever its mode. Root is no exception: its owner could no longer use
/// what root writes beside the file.
#[cfg(unix)]
fn refuse_anothers(path: &Path, found: &std::fs::Metadata) -> Result<(), StoreError> {
    let uid = std::os::unix::fs::MetadataExt::uid(found);
    if uid == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(StoreError::OfAnother { path: path.to_owned(), uid })
}

#[cfg(not(unix))]
fn refuse_anothers(_: &Path, _: &std::fs::Metadata) -> Result<(), StoreError> {
    Ok(())
}

/// Creates the file for its owner alone: it will hold tokens. SQLite gives its companions the same mode.
fn create(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    if !folder.is_dir() {
        return Err(StoreError::NoFolder(folder));
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(not_writable(path, &error.to_string())),
    }
}

#[derive(QueryableByName)]
struct Table {
    #[diesel(sql_type = Text)]
    name: String,
}

/// Refuses a database with tables that are not ours. It is inspected by SQLite without the right to write: our own
/// connection would switch it to the write-ahead log, and migrate it, before anyone could object. A file that cannot be
/// read this way is left to the connection that follows, which reports why.
pub(super) fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
    refuse_foreign_by(path, "mode=ro")
}

/// The same for a file that nobody uses, of which a reader may not even create the companions: it could not remove them.
pub(super) fn refuse_foreign_at_rest(path: &Path) -> Result<(), StoreError> {
    refuse_foreign_by(path, "immutable=1")
}

/// The URL by which SQLite opens a file with options. `None` for a path that is not absolute.
pub(super) fn url_with(path: &Path, options: &str) -> Option<String> {
    let mut url = Url::from_file_path(path).ok()?;
    url.set_query(Some(options));
    Some(url.into())
}

fn refuse_foreign_by(path: &Path, options: &str) -> Result<(), StoreError> {
    let Some(url) = url_with(path, options) else { return Ok(()) };
    let Ok(mut connection) = SqliteConnection::establish(&url) else { return Ok(()) };
    let names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let found = connection
        .batch_execute("PRAGMA busy_timeout = 5000")
        .and_then(|()| diesel::RunQueryDsl::load(sql_query(names), &mut connection));
    let Ok(tables): Result<Vec<Table>, _> = found else { return Ok(()) };
    // Ours are created together, in the transaction of the first migration.
    let is_ours = OUR_TABLES.iter().all(|ours| tables.iter().any(|table| table.name == *ours));
    if tables.is_empty() || is_ours {
        return Ok(());
    }
    let mut found = tables.iter().take(TABLES_NAMED).map(|table| table.name.as_str()).collect::<Vec<_>>().join(", ");
    if tables.len() > TABLES_NAMED {
        found = format!("{found} and {} more", tables.len() - TABLES_NAMED);
    }
    let what = if tables.len() == 1 { "the table" } else { "the tables" };
    Err(StoreError::Foreign { path: path.to_owned(), found: format!("{what} {found}") })
}

/// Makes sure that only its owner can read the file that `conn` is connected to: tokens are about to be written into
/// it. Another program may have created it readable for everybody. On PostgreSQL there is nothing to do.
pub(super) async fn keep_private(conn: &mut Conn) -> Result<(), StoreError> {
    #[derive(QueryableByName)]
    struct Main {
        #[diesel(sql_type = diesel::sql_types::Text)]
        file: String,
    }
    let Conn::Sqlite(c) = conn else { return Ok(()) };
    let main: Main =
        sql_query("SELECT file FROM pragma_database_list WHERE name = 'main'").get_result(&mut **c).await?;
    for suffix in ["", "-wal", "-shm"] {
        tighten(Path::new(&format!("{}{suffix}", main.file)))?;
    }
    Ok(())
}

#[cfg(unix)]
fn tighten(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt;
    let exposed = |reason: String| StoreError::Exposed { path: path.to_owned(), reason };
    let mode = |path: &Path| match std::fs::metadata(path) {
        Ok(found) => Ok(found.permissions().mode() & 0o777),
        // A companion file that does not exist now; SQLite will give it the mode of the file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0o600),
        Err(error) => Err(exposed(error.to_string())),
    };
    if mode(path)? & 0o077 == 0 {
        return Ok(());
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| exposed(error.to_string()))?;
    // Some file systems have no modes and do not report an error.
    match mode(path)? {
        mode if mode & 0o077 == 0 => Ok(()),
        mode => Err(exposed(format!("its mode stays {mode:o}"))),
    }
}

#[cfg(not(unix))]
fn tighten(_: &Path) -> Result<(), StoreError> {
    Ok(())
}

fn connect(path: &Path, pragmas: &str) -> ConnectionResult<SqliteConnection> {
    let path = path.to_str().ok_or_else(|| ConnectionError::BadConnection("the path is not valid UTF-8".into()))?;
    let mut connection = SqliteConnection::establish(path)?;
    let began_at = Instant::now();
    loop {
        match connection.batch_execute(pragmas) {
            Ok(()) => return Ok(connection),
            Err(error) if error.to_string().contains("locked") && began_at.elapsed() < SETUP_WITHIN => {
                thread::sleep(SETUP_PAUSE);
            }
            Err(error) => return Err(ConnectionError::CouldntSetupConfiguration(error)),
        }
    }
}

fn explain_connection(path: &Path, error: ConnectionError) -> StoreError {
    match error {
        ConnectionError::CouldntSetupConfiguration(error) => explain(path, StoreError::Query(error)),
        other => not_writable(path, &other.to_string()),
    }
}

/// SQLite opens anything; only its first statement fails.
pub(super) fn explain(path: &Path, error: StoreError) -> StoreError {
    let text = match &error {
        StoreError::Query(error) => error.to_string(),
        other => other.to_string(),
    };
    if text.contains("not a database") {
        StoreError::NotADatabase(path.to_owned())
    } else if text.contains("is locked") {
        StoreError::Locked(path.to_owned())
    } else if text.contains("readonly") || text.contains("unable to open") {
        not_writable(path, &text)
    } else {
        error
    }
}

fn not_writable(path: &Path, reason: &str) -> StoreError {
    StoreError::NotWritable { path: path.to_owned(), reason: reason.to_owned() }
}
