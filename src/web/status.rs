//! `GET /api/v1/status`: the whole current state, in one document.

use super::{WebState, document::StatusDocument, problem::ReadProblems, status_cache::Shown};
use actix_web::{
    HttpResponse, ResponseError,
    http::header::ContentType,
    web::{Data, ServiceConfig, get, resource},
};

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/status").route(get().to(status)));
}

/// The whole current state.
#[utoipa::path(
    get, path = "/api/v1/status", tag = "status",
    responses((status = 200, body = StatusDocument), ReadProblems)
)]
pub async fn status(state: Data<WebState>) -> HttpResponse {
    match state.status_cache.current().await {
        Shown::Status(frame) => HttpResponse::Ok().content_type(ContentType::json()).body(frame.json),
        Shown::Problem(problem, _) => problem.error_response(),
    }
}
