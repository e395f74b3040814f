//! Accounts that are signed in, the services that share them, and the conditions that both must satisfy in the end.

use super::truth::Truth;
use crate::support::{Database, Running, Sandbox, Segno, block_on, http, wait_until};
use segno::model::EntityType;
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// How long the accounts of a silent node are safe from others.
pub const HOLD: Duration = Duration::from_secs(5);

/// Requests in two seconds, unless set otherwise.
const LIMIT: u64 = 60;

/// Accounts that are signed in, on one database.
pub struct Fleet {
    pub database: Database,
    pub sandbox: Sandbox,
    pub num_accounts: u64,
    /// Requests in two seconds, of all nodes together.
    pub limit: u64,
    /// Settings of every node.
    pub settings: Vec<(&'static str, String)>,
}

/// A service, and its page.
pub struct Node {
    pub running: Running,
    base: String,
    log: PathBuf,
}

impl Fleet {
    pub fn new(database: Database, num_accounts: u64, tracks: &str) -> Fleet {
        let users = num_accounts.to_string();
        let args = ["--no-odd-rows", "--users", &users, "--tracks", tracks, "--albums", "20", "--artists", "20"];
        let spoken = ["--playlists", "2", "--playlist-items", "30", "--shows", "2", "--episodes", "2"];
        let sandbox = Sandbox::start(&[&args[..], &spoken, &["--audiobooks", "2"]].concat());
        sandbox.configure(json!({ "rate": { "max": 100_000, "window_ms": 2000 } }));
        Segno::on(&database, &sandbox, &["status"]).succeed();
        let client_id = &sandbox.env["SEGNO_SPOTIFY_CLIENT_ID"];
        let mut sql = String::new();
        for user in sandbox.get("users").as_array().expect("people") {
            let text = |name: &str| user[name].as_str().expect("text").to_owned();
            let (id, account_id, token) = (text("id"), text("account_id"), text("refresh_token"));
            sql.push_str(&format!(
                "WITH new AS (INSERT INTO accounts (spotify_id, spotify_account_id, authorized_at) \
                 VALUES ('{id}', '{account_id}', now()) RETURNING id) \
                 INSERT INTO account_tokens (account_id, client_id, refresh_token, updated_at) \
                 SELECT id, '{client_id}', '{token}', now() FROM new;"
            ));
        }
        database.execute_all(&sql);
        Fleet { database, sandbox, num_accounts, limit: LIMIT, settings: Vec::new() }
    }

    pub fn start(&self, number: u32) -> Node {
        self.start_on(number, &self.database.url())
    }

    /// The same, with another route to the database.
    pub fn start_on(&self, number: u32, url: &str) -> Node {
        self.start_as(number, |segno| segno.env("SEGNO_DATABASE_URL", url))
    }

    /// The same, modified as needed.
    pub fn start_as(&self, number: u32, change: impl FnOnce(Segno) -> Segno) -> Node {
        let log = self.database.folder.path().join(format!("node-{number}.log"));
        let mut segno = Segno::on(&self.database, &self.sandbox, &["run"])
            .without_env("SEGNO_SPOTIFY_REFRESH_TOKEN")
            .env("SEGNO_RATE_LIMIT_REQUESTS", &self.limit.to_string())
            .env("SEGNO_RATE_LIMIT_WINDOW", "2s")
            .env("SEGNO_WEB_LISTEN", "127.0.0.1:0");
        for (name, value) in &self.settings {
            segno = segno.env(name, value);
        }
        let running = change(segno).conversing(&log).spawn();
        let address = || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            Some(text.lines().find_map(|line| line.split_once("the status page is at "))?.1.trim().to_owned())
        };
        wait_until("the page is served", || address().is_some());
        Node { running, base: address().expect("an address"), log }
    }

    /// Accounts that a node holds.
    pub fn held(&self, node: &Node) -> u64 {
        self.database.count(&format!("accounts WHERE released_at IS NULL AND owner_label LIKE '{}'", node.label()))
    }

