//! How one pass leads to the next: where a run begins, what its walks have ready, and what follows.

use super::{
    EntityRun, PAGE_LIMIT,
    activity::{Activity, Meaning, Next},
    cursor_walk::CursorWalk,
    offset_walk::OffsetWalk,
    passes::{PassContext, PassEnd},
    step::{Draft, RunEnd, Step, WalkBatch},
};
use crate::model::{
    Checkpoint, CommitReport, Effects, Fault, ListingOrder, Phase, Rows, Stage, Survey, WalkPlace, WalkState,
};

/// The checkpoint of an incremental run that starts now, with what the last one learned.
pub(super) fn fresh_incremental(last: Checkpoint) -> Checkpoint {
    let WalkState { place: WalkPlace { pass, .. }, found, memory } = last.walk;
    let walk = WalkState { place: WalkPlace { pass, ..WalkPlace::default() }, found: found.lasting(), memory };
    Checkpoint { total: last.total, walk, ..Checkpoint::start(Phase::IncrementalSync) }
}

impl EntityRun {
    /// Carries out what a decision leads to, until something is under way.
    pub(super) fn follow(&mut self, mut next: Next) {
        loop {
            next = match next {
                Next::Pass => self.begin_pass(),
                Next::Head => self.begin_head(),
                Next::AfterHead => self.after_head(),
                Next::WalkOn => self.walk_on(),
                Next::Finish => self.finish_phase(),
                Next::GiveUp => self.give_up(),
                Next::Do(activity) => {
                    self.activity = *activity;
                    return;
                }
                Next::Commit(draft, meaning, then) => {
                    self.drafts.push_back((*draft, meaning));
                    self.activity = *then;
                    return;
                }
                Next::Stay => return,
            }
        }
    }

    /// Takes up what the checkpoint says.
    pub(super) fn begin(&mut self) -> Next {
        let is_incremental = self.phase() == Phase::IncrementalSync;
        match self.checkpoint.walk.place.stage {
            Stage::Fresh if is_incremental && self.frame.entity.is_newest_first() => {
                let needs_walk = self.checkpoint.walk.found.disordered || self.is_to_verify();
                if needs_walk { Next::Pass } else { Next::Head }
            }
            Stage::Fresh if is_incremental => self.rest().unwrap_or(Next::Pass),
            Stage::Fresh => Next::Pass,
            Stage::Verify => Next::Head,
            Stage::Head | Stage::Walk => Next::WalkOn,
            Stage::Items => Next::activity(Activity::AwaitStale { asked: false }),
        }
    }

    fn begin_pass(&mut self) -> Next {
        if self.stopping {
            return Next::end(RunEnd::Stopped);
        }
        self.repair.unconfirmed = None;
        // If there are items, the stage of the items makes the run a verifying one.
        let verifying = self.checkpoint.walk.place.verifying || self.is_to_verify() && !self.frame.entity.has_items();
        let num_requests = self.budget.num_requests();
        self.passes.begin(&mut self.checkpoint, self.num_active > 0, verifying, num_requests);
        Next::WalkOn
    }

    fn begin_head(&mut self) -> Next {
        if self.stopping {
            return Next::end(RunEnd::Stopped);
        }
        self.head.is_read = true;
        self.passes.shown.begin_head();
        self.repair.clues.forget_head();
        self.checkpoint.offset = 0;
        self.checkpoint.is_complete = false;
        let place = &mut self.checkpoint.walk.place;
        place.stage = Stage::Head;
        place.num_short = 0;
        place.anchors.clear();
        place.unlinked = false;
        Next::WalkOn
    }

    /// Carries the walk on from the checkpoint.
    fn walk_on(&mut self) -> Next {
        let (tip, batch_size) = (self.checkpoint.clone(), self.frame.batches.of(self.phase()));
        self.playlists.summary = None;
        let entity = self.frame.entity;
        Next::activity(match entity.facts().order {
            ListingOrder::ById => Activity::Cursor(CursorWalk::new(tip, batch_size, PAGE_LIMIT)),
            ListingOrder::NewestFirst | ListingOrder::Arranged => {
                let is_head = tip.walk.place.stage == Stage::Head;
                let gaps = if is_head { self.head.ranges() } else { Vec::new() };
                Activity::Walk(OffsetWalk::new(entity, tip, batch_size, PAGE_LIMIT).expecting(gaps))
            }
        })
    }

    /// Takes what a walk has ready, so that the walk can continue. Returns the step to take if that ends it.
    pub(super) fn drain(&mut self) -> Option<Step> {
        let next = match &mut self.activity {
            Activity::Walk(walk) => {
                let is_head = walk.tip().walk.place.stage == Stage::Head;
                let (batch, fault) = (walk.poll_batch(), walk.fault().cloned());
                self.handle_batch(batch, fault, is_head)
            }
            Activity::Cursor(walk) => {
                let (batch, fault) = (walk.poll_batch(), walk.fault().cloned());
                self.handle_batch(batch, fault, false)
            }
            Activity::Items(_) => self.handle_items(),
            Activity::Slice(_) => self.handle_slice(),
            Activity::Begin
            | Activity::Gap { .. }
            | Activity::AwaitMembers { .. }
            | Activity::Search(_)
            | Activity::AwaitStale { .. }
            | Activity::AwaitSwitch { .. }
            | Activity::AwaitCommit
            | Activity::Over(_) => Next::Stay,
        };
        if matches!(next, Next::Stay) {
            return None;
        }
        self.follow(next);
        self.poll_activity()
    }

