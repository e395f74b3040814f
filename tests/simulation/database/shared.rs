//! What processes share in the model database besides libraries: the limits, and plays.

use super::*;

impl Database {
    /// A run of this process failed through a fault of our own.
    pub fn note_failure(&mut self, key: SyncKey, owner: Uuid, now: DateTime<Utc>) {
        let books = &mut self.books[key.place()];
        if books.owner == Some(owner) && books.interrupted().is_some() {
            books.failed_at = Some(now);
        }
    }

    pub fn shared_limits(&self) -> SharedLimits {
        let entry = |((family, started_at), (requests, refusals)): (&(Family, DateTime<Utc>), &(u32, u32))| {
            LedgerEntry { family: *family, started_at: *started_at, requests: *requests, refusals: *refusals }
        };
        SharedLimits {
            pauses: self.pauses.values().copied().collect(),
            learned: self.learned,
            probe: self.probe,
            processes: self.gates.values().cloned().collect(),
            ledger: Some(self.ledger.iter().map(entry).collect()),
        }
    }

    pub fn change_limits(&mut self, change: &SharedChange, now: DateTime<Utc>) {
        for pause in &change.pauses {
            self.save_pause(*pause, now);
        }
        let is_over = |noted: &NotedPause| {
            noted.pause.class == LimitClass::Rate && change.lifts.is_some_and(|until| noted.pause.until <= until)
        };
        if self.pauses.get(&Family::Application).is_some_and(is_over) {
            self.pauses.remove(&Family::Application);
        }
        self.probe = change.probe;
        self.learned = change.learned.or(self.learned);
        for entry in &change.ledger {
            let (requests, refusals) = self.ledger.entry((entry.family, entry.started_at)).or_default();
            (*requests, *refusals) = (*requests + entry.requests, *refusals + entry.refusals);
        }
        change.forgotten.iter().for_each(|id| drop(self.gates.remove(id)));
        self.gates.insert(change.process.owner.id, change.process.clone());
    }

    fn save_pause(&mut self, pause: Pause, noted_at: DateTime<Utc>) {
        let is_due = |known: &NotedPause| known.pause.until < pause.until || known.noted_at > noted_at;
        if self.pauses.get(&pause.scope).is_none_or(is_due) {
            self.pauses.insert(pause.scope, NotedPause { pause, noted_at });
        }
    }
}

/// Like `store::plays`.
impl Database {
    pub fn known_plays(&self, page: &PlaysPage) -> KnownPlays {
        let from = page.oldest().map(|oldest| (oldest, String::new()));
        let is_before = |(at, _): &&PlayKey| page.oldest().is_none_or(|oldest| *at < oldest);
        KnownPlays {
            keys: from.map(|from| self.plays.range(from..).cloned().collect()).unwrap_or_default(),
            newest_before: self.plays.iter().rfind(is_before).map(|(at, _)| *at),
            ..KnownPlays::default()
        }
    }

    /// Returns how many plays are new.
    pub fn commit_plays(&mut self, commit: &PlaysCommit, owner: Uuid) -> Result<u32, Fenced> {
        if !self.is_of(ACCOUNT, owner) {
            return Err(Fenced);
        }
        let num_before = self.plays.len();
        self.plays.extend(commit.page.plays().map(Play::key));
        let newest = self.plays.last().map(|(at, _)| *at);
        let shown = commit.page.oldest().zip(commit.page.newest());
        if let Some((oldest, last)) = shown.filter(|_| commit.gap.is_none()) {
            let is_reached =
                |gap: &PlayGap| gap.played_after >= oldest && (gap.played_before <= last || Some(last) >= newest);
            self.play_gaps.iter_mut().for_each(|(gap, is_healed)| *is_healed |= is_reached(gap));
        }
        if let Some(new) = commit.gap {
            let is_wider =
                |gap: &PlayGap| gap.played_after == new.played_after && gap.played_before > new.played_before;
            self.play_gaps.iter_mut().for_each(|(gap, is_healed)| *is_healed |= is_wider(gap));
        }
        if let Some(gap) = commit.gap.filter(|gap| self.play_gaps.iter().all(|(known, _)| known != gap)) {
            self.play_gaps.push((gap, false));
        }
        self.playback.last_polled_at = Some(commit.polled_at);
        self.playback.next_poll_at = Some(commit.next_poll_at);
        (self.playback.parked_until, self.playback.error) = (None, None);
        Ok((self.plays.len() - num_before) as u32)
    }

    pub fn note_playback(&mut self, note: &PlaybackNote, owner: Uuid) {
        if self.is_of(ACCOUNT, owner) {
            let PlaybackNote { next_poll_at, parked_until, error, .. } = note.clone();
            self.playback = PlaybackRecord { next_poll_at, parked_until, error, ..self.playback.clone() };
        }
    }

    pub fn has_plays(&self) -> bool {
        !self.plays.is_empty()
    }

    pub fn has_play(&self, played_at: DateTime<Utc>) -> bool {
        self.plays.range((played_at, String::new())..).next().is_some_and(|(at, _)| *at == played_at)
    }

    pub fn has_play_gap(&self, at: DateTime<Utc>) -> bool {
        self.play_gaps.iter().any(|(gap, is_healed)| !is_healed && gap.played_after < at && at < gap.played_before)
    }
}
