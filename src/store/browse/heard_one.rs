//! One artist, album, track or show: when and how often it was heard, which of its tracks, in which playlists it is,
//! and since when it is saved.

use super::isrcs;
use super::listening::{Heard, HeardEntry, KeySum, Span, entries, local, part_of};
use crate::model::AccountId;
use crate::model::stretches::Part;
use crate::model::zone::Zone;
use crate::store::types::{Instant, Words};
use crate::store::{Conn, Store, StoreError, with_conn};
use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use utoipa::ToSchema;

/// Names are kept up to this length.
const NAME_LEN: usize = 300;

/// Most tracks, albums and playlists that are listed.
const LISTED_MAX: u32 = 50;

/// Which one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneHeard {
    pub what: Heard,
    /// For a track its URI, or its name.
    pub name: String,
    /// For an album or track.
    pub artist: Option<String>,
}

/// What is known of one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardOne {
    pub entry: HeardEntry,
    /// By month of UTC, as 202611.
    pub months: Vec<Part>,
    /// For an artist, an album or a show: what was heard most of it.
    pub tracks: Vec<HeardEntry>,
    /// For an artist.
    pub albums: Vec<HeardEntry>,
    pub playlists: Vec<HeardInPlaylist>,
    /// Or when it was followed.
    pub saved_at: Option<DateTime<Utc>>,
}

/// A playlist with something of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeardInPlaylist {
    pub id: String,
    pub name: Option<String>,
    /// How many of its items those are.
    pub items: u64,
}

/// What was first heard when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discoveries {
    /// How many, by day of the zone.
    pub days: Vec<Part>,
    /// Those heard most since.
    pub entries: Vec<HeardEntry>,
}

/// Something, saved or not, and how it was heard.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName, Serialize, ToSchema)]
pub struct SavedTrackUnheard {
    #[diesel(sql_type = Text)]
    pub track_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub artist: Option<String>,
    #[diesel(sql_type = Instant)]
    pub added_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct PlaylistRow {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Nullable<Text>)]
    name: Option<String>,
    #[diesel(sql_type = BigInt)]
    items: i64,
}

/// Sums of all time, one row per title.
const EVER: &str =
    "heard_items i JOIN heard_sums s ON s.account_id = i.account_id AND s.period = 0 AND s.item_id = i.id";

const SUMS: &str = "CAST(sum(s.plays) AS BIGINT) AS plays, CAST(sum(s.ms) AS BIGINT) AS ms";

