//! The API of the page over a large library, while a sync runs: how long each route takes under the load of many
//! clients, and what that load costs the sync.
//!
//! `cargo bench --bench web`: a million saved tracks and a million plays in SQLite, and in PostgreSQL if
//! `SEGNO_TEST_POSTGRES_URL` names a server. `SEGNO_BENCH_ROWS` sets another number, and `sqlite` or `postgres` as an
//! argument chooses one.

#[path = "web/fill.rs"]
mod fill;
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "web/service.rs"]
mod service;

use serde_json::Value;
use service::Service;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

/// Each has a page open and views something else every second.
const NUM_CLIENTS: usize = 50;
const ASKS_EVERY: Duration = Duration::from_secs(1);

/// The routes, and whether one page leads to the next.
const ROUTES: &[&str] = &[
    "status",
    "tracks",
    "tracks?order=asc",
    "tracks?sort=name",
    "tracks?sort=name&order=desc",
    "tracks?removed=true",
    "tracks?q=amber",
    "tracks?q=nothing%20is%20called%20this",
    "albums",
    "albums?sort=name",
    "artists",
    "artists?sort=first_seen_at",
    "playlists",
    "plays",
    "plays?q=nothing%20is%20called%20this",
    "changes",
    "changes?kind=removed",
    "batches",
    "activity",
];

type Latencies = BTreeMap<&'static str, Vec<Duration>>;

fn main() {
    let num_rows: u64 = std::env::var("SEGNO_BENCH_ROWS").map_or(1_000_000, |rows| rows.parse().expect("a number"));
    let chosen: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let databases = [
        ("sqlite", Some(format!("sqlite:{}", folder.path().join("bench.db").display()))),
        ("postgres", std::env::var("SEGNO_TEST_POSTGRES_URL").ok()),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for (name, url) in
        databases.into_iter().filter(|(name, _)| chosen.is_empty() || chosen.iter().any(|one| one == name))
    {
        match url {
            Some(url) => tokio::task::LocalSet::new().block_on(&runtime, bench(name, &url, &folder, num_rows)),
            None => println!("{name} SKIPPED: SEGNO_TEST_POSTGRES_URL is not set"),
        }
    }
}

async fn bench(name: &str, url: &str, home: &tempfile::TempDir, num_rows: u64) {
    let (url, sandbox) = (fill::fresh(name, url).await, service::start_sandbox());
    service::sign_in(&url, home.path(), &sandbox);
    let began = Instant::now();
    fill::fill(&url, num_rows).await;
    println!("{name}: {num_rows} saved tracks and as many plays, filled in {:.0} s", began.elapsed().as_secs_f64());

    // The first run writes tracks that the others find.
    let warm = Service::start(&url, home.path(), &sandbox);
    warm.sync_is_complete().await;
    let began = Instant::now();
    while warm.get("tracks?sort=name").await.is_none() {
        assert!(began.elapsed() < Duration::from_secs(180), "no index of names was built");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    warm.stop();

    let mut rates = Vec::new();
    let mut latencies = Latencies::new();
    for with_load in [false, true, false, true] {
        fill::forget_playlists(&url).await;
        let service = Rc::new(Service::start(&url, home.path(), &sandbox));
        let over = Rc::new(Cell::new(false));
        let gathered: Rc<RefCell<Latencies>> = Rc::default();
        let clients: Vec<_> = (0..if with_load { NUM_CLIENTS } else { 0 })
            .map(|number| tokio::task::spawn_local(client(number, service.clone(), over.clone(), gathered.clone())))
            .collect();
        let (items, took) = service.sync_is_complete().await;
        over.set(true);
        for client in clients {
            client.await.expect("a client");
        }
        rates.push((with_load, items / took.as_secs_f64()));
        for (route, took) in gathered.take() {
            latencies.entry(route).or_default().extend(took);
        }
        Rc::into_inner(service).expect("no client is left").stop();
    }
    print_latencies(&mut latencies);
    print_rates(&rates);
}

/// Requests one thing after another, and continues from page to page.
async fn client(number: usize, service: Rc<Service>, over: Rc<Cell<bool>>, gathered: Rc<RefCell<Latencies>>) {
    let mut marks: BTreeMap<&str, String> = BTreeMap::new();
    tokio::time::sleep(ASKS_EVERY * number as u32 / NUM_CLIENTS as u32).await;
    let mut ticks = tokio::time::interval(ASKS_EVERY);
    for route in ROUTES.iter().cycle().skip(number) {
        ticks.tick().await;
        if over.get() {
            return;
        }
        let after = marks.get(route).map(|next| format!("{}after={next}", if route.contains('?') { "&" } else { "?" }));
        let began = Instant::now();
        let answer = service.get(&format!("{route}{}", after.unwrap_or_default())).await;
        let took = began.elapsed();
        let answer = answer.unwrap_or_else(|| panic!("{route} is refused"));
        gathered.borrow_mut().entry(route).or_default().push(took);
        match answer["next"].as_str() {
            Some(next) => marks.insert(route, next.to_owned()),
            None => marks.remove(route),
        };
    }
}

fn print_latencies(latencies: &mut Latencies) {
    println!(
        "{:<42} {:>9} {:>9} {:>9} {:>9}",
        "route, 50 clients, one request a second each", "requests", "p50 ms", "p99 ms", "max ms"
    );
    for (route, took) in latencies.iter_mut() {
        took.sort_unstable();
        let at =
            |part: f64| took[((took.len() as f64 * part).ceil() as usize).clamp(1, took.len()) - 1].as_secs_f64() * 1e3;
        println!("{route:<42} {:>9} {:>9.1} {:>9.1} {:>9.1}", took.len(), at(0.5), at(0.99), at(1.0));
    }
}

fn print_rates(rates: &[(bool, f64)]) {
    let mean = |with_load| {
        let of: Vec<f64> = rates.iter().filter(|(load, _)| *load == with_load).map(|(_, rate)| *rate).collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    let (without, with) = (mean(false), mean(true));
    println!(
        "the sync: {without:.0} items/s alone, {with:.0} items/s with the load: {:+.1} %",
        (with / without - 1.0) * 100.0
    );
    println!("each run: {rates:?}\n");
}

/// A field of an answer.
fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}
