//! A connection to SQLite for an event loop of one thread: its statements run on tokio's blocking threads.
//!
//! diesel-async brings one of its own, with two faults. Dropping its future half-way calls `block_in_place`, which
//! panics on a current-thread runtime such as an actix System. This one waits for the statement by itself: dropping a
//! store future (a timeout, a stop) costs the rest of that statement and nothing else, and the connection is never
//! shared with a thread that still works on it. And that one is compiled anew for every query, tokio's tasks included,
//! which was a sixth of the whole crate. Here only the collecting of a query's text and binds is.
//!
//! A commit has some forty statements, and switching to another thread and back costs more than many of them do. So its
//! whole future moves to one blocking thread, where its statements run in place, and nothing that they bind is copied:
//! see [`on_one_thread`].

use diesel::backend::Backend;
use diesel::connection::{
    AnsiTransactionManager, CacheSize, Instrumentation, LoadConnection, SimpleConnection,
    TransactionManager as SyncTransactionManager, TransactionManagerStatus,
};
use diesel::query_builder::{
    AsQuery, AstPass, CollectedQuery, MoveableBindCollector, Query, QueryBuilder, QueryFragment, QueryId,
};
use diesel::result::{DatabaseErrorKind, Error as QueryError, QueryResult};
use diesel::row::IntoOwnedRow;
use diesel::sql_types::Untyped;
use diesel::sqlite::{Sqlite, SqliteQueryBuilder};
use diesel::{Connection, ConnectionError, ConnectionResult, SqliteConnection};
use diesel_async::pooled_connection::PoolableConnection;
use diesel_async::{AsyncConnection, AsyncConnectionCore, SimpleAsyncConnection, TransactionManager};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use std::cell::Cell;
use std::future::{Future, ready};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context, Poll};
use std::vec;
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

type Binds<'a> = <Sqlite as Backend>::BindCollector<'a>;
type Collected = CollectedQuery<<Binds<'static> as MoveableBindCollector<Sqlite>>::BindData>;
type Borrowed<'conn, 'query> = <SqliteConnection as LoadConnection>::Row<'conn, 'query>;
type Row = <Borrowed<'static, 'static> as IntoOwnedRow<'static, Sqlite>>::OwnedRow;
type Rows = stream::Iter<vec::IntoIter<QueryResult<Row>>>;

thread_local! {
    /// Whether this thread may block, as one of [`on_one_thread`].
    static IS_OFF: Cell<bool> = const { Cell::new(false) };
}

pub struct SqliteConn {
    connection: Arc<Mutex<SqliteConnection>>,
}

impl SqliteConn {
    /// A connection that `opening` makes, where it may block.
    pub async fn open(
        opening: impl FnOnce() -> ConnectionResult<SqliteConnection> + Send + 'static,
    ) -> ConnectionResult<SqliteConn> {
        let opened = Task::start(opening).await;
        let connection = opened.unwrap_or_else(|error| Err(ConnectionError::BadConnection(error.to_string())))?;
        Ok(SqliteConn { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Runs `work` where it may block.
    pub fn spawn_blocking<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<R> + Send + 'static,
    ) -> BoxFuture<'static, QueryResult<R>> {
        let connection = self.connection.clone();
        let work = move || work(&mut lock(&connection));
        if IS_OFF.get() {
            return ready(work()).boxed();
        }
        let task = Task::start(work);
        async { task.await.unwrap_or_else(|error| Err(not_run(&error))) }.boxed()
    }

    fn load_any(&mut self, query: &dyn QueryFragment<Sqlite>) -> BoxFuture<'static, QueryResult<Rows>> {
        if IS_OFF.get() {
            return ready(load(&mut lock(&self.connection), &Here(query))).boxed();
        }
        let query = collect(query);
        self.spawn_blocking(move |c| load(c, &query?))
    }

    fn execute_any(&mut self, query: &dyn QueryFragment<Sqlite>) -> BoxFuture<'static, QueryResult<usize>> {
        if IS_OFF.get() {
            return ready(Connection::execute_returning_count(&mut *lock(&self.connection), &Here(query))).boxed();
        }
        let query = collect(query);
        self.spawn_blocking(move |c| Connection::execute_returning_count(c, &query?))
    }

    /// No statement is running: it borrows the connection for as long as it does.
    fn exclusive(&mut self) -> &mut SqliteConnection {
        let connection = Arc::get_mut(&mut self.connection).expect("no statement is running");
        connection.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load<Q>(c: &mut SqliteConnection, query: &Q) -> QueryResult<Rows>
where
    Q: Query<SqlType = Untyped> + QueryFragment<Sqlite> + QueryId,
{
    let mut cache = <Borrowed<'_, '_> as IntoOwnedRow<'_, Sqlite>>::Cache::default();
    let rows = LoadConnection::load(c, query)?.map(|row| Ok(row?.into_owned(&mut cache)));
    Ok(stream::iter(rows.collect::<Vec<_>>()))
}

fn collect(query: &dyn QueryFragment<Sqlite>) -> QueryResult<Collected> {
    let mut binds = Binds::default();
    query.collect_binds(&mut binds, &mut (), &Sqlite)?;
    let mut sql = SqliteQueryBuilder::default();
    query.to_sql(&mut sql, &Sqlite)?;
    Ok(CollectedQuery::new(sql.finish(), query.is_safe_to_cache_prepared(&Sqlite)?, binds.moveable()))
}

/// A query that runs where it is, as one type whatever it is.
struct Here<'a>(&'a dyn QueryFragment<Sqlite>);

