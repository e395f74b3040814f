//! The sync states: one row per account, entity type and phase, holding the checkpoint that a run continues from.
//!
//! Every write of a checkpoint needs a [`Fence`]. If the update finds no row with that generation and owner, another
//! process has taken over, and the error names it.

use super::schema::sync_states;
use super::types::{At, Instant, clean, to_u32};
use super::{Conn, Store, StoreError, with_conn};
use crate::model::{AccountId, Checkpoint, EntityType, Fence, Phase, SyncKey, WalkState};
use chrono::{DateTime, Utc};
use diesel::dsl::{Eq, case_when};
use diesel::sql_types::Nullable;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, IntoSql, OptionalExtension, QueryDsl, Queryable, Selectable,
    SelectableHelper,
};
use diesel_async::RunQueryDsl;
use tracing::warn;
use uuid::Uuid;

/// Names one row of `sync_states`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateKey {
    pub account: AccountId,
    pub entity: EntityType,
    pub phase: Phase,
}

/// A row of `sync_states`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncState {
    pub id: i64,
    pub key: StateKey,
    pub checkpoint: Checkpoint,
    pub generation: i64,
    /// The process that began the latest run, as people know it.
    pub owner_label: Option<String>,
    pub rate_limit_hit_at: Option<DateTime<Utc>>,
    pub rate_limit_reset_at: Option<DateTime<Utc>>,
    pub rate_limit_remaining: Option<i32>,
    pub started_at: Option<DateTime<Utc>>,
    pub last_updated_at: Option<DateTime<Utc>>,
    /// When the phase last reached its end, also while it is under way again.
    pub completed_at: Option<DateTime<Utc>>,
    /// Why the latest run failed.
    pub failure: Option<String>,
    pub failed_at: Option<DateTime<Utc>>,
    /// When the service plans the next run.
    pub next_run_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = sync_states)]
pub(super) struct SyncStateRow {
    id: i64,
    account_id: i64,
    entity_type: String,
    phase: String,
    last_synced_offset: i64,
    cursor: Option<String>,
    total_estimated: Option<i64>,
    is_complete: bool,
    rate_limit_hit_at: Option<DateTime<Utc>>,
    rate_limit_reset_at: Option<DateTime<Utc>>,
    rate_limit_remaining: Option<i32>,
    started_at: Option<DateTime<Utc>>,
    last_updated_at: Option<DateTime<Utc>>,
    completed_at: Option<DateTime<Utc>>,
    failed_at: Option<DateTime<Utc>>,
    error_message: Option<String>,
    checkpoint: Option<String>,
    generation: i64,
    owner_label: Option<String>,
    next_run_at: Option<DateTime<Utc>>,
}

/// Named as the new owner if no run has taken over.
pub(super) const RESET: &str = "a reset";

/// The same, if the row is gone.
const GONE: &str = "a reset or a purge";

/// Both rows of an entity type, as a query.
macro_rules! rows_of {
    ($account:expr, $entity:expr) => {{
        use $crate::store::schema::sync_states::{account_id, entity_type, table};
        table.filter(account_id.eq($account.0)).filter(entity_type.eq($entity.as_str()))
    }};
}
pub(super) use rows_of;

/// The row of a key, as a query.
macro_rules! row_of {
    ($key:expr) => {
        $crate::store::sync_states::rows_of!($key.account, $key.entity)
            .filter($crate::store::schema::sync_states::phase.eq($key.phase.as_str()))
    };
}
pub(super) use row_of;

/// The row of a key, as a query that finds it only for the run that holds the fence.
macro_rules! fenced_row_of {
    ($key:expr, $fence:expr) => {
        row_of!($key)
            .filter(sync_states::generation.eq($fence.generation))
            .filter(sync_states::owner.eq($fence.owner.to_string()))
    };
}

