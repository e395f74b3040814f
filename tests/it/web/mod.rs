//! The status page of a running service, over HTTP: what it serves, which orders it takes, and whom it lets in.

mod controls;
mod data;
mod download;
mod examples;
mod feed;
mod openapi;
mod refused;
mod safety;
mod schema;
mod server;
mod strangers;

use super::support::{Backend, Database, Ended, Running, Sandbox, Segno, block_on, both, wait_until};
use crate::support::http;
use reqwest::{Method, header::HeaderMap};
use serde_json::Value;
use std::path::PathBuf;

/// The text in the log before the address.
const SERVED_AT: &str = "the status page is at ";

/// A service, and its page.
struct Page {
    running: Running,
    /// `http://127.0.0.1:PORT`
    base: String,
    log: PathBuf,
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

/// A service on this database, about to be run.
fn service(database: &Database, sandbox: &Sandbox) -> Segno {
    Segno::on(database, sandbox, &["run"])
}

impl Page {
    /// Starts it on a free port, and waits until the page is served.
    fn start(database: &Database, segno: Segno) -> Page {
        let log = database.folder.path().join("run.log");
        let _ = std::fs::remove_file(&log);
        let running = segno.env("SEGNO_WEB_LISTEN", "127.0.0.1:0").conversing(&log).spawn();
        let read = || std::fs::read_to_string(&log).unwrap_or_default();
        let address = |text: &str| {
            let line = text.lines().find(|line| line.contains(SERVED_AT))?;
            Some(line.split_once(SERVED_AT)?.1.trim().to_owned())
        };
        wait_until("the page is served", || address(&read()).is_some());
        Page { running, base: address(&read()).expect("an address"), log }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("a log")
    }

    fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        block_on(async {
            let redirects = reqwest::redirect::Policy::none();
            let client = http::builder().redirect(redirects).build().expect("a client");
            let mut request = client.request(method.clone(), format!("{}{path}", self.base)).body(body.to_owned());
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let response = request.send().await.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            // A stream has no end.
            let is_stream = headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
            let body = if is_stream { Vec::new() } else { response.bytes().await.expect("a body").to_vec() };
            Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() }
        })
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], "")
    }

    fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, &[("content-type", "application/json")], &body.to_string())
    }

    fn status(&self) -> Value {
        let answer = self.get("/api/v1/status");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// The entry of an entity type of the first account; null if there is none.
    fn entity(&self, entity_type: &str) -> Value {
        entity(&self.status(), entity_type)
    }

    /// SIGTERM; expects a clean end.
    fn stop(self) -> String {
        self.running.terminate();
        let ended: Ended = self.running.wait();
        let log = std::fs::read_to_string(&self.log).expect("a log");
        assert_eq!(ended.code, Some(0), "{log}");
        assert!(!log.contains("panicked"), "{log}");
        log
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON: {error}: {self:?}"))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
    }

    /// Asserts that it is a problem document with this status, and this in its detail.
    fn assert_problem(&self, status: u16, part: &str) {
        assert_eq!((self.status, self.header("content-type")), (status, "application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!((&problem["status"], &problem["type"]), (&status.into(), &"about:blank".into()), "{self:?}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{self:?}");
        assert!(problem["detail"].as_str().expect("a detail").contains(part), "{self:?}");
    }
}

fn entity(status: &Value, entity_type: &str) -> Value {
    let entities = status["accounts"][0]["entities"].as_array().cloned().unwrap_or_default();
    entities.into_iter().find(|entity| entity["entity_type"] == entity_type).unwrap_or_default()
}

/// A library that takes some seconds.
fn slow() -> Sandbox {
    let sandbox = Sandbox::exact(3000, 60, 60, 4, 60);
    sandbox.configure(serde_json::json!({ "latency_ms": 40 }));
    sandbox
}
