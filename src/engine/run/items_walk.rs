//! Reading the items of the playlists that changed.
//!
//! A playlist's `snapshot_id` is taken from the listing before its items are read, and the listing is read once more
//! afterwards: a playlist that changed in between has another snapshot then and is read again. Inside one walk a
//! changed length gives a change away at once. Pages of several playlists are in flight together, so that many short
//! playlists are as fast as one long one; the place inside the first unfinished one is part of the checkpoint.

use super::{
    GapRange, Ticket,
    assembly::{Assembly, Cell},
};
use crate::{
    engine::backoff::Patience,
    model::{
        Checkpoint, FailedReading, FailureKind, Fault, Item, Oddity, Page, PageRequest, PlaylistItem, PlaylistItemKind,
        PlaylistPart, StalePlaylist, batch::PlaylistEnd, checkpoint::PlaylistPlace,
    },
};
use std::collections::VecDeque;

/// Times one playlist may change while it is read before it is left for the next run.
const RESTARTS_MAX: u32 = 2;

/// Times that an empty answer is asked for again where the listing counts items. If it stays, one of the two is wrong,
/// and nobody can tell which: the playlist is left as it is.
const EMPTIES_MAX: u32 = 2;

#[derive(Debug)]
pub struct ItemsWalk {
    limit: u32,
    pages_per_batch: usize,
    tip: Checkpoint,
    /// Playlists not wholly read, in library order.
    queue: VecDeque<Work>,
    legs: Vec<Leg>,
    fault: Option<Fault>,
    /// Playlists whose items took more than one request: what only another look at the listing can confirm.
    pub num_long: u32,
    /// Items that the API could not serve, now or again.
    pub num_gaps: u32,
    /// Names of playlists left for the next run.
    pub left: Vec<String>,
    /// Names of those that are empty by one answer and not by the other.
    pub contradictory: Vec<String>,
    pub num_playlists: u32,
    num_done: u32,
    pub items_total: u32,
    pub items_done: u32,
}

#[derive(Debug)]
struct Work {
    playlist: StalePlaylist,
    /// Next position to plan, and next to commit.
    planned: u32,
    committed: u32,
    /// Length the walk of this playlist started with, once an answer confirmed it.
    total: u32,
    confirmed: bool,
    restarts: u32,
    /// Answers without any item that the listing contradicts.
    empties: u32,
    done: bool,
    /// Fills gaps of an earlier read instead of reading it all.
    fills: Option<VecDeque<(u32, u32)>>,
    /// How many of these are on their way.
    num_filling: usize,
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
    pub fn new(tip: Checkpoint, stale: Vec<StalePlaylist>, batch_size: u32, page_limit: u32) -> ItemsWalk {
        let place = tip.walk.playlist.clone();
        let queue: VecDeque<Work> = stale.into_iter().map(|playlist| Work::new(playlist, place.as_ref())).collect();
        ItemsWalk {
            limit: page_limit,
            pages_per_batch: batch_size.div_ceil(page_limit).max(1) as usize,
            tip,
            legs: Vec::new(),
            fault: None,
            num_long: 0,
            num_gaps: 0,
            left: Vec::new(),
            contradictory: Vec::new(),
            num_playlists: queue.len() as u32,
            num_done: 0,
            items_total: queue.iter().map(|work| work.total - work.committed.min(work.total)).sum(),
            items_done: 0,
            queue,
        }
    }

    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
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
        self.legs.iter_mut().find_map(|leg| {
            let (ticket, offset, limit, patience) = leg.assembly.poll_piece(next_ticket)?;
            let playlist_id = leg.playlist_id.clone();
            Some((ticket, PageRequest::PlaylistItems { playlist_id, offset, limit }, patience))
        })
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
        if self.legs.iter().any(|leg| !leg.assembly.is_settled()) || (self.legs.is_empty() && !self.has_empty()) {
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
        self.finish_empty(&mut batch);
        let (num_before, queue) = (self.queue.len(), &mut self.queue);
        queue.retain(|work| !work.done);
        self.num_done += (num_before - self.queue.len()) as u32;
        for work in &mut self.queue {
            work.planned = work.committed;
        }
        self.tip.walk.playlist =
            self.queue.front().filter(|work| work.committed > 0 && work.fills.is_none()).map(|work| PlaylistPlace {
                playlist_id: work.playlist.id.clone(),
                snapshot_id: work.playlist.snapshot_id.clone(),
                offset: work.committed,
                total: work.total,
            });
        batch.tip = self.tip.clone();
        if batch.parts.is_empty() { None } else { Some(batch) }
    }

