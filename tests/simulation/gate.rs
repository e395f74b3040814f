//! The gate's shell, as `src/actors/gate.rs` is one: notes its lease before anything is sent, keeps what it was told, and
//! comes back after a death with what the database knows.

use super::{
    process::Write,
    world::{Event, Pid, World},
};
use chrono::{DateTime, Utc};
use segno::{
    engine::{
        gate::{Gate, GateSettings, Next, Outcome, pauses::Calendar},
        restart::{Deaths, Exit, RestartPolicy, Ruling},
    },
    model::{Family, LimitClass, WindowLease},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How often what was counted and learned is stored.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// A gate that died needs a moment to come back.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateState {
    /// What earlier lives noted is not known yet; messages wait.
    Loading,
    Up,
    Down,
}

/// A message that waits until the gate can hear it.
#[derive(Debug)]
enum Message {
    Ask { fetch: u64 },
    Return { permit: u64, outcome: Outcome },
    Limited { fetch: u64, class: LimitClass, retry_after: Option<Duration> },
}

pub struct GateShell {
    settings: GateSettings,
    pub engine: Gate<u64>,
    pub state: GateState,
    /// Permits asked for, by whom.
    askers: Vec<(u64, u64)>,
    num_asks: u64,
    out: BTreeMap<u64, Family>,
    lives: u32,
    calendar: Calendar,
    lease_until: Option<Duration>,
    is_leasing: bool,
    is_saving: bool,
    save_planned: bool,
    alarm: u32,
    mailbox: Vec<Message>,
    is_closed: bool,
    deaths: Deaths,
}

impl GateShell {
    pub fn new(requests: Option<u32>, window: Duration, now: Instant, wall: DateTime<Utc>) -> GateShell {
        let settings = GateSettings { requests, window, ..GateSettings::default() };
        GateShell {
            settings,
            engine: Gate::new(settings, now, wall),
            state: GateState::Loading,
            askers: Vec::new(),
            num_asks: 0,
            out: BTreeMap::new(),
            lives: 0,
            calendar: Calendar::new(now, wall),
            lease_until: None,
            is_leasing: false,
            is_saving: false,
            save_planned: false,
            alarm: 0,
            mailbox: Vec::new(),
            is_closed: false,
            deaths: Deaths::default(),
        }
    }
}

impl World {
    pub fn gate_loaded(&mut self, pid: Pid) {
        let (now, mut wall) = (self.instant(), self.wall());
        let Some(p) = self.at(pid) else { return };
        let mut note = self.database.gate_note(wall);
        let gate = &mut self.processes[p].gate;
        if gate.state != GateState::Loading {
            return;
        }
        if gate.lives > 0 {
            // The note is our own, and the window counts as full already.
            note.lease = None;
            wall = gate.calendar.cautious(now, wall);
        } else {
            self.note_loaded(p, &note);
        }
        let gate = &mut self.processes[p].gate;
        gate.engine.handle_noted(&note, now, wall);
        gate.state = GateState::Up;
        for message in std::mem::take(&mut gate.mailbox) {
            match message {
                Message::Ask { fetch } => self.ask(pid, fetch),
                Message::Return { permit, outcome } => self.return_permit(pid, permit, outcome),
                Message::Limited { fetch, class, retry_after } => self.report_limited(pid, fetch, class, retry_after),
            }
        }
        self.pump(pid);
    }

    /// Asks for a permit for a fetch.
    pub fn ask(&mut self, pid: Pid, fetch: u64) {
        let Some(p) = self.at(pid) else { return };
        let longest_wait = self.processes[p].settings.longest_wait.map(|wait| Duration::from_secs(wait.into()));
        let Some(family) = self.processes[p].fetch(fetch).map(|fetch| fetch.request.family()) else { return };
        let gate = &mut self.processes[p].gate;
        match gate.state {
            GateState::Loading => gate.mailbox.push(Message::Ask { fetch }),
            GateState::Down => self.after(ASK_AGAIN_AFTER, Event::TryAgain { pid, fetch }),
            GateState::Up => {
                gate.num_asks += 1;
                gate.askers.push((gate.num_asks, fetch));
                gate.engine.handle_ask(gate.num_asks, family, Some(super::process::ACCOUNT), longest_wait);
                self.pump(pid);
            }
        }
    }

