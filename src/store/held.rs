//! Removals that are held back (`held_removals`): items that a walk has not seen and that nobody has confirmed as
//! removed yet.
//!
//! Each item is held separately, from when it was first missed. A later walk that misses the same item, after long
//! enough, proves that it is gone; one that sees it ends the wait. If the API's own total still counts an item, only a
//! person can confirm its removal. A playlist's items are held here, too, under the playlist's id; see
//! [`super::playlists`].

use super::by_sql::{IDS_MAX, of_ids};
use super::catalogue::{Named, names_of};
use super::membership;
use super::rows::{HeldRow, LISTING};
use super::schema::held_removals;
use super::types::{At, Words, len, to_u32};
use super::upsert::upsert;
use super::{Conn, Store, StoreError, with_conn};
use crate::model::{AccountId, Counts, EntityType, HeldBefore, HeldRemoval, Hold};
use chrono::{DateTime, Utc};
use diesel::dsl::{auto_type, count_star};
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use std::collections::{HashMap, HashSet};

impl Store {
    /// The removals of an account that wait for a later look or for a person, oldest first.
    pub async fn held_removals(&self, account: AccountId) -> Result<Vec<HeldRemoval>, StoreError> {
        let mut conn = self.connect().await?;
        type Row = (String, String, String, DateTime<Utc>, bool, bool);
        let rows: Vec<Row> = with_conn!(&mut conn, |c| {
            use held_removals::*;
            let theirs = table.filter(account_id.eq(account.0)).order((since, entity_type, playlist_id, item_id));
            theirs.select((entity_type, playlist_id, item_id, since, is_counted, is_confirmed)).load(c).await
        })?;
        let mut held: Vec<HeldRemoval> = Vec::with_capacity(rows.len());
        for (entity, playlist, item_id, since, is_counted, is_confirmed) in rows {
            // A newer version may hold kinds unknown to this one.
            let Ok(entity) = entity.parse::<EntityType>() else { continue };
            held.push(HeldRemoval {
                entity,
                playlist_id: Some(playlist).filter(|playlist| playlist != LISTING),
                item_id,
                name: None,
                since,
                is_counted,
                is_confirmed,
            });
        }
        name_all(&mut conn, &mut held).await?;
        Ok(held)
    }

    /// A person confirms that the held items of these entity types are gone: the next run marks them. Returns how many.
    pub async fn confirm_removals(&self, account: AccountId, entities: &[EntityType]) -> Result<u32, StoreError> {
        let entities: Vec<&str> = entities.iter().map(|entity| entity.as_str()).collect();
        let mut conn = self.connect().await?;
        let confirmed = with_conn!(&mut conn, |c| {
            use held_removals::*;
            let theirs = table.filter(account_id.eq(account.0)).filter(entity_type.eq_any(&entities));
            diesel::update(theirs.filter(is_confirmed.eq(false))).set(is_confirmed.eq(true)).execute(c).await
        })?;
        Ok(len(confirmed))
    }
}

/// What is held for a playlist, or for the entity type's own listing.
#[auto_type]
pub(super) fn held<'a>(account: AccountId, entity: EntityType, playlist: &'a str) -> _ {
    let whose: i64 = account.0;
    let of: &'static str = entity.as_str();
    held_removals::table
        .filter(held_removals::account_id.eq(whose))
        .filter(held_removals::entity_type.eq(of))
        .filter(held_removals::playlist_id.eq(playlist))
}

/// Holds what the pass has not seen, and releases what it has. Returns how many wait, if any of them is new.
pub(super) async fn hold(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    hold: Hold,
    now: At,
) -> Result<u32, StoreError> {
    let missing = membership::unseen_ids(conn, account, entity, hold.pass).await?;
    let ids: Vec<&str> = missing.iter().map(String::as_str).collect();
    let num_known = keep(conn, (account, entity, LISTING), &ids, hold.counts == Counts::All, now).await?;
    with_conn!(conn, |c| {
        use held_removals::{is_confirmed, is_counted, since};
        let others = held(account, entity, LISTING).filter(is_confirmed.eq(false));
        match hold.counts {
            Counts::All => diesel::update(others).set(is_counted.eq(true)).execute(c).await,
            Counts::AsBefore => Ok(0),
            Counts::Nothing => {
                let counted = others.filter(is_counted.eq(true));
                diesel::update(counted).set((is_counted.eq(false), since.eq(now))).execute(c).await
            }
        }
    })?;
    Ok(if num_known < missing.len() { len(missing.len()) } else { 0 })
}

/// Holds what is missing, from now on if it is new, and releases the rest. Returns how many were held before.
pub(super) async fn keep(
    conn: &mut Conn,
    (account, entity, playlist): (AccountId, EntityType, &str),
    missing: &[&str],
    is_counted: bool,
    now: At,
) -> Result<usize, StoreError> {
    let known: Vec<String> =
        with_conn!(conn, |c| held(account, entity, playlist).select(held_removals::item_id).load(c).await)?;
    let is_missing: HashSet<&str> = missing.iter().copied().collect();
    let found: Vec<&str> = known.iter().map(String::as_str).filter(|id| !is_missing.contains(id)).collect();
    forget(conn, account, entity, playlist, &found).await?;
    let (account_id, entity_type, playlist_id, since) = (account.0, entity.as_str(), Words(playlist), now);
    let row =
        |item_id| HeldRow { account_id, entity_type, playlist_id, item_id, since, is_counted, is_confirmed: false };
    upsert(conn, &missing.iter().map(|id| row(Words(id))).collect::<Vec<_>>()).await?;
    // A calendar that was set back since has moved it into the future.
    with_conn!(conn, |c| {
        let later = held(account, entity, playlist).filter(held_removals::since.gt(now));
        diesel::update(later).set(held_removals::since.eq(now)).execute(c).await
    })?;
    Ok(known.len() - found.len())
}

