//! Opening databases: fresh, foreign, missing or newer ones, or opened by another process at the same moment.

use super::effects::seen;
use super::*;
use diesel::connection::SimpleConnection;
use diesel::{Connection, QueryDsl, SqliteConnection};
use std::path::Path;

fn open(path: &Path) -> Result<Store, StoreError> {
    on_one_thread(Store::open(&DatabaseUrl::sqlite_file(path), "test"))
}

#[test]
fn the_schema_reads_every_column_of_every_table() {
    macro_rules! read {
        ($conn:expr, $($table:ident),+) => { $({
            use crate::store::schema::$table::table;
            let read = with_conn!($conn, |c| table.limit(1).execute(c).await);
            assert!(read.is_ok(), "{}: {read:?}", stringify!($table));
        })+ };
    }
    on_both(async |db| {
        let conn = &mut db.store.connect().await.unwrap();
        read!(
            conn,
            account_tokens,
            accounts,
            album_artists,
            albums,
            artists,
            cooldowns,
            feed_positions,
            followed_artists,
            gate_processes,
            held_removals,
            imports,
            library_playlists,
            nodes,
            orders,
            outbox,
            paused_entities,
            pending_sign_ins,
            play_gaps,
            playback_states,
            playlist_changes,
            playlist_items,
            playlist_items_before,
            playlist_items_read,
            playlist_readings,
            playlist_versions,
            playlist_walks,
            playlists,
            plays,
            rate_limits,
            request_ledger,
            saved_albums,
            saved_tracks,
            streams,
            sync_batches,
            sync_gaps,
            sync_odd_items,
            sync_seen,
            sync_states,
            track_artists,
            tracks
        );
    });
}

#[test]
fn moments_are_kept_to_the_microsecond() {
    on_both(async |db| {
        let precise = DateTime::from_timestamp(1_790_000_000, 123_456_789).unwrap();
        let account = db.store.upsert_account("noor", None, None, precise).await.unwrap();
        let accounts = db.store.accounts().await.unwrap();
        let kept = accounts.iter().find(|found| found.id == account).unwrap().authorized_at;
        assert_eq!(kept.timestamp_subsec_nanos(), 123_456_000);
        assert_eq!(db.count("accounts WHERE CAST(authorized_at AS TEXT) LIKE '%.123456+00%'").await, 1);
    });
}

#[test]
fn opening_again_finds_everything_and_migrates_nothing() {
    on_both(async |db| {
        db.begin(EntityType::Tracks).await.commit(tracks(&["t1"]), at(1)).await;
        let migrated = db.cells("run_on", "__diesel_schema_migrations ORDER BY version").await;
        let again = Store::open_existing(&db.url, "again").await.unwrap();
        assert_eq!(again.library_counts(db.account).await.unwrap().catalogue_tracks, 1);
        assert_eq!(db.cells("run_on", "__diesel_schema_migrations ORDER BY version").await, migrated);
    });
}

#[test]
fn what_a_pass_has_seen_stays_when_its_table_loses_its_key() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        run.commit_with(tracks(&["t1", "t2"]), seen(1), at(1)).await;
        run.commit_with(tracks(&["t2", "t3"]), seen(1), at(2)).await;
        assert_eq!(db.texts("item_id", "sync_seen ORDER BY 1").await, ["t1", "t2", "t2", "t3"]);
        db.execute(match db.store {
            Store::Sqlite(_) => include_str!("../../../migrations/sqlite/2026-11-23-000000_as_it_comes/down.sql"),
            Store::Pg(_) => include_str!("../../../migrations/postgres/2026-11-23-000000_as_it_comes/down.sql"),
        })
        .await;
        db.execute("DELETE FROM __diesel_schema_migrations WHERE version = '20261123000000'").await;
        Store::open(&db.url, "again").await.unwrap();
        assert_eq!(db.texts("item_id", "sync_seen ORDER BY 1").await, ["t1", "t2", "t3"]);
        run.commit_with(tracks(&["t3", "t4"]), seen(1), at(3)).await;
        assert_eq!(db.count("sync_seen").await, 5);
    });
}

