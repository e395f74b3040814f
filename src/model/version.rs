//! The history of a playlist: what was added to it and removed from it, between one whole reading and the next.
//!
//! - The first reading of a playlist is a version with a count and nothing else: it is unknown when each item was
//!   added.
//! - Items are distinguished by URI and counted. One that only moved has not changed, and a playlist that was only
//!   renamed has no new version.
//! - A place that the API shows as empty keeps its earlier item, as long as it shows the same moment of addition: the
//!   item is unavailable for now (see [`recall`]).
//! - A place that the API could not serve may hold anything: the comparison waits for it, but not for ever. After a day
//!   the place is taken for what stood there before; what it turns out to hold is compared when it can be read.
//! - Two walks of one run are one reading. The second is there because the playlist changed under the first, which may
//!   therefore have missed an item, or seen it twice: the version is what both together found.

mod comparison;
mod recall;

pub use comparison::{Comparison, HiddenItems};
pub use recall::recall;

use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
use std::hash::Hash;

/// How long a comparison waits for places that could not be served.
const GAPS_WAIT: TimeDelta = TimeDelta::days(1);

/// Whether a comparison that has been due since then waits for places that could not be served.
pub fn waits_for_gaps(since: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now.signed_duration_since(since) < GAPS_WAIT
}

/// An item as a reading found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub position: i64,
    pub uri: Option<String>,
    pub name: Option<String>,
    pub track_id: Option<String>,
    pub added_at: Option<DateTime<Utc>>,
}

/// What was added and removed, each in the order of its list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    pub added: Vec<Entry>,
    pub removed: Vec<Entry>,
}

/// One entry of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// Only how many items the first reading found is known.
    First {
        num_items: usize,
    },
    Next(Difference),
}

/// A whole reading, and what it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The items before it, empty places included.
    pub before: Vec<Entry>,
    /// Those it found.
    pub after: Vec<Entry>,
    /// The playlist has never been read whole before.
    pub is_first: bool,
    /// The version of an earlier walk of the same run, which this one replaces.
    pub said: Option<Version>,
}

/// What a whole reading has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// The items, with what was recalled of earlier ones, and where.
    pub items: Vec<Entry>,
    pub recalled: Vec<usize>,
    /// `None` if nothing was added or removed.
    pub version: Option<Version>,
    /// What this walk alone has changed; of an earlier one of the same run that has been reported already. Nothing of
    /// the first reading.
    pub news: Option<Difference>,
}

impl Reading {
    pub fn conclude(self) -> Conclusion {
        let Reading { before: mut last, mut after, mut is_first, said } = self;
        let mut before = last.clone();
        match said {
            Some(Version::First { .. }) => is_first = true,
            Some(Version::Next(said)) => rewind(&mut before, said),
            None => {}
        }
        let recalled = recall(&mut after, &before, true);
        if is_first {
            let num_items = after.iter().filter(|entry| entry.identity().is_some()).count();
            let version = Some(Version::First { num_items });
            return Conclusion { items: after, recalled, version, news: None };
        }
        // An item that was there unseen, and can be seen now, was not added either.
        recall(&mut before, &after, false);
        recall(&mut last, &after, false);
        let is_any = |difference: &Difference| !difference.is_empty();
        let version = Some(Difference::between(before, after.clone())).filter(is_any).map(Version::Next);
        let news = Some(Difference::between(last, after.clone())).filter(is_any);
        Conclusion { items: after, recalled, version, news }
    }
}

impl Entry {
    /// `None` for a place of which nothing is known. A track without its URI is still the same track.
    pub fn identity(&self) -> Option<String> {
        let of_id = |id: &String| if id.contains(':') { id.clone() } else { format!("spotify:track:{id}") };
        self.uri.clone().or_else(|| self.track_id.as_ref().map(of_id))
    }
}

