//! Whether the items that a reading misses are believed to be gone.
//!
//! A few are believed at once. Many, or all, wait for a second look that misses the same items, some time later, like
//! removals from the library. So does an item that is missing while rows are counted but not given: it may be one of
//! those. What could not be served is no longer shown either: it waits in the same way if it is much.

use super::{Difference, Entry, recall};
use crate::model::RemovalGuard;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// A whole reading beside the items held so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    pub num_held: u32,
    pub num_missing: u32,
    /// Identities of the items that it no longer contains.
    pub missing: BTreeSet<String>,
    /// Nothing differs, not even the order.
    pub is_same: bool,
}

impl Comparison {
    pub fn of(before: Vec<Entry>, mut after: Vec<Entry>) -> Comparison {
        let len = |num: usize| u32::try_from(num).unwrap_or(u32::MAX);
        let num_held = len(before.iter().filter(|entry| entry.identity().is_some()).count());
        recall(&mut after, &before, true);
        let is_same = before == after;
        let removed = Difference::between(before, after).removed;
        let missing = removed.iter().filter_map(Entry::identity).collect();
        Comparison { num_held, num_missing: len(removed.len()), missing, is_same }
    }

    /// Whether one look is enough. `hides_more`: more rows than before are counted but not given.
    pub fn is_believed(&self, rule: RemovalGuard, hides_more: bool) -> bool {
        self.num_missing == 0 || rule.lets_pass(self.num_missing, self.num_held) && !hides_more
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
