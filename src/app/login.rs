//! `segno login`: a person signs in, with a browser here or anywhere.
//!
//! The browser is sent to Spotify's consent page and comes back to a listener on this machine, or the person pastes the
//! address it was sent back to. Either way only the answer to this very sign-in counts; anything else gets a message,
//! and the wait continues. The sign-in ends with the answer, a timeout, or the person.

use super::{
    CommandError, Exit, browser,
    claim::this_process,
    client,
    database::open_store,
    gatekeeper::Gatekeeper,
    loopback::{Arrival, Farewell, Loopback, redirect_uri},
    paste::{self, Pasted},
    print, print_json, sign_in,
    signals::Signals,
};
use crate::{
    actors::fetch::Fetcher,
    cli::{LoginArgs, account_report::LoginReport, numbers::span, stderr::say},
    clock,
    config::Config,
    model::{scopes, sign_in::ends_at},
    spotify::{Answer, Authorization, Client, KeepInMemory, NotTheAnswer, StoredTokens, Tokens},
    store::{Account, Store},
};
use secrecy::SecretString;
use std::{future::pending, pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

/// How a person is to sign in.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    pub has_browser: bool,
    /// `None` takes a free port.
    pub port: Option<u16>,
    pub timeout: Duration,
}

/// A sign-in that was just made.
#[derive(Debug)]
pub(super) struct LoggedIn {
    pub account: Account,
    /// As granted, separated by spaces; `None` if Spotify granted everything without listing it.
    pub scopes: Option<String>,
}

pub(super) async fn run(args: LoginArgs, config: &Config) -> Result<Exit, CommandError> {
    let client = client(config)?;
    let owner = this_process("login");
    let (store, _) = open_store(config, &owner.label).await?;
    let how = How {
        has_browser: !args.no_browser,
        port: config.login.port,
        timeout: args.timeout.unwrap_or(config.login.timeout),
    };
    let gate = Gatekeeper::start(&store, &client, config, owner).await?;
    let logged_in = log_in(&store, &client, how, |tokens| gate.fetcher(tokens)).await;
    gate.close().await;
    let LoggedIn { account, scopes } = logged_in?;
    let report = LoginReport { account: &account, scopes: scopes.as_deref(), ends_at: ends_at(account.authorized_at) };
    if args.json {
        print_json(&report.json())?
    } else {
        print(&report.text())?
    }
    Ok(Exit::Done)
}

/// Signs a person in. `fetcher` sends requests with given tokens, through the gate.
pub(super) async fn log_in(
    store: &Store,
    client: &Client,
    how: How,
    fetcher: impl FnOnce(Tokens) -> Fetcher,
) -> Result<LoggedIn, CommandError> {
    let mut loopback = listen(how)?;
    let port = loopback.as_ref().map(|loopback| loopback.port).or(how.port);
    // Without a listener any port will do: the address is only copied.
    let authorization = client.begin_authorization(redirect_uri(port.unwrap_or(80)));
    invite(&authorization, loopback.as_ref().filter(|_| how.has_browser));
    let mut pasted = (!how.has_browser).then(paste::lines);
    let arrivals = loopback.as_mut().map(|loopback| &mut loopback.arrivals);
    let mut signals = Signals::to_stop()?;
    let mut stop = pin!(signals.stop());
    let answered = tokio::select! {
        answered = wait_for_answer(&authorization, arrivals, pasted.as_mut()) => answered,
        () = sleep(how.timeout) => Err(time_is_up(how)),
        () = &mut stop => Err(stopped()),
    };
    let ended = match answered {
        Ok(Answered { answer, reply }) => {
            let ended = tokio::select! {
                ended = finish(store, client, authorization, answer, fetcher) => ended,
                () = &mut stop => Err(stopped()),
            };
            if let Some(reply) = reply {
                // A browser that has gone away needs no page.
                let _ = reply.send(farewell(&ended));
            }
            ended
        }
        Err(error) => Err(error),
    };
    if let Some(loopback) = loopback {
        loopback.stop().await;
    }
    ended.map_err(|ended| ended.error)
}

/// Why the sign-in failed, and what the browser shows.
struct Unfinished {
    error: CommandError,
    is_denied: bool,
}

impl From<CommandError> for Unfinished {
    fn from(error: CommandError) -> Unfinished {
        Unfinished { error, is_denied: false }
    }
}

/// The answer to this sign-in, and the reply channel for the page.
struct Answered {
    answer: Answer,
    reply: Option<oneshot::Sender<Farewell>>,
}

/// A requested port must be free, unless the answer can be pasted.
fn listen(how: How) -> Result<Option<Loopback>, CommandError> {
    match Loopback::listen(how.port.unwrap_or(0)) {
        Ok(loopback) => Ok(Some(loopback)),
        Err(_) if !how.has_browser => Ok(None),
        Err(error) => {
            let place = how.port.map_or_else(|| "127.0.0.1".to_owned(), |port| format!("127.0.0.1:{port}"));
            Err(CommandError::new(
                Exit::Failed,
                format!(
                    "cannot listen on {place} for the browser: {error}; set another login.port, or use --no-browser"
                ),
            ))
        }
    }
}

/// Shows the consent page to the person, in a browser on this machine if it can come back here.
fn invite(authorization: &Authorization, loopback: Option<&Loopback>) {
    let url = authorization.url.as_str();
    if let Some(loopback) = loopback {
        say("sign in with Spotify in the browser that opens; if none does, go to this address:");
        say(url);
        browser::open(loopback.begin_at(authorization.url.clone()));
    } else {
        say("to sign in with Spotify, go to this address in any browser:");
        say(url);
        say("then copy the address that the browser ends up at, though the page may not load, and paste it here \
             (it begins with http://127.0.0.1):");
    }
}

