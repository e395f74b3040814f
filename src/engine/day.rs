//! A day in the life of a service, in simulated time: gate, schedule and playback as they ship, against a model API with
//! both limits and a model listener. Limits are hit, the process dies and comes back, the laptop sleeps for six hours,
//! the calendar is corrected. At the end not one play is lost or doubled, and not one request went out inside a pause.

use super::{
    gate::{Gate, GateSettings, Next, Outcome},
    playback::{
        Playback, PlaybackSettings, Step,
        simulation::{at_s, moment, slot},
    },
    run::RunEnd,
    schedule::{Remembered, Schedule},
};
use crate::model::{
    AccountId, EntityType, Family, Fault, GateNote, KnownPlays, LimitClass, NotedPause, PLAYS_PAGE_LEN, Pause,
    PlaybackRecord, PlaysPage, SyncKey,
};
use chrono::{DateTime, Utc};
use fastrand::Rng;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

const HOUR_S: i64 = 3600;
/// The tracks take two of them, and another one where a refusal that names no end is met a moment too early.
const DAYS: i64 = 3;
const SLEEP: std::ops::Range<i64> = 10 * HOUR_S..16 * HOUR_S;
const INTERVAL: Duration = Duration::from_secs(6 * 3600);
const WINDOW: Duration = Duration::from_secs(30);
/// What the simulated API allows in any window, and to the tracks in a day: too little for the first sync.
const HIDDEN_LIMIT: usize = 20;
const TRACKS_A_DAY: usize = 150;
const FIRST_SYNC_REQUESTS: [(EntityType, u32); 4] =
    [(EntityType::Tracks, 260), (EntityType::Artists, 8), (EntityType::Albums, 12), (EntityType::Playlists, 60)];
/// Pages of a batch: what a death may cost.
const BATCH: u32 = 4;
/// The longest pause that a run sits out.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
const ACCOUNT: AccountId = AccountId(1);
/// The tracker's ticket; runs have those below it.
const PLAYER: u32 = 100;

/// What outlives the process.
#[derive(Default)]
struct Disk {
    pauses: BTreeMap<Family, NotedPause>,
    gate: GateNote,
    /// Requests left until a run is complete, as its last checkpoint says.
    left: BTreeMap<EntityType, u32>,
    remembered: BTreeMap<EntityType, Remembered>,
    playback: PlaybackRecord,
    plays: BTreeSet<i64>,
}

/// The process.
struct Life {
    gate: Gate<u32>,
    schedule: Schedule,
    playback: Playback,
    /// Runs under way, with the requests that each still needs.
    runs: BTreeMap<EntityType, u32>,
    /// Tickets that wait or are out.
    asked: BTreeSet<u32>,
}

/// A request on its way.
struct Sent {
    ticket: u32,
    family: Family,
    answered_s: i64,
    refusal: Option<(LimitClass, Option<Duration>)>,
}

struct World {
    rng: Rng,
    start: Instant,
    now_s: i64,
    /// Corrections of the calendar.
    skew_s: i64,
    heard: Vec<i64>,
    disk: Disk,
    life: Option<Life>,
    down_until_s: i64,
    sent: Vec<Sent>,
    // The API's books.
    window: VecDeque<i64>,
    blocked_until_s: i64,
    tracks_sent: VecDeque<i64>,
    // What the client has been told, by scope, in true time.
    told_until_s: BTreeMap<Family, i64>,
    num_requests: usize,
    num_refused: BTreeMap<&'static str, usize>,
    num_deaths: usize,
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng::with_seed(seed);
        let heard = listen(&mut rng);
        World {
            rng,
            start: Instant::now(),
            now_s: 0,
            skew_s: 0,
            heard,
            disk: Disk { left: FIRST_SYNC_REQUESTS.into(), ..Disk::default() },
            life: None,
            down_until_s: 0,
            sent: Vec::new(),
            window: VecDeque::new(),
            blocked_until_s: 0,
            tracks_sent: VecDeque::new(),
            told_until_s: BTreeMap::new(),
            num_requests: 0,
            num_refused: BTreeMap::new(),
            num_deaths: 0,
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_secs(self.now_s.unsigned_abs())
    }

    fn wall(&self) -> DateTime<Utc> {
        moment(self.now_s + self.skew_s)
    }

    fn live(mut self) -> World {
        while self.now_s < DAYS * 24 * HOUR_S {
            if SLEEP.contains(&self.now_s) {
                // What was under way when the lid closed is never answered.
                for sent in std::mem::take(&mut self.sent) {
                    self.lose(sent);
                }
                self.now_s = SLEEP.end;
            }
            self.tick();
            self.now_s += 1;
        }
        self
    }