impl Store {
    /// Every state of an account.
    pub async fn list(&self, account: AccountId) -> Result<Vec<SyncState>, StoreError> {
        list(&mut self.connect().await?, account).await
    }

    pub async fn list_by_entity_type(
        &self,
        account: AccountId,
        entity: EntityType,
    ) -> Result<Vec<SyncState>, StoreError> {
        let states = self.list(account).await?;
        Ok(states.into_iter().filter(|state| state.key.entity == entity).collect())
    }

    /// Notes that a limit stops the entity type; for display only, the pause itself is in `rate_limits`. With a fence,
    /// only while it holds.
    pub async fn mark_rate_limited(
        &self,
        key: StateKey,
        fence: Option<Fence>,
        until: DateTime<Utc>,
        remaining: Option<i32>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let now = At::from(now);
        self.transaction(async |conn| {
            let updated = with_conn!(conn, |c| {
                use sync_states::{last_updated_at, rate_limit_hit_at, rate_limit_remaining, rate_limit_reset_at};
                let limited = (
                    rate_limit_hit_at.eq(now),
                    rate_limit_reset_at.eq(At::from(until)),
                    rate_limit_remaining.eq(remaining),
                    last_updated_at.eq(now),
                );
                match fence {
                    Some(fence) => diesel::update(fenced_row_of!(key, fence)).set(limited).execute(c).await,
                    None => diesel::update(row_of!(key)).set(limited).execute(c).await,
                }
            })?;
            if fence.is_some() { expect_fenced(conn, key, updated).await } else { Ok(()) }
        })
        .await
    }

    /// Notes for `status` why a process's run of an entity type failed, unless another process has taken over. The last
    /// run may have been complete: then the next one failed before its first commit.
    pub async fn mark_failed_by(
        &self,
        account: AccountId,
        entity: EntityType,
        owner: Uuid,
        message: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let now = At::from(now);
        self.transaction(async |conn| {
            let states = list(conn, account).await?;
            let phase = shown(entity, &states).map_or(Phase::InitialSync, |state| state.key.phase);
            let key = StateKey { account, entity, phase };
            with_conn!(conn, |c| {
                use sync_states::{error_message, failed_at, last_updated_at};
                let ours = row_of!(key).filter(sync_states::owner.eq(owner.to_string()));
                let failed = (failed_at.eq(now), error_message.eq(clean(message)), last_updated_at.eq(now));
                diesel::update(ours).set(failed).execute(c).await
            })?;
            Ok(())
        })
        .await
    }

    /// Notes why the run failed. The checkpoint stays: the next run continues from it.
    pub async fn mark_failed(
        &self,
        key: StateKey,
        fence: Fence,
        message: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let now = At::from(now);
        self.transaction(async |conn| {
            use sync_states::{error_message, failed_at, last_updated_at};
            let updated = with_conn!(conn, |c| {
                let failed = (failed_at.eq(now), error_message.eq(clean(message)), last_updated_at.eq(now));
                diesel::update(fenced_row_of!(key, fence)).set(failed).execute(c).await
            })?;
            expect_fenced(conn, key, updated).await
        })
        .await
    }
}

impl Store {
    /// Notes when the service plans the next run, in either phase. The plan of a process that was replaced is dropped.
    pub async fn plan_run(&self, key: SyncKey, owner: Uuid, at: Option<DateTime<Utc>>) -> Result<(), StoreError> {
        with_conn!(&mut self.connect().await?, |c| {
            let planned = sync_states::next_run_at.eq(at.map(At::from));
            let is_ours = sync_states::owner.is_null().or(sync_states::owner.eq(owner.to_string()));
            diesel::update(rows_of!(key.account, key.entity).filter(is_ours)).set(planned).execute(c).await
        })?;
        Ok(())
    }
}

