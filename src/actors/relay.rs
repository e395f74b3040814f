//! Publishes the feed to a NATS stream, as [`crate::engine::relaying`] decides. It shares nothing with the sync but the
//! database: a server that is slow or away delays nothing.

use super::{
    driven::{Dismiss, Driven, Follower},
    driver,
};
use crate::{
    clock,
    engine::{
        relaying::{Entry, Published, Refused, Relaying, Sent, Step, StreamEnd},
        resting::Resting,
    },
    faults,
    metrics::Metrics,
    notify::nats::{Connection, Message as Outgoing, Refusal},
    store::{Feed, FeedEvent, RELAY, Store, StoreError},
};
use actix::{Actor, Context, Handler, SpawnHandle, Supervised};
use std::{rc::Rc, time::Duration};
use tracing::{debug, info, warn};
use url::Url;
use uuid::Uuid;

/// Entries that are read and published at once.
const ENTRIES_AT_ONCE: usize = 100;

/// What a relay is given for life.
#[derive(Clone)]
pub struct RelaySetup {
    /// The servers of one NATS system: any of them will do.
    pub servers: Vec<Url>,
    /// How long a stream created here keeps messages.
    pub keeps_for: Duration,
    /// This node.
    pub node: Uuid,
    /// The database that the position of the stream is noted in.
    pub store: Store,
    /// The connections that read the feed, beside the sync.
    pub readers: Store,
    pub metrics: Metrics,
}

pub struct Relay {
    setup: RelaySetup,
    machine: Relaying<FeedEvent>,
    /// Recreated after each failure.
    connection: Option<Rc<Connection>>,
    /// The one thing under way.
    task: Option<SpawnHandle>,
    /// Whether it was reported that nothing can be published.
    is_told: bool,
    /// Whether this node is the publisher, as last reported.
    is_ours: bool,
}

impl Relay {
    pub fn new(setup: RelaySetup) -> Relay {
        Relay { setup, machine: Relaying::new(), connection: None, task: None, is_told: false, is_ours: false }
    }
}

impl Driven for Relay {
    fn task(&mut self) -> &mut Option<SpawnHandle> {
        &mut self.task
    }

    fn drive(&mut self, ctx: &mut Context<Self>) {
        let RelaySetup { store, readers, node, .. } = self.setup.clone();
        match self.machine.poll() {
            Step::Take => {
                let take = async move { store.take_relay(node, clock::now()).await };
                self.step(ctx, take, |taken, relay| relay.handle_taken(taken));
            }
            Step::FindEnd => {
                let (known, setup) = (self.connection.clone(), self.setup.clone());
                let find = async move {
                    let connection = match known {
                        Some(connection) => connection,
                        None => Rc::new(Connection::open(&setup.servers).await?),
                    };
                    let end = connection.end(setup.keeps_for).await?;
                    Ok((connection, end))
                };
                self.step(ctx, find, |found: Result<_, Refusal>, relay| match found {
                    Ok((connection, end)) => {
                        relay.connection = Some(connection);
                        match end.last_id.map(parse).transpose() {
                            Ok(last) => relay.machine.handle_end(StreamEnd { last_sequence: end.last_sequence, last }),
                            Err(why) => relay.handle_failure(why),
                        }
                    }
                    Err(refusal) => relay.handle_failure(refusal.to_string()),
                });
            }
            Step::Read { after } => {
                let read = async move { readers.feed(after, None, ENTRIES_AT_ONCE).await };
                self.step(ctx, read, move |read, relay| relay.handle_read(after, read));
            }
            Step::Publish { entries, behind } => self.publish(ctx, &entries, behind),
            Step::Note { to } => {
                let note = async move { store.moved(RELAY, Some(node), to, clock::now()).await };
                self.step(ctx, note, |noted, relay| match noted {
                    Ok(is_ours) => relay.handle_noted(is_ours),
                    Err(error) => relay.handle_trouble(&error),
                });
            }
            Step::Rest(rest) => self.rest(ctx, rest),
        }
    }
}

impl Follower for Relay {
    fn position(&self) -> (Store, String, Option<Uuid>) {
        (self.setup.store.clone(), RELAY.to_owned(), Some(self.setup.node))
    }

    fn resting(&mut self) -> &mut Resting {
        &mut self.machine.resting
    }
}