#[test]
fn a_filled_database_keeps_everything_when_keys_come_first_and_indexes_are_bounded() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let ids: Vec<String> = (0..300).map(|n| format!("t{n:03}")).collect();
        run.commit(tracks(&ids.iter().map(String::as_str).collect::<Vec<_>>()), at(1)).await;
        let complete = Checkpoint { is_complete: true, ..run.checkpoint.clone() };
        db.store.commit(Commit { checkpoint: complete, ..run.commit_of(Rows::Listing(vec![])) }, at(2)).await.unwrap();
        let down = match db.store {
            Store::Sqlite(_) => include_str!("../../../migrations/sqlite/2026-11-29-110000_keys_first/down.sql"),
            Store::Pg(_) => include_str!("../../../migrations/postgres/2026-11-29-110000_keys_first/down.sql"),
        };
        let collation = if matches!(db.store, Store::Pg(_)) { "COLLATE \"C\"" } else { "" };
        let old_index = format!("CREATE INDEX tracks_by_name ON tracks (lower(name {collation}), id)");
        db.execute(&format!("{down}; {old_index}")).await;
        db.execute("CREATE VIEW theirs AS SELECT track_id, artist_id FROM track_artists").await;
        db.execute("DELETE FROM __diesel_schema_migrations WHERE version IN ('20261129100000', '20261129110000')")
            .await;
        let columns = async |db: &Db| match db.store {
            Store::Sqlite(_) => db.texts("name", "pragma_table_info('track_artists') ORDER BY cid").await,
            Store::Pg(_) => vec![],
        };
        let kept = async |db: &Db, from: &str| {
            let albums = db.texts("album_id || artist_id || position", "album_artists ORDER BY 1").await;
            (db.texts("track_id || artist_id || position", &format!("{from} ORDER BY 1")).await, albums)
        };
        let before = kept(db, "track_artists").await;
        assert_eq!((before.0.len(), before.1.len()), (600, 1));

        let again = Store::open(&db.url, "test").await.unwrap();

        assert_eq!(kept(db, "track_artists").await, before);
        assert_eq!(db.count("theirs").await, 600, "a view of their own goes on");
        if matches!(db.store, Store::Sqlite(_)) {
            assert_eq!(columns(db).await, ["track_id", "position", "artist_id"]);
            assert_eq!(db.texts("integrity_check", "pragma_integrity_check").await, ["ok"]);
        }
        assert_eq!(again.index_names().await.unwrap(), ["tracks_by_name"], "the old one is gone");
        let run = db.begin(EntityType::Tracks).await;
        assert_eq!(run.commit(tracks(&["t001", "t900"]), at(3)).await.counts, counts(2, 1, 0, 1));
    });
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    on_both(async |db| {
        db.execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000000')").await;
        let refused = Store::open(&db.url, "test").await.unwrap_err();
        assert!(matches!(&refused, StoreError::Newer { found } if found == "20991231000000"), "{refused}");
    });
}

#[test]
fn many_processes_may_open_a_fresh_database_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segno.db");
    std::thread::scope(|scope| {
        let opening: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&path).map(drop))).collect();
        for opened in opening {
            opened.join().unwrap().unwrap();
        }
    });
    on_both(async |db| {
        let Store::Pg(_) = db.store else { return };
        let num_migrations = db.count("__diesel_schema_migrations").await;
        let tables = "DO $$ DECLARE t TEXT; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' \
                      LOOP EXECUTE format('DROP TABLE %I CASCADE', t); END LOOP; END $$";
        db.execute(tables).await;
        let opening = (0..8).map(|_| Store::open(&db.url, "racer"));
        futures_util::future::try_join_all(opening).await.unwrap();
        assert_eq!(db.count("__diesel_schema_migrations").await, num_migrations);
    });
}

