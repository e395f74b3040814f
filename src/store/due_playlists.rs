//! Which playlists' items an account has to read, and which of them wait for a later try.
//!
//! A playlist is due when its `snapshot_id` is not that of the rows, when the number of rows differs from the listing's
//! count, or when ranges of it could not be read. Finding out costs no request: the listing of the playlists contains
//! it. See [`crate::model::ReadingState`] for the rule.

use super::held;
use super::readings::Reading;
use super::schema::{accounts, library_playlists, playlist_readings, playlists, sync_gaps};
use super::types::{At, to_u32};
use super::{Conn, Store, StoreError, with_conn};
use crate::model::{AccountId, Due, FailureKind, ReadingState, StalePlaylist};
use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, Queryable, Selectable,
    SelectableHelper,
};
use diesel_async::RunQueryDsl;
use std::collections::HashMap;

/// A playlist whose items are due and wait, since earlier tries failed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct WaitingPlaylist {
    pub id: String,
    pub name: String,
    /// As `playlist_readings.failure` has it.
    pub failure: &'static str,
    pub reason: String,
    pub num_tries: u32,
    pub since: DateTime<Utc>,
    /// `None` means with the next run.
    pub next_try_at: Option<DateTime<Utc>>,
    /// Whether the account may read it, as far as is known.
    pub is_readable: bool,
}

/// A playlist of a library, with what a choice of playlists is made by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPlaylist {
    pub id: String,
    pub name: String,
    /// Owned by the account, or one that it collaborates on.
    pub is_own: bool,
}

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = playlists)]
struct Listed {
    id: String,
    name: String,
    owner_id: Option<String>,
    collaborative: Option<bool>,
    snapshot_id: Option<String>,
    total_items: Option<i32>,
    items_snapshot_id: Option<String>,
    items_held: Option<i64>,
    items_hidden: i64,
    items_generation: i64,
}

/// The ids that identify an account.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = accounts)]
struct Owner {
    spotify_id: String,
    spotify_account_id: Option<String>,
}

#[derive(Debug)]
struct Candidate {
    listed: Listed,
    owner: Owner,
    reading: Option<Reading>,
    gaps: Vec<(u32, u32)>,
    look_again_at: Option<DateTime<Utc>>,
    /// This account has missed items that a second look has to confirm as removed.
    is_held: bool,
}

impl Store {
    /// The playlists of a library whose items are to be read now, in library order.
    pub async fn stale_playlists(
        &self,
        account: AccountId,
        now: DateTime<Utc>,
    ) -> Result<Vec<StalePlaylist>, StoreError> {
        let mut due = self.due_playlists(account, now).await?;
        due.retain(|playlist| playlist.next_try_at.is_none());
        Ok(due)
    }

    /// The same, plus those that wait for a later try, without those that the account cannot read.
    pub async fn due_playlists(
        &self,
        account: AccountId,
        now: DateTime<Utc>,
    ) -> Result<Vec<StalePlaylist>, StoreError> {
        let candidates = candidates(&mut self.connect().await?, account).await?;
        Ok(candidates.into_iter().filter_map(|candidate| candidate.stale(now)).collect())
    }

    /// All of a library, in its order.
    pub async fn listed_playlists(&self, account: AccountId) -> Result<Vec<ListedPlaylist>, StoreError> {
        let candidates = candidates(&mut self.connect().await?, account).await?;
        let listed = |candidate: Candidate| {
            let is_own = candidate.is_own();
            ListedPlaylist { id: candidate.listed.id, name: candidate.listed.name, is_own }
        };
        Ok(candidates.into_iter().map(listed).collect())
    }

    /// The playlists of a library whose items could not be read in the last try, in library order.
    pub async fn waiting_playlists(
        &self,
        account: AccountId,
        now: DateTime<Utc>,
    ) -> Result<Vec<WaitingPlaylist>, StoreError> {
        waiting(&mut self.connect().await?, account, now).await
    }
}

