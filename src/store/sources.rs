//! Where changes are read: each kind of event has a table, and a moment in it.

use super::changes::ChangeKind;
use crate::model::EntityType;

/// Where changes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Members(Moment),
    PlaylistItems,
}

/// A membership table, and a moment in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    TracksAdded,
    TracksRemoved,
    AlbumsAdded,
    AlbumsRemoved,
    ArtistsAdded,
    ArtistsReturned,
    ArtistsRemoved,
    PlaylistsAdded,
    PlaylistsReturned,
    PlaylistsRemoved,
}

impl Source {
    pub const fn of(entity: EntityType) -> &'static [Source] {
        use Moment::*;
        use Source::{Members, PlaylistItems};
        match entity {
            EntityType::Tracks => &[Members(TracksRemoved), Members(TracksAdded)],
            EntityType::Albums => &[Members(AlbumsRemoved), Members(AlbumsAdded)],
            EntityType::Artists => &[Members(ArtistsRemoved), Members(ArtistsReturned), Members(ArtistsAdded)],
            EntityType::Playlists => {
                &[Members(PlaylistsRemoved), Members(PlaylistsReturned), Members(PlaylistsAdded), PlaylistItems]
            }
        }
    }

    /// Its place among all of them.
    pub fn rank(self) -> usize {
        let mut all = EntityType::ALL.iter().flat_map(|entity| Source::of(*entity));
        all.position(|source| *source == self).expect("each source is of an entity type")
    }

    /// Whether changes of that kind are read here.
    pub fn tells_of(self, kind: ChangeKind) -> bool {
        use Moment::*;
        match self {
            Source::PlaylistItems => matches!(kind, ChangeKind::Added | ChangeKind::Removed),
            Source::Members(TracksAdded | AlbumsAdded) => matches!(kind, ChangeKind::Added | ChangeKind::AddedAgain),
            Source::Members(ArtistsAdded | PlaylistsAdded) => kind == ChangeKind::Added,
            Source::Members(ArtistsReturned | PlaylistsReturned) => kind == ChangeKind::AddedAgain,
            Source::Members(TracksRemoved | AlbumsRemoved | ArtistsRemoved | PlaylistsRemoved) => {
                kind == ChangeKind::Removed
            }
        }
    }
}
