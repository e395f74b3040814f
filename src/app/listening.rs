//! `listening`: what was heard, from the database alone.

use super::{CommandError, Exit, accounts, maintenance::open_existing, print, print_json};
use crate::{
    cli::listening::{self as shown, ListeningArgs, Question},
    clock,
    config::Config,
    model::stretches::by_stretch,
    store::browse::Span,
};
use chrono::{DateTime, Local, TimeDelta};

pub async fn run(args: ListeningArgs, config: &Config) -> Result<Exit, CommandError> {
    let store = open_existing(config, "listening").await?;
    let account = accounts::only(&store, args.account.account.as_deref(), "listening").await?;
    let now = clock::now();
    // Clocks differ, and what was heard a moment ago belongs to it.
    let until = now + TimeDelta::days(1);
    let span = Span { since: args.since.map_or(DateTime::UNIX_EPOCH, |since| since.moment(now)), until };
    let whose = &account.spotify_id;
    let (json, text) = match args.by.question() {
        Question::What(what) => {
            let entries = store.heard_most(account.id, what, span, args.limit).await?;
            (shown::json(whose, &entries), shown::what_text(&entries))
        }
        Question::When(stretch) => {
            let moments = store.heard_when(account.id, span).await?;
            let moments = moments.into_iter().map(|moment| (moment.at, moment.plays, moment.ms));
            let stretches = by_stretch(moments, stretch, &Local);
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