#[test]
fn two_processes_take_turns_on_one_sqlite_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segno.db");
    drop(open(&path).unwrap());
    std::thread::scope(|scope| {
        for entity in [EntityType::Tracks, EntityType::Albums] {
            let url = DatabaseUrl::sqlite_file(&path);
            scope.spawn(move || {
                on_one_thread(async {
                    let db = Db::new(url).await;
                    let run = db.begin(entity).await;
                    for round in 0..20 {
                        let id = format!("{entity}{round}");
                        let slot = match entity {
                            EntityType::Tracks => saved(track(&id), at(round)),
                            _ => saved_album(album(&id)),
                        };
                        run.commit(Rows::Listing(vec![slot]), at(round)).await;
                    }
                });
            });
        }
    });
}

#[cfg(unix)]
#[test]
fn a_new_sqlite_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segno.db");
    let _store = open(&path).unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
}

#[test]
fn what_is_no_database_is_named_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("missing").join("segno.db");
    assert!(matches!(open(&nowhere), Err(StoreError::NoFolder(named)) if named == folder.path().join("missing")));
    assert!(matches!(open(folder.path()), Err(StoreError::IsFolder(named)) if named == folder.path()));
    for text in ["a shopping list", &"a long shopping list ".repeat(500)] {
        let list = folder.path().join("list.txt");
        std::fs::write(&list, text).unwrap();
        let refused = open(&list).unwrap_err();
        assert!(matches!(&refused, StoreError::NotADatabase(named) if *named == list), "{refused}");
        assert_eq!(std::fs::read_to_string(&list).unwrap(), text);
    }
    let absent = folder.path().join("absent.db");
    let refused = on_one_thread(Store::open_existing(&DatabaseUrl::sqlite_file(&absent), "test"));
    assert!(matches!(refused, Err(StoreError::NotFound(named)) if named == absent));
    assert!(!absent.exists());
}

#[test]
fn the_database_of_another_program_is_named_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    // The second is of another diesel program, the third in use with a write-ahead log.
    for (name, sql, found) in [
        ("photos 100%.db", "CREATE TABLE photos (id); CREATE TABLE accounts (id)", "the tables accounts, photos and"),
        ("shop.db", "CREATE TABLE __diesel_schema_migrations (version)", "the table __diesel_schema_migrations and"),
        (
            "mail.db",
            "PRAGMA journal_mode = WAL; CREATE TABLE a (id); CREATE TABLE b (id); CREATE TABLE c (id); CREATE TABLE d (id)",
            "the tables a, b, c and 1 more and",
        ),
    ] {
        let path = folder.path().join(name);
        let mut theirs = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        theirs.batch_execute(sql).unwrap();
        let before = std::fs::read(&path).unwrap();
        let url = DatabaseUrl::sqlite_file(&path);
        for refused in [on_one_thread(Store::open(&url, "t")), on_one_thread(Store::open_existing(&url, "t"))] {
            let refused = refused.unwrap_err();
            assert!(matches!(&refused, StoreError::Foreign { path: named, .. } if *named == path), "{refused}");
            assert!(refused.to_string().contains(&format!("{found} nothing of segno's")), "{refused}");
            assert!(std::fs::read(&path).unwrap() == before, "{name} was written to");
        }
    }
}

#[test]
fn an_empty_file_becomes_a_database() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["empty.db", "without tables.db"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "").unwrap();
        if name != "empty.db" {
            let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
            conn.batch_execute("CREATE TABLE gone (id); DROP TABLE gone").unwrap();
        }
        let store = on_one_thread(Store::open_existing(&DatabaseUrl::sqlite_file(&path), "test")).unwrap();
        assert_eq!(on_one_thread(store.accounts()).unwrap().len(), 0, "{name}");
    }
}

#[test]
fn a_damaged_database_says_that_a_copy_is_to_be_restored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segno.db");
    drop(open(&path).unwrap());
    let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    conn.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(conn);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096..].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let refused = open(&path).unwrap_err();
    assert!(refused.to_string().contains("restore a copy (see docs/backup.md)"), "{refused}");
    assert!(!refused.is_transient(), "{refused}");
}

