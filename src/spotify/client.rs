//! One request: its URL, its bearer token, its body.
//!
//! The client sends each request once: every request needs a permit, so a 401 renews the token and leaves the second
//! try to the caller. It builds every URL itself and follows none from an answer, so that the token is sent to the
//! configured host only.

use super::{
    answer::{body, decoded, host, refusal_body, undecodable},
    auth::Tokens,
    decode::{self, Profile},
    error::ApiError,
    plays,
    refusal::{Asked, Refusal},
    token_endpoint::TokenEndpoint,
    token_rest::TokenRests,
};
use crate::model::{EntityType, PLAYS_PAGE_LEN, Page, PageRequest, PlaysPage};
use reqwest::{
    Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, HeaderValue},
    redirect,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tracing::trace;
use url::{Host, Url};

/// Longest body that is read. Fifty full albums with their first tracks come to five megabytes. An answer takes at most
/// 64 MiB, decoded objects included.
const BODY_LEN_MAX: usize = 10 << 20;

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
    http: reqwest::Client,
    api_url: Url,
    pub authorize_url: Url,
    pub token_endpoint: Arc<TokenEndpoint>,
    num_requests: AtomicU64,
}

/// A GET, and the context for judging its answer.
struct Call<'a> {
    url: Url,
    /// Its name in messages.
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
        let token_url = join(&accounts_url, &["api", "token"]);
        let token_endpoint = TokenEndpoint::new(http.clone(), token_url, config.client_id, config.token_rests);
        Ok(Client {
            inner: Arc::new(Inner {
                http,
                authorize_url: join(&accounts_url, &["authorize"]),
                api_url,
                token_endpoint: Arc::new(token_endpoint),
                num_requests: AtomicU64::new(0),
            }),
        })
    }

    /// Whom the tokens belong to.
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

    /// The last plays: the plain page, without a cursor, since late rows may be older than any.
    pub async fn recently_played(&self, tokens: &Tokens) -> Result<PlaysPage, ApiError> {
        let mut url = join(&self.inner.api_url, &["me", "player", "recently-played"]);
        url.query_pairs_mut().append_pair("limit", &PLAYS_PAGE_LEN.to_string());
        let call = Call { url, what: "GET /me/player/recently-played".into(), asked: Asked::Endpoint };
        let body = self.get(tokens, &call).await?;
        let page = decoded(body, plays::page).await.map_err(|error| undecodable(&call.what, error))?;
        trace!(what = call.what, num_slots = page.slots.len(), "page received");
        Ok(page)
    }

    /// The application that it sends requests for.
    pub fn client_id(&self) -> &str {
        &self.inner.token_endpoint.client_id
    }

    /// Requests sent to the Web API so far, refused ones included.
    pub fn num_requests(&self) -> u64 {
        self.inner.num_requests.load(Ordering::Relaxed)
    }

    /// Requests sent to the token endpoint so far.
    pub fn num_token_requests(&self) -> u64 {
        self.inner.token_endpoint.num_requests()
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
                let mut url = join(&self.inner.api_url, EntityType::Artists.facts().path);
                url.query_pairs_mut().append_pair("type", "artist").append_pair("limit", &limit);
                if let Some(after) = after {
                    url.query_pairs_mut().append_pair("after", after);
                }
                let after = after.as_deref().map_or(String::new(), |after| format!(" after {after}"));
                Ok(Call { url, what: format!("GET /me/following{after}"), asked: Asked::Endpoint })
            }
            PageRequest::PlaylistItems { playlist_id, offset, .. } => {
                // Segments that a URL cannot hold as such: they would change the path.
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
        let bearer = tokens.bearer(&self.inner.token_endpoint, None).await?;
        let response = self.send(call, bearer.header.clone()).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let renewed = tokens.renew_refused(&self.inner.token_endpoint, &bearer).await;
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
}

/// Checks a base URL: requests to it carry tokens.
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
