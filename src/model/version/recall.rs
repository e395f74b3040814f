//! What an empty place of a playlist holds, according to another reading of the same playlist.

use super::{Entry, cancel_same, take_one};
use chrono::{DateTime, Utc};
use std::collections::{HashMap, VecDeque};

/// Fills in what `entries` lack and `known`, another reading of the same playlist, has. Returns which were filled.
///
/// - An empty place takes an item that is in the other reading only and was added at the same moment. Among several, it
///   takes the one after or before the same neighbour; otherwise the first. So the item is found wherever it is now,
///   and of those that share a moment no more are taken than there are empty places.
/// - A place that was as empty in the other reading stays empty: its content is unknown.
/// - A place without a moment of addition may hold any; `takes_undated` says whether it takes one, found in the same way.
/// - An item without a name, URI or date keeps the earlier one.
pub fn recall(entries: &mut [Entry], known: &[Entry], takes_undated: bool) -> Vec<usize> {
    let mut filled = recall_details(entries, known);
    let mut lost = Lost::of(known, entries);
    let mut num_empty: HashMap<Option<DateTime<Utc>>, usize> = HashMap::new();
    for entry in known.iter().filter(|entry| entry.identity().is_none()) {
        *num_empty.entry(entry.added_at).or_default() += 1;
    }
    let next: Vec<Option<String>> = neighbours(entries.iter().rev());
    let mut behind: Option<String> = None;
    for (at, next) in (0..entries.len()).zip(next.into_iter().rev()) {
        let entry = &mut entries[at];
        let takes = entry.added_at.is_some() || takes_undated;
        if entry.identity().is_none()
            && takes
            && !take_one(&mut num_empty, &entry.added_at)
            && let Some(found) = lost.take(entry.added_at, behind.as_ref(), next.as_ref())
        {
            let Entry { uri, name, track_id, added_at, .. } = known[found].clone();
            *entry = Entry { position: entry.position, uri, name, track_id, added_at };
            filled.push(at);
        }
        behind = entry.identity().or(behind);
    }
    filled
}

/// For each entry the last one before it that is not an empty place.
fn neighbours<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Option<String>> {
    let mut last = None;
    let neighbour = |entry: &Entry| {
        let identity = entry.identity().or_else(|| last.clone());
        std::mem::replace(&mut last, identity)
    };
    entries.map(neighbour).collect()
}

/// Items of one reading that are missing from the other, to be found again.
#[derive(Default)]
struct Lost {
    is_taken: Vec<bool>,
    all: VecDeque<usize>,
    by_date: HashMap<Option<DateTime<Utc>>, VecDeque<usize>>,
    by_place: HashMap<Place, VecDeque<usize>>,
}

/// A moment of addition, and a neighbour.
type Place = (Option<DateTime<Utc>>, Side, Option<String>);

/// On which side the neighbour of an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Behind,
    Next,
}

impl Lost {
    fn of(known: &[Entry], entries: &[Entry]) -> Lost {
        let is_item = |entry: &&Entry| entry.identity().is_some();
        let mut gone: Vec<Entry> = known.iter().filter(is_item).cloned().collect();
        if gone.is_empty() || entries.iter().all(|entry| entry.identity().is_some()) {
            return Lost::default();
        }
        let mut others: Vec<Entry> = entries.iter().filter(is_item).cloned().collect();
        cancel_same(&mut gone, &mut others);
        let mut left: HashMap<(i64, Option<String>), usize> = HashMap::new();
        for entry in &gone {
            *left.entry((entry.position, entry.identity())).or_default() += 1;
        }
        let behind = neighbours(known.iter());
        let next = neighbours(known.iter().rev());
        let mut lost = Lost { is_taken: vec![true; known.len()], ..Lost::default() };
        for (at, entry) in known.iter().enumerate() {
            if !take_one(&mut left, &(entry.position, entry.identity())) {
                continue;
            }
            lost.is_taken[at] = false;
            lost.all.push_back(at);
            lost.by_date.entry(entry.added_at).or_default().push_back(at);
            let sides = [(Side::Behind, behind[at].clone()), (Side::Next, next[known.len() - 1 - at].clone())];
            for (side, neighbour) in sides {
                let dates = [entry.added_at, None].into_iter().take(1 + usize::from(entry.added_at.is_some()));
                for added_at in dates {
                    lost.by_place.entry((added_at, side, neighbour.clone())).or_default().push_back(at);
                }
            }
        }
        lost
    }

    fn take(
        &mut self,
        added_at: Option<DateTime<Utc>>,
        behind: Option<&String>,
        next: Option<&String>,
    ) -> Option<usize> {
        let Lost { is_taken, all, by_date, by_place } = self;
        let mut first = |found: Option<&mut VecDeque<usize>>| {
            let found = found?;
            while let Some(at) = found.pop_front() {
                if !std::mem::replace(&mut is_taken[at], true) {
                    return Some(at);
                }
            }
            None
        };
        let mut sides = [(Side::Behind, behind), (Side::Next, next)];
        // The same item before it is stronger evidence than the same end of the list.
        sides.sort_by_key(|(_, neighbour)| neighbour.is_none());
        sides
            .into_iter()
            .find_map(|(side, neighbour)| first(by_place.get_mut(&(added_at, side, neighbour.cloned()))))
            .or_else(|| first(if added_at.is_none() { Some(all) } else { by_date.get_mut(&added_at) }))
    }
}

