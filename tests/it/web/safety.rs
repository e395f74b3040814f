//! Whom the page lets in, from where, and what it never reveals.

use super::{Answer, Backend, Database, Page, Sandbox, service, wait_until};
use reqwest::Method;
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

pub(super) const TOKEN: &str = "a-word-for-the-page-0123456789";

/// Paths open to anybody; `/assets/` too.
const OPEN: [&str; 4] = ["/healthz", "/readyz", "/sign-in", "/sign-out"];

pub(super) fn signed(database: &Database, sandbox: &Sandbox) -> Page {
    Page::start(database, service(database, sandbox).env("SEGNO_WEB_TOKEN", TOKEN))
}

pub(super) fn bearer() -> String {
    format!("Bearer {TOKEN}")
}

/// Every path that a module of `src/web` serves, as written in the source, with parameters filled in.
pub(super) fn routes() -> BTreeSet<String> {
    fn read(folder: &Path, routes: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                read(&path, routes);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("text");
                for (at, _) in text.match_indices("\"/") {
                    let Some((route, _)) = text[at + 1..].split_once('"') else { continue };
                    let is_path = |c: char| c.is_ascii_alphanumeric() || "/-_.{}:*".contains(c);
                    if route.chars().all(is_path) {
                        routes.insert(filled(route));
                    }
                }
            }
        }
    }
    /// `/playlists/{id}` as `/playlists/x`.
    fn filled(route: &str) -> String {
        let part = |part: &str| if part.starts_with('{') { "x".to_owned() } else { part.to_owned() };
        route.split('/').map(part).collect::<Vec<_>>().join("/")
    }
    let mut routes = BTreeSet::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web"), &mut routes);
    routes
}

#[test]
fn every_route_asks_who_it_is() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let page = signed(&database, &sandbox);
    let mut session = session_of(&sign_in(&page, TOKEN));
    let routes = routes();
    for known in ["/api/v1/status", "/api/v1/events", "/api/v1/sync", "/api/v1/reset", "/healthz", "/sign-in"] {
        assert!(routes.contains(known), "{known} is not among {routes:?}");
    }
    let others = ["/", "/api/v1/nothing-here", "/assets", "/%2e%2e/status", "/%61pi/v1/status", "/m%65trics"];
    for route in routes.iter().map(String::as_str).chain(others) {
        let is_open = OPEN.contains(&route) || route.starts_with("/assets/");
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let ask = |headers: &[(&str, &str)]| page.ask(method.clone(), route, headers, "").status;
            let wrong_session = format!("segno_session={}", "0".repeat(64));
            let as_nobody =
                [ask(&[]), ask(&[("cookie", &wrong_session)]), ask(&[("cookie", &format!("segno_session={TOKEN}"))])];
            assert_eq!(as_nobody.map(|status| status == 401), [!is_open; 3], "{method} {route}: {as_nobody:?}");
            for header in [("authorization", bearer()), ("cookie", session.clone())] {
                let status = ask(&[(header.0, &header.1)]);
                // Signing in needs more than a session.
                let is_sign_in = route == "/sign-in" && method == Method::POST;
                assert!(is_sign_in || ![401, 403, 421, 429].contains(&status), "{method} {route}: {status}");
            }
            if route == "/sign-out" && method == Method::POST {
                assert_eq!(ask(&[("cookie", &session)]), 303, "signed out, once and twice");
                assert_eq!(page.ask(Method::GET, "/api/v1/status", &[("cookie", &session)], "").status, 401);
                session = session_of(&sign_in(&page, TOKEN));
            }
        }
    }
    page.stop();
}

