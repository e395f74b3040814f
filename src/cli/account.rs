//! The commands about accounts: signing in and out, and removing data.

use super::values;
use clap::Args;
use std::time::Duration;

/// Shortest and longest time to sign in.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// Which account a command is about.
#[derive(Debug, Clone, Default, Args)]
pub struct AccountArg {
    /// Only this account, by its Spotify id or its name [default: all]
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
}

/// Which account a command is about that can be about one only.
#[derive(Debug, Clone, Default, Args)]
pub struct OneAccountArg {
    /// Whose, by Spotify id or name; needed only if there are several
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno login                      opens the browser
  segno login --no-browser         on a server: prints the address to open

On a terminal it asks for the client ID of your application, once, and says how to get one; \
elsewhere set SEGNO_SPOTIFY_CLIENT_ID. The application needs the redirect URI \
http://127.0.0.1/callback. Signing in again renews the sign-in; another person's is added.")]
pub struct LoginArgs {
    /// Print the address instead of opening a browser, and read the redirect address from stdin
    #[arg(long)]
    pub no_browser: bool,

    /// How long to wait for you [default: the setting login.timeout]
    #[arg(long, value_name = "DURATION", value_parser = values::duration(TIMEOUT_MIN..=TIMEOUT_MAX))]
    pub timeout: Option<Duration>,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno logout
  segno logout mira                by Spotify id or name, if there are several

The library stays; \"segno purge\" removes it. To revoke the permission at Spotify as well, see \
spotify.com/account/apps.")]
pub struct LogoutArgs {
    /// Whose tokens to forget; may be left out if there is only one account
    #[arg(value_name = "ACCOUNT")]
    pub account: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno purge mira                 asks first
  segno purge mira --yes --json
  segno purge mira --with-imports  what you imported, too

Removes the tokens, the library, the plays that Spotify reported, and the parts of the catalogue that \
nothing else refers to, in one transaction. What you imported from your own data export stays, unless you \
say otherwise. A segno that is syncing the account is stopped.")]
pub struct PurgeArgs {
    /// Whose data to remove, by Spotify id or name
    #[arg(value_name = "ACCOUNT")]
    pub account: String,

    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,

    /// Remove what was imported from your own data export, too
    #[arg(long)]
    pub with_imports: bool,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}
