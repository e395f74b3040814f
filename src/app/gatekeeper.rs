//! A gate for a command that makes a few requests of its own: no request is sent without a permit, and none during a
//! pause that another process has met.

use super::{
    CommandError, gate_settings,
    sync::{CLOSE_WITHIN, batches, guard},
};
use crate::{
    actors::{
        GateView, Progress, Service, Supervisor,
        calendar::shared_calendar,
        fetch::Fetcher,
        gate::{Close, Gate},
        supervisor::GateOf,
    },
    config::Config,
    engine::run::Purpose,
    metrics::Metrics,
    model::Owner,
    spotify::{Client, Tokens},
    store::Store,
};
use actix::Addr;
use std::{rc::Rc, sync::Arc, time::Duration};
use tokio::sync::watch;

/// The longest pause that is sat out, since a person waits.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

pub(super) struct Gatekeeper {
    client: Client,
    gate: Addr<Gate>,
}

impl Gatekeeper {
    pub async fn start(
        store: &Store,
        client: &Client,
        config: &Config,
        owner: Owner,
    ) -> Result<Gatekeeper, CommandError> {
        let supervisor = Supervisor::start(Service {
            store: store.clone(),
            client: client.clone(),
            gate: gate_settings(config),
            calendar: shared_calendar(store).await?,
            batches: batches(config),
            purpose: Purpose::Current,
            guard: guard(config),
            playlists: Arc::new(config.sync.playlists.clone()),
            longest_wait: Some(LONGEST_WAIT),
            owner,
            progress: Rc::new(watch::channel(Progress::default()).0),
            gate_view: watch::channel(GateView::default()).0,
            metrics: Metrics::default(),
        });
        let gate = supervisor.send(GateOf).await.map_err(|error| CommandError::failed(&error))?;
        Ok(Gatekeeper { client: client.clone(), gate })
    }

    /// Sends requests with these tokens.
    pub fn fetcher(&self, tokens: Tokens) -> Fetcher {
        Fetcher::new(self.client.clone(), tokens, self.gate.clone(), Some(LONGEST_WAIT))
    }

    /// Notes what was sent, for the processes that follow.
    pub async fn close(self) {
        let _ = tokio::time::timeout(CLOSE_WITHIN, self.gate.send(Close)).await;
    }
}
