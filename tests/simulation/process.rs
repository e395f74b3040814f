//! A process: its syncers as directed by [`Runs`], and the writer's mailbox. It carries messages, like `src/actors`.

use super::{
    database::{Fenced, Writer},
    fetch::Fetch,
    gate::GateShell,
    listener::Shown,
    nodes::NodeShell,
    oracle::Before,
    scenario::{DatabaseFault, Settings},
    syncer::{Asker, Message, Syncer},
    tracker::{Heard, Tracker},
    world::{Event, Pid, World},
};
use chrono::{DateTime, Utc};
use segno::{
    engine::{
        gate::GateSettings,
        request::Vitals,
        restart::{Deaths, Exit, RestartPolicy},
        run::{Draft, Purpose, RunEnd, VerifySchedule},
        schedule::{Plan, Remembered, Schedule},
        service::{Over, RunStep, Runs, STOP_WITHIN},
        sweep::RemovalGuard,
        syncing::{Answer, SyncError, SyncingSetup},
    },
    model::{
        AccountId, CommitReport, EntityType, Family, Fault, Fence, Owner, Phase, PlaybackNote, PlaysCommit, SyncKey,
    },
};
use std::{collections::VecDeque, time::Duration};
use uuid::Uuid;

pub const ACCOUNT: AccountId = AccountId(1);

/// A person whose library has the same playlists.
pub const GUEST: AccountId = AccountId(2);

/// The entity types of the account, and the playlists of the guest.
pub const NUM_KEYS: usize = EntityType::ALL.len() + 1;

/// What a syncer works on. A bare entity type means the main account's.
pub trait Keyed: Copy {
    fn key(self) -> SyncKey;

    fn place(self) -> usize {
        let SyncKey { account, entity } = self.key();
        if account == GUEST { NUM_KEYS - 1 } else { entity as usize }
    }

    /// The other account that reads the same listing.
    fn other_reader(self) -> Option<SyncKey> {
        let SyncKey { account, entity } = self.key();
        let account = if account == GUEST { ACCOUNT } else { GUEST };
        entity.has_items().then_some(SyncKey { account, entity })
    }
}

impl Keyed for SyncKey {
    fn key(self) -> SyncKey {
        self
    }
}

impl Keyed for EntityType {
    fn key(self) -> SyncKey {
        SyncKey { account: ACCOUNT, entity: self }
    }
}

/// `sync.interval`.
pub const INTERVAL: Duration = Duration::from_secs(6 * 3600);

/// As in `actors::checkpoint_writer`.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A service that looks at everything every two days.
const RHYTHM: VerifySchedule = VerifySchedule {
    interval: INTERVAL,
    verify_every: Duration::from_secs(48 * 3600),
    artists_every: Duration::from_secs(24 * 3600),
};

pub struct Process {
    pub pid: Pid,
    pub owner: Uuid,
    pub settings: Settings,
    pub gate: GateShell,
    pub syncers: [Syncer; NUM_KEYS],
    pub tracker: Tracker,
    pub runs: Runs,
    pub fetches: Vec<Fetch>,
    pub num_fetches: u64,
    /// When any request was last answered.
    pub vitals: Vitals,
    writes: VecDeque<Write>,
    writer_deaths: Deaths,
    /// The reply to the next write is lost; `true` if the write happened.
    pub loses_reply: Option<bool>,
    /// For the oracle: notes from before this moment were made by a calendar that was set forward since.
    pub misjudges_before: Duration,
    /// For the oracle: when it last looked at what others have noted.
    pub looked_at: Option<Duration>,
    /// For the oracle: what it must not request.
    pub told: Vec<Forbidden>,
    /// In a life with nodes.
    pub node: Option<NodeShell>,
}

/// What a process must not request, from when and until when.
#[derive(Debug, Clone, Copy)]
pub struct Forbidden {
    pub scope: Family,
    pub from: Duration,
    pub until: Duration,
    /// It received the refusal itself.
    pub is_own: bool,
}

