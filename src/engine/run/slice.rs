//! A slice of the verifying pass: some pages of the listing, what they show, and what that proves.
//!
//! The pages link up with each other and with the slots before them. So a member whose date lies between two slots of
//! the slice, and that is not listed, was absent when one of the pages was read. Three things are left open: dates at
//! the edges, since others of that date may stand outside; the date of a row without an id, which may be that member;
//! and, around a row without id and date, all dates between its neighbours. The next slice begins with the first slot
//! of the last date, so that the edge of one is inside the other.

use super::{PAGE_LIMIT, Ticket, offset_walk::OffsetWalk, step::WalkBatch};
use crate::{
    engine::backoff::Patience,
    model::{
        AddedBetween, Checkpoint, EntityType, Fault, Member, Page, PageRequest, Phase, Slot, SlotKey, Stage,
        Verification, WalkPlace, WalkState,
    },
};
use chrono::{DateTime, Utc};
use std::collections::HashSet;

/// Pages read before they are committed; a crash repeats this many at most.
pub const SLICE_PAGES_MAX: u32 = 20;

/// A slice being read.
#[derive(Debug)]
pub struct Slice {
    walk: OffsetWalk,
    /// Keys of the first slots of the listing, where the slice follows on them.
    head: Vec<SlotKey>,
    began_at: DateTime<Utc>,
}

/// A slice that was read.
#[derive(Debug)]
pub struct Reading {
    /// In list order; begins with the slot before the slice, where that is known.
    keys: Vec<SlotKey>,
    from_top: bool,
    to_end: bool,
    /// Rows that the total counts were left out.
    has_hole: bool,
    pub is_disordered: bool,
    pub slots: Vec<Slot>,
    pub offset_from: u32,
    pub num_unserved: u32,
    pub total: Option<u32>,
    /// Where the pass stands after it.
    pub place: Verification,
}

impl Slice {
    /// The next `num_pages` pages after `place`; a new pass continues from the `head` that the run has just read.
    /// `total` is the length of the listing now.
    pub fn new(entity: EntityType, place: Verification, head: &[SlotKey], total: u32, num_pages: u32) -> Slice {
        let Verification { began_at, mut offset, mut anchors, unlinked, total: total_then, .. } = place;
        let head = if offset == 0 { head.to_vec() } else { Vec::new() };
        if offset == 0 {
            (offset, anchors) = (head.len() as u32, head.clone());
        } else if let Some(then) = total_then {
            // Most additions and removals happen before the place.
            let shifted = i64::from(offset) + i64::from(total) - i64::from(then);
            offset = shifted.clamp(1, i64::from(total.max(1))) as u32;
        }
        let place = WalkPlace { stage: Stage::Verify, anchors, unlinked, ..WalkPlace::default() };
        let walk = WalkState { place, ..WalkState::default() };
        let tip = Checkpoint { offset, total: Some(total), walk, ..Checkpoint::start(Phase::IncrementalSync) };
        let batch_size = num_pages.clamp(1, SLICE_PAGES_MAX) * PAGE_LIMIT;
        Slice { walk: OffsetWalk::new(entity, tip, batch_size, PAGE_LIMIT), head, began_at }
    }

    pub fn fault(&self) -> Option<&Fault> {
        self.walk.fault()
    }

    pub fn has_lost_place(&self) -> bool {
        self.walk.has_lost_place()
    }

    pub fn poll_fetch(&mut self, next_ticket: &mut Ticket, may_plan: bool) -> Option<(Ticket, PageRequest, Patience)> {
        self.walk.poll_fetch(next_ticket, may_plan)
    }

    pub fn handle_page(&mut self, ticket: Ticket, answer: Result<Page, Fault>) {
        self.walk.handle_page(ticket, answer);
    }

    /// Hands out what was read, once.
    pub fn poll_reading(&mut self, now: DateTime<Utc>) -> Option<Reading> {
        let batch = self.walk.poll_batch()?;
        let walk = &self.walk.tip().walk;
        let has_hole = walk.found.has_hole || walk.place.num_short > 0;
        Some(Reading::of(batch, std::mem::take(&mut self.head), has_hole, self.began_at, now))
    }
}

