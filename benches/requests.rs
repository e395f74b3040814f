//! What each kind of run costs in requests, measured by the real binary against a sandbox in a process of its own, and
//! written to `docs/requests.md`.
//!
//! `cargo bench --bench requests`; `cargo bench --bench requests --profile dev --features fault-hooks` takes less time
//! to build and gives the same numbers.

#[path = "support/sandbox.rs"]
mod sandbox;

use sandbox::Sandbox;
use serde_json::{Value, json};
use std::{
    fmt::Write,
    fs,
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// Besides the tracks, every library has these.
const ALBUMS: u32 = 500;
const ARTISTS: u32 = 180;
const PLAYLISTS: u32 = 40;
const PLAYLIST_ITEMS: u32 = 100;
const SHOWS: u32 = 30;
const EPISODES: u32 = 40;
const AUDIOBOOKS: u32 = 20;

const SIZES: [u32; 4] = [1_000, 5_000, 10_000, 50_000];

/// Costs for each size, in the order of the lines below.
struct Costs {
    least: u64,
    first: u64,
    nothing: u64,
    added: u64,
    removed: Series,
    ten_removed: Series,
    playlist_edited: u64,
    verify: u64,
}

/// Several runs of one kind.
struct Series {
    average: f64,
    most: u64,
}

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let costs: Vec<Costs> = SIZES.into_iter().map(measure).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/requests.md");
    fs::write(path, page(&costs)).expect("the docs are writable");
    println!("wrote docs/requests.md");
}

fn measure(tracks: u32) -> Costs {
    let bench = Bench::start(tracks);
    let pages = |slots: u32| u64::from(slots.div_ceil(50).max(1));
    let items = u64::from(PLAYLISTS) * pages(PLAYLIST_ITEMS);
    // And one to learn whose library it is.
    let listings = [tracks, ALBUMS, ARTISTS, PLAYLISTS, SHOWS, EPISODES, AUDIOBOOKS];
    let least = listings.into_iter().map(pages).sum::<u64>() + items + 1;
    let first = bench.run("sync");
    let nothing = bench.run("sync");
    bench.edit(json!({ "op": "add_tracks", "count": 1 }));
    let added = bench.run("sync");
    let mut random = fastrand::Rng::with_seed(u64::from(tracks));
    let removed = series(12, || {
        bench.edit(json!({ "op": "remove_tracks", "offset": random.u32(0..tracks - 200) }));
        bench.run("sync")
    });
    let ten_removed = series(6, || {
        (0..10).for_each(|_| bench.edit(json!({ "op": "remove_tracks", "offset": random.u32(0..tracks - 200) })));
        bench.run("sync")
    });
    bench.edit(json!({ "op": "playlist_insert", "index": 3, "position": 50, "count": 1 }));
    let playlist_edited = bench.run("sync");
    let verify = bench.run("verify");
    println!("{tracks} tracks: {first} requests for the first sync, {least} at least");
    Costs { least, first, nothing, added, removed, ten_removed, playlist_edited, verify }
}

fn series(num_runs: u32, mut run: impl FnMut() -> u64) -> Series {
    let costs: Vec<u64> = (0..num_runs).map(|_| run()).collect();
    let most = costs.iter().copied().max().expect("one run at least");
    Series { average: costs.iter().sum::<u64>() as f64 / f64::from(num_runs), most }
}