/// Fills in the missing details of items. Returns which were filled.
fn recall_details(entries: &mut [Entry], known: &[Entry]) -> Vec<usize> {
    let lacks = |entry: &Entry| entry.name.is_none() || entry.uri.is_none() || entry.added_at.is_none();
    if !entries.iter().any(|entry| lacks(entry) && entry.identity().is_some()) {
        return Vec::new();
    }
    let mut by_identity: HashMap<String, VecDeque<&Entry>> = HashMap::new();
    for entry in known {
        if let Some(identity) = entry.identity() {
            by_identity.entry(identity).or_default().push_back(entry);
        }
    }
    let mut filled = Vec::new();
    for (at, entry) in entries.iter_mut().enumerate() {
        let Some(same) = entry.identity().and_then(|identity| by_identity.get_mut(&identity)) else { continue };
        // The next one with this identity, since each occurrence has a date of its own.
        let Some(was) = same.pop_front() else { continue };
        same.push_back(was);
        if !lacks(entry) {
            continue;
        }
        let before = entry.clone();
        entry.name = entry.name.take().or_else(|| was.name.clone());
        entry.uri = entry.uri.take().or_else(|| was.uri.clone());
        entry.added_at = entry.added_at.or(was.added_at);
        if *entry != before {
            filled.push(at);
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::super::{Difference, tests::entry};
    use super::*;

    #[test]
    fn an_empty_place_takes_the_item_of_its_date_wherever_it_stands_now() {
        let before = dated(&[("a", 1), ("b", 2), ("c", 3), ("d", 4)]);
        for (now, found) in [
            (&[("a", 1), ("", 2), ("c", 3), ("d", 4)][..], "a b c d"),
            (&[("", 3), ("d", 4)], "c d"),
            (&[("d", 4), ("", 2), ("a", 1)], "d b a"),
            (&[("", 4), ("", 3), ("", 2), ("", 1)], "d c b a"),
            (&[("a", 1), ("", 9), ("c", 3)], "a - c"),
            (&[("b", 2), ("", 2)], "b -"),
        ] {
            let mut now = dated(now);
            recall(&mut now, &before, true);
            assert_eq!(names(&now), found);
        }
    }

    #[test]
    fn of_several_of_one_date_the_one_with_the_same_neighbour_is_meant() {
        let before = dated(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)]);
        for (now, found) in [
            (&[("a", 1), ("b", 1), ("", 1), ("e", 1)][..], "a b c e"),
            (&[("a", 1), ("", 1), ("e", 1)], "a b e"),
            (&[("", 1), ("e", 1)], "d e"),
            (&[("", 1), ("", 1), ("", 1)], "a b c"),
            (&[("", 1), ("", 1), ("", 1), ("", 1), ("", 1), ("", 1)], "a b c d e -"),
        ] {
            let mut now = dated(now);
            recall(&mut now, &before, true);
            assert_eq!(names(&now), found);
        }
    }

    #[test]
    fn a_place_that_was_always_empty_takes_nothing() {
        let before = dated(&[("", 1), ("b", 1), ("", 0)]);
        let mut now = dated(&[("", 1), ("", 0)]);
        assert_eq!((recall(&mut now, &before, true), names(&now).as_str()), (vec![], "- -"));
        // A place without any detail may be whatever is left.
        let mut now = dated(&[("", 1), ("", 0), ("", 0)]);
        assert_eq!((recall(&mut now, &before, true), names(&now).as_str()), (vec![2], "- - b"));
        let mut now = dated(&[("", 1), ("", 0), ("", 0)]);
        assert_eq!(recall(&mut now, &before, false), Vec::<usize>::new());
    }

    #[test]
    fn a_place_without_a_date_takes_the_item_that_stood_there() {
        let before = dated(&[("a", 1), ("b", 2), ("c", 3), ("d", 4)]);
        for (now, found) in [
            (&[("a", 1), ("b", 2), ("", 0)][..], "a b c"),
            (&[("a", 1), ("", 0), ("d", 4)], "a b d"),
            (&[("", 0), ("c", 3)], "b c"),
            (&[("", 0)], "a"),
        ] {
            let mut now = dated(now);
            recall(&mut now, &before, true);
            assert_eq!(names(&now), found);
        }
    }

    #[test]
    fn an_item_is_called_as_before_where_it_does_not_say() {
        let named = |name: &str, seconds| Entry { name: Some(name.into()), ..dated(&[("a", seconds)]).remove(0) };
        let before = vec![named("first", 1), named("second", 2)];
        let mut now = vec![Entry { added_at: None, name: None, ..named("", 0) }, named("new", 2)];
        assert_eq!(recall(&mut now, &before, true), [0]);
        assert_eq!((now[0].clone(), now[1].name.as_deref()), (named("first", 1), Some("new")));
        let without_uri = Entry { uri: None, track_id: Some("a".into()), ..named("first", 1) };
        let with_uri = Entry { uri: Some("spotify:track:a".into()), ..without_uri.clone() };
        assert!(Difference::between(vec![with_uri], vec![without_uri]).is_empty());
    }

    /// Items by URI, each with the second that it was added in; `""` is an empty place, and 0 no date.
    fn dated(items: &[(&str, i64)]) -> Vec<Entry> {
        let entry = |(at, (uri, seconds)): (usize, &(&str, i64))| Entry {
            uri: Some((*uri).to_owned()).filter(|uri| !uri.is_empty()),
            added_at: DateTime::from_timestamp(*seconds, 0).filter(|_| *seconds > 0),
            ..entry(at as i64, uri)
        };
        items.iter().enumerate().map(entry).collect()
    }

    fn names(entries: &[Entry]) -> String {
        entries.iter().map(|entry| entry.uri.as_deref().unwrap_or("-")).collect::<Vec<_>>().join(" ")
    }
}
