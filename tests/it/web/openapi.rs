//! The API conforms to its own description: every documented operation is called, with documented and with odd values,
//! and every answer has to be one of those described.

use super::{schema::violations, *};
use crate::support::http;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Values that nobody should send.
const ODD: &[&str] = &[
    "0",
    "-1",
    "201",
    "99999999999999999999",
    "1e9",
    "0x10",
    "abc",
    "%00",
    "%FF%FE",
    "%F0%9F%8E%B5",
    "true%20",
    "null",
    "[]",
    "{}",
    "%27%20OR%201=1--",
    "..%2f..%2fetc",
    "+",
    "eyJvZiI6InRyYWNrcyJ9",
    "eyJvZiI6MX0",
    "%25%5F",
    "2026-13-45T99:00:00Z",
    "9223372036854775807",
    "-9223372036854775808",
];

/// A description of the API, and the page to check against it.
struct Described<'a> {
    page: &'a Page,
    api: Value,
}

impl Described<'_> {
    /// Asserts that the answer to a request is described for its operation, and returns it.
    fn check(&self, operation: &Value, method: Method, path: &str, body: &str) -> Answer {
        let json = [("content-type", "application/json")];
        let headers = if method == Method::POST { &json[..] } else { &[] };
        let answer = self.page.ask(method.clone(), path, headers, body);
        assert!(answer.status < 500, "{method} {path} {body}: {answer:?}");
        let described = &operation["responses"][answer.status.to_string()];
        assert!(described.is_object(), "{method} {path} {body}: {} is not described: {answer:?}", answer.status);
        let content = &described["content"][answer.header("content-type")];
        assert!(content.is_object(), "{method} {path}: {:?} is not described", answer.header("content-type"));
        let is_json = answer.header("content-type").ends_with("json");
        let told = if is_json { answer.json() } else { Value::String(answer.body.clone()) };
        let is_whole = !path.contains("/export");
        let told = if is_whole || is_json && answer.status != 200 { told } else { Value::Null };
        let wrong = violations(&self.api, &content["schema"], &told);
        assert!(wrong.is_empty(), "{method} {path} {body}: {wrong:#?}\n{}", answer.body);
        answer
    }
}

both! {
    fn every_operation_answers_as_it_is_described(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(80, 20, 15, 3, 30));
        let page = Page::start(&database, service(&database, &sandbox));
        database.wait_for_first_sync();
        wait_until("the history has been read", || database.count("plays") > 0);
        let api = page.get("/api/v1/openapi.json").json();
        let described = Described { page: &page, api: api.clone() };
        let playlist = page.get("/api/v1/playlists").json()["items"][0]["id"].as_str().unwrap().to_owned();
        let paths = api["paths"].as_object().unwrap();
        for path in ["status", "events", "sync", "pause", "resume", "reset", "tracks", "albums", "artists", "playlists", "plays", "changes", "feed", "batches", "activity"] {
            assert!(paths.contains_key(&format!("/api/v1/{path}")), "{path} is not described");
        }
        for path in ["/healthz", "/readyz", "/metrics", "/sign-in", "/sign-out"] {
            assert!(paths.contains_key(path), "{path} is not described");
        }
        for operation in paths.values().filter_map(Value::as_object).flat_map(|path| path.values()) {
            assert!(operation.get("parameters").is_none_or(Value::is_array), "{operation}");
            let mut responses = operation["responses"].as_object().expect("responses").values();
            assert!(responses.all(|response| response["description"].as_str().is_some_and(|text| !text.is_empty())), "{operation}");
        }
        let mut num_asked = 0;
        for (template, operations) in paths {
            let operation = &operations["get"];
            // A stream has no end, and without a token there is no page to sign in on.
            if operation.is_null() || template == "/api/v1/events" || template == "/sign-in" {
                continue;
            }
            let path = template.replace("{id}", &playlist).replace("{what}", "tracks");
            let ask = |path: &str| described.check(operation, Method::GET, path, "");
            assert_eq!(ask(&path).status, 200, "{path}");
            if template.contains("{id}") {
                for id in ODD.iter().filter(|id| !id.contains("%2f")) {
                    assert_eq!(ask(&template.replace("{id}", id)).status, 404, "{template}: {id}");
                }
            }
            let Some(parameters) = operation["parameters"].as_array() else { continue };
            assert_eq!(ask(&format!("{path}?unheard_of=1")).status, 400, "{path}");
            for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
                let name = parameter["name"].as_str().unwrap();
                for value in ODD {
                    let answer = ask(&format!("{path}?{name}={value}"));
                    // Anything can be searched for.
                    let is_position = template == "/api/v1/feed" && name == "after" && *value == "0";
                    assert!(name == "q" || answer.status != 200 || *value == "+" || is_position, "{path}?{name}={value}: {answer:?}");
                    num_asked += 1;
                }
                let pattern = parameter["schema"]["pattern"].as_str().map(|pattern| pattern.trim_matches(&['^', '$', '(', ')', '?'][..]));
                let choices = pattern.into_iter().flat_map(|choices| choices.split('|'));
                let vocabulary = parameter["schema"]["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
                for word in choices.chain(vocabulary) {
                    assert_eq!(ask(&format!("{path}?{name}={word}")).status, 200, "{path}?{name}={word}");
                }
            }
        }
        assert!(num_asked > 500, "only {num_asked} odd requests");

        let post = |path: &str, body: &str| {
            let path = format!("/api/v1/{path}");
            described.check(&api["paths"][&path]["post"], Method::POST, &path, body).status
        };
        let two = r#"{"account": 1, "entity_types": ["tracks", "albums"]}"#;
        for (control, without) in [("sync", 202), ("pause", 202), ("resume", 202), ("reset", 400)] {
            assert_eq!((post(control, two), post(control, "{}"), post(control, "")), (202, without, without), "{control}");
            for odd in ["{", "[]", "null", r#"{"account": "x"}"#, r#"{"entity_types": ["songs"]}"#, r#"{"unheard_of": 1}"#] {
                assert_eq!(post(control, odd), 400, "{control} {odd}");
            }
            assert_eq!(post(control, r#"{"account": 77, "entity_types": ["tracks"]}"#), 404, "{control}");
        }
        page.stop();
    }

    fn a_cursor_is_good_for_its_own_list_only(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact_with([30, 10, 10, 3, 10], [3, 3, 3], &[]));
        let page = Page::start(&database, service(&database, &sandbox));
        database.wait_for_first_sync();
        let playlists = page.get("/api/v1/playlists").json();
        let id = |at: usize| playlists["items"][at]["id"].as_str().unwrap().to_owned();
        let lists = [
            "tracks?".to_owned(), "tracks?sort=name".into(), "tracks?order=asc".into(), "tracks?removed=true".into(), "albums?".into(), "artists?".into(),
            "artists?sort=first_seen_at".into(), "shows?".into(), "episodes?".into(), "audiobooks?".into(), "playlists?".into(), "playlists?sort=name".into(), "changes?".into(), "batches?".into(),
            format!("playlists/{}/items?", id(0)), format!("playlists/{}/items?", id(1)),
        ];
        let mut cursors = Vec::new();
        for list in &lists {
            let next = page.get(&format!("/api/v1/{list}&limit=1")).json()["next"].clone();
            cursors.push(next.as_str().map(str::to_owned));
        }
        assert_eq!(cursors.iter().filter(|cursor| cursor.is_some()).count(), lists.len() - 1, "only nothing that is gone has no next");
        assert_eq!(cursors.iter().collect::<BTreeSet<_>>().len(), lists.len());
        for (list, own) in lists.iter().zip(&cursors) {
            for cursor in cursors.iter().flatten() {
                let answer = page.get(&format!("/api/v1/{list}&after={cursor}"));
                if Some(cursor) == own.as_ref() {
                    assert_eq!(answer.status, 200, "{list}: {answer:?}");
                } else {
                    answer.assert_problem(400, "another list");
                }
            }
        }
        page.stop();
    }
}

