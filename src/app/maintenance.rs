//! `status`, `reset` and `backup`: from the database alone, without requests.

use super::{
    CommandError, Exit, accounts,
    database::{database_url, not_there, open_existing},
    print, print_json,
    signals::Signals,
};
use crate::{
    cli::{BackupArgs, ResetArgs, StatusArgs, numbers::counted, report},
    clock,
    config::Config,
    model::{EntityType, status::Status},
    store::back_up,
};
use serde::Serialize;
use std::path::Path;

/// The JSON form, with the origin of the settings, which belongs to the command and not to the service.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    status: &'a Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings_file: Option<&'a Path>,
}

pub async fn status(args: StatusArgs, config: &Config) -> Result<Exit, CommandError> {
    let store = open_existing(config, "status").await?;
    let now = clock::now();
    let mut status = super::status::status(&store, config, now).await?;
    if let Some(wanted) = &args.account.account {
        let sign_ins = store.sign_ins().await?;
        let account = &accounts::find(&sign_ins, wanted)?.account;
        status.accounts.retain(|shown| shown.spotify_id == account.spotify_id);
    }
    let settings = config.file_shown();
    if args.json {
        let shown = Shown { status: &status, settings_file: settings.as_deref() };
        print_json(&(serde_json::to_string_pretty(&shown).expect("a status has string keys only") + "\n"))?;
    } else {
        print(&report::status_text(&status, now))?;
        if let Some(file) = settings {
            print(&format!("settings from {}\n", file.display()))?;
        }
    }
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

pub async fn backup(args: BackupArgs, config: &Config) -> Result<Exit, CommandError> {
    if args.path == Path::new("-") {
        return Err(CommandError::new(Exit::Usage, "a backup is a file; name one"));
    }
    let url = database_url(config)?;
    let what = url.to_string();
    let mut signals = Signals::to_stop()?;
    let copied = tokio::select! {
        copied = back_up(url, args.path.clone()) => copied,
        () = signals.stop() => {
            return Err(CommandError::new(Exit::Interrupted, "stopped; nothing was left half-written"));
        }
    };
    let len = copied.map_err(|error| not_there(error, config))?;
    print(&format!("{what} is copied to {}: {}, checked\n", args.path.display(), counted(len, "byte")))?;
    Ok(Exit::Done)
}
