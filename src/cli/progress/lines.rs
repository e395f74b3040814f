//! Plain lines: one per entity type at intervals, one for each pause, and one if nobody answers.

use super::{View, doing, ended, playlist, waiting_line};
use crate::{
    actors::{EntityProgress, EntityState, GateView, Progress, progress::GateWait},
    cli::{numbers::grouped, stderr::say},
    clock,
    model::{EntityType, SyncKey},
};
use chrono::{DateTime, TimeDelta, Utc};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// A line per entity type at most this often.
const LINE_APART: Duration = Duration::from_secs(2);

/// Shorter waits are not worth a line. A pause by the API always is.
const WINDOW_WORTH_A_LINE: Duration = Duration::from_secs(5);
const PAUSE_WORTH_A_LINE: Duration = Duration::from_secs(1);

/// Waits that end this close together are the same wait.
const SAME_WITHIN: TimeDelta = TimeDelta::seconds(2);

/// Signing in takes a moment where the API answers.
const SIGN_IN_EXPECTED: Duration = Duration::from_secs(3);

pub struct Lines {
    began_at: Instant,
    /// What was last printed for each, and when.
    last: BTreeMap<EntityType, (Instant, EntityProgress)>,
    /// The end that was last announced.
    announced: Option<DateTime<Utc>>,
    has_warned: bool,
}

impl Lines {
    pub fn new(now: Instant) -> Lines {
        Lines { began_at: now, last: BTreeMap::new(), announced: None, has_warned: false }
    }

    fn announce(&mut self, gate: &GateView) {
        let (until, worth_a_line) = match gate.waiting {
            Some(GateWait::Window(until)) => (until, WINDOW_WORTH_A_LINE),
            Some(GateWait::Paused(pause)) => (pause.until, PAUSE_WORTH_A_LINE),
            None => return,
        };
        // Requests in flight are refused one after the other, each with a pause that ends a little later.
        let is_news = self.announced.is_none_or(|before| (until - before).abs() > SAME_WITHIN);
        if is_news && let Some(line) = waiting_line(gate, worth_a_line) {
            say(&line);
            self.announced = Some(until);
        }
    }
}

impl View for Lines {
    fn update(&mut self, progress: &Progress, gate: &GateView) {
        let now = clock::instant();
        for (SyncKey { entity, .. }, seen) in &progress.entities {
            let last = self.last.get(entity);
            let is_due = last.is_none_or(|(at, _)| now.duration_since(*at) >= LINE_APART);
            let has_news = last.is_none_or(|(_, before)| before.done != seen.done || before.stage != seen.stage);
            let has_ended = seen.state != EntityState::Running && last.is_none_or(|(_, old)| old.state != seen.state);
            if has_ended {
                say(&format!("{entity:<10} {}", ended(seen, &seen.state)));
            } else if is_due && has_news && seen.num_batches > 0 && seen.state == EntityState::Running {
                say(&format!("{entity:<10} {}", place(seen)));
            } else {
                continue;
            }
            self.last.insert(*entity, (now, seen.clone()));
        }
        self.announce(gate);
        let is_signing_in = progress.entities.is_empty() && gate.waiting.is_none();
        if is_signing_in && !self.has_warned && now.duration_since(self.began_at) >= SIGN_IN_EXPECTED {
            say("signing in: no answer yet, trying on for about half a minute");
            self.has_warned = true;
        }
    }

    fn finish(&mut self) {}
}

fn place(seen: &EntityProgress) -> String {
    let done = grouped(seen.done.into());
    let total = seen.total.map_or_else(|| "?".into(), |total| grouped(total.into()));
    match (playlist(seen), doing(seen)) {
        (Some((at, of)), _) => format!("{done} / {total} items, playlist {at} of {of}"),
        (None, doing) if doing.is_empty() => format!("{done} / {total}"),
        (None, doing) => format!("{done} / {total}, {doing}"),
    }
}