/// A message to the checkpoint writer.
#[derive(Debug)]
pub enum Write {
    Begin { from: Asker, phase: Phase },
    Switch { from: Asker, fence: Fence, phase: Phase },
    Commit { from: Asker, writer: Writer, draft: Box<Draft> },
    EndRun { from: Asker, fence: Fence, has_failed: bool },
    NoteFailure { from: Asker },
    Plan { key: SyncKey, at: Option<DateTime<Utc>> },
    Plays { life: u32, commit: Box<PlaysCommit>, shown: Shown },
    NotePlayback { life: u32, note: PlaybackNote },
}

/// The next run that misses the same items is believed: the lives are too short to wait.
const REMOVAL_WAIT: Duration = Duration::ZERO;

#[derive(Debug)]
pub enum Reply {
    Told { from: Asker, answer: Box<Answer> },
    Tracker { life: u32, heard: Heard },
    Planned,
}

impl Write {
    /// The syncer that waits for it; a placeholder for other writes.
    fn asker(&self) -> Asker {
        match self {
            Write::Begin { from, .. }
            | Write::Switch { from, .. }
            | Write::Commit { from, .. }
            | Write::EndRun { from, .. }
            | Write::NoteFailure { from } => *from,
            _ => Asker { key: EntityType::Tracks.key(), life: u32::MAX },
        }
    }

    /// The life of the tracker that waits for it.
    fn tracker(&self) -> Option<u32> {
        match self {
            Write::Plays { life, .. } | Write::NotePlayback { life, .. } => Some(*life),
            _ => None,
        }
    }
}

impl Settings {
    pub fn syncing(&self, entity: EntityType) -> SyncingSetup {
        let (batches, guard) = (self.batches, RemovalGuard { percent_max: self.guard, wait: REMOVAL_WAIT });
        SyncingSetup { entity, batches, guard, policy: RestartPolicy::default() }
    }
}

impl World {
    /// What is kept current.
    pub fn keys(&self) -> Vec<SyncKey> {
        let guests = SyncKey { account: GUEST, entity: EntityType::Playlists };
        let ours = EntityType::ALL.iter().map(|entity| entity.key());
        ours.chain(self.scenario.has_guest.then_some(guests)).collect()
    }

    /// Another process starts, and takes the account.
    pub fn start_process(&mut self) {
        if !self.has_room() {
            return;
        }
        self.num_processes += 1;
        let (pid, now, wall) = (self.num_processes, self.instant(), self.wall());
        let owner = Uuid::from_u128(u128::from(pid));
        let node = self.new_node(owner);
        let is_node = node.is_some();
        if !is_node {
            self.database.claim(owner);
        }
        let mut schedule = Schedule::new(INTERVAL);
        let settings = self.settings;
        // A node adopts what it has claimed.
        for key in self.keys().into_iter().filter(|_| !is_node).filter(|key| settings.entities[key.entity]) {
            let books = self.database.of(key);
            let remembered = Remembered {
                signed_in_at: None,
                next_run_at: books.next_run_at,
                last_updated_at: books.last_updated_at,
                failed_at: books.failed_at,
                is_complete: books.is_complete(),
            };
            schedule.handle_added(key, remembered, now, wall);
        }
        let gate = GateSettings { requests: settings.requests, window: self.window(), ..GateSettings::default() };
        // Not every system reports which processes are alive.
        let place = if self.scenario.seed.is_multiple_of(2) && !is_node { "here" } else { "" };
        let us = Owner { id: owner, label: format!("process {pid}"), place: place.to_owned(), pid };
        let process = Process {
            pid,
            owner,
            settings,
            gate: GateShell::new(gate, us, now, wall),
            syncers: std::array::from_fn(|at| {
                let entity = EntityType::ALL.get(at).copied().unwrap_or(EntityType::Playlists);
                Syncer::new(settings.syncing(entity))
            }),
            tracker: Tracker::default(),
            runs: Runs::service(
                if settings.is_routine { Purpose::Routine(RHYTHM) } else { Purpose::Current },
                schedule,
            ),
            fetches: Vec::new(),
            num_fetches: 0,
            vitals: Vitals::default(),
            writes: VecDeque::new(),
            writer_deaths: Deaths::default(),
            loses_reply: None,
            misjudges_before: self.oracle.misjudged_before,
            looked_at: None,
            told: Vec::new(),
            node,
        };
        self.processes.push(process);
        self.tally.num_processes += 1;
        self.tell(|| format!("process {pid} starts"));
        self.pump(pid);
        if is_node {
            return self.drive_node(pid);
        }
        self.plan_runs(pid);
        self.begin_tracker(pid, Duration::ZERO);
    }

