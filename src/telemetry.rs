//! Logs: where they go, in which format, and at which level.
//!
//! Events go to stderr, each in one write and on one line, so that results on stdout stay clean. While progress bars
//! are live they print the line, so that neither tears the other. A panic becomes one `error` event. The libraries
//! below us are limited to warnings unless the filter names them, and those that log what they send never get below
//! `info`: it includes tokens.

#[cfg(feature = "otlp")]
mod otlp;

use crate::model::text::seen;
use indicatif::MultiProgress;
use std::{
    env,
    io::{self, IsTerminal, Write},
    panic::{self, PanicHookInfo},
    sync::OnceLock,
};
use tracing::{Level, Metadata, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    filter::{FilterExt, Targets, filter_fn},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    reload,
    util::{SubscriberInitExt, TryInitError},
};

/// The required syntax of a filter; follows "is not".
pub const FILTER_SYNTAX: &str = "a log filter: LEVEL or TARGET=LEVEL, separated by commas, with LEVEL one of off, error, \
                                 warn, info, debug, trace";

/// Libraries that log more than a reader of our log wants to know. A target stands for all with that prefix.
const NOISY: [&str; 11] = [
    "actix",
    "deadpool",
    "diesel",
    "h2",
    "hyper",
    "mio",
    "opentelemetry",
    "reqwest",
    "rustls",
    "tokio_postgres",
    "want",
];

/// Libraries that log, below `info`, statement parameters or request headers, and with them tokens and passwords. No
/// filter changes that.
const INDISCREET: [&str; 6] = ["actix_http", "deadpool", "diesel", "h2", "postgres", "tokio_postgres"];

/// Logs an error for each request that cannot be parsed, so that a stranger could fill the log.
const FED_BY_STRANGERS: &str = "actix_http::h1::dispatcher";

/// The filter in force, once the log is set up.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Format of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One line for people, in colour on a terminal.
    #[default]
    Human,
    /// One JSON object per line, for collectors.
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("SEGNO_LOG or log.filter: {0:?} is not {FILTER_SYNTAX}")]
    Filter(String),
    #[error("the log cannot be set up")]
    Install(#[from] TryInitError),
    #[error("the log's filter cannot be changed")]
    Reload(#[from] reload::Error),
    #[cfg(feature = "otlp")]
    #[error("traces cannot be set up; OTEL_EXPORTER_OTLP_ENDPOINT says where they go")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Starts logging for the whole process, once. Lines go through `bars` while these are visible.
pub fn init(filter: &str, format: LogFormat, bars: Option<MultiProgress>) -> Result<(), TelemetryError> {
    let filter = parse_filter(filter).ok_or_else(|| TelemetryError::Filter(filter.to_owned()))?;
    let writer = LogWriter { bars };
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Human => fmt::layer().compact().with_ansi(is_colour_wanted()).with_writer(writer).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
    };
    let (filter, handle) = reload::Layer::new(filter);
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter.and(filter_fn(may_be_logged))));
    #[cfg(feature = "otlp")]
    let subscriber = subscriber.with(otlp::layer()?);
    subscriber.try_init()?;
    let _ = FILTER.set(handle);
    Ok(())
}

/// The end of the process: sends the last traces, if there are any.
pub fn finish() {
    #[cfg(feature = "otlp")]
    otlp::finish();
}

/// Changes the log level from here on.
pub fn set_filter(filter: &str) -> Result<(), TelemetryError> {
    let new = parse_filter(filter).ok_or_else(|| TelemetryError::Filter(filter.to_owned()))?;
    match FILTER.get() {
        Some(handle) => Ok(handle.reload(new)?),
        None => Ok(()),
    }
}

/// Turns panics into one event each. One that the log would not show is written to stderr, so that none goes unnoticed.
pub fn install_panic_hook() {
    panic::set_hook(Box::new(|info| {
        let (message, location) = (panic_message(info), panic_location(info));
        if tracing::enabled!(Level::ERROR) {
            tracing::error!(%location, "panicked: {message}");
        } else {
            // Nothing can be reported if stderr is gone too.
            let _ = writeln!(io::stderr(), "panicked at {location}: {message}");
        }
    }));
}

/// Whether [`init`] accepts the filter.
pub fn is_filter(filter: &str) -> bool {
    parse_filter(filter).is_some()
}

/// Whether an event may be in the log, whatever the filter.
fn may_be_logged(event: &Metadata<'_>) -> bool {
    let is_discreet =
        *event.level() <= Level::INFO || !INDISCREET.iter().any(|target| event.target().starts_with(target));
    is_discreet && !event.target().starts_with(FED_BY_STRANGERS)
}

