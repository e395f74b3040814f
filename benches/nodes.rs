//! Many nodes on one PostgreSQL: how fast they claim accounts, send requests and commit, by their number; how much of a
//! limit they use together; what a node costs while nothing is due; and the statement that claims, over many accounts.
//!
//! `cargo bench --bench nodes` drives the real binary against a sandbox, each in a process of its own, on the server
//! that `SEGNO_TEST_POSTGRES_URL` names, and prints tables of Markdown. Arguments choose parts: `work`, `limit`,
//! `rest`, `claims`; and numbers of nodes. `SEGNO_BENCH_ACCOUNTS` sets how many accounts are idle.

#[path = "nodes/accounts.rs"]
mod accounts;
#[path = "nodes/claims.rs"]
mod claims;
#[path = "nodes/fleet.rs"]
mod fleet;
#[path = "nodes/markdown.rs"]
mod markdown;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/sandbox.rs"]
mod sandbox;

use fleet::{Node, Session};
use markdown::{header, row};
use sandbox::Sandbox;
use std::{path::Path, time::Duration};

const NUMBERS_OF_NODES: [usize; 4] = [1, 2, 4, 8];

const NUM_ENTITY_TYPES: u64 = 7;

/// People of a sandbox, each with a library that takes some thirty requests.
const LIBRARIES: [&str; 18] = [
    "--users",
    "100",
    "--tracks",
    "1000",
    "--albums",
    "50",
    "--artists",
    "20",
    "--playlists",
    "4",
    "--playlist-items",
    "50",
    "--shows",
    "2",
    "--episodes",
    "2",
    "--audiobooks",
    "2",
];

/// Fewer people with more to read.
const FEW_LIBRARIES: [&str; 10] =
    ["--users", "30", "--tracks", "4000", "--albums", "50", "--artists", "20", "--playlists", "4"];

/// A limit that is never reached.
const NO_LIMIT: &[(&str, &str)] = &[("SEGNO_RATE_LIMIT_REQUESTS", "1000000")];

/// Requests that the nodes may send together in any window of the API's length, and how many windows they fill.
const LIMIT: u64 = 600;
const LIMITED: &[(&str, &str)] = &[("SEGNO_RATE_LIMIT_REQUESTS", "600")];
const WINDOW: Duration = Duration::from_secs(30);
const WINDOWS: u32 = 3;

const RESTING: u64 = 10_000;
const RESTS_FOR: Duration = Duration::from_secs(60);

/// A node that does more than this in five seconds is still adopting accounts.
const AT_REST: u64 = 100;

