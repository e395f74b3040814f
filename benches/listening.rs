//! Years of listening: how long an import takes, and how fast the queries of the view Listening are.
//!
//! `cargo bench --bench listening -- [STREAMS]`, by default 2,000,000: twelve years of a person who always listens.
//! PostgreSQL if `SEGNO_TEST_POSTGRES_URL` names a server. The files are read as by `segno import`.

#[path = "support/postgres.rs"]
mod postgres;

use chrono::{DateTime, TimeDelta, Utc};
use segno::{
    data_export::{Batch, Export},
    model::{AccountId, stretches::Stretch, zone::Zone},
    store::{
        DatabaseUrl, ImportOutcome, Store,
        browse::{Heard, OneHeard, Span},
    },
};
use std::{
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

const NUM_STREAMS: u32 = 2_000_000;

/// Different titles, of which a few are heard often.
const NUM_TITLES: u32 = 60_000;

/// Rows of one file, about 13 MB.
const FILE_LEN: u32 = 16_000;

/// Streams of a day.
const PER_DAY: u32 = 456;

/// How often each query is run, for spans all over.
const ASKED: u32 = 60;

fn main() {
    let num_streams = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(NUM_STREAMS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let files = write_files(folder.path(), num_streams);
        println!("{num_streams} streams in {} files", files.len());
        let url = format!("sqlite:{}", folder.path().join("store.db").display());
        measure("SQLite", &url, &files).await;
        match std::env::var("SEGNO_TEST_POSTGRES_URL") {
            Ok(server) => {
                measure("PostgreSQL", &postgres::fresh_database(&server, "segno_bench_listening").await, &files).await
            }
            Err(_) => println!("PostgreSQL SKIPPED: SEGNO_TEST_POSTGRES_URL is not set"),
        }
    });
}

fn first() -> DateTime<Utc> {
    "2014-01-01T07:00:00Z".parse().expect("a moment")
}

/// Taste drifts: each year has titles of its own, and some are heard again and again.
fn title(rng: &mut fastrand::Rng, number: u32, num_streams: u32) -> u32 {
    let drift = f64::from(number) / f64::from(num_streams) * 0.7;
    let width = rng.f64().powi(3) * 0.3;
    (((drift + width) * f64::from(NUM_TITLES)) as u32).min(NUM_TITLES - 1)
}

fn write_files(folder: &Path, num_streams: u32) -> Vec<PathBuf> {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut files = Vec::new();
    let mut now = first();
    for (file, from) in (0..num_streams).step_by(FILE_LEN as usize).enumerate() {
        let path = folder.join(format!("Streaming_History_Audio_2014-2026_{file}.json"));
        let mut out = BufWriter::new(std::fs::File::create(&path).expect("a file"));
        write!(out, "[").expect("writes");
        for number in from..(from + FILE_LEN).min(num_streams) {
            if number % PER_DAY == 0 {
                now = first() + TimeDelta::days(i64::from(number / PER_DAY));
            }
            let ms = [3_000, 20_000, 45_000, 90_000, 110_000, 130_000][rng.usize(..6)];
            now += TimeDelta::milliseconds(ms);
            let title = title(&mut rng, number, num_streams);
            let comma = if number == from { "" } else { "," };
            write!(
                out,
                "{comma}\n  {{\"ts\":\"{}\",\"platform\":\"android\",\"ms_played\":{ms},\"conn_country\":\"NL\",\
                 \"ip_addr\":\"192.0.2.7\",\"master_metadata_track_name\":\"Song number {title}\",\
                 \"master_metadata_album_artist_name\":\"Artist {}\",\"master_metadata_album_album_name\":\"Album {}\",\
                 \"spotify_track_uri\":\"spotify:track:{title:022}\",\"episode_name\":null,\"episode_show_name\":null,\
                 \"spotify_episode_uri\":null,\"audiobook_title\":null,\"audiobook_uri\":null,\
                 \"audiobook_chapter_uri\":null,\"audiobook_chapter_title\":null,\"reason_start\":\"trackdone\",\
                 \"reason_end\":\"trackdone\",\"shuffle\":false,\"skipped\":false,\"offline\":false,\
                 \"offline_timestamp\":{},\"incognito_mode\":false}}",
                now.format("%Y-%m-%dT%H:%M:%SZ"),
                title / 12,
                title / 11,
                now.timestamp() - ms / 1000
            )
            .expect("writes");
        }
        write!(out, "\n]\n").expect("writes");
        out.flush().expect("writes");
        files.push(path);
    }
    files
}

