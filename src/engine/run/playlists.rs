//! The items of playlists: which are read in a run, how often, and with what outcome.

use super::{
    EntityRun, PAGE_LIMIT, PASSES_MAX,
    activity::{Activity, Meaning, Next},
    items_walk::{ItemsPlan, ItemsWalk},
    notes,
    step::{Draft, RunEnd},
};
use crate::model::{CommitReport, Effects, ReadingOutcome, Rows, Stage, StalePlaylist};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

#[derive(Debug, Default)]
pub(super) struct Playlists {
    pub num_rounds: u32,
    /// Names of those that were read in this run, by id.
    names: HashMap<String, String>,
    /// Playlists whose reading failed in this run, as they were listed.
    tried: Vec<StalePlaylist>,
    /// Those that wait for the second look of a later run.
    doubtful: HashSet<String>,
    /// Readings that another account finished first, or that contradict an earlier one.
    num_dropped: u32,
    /// When the first one that failed is tried again.
    pub retry_in: Option<Duration>,
    /// Some failed, and nothing else was answered: the listing is read to learn whether anything is.
    is_in_doubt: bool,
    pub num_gaps: u32,
    /// How far the round under way is.
    pub summary: Option<RoundSummary>,
}

/// How far a round over the items of playlists is.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoundSummary {
    pub num_done: u32,
    pub num_playlists: u32,
    pub items_done: u32,
    pub items_total: u32,
}

impl Playlists {
    /// Something is tried again after this wait.
    fn note_retry(&mut self, wait: Option<Duration>) {
        self.retry_in = [self.retry_in, wait].into_iter().flatten().min();
    }

    /// Whether this run has tried that playlist without success, and its listing has not changed since.
    fn has_tried(&self, playlist: &StalePlaylist) -> bool {
        let listed = |one: &StalePlaylist| (one.id.clone(), one.snapshot_id.clone(), one.total_items);
        self.tried.iter().any(|tried| listed(tried) == listed(playlist))
    }
}

impl EntityRun {
    /// Takes in the playlists whose items are out of date.
    pub fn handle_stale(&mut self, stale: Vec<StalePlaylist>) {
        let next = self.begin_round(stale);
        self.follow(next);
    }

    fn begin_round(&mut self, mut stale: Vec<StalePlaylist>) -> Next {
        let now = self.frame.now;
        for playlist in stale.extract_if(.., |playlist| playlist.next_try_at.is_some()) {
            if let Some(at) = playlist.next_try_at.filter(|_| !self.playlists.has_tried(&playlist)) {
                self.notes.tell(notes::waiting(&playlist.name, at));
                self.playlists.note_retry((at - now).to_std().ok());
            }
        }
        if self.stopping {
            return Next::end(RunEnd::Stopped);
        }
        let playlists = &mut self.playlists;
        playlists.num_rounds += 1;
        if playlists.num_rounds > 1 {
            // What could not be served a moment ago is left to the next run.
            stale.retain(|playlist| !playlist.fills_only && !playlists.has_tried(playlist));
            stale.retain(|playlist| !playlists.doubtful.contains(&playlist.id));
            // Without a snapshot nothing shows whether it has changed since it was read.
            stale.retain(|playlist| playlist.snapshot_id.is_some() || !playlists.names.contains_key(&playlist.id));
        }
        if stale.is_empty() && std::mem::take(&mut self.passes.is_resumed) {
            return Next::Pass;
        }
        if stale.is_empty() || playlists.num_rounds > PASSES_MAX {
            if !stale.is_empty() {
                self.notes.tell(notes::restless_playlists(stale.len() as u32));
            }
            return Next::Finish;
        }
        let mut tip = self.checkpoint.clone();
        tip.walk.place.stage = Stage::Items;
        playlists.names.extend(stale.iter().map(|playlist| (playlist.id.clone(), playlist.name.clone())));
        let plan = ItemsPlan {
            batch_size: self.frame.batches.of(tip.phase).max(PAGE_LIMIT * 4),
            page_limit: PAGE_LIMIT,
            now,
            wait: self.frame.guard.wait,
            is_alive: playlists.is_in_doubt,
        };
        let walk = ItemsWalk::new(tip, stale, plan);
        playlists.summary = Some(RoundSummary::of(&walk));
        Next::activity(Activity::Items(walk))
    }

