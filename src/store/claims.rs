//! Whose account it is. A claim of one process ends what every other had begun; a service's claim cannot be taken while
//! it is renewed.

use super::schema::{accounts, sync_states};
use super::types::At;
use super::{Conn, Store, StoreError, with_conn};
use crate::model::{AccountId, Claim, Owner};
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

impl Store {
    /// Takes an account over: from here on no other process writes for it or begins a run, whatever it had begun. So of
    /// two that start together, the later one writes everything and the earlier one nothing.
    ///
    /// With `until`, nobody else can take it before then. Where another process holds it in that way this is refused,
    /// unless it is `dead`.
    pub async fn claim(
        &self,
        account: AccountId,
        owner: &Owner,
        until: Option<DateTime<Utc>>,
        dead: Option<Uuid>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.transaction(async |conn| {
            // The update comes first: it makes two claims wait for each other.
            let claimed = with_conn!(conn, |c| {
                let same = accounts::spotify_id.eq(accounts::spotify_id);
                diesel::update(accounts::table.filter(accounts::id.eq(account.0))).set(same).execute(c).await
            })?;
            if claimed == 0 {
                return Err(StoreError::UnknownAccount(account));
            }
            match holder(conn, account).await? {
                Some(held) if held.until > now && held.owner.id != owner.id && Some(held.owner.id) != dead => {
                    return Err(StoreError::Held(Box::new(held)));
                }
                Some(_) | None => {}
            }
            with_conn!(conn, |c| {
                let ours = (
                    accounts::owner.eq(owner.id.to_string()),
                    accounts::owner_label.eq(&owner.label),
                    accounts::owner_until.eq(until.map(At::from)),
                    accounts::owner_place.eq(&owner.place),
                    accounts::owner_pid.eq(i64::from(owner.pid)),
                );
                diesel::update(accounts::table.filter(accounts::id.eq(account.0))).set(ours).execute(c).await
            })?;
            with_conn!(conn, |c| {
                let ours = (sync_states::owner.eq(owner.id.to_string()), sync_states::owner_label.eq(&owner.label));
                diesel::update(sync_states::table.filter(sync_states::account_id.eq(account.0)))
                    .set(ours)
                    .execute(c)
                    .await
            })?;
            Ok(())
        })
        .await
    }

    /// Holds a claim for longer; refused if somebody else has taken it. Without `until` it is given up.
    pub async fn renew_claim(
        &self,
        account: AccountId,
        owner: Uuid,
        until: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        let mut conn = self.connect().await?;
        let renewed = with_conn!(&mut conn, |c| {
            let row = accounts::table.filter(accounts::id.eq(account.0)).filter(accounts::owner.eq(owner.to_string()));
            diesel::update(row).set(accounts::owner_until.eq(until.map(At::from))).execute(c).await
        })?;
        if renewed > 0 {
            return Ok(());
        }
        let label: Option<Option<String>> = with_conn!(&mut conn, |c| {
            let row = accounts::table.filter(accounts::id.eq(account.0));
            row.select(accounts::owner_label).get_result(c).await.optional()
        })?;
        match label {
            Some(by) => Err(StoreError::Fenced { by: by.unwrap_or_else(|| "another process".to_owned()) }),
            None => Err(StoreError::UnknownAccount(account)),
        }
    }
}

/// Whether anybody works for an account, as far as its claim tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tenure {
    /// A service lives.
    Held(String),
    /// Whoever had it gave it up, or has been silent for too long.
    Over,
    /// One that makes no promises, such as a single sync.
    Unknown,
}

pub(super) async fn tenure(conn: &mut Conn, account: AccountId, now: DateTime<Utc>) -> Result<Tenure, StoreError> {
    Ok(match holder(conn, account).await? {
        Some(held) if held.until > now => Tenure::Held(held.owner.label),
        Some(_) => Tenure::Over,
        None => Tenure::Unknown,
    })
}

/// The claim on an account, if a service made it.
async fn holder(conn: &mut Conn, account: AccountId) -> Result<Option<Claim>, StoreError> {
    type Row = (Option<String>, Option<String>, Option<At>, Option<String>, Option<i64>);
    let row: Row = with_conn!(conn, |c| {
        use accounts::{owner, owner_label, owner_pid, owner_place, owner_until};
        let row = accounts::table.filter(accounts::id.eq(account.0));
        row.select((owner, owner_label, owner_until, owner_place, owner_pid)).get_result(c).await
    })?;
    let (Some(id), label, Some(until), place, pid) = row else { return Ok(None) };
    // Nobody but us writes these columns; what cannot be read holds nothing.
    let (Ok(id), Ok(pid)) = (id.parse(), pid.unwrap_or_default().try_into()) else { return Ok(None) };
    let owner = Owner { id, label: label.unwrap_or_default(), place: place.unwrap_or_default(), pid };
    Ok(Some(Claim { owner, until: until.into() }))
}
