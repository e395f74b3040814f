//! Members of a library, saved tracks, followed artists and the like: by date or by name, present or removed. The rows
//! are found first, in the same way for each membership table, and then their catalogue entries are looked up.
//!
//! By date they are found along the index of their table. By name the only index would be that of the whole catalogue,
//! so it depends on how many there are: as many as one request may read in full are sorted on the spot, and for more
//! the service keeps an index of names (`names`).

use super::names::{self, ByName, is_small};
use super::{Entry, LAST_NAME, ListPage, Row, Search, Walk, folded, folded_sql, gather, is_found};
use crate::model::{AccountId, Dated, EntityType};
use crate::store::by_sql::table_of;
use crate::store::types::{At, Instant};
use crate::store::{Conn, Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::sql_types::{Bool, Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Which members of an account's library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    pub account: AccountId,
    pub search: Option<Search>,
    /// Those that are removed, instead of those that are present.
    pub are_removed: bool,
}

/// The place of a row in an order by date. Rows without a date are the last in either direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateKey {
    pub at: Option<DateTime<Utc>>,
    pub id: String,
}

/// The place of a row in an order by name, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameKey {
    pub name: String,
    pub id: String,
}

/// What lists show of a member.
pub trait Member: Entry + Sized {
    const ENTITY: EntityType;

    fn id(&self) -> &str;

    fn set_dates(&mut self, came_at: Option<DateTime<Utc>>, removed_at: Option<DateTime<Utc>>);

    /// Their catalogue entries, as yet without dates.
    #[expect(private_interfaces, reason = "only the store loads them")]
    fn load(conn: &mut Conn, ids: Vec<&str>) -> impl Future<Output = Result<Vec<Self>, StoreError>>;
}

impl Store {
    pub async fn members_by_date<T: Member>(
        &self,
        members: &Members,
        walk: &Walk<DateKey>,
    ) -> Result<ListPage<T, DateKey>, StoreError> {
        let conn = &mut self.connect().await?;
        let is_small = members.are_removed && is_small(conn, T::ENTITY, members.account, members.are_removed).await?;
        gather(
            walk,
            |item| is_found(item, members.search.as_ref()),
            async |after, limit| {
                let read = by_date(conn, T::ENTITY, members, is_small, walk.is_descending, after, limit).await?;
                rows(conn, read, |row| DateKey { at: row.came_at, id: row.id.clone() }).await
            },
        )
        .await
    }

    /// `None` if there are too many to sort on the spot, and their index of names has yet to be built.
    pub async fn members_by_name<T: Member>(
        &self,
        members: &Members,
        walk: &Walk<NameKey>,
    ) -> Result<Option<ListPage<T, NameKey>>, StoreError> {
        let conn = &mut self.connect().await?;
        let is_small = is_small(conn, T::ENTITY, members.account, members.are_removed).await?;
        let Some(how) = names::way(conn, T::ENTITY, is_small).await? else { return Ok(None) };
        let page = gather(
            walk,
            |item| is_found(item, members.search.as_ref()),
            async |after, limit| {
                let read = by_name(conn, T::ENTITY, members, how, walk.is_descending, after, limit).await?;
                rows(conn, read, |row| name_key(&row.id, &row.name)).await
            },
        );
        page.await.map(Some)
    }
}

/// A row on the way through a list.
#[derive(Debug, QueryableByName)]
struct MemberRow {
    #[diesel(sql_type = Text)]
    id: String,
    /// Empty in an order by date.
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Instant>)]
    came_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Instant>)]
    removed_at: Option<DateTime<Utc>>,
    /// Whether the row is in the list; otherwise it is skipped.
    #[diesel(sql_type = Bool)]
    is_listed: bool,
}

/// The rows, with an entry for each that is in the list.
async fn rows<T: Member, K>(
    conn: &mut Conn,
    read: Vec<MemberRow>,
    key: impl Fn(&MemberRow) -> K,
) -> Result<Vec<Row<T, K>>, StoreError> {
    let listed: Vec<&str> = read.iter().filter(|row| row.is_listed).map(|row| row.id.as_str()).collect();
    let known = if listed.is_empty() { Vec::new() } else { T::load(conn, listed).await? };
    let mut known: HashMap<String, T> = known.into_iter().map(|entry| (entry.id().to_owned(), entry)).collect();
    let row = |row: MemberRow| {
        let mut entry = known.remove(&row.id);
        if let Some(entry) = &mut entry {
            entry.set_dates(row.came_at, row.removed_at);
        }
        Row { key: key(&row), entry }
    };
    Ok(read.into_iter().map(row).collect())
}

