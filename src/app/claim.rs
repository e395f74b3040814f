//! How this process identifies itself to others on the same database, and how it takes an account over.

use super::insist::insist;
use crate::{
    cli::stderr::say,
    clock,
    model::{AccountId, Claim, Node, Owner},
    processes,
    store::{Store, StoreError},
};
use std::{fs, time::Duration};
use uuid::Uuid;

/// Interval between looks at a service that may be dead.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// This process, running `command`.
pub fn this_process(command: &str) -> Owner {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    let host = host.map(|host| host.trim().to_owned()).filter(|host| !host.is_empty());
    let pid = std::process::id();
    let label = format!("segno {command} (process {pid} on {})", host.as_deref().unwrap_or("this machine"));
    Owner { id: Uuid::new_v4(), label, place: processes::place(), pid }
}

/// Takes an account over for one sync. Fails if a service keeps it current.
pub async fn take(store: &Store, account: AccountId, us: &Owner) -> Result<(), StoreError> {
    match unless_dead(us, async |dead| store.claim(account, us, dead, clock::now()).await).await? {
        None => Ok(()),
        Some(held) => Err(StoreError::Held(Box::new(held))),
    }
}

/// Makes this service the only one on its database. Waits for one that seems to have died without notice; fails if one
/// is alive.
pub async fn join_alone(store: &Store, us: &Node) -> Result<(), StoreError> {
    let mut waiting_for: Option<Claim> = None;
    loop {
        let join = async || unless_dead(&us.owner, async |dead| store.join_alone(us, dead, clock::now()).await).await;
        let joined = insist(join).await?;
        match (joined, &waiting_for) {
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

/// Tries something that a living service prevents, and returns the service that does.
async fn unless_dead(
    us: &Owner,
    attempt: impl AsyncFn(Option<Uuid>) -> Result<(), StoreError>,
) -> Result<Option<Claim>, StoreError> {
    let mut dead = None;
    loop {
        match attempt(dead).await {
            Ok(()) => return Ok(None),
            Err(StoreError::Held(held)) if dead.is_none() && processes::is_gone(&held.owner, us) => {
                dead = Some(held.owner.id)
            }
            Err(StoreError::Held(held)) => return Ok(Some(*held)),
            Err(error) => return Err(error),
        }
    }
}
