//! What happened, read in order from a position ([`super::outbox`] writes it), and how far each follower has come.

use super::outbox::{self, HEAD};
use super::schema::{accounts, feed_positions, outbox as entries};
use super::types::{At, Words, to_u32};
use super::{Conn, Store, StoreError, with_conn};
use crate::model::{AccountId, EventKind};
use chrono::{DateTime, SecondsFormat, Utc};
use diesel::dsl::auto_type;
use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use std::fmt::Write;
use uuid::Uuid;

/// The position of the last entry that is no longer kept.
const FORGOTTEN: &str = "forgotten";

/// Entries deleted at once, to keep the lock on them short.
const FORGOTTEN_AT_ONCE: i64 = 1_000;

/// An entry of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEvent {
    pub seq: i64,
    pub kind: String,
    pub at: DateTime<Utc>,
    /// The Spotify id of the account.
    pub account: String,
    /// A JSON object.
    body: String,
}

/// The result of reading after a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feed {
    /// In order; empty at the end.
    Events(Vec<FeedEvent>),
    /// Entries after the position are no longer kept. The oldest one kept comes after `kept_after`.
    Forgotten { kept_after: i64 },
    /// That number has not been assigned yet: it is from another database, or this one is an older copy.
    Ahead { last: i64 },
}

/// How far a follower has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub seq: i64,
    /// Failed tries in a row, since when, and why the last one failed.
    pub num_failures: u32,
    pub failing_since: Option<DateTime<Utc>>,
    pub error: Option<String>,
}

impl FeedEvent {
    /// Unique for every entry, and the same each time it is sent, so that a receiver can recognise repeats.
    pub fn id(&self) -> String {
        format!("{}-{}", self.seq, self.at.timestamp_micros())
    }

    /// On one line.
    pub fn json(&self) -> String {
        let FeedEvent { seq, kind, at, account, body } = self;
        let at = at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let [kind, account] = [kind, account].map(outbox::json);
        let mut line = format!(r#"{{"seq":{seq},"id":"{}","event":{kind},"at":"{at}","account":{account}"#, self.id());
        let rest = body.strip_prefix('{').unwrap_or("}");
        let _ = write!(line, "{}{rest}", if rest == "}" { "" } else { "," });
        line
    }
}

impl Store {
    /// The entries after a position, of all accounts or of one.
    pub async fn feed(&self, after: i64, account: Option<AccountId>, limit: usize) -> Result<Feed, StoreError> {
        let conn = &mut self.connect().await?;
        type Row = (i64, String, At, String, String);
        let rows: Vec<Row> = with_conn!(conn, |c| {
            use entries::{account_id, body, kind, noted_at, seq, table};
            let of_accounts = table.inner_join(accounts::table.on(accounts::id.eq(account_id)));
            let mut behind = of_accounts.filter(seq.gt(after)).into_boxed();
            if let Some(AccountId(wanted)) = account {
                behind = behind.filter(account_id.eq(wanted));
            }
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            behind.order(seq).limit(limit).select((seq, kind, noted_at, accounts::spotify_id, body)).load(c).await
        })?;
        // Only now: what was deleted meanwhile is missing above.
        let kept_after = seq_of(conn, FORGOTTEN).await?;
        if after < kept_after {
            return Ok(Feed::Forgotten { kept_after });
        }
        if rows.is_empty() {
            let last = seq_of(conn, HEAD).await?;
            if last < after {
                return Ok(Feed::Ahead { last });
            }
        }
        let event = |(seq, kind, at, account, body): Row| FeedEvent { seq, kind, at: at.into(), account, body };
        Ok(Feed::Events(rows.into_iter().map(event).collect()))
    }

    /// The number of the last entry.
    pub async fn feed_end(&self) -> Result<i64, StoreError> {
        seq_of(&mut self.connect().await?, HEAD).await
    }

    /// Where a follower stands; a new one starts at the end.
    pub async fn follow(&self, name: &str) -> Result<Position, StoreError> {
        self.transaction(async |conn| {
            let seq = seq_of(conn, HEAD).await?;
            with_conn!(conn, |c| {
                let row = (feed_positions::name.eq(name), feed_positions::seq.eq(seq));
                diesel::insert_into(feed_positions::table).values(row).on_conflict_do_nothing().execute(c).await
            })?;
            type Row = (i64, i64, Option<At>, Option<String>);
            let (seq, failures, failing_since, error): Row = with_conn!(conn, |c| {
                use feed_positions::{error, failing_since, failures, seq, table};
                table.find(name).select((seq, failures, failing_since, error)).first(c).await
            })?;
            let failing_since = failing_since.map(DateTime::from);
            Ok(Position { seq, num_failures: to_u32(failures), failing_since, error })
        })
        .await
    }

