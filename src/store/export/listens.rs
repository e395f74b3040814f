//! Everything that was listened to, each time once: the rows of the view `listening`, with all that is known of each.
//!
//! What an export tells and what only the API tells are read apart, each along an index, so that a page costs the same
//! however much there is; who reads both merges them by time.

use super::{AlbumFacts, AlbumRow, Export, PAGE_LEN, TrackFacts, TrackRow, facts};
use crate::model::AccountId;
use crate::model::LOCAL;
use crate::store::browse::ArtistLink;
use crate::store::schema::{albums, plays, streams, tracks};
use crate::store::streams::TRACK;
use crate::store::types::{At, Instant};
use crate::store::{StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::dsl::{exists, not, sql};
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, QueryableByName,
    sql_query,
};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use std::collections::HashMap;

/// One listening.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ListenLine {
    /// `None` where only the API tells of it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended; of what only the API tells, the moment that it tells.
    pub ended_at: DateTime<Utc>,
    /// The moment that the API tells; `None` where only an export does.
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

/// What tells listenings of one moment apart.
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
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Instant)]
    started_at: At,
    #[diesel(sql_type = Instant)]
    ended_at: At,
    #[diesel(sql_type = BigInt)]
    ms_played: i64,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Nullable<Text>)]
    uri: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    creator: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    collection: Option<String>,
    #[diesel(sql_type = Nullable<Bool>)]
    skipped: Option<bool>,
    #[diesel(sql_type = Nullable<Bool>)]
    offline: Option<bool>,
    #[diesel(sql_type = Nullable<Bool>)]
    incognito: Option<bool>,
    /// Where the API tells of it, too.
    #[diesel(sql_type = Nullable<Instant>)]
    told_at: Option<At>,
    #[diesel(sql_type = Nullable<Text>)]
    context_uri: Option<String>,
}

impl Row {
    /// The track of the catalogue that it may be.
    fn track_id(&self) -> Option<&str> {
        self.uri.as_deref().filter(|_| self.kind == "track")?.strip_prefix(TRACK)
    }
}

