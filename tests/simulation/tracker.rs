//! A driver of the playback tracker, like `src/actors/playback_tracker.rs`.

use super::{
    fetch::Wanted,
    listener::Shown,
    process::{ACCOUNT, Write},
    world::{Event, Pid, World},
};
use chrono::{DateTime, TimeDelta, Utc};
use segno::{
    engine::{
        playback::{Playback, PlaybackSettings, Standing, Step, Verdict},
        restart::{Deaths, Exit, RestartPolicy, Ruling},
    },
    model::{Family, Fault, PlaybackNote, PlaysCommit},
};
use std::time::Duration;

/// As in `actors::playback_tracker`.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);
const RETRY_DATABASE_AFTER: Duration = Duration::from_secs(1);

/// For timers that come late, and an answer that is waited for.
const SLACK: Duration = Duration::from_secs(120);

#[derive(Default)]
pub struct Tracker {
    machine: Option<Playback>,
    /// Answers to an earlier life are ignored.
    life: u32,
    deaths: Deaths,
    /// It dies over the next message.
    pub is_doomed: bool,
    /// The meaning of the last page, and when it was judged.
    judged: Option<(Verdict, DateTime<Utc>, Duration)>,
    /// For the oracle: since when it waits, and whether it may poll again soon.
    waits: Option<(Duration, bool)>,
    /// Whether the clocks have diverged since: then it may poll at any time.
    pub is_excused: bool,
}

/// A message to the tracker.
#[derive(Debug)]
pub enum Heard {
    Begin,
    Awake,
    Page(Box<Shown>),
    Written(Result<(), Fault>),
    Noted,
}

impl World {
    pub fn tracker(&mut self, pid: Pid) -> Option<&mut Tracker> {
        let p = self.at(pid)?;
        Some(&mut self.processes[p].tracker)
    }

    /// Takes its place from the database, whatever was under way.
    pub fn begin_tracker(&mut self, pid: Pid, wait: Duration) {
        if self.listener.is_none() {
            return;
        }
        self.stop_tracker(pid);
        if let Some(life) = self.tracker(pid).map(|tracker| tracker.life) {
            self.after(wait, Event::Tracker { pid, life, heard: Heard::Begin });
        }
    }

    pub fn stop_tracker(&mut self, pid: Pid) {
        let Some(tracker) = self.tracker(pid) else { return };
        (tracker.machine, tracker.waits, tracker.life) = (None, None, tracker.life + 1);
        self.drop_fetches(pid, None);
    }

    /// One that has stopped for good continues after somebody has resolved the cause.
    pub fn revive_tracker(&mut self, pid: Pid) {
        let Some(tracker) = self.tracker(pid) else { return };
        if tracker.machine.as_ref().is_some_and(|machine| machine.next_poll_at().is_none()) {
            self.begin_tracker(pid, Duration::ZERO);
        }
    }

    /// The clocks have diverged.
    pub fn excuse_trackers(&mut self) {
        self.processes.iter_mut().for_each(|process| process.tracker.is_excused = true);
    }

    pub fn tracker_hears(&mut self, pid: Pid, life: u32, heard: Heard) {
        let Some(tracker) = self.tracker(pid).filter(|tracker| tracker.life == life) else { return };
        let is_deadly = matches!(heard, Heard::Page(_) | Heard::Written(_));
        if is_deadly && std::mem::take(&mut tracker.is_doomed) {
            return self.tracker_dies(pid);
        }
        match heard {
            Heard::Begin => self.load_tracker(pid, life),
            Heard::Awake | Heard::Noted => self.drive_tracker(pid),
            Heard::Page(shown) => self.judge_page(pid, life, *shown),
            Heard::Written(Ok(())) => self.plays_committed(pid),
            Heard::Written(Err(fault)) => self.poll_failed(pid, fault),
        }
    }

    fn load_tracker(&mut self, pid: Pid, life: u32) {
        if self.cut_off_until(pid).is_some() || self.database.take_fault(false).is_some() {
            return self.after(RETRY_DATABASE_AFTER, Event::Tracker { pid, life, heard: Heard::Begin });
        }
        let (now, wall) = (self.instant(), self.wall());
        let machine = Playback::new(PlaybackSettings::default(), &self.database.playback, now, wall);
        let Some(tracker) = self.tracker(pid) else { return };
        tracker.machine = Some(machine);
        self.drive_tracker(pid);
    }

    fn drive_tracker(&mut self, pid: Pid) {
        let (now, wall) = (self.instant(), self.wall());
        let Some(tracker) = self.tracker(pid) else { return };
        let life = tracker.life;
        match tracker.machine.as_mut().map(|machine| machine.poll(now, wall)) {
            Some(Step::Ask) => {
                self.check_poll(pid);
                self.tally.num_polls += 1;
                self.fetch(pid, Wanted::Plays);
            }
            // As the actor's timer does.
            Some(Step::Wait(wait)) => {
                let wait = wait + Duration::from_millis(1);
                self.after(wait, Event::Tracker { pid, life, heard: Heard::Awake });
            }
            Some(Step::Rest) | None => {}
        }
    }

    pub fn told_plays(&mut self, pid: Pid, answer: Result<Shown, Fault>) {
        let Some(life) = self.tracker(pid).map(|tracker| tracker.life) else { return };
        match answer {
            Ok(shown) => self.soon(Event::Tracker { pid, life, heard: Heard::Page(Box::new(shown)) }),
            Err(fault) => self.poll_failed(pid, fault),
        }
    }

