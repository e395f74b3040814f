//! What the limit of an application allows: how many requests a day, and how many accounts they keep current.
//!
//! The estimate states its basis: whether the limit is learned or assumed, and whether the needs of an account were
//! measured over the last day or follow from the settings.

use crate::model::{
    LedgerEntry,
    status::{AccountStatus, CapacityStatus, ForecastStatus, State},
};
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The share of the limit that is promised to accounts. The rest is for retries, first reads and growing libraries.
const PROMISED: f64 = 0.9;

/// A ledger that goes back this far covers a whole day.
const WHOLE_DAY: TimeDelta = TimeDelta::hours(23);

/// The limit, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// Requests per second.
    pub rate: f64,
    pub is_learned: bool,
    /// Our own limit on all requests of a day.
    pub ceiling: Option<u32>,
}

/// What the settings demand for every account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Interval between polls of the listening history.
    pub polls_every: Duration,
    /// Interval between looks at the listings that are kept current.
    pub looks_every: Duration,
    pub num_listings: u32,
}

impl Needs {
    /// One request for each poll, and one for each listing that has not changed.
    fn per_day(&self) -> f64 {
        let times = |every: Duration| DAY.as_secs_f64() / every.as_secs_f64().max(1.0);
        times(self.polls_every) + times(self.looks_every) * f64::from(self.num_listings)
    }
}

pub fn capacity(
    limit: Limit,
    needs: Needs,
    accounts: &[AccountStatus],
    ledger: &[LedgerEntry],
    forecast: &[ForecastStatus],
    now: DateTime<Utc>,
) -> CapacityStatus {
    let per_day = (limit.rate * DAY.as_secs_f64()).min(limit.ceiling.map_or(f64::MAX, f64::from));
    let kept = accounts.iter().filter(|account| !account.entities.is_empty()).count();
    let has_read_all = |account: &AccountStatus| account.entities.iter().all(|entity| entity.state == State::Complete);
    let is_whole_day = ledger.iter().map(|entry| entry.started_at).min().is_some_and(|first| now - first >= WHOLE_DAY);
    let is_measured = kept > 0 && is_whole_day && accounts.iter().all(has_read_all);
    let per_account = if is_measured {
        let sent: u64 = ledger.iter().map(|entry| u64::from(entry.requests)).sum();
        sent as f64 / kept as f64
    } else {
        needs.per_day()
    };
    let rounded = |number: f64| number.clamp(0.0, f64::from(u32::MAX)).round() as u32;
    CapacityStatus {
        requests_per_day: rounded(per_day),
        is_learned: limit.is_learned,
        requests_per_account: rounded(per_account.max(1.0)),
        is_measured,
        accounts: rounded((per_day * PROMISED / per_account.max(1.0)).floor()),
        all_read_at: forecast.iter().filter_map(|family| family.done_at).max(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EntityType;
    use crate::model::{
        AccountId, Family, SignInState,
        status::{EntityStatus, PlaybackStatus},
    };

    const NEEDS: Needs =
        Needs { polls_every: Duration::from_secs(1200), looks_every: Duration::from_secs(6 * 3600), num_listings: 7 };

    #[test]
    fn without_a_day_of_requests_the_settings_tell_what_an_account_needs() {
        let limit = Limit { rate: 6.0, is_learned: true, ceiling: None };
        let told = capacity(limit, NEEDS, &[account(State::Running)], &[sent(40, 1)], &[], at(0));
        assert_eq!((told.requests_per_day, told.requests_per_account, told.is_measured), (518_400, 100, false));
        assert_eq!((told.accounts, told.is_learned), (4_665, true));
    }

    #[test]
    fn a_whole_day_of_accounts_that_are_read_is_what_is_measured() {
        let limit = Limit { rate: 6.0, is_learned: true, ceiling: None };
        let accounts = [account(State::Complete), account(State::Complete)];
        let day = [sent(24, 20), sent(2, 14)];
        let told = capacity(limit, NEEDS, &accounts, &day, &[], at(0));
        assert_eq!((told.requests_per_account, told.is_measured, told.accounts), (17, true, 27_444));
        let one_reads = [account(State::Complete), account(State::Running)];
        assert!(!capacity(limit, NEEDS, &one_reads, &day, &[], at(0)).is_measured);
    }

    #[test]
    fn a_ceiling_of_our_own_counts() {
        let limit = Limit { rate: 6.0, is_learned: false, ceiling: Some(1_000) };
        let told = capacity(limit, NEEDS, &[], &[], &[], at(0));
        assert_eq!((told.requests_per_day, told.accounts, told.is_learned), (1_000, 9, false));
    }

    fn at(hours_ago: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 - hours_ago * 3600, 0).unwrap()
    }

    fn sent(hours_ago: i64, requests: u32) -> LedgerEntry {
        LedgerEntry { family: Family::Player, started_at: at(hours_ago), requests, refusals: 0 }
    }

    fn account(state: State) -> AccountStatus {
        AccountStatus {
            account_id: AccountId(1),
            spotify_id: "mira".into(),
            display_name: None,
            sign_in: SignInState::Valid { until: at(0) },
            token_trouble: None,
            missing_scopes: Vec::new(),
            service: None,
            entities: vec![EntityStatus { state, ..EntityStatus::idle(EntityType::Tracks) }],
            limited_until: None,
            playback: PlaybackStatus::default(),
        }
    }
}
