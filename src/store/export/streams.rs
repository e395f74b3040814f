//! Streams of a data export as they are exported again.

use super::{Export, PAGE_LEN};
use crate::model::AccountId;
use crate::model::stream::{Stream, StreamKind, StreamOrigin};
use crate::store::types::{At, Instant};
use crate::store::{StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;

/// The columns that every list of streams reads.
#[derive(QueryableByName)]
pub(super) struct StreamColumns {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = Instant)]
    pub started_at: DateTime<Utc>,
    #[diesel(sql_type = Instant)]
    pub ended_at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    pub ms_played: i64,
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub uri: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub creator: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub collection: Option<String>,
    #[diesel(sql_type = Nullable<Bool>)]
    pub skipped: Option<bool>,
    #[diesel(sql_type = Nullable<Bool>)]
    pub offline: Option<bool>,
    #[diesel(sql_type = Nullable<Bool>)]
    pub incognito: Option<bool>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(embed)]
    stream: StreamColumns,
    #[diesel(sql_type = Instant)]
    logged_at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    digest: i64,
    #[diesel(sql_type = Nullable<Text>)]
    collection_uri: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    reason_start: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    reason_end: Option<String>,
    #[diesel(sql_type = Nullable<Bool>)]
    shuffle: Option<bool>,
    #[diesel(sql_type = Nullable<Text>)]
    platform: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    country: Option<String>,
    #[diesel(sql_type = Text)]
    origin: String,
}

/// The row that a page ended with.
pub type StreamKey = (DateTime<Utc>, i64);

impl Export {
    /// The data export's own rows, by the time they were logged, with the key to continue from.
    pub async fn streams(
        &mut self,
        account: AccountId,
        since: Option<DateTime<Utc>>,
        after: Option<StreamKey>,
    ) -> Result<(Vec<Stream>, Option<StreamKey>), StoreError> {
        let (at, id) = after.unwrap_or((since.unwrap_or(DateTime::UNIX_EPOCH), 0));
        let at = At::from(at).literal();
        let sql = format!(
            "SELECT * FROM streams WHERE account_id = {} AND logged_at >= {at} AND (logged_at > {at} OR id > {id}) \
             ORDER BY logged_at, id LIMIT {PAGE_LEN}",
            account.0
        );
        let rows: Vec<Row> = with_conn!(&mut self.conn, |c| sql_query(sql).load(c).await)?;
        let last = rows.as_slice().last().map(|row| (row.logged_at, row.stream.id));
        Ok((rows.into_iter().map(stream).collect(), last))
    }
}

fn stream(row: Row) -> Stream {
    let StreamColumns { id: _, started_at, ended_at, ms_played, kind, uri, name, creator, collection, .. } = row.stream;
    Stream {
        logged_at: row.logged_at,
        digest: row.digest,
        started_at,
        ended_at,
        ms_played,
        kind: StreamKind::of_word(&kind).unwrap_or(StreamKind::Unknown),
        uri,
        name,
        creator,
        collection,
        collection_uri: row.collection_uri,
        reason_start: row.reason_start,
        reason_end: row.reason_end,
        shuffle: row.shuffle,
        skipped: row.stream.skipped,
        offline: row.stream.offline,
        incognito: row.stream.incognito,
        platform: row.platform,
        country: row.country,
        origin: StreamOrigin::of_word(&row.origin).unwrap_or(StreamOrigin::Extended),
    }
}
