//! The store alone: batches of 200 saved tracks with their checkpoint, one transaction each, compared with the raw
//! ceiling of the same database in the same run: plain prepared inserts through SQLite's C interface, and COPY.
//!
//! `cargo bench --bench store`; PostgreSQL if `SEGNO_TEST_POSTGRES_URL` names a server.

#[path = "support/postgres.rs"]
mod postgres;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::SinkExt;
use libsqlite3_sys as sqlite;
use segno::{
    model::{
        Album, ArtistRef, Checkpoint, Commit, Effects, EntityType, Item, Phase, Rows, SavedTrack, Slot, Stage, Track,
        WalkPlace, WalkState,
    },
    store::{DatabaseUrl, Store},
};
use std::{
    ffi::CString,
    path::Path,
    ptr,
    time::{Duration, Instant},
};
use uuid::Uuid;

const NUM_TRACKS: u32 = 100_000;
const BATCH: u32 = 200;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!("{:<58} {:>10} {:>12} {:>12}", "100,000 tracks", "seconds", "tracks/s", "rows/s");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let raw = sqlite_ceiling(&folder.path().join("raw.db"));
        print("SQLite: plain prepared inserts, one table, one transaction", raw, NUM_TRACKS);
        let url = format!("sqlite:{}", folder.path().join("store.db").display());
        bench_store("SQLite (WAL, synchronous=FULL)", &url).await;
        match std::env::var("SEGNO_TEST_POSTGRES_URL") {
            Ok(server) => {
                let url = postgres::fresh_database(&server, "segno_bench_store").await;
                let raw = postgres_ceiling(&url).await;
                print("PostgreSQL: COPY, one table, one statement", raw, NUM_TRACKS);
                bench_store("PostgreSQL", &url).await;
            }
            Err(_) => println!("PostgreSQL SKIPPED: SEGNO_TEST_POSTGRES_URL is not set"),
        }
    });
}

fn print(what: &str, took: Duration, num_rows: u32) {
    let seconds = took.as_secs_f64();
    println!(
        "{what:<58} {seconds:>10.2} {:>12.0} {:>12.0}",
        f64::from(NUM_TRACKS) / seconds,
        f64::from(num_rows) / seconds
    );
}

/// New rows, then the same again: nothing changes, so nothing is written but checkpoints.
async fn bench_store(name: &str, url: &str) {
    let store = Store::open(&DatabaseUrl::parse(url).expect("a URL"), "bench").await.expect("opens");
    let now = Utc::now();
    let account_id = store.upsert_account("bench", None, None, now).await.expect("an account");
    for what in ["new", "unchanged"] {
        let (fence, _) = store
            .begin_run(account_id, EntityType::Tracks, Phase::InitialSync, Uuid::new_v4(), "bench", now)
            .await
            .expect("begins");
        let mut took = Duration::ZERO;
        let mut num_rows = 0;
        for offset in (0..NUM_TRACKS).step_by(BATCH as usize) {
            let slots: Vec<Slot> = (offset..offset + BATCH).map(slot).collect();
            num_rows += slots.iter().map(num_rows_of).sum::<u32>();
            let place = WalkPlace { stage: Stage::Walk, pass: 1, ..WalkPlace::default() };
            let walk = WalkState { place, ..WalkState::default() };
            let commit = Commit {
                account_id,
                entity: EntityType::Tracks,
                fence,
                run_id: Uuid::new_v4(),
                rows: Rows::Listing(slots),
                effects: Effects::default(),
                checkpoint: Checkpoint {
                    offset: offset + BATCH,
                    total: Some(NUM_TRACKS),
                    walk,
                    ..Checkpoint::start(Phase::InitialSync)
                },
                offset_from: offset,
                offset_to: offset + BATCH,
                num_requests: 4,
                duration: Duration::ZERO,
            };
            let began = Instant::now();
            let report = store.commit(Box::new(commit), now).await.expect("commits");
            took += began.elapsed();
            let expected = if what == "new" { report.counts.new } else { report.counts.unchanged };
            assert_eq!(expected, BATCH, "{:?}", report.counts);
        }
        print(&format!("{name}: store, 200 a batch with checkpoint, all {what}"), took, num_rows);
    }
}

/// Database rows for a slot, with shared ones counted by their share.
fn num_rows_of(slot: &Slot) -> u32 {
    let Some(Item::Track(saved)) = &slot.item else { return 0 };
    2 + saved.track.artists.len() as u32
}

