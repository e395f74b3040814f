//! How one pass leads to the next: where a run begins, what the end of a walk allows, and when a phase is complete.

use super::{
    Activity, Draft, DraftEffects, EntityRun, ItemsSummary, Meaning, PAGE_LIMIT, PASSES_MAX, RunEnd, Step,
    cursor_walk::CursorWalk, items_walk::ItemsWalk, notes, offset_walk::OffsetWalk, step::WalkBatch,
};
use crate::{
    engine::sweep::{self, Finding, Verdict},
    model::{
        Checkpoint, CommitReport, Counts, Fault, Gone, Hold, ListingOrder, PassFindings, Phase, ReadingOutcome,
        Removal, Rows, Stage, StalePlaylist, Survey, WalkPlace, WalkState,
    },
};
use chrono::{DateTime, TimeDelta, Utc};

/// Runs in a row that read a whole listing again because rows that hold nothing may be what is missing. If they stay as
/// they are, only another length of the listing is worth another walk.
const VAIN_RUNS_MAX: u32 = 3;

/// The checkpoint of an incremental run that starts now, with what the last one learned.
pub(super) fn fresh_incremental(last: Checkpoint) -> Checkpoint {
    let WalkState { place: WalkPlace { pass, .. }, found, memory } = last.walk;
    let walk = WalkState { place: WalkPlace { pass, ..WalkPlace::default() }, found: found.lasting(), memory };
    Checkpoint { total: last.total, walk, ..Checkpoint::start(Phase::IncrementalSync) }
}

/// How a fault ends a run.
pub(super) fn end_of(fault: Fault) -> RunEnd {
    match fault {
        Fault::Paused(pause) => RunEnd::Paused(pause),
        Fault::Stopped => RunEnd::Stopped,
        fault => RunEnd::Failed(fault),
    }
}

impl EntityRun {
    /// Takes up what the checkpoint says.
    pub(super) fn begin(&mut self) {
        let newest_first = self.entity.is_newest_first();
        let stage = self.checkpoint.walk.place.stage;
        match stage {
            Stage::Fresh if self.phase() == Phase::IncrementalSync && newest_first => {
                if self.checkpoint.walk.found.disordered || self.is_to_verify() {
                    self.start_pass();
                } else {
                    self.start_head();
                }
            }
            Stage::Fresh if self.phase() == Phase::IncrementalSync && self.rest() => {}
            Stage::Fresh => self.start_pass(),
            Stage::Verify => self.start_head(),
            Stage::Head | Stage::Walk => self.walk_on(),
            Stage::Items => self.activity = Activity::AwaitStale { asked: false },
        }
    }

    /// A whole walk from the beginning of the listing.
    pub(super) fn start_pass(&mut self) {
        if self.stopping {
            self.activity = Activity::Over(RunEnd::Stopped);
            return;
        }
        self.num_passes += 1;
        self.requests_before_pass = self.budget.num_requests();
        self.pass_begins = true;
        self.unconfirmed = None;
        // Where there are items, their stage makes it a verifying one.
        let verifying = self.checkpoint.walk.place.verifying || self.is_to_verify() && !self.entity.has_items();
        let checkpoint = &mut self.checkpoint;
        checkpoint.offset = 0;
        checkpoint.cursor = None;
        checkpoint.total = None;
        checkpoint.is_complete = false;
        checkpoint.walk.place = WalkPlace {
            stage: Stage::Walk,
            pass: checkpoint.walk.place.pass + 1,
            records_seen: self.num_active > 0,
            verifying,
            ..WalkPlace::default()
        };
        checkpoint.walk.found = PassFindings::default();
        checkpoint.walk.memory.discrepancy = None;
        self.walk_on();
    }

    pub(super) fn start_head(&mut self) {
        if self.stopping {
            self.activity = Activity::Over(RunEnd::Stopped);
            return;
        }
        self.head_read = true;
        self.clues.forget_head();
        self.checkpoint.offset = 0;
        self.checkpoint.is_complete = false;
        self.checkpoint.walk.place.stage = Stage::Head;
        self.checkpoint.walk.place.num_short = 0;
        self.checkpoint.walk.place.anchors.clear();
        self.checkpoint.walk.place.unlinked = false;
        self.walk_on();
    }

