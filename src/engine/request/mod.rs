//! One request, from the permit to the answer: what to do next for every kind of answer and fault.
//!
//! | answer | now | then |
//! |---|---|---|
//! | a limit | the gate hears of it and waits | given up after [`LIMITED_MAX`] in a row |
//! | an expired token, renewed | again at once | an outage, after [`RENEWED_MAX`] in a row |
//! | 5xx, a body that cannot be read | again and again, as [`Backoff`] says | the page's own fault if others are answered, else an outage |
//! | no answer; HTML, a redirect | the same | an outage |
//! | a refusal without a lasting reason | once more | an outage |
//! | the token endpoint rests | when it may be asked, if that is soon | an outage |
//! | anything else | - | reported at once |
//!
//! *The page's own fault* needs proof: while no other request of the application is answered properly between two of
//! its tries, a page that fails is no worse than the rest. If nothing else is being asked for, the machine itself asks
//! once for something that is known to be there: the *probe*. What an outage means for the run is up to the schedule.
//!
//! The driver carries out what [`Request::poll`] says and reports with [`Request::handle`].

use super::{
    backoff::{Backoff, Patience},
    gate::PermitUse,
};
use crate::model::{Disposition, Fault, LimitClass, PageRequest, Pause, Remedy, RequestStatus};
use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

/// Refusals by a limit in a row for one request. Each waits as long as the API asks, so this only ends what is
/// hopeless.
pub const LIMITED_MAX: u32 = 20;

/// Times in a row that one request may find its access token expired.
pub const RENEWED_MAX: u32 = 2;

/// A gate that died needs a moment to come back.
const GATE_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Longest that a request waits for the `Retry-After` of a 5xx. If that was too short the run ends, and the schedule
/// tries again later.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// Wait before the second try after a refusal: replicas disagree only for seconds.
const ONCE_MORE_AFTER: Duration = Duration::from_secs(2);

/// Tries of a request that is refused without a lasting reason.
const REFUSED_TRIES: u32 = 2;

/// What a try is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// What was asked for.
    Own,
    /// Anything that is known to be there, to learn whether the API answers at all.
    Probe,
}

/// What the driver does next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// Ask the gate for a permit.
    Acquire(Target),
    /// Send it; a permit is held.
    Send(Target),
    /// Tell the gate of a limit, and keep the permit until it has noted the pause: otherwise it counts the request as
    /// served.
    Report {
        class: LimitClass,
        retry_after: Option<Duration>,
    },
    Wait(Duration),
}

/// What the driver did, and the outcome.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Permitted,
    /// The gate refuses: a limit pauses it for longer than the asker may wait.
    Paused(Pause),
    /// The gate refuses: the database, without which nothing is sent, does not answer, for this reason.
    DatabaseAway(String),
    /// The gate died before it answered. `is_parked`: it does not come back.
    GateLost {
        is_parked: bool,
    },
    /// The answer; `why` says what is wrong with it.
    Answered {
        disposition: Disposition,
        why: String,
    },
    Reported,
    Waited,
}

/// What to do next, or how it ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    Do(Step),
    Done(Result<(), Fault>),
}

/// Whether the API answers, as far as any request of the application could tell. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Vitals(Rc<Cell<Seen>>);

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    served_at: Option<Instant>,
    /// When somebody last set out to ask for something that is known to be there.
    probed_at: Option<Instant>,
}

impl Vitals {
    fn note_served(&self, now: Instant) {
        self.0.set(Seen { served_at: Some(now), ..self.0.get() });
    }

    fn served_since(&self, moment: Instant) -> bool {
        self.0.get().served_at.is_some_and(|at| at > moment)
    }

    /// Takes the turn to probe, if nobody has since that moment; or not lately, and something was served since.
    fn take_probe(&self, since: Instant, lately: Instant, now: Instant) -> bool {
        let seen = self.0.get();
        let is_free = seen.probed_at.is_none_or(|at| at < since || at < lately && seen.served_at > Some(at));
        if is_free {
            self.0.set(Seen { probed_at: Some(now), ..seen });
        }
        is_free
    }
}

