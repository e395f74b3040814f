//! Whether the items that a reading misses are believed to be gone.
//!
//! A few are believed at once. Many, or all, wait for a second look that misses the same items, some time later, like
//! removals from the library. So does an item that is missing while more rows than before are counted but not given, or
//! as many as before and an item is new: it may be one of those, in place of that item. What could not be served is no
//! longer shown either: it waits in the same way if it is much.

use super::{Difference, Entry, recall};
use crate::model::RemovalGuard;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// Rows that were counted but not given, in the reading before and in this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HiddenItems {
    pub before: u32,
    pub now: u32,
}

/// A whole reading beside the items held so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    pub num_held: u32,
    pub num_missing: u32,
    num_new: u32,
    /// Identities of the items that it no longer contains.
    pub missing: BTreeSet<String>,
    /// Nothing differs, not even the order.
    pub is_same: bool,
    /// The same items are in the same order.
    are_same_items: bool,
}

impl Comparison {
    pub fn of(before: Vec<Entry>, mut after: Vec<Entry>) -> Comparison {
        let len = |num: usize| u32::try_from(num).unwrap_or(u32::MAX);
        let num_held = len(before.iter().filter(|entry| entry.identity().is_some()).count());
        recall(&mut after, &before, true);
        let is_same = before == after;
        let are_same_items = before.iter().map(Entry::identity).eq(after.iter().map(Entry::identity));
        let Difference { added, removed } = Difference::between(before, after);
        let missing = removed.iter().filter_map(Entry::identity).collect();
        Comparison {
            num_held,
            num_missing: len(removed.len()),
            num_new: len(added.len()),
            missing,
            is_same,
            are_same_items,
        }
    }

    /// Whether one look is enough.
    pub fn is_believed(&self, rule: RemovalGuard, hidden: HiddenItems) -> bool {
        self.num_missing == 0 || rule.lets_pass(self.num_missing, self.num_held) && !self.may_be_hidden(hidden)
    }

    /// Whether what is missing may be counted but not given.
    pub fn may_be_hidden(&self, hidden: HiddenItems) -> bool {
        hidden.now > hidden.before || hidden.now > 0 && self.num_new > 0
    }

    /// Whether the number of items says nothing about what has changed: the order, or some items in place of others. A
    /// wrong answer of the right length looks the same.
    pub fn is_uncounted(&self) -> bool {
        !self.are_same_items && (self.num_missing > 0) == (self.num_new > 0)
    }

    /// Whether it cannot be the same playlist at the same moment: it does more than fill empty places.
    pub fn contradicts(&self) -> bool {
        self.num_missing > 0 || self.is_uncounted()
    }

    /// Whether an earlier look, long enough ago, has missed the same items, or a person says that they are gone.
    /// `held`: since when each is missed, and whether a person has confirmed it.
    pub fn is_confirmed(
        &self,
        rule: RemovalGuard,
        held: &BTreeMap<String, (DateTime<Utc>, bool)>,
        now: DateTime<Utc>,
    ) -> bool {
        let ripe_at = TimeDelta::from_std(rule.wait).ok().and_then(|wait| now.checked_sub_signed(wait));
        let is_ripe = |(since, is_confirmed): &(DateTime<Utc>, bool)| {
            *is_confirmed || ripe_at.is_some_and(|ripe_at| *since <= ripe_at)
        };
        self.missing.iter().all(|item| held.get(item).is_some_and(is_ripe))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUARD: RemovalGuard = RemovalGuard { percent_max: 20, wait: std::time::Duration::from_secs(3600) };
    const NONE_HIDDEN: HiddenItems = HiddenItems { before: 0, now: 0 };

    fn compared(before: &[&str], after: &[&str]) -> Comparison {
        let entries = |uris: &[&str]| (0..).zip(uris).map(|(position, uri)| entry(position, uri)).collect();
        Comparison::of(entries(before), entries(after))
    }

    fn entry(position: i64, uri: &str) -> Entry {
        Entry { position, uri: Some(uri.to_owned()), name: None, track_id: None, added_at: None }
    }

    #[test]
    fn what_is_missing_while_rows_are_hidden_may_be_one_of_them() {
        for (after, before, now, is_believed) in [
            (&["a", "b"][..], 0, 0, true),
            (&["a", "b"], 0, 1, false),
            (&["a", "b"], 1, 1, true),
            (&["a", "b"], 2, 1, true),
            // Another item turned up, and as many are hidden: that one was.
            (&["a", "b", "d"], 1, 1, false),
            (&["a", "b", "d"], 2, 1, false),
            (&["a", "b", "d"], 1, 0, true),
        ] {
            let compared = compared(&["a", "b", "c"], after);
            assert_eq!(
                compared.is_believed(GUARD, HiddenItems { before, now }),
                is_believed,
                "{after:?} {before} {now}"
            );
        }
        let all_there = compared(&["a"], &["a", "b"]);
        assert!(all_there.is_believed(GUARD, HiddenItems { before: 0, now: 3 }));
    }

    #[test]
    fn another_name_is_no_other_item() {
        let renamed = Entry { name: Some("another".into()), ..entry(0, "a") };
        let compared = Comparison::of(vec![entry(0, "a")], vec![renamed]);
        assert!(!compared.is_same && !compared.is_uncounted() && !compared.contradicts());
    }

    #[test]
    fn changes_that_the_number_of_items_does_not_show_are_known_as_such() {
        for (after, is_uncounted) in [
            (&["a", "b", "c"][..], false),
            (&["a", "b"], false),
            (&["a", "b", "c", "d"], false),
            (&["b", "a", "c"], true),
            (&["a", "b", "d"], true),
            (&["a", "d"], true),
        ] {
            let compared = compared(&["a", "b", "c"], after);
            assert_eq!(compared.is_uncounted(), is_uncounted, "{after:?}");
            assert!(compared.is_believed(GUARD, NONE_HIDDEN), "{after:?}");
            assert_eq!(compared.contradicts(), is_uncounted || after.len() < 3, "{after:?}");
        }
    }
}
