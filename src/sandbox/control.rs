//! The control API under `/_sandbox/`: looks behind the scenes, edits the library, sets faults and changes settings
//! while the sandbox runs. What comes in is read strictly; what is wrong with it is said in `{"error": …}`.
//!
//! | request | does |
//! |---|---|
//! | `GET state` | the library as it truly is |
//! | `GET stats`, `POST stats/reset` | counts, and starting them (and the log) over |
//! | `GET log` | the requests |
//! | `POST edit` | changes the library |
//! | `POST rules`, `GET rules` | replaces the fault rules; how often each came up |
//! | `POST config`, `GET config` | changes settings; the settings in force |
//! | `POST library` | replaces the library by one that is spelled out |

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::config::{Dialect, check_latency, check_span};
use super::edits::{self, Applied, Edit};
use super::explicit::ExplicitLibrary;
use super::faults::{Rule, RuleCount, Rules};
use super::http::{Moment, Reply, Request};
use super::limits::Origin;
use super::log::WINDOW_DEFAULT;
use super::service::Service;
use super::truth::Truth;

/// Answers a request to the control API; `path` is what follows `/_sandbox/`.
pub fn answer(service: &mut Service, path: &str, request: &Request<'_>, now: Moment) -> Reply {
    let result = match (request.method, path) {
        ("GET", "state") => Ok(Reply::json(200, &Truth::of(&service.library, service.dialect))),
        ("GET", "stats") => Ok(Reply::json(200, service.journal.stats())),
        ("GET", "log") => Ok(Reply::json(200, service.journal.entries())),
        ("GET", "rules") => Ok(Reply::json(200, &RuleCounts { rules: service.rules.counts() })),
        ("GET", "config") => Ok(Reply::json(200, &Settings::of(service))),
        ("POST", "stats/reset") => {
            service.journal.reset();
            Ok(Reply::json(200, service.journal.stats()))
        }
        ("POST", "edit") => edit(service, request, now),
        ("POST", "rules") => set_rules(service, request),
        ("POST", "config") => change_settings(service, request, now),
        ("POST", "library") => set_library(service, request, now),
        (_, "state" | "stats" | "log" | "rules" | "config" | "stats/reset" | "edit" | "library") => {
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
    let applied = edits::apply_all(&mut service.library, &edits, now.utc)?;
    Ok(Reply::json(200, &EditsDone { applied }))
}

#[derive(Serialize)]
struct RuleCounts {
    rules: Vec<RuleCount>,
}

fn set_rules(service: &mut Service, request: &Request<'_>) -> Result<Reply, String> {
    let rules: Vec<Rule> = read(request)?;
    service.rules = Rules::new(rules)?;
    service.limiter.end_pauses(Origin::Rule);
    Ok(Reply::json(200, &RuleCounts { rules: service.rules.counts() }))
}

fn set_library(service: &mut Service, request: &Request<'_>, now: Moment) -> Result<Reply, String> {
    let spec: ExplicitLibrary = read(request)?;
    service.library = spec.build(&service.library, now.utc)?;
    Ok(Reply::json(200, &Truth::of(&service.library, service.dialect)))
}

/// Settings to change; what is not named stays.
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
    #[serde(default)]
    revoke_refresh_token: bool,
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

/// Tells a null from nothing.
fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Rate>>, D::Error> {
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
    dialect: Dialect,
}

impl Settings<'_> {
    fn of(service: &Service) -> Settings<'_> {
        let limits = service.limiter.limits();
        let as_ms = |window: Duration| u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        Settings {
            latency_ms: service.latency.as_millis(),
            rate: limits.rate.map(|(max, window)| Rate { max, window_ms: as_ms(window) }),
            quota: &limits.quota,
            quota_retry_after_s: limits.quota_retry_after_s,
            access_token_ttl_ms: service.oauth.access_token_ttl.as_millis(),
            rotate_refresh_token: service.oauth.rotates,
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
    ttl.map_or(Ok(()), |ttl| check_span("the life of an access token", ttl))?;

    if changes.rate.is_some() || changes.quota.is_some() || changes.quota_retry_after_s.is_some() {
        service.journal.set_window(limits.rate.map_or(WINDOW_DEFAULT, |(_, window)| window));
        service.limiter.set_limits(limits);
    }
    service.latency = latency.unwrap_or(service.latency);
    service.oauth.access_token_ttl = ttl.unwrap_or(service.oauth.access_token_ttl);
    service.oauth.rotates = changes.rotate_refresh_token.unwrap_or(service.oauth.rotates);
    service.dialect = changes.dialect.unwrap_or(service.dialect);
    if changes.revoke_refresh_token {
        service.oauth.revoke_refresh_tokens();
    }
    if changes.expire_access_tokens {
        service.oauth.expire_access_tokens(now.instant);
    }
    if changes.clear_limits {
        service.limiter.start_over();
    }
    Ok(Reply::json(200, &Settings::of(service)))
}
