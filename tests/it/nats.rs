//! `feed.nats_url`: changes are published to a stream of a real nats-server, each entry once and in order, whatever
//! dies or loses its disk.

use super::support::{
    Backend, Database, Running, Sandbox, Segno,
    authority::Authority,
    block_on, both,
    broker::{Broker, Brokers, HOST},
    http, wait_until,
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

fn service(database: &Database, sandbox: &Sandbox, broker: &str) -> Segno {
    Segno::hasty(database, sandbox).env("SEGNO_FEED_NATS_URL", broker)
}

/// The feed, by the numbers of its entries.
fn noted(database: &Database) -> Vec<i64> {
    let lines = database.lines("SELECT CAST(seq AS TEXT) AS line FROM outbox ORDER BY seq");
    lines.iter().map(|line| line.parse().expect("a number")).collect()
}

/// Adds a track, and waits until the feed contains it.
fn change(database: &Database, sandbox: &Sandbox) {
    let before = noted(database).len();
    sandbox.edit(json!([{ "op": "add_tracks", "count": 1 }]));
    wait_until("the change is in the feed", || noted(database).len() > before);
}

/// Waits until the stream has the whole feed, each entry once and in order.
fn wait_for_all(database: &Database, broker: &Broker) {
    wait_until_all_is_in(database, || broker.seqs());
}

fn wait_until_all_is_in(database: &Database, seqs: impl Fn() -> Vec<i64>) {
    wait_until("all of the feed is in the stream", || {
        let (seqs, noted) = (seqs(), noted(database));
        let is_once = seqs.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(is_once, "{seqs:?} of {noted:?}");
        seqs == noted
    });
}

fn stream_of(database: &Database, sandbox: &Sandbox) -> Value {
    Segno::on(database, sandbox, &["status", "--json"]).succeed().json()["stream"].clone()
}

both! {
    fn what_changes_is_published_once_and_in_order(backend) {
        let Some(broker) = Broker::start_for(Some(("segno", "a-secret-word"))) else { return };
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(60, 20, 10, 2, 10));
        let running = service(&database, &sandbox, &broker.url()).env("SEGNO_WEB_LISTEN", "127.0.0.1:0").spawn();
        database.wait_for_first_sync();
        sandbox.edit(json!([{ "op": "add_tracks", "count": 3 }, { "op": "remove_albums", "offset": 4 }]));
        change(&database, &sandbox);
        wait_for_all(&database, &broker);
        let account = database.lines("SELECT spotify_id AS line FROM accounts").remove(0);
        for message in broker.messages() {
            assert_eq!(message.subject.as_str(), format!("segno.changes.{account}"));
            let body: Value = serde_json::from_slice(&message.payload).expect("JSON");
            assert_eq!(message.headers.get("Nats-Msg-Id").expect("an id").to_string(), body["id"]);
            assert_eq!((&body["account"], &body["event"]), (&json!(account), &json!("changes")));
            assert!(body["changes"].as_array().is_some_and(|changes| !changes.is_empty()), "{body}");
        }
        wait_until("that nothing waits is noted", || stream_of(&database, &sandbox)["waiting"] == 0);
        let stream = stream_of(&database, &sandbox);
        assert_eq!((&stream["host"], &stream["failing_since"]), (&json!("127.0.0.1"), &Value::Null), "{stream}");
        assert!(stream["node"].as_str().is_some_and(|node| node.starts_with("segno run")), "{stream}");
        let log = running.stop().stderr;
        assert!(log.contains("this node publishes the feed") && !log.contains("a-secret-word"), "{log}");
    }

    fn a_service_that_dies_at_any_moment_repeats_nothing_and_loses_nothing(backend) {
        let Some(broker) = Broker::start() else { return };
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(40, 10, 5, 1, 5));
        let start = || service(&database, &sandbox, &broker.url());
        // The relay alone dies before it has sent something, and after.
        let running = start().env("SEGNO_FAULTS", "relay.publish=1,relay.published=2").spawn();
        database.wait_for_first_sync();
        change(&database, &sandbox);
        wait_for_all(&database, &broker);
        change(&database, &sandbox);
        wait_for_all(&database, &broker);
        running.kill();
        for wait_ms in [0, 20, 45, 80, 130, 200] {
            let running = start().spawn();
            change(&database, &sandbox);
            // Anywhere between the commit and the note that it is published.
            std::thread::sleep(Duration::from_millis(wait_ms));
            running.kill();
        }
        let running = start().spawn();
        wait_for_all(&database, &broker);
        running.stop();
    }

    fn a_broker_that_was_killed_gets_what_it_missed(backend) {
        let Some(mut broker) = Broker::start() else { return };
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(40, 10, 5, 1, 5));
        let running = service(&database, &sandbox, &broker.url()).spawn();
        database.wait_for_first_sync();
        wait_for_all(&database, &broker);
        for _ in 0..3 {
            broker.kill();
            // The sync continues.
            change(&database, &sandbox);
            wait_until("that it is away is noted", || stream_of(&database, &sandbox)["failing_since"].is_string());
            let told = Segno::on(&database, &sandbox, &["status"]).succeed().stdout;
            assert!(told.contains("stream 127.0.0.1: has accepted nothing since "), "{told}");
            broker.start_again();
            wait_for_all(&database, &broker);
            wait_until("that it is back is noted", || stream_of(&database, &sandbox)["failing_since"].is_null());
        }
        let log = running.stop().stderr;
        let lines = |part: &str| log.lines().filter(|line| line.contains(part)).count();
        let told = (lines("the feed cannot be published"), lines("the stream accepts the feed again"));
        assert_eq!(told, (3, 3), "{log}");
    }

    fn a_broker_that_lost_its_disk_gets_everything_again(backend) {
        let Some(mut broker) = Broker::start() else { return };
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(40, 10, 5, 1, 5));
        let running = service(&database, &sandbox, &broker.url()).spawn();
        database.wait_for_first_sync();
        change(&database, &sandbox);
        wait_for_all(&database, &broker);
        broker.kill();
        broker.wipe();
        broker.start_again();
        // Nothing changes meanwhile, but it is noticed.
        wait_for_all(&database, &broker);
        broker.delete_stream();
        change(&database, &sandbox);
        wait_for_all(&database, &broker);
        broker.kill();
        broker.wipe();
        running.stop();
        broker.start_again();
        let running = service(&database, &sandbox, &broker.url()).spawn();
        wait_for_all(&database, &broker);
        running.stop();
    }
}