#[test]
fn a_person_is_led_to_the_sign_in_and_gets_a_session_that_scripts_cannot_read() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let page = signed(&database, &sandbox);
    let led = page.ask(Method::GET, "/", &[("accept", "text/html,*/*")], "");
    assert_eq!((led.status, led.header("location")), (303, "/sign-in"));
    let form = page.get("/sign-in");
    assert_eq!((form.status, form.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(form.body.contains("<form method=\"post\"") && form.body.contains("type=\"password\""), "{form:?}");
    assert!(!form.body.contains("style=") && !form.body.contains("<script"), "the policy forbids it: {form:?}");

    let refused = sign_in(&page, "not-the-word-for-the-page");
    assert_eq!((refused.status, refused.header("set-cookie")), (401, ""));
    assert!(refused.body.contains("That is not the token."), "{refused:?}");

    let signed_in = sign_in(&page, TOKEN);
    assert_eq!((signed_in.status, signed_in.header("location")), (303, "/"));
    let cookie = signed_in.header("set-cookie");
    for part in ["segno_session=", "; Path=/", "; HttpOnly", "; SameSite=Strict", "; Max-Age=604800"] {
        assert!(cookie.contains(part), "{part}: {cookie}");
    }
    assert!(!cookie.contains(TOKEN) && !cookie.contains("Secure"), "{cookie}");
    let behind_tls = [("x-forwarded-proto", "https"), FORM];
    let secure = page.ask(Method::POST, "/sign-in", &behind_tls, &format!("token={TOKEN}"));
    assert!(secure.header("set-cookie").ends_with("; Secure"), "{secure:?}");

    let session = session_of(&signed_in);
    let document = page.ask(Method::GET, "/", &[("cookie", &session)], "").body;
    assert!(document.contains("<form class=\"out\" method=\"post\" action=\"/sign-out\">"), "{document}");
    let ask = || page.ask(Method::GET, "/api/v1/status", &[("cookie", &session)], "").status;
    assert_eq!(ask(), 200);
    let out = page.ask(Method::POST, "/sign-out", &[("cookie", &session)], "");
    assert_eq!((out.status, out.header("location")), (303, "/sign-in"));
    assert_eq!(ask(), 401, "the session is over, not only its cookie");
    assert!(out.header("set-cookie").starts_with("segno_session=; Max-Age=0; Path=/; HttpOnly"), "{out:?}");
    page.stop();
}

#[test]
fn signing_out_ends_what_the_session_has_open_and_nothing_else() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let page = signed(&database, &sandbox);
    let [ours, theirs] = [(); 2].map(|()| session_of(&sign_in(&page, TOKEN)));
    let listen = |header: &str| {
        let mut stream = TcpStream::connect(page.base.trim_start_matches("http://")).expect("it listens");
        let head = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
        write!(stream, "{head}{header}\r\n\r\n").expect("it listens");
        let mut begun = [0; 12];
        stream.read_exact(&mut begun).expect("an answer");
        assert_eq!(&begun, b"HTTP/1.1 200");
        std::thread::spawn(move || stream.read_to_end(&mut Vec::new()).expect("it ends in good order"))
    };
    let windows = [&ours, &ours, &theirs].map(|session| listen(&format!("Cookie: {session}")));
    let program = listen(&format!("Authorization: {}", bearer()));
    let sign_out = |origin: &str| page.ask(Method::POST, "/sign-out", &[("cookie", &ours), ("origin", origin)], "");
    sign_out("https://evil.example.com").assert_problem(403, "another site");
    assert!(windows.iter().all(|window| !window.is_finished()));
    assert_eq!(sign_out(&page.base).status, 303);
    wait_until("both windows hear no more", || windows[..2].iter().all(|window| window.is_finished()));
    assert!(!windows[2].is_finished() && !program.is_finished(), "others go on");
    page.stop();
}

#[test]
fn guessing_is_slowed_down_and_keeps_nobody_out_who_knows() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let page = signed(&database, &sandbox);
    let session = session_of(&sign_in(&page, TOKEN));
    let with =
        |token: &str| page.ask(Method::GET, "/api/v1/status", &[("authorization", &format!("Bearer {token}"))], "");
    (0..3).for_each(|_| with("is-it-this-one").assert_problem(401, "the token is wrong"));
    (0..2).for_each(|_| assert_eq!(sign_in(&page, "or-is-it-this-one").status, 401));
    let began = Instant::now();
    let slowed = with("is-it-this-one");
    slowed.assert_problem(429, "too many wrong tokens");
    assert!(slowed.header("retry-after") == "1" && began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    let own = page.ask(Method::GET, "/api/v1/status", &[("cookie", &session)], "");
    assert_eq!((own.status, with(TOKEN).status), (200, 200), "whoever knows is let in, whatever others guess");
    assert_eq!(sign_in(&page, TOKEN).status, 303);
    let log = page.stop();
    assert_eq!(log.matches("a wrong token was presented").count(), 1, "{log}");
}

#[test]
fn pages_and_names_of_others_get_nowhere() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let segno = service(&database, &sandbox).env("SEGNO_WEB_HOSTS", "segno.example.org").env("SEGNO_WEB_TOKEN", TOKEN);
    let page = Page::start(&database, segno);
    database.wait_for_first_sync();
    let bearer = bearer();
    let ask = |method: Method, path: &str, headers: &[(&str, &str)]| {
        page.ask(method, path, &[headers, &[("authorization", bearer.as_str())]].concat(), "")
    };
    let get = |headers: &[(&str, &str)]| ask(Method::GET, "/api/v1/status", headers);
    get(&[("host", "rebound.example.com")]).assert_problem(421, "web.hosts");
    assert_eq!(page.ask(Method::GET, "/healthz", &[("host", "rebound.example.com")], "").status, 421);
    assert_eq!(get(&[("host", "segno.example.org")]).status, 200);
    get(&[("sec-fetch-site", "cross-site")]).assert_problem(403, "another site");

    let own = page.base.clone();
    let pause = |origin: &str| ask(Method::POST, "/api/v1/pause", &[("origin", origin)]);
    for foreign in ["https://evil.example.com", "null", "http://127.0.0.1:1"] {
        pause(foreign).assert_problem(403, "another site");
    }
    assert_eq!(database.count("paused_entities"), 0);
    assert_eq!((pause(&own).status, database.count("paused_entities")), (202, crate::support::NUM_ENTITY_TYPES));
    page.stop();
}

