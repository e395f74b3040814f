//! Reading the items of the playlists that are due.
//!
//! A playlist's `snapshot_id` is taken from the listing before its items are read, and the listing is read once more
//! afterwards: a playlist that changed in between has another snapshot then and is read again. Pages of several playlists
//! are in flight together, so that many short playlists are as fast as one long one; the place inside the first unfinished
//! one is part of the checkpoint. How one is read says [`super::item_reading`], how that ends [`super::item_end`].
//!
//! A walk has a budget of requests: some three times what the counted items need, and an allowance. What is not read then
//! stays due.

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
        Checkpoint, FailedReading, FailureKind, Fault, Page, PageRequest, PlaylistPart, StalePlaylist,
        batch::PlaylistEnd,
    },
};
use chrono::{DateTime, Utc};
use std::{collections::VecDeque, time::Duration};

/// Times one playlist may change while it is read before it is left for the next run.
const RESTARTS_MAX: u32 = 2;

/// Times that the items of an own playlist are asked for in one run.
const REFUSALS_MAX: u32 = 2;

/// Shortest time between two runs that try a playlist which failed.
const RETRY_MIN: Duration = Duration::from_secs(600);

/// Playlists in a row that cannot be served, without one answer between, that mean an outage.
const FAILURES_MAX: u32 = 2;

/// A walk may send so many times the requests that the counted items need, and an allowance.
const BUDGET_FACTOR: u32 = 3;
const BUDGET_ALLOWANCE: u32 = 60;

/// What the walk of a run knows beside the playlists.
#[derive(Debug, Clone, Copy)]
pub struct ItemsPlan {
    pub batch_size: u32,
    pub page_limit: u32,
    /// When the run began.
    pub now: DateTime<Utc>,
    /// How long after the first look a second one must come, to be believed.
    pub wait: Duration,
    /// The listing was read since playlists failed, and nothing else was answered: they are at fault themselves.
    pub is_alive: bool,
}

#[derive(Debug)]
pub struct ItemsWalk {
    plan: ItemsPlan,
    pages_per_batch: usize,
    tip: Checkpoint,
    /// Playlists not wholly read, in library order; those that were refused at the end.
    queue: VecDeque<Work>,
    legs: Vec<Leg>,
    fault: Option<Fault>,
    /// What failed may be at fault, or nothing is answered at all: the listing tells.
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
    /// Playlists whose reading came to nothing.
    pub failed: Vec<StalePlaylist>,
    /// When the first of them is tried again.
    pub retry_in: Option<Duration>,
    pub num_playlists: u32,
    num_done: u32,
    pub items_total: u32,
    pub items_done: u32,
}

#[derive(Debug)]
struct Work {
    task: Task,
    num_refusals: u32,
    /// It failed, and nothing has been answered since.
    suspect: Option<Fault>,
    is_done: bool,
}

#[derive(Debug)]
enum Task {
    Read(ItemReading),
    /// Fills gaps of an earlier reading instead of reading it all.
    Fill(GapFilling),
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
    pub healed_gaps: Vec<(String, u32, u32)>,
    pub offset_from: u32,
    pub tip: Checkpoint,
}

