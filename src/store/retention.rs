//! How long the service's own notes are kept. The person's own data is never touched here: the library, what was
//! removed from it, plays and histories.
//!
//! | notes | deleted |
//! |---|---|
//! | `sync_batches` | some time after the commit |
//! | `sync_gaps`, `play_gaps` | some time after the gap was healed; an open one never |
//! | `sync_odd_items` | when the row is read and no longer odd; in a listing some time after it was last seen, in a playlist not before it has left the library |
//! | `sync_odd_items` of plays | never: no other table has the names in them |
//! | `held_removals` | when they are decided on |
//! | `request_ledger` | after two days, with the next requests; otherwise some time later |
//! | `cooldowns` | some time after they have ended |
//! | `orders` | some time after they were given |
//! | `nodes` | some time after they were last heard of |
//! | `pending_sign_ins` | some time after their tokens were last renewed |
//! | pauses in `rate_limits` | when they are lifted; otherwise some time after they have ended |

use super::by_sql::execute;
use super::plays::ODD_ENTITY;
use super::types::At;
use super::{Store, StoreError};
use chrono::{DateTime, Utc};

/// Tables of notes, each with the moment from which a note is obsolete; null while it is not.
const NOTES: [(&str, &str); 8] = [
    ("sync_batches", "committed_at"),
    ("sync_gaps", "healed_at"),
    ("play_gaps", "healed_at"),
    ("request_ledger", "started_at"),
    ("cooldowns", "ends_at"),
    ("orders", "given_at"),
    ("nodes", "seen_at"),
    ("pending_sign_ins", "noted_at"),
];

impl Store {
    /// Deletes notes that became obsolete before this. Returns how many.
    pub async fn forget_notes_before(&self, then: DateTime<Utc>) -> Result<u64, StoreError> {
        let (conn, then) = (&mut self.connect().await?, At::from(then).literal());
        let pauses = format!("UPDATE rate_limits SET blocked_until = NULL, class = NULL WHERE blocked_until < {then}");
        // The items of a playlist are read again when it changes, however long that takes.
        let odd = format!(
            "DELETE FROM sync_odd_items WHERE seen_at < {then} AND entity_type <> '{ODD_ENTITY}' AND NOT EXISTS \
             (SELECT 1 FROM library_playlists l WHERE l.account_id = sync_odd_items.account_id \
             AND l.playlist_id = sync_odd_items.playlist_id AND l.removed_at IS NULL)"
        );
        let mut num = execute(conn, pauses).await? + execute(conn, odd).await?;
        for (table, over_at) in NOTES {
            num += execute(conn, format!("DELETE FROM {table} WHERE {over_at} < {then}")).await?;
        }
        Ok(num)
    }
}