#[test]
fn every_answer_tells_the_browser_to_be_strict() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let page = signed(&database, &sandbox);
    let bearer = bearer();
    let known = [("authorization", bearer.as_str())];
    for answer in [
        page.ask(Method::GET, "/api/v1/status", &known, ""),
        page.ask(Method::GET, "/api/v1/events", &known, ""),
        page.ask(Method::GET, "/api/v1/nothing", &known, ""),
        page.ask(Method::DELETE, "/api/v1/status", &known, ""),
        page.get("/api/v1/status"),
        page.get("/sign-in"),
        page.ask(Method::GET, "/", &[("host", "rebound.example.com")], ""),
    ] {
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{answer:?}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("access-control-allow-origin"), "", "no CORS");
    }
    page.stop();
}

#[test]
fn a_request_that_is_too_large_is_refused() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let page = Page::start(&database, service(&database, &sandbox));
    let large = format!("{{\"account\": {}1}}", " ".repeat(1 << 20));
    page.ask(Method::POST, "/api/v1/sync", &[("content-type", "application/json")], &large).assert_problem(413, "");
    assert_eq!(page.get("/healthz").status, 200);
    page.stop();
}

#[test]
fn whoever_says_nothing_or_nothing_more_is_let_go() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let page = Page::start(&database, service(&database, &sandbox));
    let say = |words: &str| {
        let mut stream = TcpStream::connect(page.base.trim_start_matches("http://")).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        stream.write_all(words.as_bytes()).expect("it listens");
        stream
    };
    let head = "POST /api/v1/sync HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let streams = [
        say(""),
        say("GET /healthz HTTP/1.1\r\nHost: local"),
        say(&format!("{head}Content-Length: 100\r\n\r\n{{")),
        say("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ];
    let [nothing, half_a_head, half_a_body, rests] = streams.map(|mut stream| {
        let mut heard = String::new();
        stream.read_to_string(&mut heard).expect("the connection is closed");
        heard
    });
    assert!(nothing.is_empty() || nothing.starts_with("HTTP/1.1 408"), "{nothing}");
    assert!(half_a_head.is_empty() || half_a_head.starts_with("HTTP/1.1 408"), "{half_a_head}");
    assert!(half_a_body.starts_with("HTTP/1.1 503") && half_a_body.contains("took too long"), "{half_a_body}");
    assert!(rests.starts_with("HTTP/1.1 200"), "{rests}");
    assert_eq!(sandbox.requests("tracks"), 1, "nothing was asked for twice");
    page.stop();
}

#[test]
fn no_secret_is_in_any_answer_or_in_the_log() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(120, 20, 20, 2, 20));
    let segno = service(&database, &sandbox).env("SEGNO_WEB_TOKEN", TOKEN).env("SEGNO_LOG", "trace");
    let page = Page::start(&database, segno);
    database.wait_for_first_sync();
    let session = session_of(&sign_in(&page, TOKEN));
    sign_in(&page, "a-wrong-one-that-may-be-nearly-right");
    let mut told = String::new();
    for route in routes() {
        for header in [("authorization", bearer()), ("cookie", session.clone())] {
            let answer = page.ask(Method::GET, &route, &[(header.0, &header.1)], "");
            told += &format!("{:?}\n{}\n", answer.headers, answer.body);
        }
    }
    told += &page.log();
    page.post("/api/v1/sync", json!({}));
    let mut secrets =
        vec![TOKEN.to_owned(), "nearly-right".to_owned(), session.split_once('=').expect("a cookie").1.to_owned()];
    secrets.push(sandbox.env["SEGNO_SPOTIFY_REFRESH_TOKEN"].clone());
    secrets.extend(database.lines("SELECT refresh_token AS line FROM account_tokens"));
    secrets.extend(database.lines("SELECT access_token AS line FROM account_tokens"));
    for secret in secrets {
        assert!(secret.len() > 10 && !told.contains(&secret), "a secret was told");
    }
    page.stop();
}

pub(super) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

pub(super) fn sign_in(page: &Page, token: &str) -> Answer {
    page.ask(Method::POST, "/sign-in", &[FORM], &format!("token={token}"))
}

/// In the form of a `Cookie` header.
pub(super) fn session_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{answer:?}");
    answer.header("set-cookie").split(';').next().expect("a cookie").to_owned()
}
