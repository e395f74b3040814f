//! Members of a library, saved tracks, saved albums or followed artists: by date or by name, those that are in it or
//! those that are gone.
//!
//! By date they are found along the index of their table. By name there is nothing to walk along but the names of the
//! whole catalogue, so it depends on how many there are: what one request may look at whole is sorted on the spot, and
//! for more the service keeps an index of names (`names`).

use super::{LAST_NAME, LOOKED_AT_MAX, Row, Search, folded};
use crate::model::AccountId;
use crate::store::types::At;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Which members of an account's library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    pub account: AccountId,
    pub search: Option<Search>,
    /// Those that are gone, instead of those that are there.
    pub are_removed: bool,
}

/// The place of a row in an order by date. Rows without a date are the last in either direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateKey {
    pub at: Option<DateTime<Utc>>,
    pub id: String,
}

/// The place of a row in an order by name, which is in small letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameKey {
    pub name: String,
    pub id: String,
}

/// A row of any of the three tables: the id, whether it is a member at all, since when, until when, and what it is.
pub(super) type MemberRow<C> = (String, Option<i64>, Option<At>, Option<At>, C);

/// When a member came and went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dates {
    pub came_at: Option<DateTime<Utc>>,
    pub removed_at: Option<DateTime<Utc>>,
}

/// How a list in an order of names is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByName {
    /// All of it, sorted.
    Sorted,
    /// Along the index of names, with what is not in the list in between.
    AlongIndex,
}

/// Where the rows that have a date go on: at a moment, after an id.
pub(super) fn dated_mark(after: Option<&DateKey>, is_descending: bool) -> Option<(At, &str)> {
    match after {
        Some(DateKey { at: Some(at), id }) => Some((At::from(*at), id)),
        Some(DateKey { at: None, .. }) => None,
        None if is_descending => Some((At::end_of_time(), "")),
        None => Some((At::beginning_of_time(), "")),
    }
}

/// After which id the rows without a date go on.
pub(super) fn undated_mark(after: Option<&DateKey>) -> &str {
    match after {
        Some(DateKey { at: None, id }) => id,
        Some(DateKey { at: Some(_), .. }) | None => "",
    }
}

pub(super) fn name_mark(after: Option<&NameKey>, is_descending: bool) -> (&str, &str) {
    match after {
        Some(NameKey { name, id }) => (name, id),
        None if is_descending => (LAST_NAME, ""),
        None => ("", ""),
    }
}

impl Members {
    /// Makes rows out of what was read, with `build` for those that are in the list.
    pub(super) fn rows<C, T, K>(
        &self,
        read: Vec<MemberRow<C>>,
        key: impl Fn(&str, Option<At>, &C) -> K,
        mut build: impl FnMut(String, C, Dates) -> T,
    ) -> Vec<Row<T, K>> {
        let row = |(id, rev, came_at, removed_at, columns): MemberRow<C>| {
            let key = key(&id, came_at, &columns);
            let is_in_list = rev.is_some() && removed_at.is_some() == self.are_removed;
            let dates = Dates { came_at: came_at.map(DateTime::from), removed_at: removed_at.map(DateTime::from) };
            Row { key, entry: is_in_list.then(|| build(id, columns, dates)) }
        };
        read.into_iter().map(row).collect()
    }
}

pub(super) fn date_key(id: &str, at: Option<At>) -> DateKey {
    DateKey { at: at.map(DateTime::from), id: id.to_owned() }
}

pub(super) fn name_key(id: &str, name: &str) -> NameKey {
    NameKey { name: folded(name), id: id.to_owned() }
}

/// Whether there is a row beyond what one request may look at.
pub(super) const BEYOND: i64 = LOOKED_AT_MAX as i64;

