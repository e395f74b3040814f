//! The outbox: what a transaction did, written by that transaction, for those who follow along (see [`super::feed`]).
//!
//! Numbers are assigned under the lock of one row, taken last before the commit. So they increase in the order of
//! commits and have no gaps, and a reader of everything up to a number has missed none below it: an open transaction
//! holds back later ones, for the moment between its last statement and its commit. That limits the transactions per
//! second that may note something to the rate at which commits reach the disk.

use super::catalogue::names_of;
use super::schema::{feed_positions, library_playlists, outbox, playlists};
use super::types::{At, clean, json_text};
use super::versions::ItemChanges;
use super::{Conn, StoreError, with_conn};
use crate::model::version::{Difference, Entry};
use crate::model::{
    AccountId, ArtistRef, Commit, CommitReport, EntityType, EventKind, Item, Membership, ReadingOutcome, Rows, Slot,
};
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use std::{borrow::Cow, collections::HashSet};

/// Changes in one entry. A larger commit has several.
const CHANGES_MAX: usize = 500;

/// The position of the last number assigned.
pub(super) const HEAD: &str = "head";

/// An addition or removal as the feed reports it. Unknown fields are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(super) struct ChangeNote<'a> {
    /// As in `segno changes`: an entity type or `playlist_items`; `added`, `added_again` or `removed`.
    entity_type: &'static str,
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artist: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json_text")]
    added_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    playlist_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    playlist_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<i64>,
}

/// The body of an entry of changes.
#[derive(Debug, Serialize)]
struct ChangesBody<'a> {
    entity_type: EntityType,
    /// `initial_sync`: the library is read for the first time.
    phase: &'a str,
    run_id: String,
    changes: &'a [ChangeNote<'a>],
}

/// The body of an entry about held removals.
#[derive(Debug, Serialize)]
struct HeldBody<'a> {
    entity_type: EntityType,
    run_id: String,
    num_held: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    playlist_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    playlist_name: Option<String>,
}

/// What a commit did, for the outbox.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Members that were marked removed.
    pub removed: Vec<String>,
    /// Removals of the listing that began to wait.
    pub num_held: u32,
    /// What was added to playlists and removed from them.
    pub items: Vec<ItemChanges>,
}

/// Notes what a commit did, if it changed anything. The last step before the commit.
pub(super) async fn note(
    conn: &mut Conn,
    commit: &Commit,
    report: &CommitReport,
    done: &Done,
    now: At,
) -> Result<(), StoreError> {
    let Commit { account_id: account, entity, .. } = *commit;
    let mut changes = added(commit, &report.memberships);
    let names = names_of(conn, entity, &done.removed).await?;
    changes.extend(done.removed.iter().map(|id| ChangeNote {
        name: names.get(id).map(Cow::from),
        id: Some(id),
        ..ChangeNote::of(entity.as_str(), "removed")
    }));
    let mut entries: Vec<(AccountId, EventKind, String)> = Vec::new();
    let body = |changes: &[ChangeNote<'_>]| {
        let phase = commit.checkpoint.phase.as_str();
        json(&ChangesBody { entity_type: entity, phase, run_id: commit.run_id.to_string(), changes })
    };
    let of = |account: AccountId, changes: &[ChangeNote<'_>]| -> Vec<(AccountId, EventKind, String)> {
        changes.chunks(CHANGES_MAX).map(|some| (account, EventKind::Changes, body(some))).collect()
    };
    entries.extend(of(account, &changes));
    for items in &done.items {
        let name = name_of_playlist(conn, &items.playlist_id).await?;
        let changes = items.notes(name.as_deref());
        // A playlist is read once for all accounts that have it in the library.
        for reader in accounts_with(conn, &items.playlist_id).await? {
            entries.extend(of(reader, &changes));
        }
    }
    if done.num_held > 0 {
        let run_id = commit.run_id.to_string();
        let num_held = done.num_held;
        let body = HeldBody { entity_type: entity, run_id, num_held, playlist_id: None, playlist_name: None };
        entries.push((account, EventKind::RemovalsHeld, json(&body)));
    }
    for outcome in &report.readings {
        if let ReadingOutcome::Held { playlist_id, num_missing, .. } = outcome {
            // Each reading finds the same while it waits: once a day is enough.
            let once = format!("held {} {playlist_id} {}", account.0, DateTime::<Utc>::from(now).date_naive());
            if is_noted(conn, &once).await? {
                continue;
            }
            let body = HeldBody {
                entity_type: entity,
                run_id: commit.run_id.to_string(),
                num_held: *num_missing,
                playlist_name: name_of_playlist(conn, playlist_id).await?,
                playlist_id: Some(playlist_id),
            };
            write(conn, &[(account, EventKind::RemovalsHeld, json(&body))], Some(&once), now).await?;
        }
    }
    write(conn, &entries, None, now).await
}

