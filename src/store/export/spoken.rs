//! Saved shows, episodes and audiobooks as they go out: one kind of row for all three.

use super::{Export, PAGE_LEN};
use crate::model::AccountId;
use crate::store::StoreError;
use crate::store::schema::{audiobooks, episodes, saved_audiobooks, saved_episodes, saved_shows, shows};
use crate::store::types::At;
use chrono::{DateTime, Utc};
use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;
use serde::Serialize;

/// A saved show, episode or audiobook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpokenLine {
    pub added_at: Option<DateTime<Utc>>,
    pub id: String,
    pub name: String,
    /// The publisher of a show, the show of an episode, the authors of an audiobook.
    pub creator: Option<String>,
    pub description: Option<String>,
    pub explicit: Option<bool>,
    pub duration_ms: Option<i32>,
    /// Episodes of a show, chapters of an audiobook.
    pub total_parts: Option<i32>,
    pub release_date: Option<String>,
    pub image_url: Option<String>,
}

#[derive(Debug, Queryable)]
struct Row {
    id: String,
    added_at: Option<At>,
    name: String,
    creator: Option<String>,
    description: Option<String>,
    explicit: Option<bool>,
    number: Option<i32>,
    image_url: Option<String>,
}

impl Row {
    fn line(self) -> SpokenLine {
        let Row { id, added_at, name, creator, description, explicit, number, image_url } = self;
        SpokenLine {
            added_at: added_at.map(DateTime::from),
            id,
            name,
            creator,
            description,
            explicit,
            duration_ms: None,
            total_parts: number,
            release_date: None,
            image_url,
        }
    }
}

fn mark(after: Option<&SpokenLine>) -> Option<(Option<At>, &str)> {
    after.map(|line| (line.added_at.map(At::from), line.id.as_str()))
}

impl Export {
    pub async fn shows(
        &mut self,
        account: AccountId,
        since: Option<DateTime<Utc>>,
        after: Option<&SpokenLine>,
    ) -> Result<Vec<SpokenLine>, StoreError> {
        let page: Vec<Row> = newest_first!(
            &mut self.conn,
            saved_shows::table
                .inner_join(shows::table.on(shows::id.eq(saved_shows::show_id)))
                .filter(saved_shows::account_id.eq(account.0))
                .filter(saved_shows::removed_at.is_null()),
            saved_shows::added_at,
            saved_shows::show_id,
            (
                shows::id,
                saved_shows::added_at,
                shows::name,
                shows::publisher,
                shows::description,
                shows::explicit,
                shows::total_episodes,
                shows::image_url,
            ),
            mark(after),
            since.map(At::from)
        );
        Ok(page.into_iter().map(Row::line).collect())
    }

    pub async fn episodes(
        &mut self,
        account: AccountId,
        since: Option<DateTime<Utc>>,
        after: Option<&SpokenLine>,
    ) -> Result<Vec<SpokenLine>, StoreError> {
        let page: Vec<(Row, Option<String>)> = newest_first!(
            &mut self.conn,
            saved_episodes::table
                .inner_join(episodes::table.on(episodes::id.eq(saved_episodes::episode_id)))
                .left_join(shows::table.on(episodes::show_id.eq(shows::id.nullable())))
                .filter(saved_episodes::account_id.eq(account.0))
                .filter(saved_episodes::removed_at.is_null()),
            saved_episodes::added_at,
            saved_episodes::episode_id,
            (
                (
                    episodes::id,
                    saved_episodes::added_at,
                    episodes::name,
                    shows::name.nullable(),
                    episodes::description,
                    episodes::explicit,
                    episodes::duration_ms,
                    episodes::image_url,
                ),
                episodes::release_date,
            ),
            mark(after),
            since.map(At::from)
        );
        let line = |(row, release_date): (Row, Option<String>)| {
            let line = row.line();
            SpokenLine { duration_ms: line.total_parts, total_parts: None, release_date, ..line }
        };
        Ok(page.into_iter().map(line).collect())
    }

    pub async fn audiobooks(
        &mut self,
        account: AccountId,
        since: Option<DateTime<Utc>>,
        after: Option<&SpokenLine>,
    ) -> Result<Vec<SpokenLine>, StoreError> {
        let page: Vec<Row> = newest_first!(
            &mut self.conn,
            saved_audiobooks::table
                .inner_join(audiobooks::table.on(audiobooks::id.eq(saved_audiobooks::audiobook_id)))
                .filter(saved_audiobooks::account_id.eq(account.0))
                .filter(saved_audiobooks::removed_at.is_null()),
            saved_audiobooks::added_at,
            saved_audiobooks::audiobook_id,
            (
                audiobooks::id,
                saved_audiobooks::added_at,
                audiobooks::name,
                audiobooks::authors,
                audiobooks::description,
                audiobooks::explicit,
                audiobooks::total_chapters,
                audiobooks::image_url,
            ),
            mark(after),
            since.map(At::from)
        );
        Ok(page.into_iter().map(Row::line).collect())
    }
}
