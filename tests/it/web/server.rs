//! What is served, to how many clients, and how the server starts and stops.

use super::{Backend, Database, Page, Sandbox, Segno, block_on, both, entity, service, slow, wait_until};
use crate::support::http;
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::net::TcpSocket;

/// As many as the service has room for.
const LISTENERS_MAX: usize = 256;

both! {
    fn the_status_shows_a_run_and_then_what_the_command_shows(backend) {
        let (database, sandbox) = (Database::new(backend), slow());
        let page = Page::start(&database, service(&database, &sandbox));
        let mut seen = Value::Null;
        wait_until("a run is seen under way", || {
            seen = page.status();
            entity(&seen, "tracks")["live"]["done"].as_u64().is_some_and(|done| done > 0)
        });
        let (tracks, live) = (entity(&seen, "tracks"), &entity(&seen, "tracks")["live"]);
        assert_eq!((&tracks["state"], &live["stage"], &live["total"]), (&json!("running"), &json!("walk"), &json!(3000)));
        assert!(live["requests"].as_u64() > Some(0) && live["new"].as_u64() > Some(0), "{live}");
        let database_name = if backend == Backend::Sqlite { "sqlite" } else { "postgres" };
        assert_eq!((&seen["database"], &seen["version"]), (&json!(database_name), &json!(env!("CARGO_PKG_VERSION"))));
        assert_eq!((&seen["gate"]["limit"], &seen["gate"]["window_seconds"]), (&json!(100_000), &json!(1)));

        sandbox.configure(json!({ "latency_ms": 0 }));
        database.wait_for_first_sync();
        let is_settled = |status: &Value| {
            let entities = status["accounts"][0]["entities"].as_array().expect("entities");
            let planned = entities.iter().filter(|entity| !entity["next_run_at"].is_null() && entity["live"].is_null());
            planned.count() as u64 == crate::support::NUM_ENTITY_TYPES && status["accounts"][0]["playback"]["next_poll_at"].is_string()
        };
        wait_until("all is planned", || is_settled(&page.status()));
        let shown = Segno::on(&database, &sandbox, &["status", "--json"]).succeed().json();
        let mut served = page.status();
        for entity in served["accounts"][0]["entities"].as_array_mut().expect("entities") {
            assert_eq!(entity.as_object_mut().expect("an object").remove("live"), Some(Value::Null));
        }
        for field in ["accounts", "limits", "forecast"] {
            assert_eq!(served[field], shown[field], "{field}");
        }
        wait_until("the requests are counted", || page.status()["ledger"].as_array().is_some_and(|of| of.len() >= 5));
        page.stop();
        sandbox.library().assert_held_by(&database);
    }

    fn a_database_that_goes_away_in_the_middle_of_a_run_is_told_and_all_goes_on_when_it_is_back(backend) {
        let (database, sandbox) = (Database::new(backend), slow());
        let page = Page::start(&database, service(&database, &sandbox));
        wait_until("tracks are being read", || page.entity("tracks")["live"]["done"].as_u64() > Some(0));
        assert_eq!(page.get("/readyz").json(), json!({ "process": "ok", "database": "ok", "supervisor": "ok" }));
        let is_up = |up: bool| page.get("/metrics").body.contains(&format!("\nsegno_database_up {}\n", u8::from(up)));
        assert!(is_up(true));

        database.take_away();
        wait_until("that is noticed", || page.get("/api/v1/status").status == 503);
        for path in ["/api/v1/status", "/readyz", "/api/v1/tracks", "/api/v1/activity"] {
            let answer = page.get(path);
            answer.assert_problem(503, "the database does not answer");
            assert_ne!(answer.header("retry-after"), "");
        }
        page.post("/api/v1/pause", json!({})).assert_problem(503, "the database does not answer");
        assert_eq!(page.get("/healthz").json(), json!({ "process": "ok" }), "it lives nevertheless");
        assert_eq!(page.ask(Method::HEAD, "/healthz", &[], "").status, 200);
        assert!(is_up(false));
        let metrics = page.get("/metrics").body;
        assert!(metrics.contains("\nsegno_requests_total{") && !metrics.contains("\nsegno_plays{"), "{metrics}");
        let latest = block_on(first_event(&page.base));
        assert!(latest.contains("event: trouble\ndata: {") && latest.contains("the database does not answer"), "{latest}");

        sandbox.configure(json!({ "latency_ms": 0 }));
        database.bring_back();
        let is_back = |path| page.get(path).status == 200;
        wait_until("it is back", || is_back("/api/v1/status") && is_back("/readyz") && is_up(true));
        // A run that was using the database at that moment has failed, and is tried again after five minutes, or when a
        // person asks for it.
        wait_until("all is complete", || {
            let is_complete = database.num_complete() == crate::support::NUM_ENTITY_TYPES;
            if !is_complete {
                page.post("/api/v1/sync", json!({ "entity_types": ["playlists"] }));
            }
            is_complete
        });
        page.stop();
        sandbox.library().assert_held_by(&database);
    }

    fn a_crowd_of_listeners_and_one_who_never_reads_cost_the_sync_nothing(backend) {
        let (database, sandbox) = (Database::new(backend), slow());
        let page = Page::start(&database, service(&database, &sandbox));
        let (num_begun, num_states, num_over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let is_full = Arc::<AtomicBool>::default();
        // Sends a request, and then reads nothing.
        let mut deaf = TcpStream::connect(page.base.trim_start_matches("http://")).expect("it listens");
        write!(deaf, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it listens");
        let crowd = {
            let (base, counts) = (page.base.clone(), (num_begun.clone(), num_states.clone(), num_over.clone(), is_full.clone()));
            std::thread::spawn(move || block_on(crowd(&base, counts)))
        };
        wait_until("200 have their first event", || num_begun.load(Ordering::SeqCst) == 200);
        database.wait_for_first_sync();
        wait_until("each of them was told more than once", || num_states.load(Ordering::SeqCst) >= 2 * 200);
        wait_until("no more were let in than there is room for", || is_full.load(Ordering::SeqCst));
        assert!(page.get("/api/v1/status").status == 200, "others are served");
        assert_eq!(num_over.load(Ordering::SeqCst), 0, "nobody was cut off");

        let began = Instant::now();
        page.stop();
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        crowd.join().expect("every stream ends in good order");
        assert_eq!(num_over.load(Ordering::SeqCst), 200);
        let mut kept = Vec::new();
        let _ = deaf.read_to_end(&mut kept);
        sandbox.library().assert_held_by(&database);
    }
}

/// The first event for a listener.
async fn first_event(base: &str) -> String {
    let mut response = http::client().get(format!("{base}/api/v1/events")).send().await.expect("it listens");
    let mut text = String::new();
    while !text.contains("\ndata: ") {
        let chunk = response.chunk().await.expect("a chunk").expect("no end");
        text += &String::from_utf8_lossy(&chunk);
    }
    text
}

/// 200 listeners at once, who read until the end; and then more, until there is no room.
async fn crowd(
    base: &str,
    (begun, states, over, is_full): (Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicBool>),
) {
    let client = http::client();
    let url = format!("{base}/api/v1/events");
    let listen = || async {
        let mut response = client.get(&url).send().await.expect("it listens");
        assert_eq!(response.status().as_u16(), 200);
        let (mut text, mut has_begun) = (String::new(), false);
        while let Some(bytes) = response.chunk().await.expect("the stream ends in good order") {
            text.push_str(std::str::from_utf8(&bytes).expect("UTF-8"));
            if !has_begun {
                has_begun = true;
                assert!(text.starts_with("retry: 2000\n\nevent: status\ndata: {"), "{text}");
                begun.fetch_add(1, Ordering::SeqCst);
            }
            while let Some(end) = text.find("\n\n") {
                let event: String = text.drain(..end + 2).collect();
                if let Some(data) = event.split_once("event: status\ndata: ").map(|(_, data)| data) {
                    let status: Value = serde_json::from_str(data.trim()).expect("JSON on one line");
                    assert!(status["now"].is_string());
                    states.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
        over.fetch_add(1, Ordering::SeqCst);
    };
    let more = async {
        // The crowd first.
        while begun.load(Ordering::SeqCst) < 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut held = Vec::new();
        for _ in 0..LISTENERS_MAX {
            let response = client.get(&url).send().await.expect("it listens");
            if response.status().as_u16() == 503 {
                is_full.store(true, Ordering::SeqCst);
                break;
            }
            held.push(response);
        }
        // The crowd, and the client that does not read.
        assert_eq!(held.len(), LISTENERS_MAX - 201);
    };
    tokio::join!(futures_util::future::join_all((0..200).map(|_| listen())), more);
}

#[test]
fn listeners_who_never_read_lose_their_places_and_one_who_reads_does_not() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    // Here the limit on unread data is five seconds instead of a minute.
    let page = Page::start(&database, service(&database, &sandbox).env("SEGNO_FAULT_HASTE", "12"));
    database.wait_for_first_sync();
    let address = page.base.trim_start_matches("http://").parse().expect("an address");
    let request = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut reader = TcpStream::connect(address).expect("it listens");
    reader.write_all(request).expect("it listens");
    let num_heard = Arc::<AtomicUsize>::default();
    let heard = num_heard.clone();
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = reader.read(&mut buffer) {
            heard.fetch_add(read, Ordering::SeqCst);
        }
    });
    let mut deaf: Vec<TcpStream> = (1..LISTENERS_MAX).map(|_| block_on(with_small_buffer(address))).collect();
    deaf.iter_mut().for_each(|stream| stream.write_all(request).expect("it listens"));
    let ask = || page.get("/api/v1/events").status;
    wait_until("there is no room", || ask() == 503);
    wait_until("there is room again", || ask() == 200);
    let before = num_heard.load(Ordering::SeqCst);
    assert_eq!(page.post("/api/v1/pause", json!({})).status, 202);
    wait_until("who reads is told what is new", || num_heard.load(Ordering::SeqCst) > before);
    page.stop();
    reading.join().expect("it ends with the service");
}

/// A connection whose buffers hold less than one event.
async fn with_small_buffer(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(2048).expect("a size");
    let stream = socket.connect(address).await.expect("it listens").into_std().expect("a stream");
    stream.set_nonblocking(false).expect("a mode");
    stream
}

#[test]
fn the_page_is_there_before_anybody_is_signed_in() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    sandbox.rules(json!([{ "family": "token", "do": { "kind": "status", "status": 503 } }]));
    let page = Page::start(&database, service(&database, &sandbox));
    assert_eq!(page.status()["accounts"], json!([]));
    assert_eq!(page.get("/readyz").status, 200);
    page.post("/api/v1/sync", json!({})).assert_problem(404, "segno login");
    let document = page.get("/");
    assert!(document.status == 200 && !document.body.contains("sign-out"), "there is nothing to sign out of");
    page.ask(Method::POST, "/sign-out", &[], "").assert_problem(404, "no token is set");
    page.stop();
}

#[test]
fn a_port_in_use_is_one_clear_error() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = service(&database, &sandbox).env("SEGNO_WEB_LISTEN", &address).run();
    ended.assert_refused(1, &[&address, "in use", "SEGNO_WEB_LISTEN", "\"off\""]);
    assert_eq!(sandbox.requests("*"), 0);
}

#[test]
fn without_a_token_it_refuses_to_listen_to_other_machines() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8370"] {
        let ended = service(&database, &sandbox).env("SEGNO_WEB_LISTEN", address).run();
        ended.assert_refused(2, &["web.listen", address, "SEGNO_WEB_TOKEN", "127.0.0.1:"]);
    }
    assert!(!database.file().exists(), "before anything is touched");
    let page = Page::start(&database, service(&database, &sandbox).env("SEGNO_WEB_TOKEN", "a-word-for-the-page"));
    assert_eq!(page.get("/api/v1/status").status, 401);
    page.stop();
}
