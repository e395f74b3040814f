//! Results, as printed to stdout.

use super::{
    account_report,
    numbers::{counted, grouped, minute_of_day, span, time_of_day},
    progress::limit_name,
};
use crate::{
    actors::{EntityProgress, EntityState, Progress},
    clock,
    model::{
        EntityType, Family, ItemCounts, LimitClass, SyncKey,
        status::{
            CapacityStatus, EntityStatus, ForecastStatus, LimitStatus, NodeStatus, PlaybackStatus, State, Status,
            StreamStatus, WebhookStatus,
        },
    },
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::{fmt::Write, time::Duration};

/// A finished sync.
#[derive(Debug)]
pub struct SyncReport {
    /// Its Spotify id.
    pub account: String,
    pub progress: Progress,
    pub num_requests: u64,
    pub duration: Duration,
    /// Without a password.
    pub database: String,
}

#[derive(Serialize)]
struct ReportJson<'a, E> {
    account: &'a str,
    entities: Vec<E>,
    requests: u64,
    duration_ms: u64,
    database: &'a str,
}

#[derive(Serialize)]
struct EntityJson<'a> {
    entity_type: EntityType,
    state: &'static str,
    new: u32,
    updated: u32,
    unchanged: u32,
    removed: u32,
    odd: u32,
    requests: u32,
    batches: u32,
    resumed_from: Option<u32>,
    resume_at: Option<DateTime<Utc>>,
    error: Option<&'a str>,
    notes: &'a [String],
}

pub fn sync_json(reports: &[SyncReport]) -> String {
    reports_json(reports, entity_json)
}

/// One object, or an array of them if several accounts were synced.
pub(super) fn reports_json<'a, E: Serialize>(
    reports: &'a [SyncReport],
    entity: impl Fn(EntityType, &'a EntityProgress) -> E,
) -> String {
    let report = |report: &'a SyncReport| ReportJson {
        account: &report.account,
        entities: report.progress.entities.iter().map(|(key, seen)| entity(key.entity, seen)).collect(),
        requests: report.num_requests,
        duration_ms: report.duration.as_millis() as u64,
        database: &report.database,
    };
    let json = match &*reports.iter().map(report).collect::<Vec<_>>() {
        [one] => serde_json::to_string_pretty(one),
        all => serde_json::to_string_pretty(all),
    };
    json.expect("a report has string keys only") + "\n"
}

pub fn sync_text(reports: &[SyncReport]) -> String {
    match reports {
        [one] => one.text(),
        all => all
            .iter()
            .map(|report| format!("account {}\n{}", report.account, report.text()))
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

impl SyncReport {
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut row = |cells: [&str; 7]| {
            let [entity, state, new, updated, unchanged, removed, requests] = cells;
            let line =
                format!("{entity:<10} {state:<9} {new:>9} {updated:>9} {unchanged:>9} {removed:>9} {requests:>9}");
            let _ = writeln!(out, "{}", line.trim_end());
        };
        row(["", "", "new", "updated", "unchanged", "removed", "requests"]);
        for (SyncKey { entity, .. }, seen) in &self.progress.entities {
            let counts = &seen.counts;
            let numbers = [counts.new, counts.updated, counts.unchanged, counts.removed, seen.num_requests];
            let [new, updated, unchanged, removed, requests] = numbers.map(|number| grouped(number.into()));
            row([entity.as_str(), state_word(&seen.state), &new, &updated, &unchanged, &removed, &requests]);
        }
        for remark in self.remarks() {
            let _ = writeln!(out, "{remark}");
        }
        let _ = writeln!(out, "{}", self.cost());
        out
    }

    pub fn cost(&self) -> String {
        let requests = counted(self.num_requests, "request");
        format!("{requests} in {}; database {}", span(self.duration), self.database)
    }

    /// What the numbers do not show, a line each.
    pub fn remarks(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (SyncKey { entity, .. }, seen) in &self.progress.entities {
            let odd = Some(seen.counts.odd).filter(|odd| *odd > 0);
            let odd = odd.map(|odd| format!("{} noted in the table sync_odd_items", counted(odd.into(), "odd row")));
            lines.extend(remarks(&seen.state).into_iter().chain(odd).map(|remark| format!("{entity}: {remark}")));
        }
        lines
    }

    /// Sums over all entity types.
    pub fn counts(&self) -> ItemCounts {
        let mut sum = ItemCounts::default();
        self.progress.entities.values().for_each(|seen| sum += seen.counts);
        sum
    }
}

fn entity_json(entity: EntityType, seen: &EntityProgress) -> EntityJson<'_> {
    let counts = &seen.counts;
    let (resume_at, error, notes): (_, _, &[String]) = match &seen.state {
        EntityState::Running | EntityState::Stopped => (None, None, &[]),
        EntityState::Complete { notes } => (None, None, notes),
        EntityState::Paused(pause) => (Some(pause.until), None, &[]),
        EntityState::Failed(why) => (None, Some(why.as_str()), &[]),
    };
    EntityJson {
        entity_type: entity,
        state: state_word(&seen.state),
        new: counts.new,
        updated: counts.updated,
        unchanged: counts.unchanged,
        removed: counts.removed,
        odd: counts.odd,
        requests: seen.num_requests,
        batches: seen.num_batches,
        resumed_from: seen.resumed_from,
        resume_at,
        error,
        notes,
    }
}

