//! A person signs in: the address of the consent page, the answer that it sends the browser back with, and the exchange
//! of that answer for tokens (authorization code with PKCE).
//!
//! The library creates the verifier and the `state`, writes the requests and reads the grant. The `state` ties the
//! answer to this sign-in, so that no other page can slip in an answer of its own; the verifier is sent to the token
//! endpoint only.

use super::{
    client::Client,
    error::ApiError,
    vault::{StoredTokens, is_token},
};
use crate::model::scopes::SCOPES;
use chrono::{DateTime, TimeDelta, Utc};
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, CsrfToken, EndpointNotSet, EndpointSet, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RequestTokenError, Scope, TokenResponse, TokenUrl,
    basic::{BasicClient, BasicTokenResponse},
};
use secrecy::{ExposeSecret, SecretString};
use std::{borrow::Cow, fmt};
use url::Url;

/// Longest lifetime of an access token that is believed.
const LIFE_MAX: TimeDelta = TimeDelta::days(30);

/// Lifetime of an access token if the answer does not say.
const LIFE_DEFAULT: TimeDelta = TimeDelta::hours(1);

/// Longest error word that is shown to a person.
const WORD_LEN_MAX: usize = 40;

type Endpoints = BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// A sign-in under way.
pub struct Authorization {
    /// The consent page, for the person's browser.
    pub url: Url,
    redirect_uri: RedirectUrl,
    state: CsrfToken,
    verifier: PkceCodeVerifier,
}

/// The answer that the browser brings back from the consent page.
#[derive(Debug)]
pub enum Answer {
    Code(SecretString),
    /// The person said no.
    Denied,
    /// Spotify reported an error; its word for it, if it is one.
    Failed(Option<String>),
}

/// Why an address is not the answer to this sign-in. None of this ends the sign-in: anybody can make up addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTheAnswer {
    #[error("it carries no answer")]
    Empty,
    #[error("it belongs to another sign-in")]
    OfAnother,
}

impl Authorization {
    /// Parses the query that the browser came back with.
    pub fn read(&self, query: &str) -> Result<Answer, NotTheAnswer> {
        let pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = url::form_urlencoded::parse(query.as_bytes()).collect();
        let get = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref());
        let (code, error) = (get("code").filter(|code| !code.is_empty()), get("error"));
        if code.is_none() && error.is_none() {
            return Err(NotTheAnswer::Empty);
        }
        if get("state") != Some(self.state.secret()) {
            return Err(NotTheAnswer::OfAnother);
        }
        Ok(match (error, code) {
            (Some("access_denied"), _) => Answer::Denied,
            (Some(error), _) => Answer::Failed(is_word(error).then(|| error.to_owned())),
            (None, Some(code)) => Answer::Code(code.into()),
            (None, None) => return Err(NotTheAnswer::Empty),
        })
    }
}

impl Client {
    /// Begins a sign-in whose answer is sent to `redirect_uri`.
    pub fn begin_authorization(&self, redirect_uri: Url) -> Authorization {
        let redirect_uri = RedirectUrl::from_url(redirect_uri);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let endpoints = self.endpoints();
        let request = endpoints
            .authorize_url(CsrfToken::new_random)
            .add_scopes(SCOPES.iter().map(|scope| Scope::new(scope.name.to_owned())))
            .set_redirect_uri(Cow::Borrowed(&redirect_uri))
            // Only renewed consent begins another six months, and only a shown page lets another person sign in.
            .add_extra_param("show_dialog", "true")
            .set_pkce_challenge(challenge);
        let (url, state) = request.url();
        Authorization { url, redirect_uri, state, verifier }
    }

    /// Exchanges the code of an answer for tokens.
    pub async fn finish_authorization(
        &self,
        authorization: Authorization,
        code: &SecretString,
        now: DateTime<Utc>,
    ) -> Result<StoredTokens, ApiError> {
        let Authorization { redirect_uri, verifier, .. } = authorization;
        let secrets = [code.expose_secret().to_owned(), verifier.secret().clone()];
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let send = |request: oauth2::HttpRequest| self.exchange_code(request, &secrets, now);
        let granted = self
            .endpoints()
            .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
            .set_redirect_uri(Cow::Owned(redirect_uri))
            .set_pkce_verifier(verifier)
            .request_async(&send)
            .await;
        let granted: BasicTokenResponse = granted.map_err(|error| match error {
            RequestTokenError::Request(error) => error,
            // Their texts may quote the body.
            RequestTokenError::Parse(_, _) | RequestTokenError::ServerResponse(_) | RequestTokenError::Other(_) => {
                malformed("is not a grant of tokens")
            }
        })?;
        let refresh_token = granted.refresh_token().map(|token| token.secret()).filter(|token| is_token(token));
        let refresh_token = refresh_token.ok_or_else(|| malformed("holds no refresh token"))?;
        let life = granted.expires_in().map_or(LIFE_DEFAULT, |life| TimeDelta::from_std(life).unwrap_or(LIFE_MAX));
        let scopes = granted.scopes().map(|scopes| {
            let names: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
            names.join(" ")
        });
        Ok(StoredTokens {
            access_token: Some(granted.access_token().secret().as_str().into()),
            expires_at: Some(now + life.min(LIFE_MAX)),
            refresh_token: refresh_token.as_str().into(),
            scopes,
            trouble: None,
        })
    }

    async fn exchange_code(
        &self,
        request: oauth2::HttpRequest,
        secrets: &[&str],
        now: DateTime<Utc>,
    ) -> Result<oauth2::HttpResponse, ApiError> {
        let request = reqwest::Request::try_from(request).map_err(|error| ApiError::Config {
            message: "the token request cannot be written".into(),
            source: Some(std::sync::Arc::new(error)),
        })?;
        let body = self.inner.token_endpoint.send_code(request, secrets, now).await?;
        let mut response = oauth2::HttpResponse::new(body);
        *response.status_mut() = oauth2::http::StatusCode::OK;
        Ok(response)
    }

    fn endpoints(&self) -> Endpoints {
        BasicClient::new(ClientId::new(self.inner.token_endpoint.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(self.inner.authorize_url.clone()))
            .set_token_uri(TokenUrl::from_url(self.inner.token_endpoint.url.clone()))
    }
}

/// Whether a text from outside may be shown as Spotify's word for a failure.
fn is_word(text: &str) -> bool {
    (1..=WORD_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn malformed(why: &'static str) -> ApiError {
    ApiError::malformed("the token request", why)
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization").finish_non_exhaustive()
    }
}
