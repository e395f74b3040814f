//! The listening history (`plays`), where its tracking stands (`playback_states`), and where plays may be missing
//! (`play_gaps`).
//!
//! A poll's plays, their catalogue entries, its gap and its own state commit in one transaction. It begins at the
//! account's row, like the fence of a run: a process that has been replaced writes nothing. Plays are upserted, so a
//! poll that is repeated after a crash doubles nothing.

use super::by_sql::count;
use super::catalogue::Catalogue;
use super::keyed::Keyed;
use super::rows::{OddRow, PlayRow};
use super::schema::{accounts, imports, play_gaps, playback_states, plays, sync_odd_items};
use super::types::{At, Words, clean, len};
use super::upsert::upsert;
use super::{Conn, Store, StoreError, heard, runs, streams, with_conn};
use crate::model::status::{PlayGapStatus, PlaybackStatus};
use crate::model::{
    AccountId, KnownPlays, Oddity, PLAYS_PAGE_LEN, Play, PlayGap, PlaybackNote, PlaybackRecord, PlaysCommit, PlaysPage,
};
use chrono::{DateTime, Timelike, Utc};
use diesel::dsl::{count_star, max};
use diesel::sql_types::Bool;
use diesel::{BoolExpressionMethods, ExpressionMethods, IntoSql, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::warn;
use uuid::Uuid;

/// `sync_odd_items.entity_type` of a row of the history. Its `position` is the moment of the play in unix milliseconds,
/// which the API's cursors use; without a moment it is the row's place in the last page.
pub(super) const ODD_ENTITY: &str = "plays";

impl Store {
    /// The state of tracking; all empty before the first poll.
    pub async fn load_playback(&self, account: AccountId) -> Result<PlaybackRecord, StoreError> {
        type Moment = Option<DateTime<Utc>>;
        type Row = (Moment, Moment, Moment, Moment, Option<String>);
        let conn = &mut self.connect().await?;
        let row: Option<Row> = with_conn!(conn, |c| {
            use playback_states::*;
            let columns = (last_polled_at, last_new_at, next_poll_at, parked_until, error_message);
            table.filter(account_id.eq(account.0)).select(columns).get_result(c).await.optional()
        })?;
        let authorized_at: Moment = with_conn!(conn, |c| {
            let row = accounts::table.filter(accounts::id.eq(account.0));
            row.select(accounts::authorized_at).get_result(c).await.optional()
        })?;
        let (last_polled_at, last_new_at, next_poll_at, parked_until, error) = row.unwrap_or_default();
        Ok(PlaybackRecord { last_polled_at, last_new_at, next_poll_at, parked_until, error, authorized_at })
    }

    /// What is stored around a page; for a page without plays, when the last one was.
    pub async fn known_plays(
        &self,
        account: AccountId,
        page: &PlaysPage,
        now: DateTime<Utc>,
    ) -> Result<KnownPlays, StoreError> {
        let conn = &mut self.connect().await?;
        // The API's times have been seen with and without milliseconds.
        let Some(oldest) = page.oldest().and_then(|oldest| oldest.with_nanosecond(0)).map(At::from) else {
            let newest = newest(conn, account, page.horizon(now)).await?.map(DateTime::from);
            return Ok(KnownPlays { newest_before: newest, ..KnownPlays::default() });
        };
        let keys: Vec<(At, String)> = with_conn!(conn, |c| {
            use plays::{account_id, played_at, table, track_uri};
            let from = table.filter(account_id.eq(account.0)).filter(played_at.ge(oldest));
            from.select((played_at, track_uri)).load(c).await
        })?;
        let newest_before: Option<At> = with_conn!(conn, |c| {
            use plays::{account_id, played_at, table};
            let before = table.filter(account_id.eq(account.0)).filter(played_at.lt(oldest));
            before.select(max(played_at)).get_result(c).await
        })?;
        let mut known = KnownPlays {
            keys: keys.into_iter().map(|(at, uri)| (at.into(), uri)).collect(),
            newest_before: newest_before.map(DateTime::from),
            ..KnownPlays::default()
        };
        streams::known_streams(conn, account, page, &mut known).await?;
        Ok(known)
    }

    /// Writes a poll. After an error that [`StoreError::is_transient`] reports as passing, the outcome of the commit is
    /// unknown; the next poll finds out.
    pub async fn commit_plays(&self, commit: &PlaysCommit, owner: Uuid) -> Result<(), StoreError> {
        let now = At::from(commit.polled_at);
        let mut conn = self.connect().await?;
        let written = conn.transaction_with_care(async |conn| {
            runs::lock_account(conn, commit.account_id).await?;
            runs::expect_not_claimed_by_another(conn, commit.account_id, owner).await?;
            write_plays(conn, commit, now).await?;
            streams::apply_pairs(conn, commit.account_id, &commit.pairs).await?;
            sum_up(conn, commit).await?;
            record_odd(conn, commit, now).await?;
            record_gaps(conn, commit, now).await?;
            let told = Told {
                last_polled_at: Some(now),
                last_new_at: (commit.num_new > 0).then_some(now),
                next_poll_at: Some(At::from(commit.next_poll_at)),
                ..Told::default()
            };
            told.write(conn, commit.account_id, now).await
        });
        let ((), refusals) = written.await?;
        if let Some(reason) = refusals.reason() {
            warn!(rows = refusals.len(), reason, "the database refuses some plays as received");
        }
        Ok(())
    }

    /// Notes that a poll failed, for `status` and for the next process.
    pub async fn note_playback(&self, note: &PlaybackNote, owner: Uuid, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.transaction(async |conn| {
            runs::lock_account(conn, note.account_id).await?;
            runs::expect_not_claimed_by_another(conn, note.account_id, owner).await?;
            let told = Told {
                next_poll_at: note.next_poll_at.map(At::from),
                parked_until: note.parked_until.map(At::from),
                error: note.error.as_deref(),
                ..Told::default()
            };
            told.write(conn, note.account_id, At::from(now)).await
        })
        .await
    }

    /// Where plays may be missing, the latest first.
    pub async fn open_play_gaps(&self, account: AccountId) -> Result<Vec<PlayGap>, StoreError> {
        let rows: Vec<(At, At)> = with_conn!(&mut self.connect().await?, |c| {
            use play_gaps::*;
            let open = table.filter(account_id.eq(account.0)).filter(healed_at.is_null());
            open.order(played_before.desc()).select((played_after, played_before)).load(c).await
        })?;
        let gap = |(after, before): (At, At)| PlayGap { played_after: after.into(), played_before: before.into() };
        Ok(rows.into_iter().map(gap).collect())
    }
}

/// What a poll says about the tracking itself.
#[derive(Default)]
struct Told<'a> {
    /// `None` leaves it as it is.
    last_polled_at: Option<At>,
    last_new_at: Option<At>,
    next_poll_at: Option<At>,
    parked_until: Option<At>,
    error: Option<&'a str>,
}

