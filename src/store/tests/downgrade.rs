//! Going back: a down-migration that would lose what no sync restores refuses, and says what; otherwise each can be
//! undone and redone.

use super::*;
use crate::store::{migrations, postgres};
use diesel::{Connection, SqliteConnection};
use std::collections::BTreeMap;

const NOW: &str = "'2026-11-29 08:00:00.000000+00:00'";

/// What a migration keeps that no sync restores: its name, what the refusal says, how such a row is created, and how
/// somebody who can do without it gives it up. The newest first; `@` is the account and `now` a moment.
const LOSSES: &[(&str, &str, &str, &str)] = &[
    (
        "20261201000000",
        "sign-ins that wait for their account would be lost",
        "INSERT INTO pending_sign_ins (imported_hash, client_id, refresh_token, noted_at) VALUES ('ab12', 'app', 'r1', now)",
        "DELETE FROM pending_sign_ins",
    ),
    (
        "20261129315000",
        "which imports contain a stream would be lost",
        "INSERT INTO stream_imports (stream_id, import_id) VALUES (1, 2)",
        "DELETE FROM stream_imports",
    ),
    (
        "20261129300000",
        "what was imported would be lost",
        "INSERT INTO imports (account_id, started_at) VALUES (@, now)",
        "DELETE FROM imports",
    ),
    (
        "20261129300000",
        "which tracks only an export mentions would be lost",
        "UPDATE tracks SET source = 'export' WHERE id = 't1'",
        "UPDATE tracks SET source = 'api'",
    ),
    (
        "20261129300000",
        "which gaps an export has filled would be lost",
        "INSERT INTO play_gaps (account_id, played_after, played_before, detected_at, filled_by) VALUES (@, now, now, now, 1)",
        "UPDATE play_gaps SET filled_by = NULL",
    ),
    (
        "20261129200000",
        "saved shows would be lost",
        "INSERT INTO shows (id, name, fetched_at) VALUES ('w1', 'A', now); INSERT INTO saved_shows (account_id, show_id) VALUES (@, 'w1')",
        "DELETE FROM saved_shows",
    ),
    (
        "20261129200000",
        "saved episodes would be lost",
        "INSERT INTO episodes (id, name, fetched_at) VALUES ('e1', 'A', now); INSERT INTO saved_episodes (account_id, episode_id) VALUES (@, 'e1')",
        "DELETE FROM saved_episodes",
    ),
    (
        "20261129200000",
        "saved audiobooks would be lost",
        "INSERT INTO audiobooks (id, name, fetched_at) VALUES ('k1', 'A', now); INSERT INTO saved_audiobooks (account_id, audiobook_id) VALUES (@, 'k1')",
        "DELETE FROM saved_audiobooks",
    ),
    ("20261129170000", "entries of the feed would be lost", "", "DELETE FROM outbox"),
    (
        "20261128400000",
        "what kind items of playlists are would be lost",
        "INSERT INTO playlists (id, name, fetched_at) VALUES ('p1', 'A', now); INSERT INTO playlist_items (playlist_id, position, kind) VALUES ('p1', 0, 'chapter')",
        "UPDATE playlist_items SET kind = 'episode' WHERE kind = 'chapter'",
    ),
    (
        "20261128400000",
        "names of odd rows would be lost",
        "INSERT INTO sync_odd_items (account_id, entity_type, position, reason, seen_at, name) VALUES (@, 'tracks', 3, 'odd', now, 'A')",
        "DELETE FROM sync_odd_items",
    ),
    (
        "20261128400000",
        "addresses of local files would be lost",
        "UPDATE tracks SET uri = 'spotify:local:a' WHERE id = 't1'",
        "UPDATE tracks SET uri = NULL",
    ),
    (
        "20261128300000",
        "what accounts may read would be lost",
        "INSERT INTO playlist_readings (account_id, playlist_id) VALUES (@, 'p1')",
        "DELETE FROM playlist_readings",
    ),
    (
        "20261128200000",
        "removals that wait would be lost",
        "INSERT INTO held_removals (account_id, entity_type, playlist_id, item_id, since, is_counted, is_confirmed) \
         VALUES (@, 'tracks', '', 't1', now, TRUE, FALSE)",
        "DELETE FROM held_removals",
    ),
    (
        "20261122600000",
        "pauses by hand would be lost",
        "INSERT INTO paused_entities (account_id, entity_type, paused_at) VALUES (@, 'albums', now)",
        "DELETE FROM paused_entities",
    ),
    (
        "20261122500000",
        "the history of playlists would be lost",
        "INSERT INTO playlist_versions (playlist_id, seen_at, is_first, items_added, items_removed, run_id) \
         VALUES ('p1', now, TRUE, 1, 0, '00000000-0000-0000-0000-000000000001')",
        "DELETE FROM playlist_versions",
    ),
    (
        "20261122500000",
        "since when playlists are there would be lost",
        "INSERT INTO library_playlists (account_id, playlist_id, position) VALUES (@, 'p1', 0)",
        "DELETE FROM library_playlists",
    ),
    (
        "20261122500000",
        "when artists came back would be lost",
        "INSERT INTO followed_artists (account_id, artist_id, first_seen_at, returned_at) VALUES (@, 'a1', now, now)",
        "DELETE FROM followed_artists",
    ),
    ("20261122200000", "gaps of the listening history would be lost", "", "DELETE FROM play_gaps"),
    (
        "20261122200000",
        "how far plays were read would be lost",
        "INSERT INTO playback_states (account_id, updated_at) VALUES (@, now)",
        "DELETE FROM playback_states",
    ),
    (
        "20261122100000",
        "what the limits have counted would be lost",
        "INSERT INTO request_ledger (family, started_at, requests) VALUES ('tracks', now, 3)",
        "DELETE FROM request_ledger",
    ),
];

