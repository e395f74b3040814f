//! Answers that are wrong but plausible: pages that are not what was requested.

use super::{
    api::{playlist_item, slot},
    database::{Presence, Row},
    library::{Contents, Item as TrueItem, Library, Listing, Tick, id_of, number_of},
    world::World,
};
use fastrand::Rng;
use segno::model::{EntityType, FIRST_CURSOR, Next, Page, PageRequest, PerEntity, Remedy, Slot};
use std::collections::{BTreeMap, BTreeSet};

/// A false behaviour that the API begins. Places are numbers that are reduced to the size of what they index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Odd {
    /// No page contains more rows than this, whatever is requested.
    Cap { rows: u32 },
    /// A row is counted but not given.
    Hide { entity: EntityType, at: u32 },
    /// The next answers come from a copy made now; only those after the first page, or all.
    OldCopy { entity: EntityType, num: u32, is_behind: bool },
    /// Every other total is off.
    Alternate { entity: EntityType, delta: i32, num: u32 },
    /// The next answers are all the first page.
    IgnoreOffset { entity: EntityType, num: u32 },
    /// The next pages, or those after some, contain fewer rows, and claim that nothing follows.
    CutShort { entity: EntityType, rows: u32, num: u32, skip: u32 },
    /// The last row of the next pages, or of those after some, repeats the first one.
    Double { entity: EntityType, num: u32, skip: u32 },
    /// The next page, or the one after some, lacks a row, and is filled up with the one behind it: it fits.
    Fill { entity: EntityType, at: u32, skip: u32 },
    /// `next` is set, null or missing, whatever follows.
    WrongNext { next: Option<bool>, num: u32 },
    /// The cursor of the next pages leads back to the same place, or to the beginning.
    TurnCursor { stands: bool, num: u32 },
    /// The listing has a wrong number of items for a playlist.
    Miscount { at: u32, count: u32, num: u32 },
    /// The next items of a playlist are those before its last edit.
    OldItems { at: u32, num: u32 },
    /// An item of a playlist is counted but not given.
    HideItem { at: u32, position: u32 },
    /// The next pages of a playlist's items, or those after some, contain fewer rows, and claim that nothing follows.
    CutItems { at: u32, rows: u32, num: u32, skip: u32 },
    /// Every other page of a playlist's items has a wrong number of them.
    MiscountItems { at: u32, delta: i32, num: u32 },
    /// The next pages of a playlist's items are all the first.
    IgnoreItemsOffset { at: u32, num: u32 },
    /// The items of a playlist are refused for this many requests: 404, or 403.
    RefuseItems { at: u32, num: u32, is_gone: bool },
    /// The next answers of a listing have no length; for playlists, neither do their items.
    Uncounted { entity: EntityType, num: u32 },
}

#[derive(Debug, Default)]
pub struct Odds {
    cap: Option<u32>,
    copies: PerEntity<OldCopy>,
    alternates: PerEntity<(u32, i32)>,
    ignores: PerEntity<u32>,
    cuts: PerEntity<Cut>,
    doubles: PerEntity<Cut>,
    fills: PerEntity<(Cut, u32)>,
    nexts: (u32, Option<bool>),
    turns: (u32, bool),
    miscounts: BTreeMap<u32, (u32, u32)>,
    old_items: BTreeMap<u32, u32>,
    item_cuts: BTreeMap<u32, Cut>,
    item_totals: BTreeMap<u32, (u32, i32)>,
    item_ignores: BTreeMap<u32, u32>,
    refusals: BTreeMap<u32, (u32, bool)>,
    uncounted: PerEntity<u32>,
}

/// Pages that contain at most this many rows: `num` of them, after `skip`.
#[derive(Debug, Default, Clone, Copy)]
struct Cut {
    skip: u32,
    num: u32,
    rows: u32,
}

impl Cut {
    /// How many of these rows the next page contains, if fewer.
    fn next(&mut self, num_rows: usize) -> Option<usize> {
        let rows = self.rows as usize;
        (num_rows > rows && !take(&mut self.skip) && take(&mut self.num)).then_some(rows)
    }
}

#[derive(Debug, Default)]
struct OldCopy {
    num: u32,
    is_behind: bool,
    /// Items with their dates.
    rows: Vec<(u32, i64)>,
}

