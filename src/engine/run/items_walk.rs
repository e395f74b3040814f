//! Reading the items of the playlists that are due.
//!
//! A playlist's `snapshot_id` is taken from the listing before its items are read, and the listing is read once more
//! afterwards: a playlist that changed in between then has another snapshot and is read again. Pages of several
//! playlists are in flight together, so that many short playlists are as fast as one long one; the place inside the
//! first unfinished one is part of the checkpoint. [`super::item_reading`] reads a single one, [`super::item_end`]
//! decides how that ends.
//!
//! A walk has a budget of requests: three times what the counted items need, and an allowance. Whatever is not read by
//! then stays due.

mod absorb;
mod work;

use super::{
    GapRange, Ticket,
    assembly::Assembly,
    item_end,
    item_gaps::GapFilling,
    item_reading::{Absorbed, ItemReading},
    item_split::{Split, split},
    notes,
};
use crate::{
    engine::backoff::Patience,
    model::{
        Checkpoint, FailedReading, FailureKind, Fault, HealedGap, Page, PageRequest, PlaylistPart, StalePlaylist,
        batch::PlaylistEnd,
    },
};
use chrono::{DateTime, Utc};
use std::{collections::VecDeque, time::Duration};
use work::{Task, Work};

/// Times one playlist may change while it is read before it is left for the next run.
const RESTARTS_MAX: u32 = 2;

/// Times that the items of an own playlist are asked for in one run.
const REFUSALS_MAX: u32 = 2;

/// Shortest time between two runs that try a playlist which failed.
const RETRY_MIN: Duration = Duration::from_secs(600);

/// Playlists in a row that cannot be served, without one answer in between, that mean an outage.
const FAILURES_MAX: u32 = 2;

/// A walk may send this many times the requests that the counted items need, plus an allowance.
const BUDGET_FACTOR: u32 = 3;
const BUDGET_ALLOWANCE: u32 = 60;

/// What the walk of a run knows besides the playlists.
#[derive(Debug, Clone, Copy)]
pub struct ItemsPlan {
    pub batch_size: u32,
    pub page_limit: u32,
    /// When the run began.
    pub now: DateTime<Utc>,
    /// How long after the first look a second one must come to be believed.
    pub wait: Duration,
    /// The listing was read after playlists had failed, and nothing else was answered: they are at fault themselves.
    pub is_alive: bool,
}

#[derive(Debug)]
pub struct ItemsWalk {
    plan: ItemsPlan,
    pages_per_batch: usize,
    tip: Checkpoint,
    /// Playlists not wholly read, in library order; refused ones come last.
    queue: VecDeque<Work>,
    legs: Vec<Leg>,
    fault: Option<Fault>,
    /// Either the failed playlists are at fault, or nothing is answered at all: reading the listing shows which.
    is_doubtful: bool,
    /// Requests that may still be sent.
    budget: u32,
    failures_in_a_row: u32,
    /// Playlists that only another look at the listing can confirm.
    pub num_unconfirmed: u32,
    /// Items that the API could not serve, now or again.
    pub num_gaps: u32,
    /// What a person should know.
    pub notes: Vec<String>,
    /// Playlists whose reading failed.
    pub failed: Vec<StalePlaylist>,
    /// When the first of them is tried again.
    pub retry_in: Option<Duration>,
    pub num_playlists: u32,
    num_done: u32,
    pub items_total: u32,
    pub items_done: u32,
}

#[derive(Debug)]
struct Leg {
    playlist_id: String,
    assembly: Assembly,
}

/// Consecutive items read, of one or several playlists.
#[derive(Debug)]
pub struct ItemsBatch {
    pub parts: Vec<PlaylistPart>,
    pub new_gaps: Vec<(String, GapRange)>,
    pub healed_gaps: Vec<HealedGap>,
    pub offset_from: u32,
    pub tip: Checkpoint,
}

