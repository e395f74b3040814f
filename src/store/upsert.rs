//! Batch upserts: one statement that inserts many rows and changes those that exist and differ.
//!
//! A table is described once, column by column, with what happens when source and database disagree. The same SQL for
//! both databases follows from that. Two things matter to callers:
//!
//! - A row that would not change is not written, and `RETURNING` omits it. A written row shows whether it was new: its
//!   `rev` is 1.
//! - Statements are cached by their text, for ever. Batches are cut into powers of two, so that a table costs eight
//!   prepared statements and not one for every number of rows.
//!
//! diesel has no such node: its own batch insert does not reach SQLite through diesel-async (diesel_async#277).
//!
//! On SQLite a statement of many rows that may be aborted half-way copies every page before it changes it, to be able
//! to undo itself; that took a tenth of a first sync. `OR FAIL` promises not to, since an error ends our transaction
//! anyway. It does not apply to the `UPDATE` of a conflict. So there the rows are inserted as if all were new, and from
//! the first existing one on they are upserted. The shortest statement comes first, so that it finds out at little
//! cost.

mod merge;

pub(super) use merge::{Merge, Value, fuller, reduced};

use super::careful::{self, Careful};
use super::offthread::SqliteConn;
use super::{Conn, with_conn};
use diesel::dsl::sql;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error, QueryResult};
use diesel::sql_types::BigInt;
use diesel::sqlite::Sqlite;
use diesel_async::RunQueryDsl;
use merge::merged;
use std::fmt::Write;
use std::sync::OnceLock;

/// Rows of the longest statement. At 14 columns that is far below what a statement may bind (32 766 in SQLite).
const CHUNK_MAX: usize = 128;

/// A table as an upsert sees it. With `rev` among `returning`, the row's revision is counted.
#[derive(Debug)]
pub(super) struct Target {
    table: &'static str,
    columns: &'static [(&'static str, Merge)],
    returning: &'static [&'static str],
    /// The statement before and after its rows, once it has been put together.
    text: OnceLock<(String, String)>,
}

impl Target {
    pub const fn new(
        table: &'static str,
        columns: &'static [(&'static str, Merge)],
        returning: &'static [&'static str],
    ) -> Target {
        Target { table, columns, returning, text: OnceLock::new() }
    }

    fn text(&self) -> &(String, String) {
        self.text.get_or_init(|| (head(self), tail(self)))
    }
}

/// A row that can be upserted. As a query fragment it is its tuple of bound values.
pub(super) trait Row: Careful + QueryFragment<Pg> + QueryFragment<Sqlite> + Sync {
    fn target() -> &'static Target;

    /// SQL type of the columns returned for a written row.
    type Returning;

    /// Takes over what `other`, another mention of the same item, knows better.
    fn absorb(&mut self, other: Self);
}

/// Statement that upserts `rows`, all of them with different keys: PostgreSQL refuses to change one row twice.
#[derive(Debug)]
pub(super) struct Upsert<'a, R> {
    rows: &'a [R],
    /// Whether it handles rows that already exist. Otherwise those are an error.
    merges: bool,
}

impl<'a, R> Upsert<'a, R> {
    pub fn of(rows: &'a [R]) -> Upsert<'a, R> {
        Upsert { rows, merges: true }
    }

    fn of_new(rows: &'a [R]) -> Upsert<'a, R> {
        Upsert { rows, merges: false }
    }
}

impl<R> QueryId for Upsert<'_, R> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<R: Row> Query for Upsert<'_, R> {
    type SqlType = R::Returning;
}

impl<C, R> diesel::RunQueryDsl<C> for Upsert<'_, R> {}

macro_rules! fragment {
    ($db:ty, $insert:literal) => {
        impl<R: Row> QueryFragment<$db> for Upsert<'_, R> {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, $db>) -> QueryResult<()> {
                let (head, tail) = R::target().text();
                out.push_sql($insert);
                out.push_sql(head);
                for (at, row) in self.rows.iter().enumerate() {
                    out.push_sql(if at == 0 { "(" } else { ", (" });
                    row.walk_ast(out.reborrow())?;
                    out.push_sql(")");
                }
                if self.merges {
                    out.push_sql(tail);
                }
                Ok(())
            }
        }
    };
}
fragment!(Pg, "INSERT");
fragment!(Sqlite, "INSERT OR FAIL");

