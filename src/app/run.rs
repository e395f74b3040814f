//! `segno run`: the service. Starts the actors, brings them the accounts that are signed in, and stays until it is
//! stopped. Sign-ins and sign-outs in other processes are noticed in the database (`sign_ins`).

mod node;
mod notices;
mod sign_ins;

use super::{
    CommandError, Exit, claim, client,
    database::open_store,
    indexing::{forget_old_notes, keep_heard_summed_up, keep_lists_indexed},
    insist::insist,
    login::{self, How},
    notify,
    notify::Notice,
    read_from::ReadFrom,
    sign_in,
    signals::{Signals, Told},
    sync::{CLOSE_WITHIN, batches, guard, service},
    web::{self, Kept, WebServer},
};
use crate::{
    actors::{
        Progress, Supervisor,
        calendar::shared_calendar,
        fetch::Fetcher,
        gate::Close,
        notifier::NotifierSetup,
        supervisor::{
            GateOf, Stop,
            notices::Notify,
            service::{Pulse, Reconfigure, Serve, TakePulse},
        },
    },
    cli::{numbers::span, stderr::say},
    clock,
    config::{Config, PlaybackConfig, SyncConfig},
    engine::{
        backoff::{self, OUTAGE_CAP},
        playback::PlaybackSettings,
        run::{Purpose, VerifySchedule},
        service::Over,
    },
    faults::hastened,
    model::{AccountId, Owner},
    spotify::{Client, Tokens},
    store::{DatabaseUrl, SignIn, Store, StoreError},
    telemetry,
};
use actix::Addr;
use chrono::{DateTime, NaiveDate, Utc};
use node::NodeKeeper;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IsTerminal},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, interval_at},
};
use tracing::{info, warn};

/// How soon a sign-in or sign-out of another process is noticed.
const LOOK_FOR_SIGN_INS_EVERY: Duration = Duration::from_secs(3);

/// The same if it may be made at another node, since the person does not know which node it concerns.
const SHARED_SIGN_INS_EVERY: Duration = Duration::from_secs(1);

/// How often to check whether the log of a SQLite file can be folded back.
const FOLD_EVERY: Duration = Duration::from_secs(20);

/// How often a living supervisor is asked to answer, if the system does not set an interval.
const PULSE_EVERY: Duration = Duration::from_secs(20);

/// How long a request of the service itself sits out a pause; a run that meets a longer one ends and comes back later.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

/// Interval between tries to read who is signed in, while the database does not answer.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Shortest wait before a token that was called void is sent once more.
const SENT_AGAIN_MIN: Duration = Duration::from_secs(1);

/// How long a living supervisor may take to answer.
const PULSE_WITHIN: Duration = Duration::from_secs(5);

/// How long the service waits for its own queries to the database.
const ATTENDED_WITHIN: Duration = Duration::from_secs(90);

/// How long the actors may take to end after SIGTERM; the page, the gate's note and the claims have the rest of ten
/// seconds.
const END_WITHIN: Duration = Duration::from_secs(6);

pub(super) async fn run(config: Config, read_from: ReadFrom) -> Result<Exit, CommandError> {
    web::check(&config)?;
    let client = client(&config)?;
    let owner = claim::this_process("run");
    let (store, url) = open_store(&config, &owner.label).await?;
    let calendar = insist(async || shared_calendar(&store).await).await?;
    let (service, seen_progress, seen_gate) =
        service(&config, (store.clone(), calendar), client.clone(), owner.clone(), routine(&config), LONGEST_WAIT);
    let metrics = service.metrics.clone();
    let supervisor = Supervisor::start(service);
    let gate = supervisor.send(GateOf).await.map_err(|_| died())?;
    // Started even while nobody is signed in yet, and says so.
    let page = web::serve(&config, &url, &owner, supervisor.clone(), metrics.clone(), seen_progress.clone(), seen_gate)
        .await?;
    if page.is_some() {
        actix_rt::spawn(keep_lists_indexed(store.clone()));
    }
    actix_rt::spawn(forget_old_notes(store.clone(), config.keep_notes, config.keep_feed));
    actix_rt::spawn(keep_heard_summed_up(store.clone(), owner.id));
    let webhooks = notices::begin(&config, &url, &owner.label, &store).await?;
    #[cfg(feature = "nats")]
    notices::publish(&config, &url, &owner, (&store, &metrics), &supervisor)?;
    if !store.is_shared() {
        supervisor.do_send(Notify(webhooks.clone()));
    }
    let mut watcher = AccountWatcher {
        supervisor,
        store,
        client,
        owner,
        url: url.clone(),
        progress: seen_progress,
        keeper: None,
        config,
        read_from,
        adopted: BTreeMap::new(),
        carried_out: BTreeSet::new(),
        webhooks,
        is_first: false,
        told: BTreeMap::new(),
        warned_on: BTreeMap::new(),
        is_blind: false,
        settled_at: None,
        page,
    };
    info!(database = %url, version = env!("CARGO_PKG_VERSION"), "segno runs");
    let ended = watcher.live().await;
    notify::tell(Notice::Stopping);
    if let Some(page) = watcher.page.take() {
        let _ = tokio::time::timeout(CLOSE_WITHIN, page.close()).await;
    }
    let _ = tokio::time::timeout(CLOSE_WITHIN, gate.send(Close)).await;
    if let Some(keeper) = watcher.keeper.take() {
        keeper.leave().await;
    }
    ended
}

