//! Finding the place again when the listing has moved.
//!
//! A walk keeps the keys of the last slots it committed, its anchors. When the slot before its place is not the one it
//! should be, the last anchor that is still listed tells where to go on: everything before it was read, everything
//! after it was not. The probes start where the change of the total suggests and work outwards.

use super::assembly::Cell;
use crate::model::SlotKey;
use std::collections::VecDeque;

/// Pages looked at before the walk gives its place up and starts over.
const PROBES_MAX: usize = 8;

/// A search for the anchors; `expected` is the index at which the last of them should stand.
#[derive(Debug, Clone)]
pub struct Locate {
    anchors: Vec<SlotKey>,
    probes: VecDeque<u32>,
}

/// Where an anchor was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Index in the probed page of the last anchor that is still listed.
    pub index: usize,
}

impl Locate {
    /// `shift` is the change of the total since the place was taken, where both are known; `limit` the slots of a
    /// probe.
    pub fn new(anchors: Vec<SlotKey>, expected: u32, shift: i64, total: Option<u32>, limit: u32) -> Locate {
        let (at, page) = (i64::from(expected), i64::from(limit));
        let mut starts = Vec::new();
        if shift != 0 {
            starts.push(at + shift - page / 2);
        }
        starts.push(at + 1 - page);
        for step in 1..=PROBES_MAX as i64 {
            starts.push(at + 1 - page - step * (page - 1));
            starts.push(at + step * (page - 1));
        }
        let last = total.map_or(i64::MAX, |total| (i64::from(total) - 1).max(0));
        let mut probes: VecDeque<u32> = VecDeque::new();
        for start in starts {
            let start = start.clamp(0, last) as u32;
            if !probes.contains(&start) && probes.len() < PROBES_MAX {
                probes.push_back(start);
            }
        }
        Locate { anchors, probes }
    }

    /// The offset of the next page to look at; `None` when the search is over.
    pub fn poll_probe(&mut self) -> Option<u32> {
        if self.anchors.is_empty() { None } else { self.probes.pop_front() }
    }

    /// Looks for the latest anchor in a page.
    pub fn find(&self, cells: &[Cell]) -> Option<Found> {
        self.anchors.iter().rev().find_map(|anchor| {
            let index = cells.iter().position(|cell| match cell {
                Cell::Slot(slot) => anchor.id.is_some() && slot.key() == *anchor,
                Cell::Gap { .. } => false,
            })?;
            Some(Found { index })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor() -> Vec<SlotKey> {
        vec![SlotKey { id: Some("a".into()), added_at: None }]
    }

    fn probes(mut locate: Locate) -> Vec<u32> {
        std::iter::from_fn(|| locate.poll_probe()).collect()
    }

    #[test]
    fn the_first_probe_follows_the_change_of_the_total() {
        let starts = probes(Locate::new(anchor(), 999, -10, Some(4990), 50));
        assert_eq!(starts[0], 999 - 10 - 25);
        assert_eq!(starts.len(), PROBES_MAX);
    }

    #[test]
    fn probes_work_outwards_and_cover_what_they_pass() {
        let starts = probes(Locate::new(anchor(), 1000, 0, Some(5000), 50));
        assert_eq!(starts[..5], [951, 902, 1049, 853, 1098]);
    }

    #[test]
    fn probes_stay_inside_the_listing() {
        assert_eq!(probes(Locate::new(anchor(), 30, 0, Some(20), 50)), [0, 19]);
    }

    #[test]
    fn without_anchors_there_is_nothing_to_look_for() {
        assert_eq!(probes(Locate::new(Vec::new(), 30, 0, Some(20), 50)), Vec::<u32>::new());
    }
}
