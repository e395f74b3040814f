//! The stand-in API in a process of its own, driven through its control API.

use super::block_on;
use super::http;
use segno::model::EntityType;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

pub struct Sandbox {
    child: Child,
    pub env: BTreeMap<String, String>,
}

/// The library according to the sandbox.
#[derive(Debug, Clone)]
pub struct Library {
    pub state: Value,
}

impl Sandbox {
    /// `segno sandbox` with these arguments.
    pub fn start(args: &[&str]) -> Sandbox {
        let mut child = Command::new(env!("CARGO_BIN_EXE_segno"))
            .arg("sandbox")
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let env: BTreeMap<String, String> = stdout
            .lines()
            .take(4)
            .map(|line| line.expect("text"))
            .filter_map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect();
        assert_eq!(env.len(), 4, "the sandbox prints its settings: {env:?}");
        Sandbox { child, env }
    }

    /// A library without oddities and spoken items, whose counts are exact.
    pub fn exact(tracks: u32, albums: u32, artists: u32, playlists: u32, playlist_items: u32) -> Sandbox {
        Sandbox::exact_with([tracks, albums, artists, playlists, playlist_items], [0; 3], &[])
    }

    /// The same with this many shows, episodes and audiobooks, and more arguments.
    pub fn exact_with(sizes: [u32; 5], spoken: [u32; 3], more: &[&str]) -> Sandbox {
        let [tracks, albums, artists, playlists, items] = &sizes.map(|number| number.to_string());
        let [shows, episodes, audiobooks] = &spoken.map(|number| number.to_string());
        let args = [
            "--no-odd-rows",
            "--tracks",
            tracks,
            "--albums",
            albums,
            "--artists",
            artists,
            "--playlists",
            playlists,
            "--playlist-items",
            items,
            "--shows",
            shows,
            "--episodes",
            episodes,
            "--audiobooks",
            audiobooks,
        ];
        Sandbox::start(&[&args, more].concat())
    }

    fn base(&self) -> &str {
        &self.env["SEGNO_SPOTIFY_ACCOUNTS_URL"]
    }

    pub fn get(&self, path: &str) -> Value {
        let url = format!("{}/_sandbox/{path}", self.base());
        block_on(async {
            let response = http::client().get(url).send().await.expect("the sandbox answers");
            let body = response.bytes().await.expect("a body");
            serde_json::from_slice(&body).expect("JSON")
        })
    }

    pub fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(path, body);
        assert!((200..300).contains(&status), "{path} {body}: {status} {answer}");
        answer
    }

    /// Posts; returns the status too.
    pub fn ask(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}/_sandbox/{path}", self.base());
        block_on(async {
            let request = http::client().post(url).header("content-type", "application/json");
            let response = request.body(body.to_string()).send().await.expect("the sandbox answers");
            let (status, answer) = (response.status().as_u16(), response.bytes().await.expect("a body"));
            (status, serde_json::from_slice(&answer).expect("JSON"))
        })
    }

    pub fn rules(&self, rules: Value) {
        self.post("rules", &rules);
    }

    pub fn edit(&self, edits: Value) {
        self.post("edit", &json!({ "edits": edits }));
    }

    pub fn configure(&self, config: Value) {
        self.post("config", &config);
    }

    /// Requests to the Web API so far, by family, or all with "*".
    pub fn requests(&self, family: &str) -> u64 {
        let stats = self.get("stats");
        let count = if family == "*" { &stats["requests"] } else { &stats["by_family"][family] };
        count.as_u64().unwrap_or(0)
    }

    pub fn library(&self) -> Library {
        Library { state: self.get("state") }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Library {
    /// Ids of a listing's rows, null rows left out.
    pub fn ids(&self, listing: &str) -> BTreeSet<String> {
        let rows = self.state[listing].as_array().expect("a listing");
        rows.iter().filter_map(|row| row["id"].as_str()).map(str::to_owned).collect()
    }

    /// The items of playlists, as `playlist|position|uri`, readable ones only.
    pub fn playlist_items(&self) -> BTreeSet<String> {
        let playlists = self.state["playlists"].as_array().expect("a listing");
        let readable = playlists.iter().filter(|playlist| playlist["readable"] == true);
        readable
            .flat_map(|playlist| {
                let id = playlist["id"].as_str().expect("an id").to_owned();
                let items = playlist["items"].as_array().expect("items").iter().enumerate();
                items.map(move |(at, item)| format!("{id}|{at}|{}", item["uri"].as_str().unwrap_or("null")))
            })
            .collect()
    }

    /// Asserts that the database holds this library, and nothing else that is not marked removed.
    pub fn assert_held_by(&self, database: &super::Database) {
        for entity in EntityType::ALL.iter().copied() {
            let (table, column) = super::membership_of(entity);
            let sql = format!("SELECT {column} AS line FROM {table} WHERE removed_at IS NULL");
            let held: BTreeSet<String> = database.lines(&sql).into_iter().collect();
            let listed = self.ids(entity.as_str());
            let stale: Vec<_> = held.difference(&listed).take(3).collect();
            let missing: Vec<_> = listed.difference(&held).take(3).collect();
            assert!(held == listed, "{table}: stale {stale:?}, missing {missing:?}");
        }
        database.assert_references_hold();
        let sql = "SELECT i.playlist_id || '|' || CAST(i.position AS TEXT) || '|' || coalesce(i.uri, 'null') AS line \
                   FROM playlist_items i JOIN library_playlists l ON l.playlist_id = i.playlist_id \
                   JOIN playlists p ON p.id = i.playlist_id \
                   WHERE l.removed_at IS NULL AND p.items_readable";
        let held: BTreeSet<String> = database.lines(sql).into_iter().collect();
        let listed = self.playlist_items();
        let stale: Vec<_> = held.difference(&listed).take(3).collect();
        let missing: Vec<_> = listed.difference(&held).take(3).collect();
        assert!(held == listed, "playlist_items: stale {stale:?}, missing {missing:?}");
    }
}