    /// Carries the walk on from the checkpoint.
    fn walk_on(&mut self) {
        let (tip, batch_size) = (self.checkpoint.clone(), self.batches.of(self.phase()));
        self.items = None;
        self.activity = match self.entity.facts().order {
            ListingOrder::ById => Activity::Cursor(CursorWalk::new(tip, batch_size, PAGE_LIMIT)),
            ListingOrder::NewestFirst | ListingOrder::Arranged => {
                Activity::Walk(OffsetWalk::new(self.entity, tip, batch_size, PAGE_LIMIT))
            }
        };
    }

    /// Turns what a walk has ready into a draft, and its fault into the end of the run.
    pub(super) fn handle_batch(
        &mut self,
        batch: Option<WalkBatch>,
        fault: Option<Fault>,
        is_head: bool,
    ) -> Option<Step> {
        let Some(batch) = batch else {
            if let Some(fault) = fault {
                if self.is_exhausted() {
                    return self.give_up();
                }
                self.activity = Activity::Over(end_of(fault));
                return self.poll_activity();
            }
            return None;
        };
        let WalkBatch { slots, offset_from, offset_to, gaps, mut tip, ended, before: _ } = batch;
        let healed_gaps = if is_head { self.known_again(&gaps, &mut tip) } else { Vec::new() };
        if is_head {
            self.clues.note_head(offset_from, &slots);
            // What has no id was counted by the last whole walk, and cannot be told from what is new.
            tip.walk.found.num_unidentified = self.checkpoint.walk.found.num_unidentified;
        }
        let records = (!is_head && tip.walk.place.records_seen).then_some(tip.walk.place.pass);
        let survey = match (is_head, ended) {
            (true, _) => Some(Survey::default()),
            (false, true) => Some(Survey { pass: records, ripe_at: Some(self.ripe_at()) }),
            (false, false) => None,
        };
        let effects = DraftEffects {
            record_seen: records,
            reset_seen: !is_head && std::mem::take(&mut self.pass_begins),
            survey,
            new_gaps: gaps.into_iter().map(|gap| (None, gap)).collect(),
            healed_gaps,
            ..DraftEffects::default()
        };
        let meaning = match (is_head, ended) {
            (true, ended) => Meaning::Head { ended },
            (false, true) => Meaning::PassEnd,
            (false, false) => Meaning::Batch,
        };
        if ended {
            self.activity = Activity::AwaitCommit;
        }
        self.drafts.push_back((
            Draft { rows: Rows::Listing(slots), offset_from, offset_to, effects, checkpoint: tip },
            meaning,
        ));
        None
    }

