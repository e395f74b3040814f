//! SQLite off the event loop, on tokio's blocking threads, for an event loop of one thread.
//!
//! diesel-async brings its own way of doing this, but a future of its that is dropped half-way calls
//! `block_in_place`, which panics on a current-thread runtime, and that is what an actix System is. This one waits for
//! the statement by itself: dropping a store future (a timeout, a stop) costs the rest of that statement and nothing
//! else, and the connection is never shared with a thread that still works on it.

use diesel_async::sync_connection_wrapper::SpawnBlocking;
use futures_util::future::BoxFuture;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use tokio::task::{JoinHandle, spawn_blocking};

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
        let (running, finished) = mpsc::channel::<()>();
        let handle = spawn_blocking(move || {
            let result = task();
            drop(running);
            result
        });
        Box::pin(Statement { handle, finished: std::sync::Mutex::new(finished) })
    }

    fn get_runtime() -> Self {
        OffThread
    }
}

struct Statement<R> {
    handle: JoinHandle<R>,
    /// Closed once the task is over, whether it ran, panicked or never started. The lock only makes it `Sync`.
    finished: std::sync::Mutex<mpsc::Receiver<()>>,
}

impl<R> Future for Statement<R> {
    type Output = Result<R, Box<dyn Error + Send + Sync + 'static>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.handle).poll(cx).map_err(Box::from)
    }
}

impl<R> Drop for Statement<R> {
    fn drop(&mut self) {
        if let Ok(finished) = self.finished.get_mut() {
            // Nothing is ever sent: this returns when the task lets go of its end.
            let _ = finished.recv();
        }
    }
}
