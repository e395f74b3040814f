//! A driver of the gate, like `src/actors/gate.rs`: carries its looks to the model database and its permits to the
//! askers, and gives it a new life after a death.

use super::{
    scenario::DatabaseFault,
    world::{Event, Pid, World},
};
use chrono::{DateTime, Utc};
use segno::{
    engine::{
        gate::{
            GateSettings, PermitUse,
            look::{Look, Looked},
            shared::{SharedGate, Step, Unanswered},
        },
        restart::{Deaths, Exit, RestartPolicy, Ruling},
    },
    model::{Family, LimitClass, Owner, Pause},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// As in `actors::gate`.
const LOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// As in `actors::gate`.
const LATE_AFTER: Duration = Duration::from_secs(3);

/// One in this many looks fails, or its answer is lost.
const LOOKS_LOST: u32 = 60;

/// A message that waits until the gate can receive it.
#[derive(Debug)]
enum Message {
    Return { permit: u64, outcome: PermitUse },
    Limited { fetch: u64, class: LimitClass, retry_after: Option<Duration> },
}

pub struct GateShell {
    pub machine: SharedGate<u64>,
    pub is_down: bool,
    /// Requested permits, with their askers.
    askers: Vec<(u64, u64)>,
    num_asks: u64,
    out: BTreeMap<u64, Family>,
    /// Pauses that may not be stored yet, with the fetches that wait for that.
    limited: Vec<(u64, Option<u64>, Pause)>,
    life: u32,
    alarm: u32,
    mailbox: Vec<Message>,
    is_closed: bool,
    deaths: Deaths,
}

impl GateShell {
    pub fn new(settings: GateSettings, us: Owner, now: Instant, wall: DateTime<Utc>) -> GateShell {
        GateShell {
            machine: SharedGate::new(settings, us, now, wall),
            is_down: false,
            askers: Vec::new(),
            num_asks: 0,
            out: BTreeMap::new(),
            limited: Vec::new(),
            life: 0,
            alarm: 0,
            mailbox: Vec::new(),
            is_closed: false,
            deaths: Deaths::default(),
        }
    }
}

impl World {
    /// Asks for a permit for a fetch.
    pub fn ask(&mut self, pid: Pid, fetch: u64) {
        let Some(p) = self.at(pid) else { return };
        let settings = self.processes[p].settings;
        let asked = self.processes[p].fetch(fetch).map(|it| (it.family(), it.account(), it.longest_wait(&settings)));
        let Some((family, account, longest_wait)) = asked else { return };
        let gate = &mut self.processes[p].gate;
        if gate.is_down {
            return self.gate_lost(pid, fetch);
        }
        gate.num_asks += 1;
        gate.askers.push((gate.num_asks, fetch));
        gate.machine.handle_ask(gate.num_asks, family, Some(account), longest_wait);
        self.pump(pid);
    }

    /// Does everything that is due, and sets the alarm for the rest.
    pub fn pump(&mut self, pid: Pid) {
        let (now, wall) = (self.instant(), self.shared_wall());
        loop {
            let Some(p) = self.at(pid).filter(|p| !self.processes[*p].gate.is_down) else { return };
            let gate = &mut self.processes[p].gate;
            gate.alarm += 1;
            match gate.machine.poll(now, wall) {
                Step::Grant(permit) => {
                    let family = gate.machine.family_of(permit).expect("it was granted for one");
                    gate.out.insert(permit, family);
                    let fetch = gate.take_asker(permit);
                    self.granted(pid, permit, fetch);
                }
                Step::Refuse(permit, pause) => {
                    if let Some(fetch) = gate.take_asker(permit) {
                        self.refused(pid, fetch, pause);
                    }
                }
                Step::Noted(permit) => {
                    let at = gate.limited.iter().position(|(limited, ..)| *limited == permit);
                    if let Some((_, Some(fetch), _)) = at.map(|at| gate.limited.remove(at)) {
                        self.pause_noted(pid, fetch);
                    }
                }
                Step::GiveUp(permit) => {
                    let reporter = gate.limited.iter_mut().find(|(limited, ..)| *limited == permit);
                    if let Some(fetch) = reporter.and_then(|(_, fetch, _)| fetch.take()) {
                        self.pause_noted(pid, fetch);
                    } else if let Some(fetch) = gate.take_asker(permit) {
                        self.database_away(pid, fetch);
                    }
                }
                Step::Look(look) => {
                    let life = gate.life;
                    let began_at = self.now;
                    self.soon(Event::GateLooks { pid, life, look, began_at });
                }
                Step::Wait(at, _) => {
                    let alarm = gate.alarm;
                    if let Some(at) = at {
                        // As the actor's timer does.
                        let wait = at.saturating_duration_since(now) + Duration::from_millis(1);
                        self.after(wait, Event::GateWakes(pid, alarm));
                    }
                    return;
                }
                Step::Closed { .. } => {
                    self.leave(pid);
                    return self.kill(pid);
                }
            }
        }
    }

    pub fn gate_wakes(&mut self, pid: Pid, alarm: u32) {
        if self.at(pid).is_some_and(|p| self.processes[p].gate.alarm == alarm) {
            self.pump(pid);
        }
    }

    /// The transaction of a look. It may fail, or its answer may be lost.
    pub fn gate_looks(&mut self, pid: Pid, life: u32, look: &Look, began_at: Duration) {
        let Some(p) = self.at(pid) else { return };
        let cut_off = self.cut_off_until(pid).map(|_| DatabaseFault::Hangs { is_applied: false });
        let fault = cut_off.or_else(|| self.database.take_fault(true));
        let is_lost = fault.is_some() || self.random.u32(0..LOOKS_LOST) == 0;
        let wait = match fault {
            None | Some(DatabaseFault::Full) => Duration::from_millis(self.random.u64(1..8)),
            Some(DatabaseFault::Locked) => Duration::from_secs(5),
            Some(DatabaseFault::Hangs { .. }) => LOOK_TIMEOUT,
        };
        let is_applied = match fault {
            None => !is_lost || self.random.bool(),
            Some(fault) => fault == DatabaseFault::Hangs { is_applied: true },
        };
        if !is_applied || self.now - began_at > LATE_AFTER {
            self.tell(|| format!("process {pid}: the database does not answer the gate"));
            let why = match fault {
                Some(DatabaseFault::Full) => Unanswered::Lasting,
                None | Some(DatabaseFault::Locked | DatabaseFault::Hangs { .. }) => Unanswered::Passing,
            };
            return self.after(wait, Event::GateLooked { pid, life, looked: Err(why) });
        }
        let found = self.database.shared_limits();
        let pids: Vec<Pid> = self.processes.iter().map(|process| process.pid).collect();
        let is_here = |owner: &Owner| !owner.place.is_empty();
        let (change, looked) = look.rule(&found, self.instant(), |owner| is_here(owner) && !pids.contains(&owner.pid));
        self.tell(|| format!("process {pid}: {change:?}"));
        self.note_found(p, &found, look.wall());
        self.database.change_limits(&change, look.wall());
        self.note_stored(p, &change);
        let looked = if is_lost { Err(Unanswered::Passing) } else { Ok(Box::new(looked)) };
        self.after(wait, Event::GateLooked { pid, life, looked });
    }

    pub fn gate_looked(&mut self, pid: Pid, life: u32, looked: Result<Box<Looked>, Unanswered>) {
        let (now, wall) = (self.instant(), self.shared_wall());
        let Some(p) = self.at(pid) else { return };
        let gate = &mut self.processes[p].gate;
        if gate.life != life || gate.is_down {
            return;
        }
        match looked {
            Ok(looked) => gate.machine.handle_looked(*looked, now, wall),
            Err(why) => gate.machine.handle_unanswered(why, now),
        }
        self.pump(pid);
    }

    /// Takes a permit back.
    pub fn return_permit(&mut self, pid: Pid, permit: u64, outcome: PermitUse) {
        let now = self.instant();
        let Some(p) = self.at(pid) else { return };
        let gate = &mut self.processes[p].gate;
        if gate.is_down {
            return gate.mailbox.push(Message::Return { permit, outcome });
        }
        if gate.out.remove(&permit).is_some() {
            gate.machine.handle_returned(permit, outcome, now);
            self.pump(pid);
        }
    }

    /// A limit refused the request of a fetch, which keeps its permit until the pause is noted.
    pub fn report_limited(&mut self, pid: Pid, fetch: u64, class: LimitClass, retry_after: Option<Duration>) {
        let (now, wall) = (self.instant(), self.shared_wall());
        let Some(p) = self.at(pid) else { return };
        let process = &mut self.processes[p];
        if process.gate.is_down {
            return process.gate.mailbox.push(Message::Limited { fetch, class, retry_after });
        }
        let Some(asked) = process.fetch(fetch) else { return };
        let (Some(permit), family) = (asked.permit, asked.family()) else { return };
        let limited = process.gate.machine.handle_limited(permit, family, class, retry_after, now, wall);
        process.gate.limited.push((permit, Some(fetch), limited.pause));
        self.note_told(p, family, class, retry_after);
        self.pump(pid);
    }

    pub fn panic_gate(&mut self, pid: Pid) {
        let (Some(p), now) = (self.at(pid), self.moment()) else { return };
        let gate = &mut self.processes[p].gate;
        if std::mem::replace(&mut gate.is_down, true) {
            return;
        }
        let exit = Exit::Panicked("on purpose".to_owned());
        let ruling = gate.deaths.handle_exit(&RestartPolicy::default(), &exit, now.at, now.jitter);
        if let Ruling::RestartIn(pause) = ruling {
            self.after(pause, Event::GateReborn(pid));
        }
        self.processes[p].runs.handle_needed_died(ruling, "the gate keeps failing".to_owned(), now);
        self.manage(pid);
    }

    pub fn gate_reborn(&mut self, pid: Pid) {
        let (now, wall) = (self.instant(), self.shared_wall());
        let Some(p) = self.at(pid) else { return };
        let gate = &mut self.processes[p].gate;
        let still_out = gate.out.iter().map(|(permit, family)| (*permit, *family));
        let unsaved = gate.limited.iter().map(|(permit, _, pause)| (*permit, *pause));
        gate.machine = gate.machine.reborn(still_out, unsaved, now, wall);
        gate.is_down = false;
        gate.life += 1;
        if gate.is_closed {
            gate.machine.handle_closing();
        }
        // The askers notice their closed channels, and ask again.
        let askers = std::mem::take(&mut gate.askers);
        let messages = std::mem::take(&mut gate.mailbox);
        for (_, fetch) in askers {
            self.gate_lost(pid, fetch);
        }
        for message in messages {
            match message {
                Message::Return { permit, outcome } => self.return_permit(pid, permit, outcome),
                Message::Limited { fetch, class, retry_after } => self.report_limited(pid, fetch, class, retry_after),
            }
        }
        self.pump(pid);
    }

    /// The end of the process: notes how full the window is for the next one.
    pub fn close(&mut self, pid: Pid) {
        let Some(p) = self.at(pid) else { return };
        let gate = &mut self.processes[p].gate;
        if std::mem::replace(&mut gate.is_closed, true) {
            return;
        }
        if gate.is_down {
            return self.kill(pid);
        }
        gate.machine.handle_closing();
        self.pump(pid);
    }
}

impl GateShell {
    fn take_asker(&mut self, permit: u64) -> Option<u64> {
        let at = self.askers.iter().position(|(asked, _)| *asked == permit)?;
        Some(self.askers.swap_remove(at).1)
    }
}
