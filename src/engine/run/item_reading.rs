//! The reading of one playlist's items, page by page.
//!
//! Pages link up by a shared slot like those of the listings, as far as that costs no request: the last page of a short
//! playlist is rarely full, and each of its free slots links two pages. A playlist of exactly two pages has none free;
//! there only the totals, the listing read once more afterwards, and an item that a page repeats from one before it
//! show whether it changed. A reading that found something amiss starts over, and then links every page.
//!
//! Short pages are handled as in [`super::follows`]: a page that is shorter than asked is followed by one from where
//! its last row would stand, and that row is looked for among the first ones there. Rows that were counted and are in
//! neither page are hidden: counted but not given.

use super::{
    assembly::{Assembly, Cell},
    follows::Follows,
};
use crate::model::{SlotKey, StalePlaylist, checkpoint::PlaylistPlace};
use std::collections::HashMap;

/// Rows whose order links a page to those before it, where rows are hidden.
const TAIL_MAX: usize = 51;

/// A reading links every page if that costs at most one extra request in this many.
const LINKED_PER_EXTRA: u32 = 33;

/// Times that an empty answer is requested again although items are counted.
const EMPTIES_MAX: u32 = 2;

/// What a page contributed.
#[derive(Debug)]
pub enum Absorbed {
    /// Rows to commit, in list order, with how many are hidden before and after them, and whether the playlist ends
    /// there.
    Rows { offset: u32, cells: Vec<Cell>, num_before: u32, num_hidden: u32, is_end: bool },
    /// Nothing to use: a page before it was not what was expected.
    Useless,
    /// The playlist has changed: it has to be read from its beginning.
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
    /// Length according to the answers, once one of them contained it.
    pub total: Option<u32>,
    /// Keys of the last rows committed.
    tail: Vec<SlotKey>,
    /// Those of the first page: an API that ignores offsets gives them again and again.
    head: Vec<SlotKey>,
    /// How often each stands on the pages so far, if some of them are not linked: a page from an older copy repeats an
    /// item that has moved since.
    unlinked: HashMap<SlotKey, u32>,
    /// The last page was this many rows shorter than asked: as many may be hidden in it.
    slack: u32,
    /// Nothing new was found where the last page ended.
    is_stuck: bool,
    pub num_hidden: u32,
    /// Where this run took it up, and the ranges that could not be served since.
    began: u32,
    pub unread: Vec<(u32, u32)>,
    /// Pages of a single row cannot be linked, and pages that count differently may be of different versions: the rows
    /// need not be complete, nor distinct.
    pub is_unproven: bool,
    /// A page counted fewer rows than it showed.
    denies_items: bool,
    pub restarts: u32,
    /// Answers without any item although some are counted.
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
            unlinked: HashMap::new(),
            slack: place.map_or(0, |place| place.num_short),
            is_stuck: false,
            num_hidden: 0,
            began: committed,
            unread: Vec::new(),
            is_unproven: place.is_some_and(|place| place.is_unproven),
            denies_items: false,
            restarts: 0,
            num_empties: 0,
            num_pages: 0,
            playlist,
        }
    }

    /// How long it is, as far as is known; without a length it is assumed to hold an item.
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
            num_short: self.slack,
            is_unproven: self.is_unproven,
        })
    }

    /// Starts over.
    pub fn restart(&mut self) {
        self.restarts += 1;
        (self.planned, self.committed, self.total, self.began) = (0, 0, None, 0);
        self.unread.clear();
        self.unlinked.clear();
        (self.slack, self.num_hidden, self.is_stuck) = (0, 0, false);
        (self.is_unproven, self.denies_items) = (false, false);
        self.tail.clear();
    }

    /// Gaps of earlier readings that this one, which has reached the end, has read.
    pub fn healed(&self) -> Vec<(u32, u32)> {
        let is_unread = |(from, to): (u32, u32)| self.unread.iter().any(|unread| unread.0 < to && from < unread.1);
        let is_healed = |gap: &&(u32, u32)| gap.0 >= self.began && !is_unread(**gap);
        self.playlist.gaps.iter().filter(is_healed).copied().collect()
    }

    /// Forgets what was planned beyond what is committed.
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
        // After a page that was shorter than asked, the next one has to begin with its last row.
        let is_linkable = self.committed > 0 && !self.tail.is_empty();
        let is_unlinked = self.slack > 0 && !self.is_stuck && is_linkable && shared != 1;
        // The shared row is not known, so it cannot be recognised among the rows of a short page.
        let is_blind = shared > 0 && self.tail.is_empty() && (page.cells.len() as u32) < page.limit;
        if !is_next || shared > 1 || is_unlinked || is_blind {
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
        // Rows are counted here, and the last row read should be among them.
        if matches!(page.follows, Follows::Nothing(_)) && self.num_empties < EMPTIES_MAX {
            self.num_empties += 1;
            return Absorbed::Useless;
        }
        // A length of zero is ignored if items are shown.
        let told = page.total.filter(|total| *total > 0 || page.cells.is_empty());
        if told.is_some() && self.total.is_some() && told != self.total {
            return Absorbed::Moved;
        }
        self.total = told.or(self.total);
        let shown = page.offset + page.cells.len() as u32;
        self.denies_items |= !page.cells.is_empty() && page.total.is_some_and(|total| total < shown);
        self.is_unproven |= self.denies_items && self.total.is_some();
        let keys: Vec<Option<SlotKey>> = page.cells.iter().map(key).collect();
        if page.offset == 0 {
            self.head = keys.iter().flatten().cloned().collect();
        }
        let Some(num_known) = self.link(&keys, shared, page.offset) else { return Absorbed::Moved };
        if self.restarts == 0 && self.repeats(keys.iter().skip(num_known).flatten()) {
            return Absorbed::Moved;
        }
        // The page begins with more known rows than it should: that many are hidden among those before it.
        let num_before = (num_known as u32).saturating_sub(shared);
        let came = page.cells.len() as u32;
        let fresh: Vec<Cell> = page.cells.into_iter().skip(num_known).collect();
        let is_full = came >= page.limit;
        let is_barren = fresh.is_empty() && !is_full;
        // The page cap leaves room for the shared row only: the next page asks for one row, and shares none.
        let is_too_long = is_barren && came > 0 && page.follows == Follows::Capped(came) && came < page.limit;
        if let Follows::Capped(cap) = page.follows {
            self.limit = self.limit.min(if is_too_long { cap.max(1) } else { cap.max(2) });
        }
        let end = page.offset + if let Follows::Nothing(len) = page.follows { len } else { page.limit };
        let length = self.total;
        let from = self.committed;
        let is_ended = match page.follows {
            Follows::End => true,
            Follows::More => length.is_some_and(|length| page.offset + came >= length),
            Follows::Capped(_) | Follows::Hidden(_) | Follows::Doubtful | Follows::Nothing(_) => false,
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
            // Requested again without result: what is counted after it is not given.
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
        self.is_unproven |= self.limit == 1 && to > 1;
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
            let mut pairs = keys.iter().flatten().zip(&self.head).peekable();
            let is_first_again = offset > 0 && pairs.peek().is_some() && pairs.all(|(key, first)| key == first);
            // A playlist may consist of one item over and over; a single row cannot show that.
            let is_all_one = self.head.len() > 1 && self.head.windows(2).all(|pair| pair[0] == pair[1]);
            let is_last_again =
                keys.first().zip(self.tail.last()).is_some_and(|(key, last)| key.as_ref() == Some(last));
            return (!is_first_again && !is_last_again || is_all_one).then_some(0);
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

    /// Whether one of these stands once here and once on an earlier page. A playlist may contain an item twice, added at
    /// one moment: then it is read once more, with every page linked.
    fn repeats<'a>(&mut self, fresh: impl Iterator<Item = &'a SlotKey>) -> bool {
        let is_linked = (1..self.length().div_ceil(self.limit)).all(|page| self.num_shared(page * self.limit) > 0);
        if is_linked {
            return false;
        }
        let mut here: HashMap<&SlotKey, u32> = HashMap::new();
        fresh.filter(|key| key.id.is_some()).for_each(|key| *here.entry(key).or_default() += 1);
        let repeats = here.iter().any(|(key, num)| *num == 1 && self.unlinked.get(*key) == Some(&1));
        for (key, num) in here {
            *self.unlinked.entry(key.clone()).or_default() += num;
        }
        repeats
    }

    fn remember(&mut self, cells: &[Cell]) {
        for cell in cells {
            match key(cell) {
                Some(key) => self.tail.push(key),
                // It is unknown what stands there, so nothing can be linked to it.
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
mod tests;
