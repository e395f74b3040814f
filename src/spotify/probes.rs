//! Entry points that decode bytes from strangers, without a request around them: only for `examples/fuzz.rs`.

use super::{
    decode, plays,
    refusal::{Asked, Credential, Refusal},
    wire::TokenWire,
};
use crate::model::{Page, PageRequest, PlaysPage};
use chrono::{DateTime, Utc};
use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER},
};
use std::time::Duration;

/// The answer to a request for a page.
pub fn page(request: &PageRequest, body: &[u8]) -> Result<Page, String> {
    decode::page(request, body).map_err(|error| error.to_string())
}

/// The answer to a request for the listening history.
pub fn history(body: &[u8]) -> Result<PlaysPage, String> {
    plays::page(body).map_err(|error| error.to_string())
}

pub fn profile(body: &[u8]) -> Result<decode::Profile, String> {
    decode::profile(body).map_err(|error| error.to_string())
}

/// Whether the token endpoint gives an access token, and for how many seconds.
pub fn token(body: &[u8]) -> Result<(bool, Option<i64>), String> {
    let read: TokenWire = decode::object_as_it_is(body).map_err(|error| error.to_string())?;
    let seconds = read.expires_in.given().and_then(|seconds| seconds.as_i64());
    Ok((read.access_token.given().is_some_and(|token| !token.is_empty()), seconds))
}

/// The message of a refusal, and how long to wait by it. `secret` was sent with the request.
pub fn refusal(
    status: u16,
    retry_after: &[u8],
    date: &[u8],
    body: &[u8],
    secret: &str,
    now: DateTime<Utc>,
) -> Option<(String, Option<Duration>)> {
    let status = StatusCode::from_u16(status).ok()?;
    let mut headers = HeaderMap::new();
    for (name, value) in [(RETRY_AFTER, retry_after), (DATE, date), (CONTENT_TYPE, b"application/json")] {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(name, value);
        }
    }
    let secrets = [secret];
    let refusal = Refusal { what: "a request", status, headers: &headers, body, secrets: &secrets, now };
    let by_api = refusal.by_api(Asked::PlaylistItems { playlist_id: "p1" });
    let by_accounts = refusal.by_accounts(Credential::RefreshToken);
    let said = format!("{by_api}; {by_accounts}; {:?}", refusal.invalid_grant());
    Some((said, refusal.wait()))
}
