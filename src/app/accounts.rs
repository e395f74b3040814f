//! `logout` and `purge`, and how an account is named on the command line.

use super::{CommandError, Exit, database::open_existing, print, print_json};
use crate::{
    cli::{LogoutArgs, PurgeArgs, account_report, numbers::counted, stderr::say},
    config::Config,
    store::{Account, Imported, SignIn, Store},
};
use std::io::{self, IsTerminal, Write};

/// The account that a person means: by its id, or by its name if only one has it.
pub(super) fn find<'a>(sign_ins: &'a [SignIn], wanted: &str) -> Result<&'a SignIn, CommandError> {
    let by_id = |sign_in: &&SignIn| {
        let Account { spotify_id, spotify_account_id, .. } = &sign_in.account;
        spotify_id == wanted || spotify_account_id.as_deref() == Some(wanted)
    };
    let by_name = |sign_in: &&SignIn| sign_in.account.display_name.as_deref() == Some(wanted);
    let mut found: Vec<&SignIn> = sign_ins.iter().filter(by_id).collect();
    if found.is_empty() {
        found = sign_ins.iter().filter(by_name).collect();
    }
    match found[..] {
        [one] => Ok(one),
        [] if sign_ins.is_empty() => {
            Err(CommandError::new(Exit::Usage, format!("{wanted:?} is not an account here: there is none yet")))
        }
        [] => Err(CommandError::new(
            Exit::Usage,
            format!("{wanted:?} is not an account here; expected one of {}", names(sign_ins)),
        )),
        _ => {
            let ids: Vec<&str> = found.iter().map(|sign_in| sign_in.account.spotify_id.as_str()).collect();
            Err(CommandError::new(
                Exit::Usage,
                format!("{wanted:?} is the name of {} accounts; name one by its id: {}", ids.len(), ids.join(", ")),
            ))
        }
    }
}

/// The named account, or the only one.
pub(super) async fn only(store: &Store, wanted: Option<&str>, command: &str) -> Result<Account, CommandError> {
    let sign_ins = store.sign_ins().await?;
    match (wanted, &sign_ins[..]) {
        (Some(wanted), _) => Ok(find(&sign_ins, wanted)?.account.clone()),
        (None, [only]) => Ok(only.account.clone()),
        (None, []) => Err(CommandError::new(
            Exit::LoginNeeded,
            format!("{command}: there is no account in this database yet; run \"segno login\" first"),
        )),
        (None, _) => {
            let known = names(&sign_ins);
            let message = format!("{command}: name an account with --account: one of {known}");
            Err(CommandError::new(Exit::Usage, message))
        }
    }
}

/// All of them, for messages.
pub(super) fn names(sign_ins: &[SignIn]) -> String {
    sign_ins.iter().map(|sign_in| name(&sign_in.account)).collect::<Vec<_>>().join(", ")
}

/// `mira (Mira Ek)`.
pub(super) fn name(account: &Account) -> String {
    account_report::account_name(&account.spotify_id, account.display_name.as_deref())
}

pub(super) async fn logout(args: LogoutArgs, config: &Config) -> Result<Exit, CommandError> {
    let store = open_existing(config, "logout").await?;
    let sign_ins = store.sign_ins().await?;
    let sign_in = match (&args.account, &sign_ins[..]) {
        (Some(wanted), _) => find(&sign_ins, wanted)?,
        (None, [only]) => only,
        (None, []) => {
            print("nobody is signed in\n")?;
            return Ok(Exit::Done);
        }
        (None, _) => {
            let known = names(&sign_ins);
            return Err(CommandError::new(Exit::Usage, format!("logout: name an account: one of {known}")));
        }
    };
    let who = name(&sign_in.account);
    if store.forget_tokens(sign_in.account.id).await? {
        print(&format!("{who} is signed out: the tokens are deleted, the library stays\n"))?;
        warn_of_imported_token(config);
    } else {
        print(&format!("{who} was not signed in\n"))?;
    }
    Ok(Exit::Done)
}

/// A removed account signs in again at once if the environment still holds a token.
fn warn_of_imported_token(config: &Config) {
    if config.spotify.refresh_token.is_some() {
        say("SEGNO_SPOTIFY_REFRESH_TOKEN is set: the next sync signs in with it again");
    }
}

pub(super) async fn purge(args: PurgeArgs, config: &Config) -> Result<Exit, CommandError> {
    let store = open_existing(config, "purge").await?;
    let sign_ins = store.sign_ins().await?;
    let account = &find(&sign_ins, &args.account)?.account;
    if !args.yes && !agreed(account)? {
        return Err(CommandError::new(Exit::Failed, "nothing was removed"));
    }
    let num_streams = store.num_streams(account.id).await?;
    let removes_imports = args.with_imports || (!args.yes && num_streams > 0 && agreed_to_lose(num_streams)?);
    let imported = if removes_imports { Imported::Removed } else { Imported::Kept };
    let purged = store.purge(account.id, imported).await?;
    if args.json {
        print_json(&account_report::purged_json(&account.spotify_id, &purged))?;
    } else {
        print(&account_report::purged_text(&name(account), &purged))?;
    }
    warn_of_imported_token(config);
    Ok(Exit::Done)
}

/// Asks on the terminal. Without one, nobody can have agreed.
fn agreed(account: &Account) -> Result<bool, CommandError> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(CommandError::new(
            Exit::Usage,
            "purge: there is no terminal to ask on; repeat it with --yes if you mean it",
        ));
    }
    let who = name(account);
    asked(&format!("Remove everything that came from Spotify for {who}? It cannot be undone. Type \"yes\": "))
}

/// Imported data did not come from the API, and the person may have no other copy.
fn agreed_to_lose(num_streams: u64) -> Result<bool, CommandError> {
    let streams = counted(num_streams, "stream");
    asked(&format!(
        "Remove the {streams} that you imported from your data export, too? Type \"yes\", or Enter to keep them: "
    ))
}

fn asked(question: &str) -> Result<bool, CommandError> {
    let failed = |error: io::Error| CommandError::failed(&error);
    let mut stderr = io::stderr();
    write!(stderr, "{question}").map_err(failed)?;
    stderr.flush().map_err(failed)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(failed)?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}
