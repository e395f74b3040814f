//! How many requests a window may hold: the API does not publish its limit, so it is found out.
//!
//! A refusal reveals the limit almost to the request, because the window is counted exactly: if a request is refused
//! with `n` others in the window, the limit is `n`. From then on the rate stays a little below.
//!
//! | state | what is known | what happens after a window that was really used |
//! |---|---|---|
//! | finding | no refusal | half as many again |
//! | holding | a refused level | nothing, for 20 windows; twice as many each time the level is refused again |
//! | trying | a refused level, long ago | one step to just below it, one to it. Served: it is forgotten, back to finding |
//! | any | a refusal at a level | [`share`] of what was served, and holding |
//!
//! With a configured ceiling the rate begins there, and nothing ever goes beyond it. A rate that is not used says
//! nothing and does not rise. Whatever lies above the highest level ever served is tried with one request at a time, so
//! that a limit refuses one request and not all that are under way.

use crate::model::{LearnedRate, RefusedLevel, START_REQUESTS};
use chrono::{DateTime, TimeDelta, Utc};
use std::time::{Duration, Instant};

/// Highest rate that is tried unless configured: beyond it, the network is the limit.
const LEARNED_MAX: u32 = 6000;

/// Rise per window while no limit is known.
const GROWTH: f64 = 1.5;

/// A window counts as used when it was this full. A lower use does not show what the API accepts.
const USED_SHARE: f64 = 0.85;

/// Windows in use before a refused level is tried again, doubled with each failed attempt: fewer than one refusal in
/// twenty windows, and ever fewer.
const HOLD_WINDOWS: u32 = 20;
const HOLD_DOUBLINGS_MAX: u32 = 4;

/// A refused level older than this is tried again, however little was sent meanwhile.
const REFUSED_OUTDATED: TimeDelta = TimeDelta::hours(24);

/// A refusal far below what was served before may have been caused by others: one refusal lowers the rate by no more
/// than this.
const DROP_MAX: f64 = 0.5;

/// A refusal in an almost empty window, such as that of a probe after a pause, means that others use up the limit or
/// that the pause was too short. It says little about the limit.
const EMPTY_LEVEL: u32 = 3;
const EMPTY_DROP_MAX: f64 = 0.8;

#[derive(Debug)]
pub struct Rate {
    /// Nothing goes beyond it.
    ceiling: u32,
    window: Duration,
    requests: f64,
    refused: Option<RefusedLevel>,
    /// Up to this level, several requests may be under way at once.
    proven: u32,
    /// Highest level served since the last refusal.
    best: u32,
    /// When the review period began.
    since: Instant,
    peak: u32,
    /// Windows used since the last refusal.
    num_held: u32,
    has_changed: bool,
}

impl Rate {
    pub fn new(ceiling: Option<u32>, window: Duration, now: Instant) -> Rate {
        let (start, ceiling) = match ceiling {
            Some(ceiling) => (ceiling.max(1), ceiling.max(1)),
            None => (START_REQUESTS, LEARNED_MAX),
        };
        Rate {
            ceiling,
            window,
            requests: f64::from(start),
            refused: None,
            proven: start,
            best: 0,
            since: now,
            peak: 0,
            num_held: 0,
            has_changed: false,
        }
    }

    /// Continues from what an earlier process learned. Under a configured ceiling only a refusal teaches anything; what
    /// was learned for another window says nothing.
    pub fn handle_learned(&mut self, learned: LearnedRate, is_configured: bool) {
        let is_sane = learned.requests.is_finite() && learned.requests >= 1.0;
        if learned.window != self.window || !is_sane || is_configured && learned.refused.is_none() {
            return;
        }
        self.refused = learned.refused;
        self.requests = learned.requests.min(f64::from(self.ceiling));
        self.proven = self.limit();
    }

    /// Requests that a window may hold now.
    pub fn limit(&self) -> u32 {
        (self.requests as u32).clamp(1, self.ceiling)
    }

    /// Up to this many in the window, several requests may be under way at once.
    pub fn proven(&self) -> u32 {
        self.proven
    }

    /// What is to be remembered, if it has changed since it was last asked for.
    pub fn take_changed(&mut self) -> Option<LearnedRate> {
        let learned = LearnedRate { requests: self.requests, window: self.window, refused: self.refused };
        std::mem::take(&mut self.has_changed).then_some(learned)
    }

    /// What was to be remembered could not be stored.
    pub fn handle_unsaved(&mut self) {
        self.has_changed = true;
    }

    /// The `level`th request of its window was served.
    pub fn handle_served(&mut self, level: u32) {
        self.proven = self.proven.max(level);
        self.best = self.best.max(level);
        self.peak = self.peak.max(level);
    }

    /// The `level`th request of its window was refused.
    pub fn handle_refused(&mut self, level: u32, is_probe: bool, now: Instant, wall: DateTime<Utc>) {
        let limit = self.limit();
        let tells_little = is_probe || level <= EMPTY_LEVEL;
        let least = match tells_little {
            true => f64::from(limit) * EMPTY_DROP_MAX,
            false => f64::from(self.best.min(limit)) * DROP_MAX,
        };
        let served = level.saturating_sub(1);
        let below = f64::from(limit.saturating_sub(1));
        self.requests = f64::from(share(served)).max(least).min(below).max(1.0);
        let times = match self.refused {
            Some(before) if f64::from(level) >= f64::from(before.level) * 0.9 => before.times.saturating_add(1),
            _ => 0,
        };
        if !tells_little {
            self.refused = Some(RefusedLevel { level: level.max(self.limit() + 1), at: wall, times });
        }
        self.proven = self.limit();
        self.best = self.best.min(self.limit());
        self.num_held = 0;
        self.has_changed = true;
        self.begin_period(now);
    }

    /// Requests may be sent again after a pause.
    pub fn handle_reopened(&mut self, now: Instant) {
        self.begin_period(now);
    }

    /// Once a window: whether the rate may rise. Returns whether it did.
    pub fn review(&mut self, now: Instant, wall: DateTime<Utc>) -> bool {
        if now.saturating_duration_since(self.since) < self.window {
            return false;
        }
        let limit = self.limit();
        let peak = self.peak;
        self.begin_period(now);
        if f64::from(peak) < f64::from(limit) * USED_SHARE || limit >= self.ceiling {
            return false;
        }
        let found = (f64::from(limit) * GROWTH).max(f64::from(limit) + 1.0);
        self.requests = match self.refused {
            None => found,
            Some(refused) if peak >= refused.level => {
                self.refused = None;
                found
            }
            Some(refused) => {
                self.num_held += 1;
                let hold = HOLD_WINDOWS << refused.times.min(HOLD_DOUBLINGS_MAX);
                if self.num_held < hold && wall - refused.at < REFUSED_OUTDATED {
                    return false;
                }
                let below = refused.level.saturating_sub(1);
                f64::from(if limit < below { below } else { refused.level.max(limit + 1) })
            }
        };
        self.requests = self.requests.min(f64::from(self.ceiling));
        self.has_changed = true;
        true
    }

    fn begin_period(&mut self, now: Instant) {
        self.since = now;
        self.peak = 0;
    }
}

/// The rate to continue at after `served` requests of a window were served and one more was refused: 95 %, or all of it
/// where one request is more than a tenth. The window is counted so carefully that even all of it is not refused.
fn share(served: u32) -> u32 {
    let below = (f64::from(served) * 0.95) as u32;
    if f64::from(below) < f64::from(served) * 0.9 { served } else { below }
}