pub(super) fn state_word(state: &EntityState) -> &'static str {
    match state {
        EntityState::Running => "running",
        EntityState::Complete { .. } => "complete",
        EntityState::Paused(_) => "paused",
        EntityState::Stopped => "stopped",
        EntityState::Failed(_) => "failed",
    }
}

pub(super) fn remarks(state: &EntityState) -> Vec<String> {
    match state {
        EntityState::Running => Vec::new(),
        EntityState::Stopped => vec!["stopped; the next run carries on".into()],
        EntityState::Complete { notes } => notes.clone(),
        EntityState::Paused(pause) => {
            let until = time_of_day(pause.until, clock::now());
            vec![format!("paused by the {} until {until}; running again then carries on", limit_name(pause.class))]
        }
        EntityState::Failed(why) => vec![why.clone()],
    }
}

/// `segno status`, for people.
pub fn status_text(status: &Status, now: DateTime<Utc>) -> String {
    let mut out = String::new();
    if status.accounts.is_empty() {
        out.push_str("no account has been synced into this database yet\n");
    }
    for account in &status.accounts {
        for line in account_report::status_lines(account, now) {
            let _ = writeln!(out, "{line}");
        }
        for entity in &account.entities {
            let _ = writeln!(out, "  {}", entity_line(entity, now).trim_end());
        }
        if account.entities.is_empty() {
            let _ = writeln!(out, "  nothing has been synced yet");
        }
        for line in playback_lines(&account.playback, now) {
            let _ = writeln!(out, "  {line}");
        }
    }
    // A node that keeps everything current is named with its accounts.
    for node in status.nodes.iter().filter(|node| status.nodes.len() > 1 || !node.lives) {
        let _ = writeln!(out, "{}", node_line(node, now));
    }
    for limit in &status.limits {
        let _ = writeln!(out, "{}", limit_line(limit, now));
    }
    for left in status.forecast.iter().filter(|left| left.remaining_requests > 0) {
        let _ = writeln!(out, "{}", forecast_line(left, now));
    }
    if let Some(capacity) = &status.capacity {
        let _ = writeln!(out, "{}", capacity_line(capacity, now));
    }
    let webhooks = status.webhooks.iter().map(Follower::from);
    let followers = webhooks.chain(status.stream.iter().map(Follower::from));
    for line in followers.filter_map(|follower| follower_line(&follower, now)) {
        let _ = writeln!(out, "{line}");
    }
    out
}

/// Nothing if playback was never tracked.
fn playback_lines(playback: &PlaybackStatus, now: DateTime<Utc>) -> Vec<String> {
    let PlaybackStatus { plays, last_polled_at, next_poll_at, open_gaps, last_gap, error, .. } = playback;
    if *plays == 0 && last_polled_at.is_none() && error.is_none() {
        return Vec::new();
    }
    let mut line = format!("{:<10} {}", "plays", grouped(*plays));
    let moments = [("last", playback.last_played_at), ("as of", *last_polled_at), ("next check", *next_poll_at)];
    for (what, at) in moments.into_iter().filter_map(|(what, at)| Some((what, at?))) {
        let _ = write!(line, ", {what} {}", time_of_day(at, now));
    }
    if let Some(error) = error {
        let _ = write!(line, ": {error}");
    }
    let gap = last_gap.as_ref().map(|gap| {
        let (after, before) = (time_of_day(gap.played_after, now), time_of_day(gap.played_before, now));
        let gaps = counted((*open_gaps).into(), "gap");
        let which = if *open_gaps > 1 { ", the latest" } else { "" };
        format!("{:<10} {gaps}{which}: plays between {after} and {before} may be missing", "")
    });
    [Some(line), gap].into_iter().flatten().collect()
}

