//! The rate-limit gate as an actor: everybody who wants to send a request asks here first.

use super::{
    checkpoint_writer::{CheckpointWriter, SavePause, SaveWindowLease},
    progress::{GateView, GateWait},
};
use crate::{
    clock, engine,
    engine::gate::{GateSettings, Next, Waiting},
    faults,
    model::{Family, LimitClass, Pause, WindowLease},
    store::{Store, StoreError},
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
    /// Until when the database says that we may be sending.
    lease_until: Option<Instant>,
    is_leasing: bool,
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
        Gate {
            settings,
            store,
            writer,
            view,
            engine,
            askers: HashMap::new(),
            num_asks: 0,
            incarnation: 0,
            timer: None,
            lease_until: None,
            is_leasing: false,
        }
    }

    /// Grants all that can be granted, and sets the alarm for the rest.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        if !self.askers.is_empty() && self.lease_until.is_none_or(|until| until <= clock::instant()) {
            return self.renew_lease(ctx);
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

    /// Writes down until when we may send, before sending: if this process is killed, the next one knows that the
    /// window may be full.
    fn renew_lease(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_leasing, true) {
            return;
        }
        let (writer, length) = (self.writer.clone(), self.settings.window);
        let (until, wall) = (clock::instant() + length, clock::now() + length);
        async move {
            let lease = WindowLease { until: wall, used: None };
            while !matches!(writer.send(SaveWindowLease(lease)).await, Ok(Ok(()))) {
                tokio::time::sleep(RETRY_DATABASE_AFTER).await;
            }
        }
        .into_actor(self)
        .map(move |(), gate, ctx| {
            gate.is_leasing = false;
            gate.lease_until = Some(until);
            gate.pump(ctx);
        })
        .spawn(ctx);
    }

    /// Nothing is granted before the pauses of an earlier life, or an earlier process, are known.
    fn load(&self, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        let read = async move || {
            Ok::<_, StoreError>((store.load_pauses(clock::now()).await?, store.load_window_lease().await?))
        };
        async move {
            loop {
                match read().await {
                    Ok(noted) => return noted,
                    Err(error) => {
                        warn!(%error, "the pauses cannot be read");
                        tokio::time::sleep(RETRY_DATABASE_AFTER).await;
                    }
                }
            }
        }
        .into_actor(self)
        .map(|(pauses, lease), gate, ctx| {
            // In a later life the note is our own, and the window counts as full already.
            if let Some(lease) = lease.filter(|_| gate.incarnation == 0) {
                gate.engine.handle_lease(lease, clock::instant(), clock::now());
            }
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
        self.load(ctx);
    }
}

impl Supervised for Gate {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.engine = engine::gate::Gate::after_death(self.settings, clock::instant());
        // The askers learn from their closed channels and ask again.
        self.askers.clear();
        self.incarnation += 1;
        self.timer = None;
        self.lease_until = None;
        self.is_leasing = false;
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
#[derive(Debug, Clone, Copy, Message)]
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

/// The end of the process: grants nothing more, and notes how full the window is for the next one.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Close;

impl Handler<Close> for Gate {
    type Result = actix::ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Close, _: &mut Self::Context) -> Self::Result {
        self.askers.clear();
        let (used, _) = self.engine.window_used(clock::instant());
        let (writer, has_sent) = (self.writer.clone(), self.lease_until.take().is_some());
        let lease = WindowLease { until: clock::now(), used: Some(used) };
        let note = async move {
            if has_sent && !matches!(writer.send(SaveWindowLease(lease)).await, Ok(Ok(()))) {
                warn!("how many requests were sent could not be noted; the next start waits for a whole window");
            }
        };
        Box::pin(note.into_actor(self).map(|(), _, ctx| ctx.stop()))
    }
}
