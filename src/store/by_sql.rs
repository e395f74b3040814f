//! Statements written out as SQL, with names in them, and queries whose answer is a number or a list of words.

use super::{Conn, StoreError, with_conn};
use crate::model::EntityType;
use diesel::dsl::sql;
use diesel::pg::Pg;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::Sqlite;
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;

/// The names of an entity type's membership table and of its item column.
pub(super) const fn table_of(entity: EntityType) -> (&'static str, &'static str) {
    match entity {
        EntityType::Tracks => ("saved_tracks", "track_id"),
        EntityType::Albums => ("saved_albums", "album_id"),
        EntityType::Artists => ("followed_artists", "artist_id"),
        EntityType::Playlists => ("library_playlists", "playlist_id"),
        EntityType::Shows => ("saved_shows", "show_id"),
        EntityType::Episodes => ("saved_episodes", "episode_id"),
        EntityType::Audiobooks => ("saved_audiobooks", "audiobook_id"),
    }
}

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

/// The result of a query, or of a statement that returns something: one word per row.
pub(super) async fn texts(conn: &mut Conn, question: &str) -> Result<Vec<String>, StoreError> {
    Ok(with_conn!(conn, |c| sql::<Text>(question).load(c).await)?)
}

/// Ids bound by one statement; SQLite takes at most 32 766 values.
pub(super) const IDS_MAX: usize = 1000;

/// The result of a statement about these ids. The closure gets the placeholders for the brackets of an `IN ()`.
pub(super) async fn of_ids<T>(
    conn: &mut Conn,
    ids: &[&str],
    statement: impl Fn(&str) -> String,
) -> Result<Vec<T>, StoreError>
where
    T: QueryableByName<Sqlite> + QueryableByName<Pg> + Send + 'static,
{
    let mut all = Vec::new();
    for ids in ids.chunks(IDS_MAX) {
        let places: Vec<String> = (1..=ids.len()).map(|number| format!("${number}")).collect();
        let statement = statement(&places.join(", "));
        let some: Vec<T> = with_conn!(&mut *conn, |c| {
            let statement = sql_query(statement).into_boxed();
            ids.iter().fold(statement, |statement, id| statement.bind::<Text, _>(*id)).load(c).await
        })?;
        all.extend(some);
    }
    Ok(all)
}
