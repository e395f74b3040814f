//! How the script's injections are applied to the world, and how everything is brought to rest.

use super::{
    api::Lie,
    process::Keyed,
    scenario::{Injection, everything},
    world::{Event, Pid, World},
};
use chrono::TimeDelta;
use segno::{
    engine::schedule::Remembered,
    model::{EntityType, SyncKey},
};
use std::time::Duration;

/// What was reserved before the calendar jumped may be sent this much later.
const HELD_BEFOREHAND: Duration = Duration::from_secs(60);

/// A look at the database that was under way does not know the new time either.
const LOOK_UNDER_WAY: Duration = Duration::from_millis(100);

impl World {
    pub fn apply(&mut self, injection: Injection) {
        let tick = self.tick;
        match injection {
            Injection::Add { entity, count } => {
                self.note_change(entity);
                for _ in 0..count {
                    let is_tied = self.random.u32(0..100) < self.scenario.ties;
                    let most = self.scenario.playlist_items;
                    let contents = if entity.has_items() { self.contents(most) } else { Vec::new() };
                    self.library.add_if_quiet(entity, contents, is_tied, tick);
                }
            }
            Injection::Remove { entity, at, count } => {
                self.note_change(entity);
                self.library.remove(entity, at, count, tick);
            }
            Injection::Resave { entity, at } => {
                self.note_change(entity);
                self.library.resave(entity, at, tick);
            }
            Injection::Restore { entity, at } => {
                self.note_change(entity);
                self.library.restore(entity, at, tick);
            }
            Injection::Misplace { entity, at } => {
                self.note_change(entity);
                self.library.misplace(entity, at, tick);
            }
            Injection::Move { at, to } => {
                self.note_change(EntityType::Playlists);
                self.library.shift(at, to, tick);
            }
            Injection::EditItems { at, position, edit, lags } => {
                self.library.edit_items(at, position, edit, lags, tick);
            }
            Injection::Touch { at } => drop(self.library.touch(at, false, tick)),
            Injection::Silence { entity, at, is_dated } => {
                self.note_change(entity);
                let listing = self.library.of_mut(entity);
                listing.is_veiled = true;
                if let Some(item) = listing.at(at).filter(|item| !item.is_null) {
                    (item.silent, item.hidden_at, item.is_overlooked) = (Some(is_dated), tick, true);
                }
            }
            Injection::Speak => self.speak(),
            Injection::Spoil { entity, at } => {
                self.note_change(entity);
                if let Some(item) = self.library.of_mut(entity).at(at) {
                    (item.is_spoilt, item.hidden_at) = (true, tick);
                }
            }
            Injection::SpoilItem { at, position } => {
                if let Some(item) = self.library.of_mut(EntityType::Playlists).at(at) {
                    item.contents.spoilt = position.checked_rem(item.contents.items.len() as u32);
                    item.contents.was_torn = true;
                }
            }
            Injection::Heal => self.heal(),
            Injection::Fail { num, how } => self.api.failing = (num, Some(how)),
            Injection::Down { seconds } => self.api.down_until = self.now + Duration::from_secs(seconds.into()),
            Injection::Tokenless { seconds } => {
                self.api.tokenless_until = self.now + Duration::from_secs(seconds.into());
            }
            Injection::Limited { retry_after_s } => {
                self.api.refuse_next = Some((None, Some(Duration::from_secs(retry_after_s.into()))));
            }
            Injection::Quota { family, hours } => {
                let wait = hours.map(|hours| Duration::from_secs(3600 * u64::from(hours)));
                self.api.refuse_next = Some((Some(family), wait));
            }
            Injection::LieTotal { entity, delta, num } => {
                self.note_change(entity);
                self.api.lies[entity] = Lie { num, delta, is_empty: false };
            }
            Injection::Empty { entity, num } => {
                self.note_change(entity);
                self.api.lies[entity] = Lie { num, delta: 0, is_empty: true };
            }
            Injection::Limit { requests } => self.api.hidden_limit = requests,
            Injection::Kill { down_s } => self.with_latest(|world, pid| {
                world.kill(pid);
                world.after(Duration::from_secs(down_s.into()), Event::StartProcess);
            }),
            Injection::Stop { down_s } => self.with_latest(|world, pid| {
                world.stop(pid);
                world.after(Duration::from_secs(down_s.into()), Event::StartProcess);
            }),
            Injection::Takeover => self.with_latest(|world, _| world.start_process()),
            Injection::PanicSyncer { entity, times } => {
                if let Some(process) = self.processes.last_mut() {
                    process.syncers[entity.place()].num_panics = times;
                }
            }
            Injection::PanicGate => self.with_latest(World::panic_gate),
            Injection::PanicTracker => {
                if let Some(process) = self.processes.last_mut() {
                    process.tracker.is_doomed = true;
                }
            }
            Injection::PanicWriter { is_applied } => self.with_latest(|world, pid| world.panic_writer(pid, is_applied)),
            Injection::LoseReply { is_applied } => {
                if let Some(process) = self.processes.last_mut() {
                    process.loses_reply = Some(is_applied);
                }
            }
            Injection::Jump { seconds } => {
                self.skew += TimeDelta::seconds(seconds.into());
                self.note_jump();
                if seconds > 0 {
                    self.oracle.misjudged_before = self.now + HELD_BEFOREHAND;
                }
                for process in &mut self.processes {
                    process.misjudges_before = process.misjudges_before.max(self.now + LOOK_UNDER_WAY);
                }
                self.look_again();
            }
            Injection::Sleep { seconds } => {
                self.now += Duration::from_secs(seconds.into());
                self.watched.note_disturbed(self.now);
                self.look_again();
            }
            Injection::Configure(settings) => self.settings = settings,
            Injection::Reset { entity } => self.database.reset(entity),
            Injection::Want { entity } => self.want(entity),
            Injection::SignOut => self.api.is_signed_out = true,
            Injection::History { odd, num } => {
                if let Some(listener) = &mut self.listener {
                    listener.odd = (num, Some(odd));
                }
            }
            Injection::Odd(odd) => self.begin_odd(odd),
            Injection::Node(fault) => self.apply_to_node(fault),
            Injection::Database { fault, num } => self.database.failing = (num, Some(fault)),
        }
    }

