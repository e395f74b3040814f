//! The rows of data exports (`streams`, `imports`), and how they become plays.
//!
//! An import is many transactions, so that neither the sync nor the tracker waits for it. At any point its rows are
//! consistent: a row of the export is there once, by its second and its digest, and it is a play, or is paired with
//! one, or waits for that. An interrupted import is completed by the next one.
//!
//! A stream becomes a play of its own at once if the API reported nothing around it. Otherwise [`pairs`] waits until
//! all streams are there, since matching a play takes all of them.

mod catalogue;
mod pairs;
mod remove;
mod rows;

pub(super) use pairs::{apply as apply_pairs, known as known_streams};
pub use remove::{Removed, RemovedImports};
pub(super) use remove::{remove, stand_alone};

use super::by_sql::{count, execute};
use super::keyed::Keyed;
use super::schema::{imports, plays, streams};
use super::types::{At, Words};
use super::upsert::upsert;
use super::{Conn, Durability, Store, StoreError, heard, runs, with_conn};
use crate::model::AccountId;
use crate::model::stream::{AFTER_END, BEFORE_START, Meaning, Stream, StreamKind, StreamOrigin, TrackKeys};
use catalogue::Entered;
pub(super) use catalogue::TRACK;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::{count_star, max, min, sql};
use diesel::sql_types::{BigInt, Nullable};
use diesel::{ExpressionMethods, QueryDsl, sql_query};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use rows::{ExportPlayRow, StreamRow};
use std::collections::{BTreeMap, HashMap, HashSet};

/// An import writes at the ends of its indexes, for which a small cache is as good. It has the process to itself. Its
/// sums touch pages all over an index, and SQLite moves a large undo journal of a statement to a file.
const PRAGMAS: &str = "PRAGMA cache_size = -4096; PRAGMA temp_store = FILE";

/// Keys that one statement looks up.
const KEYS_AT_ONCE: usize = 400;

/// Streams that become plays in one transaction.
const CHUNK_LEN: i64 = 20_000;

/// An import under way. It has the connection to itself.
pub struct StreamImport {
    conn: Conn,
    account: AccountId,
    id: i64,
    /// Everything is one transaction, which is undone.
    is_dry: bool,
    now: At,
    /// From the first to the last play that the API reported.
    told: Option<(At, At)>,
    /// What the extended history covers, once it was loaded.
    covered: Option<Option<(At, At)>>,
    entered: Entered,
}

/// How some rows were handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Added {
    pub num_new: u64,
    /// They already existed.
    pub num_known: u64,
    /// Rows of the account data for a time that the extended history covers better.
    pub num_covered: u64,
}

/// What an import did besides adding rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Finished {
    /// Streams that became plays of their own.
    pub num_plays: u64,
    /// Rows of the account data that rows of the extended history replaced.
    pub num_replaced: u64,
    pub num_gaps_closed: u64,
    /// All streams of the account within the span of the import.
    pub num_held: u64,
    pub ms_played: u64,
}

/// An import that was made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ImportEntry {
    pub id: i64,
    pub started_at: DateTime<Utc>,
    /// `None` if it was interrupted.
    pub finished_at: Option<DateTime<Utc>>,
    pub files: u64,
    pub streams: u64,
}

