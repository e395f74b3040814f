//! The requests to the sandbox: its log and its counters.

use super::{Library, Sandbox};
use serde_json::{Value, json};

/// A request to the Web API.
#[derive(Debug, Clone)]
pub struct Asked {
    pub family: String,
    pub path: String,
    pub query: String,
}

impl Asked {
    /// The first requested slot.
    pub fn offset(&self) -> u64 {
        self.parameter("offset").map_or(0, |offset| offset.parse().expect("a number"))
    }

    /// The first slot after the requested ones.
    pub fn end(&self) -> u64 {
        self.offset() + self.parameter("limit").map_or(20, |limit| limit.parse().expect("a number"))
    }

    /// A parameter of the query, as it was written.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The playlist whose items were requested.
    pub fn playlist_id(&self) -> Option<&str> {
        self.path.strip_prefix("/v1/playlists/")?.split('/').next()
    }
}

impl Sandbox {
    /// The requests to the Web API since the start or the last [`Sandbox::forget_requests`], in order of arrival.
    pub fn log(&self) -> Vec<Asked> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let entries = self.get("log").as_array().expect("a log").clone();
        let asked = |entry: &Value| Asked {
            family: text(&entry["family"]),
            path: text(&entry["path"]),
            query: text(&entry["query"]),
        };
        entries.iter().map(asked).filter(|asked| asked.path.starts_with("/v1/")).collect()
    }

    /// The requests of one family.
    pub fn log_of(&self, family: &str) -> Vec<Asked> {
        self.log().into_iter().filter(|asked| asked.family == family).collect()
    }

    /// Keeps every state of the library from here on, the present one included.
    pub fn begin_history(&self) {
        self.post("history", &json!({}));
    }

    /// Those states, in order.
    pub fn history(&self) -> Vec<Library> {
        let history = self.get("history").as_array().expect("it was begun").clone();
        history.into_iter().map(|state| Library { state }).collect()
    }

    /// Resets the counts and the log.
    pub fn forget_requests(&self) {
        self.post("stats/reset", &json!({}));
    }

    /// A counter, for example `early` or `refused`.
    pub fn stat(&self, name: &str) -> u64 {
        self.get("stats")[name].as_u64().unwrap_or_else(|| panic!("no counter {name}"))
    }

    /// Asserts that every rule has been applied as intended.
    pub fn assert_rules_applied(&self) {
        let rules = self.get("rules");
        let applied = |rule: &Value| rule["applied"].as_u64().is_some_and(|applied| applied > 0);
        assert!(rules["rules"].as_array().expect("rules").iter().all(applied), "a rule never came up: {rules}");
        assert_eq!(self.stat("failed_edits"), 0, "an edit of a rule could not be made");
    }

    /// Applies one edit, or returns why it cannot be made.
    pub fn try_edit(&self, edit: &Value) -> Value {
        self.ask("edit", &json!({ "edits": [edit] })).1
    }

    /// Applies one edit; returns the ids that it touched.
    pub fn edit_one(&self, edit: Value) -> Vec<String> {
        let done = self.post("edit", &json!({ "edits": [edit] }));
        let ids = done["applied"][0]["ids"].as_array().expect("ids").clone();
        ids.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

impl Library {
    /// The rows of a listing.
    pub fn rows(&self, listing: &str) -> Vec<Value> {
        self.state[listing].as_array().expect("a listing").clone()
    }

    /// The least number of requests for a first sync: the signed-in user, every page of 50 of every listing, including
    /// the playlists' items, and one for each playlist that turns out to be closed.
    pub fn least_requests(&self) -> u64 {
        let pages = |len: usize| len.div_ceil(50) as u64;
        let of_items = |playlist: &Value| match (&playlist["items"], playlist["readable"] == true) {
            (Value::Array(items), true) => pages(items.len()),
            (Value::Array(_), false) => 1,
            _ => 0,
        };
        let listed: u64 = super::entity_types().map(|listing| pages(self.rows(listing).len()).max(1)).sum();
        1 + listed + self.rows("playlists").iter().map(of_items).sum::<u64>()
    }
}
