//! The command line: what can be typed, and what is shown in return.

mod account;
pub mod account_report;
mod changes;
pub mod changes_report;
mod export;
mod import;
pub mod import_report;
pub mod listening;
mod manual;
pub mod numbers;
pub mod progress;
pub mod report;
pub mod stderr;
pub mod usage;
mod values;
pub mod verify_report;

pub use account::{AccountArg, LoginArgs, LogoutArgs, OneAccountArg, PurgeArgs};
pub use changes::{ChangesArgs, Since};
pub use export::ExportArgs;
pub use import::{ImportArgs, Remove};
pub use manual::{CompletionsArgs, ManArgs, completions_of, man_page, write_man_pages};

use crate::{model::EntityType, sandbox::Dialect, telemetry::LogFormat};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf, process::exit, time::Duration};
use usage::Refused;

/// Reads the command line of this process. If it is invalid, prints one line, and the process ends with 2.
pub fn parse() -> Cli {
    match usage::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(Refused::Shown(help)) => help.exit(),
        Err(Refused::Wrong(line)) => {
            stderr::complain(&line);
            exit(2)
        }
    }
}

/// Keeps a complete, current copy of your Spotify library in your own database.
///
/// Limits, crashes and changes during a sync only delay it: each run continues from the last checkpoint.
#[derive(Debug, Parser)]
#[command(name = "segno", version, max_term_width = 100, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    /// Settings file [default: segno.toml here, else ~/.config/segno/segno.toml]
    #[arg(long, global = true, value_name = "PATH")]
    pub config: Option<PathBuf>,

    /// How log lines are written to stderr: human or json
    #[arg(long, global = true, value_name = "FORMAT", default_value = "human", hide_possible_values = true)]
    pub log_format: LogFormatArg,

    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  segno demo            see it work: no account, no network, no setup
  segno login           sign in with your Spotify account
  segno run             keep your library current, until stopped
  segno sync            sync it once, from where the last run stopped
  segno status          how far it is
  segno changes         what was added and removed
  segno export          export it for other tools
  segno import my_spotify_data.zip
                        import your own data export
  segno sync --help     more about a command

Exit codes:
  0    done
  1    failed
  2    usage or configuration
  3    paused by a limit; running again later carries on
  4    login needed
  130  interrupted; running again carries on";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sync a made-up library into a SQLite file: no account, no network, no setup
    Demo(DemoArgs),
    /// Sign in with a Spotify account, once or again
    Login(LoginArgs),
    /// The service: keep everything current until stopped
    Run(RunArgs),
    /// Sync once, to completion, then exit
    Sync(SyncArgs),
    /// Read everything again, whatever the counts say, and print what differed
    Verify(VerifyArgs),
    /// Show what is done, what is running, what it waits for and until when
    Status(StatusArgs),
    /// Ask a running service whether it works, for health checks
    Ready(ReadyArgs),
    /// Show what was added to your library and its playlists, and what was removed
    Changes(ChangesArgs),
    /// Export the library or the listening history, in formats that other tools read
    Export(ExportArgs),
    /// Show what you listened to most, or when
    Listening(listening::ListeningArgs),
    /// Import your own data export: everything you ever listened to, once
    Import(ImportArgs),
    /// Forget checkpoints, so that the next run starts over; library rows stay
    Reset(ResetArgs),
    /// Forget the tokens of an account; its library stays
    Logout(LogoutArgs),
    /// Copy the database, beside a running service: complete, checked, readable by you alone
    Backup(BackupArgs),
    /// Remove everything that came from Spotify for an account
    Purge(PurgeArgs),
    /// Run only the stand-in API server, for trying and testing
    Sandbox(SandboxArgs),
    /// Print shell completions for commands and options
    Completions(CompletionsArgs),
    /// Print the manual page, or write one for each command
    Man(ManArgs),
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

/// The default size of the demo's library.
pub const DEMO_TRACKS: u32 = 5_000;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno demo                       5,000 tracks; run again: an incremental run
  segno demo --fresh --rate 60     the same, at 60 requests in any 30 s
  segno demo --page                as a service, with its page, until Ctrl-C")]
pub struct DemoArgs {
    /// Database file [default: demo.db in the data folder]
    #[arg(long, value_name = "PATH")]
    pub database: Option<PathBuf>,

    /// Start over with an empty database
    #[arg(long)]
    pub fresh: bool,

    /// Stay as a service with its page open: a library that changes, plays, and a limit that is hit now and then
    #[arg(long)]
    pub page: bool,

    /// Saved tracks of the made-up library; changing this needs --fresh
    #[arg(long, value_name = "N", default_value_t = DEMO_TRACKS, value_parser = values::number::<u32>(0..=1_000_000))]
    pub tracks: u32,

    /// Requests that the stand-in server allows in any 30 s
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = values::number::<u32>(1..=1_000_000))]
    pub rate: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno run                        until Ctrl-C or SIGTERM
  segno run --log-format json      log lines for a collector

SIGHUP reads the settings file again. `segno status` shows what a running service does.")]
pub struct RunArgs {}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno sync                       everything
  segno sync tracks playlists      only these
  segno sync --max-wait 1h         wait out pauses of up to an hour
  segno sync --confirm-removals    confirm the removals that were held back

