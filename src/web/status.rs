//! `GET /api/v1/status`.

use actix_web::web::ServiceConfig;

pub fn routes(_: &mut ServiceConfig) {}
