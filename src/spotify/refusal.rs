//! Turns an answer that is not a 200 into an error that says what can be done about it.
//!
//! Spotify's refusals are distinguished by status, headers and text: a 403 may mean five things, a 429 two, and some
//! bodies are not JSON at all. Quotes from a body are one short line without secrets.

use super::{
    decode::object,
    error::{ApiError, ForbiddenReason},
    retry_after::retry_after,
    wire::{RefusalDetailWire, RefusalWire},
};
use crate::model::LimitClass;
use chrono::{DateTime, Utc};
use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
};
use std::time::Duration;

/// Longest `Retry-After` that is a burst; a longer one means that the day's quota is used up. Observed: 6 to 15 s
/// for bursts, 8 to 24 h for quotas.
pub const RATE_RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);

/// Wait after a 429 of the token endpoint that names none: it has a rate limit, but no daily quota.
const TOKEN_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Codes with which the token endpoint reports about itself, and not about the tokens it was given.
const PASSING_CODES: [&str; 2] = ["server_error", "temporarily_unavailable"];

/// Words by which a refusal shows that the endpoint is gone for good.
const GONE_WORDS: [&str; 6] = ["deprecated", "removed", "retired", "discontinued", "no longer", "is gone"];

/// Words by which a 403 shows that the sign-in lacks a permission.
const SCOPE_WORDS: [&str; 3] = ["scope", "scopes", "insufficient_scope"];

/// Longest quotation from a body.
const DETAIL_CHARS_MAX: usize = 200;

/// Shortest word that counts as a token when a body is quoted. Ids have 22 characters, tokens more than 100.
const TOKEN_LEN_MIN: usize = 40;

/// What was requested, as far as a refusal's meaning depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked<'a> {
    Endpoint,
    PlaylistItems { playlist_id: &'a str },
}

/// What the token endpoint was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credential {
    RefreshToken,
    /// From the consent page.
    Code,
}

/// An answer that is not a 200.
pub(super) struct Refusal<'a> {
    /// The request's name in messages.
    pub what: &'a str,
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    /// The tokens sent with the request: they are cut out of quotes from the body.
    pub secrets: &'a [&'a str],
    pub now: DateTime<Utc>,
}

