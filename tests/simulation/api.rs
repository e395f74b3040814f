//! The model API: what it answers, what it refuses, and the limits that nobody is told.

use super::{
    library::{Item as TrueItem, Library, Listing, Tick, id_of, number_of},
    scenario::Failure,
};
use chrono::DateTime;
use segno::model::{
    Artist, EntityType, Family, Item, LimitClass, Oddity, Page, PageRequest, Playlist, PlaylistItem, PlaylistItemKind,
    SavedAlbum, SavedTrack, Slot, Track,
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

const WINDOW: Duration = Duration::from_secs(30);

/// What comes back.
#[derive(Debug)]
pub enum Answer {
    Page(Page),
    Limited {
        class: LimitClass,
        retry_after: Option<Duration>,
    },
    Failed(Failure),
    /// The sign-in is no longer accepted.
    SignedOut,
}

#[derive(Debug)]
pub struct Api {
    pub hidden_limit: u32,
    counts_refused: bool,
    admitted: VecDeque<Duration>,
    /// Until when it said that it refuses: everything, or a family.
    pub paused: Option<Duration>,
    pub quotas: BTreeMap<Family, Duration>,
    /// The next requests fail, and how.
    pub failing: (u32, Option<Failure>),
    pub down_until: Duration,
    /// The next answers of a listing: what is added to its length, or that there is nothing.
    pub lies: [Lie; 4],
    pub is_signed_out: bool,
    /// What to refuse next, because somebody said so.
    pub refuse_next: Option<(Option<Family>, Option<Duration>)>,
    pub num_requests: u64,
    pub num_refused: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Lie {
    pub num: u32,
    pub delta: i32,
    pub is_empty: bool,
}

impl Api {
    pub fn new(hidden_limit: u32, counts_refused: bool) -> Api {
        Api {
            hidden_limit,
            counts_refused,
            admitted: VecDeque::new(),
            paused: None,
            quotas: BTreeMap::new(),
            failing: (0, None),
            down_until: Duration::ZERO,
            lies: [Lie::default(); 4],
            is_signed_out: false,
            refuse_next: None,
            num_requests: 0,
            num_refused: 0,
        }
    }

    /// Stops everything that is not honest or not well. Limits stay: they are no fault.
    pub fn recover(&mut self) {
        self.failing = (0, None);
        self.down_until = Duration::ZERO;
        self.lies.iter_mut().for_each(|lie| lie.num = 0);
        self.is_signed_out = false;
        self.refuse_next = None;
    }

    pub fn answer(&mut self, request: &PageRequest, library: &mut Library, now: Duration, tick: Tick) -> Answer {
        self.num_requests += 1;
        if let Some(refusal) = self.refuse(request.family(), now) {
            self.num_refused += 1;
            return refusal;
        }
        if self.is_signed_out {
            return Answer::SignedOut;
        }
        if now < self.down_until {
            return Answer::Failed(Failure::Broken);
        }
        if let (1.., Some(how)) = self.failing {
            self.failing.0 -= 1;
            return Answer::Failed(how);
        }
        self.serve(request, library, tick)
    }

    /// Whether it answers at all: what everybody may ask for.
    pub fn probe(&mut self, now: Duration) -> Answer {
        self.num_requests += 1;
        if let Some(refusal) = self.refuse(Family::Application, now) {
            self.num_refused += 1;
            return refusal;
        }
        if self.is_signed_out {
            return Answer::SignedOut;
        }
        if now < self.down_until {
            return Answer::Failed(Failure::Broken);
        }
        if let (1.., Some(how)) = self.failing {
            self.failing.0 -= 1;
            return Answer::Failed(how);
        }
        Answer::Page(Page::default())
    }

    fn refuse(&mut self, family: Family, now: Duration) -> Option<Answer> {
        let seconds = |until: Duration| Duration::from_secs((until - now).as_secs() + 1);
        if let Some(until) = self.quotas.get(&family).copied() {
            if now < until {
                return Some(Answer::Limited { class: LimitClass::Quota, retry_after: Some(seconds(until)) });
            }
            self.quotas.remove(&family);
        }
        if let Some((scope, retry_after)) = self.refuse_next {
            match scope {
                Some(scope) if scope == family => {
                    self.refuse_next = None;
                    // One that does not say how long lasts until nobody asks within the next hours.
                    self.quotas.insert(family, now + retry_after.unwrap_or(Duration::from_secs(3600)));
                    return Some(Answer::Limited { class: LimitClass::Quota, retry_after });
                }
                Some(_) => {}
                None => {
                    self.refuse_next = None;
                    self.paused = retry_after.map(|wait| now + wait);
                    return Some(Answer::Limited { class: LimitClass::Rate, retry_after });
                }
            }
        }
        if let Some(until) = self.paused.filter(|until| now < *until) {
            return Some(Answer::Limited { class: LimitClass::Rate, retry_after: Some(seconds(until)) });
        }
        self.paused = None;
        while self.admitted.front().is_some_and(|at| now - *at >= WINDOW) {
            self.admitted.pop_front();
        }
        let has_room = self.admitted.len() < self.hidden_limit as usize;
        if has_room || self.counts_refused {
            self.admitted.push_back(now);
        }
        if has_room {
            return None;
        }
        let oldest = self.admitted.front().copied().unwrap_or(now);
        Some(Answer::Limited { class: LimitClass::Rate, retry_after: Some(seconds(oldest + WINDOW)) })
    }

    fn serve(&mut self, request: &PageRequest, library: &mut Library, tick: Tick) -> Answer {
        match request {
            PageRequest::Listing { entity, offset, limit } => {
                let listing = library.of_mut(*entity);
                let (total, is_empty) = self.total(listing, tick);
                if is_empty {
                    return Answer::Page(Page { total, slots: Vec::new(), ..Page::default() });
                }
                match slots(listing, *offset as usize, *limit as usize) {
                    Some(slots) => Answer::Page(Page { total, slots, ..Page::default() }),
                    None => Answer::Failed(Failure::Broken),
                }
            }
            PageRequest::Following { after, limit } => {
                let listing = library.of_mut(EntityType::Artists);
                let (total, is_empty) = self.total(listing, tick);
                if is_empty {
                    return Answer::Page(Page { total, slots: Vec::new(), ..Page::default() });
                }
                let from = listing
                    .order
                    .partition_point(|number| after.as_ref().is_some_and(|after| id_of(*number) <= *after));
                let Some(slots) = slots(listing, from, *limit as usize) else { return Answer::Failed(Failure::Broken) };
                let to = from + slots.len();
                let next_cursor = (to < listing.order.len()).then(|| id_of(listing.order[to - 1]));
                Answer::Page(Page { total, next_cursor, slots, ..Page::default() })
            }
            PageRequest::PlaylistItems { playlist_id, offset, limit } => {
                // One that left the library can still be read.
                let item = library.of(EntityType::Playlists).item(number_of(playlist_id));
                let (contents, from) = (&item.contents, *offset as usize);
                let to = (from + *limit as usize).min(contents.items.len());
                if contents.spoilt.is_some_and(|at| (from..to).contains(&(at as usize))) {
                    return Answer::Failed(Failure::Broken);
                }
                let slots = contents.items.get(from..to).unwrap_or_default().iter().map(|item| playlist_item(*item));
                let (total, slots) = (Some(contents.items.len() as u32), slots.collect());
                Answer::Page(Page { total, slots, ..Page::default() })
            }
        }
    }

    /// The length as it is told, and whether nothing is shown.
    fn total(&mut self, listing: &mut Listing, tick: Tick) -> (Option<u32>, bool) {
        let (len, lie) = (listing.order.len() as u32, &mut self.lies[listing.entity as usize]);
        if lie.num == 0 {
            return (Some(len), false);
        }
        lie.num -= 1;
        listing.is_veiled = true;
        if lie.is_empty {
            listing.emptied_at.push(tick);
            (Some(0), true)
        } else {
            (Some(len.saturating_add_signed(lie.delta)), false)
        }
    }
}

/// A page, unless something on it cannot be served.
fn slots(listing: &Listing, from: usize, limit: usize) -> Option<Vec<Slot>> {
    let to = (from + limit).min(listing.order.len());
    let numbers = listing.order.get(from..to).unwrap_or_default();
    if numbers.iter().any(|number| listing.item(*number).is_spoilt) {
        return None;
    }
    Some(numbers.iter().map(|number| slot(listing.entity, *number, listing.item(*number))).collect())
}

fn slot(entity: EntityType, number: u32, item: &TrueItem) -> Slot {
    let is_dated = matches!(entity, EntityType::Tracks | EntityType::Albums);
    let added_at = DateTime::from_timestamp(item.added_at, 0).filter(|_| is_dated);
    if let Some(tells_date) = item.silent.or(item.is_null.then_some(number.is_multiple_of(2))) {
        return Slot { item: None, added_at: added_at.filter(|_| tells_date), odd: Some(Oddity::Null) };
    }
    Slot { item: Some(content(entity, id_of(number), item)), added_at, odd: None }
}

fn content(entity: EntityType, id: String, item: &TrueItem) -> Item {
    let (name, added_at) = (String::new(), DateTime::from_timestamp(item.added_at, 0));
    match entity {
        EntityType::Tracks => {
            let track = Track {
                id,
                uri: None,
                name,
                album: None,
                duration_ms: None,
                explicit: None,
                disc_number: None,
                track_number: None,
                isrc: None,
                artists: Vec::new(),
            };
            Item::Track(Box::new(SavedTrack { added_at, track }))
        }
        EntityType::Albums => {
            let album = segno::model::Album {
                id,
                name,
                album_type: None,
                release_date: None,
                release_date_precision: None,
                total_tracks: None,
                upc: None,
                image_url: None,
                artists: Vec::new(),
            };
            Item::Album(Box::new(SavedAlbum { added_at, album, tracks: Vec::new() }))
        }
        EntityType::Artists => Item::Artist(Box::new(Artist { id, name, genres: None, image_url: None })),
        EntityType::Playlists => {
            let contents = &item.contents;
            Item::Playlist(Box::new(Playlist {
                id,
                name,
                description: None,
                owner_id: None,
                owner_name: None,
                public: None,
                collaborative: None,
                snapshot_id: Some(contents.shown.unwrap_or(contents.snapshot).to_string()),
                total_items: Some(contents.items.len() as i32),
                image_url: None,
            }))
        }
    }
}

fn playlist_item(number: u32) -> Slot {
    let (kind, name) = (PlaylistItemKind::Local, Some(number.to_string()));
    let item = PlaylistItem { kind, uri: None, name, added_at: None, added_by: None, track: None };
    Slot { item: Some(Item::PlaylistItem(Box::new(item))), added_at: None, odd: None }
}