/// What is known of an import when all its rows are there.
#[derive(Debug, Clone, Default)]
pub struct ImportOutcome {
    pub num_files: u64,
    pub num_rows: u64,
    pub num_new: u64,
    pub num_pairs: u64,
    pub meaning: Option<Meaning>,
    /// The periods that it covers completely, in order and disjoint.
    pub spans: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    /// From its first to its last row.
    pub whole: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Store {
    /// Begins an import. A dry one is a single transaction that is undone: other writers wait for its end.
    pub async fn begin_import(
        &self,
        account: AccountId,
        is_dry: bool,
        now: DateTime<Utc>,
    ) -> Result<StreamImport, StoreError> {
        let mut conn = self.connect().await?;
        let now = At::from(now);
        if let Conn::Sqlite(c) = &mut conn {
            c.batch_execute(PRAGMAS).await?;
        }
        if is_dry {
            conn.begin().await?;
        } else {
            conn.set_durability(Durability::Soon).await?;
        }
        let told: (Option<At>, Option<At>) = with_conn!(&mut conn, |c| {
            use plays::{account_id, played_at, source, table};
            let of_api = table.filter(account_id.eq(account.0)).filter(source.eq("api"));
            of_api.select((min(played_at), max(played_at))).get_result(c).await
        })?;
        let mut import = StreamImport {
            conn,
            account,
            id: 0,
            is_dry,
            now,
            told: told.0.zip(told.1),
            covered: None,
            entered: Entered::default(),
        };
        import.id = import
            .step(async |conn| {
                runs::lock_account(conn, account).await?;
                let row = (imports::account_id.eq(account.0), imports::started_at.eq(now));
                Ok(with_conn!(conn, |c| {
                    diesel::insert_into(imports::table).values(row).returning(imports::id).get_result(c).await
                })?)
            })
            .await?;
        Ok(import)
    }

    /// The imports of an account, the latest last.
    pub async fn imports(&self, account: AccountId) -> Result<Vec<ImportEntry>, StoreError> {
        type Row = (i64, DateTime<Utc>, Option<DateTime<Utc>>, i64, i64);
        let rows: Vec<Row> = with_conn!(&mut self.connect().await?, |c| {
            use imports::{account_id, files, finished_at, id, started_at, streams_new, table};
            let theirs = table.filter(account_id.eq(account.0)).order(id);
            theirs.select((id, started_at, finished_at, files, streams_new)).load(c).await
        })?;
        let entry = |(id, started_at, finished_at, files, streams): Row| ImportEntry {
            id,
            started_at,
            finished_at,
            files: files.unsigned_abs(),
            streams: streams.unsigned_abs(),
        };
        Ok(rows.into_iter().map(entry).collect())
    }

    /// Whether anything was imported for an account.
    pub async fn num_streams(&self, account: AccountId) -> Result<u64, StoreError> {
        count(&mut self.connect().await?, &format!("streams WHERE account_id = {}", account.0)).await
    }
}

impl StreamImport {
    /// One transaction, or a part of the one that is undone.
    async fn step<T>(&mut self, work: impl AsyncFnOnce(&mut Conn) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.is_dry { work(&mut self.conn).await } else { self.conn.transaction(work).await }
    }

    /// Adds rows, those of the extended history before those of the account data.
    pub async fn add(&mut self, streams: &[Stream]) -> Result<Added, StoreError> {
        if self.covered.is_none() && streams.iter().any(|stream| stream.origin == StreamOrigin::Account) {
            self.covered = Some(self.extended_span().await?);
        }
        let covered = self.covered.flatten();
        let is_covered = |stream: &&Stream| {
            stream.origin == StreamOrigin::Account
                && covered.is_some_and(|(from, to)| (from..=to).contains(&At::from(stream.logged_at)))
        };
        let mut added = Added { num_covered: streams.iter().filter(is_covered).count() as u64, ..Added::default() };
        let kept: Vec<&Stream> = streams.iter().filter(|stream| !is_covered(stream)).collect();
        let (account, import, told, now) = (self.account, self.id, self.told, self.now);
        let mut entered = std::mem::take(&mut self.entered);
        let kept = &kept;
        let entered_too = &mut entered;
        let num_new = self
            .step(async move |conn| {
                runs::lock_account(conn, account).await?;
                let uris = catalogue::uris_of_names(conn, kept).await?;
                write(conn, account, import, told, kept, &uris, entered_too, now).await
            })
            .await?;
        self.entered = entered;
        added.num_new = num_new;
        added.num_known = kept.len() as u64 - num_new;
        Ok(added)
    }