#[test]
fn signing_in_and_out_and_what_is_refused_everywhere_answer_as_described() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let token = "a-word-for-the-page";
    let page = Page::start(&database, service(&database, &sandbox).env("SEGNO_WEB_TOKEN", token));
    let bearer = format!("Bearer {token}");
    let api = page.ask(Method::GET, "/api/v1/openapi.json", &[("authorization", &bearer)], "").json();
    let form = ("content-type", "application/x-www-form-urlencoded");
    let long = format!("token={}", "x".repeat(1 << 20));
    let elsewhere = ("origin", "https://evil.example.com");
    for (method, path, headers, body, status) in [
        ("post", "/sign-in", &[form][..], "", 400),
        ("post", "/sign-in", &[form], "token=another", 401),
        ("post", "/sign-in", &[form, elsewhere], "token=another", 403),
        ("post", "/sign-in", &[form], &long, 413),
        ("post", "/sign-in", &[], "token=another", 415),
        ("post", "/sign-in", &[form], &format!("token={token}"), 303),
        ("post", "/sign-out", &[elsewhere], "", 403),
        ("post", "/sign-out", &[], "", 303),
        ("get", "/metrics", &[], "", 401),
        ("get", "/api/v1/status", &[("host", "rebound.example.com")], "", 421),
        ("get", "/api/v1/status", &[("sec-fetch-site", "cross-site")], "", 403),
        ("post", "/api/v1/sync", &[("authorization", &bearer)], &long, 413),
    ] {
        let answer = page.ask(method.to_uppercase().parse().expect("a method"), path, headers, body);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        let described = &api["paths"][path][method]["responses"][status.to_string()];
        assert!(described.is_object(), "{method} {path}: {status} is not described");
        let kind = answer.header("content-type");
        assert!(kind.is_empty() || described["content"][kind].is_object(), "{method} {path}: {status}: {kind}");
    }
    page.stop();
}

#[test]
fn an_event_is_the_status_as_it_is_described() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 3, 3, 1, 5));
    let page = Page::start(&database, service(&database, &sandbox));
    database.wait_for_first_sync();
    let api = page.get("/api/v1/openapi.json").json();
    let text = block_on(async {
        let mut response = http::client().get(format!("{}/api/v1/events", page.base)).send().await.expect("an answer");
        let mut text = String::new();
        while !text.contains("\ndata: ") || !text.ends_with("\n\n") {
            let chunk = response.chunk().await.expect("a chunk").expect("no end");
            text += &String::from_utf8_lossy(&chunk);
        }
        text
    });
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
    let schema = &api["paths"]["/api/v1/status"]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(violations(&api, schema, &serde_json::from_str(data).expect("JSON")), Vec::<String>::new());
    let security: Vec<&Value> =
        ["token", "session"].iter().map(|name| &api["components"]["securitySchemes"][name]["type"]).collect();
    assert_eq!(security, [&json!("http"), &json!("apiKey")]);
    page.stop();
}
