//! What goes wrong between a syncer and the database, in the words of [`SyncError`].

use super::checkpoint_writer::WriteError;
use crate::{engine::syncing::SyncError, store::StoreError};
use actix::MailboxError;
use std::time::Duration;

/// The result of a message to the writer.
pub fn tried<T>(sent: Result<Result<T, WriteError>, MailboxError>) -> Result<T, SyncError> {
    match sent {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(WriteError::Store(error))) => Err(reading(error)),
        Ok(Err(error @ WriteError::TimedOut)) => Err(SyncError::Passing(error.to_string())),
        Err(_) => Err(SyncError::Passing(
            "the checkpoint writer died; whether the last batch was committed is unknown".to_owned(),
        )),
    }
}

/// How long a look at the database may take. One that takes longer has met a database that hangs.
const LOOK_WITHIN: Duration = Duration::from_secs(60);

/// The result of a look at the database.
pub async fn looked<T>(look: impl Future<Output = Result<T, StoreError>>) -> Result<T, SyncError> {
    match tokio::time::timeout(LOOK_WITHIN, look).await {
        Ok(found) => found.map_err(reading),
        Err(_) => {
            let seconds = LOOK_WITHIN.as_secs();
            Err(SyncError::Passing(format!("the database did not answer within {seconds} s")))
        }
    }
}

fn reading(error: StoreError) -> SyncError {
    match &error {
        StoreError::Fenced { .. } => SyncError::Overtaken(error.to_string()),
        _ if error.is_transient() => SyncError::Passing(error.to_string()),
        _ => SyncError::Lasting(error.to_string()),
    }
}
