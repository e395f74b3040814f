//! The command `export`: what, in which format, and where to.

use super::{OneAccountArg, changes};
use crate::export::{Format, ListenTime, What};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno export tracks --format csv > tracks.csv
  segno export --format jsonl --out library/           everything, one file each
  segno export playlists --format exportify --out spotify_playlists.zip
  segno export --playlist \"Road trip\" --format m3u8 > road-trip.m3u8
  segno export listening --format listenbrainz --since 30d --out listens.jsonl

Formats: csv, jsonl and parquet hold everything; exportify, exportify-net, m3u8, jspf and xspf hold tracks and \
playlists; listenbrainz and spotify (the format of its extended history) hold what was listened to. \
No request is sent. Files are put in place complete, or not at all.")]
pub struct ExportArgs {
    /// What to export [default: everything that the format can hold]
    #[arg(value_name = "WHAT", value_enum)]
    pub what: Option<What>,

    /// In which format
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: Format,

    /// A file, a folder, or a file that ends with .zip; without it a single list goes to stdout
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,

    /// Only what was saved, followed, heard or changed since: a time, a date, or a duration
    #[arg(long, value_name = "WHEN", value_parser = changes::since)]
    pub since: Option<changes::Since>,

    /// Only this playlist, by its name or its Spotify id
    #[arg(long, value_name = "NAME", conflicts_with_all = ["what", "since"])]
    pub playlist: Option<String>,

    #[command(flatten)]
    pub account: OneAccountArg,

    /// Make CSV safe to open in a spreadsheet: an apostrophe before anything that looks like a formula
    #[arg(long)]
    pub spreadsheet: bool,

    /// Which moment of a listen goes into "listenbrainz"
    #[arg(long, value_name = "END", value_enum, default_value_t)]
    pub time: ListenTime,
}
