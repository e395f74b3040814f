//! One request of a run, from the permit to the answer, as `src/actors/fetch.rs` makes it.

use super::{
    api::Answer,
    process::Process,
    scenario::Failure,
    world::{Event, Pid, World},
};
use segno::{
    engine::{
        backoff::{Backoff, Patience, Retry},
        gate::Outcome,
        run::Ticket,
    },
    model::{EntityType, Fault, LimitClass, Page, PageRequest, Pause},
};
use std::time::Duration;

/// Refusals by a limit in a row for one request.
const LIMITED_MAX: u32 = 20;

/// When a request counts as unanswered.
const TIMEOUT: Duration = Duration::from_secs(30);

pub struct Fetch {
    number: u64,
    entity: EntityType,
    ticket: Ticket,
    pub request: PageRequest,
    patience: Patience,
    pub permit: Option<u64>,
    tries: u32,
    failing_since: Option<Duration>,
    num_limited: u32,
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
    pub fn fetch(&mut self, pid: Pid, entity: EntityType, ticket: Ticket, request: PageRequest, patience: Patience) {
        let Some(p) = self.at(pid) else { return };
        let process = &mut self.processes[p];
        process.num_fetches += 1;
        let number = process.num_fetches;
        let (permit, failing_since) = (None, None);
        let fetch =
            Fetch { number, entity, ticket, request, patience, permit, tries: 0, failing_since, num_limited: 0 };
        process.fetches.push(fetch);
        // The gate is an actor of its own: it hears of it a moment later.
        self.soon(Event::TryAgain { pid, fetch: number });
    }

    pub fn acquire(&mut self, pid: Pid, fetch: u64) {
        let Some(p) = self.at(pid) else { return };
        if self.processes[p].fetch(fetch).is_some_and(|fetch| fetch.permit.is_none()) {
            self.ask(pid, fetch);
        }
    }

    /// Whoever asked may be gone: then the permit goes back as if it had never been granted.
    pub fn granted(&mut self, pid: Pid, permit: u64, fetch: Option<u64>) {
        let Some(p) = self.at(pid) else { return };
        let Some(number) = fetch.filter(|fetch| self.processes[p].fetch(*fetch).is_some()) else {
            return self.return_permit(pid, permit, Outcome::Unused);
        };
        let fetch = self.processes[p].fetch_mut(number).expect("it is there");
        fetch.permit = Some(permit);
        let (request, entity) = (fetch.request.clone(), fetch.entity);
        if let Some(run) = &mut self.processes[p].syncers[entity as usize].run {
            run.num_requests += 1;
        }
        self.check_sent(p, request.family());
        self.check_run_length(p, entity);
        self.tell(|| format!("process {pid}: asks {request:?}"));
        let wait = self.latency();
        self.after(wait, Event::Arrives { pid, fetch: number, request });
    }

    fn latency(&mut self) -> Duration {
        Duration::from_millis(self.random.u64(10..80))
    }

    pub fn arrives(&mut self, pid: Pid, fetch: u64, request: &PageRequest) {
        let answer = self.api.answer(request, &mut self.library, self.now, self.tick);
        self.tell(|| format!("the API answers process {pid}: {}", told(&answer)));
        if let (Answer::Failed(_), PageRequest::Listing { entity, offset, limit: limit @ (1 | 2) }) = (&answer, request)
        {
            // Whoever asks for a single slot (and the one before it) does so because nothing larger comes: it is taken for
            // one that never does. An outage that ends meanwhile looks the same.
            self.tick += 1;
            let (tick, listing) = (self.tick, self.library.of_mut(*entity));
            let from = *offset as usize;
            let asked = listing.order.iter().skip(from).take(*limit as usize).copied();
            let is_spoilt = asked.clone().any(|number| listing.item(number).is_spoilt);
            if !is_spoilt {
                listing.items.iter_mut().for_each(|item| item.hidden_at = tick);
            }
        }
        let wait = match &answer {
            Answer::Failed(Failure::Silent) => TIMEOUT,
            _ => self.latency(),
        };
        self.after(wait, Event::Answered { pid, fetch, answer });
    }

