//! `POST /api/v1/{sync,pause,resume,reset}`.

use actix_web::web::ServiceConfig;

pub fn routes(_: &mut ServiceConfig) {}
