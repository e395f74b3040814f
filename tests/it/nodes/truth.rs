//! The sandbox's truth, compared with the tables, the feed and `segno changes`.

use crate::support::{Database, Sandbox, Segno, membership_of};
use segno::model::EntityType;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

/// The libraries of all people of a sandbox, as they are now: a line for each item in them.
pub struct Truth {
    members: BTreeSet<String>,
    /// The plays that the API shows for each person, and everything ever played.
    shown_plays: BTreeSet<String>,
    all_plays: BTreeSet<String>,
}

impl Truth {
    pub fn of(sandbox: &Sandbox, num_accounts: u64) -> Truth {
        let mut truth = Truth { members: BTreeSet::new(), shown_plays: BTreeSet::new(), all_plays: BTreeSet::new() };
        for user in 0..num_accounts {
            truth.add(&sandbox.get(&format!("state?user={user}")));
        }
        truth
    }

    fn add(&mut self, state: &Value) {
        let whose = text(&state["account"], "id");
        for entity in EntityType::ALL.iter().map(|entity| entity.as_str()) {
            let ids = rows(state, entity).iter().filter_map(|row| row["id"].as_str());
            self.members.extend(ids.map(|id| format!("{entity}|{whose}|{id}")));
        }
        for playlist in rows(state, "playlists") {
            let id = text(playlist, "id");
            let items = rows(playlist, "items").iter().enumerate();
            self.members.extend(items.map(|(at, item)| format!("item|{id}|{at}|{}", text(item, "uri"))));
        }
        let plays = |name: &str| -> Vec<String> {
            let play =
                |play: &Value| format!("{whose}|{}|spotify:track:{}", text(play, "played_at"), text(play, "track_id"));
            rows(state, name).iter().map(play).collect()
        };
        self.shown_plays.extend(plays("plays"));
        self.all_plays.extend(plays("history"));
    }

    /// What the tables lack and what they have too much, a few of each; empty if they are right.
    pub fn differences(&self, database: &Database) -> String {
        let mut sql: Vec<String> = EntityType::ALL
            .iter()
            .map(|entity| {
                let (table, column) = membership_of(*entity);
                format!(
                    "SELECT '{}|' || a.spotify_id || '|' || m.{column} AS line FROM {table} m \
                     JOIN accounts a ON a.id = m.account_id WHERE m.removed_at IS NULL",
                    entity.as_str()
                )
            })
            .collect();
        sql.push(
            "SELECT 'item|' || playlist_id || '|' || position || '|' || coalesce(uri, '') FROM playlist_items i \
             WHERE EXISTS (SELECT 1 FROM library_playlists l \
             WHERE l.playlist_id = i.playlist_id AND l.removed_at IS NULL)"
                .to_owned(),
        );
        let held: BTreeSet<String> = database.lines(&sql.join(" UNION ALL ")).into_iter().collect();
        let plays: BTreeSet<String> = database
            .lines(
                "SELECT a.spotify_id || '|' || \
                 to_char(p.played_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') || '|' || p.track_uri \
                 AS line FROM plays p JOIN accounts a ON a.id = p.account_id",
            )
            .into_iter()
            .collect();
        let mut told = String::new();
        let mut tell = |what: &str, lines: Vec<&String>| {
            if !lines.is_empty() {
                let some: Vec<_> = lines.iter().take(3).collect();
                let _ = writeln!(told, "{} {what}: {some:?}", lines.len());
            }
        };
        tell("missing", self.members.difference(&held).collect());
        tell("stale", held.difference(&self.members).collect());
        tell("plays missing", self.shown_plays.difference(&plays).collect());
        tell("plays made up", plays.difference(&self.all_plays).collect());
        told
    }
}

/// Additions and removals, by what they are about.
#[derive(Default)]
struct Things {
    /// Account, entity type and id of a member: how it was last added, and whether it is there.
    members: BTreeMap<[String; 3], (String, bool)>,
    /// Items added to or removed from playlists, with the number of times.
    items: BTreeMap<String, u32>,
}

/// Asserts that the feed contains exactly what `segno changes` contains: numbered without gaps, each change once, and
/// in an order in which it can have happened.
pub fn assert_feed_is_changes(feed: &str, database: &Database, sandbox: &Sandbox) {
    let entries: Vec<Value> = feed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let numbers: Vec<i64> = entries.iter().filter_map(|entry| entry["seq"].as_i64()).collect();
    let expected: Vec<i64> = (1..=entries.len() as i64).collect();
    assert_eq!(numbers, expected, "numbered without a gap");
    let ids: BTreeSet<&str> = entries.iter().filter_map(|entry| entry["id"].as_str()).collect();
    assert_eq!(ids.len(), entries.len(), "an entry has an id of its own");
    let told = told_by_feed(&entries);
    let args = ["changes", "--json", "--since", "2000-01-01", "--limit", "10000000"];
    let command = Segno::on(database, sandbox, &args).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN").succeed().stdout;
    let (mut members, mut items) = (BTreeSet::new(), BTreeMap::new());
    for line in command.lines() {
        let change: Value = serde_json::from_str(line).expect("JSON");
        match text(&change, "entity_type") {
            "playlist_items" => *items.entry(item(text(&change, "account"), &change)).or_default() += 1,
            _ => assert!(members.insert(member_line(text(&change, "account"), &change)), "told twice: {line}"),
        }
    }
    let mut expected = BTreeSet::new();
    for (thing, (came, is_there)) in told.members {
        let thing = thing.join("|");
        expected.insert(format!("{came}|{thing}"));
        if !is_there {
            expected.insert(format!("removed|{thing}"));
        }
    }
    let some = |lines: Vec<&String>| lines.into_iter().take(3).cloned().collect::<Vec<_>>();
    let (only_feed, only_changes) =
        (some(expected.difference(&members).collect()), some(members.difference(&expected).collect()));
    assert!(
        only_feed.is_empty() && only_changes.is_empty(),
        "the feed alone {only_feed:?}, changes alone {only_changes:?}"
    );
    assert!(told.items == items, "items of playlists: {:?}, and {items:?}", told.items);
    assert!(expected.len() > 100, "hardly anything was told");
}

fn told_by_feed(entries: &[Value]) -> Things {
    let mut told = Things::default();
    for entry in entries.iter().filter(|entry| entry["event"] == "changes") {
        let account = text(entry, "account");
        for change in rows(entry, "changes") {
            let kind = text(change, "change");
            if change["entity_type"] == "playlist_items" {
                *told.items.entry(item(account, change)).or_default() += 1;
                continue;
            }
            let thing = [account, text(change, "entity_type"), text(change, "id")].map(str::to_owned);
            let before = told.members.get(&thing).map(|(_, is_there)| *is_there);
            let is_possible = match kind {
                "added" => before.is_none(),
                "added_again" => before == Some(false),
                _ => before == Some(true),
            };
            assert!(is_possible, "{kind} {thing:?}, which was there: {before:?}; entry {}", entry["seq"]);
            let came = told.members.get(&thing).map(|(came, _)| came.clone());
            let (came, is_there) = match kind {
                "removed" => (came.unwrap_or_default(), false),
                kind => (kind.to_owned(), true),
            };
            told.members.insert(thing, (came, is_there));
        }
    }
    told
}

fn member_line(account: &str, change: &Value) -> String {
    format!("{}|{account}|{}|{}", text(change, "change"), text(change, "entity_type"), text(change, "id"))
}

fn item(account: &str, change: &Value) -> String {
    let part = |name| text(change, name);
    format!("{}|{account}|{}|{}|{}", part("change"), part("playlist_id"), change["position"], part("uri"))
}

fn rows<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}
