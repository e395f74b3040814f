//! One request of a run, from the permit to the answer: drives the machine that `src/actors/fetch.rs` drives.

use super::{
    api::Answer,
    library::number_of,
    process::{ACCOUNT, Keyed, Process},
    scenario::{Failure, Settings},
    tracker::LONGEST_WAIT,
    world::{Event, Pid, World},
};
use segno::{
    engine::{
        backoff::{Backoff, Patience},
        gate::PermitUse,
        request::{self, Next, Request, Step, Target},
        run::Ticket,
    },
    model::{
        AccountId, Disposition, Family, Fault, LimitClass, Page, PageRequest, Pause, Remedy, RequestStatus, SyncKey,
    },
};
use std::time::Duration;

/// When a request counts as unanswered.
const TIMEOUT: Duration = Duration::from_secs(30);

pub struct Fetch {
    number: u64,
    wanted: Wanted,
    pub permit: Option<u64>,
    machine: Request,
    answer: Option<Answer>,
}

/// What is requested, and by whom.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// Requested by a syncer.
    Page { key: SyncKey, ticket: Ticket, request: PageRequest, patience: Patience },
    /// Requested by the tracker.
    Plays,
}

impl Wanted {
    fn asker(&self) -> Option<SyncKey> {
        match self {
            Wanted::Page { key, .. } => Some(*key),
            Wanted::Plays => None,
        }
    }
}

impl Fetch {
    /// The family that the present try counts for.
    pub fn family(&self) -> Family {
        match self.machine.target() {
            Target::Probe => Family::Application,
            Target::Own => match &self.wanted {
                Wanted::Page { request, .. } => request.family(),
                Wanted::Plays => Family::Player,
            },
        }
    }

    /// The account it belongs to.
    pub fn account(&self) -> AccountId {
        self.wanted.asker().map_or(ACCOUNT, |key| key.account)
    }

    /// The longest pause that it sits out.
    pub fn longest_wait(&self, settings: &Settings) -> Option<Duration> {
        let longest_wait = settings.longest_wait.map(|wait| Duration::from_secs(wait.into()));
        match self.wanted {
            Wanted::Page { .. } => longest_wait,
            Wanted::Plays => Some(longest_wait.map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT))),
        }
    }
}

impl Process {
    pub fn fetch(&self, number: u64) -> Option<&Fetch> {
        self.fetches.iter().find(|fetch| fetch.number == number)
    }

    fn fetch_mut(&mut self, number: u64) -> Option<&mut Fetch> {
        self.fetches.iter_mut().find(|fetch| fetch.number == number)
    }
}

impl World {
    pub fn fetch(&mut self, pid: Pid, wanted: Wanted) {
        let Some(p) = self.at(pid) else { return };
        let process = &mut self.processes[p];
        process.num_fetches += 1;
        let number = process.num_fetches;
        let (backoff, vitals) = (Backoff::default(), process.vitals.clone());
        let machine = match &wanted {
            Wanted::Page { request, patience, .. } => Request::of_page(request, *patience, backoff, vitals),
            Wanted::Plays => Request::new(Patience::Whole, backoff, vitals),
        };
        process.fetches.push(Fetch { number, wanted, permit: None, machine, answer: None });
        // The gate is an actor of its own: it gets the message a moment later.
        self.soon(Event::TryAgain { pid, fetch: number });
    }

    /// A wait is over, or the first try is due.
    pub fn try_again(&mut self, pid: Pid, fetch: u64) {
        let Some(p) = self.at(pid) else { return };
        match self.processes[p].fetch(fetch).map(|fetch| fetch.machine.poll()) {
            Some(Next::Do(Step::Wait(_))) => self.hear(pid, fetch, request::Event::Waited),
            Some(_) => self.step(pid, fetch),
            None => {}
        }
    }

    /// Reports the outcome of a step to the machine of a fetch, and carries out the next one.
    fn hear(&mut self, pid: Pid, number: u64, event: request::Event) {
        let (now, jitter) = (self.instant(), self.random.f64());
        let Some(p) = self.at(pid) else { return };
        let Some(fetch) = self.processes[p].fetch_mut(number) else { return };
        let is_answer = matches!(event, request::Event::Answered { .. });
        fetch.machine.handle(event, now, jitter);
        if is_answer
            && let (Next::Do(Step::Wait(_)), Some(failing_for)) = (fetch.machine.poll(), fetch.machine.failing_for(now))
        {
            self.check_patience(pid, failing_for);
        }
        self.step(pid, number);
    }

    fn step(&mut self, pid: Pid, number: u64) {
        let Some(p) = self.at(pid) else { return };
        let Some(fetch) = self.processes[p].fetch_mut(number) else { return };
        match fetch.machine.poll() {
            Next::Do(Step::Acquire(_)) => self.ask(pid, number),
            Next::Do(Step::Send(target)) => self.send(pid, number, target),
            Next::Do(Step::Report { class, retry_after }) => self.report_limited(pid, number, class, retry_after),
            // As the actor's timer does.
            Next::Do(Step::Wait(wait)) => {
                self.after(wait + Duration::from_millis(1), Event::TryAgain { pid, fetch: number });
            }
            Next::Done(ended) => {
                let answer = fetch.answer.take();
                let answer = ended.map(|()| answer.expect("it was served"));
                self.deliver(pid, number, answer);
            }
        }
    }

