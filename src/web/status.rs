//! `GET /api/v1/status`: all that is known now, in one document.

use super::{WebState, board::Shown};
use actix_web::{
    HttpResponse, ResponseError,
    http::header::ContentType,
    web::{Data, ServiceConfig, get, resource},
};

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/status").route(get().to(status)));
}

async fn status(state: Data<WebState>) -> HttpResponse {
    match state.board.current().await {
        Shown::Status(frame) => HttpResponse::Ok().content_type(ContentType::json()).body(frame.json),
        Shown::Trouble(problem, _) => problem.error_response(),
    }
}
