//! The control API under `/_sandbox/`: looks behind the scenes, edits the library, sets faults and changes settings
//! while the sandbox runs. Requests are parsed strictly; errors are reported as `{"error": …}`.
//!
//! | request | does |
//! |---|---|
//! | `GET users` | who can sign in, each with a refresh token |
//! | `GET state` | the library as it truly is |
//! | `POST history`, `GET history` | keeps the library as it is after each change, from now on; returns what was kept |
//! | `GET data-export` | the extended streaming history of everything ever played, as Spotify exports it on request |
//! | `GET catalogue` | everything that can be listened to, saved or not, with all details |
//! | `GET stats`, `POST stats/reset` | counts; resets them, and the log |
//! | `GET log` | the requests |
//! | `POST edit` | changes the library |
//! | `POST rules`, `GET rules` | replaces the fault rules; how often each matched |
//! | `POST config`, `GET config` | changes settings; the settings in force |
//! | `POST share` | puts one's playlist into another person's list, `{"index":0,"with":1}`; with `"collaborative":true` that person can read it too |
//! | `POST library` | replaces the library by one given in full |
//!
//! `state`, `history`, `data-export`, `catalogue`, `edit` and `library` are about the first person, or with `?user=N`,
//! counted from 0, about another.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::applied::Applied;
use super::config::{Dialect, check_latency, check_span};
use super::consent::Consent;
use super::edits::Edit;
use super::explicit::ExplicitLibrary;
use super::faults::{Rule, RuleCount, Rules};
use super::handed_out::streaming_history;
use super::http::{Moment, Query, Reply, Request};
use super::limits::Origin;
use super::log::WINDOW_DEFAULT;
use super::service::Service;
use super::shares::Share;
use super::truth::{CatalogueTruth, Truth};

/// Answers a request to the control API; `path` is the part after `/_sandbox/`.
pub fn answer(service: &mut Service, path: &str, request: &Request<'_>, now: Moment) -> Reply {
    let query = Query::parse(request.query.as_bytes());
    let user = query.get("user").map_or(Ok(0), str::parse::<usize>);
    match user {
        Ok(user) if user < service.refresh_tokens.len() => {
            service.on_behalf_of(user, |service| answer_for_one(service, path, request, now))
        }
        Ok(_) | Err(_) => error(400, "there is no such person"),
    }
}

/// The person that a request is about.
fn query_user(request: &Request<'_>) -> usize {
    let query = Query::parse(request.query.as_bytes());
    query.get("user").and_then(|user| user.parse().ok()).unwrap_or(0)
}

fn answer_for_one(service: &mut Service, path: &str, request: &Request<'_>, now: Moment) -> Reply {
    let result = match (request.method, path) {
        ("GET", "users") => Ok(Reply::json(200, &users(service))),
        ("GET", "state") => Ok(Reply::json(200, &Truth::of(&service.library, service.dialect))),
        ("GET", "history") => Ok(Reply::json(200, &service.library.history)),
        ("GET", "data-export") => Ok(Reply::json(200, &streaming_history(&service.library))),
        ("GET", "catalogue") => Ok(Reply::json(200, &CatalogueTruth::of(&service.library, service.dialect))),
        ("GET", "stats") => Ok(Reply::json(200, service.journal.stats())),
        ("GET", "log") => Ok(Reply::json(200, service.journal.entries())),
        ("GET", "rules") => Ok(Reply::json(200, &RuleCounts { rules: service.rules.counts() })),
        ("GET", "config") => Ok(Reply::json(200, &Settings::of(service))),
        ("POST", "stats/reset") => {
            service.journal.reset();
            Ok(Reply::json(200, service.journal.stats()))
        }
        ("POST", "history") => {
            service.begin_history();
            Ok(Reply::json(200, &service.library.history))
        }
        ("POST", "edit") => edit(service, request, now),
        ("POST", "rules") => set_rules(service, request),
        ("POST", "config") => change_settings(service, request, now),
        ("POST", "share") => share(service, query_user(request), request),
        ("POST", "library") => set_library(service, request, now),
        (
            _,
            "users" | "state" | "history" | "data-export" | "catalogue" | "stats" | "log" | "rules" | "config"
            | "stats/reset" | "edit" | "library" | "share",
        ) => {
            return error(405, &format!("{} is not possible here", request.method));
        }
        _ => return error(404, &format!("there is no /_sandbox/{path}")),
    };
    result.unwrap_or_else(|message| error(400, &message))
}

