//! The status page of `segno run`: the check of its settings, its own connections to the database, and the server.
//!
//! All of it runs on threads of its own. The thread of the actors is busy with the sync and with nothing else.

use super::{CommandError, Exit, gate_settings, process, status};
use crate::{
    actors::{GateView, Progress, Supervisor},
    clock,
    config::Config,
    faults::hastened,
    metrics::Metrics,
    model::{EntityType, Owner, PlaylistChoice},
    store::{DatabaseUrl, PlayCounts, Store},
    web::{
        WebState,
        assets::Document,
        auth::Keeper,
        base::BasePath,
        document::{About, Snapshot},
        download::DOWNLOADS_MAX,
        health::Readiness,
        host::Hosts,
        server::{self, Bounds, Listening, UNREAD_MAX},
        status_cache::{Source, StatusCache},
    },
};
use actix::Addr;
use actix_rt::Arbiter;
use actix_web::web::Data;
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{Semaphore, watch};
use tracing::info;

/// The page, being served.
pub(super) struct WebServer {
    listening: Listening,
    status_cache: Data<StatusCache>,
    kept: Arc<Mutex<Kept>>,
    /// Makes the status document.
    maker: Arbiter,
}

/// What the service keeps current under the present settings.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub entities: Vec<EntityType>,
    pub playlists: PlaylistChoice,
}

/// Refuses settings that would show the library to anybody.
pub(super) fn check(config: &Config) -> Result<(), CommandError> {
    let Some(listen) = config.web.listen.filter(|_| config.web.token.is_none()) else { return Ok(()) };
    let (port, sees) = (listen.port(), "sees the library and can stop the sync: set SEGNO_WEB_TOKEN to a token of 16");
    if !listen.ip().is_loopback() {
        return Err(CommandError::new(
            Exit::Usage,
            format!(
                "web.listen: {listen} can be reached from other machines, and whoever reaches the status page {sees} \
                 characters or more, or listen on 127.0.0.1:{port}"
            ),
        ));
    }
    if let Some(host) = config.web.hosts.first() {
        return Err(CommandError::new(
            Exit::Usage,
            format!(
                "web.hosts: a proxy that answers to {host} leads other machines here, and whoever comes through it \
                 {sees} characters or more, or leave web.hosts out"
            ),
        ));
    }
    Ok(())
}

/// Starts serving the page; `None` if the settings disable it.
pub(super) async fn serve(
    config: &Config,
    url: &DatabaseUrl,
    owner: &Owner,
    supervisor: Addr<Supervisor>,
    metrics: Metrics,
    progress: watch::Receiver<Progress>,
    gate: watch::Receiver<GateView>,
) -> Result<Option<WebServer>, CommandError> {
    let Some(address) = config.web.listen else {
        info!("no status page: web.listen is off");
        return Ok(None);
    };
    let store = Store::open_readers(url, &format!("{}, page", owner.label))?;
    let (entities, playlists) = (config.sync.entities.clone(), config.sync.playlists.clone());
    let kept = Arc::new(Mutex::new(Kept { entities, playlists }));
    let about = About {
        node_id: owner.id,
        started_at: clock::now(),
        database: match &store {
            Store::Sqlite(_) => "sqlite",
            Store::Pg(_) => "postgres",
        },
        ceilings: config.rate_limit.daily,
        window_seconds: config.rate_limit.window.as_secs(),
        time_zone: config.time_zone,
    };
    let source = source(store.clone(), config, owner.clone(), kept.clone());
    let status_cache = Data::new(StatusCache::new(source, about, progress.clone(), gate));
    // The first look at a large library counts it. Nobody should have to wait for that.
    status_cache.current().await;
    let base = BasePath::new(config.web.base_path.clone());
    let path = base.as_str().to_owned();
    let (closing, is_closing) = watch::channel(false);
    let state = Data::new(WebState {
        store,
        supervisor,
        progress,
        ceilings: config.rate_limit.daily,
        zone: config.time_zone,
        metrics,
        status_cache: status_cache.clone(),
        document: Document::new(&base, config.web.token.is_some()),
        keeper: Keeper::new(config.web.token.as_ref()),
        base,
        hosts: Hosts::new(address, config.web.hosts.clone()),
        bounds: Bounds::new(process::num_files(), hastened(UNREAD_MAX)),
        downloads: Arc::new(Semaphore::new(DOWNLOADS_MAX)),
        readiness: Readiness::default(),
        closing: is_closing,
    });
    let (server, listening) = server::listen(address, state, closing).map_err(|error| refused(address, &error))?;
    actix_rt::spawn(server);
    let maker = Arbiter::new();
    let made = status_cache.clone();
    maker.spawn_fn(move || {
        actix_rt::spawn(async move { made.keep().await });
    });
    info!("the status page is at http://{}{path}", listening.address);
    Ok(Some(WebServer { listening, status_cache, kept, maker }))
}

/// The contents of the database, under these settings.
fn source(store: Store, config: &Config, us: Owner, kept: Arc<Mutex<Kept>>) -> Source {
    let settings = gate_settings(config);
    let counts = Arc::new(PlayCounts::default());
    let needs = status::needs(config, &config.sync.entities);
    Box::new(move |now| {
        let (store, counts, us, kept) = (store.clone(), counts.clone(), us.clone(), kept.clone());
        Box::pin(async move {
            let Kept { entities, playlists } = kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let inputs = status::StatusInputs { counts: &counts, settings: &settings, us: &us };
            let (status, ledger) = status::with_ledger(&store, inputs, needs, &playlists, now).await?;
            Ok(Snapshot { status, ledger, entities })
        })
    })
}

/// Why the address cannot be used. "In use" may pass with the process that uses it; the other reasons are wrong
/// settings.
fn refused(address: SocketAddr, error: &io::Error) -> CommandError {
    let (exit, what) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            Exit::Failed,
            "it is in use, perhaps by another segno; stop that, or set web.listen (SEGNO_WEB_LISTEN) to another address, or \
             to \"off\" for no status page"
                .to_owned(),
        ),
        io::ErrorKind::AddrNotAvailable => {
            (Exit::Usage, "this machine has no such address; correct web.listen (SEGNO_WEB_LISTEN)".to_owned())
        }
        io::ErrorKind::PermissionDenied => (
            Exit::Usage,
            "that is not permitted; set web.listen (SEGNO_WEB_LISTEN) to a port of 1024 or above".to_owned(),
        ),
        _ => (Exit::Failed, error.to_string()),
    };
    CommandError::new(exit, format!("the status page cannot listen on {address}: {what}"))
}

impl WebServer {
    /// Applies a change of what the service keeps current.
    pub fn take_up(&self, kept: Kept) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        self.status_cache.make_stale();
    }

    /// Ends the streams and the server; slow readers are not waited for.
    pub async fn close(self) {
        self.listening.close().await;
        self.maker.stop();
    }
}
