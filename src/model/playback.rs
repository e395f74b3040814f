//! The tracking of what is played: what is known around a page, what a poll commits, and where the tracking stands.

use super::{
    AccountId, PlayKey, PlaysPage,
    stream::{HeardAt, Meaning, StreamPair},
};
use chrono::{DateTime, Utc};
use std::collections::HashSet;

/// What the database holds around a page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownPlays {
    /// The plays from the page's oldest on.
    pub keys: HashSet<PlayKey>,
    /// The newest one before them; of all where the page is empty.
    pub newest_before: Option<DateTime<Utc>>,
    /// Streams of a data export that may be plays of the page, and that no play of the API is paired with.
    pub streams: Vec<HeardAt>,
    /// Plays of the page that are paired already.
    pub paired: HashSet<PlayKey>,
    /// What `played_at` turned out to mean when the export came in.
    pub meaning: Option<Meaning>,
    /// A data export says everything that was heard until then.
    pub heard_until: Option<DateTime<Utc>>,
}

impl KnownPlays {
    pub fn newest(&self) -> Option<DateTime<Utc>> {
        self.keys.iter().map(|(at, _)| *at).max().or(self.newest_before)
    }
}

/// Plays after the one moment and before the other may be missing: they had left the page before anybody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayGap {
    pub played_after: DateTime<Utc>,
    pub played_before: DateTime<Utc>,
}

/// Where the tracking of an account stands; what a restart goes on from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlaybackRecord {
    /// The last poll that was answered and committed.
    pub last_polled_at: Option<DateTime<Utc>>,
    /// The last one that brought something new.
    pub last_new_at: Option<DateTime<Utc>>,
    pub next_poll_at: Option<DateTime<Utc>>,
    /// The API refuses for a reason that only a person can remove; it is asked again then.
    pub parked_until: Option<DateTime<Utc>>,
    /// Why the last poll brought nothing.
    pub error: Option<String>,
    /// When the person last signed in.
    pub authorized_at: Option<DateTime<Utc>>,
}

/// Everything that one poll writes, or nothing of it.
#[derive(Debug, Clone)]
pub struct PlaysCommit {
    pub account_id: AccountId,
    pub page: PlaysPage,
    pub gap: Option<PlayGap>,
    /// Streams of a data export that are plays of the page.
    pub pairs: Vec<StreamPair>,
    pub num_new: u32,
    pub polled_at: DateTime<Utc>,
    pub next_poll_at: DateTime<Utc>,
}

/// A poll that brought nothing: what `status` is to show, and what a restart is to heed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaybackNote {
    pub account_id: AccountId,
    /// `None`: not before somebody has done something about it.
    pub next_poll_at: Option<DateTime<Utc>>,
    pub parked_until: Option<DateTime<Utc>>,
    pub error: Option<String>,
}
