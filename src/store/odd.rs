//! Rows of the source without usable content (`sync_odd_items`): recorded by place, so that a person can look at them.

use super::rows::OddRow;
use super::schema::sync_odd_items;
use super::types::{At, Words};
use super::upsert::upsert;
use super::{Conn, StoreError, with_conn};
use crate::model::{AccountId, EntityType, Oddity};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::auto_type;
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use std::ops::Range;

/// The listing that a place belongs to: the entity type's own, or the items of a playlist.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listing<'a> {
    pub account: AccountId,
    pub entity: EntityType,
    /// Empty for the entity type's own listing.
    pub playlist_id: &'a str,
}

/// What is odd in a listing.
#[auto_type]
fn odd_in<'a>(listing: Listing<'a>) -> _ {
    let whose: i64 = listing.account.0;
    let of: &'static str = listing.entity.as_str();
    let playlist: &'a str = listing.playlist_id;
    sync_odd_items::table
        .filter(sync_odd_items::account_id.eq(whose))
        .filter(sync_odd_items::entity_type.eq(of))
        .filter(sync_odd_items::playlist_id.eq(playlist))
}

/// When a row was last seen is accurate to the day: storing it with each reading would not be worth the writes.
const SEEN_AGAIN_AFTER: TimeDelta = TimeDelta::days(1);

/// Records what is odd in a range that was read, and forgets what was odd there before.
pub(super) async fn replace(
    conn: &mut Conn,
    listing: Listing<'_>,
    range: Range<u32>,
    odd: &[(u32, &Oddity)],
    now: At,
) -> Result<(), StoreError> {
    if range.is_empty() {
        return Ok(());
    }
    with_conn!(conn, |c| {
        use sync_odd_items::position;
        let from = odd_in(listing).filter(position.ge(i64::from(range.start)));
        let in_range = from.filter(position.lt(i64::from(range.end)));
        // A list of any length is prepared anew each time.
        if odd.is_empty() {
            diesel::delete(in_range).execute(c).await
        } else {
            let still_odd = odd.iter().map(|(place, _)| i64::from(*place));
            diesel::delete(in_range.filter(position.ne_all(still_odd))).execute(c).await
        }
    })?;
    let row = |(position, oddity)| OddRow {
        playlist_id: Words(listing.playlist_id),
        ..OddRow::new(listing.account, listing.entity.as_str(), position, oddity, now)
    };
    let rows: Vec<OddRow<'_>> = odd.iter().map(|(position, oddity)| row((i64::from(*position), *oddity))).collect();
    upsert(conn, &rows).await?;
    if !odd.is_empty() {
        with_conn!(conn, |c| {
            use sync_odd_items::{position, seen_at};
            let still_odd = odd.iter().map(|(place, _)| i64::from(*place));
            let here = odd_in(listing).filter(position.eq_any(still_odd));
            let earlier = At::from(DateTime::<Utc>::from(now) - SEEN_AGAIN_AFTER);
            diesel::update(here.filter(seen_at.lt(earlier))).set(seen_at.eq(now)).execute(c).await
        })?;
    }
    Ok(())
}

/// Forgets what was odd at or beyond the end of a listing.
pub(super) async fn forget_from(conn: &mut Conn, listing: Listing<'_>, end: u32) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        let beyond = odd_in(listing).filter(sync_odd_items::position.ge(i64::from(end)));
        diesel::delete(beyond).execute(c).await
    })?;
    Ok(())
}