    async fn extended_span(&mut self) -> Result<Option<(At, At)>, StoreError> {
        let account = self.account.0;
        let span: (Option<At>, Option<At>) = with_conn!(&mut self.conn, |c| {
            use streams::{account_id, logged_at, origin, table};
            let extended = table.filter(account_id.eq(account)).filter(origin.eq(StreamOrigin::Extended.as_str()));
            extended.select((min(logged_at), max(logged_at))).get_result(c).await
        })?;
        Ok(span.0.zip(span.1))
    }

    /// Removes rows of the account data whose time the extended history covers by now.
    pub async fn replace_account_data(&mut self) -> Result<u64, StoreError> {
        let Some((from, to)) = self.extended_span().await? else { return Ok(0) };
        let account = self.account;
        self.step(async move |conn| {
            runs::lock_account(conn, account).await?;
            let theirs = format!(
                "a.account_id = {} AND a.origin = 'account' AND a.logged_at BETWEEN {} AND {}",
                account.0,
                from.literal(),
                to.literal()
            );
            if count(conn, &format!("streams a WHERE {theirs}")).await? == 0 {
                return Ok(0);
            }
            let plays = format!(
                "DELETE FROM plays WHERE account_id = {} AND source = 'export' AND (played_at, track_uri) IN (SELECT \
                 a.played_at, a.uri FROM streams a WHERE {theirs} AND a.offset_ms IS NULL AND a.played_at IS NOT NULL) \
                 AND NOT EXISTS (SELECT 1 FROM streams e WHERE e.account_id = plays.account_id AND \
                 e.ended_at = plays.played_at AND e.uri = plays.track_uri AND e.origin = 'extended' AND \
                 e.played_at IS NOT NULL)",
                account.0
            );
            execute(conn, plays).await?;
            heard::note_streams(conn, account, &theirs.replace("a.", "s.")).await?;
            execute(conn, format!("DELETE FROM streams AS a WHERE {theirs}")).await
        })
        .await
    }

    /// Makes plays of the streams that still wait, and records the import. An import that changed nothing leaves no
    /// trace.
    pub async fn finish(mut self, outcome: &ImportOutcome) -> Result<Finished, StoreError> {
        let mut finished = Finished { num_plays: self.settle().await?, ..Finished::default() };
        let (account, id, now) = (self.account, self.id, self.now);
        while self.step(async move |conn| heard::refresh(conn, account, None).await).await? {}
        let (num_gaps_closed, sum) = self
            .step(async move |conn| {
                runs::lock_account(conn, account).await?;
                let mut num_closed = 0;
                for (from, to) in &outcome.spans {
                    num_closed += execute(
                        conn,
                        format!(
                            "UPDATE play_gaps SET healed_at = {}, filled_by = {id} WHERE account_id = {} AND \
                             healed_at IS NULL AND played_after >= {} AND played_before <= {}",
                            now.literal(),
                            account.0,
                            At::from(*from).literal(),
                            At::from(*to).literal()
                        ),
                    )
                    .await?;
                }
                let is_nothing = outcome.num_new + outcome.num_pairs + num_closed == 0;
                with_conn!(conn, |c| {
                    use imports::{files, finished_at, played_at_is, rows_read, streams_new, table};
                    let row = table.filter(imports::id.eq(id));
                    if is_nothing {
                        sql_query(format!("DELETE FROM stream_imports WHERE import_id = {id}")).execute(c).await?;
                        diesel::delete(row).execute(c).await
                    } else {
                        let values = (
                            finished_at.eq(now),
                            files.eq(outcome.num_files.cast_signed()),
                            rows_read.eq(outcome.num_rows.cast_signed()),
                            streams_new.eq(outcome.num_new.cast_signed()),
                            played_at_is.eq(outcome.meaning.map(Meaning::as_str)),
                        );
                        diesel::update(row).set(values).execute(c).await
                    }
                })?;
                let sum = match outcome.whole {
                    Some((from, to)) => {
                        let sum = sql::<Nullable<BigInt>>("CAST(sum(ms_played) AS BIGINT)");
                        let sum: (i64, Option<i64>) = with_conn!(conn, |c| {
                            use streams::{account_id, logged_at, table};
                            let theirs = table.filter(account_id.eq(account.0));
                            let theirs = theirs.filter(logged_at.between(At::from(from), At::from(to)));
                            theirs.select((count_star(), sum)).get_result(c).await
                        })?;
                        sum
                    }
                    None => (0, None),
                };
                Ok((num_closed, sum))
            })
            .await?;
        finished.num_gaps_closed = num_gaps_closed;
        (finished.num_held, finished.ms_played) = (sum.0.unsigned_abs(), sum.1.unwrap_or(0).unsigned_abs());
        if self.is_dry {
            self.conn.rollback().await?;
        } else {
            self.conn.set_durability(Durability::AtOnce).await?;
            // One more commit, so that everything before it is on the disk.
            self.conn.transaction(async |conn| runs::lock_account(conn, account).await).await?;
        }
        Ok(finished)
    }

