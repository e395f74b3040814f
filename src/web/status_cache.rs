//! The status cache: one status document for all viewers.
//!
//! It is made again only when something has changed or a second has passed, at most twice a second, and only while
//! somebody is watching; each client gets the latest. So neither many clients nor slow ones cost more than one.

use super::{
    Problem,
    document::{About, Meters, Snapshot, StatusDocument, note},
};
use crate::{
    actors::{GateView, Progress},
    clock,
    store::StoreError,
};
use actix_web::web::{Bytes, Data};
use chrono::{DateTime, Utc};
use futures_util::future::LocalBoxFuture;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, watch},
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::warn;

/// The document is made at most this often.
pub const MADE_EVERY: Duration = Duration::from_millis(500);

/// How often it is made while nothing is known to have changed: other processes write, and time passes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A database that takes longer counts as unreachable, for a page.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// Reads the contents of the database, under the settings of the service.
pub type Source = Box<dyn Fn(DateTime<Utc>) -> LocalBoxFuture<'static, Result<Snapshot, StoreError>> + Send + Sync>;

/// What every client gets.
#[derive(Debug, Clone)]
pub enum Shown {
    Status(Frame),
    /// There is no document: the database does not answer.
    Problem(Problem, Frame),
}

/// A whole event of the stream, and the JSON in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub event: Bytes,
    pub json: Bytes,
}

impl Frame {
    fn new(name: &str, json: &str) -> Frame {
        let head = format!("event: {name}\ndata: ");
        let event = Bytes::from(format!("{head}{json}\n\n"));
        let json = event.slice(head.len()..head.len() + json.len());
        Frame { event, json }
    }
}

impl Shown {
    pub fn frame(&self) -> &Frame {
        match self {
            Shown::Status(frame) | Shown::Problem(_, frame) => frame,
        }
    }
}

/// The latest document, with when it was made, to compare the next one with.
struct Made {
    at: Instant,
    document: Option<StatusDocument>,
    shown: Shown,
}

pub struct StatusCache {
    source: Source,
    about: About,
    progress: watch::Receiver<Progress>,
    gate: watch::Receiver<GateView>,
    meters: Mutex<Meters>,
    /// Locked while one is made, so that it is made once for all who ask.
    made: tokio::sync::Mutex<Option<Made>>,
    latest: watch::Sender<Option<Shown>>,
    /// Something was done that the latest cannot show yet.
    is_stale: AtomicBool,
    stale: Notify,
    num_listeners: AtomicUsize,
}

impl StatusCache {
    pub fn new(
        source: Source,
        about: About,
        progress: watch::Receiver<Progress>,
        gate: watch::Receiver<GateView>,
    ) -> StatusCache {
        StatusCache {
            source,
            about,
            progress,
            gate,
            meters: Mutex::default(),
            made: tokio::sync::Mutex::default(),
            latest: watch::channel(None).0,
            is_stale: AtomicBool::new(false),
            stale: Notify::new(),
            num_listeners: AtomicUsize::new(0),
        }
    }

    pub fn about(&self) -> &About {
        &self.about
    }

    /// Something was done: requests from here on show it.
    pub fn make_stale(&self) {
        self.is_stale.store(true, Ordering::SeqCst);
        self.stale.notify_one();
    }

    /// The current document, or that of a moment ago.
    pub async fn current(&self) -> Shown {
        let mut made = self.made.lock().await;
        let is_fresh = |made: &Made| {
            !self.is_stale.load(Ordering::SeqCst) && clock::instant().duration_since(made.at) < MADE_EVERY
        };
        match &*made {
            Some(made) if is_fresh(made) => made.shown.clone(),
            Some(_) | None => self.make(&mut made).await,
        }
    }

    /// The same as a value; `None` while the database does not answer.
    pub async fn document(&self) -> Option<StatusDocument> {
        self.current().await;
        self.made.lock().await.as_ref()?.document.clone()
    }

    /// Follows the document from here on; `None` if `most` do so already.
    pub fn try_listen(status_cache: &Data<StatusCache>, most: usize) -> Option<Listener> {
        let listener = Listener { status_cache: status_cache.clone() };
        let num_before = status_cache.num_listeners.fetch_add(1, Ordering::SeqCst);
        (num_before < most).then_some(listener)
    }

    pub fn subscribe(&self) -> watch::Receiver<Option<Shown>> {
        self.latest.subscribe()
    }