    /// An alarm for each run that is planned.
    pub fn plan_runs(&mut self, pid: Pid) {
        let Some(p) = self.at(pid) else { return };
        let wall = self.wall();
        for key in self.keys() {
            if let Some(at) = self.processes[p].runs.schedule.as_ref().and_then(|schedule| schedule.next_run_at(&key)) {
                let wait = (at - wall).to_std().unwrap_or_default();
                self.after(wait, Event::RunsDue(pid));
            }
        }
    }

    /// Carries out what is due for the runs.
    pub fn manage(&mut self, pid: Pid) {
        while let Some(p) = self.at(pid) {
            let now = self.moment();
            let Some(order) = self.processes[p].runs.poll(now) else { return };
            match order {
                RunStep::Begin { key, purpose } => {
                    self.check_run_begins(pid, key);
                    self.tell_syncer(pid, key, Message::Start(self.purpose_of(key, purpose)));
                }
                RunStep::TakeUp { key, purpose } => {
                    self.tell_syncer(pid, key, Message::Start(self.purpose_of(key, purpose)));
                }
                RunStep::Stop(key) => self.tell_syncer(pid, key, Message::Stop),
                RunStep::Dismiss(key) => self.dismiss_syncer(pid, key),
                RunStep::NoteFailure { key, .. } => {
                    // Nobody waits for it.
                    self.write(pid, Write::NoteFailure { from: Asker { key, life: u32::MAX } });
                }
                RunStep::Ended { key, end, plan, .. } => self.run_ended(pid, key, &end, plan),
                RunStep::Over(Over::Stopped) => self.close(pid),
                RunStep::Over(Over::Failed(_) | Over::Done) => {
                    // The process ends, and its monitor starts another.
                    self.kill(pid);
                    self.after(Duration::from_secs(60), Event::StartProcess);
                }
            }
        }
    }

    /// Once the library stands still, a person wants the database to equal it; where a count reveals nothing,
    /// everything is looked at again.
    fn purpose_of(&self, key: SyncKey, purpose: Purpose) -> Purpose {
        match self.oracle.calm_since {
            Some(_) if self.oracle.wants_verify(key) => Purpose::Verify,
            Some(_) => Purpose::Current,
            None => purpose,
        }
    }

    /// SIGKILL. Requests that have left still reach the API.
    pub fn kill(&mut self, pid: Pid) {
        let Some(p) = self.at(pid) else { return };
        self.processes.remove(p);
        self.watched.note_disturbed(self.now);
        self.tell(|| format!("process {pid} is no more"));
    }

    /// SIGTERM: whatever is whole is committed.
    pub fn stop(&mut self, pid: Pid) {
        let Some(p) = self.at(pid) else { return };
        if self.processes[p].runs.is_stopping() {
            return;
        }
        self.processes[p].runs.handle_stop();
        self.stop_node(pid);
        self.stop_tracker(pid);
        self.after(STOP_WITHIN, Event::StopDeadline(pid));
        self.manage(pid);
    }

