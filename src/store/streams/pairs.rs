//! Streams and the plays of the API that may be the same, and what happens to both when they are.
//!
//! The play keeps its moment, which is the API's, and learns how long it was played. The stream notes the play; a play
//! that had been made of the stream alone is deleted in favour of the API's.

use super::{StreamImport, catalogue::TRACK};
use crate::model::stream::{AFTER_END, BEFORE_START, HeardAt, LONGEST_PAUSE, Meaning, StreamPair, ToldAt, TrackKeys};
use crate::model::{AccountId, KnownPlays, PlayKey, PlaysPage};
use crate::store::by_sql::execute;
use crate::store::pairing::is_alone;
use crate::store::schema::{imports, plays, streams};
use crate::store::types::{At, Instant};
use crate::store::{Conn, StoreError, heard, runs, with_conn};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::max;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use std::collections::HashSet;

/// How long a stream can have lasted, and how late it can have been logged.
const LONGEST: TimeDelta = TimeDelta::days(30);

/// Plays that lie farther apart are handled one after the other.
const SEASON: TimeDelta = TimeDelta::days(90);

/// The account data is accurate to the minute.
const SLACK: TimeDelta = TimeDelta::milliseconds(59_999);

#[derive(QueryableByName)]
struct ToldRow {
    #[diesel(sql_type = Instant)]
    played_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    track_uri: String,
    #[diesel(sql_type = Nullable<Text>)]
    isrc: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    title: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    album_artist: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    artist: Option<String>,
}

#[derive(QueryableByName)]
struct HeardRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Instant)]
    logged_at: DateTime<Utc>,
    #[diesel(sql_type = Instant)]
    started_at: DateTime<Utc>,
    #[diesel(sql_type = Instant)]
    ended_at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    ms_played: i64,
    #[diesel(sql_type = Text)]
    origin: String,
    #[diesel(sql_type = Bool)]
    is_offline: bool,
    #[diesel(sql_type = Bool)]
    is_wanted: bool,
    #[diesel(sql_type = Nullable<Text>)]
    uri: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    isrc: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    title: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    creator: Option<String>,
}

impl StreamImport {
    /// Plays of the API that no stream is paired with, oldest first, from a moment on.
    pub async fn told_after(&mut self, after: DateTime<Utc>, limit: usize) -> Result<Vec<ToldAt>, StoreError> {
        let sql = format!(
            "SELECT p.played_at, p.track_uri, t.isrc, t.name AS title, b.name AS album_artist, a.name AS artist \
             FROM plays p LEFT JOIN tracks t ON t.id = p.track_id \
             LEFT JOIN track_artists ta ON ta.track_id = t.id AND ta.position = 0 LEFT JOIN artists a ON a.id = ta.artist_id \
             LEFT JOIN album_artists ba ON ba.album_id = t.album_id AND ba.position = 0 LEFT JOIN artists b ON b.id = ba.artist_id \
             WHERE p.account_id = {} AND p.source = 'api' AND p.played_at > {} AND {} \
             ORDER BY p.played_at LIMIT {limit}",
            self.account.0,
            At::from(after).literal(),
            is_alone("p")
        );
        let mut rows: Vec<ToldRow> = with_conn!(&mut self.conn, |c| sql_query(sql).load(c).await)?;
        // Those of one season only, so that no more of the streams around them are held at once.
        if let Some(first) = rows.as_slice().first().map(|row| row.played_at) {
            rows.truncate(rows.partition_point(|row| row.played_at <= first + SEASON));
        }
        // Plays that share their moment with the last one are left to the next call.
        if rows.len() == limit
            && let Some(last) = rows.last().map(|row| row.played_at)
        {
            let num_before = rows.partition_point(|row| row.played_at < last);
            if num_before > 0 {
                rows.truncate(num_before);
            }
        }
        Ok(rows.into_iter().map(told).collect())
    }

    /// Streams that can be these plays and are not paired.
    pub async fn heard_around(&mut self, told: &[ToldAt]) -> Result<Vec<HeardAt>, StoreError> {
        match (told.first(), told.last()) {
            (Some(first), Some(last)) => heard_between(&mut self.conn, self.account, first.key.0, last.key.0).await,
            _ => Ok(Vec::new()),
        }
    }

