//! Hands out what a run does next.

use super::*;

impl EntityRun {
    /// Hands out the next thing to do; `None` while the run waits for an answer. Call until `None`.
    pub fn poll(&mut self) -> Option<Step> {
        if self.ended {
            return None;
        }
        self.keep_to_budget();
        loop {
            if let Some(step) = self.poll_commit() {
                return Some(step);
            }
            if let Some(step) = self.poll_activity() {
                match &step {
                    Step::Fetch { patience, .. } => self.budget.count(*patience),
                    Step::End(_) => self.ended = true,
                    Step::Commit(_) | Step::SwitchPhase(_) | Step::ListStale | Step::ListMembers(_) => {}
                }
                return Some(step);
            }
            if self.drafts.is_empty() || self.committing.is_some() {
                return None;
            }
        }
    }

    /// Stops requesting anything new once the budget is spent. Whatever is whole is committed, and then the run ends.
    fn keep_to_budget(&mut self) {
        let Checkpoint { total, offset, phase, ref walk, .. } = self.checkpoint;
        let num_listed = total.unwrap_or(0).max(self.num_active).max(offset);
        let page_size = PAGE_LIMIT.min(self.frame.batches.of(phase)).min(walk.memory.page_cap.unwrap_or(PAGE_LIMIT));
        let summary = self.playlists.summary;
        let num_items = summary.map_or(0, |round| round.items_total.max(round.items_done));
        self.budget.allow(num_listed, page_size, num_items, summary.map_or(0, |round| round.num_playlists));
        if self.budget.is_spent()
            && !self.stopping
            && !matches!(self.activity, Activity::AwaitCommit | Activity::Over(_))
        {
            self.handle_stop();
        }
    }

    fn poll_commit(&mut self) -> Option<Step> {
        if self.committing.is_some() {
            return None;
        }
        let (draft, meaning) = self.drafts.pop_front()?;
        self.committing = Some(meaning);
        self.checkpoint = draft.checkpoint.clone();
        Some(Step::Commit(Box::new(draft)))
    }

    /// Whether nothing waits to be committed.
    pub(super) fn is_idle(&self) -> bool {
        self.drafts.is_empty() && self.committing.is_none()
    }

    pub(super) fn poll_activity(&mut self) -> Option<Step> {
        let is_idle = self.is_idle();
        let is_spent = self.budget.is_spent();
        let next = match &mut self.activity {
            Activity::Begin if self.stopping && is_idle && is_spent => Next::GiveUp,
            Activity::Over(RunEnd::Stopped) if is_idle && is_spent => Next::GiveUp,
            Activity::Begin if self.stopping && is_idle => return Some(Step::End(RunEnd::Stopped)),
            Activity::Begin if is_idle => self.begin(),
            Activity::Begin | Activity::AwaitCommit => Next::Stay,
            Activity::AwaitMembers { asked, wanted } => {
                return (!std::mem::replace(asked, true)).then_some(Step::ListMembers(*wanted));
            }
            Activity::AwaitStale { asked } => {
                return (is_idle && !std::mem::replace(asked, true)).then_some(Step::ListStale);
            }
            Activity::AwaitSwitch { asked } => {
                let is_new = !std::mem::replace(asked, true);
                return is_new.then_some(Step::SwitchPhase(Phase::IncrementalSync));
            }
            Activity::Over(end) => return is_idle.then(|| Step::End(end.clone())),
            Activity::Search(search) => {
                if let Some(step) = search.poll_fetch(&mut self.ticket) {
                    return Some(step);
                }
                self.settle_search().unwrap_or(Next::Stay)
            }
            Activity::Gap { assembly, .. } => {
                if let Some((ticket, offset, limit, _)) = assembly.poll_piece(&mut self.ticket) {
                    let request = PageRequest::Listing { entity: self.frame.entity, offset, limit };
                    return Some(Step::Fetch { ticket, request, patience: Patience::Piece });
                }
                self.settle_gap().unwrap_or(Next::Stay)
            }
            Activity::Walk(_) | Activity::Cursor(_) | Activity::Items(_) | Activity::Slice(_) => {
                // Looking for the next page may show that there is none to request.
                return self.drain().or_else(|| self.poll_fetch()).or_else(|| self.drain());
            }
        };
        if matches!(next, Next::Stay) {
            return None;
        }
        self.follow(next);
        self.poll_activity()
    }
}
