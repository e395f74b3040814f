//! The tokens of one account, refreshed by one caller for all.
//!
//! A refresh token is the one thing that a sync cannot recover by itself, so it must never be lost: a new one is in
//! memory the moment it arrives, stored before the access token that came with it is used, and the request that fetches
//! it runs to its end even if the caller has gone away.
//!
//! Another process may hold the same tokens, and a person may sign out, or in again, while this one runs. So the stored
//! tokens are only replaced if they are what this process believes them to be, and a refresh token that Spotify calls
//! void is first compared with the stored one: another process may have exchanged it. Spotify has called valid tokens
//! void. So the token is sent once more, minutes later, and only then the sign-in is over. Both are noted in the vault,
//! so that no later process asks sooner, or again.

use super::{
    error::ApiError,
    token_endpoint::{NotRenewed, TokenEndpoint},
    token_rest::{TokenRest, Verdict},
    vault::{Kept, StoredTokens, TokenVault, is_token},
    wire::TokenWire,
};
use crate::model::{FailureOf, TokenFailure};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use std::{
    fmt,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::{Instrument, debug};

/// How long before its end an access token is renewed; a quarter of its lifetime if that is shorter.
const RENEW_BEFORE: TimeDelta = TimeDelta::seconds(60);

/// Lifetime of an access token if the answer does not say.
const LIFE_DEFAULT: TimeDelta = TimeDelta::hours(1);

/// Longest lifetime that is believed.
const LIFE_MAX: TimeDelta = TimeDelta::days(30);

/// How often one caller takes over tokens stored by others. Once is normal; more is a conflict.
const ADOPTIONS_MAX: u32 = 2;

/// Hands out the access token of one account. Clones share it.
#[derive(Clone)]
pub struct Tokens {
    inner: Arc<Inner>,
}

struct Inner {
    vault: Arc<dyn TokenVault>,
    now: fn() -> DateTime<Utc>,
    /// Completed refreshes, successful or not.
    num_refreshes: AtomicU64,
    /// A bearer that replaced a refused one and has not been accepted yet.
    doubted: std::sync::Mutex<Option<Doubted>>,
    /// Held while the tokens are being refreshed or stored.
    state: Arc<Mutex<State>>,
}

struct State {
    stored: StoredTokens,
    /// The refresh token that the vault holds, as far as is known.
    known: SecretString,
    bearer: Option<Bearer>,
    renew_at: Option<DateTime<Utc>>,
    /// Whether `stored` has not reached the vault yet.
    is_unsaved: bool,
    /// When these tokens may be renewed again. Rests of the whole endpoint are kept by the client.
    rest: TokenRest,
    /// How the sign-in ended.
    over: Option<ApiError>,
    /// A refresh token that was called void, until it is known whether the vault has another.
    void: Option<Void>,
    /// The bearer that was refused last: while there is no new one, it is not sent again for a while.
    refused: Option<Doubted>,
}

/// Identified by its serial.
#[derive(Clone, Copy)]
struct Doubted {
    serial: u64,
    since: Instant,
}

struct Void {
    refresh_token: SecretString,
    said: String,
    error: ApiError,
}

/// An access token, ready to be sent.
#[derive(Clone)]
pub(super) struct Bearer {
    pub header: HeaderValue,
    token: SecretString,
    /// The refresh that it came from: shows a refused caller whether another one has renewed it since.
    serial: u64,
}

impl Bearer {
    fn new(token: &SecretString, serial: u64) -> Option<Bearer> {
        if !is_token(token.expose_secret()) {
            return None;
        }
        let mut header = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).ok()?;
        header.set_sensitive(true);
        Some(Bearer { header, token: token.clone(), serial })
    }

    pub(super) fn expose(&self) -> &str {
        self.token.expose_secret()
    }
}

impl Tokens {
    /// `now` is the clock for expiry.
    pub fn new(stored: StoredTokens, vault: Arc<dyn TokenVault>, now: fn() -> DateTime<Utc>) -> Tokens {
        let state = State {
            bearer: stored.access_token.as_ref().and_then(|token| Bearer::new(token, 0)),
            renew_at: renew_at(&stored),
            known: stored.refresh_token.clone(),
            rest: TokenRest::noted(stored.trouble.as_ref(), Instant::now(), now()),
            stored,
            is_unsaved: false,
            over: None,
            void: None,
            refused: None,
        };
        let state = Arc::new(Mutex::new(state));
        Tokens {
            inner: Arc::new(Inner {
                vault,
                now,
                num_refreshes: AtomicU64::new(0),
                doubted: std::sync::Mutex::default(),
                state,
            }),
        }
    }