/// Writes entries. With `once`, an entry already noted under the same words is not noted again.
pub(super) async fn write(
    conn: &mut Conn,
    entries: &[(AccountId, EventKind, String)],
    once: Option<&str>,
    now: At,
) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let num = i64::try_from(entries.len()).unwrap_or(i64::MAX);
    let head: i64 = with_conn!(conn, |c| {
        use feed_positions::{name, seq, table};
        diesel::update(table.filter(name.eq(HEAD))).set(seq.eq(seq + num)).returning(seq).get_result(c).await
    })?;
    for ((account, kind, body), seq) in entries.iter().zip(head - num + 1..) {
        with_conn!(conn, |c| {
            let row = (
                outbox::seq.eq(seq),
                outbox::account_id.eq(account.0),
                outbox::kind.eq(kind.as_str()),
                outbox::body.eq(body),
                outbox::noted_at.eq(now),
                outbox::once.eq(once),
            );
            diesel::insert_into(outbox::table).values(row).execute(c).await
        })?;
    }
    Ok(())
}

/// Whether an event was noted under these words, and is still kept.
pub(super) async fn is_noted(conn: &mut Conn, once: &str) -> Result<bool, StoreError> {
    let found: Option<i64> = with_conn!(conn, |c| {
        outbox::table.filter(outbox::once.eq(once)).select(outbox::seq).first(c).await.optional()
    })?;
    Ok(found.is_some())
}

pub(super) fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("texts and numbers have a JSON")
}

impl ChangeNote<'_> {
    fn of(entity_type: &'static str, change: &'static str) -> Self {
        ChangeNote { entity_type, change, ..ChangeNote::default() }
    }
}

impl ItemChanges {
    fn notes<'a>(&'a self, playlist_name: Option<&'a str>) -> Vec<ChangeNote<'a>> {
        let note = |change, entry: &'a Entry| ChangeNote {
            id: entry.track_id.as_deref(),
            uri: entry.uri.as_deref(),
            name: entry.name.as_deref().map(Cow::from),
            added_at: entry.added_at,
            playlist_id: Some(&self.playlist_id),
            playlist_name,
            position: Some(entry.position),
            ..ChangeNote::of("playlist_items", change)
        };
        let Difference { added, removed } = &self.difference;
        let removed = removed.iter().map(|entry| note("removed", entry));
        removed.chain(added.iter().map(|entry| note("added", entry))).collect()
    }
}

/// The members that are new or came back, each once.
fn added<'a>(commit: &'a Commit, memberships: &[Membership]) -> Vec<ChangeNote<'a>> {
    let Rows::Listing(slots) = &commit.rows else { return Vec::new() };
    let mut seen: HashSet<&str> = HashSet::with_capacity(slots.len());
    let cleaned = |words: Option<&'a str>| words.map(clean).filter(|words| !words.is_empty());
    let note = |(slot, membership): (&'a Slot, &Membership)| {
        let change = match membership {
            Membership::New => "added",
            Membership::Returned => "added_again",
            Membership::Known | Membership::Unidentified => return None,
        };
        let (name, artist) = slot.item.as_ref().map(words_of).unwrap_or_default();
        Some(ChangeNote {
            id: slot.id(),
            name: cleaned(name),
            artist: cleaned(artist),
            added_at: slot.added_at,
            ..ChangeNote::of(commit.entity.as_str(), change)
        })
    };
    let known = slots.iter().zip(memberships).filter(|(slot, _)| slot.id().is_some_and(|id| seen.insert(id)));
    known.filter_map(note).collect()
}

/// The name of an item, and its creator.
fn words_of(item: &Item) -> (Option<&str>, Option<&str>) {
    fn first(artists: &[ArtistRef]) -> Option<&str> {
        artists.iter().map(|artist| artist.name.as_str()).next()
    }
    match item {
        Item::Track(saved) => (Some(&saved.track.name), first(&saved.track.artists)),
        Item::Album(saved) => (Some(&saved.album.name), first(&saved.album.artists)),
        Item::Artist(artist) => (Some(&artist.name), None),
        Item::Playlist(playlist) => (Some(&playlist.name), None),
        Item::Show(show) => (Some(&show.name), show.publisher.as_deref()),
        Item::Episode(episode) => (Some(&episode.name), episode.show.as_ref().map(|show| show.name.as_str())),
        Item::Audiobook(book) => (Some(&book.name), book.authors.iter().flatten().next().map(String::as_str)),
        Item::PlaylistItem(item) => (item.name.as_deref(), None),
    }
}

async fn name_of_playlist(conn: &mut Conn, playlist: &str) -> Result<Option<String>, StoreError> {
    Ok(with_conn!(conn, |c| {
        playlists::table.filter(playlists::id.eq(playlist)).select(playlists::name).first(c).await.optional()
    })?)
}

/// The accounts that have a playlist in their library.
async fn accounts_with(conn: &mut Conn, playlist: &str) -> Result<Vec<AccountId>, StoreError> {
    let ids: Vec<i64> = with_conn!(conn, |c| {
        use library_playlists::{account_id, playlist_id, removed_at, table};
        let listed = table.filter(playlist_id.eq(playlist)).filter(removed_at.is_null());
        listed.select(account_id).order(account_id).load(c).await
    })?;
    Ok(ids.into_iter().map(AccountId).collect())
}
