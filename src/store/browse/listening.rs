//! What was listened to, summed up: by what it was, or by when it was. It reads the view `listening`, where each listening
//! stands once, whoever told of it.

use crate::model::AccountId;
use crate::store::types::{At, Instant};
use crate::store::{Conn, Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use utoipa::ToSchema;

/// What is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    Artists,
    Tracks,
    Albums,
    /// Podcasts and audiobooks.
    Shows,
}

/// From when to when, and how much is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

/// An artist, track, album or show, and how much of it was heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeardEntry {
    /// `None`: Spotify does not say.
    pub name: Option<String>,
    /// Of a track or album.
    pub artist: Option<String>,
    /// Those of 30 seconds or more.
    pub plays: u64,
    pub ms: u64,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

/// What was heard in half an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub at: DateTime<Utc>,
    pub plays: u64,
    pub ms: u64,
}

/// The smallest part of a day that time zones differ by, nearly everywhere.
const HALF_HOUR: i64 = 1800;

#[derive(QueryableByName)]
struct HeardRow {
    #[diesel(sql_type = Nullable<Text>)]
    name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    artist: Option<String>,
    #[diesel(sql_type = BigInt)]
    plays: i64,
    #[diesel(sql_type = BigInt)]
    ms: i64,
    #[diesel(sql_type = Instant)]
    first_at: At,
    #[diesel(sql_type = Instant)]
    last_at: At,
}

#[derive(QueryableByName)]
struct MomentRow {
    #[diesel(sql_type = BigInt)]
    half_hour: i64,
    #[diesel(sql_type = BigInt)]
    plays: i64,
    #[diesel(sql_type = BigInt)]
    ms: i64,
}

const SUMS: &str = "CAST(sum(CASE WHEN counts THEN 1 ELSE 0 END) AS BIGINT) AS plays, \
                    CAST(coalesce(sum(ms_estimated), 0) AS BIGINT) AS ms";

impl Store {
    /// What was heard most, by time.
    pub async fn heard_most(
        &self,
        account: AccountId,
        what: Heard,
        span: Span,
        limit: u32,
    ) -> Result<Vec<HeardEntry>, StoreError> {
        let (columns, keys, kinds) = match what {
            Heard::Artists => ("artist AS name, NULL AS artist", "1", "'track'"),
            Heard::Tracks => ("name, artist", "1, 2", "'track'"),
            Heard::Albums => ("album AS name, artist", "1, 2", "'track'"),
            Heard::Shows => ("album AS name, NULL AS artist", "1", "'episode', 'chapter'"),
        };
        let columns = columns.replace("NULL AS artist", "CAST(NULL AS TEXT) AS artist");
        let sql = format!(
            "SELECT {columns}, {SUMS}, min(ended_at) AS first_at, max(ended_at) AS last_at FROM listening \
             WHERE {} AND kind IN ({kinds}) GROUP BY {keys} ORDER BY ms DESC, plays DESC, 1, 2 LIMIT {limit}",
            within(account, span)
        );
        let rows: Vec<HeardRow> = with_conn!(&mut self.connect().await?, |c| sql_query(sql).load(c).await)?;
        let entry = |row: HeardRow| HeardEntry {
            name: row.name,
            artist: row.artist,
            plays: row.plays.unsigned_abs(),
            ms: row.ms.unsigned_abs(),
            first_at: row.first_at.into(),
            last_at: row.last_at.into(),
        };
        Ok(rows.into_iter().map(entry).collect())
    }

    /// How much was heard when, in half hours, the oldest first. Half hours of silence are left out.
    pub async fn heard_when(&self, account: AccountId, span: Span) -> Result<Vec<Moment>, StoreError> {
        let conn = &mut self.connect().await?;
        let half_hour = match conn {
            Conn::Sqlite(_) => format!("CAST(strftime('%s', ended_at) AS INTEGER) / {HALF_HOUR}"),
            Conn::Pg(_) => format!("CAST(floor(extract(epoch FROM ended_at) / {HALF_HOUR}) AS BIGINT)"),
        };
        let sql = format!(
            "SELECT {half_hour} AS half_hour, {SUMS} FROM listening WHERE {} GROUP BY 1 ORDER BY 1",
            within(account, span)
        );
        let rows: Vec<MomentRow> = with_conn!(conn, |c| sql_query(sql).load(c).await)?;
        let moment = |row: MomentRow| Moment {
            at: DateTime::from_timestamp(row.half_hour * HALF_HOUR, 0).unwrap_or_default(),
            plays: row.plays.unsigned_abs(),
            ms: row.ms.unsigned_abs(),
        };
        Ok(rows.into_iter().map(moment).collect())
    }
}

fn within(account: AccountId, span: Span) -> String {
    let [since, until] = [span.since, span.until].map(|at| At::from(at).literal());
    format!("account_id = {} AND ended_at >= {since} AND ended_at < {until}", account.0)
}
