//! Webhooks: how an entry of the feed is put into a request and signed, and what an answer means. Signing follows
//! "Standard Webhooks" (<https://www.standardwebhooks.com>), so that receivers have libraries for it.
//!
//! An address may be a secret, as with chat rooms: nothing here shows more of it than its host.

#[cfg(feature = "nats")]
pub mod nats;
mod words;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{StatusCode, header, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{error::Error, fmt, time::Duration};
use url::Url;

/// A receiver that takes longer counts as down.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Longest pause that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// Prefix of secrets in Base64.
const ENCODED: &str = "whsec_";

/// An address that is notified, and which events it gets.
#[derive(Clone)]
pub struct Webhook {
    url: Url,
    secret: Option<SecretString>,
    client: reqwest::Client,
}

/// Why a receiver has not accepted something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTaken {
    pub why: String,
    /// The wait that it asked for.
    pub retry_after: Option<Duration>,
}

impl Webhook {
    pub fn new(url: Url, secret: Option<SecretString>, user_agent: &str) -> Result<Webhook, reqwest::Error> {
        crate::tls::install();
        let client = reqwest::Client::builder()
            .user_agent(user_agent)
            .timeout(ANSWER_WITHIN)
            // Nobody has configured where it leads.
            .redirect(redirect::Policy::none())
            .build()?;
        Ok(Webhook { url, secret, client })
    }

    /// The name under which its position is stored: the same for the same address, which cannot be recovered from it.
    pub fn name(&self) -> String {
        let digest = Sha256::digest(self.url.as_str().as_bytes());
        digest.iter().take(8).fold("webhook ".to_owned(), |name, byte| format!("{name}{byte:02x}"))
    }

    /// Sends an entry of the feed. It is accepted if the answer says so, and only then.
    pub async fn send(&self, id: &str, entry: &str, now: DateTime<Utc>) -> Result<(), NotTaken> {
        let body = words::with_words(entry);
        let at = now.timestamp().to_string();
        let mut request = self.client.post(self.url.clone());
        request = request.header(header::CONTENT_TYPE, "application/json");
        request = request.header("webhook-id", id).header("webhook-timestamp", &at);
        if let Some(secret) = &self.secret {
            request = request.header("webhook-signature", signature(secret, id, &at, &body));
        }
        let answer = request.body(body).send().await.map_err(|error| NotTaken {
            why: format!("{self} does not answer: {}", reason(&error)),
            retry_after: None,
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let asked = answer.headers().get(header::RETRY_AFTER).and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let retry_after = asked.map(Duration::from_secs).map(|wait| wait.min(RETRY_AFTER_MAX));
        Err(NotTaken { why: format!("{self} answered with {}", shown(status)), retry_after })
    }
}

/// Without the address, which `reqwest` would include.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("nothing came within {} s", ANSWER_WITHIN.as_secs());
    }
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if cause.source().is_none() && cause.is::<reqwest::Error>() { "no connection".into() } else { cause.to_string() }
}

fn shown(status: StatusCode) -> String {
    match status.as_u16() {
        300..=399 => format!("a redirect ({}), which is never followed", status.as_u16()),
        code => format!("{code} {}", status.canonical_reason().unwrap_or_default()).trim_end().to_owned(),
    }
}

/// `v1,` and the HMAC-SHA256 of id, time and body.
fn signature(secret: &SecretString, id: &str, at: &str, body: &str) -> String {
    let secret = secret.expose_secret();
    let encoded = secret.strip_prefix(ENCODED).and_then(|encoded| STANDARD.decode(encoded).ok());
    let key = encoded.unwrap_or_else(|| secret.as_bytes().to_vec());
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.host_str().unwrap_or("a webhook"))
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({self})")
    }
}

/// Whether an entry is news to a person with a webhook: all but the first reading of a library.
pub fn is_news(entry: &Value) -> bool {
    entry["phase"] != "initial_sync"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_standard() {
        // The example of the specification's libraries.
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        assert_eq!(
            signature(&secret, id, "1614265330", r#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        let plain = SecretString::from("a word of one's own");
        assert_ne!(signature(&plain, id, "1", "{}"), signature(&plain, id, "2", "{}"));
    }

    #[test]
    fn an_address_is_not_shown_and_has_one_name() {
        let webhook = |url: &str| Webhook::new(url.parse().unwrap(), None, "test").unwrap();
        let secret = webhook("https://hooks.example.org/services/T0/secret?key=secret");
        assert_eq!(
            (secret.to_string(), format!("{secret:?}")),
            ("hooks.example.org".into(), "Webhook(hooks.example.org)".into())
        );
        assert_eq!(secret.name(), webhook("https://hooks.example.org/services/T0/secret?key=secret").name());
        assert_ne!(secret.name(), webhook("https://hooks.example.org/services/T0/other").name());
        assert!(secret.name().starts_with("webhook ") && secret.name().len() == 24);
    }

    #[test]
    fn the_first_reading_of_a_library_is_no_news() {
        for (entry, expected) in [
            (r#"{"event":"changes","phase":"initial_sync"}"#, false),
            (r#"{"event":"changes","phase":"incremental_sync"}"#, true),
            (r#"{"event":"sign_in_ends"}"#, true),
        ] {
            assert_eq!(is_news(&serde_json::from_str(entry).unwrap()), expected, "{entry}");
        }
    }
}
