//! An invalid command line, reported in one line: the place, the value, and what is allowed instead.
//!
//! clap reports the same in a paragraph. Messages about settings have one line each, so these have, too.

use super::{Cli, Command, values};
use crate::model::EntityType;
use clap::{
    CommandFactory, Parser,
    error::{ContextKind, ContextValue, Error, ErrorKind},
};
use std::{collections::BTreeSet, error::Error as _, ffi::OsString};

/// The result if there is no command to carry out.
#[derive(Debug)]
pub enum Refused {
    /// Help or the version was asked for, or nothing at all; clap shows it.
    Shown(Error),
    /// One line.
    Wrong(String),
}

/// Reads a command line, the name of the program first.
pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Cli, Refused> {
    let words: Vec<OsString> = words.into_iter().collect();
    let cli = Cli::try_parse_from(&words).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Refused::Shown(error)
        }
        _ => Refused::Wrong(line(&error, command_of(&words).as_deref())),
    })?;
    match complaint(&cli.command) {
        Some(complaint) => Err(Refused::Wrong(complaint)),
        None => Ok(cli),
    }
}

/// What clap does not report, or reports badly.
fn complaint(command: &Command) -> Option<String> {
    let (name, entities) = match command {
        Command::Reset(args) if args.entities.is_empty() && !args.all => {
            return Some(format!("reset: name what to forget: one or more of {}, or --all", values::entities()));
        }
        Command::Import(args) if args.paths.is_empty() && args.remove.is_none() => {
            return Some("import: name what to read: the zip of your data export, a folder or files".into());
        }
        Command::Reset(args) => ("reset", &args.entities),
        Command::Sync(args) => ("sync", &args.entities),
        Command::Verify(args) => ("verify", &args.entities),
        Command::Changes(args) => ("changes", &args.entities),
        Command::Demo(_)
        | Command::Login(_)
        | Command::Run(_)
        | Command::Status(_)
        | Command::Ready(_)
        | Command::Import(_)
        | Command::Listening(_)
        | Command::Logout(_)
        | Command::Backup(_)
        | Command::Export(_)
        | Command::Purge(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Sandbox(_) => return None,
    };
    let mut seen: BTreeSet<EntityType> = BTreeSet::new();
    let twice = entities.iter().find(|entity| !seen.insert(**entity))?;
    Some(format!("{name}: \"{twice}\" is named twice; expected each of {} at most once", values::entities()))
}

fn line(error: &Error, command: Option<&str>) -> String {
    let told = |kind| error.get(kind).map(shown).filter(|text| !text.is_empty());
    let (place, help) = match command {
        Some(command) => (format!("{command}: "), format!("see \"segno {command} --help\"")),
        None => (String::new(), "see \"segno --help\"".to_owned()),
    };
    let argument = told(ContextKind::InvalidArg);
    // As typed: without the name of its value.
    let name = argument.as_deref().map(|text| text.split(' ').next().unwrap_or(text).to_owned()).unwrap_or_default();
    let at = if name.starts_with('-') { format!("{place}{name}: ") } else { place.clone() };
    match (error.kind(), told(ContextKind::InvalidValue)) {
        (ErrorKind::InvalidSubcommand, _) => {
            let word = told(ContextKind::InvalidSubcommand).unwrap_or_default();
            let instead = told(ContextKind::SuggestedSubcommand)
                .map_or_else(|| format!("expected one of {}", commands()), |known| format!("did you mean {known}?"));
            format!("{word:?} is not a command; {instead}")
        }
        (ErrorKind::MissingSubcommand, _) => format!("a command is missing; expected one of {}", commands()),
        (ErrorKind::UnknownArgument, _) if name.starts_with('-') => {
            let instead = told(ContextKind::SuggestedArg).map(|known| known.split(' ').next().unwrap_or("").to_owned());
            let instead = instead.map_or(help, |known| format!("did you mean {known}?"));
            format!("{place}{name} is not an option; {instead}")
        }
        (ErrorKind::UnknownArgument, _) => format!("{place}{name:?} is one word too many; {help}"),
        (ErrorKind::InvalidValue | ErrorKind::NoEquals, None) => {
            format!("{place}{} needs a value; {help}", argument.unwrap_or_default())
        }
        (ErrorKind::InvalidValue, Some(value)) => {
            format!("{at}{value:?} is not one of {}", told(ContextKind::ValidValue).unwrap_or_default())
        }
        (ErrorKind::ValueValidation, Some(value)) => {
            let allowed = error.source().map(ToString::to_string).unwrap_or_default();
            format!("{at}{value:?} is not {allowed}")
        }
        (ErrorKind::ArgumentConflict, _) => match told(ContextKind::PriorArg) {
            Some(other) if other != argument.clone().unwrap_or_default() => {
                format!("{place}{} cannot be combined with {other}", argument.unwrap_or_default())
            }
            _ => format!("{place}{name} is given twice"),
        },
        (ErrorKind::InvalidUtf8, _) => format!("{place}an argument is not UTF-8 text"),
        (ErrorKind::MissingRequiredArgument, _) => {
            let missing = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
            let missing: Vec<&str> = missing.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            format!("{place}{} missing; {help}", missing.join(", ") + if missing.len() == 1 { " is" } else { " are" })
        }
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            format!("{place}{}; {help}", first.strip_prefix("error: ").unwrap_or(first))
        }
    }
}

