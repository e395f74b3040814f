//! Saved audiobooks.

use super::members::{
    BEYOND, ByName, DateKey, Dates, MemberRow, Members, NameKey, date_key, dated_mark, member_lists, name_key,
    name_mark, undated_mark,
};
use super::names;
use super::{Entry, ListPage, Walk, folded_sql, gather, in_order, is_found};
use crate::model::EntityType;
use crate::store::schema::{audiobooks, saved_audiobooks};
use crate::store::types::{At, Instant};
use crate::store::{Conn, Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::sql_types::{Nullable, Text};
use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use utoipa::ToSchema;

/// A saved audiobook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AudiobookEntry {
    pub id: String,
    pub name: String,
    pub authors: Vec<String>,
    pub narrators: Vec<String>,
    /// Spotify does not tell it to new applications.
    pub publisher: Option<String>,
    pub explicit: Option<bool>,
    pub total_chapters: Option<i32>,
    pub image_url: Option<String>,
    /// Null where the source does not say.
    pub added_at: Option<DateTime<Utc>>,
    pub removed_at: Option<DateTime<Utc>>,
}

impl Entry for AudiobookEntry {
    fn words(&self) -> impl Iterator<Item = &str> {
        let names = self.authors.iter().chain(&self.narrators).map(String::as_str);
        [self.name.as_str()].into_iter().chain(names)
    }
}

type Columns = (String, Option<String>, Option<String>, Option<String>, Option<bool>, Option<i32>, Option<String>);

member_lists! {
    lists: audiobooks_by_date, audiobooks_by_name => AudiobookEntry,
    named: EntityType::Audiobooks,
    members: saved_audiobooks,
    item_id: audiobook_id,
    came_at: added_at,
    items: audiobooks,
    joined: |from| from,
    columns: (
        audiobooks::name,
        audiobooks::authors,
        audiobooks::narrators,
        audiobooks::publisher,
        audiobooks::explicit,
        audiobooks::total_chapters,
        audiobooks::image_url,
    ) => Columns,
}

fn entry(id: String, columns: Columns, dates: Dates) -> AudiobookEntry {
    let (name, authors, narrators, publisher, explicit, total_chapters, image_url) = columns;
    let list = |names: Option<String>| names.and_then(|names| serde_json::from_str(&names).ok()).unwrap_or_default();
    AudiobookEntry {
        id,
        name,
        authors: list(authors),
        narrators: list(narrators),
        publisher,
        explicit,
        total_chapters,
        image_url,
        added_at: dates.came_at,
        removed_at: dates.removed_at,
    }
}
