//! A batch on its way into the database, and its outcome.

use super::{AccountId, Checkpoint, EntityType, FailedReading, Item, Oddity, PlaylistItem, RemovalGuard, Slot};
use chrono::{DateTime, Utc};
use std::time::Duration;
use uuid::Uuid;

/// Proof that the writer is the one that began a run last. A commit whose fence differs from the row's is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    pub generation: i64,
    /// The process; after a failover a database can assign one generation twice.
    pub owner: Uuid,
}

/// Everything that one transaction writes: rows, removals, gaps and the checkpoint, or none of it.
#[derive(Debug, Clone)]
pub struct Commit {
    pub account_id: AccountId,
    pub entity: EntityType,
    pub fence: Fence,
    pub run_id: Uuid,
    pub rows: Rows,
    pub effects: Effects,
    pub checkpoint: Checkpoint,
    /// For the batch log: range of slots read, requests sent and time taken since the last commit.
    pub offset_from: u32,
    pub offset_to: u32,
    pub num_requests: u32,
    pub duration: Duration,
}

#[derive(Debug, Clone)]
pub enum Rows {
    /// Slots of the entity type's own listing; `offset_from` is the position of the first.
    Listing(Vec<Slot>),
    PlaylistItems(Vec<PlaylistPart>),
}

/// Consecutive items of one playlist.
#[derive(Debug, Clone, Default)]
pub struct PlaylistPart {
    pub playlist_id: String,
    /// The newest whole reading when this one was decided on: see [`super::StalePlaylist::generation`].
    pub generation: i64,
    /// Position of the first item.
    pub offset: u32,
    pub items: Vec<PlaylistItem>,
    /// Hidden positions after the items, counted but not given. The next part begins after them.
    pub num_hidden: u32,
    /// Oddities of items in this part, by position.
    pub odd: Vec<(u32, Oddity)>,
    /// Set with the playlist's last part.
    pub end: Option<PlaylistEnd>,
}

impl PlaylistPart {
    /// Where the next part begins.
    pub fn end_offset(&self) -> u32 {
        let num_items = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        self.offset.saturating_add(num_items).saturating_add(self.num_hidden)
    }
}

/// How the walk of a playlist's items ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaylistEnd {
    /// Everything was read: the result replaces the known items, and is that snapshot from now on. Without a snapshot,
    /// or after a failure, it is unknown which snapshot the items are, and the playlist stays due. `healed`: ranges that
    /// an earlier reading could not read, and this one has.
    Complete { snapshot_id: Option<String>, total: u32, failure: Option<FailedReading>, healed: Vec<(u32, u32)> },
    /// It failed: the known items stay, and so does their snapshot.
    Failed(FailedReading),
    /// An earlier gap was read; nothing else about the playlist changes.
    GapFilled,
}

/// The outcome of a playlist's reading, if it differs from its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadingOutcome {
    /// So much is gone that a second look is needed: the known items stay.
    Held { playlist_id: String, num_missing: u32, num_held: u32 },
    /// Another snapshot is listed, but the items are the same: the next run reads them once more.
    Unchanged { playlist_id: String },
    /// Other items than before came for the same snapshot: it is read once more.
    Contradictory { playlist_id: String },
    /// Another account has read it whole meanwhile. This reading is older and was dropped.
    Outrun { playlist_id: String },
}

/// What else the transaction does.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    /// Remember that this pass saw the batch's items (`sync_seen`).
    pub record_seen: Option<i64>,
    /// Forget what earlier passes saw before recording.
    pub reset_seen: bool,
    /// Count the active rows, and those that the pass has not seen.
    pub survey: Option<Survey>,
    pub removal: Option<Removal>,
    /// Hold back the removal of what the pass has not seen, and what is not confirmed yet, for a later look.
    pub hold: Option<Hold>,
    /// Nothing is missing any more: release all held removals.
    pub release_held: bool,
    /// Mark these removed: a search has shown that they are gone.
    pub removed_ids: Vec<String>,
    pub new_gaps: Vec<NewGap>,
    /// Gaps of this entity type (or of one playlist's items) now known to be read, by range.
    pub healed_gaps: Vec<HealedGap>,
    /// The items of every playlist of the library are due again, whatever their snapshots say.
    pub forget_item_snapshots: bool,
    /// When items missing from a playlist are believed to be gone.
    pub item_removals: RemovalGuard,
    /// Every open gap of the listing itself, apart from `new_gaps`, is healed: a whole pass read past them.
    pub heal_all_gaps_before: Option<i64>,
}

/// Makes the commit count. `pass` is compared with `sync_seen` if it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Survey {
    pub pass: Option<i64>,
    /// Anything held since then, or longer, has waited for long enough.
    pub ripe_at: Option<DateTime<Utc>>,
}

