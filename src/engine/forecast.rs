//! When the rest of the reading will be done: from the requests left, the rate, what today allows and the pauses.
//!
//! A forecast, not a promise: it assumes the library as last seen and the present rate. Families that are not paused
//! are served one after the other, in the gate's order.

use super::{gate::ledger::Ledger, run::PAGE_LIMIT};
use crate::model::{
    DailyCeilings, Family, LedgerEntry, LimitClass, Pause, StalePlaylist,
    status::{EntityStatus, ForecastStatus, State},
};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;

/// Each page of a listing that moves begins with the last slot of the page before it.
const OVERLAPPING_PAGE: u32 = PAGE_LIMIT - 1;

/// What is known of the limits.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Pauses imposed by the API that are still in force.
    pub pauses: &'a [Pause],
    /// The requests of the last day.
    pub ledger: &'a [LedgerEntry],
    pub ceilings: DailyCeilings,
    /// Requests per second.
    pub rate: f64,
}

/// Requests that a begun run still has to make, by family.
#[derive(Debug, Clone, Default)]
pub struct Remaining(BTreeMap<Family, u32>);

impl Remaining {
    /// Adds the rest of a listing.
    pub fn add_entity(&mut self, entity: &EntityStatus) {
        let slots_per_page = if entity.entity_type.is_newest_first() { OVERLAPPING_PAGE } else { PAGE_LIMIT };
        let requests = match (entity.state, entity.total) {
            (State::Complete, _) => 0,
            (_, Some(total)) => total.saturating_sub(entity.offset).div_ceil(slots_per_page),
            // The first page tells how many there are.
            (_, None) => 1,
        };
        self.add(entity.entity_type.family(), requests);
    }

    /// Adds the items of playlists that are due.
    pub fn add_playlists(&mut self, due: &[StalePlaylist]) {
        let requests = |playlist: &StalePlaylist| match playlist.fills_only {
            true => playlist.gaps.len() as u32,
            false => playlist.total_items.unwrap_or(0).div_ceil(PAGE_LIMIT).max(1),
        };
        self.add(Family::PlaylistItems, due.iter().map(requests).sum());
    }

    fn add(&mut self, family: Family, requests: u32) {
        *self.0.entry(family).or_default() += requests;
    }
}

/// Our own daily ceilings that have been reached, as pauses.
pub fn reached_ceilings(known: &Known<'_>, now: DateTime<Utc>) -> Vec<Pause> {
    let ledger = ledger(known, now);
    let mut reached: Vec<Pause> = Vec::new();
    for family in Family::ALL {
        let Some((scope, until)) = ledger.stopped_until(*family) else { continue };
        if reached.iter().all(|pause| pause.scope != scope) {
            reached.push(Pause { scope, class: LimitClass::Ceiling, until });
        }
    }
    reached
}

/// What remains, family by family: those that are paused or have something left.
pub fn forecast(remaining: &Remaining, known: &Known<'_>, now: DateTime<Utc>) -> Vec<ForecastStatus> {
    let ledger = ledger(known, now);
    let stop_of = |family: Family| {
        let by_api = known.pauses.iter().filter(|pause| pause.scope == family || pause.scope == Family::Application);
        let by_us =
            ledger.stopped_until(family).map(|(scope, until)| Pause { scope, class: LimitClass::Ceiling, until });
        by_api.copied().chain(by_us).filter(|pause| pause.until > now).max_by_key(|pause| pause.until)
    };
    let families = Family::ALL.iter().copied().filter(|family| *family != Family::Application);
    let mut lines: Vec<ForecastStatus> = families
        .filter_map(|family| {
            let remaining_requests = remaining.0.get(&family).copied().unwrap_or(0);
            let stop = stop_of(family);
            (remaining_requests > 0 || stop.is_some_and(|pause| pause.scope == family)).then(|| ForecastStatus {
                family,
                remaining_requests,
                left_today: ledger.left_today(family),
                paused_until: stop.map(|pause| pause.until),
                class: stop.map(|pause| pause.class),
                done_at: None,
            })
        })
        .collect();
    // `Family::ALL` is in the order in which the gate serves.
    let mut order: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].remaining_requests > 0).collect();
    order.sort_by_key(|at| lines[*at].paused_until);
    let mut free_at = now;
    for at in order {
        let line = &mut lines[at];
        let begins_at = line.paused_until.map_or(free_at, |until| until.max(free_at));
        let took = f64::from(line.remaining_requests) / known.rate.max(f64::MIN_POSITIVE);
        free_at = begins_at + seconds(took);
        let days = days_needed(line, ledger.ceiling_of(line.family));
        line.done_at = Some(free_at + TimeDelta::days(days));
    }
    lines
}

/// Whole days that its ceiling makes a family wait, beyond the time that its requests take.
fn days_needed(line: &ForecastStatus, ceiling: Option<u32>) -> i64 {
    let (Some(left), Some(ceiling)) = (line.left_today, ceiling) else { return 0 };
    // A ceiling's pause ends with room for more, as if a day had begun.
    let left = if line.class == Some(LimitClass::Ceiling) { ceiling } else { left };
    i64::from(line.remaining_requests.saturating_sub(left).div_ceil(ceiling.max(1)))
}

fn ledger(known: &Known<'_>, now: DateTime<Utc>) -> Ledger {
    let mut ledger = Ledger::new(known.ceilings);
    ledger.handle_noted(known.ledger, now);
    ledger
}

