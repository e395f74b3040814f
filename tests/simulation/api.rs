//! The model API: what it answers, what it refuses, and its undisclosed limits.

use super::{
    library::{Item as TrueItem, Library, Listing, Tick, id_of, number_of},
    listener::Shown,
    odds::Odds,
    scenario::Failure,
};
use chrono::{DateTime, Utc};
use segno::model::{
    Artist, Audiobook, EntityType, Episode, Family, Item, LimitClass, Oddity, Page, PageRequest, PerEntity, Playlist,
    PlaylistItem, PlaylistItemKind, Remedy, SavedAlbum, SavedTrack, Show, Slot, Track,
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
    Plays(Shown),
    Limited {
        class: LimitClass,
        retry_after: Option<Duration>,
    },
    Failed(Failure),
    /// The items of this playlist are refused.
    Refused(Remedy),
    /// The sign-in is no longer accepted.
    SignedOut,
    /// The token endpoint must not be asked for this long, so nothing was sent.
    NoToken(Duration),
}

#[derive(Debug)]
pub struct Api {
    pub hidden_limit: u32,
    counts_refused: bool,
    admitted: VecDeque<Duration>,
    /// Until when it announced that it refuses: everything, or a family.
    pub paused: Option<Duration>,
    pub quotas: BTreeMap<Family, Duration>,
    /// The next requests fail, and how.
    pub failing: (u32, Option<Failure>),
    pub down_until: Duration,
    /// Until when no access token is issued.
    pub tokenless_until: Duration,
    /// The next answers of a listing: what is added to its length, or that it claims to be empty.
    pub lies: PerEntity<Lie>,
    pub is_signed_out: bool,
    /// What to refuse next, on request.
    pub refuse_next: Option<(Option<Family>, Option<Duration>)>,
    pub odds: Odds,
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
            tokenless_until: Duration::ZERO,
            lies: PerEntity::default(),
            is_signed_out: false,
            refuse_next: None,
            odds: Odds::default(),
            num_requests: 0,
            num_refused: 0,
        }
    }

    /// Stops all false answers and failures. Limits stay: they are not faults.
    pub fn recover(&mut self) {
        self.failing = (0, None);
        (self.down_until, self.tokenless_until) = (Duration::ZERO, Duration::ZERO);
        self.lies.values_mut().for_each(|lie| lie.num = 0);
        self.is_signed_out = false;
        self.refuse_next = None;
    }

    pub fn answer(&mut self, request: &PageRequest, library: &mut Library, now: Duration, tick: Tick) -> Answer {
        match self.take_in(request.family(), now) {
            Some(trouble) => trouble,
            None => self.serve(request, library, tick),
        }
    }

    /// Whether it answers at all: a request that is always permitted.
    pub fn probe(&mut self, now: Duration) -> Answer {
        self.take_in(Family::Application, now).unwrap_or(Answer::Page(Page::default()))
    }

    /// Counts a request, and returns the answer if that is not a page.
    pub fn take_in(&mut self, family: Family, now: Duration) -> Option<Answer> {
        self.num_requests += 1;
        if let Some(refusal) = self.refuse(family, now) {
            self.num_refused += 1;
            return Some(refusal);
        }
        if self.is_signed_out {
            return Some(Answer::SignedOut);
        }
        if now < self.down_until {
            return Some(Answer::Failed(Failure::Broken));
        }
        let (1.., Some(how)) = self.failing else { return None };
        self.failing.0 -= 1;
        Some(Answer::Failed(how))
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
                    // A quota without a given end lasts until there are no requests for some hours.
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
            PageRequest::Listing { .. } | PageRequest::Following { .. } => {
                let entity = match request {
                    PageRequest::Listing { entity, .. } => *entity,
                    _ => EntityType::Artists,
                };
                let listing = library.of_mut(entity);
                let (total, is_empty) = self.total(listing);
                let page = match is_empty {
                    true => Some(Page { total, ..Page::default() }),
                    false => self.odds.page(request, library, total, tick),
                };
                let Some(page) = page else { return Answer::Failed(Failure::Broken) };
                let listing = library.of_mut(entity);
                // A wrong total and a hidden row come to the same.
                if page.total == Some(0) && page.slots.is_empty() && !listing.order.is_empty() {
                    listing.emptied_at.push(tick);
                }
                Answer::Page(page)
            }
            PageRequest::PlaylistItems { playlist_id, offset, limit } => {
                // One that left the library can still be read.
                let number = number_of(playlist_id);
                if let Some(refusal) = self.odds.refuse(number) {
                    return Answer::Refused(refusal);
                }
                let contents = &mut library.of_mut(EntityType::Playlists).items[number as usize].contents;
                if contents.spoilt.is_some_and(|at| (*offset..offset + limit).contains(&at)) {
                    return Answer::Failed(Failure::Broken);
                }
                let page = self.odds.items(number, contents, *offset, *limit, tick);
                library.work_on(number, tick);
                Answer::Page(page)
            }
        }
    }

    /// The claimed length, and whether nothing is shown.
    fn total(&mut self, listing: &mut Listing) -> (Option<u32>, bool) {
        let (len, lie) = (listing.order.len() as u32, &mut self.lies[listing.entity]);
        if lie.num == 0 {
            return (Some(len), false);
        }
        lie.num -= 1;
        listing.is_veiled = true;
        if lie.is_empty { (Some(0), true) } else { (Some(len.saturating_add_signed(lie.delta)), false) }
    }
}

