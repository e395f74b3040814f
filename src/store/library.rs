//! The commit of a batch: rows, removals, gaps and checkpoint in one transaction, or none of it.
//!
//! The checkpoint comes first. Its update carries the fence, so a process that has been replaced is stopped before it
//! writes anything; and the row lock puts all writes of one account and entity type in sequence.

use super::catalogue::{Catalogue, Written};
use super::keyed::Keyed;
use super::membership::{self, RowOutcome};
use super::odd::{self, Listing};
use super::offthread::on_one_thread;
use super::playlists::WrittenItems;
use super::rows::{LISTING, PlaylistRow};
use super::sync_states::{self, StateKey};
use super::types::{At, len};
use super::{Conn, Durability, Store, StoreError, batches, due_playlists, gaps, held, outbox, playlists, seen};
use crate::model::{Commit, CommitReport, Effects, EntityType, Item, ItemCounts, Membership, Oddity, Rows, Slot};
use chrono::{DateTime, Utc};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use tracing::warn;

impl Store {
    /// Writes a batch and its checkpoint. After an error that [`StoreError::is_transient`] reports as passing, the
    /// outcome of the commit is unknown: read the checkpoint, do not resend.
    pub async fn commit(&self, commit: impl Into<Arc<Commit>>, now: DateTime<Utc>) -> Result<CommitReport, StoreError> {
        let commit = commit.into();
        let conn = self.connect().await?;
        match conn {
            Conn::Sqlite(_) => on_one_thread(async move || write(conn, &commit, At::from(now)).await).await,
            Conn::Pg(_) => write(conn, &commit, At::from(now)).await,
        }
    }
}

async fn write(mut conn: Conn, commit: &Commit, now: At) -> Result<CommitReport, StoreError> {
    conn.set_durability(Durability::Soon).await?;
    let written = write_in_one(&mut conn, commit, now).await;
    let restored = conn.set_durability(Durability::AtOnce).await;
    // If the write failed, that is the error to report.
    let report = written?;
    restored?;
    Ok(report)
}

async fn write_in_one(conn: &mut Conn, commit: &Commit, now: At) -> Result<CommitReport, StoreError> {
    let written = conn.transaction_with_care(async |conn| {
        let key = StateKey { account: commit.account_id, entity: commit.entity, phase: commit.checkpoint.phase };
        sync_states::update_checkpoint(conn, key, commit.fence, &commit.checkpoint, now).await?;
        let mut items = WrittenItems::default();
        let mut report = match &commit.rows {
            Rows::Listing(slots) => write_listing(conn, commit, slots, now).await?,
            Rows::PlaylistItems(parts) => {
                items = playlists::write_items(conn, commit, parts, now).await?;
                let readings = std::mem::take(&mut items.outcomes);
                CommitReport { counts: items.counts, readings, ..CommitReport::default() }
            }
        };
        record_seen(conn, commit).await?;
        record_gaps(conn, commit, now).await?;
        if commit.effects.forget_item_snapshots {
            due_playlists::forget_item_snapshots(conn, commit.account_id).await?;
        }
        let mut done =
            outbox::Done { items: playlists::record_versions(conn, commit, &items, now).await?, ..Default::default() };
        remove(conn, commit, &mut report, &mut done, now).await?;
        survey(conn, commit, &mut report).await?;
        batches::log(conn, commit, report.counts, now).await?;
        outbox::note(conn, commit, &report, &done, now).await?;
        Ok(report)
    });
    let (report, refusals) = written.await?;
    if let Some(reason) = refusals.reason() {
        warn!(entity = %commit.entity, rows = refusals.len(), reason, "the database refuses some rows as received");
    }
    Ok(report)
}

async fn write_listing(conn: &mut Conn, commit: &Commit, slots: &[Slot], now: At) -> Result<CommitReport, StoreError> {
    let Commit { account_id: account, entity, offset_from, .. } = *commit;
    let written = write_items_of(conn, slots, now).await?;
    let outcomes = membership::write(conn, account, entity, slots, offset_from, now).await?;
    let refusals = conn.refusals();
    let refused: Vec<Option<Oddity>> =
        slots.iter().map(|slot| slot.item.as_ref().and_then(|item| refusals.about_item(item))).collect();
    let odd = slots.iter().zip(&refused).map(|(slot, refused)| refused.as_ref().or(slot.odd.as_ref()));
    let odd: Vec<(u32, &Oddity)> = odd.zip(offset_from..).filter_map(|(odd, at)| Some((at, odd?))).collect();
    let counts = ItemCounts { odd: len(odd.len()), ..count_slots(slots, &outcomes, &written[entity]) };
    let range = offset_from..offset_from.saturating_add(len(slots.len()));
    odd::replace(conn, Listing { account, entity, playlist_id: LISTING }, range, &odd, now).await?;
    let memberships = outcomes.into_iter().map(|outcome| outcome.membership).collect();
    Ok(CommitReport { memberships, counts, ..CommitReport::default() })
}

/// Writes the content of the slots, regardless of whose they are: catalogue rows and playlists.
async fn write_items_of(conn: &mut Conn, slots: &[Slot], now: At) -> Result<Written, StoreError> {
    let mut catalogue = Catalogue::new(now);
    let mut playlists = Keyed::default();
    for item in slots.iter().filter_map(|slot| slot.item.as_ref()) {
        match item {
            Item::Track(saved) => catalogue.add_track(&saved.track),
            Item::Album(saved) => {
                catalogue.add_album(&saved.album);
                catalogue.add_tracks_on(&saved.album, &saved.tracks);
            }
            Item::Artist(artist) => catalogue.add_artist(artist),
            Item::Playlist(playlist) => {
                playlists.insert(playlist.id.as_str(), PlaylistRow::new(playlist, now));
            }
            Item::Show(show) => catalogue.add_show(show),
            Item::Episode(episode) => catalogue.add_episode(episode),
            Item::Audiobook(audiobook) => catalogue.add_audiobook(audiobook),
            Item::PlaylistItem(_) => debug_assert!(false, "a playlist's item does not stand in a library listing"),
        }
    }
    let mut written = catalogue.write(conn).await?;
    let playlists = PlaylistRow::upsert(conn, &playlists.into_rows()).await?;
    written[EntityType::Playlists] = playlists.into_iter().map(|(id, _)| id).collect();
    Ok(written)
}

