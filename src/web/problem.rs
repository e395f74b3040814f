//! The answer of every handler that cannot do what was asked: a problem document (RFC 9457). It says what to do if
//! something can be done, and never reveals more of the inside than a stranger may know.

use crate::store::StoreError;
use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
};
use serde::Serialize;
use std::{fmt, time::Duration};
use tracing::debug;
use utoipa::{IntoResponses, ToSchema};

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// An error of a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    /// In seconds.
    retry_after: Option<u64>,
}

/// The document as served. The title is that of the status, so `type` is `about:blank`, as the RFC requires.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemDocument<'a> {
    pub r#type: &'static str,
    pub title: &'a str,
    pub status: u16,
    pub detail: &'a str,
}

/// Problems of any request that reads.
#[derive(IntoResponses)]
pub enum ReadProblems {
    /// A parameter is wrong; `detail` names it.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(#[to_schema] ProblemDocument<'static>),
    /// Neither a token nor a session, or an invalid one.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(#[to_schema] ProblemDocument<'static>),
    /// It came from a page of another site.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(#[to_schema] ProblemDocument<'static>),
    /// There is no such thing, or no such account.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(#[to_schema] ProblemDocument<'static>),
    /// Sent to a host name that is not the service's.
    #[response(status = 421, content_type = "application/problem+json")]
    Misdirected(#[to_schema] ProblemDocument<'static>),
    /// Too many wrong tokens came from there.
    #[response(status = 429, content_type = "application/problem+json")]
    TooMany(#[to_schema] ProblemDocument<'static>),
    /// Something that the service needs does not answer now; `Retry-After` says when to try again.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(#[to_schema] ProblemDocument<'static>),
}

/// Further problems of a request with a body.
#[derive(IntoResponses)]
pub enum BodyProblems {
    /// The body is longer than a few words.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(#[to_schema] ProblemDocument<'static>),
    /// The body is of another type.
    #[response(status = 415, content_type = "application/problem+json")]
    WrongType(#[to_schema] ProblemDocument<'static>),
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        debug_assert!(status.is_client_error() || status.is_server_error());
        Problem { status, detail: detail.into(), retry_after: None }
    }

    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, detail)
    }

    pub fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, detail)
    }

    /// Too many wrong tokens came from there.
    pub fn too_many(wait: Duration) -> Problem {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let detail = format!("too many wrong tokens came from here; try again in {seconds} s");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(seconds)
    }

    /// Something that the service needs does not answer now; trying again may help.
    pub fn unavailable(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(5)
    }

    pub fn retry_after(self, seconds: u64) -> Problem {
        Problem { retry_after: Some(seconds), ..self }
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn json(&self) -> String {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let document =
            ProblemDocument { r#type: "about:blank", title, status: self.status.as_u16(), detail: &self.detail };
        serde_json::to_string(&document).expect("a problem has string keys only")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response.insert_header((CONTENT_TYPE, PROBLEM_JSON));
        if let Some(seconds) = self.retry_after {
            response.insert_header((RETRY_AFTER, seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header(("www-authenticate", "Bearer realm=\"segno\""));
        }
        response.body(self.json())
    }
}

/// A client learns only that it was not its fault. Repeated requests do not fill the log.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        debug!(%error, "the database could not answer the page");
        Problem::unavailable("the database does not answer")
    }
}
