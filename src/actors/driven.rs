//! Actors that have one thing under way at a time, and among them those that follow the feed.

use super::driver;
use crate::{clock, engine::resting::Rest, engine::resting::Resting, faults, store::Store};
use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Message, SpawnHandle, WrapFuture};
use tracing::debug;
use uuid::Uuid;

/// An actor that has one thing under way at a time.
pub trait Driven: Actor<Context = Context<Self>> {
    fn task(&mut self) -> &mut Option<SpawnHandle>;

    /// Starts the next thing.
    fn drive(&mut self, ctx: &mut Context<Self>);

    /// Starts something in place of what was under way, and passes on its result.
    fn work<T: 'static>(
        &mut self,
        ctx: &mut Context<Self>,
        work: impl Future<Output = T> + 'static,
        then: impl FnOnce(T, &mut Self, &mut Context<Self>) + 'static,
    ) {
        let task = ctx.spawn(work.into_actor(self).map(|done, actor: &mut Self, ctx| {
            *actor.task() = None;
            then(done, actor, ctx);
        }));
        if let Some(before) = self.task().replace(task) {
            ctx.cancel_future(before);
        }
    }

    /// The same, if the result decides what is next.
    fn step<T: 'static>(
        &mut self,
        ctx: &mut Context<Self>,
        work: impl Future<Output = T> + 'static,
        then: impl FnOnce(T, &mut Self) + 'static,
    ) {
        self.work(ctx, work, |done, actor, ctx| {
            then(done, actor);
            actor.drive(ctx);
        });
    }

    /// Drops what is under way and ends the actor.
    fn end(&mut self, ctx: &mut Context<Self>) {
        if let Some(task) = self.task().take() {
            ctx.cancel_future(task);
        }
        ctx.stop();
    }
}

/// Ends an actor at once, without a report: its work belongs to another process, or to none. What is under way is
/// dropped.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Dismiss;

/// An actor that follows the feed.
pub trait Follower: Driven {
    /// Where its position is kept, under which name, and which node may move it.
    fn position(&self) -> (Store, String, Option<Uuid>);

    fn resting(&mut self) -> &mut Resting;

    fn rest(&mut self, ctx: &mut Context<Self>, rest: Rest) {
        match rest {
            Rest::Note { why, wait } => {
                let (store, name, owner) = self.position();
                let now = clock::now();
                let again_at = now + faults::hastened(wait);
                let note = async move { store.not_taken(&name, owner, &why, now, again_at).await };
                self.step(ctx, note, |noted, follower| {
                    if let Err(error) = noted {
                        debug!(%error, "a failed delivery could not be recorded");
                    }
                    follower.resting().handle_noted();
                });
            }
            Rest::Wait(wait) => {
                let wait = driver::wait(faults::hastened(wait));
                self.step(ctx, wait, |(), follower| follower.resting().handle_waited());
            }
        }
    }
}