impl Told<'_> {
    async fn write(self, conn: &mut Conn, account: AccountId, now: At) -> Result<(), StoreError> {
        with_conn!(conn, |c| {
            use playback_states::*;
            let values = (
                (self.last_polled_at.map(|at| last_polled_at.eq(at)), self.last_new_at.map(|at| last_new_at.eq(at))),
                (next_poll_at.eq(self.next_poll_at), parked_until.eq(self.parked_until)),
                (error_message.eq(self.error.map(clean)), updated_at.eq(now)),
            );
            let fresh = (account_id.eq(account.0), updated_at.eq(now));
            diesel::insert_into(table).values(fresh).on_conflict_do_nothing().execute(c).await?;
            diesel::update(table.filter(account_id.eq(account.0))).set(values).execute(c).await
        })?;
        Ok(())
    }
}

async fn write_plays(conn: &mut Conn, commit: &PlaysCommit, now: At) -> Result<(), StoreError> {
    let mut catalogue = Catalogue::new(now);
    // A row that the API gives twice is one play; PostgreSQL would refuse to write it twice.
    let mut rows = Keyed::default();
    for play in commit.page.plays() {
        if let Some(track) = &play.track {
            catalogue.add_track(track);
        }
        let played_at = At::from(play.played_at);
        let row = PlayRow {
            account_id: commit.account_id.0,
            played_at,
            track_uri: Words(&play.track_uri),
            track_id: play.track.as_ref().map(|track| Words(&track.id)),
            context_uri: play.context_uri.as_deref().map(Words),
            source: "api",
        };
        rows.insert((played_at, play.track_uri.as_str()), row);
    }
    catalogue.write(conn).await?;
    upsert(conn, &rows.into_rows()).await?;
    Ok(())
}

