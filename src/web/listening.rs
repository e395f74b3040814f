//! What was heard: `GET /api/v1/listening/...`.

use super::{Problem, WebState, params::Params, problem::ReadProblems};
use crate::{
    clock,
    model::{
        AccountId,
        stretches::{Part, Streak, Stretch, StretchHeard, streaks},
        zone::Zone,
    },
    store::browse::{Heard, HeardEntry, HeardInPlaylist, OneHeard, SavedTrackUnheard, Span},
};
use actix_web::{
    HttpRequest,
    web::{Data, Json, ServiceConfig, get, resource},
};
use chrono::{DateTime, FixedOffset, NaiveDate, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/listening/most").route(get().to(most)));
    cfg.service(resource("/api/v1/listening/when").route(get().to(when)));
    cfg.service(resource("/api/v1/listening/summary").route(get().to(summary)));
    cfg.service(resource("/api/v1/listening/discovered").route(get().to(discovered)));
    cfg.service(resource("/api/v1/listening/one").route(get().to(one)));
    cfg.service(resource("/api/v1/listening/saved-unheard").route(get().to(saved_unheard)));
    cfg.service(resource("/api/v1/listening/heard-unsaved").route(get().to(heard_unsaved)));
}

/// Largest offset of a time zone from UTC, in hours.
const OFFSET_MAX: i32 = 18;

/// Longest name of an artist, album or track that is looked up.
const NAME_MAX: usize = 1000;

const WHAT: [(&str, Heard); 4] =
    [("artist", Heard::Artists), ("track", Heard::Tracks), ("album", Heard::Albums), ("show", Heard::Shows)];

/// What was heard most.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeardMost {
    pub items: Vec<HeardEntry>,
}

/// How much was heard when.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeardWhen {
    /// The time zone that days are counted in.
    pub zone: String,
    /// Oldest first; silent stretches are left out.
    pub items: Vec<StretchHeard>,
}

/// A summary of a span.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListeningSummary {
    pub zone: String,
    /// Those of 30 seconds or more.
    pub plays: u64,
    pub ms: u64,
    pub first_day: Option<NaiveDate>,
    pub last_day: Option<NaiveDate>,
    /// Days on which something was heard.
    pub days: u64,
    pub longest_streak: Option<Streak>,
    /// The last one; it continues while its last day is today or yesterday.
    pub last_streak: Option<Streak>,
}

/// What was heard for the first time.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeardFirst {
    pub zone: String,
    /// How many were discovered, by month; `plays` is their number, and `ms` how long they have been heard since.
    pub months: Vec<StretchHeard>,
    /// Those heard most since.
    pub items: Vec<HeardEntry>,
}

/// One artist, album, track or show.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeardOneDocument {
    #[serde(flatten)]
    pub entry: HeardEntry,
    /// Since when it is saved, or followed.
    pub saved_at: Option<DateTime<Utc>>,
    /// By month of UTC.
    pub months: Vec<StretchHeard>,
    /// Its tracks that were heard most.
    pub tracks: Vec<HeardEntry>,
    /// The albums of an artist.
    pub albums: Vec<HeardEntry>,
    /// The playlists that contain it.
    pub playlists: Vec<HeardInPlaylist>,
}

/// Saved tracks that were never heard.
#[derive(Debug, Serialize, ToSchema)]
pub struct SavedUnheard {
    pub items: Vec<SavedTrackUnheard>,
}

/// What was heard most, by time; a listen that both Spotify's API and a data export contain counts once.
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
    let (what, limit, span) = (params.choice("by", &WHAT)?, limit(&params)?, span(&params)?);
    let account = state.account(params.account()?).await?;
    Ok(Json(HeardMost { items: state.store.heard_most(account, what, span, limit).await? }))
}

/// How much was heard by day, week, month, year, hour of the day, or hour of the week.
#[utoipa::path(
    get, path = "/api/v1/listening/when", tag = "history",
    params(
        ("by" = Option<String>, Query, description = "day, week, month, year, hour or weekhour; day where it is left out"),
        ("since" = Option<DateTime<chrono::Utc>>, Query, description = "a moment; all time where it is left out"),
        ("until" = Option<DateTime<chrono::Utc>>, Query, description = "a moment, itself left out"),
        ("zone" = Option<String>, Query, description = "the time zone of days, such as Europe/Amsterdam; the service's setting, else UTC, where it is left out", max_length = 64),
        ("offset" = Option<String>, Query, description = "instead of a zone, how far the clocks there are ahead of UTC: 01:00, or -05:30", max_length = 6),
        ("account" = Option<i64>, Query, description = "the number of an account; the first one where it is left out"),
    ),
    responses((status = 200, body = HeardWhen), ReadProblems)
)]
pub async fn when(state: Data<WebState>, request: HttpRequest) -> Result<Json<HeardWhen>, Problem> {
    let params = Params::read(&request, &["by", "since", "until", "zone", "offset", "account"])?;
    let choices = [
        ("day", Stretch::Day),
        ("week", Stretch::Week),
        ("month", Stretch::Month),
        ("year", Stretch::Year),
        ("hour", Stretch::Hour),
        ("weekhour", Stretch::WeekHour),
    ];
    let (stretch, span, zone) = (params.choice("by", &choices)?, span(&params)?, zone(&params, &state)?);
    let account = state.account(params.account()?).await?;
    let parts = state.store.heard_when(account, stretch, span, zone).await?;
    Ok(Json(HeardWhen { zone: zone.name(), items: stretch.sum_up(&parts) }))
}

