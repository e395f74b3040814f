//! `GET /api/v1/feed`: what happened, in the order in which it was committed, after a position: as JSON lines up to
//! now, or as a stream of server-sent events that continues.
//!
//! Only one page is held for each reader: a slow reader makes the database be read slowly.

use super::{
    Problem, WebState,
    auth::Session,
    params::Params,
    problem::ProblemDocument,
    problem::ReadProblems,
    status_cache::{Listener, StatusCache},
};
use crate::{
    clock,
    model::AccountId,
    store::{Feed, FeedEvent},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap},
    },
    web::{Bytes, Data, ServiceConfig, get, resource},
};
use futures_util::stream::{Stream, unfold};
use std::{fmt::Write, io, time::Duration};
use tokio::time::{Instant, sleep};

/// Entries that are read at once.
const PAGE_LEN: usize = 100;

/// How soon a stream has new commits.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A comment, so that nothing on the way takes the connection for dead.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(15);

/// After this long a client reconnects, and has to show that it still may.
const STREAM_ENDS_AFTER: Duration = Duration::from_secs(3600);

/// The position for readers that want only new events.
const END: &str = "end";

const JSON_LINES: &str = "application/jsonl";
const EVENTS: &str = "text/event-stream";

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/feed").route(get().to(feed)));
}

/// What happened, in order, after a position: up to now, or as it happens if `text/event-stream` is accepted.
#[utoipa::path(
    get, path = "/api/v1/feed", tag = "history",
    params(
        ("after" = Option<String>, Query, description = "the `seq` of the last entry that is known, or `end`; without it the oldest that is kept comes first. \
         A stream goes on behind `Last-Event-ID` where that is sent"),
        ("account" = Option<i64>, Query, description = "only of this account"),
    ),
    responses(
        (status = 200, description = "an entry a line", body = String, content_type = "application/jsonl"),
        (status = 409, description = "there is no such position yet: it is another database's", body = ProblemDocument<'static>, content_type = "application/problem+json"),
        (status = 410, description = "entries behind this position are no longer kept", body = ProblemDocument<'static>, content_type = "application/problem+json"),
        ReadProblems,
    )
)]
pub async fn feed(state: Data<WebState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = Params::read(&request, &["after", "account"])?;
    let is_stream = accepts_events(request.headers());
    let account = match params.account()? {
        Some(account) => Some(state.account(Some(account)).await?),
        None => None,
    };
    let last_seen = request.headers().get("last-event-id").and_then(|id| id.to_str().ok()).filter(|_| is_stream);
    let after = match last_seen.or(params.get("after")) {
        Some(END) => state.store.feed_end().await?,
        Some(word) => params.position(word)?,
        None => match state.store.feed(0, account, 1).await? {
            Feed::Forgotten { kept_after } => kept_after,
            Feed::Events(_) | Feed::Ahead { .. } => 0,
        },
    };
    let first = page(&state, after, account).await??;
    let mut response = HttpResponse::Ok();
    response.insert_header((CACHE_CONTROL, "no-store"));
    // For nginx, which would otherwise buffer it.
    response.insert_header(("x-accel-buffering", "no"));
    if !is_stream {
        let reader = Reader { state, account, after, page: Some(first) };
        return Ok(response.insert_header((CONTENT_TYPE, JSON_LINES)).streaming(lines(reader)));
    }
    let listeners_max = state.bounds.listeners;
    let Some(listener) = StatusCache::try_listen(&state.status_cache, listeners_max) else {
        return Err(Problem::unavailable(format!("{listeners_max} others listen already; close some windows")));
    };
    let session = state.keeper.session(request.headers(), clock::instant());
    let now = Instant::now();
    let reader = Reader { state, account, after, page: Some(first) };
    let follower = Follower {
        reader,
        session,
        ends_at: now + STREAM_ENDS_AFTER,
        said_at: now,
        is_over: false,
        _listener: listener,
    };
    Ok(response.insert_header((CONTENT_TYPE, EVENTS)).streaming(events(follower)))
}

fn accepts_events(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains(EVENTS))
}

/// The next entries, or why there are none.
async fn page(
    state: &WebState,
    after: i64,
    account: Option<AccountId>,
) -> Result<Result<Vec<FeedEvent>, Problem>, Problem> {
    Ok(match state.store.feed(after, account, PAGE_LEN).await? {
        Feed::Events(events) => Ok(events),
        Feed::Forgotten { kept_after } => Err(Problem::new(
            StatusCode::GONE,
            format!(
                "what happened behind {after} is no longer kept (database.keep_feed); read the whole library again, and go on \
                 after {kept_after}"
            ),
        )),
        Feed::Ahead { last } => Err(Problem::new(
            StatusCode::CONFLICT,
            format!(
                "there is no {after} yet, the last is {last}: the position is another database's, or this one is an \
                 older copy; read the whole library again, and go on after {last}"
            ),
        )),
    })
}

/// How far a reading has come.
struct Reader {
    state: Data<WebState>,
    account: Option<AccountId>,
    after: i64,
    /// Read and not handed out yet.
    page: Option<Vec<FeedEvent>>,
}

impl Reader {
    async fn next(&mut self) -> Result<Vec<FeedEvent>, Problem> {
        let page = match self.page.take() {
            Some(page) => page,
            None => page(&self.state, self.after, self.account).await??,
        };
        self.after = page.last().map_or(self.after, |event| event.seq);
        Ok(page)
    }
}

/// Up to the end. A failure midway is visible to the client: the body does not end as it should.
fn lines(reader: Reader) -> impl Stream<Item = Result<Bytes, io::Error>> {
    unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next().await {
            Ok(page) if page.is_empty() => None,
            Ok(page) => {
                let lines = page.iter().fold(String::new(), |mut lines, event| {
                    let _ = writeln!(lines, "{}", event.json());
                    lines
                });
                Some((Ok(Bytes::from(lines)), Some(reader)))
            }
            Err(problem) => Some((Err(io::Error::other(problem.to_string())), None)),
        }
    })
}

/// A reader that stays connected.
struct Follower {
    reader: Reader,
    /// The session that it was opened with, if any.
    session: Option<Session>,
    ends_at: Instant,
    said_at: Instant,
    is_over: bool,
    _listener: Listener,
}

fn events(follower: Follower) -> impl Stream<Item = Result<Bytes, io::Error>> {
    unfold(follower, |mut follower| async move {
        let said = follower.next().await?;
        follower.said_at = Instant::now();
        Some((Ok(Bytes::from(said)), follower))
    })
}

impl Follower {
    async fn next(&mut self) -> Option<String> {
        while !self.is_over {
            match self.reader.next().await {
                Ok(page) if page.is_empty() => {}
                Ok(page) => {
                    return Some(page.iter().fold(String::new(), |mut said, event| {
                        let _ = write!(said, "id: {}\nevent: {}\ndata: {}\n\n", event.seq, event.kind, event.json());
                        said
                    }));
                }
                // It reconnects after a while and gets the reason.
                Err(problem) => {
                    self.is_over = true;
                    return Some(format!("event: problem\ndata: {}\n\n", problem.json()));
                }
            }
            if self.said_at.elapsed() >= SIGN_OF_LIFE_EVERY {
                return Some(": still here\n\n".to_owned());
            }
            let mut closing = self.reader.state.closing.clone();
            tokio::select! {
                biased;
                _ = closing.wait_for(|is_closing| *is_closing) => return None,
                () = self.reader.state.keeper.session_over(self.session) => return None,
                () = sleep(LOOK_EVERY) => {}
            }
            if Instant::now() >= self.ends_at {
                return None;
            }
        }
        None
    }
}