    /// The tokens as they are now, after any refresh under way.
    pub async fn snapshot(&self) -> StoredTokens {
        self.inner.state.lock().await.stored.clone()
    }

    /// Takes in that a 401 came back for `bearer`. Returns whether another try is worth it: not for a bearer that has
    /// itself just replaced a refused one. Such refusals have been seen to last for minutes, and to pass.
    pub(super) async fn renew_refused(&self, endpoint: &Arc<TokenEndpoint>, bearer: &Bearer) -> Result<bool, ApiError> {
        let again_after = endpoint.rests.doubt;
        if self.doubted().is_some_and(|it| it.serial == bearer.serial && it.since.elapsed() < again_after) {
            return Ok(false);
        }
        let renewed = self.bearer(endpoint, Some(bearer)).await?;
        *self.doubted() = Some(Doubted { serial: renewed.serial, since: Instant::now() });
        Ok(true)
    }

    /// Takes in that `bearer` was accepted.
    pub(super) fn handle_accepted(&self, bearer: &Bearer) {
        self.doubted().take_if(|doubted| doubted.serial == bearer.serial);
    }

    fn doubted(&self) -> std::sync::MutexGuard<'_, Option<Doubted>> {
        self.inner.doubted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        (self.inner.now)()
    }

    /// The access token to send, renewed and stored if need be. `refused` is one that a 401 came back for.
    ///
    /// One caller refreshes. Those who wait for it share the outcome: the token, or the wait that follows.
    pub(super) async fn bearer(
        &self,
        endpoint: &Arc<TokenEndpoint>,
        refused: Option<&Bearer>,
    ) -> Result<Bearer, ApiError> {
        let mut state = self.inner.state.clone().lock_owned().await;
        if let Some(refused) =
            refused.filter(|refused| state.bearer.as_ref().is_some_and(|it| it.serial == refused.serial))
        {
            state.refused = Some(Doubted { serial: refused.serial, since: Instant::now() });
        }
        let again_after = endpoint.rests.doubt;
        for _ in 0..=ADOPTIONS_MAX {
            self.settle(endpoint, &mut state).await?;
            if state.usable(self.now(), again_after).is_none() {
                if let Some(over) = &state.over {
                    return Err(over.clone());
                }
                let mut obstacle = rest_left(endpoint, &state);
                if obstacle.is_none() {
                    if self.take_over(&mut state).await? {
                        continue;
                    }
                    let exchanged;
                    (state, exchanged) = self.exchange(endpoint, state).await?;
                    match exchanged {
                        Ok(()) => {}
                        Err(_) if state.void.is_some() => continue,
                        Err((trouble, of)) => {
                            if state.is_unsaved {
                                // A refresh token arrived without an access token.
                                self.save(&mut state).await?;
                            }
                            // If the note is lost, that costs a request after a restart, and nothing else.
                            if let Err(error) = self.inner.vault.note_failure(&state.known, &trouble, of).await {
                                debug!(%error, "the failure of the token endpoint could not be saved");
                            }
                            obstacle = rest_left(endpoint, &state);
                        }
                    }
                }
                if let Some(obstacle) = obstacle {
                    // The old token is used until it expires.
                    return state.lasting(self.now(), again_after).cloned().ok_or(obstacle);
                }
            }
            if !state.is_unsaved || self.save(&mut state).await? == Kept::Stored {
                return state.bearer.clone().ok_or_else(unusable_grant);
            }
        }
        self.settle(endpoint, &mut state).await?;
        Err(state.over.clone().or_else(|| rest_left(endpoint, &state)).unwrap_or_else(|| ApiError::NoToken {
            left: endpoint.rests.first,
            is_doubted: false,
            message: "the stored tokens keep changing".into(),
        }))
    }

    /// Finds out what a void refresh token means: another process has exchanged it, Spotify is wrong, or the sign-in is
    /// over.
    async fn settle(&self, endpoint: &Arc<TokenEndpoint>, state: &mut State) -> Result<(), ApiError> {
        let Some(Void { refresh_token, said, error }) = &state.void else { return Ok(()) };
        let (vault, now) = (&self.inner.vault, self.now());
        match vault.load().await? {
            Some(theirs) if theirs.refresh_token.expose_secret() != refresh_token.expose_secret() => {
                self.adopt(state, theirs);
            }
            Some(theirs) if vault.is_lasting() => {
                let rests = &endpoint.rests;
                match rests.judge_void(theirs.trouble.and_then(|it| it.doubted_at), now) {
                    Verdict::Confirmed => {
                        vault.note_refused(refresh_token, said).await?;
                        state.over = Some(error.clone());
                    }
                    Verdict::Doubted { since } => {
                        let why = format!("Spotify rejects the refresh token as invalid ({said})");
                        let mut rest = TokenRest::default();
                        let trouble = rest.handle_doubt(why, since, rests, Instant::now(), now);
                        vault.note_failure(refresh_token, &trouble, FailureOf::Grant).await?;
                        state.rest = rest;
                    }
                }
            }
            Some(_) | None => {
                vault.note_refused(refresh_token, said).await?;
                state.over = Some(error.clone());
            }
        }
        state.void = None;
        Ok(())
    }

    /// Looks whether another process has exchanged the refresh token meanwhile: then it is used up, and theirs count.
    async fn take_over(&self, state: &mut State) -> Result<bool, ApiError> {
        if state.is_unsaved {
            return Ok(false);
        }
        let theirs = self.inner.vault.load_newer(&state.known).await?;
        let is_newer = theirs.is_some();
        if let Some(theirs) = theirs {
            self.adopt(state, theirs);
        }
        Ok(is_newer)
    }

    /// Stores the tokens, unless others are stored by now: then those are used.
    async fn save(&self, state: &mut State) -> Result<Kept, ApiError> {
        let kept = self.inner.vault.save(&state.known, &state.stored).await?;
        match kept {
            Kept::Stored => {
                state.known = state.stored.refresh_token.clone();
                state.is_unsaved = false;
            }
            Kept::Overtaken => match self.inner.vault.load().await? {
                Some(theirs) => self.adopt(state, theirs),
                None => {
                    let over = ApiError::SignIn(
                        "the account was signed out meanwhile; sign in again with \"segno login\"".into(),
                    );
                    (state.bearer, state.is_unsaved) = (None, false);
                    state.over = Some(over.clone());
                    return Err(over);
                }
            },
        }
        Ok(kept)
    }

    fn adopt(&self, state: &mut State, theirs: StoredTokens) {
        debug!("the stored tokens are newer and are used instead");
        let serial = self.inner.num_refreshes.fetch_add(1, Ordering::AcqRel) + 1;
        state.bearer = theirs.access_token.as_ref().and_then(|token| Bearer::new(token, serial));
        state.renew_at = renew_at(&theirs);
        state.known = theirs.refresh_token.clone();
        state.rest = TokenRest::noted(theirs.trouble.as_ref(), Instant::now(), self.now());
        state.stored = theirs;
        state.is_unsaved = false;
        state.over = None;
    }

    /// Exchanges the refresh token, in a task of its own: if the caller is dropped meanwhile the answer must not be
    /// lost, because the token that was sent may be void by then. The task holds the lock until the answer is in.
    async fn exchange(
        &self,
        endpoint: &Arc<TokenEndpoint>,
        mut state: OwnedMutexGuard<State>,
    ) -> Result<Exchanged, ApiError> {
        let (first, endpoint, inner) = (endpoint.rests.first, endpoint.clone(), self.inner.clone());
        let exchange = async move {
            let answer = endpoint.exchange_refresh_token(&state.stored.refresh_token, (inner.now)()).await;
            let serial = inner.num_refreshes.fetch_add(1, Ordering::AcqRel) + 1;
            let granted = answer.and_then(|grant| {
                state.accept(grant, serial, (inner.now)()).map_err(|error| NotRenewed::Failed {
                    why: error.to_string(),
                    retry_after: None,
                    is_of_the_grant: true,
                })
            });
            let (rests, now, wall) = (&endpoint.rests, Instant::now(), (inner.now)());
            let mut shared = endpoint.rest();
            let result = match granted {
                Ok(()) => {
                    shared.handle_granted();
                    state.rest.handle_granted();
                    Ok(())
                }
                Err(NotRenewed::Failed { why, retry_after, is_of_the_grant: true }) => {
                    Err((state.rest.handle_failure(why, retry_after, rests, now, wall), FailureOf::Grant))
                }
                Err(NotRenewed::Failed { why, retry_after, is_of_the_grant: false }) => {
                    Err((shared.handle_failure(why, retry_after, rests, now, wall), FailureOf::Endpoint))
                }
                Err(NotRenewed::Void { said, error }) => {
                    let why = said.clone();
                    state.void = Some(Void { refresh_token: state.stored.refresh_token.clone(), said, error });
                    Err((TokenFailure { why, retry_at: wall, doubted_at: Some(wall) }, FailureOf::Grant))
                }
            };
            drop(shared);
            (state, result)
        };
        match tokio::spawn(exchange.in_current_span()).await {
            Ok(exchanged) => Ok(exchanged),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(ApiError::NoToken {
                left: first,
                is_doubted: false,
                message: "the token request was cancelled".into(),
            }),
        }
    }
}

