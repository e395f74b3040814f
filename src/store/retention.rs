//! How long the service's own notes are kept. What is the person's is never looked at here: the library, what was removed from
//! it, plays and histories.
//!
//! | notes | forgotten |
//! |---|---|
//! | `sync_batches` | some time after the commit |
//! | `sync_gaps`, `play_gaps` | some time after the gap was healed; an open one never |
//! | `sync_odd_items` | when the row is read and no longer odd; of a listing some time after it was last seen, of a playlist not before it has left the library |
//! | `sync_odd_items` of plays | never: no other table has the names in them |
//! | `held_removals` | when they are decided on |
//! | `request_ledger` | after two days, with the next requests; else some time later |
//! | `cooldowns` | some time after they have ended |
//! | `orders` | some time after they were given |
//! | `nodes` | some time after they were last heard of |
//! | pauses in `rate_limits` | when they are lifted; else some time after they have ended |

use super::plays::ODD_ENTITY;
use super::schema::{
    cooldowns, library_playlists, nodes, orders, play_gaps, rate_limits, request_ledger, sync_batches, sync_gaps,
    sync_odd_items,
};
use super::types::At;
use super::{Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::dsl::{exists, not};
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
        let odd = with_conn!(conn, |c| {
            use sync_odd_items::{account_id, entity_type, playlist_id, seen_at, table};
            // The items of a playlist are read again when it changes, however long that takes.
            let holds_it = library_playlists::table
                .filter(library_playlists::account_id.eq(account_id))
                .filter(library_playlists::playlist_id.eq(playlist_id))
                .filter(library_playlists::removed_at.is_null());
            let old = table.filter(seen_at.lt(then)).filter(entity_type.ne(ODD_ENTITY));
            diesel::delete(old.filter(not(exists(holds_it)))).execute(c).await
        })?;
        let ledger = with_conn!(conn, |c| {
            diesel::delete(request_ledger::table.filter(request_ledger::started_at.lt(then))).execute(c).await
        })?;
        let pauses = with_conn!(conn, |c| {
            use rate_limits::{blocked_until, class, table};
            let over = table.filter(blocked_until.lt(then));
            diesel::update(over).set((blocked_until.eq(None::<At>), class.eq(None::<String>))).execute(c).await
        })?;
        let cooldowns = with_conn!(conn, |c| {
            diesel::delete(cooldowns::table.filter(cooldowns::ends_at.lt(then))).execute(c).await
        })?;
        let orders =
            with_conn!(conn, |c| diesel::delete(orders::table.filter(orders::given_at.lt(then))).execute(c).await)?;
        let nodes =
            with_conn!(conn, |c| diesel::delete(nodes::table.filter(nodes::seen_at.lt(then))).execute(c).await)?;
        Ok(batches + gaps + play_gaps + odd + ledger + pauses + cooldowns + orders + nodes)
    }
}
