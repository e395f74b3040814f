//! Streams of a data export as they go out again.

use super::{Export, PAGE_LEN};
use crate::model::AccountId;
use crate::model::stream::{Stream, StreamKind, StreamOrigin};
use crate::store::types::{At, Instant};
use crate::store::{StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Instant)]
    logged_at: At,
    #[diesel(sql_type = BigInt)]
    digest: i64,
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
    #[diesel(sql_type = Nullable<Text>)]
    collection_uri: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    reason_start: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    reason_end: Option<String>,
    #[diesel(sql_type = Nullable<Bool>)]
    shuffle: Option<bool>,
    #[diesel(sql_type = Nullable<Bool>)]
    skipped: Option<bool>,
    #[diesel(sql_type = Nullable<Bool>)]
    offline: Option<bool>,
    #[diesel(sql_type = Nullable<Bool>)]
    incognito: Option<bool>,
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
    /// What the data export says, by the time it was logged; with the key to go on from.
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
        let last = rows.as_slice().last().map(|row| (DateTime::from(row.logged_at), row.id));
        Ok((rows.into_iter().map(stream).collect(), last))
    }
}

fn stream(row: Row) -> Stream {
    Stream {
        logged_at: row.logged_at.into(),
        digest: row.digest,
        started_at: row.started_at.into(),
        ended_at: row.ended_at.into(),
        ms_played: row.ms_played,
        kind: StreamKind::ALL.into_iter().find(|kind| kind.as_str() == row.kind).unwrap_or(StreamKind::Unknown),
        uri: row.uri,
        name: row.name,
        creator: row.creator,
        collection: row.collection,
        collection_uri: row.collection_uri,
        reason_start: row.reason_start,
        reason_end: row.reason_end,
        shuffle: row.shuffle,
        skipped: row.skipped,
        offline: row.offline,
        incognito: row.incognito,
        platform: row.platform,
        country: row.country,
        origin: if row.origin == "account" { StreamOrigin::Account } else { StreamOrigin::Extended },
    }
}
