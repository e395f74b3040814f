//! The reading of one playlist's items, page by page.
//!
//! Pages link up by a shared slot like those of the listings, as far as that costs no request: the last page of a short
//! playlist rarely is full, and each slot that it has left links two pages. A playlist of exactly two pages has none left;
//! there only the totals, and the listing read once more afterwards, tell whether it changed. A reading that found something
//! amiss begins anew, and then links every page.
//!
//! What came is taken as what came ([`super::follows`]): a page that is shorter than asked is followed by one from where
//! its last row would stand, and that row is looked for among the first ones there. Rows that were counted and are in
//! neither are hidden: counted and not given.

use super::{
    assembly::{Assembly, Cell},
    follows::Follows,
};
use crate::model::{SlotKey, StalePlaylist, checkpoint::PlaylistPlace};

/// Rows whose order links a page to those before it, where rows are hidden.
const TAIL_MAX: usize = 51;

/// A reading links every page if that costs at most one request in so many.
const LINKED_PER_EXTRA: u32 = 33;

/// Times that an empty answer is asked for again where the listing counts items.
const EMPTIES_MAX: u32 = 2;

/// What a page brought.
#[derive(Debug)]
pub enum Absorbed {
    /// Rows to commit, in list order, with how many are hidden before and behind them, and whether the playlist ends there.
    Rows { offset: u32, cells: Vec<Cell>, num_before: u32, num_hidden: u32, is_end: bool },
    /// Nothing to take: a page before it was not what was expected.
    Useless,
    /// The playlist is not what it was: it is to be read from its beginning.
    Moved,
}

#[derive(Debug)]
pub struct ItemReading {
    pub playlist: StalePlaylist,
    /// Most rows that a page holds.
    limit: u32,
    /// Where the next page to plan begins, and where the next row to commit stands.
    planned: u32,
    pub committed: u32,
    /// Length by the answers, once one of them told.
    pub total: Option<u32>,
    /// Keys of the last rows committed.
    tail: Vec<SlotKey>,
    /// Those of the first page: an API that ignores offsets gives them again and again.
    head: Vec<SlotKey>,
    /// The last page was shorter than asked by so many rows: as many may be hidden in it.
    slack: u32,
    /// Nothing new came where the last page ended.
    is_stuck: bool,
    pub num_hidden: u32,
    pub restarts: u32,
    /// Answers without any item, where the listing counts some.
    num_empties: u32,
    /// Pages asked for since it began.
    pub num_pages: u32,
}

impl ItemReading {
    pub fn new(playlist: StalePlaylist, place: Option<&PlaylistPlace>, limit: u32) -> ItemReading {
        let place = place
            .filter(|place| place.playlist_id == playlist.id && place.snapshot_id == playlist.snapshot_id)
            .filter(|place| playlist.snapshot_id.is_some() && place.offset < place.total)
            .filter(|place| place.offset == playlist.num_read);
        let committed = place.map_or(0, |place| place.offset);
        ItemReading {
            limit,
            planned: committed,
            committed,
            total: place.map(|place| place.total),
            tail: place.and_then(|place| place.last.clone()).into_iter().collect(),
            head: Vec::new(),
            slack: 0,
            is_stuck: false,
            num_hidden: 0,
            restarts: 0,
            num_empties: 0,
            num_pages: 0,
            playlist,
        }
    }

    /// How long it is, as far as anything tells; one that does not say is asked.
    pub fn length(&self) -> u32 {
        self.total.unwrap_or_else(|| self.playlist.total_items.unwrap_or(1).max(1))
    }

    pub fn place(&self) -> Option<PlaylistPlace> {
        (self.committed > 0).then(|| PlaylistPlace {
            playlist_id: self.playlist.id.clone(),
            snapshot_id: self.playlist.snapshot_id.clone(),
            offset: self.committed,
            total: self.length(),
            last: self.tail.last().cloned(),
        })
    }

    /// Begins anew.
    pub fn restart(&mut self) {
        self.restarts += 1;
        (self.planned, self.committed, self.total) = (0, 0, None);
        (self.slack, self.num_hidden, self.is_stuck) = (0, 0, false);
        self.tail.clear();
    }

    /// Forgets what was planned behind what is committed.
    pub fn replan(&mut self) {
        self.planned = self.committed;
    }

    /// The next page to ask for: its first slot, the number of slots, and how many of them were read before.
    pub fn plan(&mut self) -> Option<(u32, u32)> {
        let is_waiting = self.planned > self.committed;
        if is_waiting && (self.planned >= self.length() || self.slack > 0 || self.is_stuck) {
            return None;
        }
        let shared = self.num_shared(self.planned);
        let offset = self.planned - shared;
        self.planned = offset + self.limit;
        self.num_pages += 1;
        Some((offset, self.limit))
    }

