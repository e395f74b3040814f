//! What a service asks of a database that it has opened and not yet joined: one that has gone away since then is waited for.

use crate::store::StoreError;
use std::time::Duration;
use tokio::time::sleep;
use tracing::{info, warn};

/// Between tries while a database that was there does not answer.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Asks until there is an answer.
pub(super) async fn insist<T>(asking: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut is_away = false;
    loop {
        match asking().await {
            Err(error) if error.is_transient() => {
                if !std::mem::replace(&mut is_away, true) {
                    warn!(%error, "the database went away while the service was starting; trying again");
                }
                sleep(ASK_AGAIN_AFTER).await;
            }
            answered => {
                if is_away && answered.is_ok() {
                    info!("the database answers again");
                }
                return answered;
            }
        }
    }
}
