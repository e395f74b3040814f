//! Whether a walk that reached the end of a listing may mark anything removed.
//!
//! A removal is only as certain as the walk that missed the item. A walk that saw the listing move, or could not read
//! part of it, proves nothing about what it did not see; and one that would empty the library is more likely to have
//! met a broken API than a person who removed everything. A row that holds nothing, not even a date, may be any of the
//! items that were not seen: while there are more such rows than there were when everything was last seen, none of those
//! items is known to be gone.

pub use crate::model::RemovalGuard;
use crate::model::WalkState;

/// What the end of a walk found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Length of the listing as the API claims it.
    pub total: Option<u32>,
    /// Rows of the account not marked removed.
    pub num_active: u32,
    /// How many of them the walk has not seen; zero where it recorded nothing.
    pub num_unseen: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every item that was there all the time was seen; what was not seen is gone. `removes` tells whether there is
    /// anything to mark; `discrepancy` is what `total` counts beyond the rows held.
    Proven { removes: bool, discrepancy: i64 },
    /// Removals that are not believed at once: too many, or something speaks against them. A second run that finds the
    /// same number may mark them.
    Held { num_unseen: u32 },
    /// Items were not seen, and more rows than before do not say what they hold: `num_unread` more.
    Unread { num_unseen: u32, num_unread: u32, discrepancy: i64 },
    /// Part of the listing could not be read.
    Gaps { discrepancy: i64 },
    /// The listing moved while it was read.
    Unsteady,
}

