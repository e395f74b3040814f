//! Who owns an account. A claim by one process ends what every other had begun; an account that a living node holds
//! cannot be taken from it ([`super::nodes`]).

use super::runs::lock_account;
use super::schema::{accounts, nodes, sync_states};
use super::types::At;
use super::{Conn, Store, StoreError, with_conn};
use crate::model::{AccountId, Claim, Owner};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::sql;
use diesel::{ExpressionMethods, JoinOnDsl, NullableExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

impl Store {
    /// Takes an account over: from now on no other process writes for it or begins a run, whatever it had begun. So of
    /// two that start together, the later one writes everything and the earlier one nothing.
    ///
    /// If a node holds the account this is refused, unless that node is `dead`.
    pub async fn claim(
        &self,
        account: AccountId,
        owner: &Owner,
        dead: Option<Uuid>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.transaction(async |conn| {
            lock_account(conn, account).await?;
            match holder(conn, account, now).await? {
                Some(held) if held.owner.id != owner.id && Some(held.owner.id) != dead => {
                    return Err(StoreError::Held(Box::new(held)));
                }
                Some(_) | None => {}
            }
            make_owner(conn, &[account.0], owner).await?;
            Ok(())
        })
        .await
    }

    /// The accounts that this process holds, and those that no living node does.
    pub async fn not_held_by_others(&self, us: Uuid, now: DateTime<Utc>) -> Result<Vec<AccountId>, StoreError> {
        let conn = &mut self.connect().await?;
        let present = moment(conn, now, TimeDelta::zero());
        let ids: Vec<i64> = with_conn!(conn, |c| {
            let of_node = nodes::table.on(nodes::id.nullable().eq(accounts::owner));
            let all = accounts::table.left_join(of_node).select(accounts::id);
            all.filter(accounts::owner.is_null())
                .or_filter(accounts::owner.eq(us.to_string()))
                .or_filter(accounts::released_at.is_not_null())
                .or_filter(nodes::id.is_null())
                .or_filter(nodes::holds_until.le(sql(&present)))
                .order(accounts::id)
                .load(c)
                .await
        })?;
        Ok(ids.into_iter().map(AccountId).collect())
    }

    /// Gives accounts up, so that the next owner need not wait. Others can still not write for them without claiming
    /// them first.
    pub async fn release(&self, accounts: &[AccountId], owner: Uuid, now: DateTime<Utc>) -> Result<(), StoreError> {
        let conn = &mut self.connect().await?;
        let (present, ids) =
            (moment(conn, now, TimeDelta::zero()), accounts.iter().map(|id| id.0).collect::<Vec<i64>>());
        with_conn!(conn, |c| {
            use accounts::{id, owner as held_by, released_at, table};
            let ours = table.filter(held_by.eq(owner.to_string())).filter(released_at.is_null());
            diesel::update(ours.filter(id.eq_any(ids))).set(released_at.eq(sql(&present))).execute(c).await
        })?;
        Ok(())
    }
}

/// A moment before or after now, as SQL. PostgreSQL uses the clock of the server, since those of machines differ.
pub(super) fn moment(conn: &Conn, now: DateTime<Utc>, later: TimeDelta) -> String {
    match conn {
        Conn::Sqlite(_) => At::from(now + later).literal(),
        Conn::Pg(_) => format!("(now() + interval '{} milliseconds')", later.num_milliseconds()),
    }
}

/// Makes a process the owner of these accounts and of all their runs. Returns each with its epoch.
pub(super) async fn make_owner(
    conn: &mut Conn,
    ids: &[i64],
    owner: &Owner,
) -> Result<Vec<(AccountId, i64)>, StoreError> {
    let claimed: Vec<(i64, i64)> = with_conn!(conn, |c| {
        use accounts::{epoch, id, owner_label, released_at, table};
        let ours = (
            accounts::owner.eq(owner.id.to_string()),
            owner_label.eq(&owner.label),
            epoch.eq(epoch + 1),
            released_at.eq(None::<At>),
        );
        diesel::update(table.filter(id.eq_any(ids))).set(ours).returning((id, epoch)).get_results(c).await
    })?;
    with_conn!(conn, |c| {
        let ours = (sync_states::owner.eq(owner.id.to_string()), sync_states::owner_label.eq(&owner.label));
        diesel::update(sync_states::table.filter(sync_states::account_id.eq_any(ids))).set(ours).execute(c).await
    })?;
    Ok(claimed.into_iter().map(|(id, epoch)| (AccountId(id), epoch)).collect())
}

/// Whether a process is certainly dead.
pub(super) type IsGone<'a> = &'a (dyn Fn(&Owner) -> bool + Sync);

/// Whether a process works for an account, according to its claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tenure {
    /// Held by a service that is alive.
    Held(String),
    /// The last owner gave it up, is dead, or has been silent for too long.
    Over,
    /// Claimed by a process that sends no heartbeats, such as a single sync.
    Unknown,
}

pub(super) async fn tenure(
    conn: &mut Conn,
    account: AccountId,
    is_gone: IsGone<'_>,
    now: DateTime<Utc>,
) -> Result<Tenure, StoreError> {
    if let Some(held) = holder(conn, account, now).await? {
        return Ok(if is_gone(&held.owner) { Tenure::Over } else { Tenure::Held(held.owner.label) });
    }
    let (released_at, node): (Option<At>, Option<String>) = with_conn!(conn, |c| {
        let of_node = nodes::table.on(nodes::id.nullable().eq(accounts::owner));
        let row = accounts::table.left_join(of_node).filter(accounts::id.eq(account.0));
        row.select((accounts::released_at, nodes::id.nullable())).get_result(c).await
    })?;
    Ok(if released_at.is_some() || node.is_some() { Tenure::Over } else { Tenure::Unknown })
}

/// The node that holds an account, if one is alive.
async fn holder(conn: &mut Conn, account: AccountId, now: DateTime<Utc>) -> Result<Option<Claim>, StoreError> {
    let present = moment(conn, now, TimeDelta::zero());
    let row: Option<ClaimRow> = with_conn!(conn, |c| {
        let of_node = nodes::table.on(nodes::id.nullable().eq(accounts::owner));
        let held = accounts::table.inner_join(of_node).filter(accounts::id.eq(account.0));
        held.filter(accounts::released_at.is_null())
            .filter(nodes::holds_until.gt(sql(&present)))
            .select((nodes::id, nodes::label, nodes::place, nodes::pid, nodes::holds_until))
            .get_result(c)
            .await
            .optional()
    })?;
    Ok(row.and_then(claim_of))
}

pub(super) type ClaimRow = (String, String, String, i64, At);

/// Only we write these columns; a claim that cannot be read holds nothing.
pub(super) fn claim_of((id, label, place, pid, until): ClaimRow) -> Option<Claim> {
    let owner = Owner { id: id.parse().ok()?, label, place, pid: pid.try_into().ok()? };
    Some(Claim { owner, until: until.into() })
}
