//! One rule at a time, with hand-made moments.

use super::*;
use crate::model::{Family, LimitClass, Play, PlaySlot};
use std::collections::BTreeSet;

mod gaps;

const MINUTE: Duration = Duration::from_secs(60);

/// An engine with a clock of each kind.
struct Rig {
    playback: Playback,
    start: Instant,
    /// Passed on the monotonic clock.
    passed: Duration,
    /// How far the calendar is ahead of it.
    skew: TimeDelta,
}

impl Rig {
    fn new(record: &PlaybackRecord) -> Rig {
        let start = Instant::now();
        let playback = Playback::new(PlaybackSettings::default(), record, start, at(0));
        Rig { playback, start, passed: Duration::ZERO, skew: TimeDelta::zero() }
    }

    fn now(&self) -> Instant {
        self.start + self.passed
    }

    fn wall(&self) -> DateTime<Utc> {
        at(0) + self.passed + self.skew
    }

    fn step(&mut self) -> Step {
        let (now, wall) = (self.now(), self.wall());
        self.playback.poll(now, wall)
    }

    /// Minutes until it asks, on the monotonic clock, looking whenever it wants to.
    fn minutes_until_ask(&mut self) -> u64 {
        let began = self.passed;
        loop {
            match self.step() {
                Step::Ask => return (self.passed - began).as_secs() / 60,
                Step::Wait(wait) => {
                    assert!(!wait.is_zero() && wait <= MINUTE, "{wait:?}");
                    self.passed += wait;
                }
                Step::Rest => panic!("it rests for good"),
            }
        }
    }

    fn fault(&mut self, fault: Fault) -> Setback {
        let (now, wall) = (self.now(), self.wall());
        self.playback.handle_fault(fault, now, wall, 0.0)
    }

    /// A page with these plays, of which those at `known` seconds were known before.
    fn page(&mut self, plays: &[i64], known: &[i64]) -> Verdict {
        let (now, wall) = (self.now(), self.wall());
        let verdict = self.playback.handle_page(&mut page(plays), &knowing(plays, known), wall, 0.0);
        self.playback.handle_committed(&verdict, now, wall);
        verdict
    }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap() + TimeDelta::seconds(seconds)
}

fn play(seconds: i64) -> Play {
    Play { played_at: at(seconds), track_uri: format!("spotify:track:{seconds}"), track: None, context_uri: None }
}

fn page(plays: &[i64]) -> PlaysPage {
    let slot = |at: &i64| PlaySlot { played_at: Some(play(*at).played_at), play: Some(play(*at)), odd: None };
    PlaysPage { slots: plays.iter().map(slot).collect() }
}

fn knowing(plays: &[i64], known: &[i64]) -> KnownPlays {
    let oldest = plays.iter().min().copied().unwrap_or(i64::MAX);
    let keys = known.iter().filter(|at| **at >= oldest).map(|at| play(*at).key()).collect();
    let newest_before = known.iter().filter(|at| **at < oldest).max().map(|seconds| at(*seconds));
    KnownPlays { keys, newest_before, ..KnownPlays::default() }
}

fn polled(minutes_ago: i64, next_in: i64) -> PlaybackRecord {
    let minutes = |minutes: i64| at(minutes * 60);
    PlaybackRecord {
        last_polled_at: Some(minutes(-minutes_ago)),
        next_poll_at: Some(minutes(next_in)),
        ..PlaybackRecord::default()
    }
}

#[test]
fn the_first_poll_of_all_is_at_once_and_no_gap() {
    let mut rig = Rig::new(&PlaybackRecord::default());
    assert_eq!(rig.step(), Step::Ask);
    let plays: Vec<i64> = (0..50).map(|n| -n * 240).collect();
    let verdict = rig.page(&plays, &[]);
    assert_eq!((verdict.num_new, verdict.gap), (50, None));
    assert_eq!(rig.minutes_until_ask(), 20);
}

/// Once a phone with a wrong calendar had reported a play of next week, nothing counted as new, and no gap was found.
#[test]
fn a_play_dated_in_the_future_hides_no_gap() {
    let (later, ancient) = (7 * 86_400, -30_000);
    let plays: Vec<i64> = (0..50).map(|n| -n * 60).collect();
    let gap = PlayGap { played_after: at(ancient), played_before: at(-49 * 60) };
    let gap_of = |plays: &[i64], known: &[i64]| {
        let mut rig = Rig::new(&polled(600, -580));
        rig.minutes_until_ask();
        rig.page(plays, known).gap
    };
    assert_eq!(gap_of(&plays, &[ancient]), Some(gap));
    assert_eq!(gap_of(&plays, &[ancient, later]), Some(gap), "it came before");
    let with_it: Vec<i64> = plays.iter().copied().chain([later]).collect();
    assert_eq!(gap_of(&with_it, &[ancient]), Some(gap), "it comes now");
    assert_eq!(gap_of(&plays, &[ancient, 60, later]), None, "an older copy is told apart all the same");
}

