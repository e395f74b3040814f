//! Opens the database that the settings name.

use super::{CommandError, Exit, claim::this_process};
use crate::{
    config::Config,
    model::with_causes,
    store::{DatabaseUrl, Store, StoreError},
};
use std::{fs::DirBuilder, io, path::Path};
use tracing::warn;

/// The database of the settings; the default one is created if absent.
pub(super) async fn open_store(config: &Config, label: &str) -> Result<(Store, DatabaseUrl), CommandError> {
    if let Some(folder) = config.database_url.folder_to_create() {
        create_folder(folder).map_err(|error| {
            let folder = folder.display();
            CommandError::new(Exit::Usage, format!("cannot create the folder {folder} for the database: {error}"))
        })?;
    }
    let url = database_url(config)?;
    let store = Store::open(&url, label).await?;
    Ok((store, url))
}

/// Creates a folder and its missing parents for this person alone: it will hold tokens.
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

pub(super) fn database_url(config: &Config) -> Result<DatabaseUrl, CommandError> {
    let text = &config.database_url;
    let url = DatabaseUrl::parse(text.as_str()).map_err(|error| {
        CommandError::new(Exit::Usage, format!("{}: {:?}: {}", text.origin(), text.to_string(), with_causes(&error)))
    })?;
    if let Some(remark) = url.remark() {
        warn!("{}: {remark}", text.origin());
    }
    Ok(url)
}

/// Opens an existing database: a new one would have nothing to show, or to forget.
pub(super) async fn open_existing(config: &Config, command: &str) -> Result<Store, CommandError> {
    let opened = Store::open_existing(&database_url(config)?, &this_process(command).label).await;
    opened.map_err(|error| not_there(error, config))
}

pub(super) fn not_there(error: StoreError, config: &Config) -> CommandError {
    match error {
        StoreError::NotFound(file) => match file.parent().filter(|folder| !folder.is_dir()) {
            Some(folder) if config.database_url.folder_to_create().is_none() => {
                StoreError::NoFolder(folder.to_owned()).into()
            }
            _ => {
                let file = file.display();
                CommandError::new(Exit::Failed, format!("there is no database at {file} yet; run \"segno sync\" first"))
            }
        },
        error => error.into(),
    }
}
