//! The rate-limit gate as an actor: everybody who wants to send a request asks here first.

use super::{
    checkpoint_writer::{CheckpointWriter, SavePause},
    progress::{GateView, GateWait},
};
use crate::{
    clock, engine,
    engine::gate::{GateSettings, Next, Waiting},
    faults,
    model::{Family, LimitClass, Pause},
    store::Store,
};
use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, ContextFutureSpawner, Handler, Message,
    SpawnHandle, Supervised, WrapFuture,
};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};
use tracing::{info, warn};

/// Between tries to read or write a pause while the database does not answer.
const RETRY_DATABASE_AFTER: Duration = Duration::from_millis(500);

pub struct Gate {
    settings: GateSettings,
    store: Store,
    writer: Addr<CheckpointWriter>,
    view: watch::Sender<GateView>,
    engine: engine::gate::Gate<u64>,
    askers: HashMap<u64, oneshot::Sender<Answer>>,
    num_asks: u64,
    incarnation: u32,
    timer: Option<SpawnHandle>,
}

/// The answer to an [`AcquirePermit`].
pub type Answer = Result<Permit, Pause>;

/// The right to send one request. Dropping it gives it back: as used once [`Permit::mark_used`] was called, else as if
/// it had never been granted, so that the death of its holder costs nothing.
#[derive(Debug)]
pub struct Permit {
    gate: Addr<Gate>,
    incarnation: u32,
    used: bool,
}

impl Permit {
    /// Call right before sending.
    pub fn mark_used(&mut self) {
        self.used = true;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.do_send(PermitReturned { used: self.used, incarnation: self.incarnation });
    }
}

impl Gate {
    pub fn new(
        settings: GateSettings,
        store: Store,
        writer: Addr<CheckpointWriter>,
        view: watch::Sender<GateView>,
    ) -> Gate {
        let engine = engine::gate::Gate::new(settings, clock::instant());
        Gate { settings, store, writer, view, engine, askers: HashMap::new(), num_asks: 0, incarnation: 0, timer: None }
    }

    /// Grants all that can be granted, and sets the alarm for the rest.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        loop {
            let now = clock::instant();
            let (wake_at, waiting) = match self.engine.poll(now) {
                Next::Grant(ticket) => {
                    let permit = Permit { gate: ctx.address(), incarnation: self.incarnation, used: false };
                    // An asker that went away drops the permit, which comes back unused.
                    let _ = self.askers.remove(&ticket).map(|asker| asker.send(Ok(permit)));
                    continue;
                }
                Next::Refuse(ticket, pause) => {
                    let _ = self.askers.remove(&ticket).map(|asker| asker.send(Err(pause)));
                    continue;
                }
                Next::Wait(at, Waiting::Paused(pause)) => (Some(at), Some(GateWait::Paused(pause))),
                Next::Wait(at, Waiting::Window) => (Some(at), Some(GateWait::Window(clock::now() + (at - now)))),
                Next::Wait(at, Waiting::Spacing) => (Some(at), None),
                Next::Full | Next::Idle => (None, None),
            };
            if let Some(at) = wake_at {
                self.timer = Some(self.wake_at(at, now, ctx));
            }
            let (used, limit) = self.engine.window_used(now);
            self.view.send_replace(GateView { used, limit, waiting });
            return;
        }
    }

    fn wake_at(&self, at: Instant, now: Instant, ctx: &mut Context<Self>) -> SpawnHandle {
        // Timers are as fine as a millisecond; waking early would ask again at once.
        let wait = at.saturating_duration_since(now) + Duration::from_millis(1);
        ctx.run_later(wait, |gate, ctx| {
            gate.timer = None;
            gate.pump(ctx);
        })
    }

    /// Nothing is granted before the pauses of an earlier life, or an earlier process, are known.
    fn load_pauses(&self, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        async move {
            loop {
                match store.load_pauses(clock::now()).await {
                    Ok(pauses) => return pauses,
                    Err(error) => {
                        warn!(%error, "the pauses cannot be read");
                        tokio::time::sleep(RETRY_DATABASE_AFTER).await;
                    }
                }
            }
        }
        .into_actor(self)
        .map(|pauses, gate, ctx| {
            for pause in pauses {
                info!(scope = %pause.scope, class = pause.class.as_str(), until = %pause.until, "pause still in force");
                gate.engine.handle_pause(pause, clock::instant(), clock::now());
            }
            gate.pump(ctx);
        })
        .wait(ctx);
    }
}

impl Actor for Gate {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.load_pauses(ctx);
    }
}

impl Supervised for Gate {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.engine = engine::gate::Gate::after_death(self.settings, clock::instant());
        // The askers learn from their closed channels and ask again.
        self.askers.clear();
        self.incarnation += 1;
        self.timer = None;
    }
}

/// Asks for a permit; the answer comes through `reply`. A channel that closes without an answer means that the gate
/// died: ask again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AcquirePermit {
    pub family: Family,
    /// The longest pause to sit out; `None` for any.
    pub longest_wait: Option<Duration>,
    pub reply: oneshot::Sender<Answer>,
}

impl Handler<AcquirePermit> for Gate {
    type Result = ();

    fn handle(&mut self, ask: AcquirePermit, ctx: &mut Self::Context) {
        faults::visit("gate.acquire");
        self.num_asks += 1;
        self.askers.insert(self.num_asks, ask.reply);
        self.engine.handle_ask(self.num_asks, ask.family, ask.longest_wait);
        self.pump(ctx);
    }
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct PermitReturned {
    used: bool,
    incarnation: u32,
}

impl Handler<PermitReturned> for Gate {
    type Result = ();

    fn handle(&mut self, returned: PermitReturned, ctx: &mut Self::Context) {
        faults::visit("gate.return");
        // A permit of an earlier life is part of the window that counts as full.
        if returned.incarnation == self.incarnation {
            self.engine.handle_returned(returned.used, clock::instant());
            self.pump(ctx);
        }
    }
}

/// The API refused a request because of a limit. The answer comes once the pause is in the database.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReportLimited {
    pub family: Family,
    pub class: LimitClass,
    pub retry_after: Option<Duration>,
}

impl Handler<ReportLimited> for Gate {
    type Result = actix::ResponseActFuture<Self, ()>;

    fn handle(&mut self, limited: ReportLimited, ctx: &mut Self::Context) -> Self::Result {
        faults::visit("gate.limited");
        let ReportLimited { family, class, retry_after } = limited;
        let pause = self.engine.handle_limited(family, class, retry_after, clock::instant(), clock::now());
        warn!(scope = %pause.scope, class = class.as_str(), until = %pause.until, "limited by the API");
        self.pump(ctx);
        let writer = self.writer.clone();
        Box::pin(
            async move {
                while !matches!(writer.send(SavePause(pause)).await, Ok(Ok(()))) {
                    tokio::time::sleep(RETRY_DATABASE_AFTER).await;
                }
            }
            .into_actor(self),
        )
    }
}

/// Ends the gate's life for good.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Close;

impl Handler<Close> for Gate {
    type Result = ();

    fn handle(&mut self, _: Close, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
