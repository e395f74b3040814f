//! Lines for people, on stderr: above the bars while these are live, and as JSON if the log is JSON, so that a
//! collector finds nothing else there.

use crate::{clock, model::text::seen, telemetry::LogFormat};
use chrono::SecondsFormat;
use indicatif::MultiProgress;
use serde_json::json;
use std::{
    io::Write,
    sync::{Mutex, PoisonError},
};

/// How lines are written. Like the log, it is global to the process.
static LINE_STYLE: Mutex<LineStyle> = Mutex::new(LineStyle::Plain);

#[derive(Debug, Clone)]
pub enum LineStyle {
    Plain,
    /// Bars are live below.
    AboveBars(MultiProgress),
    Json,
}

/// From now on lines are written this way.
pub fn set_style(style: LineStyle) {
    *LINE_STYLE.lock().unwrap_or_else(PoisonError::into_inner) = style;
}

/// Before there are bars: in the format of the log.
pub fn write_like(format: LogFormat) {
    set_style(match format {
        LogFormat::Human => LineStyle::Plain,
        LogFormat::Json => LineStyle::Json,
    });
}

/// A line on stderr. A closed stderr is no reason to stop.
pub fn say(line: &str) {
    write("INFO", line);
}

/// Prints why a command failed.
pub fn complain(line: &str) {
    write("ERROR", &format!("segno: {line}"));
}

fn write(level: &str, line: &str) {
    let line = &seen(line);
    let style = LINE_STYLE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let _ = match style {
        LineStyle::AboveBars(bars) if !bars.is_hidden() => bars.println(line.as_ref()),
        LineStyle::Plain | LineStyle::AboveBars(_) => writeln!(std::io::stderr(), "{line}"),
        LineStyle::Json => {
            let timestamp = clock::now().to_rfc3339_opts(SecondsFormat::Micros, true);
            let event = json!({ "timestamp": timestamp, "level": level, "message": line.as_ref(), "target": "segno" });
            writeln!(std::io::stderr(), "{event}")
        }
    };
}
