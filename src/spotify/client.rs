//! One request: its URL, its bearer token, its body.
//!
//! The client sends what it is told to, once: every request needs a permit, so a 401 renews the token and leaves the
//! second try to the caller. It computes every URL itself and follows none that an answer holds, so that the token goes
//! to the configured host only.

use super::{
    auth::Tokens,
    decode::{self, DecodeError, Profile},
    error::ApiError,
    plays,
    refusal::{Asked, Credential, Refusal},
    token_rest::{TokenRest, TokenRests},
    wire::TokenWire,
};
use crate::model::{EntityType, PLAYS_PAGE_LEN, Page, PageRequest, PlaysPage, with_causes};
use chrono::{DateTime, Utc};
use reqwest::{
    Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, HeaderValue},
    redirect,
};
use secrecy::{ExposeSecret, SecretString};
use std::{
    panic::resume_unwind,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::spawn_blocking;
use tracing::trace;
use url::{Host, Url};

/// Longest body that is read. Fifty full albums with their first tracks come to five megabytes. With all that is made of
/// it, an answer takes at most 64 MiB.
const BODY_LEN_MAX: usize = 10 << 20;

/// Longest body that is decoded at once. An ordinary page has half of that; what takes longer is done on another thread,
/// since this one is everybody's.
const DECODED_AT_ONCE_MAX: usize = 512 << 10;

/// What is set aside for a body on its own word.
const BODY_LEN_EXPECTED: usize = 1 << 20;

/// How much of a refusal's body is read.
const REFUSAL_LEN_MAX: usize = 64 << 10;

/// The id before every artist. With `after` the listing is sorted by id and complete; the first call without it was
/// seen to skip artists (github.com/spotify/web-api/issues/314).
const FIRST_CURSOR: &str = "0000000000000000000000";

/// Settings of a [`Client`].
#[derive(Debug, Clone)]
pub struct ClientConfig {
    pub api_url: Url,
    pub accounts_url: Url,
    pub client_id: String,
    pub connect_timeout: Duration,
    /// For a whole request, body included.
    pub timeout: Duration,
    pub user_agent: String,
    pub token_rests: TokenRests,
}

/// The Web API. Clones share connections and counters.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub http: reqwest::Client,
    api_url: Url,
    pub authorize_url: Url,
    pub token_url: Url,
    pub client_id: String,
    num_requests: AtomicU64,
    pub num_token_requests: AtomicU64,
    pub token_rests: TokenRests,
    /// Of the token endpoint, whoever asked it.
    pub token_rest: Mutex<TokenRest>,
}

/// Why the token endpoint gave no new access token.
#[derive(Debug)]
pub(super) enum NotRenewed {
    /// The refresh token is worth nothing any more; `said` is Spotify's reason.
    Void { said: String, error: ApiError },
    Failed {
        why: String,
        retry_after: Option<Duration>,
        /// It speaks of these tokens, and not of the endpoint.
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

/// A GET, and what its answer is to be judged by.
struct Call<'a> {
    url: Url,
    /// As messages name it.
    what: String,
    asked: Asked<'a>,
}

impl Client {
    pub fn new(config: ClientConfig) -> Result<Client, ApiError> {
        let api_url = base_url("spotify.api_url", config.api_url)?;
        let accounts_url = base_url("spotify.accounts_url", config.accounts_url)?;
        crate::tls::install();
        let mut builder = reqwest::Client::builder()
            .user_agent(config.user_agent)
            .connect_timeout(config.connect_timeout)
            .timeout(config.timeout)
            .redirect(redirect::Policy::none())
            // Every request needs a permit, so none is repeated behind the gate's back.
            .retry(reqwest::retry::never());
        let is_plain = |url: &Url| url.scheme() == "http";
        if is_plain(&api_url) || is_plain(&accounts_url) {
            // A proxy on the way to a loopback host would see the token in plain text.
            builder = builder.no_proxy();
        } else {
            builder = builder.https_only(true);
        }
        let http = builder.build().map_err(|error| ApiError::Config {
            message: "the HTTP client cannot be set up".into(),
            source: Some(Arc::new(error)),
        })?;
        Ok(Client {
            inner: Arc::new(Inner {
                http,
                authorize_url: join(&accounts_url, &["authorize"]),
                token_url: join(&accounts_url, &["api", "token"]),
                api_url,
                client_id: config.client_id,
                num_requests: AtomicU64::new(0),
                num_token_requests: AtomicU64::new(0),
                token_rests: config.token_rests,
                token_rest: Mutex::default(),
            }),
        })
    }

