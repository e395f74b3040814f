//! A request and a reply as plain values. The service in the middle turns one into the other without touching a
//! socket, which is what lets its tests do without one.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;

/// Content type of every JSON answer.
pub const JSON: &str = "application/json; charset=utf-8";

/// One instant on both clocks: limits use the one that never jumps, dates in the library the other.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For windows, pauses and token lifetimes.
    pub instant: Instant,
    /// For `added_at` and `played_at`.
    pub utc: DateTime<Utc>,
}

impl Moment {
    /// The present.
    pub fn now() -> Moment {
        Moment { instant: Instant::now(), utc: Utc::now() }
    }
}

/// What arrived.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET` and so on.
    pub method: &'a str,
    /// Path without the query.
    pub path: &'a str,
    /// Query without the question mark; empty when there is none.
    pub query: &'a str,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The body; empty when there is none.
    pub body: &'a [u8],
}

/// Names and values of a query string or of a form.
#[derive(Debug)]
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Reads `a=1&b=2`.
    pub fn parse(text: &'a [u8]) -> Query<'a> {
        Query(url::form_urlencoded::parse(text).collect())
    }

    /// The same query with another value, or without one.
    pub fn with(&self, name: &'static str, value: Option<String>) -> Query<'a> {
        let others = self.0.iter().filter(|(key, _)| key != name).cloned();
        Query(others.chain(value.map(|value| (Cow::Borrowed(name), Cow::Owned(value)))).collect())
    }

    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }
}

/// The reply, and how it is sent.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Content type; not sent with an empty body.
    pub content_type: Cow<'static, str>,
    /// Further headers.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The whole body, even if only part of it will be sent.
    pub body: Vec<u8>,
    /// How long the answer is delayed.
    pub delay: Duration,
    /// How much of it reaches the client.
    pub delivery: Delivery,
    /// Whether the body is sent as gzip, regardless of the request.
    pub is_compressed: bool,
}

/// How much of a reply reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// All of it.
    Whole,
    /// Headers that promise the whole body, this many bytes of it, and a closed connection.
    Cut { bytes: usize },
    /// Nothing, ever, on a connection that stays open.
    Never,
}

impl Reply {
    /// A reply with a body of any kind.
    pub fn new(status: u16, content_type: impl Into<Cow<'static, str>>, body: impl Into<Vec<u8>>) -> Reply {
        Reply {
            status,
            content_type: content_type.into(),
            headers: Vec::new(),
            body: body.into(),
            delay: Duration::ZERO,
            delivery: Delivery::Whole,
            is_compressed: false,
        }
    }

    /// A reply in JSON.
    pub fn json(status: u16, value: &impl Serialize) -> Reply {
        let body = serde_json::to_vec(value).expect("the sandbox's own types have keys that JSON allows");
        Reply::new(status, JSON, body)
    }

    /// An error in the format of the Web API.
    pub fn api_error(status: u16, message: &str) -> Reply {
        Reply::json(status, &ErrorWire { error: ErrorDetail { status, message, reason: None } })
    }

    /// An error in the format of the Web API, with the reason that quotas give.
    pub fn api_error_with_reason(status: u16, message: &str, reason: &str) -> Reply {
        Reply::json(status, &ErrorWire { error: ErrorDetail { status, message, reason: Some(reason) } })
    }

    /// Adds a header.
    pub fn with_header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// Why the Web API refuses a request it understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// The `message` of the error object.
    pub message: &'static str,
}

impl ApiError {
    /// Something in the query is out of range.
    pub const fn bad_request(message: &'static str) -> ApiError {
        ApiError { status: 400, message }
    }

    /// The answer of endpoints that were closed, and of playlists that are not yours.
    pub const FORBIDDEN: ApiError = ApiError { status: 403, message: "Forbidden" };
    /// The token lacks a scope.
    pub const SCOPE: ApiError = ApiError { status: 403, message: "Insufficient client scope" };
    /// No such object.
    pub const NOT_FOUND: ApiError = ApiError { status: 404, message: "Resource not found" };
    /// No such path.
    pub const NO_SERVICE: ApiError = ApiError { status: 404, message: "Service not found" };
    /// The sandbox only reads.
    pub const METHOD: ApiError = ApiError { status: 405, message: "Method not allowed" };
}

impl From<ApiError> for Reply {
    fn from(error: ApiError) -> Reply {
        Reply::api_error(error.status, error.message)
    }
}

#[derive(Serialize)]
struct ErrorWire<'a> {
    error: ErrorDetail<'a>,
}

#[derive(Serialize)]
struct ErrorDetail<'a> {
    status: u16,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_the_web_api_words_them() {
        assert_eq!(Reply::from(ApiError::FORBIDDEN).body, br#"{"error":{"status":403,"message":"Forbidden"}}"#);
        let quota = Reply::api_error_with_reason(429, "Too many requests", "QUOTA_EXCEEDED");
        let expected = br#"{"error":{"status":429,"message":"Too many requests","reason":"QUOTA_EXCEEDED"}}"#;
        assert_eq!(quota.body, expected);
    }

    #[test]
    fn a_query_is_decoded_and_the_first_value_counts() {
        let query = Query::parse(b"type=artist&after=a%2Fb&after=z");
        assert_eq!(query.get("after"), Some("a/b"));
        assert_eq!(query.get("limit"), None);
    }
}
