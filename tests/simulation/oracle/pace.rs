//! G5, G6, G7, G11 and G12: what is sent and how much, how often runs begin, and that they end.

use super::{super::process::Forbidden, *};
use uuid::Uuid;

/// How long permits are reserved for.
const BLOCK: Duration = Duration::from_secs(2);

/// How long processes that were taken for dead may not know it.
const DISTURBED_FOR: Duration = Duration::from_secs(60);

/// A permit that was reserved before a pause was stored may be used a moment after it.
const ON_ITS_WAY: Duration = Duration::from_millis(20);

/// Steps in one instant. More than that is a busy loop.
const AT_ONCE_MAX: u32 = 20_000;

/// Runs of one entity type that may begin within an hour.
const RUNS_PER_HOUR_MAX: usize = 150;

/// How long a request may fail and still be tried again.
const PATIENCE_MAX: Duration = Duration::from_secs(60);

/// Starts of one syncer within a moment. Those that die, or lose a reply, are restarted more and more slowly.
const BEGINS_AT_ONCE_MAX: usize = 5;
const MOMENT: Duration = Duration::from_millis(200);

/// Longest wait after an outage: an hour, give or take a quarter.
const OUTAGE_MAX: TimeDelta = TimeDelta::minutes(75);

/// Whole walks, other pages, and pieces of pages that one run may request.
const WALKS_MAX: u32 = 3;
const ALLOWANCE: u32 = 60;
const PIECES_MAX: u32 = 600;

/// The requests of a run, and what it learned about how much there is to read.
#[derive(Debug, Default)]
pub struct Spending {
    num_pages: u32,
    num_pieces: u32,
    /// The greatest length of the listing.
    longest: u32,
    /// Rows of the shortest page that should have held more.
    shortest: Option<u32>,
    /// The most items of each playlist.
    items: BTreeMap<u32, u32>,
}
impl World {
    pub fn check_pace(&mut self) {
        self.oracle.num_at_once += 1;
        if self.oracle.num_at_once > AT_ONCE_MAX {
            self.violated("G7", format!("{AT_ONCE_MAX} steps while no time passes"));
        }
    }

    pub fn check_run_begins(&mut self, pid: u32, key: SyncKey) {
        let now = self.now;
        let begun = &mut self.oracle.runs_begun[key.place()];
        begun.retain(|at| now - *at < Duration::from_secs(3600));
        begun.push_back(now);
        let num = begun.len();
        if num > RUNS_PER_HOUR_MAX {
            self.violated("G7", format!("process {pid}: {num} runs of {key} began within an hour"));
        }
    }

    /// A syncer starts, for the first time, or again from the database.
    pub fn check_restarts(&mut self, pid: u32, key: SyncKey) {
        let (now, at) = (self.now, key.place());
        let begun = &mut self.oracle.begun[at];
        begun.retain(|(of, began_at)| *of == pid && now - *began_at < MOMENT);
        begun.push_back((pid, now));
        let num = begun.len();
        if num > BEGINS_AT_ONCE_MAX {
            self.violated("G7", format!("process {pid}: the syncer of {key} began {num} times within {MOMENT:?}"));
        }
    }

    /// A request has failed and will be retried.
    pub fn check_patience(&mut self, pid: u32, failing_for: Duration) {
        if failing_for > PATIENCE_MAX {
            self.violated("G7", format!("process {pid}: a request fails for {failing_for:?} and is not given up"));
        }
    }

    /// G11: anything that passes by itself costs an hour at most.
    pub fn check_outage(&mut self, key: SyncKey, end: &RunEnd, next_run_at: Option<DateTime<Utc>>) {
        let RunEnd::Failed(fault @ (Fault::Outage(_) | Fault::Unreachable(_))) = end else { return };
        let wait = next_run_at.map(|at| at - self.wall());
        if wait.is_none_or(|wait| wait > OUTAGE_MAX) {
            self.violated("G11", format!("{key} rests for {wait:?} after an outage: {fault}"));
        }
    }

