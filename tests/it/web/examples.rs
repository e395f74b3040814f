//! The examples in `docs/api.md` work as described.

use super::{Backend, Database, Page, Sandbox, service};
use crate::support::needs;
use std::process::Command;

/// Exit code of `curl --max-time` when the time is up: a stream has no end of its own.
const TIMED_OUT: i32 = 28;

#[test]
fn the_documented_curl_examples_work() {
    if !needs::has("curl") {
        return;
    }
    let page = include_str!("../../../docs/api.md");
    let examples: Vec<&str> =
        page.lines().filter(|line| line.starts_with("curl ") && line.contains("127.0.0.1:8370")).collect();
    assert!(examples.len() >= 5, "{examples:?}");
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(60, 10, 10, 1, 10));
    let token = "a-word-for-the-page-0123456789";
    let service = Page::start(&database, service(&database, &sandbox).env("SEGNO_WEB_TOKEN", token));
    database.wait_for_first_sync();
    for example in examples {
        let is_stream = example.contains(" -N ");
        let command = example.replacen("curl ", "curl --silent --show-error --fail --max-time 3 ", 1);
        // With a token each needs it; the page says so once.
        let command = command.replacen("curl ", &format!("curl -H 'Authorization: Bearer {token}' "), 1);
        let command = command.replace("http://127.0.0.1:8370", &service.base);
        let ended = Command::new("bash").env("SEGNO_WEB_TOKEN", token).args(["-c", &command]).output().expect("bash");
        let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        let expected = if is_stream { TIMED_OUT } else { 0 };
        assert_eq!(ended.status.code(), Some(expected), "{example}: {out} {err}");
        assert!(!out.is_empty(), "{example} prints something");
    }
    service.stop();
}
