//! The limits, the API's two and our own, as far as other modules need to know them.

use super::Family;
use super::ids::words;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// Requests per window if none are configured and nothing has been learned yet: one in about four seconds. The limit is
/// unpublished; ten per 30 s were measured as too many for a new application.
pub const START_REQUESTS: u32 = 7;

words! {
    /// Which limit stops a request.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    LimitClass {
        /// The rolling 30 s limit of the whole application: short.
        Rate = "rate",
        /// The daily quota of one endpoint family: half a day or more.
        Quota = "quota",
        /// A daily ceiling of our own (`rate_limit.daily`), so that the quota is never reached. It follows from the
        /// ledger and is not stored as a pause.
        Ceiling = "ceiling",
    }
}

/// What a pause stops: one family, or with `Family::Application` everything.
pub type PauseScope = Family;

/// Nothing is sent to `scope` before `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub scope: PauseScope,
    pub class: LimitClass,
    pub until: DateTime<Utc>,
}

/// A pause as it was found, with the moment at which it was noted: by that clock it cannot last longer than from then
/// to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotedPause {
    pub pause: Pause,
    pub noted_at: DateTime<Utc>,
}

/// What the gate has learned about the rate limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearnedRate {
    /// Requests per window.
    pub requests: f64,
    pub window: Duration,
    pub refused: Option<RefusedLevel>,
}

/// A number of requests in one window that the API refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedLevel {
    /// Including the refused request.
    pub level: u32,
    pub at: DateTime<Utc>,
    /// How many times in a row about this level was tried and refused, after the first time.
    pub times: u32,
}

/// Requests of one family in one stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerEntry {
    pub family: Family,
    pub started_at: DateTime<Utc>,
    /// Including refused ones.
    pub requests: u32,
    pub refusals: u32,
}

/// Requests of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    pub requests: u32,
    /// None of them reached the API later.
    pub until: DateTime<Utc>,
}

/// Our own daily limits by family, below those of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DailyCeilings {
    pub tracks: Option<u32>,
    pub albums: Option<u32>,
    pub artists: Option<u32>,
    pub playlists: Option<u32>,
    pub playlist_items: Option<u32>,
    pub shows: Option<u32>,
    pub episodes: Option<u32>,
    pub audiobooks: Option<u32>,
    pub player: Option<u32>,
    /// All families together.
    pub all: Option<u32>,
    /// How many of `all` are kept for the playback tracker: a play that is not polled in time is lost, a library entry
    /// is not.
    pub reserve: u32,
}

impl DailyCeilings {
    /// The ceiling of the family's own requests.
    pub fn of(&self, family: Family) -> Option<u32> {
        match family {
            Family::Application => None,
            Family::Player => self.player,
            Family::Tracks => self.tracks,
            Family::Artists => self.artists,
            Family::Albums => self.albums,
            Family::Playlists => self.playlists,
            Family::PlaylistItems => self.playlist_items,
            Family::Shows => self.shows,
            Family::Episodes => self.episodes,
            Family::Audiobooks => self.audiobooks,
        }
    }

    /// The count of requests of all families below which this family may still send one.
    pub fn all_for(&self, family: Family) -> Option<u32> {
        let kept = if family == Family::Player { 0 } else { self.reserve };
        self.all.map(|all| all.saturating_sub(kept))
    }
}

/// What must outlast a process so that its gate can continue.
#[derive(Debug, Clone, Default)]
pub struct GateNote {
    /// Including past ones: after one of the rate limit, a single request goes first.
    pub pauses: Vec<NotedPause>,
    /// What the process itself had sent in an earlier life.
    pub sent: Vec<Sent>,
    pub learned: Option<LearnedRate>,
    /// The last day's.
    pub ledger: Vec<LedgerEntry>,
}