    pub fn stop_deadline(&mut self, pid: Pid) {
        let (Some(p), now) = (self.at(pid), self.moment()) else { return };
        self.processes[p].runs.handle_stop_deadline(now);
        self.manage(pid);
    }

    /// The account belongs to another process.
    pub fn dismiss(&mut self, pid: Pid) {
        // A node finds out by itself.
        if self.processes.len() > 1 && self.scenario.fleet.is_none() {
            self.kill(pid);
        }
    }

    /// How the service, and the person, react to the end of a run.
    fn run_ended(&mut self, pid: Pid, key: SyncKey, end: &RunEnd, plan: Option<Plan>) {
        let Some(p) = self.at(pid) else { return };
        let now = self.moment();
        self.tell(|| format!("process {pid}: {key} ended: {end:?}"));
        self.tally.note_end(end);
        let next_run_at = plan.and_then(|plan| plan.next_run_at);
        if *end != RunEnd::Stopped {
            self.write(pid, Write::Plan { key, at: next_run_at });
        }
        let is_ours = self.database.is_of(key.account, self.processes[p].owner);
        if !is_ours && matches!(end, RunEnd::Failed(Fault::Overtaken(_))) {
            self.soon(Event::Dismissed(pid));
        }
        self.check_outage(key, end, next_run_at);
        let is_lost = self.scenario.fleet.is_some() && !self.works_for(p, key.account);
        if next_run_at.is_none() && !self.api.is_signed_out && !is_lost {
            // The person has signed in again meanwhile.
            if let Some(schedule) = &mut self.processes[p].runs.schedule {
                schedule.handle_added(key, Remembered::default(), now.at, now.wall);
            }
            self.soon(Event::RunsDue(pid));
        }
        if let Some(at) = next_run_at {
            self.after((at - now.wall).to_std().unwrap_or_default(), Event::RunsDue(pid));
        }
    }
}

impl World {
    pub fn write(&mut self, pid: Pid, write: Write) {
        let Some(p) = self.at(pid) else { return };
        self.processes[p].writes.push_back(write);
        if self.processes[p].writes.len() == 1 {
            self.soon(Event::Written(pid));
        }
    }

    /// The transaction at the front commits.
    pub fn written(&mut self, pid: Pid) {
        let Some(p) = self.at(pid) else { return };
        let Some(write) = self.processes[p].writes.pop_front() else { return };
        if !self.processes[p].writes.is_empty() {
            self.soon(Event::Written(pid));
        }
        // Notes of failures are repeated until they are written.
        let may_fail =
            matches!(write, Write::Begin { .. } | Write::Switch { .. } | Write::Commit { .. } | Write::Plays { .. });
        let is_plan = matches!(write, Write::Plan { .. });
        if let Some(until) = self.cut_off_until(pid) {
            return self.fail_write(pid, p, write, DatabaseFault::Hangs { is_applied: false }, Some(until));
        }
        if let Some(fault) = if is_plan { None } else { self.database.take_fault(true) } {
            return self.fail_write(pid, p, write, fault, None);
        }
        let is_lost = if may_fail { self.processes[p].loses_reply.take() } else { None };
        self.tell(|| {
            format!("process {pid}: writes {}{}", told(&write), is_lost.map_or("", |_| ", and its reply is lost"))
        });
        let owner = self.processes[p].owner;
        let reply = self.carry_out(owner, write, is_lost.is_none_or(|is_applied| is_applied), is_lost.is_some());
        self.soon(Event::Replied(pid, reply));
    }

