//! The client against a server of a few lines, and the decoders against recorded answers.

mod answers;
mod network;
mod server;
mod tokens;

use super::*;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use server::Server;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// Keeps what it is given, notes it in the server's log, and fails as often as it is told to.
struct Recorder {
    log: server::Log,
    saved: Mutex<Vec<StoredTokens>>,
    num_failures: AtomicU32,
}

impl TokenVault for Recorder {
    fn save<'a>(&'a self, tokens: &'a StoredTokens) -> Pin<Box<dyn Future<Output = Result<(), VaultError>> + 'a>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            if self.num_failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            {
                return Err(VaultError::new("disk full"));
            }
            self.log.push(format!("save {}", tokens.refresh_token.expose_secret()));
            self.saved.lock().unwrap().push(tokens.clone());
            Ok(())
        })
    }
}

fn recorder(server: &Server) -> Arc<Recorder> {
    Arc::new(Recorder { log: server.log.clone(), saved: Mutex::default(), num_failures: AtomicU32::new(0) })
}

fn config(server: &Server) -> ClientConfig {
    ClientConfig {
        api_url: server.url.join("/v1").unwrap(),
        accounts_url: server.url.clone(),
        client_id: "client".into(),
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        user_agent: "segno-test".into(),
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
    }
}

/// The same, run out.
fn expired() -> StoredTokens {
    StoredTokens { expires_at: Some(Utc::now() + TimeDelta::seconds(59)), ..stored() }
}

fn tokens(stored: StoredTokens, vault: Arc<Recorder>) -> Tokens {
    Tokens::new(stored, vault, Utc::now as fn() -> DateTime<Utc>)
}
