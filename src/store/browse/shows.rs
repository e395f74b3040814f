//! Saved shows.

use super::members::{
    BEYOND, ByName, DateKey, Dates, MemberRow, Members, NameKey, date_key, dated_mark, member_lists, name_key,
    name_mark, undated_mark,
};
use super::names;
use super::{Entry, ListPage, Walk, folded_sql, gather, in_order, is_found};
use crate::model::EntityType;
use crate::store::schema::{saved_shows, shows};
use crate::store::types::{At, Instant};
use crate::store::{Conn, Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::sql_types::{Nullable, Text};
use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use utoipa::ToSchema;

/// A saved show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShowEntry {
    pub id: String,
    pub name: String,
    /// Spotify does not tell it to new applications.
    pub publisher: Option<String>,
    pub explicit: Option<bool>,
    pub total_episodes: Option<i32>,
    pub image_url: Option<String>,
    pub added_at: Option<DateTime<Utc>>,
    pub removed_at: Option<DateTime<Utc>>,
}

impl Entry for ShowEntry {
    fn words(&self) -> impl Iterator<Item = &str> {
        [self.name.as_str()].into_iter().chain(self.publisher.as_deref())
    }
}

type Columns = (String, Option<String>, Option<bool>, Option<i32>, Option<String>);

member_lists! {
    lists: shows_by_date, shows_by_name => ShowEntry,
    named: EntityType::Shows,
    members: saved_shows,
    item_id: show_id,
    came_at: added_at,
    items: shows,
    joined: |from| from,
    columns: (
        shows::name,
        shows::publisher,
        shows::explicit,
        shows::total_episodes,
        shows::image_url,
    ) => Columns,
}

fn entry(id: String, columns: Columns, dates: Dates) -> ShowEntry {
    let (name, publisher, explicit, total_episodes, image_url) = columns;
    let Dates { came_at: added_at, removed_at } = dates;
    ShowEntry { id, name, publisher, explicit, total_episodes, image_url, added_at, removed_at }
}