/// Stricter than the crate, which takes a misspelt level for a target and then shows nothing.
fn parse_filter(filter: &str) -> Option<Targets> {
    let (mut default, mut targets) = (LevelFilter::OFF, Vec::new());
    for directive in filter.split(',').map(str::trim) {
        match directive.rsplit_once('=') {
            Some((target, level)) => targets.push((parse_target(target.trim())?, parse_level(level.trim())?)),
            None => default = parse_level(directive)?,
        }
    }
    let is_named = |noisy: &&str| targets.iter().any(|(target, _)| noisy.starts_with(target));
    let quiet: Vec<&str> = NOISY.into_iter().filter(|noisy| default > LevelFilter::WARN && !is_named(noisy)).collect();
    let quiet = quiet.into_iter().map(|noisy| (noisy, LevelFilter::WARN));
    Some(Targets::new().with_default(default).with_targets(quiet).with_targets(targets))
}

/// The path of a module, or a prefix of one.
fn parse_target(word: &str) -> Option<&str> {
    let is_path = word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-'));
    (is_path && !word.is_empty()).then_some(word)
}

fn parse_level(word: &str) -> Option<LevelFilter> {
    // The crate takes an empty word for `error`.
    if word.is_empty() { None } else { word.parse().ok() }
}

/// https://no-color.org
fn is_colour_wanted() -> bool {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !is_set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn panic_message(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn panic_location(info: &PanicHookInfo<'_>) -> String {
    info.location().map_or_else(|| "unknown place".into(), |place| format!("{}:{}", place.file(), place.line()))
}

/// Hands out one [`Line`] per event.
#[derive(Debug, Clone)]
struct LogWriter {
    bars: Option<MultiProgress>,
}

/// Collects an event and prints it when dropped.
#[derive(Debug)]
struct Line<'a> {
    bars: Option<&'a MultiProgress>,
    text: Vec<u8>,
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { bars: self.bars.as_ref(), text: Vec::new() }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let text = one_line(&self.text);
        // While a thread panics the bars drop what they are given, and that thread may hold their lock.
        let bars = self.bars.filter(|bars| !std::thread::panicking() && !bars.is_hidden());
        // A log that cannot be written has nowhere to report it.
        let _ = match bars {
            // Not `suspend`: it panics when the terminal is gone.
            Some(bars) => bars.println(text.trim_end_matches('\n')),
            None => io::stderr().lock().write_all(text.as_bytes()),
        };
    }
}