    /// How many rows before a place its page begins.
    fn num_shared(&self, at: u32) -> u32 {
        if at == 0 || self.is_stuck || (at == self.committed && self.tail.is_empty()) {
            return 0;
        }
        if at == self.committed && self.slack > 0 {
            return 1;
        }
        let (length, limit) = (self.length(), self.limit);
        let pages = length.div_ceil(limit);
        let linked = 1 + length.saturating_sub(limit).div_ceil(limit.saturating_sub(1).max(1));
        let is_cheap = linked.saturating_sub(pages) * LINKED_PER_EXTRA <= pages;
        // Otherwise as many as the last page has slots left.
        let num_free = (pages * limit).saturating_sub(length);
        let seam = at.div_ceil(limit);
        u32::from(limit > 1 && (is_cheap || self.restarts > 0 || seam <= num_free))
    }

    pub fn absorb(&mut self, page: Assembly) -> Absorbed {
        let shared = self.committed.saturating_sub(page.offset);
        let is_next = page.offset <= self.committed && self.committed < page.offset + page.limit;
        // Behind a page that was shorter than asked the next one has to begin with its last row.
        let is_unlinked = self.slack > 0 && !self.is_stuck && self.committed > 0 && shared != 1;
        if !is_next || shared > 1 || is_unlinked {
            return Absorbed::Useless;
        }
        if page.moved {
            return Absorbed::Moved;
        }
        let is_denied = page.cells.is_empty() && (page.offset == 0 || page.total == Some(0));
        if is_denied && self.num_empties < EMPTIES_MAX && self.playlist.total_items.is_some_and(|listed| listed > 0) {
            let restarts = self.restarts;
            self.num_empties += 1;
            self.restart();
            self.restarts = restarts;
            return Absorbed::Useless;
        }
        // A length of none is no length where items are shown.
        let told = page.total.filter(|total| *total > 0 || page.cells.is_empty());
        if told.is_some() && self.total.is_some() && told != self.total {
            return Absorbed::Moved;
        }
        self.total = told.or(self.total);
        let keys: Vec<Option<SlotKey>> = page.cells.iter().map(key).collect();
        if page.offset == 0 {
            self.head = keys.iter().flatten().cloned().collect();
        }
        let Some(num_known) = self.link(&keys, shared, page.offset) else { return Absorbed::Moved };
        // The page begins with more known rows than it should: so many are hidden among those before it.
        let num_before = (num_known as u32).saturating_sub(shared);
        let came = page.cells.len() as u32;
        let fresh: Vec<Cell> = page.cells.into_iter().skip(num_known).collect();
        let is_full = came >= page.limit;
        let is_barren = fresh.is_empty() && !is_full;
        // The shared row is all that came: the next page asks for as many as come, and of a single one shares none.
        let is_too_long = match page.follows {
            Follows::Capped(cap) if is_barren && came > 0 => cap < page.limit,
            _ => false,
        };
        if let Follows::Capped(cap) = page.follows {
            self.limit = self.limit.min(if is_too_long { cap.max(1) } else { cap.max(2) });
        }
        let end = page.offset + page.limit;
        let length = self.total;
        let from = self.committed;
        let is_ended = match page.follows {
            Follows::End => true,
            Follows::More => length.is_some_and(|length| page.offset + came >= length),
            Follows::Capped(_) | Follows::Hidden(_) | Follows::Doubtful | Follows::Nothing => false,
        };
        let is_vain = is_barren && length.is_none_or(|length| end >= length);
        let offset = from + num_before;
        let mut num_hidden = 0;
        let at = offset + fresh.len() as u32;
        self.slack = if is_full || is_ended { 0 } else { page.limit - came };
        let mut to = at;
        if is_ended {
            to = at.max(length.unwrap_or(at));
            num_hidden = to - at;
        } else if is_too_long {
            self.slack = 0;
            self.is_stuck = false;
        } else if is_vain {
            // Asked for once more, and nothing came: what is counted behind it is not given.
            to = length.unwrap_or(at).max(at);
            num_hidden = to - at;
        } else if is_barren {
            // Nothing between here and the end of this page is given; the next page begins there.
            to = end;
            num_hidden = to - at;
            self.is_stuck = true;
            self.slack = 0;
        } else {
            self.is_stuck = false;
        }
        let is_end = is_ended || length.map_or(is_vain, |length| to >= length);
        self.num_hidden += num_before + num_hidden;
        self.committed = to;
        self.remember(&fresh);
        if self.slack > 0 || self.is_stuck || is_too_long {
            self.planned = self.committed;
        }
        Absorbed::Rows { offset, cells: fresh, num_before, num_hidden, is_end }
    }

