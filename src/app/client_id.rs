//! The id of the person's application at Spotify: on a terminal, `segno login` says how to get one, asks for it and
//! keeps it in the settings file.

use super::{CommandError, Exit, database::create_folder};
use crate::{
    cli::stderr::say,
    config::{Config, Dirs, FILE_NAME, keep_client_id},
};
use std::{
    io::{self, BufRead, IsTerminal, Read},
    path::{Path, PathBuf},
};

/// Shown before the question.
const HOW_TO_GET_ONE: [&str; 4] = [
    "segno needs an application of your own at Spotify. That takes two minutes, once:",
    "  1. go to https://developer.spotify.com/dashboard and choose \"Create app\" (its owner needs Premium)",
    "  2. give it any name, the redirect URI http://127.0.0.1/callback (without a port), and the Web API",
    "  3. save it, copy the client ID that its page shows, and paste it here:",
];

/// The length that Spotify uses.
const CLIENT_ID_LEN: usize = 32;

/// Longest line that is read.
const LINE_LEN_MAX: u64 = 1 << 10;

/// How often a person is asked.
const TRIES: usize = 3;

/// Makes sure that the settings contain one.
pub(super) fn ensure(config: &mut Config) -> Result<(), CommandError> {
    if config.spotify.client_id.is_some() || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(());
    }
    HOW_TO_GET_ONE.iter().for_each(|line| say(line));
    let client_id = ask()?;
    let file = settings_file(config)?;
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        create_folder(folder).map_err(|error| cannot_keep(&file, &error))?;
    }
    keep_client_id(&file, &client_id).map_err(|error| cannot_keep(&file, &error))?;
    say(&format!("kept as spotify.client_id in {}", file.display()));
    config.spotify.client_id = Some(client_id);
    Ok(())
}

fn ask() -> Result<String, CommandError> {
    for _ in 0..TRIES {
        let mut line = String::new();
        let num_read = io::stdin().lock().take(LINE_LEN_MAX).read_line(&mut line).unwrap_or(0);
        let id = line.trim();
        if is_client_id(id) {
            return Ok(id.to_ascii_lowercase());
        }
        if num_read == 0 || id.is_empty() {
            break;
        }
        say(&format!(
            "that is no client ID: it has {CLIENT_ID_LEN} characters, digits and letters from a to f; once more:"
        ));
    }
    Err(CommandError::new(Exit::Usage, "no client ID was given; run \"segno login\" again when you have one"))
}

fn is_client_id(text: &str) -> bool {
    text.len() == CLIENT_ID_LEN && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// The settings file in use, or the one in the person's configuration folder.
fn settings_file(config: &Config) -> Result<PathBuf, CommandError> {
    let of_person = || Dirs::of_user().config.map(|folder| folder.join(FILE_NAME));
    config.file.clone().or_else(of_person).ok_or_else(|| {
        CommandError::new(Exit::Usage, "there is no home folder to keep the client ID in: set SEGNO_SPOTIFY_CLIENT_ID")
    })
}

fn cannot_keep(file: &Path, error: &io::Error) -> CommandError {
    let file = file.display();
    CommandError::new(Exit::Failed, format!("cannot write {file}: {error}; set SEGNO_SPOTIFY_CLIENT_ID instead"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_32_hexadecimal_digits() {
        assert!(is_client_id("9ba6080cc28d045635147e56048f1703"));
        for wrong in [
            "",
            "9ba6",
            "9ba6080cc28d045635147e56048f170g",
            "https://developer.spotify.com/app",
            "9ba6080cc28d045635147e56048f17033",
        ] {
            assert!(!is_client_id(wrong), "{wrong}");
        }
    }
}
