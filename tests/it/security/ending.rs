//! SIGTERM ends the service within ten seconds, whatever hangs.

use super::{Backend, Cluster, Database, Running, Sandbox, Segno, both, wait_until};
use crate::support::{block_on, http};
use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use serde_json::json;
use std::{
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

const PROMISED: Duration = Duration::from_secs(10);

fn slow() -> Sandbox {
    let sandbox = Sandbox::exact(3000, 60, 60, 4, 60);
    sandbox.configure(json!({ "latency_ms": 40 }));
    sandbox
}

/// Stops it, and expects a clean end in time. Returns its log.
fn expect_end(running: Running, log: &Path) -> String {
    let began = Instant::now();
    running.signal("TERM");
    let ended = running.wait();
    let told = fs::read_to_string(log).expect("a log");
    assert!(began.elapsed() < PROMISED, "{:?}: {told}", began.elapsed());
    assert_eq!(ended.code, Some(0), "{told}");
    told
}

both! {
    fn a_service_whose_database_is_held_ends_within_ten_seconds(backend) {
        let (database, sandbox) = (Database::new(backend), slow());
        let log = database.folder.path().join("run.log");
        let running = Segno::on(&database, &sandbox, &["run"]).conversing(&log).spawn();
        wait_until("a batch is committed", || database.num_batches() >= 1);
        let lock = "LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE";
        let _held = (backend == Backend::Postgres).then(|| database.hold(lock));
        let mut file = (backend == Backend::Sqlite)
            .then(|| SqliteConnection::establish(&database.file().display().to_string()).expect("opens"));
        if let Some(file) = &mut file {
            file.batch_execute("PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE").expect("it is free now and then");
        }
        // Long enough for the service to look for sign-ins, and to wait.
        sleep(Duration::from_millis(3200));
        expect_end(running, &log);
    }
}

/// The status and the body of an answer. A query of the database may take ten seconds.
fn got(url: &str) -> (u16, String) {
    block_on(async {
        let client = http::builder().timeout(Duration::from_secs(20)).build().expect("a client");
        let answer = client.get(url).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a text"))
    })
}

/// The server hangs, with every connection: nothing answers, and nothing fails.
#[test]
fn a_service_whose_server_is_frozen_ends_within_ten_seconds() {
    let Some(cluster) = Cluster::start() else { return };
    let sandbox = slow();
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("run.log");
    let segno = |args: &[&str]| {
        let segno = Segno::new(folder.path(), args).env("SEGNO_DATABASE_URL", &cluster.url());
        let segno = sandbox.env.iter().fold(segno, |segno, (name, value)| segno.env(name, value));
        segno.env("SEGNO_RATE_LIMIT_REQUESTS", "100000").env("SEGNO_RATE_LIMIT_WINDOW", "1s")
    };
    let running = segno(&["run"]).env("SEGNO_WEB_LISTEN", "127.0.0.1:0").conversing(&log).spawn();
    wait_until("requests are sent", || sandbox.requests("tracks") >= 8);
    let page = || {
        let text = fs::read_to_string(&log).expect("a log");
        text.lines().find_map(|line| line.split_once("the status page is at ")).map(|(_, url)| url.trim().to_owned())
    };
    wait_until("the page is served", || page().is_some());
    let url = page().expect("an address");
    let (status, _) = got(&format!("{url}/api/v1/status"));
    assert_eq!(status, 200);
    cluster.freeze();
    // The page reports it, and stays reachable.
    wait_until("the page says that the database is away", || {
        let (status, body) = got(&format!("{url}/api/v1/status"));
        status == 503 && body.contains("the database does not answer")
    });
    assert_eq!(got(&format!("{url}/readyz")).0, 503);
    assert_eq!(got(&format!("{url}/healthz")).0, 200, "the service lives");
    // Requests meanwhile are answered soon, and do not hang.
    let began = Instant::now();
    let looked = segno(&["status"]).run();
    assert_eq!(looked.code, Some(1), "{}", looked.told());
    assert!(
        looked.stderr.contains("no answer within 10 s") && began.elapsed() < Duration::from_secs(20),
        "{}",
        looked.told()
    );
    expect_end(running, &log);
}

/// No file may grow any more, as on a full disk.
#[test]
fn a_service_whose_disk_is_full_goes_on_and_ends_within_ten_seconds() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), slow());
    let log = database.folder.path().join("run.log");
    Segno::on(&database, &sandbox, &["sync", "artists"]).succeed();
    let script = "ulimit -f 1500; exec \"$@\"";
    let mut running = Segno::on(&database, &sandbox, &["run"]).through(script).conversing(&log).spawn();
    let told = || fs::read_to_string(&log).expect("a log");
    wait_until("a write fails", || told().contains("I/O error") || told().contains("disk is full"));
    sleep(Duration::from_millis(1000));
    assert!(running.is_running(), "{}", told());
    let told = expect_end(running, &log);
    assert!(!told.contains("panicked"), "{told}");
    let sound = database.lines("SELECT integrity_check AS line FROM pragma_integrity_check");
    assert_eq!(sound, ["ok"]);
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    sandbox.library().assert_held_by(&database);
}

#[test]
fn a_sync_whose_disk_is_full_ends_and_says_what_to_do() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), slow());
    Segno::on(&database, &sandbox, &["sync", "artists"]).succeed();
    let script = "ulimit -f 1500; exec \"$@\"";
    let ended = Segno::on(&database, &sandbox, &["sync"]).through(script).run();
    assert_eq!(ended.code, Some(1), "{}", ended.told());
    assert!(ended.told().contains("make room on the disk of the database"), "{}", ended.told());
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    sandbox.library().assert_held_by(&database);
}

/// The thread of all actors hangs, and with it everything that could end cleanly.
#[test]
fn a_process_that_hangs_altogether_ends_within_ten_seconds_and_says_so() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), slow());
    let log = database.folder.path().join("run.log");
    let running =
        Segno::on(&database, &sandbox, &["run"]).env("SEGNO_FAULTS", "writer.commit=3!").conversing(&log).spawn();
    wait_until("it hangs", || {
        let num_requests = sandbox.requests("*");
        sleep(Duration::from_millis(700));
        num_requests > 0 && num_requests == sandbox.requests("*")
    });
    let told = expect_end(running, &log);
    assert!(told.contains("something hangs, and is not waited for"), "{told}");
}