fn slot(number: u32) -> Slot {
    let artist = |number: u32| ArtistRef { id: id('a', number), name: format!("Artist {number}") };
    let album = Album {
        id: id('l', number / 8),
        name: format!("Album {}", number / 8),
        album_type: Some("album".into()),
        release_date: Some("2019-05-17".into()),
        release_date_precision: Some("day".into()),
        total_tracks: Some(12),
        upc: None,
        image_url: Some(format!("https://i.scdn.co/image/{number:040x}")),
        artists: vec![artist(number / 16)],
    };
    let track = Track {
        id: id('t', number),
        uri: None,
        name: format!("Track {number}"),
        album: Some(album),
        duration_ms: Some(180_000 + number as i32),
        explicit: Some(false),
        disc_number: Some(1),
        track_number: Some(number as i32 % 12 + 1),
        isrc: Some(format!("XX{number:010}")),
        artists: vec![artist(number / 16), artist(number / 40 + 1)],
    };
    let added_at = DateTime::from_timestamp(1_700_000_000, 0).map(|at| at - TimeDelta::seconds(number.into()));
    Slot { item: Some(Item::Track(Box::new(SavedTrack { added_at, track }))), added_at, odd: None }
}

fn id(kind: char, number: u32) -> String {
    format!("{kind}{number:021}")
}

/// The best that SQLite can do with such a row: no conflicts, no other tables, one commit.
fn sqlite_ceiling(path: &Path) -> Duration {
    let path = CString::new(path.display().to_string()).expect("no NUL");
    // SAFETY: the connection and the statement are used on this thread only, finalised and closed at the end, and
    // every text bound lives until the statement is reset (SQLITE_TRANSIENT copies it).
    unsafe {
        let (mut db, mut statement) = (ptr::null_mut(), ptr::null_mut());
        check(sqlite::sqlite3_open(path.as_ptr(), &mut db));
        let run = |sql: &str| {
            let sql = CString::new(sql).expect("no NUL");
            check(sqlite::sqlite3_exec(db, sql.as_ptr(), None, ptr::null_mut(), ptr::null_mut()));
        };
        run("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
        run("CREATE TABLE tracks (id TEXT PRIMARY KEY, name TEXT, album_id TEXT, duration_ms INTEGER, isrc TEXT)");
        let sql = CString::new("INSERT INTO tracks VALUES (?, ?, ?, ?, ?)").expect("no NUL");
        check(sqlite::sqlite3_prepare_v2(db, sql.as_ptr(), -1, &mut statement, ptr::null_mut()));
        let began = Instant::now();
        run("BEGIN");
        for number in 0..NUM_TRACKS {
            let texts = [(1, id('t', number)), (2, format!("Track {number}")), (3, id('l', number / 8))];
            let isrc = (5, format!("XX{number:010}"));
            for (at, text) in texts.iter().chain([&isrc]) {
                let (bytes, len) = (text.as_ptr().cast(), text.len() as i32);
                check(sqlite::sqlite3_bind_text(statement, *at, bytes, len, sqlite::SQLITE_TRANSIENT()));
            }
            check(sqlite::sqlite3_bind_int(statement, 4, 180_000 + number as i32));
            assert_eq!(sqlite::sqlite3_step(statement), sqlite::SQLITE_DONE);
            check(sqlite::sqlite3_reset(statement));
        }
        run("COMMIT");
        let took = began.elapsed();
        sqlite::sqlite3_finalize(statement);
        sqlite::sqlite3_close(db);
        took
    }
}

fn check(code: i32) {
    assert_eq!(code, sqlite::SQLITE_OK, "SQLite error {code}");
}

async fn postgres_ceiling(url: &str) -> Duration {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a server");
    let connection = tokio::spawn(connection);
    let create = "CREATE TABLE raw (id text PRIMARY KEY, name text, album_id text, duration_ms int, isrc text)";
    client.batch_execute(create).await.expect("a table");
    let began = Instant::now();
    let sink = client.copy_in::<_, bytes::Bytes>("COPY raw FROM STDIN").await.expect("COPY");
    let mut sink = std::pin::pin!(sink);
    for from in (0..NUM_TRACKS).step_by(1000) {
        let line = |number: u32| {
            let (track, album, duration) = (id('t', number), id('l', number / 8), 180_000 + number);
            format!("{track}\tTrack {number}\t{album}\t{duration}\tXX{number:010}\n")
        };
        let lines: String = (from..from + 1000).map(line).collect();
        sink.send(lines.into()).await.expect("sent");
    }
    sink.close().await.expect("copied");
    let took = began.elapsed();
    client.batch_execute("DROP TABLE raw").await.expect("dropped");
    drop(client);
    let _ = connection.await;
    took
}
