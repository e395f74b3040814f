//! A stand-in for the Spotify Web API and its sign-in, with a made-up library behind it: for the demo, for experiments
//! and for the tests. It shares no code with the client it serves, so that a mistake in one is not repeated in the
//! other.
//!
//! ```text
//! server ──── service ──┬─ oauth      sign-in and tokens
//! (sockets)   (one step ├─ consent    who agrees to what
//!              at a     ├─ limits     rolling window, quotas, pauses
//!              time)    ├─ faults     what goes wrong, and when ── reshape
//!                       ├─ listings   the questions of a sync ──── paging, rows, renderer, wire
//!                       ├─ control    /_sandbox/ ──────────────── truth, explicit
//!                       ├─ shares     playlists that several people list
//!                       └─ log        who asked what
//! life ── what happens while a demo stays
//!              library ── the truth; made by generate (maker, names, catalogue), changed by edits
//! ```
//!
//! [`listener`] is separate: what a listener heard over years, as the data export and as the API report it.
//!
//! Everything below `server` is plain computation: a request and the time go in, a reply comes out.
//!
//! Where sources disagree about the real API, the sandbox takes the stricter reading. It answers any client that has
//! its client id and refresh token, or that goes through the sign-in; there is nothing to protect, so it should listen
//! on loopback addresses only.

mod actions;
mod applied;
mod catalogue;
mod config;
mod consent;
mod control;
mod dates;
mod edits;
mod explicit;
mod faults;
mod generate;
mod handed_out;
mod http;
mod library;
mod life;
mod limits;
pub mod listener;
mod listings;
mod log;
mod maker;
mod names;
mod oauth;
mod paging;
mod plays;
mod refusals;
mod renderer;
mod reshape;
mod routes;
mod rows;
mod server;
mod service;
mod shares;
mod spoken;
#[cfg(test)]
mod tests;
mod truth;
mod wire;

use std::io;
use std::net::SocketAddr;

use actix_web::dev::ServerHandle;
use tokio::task::JoinHandle;

pub use config::{Config, Dialect, LibrarySpec, Limits, RetryAfter};
pub use log::Stats;

use http::Moment;
use server::Shared;
use service::Service;

/// A running stand-in server. It stops when this is dropped; [`stop`](Sandbox::stop) waits until it has.
pub struct Sandbox {
    address: SocketAddr,
    client_id: String,
    refresh_token: String,
    shared: Shared,
    handle: ServerHandle,
}

impl Sandbox {
    /// Makes up the library and starts listening. Needs a tokio runtime; an actix system is one.
    pub async fn start(config: Config) -> io::Result<Sandbox> {
        config.check().map_err(|message| io::Error::new(io::ErrorKind::InvalidInput, message))?;
        let (service, refresh_token) = Service::new(&config, Moment::now());
        let client_id = service.oauth.client_id().to_owned();
        let shared = Shared::new(service);
        let (server, address) = server::listen(config.listen, shared.clone())?;
        let handle = server.handle();
        tokio::spawn(server);
        tracing::debug!(%address, seed = config.seed, "sandbox listens");
        Ok(Sandbox { address, client_id, refresh_token, shared, handle })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Base of the Web API, like `https://api.spotify.com/v1`.
    pub fn api_url(&self) -> String {
        format!("{}/v1", self.accounts_url())
    }

    /// Base of the sign-in, like `https://accounts.spotify.com`.
    pub fn accounts_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The one application that it knows.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// A refresh token with every read permission, so that nobody has to sign in.
    pub fn refresh_token(&self) -> &str {
        &self.refresh_token
    }

    /// From now on the library changes, and the limit is hit, until this is dropped.
    pub fn enliven(&self) -> Life {
        Life(tokio::spawn(life::live(self.shared.clone())))
    }

    /// The counts so far.
    pub fn stats(&self) -> Stats {
        self.shared.lock().journal.stats().clone()
    }

    /// Stops listening and closes all connections, answered or not.
    pub async fn stop(self) {
        self.handle.stop(false).await;
    }
}

/// The events in the library of a [`Sandbox`]; they end when this is dropped.
pub struct Life(JoinHandle<()>);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // The command is sent by the call; the future only waits for it to be carried out.
        drop(self.handle.stop(false));
    }
}
