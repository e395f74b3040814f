//! Reads the body of an answer, within bounds.

use super::{decode::DecodeError, error::ApiError};
use reqwest::Response;
use std::{panic::resume_unwind, sync::Arc};
use tokio::task::spawn_blocking;
use url::Url;

/// Longest body that is decoded in place. An ordinary page is half as long; longer ones are decoded on another thread,
/// since this one is shared by everything.
const DECODED_AT_ONCE_MAX: usize = 512 << 10;

/// Most that is allocated for a body by its declared length.
const BODY_LEN_EXPECTED: usize = 1 << 20;

/// How much of a refusal's body is read.
pub(super) const REFUSAL_LEN_MAX: usize = 64 << 10;

pub(super) async fn decoded<T: Send + 'static>(
    body: Vec<u8>,
    decode: impl FnOnce(&[u8]) -> Result<T, DecodeError> + Send + 'static,
) -> Result<T, DecodeError> {
    if body.len() <= DECODED_AT_ONCE_MAX {
        return decode(&body);
    }
    let decoding = spawn_blocking(move || decode(&body)).await;
    decoding.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

pub(super) fn undecodable(what: &str, error: DecodeError) -> ApiError {
    ApiError::Malformed { message: format!("the answer to {what} {error}"), source: Some(Arc::new(error)) }
}

/// The host as a person would write it, with the port if it is not the scheme's default.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or("the server");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A body of at most `len_max` bytes.
pub(super) async fn body(mut response: Response, len_max: usize, what: &str, host: &str) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::with_capacity(
        response.content_length().map_or(0, |len| usize::try_from(len).map_or(0, |len| len.min(BODY_LEN_EXPECTED))),
    );
    while let Some(chunk) = response.chunk().await.map_err(|error| ApiError::from_body(what, host, error))? {
        if body.len() + chunk.len() > len_max {
            return Err(ApiError::malformed(what, format_args!("is longer than {len_max} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// As much of a refusal's body as arrives: its status matters most.
pub(super) async fn refusal_body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(REFUSAL_LEN_MAX - body.len())]);
        if body.len() == REFUSAL_LEN_MAX {
            break;
        }
    }
    body
}
