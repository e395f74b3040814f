//! A syncer: carries messages between [`Syncing`] and the world, and dies on request.

use super::{
    database::Writer,
    fetch::Wanted,
    library::Tick,
    oracle::Spending,
    process::{Keyed, Write},
    world::{Event, Pid, World},
};
use segno::{
    engine::{
        restart::{Deaths, Exit, RestartPolicy, Ruling},
        run::{Purpose, RunMode, Ticket},
        syncing::{Answer, EndedShort, Place, Step, SyncError, Syncing, SyncingSetup},
    },
    model::{AddedBetween, Checkpoint, Fault, Page, SyncKey},
};

pub struct Syncer {
    pub machine: Syncing,
    pub run: Option<Run>,
    asked_at: Tick,
    /// Lives of its predecessors in the same place, so that no answer to them is taken for one to this.
    lives_before: u32,
    deaths: Deaths,
    /// Messages that it has yet to die over.
    pub num_panics: u32,
    /// While it is dead: the messages that arrive in the meantime.
    mailbox: Option<Vec<Message>>,
}

#[derive(Debug, Clone, Copy)]
pub enum Message {
    Start(Purpose),
    Stop,
}

/// What the oracle knows about a run.
pub struct Run {
    /// When it was ordered; its purpose was known then.
    pub asked_at: Tick,
    pub since: Tick,
    pub num_requests: u32,
    pub spending: Spending,
    pub least: u64,
    /// Whether it was not begun by an earlier process.
    pub is_whole: bool,
    pub was_incremental: bool,
}

/// The asker that waits for an answer of the database.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    pub key: SyncKey,
    pub life: u32,
}

/// A run's query to the store.
#[derive(Debug, Clone, Copy)]
pub enum Reading {
    Progress,
    Place,
    Stale,
    Members(AddedBetween),
}

impl Syncer {
    pub fn new(setup: SyncingSetup) -> Syncer {
        Syncer {
            machine: Syncing::new(setup),
            run: None,
            asked_at: 0,
            lives_before: 0,
            deaths: Deaths::default(),
            num_panics: 0,
            mailbox: None,
        }
    }

    fn life(&self) -> u32 {
        self.lives_before + self.machine.life()
    }
}

impl World {
    fn syncer(&mut self, pid: Pid, key: SyncKey) -> Option<&mut Syncer> {
        let p = self.at(pid)?;
        Some(&mut self.processes[p].syncers[key.place()])
    }

    /// Sends a message to a syncer; while it is dead, the message waits.
    pub fn tell_syncer(&mut self, pid: Pid, key: SyncKey, message: Message) {
        let tick = self.tick;
        let Some(syncer) = self.syncer(pid, key) else { return };
        if matches!(message, Message::Start(_)) {
            syncer.asked_at = tick;
        }
        match (&mut syncer.mailbox, message) {
            (Some(mailbox), message) => mailbox.push(message),
            (None, Message::Start(purpose)) => syncer.machine.handle_start(purpose),
            (None, Message::Stop) => syncer.machine.handle_stop(),
        }
        self.drive(pid, key);
    }

    /// Another syncer takes its place, once there is something to do.
    pub fn dismiss_syncer(&mut self, pid: Pid, key: SyncKey) {
        let setup = self.at(pid).map(|p| self.processes[p].settings.syncing(key.entity));
        let (Some(syncer), Some(setup)) = (self.syncer(pid, key), setup) else { return };
        let (lives_before, num_panics) = (syncer.life() + 1, syncer.num_panics);
        *syncer = Syncer { lives_before, num_panics, ..Syncer::new(setup) };
        self.drop_fetches(pid, Some(key));
    }

    /// Carries out everything that is due.
    pub fn drive(&mut self, pid: Pid, key: SyncKey) {
        while let Some(step) = self.syncer(pid, key).and_then(|syncer| syncer.machine.poll()) {
            self.carry_out_step(pid, key, step);
        }
    }