/// `rows` in chunks whose lengths are powers of two, the shortest first.
pub(super) fn chunks<R>(mut rows: &[R]) -> impl Iterator<Item = &[R]> {
    std::iter::from_fn(move || {
        if rows.is_empty() {
            return None;
        }
        let len = 1 << rows.len().trailing_zeros().min(CHUNK_MAX.ilog2());
        let (chunk, rest) = rows.split_at(len);
        rows = rest;
        Some(chunk)
    })
}

/// Inserts `rows` up to the first that already exists, and returns how many were inserted.
pub(super) async fn insert_new<R: Row>(c: &mut SqliteConn, rows: &[R]) -> QueryResult<usize> {
    let mut num_new = 0;
    for chunk in chunks(rows) {
        match Upsert::of_new(chunk).execute(c).await {
            Ok(_) => num_new += chunk.len(),
            Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {
                // Of this statement, too, the rows before the one that stopped it were inserted.
                let kept: i64 = diesel::select(sql::<BigInt>("changes()")).get_result(c).await?;
                return Ok(num_new + usize::try_from(kept).unwrap_or_default());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(num_new)
}

/// Upserts `rows` without asking which of them were written.
pub(super) async fn upsert<R: Row>(conn: &mut Conn, rows: &[R]) -> QueryResult<()> {
    if conn.is_careful() {
        let write =
            async |conn: &mut Conn, some: &[R]| with_conn!(conn, |c| Upsert::of(some).execute(c).await).map(drop);
        return careful::write(conn, chunks(rows), write).await;
    }
    for chunk in chunks(rows) {
        with_conn!(conn, |c| Upsert::of(chunk).execute(c).await)?;
    }
    Ok(())
}

fn head(target: &Target) -> String {
    let columns: Vec<&str> = target.columns.iter().map(|(column, _)| *column).collect();
    format!(" INTO {} AS t ({}) VALUES ", target.table, columns.join(", "))
}

fn tail(target: &Target) -> String {
    let mut sql = conflict(target);
    if !target.returning.is_empty() {
        sql.push_str(" RETURNING ");
        sql.push_str(&target.returning.join(", "));
    }
    sql
}

/// How to handle a row that already exists. A table without a key accepts everything.
pub(super) fn conflict(target: &Target) -> String {
    let of = |is_wanted: fn(Merge) -> bool| -> Vec<(&str, Merge)> {
        target.columns.iter().filter(|(_, merge)| is_wanted(*merge)).copied().collect()
    };
    let list = |columns: &[(&str, Merge)], term: &dyn Fn(&str, Merge) -> String| -> String {
        columns.iter().map(|(column, merge)| term(column, *merge)).collect::<Vec<_>>().join(", ")
    };
    let keys = of(|merge| merge == Merge::Key);
    if keys.is_empty() {
        return String::new();
    }
    let compared = of(Merge::is_compared);
    let mut sql = format!(" ON CONFLICT ({}) DO ", list(&keys, &|column, _| column.to_owned()));
    if compared.is_empty() {
        sql.push_str("NOTHING");
    } else {
        let mut set = compared.clone();
        set.extend(of(|merge| merge == Merge::Stamp));
        let set = list(&set, &|column, merge| format!("{column} = {}", merged(column, merge)));
        let counted = if target.returning.contains(&"rev") { ", rev = t.rev + 1" } else { "" };
        let then = list(&compared, &merged);
        let now = list(&compared, &|column, _| format!("t.{column}"));
        write!(sql, "UPDATE SET {set}{counted} WHERE ({then}) IS DISTINCT FROM ({now})")
            .expect("a String takes everything");
    }
    sql
}

/// Defines the rows of tables: their columns, the Rust types of these and what each does when the row is already there.
macro_rules! upsert_rows {
    ($(
        $(#[$meta:meta])*
        $name:ident<$lt:lifetime> in $table:ident $(returning $returned:tt)? { $($columns:tt)* }
    )+) => { $(
        $crate::store::upsert::upsert_row! {
            $(#[$meta])*
            $name<$lt> in $table $(returning $returned)? { $($columns)* }
        }
    )+ };
}
pub(super) use upsert_rows;

macro_rules! upsert_row {
    (
        $(#[$meta:meta])*
        $name:ident<$lt:lifetime> in $table:ident $(returning ($($ret:ident: $ret_ty:ty),+))? {
            $($column:ident: $ty:ty => $merge:ident),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub(super) struct $name<$lt> { $(pub $column: $ty),+ }

        impl<$lt> $crate::store::upsert::Row for $name<$lt> {
            fn target() -> &'static $crate::store::upsert::Target {
                static TARGET: $crate::store::upsert::Target = $crate::store::upsert::Target::new(
                    stringify!($table),
                    &[$((stringify!($column), $crate::store::upsert::Merge::$merge)),+],
                    &[$($(stringify!($ret)),+)?],
                );
                &TARGET
            }

            type Returning = ($($(<$crate::store::schema::$table::$ret as ::diesel::Expression>::SqlType,)+)?);

            fn absorb(&mut self, other: Self) {
                use $crate::store::upsert::{Merge, fuller};
                $(self.$column = fuller(self.$column.clone(), other.$column, Merge::$merge);)+
            }
        }

        impl<$lt> $crate::store::careful::Careful for $name<$lt> {
            const TABLE: &'static str = stringify!($table);

            fn subject(&self) -> $crate::store::careful::Subject {
                let mut subject = $crate::store::careful::Subject::default();
                $(if $crate::store::upsert::Merge::$merge == $crate::store::upsert::Merge::Key {
                    $crate::store::upsert::Value::tell(&self.$column, stringify!($column), &mut subject);
                })+
                subject
            }

            fn reduced(&self, by: $crate::store::careful::Reduction) -> Self {
                use $crate::store::upsert::{Merge, reduced};
                $name { $($column: reduced(&self.$column, stringify!($column), Merge::$merge, by)),+ }
            }
        }

        $crate::store::upsert::upsert_row!(@fragment ::diesel::pg::Pg, $name, $table, $($column),+);
        $crate::store::upsert::upsert_row!(@fragment ::diesel::sqlite::Sqlite, $name, $table, $($column),+);

        $(impl<$lt> $name<$lt> {
            /// Upserts `rows`, which have different keys, and returns which of them were written.
            pub(super) async fn upsert(
                conn: &mut $crate::store::Conn,
                rows: &[Self],
            ) -> ::diesel::QueryResult<Vec<($($ret_ty,)+)>> {
                if conn.is_careful() {
                    let mut written: Vec<($($ret_ty,)+)> = Vec::new();
                    let write = async |conn: &mut $crate::store::Conn, some: &[Self]| {
                        let upsert = $crate::store::upsert::Upsert::of(some);
                        written.extend($crate::store::with_conn!(conn, |c| {
                            ::diesel_async::RunQueryDsl::load::<($($ret_ty,)+)>(upsert, c).await
                        })?);
                        Ok(())
                    };
                    $crate::store::careful::write(conn, $crate::store::upsert::chunks(rows), write).await?;
                    return Ok(written);
                }
                let num_new = match conn {
                    $crate::store::Conn::Sqlite(c) => $crate::store::upsert::insert_new(c, rows).await?,
                    $crate::store::Conn::Pg(_) => 0,
                };
                let (new, rest) = rows.split_at(num_new);
                let new = new.iter().map(|row| ($($crate::store::upsert::upsert_row!(@new row, $ret),)+));
                let mut written: Vec<($($ret_ty,)+)> = new.collect();
                for chunk in $crate::store::upsert::chunks(rest) {
                    let upsert = $crate::store::upsert::Upsert::of(chunk);
                    written.extend($crate::store::with_conn!(conn, |c| {
                        ::diesel_async::RunQueryDsl::load::<($($ret_ty,)+)>(upsert, c).await
                    })?);
                }
                Ok(written)
            }
        })?
    };
    (@new $row:ident, rev) => { 1 };
    (@new $row:ident, $column:ident) => { $row.$column.into() };
    (@fragment $db:ty, $name:ident, $table:ident, $($column:ident),+) => {
        impl ::diesel::query_builder::QueryFragment<$db> for $name<'_> {
            fn walk_ast<'b>(
                &'b self,
                mut out: ::diesel::query_builder::AstPass<'_, 'b, $db>,
            ) -> ::diesel::QueryResult<()> {
                let mut separator = "";
                $(
                    out.push_sql(separator);
                    out.push_bind_param::<
                        <$crate::store::schema::$table::$column as ::diesel::Expression>::SqlType, _
                    >(&self.$column)?;
                    separator = ", ";
                )+
                let _ = separator;
                Ok(())
            }
        }
    };
}
pub(super) use upsert_row;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_cut_into_powers_of_two() {
        let rows = [0u8; 203];
        let lens: Vec<usize> = chunks(&rows).map(<[u8]>::len).collect();
        assert_eq!(lens, [1, 2, 8, 64, 128]);
        assert_eq!(chunks(&[0u8; 384]).map(<[u8]>::len).collect::<Vec<_>>(), [128, 128, 128]);
        assert_eq!(chunks::<u8>(&[]).count(), 0);
    }

    #[test]
    fn the_statement_writes_only_what_differs() {
        let columns =
            &[("id", Merge::Key), ("genres", Merge::List), ("isrc", Merge::Known), ("fetched_at", Merge::Stamp)];
        let target = Target::new("tracks", columns, &["id", "rev"]);
        let sql = head(&target) + "(…)" + &tail(&target);
        assert_eq!(
            sql,
            " INTO tracks AS t (id, genres, isrc, fetched_at) VALUES (…) ON CONFLICT (id) DO UPDATE SET \
             genres = CASE WHEN COALESCE(excluded.genres, '[]') = '[]' THEN COALESCE(t.genres, excluded.genres) \
             ELSE excluded.genres END, \
             isrc = COALESCE(excluded.isrc, t.isrc), fetched_at = excluded.fetched_at, rev = t.rev + 1 \
             WHERE (CASE WHEN COALESCE(excluded.genres, '[]') = '[]' THEN COALESCE(t.genres, excluded.genres) \
             ELSE excluded.genres END, COALESCE(excluded.isrc, t.isrc)) \
             IS DISTINCT FROM (t.genres, t.isrc) RETURNING id, rev"
        );
    }

    #[test]
    fn what_is_kept_of_an_item_depends_on_its_uri() {
        let columns = &[("position", Merge::Key), ("uri", Merge::Follow), ("added_by", Merge::OfItem)];
        let target = Target::new("playlist_items", columns, &["rev"]);
        let kept =
            "CASE WHEN excluded.uri = t.uri THEN COALESCE(excluded.added_by, t.added_by) ELSE excluded.added_by END";
        assert_eq!(
            conflict(&target),
            format!(
                " ON CONFLICT (position) DO UPDATE SET uri = excluded.uri, added_by = {kept}, rev = t.rev + 1 \
                 WHERE (excluded.uri, {kept}) IS DISTINCT FROM (t.uri, t.added_by)"
            )
        );
    }
}
