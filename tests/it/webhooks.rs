//! `notify.webhook`: a real receiver over loopback is sent everything that changes, in order, signed, each once or
//! again under the same id; whatever the receiver does, and whatever happens to the service.

use super::support::{
    Backend, Database, Sandbox, Segno, both,
    receiver::{Answer, Delivery, Receiver},
    wait_until,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn service(database: &Database, sandbox: &Sandbox, receiver: &str) -> Segno {
    Segno::hasty(database, sandbox).env("SEGNO_NOTIFY_WEBHOOK", receiver).env("SEGNO_NOTIFY_SECRET", SECRET)
}

/// Entries of the outbox that a webhook is sent, oldest first.
fn news(database: &Database) -> Vec<i64> {
    let lines = database
        .lines("SELECT CAST(seq AS TEXT) AS line FROM outbox WHERE body NOT LIKE '%\"initial_sync\"%' ORDER BY seq");
    lines.iter().map(|line| line.parse().expect("a number")).collect()
}

fn seqs(deliveries: &[Delivery]) -> Vec<i64> {
    deliveries.iter().map(|delivery| delivery.json()["seq"].as_i64().expect("a number")).collect()
}

/// Waits until everything that happened was accepted, each entry once, in order.
fn wait_for_all(database: &Database, receiver: &Receiver, at_least: usize) {
    wait_until("everything is told", || {
        let news = news(database);
        news.len() >= at_least && seqs(&receiver.taken()) == news
    });
}

fn assert_signed(delivery: &Delivery) {
    let (id, at) = (delivery.header("webhook-id"), delivery.header("webhook-timestamp"));
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").expect("encoded")).expect("Base64");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).expect("a key");
    mac.update(format!("{id}.{at}.{}", delivery.body).as_bytes());
    assert_eq!(delivery.header("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    assert_eq!(delivery.json()["id"], id);
    assert!((chrono::Utc::now().timestamp() - at.parse::<i64>().expect("a number")).abs() < 300);
}

both! {
    fn what_changes_is_told_signed_and_in_order(backend) {
        let (database, sandbox, receiver) = (Database::new(backend), Sandbox::exact(60, 20, 10, 2, 10), Receiver::start());
        let running = service(&database, &sandbox, &receiver.url("/hook?k=v")).spawn();
        database.wait_for_first_sync();
        sandbox.edit(json!([{ "op": "add_tracks", "count": 3 }, { "op": "remove_albums", "offset": 4 }]));
        wait_for_all(&database, &receiver, 2);
        sandbox.edit(json!([{ "op": "playlist_insert", "index": 0, "position": 1 }, { "op": "follow", "count": 1 }]));
        wait_for_all(&database, &receiver, 4);
        running.stop();

        let taken = receiver.taken();
        assert_eq!(receiver.came().len(), taken.len(), "nothing was sent twice");
        let ids: BTreeSet<&str> = taken.iter().map(|delivery| delivery.header("webhook-id")).collect();
        assert_eq!(ids.len(), taken.len());
        let mut told = BTreeSet::new();
        for delivery in &taken {
            assert_eq!((delivery.target.as_str(), delivery.header("content-type")), ("/hook?k=v", "application/json"));
            assert_signed(delivery);
            let entry = delivery.json();
            for part in ["title", "body", "type", "account", "at"] {
                assert!(entry[part].as_str().is_some_and(|text| !text.is_empty()), "{part}: {entry}");
            }
            for change in entry["changes"].as_array().expect("changes") {
                told.insert(format!("{} {}", change["entity_type"], change["change"]).replace('"', ""));
            }
        }
        let expected = ["albums removed", "artists added", "playlist_items added", "tracks added"];
        assert_eq!(told, expected.map(str::to_owned).into());
        let is_line = |delivery: &Delivery| delivery.json()["body"].as_str().expect("text").starts_with(['+', '-']);
        assert!(taken.iter().all(is_line), "{taken:?}");
    }

    fn nothing_is_lost_whatever_the_receiver_does(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(40, 10, 5, 1, 5));
        let receiver = Receiver::start();
        let running = service(&database, &sandbox, &receiver.url("/")).spawn();
        database.wait_for_first_sync();
        let wrong = [Answer::Status(500), Answer::Status(404), Answer::Status(302), Answer::Closed, Answer::Slowly(Duration::from_millis(700))];
        receiver.answer(wrong);
        sandbox.edit(json!([{ "op": "add_tracks", "count": 1 }]));
        wait_for_all(&database, &receiver, 1);
        // The same entry each time, under its id, until it was accepted.
        let came = receiver.came();
        let ids: BTreeSet<&str> = came.iter().map(|delivery| delivery.header("webhook-id")).collect();
        assert_eq!((came.len(), ids.len()), (5, 1), "{came:?}");
        came.iter().for_each(assert_signed);

        // Down for a while: the sync continues, and the events are sent when it is back.
        let port = receiver.port;
        drop(receiver);
        for _ in 0..3 {
            let before = news(&database).len();
            sandbox.edit(json!([{ "op": "add_tracks", "count": 1 }]));
            wait_until("the sync goes on", || news(&database).len() > before);
        }
        wait_until("that it is down is noted", || database.count("feed_positions WHERE failures > 0 AND failing_since IS NOT NULL") == 1);
        let status = Segno::on(&database, &sandbox, &["status", "--json"]).succeed();
        let webhook = &status.json()["webhooks"][0];
        assert_eq!((&webhook["host"], &webhook["waiting"]), (&json!("127.0.0.1"), &json!(3)), "{webhook}");
        for part in ["failing_since", "next_try_at", "error"] {
            assert!(webhook[part].is_string(), "{part}: {webhook}");
        }
        let told = Segno::on(&database, &sandbox, &["status"]).succeed().stdout;
        assert!(told.contains("webhook 127.0.0.1: has accepted nothing since "), "{told}");
        assert!(told.contains(", 3 entries wait, next try "), "{told}");
        assert!(![told, status.stdout].concat().contains(&port.to_string()), "the address is nobody's business");
        let receiver = Receiver::on(port);
        wait_until("the rest is told", || seqs(&receiver.taken()) == news(&database)[1..]);
        wait_until("that it is back is noted", || database.count("feed_positions WHERE failures > 0 OR error IS NOT NULL") == 0);
        let told = Segno::on(&database, &sandbox, &["status"]).succeed().stdout;
        assert!(!told.contains("webhook"), "{told}");
        let log = running.stop().stderr;
        let lines = |part: &str| log.lines().filter(|line| line.contains(part)).count();
        assert_eq!((lines("does not accept entries"), lines("accepts entries of the feed again")), (2, 2), "{log}");
        assert!(!log.contains(&format!("{port}/")), "the address is not in the log: {log}");
    }

    fn a_kill_or_a_panic_between_repeats_one_entry_under_its_id(backend) {
        let (database, sandbox, receiver) = (Database::new(backend), Sandbox::exact(40, 10, 5, 1, 5), Receiver::start());
        let running = service(&database, &sandbox, &receiver.url("/")).spawn();
        database.wait_for_first_sync();
        // It has arrived, but whether it was accepted is unknown.
        receiver.answer([Answer::Never]);
        sandbox.edit(json!([{ "op": "add_tracks", "count": 1 }]));
        wait_until("it has come", || receiver.came().len() == 1);
        running.kill();
        let running = service(&database, &sandbox, &receiver.url("/")).env("SEGNO_FAULTS", "notifier.sent=2").spawn();
        wait_until("it has come again", || receiver.taken().len() == 1);
        // The second one panics after it was accepted and before that is noted.
        sandbox.edit(json!([{ "op": "add_tracks", "count": 1 }]));
        wait_until("the second came twice", || receiver.came().len() == 4);
        sandbox.edit(json!([{ "op": "add_tracks", "count": 1 }]));
        wait_until("the third came", || receiver.came().len() == 5);
        let came = seqs(&receiver.came());
        let news = news(&database);
        assert_eq!(came, [news[0], news[0], news[1], news[1], news[2]]);
        let ids: Vec<String> = receiver.came().iter().map(|delivery| delivery.header("webhook-id").to_owned()).collect();
        assert_eq!((&ids[0], &ids[2]), (&ids[1], &ids[3]));
        let log = running.stop().stderr;
        assert!(log.contains("actor panicked and is restarted child=notifier 1"), "{log}");
    }

    fn a_receiver_that_hangs_delays_neither_the_sync_nor_others(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(40, 10, 5, 1, 5));
        let [slow, quick] = [(); 2].map(|()| Receiver::start());
        slow.answer([Answer::Never; 20]);
        let both = format!("{},{}", slow.url("/"), quick.url("/"));
        let running = service(&database, &sandbox, &both).spawn();
        database.wait_for_first_sync();
        for number in 1..=3 {
            sandbox.edit(json!([{ "op": "add_tracks", "count": 1 }]));
            wait_until("the quick one is told", || quick.taken().len() == number);
        }
        assert_eq!(seqs(&quick.taken()), news(&database));
        let hung = seqs(&slow.came());
        assert!(!hung.is_empty() && hung.iter().all(|seq| *seq == hung[0]), "only the first: {hung:?}");
        running.stop();
    }

    fn what_no_commit_says_is_told_too_once(backend) {
        let (database, sandbox, receiver) = (Database::new(backend), Sandbox::exact(30, 10, 5, 1, 5), Receiver::start());
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        let soon = (chrono::Utc::now() - chrono::TimeDelta::days(175)).format("%Y-%m-%d %H:%M:%S%.6f+00:00");
        let days_ago = (chrono::Utc::now() - chrono::TimeDelta::days(3)).format("%Y-%m-%d %H:%M:%S%.6f+00:00");
        database.execute(&format!("UPDATE accounts SET authorized_at = '{soon}'"));
        database.execute(&format!(
            "UPDATE sync_states SET completed_at = '{days_ago}', failed_at = '{days_ago}', error_message = 'no route', next_run_at = NULL \
             WHERE entity_type = 'albums'"
        ));
        // Another run of the albums would begin afresh, perhaps before the service looks.
        let service = service(&database, &sandbox, &receiver.url("/")).env("SEGNO_SYNC_ENTITIES", "tracks");
        let running = service.env("SEGNO_NOTIFY_EVENTS", "sign_in_ends,sync_failing").spawn();
        wait_until("both are told", || receiver.taken().len() >= 2);
        sandbox.edit(json!([{ "op": "add_tracks", "count": 1 }]));
        wait_until("the change is in the feed", || database.count("outbox WHERE kind = 'changes' AND body LIKE '%incremental%'") > 0);
        wait_until("the change is passed over", || {
            database.count("feed_positions f WHERE f.name LIKE 'webhook%' AND f.seq = (SELECT h.seq FROM feed_positions h WHERE h.name = 'head')") == 1
        });
        running.stop();
        let told: Vec<Value> = receiver.taken().iter().map(Delivery::json).collect();
        let mut kinds: Vec<&str> = told.iter().filter_map(|entry| entry["event"].as_str()).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["sign_in_ends", "sync_failing"], "{told:?}");
        let failing = told.iter().find(|entry| entry["event"] == "sync_failing").expect("told");
        assert_eq!((&failing["entity_type"], &failing["type"]), (&json!("albums"), &json!("failure")));
    }
}

#[test]
fn of_several_nodes_one_tells_and_the_next_goes_on_when_it_dies() {
    if !Backend::Postgres.is_available() {
        return;
    }
    let (database, sandbox) = (Database::new(Backend::Postgres), Sandbox::exact(60, 20, 10, 2, 10));
    let receiver = Receiver::start();
    let start = || service(&database, &sandbox, &receiver.url("/hook")).spawn();
    let first = start();
    database.wait_for_first_sync();
    let second = start();
    wait_until("both live", || database.count("nodes WHERE holds_until > now()") == 2);
    sandbox.edit(json!([{ "op": "add_tracks", "count": 3 }]));
    wait_for_all(&database, &receiver, 1);
    first.kill();
    sandbox.edit(json!([{ "op": "remove_albums", "offset": 4 }]));
    wait_until("the second tells the rest", || {
        let (news, mut told) = (news(&database), seqs(&receiver.taken()));
        // Entries in flight may arrive again.
        told.dedup();
        news.len() >= 2 && told == news
    });
    second.stop();
}