pub(super) async fn waiting(
    conn: &mut Conn,
    account: AccountId,
    now: DateTime<Utc>,
) -> Result<Vec<WaitingPlaylist>, StoreError> {
    let num_failed: i64 = with_conn!(conn, |c| {
        use playlist_readings::{account_id, failure, table};
        table.filter(account_id.eq(account.0)).filter(failure.is_not_null()).count().get_result(c).await
    })?;
    if num_failed == 0 {
        return Ok(Vec::new());
    }
    let candidates = candidates(conn, account).await?;
    Ok(candidates.into_iter().filter_map(|candidate| candidate.waiting(now)).collect())
}

async fn candidates(conn: &mut Conn, account: AccountId) -> Result<Vec<Candidate>, StoreError> {
    let rows: Vec<(Listed, Owner, Option<Reading>)> = with_conn!(conn, |c| {
        use library_playlists::{account_id, playlist_id, position, removed_at, table};
        let listed = table
            .inner_join(playlists::table.on(playlists::id.eq(playlist_id)))
            .inner_join(accounts::table.on(accounts::id.eq(account_id)));
        let is_its = playlist_readings::playlist_id.eq(playlist_id);
        let is_theirs = playlist_readings::account_id.eq(account_id);
        let read = listed.left_join(playlist_readings::table.on(is_its.and(is_theirs)));
        let active = read.filter(account_id.eq(account.0)).filter(removed_at.is_null());
        let columns = (Listed::as_select(), Owner::as_select(), Option::<Reading>::as_select());
        active.order((position, playlist_id)).select(columns).load(c).await
    })?;
    let mut gaps = open_item_gaps(conn, account).await?;
    let looks = looks(conn, account).await?;
    let held = held::playlists_with_held(conn, account).await?;
    let candidate = |(listed, owner, reading): (Listed, Owner, Option<Reading>)| {
        let gaps = gaps.remove(&listed.id).unwrap_or_default();
        let (look_again_at, is_held) = (looks.get(&listed.id).copied(), held.contains(&listed.id));
        Candidate { listed, owner, reading, gaps, look_again_at, is_held }
    };
    Ok(rows.into_iter().map(candidate).collect())
}

impl Candidate {
    fn stale(self, now: DateTime<Utc>) -> Option<StalePlaylist> {
        let failure = self.reading.as_ref().and_then(Reading::failure);
        let state = self.state(failure.as_ref());
        let next_try_at = match state.due(now) {
            Due::No => return None,
            Due::Now => None,
            Due::At(_) if self.reading.as_ref().is_some_and(|reading| !reading.is_readable()) => return None,
            Due::At(at) => Some(at),
        };
        let fills_only = state.fills_only() && !self.gaps.is_empty();
        let is_own = self.is_own();
        let total_items = self.total();
        let Listed { id, name, snapshot_id, items_held, items_hidden, items_generation: generation, .. } = self.listed;
        Some(StalePlaylist {
            id,
            name,
            snapshot_id,
            total_items,
            gaps: self.gaps,
            fills_only,
            num_held: items_held.map(to_u32),
            num_hidden: to_u32(items_hidden),
            generation,
            num_read: self.reading.map_or(0, |reading| reading.num_read(generation)),
            is_own,
            failure,
            next_try_at,
        })
    }

    fn waiting(self, now: DateTime<Utc>) -> Option<WaitingPlaylist> {
        let reading = self.reading.as_ref()?;
        // A playlist that is merely read once more has no failure to show.
        let failure = reading.failure().filter(|failure| failure.kind != FailureKind::Unchanged)?;
        let state = self.state(Some(&failure));
        if state.due(now) == Due::No {
            return None;
        }
        Some(WaitingPlaylist {
            failure: FailureKind::as_str(failure.kind),
            reason: reading.reason().unwrap_or_default().to_owned(),
            num_tries: failure.num_tries,
            since: failure.since,
            next_try_at: failure.next_try_at.filter(|at| *at > now),
            is_readable: reading.is_readable(),
            id: self.listed.id,
            name: self.listed.name,
        })
    }