impl Refusal<'_> {
    /// A refusal by the Web API.
    pub(super) fn by_api(&self, asked: Asked<'_>) -> ApiError {
        let Refusal { what, status, .. } = self;
        let details = self.details();
        let quoted = self.quoted();
        match status.as_u16() {
            401 => ApiError::Unauthorized(format!("{what} was refused with a fresh access token{quoted}")),
            429 => self.rate_limited(),
            400..=499 if details.is_html => self.intercepted(),
            403 | 404 | 410 if self.is_gone(asked, &details) => ApiError::Gone(format!(
                "{what} is closed to this application ({status}){quoted}; leave it out of sync.entities"
            )),
            403 => self.forbidden(asked, &details),
            404 | 410 => match asked {
                Asked::PlaylistItems { playlist_id } => {
                    ApiError::NotFound(format!("playlist {playlist_id} was not found ({status}){quoted}"))
                }
                Asked::Endpoint => ApiError::Refused(format!("{what} was not found ({status}){quoted}")),
            },
            _ => self.other(),
        }
    }

    /// A refusal by the token endpoint. Only `invalid_grant` says something about a sign-in; other odd answers have
    /// been seen to pass.
    pub(super) fn by_accounts(&self, given: Credential) -> ApiError {
        if let Some(said) = self.invalid_grant() {
            let what = match given {
                Credential::RefreshToken => "the refresh token was refused",
                Credential::Code => "the code of the consent page was refused",
            };
            return ApiError::SignIn(format!("{what} ({said}); sign in again with \"segno login\""));
        }
        let details = self.details();
        let said = details.text.as_deref().unwrap_or("no reason given");
        match details.code.as_deref() {
            Some("invalid_client" | "unauthorized_client") => ApiError::Refused(format!(
                "spotify.client_id was refused ({said}); check it at developer.spotify.com/dashboard"
            )),
            _ if self.status == StatusCode::TOO_MANY_REQUESTS => {
                let retry_after = self.wait().unwrap_or(TOKEN_RETRY_AFTER);
                let message = format!("{} was refused by a limit of the token endpoint", self.what);
                ApiError::Transient { retry_after: Some(retry_after), message }
            }
            _ if details.is_html && self.status.is_client_error() => self.intercepted(),
            _ => self.other(),
        }
    }

    /// Whether a refusal by the token endpoint is about these tokens, and not about the endpoint.
    pub(super) fn is_of_the_grant(&self) -> bool {
        self.status.is_client_error()
            && self.status != StatusCode::TOO_MANY_REQUESTS
            && self.details().code.is_some_and(|code| !PASSING_CODES.contains(&code.as_str()))
    }

    /// What the token endpoint says about a token or code that is void; `None` if it refuses for another reason.
    pub(super) fn invalid_grant(&self) -> Option<String> {
        let details = self.details();
        // In an answer of any other status, it is the endpoint that is in trouble.
        let is_of_grant = matches!(self.status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED);
        let is_void = is_of_grant && details.code.as_deref() == Some("invalid_grant");
        is_void.then(|| details.text.unwrap_or_else(|| "no reason given".into()))
    }

    fn rate_limited(&self) -> ApiError {
        let retry_after = self.wait();
        let is_quota = self.details().code.as_deref() == Some("QUOTA_EXCEEDED")
            || retry_after.is_none_or(|wait| wait > RATE_RETRY_AFTER_MAX);
        let class = if is_quota { LimitClass::Quota } else { LimitClass::Rate };
        let wait = retry_after.map_or("no usable Retry-After".into(), |wait| format!("wait {} s", wait.as_secs()));
        let message = format!("{} was refused by the {} limit ({wait})", self.what, class.as_str());
        ApiError::RateLimited { class, retry_after, message }
    }

    pub(super) fn wait(&self) -> Option<Duration> {
        retry_after(self.headers, self.now)
    }

    /// An answer that does not come from Spotify.
    fn intercepted(&self) -> ApiError {
        let Refusal { what, status, .. } = self;
        let message = match status.as_u16() {
            300..=399 => format!("{what} was answered with a redirect ({status}), which is never followed"),
            _ => format!("{what} was refused ({status}) by a page of HTML, so not by the API itself"),
        };
        ApiError::Intercepted { retry_after: self.wait(), message }
    }

    /// Anything whose status alone says enough.
    fn other(&self) -> ApiError {
        let Refusal { what, status, .. } = self;
        let quoted = self.quoted();
        match status.as_u16() {
            300..=399 => self.intercepted(),
            400..=407 | 409..=424 | 426..=499 => ApiError::Refused(format!("{what} was refused ({status}){quoted}")),
            _ => ApiError::Transient {
                retry_after: self.wait(),
                message: format!("{what} was not served ({status}){quoted}"),
            },
        }
    }

    /// Whether the refusal says that the endpoint is gone. A message about a playlist does not count.
    fn is_gone(&self, asked: Asked<'_>, details: &Details) -> bool {
        let text = details.text.as_deref().unwrap_or_default().to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        match asked {
            _ if says(&["premium", "registered"]) || names_a_scope(&text) => false,
            Asked::Endpoint => self.status == StatusCode::GONE || says(&GONE_WORDS),
            Asked::PlaylistItems { .. } => says(&GONE_WORDS) && !says(&["playlist"]),
        }
    }

    fn forbidden(&self, asked: Asked<'_>, details: &Details) -> ApiError {
        let what = self.what;
        let quoted = self.quoted();
        let reason = self.forbidden_reason(asked, details);
        let message = match (reason, asked) {
            (ForbiddenReason::OwnerWithoutPremium, _) => {
                "the owner of the Spotify application has no active Premium subscription, or Spotify wrongly says so: \
                 if need be renew it, then wait a few hours"
                    .into()
            }
            (ForbiddenReason::NotAllowListed, _) => {
                "this Spotify user may not use the application: add the user under User Management at \
                 developer.spotify.com/dashboard"
                    .into()
            }
            (ForbiddenReason::MissingScope, _) => {
                format!(
                    "the sign-in does not permit {what}: sign in again and grant all permissions that are asked for"
                )
            }
            (ForbiddenReason::NotYours, Asked::PlaylistItems { playlist_id }) => format!(
                "playlist {playlist_id} is not yours: Spotify shows its items only to its owner and collaborators"
            ),
            (ForbiddenReason::NotYours | ForbiddenReason::Other, _) => format!(
                "{what} is forbidden (403){quoted}; if it stays so, check the application at \
                 developer.spotify.com/dashboard, or leave it out of sync.entities"
            ),
        };
        ApiError::Forbidden(reason, message)
    }

    /// Distinguishes the meanings of a 403: first by the body, then by the request. A bare `Forbidden` for the items of
    /// a playlist concerns that playlist; elsewhere it means nothing lasting.
    fn forbidden_reason(&self, asked: Asked<'_>, details: &Details) -> ForbiddenReason {
        let text = details.text.as_deref().unwrap_or_default().to_lowercase();
        let says = |phrase: &str| text.contains(phrase);
        let challenge = self.headers.get(reqwest::header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        if says("premium") {
            ForbiddenReason::OwnerWithoutPremium
        } else if says("not registered") || says("not be registered") {
            ForbiddenReason::NotAllowListed
        } else if names_a_scope(&text) || challenge.is_some_and(|challenge| challenge.contains("insufficient_scope")) {
            ForbiddenReason::MissingScope
        } else {
            let is_bare = text.is_empty() || text == "forbidden";
            match asked {
                Asked::PlaylistItems { .. } if is_bare || says("playlist") => ForbiddenReason::NotYours,
                Asked::PlaylistItems { .. } | Asked::Endpoint => ForbiddenReason::Other,
            }
        }
    }

    /// A quote of the body, to be appended to a sentence.
    fn quoted(&self) -> String {
        self.details().text.map_or(String::new(), |text| format!(": {text}"))
    }

    fn details(&self) -> Details {
        let Ok(refusal) = object::<RefusalWire>(self.body) else {
            // Spotify's own proxies answer in HTML, which adds nothing to the status.
            let text = String::from_utf8_lossy(self.body);
            let content_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let is_html = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').starts_with('<')
                || content_type.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/html"));
            return Details { is_html, code: None, text: self.line(&text).filter(|_| !is_html) };
        };
        let error = refusal.error.as_deref().map_or("null", |error| error.get());
        if let Ok(code) = serde_json::from_str::<String>(error) {
            let description = refusal.error_description.given().and_then(|text| self.line(&text));
            return Details { is_html: false, text: description.or_else(|| self.line(&code)), code: Some(code) };
        }
        let detail: RefusalDetailWire = object(error.as_bytes()).unwrap_or_default();
        let text = detail.message.given().and_then(|text| self.line(&text));
        Details { is_html: false, code: detail.reason.given(), text }
    }

    /// One line of at most [`DETAIL_CHARS_MAX`] characters without anything that may be a token.
    fn line(&self, text: &str) -> Option<String> {
        let mut text = text.to_owned();
        for secret in self.secrets.iter().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "***");
        }
        let is_token_char = |c: char| c.is_ascii_alphanumeric() || "-_.~+=".contains(c);
        let is_token = |word: &str| word.len() >= TOKEN_LEN_MIN && word.chars().all(is_token_char);
        let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
        let mut line = words
            .map(|word| if word.split(['"', '\'', ':', ',', '/', '(', ')']).any(is_token) { "***" } else { word })
            .collect::<Vec<_>>()
            .join(" ");
        if let Some((end, _)) = line.char_indices().nth(DETAIL_CHARS_MAX) {
            line.truncate(end);
            line.push('…');
        }
        Some(line).filter(|line| !line.is_empty())
    }
}