    pub fn wait_for_shares(&self, nodes: &[&Node], shares: &[u64]) {
        self.patiently(&format!("they hold {shares:?}"), || {
            nodes.iter().map(|node| self.held(node)).collect::<Vec<_>>() == shares
        });
    }

    /// Waits for up to a minute.
    pub fn patiently(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let began = Instant::now();
        while !condition() {
            let owners = self.database.lines("SELECT coalesce(owner_label, '-') AS line FROM accounts");
            assert!(began.elapsed().as_secs() < 60, "waited a minute in vain until {what}: {owners:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn wait_until_all_is_read(&self) {
        // The plan of the next run is the last thing that a run writes.
        let done = "sync_states WHERE phase = 'initial_sync' AND completed_at IS NOT NULL AND next_run_at IS NOT NULL";
        self.patiently("everything is read", || {
            self.database.count(done) == self.num_accounts * EntityType::ALL.len() as u64
                && self.database.count("playback_states WHERE last_polled_at IS NOT NULL") == self.num_accounts
        });
    }

    /// Everything written by runs, except for the owners, which change with each claim.
    pub fn written(&self) -> Vec<Vec<String>> {
        let states = "SELECT account_id || '|' || entity_type || '|' || phase || '|' || generation || '|' || \
                      last_synced_offset || '|' || is_complete || '|' || last_updated_at || '|' || \
                      coalesce(next_run_at::text, '-') AS line FROM sync_states ORDER BY 1";
        let rows = ["sync_batches", "saved_tracks", "tracks", "playlist_items"].map(|table| self.database.rows(table));
        rows.into_iter().chain([self.database.lines(states)]).collect()
    }

    pub fn assert_nothing_written_since(&self, before: &[Vec<String>]) {
        for (before, after) in before.iter().zip(self.written()) {
            let came: Vec<_> = after.iter().filter(|row| !before.contains(row)).take(3).collect();
            let went: Vec<_> = before.iter().filter(|row| !after.contains(row)).take(3).collect();
            assert!(came.is_empty() && went.is_empty(), "{came:?} in place of {went:?}");
        }
    }

    /// Each account has what the sandbox has for it, and the limit was kept.
    pub fn assert_true(&self) {
        let differences = Truth::of(&self.sandbox, self.num_accounts).differences(&self.database);
        assert!(differences.is_empty(), "{differences}");
        let (busiest, refused) = (self.sandbox.stat("max_in_window"), self.sandbox.stat("refused"));
        assert!(busiest <= self.limit && refused == 0, "{busiest} requests in a window, {refused} refused");
    }
}

impl Node {
    /// In the form for SQL's LIKE.
    pub fn label(&self) -> String {
        format!("segno run (process {} on %", self.running.pid())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("a log")
    }

    pub fn status(&self) -> Value {
        serde_json::from_str(&self.get("/api/v1/status")).expect("JSON")
    }

    pub fn get(&self, path: &str) -> String {
        let url = format!("{}{path}", self.base);
        block_on(async {
            let answer = http::client().get(url).send().await.expect("the page answers");
            assert!(answer.status().is_success(), "{path}: {}", answer.status());
            answer.text().await.expect("a body")
        })
    }

    pub fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.base);
        block_on(async {
            let request = http::client().post(url).header("content-type", "application/json").body(body.to_string());
            let answer = request.send().await.expect("the page answers");
            let (status, body) = (answer.status().as_u16(), answer.bytes().await.expect("a body"));
            assert_eq!(status, 202, "{}", String::from_utf8_lossy(&body));
            serde_json::from_slice(&body).expect("JSON")
        })
    }

    /// SIGTERM; expects a clean end.
    pub fn stop(self) {
        self.running.terminate();
        let ended = self.running.wait();
        let log = std::fs::read_to_string(&self.log).expect("a log");
        assert_eq!(ended.code, Some(0), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}