impl QueryFragment<Sqlite> for Here<'_> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }
}

impl QueryId for Here<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Here<'_> {
    type SqlType = Untyped;
}

fn not_run(error: &JoinError) -> QueryError {
    QueryError::DatabaseError(DatabaseErrorKind::UnableToSendCommand, Box::new(error.to_string()))
}

impl SimpleAsyncConnection for SqliteConn {
    async fn batch_execute(&mut self, sql: &str) -> QueryResult<()> {
        let sql = sql.to_owned();
        self.spawn_blocking(move |c| c.batch_execute(&sql)).await
    }
}

impl AsyncConnectionCore for SqliteConn {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'query, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'query, QueryResult<Rows>>;
    type Stream<'conn, 'query> = Rows;
    type Row<'conn, 'query> = Row;
    type Backend = Sqlite;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Sqlite> + QueryId + 'query,
    {
        self.load_any(&source.as_query())
    }

    fn execute_returning_count<'conn, 'query, T>(&'conn mut self, source: T) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Sqlite> + QueryId + 'query,
    {
        self.execute_any(&source)
    }
}

impl AsyncConnection for SqliteConn {
    type TransactionManager = Transactions;

    async fn establish(url: &str) -> ConnectionResult<Self> {
        let url = url.to_owned();
        SqliteConn::open(move || SqliteConnection::establish(&url)).await
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        self.exclusive().transaction_state()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.exclusive().instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.exclusive().set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.exclusive().set_prepared_statement_cache_size(size);
    }
}

impl PoolableConnection for SqliteConn {
    fn is_broken(&mut self) -> bool {
        Transactions::is_broken_transaction_manager(self)
    }
}

/// Transactions are counted where their statements run: one that was begun after its future had been dropped is known.
pub struct Transactions;

impl TransactionManager<SqliteConn> for Transactions {
    type TransactionStateData = AnsiTransactionManager;

    async fn begin_transaction(c: &mut SqliteConn) -> QueryResult<()> {
        c.spawn_blocking(AnsiTransactionManager::begin_transaction).await
    }

    async fn commit_transaction(c: &mut SqliteConn) -> QueryResult<()> {
        c.spawn_blocking(AnsiTransactionManager::commit_transaction).await
    }

    async fn rollback_transaction(c: &mut SqliteConn) -> QueryResult<()> {
        c.spawn_blocking(AnsiTransactionManager::rollback_transaction).await
    }

    fn transaction_manager_status_mut(c: &mut SqliteConn) -> &mut TransactionManagerStatus {
        AnsiTransactionManager::transaction_manager_status_mut(c.exclusive())
    }
}

/// Runs `work`, all its statements included, on one blocking thread. Dropping the future waits for the rest of it, so
/// it must not wait for anything that the event loop does: it owns its connection.
pub(super) async fn on_one_thread<T, F>(work: impl FnOnce() -> F + Send + 'static) -> T
where
    F: Future<Output = T>,
    T: Send + 'static,
{
    let runtime = Handle::current();
    let task = Task::start(move || {
        let _off = Off::enter();
        runtime.block_on(work())
    });
    task.await.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => unreachable!("nobody aborts it, and a runtime that ends lets it finish"),
    })
}

/// Marks the thread for the duration of the work: tokio reuses its blocking threads.
struct Off;

impl Off {
    fn enter() -> Off {
        IS_OFF.set(true);
        Off
    }
}

impl Drop for Off {
    fn drop(&mut self) {
        IS_OFF.set(false);
    }
}

/// Work on a blocking thread, as one type whatever it is.
type Work = Box<dyn FnOnce() + Send>;

struct Task<R> {
    running: Running,
    result: Arc<Mutex<Option<R>>>,
}

/// Dropping it waits until the work is over.
struct Running {
    handle: JoinHandle<()>,
    /// Closed once the work is over, whether it ran, panicked or never started. The lock only makes it `Sync`.
    finished: Mutex<mpsc::Receiver<()>>,
}

impl<R: Send + 'static> Task<R> {
    fn start(work: impl FnOnce() -> R + Send + 'static) -> Task<R> {
        let result = Arc::new(Mutex::new(None));
        let kept = result.clone();
        let work = Box::new(move || {
            let done = work();
            *lock(&kept) = Some(done);
        });
        Task { running: Running::start(work), result }
    }
}

impl Running {
    fn start(work: Work) -> Running {
        let (running, finished) = mpsc::channel::<()>();
        let handle = spawn_blocking(move || {
            work();
            drop(running);
        });
        Running { handle, finished: Mutex::new(finished) }
    }
}

impl<R> Future for Task<R> {
    type Output = Result<R, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.running.handle).poll(cx).map_ok(|()| {
            let result = lock(&self.result).take();
            result.expect("work that ended without a panic left its result")
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(finished) = self.finished.get_mut() {
            // Nothing is ever sent: this returns when the work drops its end.
            let _ = finished.recv();
        }
    }
}

/// What a panic left behind is either a connection, whose transaction the pool looks at, or nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
