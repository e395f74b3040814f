//! What was heard most, and when: `GET /api/v1/listening/most`, `GET /api/v1/listening/when`.

use super::{Problem, WebState, openapi::ReadProblems, params::Params};
use crate::{
    clock,
    model::stretches::{Stretch, StretchHeard, by_stretch},
    store::browse::{Heard, HeardEntry, Span},
};
use actix_web::{
    HttpRequest,
    web::{Data, Json, ServiceConfig, get, resource},
};
use chrono::{DateTime, FixedOffset, TimeDelta};
use serde::Serialize;
use utoipa::ToSchema;

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/listening/most").route(get().to(most)));
    cfg.service(resource("/api/v1/listening/when").route(get().to(when)));
}

/// Farthest that a time zone is from UTC, in hours.
const OFFSET_MAX: i32 = 18;

/// What was heard most.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeardMost {
    pub items: Vec<HeardEntry>,
}

/// When how much was heard.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeardWhen {
    /// The oldest first; stretches of silence are left out.
    pub items: Vec<StretchHeard>,
}

/// What was heard most, by time: once each, whether Spotify's API or a data export tells of it.
#[utoipa::path(
    get, path = "/api/v1/listening/most", tag = "history",
    params(
        ("by" = Option<String>, Query, description = "artist, track, album or show; artist where it is left out"),
        ("since" = Option<DateTime<chrono::Utc>>, Query, description = "a moment; all time where it is left out"),
        ("until" = Option<DateTime<chrono::Utc>>, Query, description = "a moment, itself left out"),
        ("limit" = Option<usize>, Query, description = "most rows", minimum = 1, maximum = 200),
        ("account" = Option<i64>, Query, description = "the number of an account; the first one where it is left out"),
    ),
    responses((status = 200, body = HeardMost), ReadProblems)
)]
pub async fn most(state: Data<WebState>, request: HttpRequest) -> Result<Json<HeardMost>, Problem> {
    let params = Params::read(&request, &["by", "since", "until", "limit", "account"])?;
    let choices =
        [("artist", Heard::Artists), ("track", Heard::Tracks), ("album", Heard::Albums), ("show", Heard::Shows)];
    let (what, limit, span) = (params.choice("by", &choices)?, params.limit()?, span(&params)?);
    let account = state.account(params.account()?).await?;
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    Ok(Json(HeardMost { items: state.store.heard_most(account, what, span, limit).await? }))
}

/// How much was heard by day, week, month, year, or hour of the day.
#[utoipa::path(
    get, path = "/api/v1/listening/when", tag = "history",
    params(
        ("by" = Option<String>, Query, description = "day, week, month, year or hour; day where it is left out"),
        ("since" = Option<DateTime<chrono::Utc>>, Query, description = "a moment; all time where it is left out"),
        ("until" = Option<DateTime<chrono::Utc>>, Query, description = "a moment, itself left out"),
        ("offset" = Option<String>, Query, description = "how far the clocks there are ahead of UTC: 01:00, or -05:30", max_length = 6),
        ("account" = Option<i64>, Query, description = "the number of an account; the first one where it is left out"),
    ),
    responses((status = 200, body = HeardWhen), ReadProblems)
)]
pub async fn when(state: Data<WebState>, request: HttpRequest) -> Result<Json<HeardWhen>, Problem> {
    let params = Params::read(&request, &["by", "since", "until", "offset", "account"])?;
    let choices = [
        ("day", Stretch::Day),
        ("week", Stretch::Week),
        ("month", Stretch::Month),
        ("year", Stretch::Year),
        ("hour", Stretch::Hour),
    ];
    let (stretch, span) = (params.choice("by", &choices)?, span(&params)?);
    let zone = match params.get("offset") {
        None => FixedOffset::east_opt(0),
        Some(word) => zone(word),
    };
    let zone = zone.ok_or_else(|| Problem::bad_request("offset: hours and minutes such as 01:00 or -05:30"))?;
    let account = state.account(params.account()?).await?;
    let moments = state.store.heard_when(account, span).await?;
    let moments = moments.into_iter().map(|moment| (moment.at, moment.plays, moment.ms));
    Ok(Json(HeardWhen { items: by_stretch(moments, stretch, &zone) }))
}

/// `01:00`, `+01:00`, of which the sign may have become a space on its way, or `-05:30`.
fn zone(word: &str) -> Option<FixedOffset> {
    let (is_behind, clock) = match word.strip_prefix('-') {
        Some(clock) => (true, clock),
        None => (false, word.strip_prefix(['+', ' ']).unwrap_or(word)),
    };
    let (hours, minutes) = clock.split_once(':')?;
    let number = |digits: &str, most: i32| {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<i32>().ok().filter(|number| is_number && *number <= most)
    };
    let seconds = number(hours, OFFSET_MAX)? * 3600 + number(minutes, 59)? * 60;
    FixedOffset::east_opt(if is_behind { -seconds } else { seconds })
}

fn span(params: &Params) -> Result<Span, Problem> {
    let since = params.moment("since")?.unwrap_or(DateTime::UNIX_EPOCH);
    let until = params.moment("until")?.unwrap_or_else(|| clock::now() + TimeDelta::days(1));
    Ok(Span { since, until })
}