    /// The asker may be gone: then the permit goes back as if it had never been granted.
    pub fn granted(&mut self, pid: Pid, permit: u64, fetch: Option<u64>) {
        let Some(p) = self.at(pid) else { return };
        let Some(number) = fetch.filter(|fetch| self.processes[p].fetch(*fetch).is_some()) else {
            return self.return_permit(pid, permit, PermitUse::Unused);
        };
        self.processes[p].fetch_mut(number).expect("it is there").permit = Some(permit);
        self.hear(pid, number, request::Event::Permitted);
    }

    fn send(&mut self, pid: Pid, number: u64, target: Target) {
        let Some(p) = self.at(pid) else { return };
        if let Some(left) = self.api.tokenless_until.checked_sub(self.now).filter(|left| !left.is_zero()) {
            return self.answers(pid, number, Answer::NoToken(left));
        }
        let Some(fetch) = self.processes[p].fetch(number) else { return };
        let (wanted, family) = (fetch.wanted.clone(), fetch.family());
        let key = wanted.asker();
        if let Some(run) = key.and_then(|key| self.processes[p].syncers[key.place()].run.as_mut()) {
            run.num_requests += 1;
        }
        self.check_sent(p, family);
        self.tell(|| format!("process {pid}: asks {target:?} {wanted:?}"));
        let (wait, wanted) = (self.latency(), Some(wanted).filter(|_| target == Target::Own));
        self.after(wait, Event::Arrives { pid, fetch: number, wanted });
    }

    fn latency(&mut self) -> Duration {
        Duration::from_millis(self.random.u64(10..80))
    }

    /// Without a wanted page it is the probe: something that is known to be there.
    pub fn arrives(&mut self, pid: Pid, fetch: u64, wanted: Option<&Wanted>) {
        // Whatever an odd answer conceals or leaves out was there a moment before.
        self.tick += 1;
        let answer = match wanted {
            Some(Wanted::Page { request, .. }) => self.api.answer(request, &mut self.library, self.now, self.tick),
            Some(Wanted::Plays) => self.show_history(),
            None => self.api.probe(self.now),
        };
        let answer = match (answer, wanted) {
            (
                Answer::Page(_),
                Some(Wanted::Page { key, request: PageRequest::PlaylistItems { playlist_id, .. }, .. }),
            ) if self.scenario.is_barred(*key, number_of(playlist_id)) => Answer::Refused(Remedy::NotShown),
            (answer, _) => answer,
        };
        self.tell(|| format!("the API answers process {pid}: {}", told(&answer)));
        if let (Answer::Failed(_), Some(Wanted::Page { request, .. })) = (&answer, wanted)
            && let PageRequest::Listing { entity, offset, limit: limit @ (1 | 2) } = request
        {
            // A request for a single slot (and the one before it) means that nothing larger is served: if it fails, the
            // slot is taken for one that never is. An outage that ends meanwhile looks the same.
            self.tick += 1;
            let (tick, listing) = (self.tick, self.library.of_mut(*entity));
            let from = *offset as usize;
            let asked = listing.order.iter().skip(from).take(*limit as usize).copied();
            let is_spoilt = asked.clone().any(|number| listing.item(number).is_spoilt);
            if !is_spoilt {
                listing.items.iter_mut().for_each(|item| item.hidden_at = tick);
            }
        }
        self.answers(pid, fetch, answer);
    }

    fn answers(&mut self, pid: Pid, fetch: u64, answer: Answer) {
        let wait = match &answer {
            Answer::Failed(Failure::Silent) => TIMEOUT,
            _ => self.latency(),
        };
        self.after(wait, Event::Answered { pid, fetch, answer });
    }

    pub fn answered(&mut self, pid: Pid, number: u64, answer: Answer) {
        let Some(p) = self.at(pid) else { return };
        let Some(fetch) = self.processes[p].fetch_mut(number) else { return };
        let Some(permit) = fetch.permit else { return };
        let (disposition, why) = disposition(&answer);
        let is_limited = disposition.status == RequestStatus::Limited;
        if !is_limited {
            fetch.permit = None;
        }
        if fetch.machine.poll() == Next::Do(Step::Send(Target::Own)) {
            fetch.answer = Some(answer);
        }
        if !is_limited {
            self.return_permit(pid, permit, request::outcome(&disposition));
        }
        self.hear(pid, number, request::Event::Answered { disposition, why: why.to_owned() });
    }

