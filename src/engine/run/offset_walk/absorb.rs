//! What a page whose place is proven adds to the batch, and where the next page begins.

use super::{super::assembly::has_double, *};

/// A lower cap takes two pages in a row: believed for one odd answer, it would make a walk of thousands of requests.
pub(super) const CAP_BELIEVED: u32 = 10;

/// While the cap is so low, every so many requests ask for whole pages again. If it holds, that costs nothing.
pub(super) const CAP_DOUBTED_EVERY: u32 = 4;

impl OffsetWalk {
    pub(super) fn note_total(&mut self, total: Option<u32>) {
        // If the first pages did not contain the length, it may have been another one.
        let moved = match self.tip.total {
            Some(before) => total.is_some_and(|now| before != now),
            None => total.is_some() && self.tip.offset > 0,
        };
        self.tip.walk.found.unsteady |= moved;
        self.tip.total = total.or(self.tip.total);
        self.total_max = self.total_max.max(total);
    }

    /// Takes the cells of a page from index `skip` on and moves the place past them.
    pub(super) fn absorb(&mut self, assembly: Assembly, skip: usize) {
        let Assembly { offset, limit, cells, follows, .. } = assembly;
        self.total_proven = self.tip.total;
        let num_cells = cells.len() as u32;
        let is_double = has_double(&cells);
        self.tip.walk.found.has_double |= is_double;
        self.tip.walk.found.has_hole |= is_double;
        let is_new = cells.len() > skip;
        if self.hole && is_new {
            self.tip.walk.found.unsteady = true;
        }
        // Rows after a page that was short, so it may have lacked some.
        self.tip.walk.found.has_hole |= is_new && self.tip.walk.place.num_short > 0;
        for (cell, at) in cells.into_iter().zip(offset..).skip(skip) {
            self.take(cell, at);
        }
        let anchors = &mut self.tip.walk.place.anchors;
        anchors.drain(..anchors.len().saturating_sub(ANCHORS_MAX));

        let reached = offset + num_cells;
        self.learn_cap(limit, num_cells, follows);
        match follows {
            Follows::More => {
                // A whole page of rows that were read before: the API ignores offsets.
                let is_again = !is_new && num_cells > 1;
                self.tip.walk.found.unsteady |= is_again;
                self.tip.walk.found.has_hole |= is_again;
                // Only a short page proves the end, so that one wrong total does not hide everything after it.
                self.go_to(reached, 0);
            }
            Follows::End => {
                self.tip.offset = reached;
                self.ended = true;
            }
            // A page that is as long as any can be lacks no rows.
            Follows::Capped(cap) if is_new => self.go_to(reached, cap.saturating_sub(num_cells)),
            Follows::Hidden(_) | Follows::Doubtful if is_new => {
                self.go_to(reached, limit.saturating_sub(num_cells));
            }
            // A page holds one row only, and it was the shared one: the next page shares none.
            Follows::Capped(cap) if num_cells == 1 && skip == 1 && cap < limit => self.go_to(reached, 0),
            Follows::Nothing(_) if self.hole => self.ended = true,
            Follows::Capped(_) | Follows::Hidden(_) | Follows::Doubtful | Follows::Nothing(_) => {
                // Nothing new, although the total promises more: rows are filtered out, or the total is wrong. One page
                // further on decides.
                self.tip.walk.found.has_hole |= self.tip.total.is_some_and(|total| total > reached);
                if self.tip.total.is_none() && skip > 1 {
                    // Rows that were read before, and no total that would account for hidden ones.
                    self.tip.walk.found.unsteady = true;
                    self.tip.walk.found.has_hole = true;
                }
                let next = offset + if let Follows::Nothing(len) = follows { len } else { limit };
                let is_last = self.total_max.is_some_and(|total| next >= total);
                if self.hole || is_last && reached > 0 {
                    self.ended = true;
                } else {
                    self.hole = true;
                    self.tip.walk.place.num_short = 0;
                    // If a listing that fits on one page shows nothing at all, that page is requested again.
                    let is_bare = self.total_max.is_none() && reached == 0;
                    self.tip.offset = if is_last || is_bare { 0 } else { next };
                    self.tip.walk.place.unlinked = true;
                }
            }
        }
    }

    fn go_to(&mut self, offset: u32, num_short: u32) {
        self.tip.offset = offset;
        self.tip.walk.place.num_short = num_short;
        self.ended = false;
        self.hole = false;
    }

    /// Once pages turn out to be capped, no more rows than the cap are requested: otherwise pages in flight together
    /// would not link up.
    fn learn_cap(&mut self, limit: u32, num_cells: u32, follows: Follows) {
        let is_full = num_cells >= limit && limit >= self.limit;
        match follows {
            Follows::Capped(cap) if cap >= CAP_BELIEVED || self.cut_at.replace(cap) == Some(cap) => {
                self.tip.walk.memory.page_cap = Some(cap);
            }
            // The same length twice is an unannounced cap.
            Follows::Doubtful if self.cut_at.replace(num_cells) == Some(num_cells) => {
                self.tip.walk.memory.page_cap = Some(num_cells);
            }
            Follows::More if is_full => (self.tip.walk.memory.page_cap, self.cut_at) = (None, None),
            Follows::More
            | Follows::Capped(_)
            | Follows::Hidden(_)
            | Follows::Doubtful
            | Follows::Nothing(_)
            | Follows::End => {}
        }
    }

    fn take(&mut self, cell: Cell, at: u32) {
        if self.gathered.slots.is_empty() {
            self.gathered.offset_from = at;
            self.gathered.before =
                self.tip.walk.place.anchors.last().filter(|_| !self.tip.walk.place.unlinked).cloned();
        }
        let walk = &mut self.tip.walk;
        match cell {
            Cell::Slot(slot) => {
                let key = slot.key();
                if let Some(before) = walk.place.anchors.last() {
                    walk.found.disordered |= is_disordered(self.entity, before, &key);
                }
                walk.found.num_unidentified += u32::from(key.id.is_none());
                walk.found.num_undated += u32::from(key.id.is_none() && key.added_at.is_none());
                walk.place.anchors.push(key);
                walk.place.unlinked = false;
                self.gathered.slots.push(*slot);
            }
            Cell::Gap { reason } => {
                walk.found.num_gaps += 1;
                walk.place.unlinked = true;
                self.gathered.slots.push(Slot { item: None, added_at: None, odd: Some(Oddity::Unserved) });
                self.gathered.gaps.push(GapRange { offset_from: at, offset_to: at + 1, reason });
            }
        }
    }
}

/// That a listing comes newest first is observed, not promised, so it is checked.
fn is_disordered(entity: EntityType, before: &SlotKey, after: &SlotKey) -> bool {
    let rises = before.added_at.zip(after.added_at).is_some_and(|(before, after)| after > before);
    entity.is_newest_first() && rises
}
