//! Which account is synced, and with which tokens.
//!
//! A refresh token in the environment signs in once: it is exchanged, the account it belongs to is noted, and from then
//! on the stored tokens count, since Spotify may have replaced it. Another token in the environment signs in again.

use super::{CommandError, Exit, chain};
use crate::{
    actors::fetch::{Fetcher, Unanswered},
    cli::{numbers::time_of_day, progress::limit_name},
    clock,
    config::SpotifyConfig,
    engine::backoff::Patience,
    model::{AccountId, Family},
    spotify::{ApiError, Client, KeepInMemory, Profile, StoredTokens, TokenVault, Tokens, VaultError},
    store::{Store, StoreError, TokenRow},
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::{cell::Cell, future::Future, pin::Pin, sync::Arc};

/// An account, ready to be asked for.
pub struct SignedIn {
    pub account_id: AccountId,
    pub tokens: Tokens,
}

/// An account that is signed in.
pub struct Present {
    pub account_id: AccountId,
    pub name: String,
    /// Changes with each sign-in.
    pub revision: i64,
    pub tokens: Tokens,
}

/// Who is signed in, as the database knows.
pub async fn present(store: &Store, settings: &SpotifyConfig) -> Result<Vec<Present>, StoreError> {
    let client_id = settings.client_id.clone().unwrap_or_default();
    let mut present = Vec::new();
    for account in store.accounts().await? {
        let Some(row) = store.load_tokens(account.id).await? else { continue };
        let (account_id, imported_hash) = (account.id, row.imported_hash);
        let vault = StoreVault { store: store.clone(), account_id, client_id: client_id.clone(), imported_hash };
        let stored = StoredTokens {
            access_token: row.access_token,
            expires_at: row.expires_at,
            refresh_token: row.refresh_token,
            scopes: row.scopes,
        };
        let tokens = Tokens::new(stored, Arc::new(vault), clock::now);
        let revision = account.authorized_at.timestamp_micros();
        present.push(Present { account_id, name: account.spotify_id, revision, tokens });
    }
    Ok(present)
}

/// Signs in with what the settings and the database hold. `fetcher` asks with given tokens, through the gate.
pub async fn sign_in(
    store: &Store,
    settings: &SpotifyConfig,
    fetcher: impl FnOnce(Tokens) -> Fetcher,
) -> Result<SignedIn, CommandError> {
    let client_id = settings.client_id.clone().unwrap_or_default();
    let imported_hash = settings.refresh_token.as_ref().map(hash);
    let stored = stored_accounts(store).await?;
    let wanted = stored.into_iter().find(|(_, row)| imported_hash.is_none() || row.imported_hash == imported_hash);
    match (wanted, &settings.refresh_token) {
        (Some((account_id, row)), _) => {
            if row.client_id != client_id {
                return Err(CommandError::new(
                    Exit::LoginNeeded,
                    format!(
                        "the stored sign-in belongs to the application {}, not to {client_id}; set \
                         SEGNO_SPOTIFY_CLIENT_ID back, or sign in again with a new SEGNO_SPOTIFY_REFRESH_TOKEN",
                        row.client_id
                    ),
                ));
            }
            let vault = StoreVault { store: store.clone(), account_id, client_id, imported_hash: row.imported_hash };
            let stored = StoredTokens {
                access_token: row.access_token,
                expires_at: row.expires_at,
                refresh_token: row.refresh_token,
                scopes: row.scopes,
            };
            Ok(SignedIn { account_id, tokens: Tokens::new(stored, Arc::new(vault), clock::now) })
        }
        (None, Some(refresh_token)) => {
            let brought = StoredTokens {
                access_token: None,
                expires_at: None,
                refresh_token: refresh_token.clone(),
                scopes: None,
            };
            let tokens = Tokens::new(brought, Arc::new(KeepInMemory), clock::now);
            let profile = ask_who(fetcher(tokens.clone())).await?;
            let Profile { spotify_id, spotify_account_id, display_name } = profile;
            let account_id = store
                .upsert_account(&spotify_id, spotify_account_id.as_deref(), display_name.as_deref(), clock::now())
                .await?;
            let vault = StoreVault { store: store.clone(), account_id, client_id, imported_hash };
            let granted = tokens.snapshot().await;
            vault.store(&granted).await?;
            Ok(SignedIn { account_id, tokens: Tokens::new(granted, Arc::new(vault), clock::now) })
        }
        (None, None) => Err(CommandError::new(
            Exit::LoginNeeded,
            "nobody is signed in: set SEGNO_SPOTIFY_REFRESH_TOKEN to a refresh token of your account",
        )),
    }
}

async fn stored_accounts(store: &Store) -> Result<Vec<(AccountId, TokenRow)>, CommandError> {
    let mut stored = Vec::new();
    for account in store.accounts().await? {
        if let Some(row) = store.load_tokens(account.id).await? {
            stored.push((account.id, row));
        }
    }
    Ok(stored)
}

async fn ask_who(fetcher: Fetcher) -> Result<Profile, CommandError> {
    let client: &Client = &fetcher.client;
    let call = async || client.me(&fetcher.tokens).await;
    match fetcher.ask(Family::Application, Patience::Page, &Cell::new(0), call).await {
        Ok(profile) => Ok(profile),
        Err(Unanswered::Paused(pause)) => {
            let (limit, until) = (limit_name(pause.class), time_of_day(pause.until, clock::now()));
            Err(CommandError::new(Exit::Paused, format!("paused by the {limit} until {until}; run again then")))
        }
        Err(Unanswered::Failed(error @ ApiError::Network { .. })) => Err(CommandError::new(
            Exit::Failed,
            format!("{}; check the network and SEGNO_SPOTIFY_API_URL, then run again", chain(&error)),
        )),
        Err(Unanswered::Failed(error)) => Err(error.into()),
        Err(error @ Unanswered::GateGone) => Err(CommandError::failed(&error)),
    }
}

/// Tells which token from the environment an account was signed in with, without keeping it.
fn hash(token: &SecretString) -> String {
    let digest = Sha256::digest(token.expose_secret().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Keeps the tokens of one account in the database.
struct StoreVault {
    store: Store,
    account_id: AccountId,
    client_id: String,
    imported_hash: Option<String>,
}

impl StoreVault {
    async fn store(&self, tokens: &StoredTokens) -> Result<(), crate::store::StoreError> {
        let row = TokenRow {
            client_id: self.client_id.clone(),
            refresh_token: tokens.refresh_token.clone(),
            access_token: tokens.access_token.clone(),
            expires_at: tokens.expires_at,
            scopes: tokens.scopes.clone(),
            imported_hash: self.imported_hash.clone(),
        };
        self.store.save_tokens(self.account_id, &row, clock::now()).await
    }
}

impl TokenVault for StoreVault {
    fn save<'a>(&'a self, tokens: &'a StoredTokens) -> Pin<Box<dyn Future<Output = Result<(), VaultError>> + 'a>> {
        Box::pin(async move { self.store(tokens).await.map_err(VaultError::new) })
    }
}
