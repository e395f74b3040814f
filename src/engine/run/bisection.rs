//! Finding what was removed from a listing that comes newest first, by looking at few of its pages.
//!
//! The database knows the order: the rank of a member is the number of members before it. Where the listing passes from
//! one date to an older one, at offset `o`, exactly `o` items are newer; if `r` members are newer, `r - o` of them were
//! removed. Such a place is a [`Cut`]. Between two cuts with as many ranks as slots nothing is missing; where ranks are
//! too many, the page in the middle is read, and cuts the rest in two.
//!
//! Counts only say where to look. A member is gone if pages that link up show a newer place, an older one and
//! everything between them, but not the member. Members of one date have no known order: they are a set, and are judged
//! only where everything of that date was read.
//!
//! The pages are those of a whole walk, each beginning with the last slot of the one before. A page in which a member is
//! missing, and whose last slot no other page has shown, is read twice.

use super::PAGE_LIMIT;
use crate::model::{Member, SlotKey};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashSet};

/// From the beginning of one page to that of the next.
const STRIDE: u32 = PAGE_LIMIT - 1;

/// Requests that a whole walk over a listing takes.
pub fn num_pages(total: u32) -> u32 {
    total.saturating_sub(1).div_ceil(STRIDE).max(1)
}

/// Requests that a search is likely to take: each removal halves its part of the listing until one page is left, which
/// is read once more.
pub fn estimate(num_missing: u32, total: u32) -> u32 {
    let share = num_pages(total).div_ceil(num_missing.max(1));
    num_missing.saturating_mul(share.next_power_of_two().ilog2() + 2)
}

/// The members, newest first, and by id within one date.
#[derive(Debug)]
pub struct DateOrder(Vec<(DateTime<Utc>, String)>);

impl DateOrder {
    /// `None` if a member has no date.
    pub fn new(members: Vec<Member>) -> Option<DateOrder> {
        let dated: Option<Vec<_>> = members.into_iter().map(|member| Some((member.added_at?, member.id))).collect();
        let mut order = dated?;
        order.sort_unstable_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        Some(DateOrder(order))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn rank_of(&self, id: &str, added_at: DateTime<Utc>) -> Option<u32> {
        let found = self.0.binary_search_by(|(date, other)| added_at.cmp(date).then_with(|| other.as_str().cmp(id)));
        found.ok().map(|rank| rank as u32)
    }

    fn date(&self, rank: u32) -> DateTime<Utc> {
        self.0[rank as usize].0
    }

    /// Members newer than the one of this rank.
    fn num_newer(&self, rank: u32) -> u32 {
        let date = self.date(rank);
        self.0.partition_point(|member| member.0 > date) as u32
    }

    /// Members as new as the one of this rank, or newer.
    fn num_as_new(&self, rank: u32) -> u32 {
        let date = self.date(rank);
        self.0.partition_point(|member| member.0 >= date) as u32
    }
}

/// What a search does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Read the page at this offset.
    At(u32),
    /// Everything that is missing was found: these are gone.
    Found(Vec<String>),
}

/// Why a search cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The listing is not the one that the search began with.
    Moved,
    /// It cannot be searched: a row without id or date, rows left out, an order that is not newest first.
    Unfit,
}

/// A search under way.
#[derive(Debug)]
pub struct Bisection {
    order: DateOrder,
    total: u32,
    /// Ranks of the slots of the pages read, by number of the page.
    pages: BTreeMap<u32, Vec<u32>>,
    /// The first of them were known before.
    num_known: u32,
}

/// A place between two slots of different dates, or an end: `offset` items of the listing are newer, and `rank`
/// members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    rank: u32,
    offset: u32,
}

/// Slots of consecutive pages that were read.
#[derive(Debug)]
struct Stretch {
    offset: u32,
    ranks: Vec<u32>,
}

