//! A process: its actors' lives and deaths, the writer's mailbox, and the schedule. It does what `src/actors` does, with
//! messages instead of futures.

use super::{
    database::{Fenced, Writer},
    fetch::Fetch,
    gate::GateShell,
    scenario::Settings,
    syncer::Syncer,
    world::{Event, Pid, World},
};
use segno::{
    engine::{
        gate::GateSettings,
        restart::{Deaths, Exit, RestartPolicy, Ruling},
        run::{Draft, RunEnd},
        schedule::{Remembered, Schedule},
    },
    model::{AccountId, Checkpoint, CommitReport, EntityType, Family, Fault, Fence, Owner, Phase, SyncKey},
};
use std::{collections::VecDeque, time::Duration};
use uuid::Uuid;

pub const ACCOUNT: AccountId = AccountId(1);

/// `sync.interval`.
const INTERVAL: Duration = Duration::from_secs(6 * 3600);

/// How long syncers may take to commit what is whole after a stop.
const STOP_WITHIN: Duration = Duration::from_secs(8);

pub struct Process {
    pub pid: Pid,
    pub owner: Uuid,
    pub settings: Settings,
    pub gate: GateShell,
    pub syncers: [Syncer; 4],
    pub schedule: Schedule,
    pub fetches: Vec<Fetch>,
    pub num_fetches: u64,
    /// When any request was last answered.
    pub last_answer: Option<Duration>,
    writes: VecDeque<Write>,
    writer_deaths: Deaths,
    /// The reply to the next write is lost, which happened or not.
    pub loses_reply: Option<bool>,
    pub is_stopping: bool,
    /// For the oracle: what was sent before then was noted by a calendar that was set forward since.
    pub misjudges_before: Duration,
    /// For the oracle: what others have noted is known.
    pub has_looked: bool,
    /// For the oracle: what it must not ask for, from when on and until when.
    pub told: Vec<(Family, Duration, Duration)>,
}

/// A message to the checkpoint writer.
#[derive(Debug)]
pub enum Write {
    Begin { entity: EntityType, life: u32, phase: Phase },
    Switch { entity: EntityType, life: u32, fence: Fence, phase: Phase, is_first: bool },
    Commit { entity: EntityType, life: u32, writer: Writer, draft: Box<Draft> },
}

/// Why a write brought nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Fenced,
    /// Whether it happened is unknown.
    Lost,
}

#[derive(Debug)]
pub enum Reply {
    Begun { entity: EntityType, life: u32, begun: Result<(Fence, Phase), Trouble> },
    Switched { entity: EntityType, life: u32, switched: Result<Box<(Fence, Checkpoint)>, Trouble>, is_first: bool },
    Committed { entity: EntityType, life: u32, report: Result<CommitReport, Trouble> },
}

impl World {
    /// Another process starts, and takes the account.
    pub fn start_process(&mut self) {
        self.num_processes += 1;
        let (pid, now, wall) = (self.num_processes, self.instant(), self.wall());
        let owner = Uuid::from_u128(u128::from(pid));
        self.database.claim(owner);
        let mut schedule = Schedule::new(INTERVAL);
        let settings = self.settings;
        for entity in EntityType::ALL.iter().filter(|entity| settings.entities[**entity as usize]) {
            let books = self.database.of(*entity);
            let remembered = Remembered {
                next_run_at: books.next_run_at,
                failed_at: books.failed_at,
                is_complete: books.is_complete(),
            };
            schedule.handle_added(SyncKey { account: ACCOUNT, entity: *entity }, remembered, now, wall);
        }
        let gate = GateSettings { requests: settings.requests, window: self.window(), ..GateSettings::default() };
        // Not every system tells which processes live.
        let place = if self.scenario.seed % 2 == 0 { "here" } else { "" };
        let us = Owner { id: owner, label: format!("process {pid}"), place: place.to_owned(), pid };
        let process = Process {
            pid,
            owner,
            settings,
            gate: GateShell::new(gate, us, now, wall),
            syncers: Default::default(),
            schedule,
            fetches: Vec::new(),
            num_fetches: 0,
            last_answer: None,
            writes: VecDeque::new(),
            writer_deaths: Deaths::default(),
            loses_reply: None,
            is_stopping: false,
            misjudges_before: self.oracle.misjudged_before,
            has_looked: false,
            told: Vec::new(),
        };
        self.processes.push(process);
        self.tally.num_processes += 1;
        self.tell(|| format!("process {pid} starts"));
        self.pump(pid);
        self.plan_runs(pid);
    }

