//! Hand-made lives of one or two tracks; the sandbox has whole ones.

use super::*;
use chrono::DateTime;

const SONG: u64 = 1;

/// A stream of `song` from one second to another.
fn heard(id: i64, song: u64, start: i64, end: i64) -> HeardAt {
    let keys = TrackKeys { uri: song, ..TrackKeys::default() };
    HeardAt::exact(id, start * 1000, end * 1000, Some(keys))
}

fn told(song: u64, at_ms: i64) -> ToldAt {
    let at = DateTime::from_timestamp_millis(at_ms).expect("a moment");
    ToldAt { key: (at, song.to_string()), keys: TrackKeys { uri: song, ..TrackKeys::default() } }
}

/// Ids of streams and moments of plays.
fn pairs(heard: &[HeardAt], told: &[ToldAt], meaning: Meaning) -> Vec<(i64, i64)> {
    let mut pairs: Vec<(i64, i64)> = pair(heard, told, &Rule::of(meaning))
        .into_iter()
        .map(|pair| (pair.stream, pair.play.0.timestamp_millis()))
        .collect();
    pairs.sort_unstable();
    pairs
}

#[test]
fn the_majority_decides_what_the_moment_means() {
    let streams: Vec<HeardAt> = (0..10).map(|n| heard(n, SONG, n * 1000, n * 1000 + 200)).collect();
    let plays = |ends: i64, all: i64| -> Vec<ToldAt> {
        (0..all).map(|n| told(SONG, n * 1_000_000 + if n < ends { 200_700 } else { 400 })).collect()
    };
    for (ends, all, meaning) in [(10, 10, Meaning::End), (2, 10, Meaning::Start), (5, 10, Meaning::End)] {
        let mut votes = Votes::default();
        votes.count(&streams, &plays(ends, all));
        assert_eq!((votes.num_ends, votes.num_starts), (ends as u64, (all - ends) as u64));
        assert_eq!(votes.rule().meaning, meaning);
    }
    let mut votes = Votes::default();
    votes.count(&streams, &plays(10, 10));
    let rule = votes.rule();
    let cheapest = (0..NUM_BINS).min_by_key(|at| rule.end_costs[*at]).expect("there are bins");
    assert!(rule.is_unanimous && cheapest.abs_diff(bin(700)) <= SMOOTH, "{cheapest}");
    assert_eq!(Votes::default().rule().end_costs, Rule::of(Meaning::End).end_costs);
}

#[test]
fn each_is_used_once_and_none_is_left_over_that_fits() {
    // Two that end within four seconds, and the API reports both a little late: nearest first would leave one over.
    let streams = [heard(1, SONG, 0, 100), heard(2, SONG, 100, 104)];
    let plays = [told(SONG, 103_200), told(SONG, 107_300)];
    assert_eq!(pairs(&streams, &plays, Meaning::End), [(1, 103_200), (2, 107_300)]);
    assert_eq!(pairs(&streams, &plays[..1], Meaning::End).len(), 1);
    assert_eq!(pairs(&streams[..1], &plays, Meaning::End).len(), 1);
}

#[test]
fn a_loop_is_paired_in_order() {
    let streams: Vec<HeardAt> = (0..5).map(|n| heard(n, SONG, n * 3, n * 3 + 3)).collect();
    let plays: Vec<ToldAt> = (0..5).map(|n| told(SONG, n * 3000 + 4900)).collect();
    let expected: Vec<(i64, i64)> = (0..5).map(|n| (n, n * 3000 + 4900)).collect();
    assert_eq!(pairs(&streams, &plays, Meaning::End), expected);
    // One that the API did not see: the usual offset says which.
    let some: Vec<ToldAt> = plays.iter().enumerate().filter(|(n, _)| *n != 2).map(|(_, play)| play.clone()).collect();
    let mut votes = Votes::default();
    votes.end_offsets[bin(1900)] = 50;
    let paired: Vec<i64> = pair(&streams, &some, &votes.rule()).iter().map(|pair| pair.offset_ms).collect();
    assert_eq!(paired, [1900; 4]);
}

#[test]
fn where_some_mean_the_other_none_is_left_over() {
    // A loop of two, both reported by their beginnings.
    let streams = [heard(1, SONG, 0, 200), heard(2, SONG, 200, 400)];
    let plays = [told(SONG, 300), told(SONG, 200_300)];
    let votes = Votes { num_ends: 80, num_starts: 20, ..Votes::default() };
    let mut found: Vec<(i64, i64)> =
        pair(&streams, &plays, &votes.rule()).iter().map(|pair| (pair.stream, pair.from_start_ms)).collect();
    found.sort_unstable();
    assert_eq!(found, [(1, 300), (2, 300)]);
    // Where the API means one thing, a beginning is the last that it can be.
    let lost = HeardAt { keys: None, ..streams[0] };
    let plays = [told(SONG, 200_300)];
    assert_eq!(pairs(&[lost, streams[1]], &plays, Meaning::End), [(1, 200_300)]);
}

#[test]
fn of_two_that_end_at_once_the_longer_one_was_told() {
    let streams = [heard(1, SONG, 0, 200), heard(2, SONG, 200, 200)];
    for at in [200_000, 200_600] {
        assert_eq!(pairs(&streams, &[told(SONG, at)], Meaning::End), [(1, at)]);
    }
}

