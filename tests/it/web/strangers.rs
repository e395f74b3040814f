//! Hostile visitors: what they hold on to, what they guess, and how they spell it.

use super::{
    Backend, Database, Page, Sandbox,
    safety::{FORM, TOKEN, bearer, routes, session_of, sign_in, signed},
    service, slow, wait_until,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// More than the service accepts at once, if it may open 300 files.
const VISITORS: usize = 220;

#[test]
fn visitors_who_hold_their_bodies_back_stop_neither_the_sync_nor_the_page() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), slow());
    let segno = service(&database, &sandbox).through("ulimit -n 300; exec \"$@\"");
    let page = Page::start(&database, segno);
    let visit = |number: usize| {
        let mut stream = TcpStream::connect(page.base.trim_start_matches("http://")).expect("it listens");
        let what = ["POST /api/v1/sync", "GET /healthz", "POST /nothing-here", "GET /"][number % 4];
        let head = "Host: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        write!(stream, "{what} HTTP/1.1\r\n{head}").expect("it listens");
        stream
    };
    let visitors: Vec<TcpStream> = (0..VISITORS).map(visit).collect();
    let num_files = || fs::read_dir(format!("/proc/{}/fd", page.running.pid())).expect("it runs").count();
    wait_until("the visitors are in", || num_files() > 150);
    sandbox.configure(json!({ "latency_ms": 0 }));
    let mut most = 0;
    wait_until("all is complete", || {
        most = most.max(num_files());
        database.num_complete() == crate::support::NUM_ENTITY_TYPES
    });
    assert!((150..250).contains(&most), "{most} files of 300");
    for (number, mut visitor) in visitors.into_iter().enumerate().step_by(20) {
        let mut heard = String::new();
        visitor.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        visitor.read_to_string(&mut heard).expect("the connection is closed");
        assert!(heard.starts_with("HTTP/1.1 503") && heard.contains("took too long"), "{number}: {heard}");
        assert!(heard.to_lowercase().contains("connection: close"), "{heard}");
    }
    assert_eq!(page.get("/healthz").status, 200);
    let log = page.stop();
    assert!(!log.contains("os error 24"), "{log}");
    assert!(sandbox.requests("tracks") > 0);
}

#[test]
fn the_limit_of_files_is_raised_and_no_core_is_dumped() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let segno = service(&database, &sandbox).through("ulimit -S -n 128; ulimit -S -c unlimited; exec \"$@\"");
    let page = Page::start(&database, segno);
    let limits = fs::read_to_string(format!("/proc/{}/limits", page.running.pid())).expect("it runs");
    let of = |name: &str| -> Vec<String> {
        let line = limits.lines().find(|line| line.starts_with(name)).expect("a limit");
        line[name.len()..].split_whitespace().take(2).map(str::to_owned).collect()
    };
    let files = of("Max open files");
    assert!(files[0] == files[1] && files[0] != "128", "{files:?}");
    assert_eq!(of("Max core file size"), ["0", "0"]);
    page.stop();
}

#[test]
fn a_proxy_is_not_let_in_without_a_token() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let behind = |listen: &str| {
        let segno = service(&database, &sandbox).env("SEGNO_WEB_LISTEN", listen);
        segno.env("SEGNO_WEB_HOSTS", "segno.example.org")
    };
    behind("127.0.0.1:0").run().assert_refused(2, &["web.hosts", "segno.example.org", "SEGNO_WEB_TOKEN"]);
    assert!(!database.file().exists(), "before anything is touched");
    let page = Page::start(&database, behind("127.0.0.1:0").env("SEGNO_WEB_TOKEN", TOKEN));
    assert_eq!(page.ask(Method::GET, "/healthz", &[("host", "segno.example.org")], "").status, 200);
    page.stop();
}

/// One letter of each path as `%XX`, which the router reads like the letter.
#[test]
fn a_path_is_checked_as_the_router_reads_it() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let page = signed(&database, &sandbox);
    let bearer = bearer();
    let foreign = [("authorization", bearer.as_str()), ("sec-fetch-site", "cross-site")];
    let documents = ["/", "/changes", "/library", "/listening", "/activity", "/sign-in"];
    for route in routes() {
        let spelt = route
            .char_indices()
            .find(|(_, c)| c.is_ascii_alphabetic())
            .map_or_else(String::new, |(at, c)| format!("{}%{:02x}{}", &route[..at], u32::from(c), &route[at + 1..]));
        for path in [route.as_str(), &spelt].into_iter().filter(|path| !path.is_empty()) {
            let answer = page.ask(Method::GET, path, &foreign, "");
            let is_document = documents.contains(&route.as_str());
            assert_eq!(answer.status != 403, is_document, "{path}: {answer:?}");
        }
        if route.starts_with("/api/") {
            let nobody = page.ask(Method::GET, &spelt, &[("accept", "text/html")], "").status;
            assert_eq!(nobody, 401, "{spelt}");
        }
    }
    page.stop();
}