    fn plan(&mut self) {
        let limit = self.limit;
        for work in &mut self.queue {
            while self.legs.len() < self.pages_per_batch {
                let Some((offset, limit)) = work.plan_page(limit) else { break };
                let assembly =
                    if work.fills.is_some() { Assembly::again(offset, limit) } else { Assembly::new(offset, limit) };
                self.legs.push(Leg { playlist_id: work.playlist.id.clone(), assembly });
            }
        }
    }

    fn has_empty(&self) -> bool {
        self.fault.is_none() && self.queue.iter().any(Work::is_empty)
    }

    fn finish_empty(&mut self, batch: &mut ItemsBatch) {
        for work in self.queue.iter_mut().filter(|work| work.is_empty() && !work.done) {
            work.done = true;
            batch.parts.push(PlaylistPart {
                playlist_id: work.playlist.id.clone(),
                offset: 0,
                generation: work.playlist.generation,
                end: Some(PlaylistEnd::Complete {
                    snapshot_id: work.playlist.snapshot_id.clone(),
                    total: 0,
                    failure: None,
                }),
                ..PlaylistPart::default()
            });
        }
    }

    fn absorb(&mut self, leg: Leg, batch: &mut ItemsBatch) {
        let Leg { playlist_id, assembly } = leg;
        let Some(work) = self.queue.iter_mut().find(|work| work.playlist.id == playlist_id && !work.done) else {
            return;
        };
        match assembly.fault {
            Some(Fault::Forbidden(_) | Fault::Gone(_)) => {
                work.done = true;
                let snapshot_id = work.playlist.snapshot_id.clone();
                let failed = FailedReading {
                    kind: FailureKind::Refused,
                    reason: "refused".into(),
                    snapshot_id,
                    total: None,
                    rest: std::time::Duration::ZERO,
                    is_unreadable: false,
                };
                let end = Some(PlaylistEnd::Failed(failed));
                batch.parts.push(PlaylistPart { playlist_id, offset: work.committed, end, ..PlaylistPart::default() });
                return;
            }
            Some(fault) => {
                self.fault = Some(fault);
                return;
            }
            None => {}
        }
        if work.fills.is_some() {
            self.num_gaps += assembly.limit - assembly.num_read();
            return work.absorb_fill(playlist_id, assembly, batch);
        }
        if assembly.offset != work.committed {
            // A page before this one did not come, or the playlist was restarted in this batch.
            return;
        }
        if work.contradicts(&assembly) {
            if work.ask_again() {
                self.contradictory.push(work.playlist.name.clone());
            }
            return;
        }
        // Of a playlist that shows items a length of none is no length.
        let told = assembly.total.filter(|total| *total > 0 || assembly.cells.is_empty());
        let total = told.unwrap_or(work.total);
        if assembly.moved || work.confirmed && total != work.total {
            work.restarts += 1;
            work.committed = 0;
            work.confirmed = false;
            work.total = total;
            if work.restarts > RESTARTS_MAX {
                work.done = true;
                self.left.push(work.playlist.name.clone());
            }
            return;
        }
        self.items_total = self.items_total - work.total.min(self.items_total) + total;
        work.total = total;
        work.confirmed = true;
        let (offset, num_cells) = (assembly.offset, assembly.cells.len() as u32);
        if num_cells < assembly.limit && offset + num_cells < total && work.restarts < RESTARTS_MAX {
            // Shorter than asked although the total promises more: not to be believed before it is asked for again.
            work.restarts += 1;
            return;
        }
        self.num_gaps += assembly.num_gaps();
        let (limit, in_pieces) = (assembly.limit, assembly.in_pieces);
        let Split { items, odd, gaps } = split(assembly.cells, offset);
        batch.new_gaps.extend(gaps.into_iter().map(|gap| (playlist_id.clone(), gap)));
        work.committed = offset + num_cells;
        self.items_done += num_cells;
        let is_last = work.committed >= total || num_cells < limit;
        if is_last {
            work.done = true;
            self.num_long += u32::from(offset > 0 || in_pieces);
        }
        let end = is_last.then(|| PlaylistEnd::Complete {
            snapshot_id: work.playlist.snapshot_id.clone(),
            total: work.committed,
            failure: None,
        });
        let generation = work.playlist.generation;
        batch.parts.push(PlaylistPart { playlist_id, generation, offset, items, num_hidden: 0, odd, end });
    }
}

