//! Which accounts can be synced, and with which tokens.
//!
//! Accounts sign in with `segno login`, and stay signed in until their six months are over, they sign out, or Spotify
//! refuses them. A refresh token in the environment signs in once, for those without a browser: it is exchanged, and
//! from then on the stored tokens count, since Spotify may have replaced it. They are pending until it is known which
//! account they belong to. Another token in the environment signs in again.

use super::{CommandError, Exit, accounts};
use crate::{
    actors::fetch::Fetcher,
    cli::{
        numbers::{day, time_of_day},
        progress::limit_name,
    },
    clock,
    config::SpotifyConfig,
    model::{AccountId, FailureOf, Family, Fault, SignInState, TokenFailure},
    spotify::{Client, Keeping, Kept, Profile, StoredTokens, TokenVault, Tokens, VaultError},
    store::{Account, PendingKey, Person, SignIn, Store, StoreError, TokenRow},
};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::{cell::Cell, sync::Arc, time::Duration};
use tracing::{debug, warn};

/// An account that is ready for requests.
pub struct SignedIn {
    pub account: Account,
    pub tokens: Tokens,
}

/// The accounts that are ready for requests: `wanted`, by its id or name, or all. At least one; otherwise the error
/// says what to do. `fetcher` sends requests with given tokens, through the gate: a token from the environment does not
/// show whose it is.
pub async fn sign_in(
    store: &Store,
    settings: &SpotifyConfig,
    wanted: Option<&str>,
    fetcher: impl FnOnce(Tokens) -> Fetcher,
) -> Result<Vec<SignedIn>, CommandError> {
    let client_id = settings.client_id.clone().unwrap_or_default();
    let mut sign_ins = store.sign_ins().await?;
    if let Some((key, refresh_token)) = brought(settings) {
        let imported = key.imported_hash.clone();
        let is_known = |sign_in: &SignIn| {
            sign_in.grant.as_ref().is_some_and(|grant| grant.imported_hash.as_deref() == Some(&imported))
        };
        if !sign_ins.iter().any(is_known) {
            let outcome = import(store, key, refresh_token, fetcher).await;
            sign_ins = store.sign_ins().await?;
            // Another process may have used the token up and recorded the sign-in.
            if !sign_ins.iter().any(is_known) {
                outcome?;
            }
        }
    }
    let chosen: Vec<&SignIn> = match wanted {
        Some(wanted) => vec![accounts::find(&sign_ins, wanted)?],
        None => sign_ins.iter().filter(|sign_in| sign_in.grant.is_some()).collect(),
    };
    let (mut signed_in, mut parked) = (Vec::new(), Vec::new());
    for sign_in in chosen {
        match obstacle(sign_in, &client_id, clock::now()) {
            Some(why) => parked.push(why),
            None => signed_in.extend(ready(store, sign_in, &client_id).await?),
        }
    }
    if signed_in.is_empty() {
        let nobody = "nobody is signed in: run \"segno login\", or set SEGNO_SPOTIFY_REFRESH_TOKEN to a refresh token \
                      of your account";
        return Err(CommandError::new(
            Exit::LoginNeeded,
            if parked.is_empty() { nobody.to_owned() } else { parked.join("\n") },
        ));
    }
    parked.iter().for_each(|why| warn!("{why}"));
    Ok(signed_in)
}

/// An account with its tokens, and a warning if these end soon. `None` if it was signed out just now.
pub async fn ready(store: &Store, sign_in: &SignIn, client_id: &str) -> Result<Option<SignedIn>, StoreError> {
    if let Some(warning) = warning(sign_in, clock::now()) {
        warn!("{warning}");
    }
    let account = sign_in.account.clone();
    Ok(tokens_of(store, account.id, client_id).await?.map(|tokens| SignedIn { account, tokens }))
}

/// The stored tokens of an account, for an application; `None` if there are none.
pub async fn tokens_of(store: &Store, account_id: AccountId, client_id: &str) -> Result<Option<Tokens>, StoreError> {
    let vault = StoreVault { store: store.clone(), account_id, client_id: client_id.to_owned() };
    let stored = vault.stored().await?;
    Ok(stored.map(|stored| Tokens::new(stored, Arc::new(vault), clock::now)))
}

