//! The beginning of a run, and with it the fence: the last process to begin is the only one that may write.
//!
//! There is one fence per entity type, not per phase: a run that keeps the library current must stop one that still
//! reads it for the first time. So both rows always carry one generation and one owner, and the two statements that
//! could break this, beginning and switching, take turns at the account's row.

use super::rows::LISTING;
use super::schema::{accounts, sync_states};
use super::sync_states::{RESET, StateKey, SyncState, clear_rate_limit, get_or_create, row_of, rows_of};
use super::types::At;
use super::{Conn, Store, StoreError, due_playlists, gaps, held, seen, with_conn};
use crate::model::{AccountId, Checkpoint, EntityType, Fence, Phase, Stage, WalkState};
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// How far an entity type has come, in each phase that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntityProgress {
    pub initial: Option<Checkpoint>,
    pub incremental: Option<Checkpoint>,
}

impl Store {
    /// Begins a run in a phase and fences off every earlier run of the entity type. Returns the fence to write with and
    /// the checkpoint to continue from. `label` shows people which process writes now.
    pub async fn begin_run(
        &self,
        account: AccountId,
        entity: EntityType,
        phase: Phase,
        owner: Uuid,
        label: &str,
        now: DateTime<Utc>,
    ) -> Result<(Fence, Checkpoint), StoreError> {
        let now = At::from(now);
        self.transaction(async |conn| {
            lock_account(conn, account).await?;
            expect_not_claimed_by_another(conn, account, owner).await?;
            let state = get_or_create(conn, StateKey { account, entity, phase }).await?;
            let fence = Fence { generation: last_generation(conn, account, entity).await? + 1, owner };
            with_conn!(conn, |c| {
                use sync_states::{generation, owner, owner_label};
                let ours = (generation.eq(fence.generation), owner.eq(fence.owner.to_string()), owner_label.eq(label));
                diesel::update(rows_of!(account, entity)).set(ours).execute(c).await
            })?;
            Ok((fence, enter(conn, state, now).await?))
        })
        .await
    }

    /// Continues in the other phase within one run, under one fence.
    pub async fn switch_phase(
        &self,
        fence: Fence,
        account: AccountId,
        entity: EntityType,
        phase: Phase,
        now: DateTime<Utc>,
    ) -> Result<Checkpoint, StoreError> {
        let now = At::from(now);
        self.transaction(async |conn| {
            use sync_states::{generation, owner, owner_label};
            lock_account(conn, account).await?;
            let rows: Vec<(i64, Option<String>, Option<String>)> = with_conn!(conn, |c| {
                rows_of!(account, entity).select((generation, owner, owner_label)).load(c).await
            })?;
            let holder = Some(fence.owner.to_string());
            let ours = rows.iter().find(|(raised, by, _)| *raised == fence.generation && *by == holder);
            let Some((_, _, label)) = ours else {
                let label = rows.into_iter().find_map(|(_, _, label)| label);
                return Err(StoreError::Fenced { by: label.unwrap_or_else(|| RESET.to_owned()) });
            };
            let key = StateKey { account, entity, phase };
            let state = get_or_create(conn, key).await?;
            with_conn!(conn, |c| {
                let ours = (generation.eq(fence.generation), owner.eq(holder), owner_label.eq(label));
                diesel::update(row_of!(key)).set(ours).execute(c).await
            })?;
            enter(conn, state, now).await
        })
        .await
    }

