//! One small world: a library that changes, an API that fails, a database that keeps what was committed.

mod commits;
mod lies;

pub use lies::Lie;

use super::{
    database::Database,
    rows::{playlist_item, slot},
};
use crate::{
    engine::{
        run::{BatchSizes, Draft, EntityRun, Purpose, RunEnd, RunMode, RunPlan, Step, Ticket},
        sweep::RemovalGuard,
    },
    model::{
        Checkpoint, EntityType, FIRST_CURSOR, Family, Fault, LimitClass, ListingOrder, Oddity, Page, PageRequest,
        Pause, Slot,
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const BATCHES: BatchSizes = BatchSizes { initial: 200, incremental: 50 };

/// Parameters of one simulation.
#[derive(Debug, Clone, Copy)]
pub struct Conditions {
    pub entity: EntityType,
    pub size: usize,
    /// Edits, crashes and refusals per thousand steps.
    pub edits: u32,
    pub crashes: u32,
    pub refusals: u32,
    /// Slots holding no item.
    pub nulls: bool,
    /// Slots that the API cannot serve, until healed.
    pub bad_slots: usize,
    /// How many items in a hundred are saved at the same moment as the previous one.
    pub ties: u32,
}

impl Conditions {
    pub fn calm(entity: EntityType, size: usize) -> Conditions {
        Conditions { entity, size, edits: 0, crashes: 0, refusals: 0, nulls: false, bad_slots: 0, ties: 0 }
    }
}

/// How an answer conceals the items of a playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// The length is right, but the items are missing.
    NoItems,
    /// The length is zero as well.
    NoLength,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: Option<String>,
    pub added_at: i64,
    /// For playlists.
    pub snapshot: u64,
    pub items: Vec<u64>,
}

/// Something that happens to a world.
pub type Edit = fn(&mut World);

pub struct World {
    seed: u64,
    random: fastrand::Rng,
    pub conditions: Conditions,
    pub library: Vec<Entry>,
    clock: i64,
    pub database: Database,
    /// Items that were missing from the library at some moment since the run began.
    absent: BTreeSet<String>,
    pub bad: BTreeSet<String>,
    /// Items whose rows are unreadable.
    pub unread: BTreeSet<String>,
    /// Playlists whose items are concealed: for how many more answers, and how.
    pub denied: BTreeMap<String, (u32, Denial)>,
    pub requests: u32,
    pub lie: Lie,
    /// What the runs from here on are for, and when they begin.
    pub purpose: Purpose,
    pub now: DateTime<Utc>,
    /// Times that a run looked for what was missing without a walk.
    pub num_searches: u32,
    /// Whether the listing of playlists says how many items each has.
    pub tells_lengths: bool,
    /// The process dies once this many commits are done.
    pub dies_after: Option<u32>,
    /// What happens before the n-th request of this world is answered.
    pub edits_at: BTreeMap<u32, Edit>,
    last_removed: Option<Entry>,
    /// Items that came in behind the head: what only a verifying pass can find.
    slipped: BTreeSet<String>,
    next_id: u64,
}

impl World {
    pub fn new(seed: u64, conditions: Conditions) -> World {
        let mut world = World {
            seed,
            random: fastrand::Rng::with_seed(seed),
            conditions,
            library: Vec::new(),
            clock: 1_700_000_000,
            database: Database::default(),
            absent: BTreeSet::new(),
            bad: BTreeSet::new(),
            unread: BTreeSet::new(),
            denied: BTreeMap::new(),
            requests: 0,
            lie: Lie::Nothing,
            purpose: Purpose::Current,
            now: DateTime::from_timestamp(1_790_000_000, 0).expect("a time"),
            num_searches: 0,
            tells_lengths: true,
            dies_after: None,
            edits_at: BTreeMap::new(),
            last_removed: None,
            slipped: BTreeSet::new(),
            next_id: 0,
        };
        (0..conditions.size).for_each(|_| world.add());
        for _ in 0..conditions.bad_slots {
            let at = world.random.usize(0..world.library.len());
            world.bad.extend(world.library[at].id.clone());
        }
        world
    }

    pub fn add(&mut self) {
        self.next_id += 1;
        let pause = self.random.i64(0..3);
        self.clock += if self.random.u32(0..100) < self.conditions.ties { 0 } else { pause };
        // One more null row and one removal between two runs cancel out in the count; only a verifying pass can tell.
        // So null rows are there from the start.
        let null = self.conditions.nulls && self.next_id <= self.conditions.size as u64 && self.random.u32(0..40) == 0;
        let id = (!null).then(|| format!("{:05}-{}", self.random.u32(0..99_999), self.next_id));
        self.absent.extend(id.clone());
        let num_items = [0, 1, 30, 50, 51, 100, 230][self.random.usize(0..7)];
        let items = if self.conditions.entity.has_items() { 0..num_items } else { 0..0 };
        let entry = Entry {
            id,
            added_at: self.clock,
            snapshot: self.next_id * 1000,
            items: items.map(|_| self.random.u64(..)).collect(),
        };
        let at = match self.conditions.entity.facts().order {
            ListingOrder::ById => self.library.partition_point(|other| other.id < entry.id),
            ListingOrder::Arranged => self.random.usize(0..=self.library.len()),
            ListingOrder::NewestFirst => 0,
        };
        self.library.insert(at, entry);
    }

    pub fn remove(&mut self, at: usize) -> Entry {
        let entry = self.library.remove(at);
        self.absent.extend(entry.id.clone());
        self.last_removed = Some(entry.clone());
        entry
    }

    /// The last removed item is saved again, and stands first.
    pub fn save_again(&mut self) {
        let Some(mut entry) = self.last_removed.take() else { return };
        self.clock += 1;
        entry.added_at = self.clock;
        self.library.insert(0, entry);
    }

    /// An item comes in behind the head, added at the same moment as the one at this place.
    pub fn slip_in(&mut self, at: usize) {
        self.add();
        let mut entry = self.library.remove(0);
        entry.added_at = self.library[at].added_at;
        self.slipped.extend(entry.id.clone());
        self.library.insert(at, entry);
    }

    /// A random item's place.
    pub fn anywhere(&mut self) -> usize {
        self.random.usize(0..self.library.len())
    }

    /// Another snapshot of a playlist, with the same items.
    pub fn touch(&mut self, id: &str) {
        let entry = self.library.iter_mut().find(|entry| entry.id.as_deref() == Some(id)).expect("in the library");
        entry.snapshot += 1;
    }

    /// The items of a playlist, as the database holds them.
    pub fn items_of(&self, id: &str) -> Vec<u64> {
        self.database.items_of.get(id).map(|(_, items)| items.values().copied().collect()).unwrap_or_default()
    }

    /// How many rows are marked removed.
    pub fn num_removed(&self) -> usize {
        self.database.rows.values().filter(|row| row.1).count()
    }

    /// A removed item is saved again, and stands first.
    pub fn resave(&mut self, at: usize) {
        let mut entry = self.remove(at);
        self.clock += 1;
        entry.added_at = self.clock;
        self.library.insert(0, entry);
    }

    pub fn edit(&mut self) {
        let len = self.library.len();
        match self.random.u32(0..10) {
            0..4 => self.add(),
            _ if len == 0 => self.add(),
            4..7 => {
                // Removals are often bunched, and often at the head.
                let at = if self.random.bool() { 0 } else { self.random.usize(0..len) };
                for _ in 0..self.random.usize(1..4).min(len - at) {
                    self.remove(at);
                }
            }
            7 if !self.conditions.entity.is_by_cursor() => {
                let at = self.random.usize(0..len);
                self.resave(at);
            }
            _ => {
                let at = self.random.usize(0..len);
                if self.conditions.entity.has_items() {
                    let (cut, grow) = (self.random.bool(), self.random.u64(..));
                    let entry = &mut self.library[at];
                    entry.snapshot += 1;
                    if cut && !entry.items.is_empty() {
                        let item = self.random.usize(0..entry.items.len());
                        entry.items.remove(item);
                    }
                    if !cut || self.random.bool() {
                        let item = self.random.usize(0..=entry.items.len());
                        entry.items.insert(item, grow);
                    }
                }
            }
        }
    }

    fn answer(&mut self, request: &PageRequest) -> Result<Page, Fault> {
        let is_listing = !matches!(request, PageRequest::PlaylistItems { .. });
        match std::mem::take(&mut self.lie) {
            lie @ Lie::StaleBehind { .. } => {
                self.lie = lie;
                let Lie::StaleBehind { from, library } = &mut self.lie else { unreachable!("it was just put there") };
                let is_stale = matches!(request, PageRequest::Listing { offset, .. } if offset >= from);
                if !is_stale {
                    return self.answer_truly(request);
                }
                std::mem::swap(library, &mut self.library);
                let page = self.answer_truly(request);
                if let Lie::StaleBehind { library, .. } = &mut self.lie {
                    std::mem::swap(library, &mut self.library);
                }
                page
            }
            lie => {
                self.lie = lie.clone();
                let request = match (&lie, request) {
                    (Lie::OffsetIgnored, PageRequest::Listing { entity, limit, .. }) => {
                        PageRequest::Listing { entity: *entity, offset: 0, limit: *limit }
                    }
                    (Lie::CursorTurns { length }, PageRequest::Following { after, limit }) => {
                        let page_of =
                            |after: &String| self.library.iter().position(|entry| entry.id.as_ref() == Some(after));
                        let number = after.as_ref().and_then(page_of).map_or(0, |at| at as u32 / limit + 1);
                        let after = if number >= *length { None } else { after.clone() };
                        PageRequest::Following { after, limit: *limit }
                    }
                    (_, request) => request.clone(),
                };
                let mut page = self.answer_truly(&request)?;
                if is_listing {
                    self.spoil(lie, &request, &mut page);
                }
                Ok(page)
            }
        }
    }

    fn answer_truly(&mut self, request: &PageRequest) -> Result<Page, Fault> {
        self.requests += 1;
        if let Some(edit) = self.edits_at.remove(&self.requests) {
            edit(self);
        }
        if self.random.u32(0..1000) < self.conditions.refusals {
            return Err(match self.random.u32(0..3) {
                0 => Fault::Unreachable("down".into()),
                1 => Fault::SignIn("sign in again".into()),
                _ => {
                    let until = DateTime::from_timestamp(self.clock, 0).unwrap();
                    Fault::Paused(Pause { scope: Family::Application, class: LimitClass::Rate, until })
                }
            });
        }
        let page = |entries: &[Entry], offset: u32, limit: u32| -> Result<Vec<Slot>, Fault> {
            let from = (offset as usize).min(entries.len());
            let to = (from + limit as usize).min(entries.len());
            let range = &entries[from..to];
            if range.iter().any(|entry| entry.id.as_ref().is_some_and(|id| self.bad.contains(id))) {
                return Err(Fault::Unservable("502".into()));
            }
            let null = || Slot { item: None, added_at: None, odd: Some(Oddity::Null) };
            let is_unread = |entry: &Entry| entry.id.as_ref().is_some_and(|id| self.unread.contains(id));
            let told = |entry| if is_unread(entry) { null() } else { slot(self.conditions.entity, entry) };
            Ok(range.iter().map(told).collect())
        };
        let total = Some(self.library.len() as u32);
        match request {
            PageRequest::Listing { offset, limit, .. } => {
                Ok(Page { total, slots: page(&self.library, *offset, *limit)?, ..Page::default() })
            }
            PageRequest::Following { after, limit } => {
                let from =
                    self.library.partition_point(|entry| entry.id <= *after && after.as_deref() != Some(FIRST_CURSOR));
                let slots = page(&self.library, from as u32, *limit)?;
                let to = from + slots.len();
                let next_cursor = if to < self.library.len() {
                    self.library[..to].last().and_then(|last| last.id.clone())
                } else {
                    None
                };
                Ok(Page { total, next_cursor, slots, ..Page::default() })
            }
            PageRequest::PlaylistItems { playlist_id, offset, limit } => {
                let Some(entry) = self.library.iter().find(|entry| entry.id.as_ref() == Some(playlist_id)) else {
                    return Err(Fault::Gone("no such playlist".into()));
                };
                if let Some((left, denial)) = self.denied.get_mut(playlist_id).filter(|(left, _)| *left > 0) {
                    *left -= 1;
                    let total = match denial {
                        Denial::NoItems => Some(entry.items.len() as u32),
                        Denial::NoLength => Some(0),
                    };
                    return Ok(Page { total, slots: Vec::new(), ..Page::default() });
                }
                let items = entry.items.iter().skip(*offset as usize).take(*limit as usize);
                let slots = items.map(|item| playlist_item(*item)).collect();
                Ok(Page { total: Some(entry.items.len() as u32), slots, ..Page::default() })
            }
        }
    }

    /// One process: a run until it ends, or until it crashes (`None`).
    pub fn run(&mut self, disturbed: bool) -> Option<RunEnd> {
        self.now += TimeDelta::seconds(2);
        let mode = RunMode::of(self.database.initial.clone(), self.database.incremental.clone());
        let present: BTreeSet<String> = self.library.iter().filter_map(|entry| entry.id.clone()).collect();
        self.absent = self.database.rows.keys().filter(|id| !present.contains(*id)).cloned().collect();
        let mut run = EntityRun::new(RunPlan {
            entity: self.conditions.entity,
            mode,
            num_active: self.database.rows.values().filter(|row| !row.1).count() as u32,
            open_gaps: self.database.gaps.clone(),
            batches: BATCHES,
            purpose: self.purpose,
            guard: RemovalGuard { wait: Duration::ZERO, ..RemovalGuard::default() },
            now: self.now,
        });
        let (mut in_flight, mut committing): (Vec<(Ticket, PageRequest)>, Option<Draft>) = (Vec::new(), None);
        for _ in 0..200_000 {
            while let Some(step) = run.poll() {
                match step {
                    Step::Fetch { ticket, request, .. } => in_flight.push((ticket, request)),
                    Step::Commit(draft) => assert!(committing.replace(*draft).is_none(), "one commit at a time"),
                    Step::SwitchPhase(phase) => run.handle_switched(Checkpoint::start(phase)),
                    Step::ListStale => {
                        let mut stale = self.database.stale();
                        if !self.tells_lengths {
                            stale.iter_mut().for_each(|playlist| playlist.total_items = None);
                        }
                        run.handle_stale(stale);
                    }
                    Step::ListMembers(wanted) => {
                        self.num_searches += u32::from(self.purpose == Purpose::Current);
                        run.handle_members(self.database.members(wanted));
                    }
                    Step::End(end) => {
                        self.check_end(&end, &present);
                        return Some(end);
                    }
                }
            }
            if disturbed {
                if self.random.u32(0..1000) < self.conditions.edits {
                    self.edit();
                }
                if self.random.u32(0..1000) < self.conditions.crashes {
                    if let Some(draft) = committing.filter(|_| self.random.bool()) {
                        self.commit(&draft);
                    }
                    return None;
                }
            }
            let commits = committing.is_some() && (in_flight.is_empty() || self.random.bool());
            if let Some(draft) = committing.take_if(|_| commits) {
                let report = self.commit(&draft);
                run.handle_committed(report);
                self.dies_after = self.dies_after.map(|commits| commits - 1);
                if self.dies_after.take_if(|commits| *commits == 0).is_some() {
                    return None;
                }
            } else if !in_flight.is_empty() {
                let at = self.random.usize(0..in_flight.len());
                let (ticket, request) = in_flight.swap_remove(at);
                let answer = self.answer(&request);
                run.handle_page(ticket, answer);
            } else {
                panic!("seed {}: the run waits for nothing: {run:?}", self.seed);
            }
        }
        panic!("seed {}: the run does not end", self.seed);
    }
}
