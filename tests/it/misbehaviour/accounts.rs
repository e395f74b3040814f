//! Two people, one database: what one of them can see and has read is kept per person, and the rows that they share are
//! those of the newest whole reading.

use super::{Service, refuse};
use crate::support::{Backend, Database, Ended, Login, NUM_ENTITY_TYPES, Sandbox, Segno, both, wait_until};
use fastrand::Rng;
use serde_json::{Value, json};

/// Two people who are signed in. The first shares a playlist of this many items with the second, who may or may not be
/// allowed to read it.
struct Pair {
    database: Database,
    sandbox: Sandbox,
    ids: Vec<String>,
}

impl Pair {
    fn of(backend: Backend, items: u32, collaborative: bool) -> Pair {
        let items = items.to_string();
        let sizes =
            ["--tracks", "20", "--albums", "5", "--artists", "5", "--playlists", "1", "--playlist-items", &items];
        let sandbox = Sandbox::start(&[&["--no-odd-rows", "--users", "2"], &sizes[..]].concat());
        sandbox.post("share", &json!({ "index": 0, "with": 1, "collaborative": collaborative }));
        let database = Database::new(backend);
        for user in [0, 1] {
            Login::complete(&database, &sandbox, user);
        }
        let users = sandbox.get("users").as_array().expect("users").clone();
        let ids = users.iter().map(|user| user["id"].as_str().expect("an id").to_owned()).collect();
        Pair { database, sandbox, ids }
    }

    fn command(&self, args: &[&str]) -> Segno {
        Segno::on(&self.database, &self.sandbox, args).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN")
    }

    /// A run for one of them.
    fn sync(&self, user: usize) -> Ended {
        self.command(&["sync", "--account", &self.ids[user]]).succeed()
    }

    fn edit(&self, edits: Value) {
        self.sandbox.edit(edits);
    }

    fn shared_id(&self) -> String {
        self.sandbox.library().state["playlists"][0]["id"].as_str().expect("an id").to_owned()
    }

    /// Asserts that the rows of the shared playlist are its present items.
    fn assert_items_are_current(&self, of: &str) {
        let id = self.shared_id();
        let items = self.sandbox.library().state["playlists"][0]["items"].as_array().expect("items").clone();
        let listed: Vec<String> = items.iter().map(|item| item["uri"].as_str().unwrap_or("-").to_owned()).collect();
        let sql = format!(
            "SELECT coalesce(uri, '-') AS line FROM playlist_items WHERE playlist_id = '{id}' ORDER BY position"
        );
        let held = self.database.lines(&sql);
        assert_eq!(held.len(), listed.len(), "{of}: {:?}", self.database.rows("playlists"));
        assert_eq!(held, listed, "{of}");
        assert_eq!(self.database.count(&format!("playlists WHERE id = '{id}' AND items_readable")), 1, "{of}");
    }

    fn num_items_removed(&self) -> u64 {
        self.database.number("sum(items_removed)", "playlist_versions")
    }
}

fn insert(count: usize) -> Value {
    json!([{ "op": "playlist_insert", "index": 0, "position": 2, "count": count }])
}

fn random_edit(rng: &mut Rng) -> Value {
    match rng.u8(..3) {
        0 => json!({ "op": "playlist_insert", "index": 0, "position": rng.usize(..30), "count": rng.usize(1..4) }),
        1 => json!({ "op": "playlist_remove", "index": 0, "position": rng.usize(..20), "count": rng.usize(1..3) }),
        _ => json!({ "op": "playlist_move", "index": 0, "from": rng.usize(..20), "to": rng.usize(..20) }),
    }
}

fn random_fault(rng: &mut Rng) -> Value {
    let action = match rng.u8(..6) {
        0 => refuse("not_found"),
        1 => refuse("forbidden"),
        2 => json!({ "kind": "cap", "rows": rng.usize(5..45) }),
        3 => {
            let says = ["null", "onward", "absent"][rng.usize(..3)];
            json!({ "kind": "next", "says": says })
        }
        4 => json!({ "kind": "status", "status": 502 }),
        _ => json!({ "kind": "stale", "back": 1 }),
    };
    json!({ "family": "playlist_items", "skip": rng.usize(..3), "times": rng.usize(1..3), "do": action })
}