/// Each slot counts once; an item that stands in several is new or updated only in the first.
fn count_slots(slots: &[Slot], outcomes: &[RowOutcome], changed: &HashSet<String>) -> ItemCounts {
    let mut counts = ItemCounts { processed: len(slots.len()), ..ItemCounts::default() };
    let mut counted = HashSet::new();
    for (slot, outcome) in slots.iter().zip(outcomes) {
        let Some(id) = slot.id() else { continue };
        let is_first = counted.insert(id);
        match outcome.membership {
            Membership::Unidentified => {}
            _ if !is_first => counts.unchanged += 1,
            Membership::New => counts.new += 1,
            Membership::Returned => counts.updated += 1,
            Membership::Known if outcome.is_written || changed.contains(id) => counts.updated += 1,
            Membership::Known => counts.unchanged += 1,
        }
    }
    counts
}

async fn record_seen(conn: &mut Conn, commit: &Commit) -> Result<(), StoreError> {
    let Commit { account_id, entity, .. } = *commit;
    if commit.effects.reset_seen {
        seen::forget(conn, account_id, entity, commit.effects.record_seen).await?;
    }
    if let Some(pass) = commit.effects.record_seen {
        let mut ids: BTreeSet<&str> = commit.listed().filter_map(|(_, item)| item.id()).collect();
        // A row that has lost its object is still listed, and shows when it was added.
        let dates = unnamed(&commit.rows);
        let unnamed = membership::added_at(conn, account_id, entity, &dates).await?;
        ids.extend(unnamed.iter().map(String::as_str));
        seen::record(conn, account_id, entity, pass, ids).await?;
    }
    Ok(())
}

/// When the rows without an id were added, as far as they show it.
fn unnamed(rows: &Rows) -> Vec<At> {
    let Rows::Listing(slots) = rows else { return Vec::new() };
    slots.iter().filter(|slot| slot.id().is_none()).filter_map(|slot| slot.added_at.map(At::from)).collect()
}

/// Heals first, then adds new gaps, which may be part of the healed ones; a pass that reads past its own gaps keeps
/// them.
async fn record_gaps(conn: &mut Conn, commit: &Commit, now: At) -> Result<(), StoreError> {
    let Commit { account_id, entity, .. } = *commit;
    for gap in &commit.effects.healed_gaps {
        gaps::heal(conn, account_id, entity, gap, now).await?;
    }
    for gap in &commit.effects.new_gaps {
        gaps::open(conn, account_id, entity, gap, &commit.checkpoint, now).await?;
    }
    if let Some(pass) = commit.effects.heal_all_gaps_before {
        gaps::heal_before(conn, account_id, entity, pass, now).await?;
    }
    Ok(())
}

async fn remove(
    conn: &mut Conn,
    commit: &Commit,
    report: &mut CommitReport,
    done: &mut outbox::Done,
    now: At,
) -> Result<(), StoreError> {
    let Commit { account_id: account, entity, .. } = *commit;
    let Effects { removal, ref removed_ids, .. } = commit.effects;
    if commit.effects.release_held {
        held::release(conn, account, entity, LISTING).await?;
    }
    if removal.is_none() && removed_ids.is_empty() {
        return hold(conn, commit, done, now).await;
    }
    if let Some(removal) = removal {
        done.removed = membership::remove_unseen(conn, account, entity, removal, now).await?;
    }
    done.removed.extend(membership::remove_ids(conn, account, entity, removed_ids, now).await?);
    if entity.has_items() {
        held::release_departed(conn, account, &done.removed).await?;
    }
    report.counts.removed += len(done.removed.len());
    let removed: Vec<&str> = removed_ids.iter().map(String::as_str).collect();
    held::forget(conn, account, entity, LISTING, &removed).await?;
    hold(conn, commit, done, now).await?;
    if let Some(total) = commit.checkpoint.total {
        // Only a run that is sure of the listing's length removes: beyond the end nothing can be odd any more.
        let end = total.max(commit.offset_to);
        odd::forget_from(conn, Listing { account, entity, playlist_id: LISTING }, end).await?;
    }
    Ok(())
}

/// Holds back what is left: after the removals, so that removed items wait for nothing.
async fn hold(conn: &mut Conn, commit: &Commit, done: &mut outbox::Done, now: At) -> Result<(), StoreError> {
    if let Some(hold) = commit.effects.hold {
        done.num_held = held::hold(conn, commit.account_id, commit.entity, hold, now).await?;
    }
    Ok(())
}

async fn survey(conn: &mut Conn, commit: &Commit, report: &mut CommitReport) -> Result<(), StoreError> {
    let Some(survey) = commit.effects.survey else { return Ok(()) };
    report.num_active = Some(membership::num_active(conn, commit.account_id, commit.entity).await?);
    if let Some(pass) = survey.pass {
        report.num_unseen = Some(membership::num_unseen(conn, commit.account_id, commit.entity, pass).await?);
        report.held = held::held_before(conn, commit.account_id, commit.entity, pass, survey.ripe_at).await?;
    } else {
        report.held.num_confirmed = held::num_confirmed(conn, commit.account_id, commit.entity).await?;
    }
    Ok(())
}
