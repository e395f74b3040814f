//! The rate-limit gate as an actor: everybody who wants to send a request asks here first.

use super::{
    checkpoint_writer::{CheckpointWriter, SaveLedger, SavePause, SaveWindowLease},
    progress::{GateView, GateWait},
};
use crate::{
    clock, engine,
    engine::gate::{GateSettings, Limited, Next, Outcome, Waiting, pauses::Calendar},
    faults,
    metrics::Metrics,
    model::{AccountId, Family, LimitClass, Pause, RequestStatus, WindowLease},
    store::Store,
};
use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, ContextFutureSpawner, Handler, Message,
    SpawnHandle, Supervised, WrapFuture,
};
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};
use tracing::{debug, info, warn};

/// Between tries to read or write while the database does not answer.
const RETRY_DATABASE_AFTER: Duration = Duration::from_millis(500);

/// Longest sleep: timers stand still while the machine is suspended, so what they wait for may be long over.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// How often what was counted and learned is stored: that much a killed process forgets.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// The window empties by itself, and nobody else would say so.
const SHOW_EVERY: Duration = Duration::from_secs(1);

pub struct Gate {
    settings: GateSettings,
    store: Store,
    writer: Addr<CheckpointWriter>,
    view: watch::Sender<GateView>,
    metrics: Metrics,
    engine: engine::gate::Gate<u64>,
    askers: HashMap<u64, Asker>,
    num_asks: u64,
    /// Permits that are out, those of earlier lives included.
    out: BTreeMap<u64, Family>,
    lives: u32,
    /// From when the process began, or was last limited by a calendar that had been set back.
    calendar: Calendar,
    timer: Option<SpawnHandle>,
    /// Why nothing is granted, as it was ruled last.
    waiting: Option<GateWait>,
    /// Until when the database says that we may be sending.
    lease_until: Option<Instant>,
    is_leasing: bool,
    is_saving: bool,
}

/// Who waits, for what and since when.
struct Asker {
    family: Family,
    asked_at: Instant,
    reply: oneshot::Sender<Answer>,
}

/// The answer to an [`AcquirePermit`].
pub type Answer = Result<Permit, Pause>;

/// The right to send one request. Dropping it gives it back: as if it had never been granted, so that the death of its
/// holder costs nothing, unless [`Permit::mark_used`] was called; what became of the request says [`Permit::settle`].
#[derive(Debug)]
pub struct Permit {
    gate: Addr<Gate>,
    number: u64,
    family: Family,
    outcome: Outcome,
    /// While its request is under way.
    sent_at: Option<Instant>,
    metrics: Metrics,
}

impl Permit {
    /// Call right before sending.
    pub fn mark_used(&mut self) {
        self.outcome = Outcome::Unanswered;
        self.sent_at = Some(clock::instant());
    }

    /// Says what became of the request, before the permit is dropped: for the limits, and for whoever counts requests.
    pub fn settle(&mut self, outcome: Outcome, status: RequestStatus) {
        self.outcome = outcome;
        if let Some(sent_at) = self.sent_at.take().filter(|_| outcome != Outcome::Unused) {
            self.metrics.handle_answered(self.family, status, clock::instant().saturating_duration_since(sent_at));
        }
    }

    /// For [`ReportLimited`].
    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn family(&self) -> Family {
        self.family
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Whoever waited for the answer is gone.
        self.settle(self.outcome, RequestStatus::Unanswered);
        self.gate.do_send(PermitReturned { number: self.number, outcome: self.outcome });
    }
}

impl Gate {
    pub fn new(
        settings: GateSettings,
        store: Store,
        writer: Addr<CheckpointWriter>,
        view: watch::Sender<GateView>,
        metrics: Metrics,
    ) -> Gate {
        let (now, wall) = (clock::steady(), clock::now());
        Gate {
            settings,
            store,
            writer,
            view,
            metrics,
            engine: engine::gate::Gate::new(settings, now, wall),
            askers: HashMap::new(),
            num_asks: 0,
            out: BTreeMap::new(),
            lives: 0,
            calendar: Calendar::new(now, wall),
            timer: None,
            waiting: None,
            lease_until: None,
            is_leasing: false,
            is_saving: false,
        }
    }