/// Capped at a year: a longer forecast makes no sense.
fn seconds(seconds: f64) -> TimeDelta {
    TimeDelta::milliseconds((seconds.clamp(0.0, 366.0 * 86_400.0) * 1000.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EntityType;

    const RATE: f64 = 0.25;

    #[test]
    fn requests_are_those_that_a_walk_still_makes() {
        let mut remaining = Remaining::default();
        remaining.add_entity(&entity(EntityType::Tracks, 2_942, Some(5_000)));
        remaining.add_entity(&entity(EntityType::Artists, 0, Some(101)));
        remaining.add_entity(&entity(EntityType::Albums, 0, None));
        remaining.add_entity(&EntityStatus { state: State::Complete, ..entity(EntityType::Playlists, 3, Some(3)) });
        remaining.add_playlists(&[playlist(120, 0), playlist(0, 0), playlist(5_000, 2)]);
        let lines = forecast(&remaining, &known(&[], &[], DailyCeilings::default()), at(0));
        let shown: Vec<_> = lines.iter().map(|line| (line.family, line.remaining_requests)).collect();
        assert_eq!(
            shown,
            [(Family::Tracks, 42), (Family::Artists, 3), (Family::Albums, 1), (Family::PlaylistItems, 6)]
        );
    }

    #[test]
    fn whoever_is_not_paused_is_served_in_turn_and_a_pause_delays_its_family() {
        let pauses = [Pause { scope: Family::Tracks, class: LimitClass::Quota, until: at(10_000) }];
        let lines = forecast(&remaining(10), &known(&pauses, &[], DailyCeilings::default()), at(0));
        let done: Vec<_> = lines.iter().map(|line| (line.family, line.done_at.unwrap())).collect();
        assert_eq!(done, [(Family::Tracks, at(10_040)), (Family::Artists, at(40)), (Family::Albums, at(80))]);
        assert_eq!((lines[0].paused_until, lines[0].class), (Some(at(10_000)), Some(LimitClass::Quota)));
        assert_eq!(lines[1].paused_until, None);
    }

    #[test]
    fn a_pause_is_shown_although_nothing_remains() {
        let pauses = [Pause { scope: Family::PlaylistItems, class: LimitClass::Quota, until: at(10_000) }];
        let lines = forecast(&Remaining::default(), &known(&pauses, &[], DailyCeilings::default()), at(0));
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].family, lines[0].done_at), (Family::PlaylistItems, None));
    }

    #[test]
    fn what_a_day_allows_is_told_and_delays_what_does_not_fit() {
        let ledger = [sent(Family::Tracks, 47), sent(Family::Albums, 5)];
        let ceilings = DailyCeilings { tracks: Some(50), albums: Some(50), ..DailyCeilings::default() };
        let lines = forecast(&remaining(10), &known(&[], &ledger, ceilings), at(0));
        let left: Vec<_> = lines.iter().map(|line| line.left_today).collect();
        assert_eq!(left, [Some(3), None, Some(45)]);
        assert_eq!(lines[0].done_at, Some(at(86_440)), "seven of ten wait for tomorrow");
        assert_eq!(lines[2].done_at, Some(at(120)));
    }

    #[test]
    fn a_ceiling_that_is_reached_is_a_pause_of_our_own() {
        let ledger = [sent(Family::Tracks, 50)];
        let ceilings = DailyCeilings { tracks: Some(50), all: Some(55), reserve: 5, ..DailyCeilings::default() };
        let known = known(&[], &ledger, ceilings);
        let reached = reached_ceilings(&known, at(0));
        let scopes: Vec<_> = reached.iter().map(|pause| (pause.scope, pause.class)).collect();
        assert!(scopes.contains(&(Family::Tracks, LimitClass::Ceiling)), "{scopes:?}");
        assert!(scopes.contains(&(Family::Application, LimitClass::Ceiling)), "{scopes:?}");
        let lines = forecast(&remaining(10), &known, at(0));
        assert!(lines.iter().all(|line| line.class == Some(LimitClass::Ceiling) && line.left_today == Some(0)));
        assert!(lines[0].done_at > Some(at(85_000)));
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_100 + second, 0).unwrap()
    }

    fn known<'a>(pauses: &'a [Pause], ledger: &'a [LedgerEntry], ceilings: DailyCeilings) -> Known<'a> {
        Known { pauses, ledger, ceilings, rate: RATE }
    }

    fn sent(family: Family, requests: u32) -> LedgerEntry {
        LedgerEntry { family, started_at: at(-600), requests, refusals: 0 }
    }

    fn remaining(requests: u32) -> Remaining {
        Remaining([Family::Tracks, Family::Artists, Family::Albums].map(|family| (family, requests)).into())
    }

    fn playlist(total_items: u32, num_gaps: u32) -> StalePlaylist {
        let gaps = (0..num_gaps).map(|gap| (gap * 60, gap * 60 + 1)).collect();
        let fills_only = num_gaps > 0;
        StalePlaylist { id: "p".into(), total_items: Some(total_items), gaps, fills_only, ..StalePlaylist::default() }
    }

    fn entity(entity_type: EntityType, offset: u32, total: Option<u32>) -> EntityStatus {
        EntityStatus { state: State::Running, offset, total, ..EntityStatus::idle(entity_type) }
    }
}
