//! The index of ISRCs, which finds a recording under its other ids.
//!
//! ISRCs arrive in random order: while a first sync writes its tracks one by one, each ISRC changes a page of its own, a
//! fifth of all that is written to SQLite. So the index is built in one go after it, like those of [`super::names`].

use super::names::{has_index, is_read_once};
use crate::model::EntityType;
use crate::store::{Conn, Store, StoreError, with_conn};
use diesel_async::SimpleAsyncConnection;

const INDEX: &str = "tracks_isrc";

impl Store {
    /// Builds the index once it is due, and returns whether it did. Writers wait meanwhile.
    pub async fn index_isrcs(&self) -> Result<bool, StoreError> {
        let conn = &mut self.connect().await?;
        if are_indexed(conn).await? || !is_read_once(conn, EntityType::Tracks).await? {
            return Ok(false);
        }
        let sql = format!("CREATE INDEX IF NOT EXISTS {INDEX} ON tracks (isrc) WHERE isrc IS NOT NULL");
        with_conn!(conn, |c| c.batch_execute(&sql).await)?;
        Ok(true)
    }
}

async fn are_indexed(conn: &mut Conn) -> Result<bool, StoreError> {
    has_index(conn, INDEX).await
}

/// The condition that a track `t` has the ISRC of one of some tracks: of those whose id `o.id` is `among`, which are
/// the `ids`. Without the index, their ISRCs are collected first.
pub(super) async fn is_one_of(conn: &mut Conn, among: &str, ids: &str) -> Result<String, StoreError> {
    Ok(if are_indexed(conn).await? {
        format!("EXISTS (SELECT 1 FROM tracks o WHERE o.isrc = t.isrc AND EXISTS ({among} = o.id))")
    } else {
        format!("t.isrc IN (SELECT o.isrc FROM tracks o WHERE o.isrc IS NOT NULL AND o.id IN ({ids}))")
    })
}