/// The input of an answer.
struct Asked {
    from: usize,
    limit: usize,
    is_first: bool,
}

impl Odd {
    pub fn random(random: &mut Rng) -> Odd {
        let (entity, at) = (EntityType::ALL[random.usize(0..EntityType::ALL.len())], random.u32(..));
        let num = [1, 1, 2, 3, 8, 40][random.usize(0..6)];
        let skip = [0, 0, 1, 2][random.usize(0..4)];
        match random.u32(0..20) {
            0 => Odd::Cap { rows: [1, 5, 10, 20, 49][random.usize(0..5)] },
            1 | 2 => Odd::Hide { entity, at },
            3 => Odd::OldCopy { entity, num, is_behind: random.bool() },
            4 => Odd::Alternate { entity, delta: random.i32(-5..6), num },
            5 => Odd::IgnoreOffset { entity, num },
            6 => Odd::CutShort { entity, rows: [0, 1, 7, 25][random.usize(0..4)], num, skip },
            7 => Odd::WrongNext { next: [None, Some(true), Some(false)][random.usize(0..3)], num },
            8 => Odd::TurnCursor { stands: random.bool(), num },
            9 => Odd::Miscount { at, count: [0, 0, 1, 500][random.usize(0..4)], num },
            10 | 11 => Odd::OldItems { at, num },
            12 | 13 => Odd::HideItem { at, position: random.u32(..) },
            14 => Odd::CutItems { at, rows: [0, 1, 7, 25][random.usize(0..4)], num, skip },
            15 => Odd::RefuseItems { at, num: [1, 2, u32::MAX][random.usize(0..3)], is_gone: random.bool() },
            16 => Odd::Uncounted { entity, num },
            17 if at % 2 == 0 => Odd::Fill { entity, at, skip },
            17 => Odd::Double { entity, num, skip },
            18 => Odd::MiscountItems { at, delta: random.i32(-5..6), num },
            _ => Odd::IgnoreItemsOffset { at, num },
        }
    }

    /// Its kind, for the tally.
    pub fn kind(&self) -> &'static str {
        match self {
            Odd::Cap { .. } => "pages with a cap",
            Odd::Hide { .. } => "rows that are counted and not given",
            Odd::OldCopy { .. } => "answers from an older copy",
            Odd::Alternate { .. } => "totals that alternate",
            Odd::IgnoreOffset { .. } => "offsets that are ignored",
            Odd::CutShort { .. } => "pages that end too early",
            Odd::Double { .. } => "rows that are given twice",
            Odd::Fill { .. } => "pages that lack a row and fit",
            Odd::WrongNext { .. } => "a wrong `next`",
            Odd::TurnCursor { .. } => "cursors that turn",
            Odd::Miscount { .. } => "playlists miscounted by the listing",
            Odd::OldItems { .. } => "items older than the listing",
            Odd::HideItem { .. } => "items that are counted and not given",
            Odd::CutItems { .. } => "items that end too early",
            Odd::MiscountItems { .. } => "totals of items that alternate",
            Odd::IgnoreItemsOffset { .. } => "offsets of items that are ignored",
            Odd::RefuseItems { .. } => "playlists whose items are refused",
            Odd::Uncounted { .. } => "lengths that are not told",
        }
    }
}