Press Ctrl-C at any time: what is complete is committed, and the next run carries on.")]
pub struct SyncArgs {
    /// Entity types to sync [default: the setting sync.entities]
    #[arg(value_name = "ENTITY", value_parser = values::entity)]
    pub entities: Vec<EntityType>,

    /// Longest pause to sit out; a longer one ends the run with exit code 3
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = values::duration(Duration::ZERO..=values::LONGEST_WAIT_MAX))]
    pub max_wait: Duration,

    /// Confirm the removals that were held back so far; those that the run misses too are marked removed
    #[arg(long)]
    pub confirm_removals: bool,

    #[command(flatten)]
    pub account: AccountArg,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno verify                     everything
  segno verify tracks              only these

Reads every listing and the items of every playlist again, corrects what differs, and prints it. It \
costs as many requests as a first sync. `segno run` does the same on its own for what is saved, a few \
pages per run. Press Ctrl-C at any time: running it again carries on.")]
pub struct VerifyArgs {
    /// Entity types to verify [default: the setting sync.entities]
    #[arg(value_name = "ENTITY", value_parser = values::entity)]
    pub entities: Vec<EntityType>,

    /// Longest pause to sit out; a longer one ends the run with exit code 3
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = values::duration(Duration::ZERO..=values::LONGEST_WAIT_MAX))]
    pub max_wait: Duration,

    #[command(flatten)]
    pub account: AccountArg,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno status
  segno status --json | jq '.accounts[].entities[] | {entity_type, state}'")]
pub struct StatusArgs {
    #[command(flatten)]
    pub account: AccountArg,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno ready && echo it works

Asks the page of the service at web.listen. 0: it works; 1: it does not, or does not answer.")]
pub struct ReadyArgs {}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno backup ~/segno-backup.db   beside a running service; replaces the last

PostgreSQL has pg_dump for this.")]
pub struct BackupArgs {
    /// Where the copy goes: a file that is absent, or an earlier backup
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "segno reset [OPTIONS] ENTITY...\n       segno reset [OPTIONS] --all",
    after_help = "\
Examples:
  segno reset playlists
  segno reset --all"
)]
pub struct ResetArgs {
    /// Entity types to forget the checkpoints of
    #[arg(value_name = "ENTITY", value_parser = values::entity)]
    pub entities: Vec<EntityType>,

    /// All entity types
    #[arg(long, conflicts_with = "entities")]
    pub all: bool,

    #[command(flatten)]
    pub account: AccountArg,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno sandbox                               prints the settings to use it with
  segno sandbox --tracks 20000 --latency 50ms
  segno sandbox --rate 10 --quota tracks=40   both of the API's limits

It can misbehave like the real API: POST rules to /_sandbox/rules of its address, for example
  [{\"family\":\"tracks\",\"times\":2,\"do\":{\"kind\":\"refuse\",\"like\":\"premium\"}},
   {\"family\":\"playlist_items\",\"do\":{\"kind\":\"cap\",\"rows\":20}}]
Kinds: refuse, status, rate_limited, quota, hang, cut, truncate, delay, edit, cap, hide, stale, \
next, cursor, totals, count_items, ignore_offset, patch_rows, patch_page, raw, flood.")]
pub struct SandboxArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = values::address)]
    pub listen: SocketAddr,

    /// Saved tracks
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = values::number::<usize>(0..=2_000_000))]
    pub tracks: usize,

    /// Saved albums
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = values::number::<usize>(0..=2_000_000))]
    pub albums: usize,

    /// Followed artists
    #[arg(long, value_name = "N", default_value_t = 180, value_parser = values::number::<usize>(0..=2_000_000))]
    pub artists: usize,

    /// Playlists
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = values::number::<usize>(0..=2_000_000))]
    pub playlists: usize,

    /// Items of a typical playlist
    #[arg(long, value_name = "N", default_value_t = 80, value_parser = values::number::<usize>(0..=2_000_000))]
    pub playlist_items: usize,

    /// Saved shows
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = values::number::<usize>(0..=2_000_000))]
    pub shows: usize,

    /// Saved episodes
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = values::number::<usize>(0..=2_000_000))]
    pub episodes: usize,

    /// Saved audiobooks
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = values::number::<usize>(0..=2_000_000))]
    pub audiobooks: usize,

    /// Leave out null rows, local files, playlists of others and other oddities
    #[arg(long)]
    pub no_odd_rows: bool,

    /// Seed of the library; the same seed gives the same library
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Field names as before 2026 (legacy) or since (current)
    #[arg(long, value_name = "DIALECT", default_value = "current", value_parser = values::dialect)]
    pub dialect: Dialect,

    /// Time before each answer
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = values::latency())]
    pub latency: Duration,

    /// Requests allowed in any window [default: no limit]
    #[arg(long, value_name = "N", value_parser = values::number::<u32>(0..=1_000_000))]
    pub rate: Option<u32>,

    /// Length of that window
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::some_time())]
    pub window: Duration,

    /// Requests allowed to an endpoint family in 24 h; may be repeated
    #[arg(long, value_name = "FAMILY=N", value_parser = values::quota)]
    pub quota: Vec<(String, u32)>,

    /// People who can sign in, each with a library
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = values::number::<usize>(1..=1_000))]
    pub users: usize,

    /// Lifetime of an access token
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = values::some_time())]
    pub token_ttl: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