/// "playlist_items: paused until 07:40:00 (quota)"
fn limit_line(limit: &LimitStatus, now: DateTime<Utc>) -> String {
    let LimitStatus { family, class, blocked_until } = limit;
    let until = time_of_day(*blocked_until, now);
    let what = match (family, class) {
        (Family::Application, LimitClass::Ceiling) => "all requests but those for playback",
        (Family::Application, LimitClass::Rate | LimitClass::Quota) => "all requests",
        (family, _) => family.as_str(),
    };
    let why = match class {
        LimitClass::Rate => "rate limit",
        LimitClass::Quota => "quota",
        LimitClass::Ceiling => "daily ceiling",
    };
    format!("{what}: paused until {until} ({why})")
}

/// "segno run (process 7 on cellar): 12 accounts, since 03:12:00"
fn node_line(node: &NodeStatus, now: DateTime<Utc>) -> String {
    let NodeStatus { label, num_accounts, started_at, seen_at, lives, .. } = node;
    if *lives {
        let accounts = counted((*num_accounts).into(), "account");
        format!("{label}: {accounts}, since {}", time_of_day(*started_at, now))
    } else {
        format!("{label}: silent since {}; others take its accounts", time_of_day(*seen_at, now))
    }
}

/// "the limit carries about 190 accounts: 20,160 requests a day (assumed), 95 for each account (by the settings)"
fn capacity_line(capacity: &CapacityStatus, now: DateTime<Utc>) -> String {
    let CapacityStatus { requests_per_day, is_learned, requests_per_account, is_measured, accounts, all_read_at } =
        capacity;
    let limit = if *is_learned { "" } else { " (assumed)" };
    let need = if *is_measured { "measured" } else { "by the settings" };
    let mut line = format!(
        "the limit carries about {}: {} a day{limit}, {} for each account ({need})",
        counted((*accounts).into(), "account"),
        counted((*requests_per_day).into(), "request"),
        grouped((*requests_per_account).into()),
    );
    if let Some(at) = all_read_at {
        let days = (*at - now).num_hours().max(0) as f64 / 24.0;
        let when = if days < 1.0 { "within a day".to_owned() } else { format!("in about {} days", days.round()) };
        let _ = write!(line, "; all is read {when}");
    }
    line
}

/// "tracks: 42 more requests, 953 left today, done about 03:12"
fn forecast_line(left: &ForecastStatus, now: DateTime<Utc>) -> String {
    let mut line = format!("{}: {}", left.family, counted(left.remaining_requests.into(), "more request"));
    if let Some(left_today) = left.left_today {
        let _ = write!(line, ", {} left today", grouped(left_today.into()));
    }
    if let Some(done_at) = left.done_at {
        let _ = write!(line, ", done about {}", minute_of_day(done_at, now));
    }
    line
}

/// A receiver of the feed.
struct Follower<'a> {
    what: &'static str,
    host: &'a str,
    failing_since: Option<DateTime<Utc>>,
    next_try_at: Option<DateTime<Utc>>,
    error: Option<&'a str>,
    waiting: u64,
}

impl<'a> From<&'a WebhookStatus> for Follower<'a> {
    fn from(webhook: &'a WebhookStatus) -> Self {
        let WebhookStatus { host, failing_since, next_try_at, error, waiting } = webhook;
        let (failing_since, next_try_at, waiting) = (*failing_since, *next_try_at, (*waiting).into());
        Follower { what: "webhook", host, failing_since, next_try_at, error: error.as_deref(), waiting }
    }
}

impl<'a> From<&'a StreamStatus> for Follower<'a> {
    fn from(stream: &'a StreamStatus) -> Self {
        let StreamStatus { host, failing_since, next_try_at, error, waiting, .. } = stream;
        let (failing_since, next_try_at, waiting) = (*failing_since, *next_try_at, *waiting);
        Follower { what: "stream", host, failing_since, next_try_at, error: error.as_deref(), waiting }
    }
}

/// "webhook ntfy.sh: has accepted nothing since 07:40:00, 3 entries wait, next try 08:10:00: ntfy.sh answered with 500"
fn follower_line(follower: &Follower<'_>, now: DateTime<Utc>) -> Option<String> {
    let Follower { what, host, failing_since, next_try_at, error, waiting } = follower;
    let since = time_of_day((*failing_since)?, now);
    let wait = if *waiting == 1 { "entry waits" } else { "entries wait" };
    let mut line = format!("{what} {host}: has accepted nothing since {since}, {} {wait}", grouped(*waiting));
    if let Some(at) = next_try_at {
        let _ = write!(line, ", next try {}", time_of_day(*at, now));
    }
    if let Some(error) = error {
        let _ = write!(line, ": {error}");
    }
    Some(line)
}

