//! Who requested what, when, and with what result: the request log and the statistics that tests and benchmarks read.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::http::Moment;
use super::limits::Manners;
use super::routes::Family;
use super::wire::millis;

/// Requests that the log keeps; the oldest go first.
const LOG_MAX: usize = 200_000;
/// Window for `max_in_window` if no rate limit sets one: that of the Web API.
pub const WINDOW_DEFAULT: Duration = Duration::from_secs(30);
/// Status of a request that never gets an answer.
pub const NO_STATUS: u16 = 0;

/// Counts since the start, or since the last reset. Only requests to the Web API (`/v1`) count as requests; the
/// sign-in has its own numbers, and the control API has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Requests to the Web API, refused ones included.
    pub requests: u64,
    /// The same by family.
    pub by_family: BTreeMap<String, u64>,
    /// The same by status; 0 is a request that never got an answer.
    pub by_status: BTreeMap<u16, u64>,
    /// Most requests to the Web API, refused ones included, that arrived in any rolling window.
    pub max_in_window: usize,
    /// Length of that window.
    pub window_ms: u64,
    /// Requests that arrived before an announced `Retry-After` had ended, and after it could be known.
    pub early: u64,
    /// Requests that arrived before an announced `Retry-After` had ended, but may have left before it could be known.
    pub crossed: u64,
    /// Requests refused by a limit (429), be it a real one or one that a rule pretends.
    pub refused: u64,
    /// Requests to the token endpoint.
    pub token_requests: u64,
    /// Access tokens handed out for a refresh token.
    pub token_refreshes: u64,
    /// Visits to the consent page.
    pub authorizations: u64,
    /// Edits of fault rules that could not be applied.
    pub failed_edits: u64,
    /// When the first and the last request to the Web API arrived, in milliseconds since the sandbox started.
    pub first_at_ms: Option<u64>,
    /// See `first_at_ms`.
    pub last_at_ms: Option<u64>,
    /// When the sandbox started.
    pub started_at: String,
}

/// One request.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Counted from 1, never reset.
    pub n: u64,
    /// Milliseconds since the sandbox started.
    pub at_ms: u64,
    pub method: String,
    pub path: String,
    pub query: String,
    pub family: Family,
    pub status: u16,
}

/// An answered request, as input to the journal.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub family: Family,
    pub manners: Manners,
    pub status: u16,
}

/// Log and statistics.
#[derive(Debug)]
pub struct Journal {
    started: Moment,
    num_entries: u64,
    entries: VecDeque<Entry>,
    stats: Stats,
    /// Arrivals within the window.
    recent: VecDeque<Instant>,
    window: Duration,
}

impl Journal {
    /// An empty journal that counts time from now.
    pub fn new(started: Moment, window: Duration) -> Journal {
        let mut journal = Journal {
            started,
            num_entries: 0,
            entries: VecDeque::new(),
            stats: Stats::default(),
            recent: VecDeque::new(),
            window,
        };
        journal.reset();
        journal
    }

    /// Counts over another window from here on.
    pub fn set_window(&mut self, window: Duration) {
        self.window = window;
        self.stats.window_ms = as_ms(window);
    }

    /// Forgets all counts and the log. The clock and the numbering run on.
    pub fn reset(&mut self) {
        self.entries.clear();
        self.recent.clear();
        self.stats = Stats { started_at: millis(self.started.utc), window_ms: as_ms(self.window), ..Stats::default() };
    }

    /// Records a request.
    pub fn record(&mut self, answered: Answered<'_>, now: Instant) {
        let at_ms = as_ms(now.saturating_duration_since(self.started.instant));
        let Answered { method, path, query, family, manners, status } = answered;
        match family {
            Family::Token => self.stats.token_requests += 1,
            Family::Authorize => self.stats.authorizations += 1,
            _ => self.count(family, manners, status, at_ms, now),
        }
        self.num_entries += 1;
        if self.entries.len() == LOG_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            n: self.num_entries,
            at_ms,
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            family,
            status,
        });
    }

    fn count(&mut self, family: Family, manners: Manners, status: u16, at_ms: u64, now: Instant) {
        let stats = &mut self.stats;
        stats.requests += 1;
        *stats.by_family.entry(family.name().to_owned()).or_default() += 1;
        *stats.by_status.entry(status).or_default() += 1;
        match manners {
            Manners::Fine => {}
            Manners::Crossed => stats.crossed += 1,
            Manners::Early => stats.early += 1,
        }
        if status == 429 {
            stats.refused += 1;
        }
        stats.first_at_ms.get_or_insert(at_ms);
        stats.last_at_ms = Some(at_ms);
        while self.recent.front().is_some_and(|first| now.saturating_duration_since(*first) >= self.window) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        stats.max_in_window = stats.max_in_window.max(self.recent.len());
    }

    /// Counts an access token handed out for a refresh token.
    pub fn token_refreshed(&mut self) {
        self.stats.token_refreshes += 1;
    }

    /// Counts an edit that could not be applied.
    pub fn edit_failed(&mut self) {
        self.stats.failed_edits += 1;
    }

    /// The counts.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The log, oldest first.
    pub fn entries(&self) -> &VecDeque<Entry> {
        &self.entries
    }
}

fn as_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_window_is_found() {
        let now = Moment::now();
        let mut journal = Journal::new(now, Duration::from_secs(10));
        for at_s in [0, 1, 2, 9, 10, 11, 30] {
            record(&mut journal, Family::Tracks, 200, now.instant + Duration::from_secs(at_s));
        }
        // 1, 2, 9 and 10, or 2, 9, 10 and 11; not 0 to 10, which is a window and an instant.
        assert_eq!(journal.stats().max_in_window, 4);
        assert_eq!(journal.stats().last_at_ms, Some(30_000));
    }

    #[test]
    fn the_sign_in_is_counted_apart_and_a_reset_forgets() {
        let now = Moment::now();
        let mut journal = Journal::new(now, WINDOW_DEFAULT);
        record(&mut journal, Family::Token, 200, now.instant);
        record(&mut journal, Family::Me, 429, now.instant);
        let stats = journal.stats();
        assert_eq!((stats.requests, stats.token_requests, stats.refused), (1, 1, 1));
        assert_eq!(journal.entries().len(), 2);
        journal.reset();
        assert_eq!((journal.stats().requests, journal.entries().len()), (0, 0));
        assert_eq!(journal.stats().window_ms, 30_000);
    }

    fn record(journal: &mut Journal, family: Family, status: u16, at: Instant) {
        let (method, path, query, manners) = ("GET", "/v1/me", "", Manners::Fine);
        journal.record(Answered { method, path, query, family, manners, status }, at);
    }
}
