//! A large library, written by SQL: what a sync of hours would leave.

use diesel::{Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_query};

/// Name of the database on the server.
const NAME: &str = "segno_bench_web";

/// An empty database; on a server, the previous one is dropped.
pub async fn fresh(name: &str, url: &str) -> String {
    if name == "sqlite" {
        return url.to_owned();
    }
    execute(url, &[format!("DROP DATABASE IF EXISTS {NAME} WITH (FORCE)"), format!("CREATE DATABASE {NAME}")]).await;
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let at = base.rfind('/').expect("a URL with a database");
    format!("{}/{NAME}{}", &base[..at], query.map(|query| format!("?{query}")).unwrap_or_default())
}

/// One row in fifty is removed; ten tracks make an album, twenty have an artist, and every third has another one.
pub async fn fill(url: &str, num_rows: u64) {
    let is_sqlite = url.starts_with("sqlite:");
    let rows = |num: u64| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < {})",
            num.max(1) - 1
        )
    };
    // In no order, like real ones.
    let id = |kind: char, of: &str| {
        format!("'{kind}' || substr(CAST(10000000000 + ({of}) * 48271 % 2147483647 AS TEXT), 2) || 'abcdefghijk'")
    };
    let word = |of: &str| {
        format!(
            "trim(substr('Amber   Bright  Cold    Dawn    Ember   Faint   Golden  Hollow  Ivory   Jade    Kind    Lonely  Misty   Night   Open    Pale    ', CAST(1 + 8 * (({of}) % 16) AS INT), 8))"
        )
    };
    let now = chrono::Utc::now().timestamp();
    let ago = |seconds: &str| match is_sqlite {
        true => format!("strftime('%Y-%m-%d %H:%M:%f', {now} - {seconds}, 'unixepoch') || '000+00:00'"),
        false => format!("to_timestamp({now} - {seconds})"),
    };
    let no = if is_sqlite { "0" } else { "false" };
    let (artists, albums) = ((num_rows / 20).max(1), (num_rows / 10).max(1));
    let statements = [
        format!(
            "{} INSERT INTO artists (id, name, fetched_at) SELECT {}, {} || ' Artist ' || CAST(i AS TEXT), {} FROM n",
            rows(artists),
            id('r', "i"),
            word("i * 7"),
            ago("0")
        ),
        format!(
            "{} INSERT INTO albums (id, name, album_type, total_tracks, fetched_at) SELECT {}, {} || ' Album ' || CAST(i AS TEXT), 'album', 10, {} FROM n",
            rows(albums),
            id('b', "i"),
            word("i * 11"),
            ago("0")
        ),
        format!(
            "{} INSERT INTO tracks (id, name, album_id, duration_ms, explicit, fetched_at) SELECT {}, {} || ' ' || {} || ' ' || CAST(i AS TEXT), {}, 200000, {no}, {} FROM n",
            rows(num_rows),
            id('t', "i"),
            word("i * 13"),
            word("i / 16"),
            id('b', &format!("i / 10 % {albums}")),
            ago("0")
        ),
        format!(
            "{} INSERT INTO track_artists (track_id, artist_id, position) SELECT {}, {}, 0 FROM n",
            rows(num_rows),
            id('t', "i"),
            id('r', &format!("i / 20 % {artists}"))
        ),
        format!(
            "{} INSERT INTO track_artists (track_id, artist_id, position) SELECT {}, {}, 1 FROM n",
            rows(num_rows / 3),
            id('t', "i * 3"),
            id('r', &format!("i * 7 % {artists}"))
        ),
        format!(
            "{} INSERT INTO album_artists (album_id, artist_id, position) SELECT {}, {}, 0 FROM n",
            rows(albums),
            id('b', "i"),
            id('r', &format!("i / 2 % {artists}"))
        ),
        format!(
            "{} INSERT INTO saved_tracks (account_id, track_id, added_at, removed_at) SELECT 1, {}, {}, CASE WHEN i % 50 = 7 THEN {} END FROM n",
            rows(num_rows),
            id('t', "i"),
            ago("i * 60"),
            ago("i * 30")
        ),
        format!(
            "{} INSERT INTO saved_albums (account_id, album_id, added_at) SELECT 1, {}, {} FROM n",
            rows(albums),
            id('b', "i"),
            ago("i * 600")
        ),
        format!(
            "{} INSERT INTO followed_artists (account_id, artist_id, first_seen_at) SELECT 1, {}, {} FROM n",
            rows(artists),
            id('r', "i"),
            ago("i * 60")
        ),
        format!(
            "{} INSERT INTO plays (account_id, played_at, track_uri, track_id, ms_played, source) SELECT 1, {}, 'spotify:track:' || {track}, {track}, 180000, 'export' FROM n",
            rows(num_rows),
            ago("(i + 1) * 150"),
            track = id('t', &format!("i * 31 % {num_rows}"))
        ),
    ];
    execute(url, &statements).await;
    if !is_sqlite {
        execute(url, &["VACUUM ANALYZE".to_owned()]).await;
    }
}

/// Everything that the sync of playlists wrote, except for their tracks.
pub async fn forget_playlists(url: &str) {
    let tables = [
        "playlist_changes",
        "playlist_versions",
        "playlist_items_before",
        "playlist_walks",
        "playlist_items",
        "library_playlists",
        "playlists",
        "sync_seen",
    ];
    let mut statements: Vec<String> = tables.iter().map(|table| format!("DELETE FROM {table}")).collect();
    statements.push("DELETE FROM sync_states WHERE entity_type = 'playlists'".to_owned());
    execute(url, &statements).await;
}

async fn execute(url: &str, statements: &[String]) {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let mut conn = SqliteConnection::establish(path).expect("opens");
        conn.batch_execute("PRAGMA busy_timeout = 5000; PRAGMA synchronous = OFF; BEGIN").expect("pragmas");
        for sql in statements {
            sql_query(sql).execute(&mut conn).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        conn.batch_execute("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").expect("committed");
        return;
    }
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a server");
    let connection = tokio::spawn(connection);
    for sql in statements {
        client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    drop(client);
    let _ = connection.await;
}
