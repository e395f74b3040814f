//! The supervisor and the followers of the feed: a service has a notifier for each webhook, and a relay if the feed is
//! published. They run independently of everything else.

use super::Supervisor;
#[cfg(feature = "nats")]
use crate::actors::relay::{Relay, RelaySetup};
use crate::{
    actors::{
        driven::Dismiss,
        lifecycle::{Child, start_guarded},
        notifier::{Notifier, NotifierSetup},
    },
    engine::restart::Ruling,
};
use actix::{Addr, AsyncContext, Context, Handler, Message};
use std::time::Duration;
use tracing::error;

/// Wait before a new notifier is started in place of one that kept panicking.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(3600);

/// The notifiers of a service, by their place among the webhooks.
#[derive(Default)]
pub(super) struct Notifiers(Vec<(NotifierSetup, Option<Addr<Notifier>>)>);

/// Starts notifying these webhooks.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Notify(pub Vec<NotifierSetup>);

impl Handler<Notify> for Supervisor {
    type Result = ();

    fn handle(&mut self, Notify(setups): Notify, ctx: &mut Self::Context) {
        self.stop_notifiers();
        self.notifiers.0 = setups.into_iter().map(|setup| (setup, None)).collect();
        (0..self.notifiers.0.len()).for_each(|number| self.start_notifier(number, ctx));
    }
}

impl Supervisor {
    fn start_notifier(&mut self, number: usize, ctx: &mut Context<Self>) {
        let Some((setup, notifier)) = self.notifiers.0.get_mut(number) else { return };
        let setup = setup.clone();
        let parent = ctx.address().recipient();
        *notifier = Some(start_guarded(Child::Notifier(number), self.policy, parent, |_| Notifier::new(setup)));
    }

    pub(super) fn stop_notifiers(&mut self) {
        for (_, notifier) in self.notifiers.0.drain(..) {
            if let Some(notifier) = notifier {
                notifier.do_send(Dismiss);
            }
        }
    }

    /// A notifier in a new life needs no help. One that is given up is tried again, rarely.
    pub(super) fn handle_notifier_exited(&mut self, number: usize, ruling: Ruling, why: &str, ctx: &mut Context<Self>) {
        match ruling {
            Ruling::RestartIn(_) => {}
            Ruling::Park | Ruling::Rest => {
                error!(why, "a webhook is no longer notified; it is tried again later");
                if let Some((_, notifier)) = self.notifiers.0.get_mut(number) {
                    *notifier = None;
                }
                ctx.run_later(TRY_AGAIN_AFTER, move |supervisor, ctx| supervisor.start_notifier(number, ctx));
            }
        }
    }
}

/// The actor that publishes the feed.
#[derive(Default)]
pub(super) struct Publisher {
    #[cfg(feature = "nats")]
    relay: Option<(RelaySetup, Option<Addr<Relay>>)>,
}

/// Starts publishing the feed.
#[cfg(feature = "nats")]
#[derive(Message)]
#[rtype(result = "()")]
pub struct Publish(pub RelaySetup);

#[cfg(feature = "nats")]
impl Handler<Publish> for Supervisor {
    type Result = ();

    fn handle(&mut self, Publish(setup): Publish, ctx: &mut Self::Context) {
        self.stop_relay();
        self.publisher.relay = Some((setup, None));
        self.start_relay(ctx);
    }
}

#[cfg(feature = "nats")]
impl Supervisor {
    fn start_relay(&mut self, ctx: &mut Context<Self>) {
        let Some((setup, relay)) = &mut self.publisher.relay else { return };
        let (setup, parent) = (setup.clone(), ctx.address().recipient());
        *relay = Some(start_guarded(Child::Relay, self.policy, parent, |_| Relay::new(setup)));
    }

    pub(super) fn stop_relay(&mut self) {
        if let Some((_, Some(relay))) = self.publisher.relay.take() {
            relay.do_send(Dismiss);
        }
    }

    /// A relay in a new life needs no help. One that is given up is tried again, rarely.
    pub(super) fn handle_relay_exited(&mut self, ruling: Ruling, why: &str, ctx: &mut Context<Self>) {
        match ruling {
            Ruling::RestartIn(_) => {}
            Ruling::Park | Ruling::Rest => {
                error!(why, "the feed is not published any more; it is tried again later");
                ctx.run_later(TRY_AGAIN_AFTER, |supervisor, ctx| supervisor.start_relay(ctx));
            }
        }
    }
}

#[cfg(not(feature = "nats"))]
impl Supervisor {
    pub(super) fn stop_relay(&mut self) {
        let Publisher {} = self.publisher;
    }

    pub(super) fn handle_relay_exited(&mut self, _: Ruling, why: &str, _: &mut Context<Self>) {
        error!(why, "there is no relay in this build");
    }
}
