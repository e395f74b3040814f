//! Several services on one PostgreSQL: they share its accounts, and each of them may die, freeze or stop, and so may
//! the database. Nothing is lost, nothing is written twice, and together they stay within one limit.

mod chaos;
mod fleet;
mod truth;
mod versions;

use super::support::{Backend, Cluster, Database, Segno, link::Link, wait_until};
use fleet::{Fleet, HOLD, Node};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn fleet(num_accounts: u64, tracks: &str) -> Option<Fleet> {
    let is_available = Backend::Postgres.is_available();
    is_available.then(|| Fleet::new(Database::new(Backend::Postgres), num_accounts, tracks))
}

#[test]
fn accounts_are_shared_out_and_those_of_a_killed_node_run_on_elsewhere() {
    let Some(fleet) = fleet(18, "230") else { return };
    let nodes = [1, 2, 3].map(|number| fleet.start(number));
    let [first, second, third] = &nodes;
    fleet.wait_for_shares(&[first, second, third], &[6, 6, 6]);
    let [first, killed, third] = nodes;
    let label = killed.label();
    killed.running.kill();
    let died_at = Instant::now();
    let orphans = format!("accounts WHERE owner_label LIKE '{label}'");
    fleet.patiently("the others have its accounts", || fleet.database.count(&orphans) == 0);
    let took = died_at.elapsed();
    assert!(took < HOLD + Duration::from_secs(2), "it took {took:?}");
    fleet.wait_for_shares(&[&first, &third], &[9, 9]);
    let fourth = fleet.start(4);
    fleet.wait_for_shares(&[&first, &third, &fourth], &[6, 6, 6]);
    fleet.wait_until_all_is_read();
    let status = fourth.status();
    let nodes = status["nodes"].as_array().expect("nodes");
    let living: Vec<_> = nodes.iter().filter(|node| node["lives"] == true).collect();
    assert_eq!(living.len(), 3, "{nodes:?}");
    assert!(living.iter().all(|node| node["num_accounts"] == 6), "{nodes:?}");
    assert_eq!(living.iter().filter(|node| node["is_here"] == true).count(), 1, "{nodes:?}");
    assert!(status["capacity"]["accounts"].as_u64().is_some_and(|accounts| accounts > 18), "{status}");
    [first, third, fourth].into_iter().for_each(Node::stop);
    fleet.assert_true();
    assert_eq!(fleet.database.count("accounts WHERE released_at IS NULL"), 0, "all is given back");
    let told = Segno::on(&fleet.database, &fleet.sandbox, &["status"]).succeed().stdout;
    assert!(told.contains("the limit carries about "), "{told}");
}

#[test]
fn a_node_that_was_frozen_past_its_hold_commits_nothing_and_goes_on_as_a_node() {
    let Some(fleet) = fleet(6, "900") else { return };
    fleet.sandbox.configure(json!({ "latency_ms": 150 }));
    let (steady, mut frozen) = (fleet.start(1), fleet.start(2));
    fleet.wait_for_shares(&[&steady, &frozen], &[3, 3]);
    let label = frozen.label();
    let of_frozen = format!("sync_states WHERE owner_label LIKE '{label}'");
    fleet.patiently("it has runs of its own", || fleet.database.count(&of_frozen) > 0);
    frozen.running.signal("STOP");
    fleet.patiently("the other has all", || fleet.held(&steady) == 6);
    fleet.sandbox.configure(json!({ "latency_ms": 0 }));
    fleet.wait_until_all_is_read();
    let before = fleet.written();
    frozen.running.signal("CONT");
    fleet.patiently("it has noticed", || frozen.log().contains("not held by this node any more"));
    fleet.wait_for_shares(&[&steady, &frozen], &[3, 3]);
    assert!(frozen.running.is_running());
    fleet.assert_nothing_written_since(&before);
    [steady, frozen].into_iter().for_each(Node::stop);
    fleet.assert_true();
}

/// What it had sent to the database arrives long after others have continued.
#[test]
fn a_node_that_was_cut_off_from_the_database_commits_nothing_late_and_goes_on_as_a_node() {
    let Some(fleet) = fleet(6, "900") else { return };
    let Some(link) = Link::to_server() else { return };
    fleet.sandbox.configure(json!({ "latency_ms": 150 }));
    let steady = fleet.start(1);
    let mut cut_off = fleet.start_on(2, &link.url(&fleet.database.url()));
    fleet.wait_for_shares(&[&steady, &cut_off], &[3, 3]);
    let of_cut_off = format!("sync_states WHERE owner_label LIKE '{}'", cut_off.label());
    fleet.patiently("it has runs of its own", || fleet.database.count(&of_cut_off) > 0);
    link.cut();
    let cut_at = Instant::now();
    fleet.patiently("the other has all", || fleet.held(&steady) == 6);
    // The server ends an open transaction after ten seconds; until then its account is skipped.
    assert!(cut_at.elapsed() < Duration::from_secs(15), "it took {:?}", cut_at.elapsed());
    wait_until("it has let go", || cut_off.log().contains("not held by this node any more"));
    fleet.sandbox.configure(json!({ "latency_ms": 0 }));
    fleet.wait_until_all_is_read();
    let before = fleet.written();
    link.heal();
    fleet.wait_for_shares(&[&steady, &cut_off], &[3, 3]);
    assert!(cut_off.running.is_running());
    fleet.assert_nothing_written_since(&before);
    [steady, cut_off].into_iter().for_each(Node::stop);
    fleet.assert_true();
}