impl ItemsWalk {
    pub fn new(tip: Checkpoint, stale: Vec<StalePlaylist>, plan: ItemsPlan) -> ItemsWalk {
        let place = tip.walk.place.playlist.clone();
        let work = |playlist: StalePlaylist| {
            let task = if playlist.gaps.is_empty() {
                Task::Read(ItemReading::new(playlist, place.as_ref(), plan.page_limit))
            } else {
                Task::Fill(GapFilling::new(playlist))
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

    /// The fault is of playlists, or of everything.
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

    /// Hands out a batch once all its pages are in. Empty playlists need no page.
    pub fn poll_batch(&mut self) -> Option<ItemsBatch> {
        let has_unasked = self.fault.is_none() && (self.is_exhausted() || self.queue.iter().any(Work::is_empty));
        if self.legs.iter().any(|leg| !leg.assembly.is_settled()) || (self.legs.is_empty() && !has_unasked) {
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
        self.finish_empty(&mut batch);
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
        for work in self.queue.iter_mut().filter(|work| !work.is_empty() && work.suspect.is_none()) {
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

    fn finish_empty(&mut self, batch: &mut ItemsBatch) {
        if self.fault.is_some() {
            return;
        }
        for work in self.queue.iter_mut().filter(|work| work.is_empty() && !work.is_done) {
            work.is_done = true;
            let playlist = work.playlist();
            let end = item_end::complete(playlist, 0, self.plan.wait, self.plan.now);
            batch.parts.push(PlaylistPart { end: Some(end), ..part_of(playlist, 0) });
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
        let note = match failed.kind {
            FailureKind::Refused if playlist.is_own => Some(notes::refused(&playlist.name, &failed.reason)),
            FailureKind::Refused | FailureKind::Held | FailureKind::Unchanged => None,
            FailureKind::Failed => Some(notes::refused(&playlist.name, &failed.reason)),
            FailureKind::Miscounted if failed.total == Some(0) => Some(notes::contradictory(&playlist.name)),
            FailureKind::Miscounted => Some(notes::miscounted(&playlist.name, &failed.reason)),
            FailureKind::Unsteady => Some(notes::restless(&playlist.name)),
        };
        self.notes.extend(note);
        // What the listing says may be what is wrong.
        self.num_unconfirmed += u32::from(failed.kind == FailureKind::Miscounted);
        self.note_retry(&playlist, &failed);
        batch.parts.push(PlaylistPart { end: Some(PlaylistEnd::Failed(failed)), ..part_of(&playlist, 0) });
        self.failed.push(playlist);
    }

    /// What is doubtful of an own playlist is looked at soon; another's comes with the next run.
    fn note_retry(&mut self, playlist: &StalePlaylist, failed: &FailedReading) {
        let wait = match failed.kind {
            FailureKind::Miscounted => failed.rest.max(self.plan.wait),
            _ => failed.rest.max(RETRY_MIN),
        };
        self.retry_in = [self.retry_in, Some(wait).filter(|_| playlist.is_own)].into_iter().flatten().min();
    }

    fn absorb(&mut self, leg: Leg, batch: &mut ItemsBatch) {
        let Leg { playlist_id, mut assembly } = leg;
        let is_its = |work: &Work| work.playlist().id == playlist_id && !work.is_done;
        let Some(at) = self.queue.iter().position(is_its) else { return };
        if let Some(fault) = assembly.fault.take() {
            return self.absorb_fault(at, fault, batch);
        }
        self.failures_in_a_row = 0;
        match &mut self.queue[at].task {
            Task::Fill(filling) => {
                let filled = filling.absorb(assembly);
                let (is_done, num_gaps) = (filling.is_done(), filling.num_gaps);
                batch.parts.extend(filled.part);
                batch.healed_gaps.extend(filled.healed.map(|(from, to)| (playlist_id, from, to)));
                self.queue[at].is_done = is_done;
                self.num_gaps += if is_done { num_gaps } else { 0 };
            }
            Task::Read(_) => self.absorb_items(at, assembly, batch),
        }
    }

    fn absorb_fault(&mut self, at: usize, fault: Fault, batch: &mut ItemsBatch) {
        match fault {
            Fault::Forbidden(reason) | Fault::Gone(reason) => {
                let work = &mut self.queue[at];
                work.num_refusals += 1;
                if work.playlist().is_own && work.num_refusals < REFUSALS_MAX {
                    // It may be shown a moment later.
                    return;
                }
                self.failures_in_a_row = 0;
                self.fail(at, FailureKind::Refused, reason, None, batch);
            }
            Fault::Unservable(_) | Fault::Unreachable(_) | Fault::Outage(_) | Fault::Refused(_) => {
                self.failures_in_a_row += 1;
                self.queue[at].suspect = Some(fault);
            }
            fault @ (Fault::Paused(_)
            | Fault::SignIn(_)
            | Fault::NotPermitted(_)
            | Fault::Internal(_)
            | Fault::Overtaken(_)
            | Fault::Stopped) => self.fault = Some(fault),
        }
    }

    /// A playlist that failed is at fault only if something else is answered: another playlist, or the listing.
    fn settle_suspects(&mut self, batch: &mut ItemsBatch) {
        let suspects: Vec<(usize, Fault)> = (0..)
            .zip(&self.queue)
            .filter(|(_, work)| !work.is_done)
            .filter_map(|(at, work)| Some((at, work.suspect.clone()?)))
            .collect();
        let Some((_, last)) = suspects.last().cloned().filter(|_| self.fault.is_none()) else { return };
        let has_others = self.queue.iter().any(|work| !work.is_done && work.suspect.is_none() && !work.is_empty());
        let is_stuck = self.failures_in_a_row >= FAILURES_MAX;
        if self.failures_in_a_row == 0 || self.plan.is_alive {
            for (at, fault) in suspects {
                self.queue[at].suspect = None;
                self.fail(at, FailureKind::Failed, fault.to_string(), None, batch);
            }
            self.fault = Some(last).filter(|_| is_stuck && has_others);
        } else if is_stuck || !has_others {
            self.is_doubtful = true;
            self.fault = Some(last);
        }
    }

    fn absorb_items(&mut self, at: usize, page: Assembly, batch: &mut ItemsBatch) {
        let in_pieces = page.in_pieces;
        let num_gaps = page.num_gaps();
        let Task::Read(reading) = &mut self.queue[at].task else { return };
        let length_before = reading.length();
        match reading.absorb(page) {
            Absorbed::Useless => {}
            Absorbed::Moved => {
                reading.restart();
                if reading.restarts > RESTARTS_MAX {
                    let (reason, total) = ("it kept changing while it was read".to_owned(), reading.total);
                    self.fail(at, FailureKind::Unsteady, reason, total, batch);
                }
            }
            Absorbed::Rows { offset, cells, num_before, num_hidden, is_end } => {
                let Split { items, odd, gaps } = split(cells, offset);
                let playlist = reading.playlist.clone();
                self.items_total = (self.items_total + reading.length()).saturating_sub(length_before);
                self.items_done += items.len() as u32;
                self.num_gaps += num_gaps;
                batch.new_gaps.extend(gaps.into_iter().map(|gap| (playlist.id.clone(), gap)));
                if num_before > 0 {
                    // That rows are hidden among those before shows only now; a part says so, since parts follow each other.
                    let from = offset - num_before;
                    batch.parts.push(PlaylistPart { num_hidden: num_before, ..part_of(&playlist, from) });
                }
                if !is_end {
                    if !items.is_empty() || num_hidden > 0 {
                        batch.parts.push(PlaylistPart { items, odd, num_hidden, ..part_of(&playlist, offset) });
                    }
                    return;
                }
                let is_long = reading.num_pages > 1 || in_pieces || offset > 0;
                let (total, all_hidden) = (reading.committed, reading.num_hidden);
                if total > 0 && all_hidden == total {
                    let reason = format!("{total} items are counted, and none came");
                    return self.fail(at, FailureKind::Miscounted, reason, Some(0), batch);
                }
                match item_end::complete(&playlist, total, self.plan.wait, self.plan.now) {
                    PlaylistEnd::Failed(failed) => self.end_failed(at, failed, batch),
                    end => {
                        let is_claimed = matches!(&end, PlaylistEnd::Complete { failure: None, .. });
                        self.num_unconfirmed += u32::from(is_long || !is_claimed);
                        if !is_claimed {
                            let listed = playlist.total_items.unwrap_or_default();
                            let reason = format!("{listed} items are listed, and {total} are there");
                            self.notes.push(notes::miscounted(&playlist.name, &reason));
                            self.failed.push(playlist.clone());
                        }
                        if all_hidden != playlist.num_hidden {
                            self.notes.push(notes::hidden_items(&playlist.name, all_hidden));
                        }
                        let end = Some(end);
                        batch.parts.push(PlaylistPart { items, odd, num_hidden, end, ..part_of(&playlist, offset) });
                        self.queue[at].is_done = true;
                    }
                }
            }
        }
    }
}

impl Work {
    fn playlist(&self) -> &StalePlaylist {
        match &self.task {
            Task::Read(reading) => &reading.playlist,
            Task::Fill(filling) => &filling.playlist,
        }
    }

    fn num_left(&self) -> u32 {
        match &self.task {
            Task::Read(reading) => reading.playlist.total_items.unwrap_or(1).saturating_sub(reading.committed),
            Task::Fill(filling) => filling.playlist.gaps.iter().map(|(from, to)| to - from).sum(),
        }
    }

    /// By its listing it holds nothing, and nothing is known of it: no request is needed to see that.
    fn is_empty(&self) -> bool {
        match &self.task {
            Task::Read(reading) => {
                let playlist = &reading.playlist;
                playlist.total_items == Some(0) && playlist.num_held.unwrap_or(0) == 0
            }
            Task::Fill(_) => false,
        }
    }

    fn replan(&mut self) {
        if let Task::Read(reading) = &mut self.task {
            reading.replan();
        }
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
