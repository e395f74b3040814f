//! Reports in one line which tests were left out because a server or a browser is missing.

use crate::support::{Backend, browser};
use std::io::{self, Write};

#[test]
fn what_is_left_out_is_said() {
    let missing = [("PostgreSQL", Backend::Postgres.is_available()), ("a Chromium", browser::is_available())];
    let missing: Vec<&str> = missing.into_iter().filter(|(_, is_there)| !is_there).map(|(name, _)| name).collect();
    if !missing.is_empty() {
        // Past the harness, which shows the output of failed tests only.
        let line = format!("\nleft out: the tests on {}; tests/run sets up what they need\n", missing.join(" and in "));
        io::stderr().write_all(line.as_bytes()).expect("stderr is there");
    }
}
