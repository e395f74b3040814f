//! Playlists of a library. There are few enough to sort them on the spot.

use super::members::{Members, NameKey, name_key, name_mark};
use super::{Entry, ListPage, Row, Walk, folded_sql, gather, in_order, is_found};
use crate::model::AccountId;
use crate::store::schema::{library_playlists, playlists};
use crate::store::types::At;
use crate::store::{Conn, Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::dsl::{auto_type, sql};
use diesel::sql_types::Text;
use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A playlist of the library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
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
    pub position: i64,
    pub image_url: Option<String>,
    pub removed_at: Option<DateTime<Utc>>,
}

/// The place of a playlist in the library's own order. Those that are gone keep the place they had, so several may
/// share one.
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
                let read: Vec<PlaylistRow> = with_conn!(conn, |c| {
                    let (at, to) = (library_playlists::position, library_playlists::playlist_id);
                    in_order!(listed(members.account.0), walk.is_descending, at, to, place, id, limit, |ordered| {
                        ordered.select(COLUMNS).load(c).await
                    })
                })?;
                let key = |row: &PlaylistRow| PlaceKey { position: row.position, id: row.id.clone() };
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
                let read: Vec<PlaylistRow> = with_conn!(conn, |c| {
                    let to = library_playlists::playlist_id;
                    in_order!(listed(members.account.0), walk.is_descending, folded(), to, name, id, limit, |ordered| {
                        ordered.select(COLUMNS).load(c).await
                    })
                })?;
                Ok(rows(read, members, |row| name_key(&row.id, &row.name)))
            },
        )
        .await
    }

    /// One that is, or was, in the account's library.
    pub async fn playlist(&self, account: AccountId, id: &str) -> Result<Option<PlaylistEntry>, StoreError> {
        let conn = &mut self.connect().await?;
        let row: Option<PlaylistRow> = with_conn!(conn, |c| {
            listed(account.0).filter(playlists::id.eq(id)).select(COLUMNS).first(c).await.optional()
        })?;
        Ok(row.map(PlaylistEntry::from))
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

#[derive(Debug, Queryable)]
struct PlaylistRow {
    id: String,
    position: i64,
    removed_at: Option<At>,
    name: String,
    description: Option<String>,
    owner_id: Option<String>,
    owner_name: Option<String>,
    public: Option<bool>,
    collaborative: Option<bool>,
    total_items: Option<i32>,
    items_readable: bool,
    image_url: Option<String>,
}

type Columns = (
    playlists::id,
    library_playlists::position,
    library_playlists::removed_at,
    playlists::name,
    playlists::description,
    playlists::owner_id,
    playlists::owner_name,
    playlists::public,
    playlists::collaborative,
    playlists::total_items,
    playlists::items_readable,
    playlists::image_url,
);

const COLUMNS: Columns = (
    playlists::id,
    library_playlists::position,
    library_playlists::removed_at,
    playlists::name,
    playlists::description,
    playlists::owner_id,
    playlists::owner_name,
    playlists::public,
    playlists::collaborative,
    playlists::total_items,
    playlists::items_readable,
    playlists::image_url,
);

fn rows<K>(read: Vec<PlaylistRow>, members: &Members, key: impl Fn(&PlaylistRow) -> K) -> Vec<Row<PlaylistEntry, K>> {
    let row = |row: PlaylistRow| {
        let is_in_list = row.removed_at.is_some() == members.are_removed;
        Row { key: key(&row), entry: is_in_list.then(|| row.into()) }
    };
    read.into_iter().map(row).collect()
}

impl From<PlaylistRow> for PlaylistEntry {
    fn from(row: PlaylistRow) -> PlaylistEntry {
        PlaylistEntry {
            id: row.id,
            name: row.name,
            description: row.description,
            owner_id: row.owner_id,
            owner_name: row.owner_name,
            public: row.public,
            collaborative: row.collaborative,
            total_items: row.total_items,
            items_readable: row.items_readable,
            position: row.position,
            image_url: row.image_url,
            removed_at: row.removed_at.map(DateTime::from),
        }
    }
}
