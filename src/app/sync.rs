//! One sync to completion in the foreground.

use super::{CommandError, Exit, client, gate_settings, open_store, print, process_label, sign_in};
use crate::{
    actors::{
        EntityState, GateView, Progress, Service, Supervisor,
        fetch::{Fetcher, Vitals},
        gate::Close,
        supervisor::{GateOf, Outcome, Stop, SyncOnce},
    },
    cli::{
        SyncArgs,
        numbers::time_of_day,
        progress::{Display, limit_name},
        report::SyncReport,
        voice::{complain, say},
    },
    clock,
    config::Config,
    engine::{
        backoff::Backoff,
        run::{BatchSizes, RunEnd},
    },
    model::{EntityType, Fault},
    spotify::{Client, Tokens},
    store::Store,
};
use actix::Addr;
use std::{
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
};
use uuid::Uuid;

/// How long the gate may take to note how many requests were sent.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

pub async fn run(args: SyncArgs, config: &Config, display: Display) -> Result<Exit, CommandError> {
    let client = client(config)?;
    let label = process_label("sync");
    let (store, url) = open_store(config, &label).await?;
    let job = Job {
        store,
        client,
        label,
        entities: if args.entities.is_empty() { config.sync.entities.clone() } else { args.entities },
        longest_wait: args.max_wait,
        database: url.to_string(),
    };
    let Finished { report, exit, advice } = job.run(config, &display).await?;
    print(&if args.json { report.json() + "\n" } else { report.text() })?;
    advice.iter().for_each(|advice| complain(advice));
    Ok(exit)
}

/// One sync, as a command wants it.
pub(super) struct Job {
    pub store: Store,
    pub client: Client,
    pub label: String,
    pub entities: Vec<EntityType>,
    /// The longest pause to sit out.
    pub longest_wait: Duration,
    /// Shown to people, so without a password.
    pub database: String,
}

/// How a sync ended.
pub(super) struct Finished {
    pub report: SyncReport,
    pub exit: Exit,
    /// What a person can do about what was not done.
    pub advice: Vec<String>,
}

impl Job {
    pub async fn run(self, config: &Config, display: &Display) -> Result<Finished, CommandError> {
        let started_at = Instant::now();
        let (progress_sender, progress) = watch::channel(Progress::default());
        let (gate_sender, gate_view) = watch::channel(GateView::default());
        let client = self.client.clone();
        let service = Service {
            store: self.store.clone(),
            client: self.client.clone(),
            gate: gate_settings(config),
            batches: BatchSizes {
                initial: config.sync.initial_batch_size,
                incremental: config.sync.incremental_batch_size,
            },
            longest_wait: Some(self.longest_wait),
            owner: Uuid::new_v4(),
            label: self.label,
            progress: Rc::new(progress_sender),
            gate_view: gate_sender,
        };
        let work = sync(service, self.store, config, self.entities);
        let (finished, over) = oneshot::channel::<()>();
        let shown = display.show(progress.clone(), gate_view, async move {
            let _ = over.await;
        });
        let ended = async move {
            let outcome = work.await;
            drop(finished);
            outcome
        };
        let (outcome, ()) = tokio::join!(ended, shown);
        let outcome = outcome?;
        let report = SyncReport {
            progress: progress.borrow().clone(),
            num_requests: client.num_requests(),
            duration: started_at.elapsed(),
            database: self.database,
        };
        Ok(Finished { report, exit: exit_of(&outcome), advice: advice(&outcome) })
    }
}

/// Signs in, syncs, and stops in good order when told to.
async fn sync(
    service: Service,
    store: Store,
    config: &Config,
    entities: Vec<EntityType>,
) -> Result<Outcome, CommandError> {
    let longest_wait = service.longest_wait;
    let client = service.client.clone();
    let claim = (service.owner, service.label.clone());
    let supervisor = Supervisor::start(service);
    let gate = supervisor.send(GateOf).await.map_err(|_| died())?;
    let asked = gate.clone();
    let fetcher = move |tokens| Fetcher {
        client,
        tokens,
        gate: asked,
        account: None,
        backoff: Backoff::default(),
        longest_wait,
        vitals: Rc::new(Vitals::default()),
    };
    let outcome = work(&supervisor, &store, config, entities, claim, fetcher).await;
    let _ = tokio::time::timeout(CLOSE_WITHIN, gate.send(Close)).await;
    outcome
}