async fn by_date(
    conn: &mut Conn,
    entity: EntityType,
    members: &Members,
    is_small: bool,
    is_descending: bool,
    after: Option<&DateKey>,
    limit: usize,
) -> Result<Vec<MemberRow>, StoreError> {
    let (table, item_id) = table_of(entity);
    let (account, came_at) = (members.account.0, came_at(entity));
    let select = format!(
        "SELECT m.{item_id} AS id, '' AS name, {} FROM {table} m WHERE m.account_id = {account}",
        columns(came_at, members)
    );
    let mut rows: Vec<MemberRow> = Vec::new();
    if let Some((at, id)) = dated_mark(after, is_descending) {
        let at = at.literal();
        let (beyond, order) = direction(is_descending);
        let (by, gone) = if is_small && members.are_removed {
            // Not the column itself, or SQLite walks along its index to avoid sorting.
            (format!("coalesce({came_at}, NULL)"), "AND m.removed_at IS NOT NULL")
        } else {
            (came_at.to_owned(), "")
        };
        let dated = format!(
            "{select} {gone} AND {by} {beyond}= {at} AND ({by} {beyond} {at} OR m.{item_id} {beyond} $1) \
             ORDER BY {by} {order}, m.{item_id} {order} LIMIT {limit}"
        );
        rows = with_conn!(&mut *conn, |c| sql_query(dated).bind::<Text, _>(id).load(c).await)?;
    }
    if rows.len() < limit {
        let rest = limit - rows.len();
        let undated = format!("{select} AND {came_at} IS NULL AND m.{item_id} > $1 ORDER BY m.{item_id} LIMIT {rest}");
        let id = undated_mark(after);
        let undated: Vec<MemberRow> = with_conn!(conn, |c| sql_query(undated).bind::<Text, _>(id).load(c).await)?;
        rows.extend(undated);
    }
    Ok(rows)
}

async fn by_name(
    conn: &mut Conn,
    entity: EntityType,
    members: &Members,
    how: ByName,
    is_descending: bool,
    after: Option<&NameKey>,
    limit: usize,
) -> Result<Vec<MemberRow>, StoreError> {
    let (table, item_id) = table_of(entity);
    let (account, columns) = (members.account.0, columns(came_at(entity), members));
    let folded = folded_sql(conn, "i.name");
    let (from, by) = match how {
        ByName::Sorted => {
            let gone = if members.are_removed { "AND m.removed_at IS NOT NULL" } else { "" };
            let from =
                format!("{table} m JOIN {entity} i ON i.id = m.{item_id} WHERE m.account_id = {account} {gone} AND");
            // Concatenated, so that no index matches: rows to be sorted must not be found along the names of a whole
            // catalogue.
            (from, format!("({folded} || '')"))
        }
        ByName::AlongIndex => {
            let membership = format!("m.{item_id} = i.id AND m.account_id = {account}");
            (format!("{entity} i LEFT JOIN {table} m ON {membership} WHERE"), folded)
        }
    };
    let (beyond, order) = direction(is_descending);
    let sql = format!(
        "SELECT i.id AS id, i.name AS name, {columns} FROM {from} {by} {beyond}= $1 \
         AND ({by} {beyond} $1 OR i.id {beyond} $2) ORDER BY {by} {order}, i.id {order} LIMIT {limit}"
    );
    let (name, id) = name_mark(after, is_descending);
    Ok(with_conn!(conn, |c| sql_query(sql).bind::<Text, _>(name).bind::<Text, _>(id).load(c).await)?)
}

/// The columns of [`MemberRow`] from a membership `m`, which may be missing.
fn columns(came_at: &str, members: &Members) -> String {
    let is_gone = if members.are_removed { "IS NOT NULL" } else { "IS NULL" };
    format!(
        "{came_at} AS came_at, m.removed_at AS removed_at, \
         (m.account_id IS NOT NULL AND m.removed_at {is_gone}) AS is_listed"
    )
}

fn came_at(entity: EntityType) -> &'static str {
    match entity.facts().dated {
        Dated::Always | Dated::Maybe => "m.added_at",
        Dated::Never => "m.first_seen_at",
    }
}

/// The comparison that selects rows after a mark, and the direction of the order.
fn direction(is_descending: bool) -> (&'static str, &'static str) {
    if is_descending { ("<", "DESC") } else { (">", "ASC") }
}

/// Where the rows that have a date continue: at a moment, after an id.
fn dated_mark(after: Option<&DateKey>, is_descending: bool) -> Option<(At, &str)> {
    match after {
        Some(DateKey { at: Some(at), id }) => Some((At::from(*at), id)),
        Some(DateKey { at: None, .. }) => None,
        None if is_descending => Some((At::end_of_time(), "")),
        None => Some((At::beginning_of_time(), "")),
    }
}

/// After which id the rows without a date continue.
fn undated_mark(after: Option<&DateKey>) -> &str {
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

pub(super) fn name_key(id: &str, name: &str) -> NameKey {
    NameKey { name: folded(name), id: id.to_owned() }
}
