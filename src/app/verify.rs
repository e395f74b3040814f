//! One verifying pass to completion in the foreground.

use super::{
    CommandError, Exit, claim, client, open_store, print,
    sync::{Finished, Job},
};
use crate::{
    cli::{VerifyArgs, progress::Display, verify_report, voice::complain},
    config::Config,
    engine::run::Purpose,
};

pub async fn run(args: VerifyArgs, config: &Config, display: Display) -> Result<Exit, CommandError> {
    let client = client(config)?;
    let owner = claim::this_process("verify");
    let (store, url) = open_store(config, &owner.label).await?;
    let job = Job {
        account: args.account.account,
        store,
        client,
        owner,
        entities: if args.entities.is_empty() { config.sync.entities.clone() } else { args.entities },
        purpose: Purpose::Verify,
        longest_wait: args.max_wait,
        database: url.to_string(),
    };
    let Finished { reports, exit, advice } = job.run(config, &display).await?;
    print(&if args.json { verify_report::json(&reports) } else { verify_report::text(&reports) })?;
    advice.iter().for_each(|advice| complain(advice));
    Ok(exit)
}