#[test]
fn a_node_that_is_stopped_hands_over_at_once() {
    let Some(fleet) = fleet(6, "900") else { return };
    fleet.sandbox.configure(json!({ "latency_ms": 100 }));
    let (stays, stops) = (fleet.start(1), fleet.start(2));
    fleet.wait_for_shares(&[&stays, &stops], &[3, 3]);
    stops.stop();
    let stopped_at = Instant::now();
    fleet.wait_for_shares(&[&stays], &[6]);
    let took = stopped_at.elapsed();
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    fleet.sandbox.configure(json!({ "latency_ms": 0 }));
    fleet.wait_until_all_is_read();
    stays.stop();
    fleet.assert_true();
}

#[test]
fn nodes_outlive_a_database_that_is_stopped_at_once_and_started_again() {
    let Some(mut cluster) = Cluster::start() else { return };
    let fleet = Fleet::new(Database::of(&cluster), 6, "900");
    fleet.sandbox.configure(json!({ "latency_ms": 100 }));
    let (one, other) = (fleet.start(1), fleet.start(2));
    fleet.wait_for_shares(&[&one, &other], &[3, 3]);
    fleet.patiently("something is committed", || fleet.database.num_batches() > 5);
    cluster.stop_at_once();
    // Longer than a hold lasts: they hold nothing when the database is back.
    for node in [&one, &other] {
        fleet_waits(&format!("{} has let go", node.label()), || node.log().contains("not held by this node any more"));
    }
    let sent = fleet.sandbox.requests("*");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(fleet.sandbox.requests("*"), sent, "nothing is asked for while nothing can be written");
    cluster.start_again();
    fleet.sandbox.configure(json!({ "latency_ms": 0 }));
    fleet.wait_until_all_is_read();
    fleet.wait_for_shares(&[&one, &other], &[3, 3]);
    [one, other].into_iter().for_each(Node::stop);
    fleet.assert_true();
}

/// Between the first look at its accounts, which takes long where there are many, and its first sign of life.
#[test]
fn a_node_whose_database_goes_away_before_it_has_joined_waits_for_it() {
    let Some(mut cluster) = Cluster::start() else { return };
    let fleet = Fleet::new(Database::of(&cluster), 3, "60");
    // Noting where the webhook stands waits for this.
    let held = fleet.database.hold("LOCK TABLE feed_positions IN SHARE MODE");
    let node = fleet.start_as(1, |segno| segno.env("SEGNO_NOTIFY_WEBHOOK", "http://127.0.0.1:9/hook"));
    let waits = "pg_stat_activity WHERE wait_event_type = 'Lock' AND query ILIKE 'INSERT INTO%feed_positions%'";
    fleet.patiently("it waits", || fleet.database.count(waits) == 1);
    cluster.stop_at_once();
    drop(held);
    fleet_waits("it says that it waits", || {
        node.log().contains("the database went away while the service was starting")
    });
    cluster.start_again();
    fleet.wait_until_all_is_read();
    assert!(node.log().contains("the database answers again"), "{}", node.log());
    node.stop();
    fleet.assert_true();
}

/// Waits without the database.
fn fleet_waits(what: &str, condition: impl FnMut() -> bool) {
    wait_until(what, condition);
}