    fn judge_page(&mut self, pid: Pid, life: u32, mut shown: Shown) {
        if self.cut_off_until(pid).is_some() || self.database.take_fault(false).is_some() {
            return self.poll_failed(pid, Fault::Internal("the database did not answer".to_owned()));
        }
        let (known, judged_at) = (self.database.known_plays(&shown.page), self.now);
        let now = self.moment();
        let Some(machine) = self.tracker(pid).and_then(|tracker| tracker.machine.as_mut()) else { return };
        let verdict = machine.handle_page(&mut shown.page, &known, now.wall, now.jitter);
        let commit = PlaysCommit {
            account_id: ACCOUNT,
            page: shown.page.clone(),
            gap: verdict.gap,
            pairs: Vec::new(),
            num_new: verdict.num_new,
            polled_at: now.wall,
            next_poll_at: now.wall + verdict.wait,
        };
        self.tell(|| format!("process {pid}: {} plays, {verdict:?}", shown.page.slots.len()));
        if let Some(tracker) = self.tracker(pid) {
            tracker.judged = Some((verdict, now.wall, judged_at));
        }
        self.write(pid, Write::Plays { life, commit: Box::new(commit), shown });
    }

    fn plays_committed(&mut self, pid: Pid) {
        let now = self.instant();
        let Some(Tracker { machine: Some(machine), judged, waits, .. }) = self.tracker(pid) else { return };
        let Some((verdict, polled_at, judged_at)) = judged.take() else { return };
        machine.handle_committed(&verdict, now, polled_at);
        *waits = Some((judged_at, false));
        self.drive_tracker(pid);
    }

    fn poll_failed(&mut self, pid: Pid, fault: Fault) {
        let moment = self.moment();
        let Some(tracker) = self.tracker(pid) else { return };
        let life = tracker.life;
        let Some(machine) = &mut tracker.machine else { return };
        let setback = machine.handle_fault(fault.clone(), moment.at, moment.wall, moment.jitter);
        let next_poll_at = setback.next_poll_at;
        self.tell(|| format!("process {pid}: a poll failed, {fault}: again at {next_poll_at:?}"));
        self.check_setback(pid, &setback.standing, next_poll_at);
        let error = Some(fault.to_string()).filter(|_| !matches!(setback.standing, Standing::Paused(_)));
        let note = PlaybackNote { account_id: ACCOUNT, next_poll_at, parked_until: None, error };
        self.write(pid, Write::NotePlayback { life, note });
        if matches!(setback.standing, Standing::SignInNeeded(_)) && !self.api.is_signed_out {
            // The person has signed in again meanwhile.
            self.begin_tracker(pid, Duration::from_secs(10));
        }
    }

    fn tracker_dies(&mut self, pid: Pid) {
        let (now, exit) = (self.moment(), Exit::Panicked("on purpose".to_owned()));
        let Some(tracker) = self.tracker(pid) else { return };
        let ruling = tracker.deaths.handle_exit(&RestartPolicy::default(), &exit, now.at, now.jitter);
        self.tell(|| format!("process {pid}: the tracker panics: {ruling:?}"));
        match ruling {
            Ruling::RestartIn(pause) => self.begin_tracker(pid, pause),
            // Another one is started.
            Ruling::Park | Ruling::Rest => self.begin_tracker(pid, Duration::from_secs(3600)),
        }
    }

    /// G7: it polls neither sooner than it may nor later than it should.
    fn check_poll(&mut self, pid: Pid) {
        let (now, settings) = (self.now, PlaybackSettings::default());
        let Some(tracker) = self.tracker(pid) else { return };
        let is_excused = std::mem::take(&mut tracker.is_excused);
        let Some((since, may_be_soon)) = tracker.waits.take().filter(|_| !is_excused) else { return };
        let waited = now - since;
        if !may_be_soon && waited < settings.min_interval || waited > settings.max_interval + SLACK {
            self.violated("G7", format!("process {pid}: the history is asked for after {waited:?}"));
        }
    }

    /// G5 and G11: neither a pause of something else nor a passing failure stops it for long.
    fn check_setback(&mut self, pid: Pid, standing: &Standing, next_poll_at: Option<DateTime<Utc>>) {
        let (now, wall) = (self.now, self.wall());
        let is_ours = self.at(pid).is_some_and(|p| self.database.is_of(ACCOUNT, self.processes[p].owner));
        let waits = match standing {
            Standing::Paused(pause) if matches!(pause.scope, Family::Player | Family::Application) => Some((now, true)),
            Standing::Paused(pause) => {
                self.violated(
                    "G5",
                    format!("process {pid}: a pause of {} stops the tracking of playback", pause.scope),
                );
            }
            Standing::Failing(why) => {
                let wait = next_poll_at.map(|at| at - wall);
                let most = TimeDelta::from_std(PlaybackSettings::default().interval).unwrap_or_default();
                if wait.is_none_or(|wait| wait > most) {
                    self.violated("G11", format!("process {pid}: playback rests for {wait:?}: {why}"));
                }
                Some((now, false))
            }
            Standing::SignInNeeded(_) => None,
            Standing::Stopped(_) if !is_ours => None,
            Standing::Tracking | Standing::Parked { .. } | Standing::Stopped(_) => {
                self.violated("G11", format!("process {pid}: playback is given up: {standing:?}"));
            }
        };
        if let Some(tracker) = self.tracker(pid) {
            tracker.waits = waits;
        }
    }
}
