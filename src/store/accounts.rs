//! Accounts, and whom they belong to. Their tokens are in `tokens`.

use super::schema::accounts;
use super::types::{At, clean};
use super::{Conn, Store, StoreError, with_conn};
use crate::model::AccountId;
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub spotify_id: String,
    pub spotify_account_id: Option<String>,
    pub display_name: Option<String>,
    /// When the person last consented: the six months of the sign-in begin here.
    pub authorized_at: DateTime<Utc>,
}

/// Who has signed in, according to Spotify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person<'a> {
    pub spotify_id: &'a str,
    pub spotify_account_id: Option<&'a str>,
    pub display_name: Option<&'a str>,
}

impl Store {
    /// Notes that a person has consented, now.
    pub async fn upsert_account(
        &self,
        spotify_id: &str,
        spotify_account_id: Option<&str>,
        display_name: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<AccountId, StoreError> {
        let person = Person { spotify_id, spotify_account_id, display_name };
        self.transaction(async |conn| upsert(conn, person, At::from(now)).await).await
    }

    /// Every account, in the order in which they were added.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        list(&mut self.connect().await?, None).await
    }
}

/// Notes that a person has consented. Spotify recommends the account id for identifying people; if it is missing on
/// either side, the older id serves.
pub(super) async fn upsert(conn: &mut Conn, person: Person<'_>, now: At) -> Result<AccountId, StoreError> {
    let Person { spotify_id, spotify_account_id, display_name } = person;
    let display_name = display_name.map(clean);
    insert_if_unknown(conn, spotify_id, spotify_account_id, now).await?;
    let id = find(conn, spotify_id, spotify_account_id).await?.ok_or(StoreError::Query(diesel::NotFound))?;
    with_conn!(conn, |c| {
        let told = (
            accounts::spotify_id.eq(spotify_id),
            spotify_account_id.map(|told| accounts::spotify_account_id.eq(told)),
            display_name.as_deref().map(|told| accounts::display_name.eq(told)),
            accounts::authorized_at.eq(now),
        );
        diesel::update(accounts::table.filter(accounts::id.eq(id))).set(told).execute(c).await
    })?;
    Ok(AccountId(id))
}

/// If two sign-ins happen at once, the unique indexes let one insert; the other then finds that row.
async fn insert_if_unknown(
    conn: &mut Conn,
    spotify_id: &str,
    spotify_account_id: Option<&str>,
    now: At,
) -> Result<(), StoreError> {
    if find(conn, spotify_id, spotify_account_id).await?.is_none() {
        with_conn!(conn, |c| {
            let row = (
                accounts::spotify_id.eq(spotify_id),
                accounts::spotify_account_id.eq(spotify_account_id),
                accounts::authorized_at.eq(now),
            );
            diesel::insert_into(accounts::table).values(row).on_conflict_do_nothing().execute(c).await
        })?;
    }
    Ok(())
}

/// The account with that account id, or else one with that id whose account id is not known.
async fn find(conn: &mut Conn, spotify_id: &str, spotify_account_id: Option<&str>) -> Result<Option<i64>, StoreError> {
    use accounts::{id, table};
    let linked: Option<i64> = match spotify_account_id {
        None => None,
        Some(told) => with_conn!(conn, |c| {
            table.filter(accounts::spotify_account_id.eq(told)).select(id).first(c).await.optional()
        })?,
    };
    if linked.is_some() {
        return Ok(linked);
    }
    let is_unlinked = accounts::spotify_account_id.is_null();
    Ok(with_conn!(conn, |c| {
        let named = table.filter(accounts::spotify_id.eq(spotify_id)).order(accounts::authorized_at.desc()).select(id);
        match spotify_account_id {
            None => named.first(c).await.optional(),
            Some(_) => named.filter(is_unlinked).first(c).await.optional(),
        }
    })?)
}

/// All of them, or some, in the order in which they were added.
pub(super) async fn list(conn: &mut Conn, wanted: Option<&[i64]>) -> Result<Vec<Account>, StoreError> {
    type Row = (i64, String, Option<String>, Option<String>, DateTime<Utc>);
    let rows: Vec<Row> = with_conn!(conn, |c| {
        use accounts::{authorized_at, display_name, id, spotify_account_id, spotify_id, table};
        let mut all = table.order(id).into_boxed();
        if let Some(wanted) = wanted {
            all = all.filter(id.eq_any(wanted));
        }
        all.select((id, spotify_id, spotify_account_id, display_name, authorized_at)).load(c).await
    })?;
    let account = |(id, spotify_id, spotify_account_id, display_name, authorized_at): Row| Account {
        id: AccountId(id),
        spotify_id,
        spotify_account_id,
        display_name,
        authorized_at,
    };
    Ok(rows.into_iter().map(account).collect())
}
