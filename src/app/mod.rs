//! The composition root: settings, database, client and actors, put together for each command.

mod accounts;
mod browser;
mod changes;
mod claim;
mod client_id;
mod database;
mod demo;
mod demo_file;
mod export;
mod gatekeeper;
mod import;
mod indexing;
mod insist;
mod listening;
mod login;
mod loopback;
mod maintenance;
mod manual;
mod notify;
mod paste;
mod process;
mod read_from;
mod ready;
mod run;
mod sandbox;
mod sign_in;
mod signals;
pub mod status;
mod sync;
mod verify;
mod web;

use crate::{
    cli::{
        Cli, Command,
        progress::Display,
        stderr::{self, complain},
    },
    config::{Config, ConfigError, RateLimitConfig},
    engine::gate::GateSettings,
    faults::hastened,
    model::{
        Remedy,
        text::{json_seen, seen_lines},
        with_causes,
    },
    spotify::{ApiError, Client, ClientConfig, TokenRests},
    store::StoreError,
    telemetry::{self, LogFormat},
};
use actix_rt::System;
use indicatif::MultiProgress;
use std::{
    error::Error,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};
use tracing::{info, warn};

/// A server that takes longer to accept a connection counts as down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const USER_AGENT: &str = concat!("segno/", env!("CARGO_PKG_VERSION"));

/// How a command ended, as reflected in its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    Failed,
    Usage,
    Paused,
    LoginNeeded,
    Interrupted,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Paused => 3,
            Exit::LoginNeeded => 4,
            Exit::Interrupted => 130,
        }
    }
}

/// Why a command failed: the message, and the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    message: String,
    exit: Exit,
}

impl CommandError {
    fn new(exit: Exit, message: impl Into<String>) -> CommandError {
        CommandError { message: message.into(), exit }
    }