#[test]
fn an_order_at_any_node_reaches_the_one_that_keeps_the_account_current() {
    let Some(fleet) = fleet(4, "60") else { return };
    let nodes = [fleet.start(1), fleet.start(2)];
    fleet.wait_for_shares(&[&nodes[0], &nodes[1]], &[2, 2]);
    fleet.wait_until_all_is_read();
    for (here, there) in [(&nodes[0], &nodes[1]), (&nodes[1], &nodes[0])] {
        let account = fleet.database.lines(&format!(
            "SELECT CAST(min(id) AS TEXT) AS line FROM accounts WHERE owner_label LIKE '{}'",
            there.label()
        ));
        let account: u64 = account[0].parse().expect("an id");
        let tracks = || entity(&here.status(), account, "tracks");
        let order = |path: &str| {
            let began = Instant::now();
            let answer = here.post(path, json!({ "account": account, "entity_types": ["tracks"] }));
            assert!(began.elapsed() < Duration::from_secs(3), "{path} took {:?}", began.elapsed());
            assert_eq!(answer["is_waiting"], false, "{path}: {answer}");
            answer
        };
        let accepted = json!([{ "account": account, "entity_type": "tracks" }]);
        assert_eq!(order("/api/v1/pause")["accepted"], accepted);
        assert_eq!(tracks()["is_paused_by_hand"], true);
        let skipped = &order("/api/v1/sync")["skipped"];
        assert_eq!(skipped[0]["why"], "paused by hand", "the owner says so: {skipped}");
        assert_eq!(order("/api/v1/resume")["accepted"], accepted);
        let requests = fleet.sandbox.requests("tracks");
        assert_eq!(order("/api/v1/sync")["accepted"], accepted);
        wait_until("it is looked at again", || fleet.sandbox.requests("tracks") > requests);
        fleet.patiently("that is done", || tracks()["state"] == "complete" && tracks()["live"].is_null());
        assert_eq!(order("/api/v1/reset")["accepted"], accepted);
        fleet.patiently("all is read again", || {
            fleet.database.count(&format!(
                "sync_states WHERE account_id = {account} AND entity_type = 'tracks' AND phase = 'initial_sync' \
                 AND completed_at IS NOT NULL"
            )) == 1
        });
        let owner = here.status()["accounts"].as_array().expect("accounts").clone();
        let owner = owner.into_iter().find(|of| of["account_id"] == account).expect("the account");
        assert!(owner["service"].as_str().is_some_and(|by| there.label().starts_with(&by[..16])), "{owner}");
    }
    assert_eq!(fleet.database.count("orders WHERE ended_at IS NULL"), 0);
    assert!(fleet.database.count("orders") >= 10);
    // A single sync beside them is refused, as beside a single service.
    let sync = Segno::on(&fleet.database, &fleet.sandbox, &["sync"]).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN");
    sync.run().assert_refused(1, &["segno run (process ", "keeps this account current"]);
    nodes.into_iter().for_each(Node::stop);
    fleet.assert_true();
}

#[test]
fn a_sign_out_a_sign_in_and_a_purge_reach_the_node_that_keeps_the_account_current() {
    let Some(fleet) = fleet(4, "60") else { return };
    let nodes = [fleet.start(1), fleet.start(2)];
    fleet.wait_for_shares(&[&nodes[0], &nodes[1]], &[2, 2]);
    fleet.wait_until_all_is_read();
    let ids = fleet.database.lines("SELECT spotify_id AS line FROM accounts ORDER BY id");
    let held = |id: &str| fleet.database.count(&format!("accounts WHERE spotify_id = '{id}' AND released_at IS NULL"));
    let segno = |args: &[&str]| {
        Segno::on(&fleet.database, &fleet.sandbox, args).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN").succeed();
        Instant::now()
    };
    for id in &ids[..2] {
        let token = fleet.database.lines(&format!(
            "SELECT refresh_token AS line FROM account_tokens t JOIN accounts a ON a.id = t.account_id \
             WHERE a.spotify_id = '{id}'"
        ));
        let since = segno(&["logout", id]);
        fleet.patiently("it is let go", || held(id) == 0);
        assert!(since.elapsed() < Duration::from_secs(3), "the sign-out took {:?}", since.elapsed());
        // In the form that a sign-in writes.
        let client_id = &fleet.sandbox.env["SEGNO_SPOTIFY_CLIENT_ID"];
        fleet.database.execute(&format!(
            "INSERT INTO account_tokens (account_id, client_id, refresh_token, updated_at) \
             SELECT id, '{client_id}', '{}', now() FROM accounts WHERE spotify_id = '{id}'",
            token[0]
        ));
        let since = Instant::now();
        fleet.patiently("it is taken up again", || held(id) == 1);
        assert!(since.elapsed() < Duration::from_secs(3), "the sign-in took {:?}", since.elapsed());
    }
    segno(&["purge", &ids[3], "--yes"]);
    fleet.patiently("it is gone for all", || {
        nodes.iter().all(|node| {
            node.status()["nodes"]
                .as_array()
                .is_some_and(|nodes| nodes.iter().filter_map(|node| node["num_accounts"].as_u64()).sum::<u64>() == 3)
        })
    });
    assert_eq!(fleet.database.count("accounts"), 3);
    let account = fleet.database.lines("SELECT CAST(max(id) AS TEXT) AS line FROM accounts");
    let account: u64 = account[0].parse().expect("an id");
    let answer = nodes[0].post("/api/v1/sync", json!({ "account": account, "entity_types": ["albums"] }));
    assert_eq!(answer["accepted"][0]["entity_type"], "albums", "the others go on: {answer}");
    nodes.into_iter().for_each(Node::stop);
}

fn entity(status: &Value, account: u64, entity_type: &str) -> Value {
    let accounts = status["accounts"].as_array().expect("accounts");
    let account = accounts.iter().find(|of| of["account_id"] == account).expect("the account");
    let entities = account["entities"].as_array().expect("entities");
    entities.iter().find(|entity| entity["entity_type"] == entity_type).cloned().unwrap_or_default()
}
