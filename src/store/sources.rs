//! Where changes are read: each kind of event has a table, and a moment in it.

use super::changes::ChangeKind;
use crate::model::{EntityType, ListingOrder};

/// Where changes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Members(EntityType, Moment),
    PlaylistItems,
}

/// A moment in a membership table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The source says since when it is there, or this program first saw it.
    Added,
    /// It was seen again after it was gone. What the source dates says so by its date.
    Returned,
    Removed,
}

impl Source {
    /// In the order in which changes of one moment are told.
    pub fn of(entity: EntityType) -> impl Iterator<Item = Source> {
        let moments: &[Moment] = match entity.facts().order {
            ListingOrder::NewestFirst => &[Moment::Removed, Moment::Added],
            ListingOrder::ById | ListingOrder::Arranged => &[Moment::Removed, Moment::Returned, Moment::Added],
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
            Source::Members(entity, Moment::Added) if entity.is_newest_first() => {
                matches!(kind, ChangeKind::Added | ChangeKind::AddedAgain)
            }
            Source::Members(_, Moment::Added) => kind == ChangeKind::Added,
            Source::Members(_, Moment::Returned) => kind == ChangeKind::AddedAgain,
            Source::Members(_, Moment::Removed) => kind == ChangeKind::Removed,
        }
    }
}
