//! `listening`: what was heard, from the database alone.

use super::{CommandError, Exit, accounts, database::open_existing, print, print_json};
use crate::{
    cli::listening::{self as shown, ListeningArgs, Question},
    clock,
    config::Config,
    model::zone::Zone,
    store::browse::Span,
};
use chrono::{DateTime, TimeDelta};

pub async fn run(args: ListeningArgs, config: &Config) -> Result<Exit, CommandError> {
    let store = open_existing(config, "listening").await?;
    let account = accounts::only(&store, args.account.account.as_deref(), "listening").await?;
    // Sums left over by a dead process or an older version.
    store.sum_up_heard(account.id).await?;
    let now = clock::now();
    // Clocks differ, and what was heard a moment ago counts.
    let until = now + TimeDelta::days(1);
    let span = Span { since: args.since.map_or(DateTime::UNIX_EPOCH, |since| since.moment(now)), until };
    let whose = &account.spotify_id;
    let (json, text) = match args.by.question() {
        Question::What(what) => {
            let entries = store.heard_most(account.id, what, span, args.limit).await?;
            (shown::json(whose, &entries), shown::what_text(&entries))
        }
        Question::When(stretch) => {
            let zone = args.zone.or(config.time_zone).unwrap_or_else(here);
            let stretches = stretch.sum_up(&store.heard_when(account.id, stretch, span, zone).await?);
            (shown::json(whose, &stretches), shown::when_text(&stretches))
        }
    };
    if args.json {
        print_json(&json)?
    } else {
        print(&text)?
    }
    Ok(Exit::Done)
}

/// The zone of this machine, or UTC if it is unknown.
fn here() -> Zone {
    iana_time_zone::get_timezone().ok().and_then(|name| Zone::of_name(&name)).unwrap_or(Zone::UTC)
}