/// How much was heard, on how many days, and how many days in a row.
#[utoipa::path(
    get, path = "/api/v1/listening/summary", tag = "history",
    params(
        ("since" = Option<DateTime<chrono::Utc>>, Query, description = "a moment; all time where it is left out"),
        ("until" = Option<DateTime<chrono::Utc>>, Query, description = "a moment, itself left out"),
        ("zone" = Option<String>, Query, description = "the time zone of days, such as Europe/Amsterdam; the service's setting, else UTC, where it is left out", max_length = 64),
        ("account" = Option<i64>, Query, description = "the number of an account; the first one where it is left out"),
    ),
    responses((status = 200, body = ListeningSummary), ReadProblems)
)]
pub async fn summary(state: Data<WebState>, request: HttpRequest) -> Result<Json<ListeningSummary>, Problem> {
    let params = Params::read(&request, &["since", "until", "zone", "account"])?;
    let (span, zone) = (span(&params)?, zone(&params, &state)?);
    let account = state.account(params.account()?).await?;
    let days = state.store.heard_when(account, Stretch::Day, span, zone).await?;
    let named = Stretch::Day.sum_up(&days);
    let day = |named: Option<&StretchHeard>| named.and_then(|day| day.stretch.parse().ok());
    let streaks = streaks(&days);
    Ok(Json(ListeningSummary {
        zone: zone.name(),
        plays: days.iter().map(|day| day.plays).sum(),
        ms: days.iter().map(|day| day.ms).sum(),
        first_day: day(named.first()),
        last_day: day(named.last()),
        days: days.len() as u64,
        longest_streak: streaks.map(|(longest, _)| longest),
        last_streak: streaks.map(|(_, last)| last),
    }))
}

/// What was heard for the first time, and when.
#[utoipa::path(
    get, path = "/api/v1/listening/discovered", tag = "history",
    params(
        ("by" = Option<String>, Query, description = "artist, track, album or show; artist where it is left out"),
        ("since" = Option<DateTime<chrono::Utc>>, Query, description = "a moment; all time where it is left out"),
        ("until" = Option<DateTime<chrono::Utc>>, Query, description = "a moment, itself left out"),
        ("zone" = Option<String>, Query, description = "the time zone of months, such as Europe/Amsterdam; the service's setting, else UTC, where it is left out", max_length = 64),
        ("limit" = Option<usize>, Query, description = "most rows", minimum = 1, maximum = 200),
        ("account" = Option<i64>, Query, description = "the number of an account; the first one where it is left out"),
    ),
    responses((status = 200, body = HeardFirst), ReadProblems)
)]
pub async fn discovered(state: Data<WebState>, request: HttpRequest) -> Result<Json<HeardFirst>, Problem> {
    let params = Params::read(&request, &["by", "since", "until", "zone", "limit", "account"])?;
    let (what, limit) = (params.choice("by", &WHAT)?, limit(&params)?);
    let (span, zone) = (span(&params)?, zone(&params, &state)?);
    let account = state.account(params.account()?).await?;
    let found = state.store.discovered(account, what, span, zone, limit).await?;
    Ok(Json(HeardFirst { zone: zone.name(), months: Stretch::Month.sum_up(&found.days), items: found.entries }))
}