/// Failures of one request so far.
#[derive(Debug, Clone)]
struct Failing {
    tries: u32,
    since: Instant,
    /// When the try before failed, or this one if it is the first.
    before: Instant,
    failed_at: Instant,
    remedy: Remedy,
    why: String,
}

#[derive(Debug)]
pub struct Request {
    patience: Patience,
    backoff: Backoff,
    vitals: Vitals,
    failing: Option<Failing>,
    num_limited: u32,
    num_renewed: u32,
    /// What the present try is for.
    target: Target,
    next: Next,
    /// What follows a wait.
    after_wait: Step,
}

impl Request {
    pub fn new(patience: Patience, backoff: Backoff, vitals: Vitals) -> Request {
        let first = Step::Acquire(Target::Own);
        Request {
            patience,
            backoff,
            vitals,
            failing: None,
            num_limited: 0,
            num_renewed: 0,
            target: Target::Own,
            next: Next::Do(first),
            after_wait: first,
        }
    }

    /// For a page of a listing or of a playlist. A page that cannot be split is never itself at fault.
    pub fn of_page(request: &PageRequest, patience: Patience, backoff: Backoff, vitals: Vitals) -> Request {
        let patience = match request {
            PageRequest::Following { .. } => Patience::Whole,
            PageRequest::Listing { .. } | PageRequest::PlaylistItems { .. } => patience,
        };
        Request::new(patience, backoff, vitals)
    }

    pub fn poll(&self) -> Next {
        self.next.clone()
    }

    /// What the present try is for.
    pub fn target(&self) -> Target {
        self.target
    }

    /// For how long it has been failing.
    pub fn failing_for(&self, now: Instant) -> Option<Duration> {
        self.failing.as_ref().map(|failing| now.saturating_duration_since(failing.since))
    }

    /// Takes in the outcome of the step. `jitter` is in `[0, 1)`.
    pub fn handle(&mut self, event: Event, now: Instant, jitter: f64) {
        let Next::Do(step) = self.next else {
            debug_assert!(false, "a request that is over hears of nothing: {event:?}");
            return;
        };
        self.next = match event {
            Event::Permitted => Next::Do(Step::Send(self.target)),
            Event::Paused(pause) => Next::Done(Err(Fault::Paused(pause))),
            Event::DatabaseAway(why) => Next::Done(Err(Fault::Away(why))),
            Event::GateLost { is_parked: true } => {
                Next::Done(Err(Fault::Internal("the gate keeps failing, so nothing can be asked for".to_owned())))
            }
            Event::GateLost { is_parked: false } => self.wait(GATE_AGAIN_AFTER, step),
            Event::Answered { disposition, why } => self.answered(disposition, why, now, jitter),
            Event::Reported if self.num_limited > LIMITED_MAX => {
                Next::Done(Err(Fault::Outage("limits refuse it again and again".to_owned())))
            }
            Event::Reported => Next::Do(Step::Acquire(self.target)),
            Event::Waited => Next::Do(self.after_wait),
        };
    }

    fn answered(&mut self, disposition: Disposition, why: String, now: Instant, jitter: f64) -> Next {
        let Some(remedy) = disposition.remedy else {
            self.vitals.note_served(now);
            return match self.target {
                Target::Own => Next::Done(Ok(())),
                Target::Probe => self.judge(now, jitter),
            };
        };
        match (remedy, self.target) {
            (Remedy::Limit { class, retry_after }, _) => {
                self.num_limited += 1;
                Next::Do(Step::Report { class, retry_after })
            }
            (Remedy::AskAgain, Target::Own) if self.num_renewed < RENEWED_MAX => {
                self.num_renewed += 1;
                Next::Do(Step::Acquire(Target::Own))
            }
            // Whatever is wrong with the probe, it has proved nothing.
            (_, Target::Probe) => self.judge(now, jitter),
            (remedy, Target::Own) => {
                let last = self.failing.as_ref();
                let (tries, since) = last.map_or((0, now), |failing| (failing.tries, failing.since));
                let before = last.map_or(now, |failing| failing.failed_at);
                self.failing = Some(Failing { tries: tries + 1, since, before, failed_at: now, remedy, why });
                self.judge(now, jitter)
            }
        }
    }