/// The plays of the page, and the streams paired with them, count from now on.
async fn sum_up(conn: &mut Conn, commit: &PlaysCommit) -> Result<(), StoreError> {
    let told = commit.page.plays().map(|play| play.played_at);
    if commit.num_new == 0 && commit.pairs.is_empty() {
        return Ok(());
    }
    heard::note(conn, commit.account_id, told).await?;
    // One year is enough in nearly all polls. The next one does the rest.
    heard::refresh_last(conn, commit.account_id).await
}

/// Rows with a moment are kept for good: once they have left the page, nothing else shows them.
async fn record_odd(conn: &mut Conn, commit: &PlaysCommit, now: At) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        use sync_odd_items::{account_id, entity_type, position, table};
        let theirs = table.filter(account_id.eq(commit.account_id.0)).filter(entity_type.eq(ODD_ENTITY));
        let undated = theirs.filter(position.ge(0)).filter(position.lt(PLAYS_PAGE_LEN as i64));
        diesel::delete(undated).execute(c).await
    })?;
    let refusals = conn.refusals();
    let about = |play: &Play| {
        refusals.about(&[&play.track_uri]).or_else(|| play.track.as_ref().and_then(|track| refusals.about_track(track)))
    };
    let refused: Vec<Option<Oddity>> =
        commit.page.slots.iter().map(|slot| slot.play.as_ref().and_then(about)).collect();
    let mut rows = Keyed::default();
    for (at, slot) in commit.page.slots.iter().take(PLAYS_PAGE_LEN).enumerate() {
        let Some(odd) = refused[at].as_ref().or(slot.odd.as_ref()) else { continue };
        let position = slot.played_at.map_or(at as i64, |played_at| played_at.timestamp_millis());
        rows.replace(position, OddRow::new(commit.account_id, ODD_ENTITY, position, odd, now));
    }
    upsert(conn, &rows.into_rows()).await?;
    Ok(())
}

/// The moment of the latest play up to a horizon.
async fn newest(conn: &mut Conn, account: AccountId, horizon: DateTime<Utc>) -> Result<Option<At>, StoreError> {
    Ok(with_conn!(conn, |c| {
        use plays::{account_id, played_at, table};
        let plays = table.filter(account_id.eq(account.0)).filter(played_at.le(At::from(horizon)));
        plays.select(max(played_at)).get_result(c).await
    })?)
}

async fn newest_of_all(conn: &mut Conn, account: AccountId) -> Result<Option<At>, StoreError> {
    Ok(with_conn!(conn, |c| {
        use plays::{account_id, played_at, table};
        table.filter(account_id.eq(account.0)).select(max(played_at)).get_result(c).await
    })?)
}

/// If the page reaches back to before a gap, nothing that the API holds in it was missed, unless the page has a gap of
/// its own. What is left of an earlier gap that begins at the same play is that one.
async fn record_gaps(conn: &mut Conn, commit: &PlaysCommit, now: At) -> Result<(), StoreError> {
    use play_gaps::{account_id, detected_at, healed_at, played_after, played_before, table};
    let AccountId(account) = commit.account_id;
    // A page from an older copy does not show later plays, however far back it reaches.
    let horizon = commit.page.horizon(commit.polled_at);
    let is_current = match commit.page.newest().map(At::from) {
        Some(shown) => newest(conn, commit.account_id, horizon).await?.is_none_or(|known| shown >= known),
        None => false,
    };
    let shown = commit.page.oldest().zip(commit.page.newest());
    if let Some((oldest, newest)) = shown.filter(|_| commit.gap.is_none()) {
        let (oldest, newest) = (At::from(oldest), At::from(newest));
        // Even an older copy is complete between two of its rows.
        with_conn!(conn, |c| {
            let reached = table.filter(account_id.eq(account)).filter(played_after.ge(oldest));
            let shown = reached.filter(played_before.le(newest).or(is_current.into_sql::<Bool>()));
            diesel::update(shown.filter(healed_at.is_null())).set(healed_at.eq(now)).execute(c).await
        })?;
    }
    if let Some(gap) = commit.gap {
        with_conn!(conn, |c| {
            let (after, before) = (At::from(gap.played_after), At::from(gap.played_before));
            let wider = table.filter(account_id.eq(account)).filter(played_after.eq(after));
            let wider = wider.filter(played_before.gt(before)).filter(healed_at.is_null());
            diesel::update(wider).set(healed_at.eq(now)).execute(c).await
        })?;
        with_conn!(conn, |c| {
            let row = (
                account_id.eq(account),
                played_after.eq(At::from(gap.played_after)),
                played_before.eq(At::from(gap.played_before)),
                detected_at.eq(now),
            );
            diesel::insert_into(table).values(row).on_conflict_do_nothing().execute(c).await
        })?;
    }
    Ok(())
}

