//! What a service asks of a database that it has opened and not yet joined: one that has gone away since then is waited for.

use crate::{actors::driver, store::StoreError};
use std::{cell::Cell, time::Duration};
use tracing::{info, warn};

/// Between tries while a database that was there does not answer.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Asks until there is an answer, or an error that would come again.
pub(super) async fn insist<T>(asking: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let is_away = Cell::new(false);
    let attempt = async || match asking().await {
        Err(error) if error.is_transient() => Err(error),
        answered => Ok(answered),
    };
    let told = |error: &StoreError| {
        if !is_away.replace(true) {
            warn!(%error, "the database went away while the service was starting; trying again");
        }
    };
    let answered = driver::insist(ASK_AGAIN_AFTER, attempt, told).await;
    if is_away.get() && answered.is_ok() {
        info!("the database answers again");
    }
    answered
}
