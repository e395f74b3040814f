//! Who this process is to others on the same database, and how it takes an account over.

use crate::{
    cli::stderr::say,
    clock,
    model::{AccountId, Claim, Owner},
    processes,
    store::{Store, StoreError},
};
use std::{fs, time::Duration};
use uuid::Uuid;

/// How long a service holds an account without renewing its claim. A service that was killed elsewhere delays the next
/// by as much.
pub const HOLDS_FOR: Duration = Duration::from_secs(60);

/// Between looks at a claim that may be a dead one's.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// This process, running `command`.
pub fn this_process(command: &str) -> Owner {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    let host = host.map(|host| host.trim().to_owned()).filter(|host| !host.is_empty());
    let pid = std::process::id();
    let label = format!("segno {command} (process {pid} on {})", host.as_deref().unwrap_or("this machine"));
    Owner { id: Uuid::new_v4(), label, place: processes::place(), pid }
}

/// Takes an account over for one sync. A service that keeps it current is left to its work.
pub async fn take(store: &Store, account: AccountId, us: &Owner) -> Result<(), StoreError> {
    match try_take(store, account, us, None).await? {
        None => Ok(()),
        Some(held) => Err(StoreError::Held(Box::new(held))),
    }
}

/// Takes an account over for as long as the claim is renewed. Waits for a service that seems to have died without
/// giving it up; one that lives is left to its work.
pub async fn take_and_hold(store: &Store, account: AccountId, us: &Owner) -> Result<(), StoreError> {
    let mut waiting_for: Option<Claim> = None;
    loop {
        match (try_take(store, account, us, Some(HOLDS_FOR)).await?, &waiting_for) {
            (None, _) => return Ok(()),
            (Some(held), Some(earlier)) if held != *earlier => return Err(StoreError::Held(Box::new(held))),
            (Some(_), Some(_)) => {}
            (Some(held), None) => {
                let (label, until) = (&held.owner.label, held.until.format("%T UTC"));
                say(&format!("{label} keeps this account current; taking over at {until} if it is silent until then"));
                waiting_for = Some(held);
            }
        }
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
}

/// The claim that stands in the way, if there is one.
async fn try_take(
    store: &Store,
    account: AccountId,
    us: &Owner,
    hold: Option<Duration>,
) -> Result<Option<Claim>, StoreError> {
    let mut dead = None;
    loop {
        let now = clock::now();
        match store.claim(account, us, hold.map(|hold| now + hold), dead, now).await {
            Ok(()) => return Ok(None),
            Err(StoreError::Held(held)) if dead.is_none() && processes::is_gone(&held.owner, us) => {
                dead = Some(held.owner.id)
            }
            Err(StoreError::Held(held)) => return Ok(Some(*held)),
            Err(error) => return Err(error),
        }
    }
}
