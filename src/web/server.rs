//! The server: listens, and ends in good order. Bounds what one client, and all of them, may take, and for how long.

use super::{Problem, WebState, body::BODY_MAX, events::LISTENERS_MAX, guard::guard};
use actix_web::{
    App, HttpResponse, HttpServer,
    dev::{Server, ServerHandle},
    http::KeepAlive,
    middleware::from_fn,
    rt::net::TcpStream,
    web::{Data, FormConfig, PayloadConfig, to},
};
use std::{any::Any, io, net::SocketAddr, time::Duration};
use tokio::sync::watch;
use tracing::debug;

/// Handlers wait for the database and compute next to nothing.
const WORKERS: usize = 2;

/// Connections of all workers, those of streams included. Beyond, new ones wait to be accepted.
const CONNECTIONS_MAX: usize = 384;

/// How long a client may take to say what it wants.
const HEAD_WITHIN: Duration = Duration::from_secs(5);

/// How long a connection may rest between requests.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long what is sent may lie unread before the connection is cut. A browser reads also what its window does not
/// show, so whoever takes longer has gone without a word, or reads nothing and would keep a listener's place.
pub const UNREAD_MAX: Duration = Duration::from_secs(60);

/// What an answer under way is given to end in. Whoever has not read it by then is not waited for.
const END_WITHIN_SECONDS: u64 = 1;

/// What its clients may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// All workers together.
    connections: usize,
    /// Streams of events among them.
    pub listeners: usize,
    unread_max: Duration,
}

impl Bounds {
    /// For a process that may have so many files open: half of them are the sync's. `unread_max` is [`UNREAD_MAX`], but for
    /// tests.
    pub fn new(num_files: usize, unread_max: Duration) -> Bounds {
        let connections = CONNECTIONS_MAX.min(num_files / 2).max(2 * WORKERS);
        Bounds { connections, listeners: LISTENERS_MAX.min(connections * 2 / 3), unread_max }
    }
}

/// A server that listens.
pub struct Listening {
    /// As it is, also where the settings left the port open.
    pub address: SocketAddr,
    handle: ServerHandle,
    closing: watch::Sender<bool>,
}

/// Binds the address. The server runs while its future is polled. `closing` is what the state's streams end by.
pub fn listen(
    address: SocketAddr,
    state: Data<WebState>,
    closing: watch::Sender<bool>,
) -> io::Result<(Server, Listening)> {
    let Bounds { connections, unread_max, .. } = state.bounds;
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .app_data(PayloadConfig::new(BODY_MAX))
            .app_data(FormConfig::default().limit(BODY_MAX))
            .wrap(from_fn(guard))
            .configure(super::configure)
            .default_service(to(nothing))
    })
    .on_connect(move |connection, _| bound_unread(connection, unread_max))
    .workers(WORKERS)
    .max_connections(connections / WORKERS)
    .client_request_timeout(HEAD_WITHIN)
    .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
    .shutdown_timeout(END_WITHIN_SECONDS)
    .disable_signals()
    .bind(address)?;
    let address = server.addrs().first().copied().unwrap_or(address);
    let server = server.run();
    let handle = server.handle();
    Ok((server, Listening { address, handle, closing }))
}

/// The server itself sets no bound to the time that a write takes. The system's counts from when a client takes nothing
/// more in, whatever else it answers. Only Linux has this option.
fn bound_unread(connection: &dyn Any, unread_max: Duration) {
    #[cfg(target_os = "linux")]
    if let Some(stream) = connection.downcast_ref::<TcpStream>() {
        let millis = u32::try_from(unread_max.as_millis()).unwrap_or(u32::MAX);
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, millis) {
            debug!(%error, "a connection has no bound for what is not read");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (connection.is::<TcpStream>(), unread_max);
}

async fn nothing() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found("there is nothing here"))
}

impl Listening {
    /// Ends the streams, then the server.
    pub async fn close(self) {
        self.closing.send_replace(true);
        self.handle.stop(true).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_visits_takes_at_most_half_of_the_files() {
        for (num_files, connections, listeners) in
            [(1 << 20, 384, 256), (1024, 384, 256), (512, 256, 170), (64, 32, 21), (0, 4, 2)]
        {
            let bounds = Bounds::new(num_files, UNREAD_MAX);
            assert_eq!((bounds.connections, bounds.listeners), (connections, listeners), "{num_files} files");
        }
    }
}