impl Reading {
    /// A listing that the run has read to its end, beginning with the head.
    pub fn of_head(keys: Vec<SlotKey>, total: u32, began_at: DateTime<Utc>, now: DateTime<Utc>) -> Reading {
        Reading {
            from_top: true,
            to_end: true,
            has_hole: false,
            is_disordered: false,
            slots: Vec::new(),
            offset_from: keys.len() as u32,
            num_unserved: 0,
            total: Some(total),
            place: Verification { ended_at: Some(now), ..Verification::begin(began_at) },
            keys,
        }
    }

    fn of(
        batch: WalkBatch,
        head: Vec<SlotKey>,
        has_hole: bool,
        began_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Reading {
        let WalkBatch { before, slots, offset_from, gaps, tip, ended, .. } = batch;
        // A walk that gave up its place has started over.
        let follows_head = before.is_some() && !head.is_empty();
        let mut keys = if follows_head { head } else { before.into_iter().collect() };
        keys.extend(slots.iter().map(Slot::key));
        let mut reading = Reading {
            from_top: follows_head || offset_from == 0,
            to_end: ended,
            has_hole,
            is_disordered: tip.walk.found.disordered,
            num_unserved: gaps.len() as u32,
            total: tip.total,
            place: Verification { ended_at: ended.then_some(now), ..Verification::begin(began_at) },
            keys,
            slots,
            offset_from,
        };
        if !ended {
            reading.move_place(tip);
        }
        reading
    }

    /// After the slice, or rather before its last date, so that all items of that date are read together.
    fn move_place(&mut self, tip: Checkpoint) {
        let Checkpoint { offset, total, walk, .. } = tip;
        let WalkPlace { mut anchors, unlinked, .. } = walk.place;
        let last = self.keys.last().and_then(|key| key.added_at);
        let num_alike = self.keys.iter().rev().take_while(|key| last.is_some() && key.added_at == last).count();
        let goes_back = num_alike < self.slots.len() && num_alike < anchors.len() && !unlinked && !self.has_hole;
        let num_back = if goes_back { num_alike } else { 0 };
        anchors.truncate(anchors.len() - num_back);
        self.place = Verification { offset: offset - num_back as u32, anchors, unlinked, total, ..self.place.clone() };
    }

    /// The members to compare with; `None` if the slice proves nothing about any.
    pub fn wanted(&self) -> Option<AddedBetween> {
        let mut dates = self.keys.iter().filter_map(|key| key.added_at);
        let newest = dates.next();
        let oldest = dates.next_back().or(newest);
        let is_bounded = (self.from_top && self.to_end) || newest.is_some();
        let proves = is_bounded && !self.has_hole && !self.is_disordered;
        proves.then_some(AddedBetween {
            newest: newest.filter(|_| !self.from_top),
            oldest: oldest.filter(|_| !self.to_end),
        })
    }

    /// Which of the members are gone.
    pub fn gone(&self, members: &[Member]) -> Vec<String> {
        let Some(AddedBetween { oldest, newest }) = self.wanted() else { return Vec::new() };
        let listed: HashSet<&str> = self.keys.iter().filter_map(|key| key.id.as_deref()).collect();
        let open = self.open_dates();
        let is_judged = |at: DateTime<Utc>| {
            newest.is_none_or(|newest| at < newest)
                && oldest.is_none_or(|oldest| oldest < at)
                && !open.iter().any(|dates| dates.includes(at))
        };
        let gone = members.iter().filter(|member| member.added_at.is_some_and(is_judged));
        gone.filter(|member| !listed.contains(&*member.id)).map(|member| member.id.clone()).collect()
    }

    /// Slots that hold none of the members: items that came in behind the head.
    pub fn num_new(&self, members: &[Member]) -> u32 {
        let known: HashSet<&str> = members.iter().map(|member| &*member.id).collect();
        self.slots.iter().filter(|slot| slot.id().is_some_and(|id| !known.contains(id))).count() as u32
    }

    /// Dates at which a row without an id may hide a member.
    fn open_dates(&self) -> Vec<AddedBetween> {
        let mut open = Vec::new();
        for (at, key) in self.keys.iter().enumerate().filter(|(_, key)| key.id.is_none()) {
            let newest = self.keys[..=at].iter().rev().find_map(|key| key.added_at);
            let oldest = self.keys[at..].iter().find_map(|key| key.added_at);
            open.push(match key.added_at {
                Some(date) => AddedBetween { oldest: Some(date), newest: Some(date) },
                None => AddedBetween { oldest, newest },
            });
        }
        open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0)
    }

