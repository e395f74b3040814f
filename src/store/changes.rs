//! What was added to libraries and removed from them, newest first, according to the tables.
//!
//! Each kind of event has a table and a moment in it: a track was added when its row says so, and removed when a run
//! saw that it was gone. Each is read a page at a time, from an index and from where the page before ended, and the
//! pages are merged by time. So the cost depends on what is read, however large the library is.

use super::changed_rows::{ItemRow, Mark, MemberRow, first_of, items, members};
pub use super::sources::ChangeKind;
use super::sources::{Moment, Source};
use super::types::At;
use super::versions::ADDED;
use super::{Conn, Store, StoreError};
use crate::model::{AccountId, EntityType};
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use std::cmp::{Ordering, Reverse};
use std::collections::VecDeque;

/// Rows that are read at once when everything is read: enough to make the round trips cheap, few enough to hold for
/// each kind of event.
const PAGE_LEN: i64 = 200;

/// Something that was added or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub at: DateTime<Utc>,
    pub account: AccountId,
    pub what: Changed,
    pub kind: ChangeKind,
    /// Its Spotify id; `None` for an item of a playlist that is no track.
    pub id: Option<String>,
    pub name: Option<String>,
    /// Who it is by: the first artist of a track or album, the publisher of a show, the show of an episode, the first
    /// author of an audiobook.
    pub artist: Option<String>,
    /// When it was added, according to the source; if that does not say, when it was first seen.
    pub added_at: Option<DateTime<Utc>>,
    /// The position of an item of a playlist, now or before.
    pub place: Option<InPlaylist>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// A member of the library.
    Member(EntityType),
    PlaylistItem,
}

/// A place in a playlist: for an addition, in the list as it then was; for a removal, in the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InPlaylist {
    pub playlist_id: String,
    pub playlist_name: String,
    pub snapshot_id: Option<String>,
    pub position: i64,
    pub uri: Option<String>,
}

/// Changes, handed out one by one.
#[derive(Debug)]
pub struct Changes {
    store: Store,
    since: At,
    page_len: i64,
    branches: Vec<Branch>,
}

/// How far a reading of one account's changes has come: the last one that was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub at: At,
    /// Its source; changes of one moment come in the order of their sources.
    pub source: usize,
    pub id: String,
    pub version: i64,
    pub number: i64,
}

impl Store {
    /// What was added to these libraries and removed from them since then, of these entity types. For playlists also
    /// what was added and removed inside them.
    pub fn changes(&self, accounts: &[AccountId], entities: &[EntityType], since: DateTime<Utc>) -> Changes {
        let sources = || entities.iter().flat_map(|entity| Source::of(*entity));
        let branches = accounts.iter().flat_map(|account| sources().map(move |source| Branch::new(*account, source)));
        Changes { store: self.clone(), since: At::from(since), page_len: PAGE_LEN, branches: branches.collect() }
    }
}

impl Changes {
    /// The changes of one account in these sources, continuing where an earlier reading ended.
    pub(super) fn from_place(
        store: Store,
        account: AccountId,
        sources: impl Iterator<Item = Source>,
        since: At,
        after: Option<&Place>,
        page_len: i64,
    ) -> Changes {
        let branches = sources.map(|source| match after {
            None => Branch::new(account, source),
            Some(place) => Branch { mark: mark_after(place, source), ..Branch::new(account, source) },
        });
        Changes { store, since, page_len, branches: branches.collect() }
    }
}

impl Changes {
    /// The next older one.
    pub async fn next(&mut self) -> Result<Option<Change>, StoreError> {
        Ok(self.next_with_place().await?.map(|(change, _)| change))
    }

    /// The next older one, and how to continue after it.
    pub(super) async fn next_with_place(&mut self) -> Result<Option<(Change, Place)>, StoreError> {
        // Concurrently, as far as there are connections.
        let empty = self.branches.iter_mut().filter(|branch| branch.ahead.is_empty() && !branch.is_drained);
        try_join_all(empty.map(|branch| branch.fill(&self.store, self.since, self.page_len))).await?;
        let heads = self.branches.iter().zip(0..).filter_map(|(branch, index)| {
            let (head, _) = branch.ahead.front()?;
            Some((head.at, Reverse(index)))
        });
        let Some((_, Reverse(newest))) = heads.max() else { return Ok(None) };
        let newest: usize = newest;
        let branch = &mut self.branches[newest];
        let next = branch.ahead.pop_front();
        Ok(next.map(|(change, Mark { at, id, version, number })| {
            let source = branch.source.rank();
            (change, Place { at, source, id, version, number })
        }))
    }
}