    fn tick(&mut self) {
        if self.life.is_none() && self.now_s >= self.down_until_s {
            self.life = Some(self.begin());
        }
        // Once every two hours or so; the calendar is corrected more rarely.
        if self.life.is_some() && self.rng.u32(0..7200) == 0 {
            self.die();
        }
        if self.rng.u32(0..6 * 3600) == 0 {
            self.skew_s += self.rng.i64(-900..900);
        }
        if self.life.is_some() {
            self.hear();
            self.start_what_is_due();
            self.ask();
            self.grant();
            self.save();
        }
    }

    fn begin(&mut self) -> Life {
        let (now, wall) = (self.now(), self.wall());
        let mut gate = Gate::new(GateSettings { window: WINDOW, ..GateSettings::default() }, now, wall);
        let noted = GateNote { pauses: self.disk.pauses.values().copied().collect(), ..self.disk.gate.clone() };
        gate.handle_noted(&noted, now, wall);
        // Two processes share the calendar and nothing else: between them, its corrections move a pause.
        for (scope, noted) in &self.disk.pauses {
            let by_calendar = (noted.pause.until - moment(self.skew_s)).num_seconds();
            let told_s = self.told_until_s.entry(*scope).or_default();
            *told_s = (*told_s).min(by_calendar);
        }
        let mut schedule = Schedule::new(INTERVAL);
        for entity in EntityType::ALL {
            let known = self.disk.remembered.get(entity).copied().unwrap_or_default();
            schedule.handle_added(SyncKey { account: ACCOUNT, entity: *entity }, known, now, wall);
        }
        let playback = Playback::new(PlaybackSettings::default(), &self.disk.playback, now, wall);
        Life { gate, schedule, playback, runs: BTreeMap::new(), asked: BTreeSet::new() }
    }

    fn die(&mut self) {
        self.num_deaths += 1;
        self.life = None;
        self.sent.clear();
        self.down_until_s = self.now_s + self.rng.i64(1..600);
    }

    fn start_what_is_due(&mut self) {
        let (now, wall) = (self.now(), self.wall());
        let Some(life) = &mut self.life else { return };
        while let Some(SyncKey { entity, .. }) = life.schedule.poll_due(now, wall) {
            // Once complete, a run looks at the head.
            let left = self.disk.left.get(&entity).copied().filter(|left| *left > 0).unwrap_or(2);
            life.runs.insert(entity, left);
        }
    }

    /// Whoever needs a request asks for a permit, one at a time.
    fn ask(&mut self) {
        let (now, wall) = (self.now(), self.wall());
        let Some(life) = &mut self.life else { return };
        for entity in life.runs.keys() {
            if life.asked.insert(ticket(*entity)) {
                life.gate.handle_ask(ticket(*entity), entity.family(), Some(ACCOUNT), Some(LONGEST_WAIT));
            }
        }
        if life.playback.poll(now, wall) == Step::Ask && life.asked.insert(PLAYER) {
            life.gate.handle_ask(PLAYER, Family::Player, Some(ACCOUNT), Some(LONGEST_WAIT));
        }
    }

    fn grant(&mut self) {
        let (now, wall, jitter) = (self.now(), self.wall(), self.rng.f64());
        loop {
            let Some(life) = &mut self.life else { return };
            match life.gate.poll(now) {
                Next::Grant(ticket) => {
                    // Noted before it is sent.
                    let (requests, _) = life.gate.window_used(now);
                    self.disk.gate.sent = vec![crate::model::Sent { requests, until: wall }];
                    self.send(ticket);
                }
                Next::Refuse(PLAYER, pause) => {
                    life.asked.remove(&PLAYER);
                    life.playback.handle_fault(Fault::Paused(pause), now, wall, jitter);
                }
                Next::Refuse(ticket, pause) => {
                    life.asked.remove(&ticket);
                    let entity = entity_of(ticket);
                    life.runs.remove(&entity);
                    self.end(entity, &RunEnd::Paused(pause));
                }
                Next::Wait(..) | Next::Full | Next::Reserve(_) | Next::Idle => return,
            }
        }
    }

