//! Ranges of a listing that the API could not serve (`sync_gaps`): open until a later read has been through them.

use super::schema::{library_playlists, sync_gaps};
use super::types::{At, clean, to_u32};
use super::{Conn, Store, StoreError, with_conn};
use crate::model::{AccountId, Checkpoint, EntityType, Gap, HealedGap, NewGap};
use chrono::{DateTime, Utc};
use diesel::dsl::{auto_type, exists};
use diesel::expression::AsExpression;
use diesel::sql_types::{Nullable, Text};
use diesel::{BoolExpressionMethods, ExpressionMethods, NullableExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;

/// All open gaps of an account.
#[auto_type]
pub(super) fn open_of(account: AccountId) -> _ {
    let whose: i64 = account.0;
    sync_gaps::table.filter(sync_gaps::account_id.eq(whose)).filter(sync_gaps::healed_at.is_null())
}

/// The open gaps of a playlist's items, whichever account met them.
#[auto_type]
pub(super) fn open_in<'a>(playlist: &'a str) -> _ {
    sync_gaps::table.filter(sync_gaps::healed_at.is_null()).filter(sync_gaps::playlist_id.eq(playlist))
}

/// The open gaps of a listing and, for playlists, of the items of those that are in the library.
macro_rules! open_gaps {
    ($account:expr) => {{
        let listed = library_playlists::table
            .filter(library_playlists::account_id.eq(sync_gaps::account_id))
            .filter(sync_gaps::playlist_id.eq(library_playlists::playlist_id.nullable()))
            .filter(library_playlists::removed_at.is_null());
        open_of($account).filter(sync_gaps::playlist_id.is_null().or(exists(listed)))
    }};
}

diesel::infix_operator!(Same, " IS NOT DISTINCT FROM ");

type OfPlaylist<'a> = <&'a Option<String> as AsExpression<Nullable<Text>>>::Expression;

/// Whether a gap lies in the entity type's own listing, or in that of a playlist's items.
fn in_listing(playlist_id: &Option<String>) -> Same<sync_gaps::playlist_id, OfPlaylist<'_>> {
    Same::new(sync_gaps::playlist_id, AsExpression::<Nullable<Text>>::as_expression(playlist_id))
}

impl Store {
    /// The open gaps of an entity type, oldest first. Items of playlists that have left the library are not waited for.
    pub async fn open_gaps(&self, account: AccountId, entity: EntityType) -> Result<Vec<Gap>, StoreError> {
        type Row = (Option<String>, i64, i64, i64, Option<i64>, String, At);
        let mut conn = self.connect().await?;
        let rows: Vec<Row> = with_conn!(&mut conn, |c| {
            use sync_gaps::*;
            open_gaps!(account)
                .filter(entity_type.eq(entity.as_str()))
                .order(id)
                .select((playlist_id, offset_from, offset_to, pass, total, reason, since))
                .load(c)
                .await
        })?;
        let gap = |(playlist_id, from, to, pass, total, reason, since): Row| Gap {
            playlist_id,
            offset_from: to_u32(from),
            offset_to: to_u32(to),
            pass,
            total: total.map(to_u32),
            reason,
            since: DateTime::<Utc>::from(since),
        };
        Ok(rows.into_iter().map(gap).collect())
    }
}

/// Entity types of the open gaps of an account, one per gap.
pub(super) async fn entities_of_open(conn: &mut Conn, account: AccountId) -> Result<Vec<String>, StoreError> {
    Ok(with_conn!(conn, |c| open_gaps!(account).select(sync_gaps::entity_type).load(c).await)?)
}

/// Records a gap. An open one with the same range is the same gap, met again by a later pass.
pub(super) async fn open(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    gap: &NewGap,
    checkpoint: &Checkpoint,
    now: At,
) -> Result<(), StoreError> {
    use sync_gaps::{offset_from, offset_to, pass, playlist_id, reason, since, total};
    let range = (i64::from(gap.offset_from), i64::from(gap.offset_to));
    let why = clean(&gap.reason);
    let latest = (pass.eq(checkpoint.walk.place.pass), total.eq(checkpoint.total.map(i64::from)), reason.eq(&why));
    let met_again = with_conn!(conn, |c| {
        let open = open_of(account).filter(sync_gaps::entity_type.eq(entity.as_str()));
        let same =
            open.filter(in_listing(&gap.playlist_id)).filter(offset_from.eq(range.0)).filter(offset_to.eq(range.1));
        diesel::update(same).set(latest).execute(c).await
    })?;
    if met_again == 0 {
        with_conn!(conn, |c| {
            let row = (
                sync_gaps::account_id.eq(account.0),
                sync_gaps::entity_type.eq(entity.as_str()),
                playlist_id.eq(&gap.playlist_id),
                offset_from.eq(range.0),
                offset_to.eq(range.1),
                since.eq(now),
                latest,
            );
            diesel::insert_into(sync_gaps::table).values(row).execute(c).await
        })?;
    }
    Ok(())
}

/// Closes every open gap that lies within a range now known to be read.
pub(super) async fn heal(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    gap: &HealedGap,
    now: At,
) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        use sync_gaps::{entity_type, healed_at, offset_from, offset_to};
        // The items of a playlist are those of all accounts.
        let shared = sync_gaps::account_id.eq(account.0).or(sync_gaps::playlist_id.is_not_null());
        let open = sync_gaps::table.filter(healed_at.is_null()).filter(shared);
        let open = open.filter(entity_type.eq(entity.as_str())).filter(in_listing(&gap.playlist_id));
        let within = open.filter(offset_from.ge(i64::from(gap.offset_from)));
        let within = within.filter(offset_to.le(i64::from(gap.offset_to)));
        diesel::update(within).set(healed_at.eq(now)).execute(c).await
    })?;
    Ok(())
}

/// Closes the listing's gaps of earlier passes: `pass` has read past them all.
pub(super) async fn heal_before(
    conn: &mut Conn,
    account: AccountId,
    entity: EntityType,
    pass: i64,
    now: At,
) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        use sync_gaps::{entity_type, healed_at, playlist_id};
        let open = open_of(account).filter(entity_type.eq(entity.as_str())).filter(playlist_id.is_null());
        diesel::update(open.filter(sync_gaps::pass.lt(pass))).set(healed_at.eq(now)).execute(c).await
    })?;
    Ok(())
}

/// Closes the gaps that lie beyond the end of a playlist.
pub(super) async fn heal_beyond(conn: &mut Conn, playlist_id: &str, total: u32, now: At) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        let open = open_in(playlist_id);
        let beyond = open.filter(sync_gaps::offset_from.ge(i64::from(total)));
        diesel::update(beyond).set(sync_gaps::healed_at.eq(now)).execute(c).await
    })?;
    Ok(())
}

/// Forgets the open gaps of an entity type whose listing starts over.
pub(super) async fn forget_open(conn: &mut Conn, account: AccountId, entity: EntityType) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        let open = open_of(account).filter(sync_gaps::entity_type.eq(entity.as_str()));
        diesel::delete(open).execute(c).await
    })?;
    Ok(())
}