#[test]
fn of_several_nodes_one_publishes_and_another_goes_on_when_it_dies_or_freezes() {
    if !Backend::Postgres.is_available() {
        return;
    }
    let Some(broker) = Broker::start() else { return };
    let (database, sandbox) = (Database::new(Backend::Postgres), Sandbox::exact(60, 20, 10, 2, 10));
    let start = || service(&database, &sandbox, &broker.url()).spawn();
    let publisher = || {
        let label =
            "SELECT n.label AS line FROM feed_positions p JOIN nodes n ON n.id = p.owner WHERE p.name = 'stream'";
        database.lines(label).pop().unwrap_or_default()
    };
    let is_publisher = |node: &Running| publisher().contains(&format!("(process {} ", node.pid()));
    let first = start();
    database.wait_for_first_sync();
    wait_until("the first publishes", || is_publisher(&first));
    let second = start();
    wait_until("both live", || database.count("nodes WHERE holds_until > now()") == 2);
    change(&database, &sandbox);
    wait_for_all(&database, &broker);
    assert!(is_publisher(&first));

    // One that freezes is replaced; when it continues, it changes nothing.
    first.signal("STOP");
    wait_until("the second publishes", || is_publisher(&second));
    change(&database, &sandbox);
    wait_for_all(&database, &broker);
    first.signal("CONT");
    change(&database, &sandbox);
    wait_for_all(&database, &broker);
    assert!(is_publisher(&second));

    second.kill();
    wait_until("the first publishes again", || is_publisher(&first));
    change(&database, &sandbox);
    wait_for_all(&database, &broker);
    first.stop();
}