/// The state, and why there is no new token.
type Exchanged = (OwnedMutexGuard<State>, Result<(), (TokenFailure, FailureOf)>);

/// Whether the token endpoint must not be asked now, for any account or for these tokens.
fn rest_left(endpoint: &Arc<TokenEndpoint>, state: &State) -> Option<ApiError> {
    let now = Instant::now();
    let shared = endpoint.rest();
    let (left, trouble) = shared.left(now).into_iter().chain(state.rest.left(now)).max_by_key(|(left, _)| *left)?;
    let message = format!("{}; it is asked again at {}", trouble.why, trouble.retry_at.format("%F %T UTC"));
    Some(ApiError::NoToken { left, is_doubted: trouble.doubted_at.is_some(), message })
}

/// For tokens whose full lifetime is no longer known, so the margin is the full one.
fn renew_at(stored: &StoredTokens) -> Option<DateTime<Utc>> {
    stored.expires_at.and_then(|at| at.checked_sub_signed(RENEW_BEFORE))
}

impl State {
    fn usable(&self, now: DateTime<Utc>, again_after: Duration) -> Option<&Bearer> {
        let is_current = self.renew_at.is_some_and(|renew_at| now < renew_at);
        self.bearer.as_ref().filter(|bearer| is_current && !self.is_refused(bearer, again_after))
    }