impl Bisection {
    /// A search through a listing of `total` slots, the first of which are known already.
    pub fn new(order: DateOrder, total: u32, head: &[SlotKey]) -> Result<Bisection, Obstacle> {
        let mut bisection = Bisection { order, total, pages: BTreeMap::new(), num_known: 0 };
        for offset in (0..num_pages(total)).map(|number| number * STRIDE) {
            let slots = offset as usize..(offset + bisection.len_at(offset)) as usize;
            let Some(keys) = head.get(slots) else { break };
            bisection.take(offset, Some(total), keys)?;
            bisection.num_known += 1;
        }
        Ok(bisection)
    }

    /// Offsets of the pages read in which these members would stand, and that nothing speaks for. The head is read again
    /// anyway; and a page that lacks a row ends with one from behind, which the page after it shows.
    pub fn pages_without(&self, gone: &[String]) -> Vec<u32> {
        let gone: HashSet<&str> = gone.iter().map(String::as_str).collect();
        let is_gone = |member: &&(DateTime<Utc>, String)| gone.contains(member.1.as_str());
        let dates: Vec<DateTime<Utc>> = self.order.0.iter().filter(is_gone).map(|member| member.0).collect();
        let last = num_pages(self.total) - 1;
        let holds = |number: u32, ranks: &[u32]| {
            let (Some(newest), Some(oldest)) = (ranks.first(), ranks.last()) else { return true };
            let (newest, oldest) = (self.order.date(*newest), self.order.date(*oldest));
            dates.iter().any(|date| (*date <= newest || number == 0) && *date >= oldest)
        };
        let is_alone =
            |number: u32| number >= self.num_known && number != last && !self.pages.contains_key(&(number + 1));
        let read = self.pages.iter().filter(|(number, _)| is_alone(**number));
        read.filter(|(number, ranks)| holds(**number, ranks)).map(|(number, _)| number * STRIDE).collect()
    }

    /// Takes in a page that was read before: it has to show the same.
    pub fn confirm(&self, offset: u32, total: Option<u32>, keys: &[SlotKey]) -> Result<(), Obstacle> {
        let rank = |key: &SlotKey| self.order.rank_of(key.id.as_deref()?, key.added_at?);
        let ranks: Option<Vec<u32>> = keys.iter().map(rank).collect();
        let is_same =
            total == Some(self.total) && ranks.is_some() && ranks.as_ref() == self.pages.get(&(offset / STRIDE));
        if is_same { Ok(()) } else { Err(Obstacle::Moved) }
    }

    /// Takes in a page that was asked for.
    pub fn take(&mut self, offset: u32, total: Option<u32>, keys: &[SlotKey]) -> Result<(), Obstacle> {
        match total {
            Some(total) if total == self.total => {}
            Some(_) => return Err(Obstacle::Moved),
            None => return Err(Obstacle::Unfit),
        }
        if keys.len() != self.len_at(offset) as usize {
            return Err(Obstacle::Unfit);
        }
        let mut ranks = Vec::with_capacity(keys.len());
        for key in keys {
            let (Some(id), Some(added_at)) = (&key.id, key.added_at) else { return Err(Obstacle::Unfit) };
            ranks.push(self.order.rank_of(id, added_at).ok_or(Obstacle::Moved)?);
        }
        if ranks.windows(2).any(|pair| self.order.date(pair[0]) < self.order.date(pair[1])) {
            return Err(Obstacle::Unfit);
        }
        let number = offset / STRIDE;
        let before = number.checked_sub(1).and_then(|before| self.pages.get(&before));
        let after = self.pages.get(&(number + 1));
        let links_up = before.is_none_or(|before| before.last() == ranks.first())
            && after.is_none_or(|after| after.first() == ranks.last());
        if !links_up {
            return Err(Obstacle::Moved);
        }
        self.pages.insert(number, ranks);
        Ok(())
    }

