//! How long to wait until the listening history is asked for again.
//!
//! The API shows the last fifty plays and nothing before them, so a poll that comes too late loses plays for good, and
//! one that comes too early costs a request. What a page shows of the listener's pace decides:
//!
//! | the page shows | the next poll comes after |
//! |---|---|
//! | news, and fewer than 25 of them per `interval` | `interval` |
//! | news, faster than that | the time in which 25 plays fall at that pace |
//! | a gap: fifty plays, none that links up with what is known | `min_interval` |
//! | nothing new, the last play less than six `interval`s ago | `interval` |
//! | nothing new for longer | longer in proportion: a sixth of the silence |
//!
//! Where pages turn out to be shorter than fifty rows, half of their length takes the place of 25. And always between `min_interval` and `max_interval`. The price of the last row: a listener who begins right after
//! such a poll and plays less than `max_interval` / 50 of each track (72 s at one hour) outruns the next one. Only an
//! interval below 50 x 30 s = 25 min could rule that out.

use super::PlaybackSettings;
use crate::model::{PLAYS_PAGE_LEN, PlaysPage};
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// Plays that may fall until the next poll, at the pace seen: half a page, so that the pace may double meanwhile.
const ROOM: u32 = PLAYS_PAGE_LEN as u32 / 2;

/// The same where pages are much shorter.
const ROOM_MIN: u32 = 5;

/// Plays in a row whose spacing counts as the pace: a single skipped track is no pace.
const PACE_PLAYS: usize = 5;

/// Fewest steps between plays that say anything about a pace.
const PACE_STEPS_MIN: usize = 3;

/// A silence counts as one after so many intervals, and every interval after that makes the next wait longer.
const IDLE_INTERVALS: u32 = 6;

/// How much sooner than computed a poll may come, so that not everybody asks at the same moment.
const SPREAD: f64 = 0.1;

/// What a poll found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    pub num_new: u32,
    pub is_gap: bool,
    /// Since the poll before; `None` if there was none.
    pub elapsed: Option<Duration>,
    /// Since the newest play; `None` if there is none.
    pub silence: Option<Duration>,
    /// Shortest time that the new plays took on average, over a few in a row.
    pub spacing: Option<Duration>,
    /// Rows of the page, if it is not full although older plays are known: the API gives fewer than it documents.
    pub cap: Option<u32>,
}

/// The wait that follows. `jitter` is in `[0, 1)`.
pub fn wait_after(settings: &PlaybackSettings, seen: &Seen, jitter: f64) -> Duration {
    let PlaybackSettings { interval, min_interval, max_interval } = *settings;
    let room = seen.cap.map_or(ROOM, |rows| (rows / 2).clamp(ROOM_MIN, ROOM));
    let wait = if seen.is_gap {
        min_interval
    } else if seen.num_new == 0 {
        // Nothing was ever played, or the clock is behind: as good as a long silence, or none.
        seen.silence.map_or(max_interval, |silence| (silence / IDLE_INTERVALS).max(interval))
    } else {
        let by_count = seen.elapsed.map(|elapsed| elapsed.saturating_mul(room) / seen.num_new);
        let by_pace = seen.spacing.map(|spacing| spacing.saturating_mul(room));
        [by_count, by_pace].into_iter().flatten().fold(interval, Duration::min)
    };
    let wait = wait.min(max_interval).mul_f64(1.0 - SPREAD * jitter.clamp(0.0, 1.0));
    wait.clamp(min_interval, max_interval)
}

