//! The command `import`: which files, for whom, and whether to take an import back.

use super::OneAccountArg;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    override_usage = "segno import [OPTIONS] PATH...\n       segno import [OPTIONS] --remove[=NUMBER]",
    after_help = "\
Examples:
  segno import my_spotify_data.zip          the zip as Spotify sends it
  segno import export-2023/ export-2025/    folders, files, zips; may overlap
  segno import --dry-run my_spotify_data.zip
                                            what it would add
  segno import --remove                     undo the import
  segno import --remove=3                   the third one, of several

Ask Spotify for your \"Extended streaming history\" at spotify.com/account/privacy; it comes within 30 \
days. \"Account data\" works as well: the last 12 months, with names only. No request is sent. Importing \
the same export again changes nothing, and a play that Spotify's API has already reported is stored \
once. A dry run makes other writers to the database wait."
)]
pub struct ImportArgs {
    /// Zips, folders or files of the export
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// Read everything and report, but change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Take an import back: the only one, the one with this number, or "all"
    #[arg(
        long,
        value_name = "NUMBER",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_parser = remove,
        conflicts_with_all = ["paths", "dry_run"]
    )]
    pub remove: Option<Remove>,

    #[command(flatten)]
    pub account: OneAccountArg,

    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Which import to take back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remove {
    Only,
    Number(i64),
    All,
}

fn remove(word: &str) -> Result<Remove, String> {
    match word {
        "" => Ok(Remove::Only),
        "all" => Ok(Remove::All),
        _ => word
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .map(Remove::Number)
            .ok_or_else(|| "the number of an import, or \"all\"".into()),
    }
}
