//! Where changes are read from: each kind of event has a table, and a moment in it.

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

/// A place that changes are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Members(EntityType, Moment),
    PlaylistItems,
}

/// A moment in a membership table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Since when it is there, according to the source.
    Added,
    /// When it was first seen, if the source does not say.
    Seen,
    /// When it was seen again after it was gone, if the source does not say. Rows that the source dates show it by
    /// their date.
    Returned,
    Removed,
}

impl Source {
    /// In the order in which changes of one moment are handed out.
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

    /// Whether changes of that kind are read from here.
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