    pub fn answered(&mut self, pid: Pid, number: u64, answer: Answer) {
        let Some(p) = self.at(pid) else { return };
        let now = self.now;
        let process = &mut self.processes[p];
        let Some(fetch) = process.fetch_mut(number) else { return };
        let Some(permit) = fetch.permit else { return };
        let (outcome, fault) = match answer {
            Answer::Page(page) => {
                process.last_answer = Some(now);
                self.return_permit(pid, permit, Outcome::Served);
                return self.deliver(pid, number, Ok(page));
            }
            Answer::Limited { class, retry_after } => {
                fetch.num_limited += 1;
                return self.report_limited(pid, number, class, retry_after);
            }
            Answer::Failed(Failure::Broken) => (Outcome::Unanswered, Fault::Unservable("502".to_owned())),
            Answer::Failed(Failure::Malformed) => (Outcome::Served, Fault::Unservable("no JSON".to_owned())),
            Answer::Failed(Failure::Silent) => (Outcome::Unanswered, Fault::Unreachable("no answer".to_owned())),
            Answer::SignedOut => {
                self.return_permit(pid, permit, Outcome::Unanswered);
                return self.deliver(pid, number, Err(Fault::SignIn("sign in again".to_owned())));
            }
        };
        self.return_permit(pid, permit, outcome);
        self.failed(pid, number, fault);
    }

    /// The pause that a refusal brought is in the database.
    pub fn pause_noted(&mut self, pid: Pid, number: u64) {
        let Some(p) = self.at(pid) else { return };
        let Some(fetch) = self.processes[p].fetch_mut(number) else { return };
        let (permit, num_limited) = (fetch.permit.take(), fetch.num_limited);
        if let Some(permit) = permit {
            self.return_permit(pid, permit, Outcome::Limited);
        }
        if num_limited <= LIMITED_MAX {
            self.acquire(pid, number);
        } else {
            self.failed(pid, number, Fault::Unreachable("limited again and again".to_owned()));
        }
    }

    /// Tries again as long as that is worth it.
    fn failed(&mut self, pid: Pid, number: u64, fault: Fault) {
        let (now, jitter) = (self.now, self.random.f64());
        let Some(p) = self.at(pid) else { return };
        let last_answer = self.processes[p].last_answer;
        let Some(fetch) = self.processes[p].fetch_mut(number) else { return };
        fetch.permit = None;
        fetch.tries += 1;
        let since = *fetch.failing_since.get_or_insert(now);
        let others_answered = last_answer.is_some_and(|answered| answered > since);
        match Backoff::default().rule(fetch.patience, fetch.tries, now - since, others_answered, jitter) {
            Retry::After(wait) => {
                self.check_patience(pid, now - since);
                self.after(wait, Event::TryAgain { pid, fetch: number });
            }
            Retry::GiveUp => self.deliver(pid, number, Err(fault)),
        }
    }

    pub fn refused(&mut self, pid: Pid, number: u64, pause: Pause) {
        self.deliver(pid, number, Err(Fault::Paused(pause)));
    }

    fn deliver(&mut self, pid: Pid, number: u64, answer: Result<Page, Fault>) {
        let Some(p) = self.at(pid) else { return };
        let process = &mut self.processes[p];
        let Some(at) = process.fetches.iter().position(|fetch| fetch.number == number) else { return };
        let Fetch { entity, ticket, .. } = process.fetches.swap_remove(at);
        self.told_page(pid, entity, ticket, answer);
    }

    /// Whoever asked is gone. What is under way comes to nothing; what waits is found out when it is its turn.
    pub fn drop_fetches(&mut self, pid: Pid, entity: EntityType) {
        let Some(p) = self.at(pid) else { return };
        let process = &mut self.processes[p];
        let mut permits = Vec::new();
        process.fetches.retain(|fetch| {
            let stays = fetch.entity != entity;
            permits.extend(fetch.permit.filter(|_| !stays));
            stays
        });
        for permit in permits {
            self.return_permit(pid, permit, Outcome::Unanswered);
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
        Answer::SignedOut => "signed out".to_owned(),
    }
}
