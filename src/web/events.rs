//! `GET /api/v1/events`: the status document as a stream of server-sent events, at once and then whenever it changes.
//!
//! A client that reads slowly is given the latest document when it has read the previous one, and those in between are
//! skipped: for each client there is at most one event on its way. A client that reads nothing loses its place
//! (`server`), and one that has signed out, in any window, or whose session is over, receives no more.

use super::{
    Problem, WebState,
    auth::Session,
    problem::ReadProblems,
    status_cache::{Listener, MADE_EVERY, Shown, StatusCache},
};
use crate::clock;
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    web::{Bytes, Data, ServiceConfig, get, resource},
};
use futures_util::stream::{Stream, unfold};
use std::{convert::Infallible, future::pending, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

/// Enough for every window of a household; each costs a connection and a task.
pub const LISTENERS_MAX: usize = 256;

/// A comment, so that nothing on the way takes the connection for dead.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(15);

/// After this long a client reconnects, and has to show that it still may.
const STREAM_ENDS_AFTER: Duration = Duration::from_secs(3600);

/// Tells the browser to reconnect this soon, in milliseconds.
const HEAD: &[u8] = b"retry: 2000\n\n";

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/events").route(get().to(events)));
}

/// The status as it changes: at once, and then whenever it does, at most twice a second.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "status",
    responses(
        (status = 200, description = "events named `status`, each with the status document", body = String, content_type = "text/event-stream"),
        ReadProblems,
    )
)]
pub async fn events(state: Data<WebState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let listeners_max = state.bounds.listeners;
    let Some(listener) = StatusCache::try_listen(&state.status_cache, listeners_max) else {
        return Err(Problem::unavailable(format!("{listeners_max} others listen already; close some windows")));
    };
    // Subscribed before the first is made: a change in between is sent twice rather than not at all.
    let updates = state.status_cache.subscribe();
    let first = state.status_cache.current().await;
    let session = state.keeper.session(request.headers(), clock::instant());
    let stream = stream(first, updates, session, state, listener);
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "no-store"))
        // For nginx, which would otherwise buffer it.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(stream))
}

/// The stream of one client.
struct Follower {
    /// Sent before anything is waited for.
    first: Option<Bytes>,
    updates: watch::Receiver<Option<Shown>>,
    closing: watch::Receiver<bool>,
    /// The session that it was opened with, if any.
    session: Option<Session>,
    state: Data<WebState>,
    sent_at: Instant,
    ends_at: Instant,
    _listener: Listener,
}

fn stream(
    first: Shown,
    updates: watch::Receiver<Option<Shown>>,
    session: Option<Session>,
    state: Data<WebState>,
    listener: Listener,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let now = Instant::now();
    let first = Bytes::from([HEAD, &first.frame().event].concat());
    let ends_at = now + STREAM_ENDS_AFTER;
    let closing = state.closing.clone();
    let follower =
        Follower { first: Some(first), updates, closing, session, state, sent_at: now, ends_at, _listener: listener };
    unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        follower.sent_at = Instant::now();
        Some((Ok(event), follower))
    })
}

impl Follower {
    /// The next thing to send; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let (updates, closing) = (&mut self.updates, &mut self.closing);
        let update = async {
            sleep_until(self.sent_at + MADE_EVERY).await;
            if updates.changed().await.is_err() {
                // Nothing more will come; `closing` signals the end.
                pending::<()>().await;
            }
            let shown = updates.borrow_and_update();
            shown.as_ref().map(|shown| shown.frame().event.clone())
        };
        tokio::select! {
            biased;
            _ = closing.wait_for(|is_closing| *is_closing) => None,
            () = sleep_until(self.ends_at) => None,
            () = self.state.keeper.session_over(self.session) => None,
            event = update => event,
            () = sleep(SIGN_OF_LIFE_EVERY) => Some(Bytes::from_static(b": still here\n\n")),
        }
    }
}