impl World {
    /// The API begins a false behaviour.
    pub fn begin_odd(&mut self, odd: Odd) {
        let (tick, odds) = (self.tick, &mut self.api.odds);
        match odd {
            Odd::Cap { rows } => odds.cap = Some(rows),
            Odd::Hide { entity, at } => {
                let listing = self.library.of_mut(entity);
                listing.is_veiled = true;
                if let Some(item) = listing.at(at) {
                    (item.is_withheld, item.hidden_at) = (true, tick);
                }
            }
            Odd::OldCopy { entity, num, is_behind } => {
                let listing = self.library.of_mut(entity);
                listing.is_veiled = true;
                let rows = listing.order.iter().map(|number| (*number, listing.item(*number).added_at)).collect();
                odds.copies[entity] = OldCopy { num, is_behind, rows };
            }
            Odd::Alternate { entity, delta, num } => {
                self.library.of_mut(entity).is_veiled = true;
                odds.alternates[entity] = (num, delta);
            }
            Odd::IgnoreOffset { entity, num } => {
                self.library.of_mut(entity).is_veiled = true;
                odds.ignores[entity] = num;
            }
            Odd::CutShort { entity, rows, num, skip } => {
                self.library.of_mut(entity).is_veiled = true;
                odds.cuts[entity] = Cut { skip, num, rows };
            }
            Odd::Double { entity, num, skip } => {
                self.library.of_mut(entity).is_veiled = true;
                odds.doubles[entity] = Cut { skip, num, rows: 1 };
            }
            Odd::Fill { entity, at, skip } => {
                self.library.of_mut(entity).is_veiled = true;
                odds.fills[entity] = (Cut { skip, num: 1, rows: 1 }, at);
            }
            Odd::WrongNext { next, num } => odds.nexts = (num, next),
            Odd::TurnCursor { stands, num } => {
                self.library.of_mut(EntityType::Artists).is_veiled = true;
                odds.turns = (num, stands);
            }
            Odd::Uncounted { entity, num } => odds.uncounted[entity] = num,
            Odd::Miscount { at, .. }
            | Odd::OldItems { at, .. }
            | Odd::HideItem { at, .. }
            | Odd::CutItems { at, .. }
            | Odd::MiscountItems { at, .. }
            | Odd::IgnoreItemsOffset { at, .. }
            | Odd::RefuseItems { at, .. } => {
                let listing = self.library.of_mut(EntityType::Playlists);
                if let Some(at) = (at as usize).checked_rem(listing.order.len()) {
                    let number = listing.order[at];
                    listing.is_veiled = true;
                    odds.begin_items(number, &mut listing.items[number as usize].contents, odd);
                }
            }
        }
        if let Odd::Hide { entity, .. }
        | Odd::OldCopy { entity, .. }
        | Odd::Alternate { entity, .. }
        | Odd::IgnoreOffset { entity, .. }
        | Odd::CutShort { entity, .. }
        | Odd::Double { entity, .. }
        | Odd::Fill { entity, .. } = odd
        {
            self.note_change(entity);
        }
    }

    /// Rows that were withheld are given again.
    pub fn give_all(&mut self) {
        let tick = self.tick;
        self.api.odds = Odds::default();
        for listing in self.library.listings.values_mut() {
            let books = self.database.of(listing.entity);
            let is_dated = listing.entity.is_newest_first();
            for (number, item) in (0..).zip(&mut listing.items).filter(|(_, item)| item.is_withheld) {
                (item.is_withheld, item.hidden_at) = (false, tick);
                // At a place where runs look only if the count shows that something is missing.
                let is_known = books.row(number) == Row { state: Presence::Active, added_at: item.added_at };
                item.is_overlooked = is_dated && !is_known;
                self.oracle.changed_at[listing.entity] = tick;
            }
            listing.items.iter_mut().for_each(|item| item.contents.withheld = None);
        }
    }
}

impl Odds {
    /// A page of a listing; `None` if part of it cannot be served.
    pub fn page(
        &mut self,
        request: &PageRequest,
        library: &mut Library,
        total: Option<u32>,
        tick: Tick,
    ) -> Option<Page> {
        match request {
            PageRequest::Listing { entity, offset, limit } => {
                let from = *offset as usize;
                let asked = Asked { from, limit: self.capped(*limit), is_first: from == 0 };
                self.listed(library.of_mut(*entity), asked, total, tick)
            }
            PageRequest::Following { after, limit } => {
                let listing = library.of_mut(EntityType::Artists);
                let after = after.as_ref().filter(|after| *after != FIRST_CURSOR);
                let is_behind = |number: &u32| after.is_some_and(|after| id_of(*number) <= *after);
                let from = listing.order.partition_point(is_behind);
                let asked = Asked { from, limit: self.capped(*limit), is_first: after.is_none() };
                let to = (from + asked.limit).min(listing.order.len());
                let at = EntityType::Artists;
                let is_other = self.ignores[at] > 0 || self.copies[at].num > 0;
                let page = self.listed(listing, asked, total, tick)?;
                // The last one may be unreadable, or withheld.
                let last = listing.order[..to].last().filter(|_| !is_other).map(|number| id_of(*number));
                let last = last.or_else(|| page.slots.iter().rev().find_map(|slot| slot.id().map(str::to_owned)));
                let goes_on = !matches!(page.next, Next::End) || self.nexts.0 > 0;
                let next_cursor = match take(&mut self.turns.0) {
                    true if self.turns.1 => after.cloned().or(last),
                    true => listing.order.first().map(|first| id_of(*first)),
                    false => last.filter(|_| goes_on),
                };
                Some(Page { next_cursor, ..page })
            }
            PageRequest::PlaylistItems { .. } => None,
        }
    }

