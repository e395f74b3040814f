//! An answer that is not a 200 becomes an error that says what can be done about it.
//!
//! Spotify's refusals are told apart by status, headers and text: one 403 means five things, one 429 two, and some
//! bodies are no JSON at all. Whatever is quoted from a body is one short line without secrets.

use super::{
    decode::object,
    error::{ApiError, ForbiddenReason},
    wire::{RefusalDetailWire, RefusalWire},
};
use crate::model::LimitClass;
use chrono::{DateTime, Utc};
use reqwest::{
    StatusCode,
    header::{DATE, HeaderMap, RETRY_AFTER},
};
use std::time::Duration;

/// Longest `Retry-After` that is a burst; a longer one means that the day's quota is used up. Observed: 6 to 15 s
/// for bursts, 8 to 24 h for quotas.
pub const RATE_RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);

/// Longest `Retry-After` that is believed. The longest observed is a day; after a week it is worth asking again.
pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(7 * 24 * 3600);

/// Wait after a 429 of the token endpoint that names none: it has a rate limit, but no daily quota.
const TOKEN_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Longest quotation from a body.
const DETAIL_CHARS_MAX: usize = 200;

/// Shortest word that is taken for a token when a body is quoted. Ids have 22 characters, tokens more than 100.
const TOKEN_LEN_MIN: usize = 40;

/// What was asked for, as far as a refusal's meaning depends on it.
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
    /// The request, as a message names it.
    pub what: &'a str,
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    /// The tokens that went with the request: a body that repeats them is not quoted with them.
    pub secrets: &'a [&'a str],
    pub now: DateTime<Utc>,
}