    /// Takes what the walk over the items has ready.
    pub(super) fn handle_items(&mut self) -> Next {
        let is_idle = self.is_idle();
        let Activity::Items(walk) = &mut self.activity else { return Next::Stay };
        if let Some(batch) = walk.poll_batch() {
            debug_assert!(batch.tip.walk.place.pass > 0, "items are read after a listing");
            let effects = Effects {
                new_gaps: batch.new_gaps.into_iter().map(|(id, gap)| gap.of(Some(id))).collect(),
                healed_gaps: batch.healed_gaps,
                item_removals: self.frame.guard,
                ..Effects::default()
            };
            let draft = Draft {
                rows: Rows::PlaylistItems(batch.parts),
                offset_from: batch.offset_from,
                offset_to: walk.items_done,
                effects,
                checkpoint: batch.tip,
            };
            self.playlists.summary = Some(RoundSummary::of(walk));
            self.drafts.push_back((draft, Meaning::Batch));
            return Next::Stay;
        }
        if let Some(fault) = walk.fault().cloned() {
            if walk.is_doubtful() && !self.stopping {
                if !is_idle {
                    return Next::Stay;
                }
                self.end_round();
                self.playlists.is_in_doubt = true;
                self.playlists.num_rounds = self.playlists.num_rounds.saturating_sub(1);
                return Next::Pass;
            }
            return if self.is_exhausted() { Next::GiveUp } else { Next::fail(fault) };
        }
        if !walk.is_finished() || !is_idle {
            return Next::Stay;
        }
        let num_dropped = std::mem::take(&mut self.playlists.num_dropped);
        let num_unconfirmed = walk.num_unconfirmed + num_dropped;
        self.end_round();
        let is_resumed = std::mem::take(&mut self.passes.is_resumed);
        if (num_unconfirmed > 0 || is_resumed) && self.playlists.num_rounds < PASSES_MAX {
            // A long playlist may have changed between its pages, as its snapshot shows. One whose count did not match,
            // or that another account has read meanwhile, may be listed correctly now. And a listing that an earlier
            // process began to read may have grown since.
            return Next::Pass;
        }
        if num_dropped > 0 {
            self.notes.tell(notes::restless_playlists(num_dropped));
        }
        Next::Finish
    }

    /// Takes over the findings of the walk over the items once it is over.
    fn end_round(&mut self) {
        let Activity::Items(walk) = &mut self.activity else { return };
        walk.notes.drain(..).for_each(|note| self.notes.tell(note));
        self.playlists.num_gaps += walk.num_gaps;
        self.playlists.tried.append(&mut walk.failed);
        self.playlists.note_retry(walk.retry_in);
    }

    /// Notes readings that did not end as intended.
    pub(super) fn note_readings(&mut self, report: &CommitReport) {
        let playlists = &mut self.playlists;
        for outcome in &report.readings {
            match outcome {
                ReadingOutcome::Held { playlist_id, num_missing, num_held } => {
                    let name = playlists.names.get(playlist_id).map_or("", String::as_str);
                    self.notes.tell(notes::held_items(name, *num_missing, *num_held));
                    playlists.doubtful.insert(playlist_id.clone());
                    playlists.note_retry(Some(self.frame.guard.wait));
                }
                ReadingOutcome::Unchanged { playlist_id } => {
                    playlists.doubtful.insert(playlist_id.clone());
                }
                ReadingOutcome::Contradictory { .. } | ReadingOutcome::Outrun { .. } => playlists.num_dropped += 1,
            }
        }
    }
}

impl RoundSummary {
    fn of(walk: &ItemsWalk) -> RoundSummary {
        RoundSummary {
            num_done: walk.num_done(),
            num_playlists: walk.num_playlists,
            items_done: walk.items_done,
            items_total: walk.items_total,
        }
    }
}
