//! What the heads and walks of one run were shown. What one answer shows and another lacks is not gone: the servers
//! disagree, or it went while the run was reading.

use crate::model::{EntityType, Membership, Slot};
use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Hashes of ids: before the walk under way, and by it.
    before: HashSet<u64>,
    now: HashSet<u64>,
    /// The head or walk under way has met a row that was known before.
    has_met_known: bool,
    /// Rows found, since somebody last asked, where nothing new can have come in: they may be what was hidden before.
    num_surfaced: u32,
}

impl Shown {
    pub fn begin_head(&mut self) {
        self.has_met_known = false;
    }

    pub fn begin_walk(&mut self) {
        self.before.extend(self.now.drain());
        self.has_met_known = false;
    }

    pub fn note(&mut self, slots: &[Slot]) {
        self.now.extend(slots.iter().filter_map(Slot::id).map(hash));
    }

    /// Notes what rows were to the database when they were committed.
    pub fn note_memberships(&mut self, entity: EntityType, memberships: &[Membership]) {
        for membership in memberships {
            match membership {
                Membership::Known => self.has_met_known = true,
                Membership::New | Membership::Returned if self.has_met_known || !entity.is_newest_first() => {
                    self.num_surfaced += 1;
                }
                Membership::New | Membership::Returned | Membership::Unidentified => {}
            }
        }
    }

    /// Whether the walk has missed what the run was shown before.
    pub fn is_contradicted(&self) -> bool {
        !self.before.is_subset(&self.now)
    }

    pub fn take_surfaced(&mut self) -> u32 {
        std::mem::take(&mut self.num_surfaced)
    }
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
