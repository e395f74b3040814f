//! The history of playlists: that it adds up, and that nothing in it is made up.

use super::super::database::item_number;
use super::*;
use segno::model::version::{Difference, Entry, Version};

impl World {
    /// Checks the history of a playlist after a reading.
    pub(super) fn check_history(&mut self, key: SyncKey, number: u32) {
        let truth = &self.library.of(EntityType::Playlists).item(number).contents;
        let Some(book) = self.database.of(key).playlist(number) else { return };
        let history = &book.history;
        if history.is_waiting() {
            return;
        }
        let runs: Vec<_> = history.versions.iter().map(|(run, _)| run).collect();
        let firsts: Vec<bool> =
            history.versions.iter().map(|(_, version)| matches!(version, Version::First { .. })).collect();
        let is_twice = runs.windows(2).any(|runs| runs[0] == runs[1]);
        if is_twice || !firsts.iter().enumerate().all(|(at, is_first)| *is_first == (at == 0)) {
            let versions = history.versions.clone();
            self.violated("G4", format!("playlist {number}: these versions cannot follow each other: {versions:?}"));
        }
        let versions = || {
            history.versions.iter().filter_map(|(_, version)| match version {
                Version::First { .. } => None,
                Version::Next(difference) => Some(difference),
            })
        };
        // An item whose place was empty when it came in was not added when it could be seen.
        let was_empty = |item: &u32| (0..=truth.past.len()).any(|edition| is_unavailable(*item, edition));
        for (what, told) in
            [("versions", replay(&history.first, versions())), ("feed", replay(&history.first, &history.news))]
        {
            let mut held: BTreeMap<u32, i64> = told;
            book.items.iter().flatten().for_each(|item| *held.entry(*item).or_default() -= 1);
            let is_wrong = |(item, num): &(&u32, &i64)| **num > 0 || **num < 0 && !was_empty(item);
            if let Some((item, num)) = held.iter().find(is_wrong) {
                let message = format!("playlist {number}: by its {what}, item {item} is held {num} times too many");
                self.violated("G4", format!("{message}: {history:?}, {:?}", book.items));
            }
        }
        // G3: of a playlist that was always shown whole, and never wrongly, nothing is said to come or go that was there all the
        // time.
        let is_right = truth.misread_at.is_empty() && !truth.was_torn;
        let num_in = |items: &[u32], item| items.iter().filter(|other| **other == item).count();
        let was_always_there = |item: u32| {
            let num_now = num_in(&truth.items, item);
            num_now > 0 && truth.versions_since(0).all(|items| num_in(items, item) == num_now)
        };
        let is_made_up = |difference: &&Difference| {
            difference.removed.iter().chain(&difference.added).filter_map(item_number).any(was_always_there)
        };
        let latest = [versions().next_back(), history.news.last()];
        let made_up = latest.into_iter().flatten().filter(|_| is_right).find(is_made_up).cloned();
        if let Some(difference) = made_up {
            self.violated("G3", format!("playlist {number}: it was there all the time, by the source: {difference:?}"));
        }
    }

    /// What has been read is in the histories.
    pub(super) fn check_histories(&mut self, key: SyncKey) {
        let (listing, books) = (self.library.of(EntityType::Playlists), self.database.of(key));
        let is_silent = |number: &&u32| {
            let Some(book) = books.playlist(**number) else { return false };
            book.num_held.is_some() && (book.history.is_waiting() || book.history.versions.is_empty())
        };
        if let Some(number) = listing.order.iter().find(is_silent) {
            self.violated("G4", format!("playlist {number} was read, and its history does not say so"));
        }
    }
}

/// How often each item is held, by what a history says.
fn replay<'a>(first: &[Entry], differences: impl IntoIterator<Item = &'a Difference>) -> BTreeMap<u32, i64> {
    let mut held: BTreeMap<u32, i64> = BTreeMap::new();
    first.iter().filter_map(item_number).for_each(|item| *held.entry(item).or_default() += 1);
    for Difference { added, removed } in differences {
        added.iter().filter_map(item_number).for_each(|item| *held.entry(item).or_default() += 1);
        removed.iter().filter_map(item_number).for_each(|item| *held.entry(item).or_default() -= 1);
    }
    held
}
