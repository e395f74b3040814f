//! The rows that changes are made of, a page at a time: each kind of event read from its table, by its moment.

use super::schema::{
    album_artists, albums, artists, audiobooks, episodes, followed_artists, library_playlists, playlist_changes,
    playlist_versions, playlists, saved_albums, saved_audiobooks, saved_episodes, saved_shows, saved_tracks, shows,
    track_artists, tracks,
};
use super::sources::Moment;
use super::types::{At, Instant};
use super::{Conn, StoreError, with_conn};
use crate::model::{AccountId, EntityType};
use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::sql_types::{Nullable, Text};
use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;

/// The last row that was read: the next ones are older, or as old and after it by what tells them apart.
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
#[derive(Debug, Queryable)]
pub(super) struct MemberRow {
    pub id: String,
    pub rev: i64,
    /// Or first seen.
    pub added_at: Option<At>,
    pub returned_at: Option<At>,
    pub removed_at: Option<At>,
    pub name: Option<String>,
    pub artist: Option<String>,
}

/// The rows of a membership table by one of its moments, latest first, after the mark.
macro_rules! page {
    ($from:expr, $members:ident, $item_id:ident, $at:ident, $account:expr, $since:expr, $mark:expr, $len:expr) => {
        $from
            .filter($members::account_id.eq($account.0))
            .filter($members::$at.ge($since))
            .filter($members::$at.le($mark.at))
            .filter($members::$at.lt($mark.at).or($members::$item_id.lt(&$mark.id)))
            .order(($members::$at.desc(), $members::$item_id.desc()))
            .limit($len)
    };
}

pub(super) async fn members(
    conn: &mut Conn,
    entity: EntityType,
    moment: Moment,
    account: AccountId,
    since: At,
    mark: &Mark,
    len: i64,
) -> Result<Vec<MemberRow>, StoreError> {
    /// Tracks or albums, with the first artist of each.
    macro_rules! credited {
        ($members:ident, $item_id:ident, $items:ident, $credits:ident) => {{
            let credited = $credits::$item_id.eq($members::$item_id).and($credits::position.eq(0_i64));
            $members::table
                .left_join($items::table.on($items::id.eq($members::$item_id)))
                .left_join($credits::table.on(credited))
                .left_join(artists::table.on(artists::id.eq($credits::artist_id)))
        }};
    }
    /// Anything else, with its row of the catalogue.
    macro_rules! plain {
        ($members:ident, $item_id:ident, $items:ident) => {
            $members::table.left_join($items::table.on($items::id.eq($members::$item_id)))
        };
    }
    /// The page by one moment. `$since` says since when a member is there, `$returned` when it came back.
    macro_rules! by {
        ($from:expr, $members:ident, $item_id:ident, $items:ident, $at:ident, $since:expr, $returned:expr, $by:expr) => {
            with_conn!(conn, |c| {
                page!($from, $members, $item_id, $at, account, since, mark, len)
                    .select((
                        $members::$item_id,
                        $members::rev,
                        $since,
                        $returned,
                        $members::removed_at,
                        $items::name.nullable(),
                        $by,
                    ))
                    .load(c)
                    .await
            })
        };
    }
    /// What the source dates.
    macro_rules! dated {
        ($from:expr, $members:ident, $item_id:ident, $items:ident, $by:expr) => {
            match moment {
                Moment::Added => {
                    by!($from, $members, $item_id, $items, added_at, $members::added_at, $members::added_at, $by)
                }
                Moment::Removed => {
                    by!($from, $members, $item_id, $items, removed_at, $members::added_at, $members::added_at, $by)
                }
                Moment::Seen | Moment::Returned => Ok(Vec::new()),
            }
        };
    }
    /// What it does not date.
    macro_rules! undated {
        ($from:expr, $members:ident, $item_id:ident, $items:ident, $since:expr, $by:expr) => {
            match moment {
                Moment::Seen => {
                    by!($from, $members, $item_id, $items, first_seen_at, $since, $members::returned_at, $by)
                }
                Moment::Returned => {
                    by!($from, $members, $item_id, $items, returned_at, $since, $members::returned_at, $by)
                }
                Moment::Removed => {
                    by!($from, $members, $item_id, $items, removed_at, $since, $members::returned_at, $by)
                }
                Moment::Added => Ok(Vec::new()),
            }
        };
    }
    // It is by nobody.
    let nobody = || sql::<Nullable<Text>>("NULL");
    Ok(match entity {
        EntityType::Tracks => dated!(
            credited!(saved_tracks, track_id, tracks, track_artists),
            saved_tracks,
            track_id,
            tracks,
            artists::name.nullable()
        ),
        EntityType::Albums => dated!(
            credited!(saved_albums, album_id, albums, album_artists),
            saved_albums,
            album_id,
            albums,
            artists::name.nullable()
        ),
        EntityType::Artists => undated!(
            plain!(followed_artists, artist_id, artists),
            followed_artists,
            artist_id,
            artists,
            followed_artists::first_seen_at.nullable(),
            nobody()
        ),
        EntityType::Playlists => undated!(
            plain!(library_playlists, playlist_id, playlists),
            library_playlists,
            playlist_id,
            playlists,
            library_playlists::first_seen_at,
            nobody()
        ),
        EntityType::Shows => {
            dated!(plain!(saved_shows, show_id, shows), saved_shows, show_id, shows, shows::publisher.nullable())
        }
        EntityType::Episodes => dated!(
            plain!(saved_episodes, episode_id, episodes)
                .left_join(shows::table.on(episodes::show_id.eq(shows::id.nullable()))),
            saved_episodes,
            episode_id,
            episodes,
            shows::name.nullable()
        ),
        EntityType::Audiobooks if moment == Moment::Added => dated!(
            plain!(saved_audiobooks, audiobook_id, audiobooks),
            saved_audiobooks,
            audiobook_id,
            audiobooks,
            audiobooks::authors.nullable()
        ),
        // One that is dated says by its date when it came.
        EntityType::Audiobooks if moment == Moment::Removed => undated!(
            plain!(saved_audiobooks, audiobook_id, audiobooks),
            saved_audiobooks,
            audiobook_id,
            audiobooks,
            added_or_seen(),
            audiobooks::authors.nullable()
        ),
        EntityType::Audiobooks => undated!(
            plain!(saved_audiobooks, audiobook_id, audiobooks).filter(saved_audiobooks::added_at.is_null()),
            saved_audiobooks,
            audiobook_id,
            audiobooks,
            added_or_seen(),
            audiobooks::authors.nullable()
        ),
    }?)
}

/// Since when an audiobook is there, as well as it is known.
fn added_or_seen() -> SqlLiteral<Nullable<Instant>> {
    sql("coalesce(saved_audiobooks.added_at, saved_audiobooks.first_seen_at)")
}

/// Something that came into a playlist or went from it.
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

/// Of the playlists that are, or were, in the account's library.
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