/// Why no requests can be made for an account, and what to do about it.
pub fn obstacle(sign_in: &SignIn, client_id: &str, now: DateTime<Utc>) -> Option<String> {
    let who = accounts::name(&sign_in.account);
    if let Some(grant) = &sign_in.grant
        && grant.client_id != client_id
    {
        return Some(format!(
            "the stored sign-in of {who} belongs to the application {}, not to {client_id}; set \
             SEGNO_SPOTIFY_CLIENT_ID back, or sign in again with \"segno login\"",
            grant.client_id
        ));
    }
    match sign_in.state(now) {
        SignInState::Valid { .. } | SignInState::EndsSoon { .. } | SignInState::Ended { .. } => None,
        SignInState::Refused { why, since } => {
            let since = time_of_day(since, now);
            Some(format!("Spotify refused the sign-in of {who} at {since} ({why}); sign in again with \"segno login\""))
        }
        SignInState::SignedOut => Some(format!("{who} is not signed in; run \"segno login\"")),
    }
}

/// What a person should know about a sign-in that still works.
pub fn warning(sign_in: &SignIn, now: DateTime<Utc>) -> Option<String> {
    let who = accounts::name(&sign_in.account);
    match sign_in.state(now) {
        SignInState::EndsSoon { until } => {
            let until = day(until);
            Some(format!("the sign-in of {who} ends on {until}; run \"segno login\" before then"))
        }
        SignInState::Ended { since } => {
            let since = day(since);
            Some(format!("the sign-in of {who} is over six months old since {since}; run \"segno login\""))
        }
        SignInState::Valid { .. } | SignInState::Refused { .. } | SignInState::SignedOut => None,
    }
}

/// When the token in the environment is sent once more, if one answer has called it void.
pub async fn doubted_until(store: &Store, settings: &SpotifyConfig) -> Result<Option<DateTime<Utc>>, StoreError> {
    let Some((key, _)) = brought(settings) else { return Ok(None) };
    Ok(doubt(store, &key).await?.map(|doubt| doubt.retry_at))
}

/// The token in the environment.
fn brought(settings: &SpotifyConfig) -> Option<(PendingKey, &SecretString)> {
    let refresh_token = settings.refresh_token.as_ref()?;
    let client_id = settings.client_id.clone().unwrap_or_default();
    Some((PendingKey { imported_hash: hash(refresh_token), client_id }, refresh_token))
}

/// Why a token that was never exchanged may be void.
async fn doubt(store: &Store, key: &PendingKey) -> Result<Option<TokenFailure>, StoreError> {
    let pending = store.load_pending(key).await?.filter(|pending| pending.access_token.is_none());
    Ok(pending.and_then(|pending| pending.trouble).filter(|trouble| trouble.doubted_at.is_some()))
}

/// Signs in with a refresh token from the environment, or with the tokens that Spotify granted for it when it could not
/// be found out whose it is.
async fn import(
    store: &Store,
    key: PendingKey,
    refresh_token: &SecretString,
    fetcher: impl FnOnce(Tokens) -> Fetcher,
) -> Result<(), CommandError> {
    let vault = PendingVault { store: store.clone(), key: key.clone() };
    let tokens = Tokens::new(vault.begin(refresh_token).await?, Arc::new(vault), clock::now);
    let profile = match ask_who(fetcher(tokens.clone())).await {
        Ok(profile) => profile,
        Err(error) if error.exit == Exit::Failed => {
            let Some(TokenFailure { why, retry_at, .. }) = doubt(store, &key).await? else { return Err(error) };
            // It may be mistyped, which a person should know at once.
            let at = time_of_day(retry_at, clock::now());
            let told = format!(
                "{why}; one such answer may be wrong, so it is sent once more after {at}: check \
                 SEGNO_SPOTIFY_REFRESH_TOKEN, or run again then"
            );
            return Err(CommandError::new(Exit::LoginNeeded, told));
        }
        Err(error) => return Err(error),
    };
    let PendingKey { imported_hash, client_id } = key;
    record(store, &profile, client_id, tokens.snapshot().await, Some(imported_hash)).await?;
    Ok(())
}

