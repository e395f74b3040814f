//! The service's own metrics, for Prometheus; `docs/metrics.md` lists every name.
//!
//! The actors count as they go, through clones of one [`Metrics`], and whoever serves `/metrics` reads it from any
//! thread. Every label is from a closed vocabulary or the number of an account, and every series of a closed vocabulary
//! exists from the start at zero, so that the first of anything shows in a rate. Values from the database are not kept
//! here: they are passed in as [`Readings`] with each scrape.
//!
//! Time is an argument: this module reads no clock.

mod pauses;
mod readings;

pub use readings::{AccountReading, EntityReading, LedgerReading, Readings, Seen, StreamReading, WebhookReading};

use crate::model::{Commit, EntityType, Family, ItemCounts, Line, Pause, RequestStatus, Rows};
use pauses::{KINDS, PauseClock};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::{Family as Series, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};
use std::{
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds, in seconds. A wait is a moment, a window or a pause.
const WAITS: [f64; 10] = [0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
const REQUESTS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0];
const BATCHES: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const COMMITS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// The entity type under which the items of playlists are counted; a run of `playlists` reads them.
const PLAYLIST_ITEMS: &str = "playlist_items";

/// Every actor that can panic and come back.
pub fn actors() -> impl Iterator<Item = &'static str> {
    let syncers = EntityType::ALL.iter().map(|entity| entity.facts().actor);
    ["checkpoint_writer", "gate", "notifier", "playback_tracker", "relay"].into_iter().chain(syncers)
}

/// The counters of one process. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    registry: Registry,
    requests: Series<OfRequest, Counter>,
    request_seconds: Series<OfFamily, Histogram, Buckets>,
    permit_wait_seconds: Series<OfPriority, Histogram, Buckets>,
    permits_refused: Series<OfPriority, Counter>,
    items: Series<OfItems, Counter>,
    batch_seconds: Series<OfEntity, Histogram, Buckets>,
    commit_seconds: Histogram,
    actor_restarts: Series<OfActor, Counter>,
    actors_given_up: Series<OfActor, Counter>,
    plays: Counter,
    published: Counter,
    interval_seconds: Gauge<f64, AtomicU64>,
    pauses: Mutex<PauseClock>,
}