    /// The database refuses, or its reply is lost, or it writes later.
    fn fail_write(&mut self, pid: Pid, p: usize, write: Write, fault: DatabaseFault, arrives_at: Option<Duration>) {
        let (from, life) = (write.asker(), write.tracker());
        let refused: fn(SyncError) -> Answer = match &write {
            Write::Begin { .. } => |trouble| Answer::Begun(Err(trouble)),
            Write::Switch { .. } => |trouble| Answer::Switched(Err(trouble)),
            Write::Commit { .. } => |trouble| Answer::Committed(Err(trouble)),
            _ => |trouble| Answer::Noted(Err(trouble)),
        };
        let is_note = matches!(write, Write::NotePlayback { .. });
        self.tell(|| format!("process {pid}: the database fails, {fault:?}"));
        let (wait, trouble) = match fault {
            DatabaseFault::Locked => (Duration::from_secs(5), SyncError::Passing("database is locked".to_owned())),
            DatabaseFault::Full => (Duration::ZERO, SyncError::Lasting("disk is full".to_owned())),
            DatabaseFault::Hangs { is_applied } => {
                let owner = self.processes[p].owner;
                if is_applied {
                    self.carry_out(owner, write, true, true);
                } else if let Some(at) = arrives_at {
                    self.after(at - self.now, Event::ArrivesLate { owner, write });
                }
                (WRITE_TIMEOUT, SyncError::Passing("the database did not answer".to_owned()))
            }
        };
        let reply = match life {
            Some(life) if is_note => Reply::Tracker { life, heard: Heard::Noted },
            Some(life) => Reply::Tracker { life, heard: Heard::Written(Err(Fault::Internal(trouble.to_string()))) },
            None => Reply::Told { from, answer: Box::new(refused(trouble)) },
        };
        self.after(wait, Event::Replied(pid, reply));
    }

    /// The sender no longer waits for it.
    pub fn arrives_late(&mut self, owner: Uuid, write: Write) {
        if matches!(write, Write::Commit { .. } | Write::EndRun { .. }) {
            self.tell(|| format!("late: {}", told(&write)));
            self.carry_out(owner, write, true, true);
        }
    }

    fn carry_out(&mut self, owner: Uuid, write: Write, is_applied: bool, is_lost: bool) -> Reply {
        let wall = self.wall();
        fn result<T>(is_lost: bool, done: Result<T, Fenced>) -> Result<T, SyncError> {
            match done {
                _ if is_lost => Err(SyncError::Passing("a reply was lost".to_owned())),
                Ok(done) => Ok(done),
                Err(Fenced) => Err(SyncError::Overtaken("another process".to_owned())),
            }
        }
        let told = |from, answer| Reply::Told { from, answer: Box::new(answer) };
        match write {
            Write::Begin { from, phase } => {
                let begun = if is_applied { self.database.begin_run(from.key, phase, owner) } else { Err(Fenced) };
                told(from, Answer::Begun(result(is_lost, begun)))
            }
            Write::Switch { from, fence, phase } => {
                let switched =
                    if is_applied { self.database.switch_phase(from.key, phase, fence) } else { Err(Fenced) };
                told(from, Answer::Switched(result(is_lost, switched)))
            }
            Write::Commit { from, writer, draft } => {
                let committed = if is_applied { self.commit(writer, &draft) } else { Err(Fenced) };
                told(from, Answer::Committed(result(is_lost, committed)))
            }
            Write::EndRun { from, fence, has_failed } => {
                let noted = self.database.end_run(from.key, fence, has_failed, wall);
                told(from, Answer::Noted(result(is_lost, noted)))
            }
            Write::NoteFailure { from } => {
                self.database.note_failure(from.key, owner, wall);
                told(from, Answer::Noted(Ok(())))
            }
            Write::Plan { key, at } => {
                if self.scenario.fleet.is_none() || self.database.is_of(key.account, owner) {
                    self.database.plan(key, at, wall);
                }
                Reply::Planned
            }
            Write::Plays { life, commit, shown } => {
                let written = if is_applied { self.commit_plays(owner, &commit, &shown) } else { Ok(()) };
                let written = match result(is_lost, written) {
                    Err(SyncError::Overtaken(by)) => Err(Fault::Overtaken(by)),
                    written => written.map_err(|trouble| Fault::Internal(trouble.to_string())),
                };
                Reply::Tracker { life, heard: Heard::Written(written) }
            }
            Write::NotePlayback { life, note } => {
                self.database.note_playback(&note, owner);
                Reply::Tracker { life, heard: Heard::Noted }
            }
        }
    }

