//! `segno demo --page`: the demo as a service, with its page open, until Ctrl-C. The made-up library changes, and the
//! limit is hit about once a minute.

use super::config_for;
use crate::{
    app::{self, CommandError, Exit, browser, read_from::ReadFrom},
    cli::stderr::say,
    sandbox::Sandbox,
};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};
use tokio::net::TcpStream;

/// The usual port of a service's page, if it is free.
const PORT: u16 = 8370;

/// How often to check whether the page is up.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Short enough that an onlooker sees something happen.
const PACE: [(&str, &str); 4] = [
    ("SEGNO_SYNC_INTERVAL", "1m"),
    ("SEGNO_SYNC_ARTISTS_EVERY", "1m"),
    ("SEGNO_PLAYBACK_INTERVAL", "1m"),
    ("SEGNO_PLAYBACK_MIN_INTERVAL", "1m"),
];

pub(super) async fn run(sandbox: &Sandbox, rate: u32, file: &Path) -> Result<Exit, CommandError> {
    let Some(file) = file.to_str() else {
        return Err(CommandError::new(Exit::Usage, format!("{} is not UTF-8; use --database PATH", file.display())));
    };
    let address = free_address()
        .map_err(|error| CommandError::new(Exit::Failed, format!("there is no free port on 127.0.0.1: {error}")))?;
    let (url, listen) = (format!("sqlite:{file}"), address.to_string());
    let settings = [&PACE[..], &[("SEGNO_DATABASE_URL", url.as_str()), ("SEGNO_WEB_LISTEN", listen.as_str())]].concat();
    let config = config_for(sandbox, rate, &settings)?;
    say(&format!("a made-up library from a stand-in server on {}, kept current in {file}", sandbox.address()));
    say(&format!("the page is at http://{address}; Ctrl-C ends it"));
    let _life = sandbox.enliven();
    let opening = tokio::spawn(open_when_served(address));
    let ended = app::run::run(config, ReadFrom::Nowhere).await;
    opening.abort();
    ended
}

/// The usual address, or any free one.
fn free_address() -> std::io::Result<SocketAddr> {
    let at = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| listener.local_addr());
    at(PORT).or_else(|_| at(0))
}

async fn open_when_served(address: SocketAddr) {
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    browser::open(format!("http://{address}"));
}