    /// Forgets both phases, so that the next run starts over; library rows stay. A run under way is fenced off.
    pub async fn reset(&self, account: AccountId, entity: EntityType) -> Result<(), StoreError> {
        self.transaction(async |conn| {
            lock_account(conn, account).await?;
            let next = last_generation(conn, account, entity).await? + 1;
            let [initial, incremental] =
                [Phase::InitialSync, Phase::IncrementalSync].map(|phase| StateKey { account, entity, phase });
            with_conn!(conn, |c| diesel::delete(row_of!(incremental)).execute(c).await)?;
            with_conn!(conn, |c| {
                use sync_states::*;
                let start = (
                    (last_synced_offset.eq(0), cursor.eq(None::<String>), total_estimated.eq(None::<i64>)),
                    (is_complete.eq(false), checkpoint.eq(None::<String>)),
                    (started_at.eq(None::<At>), completed_at.eq(None::<At>), last_updated_at.eq(None::<At>)),
                    (failed_at.eq(None::<At>), error_message.eq(None::<String>)),
                    (generation.eq(next), owner.eq(None::<String>), owner_label.eq(RESET)),
                );
                diesel::update(row_of!(initial)).set(start).execute(c).await
            })?;
            seen::forget(conn, account, entity, None).await?;
            gaps::forget_open(conn, account, entity).await?;
            held::release(conn, account, entity, LISTING).await?;
            if entity.has_items() {
                due_playlists::forget_item_snapshots(conn, account).await?;
            }
            Ok(())
        })
        .await
    }

    /// Where each phase of an entity type stands. Reads only: it fences nobody.
    pub async fn load_progress(&self, account: AccountId, entity: EntityType) -> Result<EntityProgress, StoreError> {
        let mut progress = EntityProgress::default();
        for state in self.list_by_entity_type(account, entity).await? {
            match state.key.phase {
                Phase::InitialSync => progress.initial = Some(state.checkpoint),
                Phase::IncrementalSync => progress.incremental = Some(state.checkpoint),
            }
        }
        Ok(progress)
    }
}

/// A process that was overtaken must not take over again by restarting one of its runs.
pub(super) async fn expect_not_claimed_by_another(
    conn: &mut Conn,
    account: AccountId,
    owner: Uuid,
) -> Result<(), StoreError> {
    let (claimed_by, label): (Option<String>, Option<String>) = with_conn!(conn, |c| {
        let row = accounts::table.filter(accounts::id.eq(account.0));
        row.select((accounts::owner, accounts::owner_label)).get_result(c).await
    })?;
    match claimed_by {
        Some(other) if other != owner.to_string() => {
            Err(StoreError::Fenced { by: label.unwrap_or_else(|| "another process".to_owned()) })
        }
        Some(_) | None => Ok(()),
    }
}

/// Makes processes that change fences wait for each other; what they read afterwards is current.
pub(super) async fn lock_account(conn: &mut Conn, account: AccountId) -> Result<(), StoreError> {
    let locked = with_conn!(conn, |c| {
        let row = accounts::table.filter(accounts::id.eq(account.0));
        diesel::update(row).set(accounts::spotify_id.eq(accounts::spotify_id)).execute(c).await
    })?;
    if locked == 0 { Err(StoreError::UnknownAccount(account)) } else { Ok(()) }
}

/// The highest generation that the entity type has had.
async fn last_generation(conn: &mut Conn, account: AccountId, entity: EntityType) -> Result<i64, StoreError> {
    let last: Option<i64> = with_conn!(conn, |c| {
        rows_of!(account, entity).select(diesel::dsl::max(sync_states::generation)).get_result(c).await
    })?;
    Ok(last.unwrap_or(0))
}

/// Enters a phase: earlier failures are cleared, and a phase that begins (again) begins now.
async fn enter(conn: &mut Conn, state: SyncState, now: At) -> Result<Checkpoint, StoreError> {
    let key = state.key;
    if state.rate_limit_hit_at.is_some() && !state.is_rate_limited(now.into()) {
        clear_rate_limit(conn, key).await?;
    }
    let Checkpoint { is_complete, ref walk, ref note, .. } = state.checkpoint;
    let begins = is_complete || walk.place.stage == Stage::Fresh;
    if *walk == WalkState::default() {
        // Either nothing was ever read, or the memory is lost; pass numbers may now be reused.
        seen::forget(conn, key.account, key.entity, None).await?;
    }
    with_conn!(conn, |c| {
        use sync_states::{error_message, failed_at, last_updated_at, started_at};
        let entered = (
            begins.then(|| started_at.eq(now)),
            last_updated_at.eq(now),
            failed_at.eq(None::<At>),
            error_message.eq(note),
        );
        diesel::update(row_of!(key)).set(entered).execute(c).await
    })?;
    Ok(state.checkpoint)
}