    /// The end of the listing was reached and committed: may anything be marked removed?
    pub(super) fn end_pass(&mut self, report: &CommitReport) {
        let num_unseen = report.num_unseen.unwrap_or(0);
        let total = self.checkpoint.total;
        let finding = Finding { total, num_active: self.num_active, num_unseen, held: report.held };
        let by_cursor = self.entity.is_by_cursor();
        let newest_first = self.entity.is_newest_first();
        if self.resumed && by_cursor && self.checkpoint.walk.found.unsteady {
            self.resumed = false;
            // What was followed meanwhile stands before the cursor: the total says that something does.
            return self.start_pass();
        }
        let num_seen = self.num_active - num_unseen;
        let is_short = sweep::excess(&self.checkpoint.walk, total, num_seen) > 0;
        if by_cursor
            && self.checkpoint.walk.found.has_hole
            && is_short
            && self.num_passes < self.passes_max()
            && !self.stopping
        {
            // So does what was followed in the middle of this walk.
            return self.start_pass();
        }
        // What was saved since an earlier process began the walk stands before its place: one look at the head tells.
        self.follow_up = newest_first && std::mem::take(&mut self.resumed);
        let entity = self.entity;
        let pass = self.checkpoint.walk.place.pass;
        let records = self.checkpoint.walk.place.records_seen;
        let mut effects = DraftEffects::default();
        self.is_unsteady = false;
        self.notes.judge(None);
        let verdict = sweep::judge(self.guard, &self.checkpoint.walk, by_cursor, finding);
        let num_known = report.held.num_ripe + report.held.num_confirmed;
        let verdict = match verdict {
            Verdict::Proven { num_removed, .. }
                if (num_removed > num_known || total.is_none()) && !self.has_second_look(num_unseen) =>
            {
                if self.num_passes < PASSES_MAX {
                    return self.start_pass();
                }
                Verdict::Unsteady
            }
            verdict => verdict,
        };
        if verdict != Verdict::Unsteady {
            self.note_verified();
        }
        let hold = |counts| records.then_some(Hold { pass, counts });
        match verdict {
            Verdict::Proven { num_removed, num_counted, discrepancy } => {
                let walk = &mut self.checkpoint.walk;
                // More rows held than listed, and none of them unseen: the total lies, or one of the rows without an id
                // was taken for what is gone. Then the next run is to look again.
                let is_told = discrepancy >= 0 || walk.found.num_unidentified == 0;
                walk.memory.discrepancy = is_told.then_some(discrepancy);
                walk.memory.proven_undated = Some(walk.found.num_undated);
                let num_dated = walk.found.num_unidentified.saturating_sub(walk.found.num_undated);
                walk.memory.proven_dated =
                    Some(walk.memory.proven_dated.map_or(num_dated, |before| before.min(num_dated)));
                walk.memory.num_vain_runs = 0;
                let num_hidden = discrepancy - i64::from(sweep::num_nameless(walk));
                walk.memory.num_hidden = u32::try_from(num_hidden.max(0)).unwrap_or(u32::MAX);
                walk.memory.num_counted = num_counted;
                walk.memory.held_removals = Some(num_counted).filter(|num| *num > 0);
                effects.heal_all_gaps_before = Some(pass);
                if num_removed > 0 {
                    let of = if num_counted == 0 { Gone::All } else { Gone::Uncounted };
                    effects.removal = Some(Removal { pass, of });
                    self.num_active -= num_removed;
                }
                (effects.hold, effects.release_held) =
                    (hold(Counts::AsBefore).filter(|_| num_counted > 0), num_counted == 0);
            }
            Verdict::Held { num_unseen, num_removed, num_counted } => {
                let num_held = num_unseen - num_removed;
                self.checkpoint.walk.memory.held_removals = Some(num_held);
                self.checkpoint.walk.memory.num_counted = num_counted;
                self.checkpoint.walk.memory.discrepancy = None;
                if num_removed > 0 {
                    effects.removal = Some(Removal { pass, of: Gone::Ripe { at: self.ripe_at() } });
                    self.num_active -= num_removed;
                }
                effects.hold = hold(if num_counted > 0 { Counts::AsBefore } else { Counts::Nothing });
                self.notes.judge(Some(notes::held(entity, num_held, self.num_active, self.guard.wait)));
            }
            Verdict::Counted { num_unseen, num_removed, counts_all, discrepancy } => {
                let num_counted = num_unseen - num_removed;
                let walk = &mut self.checkpoint.walk;
                walk.memory.held_removals = Some(num_counted);
                walk.memory.num_counted = num_counted;
                // Where it counts just them, there is nothing to look for as long as nothing else changes. Where it counts
                // fewer, others are gone; where it counts more, this walk was shown less than there is. After some walks
                // in vain that is left to a person as well.
                walk.memory.num_vain_runs = if counts_all { 0 } else { self.vain_runs_before.saturating_add(1) };
                walk.memory.discrepancy =
                    (counts_all || walk.memory.num_vain_runs >= VAIN_RUNS_MAX).then_some(discrepancy);
                if num_removed > 0 {
                    effects.removal = Some(Removal { pass, of: Gone::Confirmed });
                    self.num_active -= num_removed;
                }
                effects.hold = hold(Counts::All);
            }
            Verdict::Unread { num_unseen, num_unread, discrepancy } => {
                let walk = &mut self.checkpoint.walk;
                walk.memory.num_vain_runs = self.vain_runs_before.saturating_add(1);
                walk.memory.discrepancy = (walk.memory.num_vain_runs >= VAIN_RUNS_MAX).then_some(discrepancy);
                self.notes.judge(Some(notes::unread(entity, num_unseen, num_unread)));
            }
            Verdict::Gaps { discrepancy } => {
                self.checkpoint.walk.memory.discrepancy = Some(discrepancy);
                self.notes.judge(Some(notes::gaps(entity, self.checkpoint.walk.found.num_gaps)));
            }
            Verdict::Unsteady if newest_first && self.phase() == Phase::InitialSync => self.follow_up = true,
            Verdict::Unsteady if self.stopping => {
                self.activity = Activity::Over(RunEnd::Stopped);
                return;
            }
            Verdict::Unsteady if self.num_passes < self.passes_max() => return self.start_pass(),
            Verdict::Unsteady => {
                self.is_unsteady = true;
                self.checkpoint.walk.memory.discrepancy = None;
                let note = if self.checkpoint.walk.found.is_broken { notes::endless } else { notes::unsteady };
                self.notes.judge(Some(note(entity)));
            }
        }
        let walk = &mut self.checkpoint.walk;
        walk.memory.num_excess = if walk.memory.num_counted == 0 { 0 } else { sweep::excess(walk, total, num_seen) };
        self.end_walk(effects);
    }

