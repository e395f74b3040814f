//! One verifying pass to completion in the foreground.

use super::{
    CommandError, Exit, print, print_json,
    sync::{Finished, Job},
};
use crate::{
    cli::{VerifyArgs, progress::Display, stderr::complain, verify_report},
    config::Config,
    engine::run::Purpose,
};

pub async fn run(args: VerifyArgs, config: &Config, display: Display) -> Result<Exit, CommandError> {
    let VerifyArgs { entities, max_wait, account, json } = args;
    let job = Job::open("verify", Purpose::Verify, entities, account.account, max_wait, config).await?;
    let Finished { reports, exit, advice } = job.run(config, &display).await?;
    if json {
        print_json(&verify_report::json(&reports))?
    } else {
        print(&verify_report::text(&reports))?
    }
    advice.iter().for_each(|advice| complain(advice));
    Ok(exit)
}
