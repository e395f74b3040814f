//! What the database of a small world does with a commit, which invariants hold, and a whole life.

use super::{Lie, World};
use crate::{
    engine::run::{Draft, RunEnd},
    model::{CommitReport, Gap, Gone, NewGap, Phase, Rows},
};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};

impl World {
    /// One transaction of the store.
    pub(super) fn commit(&mut self, draft: &Draft) -> CommitReport {
        let (effects, mut report) = (&draft.effects, CommitReport::default());
        if effects.reset_seen {
            self.database.seen.clear();
        }
        if let Rows::Listing(slots) = &draft.rows {
            for slot in slots {
                report.memberships.push(self.database.upsert(slot, effects.record_seen.is_some()));
            }
            report.counts.processed = slots.len() as u32;
        }
        if let Rows::PlaylistItems(parts) = &draft.rows {
            parts.iter().for_each(|part| self.database.write_items(part));
        }
        let database = &mut self.database;
        database.gaps.retain(|gap| {
            let healed = effects.healed_gaps.iter().any(|healed| healed.offset_from == gap.offset_from);
            !healed && effects.heal_all_gaps_before.is_none_or(|pass| gap.pass >= pass)
        });
        for NewGap { playlist_id, offset_from, offset_to, reason } in &effects.new_gaps {
            database.gaps.push(Gap {
                playlist_id: playlist_id.clone(),
                offset_from: *offset_from,
                offset_to: *offset_to,
                pass: draft.checkpoint.walk.place.pass,
                total: draft.checkpoint.total,
                reason: reason.clone(),
                since: DateTime::<Utc>::MIN_UTC,
            });
        }
        if effects.release_held {
            database.held.clear();
        }
        if let Some(removal) = effects.removal {
            let (seen, held) = (&database.seen, &database.held);
            let is_gone = |id: &String| match removal.of {
                Gone::All => true,
                Gone::Uncounted => held.get(id).is_none_or(|(_, is_counted)| !is_counted),
                Gone::Ripe { at } => held.get(id).is_some_and(|(since, is_counted)| *since <= at && !is_counted),
                Gone::Confirmed => false,
            };
            for (id, row) in database.rows.iter_mut().filter(|(id, row)| !row.1 && !seen.contains(*id) && is_gone(id)) {
                row.1 = true;
                assert!(self.absent.contains(id), "seed {}: G3: {id} was marked removed and never gone", self.seed);
            }
        }
        for id in &effects.removed_ids {
            let row = database.rows.get_mut(id).expect("what is removed was held");
            assert!(!std::mem::replace(&mut row.1, true), "seed {}: {id} was marked removed before", self.seed);
            assert!(self.absent.contains(id), "seed {}: G3: {id} was marked removed and never gone", self.seed);
        }
        if let Some(hold) = effects.hold {
            // As always, the commit is later than the beginning of the run.
            database.hold(hold.counts, self.now + TimeDelta::seconds(1));
        }
        if let Some(survey) = effects.survey {
            if let (Some(_), Some(at)) = (survey.pass, survey.ripe_at) {
                report.held = database.held_before(at);
            }
            let active = database.rows.iter().filter(|(_, row)| !row.1);
            report.num_active = Some(active.clone().count() as u32);
            report.num_unseen =
                survey.pass.map(|_| active.filter(|(id, _)| !database.seen.contains(*id)).count() as u32);
        }
        if effects.forget_item_snapshots {
            database.forget_item_snapshots();
        }
        match draft.checkpoint.phase {
            Phase::InitialSync => database.initial = Some(draft.checkpoint.clone()),
            Phase::IncrementalSync => database.incremental = Some(draft.checkpoint.clone()),
        }
        report
    }

    /// G2: what was there all the time is in the database.
    pub(super) fn check_end(&self, end: &RunEnd, present_at_start: &BTreeSet<String>) {
        if !matches!(end, RunEnd::Complete { .. }) || !matches!(self.lie, Lie::Nothing) {
            return;
        }
        let hidden = [&self.absent, &self.bad, &self.unread, &self.slipped];
        let is_told = |id: &&String| !hidden.iter().any(|hidden| hidden.contains(*id));
        for id in present_at_start.iter().filter(is_told) {
            let held = self.database.rows.get(id).is_some_and(|row| !row.1);
            assert!(held, "seed {}: G2: {id} was there all the time and is not in the database", self.seed);
        }
    }

    /// G4: the database equals the library.
    pub fn check_equal(&self) {
        let held: BTreeMap<&String, i64> =
            self.database.rows.iter().filter(|(_, row)| !row.1).map(|(id, row)| (id, row.0)).collect();
        let listed: BTreeMap<&String, i64> = self
            .library
            .iter()
            .filter_map(|entry| Some((entry.id.as_ref()?, entry.added_at)))
            .filter(|(id, _)| !self.bad.contains(*id))
            .collect();
        let differ: Vec<_> = held.iter().filter(|row| listed.get(*row.0) != Some(row.1)).collect();
        let lack: Vec<_> = listed.keys().filter(|id| !held.contains_key(*id)).collect();
        assert!(differ.is_empty() && lack.is_empty(), "seed {}: G4: stale {differ:?}, missing {lack:?}", self.seed);
        for entry in self.library.iter().filter(|_| self.conditions.entity.has_items()) {
            let Some(id) = &entry.id else { continue };
            let items: Vec<u64> = self.items_of(id);
            assert_eq!(items, entry.items, "seed {}: G4: items of {id}", self.seed);
        }
    }

    /// A disturbed life, then calm: one more run must end equal.
    pub fn live(&mut self) {
        for _ in 0..40 {
            if let Some(RunEnd::Complete { .. }) = self.run(true) {
                if self.random.bool() {
                    break;
                }
                for _ in 0..self.random.u32(0..5) {
                    self.edit();
                }
            }
        }
        self.conditions.refusals = 0;
        // An interrupted run first finishes what it had begun.
        while self.database.incremental.as_ref().is_none_or(|incremental| !incremental.is_complete)
            && self.database.initial.as_ref().is_none_or(|initial| !initial.is_complete)
        {
            self.run(false);
        }
        let end = self.run(false);
        let Some(RunEnd::Complete { notes, .. }) = end else { panic!("seed {}: {end:?}", self.seed) };
        let waits = |note: &String| note.contains("waits for confirmation") || note.contains("no longer returned");
        if notes.iter().any(waits) {
            // Held back; the next run that sees the same believes it.
            self.run(false);
        }
        self.check_equal();
    }
}