    pub async fn pair(&mut self, pairs: &[StreamPair]) -> Result<u64, StoreError> {
        let account = self.account;
        self.step(async move |conn| {
            runs::lock_account(conn, account).await?;
            apply(conn, account, pairs).await
        })
        .await
    }
}

/// Notes pairs if both sides are still unpaired. Returns how many were.
pub async fn apply(conn: &mut Conn, account: AccountId, pairs: &[StreamPair]) -> Result<u64, StoreError> {
    let mut num_paired = 0;
    let mut moments = Vec::new();
    for StreamPair { stream, play: (at, uri), offset_ms, .. } in pairs {
        type Row = (Option<At>, Option<String>, At, i64, Option<i64>);
        let row: Option<Row> = with_conn!(conn, |c| {
            use streams::{account_id, ended_at, id, ms_played, played_at, table};
            let theirs = table.filter(id.eq(stream)).filter(account_id.eq(account.0));
            let columns = (played_at, streams::uri, ended_at, ms_played, streams::offset_ms);
            theirs.select(columns).get_result(c).await.optional()
        })?;
        let Some((own, own_uri, ended_at, ms_played, None)) = row else { continue };
        let told_at = At::from(*at);
        let ms = i32::try_from(ms_played).unwrap_or(i32::MAX);
        let is_there = with_conn!(conn, |c| {
            use plays::{account_id, played_at, source, table, track_uri};
            let play = table.filter(account_id.eq(account.0)).filter(played_at.eq(told_at)).filter(track_uri.eq(uri));
            diesel::update(play).set((plays::ms_played.eq(ms), source.eq("api"))).execute(c).await
        })?;
        if is_there == 0 {
            continue;
        }
        let is_same_uri = own_uri.as_ref() == Some(uri);
        let is_same = told_at == ended_at && is_same_uri;
        with_conn!(conn, |c| {
            use streams::{id, played_at, played_uri, table};
            let other = (!is_same_uri).then_some(uri);
            let values = (played_at.eq(told_at), played_uri.eq(other), streams::offset_ms.eq(offset_ms));
            diesel::update(table.filter(id.eq(stream))).set(values).execute(c).await
        })?;
        if own.is_some() && !is_same {
            forget_own_play(conn, account, *stream).await?;
        }
        moments.extend([*at, ended_at.into()]);
        num_paired += 1;
    }
    heard::note(conn, account, moments).await?;
    Ok(num_paired)
}

/// Unless another stream of that second is the same play.
async fn forget_own_play(conn: &mut Conn, account: AccountId, stream: i64) -> Result<(), StoreError> {
    let own = format!(
        "DELETE FROM plays WHERE account_id = {} AND source = 'export' AND EXISTS (SELECT 1 FROM streams s WHERE \
         s.id = {stream} AND s.ended_at = plays.played_at AND s.uri = plays.track_uri) AND NOT EXISTS (SELECT 1 FROM \
         streams o WHERE o.account_id = plays.account_id AND o.ended_at = plays.played_at AND o.uri = plays.track_uri \
         AND o.id <> {stream} AND o.played_at = o.ended_at AND o.offset_ms IS NULL) AND played_at = (SELECT ended_at \
         FROM streams WHERE id = {stream})",
        account.0
    );
    execute(conn, own).await?;
    Ok(())
}

/// What is known of a page's plays from an export.
pub async fn known(
    conn: &mut Conn,
    account: AccountId,
    page: &PlaysPage,
    known: &mut KnownPlays,
) -> Result<(), StoreError> {
    known.heard_until = with_conn!(conn, |c| {
        use streams::{account_id, logged_at, table};
        table.filter(account_id.eq(account.0)).select(max(logged_at)).get_result(c).await
    })?;
    let (Some(oldest), Some(newest), Some(until)) = (page.oldest(), page.newest(), known.heard_until) else {
        return Ok(());
    };
    if until + AFTER_END + SLACK < oldest {
        return Ok(());
    }
    known.streams = heard_between(conn, account, oldest, newest).await?;
    let paired: Vec<(Option<At>, Option<String>, Option<String>)> = with_conn!(conn, |c| {
        use streams::{account_id, offset_ms, played_at, played_uri, table, uri};
        let theirs = table.filter(account_id.eq(account.0)).filter(offset_ms.is_not_null());
        let on_page = theirs.filter(played_at.between(At::from(oldest), At::from(newest)));
        on_page.select((played_at, played_uri, uri)).load(c).await
    })?;
    let key = |(at, other, own): (Option<At>, Option<String>, Option<String>)| -> Option<PlayKey> {
        Some((at?.into(), other.or(own)?))
    };
    known.paired = paired.into_iter().filter_map(key).collect::<HashSet<PlayKey>>();
    let meaning: Option<Option<String>> = with_conn!(conn, |c| {
        use imports::{account_id, id, played_at_is, table};
        let decided = table.filter(account_id.eq(account.0)).filter(played_at_is.is_not_null());
        decided.order(id.desc()).select(played_at_is).first(c).await.optional()
    })?;
    known.meaning = meaning.flatten().as_deref().and_then(Meaning::of_word);
    Ok(())
}

