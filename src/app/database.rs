//! Opens the database that the settings name.

use super::{CommandError, Exit, claim::this_process};
use crate::{
    actors::driver,
    clock,
    config::Config,
    model::with_causes,
    store::{DatabaseUrl, Store, StoreError},
};
use std::{fs::DirBuilder, io, path::Path, time::Duration};
use tracing::warn;

/// How long another program may keep a database locked that is being opened: a backup or a vacuum takes seconds.
const LOCKED_MAX: Duration = Duration::from_secs(60);

/// Between tries to open it. Each waits for the lock itself, for five seconds.
const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// The database of the settings; the default one is created if absent.
pub(super) async fn open_store(config: &Config, label: &str) -> Result<(Store, DatabaseUrl), CommandError> {
    if let Some(folder) = config.database_url.folder_to_create() {
        create_folder(folder).map_err(|error| {
            let folder = folder.display();
            CommandError::new(Exit::Usage, format!("cannot create the folder {folder} for the database: {error}"))
        })?;
    }
    let url = database_url(config)?;
    let store = unlocked(async || Store::open(&url, label).await).await?;
    Ok((store, url))
}

/// Opens a database as soon as no other program has it locked, or reports the lock after a minute.
async fn unlocked(opening: impl AsyncFn() -> Result<Store, StoreError>) -> Result<Store, StoreError> {
    let (began_at, mut is_told) = (clock::instant(), false);
    loop {
        let error = match opening().await {
            Err(error @ StoreError::Locked(_)) => error,
            opened => return opened,
        };
        if clock::instant().saturating_duration_since(began_at) >= LOCKED_MAX {
            return Err(error);
        }
        if !std::mem::replace(&mut is_told, true) {
            warn!("another program has locked the database; trying again for {} s", LOCKED_MAX.as_secs());
        }
        driver::wait(OPEN_AGAIN_AFTER).await;
    }
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
    let (url, label) = (database_url(config)?, this_process(command).label);
    let opened = unlocked(async || Store::open_existing(&url, &label).await).await;
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
                CommandError::new(
                    Exit::Failed,
                    format!(
                        "there is no database at {file} yet; run \"segno sync\" first (and \"segno login\" before it, to sign in)"
                    ),
                )
            }
        },
        error => error.into(),
    }
}