/// Marks removed what the pass has not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    pub pass: i64,
    pub of: Gone,
}

/// Which of the items that a pass has not seen are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// All of them.
    All,
    /// All but those that are held because the total still counts them.
    Uncounted,
    /// Those that an earlier run missed as well, at this moment or before, and that the total does not count; and those
    /// that a person has confirmed.
    Ripe { at: DateTime<Utc> },
    /// Those that a person has confirmed.
    Confirmed,
}

/// Holds removals back: items that the pass has not seen are noted, with the moment; those it has seen are no longer
/// held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    pub pass: i64,
    pub counts: Counts,
}

/// Which of the held items the total still counts, so that they may still be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Any of them.
    All,
    /// Those that it counted before.
    AsBefore,
    /// None of them: those that it counted before now wait like the others.
    Nothing,
}

/// How many of the items that a pass has not seen were held before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeldBefore {
    /// Missed by an earlier run, long enough ago, and not counted by the total.
    pub num_ripe: u32,
    /// The total still counted them.
    pub num_counted: u32,
    /// A person has confirmed them; they are not among the others.
    pub num_confirmed: u32,
}

/// A removal that waits for a later look, or for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRemoval {
    pub entity: EntityType,
    /// The playlist that the item is missing from; `None` for the entity type's own listing.
    pub playlist_id: Option<String>,
    pub item_id: String,
    pub name: Option<String>,
    pub since: DateTime<Utc>,
    /// The API's total still counts it, so only a person can confirm its removal.
    pub is_counted: bool,
    pub is_confirmed: bool,
}

/// A range that this batch could not read. The pass, the total and the time are those of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGap {
    /// `None` for the entity type's own listing.
    pub playlist_id: Option<String>,
    pub offset_from: u32,
    pub offset_to: u32,
    pub reason: String,
}

/// A range that is now known to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealedGap {
    pub playlist_id: Option<String>,
    pub offset_from: u32,
    pub offset_to: u32,
}

/// A range of a listing, `[offset_from, offset_to)`, that the API could not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// `None` for the entity type's own listing.
    pub playlist_id: Option<String>,
    pub offset_from: u32,
    pub offset_to: u32,
    pub pass: i64,
    /// Length of the listing when it was found: shows how far the range has moved since.
    pub total: Option<u32>,
    pub reason: String,
    pub since: DateTime<Utc>,
}

/// What the database knew of a row of a listing before the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    New,
    /// Was marked removed, or carried another `added_at`.
    Returned,
    Known,
    /// The slot holds no identifiable item.
    Unidentified,
}

/// Counts of items, each in exactly one of new, updated, unchanged or odd-without-item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ItemCounts {
    pub processed: u32,
    pub new: u32,
    pub updated: u32,
    pub unchanged: u32,
    /// Slots with an oddity, usable or not.
    pub odd: u32,
    pub removed: u32,
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommitReport {
    /// One per slot, for `Rows::Listing`.
    pub memberships: Vec<Membership>,
    pub counts: ItemCounts,
    /// Rows of the account that are not marked removed, after the commit; only with a survey.
    pub num_active: Option<u32>,
    /// How many of those the pass has not seen.
    pub num_unseen: Option<u32>,
    /// How many of those were held before; without a pass, `num_confirmed` counts all that a person has confirmed.
    pub held: HeldBefore,
    /// Readings of playlists that did not end as intended.
    pub readings: Vec<ReadingOutcome>,
}

/// The result of a batch, as reported upwards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BatchSyncResult {
    pub items_processed: u32,
    pub new_items_added: u32,
    pub items_updated: u32,
    pub has_more: bool,
    pub next_offset: u32,
    pub total_estimated: Option<u32>,
    pub rate_limited: bool,
    pub rate_limit_reset_at: Option<DateTime<Utc>>,
}

impl std::ops::AddAssign for ItemCounts {
    fn add_assign(&mut self, other: ItemCounts) {
        self.processed += other.processed;
        self.new += other.new;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.odd += other.odd;
        self.removed += other.removed;
    }
}

impl Rows {
    pub fn len(&self) -> usize {
        match self {
            Rows::Listing(slots) => slots.len(),
            Rows::PlaylistItems(parts) => parts.iter().map(|part| part.items.len()).sum(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Commit {
    /// The listing's items, each with its slot.
    pub fn listed(&self) -> impl Iterator<Item = (u32, &Item)> {
        let slots: &[Slot] = match &self.rows {
            Rows::Listing(slots) => slots,
            Rows::PlaylistItems(_) => &[],
        };
        slots.iter().zip(self.offset_from..).filter_map(|(slot, at)| slot.item.as_ref().map(|item| (at, item)))
    }
}
