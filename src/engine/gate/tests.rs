//! The gate under hand-made time: who is next, what pauses mean, what a day allows. Learning the rate is simulated
//! separately.

use super::*;
use crate::model::{NotedPause, START_REQUESTS};
use chrono::TimeDelta;

const WINDOW: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

fn settings(requests: u32) -> GateSettings {
    GateSettings { requests: Some(requests), window: WINDOW, ..GateSettings::default() }
}

fn gate(requests: u32) -> (Gate<u32>, Instant) {
    let start = Instant::now();
    (Gate::new(settings(requests), start, wall()), start)
}

fn with_daily(daily: DailyCeilings) -> (Gate<u32>, Instant) {
    let start = Instant::now();
    (Gate::new(GateSettings { daily, ..settings(1000) }, start, wall()), start)
}

fn wall() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

fn ask(gate: &mut Gate<u32>, ticket: u32, family: Family) {
    gate.handle_ask(ticket, family, None, None);
}

/// Grants all that can be granted at `now`, answering each at once; returns the tickets.
fn drain(gate: &mut Gate<u32>, now: Instant) -> Vec<u32> {
    let mut granted = Vec::new();
    while let Next::Grant(ticket) = gate.poll(now) {
        gate.handle_returned(ticket, PermitUse::Served, now);
        granted.push(ticket);
    }
    granted
}

/// Sends one request of a family and has it refused.
fn limit(
    gate: &mut Gate<u32>,
    family: Family,
    class: LimitClass,
    retry_after: Option<Duration>,
    now: Instant,
) -> Limited {
    const TICKET: u32 = u32::MAX;
    ask(gate, TICKET, family);
    assert_eq!(gate.poll(now), Next::Grant(TICKET));
    refuse(gate, TICKET, family, class, retry_after, now)
}

fn refuse(
    gate: &mut Gate<u32>,
    ticket: u32,
    family: Family,
    class: LimitClass,
    retry_after: Option<Duration>,
    now: Instant,
) -> Limited {
    let limited = gate.handle_limited(Some(ticket), family, class, retry_after, now, wall());
    gate.handle_returned(ticket, PermitUse::Limited, now);
    limited
}

/// Most requests in any window of `WINDOW`.
fn busiest(sent: &[Instant]) -> usize {
    sent.iter().map(|from| sent.iter().filter(|at| **at >= *from && **at <= *from + WINDOW).count()).max().unwrap_or(0)
}

#[test]
fn no_window_ever_holds_more_than_the_limit() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let requests = random.u32(1..60);
        let (mut gate, start) = gate(requests);
        let (mut now, mut sent, mut out) = (start, Vec::new(), Vec::new());
        for ticket in 0..400 {
            ask(&mut gate, ticket, Family::ALL[random.usize(1..Family::ALL.len())]);
        }
        for _ in 0..4000 {
            if let Next::Grant(ticket) = gate.poll(now) {
                out.push((ticket, now + Duration::from_millis(random.u64(0..4000))));
            }
            now += Duration::from_millis(random.u64(0..700));
            out.retain(|(ticket, answered_at)| {
                let is_back = *answered_at <= now;
                if is_back {
                    let outcome =
                        [PermitUse::Served, PermitUse::Unanswered, PermitUse::Unused][usize::from(random.u8(0..9) / 4)];
                    gate.handle_returned(*ticket, outcome, now);
                    if outcome != PermitUse::Unused {
                        sent.push(*answered_at);
                    }
                }
                !is_back
            });
        }
        assert!(busiest(&sent) <= requests as usize, "seed {seed}: {} in a window of {requests}", busiest(&sent));
        assert!(!sent.is_empty(), "seed {seed}");
    }
}

#[test]
fn a_configured_limit_is_used_whole_and_at_once() {
    let (mut gate, start) = gate(60);
    (0..2000).for_each(|ticket| ask(&mut gate, ticket, Family::Tracks));
    let sent: usize = (0..3000).map(|tick| drain(&mut gate, start + Duration::from_millis(tick * 100)).len()).sum();
    assert!((580..=660).contains(&sent), "{sent} in ten windows of 60");
}

