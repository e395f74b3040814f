//! The tokens that sign accounts in, and their state. Only the database's owner can read them: they are wrapped from
//! the row on, print as stars, and are never written into a file that others may read.
//!
//! Only a new sign-in replaces a sign-in: renewed tokens, and a refusal, are noted only if the stored refresh token is
//! the one that they belong to. So a process that knows an older sign-in can neither undo a new one nor bring back one
//! that was forgotten.

use super::accounts::{self, Account, Person};
use super::schema::{account_tokens, pending_sign_ins};
use super::types::{At, clean};
use super::{Conn, Store, StoreError, sqlite, with_conn};
use crate::model::scopes::{self, Scope};
use crate::model::{AccountId, FailureOf, SignInRefusal, SignInState, TokenFailure};
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper};
use diesel_async::RunQueryDsl;
use secrecy::{ExposeSecret, SecretString};
use std::collections::{BTreeSet, HashMap};

/// The tokens of an account.
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
    /// SHA-256, in hex, of the refresh token that was imported from outside: shows whether it has been used already. A
    /// later sign-in keeps it, so that an old token in the environment does not come back.
    pub imported_hash: Option<String>,
    /// Only read: why they are not renewed for a while.
    pub trouble: Option<TokenFailure>,
}

/// An account and its sign-in, without the tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    pub account: Account,
    /// `None` when the person has signed out.
    pub grant: Option<Grant>,
}

/// What is known of the stored tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The application that they belong to.
    pub client_id: String,
    /// As granted, separated by spaces; `None` if Spotify did not say.
    pub scopes: Option<String>,
    pub imported_hash: Option<String>,
    pub refusal: Option<SignInRefusal>,
    pub trouble: Option<TokenFailure>,
}

impl SignIn {
    pub fn state(&self, now: DateTime<Utc>) -> SignInState {
        match &self.grant {
            None => SignInState::SignedOut,
            Some(grant) => SignInState::at(now, self.account.authorized_at, grant.refusal.as_ref()),
        }
    }

    /// What the person did not permit. Empty if there is no sign-in.
    pub fn missing_scopes(&self) -> Vec<Scope> {
        self.grant.as_ref().map(|grant| scopes::missing(grant.scopes.as_deref())).unwrap_or_default()
    }

    /// Changes with each new sign-in, and is `None` while the person is signed out: a service that polls it knows when
    /// to take new tokens, or drop those that it has.
    pub fn revision(&self) -> Option<DateTime<Utc>> {
        self.grant.as_ref().map(|_| self.account.authorized_at)
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = account_tokens)]
struct GrantRow {
    account_id: i64,
    client_id: String,
    scopes: Option<String>,
    imported_hash: Option<String>,
    refused_at: Option<DateTime<Utc>>,
    refused_why: Option<String>,
    trouble: Option<String>,
    retry_at: Option<DateTime<Utc>>,
    doubted_at: Option<DateTime<Utc>>,
}

impl From<GrantRow> for Grant {
    fn from(row: GrantRow) -> Grant {
        let why = row.refused_why.unwrap_or_default();
        Grant {
            client_id: row.client_id,
            scopes: row.scopes,
            imported_hash: row.imported_hash,
            refusal: row.refused_at.map(|since| SignInRefusal { why, since }),
            trouble: failure_of(row.trouble, row.retry_at, row.doubted_at),
        }
    }
}

pub(super) fn failure_of(
    why: Option<String>,
    retry_at: Option<DateTime<Utc>>,
    doubted_at: Option<DateTime<Utc>>,
) -> Option<TokenFailure> {
    let (why, retry_at) = (why.unwrap_or_default(), retry_at?);
    Some(TokenFailure { why, retry_at, doubted_at })
}

/// Clears the trouble of a sign-in, in an update of `account_tokens`.
macro_rules! without_trouble {
    () => {
        (
            account_tokens::trouble.eq(None::<&str>),
            account_tokens::retry_at.eq(None::<At>),
            account_tokens::doubted_at.eq(None::<At>),
        )
    };
}

