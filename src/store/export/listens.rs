//! Everything that was listened to, each listen once: the rows of the view `listening`, with all that is known of each.
//!
//! What an export contains and what only the API reported are read separately, each along an index, so that a page
//! costs the same however much there is; the caller merges both by time.

use super::streams::StreamColumns;
use super::{AlbumFacts, Export, PAGE_LEN, Shared, TrackFacts, facts_of};
use crate::model::AccountId;
use crate::model::LOCAL;
use crate::store::browse::ArtistLink;
use crate::store::pairing::{KIND, is_alone};
use crate::store::schema::plays;
use crate::store::streams::TRACK;
use crate::store::types::{At, Instant};
use crate::store::{StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::sql_types::{Bool, Nullable, Text};
use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use serde::Serialize;

/// One listen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ListenLine {
    /// `None` if only the API reported it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended; if only the API reported it, the moment it reported.
    pub ended_at: DateTime<Utc>,
    /// The moment that the API reported; `None` if only an export contains it.
    pub played_at: Option<DateTime<Utc>>,
    pub ms_played: Option<i64>,
    /// `track`, `episode`, `chapter` or `unknown`.
    pub kind: String,
    pub uri: Option<String>,
    pub context_uri: Option<String>,
    /// `api`, `export` or `both`.
    pub source: String,
    pub skipped: Option<bool>,
    pub offline: Option<bool>,
    pub incognito: Option<bool>,
    #[serde(flatten)]
    pub track: TrackFacts,
    /// Its place among those of the same moment.
    #[serde(skip)]
    pub key: ListenKey,
}

/// The key that distinguishes listens of one moment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenKey {
    Stream(i64),
    Play(String),
}

impl Default for ListenKey {
    fn default() -> ListenKey {
        ListenKey::Stream(0)
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(embed)]
    stream: StreamColumns,
    /// The API's moment, if it reported this, too.
    #[diesel(sql_type = Nullable<Instant>)]
    told_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    context_uri: Option<String>,
}

impl Row {
    /// The track of the catalogue that it may be.
    fn track_id(&self) -> Option<&str> {
        self.stream.uri.as_deref().filter(|_| self.stream.kind == "track")?.strip_prefix(TRACK)
    }
}

impl Export {
    /// Listens from an export, oldest first, after the last one of the page before.
    pub async fn heard_by_export(
        &mut self,
        account: AccountId,
        since: Option<DateTime<Utc>>,
        after: Option<&ListenLine>,
    ) -> Result<Vec<ListenLine>, StoreError> {
        let (at, id) = match after {
            Some(ListenLine { ended_at, key: ListenKey::Stream(id), .. }) => (*ended_at, *id),
            _ => (since.unwrap_or(DateTime::UNIX_EPOCH), 0),
        };
        let at = At::from(at).literal();
        let sql = format!(
            "SELECT s.id, s.started_at, s.ended_at, s.ms_played, s.name, s.creator, s.collection, s.skipped, s.offline, \
             s.incognito, coalesce(s.uri, s.played_uri) AS uri, p.context_uri, \
             {KIND} AS kind, \
             CASE WHEN s.offset_ms IS NOT NULL THEN s.played_at END AS told_at \
             FROM streams s LEFT JOIN plays p ON p.account_id = s.account_id AND p.played_at = s.played_at \
             AND p.track_uri = coalesce(s.played_uri, s.uri) \
             WHERE s.account_id = {} AND s.ended_at >= {at} AND (s.ended_at > {at} OR s.id > {id}) \
             ORDER BY s.ended_at, s.id LIMIT {PAGE_LEN}",
            account.0
        );
        let rows: Vec<Row> = with_conn!(&mut self.conn, |c| sql_query(sql).load(c).await)?;
        let ids: Vec<&str> = rows.iter().filter_map(Row::track_id).collect();
        let mut known = self.tracks_of(&ids).await?.into_iter();
        let line = |row: Row| {
            // A track that only an export contains keeps the export's own words here, too.
            let known = row.track_id().is_some().then(|| known.next().flatten()).flatten();
            let track = known.filter(|known| known.is_of_api).map_or_else(|| named(&row), |known| known.facts);
            line(row, track)
        };
        Ok(rows.into_iter().map(line).collect())
    }

    /// Listens that only the API reported, oldest first, after the last one of the page before.
    pub async fn heard_by_api(
        &mut self,
        account: AccountId,
        since: Option<DateTime<Utc>>,
        after: Option<&ListenLine>,
    ) -> Result<Vec<ListenLine>, StoreError> {
        type Row = (DateTime<Utc>, String, Option<String>, Option<i32>, Option<String>);
        let (at, mark) = match after {
            Some(ListenLine { ended_at, key: ListenKey::Play(uri), .. }) => (At::from(*ended_at), uri.as_str()),
            _ => (At::from(since.unwrap_or(DateTime::UNIX_EPOCH)), ""),
        };
        let page: Vec<Row> = with_conn!(&mut self.conn, |c| {
            plays::table
                .filter(plays::account_id.eq(account.0))
                .filter(plays::source.eq("api"))
                .filter(plays::played_at.ge(at))
                .filter(plays::played_at.gt(at).or(plays::track_uri.gt(mark)))
                .filter(sql::<Bool>(&is_alone("plays")))
                .order((plays::played_at, plays::track_uri))
                .limit(PAGE_LEN)
                .select((plays::played_at, plays::track_uri, plays::track_id, plays::ms_played, plays::context_uri))
                .load(c)
                .await
        })?;
        let ids: Vec<&str> = page.iter().filter_map(|(_, _, id, ..)| id.as_deref()).collect();
        let mut known = self.tracks_of(&ids).await?.into_iter();
        let line = |(at, uri, id, ms_played, context_uri): Row| ListenLine {
            ended_at: at,
            played_at: Some(at),
            ms_played: ms_played.map(i64::from),
            kind: if uri.starts_with("spotify:episode:") { "episode" } else { "track" }.to_owned(),
            uri: Some(uri.clone()),
            context_uri,
            source: "api".to_owned(),
            track: facts_of(id, &mut known),
            key: ListenKey::Play(uri),
            ..ListenLine::default()
        };
        Ok(page.into_iter().map(line).collect())
    }
}

fn line(row: Row, track: TrackFacts) -> ListenLine {
    let stream = row.stream;
    ListenLine {
        started_at: Some(stream.started_at),
        ended_at: stream.ended_at,
        played_at: row.told_at,
        ms_played: Some(stream.ms_played),
        kind: stream.kind,
        uri: stream.uri,
        context_uri: row.context_uri,
        source: if row.told_at.is_some() { "both" } else { "export" }.to_owned(),
        skipped: stream.skipped,
        offline: stream.offline,
        incognito: stream.incognito,
        track,
        key: ListenKey::Stream(stream.id),
    }
}

/// In the export's own words, which have no ids of artists and albums.
fn named(row: &Row) -> TrackFacts {
    let made = |name: &String| ArtistLink { id: format!("{LOCAL}{name}"), name: name.clone() }.into();
    let artists: Vec<Shared<ArtistLink>> = row.stream.creator.iter().map(made).collect();
    let album = row.stream.collection.as_ref().map(|name| AlbumFacts {
        id: format!("{LOCAL}{}:{name}", row.stream.creator.as_deref().unwrap_or_default()),
        name: name.clone(),
        artists: artists.clone(),
        ..AlbumFacts::default()
    });
    let album = album.map(Shared::from);
    TrackFacts {
        id: row.track_id().map(str::to_owned),
        name: row.stream.name.clone(),
        artists,
        album,
        ..TrackFacts::default()
    }
}