    /// How many rows of a page are known; `None` if it does not follow what was read.
    fn link(&self, keys: &[Option<SlotKey>], shared: u32, offset: u32) -> Option<usize> {
        if shared == 0 || keys.is_empty() {
            let is_first_again = offset > 0 && !keys.is_empty() && keys.iter().flatten().eq(&self.head);
            let is_all_one = self.head.windows(2).all(|pair| pair[0] == pair[1]);
            return (!is_first_again || is_all_one).then_some(0);
        }
        if self.tail.is_empty() {
            return Some(keys.len().min(shared as usize));
        }
        // The last row stands first; or later, by as many places as rows are hidden before it.
        let most = (self.slack as usize + 1).min(self.tail.len()).min(keys.len());
        (1..=most).find(|num| {
            let known = &self.tail[self.tail.len() - num..];
            keys[..*num].iter().zip(known).all(|(key, known)| key.as_ref().is_none_or(|key| key == known))
        })
    }

    fn remember(&mut self, cells: &[Cell]) {
        for cell in cells {
            match key(cell) {
                Some(key) => self.tail.push(key),
                // Nobody knows what stands there, so nothing can be linked to it.
                None => self.tail.clear(),
            }
        }
        let num_old = self.tail.len().saturating_sub(TAIL_MAX);
        self.tail.drain(..num_old);
    }
}

