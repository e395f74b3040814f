//! The history of a playlist: what each reading found changed.

use super::playlists::is_listed;
use super::{ListPage, Row, Walk, gather};
use crate::model::AccountId;
use crate::store::schema::{playlist_changes, playlist_versions};
use crate::store::{Conn, Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use std::collections::HashMap;
use utoipa::ToSchema;

/// Changes shown of one version; a playlist that was replaced as a whole may have ten thousand.
const CHANGES_MAX: i64 = 100;

/// A reading of a playlist that found other items than the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct VersionEntry {
    pub id: i64,
    pub snapshot_id: Option<String>,
    pub seen_at: DateTime<Utc>,
    /// The first reading: it counts what was there, and has no changes.
    pub is_first: bool,
    pub items_added: i64,
    pub items_removed: i64,
    /// Removed ones first, each kind in the order of its list.
    pub changes: Vec<VersionChange>,
    /// How many there are beyond those.
    pub more_changes: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct VersionChange {
    /// `added` or `removed`.
    pub kind: String,
    /// In the list as it then was; for removed items, in the one before.
    pub position: i64,
    pub uri: Option<String>,
    pub name: Option<String>,
    pub track_id: Option<String>,
}

#[derive(Debug, Queryable)]
struct VersionRow {
    id: i64,
    snapshot_id: Option<String>,
    seen_at: DateTime<Utc>,
    is_first: bool,
    items_added: i64,
    items_removed: i64,
}

impl Store {
    /// Newest first. `None` if the account's library never contained such a playlist.
    pub async fn playlist_versions(
        &self,
        account: AccountId,
        playlist: &str,
        walk: &Walk<i64>,
    ) -> Result<Option<ListPage<VersionEntry, i64>>, StoreError> {
        let conn = &mut self.connect().await?;
        if !is_listed(conn, account, playlist).await? {
            return Ok(None);
        }
        let page = gather(
            walk,
            |_| true,
            async |after, limit| {
                let read: Vec<VersionRow> = with_conn!(conn, |c| {
                    use playlist_versions::{
                        id, is_first, items_added, items_removed, playlist_id, seen_at, snapshot_id,
                    };
                    playlist_versions::table
                        .filter(playlist_id.eq(playlist))
                        .filter(id.lt(after.copied().unwrap_or(i64::MAX)))
                        .order(id.desc())
                        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
                        .select((id, snapshot_id, seen_at, is_first, items_added, items_removed))
                        .load(c)
                        .await
                })?;
                let mut changes = changes(conn, read.iter().map(|row| row.id).collect()).await?;
                let row = |row: VersionRow| {
                    let changes = changes.remove(&row.id).unwrap_or_default();
                    Row { key: row.id, entry: Some(entry(row, changes)) }
                };
                Ok(read.into_iter().map(row).collect())
            },
        );
        page.await.map(Some)
    }
}

async fn changes(conn: &mut Conn, versions: Vec<i64>) -> Result<HashMap<i64, Vec<VersionChange>>, StoreError> {
    type Row = (i64, String, i64, Option<String>, Option<String>, Option<String>);
    let rows: Vec<Row> = with_conn!(conn, |c| {
        use playlist_changes::{kind, name, number, position, table, track_id, uri, version_id};
        let shown = table.filter(version_id.eq_any(versions)).filter(number.lt(CHANGES_MAX));
        shown.order((version_id, number)).select((version_id, kind, position, uri, name, track_id)).load(c).await
    })?;
    let mut changes: HashMap<i64, Vec<VersionChange>> = HashMap::new();
    for (version, kind, position, uri, name, track_id) in rows {
        changes.entry(version).or_default().push(VersionChange { kind, position, uri, name, track_id });
    }
    Ok(changes)
}

fn entry(row: VersionRow, changes: Vec<VersionChange>) -> VersionEntry {
    let num_changes = if row.is_first { 0 } else { row.items_added + row.items_removed };
    VersionEntry {
        id: row.id,
        snapshot_id: row.snapshot_id,
        seen_at: row.seen_at,
        is_first: row.is_first,
        items_added: row.items_added,
        items_removed: row.items_removed,
        more_changes: (num_changes - i64::try_from(changes.len()).unwrap_or(i64::MAX)).max(0),
        changes,
    }
}
