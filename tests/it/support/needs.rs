//! What tests need of the machine. Where it is missing they are left out, with a notice; where nothing may be missing
//! that is a failure.

use std::{env, process::Command};

/// Whether everything has to be there, as on a server that runs all tests.
pub fn all_is_required() -> bool {
    env::var("SEGNO_REQUIRE_SERVICES").is_ok_and(|value| value == "1")
}

/// Says what is missing.
pub fn left_out(missing: &str) {
    assert!(!all_is_required(), "SEGNO_REQUIRE_SERVICES=1, and {missing}");
    eprintln!("SKIPPED: {missing}");
}

/// Whether a program is installed.
pub fn has(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        left_out(&format!("{program} is not installed"));
    }
    is_there
}
