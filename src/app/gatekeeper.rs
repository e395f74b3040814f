//! A gate of its own for a command that has one question: no request is sent without a permit, and none in a pause that
//! another process has met.

use super::CommandError;
use crate::{
    actors::{
        GateView, Progress, Service, Supervisor,
        fetch::{Fetcher, Vitals},
        gate::{Close, Gate},
        supervisor::GateOf,
    },
    config::Config,
    engine::{
        backoff::Backoff,
        gate::{DEFAULT_REQUESTS, GateSettings},
        run::BatchSizes,
    },
    spotify::{Client, Tokens},
    store::Store,
};
use actix::Addr;
use std::{rc::Rc, time::Duration};
use tokio::sync::watch;
use uuid::Uuid;

/// The longest pause that is sat out. A person waits.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long the gate may take to note how many requests were sent.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

pub(super) struct Gatekeeper {
    client: Client,
    gate: Addr<Gate>,
}

impl Gatekeeper {
    pub async fn start(
        store: &Store,
        client: &Client,
        config: &Config,
        label: String,
    ) -> Result<Gatekeeper, CommandError> {
        let supervisor = Supervisor::start(Service {
            store: store.clone(),
            client: client.clone(),
            gate: GateSettings {
                requests: config.rate_limit.requests.unwrap_or(DEFAULT_REQUESTS),
                window: config.rate_limit.window,
            },
            batches: BatchSizes {
                initial: config.sync.initial_batch_size,
                incremental: config.sync.incremental_batch_size,
            },
            longest_wait: Some(LONGEST_WAIT),
            owner: Uuid::new_v4(),
            label,
            progress: Rc::new(watch::channel(Progress::default()).0),
            gate_view: watch::channel(GateView::default()).0,
        });
        let gate = supervisor.send(GateOf).await.map_err(|error| CommandError::failed(&error))?;
        Ok(Gatekeeper { client: client.clone(), gate })
    }

    /// Asks with these tokens.
    pub fn fetcher(&self, tokens: Tokens) -> Fetcher {
        Fetcher {
            client: self.client.clone(),
            tokens,
            gate: self.gate.clone(),
            backoff: Backoff::default(),
            longest_wait: Some(LONGEST_WAIT),
            vitals: Rc::new(Vitals::default()),
        }
    }

    /// Notes what was sent, for those who ask next.
    pub async fn close(self) {
        let _ = tokio::time::timeout(CLOSE_WITHIN, self.gate.send(Close)).await;
    }
}
