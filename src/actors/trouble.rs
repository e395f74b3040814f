//! What goes wrong between a syncer and the database.

use super::checkpoint_writer::WriteError;
use crate::{model::Fault, store::StoreError};
use actix::MailboxError;

/// Why a run cannot go on as it is.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error("the checkpoint writer died; whether the last batch was committed is unknown")]
    ReplyLost(#[from] MailboxError),
}

impl Trouble {
    /// Whether to start again from the database and go on.
    pub fn is_transient(&self) -> bool {
        match self {
            Trouble::Write(error) => error.is_transient(),
            Trouble::Read(error) => error.is_transient(),
            Trouble::ReplyLost(_) => true,
        }
    }

    pub fn into_fault(self) -> Fault {
        match self {
            Trouble::Write(WriteError::Store(error @ StoreError::Fenced { .. })) => Fault::Overtaken(error.to_string()),
            Trouble::Write(_) | Trouble::Read(_) | Trouble::ReplyLost(_) => Fault::Internal(self.to_string()),
        }
    }
}