/// Records a new sign-in.
pub(super) async fn record(
    store: &Store,
    profile: &Profile,
    client_id: String,
    tokens: StoredTokens,
    imported_hash: Option<String>,
) -> Result<AccountId, StoreError> {
    let person = Person {
        spotify_id: &profile.spotify_id,
        spotify_account_id: profile.spotify_account_id.as_deref(),
        display_name: profile.display_name.as_deref(),
    };
    store.record_sign_in(person, &row(client_id, tokens, imported_hash), clock::now()).await
}

/// Whose tokens these are.
pub(super) async fn ask_who(fetcher: Fetcher) -> Result<Profile, CommandError> {
    let client: &Client = &fetcher.client;
    let call = async || client.me(&fetcher.tokens).await;
    match fetcher.ask(Family::Application, &Cell::new(0), call).await {
        Ok(profile) => Ok(profile),
        Err(Fault::Paused(pause)) => {
            let (limit, until) = (limit_name(pause.class), time_of_day(pause.until, clock::now()));
            Err(CommandError::new(Exit::Paused, format!("paused by the {limit} until {until}; run again then")))
        }
        Err(Fault::Unreachable(why)) => Err(CommandError::new(
            Exit::Failed,
            format!("{why}; check the network and SEGNO_SPOTIFY_API_URL, then run again"),
        )),
        Err(Fault::Outage(why)) => Err(CommandError::new(
            Exit::Failed,
            format!(
                "{why}; this is often temporary: check the network and SEGNO_SPOTIFY_API_URL, then run \
                 again in a few minutes"
            ),
        )),
        Err(fault @ (Fault::SignIn(_) | Fault::NotPermitted(_))) => {
            Err(CommandError::new(Exit::LoginNeeded, fault.to_string()))
        }
        Err(fault) => Err(CommandError::failed(&fault)),
    }
}

/// Identifies the token from the environment that an account was signed in with, without keeping it.
fn hash(token: &SecretString) -> String {
    let digest = Sha256::digest(token.expose_secret().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn row(client_id: String, tokens: StoredTokens, imported_hash: Option<String>) -> TokenRow {
    let StoredTokens { access_token, expires_at, refresh_token, scopes, trouble } = tokens;
    TokenRow { client_id, refresh_token, access_token, expires_at, scopes, imported_hash, trouble }
}

fn stored(row: TokenRow) -> StoredTokens {
    let TokenRow { access_token, expires_at, refresh_token, scopes, trouble, .. } = row;
    StoredTokens { access_token, expires_at, refresh_token, scopes, trouble }
}

/// Keeps the tokens of one account in the database.
struct StoreVault {
    store: Store,
    account_id: AccountId,
    client_id: String,
}

impl StoreVault {
    /// Tokens of another application do not count.
    async fn stored(&self) -> Result<Option<StoredTokens>, StoreError> {
        let row = self.store.load_tokens(self.account_id).await?.filter(|row| row.client_id == self.client_id);
        Ok(row.map(stored))
    }
}

/// How long storing tokens may wait for the database. It is tried again when the database answers.
const KEPT_WITHIN: Duration = Duration::from_secs(60);

async fn bounded<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, VaultError> {
    match tokio::time::timeout(KEPT_WITHIN, work).await {
        Ok(done) => done.map_err(VaultError::new),
        Err(_) => {
            let seconds = KEPT_WITHIN.as_secs();
            Err(VaultError::new(format!("the database did not answer within {seconds} s")))
        }
    }
}

impl TokenVault for StoreVault {
    fn save<'a>(&'a self, known: &'a SecretString, tokens: &'a StoredTokens) -> Keeping<'a, Kept> {
        Box::pin(async move {
            let row = row(self.client_id.clone(), tokens.clone(), None);
            let renewed = bounded(self.store.renew_tokens(self.account_id, known, &row, clock::now())).await?;
            Ok(if renewed { Kept::Stored } else { Kept::Overtaken })
        })
    }

    fn load(&self) -> Keeping<'_, Option<StoredTokens>> {
        Box::pin(bounded(self.stored()))
    }

    fn note_failure<'a>(
        &'a self,
        known: &'a SecretString,
        trouble: &'a TokenFailure,
        of: FailureOf,
    ) -> Keeping<'a, ()> {
        Box::pin(bounded(self.store.note_token_failure(self.account_id, known, &self.client_id, trouble, of)))
    }

    fn note_refused<'a>(&'a self, refused: &'a SecretString, why: &'a str) -> Keeping<'a, ()> {
        Box::pin(bounded(self.store.note_refused(self.account_id, refused, why, clock::now())))
    }
}