    /// Where to look next, or what was found.
    pub fn look(&self) -> Result<Look, Obstacle> {
        let mut gone = Vec::new();
        let mut from = Cut { rank: 0, offset: 0 };
        for stretch in self.stretches() {
            // A stretch of one date says nothing about what comes before or after it.
            let Some((first, last)) = self.cuts(&stretch) else { continue };
            if let Some(offset) = self.between(from, first)? {
                return Ok(Look::At(offset));
            }
            let listed: HashSet<u32> = stretch.ranks.iter().copied().collect();
            gone.extend((first.rank..last.rank).filter(|rank| !listed.contains(rank)));
            from = last;
        }
        if let Some(offset) = self.between(from, self.end())? {
            return Ok(Look::At(offset));
        }
        Ok(Look::Found(gone.into_iter().map(|rank| self.order.0[rank as usize].1.clone()).collect()))
    }

    /// The page to read between two cuts, if anything is missing there: the middle one of the unread pages in a row.
    fn between(&self, from: Cut, to: Cut) -> Result<Option<u32>, Obstacle> {
        let num_ranks = i64::from(to.rank) - i64::from(from.rank);
        let num_missing = num_ranks - (i64::from(to.offset) - i64::from(from.offset));
        match num_missing {
            ..0 => return Err(Obstacle::Moved),
            0 => return Ok(None),
            1.. => {}
        }
        let last = (to.offset.saturating_sub(1) / STRIDE).min(num_pages(self.total) - 1);
        let (mut longest, mut row) = (0..0, 0..0);
        for number in from.offset / STRIDE..=last {
            if self.pages.contains_key(&number) {
                row = 0..0;
                continue;
            }
            row = if row.is_empty() { number..number + 1 } else { row.start..number + 1 };
            if row.len() > longest.len() {
                longest = row.clone();
            }
        }
        if longest.is_empty() {
            return Err(Obstacle::Moved);
        }
        Ok(Some((longest.start + (longest.end - longest.start) / 2) * STRIDE))
    }

    /// The first cut of a stretch and the last.
    fn cuts(&self, stretch: &Stretch) -> Option<(Cut, Cut)> {
        let Stretch { offset, ref ranks } = *stretch;
        let (newest, oldest) = (*ranks.first()?, *ranks.last()?);
        let ends = offset + ranks.len() as u32 == self.total;
        let cut_at = |index: usize| Cut { rank: self.order.num_newer(ranks[index]), offset: offset + index as u32 };
        let date = |rank: &u32| self.order.date(*rank);
        let first = if offset == 0 {
            Cut { rank: 0, offset: 0 }
        } else {
            match ranks.iter().position(|rank| date(rank) < date(&newest)) {
                Some(index) => cut_at(index),
                None if ends => Cut { rank: self.order.num_as_new(oldest), offset: self.total },
                None => return None,
            }
        };
        let last = if ends {
            self.end()
        } else {
            let index = ranks.iter().position(|rank| date(rank) == date(&oldest)).unwrap_or(0);
            cut_at(index)
        };
        Some((first, last))
    }

    fn stretches(&self) -> Vec<Stretch> {
        let mut stretches: Vec<Stretch> = Vec::new();
        for (number, ranks) in &self.pages {
            let offset = number * STRIDE;
            match stretches.last_mut() {
                Some(before) if before.offset + before.ranks.len() as u32 == offset + 1 => {
                    before.ranks.extend(&ranks[1..]);
                }
                Some(_) | None => stretches.push(Stretch { offset, ranks: ranks.clone() }),
            }
        }
        stretches
    }

    fn end(&self) -> Cut {
        Cut { rank: self.order.len() as u32, offset: self.total }
    }

