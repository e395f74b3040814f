//! The guard around every child actor.
//!
//! `actix::Supervisor` restarts an actor whose context finished, not one that panicked: a panic unwinds through the
//! context, closes the mailbox, and no one is told. This guard polls the context itself, catches the panic, asks
//! [`crate::engine::restart`] what follows, tells the supervisor, and restarts the context in place after the pause. So
//! the address and queued messages outlive the panic; only the message that killed the actor is lost, and the caller
//! that waits for its answer gets an error.

#[cfg(panic = "abort")]
compile_error!("supervision catches panics: build with panic = \"unwind\"");

use super::{driver, now};
use crate::{
    engine::restart::{Deaths, Exit, RestartPolicy, Ruling},
    model::{AccountId, SyncKey},
};
use actix::{Actor, Addr, Context, Message, Recipient, Supervised, dev::ContextFut};
use std::{
    any::Any,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{self, Poll, ready},
};
use tracing::{error, info};

/// Names a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Child {
    Gate,
    CheckpointWriter,
    Syncer(SyncKey),
    PlaybackTracker(AccountId),
    /// By its place among the webhooks.
    Notifier(usize),
    /// The actor that publishes the feed.
    Relay,
}

impl Child {
    /// The name used by [`crate::metrics::actors`].
    pub fn as_str(self) -> &'static str {
        match self {
            Child::Gate => "gate",
            Child::CheckpointWriter => "checkpoint_writer",
            Child::PlaybackTracker(_) => "playback_tracker",
            Child::Notifier(_) => "notifier",
            Child::Relay => "relay",
            Child::Syncer(SyncKey { entity, .. }) => entity.facts().actor,
        }
    }
}

impl fmt::Display for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Child::Gate => f.write_str("gate"),
            Child::Relay => f.write_str("relay"),
            Child::CheckpointWriter => f.write_str("checkpoint writer"),
            Child::Syncer(key) => write!(f, "syncer of {key}"),
            Child::Notifier(number) => write!(f, "notifier {}", number + 1),
            Child::PlaybackTracker(AccountId(account)) => write!(f, "playback tracker of account {account}"),
        }
    }
}

/// A child's life ended, and this follows.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ChildExited {
    pub child: Child,
    pub exit: Exit,
    pub ruling: Ruling,
}

/// Starts an actor inside a guard. Its `restarting` must replace all of its state; `started` runs in every life.
pub fn start_guarded<A>(
    child: Child,
    policy: RestartPolicy,
    parent: Recipient<ChildExited>,
    make: impl FnOnce(&mut Context<A>) -> A,
) -> Addr<A>
where
    A: Supervised + Actor<Context = Context<A>>,
{
    let mut context = Context::new();
    let address = actix::AsyncContext::address(&context);
    let actor = make(&mut context);
    let life = context.into_future(actor);
    actix_rt::spawn(Guarded { child, life, policy, deaths: Deaths::default(), pause: None, parent });
    address
}

struct Guarded<A>
where
    A: Supervised + Actor<Context = Context<A>>,
{
    child: Child,
    life: ContextFut<A, Context<A>>,
    policy: RestartPolicy,
    deaths: Deaths,
    pause: Option<Pin<Box<dyn Future<Output = ()>>>>,
    parent: Recipient<ChildExited>,
}

impl<A> Guarded<A>
where
    A: Supervised + Actor<Context = Context<A>>,
{
    /// One poll of the present life, or the beginning of the next; `None` while neither has ended.
    fn poll_life(&mut self, cx: &mut task::Context<'_>) -> Poll<Exit> {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
                if !self.life.restart() {
                    return Poll::Ready(());
                }
            }
            Pin::new(&mut self.life).poll(cx)
        }));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Exit::Finished),
            Err(payload) => Poll::Ready(Exit::Panicked(message(payload.as_ref()))),
        }
    }
}

impl<A> Future for Guarded<A>
where
    A: Supervised + Actor<Context = Context<A>>,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let exit = ready!(this.poll_life(cx));
        let (child, now) = (this.child, now());
        let ruling = this.deaths.handle_exit(&this.policy, &exit, now.at, now.jitter);
        match (&exit, ruling) {
            (Exit::Panicked(why), Ruling::RestartIn(pause)) => {
                info!(%child, why, pause_ms = pause.as_millis() as u64, "actor panicked and is restarted");
                this.pause = Some(Box::pin(driver::wait(pause)));
            }
            (Exit::Panicked(why), _) => error!(%child, why, "actor keeps panicking and is parked"),
            (Exit::Finished, _) => {}
        }
        this.parent.do_send(ChildExited { child, exit, ruling });
        // A timer registers its waker only when it is polled.
        if this.pause.is_some() { self.poll(cx) } else { Poll::Ready(()) }
    }
}

/// The message of a panic.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