    /// The follower has accepted everything up to this one. Returns whether `by`, or anyone, may move the position.
    pub async fn moved(&self, name: &str, by: Option<Uuid>, to: i64, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let conn = &mut self.connect().await?;
        let num_moved = with_conn!(conn, |c| {
            use feed_positions::{error, failing_since, failures, moved_at, next_try_at, seq, table};
            let untried = (next_try_at.eq(None::<At>), failing_since.eq(None::<At>));
            let fine = (failures.eq(0), untried, error.eq(None::<String>));
            let moved = (seq.eq(to), moved_at.eq(Some(At::from(now))), fine);
            diesel::update(table.find(name).filter(is_movable(by))).set(moved).execute(c).await
        })?;
        Ok(num_moved > 0)
    }

    /// The follower has not accepted the next one, which is tried again then. Nothing is noted unless `by` may move the
    /// position.
    pub async fn not_taken(
        &self,
        name: &str,
        by: Option<Uuid>,
        why: &str,
        now: DateTime<Utc>,
        again_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.transaction(async |conn| {
            let num_noted = with_conn!(conn, |c| {
                use feed_positions::{error, failures, next_try_at, table};
                let why = Some(String::from(Words(why)));
                let failed = (failures.eq(failures + 1), error.eq(why), next_try_at.eq(Some(At::from(again_at))));
                diesel::update(table.find(name).filter(is_movable(by))).set(failed).execute(c).await
            })?;
            if num_noted > 0 {
                with_conn!(conn, |c| {
                    use feed_positions::{failing_since, table};
                    let first = table.find(name).filter(failing_since.is_null());
                    diesel::update(first).set(failing_since.eq(Some(At::from(now)))).execute(c).await
                })?;
            }
            Ok(())
        })
        .await
    }

    /// Notes an event that no commit writes, once for these words. Returns whether it is new.
    pub async fn note_event(
        &self,
        account: AccountId,
        kind: EventKind,
        body: &(impl Serialize + Sync),
        once: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let body = outbox::json(body);
        self.transaction(async |conn| {
            if outbox::is_noted(conn, once).await? {
                return Ok(false);
            }
            outbox::write(conn, &[(account, kind, body)], Some(once), At::from(now)).await?;
            Ok(true)
        })
        .await
    }

    /// Deletes entries noted before this. Returns how many.
    pub async fn forget_events_before(&self, then: DateTime<Utc>) -> Result<usize, StoreError> {
        let mut num_forgotten = 0;
        loop {
            let some = self.transaction(async |conn| forget_some(conn, At::from(then)).await).await?;
            if some == 0 {
                return Ok(num_forgotten);
            }
            num_forgotten += some;
        }
    }
}

/// The positions that `by`, or anyone, may move.
#[auto_type]
fn is_movable(by: Option<Uuid>) -> _ {
    let mover: Option<String> = by.map(|by| by.to_string());
    feed_positions::owner.is_null().or(feed_positions::owner.eq(mover))
}

/// In order: an entry is never kept while a later one is not.
async fn forget_some(conn: &mut Conn, then: At) -> Result<usize, StoreError> {
    let oldest: Vec<(i64, At)> = with_conn!(conn, |c| {
        use entries::{noted_at, seq, table};
        table.order(seq).limit(FORGOTTEN_AT_ONCE).select((seq, noted_at)).load(c).await
    })?;
    let old = oldest.iter().take_while(|(_, at)| *at < then);
    let Some((last, _)) = old.last() else { return Ok(0) };
    with_conn!(conn, |c| {
        use feed_positions::{name, seq, table};
        diesel::update(table.filter(name.eq(FORGOTTEN))).set(seq.eq(last)).execute(c).await
    })?;
    Ok(with_conn!(conn, |c| diesel::delete(entries::table.filter(entries::seq.le(last))).execute(c).await)?)
}

pub(super) async fn seq_of(conn: &mut Conn, position: &str) -> Result<i64, StoreError> {
    let seq: Option<i64> = with_conn!(conn, |c| {
        use feed_positions::{name, seq, table};
        table.filter(name.eq(position)).select(seq).first(c).await.optional()
    })?;
    Ok(seq.unwrap_or(0))
}