/// Writes a checkpoint on behalf of the run that holds the fence. Limits and failures noted in the row are cleared,
/// since something was committed.
pub(super) async fn update_checkpoint(
    conn: &mut Conn,
    key: StateKey,
    fence: Fence,
    to: &Checkpoint,
    now: At,
) -> Result<(), StoreError> {
    use sync_states::*;
    if to.is_complete {
        mark_complete(conn, key, fence, now).await?;
    }
    let walk = serde_json::to_string(&to.walk).expect("a walk state is plain data");
    let updated = with_conn!(conn, |c| {
        let values = (
            last_synced_offset.eq(i64::from(to.offset)),
            cursor.eq(to.cursor.as_deref().map(clean)),
            total_estimated.eq(to.total.map(i64::from)),
            is_complete.eq(to.is_complete),
            checkpoint.eq(&walk),
            no_limit(),
            (failed_at.eq(None::<At>), error_message.eq(to.note.as_deref().map(clean))),
            last_updated_at.eq(now),
        );
        diesel::update(fenced_row_of!(key, fence)).set(values).execute(c).await
    })?;
    expect_fenced(conn, key, updated).await
}

/// The phase has reached its end, now or earlier: no limit stops it, and nothing failed.
pub(super) async fn mark_complete(conn: &mut Conn, key: StateKey, fence: Fence, now: At) -> Result<(), StoreError> {
    use sync_states::{completed_at, error_message, failed_at, is_complete, last_updated_at};
    let updated = with_conn!(conn, |c| {
        let was_complete = is_complete.and(completed_at.is_not_null());
        let since = case_when(was_complete, completed_at).otherwise(Some(now).into_sql::<Nullable<Instant>>());
        let no_failure = (failed_at.eq(None::<At>), error_message.eq(None::<String>));
        let complete = (completed_at.eq(since), is_complete.eq(true), last_updated_at.eq(now), no_limit(), no_failure);
        diesel::update(fenced_row_of!(key, fence)).set(complete).execute(c).await
    })?;
    expect_fenced(conn, key, updated).await
}

/// The limit that stopped the last run is over.
pub(super) async fn clear_rate_limit(conn: &mut Conn, key: StateKey) -> Result<(), StoreError> {
    with_conn!(conn, |c| diesel::update(row_of!(key)).set(no_limit()).execute(c).await)?;
    Ok(())
}

type NoLimit = (
    Eq<sync_states::rate_limit_hit_at, Option<At>>,
    Eq<sync_states::rate_limit_reset_at, Option<At>>,
    Eq<sync_states::rate_limit_remaining, Option<i32>>,
);

/// Clears the limit of the entity type, as part of an update.
fn no_limit() -> NoLimit {
    use sync_states::{rate_limit_hit_at, rate_limit_remaining, rate_limit_reset_at};
    (rate_limit_hit_at.eq(None), rate_limit_reset_at.eq(None), rate_limit_remaining.eq(None))
}

/// When the first of an account's limited entity types may continue.
pub(super) fn earliest_reset(states: &[SyncState], now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let limited = states.iter().filter(|state| state.is_rate_limited(now));
    limited.filter_map(|state| state.rate_limit_reset_at).min()
}

impl SyncState {
    /// Whether a limit still stops it.
    pub(super) fn is_rate_limited(&self, now: DateTime<Utc>) -> bool {
        self.rate_limit_reset_at.is_some_and(|until| until > now)
    }
}

/// Turns an update that found no row into the reason: another process has taken over.
async fn expect_fenced(conn: &mut Conn, key: StateKey, updated: usize) -> Result<(), StoreError> {
    if updated > 0 {
        return Ok(());
    }
    let label: Option<Option<String>> =
        with_conn!(conn, |c| row_of!(key).select(sync_states::owner_label).get_result(c).await.optional())?;
    let by = label.map_or_else(|| GONE.to_owned(), |label| label.unwrap_or_else(|| RESET.to_owned()));
    Err(StoreError::Fenced { by })
}

