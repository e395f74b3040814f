//! The description of the API, made from the code.

use actix_web::web::ServiceConfig;

pub fn routes(_: &mut ServiceConfig) {}