    /// The access token, until its very end.
    fn lasting(&self, now: DateTime<Utc>, again_after: Duration) -> Option<&Bearer> {
        let is_current = self.stored.expires_at.is_some_and(|expires_at| now < expires_at) && !self.is_unsaved;
        self.bearer.as_ref().filter(|bearer| is_current && !self.is_refused(bearer, again_after))
    }

    /// A refusal may have been wrong, so it counts for a while only.
    fn is_refused(&self, bearer: &Bearer, again_after: Duration) -> bool {
        self.refused.is_some_and(|it| it.serial == bearer.serial && it.since.elapsed() < again_after)
    }

    /// Takes over the grant of the token endpoint. A refresh token that is missing or blank in it stays as it was.
    fn accept(&mut self, grant: TokenWire, serial: u64, now: DateTime<Utc>) -> Result<(), ApiError> {
        let rotated = grant.refresh_token.given().filter(|token| is_token(token));
        debug!(is_rotated = rotated.is_some(), "access token granted");
        if let Some(refresh_token) = rotated {
            // First of all: without it there may be no way back in.
            self.stored.refresh_token = refresh_token.into();
            self.is_unsaved = true;
        }
        let access_token = SecretString::from(grant.access_token.given().unwrap_or_default());
        let bearer = Bearer::new(&access_token, serial).ok_or_else(unusable_grant)?;
        let seconds = grant.expires_in.given().and_then(|seconds| seconds.as_i64());
        let life = seconds.map_or(LIFE_DEFAULT, |seconds| {
            TimeDelta::try_seconds(seconds).unwrap_or(LIFE_MAX).clamp(TimeDelta::seconds(1), LIFE_MAX)
        });
        self.stored.access_token = Some(access_token);
        self.stored.trouble = None;
        self.stored.expires_at = Some(now + life);
        self.stored.scopes = grant.scope.given().or(self.stored.scopes.take());
        self.renew_at = Some(now + life - RENEW_BEFORE.min(life / 4));
        self.bearer = Some(bearer);
        self.is_unsaved = true;
        Ok(())
    }
}

fn unusable_grant() -> ApiError {
    ApiError::malformed("the token request", "holds no usable access token")
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}