#[test]
fn no_log_is_left_beside_a_file_that_took_the_place_of_another() {
    let look = |path: &Path| {
        let (store, url) = (open(path).unwrap(), DatabaseUrl::sqlite_file(path));
        let db = Db { store, url, account: AccountId(1) };
        on_one_thread(async {
            (db.count("accounts").await, db.texts("integrity_check", "pragma_integrity_check").await)
        })
    };
    for is_replaced in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (path, log) = (at("segno.db"), at("segno.db-wal"));
        let url = DatabaseUrl::sqlite_file(&path);
        on_one_thread(async {
            let db = Db::new(url.clone()).await;
            let readers = Store::open_readers(&url, "test").unwrap();
            assert_eq!(readers.accounts().await.unwrap().len(), 1);
            std::fs::rename(&path, at("moved.db")).unwrap();
            if is_replaced {
                drop(Store::open(&DatabaseUrl::sqlite_file(at("new.db")), "test").await.unwrap());
                std::fs::rename(at("new.db"), &path).unwrap();
            }
            let len = || std::fs::metadata(&log).unwrap().len();
            assert!(matches!(readers.accounts().await, Err(StoreError::Moved(_))));
            assert!(len() > 0, "readers leave it");
            for _ in 0..2 {
                assert!(matches!(db.store.accounts().await, Err(StoreError::Moved(_))));
                assert_eq!(len(), 0);
            }
            assert_eq!(path.exists(), is_replaced);
        });
        let ok = vec!["ok".to_owned()];
        assert_eq!(look(&at("moved.db")), (1, ok.clone()));
        if is_replaced {
            assert_eq!(look(&path), (0, ok));
        }
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused() {
    for device in ["/dev/null", "/dev/zero"] {
        let refused = open(Path::new(device)).unwrap_err();
        assert!(matches!(&refused, StoreError::NotAFile(named) if named == Path::new(device)), "{refused}");
        assert!(refused.to_string().starts_with(device), "{refused}");
    }
}

#[test]
fn a_sqlite_database_survives_a_power_cut() {
    let folder = tempfile::tempdir().unwrap();
    on_one_thread(async {
        let db = Db::new(DatabaseUrl::sqlite_file(folder.path().join("segno.db"))).await;
        assert_eq!(db.texts("journal_mode", "pragma_journal_mode").await, ["wal"]);
        assert_eq!(db.texts("synchronous", "pragma_synchronous").await, ["2"]);
    });
}

#[test]
fn a_server_that_is_not_there_is_named_without_the_password() {
    let url = DatabaseUrl::parse("postgres://segno:hunter2@127.0.0.1:1/library").unwrap();
    let error = on_one_thread(Store::open(&url, "test")).unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }) && error.is_transient());
    let text = error.to_string();
    assert!(text.contains("127.0.0.1:1/library") && !text.contains("hunter2"), "{text}");
}

#[test]
fn an_unknown_database_is_refused_with_what_to_do() {
    let Some(server) = postgres_server() else { return };
    let url = DatabaseUrl::parse(&in_database(&server, "no_such_library")).unwrap();
    let error = on_one_thread(Store::open(&url, "test")).unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }) && !error.is_transient());
    assert!(error.to_string().contains("createdb no_such_library"), "{error}");
}

#[test]
fn a_connection_that_the_server_ended_is_replaced() {
    on_both(async |db| {
        let Store::Pg(_) = db.store else { return };
        let ended = {
            let mut conn: Conn = db.store.connect().await.unwrap();
            let end = "SELECT pg_terminate_backend(pg_backend_pid())";
            with_conn!(&mut conn, |c| sql_query(end).execute(c).await).map_err(StoreError::Query)
        };
        assert!(ended.unwrap_err().is_transient());
        assert_eq!(db.store.accounts().await.unwrap().len(), 1);
    });
}
