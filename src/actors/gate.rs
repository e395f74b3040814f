//! The rate-limit gate as an actor: every request needs a permit from here. [`SharedGate`] decides; this carries its
//! looks to the database and its permits to the askers.

use super::{
    away::{self, Away},
    calendar::shared_calendar,
    progress::{GateView, GateWait},
};
use crate::{
    clock::{self, SharedCalendar},
    engine::gate::{
        GateSettings, Limited, PermitUse, Waiting,
        look::{Look, Looked},
        shared::{SharedGate, Step, Unanswered},
    },
    faults,
    metrics::Metrics,
    model::{AccountId, Family, LimitClass, Owner, Pause, RequestStatus},
    processes,
    store::Store,
};
use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, ContextFutureSpawner, Handler, Message,
    ResponseFuture, SpawnHandle, Supervised, WrapFuture,
};
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};
use tracing::{debug, info, warn};

/// A look that takes longer has met a database that hangs. Its outcome is then unknown.
const LOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// A look that was held up for longer, or whose process was frozen, is not used: what it reserves would end too soon.
const LATE_AFTER: Duration = Duration::from_secs(3);

/// Longest sleep: timers stand still while the machine is suspended, so what they wait for may be long over.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// How often the database is asked for its calendar: the clocks of machines drift, and people set them.
const CALENDAR_EVERY: Duration = Duration::from_secs(60);

/// The window empties by itself, without an event that would show it.
const SHOW_EVERY: Duration = Duration::from_secs(1);

pub struct Gate {
    us: Owner,
    store: Store,
    view: watch::Sender<GateView>,
    metrics: Metrics,
    calendar: SharedCalendar,
    machine: SharedGate<u64>,
    askers: HashMap<u64, Asker>,
    num_asks: u64,
    /// Permits that are out, those of earlier lives included.
    out: BTreeMap<u64, Family>,
    /// Pauses that may not be stored yet, by permit, with the callers that wait for that; those of earlier lives
    /// included.
    limited: BTreeMap<u64, (Pause, Vec<oneshot::Sender<()>>)>,
    lives: u32,
    timer: Option<SpawnHandle>,
    /// Why nothing is granted, by the latest ruling.
    waiting: Option<GateWait>,
    away: Away,
    /// The callers that wait for the end.
    closing: Vec<oneshot::Sender<()>>,
}

/// Who waits, for what and since when.
struct Asker {
    family: Family,
    asked_at: Instant,
    reply: oneshot::Sender<Answer>,
}

/// The answer to an [`AcquirePermit`].
pub type Answer = Result<Permit, Refused>;

/// Why there is no permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// A limit pauses the family for longer than the asker may wait.
    Paused(Pause),
    /// The database does not answer, for this reason.
    Away(String),
}

/// The right to send one request. Dropping it gives it back: as if it had never been granted, so that the death of its
/// holder costs nothing, unless [`Permit::mark_used`] was called. [`Permit::settle`] reports the outcome of the
/// request.
#[derive(Debug)]
pub struct Permit {
    gate: Addr<Gate>,
    number: u64,
    family: Family,
    outcome: PermitUse,
    /// While its request is under way.
    sent_at: Option<Instant>,
    metrics: Metrics,
}

impl Permit {
    /// Call right before sending.
    pub fn mark_used(&mut self) {
        self.outcome = PermitUse::Unanswered;
        self.sent_at = Some(clock::instant());
    }