/// Judges a walk over a listing that ended.
///
/// `by_cursor` says that the listing is sorted by a key and paged by it: such a walk cannot lose its place, and only a
/// total that is known to lie speaks against it. Then a second run that misses the same number decides.
pub fn judge(guard: RemovalGuard, walk: &WalkState, by_cursor: bool, finding: Finding) -> Verdict {
    let Finding { total, num_active, num_unseen } = finding;
    let beyond = |held: u32| total.map_or(0, |total| i64::from(total) - i64::from(held));
    if walk.num_gaps > 0 {
        return Verdict::Gaps { discrepancy: beyond(num_active) };
    }
    if walk.unsteady && !by_cursor {
        return Verdict::Unsteady;
    }
    let num_unread = walk.num_undated.saturating_sub(walk.proven_undated.unwrap_or(walk.num_undated));
    if num_unseen > 0 && num_unread > 0 {
        return Verdict::Unread { num_unseen, num_unread, discrepancy: beyond(num_active) };
    }
    let discrepancy = beyond(num_active - num_unseen);
    // A walk reads as many slots as there are. So if they hold fewer items than that, one was read twice, and another may
    // have gone past in its place; unless rows are counted and not given, always the same number.
    let may_have_missed = !by_cursor && discrepancy > i64::from(walk.num_unidentified);
    // As many rows without an id as before need not be the same ones.
    let contradicted = num_unseen > 0 && (walk.unsteady || walk.num_undated > 0 || may_have_missed);
    if (guard.lets_pass(num_unseen, num_active) && !contradicted) || walk.held_removals == Some(num_unseen) {
        Verdict::Proven { removes: num_unseen > 0, discrepancy }
    } else {
        Verdict::Held { num_unseen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUARD: RemovalGuard = RemovalGuard { percent_max: 20 };

    fn finding(num_active: u32, num_unseen: u32) -> Finding {
        Finding { total: Some(num_active - num_unseen), num_active, num_unseen }
    }

    fn undated(now: u32, proven: Option<u32>) -> WalkState {
        WalkState { num_undated: now, proven_undated: proven, ..WalkState::default() }
    }

    #[test]
    fn rows_that_hold_nothing_may_be_what_is_missing() {
        for (now, num_unread) in [(1, 1), (7, 7)] {
            let verdict = judge(GUARD, &undated(now, Some(0)), false, finding(500, 4));
            assert_eq!(verdict, Verdict::Unread { num_unseen: 4, num_unread, discrepancy: -4 });
        }
        let again = WalkState { held_removals: Some(4), ..undated(3, Some(2)) };
        assert!(matches!(judge(GUARD, &again, true, finding(500, 4)), Verdict::Unread { num_unread: 1, .. }));
    }

    #[test]
    fn rows_that_hold_nothing_do_not_matter_while_everything_known_is_seen() {
        let verdict = judge(GUARD, &undated(2, Some(0)), false, finding(500, 0));
        assert_eq!(verdict, Verdict::Proven { removes: false, discrepancy: 0 });
    }

    /// Found by the simulation: while one fell silent, one that had always been silent was removed.
    #[test]
    fn rows_that_may_be_others_than_before_need_a_second_run() {
        for before in [None, Some(2), Some(5)] {
            let walk = undated(2, before);
            assert_eq!(judge(GUARD, &walk, false, finding(500, 4)), Verdict::Held { num_unseen: 4 });
            let again = WalkState { held_removals: Some(4), ..walk };
            let verdict = judge(GUARD, &again, false, finding(500, 4));
            assert_eq!(verdict, Verdict::Proven { removes: true, discrepancy: 0 });
        }
        let verdict = judge(GUARD, &undated(0, Some(2)), false, finding(500, 4));
        assert!(matches!(verdict, Verdict::Proven { removes: true, .. }));
    }

    /// Found by the simulation: two playlists were dragged past each other between two pages.
    #[test]
    fn an_item_that_was_read_twice_may_have_hidden_another() {
        let found = Finding { total: Some(19), num_active: 19, num_unseen: 1 };
        assert_eq!(judge(GUARD, &WalkState::default(), false, found), Verdict::Held { num_unseen: 1 });
        let row_without_id = WalkState { num_unidentified: 1, ..WalkState::default() };
        assert_eq!(judge(GUARD, &row_without_id, false, found), Verdict::Proven { removes: true, discrepancy: 1 });
    }

    #[test]
    fn a_listing_without_a_single_item_is_not_believed_at_once_however_small() {
        assert_eq!(judge(GUARD, &WalkState::default(), true, finding(1, 1)), Verdict::Held { num_unseen: 1 });
        let again = WalkState { held_removals: Some(1), ..WalkState::default() };
        assert!(matches!(judge(GUARD, &again, true, finding(1, 1)), Verdict::Proven { removes: true, .. }));
    }

    #[test]
    fn a_steady_walk_may_remove_what_it_did_not_see() {
        let verdict = judge(GUARD, &WalkState::default(), false, finding(5000, 900));
        assert_eq!(verdict, Verdict::Proven { removes: true, discrepancy: 0 });
    }

    #[test]
    fn a_walk_that_saw_the_list_move_removes_nothing() {
        let walk = WalkState { unsteady: true, ..WalkState::default() };
        assert_eq!(judge(GUARD, &walk, false, finding(5000, 1)), Verdict::Unsteady);
    }

    #[test]
    fn a_walk_with_a_gap_removes_nothing() {
        let walk = WalkState { num_gaps: 1, ..WalkState::default() };
        assert_eq!(judge(GUARD, &walk, false, finding(5000, 1)), Verdict::Gaps { discrepancy: -1 });
    }

    #[test]
    fn a_mass_removal_waits_for_a_second_run_that_sees_the_same() {
        let emptied = finding(5000, 5000);
        assert_eq!(judge(GUARD, &WalkState::default(), false, emptied), Verdict::Held { num_unseen: 5000 });
        let again = WalkState { held_removals: Some(5000), ..WalkState::default() };
        assert_eq!(judge(GUARD, &again, false, emptied), Verdict::Proven { removes: true, discrepancy: 0 });
        let other = WalkState { held_removals: Some(4000), ..WalkState::default() };
        assert_eq!(judge(GUARD, &other, false, emptied), Verdict::Held { num_unseen: 5000 });
    }

    #[test]
    fn a_cursor_walk_that_contradicts_the_total_needs_a_second_run() {
        let walk = WalkState { unsteady: true, ..WalkState::default() };
        assert_eq!(judge(GUARD, &walk, true, finding(500, 2)), Verdict::Held { num_unseen: 2 });
        let again = WalkState { held_removals: Some(2), ..walk };
        assert_eq!(judge(GUARD, &again, true, finding(500, 2)), Verdict::Proven { removes: true, discrepancy: 0 });
    }

    #[test]
    fn the_share_that_is_believed_at_once_is_a_setting() {
        let believed = |percent_max, num_unseen| {
            let guard = RemovalGuard { percent_max };
            matches!(judge(guard, &WalkState::default(), false, finding(1000, num_unseen)), Verdict::Proven { .. })
        };
        assert!(believed(20, 200) && !believed(20, 201));
        assert!(believed(1, 10) && !believed(1, 11));
        assert!(believed(100, 999) && !believed(100, 1000), "nothing makes zero believable at once");
    }

    #[test]
    fn a_small_library_may_lose_most_of_itself() {
        assert_eq!(
            judge(GUARD, &WalkState::default(), false, finding(12, 10)),
            Verdict::Proven { removes: true, discrepancy: 0 }
        );
    }

    #[test]
    fn rows_that_the_api_counts_but_does_not_give_are_no_removals() {
        let found = Finding { total: Some(2630), num_active: 2603, num_unseen: 0 };
        assert_eq!(
            judge(GUARD, &WalkState::default(), false, found),
            Verdict::Proven { removes: false, discrepancy: 27 }
        );
    }
}
