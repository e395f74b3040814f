//! A server that answers with far more than was requested: short when compressed, large once it is unpacked or parsed.

use super::{Backend, Database, Segno, wait_until};
use flate2::{Compression, write::GzEncoder};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// The memory for an answer plus that of a fresh process, in a build without optimisation.
const ANSWER_MAX_KB: u64 = 64 << 10;

/// Answers that a service gets before it is measured.
const NUM_PAGES: usize = 1;

/// Gives tokens, a person without a history, and this body for saved tracks.
struct Api {
    address: String,
    num_pages: Arc<AtomicUsize>,
}

impl Api {
    fn start(body: &[u8]) -> Api {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(body).expect("memory");
        let packed: Arc<Vec<u8>> = packed.finish().expect("memory").into();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let num_pages = Arc::<AtomicUsize>::default();
        let counted = num_pages.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (packed, counted) = (packed.clone(), counted.clone());
                thread::spawn(move || answer(stream, &packed, &counted));
            }
        });
        Api { address, num_pages }
    }
}

fn answer(stream: TcpStream, packed: &[u8], num_pages: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let (mut first, mut len) = (String::new(), 0);
        (reader.read_line(&mut first).ok()? > 0).then_some(())?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                len = value.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        std::io::copy(&mut std::io::Read::take(&mut reader, len), &mut std::io::sink()).ok()?;
        let is_page = first.starts_with("GET /v1/me/tracks");
        let (body, packing): (&[u8], _) = if first.starts_with("POST") {
            (br#"{"access_token":"AT-0123456789","token_type":"Bearer","expires_in":3600}"#, "")
        } else if !is_page {
            // The history, too, as far as it goes.
            (br#"{"id":"mira","display_name":"Mira","items":[]}"#, "")
        } else {
            (packed, "Content-Encoding: gzip\r\n")
        };
        let len = body.len();
        let head = "Content-Type: application/json\r\n";
        write!(stream, "HTTP/1.1 200 OK\r\n{head}{packing}Content-Length: {len}\r\n\r\n").ok()?;
        stream.write_all(body).ok()?;
        num_pages.fetch_add(usize::from(is_page), Ordering::SeqCst);
    }
}

/// The peak memory of a process, in kB.
fn most_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The peak memory of a service that has met such answers, one at a time.
fn memory_of(body: &[u8]) -> u64 {
    let (database, api) = (Database::new(Backend::Sqlite), Api::start(body));
    let log = database.folder.path().join("run.log");
    let segno = Segno::new(database.folder.path(), &["run"])
        .env("SEGNO_DATABASE_URL", &database.url())
        .env("SEGNO_SPOTIFY_API_URL", &format!("http://{}/v1", api.address))
        .env("SEGNO_SPOTIFY_ACCOUNTS_URL", &format!("http://{}", api.address))
        .env("SEGNO_SPOTIFY_CLIENT_ID", "someone")
        .env("SEGNO_SPOTIFY_REFRESH_TOKEN", "a-refresh-token-0123456789")
        .env("SEGNO_RATE_LIMIT_REQUESTS", "100000")
        .env("SEGNO_RATE_LIMIT_WINDOW", "1s")
        .env("SEGNO_SYNC_ENTITIES", "tracks")
        .env("SEGNO_WEB_LISTEN", "off");
    let mut running = segno.conversing(&log).spawn();
    let asked = || api.num_pages.load(Ordering::SeqCst);
    wait_until("pages are asked for", || asked() >= NUM_PAGES);
    // It is being read, and perhaps requested again.
    thread::sleep(Duration::from_secs(3));
    assert!(running.is_running(), "{}", fs::read_to_string(&log).unwrap_or_default());
    let most = most_memory(running.pid()).expect("it runs");
    let began = Instant::now();
    running.signal("TERM");
    running.wait();
    assert!(began.elapsed() < Duration::from_secs(10));
    most
}

/// Each is some kilobytes when compressed and megabytes once unpacked; parsed without bounds, the first takes
/// gigabytes.
#[test]
fn an_answer_takes_at_most_64_mib_whatever_it_unpacks_to() {
    let page = |rows: String| format!("{{\"items\":[{rows}],\"total\":50,\"limit\":50,\"next\":null}}").into_bytes();
    let nested = (0..9)
        .fold("{}".to_owned(), |inner, _| format!("{{\"album\":{{\"tracks\":{{\"items\":[{inner},{inner}]}}}}}}"));
    let album =
        format!("{{\"track\":{{\"id\":\"t\",\"album\":{{\"id\":\"a\",\"tracks\":{{\"items\":[{nested}]}}}}}}}}");
    let unreadable =
        [&b"{\"items\":[{\"track\":{\"id\":\"t\",\"name\":\""[..], &vec![0xff; 9 << 20], b"\"}}]}"].concat();
    let bodies = [
        ("nothing much", page(String::new())),
        ("millions of rows", page(vec!["{}"; 3_000_000].join(","))),
        ("rows full of small objects", page(vec![album; 50].join(","))),
        ("what cannot be read, by the megabyte", unreadable),
        ("more than is read of any answer", vec![b' '; 64 << 20]),
    ];
    let measured = bodies.map(|(what, body)| (what, thread::spawn(move || memory_of(&body))));
    let [(_, usual), strange @ ..] = measured.map(|(what, measuring)| (what, measuring.join().expect("it lives")));
    for (what, most) in strange {
        assert!(most < usual + ANSWER_MAX_KB, "{what}: {most} kB, {usual} kB without");
    }
}
