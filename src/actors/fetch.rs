//! One request of a run, from the permit to the answer: waits at the gate, asks the API, and tries again as long as
//! [`crate::engine::backoff`] says.

use super::{
    gate::{AcquirePermit, Gate, Permit, ReportLimited},
    traces,
};
use crate::{
    clock,
    engine::{
        backoff::{Backoff, Patience, Retry},
        gate::Outcome,
    },
    faults,
    metrics::RequestStatus,
    model::{AccountId, EntityType, Family, Fault, Page, PageRequest, Pause, with_causes},
    spotify::{ApiError, Client, ForbiddenReason, Tokens},
};
use actix::Addr;
use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;
use tracing::{Instrument, debug, warn};

/// A gate that died needs a moment to come back.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Refusals by a limit in a row for one request. Each waits as long as the API asks, so this only ends what is hopeless.
const LIMITED_MAX: u32 = 20;

/// Times in a row that one request may find its access token expired.
const RENEWED_MAX: u32 = 2;

/// What requests of one account share.
#[derive(Clone)]
pub struct Fetcher {
    pub client: Client,
    pub tokens: Tokens,
    pub gate: Addr<Gate>,
    /// Whose requests they are: accounts take turns at the gate. `None` while that is not known.
    pub account: Option<AccountId>,
    pub backoff: Backoff,
    /// The longest pause a request sits out; `None` for any.
    pub longest_wait: Option<Duration>,
    pub vitals: Rc<Vitals>,
}

/// Whether the API is alive, as far as any request could tell.
#[derive(Debug, Default)]
pub struct Vitals {
    last_answer: Cell<Option<Instant>>,
}

impl Vitals {
    fn note_answer(&self) {
        self.last_answer.set(Some(clock::instant()));
    }

    fn answered_since(&self, moment: Instant) -> bool {
        self.last_answer.get().is_some_and(|answered| answered > moment)
    }
}

/// Failures of one request so far.
struct Failures {
    tries: u32,
    since: Instant,
}

/// Why a request brought nothing, after all the tries it was worth.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// A limit pauses the family for longer than we may wait.
    #[error("{}", Fault::Paused(*.0))]
    Paused(Pause),
    #[error("{}", with_causes(.0))]
    Failed(ApiError),
    /// The gate keeps dying and is parked: nothing may be sent any more.
    #[error("the gate keeps failing, so nothing can be asked for")]
    GateGone,
}

impl Fetcher {
    /// Asks with these tokens, for nobody in particular until `account` is set, as patiently as everyone does.
    pub fn new(client: Client, tokens: Tokens, gate: Addr<Gate>, longest_wait: Option<Duration>) -> Fetcher {
        let (backoff, vitals) = (Backoff::default(), Rc::default());
        Fetcher { client, tokens, gate, account: None, backoff, longest_wait, vitals }
    }

