//! Whether a walk that reached the end of a listing may mark anything removed.
//!
//! A removal is only as certain as the walk that missed the item. A walk that saw the listing move, or could not read
//! part of it, proves nothing about what it did not see; and one that would empty the library is more likely to have
//! met a broken API than a person who removed everything. A row that holds nothing, not even a date, may be any of the
//! unseen items: while there are more such rows than when everything was last seen, none of those items is known to be
//! gone.
//!
//! The API's own total counts as evidence, too: an item that it still counts is not gone. `excess` is what the total
//! counts beyond the rows that were seen, rows without an id, and rows that are known to be counted but not given.
//!
//! | excess | what it means | what happens to the unseen items |
//! |---|---|---|
//! | none | the total agrees that they are gone | believed at once; if there are many, or rows may hide some, once a later walk misses the same items |
//! | as many as before, all of them held because the total counts them | the new ones are gone, those are still counted | the new ones as above |
//! | more | the total counts unseen items | held, and never believed by a machine; a person can confirm it |

pub use crate::model::RemovalGuard;
use crate::model::{HeldBefore, WalkState};

/// What the end of a walk found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Finding {
    /// Length of the listing as the API claims it.
    pub total: Option<u32>,
    /// Rows of the account not marked removed.
    pub num_active: u32,
    /// How many of them the walk has not seen; zero if it recorded nothing.
    pub num_unseen: u32,
    /// How many there were when the run began.
    pub num_before: u32,
    /// How many of those were held back before.
    pub held: HeldBefore,
    /// The same run was shown some of the unseen items: servers disagree, or they went while it read.
    pub is_contradicted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every item that was there all the time was seen; unseen items are gone, apart from `num_counted` that the total
    /// still counts. `num_removed` of them are not marked yet; `discrepancy` is what `total` counts beyond the rows
    /// then held.
    Proven { num_removed: u32, num_counted: u32, discrepancy: i64 },
    /// Removals that are not believed at once: too many, or with evidence against them. `num_removed` of them were
    /// missed before, long enough ago, or are confirmed; the others wait, `num_counted` of them for a person.
    Held { num_unseen: u32, num_removed: u32, num_counted: u32 },
    /// The total still counts unseen items: exactly those (`counts_all`), only some of them, or also rows that were
    /// never seen. A person has confirmed `num_removed` of them; only a person can.
    Counted { num_unseen: u32, num_removed: u32, counts_all: bool, discrepancy: i64 },
    /// Items were not seen, and `num_unread` more rows than before are unreadable.
    Unread { num_unseen: u32, num_unread: u32, discrepancy: i64 },
    /// Part of the listing could not be read.
    Gaps { discrepancy: i64 },
    /// The listing moved while it was read, or the walk had no end.
    Unsteady,
}

/// What the total counts beyond the rows that were seen, are known to be hidden, or have no id. A missing total counts
/// what it counted before. A total that leaves no room for the hidden rows shows that it was wrong, or the one that
/// revealed them: then it counts whatever was not seen.
pub fn excess(walk: &WalkState, total: Option<u32>, num_seen: u32) -> u32 {
    let Some(total) = total else { return walk.memory.num_excess };
    let beyond = total.saturating_sub(num_seen + num_nameless(walk));
    beyond.checked_sub(walk.memory.num_hidden).unwrap_or(beyond)
}

/// Rows without an id that stand for no item that is held. A row that lost its id but still has its date counts as
/// seen.
pub fn num_nameless(walk: &WalkState) -> u32 {
    let num_dated = walk.found.num_unidentified.saturating_sub(walk.found.num_undated);
    let num_fallen = num_dated.saturating_sub(walk.memory.proven_dated.unwrap_or(num_dated));
    walk.found.num_unidentified - num_fallen
}

/// Unreadable rows beyond those that there were when everything was last seen. A row that was counted but not given may
/// be given now.
fn num_unread(walk: &WalkState, total: Option<u32>, num_seen: u32) -> u32 {
    let num_undated = walk.found.num_undated;
    let num_more = num_undated.saturating_sub(walk.memory.proven_undated.unwrap_or(num_undated));
    let num_given = total.map_or(0, |total| {
        let num_hidden = total.saturating_sub(num_seen + num_nameless(walk));
        walk.memory.num_hidden.saturating_sub(num_hidden)
    });
    num_more.saturating_sub(num_given)
}

