//! One sync to completion in the foreground.

use super::{
    CommandError, Exit, accounts, claim, client,
    database::open_store,
    gate_settings, print, print_json,
    sign_in::{self, SignedIn},
    signals::Signals,
};
use crate::{
    actors::{
        EntityState, GateView, Progress, Service, Supervisor,
        calendar::shared_calendar,
        fetch::Fetcher,
        gate::Close,
        supervisor::{GateOf, Stop, SyncOnce, SyncOutcome},
    },
    cli::{
        SyncArgs,
        numbers::time_of_day,
        progress::{Display, limit_name},
        report::{self, SyncReport},
        stderr::{complain, say},
    },
    clock::{self, SharedCalendar},
    config::Config,
    engine::{
        run::{BatchSizes, Purpose, RunEnd},
        sweep::RemovalGuard,
    },
    metrics::Metrics,
    model::{AccountId, EntityType, Fault, Owner},
    spotify::{Client, Tokens},
    store::{Account, SignIn, Store, StoreError},
};
use actix::Addr;
use std::{
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

/// How long the gate may take to store how many requests were sent.
pub(super) const CLOSE_WITHIN: Duration = Duration::from_secs(1);

pub async fn run(args: SyncArgs, config: &Config, display: Display) -> Result<Exit, CommandError> {
    let SyncArgs { entities, max_wait, confirm_removals, account, json } = args;
    let job = Job::open("sync", Purpose::Current, entities, account.account, max_wait, config).await?;
    let job = Job { confirms_removals: confirm_removals, ..job };
    let Finished { reports, exit, advice } = job.run(config, &display).await?;
    if json {
        print_json(&report::sync_json(&reports))?
    } else {
        print(&report::sync_text(&reports))?
    }
    advice.iter().for_each(|advice| complain(advice));
    Ok(exit)
}

/// A sync as ordered by a command.
pub(super) struct Job {
    /// By its id or name, if one was given.
    pub account: Option<String>,
    pub store: Store,
    pub client: Client,
    pub owner: Owner,
    pub entities: Vec<EntityType>,
    /// The entity types were not named: those that the sign-in is known not to permit are left out, with a message.
    pub are_all_meant: bool,
    pub purpose: Purpose,
    /// The longest pause to sit out.
    pub longest_wait: Duration,
    /// A person confirms the held removals.
    pub confirms_removals: bool,
    /// Without a password, to be shown to people.
    pub database: String,
}

/// How a sync ended.
pub(super) struct Finished {
    /// One for each account.
    pub reports: Vec<SyncReport>,
    pub exit: Exit,
    /// What a person can do about the parts that were not done.
    pub advice: Vec<String>,
}

/// How the sync of one account ended.
struct Synced {
    account: Account,
    outcome: SyncOutcome,
    progress: Progress,
    num_requests: u64,
    duration: Duration,
}

impl Job {
    /// The job of a command of this name, on the database of the settings; without entities, those of the settings.
    pub async fn open(
        command: &str,
        purpose: Purpose,
        entities: Vec<EntityType>,
        account: Option<String>,
        longest_wait: Duration,
        config: &Config,
    ) -> Result<Job, CommandError> {
        let client = client(config)?;
        let owner = claim::this_process(command);
        let (store, url) = open_store(config, &owner.label).await?;
        let are_all_meant = entities.is_empty();
        let entities = if are_all_meant { config.sync.entities.clone() } else { entities };
        Ok(Job {
            account,
            store,
            client,
            owner,
            entities,
            are_all_meant,
            purpose,
            longest_wait,
            confirms_removals: false,
            database: url.to_string(),
        })
    }

    pub async fn run(self, config: &Config, display: &Display) -> Result<Finished, CommandError> {
        let (store, client, owner) = (self.store.clone(), self.client.clone(), self.owner.clone());
        let calendar = shared_calendar(&store).await?;
        let (service, progress, gate_view) =
            service(config, (store, calendar), client, owner, self.purpose, self.longest_wait);
        let work = self.sync(service, config, progress.clone());
        let (finished, over) = oneshot::channel::<()>();
        let shown = display.show(progress, gate_view, async move {
            let _ = over.await;
        });
        let ended = async move {
            let synced = work.await;
            drop(finished);
            synced
        };
        let (synced, ()) = tokio::join!(ended, shown);
        let synced = synced?;
        let is_one = synced.len() == 1;
        let exits = synced.iter().flat_map(|synced| synced.outcome.ends.values()).map(exit_of);
        let exit = exits.max_by_key(weight).unwrap_or(Exit::Done);
        let told = |synced: &Synced| {
            let whose = if is_one { String::new() } else { format!("{}: ", accounts::name(&synced.account)) };
            advice(&synced.outcome).into_iter().map(move |advice| format!("{whose}{advice}")).collect::<Vec<_>>()
        };
        let advice = synced.iter().flat_map(told).collect();
        let report = |synced: Synced| SyncReport {
            account: synced.account.spotify_id,
            progress: synced.progress,
            num_requests: synced.num_requests,
            duration: synced.duration,
            database: self.database.clone(),
        };
        Ok(Finished { reports: synced.into_iter().map(report).collect(), exit, advice })
    }

    /// Signs in and syncs one account after the other: they share the limits, so syncing them concurrently would not be
    /// faster.
    async fn sync(
        &self,
        service: Service,
        config: &Config,
        progress: watch::Receiver<Progress>,
    ) -> Result<Vec<Synced>, CommandError> {
        let supervisor = Supervisor::start(service);
        let gate = supervisor.send(GateOf).await.map_err(|_| died())?;
        let asked = gate.clone();
        let fetcher = move |tokens| Fetcher::new(self.client.clone(), tokens, asked, Some(self.longest_wait));
        let synced = self.sync_all(&supervisor, config, fetcher, progress).await;
        let _ = tokio::time::timeout(CLOSE_WITHIN, gate.send(Close)).await;
        synced
    }

    async fn sync_all(
        &self,
        supervisor: &Addr<Supervisor>,
        config: &Config,
        fetcher: impl FnOnce(Tokens) -> Fetcher,
        progress: watch::Receiver<Progress>,
    ) -> Result<Vec<Synced>, CommandError> {
        let mut signals = Signals::to_stop()?;
        let mut began = (Instant::now(), self.client.num_requests());
        let signed_in = tokio::select! {
            signed_in = sign_in::sign_in(&self.store, &config.spotify, self.account.as_deref(), fetcher) => signed_in?,
            () = signals.stop() => return Err(CommandError::new(Exit::Interrupted, "stopped before anything was read")),
        };
        let is_one = signed_in.len() == 1;
        let mut all = Vec::new();
        for SignedIn { account, tokens } in signed_in {
            // Before the claim: if a service has the account, its next run takes the answer into account.
            let confirmed = if self.confirms_removals { self.confirm_removals(&account).await? } else { Vec::new() };
            let claimed = claim::take(&self.store, account.id, &self.owner).await;
            if let Err(StoreError::Held(held)) = &claimed
                && !confirmed.is_empty()
            {
                say_confirmed(&confirmed, &format!("the next run of {}", held.owner.label));
                continue;
            }
            claimed?;
            say_confirmed(&confirmed, "this run");
            if !is_one {
                say(&format!("account {}", accounts::name(&account)));
            }
            let entities = self.permitted(account.id).await?;
            let outcome = self.sync_account(supervisor, account.id, tokens, entities, &mut signals).await?;
            let is_stopped = outcome.ends.values().any(|end| matches!(end, RunEnd::Stopped));
            // Nothing runs any more, so `status` need not wait to see whether more follows.
            let accounts = [account.id];
            let given_up = self.store.release(&accounts, self.owner.id, clock::now());
            let _ = tokio::time::timeout(CLOSE_WITHIN, given_up).await;
            let (progress, num_requests) = (progress.borrow().clone(), self.client.num_requests());
            all.push(Synced {
                account,
                outcome,
                progress,
                num_requests: num_requests - began.1,
                duration: began.0.elapsed(),
            });
            began = (Instant::now(), num_requests);
            if is_stopped {
                break;
            }
        }
        Ok(all)
    }

    /// Notes that the person confirms the held removals, and returns how many there are of each entity type.
    async fn confirm_removals(&self, account: &Account) -> Result<Vec<(EntityType, usize)>, CommandError> {
        let held = self.store.held_removals(account.id).await?;
        let num_held = |entity: EntityType| held.iter().filter(|held| held.entity == entity).count();
        let counts: Vec<(EntityType, usize)> =
            self.entities.iter().map(|entity| (*entity, num_held(*entity))).filter(|(_, num)| *num > 0).collect();
        if counts.is_empty() {
            say("no removals are held back");
        } else {
            self.store.confirm_removals(account.id, &self.entities).await?;
        }
        Ok(counts)
    }

    /// What is to be read. A sign-in from before a permission was requested continues without the types that need it.
    async fn permitted(&self, account: AccountId) -> Result<Vec<EntityType>, CommandError> {
        let sign_ins = if self.are_all_meant { self.store.sign_ins().await? } else { Vec::new() };
        let sign_in = sign_ins.into_iter().find(|sign_in| sign_in.account.id == account);
        let missing: Vec<&str> = sign_in.iter().flat_map(SignIn::missing_scopes).map(|scope| scope.name).collect();
        let lacks = |entity: &EntityType| entity.facts().scopes.iter().copied().find(|scope| missing.contains(scope));
        let permitted: Vec<EntityType> =
            self.entities.iter().copied().filter(|entity| lacks(entity).is_none()).collect();
        if permitted.is_empty() {
            // Spotify will report what is wrong with it.
            return Ok(self.entities.clone());
        }
        for (entity, scope) in self.entities.iter().filter_map(|entity| Some((entity, lacks(entity)?))) {
            say(&format!("{entity}: left out, since the sign-in lacks {scope}; \"segno login\" asks for it"));
        }
        Ok(permitted)
    }

    async fn sync_account(
        &self,
        supervisor: &Addr<Supervisor>,
        account_id: AccountId,
        tokens: Tokens,
        entities: Vec<EntityType>,
        signals: &mut Signals,
    ) -> Result<SyncOutcome, CommandError> {
        let (done, mut outcome) = oneshot::channel();
        let sync = SyncOnce { account_id, tokens, entities, done };
        supervisor.send(sync).await.map_err(|_| died())?;
        tokio::select! {
            outcome = &mut outcome => return outcome.map_err(|_| died()),
            () = signals.stop() => {}
        }
        say("stopping: what is complete is committed; running again carries on from there");
        supervisor.do_send(Stop);
        tokio::select! {
            outcome = outcome => outcome.map_err(|_| died()),
            () = signals.stop() => Err(CommandError::new(Exit::Interrupted, "stopped at once; running again carries on")),
        }
    }
}

/// Prints which removals a person has confirmed, and the run that marks them.
fn say_confirmed(confirmed: &[(EntityType, usize)], run: &str) {
    for (entity, num) in confirmed {
        let s = if *num == 1 { "" } else { "s" };
        say(&format!("{entity}: {num} removal{s} confirmed; those that {run} misses too are marked removed"));
    }
}

/// The supervisor is the one actor whose death the process does not survive.
fn died() -> CommandError {
    CommandError::new(Exit::Failed, "the supervisor died; running again carries on from the last committed batch")
}

fn exit_of(end: &RunEnd) -> Exit {
    match end {
        RunEnd::Failed(Fault::SignIn(_) | Fault::NotPermitted(_)) => Exit::LoginNeeded,
        RunEnd::Failed(_) => Exit::Failed,
        RunEnd::Stopped => Exit::Interrupted,
        RunEnd::Paused(_) => Exit::Paused,
        // Whatever is left open is reported, and waits for the listing to settle: running again at once could not help.
        RunEnd::Complete { .. } | RunEnd::Unsteady { .. } => Exit::Done,
    }
}

/// Among several ends, the one that a person most needs to know about is the heaviest.
fn weight(exit: &Exit) -> u8 {
    match exit {
        Exit::LoginNeeded => 5,
        Exit::Failed => 4,
        Exit::Interrupted => 3,
        Exit::Paused => 2,
        Exit::Usage => 1,
        Exit::Done => 0,
    }
}

/// One line for each thing that a person can do about the parts that were not done.
fn advice(outcome: &SyncOutcome) -> Vec<String> {
    let mut steps: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (entity, end) in &outcome.ends {
        if let Some(step) = next_step(end) {
            steps.entry(step).or_default().push(entity.as_str());
        }
    }
    steps.into_iter().map(|(step, entities)| format!("{}: {step}", entities.join(", "))).collect()
}

fn next_step(end: &RunEnd) -> Option<String> {
    match end {
        // A stop was requested, and has been reported.
        RunEnd::Complete { .. } | RunEnd::Unsteady { .. } | RunEnd::Stopped => None,
        RunEnd::Paused(pause) => {
            let (limit, until) = (limit_name(pause.class), time_of_day(pause.until, clock::now()));
            Some(format!("paused by the {limit} until {until}; run again then: it carries on"))
        }
        RunEnd::Failed(Fault::SignIn(_) | Fault::NotPermitted(_)) => {
            Some("sign in again: run \"segno login\"; the next run carries on".into())
        }
        RunEnd::Failed(Fault::Unreachable(_)) => {
            Some("check the network and SEGNO_SPOTIFY_API_URL, then run again: it carries on".into())
        }
        RunEnd::Failed(Fault::Outage(_)) => {
            Some("such refusals are often temporary: run again in a few minutes, it carries on".into())
        }
        RunEnd::Failed(_) => Some("failed; what was committed stays, and the next run carries on".into()),
    }
}

/// What the actors run on, with what they show.
pub(super) fn service(
    config: &Config,
    (store, calendar): (Store, SharedCalendar),
    client: Client,
    owner: Owner,
    purpose: Purpose,
    longest_wait: Duration,
) -> (Service, watch::Receiver<Progress>, watch::Receiver<GateView>) {
    let (progress, seen_progress) = watch::channel(Progress::default());
    let (gate_view, seen_gate) = watch::channel(GateView::default());
    let service = Service {
        calendar,
        store,
        client,
        gate: gate_settings(config),
        batches: batches(config),
        purpose,
        guard: guard(config),
        playlists: Arc::new(config.sync.playlists.clone()),
        longest_wait: Some(longest_wait),
        owner,
        progress: Rc::new(progress),
        gate_view,
        metrics: Metrics::default(),
    };
    (service, seen_progress, seen_gate)
}

pub(super) fn batches(config: &Config) -> BatchSizes {
    BatchSizes { initial: config.sync.initial_batch_size, incremental: config.sync.incremental_batch_size }
}

pub(super) fn guard(config: &Config) -> RemovalGuard {
    RemovalGuard { percent_max: config.sync.removal_guard, wait: config.sync.removal_wait }
}

/// Whether every entity type was synced to its end.
pub(super) fn is_complete(report: &SyncReport) -> bool {
    report.progress.entities.values().all(|seen| matches!(seen.state, EntityState::Complete { .. }))
}
