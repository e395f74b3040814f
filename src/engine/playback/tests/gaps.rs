//! What a page leaves out, by what is known.

use super::*;
use crate::model::Oddity;

/// Found with another stand-in: one row was enough to hide whatever was missing.
#[test]
fn a_page_without_the_newest_known_play_has_a_gap_whatever_else_it_contains() {
    let known: Vec<i64> = (1..=50).map(|n| n * 100).collect();
    let later = |from: i64, to: i64| (from..=to).map(|n| n * 100).collect::<Vec<i64>>();
    let expected = Some(PlayGap { played_after: at(5_000), played_before: at(10_100) });
    for (older, what) in [
        (vec![], "nothing older"),
        (vec![-900_000], "an unknown one"),
        (vec![100], "a known one"),
        (later(1, 10), "several known ones"),
    ] {
        let shown: Vec<i64> = older.into_iter().chain(later(101, 140)).collect();
        assert_eq!(gap(&page(&shown), &knowing(&shown, &known), None, at(15_000)), expected, "{what}");
    }
    let linked = later(50, 99);
    assert_eq!(gap(&page(&linked), &knowing(&linked, &known), None, at(15_000)), None);
    let stale = later(20, 49);
    assert_eq!(gap(&page(&stale), &knowing(&stale, &known), None, at(15_000)), None);
}

/// Found with another stand-in: the calendar of a phone was two hours ahead.
#[test]
fn a_play_dated_hours_ahead_hides_no_gap() {
    for ahead_s in [20 * 60, 2 * 3_600, 23 * 3_600] {
        let known = [100, 200, 300, 1_000 + ahead_s];
        let shown = [600, 700, 800];
        let gap = gap(&page(&shown), &knowing(&shown, &known), None, at(1_000));
        assert_eq!(gap, Some(PlayGap { played_after: at(300), played_before: at(600) }), "{ahead_s} s");
    }
}

#[test]
fn a_row_that_has_lost_its_track_still_links_a_page() {
    let mut page = page(&[300, 200, 100]);
    page.slots[2] = PlaySlot { play: None, odd: Some(Oddity::Null), ..page.slots[2].clone() };
    assert_eq!(gap(&page, &knowing(&[300, 200], &[100]), None, at(400)), None);
}

#[test]
fn a_play_whose_time_comes_with_more_digits_is_the_same() {
    let known = KnownPlays { keys: [play(100).key()].into(), ..KnownPlays::default() };
    for (nanos, is_same) in [(0, true), (123_000_000, true), (456, true)] {
        let mut page = page(&[100]);
        let finer = at(100) + TimeDelta::nanoseconds(nanos);
        page.slots[0].played_at = Some(finer);
        page.slots[0].play.iter_mut().for_each(|play| play.played_at = finer);
        known.recognise(&mut page);
        assert_eq!(page.oldest() == Some(at(100)), is_same, "{nanos} ns");
    }
    let precise = |nanos| at(100) + TimeDelta::nanoseconds(nanos);
    let known = KnownPlays { keys: [(precise(123_000_000), play(100).track_uri)].into(), ..KnownPlays::default() };
    for (nanos, is_same) in [(0, true), (123_456_000, true), (124_000_000, false)] {
        let mut page = page(&[100]);
        page.slots[0].play.iter_mut().for_each(|play| play.played_at = precise(nanos));
        known.recognise(&mut page);
        assert_eq!(page.oldest() == Some(precise(123_000_000)), is_same, "{nanos} ns");
    }
}

#[test]
fn a_history_that_was_empty_can_have_a_gap_too() {
    let full: Vec<i64> = (0..50).map(|n| 5000 - n * 100).collect();
    let judge = |since| gap(&page(&full), &KnownPlays::default(), Some(at(since)), at(9000));
    // Found by the simulation: the calendar of this machine was two minutes ahead, and what was heard in them was in no
    // gap.
    assert_eq!(judge(-60), Some(PlayGap { played_after: at(-960), played_before: at(100) }));
    assert_eq!(judge(1200), None, "these are late rows, from before anything was tracked");
}

#[test]
fn late_rows_at_the_end_of_a_full_page_may_have_more_beyond() {
    let full: Vec<i64> = (0..50).map(|n| 5000 - n * 100).collect();
    let known: Vec<i64> = full[..45].iter().copied().chain([50, -100]).collect();
    let gap = gap(&page(&full), &knowing(&full, &known), None, at(9000));
    assert_eq!(gap, Some(PlayGap { played_after: at(50), played_before: at(100) }));
}

/// Found by the simulation: the writer died once it had written, and what was heard after that page was in no gap.
#[test]
fn a_first_page_whose_writing_was_not_confirmed_still_begins_the_tracking() {
    for first in [vec![], vec![-100, -3_000]] {
        let mut rig = Rig::new(&PlaybackRecord::default());
        assert_eq!(rig.step(), Step::Ask);
        rig.playback.handle_page(&mut page(&first), &KnownPlays::default(), at(0), 0.0);
        rig.fault(Fault::Internal("a reply was lost".into()));
        rig.passed += Duration::from_secs(20_000);
        assert_eq!(rig.step(), Step::Ask);
        let full: Vec<i64> = (0..50).map(|n| 19_990 - n * 100).collect();
        let gap = rig.page(&full, &[]).gap.expect("nothing links up with it");
        let since = at(first.iter().copied().min().unwrap_or(0));
        assert_eq!(gap, PlayGap { played_after: since - CLOCK_MARGIN, played_before: at(19_990 - 4_900) }, "{first:?}");
    }
}