/// Undoes the newest migration; returns which that was, or why it failed.
async fn revert(db: &Db) -> Result<String, String> {
    let reverted = match &db.url {
        DatabaseUrl::Sqlite(path) => {
            let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
            migrations::revert_on_sqlite(&mut connection)
        }
        DatabaseUrl::Postgres(url) => {
            migrations::revert_on_postgres(postgres::connect(url, "SELECT 1").await.unwrap()).await
        }
    };
    reverted.map(|version| version.to_string()).map_err(|error| error.to_string())
}

/// How many rows each table has.
async fn rows(db: &Db) -> BTreeMap<String, u64> {
    let mut rows = BTreeMap::new();
    for table in tables(db).await {
        let num = db.count(&table).await;
        rows.insert(table, num);
    }
    rows
}

async fn tables(db: &Db) -> Vec<String> {
    let from = match db.store {
        Store::Sqlite(_) => "sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name",
        Store::Pg(_) => {
            "(SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE') t ORDER BY name"
        }
    };
    db.texts("name", from).await
}

/// Tables and their columns.
async fn schema(db: &Db) -> Vec<String> {
    let from = match db.store {
        Store::Sqlite(_) => {
            "sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type IN ('table', 'view') ORDER BY 1"
        }
        Store::Pg(_) => {
            "(SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public') c ORDER BY 1"
        }
    };
    let column = if matches!(db.store, Store::Sqlite(_)) {
        "m.name || '.' || c.name"
    } else {
        "table_name || '.' || column_name"
    };
    db.texts(column, from).await
}

#[test]
fn a_down_migration_refuses_to_lose_what_no_sync_brings_back() {
    on_both(async |db| {
        db.begin(EntityType::Tracks).await.commit(tracks(&["t1", "t2"]), at(1)).await;
        let fill = |sql: &str| sql.replace('@', &db.account.0.to_string()).replace("now", NOW);
        for (_, _, filled, _) in LOSSES {
            if !filled.is_empty() {
                db.execute(&fill(filled)).await;
            }
        }
        let newest = schema(db).await;
        let mut refused: Vec<&str> = Vec::new();
        let mut num_reverted = 0;
        loop {
            let before = rows(db).await;
            match revert(db).await {
                Ok(_) => num_reverted += 1,
                Err(why) if why.contains("everything would be lost") => break,
                Err(why) => {
                    assert_eq!(rows(db).await, before, "{why}: nothing was touched");
                    let loss =
                        LOSSES.iter().find(|(_, words, ..)| why.contains(words)).unwrap_or_else(|| panic!("{why}"));
                    let newest = db.texts("max(version)", "__diesel_schema_migrations").await.remove(0);
                    assert_eq!(newest, loss.0, "{why}");
                    refused.push(loss.1);
                    db.execute(loss.3).await;
                }
            }
        }
        let mut expected: Vec<&str> = LOSSES.iter().map(|(_, words, ..)| *words).collect();
        expected.sort_unstable();
        refused.sort_unstable();
        assert_eq!(refused, expected);
        assert!(num_reverted >= 19, "{num_reverted}");
        assert_eq!(db.count("saved_tracks").await, 2, "the library of the first version");

        let again = Store::open(&db.url, "again").await.unwrap();

        assert_eq!(again.num_members(db.account, EntityType::Tracks).await.unwrap(), 2);
        assert_eq!(schema(db).await, newest);
    });
}

#[test]
fn without_anything_to_lose_every_down_migration_goes_back_to_nothing() {
    on_both(async |db| {
        let newest = schema(db).await;
        db.execute("DELETE FROM accounts").await;
        let num = db.count("__diesel_schema_migrations").await;
        for _ in 0..num {
            revert(db).await.unwrap();
        }
        assert_eq!(tables(db).await, ["__diesel_schema_migrations"]);
        // A file with nothing but that table counts as another program's.
        db.execute("DROP TABLE __diesel_schema_migrations").await;
        Store::open(&db.url, "again").await.unwrap();
        assert_eq!(schema(db).await, newest);
    });
}
