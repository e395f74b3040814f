//! The command line: what can be typed, and what is shown in return.

pub mod numbers;
pub mod progress;
pub mod report;
pub mod voice;

use crate::{model::EntityType, sandbox::Dialect, telemetry::LogFormat};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Keeps a complete, current copy of your Spotify library in your own database.
///
/// It always carries on from the sign: limits, crashes and changes while it reads only ever delay it.
#[derive(Debug, Parser)]
#[command(name = "segno", version, max_term_width = 100, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// Settings file [default: segno.toml here, else in the configuration folder]
    #[arg(long, global = true, value_name = "PATH")]
    pub config: Option<PathBuf>,

    /// How log lines are written to stderr
    #[arg(long, global = true, value_name = "FORMAT", default_value = "human")]
    pub log_format: LogFormatArg,

    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    usage or configuration
  3    paused by a limit; running again later carries on
  4    login needed
  130  interrupted; running again carries on";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sync a made-up library from a stand-in server into a SQLite file: no account, no network, no setup
    Demo(DemoArgs),
    /// Sync once, to completion, then exit
    Sync(SyncArgs),
    /// Show what is done, what is running, what it waits for and until when
    Status(StatusArgs),
    /// Forget checkpoints, so that the next run starts over; library rows stay
    Reset(ResetArgs),
    /// Run only the stand-in API server, for trying and testing
    Sandbox(SandboxArgs),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormatArg {
    Human,
    Json,
}

impl From<LogFormatArg> for LogFormat {
    fn from(format: LogFormatArg) -> LogFormat {
        match format {
            LogFormatArg::Human => LogFormat::Human,
            LogFormatArg::Json => LogFormat::Json,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno demo                       5,000 tracks, from nothing; again: an incremental run
  segno demo --fresh --rate 60     the same through a limit of 60 requests per 30 s")]
pub struct DemoArgs {
    /// Database file [default: demo.db in the data folder]
    #[arg(long, value_name = "PATH")]
    pub database: Option<PathBuf>,

    /// Start over with an empty database
    #[arg(long)]
    pub fresh: bool,

    /// Saved tracks of the made-up library
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub tracks: u32,

    /// Requests that the stand-in server allows in any 30 s
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno sync                       everything
  segno sync tracks playlists      only these
  segno sync --max-wait 1h         sit out pauses of up to an hour

Press Ctrl-C at any time: what is whole is committed, and the next run carries on.")]
pub struct SyncArgs {
    /// Entity types to sync [default: the setting sync.entities]
    #[arg(value_name = "ENTITY", value_parser = parse_entity)]
    pub entities: Vec<EntityType>,

    /// Longest pause to sit out; a longer one ends the run with exit code 3
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    pub max_wait: Duration,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno status
  segno status --json | jq '.accounts[].entities[] | {entity_type, state, percent}'")]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno reset playlists
  segno reset --all")]
pub struct ResetArgs {
    /// Entity types to forget the checkpoints of
    #[arg(value_name = "ENTITY", value_parser = parse_entity, required_unless_present = "all")]
    pub entities: Vec<EntityType>,

    /// All entity types
    #[arg(long, conflicts_with = "entities")]
    pub all: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno sandbox                                  prints the settings to use it with
  segno sandbox --tracks 20000 --latency 50ms
  segno sandbox --rate 10 --quota tracks=40      both of the API's limits")]
pub struct SandboxArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// Saved tracks
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    pub tracks: usize,

    /// Saved albums
    #[arg(long, value_name = "N", default_value_t = 300)]
    pub albums: usize,

    /// Followed artists
    #[arg(long, value_name = "N", default_value_t = 180)]
    pub artists: usize,

    /// Playlists
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub playlists: usize,

    /// Items of a typical playlist
    #[arg(long, value_name = "N", default_value_t = 80)]
    pub playlist_items: usize,

    /// Leave out null rows, local files, playlists of others and other oddities
    #[arg(long)]
    pub no_odd_rows: bool,

    /// What the library is made from; the same seed gives the same library
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Field names as before 2026 (legacy) or since (current)
    #[arg(long, value_name = "DIALECT", default_value = "current")]
    pub dialect: Dialect,

    /// Time before each answer
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub latency: Duration,

    /// Requests allowed in any window [default: no limit]
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,

    /// Length of that window
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub window: Duration,

    /// Requests allowed to an endpoint family in 24 h, as FAMILY=N; may be given several times
    #[arg(long, value_name = "FAMILY=N", value_parser = parse_quota)]
    pub quota: Vec<(String, u32)>,

    /// Life of an access token
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    pub token_ttl: Duration,
}

fn parse_entity(word: &str) -> Result<EntityType, String> {
    word.parse().map_err(|error: crate::model::UnknownWord| error.to_string())
}

fn parse_quota(text: &str) -> Result<(String, u32), String> {
    let (family, max) = text.split_once('=').ok_or("expected FAMILY=N, for example tracks=40")?;
    let max = max.parse().map_err(|_| format!("\"{max}\" is not a number of requests"))?;
    Ok((family.to_owned(), max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_unknown_entity_names_the_known_ones() {
        let error = Cli::try_parse_from(["segno", "sync", "songs"]).unwrap_err().to_string();
        assert!(error.contains("tracks, artists, albums, playlists"), "{error}");
    }
}
