//! The service between the sockets: takes a request and the time, returns the reply. Each request is handled as one
//! step, under one lock, at the instant it arrives; anything that takes time (latency, delays) is left to the shell.
//!
//! The order of a step: is the token valid, do the limits allow it, which rules apply, edits before, the answer, edits
//! after, the journal.

use std::collections::VecDeque;
use std::time::Duration;

use super::actions::Fault;
use super::applied::Applied;
use super::config::{Config, Dialect};
use super::consent::{self, Consent};
use super::edits::{self, Edit};
use super::faults::{Plan, Question, Rules, Target};
use super::http::{ApiError, Delivery, Moment, Query, Reply, Request};
use super::library::{Account, Library};
use super::limits::{Class, Limiter, Manners, Origin, Pause, Scope};
use super::log::{Answered, Journal, NO_STATUS, WINDOW_DEFAULT};
use super::oauth::{OAuth, Unauthorized};
use super::reshape::{is_compressed, reshape};
use super::routes::{Endpoint, Family, Route};
use super::shares::{self, Share};
use super::truth::Truth;
use super::{generate, listings};

/// Most libraries in a history; the oldest are dropped first.
const HISTORY_MAX: usize = 1_000;

/// All state of a sandbox.
#[derive(Debug)]
pub struct Service {
    /// The library of the person whom the step is about; between steps, that of the first person.
    pub library: Library,
    /// The libraries of the others, in order.
    others: Vec<Library>,
    /// Playlists that several people list.
    pub shares: Vec<Share>,
    /// The refresh tokens that sign each person in without consent.
    pub refresh_tokens: Vec<String>,
    pub dialect: Dialect,
    pub latency: Duration,
    pub oauth: OAuth,
    pub limiter: Limiter,
    pub rules: Rules,
    pub journal: Journal,
    pub has_control: bool,
}

impl Service {
    /// A service, and the refresh token that it starts with.
    pub fn new(config: &Config, now: Moment) -> (Service, String) {
        let (oauth, refresh_tokens) =
            OAuth::new(config.seed, config.users, config.access_token_ttl, config.rotate_refresh_token);
        let refresh_token = refresh_tokens.first().cloned().unwrap_or_default();
        let other = |user: usize| {
            let mut library = generate::library(&config.library, config.seed.wrapping_add(user as u64));
            library.account.display_name = format!("Sandbox Listener {}", user + 1);
            library
        };
        let window = config.limits.rate.map_or(WINDOW_DEFAULT, |(_, window)| window);
        let service = Service {
            library: generate::library(&config.library, config.seed),
            others: (1..config.users).map(other).collect(),
            shares: Vec::new(),
            refresh_tokens,
            dialect: config.dialect,
            latency: config.latency,
            oauth,
            limiter: Limiter::new(config.limits.clone()),
            rules: Rules::default(),
            journal: Journal::new(now, window),
            has_control: config.control,
        };
        (service, refresh_token)
    }

    /// Answers a request to the API or to the sign-in that arrives now.
    pub fn answer(&mut self, request: &Request<'_>, now: Moment) -> Reply {
        match Route::of(request.path) {
            Route::Api(endpoint) => {
                let user = self.oauth.check(request.authorization, now.instant).map_or(0, |(user, _)| user);
                self.on_behalf_of(user, |service| service.answer_api(endpoint, request, now))
            }
            Route::Token => self.answer_sign_in(Family::Token, request, now),
            Route::Authorize => self.answer_sign_in(Family::Authorize, request, now),
            Route::Control(_) | Route::Nowhere => Reply::from(ApiError::NO_SERVICE),
        }
    }

    /// Takes a step with another person's library in place of the first's.
    pub fn on_behalf_of<T>(&mut self, user: usize, step: impl FnOnce(&mut Service) -> T) -> T {
        let Some(at) = user.checked_sub(1).filter(|at| *at < self.others.len()) else { return step(self) };
        std::mem::swap(&mut self.library, &mut self.others[at]);
        let outcome = step(self);
        std::mem::swap(&mut self.library, &mut self.others[at]);
        outcome
    }

