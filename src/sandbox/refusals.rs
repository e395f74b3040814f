//! Answers that a rule gives in place of the real one: arbitrary ones, and by name the refusals that have been seen in
//! the field although the request was permitted. Each is worded as reported.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::config::SPAN_MAX;
use super::http::{JSON, Reply};

const HTML: &str = "text/html; charset=UTF-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// An answer that a rule gives in place of the real one.
#[derive(Clone, Debug)]
pub struct CannedReply {
    status: u16,
    content_type: String,
    body: String,
    headers: BTreeMap<String, String>,
}

impl CannedReply {
    /// Seconds of its `Retry-After`, if they can be parsed.
    pub fn retry_after_s(&self) -> Option<u64> {
        let header = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
        let seconds = header.and_then(|(_, value)| value.parse::<u64>().ok())?;
        Some(seconds.min(SPAN_MAX.as_secs()))
    }
}

impl From<CannedReply> for Reply {
    fn from(canned: CannedReply) -> Reply {
        let reply = Reply::new(canned.status, canned.content_type, canned.body);
        canned.headers.into_iter().fold(reply, |reply, (name, value)| reply.with_header(name, value))
    }
}

/// Without a body of its own, the answer is the Web API's error object for the status.
pub fn canned(
    status: u16,
    body: Option<String>,
    content_type: Option<String>,
    headers: BTreeMap<String, String>,
) -> CannedReply {
    let message = match status {
        403 => "Forbidden",
        500 => "Server error.",
        502 => "Bad gateway.",
        503 => "Service unavailable",
        504 => "Gateway timeout",
        _ => "Error",
    };
    let (default_type, default_body) = match body {
        Some(_) => (PLAIN, String::new()),
        None => (JSON, format!(r#"{{"error":{{"status":{status},"message":"{message}"}}}}"#)),
    };
    CannedReply {
        status,
        content_type: content_type.unwrap_or_else(|| default_type.to_owned()),
        body: body.unwrap_or(default_body),
        headers,
    }
}

/// The claim of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pretext {
    /// 401: the token is no good.
    Unauthorized,
    /// 403: the owner of the application has no Premium.
    Premium,
    /// 403: the person is not registered with the application.
    NotRegistered,
    /// 403: a permission is missing.
    Scope,
    /// 403 without details.
    Forbidden,
    /// 403 with the page of a load balancer.
    GoogleForbidden,
    /// 400 with the page of a load balancer.
    GoogleBadRequest,
    /// 404: there is no such thing.
    NotFound,
    /// 400 without details.
    BadRequest,
    /// 500.
    ServerError,
    /// 502 with a page.
    BadGateway,
    /// 503.
    Unavailable,
    /// 429 that does not look like a quota.
    TooMany,
    /// 200 with a page.
    Page,
    /// 302 to a sign-in page.
    Redirect,
    /// 400 of the token endpoint: an internal error.
    TokenServerError,
    /// 400 of the token endpoint: the sign-in is over.
    InvalidGrant,
    /// 400 of the token endpoint: it does not know the application.
    InvalidClient,
    /// 200 of the token endpoint, without a token.
    NoToken,
}

impl Pretext {
    /// The answer.
    pub fn reply(self, retry_after: Option<String>) -> CannedReply {
        let (status, content_type, body) = self.words();
        let mut headers: BTreeMap<String, String> =
            retry_after.map(|value| ("Retry-After".to_owned(), value)).into_iter().collect();
        match self {
            Pretext::Unauthorized => {
                let challenge = r#"Bearer realm="spotify", error="invalid_token""#;
                headers.insert("WWW-Authenticate".to_owned(), challenge.to_owned());
            }
            Pretext::Redirect => {
                headers.insert("Location".to_owned(), "https://accounts.spotify.com/login".to_owned());
            }
            _ => {}
        }
        CannedReply { status, content_type: content_type.to_owned(), body, headers }
    }

    fn words(self) -> (u16, &'static str, String) {
        let json = |status: u16, message: &str| {
            (status, JSON, format!(r#"{{"error":{{"status":{status},"message":"{message}"}}}}"#))
        };
        let token = |error: &str, description: &str| {
            (400, JSON, format!(r#"{{"error":"{error}","error_description":"{description}"}}"#))
        };
        match self {
            Pretext::Unauthorized => json(401, "Invalid access token"),
            Pretext::Premium => (
                403,
                PLAIN,
                "Active premium subscription required for the owner of the app. If you recently changed your \
                 subscription status, it can take a few hours."
                    .to_owned(),
            ),
            Pretext::NotRegistered => json(403, "User not registered in the Developer Dashboard"),
            Pretext::Scope => json(403, "Insufficient client scope"),
            Pretext::Forbidden => json(403, "Forbidden"),
            Pretext::GoogleForbidden => (403, HTML, google(403, "Forbidden", "does not have permission to get URL")),
            Pretext::GoogleBadRequest => (400, HTML, google(400, "Bad Request", "has issued a malformed request for")),
            Pretext::NotFound => json(404, "Resource not found"),
            Pretext::BadRequest => json(400, "Bad request"),
            Pretext::ServerError => json(500, "Server error."),
            Pretext::BadGateway => (502, HTML, google(502, "Server Error", "encountered a temporary error at")),
            Pretext::Unavailable => json(503, "Service unavailable"),
            Pretext::TooMany => json(429, "Too many requests"),
            Pretext::Page => (200, HTML, "<!DOCTYPE html><html><body>Spotify</body></html>".to_owned()),
            Pretext::Redirect => (302, HTML, String::new()),
            Pretext::TokenServerError => token("server_error", "Internal server error"),
            Pretext::InvalidGrant => token("invalid_grant", "Refresh token revoked"),
            Pretext::InvalidClient => token("invalid_client", "Invalid client"),
            Pretext::NoToken => (200, JSON, r#"{"token_type":"Bearer","expires_in":3600}"#.to_owned()),
        }
    }
}

/// The page of the load balancers in front of the API.
fn google(status: u16, title: &str, what: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=en>\n<title>Error {status} ({title})!!1</title>\n<p><b>{status}.</b> <ins>That's an \
         error.</ins>\n<p>Your client {what} <code>/</code> from this server. <ins>That's all we know.</ins>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_look_like_those_of_the_field() {
        let page = Reply::from(Pretext::GoogleForbidden.reply(None));
        assert_eq!((page.status, page.content_type.as_ref()), (403, HTML));
        assert!(String::from_utf8_lossy(&page.body).contains("does not have permission to get URL"));
        let busy = Pretext::Unavailable.reply(Some("7".to_owned()));
        assert_eq!(busy.retry_after_s(), Some(7));
        let away = Reply::from(Pretext::Redirect.reply(None));
        assert!(away.headers.iter().any(|(name, _)| name == "Location"));
    }
}
