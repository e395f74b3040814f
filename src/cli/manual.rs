//! The commands `completions` and `man`: shell completions and manual pages, made from the same definitions as
//! `--help`.

use super::Cli;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::{
    io,
    path::{Path, PathBuf},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno completions bash > ~/.local/share/bash-completion/completions/segno
  segno completions zsh > ~/.zfunc/_segno        where fpath has ~/.zfunc
  segno completions fish > ~/.config/fish/completions/segno.fish

Packages include them.")]
pub struct CompletionsArgs {
    /// The shell to print them for
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno man | man -l -               read it
  segno man --out man1/              segno.1, segno-sync.1 and so on

Packages include them.")]
pub struct ManArgs {
    /// A folder for the pages, one for each command
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

pub fn completions_of(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "segno", &mut script);
    script
}

/// The page of the program itself.
pub fn man_page() -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    Ok(page)
}

/// A page for the program and one for each command.
pub fn write_man_pages(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), folder)
}
