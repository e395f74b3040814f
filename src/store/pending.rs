//! Sign-ins by a token from the environment, until it is known which account they belong to. Spotify may replace the
//! token when it is first used, so its replacement is stored here before anything is asked with it. Recording the
//! sign-in deletes it here ([`Store::record_sign_in`]).

use super::schema::pending_sign_ins;
use super::tokens::{TokenRow, failure_of};
use super::types::{At, clean};
use super::{Store, StoreError, sqlite, with_conn};
use crate::model::{FailureOf, TokenFailure};
use chrono::{DateTime, Utc};
use diesel::{BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use secrecy::{ExposeSecret, SecretString};

/// Identifies a pending sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingKey {
    /// SHA-256, in hex, of the token in the environment.
    pub imported_hash: String,
    /// The application that the tokens belong to; another one cannot use them.
    pub client_id: String,
}

impl Store {
    pub async fn load_pending(&self, key: &PendingKey) -> Result<Option<TokenRow>, StoreError> {
        type Row = (String, Option<String>, Option<DateTime<Utc>>, Option<String>, Trouble);
        type Trouble = (Option<String>, Option<DateTime<Utc>>, Option<DateTime<Utc>>);
        let row: Option<Row> = with_conn!(&mut self.connect().await?, |c| {
            use pending_sign_ins::*;
            let told = (trouble, retry_at, doubted_at);
            let columns = (refresh_token, access_token, expires_at, scopes, told);
            let row = table.filter(imported_hash.eq(&key.imported_hash)).filter(client_id.eq(&key.client_id));
            row.select(columns).get_result(c).await.optional()
        })?;
        Ok(row.map(|(refresh_token, access_token, expires_at, scopes, trouble)| TokenRow {
            client_id: key.client_id.clone(),
            refresh_token: refresh_token.into(),
            access_token: access_token.map(SecretString::from),
            expires_at,
            scopes,
            imported_hash: Some(key.imported_hash.clone()),
            trouble: failure_of(trouble.0, trouble.1, trouble.2),
        }))
    }

    /// Stores tokens if there are none yet, if those there have the refresh token `known`, or if they belong to another
    /// application. Otherwise another process was faster, and it returns `false`.
    pub async fn keep_pending(
        &self,
        key: &PendingKey,
        known: &SecretString,
        tokens: &TokenRow,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let now = At::from(now);
        self.transaction(async |conn| {
            sqlite::keep_private(conn).await?;
            let num_kept = with_conn!(conn, |c| {
                use pending_sign_ins::*;
                let values = (
                    client_id.eq(&key.client_id),
                    refresh_token.eq(tokens.refresh_token.expose_secret()),
                    access_token.eq(tokens.access_token.as_ref().map(ExposeSecret::expose_secret)),
                    expires_at.eq(tokens.expires_at.map(At::from)),
                    scopes.eq(&tokens.scopes),
                    noted_at.eq(now),
                    (trouble.eq(None::<&str>), retry_at.eq(None::<At>), doubted_at.eq(None::<At>)),
                );
                let is_outdated = refresh_token.eq(known.expose_secret()).or(client_id.ne(&key.client_id));
                let outdated = table.filter(imported_hash.eq(&key.imported_hash)).filter(is_outdated);
                let num_renewed = diesel::update(outdated).set(values).execute(c).await?;
                if num_renewed > 0 {
                    Ok(num_renewed)
                } else {
                    let row = (imported_hash.eq(&key.imported_hash), values);
                    diesel::insert_into(table).values(row).on_conflict_do_nothing().execute(c).await
                }
            })?;
            Ok(num_kept > 0)
        })
        .await
    }

    /// Notes that there is no new access token for a while: for this refresh token if it is still the stored one, or
    /// for every pending sign-in of its application.
    pub async fn note_pending_failure(
        &self,
        key: &PendingKey,
        known: &SecretString,
        trouble: &TokenFailure,
        of: FailureOf,
    ) -> Result<(), StoreError> {
        with_conn!(&mut self.connect().await?, |c| {
            use pending_sign_ins::{client_id, doubted_at, imported_hash, refresh_token, retry_at, table};
            let why = clean(&trouble.why).into_owned();
            let told = (pending_sign_ins::trouble.eq(why), retry_at.eq(At::from(trouble.retry_at)));
            match of {
                FailureOf::Grant => {
                    let hash = imported_hash.eq(&key.imported_hash);
                    let row = table.filter(hash).filter(refresh_token.eq(known.expose_secret()));
                    let doubted = doubted_at.eq(trouble.doubted_at.map(At::from));
                    diesel::update(row).set((told, trouble.doubted_at.map(|_| doubted))).execute(c).await
                }
                FailureOf::Endpoint => {
                    let rows = table.filter(client_id.eq(&key.client_id)).filter(doubted_at.is_null());
                    diesel::update(rows).set(told).execute(c).await
                }
            }
        })?;
        Ok(())
    }

    /// Deletes a pending sign-in whose refresh token was refused for good, if that is still the stored one.
    pub async fn forget_pending(&self, key: &PendingKey, refused: &SecretString) -> Result<(), StoreError> {
        with_conn!(&mut self.connect().await?, |c| {
            use pending_sign_ins::{imported_hash, refresh_token, table};
            let row = table.filter(imported_hash.eq(&key.imported_hash));
            diesel::delete(row.filter(refresh_token.eq(refused.expose_secret()))).execute(c).await
        })?;
        Ok(())
    }
}
