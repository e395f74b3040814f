//! What waits for its moment, sorted by both clocks, so that finding what is due costs only as much as is due.

use crate::model::SyncKey;
use chrono::{DateTime, Utc};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// A moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moment {
    pub at: Instant,
    pub wall: DateTime<Utc>,
}

impl Moment {
    pub fn after(wait: Duration, now: Instant, wall: DateTime<Utc>) -> Moment {
        Moment { at: now + wait, wall: wall + wait }
    }

    pub fn until(until: DateTime<Utc>, now: Instant, wall: DateTime<Utc>) -> Moment {
        Moment { at: now + (until - wall).to_std().unwrap_or_default(), wall: until }
    }
}

#[derive(Debug, Default)]
pub(super) struct Agenda {
    moments: BTreeMap<SyncKey, Moment>,
    by_calendar: BTreeSet<(DateTime<Utc>, SyncKey)>,
    by_steady_clock: BTreeSet<(Instant, SyncKey)>,
}

impl Agenda {
    /// This waits for that moment, and no longer for any other.
    pub fn put(&mut self, key: SyncKey, moment: Moment) {
        self.take(&key);
        self.moments.insert(key, moment);
        self.by_calendar.insert((moment.wall, key));
        self.by_steady_clock.insert((moment.at, key));
    }

    /// This no longer waits for anything.
    pub fn take(&mut self, key: &SyncKey) {
        if let Some(Moment { at, wall }) = self.moments.remove(key) {
            self.by_calendar.remove(&(wall, *key));
            self.by_steady_clock.remove(&(at, *key));
        }
    }

    /// What has come by either clock, the longest overdue by the calendar first.
    pub fn first_due(&self, now: Instant, wall: DateTime<Utc>) -> Option<SyncKey> {
        let (earliest, key) = self.by_calendar.first()?;
        if *earliest <= wall {
            return Some(*key);
        }
        // The calendar was set back.
        let due = self.by_steady_clock.iter().take_while(|(at, _)| *at <= now).map(|(_, key)| *key);
        due.min_by_key(|key| (self.moments[key].wall, *key))
    }
}