fn page(costs: &[Costs]) -> String {
    let mut out = format!(
        "# Requests\n\n\
         What a run costs in requests: `cargo bench --bench requests` measures it, with the real binary against \
         `segno sandbox`,\nand writes this page. The numbers do not depend on the machine.\n\n\
         Beside its tracks each library has {ALBUMS} saved albums, {ARTISTS} followed artists, {PLAYLISTS} playlists \
         of {PLAYLIST_ITEMS} items, {SHOWS} saved\nshows, {EPISODES} episodes and {AUDIOBOOKS} audiobooks. A run of \
         `segno sync` reads all entity types, and so does `segno verify`. One\nrequest of the first sync asks whose \
         library it is.\n\n"
    );
    let sizes: Vec<String> = SIZES.iter().map(|size| grouped(u64::from(*size))).collect();
    let _ = writeln!(out, "| tracks | {} |", sizes.join(" | "));
    let mut row = |name: &str, cell: &dyn Fn(&Costs) -> String| {
        let cells: Vec<String> = costs.iter().map(cell).collect();
        let _ = writeln!(out, "| {name} | {} |", cells.join(" | "));
    };
    row("---", &|_| "---:".into());
    row("the minimum possible for all of it", &|costs| grouped(costs.least));
    row("first sync", &|costs| {
        let over = (costs.first as f64 / costs.least as f64 - 1.0) * 100.0;
        format!("{} (+{over:.1} %)", grouped(costs.first))
    });
    row("nothing changed", &|costs| grouped(costs.nothing));
    row("one track saved", &|costs| grouped(costs.added));
    row("one track removed, on average", &|costs| format!("{:.1}", costs.removed.average));
    row("one track removed, at most", &|costs| grouped(costs.removed.most));
    row("ten removed at random places, on average", &|costs| format!("{:.0}", costs.ten_removed.average));
    row("ten removed at random places, at most", &|costs| grouped(costs.ten_removed.most));
    row("an item added to a playlist", &|costs| grouped(costs.playlist_edited));
    row("`segno verify`", &|costs| grouped(costs.verify));
    let Costs { nothing, removed, .. } = &costs[2];
    let of_tracks = removed.most - nothing + 1;
    let _ = write!(
        out,
        "\nIn every line but the first two and the last, {nothing} requests are those of a run that finds nothing \
         changed: one each\nfor tracks, albums, shows, episodes and audiobooks, one per 50 followed artists, one per 50 \
         playlists. For one removal the\nrest is the search, with a last look at the head before anything is marked \
         removed: among 10,000 tracks at most {of_tracks}\nrequests for the tracks. For an edited playlist it is its \
         items, and the listing once more if they took several pages.\n\n\
         A service does not read the followed artists in every run (`sync.artists_every`), and spreads what `verify` \
         costs for\nlistings sorted newest first over the runs of `sync.verify_every`: by default, for 5,000 tracks, four \
         requests in each.\n"
    );
    out
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A sandbox and a database that it is synced into.
struct Bench {
    sandbox: Sandbox,
    home: TempDir,
}

impl Bench {
    fn start(tracks: u32) -> Bench {
        let numbers = [
            ("--tracks", tracks),
            ("--albums", ALBUMS),
            ("--artists", ARTISTS),
            ("--playlists", PLAYLISTS),
            ("--playlist-items", PLAYLIST_ITEMS),
            ("--shows", SHOWS),
            ("--episodes", EPISODES),
            ("--audiobooks", AUDIOBOOKS),
        ];
        let numbers = numbers.iter().map(|(flag, number)| format!("{flag}={number}"));
        Bench { sandbox: Sandbox::start(numbers), home: tempfile::tempdir().expect("a temporary folder") }
    }

    /// Runs a command to its end and returns how many requests it took.
    fn run(&self, command: &str) -> u64 {
        let output = Command::new(env!("CARGO_BIN_EXE_segno"))
            .args([command, "--json"])
            .current_dir(self.home.path())
            .env("HOME", self.home.path())
            .env("SEGNO_DATABASE_URL", format!("sqlite:{}", self.home.path().join("bench.db").display()))
            .env("SEGNO_RATE_LIMIT_REQUESTS", "1000000")
            .envs(&self.sandbox.env)
            .stderr(Stdio::null())
            .output()
            .expect("the binary starts");
        assert!(output.status.success(), "{command}: {output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        report["requests"].as_u64().expect("a number")
    }

    fn edit(&self, edit: Value) {
        let base = &self.sandbox.env["SEGNO_SPOTIFY_ACCOUNTS_URL"];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let url = format!("{base}/_sandbox/edit");
            let body = json!({ "edits": [edit] }).to_string();
            let sent = reqwest::Client::new().post(url).body(body).send().await;
            assert!(sent.expect("the sandbox answers").status().is_success(), "{edit}");
        });
    }
}
