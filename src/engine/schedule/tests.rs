//! Days under hand-made clocks.

use super::*;
use crate::model::{AccountId, EntityType, LimitClass, Pause};
use chrono::TimeDelta;

const HOUR: Duration = Duration::from_secs(3600);
const INTERVAL: Duration = Duration::from_secs(6 * 3600);

const KEY: SyncKey = SyncKey { account: AccountId(1), entity: EntityType::Tracks };

/// A schedule under hand-made clocks, which can diverge.
struct Day {
    schedule: Schedule,
    now: Instant,
    wall: DateTime<Utc>,
}

impl Day {
    fn begin(remembered: Remembered) -> Day {
        let (now, wall) = (Instant::now(), morning());
        let mut schedule = Schedule::new(INTERVAL);
        schedule.handle_added(KEY, remembered, now, wall);
        Day { schedule, now, wall }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.wall += time;
    }

    fn is_due(&mut self) -> bool {
        self.schedule.poll_due(self.now, self.wall).is_some()
    }

    fn end(&mut self, end: RunEnd) -> Plan {
        self.schedule.handle_ended(KEY, &end, self.now, self.wall, 0.5)
    }

    /// Time until the next run is due, looked at every minute for two days.
    fn wait(&mut self) -> Option<Duration> {
        let began = self.now;
        for _ in 0..2 * 24 * 60 {
            if self.is_due() {
                return Some(self.now - began);
            }
            self.pass(Duration::from_secs(60));
        }
        None
    }
}

fn morning() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

fn complete() -> RunEnd {
    RunEnd::Complete { notes: Vec::new(), again_in: None }
}

fn failed(fault: impl FnOnce(String) -> Fault) -> RunEnd {
    RunEnd::Failed(fault("told".into()))
}

#[test]
fn a_first_run_is_due_at_once_and_the_next_after_the_interval() {
    let mut day = Day::begin(Remembered::default());
    assert!(day.is_due());
    assert!(!day.is_due(), "it runs already");
    assert_eq!(day.end(complete()).next_run_at, Some(day.wall + INTERVAL));
    assert_eq!(day.wait(), Some(INTERVAL));
}

#[test]
fn what_waits_for_a_second_look_is_due_sooner() {
    for (again_in, due_in) in [(HOUR, HOUR), (Duration::ZERO, HOUR / 60), (24 * HOUR, INTERVAL)] {
        let mut day = Day::begin(Remembered::default());
        assert!(day.is_due());
        day.end(RunEnd::Complete { notes: Vec::new(), again_in: Some(again_in) });
        assert_eq!(day.wait(), Some(due_in));
    }
}

#[test]
fn runs_that_end_unsteady_are_further_and_further_apart() {
    let mut day = Day::begin(Remembered::default());
    assert!(day.is_due());
    let mut wait_after = |in_a_row| {
        day.end(RunEnd::Unsteady { notes: Vec::new(), in_a_row });
        day.wait().expect("it comes back")
    };
    let waits: Vec<Duration> = (1..=5).map(&mut wait_after).collect();
    assert!(waits.windows(2).all(|pair| pair[1] >= pair[0]), "{waits:?}");
    assert!(waits[0] >= INTERVAL && waits[2] >= 3 * INTERVAL && waits[4] <= 30 * HOUR, "{waits:?}");
}

#[test]
fn a_restart_keeps_to_the_plan() {
    let planned =
        Remembered { next_run_at: Some(morning() + TimeDelta::hours(2)), is_complete: true, ..Remembered::default() };
    assert_eq!(Day::begin(planned).wait(), Some(2 * HOUR));
    let overdue = Remembered { next_run_at: Some(morning() - TimeDelta::days(3)), ..planned };
    let mut day = Day::begin(overdue);
    assert_eq!(day.wait(), Some(Duration::ZERO));
    day.end(complete());
    assert_eq!(day.wait(), Some(INTERVAL), "what was missed happens once");
}

