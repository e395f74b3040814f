//! What the death of an actor means: a new life after a pause or, when deaths come too often, parking.

use super::backoff::doubled;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How a life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It stopped by itself or was told to.
    Finished,
    Panicked(String),
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    RestartIn(Duration),
    /// Too many deaths in the window: stay down and show the error.
    Park,
    /// A normal end.
    Rest,
}

/// Restart intensity: at most `max_restarts` within `within`, with exponential pauses between them.
#[derive(Debug, Clone, Copy)]
pub struct RestartPolicy {
    pub max_restarts: usize,
    pub within: Duration,
    pub base: Duration,
    pub cap: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        RestartPolicy {
            max_restarts: 5,
            within: Duration::from_secs(60),
            base: Duration::from_millis(100),
            cap: Duration::from_secs(10),
        }
    }
}

/// Deaths of one actor.
#[derive(Debug, Clone, Default)]
pub struct Deaths {
    times: VecDeque<Instant>,
}

impl Deaths {
    /// Takes in an exit at `now` and rules on it. `jitter` is in `[0, 1)`.
    pub fn handle_exit(&mut self, policy: &RestartPolicy, exit: &Exit, now: Instant, jitter: f64) -> Ruling {
        match exit {
            Exit::Finished => Ruling::Rest,
            Exit::Panicked(_) => {
                while self.times.front().is_some_and(|died_at| now.duration_since(*died_at) > policy.within) {
                    self.times.pop_front();
                }
                let recent = self.times.len();
                self.times.push_back(now);
                if recent >= policy.max_restarts {
                    return Ruling::Park;
                }
                let step = doubled(policy.base, policy.cap, u32::try_from(recent).unwrap_or(u32::MAX));
                Ruling::RestartIn(step.mul_f64(0.75 + 0.5 * jitter.clamp(0.0, 1.0)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panicked() -> Exit {
        Exit::Panicked("boom".into())
    }

    #[test]
    fn a_repeating_fault_is_slowed_and_then_parked() {
        let (policy, start, mut deaths) = (RestartPolicy::default(), Instant::now(), Deaths::default());
        let rulings: Vec<Ruling> =
            (0..6).map(|n| deaths.handle_exit(&policy, &panicked(), start + Duration::from_secs(n), 0.5)).collect();
        let pauses: Vec<u64> = rulings
            .iter()
            .filter_map(|ruling| match ruling {
                Ruling::RestartIn(pause) => Some(pause.as_millis() as u64),
                Ruling::Park | Ruling::Rest => None,
            })
            .collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600]);
        assert_eq!(rulings[5], Ruling::Park);
    }

    #[test]
    fn rare_deaths_are_never_parked() {
        let (policy, start, mut deaths) = (RestartPolicy::default(), Instant::now(), Deaths::default());
        for n in 0..50 {
            let ruling = deaths.handle_exit(&policy, &panicked(), start + Duration::from_secs(61 * n), 0.0);
            assert!(matches!(ruling, Ruling::RestartIn(_)), "death {n} got {ruling:?}");
        }
    }

    #[test]
    fn a_normal_end_is_not_a_death() {
        let mut deaths = Deaths::default();
        let ruling = deaths.handle_exit(&RestartPolicy::default(), &Exit::Finished, Instant::now(), 0.0);
        assert_eq!(ruling, Ruling::Rest);
    }
}