#[derive(Serialize)]
struct ErrorReply<'a> {
    error: &'a str,
}

fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, &ErrorReply { error: message })
}

fn read<T: DeserializeOwned>(request: &Request<'_>) -> Result<T, String> {
    serde_json::from_slice(request.body).map_err(|error| error.to_string())
}

#[derive(Serialize)]
struct UserWire<'a> {
    id: &'a str,
    account_id: &'a str,
    display_name: &'a str,
    refresh_token: &'a str,
}

fn users(service: &Service) -> Vec<UserWire<'_>> {
    let users = service.accounts().zip(&service.refresh_tokens);
    users
        .map(|(account, refresh_token)| UserWire {
            id: &account.id,
            account_id: &account.account_id,
            display_name: &account.display_name,
            refresh_token,
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edits {
    edits: Vec<Edit>,
}

#[derive(Serialize)]
struct EditsDone {
    applied: Vec<Applied>,
}

fn edit(service: &mut Service, request: &Request<'_>, now: Moment) -> Result<Reply, String> {
    let Edits { edits } = read(request)?;
    let applied = service.edit(&edits, now)?;
    Ok(Reply::json(200, &EditsDone { applied }))
}

#[derive(Serialize)]
struct RuleCounts {
    rules: Vec<RuleCount>,
}

fn set_rules(service: &mut Service, request: &Request<'_>) -> Result<Reply, String> {
    let rules = Rules::new(read::<Vec<Rule>>(request)?)?;
    if rules.need_history() && !service.has_history() {
        return Err("nothing is known of the past: `POST history` first".to_owned());
    }
    service.rules = rules;
    service.limiter.end_pauses(Origin::Rule);
    Ok(Reply::json(200, &RuleCounts { rules: service.rules.counts() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareWith {
    index: usize,
    with: usize,
    #[serde(default)]
    collaborative: bool,
}

fn share(service: &mut Service, of: usize, request: &Request<'_>) -> Result<Reply, String> {
    let ShareWith { index, with, collaborative } = read(request)?;
    if with >= service.refresh_tokens.len() {
        return Err("there is no such person".to_owned());
    }
    let playlist = service.library.playlists.get_mut(index).and_then(Option::as_mut);
    let playlist = playlist.ok_or_else(|| format!("there is no playlist at {index}"))?;
    playlist.is_collaborative = collaborative;
    let share = Share { of, with, playlist_id: playlist.id.clone() };
    service.share(share)?;
    Ok(Reply::json(200, &EditsDone { applied: Vec::new() }))
}

fn set_library(service: &mut Service, request: &Request<'_>, now: Moment) -> Result<Reply, String> {
    let spec: ExplicitLibrary = read(request)?;
    service.library = spec.build(&service.library, now.utc)?;
    Ok(Reply::json(200, &Truth::of(&service.library, service.dialect)))
}

/// Settings to change; those not named stay.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    latency_ms: Option<u64>,
    /// Null lifts the limit.
    #[serde(default, deserialize_with = "named")]
    rate: Option<Option<Rate>>,
    /// Replaces all quotas.
    quota: Option<BTreeMap<String, u32>>,
    quota_retry_after_s: Option<u64>,
    access_token_ttl_ms: Option<u64>,
    rotate_refresh_token: Option<bool>,
    dialect: Option<Dialect>,
    consent: Option<Consent>,
    /// The person who agrees without being asked.
    consent_user: Option<usize>,
    /// Permissions that are granted if they are requested; null grants everything requested.
    #[serde(default, deserialize_with = "named")]
    granted_scopes: Option<Option<String>>,
    redirect_uris: Option<Vec<String>>,
    #[serde(default)]
    revoke_refresh_token: bool,
    /// The same, for one person.
    revoke_refresh_token_of: Option<usize>,
    #[serde(default)]
    expire_access_tokens: bool,
    #[serde(default)]
    clear_limits: bool,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rate {
    max: u32,
    window_ms: u64,
}

/// Distinguishes null from a missing field.
fn named<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// The settings in force.
#[derive(Serialize)]
struct Settings<'a> {
    latency_ms: u128,
    rate: Option<Rate>,
    quota: &'a BTreeMap<String, u32>,
    quota_retry_after_s: u64,
    access_token_ttl_ms: u128,
    rotate_refresh_token: bool,
    consent: Consent,
    consent_user: usize,
    granted_scopes: Option<&'a str>,
    redirect_uris: &'a [String],
    dialect: Dialect,
}

impl Settings<'_> {
    fn of(service: &Service) -> Settings<'_> {
        let (limits, manners) = (service.limiter.limits(), &service.oauth.manners);
        let as_ms = |window: Duration| u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        Settings {
            latency_ms: service.latency.as_millis(),
            rate: limits.rate.map(|(max, window)| Rate { max, window_ms: as_ms(window) }),
            quota: &limits.quota,
            quota_retry_after_s: limits.quota_retry_after_s,
            access_token_ttl_ms: service.oauth.access_token_ttl.as_millis(),
            rotate_refresh_token: service.oauth.rotates,
            consent: manners.consent,
            consent_user: manners.user,
            granted_scopes: manners.granted_scopes.as_deref(),
            redirect_uris: &manners.redirect_uris,
            dialect: service.dialect,
        }
    }
}

/// Checks all changes before it makes any.
fn change_settings(service: &mut Service, request: &Request<'_>, now: Moment) -> Result<Reply, String> {
    let changes: Changes = read(request)?;
    let mut limits = service.limiter.limits().clone();
    if let Some(rate) = changes.rate {
        limits.rate = rate.map(|rate| (rate.max, Duration::from_millis(rate.window_ms)));
    }
    if let Some(quota) = changes.quota.clone() {
        limits.quota = quota;
    }
    limits.quota_retry_after_s = changes.quota_retry_after_s.unwrap_or(limits.quota_retry_after_s);
    limits.check()?;
    let (latency, ttl) = (changes.latency_ms.map(Duration::from_millis), changes.access_token_ttl_ms);
    let ttl = ttl.map(Duration::from_millis);
    latency.map_or(Ok(()), check_latency)?;
    let users = [changes.consent_user, changes.revoke_refresh_token_of];
    if users.into_iter().flatten().any(|user| user >= service.refresh_tokens.len()) {
        return Err("there is no such person".to_owned());
    }
    ttl.map_or(Ok(()), |ttl| check_span("the life of an access token", ttl))?;

    if changes.rate.is_some() || changes.quota.is_some() || changes.quota_retry_after_s.is_some() {
        service.journal.set_window(limits.rate.map_or(WINDOW_DEFAULT, |(_, window)| window));
        service.limiter.set_limits(limits);
    }
    service.latency = latency.unwrap_or(service.latency);
    service.oauth.access_token_ttl = ttl.unwrap_or(service.oauth.access_token_ttl);
    service.oauth.rotates = changes.rotate_refresh_token.unwrap_or(service.oauth.rotates);
    service.dialect = changes.dialect.unwrap_or(service.dialect);
    let manners = &mut service.oauth.manners;
    manners.consent = changes.consent.unwrap_or(manners.consent);
    manners.user = changes.consent_user.unwrap_or(manners.user);
    if let Some(granted) = changes.granted_scopes {
        manners.granted_scopes = granted;
    }
    if let Some(redirect_uris) = changes.redirect_uris {
        manners.redirect_uris = redirect_uris;
    }
    if changes.revoke_refresh_token || changes.revoke_refresh_token_of.is_some() {
        service.oauth.revoke_refresh_tokens(changes.revoke_refresh_token_of);
    }
    if changes.expire_access_tokens {
        service.oauth.expire_access_tokens(now.instant);
    }
    if changes.clear_limits {
        service.limiter.start_over();
    }
    Ok(Reply::json(200, &Settings::of(service)))
}
