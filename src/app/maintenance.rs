//! `status` and `reset`: the database alone, no request.

use super::{CommandError, Exit, database_url, print};
use crate::{
    cli::{ResetArgs, StatusArgs, report},
    clock,
    config::Config,
    model::EntityType,
    store::{Store, StoreError},
};

pub async fn status(args: StatusArgs, config: &Config) -> Result<Exit, CommandError> {
    let store = open_existing(config, "status").await?;
    let now = clock::now();
    let status = super::status::status(&store, config, now).await?;
    let text = if args.json {
        serde_json::to_string_pretty(&status).expect("a status has string keys only") + "\n"
    } else {
        report::status_text(&status, now)
    };
    print(&text)?;
    Ok(Exit::Done)
}

pub async fn reset(args: ResetArgs, config: &Config) -> Result<Exit, CommandError> {
    let store = open_existing(config, "reset").await?;
    let entities = if args.all { EntityType::ALL.to_vec() } else { args.entities };
    let accounts = store.accounts().await?;
    if accounts.is_empty() {
        print("no account has been synced into this database yet: there is nothing to forget\n")?;
    }
    for account in &accounts {
        for entity in &entities {
            store.reset(account.id, *entity).await?;
            let whose = &account.spotify_id;
            print(&format!(
                "{entity} of {whose}: checkpoint forgotten; the next run starts over, library rows stay\n"
            ))?;
        }
    }
    Ok(Exit::Done)
}

/// There is nothing to see, or to forget, in a database that is yet to be made.
async fn open_existing(config: &Config, command: &str) -> Result<Store, CommandError> {
    let opened = Store::open_existing(&database_url(config)?, &super::process_label(command)).await;
    opened.map_err(|error| match error {
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
    })
}