both! {
    /// In either order, repeatedly.
    fn one_may_read_and_the_other_may_not(backend) {
        for order in [[0, 1], [1, 0]] {
            let pair = Pair::of(backend, 60, false);
            for round in 0..3 {
                for user in order {
                    pair.sync(user);
                }
                pair.assert_items_are_current(&format!("{order:?}, round {round}"));
                pair.edit(insert(1));
            }
            pair.sync(order[0]);
            pair.sync(order[1]);
            pair.assert_items_are_current(&format!("{order:?}"));
            assert_eq!(pair.num_items_removed(), 0);
        }
    }

    fn whoever_may_not_read_sees_the_new_snapshot_first(backend) {
        let pair = Pair::of(backend, 120, false);
        pair.sync(0);
        pair.edit(insert(3));
        pair.sync(1);
        pair.sync(0);
        pair.assert_items_are_current("after the owner");
        // From then on it costs the other one nothing.
        pair.sync(1);
        pair.sandbox.forget_requests();
        pair.sync(1);
        assert_eq!(pair.sandbox.requests("playlist_items"), 0);
    }

    fn one_reads_before_an_edit_and_the_other_after(backend) {
        let pair = Pair::of(backend, 120, true);
        pair.sync(0);
        pair.edit(json!([{ "op": "playlist_remove", "index": 0, "position": 60, "count": 2 }]));
        pair.sync(1);
        pair.assert_items_are_current("the other has read it");
        pair.sync(0);
        pair.edit(insert(4));
        pair.sync(0);
        pair.sync(1);
        pair.assert_items_are_current("both have read it");
        assert_eq!(pair.num_items_removed(), 2, "each removal is told once");
    }

    fn one_that_is_refused_stops_nobody_else(backend) {
        for like in ["forbidden", "not_found"] {
            let pair = Pair::of(backend, 60, true);
            pair.sync(0);
            pair.sync(1);
            pair.sandbox.rules(json!([{ "family": "playlist_items", "user": 1, "do": refuse(like) }]));
            for _ in 0..2 {
                pair.edit(insert(1));
                pair.sync(1);
                pair.sync(0);
                pair.assert_items_are_current(like);
            }
            assert_eq!(pair.num_items_removed(), 0, "{like}");
        }
    }

    /// Killed at each page of the reading: the rows are never a mixture that counts as whole.
    fn a_reader_that_dies_leaves_it_to_the_next(backend) {
        let pair = Pair::of(backend, 230, true);
        pair.sync(0);
        pair.sync(1);
        pair.sandbox.configure(json!({ "latency_ms": 40 }));
        for (requests, killed, next) in [(1, 0, 1), (2, 1, 0), (4, 0, 1)] {
            pair.edit(json!([{ "op": "playlist_insert", "index": 0, "position": 100, "count": 2 },
                { "op": "playlist_remove", "index": 0, "position": 7 }]));
            pair.sandbox.forget_requests();
            let mut running = pair.command(&["sync", "--account", &pair.ids[killed]]).env("SEGNO_SYNC_INCREMENTAL_BATCH_SIZE", "50").spawn();
            while running.is_running() && pair.sandbox.requests("playlist_items") < requests {
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
            running.kill();
            pair.database.settle();
            pair.sync(next);
            pair.assert_items_are_current(&format!("killed at request {requests}"));
        }
    }

    /// Edits, wrong answers, refusals and deaths at random, while both read in turn: at the end both are current.
    fn whatever_happened_one_run_of_each_makes_it_current(backend) {
        for seed in 0..4 {
            let mut rng = Rng::with_seed(seed);
            let pair = Pair::of(backend, [40, 120, 230][rng.usize(..3)], rng.bool());
            pair.sandbox.configure(json!({ "latency_ms": 3 }));
            pair.sandbox.begin_history();
            let mut told = Vec::new();
            for _ in 0..8 {
                let edit = random_edit(&mut rng);
                pair.edit(json!([edit]));
                let rules = json!([random_fault(&mut rng), { "family": "playlist_items", "skip": rng.usize(..3), "times": 1,
                    "do": { "kind": "edit", "when": "after", "edits": [random_edit(&mut rng)] } }]);
                pair.sandbox.rules(rules.clone());
                let (user, requests) = (rng.usize(..2), rng.u64(1..6));
                told.push(format!("{edit} {rules} user {user}"));
                pair.sandbox.forget_requests();
                let mut running = pair.command(&["sync", "playlists", "--account", &pair.ids[user]]).env("SEGNO_SYNC_INCREMENTAL_BATCH_SIZE", "50").spawn();
                while running.is_running() && pair.sandbox.requests("playlist_items") < requests {
                    std::thread::sleep(std::time::Duration::from_millis(3));
                }
                if rng.bool() { running.kill() } else { drop(running.wait()) }
                pair.database.settle();
            }
            pair.sandbox.rules(json!([]));
            for user in [0, 1] {
                pair.database.end_cooldowns();
                pair.sync(user);
            }
            pair.assert_items_are_current(&format!("seed {seed}: {}", told.join("\n")));
        }
    }

    fn a_service_for_both_keeps_it_current_while_it_is_edited(backend) {
        let pair = Pair::of(backend, 120, true);
        let segno = pair.command(&["run"]).env("SEGNO_FAULT_HASTE", "5400");
        let service = Service(Some(segno.spawn()));
        let complete = "sync_states WHERE phase = 'initial_sync' AND completed_at IS NOT NULL";
        wait_until("both are complete", || pair.database.count(complete) == 2 * NUM_ENTITY_TYPES);
        for _ in 0..4 {
            pair.edit(insert(1));
            std::thread::sleep(std::time::Duration::from_millis(700));
        }
        let items = || pair.database.count(&format!("playlist_items WHERE playlist_id = '{}'", pair.shared_id()));
        wait_until("all edits are there", || items() == 124);
        service.stop();
        for user in [0, 1] {
            pair.sync(user);
        }
        pair.assert_items_are_current("after the service");
    }
}