pub fn slot(entity: EntityType, number: u32, item: &TrueItem, added_at: i64) -> Slot {
    let is_dated = entity.is_newest_first();
    let added_at = DateTime::from_timestamp(added_at, 0);
    let dated = added_at.filter(|_| is_dated);
    if let Some(tells_date) = item.silent.or(item.is_null.then_some(number.is_multiple_of(2))) {
        return Slot { item: None, added_at: dated.filter(|_| tells_date), odd: Some(Oddity::Null) };
    }
    Slot { item: Some(content(entity, id_of(number), item, added_at)), added_at: dated, odd: None }
}

fn content(entity: EntityType, id: String, item: &TrueItem, added_at: Option<DateTime<Utc>>) -> Item {
    let name = format!("name {id}");
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
        EntityType::Shows => Item::Show(Box::new(Show {
            id,
            name,
            publisher: None,
            description: None,
            media_type: None,
            explicit: None,
            total_episodes: None,
            image_url: None,
        })),
        EntityType::Episodes => Item::Episode(Box::new(Episode {
            id,
            name,
            show: None,
            description: None,
            duration_ms: None,
            explicit: None,
            release_date: None,
            release_date_precision: None,
            image_url: None,
        })),
        EntityType::Audiobooks => Item::Audiobook(Box::new(Audiobook {
            id,
            name,
            authors: None,
            narrators: None,
            publisher: None,
            description: None,
            edition: None,
            explicit: None,
            total_chapters: None,
            image_url: None,
        })),
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

/// `edition`: how often the playlist has been edited.
pub fn playlist_item(number: u32, edition: usize) -> Slot {
    let added_at = DateTime::from_timestamp(1_600_000_000 + i64::from(number), 0);
    let (kind, uri, name) = match is_unavailable(number, edition) {
        true => (PlaylistItemKind::Missing, None, None),
        false => (PlaylistItemKind::Local, Some(format!("spotify:local:{number}")), Some(number.to_string())),
    };
    let item = PlaylistItem { kind, uri, name, added_at, added_by: None, track: None };
    Slot { item: Some(Item::PlaylistItem(Box::new(item))), added_at, odd: None }
}

/// Whether an item of a playlist is shown as an empty place, with nothing but its date. It may be after one edit, and
/// no longer after the next.
pub fn is_unavailable(number: u32, edition: usize) -> bool {
    number.wrapping_mul(7).wrapping_add(edition as u32).is_multiple_of(29)
}
