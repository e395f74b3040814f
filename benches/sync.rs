//! Whole syncs by the real binary from a sandbox in a process of its own: items per second, requests compared with the
//! least possible, CPU time and peak memory of the syncing process.
//!
//! `cargo bench --bench sync` runs on SQLite, and on PostgreSQL if `SEGNO_TEST_POSTGRES_URL` names a server. Arguments
//! choose cases by part of their name.

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/sandbox.rs"]
mod sandbox;

use sandbox::Sandbox;
use serde_json::Value;
use std::{
    fs,
    io::Read,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

struct Case {
    name: &'static str,
    tracks: u32,
    albums: u32,
    artists: u32,
    playlists: u32,
    playlist_items: u32,
    latency: &'static str,
}

const CASES: &[Case] = &[
    Case {
        name: "10,000 tracks",
        tracks: 10_000,
        albums: 0,
        artists: 0,
        playlists: 0,
        playlist_items: 0,
        latency: "0s",
    },
    Case {
        name: "100,000 tracks",
        tracks: 100_000,
        albums: 0,
        artists: 0,
        playlists: 0,
        playlist_items: 0,
        latency: "0s",
    },
    Case {
        name: "100,000 tracks, 50 ms latency",
        tracks: 100_000,
        albums: 0,
        artists: 0,
        playlists: 0,
        playlist_items: 0,
        latency: "50ms",
    },
    Case {
        name: "5,000 tracks, 500 albums, 40 playlists of 100, 50 ms latency",
        tracks: 5_000,
        albums: 500,
        artists: 0,
        playlists: 40,
        playlist_items: 100,
        latency: "50ms",
    },
];

impl Case {
    /// One request for each full page, one for each empty listing, and one for who we are.
    fn least_requests(&self) -> u32 {
        let pages = |slots: u32| slots.div_ceil(50).max(1);
        let items = self.playlists * self.playlist_items.div_ceil(50);
        let spoken = 3 * pages(0);
        pages(self.tracks) + pages(self.albums) + pages(self.artists) + pages(self.playlists) + items + spoken + 1
    }

    fn items(&self) -> u32 {
        self.tracks + self.albums + self.artists + self.playlists + self.playlists * self.playlist_items
    }
}

fn main() {
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    println!(
        "{:<62} {:<10} {:>8} {:>9} {:>8} {:>7} {:>9} {:>12} {:>9}",
        "case", "database", "wall s", "items/s", "requests", "least", "over", "CPU ms/1000", "peak MiB"
    );
    for case in CASES.iter().filter(|case| filters.is_empty() || filters.iter().any(|part| case.name.contains(part))) {
        let sandbox = start_sandbox(case);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let databases = [
            ("sqlite", Some(format!("sqlite:{}", folder.path().join("bench.db").display()))),
            ("postgres", std::env::var("SEGNO_TEST_POSTGRES_URL").ok().map(|server| fresh_database(&server))),
        ];
        for (name, url) in databases {
            match url {
                Some(url) => print(case, name, &sync(case, &sandbox, &url, &folder)),
                None => println!("{:<62} {name:<10} SKIPPED: SEGNO_TEST_POSTGRES_URL is not set", case.name),
            }
        }
    }
}

fn print(case: &Case, database: &str, run: &Run) {
    let least = case.least_requests();
    let over = f64::from(run.requests) / f64::from(least) - 1.0;
    println!(
        "{:<62} {:<10} {:>8.2} {:>9.0} {:>8} {:>7} {:>8.1}% {:>12.1} {:>9.1}",
        case.name,
        database,
        run.wall.as_secs_f64(),
        f64::from(case.items()) / run.wall.as_secs_f64(),
        run.requests,
        least,
        over * 100.0,
        run.cpu.as_secs_f64() * 1e6 / f64::from(case.items()),
        run.peak_kib as f64 / 1024.0
    );
}

struct Run {
    wall: Duration,
    cpu: Duration,
    peak_kib: u64,
    requests: u32,
}

fn sync(case: &Case, sandbox: &Sandbox, url: &str, home: &TempDir) -> Run {
    let cpu_before = cpu_of_children();
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_segno"))
        .args(["sync", "--json"])
        .current_dir(home.path())
        .env("HOME", home.path())
        .env("SEGNO_DATABASE_URL", url)
        .env("SEGNO_RATE_LIMIT_REQUESTS", "1000000")
        .envs(&sandbox.env)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut peak_kib = 0;
    while child.try_wait().expect("a child").is_none() {
        peak_kib = peak_kib.max(peak_memory_kib(child.id()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(10));
    }
    let wall = began.elapsed();
    let cpu = cpu_of_children() - cpu_before;
    let mut stdout = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut stdout).expect("text");
    let report: Value = serde_json::from_str(&stdout).expect("a report");
    let new: u64 =
        report["entities"].as_array().expect("entities").iter().filter_map(|seen| seen["new"].as_u64()).sum();
    assert_eq!(new, u64::from(case.items()), "everything is stored: {report}");
    Run { wall, cpu, peak_kib, requests: report["requests"].as_u64().expect("a number") as u32 }
}

/// The peak memory of a process, as reported by Linux.
fn peak_memory_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// CPU time of the children that have ended, in Linux's units of 10 ms.
fn cpu_of_children() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat[stat.rfind(')').expect("a name") + 2..].split(' ').collect();
    let ticks: u64 = fields[13..15].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

fn start_sandbox(case: &Case) -> Sandbox {
    let numbers = [
        ("--tracks", case.tracks),
        ("--albums", case.albums),
        ("--artists", case.artists),
        ("--playlists", case.playlists),
        ("--playlist-items", case.playlist_items),
        ("--shows", 0),
        ("--episodes", 0),
        ("--audiobooks", 0),
    ];
    let numbers = numbers.iter().map(|(flag, number)| format!("{flag}={number}"));
    Sandbox::start(numbers.chain([format!("--latency={}", case.latency)]))
}

/// An empty database on the server; that of the last case is dropped.
fn fresh_database(server: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(postgres::fresh_database(server, "segno_bench_sync"))
}