/// The fastest that the new ones among the plays followed each other.
pub fn spacing(page: &PlaysPage, is_new: impl Fn(&DateTime<Utc>) -> bool) -> Option<Duration> {
    let mut times: Vec<DateTime<Utc>> = page.plays().map(|play| play.played_at).filter(is_new).collect();
    times.sort_unstable();
    times.dedup();
    let steps = PACE_PLAYS.min(times.len().checked_sub(1)?);
    if steps < PACE_STEPS_MIN {
        return None;
    }
    let mean = |run: &[DateTime<Utc>]| (run[steps] - run[0]).max(TimeDelta::zero()) / i32::try_from(steps).unwrap_or(1);
    times.windows(steps + 1).map(mean).min()?.to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Play, PlaySlot};

    const MINUTE: Duration = Duration::from_secs(60);

    fn wait(seen: Seen) -> u64 {
        wait_after(&PlaybackSettings::default(), &seen, 0.0).as_secs() / 60
    }

    fn news(num_new: u32, elapsed: u32, spacing_s: u64) -> Seen {
        Seen {
            num_new,
            elapsed: Some(elapsed * MINUTE),
            silence: Some(MINUTE),
            spacing: Some(Duration::from_secs(spacing_s)),
            is_gap: false,
            cap: None,
        }
    }

    #[test]
    fn ordinary_listening_is_polled_at_the_interval() {
        assert_eq!(wait(news(5, 20, 210)), 20);
        assert_eq!(wait(news(1, 60, 3600)), 20, "also after a silence");
        assert_eq!(wait(Seen { elapsed: None, ..news(50, 0, 210) }), 20, "the first page of all is no hurry");
    }

    #[test]
    fn a_page_nearly_full_of_news_is_polled_sooner() {
        assert_eq!(wait(news(40, 20, 210)), 12);
        assert_eq!(wait(news(49, 20, 210)), 10);
        assert_eq!(wait(Seen { is_gap: true, ..news(50, 20, 210) }), 5);
    }

    #[test]
    fn a_fast_burst_is_polled_sooner_before_it_fills_the_page() {
        assert_eq!(wait(news(8, 20, 31)), 12);
        assert_eq!(wait(news(8, 20, 1)), 5, "never below the shortest");
    }

    #[test]
    fn shorter_pages_are_polled_sooner() {
        let capped = |rows| wait(Seen { cap: Some(rows), ..news(9, 20, 50) });
        assert_eq!([50, 20, 2].map(capped), [20, 8, 5]);
    }

    #[test]
    fn silence_makes_the_wait_longer_up_to_the_longest() {
        let silent = |minutes: u32| wait(Seen { silence: Some(minutes * MINUTE), ..Seen::default() });
        assert_eq!([30, 120, 180, 240, 360, 9999].map(silent), [20, 20, 30, 40, 60, 60]);
        assert_eq!(wait(Seen::default()), 60, "an account that never played anything");
    }

    #[test]
    fn whatever_is_seen_the_wait_stays_within_the_settings() {
        let mut random = fastrand::Rng::with_seed(7);
        let seconds = |random: &mut fastrand::Rng| Duration::from_secs(random.u64(0..400_000));
        for _ in 0..20_000 {
            let mut bounds = [seconds(&mut random), seconds(&mut random), seconds(&mut random)];
            bounds.sort();
            let settings = PlaybackSettings { min_interval: bounds[0], interval: bounds[1], max_interval: bounds[2] };
            let maybe = |random: &mut fastrand::Rng| random.bool().then(|| seconds(random));
            let seen = Seen {
                num_new: random.u32(0..=50),
                is_gap: random.u8(0..5) == 0,
                elapsed: maybe(&mut random),
                silence: maybe(&mut random),
                spacing: maybe(&mut random),
                cap: random.bool().then(|| random.u32(0..=50)),
            };
            let wait = wait_after(&settings, &seen, random.f64());
            assert!((settings.min_interval..=settings.max_interval).contains(&wait), "{wait:?} {settings:?} {seen:?}");
        }
    }

    #[test]
    fn the_pace_is_that_of_the_fastest_few_in_a_row_whatever_their_order() {
        let page = |seconds: &[i64]| PlaysPage { slots: seconds.iter().map(|at| slot(*at)).collect() };
        let pace = |seconds: &[i64]| spacing(&page(seconds), |_| true).map(|spacing| spacing.as_secs());
        assert_eq!(pace(&[900, 600, 300]), None, "too few to tell");
        assert_eq!(pace(&[900, 600, 300, 0]), Some(300));
        assert_eq!(pace(&[0, 2000, 1031, 1062, 1093, 1124, 1155, 1000]), Some(31));
        assert_eq!(pace(&[5, 5, 5, 5, 5, 5]), None, "one moment is no pace");
    }

    fn slot(at: i64) -> PlaySlot {
        let played_at = DateTime::from_timestamp(1_790_000_000 + at, 0).unwrap();
        let play = Play { played_at, track_uri: format!("spotify:track:{at}"), track: None, context_uri: None };
        PlaySlot { play: Some(play), played_at: Some(played_at), odd: None }
    }
}