impl ItemsWalk {
    pub fn new(tip: Checkpoint, stale: Vec<StalePlaylist>, plan: ItemsPlan) -> ItemsWalk {
        let place = tip.walk.place.playlist.clone();
        let work = |playlist: StalePlaylist| {
            let task = if playlist.fills_only {
                Task::Fill(GapFilling::new(playlist))
            } else {
                Task::Read(ItemReading::new(playlist, place.as_ref(), plan.page_limit))
            };
            Work { task, num_refusals: 0, suspect: None, is_done: false }
        };
        let queue: VecDeque<Work> = stale.into_iter().map(work).collect();
        let pages: u32 = queue.iter().map(|work| work.num_left().div_ceil(plan.page_limit).max(1)).sum();
        ItemsWalk {
            plan,
            pages_per_batch: plan.batch_size.div_ceil(plan.page_limit).max(1) as usize,
            tip,
            legs: Vec::new(),
            fault: None,
            is_doubtful: false,
            budget: pages.saturating_mul(BUDGET_FACTOR).saturating_add(BUDGET_ALLOWANCE),
            failures_in_a_row: 0,
            num_unconfirmed: 0,
            num_gaps: 0,
            notes: Vec::new(),
            failed: Vec::new(),
            retry_in: None,
            num_playlists: queue.len() as u32,
            num_done: 0,
            items_total: queue.iter().map(Work::num_left).sum(),
            items_done: 0,
            queue,
        }
    }

    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// Whether the fault may lie with everything, not just these playlists.
    pub fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    pub fn num_done(&self) -> u32 {
        self.num_done
    }

    /// Everything is read and handed out.
    pub fn is_finished(&self) -> bool {
        self.queue.is_empty() && self.legs.is_empty()
    }

    pub fn poll_fetch(&mut self, next_ticket: &mut Ticket, may_plan: bool) -> Option<(Ticket, PageRequest, Patience)> {
        if self.legs.is_empty() && self.fault.is_none() && may_plan {
            self.plan();
        }
        let (ticket, request, patience) = self.legs.iter_mut().find_map(|leg| {
            let (ticket, offset, limit, patience) = leg.assembly.poll_piece(next_ticket)?;
            let playlist_id = leg.playlist_id.clone();
            Some((ticket, PageRequest::PlaylistItems { playlist_id, offset, limit }, patience))
        })?;
        self.budget = self.budget.saturating_sub(1);
        Some((ticket, request, patience))
    }

    pub fn handle_page(&mut self, ticket: Ticket, answer: Result<Page, Fault>) {
        if let Some(leg) = self.legs.iter_mut().find(|leg| leg.assembly.awaits(ticket)) {
            leg.assembly.handle_answer(answer, true);
        }
    }

    /// Drops what is in flight; what was read stays to be handed out.
    pub fn handle_stop(&mut self) {
        self.fault = Some(Fault::Stopped);
        for leg in self.legs.iter_mut().filter(|leg| !leg.assembly.is_settled()) {
            leg.assembly.fault = Some(Fault::Stopped);
        }
    }

    /// Hands out a batch once all its pages are in.
    pub fn poll_batch(&mut self) -> Option<ItemsBatch> {
        let gives_up = self.is_exhausted() && self.fault.is_none();
        if self.legs.iter().any(|leg| !leg.assembly.is_settled()) || (self.legs.is_empty() && !gives_up) {
            return None;
        }
        let offset_from = self.items_done;
        let mut batch = ItemsBatch {
            parts: Vec::new(),
            new_gaps: Vec::new(),
            healed_gaps: Vec::new(),
            offset_from,
            tip: self.tip.clone(),
        };
        for leg in std::mem::take(&mut self.legs) {
            self.absorb(leg, &mut batch);
        }
        self.settle_suspects(&mut batch);
        if self.is_exhausted() && self.fault.is_none() {
            self.give_up(&mut batch);
        }
        let num_before = self.queue.len();
        self.queue.retain(|work| !work.is_done);
        self.num_done += (num_before - self.queue.len()) as u32;
        self.queue.iter_mut().for_each(Work::replan);
        // Those that were refused once come last.
        self.queue.make_contiguous().sort_by_key(|work| work.num_refusals);
        self.tip.walk.place.playlist = match self.queue.front().map(|work| &work.task) {
            Some(Task::Read(reading)) => reading.place(),
            Some(Task::Fill(_)) | None => None,
        };
        batch.tip = self.tip.clone();
        if batch.parts.is_empty() { None } else { Some(batch) }
    }

