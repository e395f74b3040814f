//! What `segno status --json` prints and the web API serves. The names are part of the interface.

use super::{AccountId, EntityType, Family, LimitClass, Phase, SignInState, TokenFailure};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    pub accounts: Vec<AccountStatus>,
    /// What stops requests now, including our own daily ceilings.
    pub limits: Vec<LimitStatus>,
    /// The requests that remain, and when they will be done; for all accounts together.
    #[serde(default)]
    pub forecast: Vec<ForecastStatus>,
    /// The services that keep these accounts current, or did until recently.
    #[serde(default)]
    pub nodes: Vec<NodeStatus>,
    /// What the limit of the application allows; `null` before anybody has signed in.
    #[serde(default)]
    pub capacity: Option<CapacityStatus>,
    /// The webhooks that are notified, and whether they accept it.
    #[serde(default)]
    pub webhooks: Vec<WebhookStatus>,
    /// Where the feed is published; `null` if the settings name no server.
    #[serde(default)]
    pub stream: Option<StreamStatus>,
}

/// What the limit of the application allows, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CapacityStatus {
    pub requests_per_day: u32,
    /// Learned from the answers of the API, or configured; otherwise assumed.
    pub is_learned: bool,
    /// Requests a day that keeping one account current takes.
    pub requests_per_account: u32,
    /// Measured over the last day; otherwise derived from the settings.
    pub is_measured: bool,
    /// Accounts that can be kept current.
    pub accounts: u32,
    /// When the last library read for the first time will be done; `null` if there is none.
    pub all_read_at: Option<DateTime<Utc>>,
}

/// A service on this database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    pub id: String,
    pub label: String,
    pub version: String,
    pub started_at: DateTime<Utc>,
    pub seen_at: DateTime<Utc>,
    /// Whether it was heard of recently; the accounts of a silent one go to others.
    pub lives: bool,
    /// Accounts that it keeps current.
    pub num_accounts: u32,
}

/// A receiver of `notify.webhook`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookStatus {
    /// The host of its address, the rest of which may be a secret.
    pub host: String,
    /// `null` while it accepts what it is sent.
    pub failing_since: Option<DateTime<Utc>>,
    /// When the entry that it has not accepted is sent again.
    pub next_try_at: Option<DateTime<Utc>>,
    /// Why the last try failed.
    pub error: Option<String>,
    /// Entries that it has yet to receive; 10,000 at most are counted.
    pub waiting: u32,
}