    fn carry_out_step(&mut self, pid: Pid, key: SyncKey, step: Step) {
        let Some(life) = self.syncer(pid, key).map(|syncer| syncer.life()) else { return };
        let from = Asker { key, life };
        let since = self.syncer(pid, key).and_then(|syncer| Some(syncer.run.as_ref()?.since)).unwrap_or_default();
        match step {
            Step::Abandon => self.drop_fetches(pid, Some(key)),
            Step::LoadProgress => {
                self.check_restarts(pid, key);
                self.soon(Event::Reads { pid, from, what: Reading::Progress });
            }
            Step::BeginRun(phase) => self.write(pid, Write::Begin { from, phase }),
            Step::LoadPlace => self.soon(Event::Reads { pid, from, what: Reading::Place }),
            Step::SwitchPhase { fence, phase } => self.write(pid, Write::Switch { from, fence, phase }),
            Step::Begun { mode, .. } => self.note_run(pid, key, &mode),
            Step::Fetch { ticket, request, patience } => {
                self.check_asked(pid, key, &request);
                self.check_budget(pid, key, patience);
                self.fetch(pid, Wanted::Page { key, ticket, request, patience });
            }
            Step::Commit { fence, draft } => {
                self.write(pid, Write::Commit { from, writer: Writer { key, fence, since }, draft });
            }
            Step::ListStale => self.soon(Event::Reads { pid, from, what: Reading::Stale }),
            Step::ListMembers(wanted) => self.soon(Event::Reads { pid, from, what: Reading::Members(wanted) }),
            Step::Wait { pause, error } => {
                self.tell(|| format!("process {pid}: {key} starts again in {pause:?}: {error}"));
                self.after(pause, Event::Told { pid, from, answer: Box::new(Answer::Waited) });
            }
            Step::NoteEnd { fence, why, .. } => {
                let has_failed = matches!(why, EndedShort::Failed(_));
                self.write(pid, Write::EndRun { from, fence, has_failed });
            }
            Step::NoteFailure(_) => self.write(pid, Write::NoteFailure { from }),
            Step::Ended(end) => {
                if let Some(run) = self.syncer(pid, key).and_then(|syncer| syncer.run.take()) {
                    self.check_end(key, &run, &end);
                }
                let now = self.moment();
                if let Some(p) = self.at(pid) {
                    self.processes[p].runs.handle_ended(key, end, now);
                    self.manage(pid);
                }
            }
        }
    }

    /// A run begins.
    fn note_run(&mut self, pid: Pid, key: SyncKey, mode: &RunMode) {
        let Some(p) = self.at(pid) else { return };
        self.tick += 1;
        let is_whole = !matches!(mode, RunMode::Resume { .. });
        let was_incremental = matches!(mode, RunMode::Incremental { .. });
        self.tally.num_runs += 1;
        self.tally.num_resumed += u64::from(!is_whole);
        let least = self.least_requests(key, mode, self.processes[p].settings.batches);
        self.note_place(pid, key);
        self.tell(|| format!("process {pid}: {key} begins {}", brief(mode)));
        let (asked_at, since) = (self.processes[p].syncers[key.place()].asked_at, self.tick);
        let spending = Spending::default();
        let run = Run { asked_at, since, num_requests: 0, spending, least, is_whole, was_incremental };
        self.processes[p].syncers[key.place()].run = Some(run);
    }

    /// The database is read only now: what the query was about may have changed.
    pub fn reads(&mut self, pid: Pid, from: Asker, what: Reading) {
        let (wall, key) = (self.wall(), from.key);
        if self.cut_off_until(pid).is_some() || self.database.take_fault(false).is_some() {
            let error = SyncError::Passing("the database did not answer".to_owned());
            let answer = match what {
                Reading::Progress => Answer::Progress(Err(error)),
                Reading::Place => Answer::Placed(Err(error)),
                Reading::Stale => Answer::Stale(Err(error)),
                Reading::Members(_) => Answer::Members(Err(error)),
            };
            return self.told(pid, from, answer);
        }
        let books = self.database.of(key);
        let answer = match what {
            Reading::Progress => Answer::Progress(Ok(books.mode())),
            Reading::Place => {
                let open_gaps = books.gaps.iter().filter(|gap| gap.playlist_id.is_none()).cloned().collect();
                Answer::Placed(Ok(Place { mode: books.mode(), num_active: books.num_active, open_gaps }))
            }
            Reading::Stale => Answer::Stale(Ok(books.stale(wall))),
            Reading::Members(wanted) => {
                self.tally.num_searches += 1;
                Answer::Members(Ok(books.members(key.entity, wanted)))
            }
        };
        self.told(pid, from, answer);
    }