#[test]
fn an_unfinished_first_sync_goes_on_at_a_restart() {
    let cut_short = Remembered { next_run_at: Some(morning() + TimeDelta::hours(5)), ..Remembered::default() };
    assert_eq!(Day::begin(cut_short).wait(), Some(Duration::ZERO));
}

#[test]
fn a_sleep_of_half_a_day_makes_one_run_due() {
    let mut day = Day::begin(Remembered::default());
    assert!(day.is_due());
    day.end(complete());
    // The steady clock stands still while the machine sleeps.
    day.wall += 12 * HOUR;
    assert!(day.is_due());
    day.end(complete());
    assert!(!day.is_due());
}

#[test]
fn a_calendar_that_is_set_back_freezes_nothing() {
    let mut day = Day::begin(Remembered::default());
    assert!(day.is_due());
    day.end(complete());
    day.wall -= TimeDelta::days(400);
    assert_eq!(day.wait(), Some(INTERVAL));
}

#[test]
fn a_pause_is_waited_out() {
    let mut day = Day::begin(Remembered::default());
    assert!(day.is_due());
    let until = day.wall + TimeDelta::hours(13);
    let pause = Pause { scope: crate::model::Family::Tracks, class: LimitClass::Quota, until };
    assert_eq!(day.end(RunEnd::Paused(pause)).next_run_at, Some(until));
    assert_eq!(day.wait(), Some(13 * HOUR));
}

/// Found by the simulation: the gate refused, the schedule tried again at once, a hundred times a second.
#[test]
fn a_pause_that_the_calendar_calls_over_is_not_asked_about_at_once() {
    let mut day = Day::begin(Remembered::default());
    assert!(day.is_due());
    let until = day.wall + TimeDelta::hours(13);
    let pause = Pause { scope: crate::model::Family::Tracks, class: LimitClass::Quota, until };
    day.wall += TimeDelta::hours(25);
    day.end(RunEnd::Paused(pause));
    assert_eq!(day.wait(), Some(PAUSED_MIN));
}

