//! The gate under hand-made time.

use super::*;
use chrono::TimeDelta;

const WINDOW: Duration = Duration::from_secs(30);

fn gate(requests: u32) -> (Gate<u32>, Instant) {
    let start = Instant::now();
    (Gate::new(GateSettings { requests, window: WINDOW }, start), start)
}

fn wall() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

/// Grants all that can be granted at `now`, answering each at once; returns the tickets.
fn drain(gate: &mut Gate<u32>, now: Instant) -> Vec<u32> {
    let mut granted = Vec::new();
    while let Next::Grant(ticket) = gate.poll(now) {
        gate.handle_returned(true, now);
        granted.push(ticket);
    }
    granted
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
            gate.handle_ask(ticket, Family::ALL[random.usize(1..Family::ALL.len())], None);
        }
        for _ in 0..4000 {
            match gate.poll(now) {
                Next::Grant(_) => out.push(now + Duration::from_millis(random.u64(0..4000))),
                Next::Wait(..) | Next::Full | Next::Idle | Next::Refuse(..) => {}
            }
            now += Duration::from_millis(random.u64(0..700));
            out.retain(|answered_at| {
                let is_back = *answered_at <= now;
                if is_back {
                    let used = random.u8(0..8) > 0;
                    gate.handle_returned(used, now);
                    if used {
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
fn the_whole_limit_is_used() {
    let (mut gate, start) = gate(60);
    (0..2000).for_each(|ticket| gate.handle_ask(ticket, Family::Tracks, None));
    let sent: usize = (0..3000).map(|tick| drain(&mut gate, start + Duration::from_millis(tick * 100)).len()).sum();
    assert!((580..=660).contains(&sent), "{sent} in ten windows of 60");
}

#[test]
fn tracks_come_first_and_nobody_starves() {
    let (mut gate, start) = gate(400);
    for ticket in 0..40 {
        gate.handle_ask(ticket, Family::Tracks, None);
    }
    for ticket in 100..104 {
        gate.handle_ask(ticket, Family::PlaylistItems, None);
    }
    let order = drain(&mut gate, start);
    assert_eq!(order[..3], [0, 1, 2]);
    let mut growing = gate_with_endless_tracks();
    let playlists_at = growing.iter().position(|ticket| *ticket == 1_000_000);
    assert!(playlists_at.is_some_and(|at| at < 60), "playlists waited for {playlists_at:?} permits");
    growing.clear();
}

/// Tracks ask again as soon as they are served; one playlist asks once.
fn gate_with_endless_tracks() -> Vec<u32> {
    let (mut gate, start) = gate(4000);
    (0..8).for_each(|ticket| gate.handle_ask(ticket, Family::Tracks, None));
    gate.handle_ask(1_000_000, Family::PlaylistItems, None);
    let mut order = Vec::new();
    while let Next::Grant(ticket) = gate.poll(start) {
        gate.handle_returned(true, start);
        order.push(ticket);
        gate.handle_ask(ticket + 8, Family::Tracks, None);
        if order.len() > 200 {
            break;
        }
    }
    order
}

#[test]
fn playback_goes_before_everything() {
    let (mut gate, start) = gate(400);
    (0..40).for_each(|ticket| gate.handle_ask(ticket, Family::Tracks, None));
    gate.handle_ask(99, Family::Player, None);
    assert_eq!(drain(&mut gate, start)[0], 99);
}

#[test]
fn a_rate_pause_stops_everything_until_it_ends() {
    let (mut gate, start) = gate(100);
    gate.handle_ask(1, Family::Tracks, None);
    gate.handle_ask(2, Family::Player, None);
    let pause = gate.handle_limited(Family::Tracks, LimitClass::Rate, Some(Duration::from_secs(90)), start, wall());
    assert_eq!(pause.scope, Family::Application);
    let almost = start + Duration::from_millis(89_999);
    assert_eq!(gate.poll(almost), Next::Wait(start + Duration::from_secs(90), Waiting::Paused(pause)));
    assert_eq!(drain(&mut gate, start + Duration::from_secs(90)), [2, 1]);
}

#[test]
fn a_quota_pause_stops_its_family_alone() {
    let (mut gate, start) = gate(100);
    gate.handle_ask(1, Family::Tracks, None);
    gate.handle_ask(2, Family::Albums, None);
    gate.handle_limited(Family::Tracks, LimitClass::Quota, None, start, wall());
    assert_eq!(drain(&mut gate, start), [2]);
    assert!(matches!(gate.poll(start), Next::Wait(until, _) if until == start + UNKNOWN_PAUSE));
}

#[test]
fn a_shorter_pause_does_not_end_a_longer_one() {
    let (mut gate, start) = gate(100);
    gate.handle_ask(1, Family::Tracks, None);
    gate.handle_limited(Family::Tracks, LimitClass::Rate, Some(Duration::from_secs(90)), start, wall());
    gate.handle_limited(Family::Tracks, LimitClass::Rate, Some(Duration::from_secs(2)), start, wall());
    assert!(drain(&mut gate, start + Duration::from_secs(60)).is_empty());
}

#[test]
fn an_asker_that_cannot_wait_is_told_until_when() {
    let (mut gate, start) = gate(100);
    let pause = gate.handle_limited(Family::Tracks, LimitClass::Rate, Some(Duration::from_secs(90)), start, wall());
    gate.handle_ask(1, Family::Tracks, Some(Duration::from_secs(60)));
    gate.handle_ask(2, Family::Tracks, Some(Duration::from_secs(120)));
    assert_eq!(gate.poll(start), Next::Refuse(1, pause));
    assert!(matches!(gate.poll(start), Next::Wait(..)));
}

#[test]
fn a_pause_from_the_database_counts_from_the_calendar() {
    let (mut gate, start) = gate(100);
    let until = wall() + Duration::from_secs(10);
    gate.handle_pause(Pause { scope: Family::Application, class: LimitClass::Rate, until }, start, wall());
    gate.handle_ask(1, Family::Tracks, None);
    assert!(drain(&mut gate, start + Duration::from_secs(9)).is_empty());
    assert_eq!(drain(&mut gate, start + Duration::from_secs(10)), [1]);
}

#[test]
fn a_permit_that_was_not_used_leaves_its_room() {
    let (mut gate, start) = gate(1);
    gate.handle_ask(1, Family::Tracks, None);
    gate.handle_ask(2, Family::Tracks, None);
    assert_eq!(gate.poll(start), Next::Grant(1));
    assert_eq!(gate.poll(start), Next::Full);
    gate.handle_returned(false, start);
    assert_eq!(gate.poll(start + WINDOW), Next::Grant(2));
}

#[test]
fn an_asker_that_went_away_is_forgotten() {
    let (mut gate, start) = gate(10);
    gate.handle_ask(1, Family::Tracks, None);
    gate.handle_withdrawn(1);
    assert_eq!(gate.poll(start), Next::Idle);
}

#[test]
fn a_gate_after_a_death_waits_a_whole_window() {
    let start = Instant::now();
    let mut gate: Gate<u32> = Gate::after_death(GateSettings { requests: 5, window: WINDOW }, start);
    gate.handle_ask(1, Family::Tracks, None);
    assert!(drain(&mut gate, start + WINDOW).is_empty());
    assert_eq!(drain(&mut gate, start + WINDOW + Duration::from_millis(1)), [1]);
}

#[test]
fn what_an_earlier_process_sent_counts() {
    let ended = |seconds_ago, used| WindowLease { until: wall() - TimeDelta::seconds(seconds_ago), used };
    for (lease, first_at) in [
        (ended(10, Some(2)), 0),
        (ended(10, Some(5)), 20),
        // Killed: what it sent is unknown.
        (ended(10, None), 20),
        (ended(-25, None), 30),
        (ended(31, None), 0),
    ] {
        let (mut gate, start) = gate(5);
        gate.handle_lease(lease, start, wall());
        gate.handle_ask(1, Family::Tracks, None);
        let granted_at =
            (0..60).find(|second| !drain(&mut gate, start + Duration::from_millis(second * 1000 + 1)).is_empty());
        assert_eq!(granted_at, Some(first_at), "{lease:?}");
    }
}
