//! Arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    segno::app::run(segno::cli::parse())
}
