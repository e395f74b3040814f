//! File names of lists, the same in a folder, in a zip and for a browser.

use super::{Format, What};
use crate::model::text::seen;
use std::collections::BTreeSet;

/// Longest file name that is made of a playlist's name, in characters.
const NAME_LEN_MAX: usize = 80;

/// The file name of a whole list, as readers of the format expect it.
pub fn list_file(what: What, format: Format) -> String {
    let name = match (what, format) {
        (What::Tracks, Format::Exportify | Format::ExportifyNet) => "liked",
        (What::Listening, Format::Spotify) => "Streaming_History_Audio_0",
        (What::Listening, Format::Listenbrainz) => "listens",
        _ => what.word(),
    };
    format!("{name}.{}", format.extension())
}

/// The file name of one playlist.
pub fn playlist_file(name: &str, format: Format) -> String {
    format!("{}.{}", harmless(name), format.extension())
}

/// Names of several files, each used once.
#[derive(Debug, Default)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// Reserves a name that is not a playlist's.
    pub fn reserve(&mut self, file: &str) {
        self.0.insert(file.to_owned());
    }

    /// Like [`playlist_file`]; two playlists may have one name, or that of another list.
    pub fn playlist_file(&mut self, name: &str, format: Format) -> String {
        let (name, extension) = (harmless(name), format.extension());
        let numbered = (2..).map(|number| format!("{name}_{number}.{extension}"));
        let free = std::iter::once(format!("{name}.{extension}")).chain(numbered).find(|file| !self.0.contains(file));
        let free = free.expect("numbers do not end");
        self.0.insert(free.clone());
        free
    }
}

/// As in Exportify: in lower case, without characters that are a problem for file systems or shells, or that are invisible
/// and change how the name looks.
fn harmless(name: &str) -> String {
    let mut made = String::new();
    for c in seen(name).to_lowercase().chars().take(NAME_LEN_MAX) {
        let is_odd = c.is_whitespace() || "/\\<>:;\"|=,.?*[]".contains(c);
        match c {
            _ if !is_odd => made.push(c),
            _ if !made.ends_with('_') => made.push('_'),
            _ => {}
        }
    }
    if made.is_empty() { "_".to_owned() } else { made }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_harmless_and_differ() {
        for (name, expected) in [
            ("Road Trip", "road_trip.csv"),
            ("../../etc/passwd", "_etc_passwd.csv"),
            ("a \u{1b}[2J. b", "a_2j_b.csv"),
            ("", "_.csv"),
            ("song\u{202e}vsc.exe\u{2066}", "songvsc_exe.csv"),
            ("\u{feff}a\u{200b}b\u{200e}", "ab.csv"),
            ("\u{2069}", "_.csv"),
            ("Ünïcödé 日本", "ünïcödé_日本.csv"),
        ] {
            assert_eq!(playlist_file(name, Format::Csv), expected);
        }
        let mut names = Names::default();
        names.reserve(&list_file(What::Tracks, Format::Exportify));
        let made = ["a", "a", "a_2", "a", "Liked"].map(|name| names.playlist_file(name, Format::Exportify));
        assert_eq!(made, ["a.csv", "a_2.csv", "a_2_2.csv", "a_3.csv", "liked_2.csv"]);
    }

    #[test]
    fn a_list_is_called_as_those_who_read_it_expect() {
        for (what, format, name) in [
            (What::Tracks, Format::Csv, "tracks.csv"),
            (What::Tracks, Format::Exportify, "liked.csv"),
            (What::Tracks, Format::ExportifyNet, "liked.csv"),
            (What::Tracks, Format::M3u8, "tracks.m3u8"),
            (What::Listening, Format::Spotify, "Streaming_History_Audio_0.json"),
            (What::Listening, Format::Listenbrainz, "listens.jsonl"),
            (What::Listening, Format::Jsonl, "listening.jsonl"),
        ] {
            assert_eq!(list_file(what, format), name);
        }
    }
}