    /// The API takes a request in, and thinks of its answer.
    fn send(&mut self, ticket: u32) {
        let family = if ticket == PLAYER { Family::Player } else { entity_of(ticket).family() };
        for scope in [Family::Application, family] {
            let until = self.told_until_s.get(&scope).copied().unwrap_or(0);
            assert!(self.now_s >= until, "at {} s a request to {family}, paused until {until} s", self.now_s);
        }
        self.num_requests += 1;
        let since = self.now_s - 30;
        self.window.retain(|at| *at > since);
        self.tracks_sent.retain(|at| *at > self.now_s - 24 * HOUR_S);
        let refusal = if self.now_s < self.blocked_until_s || self.window.len() >= HIDDEN_LIMIT {
            let retry_after = self.rng.i64(6..15);
            self.blocked_until_s = self.blocked_until_s.max(self.now_s + retry_after);
            Some((LimitClass::Rate, Some(seconds(self.blocked_until_s - self.now_s))))
        } else if family == Family::Tracks && self.tracks_sent.len() >= TRACKS_A_DAY {
            let opens_s = self.tracks_sent.front().map_or(0, |first| first + 24 * HOUR_S);
            // Some answers do not say for how long.
            let told = self.rng.bool().then(|| seconds(opens_s - self.now_s));
            Some((LimitClass::Quota, told))
        } else {
            self.window.push_back(self.now_s);
            if family == Family::Tracks {
                self.tracks_sent.push_back(self.now_s);
            }
            None
        };
        let answered_s = self.now_s + self.rng.i64(0..3);
        self.sent.push(Sent { ticket, family, answered_s, refusal });
    }

    /// Answers arrive.
    fn hear(&mut self) {
        let (answered, waiting) = std::mem::take(&mut self.sent).into_iter().partition(|s| s.answered_s <= self.now_s);
        self.sent = waiting;
        for sent in answered {
            match sent.refusal {
                Some((class, retry_after)) => self.handle_refusal(&sent, class, retry_after),
                None => self.handle_answer(&sent),
            }
        }
    }

    fn handle_refusal(&mut self, sent: &Sent, class: LimitClass, retry_after: Option<Duration>) {
        let (now, wall) = (self.now(), self.wall());
        *self.num_refused.entry(class.as_str()).or_default() += 1;
        let Some(life) = &mut self.life else { return };
        let limited = life.gate.handle_limited(Some(sent.ticket), sent.family, class, retry_after, now, wall);
        life.gate.handle_returned(sent.ticket, Outcome::Limited, now);
        // The pause is noted before anybody goes on.
        let Pause { scope, until, .. } = limited.pause;
        self.disk.pauses.insert(scope, NotedPause { pause: limited.pause, noted_at: wall });
        let told = retry_after.map_or((until - wall).num_seconds(), |wait| wait.as_secs().cast_signed());
        let told_s = self.told_until_s.entry(scope).or_default();
        *told_s = (*told_s).max(self.now_s + told);
        // The request is made again once the gate lets it through.
        let account = Some(ACCOUNT);
        life.gate.handle_ask(sent.ticket, sent.family, account, Some(LONGEST_WAIT));
    }

    fn handle_answer(&mut self, sent: &Sent) {
        let now = self.now();
        let Some(life) = &mut self.life else { return };
        life.gate.handle_returned(sent.ticket, Outcome::Served, now);
        life.asked.remove(&sent.ticket);
        if sent.ticket == PLAYER {
            return self.take_plays();
        }
        let entity = entity_of(sent.ticket);
        let Some(left) = life.runs.get_mut(&entity) else { return };
        *left -= 1;
        let left = *left;
        if left % BATCH == 0 {
            self.disk.left.insert(entity, left);
        }
        if left == 0 {
            life.runs.remove(&entity);
            self.disk.remembered.entry(entity).or_default().is_complete = true;
            self.end(entity, &RunEnd::Complete { notes: Vec::new(), again_in: None });
        }
    }

    fn end(&mut self, entity: EntityType, end: &RunEnd) {
        let (now, wall, jitter) = (self.now(), self.wall(), self.rng.f64());
        let Some(life) = &mut self.life else { return };
        let plan = life.schedule.handle_ended(SyncKey { account: ACCOUNT, entity }, end, now, wall, jitter);
        self.disk.remembered.entry(entity).or_default().next_run_at = plan.next_run_at;
    }

