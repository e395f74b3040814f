//! The real binary as a node, the sandbox that it reads from, and what Linux and PostgreSQL count for both.

use super::sandbox::Sandbox;
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(600);

/// A connection to the database under test.
pub struct Session(Client);

impl Session {
    pub async fn open(url: &str) -> Session {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a server");
        tokio::spawn(connection);
        Session(client)
    }

    pub async fn execute(&self, sql: &str) {
        self.0.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The numbers of a query with one column.
    pub async fn numbers(&self, sql: &str) -> Vec<u64> {
        let rows = self.0.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let number = |row: SimpleQueryMessage| match row {
            SimpleQueryMessage::Row(row) => row.get(0).and_then(|number| number.parse().ok()),
            _ => None,
        };
        rows.into_iter().filter_map(number).collect()
    }

    pub async fn count(&self, from: &str) -> u64 {
        self.numbers(&format!("SELECT count(*) FROM {from}")).await[0]
    }

    /// Waits until there are this many. Returns how long it took from the first on, and from the call on.
    pub async fn wait_for(&self, from: &str, wanted: u64) -> (Duration, Duration) {
        let (called_at, mut first_at) = (Instant::now(), None);
        let before = self.count(from).await;
        loop {
            let found = self.count(from).await;
            if found > before {
                first_at.get_or_insert_with(Instant::now);
            }
            if found == wanted {
                return (first_at.unwrap_or(called_at).elapsed(), called_at.elapsed());
            }
            assert!(called_at.elapsed() < PATIENCE, "{found} of {wanted}: {from}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Committed transactions of all clients of this database.
    pub async fn num_transactions(&self) -> u64 {
        self.numbers("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").await[0]
    }

    /// Waits until there are at most this many transactions in five seconds, four times in a row.
    pub async fn wait_for_rest(&self, at_rest: u64) {
        let began = Instant::now();
        let (mut before, mut num_calm) = (self.num_transactions().await, 0);
        while num_calm < 4 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let after = self.num_transactions().await;
            num_calm = if after - before <= at_rest { num_calm + 1 } else { 0 };
            assert!(began.elapsed() < PATIENCE, "{} transactions in five seconds", after - before);
            before = after;
        }
    }

    /// CPU time of the server's processes that serve the others on this database; `None` if it runs elsewhere.
    pub async fn cpu_of_server(&self) -> Option<Duration> {
        let served = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        self.numbers(served).await.into_iter().map(cpu_of).sum()
    }
}

/// The CPU time of a process.
pub fn cpu_of(pid: u64) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat[stat.rfind(')')? + 2..].split(' ').collect();
    let ticks: u64 = fields.get(11..13)?.iter().filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // Linux counts in units of 10 ms.
    Some(Duration::from_millis(ticks * 10))
}

pub struct Node {
    child: Child,
}

impl Node {
    pub fn start(url: &str, home: &Path, sandbox: &Sandbox, settings: &[(&str, &str)]) -> Node {
        let mut command = Command::new(env!("CARGO_BIN_EXE_segno"));
        // Variables meant for the benchmark are not settings of the service.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SEGNO_")) {
            command.env_remove(name);
        }
        command.arg("run").current_dir(home).env("HOME", home).env("SEGNO_DATABASE_URL", url).envs(&sandbox.env);
        command.env_remove("SEGNO_SPOTIFY_REFRESH_TOKEN").env("SEGNO_WEB_LISTEN", "off").env("SEGNO_LOG", "warn");
        command.envs(settings.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Node { child: command.spawn().expect("the binary starts") }
    }

    pub fn cpu(&self) -> Duration {
        cpu_of(self.child.id().into()).expect("Linux, and a node that runs")
    }

    /// Memory in use.
    pub fn memory_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a node that runs");
        let kib: f64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
        kib / 1024.0
    }
}

/// Stops it as the system does, and waits.
impl Drop for Node {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

impl Sandbox {
    pub fn client_id(&self) -> &str {
        &self.env["SEGNO_SPOTIFY_CLIENT_ID"]
    }

    pub async fn get(&self, path: &str) -> Value {
        let url = format!("{}/_sandbox/{path}", self.env["SEGNO_SPOTIFY_ACCOUNTS_URL"]);
        let answer = reqwest::Client::new().get(url).send().await.expect("the sandbox answers");
        serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON")
    }

    /// Requests to the Web API, and the seconds over which they arrived.
    pub async fn requests(&self) -> (f64, f64) {
        let stats = self.get("stats").await;
        let number = |name: &str| stats[name].as_f64().unwrap_or_default();
        (number("requests"), (number("last_at_ms") - number("first_at_ms")) / 1000.0)
    }

    pub async fn forget_requests(&self) {
        let url = format!("{}/_sandbox/stats/reset", self.env["SEGNO_SPOTIFY_ACCOUNTS_URL"]);
        let sent = reqwest::Client::new().post(url).send().await;
        assert!(sent.expect("the sandbox answers").status().is_success());
    }
}