/// How many plays the accounts have, as counted when there were last new ones. Counting a million takes a fifth of a
/// second, which is too much for a page that refreshes every second.
#[derive(Debug, Default)]
pub struct PlayCounts(Mutex<HashMap<AccountId, (Newest, u64)>>);

/// What every new play changes: when the last ones were stored, the latest moment of any, and which imports there are.
type Newest = (Option<At>, Option<At>, (Option<At>, i64));

impl PlayCounts {
    async fn count(&self, conn: &mut Conn, account: AccountId, newest: Newest) -> Result<u64, StoreError> {
        let counted = self.lock().get(&account).copied();
        if let Some((of, count)) = counted
            && of == newest
        {
            return Ok(count);
        }
        let count = count(conn, &format!("plays WHERE account_id = {}", account.0)).await?;
        self.lock().insert(account, (newest, count));
        Ok(count)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, (Newest, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `segno status` shows of the history.
pub(super) async fn status(
    conn: &mut Conn,
    account: AccountId,
    counts: &PlayCounts,
    now: DateTime<Utc>,
) -> Result<PlaybackStatus, StoreError> {
    type Row = (Option<At>, Option<DateTime<Utc>>, Option<DateTime<Utc>>, Option<DateTime<Utc>>, Option<String>);
    // Where all of them lie ahead, this machine's calendar is wrong.
    let mut last = newest(conn, account, PlaysPage::default().horizon(now)).await?;
    if last.is_none() {
        last = newest_of_all(conn, account).await?;
    }
    let state: Option<Row> = with_conn!(conn, |c| {
        use playback_states::{
            account_id, error_message, last_new_at, last_polled_at, next_poll_at, parked_until, table,
        };
        let columns = (last_new_at, last_polled_at, next_poll_at, parked_until, error_message);
        table.filter(account_id.eq(account.0)).select(columns).get_result(c).await.optional()
    })?;
    let (last_new_at, last_polled_at, next_poll_at, parked_until, error) = state.unwrap_or_default();
    let imported: (Option<At>, i64) = with_conn!(conn, |c| {
        use imports::{account_id, finished_at, table};
        table.filter(account_id.eq(account.0)).select((max(finished_at), count_star())).first(c).await
    })?;
    let num_plays = counts.count(conn, account, (last_new_at, last, imported)).await?;
    type Gap = (DateTime<Utc>, DateTime<Utc>, DateTime<Utc>);
    let gaps: Vec<Gap> = with_conn!(conn, |c| {
        use play_gaps::{account_id, detected_at, healed_at, played_after, played_before, table};
        let open = table.filter(account_id.eq(account.0)).filter(healed_at.is_null());
        open.order(played_before.desc()).select((played_after, played_before, detected_at)).load(c).await
    })?;
    let gap = |(played_after, played_before, detected_at): &Gap| PlayGapStatus {
        played_after: *played_after,
        played_before: *played_before,
        detected_at: *detected_at,
    };
    Ok(PlaybackStatus {
        plays: num_plays,
        last_played_at: last.map(DateTime::from),
        last_polled_at,
        next_poll_at,
        open_gaps: len(gaps.len()),
        last_gap: gaps.as_slice().first().map(gap),
        error,
        parked_until,
    })
}
