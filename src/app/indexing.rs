//! What lists by name need of the database, built when it is due. The page itself only reads.

use crate::{faults::hastened, store::Store};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

/// How soon after the first sync lists can be sorted by name. To look takes three short queries.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Runs until it is dropped with the service. What fails is tried again; meanwhile such lists say that they are not ready.
pub(super) async fn keep_names_indexed(store: Store) {
    loop {
        sleep(hastened(LOOK_EVERY)).await;
        let began = Instant::now();
        match store.index_names().await {
            Ok(built) if built.is_empty() => {}
            Ok(built) => info!(indexes = built.join(", "), took = ?began.elapsed(), "lists can be sorted by name"),
            Err(error) => warn!(%error, "an index of names could not be built; trying again"),
        }
    }
}