#[test]
fn a_restart_waits_for_what_is_due_and_makes_up_for_what_is_overdue_once() {
    assert_eq!(Rig::new(&polled(5, 15)).minutes_until_ask(), 15);
    let mut overdue = Rig::new(&polled(600, -580));
    assert_eq!(overdue.minutes_until_ask(), 0);
    overdue.page(&[-60], &[-60]);
    assert_eq!(overdue.minutes_until_ask(), 20);
}

#[test]
fn a_restart_with_shorter_settings_does_not_wait_for_the_old_ones() {
    assert_eq!(Rig::new(&polled(5, 600)).minutes_until_ask(), 55, "max_interval after the last poll");
}

#[test]
fn a_calendar_set_back_between_two_lives_does_not_stop_it() {
    // Polled "in two years".
    assert_eq!(Rig::new(&polled(-2 * 365 * 24 * 60, 2 * 365 * 24 * 60 + 20)).minutes_until_ask(), 0);
    assert_eq!(Rig::new(&polled(-10, 30)).minutes_until_ask(), 30, "a clock that is a little behind");
}

#[test]
fn a_calendar_set_back_while_it_waits_does_not_stop_it() {
    let mut rig = Rig::new(&polled(5, 15));
    assert!(matches!(rig.step(), Step::Wait(_)));
    rig.skew = TimeDelta::days(-400);
    assert_eq!(rig.minutes_until_ask(), 15);
    rig.page(&[-60], &[-60]);
    assert_eq!(rig.minutes_until_ask(), 20);
}

#[test]
fn a_machine_that_slept_asks_once_when_it_wakes() {
    let mut rig = Rig::new(&polled(5, 15));
    // The monotonic clock stands still meanwhile.
    rig.skew = TimeDelta::hours(6);
    assert_eq!(rig.step(), Step::Ask);
    rig.page(&[-60], &[-60]);
    assert!(rig.minutes_until_ask() >= 20);
}

#[test]
fn a_full_page_that_does_not_link_up_is_a_gap() {
    let mut rig = Rig::new(&polled(20, 0));
    assert_eq!(rig.step(), Step::Ask);
    let plays: Vec<i64> = (0..50).map(|n| 5000 - n * 100).collect();
    let verdict = rig.page(&plays, &[0, -100]);
    assert_eq!(verdict.gap, Some(PlayGap { played_after: at(0), played_before: at(100) }));
    assert_eq!(rig.minutes_until_ask(), 5, "and what comes next is not to be lost as well");
}

#[test]
fn a_page_that_links_up_is_no_gap_and_any_other_is_one_however_long() {
    let full: Vec<i64> = (0..50).map(|n| 5000 - n * 100).collect();
    let judge = |plays: &[i64], known: &[i64]| gap(&page(plays), &knowing(plays, known), None, at(9000));
    assert_eq!(judge(&full, &[100, 0]), None, "its oldest is known");
    for len in [1, 10, 49, 50] {
        let oldest = full[len - 1];
        let unlinked = Some(PlayGap { played_after: at(0), played_before: at(oldest) });
        assert_eq!(judge(&full[..len], &[0]), unlinked, "{len} rows");
        assert_eq!(judge(&full[..len], &[oldest, 0]), None, "{len} rows");
    }
    assert_eq!(judge(&full, &[]), None, "nothing was known before");
    assert_eq!(judge(&[], &[]), None);
}

#[test]
fn a_page_from_an_older_copy_is_no_gap() {
    let judge = |plays: &[i64], known: &[i64]| gap(&page(plays), &knowing(plays, known), None, at(9000));
    assert_eq!(judge(&[500, 400, 300], &[600, 500, 400, 300]), None);
    assert_eq!(judge(&[500, 400, 300], &[600, 500, 400, 200]), None, "a late row in it changes nothing");
    assert_eq!(judge(&[500, 400], &[300]).map(|gap| gap.played_after), Some(at(300)), "this one is newer");
}