#[test]
fn a_session_is_found_among_other_cookies_and_is_secure_where_the_browser_says_so() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let segno = service(&database, &sandbox).env("SEGNO_WEB_TOKEN", TOKEN);
    let page = Page::start(&database, segno.env("SEGNO_WEB_HOSTS", "segno.example.org"));
    let form = format!("token={TOKEN}");
    let with = |origin: &str| page.ask(Method::POST, "/sign-in", &[("origin", origin), FORM], &form);
    let over_tls = with("https://segno.example.org");
    assert!(over_tls.header("set-cookie").ends_with("; Secure"), "{over_tls:?}");
    let plain = with(&page.base);
    assert!(plain.status == 303 && !plain.header("set-cookie").contains("Secure"), "{plain:?}");
    let cookies = format!("segno_session=of-another-path; {}; segno_session=", session_of(&plain));
    let ask = || page.ask(Method::GET, "/api/v1/status", &[("cookie", &cookies)], "").status;
    assert_eq!(ask(), 200);
    assert_eq!(page.ask(Method::POST, "/sign-out", &[("cookie", &cookies)], "").status, 303);
    assert_eq!(ask(), 401);
    page.stop();
}

#[test]
fn a_session_that_makes_room_for_others_hears_no_more() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let page = signed(&database, &sandbox);
    let session = session_of(&sign_in(&page, TOKEN));
    let mut stream = TcpStream::connect(page.base.trim_start_matches("http://")).expect("it listens");
    let head = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    write!(stream, "{head}Cookie: {session}\r\n\r\n").expect("it listens");
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).expect("an answer");
    assert_eq!(&begun, b"HTTP/1.1 200");
    let window = std::thread::spawn(move || stream.read_to_end(&mut Vec::new()).expect("it ends in good order"));
    (0..63).for_each(|_| assert_eq!(sign_in(&page, TOKEN).status, 303));
    assert!(!window.is_finished());
    sign_in(&page, TOKEN);
    wait_until("the window hears no more", || window.is_finished());
    page.stop();
}

#[test]
fn readiness_is_asked_for_once_a_second() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let page = Page::start(&database, service(&database, &sandbox));
    database.wait_for_first_sync();
    let ready = || page.get("/readyz").status == 200;
    let holds = (0..5).any(|_| {
        wait_until("it is ready", ready);
        std::thread::sleep(Duration::from_millis(1010));
        assert!(ready(), "looked at anew");
        let began = Instant::now();
        database.take_away();
        let still = ready();
        wait_until("it is not ready", || !ready());
        let within = began.elapsed();
        database.bring_back();
        still && within < Duration::from_secs(4)
    });
    assert!(holds, "what is known for less than a second is told again");
    page.stop();
}

#[test]
fn a_body_is_what_is_documented_and_nothing_else() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let page = Page::start(&database, service(&database, &sandbox));
    database.wait_for_first_sync();
    for body in [json!([]), json!([1, ["tracks"]]), json!([null, null]), json!("tracks"), json!(7), Value::Null] {
        for control in ["sync", "pause", "resume", "reset", "confirm-removals"] {
            page.post(&format!("/api/v1/{control}"), body.clone()).assert_problem(400, "it must be an object");
        }
    }
    for (control, status) in [("sync", 202), ("resume", 202), ("reset", 400), ("confirm-removals", 400)] {
        let post = |body: Value| page.post(&format!("/api/v1/{control}"), body).status;
        assert_eq!(post(json!({ "account": null, "entity_types": null })), status, "{control}");
    }
    // Whatever is refused is not allowed by the description.
    let description = page.get("/api/v1/openapi.json").json();
    let named = &description["components"]["schemas"]["NamedTarget"];
    let body = &description["paths"]["/api/v1/sync"]["post"]["requestBody"];
    assert_eq!(body["content"]["application/json"]["schema"], json!({ "$ref": "#/components/schemas/Target" }));
    assert_ne!(body["required"], true, "{body}");
    assert_eq!(
        (&named["required"], &named["properties"]["entity_types"]["minItems"]),
        (&json!(["entity_types"]), &json!(1))
    );
    page.stop();
}