/// A node sums up the listening of its accounts a minute after its start, and then once a day.
const LOOKED_AFTER: Duration = Duration::from_secs(70);

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Ok(server) = std::env::var("SEGNO_TEST_POSTGRES_URL") else {
        println!("SKIPPED: SEGNO_TEST_POSTGRES_URL is not set");
        return;
    };
    let chosen: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let (numbers, parts): (Vec<String>, Vec<String>) = chosen.into_iter().partition(|one| one.parse::<usize>().is_ok());
    let is_chosen = |part: &str| parts.is_empty() || parts.iter().any(|one| one == part);
    let is_wanted = |number: &usize| numbers.is_empty() || numbers.iter().any(|one| *one == number.to_string());
    let numbers_of_nodes: Vec<usize> = NUMBERS_OF_NODES.into_iter().filter(is_wanted).collect();
    let num_resting = std::env::var("SEGNO_BENCH_ACCOUNTS").map_or(RESTING, |num| num.parse().expect("a number"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let home = tempfile::tempdir().expect("a temporary folder");
    runtime.block_on(async {
        if is_chosen("work") {
            header(&["nodes", "accounts", "seconds", "requests", "requests/s", "commits", "commits/s"]);
            for num_nodes in numbers_of_nodes.iter().copied() {
                work(&server, home.path(), num_nodes).await;
            }
            println!();
        }
        if is_chosen("limit") {
            header(&["nodes", "busy", "requests", "seconds", "limit used", "most in a window", "refused"]);
            for num_nodes in numbers_of_nodes.iter().copied() {
                limit(&server, home.path(), num_nodes, &LIBRARIES, 0).await;
            }
            if let Some(most) = numbers_of_nodes.last().copied().filter(|most| *most > 2) {
                limit(&server, home.path(), most, &FEW_LIBRARIES, 70).await;
            }
            println!();
        }
        if is_chosen("rest") {
            let each = ["MiB each", "CPU ms a minute each", "transactions a minute", "server's CPU ms a minute"];
            header(&[&["nodes", "accounts", "claimed/s"][..], &each].concat());
            rest(&server, home.path(), 1, 1).await;
            for num_nodes in numbers_of_nodes.iter().copied() {
                rest(&server, home.path(), num_nodes, num_resting).await;
            }
            println!();
        }
        if is_chosen("claims") {
            for num_accounts in [10_000, 1_000_000] {
                claims::measure(&server, num_accounts).await;
            }
        }
    });
}

/// An empty database with idle nodes: there is one account, with nothing due.
async fn start(
    server: &str,
    home: &Path,
    (sandbox, num_nodes): (&Sandbox, usize),
    settings: &[(&str, &str)],
) -> (Session, Vec<Node>) {
    let url = postgres::fresh_database(server, "segno_bench_nodes").await;
    let database = segno::store::DatabaseUrl::parse(&url).expect("a URL");
    drop(segno::store::Store::open(&database, "bench").await.expect("makes the tables"));
    let session = Session::open(&url).await;
    accounts::add_resting(&session, sandbox.client_id(), 1).await;
    let nodes: Vec<Node> = (0..num_nodes).map(|_| Node::start(&url, home, sandbox, settings)).collect();
    session.wait_for("nodes WHERE holds_until > now()", num_nodes as u64).await;
    session.wait_for("accounts WHERE owner IS NOT NULL", 1).await;
    (session, nodes)
}

/// People sign in, all at once, and their libraries are read.
async fn work(server: &str, home: &Path, num_nodes: usize) {
    let sandbox = Sandbox::start(LIBRARIES);
    let (session, nodes) = start(server, home, (&sandbox, num_nodes), NO_LIMIT).await;
    sandbox.forget_requests().await;
    let num_people = accounts::add_people(&session, &sandbox, 0).await;
    let read = "sync_states WHERE phase = 'initial_sync' AND completed_at IS NOT NULL";
    session.wait_for(read, NUM_ENTITY_TYPES * (num_people + 1)).await;
    let ((requests, seconds), commits) = (sandbox.requests().await, session.count("sync_batches").await);
    row(&[
        &num_nodes.to_string(),
        &num_people.to_string(),
        &format!("{seconds:.1}"),
        &format!("{requests:.0}"),
        &format!("{:.0}", requests / seconds),
        &commits.to_string(),
        &format!("{:.0}", commits as f64 / seconds),
    ]);
    drop(nodes);
}

/// The same with a limit that is far below what the nodes could send. Accounts at rest leave some nodes with little to
/// do, or nothing.
async fn limit(server: &str, home: &Path, num_nodes: usize, libraries: &[&str], num_resting: u64) {
    let sandbox = Sandbox::start([libraries, &["--rate", "100000", "--window", "30s"]].concat());
    let (session, nodes) = start(server, home, (&sandbox, num_nodes), LIMITED).await;
    sandbox.forget_requests().await;
    accounts::add_people(&session, &sandbox, num_resting).await;
    // The nodes send in bursts, so what is measured is when the windows are full and the next request is let through.
    let full = (LIMIT * u64::from(WINDOWS)) as f64;
    let (requests, seconds) = loop {
        let (requests, seconds) = sandbox.requests().await;
        if requests > full {
            break (requests, seconds);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let stats = sandbox.get("stats").await;
    let number = |name: &str| stats[name].as_u64().unwrap_or_default();
    let busy = "(SELECT DISTINCT a.owner FROM accounts a JOIN sync_batches b ON b.account_id = a.id) busy";
    row(&[
        &num_nodes.to_string(),
        &session.count(busy).await.to_string(),
        &format!("{requests:.0}"),
        &format!("{seconds:.1}"),
        &format!("{:.1} %", (WINDOW * WINDOWS).as_secs_f64() / seconds * 100.0),
        &format!("{} of {LIMIT}", number("max_in_window")),
        &number("refused").to_string(),
    ]);
    drop(nodes);
}

/// New accounts with nothing due: how fast they are claimed, and what they cost from then on.
async fn rest(server: &str, home: &Path, num_nodes: usize, num_accounts: u64) {
    let sandbox = Sandbox::start(["--tracks", "0", "--albums", "0", "--artists", "0", "--playlists", "0"]);
    let (session, nodes) = start(server, home, (&sandbox, num_nodes), NO_LIMIT).await;
    let mut claimed = "-".to_owned();
    if num_accounts > 1 {
        accounts::add_resting(&session, sandbox.client_id(), num_accounts - 1).await;
        let (took, _) = session.wait_for("accounts WHERE owner IS NOT NULL", num_accounts).await;
        claimed = format!("{:.0}", (num_accounts - 1) as f64 / took.as_secs_f64());
    }
    tokio::time::sleep(LOOKED_AFTER).await;
    session.wait_for_rest(AT_REST * num_nodes as u64).await;
    let measure = async || {
        let cpu: Duration = nodes.iter().map(Node::cpu).sum();
        (cpu, session.num_transactions().await, session.cpu_of_server().await)
    };
    let before = measure().await;
    tokio::time::sleep(RESTS_FOR).await;
    let after = measure().await;
    assert_eq!(sandbox.requests().await.0, 0.0, "nothing was due");
    let minutes = RESTS_FOR.as_secs_f64() / 60.0;
    let per_minute = |spent: Duration| format!("{:.0}", spent.as_secs_f64() * 1e3 / minutes);
    let of_server = after.2.zip(before.2).map(|(after, before)| per_minute(after.saturating_sub(before)));
    row(&[
        &num_nodes.to_string(),
        &num_accounts.to_string(),
        &claimed,
        &format!("{:.1}", nodes.iter().map(Node::memory_mib).sum::<f64>() / num_nodes as f64),
        &per_minute((after.0 - before.0) / num_nodes as u32),
        // Each of our own queries is one.
        &format!("{:.0}", (after.1 - before.1).saturating_sub(2) as f64 / minutes),
        of_server.as_deref().unwrap_or("-"),
    ]);
}