#[test]
fn an_empty_page_where_plays_are_known_is_a_gap_that_is_told_once() {
    let mut rig = Rig::new(&polled(20, 0));
    let mut seen = Vec::new();
    for _ in 0..6 {
        let waited = rig.minutes_until_ask();
        seen.push((waited, rig.page(&[], &[-100]).gap.is_some()));
    }
    assert_eq!(seen, [(0, true), (5, false), (5, false), (10, false), (10, false), (10, false)]);
    rig.minutes_until_ask();
    assert_eq!(rig.page(&[-100], &[-100]).gap, None);
    assert_eq!(rig.minutes_until_ask(), 20, "and what links up is the end of it");
    assert!(rig.page(&[], &[-100]).gap.is_some());
}

/// Found by the simulation: eight answers in a row showed no play, and what they hid was in no gap.
#[test]
fn empty_pages_do_not_prove_that_nothing_was_heard_before_the_first_full_one() {
    let mut rig = Rig::new(&PlaybackRecord::default());
    rig.minutes_until_ask();
    let began = rig.wall();
    assert_eq!(rig.page(&[], &[]).gap, None);
    for _ in 0..3 {
        rig.minutes_until_ask();
        rig.page(&[], &[]);
    }
    rig.minutes_until_ask();
    let oldest = rig.wall() - TimeDelta::seconds(50);
    let full: Vec<i64> = (0..50).map(|n| (rig.wall() - at(0)).num_seconds() - 1 - n).collect();
    assert_eq!(rig.page(&full, &[]).gap, Some(PlayGap { played_after: began - CLOCK_MARGIN, played_before: oldest }));
}

#[test]
fn late_rows_in_the_middle_are_new_and_no_gap() {
    let mut rig = Rig::new(&polled(20, 0));
    assert_eq!(rig.step(), Step::Ask);
    let verdict = rig.page(&[-100, -500, -600, -900], &[-100, -900]);
    assert_eq!((verdict.num_new, verdict.gap), (2, None));
}

#[test]
fn failures_are_tried_again_ever_more_rarely_but_never_beyond_the_interval() {
    let mut rig = Rig::new(&PlaybackRecord::default());
    assert_eq!(rig.step(), Step::Ask);
    let waits: Vec<u64> = (0..5)
        .map(|_| {
            rig.fault(Fault::Unreachable("down".into()));
            rig.minutes_until_ask()
        })
        .collect();
    assert_eq!(waits, [5, 5, 10, 10, 10]);
    rig.page(&[-60], &[-60]);
    assert_eq!(rig.minutes_until_ask(), 20);
    rig.fault(Fault::Unservable("5xx".into()));
    assert_eq!(rig.minutes_until_ask(), 5, "an answer in between starts the count anew");
}

#[test]
fn a_failure_is_told_once() {
    let mut rig = Rig::new(&PlaybackRecord::default());
    let mut is_news = |why: &str| {
        rig.minutes_until_ask();
        rig.fault(Fault::Unreachable(why.into())).is_news
    };
    assert_eq!([is_news("down"), is_news("down"), is_news("refused"), is_news("refused")], [true, false, true, false]);
}

#[test]
fn a_pause_is_waited_for_and_looked_at_now_and_then() {
    let mut rig = Rig::new(&PlaybackRecord::default());
    let pause = Pause { scope: Family::Player, class: LimitClass::Quota, until: at(90 * 60) };
    assert_eq!(rig.step(), Step::Ask);
    let setback = rig.fault(Fault::Paused(pause));
    assert_eq!((setback.standing, setback.next_poll_at), (Standing::Paused(pause), Some(at(90 * 60))));
    assert_eq!(rig.minutes_until_ask(), 60);
    rig.fault(Fault::Paused(pause));
    assert_eq!(rig.minutes_until_ask(), 30);
    assert_eq!(rig.wall(), at(90 * 60));
    // The gate goes by its own clock and says no once more: no tight loop.
    rig.fault(Fault::Paused(pause));
    assert_eq!(rig.step(), Step::Wait(PAUSE_WAIT_MIN));
}

/// Refusals of every kind were seen to pass within minutes; plays that leave the page meanwhile are lost.
#[test]
fn one_refusal_costs_minutes_of_tracking_and_no_more() {
    let why = || "why".to_owned();
    for fault in [Fault::Outage(why()), Fault::Forbidden(why()), Fault::Gone(why()), Fault::Unservable(why())] {
        let mut rig = Rig::new(&polled(20, 0));
        assert_eq!(rig.step(), Step::Ask);
        assert_eq!(rig.fault(fault.clone()).standing, Standing::Failing(fault.to_string()));
        assert_eq!(rig.minutes_until_ask(), 5, "{fault:?}");
        for _ in 0..9 {
            rig.fault(fault.clone());
            assert!(rig.minutes_until_ask() <= 20, "{fault:?}");
        }
    }
}

