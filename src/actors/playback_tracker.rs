//! Keeps the listening history of one account: polls when [`crate::engine::playback`] says so, and has the result
//! written.
//!
//! It is independent of the syncers, and waits only for pauses of its own family and of the whole application.
//! After a panic, as after a restart, it continues from the last poll on record in the database. A commit whose reply
//! is lost is not sent again: the next poll reads the whole window anyway.

use super::{
    checkpoint_writer::{CheckpointWriter, CommitPlays, NotePlayback, WriteError},
    driven::{Dismiss, Driven},
    driver,
    fetch::Fetcher,
    sync_error::looked,
    traces,
};
use crate::{
    clock,
    engine::{
        matching,
        playback::{Playback, PlaybackSettings, Setback, Standing, Step, Verdict},
    },
    faults,
    model::{AccountId, Family, Fault, KnownPlays, PlaybackNote, PlaybackRecord, PlaysCommit, PlaysPage},
    store::{Store, StoreError},
};
use actix::{Actor, Addr, Context, Handler, Message, Recipient, SpawnHandle, Supervised};
use chrono::{DateTime, Utc};
use std::{cell::Cell, time::Duration};
use tracing::{Instrument, debug, error, info, warn};

/// Longest pause that a poll sits out at the gate; a longer one is reported and waited for here.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Interval between tries to read the state of the tracking while the database does not answer.
const RETRY_DATABASE_AFTER: Duration = Duration::from_secs(1);

/// What a tracker is given for life.
#[derive(Clone)]
pub struct TrackerSetup {
    pub account_id: AccountId,
    pub store: Store,
    pub writer: Addr<CheckpointWriter>,
    pub fetcher: Fetcher,
    pub settings: PlaybackSettings,
    pub observer: Recipient<PlaysObserved>,
}

/// Something about the tracking of an account changed.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct PlaysObserved {
    pub account_id: AccountId,
    pub standing: Standing,
    pub next_poll_at: Option<DateTime<Utc>>,
    /// The findings of the poll just committed.
    pub verdict: Option<Verdict>,
    /// Sent to the API for this poll, refused ones included.
    pub num_requests: u32,
}

pub struct PlaybackTracker {
    setup: TrackerSetup,
    engine: Option<Playback>,
    /// The one thing under way: reading the record, waiting, asking or writing.
    task: Option<SpawnHandle>,
    num_requests: u32,
}

/// A page, and what the database knows around it.
type Answer = Result<(PlaysPage, KnownPlays), Fault>;

impl PlaybackTracker {
    pub fn new(setup: TrackerSetup) -> PlaybackTracker {
        let longest_wait = setup.fetcher.longest_wait.map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT));
        let fetcher = Fetcher { longest_wait: Some(longest_wait), ..setup.fetcher };
        let setup = TrackerSetup { fetcher, ..setup };
        PlaybackTracker { setup, engine: None, task: None, num_requests: 0 }
    }
}

impl Driven for PlaybackTracker {
    fn task(&mut self) -> &mut Option<SpawnHandle> {
        &mut self.task
    }

    fn drive(&mut self, ctx: &mut Context<Self>) {
        let Some(engine) = &mut self.engine else { return };
        match engine.poll(clock::instant(), clock::now()) {
            Step::Ask => {
                let (setup, account_id) = (self.setup.clone(), self.setup.account_id);
                let num_requests = Cell::new(0);
                let ask = async move {
                    debug!(account = account_id.0, "asking for the listening history");
                    let answer = ask(&setup, &num_requests).await;
                    (answer, num_requests.get())
                };
                self.work(ctx, ask.instrument(traces::poll(account_id)), |(answer, num_requests), tracker, ctx| {
                    tracker.num_requests = num_requests;
                    tracker.handle_answer(answer, ctx);
                });
            }
            Step::Wait(wait) => self.step(ctx, driver::wait(wait), |(), _| ()),
            Step::Rest => {}
        }
    }
}

impl PlaybackTracker {
    /// Takes its place from the database, whatever was under way.
    fn begin(&mut self, ctx: &mut Context<Self>) {
        faults::visit("tracker.start");
        self.engine = None;
        let (store, account_id) = (self.setup.store.clone(), self.setup.account_id);
        let load = async move {
            let is_told = Cell::new(false);
            driver::insist(
                RETRY_DATABASE_AFTER,
                async || looked(store.load_playback(account_id)).await,
                |error| {
                    if !is_told.replace(true) {
                        warn!(%error, "the state of playback tracking cannot be read; trying again");
                    }
                },
            )
            .await
        };
        self.work(ctx, load, |record: PlaybackRecord, tracker, ctx| {
            let engine = Playback::new(tracker.setup.settings, &record, clock::instant(), clock::now());
            info!(account = tracker.setup.account_id.0, next_poll_at = ?engine.next_poll_at(), "tracking playback");
            tracker.observe(Standing::Tracking, engine.next_poll_at(), None);
            tracker.engine = Some(engine);
            tracker.drive(ctx);
        });
    }