fn entity_line(entity: &EntityStatus, now: DateTime<Utc>) -> String {
    let total = entity.total.map_or_else(|| "?".into(), |total| grouped(total.into()));
    let place = match entity.state {
        State::Complete => format!("{total} listed"),
        State::Idle | State::Running | State::Paused | State::Failed => {
            let percent = entity.percent.map(|percent| format!(" ({percent:.0} %)")).unwrap_or_default();
            format!("{} / {total}{percent}", grouped(entity.offset.into()))
        }
    };
    let mut line = format!("{:<10} {:<8} {place}", entity.entity_type, state_name(entity.state));
    if entity.is_paused_by_hand {
        line.push_str(", paused by hand");
    }
    if let Some(at) = entity.resume_at {
        let _ = write!(line, ", resumes {}", time_of_day(at, now));
    }
    if let (State::Complete, Some(at)) = (entity.state, entity.completed_at) {
        let _ = write!(line, ", as of {}", time_of_day(at, now));
    }
    if let (None, Some(at)) = (entity.resume_at, entity.next_run_at) {
        let _ = write!(line, ", next run {}", time_of_day(at, now));
    }
    if entity.open_gaps > 0 {
        let _ = write!(line, ", {}", counted(entity.open_gaps.into(), "gap"));
    }
    if let Some(held) = entity.held_removals {
        let wait = if held == 1 { "waits" } else { "wait" };
        let _ = write!(line, ", {} {wait} for confirmation", counted(held.into(), "removal"));
    }
    if !entity.waiting_playlists.is_empty() {
        let num = entity.waiting_playlists.len();
        let _ = write!(line, ", {} to be retried", counted(num as u64, "playlist"));
        match entity.waiting_playlists.iter().map(|waiting| waiting.next_try_at).min().flatten() {
            Some(at) => _ = write!(line, " from {}", time_of_day(at, now)),
            None => line.push_str(" with the next run"),
        }
    }
    if entity.left_out_playlists > 0 {
        let num = counted(entity.left_out_playlists.into(), "playlist");
        let _ = write!(line, ", {num} left out by sync.playlists");
    }
    if let Some(error) = &entity.error {
        let _ = write!(line, ": {error}");
    }
    line
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Idle => "idle",
        State::Running => "running",
        State::Complete => "complete",
        State::Paused => "paused",
        State::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::status::PlayGapStatus;

    #[test]
    fn playback_that_was_never_tracked_takes_no_line() {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        assert_eq!(playback_lines(&PlaybackStatus::default(), now), [""; 0]);
        let refused = PlaybackStatus { error: Some("no permission".into()), ..PlaybackStatus::default() };
        assert_eq!(playback_lines(&refused, now), ["plays      0: no permission"]);
    }

    #[test]
    fn the_latest_gap_is_spelled_out_and_all_are_counted() {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let gap = PlayGapStatus { played_after: now, played_before: now, detected_at: now };
        let playback = |open_gaps| PlaybackStatus {
            plays: 1234,
            last_polled_at: Some(now),
            open_gaps,
            last_gap: Some(gap.clone()),
            ..PlaybackStatus::default()
        };
        let clock = time_of_day(now, now);
        let expected = [
            format!("plays      1,234, as of {clock}"),
            format!("           1 gap: plays between {clock} and {clock} may be missing"),
        ];
        assert_eq!(playback_lines(&playback(1), now), expected);
        assert!(playback_lines(&playback(3), now)[1].contains("3 gaps, the latest: plays between "));
    }

    #[test]
    fn a_webhook_takes_a_line_while_it_takes_nothing() {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let fine =
            WebhookStatus { host: "ntfy.sh".into(), failing_since: None, next_try_at: None, error: None, waiting: 0 };
        assert_eq!(follower_line(&Follower::from(&fine), now), None);
        let (since, error) = (Some(now), Some("ntfy.sh answered with 500".into()));
        let failing = WebhookStatus { failing_since: since, next_try_at: since, error, waiting: 1, ..fine };
        let clock = time_of_day(now, now);
        let expected = format!(
            "webhook ntfy.sh: has accepted nothing since {clock}, 1 entry waits, next try {clock}: ntfy.sh answered \
             with 500"
        );
        assert_eq!(follower_line(&Follower::from(&failing), now), Some(expected));
    }
}
