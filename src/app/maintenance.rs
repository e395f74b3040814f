//! `status` and `reset`: the database alone, no request.

use super::{CommandError, Exit, accounts, claim::this_process, database_url, print};
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
    let mut status = super::status::status(&store, config, now).await?;
    if let Some(wanted) = &args.account.account {
        let sign_ins = store.sign_ins().await?;
        let account = &accounts::find(&sign_ins, wanted)?.account;
        status.accounts.retain(|shown| shown.spotify_id == account.spotify_id);
    }
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
    let sign_ins = store.sign_ins().await?;
    let sign_ins = match &args.account.account {
        Some(wanted) => vec![accounts::find(&sign_ins, wanted)?.clone()],
        None => sign_ins,
    };
    if sign_ins.is_empty() {
        print("no account has been synced into this database yet: there is nothing to forget\n")?;
    }
    for account in sign_ins.iter().map(|sign_in| &sign_in.account) {
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
pub(super) async fn open_existing(config: &Config, command: &str) -> Result<Store, CommandError> {
    let opened = Store::open_existing(&database_url(config)?, &this_process(command).label).await;
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