    /// Makes plays of all streams of tracks that are not paired with one.
    async fn settle(&mut self) -> Result<u64, StoreError> {
        let account = self.account;
        let mut num_plays = 0;
        loop {
            let settled = self.step(async move |conn| settle_some(conn, account).await).await?;
            num_plays += settled;
            if settled == 0 {
                return Ok(num_plays);
            }
        }
    }
}

/// Writes rows, the catalogue entries that they need and the plays that they are. Returns how many were new.
#[expect(clippy::too_many_arguments, reason = "they are what one transaction of an import is made of")]
async fn write(
    conn: &mut Conn,
    account: AccountId,
    import: i64,
    told: Option<(At, At)>,
    streams: &[&Stream],
    uris: &HashMap<u64, String>,
    entered: &mut Entered,
    now: At,
) -> Result<u64, StoreError> {
    // Equal rows are one; PostgreSQL would refuse to write it twice.
    let mut rows: BTreeMap<(At, i64), (StreamRow<'_>, &Stream)> = BTreeMap::new();
    for stream in streams {
        let by_names = || {
            let (title, creator) = (stream.name.as_deref()?, stream.creator.as_deref()?);
            uris.get(&TrackKeys::of_names(title, creator)?).map(String::as_str)
        };
        let is_track = stream.kind == StreamKind::Track;
        let uri = stream.uri.as_deref().or_else(|| by_names().filter(|_| is_track));
        let is_play = is_track && uri.is_some() && is_far(stream, told);
        let played_at = is_play.then(|| At::from(stream.ended_at));
        let row = StreamRow::new(account.0, import, stream, uri, played_at);
        rows.entry((row.logged_at, row.digest)).or_insert((row, stream));
    }
    let all: Vec<StreamRow<'_>> = rows.values().map(|(row, _)| row.clone()).collect();
    let new: HashSet<(At, i64)> = StreamRow::upsert(conn, &all).await?.into_iter().collect();
    let new_tracks = || {
        let of_new = rows.iter().filter(|(key, _)| new.contains(key)).map(|(_, row)| row);
        of_new.filter(|(row, _)| row.kind == StreamKind::Track.as_str()).filter_map(|(row, stream)| {
            let id = row.uri?.0.strip_prefix(TRACK)?;
            Some((id, row, *stream))
        })
    };
    catalogue::enter(conn, new_tracks().map(|(id, _, stream)| (id, stream)), entered, now).await?;
    let mut plays = Keyed::default();
    for (id, row, stream) in new_tracks() {
        let (Some(played_at), Some(uri)) = (row.played_at, row.uri) else { continue };
        let ms_played = i32::try_from(stream.ms_played).unwrap_or(i32::MAX);
        let play = ExportPlayRow {
            account_id: account.0,
            played_at,
            track_uri: uri,
            track_id: Some(Words(id)),
            ms_played: Some(ms_played),
            source: "export",
        };
        if let Some((known, play)) = plays.insert((played_at, uri.0), play) {
            known.ms_played = known.ms_played.max(play.ms_played);
        }
    }
    upsert(conn, &plays.into_rows()).await?;
    let of_new = rows.iter().filter(|(key, _)| new.contains(key)).map(|(_, (row, _))| row);
    heard::note(conn, account, of_new.map(|row| DateTime::from(row.ended_at))).await?;
    note_known(conn, account, import, rows.keys().filter(|key| !new.contains(key))).await?;
    Ok(new.len() as u64)
}

/// Rows that an earlier import added belong to this one as well: they stay when the other is taken back.
async fn note_known(
    conn: &mut Conn,
    account: AccountId,
    import: i64,
    known: impl Iterator<Item = &(At, i64)>,
) -> Result<(), StoreError> {
    let keys: Vec<String> = known.map(|(at, digest)| format!("({}, {digest})", at.literal())).collect();
    for keys in keys.chunks(KEYS_AT_ONCE) {
        let keys = match conn {
            Conn::Sqlite(_) => format!("VALUES {}", keys.join(", ")),
            Conn::Pg(_) => {
                format!("SELECT v.at::timestamptz, v.digest FROM (VALUES {}) AS v (at, digest)", keys.join(", "))
            }
        };
        let sql = format!(
            "INSERT INTO stream_imports (stream_id, import_id) SELECT s.id, {import} FROM streams s WHERE s.account_id = {} \
             AND s.import_id <> {import} AND (s.logged_at, s.digest) IN ({keys}) ON CONFLICT DO NOTHING",
            account.0
        );
        execute(conn, sql).await?;
    }
    Ok(())
}

/// Whether the API reported nothing that the stream could be.
fn is_far(stream: &Stream, told: Option<(At, At)>) -> bool {
    let Some((first, last)) = told.map(|(first, last)| (DateTime::from(first), DateTime::from(last))) else {
        return true;
    };
    let minute = TimeDelta::minutes(1);
    stream.logged_at.max(stream.ended_at) + AFTER_END + minute < first || stream.started_at - BEFORE_START > last
}

async fn settle_some(conn: &mut Conn, account: AccountId) -> Result<u64, StoreError> {
    runs::lock_account(conn, account).await?;
    let pending = format!("account_id = {} AND played_at IS NULL AND kind = 'track' AND uri IS NOT NULL", account.0);
    let bound: Vec<At> = with_conn!(conn, |c| {
        use streams::{ended_at, table};
        let pending = table.filter(sql::<diesel::sql_types::Bool>(&pending)).order(ended_at.asc());
        pending.select(ended_at).offset(CHUNK_LEN).limit(1).load(c).await
    })?;
    let bounded = match bound.as_slice().first() {
        Some(bound) => format!("{pending} AND ended_at <= {}", bound.literal()),
        None => pending,
    };
    let insert = format!(
        "INSERT INTO plays AS p (account_id, played_at, track_uri, track_id, ms_played, source) \
         SELECT account_id, ended_at, uri, substr(uri, {}), CAST(max(ms_played) AS INTEGER), 'export' FROM streams \
         WHERE {bounded} GROUP BY account_id, ended_at, uri ORDER BY account_id, ended_at, uri \
         ON CONFLICT (account_id, played_at, track_uri) DO UPDATE SET ms_played = excluded.ms_played \
         WHERE p.ms_played IS NULL OR p.ms_played < excluded.ms_played",
        TRACK.len() + 1
    );
    execute(conn, insert).await?;
    execute(conn, format!("UPDATE streams SET played_at = ended_at WHERE {bounded}")).await
}
