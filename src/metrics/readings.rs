//! Gauges rather than counters: the state that the database reports, as read for a scrape.

use super::{OfFamily, OfPriority};
use crate::model::{AccountId, EntityType, Family, Line};
use chrono::{DateTime, Utc};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family as Series, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};
use std::{sync::atomic::AtomicU64, time::Duration};

#[derive(Debug, Clone)]
pub struct Readings {
    pub version: &'static str,
    /// `sqlite` or `postgres`.
    pub database: &'static str,
    /// When the process began.
    pub started_at: DateTime<Utc>,
    /// `None` when the database did not answer in time.
    pub seen: Option<Seen>,
}

/// The contents of the status, while the database answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    /// Requests in the rolling window, and how many it may hold.
    pub window: (u32, u32),
    /// Requests that wait for a permit, by priority; missing priorities have none.
    pub waiting: Vec<(&'static str, u32)>,
    /// Accounts that have a sign-in, in whatever state.
    pub accounts: Vec<AccountReading>,
    pub ledger: Vec<LedgerReading>,
    pub webhooks: Vec<WebhookReading>,
    /// Where the feed is published; `None` if it is not.
    pub stream: Option<StreamReading>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReading {
    /// Entries that it has yet to receive.
    pub waiting: u64,
    /// `None` while it accepts what is published.
    pub failing_since: Option<DateTime<Utc>>,
}

/// A receiver of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookReading {
    pub host: String,
    /// `None` while it accepts what it is sent.
    pub failing_since: Option<DateTime<Utc>>,
    pub next_try_at: Option<DateTime<Utc>>,
    pub waiting: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AccountReading {
    pub account: AccountId,
    /// Zero once it has ended or was refused.
    pub sign_in_left: Duration,
    /// Until the token endpoint is asked again, if it gave no token; otherwise zero.
    pub token_rest_left: Duration,
    /// When the listening history is read again.
    pub next_poll_at: Option<DateTime<Utc>>,
    pub plays: u64,
    /// When the listening history was last read.
    pub last_polled_at: Option<DateTime<Utc>>,
    pub open_play_gaps: u32,
    pub entities: Vec<EntityReading>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityReading {
    pub entity: EntityType,
    /// When a run last reached its end.
    pub last_success_at: Option<DateTime<Utc>>,
    pub is_failed: bool,
    pub is_paused_by_hand: bool,
    /// Slots of the listing that the walk under way, or the last one, has read.
    pub offset: u32,
    /// Length of the listing as last reported by the API.
    pub total: Option<u32>,
}

/// A family's last 24 hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerReading {
    pub family: Family,
    pub requests: u32,
    pub refusals: u32,
    pub ceiling: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfBuild {
    version: &'static str,
    database: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAccount {
    account: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEntry {
    account: i64,
    entity_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWebhook {
    host: String,
}

type Numbers<L> = Series<L, Gauge>;
type Reals<L> = Series<L, Gauge<f64, AtomicU64>>;

impl Readings {
    pub(super) fn register(&self, to: &mut Registry) {
        let labels = OfBuild { version: self.version, database: self.database };
        to.register("build", "Which segno this is, and on which database", Info::new(labels));
        to.register("database_up", "Whether the database answered in time", number(self.seen.is_some()));
        if let Some(seen) = &self.seen {
            seen.register_gate(to);
            seen.register_accounts(to);
            seen.register_entities(to);
            seen.register_ledger(to);
            seen.register_webhooks(to);
            seen.register_stream(to);
        }
    }

    /// Metrics that every process has.
    pub(super) fn register_process(&self, to: &mut Registry) {
        let began = Gauge::<f64, AtomicU64>::default();
        began.set(timestamp(self.started_at));
        to.register_with_unit("process_start_time", "When the process began", Unit::Seconds, began);
    }
}

impl Seen {
    fn register_gate(&self, to: &mut Registry) {
        let ((used, limit), waiting) = (self.window, Numbers::<OfPriority>::default());
        for priority in Line::all().map(Line::as_str) {
            let requests = self.waiting.iter().find(|(of, _)| *of == priority).map_or(0, |(_, requests)| *requests);
            waiting.get_or_create(&OfPriority { priority }).set(requests.into());
        }
        to.register("window_requests", "Requests in the rolling window", number(used));
        to.register("window_limit", "Requests that the rolling window may hold, as learned or set", number(limit));
        to.register("waiting_requests", "Requests that wait for a permit", waiting);
    }

    fn register_accounts(&self, to: &mut Registry) {
        let [left, rest, polled, next_poll]: [Reals<OfAccount>; 4] = Default::default();
        let [plays, gaps]: [Numbers<OfAccount>; 2] = Default::default();
        for reading in &self.accounts {
            let labels = OfAccount { account: reading.account.0 };
            left.get_or_create(&labels).set(reading.sign_in_left.as_secs_f64());
            rest.get_or_create(&labels).set(reading.token_rest_left.as_secs_f64());
            if let Some(at) = reading.next_poll_at {
                next_poll.get_or_create(&labels).set(timestamp(at));
            }
            plays.get_or_create(&labels).set(i64::try_from(reading.plays).unwrap_or(i64::MAX));
            gaps.get_or_create(&labels).set(reading.open_play_gaps.into());
            if let Some(at) = reading.last_polled_at {
                polled.get_or_create(&labels).set(timestamp(at));
            }
        }
        let help = "Until the sign-in ends; 0 when it has, or was refused";
        to.register_with_unit("sign_in_remaining", help, Unit::Seconds, left);
        let help = "Until the token endpoint is asked again after it gave no access token; 0 when all is well";
        to.register_with_unit("token_rest_remaining", help, Unit::Seconds, rest);
        let help = "When the listening history is read again";
        to.register_with_unit("next_poll_timestamp", help, Unit::Seconds, next_poll);
        let help = "When the listening history was last read";
        to.register_with_unit("last_poll_timestamp", help, Unit::Seconds, polled);
        to.register("plays", "Plays in the database", plays);
        to.register("play_gaps_open", "Stretches of time in which plays may be missing", gaps);
    }

    fn register_entities(&self, to: &mut Registry) {
        let succeeded = Reals::<OfEntry>::default();
        let [failed, by_hand, offset, total]: [Numbers<OfEntry>; 4] = Default::default();
        for (account, reading) in self.entities() {
            let labels = OfEntry { account: account.0, entity_type: reading.entity.as_str() };
            failed.get_or_create(&labels).set(reading.is_failed.into());
            by_hand.get_or_create(&labels).set(reading.is_paused_by_hand.into());
            offset.get_or_create(&labels).set(reading.offset.into());
            if let Some(at) = reading.last_success_at {
                succeeded.get_or_create(&labels).set(timestamp(at));
            }
            if let Some(known) = reading.total {
                total.get_or_create(&labels).set(known.into());
            }
        }
        let help = "When a run last reached its end";
        to.register_with_unit("last_success_timestamp", help, Unit::Seconds, succeeded);
        to.register("sync_failed", "Whether the last run failed", failed);
        to.register("paused_by_hand", "Whether a person has paused it", by_hand);
        to.register("listing_offset", "Slots of the listing read by the last walk", offset);
        to.register("listing_size", "Slots of the listing, as the API last reported", total);
    }

    fn register_ledger(&self, to: &mut Registry) {
        let [requests, refusals, ceilings]: [Numbers<OfFamily>; 3] = Default::default();
        for reading in &self.ledger {
            let labels = OfFamily { family: reading.family.as_str() };
            requests.get_or_create(&labels).set(reading.requests.into());
            refusals.get_or_create(&labels).set(reading.refusals.into());
            if let Some(ceiling) = reading.ceiling {
                ceilings.get_or_create(&labels).set(ceiling.into());
            }
        }
        to.register("ledger_requests", "Requests of the last 24 hours", requests);
        to.register("ledger_refusals", "Those of them that a limit refused", refusals);
        to.register("ledger_ceiling", "Requests allowed in any 24 hours, as set", ceilings);
    }

    /// Several at one host are counted together.
    fn register_webhooks(&self, to: &mut Registry) {
        let waiting = Numbers::<OfWebhook>::default();
        let [since, next_try]: [Reals<OfWebhook>; 2] = Default::default();
        let earliest = |of: &Reals<OfWebhook>, labels: &OfWebhook, at: Option<DateTime<Utc>>| {
            if let Some(at) = at.map(timestamp) {
                let gauge = of.get_or_create(labels);
                let before = Some(gauge.get()).filter(|before| *before > 0.0);
                gauge.set(before.map_or(at, |before| before.min(at)));
            }
        };
        for reading in &self.webhooks {
            let labels = OfWebhook { host: reading.host.clone() };
            waiting.get_or_create(&labels).inc_by(reading.waiting.into());
            earliest(&since, &labels, reading.failing_since);
            earliest(&next_try, &labels, reading.next_try_at);
        }
        to.register("webhook_entries_waiting", "Entries not yet delivered to a webhook that accepts nothing", waiting);
        let help = "Since when a webhook has accepted nothing";
        to.register_with_unit("webhook_failing_since_timestamp", help, Unit::Seconds, since);
        let help = "When a webhook that accepts nothing is tried again";
        to.register_with_unit("webhook_next_try_timestamp", help, Unit::Seconds, next_try);
    }

    fn register_stream(&self, to: &mut Registry) {
        let Some(StreamReading { waiting, failing_since }) = &self.stream else { return };
        let help = "Entries of the feed not yet published to the stream";
        to.register("stream_entries_waiting", help, number(i64::try_from(*waiting).unwrap_or(i64::MAX)));
        if let Some(at) = failing_since {
            let since = Gauge::<f64, AtomicU64>::default();
            since.set(timestamp(*at));
            let help = "Since when the stream has accepted nothing";
            to.register_with_unit("stream_failing_since_timestamp", help, Unit::Seconds, since);
        }
    }

    fn entities(&self) -> impl Iterator<Item = (AccountId, &EntityReading)> {
        self.accounts.iter().flat_map(|of| of.entities.iter().map(|reading| (of.account, reading)))
    }
}

fn number(value: impl Into<i64>) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(value.into());
    gauge
}

fn timestamp(at: DateTime<Utc>) -> f64 {
    at.timestamp_micros() as f64 / 1e6
}