    /// Who the tokens belong to.
    pub async fn me(&self, tokens: &Tokens) -> Result<Profile, ApiError> {
        let call = Call { url: join(&self.inner.api_url, &["me"]), what: "GET /me".into(), asked: Asked::Endpoint };
        let body = self.get(tokens, &call).await?;
        decoded(body, decode::profile).await.map_err(|error| undecodable(&call.what, error))
    }

    /// One page of a listing.
    pub async fn page(&self, tokens: &Tokens, request: &PageRequest) -> Result<Page, ApiError> {
        let call = self.call(request)?;
        let body = self.get(tokens, &call).await?;
        let asked = request.clone();
        let page = decoded(body, move |body| decode::page(&asked, body)).await;
        let page = page.map_err(|error| undecodable(&call.what, error))?;
        trace!(what = call.what, num_slots = page.slots.len(), total = page.total, "page received");
        Ok(page)
    }

    /// The last plays: the plain page, without a cursor, since late rows may lie before any.
    pub async fn recently_played(&self, tokens: &Tokens) -> Result<PlaysPage, ApiError> {
        let mut url = join(&self.inner.api_url, &["me", "player", "recently-played"]);
        url.query_pairs_mut().append_pair("limit", &PLAYS_PAGE_LEN.to_string());
        let call = Call { url, what: "GET /me/player/recently-played".into(), asked: Asked::Endpoint };
        let body = self.get(tokens, &call).await?;
        let page = decoded(body, plays::page).await.map_err(|error| undecodable(&call.what, error))?;
        trace!(what = call.what, num_slots = page.slots.len(), "page received");
        Ok(page)
    }

    /// The application that it asks for.
    pub fn client_id(&self) -> &str {
        &self.inner.client_id
    }

    /// Requests sent to the Web API so far, refused ones included.
    pub fn num_requests(&self) -> u64 {
        self.inner.num_requests.load(Ordering::Relaxed)
    }

    /// Requests sent to the token endpoint so far.
    pub fn num_token_requests(&self) -> u64 {
        self.inner.num_token_requests.load(Ordering::Relaxed)
    }