    /// The pause that follows a refusal is in the database.
    pub fn pause_noted(&mut self, pid: Pid, number: u64) {
        let Some(p) = self.at(pid) else { return };
        let Some(fetch) = self.processes[p].fetch_mut(number) else { return };
        if let Some(permit) = fetch.permit.take() {
            self.return_permit(pid, permit, PermitUse::Limited);
            self.hear(pid, number, request::Event::Reported);
        }
    }

    /// The gate died before it answered.
    pub fn gate_lost(&mut self, pid: Pid, number: u64) {
        self.hear(pid, number, request::Event::GateLost { is_parked: false });
    }

    /// The gate does not wait for the database any more.
    pub fn database_away(&mut self, pid: Pid, number: u64) {
        self.hear(pid, number, request::Event::DatabaseAway("the database does not answer".to_owned()));
    }

    pub fn refused(&mut self, pid: Pid, number: u64, pause: Pause) {
        self.hear(pid, number, request::Event::Paused(pause));
    }

    fn deliver(&mut self, pid: Pid, number: u64, answer: Result<Answer, Fault>) {
        let Some(p) = self.at(pid) else { return };
        let process = &mut self.processes[p];
        let Some(at) = process.fetches.iter().position(|fetch| fetch.number == number) else { return };
        match (process.fetches.swap_remove(at).wanted, answer) {
            (Wanted::Page { key, ticket, request, .. }, Ok(Answer::Page(page))) => {
                self.note_page(pid, key, &request, &page);
                self.told_page(pid, key, ticket, Ok(page));
            }
            (Wanted::Page { key, ticket, .. }, Err(fault)) => self.told_page(pid, key, ticket, Err(fault)),
            (Wanted::Plays, Ok(Answer::Plays(shown))) => self.told_plays(pid, Ok(shown)),
            (Wanted::Plays, Err(fault)) => self.told_plays(pid, Err(fault)),
            (wanted, Ok(answer)) => panic!("{wanted:?} was asked for, and {answer:?} came"),
        }
    }

    /// The asker is gone: a syncer, or the tracker. Requests under way are lost; waiting ones are dropped when it is
    /// their turn.
    pub fn drop_fetches(&mut self, pid: Pid, asker: Option<SyncKey>) {
        let Some(p) = self.at(pid) else { return };
        let process = &mut self.processes[p];
        let mut permits = Vec::new();
        process.fetches.retain(|fetch| {
            let stays = fetch.wanted.asker() != asker;
            permits.extend(fetch.permit.filter(|_| !stays));
            stays
        });
        for permit in permits {
            self.return_permit(pid, permit, PermitUse::Unanswered);
        }
    }
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Page(Page { total, next_cursor, slots, .. }) => {
            format!("{} rows of {total:?}{}", slots.len(), next_cursor.as_ref().map_or("", |_| ", more follow"))
        }
        Answer::Limited { class, retry_after } => {
            format!("429 of the {} limit, {retry_after:?}", LimitClass::as_str(*class))
        }
        Answer::Failed(failure) => format!("{failure:?}"),
        Answer::Refused(remedy) => format!("{remedy:?}"),
        Answer::Plays(shown) => format!("{} plays", shown.page.slots.len()),
        Answer::NoToken(left) => format!("no token for {left:?}"),
        Answer::SignedOut => "signed out".to_owned(),
    }
}

/// How the Spotify client would report it.
fn disposition(answer: &Answer) -> (Disposition, &'static str) {
    let again = Remedy::AskSoonOrDivide { retry_after: None };
    match answer {
        Answer::Page(_) | Answer::Plays(_) => (Disposition::SERVED, ""),
        Answer::Limited { class, retry_after } => {
            let limit = Remedy::Limit { class: *class, retry_after: *retry_after };
            (Disposition::sent(RequestStatus::Limited, limit), "429")
        }
        Answer::Failed(Failure::Broken) => (Disposition::sent(RequestStatus::Failing, again), "502"),
        Answer::Failed(Failure::Malformed) => (Disposition::sent(RequestStatus::Unreadable, again), "no JSON"),
        Answer::Failed(Failure::Silent) => (Disposition::sent(RequestStatus::Unanswered, Remedy::AskSoon), "no answer"),
        Answer::Failed(Failure::Refused) => (Disposition::sent(RequestStatus::Refused, Remedy::AskOnceMore), "403"),
        Answer::Failed(Failure::Html) => {
            (Disposition::sent(RequestStatus::Failing, Remedy::AskSoonPast { retry_after: None }), "HTML")
        }
        Answer::Failed(Failure::Expired) => (Disposition::sent(RequestStatus::Refused, Remedy::AskAgain), "401"),
        Answer::Refused(remedy) => (Disposition::sent(RequestStatus::Refused, *remedy), "404"),
        Answer::NoToken(left) => {
            let (status, remedy) = (RequestStatus::Unanswered, Some(Remedy::AwaitToken { left: *left }));
            (Disposition { status, was_sent: false, remedy }, "no token")
        }
        Answer::SignedOut => (Disposition::sent(RequestStatus::Refused, Remedy::SignIn), "sign in again"),
    }
}
