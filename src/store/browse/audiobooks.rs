//! Saved audiobooks.

use super::{Entry, Member};
use crate::model::EntityType;
use crate::store::schema::audiobooks;
use crate::store::{Conn, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, QueryDsl};
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
    /// Spotify does not disclose it to new applications.
    pub publisher: Option<String>,
    pub explicit: Option<bool>,
    pub total_chapters: Option<i32>,
    pub image_url: Option<String>,
    /// Null if the source does not say.
    pub added_at: Option<DateTime<Utc>>,
    pub removed_at: Option<DateTime<Utc>>,
}

impl Entry for AudiobookEntry {
    fn words(&self) -> impl Iterator<Item = &str> {
        let names = self.authors.iter().chain(&self.narrators).map(String::as_str);
        [self.name.as_str()].into_iter().chain(names)
    }
}

impl Member for AudiobookEntry {
    const ENTITY: EntityType = EntityType::Audiobooks;

    fn id(&self) -> &str {
        &self.id
    }

    fn set_dates(&mut self, came_at: Option<DateTime<Utc>>, removed_at: Option<DateTime<Utc>>) {
        (self.added_at, self.removed_at) = (came_at, removed_at);
    }

    #[expect(private_interfaces, reason = "only the store loads them")]
    async fn load(conn: &mut Conn, ids: Vec<&str>) -> Result<Vec<AudiobookEntry>, StoreError> {
        type Text = Option<String>;
        type Row = (String, String, Text, Text, Text, Option<bool>, Option<i32>, Text);
        let rows: Vec<Row> = with_conn!(conn, |c| {
            use audiobooks::{authors, explicit, id, image_url, name, narrators, publisher, table, total_chapters};
            let columns = (id, name, authors, narrators, publisher, explicit, total_chapters, image_url);
            table.filter(id.eq_any(ids)).select(columns).load(c).await
        })?;
        let list =
            |names: Option<String>| names.and_then(|names| serde_json::from_str(&names).ok()).unwrap_or_default();
        let entry =
            |(id, name, authors, narrators, publisher, explicit, total_chapters, image_url): Row| AudiobookEntry {
                id,
                name,
                authors: list(authors),
                narrators: list(narrators),
                publisher,
                explicit,
                total_chapters,
                image_url,
                added_at: None,
                removed_at: None,
            };
        Ok(rows.into_iter().map(entry).collect())
    }
}
