//! Sends the feed to one webhook, as [`crate::engine::notifying`] decides: it reads entries, sends them, and notes how
//! far the receiver has come. It shares nothing with the sync but the database: a receiver that is slow or away delays
//! nothing.

use super::{
    driven::{Dismiss, Driven, Follower},
    driver,
};
use crate::{
    clock,
    engine::{
        notifying::{Entry, Notifying, Step},
        resting::Resting,
    },
    faults,
    model::EventKind,
    notify::{NotTaken, Webhook, is_news},
    store::{Feed, FeedEvent, Store, StoreError},
};
use actix::{Actor, Context, Handler, SpawnHandle, Supervised};
use std::{cell::Cell, time::Duration};
use tracing::{debug, info, warn};
use uuid::Uuid;

/// Entries that are read at once.
const ENTRIES_AT_ONCE: usize = 20;

/// Interval between tries to find out where the receiver stands.
const RETRY_DATABASE_AFTER: Duration = Duration::from_secs(10);

/// What a notifier is given for life.
#[derive(Debug, Clone)]
pub struct NotifierSetup {
    pub webhook: Webhook,
    /// The events that it is sent.
    pub kinds: Vec<EventKind>,
    /// The database that positions are noted in.
    pub store: Store,
    /// The connections that read the feed, beside the sync.
    pub readers: Store,
}

pub struct Notifier {
    setup: NotifierSetup,
    machine: Notifying<FeedEvent>,
    /// The one thing under way.
    task: Option<SpawnHandle>,
    /// Whether it was reported that the receiver accepts nothing.
    is_told: bool,
}

impl Notifier {
    pub fn new(setup: NotifierSetup) -> Notifier {
        Notifier { setup, machine: Notifying::new(), task: None, is_told: false }
    }
}

impl Driven for Notifier {
    fn task(&mut self) -> &mut Option<SpawnHandle> {
        &mut self.task
    }

    fn drive(&mut self, ctx: &mut Context<Self>) {
        let NotifierSetup { webhook, store, readers, .. } = self.setup.clone();
        let name = webhook.name();
        match self.machine.poll() {
            Step::Begin => self.begin(ctx),
            Step::Read { after } => {
                let read = async move { readers.feed(after, None, ENTRIES_AT_ONCE).await };
                self.step(ctx, read, |read, notifier| notifier.handle_read(read));
            }
            Step::Send(event) => {
                let send = async move {
                    faults::visit("notifier.send");
                    let sent = webhook.send(&event.id(), &event.json(), clock::now()).await;
                    faults::visit("notifier.sent");
                    sent
                };
                self.step(ctx, send, |sent, notifier| notifier.handle_sent(sent));
            }
            Step::Note { to } => {
                let note = async move { store.moved(&name, None, to, clock::now()).await.map(drop) };
                self.step(ctx, note, |noted, notifier| match noted {
                    Ok(()) => notifier.machine.handle_noted(),
                    Err(error) => notifier.handle_trouble(&error),
                });
            }
            Step::Rest(rest) => self.rest(ctx, rest),
        }
    }
}

impl Follower for Notifier {
    fn position(&self) -> (Store, String, Option<Uuid>) {
        (self.setup.store.clone(), self.setup.webhook.name(), None)
    }

    fn resting(&mut self) -> &mut Resting {
        &mut self.machine.resting
    }
}

impl Notifier {
    /// Takes its place from the database.
    fn begin(&mut self, ctx: &mut Context<Self>) {
        faults::visit("notifier.start");
        let (store, name) = (self.setup.store.clone(), self.setup.webhook.name());
        let find = async move {
            let is_told = Cell::new(false);
            let told = |error: &StoreError| {
                if !is_told.replace(true) {
                    warn!(%error, "the position of a webhook cannot be read; trying again");
                }
            };
            driver::insist(RETRY_DATABASE_AFTER, async || store.follow(&name).await, told).await
        };
        self.step(ctx, find, |place, notifier| {
            notifier.is_told = place.failing_since.is_some();
            notifier.machine.handle_place(place.seq, place.num_failures);
        });
    }

    fn handle_read(&mut self, read: Result<Feed, StoreError>) {
        match read {
            Ok(Feed::Events(events)) => {
                let entries = events.into_iter().map(|event| Entry {
                    seq: event.seq,
                    is_wanted: self.wants(&event),
                    what: event,
                });
                let entries = entries.collect();
                self.machine.handle_entries(entries);
            }
            Ok(Feed::Forgotten { kept_after }) => {
                warn!(
                    webhook = %self.setup.webhook, kept_after,
                    "entries that it has not accepted are no longer kept, and are skipped"
                );
                self.machine.handle_forgotten(kept_after);
            }
            Ok(Feed::Ahead { last }) => {
                warn!(
                    webhook = %self.setup.webhook, last,
                    "the database is older than what it has accepted; continuing from its end"
                );
                self.machine.handle_forgotten(last);
            }
            Err(error) => self.handle_trouble(&error),
        }
    }

    fn wants(&self, event: &FeedEvent) -> bool {
        let is_wanted = self.setup.kinds.iter().any(|kind| kind.as_str() == event.kind);
        is_wanted && serde_json::from_str(&event.json()).is_ok_and(|entry| is_news(&entry))
    }

    fn handle_sent(&mut self, sent: Result<(), NotTaken>) {
        match sent {
            Ok(()) => {
                if std::mem::take(&mut self.is_told) {
                    info!(webhook = %self.setup.webhook, "the webhook accepts entries of the feed again");
                }
                self.machine.handle_taken();
            }
            Err(NotTaken { why, retry_after }) => {
                let wait = self.machine.handle_not_taken(why.clone(), retry_after, driver::jitter());
                if !std::mem::replace(&mut self.is_told, true) {
                    warn!(
                        why,
                        wait_seconds = wait.as_secs(),
                        "a webhook does not accept entries of the feed; they are kept, and sent again later"
                    );
                } else {
                    debug!(why, wait_seconds = wait.as_secs(), "a webhook still accepts nothing");
                }
            }
        }
    }

    fn handle_trouble(&mut self, error: &StoreError) {
        debug!(%error, "the feed cannot be read or noted; trying again");
        self.machine.handle_trouble();
    }
}

impl Actor for Notifier {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.drive(ctx);
    }
}

impl Supervised for Notifier {
    fn restarting(&mut self, _: &mut Self::Context) {
        (self.machine, self.task, self.is_told) = (Notifying::new(), None, false);
    }
}

/// The next one sends again what is on its way.
impl Handler<Dismiss> for Notifier {
    type Result = ();

    fn handle(&mut self, _: Dismiss, ctx: &mut Self::Context) {
        self.end(ctx);
    }
}