/// The lists of members and their queries, the same for each table: `$members` with its `$item_id` and `$came_at`,
/// `$items` with its columns, and joins for what else an entry shows. What an entry shows of artists is added by
/// `$credit`, a page at a time.
macro_rules! member_lists {
    (
        lists: $by_date:ident, $by_name:ident => $Entry:ty, named: $named:expr, $(credit: $credit:ident,)?
        members: $members:ident, item_id: $item_id:ident, came_at: $came_at:ident, items: $items:ident,
        joined: |$from:ident| $joined:expr, columns: $columns:expr => $Columns:ty $(,)?
    ) => {
        impl Store {
            pub async fn $by_date(
                &self,
                members: &Members,
                walk: &Walk<DateKey>,
            ) -> Result<ListPage<$Entry, DateKey>, StoreError> {
                let conn = &mut self.connect().await?;
                let is_small = members.are_removed && is_small(conn, members).await?;
                gather(
                    walk,
                    |item| is_found(item, members.search.as_ref()),
                    async |after, limit| {
                        let read = by_date(conn, members, is_small, walk.is_descending, after, limit).await?;
                        let rows = members.rows(read, |id, at, _| date_key(id, at), entry);
                        $(let rows = $credit(conn, rows).await?;)?
                        Ok(rows)
                    },
                )
                .await
            }

            /// `None`: there are too many to sort them on the spot, and their index of names is yet to be built.
            pub async fn $by_name(
                &self,
                members: &Members,
                walk: &Walk<NameKey>,
            ) -> Result<Option<ListPage<$Entry, NameKey>>, StoreError> {
                let conn = &mut self.connect().await?;
                let is_small = is_small(conn, members).await?;
                let Some(how) = names::way(conn, $named, is_small).await? else { return Ok(None) };
                let page = gather(
                    walk,
                    |item| is_found(item, members.search.as_ref()),
                    async |after, limit| {
                        let read = by_name(conn, members, how, walk.is_descending, after, limit).await?;
                        let rows = members.rows(read, |id, _, (name, ..)| name_key(id, name), entry);
                        $(let rows = $credit(conn, rows).await?;)?
                        Ok(rows)
                    },
                );
                page.await.map(Some)
            }
        }

        /// Whether all that a list by name is made of can be sorted by one request.
        async fn is_small(conn: &mut Conn, members: &Members) -> Result<bool, StoreError> {
            use diesel::OptionalExtension;
            let beyond: Option<Option<At>> = with_conn!(conn, |c| {
                let theirs =
                    $members::table.filter($members::account_id.eq(members.account.0)).select($members::removed_at);
                if members.are_removed {
                    let gone = theirs.filter($members::removed_at.is_not_null());
                    gone.offset(BEYOND).limit(1).first(c).await.optional()
                } else {
                    theirs.offset(BEYOND).limit(1).first(c).await.optional()
                }
            })?;
            Ok(beyond.is_none())
        }

        async fn by_date(
            conn: &mut Conn,
            members: &Members,
            is_small: bool,
            is_descending: bool,
            after: Option<&DateKey>,
            limit: usize,
        ) -> Result<Vec<MemberRow<$Columns>>, StoreError> {
            let mut rows: Vec<MemberRow<$Columns>> = Vec::new();
            if let Some((at, id)) = dated_mark(after, is_descending) {
                rows = with_conn!(conn, |c| {
                    let $from = $members::table.inner_join($items::table.on($items::id.eq($members::$item_id)));
                    let theirs = $joined.filter($members::account_id.eq(members.account.0));
                    let select = (
                        $members::$item_id,
                        $members::rev.nullable(),
                        $members::$came_at.nullable(),
                        $members::removed_at,
                        $columns,
                    );
                    if is_small && members.are_removed {
                        // Not the column itself, or SQLite walks along its index to spare itself the sorting.
                        let came_at = || {
                            sql::<Nullable<Instant>>(concat!(
                                "coalesce(",
                                stringify!($members),
                                ".",
                                stringify!($came_at),
                                ", NULL)"
                            ))
                        };
                        let gone = theirs.filter($members::removed_at.is_not_null());
                        in_order!(gone, is_descending, came_at(), $members::$item_id, at, id, limit, |ordered| {
                            ordered.select(select).load(c).await
                        })
                    } else {
                        let dated = theirs.filter($members::$came_at.is_not_null());
                        in_order!(
                            dated,
                            is_descending,
                            $members::$came_at,
                            $members::$item_id,
                            at,
                            id,
                            limit,
                            |ordered| { ordered.select(select).load(c).await }
                        )
                    }
                })?;
            }
            if rows.len() < limit {
                let rest = i64::try_from(limit - rows.len()).unwrap_or(i64::MAX);
                let id = undated_mark(after);
                let undated: Vec<MemberRow<$Columns>> = with_conn!(conn, |c| {
                    let $from = $members::table.inner_join($items::table.on($items::id.eq($members::$item_id)));
                    $joined
                        .filter($members::account_id.eq(members.account.0))
                        .filter($members::$came_at.is_null())
                        .filter($members::$item_id.gt(id))
                        .order($members::$item_id)
                        .limit(rest)
                        .select((
                            $members::$item_id,
                            $members::rev.nullable(),
                            $members::$came_at.nullable(),
                            $members::removed_at,
                            $columns,
                        ))
                        .load(c)
                        .await
                })?;
                rows.extend(undated);
            }
            Ok(rows)
        }

        async fn by_name(
            conn: &mut Conn,
            members: &Members,
            how: ByName,
            is_descending: bool,
            after: Option<&NameKey>,
            limit: usize,
        ) -> Result<Vec<MemberRow<$Columns>>, StoreError> {
            let (name, id) = name_mark(after, is_descending);
            let in_sql = folded_sql(conn, concat!(stringify!($items), ".name"));
            // With more to it, it is no index's: what is to be sorted must not be found along the names of a whole catalogue.
            let in_sql = if how == ByName::Sorted { format!("({in_sql} || '')") } else { in_sql };
            let folded = || sql::<Text>(&in_sql);
            Ok(with_conn!(conn, |c| match how {
                ByName::Sorted => {
                    let $from = $members::table.inner_join($items::table.on($items::id.eq($members::$item_id)));
                    let theirs = $joined.filter($members::account_id.eq(members.account.0));
                    let select = (
                        $members::$item_id,
                        $members::rev.nullable(),
                        $members::$came_at.nullable(),
                        $members::removed_at,
                        $columns,
                    );
                    if members.are_removed {
                        let gone = theirs.filter($members::removed_at.is_not_null());
                        in_order!(gone, is_descending, folded(), $items::id, name, id, limit, |ordered| {
                            ordered.select(select).load(c).await
                        })
                    } else {
                        in_order!(theirs, is_descending, folded(), $items::id, name, id, limit, |ordered| {
                            ordered.select(select).load(c).await
                        })
                    }
                }
                ByName::AlongIndex => {
                    let membership = $members::$item_id.eq($items::id).and($members::account_id.eq(members.account.0));
                    let $from = $items::table.left_join($members::table.on(membership));
                    let all = $joined;
                    in_order!(all, is_descending, folded(), $items::id, name, id, limit, |ordered| {
                        ordered
                            .select((
                                $items::id,
                                $members::rev.nullable(),
                                $members::$came_at.nullable(),
                                $members::removed_at.nullable(),
                                $columns,
                            ))
                            .load(c)
                            .await
                    })
                }
            })?)
        }
    };
}
pub(super) use member_lists;