/// Several values separated by commas, on one line.
fn shown(value: &ContextValue) -> String {
    value.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The command that a command line is about, as far as it got.
fn command_of(words: &[OsString]) -> Option<String> {
    let is_command = |word: &str| Cli::command().get_subcommands().any(|command| command.get_name() == word);
    words.iter().skip(1).filter_map(|word| word.to_str()).find(|word| is_command(word)).map(str::to_owned)
}

fn commands() -> String {
    Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &str) -> String {
        let words = std::iter::once("segno").chain(line.split_whitespace()).map(OsString::from);
        match read(words) {
            Err(Refused::Wrong(refusal)) => refusal,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn every_refusal_is_one_line_with_place_value_and_what_is_allowed() {
        let entities = crate::model::EntityType::words();
        for (line, expected) in [
            ("snyc", "\"snyc\" is not a command; did you mean sync?"),
            (
                "xyz",
                "\"xyz\" is not a command; expected one of demo, login, run, sync, verify, status, ready, changes, export, listening, import, reset, logout, backup, purge, sandbox, completions, man",
            ),
            ("--frob", "--frob is not an option; see \"segno --help\""),
            ("sync --frob", "sync: --frob is not an option; see \"segno sync --help\""),
            ("sync --max-weit 5m", "sync: --max-weit is not an option; did you mean --max-wait?"),
            ("demo extra", "demo: \"extra\" is one word too many; see \"segno demo --help\""),
            ("sync songs", &format!("sync: \"songs\" is not an entity type: one of {entities}")),
            (
                "sync tracks tracks",
                &format!("sync: \"tracks\" is named twice; expected each of {entities} at most once"),
            ),
            (
                "verify albums albums",
                &format!("verify: \"albums\" is named twice; expected each of {entities} at most once"),
            ),
            ("reset", &format!("reset: name what to forget: one or more of {entities}, or --all")),
            ("reset --all tracks", "reset: --all cannot be combined with [ENTITY]..."),
            ("backup", "backup: <PATH> is missing; see \"segno backup --help\""),
            ("export tracks", "export: --format <FORMAT> is missing; see \"segno export --help\""),
            (
                "listening --zone Nowhere",
                "listening: --zone: \"Nowhere\" is not the name of a time zone, such as Europe/Amsterdam",
            ),
            (
                "reset tracks albums tracks",
                &format!("reset: \"tracks\" is named twice; expected each of {entities} at most once"),
            ),
            ("sync --max-wait", "sync: --max-wait <DURATION> needs a value; see \"segno sync --help\""),
            (
                "sync --max-wait soon",
                "sync: --max-wait: \"soon\" is not a duration from 0s to 30days, such as \"50ms\", \"90s\" or \"20m\"",
            ),
            (
                "changes --since yesterday",
                "changes: --since: \"yesterday\" is not a time such as \"2026-11-22T18:00:00Z\", a date such as \
                 \"2026-11-22\", or a duration such as \"7d\" or \"12h\"",
            ),
            ("changes --limit 0", "changes: --limit: \"0\" is not a whole number from 1 to 10000000"),
            (
                "changes albums albums",
                &format!("changes: \"albums\" is named twice; expected each of {entities} at most once"),
            ),
            ("sync --json --json", "sync: --json is given twice"),
            ("sync --log-format xml", "sync: --log-format: \"xml\" is not one of human, json"),
            ("demo --tracks x", "demo: --tracks: \"x\" is not a whole number from 0 to 1000000"),
            ("demo --rate 0", "demo: --rate: \"0\" is not a whole number from 1 to 1000000"),
            ("sandbox --quota tracks", "sandbox: --quota: \"tracks\" is not FAMILY=NUMBER, such as tracks=40"),
            ("sandbox --dialect old", "sandbox: --dialect: \"old\" is not a dialect: current or legacy"),
            (
                "sandbox --listen here",
                "sandbox: --listen: \"here\" is not an IP address and port, such as 127.0.0.1:8080 or [::1]:8080",
            ),
        ] {
            assert_eq!(refusal(line), expected, "{line}");
        }
    }

    #[test]
    fn help_and_version_are_shown_and_not_refused() {
        for line in ["", "--help", "sync --help", "help", "help sync", "--version"] {
            let words = std::iter::once("segno").chain(line.split_whitespace()).map(OsString::from);
            assert!(matches!(read(words), Err(Refused::Shown(_))), "{line}");
        }
    }
}