async fn work(
    supervisor: &Addr<Supervisor>,
    store: &Store,
    config: &Config,
    entities: Vec<EntityType>,
    claim: (Uuid, String),
    fetcher: impl FnOnce(Tokens) -> Fetcher,
) -> Result<Outcome, CommandError> {
    let mut told = Told::listen()?;
    let signed_in = tokio::select! {
        signed_in = sign_in::sign_in(store, &config.spotify, fetcher) => signed_in?,
        () = told.next() => return Err(CommandError::new(Exit::Interrupted, "stopped before anything was read")),
    };
    store.claim(signed_in.account_id, claim.0, &claim.1).await?;
    let (done, mut outcome) = oneshot::channel();
    let sync = SyncOnce { account_id: signed_in.account_id, tokens: signed_in.tokens, entities, done };
    supervisor.send(sync).await.map_err(|_| died())?;
    tokio::select! {
        outcome = &mut outcome => return outcome.map_err(|_| died()),
        () = told.next() => {}
    }
    say("stopping: what is whole is committed; running again carries on from there");
    supervisor.do_send(Stop);
    tokio::select! {
        outcome = outcome => outcome.map_err(|_| died()),
        () = told.next() => Err(CommandError::new(Exit::Interrupted, "stopped at once; running again carries on")),
    }
}

/// The supervisor is the one actor whose death the process does not survive.
fn died() -> CommandError {
    CommandError::new(Exit::Failed, "the supervisor died; running again carries on from the last committed batch")
}

fn exit_of(outcome: &Outcome) -> Exit {
    let exits = outcome.ends.values().map(|end| match end {
        RunEnd::Failed(Fault::SignIn(_)) => Exit::LoginNeeded,
        RunEnd::Failed(_) => Exit::Failed,
        RunEnd::Stopped => Exit::Interrupted,
        RunEnd::Paused(_) => Exit::Paused,
        RunEnd::Complete { .. } => Exit::Done,
    });
    let weight = |exit: &Exit| match exit {
        Exit::LoginNeeded => 5,
        Exit::Failed => 4,
        Exit::Interrupted => 3,
        Exit::Paused => 2,
        Exit::Usage => 1,
        Exit::Done => 0,
    };
    exits.max_by_key(weight).unwrap_or(Exit::Done)
}

/// One line for each thing that a person can do about what was not done.
fn advice(outcome: &Outcome) -> Vec<String> {
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
        // A stop was asked for, and has been told.
        RunEnd::Complete { .. } | RunEnd::Stopped => None,
        RunEnd::Paused(pause) => {
            let (limit, until) = (limit_name(pause.class), time_of_day(pause.until, clock::now()));
            Some(format!("paused by the {limit} until {until}; run again then: it carries on"))
        }
        RunEnd::Failed(Fault::SignIn(_)) => Some(
            "sign in again: set SEGNO_SPOTIFY_REFRESH_TOKEN to a new refresh token; the next run carries on".into(),
        ),
        RunEnd::Failed(Fault::Unreachable(_)) => {
            Some("check the network and SEGNO_SPOTIFY_API_URL, then run again: it carries on".into())
        }
        RunEnd::Failed(_) => Some("failed; what was committed stays, and the next run carries on".into()),
    }
}

/// SIGTERM and Ctrl-C.
struct Told {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Told {
    fn listen() -> Result<Told, CommandError> {
        let listen = |kind| signal(kind).map_err(|error| CommandError::failed(&error));
        Ok(Told { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Whether every entity type was synced to its end.
pub(super) fn is_complete(report: &SyncReport) -> bool {
    report.progress.entities.values().all(|seen| matches!(seen.state, EntityState::Complete { .. }))
}
