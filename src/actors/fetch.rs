//! One request, from the permit to the answer: carries out what [`crate::engine::request`] says.

use super::{
    driver,
    gate::{AcquirePermit, Gate, Permit, Refused, ReportLimited},
    traces,
};
use crate::{
    engine::{
        backoff::{Backoff, Patience},
        request::{self, Event, Request, Step, Target, Vitals},
    },
    faults,
    model::{AccountId, Disposition, EntityType, Family, Fault, Page, PageRequest, RequestStatus, with_causes},
    spotify::{ApiError, Client, Tokens},
};
use actix::Addr;
use std::{cell::Cell, time::Duration};
use tokio::sync::oneshot;
use tracing::{Instrument, debug};

/// What requests of one account share.
#[derive(Clone)]
pub struct Fetcher {
    pub client: Client,
    pub tokens: Tokens,
    pub gate: Addr<Gate>,
    /// Whose requests they are: accounts take turns at the gate. `None` while unknown.
    pub account: Option<AccountId>,
    pub backoff: Backoff,
    /// The longest pause a request sits out; `None` for any.
    pub longest_wait: Option<Duration>,
    pub vitals: Vitals,
}

impl Fetcher {
    /// Sends requests with these tokens, for no account until `account` is set, with the default patience.
    pub fn new(client: Client, tokens: Tokens, gate: Addr<Gate>, longest_wait: Option<Duration>) -> Fetcher {
        let (backoff, vitals) = (Backoff::default(), Vitals::default());
        Fetcher { client, tokens, gate, account: None, backoff, longest_wait, vitals }
    }

    /// Requests a page until it arrives or is given up. `num_requests` counts what was sent on the way.
    pub async fn page(
        &self,
        request: &PageRequest,
        patience: Patience,
        num_requests: &Cell<u32>,
    ) -> Result<Page, Fault> {
        let call = async || {
            faults::visit(point(request));
            self.client.page(&self.tokens, request).await
        };
        let machine = Request::of_page(request, patience, self.backoff, self.vitals.clone());
        self.drive(machine, request.family(), num_requests, call).await
    }

    /// Makes a call that is no page of a walk, until it is answered or given up.
    pub async fn ask<T>(
        &self,
        family: Family,
        num_requests: &Cell<u32>,
        call: impl AsyncFn() -> Result<T, ApiError>,
    ) -> Result<T, Fault> {
        let machine = Request::new(Patience::Whole, self.backoff, self.vitals.clone());
        self.drive(machine, family, num_requests, call).await
    }

    async fn drive<T>(
        &self,
        mut machine: Request,
        family: Family,
        num_requests: &Cell<u32>,
        call: impl AsyncFn() -> Result<T, ApiError>,
    ) -> Result<T, Fault> {
        let (mut permit, mut answer) = (None, None);
        let ended = driver::drive(&mut machine, async |step| match step {
            Step::Acquire(target) => match self.acquire(family_of(target, family)).await {
                Ok(Ok(granted)) => {
                    permit = Some(granted);
                    Event::Permitted
                }
                Ok(Err(Refused::Paused(pause))) => Event::Paused(pause),
                Ok(Err(Refused::Away(why))) => Event::DatabaseAway(why),
                Err(lost) => lost,
            },
            Step::Send(Target::Own) => {
                let sent = send(&mut permit, family, num_requests, &call).await;
                answer = sent.0;
                sent.1
            }
            Step::Send(Target::Probe) => {
                let call = async || self.client.me(&self.tokens).await;
                send(&mut permit, Family::Application, num_requests, call).await.1
            }
            Step::Report { class, retry_after } => {
                let (number, family) = permit.as_ref().map_or((0, family), |permit| (permit.number(), permit.family()));
                let told = self.gate.send(ReportLimited { number, family, class, retry_after }).await;
                if told.is_err() {
                    return self.gate_lost();
                }
                permit = None;
                Event::Reported
            }
            Step::Wait(wait) => {
                debug!(?family, wait_ms = wait.as_millis() as u64, "request failed, trying again");
                driver::wait(wait).await;
                Event::Waited
            }
        });
        ended.await?;
        answer.ok_or_else(|| Fault::Internal("a request ended without its answer".to_owned()))
    }

    /// Waits for a permit. If the gate dies meanwhile, the channel closes.
    async fn acquire(&self, family: Family) -> Result<super::gate::Answer, Event> {
        let (reply, answer) = oneshot::channel();
        let ask = AcquirePermit { family, account: self.account, longest_wait: self.longest_wait, reply };
        self.gate.send(ask).await.map_err(|_| self.gate_lost())?;
        answer.await.map_err(|_| self.gate_lost())
    }

    fn gate_lost(&self) -> Event {
        Event::GateLost { is_parked: !self.gate.connected() }
    }
}

/// Sends one request with the permit, which is returned with the answer; after a limit it stays out until that is
/// noted.
async fn send<T>(
    permit: &mut Option<Permit>,
    family: Family,
    num_requests: &Cell<u32>,
    call: impl AsyncFn() -> Result<T, ApiError>,
) -> (Option<T>, Event) {
    if let Some(permit) = permit {
        permit.mark_used();
    }
    num_requests.set(num_requests.get() + 1);
    let span = traces::request(family);
    let answer = call().instrument(span.clone()).await;
    let disposition = answer.as_ref().err().map_or(Disposition::SERVED, ApiError::disposition);
    if !disposition.was_sent {
        num_requests.set(num_requests.get().saturating_sub(1));
    }
    traces::end_request(&span, disposition.status);
    if let Some(permit) = permit {
        permit.settle(request::outcome(&disposition), disposition.status);
    }
    if disposition.status != RequestStatus::Limited {
        *permit = None;
    }
    let why = answer.as_ref().err().map(|error| with_causes(error)).unwrap_or_default();
    if !why.is_empty() {
        debug!(?family, why, "request failed");
    }
    (answer.ok(), Event::Answered { disposition, why })
}

fn family_of(target: Target, family: Family) -> Family {
    match target {
        Target::Own => family,
        Target::Probe => Family::Application,
    }
}

/// The fault hook of a request.
fn point(request: &PageRequest) -> &'static str {
    match request {
        PageRequest::Listing { entity: EntityType::Tracks, .. } => "fetch.tracks",
        PageRequest::Listing { entity: EntityType::Albums, .. } => "fetch.albums",
        PageRequest::Listing { entity: EntityType::Playlists, .. } => "fetch.playlists",
        PageRequest::Listing { .. } => "fetch.other",
        PageRequest::Following { .. } => "fetch.artists",
        PageRequest::PlaylistItems { .. } => "fetch.playlist_items",
    }
}
