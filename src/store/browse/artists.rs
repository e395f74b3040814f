//! Followed artists.

use super::members::{
    BEYOND, ByName, DateKey, Dates, MemberRow, Members, NameKey, date_key, dated_mark, member_lists, name_key,
    name_mark, undated_mark,
};
use super::names;
use super::{Entry, ListPage, Walk, folded_sql, gather, in_order, is_found};
use crate::model::EntityType;
use crate::store::schema::{artists, followed_artists};
use crate::store::types::{At, Instant};
use crate::store::{Conn, Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::sql_types::{Nullable, Text};
use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use utoipa::ToSchema;

/// A followed artist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ArtistEntry {
    pub id: String,
    pub name: String,
    /// `None` where the source did not say.
    pub genres: Option<Vec<String>>,
    pub image_url: Option<String>,
    pub first_seen_at: Option<DateTime<Utc>>,
    pub removed_at: Option<DateTime<Utc>>,
}

impl Entry for ArtistEntry {
    fn words(&self) -> impl Iterator<Item = &str> {
        [self.name.as_str()].into_iter().chain(self.genres.iter().flatten().map(String::as_str))
    }
}

type Columns = (String, Option<String>, Option<String>);

member_lists! {
    lists: artists_by_date, artists_by_name => ArtistEntry,
    named: EntityType::Artists,
    members: followed_artists,
    item_id: artist_id,
    came_at: first_seen_at,
    items: artists,
    joined: |from| from,
    columns: (artists::name, artists::genres, artists::image_url) => Columns,
}

fn entry(id: String, (name, genres, image_url): Columns, dates: Dates) -> ArtistEntry {
    let genres = genres.map(|list| serde_json::from_str(&list).unwrap_or_default());
    ArtistEntry { id, name, genres, image_url, first_seen_at: dates.came_at, removed_at: dates.removed_at }
}
