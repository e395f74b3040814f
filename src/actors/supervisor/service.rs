//! The supervisor of a service: accounts come and go, runs begin when [`crate::engine::schedule`] says so, and it goes
//! on until it is stopped.

use super::{AccountActors, Supervisor, Work};
use crate::{
    actors::{checkpoint_writer::PlanRun, driven::Dismiss, now, progress::EntityState},
    clock,
    engine::{
        backoff::{OUTAGE_BASE, OUTAGE_CAP},
        playback::PlaybackSettings,
        run::{BatchSizes, Purpose, RunEnd},
        schedule::{Plan, Remembered, Schedule},
        service::{Over, Runs},
        sweep::RemovalGuard,
    },
    faults,
    model::{AccountId, EntityType, Fault, PlaylistChoice, SyncKey},
    spotify::Tokens,
};
use actix::{AsyncContext, Handler, Message, MessageResult};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};
use tokio::sync::oneshot;
use tracing::{debug, error, info, warn};

/// How often the schedule is looked at. Looking costs nothing; a timer for the next moment would sleep through a
/// suspend of the machine.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The service under way.
pub struct Serving {
    pub(super) entities: Vec<EntityType>,
    names: BTreeMap<AccountId, String>,
    done: Option<oneshot::Sender<Over>>,
}

impl Serving {
    pub(super) fn finish(&mut self, over: Over) {
        if let Some(done) = self.done.take() {
            let _ = done.send(over);
        }
    }

    fn name(&self, account: AccountId) -> &str {
        self.names.get(&account).map_or("?", String::as_str)
    }
}

impl Supervisor {
    pub(super) fn serving(&mut self) -> Option<&mut Serving> {
        match &mut self.work {
            Work::Service(serving) => Some(serving),
            Work::Nothing | Work::Once { .. } => None,
        }
    }

    /// A run of the service ended, and the next one is planned: stores the plan, and logs it.
    pub(super) fn tell_planned(&mut self, key: SyncKey, end: &RunEnd, plan: Plan, is_told: bool) {
        let num_requests = self.tallies.get(&key).map_or(0, |tally| tally.requests_before + tally.requests);
        let seen = self.service.progress.borrow().entities.get(&key).cloned().unwrap_or_default();
        let counts = seen.counts;
        let next_run_at = plan.next_run_at;
        let Some(serving) = self.serving() else { return };
        let (account, entity) = (serving.name(key.account).to_owned(), key.entity);
        let next = next_run_at.map_or_else(|| "not planned".to_owned(), |at| at.format("%F %T UTC").to_string());
        match end {
            RunEnd::Complete { notes, .. } => {
                let (new, updated, removed) = (counts.new, counts.updated, counts.removed);
                info!(account, %entity, new, updated, removed, requests = num_requests, next, "complete");
                notes.iter().for_each(|note| info!(account, %entity, "{note}"));
            }
            RunEnd::Unsteady { notes, in_a_row } => {
                let (new, updated) = (counts.new, counts.updated);
                warn!(account, %entity, new, updated, in_a_row, requests = num_requests, next, "{}", notes.join("; "));
            }
            RunEnd::Paused(pause) => {
                let (limit, until) = (pause.class.as_str(), pause.until);
                info!(account, %entity, limit, %until, at = seen.done, of = seen.total, "paused; carries on then");
            }
            RunEnd::Stopped => debug!(account, %entity, "stopped"),
            // One cause may stop all entity types; it is reported once.
            RunEnd::Failed(fault) if is_told => debug!(account, %entity, next, "{fault}"),
            RunEnd::Failed(Fault::SignIn(why)) => {
                error!(account, %entity, "{why}; run \"segno login\": this service then continues by itself");
            }
            RunEnd::Failed(fault) => {
                let advice = advice(fault);
                warn!(account, %entity, next, "{fault}{advice}");
            }
        }
        if *end != RunEnd::Stopped {
            self.writer.do_send(PlanRun { key, at: next_run_at });
        }
    }

    /// The caller drives the runs afterwards.
    fn stop_syncers(&mut self, account: AccountId) {
        self.stop_tracker(account);
        let Some(actors) = self.accounts.remove(&account) else { return };
        // What they have not committed is requested again some day.
        actors.syncers.values().for_each(|syncer| syncer.do_send(Dismiss));
        self.runs.handle_released(account, now());
        self.service.progress.send_modify(|progress| progress.entities.retain(|key, _| key.account != account));
    }
}

/// What a person can do about it, where the fault does not say so itself.
fn advice(fault: &Fault) -> &'static str {
    match fault {
        Fault::Refused(_) | Fault::NotPermitted(_) => {
            "; it is tried again soon, then once a day, and after the next sign-in"
        }
        Fault::Away(_) | Fault::Internal(_) => "; what was committed stays, and the next run carries on",
        Fault::Outage(_)
        | Fault::Unreachable(_)
        | Fault::Unservable(_)
        | Fault::Forbidden(_)
        | Fault::Gone(_)
        | Fault::Paused(_)
        | Fault::SignIn(_)
        | Fault::Overtaken(_)
        | Fault::Stopped => "",
    }
}

/// Begins the service; `done` receives how it ends. Accounts are added by [`Adopt`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Serve {
    pub interval: Duration,
    pub playback: PlaybackSettings,
    pub entities: Vec<EntityType>,
    pub done: oneshot::Sender<Over>,
}

impl Handler<Serve> for Supervisor {
    type Result = ();