/// An event on one line, whatever is in it, in the colours of its formatter.
fn one_line(event: &[u8]) -> String {
    let text = String::from_utf8_lossy(event);
    let mut parts = text.trim_end_matches('\n').split('\u{1b}');
    let mut line = seen(parts.next().unwrap_or_default()).into_owned();
    for part in parts {
        let colour = part.strip_prefix('[').and_then(|rest| rest.split_once('m')).map(|(colour, _)| colour);
        if colour.is_some_and(|colour| colour.bytes().all(|b| b.is_ascii_digit() || b == b';')) {
            line.push('\u{1b}');
        }
        line.push_str(&seen(part));
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::{ProgressDrawTarget, TermLike};
    use std::sync::{Arc, Mutex};
    use tracing::subscriber::with_default;

    #[test]
    fn a_filter_is_levels_and_targets_and_nothing_else() {
        for good in ["info", "off", "WARN", "warn,segno=debug", " info , segno::engine=trace "] {
            assert!(is_filter(good), "{good}");
        }
        for bad in [
            "",
            "inof",
            "segno",
            "segno=",
            "=debug",
            "info,,warn",
            "segno=loud",
            "info,",
            "a b=debug",
            "{",
            "[run{id=3}]=debug",
        ] {
            assert!(!is_filter(bad), "{bad}");
        }
    }

    #[test]
    fn a_bad_filter_is_refused_in_words_that_name_the_setting() {
        let error = init("loud", LogFormat::Human, None).unwrap_err();
        assert_eq!(error.to_string(), format!("SEGNO_LOG or log.filter: \"loud\" is not {FILTER_SYNTAX}"));
    }

    #[test]
    fn libraries_are_kept_to_warnings_unless_named() {
        let has = |filter: &str, directive: &str| {
            let shown = parse_filter(filter).unwrap().to_string();
            shown.split(',').any(|shown| shown == directive)
        };
        assert!(has("info", "hyper=warn"));
        assert!(has("trace", "rustls=warn"));
        assert!(has("info,hyper=debug", "hyper=debug"));
        assert!(!has("info,hyper=debug", "hyper=warn"));
        assert!(!has("info,h=debug", "hyper=warn"));
        assert!(has("info,hyper_util=debug", "hyper=warn"));
        // Where the filter is strict anyway, they get no more than the rest.
        for quiet in ["error", "off", "warn", "segno=debug,off"] {
            assert_eq!(parse_filter(quiet).unwrap().to_string(), quiet);
        }
    }

    #[test]
    fn a_line_is_printed_above_the_bars_whole() {
        let term = Term::default();
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(term.clone())));
        let writer = LogWriter { bars: Some(bars) };
        let subscriber =
            Registry::default().with(fmt::layer().compact().with_ansi(false).without_time().with_writer(writer));
        with_default(subscriber, || tracing::info!(target: "segno", offset = 3, "page committed"));
        assert_eq!(term.lines(), [" INFO segno: page committed offset=3"]);
    }

    #[test]
    fn an_event_is_one_line_of_what_can_be_seen() {
        let event = "INFO one\n2026 ERROR \u{202e}two\u{200b}\u{2028}three\r\u{9b}\u{1b}[2J\u{1b}[0;1m\n";
        assert_eq!(one_line(event.as_bytes()), "INFO one 2026 ERROR two three  [2J\u{1b}[0;1m\n");
    }

    #[test]
    fn what_logs_parameters_is_never_loud() {
        let lines = logged("trace,tokio_postgres=trace,tokio_postgres::query=trace", || {
            let span = tracing::info_span!(target: "tokio_postgres", "query");
            let _entered = span.enter();
            tracing::debug!(target: "tokio_postgres::query", "executing with parameters");
            tracing::info!(target: "tokio_postgres::connection", "notice");
            tracing::trace!(target: "segno", "ours");
        });
        assert!(lines.contains("notice") && lines.contains("ours") && !lines.contains("parameters"), "{lines}");
    }

    #[test]
    fn requests_that_cannot_be_parsed_do_not_fill_the_log() {
        for filter in ["info", "trace", "warn,actix_http=trace", "actix_http::h1::dispatcher=error"] {
            let lines = logged(filter, || {
                tracing::error!(target: "actix_http::h1::dispatcher", "stream error: request parse error");
                tracing::error!(target: "segno", "ours");
                tracing::error!(target: "actix_http::h1::encoder", "theirs");
            });
            assert!(!lines.contains("parse error"), "{filter}: {lines}");
            assert_eq!(lines.contains("ours"), !filter.starts_with("actix"), "{filter}: {lines}");
            assert_eq!(lines.contains("theirs"), !filter.starts_with("actix"), "{filter}: {lines}");
        }
    }

    #[test]
    fn a_line_for_hidden_bars_does_not_go_through_them() {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let writer = LogWriter { bars: Some(bars) };
        let line = writer.make_writer();
        assert!(line.bars.is_some_and(MultiProgress::is_hidden));
    }

    /// Logging and panic hooks are global to the process, so this test runs itself once more, as a process of its own.
    #[test]
    fn a_panic_is_one_error_event_with_its_place() {
        const NAME: &str = "telemetry::tests::a_panic_is_one_error_event_with_its_place";
        const FILTER: &str = "SEGNO_TEST_PANIC_FILTER";
        if let Ok(filter) = env::var(FILTER) {
            init(&filter, LogFormat::Json, None).unwrap();
            assert!(matches!(init(&filter, LogFormat::Json, None), Err(TelemetryError::Install(_))));
            install_panic_hook();
            tracing::info!(target: "hyper::client", "noise");
            let _ = std::thread::spawn(|| panic!("two\nlines")).join();
            return;
        }
        let stderr_with = |filter: &str| {
            let mut this = std::process::Command::new(env::current_exe().unwrap());
            let output = this.args([NAME, "--exact", "--nocapture"]).env(FILTER, filter).output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stderr).unwrap()
        };

        let stderr = stderr_with("info");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        let event: serde_json::Value = serde_json::from_str(&stderr).unwrap();
        assert_eq!(event["level"], "ERROR");
        assert_eq!(event["message"], "panicked: two lines");
        assert!(event["location"].as_str().unwrap().starts_with("src/telemetry.rs:"), "{stderr}");

        let stderr = stderr_with("off");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("panicked at src/telemetry.rs:") && stderr.ends_with(": two lines\n"), "{stderr}");
    }

    /// The log, under that filter, of what happens.
    fn logged(filter: &str, happens: impl FnOnce()) -> String {
        let lines = Term::default();
        let writer = {
            let lines = lines.clone();
            move || Shared(lines.clone())
        };
        let filter = parse_filter(filter).unwrap();
        let layer = fmt::layer().compact().with_ansi(false).without_time().with_writer(writer);
        let subscriber = Registry::default().with(layer.with_filter(filter.and(filter_fn(may_be_logged))));
        with_default(subscriber, happens);
        lines.lines().join("\n")
    }

    /// A terminal that remembers the lines written to it.
    #[derive(Debug, Clone, Default)]
    struct Term(Arc<Mutex<String>>);

    impl Term {
        fn lines(&self) -> Vec<String> {
            let text = self.0.lock().unwrap();
            text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect()
        }

        fn push(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
    }

    struct Shared(Term);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(&String::from_utf8_lossy(bytes))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl TermLike for Term {
        fn width(&self) -> u16 {
            120
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, line: &str) -> io::Result<()> {
            self.push(line)?;
            self.push("\n")
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.push(text)
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }
}
