//! Playlists of a library. There are few enough to sort them on the spot.

use super::members::{Members, NameKey, name_key, name_mark};
use super::{Entry, ListPage, Row, Walk, folded_sql, gather, in_order, is_found};
use crate::model::AccountId;
use crate::store::schema::{library_playlists, playlists};
use crate::store::{Conn, Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::dsl::{auto_type, sql};
use diesel::sql_types::Text;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, Queryable, Selectable,
    SelectableHelper,
};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A playlist of the library.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Serialize, ToSchema)]
#[diesel(table_name = playlists)]
pub struct PlaylistEntry {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub owner_id: Option<String>,
    pub owner_name: Option<String>,
    pub public: Option<bool>,
    pub collaborative: Option<bool>,
    pub total_items: Option<i32>,
    /// The source shows the items of some playlists to their owners only.
    pub items_readable: bool,
    /// In the library's own order.
    #[diesel(select_expression = library_playlists::position)]
    pub position: i64,
    pub image_url: Option<String>,
    #[diesel(select_expression = library_playlists::removed_at)]
    pub removed_at: Option<DateTime<Utc>>,
}

/// The place of a playlist in the library's own order. Removed ones keep their old place, so several may share one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceKey {
    pub position: i64,
    pub id: String,
}

impl Entry for PlaylistEntry {
    fn words(&self) -> impl Iterator<Item = &str> {
        [Some(&self.name), self.description.as_ref(), self.owner_name.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }
}

impl Store {
    pub async fn playlists_by_place(
        &self,
        members: &Members,
        walk: &Walk<PlaceKey>,
    ) -> Result<ListPage<PlaylistEntry, PlaceKey>, StoreError> {
        let conn = &mut self.connect().await?;
        gather(
            walk,
            |playlist| is_found(playlist, members.search.as_ref()),
            async |after, limit| {
                let first = if walk.is_descending { i64::MAX } else { i64::MIN };
                let (place, id) = after.map_or((first, ""), |key| (key.position, &key.id));
                let read: Vec<PlaylistEntry> = with_conn!(conn, |c| {
                    let (at, to) = (library_playlists::position, library_playlists::playlist_id);
                    in_order!(listed(members.account.0), walk.is_descending, at, to, place, id, limit, |ordered| {
                        ordered.select(PlaylistEntry::as_select()).load(c).await
                    })
                })?;
                let key = |row: &PlaylistEntry| PlaceKey { position: row.position, id: row.id.clone() };
                Ok(rows(read, members, key))
            },
        )
        .await
    }

    pub async fn playlists_by_name(
        &self,
        members: &Members,
        walk: &Walk<NameKey>,
    ) -> Result<ListPage<PlaylistEntry, NameKey>, StoreError> {
        let conn = &mut self.connect().await?;
        let in_sql = folded_sql(conn, "playlists.name");
        gather(
            walk,
            |playlist| is_found(playlist, members.search.as_ref()),
            async |after, limit| {
                let (name, id) = name_mark(after, walk.is_descending);
                let folded = || sql::<Text>(&in_sql);
                let read: Vec<PlaylistEntry> = with_conn!(conn, |c| {
                    let to = library_playlists::playlist_id;
                    in_order!(listed(members.account.0), walk.is_descending, folded(), to, name, id, limit, |ordered| {
                        ordered.select(PlaylistEntry::as_select()).load(c).await
                    })
                })?;
                Ok(rows(read, members, |row| name_key(&row.id, &row.name)))
            },
        )
        .await
    }

    /// A playlist that is, or was, in the account's library.
    pub async fn playlist(&self, account: AccountId, id: &str) -> Result<Option<PlaylistEntry>, StoreError> {
        let conn = &mut self.connect().await?;
        Ok(with_conn!(conn, |c| {
            listed(account.0).filter(playlists::id.eq(id)).select(PlaylistEntry::as_select()).first(c).await.optional()
        })?)
    }
}

/// Whether a playlist is, or was, in the account's library.
pub(super) async fn is_listed(conn: &mut Conn, account: AccountId, id: &str) -> Result<bool, StoreError> {
    let row: Option<String> = with_conn!(conn, |c| {
        use library_playlists::{account_id, playlist_id, table};
        let row = table.filter(account_id.eq(account.0)).filter(playlist_id.eq(id));
        row.select(playlist_id).first(c).await.optional()
    })?;
    Ok(row.is_some())
}

/// The playlists of an account.
#[auto_type]
fn listed(account: i64) -> _ {
    library_playlists::table
        .inner_join(playlists::table.on(playlists::id.eq(library_playlists::playlist_id)))
        .filter(library_playlists::account_id.eq(account))
}

fn rows<K>(
    read: Vec<PlaylistEntry>,
    members: &Members,
    key: impl Fn(&PlaylistEntry) -> K,
) -> Vec<Row<PlaylistEntry, K>> {
    let row = |entry: PlaylistEntry| {
        let is_in_list = entry.removed_at.is_some() == members.are_removed;
        Row { key: key(&entry), entry: is_in_list.then_some(entry) }
    };
    read.into_iter().map(row).collect()
}
