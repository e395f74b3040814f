//! The server: listens, and shuts down cleanly. Bounds what one client, and all of them, may use, and for how long.

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

/// Connections of all workers, streams included. Beyond that, new ones wait to be accepted.
const CONNECTIONS_MAX: usize = 384;

/// How long a client may take to send the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(5);

/// How long a connection may be idle between requests.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long sent data may stay unread before the connection is cut. A browser reads even what its window does not show,
/// so a client that takes longer has vanished, or reads nothing and would keep a listener's place.
pub const UNREAD_MAX: Duration = Duration::from_secs(60);

/// Time for an answer under way to finish. Clients that have not read it by then are not waited for.
const END_WITHIN_SECONDS: u64 = 1;

/// What the server's clients may use.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// All workers together.
    connections: usize,
    /// Streams of events among them.
    pub listeners: usize,
    unread_max: Duration,
}

impl Bounds {
    /// For a process that may have this many open files: half of them are for the sync. `unread_max` is [`UNREAD_MAX`],
    /// except in tests.
    pub fn new(num_files: usize, unread_max: Duration) -> Bounds {
        let connections = CONNECTIONS_MAX.min(num_files / 2).max(2 * WORKERS);
        Bounds { connections, listeners: LISTENERS_MAX.min(connections * 2 / 3), unread_max }
    }
}

/// A server that listens.
pub struct Listening {
    /// The actual address, even if the settings left the port open.
    pub address: SocketAddr,
    handle: ServerHandle,
    closing: watch::Sender<bool>,
}

/// Binds the address. The server runs while its future is polled. `closing` ends the state's streams.
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

/// The server itself does not limit how long a write takes. The system's limit counts from when a client stops reading,
/// whatever else it answers. Only Linux has this option.
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