impl Refusal<'_> {
    /// A refusal by the Web API.
    pub(super) fn by_api(&self, asked: Asked<'_>) -> ApiError {
        let Refusal { what, status, .. } = self;
        let quoted = self.quoted();
        match status.as_u16() {
            401 => ApiError::Unauthorized(format!("{what} was refused with a fresh access token{quoted}")),
            403 => self.forbidden(asked),
            404 | 410 => ApiError::Gone(match asked {
                Asked::PlaylistItems { playlist_id } => {
                    format!("playlist {playlist_id} is not there ({status}){quoted}")
                }
                Asked::Endpoint => format!("{what} is not there ({status}){quoted}"),
            }),
            429 => self.rate_limited(None),
            _ => self.other(),
        }
    }

    /// A refusal by the token endpoint.
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
            Some("invalid_client" | "unauthorized_client") => ApiError::SignIn(format!(
                "spotify.client_id was refused ({said}); check it at developer.spotify.com/dashboard, then sign in \
                 again"
            )),
            _ if self.status == StatusCode::TOO_MANY_REQUESTS => self.rate_limited(Some(TOKEN_RETRY_AFTER)),
            _ => self.other(),
        }
    }

    /// What the token endpoint says about a token or code that is worth nothing any more; `None` where it refuses for
    /// another reason.
    pub(super) fn invalid_grant(&self) -> Option<String> {
        let details = self.details();
        let is_void = details.code.as_deref() == Some("invalid_grant");
        is_void.then(|| details.text.unwrap_or_else(|| "no reason given".into()))
    }

    /// `default` is the wait where the answer names none.
    fn rate_limited(&self, default: Option<Duration>) -> ApiError {
        let retry_after = retry_after(self.headers, self.now).or(default);
        let is_quota = self.details().code.as_deref() == Some("QUOTA_EXCEEDED")
            || retry_after.is_none_or(|wait| wait > RATE_RETRY_AFTER_MAX);
        let class = if is_quota { LimitClass::Quota } else { LimitClass::Rate };
        let wait = retry_after.map_or("no usable Retry-After".into(), |wait| format!("wait {} s", wait.as_secs()));
        let message = format!("{} was refused by the {} limit ({wait})", self.what, class.as_str());
        ApiError::RateLimited { class, retry_after, message }
    }

    /// Anything whose status alone says enough.
    fn other(&self) -> ApiError {
        let Refusal { what, status, .. } = self;
        let quoted = self.quoted();
        let (is_refusal, message) = match status.as_u16() {
            300..=399 => (false, format!("{what} was answered with a redirect ({status}), which is never followed")),
            408 | 425 => (false, format!("{what} was not served ({status}){quoted}")),
            400..=499 => (true, format!("{what} was refused ({status}){quoted}")),
            _ => (false, format!("{what} was not served ({status}){quoted}")),
        };
        if is_refusal {
            return ApiError::Refused(message);
        }
        ApiError::Transient { retry_after: retry_after(self.headers, self.now), message }
    }

    fn forbidden(&self, asked: Asked<'_>) -> ApiError {
        let what = self.what;
        let quoted = self.quoted();
        let reason = self.forbidden_reason(asked);
        let message = match (reason, asked) {
            (ForbiddenReason::OwnerWithoutPremium, _) => {
                "the owner of the Spotify application has no active Premium subscription: renew it, then wait a few \
                 hours"
                    .into()
            }
            (ForbiddenReason::NotAllowListed, _) => {
                "this Spotify user may not use the application: add the user under User Management at \
                 developer.spotify.com/dashboard"
                    .into()
            }
            (ForbiddenReason::MissingScope, _) => {
                format!(
                    "the sign-in does not permit {what}: sign in again and grant all permissions that the README names"
                )
            }
            (ForbiddenReason::NotYours, Asked::PlaylistItems { playlist_id }) => format!(
                "playlist {playlist_id} is not yours: Spotify shows its items only to its owner and collaborators"
            ),
            (ForbiddenReason::EndpointGone | ForbiddenReason::NotYours, _) => format!(
                "{what} is closed to this application (403): Spotify has removed it for applications in development \
                 mode; leave it out of sync.entities"
            ),
            (ForbiddenReason::Other, _) => {
                format!("{what} is forbidden (403){quoted}; check the application at developer.spotify.com/dashboard")
            }
        };
        ApiError::Forbidden(reason, message)
    }

    /// Tells the meanings of a 403 apart: first by what the body says, then by what was asked for. A bare `Forbidden`
    /// from an endpoint that development mode still has concerns the one playlist; from any other, the endpoint.
    fn forbidden_reason(&self, asked: Asked<'_>) -> ForbiddenReason {
        let details = self.details();
        let text = details.text.as_deref().unwrap_or_default().to_lowercase();
        let says = |phrase: &str| text.contains(phrase);
        let challenge = self.headers.get(reqwest::header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        if says("premium") {
            ForbiddenReason::OwnerWithoutPremium
        } else if says("not registered") || says("not be registered") {
            ForbiddenReason::NotAllowListed
        } else if says("scope") || challenge.is_some_and(|challenge| challenge.contains("insufficient_scope")) {
            ForbiddenReason::MissingScope
        } else {
            // A proxy's block page is not Spotify's word about a playlist or an endpoint.
            let is_bare = text.is_empty() && self.body.is_empty() || text == "forbidden";
            match asked {
                Asked::PlaylistItems { .. } if details.is_json || is_bare => ForbiddenReason::NotYours,
                Asked::Endpoint if is_bare || details.is_json && text.is_empty() => ForbiddenReason::EndpointGone,
                Asked::PlaylistItems { .. } | Asked::Endpoint => ForbiddenReason::Other,
            }
        }
    }

    /// What the body says, to be put behind a sentence.
    fn quoted(&self) -> String {
        self.details().text.map_or(String::new(), |text| format!(": {text}"))
    }

    fn details(&self) -> Details {
        let Ok(refusal) = object::<RefusalWire>(self.body) else {
            // Spotify's own proxies answer in HTML, which tells a person nothing that the status does not.
            let text = String::from_utf8_lossy(self.body);
            let is_html = text.trim_start().starts_with('<');
            return Details { is_json: false, code: None, text: self.line(&text).filter(|_| !is_html) };
        };
        let error = refusal.error.as_deref().map_or("null", |error| error.get());
        if let Ok(code) = serde_json::from_str::<String>(error) {
            let description = refusal.error_description.given().and_then(|text| self.line(&text));
            return Details { is_json: true, text: description.or_else(|| self.line(&code)), code: Some(code) };
        }
        let detail: RefusalDetailWire = object(error.as_bytes()).unwrap_or_default();
        let text = detail.message.given().and_then(|text| self.line(&text));
        Details { is_json: true, code: detail.reason.given(), text }
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

/// What the body of a refusal says.
struct Details {
    is_json: bool,
    /// `error` of the token endpoint, `error.reason` of the Web API.
    code: Option<String>,
    text: Option<String>,
}

/// Reads `Retry-After`: seconds, or a date, which is measured by the server's own clock where it shows it. `None` where
/// it is missing or malformed.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only a number too long for a u64 fails, and that is absurd in any unit.
        value.parse().map_or(RETRY_AFTER_CAP, Duration::from_secs)
    } else if let Ok(seconds) = value.parse::<f64>() {
        Duration::try_from_secs_f64(seconds.ceil()).ok()?
    } else {
        let until = DateTime::parse_from_rfc2822(value).ok()?;
        let server_now = headers.get(DATE).and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok());
        let wait = until.to_utc() - server_now.map_or(now, |date| date.to_utc());
        wait.to_std().unwrap_or(Duration::ZERO)
    };
    Some(wait.min(RETRY_AFTER_CAP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn retry_after_is_read_in_every_form_and_never_believed_beyond_the_cap() {
        for (value, wait) in [
            ("0", Some(Duration::ZERO)),
            (" 7 ", Some(7 * SECOND)),
            ("1.2", Some(2 * SECOND)),
            ("86207", Some(86_207 * SECOND)),
            ("99999999", Some(RETRY_AFTER_CAP)),
            ("99999999999999999999999999", Some(RETRY_AFTER_CAP)),
            ("Sun, 22 Nov 2026 12:00:30 GMT", Some(30 * SECOND)),
            ("Sun, 22 Nov 2026 11:00:00 GMT", Some(Duration::ZERO)),
            ("Sun, 22 Nov 2099 12:00:00 GMT", Some(RETRY_AFTER_CAP)),
            ("", None),
            ("-5", None),
            ("NaN", None),
            ("inf", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(&headers(&[("retry-after", value)]), now()), wait, "{value:?}");
        }
        assert_eq!(retry_after(&headers(&[]), now()), None);
    }

    #[test]
    fn a_dated_retry_after_is_measured_by_the_servers_clock() {
        let headers =
            headers(&[("retry-after", "Sun, 22 Nov 2026 14:00:10 GMT"), ("date", "Sun, 22 Nov 2026 14:00:00 GMT")]);
        assert_eq!(retry_after(&headers, now()), Some(10 * SECOND));
    }

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

    #[test]
    fn every_meaning_of_a_403_is_told_apart() {
        use ForbiddenReason::{EndpointGone, MissingScope, NotAllowListed, NotYours, Other, OwnerWithoutPremium};
        let bare = r#"{"error": {"status": 403, "message": "Forbidden"}}"#;
        let items = Asked::PlaylistItems { playlist_id: "p1" };
        for (asked, body, expected) in [
            (Asked::Endpoint, bare, EndpointGone),
            (Asked::Endpoint, "", EndpointGone),
            (items, bare, NotYours),
            (items, "", NotYours),
            (
                items,
                "Active premium subscription required for the owner of the app. It can take a few hours.",
                OwnerWithoutPremium,
            ),
            (
                Asked::Endpoint,
                r#"{"error": {"status": 403, "message": "User not registered in the Developer Dashboard"}}"#,
                NotAllowListed,
            ),
            (
                items,
                "Check settings on developer.spotify.com/dashboard, the user may not be registered.",
                NotAllowListed,
            ),
            (Asked::Endpoint, r#"{"error": {"status": 403, "message": "Insufficient client scope"}}"#, MissingScope),
            (Asked::Endpoint, r#"{"error": {"status": 403, "message": "Bad OAuth request"}}"#, Other),
            (Asked::Endpoint, "<html>blocked by a proxy</html>", Other),
            (items, "<html>blocked by a proxy</html>", Other),
        ] {
            let error = by_api(403, &[], body, asked);
            let ApiError::Forbidden(reason, message) = &error else { panic!("{error:?}") };
            assert_eq!(*reason, expected, "{body}");
            assert!(!error.is_transient() && !message.contains('\n') && !message.ends_with('.'), "{message}");
        }
    }

    #[test]
    fn a_scope_that_only_the_challenge_names_is_missing_too() {
        let headers = [("www-authenticate", r#"Bearer error="insufficient_scope""#)];
        let error = by_api(403, &headers, "", Asked::Endpoint);
        assert!(matches!(error, ApiError::Forbidden(ForbiddenReason::MissingScope, _)), "{error:?}");
    }

    #[test]
    fn the_status_says_whether_trying_again_can_help() {
        for (status, is_transient) in
            [(204, true), (302, true), (400, false), (404, false), (408, true), (410, false), (418, false), (503, true)]
        {
            assert_eq!(by_api(status, &[], "", Asked::Endpoint).is_transient(), is_transient, "{status}");
        }
        assert!(matches!(by_api(410, &[], "", Asked::Endpoint), ApiError::Gone(_)));
        assert!(matches!(by_api(400, &[], "", Asked::Endpoint), ApiError::Refused(_)));
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
        assert!(matches!(&error, ApiError::SignIn(message) if message.contains("spotify.client_id")), "{error:?}");
        assert!(matches!(said(503, ""), ApiError::Transient { .. }));
        assert!(matches!(said(400, r#"{"error": "server_error"}"#), ApiError::Refused(_)));
        assert!(matches!(said(429, ""), ApiError::RateLimited { class: LimitClass::Rate, retry_after: Some(_), .. }));
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