/// The stream of `feed.nats_url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamStatus {
    /// The host of the first server.
    pub host: String,
    /// The service that publishes.
    pub node: Option<String>,
    /// The last entry of the feed that is in the stream.
    pub published: u64,
    /// Entries after it.
    pub waiting: u64,
    /// When an entry was last published, or the stream's end was found.
    pub moved_at: Option<DateTime<Utc>>,
    /// `null` while it accepts what is published.
    pub failing_since: Option<DateTime<Utc>>,
    pub next_try_at: Option<DateTime<Utc>>,
    /// Why the last try failed.
    pub error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AccountStatus {
    pub account_id: AccountId,
    pub spotify_id: String,
    pub display_name: Option<String>,
    pub sign_in: SignInState,
    /// Why there is no new access token for a while, and when the token endpoint is asked again; `null` if all is well.
    #[serde(default)]
    pub token_trouble: Option<TokenFailure>,
    /// Permissions that the person did not grant, by Spotify's names.
    pub missing_scopes: Vec<String>,
    /// The service that keeps the account current, if one is alive.
    pub service: Option<String>,
    pub entities: Vec<EntityStatus>,
    /// When the first of the runs stopped by a limit may continue; `null` if there are none.
    #[serde(default)]
    pub limited_until: Option<DateTime<Utc>>,
    pub playback: PlaybackStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EntityStatus {
    pub entity_type: EntityType,
    pub phase: Phase,
    pub state: State,
    /// Slots of the listing read so far.
    pub offset: u32,
    pub total: Option<u32>,
    /// 0 to 100; `null` while the total is unknown.
    pub percent: Option<f64>,
    pub resume_at: Option<DateTime<Utc>>,
    pub error: Option<String>,
    pub last_updated_at: Option<DateTime<Utc>>,
    /// When a run last reached its end, in either phase.
    pub completed_at: Option<DateTime<Utc>>,
    /// When the service begins the next run; `null` without a service.
    pub next_run_at: Option<DateTime<Utc>>,
    /// Ranges that the API could not serve and that wait for a retry.
    pub open_gaps: u32,
    /// Whether a person has paused it, which lasts until a person resumes it.
    #[serde(default)]
    pub is_paused_by_hand: bool,
    /// Removals that wait for a later run that misses the same items, or for a person; including items of playlists.
    #[serde(default)]
    pub held_removals: Option<u32>,
    /// Playlists whose items could not be read in the last try.
    #[serde(default)]
    pub waiting_playlists: Vec<WaitingPlaylistStatus>,
    /// Playlists whose items are not read, since `sync.playlists` excludes them; their items stay as they were.
    #[serde(default)]
    pub left_out_playlists: u32,
    /// When everything was last verified, whatever the counts say.
    #[serde(default)]
    pub verified_at: Option<DateTime<Utc>>,
}

/// A playlist that waits for another try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitingPlaylistStatus {
    pub id: String,
    pub name: String,
    pub reason: String,
    /// `null` means with the next run.
    pub next_try_at: Option<DateTime<Utc>>,
}

impl EntityStatus {
    /// The status of an entity type that has not begun.
    pub fn idle(entity_type: EntityType) -> EntityStatus {
        EntityStatus {
            entity_type,
            phase: Phase::InitialSync,
            state: State::Idle,
            offset: 0,
            total: None,
            percent: None,
            resume_at: None,
            error: None,
            last_updated_at: None,
            completed_at: None,
            next_run_at: None,
            open_gaps: 0,
            is_paused_by_hand: false,
            held_removals: None,
            waiting_playlists: Vec::new(),
            left_out_playlists: 0,
            verified_at: None,
        }
    }

    /// The same, paused by a person: nothing is planned before that is over.
    pub fn paused_by_hand(self) -> EntityStatus {
        EntityStatus { state: State::Paused, resume_at: None, next_run_at: None, is_paused_by_hand: true, ..self }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Idle,
    Running,
    Complete,
    Paused,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PlaybackStatus {
    pub plays: u64,
    pub last_played_at: Option<DateTime<Utc>>,
    /// When the listening history was last read.
    pub last_polled_at: Option<DateTime<Utc>>,
    /// When it is read again; during a pause, when that ends.
    pub next_poll_at: Option<DateTime<Utc>>,
    /// Periods in which plays may be missing.
    pub open_gaps: u32,
    /// The latest of them.
    pub last_gap: Option<PlayGapStatus>,
    /// Why the last poll failed.
    pub error: Option<String>,
    /// A permission is missing, or the API has closed the history: it is tried again then.
    #[serde(default)]
    pub parked_until: Option<DateTime<Utc>>,
}

/// Plays between these two moments may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlayGapStatus {
    pub played_after: DateTime<Utc>,
    pub played_before: DateTime<Utc>,
    pub detected_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitStatus {
    pub family: Family,
    pub class: LimitClass,
    pub blocked_until: DateTime<Utc>,
}

/// A family that has requests left, or is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForecastStatus {
    pub family: Family,
    pub remaining_requests: u32,
    /// Requests that our own daily ceilings leave; `null` without one.
    pub left_today: Option<u32>,
    pub paused_until: Option<DateTime<Utc>>,
    /// Why it is paused.
    pub class: Option<LimitClass>,
    /// `null` if nothing remains.
    pub done_at: Option<DateTime<Utc>>,
}