impl Store {
    /// `None` if nothing of it was heard.
    pub async fn heard_one(&self, account: AccountId, one: &OneHeard) -> Result<Option<HeardOne>, StoreError> {
        let conn = &mut self.connect().await?;
        let (key, mine) =
            (one.what.key(), format!("i.account_id = {} AND i.kind IN ({})", account.0, one.what.kinds()));
        let column = match one.what {
            Heard::Artists => "artist",
            Heard::Tracks if one.name.starts_with("spotify:") => "uri",
            Heard::Tracks => "name",
            Heard::Albums | Heard::Shows => "album",
        };
        let artist = one.artist.as_deref().filter(|_| matches!(one.what, Heard::Albums | Heard::Tracks));
        let is_theirs = if artist.is_some() && column != "uri" { "coalesce(i.artist, '') = $2" } else { "$2 = $2" };
        let sql = format!(
            "SELECT min(i.{key}) AS key, {SUMS} FROM {EVER} WHERE {mine} AND i.{column} = $1 AND {is_theirs} \
             GROUP BY i.{key} ORDER BY 3 DESC LIMIT 1"
        );
        let [name, artist] = [one.name.as_str(), artist.unwrap_or_default()].map(|text| cut(text, NAME_LEN));
        let found: Vec<KeySum> = with_conn!(conn, |c| {
            sql_query(sql).bind::<Text, _>(Words(&name)).bind::<Text, _>(Words(&artist)).load(c).await
        })?;
        let Some(found) = found.into_iter().next().filter(|found| found.key > 0) else { return Ok(None) };
        let of_it = format!("{mine} AND i.{key} = {}", found.key);

        let sql = format!("SELECT min(i.{key}) AS key, {SUMS} FROM {EVER} WHERE {of_it}");
        let sum: KeySum = with_conn!(conn, |c| sql_query(sql).get_result(c).await)?;
        let sql = format!(
            "SELECT s.period AS key, {SUMS} FROM heard_items i JOIN heard_sums s ON s.item_id = i.id AND s.period > 9999 \
             WHERE {of_it} GROUP BY 1 ORDER BY 1"
        );
        let months: Vec<KeySum> = with_conn!(conn, |c| sql_query(sql).load(c).await)?;
        let mut parts = Vec::new();
        for (what, is_wanted) in [
            (Heard::Tracks, matches!(one.what, Heard::Artists | Heard::Albums)),
            (Heard::Albums, one.what == Heard::Artists),
        ] {
            let sql = format!(
                "SELECT i.{part} AS key, {SUMS} FROM {EVER} WHERE {of_it} AND i.{part} > 0 GROUP BY 1 \
                 ORDER BY 3 DESC, 2 DESC, 1 LIMIT {LISTED_MAX}",
                part = what.key()
            );
            let sums = if is_wanted { with_conn!(conn, |c| sql_query(sql).load(c).await)? } else { Vec::new() };
            parts.push(entries(conn, account, what, sums).await?);
        }
        let (albums, tracks) = (parts.pop().unwrap_or_default(), parts.pop().unwrap_or_default());
        let tracks_of_it = format!("SELECT i.track_id FROM heard_items i WHERE {of_it} AND i.track_id IS NOT NULL");
        let sql = format!(
            "SELECT p.id, p.name, count(*) AS items FROM playlist_items x JOIN library_playlists l \
             ON l.playlist_id = x.playlist_id AND l.account_id = {} AND l.removed_at IS NULL \
             JOIN playlists p ON p.id = x.playlist_id WHERE x.track_id IN ({tracks_of_it}) GROUP BY p.id, p.name \
             ORDER BY 3 DESC, 2, 1 LIMIT {LISTED_MAX}",
            account.0
        );
        let playlists: Vec<PlaylistRow> = with_conn!(conn, |c| sql_query(sql).load(c).await)?;
        let saved_at = saved_at(conn, account, one.what, &tracks_of_it).await?;
        let Some(entry) = entries(conn, account, one.what, vec![sum]).await?.pop() else { return Ok(None) };
        let playlist =
            |row: PlaylistRow| HeardInPlaylist { id: row.id, name: row.name, items: row.items.unsigned_abs() };
        Ok(Some(HeardOne {
            entry,
            months: months.into_iter().map(part_of).collect(),
            tracks,
            albums,
            playlists: playlists.into_iter().map(playlist).collect(),
            saved_at,
        }))
    }

    /// What was first heard in a span, and when.
    pub async fn discovered(
        &self,
        account: AccountId,
        what: Heard,
        span: Span,
        zone: Zone,
        limit: u32,
    ) -> Result<Discoveries, StoreError> {
        let conn = &mut self.connect().await?;
        let Some(span) = super::listening::bounded(conn, account, span).await? else {
            return Ok(Discoveries { days: Vec::new(), entries: Vec::new() });
        };
        let (from, to) = (span.since.timestamp(), span.until.timestamp());
        let firsts = format!(
            "SELECT i.{key} AS key, min(s.first_at) AS first_at, {SUMS} FROM {EVER} WHERE i.account_id = {} AND \
             i.kind IN ({}) AND i.{key} > 0 GROUP BY 1 HAVING min(s.first_at) >= {from} AND min(s.first_at) < {to}",
            account.0,
            what.kinds(),
            key = what.key()
        );
        let sql = format!(
            "SELECT ({}) / 86400 AS key, count(*) AS plays, CAST(sum(f.ms) AS BIGINT) AS ms FROM ({firsts}) AS f GROUP BY 1 \
             ORDER BY 1",
            local("f.first_at", zone, from, to)
        );
        let days: Vec<KeySum> = with_conn!(conn, |c| sql_query(sql).load(c).await)?;
        let sql = format!("SELECT f.key, f.plays, f.ms FROM ({firsts}) AS f ORDER BY 3 DESC, 2 DESC, 1 LIMIT {limit}");
        let sums: Vec<KeySum> = with_conn!(conn, |c| sql_query(sql).load(c).await)?;
        let entries = entries(conn, account, what, sums).await?;
        Ok(Discoveries { days: days.into_iter().map(part_of).collect(), entries })
    }

