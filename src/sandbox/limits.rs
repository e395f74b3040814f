//! The two limits of the Web API: how many requests in a rolling window, and how many of a family in 24 hours.
//!
//! A client that is told to wait is refused for exactly that time, and admitted again when it has passed: `Retry-After`
//! is a promise in both directions. Requests that break it are counted apart from those that had left before the
//! promise could be known.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::config::{Limits, RetryAfter};
use super::http::Reply;
use super::routes::Family;

/// Window of a quota.
const QUOTA_WINDOW: Duration = Duration::from_secs(24 * 3600);
/// A request that arrives this soon after a pause was announced may have been under way already.
pub const CROSSING_GRACE: Duration = Duration::from_millis(200);

/// What a pause applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// One family.
    Family(Family),
}

impl Scope {
    fn covers(self, family: Family) -> bool {
        match self {
            Scope::All => true,
            Scope::Family(own) => own == family,
        }
    }
}

/// Which limit applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Too many in the window.
    Rate,
    /// Too many in a day.
    Quota,
    /// No limit: a failing server asked for a wait, but answers all the same.
    Outage,
}

/// Where a pause came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The limits themselves.
    Limit,
    /// A fault rule.
    Rule,
}

/// A time to wait.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    pub scope: Scope,
    pub class: Class,
    pub origin: Origin,
    /// When the answer that announces it was sent.
    pub announced_at: Instant,
    pub until: Instant,
}

/// The relation of an arriving request to the pauses in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// No pause was announced.
    Fine,
    /// It may have left before the pause was known.
    Crossed,
    /// It arrived although the client had been told to wait.
    Early,
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub class: Class,
    /// Seconds for the `Retry-After` header, if there is one.
    pub retry_after_s: Option<u64>,
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Reply {
        let reply = match refusal.class {
            Class::Quota => Reply::api_error_with_reason(429, "Too many requests", "QUOTA_EXCEEDED"),
            Class::Rate | Class::Outage => Reply::api_error(429, "API rate limit exceeded"),
        };
        match refusal.retry_after_s {
            Some(seconds) => reply.with_header("Retry-After", seconds.to_string()),
            None => reply,
        }
    }
}

/// Counts requests, and refuses those that are too many.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    /// Arrivals of admitted requests within the rate window.
    window: VecDeque<Instant>,
    /// Arrivals of admitted requests within the quota window, for families that have a quota.
    buckets: BTreeMap<Family, VecDeque<Instant>>,
    pauses: Vec<Pause>,
}

impl Limiter {
    /// A limiter that has not seen a request yet.
    pub fn new(limits: Limits) -> Limiter {
        Limiter { limits, window: VecDeque::new(), buckets: BTreeMap::new(), pauses: Vec::new() }
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Replaces the limits. Counts are kept; pauses that the old limits began end.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.end_pauses(Origin::Limit);
    }

    /// Ends the pauses of one origin.
    pub fn end_pauses(&mut self, origin: Origin) {
        self.pauses.retain(|pause| pause.origin != origin);
    }

    /// Ends all pauses and forgets what was counted.
    pub fn start_over(&mut self) {
        self.window.clear();
        self.buckets.clear();
        self.pauses.clear();
    }

    /// Begins a pause.
    pub fn pause(&mut self, pause: Pause) {
        self.pauses.push(pause);
    }

    /// The relation of a request of that family to the pauses in force.
    pub fn manners(&self, family: Family, now: Instant) -> Manners {
        let in_force = self.pauses.iter().filter(|pause| pause.scope.covers(family) && now < pause.until);
        in_force.fold(Manners::Fine, |worst, pause| {
            let is_early = now >= pause.announced_at + CROSSING_GRACE;
            if is_early || worst == Manners::Early { Manners::Early } else { Manners::Crossed }
        })
    }

    /// Admits a request of that family, or refuses it. `delay` is how long the answer will be under way.
    pub fn admit(&mut self, family: Family, now: Instant, delay: Duration) -> Result<(), Refusal> {
        self.end_what_is_over(now);
        let refusing = |pause: &&Pause| pause.scope.covers(family) && pause.class != Class::Outage;
        if let Some(pause) = self.pauses.iter().filter(refusing).max_by_key(|pause| pause.until) {
            return Err(Refusal { class: pause.class, retry_after_s: Some(whole_seconds(pause.until - now)) });
        }
        if let Some(refusal) = self.check_rate(now) {
            return Err(self.refuse(refusal, Scope::All, now, delay));
        }
        if let Some(refusal) = self.check_quota(family, now) {
            return Err(self.refuse(refusal, Scope::Family(family), now, delay));
        }
        if self.limits.rate.is_some() {
            self.window.push_back(now);
        }
        if self.limits.quota.contains_key(family.name()) {
            self.buckets.entry(family).or_default().push_back(now);
        }
        Ok(())
    }

    /// A family whose quota pause is over has its quota again, as the pause promised.
    fn end_what_is_over(&mut self, now: Instant) {
        for pause in self.pauses.extract_if(.., |pause| pause.until <= now) {
            if let (Class::Quota, Origin::Limit, Scope::Family(family)) = (pause.class, pause.origin, pause.scope) {
                self.buckets.remove(&family);
            }
        }
    }