    /// Grants all that can be granted, and sets the alarm for the rest.
    pub fn pump(&mut self, pid: Pid) {
        let now = self.instant();
        let Some(p) = self.at(pid) else { return };
        let gate = &mut self.processes[p].gate;
        if gate.state != GateState::Up {
            return;
        }
        gate.alarm += 1;
        if !gate.askers.is_empty() && gate.lease_until.is_none_or(|until| until <= self.now) {
            return self.renew_lease(pid);
        }
        loop {
            let Some(p) = self.at(pid) else { return };
            let gate = &mut self.processes[p].gate;
            match gate.engine.poll(now) {
                Next::Grant(permit) => {
                    let family = gate.engine.family_of(permit).expect("it was granted for one");
                    gate.out.insert(permit, family);
                    let fetch = gate.take_asker(permit);
                    self.granted(pid, permit, fetch);
                }
                Next::Refuse(permit, pause) => {
                    if let Some(fetch) = gate.take_asker(permit) {
                        self.refused(pid, fetch, pause);
                    }
                }
                Next::Wait(at, _) => {
                    let alarm = gate.alarm;
                    // As the actor's timer does.
                    let wait = at.saturating_duration_since(now) + Duration::from_millis(1);
                    return self.after(wait, Event::GateWakes(pid, alarm));
                }
                Next::Full | Next::Idle => return,
            }
        }
    }

    pub fn gate_wakes(&mut self, pid: Pid, alarm: u32) {
        if self.at(pid).is_some_and(|p| self.processes[p].gate.alarm == alarm) {
            self.pump(pid);
        }
    }

    fn renew_lease(&mut self, pid: Pid) {
        let window = self.window();
        let (until, wall) = (self.now + window, self.wall() + window);
        let Some(p) = self.at(pid) else { return };
        if !std::mem::replace(&mut self.processes[p].gate.is_leasing, true) {
            let (lease, skew) = (WindowLease { until: wall, used: None }, self.skew);
            self.write(pid, Write::Lease { lease, until, skew });
        }
    }

    pub fn leased(&mut self, pid: Pid, until: Duration) {
        let Some(p) = self.at(pid) else { return };
        let gate = &mut self.processes[p].gate;
        if std::mem::take(&mut gate.is_leasing) {
            gate.lease_until = Some(until);
            self.pump(pid);
        }
    }

    /// Takes a permit back.
    pub fn return_permit(&mut self, pid: Pid, permit: u64, outcome: Outcome) {
        let now = self.instant();
        let Some(p) = self.at(pid) else { return };
        let gate = &mut self.processes[p].gate;
        if gate.state != GateState::Up {
            return gate.mailbox.push(Message::Return { permit, outcome });
        }
        if gate.out.remove(&permit).is_some() {
            gate.engine.handle_returned(permit, outcome, now);
            self.plan_save(pid);
            self.pump(pid);
        }
    }

    /// A limit refused the request of a fetch, which keeps its permit until the pause is noted.
    pub fn report_limited(&mut self, pid: Pid, fetch: u64, class: LimitClass, retry_after: Option<Duration>) {
        let (now, wall) = (self.instant(), self.wall());
        let Some(p) = self.at(pid) else { return };
        let process = &mut self.processes[p];
        if process.gate.state != GateState::Up {
            return process.gate.mailbox.push(Message::Limited { fetch, class, retry_after });
        }
        let Some(asked) = process.fetch(fetch) else { return };
        let (permit, family) = (asked.permit, asked.request.family());
        process.gate.calendar.handle_read(now, wall);
        let limited = process.gate.engine.handle_limited(permit, family, class, retry_after, now, wall);
        self.note_told(p, family, class, retry_after);
        self.plan_save(pid);
        self.pump(pid);
        self.write(pid, Write::Pause { pause: limited.pause, fetch });
    }