    /// Whether more than one answer shows that so many are missing, or that no more follow where no total says so: a walk of several pages, a head that made us look, or
    /// another walk that missed as many.
    fn has_second_look(&mut self, num_unseen: u32) -> bool {
        let missing = (num_unseen, self.checkpoint.total);
        let is_of_several = self.head_read || self.budget.num_requests() - self.requests_before_pass > 1;
        self.missing.replace(missing) == Some(missing) || is_of_several
    }

    /// What is held since then, or longer, has waited for long enough.
    pub(super) fn ripe_at(&self) -> DateTime<Utc> {
        let wait = TimeDelta::from_std(self.guard.wait).unwrap_or(TimeDelta::MAX);
        self.now.checked_sub_signed(wait).unwrap_or(DateTime::<Utc>::MIN_UTC)
    }

    /// A listing that did not stand still in the last runs will hardly do so in this one: each run tries less.
    fn passes_max(&self) -> u32 {
        PASSES_MAX.saturating_sub(self.checkpoint.walk.memory.num_unsteady_runs).max(1)
    }

    fn end_walk(&mut self, mut effects: DraftEffects) {
        if self.entity.has_items() && self.is_to_verify() {
            effects.forget_item_snapshots = true;
            self.checkpoint.walk.place.verifying = true;
            self.item_rounds = 0;
        }
        let mut checkpoint = self.checkpoint.clone();
        checkpoint.walk.place.anchors.clear();
        let offset = checkpoint.offset;
        let meaning = if self.entity.has_items() {
            checkpoint.walk.place.stage = Stage::Items;
            self.activity = Activity::AwaitStale { asked: false };
            Meaning::Judged
        } else if self.phase() == Phase::IncrementalSync && (std::mem::take(&mut self.follow_up) || self.is_to_verify())
        {
            checkpoint.walk.place.stage = Stage::Fresh;
            self.activity = Activity::Begin;
            Meaning::Judged
        } else {
            self.complete(&mut checkpoint);
            self.activity = Activity::AwaitCommit;
            Meaning::PhaseEnd
        };
        let rows = Rows::Listing(Vec::new());
        self.drafts.push_back((Draft { rows, offset_from: offset, offset_to: offset, effects, checkpoint }, meaning));
    }