    /// For the run under way: if a run is dropped, so are its requests.
    pub fn told_page(&mut self, pid: Pid, key: SyncKey, ticket: Ticket, answer: Result<Page, Fault>) {
        if let Some(life) = self.syncer(pid, key).map(|syncer| syncer.life()) {
            self.told(pid, Asker { key, life }, Answer::Page(ticket, answer));
        }
    }

    pub fn told(&mut self, pid: Pid, from: Asker, answer: Answer) {
        let Asker { key, life } = from;
        let now = self.moment();
        let of_this = |syncer: &mut Syncer| life.checked_sub(syncer.lives_before).filter(|_| syncer.mailbox.is_none());
        let Some(life) = self.syncer(pid, key).and_then(of_this) else { return };
        let is_deadly = matches!(answer, Answer::Progress(_) | Answer::Page(..) | Answer::Committed(_));
        if is_deadly && self.dies(pid, key) {
            return;
        }
        if let Some(syncer) = self.syncer(pid, key) {
            // The machine ignores answers to an earlier life of its own.
            syncer.machine.handle(life, answer, now);
        }
        self.drive(pid, key);
    }

    /// Whether the syncer dies over the message. Its guard rules what follows.
    fn dies(&mut self, pid: Pid, key: SyncKey) -> bool {
        let now = self.moment();
        let Some(syncer) = self.syncer(pid, key) else { return false };
        if syncer.num_panics == 0 || !syncer.machine.is_busy() {
            return false;
        }
        syncer.num_panics -= 1;
        let exit = Exit::Panicked("on purpose".to_owned());
        let ruling = syncer.deaths.handle_exit(&RestartPolicy::default(), &exit, now.at, now.jitter);
        (syncer.machine, syncer.run, syncer.mailbox) = (syncer.machine.reborn(), None, Some(Vec::new()));
        self.drop_fetches(pid, Some(key));
        self.tell(|| format!("process {pid}: the syncer of {key} panics: {ruling:?}"));
        if let Ruling::RestartIn(pause) = ruling {
            self.after(pause, Event::SyncerReborn { pid, key });
        }
        if let Some(p) = self.at(pid) {
            self.processes[p].runs.handle_syncer_died(key, ruling, "on purpose", now);
            self.manage(pid);
        }
        true
    }

    pub fn syncer_reborn(&mut self, pid: Pid, key: SyncKey) {
        let Some(syncer) = self.syncer(pid, key) else { return };
        let (waiting, asked_at) = (syncer.mailbox.take().unwrap_or_default(), syncer.asked_at);
        waiting.into_iter().for_each(|message| self.tell_syncer(pid, key, message));
        // The order was given when the message was sent.
        self.syncer(pid, key).into_iter().for_each(|syncer| syncer.asked_at = asked_at);
    }
}

fn brief(mode: &RunMode) -> String {
    let of = |checkpoint: &Checkpoint| {
        let walk = &checkpoint.walk;
        format!(
            "{} {:?} at {} of {:?}, pass {}",
            checkpoint.phase, walk.place.stage, checkpoint.offset, checkpoint.total, walk.place.pass
        )
    };
    match mode {
        RunMode::Initial => "from nothing".to_owned(),
        RunMode::Incremental { last } => format!("anew after {}", of(last)),
        RunMode::Resume { from } => format!("again from {}", of(from)),
    }
}
