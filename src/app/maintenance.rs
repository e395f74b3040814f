//! `status` and `reset`: the database alone, no request.

use super::{CommandError, Exit, sync::print};
use crate::{
    cli::{ResetArgs, StatusArgs, report},
    clock,
    config::Config,
    model::EntityType,
    store::{DatabaseUrl, Store},
};

pub async fn status(args: StatusArgs, config: &Config) -> Result<Exit, CommandError> {
    let store = open_existing(config, "status").await?;
    let now = clock::now();
    let status = store.status(now).await?;
    let text = if args.json {
        serde_json::to_string_pretty(&status).expect("a status has string keys only") + "\n"
    } else {
        report::status_text(&status, now)
    };
    print(&text);
    Ok(Exit::Done)
}

pub async fn reset(args: ResetArgs, config: &Config) -> Result<Exit, CommandError> {
    let store = open_existing(config, "reset").await?;
    let entities = if args.all { EntityType::ALL.to_vec() } else { args.entities };
    let accounts = store.accounts().await?;
    if accounts.is_empty() {
        print("no account has been synced into this database yet: there is nothing to forget\n");
    }
    for account in &accounts {
        for entity in &entities {
            store.reset(account.id, *entity).await?;
            let whose = &account.spotify_id;
            print(&format!("{entity} of {whose}: checkpoint forgotten; the next run starts over, library rows stay\n"));
        }
    }
    Ok(Exit::Done)
}

async fn open_existing(config: &Config, command: &str) -> Result<Store, CommandError> {
    let url = DatabaseUrl::parse(config.database_url.as_str())?;
    Ok(Store::open_existing(&url, &super::process_label(command)).await?)
}
