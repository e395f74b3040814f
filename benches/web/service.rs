//! The real binary as a service, beside a sandbox in a process of its own.

use super::{sandbox::Sandbox, text};
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Playlists, and items of each: the sync reads them, a thousand after the other, while the clients look.
const NUM_PLAYLISTS: u32 = 200;
const NUM_ITEMS: u32 = 500;

/// With the lowest latency of the real API.
pub fn start_sandbox() -> Sandbox {
    let numbers = [
        ("--tracks", 0),
        ("--albums", 0),
        ("--artists", 0),
        ("--playlists", NUM_PLAYLISTS),
        ("--playlist-items", NUM_ITEMS),
    ];
    let numbers = numbers.iter().map(|(flag, number)| format!("{flag}={number}"));
    Sandbox::start(numbers.chain(["--latency=50ms".to_owned()]))
}

fn segno(url: &str, home: &Path, sandbox: &Sandbox, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segno"));
    // Variables meant for the benchmark are not settings of the service.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SEGNO_")) {
        command.env_remove(name);
    }
    command.args(args).current_dir(home).env("HOME", home).env("SEGNO_DATABASE_URL", url).envs(&sandbox.env);
    command.env("SEGNO_RATE_LIMIT_REQUESTS", "1000000").stdout(Stdio::null());
    command
}

/// Creates the tables and the account.
pub fn sign_in(url: &str, home: &Path, sandbox: &Sandbox) {
    let status = segno(url, home, sandbox, &["sync", "tracks", "albums", "artists"]).stderr(Stdio::null()).status();
    assert!(status.expect("the binary starts").success(), "the first sync");
}

pub struct Service {
    child: Child,
    base: String,
    client: reqwest::Client,
}

impl Service {
    pub fn start(url: &str, home: &Path, sandbox: &Sandbox) -> Service {
        let mut command = segno(url, home, sandbox, &["run"]);
        command.env("SEGNO_SYNC_ENTITIES", "playlists").env("SEGNO_WEB_LISTEN", "127.0.0.1:0").stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let base = lines.find_map(|line| {
            let line = line.expect("text");
            Some(line.split_once("the status page is at ")?.1.trim().to_owned())
        });
        // Or it would block at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Service { child, base: base.expect("an address"), client: reqwest::Client::new() }
    }

    /// `None` if the service reports that it is not ready for that.
    pub async fn get(&self, route: &str) -> Option<Value> {
        let response = self.client.get(format!("{}/api/v1/{route}", self.base)).send().await.expect("an answer");
        let is_ready = response.status() != 503;
        assert!(response.status().is_success() || !is_ready, "{route}: {}", response.status());
        let body = response.bytes().await.expect("a body");
        is_ready.then(|| serde_json::from_slice(&body).expect("JSON"))
    }

    /// Waits until all playlists have been read; returns how many items in how much time.
    pub async fn sync_is_complete(&self) -> (f64, Duration) {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let held = self.get("status").await.unwrap_or_default();
            let entities = held["accounts"][0]["entities"].as_array().cloned().unwrap_or_default();
            let is_complete =
                |entity: &Value| entity["entity_type"] == "playlists" && entity["completed_at"].is_string();
            if entities.iter().any(is_complete) {
                break;
            }
        }
        let activity = self.get("activity").await.expect("an answer");
        let runs = activity["runs"].as_array().expect("runs");
        let run = runs.iter().find(|run| run["entity_type"] == "playlists").expect("a run");
        let moment = |field| text(run, field).parse::<DateTime<Utc>>().expect("a moment");
        let took = (moment("ended_at") - moment("began_at")).to_std().expect("it ended after it began");
        (run["items_processed"].as_f64().expect("a number"), took)
    }

    pub fn stop(mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}
