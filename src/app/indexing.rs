//! Maintenance of the database beside the sync: builds the indexes for lists by name when they are due, completes the
//! sums of what was heard, and deletes old notes of the service.

use crate::{
    clock,
    faults::hastened,
    store::{Store, StoreError},
};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};
use uuid::Uuid;

/// How soon after the first sync lists can be sorted by name. Checking takes a few short queries.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Runs until it is dropped with the service. Failures are retried; meanwhile such lists report that they are not
/// ready.
pub(super) async fn keep_lists_indexed(store: Store) {
    loop {
        sleep(hastened(LOOK_EVERY)).await;
        let began = Instant::now();
        match store.index_names().await {
            Ok(built) if built.is_empty() => {}
            Ok(built) => info!(indexes = built.join(", "), took = ?began.elapsed(), "lists can be sorted by name"),
            Err(error) => warn!(%error, "an index of names could not be built; trying again"),
        }
        let began = Instant::now();
        match store.index_isrcs().await {
            Ok(false) => {}
            Ok(true) => info!(took = ?began.elapsed(), "recordings can be found by their ISRC"),
            Err(error) => warn!(%error, "the index of ISRCs could not be built; trying again"),
        }
    }
}

/// Interval between looks at old notes.
const FORGET_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs until it is dropped with the service. Never deletes the person's own data.
pub(super) async fn forget_old_notes(store: Store, keep: Duration, keep_feed: Duration) {
    loop {
        // Not at once: a start has other things to do.
        sleep(hastened(LOOK_EVERY)).await;
        match store.forget_notes_before(clock::now() - keep).await {
            Ok(0) => {}
            Ok(num_notes) => info!(num_notes, "old notes of batches and gaps were deleted"),
            Err(error) => warn!(%error, "old notes could not be deleted; trying again"),
        }
        match store.forget_events_before(clock::now() - keep_feed).await {
            Ok(0) => {}
            Ok(num_events) => info!(num_events, "old entries of the feed were deleted"),
            Err(error) => warn!(%error, "old entries of the feed could not be deleted; trying again"),
        }
        sleep(hastened(FORGET_EVERY)).await;
    }
}

/// Runs until it is dropped with the service. Polls and imports make their own sums; this makes those left over by an
/// older version or a dead process, and updates the names of titles from the catalogue. Other nodes do the same for
/// the accounts that they hold.
pub(super) async fn keep_heard_summed_up(store: Store, us: Uuid) {
    loop {
        sleep(hastened(LOOK_EVERY)).await;
        if let Err(error) = sum_up_heard(&store, us).await {
            warn!(%error, "the sums of listening could not be updated; trying again");
        }
        sleep(hastened(FORGET_EVERY)).await;
    }
}

async fn sum_up_heard(store: &Store, us: Uuid) -> Result<(), StoreError> {
    for account in store.not_held_by_others(us, clock::now()).await? {
        store.sum_up_heard(account).await?;
        store.look_up_heard(account).await?;
    }
    Ok(())
}