    fn capped(&self, limit: u32) -> usize {
        self.cap.map_or(limit, |cap| limit.min(cap)) as usize
    }

    fn listed(&mut self, listing: &mut Listing, asked: Asked, total: Option<u32>, tick: Tick) -> Option<Page> {
        let at = listing.entity;
        let Asked { mut from, limit, is_first } = asked;
        listing.left_out = None;
        let len = listing.order.len();
        // Nothing is requested after a page without a cursor.
        let honest = from..if listing.entity.is_by_cursor() { len } else { (from + limit).min(len) };
        if take(&mut self.ignores[at]) {
            listing.withhold(honest.clone(), tick);
            from = 0;
        }
        let copy = &mut self.copies[at];
        let is_old = (!is_first || !copy.is_behind) && take(&mut copy.num);
        if is_old {
            // Items that the copy lacks were shown as gone, and so were those saved again since.
            let known: BTreeSet<(u32, i64)> = copy.rows.iter().copied().collect();
            listing.deny(|number, added_at| !known.contains(&(number, added_at)), tick);
        }
        let rows: Vec<(u32, i64)> = if is_old {
            copy.rows.clone()
        } else {
            listing.order.iter().map(|number| (*number, listing.item(*number).added_at)).collect()
        };
        let to = (from + limit).min(rows.len());
        let numbers = rows.get(from..to).unwrap_or_default();
        if numbers.iter().any(|(number, _)| listing.item(*number).is_spoilt) {
            return None;
        }
        let given: Vec<(u32, i64)> =
            numbers.iter().copied().filter(|(number, _)| !listing.item(*number).is_withheld).collect();
        let mut slots: Vec<Slot> = given
            .iter()
            .map(|(number, added_at)| slot(listing.entity, *number, listing.item(*number), *added_at))
            .collect();
        for number in self.miscount(listing.entity, &mut slots) {
            listing.items[number as usize].contents.lagged_at = tick;
        }
        let mut total = total.map(|total| if is_old { rows.len() as u32 } else { total });
        if take(&mut self.alternates[at].0) && self.alternates[at].0.is_multiple_of(2) {
            total = total.map(|total| total.saturating_add_signed(self.alternates[at].1));
        }
        total = total.filter(|_| !take(&mut self.uncounted[at]));
        let mut next = if to < rows.len() { Next::Goes { offset: Some(to as u32) } } else { Next::End };
        if let Some(rows) = self.cuts[at].next(slots.len()) {
            slots.truncate(rows);
            // Whatever follows is shown as absent.
            listing.withhold(honest.start..len, tick);
            next = Next::End;
        }
        if self.doubles[at].next(slots.len()).is_some() {
            let last = slots.len() - 1;
            slots[last] = slots[0].clone();
            let item = &mut listing.items[given[last].0 as usize];
            item.withheld_at = tick;
            // A row without an id cannot be distinguished from another one.
            if slots[last].id().is_none() {
                item.hidden_at = tick;
            }
        }
        let (fill, lacking) = &mut self.fills[at];
        if let Some(behind) = rows.get(to).copied().filter(|_| !at.is_by_cursor() && given.len() == slots.len())
            && !listing.item(behind.0).is_withheld
            && !listing.item(behind.0).is_spoilt
            && fill.next(slots.len()).is_some()
        {
            let lacking = *lacking as usize % slots.len();
            slots.remove(lacking);
            slots.push(slot(at, behind.0, listing.item(behind.0), behind.1));
            listing.items[given[lacking].0 as usize].withheld_at = tick;
            listing.left_out = Some(given[lacking].0);
        }
        if total.is_none_or(|total| (total as usize) < len) {
            // Its total leaves out what is not given, so that is shown as gone.
            let is_withheld = |item: &&mut TrueItem| item.is_withheld || item.withheld_at == tick;
            listing.items.iter_mut().filter(is_withheld).for_each(|item| item.gone_at = tick);
        }
        Some(self.envelope(Page { total, limit: Some(limit as u32), next, next_cursor: None, slots }, to))
    }