    pub(super) fn handle_items(&mut self) -> Option<Step> {
        let idle = self.drafts.is_empty() && self.committing.is_none();
        let item_removals = self.guard;
        let Activity::Items(walk) = &mut self.activity else { return None };
        if let Some(batch) = walk.poll_batch() {
            let offset_to = walk.items_done;
            let pass = batch.tip.walk.place.pass;
            let effects = DraftEffects {
                new_gaps: batch.new_gaps.into_iter().map(|(id, gap)| (Some(id), gap)).collect(),
                healed_gaps: batch.healed_gaps.into_iter().map(|(id, from, to)| (Some(id), from, to)).collect(),
                item_removals,
                ..DraftEffects::default()
            };
            debug_assert!(pass > 0, "items are read after a listing");
            let draft = Draft {
                rows: Rows::PlaylistItems(batch.parts),
                offset_from: batch.offset_from,
                offset_to,
                effects,
                checkpoint: batch.tip,
            };
            self.items = Some(ItemsSummary::of(walk));
            self.drafts.push_back((draft, Meaning::Batch));
            return None;
        }
        if let Some(fault) = walk.fault().cloned() {
            if walk.is_doubtful() && !self.stopping {
                if !idle {
                    return None;
                }
                self.note_items();
                self.is_in_doubt = true;
                self.item_rounds = self.item_rounds.saturating_sub(1);
                self.start_pass();
                return self.poll_activity();
            }
            if self.is_exhausted() {
                return self.give_up();
            }
            self.activity = Activity::Over(end_of(fault));
            return self.poll_activity();
        }
        if walk.is_finished() && idle {
            let num_outrun = std::mem::take(&mut self.num_outrun);
            let num_unconfirmed = walk.num_unconfirmed + num_outrun;
            self.note_items();
            let resumed = std::mem::take(&mut self.resumed);
            if (num_unconfirmed > 0 || resumed) && self.item_rounds < PASSES_MAX {
                // A long playlist may have changed between its pages: its snapshot tells. One that was counted otherwise
                // than it is, or that another account has read meanwhile, may be listed as it is now. And a listing that an
                // earlier process began to read may have grown since.
                self.start_pass();
                return self.poll_activity();
            }
            if num_outrun > 0 {
                self.notes.tell(notes::restless_playlists(num_outrun));
            }
            self.finish_phase();
        }
        None
    }
}

impl EntityRun {
    /// Whether this run has tried that playlist in vain, and nothing else is listed of it since.
    pub(super) fn has_tried(&self, playlist: &StalePlaylist) -> bool {
        let listed = |one: &StalePlaylist| (one.id.clone(), one.snapshot_id.clone(), one.total_items);
        self.tried.iter().any(|tried| listed(tried) == listed(playlist))
    }

    /// Takes over what the walk of the items has found, once it is over.
    fn note_items(&mut self) {
        let Activity::Items(walk) = &mut self.activity else { return };
        let retry_in = walk.retry_in;
        self.num_item_gaps += walk.num_gaps;
        walk.notes.drain(..).for_each(|note| self.notes.tell(note));
        self.tried.append(&mut walk.failed);
        self.note_retry(retry_in);
    }

    /// Readings that did not end as they meant to.
    pub(super) fn note_readings(&mut self, report: &CommitReport) {
        for outcome in &report.readings {
            match outcome {
                ReadingOutcome::Held { playlist_id, num_missing, num_held } => {
                    let name = self.names.get(playlist_id).map_or("", String::as_str);
                    self.notes.tell(notes::held_items(name, *num_missing, *num_held));
                    self.doubtful_playlists.insert(playlist_id.clone());
                    self.note_retry(Some(self.guard.wait));
                }
                ReadingOutcome::Unchanged { playlist_id } => {
                    self.doubtful_playlists.insert(playlist_id.clone());
                }
                ReadingOutcome::Outrun { .. } => self.num_outrun += 1,
            }
        }
    }
}

impl ItemsSummary {
    pub(super) fn of(walk: &ItemsWalk) -> ItemsSummary {
        ItemsSummary {
            num_done: walk.num_done(),
            num_playlists: walk.num_playlists,
            items_done: walk.items_done,
            items_total: walk.items_total,
        }
    }
}