#[test]
fn without_a_configured_limit_the_first_window_holds_few() {
    let start = Instant::now();
    let mut gate: Gate<u32> = Gate::new(GateSettings::default(), start, wall());
    (0..2000).for_each(|ticket| ask(&mut gate, ticket, Family::Tracks));
    let sent: usize = (0..300).map(|tick| drain(&mut gate, start + Duration::from_millis(tick * 100)).len()).sum();
    assert_eq!(sent, START_REQUESTS as usize);
}

#[test]
fn tracks_come_first_and_nobody_starves() {
    let (mut gate, start) = gate(4000);
    (0..8).for_each(|ticket| ask(&mut gate, ticket, Family::Tracks));
    ask(&mut gate, 1_000_000, Family::PlaylistItems);
    let mut order = Vec::new();
    // Tracks ask again as soon as they are served; one playlist asks once.
    while let Next::Grant(ticket) = gate.poll(start) {
        gate.handle_returned(ticket, PermitUse::Served, start);
        order.push(ticket);
        ask(&mut gate, ticket + 8, Family::Tracks);
        if order.len() > 200 {
            break;
        }
    }
    assert_eq!(order[..3], [0, 1, 2]);
    let playlists_at = order.iter().position(|ticket| *ticket == 1_000_000);
    assert!(playlists_at.is_some_and(|at| at < 60), "playlists waited for {playlists_at:?} permits");
}

#[test]
fn playback_goes_before_everything() {
    let (mut gate, start) = gate(400);
    (0..40).for_each(|ticket| ask(&mut gate, ticket, Family::Tracks));
    ask(&mut gate, 99, Family::Player);
    assert_eq!(drain(&mut gate, start)[0], 99);
}

#[test]
fn accounts_take_turns_however_much_one_of_them_asks_for() {
    let (mut gate, start) = gate(4000);
    (0..300).for_each(|ticket| gate.handle_ask(ticket, Family::Tracks, Some(AccountId(1)), None));
    (1000..1100).for_each(|ticket| gate.handle_ask(ticket, Family::Tracks, Some(AccountId(2)), None));
    gate.handle_ask(2000, Family::Tracks, Some(AccountId(3)), None);
    let order = drain(&mut gate, start);
    assert_eq!(order[..3], [0, 1000, 2000]);
    let of_second = order[..100].iter().filter(|ticket| (1000..1100).contains(*ticket)).count();
    assert!((35..=65).contains(&of_second), "{of_second} of the first hundred permits");
}

#[test]
fn a_rate_pause_stops_everything_and_then_one_request_tries() {
    let (mut gate, start) = gate(100);
    let Limited { pause, is_news } = limit(&mut gate, Family::Tracks, LimitClass::Rate, Some(90 * SECOND), start);
    assert!(is_news && pause.scope == Family::Application);
    ask(&mut gate, 1, Family::Tracks);
    ask(&mut gate, 2, Family::Player);
    let ends = start + 90 * SECOND;
    assert_eq!(gate.poll(ends - SECOND / 1000), Next::Wait(ends, Waiting::Paused(pause)));
    assert_eq!(gate.poll(ends), Next::Grant(2), "the most important one");
    assert_eq!(gate.poll(ends + 5 * SECOND), Next::Full, "nobody else before its answer");
    assert!(!gate.take_reopened());
    gate.handle_returned(2, PermitUse::Served, ends + 6 * SECOND);
    assert!(gate.take_reopened());
    assert_eq!(gate.poll(ends + 40 * SECOND), Next::Grant(1));
}

