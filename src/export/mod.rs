//! The formats in which other tools read a library and a listening history, each exactly as the reading tool expects
//! it.
//!
//! | format | lists | read by |
//! |---|---|---|
//! | `csv`, `jsonl`, `parquet` | everything | spreadsheets, databases, scripts |
//! | `exportify` | tracks, playlists | readers of Exportify files (watsonbox) |
//! | `exportify-net` | tracks, playlists | readers of exportify.net files |
//! | `m3u8`, `xspf`, `jspf` | tracks, playlists | players and playlist tools |
//! | `listenbrainz` | listening | ListenBrainz, Koito |
//! | `spotify` | listening | readers of Spotify's extended streaming history |
//!
//! Nothing here does any requests: rows go in, bytes come out.

mod exportify;
mod listening;
mod lists;
pub mod names;
mod parquet;
mod playlists;
mod rows;
mod tables;

pub use listening::{ListenTime, Listens};
pub use lists::{ExportError, Shape, Source, What};
pub use tables::Table;

use crate::store::TrackLine;
use exportify::{Exportify, ExportifyNet};
use playlists::{Jspf, M3u8, Xspf};
use std::io::{self, Write};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Csv,
    Jsonl,
    Parquet,
    Exportify,
    ExportifyNet,
    Listenbrainz,
    Spotify,
    M3u8,
    Jspf,
    Xspf,
}

impl Format {
    /// As it is typed.
    pub fn word(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Jsonl => "jsonl",
            Format::Parquet => "parquet",
            Format::Exportify => "exportify",
            Format::ExportifyNet => "exportify-net",
            Format::Listenbrainz => "listenbrainz",
            Format::Spotify => "spotify",
            Format::M3u8 => "m3u8",
            Format::Jspf => "jspf",
            Format::Xspf => "xspf",
        }
    }

    /// The file name extension.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Csv | Format::Exportify | Format::ExportifyNet => "csv",
            Format::Jsonl | Format::Listenbrainz => "jsonl",
            Format::Parquet => "parquet",
            Format::Spotify => "json",
            Format::M3u8 => "m3u8",
            Format::Jspf => "jspf",
            Format::Xspf => "xspf",
        }
    }

    /// Whether it can hold any list, and not only tracks or only listens.
    pub fn is_general(self) -> bool {
        matches!(self, Format::Csv | Format::Jsonl | Format::Parquet)
    }

    pub fn is_of_listening(self) -> bool {
        matches!(self, Format::Listenbrainz | Format::Spotify)
    }
}

/// Tracks, in the requested format.
pub enum Tracks<W: Write + Send> {
    Table(Table<W>),
    Exportify(Exportify<W>),
    ExportifyNet(ExportifyNet<W>),
    M3u8(M3u8<W>),
    Jspf(Jspf<W>),
    Xspf(Xspf<W>),
}

impl<W: Write + Send> Tracks<W> {
    /// `title` is the name of the list. Formats of listening hold no tracks.
    pub fn begin(format: Format, out: W, title: &str, is_for_spreadsheets: bool) -> io::Result<Option<Tracks<W>>> {
        Ok(Some(match format {
            Format::Csv | Format::Jsonl | Format::Parquet => {
                Tracks::Table(Table::begin::<TrackLine>(format, out, is_for_spreadsheets)?)
            }
            Format::Exportify => Tracks::Exportify(Exportify::begin(out)?),
            Format::ExportifyNet => Tracks::ExportifyNet(ExportifyNet::begin(out)?),
            Format::M3u8 => Tracks::M3u8(M3u8::begin(out, title)?),
            Format::Jspf => Tracks::Jspf(Jspf::begin(out, title)?),
            Format::Xspf => Tracks::Xspf(Xspf::begin(out, title)?),
            Format::Listenbrainz | Format::Spotify => return Ok(None),
        }))
    }

    pub fn write(&mut self, line: &TrackLine) -> io::Result<()> {
        match self {
            Tracks::Table(table) => table.row(line),
            Tracks::Exportify(out) => out.write(line),
            Tracks::ExportifyNet(out) => out.write(line),
            Tracks::M3u8(out) => out.write(line),
            Tracks::Jspf(out) => out.write(line),
            Tracks::Xspf(out) => out.write(line),
        }
    }

    pub fn finish(self) -> io::Result<W> {
        match self {
            Tracks::Table(table) => table.finish(),
            Tracks::Exportify(out) => out.finish(),
            Tracks::ExportifyNet(out) => out.finish(),
            Tracks::M3u8(out) => out.finish(),
            Tracks::Jspf(out) => out.finish(),
            Tracks::Xspf(out) => out.finish(),
        }
    }
}

/// The names of artists in one text.
fn joined<'a>(names: impl Iterator<Item = &'a str>, between: &str) -> String {
    names.collect::<Vec<_>>().join(between)
}

/// The IO error; `csv` wraps it.
fn plain(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        kind => io::Error::other(format!("{kind:?}")),
    }
}

/// The writer that `csv` returns at its end.
fn unwrapped<W: Write>(writer: csv::Writer<W>) -> io::Result<W> {
    writer.into_inner().map_err(|error| io::Error::new(error.error().kind(), error.error().to_string()))
}

/// A line of text, without line breaks.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