    fn take_plays(&mut self) {
        let heard = &self.heard[..self.heard.partition_point(|at| *at <= self.now_s)];
        let page = PlaysPage { slots: heard.iter().rev().take(PLAYS_PAGE_LEN).map(|at| slot(*at)).collect() };
        let oldest = page.plays().map(at_s).min().unwrap_or(i64::MAX);
        let known = KnownPlays {
            keys: self.disk.plays.range(oldest..).map(|at| slot(*at).play.expect("a play").key()).collect(),
            newest_before: self.disk.plays.range(..oldest).next_back().map(|at| moment(*at)),
        };
        let (now, wall, jitter) = (self.now(), self.wall(), self.rng.f64());
        let Some(life) = &mut self.life else { return };
        let verdict = life.playback.handle_page(&page, &known, wall, jitter);
        let num_before = self.disk.plays.len();
        self.disk.plays.extend(page.plays().map(at_s));
        assert_eq!(self.disk.plays.len() - num_before, verdict.num_new as usize, "counted truly");
        assert_eq!(verdict.gap, None, "nobody listens to fifty tracks unseen");
        life.playback.handle_committed(&verdict, now, wall);
        self.disk.playback.last_polled_at = Some(wall);
        self.disk.playback.next_poll_at = Some(wall + verdict.wait);
    }

    /// The ledger and the rate are written every few seconds, as the shell does.
    fn save(&mut self) {
        let Some(life) = self.life.as_mut().filter(|_| self.now_s % 5 == 0) else { return };
        let (ledger, learned) = life.gate.take_unsaved();
        self.disk.gate.learned = learned.or(self.disk.gate.learned);
        for entry in ledger {
            let is_same =
                |e: &&mut crate::model::LedgerEntry| e.family == entry.family && e.started_at == entry.started_at;
            match self.disk.gate.ledger.iter_mut().find(is_same) {
                Some(known) => *known = entry,
                None => self.disk.gate.ledger.push(entry),
            }
        }
    }

    fn lose(&mut self, sent: Sent) {
        let (now, wall, jitter) = (self.now(), self.wall(), self.rng.f64());
        let Some(life) = &mut self.life else { return };
        life.gate.handle_returned(sent.ticket, Outcome::Unanswered, now);
        if sent.ticket == PLAYER {
            life.playback.handle_fault(Fault::Unreachable("asleep".into()), now, wall, jitter);
        }
        // It asks again when it wakes.
        life.asked.remove(&sent.ticket);
    }
}

fn ticket(entity: EntityType) -> u32 {
    EntityType::ALL.iter().position(|other| *other == entity).expect("one of all") as u32
}

fn entity_of(ticket: u32) -> EntityType {
    EntityType::ALL[ticket as usize]
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.max(0).unsigned_abs())
}

/// Sessions of an hour or two with hours between them, on a phone as well: it plays on while the laptop sleeps.
fn listen(rng: &mut Rng) -> Vec<i64> {
    let (mut heard, mut at_s) = (Vec::new(), 0);
    // The last poll is to come after the last play.
    let end_of_days_s = (DAYS * 24 - 2) * HOUR_S;
    while at_s < end_of_days_s {
        at_s += rng.i64(HOUR_S..5 * HOUR_S);
        let end_s = (at_s + rng.i64(600..2 * HOUR_S)).min(end_of_days_s);
        while at_s < end_s {
            at_s += rng.i64(150..330);
            let asleep = heard.iter().filter(|at| SLEEP.contains(*at)).count();
            if !SLEEP.contains(&at_s) || asleep < PLAYS_PAGE_LEN - 15 {
                heard.push(at_s);
            }
        }
    }
    heard
}

#[test]
fn a_day_in_the_life_loses_no_play_and_sends_nothing_inside_a_pause() {
    println!("seed  requests  rate 429  quota 429  deaths  plays");
    for seed in 0..12 {
        let world = World::new(seed).live();
        let refused = |class| world.num_refused.get(class).copied().unwrap_or(0);
        println!(
            "{seed:4} {:9} {:9} {:10} {:7} {:6}",
            world.num_requests,
            refused("rate"),
            refused("quota"),
            world.num_deaths,
            world.disk.plays.len()
        );
        let heard: BTreeSet<i64> = world.heard.iter().copied().collect();
        let missing: Vec<&i64> = heard.difference(&world.disk.plays).collect();
        assert!(missing.is_empty(), "seed {seed}: lost {missing:?}");
        assert_eq!(world.disk.plays.len(), heard.len(), "seed {seed}");
        assert!(refused("quota") >= 1, "seed {seed}: the quota was meant to be met");
        let left: u32 = world.disk.left.values().sum();
        assert_eq!(left, 0, "seed {seed}: everything is complete in the end: {:?}", world.disk.left);
    }
}
