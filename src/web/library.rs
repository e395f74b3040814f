//! The library as lists: tracks, albums, artists, playlists, plays.

use actix_web::web::ServiceConfig;

pub fn routes(_: &mut ServiceConfig) {}
