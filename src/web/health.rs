//! `/healthz` says that the process is alive, `/readyz` that it can do its work, or what prevents it. They reveal
//! nothing else, so a monitor needs no token for them.

use super::{Problem, WebState, problem::ProblemDocument, status_cache::Shown};
use crate::actors::supervisor::service::TakePulse;
use actix_web::{
    HttpResponse,
    web::{Data, ServiceConfig, get, head, resource},
};
use serde::Serialize;
use std::time::Duration;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use utoipa::ToSchema;

/// A part that takes longer counts as broken.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// How long an answer is reused. However many clients ask, the database and the supervisor are asked no more often.
const HOLDS_FOR: Duration = Duration::from_secs(1);

/// The latest result. Clients that ask meanwhile wait for the same.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<Option<Found>>);

#[derive(Debug)]
struct Found {
    at: Instant,
    /// Whether the status had found the database unreachable. If that has changed, so may have this.
    is_status_missing: bool,
    /// The database, and the supervisor.
    answers: [bool; 2],
}

impl Readiness {
    async fn of(&self, state: &WebState) -> [bool; 2] {
        let mut known = self.0.lock().await;
        let is_status_missing = matches!(*state.status_cache.subscribe().borrow(), Some(Shown::Problem(..)));
        if let Some(found) = &*known
            && found.at.elapsed() < HOLDS_FOR
            && found.is_status_missing == is_status_missing
        {
            return found.answers;
        }
        let database = timeout(ANSWERS_WITHIN, state.store.accounts());
        let supervisor = timeout(ANSWERS_WITHIN, state.supervisor.send(TakePulse));
        let (database, supervisor) = tokio::join!(database, supervisor);
        let answers = [matches!(database, Ok(Ok(_))), matches!(supervisor, Ok(Ok(_)))];
        *known = Some(Found { at: Instant::now(), is_status_missing, answers });
        answers
    }
}

pub fn routes(cfg: &mut ServiceConfig) {
    // Some monitors send HEAD requests only.
    cfg.service(resource("/healthz").route(get().to(healthz)).route(head().to(healthz)));
    cfg.service(resource("/readyz").route(get().to(readyz)).route(head().to(readyz)));
}

/// Which parts work.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    pub process: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<&'static str>,
}

const OK: &str = "ok";

/// Whether the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, body = Health)))]
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(Health { process: OK, database: None, supervisor: None })
}

/// Whether the service can do its work.
#[utoipa::path(
    get, path = "/readyz", tag = "health", security(()),
    responses(
        (status = 200, body = Health),
        (status = 503, description = "what of it cannot", body = ProblemDocument<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn readyz(state: Data<WebState>) -> Result<HttpResponse, Problem> {
    match state.readiness.of(&state).await {
        [true, true] => Ok(HttpResponse::Ok().json(Health { process: OK, database: Some(OK), supervisor: Some(OK) })),
        [false, true] => Err(Problem::unavailable("the database does not answer")),
        [true, false] => Err(Problem::unavailable("the supervisor does not answer")),
        [false, false] => Err(Problem::unavailable("neither the database nor the supervisor answers")),
    }
}
