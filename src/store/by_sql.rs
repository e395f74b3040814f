//! Statements that are written out, and questions whose answer is a number or a list of words.

use super::{Conn, StoreError, with_conn};
use diesel::dsl::sql;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::RunQueryDsl;

/// Returns how many rows it changed.
pub(super) async fn execute(conn: &mut Conn, statement: String) -> Result<u64, StoreError> {
    Ok(with_conn!(conn, |c| sql_query(statement).execute(c).await)? as u64)
}

/// How many rows there are: `count(conn, "plays WHERE account_id = 1")`.
pub(super) async fn count(conn: &mut Conn, from: &str) -> Result<u64, StoreError> {
    let count: i64 = with_conn!(conn, |c| sql::<BigInt>(&format!("SELECT count(*) FROM {from}")).get_result(c).await)?;
    Ok(count.unsigned_abs())
}

/// The least and the greatest value of a column, where there are any.
pub(super) async fn bounds(conn: &mut Conn, column: &str, from: &str) -> Result<Option<(i64, i64)>, StoreError> {
    let question = format!("SELECT min({column}), max({column}) FROM {from}");
    let (least, greatest): (Option<i64>, Option<i64>) =
        with_conn!(conn, |c| sql::<(Nullable<BigInt>, Nullable<BigInt>)>(&question).get_result(c).await)?;
    Ok(least.zip(greatest))
}

/// What a question, or a statement that returns something, gives: one word a row.
pub(super) async fn texts(conn: &mut Conn, question: &str) -> Result<Vec<String>, StoreError> {
    Ok(with_conn!(conn, |c| sql::<Text>(question).load(c).await)?)
}