    /// Saved tracks that were never heard, under any id; the latest first.
    pub async fn saved_unheard(&self, account: AccountId, limit: u32) -> Result<Vec<SavedTrackUnheard>, StoreError> {
        let conn = &mut self.connect().await?;
        let of_account = format!("FROM heard_items i WHERE i.account_id = {}", account.0);
        let heard = format!("SELECT 1 {of_account} AND i.track_id");
        let heard_ids = format!("SELECT i.track_id {of_account} AND i.track_id IS NOT NULL");
        let is_heard = isrcs::is_one_of(conn, &heard, &heard_ids).await?;
        let sql = format!(
            "SELECT m.track_id, t.name, a.name AS artist, m.added_at FROM saved_tracks m JOIN tracks t ON t.id = m.track_id \
             LEFT JOIN track_artists ta ON ta.track_id = t.id AND ta.position = 0 LEFT JOIN artists a ON a.id = ta.artist_id \
             WHERE m.account_id = {} AND m.removed_at IS NULL AND NOT EXISTS ({heard} = m.track_id) \
             AND (t.isrc IS NULL OR NOT {is_heard}) ORDER BY m.added_at DESC, m.track_id LIMIT {limit}",
            account.0
        );
        Ok(with_conn!(conn, |c| sql_query(sql).load(c).await)?)
    }

    /// Tracks that were heard often and are not saved, under any id.
    pub async fn heard_unsaved(&self, account: AccountId, limit: u32) -> Result<Vec<HeardEntry>, StoreError> {
        /// Searched among this many of those heard most.
        const LOOKED_AT: u32 = 5000;
        let conn = &mut self.connect().await?;
        let of_account = format!("FROM saved_tracks m WHERE m.account_id = {} AND m.removed_at IS NULL", account.0);
        let saved = format!("SELECT 1 {of_account} AND m.track_id");
        let is_saved = isrcs::is_one_of(conn, &saved, &format!("SELECT m.track_id {of_account}")).await?;
        let sql = format!(
            "SELECT f.key, f.plays, f.ms FROM (SELECT i.title_of AS key, {SUMS} FROM {EVER} WHERE i.account_id = {} AND \
             i.kind = 'track' AND i.title_of > 0 GROUP BY 1 ORDER BY 2 DESC, 3 DESC, 1 LIMIT {LOOKED_AT}) AS f \
             WHERE f.plays > 1 AND NOT EXISTS (SELECT 1 FROM heard_items n LEFT JOIN tracks t ON t.id = n.track_id \
             WHERE n.title_of = f.key AND n.track_id IS NOT NULL AND (EXISTS ({saved} = n.track_id) OR {is_saved})) \
             ORDER BY f.plays DESC, f.ms DESC, f.key LIMIT {limit}",
            account.0
        );
        let sums: Vec<KeySum> = with_conn!(conn, |c| sql_query(sql).load(c).await)?;
        entries(conn, account, Heard::Tracks, sums).await
    }
}

/// Since when these tracks, or the artist, are saved or followed.
async fn saved_at(
    conn: &mut Conn,
    account: AccountId,
    what: Heard,
    tracks: &str,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let from = match what {
        Heard::Tracks => format!("min(m.added_at) FROM saved_tracks m WHERE m.track_id IN ({tracks})"),
        Heard::Albums => format!(
            "min(m.added_at) FROM saved_albums m WHERE m.album_id IN (SELECT t.album_id FROM tracks t \
             WHERE t.id IN ({tracks}))"
        ),
        Heard::Artists => format!(
            "min(m.first_seen_at) FROM followed_artists m WHERE m.artist_id IN (SELECT ta.artist_id FROM \
             track_artists ta WHERE ta.position = 0 AND ta.track_id IN ({tracks}))"
        ),
        // The export names them differently than the API.
        Heard::Shows => return Ok(None),
    };
    let since = format!("SELECT {from} AND m.account_id = {} AND m.removed_at IS NULL", account.0);
    Ok(with_conn!(conn, |c| sql::<Nullable<Instant>>(&since).get_result(c).await)?)
}

fn cut(text: &str, len: usize) -> String {
    text.chars().take(len).collect()
}