    fn commit(&mut self, writer: Writer, draft: &Draft) -> Result<CommitReport, Fenced> {
        let (wall, before) = (self.wall(), Before::of(self.database.of(writer.key), draft));
        let (report, removed) = self.database.commit(writer, draft, wall)?;
        self.check_owner(writer.key, writer.fence.owner);
        self.tally.num_commits += 1;
        self.check_draft(writer, draft);
        self.check_committed(writer, draft, &removed, before);
        Ok(report)
    }

    fn commit_plays(&mut self, owner: Uuid, commit: &PlaysCommit, shown: &Shown) -> Result<(), Fenced> {
        let num_added = self.database.commit_plays(commit, owner)?;
        self.check_plays(commit, num_added, shown);
        Ok(())
    }

    pub fn replied(&mut self, pid: Pid, reply: Reply) {
        match reply {
            Reply::Told { from, answer } => self.told(pid, from, *answer),
            Reply::Tracker { life, heard } => self.tracker_hears(pid, life, heard),
            Reply::Planned => {}
        }
    }

    /// The writer dies over the first message; its mailbox survives.
    pub fn panic_writer(&mut self, pid: Pid, is_applied: bool) {
        let (Some(p), now) = (self.at(pid), self.moment()) else { return };
        let (policy, exit) = (RestartPolicy::default(), Exit::Panicked("on purpose".to_owned()));
        let process = &mut self.processes[p];
        process.loses_reply = Some(is_applied);
        let ruling = process.writer_deaths.handle_exit(&policy, &exit, now.at, now.jitter);
        process.runs.handle_needed_died(ruling, "the writer keeps failing".to_owned(), now);
        self.manage(pid);
    }
}

fn told(write: &Write) -> String {
    match write {
        Write::Begin { from: Asker { key, .. }, phase } => format!("the beginning of {key} in {phase}"),
        Write::Switch { from: Asker { key, .. }, phase, .. } => format!("{key} on to {phase}"),
        Write::EndRun { from: Asker { key, .. }, .. } | Write::NoteFailure { from: Asker { key, .. } } => {
            format!("how {key} ended")
        }
        Write::Plays { commit, .. } => format!("{} new plays", commit.num_new),
        Write::NotePlayback { note, .. } => format!("how a poll ended, again at {:?}", note.next_poll_at),
        Write::Plan { key, at } => format!("the next run of {key}, {at:?}"),
        Write::Commit { from: Asker { key, .. }, draft, .. } => {
            let Draft { rows, offset_from, offset_to, checkpoint, effects } = draft.as_ref();
            let walk = &checkpoint.walk;
            let parts = match rows {
                segno::model::Rows::PlaylistItems(parts) => parts
                    .iter()
                    .map(|part| format!(" {}@{}+{} {:?}", part.playlist_id, part.offset, part.items.len(), part.end))
                    .collect(),
                segno::model::Rows::Listing(_) => String::new(),
            };
            format!(
                "{key} {offset_from}..{offset_to} ({} rows{parts}), then {:?} at {} of {:?}, pass {}{}{}{}{}{}",
                rows.len(),
                walk.place.stage,
                checkpoint.offset,
                checkpoint.total,
                walk.place.pass,
                if walk.found.unsteady { ", unsteady" } else { "" },
                if checkpoint.is_complete { ", complete" } else { "" },
                walk.memory.discrepancy.map(|n| format!(", discrepancy {n}")).unwrap_or_default(),
                effects.removal.map(|_| ", removes what was not seen").unwrap_or_default(),
                if effects.removed_ids.is_empty() {
                    String::new()
                } else {
                    format!(", removes {:?}", effects.removed_ids)
                },
            )
        }
    }
}
