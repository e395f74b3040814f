//! What was added and removed, newest first, a page at a time, in the form that machines get.

use super::{Entry, LOOKED_AT_MAX, ListPage, Search, Walk, is_found};
use crate::model::{AccountId, EntityType};
use crate::store::changes::{Change, ChangeKind, Changed, Changes, Place};
use crate::store::sources::Source;
use crate::store::types::At;
use crate::store::{Store, StoreError};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A change as `segno changes --json` prints it and the API returns it. The fields are part of the interface: each is
/// always present, and null if there is no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChangeEntry {
    pub at: DateTime<Utc>,
    /// The Spotify id of the account.
    pub account: String,
    /// An entity type, or `playlist_items`.
    pub entity_type: String,
    /// `added`, `added_again` or `removed`.
    pub change: String,
    /// Its Spotify id; null for an item of a playlist that is no track.
    pub id: Option<String>,
    /// For an item of a playlist.
    pub uri: Option<String>,
    pub name: Option<String>,
    /// Who it is by: the first artist of a track or album, the publisher of a show, the show of an episode, the first
    /// author of an audiobook.
    pub artist: Option<String>,
    /// When it was added, according to the source; if that does not say, when it was first seen.
    pub added_at: Option<DateTime<Utc>>,
    pub playlist_id: Option<String>,
    pub playlist_name: Option<String>,
    pub snapshot_id: Option<String>,
    /// Its position in the playlist.
    pub position: Option<i64>,
}

/// Which changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeFilter {
    pub account: AccountId,
    /// For playlists also what was added and removed inside them; `None` for all.
    pub entity: Option<EntityType>,
    pub kind: Option<ChangeKind>,
    pub since: Option<DateTime<Utc>>,
    pub search: Option<Search>,
}

/// The place of a change among all of its account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeKey {
    pub at: DateTime<Utc>,
    source: usize,
    id: String,
    version: i64,
    number: i64,
}

impl Store {
    /// `account` is the Spotify id of the account, as the entries show it.
    pub async fn changes_page(
        &self,
        filter: &ChangeFilter,
        account: &str,
        walk: &Walk<ChangeKey>,
    ) -> Result<ListPage<ChangeEntry, ChangeKey>, StoreError> {
        let entities = EntityType::ALL.iter().filter(|entity| filter.entity.is_none_or(|wanted| wanted == **entity));
        let sources = entities.flat_map(|entity| Source::of(*entity));
        let sources = sources.filter(|source| filter.kind.is_none_or(|kind| source.tells_of(kind)));
        let since = At::from(filter.since.unwrap_or(DateTime::UNIX_EPOCH));
        let after = walk.after.as_ref().map(Place::from);
        // Each source is read as far as one page may need it.
        let page_len = i64::try_from(walk.limit + 1).unwrap_or(i64::MAX);
        let mut changes = Changes::from_place(self.clone(), filter.account, sources, since, after.as_ref(), page_len);

        let mut page = ListPage { items: Vec::new(), next: walk.after.clone() };
        for _ in 0..LOOKED_AT_MAX {
            let Some((change, place)) = changes.next_with_place().await? else {
                return Ok(ListPage { next: None, ..page });
            };
            if page.items.len() == walk.limit {
                return Ok(page);
            }
            page.next = Some(place.into());
            if filter.kind.is_none_or(|kind| kind == change.kind) {
                let entry = ChangeEntry::new(change, account);
                page.items.extend(is_found(&entry, filter.search.as_ref()).then_some(entry));
            }
        }
        Ok(page)
    }
}

impl ChangeEntry {
    pub fn new(change: Change, account: &str) -> ChangeEntry {
        let place = change.place;
        let (playlist_id, playlist_name, snapshot_id, position, uri) = match place {
            Some(place) => {
                (Some(place.playlist_id), Some(place.playlist_name), place.snapshot_id, Some(place.position), place.uri)
            }
            None => (None, None, None, None, None),
        };
        ChangeEntry {
            at: change.at,
            account: account.to_owned(),
            entity_type: match change.what {
                Changed::Member(entity) => entity.as_str(),
                Changed::PlaylistItem => "playlist_items",
            }
            .to_owned(),
            change: change.kind.as_str().to_owned(),
            id: change.id,
            uri,
            name: change.name,
            artist: change.artist,
            added_at: change.added_at,
            playlist_id,
            playlist_name,
            snapshot_id,
            position,
        }
    }
}

impl Entry for ChangeEntry {
    fn words(&self) -> impl Iterator<Item = &str> {
        [&self.name, &self.artist, &self.playlist_name].into_iter().filter_map(|words| words.as_deref())
    }
}

impl From<Place> for ChangeKey {
    fn from(place: Place) -> ChangeKey {
        let Place { at, source, id, version, number } = place;
        ChangeKey { at: at.into(), source, id, version, number }
    }
}

impl From<&ChangeKey> for Place {
    fn from(key: &ChangeKey) -> Place {
        let ChangeKey { at, source, id, version, number } = key.clone();
        Place { at: At::from(at), source, id, version, number }
    }
}