    fn envelope(&mut self, page: Page, to: usize) -> Page {
        let next = match take(&mut self.nexts.0).then_some(self.nexts.1) {
            None => page.next,
            Some(None) => Next::Unsaid,
            Some(Some(true)) => Next::Goes { offset: Some(to as u32) },
            Some(Some(false)) => Next::End,
        };
        Page { next, ..page }
    }

    /// Which playlists on a page are miscounted.
    fn miscount(&mut self, entity: EntityType, slots: &mut [Slot]) -> Vec<u32> {
        let mut miscounted = Vec::new();
        if entity != EntityType::Playlists || self.miscounts.is_empty() {
            return miscounted;
        }
        for slot in slots {
            if let Some(segno::model::Item::Playlist(playlist)) = &mut slot.item
                && let Some((count, num)) = self.miscounts.get_mut(&number_of(&playlist.id))
                && take(num)
            {
                playlist.total_items = Some(*count as i32);
                miscounted.push(number_of(&playlist.id));
            }
        }
        miscounted
    }

    /// A false behaviour concerning one playlist begins.
    fn begin_items(&mut self, number: u32, contents: &mut Contents, odd: Odd) {
        match odd {
            Odd::Miscount { count, num, .. } => drop(self.miscounts.insert(number, (count, num))),
            Odd::OldItems { num, .. } => drop(self.old_items.insert(number, num)),
            Odd::HideItem { position, .. } => contents.withheld = position.checked_rem(contents.items.len() as u32),
            Odd::CutItems { rows, num, skip, .. } => drop(self.item_cuts.insert(number, Cut { skip, num, rows })),
            Odd::MiscountItems { delta, num, .. } => drop(self.item_totals.insert(number, (num, delta))),
            Odd::IgnoreItemsOffset { num, .. } => drop(self.item_ignores.insert(number, num)),
            Odd::RefuseItems { num, is_gone, .. } => drop(self.refusals.insert(number, (num, is_gone))),
            _ => {}
        }
    }

    /// Whether the items of a playlist are refused, and how.
    pub fn refuse(&mut self, number: u32) -> Option<Remedy> {
        let (num, is_gone) = self.refusals.get_mut(&number)?;
        take(num).then_some(if *is_gone { Remedy::NotThere } else { Remedy::NotShown })
    }

    /// A page of the items of a playlist.
    pub fn items(&mut self, number: u32, contents: &mut Contents, from: u32, limit: u32, tick: Tick) -> Page {
        let is_old = self.old_items.get_mut(&number).is_some_and(take);
        let edition = contents.past.len();
        let (held, edition) = match contents.past.last() {
            Some((_, before)) if is_old => (before, edition - 1),
            _ => (&contents.items, edition),
        };
        let limit = self.capped(limit);
        contents.was_torn |= limit == 1 && contents.items.len() > 1;
        let is_ignored = self.item_ignores.get_mut(&number).is_some_and(take) && from > 0;
        let from = if is_ignored { 0 } else { from };
        let to = (from as usize + limit).min(held.len());
        let is_given = |at: &usize| Some(*at as u32) != contents.withheld;
        let mut slots: Vec<Slot> =
            (from as usize..to).filter(is_given).map(|at| playlist_item(held[at], edition)).collect();
        let mut next = if to < held.len() { Next::Goes { offset: Some(to as u32) } } else { Next::End };
        let mut total = Some(held.len() as u32).filter(|_| !take(&mut self.uncounted[EntityType::Playlists]));
        if let Some(rows) = self.item_cuts.get_mut(&number).and_then(|cut| cut.next(slots.len())) {
            slots.truncate(rows);
            next = Next::End;
        }
        if let Some((num, delta)) = self.item_totals.get_mut(&number)
            && take(num)
            && num.is_multiple_of(2)
        {
            total = total.map(|total| total.saturating_add_signed(*delta));
            contents.misread_at.push(tick);
        }
        if is_old || is_ignored || slots.len() < to.saturating_sub(from as usize) {
            contents.misread_at.push(tick);
        }
        self.envelope(Page { total, limit: Some(limit as u32), next, next_cursor: None, slots }, to)
    }
}

/// Whether one more is left; takes it.
fn take(num: &mut u32) -> bool {
    let is_left = *num > 0;
    *num = num.saturating_sub(1);
    is_left
}