    fn state<'a>(&'a self, failure: Option<&'a crate::model::LastFailure>) -> ReadingState<'a> {
        ReadingState {
            listed_snapshot: self.listed.snapshot_id.as_deref(),
            listed_total: self.total(),
            held_snapshot: self.listed.items_snapshot_id.as_deref(),
            num_held: self.listed.items_held.map(to_u32),
            num_hidden: to_u32(self.listed.items_hidden),
            has_gaps: !self.gaps.is_empty(),
            failure,
            look_again_at: self.look_again_at,
            is_held: self.is_held,
        }
    }

    fn total(&self) -> Option<u32> {
        self.listed.total_items.and_then(|total| u32::try_from(total).ok())
    }

    fn is_own(&self) -> bool {
        let owner = self.listed.owner_id.as_deref();
        let is_owner = owner.is_some_and(|owner| {
            owner == self.owner.spotify_id || Some(owner) == self.owner.spotify_account_id.as_deref()
        });
        is_owner || self.listed.collaborative == Some(true)
    }
}

/// What any account has left open of the items that this one lists too.
async fn open_item_gaps(conn: &mut Conn, account: AccountId) -> Result<HashMap<String, Vec<(u32, u32)>>, StoreError> {
    let open: Vec<(Option<String>, i64, i64)> = with_conn!(conn, |c| {
        use library_playlists::{account_id, removed_at};
        use sync_gaps::{healed_at, offset_from, offset_to, playlist_id, table};
        let listed =
            table.inner_join(library_playlists::table.on(library_playlists::playlist_id.nullable().eq(playlist_id)));
        let theirs = listed.filter(account_id.eq(account.0)).filter(removed_at.is_null());
        let open = theirs.filter(healed_at.is_null()).order((playlist_id, offset_from, offset_to));
        open.select((playlist_id, offset_from, offset_to)).distinct().load(c).await
    })?;
    let mut gaps: HashMap<String, Vec<(u32, u32)>> = HashMap::new();
    for (playlist_id, from, to) in open {
        gaps.entry(playlist_id.unwrap_or_default()).or_default().push((to_u32(from), to_u32(to)));
    }
    Ok(gaps)
}

/// When playlists of a library are looked at again, because of a reading by any account.
async fn looks(conn: &mut Conn, account: AccountId) -> Result<HashMap<String, DateTime<Utc>>, StoreError> {
    let open: Vec<(String, At)> = with_conn!(conn, |c| {
        use library_playlists::{account_id, removed_at};
        use playlist_readings::{look_again_at, playlist_id, table};
        let listed = table.inner_join(library_playlists::table.on(library_playlists::playlist_id.eq(playlist_id)));
        let theirs = listed.filter(account_id.eq(account.0)).filter(removed_at.is_null());
        let open = theirs.filter(look_again_at.is_not_null());
        open.select((playlist_id, look_again_at.assume_not_null())).load(c).await
    })?;
    let mut looks: HashMap<String, DateTime<Utc>> = HashMap::new();
    for (playlist, at) in open {
        let at = DateTime::<Utc>::from(at);
        looks.entry(playlist).and_modify(|first| *first = at.min(*first)).or_insert(at);
    }
    Ok(looks)
}

/// Makes the items of every playlist of the account due again, including those that wait after a doubtful failure. A
/// reading under way starts over.
pub(super) async fn forget_item_snapshots(conn: &mut Conn, account: AccountId) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        use library_playlists::{account_id, playlist_id};
        let listed = library_playlists::table.filter(account_id.eq(account.0)).select(playlist_id);
        let theirs = playlists::table.filter(playlists::id.eq_any(listed));
        diesel::update(theirs).set(playlists::items_snapshot_id.eq(None::<String>)).execute(c).await
    })?;
    with_conn!(conn, |c| {
        use playlist_readings::{account_id, items_readable, next_try_at, snapshot_id, table};
        let theirs = table.filter(account_id.eq(account.0)).filter(items_readable);
        let forgotten = (snapshot_id.eq(None::<String>), next_try_at.eq(None::<At>));
        diesel::update(theirs).set(forgotten).execute(c).await
    })?;
    Ok(())
}