/// Keeps the tokens of a sign-in by the environment in the database, until it is recorded for an account.
struct PendingVault {
    store: Store,
    key: PendingKey,
}

impl PendingVault {
    /// The tokens to continue with. The one in the environment is stored before it is first sent, or there would be
    /// nothing to note the answer with.
    async fn begin(&self, refresh_token: &SecretString) -> Result<StoredTokens, StoreError> {
        if let Some(pending) = self.stored().await? {
            debug!("a sign-in by the token in the environment is pending and goes on");
            return Ok(pending);
        }
        let refresh_token = refresh_token.clone();
        let tokens = StoredTokens { access_token: None, expires_at: None, refresh_token, scopes: None, trouble: None };
        let row = self.row(tokens.clone());
        // Another process that was faster is noticed when the token is exchanged.
        self.store.keep_pending(&self.key, &tokens.refresh_token, &row, clock::now()).await?;
        Ok(tokens)
    }

    async fn stored(&self) -> Result<Option<StoredTokens>, StoreError> {
        Ok(self.store.load_pending(&self.key).await?.map(stored))
    }

    fn row(&self, tokens: StoredTokens) -> TokenRow {
        let PendingKey { imported_hash, client_id } = self.key.clone();
        row(client_id, tokens, Some(imported_hash))
    }
}

impl TokenVault for PendingVault {
    fn save<'a>(&'a self, known: &'a SecretString, tokens: &'a StoredTokens) -> Keeping<'a, Kept> {
        Box::pin(async move {
            let row = self.row(tokens.clone());
            let kept = bounded(self.store.keep_pending(&self.key, known, &row, clock::now())).await?;
            Ok(if kept { Kept::Stored } else { Kept::Overtaken })
        })
    }

    fn load(&self) -> Keeping<'_, Option<StoredTokens>> {
        Box::pin(bounded(self.stored()))
    }

    fn note_failure<'a>(
        &'a self,
        known: &'a SecretString,
        trouble: &'a TokenFailure,
        of: FailureOf,
    ) -> Keeping<'a, ()> {
        Box::pin(bounded(self.store.note_pending_failure(&self.key, known, trouble, of)))
    }

    /// The next start tries the token in the environment, which may have been good all along.
    fn note_refused<'a>(&'a self, refused: &'a SecretString, _: &'a str) -> Keeping<'a, ()> {
        Box::pin(bounded(self.store.forget_pending(&self.key, refused)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DatabaseUrl;
    use chrono::TimeDelta;

    #[tokio::test]
    async fn a_token_of_the_environment_can_be_doubted_before_it_was_ever_exchanged() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&DatabaseUrl::sqlite_file(folder.path().join("segno.db")), "test").await.unwrap();
        let key = PendingKey { imported_hash: "ab12".into(), client_id: "app".into() };
        let vault = PendingVault { store: store.clone(), key: key.clone() };
        let tokens = vault.begin(&"brought".into()).await.unwrap();
        assert!(vault.is_lasting() && doubt(&store, &key).await.unwrap().is_none());

        let (now, later) = (clock::now(), clock::now() + TimeDelta::minutes(5));
        let void = TokenFailure { why: "void".into(), retry_at: later, doubted_at: Some(now) };
        vault.note_failure(&tokens.refresh_token, &void, FailureOf::Grant).await.unwrap();
        assert_eq!(doubt(&store, &key).await.unwrap().map(|doubt| doubt.why), Some("void".to_owned()));
        let again = vault.begin(&"brought".into()).await.unwrap();
        assert!(again.trouble.is_some_and(|trouble| trouble.doubted_at.is_some()), "and a later process knows");

        vault.note_refused(&tokens.refresh_token, "void").await.unwrap();
        assert!(doubt(&store, &key).await.unwrap().is_none(), "the second answer decides");
    }
}