#[test]
fn an_api_that_is_away_is_asked_ever_more_rarely_but_for_ever() {
    let mut day = Day::begin(Remembered::default());
    let mut waits = Vec::new();
    for _ in 0..9 {
        waits.push(day.wait().unwrap().as_secs() / 60);
        day.end(failed(Fault::Unreachable));
    }
    assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn a_database_that_was_away_is_asked_again_within_minutes() {
    let mut day = Day::begin(Remembered::default());
    let mut waits = Vec::new();
    for _ in 0..6 {
        waits.push(day.wait().unwrap().as_secs() / 60);
        day.end(failed(Fault::Away));
    }
    assert_eq!(waits, [0, 1, 2, 4, 5, 5]);
}

/// A 401 to a good token, a bare 403, a page of HTML, an odd token endpoint: all of them have been seen to pass.
#[test]
fn a_refusal_that_may_pass_is_tried_again_after_minutes_then_after_an_hour() {
    for fault in [Fault::Outage, Fault::Forbidden, Fault::Gone] {
        let mut day = Day::begin(Remembered::default());
        let mut waits = Vec::new();
        for _ in 0..9 {
            waits.push(day.wait().unwrap().as_secs() / 60);
            day.end(failed(fault));
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
    }
}

#[test]
fn what_is_refused_for_good_is_told_once_and_tried_daily_once_a_second_look_has_confirmed_it() {
    let mut day = Day::begin(Remembered::default());
    assert!(day.is_due());
    assert!(day.end(failed(Fault::Refused)).is_news);
    assert_eq!(day.wait(), Some(CONFIRMED_AFTER));
    assert!(!day.end(failed(Fault::Refused)).is_news);
    assert_eq!(day.wait(), Some(24 * HOUR));
    assert!(!day.end(failed(Fault::Refused)).is_news);
    assert_eq!(day.wait(), Some(24 * HOUR));
    day.end(complete());
    assert_eq!(day.wait(), Some(INTERVAL));
}

#[test]
fn a_plan_of_a_calendar_that_was_ahead_says_nothing() {
    let planned = |ahead| {
        let next_run_at = Some(morning() + ahead);
        Day::begin(Remembered { next_run_at, is_complete: true, ..Remembered::default() }).wait()
    };
    assert_eq!(planned(TimeDelta::hours(20)), Some(20 * HOUR));
    assert_eq!(planned(TimeDelta::days(400)), Some(Duration::ZERO));
    // Ahead by less than a plan may be, which the run that made the plan gives away.
    let planned = |ahead| {
        let (updated_at, interval) = (morning() + ahead, TimeDelta::from_std(INTERVAL).unwrap());
        let known = Remembered { next_run_at: Some(updated_at + interval), is_complete: true, ..Remembered::default() };
        Day::begin(Remembered { last_updated_at: Some(updated_at), ..known }).wait()
    };
    assert_eq!(planned(TimeDelta::hours(20)), Some(Duration::ZERO));
    assert_eq!(planned(TimeDelta::minutes(2)), Some(Duration::ZERO));
    assert_eq!(planned(TimeDelta::hours(-1)), Some(5 * HOUR));
}

#[test]
fn a_service_that_starts_again_and_again_does_not_ask_again_and_again() {
    let refused = |failed_ago: TimeDelta| Remembered {
        next_run_at: Some(morning() + TimeDelta::hours(20)),
        failed_at: Some(morning() - failed_ago),
        ..Remembered::default()
    };
    assert_eq!(Day::begin(refused(TimeDelta::seconds(20))).wait(), Some(20 * HOUR));
    assert_eq!(Day::begin(refused(TimeDelta::hours(4))).wait(), Some(Duration::ZERO));
    // A sign-in since then may have granted what was missing.
    let signed_in = |ago: i64| Some(morning() - TimeDelta::seconds(ago));
    let since = |ago: i64| Remembered { signed_in_at: signed_in(ago), ..refused(TimeDelta::seconds(20)) };
    assert_eq!(Day::begin(since(10)).wait(), Some(Duration::ZERO));
    assert_eq!(Day::begin(since(30)).wait(), Some(20 * HOUR));
}

#[test]
fn who_has_to_sign_in_again_is_left_alone() {
    let mut day = Day::begin(Remembered::default());
    assert!(day.is_due());
    let plan = day.end(failed(Fault::SignIn));
    assert_eq!(plan, Plan { next_run_at: None, is_news: true });
    assert_eq!(day.wait(), None);
    day.schedule.handle_added(KEY, Remembered::default(), day.now, day.wall);
    assert!(day.is_due());
}

#[test]
fn a_shorter_interval_counts_at_once() {
    let mut day = Day::begin(Remembered::default());
    assert!(day.is_due());
    day.end(complete());
    day.schedule.handle_interval(HOUR, day.now, day.wall);
    assert_eq!(day.wait(), Some(HOUR));
}

#[test]
fn what_a_person_has_paused_does_not_begin_and_what_it_missed_is_due_when_it_goes_on() {
    let mut day = Day::begin(Remembered::default());
    assert!(day.is_due());
    day.end(complete());
    day.schedule.handle_paused(KEY);
    assert_eq!((day.wait(), day.schedule.next_run_at(&KEY)), (None, None));
    day.schedule.handle_resumed(KEY);
    assert!(day.is_due());
    day.end(complete());
    day.schedule.handle_paused(KEY);
    day.schedule.handle_resumed(KEY);
    assert_eq!(day.wait(), Some(INTERVAL), "nothing was missed");
}

#[test]
fn a_run_that_a_pause_has_cut_short_goes_on_as_soon_as_it_may() {
    let mut day = Day::begin(Remembered::default());
    assert!(day.is_due());
    day.schedule.handle_paused(KEY);
    assert_eq!(day.end(RunEnd::Stopped), Plan { next_run_at: None, is_news: false });
    assert_eq!(day.wait(), None);
    day.schedule.handle_resumed(KEY);
    assert_eq!(day.wait(), Some(Duration::ZERO));
}

#[test]
fn a_pause_outlasts_a_new_sign_in_and_a_change_of_settings() {
    let mut day = Day::begin(Remembered::default());
    day.schedule.handle_paused(KEY);
    day.schedule.handle_added(KEY, Remembered::default(), day.now, day.wall);
    assert!(!day.is_due());
    day.schedule.handle_removed(|_| true);
    day.schedule.handle_added(KEY, Remembered::default(), day.now, day.wall);
    assert!(!day.is_due());
}

#[test]
fn an_order_is_refused_where_it_makes_no_sense() {
    use Order::{Pause, Reset, Resume, Sync};
    let mut day = Day::begin(Remembered::default());
    let check = |day: &Day| [Sync, Pause, Resume, Reset].map(|order| day.schedule.check(order, &KEY).err());
    assert_eq!(check(&day), [None, None, Some(Unfit::NotPaused), None]);
    assert!(day.is_due());
    assert_eq!(check(&day), [Some(Unfit::Running), None, Some(Unfit::NotPaused), None]);
    day.schedule.handle_paused(KEY);
    assert_eq!(check(&day), [Some(Unfit::Paused), Some(Unfit::Paused), None, None]);
    day.schedule.handle_resumed(KEY);
    day.end(failed(Fault::SignIn));
    assert_eq!(check(&day), [Some(Unfit::Parked), None, Some(Unfit::NotPaused), None]);
    day.schedule.handle_removed(|_| true);
    assert_eq!(check(&day), [Some(Unfit::Unknown); 4]);
}

/// Whatever has happened, with clocks that diverge: what comes next is what a search of everything would find.
#[test]
fn the_longest_overdue_comes_first_of_any_number() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut day = Day::begin(Remembered::default());
        let (mut running, mut num_begun) = (Vec::new(), 0);
        for step in 0..300 {
            let account = AccountId(rng.i64(1..12));
            let entity = EntityType::ALL[rng.usize(..EntityType::ALL.len())];
            let key = SyncKey { account, entity };
            let (now, wall) = (day.now, day.wall);
            match rng.u32(..9) {
                0 => {
                    let planned = wall + TimeDelta::minutes(rng.i64(-90..600));
                    let known = Remembered { next_run_at: Some(planned), is_complete: true, ..Remembered::default() };
                    running.retain(|one| *one != key);
                    day.schedule.handle_added(key, known, now, wall);
                }
                1 if rng.u32(..4) == 0 => {
                    running.retain(|one: &SyncKey| one.account != account);
                    day.schedule.handle_removed(|one| one.account == account);
                }
                2 => day.schedule.handle_paused(key),
                3 => day.schedule.handle_resumed(key),
                4 => day.schedule.handle_wanted(key, now, wall),
                5 if rng.u32(..8) == 0 => day.schedule.handle_interval(HOUR * rng.u32(1..9), now, wall),
                6 | 7 if !running.is_empty() => {
                    let key = running.swap_remove(rng.usize(..running.len()));
                    let end = if rng.bool() { complete() } else { failed(Fault::Unreachable) };
                    day.schedule.handle_ended(key, &end, now, wall, rng.f64());
                }
                // The machine sleeps, or somebody sets the calendar back.
                8 if rng.u32(..4) == 0 => day.wall += TimeDelta::minutes(rng.i64(-240..240)),
                _ => day.pass(Duration::from_secs(rng.u64(..1_800))),
            }
            let expected = due_of_all(&day);
            let begun = day.schedule.poll_due(day.now, day.wall);
            assert_eq!(begun, expected, "seed {seed}, step {step}");
            running.extend(begun);
            num_begun += u32::from(begun.is_some());
        }
        assert!(num_begun > 30, "seed {seed}: {num_begun}");
    }
}

/// Found by a search of everything.
fn due_of_all(day: &Day) -> Option<SyncKey> {
    let due = day.schedule.entries.iter().filter_map(|(key, entry)| match entry.standing {
        Standing::Due(moment) if moment.at <= day.now || moment.wall <= day.wall => Some((moment.wall, *key)),
        Standing::Due(_) | Standing::Running | Standing::Parked => None,
    });
    due.filter(|(_, key)| !day.schedule.paused.contains(key)).min().map(|(_, key)| key)
}
