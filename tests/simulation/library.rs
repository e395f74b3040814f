//! The true library, with its history: what is in it, since when, and when it last was not. It is the oracle's only
//! source of truth.

use super::scenario::ItemEdit;
use segno::model::{EntityType, ListingOrder, PerEntity};

/// The time of an event, as a count of all events in the world; 0 is the beginning.
pub type Tick = u32;

/// For scrambling: ids that are not in order of creation.
const FACTOR: u32 = 0x9E37_79B1;
const INVERSE: u32 = inverse(FACTOR);

const fn inverse(odd: u32) -> u32 {
    let (mut inverse, mut round) = (odd, 0);
    while round < 5 {
        inverse = inverse.wrapping_mul(2u32.wrapping_sub(odd.wrapping_mul(inverse)));
        round += 1;
    }
    inverse
}

/// The id of the n-th item that was ever made.
pub fn id_of(number: u32) -> String {
    let scrambled = number.wrapping_mul(FACTOR);
    let digit = |at: u32| char::from_digit((scrambled >> (28 - 4 * at)) & 15, 16).expect("a hexadecimal digit");
    (0..8).map(digit).collect()
}

/// The number of an item, from its id.
pub fn number_of(id: &str) -> u32 {
    u32::from_str_radix(id, 16).expect("ids are ours").wrapping_mul(INVERSE)
}

#[derive(Debug)]
pub struct Library {
    pub listings: PerEntity<Listing>,
    /// Seconds since 1970, as the source dates saved items.
    now: i64,
    num_snapshots: u32,
}

#[derive(Debug)]
pub struct Listing {
    pub entity: EntityType,
    /// Numbers of the items, as they are listed.
    pub order: Vec<u32>,
    /// Every item that has ever existed, by number.
    pub items: Vec<Item>,
    /// Whether something happened that a count cannot reveal: an item out of order, a row that became unreadable, a
    /// wrong length.
    pub is_veiled: bool,
    /// When it was shown as empty, although it was not.
    pub emptied_at: Vec<Tick>,
    /// What the last page lacked and hid by being as long as any. Only a page behind it shows that.
    pub left_out: Option<u32>,
    /// Edits since a page of it was last committed, and whether one of them was a move.
    num_edits: u32,
    has_moved: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Item {
    pub added_at: i64,
    /// It never had an object: a row that is just `null`, or has only its date.
    pub is_null: bool,
    pub is_listed: bool,
    /// When it was last not in the library.
    pub gone_at: Tick,
    /// When it was last in it but could not be seen: not served, unreadable, or moved from one place to another.
    pub hidden_at: Tick,
    /// Whether its row is unreadable now; `Some(true)` if it still has its date.
    pub silent: Option<bool>,
    /// When its row last became readable, and how it had been unreadable until then.
    pub spoke: Option<(Tick, bool)>,
    pub is_spoilt: bool,
    /// It is counted but not given.
    pub is_withheld: bool,
    /// When it was last at a place where a page contained fewer or other rows than it should.
    pub withheld_at: Tick,
    /// It was added, or became readable, where no run looks unless it walks.
    pub is_overlooked: bool,
    pub contents: Contents,
}

impl Item {
    /// How its row was unreadable at some moment since then.
    pub fn silent_since(&self, since: Tick) -> Option<bool> {
        self.silent.or(self.spoke.filter(|(at, _)| *at >= since).map(|(_, is_dated)| is_dated))
    }
}

/// The items of a playlist.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    pub snapshot: u32,
    /// What the listing shows while it lags behind.
    pub shown: Option<u32>,
    pub items: Vec<u32>,
    /// What it contained before, and until when.
    pub past: Vec<(Tick, Vec<u32>)>,
    /// When the listing last showed an older snapshot than it should.
    pub lagged_at: Tick,
    /// A position that cannot be served, and one that is counted but not given.
    pub spoilt: Option<u32>,
    pub withheld: Option<u32>,
    /// A position of it could not be served at some time, or its pages held one item each, which cannot be linked.
    pub was_torn: bool,
    /// Somebody is at work on it: it changes once more as soon as it is read.
    pub is_worked_on: bool,
    /// When its items were shown wrongly.
    pub misread_at: Vec<Tick>,
    /// For the oracle: the reading that it last checked, when that was, and whether it could not be distinguished from
    /// the truth.
    pub judged: (i64, Tick),
    pub is_misread: bool,
}

impl Contents {
    /// The listing shows the latest snapshot from now on.
    pub fn show(&mut self, tick: Tick) {
        if self.shown.take().is_some() {
            self.lagged_at = tick;
        }
    }