/// Brings accounts to the supervisor, and takes them away again.
struct AccountWatcher {
    supervisor: Addr<Supervisor>,
    store: Store,
    client: Client,
    owner: Owner,
    url: DatabaseUrl,
    progress: watch::Receiver<Progress>,
    /// Holds the accounts; exists once somebody has signed in.
    keeper: Option<NodeKeeper>,
    config: Config,
    read_from: ReadFrom,
    adopted: BTreeMap<AccountId, Adopted>,
    /// Orders that the keeper may still list as open.
    carried_out: BTreeSet<i64>,
    webhooks: Vec<NotifierSetup>,
    /// Whether this node notifies the webhooks.
    is_first: bool,
    /// Why an account is not adopted, as last reported.
    told: BTreeMap<AccountId, String>,
    /// When a warning about the end of a sign-in was last given.
    warned_on: BTreeMap<AccountId, NaiveDate>,
    /// Whether it was reported that the sign-ins could not be read.
    is_blind: bool,
    /// When all held accounts were last seen to be adopted.
    settled_at: Option<std::time::Instant>,
    page: Option<WebServer>,
}

/// An adopted account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Adopted {
    /// The sign-in that it was adopted under.
    revision: DateTime<Utc>,
    /// The number of this node's tenure.
    tenure: u64,
}

/// The service's tasks beside its actors.
#[derive(Debug, Clone, Copy)]
enum Due {
    Reload,
    SignIns,
    /// What this node holds has changed, or an order was given at another.
    Holding,
    Folding,
}

impl AccountWatcher {
    async fn live(&mut self) -> Result<Exit, CommandError> {
        let mut signals = Signals::listen()?;
        let (done, mut served) = oneshot::channel();
        let (interval, entities) = (hastened(self.config.sync.interval), self.config.sync.entities.clone());
        self.supervisor
            .send(Serve { interval, playback: playback(&self.config), entities, done })
            .await
            .map_err(|_| died())?;
        let begin = async {
            self.begin().await?;
            self.join().await?;
            self.look_for_sign_ins().await
        };
        tokio::select! {
            begun = begin => begun?,
            () = signals.stop() => {
                info!("stopped before anything was read");
                return Ok(Exit::Done);
            }
        }
        notify::tell(Notice::Ready);

        let mut holding = self.holding();
        let mut sign_ins = every(if self.store.is_shared() { SHARED_SIGN_INS_EVERY } else { LOOK_FOR_SIGN_INS_EVERY });
        let mut foldings = every(hastened(FOLD_EVERY).max(LOOK_FOR_SIGN_INS_EVERY));
        let (supervisor, mut is_waited_for) = (self.supervisor.clone(), false);
        let mut pulses = every(notify::watchdog().map_or(PULSE_EVERY, |within| PULSE_EVERY.min(within / 3)));
        let alive_at = self.alive_at();
        loop {
            let due = tokio::select! {
                served = &mut served => return end_of(served.map_err(|_| died())?),
                told = signals.next() => match told {
                    Told::Stop => break,
                    Told::Reload => Due::Reload,
                },
                _ = sign_ins.tick() => Due::SignIns,
                changed = holding.changed() => match changed {
                    Ok(()) => Due::Holding,
                    Err(_) => return Err(died()),
                },
                _ = foldings.tick() => Due::Folding,
                _ = pulses.tick() => {
                    take_pulse(&supervisor, &alive_at).await?;
                    continue;
                }
            };
            // A database that hangs delays neither signals nor the watchdog.
            let mut attended = pin!(tokio::time::timeout(ATTENDED_WITHIN, self.attend_to(due)));
            let attended = loop {
                tokio::select! {
                    attended = &mut attended => break Some(attended),
                    () = signals.stop() => break None,
                    _ = pulses.tick() => take_pulse(&supervisor, &alive_at).await?,
                }
            };
            match attended {
                Some(Ok(done)) => (is_waited_for, _) = (false, done?),
                Some(Err(_)) if is_waited_for => {}
                Some(Err(_)) => {
                    is_waited_for = true;
                    warn!("the database has not answered for {} s; it is asked again", ATTENDED_WITHIN.as_secs());
                }
                None => break,
            }
        }
        if let Some(keeper) = &self.keeper {
            keeper.stop();
        }
        info!("stopping: what is complete is committed; the next start carries on from there");
        notify::tell(Notice::Stopping);
        self.supervisor.do_send(Stop);
        let page = self.page.take();
        let close_page = async {
            if let Some(page) = page {
                page.close().await;
            }
        };
        let stopped = async {
            tokio::select! {
                served = tokio::time::timeout(END_WITHIN, served) => match served {
                    Ok(served) => end_of(served.map_err(|_| died())?),
                    // Nothing that hangs is waited for: nothing half-written counts.
                    Err(_) => Ok(Exit::Done),
                },
                () = signals.stop() => {
                    Err(CommandError::new(Exit::Interrupted, "stopped at once; the next start carries on"))
                }
            }
        };
        let (stopped, ()) = tokio::join!(stopped, close_page);
        stopped
    }

