//! The rows that changes are made of, a page at a time: each kind of event read from its table, by its moment.

use super::by_sql::table_of;
use super::schema::{artists, library_playlists, playlist_changes, playlist_versions, playlists, track_artists};
use super::sources::Moment;
use super::types::{At, Instant};
use super::{Conn, StoreError, with_conn};
use crate::model::{AccountId, Dated, EntityType};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, Queryable,
    QueryableByName, sql_query,
};
use diesel_async::RunQueryDsl;

/// The last row that was read: the next ones are older, or as old and ordered after it by the keys that distinguish
/// them.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub at: At,
    pub id: String,
    pub version: i64,
    pub number: i64,
}

/// The first of a list of names.
pub(super) fn first_of(names: &str) -> Option<String> {
    serde_json::from_str::<Vec<String>>(names).ok()?.into_iter().next()
}

/// A row of any of the membership tables, with what it is about.
#[derive(Debug, QueryableByName)]
pub(super) struct MemberRow {
    #[diesel(sql_type = Text)]
    pub id: String,
    #[diesel(sql_type = BigInt)]
    pub rev: i64,
    /// Or when it was first seen.
    #[diesel(sql_type = Nullable<Instant>)]
    pub added_at: Option<At>,
    #[diesel(sql_type = Nullable<Instant>)]
    pub returned_at: Option<At>,
    #[diesel(sql_type = Nullable<Instant>)]
    pub removed_at: Option<At>,
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub artist: Option<String>,
}

/// The creator of an item `i` of a membership `m`, and the joins that provide it.
fn credit(entity: EntityType) -> (&'static str, &'static str) {
    match entity {
        EntityType::Tracks => (
            "a.name",
            "LEFT JOIN track_artists c ON c.track_id = m.track_id AND c.position = 0 \
             LEFT JOIN artists a ON a.id = c.artist_id",
        ),
        EntityType::Albums => (
            "a.name",
            "LEFT JOIN album_artists c ON c.album_id = m.album_id AND c.position = 0 \
             LEFT JOIN artists a ON a.id = c.artist_id",
        ),
        EntityType::Artists | EntityType::Playlists => ("CAST(NULL AS TEXT)", ""),
        EntityType::Shows => ("i.publisher", ""),
        EntityType::Episodes => ("s.name", "LEFT JOIN shows s ON s.id = i.show_id"),
        EntityType::Audiobooks => ("i.authors", ""),
    }
}

/// The rows of a membership table by one of its moments, latest first, after the mark.
pub(super) async fn members(
    conn: &mut Conn,
    entity: EntityType,
    moment: Moment,
    account: AccountId,
    since: At,
    mark: &Mark,
    len: i64,
) -> Result<Vec<MemberRow>, StoreError> {
    let ((members, item_id), (by, joins)) = (table_of(entity), credit(entity));
    let at = match moment {
        Moment::Added => "m.added_at",
        Moment::Seen => "m.first_seen_at",
        Moment::Returned => "m.returned_at",
        Moment::Removed => "m.removed_at",
    };
    // If the source dates its rows, that date says when a member came, and when it came back.
    let (came, returned) = match entity.facts().dated {
        Dated::Always => ("m.added_at", "m.added_at"),
        Dated::Maybe if moment == Moment::Added => ("m.added_at", "m.added_at"),
        Dated::Maybe => ("coalesce(m.added_at, m.first_seen_at)", "m.returned_at"),
        Dated::Never => ("m.first_seen_at", "m.returned_at"),
    };
    let undated = match (entity.facts().dated, moment) {
        (Dated::Maybe, Moment::Seen | Moment::Returned) => "AND m.added_at IS NULL",
        _ => "",
    };
    let (since, until, account) = (since.literal(), mark.at.literal(), account.0);
    let sql = format!(
        "SELECT m.{item_id} AS id, m.rev AS rev, {came} AS added_at, {returned} AS returned_at, \
         m.removed_at AS removed_at, i.name AS name, {by} AS artist \
         FROM {members} m LEFT JOIN {entity} i ON i.id = m.{item_id} {joins} \
         WHERE m.account_id = {account} AND {at} >= {since} AND {at} <= {until} \
         AND ({at} < {until} OR m.{item_id} < $1) {undated} \
         ORDER BY {at} DESC, m.{item_id} DESC LIMIT {len}"
    );
    Ok(with_conn!(conn, |c| sql_query(sql).bind::<Text, _>(&mark.id).load(c).await)?)
}

/// Something that was added to a playlist or removed from it.
#[derive(Debug, Queryable)]
pub(super) struct ItemRow {
    pub seen_at: At,
    pub version: i64,
    pub number: i64,
    pub kind: String,
    pub position: i64,
    pub uri: Option<String>,
    pub name: Option<String>,
    pub track_id: Option<String>,
    pub added_at: Option<At>,
    pub playlist_id: String,
    pub playlist_name: String,
    pub snapshot_id: Option<String>,
    pub artist: Option<String>,
}

/// What was added and removed in the playlists that are, or were, in the account's library.
pub(super) async fn items(
    conn: &mut Conn,
    account: AccountId,
    since: At,
    mark: &Mark,
    len: i64,
) -> Result<Vec<ItemRow>, StoreError> {
    let rows = with_conn!(conn, |c| {
        use playlist_changes::{added_at, kind, name, number, position, track_id, uri, version_id};
        use playlist_versions::{id, playlist_id, seen_at, snapshot_id};
        let in_library = library_playlists::playlist_id.eq(playlist_id);
        let credited = track_artists::track_id.nullable().eq(track_id).and(track_artists::position.eq(0_i64));
        let is_older = seen_at.lt(mark.at).or(id.lt(mark.version));
        playlist_versions::table
            .inner_join(playlist_changes::table.on(version_id.eq(id)))
            .inner_join(library_playlists::table.on(in_library.and(library_playlists::account_id.eq(account.0))))
            .inner_join(playlists::table.on(playlists::id.eq(playlist_id)))
            .left_join(track_artists::table.on(credited))
            .left_join(artists::table.on(artists::id.eq(track_artists::artist_id)))
            .filter(seen_at.ge(since))
            .filter(seen_at.le(mark.at))
            .filter(is_older.or(id.eq(mark.version).and(number.gt(mark.number))))
            .order((seen_at.desc(), id.desc(), number))
            .limit(len)
            .select((
                seen_at,
                id,
                number,
                kind,
                position,
                uri,
                name,
                track_id,
                added_at,
                playlist_id,
                playlists::name,
                snapshot_id,
                artists::name.nullable(),
            ))
            .load(c)
            .await
    })?;
    Ok(rows)
}