/// How many of the items that the pass has not seen were held before.
pub(super) async fn held_before(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    pass: i64,
    ripe_at: Option<DateTime<Utc>>,
) -> Result<HeldBefore, StoreError> {
    type Row = (String, DateTime<Utc>, bool, bool);
    let held: Vec<Row> = with_conn!(conn, |c| {
        use held_removals::{is_confirmed, is_counted, item_id, since};
        held(account, entity, LISTING).select((item_id, since, is_counted, is_confirmed)).load(c).await
    })?;
    let mut before = HeldBefore::default();
    if held.is_empty() {
        return Ok(before);
    }
    let missing: HashSet<String> = membership::unseen_ids(conn, account, entity, pass).await?.into_iter().collect();
    for (_, since, is_counted, is_confirmed) in held.into_iter().filter(|(id, ..)| missing.contains(id)) {
        let is_ripe = ripe_at.is_some_and(|at| since <= at);
        match (is_confirmed, is_counted) {
            (true, _) => before.num_confirmed += 1,
            (false, true) => before.num_counted += 1,
            (false, false) => before.num_ripe += u32::from(is_ripe),
        }
    }
    Ok(before)
}

/// Releases these.
pub(super) async fn forget(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    playlist: &str,
    ids: &[&str],
) -> Result<(), StoreError> {
    for ids in ids.chunks(IDS_MAX) {
        with_conn!(conn, |c| {
            diesel::delete(held(account, entity, playlist).filter(held_removals::item_id.eq_any(ids))).execute(c).await
        })?;
    }
    Ok(())
}

/// Releases everything that is held for a listing.
pub(super) async fn release(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    playlist: &str,
) -> Result<(), StoreError> {
    with_conn!(conn, |c| diesel::delete(held(account, entity, playlist)).execute(c).await)?;
    Ok(())
}

/// Releases the items of a playlist for all accounts.
pub(super) async fn release_items(conn: &mut Conn, playlist: &str) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        use held_removals::{entity_type, playlist_id, table};
        let of_it = table.filter(entity_type.eq(EntityType::Playlists.as_str())).filter(playlist_id.eq(playlist));
        diesel::delete(of_it).execute(c).await
    })?;
    Ok(())
}

/// Releases the items of playlists that have left a library: what comes back is looked at anew.
pub(super) async fn release_departed(
    conn: &mut Conn,
    account: AccountId,
    playlists: &[String],
) -> Result<(), StoreError> {
    for playlists in playlists.chunks(IDS_MAX) {
        with_conn!(conn, |c| {
            use held_removals::{account_id, playlist_id, table};
            let theirs = table.filter(account_id.eq(account.0)).filter(playlist_id.eq_any(playlists));
            diesel::delete(theirs).execute(c).await
        })?;
    }
    Ok(())
}

/// Playlists with items that are held for an account.
pub(super) async fn playlists_with_held(conn: &mut Conn, account: AccountId) -> Result<HashSet<String>, StoreError> {
    let held: Vec<String> = with_conn!(conn, |c| {
        use held_removals::{account_id, playlist_id, table};
        let theirs = table.filter(account_id.eq(account.0)).filter(playlist_id.ne(LISTING));
        theirs.select(playlist_id).distinct().load(c).await
    })?;
    Ok(held.into_iter().collect())
}

/// How many are held of each entity type, items of playlists included, and not confirmed yet.
pub(super) async fn num_held(conn: &mut Conn, account: AccountId) -> Result<HashMap<String, u32>, StoreError> {
    let held: Vec<(String, i64)> = with_conn!(conn, |c| {
        use held_removals::{account_id, entity_type, is_confirmed, table};
        let theirs = table.filter(account_id.eq(account.0)).filter(is_confirmed.eq(false));
        theirs.group_by(entity_type).select((entity_type, count_star())).load(c).await
    })?;
    Ok(held.into_iter().map(|(entity, num)| (entity, to_u32(num))).collect())
}

/// How many removals of a listing a person has confirmed.
pub(super) async fn num_confirmed(conn: &mut Conn, account: AccountId, entity: EntityType) -> Result<u32, StoreError> {
    let confirmed: i64 = with_conn!(conn, |c| {
        held(account, entity, LISTING).filter(held_removals::is_confirmed.eq(true)).count().get_result(c).await
    })?;
    Ok(to_u32(confirmed))
}

/// Names, as far as they are known.
async fn name_all(conn: &mut Conn, held: &mut [HeldRemoval]) -> Result<(), StoreError> {
    for entity in EntityType::ALL.iter().copied() {
        let in_listing = |one: &&mut HeldRemoval| one.entity == entity && one.playlist_id.is_none();
        let ids: Vec<String> = held.iter_mut().filter(in_listing).map(|one| one.item_id.clone()).collect();
        if ids.is_empty() {
            continue;
        }
        let names = names_of(conn, entity, &ids).await?;
        for one in held.iter_mut().filter(in_listing) {
            one.name = names.get(&one.item_id).cloned();
        }
    }
    let uris: Vec<&str> = held.iter().filter(|one| one.playlist_id.is_some()).map(|one| one.item_id.as_str()).collect();
    let named: Vec<Named> = of_ids(conn, &uris, |uris| {
        format!("SELECT uri AS id, name FROM playlist_items WHERE uri IN ({uris}) AND name IS NOT NULL")
    })
    .await?;
    let names: HashMap<String, String> = named.into_iter().map(|Named { id, name }| (id, name)).collect();
    for one in held.iter_mut().filter(|one| one.playlist_id.is_some()) {
        one.name = names.get(&one.item_id).cloned();
    }
    Ok(())
}
