//! What goes wrong between a syncer and the database, in the words of [`Trouble`].

use super::checkpoint_writer::WriteError;
use crate::{engine::syncing::Trouble, store::StoreError};
use actix::MailboxError;

/// What came of a message to the writer.
pub fn tried<T>(sent: Result<Result<T, WriteError>, MailboxError>) -> Result<T, Trouble> {
    match sent {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(WriteError::Store(error))) => Err(reading(error)),
        Ok(Err(error @ WriteError::TimedOut)) => Err(Trouble::Passing(error.to_string())),
        Err(_) => Err(Trouble::Passing(
            "the checkpoint writer died; whether the last batch was committed is unknown".to_owned(),
        )),
    }
}

pub fn reading(error: StoreError) -> Trouble {
    match &error {
        StoreError::Fenced { .. } => Trouble::Overtaken(error.to_string()),
        _ if error.is_transient() => Trouble::Passing(error.to_string()),
        _ => Trouble::Lasting(error.to_string()),
    }
}