/// Judges a walk that reached the end of a listing.
///
/// `by_cursor` says that the listing is sorted by a key and paged by it: such a walk cannot lose its place, and the
/// only evidence against it is a total that is known to be wrong at times. Then a later run that misses the same items
/// decides, unless the total still counts some of them.
pub fn judge(guard: RemovalGuard, walk: &WalkState, by_cursor: bool, finding: Finding) -> Verdict {
    let Finding { total, num_active, num_unseen, num_before, held, is_contradicted } = finding;
    let beyond = |held: u32| total.map_or(0, |total| i64::from(total) - i64::from(held));
    if walk.found.num_gaps > 0 {
        return Verdict::Gaps { discrepancy: beyond(num_active) };
    }
    // Pages with a smaller total than those before them may be older, and lack what was followed last.
    let is_older = by_cursor && walk.found.has_shrunk;
    if walk.found.is_broken || is_older || walk.found.unsteady && !by_cursor {
        return Verdict::Unsteady;
    }
    let num_unread = num_unread(walk, total, num_active - num_unseen);
    if num_unseen > 0 && num_unread > 0 {
        return Verdict::Unread { num_unseen, num_unread, discrepancy: beyond(num_active) };
    }
    let HeldBefore { num_ripe, num_counted, num_confirmed } = held;
    // Whatever a person has confirmed is gone, even if the total counts it.
    let doubtful = num_unseen.saturating_sub(num_confirmed);
    let excess = excess(walk, total, num_active - num_unseen).saturating_sub(num_confirmed);
    let still_counted = num_counted.min(doubtful);
    // Those that came back were counted. If fewer were counted than were held, it is unknown which.
    let expected = walk.memory.num_excess.saturating_sub(walk.memory.num_counted.saturating_sub(still_counted));
    // A walk reads as many slots as there are. So if they hold fewer items than that, one was read twice, and another
    // may have moved past in its place; or a row is counted but not given. And where the total counts only some of
    // those held, it may be counting a new one in their place.
    let num_new = doubtful - still_counted;
    if num_new > 0 && (excess > expected || excess > 0 && expected < still_counted) {
        let counts_all = excess == doubtful;
        let discrepancy = beyond(num_active - num_confirmed);
        return Verdict::Counted { num_unseen, num_removed: num_confirmed, counts_all, discrepancy };
    }
    // Those are gone as well once the total no longer counts them.
    let still_counted = if excess == 0 { 0 } else { still_counted };
    let num_gone = num_unseen - still_counted;
    // As many rows without an id as before need not be the same ones. And a total that counts fewer than were received
    // is wrong, and so may be the end that it claimed.
    let is_too_small = beyond(num_active - num_unseen) < 0;
    // A page left rows out, and none are known to be hidden: these may be the unseen ones, whatever the total counts.
    let is_short = walk.found.has_short && walk.memory.num_hidden == 0;
    // Rows with nothing but a date stand for items that are held, unless they are known to have been such rows before.
    let is_first_dated = walk.found.num_unidentified > walk.found.num_undated && walk.memory.proven_dated.is_none();
    let is_spoken_against = doubtful > still_counted
        && (walk.found.unsteady
            || walk.found.has_double
            || is_short
            || walk.found.num_undated > 0
            || is_first_dated
            || is_too_small
            || total.is_none());
    // Nothing of what was held is left, and other rows have taken its place: so looks the library of somebody else.
    let is_another = num_before > 0 && num_gone >= num_before;
    let is_ripe = num_ripe + num_confirmed >= num_gone;
    if is_contradicted && num_gone > num_confirmed {
        return Verdict::Held { num_unseen, num_removed: num_confirmed, num_counted: still_counted };
    }
    if (guard.lets_pass(num_gone, num_active) && !is_another && !is_spoken_against) || is_ripe {
        let discrepancy = beyond(num_active - num_gone);
        Verdict::Proven { num_removed: num_gone, num_counted: still_counted, discrepancy }
    } else {
        Verdict::Held { num_unseen, num_removed: num_ripe + num_confirmed, num_counted: still_counted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PassFindings, RunMemory};
    use std::time::Duration;

    const GUARD: RemovalGuard = RemovalGuard { percent_max: 20, wait: Duration::from_secs(3600) };

    fn finding(num_active: u32, num_unseen: u32) -> Finding {
        Finding { total: Some(num_active - num_unseen), num_active, num_unseen, ..Finding::default() }
    }

    fn found(found: PassFindings) -> WalkState {
        WalkState { found, ..WalkState::default() }
    }

    fn learned(memory: RunMemory) -> WalkState {
        WalkState { memory, ..WalkState::default() }
    }

    fn undated(now: u32, proven: Option<u32>) -> WalkState {
        WalkState {
            found: PassFindings { num_undated: now, num_unidentified: now, ..PassFindings::default() },
            memory: RunMemory { proven_undated: proven, ..RunMemory::default() },
            ..WalkState::default()
        }
    }

    fn ripe(num_ripe: u32) -> HeldBefore {
        HeldBefore { num_ripe, ..HeldBefore::default() }
    }

    fn removes(num_removed: u32) -> Verdict {
        Verdict::Proven { num_removed, num_counted: 0, discrepancy: 0 }
    }

    fn removes_of(num_removed: u32, discrepancy: i64) -> Verdict {
        Verdict::Proven { num_removed, num_counted: 0, discrepancy }
    }

    fn holds(num_unseen: u32) -> Verdict {
        Verdict::Held { num_unseen, num_removed: 0, num_counted: 0 }
    }

    #[test]
    fn rows_that_hold_nothing_may_be_what_is_missing() {
        for (now, num_unread) in [(1, 1), (7, 7)] {
            let verdict = judge(GUARD, &undated(now, Some(0)), false, finding(500, 4));
            assert_eq!(verdict, Verdict::Unread { num_unseen: 4, num_unread, discrepancy: -4 });
        }
        let again = Finding { held: ripe(4), ..finding(500, 4) };
        assert!(matches!(judge(GUARD, &undated(3, Some(2)), true, again), Verdict::Unread { num_unread: 1, .. }));
    }

    /// Found by the simulation: a hidden row, counted but not given, was given later, and held nothing.
    #[test]
    fn a_row_that_was_hidden_and_holds_nothing_is_none_of_what_is_missing() {
        let mut walk = undated(3, Some(2));
        walk.memory.num_hidden = 1;
        let found = |total| Finding { total: Some(total), num_active: 21, num_unseen: 2, ..Finding::default() };
        assert_eq!(judge(GUARD, &walk, false, found(22)), holds(2));
        assert!(matches!(judge(GUARD, &walk, false, found(23)), Verdict::Unread { .. }), "it is hidden still");
    }

    /// Found by the simulation: a row had become unreadable before the first steady walk, and a hidden one was removed.
    #[test]
    fn rows_with_nothing_but_a_date_need_a_later_look_until_they_are_known() {
        let dated = |proven| WalkState {
            found: PassFindings { num_unidentified: 1, ..PassFindings::default() },
            memory: RunMemory { proven_dated: proven, ..RunMemory::default() },
            ..WalkState::default()
        };
        let found = Finding { total: Some(200), num_active: 200, num_unseen: 1, ..Finding::default() };
        assert_eq!(judge(GUARD, &dated(None), false, found), holds(1));
        assert_eq!(judge(GUARD, &dated(Some(1)), false, found), removes_of(1, 1));
        assert!(matches!(judge(GUARD, &dated(Some(0)), false, found), Verdict::Counted { .. }));
    }

    #[test]
    fn rows_that_hold_nothing_do_not_matter_while_everything_known_is_seen() {
        assert_eq!(judge(GUARD, &undated(2, Some(0)), false, finding(500, 0)), removes(0));
    }

    /// Found by the simulation: while one row became unreadable, one that had always been so was removed.
    #[test]
    fn rows_that_may_be_others_than_before_need_a_later_look() {
        for before in [None, Some(2), Some(5)] {
            let walk = undated(2, before);
            assert_eq!(judge(GUARD, &walk, false, finding(500, 4)), holds(4));
            assert_eq!(judge(GUARD, &walk, false, Finding { held: ripe(4), ..finding(500, 4) }), removes(4));
        }
        assert_eq!(judge(GUARD, &undated(0, Some(2)), false, finding(500, 4)), removes(4));
    }

    /// Found by the simulation: two playlists were dragged past each other between two pages.
    #[test]
    fn an_item_that_was_read_twice_may_have_hidden_another() {
        let found = Finding { total: Some(19), num_active: 19, num_unseen: 1, ..Finding::default() };
        let counted = Verdict::Counted { num_unseen: 1, num_removed: 0, counts_all: true, discrepancy: 0 };
        assert_eq!(judge(GUARD, &WalkState::default(), false, found), counted);
        let row_without_id = WalkState {
            found: PassFindings { num_unidentified: 1, ..PassFindings::default() },
            memory: RunMemory { proven_dated: Some(1), ..RunMemory::default() },
            ..WalkState::default()
        };
        let removed = Verdict::Proven { num_removed: 1, num_counted: 0, discrepancy: 1 };
        assert_eq!(judge(GUARD, &row_without_id, false, found), removed);
    }

    #[test]
    fn a_listing_without_a_single_item_is_not_believed_at_once_however_small() {
        assert_eq!(judge(GUARD, &WalkState::default(), true, finding(1, 1)), holds(1));
        let again = Finding { held: ripe(1), ..finding(1, 1) };
        assert_eq!(judge(GUARD, &WalkState::default(), true, again), removes(1));
    }

    #[test]
    fn a_steady_walk_may_remove_what_it_did_not_see() {
        assert_eq!(judge(GUARD, &WalkState::default(), false, finding(5000, 900)), removes(900));
    }

    #[test]
    fn a_walk_that_saw_the_list_move_or_came_to_no_end_removes_nothing() {
        let moved = found(PassFindings { unsteady: true, ..PassFindings::default() });
        assert_eq!(judge(GUARD, &moved, false, finding(5000, 1)), Verdict::Unsteady);
        let older = found(PassFindings { has_shrunk: true, ..PassFindings::default() });
        assert_eq!(judge(GUARD, &older, true, finding(5000, 0)), Verdict::Unsteady);
        let broken = found(PassFindings { is_broken: true, ..PassFindings::default() });
        for by_cursor in [false, true] {
            let again = Finding { held: ripe(1), ..finding(5000, 1) };
            assert_eq!(judge(GUARD, &broken, by_cursor, again), Verdict::Unsteady);
        }
    }

    /// Found by the simulation: a page gave each row twice, and the rows left out for that were marked removed.
    #[test]
    fn a_row_that_a_page_gave_twice_may_have_taken_the_place_of_another() {
        let doubled = found(PassFindings { has_double: true, ..PassFindings::default() });
        let held = Verdict::Held { num_unseen: 1, num_removed: 0, num_counted: 0 };
        assert_eq!(judge(GUARD, &doubled, false, finding(5000, 1)), held);
        assert_eq!(judge(GUARD, &doubled, false, Finding { held: ripe(1), ..finding(5000, 1) }), removes(1));
    }

    #[test]
    fn a_walk_with_a_gap_removes_nothing() {
        let walk = found(PassFindings { num_gaps: 1, ..PassFindings::default() });
        assert_eq!(judge(GUARD, &walk, false, finding(5000, 1)), Verdict::Gaps { discrepancy: -1 });
    }

    #[test]
    fn a_mass_removal_waits_for_a_later_run_that_misses_the_same_items() {
        let emptied = |held| Finding { held, ..finding(5000, 5000) };
        let walk = WalkState::default();
        assert_eq!(judge(GUARD, &walk, false, emptied(ripe(0))), holds(5000));
        assert_eq!(judge(GUARD, &walk, false, emptied(ripe(5000))), removes(5000));
        let some = Verdict::Held { num_unseen: 5000, num_removed: 4000, num_counted: 0 };
        assert_eq!(judge(GUARD, &walk, false, emptied(ripe(4000))), some, "the others wait on");
    }

    #[test]
    fn a_cursor_walk_that_contradicts_the_total_needs_a_later_run() {
        let walk = found(PassFindings { unsteady: true, ..PassFindings::default() });
        assert_eq!(judge(GUARD, &walk, true, finding(500, 2)), holds(2));
        assert_eq!(judge(GUARD, &walk, true, Finding { held: ripe(2), ..finding(500, 2) }), removes(2));
    }

    #[test]
    fn what_the_total_still_counts_is_never_believed_however_often_it_is_missed() {
        for (by_cursor, unsteady) in [(false, false), (true, true), (true, false)] {
            let walk = found(PassFindings { unsteady, ..PassFindings::default() });
            for (num_counted, held) in
                [(0, ripe(0)), (0, ripe(3)), (3, HeldBefore { num_counted: 3, ..HeldBefore::default() })]
            {
                let memory = RunMemory { num_counted, num_excess: num_counted, ..RunMemory::default() };
                let walk = WalkState { memory, ..walk.clone() };
                let found = Finding { total: Some(500), num_active: 500, num_unseen: 3, held, ..Finding::default() };
                let verdict = judge(GUARD, &walk, by_cursor, found);
                let removed = match verdict {
                    Verdict::Counted { num_removed, discrepancy: 0, .. } => num_removed,
                    Verdict::Proven { num_removed, num_counted: 3, discrepancy: 0 } => num_removed,
                    verdict => panic!("{verdict:?}"),
                };
                assert_eq!(removed, 0);
            }
            let held = HeldBefore { num_confirmed: 3, ..HeldBefore::default() };
            let found = Finding { total: Some(500), num_active: 500, num_unseen: 3, held, ..Finding::default() };
            let verdict = judge(GUARD, &WalkState::default(), by_cursor, found);
            assert_eq!(verdict, Verdict::Proven { num_removed: 3, num_counted: 0, discrepancy: 3 }, "a person said so");
        }
    }

    /// Found by the simulation: one was hidden, one removed, and the row of a third had nothing but its date.
    #[test]
    fn a_row_that_has_fallen_silent_is_not_counted_twice() {
        let found = Finding { total: Some(10), num_active: 11, num_unseen: 2, ..Finding::default() };
        for (proven_dated, excess) in [(Some(0), 1), (Some(1), 0), (None, 0)] {
            let walk = WalkState {
                found: PassFindings { num_unidentified: 1, ..PassFindings::default() },
                memory: RunMemory { proven_dated, ..RunMemory::default() },
                ..WalkState::default()
            };
            assert_eq!(super::excess(&walk, found.total, 9), excess);
            let is_counted = matches!(judge(GUARD, &walk, false, found), Verdict::Counted { counts_all: false, .. });
            assert_eq!(is_counted, excess > 0);
        }
    }

    /// Found by the simulation: an artist was removed while another became hidden, and there was no total.
    #[test]
    fn a_cursor_walk_needs_a_total_that_agrees() {
        let walk = found(PassFindings { unsteady: true, ..PassFindings::default() });
        for held in [ripe(0), ripe(2)] {
            let found = Finding { total: Some(1), num_active: 2, num_unseen: 2, held, ..Finding::default() };
            let counted = Verdict::Counted { num_unseen: 2, num_removed: 0, counts_all: false, discrepancy: -1 };
            assert_eq!(judge(GUARD, &walk, true, found), counted);
        }
        let found = Finding { total: None, ..finding(2, 1) };
        assert_eq!(judge(GUARD, &WalkState::default(), true, found), holds(1));
        let again = Finding { held: ripe(1), ..found };
        assert_eq!(judge(GUARD, &WalkState::default(), true, again), removes(1));
        let counted = learned(RunMemory { num_counted: 1, num_excess: 1, ..RunMemory::default() });
        let found = Finding { held: HeldBefore { num_counted: 1, ..HeldBefore::default() }, ..found };
        let kept = Verdict::Proven { num_removed: 0, num_counted: 1, discrepancy: 0 };
        assert_eq!(judge(GUARD, &counted, true, found), kept, "silence erases nothing");
    }

    #[test]
    fn a_removal_beside_what_is_counted_and_not_given_is_believed() {
        let hidden = learned(RunMemory { num_hidden: 1, ..RunMemory::default() });
        let found = Finding { total: Some(229), num_active: 229, num_unseen: 1, ..Finding::default() };
        let removed = Verdict::Proven { num_removed: 1, num_counted: 0, discrepancy: 1 };
        assert_eq!(judge(GUARD, &hidden, false, found), removed);
        // One item became hidden and was held as counted; then another was removed.
        let counted = learned(RunMemory { num_counted: 1, num_excess: 1, ..RunMemory::default() });
        let held = HeldBefore { num_counted: 1, ..HeldBefore::default() };
        let found = Finding { total: Some(229), num_active: 230, num_unseen: 2, held, ..Finding::default() };
        let removed = Verdict::Proven { num_removed: 1, num_counted: 1, discrepancy: 0 };
        assert_eq!(judge(GUARD, &counted, false, found), removed);
        // The total no longer counts either.
        let found = Finding { total: Some(228), ..found };
        assert_eq!(judge(GUARD, &counted, false, found), removes(2));
    }

    /// Found by the simulation: every page was cut to nothing, and the shows that had never been read counted as
    /// hidden.
    #[test]
    fn a_walk_that_misses_both_what_is_held_and_what_is_not_learns_nothing() {
        for (total, counts_all) in [(9, false), (10, true), (26, false)] {
            let found = Finding { total: Some(total), num_active: 10, num_unseen: 10, ..Finding::default() };
            let verdict = judge(GUARD, &WalkState::default(), false, found);
            let is_counted =
                matches!(verdict, Verdict::Counted { num_removed: 0, counts_all: counts, .. } if counts == counts_all);
            assert!(is_counted, "{total}: {verdict:?}");
        }
    }

    /// Found by the simulation: of four held items one was counted, and then another became hidden.
    #[test]
    fn what_is_counted_beside_items_of_which_some_are_gone_is_not_removed() {
        let some = learned(RunMemory { num_counted: 4, num_excess: 1, ..RunMemory::default() });
        let held = HeldBefore { num_counted: 4, ..HeldBefore::default() };
        let found = |total| Finding { total: Some(total), num_active: 6, num_unseen: 5, held, ..Finding::default() };
        let counted = Verdict::Counted { num_unseen: 5, num_removed: 0, counts_all: false, discrepancy: -3 };
        assert_eq!(judge(GUARD, &some, false, found(3)), counted, "one more is counted");
        let counted = Verdict::Counted { num_unseen: 5, num_removed: 0, counts_all: false, discrepancy: -4 };
        assert_eq!(judge(GUARD, &some, false, found(2)), counted, "as many as before, and nobody knows which");
        // One of the four came back, and was the counted one.
        let held = HeldBefore { num_counted: 3, ..HeldBefore::default() };
        let found = Finding { total: Some(3), num_active: 6, num_unseen: 4, held, ..Finding::default() };
        let counted = Verdict::Counted { num_unseen: 4, num_removed: 0, counts_all: false, discrepancy: -3 };
        assert_eq!(judge(GUARD, &some, false, found), counted);
    }

    /// Found by the simulation: the total was too long once, and the excess was taken for hidden rows ever after.
    #[test]
    fn rows_that_were_never_hidden_prove_no_removal() {
        let hiding = learned(RunMemory { num_hidden: 16, ..RunMemory::default() });
        let found = Finding { total: Some(3), num_active: 3, num_unseen: 1, ..Finding::default() };
        let counted = Verdict::Counted { num_unseen: 1, num_removed: 0, counts_all: true, discrepancy: 0 };
        assert_eq!(judge(GUARD, &hiding, false, found), counted);
    }

    #[test]
    fn the_share_that_is_believed_at_once_is_a_setting() {
        let believed = |percent_max, num_unseen| {
            let guard = RemovalGuard { percent_max, ..GUARD };
            matches!(judge(guard, &WalkState::default(), false, finding(1000, num_unseen)), Verdict::Proven { .. })
        };
        assert!(believed(20, 200) && !believed(20, 201));
        assert!(believed(1, 10) && !believed(1, 11));
        assert!(believed(100, 999) && !believed(100, 1000), "nothing makes zero believable at once");
    }

    /// Found by the simulation: a page was cut short, and its total was too small as well.
    #[test]
    fn a_total_that_counts_fewer_than_came_needs_a_later_look() {
        let found = Finding { total: Some(5), ..finding(15, 8) };
        assert_eq!(judge(GUARD, &WalkState::default(), false, found), holds(8));
        let again = Finding { held: ripe(8), ..found };
        assert!(matches!(judge(GUARD, &WalkState::default(), false, again), Verdict::Proven { num_removed: 8, .. }));
    }

    #[test]
    fn a_small_library_may_lose_most_of_itself() {
        assert_eq!(judge(GUARD, &WalkState::default(), false, finding(12, 10)), removes(10));
    }

    #[test]
    fn other_rows_in_the_place_of_all_that_were_held_need_a_later_look() {
        let replaced = |num_before| Finding { total: Some(5), num_before, ..finding(10, 5) };
        assert_eq!(judge(GUARD, &WalkState::default(), false, replaced(5)), holds(5));
        assert_eq!(judge(GUARD, &WalkState::default(), false, replaced(6)), removes(5));
        let again = Finding { held: ripe(5), ..replaced(10) };
        assert_eq!(judge(GUARD, &WalkState::default(), false, again), removes(5));
    }

    #[test]
    fn rows_that_the_api_counts_but_does_not_give_are_no_removals() {
        let found = Finding { total: Some(2630), num_active: 2603, ..Finding::default() };
        let none = Verdict::Proven { num_removed: 0, num_counted: 0, discrepancy: 27 };
        assert_eq!(judge(GUARD, &WalkState::default(), false, found), none);
    }
}