    /// Rules on a request that has failed.
    fn judge(&mut self, now: Instant, jitter: f64) -> Next {
        let was_probe = std::mem::replace(&mut self.target, Target::Own) == Target::Probe;
        let Some(Failing { tries, since, before, remedy, why, .. }) = self.failing.clone() else {
            return Next::Do(Step::Acquire(Target::Own));
        };
        let failing_for = now.saturating_duration_since(since);
        // Between its last two tries: an answer that was on its way when the first of them failed proves nothing.
        let are_others_served = self.vitals.served_since(before);
        let is_over = |wait: Duration| failing_for + wait > self.backoff.give_up_after;
        let give_up = |fault: fn(String) -> Fault| Next::Done(Err(fault(why.clone())));
        let delay = self.backoff.delay(tries, are_others_served, jitter);
        match remedy {
            Remedy::AskSoonOrDivide { retry_after } => {
                let is_exhausted = tries >= self.backoff.tries(self.patience) || is_over(Duration::ZERO);
                let fault = if are_others_served { Fault::Unservable } else { Fault::Unreachable };
                if is_exhausted && are_others_served {
                    return give_up(fault);
                }
                if is_exhausted
                    && !was_probe
                    && self.patience != Patience::Whole
                    && self.vitals.take_probe(since, before, now)
                {
                    self.target = Target::Probe;
                    return Next::Do(Step::Acquire(Target::Probe));
                }
                if is_over(delay) { give_up(fault) } else { self.again_after(delay, retry_after) }
            }
            Remedy::AskSoon if is_over(delay) => give_up(Fault::Unreachable),
            Remedy::AskSoon => self.again_after(delay, None),
            Remedy::AskSoonPast { .. } if is_over(delay) => give_up(Fault::Outage),
            Remedy::AskSoonPast { retry_after } => self.again_after(delay, retry_after),
            Remedy::OursSoon if is_over(delay) => give_up(Fault::Internal),
            Remedy::OursSoon => self.again_after(delay, None),
            Remedy::AskOnceMore if tries >= REFUSED_TRIES => give_up(Fault::Outage),
            Remedy::AskOnceMore => self.again_after(ONCE_MORE_AFTER.mul_f64(1.0 + jitter), None),
            Remedy::AwaitToken { left } if is_over(left) => give_up(Fault::Outage),
            // Timers have a resolution of a millisecond; a request that comes early is refused once more.
            Remedy::AwaitToken { left } => self.again_after(left + Duration::from_millis(1), None),
            Remedy::AskLater | Remedy::AskAgain | Remedy::Limit { .. } => give_up(Fault::Outage),
            Remedy::SignIn => give_up(Fault::SignIn),
            Remedy::Permit => give_up(Fault::NotPermitted),
            Remedy::LeaveOut => give_up(Fault::Refused),
            Remedy::NotShown => give_up(Fault::Forbidden),
            Remedy::NotThere => give_up(Fault::Gone),
            Remedy::Ours => give_up(Fault::Internal),
        }
    }

    /// A piece of a page does not wait as asked, since the page has: a dozen pieces would take as long as many pages.
    fn again_after(&mut self, delay: Duration, retry_after: Option<Duration>) -> Next {
        let asked = retry_after.filter(|_| self.patience != Patience::Piece).unwrap_or_default();
        self.wait(delay.max(asked.min(RETRY_AFTER_MAX)), Step::Acquire(Target::Own))
    }

    fn wait(&mut self, wait: Duration, then: Step) -> Next {
        self.after_wait = then;
        Next::Do(Step::Wait(wait))
    }
}

/// How the permit of a request was used, for the limits.
pub fn outcome(disposition: &Disposition) -> PermitUse {
    match disposition.status {
        _ if !disposition.was_sent => PermitUse::Unused,
        RequestStatus::Limited => PermitUse::Limited,
        RequestStatus::Served | RequestStatus::Refused | RequestStatus::Unreadable => PermitUse::Served,
        // It is unknown whether the API itself has seen these requests.
        RequestStatus::Failing | RequestStatus::Unanswered => PermitUse::Unanswered,
    }
}

#[cfg(test)]
mod tests;
