//! `POST /api/v1/{sync,pause,resume,reset,confirm-removals}`: the few orders that a person can give to a running
//! service. They are messages to the supervisor, and the status shows their effect at once.

use super::{
    Problem, WebState,
    problem::{BodyProblems, ReadProblems},
};
use crate::{
    actors::supervisor::steering::{GivenAt, Order, SteerAccount, SteerError, Steered},
    model::{AccountId, EntityType, OrderOutcome, SyncKey},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::CONTENT_TYPE},
    web::{Bytes, Data, ServiceConfig, post, resource},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use utoipa::ToSchema;

/// A writer that is busy for longer has met a database that hangs. The order may still be carried out.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// How long to wait for the node that keeps an account current, and how often to check whether it has carried out an
/// order.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/sync").route(post().to(sync)))
        .service(resource("/api/v1/pause").route(post().to(pause)))
        .service(resource("/api/v1/resume").route(post().to(resume)))
        .service(resource("/api/v1/reset").route(post().to(reset)))
        .service(resource("/api/v1/confirm-removals").route(post().to(confirm_removals)));
}

/// What a control acts on. An empty body means all of the first account.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The first one if left out.
    pub account: Option<AccountId>,
    /// All that are kept current if left out. `reset` requires them.
    pub entity_types: Option<Vec<EntityType>>,
}

/// What a control acts on that needs explicit entity types.
#[derive(Debug, ToSchema)]
#[schema(as = NamedTarget)]
pub struct Named {
    /// The first one if left out.
    pub account: Option<AccountId>,
    #[schema(min_items = 1)]
    pub entity_types: Vec<EntityType>,
}

/// The outcome.
#[derive(Debug, Serialize, ToSchema)]
pub struct Controlled {
    pub accepted: Vec<Accepted>,
    pub skipped: Vec<Skipped>,
    /// The order is noted for the node that keeps the account current, and not carried out yet.
    pub is_waiting: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Accepted {
    pub account: AccountId,
    pub entity_type: EntityType,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Skipped {
    pub account: AccountId,
    pub entity_type: EntityType,
    pub why: String,
}

impl From<OrderOutcome> for Controlled {
    fn from(OrderOutcome { accepted, skipped }: OrderOutcome) -> Controlled {
        let accept = |SyncKey { account, entity }| Accepted { account, entity_type: entity };
        let skip = |(SyncKey { account, entity }, why)| Skipped { account, entity_type: entity, why };
        Controlled {
            accepted: accepted.into_iter().map(accept).collect(),
            skipped: skipped.into_iter().map(skip).collect(),
            is_waiting: false,
        }
    }
}

/// Begins a run now.
#[utoipa::path(
    post, path = "/api/v1/sync", tag = "controls", request_body = Target,
    responses((status = 202, body = Controlled), ReadProblems, BodyProblems)
)]
pub async fn sync(state: Data<WebState>, request: HttpRequest, body: Bytes) -> Result<HttpResponse, Problem> {
    steer(&state, Order::Sync, target(&request, &body)?).await
}

/// Pauses by hand, across restarts, until it is resumed. The playback tracker keeps running.
#[utoipa::path(
    post, path = "/api/v1/pause", tag = "controls", request_body = Target,
    responses((status = 202, body = Controlled), ReadProblems, BodyProblems)
)]
pub async fn pause(state: Data<WebState>, request: HttpRequest, body: Bytes) -> Result<HttpResponse, Problem> {
    steer(&state, Order::Pause, target(&request, &body)?).await
}

/// Ends a pause by hand.
#[utoipa::path(
    post, path = "/api/v1/resume", tag = "controls", request_body = Target,
    responses((status = 202, body = Controlled), ReadProblems, BodyProblems)
)]
pub async fn resume(state: Data<WebState>, request: HttpRequest, body: Bytes) -> Result<HttpResponse, Problem> {
    steer(&state, Order::Resume, target(&request, &body)?).await
}

/// Forgets the checkpoint, so that the next run starts over. Library rows stay.
#[utoipa::path(
    post, path = "/api/v1/reset", tag = "controls", request_body = Named,
    responses((status = 202, body = Controlled), ReadProblems, BodyProblems)
)]
pub async fn reset(state: Data<WebState>, request: HttpRequest, body: Bytes) -> Result<HttpResponse, Problem> {
    steer(&state, Order::Reset, named(target(&request, &body)?, "to read again")?).await
}

/// Confirms the removals that were held back so far, and begins a run now, which marks those that it misses too.
#[utoipa::path(
    post, path = "/api/v1/confirm-removals", tag = "controls", request_body = Named,
    responses((status = 202, body = Controlled), ReadProblems, BodyProblems)
)]
pub async fn confirm_removals(
    state: Data<WebState>,
    request: HttpRequest,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    let target = named(target(&request, &body)?, "whose removals to confirm")?;
    steer(&state, Order::ConfirmRemovals, target).await
}

/// Refuses a target without named entity types.
fn named(target: Target, which: &str) -> Result<Target, Problem> {
    if target.entity_types.as_ref().is_none_or(Vec::is_empty) {
        let detail = format!("name the entity types {which}, such as {{\"entity_types\": [\"tracks\"]}}");
        return Err(Problem::bad_request(detail));
    }
    Ok(target)
}

/// Reads the body. A form on another site could send any type other than JSON.
fn target(request: &HttpRequest, body: &Bytes) -> Result<Target, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Target::default());
    }
    let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json"));
    }
    let unreadable = |error| Problem::bad_request(format!("the body cannot be read: {error}"));
    // Serde would accept an array as a target, field by field.
    match serde_json::from_slice(body).map_err(unreadable)? {
        target @ Value::Object(_) => serde_json::from_value(target).map_err(unreadable),
        _ => Err(Problem::bad_request(
            "the body cannot be read: it must be an object, such as {\"entity_types\": [\"tracks\"]}",
        )),
    }
}

async fn steer(state: &WebState, order: Order, target: Target) -> Result<HttpResponse, Problem> {
    let account = state.account(target.account).await?;
    let steer = SteerAccount { order, account, entities: target.entity_types, given_at: GivenAt::ThisNode };
    let Ok(answer) = timeout(ANSWER_WITHIN, state.supervisor.send(steer)).await else {
        return Err(Problem::unavailable("the database is slow; whether it was done is seen in the status"));
    };
    state.status_cache.make_stale();
    let controlled = match answer.map_err(|_| Problem::unavailable("the supervisor does not answer"))? {
        Ok(Steered::Done(outcome)) => Controlled::from(outcome),
        Ok(Steered::PassedOn(number)) => {
            let outcome = outcome_of(state, number).await?;
            state.status_cache.make_stale();
            outcome.map(Controlled::from).unwrap_or(Controlled {
                accepted: Vec::new(),
                skipped: Vec::new(),
                is_waiting: true,
            })
        }
        Err(SteerError::Write(_)) => {
            return Err(Problem::unavailable("the database does not answer; nothing was changed"));
        }
        Err(
            error @ (SteerError::NotServing | SteerError::Stopping | SteerError::Elsewhere | SteerError::ReplyLost(_)),
        ) => return Err(Problem::unavailable(error.to_string())),
    };
    Ok(HttpResponse::Accepted().json(controlled))
}

/// The outcome of an order at another node; `None` if it has not taken it up yet.
async fn outcome_of(state: &WebState, number: i64) -> Result<Option<OrderOutcome>, Problem> {
    let began = Instant::now();
    while began.elapsed() < TAKEN_UP_WITHIN {
        if let Some(outcome) = state.store.order_outcome(number).await? {
            return Ok(Some(outcome));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(None)
}