/// The details in the body of a refusal.
struct Details {
    /// A page for people, so it comes from something between us and Spotify.
    is_html: bool,
    /// `error` of the token endpoint, `error.reason` of the Web API.
    code: Option<String>,
    text: Option<String>,
}

/// Whether one of its words, not a part of one, is about scopes.
fn names_a_scope(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| SCOPE_WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Remedy;
    use chrono::TimeZone;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_429_is_a_burst_only_if_it_is_short_and_says_nothing_else() {
        let quota = r#"{"error": {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}}"#;
        let rate = r#"{"error": {"status": 429, "message": "API rate limit exceeded"}}"#;
        for (retry_after, body, expected) in [
            (Some("7"), rate, LimitClass::Rate),
            (Some("900"), rate, LimitClass::Rate),
            (Some("901"), rate, LimitClass::Quota),
            (Some("7"), quota, LimitClass::Quota),
            (Some("soon"), rate, LimitClass::Quota),
            (None, rate, LimitClass::Quota),
            (Some("7"), "<html>", LimitClass::Rate),
        ] {
            let headers: Vec<_> = retry_after.map(|value| ("retry-after", value)).into_iter().collect();
            let error = by_api(429, &headers, body, Asked::Endpoint);
            let ApiError::RateLimited { class, .. } = error else { panic!("{error:?}") };
            assert_eq!(class, expected, "{retry_after:?} {body}");
        }
    }

    const BARE: &str = r#"{"error": {"status": 403, "message": "Forbidden"}}"#;
    const HTML: &str = "<html>Your client does not have permission to get URL";
    const PREMIUM: &str = "Active premium subscription required for the owner of the app. It can take a few hours.";
    const STRANGER: &str = r#"{"error": {"status": 403, "message": "User not registered in the Developer Dashboard"}}"#;
    const NO_SCOPE: &str = r#"{"error": {"status": 403, "message": "Insufficient client scope"}}"#;
    const GONE: &str = r#"{"error": {"status": 403, "message": "This endpoint is deprecated"}}"#;
    const OAUTH: &str = r#"{"error": {"status": 403, "message": "Bad OAuth request"}}"#;
    const NOT_FOUND: &str = r#"{"error": {"status": 404, "message": "Resource not found"}}"#;

    /// One row for each kind of refusal: what can be done about it for a listing, and for the items of a playlist.
    #[test]
    fn a_refusal_says_what_can_be_done_about_it() {
        let past = Remedy::AskSoonPast { retry_after: None };
        let divide = Remedy::AskSoonOrDivide { retry_after: None };
        let (once, later) = (Remedy::AskOnceMore, Remedy::AskLater);
        for (status, body, listing, items) in [
            (401, "", later, later),
            (401, HTML, later, later),
            (403, "", once, Remedy::NotShown),
            (403, BARE, once, Remedy::NotShown),
            (403, OAUTH, once, once),
            (403, HTML, past, past),
            (403, PREMIUM, later, later),
            (403, STRANGER, later, later),
            (403, "the user may not be registered.", later, later),
            (403, NO_SCOPE, Remedy::Permit, Remedy::Permit),
            (403, r#"{"error": {"message": "Request blocked: rule microscope-7"}}"#, once, once),
            (403, GONE, Remedy::LeaveOut, Remedy::LeaveOut),
            (404, "", once, Remedy::NotThere),
            (404, NOT_FOUND, once, Remedy::NotThere),
            (404, HTML, past, past),
            (404, GONE, Remedy::LeaveOut, Remedy::LeaveOut),
            (404, r#"{"error": {"message": "The playlist was removed"}}"#, Remedy::LeaveOut, Remedy::NotThere),
            (410, "", Remedy::LeaveOut, Remedy::NotThere),
            (410, HTML, past, past),
            (400, "", once, once),
            (400, r#"{"error": {"status": 400, "message": "Invalid limit"}}"#, once, once),
            (400, HTML, past, past),
            (418, "", once, once),
            (302, "", past, past),
            (204, "", divide, divide),
            (408, "", divide, divide),
            (425, "", divide, divide),
            (500, "", divide, divide),
            (502, HTML, divide, divide),
            (503, BARE, divide, divide),
        ] {
            let remedy = |asked| by_api(status, &[], body, asked).disposition().remedy;
            assert_eq!(remedy(Asked::Endpoint), Some(listing), "{status} {body}");
            assert_eq!(remedy(Asked::PlaylistItems { playlist_id: "p1" }), Some(items), "{status} {body}, items");
        }
    }

    #[test]
    fn a_refusal_reads_well() {
        for body in ["", BARE, HTML, PREMIUM, STRANGER, NO_SCOPE, GONE, OAUTH] {
            for asked in [Asked::Endpoint, Asked::PlaylistItems { playlist_id: "p1" }] {
                let message = by_api(403, &[], body, asked).to_string();
                assert!(!message.is_empty() && !message.contains('\n') && !message.ends_with('.'), "{message}");
            }
        }
    }

    #[test]
    fn a_page_of_html_is_known_by_its_type_too() {
        let headers = [("content-type", "text/html; charset=utf-8")];
        let error = by_api(403, &headers, "Access denied", Asked::PlaylistItems { playlist_id: "p1" });
        assert!(matches!(error, ApiError::Intercepted { .. }), "{error:?}");
    }

    #[test]
    fn a_scope_that_only_the_challenge_names_is_missing_too() {
        let headers = [("www-authenticate", r#"Bearer error="insufficient_scope""#)];
        let error = by_api(403, &headers, "", Asked::Endpoint);
        assert!(matches!(error, ApiError::Forbidden(ForbiddenReason::MissingScope, _)), "{error:?}");
    }

    #[test]
    fn a_5xx_says_when_to_ask_again() {
        let error = by_api(503, &[("retry-after", "3")], "<html>", Asked::Endpoint);
        assert!(matches!(error, ApiError::Transient { retry_after: Some(wait), .. } if wait == 3 * SECOND));
    }

    #[test]
    fn a_quotation_is_one_short_line_without_tokens() {
        let long =
            format!("{{\"error\": {{\"message\": \"a\\nb {} {} s3cret\"}}}}", "T".repeat(150), "word ".repeat(99));
        let message = by_api(400, &[], &long, Asked::Endpoint).to_string();
        assert!(message.starts_with("GET /me/tracks at 0 was refused (400 Bad Request): a b *** word"), "{message}");
        assert!(message.chars().count() < 260 && message.ends_with('…'), "{message}");
        let message = by_api(400, &[], r#"{"error": {"message": "bad token s3cret!"}}"#, Asked::Endpoint).to_string();
        assert!(message.ends_with(": bad token ***!"), "{message}");
        assert!(!by_api(502, &[], "<html><p>Bad gateway", Asked::Endpoint).to_string().contains("html"));
    }

    #[test]
    fn the_token_endpoint_says_who_has_to_act() {
        let said = |status, body: &str| {
            refusal(status, &headers(&[]), body, |refusal| refusal.by_accounts(Credential::RefreshToken))
        };
        let error = said(400, r#"{"error": "invalid_grant", "error_description": "Refresh token revoked"}"#);
        assert!(matches!(error, ApiError::SignIn(_)));
        assert_eq!(
            error.to_string(),
            "the refresh token was refused (Refresh token revoked); sign in again with \"segno login\""
        );
        let error = said(400, r#"{"error": "invalid_client", "error_description": "Invalid client"}"#);
        assert!(matches!(&error, ApiError::Refused(message) if message.contains("spotify.client_id")), "{error:?}");
        assert!(matches!(said(500, r#"{"error": "invalid_grant"}"#), ApiError::Transient { .. }), "it is in trouble");
        assert!(matches!(said(503, ""), ApiError::Transient { .. }));
        assert!(matches!(said(400, r#"{"error": "server_error"}"#), ApiError::Refused(_)));
        assert!(matches!(said(403, HTML), ApiError::Intercepted { .. }));
        assert!(matches!(said(302, ""), ApiError::Intercepted { .. }));
        assert!(matches!(said(429, ""), ApiError::Transient { retry_after: Some(TOKEN_RETRY_AFTER), .. }), "no limit");
    }

    fn now() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 11, 22, 12, 0, 0).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn by_api(status: u16, pairs: &[(&'static str, &str)], body: &str, asked: Asked<'_>) -> ApiError {
        refusal(status, &headers(pairs), body, |refusal| refusal.by_api(asked))
    }

    fn refusal(status: u16, headers: &HeaderMap, body: &str, judge: impl Fn(Refusal<'_>) -> ApiError) -> ApiError {
        judge(Refusal {
            what: "GET /me/tracks at 0",
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: body.as_bytes(),
            secrets: &["s3cret"],
            now: now(),
        })
    }
}