    /// Grants all that can be granted, and sets the alarm for the rest.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        if !self.askers.is_empty() && self.lease_until.is_none_or(|until| until <= clock::steady()) {
            return self.renew_lease(ctx);
        }
        loop {
            let now = clock::steady();
            let (wake_at, waiting) = match self.engine.poll(now) {
                Next::Grant(ticket) => {
                    self.grant(ticket, ctx);
                    continue;
                }
                Next::Refuse(ticket, pause) => {
                    self.refuse(ticket, pause);
                    continue;
                }
                Next::Wait(at, Waiting::Paused(pause)) => {
                    self.metrics.handle_pause(pause, at - now, now);
                    (Some(at), Some(GateWait::Paused(pause)))
                }
                Next::Wait(at, Waiting::Window) => (Some(at), Some(GateWait::Window(clock::now() + (at - now)))),
                Next::Wait(at, Waiting::Spacing) => (Some(at), None),
                Next::Full | Next::Idle => (None, None),
            };
            if let Some(at) = wake_at {
                self.timer = Some(self.wake_at(at, now, ctx));
            }
            self.waiting = waiting;
            return self.show();
        }
    }

    /// Lets others see; those who look are woken only by what is new.
    fn show(&mut self) {
        let (used, limit) = self.engine.window_used(clock::steady());
        let seen = GateView { used, limit, waiting: self.waiting, queued: self.engine.queued().collect() };
        self.view.send_if_modified(|view| std::mem::replace(view, seen) != seen);
    }

    fn grant(&mut self, number: u64, ctx: &mut Context<Self>) {
        let Some(asker) = self.askers.remove(&number) else {
            self.engine.handle_returned(number, Outcome::Unused, clock::steady());
            return;
        };
        let Asker { family, asked_at, reply } = asker;
        self.out.insert(number, family);
        self.metrics.handle_granted(family, clock::steady().saturating_duration_since(asked_at));
        let (gate, metrics) = (ctx.address(), self.metrics.clone());
        // An asker that went away drops the permit, which comes back unused.
        let _ = reply.send(Ok(Permit { gate, number, family, outcome: Outcome::Unused, sent_at: None, metrics }));
    }

    fn refuse(&mut self, number: u64, pause: Pause) {
        let Some(Asker { family, reply, .. }) = self.askers.remove(&number) else { return };
        self.metrics.handle_refused(family);
        self.note_pause(pause);
        let _ = reply.send(Err(pause));
    }

    fn note_pause(&self, pause: Pause) {
        let left = (pause.until - clock::now()).to_std().unwrap_or_default();
        self.metrics.handle_pause(pause, left, clock::steady());
    }

    fn wake_at(&self, at: Instant, now: Instant, ctx: &mut Context<Self>) -> SpawnHandle {
        // Timers are as fine as a millisecond; waking early would ask again at once.
        let wait = (at.saturating_duration_since(now) + Duration::from_millis(1)).min(LOOK_AGAIN_AFTER);
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
        let (until, wall) = (clock::steady() + length, clock::now() + length);
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

    /// Nothing is granted before what earlier lives and processes noted is known.
    fn load(&self, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        async move {
            loop {
                match store.load_gate_note(clock::now()).await {
                    Ok(noted) => return noted,
                    Err(error) => {
                        warn!(%error, "the pauses cannot be read");
                        tokio::time::sleep(RETRY_DATABASE_AFTER).await;
                    }
                }
            }
        }
        .into_actor(self)
        .map(|mut noted, gate, ctx| {
            let (now, mut wall) = (clock::steady(), clock::now());
            if gate.lives > 0 {
                // The note is our own, and the window counts as full already.
                noted.lease = None;
                wall = gate.calendar.cautious(now, wall);
            }
            gate.engine.handle_noted(&noted, now, wall);
            for pause in gate.engine.pauses() {
                gate.note_pause(pause);
                info!(scope = %pause.scope, class = pause.class.as_str(), until = %pause.until, "pause still in force");
            }
            gate.pump(ctx);
        })
        .wait(ctx);
    }

    /// Stores what was counted and learned, and that a pause is lifted.
    fn save(&mut self, ctx: &mut Context<Self>) {
        if self.is_saving {
            return;
        }
        let Some(news) = self.news() else { return };
        self.is_saving = true;
        let writer = self.writer.clone();
        // A reply that is lost leaves open whether it was counted: counted twice is better than not at all.
        let write = async move {
            while !matches!(writer.send(news.clone()).await, Ok(Ok(()))) {
                tokio::time::sleep(RETRY_DATABASE_AFTER).await;
            }
        };
        write.into_actor(self).map(|(), gate, _| gate.is_saving = false).spawn(ctx);
    }

    fn news(&mut self) -> Option<SaveLedger> {
        let has_reopened = self.engine.take_reopened();
        let (entries, learned) = self.engine.take_unsaved();
        let is_empty = entries.is_empty() && learned.is_none() && !has_reopened;
        (!is_empty).then_some(SaveLedger { entries, learned, has_reopened })
    }
}

impl Actor for Gate {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(SAVE_EVERY, Gate::save);
        ctx.run_interval(SHOW_EVERY, |gate, _| gate.show());
        self.load(ctx);
    }
}

