//! SQLite off the event loop, on tokio's blocking threads, for an event loop of one thread.
//!
//! diesel-async brings its own way of doing this, but dropping its future half-way calls `block_in_place`, which panics
//! on a current-thread runtime such as an actix System. This one waits for the statement by itself: dropping a store
//! future (a timeout, a stop) costs the rest of that statement and nothing else, and the connection is never shared
//! with a thread that still works on it.
//!
//! A commit has some forty statements, and switching to another thread and back costs more than many of them do. So its
//! whole future moves to one blocking thread, where its statements run in place: see [`on_one_thread`].

use diesel_async::sync_connection_wrapper::SpawnBlocking;
use futures_util::future::BoxFuture;
use std::cell::Cell;
use std::error::Error;
use std::future::{Future, ready};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

thread_local! {
    /// Whether this thread may block, as one of [`on_one_thread`].
    static IS_OFF: Cell<bool> = const { Cell::new(false) };
}

#[derive(Debug)]
pub struct OffThread;

impl SpawnBlocking for OffThread {
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> BoxFuture<'a, Result<R, Box<dyn Error + Send + Sync + 'static>>>
    where
        R: Send + 'static,
    {
        if IS_OFF.get() {
            return Box::pin(ready(Ok(task())));
        }
        let task = Task::start(task);
        Box::pin(async { task.await.map_err(Box::from) })
    }

    fn get_runtime() -> Self {
        OffThread
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
        let _here = Here::enter();
        runtime.block_on(work())
    });
    task.await.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => unreachable!("nobody aborts it, and a runtime that ends lets it finish"),
    })
}

/// Marks the thread for the duration of the work: tokio reuses its blocking threads.
struct Here;

impl Here {
    fn enter() -> Here {
        IS_OFF.set(true);
        Here
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        IS_OFF.set(false);
    }
}

struct Task<R> {
    handle: JoinHandle<R>,
    /// Closed once the task is over, whether it ran, panicked or never started. The lock only makes it `Sync`.
    finished: std::sync::Mutex<mpsc::Receiver<()>>,
}

impl<R: Send + 'static> Task<R> {
    fn start(work: impl FnOnce() -> R + Send + 'static) -> Task<R> {
        let (running, finished) = mpsc::channel::<()>();
        let handle = spawn_blocking(move || {
            let result = work();
            drop(running);
            result
        });
        Task { handle, finished: std::sync::Mutex::new(finished) }
    }
}

impl<R> Future for Task<R> {
    type Output = Result<R, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.handle).poll(cx)
    }
}

impl<R> Drop for Task<R> {
    fn drop(&mut self) {
        if let Ok(finished) = self.finished.get_mut() {
            // Nothing is ever sent: this returns when the task drops its end.
            let _ = finished.recv();
        }
    }
}