impl Work {
    fn new(playlist: StalePlaylist, place: Option<&PlaylistPlace>) -> Work {
        let place = place
            .filter(|place| place.playlist_id == playlist.id && place.snapshot_id == playlist.snapshot_id)
            .filter(|place| playlist.snapshot_id.is_some() && place.offset < place.total)
            .filter(|place| place.offset == playlist.num_read);
        let (committed, total) = place.map_or((0, length(&playlist)), |place| (place.offset, place.total));
        let fills = (!playlist.gaps.is_empty()).then(|| playlist.gaps.iter().copied().collect());
        Work {
            playlist,
            planned: committed,
            committed,
            total,
            confirmed: place.is_some(),
            restarts: 0,
            empties: 0,
            done: false,
            fills,
            num_filling: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.total == 0 && self.fills.is_none() && !self.done
    }

    /// Whether a page denies what the listing says: that there are items.
    fn contradicts(&self, page: &Assembly) -> bool {
        let is_denied = page.cells.is_empty() && (page.offset == 0 || page.total == Some(0));
        is_denied && self.playlist.total_items.is_some_and(|total| total > 0)
    }

    /// Begins the playlist anew; `true` if that was done often enough.
    fn ask_again(&mut self) -> bool {
        self.empties += 1;
        self.committed = 0;
        self.confirmed = false;
        self.total = length(&self.playlist);
        self.done = self.empties > EMPTIES_MAX;
        self.done
    }

    fn plan_page(&mut self, limit: u32) -> Option<(u32, u32)> {
        if let Some(fills) = &mut self.fills {
            let (from, to) = fills.pop_front()?;
            self.num_filling += 1;
            return Some((from, (to - from).clamp(1, limit)));
        }
        if self.done || self.planned >= self.total {
            return None;
        }
        let offset = self.planned;
        self.planned += limit;
        Some((offset, limit))
    }

    /// An earlier gap: what can be read now is committed and healed, what cannot stays a gap.
    fn absorb_fill(&mut self, playlist_id: String, assembly: Assembly, batch: &mut ItemsBatch) {
        let offset = assembly.offset;
        let is_whole = assembly.num_read() == assembly.limit;
        self.num_filling -= 1;
        self.done = self.num_filling == 0 && self.fills.as_ref().is_none_or(VecDeque::is_empty);
        if is_whole {
            batch.healed_gaps.push((playlist_id.clone(), offset, offset + assembly.limit));
            let Split { items, odd, .. } = split(assembly.cells, offset);
            let (generation, end) = (self.playlist.generation, Some(PlaylistEnd::GapFilled));
            batch.parts.push(PlaylistPart { playlist_id, generation, offset, items, num_hidden: 0, odd, end });
        } else if self.done {
            batch.parts.push(PlaylistPart {
                playlist_id,
                generation: self.playlist.generation,
                offset,
                end: Some(PlaylistEnd::GapFilled),
                ..PlaylistPart::default()
            });
        }
    }
}

/// Pages to plan before an answer tells: of a playlist that does not say how long it is, one.
fn length(playlist: &StalePlaylist) -> u32 {
    playlist.total_items.unwrap_or(1)
}

/// What the cells of a page hold.
#[derive(Default)]
struct Split {
    /// In list order; a slot that the API could not serve becomes a missing item, so that positions stay true.
    items: Vec<PlaylistItem>,
    odd: Vec<(u32, Oddity)>,
    gaps: Vec<GapRange>,
}

fn split(cells: Vec<Cell>, offset: u32) -> Split {
    let mut split = Split::default();
    for (cell, at) in cells.into_iter().zip(offset..) {
        let (item, odd) = match cell {
            Cell::Slot(slot) => match slot.item {
                Some(Item::PlaylistItem(item)) => (*item, slot.odd),
                Some(Item::Track(_) | Item::Album(_) | Item::Artist(_) | Item::Playlist(_)) | None => {
                    (missing(), slot.odd)
                }
            },
            Cell::Gap { reason } => {
                split.gaps.push(GapRange { offset_from: at, offset_to: at + 1, reason });
                (missing(), Some(Oddity::Unserved))
            }
        };
        split.items.push(item);
        split.odd.extend(odd.map(|odd| (at, odd)));
    }
    split
}

fn missing() -> PlaylistItem {
    PlaylistItem { kind: PlaylistItemKind::Missing, uri: None, name: None, added_at: None, added_by: None, track: None }
}