    fn failed(error: &dyn Error) -> CommandError {
        CommandError::new(Exit::Failed, with_causes(error))
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> CommandError {
        CommandError::new(Exit::Usage, with_causes(&error))
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> CommandError {
        let exit = match &error {
            StoreError::Url(_)
            | StoreError::NoFolder(_)
            | StoreError::IsFolder(_)
            | StoreError::NotAFile(_)
            | StoreError::Foreign { .. }
            | StoreError::NotADatabase(_)
            | StoreError::NotWritable { .. }
            | StoreError::Exposed { .. }
            | StoreError::OfAnother { .. }
            | StoreError::NoLocks { .. }
            | StoreError::WouldReplace { .. }
            | StoreError::NotAFileToCopy => Exit::Usage,
            _ => Exit::Failed,
        };
        CommandError::new(exit, with_causes(&error))
    }
}

impl From<ApiError> for CommandError {
    fn from(error: ApiError) -> CommandError {
        let exit = match error.disposition().remedy {
            Some(Remedy::Ours) => Exit::Usage,
            Some(Remedy::SignIn | Remedy::Permit) => Exit::LoginNeeded,
            _ => Exit::Failed,
        };
        CommandError::new(exit, with_causes(&error))
    }
}

/// Runs a command to its end.
pub fn run(cli: Cli) -> ExitCode {
    process::settle();
    telemetry::install_panic_hook();
    stderr::write_like(cli.log_format.into());
    // One thread carries all actors; tokio's own threads carry the blocking calls of SQLite.
    let system = match cli.command {
        Command::Import(_) => System::with_tokio_rt(runtime_of_import),
        _ => System::new(),
    };
    let exit = match system.block_on(command(cli)) {
        Ok(exit) => exit,
        Err(error) => {
            error.message.lines().for_each(complain);
            error.exit
        }
    };
    telemetry::finish();
    ExitCode::from(exit.code())
}

/// One thread reads files, one writes: each thread that SQLite ever ran on keeps the memory it once used.
fn runtime_of_import() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().max_blocking_threads(2).build().expect("a runtime, as actix makes one itself")
}

async fn command(cli: Cli) -> Result<Exit, CommandError> {
    process::survive_long_files();
    let format = cli.log_format.into();
    let has_settings =
        !matches!(cli.command, Command::Demo(_) | Command::Sandbox(_) | Command::Completions(_) | Command::Man(_));
    if let (false, Some(file)) = (has_settings, &cli.config) {
        let file = file.display();
        return Err(CommandError::new(
            Exit::Usage,
            format!("--config: {file} would not be read: this command has no settings"),
        ));
    }
    let path = cli.config;
    let in_foreground = || {
        let config = Config::from_process(path.as_deref())?;
        let display = Display::for_stderr(format);
        begin_log(&config, &foreground_filter(&config, &display), format, display.bars())?;
        say_where_from(&config);
        Ok::<_, CommandError>((config, display))
    };
    match cli.command {
        Command::Demo(args) => {
            let display = Display::for_stderr(format);
            telemetry::init(&demo::log_filter(), format, display.bars()).map_err(usage)?;
            demo::run(args, display).await
        }
        Command::Sandbox(args) => {
            telemetry::init(&demo::log_filter(), format, None).map_err(usage)?;
            sandbox::run(args).await
        }
        Command::Login(args) => {
            let mut config = logged(&path, format)?;
            say_where_from(&config);
            client_id::ensure(&mut config)?;
            login::run(args, &config).await
        }
        Command::Sync(args) => {
            let (config, display) = in_foreground()?;
            sync::run(args, &config, display).await
        }
        Command::Verify(args) => {
            let (config, display) = in_foreground()?;
            verify::run(args, &config, display).await
        }
        Command::Run(_) => {
            let config = logged(&path, format)?;
            say_where_from(&config);
            run::run(config, read_from::ReadFrom::Process(path)).await
        }
        Command::Status(args) => maintenance::status(args, &logged(&path, format)?).await,
        Command::Ready(_) => ready::run(&logged(&path, format)?).await,
        Command::Changes(args) => changes::run(args, &logged(&path, format)?).await,
        Command::Export(args) => export::run(args, &logged(&path, format)?).await,
        Command::Listening(args) => listening::run(args, &logged(&path, format)?).await,
        Command::Import(args) => {
            let (config, display) = in_foreground()?;
            import::run(args, &config, &display).await
        }
        Command::Reset(args) => maintenance::reset(args, &logged(&path, format)?).await,
        Command::Logout(args) => accounts::logout(args, &logged(&path, format)?).await,
        Command::Backup(args) => maintenance::backup(args, &logged(&path, format)?).await,
        Command::Purge(args) => accounts::purge(args, &logged(&path, format)?).await,
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(args),
    }
}

/// Loads the settings, and starts the log accordingly.
fn logged(path: &Option<PathBuf>, format: LogFormat) -> Result<Config, CommandError> {
    let config = Config::from_process(path.as_deref())?;
    begin_log(&config, &config.log.filter, format, None)?;
    Ok(config)
}

fn begin_log(
    config: &Config,
    filter: &str,
    format: LogFormat,
    bars: Option<MultiProgress>,
) -> Result<(), CommandError> {
    telemetry::init(filter, format, bars).map_err(usage)?;
    config.warnings.iter().for_each(|warning| warn!("{warning}"));
    Ok(())
}

/// Shows which file the settings come from: it decides where tokens go.
fn say_where_from(config: &Config) {
    if let Some(file) = config.file_shown() {
        info!("settings are from {}", file.display());
    }
}

fn usage(error: telemetry::TelemetryError) -> CommandError {
    CommandError::new(Exit::Usage, with_causes(&error))
}

/// The gate's warning of a limit is a long line; the bars show below them what waits, and until when.
const FILTER_ABOVE_BARS: &str = "warn,segno::actors::gate=error";

/// Where bars show progress, the log is limited to what they do not show, unless a filter was requested.
fn foreground_filter(config: &Config, display: &Display) -> String {
    let is_default = config.log.filter == "info";
    match display {
        Display::Bars(_) if is_default => FILTER_ABOVE_BARS.into(),
        Display::Bars(_) | Display::Lines => config.log.filter.clone(),
    }
}

/// Writes a result for people.
fn print(text: &str) -> Result<(), CommandError> {
    write_out(seen_lines(text).as_bytes())
}

/// Writes a result for programs, which may still go to a terminal.
fn print_json(json: &str) -> Result<(), CommandError> {
    write_out(json_seen(json).as_bytes())
}

/// A reader that closes the pipe early is no reason to fail; a full disk is.
fn write_out(bytes: &[u8]) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::new(Exit::Failed, format!("cannot write the result to stdout: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn client(config: &Config) -> Result<Client, CommandError> {
    let Some(client_id) = config.spotify.client_id.clone() else {
        return Err(CommandError::new(
            Exit::Usage,
            "SEGNO_SPOTIFY_CLIENT_ID or spotify.client_id: is not set: the client id of your application at \
             developer.spotify.com/dashboard; on a terminal, \"segno login\" asks for it and keeps it",
        ));
    };
    let rests = TokenRests::default();
    Ok(Client::new(ClientConfig {
        api_url: config.spotify.api_url.clone(),
        accounts_url: config.spotify.accounts_url.clone(),
        client_id,
        connect_timeout: CONNECT_TIMEOUT.min(config.spotify.timeout),
        timeout: config.spotify.timeout,
        user_agent: USER_AGENT.into(),
        token_rests: TokenRests { longest: hastened(rests.longest), doubt: hastened(rests.doubt), ..rests },
    })?)
}

/// The limits for the gate.
fn gate_settings(config: &Config) -> GateSettings {
    let RateLimitConfig { requests, window, daily } = config.rate_limit;
    GateSettings { requests, window, daily }
}