    /// All that it contained at some moment since then.
    pub fn versions_since(&self, tick: Tick) -> impl Iterator<Item = &[u32]> {
        let past = self.past.iter().filter(move |(until, _)| *until > tick).map(|(_, items)| items.as_slice());
        past.chain([self.items.as_slice()])
    }

    /// Whether the listing has shown the latest snapshot ever since.
    pub fn was_shown_since(&self, tick: Tick) -> bool {
        self.shown.is_none() && self.lagged_at <= tick
    }
}

impl Library {
    pub fn new() -> Library {
        let listing = |entity| Listing {
            entity,
            order: Vec::new(),
            items: Vec::new(),
            is_veiled: false,
            emptied_at: Vec::new(),
            left_out: None,
            num_edits: 0,
            has_moved: false,
        };
        Library { listings: PerEntity::from_fn(listing), now: 1_700_000_000, num_snapshots: 0 }
    }

    pub fn of(&self, entity: EntityType) -> &Listing {
        &self.listings[entity]
    }

    pub fn of_mut(&mut self, entity: EntityType) -> &mut Listing {
        &mut self.listings[entity]
    }

    /// Creates a new item and lists it where it belongs. `is_tied`: added at the same moment as the one before.
    pub fn add(&mut self, entity: EntityType, contents: Vec<u32>, is_tied: bool, tick: Tick) -> u32 {
        self.num_snapshots += 1;
        self.now += i64::from(!is_tied);
        let contents = Contents { snapshot: self.num_snapshots, items: contents, ..Contents::default() };
        let item = Item { contents, gone_at: tick, ..Item::default() };
        let now = self.now;
        let listing = self.of_mut(entity);
        let number = listing.items.len() as u32;
        listing.items.push(item);
        listing.list(number, now);
        number
    }

    /// The same, unless something in the listing has just been moved.
    pub fn add_if_quiet(&mut self, entity: EntityType, contents: Vec<u32>, is_tied: bool, tick: Tick) {
        if !self.of(entity).has_moved {
            self.add(entity, contents, is_tied, tick);
        }
    }

    /// A moment later than all before.
    pub fn later(&mut self) -> i64 {
        self.now += 1;
        self.now
    }

    pub fn remove(&mut self, entity: EntityType, at: u32, count: u32, tick: Tick) {
        let listing = self.of_mut(entity);
        if listing.may_edit() && !listing.order.is_empty() {
            let from = at as usize % listing.order.len();
            let to = (from + count as usize).min(listing.order.len());
            for number in listing.order.drain(from..to) {
                let item = &mut listing.items[number as usize];
                item.is_listed = false;
                item.gone_at = tick;
            }
        }
    }

    pub fn resave(&mut self, entity: EntityType, at: u32, tick: Tick) {
        let now = self.later();
        let listing = self.of_mut(entity);
        if listing.may_edit() && !listing.order.is_empty() {
            let at = at as usize % listing.order.len();
            let number = listing.order.remove(at);
            listing.items[number as usize].gone_at = tick;
            listing.list(number, now);
        }
    }

    /// A removed item is listed again; not an unreadable row, since one more of those hides a removal.
    pub fn restore(&mut self, entity: EntityType, at: u32, tick: Tick) {
        let now = self.later();
        let listing = self.of_mut(entity);
        let gone: Vec<u32> = (0..listing.items.len() as u32)
            .filter(|n| !listing.item(*n).is_listed && !listing.item(*n).is_null)
            .collect();
        if listing.may_edit() && !gone.is_empty() {
            let number = gone[at as usize % gone.len()];
            listing.items[number as usize].gone_at = tick;
            listing.list(number, now);
        }
    }

    /// Lists a new item somewhere in the middle, with the date of that place.
    pub fn misplace(&mut self, entity: EntityType, at: u32, tick: Tick) {
        let number = self.add(entity, Vec::new(), true, tick);
        let listing = self.of_mut(entity);
        if !entity.is_newest_first() || listing.order.len() < 3 {
            return;
        }
        listing.order.remove(0);
        let at = 1 + at as usize % (listing.order.len() - 1);
        let before = listing.order[at - 1];
        let added_at = listing.item(before).added_at;
        listing.order.insert(at, number);
        let item = &mut listing.items[number as usize];
        (item.added_at, item.is_overlooked) = (added_at, true);
        listing.is_veiled = true;
    }

    /// Two moves between two pages, in opposite directions, would not show in the pages; so there is one.
    pub fn shift(&mut self, at: u32, to: u32, tick: Tick) {
        let listing = self.of_mut(EntityType::Playlists);
        if listing.num_edits == 0 && !listing.order.is_empty() {
            let (at, to) = (at as usize % listing.order.len(), to as usize % listing.order.len());
            let number = listing.order.remove(at);
            listing.order.insert(to, number);
            listing.items[number as usize].hidden_at = tick;
            listing.has_moved = true;
            listing.num_edits += 1;
        }
    }

