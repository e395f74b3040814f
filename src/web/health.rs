//! `/healthz` says that the process lives, `/readyz` that it can do its work, or what of it cannot. They tell nothing else,
//! so whoever watches over the service needs no token for them.

use super::{Problem, WebState, problem::ProblemDocument};
use crate::actors::supervisor::service::TakePulse;
use actix_web::{
    HttpResponse,
    web::{Data, ServiceConfig, get, head, resource},
};
use serde::Serialize;
use std::time::Duration;
use tokio::time::timeout;
use utoipa::ToSchema;

/// A part that takes longer does not work.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

pub fn routes(cfg: &mut ServiceConfig) {
    // Some watchers ask for the head alone.
    cfg.service(resource("/healthz").route(get().to(healthz)).route(head().to(healthz)));
    cfg.service(resource("/readyz").route(get().to(readyz)).route(head().to(readyz)));
}

/// Each part that works.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    pub process: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<&'static str>,
}

const OK: &str = "ok";

/// Whether the process lives.
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
    let database = timeout(ANSWERS_WITHIN, state.store.accounts());
    let supervisor = timeout(ANSWERS_WITHIN, state.supervisor.send(TakePulse));
    let (database, supervisor) = tokio::join!(database, supervisor);
    match (matches!(database, Ok(Ok(_))), matches!(supervisor, Ok(Ok(_)))) {
        (true, true) => Ok(HttpResponse::Ok().json(Health { process: OK, database: Some(OK), supervisor: Some(OK) })),
        (false, true) => Err(Problem::unavailable("the database does not answer")),
        (true, false) => Err(Problem::unavailable("the supervisor does not answer")),
        (false, false) => Err(Problem::unavailable("neither the database nor the supervisor answers")),
    }
}