    /// Reports the outcome of the request, before the permit is dropped: for the limits, and for the metrics.
    pub fn settle(&mut self, outcome: PermitUse, status: RequestStatus) {
        self.outcome = outcome;
        if let Some(sent_at) = self.sent_at.take().filter(|_| outcome != PermitUse::Unused) {
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
        // Nobody waits for the answer any more.
        self.settle(self.outcome, RequestStatus::Unanswered);
        self.gate.do_send(PermitReturned { number: self.number, outcome: self.outcome });
    }
}

impl Gate {
    pub fn new(
        settings: GateSettings,
        us: Owner,
        store: Store,
        calendar: SharedCalendar,
        view: watch::Sender<GateView>,
        metrics: Metrics,
    ) -> Gate {
        Gate {
            machine: SharedGate::new(settings, us.clone(), clock::steady(), calendar.now()),
            calendar,
            us,
            store,
            view,
            metrics,
            askers: HashMap::new(),
            num_asks: 0,
            out: BTreeMap::new(),
            limited: BTreeMap::new(),
            lives: 0,
            timer: None,
            waiting: None,
            away: Away::default(),
            closing: Vec::new(),
        }
    }

    /// Does everything that is due, and sets the alarm for the rest.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let mut is_idle = false;
        while !is_idle {
            let now = clock::steady();
            match self.machine.poll(now, self.calendar.now()) {
                Step::Grant(ticket) => self.grant(ticket, ctx),
                Step::Refuse(ticket, pause) => self.refuse(ticket, pause, ctx),
                Step::Noted(ticket) => {
                    for reply in self.limited.remove(&ticket).map(|(_, replies)| replies).unwrap_or_default() {
                        let _ = reply.send(());
                    }
                }
                Step::GiveUp(ticket) => self.give_up(ticket),
                Step::Look(look) => self.look(look, ctx),
                Step::Wait(wake_at, waiting) => {
                    self.waiting = self.told(waiting, wake_at, ctx);
                    self.timer = wake_at.map(|at| wake_at_in(at.saturating_duration_since(now), ctx));
                    is_idle = true;
                }
                Step::Closed { is_noted } => {
                    self.close(is_noted, ctx);
                    is_idle = true;
                }
            }
        }
        self.show();
    }

    fn told(&self, waiting: Option<Waiting>, wake_at: Option<Instant>, ctx: &mut Context<Self>) -> Option<GateWait> {
        match waiting? {
            Waiting::Paused(pause) => {
                self.note_pause(pause, ctx);
                Some(GateWait::Paused(pause))
            }
            Waiting::Window => {
                let left = wake_at?.saturating_duration_since(clock::steady());
                Some(GateWait::Window(clock::now() + left))
            }
            Waiting::Spacing => None,
        }
    }

    /// Publishes the view; onlookers are woken only by changes.
    fn show(&mut self) {
        let (used, limit) = self.machine.window_used(clock::steady());
        let seen = GateView { used, limit, waiting: self.waiting, queued: self.machine.queued().collect() };
        self.view.send_if_modified(|view| std::mem::replace(view, seen) != seen);
    }

    fn grant(&mut self, number: u64, ctx: &mut Context<Self>) {
        let Some(asker) = self.askers.remove(&number) else {
            self.machine.handle_returned(number, PermitUse::Unused, clock::steady());
            return;
        };
        let Asker { family, asked_at, reply } = asker;
        self.out.insert(number, family);
        self.metrics.handle_granted(family, clock::steady().saturating_duration_since(asked_at));
        let (gate, metrics) = (ctx.address(), self.metrics.clone());
        // If the asker is gone, it drops the permit, which comes back unused.
        let _ = reply.send(Ok(Permit { gate, number, family, outcome: PermitUse::Unused, sent_at: None, metrics }));
    }

    fn refuse(&mut self, number: u64, pause: Pause, ctx: &mut Context<Self>) {
        let Some(Asker { family, reply, .. }) = self.askers.remove(&number) else { return };
        self.metrics.handle_refused(family);
        self.note_pause(pause, ctx);
        let _ = reply.send(Err(Refused::Paused(pause)));
    }

    fn give_up(&mut self, number: u64) {
        if let Some(asker) = self.askers.remove(&number) {
            let _ = asker.reply.send(Err(Refused::Away(self.away.why().to_owned())));
        }
        for reply in self.limited.get_mut(&number).into_iter().flat_map(|(_, replies)| replies.drain(..)) {
            let _ = reply.send(());
        }
    }