    fn plan_save(&mut self, pid: Pid) {
        let Some(p) = self.at(pid) else { return };
        if !std::mem::replace(&mut self.processes[p].gate.save_planned, true) {
            self.after(SAVE_EVERY, Event::SaveLedger(pid));
        }
    }

    pub fn save_ledger(&mut self, pid: Pid) {
        let Some(p) = self.at(pid) else { return };
        let gate = &mut self.processes[p].gate;
        gate.save_planned = false;
        if gate.is_saving || gate.state != GateState::Up {
            return self.plan_save(pid);
        }
        let has_reopened = gate.engine.take_reopened();
        let (entries, learned) = gate.engine.take_unsaved();
        if !entries.is_empty() || learned.is_some() || has_reopened {
            gate.is_saving = true;
            self.write(pid, Write::Ledger { entries, learned, has_reopened });
        }
    }

    pub fn ledger_saved(&mut self, pid: Pid) {
        if let Some(p) = self.at(pid) {
            self.processes[p].gate.is_saving = false;
        }
    }

    pub fn panic_gate(&mut self, pid: Pid) {
        let (Some(p), now) = (self.at(pid), self.moment()) else { return };
        let gate = &mut self.processes[p].gate;
        if gate.state == GateState::Down {
            return;
        }
        gate.state = GateState::Down;
        let exit = Exit::Panicked("on purpose".to_owned());
        let ruling = gate.deaths.handle_exit(&RestartPolicy::default(), &exit, now.at, now.jitter);
        if let Ruling::RestartIn(pause) = ruling {
            self.after(pause, Event::GateReborn(pid));
        }
        self.processes[p].runs.handle_needed_died(ruling, "the gate keeps failing".to_owned(), now);
        self.manage(pid);
    }

    pub fn gate_reborn(&mut self, pid: Pid) {
        let (now, wall) = (self.instant(), self.wall());
        let Some(p) = self.at(pid) else { return };
        let gate = &mut self.processes[p].gate;
        gate.engine = Gate::new(gate.settings, now, wall);
        gate.engine.handle_death(gate.out.iter().map(|(permit, family)| (*permit, *family)), now);
        gate.state = GateState::Loading;
        gate.lives += 1;
        (gate.lease_until, gate.is_leasing, gate.is_saving) = (None, false, false);
        // Those who waited learn from their closed channels, and ask again.
        let askers = std::mem::take(&mut gate.askers);
        for (_, fetch) in askers {
            self.after(ASK_AGAIN_AFTER, Event::TryAgain { pid, fetch });
        }
        self.soon(Event::GateLoaded(pid));
    }

    /// The end of the process: notes how full the window is for the next one.
    pub fn close(&mut self, pid: Pid) {
        let (now, wall) = (self.instant(), self.wall());
        let Some(p) = self.at(pid) else { return };
        let gate = &mut self.processes[p].gate;
        if std::mem::replace(&mut gate.is_closed, true) {
            return;
        }
        if gate.state != GateState::Up {
            return self.kill(pid);
        }
        gate.state = GateState::Down;
        let (used, _) = gate.engine.window_used(now);
        let (entries, learned) = gate.engine.take_unsaved();
        let has_reopened = gate.engine.take_reopened();
        let lease = gate.lease_until.take().map(|_| WindowLease { until: wall, used: Some(used) });
        self.write(pid, Write::Ledger { entries, learned, has_reopened });
        let skew = self.skew;
        self.write(pid, Write::Close { lease, skew });
    }
}

impl GateShell {
    fn take_asker(&mut self, permit: u64) -> Option<u64> {
        let at = self.askers.iter().position(|(asked, _)| *asked == permit)?;
        Some(self.askers.swap_remove(at).1)
    }
}