impl Supervised for Gate {
    fn restarting(&mut self, _: &mut Self::Context) {
        let now = clock::steady();
        self.engine = engine::gate::Gate::new(self.settings, now, clock::now());
        self.engine.handle_death(self.out.iter().map(|(number, family)| (*number, *family)), now);
        // The askers learn from their closed channels and ask again.
        self.askers.clear();
        self.lives += 1;
        self.timer = None;
        self.waiting = None;
        self.lease_until = None;
        self.is_leasing = false;
        self.is_saving = false;
    }
}

/// Asks for a permit; the answer comes through `reply`. A channel that closes without an answer means that the gate
/// died: ask again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AcquirePermit {
    pub family: Family,
    /// Accounts take turns; `None` for what belongs to no account.
    pub account: Option<AccountId>,
    /// The longest pause to sit out; `None` for any.
    pub longest_wait: Option<Duration>,
    pub reply: oneshot::Sender<Answer>,
}

impl Handler<AcquirePermit> for Gate {
    type Result = ();

    fn handle(&mut self, ask: AcquirePermit, ctx: &mut Self::Context) {
        faults::visit("gate.acquire");
        self.num_asks += 1;
        let AcquirePermit { family, account, longest_wait, reply } = ask;
        self.askers.insert(self.num_asks, Asker { family, asked_at: clock::steady(), reply });
        self.engine.handle_ask(self.num_asks, family, account, longest_wait);
        self.pump(ctx);
    }
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct PermitReturned {
    number: u64,
    outcome: Outcome,
}

impl Handler<PermitReturned> for Gate {
    type Result = ();

    fn handle(&mut self, returned: PermitReturned, ctx: &mut Self::Context) {
        // First of all, so that a death over it does not leave the permit out for ever.
        if self.out.remove(&returned.number).is_none() {
            return;
        }
        faults::visit("gate.return");
        self.engine.handle_returned(returned.number, returned.outcome, clock::steady());
        self.pump(ctx);
    }
}

/// The API refused a request because of a limit. The answer comes once the pause is in the database; the permit is
/// given back after it.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct ReportLimited {
    /// Of the permit that the request was sent with.
    pub number: u64,
    pub family: Family,
    pub class: LimitClass,
    pub retry_after: Option<Duration>,
}

impl Handler<ReportLimited> for Gate {
    type Result = actix::ResponseActFuture<Self, ()>;

    fn handle(&mut self, limited: ReportLimited, ctx: &mut Self::Context) -> Self::Result {
        faults::visit("gate.limited");
        let ReportLimited { number, family, class, retry_after } = limited;
        let (now, wall) = (clock::steady(), clock::now());
        self.calendar.handle_read(now, wall);
        let Limited { pause, is_news } =
            self.engine.handle_limited(Some(number), family, class, retry_after, now, wall);
        self.note_pause(pause);
        tell(pause, is_news, self.engine.window_used(now).1);
        self.pump(ctx);
        let writer = self.writer.clone();
        let write = async move {
            while !matches!(writer.send(SavePause(pause)).await, Ok(Ok(()))) {
                tokio::time::sleep(RETRY_DATABASE_AFTER).await;
            }
        };
        Box::pin(write.into_actor(self).map(|(), gate, ctx| gate.save(ctx)))
    }
}

/// Several requests that were under way may be refused for one reason: that is one event.
fn tell(pause: Pause, is_news: bool, limit: u32) {
    let Pause { scope, class, until } = pause;
    let class_name = class.as_str();
    match (is_news, class) {
        (false, _) => debug!(%scope, class = class_name, %until, "limited by the API, as is known"),
        (true, LimitClass::Rate) => {
            warn!(
                class = class_name, %until, requests_per_window = limit,
                "limited by the API: everything waits; then one request tries, and the others follow at a lower rate"
            );
        }
        (true, LimitClass::Quota | LimitClass::Ceiling) if scope == Family::Application => {
            warn!(class = class_name, %until, "the API's daily quota is used up: everything waits");
        }
        (true, LimitClass::Quota | LimitClass::Ceiling) => {
            warn!(
                %scope, class = class_name, %until,
                "the API's daily quota of {scope} is used up: {scope} waits, everything else goes on"
            );
        }
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
        let (used, _) = self.engine.window_used(clock::steady());
        let (writer, has_sent) = (self.writer.clone(), self.lease_until.take().is_some());
        let lease = WindowLease { until: clock::now(), used: Some(used) };
        let news = self.news();
        let note = async move {
            if let Some(news) = news
                && !matches!(writer.send(news).await, Ok(Ok(())))
            {
                warn!("what was sent in the last seconds could not be counted");
            }
            if has_sent && !matches!(writer.send(SaveWindowLease(lease)).await, Ok(Ok(()))) {
                warn!("how many requests were sent could not be noted; the next start waits for a whole window");
            }
        };
        Box::pin(note.into_actor(self).map(|(), _, ctx| ctx.stop()))
    }
}