    fn note_pause(&self, pause: Pause, ctx: &mut Context<Self>) {
        let now = self.calendar.now();
        let left = (pause.until - now).to_std().unwrap_or_default();
        let is_news = self.metrics.handle_pause(pause, left, clock::steady());
        // Pauses imposed by the API are noted by a look.
        if is_news && pause.class == LimitClass::Ceiling {
            let store = self.store.clone();
            let note = async move { store.note_ceiling(pause, now).await }.into_actor(self);
            note.map(|noted, _, _| drop(noted.inspect_err(|error| debug!(%error, "a ceiling could not be noted"))))
                .spawn(ctx);
        }
    }

    /// Looks at what all processes on the database have noted, and notes what the look decides.
    fn look(&self, look: Box<Look>, ctx: &mut Context<Self>) {
        let (store, us, life) = (self.store.clone(), self.us.clone(), self.lives);
        let began_at = clock::steady();
        async move {
            let rule = |found: &_| {
                let read_at = clock::steady();
                let is_late = read_at.saturating_duration_since(began_at) > LATE_AFTER;
                (!is_late).then(|| look.rule(found, read_at, |owner| processes::is_gone(owner, &us)))
            };
            let looking = store.share_limits(look.reads_ledger(), look.wall(), rule);
            tokio::time::timeout(LOOK_TIMEOUT, looking).await
        }
        .into_actor(self)
        .map(move |looked, gate, ctx| {
            if gate.lives != life {
                return;
            }
            match looked {
                Ok(Ok(Some(looked))) => gate.take_up(looked, ctx),
                Ok(Ok(None)) => gate.retry(Unanswered::Passing, "the database answers only after a while"),
                Ok(Err(error)) => gate.retry(away::kind_of(&error), &error.to_string()),
                Err(_) => gate.retry(Unanswered::Passing, "the database does not answer in time"),
            }
            gate.pump(ctx);
        })
        .spawn(ctx);
    }

    /// Without an answer the gate relies on what it knows: looks report a database that is unreachable.
    fn ask_for_calendar(&self, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        async move { tokio::time::timeout(LOOK_TIMEOUT, shared_calendar(&store)).await }
            .into_actor(self)
            .map(|told, gate, ctx| {
                if let Ok(Ok(calendar)) = told
                    && gate.calendar.yields_to(calendar)
                {
                    gate.calendar = calendar;
                    gate.pump(ctx);
                }
            })
            .spawn(ctx);
    }

    fn take_up(&mut self, looked: Looked, ctx: &mut Context<Self>) {
        self.away.handle_answered();
        let was_loaded = self.machine.is_loaded();
        self.machine.handle_looked(looked, clock::steady(), self.calendar.now());
        for pause in self.machine.pauses().filter(|_| !was_loaded) {
            self.note_pause(pause, ctx);
            info!(scope = %pause.scope, class = pause.class.as_str(), until = %pause.until, "pause still in force");
        }
    }

    fn retry(&mut self, kind: Unanswered, why: &str) {
        self.away.handle_unanswered(why, clock::steady());
        self.machine.handle_unanswered(kind, clock::steady());
    }

    fn close(&mut self, is_noted: bool, ctx: &mut Context<Self>) {
        if !is_noted {
            warn!("the number of requests sent could not be saved; the next start counts all that were reserved");
        }
        for reply in self.closing.drain(..) {
            let _ = reply.send(());
        }
        ctx.stop();
    }
}

fn wake_at_in(wait: Duration, ctx: &mut Context<Gate>) -> SpawnHandle {
    // Timers have a resolution of a millisecond; waking early would ask again at once.
    let wait = (wait + Duration::from_millis(1)).min(LOOK_AGAIN_AFTER);
    ctx.run_later(wait, |gate, ctx| {
        gate.timer = None;
        gate.pump(ctx);
    })
}

impl Actor for Gate {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(SHOW_EVERY, |gate, _| gate.show());
        ctx.run_interval(CALENDAR_EVERY, |gate, ctx| gate.ask_for_calendar(ctx));
        self.pump(ctx);
    }
}

