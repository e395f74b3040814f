//! Arguments in, exit code out.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    segno::app::run(segno::cli::Cli::parse())
}