    fn is_exhausted(&self) -> bool {
        self.budget == 0 && !self.queue.is_empty()
    }

    fn plan(&mut self) {
        let limit = self.plan.page_limit;
        let most = self.pages_per_batch.min(self.budget as usize);
        for work in self.queue.iter_mut().filter(|work| work.suspect.is_none()) {
            while self.legs.len() < most {
                let (page, is_again) = match &mut work.task {
                    Task::Read(reading) => (reading.plan(), false),
                    Task::Fill(filling) => (filling.plan(limit), true),
                };
                let Some((offset, limit)) = page else { break };
                let assembly = if is_again { Assembly::again(offset, limit) } else { Assembly::new(offset, limit) };
                self.legs.push(Leg { playlist_id: work.playlist().id.clone(), assembly });
            }
        }
    }

    /// The budget is spent: what is not read stays due.
    fn give_up(&mut self, batch: &mut ItemsBatch) {
        for at in 0..self.queue.len() {
            if !self.queue[at].is_done {
                let reason = "other playlists took all the requests that a run may send".to_owned();
                self.fail(at, FailureKind::Unsteady, reason, None, batch);
            }
        }
        self.notes.push(notes::items_endless());
    }

    fn fail(&mut self, at: usize, kind: FailureKind, reason: String, total: Option<u32>, batch: &mut ItemsBatch) {
        let failed = item_end::failed(self.queue[at].playlist(), kind, reason, total);
        self.end_failed(at, failed, batch);
    }

    fn end_failed(&mut self, at: usize, failed: FailedReading, batch: &mut ItemsBatch) {
        let work = &mut self.queue[at];
        work.is_done = true;
        let playlist = work.playlist().clone();
        self.notes.extend(note_of(&playlist, &failed));
        // The listing itself may be what is wrong.
        self.num_unconfirmed += u32::from(failed.kind == FailureKind::Miscounted);
        self.note_retry(&playlist, &failed);
        batch.parts.push(PlaylistPart { end: Some(PlaylistEnd::Failed(failed)), ..part_of(&playlist, 0) });
        self.failed.push(playlist);
    }

    /// A doubtful reading of an own playlist is repeated soon; another's waits for the next run.
    fn note_retry(&mut self, playlist: &StalePlaylist, failed: &FailedReading) {
        let wait = match failed.kind {
            FailureKind::Miscounted => failed.rest.max(self.plan.wait),
            _ => failed.rest.max(RETRY_MIN),
        };
        self.retry_in = [self.retry_in, Some(wait).filter(|_| playlist.is_own)].into_iter().flatten().min();
    }
}

/// What a person should know about a reading that failed.
fn note_of(playlist: &StalePlaylist, failed: &FailedReading) -> Option<String> {
    let (name, reason) = (&playlist.name, &failed.reason);
    match failed.kind {
        FailureKind::Refused if playlist.is_own => Some(notes::refused(name, reason)),
        FailureKind::Refused | FailureKind::Held | FailureKind::Unchanged => None,
        FailureKind::Failed => Some(notes::refused(name, reason)),
        FailureKind::Miscounted if failed.total == Some(0) => Some(notes::contradictory(name)),
        FailureKind::Miscounted => Some(notes::miscounted(name, reason)),
        FailureKind::Unsteady => Some(notes::restless(name)),
    }
}

/// A part without items.
fn part_of(playlist: &StalePlaylist, offset: u32) -> PlaylistPart {
    PlaylistPart {
        playlist_id: playlist.id.clone(),
        generation: playlist.generation,
        offset,
        ..PlaylistPart::default()
    }
}

#[cfg(test)]
mod tests;