/// Streams of tracks that can be plays between two moments and that no play of the API is paired with. Neighbouring
/// streams bound those whose times are less certain, so everything in between is read.
async fn heard_between(
    conn: &mut Conn,
    account: AccountId,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<HeardAt>, StoreError> {
    let moment = |at: DateTime<Utc>| At::from(at).literal();
    let sql = format!(
        "SELECT s.id, s.logged_at, s.started_at, s.ended_at, s.ms_played, s.origin, coalesce(s.offline, FALSE) AS is_offline, \
         (s.offset_ms IS NULL AND ((s.kind = 'track' AND s.uri IS NOT NULL) OR \
         (s.kind = 'unknown' AND s.uri IS NULL AND s.name IS NULL AND s.ms_played > 0))) AS is_wanted, \
         s.uri, t.isrc, coalesce(s.name, t.name) AS title, s.creator \
         FROM streams s LEFT JOIN tracks t ON t.id = substr(s.uri, {}) \
         WHERE s.account_id = {} AND s.ended_at >= {} AND s.ended_at <= {} AND s.started_at <= {} AND \
         (s.ended_at >= {} OR s.logged_at >= {}) ORDER BY s.ended_at, s.id",
        TRACK.len() + 1,
        account.0,
        moment(from - AFTER_END - LONGEST),
        moment(to + LONGEST),
        moment(to + BEFORE_START + LONGEST_PAUSE),
        moment(from - AFTER_END - SLACK - LONGEST_PAUSE),
        moment(from - AFTER_END - SLACK - LONGEST_PAUSE),
    );
    let rows: Vec<HeardRow> = with_conn!(conn, |c| sql_query(sql).load(c).await)?;
    let offline: HashSet<i64> = rows.iter().filter(|row| row.is_offline).map(|row| row.id).collect();
    let unwanted: HashSet<i64> = rows.iter().filter(|row| !row.is_wanted).map(|row| row.id).collect();
    let mut streams: Vec<HeardAt> = rows.into_iter().map(heard).collect();
    HeardAt::bound_each_other(&mut streams, |stream| offline.contains(&stream.id));
    streams.retain(|stream| !unwanted.contains(&stream.id));
    Ok(streams)
}

fn told(row: ToldRow) -> ToldAt {
    let names = |artist: &Option<String>| {
        TrackKeys::of_names(row.title.as_deref().unwrap_or_default(), artist.as_deref().unwrap_or_default())
    };
    let keys = TrackKeys {
        uri: TrackKeys::of_uri(&row.track_uri),
        isrc: row.isrc.as_deref().map(TrackKeys::of_isrc),
        names: names(&row.album_artist),
        other_names: names(&row.artist),
    };
    ToldAt { key: (row.played_at, row.track_uri), keys }
}

fn heard(row: HeardRow) -> HeardAt {
    let title = row.title.as_deref().unwrap_or_default();
    let keys = row.uri.as_deref().map(|uri| TrackKeys {
        uri: TrackKeys::of_uri(uri),
        isrc: row.isrc.as_deref().map(TrackKeys::of_isrc),
        names: TrackKeys::of_names(title, row.creator.as_deref().unwrap_or_default()),
        other_names: None,
    });
    let exact = HeardAt::exact(row.id, row.started_at.timestamp_millis(), row.ended_at.timestamp_millis(), keys);
    let slack = if row.origin == "account" { SLACK.num_milliseconds() } else { 0 };
    HeardAt {
        latest_start: exact.start + slack,
        latest_end: exact.end + slack,
        logged: row.logged_at.timestamp_millis(),
        ms_played: row.ms_played,
        ..exact
    }
}