#[test]
fn what_was_heard_offline_lasted_until_the_next_began() {
    // Paused for half an hour, and then the same again.
    let mut streams = [heard(1, SONG, 0, 200), heard(2, SONG, 2000, 2200), heard(3, SONG, 9000, 9200)];
    streams[0].logged = 50_000_000;
    HeardAt::bound_each_other(&mut streams, |stream| stream.id == 1);
    assert_eq!((streams[0].latest_end, streams[1].latest_end), (2_000_000, 2_200_000));
    assert_eq!(pairs(&streams, &[told(SONG, 2_000_700)], Meaning::End), [(1, 2_000_700)]);
    // When the last one began is unknown.
    assert_eq!(streams[2].earliest_start, 2_200_000);
    assert_eq!(pairs(&streams, &[told(SONG, 5_000_000)], Meaning::Start), [(3, 5_000_000)]);
}

#[test]
fn the_other_meaning_and_a_wide_window_come_after() {
    let streams = [heard(1, SONG, 0, 200), heard(2, SONG, 1000, 1200), heard(3, SONG, 2000, 2200)];
    let plays = [told(SONG, 200_500), told(SONG, 1_000_400), told(SONG, 2_100_000)];
    assert_eq!(pairs(&streams, &plays, Meaning::End), [(1, 200_500), (2, 1_000_400), (3, 2_100_000)]);
    for outside in [-15_001, 260_001] {
        assert_eq!(pairs(&streams[..1], &[told(SONG, outside)], Meaning::End), []);
    }
    for inside in [-15_000, 260_000] {
        assert_eq!(pairs(&streams[..1], &[told(SONG, inside)], Meaning::End).len(), 1);
    }
}

#[test]
fn what_was_heard_offline_may_be_told_until_it_was_logged() {
    let stream = HeardAt { logged: 90_000_000, ..heard(1, SONG, 0, 200) };
    assert_eq!(pairs(&[stream], &[told(SONG, 90_050_000)], Meaning::End).len(), 1);
    assert_eq!(pairs(&[stream], &[told(SONG, 90_060_001)], Meaning::End), []);
}

#[test]
fn another_id_of_the_same_recording_is_the_same_track_where_the_id_itself_fits_nothing() {
    let names = TrackKeys::of_names("One", "A");
    let keys = |uri, isrc, names| TrackKeys { uri, isrc, names, other_names: None };
    let some = |uri, isrc, names| Some(keys(uri, isrc, names));
    let streams = [
        HeardAt { keys: some(1, Some(7), names), ..heard(1, 1, 0, 200) },
        HeardAt { keys: some(2, Some(7), names), ..heard(2, 2, 0, 200) },
        HeardAt { keys: some(3, None, names), ..heard(3, 3, 0, 200) },
    ];
    let play = |uri, isrc, at| ToldAt { keys: keys(uri, isrc, None), ..told(uri, at) };
    let by_isrc = [play(2, Some(7), 200_100), play(9, Some(7), 200_000)];
    assert_eq!(pairs(&streams, &by_isrc, Meaning::End), [(1, 200_000), (2, 200_100)]);
    let by_name = ToldAt { keys: TrackKeys { uri: 9, other_names: names, ..TrackKeys::default() }, ..told(9, 200_000) };
    assert_eq!(pairs(&streams[2..], &[by_name], Meaning::End), [(3, 200_000)]);
    assert_eq!(pairs(&streams, &[told(9, 200_000)], Meaning::End), []);
}

#[test]
fn what_the_export_has_lost_the_name_of_is_the_play_of_its_time() {
    let lost = HeardAt { keys: None, ..heard(1, 0, 0, 200) };
    let streams = [lost, heard(2, SONG, 200, 400)];
    // Without it, the second stream would be taken for the first play.
    let plays = [told(SONG, 200_900), told(SONG, 400_900)];
    assert_eq!(pairs(&streams, &plays, Meaning::End), [(1, 200_900), (2, 400_900)]);
    // Streams with names come first, and the beginning counts as well.
    assert_eq!(pairs(&streams, &[told(SONG, 200_400)], Meaning::Start), [(2, 200_400)]);
    assert_eq!(pairs(&[lost], &[told(SONG, 400)], Meaning::End), [(1, 400)]);
    assert_eq!(pairs(&[lost], &[told(SONG, 100_000)], Meaning::End), []);
}

#[test]
fn minutes_are_as_good_as_they_are() {
    let stream = HeardAt { latest_start: 59_999, latest_end: 239_999, ..heard(1, SONG, 0, 180) };
    for at in [177_000, 180_000, 239_999, 244_999] {
        assert_eq!(pairs(&[stream], &[told(SONG, at)], Meaning::End), [(1, at)]);
    }
}

/// Whatever the data, no stream left over fits a play left over.
#[test]
fn a_second_look_finds_nothing() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut streams, mut plays, mut now) = (Vec::new(), Vec::new(), 0);
        for id in 0..rng.i64(1..60) {
            let (song, len) = (rng.u64(0..3), rng.i64(0..20));
            let stream = heard(id, song, now, now + len);
            let keys = stream.keys.filter(|_| rng.f64() < 0.9);
            streams.push(HeardAt { keys, ..stream });
            if rng.f64() < 0.7 {
                plays.push(told(rng.u64(0..3), (now + len) * 1000 + rng.i64(-20_000..20_000)));
            }
            now += len + rng.i64(0..5);
        }
        let rule = Rule::of(if rng.bool() { Meaning::End } else { Meaning::Start });
        let found = pair(&streams, &plays, &rule);
        let num_found = found.len();
        streams.retain(|stream| found.iter().all(|pair| pair.stream != stream.id));
        plays.retain(|play| found.iter().all(|pair| pair.play != play.key));
        let unused = streams.len() + plays.len() + 2 * num_found;
        assert!(unused > 0, "nothing was lost");
        for meaning in [Meaning::End, Meaning::Start] {
            assert_eq!(pair(&streams, &plays, &Rule::of(meaning)), [], "seed {seed}");
        }
    }
}
