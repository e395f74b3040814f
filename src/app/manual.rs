//! `completions` and `man`: to stdout, or into a folder.

use super::{CommandError, Exit, write_out};
use crate::cli::{CompletionsArgs, ManArgs, completions_of, man_page, write_man_pages};

pub(super) fn completions(args: &CompletionsArgs) -> Result<Exit, CommandError> {
    write_out(&completions_of(args.shell))?;
    Ok(Exit::Done)
}

pub(super) fn man(args: ManArgs) -> Result<Exit, CommandError> {
    match args.out {
        Some(folder) => write_man_pages(&folder).map_err(|error| {
            let folder = folder.display();
            CommandError::new(Exit::Failed, format!("cannot write the manual pages to {folder}: {error}"))
        })?,
        None => write_out(&man_page().map_err(|error| CommandError::failed(&error))?)?,
    }
    Ok(Exit::Done)
}