    pub(super) fn poll_fetch(&mut self) -> Option<Step> {
        // One batch may be fetched while another commits, but no more, to limit what a crash loses.
        let may_plan = !self.stopping && self.drafts.is_empty();
        let (ticket, request, patience) = match &mut self.activity {
            Activity::Walk(walk) => {
                // Whether the head continues depends on how much of its last batch the database already knew.
                let waits = walk.tip().walk.place.stage == Stage::Head && self.committing.is_some();
                walk.poll_fetch(&mut self.ticket, may_plan && !waits)?
            }
            Activity::Cursor(walk) => walk.poll_fetch(&mut self.ticket, may_plan)?,
            Activity::Items(walk) => walk.poll_fetch(&mut self.ticket, may_plan)?,
            Activity::Slice(slice) => slice.poll_fetch(&mut self.ticket, may_plan)?,
            Activity::Begin
            | Activity::Gap { .. }
            | Activity::AwaitMembers { .. }
            | Activity::Search(_)
            | Activity::AwaitStale { .. }
            | Activity::AwaitSwitch { .. }
            | Activity::AwaitCommit
            | Activity::Over(_) => return None,
        };
        Some(Step::Fetch { ticket, request, patience })
    }

    /// Turns what a walk has ready into a draft, and its fault into the end of the run.
    fn handle_batch(&mut self, batch: Option<WalkBatch>, fault: Option<Fault>, is_head: bool) -> Next {
        let Some(batch) = batch else {
            return match fault {
                Some(_) if self.is_exhausted() => Next::GiveUp,
                Some(fault) => Next::fail(fault),
                None => Next::Stay,
            };
        };
        let WalkBatch { slots, offset_from, offset_to, mut gaps, mut tip, ended, before: _ } = batch;
        let healed_gaps = if is_head { self.head.known_again(&mut gaps, &mut tip) } else { Vec::new() };
        if is_head || tip.walk.place.records_seen {
            self.passes.shown.note(&slots);
        }
        if is_head {
            self.repair.clues.note_head(offset_from, &slots);
            // Rows without an id were counted by the last whole walk, and cannot be told apart from new ones.
            tip.walk.found.num_unidentified = self.checkpoint.walk.found.num_unidentified;
        }
        let place = &tip.walk.place;
        let records = (!is_head && place.records_seen).then_some(place.pass);
        let survey = match (is_head, ended) {
            (true, _) => Some(Survey::default()),
            (false, true) => Some(Survey { pass: records, ripe_at: Some(self.frame.ripe_at()) }),
            (false, false) => None,
        };
        let effects = Effects {
            record_seen: records,
            reset_seen: !is_head && std::mem::take(&mut self.passes.is_beginning),
            survey,
            new_gaps: gaps.into_iter().map(|gap| gap.of(None)).collect(),
            healed_gaps,
            ..Effects::default()
        };
        let draft = Draft { rows: Rows::Listing(slots), offset_from, offset_to, effects, checkpoint: tip };
        let meaning = match (is_head, ended) {
            (true, ended) => Meaning::Head { ended },
            (false, true) => Meaning::PassEnd,
            (false, false) => Meaning::Batch,
        };
        if ended {
            return Next::commit(draft, meaning);
        }
        self.drafts.push_back((draft, meaning));
        Next::Stay
    }

    /// The end of the listing was reached and committed.
    pub(super) fn end_pass(&mut self, report: &CommitReport) -> Next {
        let context = PassContext {
            num_active: self.num_active,
            num_before: self.num_before,
            has_read_head: self.head.is_read,
            num_requests: self.budget.num_requests(),
            is_stopping: self.stopping,
        };
        self.passes.shown.note_memberships(self.frame.entity, &report.memberships);
        self.notes.judge(None);
        match self.passes.judge(&self.frame, &mut self.checkpoint, context, report) {
            PassEnd::Again => Next::Pass,
            PassEnd::Stopped => Next::end(RunEnd::Stopped),
            PassEnd::Judged { effects, num_removed, note, is_whole } => {
                self.num_active -= num_removed;
                self.notes.judge(note);
                if is_whole {
                    self.note_verified();
                }
                self.end_walk(*effects)
            }
        }
    }

    fn end_walk(&mut self, mut effects: Effects) -> Next {
        let has_items = self.frame.entity.has_items();
        if has_items && self.is_to_verify() {
            effects.forget_item_snapshots = true;
            self.checkpoint.walk.place.verifying = true;
            self.playlists.num_rounds = 0;
        }
        let mut checkpoint = self.checkpoint.clone();
        checkpoint.walk.place.anchors.clear();
        let (meaning, then) = if has_items {
            checkpoint.walk.place.stage = Stage::Items;
            (Meaning::Judged, Activity::AwaitStale { asked: false })
        } else if self.phase() == Phase::IncrementalSync
            && (std::mem::take(&mut self.passes.needs_follow_up) || self.is_to_verify())
        {
            checkpoint.walk.place.stage = Stage::Fresh;
            (Meaning::Judged, Activity::Begin)
        } else {
            self.complete(&mut checkpoint);
            (Meaning::PhaseEnd, Activity::AwaitCommit)
        };
        Next::commit_then(Draft::bare(checkpoint, effects), meaning, then)
    }

    /// After a commit that changed more than the head showed: does the count agree now?
    pub(super) fn go_on_from_mended(&self, has_moved: bool) -> Next {
        if self.checkpoint.walk.found.disordered {
            // Not newest first, so neither heads nor slices prove anything.
            Next::Pass
        } else if has_moved {
            Next::Head
        } else {
            Next::AfterHead
        }
    }
}