/// Makes histograms with these upper bounds.
#[derive(Debug, Clone, Copy)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    family: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFamily {
    family: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPriority {
    priority: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfItems {
    entity_type: &'static str,
    change: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEntity {
    entity_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfActor {
    actor: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPause {
    family: &'static str,
    class: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let counted = Counted {
            registry: Registry::with_prefix("segno"),
            requests: Series::default(),
            request_seconds: Series::new_with_constructor(Buckets(&REQUESTS)),
            permit_wait_seconds: Series::new_with_constructor(Buckets(&WAITS)),
            permits_refused: Series::default(),
            items: Series::default(),
            batch_seconds: Series::new_with_constructor(Buckets(&BATCHES)),
            commit_seconds: Histogram::new(COMMITS),
            actor_restarts: Series::default(),
            actors_given_up: Series::default(),
            plays: Counter::default(),
            published: Counter::default(),
            interval_seconds: Gauge::default(),
            pauses: Mutex::default(),
        };
        Metrics(Arc::new(counted.registered().begun()))
    }
}

impl Counted {
    fn registered(mut self) -> Counted {
        let to = &mut self.registry;
        to.register("requests", "Requests to the Web API, by how they ended", self.requests.clone());
        let help = "From sending a request to the end of its answer";
        to.register_with_unit("request_duration", help, Unit::Seconds, self.request_seconds.clone());
        let help = "From asking for a permit to getting it; the count is of permits granted";
        to.register_with_unit("permit_wait", help, Unit::Seconds, self.permit_wait_seconds.clone());
        let help = "Permits refused, since a pause outlasts what the asker waits for";
        to.register("permits_refused", help, self.permits_refused.clone());
        to.register("items", "Items committed, by what became of them", self.items.clone());
        let help = "From one batch's commit to the next, its requests and their waits included";
        to.register_with_unit("batch_duration", help, Unit::Seconds, self.batch_seconds.clone());
        let help = "The transaction of a batch and its checkpoint";
        to.register_with_unit("commit_duration", help, Unit::Seconds, self.commit_seconds.clone());
        to.register("actor_restarts", "Actors that panicked and were started again", self.actor_restarts.clone());
        to.register("actors_given_up", "Actors that kept panicking and were parked", self.actors_given_up.clone());
        to.register("plays_recorded", "Plays that were new to the database", self.plays.clone());
        to.register("stream_published", "Entries of the feed that a stream has accepted", self.published.clone());
        let help = "Between the runs of an entity type, as it is set";
        to.register_with_unit("sync_interval", help, Unit::Seconds, self.interval_seconds.clone());
        self
    }

    /// Starts every series at zero.
    fn begun(self) -> Counted {
        for family in Family::ALL.iter().map(|family| family.as_str()) {
            begin(&self.request_seconds, OfFamily { family });
            for status in RequestStatus::ALL.map(RequestStatus::as_str) {
                begin(&self.requests, OfRequest { family, status });
            }
        }
        for priority in Line::all().map(Line::as_str) {
            begin(&self.permit_wait_seconds, OfPriority { priority });
            begin(&self.permits_refused, OfPriority { priority });
        }
        for entity_type in EntityType::ALL.iter().map(|entity| entity.as_str()).chain([PLAYLIST_ITEMS]) {
            begin(&self.batch_seconds, OfEntity { entity_type });
            for (change, _) in changes(&ItemCounts::default()) {
                begin(&self.items, OfItems { entity_type, change });
            }
        }
        for actor in actors() {
            begin(&self.actor_restarts, OfActor { actor });
            begin(&self.actors_given_up, OfActor { actor });
        }
        self
    }
}

impl Metrics {
    /// A request has ended, `took` after it was sent.
    pub fn handle_answered(&self, family: Family, status: RequestStatus, took: Duration) {
        let (family, status) = (family.as_str(), status.as_str());
        self.0.requests.get_or_create(&OfRequest { family, status }).inc();
        self.0.request_seconds.get_or_create(&OfFamily { family }).observe(took.as_secs_f64());
    }

    pub fn handle_granted(&self, family: Family, waited: Duration) {
        self.0.permit_wait_seconds.get_or_create(&of_priority(family)).observe(waited.as_secs_f64());
    }

    /// Nothing was granted: a pause outlasts what the asker waits for.
    pub fn handle_refused(&self, family: Family) {
        self.0.permits_refused.get_or_create(&of_priority(family)).inc();
    }

    /// A pause is in force, for at least `left` from `now`. Call as often as it is seen. Returns whether it is new.
    pub fn handle_pause(&self, pause: Pause, left: Duration, now: Instant) -> bool {
        self.pauses().handle_pause(pause.scope, pause.class, left, now)
    }

    /// A batch is in the database; its transaction took `took`.
    pub fn handle_committed(&self, commit: &Commit, counts: &ItemCounts, took: Duration) {
        let entity_type = match &commit.rows {
            Rows::Listing(_) => commit.entity.as_str(),
            Rows::PlaylistItems(_) => PLAYLIST_ITEMS,
        };
        for (change, count) in changes(counts) {
            self.0.items.get_or_create(&OfItems { entity_type, change }).inc_by(count.into());
        }
        // A checkpoint that only marks the beginning or end of a run is no batch.
        if !commit.rows.is_empty() || commit.num_requests > 0 {
            self.0.batch_seconds.get_or_create(&OfEntity { entity_type }).observe(commit.duration.as_secs_f64());
            self.0.commit_seconds.observe(took.as_secs_f64());
        }
    }

    pub fn handle_plays(&self, num_new: u32) {
        self.0.plays.inc_by(num_new.into());
    }

    /// A stream has accepted this many entries of the feed.
    pub fn handle_published(&self, num: usize) {
        self.0.published.inc_by(num as u64);
    }

    /// An actor, one of [`actors`], panicked and is started again.
    pub fn handle_restarted(&self, actor: &'static str) {
        self.0.actor_restarts.get_or_create(&OfActor { actor }).inc();
    }

    /// It panicked once too often.
    pub fn handle_given_up(&self, actor: &'static str) {
        self.0.actors_given_up.get_or_create(&OfActor { actor }).inc();
    }

    pub fn set_interval(&self, interval: Duration) {
        self.0.interval_seconds.set(interval.as_secs_f64());
    }

    /// Everything, in the OpenMetrics text format, which Prometheus reads. `now` is the steady clock.
    pub fn encode(&self, readings: &Readings, now: Instant) -> String {
        let mut text = String::with_capacity(64 << 10);
        let (mut momentary, mut process) = (Registry::with_prefix("segno"), Registry::default());
        self.register_pauses(&mut momentary, now);
        readings.register(&mut momentary);
        readings.register_process(&mut process);
        let registries = [&self.0.registry, &momentary, &process];
        let written = registries.into_iter().try_for_each(|registry| text::encode_registry(&mut text, registry));
        written.and_then(|()| text::encode_eof(&mut text)).expect("a string takes all that is written to it");
        text
    }

    fn register_pauses(&self, to: &mut Registry, now: Instant) {
        let pauses = self.pauses();
        let seconds = Series::<OfPause, Counter<f64, AtomicU64>>::default();
        let paused = Series::<OfPause, Gauge>::default();
        for (family, class) in KINDS.iter().copied() {
            let labels = OfPause { family: family.as_str(), class: class.as_str() };
            let seen = pauses.seen(family, class, now);
            seconds.get_or_create(&labels).inc_by(seen.lasted.as_secs_f64());
            paused.get_or_create(&labels).set(i64::from(seen.is_in_force));
        }
        let help = "How long pauses have lasted, by what they stop and why";
        to.register_with_unit("pause", help, Unit::Seconds, seconds);
        to.register("paused", "Whether a pause is in force", paused);
    }

    /// Nothing that is done under the lock can panic halfway.
    fn pauses(&self) -> MutexGuard<'_, PauseClock> {
        self.0.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

fn of_priority(family: Family) -> OfPriority {
    OfPriority { priority: family.line().as_str() }
}

fn begin<S: Clone + Hash + Eq, M, C: MetricConstructor<M>>(series: &Series<S, M, C>, labels: S) {
    drop(series.get_or_create(&labels));
}

fn changes(counts: &ItemCounts) -> [(&'static str, u32); 5] {
    let ItemCounts { processed: _, new, updated, unchanged, odd, removed } = *counts;
    [("new", new), ("updated", updated), ("unchanged", unchanged), ("odd", odd), ("removed", removed)]
}
