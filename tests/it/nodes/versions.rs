//! An upgrade, node by node: a version with one more migration, which only adds, runs beside the previous one.
//!
//! The newer version is the same program with an additional migration (`SEGNO_FAULT_MIGRATIONS`), and notes under words
//! of its own are written on its behalf.

use super::fleet::{Fleet, Node};
use crate::support::Segno;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Tables that a service writes, and those that it only reads.
const TABLES: [&str; 21] = [
    "accounts",
    "account_tokens",
    "pending_sign_ins",
    "nodes",
    "orders",
    "sync_states",
    "sync_batches",
    "tracks",
    "albums",
    "artists",
    "saved_tracks",
    "playlists",
    "playlist_items",
    "plays",
    "playback_states",
    "outbox",
    "feed_positions",
    "gate_processes",
    "request_ledger",
    "rate_limits",
    "cooldowns",
];

#[test]
fn an_upgrade_goes_node_by_node_and_both_versions_share_the_accounts() {
    let Some(mut fleet) = super::fleet(6, "60") else { return };
    // So that what was sent to each family is read all the time.
    fleet.settings.push(("SEGNO_RATE_LIMIT_DAILY_ALL", "1000000".into()));
    let [old, other_old] = [1, 2].map(|number| fleet.start(number));
    fleet.wait_for_shares(&[&old, &other_old], &[3, 3]);
    fleet.wait_until_all_is_read();

    // The first newer node brings the tables up to date.
    let migrations = migration_to_come(&fleet);
    let newer = |number| fleet.start_as(number, |segno| knowing(segno, &migrations));
    let new = newer(3);
    fleet.wait_for_shares(&[&old, &other_old, &new], &[2, 2, 2]);
    assert_eq!(fleet.database.count("accounts WHERE to_come IS NULL"), 6);
    let late = Segno::on(&fleet.database, &fleet.sandbox, &["run"]).run();
    late.assert_refused(1, &["which this version of segno does not know; use the newer version"]);

    // Each version sees what the newer one notes about each account, and orders work in both directions.
    note_under_new_words(&fleet);
    let mut num_tracks = 60;
    for page in [&old, &new] {
        num_tracks = change_and_sync(&fleet, page, num_tracks);
        let accounts = page.status()["accounts"].as_array().expect("accounts").clone();
        let has_all = |account: &Value| account["entities"].as_array().is_some_and(|all| all.len() == 7);
        assert!(accounts.len() == 6 && accounts.iter().all(has_all), "{accounts:?}");
        let feed = page.get("/api/v1/feed?after=0");
        assert_eq!(feed.lines().filter(|line| line.contains(r#""event":"to_come""#)).count(), 1, "{feed}");
        // Its requests count, and what pauses them pauses nothing else.
        let activity: Value = serde_json::from_str(&page.get("/api/v1/activity")).expect("JSON");
        let stretches = activity["requests"].as_array().expect("stretches");
        let counted = stretches.iter().filter(|of| of["family"] == "*" && of["requests"] == 321).count();
        assert_eq!((counted, &activity["pauses"]), (1, &json!([])), "{activity}");
    }

    // The newer version's accounts move to the older one, with everything noted.
    let log = new.log();
    new.running.kill();
    fleet.wait_for_shares(&[&old, &other_old], &[3, 3]);
    num_tracks = change_and_sync(&fleet, &old, num_tracks);

    // The nodes are replaced one by one.
    let new = newer(4);
    fleet.wait_for_shares(&[&old, &other_old, &new], &[2, 2, 2]);
    let logs = [&old, &other_old].map(Node::log);
    old.stop();
    let other_new = newer(5);
    fleet.wait_for_shares(&[&other_old, &new, &other_new], &[2, 2, 2]);
    other_old.stop();
    fleet.wait_for_shares(&[&new, &other_new], &[3, 3]);
    change_and_sync(&fleet, &new, num_tracks);
    for log in logs.iter().chain([&log]) {
        let odd: Vec<&str> = log.lines().filter(|line| line.contains("ERROR") || line.contains("WARN")).collect();
        assert!(odd.is_empty(), "{odd:?}");
    }
    let of_kind = [("sync_states", "entity_type", 6), ("orders", "kind", 6), ("outbox", "kind", 1)];
    let of_family = ["request_ledger", "rate_limits", "cooldowns"].map(|table| (table, "family", 1));
    for (table, column, entries) in of_kind.into_iter().chain(of_family) {
        let kept = format!("{table} WHERE {column} = 'to_come'");
        assert_eq!(fleet.database.count(&kept), entries, "{kept}");
    }
    [new, other_new].into_iter().for_each(Node::stop);
    fleet.assert_true();
}

fn knowing(segno: Segno, migrations: &Path) -> Segno {
    segno.env("SEGNO_FAULT_MIGRATIONS", &migrations.display().to_string())
}

/// Columns with and without a default in every table that a service writes, indexes, a table, and room for new words
/// where the old ones are listed.
fn migration_to_come(fleet: &Fleet) -> PathBuf {
    let mut sql = String::new();
    for table in TABLES {
        sql.push_str(&format!(
            "ALTER TABLE {table} ADD COLUMN to_come TEXT; \
             ALTER TABLE {table} ADD COLUMN num_to_come BIGINT NOT NULL DEFAULT 0;\n"
        ));
    }
    sql.push_str(
        "CREATE INDEX saved_tracks_to_come ON saved_tracks (account_id, to_come);\n\
         CREATE UNIQUE INDEX accounts_to_come ON accounts (to_come);\n\
         CREATE INDEX outbox_to_come ON outbox (noted_at) WHERE to_come IS NOT NULL;\n\
         CREATE TABLE to_come (account_id BIGINT PRIMARY KEY REFERENCES accounts (id), note TEXT NOT NULL);\n\
         ALTER TABLE sync_states DROP CONSTRAINT sync_states_phase_check;\n\
         ALTER TABLE orders DROP CONSTRAINT orders_kind_check;\n\
         ALTER TABLE outbox DROP CONSTRAINT outbox_kind_check;\n\
         ALTER TABLE rate_limits DROP CONSTRAINT rate_limits_class_check;\n\
         ALTER TABLE cooldowns DROP CONSTRAINT cooldowns_class_check;\n",
    );
    let folder = fleet.database.folder.path().join("migrations");
    let migration = folder.join("2999-01-01-000000_to_come");
    fs::create_dir_all(&migration).expect("a folder");
    fs::write(migration.join("up.sql"), sql).expect("a file");
    folder
}

/// As a version would that syncs one more type, in another phase, with an order and an event for it, by requests that
/// have a limit of their own.
fn note_under_new_words(fleet: &Fleet) {
    fleet.database.execute_all(
        "INSERT INTO sync_states (account_id, entity_type, phase, is_complete, completed_at, next_run_at, to_come) \
         SELECT id, 'to_come', 'to_come', true, now(), now() + interval '1 hour', 'noted' FROM accounts; \
         INSERT INTO orders (account_id, kind, entity_types, given_at, given_by) \
         SELECT id, 'to_come', 'to_come,tracks', now(), 'a newer version' FROM accounts; \
         INSERT INTO to_come SELECT id, 'noted' FROM accounts; \
         UPDATE feed_positions SET seq = seq + 1 WHERE name = 'head'; \
         INSERT INTO outbox (seq, account_id, kind, body, noted_at) \
         SELECT seq, (SELECT min(id) FROM accounts), 'to_come', '{\"note\":1}', now() FROM feed_positions \
         WHERE name = 'head'; \
         INSERT INTO request_ledger (family, started_at, requests, refusals) VALUES ('to_come', now(), 321, 1); \
         INSERT INTO rate_limits (family, blocked_until, class, updated_at) \
         VALUES ('to_come', now() + interval '1 hour', 'to_come', now()); \
         INSERT INTO cooldowns (family, class, began_at, ends_at) \
         VALUES ('to_come', 'to_come', now(), now() + interval '1 hour')",
    );
}

/// Everybody saves two tracks, and is synced by an order at one node. Returns how many tracks they have then.
fn change_and_sync(fleet: &Fleet, page: &Node, num_tracks: u64) -> u64 {
    for user in 0..fleet.num_accounts {
        fleet.sandbox.post(&format!("edit?user={user}"), &json!({ "edits": [{ "op": "add_tracks", "count": 2 }] }));
    }
    for account in fleet.database.lines("SELECT CAST(id AS TEXT) AS line FROM accounts") {
        let account: u64 = account.parse().expect("an id");
        let answer = page.post("/api/v1/sync", json!({ "account": account, "entity_types": ["tracks"] }));
        assert_eq!(answer["accepted"][0]["entity_type"], "tracks", "{answer}");
    }
    let wanted = (num_tracks + 2) * fleet.num_accounts;
    fleet.patiently("the new tracks are there", || fleet.database.count("saved_tracks") == wanted);
    num_tracks + 2
}