/// The server takes TLS alone, by a certificate of an authority that the operating system does not know.
#[test]
fn a_certificate_is_checked_and_no_password_goes_to_a_server_without_one() {
    const SIGN_IN: (&str, &str) = ("segno", "a-secret-word");
    let Some(authority) = Authority::new() else { return };
    let Some(broker) = Broker::start_with_tls(&authority, SIGN_IN) else { return };
    let (plain, heard) = server_without_tls();
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(40, 10, 5, 1, 5));
    let at = |host: &str, port: u16| format!("tls://{}:{}@{host}:{port}", SIGN_IN.0, SIGN_IN.1);
    let trusted = authority.file().display().to_string();
    let refused = |url: &str, trusts: bool, why: &str| {
        let segno = service(&database, &sandbox, url);
        let running = if trusts { segno.env("SSL_CERT_FILE", &trusted).spawn() } else { segno.spawn() };
        database.wait_for_first_sync();
        wait_until("it says why", || {
            stream_of(&database, &sandbox)["error"].as_str().is_some_and(|error| error.contains(why))
        });
        let told = running.stop().stderr;
        assert!(told.contains(why) && !told.contains(SIGN_IN.1), "{told}");
    };
    refused(&at(HOST, broker.port), false, "UnknownIssuer");
    refused(&at("127.0.0.1", broker.port), true, "not valid for name");
    refused(&at(HOST, plain), true, "NATS at localhost cannot be reached: IO error: ");
    assert!(broker.seqs().is_empty());
    let heard = heard.lock().expect("nobody panics with it").clone();
    let (begins_tls, secret) = (heard.first() == Some(&22), SIGN_IN.1.as_bytes());
    assert!(begins_tls && !heard.windows(secret.len()).any(|part| part == secret), "{heard:?}");

    let running = service(&database, &sandbox, &at(HOST, broker.port)).env("SSL_CERT_FILE", &trusted).spawn();
    database.wait_for_first_sync();
    change(&database, &sandbox);
    wait_for_all(&database, &broker);
    assert_eq!(stream_of(&database, &sandbox)["error"], Value::Null);
    running.stop();
}

/// Somebody in the middle, who says that there is no TLS, and hopes for the password. Its port, and what it has heard.
fn server_without_tls() -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let keeps = heard.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let says = r#"{"server_id":"one","version":"2.9.10","max_payload":1048576,"auth_required":true}"#;
            let mut part = [0; 4096];
            let read = stream.write_all(format!("INFO {says}\r\n").as_bytes()).and_then(|()| stream.read(&mut part));
            keeps.lock().expect("nobody panics with it").extend_from_slice(&part[..read.unwrap_or_default()]);
        }
    });
    (port, heard)
}

#[test]
fn a_stream_on_three_servers_outlives_the_one_that_leads_it() {
    let Some(mut brokers) = Brokers::start() else { return };
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(40, 10, 5, 1, 5));
    let running = service(&database, &sandbox, &brokers.url()).spawn();
    database.wait_for_first_sync();
    wait_until_all_is_in(&database, || brokers.seqs());
    // What is on its way when the leader dies is published once, too.
    change(&database, &sandbox);
    let dead = brokers.kill_leader();
    change(&database, &sandbox);
    change(&database, &sandbox);
    wait_until_all_is_in(&database, || brokers.seqs());
    assert!(brokers.leader().is_some_and(|leader| leader != dead));
    brokers.start_dead_again();
    change(&database, &sandbox);
    wait_until_all_is_in(&database, || brokers.seqs());
    running.stop();
}

#[test]
fn the_metrics_say_what_was_published_and_what_waits() {
    let Some(mut broker) = Broker::start() else { return };
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(30, 10, 5, 1, 5));
    let log = database.folder.path().join("log");
    let segno = service(&database, &sandbox, &broker.url()).env("SEGNO_WEB_LISTEN", "127.0.0.1:0");
    let running = segno.conversing(&log).spawn();
    database.wait_for_first_sync();
    wait_for_all(&database, &broker);
    let text = std::fs::read_to_string(&log).expect("a log");
    let base = text.lines().find_map(|line| line.split_once("the status page is at ")).expect("an address").1.trim();
    let metrics = || {
        block_on(async {
            let answer = http::client().get(format!("{base}/metrics")).send().await.expect("an answer");
            answer.text().await.expect("text")
        })
    };
    let value =
        |name: &str| -> Option<f64> { metrics().lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()) };
    let num_noted = noted(&database).len() as f64;
    wait_until("all is counted", || value("segno_stream_published_total ") == Some(num_noted));
    wait_until("nothing waits", || value("segno_stream_entries_waiting ") == Some(0.0));
    assert_eq!(value("segno_stream_failing_since_timestamp_seconds "), None);
    broker.kill();
    change(&database, &sandbox);
    wait_until("it says so", || value("segno_stream_failing_since_timestamp_seconds ").is_some());
    assert_eq!(value("segno_stream_entries_waiting "), Some(noted(&database).len() as f64 - num_noted));
    running.stop();
}