impl Relay {
    fn publish(&mut self, ctx: &mut Context<Self>, entries: &[FeedEvent], behind: u64) {
        let Some(connection) = self.connection.clone() else {
            self.machine.handle_sent(Sent { num_taken: 0, last_sequence: behind, refused: Some(Refused::Moved) }, 0.0);
            return self.drive(ctx);
        };
        let message =
            |event: &FeedEvent| Outgoing { id: event.id(), account: event.account.clone(), body: event.json() };
        let messages: Vec<Outgoing> = entries.iter().map(message).collect();
        let publish = async move {
            faults::visit("relay.publish");
            let taken = connection.publish(&messages, behind).await;
            faults::visit("relay.published");
            taken
        };
        self.step(ctx, publish, |taken, relay| {
            relay.setup.metrics.handle_published(taken.num);
            let refused = taken.refusal.map(|refusal| match refusal {
                Refusal::Moved => Refused::Moved,
                Refusal::Failed(why) => {
                    relay.tell_failure(&why);
                    Refused::Failed(why)
                }
            });
            let sent = Sent { num_taken: taken.num, last_sequence: taken.last_sequence, refused };
            relay.machine.handle_sent(sent, driver::jitter());
        });
    }

    fn handle_taken(&mut self, taken: Result<Option<i64>, StoreError>) {
        match taken {
            Ok(noted) => {
                if noted.is_some() && !std::mem::replace(&mut self.is_ours, true) {
                    info!("this node publishes the feed");
                }
                self.machine.handle_taken(noted);
            }
            Err(error) => self.handle_trouble(&error),
        }
    }

    fn handle_read(&mut self, after: i64, read: Result<Feed, StoreError>) {
        match read {
            Ok(Feed::Events(events)) => {
                let entries = events.into_iter().map(|event| Entry { seq: event.seq, what: event }).collect();
                self.machine.handle_entries(entries, FeedEvent::id);
            }
            Ok(Feed::Forgotten { kept_after }) => {
                // A new stream begins with what is kept.
                if after > 0 {
                    warn!(after, kept_after, "entries that the stream lacks are no longer kept, and are skipped");
                }
                self.machine.handle_forgotten(kept_after);
            }
            Ok(Feed::Ahead { last }) => {
                warn!(after, last, "the database is older than the stream; continuing from what it knows");
                self.machine.handle_ahead(last);
            }
            Err(error) => self.handle_trouble(&error),
        }
    }

    fn handle_noted(&mut self, is_ours: bool) {
        if !is_ours {
            self.is_ours = false;
            info!("another node publishes the feed now");
        } else if std::mem::take(&mut self.is_told) {
            info!("the stream accepts the feed again");
        }
        self.machine.handle_noted(is_ours);
    }

    fn handle_failure(&mut self, why: String) {
        self.tell_failure(&why);
        self.machine.handle_failure(why, driver::jitter());
    }

    /// The connection is not used again: it may still deliver what it was given.
    fn tell_failure(&mut self, why: &str) {
        self.connection = None;
        if !std::mem::replace(&mut self.is_told, true) {
            warn!(why, "the feed cannot be published; it is kept, and tried again");
        } else {
            debug!(why, "the feed can still not be published");
        }
    }

    fn handle_trouble(&mut self, error: &StoreError) {
        debug!(%error, "the feed cannot be read, or the position of the stream not saved; trying again");
        self.machine.handle_trouble();
    }
}

/// An id, as [`FeedEvent::id`] has it.
fn parse(id: String) -> Result<Published, String> {
    match id.split_once('-').and_then(|(seq, _)| seq.parse().ok()) {
        Some(seq) => Ok(Published { seq, id }),
        None => Err(format!("somebody else publishes in the stream: the id of its last message is {id:?}")),
    }
}

impl Actor for Relay {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        faults::visit("relay.start");
        self.drive(ctx);
    }
}

impl Supervised for Relay {
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Relay::new(self.setup.clone());
    }
}

/// The next one finds in the stream what is on its way, or sends it again.
impl Handler<Dismiss> for Relay {
    type Result = ();

    fn handle(&mut self, _: Dismiss, ctx: &mut Self::Context) {
        self.connection = None;
        self.end(ctx);
    }
}
