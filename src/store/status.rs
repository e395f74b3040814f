//! What `segno status` shows, from the database alone, and the counts of a library.

use super::by_sql::count;
use super::claims::{self, IsGone, Tenure};
use super::due_playlists::{self, WaitingPlaylist};
use super::plays::PlayCounts;
use super::sync_states::{self, SyncState, earliest_reset, shown};
use super::types::{At, len};
use super::{
    Conn, SignIn, Store, StoreError, by_hand, followers, gaps, held, limits, membership, nodes, plays, tokens,
};
use crate::model::status::{
    AccountStatus, EntityStatus, LimitStatus, PlaybackStatus, State, Status, WaitingPlaylistStatus,
};
use crate::model::{AccountId, EntityType, Family, Pause, PerEntity, Stage};
use chrono::{DateTime, TimeDelta, Utc};

/// How recent a sync state must be to count as running, if no service reports that it is alive: a batch takes seconds,
/// a patient retry less than a minute.
const RUNNING_WITHIN: TimeDelta = TimeDelta::seconds(60);

/// How much an account's library and the catalogue hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LibraryCounts {
    pub members: PerEntity<MembershipCount>,
    /// Items of the playlists that are in the library.
    pub playlist_items: u64,
    pub catalogue_tracks: u64,
    pub catalogue_albums: u64,
    pub catalogue_artists: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MembershipCount {
    pub active: u32,
    pub removed: u32,
}

impl Store {
    /// Without the forecast and our own ceilings, which are computed from this where the settings are known.
    pub async fn status(&self, now: DateTime<Utc>) -> Result<Status, StoreError> {
        self.status_again(&PlayCounts::default(), &|_| false, now).await
    }

    /// The same, for repeated calls. `is_gone` tells whether a process is certainly dead.
    pub async fn status_again(
        &self,
        counts: &PlayCounts,
        is_gone: IsGone<'_>,
        now: DateTime<Utc>,
    ) -> Result<Status, StoreError> {
        let mut conn = self.connect().await?;
        let pauses = limits::pauses(&mut conn, At::from(now)).await?;
        let mut statuses = Vec::new();
        for sign_in in tokens::list(&mut conn, None).await? {
            statuses.push(account_status(&mut conn, sign_in, &pauses, counts, is_gone, now).await?);
        }
        let nodes = nodes::list(&mut conn, is_gone, now).await?;
        let limit = |pause: &Pause| LimitStatus { family: pause.scope, class: pause.class, blocked_until: pause.until };
        let limits = pauses.iter().map(limit).collect();
        let (webhooks, stream) = followers::list(&mut conn).await?;
        Ok(Status { accounts: statuses, limits, forecast: Vec::new(), nodes, capacity: None, webhooks, stream })
    }

    /// Members of an account's library that are not marked removed.
    pub async fn num_members(&self, account: AccountId, entity: EntityType) -> Result<u32, StoreError> {
        membership::num_active(&mut self.connect().await?, account, entity).await
    }

    pub async fn library_counts(&self, account: AccountId) -> Result<LibraryCounts, StoreError> {
        let conn = &mut self.connect().await?;
        let mut members = PerEntity::default();
        for entity in EntityType::ALL.iter().copied() {
            let active = membership::num_active(conn, account, entity).await?;
            let removed = membership::num_removed(conn, account, entity).await?;
            members[entity] = MembershipCount { active, removed };
        }
        let items = format!(
            "library_playlists l JOIN playlist_items i ON i.playlist_id = l.playlist_id \
             WHERE l.account_id = {} AND l.removed_at IS NULL",
            account.0
        );
        Ok(LibraryCounts {
            members,
            playlist_items: count(conn, &items).await?,
            catalogue_tracks: count(conn, "tracks").await?,
            catalogue_albums: count(conn, "albums").await?,
            catalogue_artists: count(conn, "artists").await?,
        })
    }
}

