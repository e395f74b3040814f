//! The tracker's engine against a model listener and a model history, from one seed: sessions of every pace, nights of
//! silence, phones that were offline, an API that fails, a process that dies, a calendar that jumps.
//!
//! What must hold: a play is lost only if fifty others came before anybody looked, and then a gap says so; without that
//! no gap is recorded; nothing is doubled; and the number of requests stays what one may ask for.

use super::*;
use crate::model::{PLAYS_PAGE_LEN, Play, PlaySlot};
use chrono::TimeDelta;
use fastrand::Rng;
use std::collections::BTreeSet;

/// Lives per test, of ten days each: enough to meet every branch many times over.
const SEEDS_DEFAULT: u64 = 20;

fn seeds() -> u64 {
    std::env::var("SEGNO_SIMULATION_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS_DEFAULT)
}

/// Who listens, and what goes wrong.
#[derive(Debug, Clone, Copy)]
struct Weather {
    days: i64,
    /// Shortest and longest play, in seconds.
    spacing: (i64, i64),
    /// Per cent of the sessions that happen offline and turn up hours later.
    offline: u32,
    /// Per cent of the polls that fail.
    failures: u32,
    /// Per cent of the polls after which the process is down, for up to ten hours.
    outages: u32,
    /// Per cent of the polls after which the calendar jumps.
    jumps: u32,
    settings: PlaybackSettings,
}

impl Weather {
    fn calm(spacing: (i64, i64)) -> Weather {
        Weather {
            days: 10,
            spacing,
            offline: 0,
            failures: 0,
            outages: 0,
            jumps: 0,
            settings: PlaybackSettings::default(),
        }
    }
}

/// A play, and since when the API shows it.
#[derive(Debug, Clone, Copy)]
struct Heard {
    at_s: i64,
    visible_s: i64,
}

/// What became of it all.
#[derive(Debug, Default)]
struct Tally {
    days: i64,
    num_plays: usize,
    num_requests: usize,
    num_gaps: usize,
    /// Plays that were in the window at some time and yet are not in the database.
    num_lost: usize,
    /// Of those, in no gap.
    num_untold: usize,
    /// Gaps recorded although fewer than fifty plays had come up since the poll before.
    num_false_gaps: usize,
    longest_wait_s: i64,
}

struct World {
    rng: Rng,
    weather: Weather,
    /// By time of play.
    heard: Vec<Heard>,
    playback: Playback,
    record: PlaybackRecord,
    /// By time of play, which is unique.
    stored: BTreeSet<i64>,
    gaps: Vec<PlayGap>,
    start: Instant,
    now_s: i64,
    skew_s: i64,
    tally: Tally,
    first_answer_s: Option<i64>,
    last_answer_s: Option<i64>,
}

impl World {
    fn new(seed: u64, weather: Weather) -> World {
        let mut rng = Rng::with_seed(seed);
        let heard = listen(&mut rng, weather);
        let (start, record) = (Instant::now(), PlaybackRecord::default());
        World {
            playback: Playback::new(weather.settings, &record, start, moment(0)),
            tally: Tally { days: weather.days, num_plays: heard.len(), ..Tally::default() },
            rng,
            weather,
            heard,
            record,
            stored: BTreeSet::new(),
            gaps: Vec::new(),
            start,
            now_s: 0,
            skew_s: 0,
            first_answer_s: None,
            last_answer_s: None,
        }
    }

    fn clocks(&self) -> (Instant, DateTime<Utc>) {
        (self.start + Duration::from_secs(self.now_s.unsigned_abs()), moment(self.now_s + self.skew_s))
    }

    fn live(mut self) -> Tally {
        while self.now_s < self.weather.days * DAY_S {
            let (now, wall) = self.clocks();
            match self.playback.poll(now, wall) {
                Step::Wait(wait) => self.now_s += i64::try_from(wait.as_secs()).unwrap().max(1),
                Step::Ask => self.ask(),
                Step::Rest => panic!("it rests although nothing stops it"),
            }
        }
        self.settle()
    }

    fn ask(&mut self) {
        self.tally.num_requests += 1;
        if let Some(last) = self.last_answer_s {
            self.tally.longest_wait_s = self.tally.longest_wait_s.max(self.now_s - last);
        }
        if self.rng.u32(0..100) < self.weather.failures {
            let (now, wall) = self.clocks();
            self.playback.handle_fault(Fault::Unreachable("down".into()), now, wall, self.rng.f64());
        } else {
            self.answer();
        }
        if self.rng.u32(0..100) < self.weather.outages {
            self.now_s += self.rng.i64(0..10 * 3600);
            self.restart();
        }
        if self.rng.u32(0..100) < self.weather.jumps {
            self.skew_s += self.rng.i64(-3 * DAY_S..3 * DAY_S);
        }
    }

    /// One page, judged and written as the shell would.
    fn answer(&mut self) {
        let window = self.window();
        let slots = window.iter().map(|heard| slot(heard.at_s)).collect();
        let page = PlaysPage { slots };
        let known = self.known(&page);
        let (now, wall) = self.clocks();
        let jitter = self.rng.f64();
        let verdict = self.playback.handle_page(&page, &known, wall, jitter);
        let PlaybackSettings { min_interval, max_interval, .. } = self.weather.settings;
        assert!((min_interval..=max_interval).contains(&verdict.wait), "{verdict:?}");
        self.playback.handle_committed(&verdict, now, wall);
        self.note(&page, &known, &verdict, wall);
    }

    fn note(&mut self, page: &PlaysPage, known: &KnownPlays, verdict: &Verdict, wall: DateTime<Utc>) {
        if let Some(gap) = verdict.gap {
            let since = self.last_answer_s.unwrap_or(i64::MIN);
            let came_up = self.heard.iter().filter(|heard| (since + 1..=self.now_s).contains(&heard.visible_s)).count();
            let is_late_end = page.plays().any(|play| known.keys.contains(&play.key()));
            self.tally.num_false_gaps += usize::from(came_up < PLAYS_PAGE_LEN && !is_late_end);
            self.gaps.push(gap);
        }
        self.stored.extend(page.plays().map(at_s));
        self.first_answer_s.get_or_insert(self.now_s);
        self.last_answer_s = Some(self.now_s);
        self.record.last_polled_at = Some(wall);
        self.record.next_poll_at = Some(wall + verdict.wait);
    }

    fn restart(&mut self) {
        let (now, wall) = self.clocks();
        self.playback = Playback::new(self.weather.settings, &self.record, now, wall);
    }

    /// What the API shows now.
    fn window(&self) -> Vec<Heard> {
        let until_now = &self.heard[..self.heard.partition_point(|heard| heard.at_s <= self.now_s)];
        let visible = until_now.iter().rev().filter(|heard| heard.visible_s <= self.now_s);
        visible.take(PLAYS_PAGE_LEN).copied().collect()
    }

    fn known(&self, page: &PlaysPage) -> KnownPlays {
        let Some(oldest) = page.plays().map(at_s).min() else { return KnownPlays::default() };
        KnownPlays {
            keys: self.stored.range(oldest..).map(|at_s| slot(*at_s).play.unwrap().key()).collect(),
            newest_before: self.stored.range(..oldest).next_back().map(|at_s| moment(*at_s)),
        }
    }

    /// Counts the losses among those that were the newest of all when they happened, and so were in the window.
    fn settle(mut self) -> Tally {
        let tracked = self.first_answer_s.unwrap_or(i64::MAX)..=self.last_answer_s.unwrap_or(i64::MIN);
        let in_order = self.heard.iter().filter(|heard| heard.at_s == heard.visible_s && tracked.contains(&heard.at_s));
        for heard in in_order.filter(|heard| !self.stored.contains(&heard.at_s)) {
            let played_at = moment(heard.at_s);
            let is_told = self.gaps.iter().any(|gap| gap.played_after < played_at && played_at < gap.played_before);
            self.tally.num_lost += 1;
            self.tally.num_untold += usize::from(!is_told);
        }
        self.tally.num_gaps = self.gaps.len();
        self.tally
    }
}

const DAY_S: i64 = 24 * 3600;

pub(in crate::engine) fn moment(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap() + TimeDelta::seconds(seconds)
}

pub(in crate::engine) fn at_s(play: &Play) -> i64 {
    (play.played_at - moment(0)).num_seconds()
}

pub(in crate::engine) fn slot(at_s: i64) -> PlaySlot {
    let played_at = moment(at_s);
    let play = Play { played_at, track_uri: "spotify:track:t".into(), track: None, context_uri: None };
    PlaySlot { play: Some(play), played_at: Some(played_at), odd: None }
}

/// Sessions of minutes to hours with hours between them.
fn listen(rng: &mut Rng, weather: Weather) -> Vec<Heard> {
    let (mut heard, mut at_s) = (Vec::new(), 0);
    while at_s < weather.days * DAY_S {
        at_s += rng.i64(600..10 * 3600);
        let end_s = at_s + rng.i64(300..4 * 3600);
        let pace = rng.i64(weather.spacing.0..=weather.spacing.1);
        let is_offline = rng.u32(0..100) < weather.offline;
        let shown_s = is_offline.then(|| end_s + rng.i64(0..12 * 3600));
        while at_s < end_s {
            at_s += rng.i64(weather.spacing.0..=pace);
            heard.push(Heard { at_s, visible_s: shown_s.unwrap_or(at_s) });
        }
    }
    heard
}

/// Lives through every seed and prints what it cost.
fn live_all(what: &str, weather: impl Fn(u64) -> Weather) -> Tally {
    let mut sum = Tally::default();
    for seed in 0..seeds() {
        let tally = World::new(seed, weather(seed)).live();
        assert_eq!((tally.num_untold, tally.num_false_gaps), (0, 0), "{what}, seed {seed}: {tally:?}");
        sum.days += tally.days;
        sum.num_plays += tally.num_plays;
        sum.num_requests += tally.num_requests;
        sum.num_gaps += tally.num_gaps;
        sum.num_lost += tally.num_lost;
        sum.longest_wait_s = sum.longest_wait_s.max(tally.longest_wait_s);
    }
    let per_day = |number: usize| number as f64 / sum.days as f64;
    println!(
        "{what}: {} days, {:.0} plays and {:.1} requests a day, {} plays lost, {} gaps, longest wait {} min",
        sum.days,
        per_day(sum.num_plays),
        per_day(sum.num_requests),
        sum.num_lost,
        sum.num_gaps,
        sum.longest_wait_s / 60
    );
    sum
}

#[test]
fn ordinary_listening_never_loses_a_play() {
    let sum = live_all("tracks of 75 s to 6 min", |_| Weather::calm((75, 360)));
    assert_eq!((sum.num_lost, sum.num_gaps), (0, 0));
    assert!(sum.num_requests as i64 <= 72 * sum.days, "no more than one every 20 min on average");
}

#[test]
fn silence_costs_a_request_an_hour() {
    let tally = World { heard: Vec::new(), ..World::new(1, Weather::calm((180, 240))) }.live();
    assert!((10 * 24..=10 * 30).contains(&tally.num_requests), "{tally:?}");
}

#[test]
fn whoever_skips_through_tracks_loses_only_what_a_gap_tells() {
    let sum = live_all("tracks of 31 s to 2 min", |_| Weather::calm((31, 120)));
    let share = sum.num_lost as f64 / sum.num_plays as f64;
    assert!(share < 0.02, "{share}");
    assert!(sum.num_requests as i64 <= 3 * 72 * sum.days);
}

#[test]
fn with_the_longest_interval_at_the_normal_one_nobody_is_ahead() {
    let twenty_minutes = PlaybackSettings::default().interval;
    let settings = PlaybackSettings { max_interval: twenty_minutes, ..PlaybackSettings::default() };
    let sum = live_all("the same, max_interval 20m", |_| Weather { settings, ..Weather::calm((31, 120)) });
    assert_eq!((sum.num_lost, sum.num_gaps), (0, 0));
    assert!(sum.num_requests as i64 <= 90 * sum.days);
}

#[test]
fn plays_survive_failures_outages_and_jumps_of_the_calendar() {
    live_all("all weathers", |seed| Weather {
        spacing: [(31, 90), (75, 360), (150, 300)][seed as usize % 3],
        failures: [0, 10, 50][seed as usize / 3 % 3],
        outages: [0, 2, 10][seed as usize / 9 % 3],
        jumps: [0, 5][seed as usize / 27 % 2],
        ..Weather::calm((75, 360))
    });
}

#[test]
fn what_was_heard_offline_is_caught_while_it_is_in_the_window() {
    for seed in 0..seeds() {
        let mut world = World::new(seed, Weather { offline: 40, ..Weather::calm((75, 360)) });
        let mut missed = 0;
        while world.now_s < world.weather.days * DAY_S {
            let (now, wall) = world.clocks();
            match world.playback.poll(now, wall) {
                Step::Wait(wait) => world.now_s += i64::try_from(wait.as_secs()).unwrap().max(1),
                Step::Ask => {
                    world.ask();
                    let shown = world.window();
                    let is_stored = |heard: &&Heard| world.stored.contains(&heard.at_s);
                    missed += shown.len() - shown.iter().filter(is_stored).count();
                }
                Step::Rest => panic!("it rests although nothing stops it"),
            }
        }
        assert_eq!(missed, 0, "seed {seed}");
        let tally = world.settle();
        assert_eq!(tally.num_untold, 0, "seed {seed}: {tally:?}");
    }
}