    fn handle(&mut self, serve: Serve, ctx: &mut Self::Context) {
        let Serve { interval, playback, entities, done } = serve;
        self.playback = Some(playback);
        self.service.metrics.set_interval(interval);
        self.work = Work::Service(Serving { entities, names: BTreeMap::new(), done: Some(done) });
        let schedule =
            Schedule::new(interval).with_outage_waits(faults::hastened(OUTAGE_BASE), faults::hastened(OUTAGE_CAP));
        self.runs = Runs::service(self.service.purpose, schedule);
        ctx.run_interval(LOOK_EVERY, Supervisor::drive);
    }
}

/// From now on an account is kept current, with these tokens; sent again with others after a new sign-in.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Adopt {
    pub account_id: AccountId,
    pub name: String,
    pub tokens: Tokens,
    pub remembered: BTreeMap<EntityType, Remembered>,
    /// Paused by hand.
    pub paused: BTreeSet<EntityType>,
}

impl Handler<Adopt> for Supervisor {
    type Result = ();

    fn handle(&mut self, adopt: Adopt, ctx: &mut Self::Context) {
        let Adopt { account_id: account, name, tokens, remembered, paused } = adopt;
        self.stop_syncers(account);
        let actors: AccountActors = self.actors_of(account, tokens);
        self.accounts.insert(account, actors);
        self.start_tracker(account, ctx);
        let (Work::Service(serving), Some(schedule)) = (&mut self.work, &mut self.runs.schedule) else { return };
        serving.names.insert(account, name);
        for entity in EntityType::ALL.iter().copied() {
            let key = SyncKey { account, entity };
            if paused.contains(&entity) {
                schedule.handle_paused(key);
            } else {
                schedule.handle_resumed(key);
            }
        }
        for entity in serving.entities.clone() {
            let known = remembered.get(&entity).copied().unwrap_or_default();
            let key = SyncKey { account, entity };
            schedule.handle_added(key, known, clock::instant(), clock::now());
        }
        self.drive(ctx);
    }
}

/// From now on an account is left alone: signed out, or taken over by another process.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Release(pub AccountId);

impl Handler<Release> for Supervisor {
    type Result = ();

    fn handle(&mut self, Release(account): Release, ctx: &mut Self::Context) {
        if let Some(schedule) = &mut self.runs.schedule {
            schedule.handle_removed(|key| key.account == account);
        }
        self.stop_syncers(account);
        self.drive(ctx);
    }
}

/// Settings that can change while the service runs.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Reconfigure {
    pub interval: Duration,
    pub playback: PlaybackSettings,
    pub entities: Vec<EntityType>,
    pub batches: BatchSizes,
    pub purpose: Purpose,
    pub guard: RemovalGuard,
    pub playlists: Arc<PlaylistChoice>,
}

impl Handler<Reconfigure> for Supervisor {
    type Result = ();

    fn handle(&mut self, new: Reconfigure, ctx: &mut Self::Context) {
        self.service.batches = new.batches;
        self.service.playlists = new.playlists;
        self.service.metrics.set_interval(new.interval);
        (self.runs.purpose, self.service.purpose, self.service.guard) = (new.purpose, new.purpose, new.guard);
        self.change_playback(new.playback);
        let running: BTreeSet<SyncKey> = self.runs.running().collect();
        for (account, actors) in &mut self.accounts {
            // Replaced with the next run; one under way ends as it began.
            let is_running = |entity: &EntityType| running.contains(&SyncKey { account: *account, entity: *entity });
            actors.syncers.retain(|entity, _| is_running(entity));
            actors.outdated = actors.syncers.keys().copied().collect();
        }
        let accounts: Vec<AccountId> = self.accounts.keys().copied().collect();
        let (Work::Service(serving), Some(schedule)) = (&mut self.work, &mut self.runs.schedule) else { return };
        let (now, wall) = (clock::instant(), clock::now());
        schedule.handle_interval(new.interval, now, wall);
        schedule.handle_removed(|key| !new.entities.contains(&key.entity) && !running.contains(key));
        let added = new.entities.iter().copied().filter(|entity| !serving.entities.contains(entity));
        for entity in added.collect::<Vec<_>>() {
            for account in &accounts {
                schedule.handle_added(SyncKey { account: *account, entity }, Remembered::default(), now, wall);
            }
        }
        serving.entities = new.entities;
        self.drive(ctx);
    }
}

/// Asks whether the supervisor is alive; the answer contains how many runs are under way and how many messages wait.
#[derive(Debug, Message)]
#[rtype(result = "Pulse")]
pub struct TakePulse;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    pub num_accounts: usize,
    pub num_running: usize,
    pub num_paused: usize,
    pub num_failed: usize,
}

impl Handler<TakePulse> for Supervisor {
    type Result = MessageResult<TakePulse>;

    fn handle(&mut self, _: TakePulse, _: &mut Self::Context) -> Self::Result {
        let progress = self.service.progress.borrow();
        let count = |is: fn(&EntityState) -> bool| progress.entities.values().filter(|seen| is(&seen.state)).count();
        MessageResult(Pulse {
            num_accounts: self.accounts.len(),
            num_running: self.runs.running().count(),
            num_paused: count(|state| matches!(state, EntityState::Paused(_))),
            num_failed: count(|state| matches!(state, EntityState::Failed(_))),
        })
    }
}

impl fmt::Display for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pulse { num_accounts, num_running, num_paused, num_failed } = self;
        let s = if *num_accounts == 1 { "" } else { "s" };
        write!(f, "{num_accounts} account{s}: {num_running} running, {num_paused} paused, {num_failed} failed")
    }
}