/// The changes of one account and one kind, read as far as they are needed.
#[derive(Debug)]
struct Branch {
    account: AccountId,
    source: Source,
    ahead: VecDeque<(Change, Mark)>,
    /// Where the last page ended.
    mark: Mark,
    is_drained: bool,
}

/// Where a source continues after a change from this or another one.
fn mark_after(place: &Place, source: Source) -> Mark {
    let Place { at, source: rank, id, version, number } = place.clone();
    match source.rank().cmp(&rank) {
        // Everything of that moment has been handed out.
        Ordering::Less => Mark { at, id: String::new(), version: 0, number: 0 },
        Ordering::Equal => Mark { at, id, version, number },
        // Nothing of that moment has been handed out.
        Ordering::Greater => Mark { at: at.next(), id: String::new(), version: 0, number: 0 },
    }
}

impl Branch {
    fn new(account: AccountId, source: Source) -> Branch {
        let mark = Mark { at: At::end_of_time(), id: String::new(), version: 0, number: 0 };
        Branch { account, source, ahead: VecDeque::new(), mark, is_drained: false }
    }

    async fn fill(&mut self, store: &Store, since: At, len: i64) -> Result<(), StoreError> {
        let conn = &mut store.connect().await?;
        let page = match self.source {
            Source::PlaylistItems => self.read_items(conn, since, len).await?,
            Source::Members(entity, moment) => self.read_members(conn, entity, moment, since, len).await?,
        };
        self.is_drained = (page.len() as i64) < len;
        self.ahead.extend(page);
        Ok(())
    }

    async fn read_members(
        &mut self,
        conn: &mut Conn,
        entity: EntityType,
        moment: Moment,
        since: At,
        len: i64,
    ) -> Result<Vec<(Change, Mark)>, StoreError> {
        let rows = members(conn, entity, moment, self.account, since, &self.mark, len).await?;
        let mut page = Vec::new();
        for row in rows {
            let MemberRow { id, rev, added_at, returned_at, removed_at, name, artist } = row;
            let (kind, at) = match moment {
                // A saved row is written again only if it came back or was saved again, with another `added_at`.
                Moment::Added if rev > 1 => (ChangeKind::AddedAgain, added_at),
                Moment::Added | Moment::Seen => (ChangeKind::Added, added_at),
                Moment::Returned => (ChangeKind::AddedAgain, returned_at),
                Moment::Removed => (ChangeKind::Removed, removed_at),
            };
            let at = at.expect("rows are found by this moment");
            let artist = if entity == EntityType::Audiobooks { artist.as_deref().and_then(first_of) } else { artist };
            self.mark = Mark { at, id: id.clone(), ..self.mark };
            let change = Change {
                at: at.into(),
                account: self.account,
                what: Changed::Member(entity),
                kind,
                id: Some(id),
                name,
                artist,
                added_at: added_at.map(DateTime::from),
                place: None,
            };
            page.push((change, self.mark.clone()));
        }
        Ok(page)
    }

    async fn read_items(&mut self, conn: &mut Conn, since: At, len: i64) -> Result<Vec<(Change, Mark)>, StoreError> {
        let rows = items(conn, self.account, since, &self.mark, len).await?;
        let mark =
            |row: &ItemRow| Mark { at: row.seen_at, id: String::new(), version: row.version, number: row.number };
        if let Some(last) = rows.last() {
            self.mark = mark(last);
        }
        let change = |row: ItemRow| Change {
            at: row.seen_at.into(),
            account: self.account,
            what: Changed::PlaylistItem,
            kind: if row.kind == ADDED { ChangeKind::Added } else { ChangeKind::Removed },
            id: row.track_id,
            name: row.name,
            artist: row.artist,
            added_at: row.added_at.map(DateTime::from),
            place: Some(InPlaylist {
                playlist_id: row.playlist_id,
                playlist_name: row.playlist_name,
                snapshot_id: row.snapshot_id,
                position: row.position,
                uri: row.uri,
            }),
        };
        let marked = |row: ItemRow| {
            let mark = mark(&row);
            (change(row), mark)
        };
        Ok(rows.into_iter().map(marked).collect())
    }
}