impl Difference {
    /// An item counts as often as it occurs in a list. Among equal ones, those added at the same moment are the same.
    pub fn between(before: Vec<Entry>, after: Vec<Entry>) -> Difference {
        let known = |mut entries: Vec<Entry>| {
            entries.retain(|entry| entry.identity().is_some());
            entries
        };
        let (mut removed, mut added) = (known(before), known(after));
        cancel_same(&mut removed, &mut added);
        Difference { added, removed }
    }

    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// Turns a list into the one before that difference.
fn rewind(entries: &mut Vec<Entry>, said: Difference) {
    let Difference { mut added, removed } = said;
    cancel_same(entries, &mut added);
    entries.extend(removed);
}

fn cancel_same(ones: &mut Vec<Entry>, others: &mut Vec<Entry>) {
    cancel(ones, others, |entry| (entry.identity(), entry.added_at));
    cancel(ones, others, Entry::identity);
}

/// Removes from both lists what they have in common by `key`, as often as they have it in common.
fn cancel<K: Hash + Eq>(ones: &mut Vec<Entry>, others: &mut Vec<Entry>, key: impl Fn(&Entry) -> K) {
    let mut unmatched: HashMap<K, usize> = HashMap::new();
    for entry in ones.iter() {
        *unmatched.entry(key(entry)).or_default() += 1;
    }
    let mut matched: HashMap<K, usize> = HashMap::new();
    others.retain(|entry| {
        let key = key(entry);
        let is_matched = take_one(&mut unmatched, &key);
        if is_matched {
            *matched.entry(key).or_default() += 1;
        }
        !is_matched
    });
    ones.retain(|entry| !take_one(&mut matched, &key(entry)));
}

fn take_one<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) -> bool {
    match counts.get_mut(key) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_counts_as_often_as_it_stands_there() {
        let difference = Difference::between(list(&["a", "b", "a", "c"]), list(&["c", "a", "d", "c"]));
        assert_eq!(uris(&difference.added), ["d", "c"]);
        assert_eq!(uris(&difference.removed), ["b", "a"]);
        assert!(Difference::between(list(&["a", "b", "c"]), list(&["c", "a", "b"])).is_empty(), "only moved");
    }

    #[test]
    fn of_equal_items_the_one_that_was_added_at_another_moment_went() {
        let first = Entry { added_at: DateTime::from_timestamp(1, 0), ..entry(0, "a") };
        let second = Entry { added_at: DateTime::from_timestamp(2, 0), ..entry(1, "a") };
        let kept = Entry { position: 0, ..second.clone() };
        let difference = Difference::between(vec![first.clone(), second], vec![kept]);
        assert_eq!(difference, Difference { added: vec![], removed: vec![first] });
    }

    #[test]
    fn a_difference_can_be_taken_back() {
        let (before, torn, after) = (list(&["a", "b", "b", "c"]), list(&["a", "c", "d", "d"]), list(&["d", "b", "c"]));
        let mut rewound = torn.clone();
        rewind(&mut rewound, Difference::between(before.clone(), torn));
        let [rewound_uris, before_uris] = [&rewound, &before].map(|entries| {
            let mut uris = uris(entries);
            uris.sort_unstable();
            uris
        });
        assert_eq!(rewound_uris, before_uris);
        let both = Difference::between(rewound, after.clone());
        assert_eq!((uris(&both.added), uris(&both.removed)), (vec!["d"], vec!["a", "b"]));
        assert_eq!(Difference::between(before, after).added, both.added);
    }

    #[test]
    fn the_first_reading_says_how_many_items_there_are_however_many_walks_it_takes() {
        let first = Reading { before: vec![], after: list(&["a", "b"]), is_first: true, said: None }.conclude();
        assert_eq!((first.version.clone(), first.news), (Some(Version::First { num_items: 2 }), None));
        let again = Reading { before: first.items, after: list(&["a"]), is_first: false, said: first.version };
        let again = again.conclude();
        assert_eq!((again.version, again.news), (Some(Version::First { num_items: 1 }), None));
    }

    #[test]
    fn a_second_walk_of_a_run_says_all_of_it_once_and_reports_the_rest() {
        let reading = |before: &Vec<Entry>, after: &[&str], said| {
            Reading { before: before.clone(), after: list(after), is_first: false, said }.conclude()
        };
        let torn = reading(&list(&["a", "b"]), &["a", "c"], None);
        assert_eq!(torn.version.clone(), torn.news.clone().map(Version::Next));
        let whole = reading(&torn.items, &["a", "c", "b"], torn.version);
        let Some(Version::Next(Difference { added, removed })) = whole.version else { panic!("{whole:?}") };
        assert_eq!((uris(&added), removed), (vec!["c"], vec![]));
        let news = whole.news.unwrap();
        assert_eq!((uris(&news.added), news.removed), (vec!["b"], vec![]));
    }

    fn list(uris: &[&str]) -> Vec<Entry> {
        uris.iter().zip(0..).map(|(uri, at)| entry(at, uri)).collect()
    }

    pub fn entry(position: i64, uri: &str) -> Entry {
        Entry { position, uri: Some(uri.into()), name: None, track_id: None, added_at: None }
    }

    fn uris(entries: &[Entry]) -> Vec<&str> {
        entries.iter().filter_map(|entry| entry.uri.as_deref()).collect()
    }
}