    fn key(id: &str, seconds: i64) -> SlotKey {
        SlotKey { id: Some(id.into()), added_at: at(seconds) }
    }

    const NOTHING: SlotKey = SlotKey { id: None, added_at: None };

    fn member(id: &str, seconds: i64) -> Member {
        Member { id: id.into(), added_at: at(seconds) }
    }

    fn reading(keys: Vec<SlotKey>) -> Reading {
        let began_at = at(0).unwrap();
        Reading { from_top: false, to_end: false, ..Reading::of_head(keys, 100, began_at, began_at) }
    }

    #[test]
    fn what_stands_between_two_slots_and_is_not_listed_is_gone_and_edges_are_left_open() {
        let members = ["above:9", "edge:8", "gone:7", "b:6", "again:6", "edge:4", "below:3"].map(|text| {
            let (id, seconds) = text.split_once(':').unwrap();
            member(id, seconds.parse().unwrap())
        });
        let mut reading = reading(vec![key("a", 8), key("b", 6), key("c", 4)]);
        assert_eq!(reading.gone(&members), ["gone", "again"]);
        reading.from_top = true;
        assert_eq!(reading.gone(&members), ["above", "edge", "gone", "again"]);
        reading.to_end = true;
        assert_eq!(reading.gone(&members), ["above", "edge", "gone", "again", "edge", "below"]);
    }

    #[test]
    fn a_row_without_an_id_may_be_whoever_is_missing_there() {
        let members = [member("x", 7), member("y", 5), member("z", 2)];
        let keys = |hidden: SlotKey| vec![key("a", 8), key("b", 6), hidden, key("c", 4), key("d", 1)];
        assert_eq!(reading(keys(NOTHING)).gone(&members), ["x", "z"]);
        assert_eq!(reading(keys(SlotKey { added_at: at(5), ..NOTHING })).gone(&members), ["x", "z"]);
        let two = vec![key("a", 8), NOTHING, NOTHING, key("d", 1)];
        assert!(reading(two).gone(&members).is_empty());
        let at_the_edge = vec![key("a", 8), key("b", 6), NOTHING];
        assert_eq!(Reading { to_end: true, ..reading(at_the_edge) }.gone(&members), ["x"]);
    }

    #[test]
    fn rows_left_out_and_rows_out_of_order_prove_nothing() {
        let members = [member("x", 7)];
        let keys = vec![key("a", 8), key("b", 6)];
        assert_eq!(reading(keys.clone()).gone(&members), ["x"]);
        assert!(Reading { has_hole: true, ..reading(keys.clone()) }.gone(&members).is_empty());
        assert!(Reading { is_disordered: true, ..reading(keys) }.gone(&members).is_empty());
        assert!(reading(vec![NOTHING]).gone(&members).is_empty());
        assert_eq!(reading(vec![NOTHING]).wanted(), None);
    }

    #[test]
    fn an_empty_listing_holds_nobody() {
        let everything = Reading { from_top: true, to_end: true, ..reading(Vec::new()) };
        assert!(everything.wanted().is_some_and(|wanted| wanted.is_everything()));
        assert_eq!(everything.gone(&[member("x", 7)]), ["x"]);
    }
}