    async fn attend_to(&mut self, due: Due) -> Result<(), CommandError> {
        match due {
            Due::Reload => self.reload().await,
            Due::SignIns => self.look_at_holding(false).await?,
            Due::Holding => self.look_at_holding(true).await?,
            Due::Folding => self.fold_when_idle().await,
        }
        Ok(())
    }

    /// Signs in with the settings' token, and makes sure that there is an account to work for. One whose sign-in has
    /// ended counts: the service waits for the person to sign in again.
    async fn begin(&mut self) -> Result<(), CommandError> {
        let mut num_failures = 0;
        loop {
            let gate = self.supervisor.send(GateOf).await.map_err(|_| died())?;
            let client = self.client.clone();
            let fetcher = move |tokens: Tokens| Fetcher::new(client, tokens, gate, Some(LONGEST_WAIT));
            let Err(error) = sign_in::sign_in(&self.store, &self.config.spotify, None, fetcher.clone()).await else {
                return Ok(());
            };
            let known = match self.store.sign_ins().await {
                Ok(sign_ins) => revisions(&sign_ins),
                Err(error @ StoreError::Moved(_)) => return Err(error.into()),
                Err(error) => {
                    warn!("{error}; trying again in {} s", TRY_AGAIN_AFTER.as_secs());
                    tokio::time::sleep(TRY_AGAIN_AFTER).await;
                    continue;
                }
            };
            num_failures += 1;
            let wait = match error.exit {
                // The next look reports it, and a sign-in is noticed.
                Exit::LoginNeeded if !known.is_empty() => return Ok(()),
                Exit::LoginNeeded if self.has_no_token() && io::stdin().is_terminal() => {
                    say("nobody is signed in yet, so that comes first");
                    let how =
                        How { has_browser: true, port: self.config.login.port, timeout: self.config.login.timeout };
                    login::log_in(&self.store, &self.client, how, fetcher).await?;
                    return Ok(());
                }
                Exit::LoginNeeded => match sign_in::doubted_until(&self.store, &self.config.spotify).await? {
                    // One answer does not end a service.
                    Some(until) => {
                        (until - clock::now()).to_std().unwrap_or_default().clamp(SENT_AGAIN_MIN, OUTAGE_CAP)
                    }
                    None => return Err(error),
                },
                // An unreachable API, or a limit: the service waits for those to pass.
                Exit::Failed | Exit::Paused => hastened(backoff::first_sign_in(num_failures)),
                Exit::Done | Exit::Usage | Exit::Interrupted => return Err(error),
            };
            warn!("{error}; trying again in {}", span(wait));
            if self.wait_for_sign_in(wait, &known).await {
                return Ok(());
            }
        }
    }

    /// Waits, but only until somebody signs in. Returns whether anybody did.
    async fn wait_for_sign_in(&self, wait: Duration, known: &BTreeSet<(AccountId, DateTime<Utc>)>) -> bool {
        let until = Instant::now() + wait;
        while Instant::now() < until {
            tokio::time::sleep_until(until.min(Instant::now() + LOOK_FOR_SIGN_INS_EVERY)).await;
            if self.store.sign_ins().await.is_ok_and(|sign_ins| !revisions(&sign_ins).is_subset(known)) {
                return true;
            }
        }
        false
    }