/// Waits for the answer to this sign-in, by either way.
async fn wait_for_answer(
    authorization: &Authorization,
    mut arrivals: Option<&mut mpsc::Receiver<Arrival>>,
    mut pasted: Option<&mut mpsc::Receiver<Pasted>>,
) -> Result<Answered, Unfinished> {
    loop {
        let arrival = async {
            match arrivals.as_deref_mut() {
                Some(arrivals) => arrivals.recv().await,
                None => pending().await,
            }
        };
        let line = async {
            match pasted.as_deref_mut() {
                Some(pasted) => pasted.recv().await.unwrap_or(Pasted::End),
                None => pending().await,
            }
        };
        tokio::select! {
            arrival = arrival => match arrival {
                Some(Arrival { query, reply }) => match authorization.read(&query) {
                    Ok(answer) => return Ok(Answered { answer, reply: Some(reply) }),
                    Err(NotTheAnswer::Empty | NotTheAnswer::OfAnother) => {
                        let _ = reply.send(Farewell::NotTheAnswer);
                    }
                },
                // The listener is gone. The answer may still be pasted.
                None => arrivals = None,
            },
            line = line => if let Some(answer) = read_line(authorization, line)? {
                return Ok(Answered { answer, reply: None });
            },
        }
    }
}

/// `None` for a line that is not the answer; the person gets a message.
fn read_line(authorization: &Authorization, line: Pasted) -> Result<Option<Answer>, Unfinished> {
    let line = match line {
        Pasted::Line(line) => line,
        Pasted::End => {
            let message = "stdin ended before the redirect address came; nobody was signed in";
            return Err(CommandError::new(Exit::LoginNeeded, message).into());
        }
    };
    if line.trim().is_empty() {
        return Ok(None);
    }
    let read = paste::query(&line).ok_or(NotTheAnswer::Empty).and_then(|query| authorization.read(&query));
    match read {
        Ok(answer) => return Ok(Some(answer)),
        Err(NotTheAnswer::Empty) => {
            say("this is not the address that the browser ends up at: it begins with http://127.0.0.1 and holds \
             \"code=\"; try again:")
        }
        Err(NotTheAnswer::OfAnother) => {
            say("this is the answer to another sign-in: go to the address above and paste the one you then end up at:")
        }
    }
    Ok(None)
}

/// From the answer to the stored sign-in.
async fn finish(
    store: &Store,
    client: &Client,
    authorization: Authorization,
    answer: Answer,
    fetcher: impl FnOnce(Tokens) -> Fetcher,
) -> Result<LoggedIn, Unfinished> {
    let code = accepted(answer)?;
    let granted = client.finish_authorization(authorization, &code, clock::now()).await.map_err(CommandError::from)?;
    let tokens = Tokens::new(granted, Arc::new(KeepInMemory), clock::now);
    let profile = sign_in::ask_who(fetcher(tokens.clone())).await?;
    let granted: StoredTokens = tokens.snapshot().await;
    let scopes = granted.scopes.clone();
    let client_id = client.client_id().to_owned();
    let account_id = sign_in::record(store, &profile, client_id, granted, None).await.map_err(CommandError::from)?;
    let account = store.accounts().await.map_err(CommandError::from)?.into_iter().find(|known| known.id == account_id);
    let gone = || CommandError::new(Exit::Failed, "the account was removed while it was being signed in");
    Ok(LoggedIn { account: account.ok_or_else(gone)?, scopes })
}

fn accepted(answer: Answer) -> Result<SecretString, Unfinished> {
    match answer {
        Answer::Code(code) => Ok(code),
        Answer::Denied => {
            let message =
                "access was not granted, so nobody was signed in; run \"segno login\" again to change your mind";
            Err(Unfinished { error: CommandError::new(Exit::LoginNeeded, message), is_denied: true })
        }
        Answer::Failed(word) => {
            let word = word.map_or_else(|| "an error".to_owned(), |word| format!("\"{word}\""));
            Err(CommandError::new(
                Exit::LoginNeeded,
                format!(
                    "Spotify answered the sign-in with {word}; check at developer.spotify.com/dashboard that the \
                     application has the redirect URI http://127.0.0.1/callback and that its owner has Premium, then \
                     run \"segno login\" again"
                ),
            )
            .into())
        }
    }
}

/// The page at the end.
fn farewell(ended: &Result<LoggedIn, Unfinished>) -> Farewell {
    match ended {
        Ok(LoggedIn { account, scopes }) => Farewell::SignedIn {
            name: account.display_name.clone().unwrap_or_else(|| account.spotify_id.clone()),
            is_whole: scopes::missing(scopes.as_deref()).is_empty(),
        },
        Err(Unfinished { is_denied: true, .. }) => Farewell::Denied,
        Err(Unfinished { error, .. }) => Farewell::Failed { why: error.to_string() },
    }
}

fn time_is_up(how: How) -> Unfinished {
    let waited = span(how.timeout);
    let message = format!("nobody signed in within {waited}; run \"segno login\" again (--timeout gives more time)");
    CommandError::new(Exit::LoginNeeded, message).into()
}

fn stopped() -> Unfinished {
    CommandError::new(Exit::Interrupted, "stopped; nobody was signed in").into()
}