fn key(cell: &Cell) -> Option<SlotKey> {
    match cell {
        Cell::Slot(slot) => Some(slot.key()),
        Cell::Gap { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::run::Ticket,
        model::{Item, Next, Page, PlaylistItem, PlaylistItemKind, Slot},
    };

    /// What a reading came to: the items with their places, how many are hidden, and the requests it took.
    #[derive(Debug, PartialEq, Eq)]
    struct Read {
        items: Vec<(u32, String)>,
        num_hidden: u32,
        requests: u32,
    }

    /// Reads a playlist from whatever answers, until it ends or is seen to move.
    fn read(listed: u32, answer: &mut dyn FnMut(u32, u32, u32) -> Page) -> Result<Read, u32> {
        let playlist = StalePlaylist { id: "p".into(), total_items: Some(listed), ..StalePlaylist::default() };
        let mut reading = ItemReading::new(playlist, None, 50);
        let (mut ticket, mut requests, mut items) = (Ticket::default(), 0, Vec::new());
        while requests < 200 {
            let pages: Vec<(u32, u32)> = std::iter::from_fn(|| reading.plan()).take(4).collect();
            assert!(!pages.is_empty(), "nothing is planned: {reading:?}");
            for (offset, limit) in pages {
                let mut page = Assembly::new(offset, limit);
                while let Some((_, offset, limit, _)) = page.poll_piece(&mut ticket) {
                    requests += 1;
                    page.handle_answer(Ok(answer(requests, offset, limit)), true);
                }
                match reading.absorb(page) {
                    Absorbed::Useless => {}
                    Absorbed::Moved => return Err(requests),
                    Absorbed::Rows { offset, cells, is_end, .. } => {
                        items.extend((offset..).zip(cells.iter().map(|cell| key(cell).unwrap().id.unwrap())));
                        if is_end {
                            return Ok(Read { items, num_hidden: reading.num_hidden, requests });
                        }
                    }
                }
            }
            reading.replan();
        }
        panic!("it reads for ever: {reading:?}");
    }

    fn slot(name: u32) -> Slot {
        let item = PlaylistItem {
            kind: PlaylistItemKind::Local,
            uri: None,
            name: Some(name.to_string()),
            added_at: None,
            added_by: None,
            track: None,
        };
        Slot { item: Some(Item::PlaylistItem(Box::new(item))), added_at: None, odd: None }
    }

    /// An honest answer, but for the rows that are counted and not given, and a cap.
    fn page(items: &[u32], hidden: &[u32], cap: u32, offset: u32, limit: u32) -> Page {
        let total = items.len() as u32;
        let to = (offset + limit.min(cap)).min(total).max(offset.min(total));
        let shown = (offset.min(total)..to).filter(|at| !hidden.contains(at));
        let next = if to < total { Next::Goes { offset: Some(to) } } else { Next::End };
        let slots = shown.map(|at| slot(items[at as usize])).collect();
        Page { total: Some(total), limit: Some(limit.min(cap)), next, slots, ..Page::default() }
    }

    fn numbers(len: u32) -> Vec<u32> {
        (0..len).collect()
    }

    fn expected(items: &[u32], hidden: &[u32]) -> Vec<String> {
        let shown = (0..).zip(items).filter(|(at, _)| !hidden.contains(at));
        shown.map(|(_, item)| item.to_string()).collect()
    }

    fn names(read: &Read) -> Vec<String> {
        read.items.iter().map(|(_, name)| name.clone()).collect()
    }

    #[test]
    fn playlists_of_any_length_are_read_whole_with_hardly_a_request_more_than_needed() {
        for len in (1..=420).chain([1000, 2000, 5000]) {
            let items = numbers(len);
            let read = read(len, &mut |_, offset, limit| page(&items, &[], 50, offset, limit)).unwrap();
            assert_eq!((names(&read), read.num_hidden), (expected(&items, &[]), 0));
            assert!(read.items.iter().map(|(at, _)| *at).eq(0..len), "at its place");
            let least = len.div_ceil(50);
            assert!(read.requests <= least + least / LINKED_PER_EXTRA, "{len} took {}", read.requests);
        }
    }

    #[test]
    fn rows_that_are_counted_and_not_given_are_no_end() {
        let items = numbers(230);
        for hidden in
            [vec![0], vec![10], vec![48], vec![49], vec![50], vec![98], vec![229], vec![3, 4, 60], vec![49, 50]]
        {
            let read = read(230, &mut |_, offset, limit| page(&items, &hidden, 50, offset, limit)).unwrap();
            assert_eq!(names(&read), expected(&items, &hidden), "{hidden:?}");
            assert_eq!(read.num_hidden, hidden.len() as u32, "{hidden:?}");
            assert!(read.requests <= 12, "{hidden:?} took {}", read.requests);
        }
    }

    #[test]
    fn a_cap_is_learned() {
        for cap in [1, 2, 10, 20, 49] {
            let items = numbers(100);
            let read = read(100, &mut |_, offset, limit| page(&items, &[], cap, offset, limit));
            if cap > 1 {
                let read = read.unwrap();
                assert_eq!((names(&read), read.num_hidden), (expected(&items, &[]), 0), "at most {cap}");
            }
        }
    }

    #[test]
    fn an_end_that_comes_too_early_is_asked_for_again() {
        let items = numbers(40);
        let read = read(40, &mut |request, offset, limit| match request {
            1 => Page { slots: (0..25).map(slot).collect(), next: Next::End, ..page(&items, &[], 50, offset, limit) },
            _ => page(&items, &[], 50, offset, limit),
        });
        assert_eq!(names(&read.unwrap()), expected(&items, &[]));
    }

    #[test]
    fn an_api_that_ignores_the_offset_is_found_out() {
        for len in [60, 100, 230] {
            let items = numbers(len);
            let read = read(len, &mut |_, _, limit| page(&items, &[], 50, 0, limit));
            assert!(read.is_err(), "{len}: {read:?}");
        }
    }

    #[test]
    fn pages_of_an_older_copy_behind_a_fresh_first_one_are_found_out() {
        let (fresh, old) = ([vec![7777], numbers(229)].concat(), numbers(230));
        let read =
            read(230, &mut |_, offset, limit| page(if offset == 0 { &fresh } else { &old }, &[], 50, offset, limit));
        assert!(read.is_err(), "{read:?}");
    }

    #[test]
    fn another_total_in_every_answer_is_a_playlist_that_moves() {
        let items = numbers(230);
        let read = read(230, &mut |request, offset, limit| Page {
            total: Some(230 - request % 2),
            ..page(&items, &[], 50, offset, limit)
        });
        assert!(read.is_err());
    }

    #[test]
    fn a_track_that_stands_there_many_times_in_a_row_is_read_as_often() {
        for len in [100, 120, 230] {
            let items = vec![7; len as usize];
            let read = read(len, &mut |_, offset, limit| page(&items, &[], 50, offset, limit)).unwrap();
            assert_eq!(names(&read).len(), len as usize);
        }
    }

    #[test]
    fn without_a_total_the_listing_and_the_end_tell_how_long_it_is() {
        let items = numbers(120);
        for listed in [0, 1, 120, 500] {
            let read =
                read(listed, &mut |_, offset, limit| Page { total: None, ..page(&items, &[], 50, offset, limit) });
            assert_eq!(names(&read.unwrap()), expected(&items, &[]), "listed with {listed}");
        }
    }

    #[test]
    fn a_reading_that_found_something_amiss_links_every_page() {
        let playlist = StalePlaylist { total_items: Some(100), ..StalePlaylist::default() };
        let mut reading = ItemReading::new(playlist, None, 50);
        let plan = |reading: &mut ItemReading| std::iter::from_fn(|| reading.plan()).collect::<Vec<_>>();
        assert_eq!(plan(&mut reading), [(0, 50), (50, 50)]);
        reading.restart();
        assert_eq!(plan(&mut reading), [(0, 50), (49, 50), (98, 50)]);
    }
}