    fn call<'a>(&self, request: &'a PageRequest) -> Result<Call<'a>, ApiError> {
        let limit = request.limit().to_string();
        debug_assert!((1..=50).contains(&request.limit()), "limit {limit} is not 1 to 50");
        let by_offset = |path: &[&str], offset: u32, asked| {
            let mut url = join(&self.inner.api_url, path);
            url.query_pairs_mut().append_pair("limit", &limit).append_pair("offset", &offset.to_string());
            Call { url, what: format!("GET /{} at {offset}", path.join("/")), asked }
        };
        match request {
            PageRequest::Listing { entity, .. } if entity.is_by_cursor() => {
                Err(ApiError::config(format!("{} cannot be asked for by offset", entity.facts().members)))
            }
            PageRequest::Listing { entity, offset, .. } => Ok(by_offset(entity.facts().path, *offset, Asked::Endpoint)),
            PageRequest::Following { after, .. } => {
                let after = after.as_deref().unwrap_or(FIRST_CURSOR);
                let mut url = join(&self.inner.api_url, EntityType::Artists.facts().path);
                url.query_pairs_mut()
                    .append_pair("type", "artist")
                    .append_pair("limit", &limit)
                    .append_pair("after", after);
                Ok(Call { url, what: format!("GET /me/following after {after}"), asked: Asked::Endpoint })
            }
            PageRequest::PlaylistItems { playlist_id, offset, .. } => {
                // Segments that a URL cannot hold as such: they would make it another path.
                if matches!(playlist_id.as_str(), "" | "." | "..") {
                    return Err(ApiError::NoPlaylist(format!("there can be no playlist \"{playlist_id}\"")));
                }
                let asked = Asked::PlaylistItems { playlist_id };
                let mut call = by_offset(&["playlists", playlist_id, "items"], *offset, asked);
                // Without it episodes arrive as empty slots.
                call.url.query_pairs_mut().append_pair("additional_types", "track,episode");
                Ok(call)
            }
        }
    }

    /// The body of a 200. A 401 renews the token once.
    async fn get(&self, tokens: &Tokens, call: &Call<'_>) -> Result<Vec<u8>, ApiError> {
        let bearer = tokens.bearer(self, None).await?;
        let response = self.send(call, bearer.header.clone()).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let renewed = tokens.renew_refused(self, &bearer).await;
            if renewed.map_err(|error| ApiError::NotRenewed(Box::new(error)))? {
                return Err(ApiError::Renewed);
            }
        }
        let host = host(&call.url);
        if response.status() == StatusCode::OK {
            tokens.handle_accepted(&bearer);
            return body(response, BODY_LEN_MAX, &call.what, &host).await;
        }
        let (status, headers) = (response.status(), response.headers().clone());
        Err(Refusal {
            what: &call.what,
            status,
            headers: &headers,
            body: &refusal_body(response).await,
            secrets: &[bearer.expose()],
            now: tokens.now(),
        }
        .by_api(call.asked))
    }

    async fn send(&self, call: &Call<'_>, bearer: HeaderValue) -> Result<Response, ApiError> {
        self.inner.num_requests.fetch_add(1, Ordering::Relaxed);
        let request = self.inner.http.get(call.url.clone()).header(AUTHORIZATION, bearer);
        let sent = request.header(ACCEPT, "application/json").send().await;
        sent.map_err(|error| ApiError::from_send(&call.what, &host(&call.url), error))
    }

    /// Asks the token endpoint for a new access token.
    pub(super) async fn exchange_refresh_token(
        &self,
        refresh_token: &SecretString,
        now: DateTime<Utc>,
    ) -> Result<TokenWire, NotRenewed> {
        let what = "the token request";
        let secret = refresh_token.expose_secret();
        let form = [("grant_type", "refresh_token"), ("refresh_token", secret), ("client_id", &self.inner.client_id)];
        let host = host(&self.inner.token_url);
        self.inner.num_token_requests.fetch_add(1, Ordering::Relaxed);
        let sent = self.inner.http.post(self.inner.token_url.clone()).form(&form).send().await;
        let response = sent.map_err(|error| NotRenewed::failed(&ApiError::from_send(what, &host, error)))?;
        if response.status() == StatusCode::OK {
            let body =
                body(response, REFUSAL_LEN_MAX, what, &host).await.map_err(|error| NotRenewed::failed(&error))?;
            return decode::object_as_it_is(&body).map_err(|error| NotRenewed::failed(&undecodable(what, error)));
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = refusal_body(response).await;
        let refusal = Refusal { what, status, headers: &headers, body: &body, secrets: &[secret], now };
        let error = refusal.by_accounts(Credential::RefreshToken);
        Err(match (refusal.invalid_grant(), NotRenewed::failed(&error)) {
            (Some(said), _) => NotRenewed::Void { said, error },
            (None, NotRenewed::Failed { why, retry_after, .. }) => {
                NotRenewed::Failed { why, retry_after, is_of_the_grant: refusal.is_of_the_grant() }
            }
            (None, void @ NotRenewed::Void { .. }) => void,
        })
    }

    /// Sends a code to the token endpoint. Returns the body of a 200.
    pub(super) async fn send_code(
        &self,
        request: reqwest::Request,
        secrets: &[&str],
        now: DateTime<Utc>,
    ) -> Result<Vec<u8>, ApiError> {
        let what = "the token request";
        let host = host(&self.inner.token_url);
        self.inner.num_token_requests.fetch_add(1, Ordering::Relaxed);
        let sent = self.inner.http.execute(request).await;
        let response = sent.map_err(|error| ApiError::from_send(what, &host, error))?;
        if response.status() == StatusCode::OK {
            return body(response, REFUSAL_LEN_MAX, what, &host).await;
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = refusal_body(response).await;
        Err(Refusal { what, status, headers: &headers, body: &body, secrets, now }.by_accounts(Credential::Code))
    }
}

async fn decoded<T: Send + 'static>(
    body: Vec<u8>,
    decode: impl FnOnce(&[u8]) -> Result<T, DecodeError> + Send + 'static,
) -> Result<T, DecodeError> {
    if body.len() <= DECODED_AT_ONCE_MAX {
        return decode(&body);
    }
    let decoding = spawn_blocking(move || decode(&body)).await;
    decoding.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

fn undecodable(what: &str, error: DecodeError) -> ApiError {
    ApiError::Malformed { message: format!("the answer to {what} {error}"), source: Some(Arc::new(error)) }
}

/// Checks a base URL: what goes there carries tokens.
fn base_url(key: &str, url: Url) -> Result<Url, ApiError> {
    let is_loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback) {
        return Err(ApiError::config(format!("{key} must be https, or http on a loopback address")));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(ApiError::config(format!("{key} must be a plain address, without user, query or fragment")));
    }
    Ok(url)
}

/// `base` with more segments, each percent-encoded.
fn join(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    url.path_segments_mut().expect("http and https URLs have a path").pop_if_empty().extend(segments);
    url
}

/// Where a person would look for the server: its port is named where it is not the scheme's own.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or("the server");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A body of at most `len_max` bytes.
async fn body(mut response: Response, len_max: usize, what: &str, host: &str) -> Result<Vec<u8>, ApiError> {
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

/// As much of a refusal's body as comes: its status says the most.
async fn refusal_body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(REFUSAL_LEN_MAX - body.len())]);
        if body.len() == REFUSAL_LEN_MAX {
            break;
        }
    }
    body
}