impl Store {
    /// Records a new sign-in: the account, the consent given now, and the tokens, all or nothing. One that was pending
    /// is no longer.
    pub async fn record_sign_in(
        &self,
        person: Person<'_>,
        tokens: &TokenRow,
        now: DateTime<Utc>,
    ) -> Result<AccountId, StoreError> {
        let now = At::from(now);
        self.transaction(async |conn| {
            sqlite::keep_private(conn).await?;
            let account = accounts::upsert(conn, person, now).await?;
            with_conn!(conn, |c| {
                use account_tokens::*;
                let values = (
                    client_id.eq(&tokens.client_id),
                    refresh_token.eq(tokens.refresh_token.expose_secret()),
                    access_token.eq(tokens.access_token.as_ref().map(ExposeSecret::expose_secret)),
                    expires_at.eq(tokens.expires_at.map(At::from)),
                    scopes.eq(&tokens.scopes),
                    updated_at.eq(now),
                    (refused_at.eq(None::<At>), refused_why.eq(None::<&str>), without_trouble!()),
                );
                let row = (account_id.eq(account.0), imported_hash.eq(&tokens.imported_hash), values);
                let changes = (tokens.imported_hash.as_ref().map(|hash| imported_hash.eq(hash)), values);
                diesel::insert_into(table).values(row).on_conflict(account_id).do_update().set(changes).execute(c).await
            })?;
            if let Some(hash) = &tokens.imported_hash {
                with_conn!(conn, |c| {
                    use pending_sign_ins::{imported_hash, table};
                    diesel::delete(table.filter(imported_hash.eq(hash))).execute(c).await
                })?;
            }
            Ok(account)
        })
        .await
    }

    pub async fn load_tokens(&self, account: AccountId) -> Result<Option<TokenRow>, StoreError> {
        type Row = (String, String, Option<String>, Option<DateTime<Utc>>, Option<String>, Option<String>, Trouble);
        type Trouble = (Option<String>, Option<DateTime<Utc>>, Option<DateTime<Utc>>);
        let row: Option<Row> = with_conn!(&mut self.connect().await?, |c| {
            use account_tokens::*;
            let told = (trouble, retry_at, doubted_at);
            let columns = (client_id, refresh_token, access_token, expires_at, scopes, imported_hash, told);
            table.filter(account_id.eq(account.0)).select(columns).get_result(c).await.optional()
        })?;
        Ok(row.map(|(client_id, refresh_token, access_token, expires_at, scopes, imported_hash, trouble)| TokenRow {
            client_id,
            refresh_token: refresh_token.into(),
            access_token: access_token.map(SecretString::from),
            expires_at,
            scopes,
            imported_hash,
            trouble: failure_of(trouble.0, trouble.1, trouble.2),
        }))
    }

    /// Stores renewed tokens in place of those with the refresh token `known`. `false` if these are no longer there:
    /// somebody has signed in again or out, or another process was faster.
    pub async fn renew_tokens(
        &self,
        account: AccountId,
        known: &SecretString,
        tokens: &TokenRow,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let conn = &mut self.connect().await?;
        sqlite::keep_private(conn).await?;
        let renewed = with_conn!(conn, |c| {
            use account_tokens::*;
            let values = (
                refresh_token.eq(tokens.refresh_token.expose_secret()),
                access_token.eq(tokens.access_token.as_ref().map(ExposeSecret::expose_secret)),
                expires_at.eq(tokens.expires_at.map(At::from)),
                scopes.eq(&tokens.scopes),
                updated_at.eq(At::from(now)),
                (refused_at.eq(None::<At>), refused_why.eq(None::<String>), without_trouble!()),
            );
            let row = table.filter(account_id.eq(account.0)).filter(refresh_token.eq(known.expose_secret()));
            diesel::update(row).set(values).execute(c).await
        })?;
        // The token endpoint answers again, for all accounts of the application alike.
        with_conn!(conn, |c| {
            use account_tokens::*;
            let resting = table.filter(client_id.eq(&tokens.client_id)).filter(retry_at.is_not_null());
            diesel::update(resting.filter(doubted_at.is_null())).set(without_trouble!()).execute(c).await
        })?;
        Ok(renewed > 0)
    }

