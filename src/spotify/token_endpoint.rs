//! The token endpoint: exchanges a refresh token, or the code of a sign-in, and waits after it gave no token.

use super::{
    answer::{REFUSAL_LEN_MAX, body, host, refusal_body, undecodable},
    decode,
    error::ApiError,
    refusal::{Credential, Refusal},
    token_rest::{TokenRest, TokenRests},
    wire::TokenWire,
};
use crate::model::with_causes;
use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use url::Url;

/// Its name in messages.
const WHAT: &str = "the token request";

#[derive(Debug)]
pub(super) struct TokenEndpoint {
    http: reqwest::Client,
    pub url: Url,
    pub client_id: String,
    pub rests: TokenRests,
    /// Shared by all accounts.
    rest: Mutex<TokenRest>,
    num_requests: AtomicU64,
}

/// Why the token endpoint gave no new access token.
#[derive(Debug)]
pub(super) enum NotRenewed {
    /// The refresh token is void; `said` is Spotify's reason.
    Void { said: String, error: ApiError },
    Failed {
        why: String,
        retry_after: Option<Duration>,
        /// It concerns these tokens, and not the endpoint.
        is_of_the_grant: bool,
    },
}

impl NotRenewed {
    fn failed(error: &ApiError) -> NotRenewed {
        let retry_after = match error {
            ApiError::Transient { retry_after, .. } | ApiError::Intercepted { retry_after, .. } => *retry_after,
            _ => None,
        };
        NotRenewed::Failed { why: with_causes(error), retry_after, is_of_the_grant: false }
    }
}

impl TokenEndpoint {
    pub fn new(http: reqwest::Client, url: Url, client_id: String, rests: TokenRests) -> TokenEndpoint {
        TokenEndpoint { http, url, client_id, rests, rest: Mutex::default(), num_requests: AtomicU64::new(0) }
    }

    /// Whether it must not be asked now, for any account.
    pub fn rest(&self) -> MutexGuard<'_, TokenRest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests sent so far.
    pub fn num_requests(&self) -> u64 {
        self.num_requests.load(Ordering::Relaxed)
    }

    /// Asks for a new access token.
    pub async fn exchange_refresh_token(
        &self,
        refresh_token: &SecretString,
        now: DateTime<Utc>,
    ) -> Result<TokenWire, NotRenewed> {
        let secret = refresh_token.expose_secret();
        let form = [("grant_type", "refresh_token"), ("refresh_token", secret), ("client_id", &self.client_id)];
        let host = host(&self.url);
        self.num_requests.fetch_add(1, Ordering::Relaxed);
        let sent = self.http.post(self.url.clone()).form(&form).send().await;
        let response = sent.map_err(|error| NotRenewed::failed(&ApiError::from_send(WHAT, &host, error)))?;
        if response.status() == StatusCode::OK {
            let body =
                body(response, REFUSAL_LEN_MAX, WHAT, &host).await.map_err(|error| NotRenewed::failed(&error))?;
            return decode::object_as_it_is(&body).map_err(|error| NotRenewed::failed(&undecodable(WHAT, error)));
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = refusal_body(response).await;
        let refusal = Refusal { what: WHAT, status, headers: &headers, body: &body, secrets: &[secret], now };
        let error = refusal.by_accounts(Credential::RefreshToken);
        Err(match (refusal.invalid_grant(), NotRenewed::failed(&error)) {
            (Some(said), _) => NotRenewed::Void { said, error },
            (None, NotRenewed::Failed { why, retry_after, .. }) => {
                NotRenewed::Failed { why, retry_after, is_of_the_grant: refusal.is_of_the_grant() }
            }
            (None, void @ NotRenewed::Void { .. }) => void,
        })
    }

    /// Sends a code. Returns the body of a 200.
    pub async fn send_code(
        &self,
        request: reqwest::Request,
        secrets: &[&str],
        now: DateTime<Utc>,
    ) -> Result<Vec<u8>, ApiError> {
        let host = host(&self.url);
        self.num_requests.fetch_add(1, Ordering::Relaxed);
        let sent = self.http.execute(request).await;
        let response = sent.map_err(|error| ApiError::from_send(WHAT, &host, error))?;
        if response.status() == StatusCode::OK {
            return body(response, REFUSAL_LEN_MAX, WHAT, &host).await;
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = refusal_body(response).await;
        Err(Refusal { what: WHAT, status, headers: &headers, body: &body, secrets, now }.by_accounts(Credential::Code))
    }
}