    /// An alarm for each run that is planned.
    pub fn plan_runs(&mut self, pid: Pid) {
        let Some(p) = self.at(pid) else { return };
        let wall = self.wall();
        for entity in EntityType::ALL {
            let key = SyncKey { account: ACCOUNT, entity: *entity };
            if let Some(at) = self.processes[p].schedule.next_run_at(&key) {
                let wait = (at - wall).to_std().unwrap_or_default();
                self.after(wait, Event::RunsDue(pid));
            }
        }
    }

    pub fn runs_due(&mut self, pid: Pid) {
        let Some(p) = self.at(pid) else { return };
        let (now, wall) = (self.instant(), self.wall());
        if self.processes[p].is_stopping {
            return;
        }
        while let Some(key) = self.processes[p].schedule.poll_due(now, wall) {
            self.check_run_begins(pid, key.entity);
            self.begin(pid, key.entity);
        }
    }

    /// SIGKILL. What has left still reaches the API.
    pub fn kill(&mut self, pid: Pid) {
        let Some(p) = self.at(pid) else { return };
        self.processes.remove(p);
        self.tell(|| format!("process {pid} is no more"));
    }

    /// SIGTERM: commit what is whole.
    pub fn stop(&mut self, pid: Pid) {
        let Some(p) = self.at(pid) else { return };
        if std::mem::replace(&mut self.processes[p].is_stopping, true) {
            return;
        }
        self.after(STOP_WITHIN, Event::StopDeadline(pid));
        for entity in EntityType::ALL {
            self.stop_run(pid, *entity);
        }
        self.close_if_over(pid);
    }

    pub fn close_if_over(&mut self, pid: Pid) {
        let Some(p) = self.at(pid) else { return };
        let process = &self.processes[p];
        if process.is_stopping && process.syncers.iter().all(|syncer| !syncer.is_busy) {
            self.close(pid);
        }
    }

    /// The account is in other hands.
    pub fn dismiss(&mut self, pid: Pid) {
        if self.processes.len() > 1 {
            self.kill(pid);
        }
    }

    /// How a run's end is taken up by the service.
    pub fn run_ended(&mut self, pid: Pid, entity: EntityType, end: &RunEnd) {
        let Some(p) = self.at(pid) else { return };
        self.tell(|| format!("process {pid}: {entity} ended: {end:?}"));
        self.tally.note_end(end);
        let (now, wall, jitter) = (self.instant(), self.wall(), self.random.f64());
        let key = SyncKey { account: ACCOUNT, entity };
        let process = &mut self.processes[p];
        process.syncers[entity as usize].is_busy = false;
        let is_ours = self.database.claimed_by == Some(process.owner);
        let plan = process.schedule.handle_ended(key, end, now, wall, jitter);
        if is_ours {
            self.database.books[entity as usize].next_run_at = plan.next_run_at;
        } else if matches!(end, RunEnd::Failed(Fault::Overtaken(_))) {
            self.soon(Event::Dismissed(pid));
        }
        if plan.next_run_at.is_none() && !self.api.is_signed_out {
            // The person has signed in again meanwhile.
            self.processes[p].schedule.handle_added(key, Remembered::default(), now, wall);
            self.soon(Event::RunsDue(pid));
        }
        if let Some(at) = plan.next_run_at {
            self.after((at - wall).to_std().unwrap_or_default(), Event::RunsDue(pid));
        }
        self.close_if_over(pid);
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
        let is_lost = self.processes[p].loses_reply.take();
        self.tell(|| {
            format!("process {pid}: writes {}{}", told(&write), is_lost.map_or("", |_| ", and its reply is lost"))
        });
        let reply = self.carry_out(p, write, is_lost.is_none_or(|is_applied| is_applied), is_lost.is_some());
        self.soon(Event::Replied(pid, reply));
    }