#[test]
fn what_only_a_person_can_change_is_asked_again_after_a_day_once_it_is_confirmed() {
    let mut rig = Rig::new(&PlaybackRecord::default());
    let refused = || Fault::NotPermitted("scope".into());
    assert_eq!(rig.step(), Step::Ask);
    let setback = rig.fault(refused());
    assert_eq!(setback.standing, Standing::Failing("scope".into()), "one answer decides nothing that lasts");
    assert!(setback.is_news);
    assert_eq!(rig.minutes_until_ask(), 5);
    assert_eq!(rig.fault(refused()).standing, Standing::Failing("scope".into()), "too soon");
    assert_eq!(rig.minutes_until_ask(), 5);
    let setback = rig.fault(refused());
    assert!(matches!(setback.standing, Standing::Parked { .. }), "{setback:?}");
    assert!(setback.is_news, "that it rests for a day");
    assert_eq!(rig.minutes_until_ask(), 24 * 60);
    let setback = rig.fault(refused());
    assert!(matches!(setback.standing, Standing::Parked { .. }) && !setback.is_news, "told once: {setback:?}");
}

#[test]
fn times_with_and_without_milliseconds_are_one_play() {
    let mut rig = Rig::new(&polled(25, -5));
    assert_eq!(rig.step(), Step::Ask);
    let fine = |seconds: i64| (at(seconds) + TimeDelta::milliseconds(123), format!("spotify:track:{seconds}"));
    let known = KnownPlays { keys: [fine(-400), fine(-200)].into(), ..KnownPlays::default() };
    let mut shown = page(&[-60, -200, -400]);
    let verdict = rig.playback.handle_page(&mut shown, &known, at(0), 0.0);
    assert_eq!((verdict.num_new, verdict.gap), (1, None));
    assert_eq!(shown.slots[1].play.as_ref().map(Play::key), Some(fine(-200)), "it is written as it is known");
    assert_eq!(shown.slots[1].played_at, Some(fine(-200).0));
}

#[test]
fn a_refusal_that_passes_parks_nothing() {
    let mut rig = Rig::new(&PlaybackRecord::default());
    let refused = || Fault::Refused("closed to this application".into());
    assert_eq!(rig.step(), Step::Ask);
    for _ in 0..5 {
        assert!(matches!(rig.fault(refused()).standing, Standing::Failing(_)));
        assert_eq!(rig.minutes_until_ask(), 5);
        rig.page(&[-60], &[-60]);
        assert!(rig.minutes_until_ask() <= 20);
    }
}

#[test]
fn parking_survives_a_restart_and_ends_with_a_new_sign_in() {
    let parked = PlaybackRecord {
        parked_until: Some(at(20 * 3600)),
        error: Some("scope".into()),
        authorized_at: Some(at(-90 * 24 * 3600)),
        ..polled(240, -220)
    };
    let mut rig = Rig::new(&parked);
    assert_eq!(rig.minutes_until_ask(), 20 * 60);
    assert!(!rig.fault(Fault::NotPermitted("scope".into())).is_news, "an earlier life has told it");
    let signed_in = PlaybackRecord { authorized_at: Some(at(-60)), ..parked };
    assert_eq!(Rig::new(&signed_in).minutes_until_ask(), 0);
}

#[test]
fn without_a_sign_in_nothing_is_asked_for_any_more() {
    let mut rig = Rig::new(&PlaybackRecord::default());
    assert_eq!(rig.step(), Step::Ask);
    let setback = rig.fault(Fault::SignIn("revoked".into()));
    assert_eq!((setback.standing, setback.next_poll_at), (Standing::SignInNeeded("revoked".into()), None));
    rig.passed += 100 * 24 * 60 * MINUTE;
    assert_eq!((rig.step(), rig.playback.next_poll_at()), (Step::Rest, None));
}

#[test]
fn whoever_is_overtaken_stops() {
    let mut rig = Rig::new(&PlaybackRecord::default());
    assert_eq!(rig.step(), Step::Ask);
    let setback = rig.fault(Fault::Overtaken("another process".into()));
    assert_eq!(setback.standing, Standing::Stopped("another process".into()));
    rig.passed += 60 * MINUTE;
    assert_eq!(rig.step(), Step::Rest);
}

#[test]
fn nothing_is_asked_twice_while_an_answer_is_awaited() {
    let mut rig = Rig::new(&PlaybackRecord::default());
    assert_eq!((rig.step(), rig.step()), (Step::Ask, Step::Rest));
}

