//! Traces, with the feature `otlp` only: `cargo test --features otlp --test it otlp`. A receiver on loopback accepts
//! what the real binary sends, and parses as much of the protobuf as is needed.

use super::support::{Backend, Database, Sandbox, Segno};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

#[test]
fn a_run_its_batches_and_their_requests_are_traced_and_name_nobody() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(330, 60, 60, 4, 60));
    let receiver = Receiver::start();
    let sync = Segno::on(&database, &sandbox, &["sync"]).env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.url);
    sync.succeed();
    let spans = receiver.spans();
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let runs = named("run");
    let of_runs: Vec<_> = runs.iter().map(|run| (run.text("entity_type"), run.text("ended"))).collect();
    for entity_type in ["tracks", "artists", "albums", "playlists"] {
        assert!(of_runs.contains(&(entity_type, "complete")), "{of_runs:?}");
    }
    let batches = named("batch");
    assert!(batches.iter().all(|batch| runs.iter().any(|run| run.is_parent_of(batch))), "{batches:?}");
    let of_tracks = runs.iter().find(|run| run.text("entity_type") == "tracks").expect("a run");
    let new = batches.iter().filter(|batch| of_tracks.is_parent_of(batch)).map(|batch| batch.number("new"));
    assert_eq!(new.sum::<u64>(), 330);
    let requests = named("request");
    let within = requests.iter().filter(|request| batches.iter().any(|batch| batch.is_parent_of(request)));
    let asked_by_runs = sandbox.requests("*") - sandbox.requests("profile");
    assert!(within.count() as u64 >= asked_by_runs - 1, "{} of {asked_by_runs}", requests.len());
    assert!(requests.iter().all(|request| request.text("status") == "2xx"), "{requests:?}");
    assert!(!named("commit").is_empty());
    // Only numbers and words of our own: no URL, no name, no token.
    let bytes = receiver.bytes();
    for secret in ["http", "Bearer", "me/tracks", &sandbox.env["SEGNO_SPOTIFY_REFRESH_TOKEN"]] {
        assert!(!String::from_utf8_lossy(&bytes).contains(secret), "{secret} in the traces");
    }
}

#[test]
fn nothing_is_traced_without_an_endpoint_and_a_wrong_one_is_told() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(1, 1, 1, 1, 1));
    Segno::on(&database, &sandbox, &["sync"]).env("OTEL_EXPORTER_OTLP_ENDPOINT", "").succeed();
    let refused = Segno::on(&database, &sandbox, &["sync"]).env("OTEL_EXPORTER_OTLP_ENDPOINT", "not an address").run();
    refused.assert_refused(2, &["OTEL_EXPORTER_OTLP_ENDPOINT"]);
}

/// Accepts every POST to `/v1/traces`.
struct Receiver {
    url: String,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Receiver {
    fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let bodies: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let taken = bodies.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let taken = taken.clone();
                std::thread::spawn(move || serve(stream, &taken));
            }
        });
        Receiver { url, bodies }
    }

    fn bytes(&self) -> Vec<u8> {
        self.bodies.lock().unwrap().concat()
    }

    fn spans(&self) -> Vec<Span> {
        let bodies = self.bodies.lock().unwrap();
        // ExportTraceServiceRequest.resource_spans.scope_spans.spans
        bodies.iter().flat_map(|body| all(body, &[1, 2, 2])).map(Span::read).collect()
    }
}

fn serve(stream: TcpStream, taken: &Mutex<Vec<Vec<u8>>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    loop {
        let (mut length, mut line) = (0, String::new());
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line.starts_with("POST") {
                assert!(line.starts_with("POST /v1/traces "), "{line}");
            }
            line.clear();
        }
        let mut body = vec![0; length];
        if length == 0 || reader.read_exact(&mut body).is_err() {
            return;
        }
        taken.lock().unwrap().push(body);
        let _ = (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    }
}

/// The parts of a span that matter here.
#[derive(Debug)]
struct Span {
    name: String,
    id: Vec<u8>,
    parent: Vec<u8>,
    texts: BTreeMap<String, String>,
    numbers: BTreeMap<String, u64>,
}

impl Span {
    fn read(bytes: &[u8]) -> Span {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let one = |of: &[u8], number| all(of, &[number]).first().map(|bytes| bytes.to_vec()).unwrap_or_default();
        let (mut texts, mut numbers) = (BTreeMap::new(), BTreeMap::new());
        for attribute in all(bytes, &[9]) {
            let (key, value) = (text(&one(attribute, 1)), one(attribute, 2));
            match fields(&value).first() {
                Some((1, Field::Bytes(value))) => _ = texts.insert(key, text(value)),
                Some((3, Field::Number(value))) => _ = numbers.insert(key, *value),
                other => panic!("{key}: {other:?}"),
            }
        }
        Span { name: text(&one(bytes, 5)), id: one(bytes, 2), parent: one(bytes, 4), texts, numbers }
    }

    fn is_parent_of(&self, other: &Span) -> bool {
        self.id == other.parent
    }

    fn text(&self, key: &str) -> &str {
        self.texts.get(key).map_or("", String::as_str)
    }

    fn number(&self, key: &str) -> u64 {
        self.numbers.get(key).copied().unwrap_or(0)
    }
}

#[derive(Debug)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The messages at the end of a path of field numbers.
fn all<'a>(message: &'a [u8], path: &[u64]) -> Vec<&'a [u8]> {
    let Some((number, rest)) = path.split_first() else { return vec![message] };
    let within = fields(message).into_iter().filter_map(|(of, field)| match field {
        Field::Bytes(bytes) if of == *number => Some(bytes),
        _ => None,
    });
    within.flat_map(|bytes| all(bytes, rest)).collect()
}

fn fields(mut message: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut message)),
            1 => (take(&mut message, 8), Field::Fixed).1,
            2 => {
                let length = varint(&mut message) as usize;
                Field::Bytes(take(&mut message, length))
            }
            5 => (take(&mut message, 4), Field::Fixed).1,
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(message, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn take<'a>(message: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = message.split_at(length);
    *message = rest;
    taken
}
