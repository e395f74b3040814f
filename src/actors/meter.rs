//! The rate, and the time left: over the last minute, so that the pauses between bursts of requests average out.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Two windows of the API's limit: what is sent in bursts looks steady over these.
const LOOK_BACK: Duration = Duration::from_secs(60);

/// A shorter time says nothing.
const LOOK_BACK_MIN: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub struct Meter {
    /// Earlier values of the count, oldest first; the first is the latest that is at least a whole look back old, if
    /// there is one.
    samples: VecDeque<(Instant, u32)>,
}

impl Meter {
    /// Forgets the samples: the count begins to mean something else.
    pub fn reset(&mut self) {
        self.samples.clear();
    }

    pub fn note(&mut self, now: Instant, done: u32) {
        match self.samples.back() {
            Some((_, last)) if *last == done => {}
            // The run went back to read something again.
            Some((_, last)) if *last > done => {
                self.samples.clear();
                self.samples.push_back((now, done));
            }
            _ => self.samples.push_back((now, done)),
        }
        while self.samples.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= LOOK_BACK) {
            self.samples.pop_front();
        }
    }

    /// Per second; `None` while it is too early to tell.
    pub fn rate(&self, now: Instant) -> Option<f64> {
        let ((since, from), (_, to)) = (self.samples.front()?, self.samples.back()?);
        let span = now.duration_since(*since);
        (span >= LOOK_BACK_MIN && to > from).then(|| f64::from(to - from) / span.as_secs_f64())
    }

    pub fn left(&self, now: Instant, total: Option<u32>) -> Option<Duration> {
        let (_, done) = self.samples.back()?;
        let left = f64::from(total?.saturating_sub(*done));
        Duration::try_from_secs_f64(left / self.rate(now)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metered(samples: &[(u64, u32)]) -> (Meter, impl Fn(u64) -> Instant) {
        let began = Instant::now();
        let at = move |seconds| began + Duration::from_secs(seconds);
        let mut meter = Meter::default();
        samples.iter().for_each(|(seconds, done)| meter.note(at(*seconds), *done));
        (meter, at)
    }

    #[test]
    fn the_rate_is_that_of_the_last_minute() {
        let (meter, at) = metered(&[(0, 0), (10, 1000), (20, 1010), (80, 1070)]);
        assert_eq!(meter.rate(at(80)), Some(1.0));
        assert_eq!(meter.left(at(80), Some(1100)), Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_pause_lowers_the_rate_and_does_not_hide_it() {
        let (meter, at) = metered(&[(0, 0), (5, 100)]);
        assert_eq!(meter.rate(at(5)), Some(20.0));
        assert_eq!(meter.rate(at(20)), Some(5.0));
    }

    #[test]
    fn nothing_is_told_of_what_has_just_begun_or_begun_again() {
        let (meter, at) = metered(&[(0, 500)]);
        assert_eq!(meter.rate(at(9)), None);
        let (meter, at) = metered(&[(0, 500), (5, 900), (6, 100)]);
        assert_eq!((meter.rate(at(9)), meter.left(at(9), Some(1000))), (None, None));
    }
}