/// One artist, album, track or show: how often and when it was heard, its tracks, its playlists, and since when it is
/// saved.
#[utoipa::path(
    get, path = "/api/v1/listening/one", tag = "history",
    params(
        ("of" = Option<String>, Query, description = "artist, track, album or show; artist where it is left out"),
        ("name" = Option<String>, Query, description = "what it is called; of a track, its URI will do; the one that was heard most where it is left out", max_length = 1000),
        ("artist" = Option<String>, Query, description = "of a track or album, by whom; only with a name", max_length = 1000),
        ("account" = Option<i64>, Query, description = "the number of an account; the first one where it is left out"),
    ),
    responses((status = 200, body = HeardOneDocument), ReadProblems)
)]
pub async fn one(state: Data<WebState>, request: HttpRequest) -> Result<Json<HeardOneDocument>, Problem> {
    let params = Params::read(&request, &["of", "name", "artist", "account"])?;
    let what = params.choice("of", &WHAT)?;
    let (name, artist) = (name(&params, "name")?, name(&params, "artist")?);
    if name.is_none() && artist.is_some() {
        return Err(Problem::bad_request("artist: with a name; an artist alone is of=artist with name"));
    }
    let account = state.account(params.account()?).await?;
    let wanted = match name {
        Some(name) => Some(OneHeard { what, name, artist }),
        None => most_heard(&state, account, what).await?,
    };
    let found = match wanted {
        Some(wanted) => state.store.heard_one(account, &wanted).await?,
        None => None,
    };
    let found = found.ok_or_else(|| Problem::not_found("nothing of that name was heard"))?;
    let month = |part: &Part| StretchHeard {
        stretch: format!("{:04}-{:02}", part.number / 100, part.number % 100),
        plays: part.plays,
        ms: part.ms,
    };
    Ok(Json(HeardOneDocument {
        entry: found.entry,
        saved_at: found.saved_at,
        months: found.months.iter().map(month).collect(),
        tracks: found.tracks,
        albums: found.albums,
        playlists: found.playlists,
    }))
}

/// Saved tracks that were never heard, under any id; the latest first.
#[utoipa::path(
    get, path = "/api/v1/listening/saved-unheard", tag = "history",
    params(
        ("limit" = Option<usize>, Query, description = "most rows", minimum = 1, maximum = 200),
        ("account" = Option<i64>, Query, description = "the number of an account; the first one where it is left out"),
    ),
    responses((status = 200, body = SavedUnheard), ReadProblems)
)]
pub async fn saved_unheard(state: Data<WebState>, request: HttpRequest) -> Result<Json<SavedUnheard>, Problem> {
    let params = Params::read(&request, &["limit", "account"])?;
    let limit = limit(&params)?;
    let account = state.account(params.account()?).await?;
    Ok(Json(SavedUnheard { items: state.store.saved_unheard(account, limit).await? }))
}

/// Tracks that were heard often and are not saved, under any id.
#[utoipa::path(
    get, path = "/api/v1/listening/heard-unsaved", tag = "history",
    params(
        ("limit" = Option<usize>, Query, description = "most rows", minimum = 1, maximum = 200),
        ("account" = Option<i64>, Query, description = "the number of an account; the first one where it is left out"),
    ),
    responses((status = 200, body = HeardMost), ReadProblems)
)]
pub async fn heard_unsaved(state: Data<WebState>, request: HttpRequest) -> Result<Json<HeardMost>, Problem> {
    let params = Params::read(&request, &["limit", "account"])?;
    let limit = limit(&params)?;
    let account = state.account(params.account()?).await?;
    Ok(Json(HeardMost { items: state.store.heard_unsaved(account, limit).await? }))
}

/// The first one with a name.
async fn most_heard(state: &WebState, account: AccountId, what: Heard) -> Result<Option<OneHeard>, Problem> {
    /// Few have none.
    const LOOKED_AT: u32 = 20;
    let ever = Span { since: DateTime::UNIX_EPOCH, until: clock::now() + TimeDelta::days(1) };
    let most = state.store.heard_most(account, what, ever, LOOKED_AT).await?;
    let one = |entry: HeardEntry| Some(OneHeard { what, name: entry.uri.or(entry.name)?, artist: entry.artist });
    Ok(most.into_iter().find_map(one))
}

fn limit(params: &Params) -> Result<u32, Problem> {
    Ok(u32::try_from(params.limit()?).unwrap_or(u32::MAX))
}

fn name(params: &Params, which: &str) -> Result<Option<String>, Problem> {
    match params.get(which) {
        Some(name) if name.chars().count() > NAME_MAX => {
            Err(Problem::bad_request(format!("{which}: at most {NAME_MAX} characters")))
        }
        name => Ok(name.map(str::to_owned)),
    }
}

/// The zone from the query, or that of the settings.
fn zone(params: &Params, state: &WebState) -> Result<Zone, Problem> {
    match (params.get("zone"), params.get("offset")) {
        (Some(_), Some(_)) => Err(Problem::bad_request("zone and offset: one of them")),
        (Some(name), None) => Zone::of_name(name)
            .ok_or_else(|| Problem::bad_request("zone: the name of a time zone, such as Europe/Amsterdam")),
        (None, Some(word)) => offset(word)
            .map(Zone::Fixed)
            .ok_or_else(|| Problem::bad_request("offset: hours and minutes such as 01:00 or -05:30")),
        (None, None) => Ok(state.zone.unwrap_or(Zone::UTC)),
    }
}

/// `01:00`, `+01:00`, whose sign may have become a space on its way, or `-05:30`.
fn offset(word: &str) -> Option<FixedOffset> {
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
