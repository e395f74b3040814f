//! The client against a server of a few lines, and the decoders against recorded answers.

mod answers;
mod authorize;
mod network;
mod server;
mod tokens;

use super::*;
use crate::model::{FailureOf, TokenFailure};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use server::Server;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// Stores what it is given, notes it in the server's log, and fails a set number of times.
struct Recorder {
    log: server::Log,
    saved: Mutex<Vec<StoredTokens>>,
    /// What another process could read.
    held: Mutex<Option<StoredTokens>>,
    newer: Mutex<Option<StoredTokens>>,
    num_failures: AtomicU32,
}

impl TokenVault for Recorder {
    fn save<'a>(&'a self, known: &'a SecretString, tokens: &'a StoredTokens) -> Keeping<'a, Kept> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            if self.num_failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            {
                return Err(VaultError::new("disk full"));
            }
            let held = &mut *self.held.lock().unwrap();
            if held.as_ref().is_none_or(|held| held.refresh_token.expose_secret() != known.expose_secret()) {
                return Ok(Kept::Overtaken);
            }
            self.log.push(format!("save {}", tokens.refresh_token.expose_secret()));
            self.saved.lock().unwrap().push(tokens.clone());
            *held = Some(tokens.clone());
            Ok(Kept::Stored)
        })
    }

    fn load(&self) -> Keeping<'_, Option<StoredTokens>> {
        self.log.push("load".into());
        Box::pin(async { Ok(self.held.lock().unwrap().clone()) })
    }

    fn note_failure<'a>(&'a self, _: &'a SecretString, trouble: &'a TokenFailure, of: FailureOf) -> Keeping<'a, ()> {
        let what = if trouble.doubted_at.is_some() { "doubt".to_owned() } else { format!("{of:?}") };
        self.log.push(format!("trouble {what}"));
        if let Some(held) = &mut *self.held.lock().unwrap() {
            held.trouble = Some(trouble.clone());
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn load_newer<'a>(&'a self, _: &'a SecretString) -> Keeping<'a, Option<StoredTokens>> {
        Box::pin(std::future::ready(Ok(self.newer.lock().unwrap().take())))
    }

    fn note_refused<'a>(&'a self, refused: &'a SecretString, _: &'a str) -> Keeping<'a, ()> {
        self.log.push(format!("refused {}", refused.expose_secret()));
        Box::pin(std::future::ready(Ok(())))
    }
}

fn recorder(server: &Server) -> Arc<Recorder> {
    Arc::new(recorded(server))
}

fn recorded(server: &Server) -> Recorder {
    Recorder {
        log: server.log.clone(),
        saved: Mutex::default(),
        held: Mutex::new(Some(stored())),
        newer: Mutex::default(),
        num_failures: AtomicU32::new(0),
    }
}

/// Short, since these tests wait for them.
const RESTS: TokenRests = TokenRests {
    first: Duration::from_millis(300),
    longest: Duration::from_secs(2),
    doubt: Duration::from_millis(600),
};

fn config(server: &Server) -> ClientConfig {
    ClientConfig {
        api_url: server.url.join("/v1").unwrap(),
        accounts_url: server.url.clone(),
        client_id: "client".into(),
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        user_agent: "segno-test".into(),
        token_rests: RESTS,
    }
}

fn client(server: &Server) -> Client {
    Client::new(config(server)).unwrap()
}

/// Tokens `a1`, which lasts for an hour, and `r1`.
fn stored() -> StoredTokens {
    StoredTokens {
        access_token: Some("a1".into()),
        expires_at: Some(Utc::now() + TimeDelta::hours(1)),
        refresh_token: "r1".into(),
        scopes: Some("user-library-read".into()),
        trouble: None,
    }
}

/// The same, expired.
fn expired() -> StoredTokens {
    StoredTokens { expires_at: Some(Utc::now() + TimeDelta::seconds(59)), ..stored() }
}

/// The same, and void.
fn run_out() -> StoredTokens {
    StoredTokens { expires_at: Some(Utc::now() - TimeDelta::seconds(1)), ..stored() }
}

fn tokens(stored: StoredTokens, vault: Arc<Recorder>) -> Tokens {
    Tokens::new(stored, vault, Utc::now as fn() -> DateTime<Utc>)
}
