//! The tracking of plays: what is known around a page, what a poll commits, and the state of the tracking.

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
    /// The newest one before them, or of all if the page is empty.
    pub newest_before: Option<DateTime<Utc>>,
    /// Streams of a data export that may be plays of the page, and that are not paired with a play of the API.
    pub streams: Vec<HeardAt>,
    /// Plays of the page that are paired already.
    pub paired: HashSet<PlayKey>,
    /// What `played_at` turned out to mean at the import.
    pub meaning: Option<Meaning>,
    /// A data export contains everything that was heard until then.
    pub heard_until: Option<DateTime<Utc>>,
}

impl KnownPlays {
    /// The newest up to a horizon ([`PlaysPage::horizon`]).
    pub fn newest(&self, horizon: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.keys.iter().map(|(at, _)| *at).filter(|at| *at <= horizon).max().or(self.newest_before)
    }

    /// Gives the plays of a page that are known with a time of another precision that time: the same track does not
    /// begin twice within a second.
    pub fn recognise(&self, page: &mut PlaysPage) {
        let is_whole = |at: DateTime<Utc>| at.timestamp_subsec_nanos() == 0;
        let is_finer = |one: DateTime<Utc>, other: DateTime<Utc>| {
            is_whole(one) != is_whole(other) || one.timestamp_millis() == other.timestamp_millis()
        };
        for slot in &mut page.slots {
            let Some(play) = slot.play.as_mut().filter(|play| !self.keys.contains(&play.key())) else { continue };
            let is_it = |(at, uri): &&PlayKey| {
                *uri == play.track_uri && at.timestamp() == play.played_at.timestamp() && is_finer(*at, play.played_at)
            };
            if let Some((at, _)) = self.keys.iter().find(is_it) {
                play.played_at = *at;
                slot.played_at = Some(*at);
            }
        }
    }
}

/// Plays between these two moments may be missing: they had left the page before it was polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayGap {
    pub played_after: DateTime<Utc>,
    pub played_before: DateTime<Utc>,
}

/// The state of an account's tracking, from which a restart continues.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlaybackRecord {
    /// The last poll that was answered and committed.
    pub last_polled_at: Option<DateTime<Utc>>,
    /// The last one that brought something new.
    pub last_new_at: Option<DateTime<Utc>>,
    pub next_poll_at: Option<DateTime<Utc>>,
    /// The API refuses for a reason that only a person can resolve; it is asked again at this time.
    pub parked_until: Option<DateTime<Utc>>,
    /// Why the last poll failed.
    pub error: Option<String>,
    /// When the person last signed in.
    pub authorized_at: Option<DateTime<Utc>>,
}

/// Everything that one poll writes, or none of it.
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

/// A failed poll: for `status` to show, and for a restart to consider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaybackNote {
    pub account_id: AccountId,
    /// `None` means not before somebody has done something about it.
    pub next_poll_at: Option<DateTime<Utc>>,
    pub parked_until: Option<DateTime<Utc>>,
    pub error: Option<String>,
}