    fn has_no_token(&self) -> bool {
        self.config.spotify.refresh_token.is_none()
    }

    /// While nothing runs, a plain copy of the database file is complete.
    async fn fold_when_idle(&mut self) {
        let pulse = tokio::time::timeout(PULSE_WITHIN, self.supervisor.send(TakePulse)).await;
        if let Ok(Ok(Pulse { num_running: 0, .. })) = pulse
            && let Err(error) = self.store.fold_log().await
        {
            warn!(%error, "the write-ahead log of the database could not be checkpointed");
        }
    }

    /// Applies the settings that can change while the service runs; a file with errors changes nothing.
    async fn reload(&mut self) {
        notify::tell(Notice::Reloading);
        match self.read_from.read(&self.config) {
            Ok(new) => self.take_up(new).await,
            Err(error) => {
                let problems = error.to_string();
                problems.lines().for_each(|line| warn!("settings not reloaded: {line}"));
            }
        }
        notify::tell(Notice::Ready);
    }

    async fn take_up(&mut self, new: Config) {
        for setting in self.config.needs_restart_for(&new) {
            warn!(setting, "changed; it takes effect at the next start");
        }
        if let Err(error) = telemetry::set_filter(&new.log.filter) {
            warn!(%error, "the log stays as it is");
        }
        let (interval, entities) = (hastened(new.sync.interval), new.sync.entities.clone());
        if let Some(page) = &self.page {
            page.take_up(Kept { entities: entities.clone(), playlists: new.sync.playlists.clone() });
        }
        self.supervisor.do_send(Reconfigure {
            interval,
            playback: playback(&new),
            entities,
            batches: batches(&new),
            purpose: routine(&new),
            guard: guard(&new),
            playlists: Arc::new(new.sync.playlists.clone()),
        });
        // Settings that need a restart are kept as they are, or the next reload would not report them any more.
        self.config = Config {
            database_url: self.config.database_url.clone(),
            keep_notes: self.config.keep_notes,
            keep_feed: self.config.keep_feed,
            spotify: self.config.spotify.clone(),
            rate_limit: self.config.rate_limit.clone(),
            login: self.config.login.clone(),
            web: self.config.web.clone(),
            notify: self.config.notify.clone(),
            feed: self.config.feed.clone(),
            ..new
        };
        info!("settings reloaded");
    }
}

/// Who is signed in, and since when.
fn revisions(sign_ins: &[SignIn]) -> BTreeSet<(AccountId, DateTime<Utc>)> {
    let revision = |sign_in: &SignIn| Some((sign_in.account.id, sign_in.revision()?));
    sign_ins.iter().filter_map(revision).collect()
}

async fn take_pulse(
    supervisor: &Addr<Supervisor>,
    alive_at: &watch::Sender<std::time::Instant>,
) -> Result<(), CommandError> {
    let Ok(pulse) = tokio::time::timeout(PULSE_WITHIN, supervisor.send(TakePulse)).await else {
        warn!("the supervisor has not answered for {} s", PULSE_WITHIN.as_secs());
        return Ok(());
    };
    let pulse = pulse.map_err(|_| died())?;
    alive_at.send_replace(clock::steady());
    notify::tell(Notice::Alive);
    notify::tell(Notice::Status(&pulse.to_string()));
    Ok(())
}

/// Ticks from one period on; ticks missed while the machine slept are not made up for.
fn every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// The purpose of every run of the service.
fn routine(config: &Config) -> Purpose {
    let SyncConfig { interval, verify_every, artists_every, .. } = config.sync;
    Purpose::Routine(VerifySchedule {
        interval: hastened(interval),
        verify_every: hastened(verify_every),
        artists_every: hastened(artists_every),
    })
}

fn playback(config: &Config) -> PlaybackSettings {
    let PlaybackConfig { interval, min_interval, max_interval } = config.playback;
    PlaybackSettings {
        interval: hastened(interval),
        min_interval: hastened(min_interval),
        max_interval: hastened(max_interval),
    }
}

fn end_of(over: Over) -> Result<Exit, CommandError> {
    match over {
        Over::Stopped | Over::Done => Ok(Exit::Done),
        Over::Failed(why) => Err(CommandError::new(Exit::Failed, why)),
    }
}

fn died() -> CommandError {
    CommandError::new(Exit::Failed, "the supervisor died; the next start carries on from the last committed batch")
}