impl Export {
    /// What an export tells, oldest first, behind the last one of the page before.
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
             CASE WHEN s.kind = 'unknown' AND s.played_uri IS NOT NULL THEN 'track' ELSE s.kind END AS kind, \
             CASE WHEN s.offset_ms IS NOT NULL THEN s.played_at END AS told_at \
             FROM streams s LEFT JOIN plays p ON p.account_id = s.account_id AND p.played_at = s.played_at \
             AND p.track_uri = coalesce(s.played_uri, s.uri) \
             WHERE s.account_id = {} AND s.ended_at >= {at} AND (s.ended_at > {at} OR s.id > {id}) \
             ORDER BY s.ended_at, s.id LIMIT {PAGE_LEN}",
            account.0
        );
        let rows: Vec<Row> = with_conn!(&mut self.conn, |c| sql_query(sql).load(c).await)?;
        let known = self.tracks_of(rows.iter().filter_map(Row::track_id)).await?;
        Ok(rows.into_iter().map(|row| line(row, &known)).collect())
    }

    /// What the API calls tracks that a sync has brought.
    async fn tracks_of(&mut self, ids: impl Iterator<Item = &str>) -> Result<HashMap<String, TrackFacts>, StoreError> {
        let mut ids: Vec<&str> = ids.collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows: Vec<(String, TrackRow, Option<AlbumRow>)> = with_conn!(&mut self.conn, |c| {
            tracks::table
                .left_join(albums::table.on(tracks::album_id.eq(albums::id.nullable())))
                .filter(tracks::id.eq_any(ids))
                .filter(tracks::source.eq("api"))
                .select((tracks::id, track_columns!(), album_columns!().nullable()))
                .load(c)
                .await
        })?;
        let (by_track, by_album) = self.credits(rows.iter().map(|row| (Some(&row.0), row.2.as_ref()))).await?;
        let track = |(id, track, album): (String, TrackRow, Option<AlbumRow>)| {
            (id.clone(), facts(Some(id), Some(track), album, &by_track, &by_album))
        };
        Ok(rows.into_iter().map(track).collect())
    }

    /// What only the API tells, oldest first, behind the last one of the page before.
    pub async fn heard_by_api(
        &mut self,
        account: AccountId,
        since: Option<DateTime<Utc>>,
        after: Option<&ListenLine>,
    ) -> Result<Vec<ListenLine>, StoreError> {
        type Row = ((At, String, Option<String>, Option<i32>, Option<String>), Option<TrackRow>, Option<AlbumRow>);
        let (at, mark) = match after {
            Some(ListenLine { ended_at, key: ListenKey::Play(uri), .. }) => (At::from(*ended_at), uri.as_str()),
            _ => (At::from(since.unwrap_or(DateTime::UNIX_EPOCH)), ""),
        };
        let page: Vec<Row> = with_conn!(&mut self.conn, |c| {
            let paired = streams::table
                .filter(streams::account_id.eq(plays::account_id))
                .filter(streams::played_at.eq(plays::played_at.nullable()))
                .filter(streams::offset_ms.is_not_null())
                .filter(sql::<Bool>("coalesce(streams.played_uri, streams.uri) = plays.track_uri"));
            plays::table
                .left_join(tracks::table.on(plays::track_id.eq(tracks::id.nullable())))
                .left_join(albums::table.on(tracks::album_id.eq(albums::id.nullable())))
                .filter(plays::account_id.eq(account.0))
                .filter(plays::source.eq("api"))
                .filter(plays::played_at.ge(at))
                .filter(plays::played_at.gt(at).or(plays::track_uri.gt(mark)))
                .filter(not(exists(paired)))
                .order((plays::played_at, plays::track_uri))
                .limit(PAGE_LEN)
                .select((
                    (plays::played_at, plays::track_uri, plays::track_id, plays::ms_played, plays::context_uri),
                    track_columns!().nullable(),
                    album_columns!().nullable(),
                ))
                .load(c)
                .await
        })?;
        let (by_track, by_album) = self.credits(page.iter().map(|row| (row.0.2.as_ref(), row.2.as_ref()))).await?;
        let line = |((at, uri, id, ms_played, context_uri), track, album): Row| ListenLine {
            ended_at: at.into(),
            played_at: Some(at.into()),
            ms_played: ms_played.map(i64::from),
            kind: if uri.starts_with("spotify:episode:") { "episode" } else { "track" }.to_owned(),
            uri: Some(uri.clone()),
            context_uri,
            source: "api".to_owned(),
            track: facts(id, track, album, &by_track, &by_album),
            key: ListenKey::Play(uri),
            ..ListenLine::default()
        };
        Ok(page.into_iter().map(line).collect())
    }
}

fn line(row: Row, known: &HashMap<String, TrackFacts>) -> ListenLine {
    let track = match row.track_id().and_then(|id| known.get(id)) {
        Some(track) => track.clone(),
        None => named(&row),
    };
    ListenLine {
        started_at: Some(row.started_at.into()),
        ended_at: row.ended_at.into(),
        played_at: row.told_at.map(DateTime::from),
        ms_played: Some(row.ms_played),
        kind: row.kind,
        uri: row.uri,
        context_uri: row.context_uri,
        source: if row.told_at.is_some() { "both" } else { "export" }.to_owned(),
        skipped: row.skipped,
        offline: row.offline,
        incognito: row.incognito,
        track,
        key: ListenKey::Stream(row.id),
    }
}

/// In the export's own words, which have no ids of artists and albums.
fn named(row: &Row) -> TrackFacts {
    let made = |name: &String| ArtistLink { id: format!("{LOCAL}{name}"), name: name.clone() };
    let artists: Vec<ArtistLink> = row.creator.iter().map(made).collect();
    let album = row.collection.as_ref().map(|name| AlbumFacts {
        id: format!("{LOCAL}{}:{name}", row.creator.as_deref().unwrap_or_default()),
        name: name.clone(),
        artists: artists.clone(),
        ..AlbumFacts::default()
    });
    TrackFacts {
        id: row.track_id().map(str::to_owned),
        name: row.name.clone(),
        artists,
        album,
        ..TrackFacts::default()
    }
}