#[test]
fn odd_rows_and_doubled_rows_are_counted_for_what_they_are() {
    let mut rig = Rig::new(&PlaybackRecord::default());
    assert_eq!(rig.step(), Step::Ask);
    let mut page = page(&[0, -100, -100, -200]);
    page.slots.push(PlaySlot { play: None, played_at: Some(at(-300)), odd: Some(crate::model::Oddity::Null) });
    let verdict = rig.playback.handle_page(&mut page, &KnownPlays::default(), at(0), 0.0);
    assert_eq!((verdict.num_new, verdict.num_odd), (3, 1));
}

const DAY_S: i64 = 24 * 3600;
const DAYS: i64 = 100;

/// What it costs to keep up with somebody for a hundred days.
#[derive(Debug)]
struct Cost {
    num_plays: usize,
    num_lost: usize,
    num_gaps: usize,
    requests_per_day: usize,
}

/// Sessions of minutes to hours with hours between them, each play as long as that.
fn listen(random: &mut fastrand::Rng, shortest: i64, longest: i64) -> Vec<i64> {
    let (mut plays, mut at) = (Vec::new(), 0);
    while at < DAYS * DAY_S {
        at += random.i64(600..10 * 3600);
        let (end, pace) = (at + random.i64(300..4 * 3600), random.i64(shortest..=longest));
        while at < end {
            at += random.i64(shortest..=pace);
            plays.push(at);
        }
    }
    plays
}

/// Without faults; `tests/simulation` adds them.
fn follow(heard: &[i64], settings: PlaybackSettings, mut random: fastrand::Rng) -> Cost {
    let (start, mut passed) = (Instant::now(), 0);
    let mut playback = Playback::new(settings, &PlaybackRecord::default(), start, at(0));
    let (mut held, mut num_gaps, mut num_requests) = (BTreeSet::new(), 0, 0);
    while passed < DAYS * DAY_S {
        let (now, wall) = (start + Duration::from_secs(passed.unsigned_abs()), at(passed));
        match playback.poll(now, wall) {
            Step::Wait(wait) => passed += wait.as_secs().cast_signed().max(1),
            Step::Ask => {
                num_requests += 1;
                let until_now = &heard[..heard.partition_point(|at| *at <= passed)];
                let shown = &until_now[until_now.len().saturating_sub(50)..];
                let oldest = shown.first().copied().unwrap_or_default();
                let known = KnownPlays {
                    keys: held.range(oldest..).map(|at| play(*at).key()).collect(),
                    newest_before: held.range(..oldest).next_back().map(|seconds| at(*seconds)),
                    ..KnownPlays::default()
                };
                let verdict = playback.handle_page(&mut page(shown), &known, wall, random.f64());
                playback.handle_committed(&verdict, now, wall);
                held.extend(shown);
                num_gaps += usize::from(verdict.gap.is_some());
            }
            Step::Rest => panic!("it rests although nothing stops it"),
        }
    }
    // Plays after the last poll do not count as lost.
    let newest = held.last().copied().unwrap_or_default();
    let num_lost = heard.iter().filter(|at| **at < newest && !held.contains(at)).count();
    Cost { num_plays: heard.len(), num_lost, num_gaps, requests_per_day: num_requests / DAYS.unsigned_abs() as usize }
}

#[test]
fn ordinary_listening_loses_nothing_and_costs_a_request_in_twenty_minutes() {
    let mut random = fastrand::Rng::with_seed(1);
    let cost = follow(&listen(&mut random, 75, 360), PlaybackSettings::default(), random);
    assert!((cost.num_lost, cost.num_gaps) == (0, 0) && cost.requests_per_day <= 72, "{cost:?}");
    let silent = follow(&[], PlaybackSettings::default(), fastrand::Rng::with_seed(1));
    assert!((24..=30).contains(&silent.requests_per_day), "{silent:?}");
}

#[test]
fn whoever_skips_through_tracks_loses_little_and_with_shorter_waits_nothing() {
    let mut random = fastrand::Rng::with_seed(2);
    let (heard, settings) = (listen(&mut random, 31, 120), PlaybackSettings::default());
    let cost = follow(&heard, settings, random.clone());
    assert!(cost.num_lost * 50 < cost.num_plays && cost.num_gaps > 0 && cost.requests_per_day <= 216, "{cost:?}");
    let cost = follow(&heard, PlaybackSettings { max_interval: settings.interval, ..settings }, random);
    assert!((cost.num_lost, cost.num_gaps) == (0, 0) && cost.requests_per_day <= 90, "{cost:?}");
}
