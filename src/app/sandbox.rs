//! `segno sandbox`: the stand-in server alone, until it is stopped.

use super::{CommandError, Exit, print, signals::Signals};
use crate::{
    cli::{SandboxArgs, stderr::say},
    sandbox::{Config, LibrarySpec, Limits, Sandbox},
};
use std::io;

pub async fn run(args: SandboxArgs) -> Result<Exit, CommandError> {
    let mut limits = args.rate.map_or_else(Limits::default, |rate| Limits::rate(rate, args.window));
    for (family, max) in &args.quota {
        limits = limits.with_quota(family, *max);
    }
    let library = LibrarySpec {
        tracks: args.tracks,
        albums: args.albums,
        artists: args.artists,
        playlists: args.playlists,
        shows: args.shows,
        episodes: args.episodes,
        audiobooks: args.audiobooks,
        playlist_items: args.playlist_items,
        odd_rows: !args.no_odd_rows,
    };
    let config = Config {
        listen: args.listen,
        library,
        seed: args.seed,
        dialect: args.dialect,
        limits,
        latency: args.latency,
        users: args.users,
        access_token_ttl: args.token_ttl,
        ..Config::default()
    };
    let sandbox = Sandbox::start(config).await.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => CommandError::new(Exit::Usage, error.to_string()),
        _ => CommandError::new(Exit::Failed, format!("cannot listen on {}: {error}", args.listen)),
    })?;
    // Made for `source <(...)` and for tests: settings, one per line.
    print(&format!(
        "SEGNO_SPOTIFY_API_URL={}\nSEGNO_SPOTIFY_ACCOUNTS_URL={}\nSEGNO_SPOTIFY_CLIENT_ID={}\n\
         SEGNO_SPOTIFY_REFRESH_TOKEN={}\n",
        sandbox.api_url(),
        sandbox.accounts_url(),
        sandbox.client_id(),
        sandbox.refresh_token(),
    ))?;
    say(&format!("the sandbox listens on {}; stop it with Ctrl-C", sandbox.address()));
    Signals::to_stop()?.stop().await;
    sandbox.stop().await;
    Ok(Exit::Done)
}