async fn measure(name: &str, url: &str, files: &[PathBuf]) {
    let store = Store::open(&DatabaseUrl::parse(url).expect("a URL"), "bench").await.expect("opens");
    let account = store.upsert_account("bench", None, None, Utc::now()).await.expect("an account");
    let began = Instant::now();
    let export = Export::find(files).expect("files");
    let mut import = store.begin_import(account, false, Utc::now()).await.expect("begins");
    let (rows, mut batches) = mpsc::channel::<Batch>(2);
    let reading = tokio::task::spawn_blocking(move || {
        export.read(|batch| rows.blocking_send(batch).map_err(|_| segno::data_export::Stopped))
    });
    let mut num_new = 0;
    while let Some(batch) = batches.recv().await {
        num_new += import.add(&batch.streams).await.expect("adds").num_new;
    }
    reading.await.expect("reads").expect("reads");
    let read = began.elapsed();
    import.finish(&ImportOutcome { num_new, ..ImportOutcome::default() }).await.expect("finishes");
    println!(
        "{name}: import of {num_new} rows: {:.1} s, of which {:.1} s for the rows",
        began.elapsed().as_secs_f64(),
        read.as_secs_f64()
    );
    ask(name, &store, account).await;
}

/// Spans of all lengths, anywhere.
fn span(rng: &mut fastrand::Rng) -> Span {
    let days = 4400;
    let since = rng.i64(-30..days);
    let length = match rng.u32(..6) {
        0 => 1,
        1 => 7,
        2 => 31,
        3 => 365,
        4 => rng.i64(1..days),
        _ => 2 * days,
    };
    let since = if length > days { first() - TimeDelta::days(1) } else { first() + TimeDelta::days(since) };
    Span { since, until: since + TimeDelta::days(length) }
}

async fn ask(name: &str, store: &Store, account: AccountId) {
    let mut rng = fastrand::Rng::with_seed(7);
    let zone = Zone::of_name("Europe/Amsterdam").expect("a zone");
    println!("{:<44} {:>8} {:>8} {:>8}", format!("{name}: milliseconds"), "median", "p99", "most");
    for (what, heard) in [("artists", Heard::Artists), ("tracks", Heard::Tracks), ("albums", Heard::Albums)] {
        let mut took = Vec::new();
        for _ in 0..ASKED {
            let span = span(&mut rng);
            let began = Instant::now();
            store.heard_most(account, heard, span, 20).await.expect("answers");
            took.push(began.elapsed());
        }
        print(&format!("most heard {what}"), took);
        let mut took = Vec::new();
        for _ in 0..ASKED {
            let span = span(&mut rng);
            let began = Instant::now();
            store.discovered(account, heard, span, zone, 20).await.expect("answers");
            took.push(began.elapsed());
        }
        print(&format!("discovered {what}"), took);
    }
    for (what, stretch) in [("day", Stretch::Day), ("week", Stretch::Week), ("hour of the week", Stretch::WeekHour)] {
        let mut took = Vec::new();
        for _ in 0..ASKED {
            let span = span(&mut rng);
            let began = Instant::now();
            store.heard_when(account, stretch, span, zone).await.expect("answers");
            took.push(began.elapsed());
        }
        print(&format!("heard by {what}"), took);
    }
    let mut took = Vec::new();
    for _ in 0..ASKED {
        let number = rng.u32(..NUM_TITLES);
        let (what, name) = match rng.u32(..3) {
            0 => (Heard::Artists, format!("Artist {}", number / 12)),
            1 => (Heard::Albums, format!("Album {}", number / 11)),
            _ => (Heard::Tracks, format!("spotify:track:{number:022}")),
        };
        let began = Instant::now();
        store.heard_one(account, &OneHeard { what, name, artist: None }).await.expect("answers");
        took.push(began.elapsed());
    }
    print("one artist, album or track", took);
    let mut took = Vec::new();
    for _ in 0..ASKED {
        let began = Instant::now();
        store.saved_unheard(account, 20).await.expect("answers");
        store.heard_unsaved(account, 20).await.expect("answers");
        took.push(began.elapsed());
    }
    print("saved and never heard, heard and never saved", took);
}

fn print(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let ms = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1000.0;
    println!("{what:<44} {:>8.1} {:>8.1} {:>8.1}", ms(0.5), ms(0.99), ms(1.0));
}
