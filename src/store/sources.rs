//! Where changes are read: each kind of event has a table, and a moment in it.

use crate::model::ids::words;
use crate::model::{Dated, EntityType};

words! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    ChangeKind {
        Added = "added",
        /// It was there before.
        AddedAgain = "added_again",
        Removed = "removed",
    }
}

/// Where changes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Members(EntityType, Moment),
    PlaylistItems,
}

/// A moment in a membership table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// As the source says, since when it is there.
    Added,
    /// The source does not say: when it was first seen.
    Seen,
    /// The same: when it was seen again after it was gone. What the source dates says so by its date.
    Returned,
    Removed,
}

impl Source {
    /// In the order in which changes of one moment are told.
    pub fn of(entity: EntityType) -> impl Iterator<Item = Source> {
        let moments: &[Moment] = match entity.facts().dated {
            Dated::Always => &[Moment::Removed, Moment::Added],
            Dated::Maybe => &[Moment::Removed, Moment::Returned, Moment::Seen, Moment::Added],
            Dated::Never => &[Moment::Removed, Moment::Returned, Moment::Seen],
        };
        let members = moments.iter().map(move |moment| Source::Members(entity, *moment));
        members.chain(entity.has_items().then_some(Source::PlaylistItems))
    }

    /// Its place among all of them.
    pub fn rank(self) -> usize {
        let mut all = EntityType::ALL.iter().flat_map(|entity| Source::of(*entity));
        all.position(|source| source == self).expect("each source is of an entity type")
    }

    /// Whether changes of that kind are read here.
    pub fn tells_of(self, kind: ChangeKind) -> bool {
        match self {
            Source::PlaylistItems => matches!(kind, ChangeKind::Added | ChangeKind::Removed),
            Source::Members(_, Moment::Added) => matches!(kind, ChangeKind::Added | ChangeKind::AddedAgain),
            Source::Members(_, Moment::Seen) => kind == ChangeKind::Added,
            Source::Members(_, Moment::Returned) => kind == ChangeKind::AddedAgain,
            Source::Members(_, Moment::Removed) => kind == ChangeKind::Removed,
        }
    }
}
