//! What the actors publish about themselves while they work, through watch channels, so that a slow onlooker delays
//! nobody.

use crate::model::{Family, ItemCounts, Line, Pause, PerEntity, Phase, Stage, SyncKey};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, VecDeque};

/// How many restarts are remembered.
pub const RESTARTS_MAX: usize = 50;

/// Everything that runs, or has run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    pub entities: BTreeMap<SyncKey, EntityProgress>,
    /// The latest ones, oldest first.
    pub restarts: VecDeque<Restart>,
}

/// An actor panicked, and began a new life or was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    pub at: DateTime<Utc>,
    /// As the log names it.
    pub actor: String,
    pub reason: String,
}

impl Progress {
    /// Remembers a restart, and forgets the oldest where there are too many.
    pub fn note_restart(&mut self, restart: Restart) {
        if self.restarts.len() == RESTARTS_MAX {
            self.restarts.pop_front();
        }
        self.restarts.push_back(restart);
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct EntityProgress {
    pub phase: Phase,
    pub stage: Stage,
    pub state: EntityState,
    /// In slots of the listing, or in playlist items while those are read.
    pub done: u32,
    pub total: Option<u32>,
    /// Playlists read, and to read, while their items are.
    pub playlists: Option<(u32, u32)>,
    /// What this run has changed so far.
    pub counts: ItemCounts,
    pub num_requests: u32,
    pub num_batches: u32,
    /// The run resumed what an earlier one had begun, from this slot on.
    pub resumed_from: Option<u32>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum EntityState {
    Running,
    Complete { notes: Vec<String> },
    Paused(Pause),
    Stopped,
    Failed(String),
}

impl Default for EntityProgress {
    fn default() -> Self {
        EntityProgress {
            phase: Phase::InitialSync,
            stage: Stage::Fresh,
            state: EntityState::Running,
            done: 0,
            total: None,
            playlists: None,
            counts: ItemCounts::default(),
            num_requests: 0,
            num_batches: 0,
            resumed_from: None,
        }
    }
}

/// What the gate is doing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GateView {
    /// Requests in the rolling window, and how many it may hold.
    pub used: u32,
    pub limit: u32,
    pub waiting: Option<GateWait>,
    pub queued: Queued,
}

/// Requests that wait for a permit, by their line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Queued {
    pub playback: u32,
    pub of: PerEntity<u32>,
}

impl Queued {
    /// The lines, the first to be served ahead.
    pub fn iter(&self) -> impl Iterator<Item = (Line, u32)> {
        let num_of = |line| match line {
            Line::Playback => self.playback,
            Line::Of(entity) => self.of[entity],
        };
        Line::all().map(move |line| (line, num_of(line)))
    }
}

impl FromIterator<Family> for Queued {
    fn from_iter<I: IntoIterator<Item = Family>>(asks: I) -> Queued {
        let mut queued = Queued::default();
        for family in asks {
            match family.line() {
                Line::Playback => queued.playback += 1,
                Line::Of(entity) => queued.of[entity] += 1,
            }
        }
        queued
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GateWait {
    Paused(Pause),
    /// Our own limit: the window is full until then.
    Window(DateTime<Utc>),
}
