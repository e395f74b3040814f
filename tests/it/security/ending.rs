//! SIGTERM ends the service within ten seconds, also while its database is held by somebody else.

use super::{Backend, Database, Sandbox, Segno, both, wait_until};
use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use serde_json::json;
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

both! {
    fn a_service_whose_database_is_held_ends_within_ten_seconds(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(3000, 60, 60, 4, 60));
        sandbox.configure(json!({ "latency_ms": 40 }));
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
        let began = Instant::now();
        running.signal("TERM");
        let ended = running.wait();
        let told = std::fs::read_to_string(&log).expect("a log");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}: {told}", began.elapsed());
        assert_eq!(ended.code, Some(0), "{told}");
    }
}