    /// Asks for a page until it comes or is given up. `num_requests` counts what was sent on the way.
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
        self.ask(request.family(), patience, num_requests, call).await.map_err(|unanswered| match unanswered {
            Unanswered::Paused(pause) => Fault::Paused(pause),
            Unanswered::GateGone => Fault::Internal(unanswered.to_string()),
            Unanswered::Failed(error) => fault(request, &error),
        })
    }

    /// Makes one call until it is answered or given up. Each try needs a permit of its own.
    pub async fn ask<T>(
        &self,
        family: Family,
        patience: Patience,
        num_requests: &Cell<u32>,
        call: impl AsyncFn() -> Result<T, ApiError>,
    ) -> Result<T, Unanswered> {
        let (mut failures, mut num_limited, mut num_renewed): (Option<Failures>, u32, u32) = (None, 0, 0);
        loop {
            let mut permit = self.acquire(family).await?;
            permit.mark_used();
            num_requests.set(num_requests.get() + 1);
            let span = traces::request(family);
            let answer = call().instrument(span.clone()).await;
            let status = status(&answer);
            traces::end_request(&span, status);
            permit.settle(outcome(&answer), status);
            let error = match answer {
                Ok(answer) => {
                    drop(permit);
                    self.vitals.note_answer();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let retry_after = match &error {
                ApiError::RateLimited { class, retry_after, .. } => {
                    num_limited += 1;
                    let (number, class, retry_after) = (permit.number(), *class, *retry_after);
                    // The permit stays out until the pause is noted, lest the gate take the request for served.
                    self.report(ReportLimited { number, family, class, retry_after }).await;
                    if num_limited <= LIMITED_MAX {
                        continue;
                    }
                    None
                }
                ApiError::Renewed if num_renewed < RENEWED_MAX => {
                    num_renewed += 1;
                    continue;
                }
                ApiError::Transient { retry_after, .. } => *retry_after,
                _ => None,
            };
            drop(permit);
            if !error.is_transient() {
                return Err(Unanswered::Failed(error));
            }
            let failed = failures.get_or_insert_with(|| Failures { tries: 0, since: clock::instant() });
            failed.tries += 1;
            let failing_for = clock::instant().saturating_duration_since(failed.since);
            let others_answered = self.vitals.answered_since(failed.since);
            match self.backoff.rule(patience, failed.tries, failing_for, others_answered, fastrand::f64()) {
                Retry::After(wait) => {
                    let wait = wait.max(retry_after.unwrap_or_default().min(self.backoff.give_up_after));
                    let wait_ms = wait.as_millis() as u64;
                    debug!(%error, tries = failed.tries, wait_ms, "request failed, trying again");
                    tokio::time::sleep(wait).await;
                }
                Retry::GiveUp => {
                    warn!(%error, tries = failed.tries, "request given up");
                    return Err(Unanswered::Failed(error));
                }
            }
        }
    }
}

impl Fetcher {
    /// Waits for a permit. A gate that dies meanwhile is asked again in its next life, if it gets one.
    async fn acquire(&self, family: Family) -> Result<Permit, Unanswered> {
        while self.gate.connected() {
            let (reply, answer) = oneshot::channel();
            let ask = AcquirePermit { family, account: self.account, longest_wait: self.longest_wait, reply };
            if self.gate.send(ask).await.is_ok()
                && let Ok(answer) = answer.await
            {
                return answer.map_err(Unanswered::Paused);
            }
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
        Err(Unanswered::GateGone)
    }

    /// Tells the gate, however often it dies over it: until the pause is noted, nobody may go on.
    async fn report(&self, limited: ReportLimited) {
        while self.gate.send(limited).await.is_err() && self.gate.connected() {
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
    }
}

/// What became of a request, as far as the limits are concerned.
fn outcome<T>(answer: &Result<T, ApiError>) -> Outcome {
    match answer {
        Err(ApiError::RateLimited { .. }) => Outcome::Limited,
        // Of these nobody knows whether the API itself has seen the request.
        Err(
            ApiError::Network { .. }
            | ApiError::Transient { .. }
            | ApiError::Vault(_)
            | ApiError::SignIn(_)
            | ApiError::Config { .. },
        ) => Outcome::Unanswered,
        Ok(_)
        | Err(
            ApiError::Renewed
            | ApiError::Unauthorized(_)
            | ApiError::Forbidden(..)
            | ApiError::Gone(_)
            | ApiError::Refused(_)
            | ApiError::Malformed { .. },
        ) => Outcome::Served,
    }
}

/// The same, for whoever counts requests.
fn status<T>(answer: &Result<T, ApiError>) -> RequestStatus {
    match answer {
        Ok(_) => RequestStatus::Served,
        Err(ApiError::RateLimited { .. }) => RequestStatus::Limited,
        Err(
            ApiError::Renewed
            | ApiError::Unauthorized(_)
            | ApiError::Forbidden(..)
            | ApiError::Gone(_)
            | ApiError::Refused(_),
        ) => RequestStatus::Refused,
        Err(ApiError::Transient { .. }) => RequestStatus::Failing,
        Err(ApiError::Malformed { .. }) => RequestStatus::Unreadable,
        Err(ApiError::Network { .. } | ApiError::Vault(_) | ApiError::SignIn(_) | ApiError::Config { .. }) => {
            RequestStatus::Unanswered
        }
    }
}

/// What an error that is not worth another try means for the run.
fn fault(request: &PageRequest, error: &ApiError) -> Fault {
    let text = with_causes(error);
    let is_items = matches!(request, PageRequest::PlaylistItems { .. });
    match error {
        ApiError::SignIn(_) | ApiError::Unauthorized(_) => Fault::SignIn(text),
        ApiError::Forbidden(reason, _) => match reason {
            // These speak of the playlist; the others of the application or the person.
            ForbiddenReason::NotYours | ForbiddenReason::EndpointGone | ForbiddenReason::Other if is_items => {
                Fault::Forbidden(text)
            }
            ForbiddenReason::MissingScope => Fault::SignIn(text),
            ForbiddenReason::NotYours
            | ForbiddenReason::EndpointGone
            | ForbiddenReason::Other
            | ForbiddenReason::NotAllowListed
            | ForbiddenReason::OwnerWithoutPremium => Fault::Refused(text),
        },
        ApiError::Gone(_) if is_items => Fault::Gone(text),
        ApiError::Gone(_) | ApiError::Refused(_) | ApiError::Config { .. } => Fault::Refused(text),
        ApiError::Transient { .. } | ApiError::Malformed { .. } => Fault::Unservable(text),
        ApiError::Network { .. } | ApiError::Vault(_) | ApiError::Renewed | ApiError::RateLimited { .. } => {
            Fault::Unreachable(text)
        }
    }
}

/// The fault hook of a request.
fn point(request: &PageRequest) -> &'static str {
    match request {
        PageRequest::Listing { entity: EntityType::Tracks, .. } => "fetch.tracks",
        PageRequest::Listing { entity: EntityType::Albums, .. } => "fetch.albums",
        PageRequest::Listing { .. } => "fetch.playlists",
        PageRequest::Following { .. } => "fetch.artists",
        PageRequest::PlaylistItems { .. } => "fetch.playlist_items",
    }
}