#[test]
fn a_lost_probe_is_replaced() {
    let (mut gate, start) = gate(100);
    limit(&mut gate, Family::Tracks, LimitClass::Rate, Some(2 * SECOND), start);
    (1..=4).for_each(|ticket| ask(&mut gate, ticket, Family::Tracks));
    let mut now = start + 40 * SECOND;
    for (ticket, outcome) in [(1, PermitUse::Unused), (2, PermitUse::Unanswered)] {
        assert_eq!(gate.poll(now), Next::Grant(ticket));
        assert_eq!(gate.poll(now), Next::Full);
        gate.handle_returned(ticket, outcome, now);
        now += 40 * SECOND;
    }
    assert_eq!(gate.poll(now), Next::Grant(3));
    assert_eq!(gate.poll(now), Next::Full);
}

#[test]
fn pauses_after_refused_probes_grow() {
    let (mut gate, start) = gate(100);
    limit(&mut gate, Family::Tracks, LimitClass::Rate, Some(SECOND), start);
    let (mut now, mut lengths) = (start + SECOND, Vec::new());
    for ticket in 0..10 {
        ask(&mut gate, ticket, Family::Tracks);
        let granted_at = (0..3600).map(|s| now + s * SECOND).find(|at| gate.poll(*at) == Next::Grant(ticket)).unwrap();
        lengths.push((granted_at - now).as_secs());
        refuse(&mut gate, ticket, Family::Tracks, LimitClass::Rate, Some(2 * SECOND), granted_at);
        now = granted_at;
    }
    // The first is the API's own; none is longer than a quarter of an hour.
    assert_eq!(lengths[1..4], [5, 10, 20]);
    assert_eq!(lengths[9], 900);
    assert!(lengths.is_sorted(), "{lengths:?}");
}

#[test]
fn requests_refused_together_are_one_piece_of_news() {
    let (mut gate, start) = gate(100);
    (0..5).for_each(|ticket| ask(&mut gate, ticket, Family::Tracks));
    (0..5).for_each(|ticket| assert_eq!(gate.poll(start), Next::Grant(ticket)));
    let refuse = |gate: &mut Gate<u32>, ticket, seconds: u32, at: u32| {
        let retry_after = Some(seconds * SECOND);
        refuse(gate, ticket, Family::Tracks, LimitClass::Rate, retry_after, start + at * SECOND).is_news
    };
    assert!(refuse(&mut gate, 0, 20, 1));
    let learned = gate.take_unsaved().1.expect("a lower rate");
    assert!(!refuse(&mut gate, 1, 20, 1));
    assert!(!refuse(&mut gate, 2, 3, 2));
    assert!(refuse(&mut gate, 3, 60, 2), "a longer one is news");
    assert_eq!(gate.take_unsaved().1, None, "the rate goes down once: {learned:?}");
    ask(&mut gate, 9, Family::Tracks);
    assert!(matches!(gate.poll(start + 61 * SECOND), Next::Wait(..)));
    assert_eq!(gate.poll(start + 62 * SECOND), Next::Grant(9));
}

#[test]
fn a_quota_pause_stops_its_family_alone_and_nobody_tries() {
    let (mut gate, start) = gate(100);
    limit(&mut gate, Family::Tracks, LimitClass::Quota, Some(50_000 * SECOND), start);
    (1..=3).for_each(|ticket| ask(&mut gate, ticket, Family::Tracks));
    (11..=13).for_each(|ticket| ask(&mut gate, ticket, Family::Albums));
    assert_eq!(drain(&mut gate, start), [11, 12, 13]);
    assert!(drain(&mut gate, start + 49_999 * SECOND).is_empty());
    assert_eq!(drain(&mut gate, start + 50_000 * SECOND), [1, 2, 3]);
}

#[test]
fn a_quota_without_an_end_lasts_a_day_from_the_familys_first_request() {
    let (mut gate, start) = gate(100);
    ask(&mut gate, 1, Family::Tracks);
    assert_eq!(drain(&mut gate, start), [1]);
    let refuse = |gate: &mut Gate<u32>, family, hours: u32| {
        let now = start + hours * 3600 * SECOND;
        let wall = wall() + TimeDelta::hours(hours.into());
        gate.handle_limited(None, family, LimitClass::Quota, None, now, wall).pause.until - wall
    };
    for family in [Family::Tracks, Family::Tracks, Family::Albums, Family::Albums] {
        assert_eq!(refuse(&mut gate, family, 1), TimeDelta::hours(1), "one refusal, or several of one moment");
    }
    let minutes = refuse(&mut gate, Family::Tracks, 2).num_minutes();
    assert!((22 * 60 - 6..=22 * 60 + 6).contains(&minutes), "{minutes} min, two hours after the first request");
    assert_eq!(refuse(&mut gate, Family::Albums, 2), TimeDelta::hours(24), "nothing was counted");
}

