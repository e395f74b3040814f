//! Accounts and what signs them in. Tokens are readable by the database's owner and nobody else: they are wrapped from
//! the row on, and print as stars.

use super::schema::{account_tokens, accounts};
use super::types::{At, clean};
use super::{Conn, Store, StoreError, with_conn};
use crate::model::AccountId;
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use secrecy::{ExposeSecret, SecretString};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub spotify_id: String,
    pub spotify_account_id: Option<String>,
    pub display_name: Option<String>,
    pub authorized_at: DateTime<Utc>,
}

/// What an account signs in with.
#[derive(Debug, Clone)]
pub struct TokenRow {
    /// The application that the tokens belong to; another one cannot use them.
    pub client_id: String,
    pub refresh_token: SecretString,
    pub access_token: Option<SecretString>,
    /// When the access token expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// As granted, separated by spaces.
    pub scopes: Option<String>,
    /// SHA-256, in hex, of the refresh token that was brought in from outside: tells whether it has been used already.
    pub imported_hash: Option<String>,
}

impl Store {
    /// Notes that a person has signed in. The account id is Spotify's own advice for telling people apart; where it is
    /// missing, on either side, the older id serves.
    pub async fn upsert_account(
        &self,
        spotify_id: &str,
        spotify_account_id: Option<&str>,
        display_name: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<AccountId, StoreError> {
        let display_name = display_name.map(clean);
        self.transaction(async |conn| {
            insert_if_unknown(conn, spotify_id, spotify_account_id, At::from(now)).await?;
            let id = find(conn, spotify_id, spotify_account_id).await?.ok_or(StoreError::Query(diesel::NotFound))?;
            with_conn!(conn, |c| {
                let told = (
                    accounts::spotify_id.eq(spotify_id),
                    spotify_account_id.map(|told| accounts::spotify_account_id.eq(told)),
                    display_name.as_deref().map(|told| accounts::display_name.eq(told)),
                    accounts::authorized_at.eq(At::from(now)),
                );
                diesel::update(accounts::table.filter(accounts::id.eq(id))).set(told).execute(c).await
            })?;
            Ok(AccountId(id))
        })
        .await
    }

    /// Every account, in the order they came.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        list(&mut self.connect().await?).await
    }

    pub async fn save_tokens(
        &self,
        account: AccountId,
        tokens: &TokenRow,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        with_conn!(&mut self.connect().await?, |c| {
            use account_tokens::*;
            let values = (
                client_id.eq(&tokens.client_id),
                refresh_token.eq(tokens.refresh_token.expose_secret()),
                access_token.eq(tokens.access_token.as_ref().map(ExposeSecret::expose_secret)),
                expires_at.eq(tokens.expires_at.map(At::from)),
                scopes.eq(&tokens.scopes),
                imported_hash.eq(&tokens.imported_hash),
                updated_at.eq(At::from(now)),
            );
            let row = (account_id.eq(account.0), values);
            diesel::insert_into(table).values(row).on_conflict(account_id).do_update().set(values).execute(c).await
        })?;
        Ok(())
    }

    pub async fn load_tokens(&self, account: AccountId) -> Result<Option<TokenRow>, StoreError> {
        type Row = (String, String, Option<String>, Option<At>, Option<String>, Option<String>);
        let row: Option<Row> = with_conn!(&mut self.connect().await?, |c| {
            use account_tokens::*;
            let columns = (client_id, refresh_token, access_token, expires_at, scopes, imported_hash);
            table.filter(account_id.eq(account.0)).select(columns).get_result(c).await.optional()
        })?;
        Ok(row.map(|(client_id, refresh_token, access_token, expires_at, scopes, imported_hash)| TokenRow {
            client_id,
            refresh_token: refresh_token.into(),
            access_token: access_token.map(SecretString::from),
            expires_at: expires_at.map(DateTime::from),
            scopes,
            imported_hash,
        }))
    }
}

/// Of two sign-ins at once, the unique indexes let one insert; the other then finds what it inserted.
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

/// The account of that account id, else one with that id of which no other account id is known.
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

pub(super) async fn list(conn: &mut Conn) -> Result<Vec<Account>, StoreError> {
    type Row = (i64, String, Option<String>, Option<String>, At);
    let rows: Vec<Row> = with_conn!(conn, |c| {
        use accounts::{authorized_at, display_name, id, spotify_account_id, spotify_id, table};
        table.order(id).select((id, spotify_id, spotify_account_id, display_name, authorized_at)).load(c).await
    })?;
    let account = |(id, spotify_id, spotify_account_id, display_name, authorized_at): Row| Account {
        id: AccountId(id),
        spotify_id,
        spotify_account_id,
        display_name,
        authorized_at: authorized_at.into(),
    };
    Ok(rows.into_iter().map(account).collect())
}
