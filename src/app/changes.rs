//! `changes`: what was added and removed, from the database alone.

use super::{CommandError, Exit, accounts, database::open_existing, print, print_json};
use crate::{
    cli::{ChangesArgs, changes_report, numbers::counted, stderr::say},
    clock,
    config::Config,
    model::{AccountId, EntityType},
    store::Account,
};
use std::collections::BTreeMap;

/// Lines are written in chunks of about this many bytes: writing one at a time would take longer than reading them.
const RUN_LEN: usize = 32 * 1024;

pub async fn run(args: ChangesArgs, config: &Config) -> Result<Exit, CommandError> {
    let store = open_existing(config, "changes").await?;
    let since = args.since.moment(clock::now());
    let sign_ins = store.sign_ins().await?;
    let sign_ins = match &args.account.account {
        Some(wanted) => vec![accounts::find(&sign_ins, wanted)?.clone()],
        None => sign_ins,
    };
    let named = |account: &Account| (account.id, account.spotify_id.clone());
    let names: BTreeMap<AccountId, String> = sign_ins.iter().map(|sign_in| named(&sign_in.account)).collect();
    let entities = if args.entities.is_empty() { EntityType::ALL.to_vec() } else { args.entities };
    let ids: Vec<AccountId> = names.keys().copied().collect();
    let write = if args.json { print_json } else { print };
    let mut changes = store.changes(&ids, &entities, since);
    let (mut lines, mut num_shown) = (String::new(), 0);
    let has_more = loop {
        let Some(change) = changes.next().await? else { break false };
        if num_shown == args.limit {
            break true;
        }
        num_shown += 1;
        let account = &names[&change.account];
        let is_one_of_several = names.len() > 1;
        lines += &if args.json {
            changes_report::json_line(change, account)
        } else {
            changes_report::text_line(&change, is_one_of_several.then_some(account.as_str()))
        };
        if lines.len() >= RUN_LEN {
            write(&std::mem::take(&mut lines))?;
        }
    };
    if num_shown == 0 && !args.json {
        lines = format!("nothing was added or removed since {}\n", changes_report::moment(since));
    }
    write(&lines)?;
    if has_more {
        say(&format!("there is more: --limit shows more than the newest {}", counted(num_shown.into(), "change")));
    }
    Ok(Exit::Done)
}