#[test]
fn an_end_that_a_quota_names_and_does_not_keep_is_not_believed_again() {
    let (mut gate, mut now) = gate(100);
    let refuse = |gate: &mut Gate<u32>, now| {
        let pause = gate.handle_limited(None, Family::Tracks, LimitClass::Quota, Some(SECOND), now, wall()).pause;
        (pause.until - wall()).num_seconds() as u32
    };
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let seconds = refuse(&mut gate, now);
        pauses.push(seconds);
        now += seconds * SECOND;
    }
    assert_eq!(pauses, [1, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
    ask(&mut gate, 1, Family::Tracks);
    assert_eq!(drain(&mut gate, now), [1]);
    assert_eq!(refuse(&mut gate, now), 1, "it was kept");
}

#[test]
fn a_quota_without_an_end_is_not_asked_again_within_the_hour() {
    let (mut gate, start) = gate(100);
    ask(&mut gate, 1, Family::Tracks);
    assert_eq!(drain(&mut gate, start), [1]);
    let later = start + 86_000 * SECOND;
    let Limited { pause, .. } = limit(&mut gate, Family::Tracks, LimitClass::Quota, None, later);
    assert!(pause.until >= wall() + TimeDelta::hours(1), "{}", pause.until - wall());
}

#[test]
fn a_shorter_pause_does_not_end_a_longer_one() {
    let (mut gate, start) = gate(100);
    let pause = |seconds| Pause {
        scope: Family::Application,
        class: LimitClass::Rate,
        until: wall() + TimeDelta::seconds(seconds),
    };
    gate.pauses.handle_pause(pause(90), start, wall());
    gate.pauses.handle_pause(pause(2), start, wall());
    ask(&mut gate, 1, Family::Tracks);
    assert!(drain(&mut gate, start + 60 * SECOND).is_empty());
}

#[test]
fn an_asker_that_cannot_wait_is_told_until_when() {
    let (mut gate, start) = gate(100);
    let Limited { pause, .. } = limit(&mut gate, Family::Tracks, LimitClass::Rate, Some(90 * SECOND), start);
    gate.handle_ask(1, Family::Tracks, None, Some(60 * SECOND));
    gate.handle_ask(2, Family::Tracks, None, Some(120 * SECOND));
    assert_eq!(gate.poll(start), Next::Refuse(1, pause));
    assert!(matches!(gate.poll(start), Next::Wait(..)));
}

#[test]
fn a_pause_of_an_earlier_process_counts_by_the_calendar_but_never_longer_than_it_was() {
    let scope = Family::Application;
    for (noted_s_ago, length_s, first_at_s) in [
        (20, 30, 10),
        (0, 30, 30),
        // Over already; the probe is due all the same.
        (300, 30, 0),
        // The calendar was ahead by a year when it was noted, and has been put right.
        (-365 * 86_400, 30, 30),
    ] {
        let (mut gate, start) = gate(100);
        let noted_at = wall() - TimeDelta::seconds(noted_s_ago);
        let pause = Pause { scope, class: LimitClass::Rate, until: noted_at + TimeDelta::seconds(length_s) };
        let noted = GateNote { pauses: vec![NotedPause { pause, noted_at }], ..GateNote::default() };
        gate.handle_noted(&noted, start, wall());
        ask(&mut gate, 1, Family::Tracks);
        ask(&mut gate, 2, Family::Tracks);
        let granted_at = (0..400).find(|s| gate.poll(start + *s * SECOND) == Next::Grant(1));
        assert_eq!(granted_at, Some(first_at_s), "noted {noted_s_ago} s ago");
        assert_eq!(gate.poll(start + 400 * SECOND), Next::Full, "one request tries");
    }
}

#[test]
fn a_calendar_that_jumps_neither_ends_a_pause_nor_extends_it() {
    for jump_h in [-48, -1, 1, 48] {
        let (mut gate, start) = gate(100);
        limit(&mut gate, Family::Tracks, LimitClass::Quota, Some(3600 * SECOND), start);
        // Whatever the calendar says when the same refusal arrives again.
        let jumped = wall() + TimeDelta::hours(jump_h);
        ask(&mut gate, 7, Family::Albums);
        assert_eq!(gate.poll(start), Next::Grant(7));
        let again = Some(3600 * SECOND);
        gate.handle_limited(Some(7), Family::Tracks, LimitClass::Quota, again, start, jumped);
        gate.handle_returned(7, PermitUse::Limited, start);
        ask(&mut gate, 1, Family::Tracks);
        assert!(drain(&mut gate, start + 3599 * SECOND).is_empty(), "{jump_h} h");
        assert_eq!(drain(&mut gate, start + 3600 * SECOND), [1], "{jump_h} h");
    }
}

#[test]
fn a_calendar_that_jumped_does_not_end_a_pause_for_the_next_life_of_the_gate() {
    for (jump_h, first_at_s) in [(48, 3600), (-48, 3600)] {
        let (_, start) = gate(100);
        let calendar = Calendar::new(start, wall());
        let jumped = wall() + TimeDelta::hours(jump_h);
        let pause = Pause { scope: Family::Tracks, class: LimitClass::Quota, until: wall() + TimeDelta::hours(1) };
        let noted = GateNote { pauses: vec![NotedPause { pause, noted_at: wall() }], ..GateNote::default() };
        let (mut gate, _) = gate(100);
        gate.handle_noted(&noted, start, calendar.cautious(start, jumped));
        ask(&mut gate, 1, Family::Tracks);
        let granted_at = (0..7200).find(|s| gate.poll(start + *s * SECOND) == Next::Grant(1));
        assert_eq!(granted_at, Some(first_at_s), "{jump_h} h");
    }
}

/// Found by the simulation: the pause was noted by a calendar that had been set back, and was put right afterwards.
#[test]
fn a_calendar_that_is_put_right_does_not_end_a_pause_either() {
    let (_, start) = gate(100);
    let mut calendar = Calendar::new(start, wall());
    let behind = wall() - TimeDelta::hours(1);
    calendar.handle_read(start, behind);
    calendar.handle_read(start, wall());
    assert_eq!(calendar.cautious(start + SECOND, wall()), behind + SECOND);
}

#[test]
fn a_machine_that_slept_through_a_pause_goes_on_when_it_wakes() {
    let (mut gate, start) = gate(100);
    limit(&mut gate, Family::Tracks, LimitClass::Quota, Some(3600 * SECOND), start);
    ask(&mut gate, 1, Family::Tracks);
    assert!(drain(&mut gate, start + 10 * SECOND).is_empty());
    // The next look is after six hours of sleep, which the steady clock has counted.
    assert_eq!(drain(&mut gate, start + 6 * 3600 * SECOND), [1]);
}

#[test]
fn a_permit_that_was_not_used_leaves_its_room() {
    let (mut gate, start) = gate(1);
    ask(&mut gate, 1, Family::Tracks);
    ask(&mut gate, 2, Family::Tracks);
    assert_eq!(gate.poll(start), Next::Grant(1));
    assert_eq!(gate.poll(start), Next::Full);
    gate.handle_returned(1, PermitUse::Unused, start);
    assert_eq!(gate.poll(start + WINDOW), Next::Grant(2));
}

#[test]
fn an_asker_that_went_away_is_forgotten() {
    let (mut gate, start) = gate(10);
    ask(&mut gate, 1, Family::Tracks);
    gate.handle_withdrawn(1);
    assert_eq!(gate.poll(start), Next::Idle);
}

#[test]
fn what_an_earlier_life_sent_counts() {
    let ended = |seconds_ago, requests| Sent { requests, until: wall() - TimeDelta::seconds(seconds_ago) };
    for (sent, first_at) in [(ended(10, 2), 0), (ended(10, 5), 20), (ended(0, 9), 30), (ended(31, 5), 0)] {
        let (mut gate, start) = gate(5);
        gate.handle_noted(&GateNote { sent: vec![sent], ..GateNote::default() }, start, wall());
        ask(&mut gate, 1, Family::Tracks);
        let granted_at =
            (0..60).find(|second| !drain(&mut gate, start + Duration::from_millis(second * 1000 + 1)).is_empty());
        assert_eq!(granted_at, Some(first_at), "{sent:?}");
    }
}

#[test]
fn a_daily_ceiling_stops_its_family_until_a_day_later() {
    let (mut gate, start) = with_daily(DailyCeilings { tracks: Some(5), ..DailyCeilings::default() });
    (0..9).for_each(|ticket| ask(&mut gate, ticket, Family::Tracks));
    ask(&mut gate, 50, Family::Albums);
    let granted = drain(&mut gate, start);
    assert_eq!(granted, [0, 1, 2, 3, 4, 50]);
    let Next::Wait(ends, Waiting::Paused(pause)) = gate.poll(start) else { panic!("{:?}", gate.poll(start)) };
    assert_eq!((pause.scope, pause.class), (Family::Tracks, LimitClass::Ceiling));
    let hours = (ends - start).as_secs_f64() / 3600.0;
    assert!((24.0..24.1).contains(&hours), "{hours}");
    assert_eq!(drain(&mut gate, ends), [5, 6, 7, 8]);
}

#[test]
fn an_unused_permit_is_not_counted_for_the_day() {
    let (mut gate, start) = with_daily(DailyCeilings { tracks: Some(1), ..DailyCeilings::default() });
    (1..=2).for_each(|ticket| ask(&mut gate, ticket, Family::Tracks));
    assert_eq!(gate.poll(start), Next::Grant(1));
    gate.handle_returned(1, PermitUse::Unused, start);
    assert_eq!(drain(&mut gate, start), [2]);
    let (entries, _) = gate.take_unsaved();
    assert_eq!(entries.iter().map(|entry| entry.requests).sum::<u32>(), 1, "{entries:?}");
    assert_eq!(gate.take_unsaved().0, []);
}

#[test]
fn the_reserve_is_for_playback_alone() {
    let (mut gate, start) = with_daily(DailyCeilings { all: Some(10), reserve: 4, ..DailyCeilings::default() });
    (0..9).for_each(|ticket| ask(&mut gate, ticket, Family::Tracks));
    assert_eq!(drain(&mut gate, start).len(), 6);
    (100..109).for_each(|ticket| ask(&mut gate, ticket, Family::Player));
    assert_eq!(drain(&mut gate, start), [100, 101, 102, 103]);
}

#[test]
fn what_earlier_processes_counted_counts_for_the_day() {
    let (mut gate, start) = with_daily(DailyCeilings { tracks: Some(5), ..DailyCeilings::default() });
    let entry = |hours_ago, requests| {
        let started_at = wall() - TimeDelta::hours(hours_ago);
        LedgerEntry { family: Family::Tracks, started_at, requests, refusals: 0 }
    };
    // The first is too old, the last comes from a clock that was ahead.
    let ledger = vec![entry(25, 100), entry(23, 2), entry(-7, 2)];
    gate.handle_noted(&GateNote { ledger, ..GateNote::default() }, start, wall());
    (0..9).for_each(|ticket| ask(&mut gate, ticket, Family::Tracks));
    assert_eq!(drain(&mut gate, start), [0]);
    assert!(drain(&mut gate, start + 3600 * SECOND).is_empty());
    assert_eq!(drain(&mut gate, start + 3900 * SECOND), [1, 2], "the first two are a day old");
}
