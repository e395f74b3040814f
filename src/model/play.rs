//! The listening history: what a page of it holds, and what a poll commits.

use super::stream::{HeardAt, Meaning, StreamPair};
use super::{AccountId, Oddity, Track};
use chrono::{DateTime, Utc};
use std::collections::HashSet;

/// Rows of a whole page, and all that the API ever shows: older plays are out of reach.
pub const PLAYS_PAGE_LEN: usize = 50;

/// Something that was listened to. `played_at` is near the end of the play, to the millisecond; together with the URI
/// it is what identifies the play.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Play {
    pub played_at: DateTime<Utc>,
    /// Shortened where it is longer than an index can hold, as the id of a local file is.
    pub track_uri: String,
    /// It enters the catalogue; `None` for episodes and whatever else has no place there.
    pub track: Option<Track>,
    /// The album, playlist or artist that it was played from.
    pub context_uri: Option<String>,
}

/// A row of the history. One with both a play and an oddity is usable but worth recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaySlot {
    pub play: Option<Play>,
    /// When the row says it was played, also where it holds nothing else that can be read.
    pub played_at: Option<DateTime<Utc>>,
    pub odd: Option<Oddity>,
}

/// The last plays, in the order of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlaysPage {
    pub slots: Vec<PlaySlot>,
}

/// What tells one play from another.
pub type PlayKey = (DateTime<Utc>, String);

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

impl Play {
    pub fn key(&self) -> PlayKey {
        (self.played_at, self.track_uri.clone())
    }
}

impl PlaysPage {
    pub fn plays(&self) -> impl Iterator<Item = &Play> {
        self.slots.iter().filter_map(|slot| slot.play.as_ref())
    }

    /// When the oldest play was. The order of the rows is not relied on.
    pub fn oldest(&self) -> Option<DateTime<Utc>> {
        self.plays().map(|play| play.played_at).min()
    }

    pub fn newest(&self) -> Option<DateTime<Utc>> {
        self.plays().map(|play| play.played_at).max()
    }

    /// Whether there may be more plays than it shows.
    pub fn is_full(&self) -> bool {
        self.slots.len() >= PLAYS_PAGE_LEN
    }
}
