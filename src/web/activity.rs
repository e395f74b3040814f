//! Recent events, for charts: `GET /api/v1/activity`.

use super::{Problem, WebState, params::Params, problem::ReadProblems};
use crate::{
    clock,
    model::{Family, LedgerEntry},
    store::browse::{DayOfPlays, PauseEntry, RunEntry},
};
use actix_web::{
    HttpRequest,
    web::{Data, Json, ServiceConfig, get, resource},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/activity").route(get().to(activity)));
}

/// Restarts that are shown.
const RESTARTS_MAX: usize = 50;

/// Recent events.
#[derive(Debug, Serialize, ToSchema)]
pub struct Activity {
    /// Requests of the last 24 hours, in stretches of five minutes; those without any are left out.
    pub requests: Vec<StretchEntry>,
    /// Our own daily ceilings, by endpoint family; those without one are left out.
    pub ceilings: BTreeMap<String, u32>,
    /// Those of the last 24 hours, over or not, up to 288, from all processes on the database.
    pub pauses: Vec<PauseEntry>,
    /// When this process started.
    pub pauses_since: DateTime<Utc>,
    /// The last 30 days.
    pub plays_per_day: Vec<DayOfPlays>,
    /// The last 100, newest first.
    pub runs: Vec<RunEntry>,
    /// Those of this process, newest first.
    pub restarts: Vec<RestartEntry>,
}

/// Requests of a family in five minutes.
#[derive(Debug, Serialize, ToSchema)]
pub struct StretchEntry {
    pub family: Family,
    pub started_at: DateTime<Utc>,
    /// Including refused ones.
    pub requests: u32,
    /// Answered 429.
    pub refusals: u32,
}

/// An actor panicked.
#[derive(Debug, Serialize, ToSchema)]
pub struct RestartEntry {
    pub at: DateTime<Utc>,
    pub actor: String,
    pub reason: String,
}

/// Recent events.
#[utoipa::path(
    get, path = "/api/v1/activity", tag = "history",
    params(("account" = Option<i64>, Query, description = "the number of an account; the first one where it is left out")),
    responses((status = 200, body = Activity), ReadProblems)
)]
pub async fn activity(state: Data<WebState>, request: HttpRequest) -> Result<Json<Activity>, Problem> {
    let params = Params::read(&request, &["account"])?;
    let account = state.account(params.account()?).await?;
    let now = clock::now();
    let day_ago = now - TimeDelta::hours(24);
    let stretch = |entry: LedgerEntry| {
        let LedgerEntry { family, started_at, requests, refusals } = entry;
        StretchEntry { family, started_at, requests, refusals }
    };
    let ledger = state.store.load_ledger(now).await?;
    let lately = ledger.into_iter().filter(|entry| entry.started_at > day_ago && entry.requests > 0);
    let ceiling = |family: &Family| Some((family.as_str().to_owned(), state.ceilings.of(*family)?));
    let all = state.ceilings.all.map(|all| (Family::Application.as_str().to_owned(), all));
    let restarts = state.progress.borrow().restarts.clone();
    let restart =
        |restart: crate::actors::Restart| RestartEntry { at: restart.at, actor: restart.actor, reason: restart.reason };
    Ok(Json(Activity {
        requests: lately.map(stretch).collect(),
        ceilings: Family::ALL.iter().filter_map(ceiling).chain(all).collect(),
        pauses: state.store.cooldowns_since(day_ago).await?,
        pauses_since: state.status_cache.about().started_at,
        plays_per_day: state.store.plays_per_day(account, now).await?,
        runs: state.store.latest_runs(account).await?,
        restarts: restarts.into_iter().rev().take(RESTARTS_MAX).map(restart).collect(),
    }))
}
