//! What happened lately, for charts: `GET /api/v1/activity`.

use super::{Problem, WebState, params::Params, problem::ReadProblems};
use crate::{
    clock,
    metrics::PauseSpan,
    model::{Family, LedgerEntry},
    store::browse::{DayOfPlays, PauseEntry, RunEntry},
};
use actix_web::{
    HttpRequest,
    web::{Data, Json, ServiceConfig, get, resource},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::{collections::BTreeMap, time::Instant};
use utoipa::ToSchema;

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/activity").route(get().to(activity)));
}

/// Restarts that are shown.
const RESTARTS_MAX: usize = 50;

/// What happened lately.
#[derive(Debug, Serialize, ToSchema)]
pub struct Activity {
    /// Requests of the last 24 hours, in stretches of five minutes; those without any are left out.
    pub requests: Vec<StretchEntry>,
    /// Our own daily ceilings, by endpoint family; those without one are left out.
    pub ceilings: BTreeMap<String, u32>,
    /// Of the last 24 hours, over or not: those since `pauses_since`, up to 288, and of those before it the last one of
    /// each family, where that is known still. Of others `refusals` tell.
    pub pauses: Vec<PauseEntry>,
    /// When this process began.
    pub pauses_since: DateTime<Utc>,
    /// Of the last 30 days.
    pub plays_per_day: Vec<DayOfPlays>,
    /// The last 100, newest first.
    pub runs: Vec<RunEntry>,
    /// Of this process, newest first.
    pub restarts: Vec<RestartEntry>,
}

/// Requests of a family in five minutes.
#[derive(Debug, Serialize, ToSchema)]
pub struct StretchEntry {
    pub family: Family,
    pub started_at: DateTime<Utc>,
    /// Refused ones included.
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

/// What happened lately.
#[utoipa::path(
    get, path = "/api/v1/activity", tag = "history",
    params(("account" = Option<i64>, Query, description = "the number of an account; the first one where it is left out")),
    responses((status = 200, body = Activity), ReadProblems)
)]
pub async fn activity(state: Data<WebState>, request: HttpRequest) -> Result<Json<Activity>, Problem> {
    let params = Params::read(&request, &["account"])?;
    let account = state.account(params.account()?).await?;
    let (now, steady) = (clock::now(), clock::steady());
    let stretch = |entry: LedgerEntry| {
        let LedgerEntry { family, started_at, requests, refusals } = entry;
        StretchEntry { family, started_at, requests, refusals }
    };
    let ledger = state.store.load_ledger(now).await?;
    let lately = ledger.into_iter().filter(|entry| entry.started_at > now - TimeDelta::hours(24) && entry.requests > 0);
    let ceiling = |family: &Family| Some((family.as_str().to_owned(), state.ceilings.of(*family)?));
    let all = state.ceilings.all.map(|all| (Family::Application.as_str().to_owned(), all));
    let seen = seen(state.metrics.pauses_of_last_day(steady), steady, now);
    let restarts = state.progress.borrow().restarts.clone();
    let restart =
        |restart: crate::actors::Restart| RestartEntry { at: restart.at, actor: restart.actor, reason: restart.reason };
    Ok(Json(Activity {
        requests: lately.map(stretch).collect(),
        ceilings: Family::ALL.iter().filter_map(ceiling).chain(all).collect(),
        pauses: pauses(seen, state.store.latest_pauses().await?, now),
        pauses_since: state.status_cache.about().started_at,
        plays_per_day: state.store.plays_per_day(account, now).await?,
        runs: state.store.latest_runs(account).await?,
        restarts: restarts.into_iter().rev().take(RESTARTS_MAX).map(restart).collect(),
    }))
}

/// On the calendar of whoever looks.
fn seen(spans: Vec<PauseSpan>, steady: Instant, now: DateTime<Utc>) -> Vec<PauseEntry> {
    let on_calendar = |at: Instant| match at.checked_duration_since(steady) {
        Some(left) => now + left,
        None => now - (steady - at),
    };
    let entry = |PauseSpan { family, class, from, until }: PauseSpan| PauseEntry {
        family,
        class,
        from: on_calendar(from),
        until: on_calendar(until),
    };
    spans.into_iter().map(entry).collect()
}

/// A pause that is read back has been to the database in calendar time, and so ends a moment earlier or later.
const SAME_WITHIN: TimeDelta = TimeDelta::seconds(1);

/// What this process has seen, and of earlier ones what the database tells. A pause that this process found there at its
/// start is one with what it saw of it.
fn pauses(mut seen: Vec<PauseEntry>, noted: Vec<PauseEntry>, now: DateTime<Utc>) -> Vec<PauseEntry> {
    for noted in noted {
        let is_same = |seen: &&mut PauseEntry| {
            (seen.family, seen.class) == (noted.family, noted.class)
                && noted.from <= seen.until + SAME_WITHIN
                && seen.from <= noted.until + SAME_WITHIN
        };
        match seen.iter_mut().find(is_same) {
            Some(seen) => seen.from = seen.from.min(noted.from),
            None => seen.push(noted),
        }
    }
    seen.retain(|pause| pause.until > now - TimeDelta::hours(24));
    seen.sort_by_key(|pause| pause.from);
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LimitClass;
    use std::time::Duration;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn pause(family: Family, from: i64, until: i64) -> PauseEntry {
        PauseEntry { family, class: LimitClass::Quota, from: at(from), until: at(until) }
    }

    #[test]
    fn what_was_seen_and_what_was_noted_are_told_once_each() {
        let seen =
            vec![pause(Family::Tracks, 60, 90), pause(Family::Tracks, 200, 210), pause(Family::Albums, 100, 110)];
        let noted = vec![pause(Family::Tracks, 30, 90), pause(Family::Albums, 10, 20), pause(Family::Player, 0, 50)];
        let told = pauses(seen.clone(), noted.clone(), at(300));
        let expected =
            [noted[2].clone(), noted[1].clone(), pause(Family::Tracks, 30, 90), seen[2].clone(), seen[1].clone()];
        assert_eq!(told, expected);
        assert_eq!(pauses(seen, noted, at(24 * 60 + 100)), expected[3..]);
    }

    #[test]
    fn a_pause_stands_where_it_was_on_the_calendar() {
        let (began, minute) = (Instant::now(), Duration::from_secs(60));
        let (family, class) = (Family::Tracks, LimitClass::Quota);
        let span = PauseSpan { family, class, from: began, until: began + 30 * minute };
        for looked_at in [10, 50] {
            let told = seen(vec![span], began + looked_at * minute, at(i64::from(looked_at)));
            assert_eq!(told, [pause(Family::Tracks, 0, 30)]);
        }
    }
}