/// The state, created if there is none. Creating it begins no run.
pub(super) async fn get_or_create(conn: &mut Conn, key: StateKey) -> Result<SyncState, StoreError> {
    with_conn!(conn, |c| {
        use sync_states::{account_id, entity_type, phase};
        let row = (account_id.eq(key.account.0), entity_type.eq(key.entity.as_str()), phase.eq(key.phase.as_str()));
        diesel::insert_into(sync_states::table).values(row).on_conflict_do_nothing().execute(c).await
    })?;
    get(conn, key).await?.ok_or(StoreError::Query(diesel::NotFound))
}

pub(super) async fn get(conn: &mut Conn, key: StateKey) -> Result<Option<SyncState>, StoreError> {
    let row: Option<SyncStateRow> =
        with_conn!(conn, |c| row_of!(key).select(SyncStateRow::as_select()).get_result(c).await.optional())?;
    Ok(row.and_then(SyncState::of_row))
}

/// The phase to show: the latest that was begun. An incremental one counts once the initial one is complete.
pub(super) fn shown(entity: EntityType, states: &[SyncState]) -> Option<&SyncState> {
    let of = |phase| states.iter().find(|state| state.key.entity == entity && state.key.phase == phase);
    match (of(Phase::InitialSync), of(Phase::IncrementalSync)) {
        (Some(initial), Some(_)) if !initial.checkpoint.is_complete => Some(initial),
        (_, Some(incremental)) => Some(incremental),
        (initial, None) => initial,
    }
}

pub(super) async fn list(conn: &mut Conn, account: AccountId) -> Result<Vec<SyncState>, StoreError> {
    let rows: Vec<SyncStateRow> = with_conn!(conn, |c| {
        let states = sync_states::table.filter(sync_states::account_id.eq(account.0)).order(sync_states::id);
        states.select(SyncStateRow::as_select()).load(c).await
    })?;
    Ok(rows.into_iter().filter_map(SyncState::of_row).collect())
}

impl SyncState {
    /// `None` if another version wrote it, with words of its own: that version continues from it.
    fn of_row(row: SyncStateRow) -> Option<SyncState> {
        let key = StateKey {
            account: AccountId(row.account_id),
            entity: row.entity_type.parse().ok()?,
            phase: row.phase.parse().ok()?,
        };
        let (note, failure) = match row.failed_at {
            None => (row.error_message, None),
            Some(_) => (None, row.error_message),
        };
        let checkpoint = match decode(key, row.checkpoint.as_deref()) {
            Some(walk) => Checkpoint {
                phase: key.phase,
                offset: to_u32(row.last_synced_offset),
                cursor: row.cursor,
                total: row.total_estimated.map(to_u32),
                is_complete: row.is_complete,
                walk,
                note,
            },
            None => Checkpoint { is_complete: row.is_complete, note, ..Checkpoint::start(key.phase) },
        };
        Some(SyncState {
            id: row.id,
            key,
            checkpoint,
            generation: row.generation,
            owner_label: row.owner_label,
            rate_limit_hit_at: row.rate_limit_hit_at,
            rate_limit_reset_at: row.rate_limit_reset_at,
            rate_limit_remaining: row.rate_limit_remaining,
            started_at: row.started_at,
            last_updated_at: row.last_updated_at,
            completed_at: row.completed_at,
            failure,
            failed_at: row.failed_at,
            next_run_at: row.next_run_at,
        })
    }
}

/// Reads the engine's memory. `None` if it cannot be read: without it an offset proves nothing, so the phase then
/// starts over.
fn decode(key: StateKey, walk: Option<&str>) -> Option<WalkState> {
    let Some(walk) = walk else { return Some(WalkState::default()) };
    match serde_json::from_str(walk) {
        Ok(walk) => Some(walk),
        Err(error) => {
            warn!(entity = %key.entity, phase = %key.phase, %error, "checkpoint unreadable, the phase starts over");
            None
        }
    }
}