    /// All people, starting with the first.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        std::iter::once(&self.library).chain(&self.others).map(|library| &library.account)
    }

    fn answer_api(&mut self, endpoint: Endpoint<'_>, request: &Request<'_>, now: Moment) -> Reply {
        let family = endpoint.family();
        let manners = self.limiter.manners(family, now.instant);
        let mut reply = self.decide(endpoint, request, now);
        reply.delay += self.latency;
        self.write_down(family, manners, request, &reply, now);
        reply
    }

    fn answer_sign_in(&mut self, family: Family, request: &Request<'_>, now: Moment) -> Reply {
        let user = self.oauth.whose(&Query::parse(request.body));
        let target = Target { user, family, path: request.path, slots: None };
        let plan = self.rules.plan(&target, now.instant);
        let mut reply = self.carry_out(plan, family, 0, now, |service, _| match family {
            Family::Token => service.token(request, now),
            _ => service.authorize(request, now),
        });
        reply.delay += self.latency;
        self.write_down(family, Manners::Fine, request, &reply, now);
        reply
    }

    fn write_down(&mut self, family: Family, manners: Manners, request: &Request<'_>, reply: &Reply, now: Moment) {
        let status = if reply.delivery == Delivery::Never { NO_STATUS } else { reply.status };
        let &Request { method, path, query, .. } = request;
        self.journal.record(Answered { method, path, query, family, manners, status }, now.instant);
    }

    fn decide(&mut self, endpoint: Endpoint<'_>, request: &Request<'_>, now: Moment) -> Reply {
        let family = endpoint.family();
        let (user, may_ask) = match self.oauth.check(request.authorization, now.instant) {
            Ok((user, scopes)) => {
                (user, endpoint.scopes().iter().all(|scope| scopes.split(' ').any(|held| held == *scope)))
            }
            Err(problem) => return unauthorized(problem),
        };
        if let Err(refusal) = self.limiter.admit(family, now.instant, self.latency) {
            return Reply::from(refusal);
        }
        let query = Query::parse(request.query.as_bytes());
        let slots = listings::slots(&self.library, endpoint, &query);
        let first = slots.as_ref().map_or(0, |slots| slots.start);
        let target = Target { user: Some(user), family, path: request.path, slots };
        let plan = self.rules.plan(&target, now.instant);
        let first = if plan.question.from_start { 0 } else { first };
        self.carry_out(plan, family, first, now, |service, question| {
            let answer = if request.method != "GET" {
                Err(ApiError::METHOD)
            } else if !may_ask {
                Err(ApiError::SCOPE)
            } else {
                let (query, library) = (question.instead_of(&query), service.library.as_of(question.back));
                listings::answer(library, service.dialect, endpoint, &query)
            };
            answer.unwrap_or_else(Reply::from)
        })
    }

    /// Applies the rules around an answer, and to it.
    fn carry_out(
        &mut self,
        plan: Plan,
        family: Family,
        first: usize,
        now: Moment,
        answer: impl FnOnce(&mut Service, Question) -> Reply,
    ) -> Reply {
        self.edit_by_rule(&plan.before, now);
        let Plan { delay, question, changes, .. } = plan;
        let answer = |service: &mut Service| {
            let reply = answer(service, question);
            if changes.is_empty() { reply } else { Reply { body: reshape(&reply.body, first, &changes), ..reply } }
        };
        let mut reply = match plan.fault {
            None => answer(self),
            Some(Fault::Instead { reply, pretends }) => {
                if let Some(seconds) = reply.retry_after_s() {
                    self.pretend_pause(pretends, family, seconds, delay, now);
                }
                Reply::from(reply)
            }
            Some(Fault::Unauthorized) => unauthorized(Unauthorized::Expired),
            Some(Fault::Hang) => Reply { delivery: Delivery::Never, ..Reply::new(204, "", Vec::new()) },
            Some(Fault::Cut { bytes }) => {
                let reply = answer(self);
                let bytes = bytes.min(reply.body.len().saturating_sub(1));
                Reply { delivery: Delivery::Cut { bytes }, ..reply }
            }
            Some(Fault::Truncate { bytes }) => {
                let mut reply = answer(self);
                reply.body.truncate(bytes.min(reply.body.len().saturating_sub(1)));
                reply
            }
            Some(Fault::Reshape(change)) => {
                let reply = answer(self);
                Reply { body: reshape(&reply.body, first, &[change]), ..reply }
            }
        };
        reply.delay += delay;
        reply.is_compressed = is_compressed(&changes);
        self.edit_by_rule(&plan.after, now);
        reply
    }

    /// An answer with a `Retry-After` begins a pause like a real one; if it is not a 429, the pause does not refuse.
    fn pretend_pause(&mut self, pretends: Option<Class>, family: Family, seconds: u64, delay: Duration, now: Moment) {
        let (class, scope) = match pretends {
            Some(Class::Rate) => (Class::Rate, Scope::All),
            Some(Class::Quota) => (Class::Quota, Scope::Family(family)),
            Some(Class::Outage) | None => (Class::Outage, Scope::Family(family)),
        };
        if !family.is_limited() {
            return;
        }
        self.limiter.pause(Pause {
            scope,
            class,
            origin: Origin::Rule,
            announced_at: now.instant + self.latency + delay,
            until: now.instant + Duration::from_secs(seconds),
        });
    }

    /// Applies edits in one step, which becomes one entry of the history, if there is one.
    pub fn edit(&mut self, edits: &[Edit], now: Moment) -> Result<Vec<Applied>, String> {
        let applied = edits::apply_all(&mut self.library, edits, now.utc);
        // Even after an error: the edits before it are kept.
        self.remember();
        applied
    }

    /// Begins a history with the present library.
    pub fn begin_history(&mut self) {
        self.library.history = Some(VecDeque::new());
        self.library.past.clear();
        self.remember();
    }

    /// Whether past libraries of anybody are known.
    pub fn has_history(&self) -> bool {
        std::iter::once(&self.library).chain(&self.others).any(|library| !library.past.is_empty())
    }

    /// Puts a playlist of the person whom the step is about into another person's list.
    pub fn share(&mut self, share: Share) -> Result<(), String> {
        if share.with == share.of {
            return Err("a playlist is shared with somebody else".to_owned());
        }
        self.shares.push(share);
        Ok(())
    }

    /// Copies one person's changes in a playlist to the others who list it.
    pub fn spread(&mut self) {
        for share in self.shares.clone() {
            let mut libraries: Vec<&mut Library> = std::iter::once(&mut self.library).chain(&mut self.others).collect();
            let Ok([one, other]) = libraries.get_disjoint_mut([share.of, share.with]) else { continue };
            let changed = shares::spread(one, other, &share.playlist_id);
            if let Some(user) = changed.then_some(share.with) {
                self.on_behalf_of(user, Service::remember);
            }
        }
    }

    fn remember(&mut self) {
        let Some(mut history) = self.library.history.take() else { return };
        self.library.keep_copy();
        if history.len() == HISTORY_MAX {
            history.pop_front();
        }
        let truth = Truth::of(&self.library, self.dialect);
        history.push_back(serde_json::to_value(truth).expect("a library is plain data"));
        self.library.history = Some(history);
    }

    fn edit_by_rule(&mut self, edits: &[Edit], now: Moment) {
        if edits.is_empty() {
            return;
        }
        if let Err(message) = self.edit(edits, now) {
            tracing::warn!(message, "edit of a fault rule could not be applied");
            self.journal.edit_failed();
        }
    }

    fn token(&mut self, request: &Request<'_>, now: Moment) -> Reply {
        if request.method != "POST" {
            return Reply::from(ApiError::METHOD);
        }
        let form = Query::parse(request.body);
        match self.oauth.token(&form, now.instant) {
            Ok(tokens) => {
                if form.get("grant_type") == Some("refresh_token") {
                    self.journal.token_refreshed();
                }
                Reply::json(200, &tokens).with_header("Cache-Control", "no-store")
            }
            Err(error) => Reply::json(400, &error),
        }
    }

    fn authorize(&mut self, request: &Request<'_>, now: Moment) -> Reply {
        if request.method != "GET" {
            return Reply::from(ApiError::METHOD);
        }
        let query = Query::parse(request.query.as_bytes());
        if let Err(page) = self.oauth.check_request(&query) {
            return Reply::new(400, "text/plain; charset=utf-8", page);
        }
        let manners = &self.oauth.manners;
        let clicked = query.get("sandbox_user").and_then(|user| user.parse().ok());
        let user = match (query.get("sandbox_deny"), clicked, manners.consent) {
            (Some("1"), _, _) | (_, None, Consent::Deny) => None,
            (_, Some(user), _) => Some(user),
            (_, None, Consent::Agree) => Some(manners.user),
            (_, None, Consent::Page) => {
                let scopes = manners.grant(query.get("scope").unwrap_or_default());
                let page = consent::page(request.query, &scopes, self.accounts());
                return Reply::new(200, "text/html; charset=utf-8", page);
            }
        };
        if user.is_some_and(|user| user > self.others.len()) {
            return Reply::new(400, "text/plain; charset=utf-8", "there is no such person");
        }
        match self.oauth.authorize(&query, user, now.instant) {
            Ok(location) => Reply::new(302, "", Vec::new()).with_header("Location", location),
            Err(page) => Reply::new(400, "text/plain; charset=utf-8", page),
        }
    }
}

fn unauthorized(problem: Unauthorized) -> Reply {
    Reply::api_error(401, problem.message()).with_header("WWW-Authenticate", problem.challenge())
}
