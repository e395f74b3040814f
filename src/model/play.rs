//! The listening history, as shown by a page of it.

use super::{Oddity, Track};
use chrono::{DateTime, TimeDelta, Utc};

/// Rows of a whole page, and the most that the API ever shows: older plays are out of reach.
pub const PLAYS_PAGE_LEN: usize = 50;

/// Something that was listened to. `played_at` is near the end of the play, to the millisecond; together with the URI
/// it identifies the play.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Play {
    pub played_at: DateTime<Utc>,
    /// Shortened if it is longer than an index can hold, like the id of a local file.
    pub track_uri: String,
    /// Enters the catalogue; `None` for episodes and anything else that does not belong there.
    pub track: Option<Track>,
    /// The album, playlist or artist that it was played from.
    pub context_uri: Option<String>,
}

/// A row of the history. One with both a play and an oddity is usable but worth recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaySlot {
    pub play: Option<Play>,
    /// When it was played, by the row's own date, even if nothing else in the row can be read.
    pub played_at: Option<DateTime<Utc>>,
    pub odd: Option<Oddity>,
}

/// The last plays, in the order of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlaysPage {
    pub slots: Vec<PlaySlot>,
}

/// A play dated further ahead shows that a device has a wrong calendar, not what was heard last.
const AHEAD_MAX: TimeDelta = TimeDelta::minutes(15);

/// Identifies a play.
pub type PlayKey = (DateTime<Utc>, String);

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

    /// Up to when plays that are known count beside it, where the calendar says `wall`. The calendar of this machine may
    /// be wrong as well.
    pub fn horizon(&self, wall: DateTime<Utc>) -> DateTime<Utc> {
        self.newest().map_or(wall, |newest| newest.max(wall)) + AHEAD_MAX
    }

    /// Whether there may be more plays than it shows.
    pub fn is_full(&self) -> bool {
        self.slots.len() >= PLAYS_PAGE_LEN
    }
}
