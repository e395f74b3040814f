//! How long the service's own notes are kept. What is the person's is never looked at here: the library, what was removed from
//! it, plays and histories.
//!
//! | notes | forgotten |
//! |---|---|
//! | `sync_batches` | some time after the commit |
//! | `sync_gaps`, `play_gaps` | some time after the gap was healed; an open one never |
//! | `request_ledger` | after a day or so, by itself |
//! | `sync_odd_items`, `held_removals` | when their reason is gone, by themselves |

use super::schema::{play_gaps, sync_batches, sync_gaps};
use super::types::At;
use super::{Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

impl Store {
    /// Forgets what was noted, and is over, before this. Returns how many notes.
    pub async fn forget_notes_before(&self, then: DateTime<Utc>) -> Result<usize, StoreError> {
        let (conn, then) = (&mut self.connect().await?, At::from(then));
        let batches = with_conn!(conn, |c| {
            diesel::delete(sync_batches::table.filter(sync_batches::committed_at.lt(then))).execute(c).await
        })?;
        let gaps = with_conn!(conn, |c| {
            diesel::delete(sync_gaps::table.filter(sync_gaps::healed_at.lt(then))).execute(c).await
        })?;
        let play_gaps = with_conn!(conn, |c| {
            diesel::delete(play_gaps::table.filter(play_gaps::healed_at.lt(then))).execute(c).await
        })?;
        Ok(batches + gaps + play_gaps)
    }
}