    fn carry_out(&mut self, p: usize, write: Write, is_applied: bool, is_lost: bool) -> Reply {
        let owner = self.processes[p].owner;
        fn result<T>(done: Result<T, Fenced>, is_lost: bool) -> Result<T, Trouble> {
            if is_lost { Err(Trouble::Lost) } else { done.map_err(|Fenced| Trouble::Fenced) }
        }
        match write {
            Write::Begin { entity, life, phase } => {
                let begun = if is_applied { self.database.begin_run(entity, phase, owner) } else { Err(Fenced) };
                Reply::Begun { entity, life, begun: result(begun.map(|fence| (fence, phase)), is_lost) }
            }
            Write::Switch { entity, life, fence, phase, is_first } => {
                let switched = if is_applied { self.database.switch_phase(entity, phase, fence) } else { Err(Fenced) };
                Reply::Switched {
                    entity,
                    life,
                    switched: result(switched.map(|stored| Box::new((fence, stored))), is_lost),
                    is_first,
                }
            }
            Write::Commit { entity, life, writer, draft } => {
                let committed = if is_applied { self.commit(writer, &draft) } else { Err(Fenced) };
                Reply::Committed { entity, life, report: result(committed, is_lost) }
            }
        }
    }

    fn commit(&mut self, writer: Writer, draft: &Draft) -> Result<CommitReport, Fenced> {
        let (wall, has_held) = (self.wall(), self.database.of(writer.entity).has_held());
        let (report, removed) = self.database.commit(writer, draft, wall)?;
        self.tally.num_commits += 1;
        self.check_draft(writer, draft);
        self.check_committed(writer, draft, &removed, has_held);
        Ok(report)
    }

    pub fn replied(&mut self, pid: Pid, reply: Reply) {
        match reply {
            Reply::Begun { entity, life, begun } => self.begun(pid, entity, life, begun),
            Reply::Switched { entity, life, switched, is_first } => {
                self.switched(pid, entity, life, switched, is_first);
            }
            Reply::Committed { entity, life, report } => self.committed(pid, entity, life, report),
        }
    }

    /// The writer dies over what is at the front; its mailbox survives.
    pub fn panic_writer(&mut self, pid: Pid, is_applied: bool) {
        let Some(p) = self.at(pid) else { return };
        self.processes[p].loses_reply = Some(is_applied);
        let (now, jitter) = (self.instant(), self.random.f64());
        let (policy, exit) = (RestartPolicy::default(), Exit::Panicked("on purpose".to_owned()));
        if self.processes[p].writer_deaths.handle_exit(&policy, &exit, now, jitter) == Ruling::Park {
            // Nothing can go on without it: the process ends, and whoever watches it starts another.
            self.kill(pid);
            self.after(Duration::from_secs(60), Event::StartProcess);
        }
    }
}

fn told(write: &Write) -> String {
    match write {
        Write::Begin { entity, phase, .. } => format!("the beginning of {entity} in {phase}"),
        Write::Switch { entity, phase, .. } => format!("{entity} on to {phase}"),
        Write::Commit { entity, draft, .. } => {
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
                "{entity} {offset_from}..{offset_to} ({} rows{parts}), then {:?} at {} of {:?}, pass {}{}{}{}{}{}",
                rows.len(),
                walk.stage,
                checkpoint.offset,
                checkpoint.total,
                walk.pass,
                if walk.unsteady { ", unsteady" } else { "" },
                if checkpoint.is_complete { ", complete" } else { "" },
                walk.discrepancy.map(|n| format!(", discrepancy {n}")).unwrap_or_default(),
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
