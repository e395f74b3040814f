//! The page itself: what is served to a browser.

use actix_web::web::ServiceConfig;

pub fn routes(_: &mut ServiceConfig) {}