    pub fn note_change(&mut self, entity: EntityType) {
        self.oracle.changed_at[entity] = self.tick;
    }

    fn with_latest(&mut self, happens: impl FnOnce(&mut World, Pid)) {
        if let Some(pid) = self.processes.last().map(|process| process.pid) {
            happens(self, pid);
        }
    }

    /// The clocks have diverged: something may be due already.
    fn look_again(&mut self) {
        self.excuse_trackers();
        self.oracle.disturbed_at = Some(self.now);
        let pids: Vec<Pid> = self.processes.iter().map(|process| process.pid).collect();
        for pid in pids {
            self.plan_runs(pid);
            self.soon(Event::RunsDue(pid));
        }
    }

    fn speak(&mut self) {
        let tick = self.tick;
        for listing in self.library.listings.values_mut() {
            for item in &mut listing.items {
                let Some(is_dated) = item.silent.take() else { continue };
                (item.spoke, item.hidden_at) = (Some((tick, is_dated)), tick);
                self.oracle.changed_at[listing.entity] = tick;
            }
        }
    }

    fn heal(&mut self) {
        let tick = self.tick;
        for listing in self.library.listings.values_mut() {
            for item in &mut listing.items {
                if std::mem::take(&mut item.is_spoilt) {
                    item.hidden_at = tick;
                    self.oracle.changed_at[listing.entity] = tick;
                }
                item.contents.spoilt = None;
            }
        }
    }

    /// The library stands still, the faults stop, and every person who had to act has done so.
    pub fn calm_down(&mut self) {
        let tick = self.tick;
        self.oracle.calm_since = Some(tick);
        self.api.recover();
        self.calm_listener();
        self.speak();
        self.heal();
        self.give_all();
        self.database.failing = (0, None);
        for item in &mut self.library.of_mut(EntityType::Playlists).items {
            item.contents.show(tick);
            item.contents.is_worked_on = false;
        }
        self.settings.entities = everything();
        for process in &mut self.processes {
            process.loses_reply = None;
            process.syncers.iter_mut().for_each(|syncer| syncer.num_panics = 0);
        }
        if self.scenario.fleet.is_some() {
            return self.calm_fleet();
        }
        let (now, wall, keys) = (self.instant(), self.wall(), self.keys());
        match self.processes.last_mut() {
            Some(process) if process.settings.entities == everything() && !process.runs.is_stopping() => {
                let pid = process.pid;
                let running: Vec<SyncKey> = process.runs.running().collect();
                if let Some(schedule) = &mut process.runs.schedule {
                    for key in keys {
                        if schedule.next_run_at(&key).is_none() && !running.contains(&key) {
                            schedule.handle_added(key, Remembered::default(), now, wall);
                        }
                    }
                }
                self.soon(Event::RunsDue(pid));
                self.revive_tracker(pid);
            }
            Some(process) => {
                let pid = process.pid;
                self.stop(pid);
                self.after(Duration::from_secs(10), Event::StartProcess);
            }
            None => self.soon(Event::StartProcess),
        }
    }

    /// Each node that can continues with everything; others replace the rest.
    fn calm_fleet(&mut self) {
        self.calm_nodes();
        let (now, wall, keys) = (self.instant(), self.wall(), self.keys());
        let mut has_any = false;
        for pid in self.processes.iter().map(|process| process.pid).collect::<Vec<_>>() {
            let Some(p) = self.at(pid) else { continue };
            if self.processes[p].settings.entities != everything() || self.processes[p].runs.is_stopping() {
                self.stop(pid);
                self.after(Duration::from_secs(10), Event::StartProcess);
                continue;
            }
            has_any = true;
            let held: Vec<SyncKey> = keys.iter().filter(|key| self.works_for(p, key.account)).copied().collect();
            let process = &mut self.processes[p];
            let running: Vec<SyncKey> = process.runs.running().collect();
            if let Some(schedule) = &mut process.runs.schedule {
                for key in held {
                    if schedule.next_run_at(&key).is_none() && !running.contains(&key) {
                        schedule.handle_added(key, Remembered::default(), now, wall);
                    }
                }
            }
            self.soon(Event::RunsDue(pid));
            self.revive_tracker(pid);
        }
        if !has_any {
            self.soon(Event::StartProcess);
        }
    }
}