    /// Slots of the page at an offset.
    fn len_at(&self, offset: u32) -> u32 {
        PAGE_LIMIT.min(self.total - offset.min(self.total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, slice};

    /// Something that happens to a page.
    type Change = fn(&mut Vec<SlotKey>);

    #[test]
    fn what_is_gone_is_found_whatever_shares_a_date_and_never_for_more_than_a_walk() {
        for seed in 0..2000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (listing, members, gone) = library(&mut random);
            let (found, num_requests) = search(&listing, members, 0);
            assert_eq!(found, Ok(gone), "seed {seed}");
            assert!(num_requests <= num_pages(listing.len() as u32), "seed {seed}: {num_requests} requests");
        }
    }

    #[test]
    fn the_head_is_not_read_again() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (listing, members, gone) = library(&mut random);
            let head = random.usize(0..=listing.len());
            let num_pages = num_pages(listing.len() as u32);
            let whole = (0..num_pages).filter(|number| (number * STRIDE + PAGE_LIMIT) as usize <= head).count() as u32;
            let (found, num_requests) = search(&listing, members, head);
            assert_eq!(found, Ok(gone), "seed {seed}");
            assert!(num_requests <= num_pages - whole, "seed {seed}: {num_requests} requests");
        }
    }

    #[test]
    fn one_removal_among_ten_thousand_takes_eight_requests() {
        let members = dated((0..10_000).map(|n| -n));
        for at in (0..10_000).step_by(97) {
            let mut listing = keys(&members);
            let gone = listing.remove(at).id.unwrap();
            let (found, num_requests) = search(&listing, members.clone(), 50);
            assert_eq!(found, Ok(BTreeSet::from([gone])));
            assert!(num_requests <= 8, "{num_requests} requests for the one at {at}");
            assert!(num_requests <= estimate(1, 9_999));
        }
    }

    #[test]
    fn a_library_saved_at_one_moment_is_read_whole() {
        let members = dated([0; 500]);
        let mut listing = keys(&members);
        let gone = listing.remove(321).id.unwrap();
        fastrand::Rng::with_seed(1).shuffle(&mut listing);
        assert_eq!(search(&listing, members, 50), (Ok(BTreeSet::from([gone])), num_pages(499) - 1));
    }

    #[test]
    fn a_page_in_which_something_is_missing_has_to_show_it_twice() {
        let members = dated((0..500).map(|n| -n));
        let mut listing = keys(&members);
        let gone = listing.remove(260).id.unwrap();
        let mut bisection = Bisection::new(DateOrder::new(members.clone()).unwrap(), 499, &listing[..50]).unwrap();
        // An answer that lacks another row, and is filled up from behind.
        let mut odd = listing[245..296].to_vec();
        let other = odd.remove(30).id.unwrap();
        bisection.take(245, Some(499), &odd).unwrap();
        for gone in [&gone, &other] {
            assert_eq!(bisection.pages_without(slice::from_ref(gone)), [245]);
        }
        assert_eq!(bisection.confirm(245, Some(499), &listing[245..295]), Err(Obstacle::Moved));
        assert_eq!(bisection.confirm(245, Some(498), &odd), Err(Obstacle::Moved));
        assert_eq!(bisection.confirm(245, Some(499), &odd), Ok(()));
        assert!(bisection.pages_without(slice::from_ref(&members[20].id)).is_empty(), "the head is read again anyway");
    }

    #[test]
    fn what_the_database_does_not_explain_ends_the_search() {
        let members = dated((0..500).map(|n| -n));
        let without = |at: usize| {
            let mut listing = keys(&members);
            listing.remove(at);
            listing
        };
        let middle = |listing: &[SlotKey], change: &dyn Fn(&mut Vec<SlotKey>)| {
            let mut page = listing[245..295].to_vec();
            change(&mut page);
            let mut bisection = Bisection::new(DateOrder::new(members.clone()).unwrap(), 499, &listing[..50]).unwrap();
            bisection.take(245, Some(499), &page)
        };
        let listing = without(300);
        assert_eq!(middle(&listing, &|_| ()), Ok(()));
        let changes: [(Change, Obstacle); 5] = [
            (|page| page[7].id = None, Obstacle::Unfit),
            (|page| page[7].added_at = None, Obstacle::Unfit),
            (|page| page.swap(7, 8), Obstacle::Unfit),
            (|page| drop(page.pop()), Obstacle::Unfit),
            (|page| page[7].id = Some("another".into()), Obstacle::Moved),
        ];
        for (change, obstacle) in changes {
            assert_eq!(middle(&listing, &change), Err(obstacle));
        }
        let mut bisection = Bisection::new(DateOrder::new(members.clone()).unwrap(), 499, &[]).unwrap();
        assert_eq!(bisection.take(245, Some(498), &listing[245..295]), Err(Obstacle::Moved));
        assert_eq!(bisection.take(245, None, &listing[245..295]), Err(Obstacle::Unfit));
        // Another item is removed before the place of the next page, which then does not link up.
        bisection.take(245, Some(499), &listing[245..295]).unwrap();
        assert_eq!(bisection.take(294, Some(499), &without(20)[294..344]), Err(Obstacle::Moved));
        // More slots than members before a place.
        let mut ahead = listing.clone();
        ahead.insert(0, listing[0].clone());
        let mut bisection = Bisection::new(DateOrder::new(members.clone()).unwrap(), 499, &[]).unwrap();
        bisection.take(245, Some(499), &ahead[245..295]).unwrap();
        assert_eq!(bisection.look(), Err(Obstacle::Moved));
        let undated = vec![Member { id: "a".into(), added_at: None }];
        assert!(DateOrder::new(undated).is_none());
    }

    #[test]
    fn many_removals_are_estimated_to_cost_a_walk() {
        assert_eq!(estimate(1, 10_000), 10);
        assert!(estimate(10, 10_000) < num_pages(10_000));
        assert!(estimate(205, 10_000) >= num_pages(10_000));
        assert!(estimate(1, 100) >= num_pages(100));
        assert_eq!([0, 1, 50, 51, 99, 100].map(num_pages), [1, 1, 1, 2, 2, 3]);
    }

    /// A listing, the members that the database knows from before, and which of them are gone.
    fn library(random: &mut fastrand::Rng) -> (Vec<SlotKey>, Vec<Member>, BTreeSet<String>) {
        let size = random.usize(2..1200);
        let ties = random.u32(0..100);
        let mut now = 0;
        let dates: Vec<i64> = (0..size)
            .map(|_| {
                now -= i64::from(random.u32(0..100) >= ties);
                now
            })
            .collect();
        let mut members = dated(dates);
        let mut listing = keys(&members);
        // The order within one date is not the database's.
        for block in listing.chunk_by_mut(|one, other| one.added_at == other.added_at) {
            random.shuffle(block);
        }
        let mut gone = BTreeSet::new();
        let at = random.usize(0..size);
        let num_gone = random.usize(1..size.min(40));
        while gone.len() < num_gone {
            let place = if random.bool() { at.min(listing.len() - 1) } else { random.usize(0..listing.len()) };
            gone.extend(listing.remove(place).id);
        }
        random.shuffle(&mut members);
        (listing, members, gone)
    }

    fn dated(dates: impl IntoIterator<Item = i64>) -> Vec<Member> {
        let member = |(n, seconds): (usize, i64)| Member {
            id: format!("{:05}-{n}", n * 7919 % 10_007),
            added_at: DateTime::from_timestamp(1_700_000_000 + seconds, 0),
        };
        dates.into_iter().enumerate().map(member).collect()
    }

    fn keys(members: &[Member]) -> Vec<SlotKey> {
        members.iter().map(|member| SlotKey { id: Some(member.id.clone()), added_at: member.added_at }).collect()
    }

    /// What a search finds in a listing that stands still, and how many pages it reads beyond the head.
    fn search(listing: &[SlotKey], members: Vec<Member>, head: usize) -> (Result<BTreeSet<String>, Obstacle>, u32) {
        let total = listing.len() as u32;
        let order = DateOrder::new(members).unwrap();
        let mut bisection = Bisection::new(order, total, &listing[..head.min(listing.len())]).unwrap();
        let mut asked = BTreeSet::new();
        loop {
            match bisection.look() {
                Ok(Look::At(offset)) => {
                    assert!(asked.insert(offset), "{offset} is read twice");
                    let to = (offset + PAGE_LIMIT).min(total);
                    bisection.take(offset, Some(total), &listing[offset as usize..to as usize]).unwrap();
                }
                Ok(Look::Found(gone)) => return (Ok(gone.into_iter().collect()), asked.len() as u32),
                Err(obstacle) => return (Err(obstacle), asked.len() as u32),
            }
        }
    }
}
