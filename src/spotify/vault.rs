//! Where the tokens of one account are kept, as far as [`super::auth`] needs to know.

use super::error::VaultError;
use crate::model::{FailureOf, TokenFailure};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use std::{future::Future, pin::Pin};

/// The tokens of an account, as they are stored.
#[derive(Debug, Clone)]
pub struct StoredTokens {
    pub access_token: Option<SecretString>,
    pub expires_at: Option<DateTime<Utc>>,
    pub refresh_token: SecretString,
    pub scopes: Option<String>,
    /// Why they are not renewed for a while.
    pub trouble: Option<TokenFailure>,
}

/// Whether this can be a token: something visible, and not a word that stands for nothing.
pub(super) fn is_token(text: &str) -> bool {
    let stands_for_nothing = ["null", "undefined"].iter().any(|word| text.trim().eq_ignore_ascii_case(word));
    text.bytes().any(|byte| byte.is_ascii_graphic()) && !stands_for_nothing
}

/// The future of a [`TokenVault`]. It need not be `Send`: the service runs on one thread.
pub type Keeping<'a, T> = Pin<Box<dyn Future<Output = Result<T, VaultError>> + 'a>>;

/// The outcome of storing tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Stored,
    /// Other tokens are stored by now, or none: nothing was written.
    Overtaken,
}

/// Where the tokens of one account are kept. The application implements it over its store.
pub trait TokenVault: Send + Sync {
    /// Replaces the tokens that have the refresh token `known`. Returns when they are stored safely.
    fn save<'a>(&'a self, known: &'a SecretString, tokens: &'a StoredTokens) -> Keeping<'a, Kept>;

    /// The stored tokens; `None` if the person has signed out.
    fn load(&self) -> Keeping<'_, Option<StoredTokens>>;

    /// The stored tokens, if they have another refresh token than `known`: another process has exchanged that one.
    fn load_newer<'a>(&'a self, known: &'a SecretString) -> Keeping<'a, Option<StoredTokens>> {
        Box::pin(async move {
            let stored = self.load().await?;
            Ok(stored.filter(|stored| stored.refresh_token.expose_secret() != known.expose_secret()))
        })
    }

    /// Notes that there is no new access token for a while, if this refresh token is still the stored one.
    fn note_failure<'a>(&'a self, known: &'a SecretString, trouble: &'a TokenFailure, of: FailureOf)
    -> Keeping<'a, ()>;

    /// Notes that Spotify has refused this refresh token for good, if it is still the stored one.
    fn note_refused<'a>(&'a self, refused: &'a SecretString, why: &'a str) -> Keeping<'a, ()>;

    /// Whether notes last. If not, there is no sign-in yet that one answer could end.
    fn is_lasting(&self) -> bool {
        true
    }
}

/// The vault of a sign-in that has no account yet: keeps nothing, so that the caller takes [`Tokens::snapshot`].
#[derive(Debug, Clone, Copy, Default)]
pub struct KeepInMemory;

impl TokenVault for KeepInMemory {
    fn save<'a>(&'a self, _: &'a SecretString, _: &'a StoredTokens) -> Keeping<'a, Kept> {
        Box::pin(std::future::ready(Ok(Kept::Stored)))
    }

    fn load(&self) -> Keeping<'_, Option<StoredTokens>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn note_failure<'a>(&'a self, _: &'a SecretString, _: &'a TokenFailure, _: FailureOf) -> Keeping<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn note_refused<'a>(&'a self, _: &'a SecretString, _: &'a str) -> Keeping<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn is_lasting(&self) -> bool {
        false
    }
}