    /// The playlist at a place, with the next snapshot, ready for a change.
    pub fn touch(&mut self, at: u32, lags: bool, tick: Tick) -> Option<&mut Contents> {
        self.num_snapshots += 1;
        let snapshot = self.num_snapshots;
        let listing = self.of_mut(EntityType::Playlists);
        let at = (at as usize).checked_rem(listing.order.len())?;
        let contents = &mut listing.items[listing.order[at] as usize].contents;
        let shown = contents.shown.unwrap_or(contents.snapshot);
        contents.snapshot = snapshot;
        if lags {
            contents.shown = Some(shown);
        } else {
            contents.show(tick);
        }
        Some(contents)
    }

    pub fn edit_items(&mut self, at: u32, position: u32, edit: ItemEdit, lags: bool, tick: Tick) {
        let Some(contents) = self.touch(at, lags, tick) else { return };
        contents.is_worked_on = !lags && position.is_multiple_of(2);
        let Contents { items, past, snapshot, .. } = contents;
        past.push((tick, items.clone()));
        let len = items.len();
        let position = position as usize;
        match edit {
            ItemEdit::Insert => items.insert(position % (len + 1), 1_000_000 + *snapshot),
            _ if len == 0 => {}
            ItemEdit::Remove => drop(items.remove(position % len)),
            ItemEdit::Replace => items[position % len] = 1_000_000 + *snapshot,
            ItemEdit::Move => {
                let item = items.remove(position % len);
                items.insert((position >> 8) % len, item);
            }
        }
    }

    /// A page of a playlist has been read.
    pub fn work_on(&mut self, number: u32, tick: Tick) {
        self.num_snapshots += 1;
        let snapshot = self.num_snapshots;
        let contents = &mut self.of_mut(EntityType::Playlists).items[number as usize].contents;
        if std::mem::take(&mut contents.is_worked_on) {
            contents.past.push((tick, contents.items.clone()));
            contents.snapshot = snapshot;
            contents.items.push(1_000_000 + snapshot);
        }
    }
}

impl Listing {
    pub fn item(&self, number: u32) -> &Item {
        &self.items[number as usize]
    }

    pub fn at(&mut self, at: u32) -> Option<&mut Item> {
        let at = (at as usize).checked_rem(self.order.len())?;
        Some(&mut self.items[self.order[at] as usize])
    }

    /// A page of it was committed.
    pub fn note_read(&mut self) {
        (self.num_edits, self.has_moved) = (0, false);
    }

    /// These places were requested but not given.
    pub fn withhold(&mut self, places: std::ops::Range<usize>, tick: Tick) {
        for number in self.order.get(places).unwrap_or_default() {
            self.items[*number as usize].withheld_at = tick;
        }
    }

    /// These were shown as gone.
    pub fn deny(&mut self, is_denied: impl Fn(u32, i64) -> bool, tick: Tick) {
        for number in &self.order {
            let item = &mut self.items[*number as usize];
            if is_denied(*number, item.added_at) {
                item.gone_at = tick;
            }
        }
    }

    fn may_edit(&mut self) -> bool {
        let may = !self.has_moved;
        self.num_edits += u32::from(may);
        may
    }

    fn list(&mut self, number: u32, added_at: i64) {
        self.num_edits += 1;
        let item = &mut self.items[number as usize];
        (item.is_listed, item.added_at) = (true, added_at);
        let at = match self.entity.facts().order {
            ListingOrder::ById => {
                let key = number.wrapping_mul(FACTOR);
                self.order.partition_point(|other| other.wrapping_mul(FACTOR) < key)
            }
            // They are inserted anywhere; the ids serve as randomness.
            ListingOrder::Arranged => number.wrapping_mul(FACTOR) as usize % (self.order.len() + 1),
            ListingOrder::NewestFirst => 0,
        };
        self.order.insert(at, number);
    }

    /// Whether it has been in the library, and visible, ever since.
    pub fn was_there_since(&self, number: u32, tick: Tick) -> bool {
        let item = self.item(number);
        let is_seen =
            !item.is_null && !item.is_withheld && item.silent.is_none() && !item.is_spoilt && !item.is_overlooked;
        item.is_listed && is_seen && item.gone_at <= tick && item.hidden_at <= tick
    }

    /// Whether it was out of the library at some moment since.
    pub fn was_gone_since(&self, number: u32, tick: Tick) -> bool {
        let item = self.item(number);
        !item.is_listed || item.gone_at > tick
    }
}