async fn account_status(
    conn: &mut Conn,
    sign_in: SignIn,
    pauses: &[Pause],
    counts: &PlayCounts,
    is_gone: IsGone<'_>,
    now: DateTime<Utc>,
) -> Result<AccountStatus, StoreError> {
    let state = sign_in.state(now);
    let missing_scopes = sign_in.missing_scopes().into_iter().map(|scope| scope.name.to_owned()).collect();
    let trouble = sign_in.grant.and_then(|grant| grant.trouble.filter(|_| grant.refusal.is_none()));
    let account = sign_in.account;
    let states = sync_states::list(conn, account.id).await?;
    let tenure = claims::tenure(conn, account.id, is_gone, now).await?;
    let open = gaps::entities_of_open(conn, account.id).await?;
    let paused = by_hand::list(conn, account.id).await?;
    let held = held::num_held(conn, account.id).await?;
    let waiting = due_playlists::waiting(conn, account.id, now).await?;
    let entity_status = |entity: &EntityType| {
        let is_paused = paused.contains(entity);
        let Some(state) = shown(*entity, &states) else {
            return is_paused.then(|| EntityStatus::idle(*entity).paused_by_hand());
        };
        let open_gaps = open.iter().filter(|of| of.as_str() == entity.as_str()).count();
        // Also while the other phase is under way for the first time.
        let completed_at =
            states.iter().filter(|state| state.key.entity == *entity).filter_map(|s| s.completed_at).max();
        let waits = |_: &&WaitingPlaylist| entity.has_items();
        let status = EntityStatus {
            open_gaps: len(open_gaps),
            completed_at,
            held_removals: held.get(entity.as_str()).copied(),
            waiting_playlists: waiting.iter().filter(waits).map(waiting_status).collect(),
            ..entity_status(state, pauses, &tenure, now)
        };
        Some(if is_paused { status.paused_by_hand() } else { status })
    };
    let entities = EntityType::ALL.iter().filter_map(entity_status).collect();
    let limited_until = earliest_reset(&states, now);
    let playback = playback(conn, account.id, pauses, counts, now).await?;
    Ok(AccountStatus {
        account_id: account.id,
        spotify_id: account.spotify_id,
        display_name: account.display_name,
        sign_in: state,
        token_trouble: trouble.filter(|trouble| trouble.retry_at > now || trouble.doubted_at.is_some()),
        missing_scopes,
        service: match tenure {
            Tenure::Held(by) => Some(by),
            Tenure::Over | Tenure::Unknown => None,
        },
        entities,
        limited_until,
        playback,
    })
}

fn entity_status(state: &SyncState, pauses: &[Pause], tenure: &Tenure, now: DateTime<Utc>) -> EntityStatus {
    let checkpoint = &state.checkpoint;
    let entity = state.key.entity;
    let paused_until = pauses
        .iter()
        .filter(|pause| pause.scope == entity.family() || pause.scope == Family::Application)
        .map(|pause| pause.until)
        .filter(|_| !checkpoint.is_complete)
        // A run that met a limit before its first commit waits, even if the one before it was complete.
        .chain(state.rate_limit_reset_at)
        .filter(|until| *until > now)
        .max();
    let next_run_at = state.next_run_at.filter(|at| *at > now && matches!(tenure, Tenure::Held(_)));
    let is_running = match tenure {
        Tenure::Held(_) => next_run_at.is_none(),
        Tenure::Over => false,
        Tenure::Unknown => state.last_updated_at.is_some_and(|at| now - at <= RUNNING_WITHIN),
    };
    let show = if state.failure.is_some() {
        State::Failed
    } else if paused_until.is_some() {
        State::Paused
    } else if checkpoint.is_complete {
        State::Complete
    } else if is_running {
        State::Running
    } else {
        State::Idle
    };
    // A complete phase has read everything, wherever its last walk stopped; so has one that only verifies.
    let has_read_all = checkpoint.is_complete || checkpoint.walk.place.stage == Stage::Verify;
    let offset = if has_read_all { checkpoint.total.unwrap_or(checkpoint.offset) } else { checkpoint.offset };
    EntityStatus {
        entity_type: entity,
        phase: state.key.phase,
        state: show,
        offset,
        total: checkpoint.total,
        percent: percent(offset, checkpoint.total, checkpoint.is_complete),
        resume_at: paused_until,
        error: state.failure.clone().or_else(|| checkpoint.note.clone()),
        last_updated_at: state.last_updated_at,
        completed_at: state.completed_at,
        next_run_at,
        open_gaps: 0,
        is_paused_by_hand: false,
        held_removals: None,
        waiting_playlists: Vec::new(),
        left_out_playlists: 0,
        verified_at: checkpoint.walk.memory.verification.as_ref().and_then(|pass| pass.ended_at),
    }
}

fn waiting_status(waiting: &WaitingPlaylist) -> WaitingPlaylistStatus {
    let WaitingPlaylist { id, name, reason, next_try_at, .. } = waiting;
    WaitingPlaylistStatus { id: id.clone(), name: name.clone(), reason: reason.clone(), next_try_at: *next_try_at }
}

fn percent(offset: u32, total: Option<u32>, is_complete: bool) -> Option<f64> {
    match total {
        _ if is_complete => Some(100.0),
        None | Some(0) => None,
        Some(total) => Some((f64::from(offset) * 100.0 / f64::from(total)).min(100.0)),
    }
}

/// The next poll waits for a pause that ends later than it is due.
async fn playback(
    conn: &mut Conn,
    account: AccountId,
    pauses: &[Pause],
    counts: &PlayCounts,
    now: DateTime<Utc>,
) -> Result<PlaybackStatus, StoreError> {
    let mut status = plays::status(conn, account, counts, now).await?;
    let stops_player = |pause: &&Pause| pause.scope == Family::Player || pause.scope == Family::Application;
    let paused_until = pauses.iter().filter(stops_player).map(|pause| pause.until).max();
    status.next_poll_at = status.next_poll_at.map(|next| paused_until.map_or(next, |until| next.max(until)));
    Ok(status)
}
