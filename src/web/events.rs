//! `GET /api/v1/events`.

use actix_web::web::ServiceConfig;

pub fn routes(_: &mut ServiceConfig) {}
