//! Saved episodes.

use super::members::{
    BEYOND, ByName, DateKey, Dates, MemberRow, Members, NameKey, date_key, dated_mark, member_lists, name_key,
    name_mark, undated_mark,
};
use super::names;
use super::{Entry, ListPage, Walk, folded_sql, gather, in_order, is_found};
use crate::model::EntityType;
use crate::store::schema::{episodes, saved_episodes, shows};
use crate::store::types::{At, Instant};
use crate::store::{Conn, Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::sql_types::{Nullable, Text};
use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use utoipa::ToSchema;

/// A saved episode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EpisodeEntry {
    pub id: String,
    pub name: String,
    pub show: Option<ShowRef>,
    pub duration_ms: Option<i32>,
    pub explicit: Option<bool>,
    /// A year, a month or a day, as the source gives it.
    pub release_date: Option<String>,
    pub image_url: Option<String>,
    pub added_at: Option<DateTime<Utc>>,
    pub removed_at: Option<DateTime<Utc>>,
}

/// The show of an episode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShowRef {
    pub id: String,
    pub name: String,
}

impl Entry for EpisodeEntry {
    fn words(&self) -> impl Iterator<Item = &str> {
        [self.name.as_str()].into_iter().chain(self.show.iter().map(|show| show.name.as_str()))
    }
}

type Columns = (String, Option<i32>, Option<bool>, Option<String>, Option<String>, Option<(String, String)>);

member_lists! {
    lists: episodes_by_date, episodes_by_name => EpisodeEntry,
    named: EntityType::Episodes,
    members: saved_episodes,
    item_id: episode_id,
    came_at: added_at,
    items: episodes,
    joined: |from| from.left_join(shows::table.on(episodes::show_id.eq(shows::id.nullable()))),
    columns: (
        episodes::name,
        episodes::duration_ms,
        episodes::explicit,
        episodes::release_date,
        episodes::image_url,
        (shows::id, shows::name).nullable(),
    ) => Columns,
}

fn entry(id: String, columns: Columns, dates: Dates) -> EpisodeEntry {
    let (name, duration_ms, explicit, release_date, image_url, show) = columns;
    let show = show.map(|(id, name)| ShowRef { id, name });
    let Dates { came_at: added_at, removed_at } = dates;
    EpisodeEntry { id, name, show, duration_ms, explicit, release_date, image_url, added_at, removed_at }
}