    /// G12: a run requests at most three whole walks over everything there is to read, 60 further pages, and 600 pieces
    /// of pages.
    pub fn check_budget(&mut self, pid: Pid, key: SyncKey, patience: Patience) {
        let Some(p) = self.at(pid) else { return };
        let batches = self.processes[p].settings.batches;
        let (listing, num_active) = (self.library.of(key.entity), self.database.of(key).num_active);
        let Some(run) = &mut self.processes[p].syncers[key.place()].run else { return };
        let spending = &mut run.spending;
        match patience {
            Patience::Piece => spending.num_pieces += 1,
            Patience::Page | Patience::Whole => spending.num_pages += 1,
        }
        spending.longest = spending.longest.max(listing.order.len() as u32).max(num_active);
        let most = PIECES_MAX.max(spending.num_pieces);
        if spending.num_pieces > PIECES_MAX {
            self.violated("G12", format!("{most} pieces of pages in one run of {key}, and no end"));
        }
        let page = batches.initial.min(batches.incremental).min(50).min(spending.shortest.unwrap_or(50));
        let num_listed = spending.longest.div_ceil(page.saturating_sub(1).max(1)).max(1);
        let num_of = |(number, item): (u32, &TrueItem)| {
            let longest = item.contents.past.iter().map(|(_, items)| items.len()).max().unwrap_or_default();
            let told = spending.items.get(&number).copied().unwrap_or_default();
            told.max(longest.max(item.contents.items.len()) as u32)
        };
        let has_items = key.entity.has_items();
        let num_items: u32 = (0..).zip(&listing.items).filter(|_| has_items).map(num_of).sum();
        // Playlists counted as empty are requested as well.
        let num_playlists = if has_items { listing.items.len() as u32 } else { 0 };
        let most = WALKS_MAX * (num_listed + num_items.div_ceil(49) + num_playlists) + ALLOWANCE;
        if spending.num_pages > most {
            self.violated("G12", format!("{most} pages in one run of {key}, and no end"));
        }
    }

    /// What a run learned from a page about how much there is to read.
    pub fn note_page(&mut self, pid: Pid, key: SyncKey, request: &PageRequest, page: &Page) {
        let Some(p) = self.at(pid) else { return };
        let len = self.library.of(key.entity).order.len() as u32;
        let Some(run) = &mut self.processes[p].syncers[key.place()].run else { return };
        let (spending, num_rows) = (&mut run.spending, page.slots.len() as u32);
        let (offset, limit) = match request {
            PageRequest::Listing { offset, limit, .. } => (*offset, *limit),
            PageRequest::Following { limit, .. } => (0, *limit),
            PageRequest::PlaylistItems { playlist_id, offset, .. } => {
                let told = spending.items.entry(number_of(playlist_id)).or_default();
                *told = (*told).max(page.total.unwrap_or_default()).max(offset + num_rows);
                return;
            }
        };
        spending.longest = spending.longest.max(page.total.unwrap_or_default()).max(offset + num_rows);
        if num_rows > 0 && num_rows < limit && offset + num_rows != len {
            spending.shortest = spending.shortest.min(Some(num_rows)).or(Some(num_rows));
        }
        for slot in &page.slots {
            if let Some(Item::Playlist(playlist)) = &slot.item {
                let told = spending.items.entry(number_of(&playlist.id)).or_default();
                *told = (*told).max(playlist.total_items.unwrap_or_default() as u32);
            }
        }
    }

    /// What a process has been told not to request.
    pub fn note_told(&mut self, p: usize, family: Family, class: LimitClass, retry_after: Option<Duration>) {
        let (scope, wait) = match class {
            LimitClass::Rate => (Family::Application, retry_after.unwrap_or_default().max(Duration::from_secs(1))),
            LimitClass::Quota | LimitClass::Ceiling => (family, retry_after.unwrap_or(Duration::from_secs(3600))),
        };
        self.processes[p].told.push(Forbidden { scope, from: self.now, until: self.now + wait, is_own: true });
    }