    /// Keeps the document current for those who listen, for ever.
    pub async fn keep(&self) {
        let (mut progress, mut gate) = (self.progress.clone(), self.gate.clone());
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = progress.changed() => {
                    if changed.is_err() {
                        // The supervisor is gone, and with it the process.
                        return;
                    }
                    self.note();
                }
                changed = gate.changed() => if changed.is_err() { return },
                () = self.stale.notified() => {}
                _ = ticks.tick() => {}
            }
            if self.num_listeners.load(Ordering::SeqCst) > 0 {
                self.make(&mut *self.made.lock().await).await;
            }
            tokio::time::sleep(MADE_EVERY).await;
        }
    }

    /// Runs are measured whether or not somebody is watching, so that later viewers see how fast they are.
    fn note(&self) {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        note(&mut meters, &self.progress.borrow(), clock::instant());
    }

    async fn make(&self, made: &mut Option<Made>) -> Shown {
        // Before it is read: changes made meanwhile make it stale again.
        self.is_stale.store(false, Ordering::SeqCst);
        let at = clock::instant();
        let (document, shown) = match self.read(at).await {
            Ok(document) => {
                let json = serde_json::to_string(&document).expect("a status has string keys only");
                (Some(document), Shown::Status(Frame::new("status", &json)))
            }
            Err(problem) => {
                let frame = Frame::new("trouble", &problem.json());
                (None, Shown::Problem(problem, frame))
            }
        };
        let is_news = match (&document, &shown, made.as_ref()) {
            (_, _, None) => true,
            (Some(new), _, Some(before)) => before.document.as_ref().is_none_or(|old| !new.tells_the_same_as(old)),
            (None, shown, Some(before)) => before.shown.frame() != shown.frame(),
        };
        if is_news {
            if let Shown::Problem(problem, _) = &shown {
                warn!(%problem, "the status page has nothing to show");
            }
            self.latest.send_replace(Some(shown.clone()));
        }
        *made = Some(Made { at, document, shown: shown.clone() });
        shown
    }

    async fn read(&self, at: Instant) -> Result<StatusDocument, Problem> {
        let now = clock::now();
        let snapshot = timeout(READ_WITHIN, (self.source)(now)).await;
        let snapshot = snapshot.map_err(|_| Problem::unavailable("the database does not answer"))??;
        self.note();
        let meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let (progress, gate) = (self.progress.borrow(), *self.gate.borrow());
        Ok(StatusDocument::new(snapshot, &self.about, &progress, &meters, &gate, (now, at)))
    }
}

/// A follower of the document.
pub struct Listener {
    status_cache: Data<StatusCache>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.status_cache.num_listeners.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DailyCeilings, status::Status};
    use std::sync::{Arc, atomic::AtomicU32};

    /// A status cache over a database that answers or does not, and how often it was asked.
    fn status_cache(is_there: Arc<AtomicBool>) -> (Data<StatusCache>, Arc<AtomicU32>, watch::Sender<Progress>) {
        let (progress, seen) = watch::channel(Progress::default());
        let (_, gate) = watch::channel(GateView::default());
        let num_reads = Arc::new(AtomicU32::new(0));
        let asked = num_reads.clone();
        let source: Source = Box::new(move |_| {
            asked.fetch_add(1, Ordering::SeqCst);
            let is_there = is_there.load(Ordering::SeqCst);
            Box::pin(async move {
                let snapshot = Snapshot { status: Status::default(), ledger: Vec::new(), entities: Vec::new() };
                is_there.then_some(snapshot).ok_or(StoreError::NotADatabase("segno.db".into()))
            })
        });
        let about = About {
            node_id: uuid::Uuid::nil(),
            started_at: DateTime::UNIX_EPOCH,
            database: "sqlite",
            ceilings: DailyCeilings::default(),
            window_seconds: 30,
            time_zone: None,
        };
        (Data::new(StatusCache::new(source, about, seen, gate)), num_reads, progress)
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_costs_one_look_at_the_database_and_what_was_done_is_seen_at_once() {
        let (status_cache, num_reads, _progress) = status_cache(Arc::new(AtomicBool::new(true)));
        for _ in 0..50 {
            assert!(matches!(status_cache.current().await, Shown::Status(_)));
        }
        assert_eq!(num_reads.load(Ordering::SeqCst), 1);
        status_cache.make_stale();
        status_cache.current().await;
        assert_eq!(num_reads.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_database_that_is_away_is_told_once_and_so_is_its_return() {
        let is_there = Arc::new(AtomicBool::new(false));
        let (status_cache, _, _progress) = status_cache(is_there.clone());
        let mut latest = status_cache.subscribe();
        let mut look = async |status_cache: &StatusCache| {
            status_cache.make_stale();
            let shown = status_cache.current().await;
            let is_news = latest.has_changed().unwrap();
            latest.mark_unchanged();
            (matches!(shown, Shown::Status(_)), is_news)
        };
        assert_eq!(look(&status_cache).await, (false, true));
        assert_eq!(look(&status_cache).await, (false, false));
        is_there.store(true, Ordering::SeqCst);
        assert_eq!(look(&status_cache).await, (true, true));
        assert_eq!(look(&status_cache).await, (true, false));
    }

    #[test]
    fn there_is_room_for_so_many_listeners_and_again_when_one_has_gone() {
        let (status_cache, _, _progress) = status_cache(Arc::new(AtomicBool::new(true)));
        let first = StatusCache::try_listen(&status_cache, 2).unwrap();
        let _second = StatusCache::try_listen(&status_cache, 2).unwrap();
        assert!(StatusCache::try_listen(&status_cache, 2).is_none());
        drop(first);
        assert!(StatusCache::try_listen(&status_cache, 2).is_some());
    }
}