    fn handle_answer(&mut self, answer: Answer, ctx: &mut Context<Self>) {
        faults::visit("tracker.page");
        let (mut page, known) = match answer {
            Ok(answer) => answer,
            Err(fault) => return self.handle_fault(fault, ctx),
        };
        let Some(engine) = &mut self.engine else { return };
        let polled_at = clock::now();
        let verdict = engine.handle_page(&mut page, &known, polled_at, driver::jitter());
        let commit = PlaysCommit {
            account_id: self.setup.account_id,
            pairs: matching::pair_page(&page, &known),
            page,
            gap: verdict.gap,
            num_new: verdict.num_new,
            polled_at,
            next_poll_at: polled_at + verdict.wait,
        };
        let writer = self.setup.writer.clone();
        let write = async move { writer.send(CommitPlays(Box::new(commit))).await };
        self.work(ctx, write, move |written, tracker, ctx| match written {
            Ok(Ok(())) => tracker.handle_committed(verdict, polled_at, ctx),
            Ok(Err(WriteError::Store(error @ StoreError::Fenced { .. }))) => {
                tracker.handle_fault(Fault::Overtaken(error.to_string()), ctx);
            }
            Ok(Err(error)) => tracker.handle_fault(Fault::Internal(error.to_string()), ctx),
            Err(_) => {
                let why = "the checkpoint writer died; whether the last plays were committed is unknown";
                tracker.handle_fault(Fault::Internal(why.to_owned()), ctx);
            }
        });
    }

    fn handle_committed(&mut self, verdict: Verdict, polled_at: DateTime<Utc>, ctx: &mut Context<Self>) {
        faults::visit("tracker.committed");
        let Some(engine) = &mut self.engine else { return };
        engine.handle_committed(&verdict, clock::instant(), polled_at);
        let next_poll_at = engine.next_poll_at();
        let account = self.setup.account_id.0;
        if let Some(gap) = verdict.gap {
            let (after, before) = (gap.played_after, gap.played_before);
            warn!(account, %after, %before, "plays may be missing: there were more than the API shows");
        }
        let Verdict { num_new, num_odd, .. } = verdict;
        debug!(account, num_new, num_odd, ?next_poll_at, "plays committed");
        self.observe(Standing::Tracking, next_poll_at, Some(verdict));
        self.drive(ctx);
    }

    /// The poll failed. The failure is noted for other processes, and logged once.
    fn handle_fault(&mut self, fault: Fault, ctx: &mut Context<Self>) {
        let Some(engine) = &mut self.engine else { return };
        let setback = engine.handle_fault(fault, clock::instant(), clock::now(), driver::jitter());
        self.tell(&setback);
        let Setback { standing, next_poll_at, .. } = setback;
        let (parked_until, why) = match &standing {
            Standing::Parked { until, why } => (Some(*until), Some(why)),
            Standing::Failing(why) | Standing::SignInNeeded(why) | Standing::Stopped(why) => (None, Some(why)),
            Standing::Tracking | Standing::Paused(_) => (None, None),
        };
        let note = PlaybackNote { account_id: self.setup.account_id, next_poll_at, parked_until, error: why.cloned() };
        self.observe(standing, next_poll_at, None);
        let writer = self.setup.writer.clone();
        // If the note is lost, that costs a request after a restart, and nothing else.
        let noted = async move { writer.send(NotePlayback(note)).await };
        self.work(ctx, noted, |noted, tracker, ctx| {
            if !matches!(noted, Ok(Ok(()))) {
                debug!(?noted, "the result of the poll could not be saved");
            }
            tracker.drive(ctx);
        });
    }

    fn tell(&self, setback: &Setback) {
        let (account, next_poll_at) = (self.setup.account_id.0, setback.next_poll_at);
        if !setback.is_news {
            return debug!(account, standing = ?setback.standing, ?next_poll_at, "playback is still not tracked");
        }
        match &setback.standing {
            Standing::Tracking => {}
            Standing::Paused(pause) => {
                let (scope, class) = (pause.scope, pause.class.as_str());
                info!(account, %scope, class, until = %pause.until, "playback is not tracked during the pause");
            }
            Standing::Failing(why) => warn!(account, why, ?next_poll_at, "the listening history cannot be read"),
            Standing::Parked { until, why } => {
                error!(account, why, %until, "playback cannot be tracked; it is tried again then");
            }
            Standing::SignInNeeded(why) => error!(account, why, "playback is not tracked any more"),
            Standing::Stopped(why) => warn!(account, why, "playback is not tracked any more"),
        }
    }

    fn observe(&mut self, standing: Standing, next_poll_at: Option<DateTime<Utc>>, verdict: Option<Verdict>) {
        self.setup.observer.do_send(PlaysObserved {
            account_id: self.setup.account_id,
            standing,
            next_poll_at,
            verdict,
            num_requests: std::mem::take(&mut self.num_requests),
        });
    }
}

/// A page from the API, and what the database knows of it.
async fn ask(setup: &TrackerSetup, num_requests: &Cell<u32>) -> Answer {
    let TrackerSetup { fetcher, store, account_id, .. } = setup;
    let call = async || {
        faults::visit("fetch.plays");
        fetcher.client.recently_played(&fetcher.tokens).await
    };
    let page = fetcher.ask(Family::Player, num_requests, call).await?;
    let known = looked(store.known_plays(*account_id, &page, clock::now())).await;
    let known = known.map_err(|error| Fault::Internal(error.to_string()))?;
    Ok((page, known))
}

impl Actor for PlaybackTracker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.begin(ctx);
    }
}

impl Supervised for PlaybackTracker {
    fn restarting(&mut self, _: &mut Self::Context) {
        (self.engine, self.task, self.num_requests) = (None, None, 0);
    }
}

/// Other settings, from now on.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct ChangePlaybackSettings(pub PlaybackSettings);

impl Handler<ChangePlaybackSettings> for PlaybackTracker {
    type Result = ();

    fn handle(&mut self, ChangePlaybackSettings(settings): ChangePlaybackSettings, ctx: &mut Self::Context) {
        self.setup.settings = settings;
        self.begin(ctx);
    }
}

/// A request in flight is dropped; what the writer has received is committed as a whole.
impl Handler<Dismiss> for PlaybackTracker {
    type Result = ();

    fn handle(&mut self, _: Dismiss, ctx: &mut Self::Context) {
        self.engine = None;
        self.end(ctx);
    }
}