    /// Notes that there is no new access token for a while: for this refresh token if it is still the stored one, or
    /// for every account of its application.
    pub async fn note_token_failure(
        &self,
        account: AccountId,
        known: &SecretString,
        application: &str,
        trouble: &TokenFailure,
        of: FailureOf,
    ) -> Result<(), StoreError> {
        with_conn!(&mut self.connect().await?, |c| {
            use account_tokens::{account_id, client_id, doubted_at, refresh_token, retry_at, table};
            let told =
                (account_tokens::trouble.eq(clean(&trouble.why).into_owned()), retry_at.eq(At::from(trouble.retry_at)));
            match of {
                FailureOf::Grant => {
                    let row = table.filter(account_id.eq(account.0)).filter(refresh_token.eq(known.expose_secret()));
                    let doubted = doubted_at.eq(trouble.doubted_at.map(At::from));
                    diesel::update(row).set((told, trouble.doubted_at.map(|_| doubted))).execute(c).await
                }
                FailureOf::Endpoint => {
                    let rows = table.filter(client_id.eq(application)).filter(doubted_at.is_null());
                    diesel::update(rows).set(told).execute(c).await
                }
            }
        })?;
        Ok(())
    }

    /// Notes that Spotify has refused a refresh token for good, if it is still the stored one.
    pub async fn note_refused(
        &self,
        account: AccountId,
        refused: &SecretString,
        why: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        with_conn!(&mut self.connect().await?, |c| {
            use account_tokens::*;
            let row = table.filter(account_id.eq(account.0)).filter(refresh_token.eq(refused.expose_secret()));
            let values = (refused_at.eq(At::from(now)), refused_why.eq(clean(why).into_owned()));
            diesel::update(row).set(values).execute(c).await
        })?;
        Ok(())
    }

    /// Signs an account out: its tokens are deleted, its library stays. `false` if there were none.
    pub async fn forget_tokens(&self, account: AccountId) -> Result<bool, StoreError> {
        let forgotten = with_conn!(&mut self.connect().await?, |c| {
            let row = account_tokens::table.filter(account_tokens::account_id.eq(account.0));
            diesel::delete(row).execute(c).await
        })?;
        Ok(forgotten > 0)
    }

    /// Every account with its sign-in, in the order in which they were added.
    pub async fn sign_ins(&self) -> Result<Vec<SignIn>, StoreError> {
        list(&mut self.connect().await?, None).await
    }

    /// The same for some accounts.
    pub async fn sign_ins_of(&self, accounts: &BTreeSet<AccountId>) -> Result<Vec<SignIn>, StoreError> {
        if accounts.is_empty() {
            return Ok(Vec::new());
        }
        list(&mut self.connect().await?, Some(accounts)).await
    }
}

/// All of them, or those of some accounts, in the order in which they were added.
pub(super) async fn list(conn: &mut Conn, wanted: Option<&BTreeSet<AccountId>>) -> Result<Vec<SignIn>, StoreError> {
    let wanted: Option<Vec<i64>> = wanted.map(|wanted| wanted.iter().map(|id| id.0).collect());
    let accounts = accounts::list(conn, wanted.as_deref()).await?;
    let rows: Vec<GrantRow> = with_conn!(conn, |c| {
        let mut all = account_tokens::table.into_boxed();
        if let Some(wanted) = &wanted {
            all = all.filter(account_tokens::account_id.eq_any(wanted));
        }
        all.select(GrantRow::as_select()).load(c).await
    })?;
    let mut grants: HashMap<i64, GrantRow> = rows.into_iter().map(|row| (row.account_id, row)).collect();
    let sign_in = |account: Account| SignIn { grant: grants.remove(&account.id.0).map(Into::into), account };
    Ok(accounts.into_iter().map(sign_in).collect())
}
