//! Accounts that are signed in, the services that share them, and what has to be true of both in the end.

use crate::support::{Database, Running, Sandbox, Segno, block_on, http, membership_of, wait_until};
use segno::model::EntityType;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, Instant},
};

/// For how long nobody takes the accounts of a node that is silent.
pub const HOLD: Duration = Duration::from_secs(5);

/// Requests in two seconds, of all nodes together.
pub const LIMIT: u64 = 60;

/// Accounts that are signed in, on one database.
pub struct Fleet {
    pub database: Database,
    pub sandbox: Sandbox,
    pub num_accounts: u64,
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
        for user in sandbox.get("users").as_array().expect("people") {
            let text = |name: &str| user[name].as_str().expect("text").to_owned();
            let (id, account_id, token) = (text("id"), text("account_id"), text("refresh_token"));
            database.execute(&format!(
                "WITH new AS (INSERT INTO accounts (spotify_id, spotify_account_id, authorized_at) \
                 VALUES ('{id}', '{account_id}', now()) RETURNING id) \
                 INSERT INTO account_tokens (account_id, client_id, refresh_token, updated_at) \
                 SELECT id, '{client_id}', '{token}', now() FROM new"
            ));
        }
        Fleet { database, sandbox, num_accounts }
    }

    pub fn start(&self, number: u32) -> Node {
        self.start_on(number, &self.database.url())
    }

    /// The same, by another way to the database.
    pub fn start_on(&self, number: u32, url: &str) -> Node {
        let log = self.database.folder.path().join(format!("node-{number}.log"));
        let segno = Segno::on(&self.database, &self.sandbox, &["run"])
            .without_env("SEGNO_SPOTIFY_REFRESH_TOKEN")
            .env("SEGNO_DATABASE_URL", url)
            .env("SEGNO_RATE_LIMIT_REQUESTS", &LIMIT.to_string())
            .env("SEGNO_RATE_LIMIT_WINDOW", "2s")
            .env("SEGNO_WEB_LISTEN", "127.0.0.1:0");
        let running = segno.conversing(&log).spawn();
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
        // The plan of the next run is the last that a run writes.
        let done = "sync_states WHERE phase = 'initial_sync' AND completed_at IS NOT NULL AND next_run_at IS NOT NULL";
        self.patiently("everything is read", || {
            self.database.count(done) == self.num_accounts * EntityType::ALL.len() as u64
        });
    }

    /// What runs have written, but for who owns them: that changes with each claim.
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

    /// Each account has what the sandbox has of it, and the limit was kept.
    pub fn assert_true(&self) {
        for user in 0..self.num_accounts {
            let truth = self.sandbox.get(&format!("state?user={user}"));
            let whose = format!(
                "(SELECT id FROM accounts WHERE spotify_id = '{}')",
                truth["account"]["id"].as_str().expect("an id")
            );
            for entity in EntityType::ALL.iter().copied() {
                let (table, column) = membership_of(entity);
                let sql =
                    format!("SELECT {column} AS line FROM {table} WHERE removed_at IS NULL AND account_id = {whose}");
                let held: BTreeSet<String> = self.database.lines(&sql).into_iter().collect();
                let rows = truth[entity.as_str()].as_array().expect("a listing");
                let listed: BTreeSet<String> =
                    rows.iter().filter_map(|row| row["id"].as_str()).map(str::to_owned).collect();
                assert!(held == listed, "{table} of {user}: {} of {}", held.len(), listed.len());
            }
            for playlist in truth["playlists"].as_array().expect("a listing") {
                let sql = format!(
                    "SELECT uri AS line FROM playlist_items WHERE playlist_id = '{}' ORDER BY position",
                    playlist["id"].as_str().expect("an id")
                );
                let items = playlist["items"].as_array().expect("items");
                let listed: Vec<&str> = items.iter().filter_map(|item| item["uri"].as_str()).collect();
                assert_eq!(self.database.lines(&sql), listed);
            }
        }
        let (busiest, refused) = (self.sandbox.stat("max_in_window"), self.sandbox.stat("refused"));
        assert!(busiest <= LIMIT && refused == 0, "{busiest} requests in a window, {refused} refused");
    }
}

impl Node {
    /// As SQL matches it.
    pub fn label(&self) -> String {
        format!("segno run (process {} on %", self.running.pid())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("a log")
    }

    pub fn status(&self) -> Value {
        let url = format!("{}/api/v1/status", self.base);
        block_on(async {
            let answer = http::client().get(url).send().await.expect("the page answers");
            serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON")
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

    /// SIGTERM; expects a good end.
    pub fn stop(self) {
        self.running.terminate();
        let ended = self.running.wait();
        let log = std::fs::read_to_string(&self.log).expect("a log");
        assert_eq!(ended.code, Some(0), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}
