//! The status page and its API: what `segno run` shows of itself, and the few orders that it accepts.
//!
//! It reads the database through a small pool of its own, and acts only through messages to the supervisor. Whatever
//! its clients do, slow, many or hostile, the sync continues as if there were none.

pub mod activity;
pub mod assets;
pub mod auth;
pub mod base;
pub mod body;
pub mod controls;
pub mod document;
pub mod download;
pub mod events;
pub mod feed;
mod guard;
pub mod health;
pub mod history;
pub mod host;
pub mod library;
pub mod listening;
pub mod metrics;
pub mod openapi;
mod paging;
mod params;
pub mod problem;
pub mod removals;
pub mod server;
mod sign_in;
pub mod status;
pub mod status_cache;

pub use problem::Problem;

use crate::{
    actors::{Progress, Supervisor},
    metrics::Metrics,
    model::{AccountId, DailyCeilings, zone::Zone},
    store::Store,
};
use actix::Addr;
use actix_web::web::{Data, ServiceConfig};
use assets::Document;
use auth::Keeper;
use base::BasePath;
use health::Readiness;
use host::Hosts;
use server::Bounds;
use status_cache::StatusCache;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// Parses a query, for `examples/fuzz.rs`: whether it is valid, and whether `cursor` is a cursor.
#[doc(hidden)]
pub fn probe(query: &str, cursor: &str) -> (bool, bool) {
    let params = params::Params::probe(query);
    (params, paging::probe(cursor))
}

/// The shared state of the handlers.
pub struct WebState {
    /// A few connections that only read. The sync has its own.
    pub store: Store,
    pub supervisor: Addr<Supervisor>,
    /// Runs under way, and restarts of actors.
    pub progress: watch::Receiver<Progress>,
    /// Our own daily ceilings.
    pub ceilings: DailyCeilings,
    /// Where days begin and end, if the settings say so.
    pub zone: Option<Zone>,
    pub metrics: Metrics,
    pub status_cache: Data<StatusCache>,
    pub keeper: Keeper,
    pub document: Document,
    pub hosts: Hosts,
    pub base: BasePath,
    pub bounds: Bounds,
    /// Slots for downloads.
    pub downloads: Arc<Semaphore>,
    /// The latest result of `/readyz`.
    pub readiness: Readiness,
    /// True once streams have to end.
    pub closing: watch::Receiver<bool>,
}

impl WebState {
    /// The account that a request means: the first one if it names none.
    pub async fn account(&self, wanted: Option<AccountId>) -> Result<AccountId, Problem> {
        let known = self.store.accounts().await?;
        match wanted {
            None => known
                .iter()
                .map(|account| account.id)
                .min()
                .ok_or_else(|| Problem::not_found("nobody has signed in yet: run \"segno login\"")),
            Some(wanted) if known.iter().any(|account| account.id == wanted) => Ok(wanted),
            Some(AccountId(wanted)) => Err(Problem::not_found(format!("there is no account {wanted}"))),
        }
    }
}

/// Every route. Paths are written out in full, each in the module that serves it.
pub fn configure(cfg: &mut ServiceConfig) {
    status::routes(cfg);
    events::routes(cfg);
    controls::routes(cfg);
    health::routes(cfg);
    sign_in::routes(cfg);
    library::routes(cfg);
    history::routes(cfg);
    listening::routes(cfg);
    feed::routes(cfg);
    download::routes(cfg);
    removals::routes(cfg);
    activity::routes(cfg);
    openapi::routes(cfg);
    metrics::routes(cfg);
    assets::routes(cfg);
}