    /// What a process learns from the notes of others. It may have read its calendar, as `read`, before that jumped.
    pub fn note_found(&mut self, p: usize, found: &SharedLimits, read: DateTime<Utc>) {
        if self.processes[p].looked_at.replace(self.now).is_some() {
            return;
        }
        let wall = self.shared_wall().max(read);
        for noted in &found.pauses {
            let full = noted.pause.until - noted.noted_at;
            if let Ok(left) = (noted.pause.until - wall).min(full).to_std() {
                let (scope, until) = (noted.pause.scope, self.now + left);
                self.processes[p].told.push(Forbidden { scope, from: self.now, until, is_own: false });
            }
        }
    }

    /// All others respect what a process has stored.
    pub fn note_stored(&mut self, p: usize, change: &SharedChange) {
        let (now, wall, pid) = (self.now, self.shared_wall(), self.processes[p].pid);
        // A process taken for dead, since the machine slept or the calendar was set forward, may have a block, and does
        // not look again before it is used up.
        let found = self.database.shared_limits();
        let is_disturbed = self.oracle.disturbed_at.is_some_and(|at| now - at < DISTURBED_FOR);
        let row_of = |owner: Uuid| found.processes.iter().find(|one| one.owner.id == owner);
        for pause in &change.pauses {
            // Others respect it for as long as it lasted when it was noted, wherever the calendar has jumped since.
            let full = pause.until - change.process.seen_at;
            let Ok(left) = (pause.until - wall).min(full).to_std() else { continue };
            for other in self.processes.iter_mut().filter(|other| other.pid != pid && other.looked_at.is_some()) {
                let block = match row_of(other.owner).filter(|_| is_disturbed) {
                    Some(row) => (row.held.until - wall).to_std().ok().filter(|_| row.has_block),
                    None => Some(BLOCK).filter(|_| is_disturbed),
                };
                let from = now + block.unwrap_or_default().max(ON_ITS_WAY);
                other.told.push(Forbidden { scope: pause.scope, from, until: now + left, is_own: false });
            }
        }
    }

    /// The calendar jumps. A process that has not looked since a pause was noted only knows that it was not there at the
    /// last look.
    pub fn note_jump(&mut self) {
        for process in &mut self.processes {
            let Some(looked_at) = process.looked_at else { continue };
            for told in process.told.iter_mut().filter(|told| !told.is_own) {
                told.until = told.until.saturating_sub(told.from.saturating_sub(looked_at));
            }
        }
    }

    pub fn check_sent(&mut self, p: usize, family: Family) {
        let (now, instant, window) = (self.now, self.instant(), self.window());
        self.tally.num_requests += 1;
        let process = &mut self.processes[p];
        let pid = process.pid;
        process.told.retain(|told| now < told.until);
        let stops = |told: &&Forbidden| (told.scope == family || told.scope == Family::Application) && told.from <= now;
        if let Some(Forbidden { scope, until, .. }) = process.told.iter().find(stops).copied() {
            let left = until - now;
            self.violated(
                "G5",
                format!("process {pid} asks for {family} while {scope} is paused for another {left:?}"),
            );
        }
        let (_, limit) = process.gate.machine.window_used(instant);
        // One of several is the first to learn that more is accepted.
        let (misjudges_before, configured) = (process.misjudges_before, process.settings.requests);
        let learned = self.processes.iter_mut().map(|process| process.gate.machine.window_used(instant).1).max();
        let limit = configured.or(learned).unwrap_or(limit) as usize;
        let sent = &mut self.oracle.sent;
        sent.push_back((now, pid));
        sent.retain(|(at, _)| now - *at < window);
        let sent = sent.iter().filter(|(at, by)| *by == pid || *at >= misjudges_before).count();
        if sent > limit {
            self.violated("G6", format!("process {pid}: {sent} requests in one window that may hold {limit}"));
        }
    }
}