    fn check_rate(&mut self, now: Instant) -> Option<Refusal> {
        let (max, window) = self.limits.rate?;
        drop_older(&mut self.window, now, window);
        if self.window.len() < max as usize {
            return None;
        }
        let retry_after_s = match self.limits.retry_after {
            RetryAfter::UntilRoom => {
                let room_at = self.window.front().map_or(now + window, |oldest| *oldest + window);
                Some(whole_seconds(room_at - now))
            }
            RetryAfter::Fixed(seconds) => Some(seconds),
            RetryAfter::Absent => None,
        };
        Some(Refusal { class: Class::Rate, retry_after_s })
    }

    fn check_quota(&mut self, family: Family, now: Instant) -> Option<Refusal> {
        let max = *self.limits.quota.get(family.name())?;
        let bucket = self.buckets.entry(family).or_default();
        drop_older(bucket, now, QUOTA_WINDOW);
        if bucket.len() < max as usize {
            return None;
        }
        Some(Refusal { class: Class::Quota, retry_after_s: Some(self.limits.quota_retry_after_s) })
    }

    fn refuse(&mut self, refusal: Refusal, scope: Scope, now: Instant, delay: Duration) -> Refusal {
        if let Some(seconds) = refusal.retry_after_s {
            let until = now + Duration::from_secs(seconds);
            let origin = Origin::Limit;
            self.pause(Pause { scope, class: refusal.class, origin, announced_at: now + delay, until });
        }
        refusal
    }
}

/// Drops arrivals that have left the window. A request exactly one window old no longer counts.
fn drop_older(arrivals: &mut VecDeque<Instant>, now: Instant, window: Duration) {
    while arrivals.front().is_some_and(|oldest| now.saturating_duration_since(*oldest) >= window) {
        arrivals.pop_front();
    }
}

/// Rounded up, and at least one: `Retry-After: 0` would allow a retry at once.
fn whole_seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_window_rolls_and_refusals_take_no_room() {
        let mut limiter = Limiter::new(Limits::rate(3, 10 * SECOND));
        let start = Instant::now();
        for at in [0, 2, 4] {
            assert_eq!(admit(&mut limiter, start + at * SECOND), Ok(()));
        }
        assert_eq!(admit(&mut limiter, start + 5 * SECOND), Err(5));
        assert_eq!(admit(&mut limiter, start + 7 * SECOND), Err(3));
        assert_eq!(admit(&mut limiter, start + 10 * SECOND), Ok(()));
        assert_eq!(admit(&mut limiter, start + 11 * SECOND), Err(1));
        assert_eq!(admit(&mut limiter, start + 12 * SECOND), Ok(()));
    }

    #[test]
    fn whoever_comes_during_a_pause_is_early_unless_it_was_under_way() {
        let mut limiter = Limiter::new(Limits::rate(0, SECOND));
        let start = Instant::now();
        let delay = Duration::from_millis(200);
        assert_eq!(limiter.manners(Family::Tracks, start), Manners::Fine);
        assert!(limiter.admit(Family::Tracks, start, delay).is_err());
        assert_eq!(limiter.manners(Family::Albums, start + delay), Manners::Crossed);
        assert_eq!(limiter.manners(Family::Albums, start + delay + CROSSING_GRACE), Manners::Early);
        assert_eq!(limiter.manners(Family::Albums, start + SECOND), Manners::Fine);
    }

    #[test]
    fn a_quota_shuts_one_family_and_opens_it_again_when_it_said() {
        let limits = Limits { quota_retry_after_s: 60, ..Limits::default() }.with_quota("tracks", 2);
        let mut limiter = Limiter::new(limits);
        let start = Instant::now();
        let mut ask = |family, at: u32| {
            let refused = limiter.admit(family, start + at * SECOND, Duration::ZERO);
            refused.map_err(|refusal| (refusal.class, refusal.retry_after_s))
        };
        assert_eq!((ask(Family::Tracks, 0), ask(Family::Tracks, 1)), (Ok(()), Ok(())));
        assert_eq!(ask(Family::Tracks, 2), Err((Class::Quota, Some(60))));
        assert_eq!(ask(Family::Albums, 3), Ok(()));
        assert_eq!(ask(Family::Tracks, 61), Err((Class::Quota, Some(1))));
        assert_eq!(ask(Family::Tracks, 62), Ok(()));
        assert_eq!(ask(Family::Tracks, 63), Ok(()));
        assert_eq!(ask(Family::Tracks, 64), Err((Class::Quota, Some(60))));
    }

    #[test]
    fn a_server_in_trouble_is_counted_but_answers() {
        let mut limiter = Limiter::new(Limits::default());
        let start = Instant::now();
        let (scope, class, origin) = (Scope::All, Class::Outage, Origin::Rule);
        limiter.pause(Pause { scope, class, origin, announced_at: start, until: start + SECOND });
        assert_eq!(limiter.manners(Family::Me, start + SECOND / 2), Manners::Early);
        assert_eq!(limiter.admit(Family::Me, start + SECOND / 2, Duration::ZERO), Ok(()));
    }

    fn admit(limiter: &mut Limiter, at: Instant) -> Result<(), u64> {
        let refused = limiter.admit(Family::Tracks, at, Duration::ZERO);
        refused.map_err(|refusal| refusal.retry_after_s.expect("it says how long"))
    }
}