impl Supervised for Gate {
    fn restarting(&mut self, _: &mut Self::Context) {
        let still_out = self.out.iter().map(|(number, family)| (*number, *family));
        let unsaved = self.limited.iter().map(|(number, (pause, _))| (*number, *pause));
        self.machine = self.machine.reborn(still_out, unsaved, clock::steady(), self.calendar.now());
        if !self.closing.is_empty() {
            self.machine.handle_closing();
        }
        // The askers learn from their closed channels and ask again.
        self.askers.clear();
        self.lives += 1;
        self.timer = None;
        self.waiting = None;
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
        self.machine.handle_ask(self.num_asks, family, account, longest_wait);
        self.pump(ctx);
    }
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct PermitReturned {
    number: u64,
    outcome: PermitUse,
}

impl Handler<PermitReturned> for Gate {
    type Result = ();

    fn handle(&mut self, returned: PermitReturned, ctx: &mut Self::Context) {
        // First of all, so that a panic below does not leave the permit out for ever.
        if self.out.remove(&returned.number).is_none() {
            return;
        }
        faults::visit("gate.return");
        self.machine.handle_returned(returned.number, returned.outcome, clock::steady());
        self.pump(ctx);
    }
}

/// The API refused a request because of a limit. The answer comes once the pause is in the database; the permit is
/// given back after it.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct ReportLimited {
    /// The number of the permit that the request was sent with.
    pub number: u64,
    pub family: Family,
    pub class: LimitClass,
    pub retry_after: Option<Duration>,
}

impl Handler<ReportLimited> for Gate {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, limited: ReportLimited, ctx: &mut Self::Context) -> Self::Result {
        faults::visit("gate.limited");
        let ReportLimited { number, family, class, retry_after } = limited;
        let (now, wall) = (clock::steady(), self.calendar.now());
        // A report that an earlier life had received comes again.
        if !self.limited.contains_key(&number) {
            let Limited { pause, is_news } = self.machine.handle_limited(number, family, class, retry_after, now, wall);
            self.note_pause(pause, ctx);
            tell(pause, is_news, self.machine.window_used(now).1);
            self.limited.insert(number, (pause, Vec::new()));
        }
        let (reply, noted) = oneshot::channel();
        if let Some((_, replies)) = self.limited.get_mut(&number) {
            replies.push(reply);
        }
        self.pump(ctx);
        Box::pin(async move {
            let _ = noted.await;
        })
    }
}

/// Several requests that were under way may be refused for one reason: they are logged as one event.
fn tell(pause: Pause, is_news: bool, limit: u32) {
    let Pause { scope, class, until } = pause;
    let class_name = class.as_str();
    match (is_news, class) {
        (false, _) => debug!(%scope, class = class_name, %until, "limited by the API, as already known"),
        (true, LimitClass::Rate) => {
            warn!(
                class = class_name, %until, requests_per_window = limit,
                "limited by the API: everything waits; then one request is sent as a probe, and the others follow \
                 at a lower rate"
            );
        }
        (true, LimitClass::Quota | LimitClass::Ceiling) if scope == Family::Application => {
            warn!(class = class_name, %until, "the API's daily quota is used up: everything waits");
        }
        (true, LimitClass::Quota | LimitClass::Ceiling) => {
            warn!(
                %scope, class = class_name, %until,
                "the API's daily quota of {scope} is used up: {scope} waits, everything else continues"
            );
        }
    }
}

/// The end of the process: grants nothing more, and notes how full the window is for the next one.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Close;

impl Handler<Close> for Gate {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Close, ctx: &mut Self::Context) -> Self::Result {
        self.askers.clear();
        self.machine.handle_closing();
        let (reply, closed) = oneshot::channel();
        self.closing.push(reply);
        self.pump(ctx);
        Box::pin(async move {
            let _ = closed.await;
        })
    }
}
